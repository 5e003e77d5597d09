"""One virtual router as a whole: single events, and invariants."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import presence
from exavrrp.instance import Effect, Fault, Hold, Instance, NoSuccessor, Reclaim, StopBudget
from exavrrp.presence import ANSWER_LIMIT, SETTLE, Handover, Leaving, Lingering, Stage, Step, Stranded, Withdrawing
from exavrrp.routes import Level
from exavrrp.takeover import PACE, Count
from exavrrp.vrrp import router
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import Advertise, Backup, Notice, Role, Transition, Why

US, OTHER, THIRD = map(ip_address, ("2001:db8:ff::12", "2001:db8:ff::11", "2001:db8:ff::13"))
VIP = ip_address("2001:db8:53::1")
PRIORITY, INTERVAL = 100, 1.0
ACTIVE_DOWN = 3 * INTERVAL + (256 - PRIORITY) * INTERVAL / 256
"""Active_Down_Interval, RFC 9568 §6.1."""
HOLD, LINGER, CEILING, STALE = 1.0, 2.0, 30.0, 180.0


def settings(**changes: Any) -> router.Settings:
    values: dict[str, Any] = {
        "vrid": 7,
        "priority": PRIORITY,
        "interval": INTERVAL,
        "source": US,
        "addresses": (VIP,),
        **changes,
    }
    return router.Settings(**values)


def handing_over(handover: Handover = Handover.MAKE_BEFORE_BREAK, **backup: bool) -> presence.Settings:
    """``backup``: ``standby`` or ``prebind``."""
    return presence.Settings(handover, hold=HOLD, linger=LINGER, ceiling=CEILING, stale=STALE, **backup)


def instance(handover: Handover = Handover.MAKE_BEFORE_BREAK, **changes: Any) -> Instance:
    return Instance("web", settings(**changes), handing_over(handover), STALE)


def advert(priority: int, interval: float = INTERVAL) -> Advertisement:
    return Advertisement(7, priority, round(interval * 100), (VIP,))


def serving(handover: Handover = Handover.MAKE_BEFORE_BREAK, **changes: Any) -> Instance:
    """An Active that is bound: Active_Down_Timer expired at ACTIVE_DOWN. (An owner was Active before.)"""
    one = instance(handover, **changes)
    one.start(0.0)
    one.timeout(ACTIVE_DOWN)
    one.bound(ACTIVE_DOWN)
    assert (one.router.role, one.presence.bound, one.presence.level) == (Role.ACTIVE, True, Level.ACTIVE)
    return one


def hear(one: Instance, priority: int, now: float, source: Address = OTHER, interface: int = 1) -> list[Effect]:
    return one.received(source, advert(priority), interface, [1, 2], now)


def told(effects: list[Effect]) -> list[object]:
    """The effects, a transition as (after, why)."""
    return [(one.after, one.why) if isinstance(one, Transition) else one for one in effects]


def state(one: Instance) -> presence.State:
    return one.presence.state


def role(one: Instance) -> Role:
    return one.router.role


BACKUP, ACTIVE, INITIALIZE = Role.BACKUP, Role.ACTIVE, Role.INITIALIZE
RESIGN = Advertise(LEAVING)


# Taking over


def test_it_begins_as_a_backup_with_one_deadline() -> None:
    one = instance()
    assert one.deadline is None
    assert told(one.start(0.0)) == [(BACKUP, Why.STARTUP)]
    assert one.deadline == ACTIVE_DOWN


def test_it_takes_over_in_order_and_announces_what_is_bound() -> None:
    one = instance()
    one.start(0.0)
    assert told(one.timeout(ACTIVE_DOWN)) == [Advertise(PRIORITY), (ACTIVE, Why.ACTIVE_DOWN_TIMEOUT), Step.BIND]
    assert (one.presence.bound, one.presence.level) == (True, None)
    assert one.bound(ACTIVE_DOWN) == [Step.ANNOUNCE]
    assert one.presence.level is Level.ACTIVE


def test_an_alarm_that_rings_early_does_nothing() -> None:
    one = instance()
    one.start(0.0)
    assert one.timeout(ACTIVE_DOWN - 0.001) == []
    assert serving().timeout(ACTIVE_DOWN + 0.5) == []


def test_a_new_priority_is_advertised_at_once() -> None:
    one = serving()
    assert one.prioritise(90, ACTIVE_DOWN) == [Advertise(90)]
    assert one.router.priority == 90


# What a node that fell silent leaves in the routers


def test_a_takeover_after_a_silent_failure_is_announced_better_for_a_while() -> None:
    one = instance()
    one.start(0.0)
    hear(one, 200, 0.0)
    one.timeout(ACTIVE_DOWN)
    one.bound(ACTIVE_DOWN)
    assert one.takeovers.failures.number == 1
    while one.router.deadline is not None and (now := one.router.deadline) < ACTIVE_DOWN + STALE:
        assert one.timeout(now) == [Advertise(PRIORITY)]
    assert one.deadline == ACTIVE_DOWN + STALE
    assert Step.ANNOUNCE in one.timeout(ACTIVE_DOWN + STALE)
    assert one.takeovers.failures.number == 0


def test_the_first_active_has_no_failed_predecessor() -> None:
    assert serving().takeovers.failures.number == 0


def test_a_backup_counts_silent_failures_of_others() -> None:
    one = instance()
    one.start(0.0)
    hear(one, 200, 1.0, OTHER)
    hear(one, 150, 4.3, THIRD)
    assert one.takeovers.failures.number == 1
    assert told(one.timeout(4.3 + ACTIVE_DOWN)) == [Advertise(PRIORITY), (ACTIVE, Why.ACTIVE_DOWN_TIMEOUT), Step.BIND]
    assert one.takeovers.failures.number == 2, "who takes over from one who took over from silence needs more"


def test_a_takeover_during_our_restart_counts_as_a_silent_failure() -> None:
    one = instance()
    one.inherit(0.0, announced=True, active=True)
    one.start(0.0)
    hear(one, 150, 0.1)
    assert one.takeovers.failures.number == 1
    other = instance()
    other.inherit(0.0, announced=True)
    other.start(0.0)
    hear(other, 150, 0.1)
    assert other.takeovers.failures.number == 0, "it was on its way out"


def test_further_copies_of_an_advert_change_nothing() -> None:
    one = instance()
    one.start(0.0)
    for now in (0.5, 1.5):
        hear(one, 200, now, interface=1)
        hear(one, 200, now + 0.01, interface=2)
    assert isinstance(one.router.state, Backup)
    assert one.router.state.heard == 1.5
    hear(one, 200, 2.5, interface=2)
    assert isinstance(one.router.state, Backup)
    assert one.router.state.heard == 2.5


def test_a_further_copy_counts_if_another_node_was_heard_since_the_first_one() -> None:
    """Of two Actives, the better one is followed, and its priority 0 obeyed, whichever copies come last."""
    one = instance()
    one.start(0.0)
    for now in (0.5, 1.5):
        hear(one, 220, now, OTHER, 1)
        hear(one, 210, now + 0.001, THIRD, 1)
        hear(one, 210, now + 0.002, THIRD, 2)
        hear(one, 220, now + 0.003, OTHER, 2)
    assert isinstance(one.router.state, Backup)
    assert one.router.state.following == OTHER


def test_a_further_copy_counts_if_its_group_could_not_decide_about_the_first_one() -> None:
    one = serving()
    for interface, now in ((1, 0.5), (2, 0.51)):
        hear(one, 50, ACTIVE_DOWN + now, interface=interface)
    one.tied(OTHER, advert(PRIORITY + 1), 1, [1, 2], ACTIVE_DOWN + 1.0)
    assert told(hear(one, PRIORITY + 1, ACTIVE_DOWN + 1.01, interface=2))[0] == (Role.BACKUP, Why.SUPERSEDED)


def test_a_further_copy_counts_if_the_first_one_found_another_state() -> None:
    one = serving()
    hear(one, 50, ACTIVE_DOWN + 0.5, interface=1)
    hear(one, 50, ACTIVE_DOWN + 0.51, interface=2)
    assert told(hear(one, PRIORITY + 1, ACTIVE_DOWN + 1.0, interface=1))[0] == (Role.BACKUP, Why.SUPERSEDED)
    one.prioritise(PRIORITY, ACTIVE_DOWN + 1.1)
    hear(one, PRIORITY + 1, ACTIVE_DOWN + 1.2, interface=2)
    assert isinstance(one.router.state, Backup)
    assert one.router.state.heard == ACTIVE_DOWN + 1.2


def test_silent_failures_that_a_predecessor_counted_expire_in_time() -> None:
    one = instance()
    one.takeovers.failures.recall(Count(2, 400.0), 500.0)
    assert one.takeovers.failures.number == 2
    one.start(500.0)
    assert one.timeout(500.0 + ACTIVE_DOWN)[0] == Advertise(PRIORITY)
    assert one.takeovers.failures.number == 2, "nobody was heard that could have fallen silent"
    assert one.takeovers.failures.remembered == (2, 400.0)
    assert one.bound(500.0 + ACTIVE_DOWN) == [Step.ANNOUNCE]
    while one.router.deadline is not None and (now := one.router.deadline) < 400.0 + STALE:
        one.timeout(now)
    assert Step.ANNOUNCE in one.timeout(400.0 + STALE)
    assert one.takeovers.failures.number == 1, "not all at once"
    assert one.deadline is not None
    assert one.deadline <= 400.0 + STALE + PACE
    assert Step.ANNOUNCE in one.timeout(400.0 + STALE + PACE)
    assert one.takeovers.failures.number == 0
    assert one.takeovers.failures.remembered == (2, 400.0)


# Giving up


def test_a_better_router_takes_over_while_we_still_answer() -> None:
    one = serving()
    effects = told(hear(one, 150, 4.0))
    assert effects == [(BACKUP, Why.SUPERSEDED), Step.ANNOUNCE]
    assert state(one) == Leaving(4.0 + HOLD / 2, Stage.SUCCEEDED)
    assert one.deadline == 4.0 + HOLD / 2, "the earlier one of two"
    assert one.timeout(4.0 + HOLD / 2) == [Step.ANNOUNCE]
    assert one.presence.last_resort
    assert one.timeout(4.0 + HOLD) == [Step.WITHDRAW]
    assert one.withdrawn(5.0) == []
    assert state(one) == Lingering(5.0 + LINGER)
    hear(one, 150, 7.0)
    assert one.timeout(7.0) == [Step.UNBIND]
    assert role(one) is BACKUP


def test_after_a_stall_the_hold_begins_with_another_active_s_advert() -> None:
    one = serving()
    assert told(one.timeout(20.0)) == [(BACKUP, Why.STALLED), Step.ANNOUNCE]
    assert state(one) == Leaving(None, Stage.AWAITING), "a Backup is promoted or hears a successor: no ceiling"
    assert hear(one, LEAVING, 21.0) == []
    assert state(one) == Leaving(None, Stage.AWAITING), "who says priority 0 is no successor"
    hear(one, 150, 22.0)
    assert state(one) == Leaving(22.0 + HOLD / 2, Stage.SUCCEEDED)


def test_an_advert_to_an_active_router_that_stays_is_no_successor() -> None:
    one = serving()
    assert hear(one, 50, 4.0) == [Advertise(PRIORITY)]
    assert one.presence.level is Level.ACTIVE


def test_break_before_make_withdraws_and_unbinds_when_superseded() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    assert told(hear(one, 150, 4.0)) == [(BACKUP, Why.SUPERSEDED), Step.WITHDRAW]
    assert one.withdrawn(4.1) == []
    assert one.timeout(4.1 + SETTLE) == [Step.UNBIND]


# Holds


def test_a_hold_before_the_start_puts_it_off() -> None:
    one = instance()
    assert one.hold(Hold.WAITING, "checks", 0.0) == []
    assert one.start(0.0) == []
    assert one.hold(Hold.WAITING, "sessions", 1.0) == []
    assert one.holds == {Hold.WAITING: "sessions"}
    assert told(one.release(Hold.WAITING, 2.0)) == [(BACKUP, Why.STARTUP)]
    assert one.release(Hold.WAITING, 3.0) == []


def test_a_fault_outlasts_a_hold_and_a_hold_a_fault() -> None:
    one = instance()
    one.fault(Fault.CHECK, "broken", 0.0)
    one.hold(Hold.DRAIN, "drained", 0.0)
    one.start(0.0)
    assert one.release(Hold.DRAIN, 1.0) == []
    one.hold(Hold.DRAIN, "drained", 1.0)
    assert one.clear(Fault.CHECK, 2.0) == []
    assert told(one.release(Hold.DRAIN, 3.0)) == [(BACKUP, Why.STARTUP)]


def test_a_drain_resigns_and_serves_on_until_another_does() -> None:
    one = serving()
    assert told(one.hold(Hold.DRAIN, "drained", 4.0)) == [RESIGN, (INITIALIZE, Why.DRAIN), Step.ANNOUNCE]
    assert one.deadline == 4.0 + CEILING
    hear(one, 50, 4.1)
    assert one.deadline == 4.1 + HOLD / 2
    assert one.timeout(4.1 + HOLD / 2) == [Step.ANNOUNCE]
    assert one.timeout(4.1 + HOLD) == [Step.WITHDRAW]
    one.withdrawn(5.2)
    assert one.timeout(5.2 + LINGER) == [Step.UNBIND]
    assert told(one.release(Hold.DRAIN, 60.0)) == [(BACKUP, Why.STARTUP)]


def test_a_drain_without_a_successor_is_undone_without_a_gap() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    undone = one.timeout(4.0 + CEILING)
    assert told(undone) == [NoSuccessor(CEILING), (BACKUP, Why.STARTUP)]
    assert (one.holds, state(one)) == ({}, Leaving(None, Stage.AWAITING))
    soon = one.deadline
    assert soon is not None
    assert soon < 4.0 + CEILING + 2 * INTERVAL
    assert told(one.timeout(soon)) == [Advertise(PRIORITY), (ACTIVE, Why.RESUMED), Step.BIND]
    assert one.bound(soon) == [Step.ANNOUNCE]


def test_a_drain_with_break_before_make_and_no_successor_is_undone() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    assert one.hold(Hold.DRAIN, "drained", 4.0) == [Step.WITHDRAW]
    one.withdrawn(4.0)
    assert told(one.timeout(4.0 + SETTLE)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.DRAIN)]
    assert told(one.timeout(4.0 + CEILING)) == [NoSuccessor(CEILING), (BACKUP, Why.STARTUP)]


def test_an_undrain_while_break_before_make_releases_takes_part_at_once() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    one.hold(Hold.DRAIN, "drained", 4.0)
    one.withdrawn(4.0)
    assert one.release(Hold.DRAIN, 4.01) == []
    assert told(one.timeout(4.0 + SETTLE)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.DRAIN), (BACKUP, Why.STARTUP)]


@pytest.mark.parametrize("advert", [150, None], ids=["superseded", "stalled"])
def test_superseded_while_break_before_make_releases_it_does_not_become_active_again(advert: int | None) -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    one.hold(Hold.DRAIN, "drained", 4.0)
    later = 4.01 if advert else 14.0
    effects = hear(one, advert, later) if advert else one.prioritise(PRIORITY, later)
    why = Why.SUPERSEDED if advert else Why.STALLED
    assert told(effects) == [(BACKUP, why), (INITIALIZE, Why.DRAIN)], "nothing is said: it is Active no longer"
    assert isinstance(state(one), Withdrawing)
    one.withdrawn(later)
    assert one.timeout(later + SETTLE) == [Step.UNBIND]


def test_superseded_while_releasing_for_a_lower_priority_it_is_backup_at_once() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, preempt=False)
    one.prioritise(50, 4.0)
    assert told(hear(one, 150, 4.01)) == [(BACKUP, Why.SUPERSEDED)]
    assert one.router.priority == 50
    one.withdrawn(4.02)
    assert one.timeout(4.02 + SETTLE) == [Step.UNBIND], "and stays one"
    election = one.router.state
    assert isinstance(election, Backup)
    assert election.following is not None, "it knows whom it follows"


def test_an_owner_that_is_superseded_when_it_releases_for_good_no_longer_is_a_backup() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, priority=255)
    one.hold(Hold.DRAIN, "drained", 4.0)
    one.release(Hold.DRAIN, 4.01)
    assert told(one.timeout(14.0)) == [(BACKUP, Why.STALLED)], "who wakes late is Active no more"
    one.withdrawn(14.0)
    assert one.timeout(14.0 + SETTLE) == [Step.UNBIND]
    assert role(one) is BACKUP


def test_an_owner_that_takes_part_again_before_it_is_unbound_binds() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, priority=255)
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert told(one.timeout(14.0)) == [(BACKUP, Why.STALLED), (INITIALIZE, Why.DRAIN)]
    assert told(one.release(Hold.DRAIN, 14.01)) == [Advertise(255), (ACTIVE, Why.OWNER), Step.BIND]


def test_a_recovery_before_it_has_unbound_counts() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, preempt=False)
    one.prioritise(50, 4.0)
    assert (one.router.advertised, one.router.priority) == (PRIORITY, 50)
    assert one.prioritise(PRIORITY, 4.01) == []
    one.withdrawn(4.02)
    one.timeout(4.02 + SETTLE)
    assert (role(one), one.router.priority) == (BACKUP, PRIORITY)


@pytest.mark.parametrize("preempt", [True, False])
def test_a_priority_that_changes_while_it_releases_is_in_no_advert(preempt: bool) -> None:
    """A better router would take over before this one has unbound."""
    one = serving(Handover.BREAK_BEFORE_MAKE, preempt=preempt)
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert one.prioritise(50, 4.01) == []
    assert hear(one, 80, 4.02) == [Advertise(PRIORITY)]
    one.withdrawn(4.02)
    assert told(one.timeout(4.02 + SETTLE)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.DRAIN)]
    assert one.router.priority == 50


def test_break_before_make_that_is_not_bound_yet_leaves_at_once() -> None:
    one = instance(Handover.BREAK_BEFORE_MAKE)
    one.start(0.0)
    one.timeout(ACTIVE_DOWN)
    assert told(one.hold(Hold.DRAIN, "drained", ACTIVE_DOWN)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.DRAIN)]


def test_a_node_drained_when_its_timer_is_late_is_no_candidate() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    effects = told(one.hold(Hold.DRAIN, "drained", 14.0))
    assert effects == [(BACKUP, Why.STALLED), Step.WITHDRAW, (INITIALIZE, Why.DRAIN)]


def test_a_backup_that_still_withdraws_what_it_served_is_drained_at_once() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    hear(one, 150, 4.0)
    assert told(one.hold(Hold.DRAIN, "drained", 4.01)) == [(INITIALIZE, Why.DRAIN)]
    one.withdrawn(4.02)
    assert one.timeout(4.02 + SETTLE) == [Step.UNBIND]


def test_a_drained_backup_waits_for_no_successor() -> None:
    one = instance()
    one.start(0.0)
    assert told(one.hold(Hold.DRAIN, "drained", 1.0)) == [(INITIALIZE, Why.DRAIN)]
    assert one.deadline is None


def test_a_fault_during_a_drain_does_not_make_it_a_success() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert told(one.fault(Fault.CHECK, "broken", 5.0)) == [Step.WITHDRAW]
    assert state(one) == Withdrawing(5.0 + ANSWER_LIMIT, SETTLE)
    one.withdrawn(5.0)
    assert told(one.timeout(5.0 + SETTLE)) == [Step.UNBIND]
    assert one.awaited
    assert one.timeout(4.0 + CEILING) == [NoSuccessor(CEILING)]
    assert told(one.clear(Fault.CHECK, 60.0)) == [(BACKUP, Why.STARTUP)]


def test_a_drain_with_a_successor_is_never_undone() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    hear(one, 50, 4.1)
    assert not one.awaited
    assert one.timeout(4.0 + CEILING) == [Step.ANNOUNCE], "only the handover goes on"
    assert one.holds == {Hold.DRAIN: "drained"}


def test_a_second_drain_does_not_restart_the_wait() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert one.hold(Hold.DRAIN, "drained again", 10.0) == []
    assert one.holds == {Hold.DRAIN: "drained again"}
    assert told(one.timeout(4.0 + CEILING)) == [NoSuccessor(CEILING), (BACKUP, Why.STARTUP)]


def test_an_advert_that_loses_while_break_before_make_releases_is_no_successor() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert hear(one, 50, 4.01) == [Advertise(PRIORITY)], "Active still"
    assert one.awaited
    one.withdrawn(4.02)
    one.timeout(4.02 + SETTLE)
    assert told(one.timeout(4.0 + CEILING)) == [NoSuccessor(CEILING), (BACKUP, Why.STARTUP)]


def test_a_drain_that_ended_early_leaves_no_ceiling_behind() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    one.release(Hold.DRAIN, 4.0 + CEILING - 1)
    assert state(one) == Leaving(None, Stage.AWAITING)
    assert Step.WITHDRAW not in one.timeout(4.0 + CEILING)


def test_break_before_make_sends_priority_0_last_also_with_a_lower_priority() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, preempt=False)
    assert one.prioritise(50, 4.0) == [Step.WITHDRAW]
    assert one.prioritise(40, 4.0) == []
    one.withdrawn(4.0)
    effects = told(one.timeout(4.0 + SETTLE))
    assert effects == [Step.UNBIND, RESIGN, (INITIALIZE, Why.PRIORITY_LOWERED), (BACKUP, Why.STARTUP)]
    assert one.router.priority == 40


def test_a_node_that_rejoins_after_a_fault_keeps_the_lower_priority() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE, preempt=False)
    one.prioritise(50, 4.0)
    assert told(one.fault(Fault.SESSIONS, "none", 4.1)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.UNREACHABLE)]
    assert told(one.clear(Fault.SESSIONS, 4.2)) == [(BACKUP, Why.STARTUP)]
    assert one.router.priority == 50


def test_a_stop_shortens_a_handover_that_is_under_way() -> None:
    one = serving()
    hear(one, 150, 4.0)
    one.presence.settings = replace(one.presence.settings, hold=10.0)
    assert told(stop(one, 4.1)) == [(INITIALIZE, Why.SHUTDOWN)]
    assert one.presence.deadline is not None
    assert one.presence.deadline <= 4.1 + 0.75 / 2


def test_a_standby_is_announced_while_it_is_a_backup() -> None:
    one = Instance("web", settings(), handing_over(standby=True), STALE)
    assert told(one.start(0.0)) == [(BACKUP, Why.STARTUP), Step.BIND]
    assert one.bound(0.0) == [Step.ANNOUNCE]
    assert one.presence.level is Level.STANDBY
    assert told(one.hold(Hold.DRAIN, "drained", 1.0)) == [(INITIALIZE, Why.DRAIN), Step.WITHDRAW]


def test_a_router_with_a_lower_priority_hands_over_without_preemption() -> None:
    one = serving(preempt=False)
    effects = told(one.prioritise(50, 4.0))
    assert effects == [RESIGN, (BACKUP, Why.PRIORITY_LOWERED), Step.ANNOUNCE]
    hear(one, 80, 5.0)
    assert state(one) == Leaving(5.0 + HOLD / 2, Stage.SUCCEEDED)


# Other settings


def test_another_interval_is_advertised_at_once() -> None:
    one = serving()
    assert one.configure(settings(interval=0.5), handing_over(), STALE, 4.0) == [Advertise(PRIORITY)]
    assert (one.deadline, one.copies.interval) == (4.5, 0.5)
    assert one.configure(settings(interval=0.5, preempt=False), handing_over(), STALE, 4.1) == []


def test_another_limit_of_learned_intervals_counts_at_once() -> None:
    one = instance()
    one.start(0.0)
    hear(one, 200, 1.0)
    before = one.deadline
    one.configure(settings(learned_maximum=INTERVAL / 2), handing_over(), STALE, 1.1)
    assert one.deadline is not None
    assert before is not None
    assert one.deadline == pytest.approx(1.0 + (before - 1.0) / 2), "of the last advert heard"


def test_standby_is_switched_on_and_off_in_place() -> None:
    one = instance()
    one.start(0.0)
    assert one.configure(settings(), handing_over(standby=True), STALE, 1.0) == [Step.BIND]
    assert one.bound(1.0) == [Step.ANNOUNCE]
    assert one.presence.level is Level.STANDBY
    assert one.configure(settings(), handing_over(standby=True), STALE, 2.0) == []
    assert one.configure(settings(), handing_over(), STALE, 3.0) == [Step.WITHDRAW]


def test_standby_that_is_switched_on_for_an_active_is_what_it_leaves_behind() -> None:
    one = serving()
    assert one.configure(settings(), handing_over(standby=True), STALE, 4.0) == []
    assert told(hear(one, 200, 5.0)) == [(BACKUP, Why.SUPERSEDED), Step.ANNOUNCE]
    one.timeout(5.0 + HOLD / 2)
    assert one.timeout(5.0 + HOLD) == [Step.ANNOUNCE]
    assert one.presence.level is Level.STANDBY


def test_standby_that_is_switched_on_for_who_is_out_is_not_what_it_leaves_behind() -> None:
    one = serving()
    one.hold(Hold.DRAIN, "drained", 4.0)
    assert one.configure(settings(), handing_over(standby=True), STALE, 4.1) == []
    hear(one, 50, 4.2)
    one.timeout(4.2 + HOLD / 2)
    assert one.timeout(4.2 + HOLD) == [Step.WITHDRAW]


def test_a_router_out_of_the_election_does_not_announce_as_standby() -> None:
    one = instance()
    assert one.configure(settings(), handing_over(standby=True), STALE, 0.0) == []
    one.fault(Fault.CHECK, "web failing", 0.0)
    assert told(one.start(1.0)) == []
    assert told(one.clear(Fault.CHECK, 2.0)) == [(BACKUP, Why.STARTUP), Step.BIND]


def test_prebind_is_switched_on_and_off_in_place() -> None:
    one = instance()
    one.start(0.0)
    assert one.configure(settings(), handing_over(prebind=True), STALE, 1.0) == [Step.BIND]
    assert one.bound(1.0) == []
    assert (one.presence.bound, one.presence.level, one.serves) == (True, None, False)
    assert one.configure(settings(), handing_over(prebind=True), STALE, 2.0) == []
    assert one.configure(settings(), handing_over(), STALE, 3.0) == [Step.UNBIND]


def test_between_standby_and_prebind_a_backup_stays_bound() -> None:
    one = instance()
    one.start(0.0)
    one.configure(settings(), handing_over(prebind=True), STALE, 1.0)
    assert one.configure(settings(), handing_over(standby=True), STALE, 2.0) == [Step.BIND]
    assert one.bound(2.0) == [Step.ANNOUNCE]
    assert one.configure(settings(), handing_over(prebind=True), STALE, 3.0) == [Step.WITHDRAW]
    assert one.withdrawn(3.1) == []
    hear(one, 200, 3.1 + LINGER)
    assert one.timeout(3.1 + LINGER) == [Step.BIND]
    assert one.presence.prebound


def test_an_address_that_cannot_be_bound_beforehand_is_a_fault_of_a_backup() -> None:
    one = Instance("web", settings(), handing_over(prebind=True), STALE)
    assert told(one.start(0.0)) == [(BACKUP, Why.STARTUP), Step.BIND]
    assert told(one.unbound("refused", 0.1)) == [(INITIALIZE, Why.FAULT), Step.UNBIND]
    assert told(one.clear(Fault.BIND, 1.0)) == [(BACKUP, Why.STARTUP), Step.BIND]


def test_a_shortened_handover_stays_short() -> None:
    one = serving()
    one.stop(Why.SHUTDOWN, "", StopBudget(1.5), 4.0)
    hurried = one.presence.settings
    one.configure(settings(), handing_over(), STALE, 4.1)
    assert one.presence.settings == hurried


def test_a_silent_failure_counts_for_as_long_as_is_configured_now() -> None:
    one = serving()
    one.takeovers.failures.recall(Count(1, 4.0), 4.0)
    one.configure(settings(), handing_over(), 5.0, 4.0)
    assert one.takeovers.failures.window == 5.0


def test_a_backup_waits_for_as_many_intervals_as_are_configured() -> None:
    one = instance()
    one.start(0.0)
    one.configure(settings(down_count=2), handing_over(), STALE, 0.0)
    assert one.deadline == pytest.approx(ACTIVE_DOWN - INTERVAL)
    assert one.takeovers.failures.down_count == 2


# Faults


GENTLE = {Fault.SESSIONS, Fault.GROUP, Fault.ANNOUNCEMENT}


@pytest.mark.parametrize("fault", sorted(GENTLE - {Fault.ANNOUNCEMENT}))
def test_an_unreachable_node_still_answers_packets_in_flight(fault: Fault) -> None:
    one = serving()
    assert told(one.fault(fault, "no session is up", 4.0)) == [RESIGN, (INITIALIZE, Why.UNREACHABLE), Step.WITHDRAW]
    one.withdrawn(4.0)
    assert state(one) == Lingering(4.0 + LINGER)
    assert one.fault(Fault.CHECK, "broken", 5.0) == []
    assert told(one.timeout(5.0 + SETTLE)) == [Step.UNBIND], "and now it is sick as well"
    assert one.clear(Fault.CHECK, 6.0) == []
    assert told(one.clear(fault, 7.0)) == [(BACKUP, Why.STARTUP)]


def refused() -> Instance:
    """One that was Active, and that ExaBGP does not announce."""
    one = serving()
    effects = told(one.fault(Fault.ANNOUNCEMENT, "refused", 4.0))
    assert effects == [RESIGN, (INITIALIZE, Why.UNREACHABLE), Step.WITHDRAW]
    return one


def test_a_refused_router_stays_bound_until_it_is_withdrawn_and_another_node_serves() -> None:
    one = refused()
    hear(one, 50, 10.0)
    assert (state(one), one.deadline) == (Stranded(LINGER, has_successor=True), None)
    one.withdrawn(1000.0)
    assert state(one) == Lingering(1000.0 + LINGER)
    other = refused()
    other.withdrawn(4.1)
    assert (state(other), other.deadline) == (Stranded(LINGER, withdrawn=True), None), "the last node that could serve"
    hear(other, 50, 1000.0)
    assert state(other) == Lingering(1000.0 + LINGER)


def test_a_refused_router_that_is_accepted_takes_part_again() -> None:
    one = refused()
    one.withdrawn(5.0)
    assert told(one.clear(Fault.ANNOUNCEMENT, 5.0)) == [(BACKUP, Why.STARTUP)]
    assert one.presence.bound, "nobody else serves: it will in a moment"
    assert told(one.timeout(5.0 + ACTIVE_DOWN)) == [Advertise(PRIORITY), (ACTIVE, Why.ACTIVE_DOWN_TIMEOUT), Step.BIND]
    assert one.bound(5.0 + ACTIVE_DOWN) == [Step.ANNOUNCE]


def test_an_accepted_router_with_another_fault_unbinds_the_address() -> None:
    one = refused()
    one.hold(Hold.DRAIN, "drained", 4.5)
    one.withdrawn(5.0)
    assert one.clear(Fault.ANNOUNCEMENT, 5.0) == []
    assert state(one) == Lingering(5.0 + LINGER)


def test_a_refused_router_with_a_failing_check_is_unbound_soon() -> None:
    one = refused()
    assert one.fault(Fault.CHECK, "broken", 5.0) == []
    assert state(one) == Withdrawing(5.0 + ANSWER_LIMIT, SETTLE)


def test_a_router_with_a_failing_check_that_is_refused_is_unbound_soon() -> None:
    one = serving()
    one.fault(Fault.CHECK, "broken", 4.0)
    assert one.fault(Fault.ANNOUNCEMENT, "refused", 4.5) == []
    assert state(one) == Withdrawing(4.0 + ANSWER_LIMIT, SETTLE)


@pytest.mark.parametrize("fault", sorted(set(Fault) - GENTLE))
def test_a_fault_gives_up_at_once_and_unbinds_when_routers_know(fault: Fault) -> None:
    one = serving()
    assert told(one.fault(fault, "broken", 4.0)) == [RESIGN, (INITIALIZE, Why.FAULT), Step.WITHDRAW]
    assert one.deadline == 4.0 + ANSWER_LIMIT, "ExaBGP may never answer"
    one.withdrawn(4.25)
    assert one.timeout(4.25 + SETTLE) == [Step.UNBIND]
    assert not one.presence.bound
    assert told(one.clear(fault, 5.0)) == [(BACKUP, Why.STARTUP)]


@pytest.mark.parametrize("releasing", [False, True])
@pytest.mark.parametrize("fault", sorted(Fault))
def test_a_service_that_must_not_run_twice_is_unbound_before_a_fault_lets_others_begin(
    fault: Fault, *, releasing: bool
) -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    before = one.hold(Hold.DRAIN, "drained", 4.0) if releasing else []
    why = Why.UNREACHABLE if fault in GENTLE else Why.FAULT
    effects = [*before, *told(one.fault(fault, "broken", 4.0))]
    assert effects == [Step.WITHDRAW, Step.UNBIND, RESIGN, (INITIALIZE, why)]


def test_a_service_that_must_not_run_twice_is_unbound_first_where_an_address_is_lost_or_a_stop_takes_too_long() -> None:
    lost, late = serving(Handover.BREAK_BEFORE_MAKE), serving(Handover.BREAK_BEFORE_MAKE)
    assert told(lost.unbound("lost", 4.0)) == [Step.WITHDRAW, Step.UNBIND, RESIGN, (INITIALIZE, Why.FAULT)]
    assert told(late.abandon(4.0)) == [Step.WITHDRAW, Step.UNBIND, RESIGN, (INITIALIZE, Why.SHUTDOWN)]


def test_a_fault_while_leaving_ends_that_too() -> None:
    one = serving()
    hear(one, 150, 4.0)
    effects = told(one.fault(Fault.CHECK, "broken", 4.5))
    assert effects == [(INITIALIZE, Why.FAULT), Step.WITHDRAW]
    assert state(one) == Withdrawing(4.5 + ANSWER_LIMIT, SETTLE)


def test_it_takes_part_when_the_last_fault_is_over() -> None:
    one = instance()
    one.fault(Fault.CHECK, "not yet known", 0.0)
    assert one.start(0.0) == []
    one.fault(Fault.ADVERTS, "no way out", 1.0)
    assert one.clear(Fault.CHECK, 2.0) == []
    assert told(one.clear(Fault.ADVERTS, 3.0)) == [(BACKUP, Why.STARTUP)]
    assert one.clear(Fault.ADVERTS, 4.0) == [], "there was none"
    assert one.faults == {}


def test_addresses_that_cannot_be_bound_give_the_role_back() -> None:
    one = instance()
    one.start(0.0)
    one.timeout(ACTIVE_DOWN)
    effects = one.unbound("lo has no IPv6", ACTIVE_DOWN)
    assert told(effects) == [RESIGN, (INITIALIZE, Why.FAULT), Step.UNBIND]
    assert [one.detail for one in effects if isinstance(one, Transition)] == ["lo has no IPv6"]
    assert one.faults == {Fault.BIND: "lo has no IPv6"}


def test_addresses_that_are_not_wanted_cannot_be_lost() -> None:
    """A failed bind may be reported late, after the router has given up."""
    one = instance()
    one.start(0.0)
    assert one.unbound("lo has no IPv6", 1.0) == []
    assert (role(one), one.faults) == (BACKUP, {})


def test_addresses_that_were_lost_are_withdrawn() -> None:
    one = serving()
    effects = told(one.unbound("gone", 4.0))
    assert effects == [RESIGN, (INITIALIZE, Why.FAULT), Step.WITHDRAW, Step.UNBIND]


# The end


def stop(one: Instance, now: float) -> list[Effect]:
    return one.stop(Why.SHUTDOWN, "SIGTERM", StopBudget(1.5), now)


def test_a_stop_budget_shortens_the_handover() -> None:
    fitted = StopBudget(1.5).fit(handing_over())
    assert (fitted.hold, fitted.linger, fitted.ceiling, fitted.stale) == (0.75, 0.375, 0.75, 0.75)
    short = presence.Settings(Handover.BREAK_BEFORE_MAKE, hold=0.1, linger=0.2, ceiling=0.3, stale=0.4)
    assert StopBudget(1.5).fit(short) == short


def test_a_stop_resigns_first_and_serves_on_until_another_does() -> None:
    one = serving()
    assert told(stop(one, 4.0)) == [RESIGN, (INITIALIZE, Why.SHUTDOWN), Step.ANNOUNCE]
    assert (one.finished, one.presence.level) == (False, Level.LEAVING)
    hear(one, 50, 4.1)
    assert one.timeout(4.1 + 0.375) == [Step.ANNOUNCE]
    assert one.timeout(4.1 + 0.75) == [Step.WITHDRAW]
    one.withdrawn(4.86)
    assert one.timeout(4.86 + 0.375) == [Step.UNBIND]
    assert one.finished
    assert one.deadline is None


def test_a_stop_with_break_before_make_resigns_last() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    assert stop(one, 4.0) == [Step.WITHDRAW]
    assert role(one) is ACTIVE
    assert one.withdrawn(4.01) == []
    assert role(one) is ACTIVE, "until it has unbound"
    assert told(one.timeout(4.01 + SETTLE))[-3:] == [Step.UNBIND, RESIGN, (INITIALIZE, Why.SHUTDOWN)]
    assert one.finished


def test_a_predecessor_s_service_goes_on_if_no_node_has_taken_over() -> None:
    one = instance()
    assert one.inherit(0.0, announced=True) == [Step.ANNOUNCE]
    assert state(one) == Leaving(None, Stage.AWAITING)
    assert told(one.start(0.5)) == [(BACKUP, Why.STARTUP)]
    soon = 0.5 + INTERVAL + (256 - PRIORITY) * INTERVAL / 256
    assert one.deadline == soon
    assert told(one.timeout(soon)) == [Advertise(PRIORITY), (ACTIVE, Why.RESUMED), Step.BIND]
    assert one.bound(soon) == [Step.ANNOUNCE]


def test_a_predecessor_s_service_is_handed_over_if_another_node_has_taken_over() -> None:
    one = instance()
    one.inherit(0.0, announced=True)
    one.start(0.0)
    assert hear(one, 150, 0.1) == []
    assert state(one) == Leaving(0.1 + HOLD / 2, Stage.SUCCEEDED)


def test_a_node_that_received_an_advert_before_its_start_waits_as_any_backup() -> None:
    one = instance()
    one.inherit(0.0, announced=True)
    one.hold(Hold.WAITING, "checks", 0.0)
    one.start(0.0)
    assert hear(one, 50, 0.1) == []
    one.release(Hold.WAITING, 0.2)
    assert one.router.deadline == 0.2 + ACTIVE_DOWN


def test_a_node_that_starts_again_waits_as_any_backup() -> None:
    one = instance()
    one.inherit(0.0, announced=True)
    one.start(0.0)
    one.hold(Hold.WAITING, "checks", 0.1)
    assert one.presence.awaits_successor, "served on meanwhile"
    one.release(Hold.WAITING, 0.2)
    assert one.router.deadline == 0.2 + ACTIVE_DOWN, "what it served a moment ago is longer ago now"


def test_a_predecessor_s_service_ends_with_a_stop_before_the_election() -> None:
    one = instance()
    one.inherit(0.0, announced=True)
    one.hold(Hold.WAITING, "checks", 0.0)
    assert one.start(0.0) == []
    assert stop(one, 1.0) == []
    assert one.timeout(1.75) == [Step.WITHDRAW]
    one.withdrawn(1.75)
    assert one.timeout(1.75 + 0.375) == [Step.UNBIND]
    assert one.finished


def test_leftovers_that_cannot_be_served_are_withdrawn_before_they_are_unbound() -> None:
    one = instance()
    assert one.inherit(0.0, announced=False) == [Step.WITHDRAW]
    assert told(one.start(0.0)) == [(BACKUP, Why.STARTUP)]
    assert one.withdrawn(0.01) == []
    assert one.presence.bound
    assert one.timeout(0.01 + SETTLE) == [Step.UNBIND]


def test_leftovers_whose_withdraw_is_refused_stay_bound_until_another_serves() -> None:
    """Routers may still have the predecessor's route, and nobody can withdraw it."""
    one = instance()
    one.inherit(0.0, announced=False)
    one.start(0.0)
    one.fault(Fault.ANNOUNCEMENT, "refused twice", 1.5)
    assert one.timeout(STALE) == []
    assert one.presence.bound
    hear(one, 150, STALE)
    one.withdrawn(STALE)
    assert one.timeout(STALE + LINGER) == [Step.UNBIND]


