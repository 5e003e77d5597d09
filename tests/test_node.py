"""What a node decides, event by event, with ports of the test's own (``tests.ports``)."""

import errno
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from exavrrp import events, ports, speaker
from exavrrp.adverts import PRIORITY_ZERO_REPEATS
from exavrrp.announcement import REATTEMPTS
from exavrrp.backoff import RETRIES
from exavrrp.bequest import Bequest
from exavrrp.binding import BIND_PAUSE
from exavrrp.chronicle import REPLACED
from exavrrp.groups import Effects
from exavrrp.neighbors import Session, Terms
from exavrrp.node import STOP_LIMIT, TELL_TALE
from exavrrp.notes import NOTE_PAUSE
from exavrrp.ports import NotifyState
from exavrrp.presence import SETTLE, Absent
from exavrrp.roster import owned
from exavrrp.routes import Attributes, Level, Route
from exavrrp.sessions import DOUBT
from exavrrp.view import Outcome
from exavrrp.vrrp.packet import Reason
from exavrrp.vrrp.router import Role
from exavrrp.ways import MUTE_ADVERTS
from tests.ports import (
    AGENT,
    INTERVAL,
    LINKS,
    OTHER,
    PEER,
    SECOND,
    SESSION,
    SOURCE,
    VIP,
    Rig,
    check,
    configuration,
    given_active,
    given_backup,
    router,
    table,
)

PREFIX = ip_network("2001:db8:53::1/128")
ACTIVE, LEFT = f"announce {PREFIX} med 50", f"announce {PREFIX} med 4294967295"
WORST = f"{LEFT} shutdown"
WITHDRAW, BIND, UNBIND = f"withdraw {PREFIX}", f"bind {VIP}", f"unbind {VIP}"
SECOND_VIP = ip_address("2001:db8:53::2")
TWO = router(1), router(2)
GROUP = router(1, group="both"), router(2, group="both")
WAITING = "waiting for web's BGP sessions"


# Start


def test_a_node_that_finds_nothing_withdraws_everything_and_waits_for_its_sessions() -> None:
    rig = Rig().start()
    assert rig.take() == [WITHDRAW]
    assert (rig.role(), rig.holds()) == (Role.INITIALIZE, [WAITING])
    rig.session()
    assert (rig.role(), rig.holds()) == (Role.BACKUP, [])


def test_each_port_gets_its_first_set_at_the_start() -> None:
    rig = Rig(router(checks=["fit"]), check("fit"), forgotten=FORGOTTEN)
    assert not any((rig.transports.peers, rig.speaker.ours, rig.addresses.ours, rig.notifier.names, rig.checks.names))
    rig.start()
    assert rig.transport_peers() == {PEER, OTHER}
    assert {route.network for route in rig.speaker.ours} == {PREFIX, FORMER_PREFIX, WIDER_PREFIX}
    assert (set(rig.addresses.ours), rig.notifier.names, rig.checks.names) == ({VIP}, ["web"], ["fit"])


def test_a_node_whose_source_cannot_be_used_does_nothing() -> None:
    rig = Rig()
    rig.transports.error = OSError(errno.EADDRNOTAVAIL, "cannot send adverts")
    with pytest.raises(OSError, match="cannot send adverts"):
        rig.start()
    assert (rig.done, rig.node.started) == ([], False)


def test_a_node_that_cannot_read_the_addresses_on_lo_does_nothing() -> None:
    rig = Rig()
    rig.addresses.unreadable = OSError(errno.EPERM, "Operation not permitted")
    with pytest.raises(OSError, match="cannot tell which addresses lo has: Operation not permitted"):
        rig.start()
    assert (rig.done, rig.node.started) == ([], False)


def test_an_active_is_bound_before_it_is_announced() -> None:
    rig = Rig().start().session()
    rig.take()
    rig.after(4 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    assert rig.take() == [BIND, ACTIVE]


def test_no_election_starts_before_exabgp_has_answered() -> None:
    rig = Rig()
    rig.speaker.answers = False
    rig.start().session()
    assert rig.holds() == ["waiting for ExaBGP's answer"]
    rig.speaker.answer()
    assert (rig.role(), rig.holds()) == (Role.BACKUP, [])


def test_a_predecessor_s_service_goes_on_until_the_election_is_decided() -> None:
    rig = Rig()
    rig.memory.announced = rig.memory.active = rig.memory.offered = {"web"}
    rig.memory.times = {"web": 1_700_000_000}
    rig.addresses.lo = {VIP}
    rig.start()
    assert rig.take() == [LEFT]
    assert rig.speaker.inherited == [PREFIX], "it may be announced, also if we cannot announce it"
    assert rig.router().instance.takeovers.time.active_since == 1_700_000_000
    assert rig.log.told("leftovers-found")[0]["detail"] == "served on until the election is decided"
    rig.session().after(4 * INTERVAL)
    assert rig.take() == [ACTIVE]


def test_a_served_address_that_was_removed_from_lo_is_bound_again() -> None:
    rig = Rig()
    rig.memory.announced = rig.memory.offered = {"web"}
    rig.start()
    assert rig.bound()
    assert rig.take() == [LEFT, BIND]


def test_leftovers_that_exabgp_does_not_announce_any_more_are_withdrawn_then_unbound() -> None:
    rig = Rig()
    rig.addresses.lo = {VIP}
    rig.speaker.answers = False
    rig.start()
    assert rig.take() == [WITHDRAW]
    assert rig.router().announcement.may_be_announced
    rig.speaker.answer()
    rig.after(0.1)
    assert rig.take() == [UNBIND]
    assert not rig.router().announcement.may_be_announced


def test_leftovers_of_another_exabgp_are_unbound_at_once() -> None:
    rig = Rig()
    rig.addresses.lo = {VIP}
    rig.memory.is_foreign = True
    rig.speaker.answers = False
    rig.start()
    assert not rig.bound()
    assert rig.log.told("leftovers-found")[0]["detail"] == "unbound: another ExaBGP announced them"
    assert not rig.router().announcement.may_be_announced, "this one announces nothing, and is not to be ended for it"


@pytest.mark.parametrize("doubtful", [False, True])
def test_what_a_predecessor_has_bound_beforehand_is_no_warning_and_stays(doubtful: bool) -> None:
    rig = Rig(router(prebind=True))
    rig.addresses.lo = {VIP}
    rig.memory.offered = {"web"} if doubtful else set()
    rig.start().session()
    [(level, _, fields)] = [line for line in rig.log.lines if line[1] == "leftovers-found"]
    assert (level, fields["detail"]) == (
        ("warning", "withdrawn, then unbound") if doubtful else ("info", "bound beforehand; withdrawn, if announced")
    )
    assert rig.take() == [WITHDRAW]
    rig.follow(2 * SETTLE + INTERVAL)
    assert (rig.role(), rig.bound()) == (Role.BACKUP, True)
    rig.after(4 * INTERVAL)
    assert rig.take() == [ACTIVE], "which has only to be verified"
    rig.node.commands.drain("web")
    rig.follow(10.0)
    assert not rig.bound()


def test_a_failed_withdraw_of_a_predecessor_may_be_announced_although_nothing_is_on_lo() -> None:
    """It was unbound for want of an answer, and killed. Whoever comes has to know, until the withdraw is confirmed."""
    rig = Rig()
    rig.memory.offered = {"web"}
    rig.speaker.answers = False
    rig.start()
    assert rig.router().announcement.may_be_announced
    assert rig.log.told("leftovers-found") == [{"router": "web", "addresses": [], "detail": "withdrawn"}]
    assert rig.memory.notes[-1][3] == {"web"}, "and whoever comes next"
    assert not rig.addresses.lo
    rig.speaker.answer()
    rig.clock.run()
    assert not rig.router().announcement.may_be_announced
    assert rig.memory.notes[-1][3] == set()


def test_a_drained_router_stays_out_from_the_start() -> None:
    rig = Rig(*TWO).start("web2").session().after(4 * INTERVAL)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.INITIALIZE]
    assert rig.node.commands.outcome("web2") is Outcome.DRAINED


def test_silent_failures_counted_by_a_predecessor_count() -> None:
    rig = Rig()
    rig.memory.silences = {"web": (2, rig.clock.now - 1)}
    rig.start()
    assert rig.router().instance.takeovers.failures.number == 2


def test_an_address_on_another_interface_is_reported_at_the_start_and_in_the_status() -> None:
    rig = Rig(router(1, addresses=[str(VIP), str(SECOND_VIP)]), router(2, addresses=["2001:db8:53::9"]))
    rig.addresses.others = {VIP: "eth0", FORMER: "eth0", SECOND_VIP: "eth1"}
    rig.start()
    lines = rig.log.told("address-elsewhere")
    assert [line["router"] for line in lines] == ["web", "web"]
    assert [one.remarks for one in rig.node.view().routers] == [tuple(line["detail"] for line in lines), ()]
    rig.addresses.broken = OSError(errno.EPERM, "no")
    assert [one.remarks for one in rig.node.view().routers] == [(), ()]


def test_an_address_that_cannot_be_unbound_at_the_start_is_logged_and_changes_nothing_else() -> None:
    rig = Rig()
    rig.addresses.broken = OSError(errno.EPERM, "Operation not permitted")
    rig.start()
    assert rig.log.told("unbind-failed") == [{"router": "web", "detail": "Operation not permitted"}]
    assert rig.session().role() is Role.BACKUP


def test_a_leftover_that_cannot_be_put_back_is_withdrawn() -> None:
    rig = Rig()
    rig.memory.announced = {"web"}
    rig.addresses.refused = {VIP}
    rig.start()
    assert rig.faults() == ["bind"]
    assert rig.take()[-1] == WITHDRAW


