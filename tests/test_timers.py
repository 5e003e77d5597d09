"""Timers and alarms, on a clock of the test's own."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.timers import Alarm, Timers


class Time:
    """What the clock shows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = Timers(lambda: self.now)
        self.rung: list[tuple[str, float]] = []

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.rung.append((name, self.now))

    def pass_(self, until: float) -> None:
        self.now = until
        self.timers.ring()


def test_due_calls_are_made_in_order_and_once() -> None:
    time = Time()
    time.timers.call_at(2.0, time.note("second"))
    time.timers.call_at(1.0, time.note("first"))
    time.timers.call_later(2.0, time.note("third"))
    time.timers.call_later(9.0, time.rung.append, ("late", 0.0))
    assert time.timers.deadline == 1.0
    time.pass_(0.9)
    assert not time.rung
    time.pass_(2.0)
    assert time.rung == [("first", 2.0), ("second", 2.0), ("third", 2.0)]
    assert time.timers.deadline == 9.0
    time.pass_(9.0)
    assert time.rung[3:] == [("late", 0.0)]
    assert time.timers.deadline is None


def test_a_cancelled_call_is_not_made() -> None:
    time = Time()
    one, other = (time.timers.call_at(1.0, time.note(name)) for name in ("one", "other"))
    one.cancel()
    time.timers.call_at(1.0, other.cancel)
    time.timers.call_at(2.0, time.note("last")).cancel()
    assert time.timers.deadline == 1.0
    time.pass_(1.5)
    assert time.rung == [("other", 1.5)]
    assert not list(time.timers.pending())
    assert time.timers.deadline is None


def test_a_call_scheduled_meanwhile_is_for_the_next_ring() -> None:
    time = Time()
    time.timers.call_at(1.0, time.timers.call_at, 0.0, time.note("early"))
    time.pass_(1.0)
    assert not time.rung
    assert time.timers.deadline == 0.0
    time.pass_(1.0)
    assert time.rung == [("early", 1.0)]


def test_an_exception_does_not_stop_other_calls() -> None:
    time = Time()
    time.timers.call_at(1.0, int, "no number")
    time.timers.call_at(1.0, time.note("other"))
    with pytest.raises(ValueError, match="no number"):
        time.pass_(1.0)
    assert (time.rung, time.timers.deadline) == ([], 1.0)
    time.pass_(1.0)
    assert time.rung == [("other", 1.0)]


def test_an_alarm_that_moves_later_is_looked_at_again_when_it_comes_up() -> None:
    time = Time()
    alarm = Alarm(time.timers, lambda due: time.rung.append(("alarm", due)))
    alarm.set(1.0)
    alarm.set(3.0)
    assert time.timers.deadline == 1.0
    time.pass_(1.0)
    assert (time.rung, alarm.when, time.timers.deadline) == ([], 3.0, 3.0)
    alarm.set(2.0)
    assert time.timers.deadline == 2.0
    time.pass_(5.0)
    assert time.rung == [("alarm", 2.0)]
    alarm.set(6.0)
    alarm.set(None)
    assert not list(time.timers.pending())
    time.pass_(7.0)
    assert len(time.rung) == 1


def test_an_alarm_that_moved_earlier_leaves_nothing_that_counts() -> None:
    time = Time()
    alarm = Alarm(time.timers, lambda due: time.rung.append(("alarm", due)))
    alarm.set(3.0)
    alarm.set(2.0)
    time.pass_(2.0)
    alarm.set(6.0)
    time.pass_(3.0)
    assert len(list(time.timers.pending())) == 1
    time.pass_(6.0)
    assert time.rung == [("alarm", 2.0), ("alarm", 6.0)]


def test_an_alarm_that_moves_earlier_again_and_again_does_not_fill_the_heap() -> None:
    class Counted(Timers):
        pushes = 0

        def push(self, *entry: Any) -> None:
            self.pushes += 1
            super().push(*entry)

    time, cycles = Time(), 100
    timers = time.timers = Counted(lambda: time.now)
    alarm = Alarm(timers, lambda due: alarm.set(due + 1.0))
    alarm.set(1.0)
    for cycle in range(cycles):
        alarm.set(cycle + 0.3)
        time.pass_(cycle + 1.0)
    assert timers.pushes <= 2 * cycles + 1, "one when it is moved, and one when it has rung"


@given(st.lists(st.tuples(st.floats(0, 9), st.one_of(st.none(), st.floats(0, 20)))))
@example([(0.0, 2.0), (0.0, 1.0), (1.0, 2.0)])  # earlier, and back
def test_an_alarm_rings_when_it_was_set_to_last(moves: list[tuple[float, float | None]]) -> None:
    """At each look it has rung if and only if its last deadline has passed, and no deadline is lost."""
    time = Time()
    rung: list[float] = []
    alarm = Alarm(time.timers, rung.append)
    expected: float | None = None
    for passes, when in moves:
        alarm.set(when)
        expected = when
        time.now += passes
        while (deadline := time.timers.deadline) is not None and deadline <= time.now:
            time.timers.ring()
        if expected is not None and expected <= time.now:
            assert rung.pop() == expected
            expected = None
        assert not rung
        assert alarm.when == expected
        assert list(time.timers.pending()) == ([] if expected is None else [rung.append])
