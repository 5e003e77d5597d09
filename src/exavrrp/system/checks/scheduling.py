"""When each check is carried out: at its interval, never twice at once, spread over time.

``Checks`` owns the timers. The rules are the same for programs and for probes:

- Runs start ``interval`` apart. While the results contradict the verdict they start ``fast_interval`` apart (as with
  HAProxy's ``fastinter``): a change is detected sooner, without a shorter interval the rest of the time.
- Runs of one check never overlap. While a run is being ended, each further interval counts as a failure: a program that
  cannot even be killed (it waits for a disk that hangs) does not keep a node Active.
- The first runs are staggered: checks that start at once would compete for the CPU and all be slow.
- The set of checks may change (``set``). A check whose definition stays is not affected.
- Certificate authorities are loaded before the first run, whose timeout is for the service alone.
- After a pause of this process, missed runs are not made up for: their results would be out of date.
- If other users can change a program now, it is not run any more (``Refused``). That is no evidence about the service:
  a rollout with a wrong umask would otherwise take the service down on all nodes at once. So the last results remain
  valid for ``REFUSAL_GRACE``, which is logged; then the check fails. That time goes on for a check that is changed, or
  called otherwise, if the program is the same.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from exavrrp.config import Check
from exavrrp.config.kinds import Http, Program, Shell
from exavrrp.system import children
from exavrrp.system.checks.outcome import OnOutcome, Outcome, Result
from exavrrp.system.checks.probes import ProbeRun, probe_factory
from exavrrp.system.checks.programs import ProgramRun, starter
from exavrrp.system.checks.web import Contexts
from exavrrp.system.privileges import Refused

STAGGER = 0.05
"""Seconds between the first starts of two checks, or less when their intervals are short."""

CLOSING_GRACE = 0.2
"""Seconds between SIGTERM and SIGKILL when the agent stops: ExaBGP gives it two seconds for everything."""

CLOSING_LIMIT = 0.5
"""Seconds to wait for a program after SIGTERM; then it is not waited for any more."""


LOADING_LIMIT = 5.0
"""Seconds to wait for certificate authorities before the first run. If a disk hangs, that run fails by its timeout."""

REFUSAL_GRACE = 600.0
"""Seconds for which the last results of a program that is refused remain valid: time for an operator to correct it on
every node. A failure of the service is not detected meanwhile, so it is not longer."""


class Run(Protocol):
    """One run of a check, from its start until its process or task has ended."""

    finished: asyncio.Event

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been reported and the run has not ended yet."""

    def lasted(self) -> float:
        """Seconds since the start."""

    def discard_outcome(self) -> None:
        """Report no outcome."""

    def end(self, grace: float) -> None:
        """End it: SIGTERM, and SIGKILL after ``grace`` seconds, or cancel the task."""

    def abandon(self) -> None:
        """End it at once, and report no outcome."""


Start = Callable[[asyncio.AbstractEventLoop, OnOutcome, Callable[[], None]], Run]
"""Starts a run: (loop, called with the outcome, called when the run has ended). Raises OSError."""


Distrust = Callable[[str, str, float], None]
"""Called when a program is refused: (check, the reason with the remedy, seconds until the check fails)."""


def _ignore(check: str, why: str, seconds: float) -> None:
    """Does nothing."""


