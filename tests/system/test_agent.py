"""The whole agent with real ExaBGP, BIRD and kernel: failures in a data centre, one at a time."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from exavrrp import agent
from exavrrp.control import Announcement, SavedState, encode_file
from exavrrp.presence import SETTLE
from exavrrp.system import state
from exavrrp.system.addresses import REPAIR_LIMIT
from exavrrp.system.lock import Lock
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.disks import small
from tests.system.running import (
    BITS,
    HOLD,
    INTERVAL,
    LINGER,
    LONG_HOLD,
    PRIORITY,
    VIP,
    VRID,
    Alone,
    Fabric,
    Host,
    Line,
    Monitor,
    at,
    ended,
    loopback,
    processes,
    stop_asleep,
    wait_until,
)

pytestmark = pytest.mark.system

CALM = 1.0
"""Seconds between adverts where a test measures the gaps between them, on a busy machine."""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    with running.fabric(namespace, need, getattr(request, "param", 6)) as built:
        yield built


def skew(name: str, interval: float = INTERVAL) -> float:
    """Skew_Time of a host, RFC 9568 §6.1."""
    return (256 - PRIORITY[name]) * interval / 256


def patience(name: str, interval: float = INTERVAL) -> float:
    """Active_Down_Interval of a host."""
    return 3 * interval + skew(name, interval)


def check(name: str, file: Path, weight: int) -> list[str]:
    """A check that passes while ``file`` exists."""
    return [
        f"[check.{name}]",
        f'command = ["{shutil.which("test")}", "-e", "{file}"]',
        "interval = 0.05",
        "timeout = 60",
        "rise = 1",
        "fall = 1",
        f"weight = {weight}",
    ]


def answers(fabric: Fabric) -> bool:
    """Whether a packet from the router to the virtual address is answered."""
    with fabric.router:
        done = subprocess.run(["ping", "-c1", "-W2", fabric.vip], capture_output=True, check=False)
    return done.returncode == 0


# Election and stop


@pytest.mark.parametrize(
    ("line", "fabric"), [("4", 6), ("5", 4)], ids=["exabgp4-ipv6", "exabgp5-ipv4"], indirect=["fabric"]
)
def test_two_nodes_elect_and_a_clean_stop_hands_over(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    fabric.start(line)
    assert a.log.moves()[0] == ("initialize", "backup", "startup")
    promoted = a.becomes("active")
    bound, announced = a.log.wait("address-bound"), a.log.wait("route-announced")
    assert at(promoted) <= at(bound) <= at(announced), "the order of taking over"
    wait_until(lambda: answers(fabric), "an answer")  # BIRD has the route a moment earlier than the kernel

    agent, mark = a.agent, b.log.mark()
    stopped = time.time()
    a.exabgp.terminate()
    ended(agent)

    # Priority 0 is sent three times, because it is not acknowledged.
    resigned = fabric.sniffer.wait(3, a.source, via="a0", since=stopped, priority=0)
    took_over = fabric.sniffer.wait(1, b.source, since=stopped)[0]
    b.log.wait("transition", mark)
    assert b.log.moves(mark) == [("backup", "active", "peer-resigned")], fabric.told()
    assert skew("b") <= took_over.at - resigned[0].at
    assert a.log.wait("agent-stopping")["reason"] == "ExaBGP stops", "told before the signal"
    assert a.log.order()[-1] == "agent-stopped", "it was not killed in the middle of it"
    assert a.exabgp.wait(running.LIMIT) == 0
    fabric.settled("b")
    assert not a.agents()
    wait_until(lambda: answers(fabric), "an answer")


def test_break_before_make_withdraws_unbinds_and_only_then_resigns(fabric: Fabric) -> None:
    a = fabric.a
    a.configure('handover = "break-before-make"', priority=254, interval=2.0)
    fabric.b.configure(priority=1, interval=2.0)  # its Skew_Time, in which all must be over, is as long as that
    fabric.start()
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    mark, told = a.log.mark(), time.time()
    os.kill(a.agent, signal.SIGINT)  # an orderly stop of the agent alone, so that ExaBGP can carry out what it wants
    a.log.wait("agent-stopped", mark)
    assert a.log.order(mark)[:4] == ["agent-stopping", "route-withdrawn", "address-unbound", "transition"]
    # Seen from outside, where a millisecond is not to be told from the next: ip monitor says when it was scheduled, and
    # ExaBGP confirms a withdraw a little before the router hears of it. What matters is that both are over in time.
    assert fabric.sniffer.wait(1, a.source, since=told, priority=0)
    took_over = fabric.sniffer.wait(1, fabric.b.source, since=told)[0].at
    assert addresses.wait(fabric.vip, there=False, since=told) < took_over
    assert routes.wait(fabric.vip, there=False, since=told) < took_over


# ExaBGP ends, or stands still


def test_an_agent_whose_exabgp_is_killed_ends_by_itself(fabric: Fabric) -> None:
    fabric.start()
    mark, killed = fabric.a.log.mark(), time.time()
    agent = fabric.a.agent
    fabric.a.exabgp.kill()
    ended(agent)
    assert fabric.a.log.wait("exabgp-disconnected", mark)["detail"] == "end of file on stdin"
    assert fabric.a.log.order()[-1] == "agent-stopped"
    assert fabric.sniffer.wait(1, fabric.a.source, since=killed, priority=0)
    fabric.settled("b")


def test_an_exabgp_that_is_killed_while_it_is_written_to_leaves_nothing(fabric: Fabric) -> None:
    """Half a command is in its pipe, as when the kernel needs its memory."""
    a = fabric.a
    fabric.start()
    mark, agent = a.log.mark(), a.agent
    a.exabgp.send_signal(signal.SIGSTOP)
    a.ask("drain")
    a.exabgp.kill()
    ended(agent)
    assert a.log.wait("exabgp-disconnected", mark)
    assert not a.bound()
    assert a.agents() == []
    fabric.settled("b")


def test_a_full_disk_keeps_nobody_from_serving(fabric: Fabric, need: Need) -> None:
    a = fabric.a
    with contextlib.ExitStack() as disks:
        for name in ("run", "lib"):
            directory = a.directory / name
            directory.mkdir(exist_ok=True)
            disks.enter_context(small(directory, need))
        fabric.start()
        for name in ("run", "lib"):
            with contextlib.suppress(OSError), (a.directory / name / "filler").open("wb", 0) as filler:
                while filler.write(bytes(512)):
                    pass
        mark = a.log.mark()
        assert "until a restart" in a.ask("drain"), "it cannot be kept for longer"
        fabric.settled("b")
        assert "No space left" in a.log.wait("state-file-write-failed", mark)["detail"]
        a.ask("undrain")
        fabric.settled("a")
        assert [after for _, after, _ in a.log.moves(mark)] == ["initialize", "backup", "active"]


def test_an_agent_that_can_no_longer_write_ends_by_itself(fabric: Fabric) -> None:
    alone = Alone(fabric.a)
    alone.greet()
    fabric.a.log.wait("address-bound")
    alone.stdout.close()
    assert fabric.a.log.wait("exabgp-disconnected")["detail"] == "stdout: Broken pipe"
    assert alone.process.wait(running.LIMIT) == 0
    assert not fabric.a.bound()
    assert fabric.sniffer.wait(3, fabric.a.source, via="a0", priority=0)


@pytest.mark.parametrize("how", ["end of file", "SIGTERM", "SIGINT"])
def test_a_backup_stops_at_once_on_sigterm(fabric: Fabric, how: str) -> None:
    fabric.a.configure(interval=10.0)  # it stays one meanwhile
    alone = Alone(fabric.a)
    alone.greet()
    if how == "end of file":
        alone.stdin.close()
    else:
        alone.process.send_signal(signal.Signals[how])
    assert alone.process.wait(running.LIMIT) == 0
    assert fabric.a.log.order()[-1] == "agent-stopped"
    assert not fabric.sniffer.copies(fabric.a.source), "a Backup has nothing to say"


BLIND = """
from exavrrp import cli
from exavrrp.system.addresses import Addresses

