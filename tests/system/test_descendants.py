"""All processes of a check that overruns its timeout end with it, however they tried to escape; daemons stay.

The checks run in a process of their own, which has no other children, as an agent has none.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exavrrp.system.descendants import bears, children, command, commands, group, send, started, under
from tests.system.running import wait_until

RUNNER = """
import asyncio, sys
from exavrrp.config.kinds import Shell
from exavrrp.system import children
from exavrrp.system.checks import Checks
from tests.checks import check

async def main(text, timeout):
    loop = asyncio.get_running_loop()
    children.adopt(loop)
    def tell(name, passed, detail, seconds, value):
        print(detail, flush=True)
        return False
    engine = Checks(tell)
    engine.open(loop)
    engine.set([check(Shell(text), name="web", interval=timeout + 0.1, timeout=timeout)])
    await loop.run_in_executor(None, sys.stdin.readline)
    await engine.close()
    print("closed", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""
LONG = f"4{os.getpid()}"
"""Seconds, by which the processes of this test are known."""


class Runner:
    """One check, again and again, in a process of its own."""

    def __init__(self, text: str, timeout: float = 0.3) -> None:
        self.timeout = timeout
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, text, str(timeout)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def overruns(self, times: int) -> None:
        """Waits until it has."""
        for _ in range(times):
            while self.says() != f"not done within {self.timeout:g} s":
                assert self.process.poll() is None

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def _nothing_left() -> Iterator[None]:
    yield
    for pid in sleeping():
        os.kill(pid, signal.SIGKILL)


def sleeping() -> list[int]:
    """The processes of this test that sleep."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{LONG}\0".encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


ESCAPES = {
    "a session": f"setsid sleep {LONG} & wait",
    "a group": f"timeout 1000 sleep {LONG}",
    "a daemon": f"setsid --fork sleep {LONG}; sleep {LONG}",
    "many": f"setsid sh -c 'setsid --fork sleep {LONG}; (sleep {LONG} &) ; sleep {LONG}' & setsid sleep {LONG}",
    "who ignores SIGTERM": f"trap '' TERM; setsid --fork sh -c 'sleep {LONG}; sleep {LONG}'; sleep {LONG}",
    "whose parent goes at once": f"trap 'exit 1' TERM; setsid sh -c 'trap \"\" TERM; sleep {LONG}' & wait",
}


@pytest.mark.system
@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_nothing_piles_up_that_a_check_which_overruns_has_started(text: str) -> None:
    runner = Runner(text)
    try:
        runner.overruns(3)
        wait_until(sleeping, "the check to run once more")
        runner.go_on()
        while runner.says() != "closed":
            pass
        wait_until(lambda: not sleeping(), lambda: f"the end of {sleeping()}")
        wait_until(lambda: not children(runner.process.pid), "that all of them are reaped")
    finally:
        runner.end()


@pytest.mark.system
@pytest.mark.usefixtures("_nothing_left")
def test_a_daemon_of_a_run_that_was_done_stays_and_is_reaped_when_it_ends(tmp_path: Path) -> None:
    begun = f"setsid sh -c 'mkdir {tmp_path}/begun; exec sleep {LONG}' & while ! [ -e {tmp_path}/begun ]; do :; done"
    # The first run has to be done in time, also on a busy machine.
    runner = Runner(f"mkdir {tmp_path}/once || exec tail -f /dev/null; {begun}", timeout=3.0)
    try:
        runner.overruns(2)
        [daemon] = sleeping()
        assert daemon in children(runner.process.pid), "it is ours"
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: daemon not in children(runner.process.pid), "that it is reaped")
        runner.overruns(1)
    finally:
        runner.go_on()
        runner.end()


def test_an_ended_process_has_no_descendants() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
    assert (children(child.pid), started(child.pid), group(child.pid)) == ([], None, None)
    assert under([child.pid]) == []
    assert not bears(child.pid, b"PATH=/bin")
    send(signal.SIGKILL, lambda: [child.pid])


def test_the_command_line_of_each_child_is_known_until_it_ends() -> None:
    with subprocess.Popen(["/bin/sleep", LONG]) as other:
        if (child := os.fork()) == 0:  # pragma: no cover
            signal.pause()
            os._exit(0)
        try:
            lines = {other.pid: f"/bin/sleep\0{LONG}\0".encode(), child: command()}
            wait_until(lambda: commands(os.getpid()) == lines, "both, and exec(2) of the other one")
        finally:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: commands(os.getpid()).keys() == {other.pid}, "its end, although it is not reaped")
        os.waitpid(child, 0)
        other.kill()
    assert commands(other.pid) == {}


def test_without_descriptors_nobody_is_known_and_nothing_is_raised() -> None:
    if (child := os.fork()) == 0:  # pragma: no cover
        signal.pause()
        os._exit(0)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
        found = commands(os.getpid())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert found == {}


LATE = """
import asyncio, os, signal, sys
from exavrrp.system import children

class Loop(asyncio.SelectorEventLoop):
    def remove_signal_handler(self, number):
        os.kill(os.getpid(), signal.SIGCHLD)  # as if a child had ended just before
        return super().remove_signal_handler(number)

loop = Loop()
children.adopt(loop)
if sys.argv[1:]:
    children.disown(loop)
loop.close()
"""


@pytest.mark.system
def test_a_loop_that_closes_hears_of_no_child_any_more() -> None:
    """It closes its pipe for signals before it ends its handlers; Python reports a signal in between on stderr."""

    def said(*words: str) -> str:
        return subprocess.run([sys.executable, "-c", LATE, *words], capture_output=True, text=True, check=True).stderr

    assert "signal wakeup fd" in said(), "the control"
    assert said("disown") == ""
