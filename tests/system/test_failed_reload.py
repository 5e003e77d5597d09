"""A failed reload of ExaBGP: it ends its agent, starts no other one, and keeps its sessions and our routes."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from exavrrp.care import GRACE
from exavrrp.system import descendants
from tests.system import running
from tests.system.conftest import NOBODY, Namespace, Need
from tests.system.running import Fabric, Host, Line, Monitor, ended, wait_until
from tests.system.test_containers import TWO, contain, need_other_users

pytestmark = pytest.mark.system

Cause = Callable[[Path], None]


def missing(file: Path) -> None:
    file.unlink()


def without_permission(file: Path) -> None:
    """For ExaBGP as another user; root may read it all the same."""
    file.chmod(0)


def a_loop(file: Path) -> None:
    """Nobody can read that, not even root."""
    file.unlink()
    file.symlink_to(file)


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def empty(file: Path) -> None:
    file.write_text("")


def without_the_stanza(file: Path) -> None:
    file.write_text(
        "".join(line for line in file.read_text().splitlines(keepends=True) if "process exavrrp" not in line)
    )


def a_mistake_before_it(file: Path) -> None:
    file.write_text("nonsense {\n" + file.read_text())


def a_mistake_behind_it(file: Path) -> None:
    file.write_text(file.read_text() + "nonsense {\n")


ANYWAY = (missing, a_directory, empty, without_the_stanza, a_mistake_before_it)
CAUSES: dict[int, tuple[Cause, ...]] = {0: (*ANYWAY, a_loop), NOBODY: (*ANYWAY, without_permission)}
"""By ExaBGP's user."""
HARMLESS: tuple[tuple[Cause, signal.Signals, Line], ...] = tuple(
    (cause, signal.SIGUSR1, line) for cause in (a_mistake_behind_it, without_the_stanza) for line in running.LINES
)
"""The agent stays."""
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
NOTHING_ENDED = math.ceil(2 * GRACE / running.INTERVAL) + 1
"""Adverts in twice the time in which a caretaker ends nothing."""
EVERYTHING = "EXAVRRP_RELOADS" in os.environ
"""whether all of the matrix is to be tried, which takes 15 minutes; otherwise each cause, signal and line some times"""


def matrix() -> Iterator[Any]:
    """Each user and cause with each signal and line, or a part of it in which no cause comes with a line twice."""
    for offset, user in enumerate(CAUSES):
        for (number, cause), (place, line) in product(enumerate(CAUSES[user], 2 * offset), enumerate(running.LINES)):
            for turn, told in enumerate(SIGNALS):
                if (cause, told, line) in HARMLESS:
                    continue
                if EVERYTHING or ((number + place) % len(running.LINES) == 0 and turn == number % 2):
                    name = f"{cause.__name__}-{told.name}-{line}-{'nobody' if user else 'root'}"
                    yield pytest.param(cause, told, line, user, id=name)


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, chatty=True) as built:
        yield built


def configuration(host: Host) -> Path:
    """ExaBGP's."""
    return host.directory / "exabgp.conf"


def fail(host: Host, cause: Cause, told: signal.Signals) -> int:
    """Has ExaBGP reload a file that does not load, and waits until nobody has come; the caretaker."""
    mark = host.log.mark()
    cause(configuration(host))
    host.exabgp.send_signal(told)
    host.log.wait("exabgp-detached", mark)
    return int(host.log.wait("caretaker-started", mark)["process"])


def repair(host: Host, good: str) -> None:
    """Puts the file right, and has ExaBGP reload it."""
    file = configuration(host)
    if file.is_dir():
        file.rmdir()
    elif file.is_symlink():
        file.unlink()
    file.write_text(good)
    file.chmod(0o644)
    host.exabgp.send_signal(signal.SIGUSR1)


@pytest.mark.parametrize(("cause", "told", "line", "user"), list(matrix()))
def test_a_reload_that_fails_moves_nothing_and_is_repaired_by_one_that_does_not(
    fabric: Fabric, need: Need, *, cause: Cause, told: signal.Signals, line: Line, user: int
) -> None:
    a = fabric.a
    if user:
        need_other_users(need)
        a.directory.parent.chmod(0o755)
        contain(a, need, user=user, capabilities=TWO, read_only=False)
    for host in (a, fabric.b):  # a caretaker that had no CPU for three intervals gives up
        host.configure(hold=running.LONG_HOLD, interval=1.0)
    fabric.start(line)
    good = configuration(a).read_text()
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    first = a.agent
    caretaker = fail(a, cause, told)
    ended(first)
    assert a.agents() == [caretaker] != [first]
    assert a.exabgp.poll() is None
    alone(caretaker)
    fabric.sniffer.wait(3, a.source, via="a0", since=time.time())
    fabric.settled("a")
    document = a.document()
    assert {one["up"] for one in document["sessions"]} == {None}, "nobody tells a caretaker"
    remarks = document["routers"][0]["remarks"]
    assert "reload ExaBGP" in remarks[0]

    mark = a.log.mark()
    repair(a, good)
    assert a.log.wait("agent-stopped", mark)["reason"] == "succeeded"
    a.becomes("active", mark)
    ended(caretaker)
    assert a.agents() == [a.agent] != [caretaker]
    fabric.settled("a")
    assert addresses.changes(fabric.vip) == []


