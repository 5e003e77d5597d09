"""What the fabric does to a service: silent failures with all links up, all uplinks cut at once, split brain.

What these have in common is that the routers and the election see different things. A mute node's routes stay in the
routers until the BGP hold time, so that only a better route takes its place (the agent's `takeover`); a node without
uplinks is gone for the routers long before a VRRP timer expires (`standby = "announce"`); and if only the adverts are
lost, there are two Actives that the routers reach equally well.
"""

from __future__ import annotations

import os
import random
import signal
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import ClassVar

from lab.addressing import SERVERS, Machine
from lab.datacentre import DataCentre
from lab.scenarios import (
    BUDGET_MS,
    HANDOVER_LIMIT,
    NODE1,
    NODE2,
    NODE3,
    REROUTE_MS,
    TAIL,
    Causes,
    Run,
    Scenario,
    Strike,
    Takeover,
    arm_cut,
    check_end,
    check_lossless,
    check_outage,
    check_takeover,
    down_interval,
    dropped_at_arrival,
    scenario,
    skew_time,
)
from lab.servers import PREPENDS, Armed, ServerPlan
from lab.timeline import SETTLED
from lab.topology import LabError, link_up

MUTE = "mute"


def dropped_on_leaving(match: str, node: Machine) -> str:
    """nft: what matches is dropped before it leaves a ToR's port to a node."""
    rule = f"type filter hook postrouting priority 0; oifname {node.name} {match} drop;"
    return f"table inet lab_{node.name} {{ chain leaving {{ {rule} }}; }}"


def mute_rules(node: Machine) -> list[str]:
    """For a ToR, at its port to the node. In the node itself every send would fail with EPERM, so that the agent would
    notice; it must not notice a silent failure.
    """
    neighbors = f"type filter hook output priority 0; oifname {node.name} drop;"
    return [
        dropped_at_arrival("", node),
        dropped_on_leaving("", node),
        f"table arp lab_{node.name} {{ chain leaving {{ {neighbors} }}; }}",
    ]


def arm_mute(lab: DataCentre, node: Machine) -> Strike:
    armed = [Armed.nft(lab.topology[tor.name]) for tor in lab.fabric.site.racks[node.name]]

    def strike() -> float:
        now = time.time()
        for tor in armed:
            tor.fire(mute_rules(node))
        return lab.incident(now, node, MUTE)

    return strike


def elected_ms(plan: ServerPlan, node: Machine) -> float:
    return down_interval(plan.interval, node) * 1e3 + BUDGET_MS


def check_elected(runs: Sequence[Run], name: str, allowed_ms: float) -> list[str]:
    """The new Active was elected in time, whatever the routers did (median)."""
    known = [moment for run in runs if (moment := run.timeline.phases["elected"]) is not None]
    if known and (measured := median(known)) > allowed_ms:
        return [f"{name} is Active after {measured:.0f} ms (median), more than {allowed_ms:.0f} ms"]
    return []


def by_default(usual: ServerPlan) -> ServerPlan:
    """The agent's own default, takeover by MED, unless the command line names another one."""
    return usual if usual.takeover else replace(usual, takeover=("med",))


def with_takeover(usual: ServerPlan) -> ServerPlan:
    """Takeover by a shorter path, which works in every site, unless the command line names another one."""
    return usual if usual.takeover else replace(usual, takeover=("prepend",))


@scenario
class MuteNode(Takeover):
    """The routers keep the mute node's route until the hold time of its BGP sessions is over, long after the election.
    Until then only a better route wins.
    """

    name = "mute-node"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),)
    summary = "every packet from and to the Active is dropped while its links are up, so that only timers notice"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return by_default(usual)

    def allowed_ms(self, plan: ServerPlan) -> float:
        if plan.compared_everywhere:
            return super().allowed_ms(plan)
        return plan.hold * 1e3 + BUDGET_MS * 10

    def expectation(self, plan: ServerPlan) -> str:
        if plan.compared_everywhere:
            return super().expectation(plan)
        return (
            f"node2 becomes Active (active-down-timeout) within {elected_ms(plan, NODE2):.0f} ms; the outage is the"
            f" fabric's: the routers forget the mute node's route when their hold time of {plan.hold} s is over,"
            f" so at most {self.allowed_ms(plan):.0f} ms"
        )

    def limit(self, plan: ServerPlan) -> float:
        return super().limit(plan) + (0 if plan.compared_everywhere else plan.hold)

    def arm(self, lab: DataCentre) -> Strike:
        return arm_mute(lab, NODE1)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return super().judge(runs, plan) + check_elected(runs, NODE2.name, elected_ms(plan, NODE2))