def test_before_it_is_started_a_node_takes_part_in_nothing() -> None:
    rig = Rig(router(checks=["fit"]), check("fit"))
    rig.check("fit", passed=False).handle(ports.PathsChanged())
    assert (rig.done, rig.faults(), rig.log.events) == ([], [], ["check-changed"])
    rig.start()
    assert rig.faults() == ["check"], "what was known before is judged then"


# What an earlier configuration named

FORMER, FORMER_PREFIX = ip_address("2001:db8:53::99"), ip_network("2001:db8:53::99/128")
WIDER_PREFIX = ip_network("2001:db8:53::/64")
FORGOTTEN = ports.Forgotten(
    frozenset({FORMER}), (Route(FORMER_PREFIX, Attributes(med=7)), Route(WIDER_PREFIX, Attributes(med=7)))
)


def test_a_prefix_that_is_not_configured_any_more_is_withdrawn_then_unbound_then_forgotten() -> None:
    rig = Rig(forgotten=FORGOTTEN)
    rig.addresses.lo = {FORMER}
    rig.speaker.answers = False
    rig.start()
    assert rig.log.told("leftovers-found") == [
        {
            "addresses": [str(FORMER)],
            "prefixes": [str(WIDER_PREFIX), str(FORMER_PREFIX)],
            "detail": "no more in the configuration: withdrawn, then unbound",
        }
    ]
    assert (rig.addresses.lo, rig.memory.bindable) == ({FORMER}, {FORMER, VIP})
    assert [route.network for route in rig.memory.routes[""]] == [FORMER_PREFIX, WIDER_PREFIX]
    rig.speaker.refuse(2)
    assert (rig.addresses.lo, rig.faults()) == ({FORMER}, ["announcement"])
    rig.speaker.answer(WIDER_PREFIX)
    rig.after(2 * SETTLE)
    assert rig.addresses.lo == {FORMER}
    rig.speaker.answer()
    assert rig.addresses.lo == {FORMER}, "ExaBGP says so a moment before it sends the UPDATE"
    count = len(rig.memory.notes)
    rig.after(2 * SETTLE)
    assert (rig.addresses.lo, rig.memory.bindable, rig.memory.routes[""]) == (set(), {VIP}, [])
    assert len(rig.memory.notes) == count + 1


def test_what_a_predecessor_has_come_to_have_while_it_was_waited_for_is_cleared_too() -> None:
    rig = Rig()
    rig.addresses.lo, rig.networks = {FORMER}, [*rig.networks, FORMER_PREFIX, WIDER_PREFIX]
    rig.node.start((), FORGOTTEN)
    rig.clock.run()
    assert {FORMER_PREFIX, WIDER_PREFIX} < {route.network for route in rig.speaker.ours}
    assert {f"withdraw {FORMER_PREFIX}", f"withdraw {WIDER_PREFIX}"} < set(rig.take())
    rig.after(2 * SETTLE)
    assert rig.addresses.lo == set()


def test_what_is_left_on_a_link_stays_there_until_it_is_unbound() -> None:
    rig = Rig(router(2), forgotten=FORGOTTEN)
    rig.addresses.lo, rig.addresses.links = {FORMER}, {FORMER: "eth0"}
    rig.speaker.answers = False
    rig.start()
    assert (rig.addresses.lo, rig.addresses.links) == ({FORMER}, {FORMER: "eth0"})
    rig.speaker.answer()
    rig.after(2 * SETTLE)
    assert rig.addresses.lo == set()


def test_a_prefix_that_is_not_configured_any_more_and_that_a_neighbor_keeps_is_named_once_for_each_change() -> None:
    rig = Rig(forgotten=FORGOTTEN)
    rig.addresses.lo = {FORMER}
    rig.speaker.answers = False
    rig.start()
    for neighbors in ((PEER, OTHER), (PEER, OTHER), (PEER,)):
        rig.handle(speaker.Kept(FORMER_PREFIX, neighbors))
    told = [(line["prefix"], line["neighbors"], line.get("router")) for line in rig.log.told("route-kept")]
    assert told == [(str(FORMER_PREFIX), [str(PEER), str(OTHER)], None), (str(FORMER_PREFIX), [str(PEER)], None)]
    rig.after(1000)
    assert rig.addresses.lo == {FORMER}


def test_an_address_that_is_not_announced_is_unbound_at_once() -> None:
    rig = Rig(forgotten=ports.Forgotten(frozenset({FORMER})))
    rig.addresses.lo = {FORMER}
    rig.start()
    assert rig.addresses.lo == set()


def test_an_address_that_has_another_owner_by_now_stays() -> None:
    rig = Rig(forgotten=ports.Forgotten(frozenset({FORMER})))
    rig.start()
    assert rig.log.told("leftovers-found") == []
    rig.addresses.others = {FORMER: "eth0"}
    assert [one.remarks for one in rig.node.view().routers] == [()]
    rig.handle(ports.AddressLost(FORMER, OSError(errno.EPERM, "no")))
    assert rig.faults() == []


def test_a_former_address_that_cannot_be_unbound_is_logged() -> None:
    rig = Rig(forgotten=FORGOTTEN)
    rig.addresses.lo = {FORMER}
    rig.start()
    rig.addresses.broken = OSError(errno.EPERM, "Operation not permitted")
    rig.after(2 * SETTLE)
    assert rig.log.told("unbind-failed") == [{"detail": "Operation not permitted"}]


def test_a_stop_before_the_withdraw_is_confirmed_unbinds_at_its_end() -> None:
    rig = Rig(forgotten=FORGOTTEN)
    rig.addresses.lo = {FORMER}
    rig.start().handle(ports.End("SIGINT"))
    rig.after(STOP_LIMIT)
    assert rig.addresses.lo == set()


def test_a_replaced_agent_leaves_an_unconfirmed_withdraw_to_the_next_one() -> None:
    rig = Rig(forgotten=FORGOTTEN)
    rig.addresses.lo = {FORMER}
    rig.start().handle(ports.End(REPLACED))
    rig.after(2 * SETTLE)
    assert (rig.addresses.lo, rig.memory.bindable) == ({FORMER}, {FORMER, VIP})


def test_a_router_of_another_name_only_has_inherited_nothing() -> None:
    rig = Rig()
    rig.memory.announced = rig.memory.offered = {"web"}
    rig.memory.named = {FORMER_PREFIX}
    rig.start()
    assert (rig.log.told("leftovers-found"), rig.router().announcement.may_be_announced) == ([], False)


def test_a_speaker_has_to_know_every_form_of_every_prefix() -> None:
    found = owned(configuration(*TWO).routers)
    assert {(str(one.network), one.attributes.med) for one in found} >= {
        ("2001:db8:53::1/128", 50),
        ("2001:db8:53::2/128", 50),
        ("2001:db8:53::2/128", 4294967295),
    }
    assert (found[0].network, found[0].attributes.med) == (PREFIX, 50)


# Checks


def test_a_check_that_fails_is_a_fault_and_the_address_goes_at_once() -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False, detail="no answer", seconds=0.1234)
    assert rig.log.told("check-changed")[-1] == {
        "check": "fit",
        "result": "failing",
        "detail": "no answer",
        "seconds": 0.123,
    }
    assert (rig.role(), rig.faults()) == (Role.INITIALIZE, ["check"])
    assert rig.take() == ["send web 0", WITHDRAW]
    rig.after(0.1)
    assert rig.take() == ["send web 0", "send web 0", UNBIND]
    rig.check("fit", passed=True)
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_a_check_with_a_weight_changes_the_priority() -> None:
    rig = given_active(router(checks=["load"]), check("load", weight=-150, initial="pass"))
    rig.check("load", passed=False)
    assert (rig.role(), rig.priority()) == (Role.ACTIVE, 50)
    rig.hear(100)
    assert rig.role() is Role.BACKUP


def test_a_result_that_changes_nothing_is_not_logged_and_judges_no_router() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"])
    before = list(rig.log.events)
    rig.check("fit", passed=True)
    assert rig.log.events == before


def test_a_check_runs_sooner_while_its_verdict_may_change() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit", fall=3), checks=["fit"])
    assert not rig.node.fitness.is_changing("fit")
    rig.check("fit", passed=False)
    assert rig.node.fitness.is_changing("fit")
    assert rig.role() is Role.BACKUP


def test_a_check_of_one_router_does_not_concern_the_others() -> None:
    rig = given_active(router(1, checks=["fit"]), router(2), check("fit"), checks=["fit"])
    rig.check("fit", passed=False)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.INITIALIZE, Role.ACTIVE]


def test_a_router_that_waits_for_a_check_reports_it() -> None:
    rig = Rig(router(checks=["fit"]), check("fit", initial="wait")).start().session()
    assert rig.holds() == ["waiting for fit"]
    assert rig.check("fit", passed=True).role() is Role.BACKUP


def test_a_distrusted_check_is_logged_and_shown_in_the_status() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.checks.doubts = {"fit": "everybody may write to it"}
    rig.handle(ports.Distrusted("fit", "everybody may write to it", 12.4))
    (line,) = rig.log.told("check-not-run")
    assert line["detail"] == "everybody may write to it; the last result stands for 12 s more, then the check fails"
    (status,) = rig.node.view().routers
    assert status.remarks == ("check fit is not run: everybody may write to it",)
    assert rig.role() is Role.BACKUP


# BGP sessions


