"""Scenarios of refused announcements: met without a transition, violated if the wrong node serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.addressing import SERVERS
from lab.facts import Facts
from lab.scenarios import SCENARIOS
from lab.servers import exabgp_configuration
from tests.lab.build import agent, plan, result, stayed


def judged(scenario: str, facts: Facts) -> list[str]:
    return SCENARIOS[scenario].judge([result(facts, "node2").run], plan())


@pytest.mark.parametrize("name", ["refused", "half-refused"])
def test_nobody_takes_what_it_cannot_announce(name: str) -> None:
    assert judged(name, stayed("node2")) == []
    assert judged(name, stayed("node2", lost=[99])) == ["run 1: 1 probes lost, there should be none"]
    taken = (
        agent(50, "node1", "transition", before="backup", after="active", reason="preempted"),
        agent(51, "node2", "transition", before="active", after="backup", reason="superseded"),
    )
    assert judged(name, stayed("node2", *taken)) == ["run 1: Active at the end: node1; expected: node2"]


def test_a_neighbor_can_be_left_without_the_agent() -> None:
    listed = exabgp_configuration(SERVERS[0], plan(), "/bin/exavrrp run")
    unlisted = frozenset({("node1", "tor2"), ("node2", "tor1")})
    half = exabgp_configuration(SERVERS[0], replace(plan(), unlisted=unlisted), "/bin/exavrrp run")
    assert (listed.count("api {"), half.count("api {")) == (4, 2), "a session to each router in each family"
    assert listed.count("neighbor 1") == half.count("neighbor 1")