@scenario
class MuteTwo(Scenario):
    """The second node to fail silently already has a better route than the first. Its successor needs a still better
    one.
    """

    name = "mute-two"
    causes = (
        (NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),
        (NODE3.name, f"Verdict: {NODE2.name} fell silent on every path at once"),
    )
    summary = "the Active fails silently as in mute-node, and its successor does so soon after"
    after = NODE3

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return with_takeover(usual)

    def expectation(self, plan: ServerPlan) -> str:
        first, second = (elected_ms(plan, node) for node in (NODE2, NODE3))
        return (
            f"node2, then node3 becomes Active (active-down-timeout); the outage (median) is at most {first:.0f} ms"
            f" at the first, {second:.0f} ms at the second, and no other probe is lost"
        )

    def arm(self, lab: DataCentre) -> Strike:
        return arm_mute(lab, NODE1)

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_serving(NODE2.name, self.limit(plan))
        lab.watch(SECOND)
        strike = arm_mute(lab, NODE2)
        lab.await_phase(NODE2, plan.interval, random.Random(lab.fabric.seed).random())
        strike()
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        violations = []
        for number, run in enumerate(runs, 1):
            given = [(each.node, each.reason) for each in run.timeline.transitions if each.after == "active"]
            if given[:1] + given[-1:] != [(NODE2.name, "active-down-timeout"), (NODE3.name, "active-down-timeout")]:
                words = ", ".join(f"{node} ({reason})" for node, reason in given)
                violations.append(
                    f"run {number}: node2, then node3 should become Active (active-down-timeout): {words}"
                )
            if lost := sum(each.lost for each in run.timeline.outages) - lost_by_silence(run):
                violations.append(f"run {number}: {lost} probes lost beside the two outages")
        for node, outages in zip((NODE2, NODE3), zip(*map(both_outages, runs), strict=True), strict=True):
            if (measured := median(outages)) > elected_ms(plan, node):
                violations.append(
                    f"until {node.name} answered (median of {len(runs)}) it took {measured:.0f} ms,"
                    f" more than {elected_ms(plan, node):.0f} ms"
                )
        return violations


SECOND = 1.5
"Seconds from the first takeover to the second silent failure: an Active's MED encodes whole seconds."


def moments_of_silence(run: Run) -> list[float]:
    """When nodes were muted, in ms after the event."""
    return [(each.time - run.timeline.event) * 1e3 for each in run.facts.incidents if each.what == MUTE]


def both_outages(run: Run) -> tuple[float, float]:
    """The outage after each of two silent failures, in ms; infinite for a second one that did not happen."""
    first, *later = moments_of_silence(run)
    if not later:
        return run.timeline.outage_ms, float("inf")
    return run.timeline.outage_between(first, later[0]), run.timeline.outage_between(later[0], float("inf"))


def lost_by_silence(run: Run) -> int:
    """The probes lost in the outages that began with a silent failure."""
    lost = 0
    for moment in moments_of_silence(run):
        begun = [each for each in run.timeline.outages if abs(each.start - moment) <= BUDGET_MS]
        lost += max((each.lost for each in begun), default=0)
    return lost


