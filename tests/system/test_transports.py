"""The set of sources and their peers, changed while packets come in, between two real network namespaces."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from exavrrp.system import filters
from exavrrp.system.transports import Transports
from exavrrp.vrrp.packet import PROTOCOL
from tests.ports import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from exavrrp.ports import Arrival
    from exavrrp.system.wire import Wire
    from exavrrp.vrrp.packet import Address, Reason
    from tests.system.conftest import Pair, Run, Until

both_families = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

PAUSE = 0.001
"""Seconds between two volleys: what comes must find room in the receive buffer of a busy machine."""

CHANGES = 200


class Host:
    """Host b of a pair, with transports, and host a with more addresses that send to it."""

    def __init__(self, pair: Pair, version: int) -> None:
        self.pair, self.version = pair, version
        self.peer, self.source = pair.of(version)
        self.others = [self.peer + 10 + number for number in range(2)]
        self.second = self.source + 20
        self.arrived: list[tuple[Address, Arrival]] = []
        self.when_received: Callable[[Arrival], None] = lambda _: None
        self.rejected: list[tuple[Reason, Address | None]] = []
        self.log = Log()
        self.transports = Transports(
            self.receive,
            lambda reason, sender: self.rejected.append((reason, sender)),
            self.log,
        )
        bits = self.peer.max_prefixlen
        pair.a.ip("\n".join(f"addr add {one}/{bits} dev lo" for one in self.others))
        pair.b.ip(f"addr add {self.second}/{bits} dev lo")
        pair.a.ip(f"route add {self.second}/{bits} via {'10.0.0.2' if version == 4 else 'fd00:0::2'}", f"-{version}")

    def receive(self, source: Address, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self.arrived.append((source, arrival))
            self.when_received(arrival)

    def set(self, peers: Mapping[Address, Collection[Address]]) -> None:
        with self.pair.b:
            self.transports.set(peers)

    def sender(self, source: Address) -> socket.socket:
        """One that sends from an address of host a."""
        with self.pair.a:
            family = socket.AF_INET if self.version == 4 else socket.AF_INET6
            made = socket.socket(family, socket.SOCK_RAW, PROTOCOL)
            filters.attach(made, filters.NOTHING)
            made.bind((str(source), 0))
        return made

    def send(self, source: Address, text: bytes, to: Address | None = None) -> None:
        with self.sender(source) as sender:
            sender.sendto(text, (str(to or self.source), 0))

    def came(self, source: Address, to: Address | None = None) -> Counter[bytes]:
        """How often each packet of this source has come in."""
        return Counter(
            arrival.datagram.payload
            for where, arrival in self.arrived
            if where == (to or self.source) and arrival.datagram.source == source
        )


@asynccontextmanager
async def hearing(pair: Pair, version: int) -> AsyncIterator[Host]:
    host = Host(pair, version)
    host.transports.open(asyncio.get_running_loop())
    try:
        yield host
    finally:
        host.transports.close()


class Traffic:
    """Numbered packets from these sources, in turn, until the end of the block."""

    def __init__(self, host: Host, *sources: Address) -> None:
        self.sent = 0
        self._senders = [host.sender(one) for one in sources]
        self._to = (str(host.source), 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for sender in self._senders:
            sender.close()

    def _run(self) -> None:
        while not self._over.is_set():
            for sender in self._senders:
                sender.sendto(b"%d" % self.sent, self._to)
            self.sent += 1
            time.sleep(PAUSE)


@pytest.mark.system
@both_families
def test_peers_come_and_go_under_traffic_and_nothing_of_the_others_is_lost(
    pair: Pair, run: Run, until: Until, version: int
) -> None:
    async def scenario() -> None:
        async with hearing(pair, version) as host:
            changing, non_peer = host.others
            host.set({host.source: [host.peer]})
            wire = host.transports[host.source]
            descriptor = wire.fileno()
            with Traffic(host, host.peer, non_peer) as traffic:
                for number in range(CHANGES):
                    host.set({host.source: [host.peer, *([changing] if number % 2 == 0 else [])]})
                    await asyncio.sleep(PAUSE)
                await until(lambda: traffic.sent > 100)
            await until(lambda: len(host.came(host.peer)) == traffic.sent)
            assert set(host.came(host.peer).values()) == {1}, "each packet once"
            assert wire.fileno() == descriptor, "the same socket"
            assert wire.counters.overflowed == 0
            assert sum(host.came(non_peer).values()) < traffic.sent / 2, "the kernel rejects non-peers"

            host.set({host.source: [host.peer, changing]})
            host.send(changing, b"now a peer")
            await until(lambda: b"now a peer" in host.came(changing))
            counted = wire.counters.received.total()
            host.set({host.source: [host.peer]})
            assert wire.counters.received.total() == counted, "counters stay"
            assert host.log.lines == []

    run(scenario())


@pytest.mark.system
@both_families
def test_a_removed_peer_is_no_peer_any_more(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with hearing(pair, version) as host:
            gone, _ = host.others
            host.set({host.source: [host.peer, gone]})
            wire = host.transports[host.source]
            host.set({host.source: [host.peer]})
            with host.sender(gone) as sender:
                for number in range(500):
                    sender.sendto(b"%d" % number, (str(host.source), 0))
            host.send(host.peer, b"end")
            await until(lambda: host.came(host.peer))
            assert len(host.came(gone)) < 250
            assert wire.counters.unread > 0

    run(scenario())


@pytest.mark.system
@both_families
def test_sources_come_and_go_beside_one_that_stays(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with hearing(pair, version) as host:
            peers = {host.source: [host.peer]}
            host.set(peers)
            wire, second = host.transports[host.source], host.transports[host.second]
            descriptor = wire.fileno()
            host.send(host.peer, b"too early", to=host.second)
            host.set(peers | {host.second: host.others})
            assert host.transports[host.second] is second, "the same as before"
            assert [source for source, _ in host.transports.items()] == [host.source, host.second]
            host.send(host.others[0], b"new", to=host.second)
            await until(lambda: host.came(host.others[0], to=host.second) == {b"new": 1})
            host.set(peers)
            assert second.fileno() == -1
            assert [source for source, _ in host.transports.items()] == [host.source]
            host.send(host.others[0], b"gone", to=host.second)
            host.send(host.peer, b"still here")
            await until(lambda: host.came(host.peer) == {b"still here": 1})
            assert host.came(host.others[0], to=host.second) == {b"new": 1}
            assert wire.fileno() == descriptor

    run(scenario())


@pytest.mark.system
@both_families
def test_an_impossible_source_changes_nothing(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with hearing(pair, version) as host:
            absent = host.source + 99
            host.set({host.source: [host.peer]})
            wire = host.transports[host.source]
            with pytest.raises(OSError, match=f"cannot send adverts from {absent}: .*; add it to lo") as caught:
                host.set({host.second: [host.peer], host.source: host.others, absent: [host.peer]})
            assert caught.value.errno == errno.EADDRNOTAVAIL
            assert [source for source, _ in host.transports.items()] == [host.source]
            assert host.transports[host.second].fileno() == -1
            assert wire.peers == {host.peer}
            host.send(host.peer, b"heard")
            await until(lambda: host.came(host.peer) == {b"heard": 1})
            host.set({host.source: [host.peer], host.second: [host.peer]})
            host.send(host.peer, b"also", to=host.second)
            await until(lambda: host.came(host.peer, to=host.second) == {b"also": 1})

    run(scenario())


def refuse(wire: Wire) -> None:
    """Make the kernel refuse any other filter for good (SO_LOCK_FILTER)."""
    with socket.socket(fileno=os.dup(wire.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, 44, 1)


@pytest.mark.system
@both_families
def test_a_filter_that_cannot_be_changed_changes_nothing_elsewhere(
    pair: Pair, run: Run, until: Until, version: int
) -> None:
    async def scenario() -> None:
        async with hearing(pair, version) as host:
            new, _ = host.others
            host.set({host.source: [host.peer], host.second: [host.peer]})
            wire, second = host.transports[host.source], host.transports[host.second]
            refuse(second)
            with pytest.raises(PermissionError):
                host.set({host.source: [new], host.second: [new]})
            assert wire.peers == second.peers == {host.peer}
            for to in (host.source, host.second):
                host.send(host.peer, b"heard", to=to)
            await until(lambda: all(host.came(host.peer, to) == {b"heard": 1} for to in (host.source, host.second)))

    run(scenario())


@pytest.mark.system
@both_families
def test_more_peers_than_a_filter_holds_and_back(pair: Pair, run: Run, until: Until, version: int) -> None:
    many: list[Any] = [ip_address("192.0.2.0" if version == 4 else "2001:db8:aaaa::") + 7 * n for n in range(1100)]

    async def scenario() -> None:
        async with hearing(pair, version) as host:
            non_peer, _ = host.others
            host.set({host.source: [host.peer]})
            wire = host.transports[host.source]
            descriptor = wire.fileno()
            assert wire.filtered
            with Traffic(host, host.peer) as traffic:
                for number in range(10):
                    host.set({host.source: [host.peer, *many[: 1100 if number % 2 == 0 else 1]]})
                    assert wire.filtered is (number % 2 == 1)
                    await asyncio.sleep(0.01)
            await until(lambda: len(host.came(host.peer)) == traffic.sent)
            assert set(host.came(host.peer).values()) == {1}
            assert wire.fileno() == descriptor
            host.set({host.source: [host.peer, *many]})
            host.set({host.source: [host.peer, *many[1:]]})
            assert [fields["source"] for fields in host.log.told("filter-failed")] == [str(host.source)] * 6
            host.send(non_peer, b"heard by all")
            await until(lambda: host.came(non_peer) == {b"heard by all": 1})

    run(scenario())


@pytest.mark.system
def test_peers_may_change_within_a_callback(pair: Pair, run: Run, until: Until) -> None:
    many = [ip_address("2001:db8:aaaa::") + 7 * n for n in range(1100)]

    async def scenario() -> None:
        async with hearing(pair, 6) as host:
            non_peer, _ = host.others
            heard: list[bytes] = []

            def receive(arrival: Arrival) -> None:
                heard.append(arrival.datagram.payload)
                host.set({host.source: many})  # the socket for non-peers is closed

            host.when_received = receive
            host.set({host.source: [host.peer]})
            with host.sender(non_peer) as sender:
                for number in range(3):
                    sender.sendto(b"%d" % number, (str(host.source), 0))
            await until(lambda: heard)
            host.send(host.peer, b"end")
            await until(lambda: heard[-1] == b"end")
            assert not host.transports[host.source].counters.receive_errors

    run(scenario())


def test_a_namespace_is_not_needed_to_ask_for_a_transport() -> None:
    transports = Transports(lambda _source, _arrival: None, lambda _reason, _sender: None, Log())
    one = ip_address("192.0.2.1")
    assert transports[one] is transports[one]
    assert list(transports.items()) == []
    assert transports[one].drain() == []