def test_a_node_without_sessions_gives_up_but_stays_bound_for_packets_in_flight() -> None:
    rig = given_active()
    rig.session(up=False)
    assert rig.faults() == ["sessions"]
    assert rig.take() == ["send web 0", WITHDRAW]
    rig.after(1.9)
    assert rig.bound()
    rig.after(0.2)
    assert not rig.bound()
    rig.session()
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_a_session_to_a_neighbor_that_does_not_list_us_does_not_count() -> None:
    rig = given_active()
    rig.handle(speaker.Listed(SESSION, listed=False))
    assert rig.faults() == ["sessions"]
    (line,) = rig.log.told("neighbor-unlisted")
    assert (line["neighbor"], line["local"]) == (str(SESSION.peer), str(SESSION.local))
    (status,) = rig.node.view().routers
    assert status.untold == (str(SESSION),)
    rig.handle(speaker.Listed(SESSION, listed=True))
    assert rig.faults() == []
    assert rig.log.told("neighbor-listed") == [{"neighbor": str(SESSION.peer), "local": str(SESSION.local)}]


def test_a_neighbor_that_always_listed_us_is_not_logged() -> None:
    assert given_backup().log.told("neighbor-listed") == []


def test_the_start_up_hold_ends_with_the_present_sessions() -> None:
    rig = Rig(router(startup_hold=5.0)).start().after(4.9)
    assert rig.holds() == [WAITING]
    rig.after(0.2)
    assert (rig.holds(), rig.faults()) == ([], ["sessions"])
    assert rig.session().role() is Role.BACKUP


DELAYED = AGENT + "startup_delay = 5.0\n"


def test_nobody_takes_part_before_the_end_of_the_startup_delay() -> None:
    rig = Rig(DELAYED, router()).start().session().after(4.9)
    assert (rig.role(), rig.holds()) == (Role.INITIALIZE, ["waiting for the end of startup_delay"])
    rig.after(0.2)
    assert (rig.role(), rig.holds()) == (Role.BACKUP, [])


def test_what_a_predecessor_has_left_in_service_is_not_delayed() -> None:
    rig = Rig(DELAYED, router(1, group="both"), router(2, group="both"), router(3))
    rig.memory.announced = rig.memory.active = rig.memory.offered = {"web"}
    rig.addresses.lo = {VIP}
    rig.start().session()
    assert [rig.role(name) for name in ("web", "web2", "web3")] == [Role.BACKUP, Role.BACKUP, Role.INITIALIZE]
    assert VIP in rig.addresses.lo, "served on"


def test_a_reload_delays_nobody() -> None:
    rig = given_active()
    rig.reconfigure(DELAYED, router(), router(2))
    assert [rig.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.BACKUP]


def test_what_a_reload_adds_or_moves_waits_for_the_rest_of_the_startup_delay() -> None:
    rig = Rig(DELAYED, router(1), router(2)).start().session().after(2.0)
    rig.reconfigure(router(1), router(2, vrid=99), router(3)).after(2.9)  # without a delay of the next start
    for name in ("web", "web2", "web3"):
        assert (rig.role(name), rig.holds(name)) == (Role.INITIALIZE, ["waiting for the end of startup_delay"])
    rig.after(0.2)
    assert [rig.role(name) for name in ("web", "web2", "web3")] == [Role.BACKUP] * 3
    rig.reconfigure(DELAYED, router(1), router(2, vrid=99), router(3), router(4))
    assert rig.role("web4") is Role.BACKUP, "it is over"


def test_what_a_reload_adds_waits_for_nothing_where_all_was_left_in_service() -> None:
    rig = Rig(DELAYED, router())
    rig.memory.announced = rig.memory.active = rig.memory.offered = {"web"}
    rig.addresses.lo = {VIP}
    rig.start().session().reconfigure(DELAYED, router(), router(2))
    assert [rig.role(name) for name in ("web", "web2")] == [Role.BACKUP] * 2


def test_a_router_that_needs_no_session_waits_for_none() -> None:
    rig = Rig(router(min_sessions=0)).start()
    assert rig.role() is Role.BACKUP
    rig.session().session(up=False)
    assert rig.role() is Role.BACKUP


def test_an_exabgp_that_stalls_counts_as_no_session() -> None:
    rig = given_backup()
    rig.handle(speaker.Stalled(2.04))
    assert rig.faults() == ["sessions"]
    assert rig.log.told("exabgp-stalled")[0]["detail"].startswith("nothing heard for 2.0 s")
    rig.handle(speaker.Resumed())
    assert (rig.faults(), rig.log.events.count("exabgp-resumed")) == ([], 1)


def test_sessions_are_reported_by_both_ends() -> None:
    rig = given_backup(router(1), router(2, min_sessions=0))
    rig.session(Session(SECOND.peer), listed=False)
    assert [(one.peer, one.local, one.up, one.told, one.counts_for) for one in rig.node.view().sessions] == [
        (str(SESSION.peer), str(SESSION.local), True, True, ("web",)),
        (str(SECOND.peer), None, True, False, ()),
    ]
    assert rig.log.told("session-changed")[-1] == {"neighbor": str(SECOND.peer), "local": "unknown", "state": "up"}


def test_sessions_that_close_while_the_node_leaves_are_no_fault_of_it() -> None:
    rig = given_active()
    rig.handle(speaker.Stopping(), speaker.Neighbor(SESSION, established=False))
    assert rig.faults() == []


# What ExaBGP says


@pytest.mark.parametrize(("known", "severity"), [(True, "info"), (False, "warning")])
def test_the_version_is_logged(known: bool, severity: str) -> None:
    rig = Rig().handle(speaker.Greeted("6.0.0", known))
    assert rig.log.lines == [(severity, "exabgp-connected", {"version": "6.0.0", "known": known})]


def test_an_anomaly_is_logged_once_for_each_kind() -> None:
    rig = Rig().handle(speaker.Anomaly("12 lines are not understood"), speaker.Anomaly("345 lines are not understood"))
    first, second = rig.log.told("exabgp-anomaly")
    assert first["key"] == second["key"]
    assert first["detail"] != second["detail"]


def test_an_announcement_refused_twice_is_a_fault_and_is_retried_with_back_off() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.speaker.refuse(1)
    assert rig.role() is Role.ACTIVE, "that may have been the answer to something else"
    assert rig.log.told("command-refused")[0]["command"] == f"a command about {PREFIX}"
    rig.speaker.refuse(2)
    assert (rig.role(), rig.faults()) == (Role.INITIALIZE, ["announcement"])
    rig.speaker.answer()
    rig.hear(100)
    rig.after(REATTEMPTS[0] - 0.1)
    assert rig.faults() == ["announcement"]
    rig.after(0.2)
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_another_configuration_of_exabgp_causes_a_retry_at_once() -> None:
    rig = given_backup(*TWO, heard=None)
    rig.speaker.answers = False
    rig.after(2.0).hear(250, "web2").after(2.0)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.BACKUP]
    rig.speaker.refuse(2)
    rig.speaker.answer()
    assert rig.faults() == ["announcement"]
    rig.handle(speaker.Reconfigured())
    assert (rig.faults(), rig.log.events.count("exabgp-reconfigured")) == ([], 1)


def test_a_session_that_does_not_carry_the_family_does_not_count() -> None:
    rig = given_backup()
    rig.handle(speaker.Configured({SESSION: frozenset({4})}))
    assert rig.faults() == ["sessions"]
    rig.handle(speaker.Configured({SESSION: frozenset({4, 6})}))
    assert rig.faults() == []


def test_a_session_over_which_no_takeover_is_sure_to_work_is_told_once() -> None:
    rig = given_backup()
    known = dict.fromkeys((SESSION, SECOND), Terms(65010, 65000, 180))
    for _ in range(2):
        rig.handle(speaker.Configured({SESSION: None}, known))
    (told,) = rig.log.told("takeover-limited")
    assert told["routers"] == ["web"]
    assert "180 s" in told["detail"]
    rig.handle(speaker.Configured({SESSION: None}, {SESSION: Terms(65010, 65010, 180)}))
    rig.handle(speaker.Configured({SESSION: None}, {SESSION: Terms(65010, 65000, 9)}))
    assert len(rig.log.told("takeover-limited")) == 3, "another kind of session, another hold time"


def test_a_takeover_that_reaches_is_not_told() -> None:
    rig = given_backup(router(bgp={"takeover": ["prepend"]}))
    rig.handle(speaker.Configured({SESSION: None}, {SESSION: Terms(65010, 65000, 180)}))
    assert rig.log.told("takeover-limited") == []


def test_many_routers_with_a_limited_takeover_share_a_line() -> None:
    names = ["web", *(f"web{number}" for number in range(2, 13))]
    silent = router(13, announce=False).partition("[virtual_router.web13.bgp]")[0]
    rig = Rig(*(router(number) for number in range(1, 13)), silent).session()
    rig.handle(speaker.Configured({SESSION: None}, {SESSION: Terms(65010, 65000, 180)}))
    (told,) = rig.log.told("takeover-limited")
    assert told["routers"] == [*names[:10], "…"]


def test_an_announcement_that_is_not_answered_is_a_fault() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.speaker.refuse(2, silent=True)
    assert rig.faults() == ["announcement"]
    assert rig.log.told("command-unanswered")[0]["command"] == f"a command about {PREFIX}"
    assert rig.bound(), "routers may have a route to us"


def test_a_refusal_that_changes_what_may_be_announced_is_noted() -> None:
    """As long as an announcement is wanted, it is tried again, and may be accepted at any time."""
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.speaker.offered.clear()
    rig.speaker.refuse(1)
    rig.clock.run()
    assert rig.memory.notes[-1][3] == {"web"}
    rig.speaker.offered = {PREFIX}
    rig.speaker.refuse(2)
    rig.clock.run()
    assert (rig.faults(), rig.memory.notes[-1][3]) == (["announcement"], {"web"})
    rig.speaker.offered.clear()
    rig.speaker.refuse(2)
    rig.clock.run()
    assert rig.memory.notes[-1][3] == set()