def present(self):
    raise InterruptedError(4, "the table changed during each of several dumps")

Addresses.present = present
cli.main()
"""
"""The command exavrrp with a kernel that does not list the addresses on lo."""


def test_an_agent_that_cannot_read_the_addresses_on_lo_logs_it_and_does_not_start(fabric: Fabric) -> None:
    fabric.a.program = (sys.executable, "-c", BLIND)
    alone = Alone(fabric.a)
    assert "the table changed" in fabric.a.log.wait("agent-start-failed")["detail"]
    assert alone.process.wait(running.LIMIT) == 1


LATE = """
from exavrrp import cli
from exavrrp.node import Node

count = Node.count

def and_bind(self):
    count(self)
    for router in self.routers.values():
        router.on_lo.unbind()

Node.count = and_bind
cli.main()
"""
"""The command exavrrp whose agent changes addresses on lo after everything is closed."""


def test_what_is_wanted_of_lo_at_the_very_end_does_not_matter(fabric: Fabric) -> None:
    """The event loop turns once more when everything is closed."""
    fabric.a.program = (sys.executable, "-c", LATE)
    alone = Alone(fabric.a)
    alone.greet()
    alone.process.send_signal(signal.SIGINT)
    assert alone.process.wait(running.LIMIT) == 0
    assert fabric.a.log.order()[-1] == "agent-stopped"


def test_signals_at_the_very_end_do_not_matter(fabric: Fabric) -> None:
    alone = Alone(fabric.a)
    alone.greet()
    alone.process.terminate()
    alone.stdout.read()  # until it is closed
    while alone.process.poll() is None:  # ExaBGP signals a process that has closed its stdout
        alone.process.terminate()
        time.sleep(0.0002)  # not a storm
    assert alone.process.returncode == 0
    assert fabric.a.log.order()[-1] == "agent-stopped"


def test_no_thread_takes_a_signal_but_the_main_one_and_programs_block_none(fabric: Fabric) -> None:
    """A thread may still end when the handlers are gone."""
    a = fabric.a
    masks = a.directory / "masks"
    command = ["/bin/sh", "-c", f"grep SigBlk /proc/self/status >{masks}.new && mv {masks}.new {masks}"]
    a.configure('checks = ["masks"]', checks=["[check.masks]", f"command = {json.dumps(command)}", "interval = 60"])
    alone = Alone(a)
    alone.greet()
    wait_until(masks.exists, "the program")
    assert int(masks.read_text().split()[1], 16) == 0, "as sh(1) began"
    tasks = {int(task.name): blocked(task) for task in Path(f"/proc/{alone.process.pid}/task").iterdir()}
    assert not tasks.pop(alone.process.pid) & HANDLED
    assert len(tasks) >= 2, "one that writes the journal, one that starts programs"
    assert [mask & HANDLED for mask in tasks.values()] == [HANDLED] * len(tasks)
    alone.process.terminate()
    assert alone.process.wait(running.LIMIT) == 0


HANDLED = sum(1 << (number - 1) for number in agent.HANDLED)
"""The agent's signals, as proc(5) prints them."""


def blocked(task: Path) -> int:
    """The signals that a thread blocks."""
    lines = (line.split() for line in (task / "status").read_text().splitlines())
    return next(int(words[1], 16) for words in lines if words[0] == "SigBlk:")


@running.each_line
def test_a_resumed_exabgp_is_sent_the_last_desired_route_once(fabric: Fabric, line: Line) -> None:
    a, b, healthy = fabric.a, fabric.b, fabric.a.directory / "healthy"
    # With sessions needed, a node whose ExaBGP stands still takes nothing.
    a.configure("min_sessions = 0", 'checks = ["web"]', checks=check("web", healthy, weight=-100), interval=CALM)
    b.configure("min_sessions = 0", interval=CALM)
    a.start(line)
    b.start(line)
    fabric.settled("b")
    changes = fabric.bird.updates("a0", changing=True)

    for host in (a, b):
        host.exabgp.send_signal(signal.SIGSTOP)
    frozen = time.time()
    healthy.touch()
    a.becomes("active")
    healthy.unlink()
    a.becomes("backup")
    healthy.touch()
    rhythm = at(a.becomes("active"))
    wait_until(lambda: time.time() >= max(frozen, rhythm) + 5, "five seconds")
    assert fabric.sniffer.longest_gap(a.source, "a0", rhythm, time.time()) < patience("b", CALM)
    assert set(fabric.bird.via(fabric.vip)) == {"b"}, "nothing could have been told"
    for host in (a, b):
        host.exabgp.send_signal(signal.SIGCONT)
    fabric.settled("a")
    fabric.sniffer.wait(5, a.source, via="a0", since=time.time())
    fabric.settled("a")
    assert fabric.bird.updates("a0", changing=True) == changes + 1
    assert a.log.moves()[-1] == ("backup", "active", "preempted")


