"""Routes that ExaBGP refuses: the agent knows and logs it, and does not preempt other nodes with them.

Real ExaBGP 4.2 and 5.0, and what BIRD has in its tables beside what our own status says.
"""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import MED, Fabric, Host, Line, wait_until

pytestmark = pytest.mark.system


CANNOT_CARRY = """neighbor 127.0.0.2 {
    router-id 192.0.2.2; local-address 127.0.0.1; local-as 65010; peer-as 65000; passive;
    family { ipv4 unicast; ipv6 unicast; }
    api { processes [ exavrrp ]; }
}
"""
"""A session over IPv4, for which "next-hop self" of an IPv6 route raises inside ExaBGP: 4.2 never answers."""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    with running.fabric(namespace, need, getattr(request, "param", 6)) as built:
        yield built


def status(host: Host) -> dict[str, Any]:
    """The status of its router."""
    found: dict[str, Any] = host.document()["routers"][0]
    return found


def shown(host: Host, **wanted: object) -> dict[str, Any]:
    """The same, once the status is this."""
    last: dict[str, Any] = {}

    def found() -> bool:
        last.update(status(host))
        return wanted.items() <= last.items()

    wait_until(found, lambda: f"{wanted} in {last}")
    return last


def told_sessions(host: Host) -> dict[str, tuple[bool | None, bool | None, list[str]]]:
    """By neighbor: whether its session is up, whether it is told of our routes, and for which routers it counts."""
    return {one["peer"]: (one["up"], one["told"], one["counts_for"]) for one in host.document()["sessions"]}


def peer(host: Host, number: int) -> str:
    """The neighbor over this uplink."""
    return running.uplink(host.name, number, host.family, router=True)


def only(host: Host, number: int) -> list[str]:
    """A line for a table of attributes: only the neighbor over this uplink gets the route."""
    return [f'neighbors = ["{peer(host, number)}"]']


def relist(fabric: Fabric, host: Host, line: Line, listing: tuple[int, ...], suffix: str = "") -> None:
    """A reload with other lists of processes, which 4.2 uses when the session has been reset."""
    host.list_in(*listing)
    for number in (0, 1) if line == "4" else ():
        host.log.wait("exabgp-reconfigured")
        fabric.bird.ask(f"restart {host.name}{number}{suffix}")