def test_a_node_that_starts_while_leftovers_linger_has_nothing_to_release() -> None:
    one = instance(Handover.BREAK_BEFORE_MAKE)
    one.inherit(0.0, announced=False)
    one.hold(Hold.WAITING, "waiting for a check", 0.0)
    assert one.start(0.0) == []
    assert told(one.release(Hold.WAITING, 0.5)) == [(BACKUP, Why.STARTUP)]
    one.withdrawn(0.5)
    assert told(one.timeout(0.5 + SETTLE)) == [Step.UNBIND]
    assert role(one) is BACKUP


def test_a_takeover_while_leftovers_linger_binds() -> None:
    """The alarm of both at once: a process that was stopped for a while."""
    one = instance(Handover.BREAK_BEFORE_MAKE)
    one.inherit(0.0, announced=False)
    one.hold(Hold.WAITING, "waiting for a check", 0.0)
    one.start(0.0)
    one.release(Hold.WAITING, 0.0)
    one.withdrawn(0.01)
    assert told(one.timeout(ACTIVE_DOWN)) == [Advertise(PRIORITY), (ACTIVE, Why.ACTIVE_DOWN_TIMEOUT), Step.BIND]
    assert one.bound(ACTIVE_DOWN) == [Step.ANNOUNCE]


def test_a_backup_stops_at_once() -> None:
    for handover in Handover:
        one = instance(handover)
        one.start(0.0)
        assert told(stop(one, 1.0)) == [(INITIALIZE, Why.SHUTDOWN)]
        assert one.finished


