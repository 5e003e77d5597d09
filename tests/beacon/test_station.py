"""The beacons of whole nodes: what is sent, what is taken, and that no election notices."""

from dataclasses import replace
from typing import Any

import pytest

from exavrrp import ports
from exavrrp.beacon.codec import MOST, Flaw, decode, digest, encode
from exavrrp.beacon.station import Station
from exavrrp.beacon.table import HOLD, Way
from exavrrp.ports import ANY, Link
from exavrrp.vrrp.auth import HMAC, STRAGGLER
from exavrrp.vrrp.router import Role
from tests.beacon.nodes import (
    ACTIVE,
    OFF,
    ON,
    STANDBY,
    WINDOW,
    active,
    deliver,
    hear,
    heard,
    keys,
    signed,
    standby,
    standing,
)
from tests.ports import (
    EPOCH,
    INTERVAL,
    LINKS,
    OTHER,
    PEER,
    SOURCE,
    VIP,
    Rig,
    check,
    given_active,
    given_backup,
    recorder,
    router,
)

# Out


def test_a_beacon_goes_to_each_peer_over_each_path() -> None:
    rig = given_active(signed(), keys())
    assert rig.beacons.peers == {SOURCE: {PEER, OTHER}}
    assert rig.beacons.port == 20112
    sent = rig.beat()
    assert [(peer, link) for peer, _, link in sent] == [(peer, link) for peer in (PEER, OTHER) for link in LINKS]
    assert [decode(datagram).open().path for _, datagram, _ in sent] == [1, 2, 1, 2]
    assert len({datagram for _, datagram, _ in sent}) == 4


def test_without_a_known_path_the_kernel_chooses() -> None:
    rig = active()
    rig.paths.links = ()
    rig.handle(ports.PathsChanged())
    assert [(link, decode(datagram).open().path) for _, datagram, link in rig.beat()] == [(Link(0, ANY), 0)]


def test_it_tells_how_the_router_is() -> None:
    rig = given_backup(
        signed(checks=["disk"], advert_interval=0.5),
        check("disk", weight=-50),
        keys("permissive"),
        checks=["disk"],
        heard=None,
    )
    rig.hear(250, centiseconds=50)
    rig.check("disk", passed=False)
    report = decode(rig.beat()[0][1]).open().reports[0]
    assert (report.vrid, report.role, report.priority, report.configured) == (1, Role.BACKUP, 150, 200)
    assert (report.heard, report.expected, report.centiseconds) == (2, 2, 50)
    assert (report.digest, report.faults, report.holds) == (digest([VIP]), (), ())
    rig.after(0.4).hear(250, centiseconds=50)
    for _ in range(5):
        rig.after(0.4).hear(250, centiseconds=50)
    report = decode(rig.beat()[0][1]).open().reports[0]
    assert (report.heard, report.expected) == (1, 2)
    rig.node.commands.drain("web")
    rig.clock.run()
    report = decode(rig.beat()[0][1]).open().reports[0]
    assert (report.role, report.holds, report.heard, report.expected) == (Role.INITIALIZE, ("drain",), 0, 0)


def test_a_backup_that_hears_nobody_has_no_paths_to_count() -> None:
    report = decode(standby().beat()[0][1]).open().reports[0]
    assert (report.role, report.heard, report.expected) == (Role.BACKUP, 0, 0)


def test_many_routers_share_datagrams() -> None:
    rig = Rig(ACTIVE, *(signed(number) for number in range(1, 2 + MOST)), router(200), keys()).start()
    told = [
        [one.vrid for one in decode(datagram).open().reports] for _, datagram, link in rig.beat() if link.index == 1
    ]
    assert told == [list(range(1, 1 + MOST)), [1 + MOST]]


