"""How short may the interval be? `python -m tests.benchmarks.soak --interval 10 --interval 20 --minutes 60` (root).

Three nodes share some virtual routers on a machine whose cores are all busy: for each core, one process at normal
priority computes. Every transition after the start is a false one.

Each minute is one line of JSON in a file (``--record``). An interrupted soak continues where it was; at the end, or
with ``--minutes 0`` at once, the file is printed as a table. ``--realtime`` gives the agents real-time scheduling and
locked memory; with and without it are two soaks. The hypervisor's ``steal`` is reported, because no agent can avoid it.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tests.benchmarks.nodes import REALTIME, Lateness, Plan, Site, site
from tests.system.running import Family

MINUTE = 60.0
LOOK = 0.5
"""Seconds between two looks at the adverts that the router has seen."""


@dataclass(frozen=True)
class Soak:
    """What is tried; the same in each of its lines."""

    interval: int
    """milliseconds"""
    realtime: bool
    nodes: int
    routers: int
    busy: int
    """processes that compute"""
    family: Family
    down_count: int = 3
    """missed intervals after which a Backup takes over"""

    def plan(self) -> Plan:
        """The nodes for it."""
        options = (*(REALTIME if self.realtime else ()), f"down_count = {self.down_count}")
        return Plan(self.nodes, self.routers, self.interval / 1000, self.family, options)


@dataclass(frozen=True)
class Minute:
    """What one line of the file holds."""

    soak: Soak
    seconds: float
    transitions: int
    adverts: int
    late_999: float
    """milliseconds: 99.9th percentile"""
    late_most: float
    """milliseconds"""
    cpu: float
    """share of a core that an agent used, on average"""
    resident: int
    """KiB, of the largest agent"""
    steal: float
    """share of all cores that the hypervisor kept"""

    def line(self) -> str:
        """Its JSON."""
        return json.dumps(asdict(self))


def minute(line: str) -> Minute:
    """What was written."""
    document = json.loads(line)
    return Minute(**{**document, "soak": Soak(**document["soak"])})


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """So many processes at normal priority that compute until the end of the block, or of this process."""
    children: list[int] = []
    parent = os.getpid()
    try:
        for _ in range(number):
            child = os.fork()
            if child == 0:
                _compute(parent)
            children.append(child)
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _compute(parent: int) -> NoReturn:
    while os.getppid() == parent:
        sum(range(1_000_000))
    os._exit(0)


def stolen() -> tuple[int, int]:
    """Ticks that the hypervisor kept, and all of them (proc(5))."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def soaked(soak: Soak, where: Site, seconds: float) -> Minute:
    """The next minute."""
    lateness = Lateness(where.plan.interval)
    where.adverts.take()
    begin, end = time.time(), time.monotonic() + seconds
    cpu, steal = [node.cpu() for node in where.nodes], stolen()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(LOOK, left))
        lateness.add(where.adverts.take())
    took = time.time() - begin
    kept, ticks = (now - then for now, then in zip(stolen(), steal, strict=True))
    used = sum(node.cpu() for node in where.nodes) - sum(cpu)
    return Minute(
        soak,
        seconds=round(took, 1),
        transitions=where.moves(begin).total(),
        adverts=len(lateness.seconds),
        late_999=round(1000 * lateness.quantile(0.999), 2),
        late_most=round(1000 * lateness.quantile(1), 2),
        cpu=round(used / took / len(where.nodes), 3),
        resident=max(node.resident() for node in where.nodes),
        steal=round(kept / ticks, 4),
    )


def go_on(soak: Soak, record: Path, minutes: int) -> None:
    """As many minutes as are still missing."""
    missing = minutes - sum(1 for one in read(record) if one.soak == soak)
    if missing <= 0:
        return
    print(f"{soak}: {missing} min", file=sys.stderr, flush=True)
    with site(soak.plan()) as where, busy(soak.busy):
        for _ in range(missing):
            found = soaked(soak, where, MINUTE)
            with record.open("a") as file:
                file.write(found.line() + "\n")


def read(record: Path) -> list[Minute]:
    """All lines of the file; half a line at its end is none."""
    text = record.read_text() if record.exists() else ""
    return [minute(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def table(minutes: Sequence[Minute]) -> list[str]:
    """One row for each soak."""
    soaks: dict[Soak, list[Minute]] = defaultdict(list)
    for one in minutes:
        soaks[one.soak].append(one)
    heading = (
        f"{'interval':>8}{'count':>7}{'realtime':>10}{'routers':>9}{'busy':>6}{'minutes':>9}"
        f"{'transitions':>13}{'in minutes':>12}{'p99.9':>8}{'max ms':>9}{'CPU':>7}{'KiB':>8}{'steal':>7}"
    )
    rows = [heading]
    for soak, found in sorted(soaks.items(), key=lambda item: (item[0].realtime, item[0].interval, item[0].down_count)):
        rows.append(
            f"{soak.interval:>5} ms{soak.down_count:>7}{'yes' if soak.realtime else 'no':>10}"
            f"{soak.routers:>9}{soak.busy:>6}{len(found):>9}"
            f"{sum(one.transitions for one in found):>13}{sum(one.transitions > 0 for one in found):>12}"
            f"{max(one.late_999 for one in found):>8.1f}{max(one.late_most for one in found):>9.1f}"
            f"{math.fsum(one.cpu for one in found) / len(found):>7.1%}{max(one.resident for one in found):>8}"
            f"{max(one.steal for one in found):>7.1%}"
        )
    return rows


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__.partition("\n")[0])
    made.add_argument("--interval", type=int, action="append", metavar="MS", help="may be repeated (default: 10)")
    made.add_argument("--down-count", type=int, default=3, help="of all agents (default: %(default)s)")
    made.add_argument("--minutes", type=int, default=60, help="for each interval (default: %(default)s)")
    made.add_argument("--realtime", action="store_true", help="agents with real-time scheduling, locked in memory")
    made.add_argument("--routers", type=int, default=3, help="virtual routers (default: %(default)s)")
    made.add_argument("--nodes", type=int, default=3, help="(default: %(default)s)")
    made.add_argument("--busy", type=int, default=os.cpu_count(), help="processes that compute (default: all cores)")
    made.add_argument("--family", type=int, choices=(4, 6), default=6)
    made.add_argument("--record", type=Path, default=Path("soak.jsonl"), help="(default: %(default)s)")
    return made


def main() -> int:
    """0 if there is at least one interval with adverts and without a false transition in each minute asked for."""
    options = parser().parse_args()
    intervals = options.interval or [10]
    soaks = [
        Soak(
            interval,
            options.realtime,
            options.nodes,
            options.routers,
            options.busy,
            options.family,
            options.down_count,
        )
        for interval in intervals
    ]
    for soak in soaks:
        go_on(soak, options.record, options.minutes)
    minutes = read(options.record)
    for row in table(minutes):
        print(row)
    quiet = [soak for soak in soaks if all(one.adverts and not one.transitions for one in minutes if one.soak == soak)]
    return int(not quiet)


if __name__ == "__main__":
    sys.exit(main())
