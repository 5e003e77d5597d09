"""Another configuration takes the place of the one before, while the node works."""

from errno import EADDRNOTAVAIL
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import ports
from exavrrp.adverts import PRIORITY_ZERO_REPEATS
from exavrrp.node import STOP_LIMIT
from exavrrp.presence import SETTLE
from exavrrp.reception import sources
from exavrrp.roster import LEAVE_LIMIT
from exavrrp.routes import Level, Route
from exavrrp.vrrp.packet import Datagram, parse
from exavrrp.vrrp.router import Role
from tests.ports import INTERVAL, LINKS, OTHER, PEER, SOURCE, Rig, check, given_active, given_backup, router, table

FIRST, SECOND, THIRD = (f"2001:db8:53::{number}" for number in (1, 2, 9))


def sent(rig: Rig) -> list[str]:
    """The adverts since the last look."""
    return [one for one in rig.done if one.startswith("send")]


# What does not change


def test_the_same_configuration_changes_nothing() -> None:
    rig = given_active(router(), router(2))
    before, lines = rig.clock.armed, len(rig.log.lines)
    rig.reconfigure(router(), router(2))
    assert rig.done == []
    assert rig.clock.armed == before
    assert len(rig.log.lines) == lines


def test_a_reload_does_not_touch_unchanged_routers() -> None:
    rig = given_active(router(), router(2))
    rig.after(INTERVAL / 2)
    rig.take()
    one = rig.router("web2")
    due = one.instance.deadline
    rig.reconfigure(router(priority=150, bgp={"med": 70}), router(2))
    assert rig.router("web2") is one
    assert one.instance.deadline == due
    assert not any("web2" in line or SECOND in line for line in rig.done)
    assert [told["router"] for told in rig.log.told("router-reconfigured")] == ["web"]


def test_what_does_not_change_is_not_declared_anew() -> None:
    rig = given_active(router(), router(2))
    before, declared = rig.node.configuration.routers[1], rig.speaker.ours
    rig.reconfigure(router(preempt=False), router(2))
    assert rig.node.configuration.routers[1] is before
    assert rig.speaker.ours is declared
    rig.reconfigure(router(preempt=False), router(2, bgp={"med": 70}))
    assert rig.speaker.ours is not declared


# Another name


def called(name: str, number: int = 1, **settings: Any) -> str:
    """The table of the router ``number``, under another name."""
    usual = "virtual_router.web" if number == 1 else f"virtual_router.web{number}"
    return router(number, **settings).replace(usual, f"virtual_router.{name}")


def test_a_router_that_is_renamed_goes_on() -> None:
    rig = given_active(router(checks=["a"], min_sessions=1), check("a"), router(2), checks=["a"])
    one, due = rig.router(), rig.router().instance.deadline
    told = len(rig.notifier.told)
    rig.take()
    rig.reconfigure(called("site", checks=["a"], min_sessions=1), check("a"), router(2))
    assert (rig.take(), rig.notifier.told[told:]) == ([], [])
    assert (rig.router("site"), one.instance.deadline, rig.role("site")) == (one, due, Role.ACTIVE)
    assert rig.node.commands.names() == ["site", "web2"]
    assert rig.node.commands.together(["site"]) == ("site",)
    assert rig.notifier.renamed == {"web": "site"}
    assert rig.log.told("router-renamed") == [{"router": "site", "before": "web"}]
    assert "router-reconfigured" not in rig.log.events
    rig.after(0.1)
    assert rig.memory.notes[-1][0].keys() == {"site", "web2"}
    assert (rig.memory.routes["web"], len(rig.memory.routes["site"])) == ([], 1)
    rig.check("a", passed=False)
    assert rig.faults("site") == ["check"]
    rig.check("a", passed=True).session(up=False)
    assert rig.faults("site") == ["sessions"]


def test_two_routers_exchange_their_names() -> None:
    rig = given_active(router(), router(2, priority=100))
    one, other = rig.router("web"), rig.router("web2")
    rig.reconfigure(called("web2"), called("web", 2, priority=100))
    assert (rig.router("web2"), rig.router("web")) == (one, other)
    assert (one.name, one.instance.name, other.name, other.instance.name) == ("web2", "web2", "web", "web")
    assert rig.take() == []
    assert sorted(sent(rig.after(INTERVAL))) == ["send web 100", "send web2 200"]


def test_a_group_is_renamed_and_so_are_its_members() -> None:
    rig = given_active(router(group="both"), router(2, group="both"))
    rig.reconfigure(called("a", group="all"), called("b", 2, group="all"))
    assert rig.take() == []
    assert rig.node.commands.together(["a"]) == ("a", "b")
    rig.node.commands.drain("b")
    rig.clock.run()
    assert rig.holds("b") == ["drained"]
    assert rig.holds("a")


def test_who_moves_with_others_from_now_on_begins_anew() -> None:
    rig = given_active(router(), router(2))
    before = rig.router()
    rig.reconfigure(router(group="both"), router(2, group="both")).after(LEAVE_LIMIT + 1)
    assert rig.router() is not before