@running.each_line
def test_an_active_whose_exabgp_stands_still_is_succeeded_and_serves_on_meanwhile(fabric: Fabric, line: Line) -> None:
    """Its route stays until the routers' hold time expires; another node must announce it before that."""
    a = fabric.a
    fabric.start(line)
    mark = a.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)
    assert a.log.wait("transition", mark, after="initialize")["reason"] == "unreachable"
    assert a.log.wait("exabgp-stalled", mark)
    fabric.b.becomes("active")
    wait_until(lambda: "b" in fabric.bird.via(fabric.vip), "the successor's route")
    assert a.bound(), "packets come until the stale route is gone"
    a.exabgp.send_signal(signal.SIGCONT)
    a.log.wait("exabgp-resumed", mark)
    fabric.settled("a")
    assert a.log.moves(mark)[-1] == ("backup", "active", "preempted")


def test_what_was_announced_without_an_answer_is_not_unbound_without_one(fabric: Fabric) -> None:
    """ExaBGP may not have read the announcement yet, so a missing confirmation is no evidence of a withdraw."""
    a, b = fabric.a, fabric.b
    a.configure(priority=50)
    alone = Alone(a)
    alone.greet()
    alone.answer(8, "withdraw ")  # four forms in two variants: all that a predecessor can have announced
    a.becomes("active")
    alone.begins(1, "announce ")
    b.start()
    superseded = at(a.becomes("backup"))
    fabric.sniffer.wait(round(2 * (HOLD + LINGER) / INTERVAL) + 2, b.source, via="b0", since=superseded)
    assert not {"route-withdrawn", "address-unbound"} & set(a.log.order()), a.log.tell()
    assert a.bound()


@running.each_line
def test_a_node_that_cannot_serve_is_withdrawn_before_it_is_unbound(fabric: Fabric, line: Line) -> None:
    a, healthy = fabric.a, fabric.a.directory / "healthy"
    healthy.touch()
    a.configure('checks = ["web"]', checks=check("web", healthy, weight=0))
    fabric.start(line)
    bound_still: list[float] = []
    # Again if it seems to be too short: on a busy machine a line of the log is written some time after the decision.
    while max(bound_still, default=0.0) < SETTLE / 2:
        assert len(bound_still) < 5, bound_still
        mark = a.log.mark()
        healthy.unlink()
        unbound = at(a.log.wait("address-unbound", mark))
        assert [one for one in a.log.order(mark) if one in {"route-withdrawn", "address-unbound"}] == [
            "route-withdrawn",
            "address-unbound",
        ]
        bound_still.append(unbound - at(a.log.wait("route-withdrawn", mark)))
        fabric.settled("b")
        healthy.touch()
        fabric.settled("a")

    # An ExaBGP that does not answer is not waited for for long.
    mark = a.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)
    healthy.unlink()
    a.log.wait("address-unbound", mark)
    assert not a.log.all("route-withdrawn", mark)
    a.exabgp.send_signal(signal.SIGCONT)
    fabric.settled("b")


# The agent is killed or stopped


@running.each_line
@pytest.mark.parametrize("how", ["killed", "asked to end", "replaced", "replaced while it hangs"])
def test_an_agent_that_comes_back_at_once_never_stops_serving(fabric: Fabric, line: Line, how: str) -> None:
    """Another node may be Active for a moment, without effect: the address stays bound, and the route announced."""
    a = fabric.a
    a.configure(hold=LONG_HOLD)
    fabric.start(line)
    a.configure(hold=LONG_HOLD, agent=["startup_delay = 600"])  # which is not for what is in service
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    mark, first = a.log.mark(), a.agent
    match how:
        case "killed":
            os.kill(first, signal.SIGKILL)
        case "asked to end":
            os.kill(first, signal.SIGTERM)
        case "replaced":
            a.exabgp.send_signal(signal.SIGUSR2)
        case _:
            os.kill(
                first, signal.SIGSTOP
            )  # so that the next one has to wait for the lock, and hears of sessions meanwhile
            a.exabgp.send_signal(signal.SIGUSR2)
            a.log.wait("session-changed", mark)
            with contextlib.suppress(ProcessLookupError):  # ExaBGP 5 does that after 2 s, 4.2 never
                os.kill(first, signal.SIGKILL)
    ended(first)
    begun = a.log.records.index(a.log.wait("agent-started", mark))
    assert a.log.wait("leftovers-found", begun)["addresses"] == [fabric.vip]
    assert a.log.wait("transition", begun, after="active")["reason"] in ("resumed", "preempted")
    fabric.settled("a")
    assert a.agent != first
    assert addresses.changes(fabric.vip) == []
    assert not a.log.all("internal-error")
    if how in ("asked to end", "replaced"):
        assert [one["reason"] for one in a.log.all("agent-stopped", mark)] == ["SIGTERM alone", "succeeded"]