def test_a_backup_asks_only_once_whether_it_may_be_announced() -> None:
    rig = given_active()
    rig.hear(250).follow(10.0)
    assert (rig.role(), rig.memory.notes[-1][3]) == (Role.BACKUP, set())
    asked = rig.speaker.asked
    rig.follow(10.0)
    assert rig.speaker.asked == asked


# Paths


def test_changed_paths_are_read_after_the_start() -> None:
    rig = given_active()
    rig.paths.links = LINKS[1:]
    rig.handle(ports.PathsChanged())
    assert rig.log.told("paths-changed")[-1] == {"router": "web", "peer": str(OTHER), "interfaces": ["eth1"]}
    assert rig.transport.forgotten == [1, 1]
    rig.transport.copies.clear()
    rig.after(INTERVAL)
    assert rig.transport.copies == [(PEER, ("eth1",)), (OTHER, ("eth1",))]


def test_a_source_that_is_gone_is_a_fault_after_a_while() -> None:
    rig = given_active()
    rig.paths.sourceless = True
    rig.handle(ports.PathsChanged()).after(1.9)
    assert rig.role() is Role.ACTIVE
    rig.after(0.2)
    assert rig.faults() == ["adverts"]
    rig.after(RETRIES[0] + 0.1)
    assert rig.faults() == ["adverts"], "it is not here yet"
    rig.paths.sourceless = False
    assert rig.handle(ports.PathsChanged()).faults() == []


def test_a_source_that_comes_back_in_time_is_no_fault() -> None:
    rig = given_active()
    for gone in (True, True, False):
        rig.paths.sourceless = gone
        rig.handle(ports.PathsChanged()).after(0.5)
    rig.after(5)
    assert rig.role() is Role.ACTIVE


def test_a_source_that_is_lost_twice_is_one_fault() -> None:
    rig = given_active().mute().after(MUTE_ADVERTS * INTERVAL)
    assert rig.faults() == ["adverts"]
    rig.paths.sourceless = True
    rig.handle(ports.PathsChanged()).after(2.1)
    assert rig.router().instance.faults == {"adverts": "no advert could be sent to any peer (EPERM)"}


def test_a_backup_that_is_cut_off_does_not_take_over() -> None:
    rig = given_backup()
    rig.paths.links, rig.paths.isolated = (), True
    rig.handle(ports.PathsChanged()).after(2.1)
    assert rig.faults() == ["adverts"]
    rig.paths.links, rig.paths.isolated = LINKS, False
    assert rig.handle(ports.PathsChanged()).role() is Role.BACKUP


@pytest.mark.parametrize("cut", [True, False])
def test_on_an_unnumbered_fabric_another_link_is_no_way_to_a_neighbor(cut: bool) -> None:
    """A port for management has a route to fe80::1 as well, and the one of the session may not be the first."""
    session = Session(ip_address("fe80::1"), ip_address("fe80::b"))
    rig = Rig(router(min_sessions=0)).start().session(session).hear(250)
    rig.handle(ports.PathsChanged())
    rig.paths.links, rig.paths.isolated = (), not cut
    rig.paths.cut_off = {session} if cut else set()
    rig.handle(ports.PathsChanged()).after(5)
    assert rig.faults() == (["adverts"] if cut else [])


def test_a_backup_that_is_cut_off_for_a_moment_stays_a_backup() -> None:
    rig = given_backup()
    for cut in (True, True, False):
        rig.paths.links, rig.paths.isolated = () if cut else LINKS, cut
        rig.handle(ports.PathsChanged()).after(0.5)
    rig.hear(250).after(2.1)
    assert rig.role() is Role.BACKUP


def test_a_session_that_comes_up_may_be_a_way_back() -> None:
    rig = given_backup()
    rig.paths.links, rig.paths.isolated = (), True
    rig.handle(ports.PathsChanged()).after(5)
    assert rig.faults() == ["adverts"]
    rig.paths.isolated = False
    assert rig.session(SECOND).faults() == []


# Adverts


def test_a_node_whose_adverts_cannot_be_sent_gives_up_and_retries() -> None:
    rig = given_active().mute().after((MUTE_ADVERTS - 1) * INTERVAL)
    assert rig.role() is Role.ACTIVE
    rig.after(INTERVAL)
    assert rig.router().instance.faults == {"adverts": "no advert could be sent to any peer (EPERM)"}
    assert rig.log.told("advert-send-failed")[0]["errors"] == "EPERM ×4"
    rig.transport.error = None
    rig.after(RETRIES[0])
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_one_copy_is_enough() -> None:
    rig = given_active()
    rig.mute().after((MUTE_ADVERTS - 1) * INTERVAL)
    rig.transport.error = None
    rig.after(INTERVAL)
    rig.mute().after((MUTE_ADVERTS - 1) * INTERVAL)
    assert rig.role() is Role.ACTIVE


