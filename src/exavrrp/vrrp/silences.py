"""How many nodes fell silent lately: takeovers that no priority 0 announced; pure.

A node that dies with its links up leaves its route in the routers until the BGP hold time, and a node that takes over
has to announce a better one (``routes.Takeover.PREPEND``): one step better for each silent takeover within a window
that is at least as long as the hold time. The second to die has announced the better route already, so its successor
needs one that is better still. Hence every node counts every silent takeover, its own and those of others, and as all
hear the same adverts, all come to the same number.

Whoever advertises is the Active. When another one begins, one of three things has happened:

- the Active had said priority 0: it goes in order, and withdraws its route itself;
- the Active was heard a moment ago: it was superseded, lives, and de-prefers its route itself;
- it had not been heard for longer than ``QUIET`` of its intervals: a silent takeover. That is less than the three
  intervals after which a Backup acts (RFC 9568 §6.1), and more than what one lost advert makes of a preemption.

This file must not know of elections, sockets or routes. This node's own adverts are to be told as well (``said``): a
node that was stopped for a while thus counts its own silence when it hears who took over from it.
"""

from collections import deque
from dataclasses import dataclass

from exavrrp.vrrp.packet import LEAVING, Address

QUIET = 2.5
"""Intervals without an advert after which an Active that is followed by another one has fallen silent."""

MOST = 64
"""Silent takeovers remembered: more than there can be prepends to be taken away."""


@dataclass(frozen=True, slots=True)
class _Active:
    source: Address | None
    """None: this node"""
    last: float
    """when its last advert was heard"""
    interval: float
    gone: bool
    """whether that had priority 0"""


class Silences:
    """Counts the silent takeovers of one virtual router. All times are seconds of one monotonic clock."""

    def __init__(self, window: float) -> None:
        """``window``: seconds for which a silent takeover counts; above 0."""
        self._window = window
        self._active: _Active | None = None
        self._times: deque[float] = deque(maxlen=MOST)

    def heard(self, source: Address, priority: int, interval: float, now: float) -> None:
        """An advert of a peer was accepted; ``interval`` is the one that it tells."""
        self._advertised(source, priority, interval, now)

    def said(self, priority: int, interval: float, now: float) -> None:
        """This node has sent an advert of its own."""
        before = self._active
        if priority != LEAVING or (before is not None and before.source is None):
            self._active = _Active(None, now, interval, priority == LEAVING)

    def took_over(self, now: float) -> None:
        """This node has become Active from silence; before or after its first advert."""
        self._times.append(now)
        self._active = None

    def count(self, now: float) -> int:
        """Silent takeovers within the window, ``MOST`` at most."""
        while self._times and self._times[0] + self._window <= now:
            self._times.popleft()
        return len(self._times)

    @property
    def deadline(self) -> float | None:
        """When ``count`` will be smaller; None: it is 0."""
        return self._times[0] + self._window if self._times else None

    def _advertised(self, source: Address, priority: int, interval: float, now: float) -> None:
        before = self._active
        another = before is None or before.source != source
        if priority == LEAVING and another:
            return  # of one that is not followed: its successor has spoken already
        if before is not None and another and not before.gone and now - before.last > QUIET * before.interval:
            self._times.append(now)
        self._active = _Active(source, now, interval, priority == LEAVING)
