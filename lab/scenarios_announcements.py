"""Announcements that ExaBGP refuses, for all neighbors or for some. Judged by the routers' tables.

node1, which has the best priority, was off. When it comes back, the neighbors in its exabgp.conf do not list the agent
in their `api { processes [ … ] }`, or only one of them does. Its sessions come up all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from lab.datacentre import DataCentre
from lab.scenarios import (
    HANDOVER_LIMIT,
    NODE1,
    NODE2,
    TAIL,
    Comeback,
    Run,
    Strike,
    check_end,
    check_lossless,
    scenario,
)
from lab.servers import ServerPlan

WATCHED = 3.0
"Seconds to go on observing: ExaBGP's second refusal comes after one."


class Unlisted(Comeback):
    """node1 comes back, and some of its neighbors do not list the agent."""

    after = NODE2
    listed: ClassVar[int]
    "neighbors that list it, the first ones"

    def prepare(self, lab: DataCentre) -> None:
        super().prepare(lab)
        routers = [link.router.name for link in lab.fabric.site.uplinks(NODE1)]
        lab.servers[NODE1.name].unlist(*routers[self.listed :])

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.incident(lab.power_on(NODE1), NODE1, f"{self.listed} of 2 neighbors list its agent")

    def await_tables(self, lab: DataCentre) -> None:
        """Waits until each router next to a server has the route of node2 alone, and prints the routes."""

        def alone() -> bool:
            return all(servers <= {NODE2.name} for servers in lab.tables().values())

        lab.watch(WATCHED)
        lab.await_seen("no route of node1 in any table", HANDOVER_LIMIT, alone)
        for router, servers in lab.tables().items():
            lab.say(f"{router} has routes of {', '.join(sorted(servers)) or 'nobody'}")
        lab.await_serving(NODE2.name)
        lab.watch(TAIL)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_end(runs, NODE2) + check_lossless(runs)


@scenario
class Refused(Unlisted):
    name = "refused"
    causes = ((NODE1.name, "route-not-accepted|neighbor-unlisted"),)
    summary = "the preferred node returns, and none of its neighbors in exabgp.conf lists the agent"
    listed = 0

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node2 serves on, no router has a route of node1, and node1 logs what ExaBGP refuses; no probe lost"

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_logged(NODE1, "route-not-accepted", 0, self.limit(plan) + HANDOVER_LIMIT)
        self.await_tables(lab)


@scenario
class HalfRefused(Unlisted):
    name = "half-refused"
    causes = ((NODE1.name, "neighbor-unlisted"),)
    summary = "the preferred node returns, and one of its two neighbors in exabgp.conf does not list the agent"
    listed = 1

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return replace(usual, virtual_router=(*usual.virtual_router, "min_sessions = 2"))

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "node1, which needs two sessions, names the neighbor that does not list it, and does not take over: node2"
            " serves on, no router has a route of node1; no probe lost"
        )

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        told = lab.await_logged(NODE1, "neighbor-unlisted", 0, self.limit(plan) + HANDOVER_LIMIT)
        lab.say(f"node1 logs: neighbor-unlisted {told.field('neighbor')}")
        self.await_tables(lab)
