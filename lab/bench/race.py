"""A race: what users lose when something breaks, with exavrrp and with what people run today: `lab/bench/run race`.

In each round every event happens to every tool, each time in a new data centre: the tools take turns, so that other
load on the machine affects all of them. Within a round an event comes at the same position for each tool: between
two adverts of node1 or, where a check finds out, between two checks of its service; a tool without adverts has nothing
to be timed by. Over the rounds the positions are spread over the whole interval (`lab.run.phases`).

What is measured is seen from outside: probes, the routers' tables, and the address on the successor's lo.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lab.addressing import RACK, SERVERS, VIRTUAL_ADDRESS, Family, Site
from lab.bench.agents import keepalived, keepalived_version
from lab.bench.events import EVENTS, Event, led_to
from lab.bench.tools import CHECKED, LINE, TOOLS, Tool
from lab.datacentre import START_LIMIT, DataCentre, Fabric
from lab.facts import Facts
from lab.processes import Late
from lab.run import LEAD_IN, logs_kept, phases, removed
from lab.scenarios import NODE1, NODE2
from lab.servers import EXABGP, ROOT, ServerPlan
from lab.timeline import compute, kernel_times
from lab.topology import LabError, lab_directory, run

FAMILY: Family = 6
POLL = 0.001
"Seconds between two looks for a check."


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    tools: Sequence[str]
    events: Sequence[str]
    repeat: int
    interval: float
    "seconds between adverts"
    hold: int
    "BGP hold time, seconds"
    seed: int


@dataclass(frozen=True, slots=True)
class Heat:
    """One event, for one tool."""

    round: int
    event: str
    tool: str
    phase: float
    """the event's position, 0 to 1: between two checks on node1 if the event is one that a check finds out, otherwise
    between two of its adverts; a tool that sends none has it at any moment"""
    seed: int
    "of the machines' ECMP hashes: the same for all tools"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    heat: Heat
    outage_ms: float
    "the longest: timeline.py"
    lost: int
    "probes"
    sent: int
    moments: Mapping[str, float | None] = field(default_factory=dict)
    "ms after the event: bound (on node2's lo), routed (both routers lead to node2 alone), answered (by node2)"
    late: str = ""
    "what did not happen within its limit: the outage is at least as long"
    load: float | None = None
    "the machine's load average of one minute, at the end"


def heats(order: Order) -> list[Heat]:
    """All of them, in order. Pure."""
    found = []
    positions = {
        event: phases(Random(f"{order.seed}/{event}").randrange(1 << 30), order.repeat) for event in order.events
    }
    for number in range(order.repeat):
        for place, event in enumerate(order.events):
            first = (number + place) % len(order.tools)
            turns = [*order.tools[first:], *order.tools[:first]]
            found += [Heat(number + 1, event, tool, positions[event][number], order.seed + number) for tool in turns]
    return found


def race(order: Order, say: Callable[[str], None]) -> Iterator[Result]:
    """Raises LabError when a data centre does not come up."""
    todo = heats(order)
    for number, heat in enumerate(todo, 1):
        result = run_heat(order, heat, say)
        say(
            f"{number}/{len(todo)} {heat.event}, {heat.tool}, {heat.phase:.0%} into the interval:"
            f" {result.outage_ms:.0f} ms, {result.lost} probes lost{f'; {result.late}' if result.late else ''}"
        )
        yield result


def run_heat(order: Order, heat: Heat, say: Callable[[str], None]) -> Result:
    event, tool = EVENTS[heat.event], TOOLS[heat.tool]
    fabric = Fabric(RACK, "bird", FAMILY, order.hold, heat.seed)
    with lab_directory(say) as directory:
        lab = DataCentre(fabric, directory, lambda _: None)
        with removed(lab), logs_kept(lab, f"race-{heat.event}-{heat.tool}", say):
            return measure(lab, order, heat, event, tool)


def measure(lab: DataCentre, order: Order, heat: Heat, event: Event, tool: Tool) -> Result:
    usual = ServerPlan(family=FAMILY, interval=order.interval, hold=order.hold, exabgp=LINE, site=RACK)
    plan = tool.plan(usual, checked=event.checked)
    lab.build()
    lab.start(plan)
    tool.start(lab, plan, checked=event.checked)
    prepare(lab, tool)
    strike = event.arm(lab, tool)
    lab.watch(LEAD_IN)
    if event.checked:
        await_check(lab.servers[NODE1.name].directory / CHECKED, heat.phase)
    elif tool.elects:
        lab.await_phase(NODE1, order.interval, heat.phase)
    struck = strike()
    late = ""
    try:
        event.outcome(lab, tool)
    except Late as error:
        late = str(error).splitlines()[0]
    facts = lab.finish()
    timeline = compute(facts, struck, NODE1.name, RACK)
    moments = outside(facts, struck, RACK)
    lost, sent, load = timeline.probes_lost, timeline.probes_sent, round(os.getloadavg()[0], 2)
    return Result(heat, round(timeline.outage_ms, 1), lost, sent, moments, late, load)


def await_check(trace: Path, share: float) -> None:
    """Returns when this share (0 to 1) of the time between two checks has passed since the last one.

    `trace`: a file that a check writes when it has found the service. The time between checks is that between the last
    two: a tool that waits after a check has a longer one than it is told. Raises Late when there are none.
    """
    first = next_check(trace)
    second = next_check(trace)
    time.sleep(max(second + share * (second - first) - time.time(), 0))


def next_check(trace: Path) -> float:
    """Waits for a check; its time, seconds since the epoch. Raises Late."""
    before, give_up = trace_of(trace), time.time() + START_LIMIT
    while (found := trace_of(trace)) == before:
        if time.time() > give_up:
            raise Late(f"no check within {START_LIMIT:g} s")
        time.sleep(POLL)
    return found


def trace_of(trace: Path) -> float:
    """When a check last found the service; 0: never."""
    return trace.stat().st_mtime if trace.exists() else 0.0


def prepare(lab: DataCentre, tool: Tool) -> None:
    """Returns when node1 serves, and the address is announced and bound where it is to be, and nowhere else."""
    lab.await_seen("the way to node1", START_LIMIT, lambda: led_to(lab, NODE1))
    names = {each.name for each in tool.announcers}
    lab.await_seen(
        f"routes of {', '.join(sorted(names))}",
        START_LIMIT,
        lambda: all(each == names for each in lab.tables().values()),
    )
    lab.await_seen("the address on lo of these", START_LIMIT, lambda: bound(lab) == names)
    lab.watch_addresses(NODE2)
    lab.start_probing()
    lab.await_serving(NODE1.name)


def bound(lab: DataCentre) -> set[str]:
    """The servers that have the address on lo: one that has given it up may still linger."""
    shown = {each.name: lab.topology[each.name].run("ip", "-o", "address", "show", "dev", "lo") for each in SERVERS}
    return {name for name, lines in shown.items() if f" {VIRTUAL_ADDRESS[FAMILY]}/" in lines}


def outside(facts: Facts, event: float, site: Site) -> dict[str, float | None]:
    """When node2 took over, as seen from outside, in ms after the event; None: it did not, or had done so before."""
    address = str(VIRTUAL_ADDRESS[FAMILY])
    bound = [each.time for each in facts.addresses if each.address == address and not each.deleted]
    routed = kernel_times(facts.routes, event, NODE2.name, site)
    answered = [
        each.answered for each in facts.probes if each.sent >= event and each.node == NODE2.name and each.answered
    ]
    moments = {
        "bound": min((time for time in bound if time >= event), default=None),
        "routed": max(routed) if len(routed) == len(site.gates) else None,
        "answered": min(answered, default=None),
    }
    return {name: None if time is None else round((time - event) * 1e3, 1) for name, time in moments.items()}


def machine() -> dict[str, str]:
    """Where and when it was measured, what with, and how busy the machine was before."""
    release = Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else []
    names = [line.removeprefix("PRETTY_NAME=").strip('"') for line in release if line.startswith("PRETTY_NAME=")]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "system": names[0] if names else platform.system(),
        "kernel": platform.release(),
        "cores": str(os.cpu_count() or "?"),
        "load": f"{os.getloadavg()[0]:.2f}",
        "commit": commit(),
        "exabgp": re.findall(r"[\d.]+", run([str(EXABGP[LINE]), "version"]))[0],
        "keepalived": keepalived_version(keepalived()),
    }


def commit() -> str:
    """This checkout's, short; with "-dirty" if a file differs from it. "?": this is no checkout, or there is no git."""
    # Root may not read the checkout of a user without being told to.
    here = ("-c", f"safe.directory={ROOT}", "-C", str(ROOT))
    try:
        return run(["git", *here, "describe", "--always", "--dirty", "--exclude", "*"]).strip()
    except LabError:
        return "?"
