"""What happens to the data centre, and the expected outcome.

A scenario is one class in the registry: a name, a one-line summary, what it expects in words, and up to five steps that
`run.py` calls in this order:

    plan     how the servers differ from the usual (before they run, but in the wired topology)
    prepare  what happens before the measurement
    arm      makes the event ready; its result, when called, triggers it at once and returns the time
    outcome  waits until the consequences are over
    judge    the violated expectations over all runs, in words

To add one, write a class with @scenario above it, here or in a module of scenarios that `__main__` imports.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import ClassVar

from lab.addressing import FAMILIES, PRIORITIES, SERVERS, Link, Machine
from lab.datacentre import DataCentre
from lab.facts import Facts, standings
from lab.servers import Armed, ServerPlan
from lab.timeline import Timeline

NODE1, NODE2, NODE3 = SERVERS
TAIL = 0.5
"Seconds of probing after the consequences are over, for losses that come late."
BUDGET_MS = 50.0
"Allowed for election, binding, announcing, the routers and the scheduler together, on top of the protocol's timers."


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it was measured."""

    timeline: Timeline
    facts: Facts
    complaints: tuple[str, ...] = ()
    "what did not happen within its limit"

    @property
    def active_at_end(self) -> tuple[str, ...]:
        found = standings(self.facts.incidents, self.facts.agents)
        return tuple(sorted(node for node, standing in found.items() if standing.state == "active"))


def down_interval(interval: float, node: Machine = NODE2) -> float:
    """Active_Down_Interval of a Backup, seconds (RFC 9568 §6.1): 3 × Active_Adver_Interval + Skew_Time."""
    return 3 * interval + skew_time(interval, node)


def skew_time(interval: float, node: Machine = NODE2) -> float:
    """Skew_Time of a Backup, seconds: ((256 − priority) × Active_Adver_Interval) / 256."""
    return (256 - PRIORITIES[node.name]) * interval / 256


Causes = tuple[tuple[str, str], ...]
Strike = Callable[[], float]
"Triggers the event; returns its time (seconds since the epoch)."


