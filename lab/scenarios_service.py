"""The service: what users notice of maintenance, failed services, crashes and restarts; in most cases nothing.

In most of these scenarios a node gives the address up, or its agent restarts, while it could serve on. Then no probe
may be lost: the old Active answers until the new one does (make before break), and what a killed agent has left behind
stays in place until the election is decided. Every probe of every run is judged, not a median.

`fail-check` is the exception. There the service itself is dead, so that every probe is lost until another node answers,
and the time this may take is counted from its death.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median
from typing import ClassVar

from lab.addressing import TORS, Machine
from lab.datacentre import DataCentre
from lab.facts import AgentEvent
from lab.scenarios import (
    HANDOVER_LIMIT,
    NODE1,
    NODE2,
    NODE3,
    RETURNED,
    TAIL,
    Comeback,
    Run,
    Scenario,
    Strike,
    check_end,
    check_lossless,
    check_takeover,
    dropped_at_arrival,
    scenario,
    skew_time,
)
from lab.servers import ROOT, SERVICE_PORT, Armed, ServerPlan

COMMAND_LIMIT = 60.0
"Seconds; twice what a drain waits for a successor at most (handover_ceiling)."
DRAIN = ("drain", "--wait")
DROP_IN = ROOT / "exabgp" / "exabgp.service.d" / "exavrrp.conf"
NOBODY_TOOK_OVER = 3
"Exit status of `exavrrp drain --wait` when this node serves on."


def check_command(runs: Sequence[Run], status: int) -> list[str]:
    """In every run the first command ended with this exit status."""
    violations = []
    for number, run in enumerate(runs, 1):
        for command in run.facts.commands[:1]:
            if command.status != status:
                said = f": {command.said}" if command.said else ""
                violations.append(
                    f"run {number}: exavrrp {command.words} ended with {command.status}, not {status}{said}"
                )
        if not run.facts.commands:
            violations.append(f"run {number}: no command was given or none has ended")
    return violations


def exec_stop(drop_in: str) -> tuple[str, ...]:
    """What a drop-in for systemd has exavrrp do before ExaBGP gets its SIGTERM: the words after the program's name."""
    (line,) = [line for line in drop_in.splitlines() if line.startswith("ExecStop=")]
    # "-" means that a failure does not stop the stop (systemd.service(5)).
    return tuple(shlex.split(line.removeprefix("ExecStop=").lstrip("-"))[1:])


class Planned(Scenario):
    """A command of exavrrp on node1 begins it, and the address moves before the old Active lets go."""

    def words(self) -> tuple[str, ...]:
        """The command."""
        return DRAIN

    def arm(self, lab: DataCentre) -> Strike:
        words = self.words()
        return lambda: lab.incident(lab.command(NODE1, *words), NODE1, f"exavrrp {' '.join(words)}")

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        """If the command failed, there is nothing to wait for."""
        if lab.await_command(COMMAND_LIMIT).status == 0:
            lab.await_at_rest(NODE1.name, HANDOVER_LIMIT)
            super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return [
            *check_command(runs, 0),
            *check_takeover(runs, self.after, "peer-resigned"),
            *check_end(runs, self.after),
            *check_lossless(runs),
        ]


@scenario
class Stop(Planned):
    name = "stop"
    causes = ((NODE2.name, f"Verdict: {NODE1.name} has resigned"),)
    summary = "ExaBGP on the Active is stopped as systemd does with our drop-in: ExecStop drains it, then SIGTERM"

    def words(self) -> tuple[str, ...]:
        return exec_stop(DROP_IN.read_text())

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node2 becomes Active (peer-resigned) while node1 still serves; no probe lost"

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        """systemd sends SIGTERM whatever became of ExecStop."""
        lab.await_command(COMMAND_LIMIT)
        lab.incident(lab.servers[NODE1.name].stop_exabgp(), NODE1, "SIGTERM for ExaBGP")
        lab.await_at_rest(NODE1.name, HANDOVER_LIMIT)
        lab.await_serving(NODE2.name, self.limit(plan))
        lab.watch(TAIL)


@scenario
class Drain(Planned):
    name = "drain"
    causes = (
        (NODE1.name, "Verdict: it was drained by an operator"),
        (NODE2.name, f"Verdict: {NODE1.name} has resigned"),
    )
    summary = "the Active is drained (exavrrp drain --wait)"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "node2 becomes Active (peer-resigned) while node1 still serves; the command waits for that and ends with"
            " exit status 0; no probe lost"
        )


