"""The order of bind, announce, withdraw and unbind: transcripts in ``presence/*.txt``, and invariants.

The inputs of a story:

    presence make-before-break|break-before-make [hold SECONDS] [linger SECONDS] [ceiling SECONDS] [stale SECONDS]
             [standby|prebind]
    TIME EVENT

``presence`` begins a new story. What comes out of an input is the steps in their order and then the state.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.presence import (
    ANSWER_LIMIT,
    SETTLE,
    Absent,
    Binding,
    Event,
    Handover,
    Leaving,
    Lingering,
    Presence,
    Present,
    Settings,
    Stage,
    State,
    Step,
    Stranded,
    Withdrawing,
)
from exavrrp.routes import Level

TRANSCRIPTS = sorted((Path(__file__).parent / "presence").glob("*.txt"))


class Replay:
    """Feeds the lines of one transcript to a presence."""

    def __init__(self) -> None:
        self.presence: Presence | None = None
        self.now = 0.0

    def __call__(self, line: str) -> Iterator[str]:
        match line.split():
            case ["presence", handover, *limits]:
                self.presence = Presence(_settings(handover, limits))
                self.now = 0.0
            case [time, name] if self.presence is not None and name.upper() in Event.__members__:
                if float(time) < self.now:
                    raise ValueError(f"time goes back from {self.now:g}")
                self.now = float(time)
                steps = self.presence.handle(Event[name.upper()], self.now)
                yield from (step.name.lower() for step in steps)
            case _:
                raise ValueError("neither a presence nor a time and an event")
        yield _state(self.presence)


def _settings(handover: str, limits: list[str]) -> Settings:
    backup = limits.pop() if limits and limits[-1] in {"standby", "prebind"} else None
    names, values = limits[::2], limits[1::2]
    if set(names) - {"hold", "linger", "ceiling", "stale"}:
        raise ValueError(f"no such limits: {names}")
    usual = {"hold": 1.0, "linger": 2.0, "ceiling": 30.0, "stale": 180.0}
    usual |= dict(zip(names, map(float, values), strict=True))
    return Settings(Handover(handover), **usual, standby=backup == "standby", prebind=backup == "prebind")


def _state(presence: Presence) -> str:
    bound = "bound" if presence.bound else "not bound"
    level = "not announced" if presence.level is None else f"announced as {presence.level}"
    if isinstance(presence.state, Leaving):
        level += (
            ", awaits successor"
            if presence.awaits_successor
            else ", last resort"
            if presence.last_resort
            else ", has successor"
        )
    until = "" if presence.deadline is None else f", until {presence.deadline:g}"
    return f"{type(presence.state).__name__.lower()}: {bound}, {level}{until}"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, transcript: Callable[[Path, Replay], None]) -> None:
    replay = Replay()
    transcript(path, replay)
    assert replay.presence is not None, "nothing was replayed"


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 4


@pytest.mark.parametrize(
    "line",
    ["0 promoted", "presence", "presence soon", "presence make-before-break hold", "presence make-before-break held 1"],
)
def test_a_line_that_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Replay()(line))


@pytest.mark.parametrize("line", ["promoted", "0 demote", "0 bound lo", "-1 bound"])
def test_an_event_that_is_not_understood_is_an_error(line: str) -> None:
    replay = Replay()
    list(replay("presence make-before-break"))
    with pytest.raises(ValueError, match=r"."):
        list(replay(line))


# Whatever happens


class World:
    """Carries the steps out as the agent does, and knows what must never be."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.now = 0.0
        self.bound = False
        self.announced = False

    def step(self, event: Event) -> list[Step]:
        if event in (Event.INHERITED, Event.ORPHANED) and isinstance(self.presence.state, Absent):
            self.bound = self.announced = True  # by a predecessor
        before, deadline = self.presence.state, self.presence.deadline
        steps = self.presence.handle(event, self.now)
        for step in steps:
            self.carry_out(step)
        assert self.bound == self.presence.bound, "bound exactly when presence says so"
        assert self.announced == (self.presence.level is not None)
        if event is Event.TIMEOUT:
            due = deadline is not None and self.now >= deadline
            assert due or (steps, self.presence.state) == ([], before), "a Timeout before the deadline did something"
            assert not due or self.presence.state != before, "a deadline passed and nothing came of it"
        assert event is not Event.UNBOUND or not self.bound
        if type(self.presence.state) is not type(before):
            assert self.presence.deadline is None or self.now <= self.presence.deadline < math.inf
        return steps

    def carry_out(self, step: Step) -> None:
        match step:
            case Step.BIND:
                self.bound = True
            case Step.ANNOUNCE:
                assert self.bound, "announced while unbound"
                self.announced = True
            case Step.WITHDRAW:
                self.announced = False
            case Step.UNBIND:
                assert self.bound, "unbound twice"
                assert not self.announced, "unbound while announced"
                self.bound = False

    def pause(self, seconds: float | None) -> None:
        """So many seconds pass; None: until the deadline, if it lies ahead."""
        if seconds is None:
            self.now = max(self.now, self.presence.deadline or 0)
        else:
            self.now += seconds

    def wait(self) -> None:
        """Let every deadline pass until there is none."""
        for _ in range(5):
            if self.presence.deadline is None:
                return
            self.pause(None)
            self.step(Event.TIMEOUT)
        raise AssertionError(f"never at rest: {self.presence.state}")


