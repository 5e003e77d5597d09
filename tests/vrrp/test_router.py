"""Invariants of the state machine, alone and with others.

The examples are transcripts in ``rfc9568/*.txt``; here are the sentences that begin with "never" and "always".
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count, pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import (
    SLOTS,
    Action,
    Active,
    Advertise,
    Backup,
    Configure,
    Event,
    Initialize,
    Prioritise,
    Received,
    Release,
    Role,
    Router,
    Settings,
    Shutdown,
    Startup,
    State,
    Timeout,
    Transition,
    Why,
    Yield,
)

VIPS = (ip_address("2001:db8:53::1"),)


def node(number: int) -> Address:
    return ip_address("2001:db8::") + number


def down_interval(priority: int, interval: float, count: int = 3) -> float:
    """Active_Down_Interval, RFC 9568 §6.1, written down a second time."""
    return count * interval + (256 - priority) / 256 * interval


# One router, any history

INTERVALS = st.sampled_from([0.01, 0.1, 0.25, 1.0, 10.0, 40.95])

SETTINGS = st.builds(
    Settings,
    vrid=st.just(7),
    priority=st.integers(1, 255),
    interval=INTERVALS,
    source=st.just(node(3)),
    addresses=st.just(VIPS),
    preempt=st.booleans(),
    preempt_delay=st.sampled_from([0.0, 0.0, 1.0, 30.0]),
    learned_minimum=st.sampled_from([0.01, 0.1]),
    learned_maximum=st.sampled_from([1.0, 40.95]),
    down_count=st.sampled_from([3, 2, 100]),
)

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.just(Startup()),
    st.just(Shutdown()),
    st.just(Shutdown(Why.FAULT)),
    st.just(Release(Shutdown(Why.DRAIN))),
    st.just(Yield(Why.SUPERSEDED)),
    *[st.just(Timeout())] * 4,
    st.builds(Prioritise, st.integers(1, 255)),
    st.builds(Configure, SETTINGS),
    *[
        st.builds(
            Received,
            st.sampled_from([node(1), node(2), node(3), node(4), node(5)]),
            st.builds(
                Advertisement,
                st.just(7),
                st.one_of(st.just(LEAVING), st.integers(1, 255)),
                st.integers(1, 4095),
                st.just(VIPS),
            ),
        )
    ]
    * 4,
)

PAUSES = st.one_of(
    st.sampled_from(["deadline", "just before", "at once", "stall"]),
    st.floats(0, 50, allow_subnormal=False),
)


@dataclass
class Life:
    """A router, its clock, and the invariants after every event."""

    router: Router
    now: float = 0.0

    def pause(self, length: str | float) -> None:
        """Let time pass: so many seconds, or until something is about to be due."""
        deadline = self.router.deadline
        match length:
            case "deadline":
                until = self.now if deadline is None else deadline
            case "just before":
                until = self.now if deadline is None else math.nextafter(deadline, 0)
            case "stall":
                until = self.now if deadline is None else math.nextafter(self._stalls_after(deadline), math.inf)
            case "at once" | str():
                until = self.now
            case seconds:
                until = self.now + seconds
        self.now = max(self.now, until)

    def _stalls_after(self, deadline: float) -> float:
        return deadline + down_interval(self.contending, self.router.settings.interval, self.router.settings.down_count)

    @property
    def contending(self) -> int:
        """The priority that counts in the election: an Active's is the one in its adverts."""
        return self.router.priority if self.router.advertised is None else self.router.advertised

    def step(self, event: Event) -> None:
        router, now = self.router, self.now
        before, priority, contending, deadline = router.state, router.priority, self.contending, router.deadline
        stalled = isinstance(before, Active) and now > self._stalls_after(before.deadline)
        actions = router.handle(event, now)
        self.check_actions(before.role, actions)
        self.check_deadline(before, event, actions)
        if isinstance(event, Timeout) and (deadline is None or now < deadline):
            assert (actions, router.state) == ([], before), "a Timeout before the deadline did something"
        if isinstance(event, Received) and is_better(event, contending, router.settings.source):
            assert router.role is not Role.ACTIVE, "Active after a better advert was heard"
        if stalled:
            self.check_stall(actions)
        if isinstance(event, Configure):
            assert router.settings == event.settings
        if isinstance(before, Initialize) and not isinstance(event, Startup):
            assert (actions, router.state) == ([], before), "it takes part before Startup"
        if isinstance(event, Shutdown):
            assert isinstance(router.state, Initialize)
        if not isinstance(event, Prioritise):
            assert router.priority == priority
        if before.releasing is not None and isinstance(router.state, Active):
            assert router.advertised == contending, "who is releasing goes on as it was"
            assert router.releasing is not None
        elif router.advertised is not None:
            assert router.advertised == router.priority

    def check_actions(self, before: Role, actions: list[Action]) -> None:
        """The transitions are a path from the state before to the state after; who advertises is Active."""
        role = before
        for action, after in pairwise([*actions, None]):
            match action:
                case Transition():
                    assert (action.before, role) == (role, action.before)
                    assert action.before is not action.after
                    role = action.after
                case Advertise(priority=priority) if priority == LEAVING:
                    assert role is Role.ACTIVE, "goodbye from somebody who was not Active"
                    assert isinstance(after, Transition)
                    assert after.after is Role.INITIALIZE or after.why is Why.PRIORITY_LOWERED
                case Advertise(priority):
                    assert priority == self.router.advertised
                    becoming = isinstance(after, Transition) and after.after is Role.ACTIVE
                    assert role is Role.ACTIVE or becoming, "an advert from somebody who is not Active"
        assert role is self.router.role

    def check_deadline(self, before: State, event: Event, actions: list[Action]) -> None:
        """A timer runs if and only if we take part. An Active's deadline only grows, and only with an advert."""
        router, deadline, now = self.router, self.router.deadline, self.now
        assert (deadline is None) == (router.role is Role.INITIALIZE)
        if deadline is None:
            return
        assert math.isfinite(deadline)
        longest = max(router.settings.interval, router.settings.learned_maximum)
        assert deadline <= now + down_interval(1, longest, router.settings.down_count)
        if isinstance(router.state, Active):
            assert deadline <= now + router.settings.interval * (1 + 0.01 / SLOTS)  # rounded to a slot
            advertised = any(isinstance(action, Advertise) for action in actions)
            assert not (advertised and isinstance(event, Timeout)) or deadline > now
            if isinstance(before, Active) and not (isinstance(event, Configure) and advertised):
                assert deadline >= before.deadline if advertised else deadline == before.deadline

    def check_stall(self, actions: list[Action]) -> None:
        assert isinstance(actions[0], Transition)
        assert actions[0].after is Role.BACKUP
        assert actions[0].why is Why.STALLED
        assert not any(isinstance(action, Advertise) for action in actions), "it spoke before it knew what had happened"