def test_when_the_time_for_a_stop_is_over_nothing_is_left() -> None:
    one = serving()
    stop(one, 4.0)
    assert one.abandon(5.5) == [Step.WITHDRAW, Step.UNBIND]
    assert one.finished
    other = serving(Handover.BREAK_BEFORE_MAKE)
    stop(other, 4.0)
    assert told(other.abandon(5.5)) == [Step.UNBIND, RESIGN, (INITIALIZE, Why.SHUTDOWN)]
    assert other.finished


def test_the_end_of_a_fault_does_not_start_a_router_before_its_start() -> None:
    one = instance()
    one.fault(Fault.CHECK, "not yet known", 0.0)
    assert one.clear(Fault.CHECK, 1.0) == []
    assert role(one) is INITIALIZE


def test_a_stopping_router_cannot_be_drained() -> None:
    one = serving()
    stop(one, 4.0)
    before = state(one)
    assert one.hold(Hold.DRAIN, "drained", 4.1) == []
    assert state(one) == before
    assert one.deadline == 4.75
    assert not one.awaited, "it leaves whether another node comes or not"


def test_a_stopped_router_does_not_start_again() -> None:
    one = serving()
    one.fault(Fault.CHECK, "broken", 4.0)
    one.withdrawn(4.0)
    one.timeout(4.0 + SETTLE)
    stop(one, 5.0)
    assert one.clear(Fault.CHECK, 6.0) == []
    assert one.finished


