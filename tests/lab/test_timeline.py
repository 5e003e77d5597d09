"""Outage, phases, transitions: what the figures of a run mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.addressing import site
from lab.facts import AgentEvent, Facts, RouteChange
from lab.timeline import FLOWS, PHASES, compute, find_moves, find_outages
from tests.lab.build import EVENT, agent, probes, takeover


def outages(*lost: int) -> list[tuple[float, float, int]]:
    """Of probes sent every 2 ms from the event on, of which these are lost."""
    sent = probes(lambda number: None if number in lost else "node1", start=0)
    return [(round(each.start, 3), round(each.end, 3), each.lost) for each in find_outages(sent, EVENT)]


def test_no_loss_is_no_outage() -> None:
    assert outages() == []


def test_an_outage_lasts_from_the_answered_probe_before_it_to_the_one_after_it() -> None:
    assert outages(10) == [(18, 22, 1)]
    assert outages(*range(10, 100)) == [(18, 200, 90)]


def test_with_half_of_the_flows_dead_it_is_one_outage_until_all_are_answered() -> None:
    assert outages(*range(10, 100, 2)) == [(18, 198, 45)]


def test_a_single_flow_that_stays_dead_is_one_outage() -> None:
    assert outages(*range(10, 250, FLOWS)) == [(18, 470, 15)]


def test_losses_with_every_flow_answered_in_between_are_two_outages() -> None:
    assert outages(10, 10 + FLOWS) == [(18, 22 + 2 * FLOWS, 2)]
    assert outages(10, 11 + FLOWS) == [(18, 22, 1), (20 + 2 * FLOWS, 24 + 2 * FLOWS, 1)]


def test_an_outage_at_either_end_of_the_probing_is_cut_there() -> None:
    assert outages(0, 1) == [(0, 4, 2)]
    assert outages(298, 299) == [(594, 598, 2)]


def moves(fate: Callable[[int], str | None]) -> list[tuple[float, float, str, str]]:
    sent = probes(fate, start=0, end=3)
    return [(round(each.start, 3), round(each.end, 3), each.before, each.after) for each in find_moves(sent, EVENT)]


def test_a_move_is_another_node_answering_and_a_loss_in_between_is_no_other_node() -> None:
    assert moves(lambda _: "node1") == []
    assert moves(lambda number: "node1" if number < 100 else "node2") == [(200, 200, "node1", "node2")]
    assert moves(lambda number: "node1" if number < 100 else "node2" if number > 150 else None) == [
        (302, 302, "node1", "node2")
    ]


def test_nodes_that_take_turns_until_the_last_router_has_changed_over_are_one_move() -> None:
    taking_turns = {100: "node2", 101: "node1", 102: "node2", 103: "node1"}
    moved = moves(lambda number: taking_turns.get(number, "node1" if number < 100 else "node2"))
    assert moved == [(200, 208, "node1", "node2")]


def test_a_change_after_things_have_settled_is_a_new_move() -> None:
    back = moves(lambda number: "node2" if 100 <= number < 400 else "node1")
    assert back == [(200, 200, "node1", "node2"), (800, 800, "node2", "node1")]


def test_a_move_from_a_node_to_itself_is_a_flap() -> None:
    assert moves(lambda number: "node2" if 100 <= number < 110 else "node1") == [(200, 220, "node1", "node1")]


def test_the_outages_of_several_events_are_told_apart() -> None:
    late = replace(takeover(), probes=probes(lambda n: None if 60 <= n < 70 or 200 <= n < 220 else "node1"))
    timeline = compute(late, EVENT, "node1")
    assert timeline.outage_between(0, 300) == pytest.approx(22)
    assert timeline.outage_between(300, float("inf")) == pytest.approx(42)
    assert timeline.outage_between(600, float("inf")) == 0


def test_in_racks_the_spines_decide() -> None:
    routes = [
        RouteChange(EVENT + 0.307, "spine1", ("tor3",)),
        RouteChange(EVENT + 0.308, "spine1", ("tor3", "tor4")),
        RouteChange(EVENT + 0.309, "spine2", ("tor2", "tor3")),
        RouteChange(EVENT + 0.311, "spine2", ("tor4",)),
        RouteChange(EVENT + 0.320, "tor3", ("node2",)),
    ]
    timeline = compute(replace(takeover(), routes=routes), EVENT, "node1", site("racks"))
    assert timeline.phases["in_kernel_first"] == pytest.approx(307)
    assert timeline.phases["in_kernel"] == pytest.approx(311)


def test_the_phases_of_a_takeover() -> None:
    timeline = compute(takeover(), EVENT, "node1")
    assert timeline.new == "node2"
    assert timeline.phases == pytest.approx(
        {
            "last_advert": -40,
            "elected": 301,
            "bound": 303,
            "announced": 306,
            "in_kernel_first": 307,
            "in_kernel": 308,
            "client_route": 309,
            "first_answer": 310.3,
        }
    )


def test_what_a_backup_announces_is_no_takeover() -> None:
    facts = takeover()
    standby = agent(100, "node2", "route-announced", state="standby")
    agents = sorted([*facts.agents[:-1], standby, agent(306, "node2", "route-announced", state="active")], key=moment)
    assert compute(replace(facts, agents=agents), EVENT, "node1").phases["announced"] == pytest.approx(306)


def moment(event: AgentEvent) -> float:
    return event.time


def test_the_longest_outage_counts_and_every_lost_probe() -> None:
    timeline = compute(takeover(), EVENT, "node1")
    assert timeline.outage_ms == pytest.approx(312)
    assert (timeline.probes_sent, timeline.probes_lost) == (350, 155)


def test_probes_long_before_the_event_do_not_count() -> None:
    facts = replace(takeover(), probes=probes(lambda number: None if number < 10 else "node1", start=-0.8))
    timeline = compute(facts, EVENT, "node1")
    assert (timeline.probes_sent, timeline.probes_lost, timeline.outage_ms) == (550, 0, 0)


def test_transitions_before_the_event_are_history() -> None:
    (only,) = compute(takeover(), EVENT, "node1").transitions
    assert only.document() == {
        "time": "1970-01-12T13:46:40.301000+00:00",
        "node": "node2",
        "router": "web",
        "before": "backup",
        "after": "active",
        "reason": "active-down-timeout",
    }


def test_when_nobody_takes_over_there_are_no_phases() -> None:
    facts = replace(takeover(), agents=[agent(5, "node1", "transition", after="initialize")])
    timeline = compute(facts, EVENT, "node1")
    assert timeline.new is None
    assert timeline.phases == dict.fromkeys(PHASES)


def test_the_route_must_be_in_both_routers() -> None:
    facts = takeover()
    timeline = compute(
        replace(facts, routes=[each for each in facts.routes if (each.machine, each.hops) != ("tor2", ("node2",))]),
        EVENT,
        "node1",
    )
    assert timeline.phases["in_kernel_first"] == pytest.approx(307)
    assert timeline.phases["in_kernel"] is None


def test_a_route_to_the_new_active_from_an_earlier_life_is_not_its_takeover() -> None:
    facts = takeover()
    stale = RouteChange(EVENT + 0.002, "tor1", ("node2",))
    timeline = compute(
        replace(facts, routes=sorted([*facts.routes, stale], key=lambda each: each.time)), EVENT, "node1"
    )
    assert timeline.phases["in_kernel_first"] == pytest.approx(307)


@pytest.mark.parametrize(
    ("deleted", "added", "explained"),
    [
        pytest.param(0.0030, 0.00305, 1, id="one replacement, one loss, whatever else was lost"),
        pytest.param(0.0030, 0.0300, 0, id="no route for longer than a replacement takes"),
        pytest.param(0.5500, 0.55005, 0, id="a replacement when nothing was lost"),
    ],
)
def test_a_loss_between_two_routes_is_told_apart(deleted: float, added: float, explained: int) -> None:
    replaced = [
        RouteChange(EVENT + deleted, "tor1", ("node1",), deleted=True),
        RouteChange(EVENT + added, "tor1", ("node2",)),
    ]
    stable = [each for each in takeover().routes if each.time < EVENT]
    assert compute(replace(takeover(), routes=[*stable, *replaced]), EVENT, "node1").lost_between_routes == explained


@pytest.mark.parametrize(("lost", "explained"), [({100}, 1), ({100, 101}, 2), ({100, 250}, 1)])
def test_of_two_routers_that_replace_a_route_at_once_each_explains_one_loss(lost: set[int], explained: int) -> None:
    replaced = [
        change
        for tor in ("tor1", "tor2")
        for change in (
            RouteChange(EVENT + 0.1, tor, ("node1",), deleted=True),
            RouteChange(EVENT + 0.10005, tor, ("node2",)),
        )
    ]
    answers = probes(lambda number: None if number in lost else "node1")
    timeline = compute(replace(takeover(), routes=replaced, probes=answers), EVENT, "node1")
    assert (timeline.probes_lost, timeline.lost_between_routes) == (len(lost), explained)


def test_no_facts_at_all_make_an_empty_timeline() -> None:
    timeline = compute(Facts([], [], [], [], []), EVENT, "node1")
    assert (timeline.probes_sent, timeline.outage_ms, timeline.transitions) == (0, 0, ())