def is_better(event: Received, priority: int, source: Address) -> bool:
    theirs = event.advertisement.priority
    return theirs > priority or (theirs == priority and event.source.packed > source.packed)


@given(settings=SETTINGS, history=st.lists(st.tuples(PAUSES, EVENTS), max_size=40))
def test_whatever_happens(settings: Settings, history: list[tuple[str | float, Event]]) -> None:
    life = Life(Router(settings))
    life.step(Startup())
    for pause, event in history:
        life.pause(pause)
        life.step(event)


@given(settings=SETTINGS, history=st.lists(st.tuples(PAUSES, EVENTS), max_size=20))
@example(settings=Settings(7, 255, 0.01, node(3), VIPS), history=[(2.0, Startup())])
@example(settings=Settings(7, 255, 0.01, node(3), VIPS), history=[(1.301499505305589, Startup())])
def test_whoever_is_left_alone_becomes_active_and_keeps_the_rhythm(
    settings: Settings, history: list[tuple[str | float, Event]]
) -> None:
    life = Life(Router(settings))
    for pause, event in history:
        life.pause(pause)
        life.step(event)
    life.step(Startup())
    life.pause("deadline")
    life.step(Timeout())
    if isinstance(life.router.state, Backup):  # it had stalled, and started over
        life.pause("deadline")
        life.step(Timeout())
    assert isinstance(life.router.state, Active)
    interval = life.router.settings.interval
    for number in range(10):
        due = life.router.state.deadline
        life.pause("deadline")
        assert life.router.handle(Timeout(), life.now) == [Advertise(life.contending)]
        assert isinstance(life.router.state, Active)
        shorter = due + interval - life.router.state.deadline
        assert -0.01 * interval / SLOTS < shorter < (0.01 if number else 1.01) * interval / SLOTS