@running.each_line
def test_a_node_that_is_refused_does_not_preempt_one_that_is_not(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    b.start(line)
    b.becomes("active")
    wait_until(lambda: fabric.bird.via(b.vip) == {"b": {MED}}, "the route of b")
    a.listing = ()
    a.start(line)
    a.log.wait("route-not-accepted")
    told = wait_until(lambda: [status(a)] if status(a)["faults"] else [], "a's fault")[0]
    assert (told["role"], told["bound"], told["level"]) == ("initialize", False, None)
    assert any("refuses" in one and "api" in one for one in told["faults"])
    assert not a.log.moves(), "it never took part"
    assert a.call("status", "--is-active", "web").returncode == 1
    assert fabric.bird.via(b.vip) == {"b": {MED}}
    assert not [one for one in b.log.all("transition") if one["before"] == "active"]


@running.each_line
def test_a_node_without_an_answer_counts_as_refused(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    a.neighbors = CANNOT_CARRY
    a.start(line)
    b.start(line)
    b.becomes("active")
    how = {"4": "does not answer for", "5": "refuses"}[line]
    assert f"ExaBGP {how} {a.vip}" in a.log.wait("route-not-accepted")["detail"]
    wait_until(lambda: fabric.bird.via(b.vip) == {"b": {MED}}, "the route of b alone")
    assert not a.bound()


def test_without_sessions_as_a_condition_it_is_only_logged(fabric: Fabric) -> None:
    """``min_sessions = 0``: BGP does not count in the election, and its status is still true."""
    a = fabric.a
    a.configure("min_sessions = 0")
    a.listing = ()
    a.start()
    a.becomes("active")
    a.log.wait("command-refused")
    shown(a, role="active", bound=True, level=None, wanted="active", accepted=False, faults=[])
    assert "web: to be announced as active, and ExaBGP has not confirmed it" in a.status()
    asked = a.call("status", "--is-active", "web")
    assert (asked.returncode, asked.stdout) == (1, "active, not announced\n")
    a.list_in(0, 1)
    a.log.wait("route-announced")
    assert a.call("status", "--is-active", "web").stdout == "active\n"
    wait_until(lambda: fabric.bird.via(a.vip) == {"a": {MED}}, "the route")


@running.each_line
def test_a_neighbor_that_is_not_told_is_named_and_does_not_count(fabric: Fabric, line: Line) -> None:
    a = fabric.a
    a.listing = (0,)
    a.start(line)
    a.becomes("active")
    untold = a.log.wait("neighbor-unlisted")
    wait_until(lambda: fabric.bird.routes(a.vip) == {"a0": MED}, "its route, over the neighbor that is told")
    ends = f"{untold['neighbor']} from {untold['local']}"
    shown(a, level="active", accepted=True, faults=[], untold=[ends])
    assert f"not told of its routes: {untold['neighbor']}" in a.status()
    assert f"session {ends} up, not told of our routes, so it does not count" in a.status()
    wait_until(lambda: sorted(told_sessions(a).values()) == [(True, False, []), (True, True, ["web"])], "the sessions")
    assert told_sessions(a)[untold["neighbor"]] == (True, False, [])
    mark = a.log.mark()
    a.list_in(0, 1)
    if line == "4":
        fabric.bird.ask("restart a1")
    assert a.log.wait("neighbor-listed", mark)["neighbor"] == untold["neighbor"]
    wait_until(lambda: fabric.bird.routes(a.vip) == {"a0": MED, "a1": MED}, "its route, over both")
    shown(a, untold=[])
    wait_until(lambda: list(told_sessions(a).values()) == [(True, True, ["web"])] * 2, "both sessions to count")
    fabric.bird.ask("disable a1")
    wait_until(lambda: told_sessions(a)[untold["neighbor"]] == (False, None, []), "its session down")
    assert f"session {ends} down" in a.status()


@running.each_line
def test_the_states_may_name_different_neighbors_if_those_of_the_active_list_the_agent(
    fabric: Fabric, line: Line
) -> None:
    """A neighbor that gets no routes of ours has none: that no withdraw succeeds there is no fault."""
    a = fabric.a
    a.configure(checks=[f'neighbors = ["{peer(a, 0)}"]', "[virtual_router.web.bgp.leaving]", *only(a, 1)])
    a.listing = (0,)
    a.start(line)
    a.becomes("active")
    wait_until(lambda: fabric.bird.routes(a.vip) == {"a0": MED}, "its route")
    assert status(a)["faults"] == []
    assert a.log.all("route-not-accepted") == []


@running.each_line
def test_a_standby_route_that_is_refused_is_a_fault_until_it_is_not(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    a.start(line)
    a.becomes("active")
    b.configure(
        'standby = "announce"',
        checks=[f'neighbors = ["{peer(b, 0)}"]', "[virtual_router.web.bgp.standby]", *only(b, 1)],
    )
    b.listing = (0,)
    b.start(line)
    assert "refuses" in b.log.wait("route-not-accepted")["detail"]
    wait_until(lambda: status(b)["faults"] and status(b)["accepted"], "b's fault, and its withdraw")
    assert fabric.bird.via(b.vip) == {"a": {MED}}, "nothing moved"
    assert not [one for one in a.log.all("transition") if one["before"] == "active"]
    mark = b.log.mark()
    relist(fabric, b, line, (0, 1))
    b.log.wait("route-announced", mark, state="standby")
    wait_until(lambda: set(fabric.bird.routes(b.vip)) == {"a0", "a1", "b1"}, "the standby route")
    shown(b, faults=[])


@running.each_line
def test_a_leaving_route_that_is_refused_delays_no_handover(fabric: Fabric, line: Line) -> None:
    """The route of the Active stays in the meantime, and is withdrawn where it was announced."""
    a, b = fabric.a, fabric.b
    a.configure(checks=[f'neighbors = ["{peer(a, 0)}"]', "[virtual_router.web.bgp.leaving]", *only(a, 1)])
    a.listing = (0,)
    a.start(line)
    a.becomes("active")
    b.start(line)
    b.becomes("backup")
    wait_until(lambda: fabric.bird.routes(a.vip) == {"a0": MED}, "the route of a")
    a.ask("drain", "--wait")
    wait_until(lambda: fabric.bird.via(b.vip) == {"b": {MED}}, "the route of b alone")
    wait_until(lambda: not a.bound(), "a to let go")
    shown(a, faults=[])


@running.each_line
def test_a_family_of_a_group_that_is_refused_takes_the_other_one_along(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    vips = {4: running.VIP[4], 6: running.VIP[6]}
    for host, other in ((a, "b"), (b, "a")):
        second = [
            "[virtual_router.web4]",
            f"vrid = {running.VRID}",
            f"priority = {running.PRIORITY[host.name]}",
            f'addresses = ["{vips[4]}/32"]',
            f'source = "{running.loopback(host.name, 4)}"',
            f'peers = ["{running.loopback(other, 4)}"]',
            f"handover_hold = {running.HOLD}",
            f"linger = {running.LINGER}",
            'group = "site"',
            "[virtual_router.web4.bgp]",
            f"med = {MED}",
        ]
        host.configure('group = "site"', checks=second)
    a.other_listing, b.other_listing = (), (0, 1)
    a.start(line)
    b.start(line)

    def announced() -> list[dict[str, set[int]]]:
        return [fabric.bird.via(vip) for vip in vips.values()]

    wait_until(lambda: announced() == [{"b": {MED}}] * 2, "both at b")
    assert {one["role"] for one in a.document()["routers"]} == {"initialize"}
    assert not a.log.moves()
    mark = a.log.mark()
    a.other_listing = (0, 1)
    relist(fabric, a, line, a.listing, "v4")
    for router in ("web", "web4"):
        a.log.wait("transition", mark, router=router, after="active")
    wait_until(lambda: announced() == [{"a": {MED}}] * 2, "both at a")


@running.each_line
def test_a_static_route_that_a_reload_announces_is_withdrawn_again(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    fabric.start(line)
    b.static = f"static {{ route {b.vip}/128 next-hop self med 1; }}"
    mark = b.log.mark()
    for _ in range(2):  # each reload announces it
        before = fabric.bird.updates("b0")
        b.reload()
        wait_until(lambda: fabric.bird.updates("b0") > before, "the static route")  # noqa: B023
        wait_until(lambda: fabric.bird.via(a.vip) == {"a": {MED}}, "the route of a alone")
    assert f"ExaBGP announces {b.vip}/128" in b.log.wait("exabgp-anomaly", mark)["detail"]
    assert not b.log.moves(mark)


@running.each_line
def test_a_session_that_was_never_up_and_what_a_session_carries_are_in_the_status(fabric: Fabric, line: Line) -> None:
    a = fabric.a
    nowhere = "neighbor 10.9.9.9 { router-id 192.0.2.11; local-address 10.1.0.2; local-as 65010; peer-as 65000; }\n"
    a.neighbors = nowhere
    a.start(line)
    a.becomes("active")
    wait_until(lambda: [one for one in a.document()["sessions"] if one["counts_for"]], "its sessions")

    def found() -> dict[str, tuple[bool | None, list[int] | None]]:
        return {one["peer"]: (one["up"], one["families"]) for one in a.document()["sessions"]}

    known = {peer(a, 0): (True, [6]), peer(a, 1): (True, [6]), "10.9.9.9": (False, None)}
    wait_until(lambda: found() == known, lambda: f"{known}, not {found()}")
    assert "session 10.9.9.9 from 10.1.0.2 down" in a.status()


@running.each_line
def test_a_session_that_does_not_carry_the_family_does_not_count(fabric: Fabric, line: Line) -> None:
    """ExaBGP answers ``done`` for it, and sends nothing: here the router has not agreed to IPv6 over IPv4 sessions."""
    a, b = fabric.a, fabric.b
    ends = [(running.uplink("a", number, 4, router=True), running.uplink("a", number, 6)) for number in (0, 1)]
    own = ", ".join(f'"{neighbor}" = "{ours}"' for neighbor, ours in ends)
    a.configure(checks=[f"next_hop = {{ {own} }}"])
    a.families = "ipv4 unicast; ipv6 unicast;"
    a.other_listing = (0, 1)
    b.start(line)
    b.becomes("active")
    a.start(line)
    failing = partial(a.log.all, "check-changed", result="failing")
    wait_until(lambda: any("without IPv6 unicast" in one["detail"] for one in failing()), a.log.tell)
    wait_until(lambda: "counts for no virtual router, carries IPv4" in a.status(), "that it does not count")
    wait_until(lambda: fabric.bird.via(b.vip) == {"b": {MED}}, "the route of b alone")
    assert not a.log.moves()


@running.each_line
def test_sessions_that_are_not_told_are_not_enough(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    a.configure("min_sessions = 2")
    a.listing = (1,)
    a.start(line)
    b.start(line)
    b.becomes("active")
    wait_until(lambda: any("1 up, 2 needed; not told" in one for one in status(a)["faults"]), "a's fault")
    wait_until(lambda: fabric.bird.via(b.vip) == {"b": {MED}}, "the route of b alone")
    assert not a.log.moves()


@running.each_line
def test_a_reload_that_takes_the_api_away_hands_over_and_one_that_gives_it_back_takes_over(
    fabric: Fabric, line: Line
) -> None:
    """ExaBGP 5.0 uses the new list at once, 4.2 when a session has ended; what it announces stays announced."""
    a, b = fabric.a, fabric.b
    fabric.start(line)

    def reload(*listing: int) -> None:
        a.list_in(*listing)
        for number in (0, 1) if line == "4" else ():
            fabric.bird.ask(f"restart a{number}")

    mark = b.log.mark()
    reload()
    b.becomes("active", mark)
    wait_until(lambda: status(a)["faults"], "a's fault")
    wait_until(lambda: "b" in fabric.bird.via(b.vip), "the route of b")
    a.log.wait("route-not-accepted")
    found = status(a)
    assert (found["role"], found["bound"]) == ("initialize", True), "what cannot be withdrawn stays bound"
    if "a" in fabric.bird.via(a.vip):
        assert (found["level"], found["wanted"]) == ("active", None)
    mark = a.log.mark()
    reload(0, 1)
    a.becomes("active", mark)
    wait_until(lambda: fabric.bird.via(a.vip) == {"a": {MED}}, "the route of a alone")
    wait_until(lambda: not b.bound(), "b to let go")
    shown(a, faults=[])


def given_kept(fabric: Fabric, line: Line) -> None:
    """One router has the route of a, which has handed over, and ExaBGP passes no withdraw on to that router.

    A new session does not change that: ExaBGP announces the route again.
    """
    a, b = fabric.a, fabric.b
    fabric.start(line)
    a.list_in(0)
    fabric.bird.ask("restart a1")
    assert a.log.wait("neighbor-unlisted")["neighbor"] == peer(a, 1)
    wait_until(lambda: fabric.bird.routes(a.vip) == {"a0": MED, "a1": MED}, "the route in the new session")
    mark = a.log.mark()
    a.ask("drain")
    b.becomes("active")
    assert a.log.wait("route-kept", mark)["neighbors"] == [peer(a, 1)]
    wait_until(lambda: set(fabric.bird.routes(a.vip)) == {"a1", "b0", "b1"}, fabric.told)
    assert a.bound()


@running.each_line
def test_a_node_stays_bound_while_a_neighbor_has_a_route_that_cannot_be_withdrawn_there(
    fabric: Fabric, line: Line
) -> None:
    a = fabric.a
    given_kept(fabric, line)
    shown(a, bound=True, wanted=None, accepted=False, kept_by=[peer(a, 1)], outcome="draining")
    assert f"cannot be withdrawn from: {peer(a, 1)}" in a.status()
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("agent-started", mark)
    assert a.log.wait("route-kept", mark)["neighbors"] == [peer(a, 1)]
    assert a.bound(), "the next agent knows it, too"
    assert not a.log.all("address-unbound")
    a.list_in(0, 1)
    if line == "4":
        fabric.bird.ask("restart a1")
    a.log.wait("address-unbound", mark)
    assert set(fabric.bird.routes(a.vip)) == {"b0", "b1"}
    shown(a, bound=False, accepted=True, kept_by=[])


@running.each_line
def test_a_stop_does_not_wait_for_a_neighbor_that_has_the_route(fabric: Fabric, line: Line) -> None:
    a = fabric.a
    given_kept(fabric, line)
    agent = a.agent
    a.exabgp.terminate()
    running.ended(agent)
    wait_until(lambda: set(fabric.bird.routes(a.vip)) == {"b0", "b1"}, "the sessions to close")
    assert not a.bound()
