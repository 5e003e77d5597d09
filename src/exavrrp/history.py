"""The last transitions of one virtual router, and the seconds from each of them until its phases were completed.

The part that completes a phase marks it (``History.reach``). The history is bounded, and only shown to people: nothing
depends on it.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum

from exavrrp.view import Moment
from exavrrp.vrrp.router import Role, Transition, Why

KEPT = 4
"""Transitions that are kept: a takeover, the one before it, and how this node had come to be where it was."""


class Phase(StrEnum):
    """A phase after a transition."""

    BOUND = "bound"
    """the kernel accepts packets to the addresses"""
    ANNOUNCED = "announced"
    """ExaBGP was sent the announcement"""
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

    def reach(self, phase: Phase, now: float) -> float | None:
        """The phase was completed ``now`` (monotonic seconds): how long after the last transition, if it is a part of
        that, and is completed for the first time."""
        if not self.last:
            return None
        past = self.last[0]
        # In break before make an Active withdraws and unbinds before its transition: no part of how it took over.
        if phase in past.phases or (phase in _GIVING_UP and past.transition.after is Role.ACTIVE):
            return None
        past.phases[phase] = now - past.at.monotonic
        return past.phases[phase]