def repair_and_reload_once_more(host: Host, good: str) -> None:
    """The caretaker has ExaBGP do the latter."""
    reloads, mark = host.reloads(), host.log.mark()
    repair(host, good)
    host.log.wait("exabgp-reloaded-again", mark)
    wait_until(lambda: host.reloads() >= reloads + 2, "two reloads of ExaBGP")


@pytest.mark.parametrize("how", ["as before", "with another command line", "at the second attempt"])
def test_the_repair_ends_no_session(fabric: Fabric, how: str) -> None:
    """ExaBGP 5.0 would end each with the next message, here of a neighbor that wants all routes once more."""
    a, bird = fabric.a, fabric.bird
    a.static = "capability { route-refresh enable; }"
    slow, program = a.directory / "slow", a.directory / "agent.py"
    program.write_text(SLOW.format(file=slow, seconds=running.LIMIT))
    a.program = (sys.executable, str(program))
    fabric.start("5")
    good = configuration(a).read_text()
    since = bird.since("a0")
    fail(a, missing, signal.SIGUSR1)
    if how == "with another command line":
        good = good.replace(f" {program} run ", f" -B {program} run ")
    if how == "at the second attempt":  # the first successor is ended by another failed reload before it has the lock
        slow.touch()
        repair_and_reload_once_more(a, good)
        configuration(a).unlink()
        a.exabgp.send_signal(signal.SIGUSR1)
        slow.unlink()
        wait_until(lambda: descendants.commands(a.exabgp.pid) == {}, "the end of the successor")
        fabric.sniffer.wait(NOTHING_ENDED, a.source, via="a0", since=time.time())
    repair_and_reload_once_more(a, good)
    updates = bird.updates("a0")
    bird.ask("reload in a0")
    wait_until(lambda: bird.updates("a0") > updates, "all routes once more")
    assert bird.since("a0") == pytest.approx(since, abs=0.1)
    fabric.settled("a")


def alone(process: int) -> None:
    """Nothing of ExaBGP's is left to it: no pipe, no group of processes, no parent."""
    held = running.open_files(process)
    assert not any(one.startswith("pipe:") for one in held), held
    assert os.getsid(process) == os.getpgid(process) == process


@pytest.mark.parametrize(("cause", "told", "line"), HARMLESS)
def test_a_file_that_does_not_end_the_agent_is_harmless(
    fabric: Fabric, cause: Cause, told: signal.Signals, line: Line
) -> None:
    a = fabric.a
    fabric.start(line)
    first, mark = a.agent, a.log.mark()
    cause(configuration(a))
    a.exabgp.send_signal(told)
    fabric.sniffer.wait(4, a.source, via="a0", since=time.time())
    assert a.agents() == [first]
    assert a.log.order(mark) == []
    fabric.settled("a")


def test_a_backup_that_stands_by_goes_on_as_one_and_takes_over(fabric: Fabric) -> None:
    """Its second choice is announced still; the first one is gone, and so it serves."""
    a, b = fabric.a, fabric.b
    for host in (a, b):
        host.configure('standby = "announce"')
    fabric.start_both("5")
    wait_until(lambda: fabric.bird.via(fabric.vip).keys() == {"a", "b"}, fabric.told)
    b.log.wait("route-announced", state="standby")
    fail(b, missing, signal.SIGUSR1)
    fabric.sniffer.wait(NOTHING_ENDED, a.source, via="a0", since=time.time())
    assert b.exabgp.poll() is None
    assert b.bound()
    assert fabric.bird.via(fabric.vip).keys() == {"a", "b"}
    a.exabgp.kill()
    b.becomes("active")
    wait_until(lambda: fabric.bird.via(fabric.vip).keys() == {"b"}, fabric.told)
    assert b.bound()
    assert b.exabgp.poll() is None