def test_a_name_is_taken_from_a_router_that_leaves() -> None:
    rig = given_active(router(), router(2))
    leaving, staying = rig.router("web"), rig.router("web2")
    rig.speaker.answers = False
    rig.reconfigure(called("web", 2))
    assert (rig.router("web"), rig.router("web (leaving 1)")) == (staying, leaving)
    rig.reconfigure(called("site", 2)).reconfigure(called("web", 2))
    assert rig.node.commands.names() == ["web", "web (leaving 1)"]
    assert rig.node.commands.addresses() == {*leaving.configuration.addresses, *staying.configuration.addresses}
    rig.speaker.answers = True
    rig.speaker.answer()
    rig.after(LEAVE_LIMIT + 1)
    assert (rig.node.commands.names(), rig.role()) == (["web"], Role.ACTIVE)


def test_a_start_up_hold_ends_under_another_name() -> None:
    rig = Rig(router(min_sessions=1, startup_hold=5)).start()
    rig.reconfigure(called("site", min_sessions=1, startup_hold=5))
    assert rig.faults("site") == []
    assert rig.after(6).faults("site") == ["sessions"]


def test_an_address_that_is_new_is_in_the_state_file() -> None:
    """A successor whose configuration does not have it removes it."""
    rig = given_active()
    written = len(rig.memory.notes)
    rig.reconfigure(router(addresses=[FIRST, THIRD])).after(1)
    assert ip_address(THIRD) in rig.memory.bindable
    assert len(rig.memory.notes) > written
    rig.reconfigure(router(), router(9)).after(60)
    assert rig.memory.bindable == {ip_address(FIRST), ip_address(THIRD)}, "the other one is web9's"


def noted(rig: Rig, name: str = "web") -> list[Route]:
    """The routes of a router that the state file lists: a successor withdraws those that nobody has any more."""
    return sorted(rig.memory.routes[name], key=lambda route: route.network)


def announced(rig: Rig, name: str = "web") -> list[Route]:
    """Its routes that ExaBGP announces."""
    ours = rig.router(name).configuration.announce
    return sorted((rig.speaker.wanted[one] for one in ours), key=lambda route: route.network)


BY_TIME = {"med": None, "takeover": ["med"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"addresses": [FIRST, THIRD]}),
        ({}, {"bgp": {"med": 70, "communities": ["65000:1"]}}),
        ({"bgp": BY_TIME, "peers": [str(OTHER)]}, {"bgp": BY_TIME, "peers": [str(PEER), "2001:db8:ff::1"]}),
    ],
)
def test_what_an_active_announces_otherwise_is_in_the_state_file(before: dict[str, Any], after: dict[str, Any]) -> None:
    rig = given_active(router(**before))
    old = announced(rig)
    rig.addresses.slow = {ip_address(THIRD)}
    rig.reconfigure(router(**after))
    rig.addresses.awaited.clear()
    rig.handle(ports.AddressesChanged())
    assert noted(rig.after(INTERVAL)) == announced(rig) != old


# Who stays


def test_another_priority_is_advertised_at_once() -> None:
    rig = given_active()
    rig.reconfigure(router(priority=150))
    assert sent(rig) == ["send web 150"]
    assert rig.take() == []
    assert rig.role() is Role.ACTIVE


def test_another_interval_and_other_addresses_are_in_the_next_advert() -> None:
    rig = given_active()
    rig.reconfigure(router(advert_interval=0.5, addresses=[SECOND]))
    said = parse(Datagram(SOURCE, OTHER, 255, rig.transport.last))
    assert (said.centiseconds, said.addresses) == (50, rig.configuration.routers[0].addresses)


def test_other_attributes_are_announced_without_a_withdraw() -> None:
    rig = given_active()
    rig.reconfigure(router(bgp={"med": 70}))
    assert rig.take() == [f"announce {FIRST}/128 med 70"]


def test_another_place_among_the_nodes_is_announced() -> None:
    """It is part of the MED: another node may announce the old one."""
    bgp = {"med": None, "takeover": ["med"]}
    rig = given_active(router(bgp=bgp, peers=[str(OTHER)]))
    rig.reconfigure(router(bgp=bgp, peers=[str(PEER)]))
    assert rig.take() == []
    (route,) = rig.speaker.wanted.values()
    assert route.attributes.med is not None
    rig.reconfigure(router(bgp=bgp, peers=[str(PEER), "2001:db8:ff::1"]))
    assert rig.take() == [f"announce {FIRST}/128 med {route.attributes.med - 1}"]


def test_a_backup_with_other_attributes_announces_nothing() -> None:
    rig = given_backup()
    rig.reconfigure(router(bgp={"med": 70}))
    assert rig.take() == []
    rig.after(4 * INTERVAL)
    assert f"announce {FIRST}/128 med 70" in rig.take()


def test_an_address_that_is_new_is_bound_and_then_announced() -> None:
    rig = given_active()
    rig.reconfigure(router(addresses=[FIRST, THIRD]))
    assert sent(rig) == ["send web 200"]
    assert rig.take() == [f"bind {THIRD}", f"announce {THIRD}/128 med 50"]
    assert rig.role() is Role.ACTIVE