@scenario
class Undrain(Planned):
    name = "undrain"
    causes = ((NODE1.name, "drain-ended"), *RETURNED)
    summary = "the preferred node, drained before, rejoins the election (exavrrp undrain)"
    before = NODE2
    after = NODE1

    def words(self) -> tuple[str, ...]:
        return ("undrain",)

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node1 becomes Active again, node2 hands over and becomes Backup; no probe lost"

    def prepare(self, lab: DataCentre) -> None:
        lab.await_settled(NODE1.name)
        lab.command(NODE1, *DRAIN)
        lab.await_command(COMMAND_LIMIT)
        lab.observers.commands.clear()
        lab.await_at_rest(NODE1.name, HANDOVER_LIMIT)
        lab.start_probing()
        lab.await_serving(NODE2.name)

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_command(COMMAND_LIMIT)
        lab.await_settled(NODE1.name, self.limit(plan) + HANDOVER_LIMIT)
        lab.await_serving(NODE1.name, self.limit(plan))
        lab.watch(TAIL)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_command(runs, 0) + check_end(runs, NODE1) + check_lossless(runs)


@scenario
class Nobody(Scenario):
    """Draining must not be able to switch a service off."""

    name = "nobody"
    causes = ((NODE1.name, "drain-cancelled"),)
    summary = "the Active is drained (exavrrp drain --wait), but both Backups are stopped: there is no successor"
    after = NODE1
    ceiling: ClassVar[float] = 2.0
    "seconds; the default of 30 only makes it longer"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            f"node1 serves on and says so after {self.ceiling:g} s: exit status {NOBODY_TOOK_OVER}, drain-cancelled in"
            " its log; no probe lost"
        )

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        return replace(usual, virtual_router=(*usual.virtual_router, f"handover_ceiling = {self.ceiling}"))

    def prepare(self, lab: DataCentre) -> None:
        lab.await_settled(NODE1.name)
        for backup in (NODE2, NODE3):
            lab.incident(lab.servers[backup.name].stop_exabgp(), backup, "ExaBGP stopped")
        for backup in (NODE2, NODE3):
            lab.await_logged(backup, "agent-stopped", 0, HANDOVER_LIMIT)
        super().prepare(lab)

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.incident(lab.command(NODE1, *DRAIN), NODE1, f"exavrrp {' '.join(DRAIN)}")

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_command(COMMAND_LIMIT)
        lab.await_settled(NODE1.name, self.limit(plan))
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        silent = [
            f"run {number}: node1 has not logged drain-cancelled"
            for number, run in enumerate(runs, 1)
            if not any(logged(run, NODE1, "drain-cancelled"))
        ]
        return check_command(runs, NOBODY_TOOK_OVER) + silent + check_end(runs, NODE1) + check_lossless(runs)


def logged(run: Run, node: Machine, event: str) -> Iterable[AgentEvent]:
    """What a node's agent has logged by this name since the event, in the order of time."""
    return (
        each
        for each in run.facts.agents
        if (each.node, each.event) == (node.name, event) and each.time >= run.timeline.event
    )


class StartedAnew(Scenario):
    """The agent on the Active ends, and ExaBGP, whose sessions stay up, restarts it."""

    after = NODE1

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "node1 is Active at the end, whichever node was in between; no probe lost"

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        struck = lab.observers.incidents[-1].time
        lab.await_logged(NODE1, "agent-started", struck, HANDOVER_LIMIT)
        lab.await_settled(NODE1.name, self.limit(plan) + HANDOVER_LIMIT)
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_end(runs, NODE1) + check_lossless(runs)


@scenario
class KillAgent(StartedAnew):
    name = "kill-agent"
    causes = ((NODE1.name, "the agent before had been killed or had crashed, and ExaBGP ran on"),)
    summary = "the agent on the Active is killed (SIGKILL); ExaBGP runs on and restarts it"

    def arm(self, lab: DataCentre) -> Strike:
        agent = lab.agent_process(NODE1)

        def strike() -> float:
            now = time.time()
            os.kill(agent, signal.SIGKILL)
            return lab.incident(now, NODE1, "SIGKILL for the agent")

        return strike


@scenario
class RestartExabgp(StartedAnew):
    name = "restart-exabgp"
    causes = ((NODE1.name, r"ExaBGP had ended its agent \(SIGTERM\) and ran on, as in a full reload"),)
    summary = "ExaBGP on the Active gets a full reload (SIGUSR2): it ends the agent and starts a new one"

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.incident(lab.servers[NODE1.name].reload_exabgp(), NODE1, "SIGUSR2 for ExaBGP")


