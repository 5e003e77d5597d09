"""The log: formats, rate limits, and that a reader who stops reading never blocks the agent."""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.counters import PIECE, pieces
from exavrrp.ports import Severity
from exavrrp.system.log import LIMIT, LONGEST, Format, LogWriter, as_text
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Fabric

PAGE = 4096
"""The smallest pipe; a page is also what a pipe must have free to count as writable."""


@dataclass
class Pipe:
    """A log on one end of a pipe; the time of its limits is ``now``."""

    form: Format
    now: float = 0.0
    log: LogWriter = field(init=False)

    def __post_init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.log = LogWriter(self.form, self.writer, lambda: self.now)

    def lines(self) -> list[str]:
        """What can be read now."""
        try:
            return os.read(self.reader, 1 << 20).decode().splitlines()
        except BlockingIOError:
            return []

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def shrink(self) -> None:
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PAGE)

    def close(self) -> None:
        os.close(self.writer)
        os.close(self.reader)


@pytest.fixture
def as_json() -> Iterator[Pipe]:
    pipe = Pipe(Format.JSON)
    yield pipe
    pipe.close()


@pytest.fixture
def text() -> Iterator[Pipe]:
    pipe = Pipe(Format.TEXT)
    yield pipe
    pipe.close()


# What a line says


def test_json_has_the_time_the_level_the_event_and_what_belongs_to_it(as_json: Pipe) -> None:
    before = datetime.now(UTC)
    as_json.log.info("address-bound", router="web", addresses=["2001:db8::1"])
    as_json.log.warning("advert-send-failed", errors="ENETUNREACH ×3")
    as_json.log.error("agent-start-failed", detail="no right")
    info, warning, error = as_json.records()
    assert [one["level"] for one in (info, warning, error)] == ["info", "warning", "error"]
    assert (info["event"], info["router"], info["addresses"]) == ("address-bound", "web", ["2001:db8::1"])
    assert warning["errors"] == "ENETUNREACH ×3"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", info["time"])
    assert before <= datetime.fromisoformat(info["time"]) <= datetime.now(UTC)


def test_json_takes_what_json_does_not_know_as_text(as_json: Pipe) -> None:
    as_json.log.info("odd", path=Path("/run"), level_of=Severity.INFO)
    (record,) = as_json.records()
    assert (record["path"], record["level_of"]) == ("/run", "info")


def test_text_has_the_time_and_the_level(text: Pipe) -> None:
    text.log.warning("route-not-accepted", detail="no neighbor is up")
    (line,) = text.lines()
    assert re.fullmatch(r'\S+Z warning: route-not-accepted detail="no neighbor is up"', line)