def test_an_address_that_is_new_is_not_announced_before_the_kernel_accepts_packets_for_it() -> None:
    rig = given_active()
    new = rig.configuration.routers[0].addresses[0] + 8
    rig.addresses.slow = {new}
    rig.reconfigure(router(addresses=[FIRST, THIRD], bgp={"med": 70}))
    assert rig.take() == [f"announce {FIRST}/128 med 70", f"bind {THIRD}"]
    rig.addresses.awaited.clear()
    rig.handle(ports.AddressesChanged())
    assert rig.take() == [f"announce {THIRD}/128 med 70"]


def test_whether_an_address_is_preferred_changes_in_place() -> None:
    rig = given_active()
    assert rig.addresses.preferred == set()
    rig.reconfigure(router(preferred_lifetime="forever"))
    assert rig.take() == [], "nothing is unbound, withdrawn or said"
    assert rig.addresses.preferred == rig.addresses.lo == {ip_address(FIRST)}
    rig.reconfigure(router(preferred_lifetime=0))
    assert rig.take() == []
    assert rig.addresses.preferred == set()
    assert rig.addresses.lo == {ip_address(FIRST)}


def test_an_address_that_another_program_is_to_bind_from_now_on_is_unbound() -> None:
    rig = given_active()
    rig.reconfigure(router(bind=False))
    assert rig.take() == []
    assert rig.after(2.1).take() == ["unbind 2001:db8:53::1"]
    rig.reconfigure()
    assert (rig.role(), rig.take()) == (Role.ACTIVE, ["bind 2001:db8:53::1"])


def test_another_transport_is_another_virtual_router() -> None:
    """Its last word goes to those that have heard it; then its source is heard on the new interface."""
    rig = given_active(router(linger=0))
    unicast = router(transport="unicast", interface="eth0", source=str(SOURCE), linger=0)
    rig.reconfigure(unicast)
    assert (rig.transports.media, rig.take()) == ({}, ["send web 0", "announce 2001:db8:53::1/128 med 4294967295"])
    rig.hear(100).after(LEAVE_LIMIT)
    assert rig.transports.media == {SOURCE: ports.Medium("eth0")}
    assert rig.paths.open.keys() == {("eth0",)}


def test_what_is_not_to_be_announced_any_more_is_withdrawn_and_stays_bound() -> None:
    rig = given_active()
    silent = router(announce=False).partition("[virtual_router.web.bgp]")[0]
    rig.reconfigure(silent)
    assert rig.take() == ["withdraw 2001:db8:53::1/128"]
    [view] = rig.after(5).node.view().routers
    assert (rig.role(), view.bound, view.level, view.announces, view.routes) == (Role.ACTIVE, True, None, False, ())
    assert not any(rig.memory.routes.values()), "a successor has nothing to withdraw"
    rig.reconfigure()
    assert rig.take() == ["announce 2001:db8:53::1/128 med 50"]


def test_an_address_that_is_gone_stays_preferred_as_long_as_it_stays_bound() -> None:
    rig = given_active(router(addresses=[FIRST, THIRD], preferred_lifetime="forever"))
    rig.speaker.answers = False
    rig.reconfigure(router(preferred_lifetime=0))
    assert rig.addresses.preferred == {ip_address(THIRD)}
    rig.speaker.answer()
    assert rig.after(5).addresses.lo == {ip_address(FIRST)}


def test_an_address_that_is_gone_is_withdrawn_and_stays_bound_until_that_is_confirmed_and_packets_have_passed() -> None:
    rig = given_active(router(addresses=[FIRST, THIRD], linger=2))
    rig.speaker.answers = False
    rig.reconfigure(router(linger=2))
    assert rig.take() == [f"withdraw {THIRD}/128"]
    rig.after(5)
    assert rig.take() == []
    rig.speaker.answer()
    rig.after(1.9)
    assert rig.take() == []
    rig.after(0.2)
    assert rig.take() == [f"unbind {THIRD}"]
    assert rig.role() is Role.ACTIVE


def test_what_a_second_reload_removes_lingers_as_long_as_what_the_first_one_did() -> None:
    rig = given_active(router(addresses=[FIRST, SECOND, THIRD], linger=2))
    rig.reconfigure(router(addresses=[FIRST, SECOND], linger=2))
    rig.after(1.9)
    rig.reconfigure(router(addresses=[FIRST], linger=2))
    rig.take()
    rig.after(1.9)
    assert rig.take() == [], "packets to the second one may be in flight"
    rig.after(0.2)
    assert rig.take() == [f"unbind {SECOND}", f"unbind {THIRD}"]


@pytest.mark.parametrize("settings", [{"bind": "eth0"}, {"handover": "break-before-make"}])
def test_an_address_that_is_gone_does_not_linger_where_another_node_may_have_it(settings: dict[str, Any]) -> None:
    rig = given_active(router(addresses=[FIRST, THIRD], linger=2, **settings))
    rig.reconfigure(router(linger=2, **settings))
    rig.take()
    rig.after(2 * SETTLE)
    assert rig.take() == [f"unbind {THIRD}"]


