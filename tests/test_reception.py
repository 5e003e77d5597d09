"""Received packets: which are accepted, and how the others are counted and logged."""

from ipaddress import ip_address
from typing import Any

import pytest

from exavrrp import ports, reception
from exavrrp.ports import Medium
from exavrrp.reception import CLOCK_SET, SIGNED, UNSIGNED, media, sources
from exavrrp.vrrp import packet, version2
from exavrrp.vrrp.auth import Key, Mode, Policy, Signer
from exavrrp.vrrp.packet import Address, Advertisement, Datagram, Expectation, Reason
from exavrrp.vrrp.version2 import Version2
from tests.ports import EPOCH, INTERVAL, OTHER, PEER, SOURCE, Rig, configuration, given_backup, router, table

KEYS = f'keys = {{ 1 = {{ hex = "{"5a" * 32}" }}, 7 = {{ hex = "{"c3" * 48}" }} }}\n'
KEY = Key(1, b"\x5a" * 32)
WINDOW = 4
"""Seconds that clocks may differ, where adverts are signed."""


def expecting(own: Address, peer: Address) -> Expectation:
    return Expectation(frozenset({own}), {1: frozenset({peer})}, frozenset({peer}))


def guarded(mode: str = "enforce") -> tuple[str, ...]:
    """Tables of ``web``, whose adverts are signed, and of ``web2``, whose adverts are not."""
    keys = table("authentication.nodes", mode=mode, window=WINDOW, active_key=1) + KEYS
    return router(1, authentication="nodes"), router(2), keys


class Peer:
    """A node that signs, and whose clock is ``ahead`` of ours by so many seconds."""

    def __init__(self, rig: Rig, ahead: float = 0.0, key: Key = KEY) -> None:
        self.ahead = ahead
        self._rig = rig
        self._signer = Signer(Policy(Mode.ENFORCE, WINDOW, (key,), key.id), PEER, 1, {})

    def speaks(self, came: float | None = None) -> None:
        """``came``: seconds since 1970 when the kernel got it, if it says so."""
        now = EPOCH + self._rig.clock.now + self.ahead
        self._rig.hear(250, trailer=lambda message: self._signer.trailer(message, now), realtime=came)


def counted(rig: Rig) -> dict[Reason, int]:
    return dict(rig.node.reception.rejected)


def test_each_source_accepts_the_peers_of_its_routers() -> None:
    tables = router(1), router(2, peers=["2001:db8:ff::14"])
    assert sources(configuration(*tables).routers) == {SOURCE: {PEER, OTHER, ip_address("2001:db8:ff::14")}}


def test_the_medium_of_a_source_is_that_of_its_first_router() -> None:
    """Who leaves comes first, and says its last word where it was heard."""
    lan: dict[str, Any] = {"transport": "multicast", "interface": "eth0", "source": "fe80::1"}
    alone, other = router(1, **lan, peers=["fe80::2"]), router(2, **lan)
    source = ip_address("fe80::1%eth0")
    group = ip_address("ff02::12")
    assert media(configuration(alone).routers) == {source: Medium("eth0", group)}
    assert media(configuration(alone, other).routers) == {source: Medium("eth0", group, anybody=True)}
    assert media(configuration(router()).routers) == {}
    unicast = router(1, transport="unicast", interface="eth0", source="2001:db8:ff::11", peers=["2001:db8:ff::12"])
    routed, moved = configuration(router()).routers, configuration(unicast).routers
    assert media([*routed, *moved]) == {}
    assert media([*moved, *routed]) == {SOURCE: Medium("eth0")}


def test_a_multicast_router_hears_anybody_on_its_link() -> None:
    rig = Rig(router(transport="multicast", interface="eth0", source="fe80::1", min_sessions=0)).start()
    [source] = rig.transports.media
    group = ip_address("ff02::12")
    for number, sender in enumerate((PEER, OTHER)):
        advertisement = rig.router().instance.router.advertisement(250 + number)
        payload = packet.encode(advertisement, sender, group)
        for destination, hop_limit in ((group, 255), (group, 254), (SOURCE, 255)):
            datagram = Datagram(sender, destination, hop_limit, payload)
            rig.handle(ports.Arrived(source, (ports.Arrival(datagram, 1, rig.clock.now),)))
    assert rig.router().adverts.counts["received"] == 2
    assert counted(rig) == {Reason.HOP_LIMIT: 2, Reason.MULTICAST: 2}
    [view] = rig.node.view().routers
    assert [(one.address, one.active, one.paths[0].leads) for one in view.peers] == [
        (str(PEER), True, True),
        (str(OTHER), True, True),
    ]
    rig.after(4 * INTERVAL)
    assert {peer for peer, _ in rig.transport.copies} == {group}
    assert (view.source, rig.node.view().routers[0].active) == ("fe80::1%eth0", "fe80::1%eth0")
    notes = {line["key"] for line in rig.log.told("addresses-differ")}
    assert notes == set()


