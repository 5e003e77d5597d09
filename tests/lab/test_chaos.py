"""The judge of a chaos run: which lost probes it explains, and which it does not; the sequence of a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from exavrrp.chronicle import Cause, Entry, Verdict
from exavrrp.config import load
from exavrrp.config.diagnosis import ConfigError
from exavrrp.view import Moment
from lab.addressing import CLIENT, FAMILIES, RACK, SERVERS
from lab.chaos import report
from lab.chaos.arena import concerned, untold_after
from lab.chaos.causes import FITTING, namings
from lab.chaos.census import Census, Node, changes, strangers
from lab.chaos.faults import CARDS, COUNTS, KNOWN, NODES, PAIRABLE, UPLINKS, Episode, Fault, Kind, Terms, cost, episodes
from lab.chaos.judge import GROWTH, RESOLUTION, UNSETTLED, active_periods, costs, judge, lives, strays
from lab.chaos.records import Chapter, Chronicle, Lateness, Stream, Trouble, Weight
from lab.chaos.run import parser
from lab.chaos.service import BY_NAME, SERVICES, configuration
from lab.facts import AgentEvent, RouteChange
from lab.routers import Daemon, bird_candidates, frr_candidates
from lab.servers import ServerPlan

BEGIN = 1_000_000.0
PERIOD = 0.008
TERMS = Terms("bird", 0.1, 9, "5")
KILLED = Fault(Kind.KILL_EXABGP, "node1")
WEB = BY_NAME["web"]

Fate = Callable[[float], str | None]
"Who answers what is sent so many seconds after the beginning."


def stream(fate: Fate, seconds: float = 20.0) -> Stream:
    made = Stream()
    for number in range(round(seconds / PERIOD)):
        sent = round((BEGIN + number * PERIOD) * 1e9)
        made.take(f"s {number} {sent}")
        if (node := fate(number * PERIOD)) is not None:
            made.take(f"a {number} {sent + 300_000} {node}")
    return made


def gap(start: float, seconds: float, before: str = "node1", after: str = "node2") -> Fate:
    return lambda at: before if at < start else None if at < start + seconds else after


def chapter(*faults: Fault, start: float = 5.0, settled: float | None = 10.0, number: int = 1) -> Chapter:
    made = Chapter(number, Episode("card", faults), BEGIN + start)
    made.troubles = [Trouble(each, BEGIN + start + each.at, BEGIN + start + each.at + each.lasts) for each in faults]
    made.settled = None if settled is None else BEGIN + settled
    return made


def served_by(node: str) -> Fate:
    return lambda _: node


def chronicle(*chapters: Chapter, web: Fate = lambda _: "node1", **others: Fate) -> Chronicle:
    made = Chronicle(7, TERMS, BEGIN, BEGIN + 20, chapters=list(chapters or [chapter(KILLED)]))
    for service in SERVICES:
        made.streams[service.name] = stream(others.get(service.name, served_by(service.home)))
    made.streams["web"] = stream(web)
    return made


def violations(found: Chronicle) -> list[str]:
    return list(judge(found).violations)


# Gaps


def test_no_gap_needs_no_explanation() -> None:
    assert violations(chronicle()) == []


def test_a_gap_within_what_its_fault_may_cost_is_explained() -> None:
    verdict = judge(chronicle(web=gap(5.001, 0.3)))
    assert verdict.violations == ()
    (finding,) = verdict.findings
    assert [(each.before, each.after) for each in finding.gaps] == [("node1", "node2")]
    assert finding.gaps[0].seconds == pytest.approx(0.304, abs=0.01)


def test_a_gap_that_began_with_the_last_answer_before_the_fault_is_of_the_fault() -> None:
    assert violations(chronicle(web=gap(4.998, 0.3))) == []


@pytest.mark.parametrize(
    ("web", "words"),
    [
        (gap(5.001, 0.5), "longer than all of this may cost"),
        (gap(3.0, 0.1), "nothing was going on"),
        (gap(12.0, 0.1), "nothing was going on"),
        (lambda at: None if 5.0 <= at < 5.25 or 7.0 <= at < 7.25 else "node1", "longer than all"),
    ],
)
def test_a_gap_that_is_too_long_or_at_the_wrong_time_is_not(web: Fate, words: str) -> None:
    (violation,) = violations(chronicle(web=web))
    assert words in violation


def test_a_black_hole_that_was_closed_late_may_cost_as_much_more() -> None:
    half = chapter(Fault(Kind.BLACK_HOLE, "node1", 2.0, uplinks=("eth1",)))
    longer = gap(5.001, 2.2, after="node1")
    (violation,) = violations(chronicle(half, web=longer))
    assert "longer than all of this may cost" in violation
    half.troubles[0].end = BEGIN + 7.2
    assert violations(chronicle(half, web=longer)) == []


def test_a_gap_of_a_service_that_others_serve_is_not() -> None:
    (violation,) = violations(chronicle(dns=gap(5.001, 0.1, before="node3", after="node3")))
    assert "dns" in violation
    assert "no fault concerns this service" in violation


def test_a_node_that_hears_nothing_may_cost_what_others_serve() -> None:
    deaf = Fault(Kind.BLACK_HOLE, "node2", 3.0, uplinks=("eth0", "eth1"), direction="to")
    lost = {"web": gap(5.4, 0.3, before="node1", after="node1"), "dns": gap(5.4, 2.5, before="node3", after="node3")}
    assert violations(chronicle(chapter(deaf), **lost)) == []
    for other in (
        replace(deaf, direction="from"),
        replace(deaf, uplinks=("eth1",)),
        replace(deaf, kind=Kind.ADVERTS_LOST),
    ):
        assert len(violations(chronicle(chapter(other), **lost))) == 2


def test_a_fault_that_costs_nothing_explains_nothing() -> None:
    for kind in (Kind.KILL_AGENT, Kind.STOP_AGENT, Kind.STOP_EXABGP, Kind.FULL_RELOAD, Kind.DRAIN, Kind.ADVERTS_LOST):
        (violation,) = violations(chronicle(chapter(Fault(kind, "node1")), web=gap(5.1, 0.05)))
        assert "no fault concerns this service" in violation


def test_of_two_at_once_any_service_may_suffer_as_much_as_from_both() -> None:
    both = chapter(KILLED, Fault(Kind.UNFIT, "node2", at=0.2))
    allowed = TERMS.takeover + TERMS.resigned + TERMS.last_takeover
    assert sum(each.seconds for _, each in costs(chronicle(both), BY_NAME["dns"], both)) == pytest.approx(allowed)
    assert violations(chronicle(both, web=gap(5.1, allowed - 0.02))) == []
    assert len(violations(chronicle(both, web=gap(5.1, allowed + 0.1)))) == 1


def test_an_episode_that_has_not_settled_goes_on() -> None:
    assert violations(chronicle(chapter(KILLED, settled=None), web=gap(12.0, 0.1))) == []


def test_a_dead_stream_is_no_success() -> None:
    (violation, *_) = [each for each in violations(chronicle(dns=lambda _: None)) if "no probe was answered" in each]
    assert "dns" in violation
    assert "nothing was done" in violations(Chronicle(7, TERMS, BEGIN, BEGIN + 20))


def test_what_was_not_as_it_should_be_is_a_failure() -> None:
    found = chronicle()
    found.census.append("an orphan")
    found.complaints.append("not converged")
    assert violations(found) == ["not converged", "an orphan"]


# Excuses


def replaced(seconds: float) -> Chronicle:
    """Without any fault near: tor1 had no route for a while, and the probes of that time were lost."""
    found = chronicle(web=lambda at: None if 15.0 <= at < 15.0 + seconds else "node1")
    found.routes["web"] = [
        RouteChange(BEGIN, "tor1", ("node1",)),
        RouteChange(BEGIN + 15.0, "tor1", ("node1",), deleted=True),
        RouteChange(BEGIN + 15.0 + seconds, "tor1", ("node2",)),
    ]
    return found


def test_a_router_that_replaces_its_route_loses_a_probe_or_two() -> None:
    verdict = judge(replaced(0.012))
    assert verdict.violations == ()
    assert [each.rerouted for each in verdict.findings[0].gaps] == [True]
    assert len(violations(replaced(0.1))) == 1, "that is no replacing"


def test_between_two_routers_that_change_over_one_probe_is_lost() -> None:
    quiet = chapter(Fault(Kind.DRAIN, "node1"))
    for seconds, changed, number in ((0.004, 7.05, 0), (0.004, 7.2, 1), (0.004, None, 1), (0.02, 7.05, 1)):
        found = chronicle(quiet, web=gap(7.0, seconds))
        if changed is not None:
            found.routes["web"] = [RouteChange(BEGIN + changed, "tor2", ("node2",))]
        assert len(violations(found)) == number, (seconds, changed)


def test_with_frr_as_many_as_come_while_two_routers_change_over() -> None:
    quiet = chapter(Fault(Kind.DRAIN, "node1"))
    cases: list[tuple[Daemon, float, dict[str, float], int]] = [
        ("frr", 0.09, {"tor1": 6.99, "tor2": 7.1}, 0),
        ("bird", 0.09, {"tor1": 6.99, "tor2": 7.1}, 1),
        ("frr", 0.15, {"tor1": 6.99, "tor2": 7.16}, 1),
        ("frr", 0.09, {"tor1": 6.99}, 1),
        ("frr", 0.09, {"tor1": 6.98, "tor2": 6.99}, 1),
        ("frr", 0.09, {"tor1": 6.85, "tor2": 7.1}, 1),
        ("frr", 0.09, {}, 1),
    ]
    for router, seconds, changed, number in cases:
        found = replace(chronicle(quiet, web=gap(7.0, seconds)), terms=replace(TERMS, router=router))
        found.routes["web"] = [RouteChange(BEGIN + at, name, ("node2",)) for name, at in changed.items()]
        assert len(violations(found)) == number, (router, seconds, changed)


def test_a_short_cut_of_both_uplinks_costs_a_takeover_whatever_exabgp_knows() -> None:
    cut = chapter(Fault(Kind.CUT_UPLINK, "node1", 0.1, uplinks=("eth0", "eth1")))
    assert violations(chronicle(cut, web=gap(5.0, 0.4))) == []
    assert len(violations(chronicle(cut, web=gap(5.0, 0.9)))) == 1


def test_the_machine_excuses_as_much_as_it_was_late_and_once() -> None:
    late = chronicle(web=gap(5.001, 0.5))
    late.lateness = [Lateness(BEGIN + 5.1, 0.2)]
    verdict = judge(late)
    assert verdict.violations == ()
    assert verdict.findings[0].excused
    assert len(violations(late_by(late, 0.02))) == 1, "not by so much"
    assert len(violations(late_by(late, 0.2, start=9.0))) == 1, "not then"
    late.streams["mail6"] = stream(gap(5.001, 0.5))
    late.chapters[0].troubles[0] = Trouble(KILLED, BEGIN + 5, BEGIN + 5)
    (violation,) = violations(late)
    assert "more than 1" in violation


def late_by(found: Chronicle, seconds: float, start: float = 5.1) -> Chronicle:
    return replace(found, lateness=[Lateness(BEGIN + start, seconds)])


def test_a_killed_router_may_take_as_long_as_it_was_seen_to() -> None:
    killed = chapter(Fault(Kind.KILL_ROUTER, "tor1", 0.5))
    found = chronicle(killed, dns=gap(5.5, 0.8, before="node3", after="node3"))
    assert len(violations(found)) == 1
    found.ways_back[4] = [
        RouteChange(BEGIN, "tor1", ("client",)),
        RouteChange(BEGIN + 5.5, "tor1", ("client",), deleted=True),
        RouteChange(BEGIN + 6.3, "tor1", ("client",)),
    ]
    assert violations(found) == []
    later = [
        RouteChange(BEGIN + 14.0, "tor1", ("client",), deleted=True),
        RouteChange(BEGIN + 14.8, "tor1", ("client",)),
    ]
    found.ways_back[4] = [RouteChange(BEGIN, "tor1", ("client",)), *later]
    assert len(violations(found)) == 1, "that was of another episode"


# Strays


def elected(at: float, node: str, router: str) -> AgentEvent:
    fields = {"router": router, "before": "backup", "after": "active", "reason": "active-down-timeout"}
    return AgentEvent(BEGIN + at, node, "transition", fields)


def test_who_becomes_active_for_no_reason_is_told() -> None:
    found = chronicle(chapter(Fault(Kind.STOP_AGENT, "node2", 1.0)))
    found.agents = [elected(5.5, "node3", "mail6"), elected(5.5, "node2", "web"), elected(-1, "node2", "web")]
    assert strays(found) == [], "of the node that was struck, and its own service; and before the beginning"
    found.agents.append(elected(6, "node1", "dns"))
    (violation,) = violations(found)
    assert "node1 became Active for dns" in violation
    found.lateness = [Lateness(BEGIN + 5.8, 0.1)]
    assert violations(found) == []
    found.agents.append(elected(6.1, "node1", "dns"))
    (violation,) = violations(found)
    assert "2 gaps and transitions need the excuse" in violation


def test_between_the_episodes_nobody_becomes_active() -> None:
    found = chronicle()
    found.agents = [elected(3, "node2", "web"), elected(12, "node2", "web")]
    assert len(violations(found)) == 2


# Announcements that are refused, and who is Active


REFUSED = Fault(Kind.UNLIST, "node1", 10.0, uplinks=UPLINKS)
HALF = replace(REFUSED, uplinks=("eth1",))
SERVED = AgentEvent(BEGIN - 30, "node1", "transition", {"router": "web", "before": "backup", "after": "active"})


def moved(at: float, node: str, verdict: Cause | None, router: str = "web") -> tuple[str, Entry]:
    time = datetime.fromtimestamp(BEGIN + at, UTC)
    return node, Entry(at=Moment(time, at), event="transition", router=router, cause=verdict)


def caused(verdict: Verdict) -> Cause:
    return Cause(verdict=verdict, ours=150)


def test_every_kind_of_fault_says_which_causes_fit() -> None:
    assert set(FITTING) == set(Kind)


def test_the_first_cause_of_an_episode_has_to_fit_what_was_done() -> None:
    found = chronicle(chapter(KILLED))
    found.moves = [moved(5.3, "node2", caused(Verdict.SILENT_AT_ONCE)), moved(7.0, "node1", caused(Verdict.WEAKER))]
    assert violations(found) == []
    assert [(each.node, each.fits) for each in namings(found)] == [("node2", True)]
    assert "causes: 1 of 1 first transitions are named" in report.text(found, judge(found))
    assert report.document(found, judge(found))["causes"][0]["verdict"] == "silent-at-once"
    for cause, words in ((caused(Verdict.DRAINED), "drained"), (None, "nothing")):
        found.moves = [moved(5.3, "node2", cause), moved(7.0, "node1", caused(Verdict.WEAKER))]
        (violation,) = violations(found)
        assert violation == (f"5.300 s, episode 1: node2 names {words} for web, which does not fit kill-exabgp node1")
    found.lateness = [Lateness(BEGIN + 5.2, 0.05)]
    assert violations(found) == [], "the machine was late"
    found.moves = [moved(4.0, "node2", None), moved(11.0, "node2", None)]
    assert violations(found) == [], "outside of all episodes"


def test_what_fits_depends_on_whose_node_it_is_and_any_fault_of_two_may_be_it() -> None:
    fault = Fault(Kind.UNFIT, "node1", 2.0)
    for node, verdict, fits in (
        ("node1", Verdict.CHECK, True),
        ("node2", Verdict.CHECK, False),
        ("node2", Verdict.RESIGNED, True),
        ("node3", Verdict.GROUP, True),
    ):
        found = chronicle(chapter(fault))
        found.moves = [moved(5.3, node, caused(verdict))]
        assert [each.fits for each in namings(found)] == [fits]
    found = chronicle(chapter(fault, Fault(Kind.DRAIN, "node2", 2.0), settled=None))
    found.moves = [moved(5.3, "node2", caused(Verdict.DRAINED))]
    assert [each.fits for each in namings(found)] == [True]


def untold(at: float, neighbor: str, node: str = "node1") -> AgentEvent:
    return AgentEvent(BEGIN + at, node, "neighbor-unlisted", {"neighbor": neighbor, "local": f"{neighbor} - 1"})


def leaves(at: float, node: str, router: str = "web") -> AgentEvent:
    return AgentEvent(BEGIN + at, node, "transition", {"router": router, "before": "active", "after": "initialize"})


def refused(fault: Fault, *said: AgentEvent) -> Chronicle:
    """From 2 s on."""
    found = chronicle(chapter(fault, start=2.0, settled=18.0))
    found.agents = sorted(said, key=lambda each: each.time)
    return found


def test_each_neighbor_that_is_not_told_has_to_be_named_in_time() -> None:
    named = [untold(7, f"router {number}") for number in range(4)]
    assert violations(refused(REFUSED, *named)) == violations(refused(HALF, *named[:2])) == []
    assert violations(refused(replace(REFUSED, lasts=KNOWN - 1))) == [], "too short to be noticed for certain"
    for fault, said in (
        (REFUSED, named[:3]),
        (REFUSED, [*named[:3], named[0]]),
        (REFUSED, [*named[:3], untold(7, "router 3", "node2")]),
        (REFUSED, [*named[:3], untold(2 + KNOWN + 0.1, "router 3")]),
        (REFUSED, [*named[:3], untold(1.9, "router 3")]),
        (HALF, named[:3]),
        (HALF, []),
    ):
        (violation,) = violations(refused(fault, *said))
        assert "episode 1: node1 names" in violation


def test_who_is_refused_must_not_be_active_once_that_is_known() -> None:
    named = [untold(7, f"router {number}") for number in range(4)]
    assert violations(refused(REFUSED, SERVED, *named, leaves(8, "node1"))) == []
    again = elected(12.1, "node1", "web")
    assert violations(refused(REFUSED, SERVED, *named, leaves(8, "node1"), again)) == [], "listed again"
    (violation,) = violations(refused(REFUSED, SERVED, *named, leaves(2 + KNOWN + 0.5, "node1")))
    assert "10.000 s: node1 is Active for web, and its ExaBGP has refused everything since 2.000 s" in violation
    late = refused(REFUSED, SERVED, *named, leaves(2 + KNOWN + 0.5, "node1"))
    late.lateness = [Lateness(BEGIN + 5, 0.6)]
    assert violations(late) == [], "so was the machine"
    (violation,) = violations(refused(REFUSED, SERVED, *named, leaves(8, "node1"), elected(11, "node1", "web")))
    assert "11.000 s: node1 is Active for web" in violation
    assert violations(refused(replace(REFUSED, lasts=KNOWN - 1), SERVED)) == [], "nobody had to know"
    assert violations(refused(HALF, SERVED, *named[:2])) == [], "the other router passes its route on"
    unhealed = refused(REFUSED, SERVED, *named)
    unhealed.chapters[0].troubles[0].end = None
    assert "10.000 s: node1 is Active" in violations(unhealed)[0]


def test_two_are_active_no_longer_than_adverts_need() -> None:
    named = [untold(7, f"router {number}") for number in range(4)]
    comes = elected(7.5, "node2", "web")
    assert violations(refused(REFUSED, SERVED, *named, comes, leaves(7.69, "node1"))) == []
    (violation,) = violations(refused(REFUSED, SERVED, *named, comes, leaves(8.5, "node1")))
    assert "7.500 s: node1 and node2 are Active for web, for 1000 ms" in violation
    late = refused(REFUSED, SERVED, *named, comes, leaves(8.5, "node1"))
    late.lateness = [Lateness(BEGIN + 7.6, 0.9)]
    assert violations(late) == []
    lost = refused(replace(REFUSED, kind=Kind.ADVERTS_LOST), SERVED, comes, leaves(8.5, "node1"))
    assert violations(lost) == [], "neither can know of the other"


DEAF = Fault(Kind.ADVERTS_LOST, "node2", 3.0, uplinks=UPLINKS, direction="to")


def deaf(until: float, fault: Fault = DEAF, *more: Fault) -> Chronicle:
    """node2 is Active from 5.4 to 8.1 s, and answers from then until ``until``."""
    found = chronicle(chapter(fault, *more), web=lambda at: "node2" if 5.4 <= at < until else "node1")
    found.agents = [elected(-1, "node1", "web"), elected(5.4, "node2", "web"), leaves(8.1, "node2")]
    return found


def test_a_deaf_node_has_the_traffic_for_three_intervals() -> None:
    assert violations(deaf(5.7)) == []
    (violation,) = violations(deaf(7.0))
    assert "5.400 s: node2 is Active for web, hears no advert, and answers 1.59 s later, more than 0.35 s" in violation
    late = deaf(6.5)
    late.lateness = [Lateness(BEGIN + 5.4, 1.0)]
    assert violations(late) == []
    for other in (replace(DEAF, direction="both"), replace(DEAF, uplinks=UPLINKS[:1])):
        assert violations(deaf(7.0, other)) == [], "it is not heard, or hears"
    assert violations(deaf(7.0, DEAF, KILLED)) == []
    unhealed = deaf(7.0)
    unhealed.chapters[0].troubles[0].end = None
    assert len(violations(unhealed)) == 1


def test_what_a_node_has_counted_unheard_is_known_to_nobody() -> None:
    hushed = replace(DEAF, machine="node3", direction="from", lasts=1.0)
    for before, expected in (
        (hushed, 0),
        (replace(hushed, direction="both", kind=Kind.BLACK_HOLE), 0),
        (replace(hushed, direction="to"), 1),
        (replace(hushed, uplinks=UPLINKS[:1]), 1),
    ):
        found = deaf(7.0)
        found.chapters.insert(0, chapter(before, start=2.0, settled=4.0))
        assert len(violations(found)) == expected, before.words
    long_ago = deaf(7.0)
    long_ago.chapters.insert(0, chapter(hushed, start=5.0 - 1.0 - UNSETTLED - 0.1, settled=4.0))
    assert len(violations(long_ago)) == 1


def test_an_agent_that_starts_or_stops_is_not_active() -> None:
    found = chronicle()
    found.agents = [
        elected(1, "node1", "web"),
        elected(1.5, "node1", "web"),
        elected(2, "node1", "dns"),
        AgentEvent(BEGIN + 3, "node2", "agent-started", {}),
        AgentEvent(BEGIN + 4, "node1", "agent-started", {}),
        elected(5, "node2", "web"),
        AgentEvent(BEGIN + 6, "node2", "agent-stopped", {}),
        elected(7, "node3", "web"),
    ]
    held = [(node, since - BEGIN, until - BEGIN) for node, since, until in active_periods(found, WEB)]
    assert held == [("node1", 1, 4), ("node2", 5, 6), ("node3", 7, 20)]


def test_who_is_not_told_is_known_from_the_agents() -> None:
    first, second, other = untold(1, "router 1"), untold(2, "router 2"), untold(3, "router 1", "node2")
    known: frozenset[tuple[str, str, str]] = frozenset()
    for event in (first, second, other, second):
        known = untold_after(known, event)
    sessions = {(each.node, each.field("neighbor"), each.field("local")) for each in (first, second, other)}
    assert known == sessions
    assert untold_after(known, replace(first, event="neighbor-listed")) == sessions - {
        ("node1", "router 1", "router 1 - 1")
    }
    down = replace(second, event="session-changed", fields={**second.fields, "state": "down"})
    assert untold_after(known, down) == sessions - {("node1", "router 2", "router 2 - 1")}
    assert untold_after(known, replace(down, fields={**down.fields, "state": "up"})) == sessions
    for word in ("agent-started", "agent-stopped"):
        assert {node for node, *_ in untold_after(known, AgentEvent(BEGIN, "node1", word, {}))} == {"node2"}


# What each may cost


def test_costs_are_made_of_the_timers() -> None:
    assert TERMS.takeover == pytest.approx(0.3 + 0.0414 + 0.05, abs=1e-3)
    assert replace(TERMS, router="frr").takeover > TERMS.takeover
    uplinks = ("eth0", "eth1")
    long, short = (Fault(Kind.CUT_UPLINK, "node1", lasts, uplinks=uplinks) for lasts in (3.0, 0.1))
    assert cost(long, WEB, TERMS).seconds == TERMS.takeover
    assert cost(short, WEB, TERMS).seconds == TERMS.takeover + 0.1
    half = replace(long, uplinks=("eth1",))
    assert cost(half, WEB, TERMS).seconds == 1.0 + 2 * TERMS.reroute, "a neighbor is solicited once a second"
    assert cost(half, BY_NAME["dns"], TERMS).seconds == 2 * TERMS.reroute
    mute = Fault(Kind.BLACK_HOLE, "node3", 20.0, uplinks=uplinks)
    assert cost(mute, WEB, TERMS).seconds == TERMS.takeover, "its successor's route wins"
    assert 10 < cost(mute, BY_NAME["dns"], TERMS).seconds < 11, "the BGP hold time"
    assert cost(replace(mute, direction="to"), WEB, TERMS).seconds > 10, "it is heard"
    half = Fault(Kind.BLACK_HOLE, "node1", 4.0, uplinks=("eth1",))
    assert cost(half, WEB, TERMS).seconds == 4.0 + TERMS.reroute
    assert cost(half, WEB, TERMS, overlapping=True).seconds == 8.0 + TERMS.reroute, "so long for TCP to try again"
    taken = Fault(Kind.TAKE_ADDRESS, "node1", service="web")
    assert cost(taken, WEB, TERMS).seconds > 0 == cost(taken, BY_NAME["dns"], TERMS).seconds
    repaired = Fault(Kind.FAILED_RELOAD, "node2", 3.0)
    assert cost(repaired, WEB, TERMS).seconds == TERMS.takeover, "its sessions may return late"
    older = replace(TERMS, exabgp="4")
    assert cost(repaired, WEB, older).seconds == 2 * TERMS.reroute > TERMS.resigned
    assert cost(repaired, BY_NAME["mail4"], older).seconds == TERMS.resigned + TERMS.reaction > 2 * TERMS.reroute
    assert cost(REFUSED, WEB, TERMS).seconds == cost(HALF, WEB, TERMS).seconds == 0, "what was announced stays so"
    assert cost(REFUSED, WEB, older).seconds == TERMS.resigned
    assert cost(REFUSED, BY_NAME["mail4"], older).seconds == TERMS.resigned + TERMS.reaction
    assert cost(HALF, WEB, older).seconds == cost(HALF, WEB, older, overlapping=True).seconds == 4 * TERMS.reroute
    assert cost(REFUSED, WEB, TERMS, overlapping=True).seconds == 1.0 + TERMS.resigned, "it may take over before"
    assert cost(REFUSED, WEB, older, overlapping=True).seconds == pytest.approx(1.0 + 2 * TERMS.resigned)
    frozen = Fault(Kind.STOP_EXABGP, "node2", 20)
    assert cost(frozen, WEB, TERMS).seconds == 0 < cost(frozen, WEB, TERMS, overlapping=True).seconds


# The sequence


def test_a_seed_stands_for_a_sequence() -> None:
    first, again, other = (list(islice(episodes(seed), 60)) for seed in (1, 1, 2))
    assert first == again != other
    deck = sum(COUNTS.values())
    assert {each.card for each in first[:deck]} == set(CARDS), "all of them before any comes again"
    assert {each.card for each in islice(episodes(3, ("drain", "mute")), 10)} == {"drain", "mute"}


def test_what_is_drawn_can_be_survived() -> None:
    """At most two faults at once, never on the same node but for a restart in a handover, no router with an uplink."""
    for episode in islice(episodes(4), 2000):
        assert 1 <= len(episode.faults) <= 2
        assert all(fault.machine in (*NODES, "tor1", "tor2") for fault in episode.faults)
        assert episode.words
        if episode.card in ("overlap", "frozen-heir", "refused-heir"):
            first, second = episode.faults
            assert first.machine != second.machine
            assert Kind.KILL_ROUTER not in (first.kind, second.kind)
        for fault in episode.faults:
            if fault.kind is Kind.TAKE_ADDRESS:
                assert BY_NAME[fault.service].home == fault.machine
    assert not {"kill-router", "overlap"} & set(PAIRABLE)


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--minutes 0.5 --seed 3 --router frr --exabgp 4 --cards mute,drain"
    options = parser().parse_args(words.split())
    assert (options.minutes, options.seed, options.router, options.exabgp) == (0.5, 3, "frr", "4")
    assert options.cards == ("mute", "drain")
    with pytest.raises(SystemExit):
        parser().parse_args(["--cards", "luck"])
    assert "luck" in capsys.readouterr().err


# The services


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_the_agents_configuration_is_good(server: object, tmp_path: Path) -> None:
    machine = next(each for each in SERVERS if each is server)
    plan = ServerPlan(family=6, interval=0.1, hold=9, exabgp="5", configuration=configuration)
    file = tmp_path / "exavrrp.toml"
    file.write_text(configuration(machine, plan, tmp_path))
    try:
        loaded = load(file, lambda: [machine.loopback(family) for family in FAMILIES])
    except ConfigError as error:
        pytest.fail(str(error))
    assert {router.name for router in loaded.routers} == set(BY_NAME)
    assert {router.priority for router in loaded.routers} == {200, 150, 100}


def test_a_line_that_names_no_router_is_about_all() -> None:
    assert concerned(AgentEvent(0, "node1", "agent-started", {})) == SERVICES
    assert concerned(AgentEvent(0, "node1", "address-bound", {"router": "dns"})) == (BY_NAME["dns"],)


# The census


def census() -> Census:
    nodes = {
        server.name: Node(
            addresses=frozenset(str(server.loopback(family)) for family in FAMILIES)
            | {str(service.address) for service in SERVICES if service.home == server.name},
            sockets={"udp UNCONN of python3": 2},
            raw=6,
            processes={"python exavrrp": 1},
            descriptors={"socket": 8},
            files=frozenset({"run/lock"}),
        )
        for server in SERVERS
    }
    hops = {
        machine.name: {service.name: RACK.ways(machine, RACK.machine(service.home)) for service in SERVICES}
        for machine in (*RACK.gates, CLIENT)
    }
    candidates = {gate.name: {service.name: frozenset({service.home}) for service in SERVICES} for gate in RACK.gates}
    return Census(nodes, hops, candidates)


def test_nothing_is_left_behind() -> None:
    assert strangers(census(), RACK) == changes(census(), census()) == []


def test_an_address_or_a_route_too_many_or_too_few_is_told() -> None:
    there = census()
    orphan = replace(there.nodes["node2"], addresses=there.nodes["node2"].addresses | {"2001:db8:53::1"})
    assert strangers(replace(there, nodes={**there.nodes, "node2": orphan}), RACK) == [
        "addresses on lo of node2: 2001:db8:53::1 should not be there"
    ]
    unbound = replace(there.nodes["node1"], addresses=frozenset())
    assert len(strangers(replace(there, nodes={**there.nodes, "node1": unbound}), RACK)) == 3
    wrong = {**there.hops, "tor1": {**there.hops["tor1"], "web": ("node2",), "198.51.100.9": ("node1",)}}
    assert len(strangers(replace(there, hops=wrong), RACK)) == 2
    stale = {**there.candidates, "tor2": {**there.candidates["tor2"], "dns": frozenset({"node3", "node1"})}}
    assert strangers(replace(there, candidates=stale), RACK) == ["routes to dns in tor2: node1 should not be there"]


@pytest.mark.parametrize(
    "more",
    [
        {"sockets": {"udp UNCONN of python3": 3}},
        {"processes": {"python exavrrp": 2}},
        {"processes": {}},
        {"descriptors": {"socket": 9}},
        {"raw": 9},
        {"files": frozenset({"run/lock", "run/state.json.new"})},
    ],
)
def test_more_or_less_of_anything_is_told(more: dict[str, Any]) -> None:
    there = census()
    later = replace(there.nodes["node3"], **more)
    assert len(changes(there, replace(there, nodes={**there.nodes, "node3": later}))) == 1


def test_routes_that_bgp_knows_and_does_not_use_are_seen() -> None:
    said = (
        "BIRD 2.0.12 ready.\nTable master6:\n"
        "2001:db8:53::1/128   unicast [node1_6 14:52:41.012] * (100) [AS65010i]\n\tvia 2001:db8:1:11::1 on node1\n"
        "                     unicast [client_6 14:52:41.012] (100) [AS65010i]\n\tvia 2001:db8:1:64::1 on client\n"
        "                     unicast [node2_6 14:52:41.012] (100) [AS65010i]\n\tvia 2001:db8:1:12::1 on node2\n"
    )
    assert bird_candidates(said) == {"node1", "node2"}
    assert bird_candidates("BIRD 2.0.12 ready.\nNetwork not found\n") == set()
    shown = '{"paths": [{"peer": {"peerId": "10.1.13.1"}}, {"peer": {"peerId": "10.1.100.1"}}]}'
    assert frr_candidates(shown, {"10.1.13.1": "node3"}) == {"node3"}
    assert frr_candidates("{}", {}) == frr_candidates("", {}) == set()


# Memory


def weights(*pss: int, every: float = 10.0) -> list[Weight]:
    return [Weight(BEGIN + number * every, "node1", 42, size, size, 20) for number, size in enumerate(pss)]


def test_an_agent_that_grows_is_told() -> None:
    found = chronicle()
    found.weights = weights(20_000, 29_000, 29_100, 29_200, 29_300)
    assert violations(found) == [], "it may grow as it likes at its start"
    assert [(first.pss, last.pss) for first, last in lives(found.weights)] == [(29_000, 29_300)]
    found.weights = weights(20_000, 29_000, 30_000, 32_000, 29_001 + GROWTH)
    (violation,) = violations(found)
    assert "has grown from 29000" in violation
    found.weights = weights(29_000, 29_000, 90_000, every=5.0)
    assert violations(found) == [], "too short a life to tell"


# The stream, and what is told of it


def test_a_stream_is_what_the_prober_wrote() -> None:
    made = stream(gap(0.04, 0.016), seconds=0.08)
    assert [each.node for each in made] == ["node1"] * 5 + [None] * 2 + ["node2"] * 3
    assert made[-1].number == 9
    assert [each.number for each in made.between(BEGIN + 0.039, BEGIN + 0.057)] == [5, 6, 7]
    for odd in ("s 11 1", "a 10 1 node1", "x", ""):
        with pytest.raises(ValueError, match="not a prober's line"):
            made.take(odd)


def test_the_report_tells_a_gap_its_price_and_what_happened_around_it() -> None:
    found = chronicle(web=gap(5.001, 0.3), dns=gap(5.001, 0.1, before="node3", after="node3"))
    found.agents = [elected(5.3, "node2", "web"), elected(5.05, "node1", "dns")]
    verdict = judge(found)
    told = report.text(found, verdict)
    assert "1. kill-exabgp node1; converged 5.0 s later" in told
    assert "node1 -> node2, of 391 ms (kill-exabgp node1: its sessions close" in told
    assert "dns: 104 ms, node3 -> node3; UNEXPLAINED: no fault concerns this service" in told
    around = told[told.index("around dns, episode 1:") :]
    assert "node1 logs transition before=backup after=active reason=active-down-timeout" in around
    assert "node2 logs" not in around, "that is about web"
    assert "VIOLATED: dns, episode 1: no answer for 104 ms at 5.000 s" in told
    document = report.document(found, verdict)
    assert [(each["service"], each["episode"]) for each in document["gaps"]] == [("web", 1), ("dns", 1)]
    assert document["violations"] == list(verdict.violations) != []
    calm = chronicle()
    assert report.text(calm, judge(calm)).endswith("as expected\n")
    assert "whether they grow was not seen" in report.text(calm, judge(calm))


def test_resolution_is_more_than_two_probes() -> None:
    assert RESOLUTION > 2 * PERIOD
