"""What was recorded in a chaos run, as values. Pure.

Times are seconds since the epoch, as everywhere in the lab. Half an hour has a million probes: `Stream` keeps nine
bytes of each, and makes a `Probe` of them when somebody asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

from exavrrp.chronicle import Entry
from lab.addressing import Family
from lab.chaos.faults import Episode, Fault, Terms
from lab.facts import NS, AgentEvent, Incident, Probe, RouteChange

NOBODY = -1


class Stream(Sequence[Probe]):
    """The probes to one virtual address, in the order of their numbers."""

    def __init__(self) -> None:
        self._sent = array("q")
        self._by = array("b")
        self._names: list[str] = []

    def take(self, line: str) -> None:
        """One complete line of the prober's; raises ValueError for one it cannot have written."""
        match line.split():
            case ["s", number, time] if int(number) == len(self._sent):
                self._sent.append(int(time))
                self._by.append(NOBODY)
            case ["a", number, _, node] if int(number) < len(self._sent):
                if node not in self._names:
                    self._names.append(node)
                self._by[int(number)] = self._names.index(node)
            case _:
                raise ValueError(f"not a prober's line: {line!r}")

    def __len__(self) -> int:
        return len(self._sent)

    @overload
    def __getitem__(self, index: int) -> Probe: ...
    @overload
    def __getitem__(self, index: slice) -> list[Probe]: ...
    def __getitem__(self, index: int | slice) -> Probe | list[Probe]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        sent, by = self._sent[index] * NS, self._by[index]
        number = index if index >= 0 else len(self) + index
        # When the answer came is of no interest here, only that it did.
        return Probe(number, sent, None if by == NOBODY else sent, None if by == NOBODY else self._names[by])

    def between(self, start: float, end: float) -> list[Probe]:
        """Those sent in this time."""
        return self[self._index(start) : self._index(end)]

    def _index(self, time: float) -> int:
        """Of the first one sent then or later."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._sent[middle] * NS < time else (low, middle)
        return low


@dataclass(frozen=True, slots=True)
class Lateness:
    """The canary, which does nothing but wake up every few milliseconds, woke up late."""

    time: float
    "when it should have woken up"
    seconds: float


@dataclass(slots=True)
class Trouble:
    """One fault as it happened."""

    fault: Fault
    start: float
    end: float | None = None
    "when it was healed; None: not yet"


@dataclass(slots=True)
class Chapter:
    """One episode as it happened."""

    number: int
    episode: Episode
    start: float
    troubles: list[Trouble] = field(default_factory=list)
    settled: float | None = None
    "when all had converged; None: it has not"

    @property
    def healed(self) -> float:
        """When the last of its troubles was over."""
        return max((each.end for each in self.troubles if each.end is not None), default=self.start)


@dataclass(frozen=True, slots=True)
class Weight:
    """The memory and descriptors of an agent."""

    time: float
    node: str
    process: int
    pss: int
    "proportional set size, KiB: its own memory, and its share of what others use, too"
    rss: int
    "KiB"
    descriptors: int


@dataclass(slots=True)
class Chronicle:
    """Everything recorded in one run; each list in the order of time."""

    seed: int
    terms: Terms
    begin: float
    end: float = 0.0
    chapters: list[Chapter] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)
    "by the name of the service"
    routes: dict[str, list[RouteChange]] = field(default_factory=dict)
    "by the name of the service"
    ways_back: dict[Family, list[RouteChange]] = field(default_factory=dict)
    "each router's routes to the client"
    agents: list[AgentEvent] = field(default_factory=list)
    moves: list[tuple[str, Entry]] = field(default_factory=list)
    "the transitions in the agents' journals, with their causes: node, entry"
    notes: list[Incident] = field(default_factory=list)
    "what the lab did besides: restarts by the supervisor"
    lateness: list[Lateness] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    census: list[str] = field(default_factory=list)
    "what was not as it should be when everything was quiet again"
    complaints: list[str] = field(default_factory=list)
    "what did not happen within its limit"
