"""Facts for tests: what the instruments would have recorded in a takeover from node1 to node2."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from lab import (  # noqa: F401 — importing them registers their scenarios
    scenarios_announcements,
    scenarios_attack,
    scenarios_fabric,
    scenarios_reload,
    scenarios_service,
    scenarios_sessions,
    scenarios_vxlan,
)
from lab.facts import POWER_OFF, Advert, AgentEvent, Facts, Incident, Probe, RouteChange
from lab.run import Order, Result
from lab.scenarios import SCENARIOS, Run
from lab.servers import ServerPlan
from lab.timeline import compute

EVENT = 1_000_000.0
"Seconds since the epoch; small, so that milliseconds survive in a float."
PERIOD = 0.002


def probes(fate: Callable[[int], str | None], start: float = -0.1, end: float = 0.6) -> list[Probe]:
    """A probe every 2 ms from `start` to `end` (seconds after the event); `fate` says by its number who answers it."""
    made = []
    for number in range(round((end - start) / PERIOD)):
        sent = EVENT + start + number * PERIOD
        node = fate(number)
        made.append(Probe(number, sent, None if node is None else sent + 0.0003, node))
    return made


def succeeded(first: int) -> Callable[[int], str | None]:
    """The fate of a takeover: node1 answers until the event, node2 from the probe of this number on, nobody between."""

    def fate(number: int) -> str | None:
        if number < 50:
            return "node1"
        return "node2" if number >= first else None

    return fate


def agent(ms: float, node: str, event: str, **fields: object) -> AgentEvent:
    return AgentEvent(EVENT + ms / 1e3, node, event, {"router": "web", **fields})


def takeover() -> Facts:
    """node1 is cut at 0 ms; its last advert was at −40 ms; node2 is elected at 301 and answers from 310 ms on."""
    return Facts(
        incidents=[Incident(EVENT, "node1", POWER_OFF)],
        agents=[
            agent(-90, "node1", "transition", before="backup", after="active", reason="active-down-timeout"),
            agent(-89, "node1", "address-bound"),
            agent(-88, "node1", "route-announced"),
            agent(-80, "node2", "transition", before="initialize", after="backup", reason="startup"),
            agent(301, "node2", "transition", before="backup", after="active", reason="active-down-timeout"),
            agent(303, "node2", "address-bound"),
            agent(306, "node2", "route-announced"),
        ],
        adverts=[
            Advert(EVENT - 0.14, "tor1", "node1", "2001:db8:ff::11", 7, 200),
            Advert(EVENT - 0.04, "tor2", "node1", "2001:db8:ff::11", 7, 200),
            Advert(EVENT + 0.301, "tor1", "node2", "2001:db8:ff::12", 7, 150),
        ],
        routes=[
            RouteChange(EVENT - 0.09, "tor1", ("node1",)),
            RouteChange(EVENT - 0.09, "tor2", ("node1",)),
            RouteChange(EVENT - 0.09, "client", ("tor1", "tor2")),
            RouteChange(EVENT + 0.001, "tor1", ("node1",), deleted=True),
            RouteChange(EVENT + 0.001, "tor2", ("node1",), deleted=True),
            RouteChange(EVENT + 0.307, "tor1", ("node2",)),
            RouteChange(EVENT + 0.308, "tor2", ("node2",)),
            RouteChange(EVENT + 0.309, "client", ("tor1", "tor2")),
        ],
        probes=probes(succeeded(205)),
    )


def stayed(node: str, *said: AgentEvent, lost: Collection[int] = ()) -> Facts:
    """`node` is Active all the time, the probes of these numbers are lost, and so much is in the logs besides."""
    agents = [agent(-900, node, "transition", before="backup", after="active", reason="active-down-timeout"), *said]
    answers = probes(lambda number: None if number in lost else node)
    return replace(takeover(), incidents=[], agents=agents, probes=answers)


def result(facts: Facts, old: str = "node1") -> Result:
    return Result(Run(compute(facts, EVENT, old), facts), seed=42, phase=0.4, plan=plan())


def plan() -> ServerPlan:
    return ServerPlan(family=6, interval=0.1, hold=9, exabgp="5", agent=Path("/bin/exavrrp"))


def order(scenario: str = "kill-node") -> Order:
    return Order(SCENARIOS[scenario], "bird", plan(), repeat=1, seed=42, keep=False)