@pytest.mark.parametrize("first", [0, 1])
def test_an_address_that_changes_hands_between_two_routers_stays_bound(first: int) -> None:
    """In either order of the configuration."""
    rig = given_active(router(addresses=[FIRST, THIRD]), router(2))
    tables = [router(), router(2, addresses=[SECOND, THIRD])]
    rig.reconfigure(tables[first], tables[1 - first])
    rig.after(60)
    assert f"unbind {THIRD}" not in rig.take()
    assert rig.addresses.lo == rig.configuration.addresses
    assert rig.speaker.wanted.keys() == {network for one in rig.configuration.routers for network in one.announce}


@pytest.mark.parametrize("first", [0, 1])
def test_a_prefix_that_changes_hands_is_announced_all_the_time(first: int) -> None:
    prefix = "2001:db8:53::/64"
    rig = given_active(router(), router(2)).reconfigure(router(bgp={"announce": [prefix]}), router(2)).after(60)
    assert rig.take()
    tables = [router(), router(2, bgp={"announce": [prefix], "med": 70})]
    rig.reconfigure(tables[first], tables[1 - first])
    done = rig.after(60).take()
    assert f"announce {prefix} med 70" in done
    assert f"withdraw {prefix}" not in done
    assert rig.speaker.wanted.keys() == {network for one in rig.configuration.routers for network in one.announce}


def test_an_address_is_taken_from_a_router_that_leaves() -> None:
    rig = given_active(router(), router(2))
    rig.reconfigure(router(vrid=8), router(2))
    rig.reconfigure(router(addresses=[THIRD]), router(2, addresses=[SECOND, FIRST]))
    done = rig.after(60).take()
    assert f"unbind {FIRST}" not in done
    assert f"withdraw {FIRST}/128" not in done
    assert rig.addresses.lo == rig.configuration.addresses


@pytest.mark.parametrize(
    ("settings", "linger"),
    [
        ({"linger": 2}, 2),
        ({"linger": 2, "bind": "eth0"}, SETTLE),
        ({"linger": 2, "bgp": {"announce": ["2001:db8:53::/64"]}}, 2),
    ],
)
def test_an_address_that_a_backup_takes_from_an_active_that_leaves_is_unbound(
    settings: dict[str, Any], linger: float
) -> None:
    """When the withdraw is confirmed and packets have passed: another node is Active for it from now on."""
    rig = given_backup(router(**settings), router(2), heard=None)
    for _ in range(5):
        rig.hear(250, "web2").after(INTERVAL)
    assert (rig.role(), rig.role("web2")) == (Role.ACTIVE, Role.BACKUP)
    rig.speaker.answers = False
    rig.reconfigure(router(2, addresses=[SECOND, FIRST])).hear(250, "web2")
    assert (rig.bound(), list(rig.speaker.wanted)) == (True, [])
    rig.speaker.answer()
    rig.after(linger - 0.01)
    assert rig.bound()
    assert rig.after(0.02).addresses.lo == set()


def test_a_prefix_in_place_of_a_host_route() -> None:
    rig = given_active()
    rig.reconfigure(router(bgp={"announce": ["2001:db8:53::/64"]}))
    rig.after(60)
    assert rig.take() == ["announce 2001:db8:53::/64 med 50", f"withdraw {FIRST}/128"]
    rig.reconfigure(router())
    rig.after(60)
    assert rig.take() == [f"announce {FIRST}/128 med 50", "withdraw 2001:db8:53::/64"]
    assert rig.bound()


def test_other_addresses_of_a_backup_send_nothing() -> None:
    rig = given_backup()
    rig.reconfigure(router(addresses=[SECOND]))
    assert rig.take() == [f"withdraw {SECOND}/128"], "whoever may have announced it"
    rig.after(4 * INTERVAL)
    assert f"bind {SECOND}" in rig.take()


def test_a_backup_with_other_prefixes_is_asked_again_whether_it_may_be_announced() -> None:
    """They may be another router's until now, and ExaBGP announces them until it has confirmed the withdraw."""
    rig = given_backup()
    rig.speaker.answers = False
    rig.speaker.offered = {ip_network(f"{SECOND}/128")}
    rig.reconfigure(router(addresses=[SECOND]))
    assert rig.memory.notes[-1][3] == {"web"}
    rig.speaker.answer()
    rig.clock.run()
    assert rig.memory.notes[-1][3] == set()


def test_new_peers_are_accepted_and_removed_peers_are_not() -> None:
    rig = given_backup(router(peers=[str(PEER)]))
    assert rig.transport_peers() == {PEER}
    rig.reconfigure(router(peers=[str(OTHER)]))
    assert rig.transport_peers() == {OTHER}
    assert set(rig.router().ways.links) == {OTHER}
    rig.hear(250, source=OTHER)
    assert not rig.node.reception.rejected
    rig.hear(250)
    assert rig.node.reception.rejected.total() == 1


def test_standby_is_switched_on() -> None:
    rig = given_backup()
    rig.reconfigure(router(standby="announce"))
    assert rig.take()[0] == f"bind {FIRST}"
    assert rig.router().instance.presence.level is Level.STANDBY


def test_more_sessions_may_be_needed_from_now_on() -> None:
    rig = given_active()
    rig.reconfigure(router(min_sessions=2))
    assert rig.faults() == ["sessions"]


