"""Which causes of a transition fit what was done. Pure.

The agents note the cause of each transition when they decide it (`exavrrp why`). The first transition of a service in
an episode comes of the fault; those after it come of its healing, or of that transition. So the cause of the first one
has to fit a fault of the episode, as it looks from its own node or from another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exavrrp.chronicle import Entry, Verdict
from lab.chaos.faults import Kind
from lab.chaos.records import Chapter, Chronicle
from lab.chaos.service import SERVICES

SILENT = frozenset({Verdict.SILENT_AT_ONCE, Verdict.SILENT_IN_TURN, Verdict.SILENT_ON_ONLY_PATH})
RESIGNED = frozenset({Verdict.RESIGNED})
BEGUN = frozenset({Verdict.READY, Verdict.RESUMED, Verdict.WAITING, Verdict.STOPPED, Verdict.NOBODY})
"An agent ends, or begins."
SESSIONS = frozenset({Verdict.SESSIONS, Verdict.EXABGP, Verdict.ANNOUNCEMENT})
STOOD = frozenset({Verdict.STALLED, Verdict.BETTER})
"It went on after others had taken over."

FITTING: Mapping[Kind, tuple[frozenset[Verdict], frozenset[Verdict]]] = {
    Kind.POWER_CUT: (BEGUN, SILENT),
    Kind.KILL_AGENT: (BEGUN, SILENT),
    Kind.KILL_AGENT_AGAIN: (BEGUN, SILENT | RESIGNED),
    Kind.KILL_EXABGP: (BEGUN, SILENT | RESIGNED),
    Kind.STOP_AGENT: (STOOD, SILENT),
    Kind.STOP_EXABGP: (SESSIONS, RESIGNED),
    Kind.STOP_BOTH: (STOOD | SESSIONS, SILENT),
    Kind.CUT_UPLINK: (SESSIONS | SILENT | {Verdict.ADVERTS}, SILENT | RESIGNED),
    Kind.ADVERTS_LOST: (SILENT, SILENT),
    Kind.BLACK_HOLE: (SESSIONS | SILENT | {Verdict.ADVERTS}, SILENT | RESIGNED),
    Kind.KILL_ROUTER: (frozenset(), SESSIONS | SILENT | RESIGNED),
    Kind.RELOAD: (SESSIONS, RESIGNED),
    Kind.FULL_RELOAD: (BEGUN | SESSIONS, SILENT | RESIGNED),
    Kind.FAILED_RELOAD: (BEGUN | SESSIONS, SILENT | RESIGNED),
    Kind.UNLIST: (SESSIONS, RESIGNED),
    Kind.TAKE_ADDRESS: (frozenset({Verdict.BIND}), RESIGNED),
    Kind.DRAIN: (frozenset({Verdict.DRAINED}), RESIGNED),
    Kind.UNFIT: (frozenset({Verdict.CHECK}), RESIGNED),
}
"Causes on the struck node, and on another one. With its group a service moves for any of them."


@dataclass(frozen=True, slots=True)
class Naming:
    """The first transition of a service in an episode, and what its node named."""

    chapter: Chapter
    node: str
    entry: Entry
    fits: bool

    @property
    def time(self) -> float:
        """Seconds since the epoch."""
        return self.entry.at.time.timestamp()

    @property
    def verdict(self) -> Verdict | None:
        return None if self.entry.cause is None else self.entry.cause.verdict


def namings(chronicle: Chronicle) -> list[Naming]:
    """One for each service that has moved in an episode, in the order of time."""
    found = []
    for chapter in chronicle.chapters:
        end = chronicle.end if chapter.settled is None else chapter.settled
        inside = [each for each in chronicle.moves if chapter.start <= each[1].at.time.timestamp() <= end]
        for service in SERVICES:
            for node, entry in [each for each in inside if each[1].router == service.name][:1]:
                found.append(Naming(chapter, node, entry, _fits(chapter, node, entry)))
    return found


def _fits(chapter: Chapter, node: str, entry: Entry) -> bool:
    if entry.cause is None:
        return False
    named = entry.cause.verdict
    return named is Verdict.GROUP or any(
        named in FITTING[fault.kind][0 if node == fault.machine else 1] for fault in chapter.episode.faults
    )