@scenario
class FailedReload(StartedAnew):
    """ExaBGP then ends the agent and starts no other one, and keeps its sessions and our routes: meanwhile both ToRs
    must have the route to node1, and no other.
    """

    name = "failed-reload"
    causes = ((NODE1.name, "ExaBGP had ended its agent and started no other one.*caretaker went on"),)
    summary = "ExaBGP on the Active reloads a missing file (SIGUSR1), which is restored 3 s later"
    broken: ClassVar[float] = 3.0
    "seconds: longer than any timeout of a node, and than two nodes may announce an address"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "no transition while ExaBGP has no agent, and each ToR has only the route to node1; a new agent runs after"
            " the repair; no probe lost"
        )

    def arm(self, lab: DataCentre) -> Strike:
        server = lab.servers[NODE1.name]

        def strike() -> float:
            server.hide_exabgp_configuration()
            return lab.incident(server.reload_exabgp(signal.SIGUSR1), NODE1, "SIGUSR1 for ExaBGP, its file is gone")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        struck = lab.observers.incidents[-1].time
        server = lab.servers[NODE1.name]
        lab.await_logged(NODE1, "exabgp-detached", struck, HANDOVER_LIMIT)
        lab.watch(max(struck + self.broken - time.time(), 0))
        server.restore_exabgp_configuration()
        lab.incident(server.reload_exabgp(signal.SIGUSR1), NODE1, REPAIRED)
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        found = [each for number, run in enumerate(runs, 1) for each in failed_reload(number, run)]
        return found + check_end(runs, NODE1) + check_lossless(runs)


REPAIRED = "SIGUSR1 for ExaBGP, its file is back"


def failed_reload(number: int, run: Run) -> list[str]:
    """What had changed at the repair, or between the failed reload and the repair."""
    repaired = next(each.time for each in run.facts.incidents if each.what == REPAIRED)
    violations = []
    for tor in TORS:
        changes = [each for each in run.facts.routes if each.machine == tor.name and each.time < repaired]
        if not changes or changes[-1].deleted or changes[-1].hops != (NODE1.name,):
            violations.append(f"run {number}: {tor.name} should have the route to node1 alone")
        elif changes[-1].time >= run.timeline.event:
            violations.append(f"run {number}: the table of {tor.name} has changed before the repair")
    taken = [each for each in run.timeline.transitions if each.node != NODE1.name and each.after == "active"]
    return violations + [f"run {number}: {each.node} has taken over ({each.reason})" for each in taken]


@scenario
class SlowBgp(Comeback):
    """The dangerous comeback: the peers receive the node's adverts, but theirs do not reach it, since its own address
    is not announced yet.

    The ToRs drop its BGP connections. Theirs to it need no rule, because ExaBGP does not listen.
    """

    name = "slow-bgp"
    causes = ((NODE1.name, "session-changed"), *RETURNED)
    summary = "the preferred node returns after a power cut, but its BGP sessions need 5 s"
    blocked: ClassVar[float] = 5.0
    "seconds from power on until the routers let BGP pass"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "node1 does not become Active before one of its BGP sessions is up; then it does, and node2 hands over and"
            " becomes Backup; no probe lost"
        )

    def prepare(self, lab: DataCentre) -> None:
        super().prepare(lab)
        for tor in TORS:
            Armed.nft(lab.topology[tor.name]).fire([dropped_at_arrival("tcp dport 179")])

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        armed = [Armed.nft(lab.topology[tor.name]) for tor in TORS]
        powered = lab.observers.incidents[-1].time
        lab.watch(max(powered + self.blocked - time.time(), 0))
        lab.incident(time.time(), NODE1, "BGP can pass")
        for tor in armed:
            tor.fire([f"delete table netdev lab_{NODE1.name}"])
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return premature(runs) + super().judge(runs, plan)


def premature(runs: Sequence[Run]) -> list[str]:
    """Runs in which node1 became Active before one of its BGP sessions was up."""
    violations = []
    for number, run in enumerate(runs, 1):
        up = min(
            (each.time for each in logged(run, NODE1, "session-changed") if each.field("state") == "up"), default=None
        )
        for each in run.timeline.transitions:
            early = up is None or each.time < up
            if (each.node, each.after) == (NODE1.name, "active") and early:
                after = (each.time - run.timeline.event) * 1e3
                violations.append(f"run {number}: node1 became Active {after:.0f} ms after power on, without a session")
    return violations


CHECK_INTERVAL = 0.1
FALL = 2
REACTION_MS = 30.0
"What binding, announcing, the routers and the scheduler may take together beside detection and Skew_Time."


