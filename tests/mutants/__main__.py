"""Mutants: deliberate mistakes in the pure modules, one at a time, and the tests that notice them.

    python tests/mutants [--sample N] [--seed TEXT] [--jobs N] [--suite NAME …] [NAME …]

The mistakes are in the text files beside this one. Comments begin with ``#``. A mutant is a line with its name and its
module, then a change in the format of ``diff -u``: whole lines of context (space), removed (minus) and added (plus).
The context and the removed lines must be found exactly once in the module; otherwise the mutant is broken.

Each mutant is made in a copy of the tree, and the suites are run against it, the fastest first. The first that fails
has killed it. Every suite that has killed a mutant is also run without a mistake, and must pass. A survivor is a
missing test: write it. (Or the change has no effect, and is no mistake.) All random tests use one seed here, so that a
mutant is killed each time or never.

Exit status: 0 all are killed, 1 there are survivors, 2 a mutant or a suite is broken, or the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = Path("src", "exavrrp")

LIMIT, SIMULATED = 100, 600
"""Seconds of CPU (prlimit(1)) for a suite, and for the simulation; each takes a quarter of it at most. A mutant may
loop for ever, and is killed by that, too. No limit on the time by the clock, in which a machine's neighbors have a
part."""

GRACE = 5
"""Seconds from the limit, where the kernel sends SIGXCPU, to the one where it sends SIGKILL, which others send too."""

PYTEST = (
    *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"),
    *("--hypothesis-seed=0", "--hypothesis-profile=mutants"),
)

TRANSCRIPTS = ("tests/vrrp/test_transcripts.py", "tests/test_presence.py::test_transcript")
SIMULATION = ("tests/simulation/test_simulation.py", "-k", "test_seed")
OWN = {
    "vrrp/router.py": ("tests/vrrp/test_router.py",),
    "vrrp/packet.py": ("tests/vrrp/test_packet.py",),
    "vrrp/version2.py": ("tests/vrrp/test_version2.py",),
    "vrrp/link.py": ("tests/vrrp/test_link.py",),
    "vrrp/auth.py": ("tests/vrrp/test_auth.py", "tests/test_authentications.py"),
    "vrrp/copies.py": ("tests/vrrp/test_copies.py", "tests/test_view.py"),
    "takeover.py": ("tests/test_takeover.py",),
    "reach.py": ("tests/test_reach.py",),
    "presence.py": ("tests/test_presence.py",),
    "instance.py": ("tests/test_instance.py",),
    "groups.py": ("tests/test_groups.py", "tests/test_elections.py"),
    "health.py": ("tests/test_health.py", "tests/test_view.py"),
    "sessions.py": ("tests/test_sessions.py",),
    "neighbors.py": ("tests/test_neighbors.py", "tests/test_sessions.py"),
    "beacon/codec.py": ("tests/beacon/test_codec.py",),
    "beacon/table.py": ("tests/beacon/test_table.py", "tests/beacon/test_station.py"),
    "beacon/station.py": ("tests/beacon/test_station.py",),
    "plan.py": ("tests/test_plan.py",),
    "routes.py": ("tests/test_routes.py",),
    "virtual_address.py": ("tests/test_virtual_address.py",),
    "speaker/channel.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/conversation.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/dialects.py": ("tests/test_conversation.py", "tests/test_routes.py"),
    "speaker/greeting.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/neighbors.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/prefix.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/prefixes.py": ("tests/test_conversation.py", "tests/test_audience.py"),
    "speaker/variants.py": ("tests/test_conversation.py", "tests/test_routes.py"),
    "queues.py": ("tests/test_queues.py",),
    "timers.py": ("tests/test_timers.py",),
    "memory.py": ("tests/test_memory.py",),
    "recorded.py": ("tests/test_recorded.py", "tests/test_replay.py"),
    "spelling.py": ("tests/test_recorded.py", "tests/test_recording.py", "tests/test_replay.py"),
    "replay.py": ("tests/test_replay.py",),
    "pump.py": ("tests/test_pump.py",),
    "vxlan.py": ("tests/test_vxlan.py",),
    "work.py": ("tests/test_node.py",),
    "binding.py": ("tests/test_node.py", "tests/test_roster.py"),
    "notes.py": ("tests/test_node.py", "tests/test_roster.py"),
    "bequest.py": ("tests/test_node.py", "tests/test_care.py"),
    "backoff.py": ("tests/test_backoff.py", "tests/test_announcement.py", "tests/test_node.py"),
    "ways.py": ("tests/test_ways.py", "tests/test_node.py", "tests/test_roster.py"),
    "adverts.py": ("tests/test_adverts.py", "tests/test_roster.py", "tests/test_node.py"),
    "announcement.py": (
        "tests/test_announcement.py",
        "tests/test_roster.py",
        "tests/test_node.py",
        "tests/test_care.py",
        "tests/test_view.py",
    ),
    "drain.py": ("tests/test_virtual_router.py", "tests/test_node.py"),
    "virtual_router.py": (
        *("tests/test_virtual_router.py", "tests/test_adverts.py", "tests/test_announcement.py"),
        *("tests/test_roster.py", "tests/test_node.py", "tests/test_counters.py"),
    ),
    "commands.py": ("tests/test_plan.py", "tests/test_node.py", "tests/test_care.py"),
    "fitness.py": ("tests/test_node.py", "tests/test_roster.py", "tests/test_view.py"),
    "leftovers.py": ("tests/test_node.py", "tests/test_roster.py"),
    "turns.py": ("tests/test_view.py", "tests/test_node.py"),
    "viewer.py": ("tests/test_view.py", "tests/test_counters.py", "tests/test_care.py"),
    "history.py": ("tests/test_view.py",),
    "causes.py": ("tests/test_why.py",),
    "chronicle.py": ("tests/test_chronicle.py",),
    "chronicled.py": ("tests/test_chronicle.py",),
    "counters.py": ("tests/test_counters.py",),
    "elections.py": ("tests/test_elections.py", "tests/test_ways.py", "tests/test_node.py"),
    "node.py": ("tests/test_node.py", "tests/test_care.py"),
    "roster.py": ("tests/test_roster.py",),
    "care.py": ("tests/test_care.py",),
    "reception.py": ("tests/test_reception.py", "tests/test_counters.py"),
    "simulation/scenario.py": ("tests/test_simulate.py",),
    "simulation/story.py": ("tests/test_simulate.py",),
    "simulation/stage.py": ("tests/test_simulate.py",),
    "simulation/checks.py": ("tests/test_simulate.py",),
    "keepalived/lexing.py": ("tests/keepalived/test_lexing.py",),
    "keepalived/reading.py": ("tests/keepalived/test_reading.py",),
    "keepalived/ledger.py": ("tests/keepalived/test_translating.py",),
    "keepalived/checks.py": ("tests/keepalived/test_translating.py",),
    "keepalived/addresses.py": ("tests/keepalived/test_translating.py",),
    "keepalived/instances.py": ("tests/keepalived/test_translating.py",),
    "keepalived/authentications.py": ("tests/keepalived/test_translating.py",),
    "keepalived/translating.py": ("tests/keepalived/test_translating.py",),
}
"""The tests of each module that has mutants."""


SUITES = ("transcripts", "module", "units", "simulation")
"""The fastest first: all transcripts, the tests of the module, those of all pure floors, whole nodes."""


class Broken(Exception):
    """A mutant, or a suite, that proves nothing: which, and why."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    module: str
    """path below the package"""
    before: str
    after: str
    """whole lines"""

    def applied(self, text: str) -> str:
        """The module with the mistake. Raises Broken."""
        found = f"\n{text}".count(f"\n{self.before}")
        if found != 1:
            raise Broken(f"{self.name}: its lines are found {found} times in {self.module}, not once")
        return f"\n{text}".replace(f"\n{self.before}", f"\n{self.after}")[1:]


