"""How the attack is judged, with made-up facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.facts import Facts, Incident
from lab.report import rejected_words, run_document, text
from lab.scenarios import SCENARIOS
from tests.lab.build import EVENT, agent, order, plan, probes, result

COUNTED = {
    "node1": {"auth-missing": 60, "auth-mac": 50},
    "node2": {"auth-missing": 40, "auth-mac": 40, "auth-replay": 20},
    "node3": {"auth-missing": 40, "auth-mac": 30, "auth-replay": 20},
}


def attacked(sent: int = 300, counted: dict[str, dict[str, int]] = COUNTED) -> Facts:
    """node1 serves on through an attack of 0.4 s."""
    return Facts(
        incidents=[
            Incident(EVENT, "attacker", "forges and replays adverts"),
            Incident(EVENT + 0.4, "attacker", f"attack over: {sent} adverts sent, 750 a second"),
        ],
        agents=[
            agent(-90, "node1", "transition", before="backup", after="active", reason="active-down-timeout"),
            agent(-89, "node1", "address-bound"),
            agent(-88, "node1", "route-announced"),
            *(agent(410, node, "counters", rejected=reasons) for node, reasons in counted.items()),
        ],
        adverts=[],
        routes=[],
        probes=probes(lambda _: "node1"),
    )


def judged(scenario: str, facts: Facts) -> list[str]:
    return SCENARIOS[scenario].judge([result(facts).run], plan())


def test_an_attack_that_changes_nothing_and_is_counted_is_as_expected() -> None:
    assert judged("attack", attacked()) == []


def test_what_found_no_room_need_not_be_rejected() -> None:
    facts = attacked(sent=301)
    full = agent(409, "node2", "counters-wire", overflowed=2)
    assert judged("attack", replace(facts, agents=[*facts.agents, full])) == []
    (violation,) = judged("attack", replace(attacked(sent=303), agents=[*facts.agents, full]))
    assert "300 adverts were rejected and at most 2 not read of 303 that were sent" in violation


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (attacked(sent=301), "300 adverts were rejected of 301 that were sent"),
        (attacked(sent=299), "300 adverts were rejected of 299 that were sent"),
        (replace(attacked(), incidents=attacked().incidents[:1]), "300 adverts were rejected of 0 that were sent"),
        (attacked(counted=COUNTED | {"node2": {"auth-missing": 50, "auth-mac": 50}}), "node2 has rejected nothing for"),
        (attacked(counted={"node1": COUNTED["node1"]}), "node3 has rejected nothing for auth-mac, auth-missing"),
        (replace(attacked(), probes=probes(lambda number: None if number == 60 else "node1")), "1 probes lost"),
        (
            replace(
                attacked(),
                agents=[
                    *attacked().agents,
                    agent(100, "node1", "transition", before="active", after="backup", reason="superseded"),
                ],
            ),
            "node1 went from active to backup",
        ),
    ],
)
def test_whatever_else_comes_of_it_is_a_violation(facts: Facts, words: str) -> None:
    assert any(words in violation for violation in judged("attack", facts))


def test_the_control_must_succeed() -> None:
    (violation,) = judged("attack-open", attacked())
    assert "the attack has failed, 0 transitions and 0 probes lost" in violation
    moved = replace(
        attacked(),
        agents=[
            *attacked().agents,
            agent(100, "node1", "transition", before="active", after="backup", reason="superseded"),
            agent(500, "node1", "transition", before="backup", after="active", reason="active-down-timeout"),
        ],
        probes=probes(lambda number: None if 100 < number < 200 else "node1"),
    )
    assert judged("attack-open", moved) == []


def test_what_was_rejected_is_told() -> None:
    run = result(attacked())
    assert run_document(order("attack"), run)["rejected"] == COUNTED
    told = text(order("attack"), [run])
    assert "node2: rejected auth-missing ×40, auth-mac ×40, auth-replay ×20" in told
    assert "attacker: attack over: 300 adverts sent, 750 a second" in told
    assert rejected_words(agent(0, "node1", "counters", rejected={"length": 1})) == "rejected length ×1"
