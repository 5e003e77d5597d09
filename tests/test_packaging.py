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


def test_the_source_archive_has_everything_that_is_in_git() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {name.partition("/")[0] for name in listed.stdout.split()} - {".ci", ".gitignore"} == {
        *told,
        "pyproject.toml",
    }
