"""Virtual time: one heap of what is to happen, and the event loop of each simulated process above it.

``World`` owns the time that passes here, one source of randomness, and the order of everything: two things that
are due at once happen in the order in which they were arranged, so one seed is one history. It must not know what
happens. ``Loop`` is what a process sees of it: a monotonic clock of its own, which began somewhere and runs a little
too fast or too slow; alarms that ring late; and no time at all while the process is stopped. It looks like the part of
asyncio's loop that the product uses (``exavrrp.ports.Clock``).

A stopped process misses nothing: what becomes due waits. When it goes on, what waits is handed over in one of two
orders, alarms first or packets first. Both happen to real processes, and the product must not care.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeVarTuple

_Arguments = TypeVarTuple("_Arguments")

MOST_AT_ONCE = 20_000
"""Things that may happen at one and the same time before the simulation calls it a loop without end."""


EPOCH = 1_764_000_000.0
"""Seconds since 1970 at the world's beginning."""


class Violation(AssertionError):
    """The product has broken a promise."""


class Handle:
    """Something that is to happen, unless it is cancelled."""

    __slots__ = ("act", "args", "at", "cancelled")

    def __init__(self, at: float, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        """seconds of the world"""
        self.act = act
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """Everything that is to happen, by time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = 0.0
        """seconds since the beginning"""
        self.steps = 0
        self.look: Callable[[], None] | None = None
        """called after everything that happens, if somebody wants to"""
        self._heap: list[tuple[float, int, Handle]] = []
        self._count = 0
        self._at_once = 0

    def at(self, time: float, act: Callable[..., object], *args: Any) -> Handle:
        """Have ``act`` happen at ``time``, or now if that is over."""
        self._count += 1
        handle = Handle(max(time, self.now), act, args)
        heapq.heappush(self._heap, (handle.at, self._count, handle))
        return handle

    def epoch(self) -> float:
        """What the time of day is: seconds since 1970."""
        return EPOCH + self.now

    def after(self, delay: float, act: Callable[..., object], *args: Any) -> Handle:
        """Have ``act`` happen ``delay`` seconds from now."""
        return self.at(self.now + delay, act, *args)

    def arranged(self) -> Iterator[Handle]:
        """Everything that is to happen, in no order; what a dead process has arranged does not."""
        for _, _, handle in self._heap:
            loop = getattr(handle.act, "__self__", None)
            if not handle.cancelled and not (isinstance(loop, Loop) and loop.dead):
                yield handle

    def run(self, until: float) -> None:
        """Let everything happen that is due before ``until``; it is ``until`` afterwards."""
        heap = self._heap
        while heap and heap[0][0] < until:
            time, _, handle = heapq.heappop(heap)
            if handle.cancelled:
                continue
            self._at_once = self._at_once + 1 if time == self.now else 0
            if self._at_once > MOST_AT_ONCE:
                raise Violation("time stands still: something happens again and again at once")
            self.now = time
            self.steps += 1
            handle.act(*handle.args)
            if self.look is not None:
                self.look()
        self.now = until


class Loop:
    """The event loop and the clock of one process."""

    def __init__(self, world: World, clock: "Clock", lateness: float, turned: Callable[[], None]) -> None:
        """``lateness``: seconds that an alarm rings late at most. ``turned`` is called after each turn of the loop."""
        self.stopped = False
        self.dead = False
        self._world = world
        self._clock = clock
        self._lateness = lateness
        self._turned = turned
        self._soon: deque[Handle] = deque()
        self._read_until = 0.0
        self._alarms: list[Handle] = []
        """due while the process was stopped"""
        self._packets: list[Handle] = []

    def time(self) -> float:
        """Monotonic seconds of this process's host."""
        return self._clock.local(self._world.now)

    def call_at(self, when: float, act: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Handle:
        """Have ``act`` happen at ``when``, in the seconds of ``time``, or a little later."""
        late = self._lateness * self._world.random.random() if self._lateness else 0.0
        # Never before its time: ``Clock.world`` rounds, and an alarm that rings early rings again and again.
        handle = self._world.at(self._clock.world(when) + late + 1e-9, self._ring, when, act, args)
        handle.args = (handle, when, act, args)
        return handle

    def call_later(self, delay: float, act: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Handle:
        return self.call_at(self.time() + delay, act, *args)

    def call_soon(self, act: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Handle:
        """Have ``act`` happen at the end of this turn."""
        handle = Handle(self._world.now, act, args)
        self._soon.append(handle)
        return handle

    def readable(self, act: Callable[[], None]) -> None:
        """Something has arrived that ``act`` is to read, as soon as the loop comes round to it."""
        late = self._lateness * self._world.random.random() if self._lateness else 0.0
        self._read_until = max(self._read_until, self._world.now + late)  # in the order of arrival
        handle = self._world.at(self._read_until, self._ready, act)
        handle.args = (handle, act)

    def turn(self, act: Callable[..., object], *args: Any) -> None:
        """One turn of the loop: ``act``, and what it has called for soon."""
        if self.dead:
            return
        act(*args)
        while self._soon and not self.dead:
            soon = self._soon.popleft()
            if not soon.cancelled:
                soon.act(*soon.args)
        self._turned()

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def go_on(self, *, alarms_first: bool) -> None:
        """SIGCONT."""
        self.stopped = False
        alarms = sorted((one for one in self._alarms if not one.cancelled), key=lambda one: one.at)
        packets, self._alarms, self._packets = self._packets, [], []
        for one in (*alarms, *packets) if alarms_first else (*packets, *alarms):
            if not one.cancelled:
                one.act(*one.args)

    @staticmethod
    def meant(handle: Handle) -> Callable[..., object]:
        """What a handle that a loop has arranged will call."""
        if handle.act.__name__ == "_again":
            (handle,) = handle.args
        place = {"_ring": 2, "_ready": 1, "turn": 0}[handle.act.__name__]
        act: Callable[..., object] = handle.args[place]
        return act

    def kill(self) -> None:
        """SIGKILL, or the end of the process: nothing of it happens any more."""
        self.dead = True
        self._soon.clear()

    def _ring(self, handle: Handle, when: float, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.dead:
            return
        if self.stopped:
            self._alarms.append(handle)
        elif self.time() < when:  # the clock stood still for a while
            handle.at = self._clock.world(when)
            self._world.at(handle.at + 1e-9, self._again, handle)
        else:
            self.turn(act, *args)

    def _again(self, handle: Handle) -> None:
        if not handle.cancelled:
            handle.act(*handle.args)

    def _ready(self, handle: Handle, act: Callable[[], None]) -> None:
        if self.stopped:
            self._packets.append(handle)
        else:
            self.turn(act)


class Clock:
    """The clocks of one host: a monotonic one that drifts, and the time of day, which can be set."""

    def __init__(self, world: World, start: float, rate: float, offset: float) -> None:
        """``start``: what the monotonic clock shows at the beginning; ``offset``: of the time of day, in seconds."""
        self._world = world
        self._start = start
        self._rate = rate
        self._asleep = 0.0
        self.offset = offset

    def local(self, now: float) -> float:
        """What the monotonic clock shows when the world's shows ``now``."""
        return self._start + (now - self._asleep) * self._rate

    def world(self, local: float) -> float:
        """The other way round, if it does not stand still meanwhile."""
        return (local - self._start) / self._rate + self._asleep

    def stand_still(self, seconds: float) -> None:
        """This guest was paused: its clock has not seen the last ``seconds``."""
        self._asleep += seconds

    def realtime(self) -> float:
        """Seconds since the epoch, as this host believes."""
        return self._world.epoch() + self.offset
