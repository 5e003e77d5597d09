"""Work that can wait until the adverts that are due have been sent; pure.

Hundreds of routers may have to take over at once. The new Actives must not fall silent while others are being bound,
announced and noted: ``Work`` does such things in slices, one in each turn of the loop. In between, the loop handles
what is due.
"""

from collections import deque
from collections.abc import Callable

from exavrrp.ports import Clock
from exavrrp.timers import Timers

LEAST_WORK = 0.005
"""Seconds of work that can wait, between two looks at the adverts that are due. A takeover needs some 0.5 ms of it."""


class Work:
    """Things to be done soon, in their order."""

    def __init__(self, clock: Clock, timers: Timers, deal: Callable[[Callable[[], None]], None]) -> None:
        """``deal`` has a slice done as an event of the node."""
        self.advert_interval = 1.0
        """the shortest, in seconds"""
        self._clock = clock
        self._timers = timers
        self._deal = deal
        self._waiting: deque[Callable[[], None]] = deque()
        self._working, self._worked = False, 0.0

    def soon(self, act: Callable[[], None]) -> None:
        """Do this in one of the next turns of the loop."""
        self._waiting.append(act)
        if not self._working:
            self._working, self._worked = True, self._clock.time()
            self._clock.call_soon(self._deal, self._slice)

    def not_before(self, when: float, act: Callable[[], None]) -> None:
        """The same, but not before ``when``."""
        if when > self._clock.time():
            self._timers.call_at(when, self.soon, act)
        else:
            self.soon(act)

    def _slice(self) -> None:
        """Some of it, and then the loop looks for what cannot wait: half the time each, when it is busy."""
        now = self._clock.time()
        limit = now + min(max(now - self._worked, LEAST_WORK), self.advert_interval / 2)
        try:
            while self._waiting:
                self._waiting.popleft()()
                if self._clock.time() >= limit:
                    break
        finally:
            self._worked = self._clock.time()
            self._working = bool(self._waiting)
            if self._working:
                self._clock.call_soon(self._deal, self._slice)

    def drop(self) -> None:
        """Drop all of it."""
        self._waiting.clear()