@scenario
class MuteReturn(Takeover):
    """After a silent failure the new Active's path is shorter. It must become an ordinary one again, before there is no
    prepend left to remove at the next failure.
    """

    name = "mute-return"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),)
    summary = "the Active fails silently as in mute-node; observed until its successor's route is ordinary again"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        plan = with_takeover(usual)
        if "prepend" not in plan.takeover:
            raise LabError("mute-return is about paths that become shorter and longer: it needs --takeover prepend")
        return replace(plan, stale_for=plan.hold + STALE_MARGIN)

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"{super().expectation(plan)}; {plan.window:g} s later the path has its {PREPENDS} prepends again,"
            " and no probe is lost for that"
        )

    def arm(self, lab: DataCentre) -> Strike:
        return arm_mute(lab, NODE1)

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_serving(NODE2.name, self.limit(plan))
        self._await_prepends(lab, PREPENDS - 1, self.limit(plan))
        lab.watch(plan.window - STALE_MARGIN)
        self._await_prepends(lab, PREPENDS, STALE_MARGIN + self.limit(plan))
        lab.watch(2 * TAIL)

    def _await_prepends(self, lab: DataCentre, wanted: int, limit: float) -> None:
        """Waits until the best path of each gate has so many prepends, and records when it had."""
        asn = lab.fabric.site.asn(NODE2)
        waiting = list(lab.fabric.site.gates)

        def reached() -> bool:
            for gate in list(waiting):
                if lab.best_path(gate).count(asn) == wanted + 1:
                    waiting.remove(gate)
                    lab.incident(time.time(), gate, f"{wanted} prepends")
            return not waiting

        lab.await_seen(f"a best path with {wanted} prepends", limit, reached)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        violations = super().judge(runs, plan)
        for number, run in enumerate(runs, 1):
            if lost := sum(each.lost for each in run.timeline.outages) - lost_by_silence(run):
                violations.append(f"run {number}: {lost} probes lost beside the takeover")
        return violations


STALE_MARGIN = 2
"Seconds for which a silent failure counts beyond the routers' hold time, which restarts with each message."


@scenario
class CutUplinks(Takeover):
    """The routers see it at once. If Backups announce, they already know another path."""

    name = "cut-uplinks"
    causes: ClassVar[tuple[tuple[str, str], ...]] = ((NODE2.name, f"Verdict: {NODE1.name} fell silent on"),)
    summary = "all uplinks of the Active go down; the node itself runs on"

    def allowed_ms(self, plan: ServerPlan) -> float:
        return REROUTE_MS if plan.standby else super().allowed_ms(plan)

    def expectation(self, plan: ServerPlan) -> str:
        if not plan.standby:
            return super().expectation(plan)
        return (
            "the routers use a Backup's route at once; the outage (median) depends on them, not on the election:"
            f" at most {self.allowed_ms(plan):.0f} ms; node2 becomes Active ({self.reason})"
        )

    def arm(self, lab: DataCentre) -> Strike:
        return arm_cut(lab, lab.fabric.site.uplinks(NODE1), "all uplinks cut")

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_actives((NODE2.name,), self.limit(plan))
        super().outcome(lab, plan)


class CutShortly(CutUplinks):
    """The routers close their sessions at once, and ExaBGP does not notice. A cut that is shorter than three intervals
    is over before any Backup acts; its node has no session then, and must not stay Active without one.
    """

    causes = (
        (NODE1.name, "session-(changed .* state=down|cut-off)|too few BGP sessions"),
        (NODE2.name, f"Verdict: {NODE1.name} (fell silent on|has resigned)"),
    )
    lasts: ClassVar[float]
    "seconds"

    def expectation(self, plan: ServerPlan) -> str:
        return (
            "node2 becomes Active (active-down-timeout, or peer-resigned when the cut is over); nobody"
            f" answers for at most {self.allowed_ms(plan):.0f} ms (median); then node1 comes back without loss"
        )

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        healing = [(link, Armed.ip(lab.topology[link.router.name])) for link in lab.fabric.site.uplinks(NODE1)]
        lab.watch(self.lasts)
        lab.incident(time.time(), NODE1, "all uplinks back")
        for link, ip in healing:
            ip.fire(link_up(link, link.router))
        lab.await_actives((NODE2.name,), self.limit(plan))
        lab.await_settled(NODE1.name, self.limit(plan) + HANDOVER_LIMIT)
        lab.await_serving(NODE1.name, self.limit(plan))
        lab.watch(TAIL + SETTLED)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        violations = check_end(runs, NODE1)
        firsts = [run.timeline.outages[0].length for run in runs if run.timeline.outages]
        if firsts and (measured := median(firsts)) > self.allowed_ms(plan):
            violations.append(
                f"nobody answers for {measured:.0f} ms (median), more than {self.allowed_ms(plan):.0f} ms"
            )
        for number, run in enumerate(runs, 1):
            reasons = [each.reason for each in run.timeline.transitions if each.after == "active"]
            if reasons[:1] not in (["active-down-timeout"], ["peer-resigned"]):
                violations.append(f"run {number}: node2 should become Active, but: {', '.join(reasons) or 'none'}")
            if lost := sum(each.lost for each in run.timeline.outages[1:]):
                violations.append(f"run {number}: {lost} probes lost beside the outage")
        return violations


