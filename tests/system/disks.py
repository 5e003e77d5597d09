"""Disks that fail: a file system that is full, or that holds whoever writes to it.

Both are real: a small tmpfs, and an ext4 in a file that is frozen (``fsfreeze(8)``), where a write does not return
until it is thawed. Nothing can end a process that waits there, SIGKILL included; so a watchdog thaws it after a while,
whatever becomes of the test.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.system.conftest import Need

WATCHDOG = 60
"""Seconds for which a file system is frozen at most."""


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@contextlib.contextmanager
def small(directory: Path, need: Need) -> Iterator[None]:
    """Makes ``directory`` a file system of 64 KiB."""
    _mounted(need, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(directory))


@dataclass
class Freezer:
    """A file system that can be frozen."""

    directory: Path
    _watchdog: "subprocess.Popen[bytes] | None" = None

    def freeze(self) -> None:
        os.sync()
        thaw = f"sleep {WATCHDOG}; fsfreeze --unfreeze '{self.directory}'"
        self._watchdog = subprocess.Popen(["sh", "-c", thaw], start_new_session=True)
        _run("fsfreeze", "--freeze", str(self.directory))

    def thaw(self) -> None:
        if self._watchdog is not None:
            watchdog, self._watchdog = self._watchdog, None
            try:
                _run("fsfreeze", "--unfreeze", str(self.directory))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(watchdog.pid, signal.SIGKILL)  # its sleep, too
                watchdog.wait()


@contextlib.contextmanager
def freezer(directory: Path, need: Need) -> Iterator[Freezer]:
    """Makes ``directory`` a file system that can be frozen."""
    image = directory.with_name(f"{directory.name}.ext4")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _run(need("mkfs.ext4"), "-q", str(image))
    _mounted(need, "mount", "-o", "loop", str(image), str(directory))
    made = Freezer(directory)
    try:
        yield made
    finally:
        try:
            made.thaw()
        finally:
            _run("umount", "--lazy", str(directory))
            image.unlink()


def _mounted(need: Need, *words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    need(reason=f"no right to mount a file system ({done.stderr.strip()})", unless=done.returncode == 0)