@running.each_line
def test_a_backup_that_is_replaced_costs_nothing(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    fabric.start(line)
    marks, first = (a.log.mark(), b.log.mark()), b.agent
    b.exabgp.send_signal(signal.SIGUSR2)
    ended(first)
    b.log.wait("agent-started", marks[1])
    b.log.wait("transition", marks[1], after="backup")
    assert b.exabgp.poll() is None
    assert a.log.moves(marks[0]) == []
    assert not b.log.all("internal-error")
    fabric.settled("a")


@running.each_line
def test_a_killed_agent_that_was_replaced_leaves_nothing(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    a.configure("preempt = false", linger=2.0)
    a.start(line)
    a.becomes("active")
    b.start(line)
    b.log.wait("transition")
    fabric.settled()
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    mark = a.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)  # so that it cannot start another one before b has taken over
    os.kill(a.agent, signal.SIGKILL)
    b.becomes("active")
    a.exabgp.send_signal(signal.SIGCONT)
    assert a.log.wait("leftovers-found", mark)["addresses"] == [fabric.vip]
    unbound = addresses.wait(fabric.vip, there=False)
    # Half of it at least: a line of the log may be written some time after the decision.
    assert unbound >= at(a.log.wait("route-withdrawn", mark)) + 1.0
    fabric.settled("b")
    assert a.log.moves(mark) == [("initialize", "backup", "startup")]


@running.each_line
def test_a_killed_agent_still_knows_earlier_silent_failures(fabric: Fabric, line: Line) -> None:
    """The routers keep the route of a failed node until their hold time expires, and prefer it to a longer one."""
    a, b = fabric.a, fabric.b
    for host in (a, b):
        host.configure(checks=['takeover = ["prepend"]'])
    fabric.start(line)
    before = fabric.bird.lengths(fabric.vip)["a0"]
    a.exabgp.send_signal(signal.SIGSTOP)
    os.kill(a.agent, signal.SIGSTOP)
    b.becomes("active")
    b.log.wait("route-announced", state="active")
    wait_until(lambda: fabric.bird.lengths(fabric.vip).get("b0") == before - 1, "a better route than that of a")
    mark = b.log.mark()
    os.kill(b.agent, signal.SIGKILL)
    b.log.wait("route-announced", mark, state="active")
    served = {"a0": before, "a1": before, "b0": before - 1, "b1": before - 1}
    wait_until(lambda: fabric.bird.lengths(fabric.vip) == served, lambda: f"b to serve again:\n{fabric.told()}")
    wait_until(lambda: fabric.bird.via(fabric.vip).get("b") == {running.MED}, "the MED of an Active")


SECOND = "2001:db8:53::99"
"""A second address that is bound and announced along with the virtual address."""


def left(host: Host, *addresses: str) -> int:
    """Kills the agent, and leaves these virtual addresses on lo for its successor. Returns the ``mark`` of the log."""
    mark = host.log.mark()
    host.exabgp.send_signal(signal.SIGSTOP)
    os.kill(host.agent, signal.SIGKILL)
    for address in (VIP[6], SECOND):
        change = "add" if address in addresses else "del"
        host.namespace.popen(["ip", "address", change, f"{address}/128", "dev", "lo"], stderr=-3).wait(running.LIMIT)
    host.exabgp.send_signal(signal.SIGCONT)
    assert set(host.log.wait("leftovers-found", mark)["addresses"]) == set(addresses)
    return mark


@running.each_line
@pytest.mark.parametrize("remaining", [[VIP[6]], []], ids=["one", "none"])
def test_what_is_announced_still_is_put_back_and_served_on(fabric: Fabric, line: Line, remaining: list[str]) -> None:
    """Another program has flushed lo between two agents, while the address is announced."""
    a = fabric.a
    a.configure(f'unlisted_addresses = ["{SECOND}"]')
    a.start(line)  # alone: nobody else takes over meanwhile
    a.log.wait("route-announced", state="active")
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    mark = left(a, *remaining)
    a.becomes("active", mark)
    a.log.wait("route-announced", mark, state="active")
    for address in (fabric.vip, SECOND):
        gone_and_back = [False, True] if address not in remaining else []
        wait_until(lambda: len(addresses.changes(address)) >= len(gone_and_back), f"{address} to be back")  # noqa: B023
        assert [there for _, there in addresses.changes(address)] == gone_and_back
        assert not [there for _, there in routes.changes(address) if not there]
    fabric.settled("a")


def test_of_leftovers_that_are_to_be_cleared_nothing_else_is_bound(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    b.configure(f'unlisted_addresses = ["{SECOND}"]')
    fabric.start()
    addresses = Monitor(b.namespace, "address", b.directory / "addresses.txt")
    mark = left(b, SECOND)
    b.log.wait("address-unbound", mark)
    addresses.wait(SECOND, there=False)
    fabric.sniffer.wait(3, a.source, via="a0", since=time.time())
    assert addresses.changes(fabric.vip) == []
    assert b.log.moves(mark) == [("initialize", "backup", "startup")]
    fabric.settled("a")


def test_leftovers_under_a_shell_are_not_taken_for_those_of_another_exabgp(fabric: Fabric) -> None:
    """Each agent has another parent then, and ExaBGP still announces."""
    a = fabric.a
    shell = a.directory / "shell"  # one that does not say that the agent was killed
    shell.write_text("import subprocess, sys\nsubprocess.run(sys.argv[1:], check=False)\n")
    a.prefix = (sys.executable, str(shell))
    a.start()
    fabric.settled("a")
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    assert a.log.wait("leftovers-found", mark)["detail"] == "withdrawn, then unbound"
    a.becomes("active", mark)
    fabric.settled("a")


@running.each_line
def test_leftovers_of_another_exabgp_are_cleared(fabric: Fabric, line: Line) -> None:
    """Nothing is announced any more for an agent whose ExaBGP has ended, too."""
    a = fabric.a
    a.start(line)
    a.becomes("active")
    wait_until(a.bound, "the address")
    agent = a.agent
    a.exabgp.send_signal(signal.SIGSTOP)  # it starts no other agent, and this one cannot clear up
    os.kill(agent, signal.SIGKILL)
    a.exabgp.kill()
    ended(agent)
    assert a.bound()
    mark = a.log.mark()
    a.start(line)
    assert "unbound" in a.log.wait("leftovers-found", mark)["detail"]
    a.log.wait("route-announced", mark)
    assert a.log.order(mark).index("address-unbound") < a.log.order(mark).index("route-announced")
    fabric.settled("a")


def test_a_resumed_agent_steps_down_before_it_sends_anything(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    mark, agent = a.log.mark(), a.agent
    stop_asleep(agent)
    fabric.sniffer.wait(10, b.source, via="b0")  # for longer than until b has just taken over
    woken = time.time()
    os.kill(agent, signal.SIGCONT)
    stalled = a.log.wait("transition", mark)
    assert (stalled["before"], stalled["after"], stalled["reason"]) == ("active", "backup", "stalled")
    back = a.log.wait("transition", mark, after="active")
    assert back["reason"] == "preempted"
    assert fabric.sniffer.wait(1, a.source, since=woken)[0].at > woken + 0.9 * patience("a")
    fabric.settled("a")
    assert b.log.moves()[-1] == ("active", "backup", "superseded")
    assert a.log.moves(mark)[2:] == []
    copies = [one for one in fabric.sniffer.copies(since=woken) if one.at < woken + 1]
    assert len(copies) <= 2 * 2 * (1 / INTERVAL + 5), "no storm"


# Addresses


def test_an_address_removed_by_hand_is_back_at_once(fabric: Fabric, capsys: pytest.CaptureFixture[str]) -> None:
    a = fabric.a
    fabric.start()
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    measured: list[float] = []
    while min(measured, default=1.0) >= 0.1:  # when nothing else wants the machine
        assert len(measured) < REPAIR_LIMIT, measured
        mark, since = a.log.mark(), time.time()
        a.namespace.ip(f"addr del {fabric.vip}/{BITS[fabric.family]} dev lo")
        gone = addresses.wait(fabric.vip, there=False, since=since)
        measured.append(addresses.wait(fabric.vip, there=True, since=gone) - gone)
        assert a.log.wait("address-repaired", mark)["address"] == fabric.vip
    with capsys.disabled():
        sys.stdout.write(f" [back after {', '.join(f'{seconds * 1000:.1f}' for seconds in measured)} ms] ")
    assert a.log.all("transition")[-1]["after"] == "active"


def test_an_address_that_cannot_be_bound_is_a_fault_and_never_announced(fabric: Fabric) -> None:
    a = fabric.a
    # lo without IPv6 loses the source of the adverts, too, where that is on lo.
    a.namespace.ip(f"""link add other type veth peer name end
                       link set other up
                       addr del {a.source} dev lo
                       addr add {a.source} dev other""")
    a.namespace.sysctl("net.ipv6.conf.lo.disable_ipv6", 1)
    fabric.start_both()
    failed = a.log.wait("bind-failed")
    assert "net.ipv6.conf.lo.disable_ipv6" in failed["detail"]
    fault = a.log.wait("transition", reason="fault")
    assert (fault["before"], fault["after"]) == ("active", "initialize")
    fabric.sniffer.wait(3, a.source, via="a0", priority=0)
    fabric.settled("b")
    assert fabric.bird.updates("a0") == fabric.bird.updates("a1") == 0
    assert not a.log.all("route-announced")

    a.namespace.sysctl("net.ipv6.conf.lo.disable_ipv6", 0)
    fabric.settled("a")

    mark = a.log.mark()
    a.namespace.sysctl("net.ipv6.conf.lo.disable_ipv6", 1)
    assert a.log.wait("transition", mark)["reason"] == "fault"
    fabric.settled("b")


# Paths


def test_adverts_return_on_an_interface_that_was_deleted_and_made_anew(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    marks = a.log.mark(), b.log.mark()
    a.namespace.ip("link del eth0")
    deleted = time.time()
    fabric.sniffer.wait(3, a.source, via="a1", since=deleted)
    fabric.plug(a, 0)
    fabric.route(a, 0, 1)
    fabric.sniffer.wait(3, a.source, via="a0", since=deleted)
    back = time.time()
    fabric.sniffer.wait(3, a.source, via="a1", since=back)
    assert fabric.sniffer.longest_gap(a.source, "a1", deleted, time.time()) < patience("b")
    assert (a.log.moves(marks[0]), b.log.moves(marks[1])) == ([], [])


def test_adverts_follow_the_routes(fabric: Fabric) -> None:
    a = fabric.a
    fabric.start()
    mark = a.log.mark()
    for number, other in ((0, 1), (1, 0)):
        fabric.route(a, number)
        moved = at(a.log.wait("paths-changed", mark, interfaces=[f"eth{number}"]))
        fabric.sniffer.wait(5, a.source, via=f"a{number}", since=moved)
        assert not fabric.sniffer.copies(a.source, via=f"a{other}", since=moved + INTERVAL / 2)
    fabric.route(a, 0, 1)
    both = time.time()
    for number in (0, 1):
        fabric.sniffer.wait(3, a.source, via=f"a{number}", since=both)
    assert a.log.moves(mark) == []


def test_a_node_that_cannot_send_any_advert_is_in_fault(fabric: Fabric) -> None:
    """Where BGP has a say, its sessions are without a path, too, which is known sooner."""
    a = fabric.a
    a.configure("min_sessions = 0")
    fabric.start()
    mark = a.log.mark()
    a.namespace.ip("link set eth0 down\nlink set eth1 down")
    fault = a.log.wait("transition", mark)
    assert (fault["before"], fault["after"], fault["reason"]) == ("active", "initialize", "fault")
    assert "no advert could be sent" in fault["detail"]
    fabric.settled("b")
    a.namespace.ip("link set eth0 up\nlink set eth1 up")
    for number in (0, 1):
        fabric.address(a, number)
    fabric.route(a, 0, 1)
    a.becomes("active", mark)
    fabric.settled("a")


def test_a_node_without_any_way_to_a_peer_stays_out_until_there_is_one(fabric: Fabric) -> None:
    """It must not become Active, fail to send adverts and step down, again and again."""
    a = fabric.a
    a.namespace.ip("route flush default", "-6")
    alone = Alone(a)
    alone.greet()
    fault = a.log.wait("transition", reason="fault")
    assert (fault["before"], fault["after"]) == ("backup", "initialize")
    assert "no route to any peer" in fault["detail"]
    # It looks again, more and more seldom, and moves no more: RETRIES are two by then.
    until = time.time() + 4
    wait_until(lambda: time.time() >= until, "four seconds")
    assert a.log.moves() == [("initialize", "backup", "startup"), ("backup", "initialize", "fault")]
    assert a.log.all("address-bound") == []
    mark = a.log.mark()
    fabric.route(a, 0, 1)
    a.becomes("active", mark)
    a.log.wait("address-bound", mark)


def test_the_last_node_serves_on_when_the_routes_to_its_dead_peers_are_gone(fabric: Fabric) -> None:
    """For example where hosts learn the routes to each other by BGP, without a default route."""
    a, b = fabric.a, fabric.b
    fabric.start()
    a.namespace.ip("route flush default", "-6")
    a.namespace.ip(f"route add {b.source} via fd00:1:0::1 dev eth0", "-6")
    a.log.wait("paths-changed", interfaces=["eth0"])
    mark = a.log.mark()
    b.exabgp.send_signal(signal.SIGSTOP)  # it starts no other agent
    os.kill(b.agent, signal.SIGKILL)
    b.exabgp.kill()
    a.namespace.ip(f"route flush {b.source}", "-6")
    assert "BGP neighbors are reached" in a.log.wait("peers-unreachable", mark)["detail"]
    a.log.wait("peers-unreachable", a.log.mark())  # ten seconds later
    assert a.log.moves(mark) == []
    fabric.settled("a")
    # A peer that is reachable again gets adverts at once.
    back = time.time()
    fabric.route(a, 0, 1)
    fabric.sniffer.wait(3, a.source, since=back)
    # Cut off itself, it gives up as ever.
    a.namespace.ip("link set eth0 down\nlink set eth1 down")
    assert "without a path" in a.log.wait("transition", mark, reason="unreachable")["detail"]


@running.each_line
def test_an_exabgp_that_answers_no_command_is_named_and_served_with(
    fabric: Fabric, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(running.EXABGP_ENVIRONMENT, "exabgp_api_ack", "false")
    fabric.start(line)
    for host in fabric.hosts.values():
        assert any("exabgp.api.ack" in one["detail"] for one in host.log.all("exabgp-anomaly")), host.log.tell()
    fabric.a.exabgp.terminate()
    fabric.settled("b")


def test_one_file_for_both_nodes(fabric: Fabric) -> None:
    nodes = "".join(f'[node.{name}]\nsources = ["{host.source}"]\n' for name, host in fabric.hosts.items())
    for name, host in fabric.hosts.items():
        path = host.configure(agent=["# the end of what the nodes say"])
        lines = [line for line in path.read_text().splitlines() if not line.startswith(("sources", "peers"))]
        text = "\n".join('order = ["a", "b"]' if line.startswith("priority") else line for line in lines)
        path.write_text(f"{text}\n{nodes}")
        host.options = ("--node", name)
    fabric.start()
    routers = {name: host.document()["routers"][0] for name, host in fabric.hosts.items()}
    assert {name: router["priority"] for name, router in routers.items()} == {"a": 250, "b": 240}
    fabric.a.exabgp.kill()
    fabric.settled("b")


@pytest.mark.parametrize(("line", "name"), [("4", "exavrrp.toml"), ("5", "conf.d/x.toml")])
def test_an_agent_that_comes_back_to_a_broken_configuration_serves_on_with_the_last_one(
    fabric: Fabric, line: Line, name: str
) -> None:
    a = fabric.a
    a.configure(hold=LONG_HOLD)
    main, file = a.directory / "exavrrp.toml", a.directory / name
    if file != main:
        file.parent.mkdir()
        file.write_text('[check.y]\nshell = "true"\n')
    fabric.start(line)
    good, mark = file.read_text(), a.log.mark()
    file.write_text(f"{good}[check.x]\ncomand = 1\n")
    monitor = running.Monitor(a.namespace, "address", a.directory / "monitor")
    os.kill(a.agent, signal.SIGKILL)
    assert "check.x.comand: unknown key" in a.log.wait("configuration-invalid", mark)["detail"]
    assert a.log.wait("configuration-kept", mark)["file"] == str(main)
    a.becomes("active", mark)
    fabric.settled()
    assert (a.directory / "run" / "kept.toml").stat().st_mode & 0o777 == 0o600
    assert monitor.changes(a.vip) == [], fabric.told()
    # The next agent uses it, too; and a corrected file is used again.
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("configuration-kept", mark)
    a.becomes("active", mark)
    file.write_text(good)
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.becomes("active", mark)
    assert not a.log.all("configuration-kept", mark)
    # Under another ExaBGP nothing is kept: the agent logs the errors, and does not start.
    file.write_text(f"{good}[check.x]\ncomand = 1\n")
    mark = a.log.mark()
    a.exabgp.kill()
    a.log.wait("agent-stopped", mark)
    monitor.close()
    a.start(line)
    wait_until(lambda: a.log.records and any("unknown key" in one for one in a.log.noise), "the refusal")
    assert not a.log.all("agent-started", mark)
    a.exabgp.kill()
    wait_until(lambda: all(map(running.is_zombie, processes(a.namespace))), "the end of what it has started")
    a.log.mark()
    a.log.noise.clear()


def test_what_the_one_before_has_come_to_have_while_an_agent_waits_for_it_is_cleared(fabric: Fabric) -> None:
    """It was reloaded, and has ended after that."""
    a, prefix = fabric.a, "2001:db8:99::1/128"
    run = a.directory / "run"
    before = Lock(run)
    before.open()
    assert before.take()
    a.start()
    wait_until(before.is_requested, "an agent that waits")
    boot, gone = state.BOOT_ID.read_text().strip(), Announcement(prefixes=(prefix,))
    left = SavedState(boot=boot, exabgp=None, routers={}, announcements=(gone,))
    (run / "state.json").write_bytes(encode_file(left))
    before.release()
    assert a.log.wait("leftovers-found")["prefixes"] == [prefix]
    a.becomes("active")


def test_an_agent_that_is_earlier_than_its_source_waits_for_it(fabric: Fabric) -> None:
    """If the agent ended, ExaBGP would end after the fifth restart."""
    a = fabric.a
    a.namespace.ip(f"addr del {a.source} dev lo")
    a.start()
    assert f"{a.source}: no address of this host" in a.log.wait("source-missing")["detail"]
    wait_until(lambda: a.log.all("session-changed", state="up"), "a session")
    assert not a.log.all("agent-started")
    a.namespace.ip(f"addr add {a.source} dev lo")
    a.becomes("active")
    assert len(a.log.all("source-missing")) == 1


def test_an_agent_that_waits_for_its_source_reloads_nothing_and_says_what_to_do(fabric: Fabric) -> None:
    a = fabric.a
    a.namespace.ip(f"addr del {a.source} dev lo")
    a.start()
    a.log.wait("source-missing")
    a.configure(priority=151)
    [number] = a.agents()
    os.kill(number, signal.SIGHUP)
    assert "end it (SIGTERM): ExaBGP starts it again" in a.log.wait("reload-refused")["detail"]
    assert a.agents() == [number]
    os.kill(number, signal.SIGTERM)
    wait_until(lambda: len(a.log.all("source-missing")) == 2, "another agent that waits")
    a.namespace.ip(f"addr add {a.source} dev lo")
    a.becomes("active")
    assert a.document()["routers"][0]["priority"] == 151
    assert not a.log.all("internal-error")


def test_a_node_without_a_route_to_a_peer_that_lives_leaves_the_address_to_it(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    mark = a.log.mark()
    a.namespace.ip(f"route add unreachable {b.source}", "-6")
    a.log.wait("peers-unreachable", mark)
    a.log.wait("transition", mark, reason="fault")
    fabric.settled("b")
    a.namespace.ip(f"route del unreachable {b.source}", "-6")
    fabric.settled("a")
    assert a.log.moves(mark) == [
        ("active", "initialize", "fault"),
        ("initialize", "backup", "startup"),
        ("backup", "active", "preempted"),
    ]


def test_a_node_whose_source_is_gone_takes_nothing_over_and_keeps_nothing(fabric: Fabric) -> None:
    """An IPv6 socket bound to it still sends, and receives nothing."""
    a, b = fabric.a, fabric.b
    fabric.start()
    marks = a.log.mark(), b.log.mark()
    b.namespace.ip(f"addr del {b.source} dev lo")
    fault = b.log.wait("transition", marks[1])
    assert (fault["after"], fault["reason"]) == ("initialize", "fault")
    assert f"{b.source} is no address of this host" in fault["detail"]
    b.namespace.ip(f"addr add {b.source} dev lo")
    assert b.log.wait("transition", marks[1], after="backup")
    a.namespace.ip(f"addr del {a.source} dev lo")
    a.log.wait("transition", marks[0], reason="fault")
    fabric.settled("b")
    a.namespace.ip(f"addr add {a.source} dev lo")
    fabric.settled("a")
    assert b.log.moves(marks[1])[:2] == [("backup", "initialize", "fault"), ("initialize", "backup", "startup")]


def test_a_source_that_is_put_back_at_once_moves_nothing(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    marks = a.log.mark(), b.log.mark()
    for host in (a, b):
        agent = host.agent
        os.kill(agent, signal.SIGSTOP)  # so that it is back at once, however busy the machine
        host.namespace.ip(f"addr del {host.source} dev lo\naddr add {host.source} dev lo")
        os.kill(agent, signal.SIGCONT)
    since = time.time()
    fabric.sniffer.wait(10, a.source, via="a0", since=since)
    assert a.log.moves(marks[0]) == b.log.moves(marks[1]) == []


# Checks


def test_checks_move_the_priority_or_fault_the_node(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    slow, broken = a.directory / "not-slow", a.directory / "not-broken"
    a.configure('checks = ["slow", "broken"]', checks=[*check("slow", slow, -100), *check("broken", broken, 0)])
    slow.touch()
    broken.touch()
    fabric.start()
    assert a.log.all("transition")[-1]["priority"] == 150

    mark = a.log.mark()
    slow.unlink()
    assert a.log.wait("transition", mark)["reason"] == "superseded"
    assert a.log.moves(mark) == [("active", "backup", "superseded")]
    fabric.settled("b")
    slow.touch()
    fabric.settled("a")

    mark, since = a.log.mark(), time.time()
    broken.unlink()
    fault = a.log.wait("transition", mark)
    assert (fault["after"], fault["reason"]) == ("initialize", "fault")
    assert "broken" in fault["detail"]
    fabric.sniffer.wait(3, a.source, via="a0", since=since, priority=0)
    fabric.settled("b")
    assert b.log.moves()[-1] == ("backup", "active", "peer-resigned")
    broken.touch()
    fabric.settled("a")


# Clocks

SHIFTED_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    char text[32] = {0};
    int file = open(getenv("CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (clock >= 0 && atol(getenv("CLOCK_SHIFTED")) >> clock & 1) now->tv_sec += shift();
    return done;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}
"""
"""A preloaded library that shifts some clocks of a process by the number of seconds in a file."""


def shift_clocks(clocks: Iterable[int], need: Need, *hosts: Host) -> Path:
    """Gives these hosts such ``clocks``. Returns the file."""
    source, library, shift = (hosts[0].directory / name for name in ("clock.c", "clock.so", "shift"))
    source.write_text(SHIFTED_CLOCK)
    subprocess.run([need("cc"), "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    for host in hosts:
        shifted = sum(1 << clock for clock in clocks)
        host.prefix = ("/usr/bin/env", f"LD_PRELOAD={library}", f"CLOCK_SHIFT={shift}", f"CLOCK_SHIFTED={shifted}")
    return shift


def test_a_suspension_is_a_stall(fabric: Fabric, need: Need) -> None:
    """CLOCK_MONOTONIC does not see it; this process has not stood still either, so nothing else shows it."""
    a = fabric.a
    shift = shift_clocks([time.CLOCK_BOOTTIME, time.CLOCK_REALTIME], need, a)
    fabric.start()
    mark = a.log.mark()
    shift.write_text("9")
    stalled = a.log.wait("transition", mark)
    assert (stalled["before"], stalled["after"], stalled["reason"]) == ("active", "backup", "stalled")
    a.log.wait("transition", mark, after="active")
    fabric.settled("a")
    assert a.log.all("clock-stepped", mark) == []


def test_the_clock_on_the_wall_does_not_matter(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    shift = shift_clocks([time.CLOCK_REALTIME], need, a, b)
    for host in (a, b):
        host.configure(interval=CALM)
    fabric.start()
    marks = a.log.mark(), b.log.mark()
    for seconds in (86_400, -86_400):
        shift.write_text(str(seconds))
        shifted, mark = time.time(), a.log.mark()
        fabric.sniffer.wait(5, a.source, via="a0", since=shifted)
        assert fabric.sniffer.longest_gap(a.source, "a0", shifted, time.time()) < patience("b", CALM)
        os.kill(a.agent, signal.SIGUSR1)
        assert abs(at(a.log.wait("counters", mark)) - time.time() - seconds) < 60, "the control: its clock was set"
    assert (a.log.moves(marks[0]), b.log.moves(marks[1])) == ([], [])

    stopped = time.time()
    os.kill(a.agent, signal.SIGSTOP)
    shift.write_text("86400")
    took_over = fabric.sniffer.wait(1, b.source, since=stopped)[0].at
    silent = took_over - fabric.sniffer.copies(a.source)[-1].at
    assert silent >= 0.9 * patience("b", CALM)


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_a_clock_that_is_set_during_a_takeover_by_med(fabric: Fabric, need: Need, hours: int) -> None:
    """The routes never tie, the log says it, and once the clock is right the new Active's is the better one."""
    a, b = fabric.a, fabric.b
    for host in (a, b):
        file = host.configure()
        file.write_text(file.read_text().replace(f"med = {running.MED}\n", ""))
    shift = shift_clocks([time.CLOCK_REALTIME], need, b)
    a.start()
    a.log.wait("route-announced", state="active")
    b.start()
    fabric.sniffer.wait(2, a.source, via="a0", since=at(b.log.wait("transition")))

    def meds() -> tuple[set[int], set[int]]:
        found = fabric.bird.via(fabric.vip)
        assert found["a"].isdisjoint(found.get("b", ())), "they tie"
        return found["a"], found.get("b", set())

    mark = b.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)
    os.kill(a.agent, signal.SIGSTOP)
    shift.write_text(str(3600 * hours))
    b.log.wait("route-announced", mark, state="active")
    wait_until(lambda: all(meds()), fabric.told)
    stale, taken = meds()
    assert (min(taken) < min(stale)) is (hours > 0), "as its clock says"
    assert f"set {'forward' if hours > 0 else 'back'} by 3" in b.log.wait("clock-stepped", mark)["detail"]
    shift.write_text("0")
    wait_until(lambda: taken.isdisjoint(meds()[1]) and max(meds()[1]) < min(stale), fabric.told)


# Routers that move together


def with_ipv4(host: Host) -> Path:
    """Adds an IPv4 router to the group of the IPv6 one, which alone has a check. Returns the file of that check."""
    file = host.directory / "service"
    file.touch()
    other = "b" if host.name == "a" else "a"
    host.configure(
        'group = "site"',
        'checks = ["service"]',
        checks=[
            "[virtual_router.web4]",
            f"vrid = {VRID}",
            f"priority = {PRIORITY[host.name]}",
            f'addresses = ["{VIP[4]}/32"]',
            f'source = "{loopback(host.name, 4)}"',
            f'peers = ["{loopback(other, 4)}"]',
            f"handover_hold = {HOLD}",
            f"linger = {LINGER}",
            "min_sessions = 0",
            'group = "site"',
            *check("service", file, 0),
        ],
    )
    return file


def of_both_families(host: Host) -> Path:
    """Gives the router addresses of both families. Returns the file of its check."""
    file = host.directory / "service"
    file.touch()
    other = "b" if host.name == "a" else "a"
    path = host.configure('checks = ["service"]', "min_sessions = 0", checks=check("service", file, 0))
    text = path.read_text()
    for old, new in (
        (f'"{host.source}"', loopback(host.name, 4)),
        (f'"{loopback(other, host.family)}"', loopback(other, 4)),
        (f'"{host.vip}/{BITS[host.family]}"', f"{VIP[4]}/32"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, f'{old}, "{new}"')
    path.write_text(text)
    return file


@pytest.mark.parametrize(
    ("configured", "names"),
    [(with_ipv4, ("web", "web4")), (of_both_families, ("web-ipv6", "web-ipv4"))],
    ids=["group", "service"],
)
def test_a_group_moves_as_one(fabric: Fabric, configured: Callable[[Host], Path], names: tuple[str, str]) -> None:
    a, b = fabric.a, fabric.b
    service = configured(a)
    configured(b)

    def serving() -> dict[str, set[str]]:
        """Host → its routers that are Active."""
        found: dict[str, set[str]] = {}
        for host in (a, b):
            last = {one["router"]: one["after"] for one in host.log.all("transition")}
            found[host.name] = {router for router, after in last.items() if after == "active"}
        return found

    def moved(home: str) -> Callable[[], bool]:
        both, other = set(names), "b" if home == "a" else "a"
        return lambda: serving() == {home: both, other: set()}

    fabric.start_both()
    wait_until(moved("a"), lambda: f"both at a: {fabric.told()}")
    service.unlink()
    wait_until(moved("b"), lambda: f"both at b: {fabric.told()}")
    assert any("service" in str(one["detail"]) for one in a.log.all("transition") if one["router"] == names[1])
    service.touch()
    wait_until(moved("a"), lambda: f"both at a again: {fabric.told()}")
    assert a.ask("status", "--is-active", names[1]) == "active\n"
    assert {
        line.partition(":")[0]
        for line in a.ask("drain", "site" if configured is with_ipv4 else "web", "--wait").splitlines()
    } == set(names)
    wait_until(moved("b"), lambda: f"both at b again: {fabric.told()}")
    assert b.ask("status", "--is-active", "web") == "active\n"
    a.ask("undrain", "web")
    wait_until(moved("a"), lambda: f"both at a once more: {fabric.told()}")


# Notifications


def test_a_script_of_keepalived_runs_at_every_transition(fabric: Fabric) -> None:
    a = fabric.a
    told = a.directory / "told"
    script = a.directory / "notify"
    script.write_text(f'#!/bin/sh\necho "$1 $2 $3 $4" >> {told}\n')
    script.chmod(0o755)
    a.configure(f'notify = ["{script}"]')
    fabric.start()
    a.ask("drain", "--wait")
    a.ask("undrain")
    a.becomes("active")
    fabric.settled("a")
    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    states = ["BACKUP", "MASTER", "BACKUP", "MASTER", "STOP"]
    expected = [f"INSTANCE web {state} {PRIORITY['a']}" for state in states]
    wait_until(lambda: told.read_text().splitlines()[-1:] == expected[-1:], told.read_text)
    lines = told.read_text().splitlines()
    # ExaBGP closes its sessions before it says that it stops: that may be told as a fault of its own.
    assert [line for line in lines if "FAULT" not in line] == expected


@pytest.mark.parametrize("fabric", [4, 6], ids=["ipv4", "ipv6"], indirect=True)
def test_an_address_on_another_interface_is_logged(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    on_eth0 = f"{fabric.vip}/{BITS[fabric.family]} dev eth0"
    a.namespace.ip(f"addr add {on_eth0}")
    fabric.start()
    remark = a.log.wait("address-elsewhere")["detail"]
    assert remark == f"{fabric.vip} is on eth0 too, where this node answers for it even as a Backup: remove it"
    assert remark in a.status()
    a.namespace.ip(f"addr del {on_eth0}")
    wait_until(lambda: "on eth0 too" not in a.status(), "the remark to go")
    assert a.bound()
    assert not b.log.all("address-elsewhere")
