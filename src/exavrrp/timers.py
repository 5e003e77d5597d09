"""The timers of one node, of which only the next one needs an alarm; pure.

``Timers`` is a heap: whoever owns the clock asks for ``deadline``, arms one alarm for it, and calls ``ring`` when it
is over. An ``Alarm`` is for a deadline that moves all the time, most often to a later moment (each advert of the Active
moves that of a Backup): its entry in the heap stays where it is, and is looked at again when it comes up, so that a
move costs nothing. The price is an alarm now and then for which nothing is due.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVarTuple

_Arguments = TypeVarTuple("_Arguments")


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call; without effect if it has happened."""


class _Entry:
    """One that happens once."""

    __slots__ = ("act", "args")

    def __init__(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.act: Callable[..., object] | None = act
        self.args = args

    def cancel(self) -> None:
        self.act = None

    def pending(self, _: float) -> Callable[..., object] | None:
        return self.act

    def ring(self, _: float) -> None:
        if self.act is not None:
            self.act(*self.args)


class Alarm:
    """Calls ``act(when)`` once ``when`` has come, which may be set anew at any time."""

    __slots__ = ("_act", "_queued", "_timers", "when")

    def __init__(self, timers: "Timers", act: Callable[[float], object]) -> None:
        self.when: float | None = None
        """None: it does not ring"""
        self._timers = timers
        self._act = act
        self._queued: float | None = None
        """the only entry in the heap that counts"""

    def set(self, when: float | None) -> None:
        """Ring at ``when``; None: not at all."""
        self.when = when
        if when is not None and (self._queued is None or when < self._queued):
            self._queued = when
            self._timers.push(when, self)

    def pending(self, at: float) -> Callable[..., object] | None:
        """What is called in the end, if the entry at ``at`` is the one that counts."""
        return self._act if self._queued == at and self.when is not None else None

    def ring(self, at: float) -> None:
        """The entry at ``at`` has come up."""
        if self._queued != at:
            return  # an earlier one has taken its place
        self._queued = None
        if self.when is None:
            return
        if self.when > at:
            self.set(self.when)
        else:
            when, self.when = self.when, None
            self._act(when)


class Timers:
    """The scheduled calls. All times are monotonic seconds."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.time = time
        self._heap: list[tuple[float, int, _Entry | Alarm]] = []
        self._count = 0

    def call_at(self, when: float, act: Callable[[*_Arguments], object], *args: *_Arguments) -> Timer:
        """Call ``act`` at ``when``."""
        entry = _Entry(act, args)
        self.push(when, entry)
        return entry

    def call_later(self, delay: float, act: Callable[[*_Arguments], object], *args: *_Arguments) -> Timer:
        """Call ``act`` in ``delay`` seconds."""
        return self.call_at(self.time() + delay, act, *args)

    def push(self, when: float, entry: _Entry | Alarm) -> None:
        """``entry`` comes up at ``when``; two of one moment in the order in which they were scheduled."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, entry))

    @property
    def deadline(self) -> float | None:
        """When ``ring`` is to be called next; None: nothing is scheduled."""
        heap = self._heap
        while heap and heap[0][2].pending(heap[0][0]) is None:
            when, _, entry = heapq.heappop(heap)
            entry.ring(when)  # nothing happens, but an alarm forgets its entry
        return heap[0][0] if heap else None

    def ring(self) -> None:
        """Make all calls that are due now; those scheduled meanwhile are for the next time.

        An exception of one of them is raised; the others stay due.
        """
        now, heap = self.time(), self._heap
        due: deque[tuple[float, int, _Entry | Alarm]] = deque()
        while heap and heap[0][0] <= now:
            due.append(heapq.heappop(heap))
        try:
            while due:
                when, _, entry = due.popleft()
                entry.ring(when)
        finally:
            for one in due:
                heapq.heappush(heap, one)

    def pending(self) -> Iterator[Callable[..., object]]:
        """All scheduled calls, in no order."""
        # An alarm that was moved to an earlier moment and back has two entries there; the second one will do nothing.
        for when, entry in dict.fromkeys((when, entry) for when, _, entry in self._heap):
            if (act := entry.pending(when)) is not None:
                yield act
