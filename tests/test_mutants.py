"""The mutation tests themselves: they fail where they should."""

import shutil
from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants

TABLE = """\
# A change of prose, which no test can notice.

harmless vrrp/router.py
-        \"\"\"Skew_Time = ((256 - Priority) × Active_Adver_Interval) / 256 (RFC 9568 §6.1), in seconds.\"\"\"
+        \"\"\"Skew_Time.\"\"\"

deadly vrrp/router.py
-        return (256 - priority) * (self.settings.skew_unit or interval) / 256
+        return (255 - priority) * (self.settings.skew_unit or interval) / 256
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mutants, "HERE", tmp_path)
    path = tmp_path / "table.txt"
    path.write_text(TABLE)
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = mutants.main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_every_mutant_has_its_place() -> None:
    assert len(mutants.known()) > 200


@pytest.mark.mutants
def test_every_suite_can_be_run_in_a_copy(tmp_path: Path) -> None:
    """A suite that cannot run would count every mutant as killed."""
    tests = {test for module in mutants.OWN for suite in mutants.suites(module).values() for test in suite}
    assert set(mutants.SIMULATION) < tests
    assert mutants.Copy(tmp_path).passes(("--collect-only", *sorted(tests)))


@pytest.mark.mutants
def test_a_survivor_is_reported(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, "--suite", "transcripts", "--jobs", "1")
    assert (status, err) == (1, "survivors: harmless\n")
    assert out.splitlines()[:2] == [f"{'harmless':45}SURVIVES", f"{'deadly':45}transcripts"]
    assert "1 of 2 killed" in out


@pytest.mark.mutants
def test_a_killed_mutant_is_reported_with_the_suite_that_killed_it(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(capsys, "deadly", "--suite", "transcripts", "--jobs", "1")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split() == ["1", "transcripts"]


@pytest.mark.mutants
def test_a_mutant_that_loops_for_ever_is_killed(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "LIMIT", 5)
    table.write_text(
        "endless vrrp/router.py\n"
        "-        return self.settings.down_count * interval + self._skew(interval, priority)\n"
        "+        while True:\n"
        "+            pass\n"
    )
    status, out, err = said(capsys, "--suite", "transcripts", "--jobs", "1")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split() == ["1", "transcripts"]


@pytest.mark.mutants
def test_a_suite_that_fails_without_a_mutant_proves_nothing(
    table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for name in ("src", "docs"):
        shutil.copytree(mutants.ROOT / name, root / name)
    shutil.copytree(mutants.ROOT / "tests" / "vrrp", root / "tests" / "vrrp")
    shutil.copytree(mutants.ROOT / "tests" / "presence", root / "tests" / "presence")
    for name in ("pyproject.toml", *(f"tests/{one}.py" for one in ("conftest", "commit", "watching", "test_presence"))):
        shutil.copy(mutants.ROOT / name, root / name)
    (root / "tests" / "vrrp" / "rfc9568" / "wrong.txt").write_text(
        "router 2001:db8::1 priority 1 every 1\n    active\n"
    )
    monkeypatch.setattr(mutants, "ROOT", root)
    status, _, err = said(capsys, "harmless", "--suite", "transcripts", "--jobs", "1")
    assert (status, err) == (2, "mutants: without any mistake, too, there fails: transcripts\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "255 - priority",
            "256 - priority",
            "table.txt: deadly changes nothing, or a module whose tests are not known here",
        ),
        ("harmless vrrp/router.py", "harmless cli.py", "table.txt: harmless changes nothing, or a module whose tests"),
        ("harmless vrrp", "harmless  vrrp x", "table.txt: 'harmless  vrrp x/router.py' begins no mutant"),
        ("+        return", "?        return", "table.txt: 'deadly vrrp/router.py' begins no mutant"),
        (
            "-        return (256",
            "-        return (257",
            "deadly: its lines are found 0 times in vrrp/router.py, not once",
        ),
        ("(255 - priority", "255 - priority", "deadly: unmatched ')' (router.py, line"),
        ("deadly vrrp", "harmless vrrp", "there are two mutants called harmless"),
    ],
)
def test_a_mutant_that_cannot_be_made_is_an_error(
    table: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    table.write_text(table.read_text().replace(old, new, 1))
    status, _, err = said(capsys, "--list")
    assert status == 2
    assert err.startswith(f"mutants: {message}")


def test_names_and_samples(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "nope", "--list")[2] == "mutants: there is no mutant nope; see --list\n"
    first = said(capsys, "--list", "--sample", "1", "--seed", "abc")
    assert first == said(capsys, "--list", "--sample", "1", "--seed", "abc"), "the same seed, the same sample"
    assert first[1].splitlines()[0] == "1 of 2 mutants, --seed abc"
    samples = {said(capsys, "--list", "--sample", "1", "--seed", str(number))[1].splitlines()[1] for number in range(9)}
    assert len(samples) == 2, "another seed, another sample"
    assert said(capsys, "--list", "--sample", "1")[1].splitlines()[0] == f"1 of 2 mutants, --seed {mutants.commit()}"
