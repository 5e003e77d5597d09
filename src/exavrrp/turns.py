"""The turns of a node: events one after the other, and one alarm for everything that is due; pure.

A late alarm shows that the machine is too slow, or was stopped. Each ring costs a comparison and a
count; they are kept a minute at a time, for an hour.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from exavrrp.ports import Clock
from exavrrp.queues import Queue
from exavrrp.timers import Timer, Timers
from exavrrp.view import Lateness

MINUTE, HOUR = 60.0, 3600.0

LATE = 0.02
"""Seconds after which an alarm counts as late: adverts may be a fifth of their interval late at 100 ms, and no node
takes over before three of them are missing."""


@dataclass(slots=True)
class _Minute:
    """The alarms of one minute."""

    end: float
    alarms: int = 0
    late: int = 0
    maximum: float = 0.0


class Punctuality:
    """How late alarms rang in the last hour. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._minute = _Minute(0.0)
        self._minutes: deque[_Minute] = deque(maxlen=round(HOUR / MINUTE))

    def rang(self, due: float, now: float) -> None:
        """An alarm that was ``due`` rang ``now``."""
        minute, seconds = self._minute, now - due
        if now >= minute.end:
            minute = self._minute = _Minute(now + MINUTE)
            self._minutes.append(minute)
        minute.alarms += 1
        minute.maximum = max(minute.maximum, seconds)
        if seconds > LATE:
            minute.late += 1

    @property
    def recent(self) -> float | None:
        """The latest of the last minutes, in seconds; None: no alarm has rung."""
        return max((minute.maximum for minute in islice(reversed(self._minutes), 2)), default=None)

    def lateness(self, now: float) -> Lateness:
        """Of the last hour."""
        recent = [minute for minute in self._minutes if now - minute.end < HOUR - MINUTE]
        return Lateness(
            alarms=sum(minute.alarms for minute in recent),
            late=sum(minute.late for minute in recent),
            maximum=max((minute.maximum for minute in recent), default=None),
        )


class Turns:
    """The node's queue of events, and its alarm. All times are those of ``clock``."""

    def __init__(self, clock: Clock, end: Callable[[], None]) -> None:
        """``end`` is called at the end of each turn: what many routers ask for in one is done once."""
        self.timers = Timers(clock.time)
        self.punctuality = Punctuality()
        self._clock = clock
        self._end = end
        self._queue = Queue(self._deal)
        self._alarm: tuple[float, Timer] | None = None
        self._closed = False

    def put(self, act: Callable[[], None]) -> None:
        """Do this now; if an event is being handled, after that. What it raises is raised only in the first case."""
        self._queue.put(act)

    def _deal(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            with suppress(Exception):  # the first mistake is the one to be told
                self._end()
            raise
        else:
            self._end()
        finally:
            self._arm()

    def _arm(self) -> None:
        """One alarm for the whole node; one that turns out to be early is armed anew when it rings."""
        deadline = self.timers.deadline
        if self._closed or deadline is None or (self._alarm is not None and self._alarm[0] <= deadline):
            return
        if self._alarm is not None:
            self._alarm[1].cancel()
        self._alarm = deadline, self._clock.call_at(deadline, self._rang, deadline)

    def _rang(self, due: float) -> None:
        self.punctuality.rang(due, self._clock.time())
        self.ring()

    def ring(self) -> None:
        """The alarm: something is due."""
        self._alarm = None
        self.put(self.timers.ring)

    def close(self) -> None:
        """No alarm rings any more."""
        self._closed = True
        if self._alarm is not None:
            self._alarm[1].cancel()
