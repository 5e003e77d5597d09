"""The fabric's scenarios: right runs meet each expectation, wrong runs violate it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from lab.addressing import site
from lab.facts import AgentEvent, Facts, Incident, RouteChange
from lab.scenarios import SCENARIOS
from lab.scenarios_fabric import HEALED, MUTE, DeafNode, mute_rules
from lab.servers import ServerPlan
from lab.topology import LabError
from tests.lab.build import EVENT, agent, plan, probes, result, succeeded, takeover

if TYPE_CHECKING:
    from lab.datacentre import DataCentre

PREPEND = replace(plan(), takeover=("prepend",), hold=180)
Fate = Callable[[int], str | None]


def judged(scenario: str, plan: ServerPlan, *facts: Facts) -> list[str]:
    return SCENARIOS[scenario].judge([result(each).run for each in facts], plan)


def late(ms: int) -> Facts:
    """The takeover, with the first answer so much later."""
    return replace(takeover(), probes=probes(succeeded(205 + ms // 2), end=3))


@pytest.mark.parametrize(
    ("layout", "means", "violated"),
    [
        ("rack", ("med",), True),
        ("rack", ("prepend",), True),
        ("racks", ("prepend",), True),
        ("racks", ("med",), False),
        ("rack", (), False),
    ],
)
def test_mute_node_allows_the_hold_time_only_where_the_better_route_cannot_win(
    layout: str, means: tuple[str, ...], violated: bool
) -> None:
    plan = replace(
        PREPEND,
        site=site("racks" if layout == "racks" else "rack"),
        takeover=tuple(each for each in ("med", "prepend") if each in means),
    )
    assert judged("mute-node", plan, takeover()) == []
    assert (judged("mute-node", plan, late(1000)) != []) is violated


def test_mute_node_wants_the_election_in_time_whatever_the_routers_do() -> None:
    slow = agent(450, "node2", "transition", before="backup", after="active", reason="active-down-timeout")
    (violation,) = judged("mute-node", plan(), replace(takeover(), agents=[*takeover().agents[:4], slow]))
    assert "after 450 ms" in violation


def test_the_mute_node_has_rules_of_its_own_in_every_table() -> None:
    rules = mute_rules(site().machine("node2"))
    assert all("lab_node2" in rule and ("node2 priority" in rule or "oifname node2" in rule) for rule in rules)


AGAIN = 2000.0
"Ms after the event: node2 is muted, too. (Probes have the numbers 50 + ms / 2.)"


def two_silences(second_answer: float = AGAIN + 340, lost: int | None = None) -> Facts:
    """node2 takes over after 310 ms, node3 from it at `second_answer`; one more probe may be lost."""

    def fate(number: int) -> str | None:
        ms = (number - 50) * 2.0
        if number == lost:
            return None
        if ms < 0:
            return "node1"
        if 310 <= ms < AGAIN:
            return "node2"
        return "node3" if ms >= second_answer else None

    third = agent(AGAIN + 335, "node3", "transition", before="backup", after="active", reason="active-down-timeout")
    return replace(
        takeover(),
        incidents=[Incident(EVENT, "node1", MUTE), Incident(EVENT + AGAIN / 1e3, "node2", MUTE)],
        agents=[*takeover().agents, third],
        probes=probes(fate, end=3.5),
    )


def test_mute_two_is_judged_on_each_silence() -> None:
    assert judged("mute-two", PREPEND, two_silences()) == []
    assert judged("mute-two", PREPEND, two_silences(), two_silences(), two_silences(AGAIN + 900)) == []
    (violation,) = judged("mute-two", PREPEND, two_silences(AGAIN + 430))
    assert "until node3 answered (median of 1) it took 432 ms, more than 411 ms" in violation
    slow = replace(two_silences(), probes=probes(succeeded(300), end=3.5))
    assert any("until node2 answered" in violation for violation in judged("mute-two", PREPEND, slow))


def test_mute_two_wants_both_to_take_over_and_nothing_lost_besides() -> None:
    once = replace(two_silences(), agents=takeover().agents)
    assert any(
        "(active-down-timeout): node2 (active-down-timeout)" in violation
        for violation in judged("mute-two", PREPEND, once)
    )
    assert judged("mute-two", PREPEND, two_silences(lost=600)) == ["run 1: 1 probes lost beside the two outages"]
    unfinished = replace(two_silences(), incidents=[Incident(EVENT, "node1", MUTE)])
    assert any("inf ms" in violation for violation in judged("mute-two", PREPEND, unfinished))


def test_mute_return_allows_no_loss_when_the_path_becomes_longer_again() -> None:
    silent = [Incident(EVENT, "node1", MUTE)]
    good = replace(takeover(), incidents=silent)
    assert judged("mute-return", PREPEND, good) == []
    gap = replace(good, probes=probes(lambda n: None if n == 290 else succeeded(205)(n)))
    assert judged("mute-return", PREPEND, gap) == ["run 1: 1 probes lost beside the takeover"]


def test_cut_uplinks_is_up_to_the_routers_if_backups_announce() -> None:
    standby = replace(plan(), standby=True)
    quick = replace(takeover(), probes=probes(succeeded(60)))
    assert judged("cut-uplinks", standby, quick) == []
    (violation,) = judged("cut-uplinks", standby, takeover())
    assert "312 ms, more than 250 ms" in violation
    assert judged("cut-uplinks", plan(), takeover()) == []


HEALING = 1000.0


@pytest.mark.parametrize("length", [100, 250, 500, 1000, 5000])
def test_a_cut_of_any_length_costs_no_more_than_a_takeover(length: int) -> None:
    name = f"cut-uplinks-{length}"
    back = agent(2000, "node1", "transition", before="backup", after="active", reason="preempted")
    gone = agent(2001, "node2", "transition", before="active", after="backup", reason="superseded")
    end = replace(takeover(), agents=[*takeover().agents, back, gone])
    assert judged(name, plan(), end) == []
    (slow,) = judged(name, plan(), replace(end, probes=probes(succeeded(450), end=3)))
    assert "nobody answers for 802 ms (median), more than 391 ms" in slow
    lossy = replace(end, probes=probes(lambda n: None if n == 400 else succeeded(205)(n), end=3))
    assert judged(name, plan(), lossy) == ["run 1: 1 probes lost beside the outage"]
    assert any("at the end: node2" in each for each in judged(name, plan(), takeover()))
    idle = replace(end, agents=[each for each in end.agents if each.event != "transition"])
    assert any("node2 should become Active, but: none" in each for each in judged(name, plan(), idle))


def partition(fate: Fate, *more: AgentEvent) -> Facts:
    """node1 is cut off from adverts at 0 ms and hears them again at HEALING; node2 is Active in between."""
    back = agent(HEALING + 50, "node2", "transition", before="active", after="backup", reason="superseded")
    return replace(
        takeover(),
        incidents=[Incident(EVENT, "node1", "cut off"), Incident(EVENT + HEALING / 1e3, "node1", HEALED)],
        agents=[*takeover().agents, back, *more],
        probes=probes(fate, end=2.5),
    )


def there_and_back(number: int) -> str:
    ms = (number - 50) * 2.0
    if 306 <= ms < 310 or 1052 <= ms < 1060:
        return "node2" if number % 2 else "node1"  # one router has changed over, the other has not
    return "node2" if 310 <= ms < 1060 else "node1"


def test_partition_wants_one_move_there_and_one_back() -> None:
    assert judged("partition", PREPEND, partition(there_and_back)) == []
    (stayed,) = judged("partition", PREPEND, partition(lambda _: "node1"))
    assert "but: it did not" in stayed

    def flapping(number: int) -> str:
        return "node1" if 700 <= (number - 50) * 2.0 < 710 else there_and_back(number)

    assert any("the answering node should go" in each for each in judged("partition", PREPEND, partition(flapping)))


def test_partition_does_not_take_a_split_for_a_move() -> None:
    def split(number: int) -> str:
        ms = (number - 50) * 2.0
        return ("node2" if number % 2 else "node1") if 310 <= ms < 1060 else "node1"

    violations = judged("partition", PREPEND, partition(split))
    assert any("take turns for" in violation for violation in violations)


def test_partition_wants_node1_alone_in_the_end_and_no_outage() -> None:
    again = agent(1500, "node3", "transition", before="backup", after="active", reason="active-down-timeout")
    assert any(
        "Active at the end: node1, node3" in each
        for each in judged("partition", PREPEND, partition(there_and_back, again))
    )
    lossy = partition(lambda number: None if 210 <= number < 260 else there_and_back(number))
    assert any("the outage" in violation for violation in judged("partition", PREPEND, lossy))


def test_partition_one_wants_node3_to_answer_meanwhile() -> None:
    def past_node2(number: int) -> str:
        return there_and_back(number).replace("node2", "node3")

    assert judged("partition-one", PREPEND, partition(past_node2)) == []
    assert any("should go to node3" in each for each in judged("partition-one", PREPEND, partition(there_and_back)))


def test_deaf_node_may_have_the_traffic_for_three_intervals() -> None:
    elected = agent(346, "node3", "transition", before="backup", after="active", reason="active-down-timeout")
    yields = agent(HEALING + 51, "node3", "transition", before="active", after="backup", reason="superseded")

    def facts(until: float, *lost: int) -> Facts:
        def fate(number: int) -> str | None:
            return None if number in lost else "node3" if 350 <= (number - 50) * 2.0 < until else "node1"

        return partition(fate, elected, yields)

    assert judged("deaf-node", PREPEND, facts(560)) == []
    assert judged("deaf-node", PREPEND, facts(350)) == [], "it need not have any"
    (violation,) = judged("deaf-node", PREPEND, facts(1000))
    assert "node3 answered 325 probes (100% of them) over 648 ms, which should be at most 350 ms" in violation
    assert judged("deaf-node", PREPEND, facts(560, 300)) == ["run 1: 1 probes lost, there should be none"]
    replacing = [
        RouteChange(EVENT + 0.0998, "tor1", ("node1",), deleted=True),
        RouteChange(EVENT + 0.1001, "tor1", ("node3",)),
    ]
    assert judged("deaf-node", PREPEND, replace(facts(560, 100), routes=replacing)) == [], "it met tor1 between routes"
    two = judged("deaf-node", PREPEND, replace(facts(560, 100, 101), routes=replacing))
    assert two == ["run 1: 2 probes lost, there should be none"]
    scenario = SCENARIOS["deaf-node"]
    assert isinstance(scenario, DeafNode)
    (rule,) = scenario.rules(site().machine("node3"))
    assert rule.startswith("table inet lab_node3 ")


@pytest.mark.parametrize("name", ["freeze-agent", "freeze-both"])
def test_what_is_frozen_gives_the_traffic_away_and_gets_it_back_without_loss(name: str) -> None:
    assert judged(name, PREPEND, partition(there_and_back)) == []
    lossy = partition(lambda number: None if number == 300 else there_and_back(number))
    assert judged(name, PREPEND, lossy) == ["run 1: 1 probes lost, there should be none"]
    stays = partition(lambda _: "node1")
    assert any("it did not" in each for each in judged(name, PREPEND, stays))


def test_a_frozen_exabgp_makes_its_agent_hand_over() -> None:
    assert any("(peer-resigned)" in each for each in judged("freeze-exabgp", PREPEND, partition(there_and_back)))


def test_scenarios_of_the_fabric_use_the_agent_s_default_unless_told_otherwise() -> None:
    lab = cast("DataCentre", None)
    for name in (
        "mute-node",
        "partition",
        "partition-one",
        "deaf-node",
        "freeze-agent",
        "freeze-exabgp",
        "freeze-both",
    ):
        scenario = SCENARIOS[name]
        assert scenario.plan(plan(), lab).takeover == ("med",)
        assert scenario.plan(PREPEND, lab).takeover == ("prepend",)
    assert SCENARIOS["partition"].plan(replace(plan(), site=site("racks")), lab).takeover == ("prepend",)
    assert SCENARIOS["freeze-agent"].plan(plan(), lab).hold == 180


def test_partition_all_is_about_meds_that_are_compared() -> None:
    scenario, lab = SCENARIOS["partition-all"], cast("DataCentre", None)
    assert scenario.plan(plan(), lab).takeover == ("med",)
    for other in (PREPEND, replace(plan(), site=site("racks"))):
        with pytest.raises(LabError, match="needs --takeover med, in one rack"):
            scenario.plan(other, lab)


def test_partition_all_wants_one_of_the_two_to_answer_and_nothing_lost() -> None:
    third = agent(321, "node3", "transition", before="backup", after="active", reason="active-down-timeout")
    yields = agent(HEALING + 51, "node3", "transition", before="active", after="backup", reason="superseded")

    def past_node2(number: int) -> str:
        ms = (number - 50) * 2.0
        return "node3" if 330 <= ms < 1060 else there_and_back(number)

    for fate in (there_and_back, past_node2):
        assert judged("partition-all", PREPEND, partition(fate, third, yields)) == []

    def split(number: int) -> str:
        return "node2" if 330 <= (number - 50) * 2.0 < 1000 and number % 2 else past_node2(number)

    assert any("take turns for" in each for each in judged("partition-all", PREPEND, partition(split, third, yields)))
    lossy = partition(lambda number: None if number == 400 else past_node2(number), third, yields)
    assert judged("partition-all", PREPEND, lossy) == ["run 1: 1 probes lost, there should be none"]
    (stays,) = judged("partition-all", PREPEND, partition(past_node2, third))
    assert "Active at the end: node1, node3" in stays
