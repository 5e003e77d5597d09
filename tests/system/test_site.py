"""The guide as a site: whatever is wrong with it is an error, and it loads nothing from elsewhere."""

import re
import subprocess
from pathlib import Path

import guide
import pytest

from tests.system import packages
from tests.system.conftest import Need
from tests.system.packages import ROOT

pytestmark = pytest.mark.system

ELSEWHERE = re.compile(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*")


def built(root: Path, out: Path, need: Need) -> "subprocess.CompletedProcess[str]":
    python = ROOT / ".envs" / "docs" / "bin" / "python"
    need(reason="no mkdocs; UV_PROJECT_ENVIRONMENT=.envs/docs uv sync --only-group docs", unless=python.exists())
    command = [python, root / "packaging" / "guide.py", out]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(need: Need, tmp_path: Path) -> None:
    done = built(ROOT, tmp_path, need)
    assert done.returncode == 0, done.stderr
    for page in guide.pages(ROOT):
        name = page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html")
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert [found for found in ELSEWHERE.findall(text) if 'rel="canonical"' not in found] == []


def test_a_page_that_leads_nowhere_is_an_error(need: Need, tmp_path: Path) -> None:
    tree = packages.copy_of_tree(tmp_path / "tree", need)
    with (tree / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("\n[a page](gone.md), [a heading](docs/why/limits.md#gone)\n")
    done = built(tree, tmp_path / "site", need)
    assert done.returncode != 0
    assert "gone.md" in done.stderr
    assert "#gone" in done.stderr
