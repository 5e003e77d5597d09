"""Notifications of transitions, as keepalived's: programs, FIFOs and sockets, which never delay the agent.

Privileges are needed only to see that programs do not get them.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exavrrp import __version__
from exavrrp.config import VirtualRouter
from exavrrp.config.settings import Transport
from exavrrp.ports import NotifyState
from exavrrp.presence import Handover
from exavrrp.routes import Attributes
from exavrrp.system import capabilities, children, descendants, notify
from exavrrp.system.children import Child
from exavrrp.system.notify import QUEUE, Notifier
from exavrrp.takeover import RoutePolicy
from exavrrp.virtual_address import VirtualAddress
from tests.system.conftest import CAP_NET_ADMIN, make_ambient

if TYPE_CHECKING:
    from tests.system.conftest import Run, Until

Body = Callable[[], Awaitable[None]]
MASTER, BACKUP, FAULT, STOP = NotifyState

KEEPALIVED = """#!/bin/bash
# As found with keepalived: reads its four arguments, and knows nothing of us.
TYPE=$1
NAME=$2
STATE=$3
PRIO=$4
case $STATE in
    "MASTER") echo "$TYPE $NAME serves with $PRIO" >> {log} ;;
    "BACKUP") echo "$TYPE $NAME waits with $PRIO" >> {log} ;;
    "FAULT"|"STOP") echo "$TYPE $NAME is out ($STATE, $PRIO)" >> {log} ;;
    *) echo "unknown state $STATE" >> {log}; exit 1 ;;
