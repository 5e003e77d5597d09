"""The journal on disk: it is there after a crash, bounded, and no disk or file keeps the agent from its work."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exavrrp.system import eventfile, recorder
from exavrrp.system.eventfile import FILES, EventFile
from exavrrp.system.recorder import Recorder
from tests.system.conftest import LIMIT, Need
from tests.system.disks import small


class Complaints:
    """The log."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []

    def error(self, event: str, **fields: object) -> None:
        self.told.append({"event": event, **fields})


def line(number: int, more: str = "") -> bytes:
    moment = ["2026-11-30T00:00:00Z", 1.0]
    at = {"time": moment[0], "monotonic": moment[1]}
    return json.dumps({"at": at, "event": "x", "fields": {"number": number, "more": more}}).encode() + b"\n"


def life(directory: Path, *lines: bytes, closes: bool = True) -> tuple[list[bytes], list[dict[str, object]]]:
    """One process that writes these lines, and is killed or not: what it knew of those before, and its complaints."""
    log = Complaints()

    async def live() -> list[bytes]:
        file = EventFile(directory, log)
        others = file.open(asyncio.get_running_loop())
        for one in lines:
            file.write(one)
        await asyncio.wait_for(others, LIMIT)
        if closes:
            file.close()
            file.write(line(-1))  # it is closed
        return file.before

    return asyncio.run(live()), log.told


def numbers(lines: list[bytes]) -> list[int]:
    return [json.loads(one)["fields"]["number"] for one in lines]


def test_the_next_process_knows_the_journal_of_the_one_before(tmp_path: Path) -> None:
    assert life(tmp_path / "lib", line(1), line(2)) == ([], [])
    before, complaints = life(tmp_path / "lib", line(3))
    assert (numbers(before), complaints) == ([1, 2], [])
    assert numbers(life(tmp_path / "lib")[0]) == [1, 2, 3]


def test_lines_of_one_turn_of_the_loop_are_handed_over_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[bytes] = []
    monkeypatch.setattr(Recorder, "record", lambda _, lines: handed.append(lines))
    life(tmp_path, line(1), line(2))
    assert handed == [line(1) + line(2)]


def test_a_line_that_is_incomplete_is_left_out(tmp_path: Path) -> None:
    life(tmp_path, line(1), line(2)[:-20])
    assert numbers(life(tmp_path, line(3))[0]) == [1]


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventfile, "LIMIT", 10_000)
    for number in range(30):
        life(tmp_path, *(line(number * 100 + one, "a" * 1000) for one in range(20)))
    found = sorted(tmp_path.iterdir())
    assert len(found) == FILES
    assert sum(one.stat().st_size for one in found) < FILES * 40_000
    assert numbers(life(tmp_path)[0])[-1] == 2919


def test_one_turn_of_the_loop_overfills_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "CLOSING", LIMIT)
    life(tmp_path, *(line(number, "a" * 1000) for number in range(1000)))
    sizes = [one.stat().st_size for one in tmp_path.iterdir()]
    assert len(sizes) == FILES
    assert max(sizes) <= eventfile.LIMIT
    assert numbers(life(tmp_path)[0])[-1] == 999


@pytest.mark.parametrize("spoil", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.write_bytes(b"\xff\n" * 9)])
def test_whatever_lies_there_keeps_nobody_from_working(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    for name in ("events.jsonl", "events.1.jsonl"):
        spoil(tmp_path / name)
    before, _ = life(tmp_path, line(1))
    assert before == []
    before, _ = life(tmp_path, line(2))
    assert numbers(before) in ([1], [])


def test_without_a_directory_the_agent_says_so_and_works(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before, complaints = life(tmp_path / "file" / "lib", line(1))
    assert before == []
    (complaint,) = complaints
    assert complaint["event"] == "recording-failed"
    assert "Not a directory; what happens is not known after a restart of this agent" in str(complaint["detail"])


@pytest.mark.system
def test_a_full_disk_is_reported_and_survived(tmp_path: Path, need: Need) -> None:
    with small(tmp_path, need):
        _, complaints = life(tmp_path, *(line(number, "a" * 1000) for number in range(200)))
        assert complaints[-1]["event"] == "recording-failed"