# In a group


def test_a_group_withholds_the_takeover_and_nothing_else() -> None:
    one = instance()
    one.start(0.0)
    one.withheld = True
    assert one.deadline is None
    assert one.timeout(ACTIVE_DOWN) == []
    one.withheld = False
    assert told(one.timeout(ACTIVE_DOWN)) == [Advertise(PRIORITY), (ACTIVE, Why.ACTIVE_DOWN_TIMEOUT), Step.BIND]


def test_a_group_makes_it_give_way_in_order() -> None:
    one = serving()
    assert one.succeeded(4.0) == [], "an Active has no successor"
    assert told(one.give_way(Why.SUPERSEDED, "four: heard", 4.0)) == [(BACKUP, Why.SUPERSEDED), Step.ANNOUNCE]
    assert one.give_way(Why.SUPERSEDED, "four: heard", 4.0) == []
    assert instance().give_way(Why.SUPERSEDED, "", 0.0) == [], "who takes no part"


def test_a_successor_that_another_of_the_group_has_heard_counts() -> None:
    one = serving()
    one.timeout(20.0)
    assert state(one) == Leaving(None, Stage.AWAITING)
    assert one.succeeded(22.0) == []
    assert state(one) == Leaving(22.0 + HOLD / 2, Stage.SUCCEEDED)


