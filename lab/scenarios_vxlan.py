"""An election in a VXLAN over both uplinks, beside which the same faults are shown with adverts over every path.

The routes carry the VXLAN's packets, so it outlives an uplink that the routes know to be cut. All of its packets from
one node to another take one path, though, which their hash chooses: a router on it that forwards everything else, and
drops these, makes two Actives. With `transport = "routed"` that is `gray-path`, without a transition.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from lab.addressing import Link
from lab.datacentre import DataCentre
from lab.scenarios import (
    NODE1,
    NODE2,
    TAIL,
    Causes,
    CutUplink,
    Run,
    Scenario,
    Strike,
    check_actives,
    dropped_at_arrival,
    scenario,
)
from lab.servers import Armed, ServerPlan


@scenario
class VxlanCutUplink(CutUplink):
    name = "vxlan-cut-uplink"
    # No agent sees it: the VXLAN goes on, and ExaBGP finds out by its hold time.
    causes: ClassVar[Causes] = (
        (NODE1.name, "Now: ACTIVE"),
        (NODE2.name, r"Not Active because fe80::\S+ is: it says 200"),
    )
    summary = "cut-uplink with the election in a VXLAN: the uplink that carries it to the first Backup goes down"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return replace(usual, overlay=True)

    def link(self, lab: DataCentre) -> Link:
        return lab.overlay_uplink()


@scenario
class VxlanGrayPath(Scenario):
    name = "vxlan-gray-path"
    causes = ((NODE2.name, r"Verdict: fe80::\S+ fell silent on \S+, the only path"),)
    summary = "gray-path with the election in a VXLAN: one router drops its packets from the Active, and nothing else"
    after = NODE2

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node2 hears no more adverts and becomes Active too: two Actives, as in gray-path-single"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return replace(usual, overlay=True)

    def arm(self, lab: DataCentre) -> Strike:
        link = lab.overlay_uplink()
        armed = Armed.nft(lab.topology[link.router.name])

        def strike() -> float:
            now = time.time()
            armed.fire([dropped_at_arrival("udp dport 4789")])
            return lab.incident(now, NODE1, f"{link.member_interface} gray for the VXLAN")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_actives((NODE1.name, NODE2.name), self.limit(plan))
        lab.watch(TAIL)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_actives(runs, (NODE1.name, NODE2.name))
