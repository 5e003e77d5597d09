"""The scenarios of reloads: what comes and goes in order meets the expectation, all else violates it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.addressing import SPARES
from lab.facts import AddressChange, Command, Facts, RouteChange, parse_address_change
from lab.scenarios import SCENARIOS
from lab.scenarios_reload import serves
from tests.lab.build import EVENT, agent, plan, result, stayed

GOES, COMES = map(str, SPARES[6])
DONE = Command("node1", "reload --allow-move", EVENT, EVENT + 0.4, 0, "applied")


def judged(facts: Facts) -> list[str]:
    return SCENARIOS["reload"].judge([result(facts).run], plan())


def reloaded(*, bound: float = 10, announced: float = 14, withdrawn: float = 20, unbound: float = 2020) -> Facts:
    """One address comes and another one goes; milliseconds after the event."""

    def route(ms: float, tor: str, address: str, *, deleted: bool) -> RouteChange:
        return RouteChange(EVENT + ms / 1e3, tor, ("node1",), deleted=deleted, address=address)

    facts = stayed("node1")
    return replace(
        facts,
        routes=facts.routes[:3],
        commands=[DONE],
        addresses=[
            AddressChange(EVENT + bound / 1e3, "node1", COMES),
            AddressChange(EVENT + unbound / 1e3, "node1", GOES, deleted=True),
        ],
        spares=[
            route(-900, "tor1", GOES, deleted=False),
            *(route(announced, tor, COMES, deleted=False) for tor in ("tor1", "tor2")),
            *(route(withdrawn, tor, GOES, deleted=True) for tor in ("tor1", "tor2")),
        ],
    )


def test_what_comes_and_goes_in_order_and_touches_nothing_else() -> None:
    assert judged(reloaded()) == []
    assert judged(replace(reloaded(), commands=[replace(DONE, status=1, said="no")])) == [
        "run 1: exavrrp reload --allow-move ended with 1, not 0: no"
    ]
    lost = replace(reloaded(), probes=stayed("node1", lost=[99]).probes)
    assert judged(lost) == ["run 1: 1 probes lost, there should be none"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (reloaded(bound=15), "should be bound before a router has its route"),
        (replace(reloaded(), addresses=[]), "should be bound before a router has its route"),
        (replace(reloaded(), spares=[]), "should be unbound 2 s after its route is gone"),
        (reloaded(withdrawn=900), "should be unbound 2 s after its route is gone"),
        (reloaded(unbound=19), "should be unbound 2 s after its route is gone"),
        (
            replace(reloaded(), addresses=[*reloaded().addresses, AddressChange(EVENT + 1, "node1", "2001:db8:53::1")]),
            "has reported 2001:db8:53::1, which nobody has changed",
        ),
        (
            replace(reloaded(), routes=[RouteChange(EVENT + 0.1, "tor2", ("node1",))]),
            "a router has changed its route to the address that stays",
        ),
    ],
)
def test_what_is_out_of_order_or_moves_besides(facts: Facts, said: str) -> None:
    assert any(said in violation for violation in judged(facts)), judged(facts)


def test_nobody_changes_its_state() -> None:
    moved = agent(50, "node2", "transition", before="backup", after="active", reason="preempted")
    found = judged(replace(reloaded(), agents=[*reloaded().agents, moved]))
    assert "run 1: node2 went from backup to active (preempted), but nobody should" in found


def test_lines_of_the_kernel() -> None:
    stamp = "[1970-01-12T13:46:40.500000] "
    added = parse_address_change(f"{stamp}1: lo    inet6 {COMES}/128 scope global deprecated", "node1")
    assert added == AddressChange(EVENT + 0.5, "node1", COMES)
    gone = parse_address_change(f"{stamp}Deleted 1: lo    inet 198.51.100.54/32 scope host lo", "node1")
    assert gone == AddressChange(EVENT + 0.5, "node1", "198.51.100.54", deleted=True)
    assert parse_address_change(f"{stamp}7: tor1    inet6 fd00::1/64 scope global", "node1") is None
    assert serves(GOES)[0] == f'unlisted_addresses = ["{GOES}"]'
