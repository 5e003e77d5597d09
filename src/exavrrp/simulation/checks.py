"""Health checks as the product schedules them: at their intervals, until ``fall`` bad results in a row count."""

from collections.abc import Callable, Iterable
from typing import Any, cast

from exavrrp import ports
from exavrrp.config import Check
from exavrrp.simulation.process import Process, SimulatedChecks
from exavrrp.simulation.world import Loop
from exavrrp.system.checks.outcome import OnOutcome, Outcome
from exavrrp.system.checks.scheduling import STAGGER, Schedule
from exavrrp.system.checks.scheduling import Run as CheckRun

TAKES = 0.005
"""Seconds for one run."""


class ScheduledChecks(SimulatedChecks):
    """The product's ``Schedule`` for each check; a run says what the ground says of it then."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self._begun = False
        self._schedules: dict[str, Schedule] = {}

    def set(self, checks: Iterable[Check]) -> None:
        wanted = {check.name: check for check in checks}
        for name in [one for one, schedule in self._schedules.items() if schedule.check != wanted.get(one)]:
            self._schedules.pop(name).close()
        added = [check for name, check in wanted.items() if name not in self._schedules]
        new = [Schedule(check, self._start(check), self._result) for check in added]
        self._schedules.update({one.check.name: one for one in new})
        if self._begun:
            self._open(new)

    def begin(self) -> None:
        self._begun = True
        self._open(list(self._schedules.values()))

    def changed(self, name: str) -> None:
        """The next run says so."""

    def _open(self, schedules: list[Schedule]) -> None:
        loop = self._process.loop
        for index, one in enumerate(schedules):
            one.open(cast("Any", loop), loop.time() + index * min(STAGGER, one.check.interval / len(schedules)))

    def _start(self, check: Check) -> Callable[..., CheckRun]:
        def start(loop: Loop, on_outcome: OnOutcome, gone: Callable[[], None]) -> CheckRun:
            healthy = self._process.ground.verdicts.get(check.name, True)
            passed = healthy is not (check.reverse and not check.valued)
            detail = "" if healthy else "as the scenario has it"
            return cast("CheckRun", _Run(loop, on_outcome, gone, Outcome(passed=passed, detail=detail)))

        return start

    def _result(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        node = self._process.node
        node.handle(ports.Checked(name, passed, detail, seconds, value))
        return node.fitness.is_changing(name)


class _Run:
    """One run of a check, which is over soon."""

    overdue = False

    def __init__(self, loop: Loop, on_outcome: OnOutcome, gone: Callable[[], None], outcome: Outcome) -> None:
        self._on_outcome: OnOutcome | None = on_outcome
        self._gone = gone
        self._outcome = outcome
        loop.call_later(TAKES, self._over)

    def _over(self) -> None:
        if self._on_outcome is not None:
            self._on_outcome(self._outcome)
        self._gone()

    def discard_outcome(self) -> None:
        self._on_outcome = None

    def end(self, grace: float) -> None:
        """It is over soon."""