@pytest.mark.parametrize("again", [False, True])
def test_who_needs_sessions_from_now_on_does_not_wait_for_them(again: bool) -> None:
    rig = given_active(router(min_sessions=int(again), startup_hold=5))
    if again:
        rig.reconfigure(router(min_sessions=0, startup_hold=5))
    rig.after(5).session(up=False)
    assert rig.faults() == []
    rig.reconfigure(router(min_sessions=1, startup_hold=5))
    assert rig.faults() == ["sessions"]


def test_who_needs_sessions_from_now_on_waits_for_them_in_its_start_up_hold() -> None:
    rig = Rig(router(min_sessions=0, startup_hold=5)).start()
    rig.reconfigure(called("site", min_sessions=1, startup_hold=5))
    assert rig.after(4).faults("site") == []
    assert rig.after(2).faults("site") == ["sessions"]


# Checks


def test_a_check_that_asks_the_same_is_remembered_whatever_it_is_called() -> None:
    rig = given_active(check("a", file="/run/same"), router(checks=["a"]), checks=["a"])
    rig.reconfigure(check("b", file="/run/same", weight=-20), router(checks=["b"]))
    assert rig.checks.names == ["b"]
    assert (rig.role(), rig.priority(), rig.take()) == (Role.ACTIVE, 200, [])


@pytest.mark.parametrize("initial", ["fail", "wait"])
def test_who_takes_part_does_not_leave_to_wait_for_another_check(initial: str) -> None:
    rig = given_active(check("a"), router(checks=["a"]), checks=["a"])
    rig.done.clear()
    rig.reconfigure(check("b", initial=initial), router(checks=["b"]))
    assert (rig.role(), rig.holds(), rig.faults(), sent(rig)) == (Role.ACTIVE, [], [], [])
    rig.check("b", passed=False)
    assert (rig.role(), rig.faults()) == (Role.INITIALIZE, ["check"])


def test_who_is_out_waits_for_another_check() -> None:
    rig = given_active(check("a"), router(checks=["a"]), checks=["a"])
    rig.check("a", passed=False)
    rig.reconfigure(check("b"), router(checks=["b"]))
    assert rig.holds() == ["waiting for b"]


def test_another_weight_counts_at_once() -> None:
    rig = given_active(check("a", weight=-20), router(checks=["a"]), checks=["a"])
    rig.check("a", passed=False)
    rig.done.clear()
    rig.reconfigure(check("a", weight=-50), router(checks=["a"]))
    assert sent(rig) == ["send web 150"]


# Who leaves, and who comes


def test_a_removed_router_hands_over_in_order() -> None:
    rig = given_active(router(), router(2))
    rig.reconfigure(router())
    done = rig.after(LEAVE_LIMIT + 5).take()
    assert "send web2 0" in done
    assert done.index(f"withdraw {SECOND}/128") < done.index(f"unbind {SECOND}")
    assert not any(FIRST in line for line in done)
    assert rig.node.commands.names() == ["web"]
    assert rig.notifier.names == ["web"]
    assert rig.role() is Role.ACTIVE


def test_a_removed_router_does_nothing_more() -> None:
    rig = given_active(router(), router(2))
    rig.paths.sourceless = rig.paths.isolated = True
    rig.paths.links = ()
    rig.handle(ports.PathsChanged())
    rig.reconfigure(router())
    before = len(rig.log.lines)
    rig.after(60)
    assert not [
        fields for _, _, fields in rig.log.lines[before:] if fields.get("router") == "web2" and "reason" in fields
    ]
    assert rig.node.configuration == rig.configuration


SIGNED = table("authentication.nodes", mode="enforce", active_key=1) + f'keys = {{ 1 = {{ hex = "{"5a" * 32}" }} }}\n'


@pytest.mark.parametrize("settings", [{"handover": "break-before-make"}, {"bind": "eth0"}])
@pytest.mark.parametrize("after", [router(2), router(vrid=8) + router(2)], ids=["removed", "changed"])
@pytest.mark.parametrize("answers", [True, False])
def test_a_router_is_removed_after_its_last_signed_priority_0(
    settings: dict[str, Any], after: str, *, answers: bool
) -> None:
    rig = given_active(router(authentication="nodes", **settings), router(2), SIGNED)
    rig.speaker.answers = answers
    rig.reconfigure(after, SIGNED).after(LEAVE_LIMIT + 1)
    assert rig.done.count("send web 0") == len(LINKS) * (1 + len(PRIORITY_ZERO_REPEATS))
    assert not [flow for flow in rig.marks if flow.vrid == 1]


def test_the_stop_of_a_node_repeats_the_priority_0_that_comes_last() -> None:
    rig = given_active(router(handover="break-before-make"))
    rig.handle(ports.End("SIGINT")).after(STOP_LIMIT)
    assert (rig.node.over, sent(rig).count("send web 0")) == (True, 1 + len(PRIORITY_ZERO_REPEATS))