class Sick(Scenario):
    """A check on the Active fails. A prober on node1 itself shows where its own traffic to the address goes."""

    command: ClassVar[tuple[str, ...]]
    "of the check; $directory is the server's own"
    weight: ClassVar[int]
    reason: ClassVar[str]
    "why node2 becomes Active"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:  # noqa: ARG002
        check = (
            "[check.service]",
            f"command = {json.dumps(self.command)}",
            f"interval = {CHECK_INTERVAL}",
            "timeout = 1.0",
            f"fall = {FALL}",
            "rise = 1",
            f"weight = {self.weight}",
        )
        return replace(usual, virtual_router=(*usual.virtual_router, 'checks = ["service"]'), tables=check)

    def prepare(self, lab: DataCentre) -> None:
        super().prepare(lab)
        lab.start_local_probing(NODE1)

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        lab.await_serving(NODE2.name, self.limit(plan))
        lab.await_at_rest(NODE1.name, HANDOVER_LIMIT)
        lab.await_serving_locally(NODE2.name, HANDOVER_LIMIT)
        lab.watch(TAIL)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        return [
            *check_takeover(runs, NODE2, self.reason),
            *check_end(runs, NODE2),
            *check_local(runs),
            *self.check_loss(runs, plan),
        ]

    @abstractmethod
    def check_loss(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        """What the client may have lost."""


def check_local(runs: Sequence[Run]) -> list[str]:
    """In every run node1's own last probes were answered by node2, half a second long."""
    violations = []
    for number, run in enumerate(runs, 1):
        last = [probe for probe in run.facts.local if probe.sent >= run.facts.local[-1].sent - TAIL]
        others = sorted({probe.node or "nobody" for probe in last} - {NODE2.name}) if last else ["nobody"]
        if others:
            violations.append(f"run {number}: at the end node1's own probes were answered by {', '.join(others)}")
    return violations


@scenario
class FailCheck(Sick):
    name = "fail-check"
    causes = ((NODE1.name, "Verdict: a check failed: "), (NODE2.name, f"Verdict: {NODE1.name} has resigned"))
    summary = "the service on the Active dies, and its check (weight 0) fails"
    command = ("/bin/sh", "-c", f"ss -Hlun sport = :{SERVICE_PORT} | grep -q .")
    weight = 0
    reason = "peer-resigned"

    def expectation(self, plan: ServerPlan) -> str:
        return (
            f"node2 becomes Active ({self.reason}); all is answered again (median) within {FALL} x"
            f" {CHECK_INTERVAL * 1e3:.0f} ms + the check's run time + Skew_Time {skew_time(plan.interval) * 1e3:.0f} ms"
            f" + {REACTION_MS:.0f} ms; node1's own traffic to the address goes to node2"
        )

    def arm(self, lab: DataCentre) -> Strike:
        return lambda: lab.incident(lab.servers[NODE1.name].kill_service(), NODE1, "the service is killed")

    def check_loss(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:
        took = [max((outage.end for outage in run.timeline.outages), default=0.0) for run in runs]
        allowed = [self.allowed_ms(run, plan) for run in runs]
        if median(took) > median(allowed):
            return [f"answered again after {median(took):.0f} ms (median), more than {median(allowed):.0f} ms"]
        return []

    def allowed_ms(self, run: Run, plan: ServerPlan) -> float:
        """With the run time of the very check that failed."""
        failed = [each for each in logged(run, NODE1, "check-changed") if each.field("check") == "service"]
        run_time = max((float(each.fields.get("seconds", 0)) for each in failed), default=0.0)
        return (CHECK_INTERVAL * FALL + run_time + skew_time(plan.interval)) * 1e3 + REACTION_MS


@scenario
class FailCheckWeight(Sick):
    name = "fail-check-weight"
    causes = (
        (NODE1.name, "Verdict: our priority was lowered: "),
        (NODE2.name, "Verdict: the Active says less than we"),
    )
    summary = "a check on the Active fails that only lowers its priority (weight -100); its service still answers"
    command = ("/usr/bin/test", "!", "-e", "$directory/degraded")
    weight = -100
    reason = "preempted"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "node2 becomes Active since its priority is now the best, and node1 hands over and becomes Backup;"
            " node1's own traffic to the address goes to node2"
        )

    def arm(self, lab: DataCentre) -> Strike:
        sign = lab.servers[NODE1.name].directory / "degraded"

        def strike() -> float:
            now = time.time()
            sign.touch()
            return lab.incident(now, NODE1, "the check fails")

        return strike

    def check_loss(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_lossless(runs)
