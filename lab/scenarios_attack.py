"""An attacker in the fabric forges adverts: what authentication prevents.

A machine outside the plan is attached to a top-of-rack router. It can write any source address into its packets (no
router of the lab checks that), and it receives every advert that crosses its router. It knows everything but the key,
and sends 1,000 adverts a second to each of them: recorded ones, forged ones, and mixtures of both. `attack-open` is the
control: the same without authentication.
"""

from __future__ import annotations

import re
import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from lab.addressing import SERVERS, TORS, Link, Machine
from lab.datacentre import DataCentre
from lab.facts import AgentEvent
from lab.processes import Program
from lab.scenarios import (
    HANDOVER_LIMIT,
    NODE1,
    NODE2,
    NODE3,
    TAIL,
    Run,
    Scenario,
    Strike,
    check_end,
    check_lossless,
    check_quiet,
    scenario,
)
from lab.servers import ServerPlan

ATTACKER = Machine("attacker", 66)
ATTACKER_LINK = Link(TORS[0], ATTACKER, "eth0")
RATE = 1000
"Adverts a second to each node."
SECONDS = 5.0
"Seconds of the attack: some fifty intervals."
OVER = re.compile(r"attack over: (\d+) adverts sent, \d+ a second")
FORGED = {"auth-missing", "auth-mac"}
WANTED = {NODE1.name: FORGED, NODE2.name: FORGED | {"auth-replay"}, NODE3.name: FORGED | {"auth-replay"}}
"The reasons that must be counted. node1 gets no replay: its peers are Backups, which have sent no advert."
RECOVERY = 10.0
"Seconds after an attack that has succeeded."


class Attacked(Scenario):
    after = NODE1

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        lab.topology.attach(ATTACKER_LINK)
        return usual

    def arm(self, lab: DataCentre) -> Strike:
        program = lab.observers.start_attacker(ATTACKER, TORS[0], RATE, SECONDS)
        lab.await_seen("the attacker to listen", HANDOVER_LIMIT, lambda: "listening" in program.output.read_text())
        lab.attacker = program

        def strike() -> float:
            now = time.time()
            lab.processes.ending(program)
            program.process.send_signal(signal.SIGUSR1)
            return lab.incident(now, ATTACKER, "forges and replays adverts")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        assert lab.attacker is not None
        lab.await_seen("the end of the attack", 4 * SECONDS + HANDOVER_LIMIT, lambda: _ended(lab.attacker))
        sent, rate = re.findall(r"^sent (\d+), (\d+) a second$", lab.attacker.output.read_text(), re.MULTILINE)[0]
        lab.incident(time.time(), ATTACKER, f"attack over: {sent} adverts sent, {rate} a second")
        for each in SERVERS:
            lab.ask_counters(each)
        lab.await_serving(NODE1.name, self.limit(plan) + RECOVERY)
        lab.watch(TAIL)


def _ended(program: Program | None) -> bool:
    return program is not None and program.ended


@scenario
class Attack(Attacked):
    name = "attack"
    causes = ((NODE1.name, "packet-rejected .*auth"), (NODE2.name, "packet-rejected .*auth"))
    summary = "an attacker in the fabric replays and forges 1,000 adverts a second to each node; adverts are signed"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "no transition, no probe lost, and every forged or replayed advert is rejected and counted"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        usual = super().plan(usual, lab)
        key = lab.directory / "key"
        key.touch(mode=0o600)
        key.write_text(f"hex:{secrets.token_hex(32)}\n")
        table = ("[authentication.lab]", "active_key = 1", f'keys = {{ 1 = {{ file = "{key}" }} }}')
        lines = (*usual.virtual_router, 'authentication = "lab"')
        return replace(usual, virtual_router=lines, tables=(*usual.tables, *table))

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        violations = check_quiet(runs) + check_lossless(runs) + check_end(runs, NODE1)
        for number, run in enumerate(runs, 1):
            sent, total, lost = forged(run), 0, dropped(run)
            for node, wanted in WANTED.items():
                counted = rejected(run, node)
                total += sum(counted.values())
                if missing := sorted(wanted - counted.keys()):
                    violations.append(f"run {number}: {node} has rejected nothing for {', '.join(missing)}")
            if not (sent and total <= sent <= total + lost):
                missed = f" and at most {lost} not read" if lost else ""
                violations.append(f"run {number}: {total} adverts were rejected{missed} of {sent} that were sent")
        return violations


@scenario
class AttackOpen(Attacked):
    name = "attack-open"
    causes = (
        (NODE1.name, "Verdict: adverts in the name of node[23] contradict each other"),
        (NODE2.name, "peer-contradictory peer=node1"),
    )
    summary = "the control to attack: the same attacker, unsigned adverts"

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return "the attacker moves the address at will: transitions, and probes lost as long as the attack lasts"

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return [
            f"run {number}: the attack has failed, {len(run.timeline.transitions)} transitions and"
            f" {run.timeline.probes_lost} probes lost: authentication would have made no difference"
            for number, run in enumerate(runs, 1)
            if not run.timeline.transitions or not run.timeline.probes_lost
        ] + check_end(runs, NODE1)


def forged(run: Run) -> int:
    """The adverts that the attacker has sent; 0 if the attack was not completed."""
    found = [match for each in run.facts.incidents if (match := OVER.fullmatch(each.what))]
    return int(found[0][1]) if found else 0


def dropped(run: Run) -> int:
    """What found no room at the nodes in their lives: an agent that gets no CPU does not read."""
    return sum(int(each.fields["overflowed"]) for each in run.facts.agents if each.event == "counters-wire")


def rejected(run: Run, node: str) -> dict[str, int]:
    """Packets that a node has rejected since its start, by reason, read after the attack."""
    counted: list[AgentEvent] = [each for each in run.facts.agents if (each.node, each.event) == (node, "counters")]
    return dict(counted[-1].fields["rejected"]) if counted else {}
