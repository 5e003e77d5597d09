"""Which seeds are simulated, and what is said of one that fails.

CI is deterministic for each commit: most seeds are always the same, the others follow from the commit's id, so that
every commit looks where none has looked before.
"""

import ctypes
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from os import cpu_count
from typing import NamedTuple

from tests.commit import number_of
from tests.simulation.simulation import Simulation

FIXED, FRESH = 150, 50
"""Seeds in CI: always the same, and of this commit."""

LAST = 60
"""Entries of a transcript that are shown of a failure."""

CHUNK = 20
"""Seeds that a process takes at once."""


class Failure(NamedTuple):
    """One seed that did not go well."""

    seed: int
    what: str
    transcript: str


def of_commit(name: str) -> list[int]:
    """The seeds for CI."""
    first = number_of(name, FIXED)
    return [*range(FIXED), *range(first, first + FRESH)]


def simulate(seed: int, last: int | None = LAST) -> Failure | None:
    """One seed; what went wrong, if anything did. ``last``: entries of the transcript to keep, None: all."""
    simulation = Simulation(seed)
    try:
        simulation.run()
    except Exception as error:
        return Failure(seed, f"{type(error).__name__}: {error}", "\n".join(simulation.transcript.lines(last)))
    return None


def told(failure: Failure, name: str) -> str:
    """One line that is enough to do it again, and what happened last."""
    line = f"seed {failure.seed}, commit {name[:12]}: {failure.what}"
    return f"{line}\n{failure.transcript}\nagain, all of it: pytest tests/simulation --seed {failure.seed}"


def many(seeds: range) -> Iterator[tuple[int, list[Failure]]]:
    """All of them, on all cores: how many are done, and the failures among the latest."""
    chunks = [range(begin, min(begin + CHUNK, seeds.stop)) for begin in range(seeds.start, seeds.stop, CHUNK)]
    done = 0
    with get_context("fork").Pool(cpu_count() or 1, _end_with_parent, maxtasksperchild=200) as pool:
        for count, failures in pool.imap_unordered(_chunk, chunks):
            done += count
            yield done, failures


def _end_with_parent() -> None:
    """Linux ends this process, too, if somebody ends the one that has started it (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _chunk(seeds: range) -> tuple[int, list[Failure]]:
    failures = [failure for seed in seeds if (failure := simulate(seed)) is not None]
    return len(seeds), failures