esac
"""


def virtual_router(name: str = "web", **keys: Any) -> VirtualRouter:
    values: dict[str, Any] = {
        "name": name,
        "vrid": 7,
        "priority": 100,
        "virtual_addresses": (
            VirtualAddress(ip_address("2001:db8:53::1")),
            VirtualAddress(ip_address("2001:db8:53::2")),
        ),
        "announce": (ip_network("2001:db8:53::1"), ip_network("2001:db8:53::2")),
        "source": None,
        "peers": (),
        "interfaces": None,
        "preempt": True,
        "preempt_delay": 0.0,
        "advert_interval": 1.0,
        "down_count": 3,
        "learned_interval_max": 10.0,
        "handover": Handover.MAKE_BEFORE_BREAK,
        "handover_hold": 1.0,
        "linger": 2.0,
        "checks": (),
        "group": None,
        "notify": None,
        "notify_active": None,
        "notify_backup": None,
        "notify_fault": None,
        "notify_stop": None,
        "notify_fifo": None,
        "notify_socket": None,
        "notify_timeout": 30.0,
        "handover_ceiling": 30.0,
        "min_sessions": 1,
        "sessions_neighbors": (),
        "sessions_weight": 0,
        "startup_hold": 60.0,
        "standby": False,
        "prebind": False,
        "route_policy": RoutePolicy.derived(Attributes()),
        "stale_for": 180.0,
        "authentication": None,
        "version": 3,
        "plain_password": None,
        "transport": Transport.ROUTED,
        **keys,
    }
    return VirtualRouter(**values)


class Log:
    """What was logged, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def _record(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    info = warning = error = _record

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


def opened(*routers: VirtualRouter) -> tuple[Notifier, Log]:
    """A notifier for these routers, which the test closes, and its log."""
    log = Log()
    notifier = Notifier(log)
    notifier.open(asyncio.get_running_loop())
    notifier.set(routers)
    return notifier, log


@contextlib.asynccontextmanager
async def notifying(*routers: VirtualRouter) -> AsyncIterator[tuple[Notifier, Log]]:
    """The same; closes the notifier at the end of the block."""
    notifier, log = opened(*routers)
    try:
        yield notifier, log
    finally:
        await notifier.close()


def tell(notifier: Notifier, *states: NotifyState, name: str = "web", priority: int = 100) -> None:
    before = "INIT"
    for state in states:
        notifier.tell(name, state, priority, before, "nothing heard\nfor 3 s")
        before = state


def fill(notifier: Notifier, full: Callable[[dict[str, int], int], bool]) -> int:
    """Report transitions until ``full(counters of the FIFO, number of transitions)``; that number."""
    number = 0
    while not full(next(iter(notifier.counters().values()), {}), number):
        notifier.tell("web", MASTER if number % 2 else BACKUP, number, "INIT", "")
        number += 1
    return number


def one_line_waits(counts: dict[str, int], told: int) -> bool:
    return counts.get("written", 0) < told


def there_and_back(times: int) -> list[NotifyState]:
    return [MASTER if number % 2 else BACKUP for number in range(times)]


def remove(path: str) -> None:
    Path(path).unlink()


def lines(path: Path) -> list[str]:
    try:
        return path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.fixture(name="log_file")
def _log_file(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture(name="script")
def _script(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    def make(text: str, name: str = "script", mode: int = 0o755) -> tuple[str, ...]:
        path = tmp_path / name
        # Written under another name: a file that somebody has open for writing cannot be executed.
        path.with_suffix(".new").write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
        path.with_suffix(".new").chmod(mode)
        path.with_suffix(".new").rename(path)
        return (str(path),)

    return make


Script = Callable[..., tuple[str, ...]]


@dataclass(frozen=True)
class Gate:
    """Where a program waits: its line is ``gate.wait``."""

    path: Path

    @property
    def wait(self) -> str:
        return f"read -r x < {self.path}"

    async def open(self) -> None:
        """Let one program go on, as soon as it waits."""
        await asyncio.to_thread(self.path.write_text, "go on\n")


@pytest.fixture(name="gate")
def _gate(tmp_path: Path) -> Gate:
    os.mkfifo(tmp_path / "gate")
    return Gate(tmp_path / "gate")


@pytest.fixture(name="fifo")
def _fifo(tmp_path: Path) -> str:
    """The path of a FIFO that is not made yet."""
    return str(tmp_path / "fifo")


# Programs, as keepalived tells them


def test_a_script_of_keepalived_works_unchanged(run: "Run", until: "Until", script: Script, log_file: Path) -> None:
    async def body() -> None:
        program = script(KEEPALIVED.format(log=log_file))
        async with notifying(virtual_router(notify=program)) as (notifier, log):
            tell(notifier, BACKUP, MASTER, FAULT, BACKUP, STOP, priority=150)
            await until(lambda: len(lines(log_file)) == 5)
            await until(lambda: notifier.counters() == {"web": {"done": 5}})
        assert lines(log_file) == [
            "INSTANCE web waits with 150",
            "INSTANCE web serves with 150",
            "INSTANCE web is out (FAULT, 150)",
            "INSTANCE web waits with 150",
            "INSTANCE web is out (STOP, 150)",
        ]
        assert log.lines == []

    run(body())


def test_the_program_for_a_state_comes_first_and_gets_nothing_more(
    run: "Run", until: "Until", script: Script, log_file: Path
) -> None:
    async def body() -> None:
        own = script(f'echo "own $# $*" >> {log_file}', "own")
        router = virtual_router(
            notify=(*script(f'echo "all $# $*" >> {log_file}', "all"), "extra"),
            notify_active=(*own, "active"),
            notify_backup=own,
            notify_fault=(*own, "fault", "two"),
            notify_stop=(*own, "stop"),
        )
        async with notifying(router) as (notifier, _):
            tell(notifier, BACKUP, MASTER, FAULT, STOP)
            await until(lambda: len(lines(log_file)) == 8)
        assert lines(log_file) == [
            "own 0 ",
            "all 5 extra INSTANCE web BACKUP 100",
            "own 1 active",
            "all 5 extra INSTANCE web MASTER 100",
            "own 2 fault two",
            "all 5 extra INSTANCE web FAULT 100",
            "own 1 stop",
            "all 5 extra INSTANCE web STOP 100",
        ]

    run(body())


def test_what_a_program_gets(run: "Run", until: "Until", script: Script, log_file: Path) -> None:
    async def body() -> None:
        told = "env | sort; pwd; umask; readlink /proc/$$/fd/{0,1,2}; readlink /proc/$$/fd/* | tr '\\n' ' '; echo; "
        program = script(f"exec 9>{log_file}.part; {{ {told} }} >&9 9>&-; mv {log_file}.part {log_file}")
        async with notifying(virtual_router(notify_active=program)) as (notifier, _):
            tell(notifier, BACKUP, MASTER)
            await until(log_file.exists)
        found = lines(log_file)
        environment = dict(line.split("=", 1) for line in found if "=" in line)
        for shells_own in ("_", "PWD", "SHLVL", "OLDPWD"):
            environment.pop(shells_own, None)
        assert environment == {
            **children.ENVIRONMENT,
            "EXAVRRP_NAME": "web",
            "EXAVRRP_STATE": "MASTER",
            "EXAVRRP_BEFORE": "BACKUP",
            "EXAVRRP_REASON": "nothing heard for 3 s",
            "EXAVRRP_PRIORITY": "100",
            "EXAVRRP_VRID": "7",
            "EXAVRRP_ADDRESSES": "2001:db8:53::1 2001:db8:53::2",
            "EXAVRRP_VERSION": __version__,
        }
        assert [line for line in found if "=" not in line][:3] == ["/", "0022", "/dev/null"]

    # Known by what it leads to: the shell opens descriptors of its own, and their numbers are any.
    ours = log_file.with_name("ours")
    ours.touch()
    inherited = os.open(ours, os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003 — no keyword
    try:
        run(body())
    finally:
        os.close(inherited)
    led_to = lines(log_file)[-1].split()
    assert "/dev/null" in led_to
    assert str(ours) not in led_to, "a descriptor of ours"


def test_the_same_state_is_notified_once(run: "Run", until: "Until", script: Script, log_file: Path) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify=script(f'echo "$3" >> {log_file}'))) as (notifier, _):
            tell(notifier, BACKUP, BACKUP, FAULT, FAULT, BACKUP)
            await until(lambda: notifier.counters() == {"web": {"done": 3}})
        assert lines(log_file) == ["BACKUP", "FAULT", "BACKUP"]

    run(body())


def test_what_a_program_leaves_in_the_background_stays(
    run: "Run", until: "Until", script: Script, log_file: Path
) -> None:
    async def body() -> None:
        program = script(f"sleep 60 & echo $! >> {log_file}")
        async with notifying(virtual_router(notify=program)) as (notifier, _):
            tell(notifier, MASTER)
            await until(lambda: notifier.counters() == {"web": {"done": 1}})
        [number] = map(int, lines(log_file))
        os.kill(number, signal.SIGKILL)  # raises if it is gone

    run(body())


# One after the other


def test_a_burst_is_notified_in_order_and_ends_with_the_last(
    run: "Run", until: "Until", script: Script, log_file: Path
) -> None:
    async def body() -> None:
        program = script(f'echo "begin $3 $4" >> {log_file}; echo "end $3 $4" >> {log_file}')
        async with notifying(virtual_router(notify=program)) as (notifier, log):
            for number, state in enumerate(there_and_back(200)):
                notifier.tell("web", state, number, "INIT", "")
            # Nothing ran before ``tell`` returned: half of them wait, and the older half is dropped.
            assert notifier.counters() == {"web": {"dropped": 200 - QUEUE}}
            await until(lambda: notifier.counters()["web"].get("done") == QUEUE)
        expected = []
        for number, state in enumerate(there_and_back(200)):
            if number >= 200 - QUEUE:
                expected += [f"begin {state} {number}", f"end {state} {number}"]
        assert lines(log_file) == expected
        assert log.events() == ["notify-queue-full"]

    run(body())


def test_routers_do_not_wait_for_each_other(run: "Run", until: "Until", script: Script, log_file: Path) -> None:
    async def body() -> None:
        slow = virtual_router("slow", notify=script(f"echo $$ > {log_file}.slow; exec sleep 60", "slow"))
        quick = virtual_router("quick", notify=script(f'echo "$2 $3" >> {log_file}', "quick"))
        async with notifying(slow, quick) as (notifier, _):
            tell(notifier, MASTER, name="slow")
            tell(notifier, MASTER, BACKUP, name="quick")
            await until(lambda: notifier.counters() == {"quick": {"done": 2}})
            await until(lambda: lines(Path(f"{log_file}.slow")))
            os.kill(int(lines(Path(f"{log_file}.slow"))[0]), signal.SIGTERM)
            await until(lambda: notifier.counters().get("slow") == {"failed": 1})
        assert lines(log_file) == ["quick MASTER", "quick BACKUP"]

    run(body())


def test_the_engine_is_not_kept_waiting(
    run: "Run", until: "Until", script: Script, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``tell`` starts no program. Between two starts the event loop has a turn, and time, for everything else."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        program = script(f'echo "$2" >> {log_file}')
        routers = [virtual_router(f"r{number}", notify=program) for number in range(20)]
        happened: list[str] = []
        begun = Child.__init__

        def begin(child: Child, *rest: Any, **keys: Any) -> None:
            happened.append("start")
            loop.call_soon(happened.append, "turn")
            loop.call_later(notify.PAUSE / 2, happened.append, "alarm")
            begun(child, *rest, **keys)

        monkeypatch.setattr(Child, "__init__", begin)
        async with notifying(*routers) as (notifier, _):
            for router in routers:
                tell(notifier, MASTER, name=router.name)
            assert happened == []
            await until(lambda: sum(counts["done"] for counts in notifier.counters().values()) == 20)
            await until(lambda: happened.count("alarm") == 20)
        assert happened == ["start", "turn", "alarm"] * 20
        assert len(lines(log_file)) == 20

    run(body())


# Programs that fail


@pytest.fixture
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ignores SIGTERM is killed soon after it."""
    monkeypatch.setattr(notify, "GRACE", 0.1)


@pytest.mark.usefixtures("_short_grace")
def test_a_program_that_hangs_is_ended_with_all_of_its_group(
    run: "Run", until: "Until", script: Script, log_file: Path, elapse: Callable[[float], None]
) -> None:
    async def body() -> None:
        stubborn = f"trap '' TERM; sleep 60 & echo $$ $! >> {log_file}; wait; wait"
        router = virtual_router(notify_active=script(stubborn), notify=("/bin/true",), notify_timeout=4.0)
        async with notifying(router) as (notifier, log):
            tell(notifier, MASTER)
            await until(lambda: lines(log_file))
            elapse(4.0)
            await until(lambda: notifier.counters() == {"web": {"failed": 1, "done": 1}})
        [(event, fields)] = log.lines
        assert (event, fields["detail"], fields["state"]) == ("notify-failed", "not done within 4 s", MASTER)
        [numbers] = lines(log_file)
        await until(lambda: all(gone(int(number)) for number in numbers.split()))

    run(body())


def gone(number: int) -> bool:
    """Whether the process has ended (an orphan's zombie may wait for a slow init)."""
    try:
        about = Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return about.rpartition(")")[2].split()[0] in "ZX"


def test_a_missing_or_failing_program_is_logged_and_the_next_one_runs(
    run: "Run", until: "Until", script: Script, log_file: Path
) -> None:
    async def body() -> None:
        router = virtual_router(
            notify_active=("/nonexistent/notify",),
            notify_backup=script("exit 3", "fails"),
            notify_fault=script("kill -KILL $$", "killed"),
            notify=script(f'echo "$3" >> {log_file}', "all"),
        )
        async with notifying(router) as (notifier, log):
            tell(notifier, MASTER, BACKUP, FAULT)
            await until(lambda: notifier.counters() == {"web": {"failed": 3, "done": 3}})
        details = [str(fields["detail"]) for _, fields in log.lines]
        assert "No such file or directory" in details[0]
        assert details[1:] == ["exit status 3", "killed by SIGKILL"]
        assert [fields["state"] for _, fields in log.lines] == [MASTER, BACKUP, FAULT]
        assert lines(log_file) == ["MASTER", "BACKUP", "FAULT"]

    run(body())


def test_without_a_pidfd_the_end_is_seen_too(
    run: "Run", until: "Until", script: Script, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(number: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", absent)

    async def body() -> None:
        async with notifying(virtual_router(notify=script(f'echo "$3" >> {log_file}'))) as (notifier, _):
            tell(notifier, MASTER, BACKUP)
            await until(lambda: notifier.counters() == {"web": {"done": 2}})
        assert lines(log_file) == ["MASTER", "BACKUP"]

    run(body())


# What a program may do


WITHOUT_ANY = ("/bin/sh", "-c", "! grep -v Bnd /proc/self/status | grep -q '^Cap[A-Z][a-z]*:.*[1-9a-f]'")
"""Fails with any capability, be it only inheritable."""


async def _tell_one_without_any(until: "Until") -> None:
    async with notifying(virtual_router(notify_active=WITHOUT_ANY)) as (notifier, log):
        tell(notifier, MASTER)
        await until(notifier.counters)
        assert log.lines == []
        assert notifier.counters() == {"web": {"done": 1}}


@pytest.mark.system
def test_the_program_of_an_agent_with_ambient_capabilities_has_none(
    until: "Until", with_two_capabilities: Callable[[Callable[[], None]], None]
) -> None:
    def body() -> None:
        make_ambient(CAP_NET_ADMIN)
        assert subprocess.run(WITHOUT_ANY, check=False).returncode == 1, "what a child gets unless it is withheld"
        asyncio.run(_tell_one_without_any(until))
        assert capabilities.missing() == [], "ours are where they were"

    with_two_capabilities(body)


@pytest.mark.system
def test_the_program_of_root_is_root_without_its_capabilities(run: "Run", until: "Until", need_root: None) -> None:
    assert subprocess.run(WITHOUT_ANY, check=False).returncode == 1
    run(_tell_one_without_any(until))
    assert capabilities.missing() == []


def test_what_root_must_not_run_is_not_run(
    run: "Run", until: "Until", script: Script, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    async def body() -> None:
        program = script(f"echo ran >> {log_file}", mode=0o777)
        async with notifying(virtual_router(notify=program)) as (notifier, log):
            tell(notifier, MASTER)
            await until(lambda: log.lines)
        [(event, fields)] = log.lines
        assert event == "notify-failed"
        assert re.match("not run as root: a program that .* can change.*; ch(mod|own) .* /", str(fields["detail"]))
        assert notifier.counters() == {"web": {"failed": 1}}

    run(body())
    assert not log_file.exists()


# A FIFO


def test_a_fifo_is_made_and_its_reader_gets_lines_in_order(
    run: "Run", until: "Until", tmp_path: Path, fifo: str
) -> None:
    read = tmp_path / "read"

    async def body() -> None:
        routers = (virtual_router("web", notify_fifo=fifo), virtual_router("four", notify_fifo=fifo))
        async with notifying(*routers) as (notifier, log):
            assert os.lstat(fifo).st_mode == stat.S_IFIFO | 0o600
            reader = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", f'while read -r line; do echo "$line" >> {read}; done < {fifo}'
            )
            descriptor = os.open(fifo, os.O_WRONLY)  # waits for the reader
            tell(notifier, BACKUP, MASTER, priority=150)
            tell(notifier, BACKUP, FAULT, STOP, name="four", priority=90)
            os.close(descriptor)
            await until(lambda: len(lines(read)) == 5)
            assert notifier.counters() == {fifo: {"written": 5}}
        assert await reader.wait() == 0, "the end of the agent is the end of the file"
        assert lines(read) == [
            'INSTANCE "web" BACKUP 150',
            'INSTANCE "web" MASTER 150',
            'INSTANCE "four" BACKUP 90',
            'INSTANCE "four" FAULT 90',
            'INSTANCE "four" STOP 90',
        ]
        assert log.lines == []
        assert os.lstat(fifo).st_mode == stat.S_IFIFO | 0o600, "it stays for our successor"

    run(body())


def test_a_fifo_that_nobody_reads_loses_lines_counted_and_logged_once(run: "Run", fifo: str) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=fifo)) as (notifier, log):
            tell(notifier, *there_and_back(50))
            assert notifier.counters() == {fifo: {"dropped": 50}}
            assert log.events() == ["notify-reader-lost"]
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            tell(notifier, FAULT)
            assert os.read(reader, 4096) == b'INSTANCE "web" FAULT 100\n'
            assert log.lines[1:] == [("notify-reader-restored", {"path": fifo, "lines_dropped": 50})]
            os.close(reader)
            tell(notifier, STOP)
            assert log.events() == ["notify-reader-lost", "notify-reader-restored", "notify-reader-lost"]

    run(body())


def test_a_reader_that_is_replaced_gets_what_follows(run: "Run", fifo: str) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=fifo)) as (notifier, _):
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            tell(notifier, BACKUP)
            os.close(reader)
            remove(fifo)
            tell(notifier, MASTER)
            assert notifier.counters() == {fifo: {"written": 1, "dropped": 1}}
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # made anew
            tell(notifier, FAULT)
            assert os.read(reader, 4096) == b'INSTANCE "web" FAULT 100\n'
            os.close(reader)

    run(body())


def test_a_full_fifo_gets_the_last_lines_in_order_when_there_is_room(run: "Run", until: "Until", fifo: str) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=fifo)) as (notifier, log):
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            number = fill(notifier, lambda counts, _: counts.get("dropped", 0) == 10)
            assert log.events() == ["notify-reader-lost"]
            assert "slower than the transitions" in str(log.lines[0][1]["detail"])
            got = b""

            def drained() -> bool:
                nonlocal got
                with contextlib.suppress(BlockingIOError):
                    got += os.read(reader, 65536)
                return got.endswith(f" {number - 1}\n".encode())

            await until(drained)
            os.close(reader)
            told = [int(line.split()[-1]) for line in got.splitlines()]
            assert told == sorted(told)
            assert told[-QUEUE:] == list(range(number - QUEUE, number))
            assert len(told) == number - 10
            assert log.events() == ["notify-reader-lost", "notify-reader-restored"]

    run(body())