def test_what_was_put_off_for_a_router_is_not_done_once_it_is_removed() -> None:
    rig = given_active(router(authentication="nodes", handover="break-before-make"), router(2), SIGNED)
    rig.reconfigure(router(2), SIGNED)
    while rig.role() is Role.ACTIVE:
        rig.after(0.001)
    rig.clock.now += 2 * PRIORITY_ZERO_REPEATS[-1]
    rig.node.turns.ring()  # it has left, and is to be removed in the next turn
    before, rig.paths.links = rig.done.copy(), ()
    rig.handle(ports.PathsChanged())
    assert rig.node.commands.names() == ["web2"]
    assert rig.done == before
    assert "web" not in {told["router"] for told in rig.log.told("paths-changed") if not told["interfaces"]}


def test_a_removed_router_is_taken_over_from_without_a_gap() -> None:
    rig = given_active(router(), router(2, peers=[str(PEER), "2001:db8:ff::1f"]))
    needed, peers = rig.addresses.lo.copy(), rig.transport_peers()
    rig.reconfigure(router())
    assert rig.speaker.wanted.keys() >= set(rig.networks), "it is served until somebody else does"
    assert rig.addresses.ours == needed, "and all that takes is left to it"
    assert rig.transport_peers() == peers
    assert rig.notifier.names == ["web2", "web"]
    rig.hear(150, "web2")
    rig.after(5)
    assert f"unbind {SECOND}" in rig.take()


def test_a_new_router_waits_for_its_requirements_and_takes_part() -> None:
    rig = given_active()
    rig.reconfigure(router(), check("a"), router(2, checks=["a"]))
    assert rig.role("web2") is Role.INITIALIZE
    assert rig.holds("web2") == ["waiting for a"]
    rig.check("a", passed=True)
    assert rig.role("web2") is Role.BACKUP
    assert f"bind {SECOND}" in rig.after(4 * INTERVAL).take()
    assert rig.node.commands.names() == ["web", "web2"]


def test_the_order_is_that_of_the_configuration() -> None:
    rig = given_active(router(2))
    rig.reconfigure(router(), router(2))
    assert rig.node.commands.names() == ["web", "web2"]


def test_a_router_that_replaces_another_starts_when_that_has_stopped() -> None:
    rig = given_active()
    before = rig.router()
    rig.reconfigure(router(vrid=8))
    assert rig.router() is before
    done = rig.after(LEAVE_LIMIT + 1 + 4 * INTERVAL).take()
    assert rig.router() is not before
    assert done.index(f"withdraw {FIRST}/128") < done.index(f"unbind {FIRST}") < done.index(f"bind {FIRST}")
    assert rig.role() is Role.ACTIVE


def test_a_drain_outlives_a_change_of_place() -> None:
    rig = given_backup()
    rig.node.commands.drain("web")
    rig.reconfigure(router(vrid=8)).after(LEAVE_LIMIT + 1)
    assert (rig.router().configuration.vrid, rig.holds()) == (8, ["drained"])


def test_a_router_that_was_drained_before_it_is_added_stays_out() -> None:
    rig = given_backup()
    for name in ("web2", "web3"):
        rig.node.commands.drain(name)
    rig.node.commands.undrain("web3")
    rig.reconfigure(router(), router(2), router(3)).after(1.0)
    assert (rig.holds("web2"), rig.holds("web3")) == (["drained"], [])


@pytest.mark.parametrize("first", [False, True])
def test_what_is_said_of_a_router_while_it_leaves_holds_for_the_one_that_follows(first: bool) -> None:
    rig = given_active()
    if first:
        rig.node.commands.drain("web")
    rig.reconfigure(router(vrid=8))
    (rig.node.commands.undrain if first else rig.node.commands.drain)("web")
    rig.after(LEAVE_LIMIT + 1)
    assert (rig.router().configuration.vrid, rig.holds()) == (8, [] if first else ["drained"])


def test_who_gets_the_name_of_a_drained_router_that_left_is_not_drained() -> None:
    rig = given_backup(router(), router(2))
    rig.node.commands.drain("web2")
    rig.reconfigure(router())
    rig.reconfigure(router().replace(".web", ".web2")).after(LEAVE_LIMIT + 1)
    assert rig.holds("web2") == [], "it was called web"
    rig.reconfigure(router(3)).after(LEAVE_LIMIT + 1)
    rig.reconfigure(router(3), router(2)).after(1.0)
    assert (rig.holds("web2"), rig.holds("web3")) == ([], [])


def test_a_removed_router_that_does_not_stop_is_cleared() -> None:
    rig = given_active(router(), router(2))
    rig.speaker.answers = False
    rig.reconfigure(router())
    rig.after(LEAVE_LIMIT + 1)
    assert f"unbind {SECOND}" in rig.take()
    assert (rig.node.commands.names(), rig.node.abandoned) == (["web"], False)


def test_a_router_that_comes_back_before_it_has_stopped_starts_anew() -> None:
    rig = given_active(router(), router(2))
    rig.reconfigure(router())
    rig.after(0.1)
    rig.reconfigure(router(), router(2))
    rig.after(LEAVE_LIMIT + 1 + 4 * INTERVAL)
    assert rig.role("web2") is Role.ACTIVE
    assert rig.notifier.names == ["web", "web2"]


