"""docs/how-to/keepalived.md: the example of an import is what comes out."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from exavrrp.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "keepalived.md"


def test_the_example_is_what_import_makes_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Import\n")[2]
    conf, toml, report = re.findall(r"^```(?:toml|keepalived)?\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    [words] = re.findall(r"^`exavrrp (import .*?)`", section, re.MULTILINE)[1:]
    monkeypatch.chdir(tmp_path)
    Path("keepalived.conf").write_text(conf)
    done = CliRunner().invoke(main, [*words.split(), "-o", "made"], catch_exceptions=False)
    assert done.exit_code == 0
    assert Path("made/exavrrp.toml").read_text() == toml
    assert Path("made/import-report.txt").read_text() == report