def test_the_last_node_serves_on_without_a_route_to_its_dead_peers() -> None:
    rig = given_active().mute(errno.ENETUNREACH).after(10 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    assert rig.log.told("peers-unreachable")


def test_a_better_node_takes_over_in_order() -> None:
    rig = given_active()
    rig.follow(0.4)
    assert rig.role() is Role.BACKUP
    assert rig.take() == [LEFT]
    rig.follow(0.4)
    assert rig.take() == [WORST]
    rig.follow(0.4)
    assert rig.take() == [WITHDRAW]
    rig.follow(2.0)
    assert rig.take() == [UNBIND]


def test_a_rejected_packet_is_counted_and_logged() -> None:
    rig = given_backup()
    rig.handle(ports.Discarded(Reason.IP_HEADER, None))
    rig.hear(100, source=ip_address("2001:db8::66"))
    assert rig.node.reception.rejected == {Reason.IP_HEADER: 1, Reason.UNKNOWN_SOURCE: 1}
    assert [line["reason"] for line in rig.log.told("packet-rejected")] == [Reason.IP_HEADER, Reason.UNKNOWN_SOURCE]


ELECTION = router(bind=False, announce=False, notify_fifo="/run/x").partition("[virtual_router.web.bgp]")[0]
BOUND_ONLY = ELECTION.replace("bind = false\n", "")
ANNOUNCED_ONLY = router(bind=False)


def test_an_election_without_addresses_or_routes_tells_programs_and_does_nothing_else() -> None:
    rig = Rig(ELECTION)
    rig.speaker.answers = False
    rig.start()
    assert (rig.role(), set(rig.addresses.ours), rig.speaker.ours) == (Role.BACKUP, set(), [])
    rig.after(4 * INTERVAL)
    assert (rig.role(), rig.router().instance.presence.level) == (Role.ACTIVE, Level.ACTIVE)
    rig.hear(250).after(0.1)
    assert rig.router().instance.presence.state == Absent(), "there is nothing to wait for"
    assert rig.notifier.told == [
        ("web", NotifyState.BACKUP, "startup"),
        ("web", NotifyState.MASTER, "active-down-timeout"),
        ("web", NotifyState.BACKUP, "superseded"),
    ]
    assert rig.take() == []
    assert rig.memory.bindable == set(), "no successor, and no cleanup, removes what another program has bound"
    assert not [name for name in rig.log.events if name.startswith(("address-", "route-"))]
    assert [one.phases for one in rig.node.view().routers[0].last] == [{}, {}, {}]


def test_an_election_alone_needs_no_table_of_addresses() -> None:
    rig = Rig(ELECTION)
    rig.addresses.broken = OSError(errno.EPERM, "Operation not permitted")
    rig.start().after(4 * INTERVAL)
    assert (rig.role(), rig.faults(), rig.log.told("unbind-failed")) == (Role.ACTIVE, [], [])


def test_an_election_alone_waits_for_no_answer_of_exabgp(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(ELECTION).start()
    monkeypatch.setattr(rig.speaker, "has_carried_out", lambda networks: False)  # it has not answered the greeting
    rig.after(4 * INTERVAL).hear(250).after(0.1)
    assert rig.router().instance.presence.state == Absent()


def test_an_election_alone_is_drained_as_soon_as_another_node_is_heard() -> None:
    rig = Rig(ELECTION).start().after(4 * INTERVAL)
    rig.handle(ports.DrainAsked("web"))
    assert rig.node.commands.outcome("web") is Outcome.DRAINING
    rig.hear(100).after(0.01)
    assert rig.node.commands.outcome("web") is Outcome.DRAINED


def test_addresses_that_are_bound_alone_are_unbound_after_packets_in_flight() -> None:
    rig = Rig(BOUND_ONLY).start().after(4 * INTERVAL)
    assert rig.take() == [BIND]
    rig.hear(250).after(1.9)
    assert rig.take() == []
    assert rig.after(0.2).take() == [UNBIND]


def test_addresses_that_another_program_binds_are_announced() -> None:
    rig = Rig(ANNOUNCED_ONLY).start().session().after(4 * INTERVAL)
    assert rig.take() == [WITHDRAW, ACTIVE]
    rig.hear(250).after(3)
    assert rig.take() == [LEFT, WORST, WITHDRAW]


def test_what_a_predecessor_served_without_routes_is_served_on() -> None:
    rig = Rig(BOUND_ONLY)
    rig.memory.announced = rig.memory.active = {"web"}
    rig.memory.named = {ip_network("2001:db8:99::/64")}
    rig.addresses.lo = {VIP}
    rig.start()
    assert (rig.bound(), rig.take()) == (True, [])
    rig.after(4 * INTERVAL)
    assert (rig.role(), rig.take()) == (Role.ACTIVE, [])


def test_waiting_packets_are_read_before_a_takeover() -> None:
    rig = given_backup()
    rig.clock.run(rig.clock.now + 3.0)
    waiting, late = rig.arrival(250), rig.arrival(250, at=rig.clock.now + 60)
    rig.transport.waiting = [waiting, late]
    rig.after(1.5)
    assert rig.role() is Role.BACKUP
    assert rig.transport.waiting == [late]


# Addresses


def test_addresses_due_at_once_are_bound_at_once() -> None:
    rig = given_backup(*TWO, heard=None)
    before = rig.addresses.batches
    rig.after(4 * INTERVAL)
    assert rig.addresses.batches == before + 1
    assert rig.take() == [BIND, "bind 2001:db8:53::2", ACTIVE, "announce 2001:db8:53::2/128 med 50"]


def test_after_a_slow_batch_the_next_one_waits() -> None:
    rig = given_active(*TWO)
    rig.addresses.takes = 0.1
    began = rig.addresses.batches
    rig.router("web").on_lo.bind()
    rig.clock.run()
    rig.router("web2").on_lo.bind()
    rig.after(BIND_PAUSE * 0.1 - 0.01)
    assert rig.addresses.batches == began + 1
    rig.after(0.02)
    assert rig.addresses.batches == began + 2


def test_an_address_that_cannot_be_bound_gives_the_role_back_and_is_retried() -> None:
    rig = given_backup(*TWO, heard=None)
    rig.addresses.refused = {VIP}
    rig.after(4 * INTERVAL)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.INITIALIZE, Role.ACTIVE]
    assert rig.log.told("bind-failed")[0]["detail"] == f"cannot bind to lo: {VIP}: the kernel refuses"
    assert ACTIVE not in rig.take()
    rig.addresses.refused = set()
    rig.after(RETRIES[0])
    assert rig.role() is Role.BACKUP


def test_an_address_is_announced_once_the_kernel_accepts_packets_to_it() -> None:
    rig = given_backup(heard=None)
    rig.addresses.slow = {VIP}
    rig.after(4 * INTERVAL)
    assert rig.take() == [BIND]
    rig.handle(ports.AddressesChanged())
    assert rig.take() == []
    rig.addresses.awaited = set()
    rig.handle(ports.AddressesChanged())
    assert rig.take() == [ACTIVE]


def test_an_announcement_is_written_in_the_turn_in_which_the_address_is_bound() -> None:
    rig = given_backup(heard=None).after(4 * INTERVAL)
    assert rig.done[rig.done.index(BIND) :][:3] == [BIND, ACTIVE, "flush"]


def test_a_bug_of_one_router_leaves_the_others_their_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = given_active(*TWO)

    def fail(*_: object) -> Effects:
        raise RuntimeError("a bug")

    monkeypatch.setattr(rig.node.elections.team_of["web2"].group, "handle", fail)
    with pytest.raises(RuntimeError):
        rig.after(2 * INTERVAL)
    monkeypatch.undo()
    rig.done.clear()
    rig.after(2 * INTERVAL)
    assert "send web 200" in rig.done


def test_a_router_that_leaves_in_the_turn_of_its_last_advert_is_forgotten() -> None:
    rig = given_backup(*TWO, heard=None)
    due = rig.router().instance.deadline
    assert due is not None
    while rig.clock.now < due - INTERVAL:
        rig.hear(250, "web2").after(INTERVAL / 2)
    rig.after(due - rig.clock.now - 0.005)
    rig.transport.waiting.append(rig.arrival(250, "web2", at=rig.clock.now + 0.001))
    rig.clock.now += 0.02
    rig.node.turns.ring()  # its adverts are read when web takes over, and it is gone after that
    rig.configured(router())
    rig.node.reconfigure(rig.configuration)
    rig.after(3.0)
    assert list(rig.node.routers) == ["web"]
    levels, *_ = rig.memory.notes[-1]
    assert list(levels) == ["web"]


def test_packets_that_came_together_are_handled_in_one_turn() -> None:
    rig = given_backup(*TWO, heard=None)
    changes = rig.changes
    rig.node.handle(ports.Arrived(SOURCE, (rig.arrival(250), rig.arrival(251, "web2"), rig.arrival(252, "web2"))))
    assert rig.changes == changes + 1
    said = {name: rig.router(name).instance.copies.peers[PEER].advertisement.priority for name in ("web", "web2")}
    assert said == {"web": 250, "web2": 252}


class Bug(Exception):
    """What a mistake of ours raises."""


def broken(*_: object) -> None:
    raise Bug


def test_a_bug_that_one_packet_meets_costs_that_packet_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = given_backup(*TWO, heard=None)
    changes = rig.changes
    monkeypatch.setattr(rig.router("web"), "receive", broken)
    with pytest.raises(Bug):
        rig.node.handle(ports.Arrived(SOURCE, (rig.arrival(250), rig.arrival(252, "web2"), rig.arrival(251))))
    assert rig.router("web2").instance.copies.peers[PEER].advertisement.priority == 252
    assert rig.changes == changes + 1, "the turn has come to its end"
    rig.hear(253, "web2")


def test_a_bug_that_a_packet_meets_keeps_no_deadline_from_being_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = given_backup(*TWO)
    due = rig.router().instance.deadline
    assert due is not None
    rig.after(due - rig.clock.now - 0.001)
    monkeypatch.setattr(rig.router("web"), "receive", broken)
    rig.transport.waiting += [rig.arrival(250), rig.arrival(250, "web2")]
    with pytest.raises(Bug):
        rig.after(0.01)
    rig.after(0.01)
    assert (rig.role(), rig.role("web2")) == (Role.ACTIVE, Role.BACKUP)


def test_an_address_that_is_ready_when_it_is_not_wanted_any_more_is_not_announced() -> None:
    rig = given_backup(heard=None)
    rig.addresses.slow = {VIP}
    rig.after(4 * INTERVAL)
    rig.addresses.awaited = set()
    rig.node.handle(ports.AddressesChanged())
    rig.node.handle(ports.Arrived(SOURCE, (rig.arrival(250),)))
    rig.clock.run()
    assert rig.take() == [BIND, UNBIND]
    assert [event for event in rig.log.events if event.endswith("bound")] == ["address-unbound"]


def test_a_removed_address_is_logged() -> None:
    rig = given_active(router(), router(2, bind="eth0"))
    rig.handle(ports.AddressRepaired(VIP), ports.AddressRepaired(SECOND_VIP), ports.AddressRepaired(FORMER))
    assert rig.log.told("address-repaired") == [
        {"address": str(address), "detail": f"somebody removed or changed it on {interface}; put back"}
        for address, interface in ((VIP, "lo"), (SECOND_VIP, "eth0"), (FORMER, "lo"))
    ]


def test_an_address_that_cannot_be_kept_is_withdrawn_and_unbound_without_waiting() -> None:
    rig = given_active()
    rig.speaker.answers = False
    rig.handle(ports.AddressLost(VIP, OSError(errno.EPERM, "Operation not permitted")))
    assert rig.faults() == ["bind"]
    assert rig.take() == ["send web 0", WITHDRAW, UNBIND]
    assert rig.log.told("bind-failed")[0]["detail"] == f"{VIP} cannot be bound to lo: Operation not permitted"


def test_a_backup_whose_address_cannot_be_unbound_has_no_fault() -> None:
    rig = given_backup()
    rig.handle(ports.AddressLost(VIP, OSError(errno.EBUSY, "with it the kernel would remove 192.0.2.11")))
    (line,) = rig.log.told("unbind-failed")
    assert line["detail"] == f"{VIP} cannot be removed from lo: with it the kernel would remove 192.0.2.11"
    assert (rig.log.told("bind-failed"), rig.role()) == ([], Role.BACKUP)


def test_the_withdraw_is_written_before_the_address_is_removed() -> None:
    rig = given_active()
    rig.done.clear()
    rig.handle(ports.AddressLost(VIP, OSError(errno.EPERM, "Operation not permitted")))
    order = [one for one in rig.done if one in {WITHDRAW, "flush", UNBIND}]
    assert order == [WITHDRAW, "flush", UNBIND]


@pytest.mark.parametrize("settings", [{"handover": "break-before-make"}, {"bind": "eth0"}])
def test_what_must_not_run_twice_is_unbound_before_a_fault_lets_others_begin(settings: dict[str, Any]) -> None:
    rig = given_active(router(**settings))
    rig.speaker.answers = False
    done = rig.session(up=False).take()
    assert [one for one in done if not one.startswith("herald")] == [WITHDRAW, UNBIND, "send web 0"]


def test_break_before_make_sends_priority_zero_once_the_address_is_unbound() -> None:
    rig = given_active(router(handover="break-before-make"))
    rig.node.commands.drain("web")
    rig.after(0.1)
    assert [one for one in rig.take() if not one.startswith("send")] == [WITHDRAW, UNBIND]
    assert rig.done == []


def test_a_bind_that_failed_in_the_batch_of_another_router_is_handled_with_it() -> None:
    """The first one lets go of the election, and has everything bound and unbound before it says so."""
    rig = given_active(router(1, handover="break-before-make"), router(2))
    rig.node.commands.drain("web")
    rig.clock.run()
    rig.clock.now += SETTLE
    rig.addresses.lo, rig.addresses.refused = {VIP}, {SECOND_VIP}
    rig.router("web2").on_lo.bind()
    rig.node.turns.ring()
    assert (rig.role("web"), rig.faults("web2")) == (Role.INITIALIZE, ["bind"])
    rig.node.write_note()
    assert rig.memory.notes[-1][0] == {"web": None, "web2": None}


# Groups and drains


def test_a_router_moves_with_its_group() -> None:
    rig = given_active(*GROUP, router(3))
    assert rig.node.commands.groups() == {"web": "both", "web2": "both", "web3": None}
    assert rig.node.commands.together(["web2"]) == ("web", "web2")
    assert rig.node.commands.together(["web3"]) == ("web3",)
    rig.node.commands.drain("web")
    rig.hear(100).hear(100, "web2").after(10)
    assert [rig.node.commands.outcome(name) for name in rig.node.commands.names()] == [
        Outcome.DRAINED,
        Outcome.DRAINED,
        Outcome.SERVING,
    ]


def test_a_drain_hands_over_and_ends_with_undrain() -> None:
    rig = given_active()
    rig.node.commands.drain("web")
    rig.node.commands.drain("web")
    rig.clock.run()
    assert rig.take() == ["send web 0", LEFT]
    assert (rig.node.commands.outcome("web"), rig.log.events.count("drain-started")) == (Outcome.DRAINING, 1)
    changes = rig.changes
    rig.hear(100).after(5)
    assert rig.node.commands.outcome("web") is Outcome.DRAINED
    assert rig.changes > changes, "who waits for it is told to look"
    assert rig.log.events.count("drain-completed") == 1
    assert not rig.bound()
    rig.node.commands.undrain("web")
    rig.node.commands.undrain("web")
    rig.clock.run()
    assert (rig.node.commands.outcome("web"), rig.log.events.count("drain-ended")) == (Outcome.SERVING, 1)


def test_a_drain_without_a_successor_is_undone() -> None:
    rig = given_active(router(handover_ceiling=5.0))
    rig.node.commands.drain("web")
    rig.after(5.1)
    assert rig.node.commands.outcome("web") is Outcome.KEPT
    assert rig.log.told("drain-cancelled")[0]["detail"] == ("no successor within 5 s: drain cancelled, still serving")
    assert rig.bound()


# Notes for a successor


def test_a_change_is_noted_at_once_and_nothing_is_noted_twice() -> None:
    rig = given_active()
    assert rig.memory.notes[-1] == (
        {"web": "active"},
        {"web": rig.router().instance.takeovers.time.active_since},
        {},
        {"web"},
    )
    count = len(rig.memory.notes)
    rig.after(10 * INTERVAL)
    assert len(rig.memory.notes) == count
    rig.hear(250)
    assert (len(rig.memory.notes), rig.memory.notes[-1][0]) == (count + 1, {"web": "leaving"})


def test_many_changes_at_once_are_one_note() -> None:
    rig = given_backup(*TWO, heard=None)
    count = len(rig.memory.notes)
    rig.after(4 * INTERVAL)
    active = [note for note in rig.memory.notes[count:] if note[0] == {"web": "active", "web2": "active"}]
    assert len(active) == 1


def test_after_a_slow_note_the_next_one_waits() -> None:
    rig = given_active(*TWO)
    rig.memory.takes = 0.01
    rig.hear(250)
    count = len(rig.memory.notes)
    rig.hear(250, "web2", at=rig.clock.now).after(NOTE_PAUSE * 0.01 - 0.001)
    assert len(rig.memory.notes) == count
    rig.after(0.002)
    assert (len(rig.memory.notes), rig.memory.notes[-1][0]) == (count + 1, {"web": "leaving", "web2": "leaving"})
    rig.node.write_note()
    assert len(rig.memory.notes) == count + 1, "there is nothing new"


def test_the_last_note_is_looked_at_when_somebody_asks() -> None:
    rig = given_active()
    rig.node.commands.look_at_note()
    assert rig.memory.looks == 1


def test_silent_failures_are_noted() -> None:
    rig = given_backup(router(bgp={"stale_for": 60.0})).after(4 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    assert rig.memory.notes[-1][2]["web"][0] == 1


def test_routes_are_noted_as_they_are_announced() -> None:
    """A successor withdraws them with the very attributes."""
    rig = given_backup(router(bgp={"takeover": ["prepend"], "prepend": 2, "stale_for": 60.0})).after(4 * INTERVAL)
    beaten = rig.memory.routes["web"]
    assert beaten == list(rig.speaker.wanted.values())
    rig.after(61)
    assert rig.memory.routes["web"] == list(rig.speaker.wanted.values()) != beaten, "the silent failure is forgotten"
    while not rig.router().instance.presence.last_resort:
        rig.follow(0.1)
    assert rig.memory.routes["web"] == list(rig.speaker.wanted.values())


# The end


def test_a_replaced_agent_leaves_everything_and_sends_its_peers_an_advert() -> None:
    rig = given_active()
    rig.done.clear()
    rig.handle(ports.Terminated())
    assert rig.why() is None, "whether ExaBGP goes, too, it has not said yet"
    rig.after(TELL_TALE)
    assert (rig.why(), rig.node.over) == (REPLACED, True)
    assert rig.done == ["send web 200"]
    assert rig.bound()
    bequest = rig.node.bequest
    assert bequest is not None
    assert (bequest.levels, set(bequest.doubtful), set(bequest.announced)) == ({"web": Level.ACTIVE}, set(), {"web"})
    assert bequest.accepted == {"web"}
    assert bequest.health is rig.node.fitness.health


def test_a_router_that_still_releases_beside_a_backup_advertises_until_the_end() -> None:
    settings: dict[str, Any] = {"group": "both", "handover": "break-before-make", "advert_interval": 0.1}
    rig = given_active(router(1, **settings), router(2, **settings))
    rig.speaker.answers = False
    rig.node.commands.drain("web")
    first, _ = rig.networks
    rig.clock.run()
    rig.speaker.answer(first)
    rig.after(SETTLE)
    rig.node.commands.undrain("web")
    assert [rig.role(name) for name in rig.node.commands.names()] == [Role.BACKUP, Role.ACTIVE]
    rig.handle(ports.Terminated()).done.clear()
    rig.after(0.1)
    assert "send web2 200" in rig.done
    assert rig.role("web2") is Role.ACTIVE, "it has not let go yet"


def test_an_agent_waits_for_no_successor() -> None:
    rig = given_active()
    rig.handle(ports.Succession(starts=True), ports.Succession(starts=False))
    assert (rig.why(), rig.role()) == (None, Role.ACTIVE)


def test_a_replaced_agent_that_stood_still_sends_none() -> None:
    """Others took over long ago: it steps down, as it would have at its next advert."""
    rig = given_active()
    rig.done.clear()
    rig.clock.now += 10 * INTERVAL
    rig.handle(ports.End(REPLACED))
    assert (rig.role(), rig.bound()) == (Role.BACKUP, True)
    assert not [one for one in rig.done if one.startswith("send")]


def test_a_replaced_backup_sends_no_advert() -> None:
    rig = given_backup()
    rig.done.clear()
    rig.handle(ports.Terminated()).after(TELL_TALE)
    assert rig.done == []


def test_a_terminated_backup_does_not_take_over_any_more() -> None:
    """ExaBGP may not read the announcement, and a caretaker would have to end it to be sure."""
    rig = given_backup().after(3.1 * INTERVAL)
    rig.handle(ports.Terminated()).after(TELL_TALE)
    assert (rig.role(), rig.take()) == (Role.BACKUP, [])
    assert rig.node.bequest is not None
    assert not rig.node.bequest.announced

    # Nor if ExaBGP goes, but what is left is done in time.
    rig = given_active()
    rig.hear(250)
    rig.handle(ports.Terminated(), speaker.Stopping()).after(STOP_LIMIT)
    assert (rig.bound(), rig.node.over, rig.node.abandoned) == (False, True, False)


def test_an_unconfirmed_announcement_is_bequeathed_as_doubtful() -> None:
    rig = given_active()
    rig.speaker.answers = False
    rig.hear(250)
    rig.handle(ports.End(REPLACED))
    assert rig.node.bequest is not None
    assert rig.node.bequest.doubtful == rig.node.bequest.accepted == {"web"}


@pytest.mark.parametrize("may", [True, False])
def test_what_exabgp_may_announce_is_bequeathed(may: bool) -> None:
    rig = Rig(router(min_sessions=0)).start().session(listed=False)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    rig.speaker.refuse(2)
    rig.speaker.offered = {PREFIX} if may else set()
    rig.handle(ports.End(REPLACED))
    assert rig.node.bequest is not None
    assert rig.node.bequest.announced == ({"web"} if may else set())


def test_a_sigterm_after_exabgp_s_shutdown_message_is_an_orderly_stop() -> None:
    rig = given_active()
    rig.handle(ports.Terminated(), speaker.Stopping()).after(TELL_TALE)
    assert rig.why() == "ExaBGP stops"
    assert rig.node.bequest is None
    assert rig.take() == ["send web 0", "send web 0", "send web 0"], "nobody would hear what is said"
    rig.after(STOP_LIMIT)
    assert (rig.bound(), rig.node.over, rig.node.abandoned) == (False, True, False)


def test_an_orderly_stop_hands_over_withdraws_and_unbinds_within_its_limit() -> None:
    rig = given_active()
    rig.handle(ports.End("SIGINT"))
    assert rig.log.told("agent-stopping") == [{"reason": "SIGINT"}]
    assert rig.take() == ["send web 0", LEFT]
    rig.after(PRIORITY_ZERO_REPEATS[-1])
    assert rig.take() == ["send web 0", "send web 0"]
    rig.hear(100).after(STOP_LIMIT)
    assert rig.take() == [WORST, WITHDRAW, UNBIND]
    assert (rig.node.over, rig.node.abandoned) == (True, False)
    assert rig.notifier.told[-1] == ("web", NotifyState.STOP, "SIGINT")
    rig.handle(ports.End("again"))
    assert rig.why() == "SIGINT"


def test_a_stop_that_takes_too_long_is_abandoned() -> None:
    rig = given_active()
    rig.speaker.answers = False
    rig.handle(ports.End("SIGINT"))
    rig.take()
    rig.after(STOP_LIMIT - 0.01)
    assert (rig.node.over, rig.bound()) == (False, True)
    changes = rig.changes
    rig.after(0.02)
    assert (rig.node.over, rig.node.abandoned, rig.bound()) == (True, True, False)
    assert rig.take()[-2:] == [WITHDRAW, UNBIND]
    assert rig.changes > changes


def test_an_address_that_cannot_be_removed_does_not_delay_a_stop() -> None:
    rig = given_active()
    rig.speaker.answers = False
    rig.handle(ports.End("SIGINT"))
    rig.addresses.broken = OSError(errno.EPERM, "Operation not permitted")
    rig.after(STOP_LIMIT)
    assert rig.node.over
    assert rig.log.told("unbind-failed") == [{"router": "web", "detail": "Operation not permitted"}]


def test_no_command_is_sent_to_an_exabgp_that_is_gone() -> None:
    rig = given_active()
    rig.done.clear()
    rig.handle(speaker.Disconnected("end of file on stdin"))
    assert (rig.why(), rig.node.gone) == ("ExaBGP is gone", True)
    assert rig.log.told("exabgp-disconnected") == [{"detail": "end of file on stdin"}]
    rig.after(STOP_LIMIT)
    assert (rig.node.over, rig.bound()) == (True, False)
    assert {one for one in rig.done if not one.startswith("send")} == {UNBIND}
    rig.router().announcement.change()
    rig.node.clear()
    assert {one for one in rig.done if not one.startswith("send")} == {UNBIND}


def test_a_node_stopped_for_the_whole_limit_unbinds_without_a_command_to_an_exabgp_that_is_gone() -> None:
    rig = given_active()
    rig.done.clear()
    rig.handle(speaker.Disconnected("end of file on stdin"))
    rig.clock.now += 10.0
    rig.clock.run(rig.clock.now)
    assert (rig.node.over, rig.node.abandoned, rig.bound()) == (True, True, False)
    assert {one for one in rig.done if not one.startswith("send")} == {UNBIND}


def test_a_node_stopped_for_the_whole_limit_withdraws_before_it_unbinds() -> None:
    rig = given_active()
    rig.handle(ports.End("SIGINT"))
    rig.done.clear()
    rig.clock.now += 10.0
    rig.clock.run(rig.clock.now)
    assert (rig.node.over, rig.node.abandoned, rig.bound()) == (True, True, False)
    assert [one for one in rig.done if not one.startswith("send")][:3] == [WITHDRAW, "flush", UNBIND]


def test_answers_of_an_exabgp_that_is_gone_are_not_awaited() -> None:
    rig = given_active()
    rig.speaker.answers = False
    rig.follow(0.1)
    rig.handle(speaker.Disconnected("end of file on stdin")).after(STOP_LIMIT)
    assert (rig.node.over, rig.node.abandoned, rig.bound()) == (True, False, False)


@pytest.mark.parametrize("end", [ports.End("SIGINT"), speaker.Stopping(), ports.End(REPLACED)])
def test_a_node_that_has_not_begun_is_over_at_once(end: ports.End | speaker.Stopping) -> None:
    rig = Rig()
    rig.addresses.lo = {VIP}
    rig.handle(end)
    assert (rig.node.over, rig.node.bequest, rig.bound(), rig.changes) == (True, None, True, 1)


def test_after_a_bug_everything_is_withdrawn_and_unbound() -> None:
    rig = given_active()
    rig.handle(ports.End("a bug")).after(STOP_LIMIT)
    rig.addresses.lo = {VIP}
    rig.speaker.wanted = {PREFIX: rig.router().configuration.route_policy.routes(PREFIX)[0]}
    rig.take()
    rig.node.clear()
    assert rig.take() == [WITHDRAW, UNBIND]


def test_nothing_happens_any_more_once_it_is_closed() -> None:
    rig = given_active()
    rig.node.work.soon(lambda: rig.done.append("worked"))
    rig.node.close()
    rig.done.clear()
    rig.handle(ports.Terminated()).after(10 * INTERVAL)
    assert (rig.done, rig.why()) == ([], None)
    Rig().node.close()


# One thing after the other


def test_an_event_within_an_event_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = given_active()
    inside: list[str] = []

    def send(*_: object) -> list[ports.Sent]:
        rig.node.handle(ports.End("from within"))
        inside.append(str(rig.why()))
        return [ports.Sent("eth0", None)]

    monkeypatch.setattr(rig.transport, "send", send)
    rig.after(INTERVAL)
    assert inside[0] == "None"
    assert rig.why() == "from within"


def test_one_alarm_is_armed_for_the_whole_node() -> None:
    rig = given_active(*TWO)
    assert len(rig.clock.armed) == 1
    rig.hear(250)
    assert len(rig.clock.armed) == 1
    (armed,) = rig.clock.armed
    assert armed <= rig.clock.now + INTERVAL


def test_an_earlier_deadline_moves_the_alarm() -> None:
    rig = given_backup()
    (before,) = rig.clock.armed
    rig.node.turns.timers.call_at(rig.clock.now + 0.01, lambda: None)
    rig.hear(250)
    assert rig.clock.armed == [pytest.approx(rig.clock.now + 0.01)]
    assert before > rig.clock.now + 0.01


def test_work_is_done_in_slices_between_which_adverts_are_sent() -> None:
    rig = given_active()
    done: list[float] = []

    def act() -> None:
        rig.clock.now += 0.004
        done.append(rig.clock.now)

    for _ in range(6):
        rig.node.work.soon(act)
    rig.clock.turn()
    assert len(done) == 2, "more than LEAST_WORK"
    rig.clock.now += 0.5
    rig.clock.turn()
    assert len(done) == 6, "as long as the rest of the loop took"


def test_a_slice_of_work_ends_before_an_advert_is_late_however_long_the_loop_was_away() -> None:
    rig = given_active()
    done: list[float] = []

    def act() -> None:
        rig.clock.now += 0.2 * INTERVAL
        done.append(rig.clock.now)

    for _ in range(6):
        rig.node.work.soon(act)
    rig.clock.now += 10 * INTERVAL
    rig.clock.turn()
    assert len(done) == 3, "half an interval"


def test_a_bug_in_waiting_work_does_not_stop_the_rest() -> None:
    rig = given_active()
    done: list[str] = []
    rig.node.work.soon(partial(setattr, None, "broken", 1))
    rig.node.work.soon(lambda: done.append("worked"))
    with pytest.raises(AttributeError):
        rig.clock.turn()
    rig.clock.run()
    assert done == ["worked"]


def test_every_event_is_recorded_with_its_effects() -> None:
    recorded: list[tuple[str, events.Event, float, Effects | Exception]] = []
    rig = given_active(record=lambda *told: recorded.append(told))
    assert {team for team, *_ in recorded} == {"web"}
    assert isinstance(recorded[-1][1], events.Bound)
    (team,) = rig.node.elections.teams
    with pytest.raises(KeyError):
        team.handle(events.Bound("nobody"), 0.0)
    assert isinstance(recorded[-1][3], KeyError)


# Status


def test_adverts_are_sent_in_the_name_of_a_key_if_there_is_one() -> None:
    keys = f'keys = {{ 1 = {{ hex = "{"5a" * 32}" }} }}\n'
    authentication = table("authentication.nodes", mode="permissive", active_key=1) + keys
    rig = given_active(router(authentication="nodes"), authentication)
    assert len({number for flow, number in rig.marks.items() if flow.sender == SOURCE}) == 1
    rig.transport.copies.clear()
    rig.after(INTERVAL)
    assert rig.transport.copies == [(peer, (name,)) for peer in (PEER, OTHER) for name in ("eth0", "eth1")]


def test_status_shows_what_exabgp_has_accepted_and_what_is_desired() -> None:
    rig = given_active(router(1, addresses=["2001:db8:53::1"], unlisted_addresses=["2001:db8:53::9"]), router(2))
    rig.speaker.answers = False
    rig.hear(250)
    first, second = rig.node.view().routers
    assert (first.name, first.role, first.bound, first.level, first.wanted, first.accepted) == (
        *("web", "backup", True),
        *("active", "leaving", False),
    )
    assert first.addresses == ("2001:db8:53::1", "2001:db8:53::9")
    assert (second.role, second.level, second.accepted, second.explanation) == ("active", "active", True, "200")


def test_what_a_caretaker_may_keep() -> None:
    """By what was announced, whether it was confirmed, and what is decided now."""
    rig = given_active()
    instance = rig.router().instance

    def given_up(level: Level | None, *, accepted: bool = True, announced: bool = True) -> str | None:
        bequest = Bequest(
            levels={"web": level},
            doubtful=frozenset({"web"}),
            announced=frozenset({"web"} if announced else ()),
            accepted=frozenset({"web"} if accepted and announced else ()),
            without_bgp=frozenset(),
            health=rig.node.fitness.health,
            sessions=rig.node.fitness.sessions,
            version=None,
        )
        return bequest.given_up("web", instance)

    end = ", and only the end of ExaBGP can withdraw it"
    assert given_up(Level.ACTIVE) is None
    assert given_up(Level.ACTIVE, accepted=False) == f"web may be announced or not{end}"
    assert given_up(Level.ACTIVE, announced=False) is None
    rig.follow(0.1)
    assert given_up(Level.ACTIVE) == f"web is served by another node{end}"
    rig.follow(5)
    assert given_up(Level.ACTIVE) == f"web is not to be announced any more{end}"
    assert given_up(None) == f"web is not to be announced any more{end}"
    assert given_up(None, announced=False) is None


def test_a_second_choice_may_not_stand_where_a_first_one_is_announced() -> None:
    rig = given_backup(router(standby="announce")).follow(1.0)
    web, fitness = frozenset({"web"}), rig.node.fitness
    kept = partial(Bequest, announced=web, accepted=web, without_bgp=frozenset(), version=None)
    bequest = partial(kept, health=fitness.health, sessions=fitness.sessions)
    instance = rig.router().instance
    found = [
        bequest(levels={"web": level}, doubtful=doubtful).given_up("web", instance)
        for level, doubtful in ((Level.STANDBY, frozenset[str]()), (Level.STANDBY, web), (Level.ACTIVE, frozenset()))
    ]
    end = "web is to be announced as a second choice, and only the end of ExaBGP can withdraw it"
    assert found == [None, end, end]


def test_work_that_waits_for_adverts_knows_how_often_they_are_due_from_the_start() -> None:
    assert given_active(router(advert_interval=0.2), router(2, advert_interval=0.5)).node.work.advert_interval == 0.2


def test_an_answer_that_does_not_come_is_called_so() -> None:
    rig = given_active()
    rig.handle(speaker.Silent(rig.networks[0], "announce", 2))
    [told] = rig.log.told("route-not-accepted")
    assert "does not answer for" in told["detail"]


# Carriers


def test_of_neighbors_with_the_same_address_one_is_cut_off() -> None:
    ends = [Session(ip_address("fe80::1"), ip_address(f"fe80::{number}:b")) for number in (1, 2)]
    rig = Rig(router(min_sessions=2)).start()
    for one in ends:
        rig.session(one)
    rig.paths.cut_off = {ends[1]}
    rig.handle(ports.PathsChanged())
    assert rig.faults() == ["sessions"]
    assert [line["local"] for line in rig.log.told("session-cut-off")] == ["fe80::2:b"]


def test_a_node_whose_sessions_are_cut_off_gives_up_and_has_exabgp_write_when_a_carrier_is_back() -> None:
    rig = given_active()
    rig.paths.cut_off = {SESSION.peer}
    rig.handle(ports.PathsChanged())
    assert (rig.role(), rig.faults()) == (Role.INITIALIZE, ["sessions"])
    assert "send web 0" in rig.take()
    (told,) = rig.log.told("session-cut-off")
    assert told["neighbor"] == str(SESSION.peer)
    rig.after(2.0)
    assert "repeat" not in rig.take()
    rig.paths.cut_off = set()
    rig.handle(ports.PathsChanged())
    said = rig.take()
    assert "repeat" in said
    assert "send web 0" in said, "the Backups wait still, if this one was lost"
    rig.after(2.0).handle(ports.PathsChanged())
    assert rig.take() == [], "they wait no more"
    assert rig.faults() == ["sessions"], "the neighbor may have closed it"
    rig.session(up=False).session()
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])
    rig.take()
    rig.after(2.0 + DOUBT)
    assert len(rig.log.told("session-changed")) == 3, "there was nothing left to be trusted"


