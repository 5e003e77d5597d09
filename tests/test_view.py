"""The View of a node is true at any time: what the node cannot know is unknown."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import islice
from typing import Any

import pytest

from exavrrp import ports, speaker
from exavrrp.control import StatusAnswer, answer, encode
from exavrrp.findings import findings
from exavrrp.history import KEPT
from exavrrp.turns import HOUR, LATE, MINUTE, Punctuality
from exavrrp.view import (
    AddressView,
    Lateness,
    Moment,
    Outcome,
    PathView,
    PeerView,
    RouterView,
    RouteView,
    TermView,
    View,
)
from exavrrp.viewer import NAMED, PASSES
from tests.ports import (
    EPOCH,
    LINKS,
    OTHER,
    PEER,
    SECOND,
    SESSION,
    SOURCE,
    VIP,
    Rig,
    check,
    given_active,
    given_backup,
    router,
)


def seen(rig: Rig, name: str = "web") -> RouterView:
    return next(one for one in rig.node.view().routers if one.name == name)


def peer(rig: Rig, address: object = PEER) -> PeerView:
    return next(one for one in seen(rig).peers if one.address == str(address))


def moment(monotonic: float, offset: float = 0.0) -> Moment:
    return Moment(datetime.fromtimestamp(EPOCH + monotonic + offset, UTC), monotonic)


def test_what_adverts_list_and_how_they_go() -> None:
    unlisted = seen(Rig(router(unlisted_addresses=["2001:db8:53::9"])))
    assert unlisted.addresses == (str(VIP), "2001:db8:53::9")
    assert (unlisted.unlisted, unlisted.transport) == (("2001:db8:53::9",), "routed")
    lan = seen(Rig(router(transport="multicast", interface="eth0", source="fe80::1")))
    assert (lan.unlisted, lan.transport) == ((), "multicast")


# Since when, and why


def test_a_router_is_in_its_first_state_since_the_node_was_made() -> None:
    rig = Rig()
    rig.after(7)
    view = rig.node.view()
    assert (view.began, view.now) == (moment(1000.0), moment(1007.0))
    assert (seen(rig).role, seen(rig).since, seen(rig).last, seen(rig).transitions) == (
        "initialize",
        moment(1000.0),
        (),
        {},
    )


def test_since_is_the_last_transition_by_both_clocks_of_that_moment() -> None:
    rig = given_backup(heard=None)
    became = rig.clock.now
    rig.after(3.5)
    assert seen(rig).since == seen(rig).last[0].at
    assert (seen(rig).role, seen(rig).last[0].reason) == ("active", "active-down-timeout")
    since = seen(rig).since
    assert since is not None
    assert became < since.monotonic < rig.clock.now
    rig.offset = 3600.0  # somebody sets the clock: nothing that has happened moves
    rig.after(10)
    assert seen(rig).since == since
    assert rig.node.view().now == moment(rig.clock.now, 3600.0)


def test_the_last_transitions_are_kept_with_their_reasons_the_latest_first() -> None:
    rig = given_active()
    rig.hear(250)
    (gave_way, took_over, began) = seen(rig).last
    assert (began.before, began.after, began.reason) == ("initialize", "backup", "startup")
    assert (took_over.before, took_over.after, took_over.reason, took_over.priority) == (
        "backup",
        "active",
        "active-down-timeout",
        200,
    )
    assert (gave_way.before, gave_way.after, gave_way.reason) == ("active", "backup", "superseded")
    assert gave_way.detail == f"heard vrid 1 priority 250 every 1s from {PEER}"
    assert seen(rig).transitions == {"backup": {"startup": 1, "superseded": 1}, "active": {"active-down-timeout": 1}}


def test_no_more_transitions_are_kept_than_a_few() -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"])
    for _ in range(KEPT):
        rig.check("fit", passed=False).check("fit", passed=True)
    assert len(seen(rig).last) == KEPT
    assert seen(rig).transitions["initialize"] == {"fault": KEPT}


# Phases


def test_a_takeover_has_the_times_of_bound_announced_and_confirmed() -> None:
    rig = given_backup(heard=None)
    rig.addresses.slow, rig.speaker.answers = {VIP}, False
    while seen(rig).role != "active":
        rig.after(0.01)
    decided = seen(rig).since
    assert decided is not None
    assert seen(rig).last[0].phases == {}
    rig.after(0.02)
    rig.addresses.awaited = set()
    rig.handle(ports.AddressesChanged())
    assert seen(rig).last[0].phases == {
        "bound": pytest.approx(rig.clock.now - decided.monotonic),
        "announced": pytest.approx(rig.clock.now - decided.monotonic),
    }
    announced = seen(rig).last[0].phases["announced"]
    rig.after(0.03)
    rig.speaker.answer()
    assert seen(rig).last[0].phases["confirmed"] == pytest.approx(announced + 0.03)
    rig.after(30)
    assert list(seen(rig).last[0].phases) == ["bound", "announced", "confirmed"]


def test_later_announcements_of_an_active_are_no_part_of_its_takeover() -> None:
    rig = given_active()
    before = seen(rig).last[0].phases
    assert before.keys() == {"bound", "announced", "confirmed"}
    rig.after(60)
    rig.node.routers["web"].announcement.announce()
    rig.node.routers["web"].on_lo.bind()
    rig.after(1)
    assert seen(rig).last[0].phases == before


def test_a_handover_has_the_times_of_withdrawn_and_unbound() -> None:
    rig = given_active()
    rig.follow(60)
    phases = seen(rig).last[0].phases
    assert list(phases) == ["announced", "confirmed", "withdrawn", "unbound"]
    assert phases["announced"] <= phases["confirmed"] < phases["withdrawn"] < phases["unbound"] < 60


def test_in_break_before_make_the_end_of_a_takeover_is_no_part_of_it() -> None:
    rig = given_active(router(handover="break-before-make"))
    rig.node.commands.drain("web")
    rig.after(5)
    drained, took_over = seen(rig).last[:2]
    assert (drained.after, drained.reason, took_over.after) == ("initialize", "drain", "active")
    assert took_over.phases.keys() == {"bound", "announced", "confirmed"}


def test_phases_before_any_transition_belong_to_none() -> None:
    rig = Rig(router(checks=["fit"]), check("fit"))
    rig.addresses.lo, rig.memory.offered = {VIP}, {"web"}
    rig.start().after(5)
    assert rig.done.count(f"unbind {VIP}") == 1
    assert seen(rig).last == ()


# What a router is worth


def test_a_priority_is_a_sum() -> None:
    tables = [router(checks=["disk", "fit"], priority=160), check("disk", weight=-10), check("fit", weight=5)]
    rig = given_backup(*tables, checks=["disk", "fit"])
    rig.check("disk", passed=False, detail="91 % used")
    found = seen(rig)
    assert (found.configured, found.priority) == (160, 155)
    assert found.explanation == "160 - 10 (disk failing) + 5 (fit passing) = 155"
    assert found.terms[:2] == (
        TermView(check="disk", verdict="failing", amount=-10, detail="91 % used"),
        TermView(check="fit", verdict="passing", amount=5),
    )
    assert 160 + sum(term.amount for term in found.terms) == found.priority


def test_faults_and_awaited_checks_are_terms_too() -> None:
    rig = Rig(router(checks=["fit", "slow"]), check("fit"), check("slow", initial="wait")).start()
    rig.check("fit", passed=False, detail="broken")
    found = seen(rig)
    assert [(one.check, one.fault, one.waiting) for one in found.terms] == [
        ("fit", True, False),
        ("slow", False, True),
        ("web's BGP sessions", False, True),
    ]
    assert found.faults == ("fit failing (broken)",)
    assert found.holds == ("waiting for slow, web's BGP sessions",)


# Who is Active, and what is heard of it


def test_a_backup_knows_who_is_active_and_its_last_advert_on_each_path() -> None:
    rig = given_backup(heard=None)
    rig.hear(250, interface=1).after(0.25).hear(250, interface=2).after(0.5)
    assert seen(rig).active == str(PEER)
    assert seen(rig).down_interval == pytest.approx(3 + 56 / 256)
    assert peer(rig) == PeerView(
        address=str(PEER),
        active=True,
        priority=250,
        interval=1.0,
        addresses=(str(VIP),),
        age=0.5,
        paths=(
            PathView(interface="eth0", copies=1, age=0.75, quiet=False, lost=0, adverts=1),
            PathView(interface="eth1", copies=1, age=0.5, quiet=False, lost=0, adverts=1),
        ),
    )


def test_a_peer_without_an_advert_is_unknown() -> None:
    rig = given_backup()
    assert peer(rig, OTHER) == PeerView(
        address=str(OTHER), paths=(PathView(interface="eth0"), PathView(interface="eth1"))
    )


def test_a_path_that_delivers_no_more_is_quiet_and_as_old_as_its_last_copy() -> None:
    rig = given_backup(heard=None)
    rig.hear(250, interface=2)
    rig.follow(10)
    first, second = peer(rig).paths
    assert (first.interface, first.copies, first.quiet) == ("eth0", 10, False)
    assert (second.interface, second.copies, second.quiet) == ("eth1", 1, True)
    assert second.age == pytest.approx(10)


def test_a_path_that_never_delivered_is_quiet_and_has_no_age() -> None:
    rig = given_backup(heard=None).follow(10)
    _, second = peer(rig).paths
    assert (second.copies, second.quiet, second.age) == (0, True, None)


def test_a_peer_that_returns_refreshes_only_the_paths_that_deliver() -> None:
    rig = given_backup(router(preempt=False), heard=None)
    rig.hear(250, interface=2).hear(250, interface=1).after(3)
    rig.hear(0, interface=1)
    rig.after(100)  # and we are Active
    rig.hear(250, interface=1).after(1)
    assert [(one.interface, one.age) for one in peer(rig).paths] == [("eth0", 1.0), ("eth1", 104.0)]


def test_an_interface_that_leads_there_no_longer_keeps_its_copies() -> None:
    rig = given_backup()
    rig.paths.links = LINKS[1:]
    rig.handle(ports.PathsChanged()).hear(250, interface=2)
    assert [(one.interface, one.leads, one.copies) for one in peer(rig).paths] == [
        ("eth1", True, 1),
        ("eth0", False, 1),
    ]
    assert peer(rig).paths[1].age is None


def test_a_peer_that_is_not_configured_any_more_keeps_its_copies() -> None:
    rig = given_backup(router(peers=[str(PEER), str(OTHER)])).hear(100, source=OTHER)
    rig.reconfigure(router(peers=[str(PEER)]))
    assert [one.address for one in seen(rig).peers] == [str(PEER), str(OTHER)]
    assert peer(rig, OTHER).paths[0].copies == 1


def test_who_does_not_hear_us_is_named_where_it_is_known_who_is_better() -> None:
    rig = given_active(router(bgp={"takeover": ["med"], "med": None}))
    for _ in range(4):
        rig.hear(100).after(1.0)
    assert peer(rig).deaf == pytest.approx(4.0)
    rig.router().instance.takeovers.rivals.known[PEER].tied = True
    assert peer(rig).deaf is None, "another member of the group can tell"


def test_an_active_does_not_know_its_peers() -> None:
    rig = given_backup()
    assert seen(rig).active == str(PEER)
    rig.after(10)
    assert (seen(rig).role, seen(rig).active, seen(rig).down_interval) == ("active", str(SOURCE), None)
    assert peer(rig) == PeerView(
        address=str(PEER),
        paths=(PathView(interface="eth0", copies=1), PathView(interface="eth1")),
        sent={"eth0": rig.done.count("send web 200"), "eth1": rig.done.count("send web 200")},
    )


def test_an_active_shows_another_active() -> None:
    rig = given_active().hear(100).after(0.5)
    assert (seen(rig).role, seen(rig).active) == ("active", str(SOURCE))
    assert (peer(rig).active, peer(rig).priority, peer(rig).age) == (True, 100, 0.5)
    assert peer(rig).paths[0] == PathView(interface="eth0", copies=1, age=0.5, quiet=False, lost=0, adverts=1)


def test_a_peer_that_resigned_or_fell_silent_is_not_active() -> None:
    rig = given_backup().hear(0)
    assert (seen(rig).active, peer(rig).active, peer(rig).priority) == (None, False, 0)
    rig.hear(250).after(3.25)
    assert (seen(rig).role, peer(rig).active) == ("active", None)
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False).hear(250).after(3 + 56 / 256)
    assert (seen(rig).role, seen(rig).active) == ("initialize", str(PEER))
    rig.after(0.01)
    assert (seen(rig).active, peer(rig).active, peer(rig).paths[0].quiet) == (None, False, None)


def test_of_two_actives_the_better_one_counts() -> None:
    rig = given_backup()
    rig.hear(240, source=OTHER)
    assert seen(rig).active == str(PEER)
    rig.hear(254, source=OTHER)
    assert seen(rig).active == str(OTHER)


# Addresses and routes


def test_an_active_has_its_addresses_and_routes() -> None:
    rig = given_active(router(bgp={"local_preference": 300}))
    found = seen(rig)
    assert found.on_lo == (AddressView(address=str(VIP), wanted=True, present=True, verified=True),)
    assert found.routes == (
        RouteView(prefix=f"{VIP}/128", wanted="active", confirmed=True, med=50, local_preference=300),
    )
    assert (found.bound, found.level, found.wanted, found.accepted) == (True, "active", "active", True)


def test_a_backup_has_none() -> None:
    found = seen(given_backup())
    assert found.on_lo == (AddressView(address=str(VIP), wanted=False, present=False, verified=False),)
    assert found.routes == (RouteView(prefix=f"{VIP}/128", confirmed=True),)


def test_an_address_to_which_the_kernel_accepts_no_packets_yet_is_not_verified() -> None:
    rig = given_backup()
    rig.addresses.slow = {VIP}
    rig.after(10)
    (address,) = seen(rig).on_lo
    assert (address.wanted, address.present, address.verified) == (True, True, False)


def test_an_address_that_is_there_unwanted_is_not_verified() -> None:
    rig = given_backup()
    rig.addresses.lo = {VIP}
    (address,) = seen(rig).on_lo
    assert (address.wanted, address.present, address.verified) == (False, True, False)


def test_without_the_table_of_lo_addresses_are_unknown() -> None:
    rig = given_active()
    rig.addresses.unreadable = OSError(5, "no table")
    (address,) = seen(rig).on_lo
    assert (address.wanted, address.present, address.verified) == (True, None, None)


def test_confirmed_and_unconfirmed_routes_differ() -> None:
    rig = given_backup(router(addresses=[str(VIP), "2001:db8:53::9"]))
    rig.speaker.answers = False
    rig.after(10)
    first, second = rig.networks
    rig.speaker.answer(first)
    assert [(one.prefix, one.wanted, one.confirmed) for one in seen(rig).routes] == [
        (str(first), "active", True),
        (str(second), "active", False),
    ]
    assert (seen(rig).level, seen(rig).wanted, seen(rig).accepted) == (None, "active", False)


def test_routes_are_withdrawn_with_the_end_of_exabgp() -> None:
    rig = given_active()
    rig.handle(speaker.Disconnected("its pipe is closed"))
    rig.after(5)
    (route,) = seen(rig).routes
    assert (route.wanted, route.confirmed) == (None, True)


# Drains, sessions, checks


def test_the_outcome_of_a_drain_is_in_it() -> None:
    rig = given_active()
    rig.node.commands.drain("web")
    assert (seen(rig).outcome, seen(rig).drained) == (Outcome.DRAINING, True)
    rig.follow(60)
    assert (seen(rig).outcome, seen(rig).holds) == (Outcome.DRAINED, ())


def test_a_session_shows_since_when_it_is_up_or_down() -> None:
    rig = given_backup()
    began = rig.clock.now
    rig.after(0.5).session(SECOND, listed=False).after(0.5).session(SESSION, up=False)
    rig.handle(speaker.Configured({SESSION: frozenset({6}), SECOND: None}))
    first, second = rig.node.view().sessions
    assert (first.peer, first.up, first.since) == (str(SESSION.peer), False, moment(began + 1))
    assert (second.peer, second.up, second.told, second.since) == (str(SECOND.peer), True, False, moment(began + 0.5))
    assert seen(rig).untold == (str(SECOND),)


def test_a_check_has_its_last_result_and_the_results_that_contradict_its_verdict() -> None:
    tables = [router(checks=["fit"]), router(2, checks=["fit"]), check("fit", fall=3, rise=2)]
    rig = Rig(*tables).start()
    (never,) = rig.node.view().checks
    assert (never.verdict, never.at, never.seconds, never.value) == ("unknown", None, None, None)
    assert (never.passed, never.failed) == (0, 0)
    rig.check("fit", passed=True).after(1)
    rig.check("fit", passed=False, detail="refused", seconds=0.25, value=7)
    rig.after(1)
    (found,) = rig.node.view().checks
    assert (found.name, found.verdict, found.against, found.needed) == ("fit", "passing", 1, 3)
    assert (found.at, found.seconds, found.detail, found.value) == (moment(1001.0), 0.25, "refused", 7)
    assert found.since == moment(1000.0)
    assert (found.passed, found.failed, found.routers, found.distrusted) == (1, 1, ("web", "web2"), None)
    rig.check("fit", passed=False).check("fit", passed=False)
    rig.checks.doubts = {"fit": "its program can be changed by others"}
    (failing,) = rig.node.view().checks
    assert (failing.verdict, failing.against, failing.needed) == ("failing", 0, 2)
    assert failing.distrusted == "its program can be changed by others"


def test_a_run_that_took_its_whole_timeout_without_passing_is_a_timeout() -> None:
    rig = given_active(router(checks=["fit"]), check("fit", timeout=0.5, interval=1.0), checks=["fit"])
    for seconds, passed in ((0.5, False), (0.7, False), (0.49, False), (0.6, True)):
        rig.check("fit", passed=passed, seconds=seconds)
    (found,) = rig.node.view().checks
    assert (found.timeouts, found.failed, found.passed) == (2, 3, 2)


def test_a_check_that_gets_another_name_keeps_its_results() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit"), check("fat"), checks=["fit"])
    (before,) = rig.node.view().checks
    rig.reconfigure(router(checks=["slim"]), check("slim", file="/run/fit"))
    (after,) = rig.node.view().checks
    assert (after.name, after.passed, after.at) == ("slim", 1, before.at)


def test_a_session_that_exabgp_does_not_know_any_more_is_forgotten() -> None:
    rig = given_backup()
    rig.session(up=False).handle(speaker.Configured({SECOND: None}))
    (session,) = rig.node.view().sessions
    assert (session.peer, session.since) == (str(SECOND.peer), None)
    rig.handle(speaker.Configured({SECOND: None, SESSION: None}))
    assert [one.since for one in rig.node.view().sessions] == [None, None]


# The node


def test_exabgp_has_its_version_and_answers_or_not() -> None:
    rig = given_backup()
    rig.handle(speaker.Greeted("5.0.15", known=True))
    exabgp = rig.node.view().exabgp
    assert exabgp is not None
    assert (exabgp.version, exabgp.answers) == ("5.0.15", True)
    stalled = rig.handle(speaker.Stalled(5.0)).node.view().exabgp
    assert stalled is not None
    assert not stalled.answers
    assert [one.up for one in rig.node.view().sessions] == [None]


def test_rejected_packets_are_counted_by_reason() -> None:
    rig = given_backup()
    rig.hear(250, source=ip_address("2001:db8:ff::99"))
    assert rig.node.view().rejected == {"unknown-source": 1}


def test_a_router_shows_its_group() -> None:
    rig = Rig(router(group="both"), router(2)).start()
    first, second = rig.node.view().routers
    assert (first.family, first.source, first.group, second.group) == (6, str(SOURCE), "both", None)


# Lateness


def lateness(*rings: tuple[float, float], now: float) -> Lateness:
    """The lateness reported at ``now`` for alarms that were due and rang at these times."""
    punctuality = Punctuality()
    for due, rang in rings:
        punctuality.rang(due, rang)
    return punctuality.lateness(now)


def test_before_any_alarm_nothing_is_known_of_lateness() -> None:
    assert lateness(now=1000.0) == Lateness(alarms=0, late=0, maximum=None)


def test_the_latest_alarm_counts_and_how_many_were_late() -> None:
    rings = [(1000.0, 1000.001), (1001.0, 1001.0 + LATE), (1002.0, 1002.5), (1003.0, 1003.03)]
    assert lateness(*rings, now=1004.0) == Lateness(alarms=4, late=2, maximum=0.5)


def test_an_alarm_that_rings_early_is_not_late() -> None:
    assert lateness((1000.0, 999.9999), now=1000.0) == Lateness(alarms=1, late=0, maximum=0.0)


def test_alarms_older_than_an_hour_do_not_count() -> None:
    rings = [(0.0, 5.0), (MINUTE + 5.0, MINUTE + 5.5)]
    assert lateness(*rings, now=HOUR + 4.9).maximum == 5.0
    assert lateness(*rings, now=HOUR + 5.0) == Lateness(alarms=1, late=1, maximum=0.5)
    assert lateness(*rings, now=HOUR + MINUTE + 5.5).maximum is None


def test_no_more_than_an_hour_is_kept() -> None:
    rings = [(second, second) for second in range(0, 2 * int(HOUR), 10)]
    assert lateness(*rings, now=2 * HOUR) == Lateness(alarms=59 * 6, late=0, maximum=0.0)


def test_the_alarm_of_a_node_measures_its_lateness() -> None:
    rig = given_active()
    due = min(rig.clock.armed)
    rig.clock.now = due + 0.4
    rig.clock.run(due + 0.4)
    found = rig.node.view().lateness
    assert found is not None
    assert found.late == 1
    assert found.maximum == pytest.approx(0.4)


# The document


def test_commands_are_answered_with_it_and_others_go_before_each_router() -> None:
    rig = given_active(router(), router(2))
    *parts, found = islice(rig.node.commands.describe(), 3)
    assert (parts, found) == ([None, None], rig.node.view())


def states(view: View) -> list[tuple[object, ...]]:
    """What of each router is of one moment."""
    return [
        (
            *(one.name, one.vrid, one.configured, one.role, one.priority, one.explanation, one.faults, one.holds),
            *(one.on_lo, one.bound, one.level, one.wanted, one.accepted, one.outcome, one.since, one.remarks),
        )
        for one in view.routers
    ]


def called(table: str, before: str, after: str) -> str:
    """The table of a router, called otherwise."""
    return table.replace(f"[virtual_router.{before}", f"[virtual_router.{after}")


def mute(rig: Rig) -> None:
    rig.node.viewer.trouble = "nobody answers"


WEIGHED = (router(checks=["fit"]), router(2, checks=["fit"]), router(3))

MEANWHILE: dict[str, Callable[[Rig], object]] = {
    "another takes over": lambda rig: rig.hear(250, "web"),
    "a drain": lambda rig: rig.handle(ports.DrainAsked("web2")),
    "a check fails": lambda rig: rig.check("fit", passed=False),
    "all hear of trouble": mute,
    "a reload": lambda rig: rig.reconfigure(*(router(number, priority=150) for number in (1, 2, 3))),
    "a reload of a check": lambda rig: rig.reconfigure(*WEIGHED, check("fit", weight=-20)),
    "a rename": lambda rig: rig.reconfigure(called(router(), "web", "site"), router(2), router(3)),
    "a swap": lambda rig: rig.reconfigure(called(router(), "web", "web2"), called(router(2), "web2", "web"), router(3)),
    "one is gone": lambda rig: rig.reconfigure(router(), router(3)).after(60),
    "one is new": lambda rig: rig.reconfigure(router(), router(2), router(3), router(4)).after(60),
}


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("change", MEANWHILE.values(), ids=MEANWHILE)
def test_what_changes_while_it_is_made_is_as_it_is_in_the_end(change: Callable[[Rig], object], parts: int) -> None:
    rig = given_active(*WEIGHED, check("fit", weight=-60), checks=["fit"])
    describing = rig.node.commands.describe()
    assert list(islice(describing, parts)) == [None] * parts
    change(rig)
    found = next(filter(None, describing))
    assert [one.name for one in found.routers] == rig.node.commands.names()
    assert states(found) == states(rig.node.view())
    assert (found.now, found.sessions, found.checks) == (
        rig.node.view().now,
        rig.node.view().sessions,
        rig.node.view().checks,
    )


@pytest.mark.parametrize("parts", [1, 2])
def test_a_takeover_while_it_is_made_leaves_no_address_in_doubt(parts: int) -> None:
    rig = given_backup(router(), router(2), heard=250)
    describing = rig.node.commands.describe()
    assert list(islice(describing, parts)) == [None] * parts
    rig.after(6)
    found = next(filter(None, describing))
    assert [one.role for one in found.routers] == ["active", "active"]
    assert [one.on_lo[0].verified for one in found.routers] == [True, True]
    assert findings(found) == findings(rig.node.view())


def test_an_address_that_is_accepted_while_it_is_made_is_verified() -> None:
    rig = given_backup(router(), router(2), heard=250)
    rig.addresses.slow = {VIP}
    rig.after(6)
    assert seen(rig).on_lo[0].verified is False
    describing = rig.node.commands.describe()
    assert list(islice(describing, 2)) == [None, None]
    rig.addresses.awaited.clear()
    assert next(filter(None, describing)).routers[0].on_lo[0].verified is True


def test_members_of_a_group_are_never_told_on_both_sides_of_a_transition() -> None:
    rig = given_active(router(group="g"), router(2, group="g"))
    describing = rig.node.commands.describe()
    assert list(islice(describing, 2)) == [None, None]
    rig.hear(250, "web").after(0.1)
    assert {one.role for one in next(filter(None, describing)).routers} == {"backup"}


def test_it_is_finished_however_often_something_changes() -> None:
    rig = given_active(*(router(number) for number in (1, 2, 3)))
    parts, found = 0, None
    for found in rig.node.commands.describe():
        if found is None:
            parts += 1
            rig.reconfigure(*(router(number, priority=100 + parts) for number in (1, 2, 3)))
    assert parts == 3 * PASSES
    assert found is not None
    assert states(found) == states(rig.node.view())
    assert [one.configured for one in found.routers] == [100 + parts] * 3


def test_it_goes_out_and_comes_in_as_it_is() -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"]).hear(100)
    view = rig.node.view()
    document: dict[str, Any] = {name: getattr(view, name) for name in view.__struct_fields__}
    sent = StatusAnswer(release="1", process=9, time=datetime.fromtimestamp(EPOCH, UTC), **document)
    line = encode(sent)
    assert answer(line) == sent
    assert json.loads(line)["routers"][0]["last"][0]["reason"] == "active-down-timeout"


# In one line


def draining(rig: Rig) -> bool:
    return rig.node.viewer.draining


def test_a_summary_names_routers_by_state_and_counts_those_beyond() -> None:
    rig = given_active(*(router(number) for number in range(1, NAMED + 4)))
    names = rig.node.commands.names()
    assert rig.node.viewer.summary == f"Active: {', '.join(names[:NAMED])} and 3 more"
    rig = given_active(router(), router(2), router(3, checks=["fit"]), router(4), check("fit"), checks=["fit"])
    rig.hear(250, "web2").check("fit", passed=False)
    rig.node.commands.drain("web4")
    assert draining(rig)
    for _ in range(60):
        rig.hear(100, "web4").after(1)
        rig.hear(250, "web2")
    assert not draining(rig)
    assert rig.node.viewer.summary == "Active: web; Backup: web2; drained: web4; fault: web3"
    rig.node.commands.drain("web3")
    assert rig.node.viewer.summary == "Active: web; Backup: web2; drained: web4; fault: web3"
    assert Rig().node.viewer.summary == "waiting: web"
