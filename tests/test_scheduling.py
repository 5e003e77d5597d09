"""When checks run: at their interval, sooner while a state is about to change, and never twice at once."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config import Check
from exavrrp.config.kinds import Shell
from exavrrp.health import CheckState, Initial, Verdict
from exavrrp.system.checks import scheduling
from exavrrp.system.checks.outcome import OnOutcome, Outcome
from exavrrp.system.checks.scheduling import REFUSAL_GRACE, Checks, Run, Schedule, following
from exavrrp.system.privileges import Refused
from tests import checks


@dataclass(order=True)
class Timer:
    """What a loop returns for a callback."""

    when: float
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as a schedule needs, in virtual time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self, until: float) -> None:
        while self._timers and self._timers[0].when <= until:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now = max(self.now, timer.when)
                timer.callback()
        self.now = until


@dataclass
class Probe:
    """A run whose duration and outcome the test sets."""

    loop: Loop
    gone: Callable[[], None]
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    told: bool = False
    silent: bool = False

    def __post_init__(self) -> None:
        self.began = self.loop.now

    @property
    def overdue(self) -> bool:
        return self.told

    def lasted(self) -> float:
        return self.loop.now - self.began

    def discard_outcome(self) -> None:
        self.silent = True

    def end(self, grace: float) -> None:
        self.finished.set()

    def abandon(self) -> None:
        self.finished.set()


@dataclass
class Bench:
    """One check with the state that follows from its results."""

    check: Check
    runs: list[tuple[float, float, bool]]
    """of each run: seconds until its outcome, seconds from then until it is gone, whether it passes; then again"""
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    changing: list[bool] = field(default_factory=list)
    """whether it was, at each start"""
    most: int = 0
    """runs at once"""
    refused: tuple[float, float] = (0.0, 0.0)
    """between these times, in seconds from the beginning, the program must not be run"""
    distrusted: list[float] = field(default_factory=list)
    """seconds left, each time that it was said"""

    def __post_init__(self) -> None:
        self.loop = Loop()
        self.state: CheckState = self.check.state()
        self._alive = 0
        self._opened = self.loop.now
        self.schedule = Schedule(self.check, self._begin, self._result, self._distrust)
        self.schedule.open(cast(Any, self.loop), self.loop.now)

    def _begin(self, loop: asyncio.AbstractEventLoop, on_outcome: OnOutcome, gone: Callable[[], None]) -> Run:
        if self.refused[0] <= self.loop.now - self._opened < self.refused[1]:
            raise Refused("program", "everybody can change; chmod o-w it")
        seconds, after, passes = self.runs[len(self.starts) % len(self.runs)]
        self.starts.append(self.loop.now)
        self.changing.append(self.state.changing)
        self._alive += 1
        self.most = max(self.most, self._alive)
        probe = Probe(self.loop, gone)

        def told() -> None:
            probe.told = True
            if not probe.silent:
                on_outcome(Outcome(passed=passes))
            self.loop.call_at(self.loop.now + after, ended)

        def ended() -> None:
            self._alive -= 1
            self.ends.append(self.loop.now)
            gone()

        self.loop.call_at(self.loop.now + seconds, told)
        return probe

    def doubts(self) -> str | None:
        return self.schedule.distrusted

    def verdict(self) -> Verdict:
        return self.state.verdict

    def _distrust(self, name: str, why: str, seconds: float) -> None:
        assert (name, why) == ("it", "everybody can change; chmod o-w it")
        self.distrusted.append(seconds)

    def _result(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        self.state = self.state.after(passed, detail, value)
        return self.state.changing


def check(**options: Any) -> Check:
    return checks.check(Shell(":"), **({"interval": 1.0, "timeout": 1.0, "rise": 2, "fall": 3} | options))


def after(bench: Bench, seconds: float) -> list[float]:
    """When the runs began until then, in seconds from the first."""
    bench.loop.run(bench.starts[0] + seconds if bench.starts else bench.loop.now + seconds)
    return [round(one - bench.starts[0], 3) for one in bench.starts]


def test_a_check_that_may_change_runs_at_the_fast_interval() -> None:
    good, bad = (0.01, 0.0, True), (0.01, 0.0, False)
    bench = Bench(check(fast_interval=0.1), [good, good, bad, bad, bad, bad, good, good, good, good])
    # The third is bad: two more follow at once and decide; the seventh is good, and one more decides.
    assert after(bench, 6.5) == [0, 1, 2, 2.1, 2.2, 3.2, 4.2, 4.3, 5.3, 6.3]


def test_without_a_change_the_ordinary_interval_returns() -> None:
    good, bad = (0.01, 0.0, True), (0.01, 0.0, False)
    assert after(Bench(check(fast_interval=0.1), [good, bad, good]), 4.3) == [0, 1, 1.1, 2.1, 3.1, 3.2, 4.2]


@pytest.mark.parametrize("fast", [None, 1.0])
def test_without_a_fast_interval_nothing_changes(fast: float | None) -> None:
    good, bad = (0.01, 0.0, True), (0.01, 0.0, False)
    assert after(Bench(check(fast_interval=fast), [good, bad, bad]), 5) == [0, 1, 2, 3, 4, 5]


def test_a_slow_run_is_waited_for_until_the_next_fast_beat() -> None:
    bench = Bench(check(fast_interval=0.1, initial=Initial.PASS), [(0.55, 0.0, False)])
    assert after(bench, 2.0) == [0, 0.6, 1.2]


def test_a_run_that_cannot_be_ended_counts_as_failures_at_the_fast_interval() -> None:
    bench = Bench(check(fast_interval=0.1), [(0.0, 0.0, True), (0.05, 60.0, False)])
    bench.loop.run(bench.loop.now + 1.3)
    assert bench.state.good is False
    assert len(bench.starts) == 2


def test_nothing_begins_after_the_end() -> None:
    bench = Bench(check(fast_interval=0.1), [(0.01, 0.0, True), (0.5, 0.0, False)])
    bench.loop.run(bench.loop.now + 1.2)
    bench.schedule.close()
    bench.loop.run(bench.loop.now + 10)
    assert len(bench.starts) == 2


SECONDS = st.floats(0, 3)


@given(
    interval=st.floats(0.05, 2),
    share=st.floats(0.01, 1),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    runs=st.lists(st.tuples(SECONDS, SECONDS | st.just(0.0), st.booleans()), min_size=1, max_size=8),
)
def test_runs_never_overlap_and_are_never_further_apart_than_the_interval(
    interval: float, share: float, counts: tuple[int, int], runs: list[tuple[float, float, bool]]
) -> None:
    fast = max(0.01, interval * share)
    bench = Bench(check(interval=interval, fast_interval=fast, rise=counts[0], fall=counts[1]), runs)
    bench.loop.run(bench.loop.now + 40)
    assert bench.most == 1
    ready = [bench.starts[0], *(max(pair) for pair in zip(bench.starts, bench.ends, strict=False))]
    for number, (start, free) in enumerate(zip(bench.starts[1:], ready[1:], strict=False)):
        pace = fast if bench.changing[number + 1] else interval
        assert start - bench.starts[number] >= pace - 1e-6
        assert start - free <= interval + 1e-6


@given(beat=st.floats(0, 1e6), pace=st.floats(0.01, 1e5), late=st.floats(-1, 1e6))
def test_the_next_beat_is_at_most_one_pace_away(beat: float, pace: float, late: float) -> None:
    now = beat + late
    found = following(beat, pace, now)
    assert found >= max(now, beat + pace) - 1e-3
    assert found <= max(now, beat) + pace + 1e-3


def test_the_last_results_of_a_program_that_may_not_be_run_any_more_stand_for_a_while() -> None:
    good = (0.01, 0.0, True)
    bench = Bench(check(), [good], refused=(9.5, 5000.0))
    last = bench.loop.now + 9
    bench.loop.run(last + 0.5)
    assert not bench.distrusted
    bench.loop.run(last + REFUSAL_GRACE - 0.5)
    assert bench.verdict() is Verdict.PASSING
    assert bench.doubts() == "everybody can change; chmod o-w it"
    assert bench.distrusted[0] == pytest.approx(REFUSAL_GRACE - 1)
    assert len(bench.distrusted) == REFUSAL_GRACE - 1
    assert len(bench.starts) == 10, "it is not run"
    bench.loop.run(last + REFUSAL_GRACE + 2.5)
    assert bench.verdict() is Verdict.FAILING, "after as many failures as ever"
    assert bench.state.detail == "cannot be started: everybody can change; chmod o-w it"
    assert bench.doubts() is None
    assert len(bench.distrusted) == REFUSAL_GRACE - 1


def test_a_repaired_program_is_run_again_without_a_change() -> None:
    bench = Bench(check(), [(0.01, 0.0, True)], refused=(2.5, 100.5))
    bench.loop.run(bench.loop.now + 102)
    assert bench.verdict() is Verdict.PASSING
    assert bench.doubts() is None
    assert len(bench.starts) == 5


def test_a_program_that_must_not_be_run_from_the_beginning_fails_at_once() -> None:
    bench = Bench(check(), [(0.01, 0.0, True)], refused=(0.0, 10.0))
    bench.loop.run(bench.loop.now + 0.5)
    assert bench.verdict() is Verdict.FAILING
    assert not bench.distrusted


@pytest.mark.parametrize("name", ["it", "renamed"])
def test_a_reload_does_not_forget_when_a_program_was_run(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    loop = Loop()
    results: list[tuple[str, bool]] = []
    distrusted: list[tuple[str, float]] = []
    refused = False

    def begin(*given: Any, **_: str) -> Run:
        if refused:
            raise Refused("program", "everybody can change; chmod o-w it")
        *_rest, on_outcome, gone = given
        loop.call_at(loop.now, gone)
        loop.call_at(loop.now, lambda: on_outcome(Outcome(passed=True)))
        return Probe(loop, gone)

    def result(name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        results.append((name, passed))
        return False

    monkeypatch.setattr(scheduling, "ProgramRun", begin)
    engine = Checks(result, lambda name, _, seconds: distrusted.append((name, seconds)))
    engine.open(cast(Any, loop))
    engine.set([check()])
    loop.run(loop.now + 2.5)
    refused = True
    loop.run(loop.now + 1)
    engine.set([check(name=name, interval=2.0)])
    assert engine.distrusted() == {name: "everybody can change; chmod o-w it"}
    loop.run(loop.now + 1)
    assert results == [("it", True)] * 3
    assert distrusted == [("it", REFUSAL_GRACE - 1), (name, REFUSAL_GRACE - 1.5)]
    engine.set([replace(check(name=name), probe=Shell("another"))])
    loop.run(loop.now)
    assert results[3:] == [(name, False)]
