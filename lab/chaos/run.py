"""A chaos run from the empty data centre to the verdict, and its command line: `lab/demo chaos …`.

Progress goes to stderr, the result to stdout. Exit status: 0 everything is explained, 1 not so, 2 the lab could not be
built or the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.addressing import RACK
from lab.chaos import census, report
from lab.chaos.arena import Arena
from lab.chaos.faults import CARDS, HOLD, Terms, episodes
from lab.chaos.hands import Hands
from lab.chaos.judge import Verdict, judge
from lab.chaos.records import Chapter, Chronicle
from lab.chaos.service import configuration
from lab.datacentre import Fabric
from lab.processes import Late
from lab.run import keep_logs
from lab.servers import AGENT, EXABGP, ServerPlan
from lab.topology import LabError, lab_directory

INTERVAL = 0.1
CONVERGENCE = 90.0
"""Seconds for everything to be at home again. ExaBGP 4.2 reconnects with a back-off that it never resets; without it 10
are enough."""
QUIET = 6.0
"Seconds without a fault before the first and after the last: the handover (hold and linger) takes 3."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lab/demo chaos",
        description="Random faults over three nodes that all serve; every lost probe has to be explained.",
        epilog=f"cards: {', '.join(CARDS)}",
    )
    made.add_argument(
        "--minutes", type=float, default=3.0, metavar="M", help="of chaos, without the quiet around it (3)"
    )
    made.add_argument("--seed", type=int, metavar="N", help="of the faults and the ECMP hashes (random)")
    made.add_argument("--router", choices=("bird", "frr"), default="bird", help="what ToRs and client run (bird)")
    made.add_argument("--exabgp", choices=tuple(EXABGP), default="5", help="4.2 or 5.0 on the servers (5)")
    made.add_argument("--cards", type=cards, default=(), metavar="CARD,…", help="these only")
    made.add_argument("--agent", type=Path, default=AGENT, metavar="PROGRAM", help="the agent (.venv/bin/exavrrp)")
    made.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return made


def cards(text: str) -> tuple[str, ...]:
    given = tuple(text.split(","))
    if unknown := [card for card in given if card not in CARDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(CARDS)}")
    return given


def main(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Raises LabError when the lab does not come up."""
    seed = options.seed or secrets.randbelow(1_000_000) + 1
    plan = ServerPlan(
        family=6,
        interval=INTERVAL,
        hold=HOLD,
        exabgp=options.exabgp,
        agent=options.agent.absolute(),
        configuration=configuration,
    )
    chronicle = Chronicle(seed, Terms(options.router, INTERVAL, HOLD, options.exabgp), begin=time.time())
    fabric = Fabric(RACK, options.router, 6, HOLD, seed)
    say(f"chaos: seed {seed}, {options.router}, ExaBGP {options.exabgp}, {options.minutes:g} minutes")
    verdict = run(fabric, plan, chronicle, Sequel(options.minutes * 60, options.cards), say)
    if options.json:
        print(json.dumps(report.document(chronicle, verdict), indent=2))
        for violation in verdict.violations:
            say(f"VIOLATED: {violation}")
        for finding in verdict.unexplained:
            say("\n".join(report.around(chronicle, finding)))
    else:
        print(report.text(chronicle, verdict), end="")
    return 1 if verdict.violations else 0


@dataclass(frozen=True, slots=True)
class Sequel:
    """How long the chaos lasts, and its cards."""

    seconds: float
    cards: tuple[str, ...]
    "empty: all"


def run(fabric: Fabric, plan: ServerPlan, chronicle: Chronicle, sequel: Sequel, say: Callable[[str], None]) -> Verdict:
    with lab_directory(say) as directory:
        arena = Arena(fabric, plan, directory, chronicle)
        try:
            arena.build()
            arena.start_probing()
            arena.watch(QUIET)
            before = census.take(arena)
            chronicle.begin = time.time()
            unleash(arena, sequel, say)
            arena.watch(QUIET)
            arena.stop_probing()
            chronicle.end = time.time()
            after = census.take(arena)
            chronicle.census += census.strangers(before, fabric.site)
            chronicle.census += census.strangers(after, fabric.site) + census.changes(before, after)
            verdict = judge(chronicle)
            if verdict.violations:
                say(f"logs: {keep_logs(arena.processes.directory, f'chaos-{chronicle.seed}')}")
            return verdict
        except LabError:
            say(f"logs: {keep_logs(arena.processes.directory, f'chaos-{chronicle.seed}')}")
            raise
        finally:
            arena.remove()


def unleash(arena: Arena, sequel: Sequel, say: Callable[[str], None]) -> None:
    """One episode after the other, as long as there is time; the first that does not end well is the last."""
    hands, chronicle = Hands(arena), arena.chronicle
    for number, episode in enumerate(episodes(chronicle.seed, sequel.cards), 1):
        if time.time() > chronicle.begin + sequel.seconds:
            return
        chapter = Chapter(number, episode, time.time())
        chronicle.chapters.append(chapter)
        say(f"{chapter.start - chronicle.begin:8.1f} s  {number}. {episode.words}")
        try:
            hands.play(chapter)
            arena.await_settled(CONVERGENCE)
        except Late as late:
            chronicle.complaints.append(f"episode {number} ({episode.words}): {late}")
            say(f"  {late}")
            return
        arena.watch(REST)
        chapter.settled = time.time()
        chronicle.moves += arena.journals(chapter.start)


REST = 0.5
"Seconds between convergence and the next episode, for losses that come late."