def test_without_authentication_there_are_none_unless_they_are_wanted() -> None:
    assert Rig(ACTIVE, router()).start().beat() == []
    assert Rig(ACTIVE + OFF, signed(), keys()).start().beat() == []
    [(_, datagram, _), _] = Rig(ACTIVE + ON, router()).start().beat()
    assert decode(datagram).trailer == b""
    lan: dict[str, Any] = {"transport": "multicast", "interface": "eth0", "source": "fe80::1"}
    assert Rig(ACTIVE + ON, router(**lan)).start().beat() == []


def test_a_mode_that_does_not_sign_adverts_signs_no_beacons() -> None:
    assert {decode(datagram).trailer for _, datagram, _ in active(signed(), keys("receive-only")).beat()} == {b""}


# In


@pytest.mark.parametrize("mode", ["receive-only", "permissive", "enforce"])
def test_an_active_knows_its_standby(mode: str) -> None:
    ours, theirs = active(signed(), keys(mode)), standby(signed(priority=100), keys(mode))
    assert standing(ours) is None
    deliver(theirs, ours)
    assert (heard(ours).ready, heard(ours).report.priority, heard(ours).age) == (True, 100, 0.0)
    assert ours.node.beacons.obstacles(ours.router()) == ""
    ours.after(HOLD + 1)
    assert ours.node.beacons.obstacles(ours.router()) == f"{PEER} silent for 4 s"


def test_each_path_is_known_in_both_directions() -> None:
    ours, theirs = active(), standby()
    for _ in range(6):
        deliver(ours, theirs, LINKS[:1])
        deliver(theirs, ours, LINKS[1:])
        ours.after(1)
    way = ours.node.beacons.way
    assert way(ours.router(), PEER, 1) == Way(None, echoed=True)
    assert way(ours.router(), PEER, 2) == Way(1.0, echoed=False)


def test_one_that_is_ready_is_enough_and_one_that_is_unknown_may_be() -> None:
    ours, theirs = given_active(signed(), keys()), standby()
    assert ours.node.beacons.is_replaceable(ours.router()) is None
    deliver(theirs, ours)
    assert ours.node.beacons.is_replaceable(ours.router()) is True
    theirs.node.commands.drain("web")
    theirs.clock.run()
    theirs.after(1)
    deliver(theirs, ours)
    assert heard(ours).obstacle == "drained"
    assert ours.node.beacons.is_replaceable(ours.router()) is None
    assert ours.node.beacons.obstacles(ours.router()) == ""
    alone = active()
    deliver(theirs, alone)
    assert alone.node.beacons.is_replaceable(alone.router()) is False
    assert alone.node.beacons.obstacles(alone.router()) == f"{PEER} drained"


def test_a_copy_over_the_slower_path_is_taken_and_a_replay_is_not() -> None:
    ours, theirs = active(), standby()
    ours.clock.now = theirs.clock.now
    (_, first, _), (_, second, _) = theirs.beat()
    hear(ours, second, interface=2)
    hear(ours, first, interface=1)
    assert not ours.node.beacons.rejected
    hear(ours, first)
    ours.after(2 * STRAGGLER)
    hear(ours, first)
    hear(ours, second)
    assert ours.node.beacons.rejected == {"auth-replay": 3}
    assert heard(ours).age == pytest.approx(2 * STRAGGLER)
    ours.after(WINDOW + 2)
    hear(ours, first)
    assert ours.node.beacons.rejected == {"auth-replay": 3, "auth-window": 1}


def test_what_is_forged_is_refused() -> None:
    ours, theirs = active(), standby(signed(priority=100), keys(digits="77"))
    deliver(theirs, ours)
    assert ours.node.beacons.rejected == {"auth-mac": 2}
    [(_, datagram, _), _] = standby().beat()
    hear(ours, decode(datagram).message)
    hear(ours, datagram[:10] + b"\1" + datagram[11:])
    hear(ours, b"")
    for at in range(12, len(datagram)):
        hear(ours, datagram[:at] + bytes([datagram[at] ^ 1]) + datagram[at + 1 :])
    assert standing(ours) is None
    assert ours.node.beacons.rejected["auth-missing"] == 1
    assert (ours.node.beacons.rejected["field"], ours.node.beacons.rejected["length"]) == (1, 1)
    hear(ours, datagram)
    assert heard(ours).ready


