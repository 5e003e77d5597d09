"""The wire, between two real network namespaces with two cables; scenarios first, then arbitrary bytes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import math
import select
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.ports import ANY, Arrival, Link, Medium, Sent
from exavrrp.system import filters
from exavrrp.system import wire as wire_module
from exavrrp.system.wire import (
    Wire,
    read_ipv4_ancillary,
    read_ipv6_ancillary,
    read_timestamp,
)
from exavrrp.vrrp.packet import (
    PROTOCOL,
    Address,
    Advertisement,
    Datagram,
    Expectation,
    Malformed,
    Reason,
    decode,
    encode,
    strip_ipv4,
)
from tests.system.conftest import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.system.conftest import Namespace, Pair, Run, Until

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13

both_families = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@dataclass
class End:
    """A wire in a namespace, and what it has received and rejected."""

    host: Namespace
    wire: Wire
    arrived: list[Arrival] = field(default_factory=list)
    rejected: list[tuple[Reason, Address | None]] = field(default_factory=list)

    def links(self, *names: str) -> list[Link]:
        with self.host:
            return [Link(socket.if_nametoindex(name), name) for name in names]

    def send(self, payload: bytes, peer: Address, *names: str) -> list[int | None]:
        with self.host:
            return [sent.error for sent in self.wire.send(payload, peer, self.links(*names))]

    def drain(self, until: float = math.inf) -> None:
        self.arrived += self.wire.drain(until)

    def arrivals(self) -> Counter[str]:
        """Packets by the name of the interface they came in through."""
        with self.host:
            return Counter(socket.if_indextoname(arrival.interface) for arrival in self.arrived)


def end(host: Namespace, source: Address, *peers: Address) -> End:
    """An open wire; must be called with a running loop."""
    arrived: list[Arrival] = []
    rejected: list[tuple[Reason, Address | None]] = []
    wire = Wire(source, arrived.extend, lambda why, who: rejected.append((why, who)))
    made = End(host, wire, arrived, rejected)
    with host:
        made.wire.open(asyncio.get_running_loop(), peers)
    return made


async def introduce(until: Until, one: End, other: End, name: str) -> None:
    """Waits until the kernel knows the neighbor on the way. Until then it keeps no more than 256 packets for it."""
    assert one.send(b"known neighbor", other.wire.source, name) == [None]
    await until(lambda: other.arrived)
    other.arrived.clear()


@dataclass
class Ends:
    """Opens both ends of a pair for a ``with`` block."""

    pair: Pair
    version: int

    def __enter__(self) -> tuple[End, End]:
        here, there = self.pair.of(self.version)
        self.both = end(self.pair.a, here, there), end(self.pair.b, there, here)
        return self.both

    def __exit__(self, *_: object) -> None:
        for one in self.both:
            one.wire.close()


def advert(source: Address, destination: Address) -> bytes:
    vip = ip_address("192.0.2.53" if source.version == 4 else "2001:db8:53::1")
    return encode(Advertisement(7, 150, 10, (vip,)), source, destination)


@pytest.mark.system
@both_families
def test_an_advert_arrives_whole_with_hop_limit_255(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            payload, begun = advert(a.wire.source, b.wire.source), time.time()
            assert a.send(payload, b.wire.source, "eth0") == [None]
            await until(lambda: b.arrived)
            [arrival] = b.arrived
            assert arrival.datagram == Datagram(a.wire.source, b.wire.source, 255, payload)
            assert 0 <= asyncio.get_running_loop().time() - arrival.at < LIMIT
            assert arrival.realtime is not None
            assert begun <= arrival.realtime <= time.time()
            expectation = Expectation(
                own=frozenset(), vrids={7: frozenset({a.wire.source})}, peers=frozenset({a.wire.source})
            )
            assert decode(arrival.datagram, expectation).priority == 150
            assert not a.arrived
            assert a.wire.counters.sent == {(b.wire.source, "eth0"): 1}
            assert b.wire.counters.received == {arrival.interface: 1}

    run(scenario())


@pytest.mark.system
@both_families
def test_each_interface_carries_its_own_copy(pair: Pair, run: Run, until: Until, version: int) -> None:
    """Ten adverts, twenty copies, ten through each cable, whatever the multipath hash says."""

    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            for _ in range(10):
                assert a.send(b"copy", b.wire.source, "eth0", "eth1") == [None, None]
            await until(lambda: len(b.arrived) >= 20)
            assert b.arrivals() == {"eth0": 10, "eth1": 10}

    run(scenario())


@pytest.mark.system
@both_families
def test_without_interfaces_the_kernel_chooses_one(pair: Pair, run: Run, until: Until, version: int) -> None:
    """The control of the test above: multipath alone puts all adverts of a pair on one cable."""

    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            for _ in range(10):
                assert a.send(b"hashed", b.wire.source) == [None]
            await until(lambda: len(b.arrived) >= 10)
            assert len(b.arrivals()) == 1
            assert a.wire.counters.sent == {(b.wire.source, ANY): 10}

    run(scenario())


@pytest.mark.system
@both_families
def test_traffic_class_is_that_of_routing_protocols(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        frames: list[bytes] = []
        with pair.b:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800 if version == 4 else 0x86DD))
        with tap, Ends(pair, version) as (a, b):
            tap.settimeout(0)
            a.send(b"marked", b.wire.source, "eth1")
            await until(lambda: b.arrived)
            while True:
                try:
                    frames.append(tap.recv(2048))
                except BlockingIOError:
                    break
        [frame] = [frame for frame in frames if frame[9 if version == 4 else 6] == PROTOCOL]
        traffic_class = frame[1] if version == 4 else int.from_bytes(frame[:2], "big") >> 4 & 0xFF
        assert traffic_class == 0xC0
        assert frame[8 if version == 4 else 7] == 255

    run(scenario())


@pytest.mark.system
@both_families
def test_non_peers_are_counted_and_some_are_named(pair: Pair, run: Run, until: Until, version: int) -> None:
    """The kernel keeps them from where the peers are heard: their flood takes no room there, and none of our time."""
    non_peer = ip_address("10.0.1.1" if version == 4 else "fd00:1::1")

    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            assert b.wire.filtered
            other = end(pair.a, non_peer, b.wire.source)
            try:
                other.send(b"who?", b.wire.source, "eth1")
                await until(lambda: b.arrived)
                for _ in range(3000):
                    other.send(b"flood", b.wire.source, "eth1")
                a.send(b"advert", b.wire.source, "eth0")
                await until(lambda: any(one.datagram.source == a.wire.source for one in b.arrived))
                await until(lambda: len(b.arrived) - 1 + b.wire.counters.unread >= 3001)
            finally:
                other.wire.close()
            sources = Counter(arrival.datagram.source for arrival in b.arrived)
            assert sources.keys() == {non_peer, a.wire.source}
            assert sources[non_peer] < 50
            # A kernel may count the advert, too, for it came while the non-peers' buffer was full.
            assert sources[non_peer] + b.wire.counters.unread in {3001, 3002}
            assert b.wire.counters.overflowed == 0

    run(scenario())


@pytest.mark.system
def test_a_non_peer_is_recognised_behind_extension_headers(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        with Ends(pair, 6) as (a, b), pair.a:
            a.send(b"known neighbors", b.wire.source, "eth0", "eth1")
            await until(lambda: len(b.arrived) == 2)
            b.arrived.clear()
            options = [(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))]
            for source in ("fd00:1::1", str(a.wire.source)):
                with socket.socket(socket.AF_INET6, socket.SOCK_RAW, PROTOCOL) as sender:
                    sender.bind((source, 0))
                    for _ in range(500):
                        sender.sendmsg([b"optional"], options, 0, (str(b.wire.source), 0))
            await until(lambda: sum(one.datagram.source == a.wire.source for one in b.arrived) == 500)
            await until(lambda: len(b.arrived) - 500 + b.wire.counters.unread >= 500)
            assert 450 < b.wire.counters.unread <= 1000

    run(scenario())


@pytest.mark.system
@both_families
def test_hundreds_of_peers_are_heard_and_nobody_else(pair: Pair, run: Run, until: Until, version: int) -> None:
    here, there = pair.of(version)
    peers = [here + 4 * number for number in range(300)]

    async def scenario() -> None:
        b = end(pair.b, there, *peers)
        pair.a.ip(
            "\n".join(f"addr replace {address}/{here.max_prefixlen} dev lo" for address in (peers[299], here + 2))
        )
        talkers = [end(pair.a, address, there) for address in (peers[0], peers[299], here + 2)]
        try:
            await introduce(until, talkers[0], b, "eth0")
            for talker in talkers:
                for _ in range(100):
                    assert talker.send(b"x", there, "eth0") == [None]
            await until(lambda: len(b.arrived) + b.wire.counters.unread == 300)
            sources = Counter(arrival.datagram.source for arrival in b.arrived)
            assert sources[peers[0]] == sources[peers[299]] == 100
            assert sources[here + 2] == 100 - b.wire.counters.unread < 50
        finally:
            for one in (b, *talkers):
                one.wire.close()

    run(scenario())


@pytest.mark.system
@both_families
def test_with_too_many_peers_everybody_is_heard(pair: Pair, run: Run, until: Until, version: int) -> None:
    here, there = pair.of(version)

    async def scenario() -> None:
        b = end(pair.b, there, *(here + 1 + number for number in range(5000)))
        a = end(pair.a, here, there)
        try:
            assert not b.wire.filtered
            await introduce(until, a, b, "eth0")

            def heard() -> bool:
                """One more, until so many have come: under load the kernel may drop some before any socket sees them,
                for its queue is shared with everybody's namespaces.
                """
                assert a.send(b"x", there, "eth0") == [None]
                return len(b.arrived) >= 100

            await until(heard)
            assert b.wire.counters.unread == 0
        finally:
            a.wire.close()
            b.wire.close()

    run(scenario())


@pytest.mark.system
@both_families
def test_nothing_slips_in_before_the_filter(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """From its creation, a raw socket receives from any source, for any address of its host."""
    here, there = pair.of(version)
    other = ip_address("10.0.1.2" if version == 4 else "fd00:1::2")
    attach = filters.attach

    async def scenario() -> None:
        a = end(pair.a, here, there)
        a.send(b"known neighbor", other, "eth1")

        def late(to: socket.socket, program: filters.Program) -> None:
            for address in (there, other):
                a.send(b"too early", address, "eth1")
            if program == filters.NOTHING:  # before any filter it is there: veth delivers within sendto()
                assert select.select([to], [], [], LIMIT)[0]
            attach(to, program)

        monkeypatch.setattr(filters, "attach", late)
        b = end(pair.b, there, here)
        monkeypatch.undo()
        a.send(b"now", there, "eth1")
        await until(lambda: b.arrived)
        assert [arrival.datagram.payload for arrival in b.arrived] == [b"now"]
        a.wire.close()
        b.wire.close()

    run(scenario())


@pytest.mark.system
@both_families
def test_a_wrong_checksum_is_neither_dropped_nor_mended_by_the_kernel(
    pair: Pair, run: Run, until: Until, version: int
) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            good = advert(a.wire.source, b.wire.source)
            wrong = good[:6] + bytes(byte ^ 0xFF for byte in good[6:8]) + good[8:]
            a.send(wrong, b.wire.source, "eth0")
            await until(lambda: b.arrived)
            assert b.arrived[0].datagram.payload == wrong

    run(scenario())


@pytest.mark.system
@both_families
def test_a_link_that_is_down_is_counted_and_the_other_carries_on(
    pair: Pair, run: Run, until: Until, version: int
) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            assert a.send(b"both", b.wire.source, "eth0", "eth1") == [None, None]
            pair.a.ip("link set eth0 down")
            down, up = a.send(b"one", b.wire.source, "eth0", "eth1")
            assert down is not None
            assert up is None
            await until(lambda: len(b.arrived) == 3)
            assert a.wire.counters.failed == {(b.wire.source, "eth0", errno.errorcode[down]): 1}
            assert a.wire.counters.sent == {(b.wire.source, "eth0"): 1, (b.wire.source, "eth1"): 2}

    run(scenario())


@pytest.mark.system
@both_families
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_an_interface_made_anew_works_again(pair: Pair, run: Run, until: Until, version: int, *, told: bool) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            [old] = a.links("eth1")
            assert a.send(b"before", b.wire.source, "eth1") == [None]
            pair.a.ip("link del eth1")
            with pair.a:
                [gone] = a.wire.send(b"during", b.wire.source, [old])
            assert gone.error is not None
            pair.plug(1)
            pair.route(0, 1)
            if not told:  # whoever knows the paths has not noticed yet: the name is enough, after one failure
                with pair.a:
                    a.wire.send(b"perhaps", b.wire.source, [old])
                    assert a.wire.send(b"after", b.wire.source, [old]) == [Sent("eth1", None)]
            else:
                [new] = a.links("eth1")
                assert new.index != old.index
                assert a.send(b"after", b.wire.source, "eth1") == [None]
            await until(lambda: b.arrived and b.arrived[-1].datagram.payload == b"after")

    run(scenario())


@pytest.mark.system
def test_an_interface_that_does_not_exist_is_an_error_not_an_exception(pair: Pair, run: Run) -> None:
    async def scenario() -> None:
        with Ends(pair, 6) as (a, b), pair.a:
            [sent] = a.wire.send(b"nowhere", b.wire.source, [Link(0, "eth9")])
            assert sent.error == errno.ENODEV
            assert a.wire.counters.failed == {(b.wire.source, "eth9", "ENODEV"): 1}

    run(scenario())


@pytest.mark.system
@both_families
def test_without_a_route_the_failure_is_returned(pair: Pair, run: Run, version: int) -> None:
    nowhere = ip_address("198.51.100.1" if version == 4 else "2001:db8:dead::1")

    async def scenario() -> None:
        with Ends(pair, version) as (a, _):
            assert a.send(b"lost", nowhere) == [errno.ENETUNREACH]

    run(scenario())


@pytest.mark.system
@both_families
def test_a_source_this_host_does_not_have_cannot_be_opened(pair: Pair, run: Run, version: int) -> None:
    async def scenario() -> None:
        _, foreign = pair.of(version)
        with pytest.raises(OSError, match=r".") as caught:
            end(pair.a, foreign)
        assert caught.value.errno == errno.EADDRNOTAVAIL

    run(scenario())


@pytest.mark.system
def test_a_closed_wire_stays_closed_whatever_happens_to_its_interface(pair: Pair, run: Run) -> None:
    async def scenario() -> None:
        here, there = pair.of(4)
        with pair.a:
            wire = Wire(here, lambda _: None, lambda *_: None)
            wire.open(asyncio.get_running_loop(), [there], Medium("eth0"))
            wire.close()
            wire.forget(socket.if_nametoindex("eth0"))
        assert wire.fileno() == -1

    run(scenario())


@pytest.mark.system
@both_families
def test_a_source_that_leaves_and_returns_works_again(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            length = a.wire.source.max_prefixlen
            assert a.send(b"before", b.wire.source, "eth0") == [None]
            pair.a.ip(f"addr del {a.wire.source}/{length} dev lo")
            a.wire.forget(a.links("eth0")[0].index)
            assert a.send(b"without", b.wire.source, "eth0") == [errno.EADDRNOTAVAIL]
            pair.a.ip(f"addr add {a.wire.source}/{length} dev lo")
            assert a.send(b"after", b.wire.source, "eth0") == [None]
            b.send(b"answer", a.wire.source, "eth0")
            await until(lambda: a.arrived and b.arrived[-1].datagram.payload == b"after")

    run(scenario())


@pytest.mark.system
@both_families
def test_drain_hands_over_what_waits_before_the_loop_does(pair: Pair, run: Run, version: int) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            # veth delivers within sendto() when the neighbor is known, so no waiting is needed after the first.
            a.send(b"first", b.wire.source, "eth0")
            end_of_wait = time.monotonic() + LIMIT
            while not b.arrived:
                b.drain()
                assert time.monotonic() < end_of_wait
            for _ in range(100):
                a.send(b"waiting", b.wire.source, "eth0")
            while len(b.arrived) < 101:
                b.drain()
                assert time.monotonic() < end_of_wait
            # Not one of them came through the event loop: this coroutine has never let go of it.
            assert Counter(arrival.datagram.payload for arrival in b.arrived) == {b"first": 1, b"waiting": 100}

    run(scenario())


@pytest.mark.system
@both_families
def test_one_drain_is_enough_for_all_deadlines_before_it(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            a.send(b"first", b.wire.source, "eth0")
            await until(lambda: b.arrived)
            due = asyncio.get_running_loop().time()
            b.drain(due)
            a.send(b"second", b.wire.source, "eth0")
            b.drain(due)
            assert len(b.arrived) == 1, "what had come by then is known"
            end_of_wait = time.monotonic() + LIMIT
            while len(b.arrived) < 2:  # not through the loop
                b.drain(asyncio.get_running_loop().time())
                assert time.monotonic() < end_of_wait

    run(scenario())


@pytest.mark.system
@both_families
def test_a_flood_cannot_keep_the_loop_from_its_timers(pair: Pair, run: Run, until: Until, version: int) -> None:
    """The loop gets its turn after a bounded number of packets."""

    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            a.send(b"hello", b.wire.source, "eth0")
            await until(lambda: b.arrived)
            seen_at_turns: list[int] = []
            for _ in range(300):
                a.send(b"flood", b.wire.source, "eth0")

            def turn() -> None:
                seen_at_turns.append(len(b.arrived))
                if len(b.arrived) < 301:
                    asyncio.get_running_loop().call_soon(turn)

            turn()
            await until(lambda: len(b.arrived) == 301)
            steps = [after - before for before, after in itertools.pairwise(seen_at_turns)]
            assert max(steps) <= wire_module.BATCH
            assert len([step for step in steps if step]) >= 300 // wire_module.BATCH

    run(scenario())


@pytest.mark.system
def test_what_the_kernel_had_to_drop_is_counted(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        with Ends(pair, 6) as (a, b):
            a.send(b"hello", b.wire.source, "eth0")
            await until(lambda: b.arrived)
            [link] = a.links("eth0")
            with pair.a:
                for _ in range(6000):
                    a.wire.send(bytes(1000), b.wire.source, [link])

            await until(lambda: len(b.arrived) + b.wire.counters.overflowed == 6001)
            assert b.wire.counters.overflowed > 0
            assert b.wire.counters.unread == 0

    run(scenario())


@pytest.mark.system
@both_families
def test_senders_hear_nothing(pair: Pair, run: Run, until: Until, version: int) -> None:
    """Otherwise each sender would hold a full buffer of packets that nobody reads."""

    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            a.send(b"out", b.wire.source, "eth0")
            b.send(b"in", a.wire.source, "eth0")
            await until(lambda: a.arrived and b.arrived)
            table = "raw" if version == 4 else "raw6"
            _, *sockets = pair.a.run("cat", f"/proc/self/net/{table}").splitlines()
            waiting = [line.split()[4].partition(":")[2] for line in sockets]
            assert waiting == ["00000000"] * 3, "the receivers are read, and nothing has come to the sender"

    run(scenario())


@pytest.mark.system
@both_families
def test_an_oversized_packet_is_rejected(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        with Ends(pair, version) as (a, b):
            a.send(bytes(20000), b.wire.source, "eth0")
            await until(lambda: b.rejected)
            assert b.rejected == [(Reason.LENGTH, None)]
            assert not b.arrived

    run(scenario())


@pytest.mark.system
@both_families
def test_a_bug_that_one_packet_meets_costs_that_packet_alone(
    pair: Pair, run: Run, until: Until, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug, met, told = ValueError("a mistake of ours"), itertools.count(), list[object]()

    def mistaken(_: object) -> None:
        if next(met) == 1:
            raise bug

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
        with Ends(pair, version) as (a, b):
            await introduce(until, a, b, "eth0")
            monkeypatch.setattr(wire_module, "read_timestamp", mistaken)
            for payload in (b"one", b"two", b"three"):
                a.send(payload, b.wire.source, "eth0")
            await until(lambda: len(b.arrived) == 2)
            assert ([arrival.datagram.payload for arrival in b.arrived], told) == ([b"one", b"three"], [bug])

    run(scenario())


@pytest.mark.system
def test_a_receiver_may_close_the_wire_and_drain_within_its_callback(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        heard: list[Arrival] = []

        def once(arrivals: Sequence[Arrival]) -> None:
            heard.extend(arrivals)
            listener.drain()  # what it finds is ours
            listener.close()

        with Ends(pair, 6) as (a, b):
            listener = Wire(b.wire.source, once, lambda _why, _who: None)
            with pair.b:
                listener.open(asyncio.get_running_loop(), [a.wire.source])
            a.send(b"known neighbor", b.wire.source, "eth0")
            await until(lambda: b.arrived and heard)
            assert len(heard) == 1
            with pair.b:
                listener.open(asyncio.get_running_loop(), [a.wire.source])
            for _ in range(3):
                a.send(b"x", b.wire.source, "eth0")
            await until(lambda: len(b.arrived) == 4 and len(heard) > 1)
            before = len(heard)  # what was read in one turn
            a.send(b"late", b.wire.source, "eth0")
            await until(lambda: len(b.arrived) == 5)
            assert len(heard) == before
            listener.close()

    run(scenario())


@pytest.mark.system
def test_two_capabilities_suffice(pair: Pair, run: Run, until: Until, with_two_capabilities: Any) -> None:
    def body() -> None:
        async def scenario() -> None:
            # As this user cannot change namespaces, both ends are in one: a sends to its own other address.
            heard: list[Arrival] = []
            sources = [ip_address(f"fd00:{n}::1") for n in (0, 1)]
            ends = [Wire(source, heard.extend, lambda _why, _who: None) for source in sources]
            for one in ends:
                one.open(asyncio.get_running_loop(), sources)
            assert ends[0].send(b"self", ends[1].source, [])[0].error is None
            assert ends[0].send(b"self", pair.b6, [Link(socket.if_nametoindex("eth0"), "eth0")])[0].error is None
            await until(lambda: heard)
            for one in ends:
                one.close()

        run(scenario())

    with pair.a:
        with_two_capabilities(body)


@pytest.mark.system
def test_without_the_right_to_raw_sockets_open_raises(
    namespace: Callable[[], Namespace], run: Run, without_capability: Any
) -> None:
    """EPERM from open(), which the agent turns into advice."""

    async def scenario() -> None:
        wire = Wire(IPv6Address("::1"), lambda _arrival: None, lambda _why, _who: None)
        with pytest.raises(PermissionError):
            wire.open(asyncio.get_running_loop(), [])
        wire.close()

    with namespace(), without_capability(CAP_NET_RAW):
        run(scenario())


@pytest.mark.system
def test_a_small_receive_buffer_will_do(pair: Pair, run: Run, until: Until, without_capability: Any) -> None:
    """Without CAP_NET_ADMIN the buffer is as large as net.core.rmem_max permits."""

    async def scenario() -> None:
        with contextlib.ExitStack() as stack:
            with without_capability(CAP_NET_ADMIN):
                a, b = stack.enter_context(Ends(pair, 6))
            a.send(b"x", b.wire.source, "eth0")
            await until(lambda: b.arrived)

    run(scenario())


_levels = st.sampled_from([socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6]) | st.integers(0, 300)
_kinds = st.sampled_from([8, 35, socket.IPV6_PKTINFO, socket.IPV6_HOPLIMIT]) | st.integers(0, 300)
_ancillary = st.lists(st.tuples(_levels, _kinds, st.binary(max_size=24)), max_size=6)


@given(_ancillary)
def test_any_ancillary_data_is_understood_or_malformed(ancillary: Sequence[tuple[int, int, bytes]]) -> None:
    with contextlib.suppress(Malformed):
        interface = read_ipv4_ancillary(ancillary)
        assert 0 <= interface <= 0xFFFF_FFFF
    with contextlib.suppress(Malformed):
        destination, interface, hop_limit = read_ipv6_ancillary(ancillary)
        assert isinstance(destination, IPv6Address)
        assert 0 <= hop_limit <= 255
    stamp = read_timestamp(ancillary)
    assert stamp is None or isinstance(stamp, float)


@given(st.binary(max_size=120))
def test_any_bytes_are_an_ipv4_packet_or_malformed(packet: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(strip_ipv4(packet).source, IPv4Address)


def test_ancillary_data_as_the_kernel_gives_it() -> None:
    destination = IPv6Address("2001:db8::1")
    hop_limit = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", 64))
    information = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, destination.packed + struct.pack("=I", 3))
    foreign = (socket.SOL_SOCKET, 29, bytes(16))
    assert read_ipv6_ancillary([hop_limit, information, foreign]) == (destination, 3, 64)
    assert read_ipv4_ancillary([foreign, (socket.IPPROTO_IP, 8, struct.pack("=I8x", 4))]) == 4
    assert read_timestamp([foreign, (socket.SOL_SOCKET, 35, struct.pack("@ll", 3, 500_000_000))]) == 3.5
    assert read_timestamp([foreign, (socket.SOL_SOCKET, 35, bytes(8))]) is None
    with pytest.raises(Malformed):
        read_ipv4_ancillary([foreign])
    for incomplete in ([hop_limit], [information], []):
        with pytest.raises(Malformed):
            read_ipv6_ancillary(incomplete)
