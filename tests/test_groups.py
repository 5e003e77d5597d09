"""Virtual routers that move together: two nodes with an IPv4 and an IPv6 router each, and any loss between them."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import events, presence
from exavrrp.groups import Group
from exavrrp.instance import Effect, Fault, Hold, Instance, Reclaim, StopBudget
from exavrrp.presence import Handover, Step
from exavrrp.queues import Queue
from exavrrp.routes import Level
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import LEAVING, Address
from exavrrp.vrrp.router import Advertise, Role, Transition, Why

BACKUP, ACTIVE, INITIALIZE = Role.BACKUP, Role.ACTIVE, Role.INITIALIZE
V4, V6 = "four", "six"
SOURCES: dict[str, tuple[Address, Address]] = {
    # Of node 0 and node 1. The families disagree on which node wins a tie.
    V4: (ip_address("192.0.2.12"), ip_address("192.0.2.11")),
    V6: (ip_address("2001:db8:ff::11"), ip_address("2001:db8:ff::12")),
}
VIPS = {V4: ip_address("192.0.2.53"), V6: ip_address("2001:db8:53::1")}
INTERVAL = 1.0
ROUND = 1 / 16
"""Seconds between two looks of the world at its clocks."""


@dataclass(frozen=True)
class Nature:
    """What is configured for one node."""

    priorities: tuple[int, int] = (100, 100)
    preempt: bool = True
    preempt_delay: float = 0.0
    handover: Handover = Handover.MAKE_BEFORE_BREAK
    standby: bool = False


@dataclass
class Node:
    """One node: carries the effects of its group out, and knows what must never be."""

    number: int
    nature: Nature
    world: "World"
    binds: set[str] = field(default_factory=lambda: {V4, V6})
    """the members whose addresses the kernel takes"""
    reclaimed: Counter[str] = field(default_factory=Counter)
    """how often it has reclaimed the traffic of each member"""

    def __post_init__(self) -> None:
        nature = self.nature
        self.group = Group(
            "web",
            [
                Instance(
                    name,
                    router.Settings(
                        vrid=7,
                        priority=priority,
                        interval=INTERVAL,
                        source=SOURCES[name][self.number],
                        addresses=(VIPS[name],),
                        preempt=nature.preempt,
                        preempt_delay=nature.preempt_delay,
                    ),
                    presence.Settings(
                        nature.handover, hold=0.5, linger=0.5, ceiling=5.0, stale=180.0, standby=nature.standby
                    ),
                    180.0,
                )
                for name, priority in zip((V6, V4), nature.priorities, strict=True)
            ],
        )
        self.queue = Queue(self.deal)
        self.roles = dict.fromkeys((V4, V6), INITIALIZE)
        self.said_last = dict.fromkeys((V4, V6), LEAVING)
        self.announced: dict[str, Level | None] = dict.fromkeys((V4, V6))
        self.bound = dict.fromkeys((V4, V6), False)

    def deal(self, event: events.Event) -> None:
        for name, effect in self.group.handle(event, self.world.now):
            self.carry_out(name, effect)

    def do(self, event: events.Event) -> None:
        self.queue.put(event)
        self.check()

    def carry_out(self, name: str, effect: Effect) -> None:
        instance = self.group.members[name]
        match effect:
            case Advertise(priority):
                self.said_last[name] = priority
                self.world.send(self.number, name, priority)
            case Transition(before, after):
                assert before is self.roles[name]
                if after is ACTIVE:
                    assert not any(other.router.releasing for other in self.group.members.values()), "all or none"
                self.roles[name] = after
            case Step.BIND if name in self.binds:
                self.bound[name] = instance.presence.bound
                self.queue.put(events.Bound(name))
            case Step.BIND:
                self.queue.put(events.Unbound(name, "cannot be bound"))
            case Step.UNBIND:
                self.bound[name] = instance.presence.bound
            case Reclaim() if instance.reclaims:
                self.reclaimed[name] += 1
            case Step.ANNOUNCE | Step.WITHDRAW:
                self.announced[name] = instance.presence.level
                if instance.presence.level is None:
                    self.queue.put(events.Withdrawn(name))
            case _:
                pass
        assert self.bound[name] or self.announced[name] is None, "announced while unbound"

    def check(self) -> None:
        """What holds between two events."""
        members = self.group.members
        roles = {name: member.router.role for name, member in members.items()}
        assert roles == self.roles
        settled = {roles[name] for name, member in members.items() if member.router.releasing is None}
        assert settled != {ACTIVE, BACKUP}, "they move together"
        assert len({member.router.priority for member in members.values()}) == 1
        for name, member in members.items():
            assert (self.bound[name], self.announced[name]) == (member.presence.bound, member.presence.level)
            if roles[name] is not ACTIVE:
                assert self.announced[name] is not Level.ACTIVE
        assert len({bool(member.faults) for member in members.values()}) == 1, "one in fault faults all"
        assert len({frozenset(member.holds) for member in members.values()}) == 1
        if any(member.faults for member in members.values()):
            assert set(roles.values()) == {INITIALIZE}
            assert set(self.announced.values()) == {None}
        for name, member in members.items():
            sick = set(member.faults) - {Fault.SESSIONS, Fault.GROUP, Fault.ANNOUNCEMENT}
            assert not sick or not self.bound[name] or member.presence.level is None

    def ring(self) -> None:
        deadlines = [member.deadline for member in self.group.members.values() if member.deadline is not None]
        if any(deadline <= self.world.now for deadline in deadlines):
            self.do(events.TimerFired())
            left = [member.deadline for member in self.group.members.values() if member.deadline is not None]
            assert all(deadline > self.world.now for deadline in left), "an alarm that would ring for ever"

    @property
    def active(self) -> set[str]:
        return {name for name, role in self.roles.items() if role is ACTIVE}


@dataclass
class World:
    """Two nodes, and what is lost between them."""

    natures: tuple[Nature, Nature]
    first: int = 0
    """the node whose alarms ring first"""
    order: tuple[str, str] = (V4, V6)
    """whose adverts arrive first of those that are under way"""

    def __post_init__(self) -> None:
        self.now = 0.0
        self.lost: set[tuple[int, str]] = set()
        """(sender, member) whose adverts do not arrive"""
        self.under_way: list[tuple[int, str, int]] = []
        self.nodes = [Node(number, nature, self) for number, nature in enumerate(self.natures)]
        for node in self.nodes:
            node.do(events.Start())

    def send(self, sender: int, name: str, priority: int) -> None:
        if (sender, name) not in self.lost:
            self.under_way.append((sender, name, priority))

    def deliver(self) -> None:
        for name in self.order:
            arrived = [one for one in self.under_way if one[1] == name]
            self.under_way = [one for one in self.under_way if one[1] != name]
            for sender, _, priority in arrived:
                self.receive(sender, name, priority)

    def receive(self, sender: int, name: str, priority: int) -> None:
        advertisement = self.nodes[sender].group.members[name].router.advertisement(priority)
        source = SOURCES[name][sender]
        self.nodes[1 - sender].do(events.Heard(name, source, advertisement, 1, (1,)))

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds / ROUND)):
            self.now += ROUND
            self.deliver()
            for node in (self.nodes[self.first], self.nodes[1 - self.first]):
                node.ring()

    def whole(self) -> None:
        """Nothing is lost any more, and nothing is wrong."""
        self.lost.clear()
        for node in self.nodes:
            node.binds = {V4, V6}
            for name in (V4, V6):
                for fault in (Fault.CHECK, Fault.BIND, Fault.ADVERTS):
                    node.do(events.Recovered(name, fault))
                node.do(events.Released(name, Hold.WAITING))
            node.do(events.Released(V4, Hold.DRAIN))


BOTH = {V4, V6}


def world(*natures: Nature, **options: Any) -> World:
    made = World(natures if len(natures) == 2 else (Nature((150, 150)), Nature()), **options)
    made.pass_(10)
    return made


def actives(one: World) -> list[set[str]]:
    return [node.active for node in one.nodes]


# One story each


def test_the_better_node_is_active_in_both() -> None:
    assert actives(world()) == [BOTH, set()]


def test_the_least_priority_counts_for_all() -> None:
    one = world(Nature((200, 90)), Nature((100, 100)))
    assert actives(one) == [set(), BOTH]
    one.nodes[0].do(events.Rated(V4, 150))
    assert one.nodes[0].group.members[V6].router.priority == 150
    one.pass_(10)
    assert actives(one) == [BOTH, set()]


@pytest.mark.parametrize("deaf", [V4, V6])
def test_lost_adverts_of_one_family_move_nothing(deaf: str) -> None:
    one = world()
    one.lost = {(0, deaf), (1, deaf)}
    one.pass_(20)
    assert actives(one) == [BOTH, set()]
    one.lost = {(0, V4), (0, V6)}
    one.pass_(5)
    assert actives(one) == [BOTH, BOTH], "nothing heard at all"
    one.lost = {(0, deaf), (1, deaf)}
    one.pass_(5)
    assert actives(one) == [BOTH, set()], "heard again for one member: the other gives way as well"


def test_a_router_without_a_group_has_alarms_and_deadlines_too() -> None:
    settings = router.Settings(7, 100, INTERVAL, SOURCES[V6][0], (VIPS[V6],))
    handover = presence.Settings(Handover.MAKE_BEFORE_BREAK, hold=1.0, linger=2.0, ceiling=30.0, stale=180.0)
    alone = Instance(V6, settings, handover, 180.0)
    group = Group("alone", [alone])
    group.handle(events.Held(V6, Hold.WAITING, "for a check"), 0.0)
    group.handle(events.Start(), 0.0)
    assert alone.router.role is INITIALIZE
    group.handle(events.Released(V6, Hold.WAITING), 1.0)
    due = alone.deadline
    assert due is not None
    group.handle(events.TimerFired(), 1.5)
    assert (alone.router.role, alone.deadline) == (BACKUP, due), "nothing was due"
    group.handle(events.TimerFired(), due)
    assert alone.router.role is ACTIVE


def test_an_alarm_for_something_else_takes_nothing_over() -> None:
    one = world()
    one.lost = {(0, V4)}
    one.pass_(20)
    assert one.nodes[1].group.handle(events.TimerFired(), one.now) == [], "not even for a moment"


@pytest.mark.parametrize("fault", [Fault.CHECK, Fault.BIND, Fault.ADVERTS])
@pytest.mark.parametrize("name", [V4, V6])
def test_a_fault_of_one_member_faults_all(name: str, fault: Fault) -> None:
    one = world()
    node, other = one.nodes[0], ({V4, V6} - {name}).pop()
    node.do(events.Failed(name, fault, "broken"))
    assert node.group.members[other].faults == {Fault.GROUP: f"{name}: broken"}
    assert node.group.members[name].faults == {fault: "broken"}
    one.pass_(3)
    assert actives(one) == [set(), BOTH]
    node.do(events.Failed(other, Fault.CHECK, "too"))
    node.do(events.Recovered(name, fault))
    assert node.group.members[name].faults == {Fault.GROUP: f"{other}: too"}
    node.do(events.Recovered(other, Fault.CHECK))
    one.pass_(5)
    assert actives(one) == [BOTH, set()]


@pytest.mark.parametrize("name", [V6, V4])
def test_all_members_resign_before_the_first_is_unbound(name: str) -> None:
    """An unbind takes time, and no other node could take over the second router meanwhile."""
    one = world()
    told = one.nodes[0].group.handle(events.Failed(name, Fault.CHECK, "sick"), one.now)
    assert not {(V6, Step.UNBIND), (V4, Step.UNBIND)}.intersection(told), "that is later"
    for member in (V6, V4):
        assert told.index((member, Advertise(LEAVING))) < told.index((member, Step.WITHDRAW))


def test_addresses_that_cannot_be_bound_give_back_both_in_order() -> None:
    one = World((Nature((150, 150)), Nature()))
    one.nodes[0].binds = {V6}
    one.pass_(10)
    assert actives(one) == [set(), BOTH]
    assert one.nodes[0].said_last == {V4: LEAVING, V6: LEAVING}, "who has resigned says nothing more"
    assert one.nodes[0].bound == {V4: False, V6: False}


def test_a_hold_of_one_member_holds_all() -> None:
    one = World((Nature((150, 150)), Nature()))
    node = one.nodes[0]
    node.do(events.Held(V4, Hold.WAITING, "web"))
    node.do(events.Held(V6, Hold.WAITING, "dns"))
    assert [member.holds for member in node.group.members.values()] == [{Hold.WAITING: "web"}, {Hold.WAITING: "dns"}]
    one.pass_(10)
    assert actives(one) == [set(), BOTH]
    node.do(events.Released(V4, Hold.WAITING))
    assert [list(member.holds) for member in node.group.members.values()] == [[Hold.WAITING], [Hold.WAITING]]
    node.do(events.Released(V6, Hold.WAITING))
    one.pass_(10)
    assert actives(one) == [BOTH, set()]


@pytest.mark.parametrize("handover", Handover)
def test_a_drain_of_one_is_a_drain_of_all(handover: Handover) -> None:
    one = world(Nature((150, 150), handover=handover), Nature(handover=handover))
    one.lost = {(1, V4)}
    one.nodes[0].do(events.Held(V6, Hold.DRAIN, "drained"))
    one.pass_(8)
    assert actives(one) == [set(), BOTH], "a successor that was heard for one member is that of all"
    assert one.nodes[0].bound == {V4: False, V6: False}
    one.nodes[0].do(events.Released(V4, Hold.DRAIN))
    one.pass_(8)
    assert actives(one) == [BOTH, set()]


def test_a_drain_without_a_successor_is_undone_for_all() -> None:
    one = world()
    one.lost = {(1, V4), (1, V6)}
    one.nodes[0].do(events.Held(V4, Hold.DRAIN, "drained"))
    one.pass_(12)
    assert actives(one)[0] == BOTH
    assert not any(member.holds for member in one.nodes[0].group.members.values())


@pytest.mark.parametrize("name", [V4, V6])
def test_the_least_ceiling_counts_for_all(name: str) -> None:
    one = world()
    one.lost = {(1, V4), (1, V6)}
    settings = one.nodes[0].group.members[name].presence.settings
    one.nodes[0].group.members[name].presence.settings = replace(settings, ceiling=2.0)
    one.nodes[0].do(events.Held(V4, Hold.DRAIN, "drained"))
    one.pass_(2)
    assert not any(member.holds for member in one.nodes[0].group.members.values())


@pytest.mark.parametrize("order", [(V4, V6), (V6, V4)])
@pytest.mark.parametrize("first", [0, 1])
def test_a_tie_with_a_different_winner_in_each_family_ends(order: tuple[str, str], first: int) -> None:
    one = World((Nature(), Nature()), first=first, order=order)
    one.lost = {(sender, name) for sender in (0, 1) for name in (V4, V6)}
    one.pass_(10)
    assert actives(one) == [BOTH, BOTH]
    one.lost.clear()
    one.pass_(15)
    assert actives(one) == [BOTH, set()], "the first member decides"


def test_the_first_of_two_members_with_one_number_is_the_same_on_every_node() -> None:
    """Two sources of one family may have the same number. Neither the order of the file nor that of a list counts."""
    four = World((Nature(), Nature())).nodes[0].group.members[V4]

    def first(*names: str, addresses: dict[str, list[str]]) -> str:
        settings = {name: tuple(map(ip_address, addresses[name])) for name in names}
        members = (
            Instance(name, replace(four.router.settings, addresses=settings[name]), four.presence.settings, 180.0)
            for name in names
        )
        return next(iter(Group("web", members).members))

    lists = {"a": ["192.0.2.54", "192.0.2.57"], "b": ["192.0.2.56", "192.0.2.55"]}
    turned = {name: addresses[::-1] for name, addresses in lists.items()}
    assert {first(*names, addresses=one) for names in ("ab", "ba") for one in (lists, turned)} == {"a"}
    assert first("b", "a", addresses={"a": ["192.0.2.57", "192.0.2.54"], "b": ["192.0.2.55"]}) == "a"


def test_the_first_member_follows_addresses_that_a_reload_has_changed() -> None:
    """Else a node that has reloaded and one that was restarted would have different ones."""
    group = grown(2)
    for name, vip in (("r1", "192.0.2.55"), ("r2", "192.0.2.54")):
        member = group.members[name]
        settings = replace(member.router.settings, vrid=7, addresses=(ip_address(vip),))
        group.handle(events.Configured(name, settings, member.presence.settings, 180.0), 1.0)
    assert list(group.members) == ["r2", "r1"]
    assert [one.takeovers.rivals.by_address for one in group.members.values()] == [True, False]


def test_a_tie_is_decided_by_another_member_when_the_first_receives_no_advert() -> None:
    one = World((Nature(), Nature()))
    one.lost = {(sender, name) for sender in (0, 1) for name in (V4, V6)}
    one.pass_(10)
    one.lost = {(0, V4), (1, V4)}
    one.pass_(3)
    assert actives(one) == [BOTH, BOTH]
    one.pass_(5)
    assert actives(one) == [set(), BOTH]


def test_a_first_member_that_has_decided_long_ago_is_waited_for_anew() -> None:
    one = world(Nature(), Nature())
    everything = {(sender, name) for sender in (0, 1) for name in (V4, V6)}
    one.lost = set(everything)
    one.pass_(20)
    assert actives(one) == [BOTH, BOTH]
    one.lost = everything - {(0, V6), (1, V6)}
    one.pass_(3)
    assert actives(one) == [BOTH, BOTH]
    one.pass_(5)
    assert actives(one) == [set(), BOTH]


@pytest.mark.parametrize(("natures", "number"), [((Nature(), Nature()), 3), ((Nature((150, 150)), Nature()), 2)])
def test_traffic_of_all_members_is_reclaimed_from_a_node_that_is_deaf(
    natures: tuple[Nature, Nature], number: int
) -> None:
    one = world(*natures)
    one.lost = {(0, V4), (0, V6)}
    one.pass_(20)
    assert actives(one) == [BOTH, BOTH]
    assert one.nodes[0].reclaimed == {V4: 5, V6: 5}, "a tie in V6 goes to the other node, but the first member decides"
    assert one.nodes[1].reclaimed == {}
    failures = [[member.takeovers.failures.number for member in node.group.members.values()] for node in one.nodes]
    assert failures == [[number] * 2, [1, 1]], "the path is shorter than that of the deaf node for each member"


def test_who_has_lost_a_tie_by_another_member_is_no_node_that_does_not_hear() -> None:
    one = world(Nature(), Nature())
    failures = [member.takeovers.failures.number for node in one.nodes for member in node.group.members.values()]
    assert (actives(one), failures) == ([BOTH, set()], [0] * 4)


def test_a_node_superseded_for_one_member_hands_over_all_members() -> None:
    one = world()
    node = one.nodes[0]
    node.do(events.Heard(V4, SOURCES[V4][1], node.group.members[V4].router.advertisement(200), 1, (1,)))
    stages = {name: member.presence.state for name, member in node.group.members.items()}
    has_successor = presence.Leaving(one.now + 0.25, presence.Stage.SUCCEEDED)
    assert stages == {V4: has_successor, V6: has_successor}


def test_a_node_superseded_for_one_member_while_all_release_leaves_all() -> None:
    one = world(Nature((150, 150), handover=Handover.BREAK_BEFORE_MAKE), Nature())
    node = one.nodes[0]
    node.do(events.Held(V4, Hold.DRAIN, "drained"))
    assert node.active == BOTH, "still withdrawing"
    node.do(events.Heard(V4, SOURCES[V4][1], node.group.members[V4].router.advertisement(200), 1, (1,)))
    assert set(node.roles.values()) == {INITIALIZE}


def test_each_member_sends_priority_0_once_it_is_unbound() -> None:
    one = world(Nature((150, 150), preempt=False, handover=Handover.BREAK_BEFORE_MAKE), Nature())
    node = one.nodes[0]
    withdrawn: list[events.Event] = []
    said: list[tuple[str, int]] = []
    carry_out = node.carry_out

    def slowly(name: str, effect: Effect) -> None:
        if isinstance(effect, Advertise):
            said.append((name, effect.priority))
        if effect is Step.WITHDRAW:
            node.announced[name] = None
            withdrawn.append(events.Withdrawn(name))
        else:
            carry_out(name, effect)

    node.carry_out = slowly  # type: ignore[method-assign]
    node.do(events.Rated(V4, 90))
    for event in withdrawn:
        one.now += ROUND
        node.ring()
        node.do(event)
    one.pass_(3 * ROUND)
    assert said == [(V4, LEAVING), (V6, LEAVING)]
    one.deliver()
    one.pass_(INTERVAL)
    assert actives(one) == [set(), BOTH], "without waiting for three intervals"


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.GROUP}))
def test_each_member_is_unbound_before_a_fault_of_one_lets_others_begin(fault: Fault) -> None:
    one = world(Nature((150, 150), handover=Handover.BREAK_BEFORE_MAKE), Nature())
    effects = one.nodes[0].group.handle(events.Failed(V6, fault, "broken"), one.now)
    for name in BOTH:
        steps = [effect for who, effect in effects if who == name]
        assert steps.index(Step.UNBIND) < steps.index(Advertise(LEAVING))
    told = [effect for _, effect in effects]
    last = max(number for number, effect in enumerate(told) if effect is Step.UNBIND)
    assert last < told.index(Advertise(LEAVING)), "all in one batch of the kernel"


def test_a_member_that_leaves_at_once_does_not_shorten_the_release_of_another() -> None:
    one = world(Nature((150, 150), preempt=False), Nature())
    node = one.nodes[0]
    six = node.group.members[V6].presence
    six.settings = replace(six.settings, handover=Handover.BREAK_BEFORE_MAKE)
    node.do(events.Rated(V4, 90))
    assert (node.roles, node.said_last) == ({V4: BACKUP, V6: ACTIVE}, {V4: LEAVING, V6: 150})
    one.pass_(3 * ROUND)
    assert (node.roles, node.said_last) == ({V4: BACKUP, V6: BACKUP}, {V4: LEAVING, V6: LEAVING})


def test_a_priority_that_recovers_before_all_have_unbound_counts() -> None:
    one = world(Nature((150, 150), preempt=False, handover=Handover.BREAK_BEFORE_MAKE), Nature())
    node = one.nodes[0]
    node.do(events.Rated(V4, 90))
    node.do(events.Rated(V4, 150))
    one.pass_(5)
    assert {member.router.priority for member in node.group.members.values()} == {150}


def test_a_node_that_was_stopped_for_a_while_gives_way_whole() -> None:
    one = world()
    one.now += 60
    one.nodes[1].ring()
    one.deliver()
    assert one.nodes[1].active == BOTH
    one.nodes[0].ring()
    assert one.nodes[0].active == set()


def test_a_stalled_member_takes_the_others_with_it() -> None:
    one = world()
    node = one.nodes[0]
    # One of them is told something at a moment when only its own advert is overdue.
    six = node.group.members[V6].router
    assert isinstance(six.state, router.Active)
    six.state = replace(six.state, deadline=six.state.deadline - 60)
    transitions: list[tuple[str, Why, str]] = []
    carry_out = node.carry_out

    def watch(name: str, effect: Effect) -> None:
        if isinstance(effect, Transition):
            transitions.append((name, effect.why, effect.detail.partition(" ")[0]))
        carry_out(name, effect)

    node.carry_out = watch  # type: ignore[method-assign]
    node.do(events.Recovered(V6, Fault.CHECK))
    assert transitions == []
    node.do(events.TimerFired())
    assert transitions == [(V6, Why.STALLED, "our"), (V4, Why.STALLED, "six:")]


def test_a_stop_and_its_end() -> None:
    one = world()
    node = one.nodes[0]
    node.do(events.Stop(Why.SHUTDOWN, "SIGTERM", StopBudget(1.5)))
    assert node.active == set()
    node.do(events.Abandon())
    assert all(member.finished for member in node.group.members.values())


def test_a_predecessor_s_addresses_and_routes_are_served_on() -> None:
    one = World((Nature(), Nature()))
    node = Node(0, Nature(), one)
    for name in (V4, V6):
        node.bound[name] = True
        node.do(events.Inherited(name, announced=True))
    assert set(node.announced.values()) == {Level.LEAVING}


# Whatever happens

Happening = Callable[[World], None]
numbers, members = st.sampled_from([0, 1]), st.sampled_from([V4, V6])


def _passes(seconds: float) -> Happening:
    return lambda one: one.pass_(seconds)


def _loses(sender: int, name: str) -> Happening:
    return lambda one: one.lost.symmetric_difference_update({(sender, name)})


def _on(number: int, event: events.Event) -> Happening:
    return lambda one: one.nodes[number].do(event)


def _stops_for(number: int, seconds: float) -> Happening:
    def happen(one: World) -> None:
        for _ in range(round(seconds / ROUND)):
            one.now += ROUND
            one.nodes[1 - number].ring()

    return happen


def _binds(number: int, name: str) -> Happening:
    return lambda one: one.nodes[number].binds.symmetric_difference_update({name})


def _goes(number: int, name: str) -> Happening:
    """The addresses are lost and cannot be bound again."""
    return _on(number, events.Unbound(name, "lost"))


def _configures(number: int, name: str, handover: Handover) -> Happening:
    """The handover is another one from now on; the election is as before."""

    def happen(one: World) -> None:
        node = one.nodes[number]
        member = node.group.members[name]
        settings = replace(member.presence.settings, handover=handover)
        node.do(events.Configured(name, member.router.settings, settings, 180.0))

    return happen


OWN = st.sampled_from([Fault.CHECK, Fault.BIND, Fault.ADVERTS])
HAPPENINGS = st.one_of(
    st.builds(_passes, st.sampled_from([ROUND, 0.5, 2.0, 4.0, 8.0])),
    st.builds(_passes, st.sampled_from([ROUND, 0.5, 2.0, 4.0, 8.0])),
    st.builds(_loses, numbers, members),
    st.builds(_loses, numbers, members),
    st.builds(_stops_for, numbers, st.sampled_from([1.0, 5.0])),
    st.builds(_binds, numbers, members),
    st.builds(_goes, numbers, members),
    st.builds(_on, numbers, st.builds(events.Failed, members, OWN, st.just("broken"))),
    st.builds(_on, numbers, st.builds(events.Recovered, members, OWN)),
    st.builds(_on, numbers, st.builds(events.Held, members, st.sampled_from(Hold), st.just("held"))),
    st.builds(_on, numbers, st.builds(events.Released, members, st.sampled_from(Hold))),
    st.builds(_configures, numbers, members, st.sampled_from(Handover)),
    st.builds(_on, numbers, st.just(events.TimerFired())),
    st.builds(_on, numbers, st.builds(events.Rated, members, st.sampled_from([1, 90, 100, 150, 254]))),
)
PRIORITIES = st.sampled_from([1, 90, 100, 150, 254])
WORLDS = st.builds(
    World,
    st.tuples(
        *[
            st.builds(
                Nature,
                st.tuples(PRIORITIES, PRIORITIES),
                st.booleans(),
                st.sampled_from([0.0, 3.0]),
                st.sampled_from(Handover),
                st.booleans(),
            )
        ]
        * 2
    ),
    numbers,
    st.sampled_from([(V4, V6), (V6, V4)]),
)


@given(one=WORLDS, history=st.lists(HAPPENINGS, max_size=20))
def test_they_move_together_and_come_to_rest_on_one_node(one: World, history: list[Happening]) -> None:
    for happen in history:
        happen(one)
    one.whole()
    one.pass_(30)
    assert sorted(actives(one), key=len) == [set(), BOTH]
    before = actives(one)
    one.pass_(10)
    assert actives(one) == before, "at rest"


# Large ones


def grown(size: int) -> Group:
    """A group of so many members, all Backup."""
    four = World((Nature(), Nature())).nodes[0].group.members[V4]
    settings = four.router.settings
    group = Group(
        "web",
        [
            Instance(f"r{number}", replace(settings, vrid=number), four.presence.settings, 180.0)
            for number in range(1, size + 1)
        ],
    )
    group.handle(events.Start(), 0.0)
    return group


def cost(group: Group, event: events.Event, now: float) -> int:
    """How many functions of ours one event calls."""
    calls = Counter[str]()
    sys.setprofile(lambda frame, what, _: calls.update([what]))
    try:
        group.handle(event, now)
    finally:
        sys.setprofile(None)
    return calls["call"]


@pytest.mark.parametrize("active", [False, True])
def test_an_event_costs_no_more_than_the_number_of_members(active: bool) -> None:
    costs = []
    for size in (30, 60):
        group = grown(size)
        if active:
            group.handle(events.TimerFired(), 4.0)
        advertisement = group.members["r1"].router.advertisement(50 if active else 250)
        heard = events.Heard("r1", ip_address("192.0.2.99"), advertisement, 1, (1,))
        roles = {member.router.role for member in group.members.values()}
        assert roles == {ACTIVE if active else BACKUP}
        costs.append(
            [
                cost(group, heard, 4.5),
                cost(group, events.TimerFired(), 4.9),
                cost(group, events.TimerFired(), 5.5),
                cost(group, events.Failed("r2", Fault.CHECK, "dead"), 5.6),
                cost(group, events.Recovered("r2", Fault.CHECK), 5.7),
            ]
        )
    assert all(large <= 2 * small for small, large in zip(*costs, strict=True)), costs
    assert costs[0][0] <= 15 * 30, costs
