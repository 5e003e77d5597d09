"""The recorder: whatever the disk does, the agent goes on, and lost events are counted."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exavrrp.system import recorder
from exavrrp.system.recorder import Recorder
from tests.system import disks
from tests.system.disks import Freezer

if TYPE_CHECKING:
    from tests.system.conftest import Need, Run, Until

pytestmark = pytest.mark.system


class Told:
    """Collects what is logged."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, dict[str, object]]] = []

    def error(self, event: str, **fields: object) -> None:
        self.errors.append((event, fields))


def lost(count: int) -> bytes:
    return b"lost %d\n" % count


def line(number: int) -> bytes:
    return b"%099d\n" % number


@pytest.fixture
def log() -> Told:
    return Told()


@pytest.fixture
def full(tmp_path: Path, need: "Need") -> Iterator[Path]:
    """A directory in which only a few bytes are free."""
    directory = tmp_path / "small"
    directory.mkdir()
    with disks.small(directory, need):
        (directory / "ballast").write_bytes(b"x" * (64 << 10))
        yield directory


@pytest.fixture
def frozen(tmp_path: Path, need: "Need") -> Iterator[Freezer]:
    directory = tmp_path / "frozen"
    directory.mkdir()
    with disks.freezer(directory, need) as made:
        yield made


def test_lines_are_appended_in_order(tmp_path: Path, log: Told, run: "Run") -> None:
    path = tmp_path / "recording"

    async def record(*numbers: int) -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        for number in numbers:
            one.record(line(number))
        one.close()
        one.close()

    run(record(*range(5000)))
    run(record(5000, 5001))
    assert path.read_bytes() == b"".join(map(line, range(5002)))
    assert not log.errors


def test_others_may_not_read_it(tmp_path: Path, log: Told, run: "Run") -> None:
    path = tmp_path / "recording"

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        one.close()

    before = os.umask(0o022)
    try:
        run(record())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_line_that_a_predecessor_left_half_written_is_ended(tmp_path: Path, log: Told, run: "Run") -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"whole\nhal")

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        one.record(b"mine\n")
        one.close()

    run(record())
    assert path.read_bytes() == b"whole\nhal\nmine\n"


@pytest.mark.parametrize("kind", ["directory", "fifo", "missing", "null"])
def test_what_is_no_file_is_refused(tmp_path: Path, log: Told, run: "Run", kind: str) -> None:
    path = tmp_path / kind
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "missing":
            path = path / "recording"
        case _:
            path = Path("/dev/null")

    async def record() -> None:
        one = Recorder(path, lost, log)
        with pytest.raises(OSError, match=r"no ordinary file|Is a directory|No such file"):
            one.open(asyncio.get_running_loop())
        one.close()

    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    run(record())
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def test_a_full_disk_is_logged_once_and_retried(full: Path, log: Told, run: "Run", until: "Until") -> None:
    path = full / "recording"

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        for number in range(100):
            one.record(line(number))
        await until(lambda: log.errors)
        for number in range(100, 200):
            one.record(line(number))
        (full / "ballast").unlink()
        await until(lambda: path.stat().st_size == 200 * 100)
        one.close()

    run(record())
    assert path.read_bytes() == b"".join(map(line, range(200))), "nothing is missing, nothing is torn"
    detail = "No space left on device; it is tried again, and what does not fit in memory meanwhile is lost"
    assert log.errors == [("recording-failed", {"file": str(path), "detail": detail})]


def test_a_disk_that_stays_full_does_not_keep_the_agent_from_ending(full: Path, log: Told, run: "Run") -> None:
    path = full / "recording"

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        one.record(line(0))
        one.close()

    run(record())
    assert path.read_bytes() == b""
    assert ("recording-failed", {"file": str(path), "bytes": 100}) in log.errors


def test_a_disk_that_holds_its_writer_holds_nobody_else(
    frozen: Freezer, log: Told, run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "BUFFER", 1000)
    path = frozen.directory / "recording"

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        one.record(b"first\n")
        await until(lambda: path.stat().st_size == 6)
        frozen.freeze()
        for number in range(50):
            one.record(line(number))  # would not return before the watchdog has thawed it
        assert path.stat().st_size == 6, "frozen still"
        frozen.thaw()
        await until(lambda: path.stat().st_size == 6 + 1000)
        one.record(line(50))
        one.close()

    run(record(), limit=disks.WATCHDOG)
    assert path.read_bytes() == b"first\n" + b"".join(map(line, range(10))) + lost(40) + line(50)
    assert not log.errors


def test_lost_events_are_logged_at_the_end_too(
    full: Path, log: Told, run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "BUFFER", 1000)
    path = full / "recording"

    async def record() -> None:
        one = Recorder(path, lost, log)
        one.open(asyncio.get_running_loop())
        for number in range(12):
            one.record(line(number))
        await until(lambda: log.errors)
        (full / "ballast").unlink()
        await until(lambda: path.stat().st_size == 1000)
        one.close()

    run(record())
    assert path.read_bytes() == b"".join(map(line, range(10))) + lost(2)