# Paths


def test_a_quiet_path_is_reported_and_decides_nothing() -> None:
    one = instance()
    one.start(0.0)
    seconds = range(1, 8)
    effects = [effect for now in seconds for effect in hear(one, 150, float(now), interface=1)]
    assert effects == [PathQuiet(OTHER, 2)]
    assert hear(one, 150, 8.0, interface=2) == [PathBack(OTHER, 2)]
    assert role(one) is BACKUP


# Deaf nodes


def test_an_active_reclaims_the_traffic_from_one_that_does_not_hear_it() -> None:
    one = serving()
    said = [told(hear(one, 50, now)) for now in (4.0, 5.0, 6.0, 7.0)]
    assert said[:2] == [[Advertise(PRIORITY)], []], "answered, once for each of its own"
    assert said[2:] == [[Reclaim(OTHER, 50, 2.0, 1), Step.ANNOUNCE], [Reclaim(OTHER, 50, 3.0, 2), Step.ANNOUNCE]]
    assert one.takeovers.failures.number == 2


def test_an_active_that_is_not_bound_yet_reclaims_and_announces_later() -> None:
    one = instance()
    one.start(0.0)
    one.timeout(ACTIVE_DOWN)
    for now in (4.0, 5.0):
        hear(one, 50, now)
    assert told(hear(one, 50, 6.0)) == [Reclaim(OTHER, 50, 2.0, 1)]


