"""What the packages are made from. What is in them: ``tests/system/test_packages.py``."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from exavrrp import __version__

ROOT = Path(__file__).parents[1]


def test_the_version_stands_in_one_place() -> None:
    alone = rf"(^|[^0-9.]){re.escape(__version__)}([^0-9.]|$)"  # not as a part of an address
    listed = subprocess.run(["git", "-C", ROOT, "grep", "-lE", alone], capture_output=True, text=True, check=False)
    if listed.returncode > 1:
        pytest.skip("not a git repository")
    assert set(listed.stdout.split()) <= {"src/exavrrp/__init__.py", "CHANGELOG.md"}


@pytest.mark.parametrize("before", ["", "0.0.1"])
def test_an_upgrade_of_the_debian_package_restarts_the_exporter_if_it_runs(tmp_path: Path, before: str) -> None:
    """The script of the package, on a machine with systemd that has these programs alone."""
    seen = tmp_path / "seen"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    programs = [tmp_path / "bin" / name for name in ("systemd-sysusers", "systemctl", "deb-systemd-invoke")]
    for program in (*programs, tmp_path / "opt/exavrrp/bin/python3"):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>{seen}\n')
        program.chmod(0o755)
    text = (ROOT / "packaging" / "debian" / "postinst").read_text()
    script = re.sub(r"(?<![\w/])/(run|opt)/", rf"{tmp_path}/\1/", text)
    environment = {"PATH": f"{tmp_path}/bin"}
    subprocess.run(["/bin/sh", "-c", script, "postinst", "configure", before], env=environment, check=True)
    restarted = "deb-systemd-invoke try-restart exavrrp-exporter.service"
    assert [one for one in seen.read_text().splitlines() if "exporter" in one] == [restarted] * bool(before)


def test_the_source_archive_has_everything_that_is_in_git() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {name.partition("/")[0] for name in listed.stdout.split()} - {".ci", ".gitignore"} == {
        *told,
        "pyproject.toml",
    }