@pytest.mark.parametrize("form", ["text", "as_json"])
def test_an_event_is_one_line_whatever_a_program_printed(form: str, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(form)
    pipe.log.error("internal-error", detail="Traceback\n  File one\nboom")
    (line,) = pipe.lines()
    assert r"Traceback\n  File one\nboom" in line


TRANSITION = {"router": "web", "before": "backup", "after": "active", "reason": "active-down-timeout", "priority": 150}


@pytest.mark.parametrize(
    ("event", "fields", "said"),
    [
        ("transition", {**TRANSITION, "detail": ""}, "web: backup → active (active-down-timeout)"),
        ("transition", {**TRANSITION, "detail": "0.3 s"}, "web: backup → active (active-down-timeout: 0.3 s)"),
        (
            "address-bound",
            {"router": "web", "addresses": ["192.0.2.1", "192.0.2.2"]},
            "web: bound 192.0.2.1, 192.0.2.2",
        ),
        ("route-withdrawn", {"router": "web", "prefixes": ["192.0.2.1/32"]}, "web: withdrawn 192.0.2.1/32"),
        (
            "route-announced",
            {"router": "web", "prefixes": ["2001:db8:53::/64"], "state": "active"},
            "web: announced 2001:db8:53::/64 as active",
        ),
        ("agent-stopping", {"reason": "SIGTERM"}, "agent-stopping reason=SIGTERM"),
        ("paths-changed", {"interfaces": []}, "paths-changed interfaces=none"),
        ("paths-changed", {"interfaces": ["eth0", "eth1"]}, "paths-changed interfaces=eth0,eth1"),
        ("check-changed", {"detail": "", "result": "a b"}, 'check-changed detail="" result="a b"'),
        ("peers-unreachable", {}, "peers-unreachable"),
    ],
)
def test_text_reads_like_a_sentence(event: str, fields: dict[str, Any], said: str) -> None:
    assert as_text(event, fields) == said


def test_a_lone_surrogate_is_written_as_what_it_is(text: Pipe) -> None:
    text.log.info("check-changed", detail="\udcff")
    (line,) = text.lines()
    assert line.endswith(r"detail=\udcff")


@given(value=st.text(max_size=6000), form=st.sampled_from(Format))
def test_a_pipe_takes_every_line_whole(value: str, form: Format) -> None:
    pipe = Pipe(form)
    try:
        pipe.log.info("check-changed", detail=value)
        data = os.read(pipe.reader, 1 << 20)
    finally:
        pipe.close()
    assert len(data) <= PAGE
    assert data.endswith(b"\n")
    if form is Format.JSON:
        record = json.loads(data)
        assert record["event"] in ("check-changed", "line-too-long")
        assert data.count(b"\n") == 1


@pytest.mark.parametrize("peers", [0, 1, 2, PIECE, PIECE + 1, 255])
def test_what_was_counted_fits_into_lines(as_json: Pipe, peers: int) -> None:
    """However many there are, and as long as their names can be, with numbers of a year at 100 adverts a second."""
    names = [f"{IPv6Address((1 << 128) - 1 - number)} interface-of-15" for number in range(peers)]
    failed = {f"{name} EADDRNOTAVAIL": 10**10 for name in names}
    heard = {name.split()[0]: {"signed": 10**10, "unsigned": 10**10} for name in names}
    copies = dict.fromkeys(names, 10**10)
    kinds: list[dict[str, dict[str, Any]]] = [
        {"sent": copies, "failed": failed},
        {"copies": copies, "authentication": heard},
    ]
    for about in kinds:
        lines: list[dict[str, Any]] = []
        for piece in pieces(**about):
            as_json.log.info("counters-router", router="r" * 64, role="initialize", adverts={"sent": 10**10}, **piece)
            lines += as_json.records()
        assert {one["event"] for one in lines} == {"counters-router"}
        for name, counts in about.items():
            assert [found for one in lines for found in one[name].items()] == list(counts.items())


def test_a_record_that_is_too_long_is_marked(as_json: Pipe) -> None:
    as_json.log.info("counters", routers={"web": "x" * LONGEST})
    as_json.log.info("next")
    long, following = as_json.records()
    assert (long["event"], long["level"]) == ("line-too-long", "error")
    assert '"event": "counters"' in long["starts"]
    assert following["event"] == "next"


# What is repeated


def test_a_repeated_event_is_rate_limited_with_its_count(as_json: Pipe) -> None:
    def rejected(key: str = "checksum") -> list[int]:
        as_json.log.limited(key, Severity.WARNING, "packet-rejected", reason=key)
        return [one["count"] for one in as_json.records()]

    assert rejected() == [1]
    assert [rejected() for _ in range(3)] == [[], [], []]
    assert rejected("version") == [1], "another key has a limit of its own"
    as_json.now = LIMIT
    assert rejected() == [4]
    assert rejected() == []
    as_json.now = 10 * LIMIT
    assert rejected() == [2]


# Who reads


def test_a_full_pipe_drops_lines_and_logs_it_when_it_is_read_again(as_json: Pipe) -> None:
    as_json.shrink()
    for number in range(100):
        as_json.log.info("line", number=number)
    kept = as_json.records()
    assert [one["number"] for one in kept] == list(range(len(kept)))
    assert 0 < len(kept) < 100
    as_json.log.info("line", number=100)
    (told,) = as_json.records()
    assert (told["number"], told["lines_dropped"]) == (100, 100 - len(kept))
    as_json.log.info("line", number=101)
    (told,) = as_json.records()
    assert "lines_dropped" not in told


def test_text_counts_dropped_lines(text: Pipe) -> None:
    text.shrink()
    for _ in range(200):
        text.log.info("line", filler="x" * 100)
    kept = len(text.lines())
    text.log.info("line")
    assert text.lines()[0].endswith(f"lines_dropped={200 - kept}")


def test_a_closed_reader_does_no_harm(text: Pipe) -> None:
    os.close(text.reader)
    text.log.info("line")
    text.reader = os.open("/dev/null", os.O_RDONLY)


def test_a_file_takes_every_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = LogWriter(Format.JSON, file.fileno())
        for number in range(2000):
            log.info("line", number=number)
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == list(range(2000))


# A reader who sleeps, and the whole agent


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def fill(pipe: int) -> None:
    """Fill a pipe; for other processes it stays blocking."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b"x" * 79 + b"\n")
    os.close(own)


@pytest.mark.system
def test_a_log_that_nobody_reads_does_not_disturb_the_rhythm(fabric: Fabric) -> None:
    a, b, interval = fabric.a, fabric.b, 1.0
    a.configure(interval=interval)
    b.configure(interval=interval)
    reader, writer = os.pipe()
    a.start(stderr=writer)
    b.start()
    b.log.wait("transition")
    fabric.settled()
    (agent,) = a.agents()
    said = b""
    while b'"route-announced"' not in said:  # the last line before those that are asked for
        assert select.select([reader], [], [], running.LIMIT)[0], said
        said += os.read(reader, 1 << 20)
    fill(writer)
    full = time.time()
    for number in range(1, 9):
        os.kill(agent, signal.SIGUSR1)  # to log what it has counted
        fabric.sniffer.wait(number, a.source, via="a0", since=full)
    assert fabric.sniffer.longest_gap(a.source, "a0", full, time.time()) < 3 * interval, "the Backup waits longer"
    assert b.log.moves()[-1][1] == "backup"

    os.read(reader, 1 << 20)
    os.kill(agent, signal.SIGUSR1)
    told = json.loads(os.read(reader, 1 << 20).splitlines()[0])
    assert told["event"] == "counters-wire"
    assert 1 <= told["lines_dropped"] <= 8 * 4
    os.close(writer)
    os.close(reader)
