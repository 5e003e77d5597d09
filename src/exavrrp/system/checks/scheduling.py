"""When each check is carried out: at its interval, never twice at once, spread over time.

``Checks`` owns the timers. The rules are the same for programs and for probes without one:

- Runs of one check never overlap. While one is being ended, each further interval counts as a failure: a program that
  cannot even be killed (it waits for a dead disk) does not keep a node Active.
- Starts are spread: checks that are started together would compete for the CPU and all look slow.
- After a pause of our own one run is enough: those that were missed say nothing about now.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

from exavrrp.config import Check, Program, Shell
from exavrrp.system import children
from exavrrp.system.checks.outcome import Outcome, Result, Tell
from exavrrp.system.checks.probes import Attempt, questioner
from exavrrp.system.checks.programs import Process, starter

STAGGER = 0.05
"""Seconds between the first starts of two checks, or less when their intervals are short."""

CLOSING_GRACE = 0.2
"""Seconds between SIGTERM and SIGKILL when the agent stops: ExaBGP gives it two seconds for everything."""

CLOSING_LIMIT = 0.5
"""Seconds until a program that not even SIGKILL ends is left to itself."""


class Run(Protocol):
    """One run of a check, from its start until nothing of it is left."""

    finished: asyncio.Event

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been told and the run is still there."""

    def lasted(self) -> float:
        """Seconds since the start."""

    def silence(self) -> None:
        """Tell no outcome."""

    def end(self, grace: float) -> None:
        """Ask it to end, and insist after ``grace`` seconds."""

    def abandon(self) -> None:
        """Be done with it at once."""


Start = Callable[[asyncio.AbstractEventLoop, Tell, Callable[[], None]], Run]
"""Begins a run: (loop, what to do with the outcome, what to do when nothing is left of it). Raises OSError."""


class Checks:
    """All checks of this node."""

    def __init__(self, checks: Iterable[Check], result: Result) -> None:
        self._schedules = [_Schedule(check, result) for check in checks]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to carry them out, the first at once. To be called in the main thread."""
        children.expect()
        now, count = loop.time(), len(self._schedules)
        for index, schedule in enumerate(self._schedules):
            schedule.open(loop, now + index * min(STAGGER, schedule.check.interval / count))

    async def close(self) -> None:
        """Start nothing more, end what runs, and reap it; no result is told any more. Takes CLOSING_LIMIT at most.

        A cancelled ``close`` kills at once what is left.
        """
        runs = [run for schedule in self._schedules if (run := schedule.close()) is not None]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_LIMIT):
                    await asyncio.gather(*(run.finished.wait() for run in runs))
        finally:
            for run in runs:
                run.abandon()


class _Schedule:
    """When one check runs."""

    def __init__(self, check: Check, result: Result) -> None:
        self.check = check
        self._result = result
        self._begin = _beginning(check)
        self._run: Run | None = None
        self._timer: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop, first: float) -> None:
        self._loop = loop
        self._due = first
        self._timer = loop.call_at(self._due, self._tick)

    def close(self) -> Run | None:
        if self._timer is not None:
            self._timer.cancel()
        if self._run is not None:
            self._run.silence()
            self._run.end(CLOSING_GRACE)
        return self._run

    def _tick(self) -> None:
        late = self._loop.time() - self._due
        self._due += self.check.interval * (1 + max(0, late) // self.check.interval)
        self._timer = self._loop.call_at(self._due, self._tick)
        if self._run is None:
            self._start()
        elif self._run.overdue:
            self._tell(Outcome(passed=False, detail=f"still there after {self._run.lasted():.1f} s"))

    def _start(self) -> None:
        self._started = self._loop.time()
        try:
            self._run = self._begin(self._loop, self._tell, self._gone)
        except OSError as error:
            self._tell(Outcome(passed=False, detail=f"cannot be started: {error.strerror}"))

    def _tell(self, outcome: Outcome) -> None:
        seconds = self._loop.time() - self._started
        self._result(self.check.name, outcome.passed, outcome.detail, seconds, outcome.value)

    def _gone(self) -> None:
        self._run = None


def _beginning(check: Check) -> Start:
    probe = check.probe
    if isinstance(probe, Program | Shell):
        ready = starter(check.name, probe)
        return lambda loop, tell, gone: Process(ready, check.timeout, loop, tell, gone)
    ask = questioner(probe)
    return lambda loop, tell, gone: Attempt(ask(), check.timeout, loop, tell, gone)