for _ms in (100, 250, 500, 1000, 5000):
    _told = f"all uplinks of the Active go down for {_ms} ms; the node itself runs on"
    scenario(type(f"Cut{_ms}", (CutShortly,), {"name": f"cut-uplinks-{_ms}", "summary": _told, "lasts": _ms / 1e3}))


ADVERTS = "meta l4proto 112"


@scenario
class Partition(Scenario):
    """Two Actives that the routers reach equally well. The later one's route is better until adverts arrive again; then
    the Active with the lower priority becomes Backup. Where MEDs are not compared, the path decides.
    """

    name = "partition"
    causes: ClassVar[Causes] = (
        (NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),
        (NODE2.name, f"Verdict: {NODE1.name} says [0-9]+, which is more than our"),
    )
    summary = "adverts from and to the Active are dropped for 5 s, and nothing else: two Actives"
    after = NODE1
    muted: ClassVar[Sequence[Machine]] = (NODE1,)
    "whose adverts are dropped, and those to them"
    heirs: ClassVar[Sequence[str]] = (NODE2.name,)
    "who may answer meanwhile: one of these"
    reason: ClassVar[str] = "active-down-timeout"
    turns_ms: ClassVar[float] = REROUTE_MS
    "for which two nodes may take turns"
    lasts: ClassVar[float] = 5.0
    "seconds"
    tables: ClassVar[Sequence[str]] = ("netdev", "inet")
    "nft families of the tables that ``rules`` makes"

    def rules(self, node: Machine) -> list[str]:
        """What drops the adverts, for nft in the machines of ``_ports``."""
        return [dropped_at_arrival(ADVERTS, node), dropped_on_leaving(ADVERTS, node)]

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return with_takeover(usual) if usual.site.spines else by_default(usual)

    def elected_ms(self, plan: ServerPlan) -> float:
        return max(elected_ms(plan, plan.site.machine(heir)) for heir in self.heirs)

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"{self.heirs[0]} becomes Active too within {self.elected_ms(plan):.0f} ms (median) and answers alone"
            f" until they hear each other again, then node1 alone; no other change, each over within {REROUTE_MS:.0f}"
            f" ms, with an outage (median) of at most {BUDGET_MS:.0f} ms"
        )

    def _ports(self, lab: DataCentre) -> list[tuple[Armed, list[Machine]]]:
        """Each ToR, with the nodes that it is to drop adverts of."""
        ports: dict[str, list[Machine]] = {}
        for node in self.muted:
            for tor in lab.fabric.site.racks[node.name]:
                ports.setdefault(tor.name, []).append(node)
        return [(Armed.nft(lab.topology[tor]), nodes) for tor, nodes in ports.items()]

    def arm(self, lab: DataCentre) -> Strike:
        armed = self._ports(lab)

        def strike() -> float:
            now = time.time()
            for tor, nodes in armed:
                tor.fire([rule for node in nodes for rule in self.rules(node)])
            return lab.incident(now, self.muted[0], "cut off from all adverts")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        healing = self._ports(lab)
        lab.watch(self.lasts)
        lab.incident(time.time(), self.muted[0], HEALED)
        for tor, nodes in healing:
            tor.fire([f"delete table {family} lab_{node.name}" for node in nodes for family in self.tables])
        self.ended(lab, plan)

    def ended(self, lab: DataCentre, plan: ServerPlan) -> None:
        """Waits until node1 alone serves."""
        lab.await_settled(NODE1.name, self.limit(plan) + HANDOVER_LIMIT)
        lab.await_serving(NODE1.name, self.limit(plan))
        lab.watch(TAIL + SETTLED)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        violations = (
            check_takeover(runs, NODE1, self.reason)
            + check_elected(runs, self.heirs[0], self.elected_ms(plan))
            + check_outage(runs, BUDGET_MS)
            + check_end(runs, NODE1)
        )
        for number, run in enumerate(runs, 1):
            violations += [f"run {number}: {words}" for words in wrong_moves(run, self.heirs, self.turns_ms)]
        return violations


