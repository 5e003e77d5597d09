"""The announcement of one virtual router: what ExaBGP has accepted or refused, and retries."""

from functools import partial
from ipaddress import ip_address, ip_network

from exavrrp import speaker
from exavrrp.announcement import REATTEMPTS
from exavrrp.presence import Absent, Present
from exavrrp.routes import Level
from exavrrp.takeover import AHEAD
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


def test_after_the_clock_was_set_an_active_begins_anew() -> None:
    """Its successor is Active since a later time by the same clock, and its route has to win over a stale one."""
    rig = Rig(router(bgp={"takeover": ["med"], "med": None}))
    one = rig.router()
    begun = int(EPOCH + rig.clock.now)
    rig.node.turns.put(partial(one.carry_out, Transition(Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT)))
    one.instance.presence.state = Present(Level.ACTIVE)
    for offset, since, times in ((-AHEAD, 0, 0), (0.0, 0, 0), (-3600.0, -3600, 1), (-3599.0, -3600, 1), (1.0, 1, 2)):
        rig.offset = offset
        rig.node.turns.put(partial(one.carry_out, Advertise(100)))
        assert one.instance.takeovers.time.active_since == begun + since
        assert len([line for line in rig.done if line.startswith("announce")]) == times
    one.instance.presence.state = Absent()
    rig.offset = -1_000_000_000.0
    rig.done.clear()
    one.carry_out(Advertise(LEAVING))
    assert rig.done == ["send web 0"]


def test_an_active_that_stands_still_between_looks_at_both_clocks_does_not_begin_anew() -> None:
    rig = Rig(router(bgp={"takeover": ["med"], "med": None}))
    one = rig.router()
    rig.pauses = [2.0 * AHEAD]
    rig.node.turns.put(partial(one.carry_out, Transition(Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT)))
    assert one.instance.takeovers.time.active_since == int(EPOCH + rig.clock.now)
    one.instance.presence.state = Present(Level.ACTIVE)
    rig.node.turns.put(partial(one.carry_out, Advertise(100)))
    assert not [line for line in rig.done if line.startswith("announce")]


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


def test_what_a_neighbor_keeps_is_named_once_and_stays_bound_until_it_is_withdrawn_there() -> None:
    neighbors = (ip_address("fd00::1"), ip_address("fd00::2"))
    rig = given_active()
    rig.node.commands.drain("web")
    rig.hear(100)
    rig.speaker.answers = False
    rig.after(1.1)
    assert rig.router().instance.presence.level is None
    for _ in range(2):
        rig.handle(speaker.Kept(PREFIX, neighbors))
    rig.handle(speaker.Kept(ip_network("2001:db8::99/128"), neighbors))  # no router's any more
    (line,) = rig.log.told("route-kept")
    assert (line["router"], line["prefix"], line["neighbors"]) == ("web", str(PREFIX), ["fd00::1", "fd00::2"])
    rig.after(1000)
    assert rig.bound()
    assert rig.node.view().routers[0].kept_by == ("fd00::1", "fd00::2")
    rig.handle(speaker.Kept(PREFIX, neighbors[:1]))
    assert rig.log.told("route-kept")[-1]["neighbors"] == ["fd00::1"]
    rig.speaker.answer()
    rig.after(2.1)
    assert not rig.bound()
    assert rig.node.view().routers[0].kept_by == ()


def test_an_announcement_in_doubt_does_not_count_until_it_is_answered_again() -> None:
    rig = given_active()
    assert rig.router().announcement.is_announced
    rig.handle(speaker.Doubted(ip_network("2001:db8::99/128")))  # no router's any more
    rig.handle(speaker.Doubted(PREFIX))
    assert not rig.router().announcement.is_announced
    rig.handle(speaker.Answered(PREFIX, None))
    assert rig.router().announcement.is_announced


def test_a_neighbor_that_keeps_a_route_is_forgotten_when_the_route_is_wanted_again() -> None:
    rig = given_backup(heard=None)
    rig.handle(speaker.Kept(PREFIX, (ip_address("fd00::1"),)))
    assert rig.node.view().routers[0].kept_by == ("fd00::1",)
    rig.after(4 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    assert rig.node.view().routers[0].kept_by == ()