def test_a_session_that_has_survived_without_a_carrier_counts_again_after_a_while() -> None:
    rig = given_active()
    rig.paths.cut_off = {SESSION.peer}
    rig.handle(ports.PathsChanged()).after(3.0)
    rig.paths.cut_off = set()
    rig.handle(ports.PathsChanged()).after(3.0 + DOUBT - 0.1)
    assert rig.faults() == ["sessions"]
    rig.after(0.2)
    assert rig.faults() == []


def test_a_reload_looks_at_the_carriers_again() -> None:
    """It may have changed the interfaces."""
    rig = given_active()
    rig.paths.cut_off = {SESSION.peer}
    rig.reconfigure(router(priority=120))
    assert rig.faults() == ["sessions"]


def test_two_sessions_are_trusted_each_in_its_time() -> None:
    rig = given_active()
    other = Session(ip_address("2001:db8:1::1"), ip_address("2001:db8:1::2"))
    rig.session(other)
    for cut in ({other.peer}, {other.peer, SESSION.peer}):
        rig.paths.cut_off = set(cut)
        rig.handle(ports.PathsChanged()).after(3.0)
    rig.paths.cut_off = set()
    rig.handle(ports.PathsChanged()).after(3.0 + DOUBT + 0.1)
    assert rig.faults() == []
    assert set(rig.node.fitness.sessions.doubtful) == {other}


