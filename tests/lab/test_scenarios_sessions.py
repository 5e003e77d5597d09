"""Scenarios of sessions: met without a transition, violated by one or by a long loss of packets."""

from __future__ import annotations

import pytest

from lab.facts import Facts
from lab.scenarios import SCENARIOS
from tests.lab.build import agent, plan, result, stayed


@pytest.mark.parametrize("name", ["both-families", "rfc8950", "same-peer"])
def test_nobody_moves_and_little_is_lost(name: str) -> None:
    def judged(facts: Facts) -> list[str]:
        return SCENARIOS[name].judge([result(facts).run], plan())

    assert judged(stayed("node1", lost=range(60, 70))) == []
    (lost,) = judged(stayed("node1", lost=range(60, 260)))
    assert "more than 250 ms" in lost
    fault = agent(50, "node1", "transition", before="active", after="initialize", reason="fault")
    assert judged(stayed("node1", fault)) == ["run 1: node1 went from active to initialize (fault), but nobody should"]