def test_nobody_comes_once_the_node_ends() -> None:
    rig = given_active()
    rig.reconfigure(router(vrid=8))
    rig.handle(ports.End("SIGINT"))
    with pytest.raises(ValueError, match="this node ends: SIGINT"):
        rig.reconfigure(router())
    rig.after(5)
    assert rig.node.over
    assert rig.addresses.lo == set()
    assert not rig.speaker.wanted


def test_a_stop_shortens_the_time_of_those_that_leave_already() -> None:
    rig = given_active(router(), router(2))
    rig.speaker.answers = False
    rig.reconfigure(router()).after(1)
    rig.handle(ports.End("SIGINT")).after(STOP_LIMIT)
    assert (rig.node.over, rig.node.abandoned, rig.addresses.lo) == (True, True, set())


def test_a_stop_takes_nothing_from_the_ports() -> None:
    """It keeps every router, too: the counters are logged at the very end."""
    rig = given_active(router(), router(2))
    rig.reconfigure(router())
    rig.handle(ports.End("SIGINT"))
    needed = rig.transport_peers(), rig.addresses.ours, rig.speaker.ours, rig.notifier.names
    rig.after(STOP_LIMIT)
    assert rig.node.over
    assert needed == (rig.transport_peers(), rig.addresses.ours, rig.speaker.ours, rig.notifier.names)
    assert rig.node.commands.names() == ["web", "web2"]


def test_a_stopped_router_does_not_delay_the_end_of_the_node() -> None:
    rig = given_backup()
    rig.configured(router(vrid=8))
    rig.node.reconfigure(rig.configuration)  # it has left, and is to be dismissed in the next turn
    rig.node.handle(ports.End("SIGINT"))
    rig.after(2 * PRIORITY_ZERO_REPEATS[-1])
    assert (rig.node.over, rig.node.abandoned) == (True, False)
    assert rig.router().configuration.vrid == 1
    changes = rig.changes
    rig.handle(ports.PathsChanged())
    assert rig.changes == changes, "it is over once"


def test_what_was_given_up_is_unbound_with_the_rest_when_the_node_ends() -> None:
    rig = given_active(router(addresses=[FIRST, THIRD]))
    rig.speaker.answers = False
    rig.reconfigure(router())
    rig.handle(ports.End("SIGINT"))
    assert rig.after(5).node.over
    assert rig.addresses.lo == set()


# What cannot be


def test_what_a_port_refuses_changes_nothing() -> None:
    rig = given_active(router(), router(2))
    rig.speaker.impossible = ValueError("other neighbors than before")
    with pytest.raises(ValueError, match="other neighbors"):
        rig.reconfigure(router(bgp={"med": 70}, peers=["2001:db8:ff::1f"]))
    assert rig.transport_peers() == {PEER, OTHER}
    rig.after(60)
    assert rig.take() == []
    assert rig.node.commands.names() == ["web", "web2"]
    assert rig.router().configuration.route_policy.active.med == 50


@pytest.mark.parametrize("refused", [True, False])
def test_routes_are_followed_after_a_reload_whether_it_was_refused_or_not(*, refused: bool) -> None:
    rig = given_backup()
    if refused:
        rig.speaker.impossible = ValueError("other neighbors than before")
        with pytest.raises(ValueError, match="other neighbors"):
            rig.reconfigure(router(bgp={"med": 70}, interfaces=["eth2"]))
    else:
        rig.reconfigure(router(bgp={"med": 70}, interfaces=["eth2"]))
    assert rig.paths.open.keys() == {None if refused else ("eth2",)}
    rig.paths.links = LINKS[:1]
    rig.handle(ports.PathsChanged())
    assert [told["interfaces"] for told in rig.log.told("paths-changed")][-2:] == [["eth0"], ["eth0"]]


def test_a_source_that_is_not_there_changes_nothing() -> None:
    rig = given_active()
    rig.transports.error = OSError(EADDRNOTAVAIL, "no such address")
    with pytest.raises(OSError, match="no such address"):
        rig.reconfigure(router(2))
    rig.transports.error = None
    assert rig.node.commands.names() == ["web"]
    assert rig.take() == []
    assert rig.transports.peers.keys() == {SOURCE}


def test_a_failed_unbind_is_logged() -> None:
    rig = given_backup(router(), router(2))
    rig.configured(router())
    rig.node.reconfigure(rig.configuration)
    rig.transports.error = OSError(EADDRNOTAVAIL, "the filter cannot be changed")
    rig.after(1)
    assert [told["detail"] for told in rig.log.told("reconfigure-incomplete")] == [
        "[Errno 99] the filter cannot be changed"
    ]
    assert rig.node.commands.names() == ["web"]


def test_settle_is_the_least() -> None:
    rig = given_active(router(addresses=[FIRST, THIRD], linger=0))
    rig.reconfigure(router(linger=0))
    assert rig.after(SETTLE - 0.01).take() == [f"withdraw {THIRD}/128"]
    assert rig.after(0.02).take() == [f"unbind {THIRD}"]


# Whatever is changed, whenever