def test_what_a_full_fifo_could_not_take_is_counted_at_the_end(run: "Run", until: "Until", fifo: str) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=fifo)) as (notifier, log):
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            number = fill(notifier, one_line_waits)
        assert log.events() == ["notify-reader-lost"]
        assert notifier.counters() == {fifo: {"written": number - 1, "dropped": 1}}
        os.close(reader)

    run(body())


def test_the_reader_of_a_full_fifo_goes_away(run: "Run", until: "Until", fifo: str) -> None:
    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=fifo)) as (notifier, log):
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            fill(notifier, one_line_waits)
            os.close(reader)
            await until(lambda: log.lines)
            assert "nobody reads it" in str(log.lines[0][1]["detail"])
            assert notifier.counters()[fifo]["dropped"] == 1

    run(body())


@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_what_is_no_fifo_is_left_alone(run: "Run", tmp_path: Path, what: str) -> None:
    path, target = tmp_path / "path", tmp_path / "target"
    if what == "file":
        path.write_text("precious")
    elif what == "directory":
        path.mkdir()
    else:
        os.mkfifo(target)
        path.symlink_to(target)

    async def body() -> None:
        async with notifying(virtual_router(notify_fifo=str(path))) as (notifier, log):
            assert log.events() == ["notify-unusable"]
            tell(notifier, MASTER, BACKUP)
            assert log.events() == ["notify-unusable", "notify-reader-lost"]
            assert "no FIFO; remove it, or correct notify_fifo" in str(log.lines[1][1]["detail"])
            assert notifier.counters() == {str(path): {"dropped": 2}}

    run(body())
    assert what != "file" or path.read_text() == "precious"