def test_what_a_stranger_lists_is_logged_whoever_it_is() -> None:
    """Each key of the log takes memory, and senders can be forged."""
    rig = Rig(router(transport="multicast", interface="eth0", source="fe80::1", min_sessions=0)).start()
    [source] = rig.transports.media
    group = ip_address("ff02::12")
    for number in range(3):
        stranger = PEER + number
        payload = packet.encode(Advertisement(1, 250, 100, (OTHER,)), stranger, group)
        arrival = ports.Arrival(Datagram(stranger, group, 255, payload), 1, rig.clock.now)
        rig.handle(ports.Arrived(source, (arrival,)))
    assert len({line["key"] for line in rig.log.told("addresses-differ")}) == 1


@pytest.mark.parametrize("peers", [[], ["192.0.2.12"]])
def test_of_those_without_the_password_of_a_link_only_configured_peers_are_told_apart(peers: list[str]) -> None:
    """Each key of the log and each name in the status takes memory, and senders can be forged."""
    source, group = ip_address("192.0.2.11"), ip_address("224.0.0.18")
    lan: dict[str, Any] = {"transport": "multicast", "interface": "eth0", "source": str(source), "peers": peers}
    old = router(1, **lan, addresses=["192.0.2.100"], version=2, plain_password="s3cret", min_sessions=0)
    rig = Rig(old).start()
    payload = version2.encode(Advertisement(1, 250, 100, (ip_address("192.0.2.100"),)), Version2(1, b"wrong"))
    for number in range(3):
        datagram = Datagram(source + 1 + number, group, 255, payload)
        rig.handle(ports.Arrived(source, (ports.Arrival(datagram, 1, rig.clock.now),)))
    keys = {line["key"] for line in rig.log.told("packet-rejected")}
    if peers:
        assert counted(rig) == {Reason.AUTH_MAC: 1, Reason.UNKNOWN_SOURCE: 2}
        assert keys == {(Reason.AUTH_MAC, source + 1), Reason.UNKNOWN_SOURCE}
        assert rig.node.view().refused == {peers[0]: {"auth-mac": 1}}
    else:
        assert counted(rig) == {Reason.AUTH_MAC: 3}
        assert keys == {Reason.AUTH_MAC}
        assert rig.node.view().refused == {}


def test_each_router_hears_the_version_that_it_speaks() -> None:
    """One source, two routers: the version is that of the number in the second byte."""
    own, peer, vip = (ip_address(f"192.0.2.1{end}") for end in (1, 2, 3))
    usual: dict[str, Any] = {"source": str(own), "peers": [str(peer)], "min_sessions": 0}
    old = router(1, **usual, addresses=[str(vip)], version=2, plain_password="s3cret")
    rig = Rig(old, router(2, **usual, addresses=["192.0.2.14"])).start()
    terms = Version2(1, b"s3cret")

    def hear(payload: bytes) -> dict[Reason, int]:
        rig.handle(ports.Arrived(own, (ports.Arrival(Datagram(peer, own, 255, payload), 1, rig.clock.now),)))
        return counted(rig)

    adverts = [Advertisement(vrid, 250, 100, (vip,)) for vrid in (1, 2)]
    assert hear(version2.encode(adverts[0], terms)) == {}
    assert hear(packet.encode(adverts[1], peer, own)) == {}
    assert [rig.router(name).adverts.counts["received"] for name in ("web", "web2")] == [1, 1]
    assert hear(version2.encode(adverts[1], terms)) == {Reason.VERSION: 1}
    assert hear(packet.encode(adverts[0], peer, own)) == {Reason.VERSION: 2}
    assert hear(b"") == {Reason.VERSION: 3}
    assert hear(version2.encode(adverts[0], Version2(2, b"s3cret"))) == {Reason.VERSION: 3, Reason.INTERVAL: 1}
    rig.router().adverts.send(200)
    sent = version2.decode(Datagram(peer, own, 255, rig.transport.last), expecting(own, peer), terms)
    assert (sent.priority, sent.addresses) == (200, (vip,))


def test_an_advert_is_for_the_router_of_its_number_if_that_one_has_the_peer() -> None:
    rig = Rig(router(1), router(2, peers=[str(OTHER)])).start()
    rig.hear(250, "web").hear(250, "web2")
    assert [rig.router(name).adverts.counts["received"] for name in ("web", "web2")] == [1, 0]
    assert counted(rig) == {Reason.UNKNOWN_VRID: 1}
    assert rig.log.told("packet-rejected")[0]["source"] == PEER


def test_an_advert_equal_to_the_last_one_is_handled_like_it() -> None:
    rig = Rig().start()
    for _ in range(3):
        rig.hear(250)
    assert rig.router().adverts.counts["received"] == 3
    rig.hear(250, source=ip_address("2001:db8::66"))
    rig.hear(250, source=OTHER)
    assert (rig.router().adverts.counts["received"], counted(rig)) == (4, {Reason.UNKNOWN_SOURCE: 1})


