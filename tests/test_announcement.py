"""The announcement of one virtual router: what ExaBGP has accepted or refused, and retries."""

from ipaddress import ip_network

from exavrrp import speaker
from exavrrp.announcement import REATTEMPTS
from exavrrp.presence import Absent, Leaving, Present, Stage, Step
from exavrrp.routes import Level
from exavrrp.takeover import AHEAD
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.packet import LEAVING
from exavrrp.vrrp.router import Advertise, Role, Transition, Why
from tests.ports import EPOCH, INTERVAL, Rig, given_active, given_backup, router

PREFIX = ip_network("2001:db8:53::1/128")


def test_an_announcement_that_is_refused_again_and_again_is_tried_ever_more_rarely() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    for pause in REATTEMPTS[:3]:
        rig.after(4 * INTERVAL)
        assert rig.role() is Role.ACTIVE
        rig.speaker.refuse(2)
        rig.speaker.refuse(3)
        assert rig.faults() == ["announcement"]
        rig.speaker.answer()
        rig.after(pause - 0.1)
        assert rig.faults() == ["announcement"]
        rig.after(0.2)
        assert rig.faults() == []


def test_a_withdraw_that_is_refused_after_all_is_waited_for_again() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.speaker.refuse(2)
    rig.speaker.answer()
    rig.handle(speaker.Refused(PREFIX, "withdraw", 2))
    rig.after(REATTEMPTS[0] + 1)
    assert rig.faults() == ["announcement"]


def test_where_bgp_has_no_say_a_refusal_is_no_fault() -> None:
    rig = given_active(router(min_sessions=0))
    rig.handle(speaker.Refused(PREFIX, "announce", 2))
    assert rig.role() is Role.ACTIVE


def announce(one: VirtualRouter, level: Level) -> None:
    one.instance.presence.state = Leaving(None, Stage.AWAITING) if level is Level.LEAVING else Present(level)
    one.carry_out(Step.ANNOUNCE)


def withdraw(one: VirtualRouter) -> None:
    one.instance.presence.state = Absent()
    one.carry_out(Step.WITHDRAW)


def unanswered() -> VirtualRouter:
    """One whose ExaBGP answers nothing by itself; a refusal is nothing but a refusal."""
    rig = Rig(router(min_sessions=0))
    rig.speaker.answers = False
    return rig.router()


def may(one: VirtualRouter) -> bool:
    return one.announcement.may_be_announced


def test_what_was_accepted_may_be_announced_until_its_withdraw_is() -> None:
    """A caretaker ends ExaBGP to withdraw it, and must not do that for nothing."""
    one = unanswered()
    assert not may(one)
    announce(one, Level.ACTIVE)
    assert may(one), "it was told, and has not answered"
    one.announcement.answered(PREFIX)
    announce(one, Level.LEAVING)
    one.announcement.refused(PREFIX, 2)
    withdraw(one)
    one.announcement.refused(PREFIX, 2)
    one.announcement.refused(PREFIX, 3, silent=True)
    assert may(one)
    one.announcement.answered(PREFIX)
    assert not may(one)


def test_what_was_never_accepted_is_not_announced() -> None:
    one = unanswered()
    announce(one, Level.ACTIVE)
    one.announcement.refused(PREFIX, 1)
    assert may(one), "that may have been the answer to another command"
    one.announcement.refused(PREFIX, 2)
    assert not may(one)
    one.announcement.refused(PREFIX, 3)
    withdraw(one)
    one.announcement.refused(PREFIX, 2)
    assert not may(one)
    announce(one, Level.ACTIVE)
    one.announcement.refused(PREFIX, 2)
    one.announcement.answered(PREFIX)
    assert may(one), "when it was said again"


def test_what_was_never_answered_or_replaced_before_the_answer_may_be_announced() -> None:
    one = unanswered()
    announce(one, Level.ACTIVE)
    one.announcement.refused(PREFIX, 2)
    one.announcement.refused(PREFIX, 3, silent=True)
    assert may(one)
    announce(one, Level.LEAVING)
    one.announcement.refused(PREFIX, 2)
    assert may(one), "in the first form"


def test_what_is_only_withdrawn_in_case_that_a_predecessor_has_announced_it_is_nothing_of_ours() -> None:
    other = ip_network("2001:db8:53::9/128")
    one = unanswered()
    announce(one, Level.ACTIVE)
    one.announcement.refused(PREFIX, 2)
    one.announcement.refused(other, 2)
    one.announcement.refused(other, 2, silent=True)
    one.announcement.answered(other)
    assert not may(one)


def test_after_the_clock_was_set_back_an_active_begins_anew() -> None:
    """Its successor is Active since a later time by the same clock, and its route has to win over a stale one."""
    rig = Rig(router(bgp={"takeover": ["med"], "med": None}))
    one = rig.router()
    begun = int(EPOCH + rig.clock.now)
    one.carry_out(Transition(Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT))
    one.instance.presence.state = Present(Level.ACTIVE)
    for offset, since, times in ((-AHEAD, 0, 0), (3600.0, 0, 0), (-3600.0, -3600, 1), (-3599.0, -3600, 1)):
        rig.offset = offset
        one.carry_out(Advertise(100))
        assert one.instance.takeovers.time.active_since == begun + since
        assert len([line for line in rig.done if line.startswith("announce")]) == times
    one.instance.presence.state = Absent()
    rig.offset = -1_000_000_000.0
    rig.done.clear()
    one.carry_out(Advertise(LEAVING))
    assert rig.done == ["send web 0"]


def test_what_is_answered_after_all_is_no_reason_of_the_fault() -> None:
    rig = given_backup(router(addresses=["2001:db8:53::1", "2001:db8:53::2"]), heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.handle(speaker.Refused(PREFIX, "announce", 1), speaker.Answered(PREFIX, None))
    rig.handle(speaker.Refused(ip_network("2001:db8:53::2/128"), "announce", 2))
    (line,) = rig.log.told("route-not-accepted")
    assert line["detail"].startswith("ExaBGP refuses 2001:db8:53::2/128: ")


def test_an_announcement_that_is_accepted_ends_the_row_of_refusals() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    for accepted in (False, True):
        rig.after(4 * INTERVAL)
        assert rig.role() is Role.ACTIVE
        if accepted:
            rig.speaker.answer()
            rig.handle(speaker.Refused(PREFIX, "announce", 2))
        else:
            rig.speaker.refuse(2)
        rig.speaker.answer()
        rig.after(REATTEMPTS[0] + 0.1)
        assert rig.faults() == []
