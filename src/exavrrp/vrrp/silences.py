"""How many nodes fell silent lately: takeovers that no priority 0 announced; pure.

A node that dies with its links up leaves its route in the routers until the BGP hold time, and a node that takes over
has to announce a better one (``routes.Takeover.PREPEND``): one step better than the dead node's was. The second to die
has announced the better route already, so its successor needs one that is better still. Hence every node counts every
silent takeover, its own and those of others, and all who hear the same adverts come to the same number. It is
forgotten when nobody has fallen silent for a window that is at least as long as the hold time: no part of it earlier,
because each route that a dead node has left is as good as the number that counted when it died. And then one by one:
when a path becomes longer by two at once, a detour over another router's old one looks as short (seen with BIRD).

Whoever advertises is the Active. When another one begins, one of three things has happened:

- the Active had said priority 0: it goes in order, and withdraws its route itself;
- the Active was heard a moment ago: it was superseded, lives, and de-prefers its route itself;
- it had not been heard for longer than ``QUIET`` of its intervals: a silent takeover. That is less than the three
  intervals after which a Backup acts (RFC 9568 §6.1), and more than what one lost advert makes of a preemption.

This file must not know of elections, sockets or routes. This node's own adverts are to be told as well (``said``): a
node that was stopped for a while thus counts its own silence when it hears who took over from it, and as of when the
others did if one of them took over at once: it is not to count it for longer.
"""

from dataclasses import dataclass
from typing import NamedTuple

from exavrrp.vrrp.packet import LEAVING, Address

QUIET = 2.5
"""Intervals without an advert after which an Active that is followed by another one has fallen silent."""

DOWN = 3.0
"""Intervals without an advert after which a Backup takes over, without Skew_Time (RFC 9568 §6.1)."""

PACE = 1.0
"""Seconds from one to the next that is forgotten: more than routers need to tell each other."""

ABSENCE = 1.0
"""Seconds for which an agent is away at most when it is killed, about: ExaBGP starts another one at once."""

MOST = 64
"""Silent takeovers that are counted: more than there can be prepends to be taken away."""


class Count(NamedTuple):
    """What is remembered of silent takeovers."""

    number: int
    latest: float
    """when the last of them was"""


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
        """``window``: seconds without a silent takeover after which they are forgotten; above 0."""
        self.deadline: float | None = None
        """when ``count`` will be smaller; None: it is 0"""
        self._window = window
        self._active: _Active | None = None
        self._other: _Active | None = None
        """the last one that was not this node"""
        self._count = Count(0, 0.0)
        self._forgotten = 0
        """of that number"""

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
        self._fell_silent(self._other, now)
        # Our first advert is still to come, and the one that was followed is gone.
        if self._active is self._other:
            self._active = None

    def resumed(self, now: float) -> None:
        """An earlier life of this node was Active until a while ago; before anything else.

        An interval of 0: whoever is heard before this life says anything has taken over from silence.
        """
        self._active = _Active(None, now, 0.0, gone=False)

    def recall(self, count: Count, now: float) -> None:
        """What an earlier life of this node has counted; before anything else."""
        if count.latest <= now:
            self._remember(count._replace(number=min(count.number, MOST)))

    @property
    def remembered(self) -> Count | None:
        """For a later life, which forgets by itself; None: nobody has fallen silent yet."""
        return self._count if self._count.number else None

    def count(self, now: float) -> int:
        """Silent takeovers that are not forgotten yet."""
        while self.deadline is not None and self.deadline <= now:
            self._forgotten += 1
            self.deadline = self.deadline + PACE if self._forgotten < self._count.number else None
        return self._count.number - self._forgotten

    def _fell_silent(self, silent: _Active | None, now: float) -> None:
        """One more than what counted when it was last heard: it may have announced that."""
        # Or what had counted until a moment before: it has heard of the silence before later than we have, by some
        # intervals, or when its agent came back, and forgets it as much later.
        heard = now if silent is None else silent.last - QUIET * silent.interval - ABSENCE
        late = heard - self._count.latest - self._window
        known = self._count.number if late < 0 else max(0, self._count.number - 1 - int(late / PACE))
        self._remember(Count(min(known + 1, MOST), now if silent is None else _noticed(silent, now)))

    def _remember(self, count: Count) -> None:
        self._count = count
        self._forgotten = 0
        self.deadline = count.latest + self._window

    def _advertised(self, source: Address, priority: int, interval: float, now: float) -> None:
        before = self._active
        another = before is None or before.source != source
        if priority == LEAVING and another:
            return  # of one that is not followed: its successor has spoken already
        if before is not None and another and not before.gone and now - before.last > QUIET * before.interval:
            self._fell_silent(before, now)
        self._active = self._other = _Active(source, now, interval, priority == LEAVING)


def _noticed(silent: _Active, now: float) -> float:
    """When others noticed what this node has noticed ``now``: earlier, if it was asleep itself."""
    slept = silent.source is None and silent.interval > 0  # an earlier life was not
    return min(now, silent.last + DOWN * silent.interval) if slept else now