def test_an_active_that_gives_up_and_a_backup_reclaim_nothing() -> None:
    one = serving(Handover.BREAK_BEFORE_MAKE)
    one.hold(Hold.DRAIN, "", 4.0)
    assert one.router.releasing is not None
    backup = instance()
    backup.start(0.0)
    said = [told(hear(one, 50, now)) for now in (4.0, 5.0, 6.0, 7.0)]
    for now in (4.0, 5.0, 6.0, 7.0):
        said += [told(hear(backup, 150, now, THIRD)), told(hear(backup, 50, now + 0.1))]
    assert Step.ANNOUNCE not in [effect for effects in said for effect in effects]
    assert (one.reclaims, backup.reclaims) == (False, False)
    assert backup.takeovers.rivals.known[OTHER].reclaimed == 2, "it counts what the Active does"


# Whatever happens


def gone_soon(of: presence.Presence, now: float) -> bool:
    """Whether it is bound only until ExaBGP has confirmed the withdraw."""
    match of.state:
        case Withdrawing(deadline, linger):
            soon = deadline is not None and deadline <= now + ANSWER_LIMIT and linger <= SETTLE
        case Lingering(deadline):
            soon = deadline <= now + SETTLE
        case _:
            soon = False
    return soon


@dataclass
class World:
    """Carries effects out as the agent does, in the middle of others, and knows what must never be."""

    one: Instance
    now: float = 0.0
    binds: bool = True
    """whether the kernel takes the addresses"""
    answers: bool = True
    """whether ExaBGP confirms a withdraw"""
    role: Role = Role.INITIALIZE
    bound: bool = False
    announced: Level | None = None
    said: list[int] = field(default_factory=list)
    """the priorities of the adverts"""
    handovers: set[Handover] = field(default_factory=set)
    """those that were configured so far"""

    def __post_init__(self) -> None:
        self.handovers.add(self.one.presence.settings.handover)

    def carry_out(self, effects: list[Effect]) -> None:
        for effect, following in zip_longest(effects, effects[1:]):
            match effect:
                case Advertise(priority):
                    self.advertise(priority, following)
                case Transition(before, after):
                    assert before is self.role
                    self.role = after
                case Step():
                    self.take(effect)
                case Notice() | PathQuiet() | PathBack() | NoSuccessor() | Reclaim():
                    pass
            assert self.bound or self.announced is None, "announced while unbound"

    def advertise(self, priority: int, following: Effect | None) -> None:
        after = following.after if isinstance(following, Transition) else self.role
        if priority == LEAVING:
            assert self.role is ACTIVE, "only an Active router resigns"
            assert after in (INITIALIZE, BACKUP)
        else:
            assert after is ACTIVE, "only an Active router advertises"
        self.said.append(priority)

    def take(self, step: Step) -> None:
        wanted = self.one.presence
        match step:
            case Step.BIND if self.binds:
                self.bound = wanted.bound
                self.carry_out(self.one.bound(self.now))
            case Step.BIND:
                self.carry_out(self.one.unbound("cannot be bound", self.now))
            case Step.UNBIND:
                self.bound = wanted.bound
            case Step.ANNOUNCE | Step.WITHDRAW:
                self.announced = wanted.level
                if wanted.level is None and self.answers:
                    self.carry_out(self.one.withdrawn(self.now))

    def check(self) -> None:
        """What holds between two events."""
        one = self.one
        assert (self.bound, self.announced) == (one.presence.bound, one.presence.level), "as wanted"
        assert self.role is one.router.role
        releasing = one.router.releasing is not None
        assert not releasing or (self.bound and self.announced is None), "releasing with nothing to release"
        if self.role is ACTIVE and not releasing:
            assert self.announced is Level.ACTIVE
        if self.role is not ACTIVE:
            assert self.announced is not Level.ACTIVE
        if one.holds and not releasing:
            assert self.role is INITIALIZE
        if one.faults:
            assert self.role is INITIALIZE
            assert self.announced is None
        if set(one.faults) - GENTLE:
            assert (self.role, self.announced) == (INITIALIZE, None)
            assert not self.bound or gone_soon(one.presence, self.now), "sick, and bound"
            assert not self.bound or Handover.MAKE_BEFORE_BREAK in self.handovers, "sick, and to break first"
        assert one.deadline is None or one.deadline >= 0
        if one.deadline is None or self.now < one.deadline:
            assert one.timeout(self.now) == [], "an alarm that rings early"

    def ring(self) -> None:
        """Let time pass until the deadline, if there is one."""
        if self.one.deadline is not None:
            self.now = max(self.now, self.one.deadline)
            self.carry_out(self.one.timeout(self.now))


