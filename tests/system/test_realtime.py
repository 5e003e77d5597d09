"""Real-time scheduling and locked memory, for an agent with the right to them, and without.

What it may is set by the command that starts it (setpriv, prlimit), as a unit of systemd would. Its child is a check
that runs until the end of the test; whatever else it starts is started in the same way.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exavrrp.system import descendants
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Alone, Host, wait_until

pytestmark = pytest.mark.system

BOTH = ('scheduling = "realtime"', "lock_memory = true")
UNPRIVILEGED = "-sys_nice,-ipc_lock"
SLEEP = "/usr/bin/sleep"


@pytest.fixture
def host(namespace: Callable[[], Namespace], need: Need) -> Iterator[Host]:
    with running.fabric(namespace, need) as built:
        yield built.a


def start(host: Host, *prefix: str) -> Alone:
    """An agent that has both wishes, once it serves."""
    host.configure(
        'checks = ["long"]',
        agent=BOTH,
        checks=["[check.long]", f'command = ["{SLEEP}", "1000"]', "timeout = 1000", "weight = 1"],
    )
    host.prefix = prefix
    alone = Alone(host)
    alone.greet()
    host.log.wait("address-bound")
    return alone


def child(host: Host) -> int:
    """The check, once it is what it is to be."""

    def found() -> list[int]:
        there = descendants.children(host.agent)
        return [one for one in there if b"1000\0" in running.read(Path(f"/proc/{one}/cmdline"))]

    return wait_until(found, "the check")[0]


def locked(process: int) -> int:
    """KiB of its memory that are locked."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmLck"].split()[0])


def policy(process: int) -> tuple[int, int]:
    """How it is scheduled, and with which priority."""
    return os.sched_getscheduler(process), os.sched_getparam(process).sched_priority


def is_served_well(host: Host) -> None:
    """The agent has both, and its child has neither, nor a way to get them."""
    host.log.wait("realtime-granted")
    host.log.wait("memory-lock-granted")
    assert policy(host.agent) == (os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1)
    assert locked(host.agent) > 4096
    process = child(host)
    assert policy(process) == (os.SCHED_OTHER, 0)
    assert locked(process) == 0
    assert resource.prlimit(process, resource.RLIMIT_RTPRIO) == (0, 0)
    status = Path(f"/proc/{process}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status


def end(alone: Alone, host: Host) -> None:
    """In order, with its check."""
    alone.process.send_signal(signal.SIGINT)
    alone.process.wait(running.LIMIT)
    assert not host.bound()


def works(*command: str) -> bool:
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def test_two_more_capabilities_are_enough(host: Host, need: Need) -> None:
    need(reason="no right to real-time scheduling: the root of a user namespace", unless=works(need("chrt"), "-r", "1"))
    four = "-all,+net_raw,+net_admin,+sys_nice,+ipc_lock,+setpcap"  # the last one is needed to keep checks from root's
    alone = start(host, need("setpriv"), f"--bounding-set={four}", f"--inh-caps={four}")
    is_served_well(host)
    end(alone, host)


def test_what_is_allocated_later_is_locked_too(need: Need) -> None:
    program = """
import mmap, pathlib
from exavrrp.system import realtime

def locked():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmLck:")[2].split()[0])

realtime.stay_resident()
before = locked()
kept = mmap.mmap(-1, 8 << 20)
print(locked() - before)
"""
    environment = {**os.environ, "PYTHONPATH": str(running.ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    need(reason="no right to lock memory", unless="may lock" not in done.stderr)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8192


def test_limits_are_enough(host: Host, need: Need) -> None:
    """What LimitRTPRIO= and LimitMEMLOCK= of a unit give."""
    raised = (need("prlimit"), "--rtprio=1:1", "--memlock=unlimited:unlimited")
    if not works(*raised):
        pytest.skip("this root may not raise limits: it lacks CAP_SYS_RESOURCE")
    alone = start(
        host,
        *raised,
        *(need("setpriv"), f"--bounding-set={UNPRIVILEGED}", f"--inh-caps={UNPRIVILEGED}"),
    )
    is_served_well(host)
    end(alone, host)


def test_without_either_the_agent_logs_it_and_serves(host: Host, need: Need) -> None:
    alone = start(
        host,
        *(need("prlimit"), "--rtprio=0:0", "--memlock=8388608:8388608"),
        *(need("setpriv"), f"--bounding-set={UNPRIVILEGED}", f"--inh-caps={UNPRIVILEGED}"),
    )
    [refused] = host.log.all("realtime-denied")
    assert refused["level"] == "warning"
    assert "LimitRTPRIO=1" in refused["detail"], "the remedy"
    [refused] = host.log.all("memory-lock-denied")
    assert refused["level"] == "warning"
    assert "8192 KiB" in refused["detail"]
    assert "LimitMEMLOCK=infinity" in refused["detail"], "the remedy"
    assert policy(host.agent) == (os.SCHED_OTHER, 0)
    assert locked(host.agent) == 0
    end(alone, host)


def test_an_agent_that_does_not_ask_gets_neither(host: Host) -> None:
    alone = Alone(host)
    alone.greet()
    host.log.wait("address-bound")
    assert policy(host.agent) == (os.SCHED_OTHER, 0)
    assert locked(host.agent) == 0
    assert not {"realtime-granted", "realtime-denied", "memory-lock-granted", "memory-lock-denied"} & set(
        host.log.order()
    )
    end(alone, host)