@scenario
class PartitionAll(Partition):
    """Each node hears nobody, and the second and the third take over 20 ms apart, most often within one second. Their
    MEDs must not be equal: the later one's is smaller, and within one second the one's with the larger address.
    """

    name = "partition-all"
    causes = tuple((node.name, f"Verdict: {NODE1.name} fell silent on every path at once") for node in (NODE2, NODE3))
    summary = "all adverts between any two nodes are dropped for 5 s, and nothing else: three Actives"
    muted = SERVERS
    heirs = (NODE2.name, NODE3.name)

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        plan = by_default(usual)
        if "med" not in plan.takeover or plan.site.spines:
            raise LabError("partition-all is about MEDs that the gates compare: it needs --takeover med, in one rack")
        return plan

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node2 and node3 become Active, too, the first within {self.elected_ms(plan):.0f} ms (median), and one"
            " of them answers alone until they hear each other again, then node1 alone; no other change, each over"
            f" within {REROUTE_MS:.0f} ms; no probe lost"
        )

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return super().judge(runs, plan) + check_lossless(runs)


@scenario
class PartitionOne(Partition):
    """node1 and node2 hear each other, so that nobody of them takes over; node3 does, and draws the traffic."""

    name = "partition-one"
    causes = ((NODE3.name, f"Verdict: {NODE1.name} fell silent on every path at once"),)
    summary = (
        "adverts from and to the last node are dropped for 5 s, and nothing else: node3 becomes Active beside node1"
    )
    muted = (NODE3,)
    heirs = (NODE3.name,)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return super().judge(runs, plan) + check_lossless(runs)


@scenario
class DeafNode(Partition):
    """node3 is heard and hears nobody. It takes over beside node1, and draws the traffic; node1 draws it back."""

    name = "deaf-node"
    causes = (
        (NODE1.name, "peer-deaf"),
        (NODE3.name, f"Verdict: {NODE1.name} fell silent on every path at once"),
    )
    summary = "a Backup drops the adverts that arrive, and nothing else, for 5 s: it takes over, and is heard"
    muted = (NODE3,)
    heirs = (NODE3.name,)
    tables = ("inet",)

    def rules(self, node: Machine) -> list[str]:
        """On the node itself, as by a firewall."""
        hook = f"type filter hook input priority 0; {ADVERTS} drop;"
        return [f"table inet lab_{node.name} {{ chain arriving {{ {hook} }}; }}"]

    def _ports(self, lab: DataCentre) -> list[tuple[Armed, list[Machine]]]:
        return [(Armed.nft(lab.topology[node.name]), [node]) for node in self.muted]

    def allowed_ms(self, plan: ServerPlan) -> float:
        return 3 * plan.interval * 1e3 + BUDGET_MS

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node3 becomes Active too within {self.elected_ms(plan):.0f} ms (median), and answers for at most three"
            f" intervals and {BUDGET_MS:.0f} ms (the routers), {self.allowed_ms(plan):.0f} ms; then node1 answers"
            " alone, also when node3 hears again; no probe lost, but for one that meets a router between two routes"
        )

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        violations = (
            check_takeover(runs, NODE1, self.reason)
            + check_elected(runs, NODE3.name, self.elected_ms(plan))
            + check_end(runs, NODE1)
            + check_lossless(runs)
        )
        for number, run in enumerate(runs, 1):
            lasts, probes, share = drawn(run, NODE3.name)
            if lasts > self.allowed_ms(plan):
                violations.append(
                    f"run {number}: node3 answered {probes} probes ({share:.0%} of them) over {lasts:.0f} ms,"
                    f" which should be at most {self.allowed_ms(plan):.0f} ms"
                )
        return violations


def drawn(run: Run, node: str) -> tuple[float, int, float]:
    """From the first to the last probe after the event that ``node`` answered: ms, how many, and their share there."""
    later = [each for each in run.facts.probes if each.sent >= run.timeline.event and each.node is not None]
    sent = [each.sent for each in later if each.node == node]
    if not sent:
        return 0.0, 0, 0.0
    meanwhile = [each for each in later if sent[0] <= each.sent <= sent[-1]]
    return (sent[-1] - sent[0]) * 1e3, len(sent), len(sent) / len(meanwhile)