def test_a_backup_stays_out_of_the_election_until_the_repair(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start("5")
    good = configuration(b).read_text()
    mark = b.log.mark()
    fail(b, missing, signal.SIGUSR1)
    fabric.sniffer.wait(5, a.source, via="a0", since=time.time())
    assert not b.log.all("transition", mark)
    a.exabgp.kill()
    wait_until(lambda: not a.bound(), fabric.told)
    assert not b.log.all("transition", mark), "it could not announce what it takes"
    assert b.exabgp.poll() is None
    repair(b, good)
    fabric.settled("b")


def test_what_was_never_accepted_does_not_end_exabgp(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    a.listing = ()
    for host in (a, b):
        host.start("5")
    fabric.settled("b")
    a.log.wait("route-not-accepted")
    caretaker = fail(a, missing, signal.SIGUSR1)
    fabric.sniffer.wait(NOTHING_ENDED, b.source, via="b0", since=time.time())
    assert a.agents() == [caretaker]
    os.kill(caretaker, signal.SIGTERM)
    ended(caretaker)
    assert a.exabgp.poll() is None
    assert not a.log.all("exabgp-disconnected")
    fabric.settled("b")


SLOW = """\
import sys, time
from pathlib import Path
from exavrrp.cli import main

if Path("{file}").exists():
    time.sleep({seconds})
main()
"""
"""An agent that needs longer to start while that file exists."""


@pytest.mark.parametrize("line", running.LINES)
def test_a_slow_successor_is_waited_for(fabric: Fabric, line: Line) -> None:
    """What has to be given up meanwhile it gives up, and ExaBGP is not ended."""
    a, b = fabric.a, fabric.b
    service, slow, program = a.directory / "service", a.directory / "slow", a.directory / "agent.py"
    service.touch()
    program.write_text(SLOW.format(file=slow, seconds=2 * GRACE))
    a.program = (sys.executable, str(program))
    a.configure('checks = ["web"]', checks=["[check.web]", f'file = "{service}"', "interval = 0.05", "fall = 1"])
    b.configure()
    fabric.start(line)
    slow.touch()
    first, mark = a.agent, a.log.mark()
    a.exabgp.send_signal(signal.SIGUSR2)
    a.log.wait("caretaker-started", mark)
    service.unlink()
    ended(first)
    a.log.wait("agent-started", mark)
    fabric.settled("b")
    assert a.exabgp.poll() is None
    assert not a.log.all("exabgp-detached", mark)
    assert [one["reason"] for one in a.log.all("agent-stopped", mark)] == ["SIGTERM alone", "succeeded"]


# What has to be given up


def announced_together(fabric: Fabric) -> float:
    """Waits until b alone announces the address; seconds for which both did, as long as this was watched."""
    together, last = 0.0, time.monotonic()

    def moved() -> bool:
        nonlocal together, last
        before, last = last, time.monotonic()
        announced = set(fabric.bird.via(fabric.vip))
        together += last - before if announced == {"a", "b"} else 0.0
        return announced == {"b"}

    wait_until(moved, lambda: f"the route of b alone: {fabric.told()}")
    return together


@pytest.mark.parametrize("line", running.LINES)
@pytest.mark.parametrize("why", ["preempted", "sick", "drained", "told to end", "without ExaBGP"])
def test_what_has_to_be_given_up_ends_exabgp(
    fabric: Fabric, line: Line, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody but the end of ExaBGP can withdraw the route; the address is not left behind, and no two announce it."""
    a, b = fabric.a, fabric.b
    service = a.directory / "service"
    service.touch()
    a.configure('checks = ["web"]', checks=["[check.web]", f'file = "{service}"', "interval = 0.05", "fall = 1"])
    b.configure(checks=["[check.web]", f'file = "{service}"'])
    if why == "preempted":
        b.configure(priority=200)
        a.start(line)
        a.becomes("active")
        wait_until(lambda: fabric.bird.routes(fabric.vip), "the route")
    else:
        fabric.start(line)
    caretaker = fail(a, missing, signal.SIGUSR1)
    match why:
        case "preempted":
            b.start(line)
        case "sick":
            service.unlink()
        case "drained":
            assert "drained" in a.ask("drain", "--wait")
        case "told to end":
            os.kill(caretaker, signal.SIGTERM)
        case _:
            a.exabgp.kill()
    together = announced_together(fabric)
    with capsys.disabled():  # up to 2 s, if nothing else wants the machine
        sys.stdout.write(f" [both for {together:.1f} s] ")
    fabric.settled("b")
    a.exabgp.wait(running.LIMIT)
    ended(caretaker)
    assert a.log.order()[-1] == "agent-stopped"
    assert not a.bound()