SETTINGS = st.builds(
    Settings,
    st.sampled_from(Handover),
    hold=st.sampled_from([0.0, 1.0]),
    linger=st.sampled_from([0.0, 2.0]),
    ceiling=st.sampled_from([1.0, 30.0]),
    stale=st.sampled_from([1.0, 180.0]),
    standby=st.booleans(),
    prebind=st.booleans(),
).filter(lambda settings: settings.standby + settings.prebind <= (settings.handover is Handover.MAKE_BEFORE_BREAK))
EVENTS = st.one_of(st.sampled_from(Event), st.sampled_from([Event.PROMOTED, Event.BOUND, Event.TIMEOUT]))
HISTORY = st.lists(st.tuples(st.one_of(st.none(), st.just(0.0), st.floats(0, 40)), EVENTS), max_size=40)


def lived(settings: Settings, history: list[tuple[float | None, Event]]) -> World:
    world = World(Presence(settings))
    for pause, event in history:
        world.pause(pause)
        world.step(event)
    return world


@given(settings=SETTINGS, history=HISTORY)
def test_whatever_happens(settings: Settings, history: list[tuple[float | None, Event]]) -> None:
    lived(settings, history)


@given(settings=SETTINGS, history=HISTORY, how=st.sampled_from([Event.SUPERSEDED, Event.DEMOTED, Event.INCAPABLE]))
def test_a_release_always_ends_with_nothing_bound(
    settings: Settings, history: list[tuple[float | None, Event]], how: Event
) -> None:
    world = lived(settings, history)
    began = world.now
    world.step(how)
    awaited = isinstance(world.presence.state, Stranded) or world.presence.state == Withdrawing(None, ANY)
    for event in (Event.WITHDRAWN, Event.SUCCESSOR) if awaited else ():
        world.step(event)  # for which these states wait without a limit
    world.wait()
    if world.bound:
        assert settings.standby or settings.prebind
        assert world.presence.level in (Level.STANDBY, None), "standing by, or about to"
        assert settings.standby or world.presence.prebound
        world.step(Event.RETIRE)
        world.wait()
    assert (world.bound, world.announced) == (False, False)
    # A ceiling for the successor, another for ExaBGP's answer, and what follows a withdraw. Standing by takes no time.
    answer = max(settings.stale, ANSWER_LIMIT)
    assert world.now <= began + settings.ceiling + answer + max(settings.linger, SETTLE)


@given(settings=SETTINGS, history=HISTORY)
def test_break_before_make_ends_soon_and_in_order(
    settings: Settings, history: list[tuple[float | None, Event]]
) -> None:
    """An Active that is releasing waits for these steps."""
    world = lived(replace(settings, handover=Handover.BREAK_BEFORE_MAKE, standby=False, prebind=False), history)
    began = world.now
    world.step(Event.UNWANTED)
    assert not world.announced
    world.wait()
    assert not world.bound
    assert world.now <= began + ANSWER_LIMIT + SETTLE + 1e-6


@given(settings=SETTINGS, history=HISTORY)
def test_a_promotion_always_ends_in_serving(settings: Settings, history: list[tuple[float | None, Event]]) -> None:
    world = lived(settings, history)
    world.step(Event.PROMOTED)
    world.step(Event.BOUND)
    assert world.bound
    assert world.announced


@given(settings=SETTINGS)
def test_with_make_before_break_a_handover_never_leaves_a_gap(settings: Settings) -> None:
    world = lived(settings, [(0.0, Event.PROMOTED), (0.0, Event.BOUND)])
    steps = world.step(Event.SUPERSEDED)
    if settings.handover is Handover.MAKE_BEFORE_BREAK:
        assert steps == [Step.ANNOUNCE]
        assert world.presence.deadline == world.now + settings.hold / 2
    else:
        assert steps == [Step.WITHDRAW]