def test_an_advert_is_no_beacon_and_a_beacon_no_advert() -> None:
    ours, theirs = active(), standby()
    hear(ours, ours.transport.last)
    assert ours.node.beacons.rejected == {"magic": 1}
    [(_, datagram, _), _] = theirs.beat()
    before = ours.node.view().rejected
    arrival = ours.arrival(250)
    ours.handle(ports.Arrived(SOURCE, (replace(arrival, datagram=replace(arrival.datagram, payload=datagram)),)))
    assert ours.node.view().rejected != before
    assert ours.role() is Role.ACTIVE


def test_who_is_not_named_is_not_heard() -> None:
    ours, theirs = active(), standby()
    [(_, datagram, _), _] = theirs.beat()
    hear(ours, datagram, sender=OTHER)
    assert ours.node.beacons.rejected == {Flaw.NOT_OURS: 1}
    sealed = decode(datagram)
    hear(ours, encode(replace(sealed.open(), family=4)))
    report = sealed.open().reports[0]
    hear(ours, encode(replace(sealed.open(), reports=(replace(report, vrid=9),))))
    assert ours.node.beacons.rejected == {Flaw.NOT_OURS: 3}


def test_a_signature_that_nobody_can_verify_is_not_heard() -> None:
    ours = given_active(ACTIVE + ON, router())
    deliver(standby(), ours)
    assert (standing(ours), ours.node.beacons.rejected) == (None, {Flaw.NOT_OURS: 2})


def test_a_trailer_is_good_only_for_routers_with_its_key() -> None:
    """A node that knows the key of one router cannot tell of another one."""
    others = keys(digits="11", name="others")
    mixed = (signed(), router(2, authentication="others"), router(3), keys(), others)
    ours = active(*mixed)
    theirs = standby(signed(), signed(2), signed(3), keys())
    deliver(theirs, ours)
    assert heard(ours).ready
    assert standing(ours, name="web2") is standing(ours, name="web3") is None


def test_an_unsigned_one_is_good_only_for_routers_that_need_no_signature() -> None:
    plain = Rig(STANDBY + ON, router(3, priority=100), router(2, priority=100), router(1, priority=100)).start()
    ours = given_active(ACTIVE + ON, signed(), router(2), router(3), keys())
    ours.clock.now = plain.clock.now
    for _, datagram, link in plain.beat():
        hear(ours, datagram, interface=link.index)
    assert standing(ours) is None
    assert standing(ours, name="web2") is not None
    assert standing(ours, name="web3") is not None


# Who asks


def test_a_drain_is_refused_where_nobody_could_take_over() -> None:
    ours, theirs = active(signed(), signed(2), router(3), keys()), standby(signed(priority=100), keys())
    unready = ours.node.commands.unready
    assert unready(["web", "web2", "web3"]) == {}
    theirs.node.commands.drain("web")
    theirs.clock.run()
    deliver(theirs, ours)
    assert unready(["web", "web2", "web3"]) == {"web": f"{PEER} drained"}
    assert unready(["web2"]) == {}
    deliver(ours, theirs)
    assert theirs.node.commands.unready(["web"]) == {}
    ours.node.commands.drain("web")
    ours.clock.run()
    assert unready(["web"]) == {}


def test_a_drain_is_tried_where_a_peer_is_about_to_take_part() -> None:
    ours, theirs = active(), Rig(STANDBY, signed(priority=100), keys()).start()
    deliver(theirs, ours)
    assert heard(ours).obstacle == "waiting for its checks, sessions or startup_delay"
    assert ours.node.beacons.is_replaceable(ours.router()) is False
    assert ours.node.commands.unready(["web"]) == {}


