"""What has become of one virtual router: its last transitions, and how long after each of them what follows was done.

Whoever carries something out marks the phase. What is kept is bounded, and nothing depends on it but what people see.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum

from exavrrp.view import Moment
from exavrrp.vrrp.router import Role, Transition, Why

KEPT = 4
"""Transitions that are kept: a takeover, the one before it, and how this node had come to be where it was."""


class Phase(StrEnum):
    """What follows from a transition."""

    BOUND = "bound"
    """the kernel accepts packets to the addresses"""
    ANNOUNCED = "announced"
    """ExaBGP is told to announce them"""
    CONFIRMED = "confirmed"
    """ExaBGP has carried that out"""
    WITHDRAWN = "withdrawn"
    """ExaBGP has carried out the withdraw"""
    UNBOUND = "unbound"


_GIVING_UP = frozenset({Phase.WITHDRAWN, Phase.UNBOUND})


@dataclass(frozen=True, slots=True)
class Past:
    """One transition."""

    at: Moment
    transition: Transition
    priority: int
    phases: dict[Phase, float] = field(default_factory=dict)
    """seconds after it, each for the first time"""


class History:
    """The last transitions of one virtual router, the latest first."""

    def __init__(self) -> None:
        self.last: deque[Past] = deque(maxlen=KEPT)
        self.counts: Counter[tuple[Role, Why]] = Counter()
        """transitions by the state that was entered, and why"""

    def begin(self, at: Moment, transition: Transition, priority: int) -> None:
        """A transition, ``at`` this moment."""
        self.last.appendleft(Past(at, transition, priority))
        self.counts[transition.after, transition.why] += 1

    def reach(self, phase: Phase, now: float) -> None:
        """This was done ``now`` (monotonic seconds): it follows from the last transition."""
        if not self.last:
            return
        past = self.last[0]
        # In break before make an Active withdraws and unbinds before its transition: no part of how it took over.
        if phase not in _GIVING_UP or past.transition.after is not Role.ACTIVE:
            past.phases.setdefault(phase, now - past.at.monotonic)
