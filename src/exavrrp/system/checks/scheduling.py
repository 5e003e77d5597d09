"""When each check is carried out: at its interval, never twice at once, spread over time.

``Checks`` owns the timers. The rules are the same for programs and for probes without one:

- Runs start at beats, ``interval`` apart; ``fast_interval`` apart from the last one while the results speak against the
  verdict (as HAProxy's ``fastinter``), so that a change is known sooner without asking more often in between.

- Runs of one check never overlap. While one is being ended, each further interval counts as a failure: a program that
  cannot even be killed (it waits for a dead disk) does not keep a node Active.
- Starts are spread: checks that are started together would compete for the CPU and all look slow.
- Which checks there are may change (``set``): one whose definition stays goes on as if nothing had happened.
- After a pause of our own one run is enough: those that were missed say nothing about now.
- A program that was run and may not be run any more, because others can change it now, says nothing about the service:
  a roll-out with another umask would take the service down on all nodes at once. But nobody can know what is in it any
  more, so it is not run. Its last results stand for ``REFUSAL_GRACE``, loudly; then it fails.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from exavrrp.config import Check
from exavrrp.config.kinds import Program, Shell
from exavrrp.system import children
from exavrrp.system.checks.outcome import Outcome, Result, Tell
from exavrrp.system.checks.probes import ProbeRun, probe_factory
from exavrrp.system.checks.programs import Process, starter
from exavrrp.system.privileges import Refused

STAGGER = 0.05
"""Seconds between the first starts of two checks, or less when their intervals are short."""

CLOSING_GRACE = 0.2
"""Seconds between SIGTERM and SIGKILL when the agent stops: ExaBGP gives it two seconds for everything."""

CLOSING_LIMIT = 0.5
"""Seconds until a program that not even SIGKILL ends is left to itself."""


REFUSAL_GRACE = 600.0
"""Seconds that the results of a program stand after it could be run for the last time: for somebody to read the log and
put it right on every node, and short enough for a failure of the service not to go unnoticed meanwhile."""


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


Distrust = Callable[[str, str, float], None]
"""What is called when a program is not run any more: (check, why and the remedy, seconds until it fails for that)."""


def _unheard(check: str, why: str, seconds: float) -> None:
    """Nobody wants to know."""


class Checks:
    """All checks of this node."""

    def __init__(self, result: Result, distrust: Distrust = _unheard) -> None:
        self._result = result
        self._distrust = distrust
        self.schedules: dict[str, Schedule] = {}
        """of each check, by its name"""
        self.ending: list[Run] = []
        """runs of checks that are carried out no more, or differently; ``set`` drops those that have ended"""

    def distrusted(self) -> dict[str, str]:
        """The checks whose last results stand although their programs are not run any more, and why they are not."""
        return {name: one.distrusted for name, one in self.schedules.items() if one.distrusted is not None}

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be ready. To be called in the main thread."""
        self._loop = loop
        children.expect()

    def set(self, checks: Iterable[Check]) -> None:
        """Carry out exactly these, those that are new from now on.

        One that stays as it is keeps its beats, its pace and what runs. What runs of one that is gone, or is another
        now, is ended and tells no result; another one begins when nothing is left of it, or ``CLOSING_LIMIT`` later.
        """
        wanted = {check.name: check for check in checks}
        self.ending = [run for run in self.ending if not run.finished.is_set()]
        gone = [name for name, one in self.schedules.items() if wanted.get(name) != one.check]
        closed = {name: self.schedules.pop(name) for name in gone}
        new = [check for name, check in wanted.items() if name not in self.schedules]
        now = self._loop.time()
        for index, check in enumerate(new):
            schedule = self.schedules[check.name] = Schedule(check, _beginning(check), self._result, self._distrust)
            first = now + index * min(STAGGER, check.interval / len(new))
            before = closed.pop(check.name, None)
            run = None if before is None else before.close(partial(schedule.open, self._loop, first))
            if run is None:
                schedule.open(self._loop, first)
            else:
                self.ending.append(run)
                self._loop.call_later(CLOSING_LIMIT, schedule.open, self._loop, first)
        self.ending += [run for schedule in closed.values() if (run := schedule.close()) is not None]

    async def close(self) -> None:
        """Start nothing more, end what runs, and reap it; no result is told any more. Takes CLOSING_LIMIT at most.

        A cancelled ``close`` kills at once what is left.
        """
        runs = [run for schedule in self.schedules.values() if (run := schedule.close()) is not None]
        runs += [run for run in self.ending if not run.finished.is_set()]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_LIMIT):
                    await asyncio.gather(*(run.finished.wait() for run in runs))
        finally:
            for run in runs:
                run.abandon()