Happening = Callable[[World], None]


def _heard(priority: int, source: Address, interval: float, interface: int) -> Happening:
    def happen(world: World) -> None:
        world.carry_out(world.one.received(source, advert(priority, interval), interface, [1, 2], world.now))

    return happen


def _passes(seconds: float) -> Happening:
    """A pause of the process: the alarm rings late."""

    def happen(world: World) -> None:
        world.now += seconds
        world.carry_out(world.one.timeout(world.now))

    return happen


def _lost(world: World) -> None:
    """The addresses are removed and cannot be bound again."""
    world.bound = False
    announced, world.announced = world.announced, None  # packets are lost, but that is not our doing
    effects = world.one.unbound("lost", world.now)
    world.announced = announced if Step.WITHDRAW not in effects else None
    world.carry_out(effects)


def _turns(name: str) -> Happening:
    def happen(world: World) -> None:
        setattr(world, name, not getattr(world, name))

    return happen


def _answered(world: World) -> None:
    world.carry_out(world.one.withdrawn(world.now))


def _configured(election: router.Settings, handover: presence.Settings, stale_for: float) -> Happening:
    def happen(world: World) -> None:
        world.handovers.add(handover.handover)
        world.carry_out(world.one.configure(election, handover, stale_for, world.now))

    return happen