class Scenario(ABC):
    name: ClassVar[str]
    summary: ClassVar[str]
    before: ClassVar[Machine] = NODE1
    "the Active when the event comes"
    after: ClassVar[Machine] = NODE2
    "the Active when it is over"
    causes: ClassVar[Causes] = ()
    "nodes, each with what `exavrrp why` has to name there, when it is over or at a transition (regular expressions)"

    @abstractmethod
    def expectation(self, plan: ServerPlan) -> str:
        """In one sentence for people, with the figures of this run."""

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return usual

    def prepare(self, lab: DataCentre) -> None:
        lab.await_settled(NODE1.name)
        lab.start_probing()
        lab.await_serving(NODE1.name)

    @abstractmethod
    def arm(self, lab: DataCentre) -> Strike:
        """Prepares the event."""

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        """Raises Late when the consequences do not come."""
        lab.await_serving(self.after.name, self.limit(plan))
        lab.watch(TAIL)

    def limit(self, plan: ServerPlan) -> float:
        """Seconds to wait for the outcome; ten times what it should take, and never so little that a busy machine
        fails.
        """
        return 10 * down_interval(plan.interval) + 30

    @abstractmethod
    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        """The expectations that were violated, one line each."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(described: type[Scenario]) -> type[Scenario]:
    SCENARIOS[described.name] = described()
    return described


def median_outage(runs: Sequence[Run]) -> float:
    return median(run.timeline.outage_ms for run in runs)


def check_takeover(runs: Sequence[Run], new: Machine, reason: str) -> list[str]:
    """In every run `new` is Active at the end, and the first node that became Active did so for this reason.

    (On a busy machine node3's timer can fire before node2's, which is due only 20 ms earlier; node2 then takes over.)
    """
    violations = []
    for number, run in enumerate(runs, 1):
        if new.name not in run.active_at_end:
            violations.append(f"run {number}: {new.name} should be Active at the end")
        given = [each.reason for each in run.timeline.transitions if each.after == "active"]
        if given[:1] != [reason]:
            violations.append(
                f"run {number}: a node should become Active ({reason}), but: {', '.join(given) or 'none'}"
            )
    return violations


def check_outage(runs: Sequence[Run], allowed_ms: float) -> list[str]:
    if (measured := median_outage(runs)) > allowed_ms:
        return [f"the outage (median of {len(runs)}) is {measured:.0f} ms, more than {allowed_ms:.0f} ms"]
    return []


def check_lossless(runs: Sequence[Run]) -> list[str]:
    """In no run was a probe lost, but for those that met a router between two routes: both BIRD and FRR delete
    one to add the next (`timeline.REPLACING`).
    """
    return [
        f"run {number}: {run.timeline.probes_lost} probes lost, there should be none"
        for number, run in enumerate(runs, 1)
        if run.timeline.probes_lost > run.timeline.lost_between_routes
    ]


def check_end(runs: Sequence[Run], node: Machine) -> list[str]:
    """In every run this node alone is Active at the end."""
    return [
        f"run {number}: Active at the end: {', '.join(run.active_at_end) or 'nobody'}; expected: {node.name}"
        for number, run in enumerate(runs, 1)
        if run.active_at_end != (node.name,)
    ]


def check_actives(runs: Sequence[Run], wanted: tuple[str, ...]) -> list[str]:
    """In every run these nodes are Active at the end."""
    return [
        f"run {number}: Active at the end: {', '.join(run.active_at_end) or 'nobody'}, not {' and '.join(wanted)}"
        for number, run in enumerate(runs, 1)
        if run.active_at_end != wanted
    ]


def check_quiet(runs: Sequence[Run]) -> list[str]:
    """No node made a transition in any run."""
    return [
        f"run {number}: {each.node} went from {each.before} to {each.after} ({each.reason}), but nobody should"
        for number, run in enumerate(runs, 1)
        for each in run.timeline.transitions
    ]


class Takeover(Scenario):
    """node1 stops serving, node2 becomes Active within a time."""

    reason: ClassVar[str] = "active-down-timeout"

    def allowed_ms(self, plan: ServerPlan) -> float:
        return down_interval(plan.interval) * 1e3 + BUDGET_MS

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node2 becomes Active ({self.reason}); the outage (median) is at most 3 x {plan.interval * 1e3:g} ms"
            f" + Skew_Time {skew_time(plan.interval) * 1e3:.0f} ms + {BUDGET_MS:.0f} ms"
            f" = {self.allowed_ms(plan):.0f} ms"
        )

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return check_takeover(runs, self.after, self.reason) + check_outage(runs, self.allowed_ms(plan))


@scenario
class KillNode(Takeover):
    name = "kill-node"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),)
    summary = "the Active loses power: its links go down, its processes are gone"

    def arm(self, lab: DataCentre) -> Strike:
        return lab.arm_power_off(NODE1)


def dropped_at_arrival(match: str, node: Machine = NODE1) -> str:
    """nft: what matches and arrives at a ToR's port to a node is dropped before anything in the ToR has seen it."""
    rule = f"type filter hook ingress device {node.name} priority 0; {match} drop;"
    return f"table netdev lab_{node.name} {{ chain arriving {{ {rule} }}; }}"


@scenario
class StopAbrupt(Takeover):
    """ExaBGP tells its processes, waits 0.1 s and closes its sessions."""

    name = "stop-abrupt"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} has resigned"),)
    summary = "ExaBGP on the Active is stopped (SIGTERM) without being drained first"
    reason = "peer-resigned"

    def allowed_ms(self, plan: ServerPlan) -> float:
        return skew_time(plan.interval) * 1e3 + EXABGP_GRACE_MS + BUDGET_MS

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node2 becomes Active ({self.reason}); the outage (median) is at most Skew_Time"
            f" {skew_time(plan.interval) * 1e3:.0f} ms + ExaBGP's grace {EXABGP_GRACE_MS:.0f} ms + {BUDGET_MS:.0f} ms"
            f" = {self.allowed_ms(plan):.0f} ms"
        )

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.incident(lab.servers[NODE1.name].stop_exabgp(), NODE1, "ExaBGP stopped")


EXABGP_GRACE_MS = 100.0
"What ExaBGP 4.2 and 5.0 wait between their shutdown line and the end of their processes and sessions."


class Unmoved(Scenario):
    """A fault on the path that a single copy of each advert would take, without a transition."""

    after = NODE1

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        lab.hashed_uplink()
        return usual

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.watch(OBSERVE_INTERVALS * down_interval(plan.interval))
        lab.await_serving(NODE1.name, self.limit(plan))


def arm_cut(lab: DataCentre, links: Sequence[Link], told: str) -> Strike:
    """Uplinks of node1 go down, each at its router."""
    armed = [(link, Armed.ip(lab.topology[link.router.name])) for link in links]

    def strike() -> float:
        now = time.time()
        for link, ip in armed:
            ip.fire([f"link set {link.router_interface} down"])
        return lab.incident(now, NODE1, told)

    return strike