def test_without_exabgp_nobody_is_asked_to_write() -> None:
    rig = given_active()
    rig.paths.cut_off = {SESSION.peer}
    rig.handle(ports.PathsChanged())
    rig.handle(speaker.Disconnected("gone"))
    rig.paths.cut_off = set()
    rig.handle(ports.PathsChanged())
    assert "repeat" not in rig.take()


def test_a_node_that_takes_part_again_does_not_resign_again() -> None:
    rig = given_active()
    rig.node.commands.drain("web")
    rig.node.commands.undrain("web")
    assert rig.role() is Role.BACKUP
    assert "send web 0" in rig.take()
    rig.handle(ports.PathsChanged())
    assert "send web 0" not in rig.take()


# Who tells neighbors on a link

ON_LINK = router(bind="eth0", addresses=[f"{VIP}/64"])
HERALD, SILENCE, ANEW = f"herald {VIP}", "herald ", f"herald anew {VIP}"


def heralds(rig: Rig) -> list[str]:
    return [line for line in rig.take() if line.startswith("herald")]


def test_who_gives_way_on_a_link_while_it_releases_says_nothing_of_its_new_priority() -> None:
    one = router(bind="eth0", addresses=[f"{VIP}/64"], checks=["a"])
    rig = given_active(one, check("a", weight=-100), checks=["a"])
    rig.check("a", passed=False)
    rig.speaker.answers = False
    rig.node.commands.drain("web")
    rig.check("a", passed=True).hear(150)
    assert rig.role() is Role.INITIALIZE
    assert [line for line in rig.done if line.startswith("send")] == ["send web 100", "send web 100"]