class Freeze(Partition):
    """A process that is stopped (SIGSTOP) and goes on later. Its routes stay, as its sessions do with a hold time of
    180 s, and what the kernel has bound is answered.
    """

    lasts: ClassVar[float] = 5.0

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        return replace(super().plan(usual, lab), hold=EXABGP_HOLD)

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node2 becomes Active ({self.reason}) within {self.elected_ms(plan):.0f} ms (median) and answers alone"
            " until node1 goes on, then node1 alone; no other change, no probe lost"
        )

    @abstractmethod
    def frozen(self, lab: DataCentre) -> list[int]:
        """The processes on node1, the first to be stopped first."""

    def arm(self, lab: DataCentre) -> Strike:
        pids = self.frozen(lab)

        def strike() -> float:
            now = time.time()
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            return lab.incident(now, NODE1, "stopped")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.watch(self.lasts)
        lab.incident(time.time(), NODE1, HEALED)
        for pid in reversed(self.frozen(lab)):
            os.kill(pid, signal.SIGCONT)
        self.ended(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return super().judge(runs, plan) + check_lossless(runs)


ANEW_MS = 1500.0
"""An ExaBGP that goes on closes a session now and then, and opens it a second later (5.0, one run in four): its router
follows later than the other one."""

EXABGP_HOLD = 180
"Seconds: ExaBGP's default hold time."


@scenario
class FreezeAgent(Freeze):
    name = "freeze-agent"
    causes = (
        (NODE1.name, "Verdict: this agent stood still"),
        (NODE2.name, f"Verdict: {NODE1.name} fell silent on every path at once"),
    )
    summary = "the agent on the Active is stopped (SIGSTOP) for 5 s"

    def frozen(self, lab: DataCentre) -> list[int]:
        return [lab.agent_process(NODE1)]


@scenario
class FreezeBoth(Freeze):
    name = "freeze-both"
    causes = FreezeAgent.causes
    summary = "the agent and ExaBGP on the Active are stopped (SIGSTOP) for 5 s"
    turns_ms = ANEW_MS

    def frozen(self, lab: DataCentre) -> list[int]:
        return [lab.agent_process(NODE1), lab.servers[NODE1.name].exabgp.process.pid]


@scenario
class FreezeExabgp(Freeze):
    """The agent notices it after 3 s, and hands over."""

    name = "freeze-exabgp"
    causes = (
        (NODE1.name, "ExaBGP does not answer"),
        (NODE2.name, f"Verdict: {NODE1.name} has resigned"),
    )
    summary = "ExaBGP on the Active is stopped (SIGSTOP) for 10 s; the agent runs on"
    reason = "peer-resigned"
    lasts = 10.0
    turns_ms = ANEW_MS

    def elected_ms(self, plan: ServerPlan) -> float:
        return STALL_MS + skew_time(plan.interval, NODE2) * 1e3 + BUDGET_MS

    def frozen(self, lab: DataCentre) -> list[int]:
        return [lab.servers[NODE1.name].exabgp.process.pid]


STALL_MS = 4000.0
"After 1 s without a line from ExaBGP the agent asks, and twice more, 1 s apart, before ExaBGP counts as stalled."

HEALED = "goes on: hears and is heard again"


def wrong_moves(run: Run, heirs: Sequence[str], turns_ms: float = REROUTE_MS) -> list[str]:
    """The answering nodes, if not: node1, one of ``heirs`` from its election on, node1 from the partition's end on."""
    moves = run.timeline.moves
    healed = next(((each.time - run.timeline.event) * 1e3 for each in run.facts.incidents if each.what == HEALED), 0.0)
    seen = [(each.before, each.after, each.start > healed) for each in moves]
    wrong = []
    if seen not in [[(NODE1.name, heir, False), (heir, NODE1.name, True)] for heir in heirs]:
        words = ", ".join(f"{each.before} to {each.after} at {each.start:+.0f} ms" for each in moves) or "it did not"
        wrong.append(
            f"the answering node should go to {' or '.join(heirs)}, and back when healed at {healed:+.0f} ms, but:"
            f" {words}"
        )
    wrong += [
        f"from {each.before} to {each.after} they take turns for {each.length:.0f} ms, more than {turns_ms:.0f} ms"
        for each in moves
        if each.length > turns_ms
    ]
    return wrong
