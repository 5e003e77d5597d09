#!/usr/bin/env python3
"""packaging/guide.py DIRECTORY: the guide as a site, written to a directory that is replaced. A warning is an error.

The pages are the repository's own Markdown: those at its root, docs/, and packaging/README.md, with every file that
they link to, at the same places as in the repository. So a link that leads somewhere there does so here, and README.md
is the first page. What is in the menu: mkdocs.yml beside this file. Needs the dependency group ``docs`` of
pyproject.toml, in this interpreter's environment.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("*.md", "docs/**/*.md", "packaging/*.md")


def pages(root: Path) -> list[Path]:
    """The pages of the site, relative to the root of the repository."""
    return sorted({path.relative_to(root) for place in PLACES for path in root.glob(place)})


def linked(root: Path, page: Path) -> Iterator[Path]:
    """The files that a page links to, relative to the root of the repository."""
    text = re.sub(r"^```.*?^```$", "", (root / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        if "://" not in target:
            yield Path(os.path.normpath(page.parent / target))


def stage(root: Path, directory: Path) -> None:
    """Copies the pages and what they link to into a directory."""
    found = pages(root)
    for path in {*found, *(one for page in found for one in linked(root, page))}:
        if (root / path).is_file():  # of the rest mkdocs says which page links to it
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, directory / path)


def build(root: Path, out: Path) -> int:
    """Writes the site; returns the exit status of mkdocs, which says on stderr what is wrong."""
    with tempfile.TemporaryDirectory() as work:
        staged = Path(work, "pages")
        stage(root, staged)
        shutil.copyfile(root / "packaging" / "mkdocs.yml", Path(work, "mkdocs.yml"))
        # Not --quiet: what mkdocs does not print it does not count.
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out.resolve())]
        # At each start the theme's authors say what they think of the next MkDocs.
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
        return subprocess.run(command, cwd=work, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(build(ROOT, Path(sys.argv[1])))