class Checks:
    """All checks of this node."""

    def __init__(self, result: Result, distrust: Distrust = _ignore) -> None:
        self._result = result
        self._distrust = distrust
        self.schedules: dict[str, Schedule] = {}
        """of each check, by its name"""
        self.ending: list[Run] = []
        """runs of checks that were removed or changed; ``set`` drops those that have ended"""
        self._contexts = Contexts()

    def distrusted(self) -> dict[str, str]:
        """Check → why its program is refused, of those whose last results are still valid."""
        return {name: one.distrusted for name, one in self.schedules.items() if one.distrusted is not None}

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare to start programs. To be called in the main thread."""
        self._loop = loop
        children.expect()

    def set(self, checks: Iterable[Check]) -> None:
        """Carry out exactly these checks.

        A check that stays as it is keeps its times and its current run. The run of a check that was removed or changed
        is ended without a result. A changed check starts when that run has ended, or after ``CLOSING_LIMIT``.
        """
        wanted = {check.name: check for check in checks}
        self.ending = [run for run in self.ending if not run.finished.is_set()]
        ran = {one.check.probe: one for one in self.schedules.values() if one.trusted is not None}
        gone = [name for name, one in self.schedules.items() if wanted.get(name) != one.check]
        closed = {name: self.schedules.pop(name) for name in gone}
        new = [check for name, check in wanted.items() if name not in self.schedules]
        now = self._loop.time()
        for index, check in enumerate(new):
            begin = _beginning(check, self._contexts)
            schedule = self.schedules[check.name] = Schedule(check, begin, self._result, self._distrust)
            if (same := ran.get(check.probe)) is not None:
                schedule.trusted, schedule.distrusted = same.trusted, same.distrusted
            first = now + index * min(STAGGER, check.interval / len(new))
            before = closed.pop(check.name, None)
            start = partial(self._open, schedule, first)
            run = None if before is None else before.close(start)
            if run is None:
                start()
            else:
                self.ending.append(run)
                self._loop.call_later(CLOSING_LIMIT, start)
        self.ending += [run for schedule in closed.values() if (run := schedule.close()) is not None]

    def _open(self, schedule: "Schedule", first: float) -> None:
        """Open it when what it needs has been loaded: that takes our time, not the service's."""
        probe = schedule.check.probe
        context = self._contexts.of(probe) if isinstance(probe, Http) else None
        with contextlib.suppress(OSError):  # each run tries it again, and says so
            if context is not None:
                context.load().add_done_callback(lambda _: schedule.open(self._loop, first))
                self._loop.call_later(LOADING_LIMIT, schedule.open, self._loop, first)
                return
        schedule.open(self._loop, first)

    async def close(self) -> None:
        """Start no more runs, and end and reap those that run, without results. Takes ``CLOSING_LIMIT`` at most.

        If it is cancelled, the remaining processes are killed at once.
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
    """The first start after ``now``, if one was at ``beat`` and they are ``pace`` seconds apart."""
    return beat + pace * (1 + max(0, now - beat) // pace)


class Schedule:
    """When one check runs."""

    def __init__(
        self,
        check: Check,
        begin: Start,
        result: Result,
        distrust: Distrust = _ignore,
    ) -> None:
        self.check = check
        self.distrusted: str | None = None
        """why the program is refused, while its last results are valid"""
        self._distrust = distrust
        self.trusted: float | None = None
        """when it was started for the last time (``loop.time()``)"""
        self._result = result
        self._begin = begin
        self.run: Run | None = None
        """the current run"""
        self.due = math.inf
        """when the next run starts (``loop.time()``)"""
        self._timer: asyncio.TimerHandle | None = None
        self._pace = check.interval
        self._closed = False
        self._then: Callable[[], None] | None = None

    def open(self, loop: asyncio.AbstractEventLoop, first: float) -> None:
        """Start the first run at ``first``, or now if that is past. Does nothing when it is open or closed."""
        if self._timer is None and not self._closed:
            self._loop = loop
            self.due = first
            self._timer = loop.call_at(self.due, self._tick)

    def close(self, then: Callable[[], None] | None = None) -> Run | None:
        """Start no more runs, report no more results, and end the current run, which is returned.

        ``then`` is called when that run has ended; without a current run it is not called.
        """
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.run is not None:
            self._then = then
            self.run.discard_outcome()
            self.run.end(CLOSING_GRACE)
        return self.run

    def _tick(self) -> None:
        self._beat = following(self.due, self._pace, self._loop.time()) - self._pace
        self._arm()
        if self.run is None:
            self._start()
        elif self.run.overdue:
            self._report(Outcome(passed=False, detail=f"still there after {self.run.lasted():.1f} s"))

    def _arm(self) -> None:
        self.due = following(self._beat, self._pace, self._loop.time())
        self._timer = self._loop.call_at(self.due, self._tick)

    def _start(self) -> None:
        self._started = self._loop.time()
        try:
            self.run = self._begin(self._loop, self._report, self._gone)
            self.trusted, self.distrusted = self._started, None
        except Refused as refused:
            self._refuse(refused.text)
        except OSError as error:
            self._report(Outcome(passed=False, detail=f"cannot be started: {error.strerror}"))

    def _refuse(self, why: str) -> None:
        left = 0.0 if self.trusted is None else self.trusted + REFUSAL_GRACE - self._started
        if left > 0:
            self.distrusted = why
            self._distrust(self.check.name, why, left)
        else:
            self.trusted = self.distrusted = None
            self._report(Outcome(passed=False, detail=f"cannot be started: {why}"))

    def _report(self, outcome: Outcome) -> None:
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


def _beginning(check: Check, contexts: Contexts) -> Start:
    probe = check.probe
    if isinstance(probe, Program | Shell):
        ready = starter(check.name, probe)
        return lambda loop, on_outcome, gone: ProgramRun(ready, check.timeout, loop, on_outcome, gone, name=check.name)
    ask = probe_factory(probe, contexts)
    return lambda loop, on_outcome, gone: ProbeRun(ask(), check.timeout, loop, on_outcome, gone)
