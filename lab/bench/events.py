"""What happens to the data centre in a race: the same for every tool, and seen from outside alone.

An event is one class in the registry: `arm` makes it ready, its result strikes, `outcome` waits until what follows is
over. It may not look at a tool's log: only one of the tools writes one that the lab understands.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar

from lab.addressing import CLIENT, Machine
from lab.bench.tools import Strike, Tool
from lab.datacentre import DataCentre
from lab.facts import hops_after
from lab.scenarios import NODE1, NODE2, TAIL, arm_cut, dropped_at_arrival
from lab.scenarios_fabric import arm_mute, dropped_on_leaving
from lab.servers import Armed
from lab.topology import link_up

LIMIT = 30.0
"Seconds beside the BGP hold time, for what takes parts of one: a busy machine must not fail."
CALM = 1.0
"Seconds for which a node has answered before an event is over that may have further consequences."
CUT = 0.5
"Seconds for which all uplinks are down."
MUTED = 3.0
"Seconds without adverts."


class Event(ABC):
    name: ClassVar[str]
    summary: ClassVar[str]
    checked: ClassVar[bool] = False
    "whether the tools watch the service by a check"
    after: ClassVar[Machine] = NODE2
    "who serves when it is over"

    @abstractmethod
    def arm(self, lab: DataCentre, tool: Tool) -> Strike: ...

    def outcome(self, lab: DataCentre, tool: Tool) -> None:  # noqa: ARG002
        """Raises Late when the consequences do not come."""
        lab.await_serving(self.after.name, lab.fabric.hold + LIMIT)
        lab.watch(TAIL)


class KillNode(Event):
    name = "kill-node"
    summary = "the node that serves loses power: links down, processes gone"

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        return lab.arm_power_off(NODE1)


class MuteNode(Event):
    name = "mute-node"
    summary = "the node that serves dies with its links up: every packet from and to it is dropped"

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        return arm_mute(lab, NODE1)


class KillDaemons(Event):
    name = "kill-daemons"
    summary = "SIGKILL for ExaBGP and everything else of the tool on the node that serves; its service lives"

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        namespace = lab.topology[NODE1.name]
        programs = [each for each in lab.processes.programs if each.namespace is namespace]
        doomed = [each for each in programs if each.name in ("exabgp", "keepalived")]
        kept = {each.process.pid for each in programs if each not in doomed}
        pids = [pid for pid in namespace.pids() if pid not in kept]

        def strike() -> float:
            now = time.time()
            for each in doomed:
                lab.processes.ending(each)
            # Stopped first, since a child of keepalived ends in order when its parent has ended.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            return lab.incident(now, NODE1, "SIGKILL for the daemons")

        return strike


class PlannedMove(Event):
    name = "planned-move"
    summary = "maintenance: the node that serves is asked to hand over, as the tool has it"

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:
        strike = tool.arm_move(lab)
        return lambda: lab.incident(strike(), NODE1, "asked to hand over")

    def outcome(self, lab: DataCentre, tool: Tool) -> None:
        super().outcome(lab, tool)
        lab.watch(CALM)


class CutUplink(Event):
    name = "cut-uplink"
    summary = "the first uplink of the node that serves goes down; the second one stays"

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        links = lab.fabric.site.uplinks(NODE1)[:1]
        return arm_cut(lab, links, f"{links[0].member_interface} cut")

    def outcome(self, lab: DataCentre, tool: Tool) -> None:  # noqa: ARG002
        """Who serves is the tool's choice: one node, or two of which each has a router."""
        lab.watch(MUTED)


class CutUplinks(Event):
    name = "cut-uplinks"
    summary = f"both uplinks of the node that serves go down for {CUT * 1e3:g} ms"
    after = NODE1

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        return arm_cut(lab, lab.fabric.site.uplinks(NODE1), "all uplinks cut")

    def outcome(self, lab: DataCentre, tool: Tool) -> None:  # noqa: ARG002
        healing = [(link, Armed.ip(lab.topology[link.router.name])) for link in lab.fabric.site.uplinks(NODE1)]
        lab.watch(CUT)
        for link, ip in healing:
            ip.fire(link_up(link, link.router))
        await_back(lab)


class MuteAdverts(Event):
    name = "mute-adverts"
    summary = f"adverts from and to the node that serves are dropped for {MUTED:g} s, and nothing else"
    after = NODE1

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:
        armed = [Armed.nft(lab.topology[tor.name]) for tor in lab.fabric.site.racks[NODE1.name]]
        rules = [dropped_at_arrival(tool.adverts), dropped_on_leaving(tool.adverts, NODE1)]

        def strike() -> float:
            now = time.time()
            for each in armed:
                each.fire(rules)
            return lab.incident(now, NODE1, "its adverts are dropped")

        return strike

    def outcome(self, lab: DataCentre, tool: Tool) -> None:  # noqa: ARG002
        healing = [Armed.nft(lab.topology[tor.name]) for tor in lab.fabric.site.racks[NODE1.name]]
        lab.watch(MUTED)
        for each in healing:
            each.fire([f"delete table {family} lab_{NODE1.name}" for family in ("netdev", "inet")])
        await_back(lab)


class FailCheck(Event):
    name = "fail-check"
    summary = "the service on the node that serves dies, and its check finds out"
    checked = True

    def arm(self, lab: DataCentre, tool: Tool) -> Strike:  # noqa: ARG002
        return lambda: lab.incident(lab.servers[NODE1.name].kill_service(), NODE1, "the service is killed")


def await_back(lab: DataCentre) -> None:
    """Waits until node1 serves again, and goes on doing so."""
    give_up = time.monotonic() + lab.fabric.hold + LIMIT
    while True:
        lab.await_seen("the way to node1", max(give_up - time.monotonic(), 0), lambda: led_to(lab, NODE1))
        lab.await_serving(NODE1.name, max(give_up - time.monotonic(), 0))
        lab.watch(CALM)
        if led_to(lab, NODE1):
            return


def led_to(lab: DataCentre, node: Machine) -> bool:
    """Whether the kernels of the routers and the client lead to a node, over all of its uplinks."""
    hops, site = hops_after(lab.observers.routes), lab.fabric.site
    return all(hops.get(each.name) == site.ways(each, node) for each in (*site.gates, CLIENT))


EVENTS: dict[str, Event] = {
    each.name: each
    for each in (
        KillNode(),
        MuteNode(),
        KillDaemons(),
        PlannedMove(),
        CutUplink(),
        CutUplinks(),
        MuteAdverts(),
        FailCheck(),
    )
}