OBSERVE_INTERVALS = 10
"After so many Active_Down_Intervals without a transition none is expected any more."


ENOUGH: Causes = (
    (NODE1.name, "session-changed .* state=down"),
    (NODE1.name, "not moved it: 1 BGP session is enough"),
)
"What node1 names where a session ends and another one is left."

REROUTE_MS = 250.0
"BIRD needs about 5; FRR's bgpd lets a change wait 50 ms in the ToR, in the client and in the ToR again."


@scenario
class CutUplink(Unmoved):
    name = "cut-uplink"
    causes: ClassVar[Causes] = ((NODE2.name, "path-quiet"),)
    summary = "one uplink of the Active goes down: the one its adverts to the first Backup would be hashed to"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return f"no transition; probes are lost only while the routers find the other path, at most {REROUTE_MS:.0f} ms"

    def link(self, lab: DataCentre) -> Link:
        """The uplink of node1 that breaks."""
        return lab.hashed_uplink()

    def arm(self, lab: DataCentre) -> Strike:
        link = self.link(lab)
        return arm_cut(lab, [link], f"{link.member_interface} cut")

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_quiet(runs) + check_outage(runs, REROUTE_MS)


@scenario
class GrayPath(Unmoved):
    name = "gray-path"
    causes = ((NODE2.name, "path-quiet"),)
    summary = "one path drops the Active's adverts and nothing else: the one all of them would be hashed to"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "no transition, no probe lost, and the Backups log which path went quiet"

    def arm(self, lab: DataCentre) -> Strike:
        link = lab.hashed_uplink()
        armed = Armed.nft(lab.topology[link.router.name])

        def strike() -> float:
            now = time.time()
            armed.fire([dropped_at_arrival("meta l4proto 112")])
            return lab.incident(now, NODE1, f"{link.member_interface} gray")

        return strike

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        violations = check_quiet(runs) + check_lossless(runs)
        for number, run in enumerate(runs, 1):
            gray = next(each.what.split()[0] for each in run.facts.incidents if each.what.endswith("gray"))
            if not any(quiet_path(run, node, gray) for node in (NODE2, NODE3)):
                violations.append(f"run {number}: no Backup has logged that the path over {gray} went quiet")
        return violations


def quiet_path(run: Run, node: Machine, interface: str) -> bool:
    """This node has logged, since the event, that node1's adverts no longer arrive on this interface."""
    peers = {str(NODE1.loopback(family)) for family in FAMILIES}
    return any(
        each.node == node.name
        and each.event == "path-quiet"
        and each.time >= run.timeline.event
        and each.field("interface") == interface
        and each.field("peer") in peers
        for each in run.facts.agents
    )


@scenario
class GrayPathSingle(GrayPath):
    """The control: one copy of each advert, over the path that the kernel chooses."""

    name = "gray-path-single"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} fell silent on eth., the only path"),)
    summary = "the control to gray-path: the same, but adverts are sent over that path only"
    after = NODE2

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node2 hears no more adverts and becomes Active too: two Actives"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        return replace(usual, interfaces=(lab.hashed_uplink().member_interface,))

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_actives((NODE1.name, NODE2.name), self.limit(plan))
        lab.watch(TAIL)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        wanted = (NODE1.name, NODE2.name)
        return check_actives(runs, wanted)


RETURNED = (
    (NODE1.name, f"Verdict: the Active says less than we: {NODE2.name} says"),
    (NODE2.name, f"Verdict: {NODE1.name} says [0-9]+, which is more than our"),
)
"What the nodes name where node1 takes over again."


@scenario
class Comeback(Scenario):
    name = "comeback"
    causes: ClassVar[Causes] = RETURNED
    summary = "the preferred node returns after a power cut and takes over again"
    before = NODE2
    after = NODE1

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node1 becomes Active again, node2 hands over and becomes Backup; no probe lost"

    def prepare(self, lab: DataCentre) -> None:
        lab.await_settled(NODE1.name)
        lab.arm_power_off(NODE1)()
        lab.await_settled(NODE2.name)
        lab.start_probing()
        lab.await_serving(NODE2.name)

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.power_on(NODE1)

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_settled(NODE1.name, self.limit(plan) + HANDOVER_LIMIT)
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_end(runs, NODE1) + check_lossless(runs)


HANDOVER_LIMIT = 60.0
"Seconds; starting ExaBGP takes about 2, the handover 3 (handover_hold + linger)."