@given(interval=st.integers(1, 4095), apart=st.floats(0, 0.99), passed=st.floats(0, 10**7))
def test_routers_whose_adverts_are_nearly_due_together_advertise_together(
    interval: int, apart: float, passed: float
) -> None:
    """All that are due within a slot ring the alarm once, for ever."""
    seconds = interval / 100
    slot = seconds / SLOTS
    begin = (passed // slot + 1) * slot
    deadlines: list[list[float]] = []
    for began in (begin, begin + apart * slot):
        router = Router(Settings(7, 255, seconds, node(3), VIPS))
        router.handle(Startup(), began)
        deadlines.append([])
        for _ in range(5):
            assert router.deadline is not None
            router.handle(Timeout(), router.deadline)
            deadlines[-1].append(router.deadline)
    assert deadlines[0] == deadlines[1]


@given(settings=SETTINGS)
def test_what_it_advertises(settings: Settings) -> None:
    router = Router(settings)
    centiseconds = round(settings.interval * 100)
    assert router.advertisement(LEAVING) == Advertisement(7, LEAVING, centiseconds, VIPS)
    assert router.advertisement(router.priority) == Advertisement(7, settings.priority, centiseconds, VIPS)


def test_every_centisecond_survives_the_arithmetic_of_seconds() -> None:
    for centiseconds in range(1, 4096):
        timed = Router(Settings(7, 100, centiseconds / 100, node(3), VIPS))
        assert timed.advertisement(100).centiseconds == centiseconds
        timed.handle(Startup(), 0)
        same = Received(node(4), Advertisement(7, 200, centiseconds, VIPS))
        assert timed.handle(same, 0.001) == [], "an interval that is ours is nothing to be told"


# Several routers on links without loss


@dataclass
class Network:
    """Routers that hear each other's adverts ``latency`` seconds later; virtual time."""

    routers: list[Router]
    latency: float = 0.0
    now: float = 0.0
    _queue: list[tuple[float, int, int, Event]] = field(default_factory=list)
    _tickets: Iterator[int] = field(default_factory=count)

    def send(self, at: float, to: int, event: Event) -> None:
        heapq.heappush(self._queue, (at, next(self._tickets), to, event))

    def handle(self, number: int, event: Event) -> int:
        """One router handles ``event``; its adverts are on their way. Returns how many there were."""
        router = self.routers[number]
        adverts = [action for action in router.handle(event, self.now) if isinstance(action, Advertise)]
        for advert in adverts:
            heard = Received(router.settings.source, router.advertisement(advert.priority))
            for other in range(len(self.routers)):
                if other != number:
                    self.send(self.now + self.latency, other, heard)
        return len(adverts)

    def run(self, until: float) -> None:
        """Packets before timers, since a caller drains its sockets before it looks at a deadline."""
        while True:
            deadlines = [(r.deadline, number) for number, r in enumerate(self.routers) if r.deadline is not None]
            due, number = min(deadlines, default=(math.inf, -1))
            arrives = self._queue[0][0] if self._queue else math.inf
            if min(arrives, due) > until:
                break
            self.now = max(self.now, min(arrives, due))
            if arrives <= due:
                self.deliver()
            else:
                self.handle(number, Timeout())
        self.now = until

    def deliver(self) -> tuple[int, int]:
        """The next packet arrives: at whom, and how many adverts it brought forth."""
        _, _, number, event = heapq.heappop(self._queue)
        return number, self.handle(number, event)

    @property
    def under_way(self) -> int:
        return len(self._queue)

    def active(self) -> list[int]:
        return [number for number, router in enumerate(self.routers) if router.role is Role.ACTIVE]


def router(number: int, priority: int, interval: float = 1.0, *, preempt: bool = True) -> Router:
    return Router(Settings(7, priority, interval, node(number), VIPS, preempt))


NUMBERS = st.lists(st.integers(1, 4), min_size=2, max_size=6)


@given(
    numbers=NUMBERS,
    priorities=st.lists(st.sampled_from([1, 100, 100, 254, 255]), min_size=6, max_size=6),
    roles=st.lists(st.sampled_from(Role), min_size=6, max_size=6),
    speaker=st.integers(0, 5),
    cause=st.sampled_from([Timeout(), Prioritise(99), Shutdown(), Shutdown(Why.FAULT)]),
)
def test_no_storm(numbers: list[int], priorities: list[int], roles: list[Role], speaker: int, cause: Event) -> None:
    """Any number of Actives, even with equal address and priority: one answer each, then no more."""
    network = Network([router(number, priority) for number, priority in zip(numbers, priorities, strict=False)])
    for each, role in zip(network.routers, roles, strict=False):
        if role is not Role.INITIALIZE:
            each.handle(Startup(), 0)
        if role is Role.ACTIVE:
            each.handle(Timeout(), 4)
    network.now = 5
    network.handle(speaker % len(numbers), cause)
    answers: Counter[int] = Counter()
    while network.under_way:
        number, adverts = network.deliver()
        answers[number] += adverts
        assert answers[number] <= 1
    assert answers.total() <= len(numbers)


def test_a_storm_would_be_seen() -> None:
    """The control: two routers with one address that forget that they have answered."""
    network = Network([router(1, 100), router(1, 100)], now=4)
    for each in network.routers:
        each.handle(Startup(), 0)
        each.handle(Timeout(), 4)
    network.send(4, 0, Received(node(1), network.routers[1].advertisement(100)))
    for _ in range(100):
        for each in network.routers:
            each.state = Active(5, 100)
        assert network.deliver()[1] == 1
    assert network.under_way


@given(
    priorities=st.lists(st.integers(1, 255), min_size=2, max_size=4, unique=True),
    interval=st.sampled_from([0.1, 1.0]),
    starts=st.lists(st.floats(0, 10), min_size=4, max_size=4),
    latency=st.sampled_from([0.0, 0.001, 0.01]),
)
def test_with_preemption_the_best_one_is_active_in_the_end(
    priorities: list[int], interval: float, starts: list[float], latency: float
) -> None:
    network = Network([router(n, priority, interval) for n, priority in enumerate(priorities)], latency)
    for number, start in enumerate(starts[: len(priorities)]):
        network.send(start, number, Startup())
    network.run(until=10 + 10 * interval)
    assert network.active() == [priorities.index(max(priorities))]
    assert_quiet(network, interval)


@given(
    priorities=st.lists(st.sampled_from([100, 100, 200]), min_size=2, max_size=4),
    interval=st.sampled_from([0.1, 1.0]),
    starts=st.lists(st.floats(0, 10), min_size=4, max_size=4),
    latency=st.sampled_from([0.0, 0.001, 0.01]),
    preempt=st.booleans(),
)
def test_one_is_active_in_the_end_even_if_priorities_tie(
    priorities: list[int], interval: float, starts: list[float], latency: float, preempt: bool
) -> None:
    network = Network([router(n, p, interval, preempt=preempt) for n, p in enumerate(priorities)], latency)
    for number, start in enumerate(starts[: len(priorities)]):
        network.send(start, number, Startup())
    network.run(until=10 + 10 * interval)
    (active,) = network.active()
    if preempt:
        assert priorities[active] == max(priorities)
    assert_quiet(network, interval)


@given(
    priorities=st.lists(st.integers(1, 254), min_size=3, max_size=4, unique=True),
    interval=st.sampled_from([0.1, 1.0]),
    how=st.sampled_from(["dies", "leaves"]),
)
def test_the_next_best_takes_over_in_time(priorities: list[int], interval: float, how: str) -> None:
    # A fraction of Skew_Time lies between two priorities; what travels longer than that brings a second one up.
    network = Network([router(n, priority, interval) for n, priority in enumerate(priorities)])
    for number in range(len(priorities)):
        network.send(0, number, Startup())
    network.run(until=10 * interval)
    (active,) = network.active()
    survivors = sorted(set(priorities) - {priorities[active]})
    skew = (256 - survivors[-1]) / 256 * interval
    last_said = network.routers[active].deadline
    assert last_said is not None
    last_said -= interval
    if how == "leaves":
        network.handle(active, Shutdown())
        patience = network.now + skew
    else:
        network.routers[active].state = Initialize()
        patience = last_said + 3 * interval + skew
    network.run(until=patience - interval / 1000)
    assert network.active() == []
    network.run(until=patience + interval / 1000)
    assert network.active() == [priorities.index(survivors[-1])]
    assert_quiet(network, interval)


def test_a_worse_active_that_resigns_is_succeeded_after_skew_time() -> None:
    # RFC 9568 §6.4.2: "If the Priority in the ADVERTISEMENT is 0, then: Set the Active_Down_Timer to Skew_Time". We
    # have come up and discard the adverts of a worse Active; nobody serves once it has left.
    better = router(1, 192)
    better.handle(Startup(), 0)
    better.handle(Received(node(2), Advertisement(7, 100, 100, VIPS)), 0.5)
    better.handle(Received(node(2), Advertisement(7, LEAVING, 100, VIPS)), 1)
    assert better.deadline == 1 + 64 / 256


def test_version_2_skews_by_a_part_of_a_second() -> None:
    """RFC 3768 §6.1: otherwise a worse node whose interval is not one second would be first."""
    settings = Settings(7, 156, 10.0, node(1), VIPS)
    assert Router(settings).down_interval(10.0) == 30 + 10 * 100 / 256
    assert Router(replace(settings, skew_unit=1.0)).down_interval(10.0) == 30 + 100 / 256


def test_a_lowered_priority_makes_us_wait_for_the_active_that_was_just_heard() -> None:
    # A Backup counts from when the Active was last heard. While ours was the better priority its adverts were
    # discarded; now it is the better one, was heard 0.1 s ago, and has not missed an advert.
    backup = router(1, 150)
    backup.handle(Startup(), 0)
    for moment in (0.3, 1.3, 2.3, 3.3):
        backup.handle(Received(node(2), Advertisement(7, 100, 100, VIPS)), moment)
    backup.handle(Prioritise(50), 3.4)
    backup.handle(Timeout(), 4.2)
    assert backup.role is Role.BACKUP


def assert_quiet(network: Network, interval: float) -> None:
    """For a long time no router changes state, and all Backups follow the same Active."""
    settled = [each.role for each in network.routers]
    follows = [each.state.following for each in network.routers if isinstance(each.state, Backup)]
    for _ in range(30):
        network.run(network.now + interval)
        assert [each.role for each in network.routers] == settled
    still = [each.state.following for each in network.routers if isinstance(each.state, Backup)]
    assert still == follows
    assert len(set(still)) == 1