ELECTIONS = st.builds(
    settings,
    priority=st.sampled_from([1, 100, 254, 255]),
    interval=st.sampled_from([0.01, 1.0]),
    preempt=st.booleans(),
    preempt_delay=st.sampled_from([0.0, 3.0]),
)
HANDOVERS = st.builds(
    presence.Settings,
    st.sampled_from(Handover),
    hold=st.sampled_from([0.0, 1.0]),
    linger=st.sampled_from([0.0, 2.0]),
    ceiling=st.sampled_from([0.5, 30.0]),
    stale=st.just(STALE),
    standby=st.booleans(),
    prebind=st.booleans(),
).filter(lambda settings: settings.standby + settings.prebind <= (settings.handover is Handover.MAKE_BEFORE_BREAK))
INSTANCES = st.builds(lambda election, handover: Instance("web", election, handover, STALE), ELECTIONS, HANDOVERS)
HAPPENINGS = st.one_of(
    st.just(World.ring),
    st.just(World.ring),
    st.builds(_passes, st.sampled_from([0.0, 0.5, 1.0, 5.0, 40.0])),
    st.builds(
        _heard,
        st.sampled_from([0, 1, 50, 100, 150, 254, 255]),
        st.sampled_from([OTHER, THIRD]),
        st.sampled_from([0.01, 1.0, 40.95]),
        st.sampled_from([1, 2, 3]),
    ),
    st.builds(
        lambda priority: lambda world: world.carry_out(world.one.prioritise(priority, world.now)),
        st.sampled_from([1, 100, 200, 254]),
    ),
    st.builds(
        lambda fault: lambda world: world.carry_out(world.one.fault(fault, "broken", world.now)), st.sampled_from(Fault)
    ),
    st.builds(lambda fault: lambda world: world.carry_out(world.one.clear(fault, world.now)), st.sampled_from(Fault)),
    st.builds(lambda fault: lambda world: world.carry_out(world.one.clear(fault, world.now)), st.sampled_from(Fault)),
    st.builds(
        lambda hold: lambda world: world.carry_out(world.one.hold(hold, "held", world.now)), st.sampled_from(Hold)
    ),
    st.builds(lambda hold: lambda world: world.carry_out(world.one.release(hold, world.now)), st.sampled_from(Hold)),
    st.builds(_configured, ELECTIONS, HANDOVERS, st.sampled_from([5.0, STALE])),
    st.sampled_from([_lost, _answered, _turns("binds"), _turns("answers")]),
)

HISTORIES = st.lists(HAPPENINGS, max_size=40)


def lived(one: Instance, history: list[Happening], *, inherited: bool | None = None) -> World:
    """``inherited``: whether the predecessor's routes are still announced; None: it left nothing."""
    world = World(one)
    if inherited is not None:
        world.bound = True
        world.carry_out(one.inherit(world.now, announced=inherited))
    world.carry_out(one.start(world.now))
    for happen in history:
        world.check()
        happen(world)
    world.check()
    return world


@given(one=INSTANCES, history=HISTORIES, inherited=st.sampled_from([None, False, True]))
def test_whatever_happens(one: Instance, history: list[Happening], inherited: bool | None) -> None:
    lived(one, history, inherited=inherited)


@given(one=INSTANCES, history=HISTORIES, answers=st.booleans(), last_words=HISTORIES)
def test_a_stop_always_finishes(
    one: Instance, history: list[Happening], answers: bool, last_words: list[Happening]
) -> None:
    world = lived(one, history)
    world.answers = answers
    world.carry_out(stop(one, world.now))
    for happen in last_words:
        world.check()
        happen(world)
    end = world.now + CEILING + STALE + LINGER + 1
    while not one.finished and world.now < end:
        assert one.deadline is not None, "nothing will ever happen"
        world.ring()
    assert one.finished
    assert (world.role, world.bound, world.announced) == (INITIALIZE, False, None)


@given(one=INSTANCES, history=HISTORIES, last_words=HISTORIES)
def test_a_stop_finishes_within_its_limit(one: Instance, history: list[Happening], last_words: list[Happening]) -> None:
    world = lived(one, history)
    world.carry_out(stop(one, world.now))
    for happen in last_words:
        happen(world)
    world.carry_out(one.abandon(world.now))
    assert one.finished
    assert (world.role, world.bound, world.announced) == (INITIALIZE, False, None)
    said = len(world.said)
    for happen in last_words:
        happen(world)
        world.check()
    assert one.finished
    assert len(world.said) == said, "who has stopped says nothing"