@pytest.mark.parametrize(
    ("state", "succeeded"),
    [
        (Binding(Level.LEAVING, Level.ACTIVE), False),
        (Present(Level.ACTIVE), False),
        (Leaving(None, Stage.AWAITING), False),
        (Leaving(9.0, Stage.SUCCEEDED), True),
        (Leaving(9.0, Stage.LAST_RESORT), True),
    ],
)
def test_who_becomes_active_again_while_announced_as_leaving_has_no_successor(state: State, succeeded: bool) -> None:
    """A caretaker ends ExaBGP once another node serves; not while it binds what it goes on with itself."""
    presence = Presence(Settings(Handover.MAKE_BEFORE_BREAK, hold=1, linger=0.5, ceiling=2, stale=2))
    presence.state = state
    assert presence.has_successor is succeeded


def test_a_time_limit_shortens_timers_and_lengthens_none() -> None:
    slow = Settings(Handover.MAKE_BEFORE_BREAK, hold=8, linger=4, ceiling=60, stale=90)
    fast = replace(slow, hold=1, linger=0.5, ceiling=2, stale=2)
    cases: list[tuple[State, State]] = [
        (Leaving(40.0, Stage.AWAITING), Leaving(12.0, Stage.AWAITING)),
        (Leaving(14.0, Stage.SUCCEEDED), Leaving(10.5, Stage.SUCCEEDED)),
        (Leaving(10.1, Stage.LAST_RESORT), Leaving(10.1, Stage.LAST_RESORT)),
        (Leaving(None, Stage.AWAITING), Leaving(None, Stage.AWAITING)),
        (Withdrawing(60.0, 4.0), Withdrawing(12.0, 0.5)),
        (Withdrawing(None, 4.0), Withdrawing(12.0, 0.5)),
        (Lingering(14.0), Lingering(10.5)),
        (Stranded(4.0, has_successor=True), Lingering(10.5)),
        (Absent(), Absent()),
    ]
    for before, after in cases:
        presence = Presence(slow)
        presence.state = before
        presence.expedite(fast, 10.0)
        assert (presence.state, presence.settings) == (after, fast)


def test_with_a_time_limit_a_refusal_does_not_strand_the_address() -> None:
    """The process is about to end: it does not stay bound until another node serves."""
    presence = Presence(Settings(Handover.MAKE_BEFORE_BREAK, hold=1, linger=0.5, ceiling=2, stale=2))
    for event in (Event.PROMOTED, Event.BOUND):
        presence.handle(event, 0.0)
    presence.expedite(presence.settings, 10.0)
    assert presence.handle(Event.UNANNOUNCED, 10.0) == [Step.WITHDRAW]
    assert presence.handle(Event.KEPT, 10.0) == []
    assert presence.deadline == 12.0, "nor one that only some neighbors take"
    assert presence.handle(Event.WITHDRAWN, 10.1) == []
    assert presence.deadline == pytest.approx(10.6)
    assert presence.handle(Event.TIMEOUT, 10.6) == [Step.UNBIND]


@pytest.mark.parametrize(
    "events",
    [
        (Event.UNANNOUNCED, Event.KEPT, Event.INCAPABLE),
        (Event.INCAPABLE, Event.KEPT, Event.UNANNOUNCED, Event.INCAPABLE),
        (Event.UNANNOUNCED, Event.INCAPABLE, Event.KEPT),
    ],
)
def test_what_a_neighbor_has_stays_bound_whatever_else_goes_wrong(events: tuple[Event, ...]) -> None:
    presence = Presence(Settings(Handover.MAKE_BEFORE_BREAK, hold=1, linger=0.5, ceiling=2, stale=2))
    for event in (Event.PROMOTED, Event.BOUND, *events):
        presence.handle(event, 0.0)
    assert presence.state == Withdrawing(None, SETTLE)
    presence.handle(Event.WITHDRAWN, 100.0)
    assert presence.handle(Event.TIMEOUT, 100.0 + SETTLE) == [Step.UNBIND]


@pytest.mark.parametrize("answered", [True, False])
def test_silence_is_no_answer_to_a_withdraw(answered: bool) -> None:
    presence = Presence(Settings(Handover.MAKE_BEFORE_BREAK, hold=1, linger=5.0, ceiling=2, stale=2))
    for event in (Event.PROMOTED, Event.BOUND, Event.UNWANTED):
        presence.handle(event, 0.0)
    presence.handle(*((Event.WITHDRAWN, 0.1) if answered else (Event.TIMEOUT, 2.0)))
    for event in (Event.UNANNOUNCED, Event.KEPT):
        presence.handle(event, 3.0)
    assert presence.state == Stranded(5.0, withdrawn=answered, kept=not answered)
    presence.handle(Event.SUCCESSOR, 4.0)
    assert presence.handle(Event.TIMEOUT, 9.0) == ([Step.UNBIND] if answered else [])