# A socket


def test_a_socket_gets_a_datagram_for_each(run: "Run", until: "Until", tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def body() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(path))
            receiver.settimeout(0)
            async with notifying(virtual_router(notify_socket=str(path))) as (notifier, log):
                tell(notifier, BACKUP, MASTER)
                assert receiver.recv(4096) == b'INSTANCE "web" BACKUP 100\n'
                assert receiver.recv(4096) == b'INSTANCE "web" MASTER 100\n'
                # A receiver's queue is short (net.unix.max_dgram_qlen): what does not fit waits for it.
                for number in range(60):
                    notifier.tell("web", MASTER if number % 2 else BACKUP, number, "INIT", "")
                told: list[int] = []

                def received() -> bool:
                    with contextlib.suppress(BlockingIOError):
                        told.append(int(receiver.recv(4096).split()[-1]))
                    return len(told) == 60

                await until(received)
                assert told == list(range(60))
                assert log.lines == []

    run(body())


def test_a_socket_that_is_absent_or_replaced(run: "Run", tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def body() -> None:
        async with notifying(virtual_router(notify_socket=str(path))) as (notifier, log):
            tell(notifier, BACKUP, MASTER)
            assert notifier.counters() == {str(path): {"dropped": 2}}
            assert log.events() == ["notify-reader-lost"]
            for state in (BACKUP, MASTER):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
                    receiver.bind(str(path))
                    tell(notifier, state)
                    assert receiver.recv(4096) == f'INSTANCE "web" {state} 100\n'.encode()
                path.unlink()
            assert log.events() == ["notify-reader-lost", "notify-reader-restored"]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
                receiver.bind(str(path))
            tell(notifier, STOP)  # the receiver is gone, its file is not
            assert "nobody reads it" in str(log.lines[-1][1]["detail"])

    run(body())


# Other routers, and other programs


def test_a_router_that_stays_keeps_its_program_its_queue_and_its_last_state(
    run: "Run", until: "Until", script: Script, log_file: Path, gate: Gate
) -> None:
    program = script(f'echo $$ >> {log_file}.pids; echo "$2 $3" >> {log_file}; {gate.wait}')
    other = script(f'echo "other $2 $3" >> {log_file}', "other")

    async def body() -> None:
        web, dns = virtual_router(notify=program), virtual_router("dns", notify=other)
        async with notifying(web) as (notifier, log):
            tell(notifier, MASTER, BACKUP)
            await until(lambda: lines(log_file) == ["web MASTER"])
            [number] = map(int, lines(Path(f"{log_file}.pids")))
            for routers in ([web, dns], [dns, web], [web]):
                notifier.set(routers)
            assert number in descendants.children(os.getpid()), "the very process"
            notifier.set([dns, web])
            tell(notifier, MASTER, name="dns")
            await until(lambda: "other dns MASTER" in lines(log_file))
            tell(notifier, BACKUP)  # known already
            await gate.open()
            await until(lambda: "web BACKUP" in lines(log_file))
            await gate.open()
            await until(lambda: notifier.counters() == {"web": {"done": 2}, "dns": {"done": 1}})
            assert lines(log_file) == ["web MASTER", "other dns MASTER", "web BACKUP"]
            assert log.lines == []

    run(body())


def test_another_program_counts_from_the_next_start_on(
    run: "Run", until: "Until", script: Script, log_file: Path, gate: Gate
) -> None:
    before = script(f'echo "before $3" >> {log_file}; {gate.wait}')
    after = script(f'echo "after $3" >> {log_file}', "after")

    async def body() -> None:
        async with notifying(virtual_router(notify=before)) as (notifier, _):
            tell(notifier, MASTER, BACKUP, FAULT)
            await until(lambda: lines(log_file) == ["before MASTER"])
            notifier.set([virtual_router(notify_fault=after)])
            await gate.open()
            # Nobody is told of the second one any more; that does not keep the third one waiting.
            await until(lambda: lines(log_file)[1:] == ["after "])
            await until(lambda: notifier.counters() == {"web": {"done": 2}})

    run(body())


def test_the_last_transition_of_a_removed_router_is_still_notified(
    run: "Run", until: "Until", script: Script, log_file: Path, gate: Gate
) -> None:
    program = script(f'echo "$3" >> {log_file}; {gate.wait}')

    async def body() -> None:
        web = virtual_router(notify=program)
        before = set(descendants.children(os.getpid()))
        async with notifying(web) as (notifier, log):
            tell(notifier, MASTER, BACKUP, STOP)
            await until(lambda: lines(log_file) == ["MASTER"])
            notifier.set([])
            await gate.open()
            await until(lambda: lines(log_file) == ["MASTER", "STOP"])
            await gate.open()
            await until(lambda: set(descendants.children(os.getpid())) == before)
            notifier.set([])
            notifier.set([web])
            tell(notifier, STOP)  # it is another one: nothing was told of it
            await until(lambda: lines(log_file) == ["MASTER", "STOP", "STOP"])
            await gate.open()
            await until(lambda: notifier.counters() == {"web": {"done": 1}})
            assert log.events() == ["notify-queue-full"]

    run(body())


def test_programs_of_a_router_that_comes_back_never_run_twice_at_once(
    run: "Run", until: "Until", script: Script, log_file: Path, gate: Gate
) -> None:
    program = script(f'echo "begin $3" >> {log_file}; {gate.wait}; echo "end $3" >> {log_file}')

    async def body() -> None:
        web = virtual_router(notify=program)
        async with notifying(web) as (notifier, _):
            tell(notifier, MASTER)
            await until(lambda: lines(log_file) == ["begin MASTER"])
            notifier.set([])
            notifier.set([web])
            tell(notifier, BACKUP)
            await gate.open()
            await until(lambda: lines(log_file)[-1] == "begin BACKUP")
            await gate.open()
            await until(lambda: lines(log_file)[-1] == "end BACKUP")
            assert lines(log_file) == ["begin MASTER", "end MASTER", "begin BACKUP", "end BACKUP"]

    run(body())


def test_fifos_and_sockets_come_and_go(run: "Run", until: "Until", tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("one", "two", "socket")]

    async def body() -> None:
        one, two = (virtual_router(name, notify_fifo=path) for name, path in zip("ab", paths, strict=False))
        async with notifying(one) as (notifier, log):
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound,
                os.fdopen(os.open(paths[0], os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader,
            ):
                bound.bind(paths[2])
                tell(notifier, MASTER, name="a")
                notifier.set([one, two])
                assert stat.S_ISFIFO(os.lstat(paths[1]).st_mode)
                tell(notifier, BACKUP, name="a")
                assert notifier.counters() == {paths[0]: {"written": 2}}, "the very channel"
                assert reader.read(100) == b'INSTANCE "a" MASTER 100\nINSTANCE "a" BACKUP 100\n'
                notifier.set([two, virtual_router("a", notify_socket=paths[2])])
                tell(notifier, BACKUP, name="a")  # told already
                tell(notifier, FAULT, name="a")
                assert bound.recv(100) == b'INSTANCE "a" FAULT 100\n'
                assert reader.read(100) == b"", "its only writer is gone"
                assert log.lines == []
                notifier.set([virtual_router("a", notify_fifo=str(tmp_path / "absent" / "fifo"))])
                assert log.events() == ["notify-unusable"]

    run(body())


# The end


def test_at_the_end_stop_is_notified_and_the_queue_dropped(
    run: "Run", until: "Until", script: Script, log_file: Path
) -> None:
    async def body() -> None:
        program = script(f'echo "$3 $$" >> {log_file}; [ "$3" != MASTER ] || exec sleep 60')
        notifier, _ = opened(virtual_router(notify=program, notify_stop=script(f"echo stop >> {log_file}", "stop")))
        tell(notifier, MASTER)
        await until(lambda: lines(log_file))
        [(state, hanging)] = [line.split() for line in lines(log_file)]
        assert state == "MASTER"
        tell(notifier, BACKUP, FAULT, STOP)
        await notifier.close()
        await until(lambda: len(lines(log_file)) == 3)
        assert sorted(line.split()[0] for line in lines(log_file)[1:]) == ["STOP", "stop"]
        children_left = reap()
        assert children_left.pop(int(hanging)) == signal.SIGTERM, "as from keepalived"
        assert set(children_left.values()) == {0}

    run(body())


def reap() -> dict[int, int]:
    """Reap the children that were left running, as init does for an agent's; their statuses."""
    found = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            number, status = os.waitpid(-1, 0)
            found[number] = status
    return found


def test_at_the_end_programs_that_are_quick_are_waited_for(run: "Run", script: Script, log_file: Path) -> None:
    async def body() -> None:
        own = script(f"echo stop >> {log_file}", "stop")
        routers = [
            virtual_router(name, notify=script(f'echo "$2 $3" >> {log_file}'), notify_stop=own) for name in ("a", "b")
        ]
        notifier, log = opened(*routers)
        tell(notifier, STOP, name="a")
        tell(notifier, STOP, name="b")
        await notifier.close()
        assert log.lines == []

    run(body())
    reap()
    found = lines(log_file)
    assert sorted(found) == ["a STOP", "b STOP", "stop", "stop"]


def test_a_program_outlives_the_agent(run: "Run", until: "Until", script: Script, log_file: Path, gate: Gate) -> None:
    async def body() -> None:
        slow = script(f"echo $$ > {log_file}.pid; {gate.wait}; echo stopped >> {log_file}")
        notifier, _ = opened(virtual_router(notify_stop=slow))
        tell(notifier, STOP)
        await notifier.close()
        assert lines(log_file) == []
        await gate.open()
        await until(lambda: lines(log_file) == ["stopped"])

    run(body())
    reap()


def test_a_cancelled_end_lets_go_at_once(run: "Run", until: "Until", script: Script, log_file: Path) -> None:
    async def body() -> None:
        notifier, _ = opened(virtual_router(notify=script(f"echo $$ >> {log_file}; exec sleep 60")))
        tell(notifier, MASTER)
        await until(lambda: lines(log_file))
        [number] = map(int, lines(log_file))
        closing = asyncio.ensure_future(notifier.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        os.kill(number, signal.SIGKILL)  # raises if it is gone
        assert reap() == {number: signal.SIGKILL}

    run(body())