def test_a_packet_that_differs_in_its_hop_limit_alone_is_decoded_again() -> None:
    agent = table("agent", sources=[str(SOURCE)], peers=[str(PEER)], advert_interval=INTERVAL, max_hops=1)
    rig = Rig(agent, router()).start().hear(250)
    near = rig.arrival(250)
    far = type(near.datagram)(PEER, SOURCE, 253, near.datagram.payload)
    rig.handle(ports.Arrived(SOURCE, (ports.Arrival(far, 1, rig.clock.now),)))
    assert (rig.router().adverts.counts["received"], counted(rig)) == (1, {Reason.HOP_LIMIT: 1})


def test_the_cache_of_adverts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "MOST_KNOWN", 2)
    read: list[int] = []

    def decode(datagram: Datagram, *more: Any) -> Advertisement:
        read.append(datagram.payload[2])
        return packet.decode(datagram, *more)

    monkeypatch.setattr(reception, "decode", decode)
    rig = Rig().start()
    for priority in (101, 102, 102, 103, 101):
        rig.hear(priority)
    assert (rig.router().adverts.counts["received"], read) == (5, [101, 102, 103, 101])


def test_a_rejection_is_logged_once_a_reason_and_for_authentication_once_a_peer() -> None:
    rig = Rig(router(peers=[str(PEER), str(OTHER)])).start()
    for reason in (Reason.LENGTH, Reason.AUTH_MISSING):
        for peer in (PEER, OTHER):
            rig.handle(ports.Discarded(reason, peer))
    keys = [line["key"] for line in rig.log.told("packet-rejected")]
    assert keys == [Reason.LENGTH, Reason.LENGTH, (Reason.AUTH_MISSING, PEER), (Reason.AUTH_MISSING, OTHER)]


def test_the_authentication_mode_is_logged_at_the_start() -> None:
    rig = Rig(*guarded("receive-only"))
    rig.node.reception.begin()
    assert rig.log.told("authentication-enabled") == [
        {
            "router": "web",
            "mode": Mode.RECEIVE_ONLY,
            "window": WINDOW,
            "signs_with": "nothing",
            "accepts": [1, 7],
        }
    ]
    rig = Rig(*guarded())
    rig.node.reception.begin()
    assert [line["signs_with"] for line in rig.log.told("authentication-enabled")] == [1]
    rig = Rig()
    rig.node.reception.begin()
    assert rig.log.lines == []


def test_only_signed_adverts_are_accepted_where_that_is_configured() -> None:
    rig = Rig(*guarded()).start()
    rig.hear(250).hear(250, "web2")
    Peer(rig).speaks()
    Peer(rig, key=Key(1, b"\x00" * 32)).speaks()
    assert counted(rig) == {Reason.AUTH_MISSING: 1, Reason.AUTH_MAC: 1}
    reception = rig.node.reception
    assert [(peer, one.signed, one.unsigned) for peer, one in reception.senders(rig.router("web")).items()] == [
        (PEER, 1, 0)
    ]
    assert reception.senders(rig.router("web2")) == {}
    open_to_all = Rig()
    assert open_to_all.node.reception.senders(open_to_all.router()) == {}


def test_the_age_of_a_packet_counts_from_its_arrival() -> None:
    """A packet that waited in a socket during a pause was fresh when the kernel received it."""
    rig = Rig(*guarded()).start()
    peer = Peer(rig)
    peer.ahead = -WINDOW - 1.0
    peer.speaks(came=EPOCH + rig.clock.now + peer.ahead)
    assert counted(rig) == {}
    peer.ahead = -WINDOW - 0.9
    peer.speaks()
    assert counted(rig) == {Reason.AUTH_WINDOW: 1}


@pytest.mark.parametrize(("ahead", "told"), [(3.0, "3 s ahead of ours"), (-3.0, "3 s behind ours"), (2.0, None)])
def test_a_peer_whose_clock_is_off_is_named_before_its_adverts_are_rejected(ahead: float, told: str | None) -> None:
    rig = given_backup(*guarded(), heard=None)
    Peer(rig, ahead).speaks()
    assert counted(rig) == {}
    details = [line["detail"] for line in rig.log.told("clock-skew")]
    end = f", and beyond {WINDOW} s it is not heard: set both right (NTP)"
    assert details == ([] if told is None else [told + end])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("step", "way"), [(10.0, "forward by 10.0"), (-10.0, "back by 10.0"), (CLOCK_SET - 0.1, None)])
def test_a_step_of_our_clock_is_logged(step: float, way: str | None, signed: bool) -> None:
    rig = given_backup(*(guarded() if signed else ()), heard=None)
    rig.node.reception.realtime()
    rig.after(1.0)
    rig.offset = step
    rig.node.reception.realtime()
    rig.after(1.0)
    rig.node.reception.realtime()
    found = [line["detail"].partition("; ") for line in rig.log.told("clock-stepped")]
    told = f"the realtime clock was set {way} s, or this guest was paused"
    assert found == ([] if way is None else [(told, "; ", SIGNED if signed else UNSIGNED)])


def test_a_pause_between_looks_at_both_clocks_is_no_step() -> None:
    rig = given_backup(heard=None)
    rig.node.reception.realtime()
    rig.pauses = [10.0, 10.0]
    assert rig.node.reception.realtime() == EPOCH + rig.clock.now
    rig.node.reception.realtime()
    assert rig.log.told("clock-stepped") == []
