"""Every event of the log and every finding has a code, a page, and what to do: code, page and command are equal."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from exavrrp.cli import main, style
from exavrrp.cli.run import KEPT
from exavrrp.codes import CODES
from tests.blocks import ROOT

PAGE = ROOT / "docs" / "reference" / "codes.md"

HEAD = """# Codes

What each code of the log, of `exavrrp status`, `events` and `doctor` means, and what to do. `exavrrp explain CODE`
prints the same. This page is made from `exavrrp.codes` (`pytest tests/test_codes.py --rewrite`).

| code | meaning | what to do |
|---|---|---|
"""


def page() -> str:
    rows = (f"| `{name}` | {code.means} | {code.do or 'nothing'} |\n" for name, code in sorted(CODES.items()))
    return HEAD + "".join(rows)


def test_the_page_is_made_of_the_codes(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def of_the_log() -> dict[str, str]:
    """The events of docs/reference/log.md, each with its levels."""
    text = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8").partition("\n## ")[2]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    return {name: row[2] for row in rows for name in re.findall(r"`([a-z-]+)`", row[1])}


@cache
def of_findings() -> frozenset[str]:
    """The codes with which findings are made anywhere."""
    found: set[str] = set()
    for path in (ROOT / "src" / "exavrrp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                place = 2 if path.name == "preflight.py" else 0
                code = node.args[place] if len(node.args) > place else ast.Constant("directory-unwritable")
                if isinstance(code, ast.Constant):
                    found.add(str(code.value))
    return frozenset(found)


def test_what_is_kept_until_the_file_is_right_needs_no_restart() -> None:
    assert "exavrrp reload" in KEPT
    assert (
        CODES["configuration-kept"].do == "Correct the file (`exavrrp check`), then put it in force (`exavrrp reload`)."
    )


def test_every_event_and_every_finding_has_a_code_and_no_code_is_unused() -> None:
    assert of_the_log().keys() | of_findings() == CODES.keys()


def test_what_is_wrong_says_what_to_do() -> None:
    wrong = of_findings() | {
        name for name, level in of_the_log().items() if {"warning", "error"} & set(level.split(", "))
    }
    idle = {"path-restored", "exabgp-resumed", "neighbor-listed", "notify-reader-restored", "leftovers-found"}
    assert {name for name in wrong if not CODES[name].do} <= idle


def explain(*words: str) -> tuple[int, str, str]:
    told = CliRunner().invoke(main, ["explain", *words], catch_exceptions=False)
    return told.exit_code, told.stdout, told.stderr


@pytest.mark.parametrize("name", CODES)
def test_explain_prints_the_page(name: str) -> None:
    status, out, _ = explain(name)
    assert status == 0
    assert all(len(line) <= style.WIDTH for line in out.splitlines())
    flat = " ".join(out.split())
    assert flat.startswith(f"{name} {CODES[name].means}")
    assert flat.endswith(f"What to do: {CODES[name].do}" if CODES[name].do else "Nothing has to be done.")


def test_explain_without_a_code_lists_all_and_one_that_is_unknown_is_an_error() -> None:
    status, out, _ = explain()
    assert status == 0
    assert all(re.search(rf"^{name}  ", out, re.MULTILINE) for name in CODES)
    assert explain("path-quite") == (2, "", "error: there is no code 'path-quite'; path-quiet?\n")
    assert explain("zzzz") == (2, "", "error: there is no code 'zzzz'; exavrrp explain lists all\n")


def test_pages_name_only_commands_that_there_are() -> None:
    commands = set(main.list_commands(None))  # type: ignore[arg-type]
    named = {name for code in CODES.values() for name in re.findall(r"`exavrrp (\w+)", code.means + code.do)}
    assert named <= commands
    assert Path(PAGE).exists()


def test_the_guide_shows_what_is_printed() -> None:
    assert f"$ exavrrp explain path-quiet\n{explain('path-quiet')[1]}```" in (
        ROOT / "docs" / "reference" / "operation.md"
    ).read_text(encoding="utf-8")
