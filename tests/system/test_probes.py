"""Checks without a child process: real listeners, files, processes, interfaces and routing tables."""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config.kinds import File, Interface, Prefix, Probe, Process, Tcp
from exavrrp.config.notation import Endpoint
from exavrrp.system.checks import Checks, Outcome, kernel, probes, scheduling
from exavrrp.system.checks.probes import ProbeRun
from exavrrp.system.netlink import HEADER, Netlink, Request
from tests.checks import LONG, check

if TYPE_CHECKING:
    from tests.system.conftest import Namespace, Need, Run, Until


@dataclass
class Results:
    told: list[tuple[bool, str, int | None]] = field(default_factory=list)

    def __call__(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        self.told.append((passed, detail, value))
        return False


@contextlib.asynccontextmanager
async def running(probe: Probe, **options: Any) -> AsyncIterator[tuple[Checks, Results]]:
    results = Results()
    engine = Checks(results)
    engine.open(asyncio.get_running_loop())
    engine.set([check(probe, **options)])
    try:
        yield engine, results
    finally:
        await engine.close()


@pytest.fixture(name="ask")
def _ask(run: "Run", until: "Until") -> Callable[..., Any]:
    """The first result of a check."""

    async def first(probe: Probe, options: dict[str, Any]) -> tuple[bool, str, int | None]:
        async with running(probe, **options) as (_, results):
            await until(lambda: results.told)
            return results.told[0]

    return lambda probe, **options: run(first(probe, options))


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def tcp(address: str, port: int) -> Tcp:
    return Tcp(Endpoint(ip_address(address), port))


# TCP


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_that_accepts_passes_and_one_that_does_not_fails(ask: Any, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert ask(tcp(address, port)) == (True, "", None)
    with socket.socket(family) as silent:  # so that nobody else gets the port
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((address, port))
        assert ask(tcp(address, port)) == (False, "Connection refused", None)


def test_a_connection_to_ourselves_is_none(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def to_itself(loop: asyncio.AbstractEventLoop, opened: socket.socket, address: tuple[str, int]) -> None:
        opened.bind(address)  # what the kernel may choose by chance
        with contextlib.suppress(BlockingIOError):
            opened.connect(address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", to_itself)
    assert ask(tcp("127.0.0.1", port)) == (False, "Connection refused", None)


@pytest.mark.system
def test_a_host_that_does_not_answer_times_out_and_one_without_a_route_fails(
    namespace: "Callable[[], Namespace]", cable: Any, ask: Any
) -> None:
    here, there = namespace(), namespace()
    cable(here, "eth0", there, "eth0")
    here.ip("addr add 192.0.2.1/24 dev eth0\nneigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0")
    with here:
        assert ask(tcp("192.0.2.2", 80), timeout=0.2) == (False, "not done within 0.2 s", None)
        assert ask(tcp("198.51.100.1", 80)) == (False, "Network is unreachable", None)


# Files


def test_a_file_is_there_or_not(ask: Any, tmp_path: Path) -> None:
    file = tmp_path / "flag"
    assert ask(File(str(file), file_value=False)) == (False, "does not exist", None)
    file.touch()
    assert ask(File(str(file), file_value=False)) == (True, "", None)
    assert ask(File(str(file / "below"), file_value=False)) == (False, "does not exist", None)
    assert ask(File(str(tmp_path), file_value=False)) == (True, "", None)
    assert ask(File(f"/{'x' * 300}", file_value=False)) == (False, "File name too long", None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"7", (True, "holds 7", 7)),
        (b" -50 \r\n", (True, "holds -50", -50)),
        (b"+253\n", (True, "holds 253", 253)),
        (b"-253", (True, "holds -253", -253)),
        (b"254", (False, "holds 254, beyond 253", None)),
        (b"-1000", (False, "holds -1000, beyond -253", None)),
        (b"", (False, "is empty", None)),
        (b"\n", (False, "is empty", None)),
        (b"1.5", (False, 'holds "1.5", no number', None)),
        (b"7 8", (False, 'holds "7 8", no number', None)),
        (b"0x10", (False, 'holds "0x10", no number', None)),
        (b"1" * 100, (False, f'holds "{"1" * 20}", no number', None)),
        (b"7" + b" " * 100, (False, 'holds "7", no number', None)),
        ("٣".encode(), (False, 'holds "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", no number', None)),
        (b"a\x1b[31m", (False, 'holds "a\N{REPLACEMENT CHARACTER}[31m", no number', None)),
    ],
)
def test_a_file_holds_a_number_or_none(
    ask: Any, tmp_path: Path, content: bytes, expected: tuple[bool, str, int | None]
) -> None:
    file = tmp_path / "weight"
    file.write_bytes(content)
    assert ask(File(str(file), file_value=True)) == expected


def test_a_number_that_is_not_there_is_zero_and_one_that_cannot_be_read_is_none(ask: Any, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert ask(File(str(absent), file_value=True)) == (True, "does not exist: 0", 0)
    assert ask(File(str(tmp_path), file_value=True)) == (False, "Is a directory", None)
    os.mkfifo(absent)
    assert ask(File(str(absent), file_value=True)) == (False, "is empty", None), "and nobody waits for its other end"


@given(content=st.binary(max_size=kernel.NUMBER_BYTES))
def test_whatever_a_file_holds_is_a_number_or_a_failure(content: bytes) -> None:
    outcome = kernel.number(content)
    assert outcome.passed is (outcome.value is not None)
    assert outcome.detail.isprintable()
    if outcome.value is not None:
        assert int(content) == outcome.value
        assert abs(outcome.value) <= kernel.MOST


# Processes


@pytest.fixture(name="spawn")
def _spawn(tmp_path: Path, need: "Need") -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a program of a name; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []
    sleep = Path(need("sleep")).resolve()

    def spawn(name: str) -> subprocess.Popen[bytes]:
        program = tmp_path / name
        if not program.exists():
            shutil.copy(sleep, program)
        started.append(subprocess.Popen([program, "60"]))
        return started[-1]

    yield spawn
    for process in started:
        process.kill()
        process.wait()


# Of the name of a process the kernel keeps 15 bytes.
@pytest.mark.parametrize("name", ["xvrrp-15-bytes-", "xvrrp-a-name-that-is-longer", "xvrrp (1) S 2"])
def test_processes_are_counted_by_their_name(
    ask: Any, spawn: Callable[[str], subprocess.Popen[bytes]], name: str
) -> None:
    # Other processes of pytest may run the same.
    name = f"{name[:9]}{os.getpid() % 1000000:06}"[:15] if len(name) <= 15 else f"{name}-{os.getpid()}"
    assert ask(Process(name, 1)) == (False, "none runs", None)
    first = spawn(name)
    assert ask(Process(name, 1)) == (True, "", None)
    assert ask(Process(name, 2)) == (False, "1 of 2 run", None)
    spawn(name)
    assert ask(Process(name, 2)) == (True, "", None)
    assert ask(Process(name[:-1], 1)) == (False, "none runs", None)
    assert ask(Process(name + "x", 1)) == (False, "none runs", None)
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    assert ask(Process(name, 2)) == (False, "1 of 2 run", None), "a zombie does not count"


def test_a_script_of_a_long_name_is_found_behind_its_interpreter(ask: Any, tmp_path: Path, until: "Until") -> None:
    script = tmp_path / "xvrrp-script-with-a-long-name"
    script.write_text("#!/bin/sh\necho\nread x\n")
    script.chmod(0o755)
    process = subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        assert ask(Process(script.name, 1)) == (True, "", None)
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_ends_while_it_is_looked_at_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(entry: str) -> bytes:
        raise ProcessLookupError

    monkeypatch.setattr(kernel, "beginning_of_stat", ended)
    assert not kernel.is_called("1", b"init")
    monkeypatch.setattr(kernel, "beginning_of_stat", lambda entry: b"")
    assert not kernel.is_called("1", b"")


# Interfaces


@pytest.mark.system
def test_an_interface_passes_that_is_up_and_has_a_carrier(
    namespace: "Callable[[], Namespace]", cable: Any, ask: Any
) -> None:
    here, there = namespace(), namespace()
    cable(here, "eth0", there, "eth0")
    with here:
        assert ask(Interface("eth0")) == (True, "", None)
        assert ask(Interface("lo")) == (True, "", None)
        assert ask(Interface("eth1")) == (False, "no such device", None)
        there.ip("link set eth0 down")
        assert ask(Interface("eth0")) == (False, "has no carrier", None)
        here.ip("link set eth0 down")
        assert ask(Interface("eth0")) == (False, "is down", None)


# Routes

ABSENT = (False, "is not in the main table", None)
PRESENT = (True, "", None)


@pytest.mark.system
@pytest.mark.parametrize(
    ("family", "default", "prefix", "inner", "outer", "gateway", "link"),
    [
        ("-4", "0.0.0.0/0", "198.51.0.0/16", "198.51.0.0/17", "198.50.0.0/15", "192.0.2.2", "192.0.2.1/24"),
        ("-6", "::/0", "2001:db8::/32", "2001:db8::/33", "2001:d00::/24", "fd00::2", "fd00::1/64"),
    ],
    ids=["ipv4", "ipv6"],
)
def test_a_route_passes_that_leads_to_exactly_this_prefix(  # noqa: PLR0917
    namespace: "Callable[[], Namespace]",
    cable: Any,
    ask: Any,
    family: str,
    default: str,
    prefix: str,
    inner: str,
    outer: str,
    gateway: str,
    link: str,
) -> None:
    here, there = namespace(), namespace()
    cable(here, "eth0", there, "eth0")
    here.ip(f"addr add {link} dev eth0")

    def of(text: str) -> Any:
        with here:
            return ask(Prefix(ip_network(text)))

    here.ip(f"route add {inner} via {gateway}\nroute add {outer} via {gateway}", family)
    assert of(prefix) == ABSENT, "neither a part of it nor more than it"
    assert of(default) == ABSENT
    here.ip(f"route add default via {gateway}\nroute add {prefix} via {gateway} table 100", family)
    assert of(default) == PRESENT
    assert of(prefix) == ABSENT, "another table"
    here.ip(f"route add blackhole {prefix}", family)
    assert of(prefix) == ABSENT, "a black hole"
    here.ip(f"route del blackhole {prefix}\nroute add {prefix} via {gateway}", family)
    assert of(prefix) == PRESENT
    here.ip("route flush table main", family)
    assert of(prefix) == ABSENT
    assert of(default) == ABSENT


@pytest.mark.system
def test_a_route_over_a_dead_link_is_none(
    namespace: "Callable[[], Namespace]", cable: Any, run: "Run", until: "Until"
) -> None:
    here, there = namespace(), namespace()
    cable(here, "eth0", there, "eth0")
    here.ip("addr add 192.0.2.1/24 dev eth0\nroute add default via 192.0.2.2")

    async def body() -> None:
        async with running(Prefix(ip_network("0.0.0.0/0")), interval=0.05) as (_, results):
            await until(lambda: results.told)
            assert results.told == [PRESENT]
            there.ip("link set eth0 down")
            await until(lambda: results.told[-1] == ABSENT)

    with here:
        run(body())


@pytest.mark.system
def test_a_long_table_is_read_in_pieces(
    namespace: "Callable[[], Namespace]", run: "Run", until: "Until", cable: Any
) -> None:
    here, there = namespace(), namespace()
    cable(here, "eth0", there, "eth0")
    here.ip("addr add 192.0.2.1/24 dev eth0")
    here.ip("\n".join(f"route add 10.{n // 256}.{n % 256}.0/24 via 192.0.2.2" for n in range(5000)))
    turns = 0

    async def body() -> None:
        nonlocal turns
        question = asyncio.ensure_future(kernel.route(Prefix(ip_network("10.255.255.0/24"))))
        while not question.done():
            turns += 1
            await asyncio.sleep(0)
        assert question.result() == Outcome(passed=False, detail="is not in the main table")

    with here:
        run(body())
    assert turns > 10


def test_a_table_that_always_changes_is_given_up(run: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(kernel: Netlink, request: Request) -> Iterator[bytes]:
        raise InterruptedError

    monkeypatch.setattr(Netlink, "parts", changing)
    outcome = run(kernel.route(Prefix(ip_network("::/0"))))
    assert outcome == Outcome(passed=False, detail="the table changes too fast to be read")


@given(body=st.binary(max_size=80), length=st.sampled_from([0, 24, 32]), told=st.integers(0, 200))
def test_no_netlink_message_upsets_the_search(body: bytes, length: int, told: int) -> None:
    packet = HEADER.pack(told, 24, 0, 0, 0) + body
    assert kernel.is_route(packet, 0, bytes(4), length) in {True, False}


attribute = st.tuples(st.integers(0, 12), st.integers(0, 3), st.binary(max_size=8))


@given(attributes=st.lists(attribute, max_size=5), length=st.sampled_from([0, 24]))
def test_no_route_upsets_the_search(attributes: list[tuple[int, int, bytes]], length: int) -> None:
    route = struct.pack("=8BI", 2, length, 0, 0, 254, 0, 0, 1, 0)
    route += b"".join(struct.pack("=HH", size, kind) + content for size, kind, content in attributes)
    packet = HEADER.pack(HEADER.size + len(route), 24, 0, 0, 0) + route
    assert kernel.is_route(packet, 0, bytes(4), length) is True or length != 0


# The run of a question


def test_questions_never_overlap_and_overruns_fail(run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    given_up = asyncio.Event()

    async def stubborn(probe: File) -> Outcome:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.sleep(LONG)
        while not given_up.is_set():  # will not be cancelled
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return Outcome(passed=True, detail="too late")

    monkeypatch.setattr(kernel, "file", stubborn)

    async def body() -> None:
        async with running(File("/x", file_value=False), interval=0.1, timeout=0.15) as (_, results):
            await until(lambda: len(results.told) >= 3)
            assert asked == 1
            assert results.told[0] == (False, "not done within 0.15 s", None)
            assert all(detail.startswith("still there after ") for _, detail, _ in results.told[1:3])
            given_up.set()
            await until(lambda: asked == 2)
            assert not any(passed for passed, _, _ in results.told)

    run(body())


def test_close_ends_a_probe_and_reports_nothing(run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def endless(probe: File) -> Outcome:
        begun.set()
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.set()
        return Outcome(passed=True)

    monkeypatch.setattr(kernel, "file", endless)
    monkeypatch.setattr(scheduling, "CLOSING_LIMIT", LONG)

    async def body() -> None:
        async with running(File("/x", file_value=False)) as (engine, results):
            await begun.wait()
            await engine.close()  # within the limit of each test, which is far below that one
            assert ended.is_set()
            assert results.told == []

    run(body())


async def turns(count: int) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_time_out_that_comes_late_is_our_fault_and_forgiven_once(run: "Run", elapse: Callable[[float], None]) -> None:
    async def body(answers: bool) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        reply = asyncio.Event()

        async def question() -> Outcome:
            await reply.wait()
            return Outcome(passed=True)

        told: list[Outcome] = []
        attempt = ProbeRun(question(), LONG, loop, told.append, lambda: None)
        for seconds in (LONG + 2 * probes.LATE, LONG - 1.0):  # we were away; it is given its whole time once more
            elapse(seconds)
            await turns(2)
            assert told == []
        if answers:
            reply.set()
        else:
            elapse(1.0 + 2 * probes.LATE)
        await attempt.finished.wait()
        return told

    assert run(body(answers=True), 10 * LONG) == [Outcome(passed=True)]
    assert run(body(answers=False), 10 * LONG) == [Outcome(passed=False, detail="not done within 600 s")]


def test_a_bug_of_ours_is_not_taken_for_a_failure(until: "Until", monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(probe: File) -> Outcome:
        raise ZeroDivisionError

    monkeypatch.setattr(kernel, "file", broken)

    async def body() -> None:
        raised: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))
        async with running(File("/x", file_value=False)) as (_, results):
            await until(lambda: raised)
            assert isinstance(raised[0]["exception"], ZeroDivisionError)
            assert results.told == []

    asyncio.run(body())
