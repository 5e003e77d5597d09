"""Builds the packages, for the tests of what is in them and of what they do in clean roots."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import Need

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "packaging" / "debian"


@dataclass(frozen=True)
class Packages:
    """What ``packaging/build`` has made."""

    sdist: Path
    wheel: Path
    deb: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.sdist, self.wheel, self.deb)


def build(out: Path, need: Need, root: Path = ROOT, umask: int = 0o022, **environment: str) -> Packages:
    """Builds the packages of the tree ``root`` into the directory ``out``, unless that has been done."""
    listed = out / "built"
    need("dpkg-deb")
    if not listed.exists():
        done = subprocess.run(
            [root / "packaging" / "build", out],
            env={**os.environ, **environment},
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        listed.write_text(done.stdout)
    sdist, wheel, deb = map(Path, listed.read_text().splitlines())
    return Packages(sdist, wheel, deb)


@contextmanager
def shared(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A directory that all workers of this run of pytest share, for one of them at a time."""
    place = factory.getbasetemp()
    directory = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / name
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def tracked(need: Need) -> list[str]:
    """The files that git knows, relative to the root of the repository."""
    listed = subprocess.run([need("git"), "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def copy_of_tree(where: Path, need: Need) -> Path:
    """A copy of the repository's files in another directory."""
    for name in tracked(need):
        target = where / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (where / ".envs").symlink_to(ROOT / ".envs")  # where uv may be
    return where


def unpack(deb: Path, where: Path) -> Path:
    """The package's files below ``where``, and its control files in ``where/DEBIAN``."""
    subprocess.run(["dpkg-deb", "--raw-extract", deb, where], check=True)
    return where


def completion(shell: str) -> str:
    """The script with which a shell completes, as ``packaging/completion`` writes it."""
    done = subprocess.run(
        [sys.executable, ROOT / "packaging" / "completion", shell], capture_output=True, text=True, check=True
    )
    return done.stdout