def test_neighbors_are_told_by_who_is_active_and_by_nobody_who_still_has_the_address() -> None:
    rig = given_backup(ON_LINK, heard=None)
    rig.addresses.slow = {VIP}
    rig.after(4 * INTERVAL)
    assert (rig.role(), heralds(rig)) == (Role.ACTIVE, []), "the kernel does not accept packets to it yet"
    rig.addresses.awaited = set()
    rig.handle(ports.AddressesChanged())
    assert heralds(rig) == [HERALD]
    rig.after(3 * INTERVAL)
    assert heralds(rig) == []
    rig.speaker.answers = False
    rig.hear(250)
    assert (rig.addresses.lo, heralds(rig)) == ({VIP}, [SILENCE]), "the withdraw is not confirmed, and it is still here"


def test_what_a_predecessor_has_left_on_a_link_is_not_told() -> None:
    rig = Rig(ON_LINK)
    rig.memory.announced, rig.addresses.lo = {"web"}, {VIP}
    rig.start().session()
    assert (rig.addresses.lo, heralds(rig)) == ({VIP}, [])
    rig.after(4 * INTERVAL)
    assert heralds(rig) == [HERALD]


def test_neighbors_on_a_link_are_told_of_all_that_is_served_and_of_what_a_reload_adds() -> None:
    second = "2001:db8:53::2"
    rig = given_active(ON_LINK, router(2, bind="eth1"), router(3))
    rig.reconfigure(
        router(bind="eth0", addresses=[f"{VIP}/64", "2001:db8:53::9/64"]), router(2, bind="eth1"), router(3)
    )
    assert heralds(rig) == [f"herald {VIP} 2001:db8:53::9 {second}"]
    rig.hear(250)
    assert heralds(rig) == [f"herald {second}"]


def test_neighbors_are_told_of_many_routers_at_once() -> None:
    many = range(1, 9)
    rig = given_backup(*(router(number, bind="eth0") for number in many), heard=None)
    rig.after(4 * INTERVAL)
    vips = " ".join(f"2001:db8:53::{number}" for number in many)
    assert heralds(rig) == [f"herald {vips}"]
    rig.handle(ports.PathsChanged())
    assert heralds(rig) == []
    rig.handle(ports.Terminated(), speaker.Stopping())
    assert heralds(rig) == [SILENCE]


def test_neighbors_are_told_anew_when_another_active_was_heard() -> None:
    rig = given_active(ON_LINK, router(2))
    rig.hear(100)
    assert heralds(rig) == [ANEW]
    rig.hear(0)
    assert heralds(rig) == [ANEW], "its address is gone now"
    rig.hear(100, "web2")
    assert heralds(rig) == [], "nobody asks for what is on lo"
    rig.hear(250).hear(0)
    assert heralds(rig) == [SILENCE], "who is not Active tells nobody"


@pytest.mark.parametrize(("bind", "sent"), [("eth0", ["send web 200"]), (True, [])])
def test_who_gives_way_on_a_link_lets_the_better_active_know_that_neighbors_have_to_be_told(
    bind: str | bool, sent: list[str]
) -> None:
    rig = given_active(router(bind=bind, handover="break-before-make")).hear(250)
    assert [line for line in rig.done if line.startswith("send")] == sent
    rig.follow(3 * INTERVAL)
    assert [line for line in rig.done if line.startswith("send")] == sent
