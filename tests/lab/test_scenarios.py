"""Each scenario's expectation: right runs meet it, wrong runs violate it."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

import lab.__main__
from lab.datacentre import DataCentre
from lab.facts import Facts, Incident
from lab.run import unexplained
from lab.scenarios import SCENARIOS, Run, down_interval, skew_time
from lab.servers import ROOT, statements
from lab.topology import LabError
from tests.lab.build import EVENT, agent, plan, probes, result, succeeded, takeover


def judged(scenario: str, *facts: Facts) -> list[str]:
    runs: list[Run] = [result(each).run for each in facts]
    return SCENARIOS[scenario].judge(runs, plan())


def calm(gray: str | None = None) -> Facts:
    """node1 is Active all the time and nothing is lost."""
    facts = takeover()
    what = [Incident(EVENT, "node1", f"{gray} gray")] if gray else []
    return Facts(what, facts.agents[:4], facts.adverts[:2], facts.routes[:3], probes(lambda _: "node1"))


def late(ms: int) -> Facts:
    """The takeover, with the first answer so much later."""
    return replace(takeover(), probes=probes(succeeded(205 + ms // 2), end=2))


def test_timers_are_those_of_the_first_backup() -> None:
    assert skew_time(0.1) == pytest.approx(0.0414, abs=1e-4)
    assert down_interval(1.0) == pytest.approx(3.414, abs=1e-3)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_what_it_is_and_what_it_expects(name: str) -> None:
    assert SCENARIOS[name].name == name
    assert len(SCENARIOS[name].summary) > 20
    assert len(SCENARIOS[name].expectation(plan())) > 20


def test_kill_node_is_judged_by_the_median() -> None:
    assert judged("kill-node", takeover()) == []
    assert judged("kill-node", takeover(), late(200), takeover()) == []
    (violation,) = judged("kill-node", late(200), late(100), takeover())
    assert "412 ms, more than 391 ms" in violation


def test_kill_node_wants_node2_active_and_by_silence() -> None:
    nobody = replace(takeover(), agents=takeover().agents[:4], probes=[])
    assert judged("kill-node", nobody) == [
        "run 1: node2 should be Active at the end",
        "run 1: a node should become Active (active-down-timeout), but: none",
    ]
    (violation,) = judged("stop-abrupt", takeover())[:1]
    assert "(peer-resigned), but: active-down-timeout" in violation


def test_mute_node_allows_the_hold_time_but_no_late_election() -> None:
    assert judged("mute-node", late(1000)) == []
    agents = takeover().agents
    slow = [
        *agents[:4],
        agent(450, "node2", "transition", before="backup", after="active", reason="active-down-timeout"),
    ]
    (violation,) = judged("mute-node", replace(takeover(), agents=slow))
    assert "after 450 ms" in violation


@pytest.mark.parametrize("name", ["cut-uplink", "vxlan-cut-uplink", "gray-path"])
def test_nobody_may_move_when_a_path_breaks(name: str) -> None:
    moved = replace(takeover(), incidents=[Incident(EVENT, "node1", "eth0 gray")])
    assert "run 1: node2 went from backup to active (active-down-timeout), but nobody should" in judged(name, moved)


def test_cut_uplink_allows_the_routers_their_time() -> None:
    assert judged("cut-uplink", calm()) == []
    lost = replace(calm(), probes=probes(lambda number: None if 50 <= number < 200 else "node1"))
    (violation,) = judged("cut-uplink", lost)
    assert "302 ms, more than 250 ms" in violation


def test_gray_path_wants_the_quiet_path_named_and_nothing_lost() -> None:
    facts = calm("eth1")
    assert judged("gray-path", facts) == ["run 1: no Backup has logged that the path over eth1 went quiet"]
    logged = agent(300, "node3", "path-quiet", peer="2001:db8:ff::11", interface="eth1")
    assert judged("gray-path", replace(facts, agents=[*facts.agents, logged])) == []
    for wrong in (
        agent(300, "node3", "path-quiet", peer="2001:db8:ff::11", interface="eth0"),
        agent(300, "node3", "path-quiet", peer="2001:db8:ff::12", interface="eth1"),
        agent(-5, "node3", "path-quiet", peer="2001:db8:ff::11", interface="eth1"),
        agent(300, "node1", "path-quiet", peer="2001:db8:ff::11", interface="eth1"),
    ):
        assert len(judged("gray-path", replace(facts, agents=[*facts.agents, wrong]))) == 1
    one = replace(facts, agents=[*facts.agents, logged], probes=probes(lambda n: None if n == 99 else "node1"))
    assert judged("gray-path", one) == ["run 1: 1 probes lost, there should be none"]


@pytest.mark.parametrize("name", ["gray-path-single", "vxlan-gray-path"])
def test_the_control_wants_two_actives(name: str) -> None:
    two = replace(takeover(), incidents=[Incident(EVENT, "node1", "eth0 gray")])
    assert judged(name, two) == []
    (violation,) = judged(name, calm("eth0"))
    assert "Active at the end: node1, not node1 and node2" in violation


def test_comeback_wants_node1_alone() -> None:
    assert judged("comeback", calm()) == []
    (violation, *_) = judged("comeback", takeover())
    assert "Active at the end: node2; expected: node1" in violation
    lost = replace(calm(), probes=probes(lambda number: None if number == 99 else "node1"))
    assert judged("comeback", lost) == ["run 1: 1 probes lost, there should be none"]


class Server:
    """Says one thing when it is asked why."""

    def __init__(self, said: str | None) -> None:
        self._said = said

    def why(self) -> list[str]:
        if self._said is None:
            raise LabError("exavrrp why: no agent answers")
        return ["web: …", self._said]

    def verdicts(self, since: float) -> list[str]:
        return [] if since > EVENT else [SILENT]


SILENT = "Verdict: node1 fell silent on every path at once: the node, …"


@pytest.mark.parametrize(
    ("said", "complains"),
    [
        (SILENT, False),
        ("Verdict: node1 has resigned", True),
        (None, True),
    ],
)
def test_a_cause_that_why_does_not_name_is_a_complaint(said: str | None, complains: bool) -> None:
    lab = cast("DataCentre", SimpleNamespace(servers={"node2": Server(said)}))
    missing = "exavrrp why on node2 does not name the cause (Verdict: node1 fell silent on every path at once)"
    expected = [f"{missing}: {'exavrrp why: no agent answers' if said is None else f'web: … {said}'}"]
    told: list[str] = []
    assert list(unexplained(lab, SCENARIOS["kill-node"], EVENT + 1, told.append)) == (expected if complains else [])
    assert told == ([] if complains else [f"  why on node2: {SILENT}"])


def test_a_cause_that_why_would_have_named_at_a_transition_is_no_complaint() -> None:
    lab = cast("DataCentre", SimpleNamespace(servers={"node2": Server("Verdict: node1 says 200")}))
    assert list(unexplained(lab, SCENARIOS["kill-node"], EVENT, lambda _: None)) == []


def test_every_scenario_states_what_why_has_to_name_and_on_which_node() -> None:
    assert lab.__main__, "which imports all of them"
    assert [name for name, one in SCENARIOS.items() if not one.causes] == []


def test_what_why_says_is_taken_apart_into_statements() -> None:
    said = ["Verdict: 2001:db8:ff::11 fell silent on every", "  path at once.", "Now: ACTIVE; it", "             moves"]
    assert statements("\n".join([*said, " ! web: x", "   y", ""])) == [
        "Verdict: node1 fell silent on every path at once.",
        "Now: ACTIVE; it moves",
        "! web: x y",
    ]


def test_the_guide_shows_what_why_says_in_each_scenario() -> None:
    """By its own output: each node of ``causes`` has a row, and what it has to name stands there."""
    guide = (ROOT / "docs" / "why" / "failures.md").read_text(encoding="utf-8")
    section = guide.partition("\n## What `exavrrp why` says\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `")][1:]
    told = {(name, node.strip()): said for names, node, said in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert told.keys() == {(name, node) for name, one in SCENARIOS.items() for node, _ in one.causes}
    for name, one in SCENARIOS.items():
        for node, words in one.causes:
            assert re.search(words, told[name, node]), (name, node)
