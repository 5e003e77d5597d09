"""Reloads of the agent's configuration under traffic: what it names comes and goes in order, and nothing else moves.

Judged from outside: the kernel of the server that is reloaded says when addresses come and go, the kernels of the
routers say when the routes do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lab.addressing import SPARES, TORS
from lab.datacentre import DataCentre
from lab.facts import AddressChange, RouteChange
from lab.scenarios import (
    HANDOVER_LIMIT,
    NODE1,
    Run,
    Scenario,
    Strike,
    check_end,
    check_lossless,
    check_quiet,
    scenario,
)
from lab.scenarios_service import COMMAND_LIMIT, check_command
from lab.servers import ServerPlan

RELOAD = ("reload", "--allow-move")
LINGER = 2.0
"Seconds, the default."
AT_ONCE = 0.5
"Seconds that the end of a linger may seem to be early: a router takes a route away some time after the withdraw."


def serves(*addresses: object) -> tuple[str, ...]:
    """Lines for the table of the virtual router, with further addresses."""
    return f"unlisted_addresses = {json.dumps(list(map(str, addresses)))}", f"linger = {LINGER}"


@scenario
class Reload(Scenario):
    name = "reload"
    causes = ((NODE1.name, "router-reconfigured"), (NODE1.name, "not moved it: a reload moves only what it names"))
    summary = "exavrrp reload on the Active: one further virtual address goes, another one comes"
    after = NODE1

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "no transition, no probe of the address that stays lost, and nothing of it moves; what comes is bound"
            f" before any router has its route, what goes is unbound {LINGER:g} s after none has it any more"
        )

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        goes, _ = SPARES[lab.fabric.family]
        return replace(usual, virtual_router=(*usual.virtual_router, *serves(goes)))

    def prepare(self, lab: DataCentre) -> None:
        goes, _ = SPARES[lab.fabric.family]
        super().prepare(lab)
        lab.await_seen(f"the route to {goes} in both routers", HANDOVER_LIMIT, lambda: routed(lab, goes) == len(TORS))
        lab.watch_addresses(NODE1)

    def arm(self, lab: DataCentre) -> Strike:
        _, comes = SPARES[lab.fabric.family]
        lab.servers[NODE1.name].reconfigure(*serves(comes))
        return lambda: lab.incident(lab.command(NODE1, *RELOAD), NODE1, f"exavrrp {' '.join(RELOAD)}")

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        """If the command failed, there is nothing to wait for."""
        goes, comes = SPARES[lab.fabric.family]
        if lab.await_command(COMMAND_LIMIT).status != 0:
            return
        lab.await_seen(f"the route to {comes} in both routers", HANDOVER_LIMIT, lambda: routed(lab, comes) == len(TORS))
        lab.await_seen(
            f"{goes} unbound", HANDOVER_LIMIT, lambda: bool(changes(lab.observers.addresses, goes, gone=True))
        )
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return [
            *check_command(runs, 0),
            *check_quiet(runs),
            *check_end(runs, NODE1),
            *check_lossless(runs),
            *(f"run {number}: {said}" for number, run in enumerate(runs, 1) for said in disorder(run, plan)),
        ]


def routed(lab: DataCentre, address: object) -> int:
    """How many of the routers next to node1 have the route to a further address."""
    last = {each.machine: each for each in lab.observers.spares if each.address == str(address)}
    return sum(not each.deleted for name, each in last.items() if name in {tor.name for tor in TORS})


def changes(seen: Iterable[AddressChange | RouteChange], address: object, *, gone: bool) -> list[float]:
    """When it came, or was gone, in the order of time."""
    return [each.time for each in seen if (each.address, each.deleted) == (str(address), gone)]


def disorder(run: Run, plan: ServerPlan) -> list[str]:
    """What came or went in another order, or should not have."""
    goes, comes = SPARES[plan.family]
    routes = [each for each in run.facts.spares if each.time >= run.timeline.event]
    tors = [each for each in routes if each.machine in {tor.name for tor in TORS}]
    bound, announced = changes(run.facts.addresses, comes, gone=False), changes(routes, comes, gone=False)
    withdrawn, unbound = changes(tors, goes, gone=True), changes(run.facts.addresses, goes, gone=True)
    found = []
    if not bound or not announced or bound[0] >= announced[0]:
        found.append(f"{comes} should be bound before a router has its route: {bound[:1]}, {announced[:1]}")
    if not withdrawn or not unbound or unbound[0] < withdrawn[-1] + LINGER - AT_ONCE:
        found.append(f"{goes} should be unbound {LINGER:g} s after its route is gone: {withdrawn[-1:]}, {unbound[:1]}")
    others = sorted({each.address for each in run.facts.addresses} - {str(goes), str(comes)})
    found += [f"the kernel of node1 has reported {each}, which nobody has changed" for each in others]
    if any(each.time >= run.timeline.event for each in run.facts.routes):
        found.append("a router has changed its route to the address that stays")
    return found