def following(beat: float, pace: float, now: float) -> float:
    """The first beat after ``now``, if there was one at ``beat`` and they are ``pace`` seconds apart."""
    return beat + pace * (1 + max(0, now - beat) // pace)


class Schedule:
    """When one check runs."""

    def __init__(
        self,
        check: Check,
        begin: Start,
        result: Result,
        distrust: Distrust = _unheard,
    ) -> None:
        self.check = check
        self.distrusted: str | None = None
        """why the program is not run, while its last results stand"""
        self._distrust = distrust
        self._trusted: float | None = None
        """when it could be run for the last time"""
        self._result = result
        self._begin = begin
        self.run: Run | None = None
        """what runs now"""
        self.due = math.inf
        """when it is to run next (``loop.time()``)"""
        self._timer: asyncio.TimerHandle | None = None
        self._pace = check.interval
        self._closed = False
        self._then: Callable[[], None] | None = None

    def open(self, loop: asyncio.AbstractEventLoop, first: float) -> None:
        """Run at ``first`` for the first time, or now if that is over; does nothing when it is open, or closed."""
        if self._timer is None and not self._closed:
            self._loop = loop
            self.due = first
            self._timer = loop.call_at(self.due, self._tick)

    def close(self, then: Callable[[], None] | None = None) -> Run | None:
        """Start nothing more, and tell nothing more; what runs is asked to end. ``then``: when nothing is left of it.

        Without anything that runs, ``then`` is not called.
        """
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.run is not None:
            self._then = then
            self.run.silence()
            self.run.end(CLOSING_GRACE)
        return self.run

    def _tick(self) -> None:
        self._beat = following(self.due, self._pace, self._loop.time()) - self._pace
        self._arm()
        if self.run is None:
            self._start()
        elif self.run.overdue:
            self._tell(Outcome(passed=False, detail=f"still there after {self.run.lasted():.1f} s"))

    def _arm(self) -> None:
        self.due = following(self._beat, self._pace, self._loop.time())
        self._timer = self._loop.call_at(self.due, self._tick)

    def _start(self) -> None:
        self._started = self._loop.time()
        try:
            self.run = self._begin(self._loop, self._tell, self._gone)
            self._trusted, self.distrusted = self._started, None
        except Refused as refused:
            self._refuse(refused.text)
        except OSError as error:
            self._tell(Outcome(passed=False, detail=f"cannot be started: {error.strerror}"))

    def _refuse(self, why: str) -> None:
        left = 0.0 if self._trusted is None else self._trusted + REFUSAL_GRACE - self._started
        if left > 0:
            self.distrusted = why
            self._distrust(self.check.name, why, left)
        else:
            self._trusted = self.distrusted = None
            self._tell(Outcome(passed=False, detail=f"cannot be started: {why}"))

    def _tell(self, outcome: Outcome) -> None:
        seconds = self._loop.time() - self._started
        changing = self._result(self.check.name, outcome.passed, outcome.detail, seconds, outcome.value)
        pace = (changing and self.check.fast_interval) or self.check.interval
        if pace != self._pace and self._timer is not None:
            self._pace = pace
            self._timer.cancel()
            self._arm()

    def _gone(self) -> None:
        self.run = None
        if self._then is not None:
            self._then()


def _beginning(check: Check) -> Start:
    probe = check.probe
    if isinstance(probe, Program | Shell):
        ready = starter(check.name, probe)
        return lambda loop, tell, gone: Process(ready, check.timeout, loop, tell, gone, name=check.name)
    ask = probe_factory(probe)
    return lambda loop, tell, gone: ProbeRun(ask(), check.timeout, loop, tell, gone)
