"""An ExaBGP that has dropped its agent: which process it is, whether it lives, and how it is ended."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from exavrrp.control import start_time
from exavrrp.routes import Attributes, Route
from exavrrp.speaker import Answered, Disconnected, Event
from exavrrp.system.exabgp import Deaf, Parent
from exavrrp.system.exabgp.deaf import lives
from exavrrp.system.state import is_exabgp
from tests.system.conftest import LIMIT

ONE, OTHER = IPv6Network("2001:db8:53::1/128"), IPv6Network("2001:db8:53::2/128")
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"


def identity(process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    started = start_time(Path(f"/proc/{process.pid}/stat").read_bytes())
    assert started is not None
    return process.pid, started


@pytest.fixture
def stubborn() -> "Iterator[subprocess.Popen[bytes]]":
    """A process that ignores SIGTERM."""
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def route(network: IPv6Network) -> Route:
    return Route(network, Attributes(med=1))


def test_a_process_that_is_gone_is_no_exabgp_and_does_not_live() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        known = identity(process)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not lives(*known), "a zombie"
    assert not lives(*known)
    assert not is_exabgp(known[0])
    number, started = os.getpid(), start_time(Path("/proc/self/stat").read_bytes())
    assert started is not None
    assert lives(number, started)
    assert not lives(number, started + 1), "another process of that number"


def test_what_is_announced_stays_and_nothing_else_can_be(stubborn: "subprocess.Popen[bytes]") -> None:
    deaf = Deaf(Parent(*identity(stubborn)), [ONE], lambda _: None)
    deaf.inherit([OTHER])
    deaf.set([route(ONE), route(OTHER)])
    assert [deaf.may_announce([one]) for one in (ONE, OTHER)] == [True, False]
    assert deaf.has_carried_out([ONE])
    assert not deaf.has_carried_out([OTHER])
    deaf.set([])
    assert not deaf.has_carried_out([ONE])
    assert deaf.has_carried_out([OTHER])
    assert lives(*identity(stubborn)), "it may not be ended yet"


def test_it_ends_and_if_it_does_not_it_is_killed(stubborn: "subprocess.Popen[bytes]") -> None:
    told: list[Event] = []

    async def body() -> None:
        gone = asyncio.Event()

        def tell(event: Event) -> None:
            told.append(event)
            if isinstance(event, Disconnected):
                gone.set()

        deaf = Deaf(Parent(*identity(stubborn)), [ONE], tell)
        deaf.open(asyncio.get_running_loop())
        deaf.set([])
        assert await deaf.end()
        await asyncio.wait_for(gone.wait(), LIMIT)
        deaf.close()

    asyncio.run(body())
    assert stubborn.wait(LIMIT) == -signal.SIGKILL
    assert told == [Answered(ONE, None), Disconnected("it has ended")]


def test_an_exabgp_that_announces_nothing_of_ours_is_left_alone(stubborn: "subprocess.Popen[bytes]") -> None:
    deaf = Deaf(Parent(*identity(stubborn)), [], lambda _: None)
    assert asyncio.run(deaf.end())
    assert lives(*identity(stubborn))
