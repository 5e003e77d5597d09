"""Runs one scenario as often as ordered, each time in a new data centre, and returns the measurements.

Owns: the sequence build, start, prepare, wait, strike, outcome, collect; the event's position in the advert interval;
keeping logs of a run that went wrong. Must not know: how results are shown.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.datacentre import DataCentre, Fabric
from lab.processes import Late
from lab.recordings import Recording
from lab.routers import Daemon
from lab.scenarios import Run, Scenario
from lab.servers import ROOT, ServerPlan
from lab.timeline import compute
from lab.topology import LabError, lab_directory

OUT = ROOT / "lab" / "out"
"Pictures and the logs of failed runs; not in git."


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    scenario: Scenario
    router: Daemon
    plan: ServerPlan
    repeat: int
    seed: int
    keep: bool
    why: bool = False
    "whether `exavrrp why` has to name what the scenario does"


@dataclass(frozen=True, slots=True)
class Result:
    """One run, and its random choices."""

    run: Run
    seed: int
    "of the machines' ECMP hashes"
    phase: float
    "the event's position in the Active's advert interval: 0 at an advert, 1 at the next"
    plan: ServerPlan
    "as the scenario made it"
    recordings: tuple[Recording, ...] = ()
    "the agents' recordings, replayed"


def run_all(order: Order, say: Callable[[str], None]) -> list[Result]:
    """Raises LabError when a lab does not come up."""
    results = []
    for number, phase in enumerate(phases(order.seed, order.repeat), 1):
        seed = order.seed + number - 1
        say(f"{order.scenario.name}, run {number} of {order.repeat}, seed {seed}, {phase:.0%} into the advert timer")
        keep = order.keep and number == order.repeat
        results.append(run_once(order, seed, phase, keep, say))
    return results


LATEST = 0.95
"The last position. Cutting a link takes a few ms; an advert that leaves meanwhile would turn it into the first one."


def phases(seed: int, runs: int) -> list[float]:
    """The position of each run's event in the advert interval, 0 to 1.

    A takeover by Active_Down_Timer takes up to a whole interval more or less, depending on it. A set-up that always
    takes equally long would always hit the same position, and a few random positions can cluster. So the interval is
    divided into `runs` equal parts; each run gets a random position in a part of its own, in random order.
    """
    randomness = random.Random(seed)
    shares = [min((part + randomness.random()) / runs, LATEST) for part in range(runs)]
    randomness.shuffle(shares)
    return shares


def run_once(order: Order, seed: int, phase: float, keep: bool, say: Callable[[str], None]) -> Result:
    fabric = Fabric(order.plan.site, order.router, order.plan.family, order.plan.hold, seed)
    with lab_directory(say) as directory:
        lab = DataCentre(fabric, directory, say)
        with removed(lab), logs_kept(lab, order.scenario.name, say):
            result = measure(lab, order, phase, say)
            if result.run.complaints:
                say(f"logs: {keep_logs(lab.directory, order.scenario.name)}")
            if keep:
                hold_open(lab, say)
            return result


def measure(lab: DataCentre, order: Order, phase: float, say: Callable[[str], None]) -> Result:
    started = time.monotonic()
    scenario = order.scenario
    lab.build()
    plan = scenario.plan(order.plan, lab)
    lab.start(plan)
    say(f"  all BGP sessions up after {time.monotonic() - started:.1f} s")
    scenario.prepare(lab)
    strike = scenario.arm(lab)
    lab.watch(LEAD_IN)
    say(f"  {scenario.before.name} serves; now {scenario.summary}")
    lab.await_phase(scenario.before, plan.interval, phase)
    event = strike()
    complaints: tuple[str, ...] = ()
    try:
        scenario.outcome(lab, plan)
    except Late as late:
        complaints = (str(late),)
        say(f"  {late}")
    if order.why:
        complaints += tuple(unexplained(lab, scenario, event, say))
    facts = lab.finish()
    recordings = lab.replay(plan.agent, facts) if plan.record else ()
    complaints += tuple(each.complaint for each in recordings if each.complaint is not None)
    timeline = compute(facts, event, scenario.before.name, plan.site)
    say(f"  outage {timeline.outage_ms:.0f} ms, {timeline.probes_lost} of {timeline.probes_sent} probes lost")
    return Result(Run(timeline, facts, complaints), lab.fabric.seed, phase, plan, recordings)


def unexplained(lab: DataCentre, scenario: Scenario, since: float, say: Callable[[str], None]) -> Iterator[str]:
    """The nodes on which `exavrrp why` does not name what the scenario has done, and has not done so since then.

    What the others name it by is said.
    """
    for node, words in scenario.causes:
        try:
            said = [*lab.servers[node].why(), *lab.servers[node].verdicts(since)]
        except LabError as error:
            said = [str(error)]
        if (sentence := next((one for one in said if re.search(words, one)), None)) is None:
            yield f"exavrrp why on {node} does not name the cause ({words}): {' '.join(said)}"
        else:
            say(f"  why on {node}: {sentence}")


LEAD_IN = 0.5
"Seconds of probing before the event: what the picture shows to its left (timeline.LEAD)."


@contextmanager
def removed(lab: DataCentre) -> Iterator[None]:
    try:
        yield
    finally:
        lab.remove()


@contextmanager
def logs_kept(lab: DataCentre, name: str, say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except LabError:
        say(f"logs: {keep_logs(lab.directory, name)}")
        raise


def keep_logs(directory: Path, name: str) -> Path:
    """Copies the output of all programs to a directory that survives the lab, and returns that directory; if it cannot,
    the lab's own.
    """
    kept = OUT / f"{name}-{time.strftime('%H%M%S')}-{os.getpid()}-logs"
    try:
        shutil.copytree(directory, kept, ignore=lambda folder, names: [n for n in names if not plain(folder, n)])
    except OSError:
        return directory
    return kept


def plain(folder: str, name: str) -> bool:
    """Not a socket or pipe, which cannot be copied."""
    path = Path(folder) / name
    return path.is_dir() or path.is_file()


def hold_open(lab: DataCentre, say: Callable[[str], None]) -> None:
    """Leaves the lab up until Ctrl-C or SIGTERM."""
    say("\nThe lab stays up until Ctrl-C. A shell on a machine:")
    for namespace in lab.topology:
        say(f"  {ENTER}ip netns exec {namespace.name} bash".replace("PID", str(os.getpid())))
    say(f"Configurations and logs: {ENTER}ls {lab.directory}".replace("PID", str(os.getpid())))
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("taking the lab down")


IN_USER_NAMESPACE = "EXAVRRP_LAB_IN_USER_NAMESPACE"
ENTER = "nsenter --user --preserve-credentials --mount --net --target PID " if os.environ.get(IN_USER_NAMESPACE) else ""