CONFIGURATIONS: tuple[tuple[str, ...], ...] = (
    (router(), router(2)),
    (router(),),
    (router(2, priority=100), router(standby="announce")),
    (router(addresses=[FIRST, THIRD]), router(2, addresses=[SECOND])),
    (router(addresses=[THIRD]), router(2, addresses=[SECOND, FIRST])),
    (router(vrid=8), router(2)),
    (router(2, bgp={"med": 70, "announce": ["2001:db8:53::/64"]}),),
    (router(group="both"), router(2, group="both")),
    (router(handover="break-before-make"), router(2, advert_interval=0.5, preempt=False)),
    (check("a"), router(checks=["a"]), router(2, peers=[str(OTHER)])),
    (router(2, addresses=[SECOND, FIRST]),),
    (router(2, addresses=[SECOND, FIRST], bind=False),),
    (router(bgp={"announce": ["2001:db8:53::/64"]}), router(2)),
)


def announced_without_its_addresses(rig: Rig) -> list[str]:
    """Prefixes that ExaBGP announces, or may announce, without any of their addresses on lo.

    What another program is to bind is there.
    """
    routers = [one.configuration for one in rig.node.routers.values()]
    there = rig.addresses.lo.union(*(set(one.addresses).difference(one.on_lo) for one in routers))
    return [
        str(network)
        for network in rig.speaker.wanted
        if network not in rig.speaker.open and not any(address in network for address in there)
    ]


@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(CONFIGURATIONS),
            st.sampled_from([0.0, 0.01, 0.3, 1.0, 4.0, LEAVE_LIMIT]),
            st.sampled_from([None, 0, 1, 120, 250]),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_in_the_end_everything_is_as_configured_last(
    history: list[tuple[tuple[str, ...], float, int | None, bool]],
) -> None:
    """Adverts of some priority come in now and then, and the configuration of ``a`` changes."""
    rig = given_active(*CONFIGURATIONS[0])
    for tables, pause, priority, passed in history:
        rig.reconfigure(*tables)
        for name, one in rig.node.routers.items():
            if priority is not None and PEER in one.configuration.peers:
                rig.hear(priority, name)
        if "a" in rig.checks.names:
            rig.check("a", passed=passed)
        rig.after(pause)
        assert not announced_without_its_addresses(rig)
    if "a" in rig.checks.names:
        rig.check("a", passed=True)
    rig.after(3 * LEAVE_LIMIT)
    routers = rig.configuration.routers
    assert [(name, rig.role(name)) for name in rig.node.routers] == [(one.name, Role.ACTIVE) for one in routers]
    assert rig.addresses.lo == rig.memory.bindable == {address for one in routers for address in one.on_lo}
    assert rig.speaker.wanted.keys() == {network for one in routers for network in one.announce}
    assert all(noted(rig, one.name) == announced(rig, one.name) for one in routers)
    assert {route.network for route in rig.speaker.ours} == {network for one in routers for network in one.owned}
    assert rig.transports.peers == sources(routers)
    assert rig.notifier.names == [one.name for one in routers]


def test_a_prefix_is_withdrawn_though_a_router_that_has_not_begun_is_to_take_it() -> None:
    """It waits for its predecessor, which leaves; nobody announces the prefix until then."""
    rig = given_active(*CONFIGURATIONS[0])
    for number, pause in ((3, 0.0), (0, 1.0), (1, 0.0), (4, 1.0)):
        rig.reconfigure(*CONFIGURATIONS[number])
        rig.after(pause)
        assert not announced_without_its_addresses(rig)
    rig.after(3 * LEAVE_LIMIT)
    assert rig.addresses.lo == {ip_address(FIRST), ip_address(SECOND), ip_address(THIRD)}
    assert rig.speaker.wanted.keys() == {network for one in rig.configuration.routers for network in one.announce}


def test_a_prefix_is_withdrawn_that_a_backup_takes() -> None:
    """Only an Active would announce it; another node does."""
    rig = given_active(*CONFIGURATIONS[3])
    rig.hear(250, "web2")
    assert rig.role("web2") is Role.BACKUP
    rig.reconfigure(*CONFIGURATIONS[4])
    for _ in range(20):
        assert not announced_without_its_addresses(rig.hear(250, "web2").after(INTERVAL))
    assert rig.speaker.wanted.keys() == {ip_network(f"{THIRD}/128")}
    assert rig.addresses.lo == {ip_address(THIRD)}


def test_nobody_comes_when_the_node_has_come_to_its_end_meanwhile() -> None:
    rig = given_active()

    def end_and_reconfigure() -> None:
        rig.node.handle(ports.End("test"))
        rig.reconfigure(router(), router(2))

    rig.node.turns.put(end_and_reconfigure)
    rig.after(LEAVE_LIMIT)
    assert list(rig.node.routers) == ["web"]
    assert rig.addresses.lo == set()


def test_a_stop_is_over_when_the_last_router_has_left() -> None:
    rig = given_active(router(linger=0.1), router(2))
    rig.hear(250, "web").after(2.5)
    rig.handle(ports.End("test")).after(4 * PRIORITY_ZERO_REPEATS[-1])
    assert rig.router("web").instance.finished
    assert not rig.node.over, "the other one hands over still"
    assert rig.after(STOP_LIMIT).node.over
    assert not rig.addresses.lo
    before = rig.changes
    rig.hear(100, "web2")
    assert rig.changes == before + 1, "it comes to its end once"