# Reload


def test_a_reload_changes_keys_peers_and_whether_there_are_any() -> None:
    ours, theirs = active(), standby()
    deliver(theirs, ours)
    ours.reconfigure(ACTIVE, signed(), keys(active=7))
    assert heard(ours).ready
    deliver(ours, theirs)
    assert heard(theirs, SOURCE).ready
    ours.reconfigure(ACTIVE + OFF, signed(), keys())
    assert (ours.beat(), ours.beacons.peers, standing(ours)) == ([], {}, None)
    ours.reconfigure(ACTIVE + "beacon_port = 4000\n", signed(), keys())
    assert (len(ours.beat()), ours.beacons.port) == (2, 4000)
    ours.reconfigure(given_active(signed(), keys()).tables[0], keys())
    assert ours.beacons.peers == {SOURCE: {PEER, OTHER}}


def test_a_reload_forgets_no_replay_counter_of_who_stays() -> None:
    ours, theirs = active(), standby()
    ours.clock.now = theirs.clock.now
    [(_, datagram, _), _] = theirs.beat()
    hear(ours, datagram)
    ours.reconfigure(ACTIVE, signed(preempt=False), keys())
    hear(ours, datagram)
    assert ours.node.beacons.rejected == {"auth-replay": 1}


def test_a_router_that_waits_for_another_one_to_leave_is_not_told_of() -> None:
    ours = active()
    ours.node.commands.drain("web")
    ours.reconfigure(ACTIVE, signed(vrid=9), keys())
    assert ours.beat() == []
    ours.after(30)
    assert decode(ours.beat()[0][1]).vrid == 9


@pytest.mark.parametrize("mode", ["enforce", "permissive"])
def test_the_routers_beside_one_that_waits_are_told_of(mode: str) -> None:
    ours = active(signed(), signed(2), keys(mode))
    theirs = standby(signed(priority=100), signed(2, priority=100), keys(mode))
    _, other = theirs.node.commands.names()
    ours.node.commands.drain("web")
    ours.reconfigure(ACTIVE, signed(vrid=9), signed(2), keys(mode))
    assert [one.vrid for one in decode(ours.beat()[0][1]).open().reports] == [2]
    deliver(ours, theirs)
    assert theirs.node.beacons.rejected == {}
    assert (heard(theirs, SOURCE, other).ready, standing(theirs, SOURCE)) == (True, None)


def test_without_a_port_nothing_is_sent() -> None:
    rig = active()
    station = Station(None, rig.node.routers, HMAC, time=rig.clock.time, realtime=lambda: EPOCH)
    station.take(rig.configuration)
    for tell in station.due():
        tell()
    assert rig.beacons.sent == []


# The election


def test_no_beacon_changes_an_election_or_stands_in_a_recording() -> None:
    """True, forged and replayed ones: effects, log and recording are the same as without."""

    def run(*, beacons: bool) -> tuple[list[str], list[object], list[bytes], list[float]]:
        lines: list[bytes] = []
        rig = given_backup(ACTIVE, signed(), keys("permissive"), make=recorder(lines))
        theirs = standby(signed(priority=100), keys("permissive"))
        for second in range(20):
            rig.after(INTERVAL)
            if second < 10:
                rig.hear(250)
            for _, datagram, link in theirs.after(INTERVAL).beat() if beacons else ():
                for forged in (datagram, datagram, datagram[:-1] + b"\0", b"", bytes(2000)):
                    rig.node.beacons.heard(SOURCE, PEER, link.index, forged, EPOCH + theirs.clock.now)
            if beacons:
                rig.beat()
        assert rig.role() is Role.ACTIVE
        assert (standing(rig) is not None) is beacons
        return rig.done, list(rig.log.lines), lines, rig.clock.armed

    assert run(beacons=True) == run(beacons=False)
