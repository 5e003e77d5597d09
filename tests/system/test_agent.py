"""The whole agent: real ExaBGP, real BIRD, real kernel; what goes wrong in a data centre, one thing at a time."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import (
    BITS,
    EXABGP_LIMIT,
    HOLD,
    INTERVAL,
    LINGER,
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
    wait_until,
)

pytestmark = pytest.mark.system

both_lines = pytest.mark.parametrize("line", ["4", "5"], ids=["exabgp4", "exabgp5"])

CALM = 0.2
"""Seconds between adverts where their rhythm is looked at, on a machine with too much to do."""
SLACK = 0.15
"""Seconds that a machine with too much to do may add to what is measured from outside: an interval and a half."""


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
        "rise = 1",
        "fall = 1",
        f"weight = {weight}",
    ]


def answers(fabric: Fabric) -> bool:
    """Whether a packet from the router to the virtual address is answered."""
    with fabric.router:
        done = subprocess.run(["ping", "-c1", "-W2", fabric.vip], capture_output=True, check=False)
    return done.returncode == 0


# An ordinary life


@pytest.mark.parametrize(
    ("line", "fabric"), [("4", 6), ("5", 4)], ids=["exabgp4-ipv6", "exabgp5-ipv4"], indirect=["fabric"]
)
def test_two_nodes_elect_and_a_clean_stop_hands_over(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    fabric.start(line)
    assert a.log.moves()[0] == ("initialize", "backup", "startup")
    promoted = a.becomes("active")
    bound, announced = a.log.wait("bound"), a.log.wait("announced")
    assert at(promoted) <= at(bound) <= at(announced), "the order of taking over"
    assert answers(fabric)

    agent, mark = a.agent, b.log.mark()
    stopped = time.time()
    a.exabgp.terminate()
    end = ended(agent)

    resigned = fabric.sniffer.wait(3, a.source, via="a0", since=stopped, priority=0)
    assert resigned[-1].at - resigned[0].at < INTERVAL, "said three times, for nobody confirms it"
    took_over = fabric.sniffer.wait(1, b.source, since=stopped)[0]
    assert b.log.moves(mark) == [("backup", "active", "peer-resigned")], fabric.told()
    assert skew("b") <= took_over.at - resigned[0].at <= skew("b") + SLACK
    assert end - stopped < EXABGP_LIMIT
    assert a.log.wait("stopping")["reason"] == "ExaBGP stops", "told before the signal"
    assert a.log.order()[-1] == "stopped", "it was not killed in the middle of it"
    assert a.exabgp.wait(running.LIMIT) == 0
    fabric.settled("b")
    assert not a.agents()
    assert answers(fabric)


def test_break_before_make_withdraws_unbinds_and_only_then_resigns(fabric: Fabric) -> None:
    a = fabric.a
    a.configure('handover = "break-before-make"')
    fabric.start()
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    mark, told = a.log.mark(), time.time()
    os.kill(a.agent, signal.SIGINT)  # an orderly stop of the agent alone, so that ExaBGP can carry out what it wants
    a.log.wait("stopped", mark)
    assert a.log.order(mark)[:4] == ["stopping", "withdrawn", "unbound", "transition"]
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
    assert ended(agent) - killed < EXABGP_LIMIT
    assert fabric.a.log.wait("exabgp-gone", mark)["detail"] == "end of file on stdin"
    assert fabric.a.log.order()[-1] == "stopped"
    assert fabric.sniffer.wait(1, fabric.a.source, since=killed, priority=0)
    fabric.settled("b")


def test_an_agent_that_can_no_longer_write_ends_by_itself(fabric: Fabric) -> None:
    alone = Alone(fabric.a)
    alone.greet()
    alone.stdout.close()
    fabric.a.log.wait("bound")
    assert fabric.a.log.wait("exabgp-gone")["detail"] == "stdout: Broken pipe"
    assert alone.process.wait(EXABGP_LIMIT) == 0
    assert not fabric.a.bound()
    assert fabric.sniffer.wait(3, fabric.a.source, via="a0", priority=0)


@pytest.mark.parametrize("how", ["end of file", "SIGTERM", "SIGINT"])
def test_a_backup_that_is_told_to_end_ends_at_once(fabric: Fabric, how: str) -> None:
    alone = Alone(fabric.a)
    alone.greet()
    if how == "end of file":
        alone.stdin.close()
    else:
        alone.process.send_signal(signal.Signals[how])
    assert alone.process.wait(EXABGP_LIMIT) == 0
    assert fabric.a.log.order()[-1] == "stopped"
    assert not fabric.sniffer.copies(fabric.a.source), "a Backup has nothing to say"


def test_signals_at_the_very_end_do_not_matter(fabric: Fabric) -> None:
    alone = Alone(fabric.a)
    alone.greet()
    alone.process.terminate()
    assert not alone.stdout.read()
    while alone.process.poll() is None:  # ExaBGP sends one to a plugin that has closed its stdout
        alone.process.terminate()
        time.sleep(0.0002)  # not a storm
    assert alone.process.returncode == 0
    assert fabric.a.log.order()[-1] == "stopped"


@both_lines
def test_an_exabgp_that_stood_still_is_told_the_last_wish_once(fabric: Fabric, line: Line) -> None:
    a, b, healthy = fabric.a, fabric.b, fabric.a.directory / "healthy"
    # With sessions needed, a node whose ExaBGP stands still takes nothing.
    a.configure("min_sessions = 0", 'checks = ["web"]', checks=check("web", healthy, weight=-100), interval=CALM)
    b.configure("min_sessions = 0", interval=CALM)
    a.start(line)
    b.start(line)
    fabric.settled("b")
    updates = fabric.bird.updates("a0")

    for host in (a, b):
        host.exabgp.send_signal(signal.SIGSTOP)
    frozen = time.time()
    healthy.touch()
    a.becomes("active")
    healthy.unlink()
    a.becomes("backup")
    healthy.touch()
    rhythm = at(a.becomes("active"))
    wait_until(lambda: time.time() >= frozen + 5, "five seconds")
    assert fabric.sniffer.longest_gap(a.source, "a0", rhythm, time.time()) <= 2 * CALM
    assert set(fabric.bird.via(fabric.vip)) == {"b"}, "nothing could have been told"
    for host in (a, b):
        host.exabgp.send_signal(signal.SIGCONT)
    fabric.settled("a")
    fabric.sniffer.wait(5, a.source, via="a0", since=time.time())
    fabric.settled("a")
    assert fabric.bird.updates("a0") == updates + 1
    assert a.log.moves()[-1] == ("backup", "active", "preempted")


@both_lines
def test_an_active_whose_exabgp_stands_still_is_succeeded_and_serves_on_meanwhile(fabric: Fabric, line: Line) -> None:
    """Its route stays until the routers' hold time is over; before that another one's has to be there."""
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
    """The announcement may still be waiting at ExaBGP; that nothing was announced before it confirms no withdraw."""
    a, b = fabric.a, fabric.b
    a.configure(priority=50)
    alone = Alone(a)
    alone.greet()
    alone.tell("Peer            AS        up/down state       |     #sent     #recvd\ndone\n")
    for number in range(1, 9):  # four forms in two spellings: all that a predecessor can have announced
        alone.begins(number, "withdraw ")
        alone.tell("done\n")
    a.becomes("active")
    alone.begins(1, "announce ")
    b.start()
    superseded = at(a.becomes("backup"))
    fabric.sniffer.wait(15, b.source, via="b0", since=superseded)  # more than HOLD and LINGER together
    assert not {"withdrawn", "unbound"} & set(a.log.order()), a.log.tell()
    assert a.bound()


# The agent dies, or stands still


@both_lines
@pytest.mark.parametrize("how", ["killed", "asked to end", "replaced", "replaced while it hangs"])
def test_an_agent_that_comes_back_at_once_never_stops_serving(fabric: Fabric, line: Line, how: str) -> None:
    """Another may take over for a moment, which costs nothing: the address stays bound, and the route where it is."""
    a = fabric.a
    fabric.start(line)
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
            a.log.wait("neighbor", mark)
            os.kill(first, signal.SIGKILL)  # ExaBGP 5 does that after 2 s, 4.2 never
    ended(first)
    assert a.log.wait("leftovers", mark)["addresses"] == [fabric.vip]
    assert a.log.wait("transition", mark, after="active")["reason"] in ("resumed", "preempted")
    fabric.settled("a")
    assert a.agent != first
    assert addresses.changes(fabric.vip) == []
    assert not a.log.all("bug")
    if how in ("asked to end", "replaced"):
        assert a.log.all("stopped", mark)[0]["reason"] == "SIGTERM alone"


@both_lines
def test_a_killed_agent_that_was_replaced_leaves_nothing(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    a.configure("preempt = false")
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
    assert a.log.wait("leftovers", mark)["addresses"] == [fabric.vip]
    unbound = addresses.wait(fabric.vip, there=False)
    assert unbound >= at(a.log.wait("withdrawn", mark)) + LINGER
    fabric.settled("b")
    assert a.log.moves(mark) == [("initialize", "backup", "startup")]


@both_lines
def test_an_agent_that_was_killed_knows_who_fell_silent_before(fabric: Fabric, line: Line) -> None:
    """The routers have the route of a node that died until their hold time is over, and a longer one would lose."""
    a, b = fabric.a, fabric.b
    for host in (a, b):
        host.configure(checks=["local_as = 65010", 'takeover = ["prepend"]'])
    fabric.start(line)
    before = fabric.bird.lengths(fabric.vip)["a0"]
    a.exabgp.send_signal(signal.SIGSTOP)
    os.kill(a.agent, signal.SIGSTOP)
    b.becomes("active")
    b.log.wait("announced", state="active")
    wait_until(lambda: fabric.bird.lengths(fabric.vip).get("b0") == before - 1, "a better route than that of a")
    mark = b.log.mark()
    os.kill(b.agent, signal.SIGKILL)
    b.log.wait("announced", mark, state="active")
    wait_until(lambda: fabric.bird.via(fabric.vip)["b"] == {running.MED}, "b to serve again")
    assert fabric.bird.lengths(fabric.vip) == {"a0": before, "a1": before, "b0": before - 1, "b1": before - 1}


@both_lines
def test_leftovers_of_another_exabgp_are_cleared(fabric: Fabric, line: Line) -> None:
    """Whoever died with its ExaBGP announces nothing any more: there is nothing to continue."""
    a = fabric.a
    a.start(line)
    a.becomes("active")
    wait_until(a.bound, "the address")
    agent = a.agent
    os.kill(agent, signal.SIGSTOP)  # so that it cannot clear up when ExaBGP is gone
    a.exabgp.kill()
    os.kill(agent, signal.SIGKILL)
    ended(agent)
    assert a.bound()
    mark = a.log.mark()
    a.start(line)
    assert "withdrawn" in a.log.wait("leftovers", mark)["detail"]
    a.log.wait("announced", mark)
    assert a.log.order(mark).index("unbound") < a.log.order(mark).index("announced")
    fabric.settled("a")


def test_an_agent_that_stood_still_steps_down_before_it_says_anything(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    mark, agent = a.log.mark(), a.agent
    os.kill(agent, signal.SIGSTOP)
    fabric.sniffer.wait(10, b.source, via="b0")  # for longer than until b has just taken over
    woken = time.time()
    os.kill(agent, signal.SIGCONT)
    stalled = a.log.wait("transition", mark)
    assert (stalled["before"], stalled["after"], stalled["reason"]) == ("active", "backup", "stalled")
    back = a.log.wait("transition", mark, after="active")
    assert back["reason"] == "preempted"
    assert fabric.sniffer.wait(1, a.source, since=woken)[0].at > at(stalled) + 0.9 * patience("a")
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
    measured = []
    for _ in range(3):
        mark, since = a.log.mark(), time.time()
        a.namespace.ip(f"addr del {fabric.vip}/{BITS[fabric.family]} dev lo")
        gone = addresses.wait(fabric.vip, there=False, since=since)
        measured.append(addresses.wait(fabric.vip, there=True, since=gone) - gone)
        assert a.log.wait("repaired", mark)["address"] == fabric.vip
    with capsys.disabled():
        sys.stdout.write(f" [back after {', '.join(f'{seconds * 1000:.1f}' for seconds in measured)} ms] ")
    assert max(measured) < 0.1
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
    assert not a.log.all("announced")

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
    assert fabric.sniffer.longest_gap(a.source, "a1", deleted, time.time()) <= 2 * INTERVAL
    assert (a.log.moves(marks[0]), b.log.moves(marks[1])) == ([], [])


def test_adverts_follow_the_routes(fabric: Fabric) -> None:
    a = fabric.a
    fabric.start()
    mark = a.log.mark()
    for number, other in ((0, 1), (1, 0)):
        fabric.route(a, number)
        moved = at(a.log.wait("paths", mark, interfaces=[f"eth{number}"]))
        fabric.sniffer.wait(5, a.source, via=f"a{number}", since=moved)
        assert not fabric.sniffer.copies(a.source, via=f"a{other}", since=moved + INTERVAL / 2)
    fabric.route(a, 0, 1)
    both = time.time()
    for number in (0, 1):
        fabric.sniffer.wait(3, a.source, via=f"a{number}", since=both)
    assert a.log.moves(mark) == []


def test_a_node_that_cannot_send_any_advert_is_in_fault(fabric: Fabric) -> None:
    a = fabric.a
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


# The clock on the wall

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
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += shift();
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
"""Stands between a process and the clock on the wall, which for it is as many seconds off as a file says."""


def test_the_clock_on_the_wall_does_not_matter(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    source, library, shift = (a.directory / name for name in ("clock.c", "clock.so", "shift"))
    source.write_text(SHIFTED_CLOCK)
    subprocess.run([need("cc"), "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    for host in (a, b):
        host.configure(interval=CALM)
        host.prefix = ("/usr/bin/env", f"LD_PRELOAD={library}", f"CLOCK_SHIFT={shift}")
    fabric.start()
    marks = a.log.mark(), b.log.mark()
    for seconds in (86_400, -86_400):
        shift.write_text(str(seconds))
        shifted, mark = time.time(), a.log.mark()
        fabric.sniffer.wait(6, a.source, via="a0", since=shifted)
        assert fabric.sniffer.longest_gap(a.source, "a0", shifted, time.time()) <= 2 * CALM
        os.kill(a.agent, signal.SIGUSR1)
        assert abs(at(a.log.wait("counters", mark)) - time.time() - seconds) < 60, "the control: its clock was set"
    assert (a.log.moves(marks[0]), b.log.moves(marks[1])) == ([], [])

    stopped = time.time()
    os.kill(a.agent, signal.SIGSTOP)
    shift.write_text("86400")
    took_over = fabric.sniffer.wait(1, b.source, since=stopped)[0].at
    silent = took_over - fabric.sniffer.copies(a.source)[-1].at
    assert abs(silent - patience("b", CALM)) <= SLACK


# Routers that move together


def with_ipv4(host: Host) -> Path:
    """Configures an IPv4 router in one group with the IPv6 one, which alone has a check; the file that it looks for."""
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
            "[check.service]",
            f'file = "{file}"',
            "interval = 0.05",
            "rise = 1",
            "fall = 1",
        ],
    )
    return file


def test_a_group_moves_as_one(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    service = with_ipv4(a)
    with_ipv4(b)

    def serving() -> dict[str, set[str]]:
        """By host: its routers that are Active."""
        found: dict[str, set[str]] = {}
        for host in (a, b):
            last = {one["router"]: one["after"] for one in host.log.all("transition")}
            found[host.name] = {router for router, after in last.items() if after == "active"}
        return found

    def moved(home: str) -> Callable[[], bool]:
        both, other = {"web", "web4"}, "b" if home == "a" else "a"
        return lambda: serving() == {home: both, other: set()}

    fabric.start_both()
    wait_until(moved("a"), lambda: f"both at a: {fabric.told()}")
    service.unlink()
    wait_until(moved("b"), lambda: f"both at b: {fabric.told()}")
    assert any("web: fault" in str(one["detail"]) for one in a.log.all("transition") if one["router"] == "web4")
    service.touch()
    wait_until(moved("a"), lambda: f"both at a again: {fabric.told()}")
    ask(a, "drain", "web4", "--wait")
    assert moved("b")()
    ask(a, "undrain", "web")
    wait_until(moved("a"), lambda: f"both at a once more: {fabric.told()}")


# Who is told


def test_a_script_of_keepalived_is_told_of_every_transition(fabric: Fabric) -> None:
    a = fabric.a
    told = a.directory / "told"
    script = a.directory / "notify"
    script.write_text(f'#!/bin/sh\necho "$1 $2 $3 $4" >> {told}\n')
    script.chmod(0o755)
    a.configure(f'notify = ["{script}"]')
    fabric.start()
    ask(a, "drain", "--wait")
    ask(a, "undrain")
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


def ask(host: Host, *words: str) -> str:
    """Runs a command of ours beside the agent of ``host``; what it says."""
    command = [*running.AGENT, words[0], "--config", str(host.directory / "exavrrp.toml"), *words[1:]]
    return host.namespace.run(*command)