def parse(path: Path) -> Iterator[Mutant]:
    """The mutants of one file. Raises Broken."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        head, *change = lines
        if len(head.split()) != 2 or not change or any(line[0] not in " -+" for line in change):
            raise Broken(f"{path.name}: {head!r} begins no mutant")
        name, module = head.split()
        before, after = ("".join(f"{line[1:]}\n" for line in change if line[0] != other) for other in ("+", "-"))
        if before == after or module not in OWN:
            raise Broken(f"{path.name}: {name} changes nothing, or a module whose tests are not known here")
        yield Mutant(name, module, before, after)


def known() -> list[Mutant]:
    """All of them. Raises Broken, also if one of them cannot be made."""
    found = [mutant for path in sorted(HERE.glob("*.txt")) for mutant in parse(path)]
    twice = [name for name, count in Counter(mutant.name for mutant in found).items() if count > 1]
    if twice:
        raise Broken(f"there are two mutants called {', '.join(twice)}")
    for mutant in found:
        mistaken = mutant.applied((ROOT / PACKAGE / mutant.module).read_text(encoding="utf-8"))
        try:
            compile(mistaken, mutant.module, "exec")
        except SyntaxError as error:  # which any suite would notice
            raise Broken(f"{mutant.name}: {error}") from None
    return found


# Suites


def suites(module: str) -> dict[str, tuple[str, ...]]:
    """What is run against a mutant of ``module``."""
    units = ("tests/vrrp", *sorted({test for tests in OWN.values() for test in tests if "/vrrp/" not in test}))
    return dict(zip(SUITES, (TRANSCRIPTS, OWN[module], units, SIMULATION), strict=True))


class Copy:
    """The tree once more, to make mistakes in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copy(ROOT / "pyproject.toml", directory)
        for name in ("src", "tests", "docs"):
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        # Whatever is installed in the environment: the copy comes first. And no .pyc, which would be taken for that of
        # a module that was changed within the same second.
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
            "PYTHONPATH": str(directory / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        words = [sys.executable, "-c", "import exavrrp; print(exavrrp.__file__)"]
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, check=True)
        if not Path(done.stdout.strip()).is_relative_to(directory):
            raise Broken(f"the tests would run against {done.stdout.strip()}, and not against the copy")

    def passes(self, tests: Sequence[str]) -> bool:
        """Whether a suite passes as the copy is now. Raises Broken if it did not run."""
        limit = SIMULATED if tests is SIMULATION else LIMIT
        done = subprocess.run(
            ["prlimit", f"--cpu={limit}:{limit + GRACE}", *PYTEST, *tests],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == -signal.SIGXCPU:
            return False
        if done.returncode not in {0, 1}:
            raise Broken(f"{' '.join(tests)} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 0

    def killer(self, mutant: Mutant, only: Collection[str]) -> str | None:
        """The suite that kills ``mutant``; None: it survives. Raises Broken."""
        path = self.directory / PACKAGE / mutant.module
        whole = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(whole), encoding="utf-8")
        try:
            for name, tests in suites(mutant.module).items():
                if name in only and not self.passes(tests):
                    return name
            return None
        except Broken as error:
            raise Broken(f"{mutant.name}: {error}") from None
        finally:
            path.write_text(whole, encoding="utf-8")


# The command


def arguments(words: Sequence[str]) -> argparse.Namespace:
    made = argparse.ArgumentParser(
        prog="python tests/mutants", description="Has the tests kill mistakes made on purpose."
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="only these")
    made.add_argument("--sample", type=int, metavar="N", help="so many of them, chosen at random")
    made.add_argument("--seed", metavar="TEXT", help="of that choice (the commit)")
    made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at the same time (all cores)")
    made.add_argument("--suite", action="append", choices=SUITES, help="only this one, or those (each that there is)")
    made.add_argument("--list", action="store_true", help="list them")
    return made.parse_args(words)


def commit() -> str:
    """What the tree was made from: another sample with each change."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "no commit"
    except FileNotFoundError:
        return "no commit"


def chosen(options: argparse.Namespace) -> list[Mutant]:
    found = known()
    unknown = set(options.names) - {mutant.name for mutant in found}
    if unknown:
        raise Broken(f"there is no mutant {', '.join(sorted(unknown))}; see --list")
    if options.names:
        found = [mutant for mutant in found if mutant.name in options.names]
    if options.sample is not None and options.sample < len(found):
        seed = options.seed or commit()
        print(f"{options.sample} of {len(found)} mutants, --seed {seed}")
        found = random.Random(seed).sample(found, options.sample)
    return found


def hunt(mutants: Sequence[Mutant], jobs: int, only: Collection[str]) -> dict[str, str | None]:
    """The killer of each; those of one job go one after the other through a copy of their own. Raises Broken."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory, ThreadPoolExecutor(jobs) as pool:
        free: SimpleQueue[Copy] = SimpleQueue()
        for number in range(jobs):
            place = Path(directory, str(number))
            place.mkdir()
            free.put(Copy(place))

        def lent(act: Callable[[Copy], str | None]) -> str | None:
            copy = free.get()
            try:
                return act(copy)
            finally:
                free.put(copy)

        def killer(mutant: Mutant) -> str | None:
            found = lent(lambda copy: copy.killer(mutant, only))
            print(f"{mutant.name:45}{found or 'SURVIVES'}", flush=True)
            return found

        killers = dict(zip([mutant.name for mutant in mutants], pool.map(killer, mutants), strict=True))

        used = {
            (suite, suites(mutant.module)[suite]) for mutant in mutants if (suite := killers[mutant.name]) is not None
        }

        def whole(one: tuple[str, tuple[str, ...]]) -> str | None:
            return lent(lambda copy: None if copy.passes(one[1]) else one[0])

        failing = sorted(name for name in pool.map(whole, used) if name is not None)
        if failing:
            raise Broken(f"without any mistake, too, there fails: {', '.join(failing)}")
        return killers


def main(words: Sequence[str]) -> int:
    options = arguments(words)
    started = time.monotonic()
    try:
        mutants = chosen(options)
        if options.list:
            print("\n".join(f"{mutant.name:45}{mutant.module}" for mutant in mutants))
            return 0
        killers = hunt(mutants, options.jobs, options.suite or SUITES)
    except Broken as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    survivors = [name for name, killer in killers.items() if killer is None]
    by = Counter(killer for killer in killers.values() if killer is not None)
    print(f"\n{len(killers) - len(survivors)} of {len(killers)} killed in {time.monotonic() - started:.0f} s, by:")
    print("\n".join(f"{count:5}  {suite}" for suite, count in by.most_common()))
    if survivors:
        print(f"survivors: {' '.join(survivors)}", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
