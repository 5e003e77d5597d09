"""Malformed packets, a thousand a second, at a working pair: no transition, and all are counted.

There is one kind for each reason to reject a packet, wrong in nothing but that. Each claims what would move the pair if
it were believed: priority 255 would make the Active step down, and priority 0 of the Active make the Backup take over.
One kind follows the other without a pause, a thousand a second at each agent. On request they come all at once, which
is ten times as many: that takes a fifth of a core for each agent, and shows nothing where they do not get it.

A non-peer behind the router sends them; those to a multicast group come from the router itself, for they do not leave a
link. Any source can be claimed because they are written whole, IP header included, to a packet socket. What the kernel
of the receiver does not let through:

- IPv4 from the receiver's own address (a "martian"), unless ``accept_local`` is set. It is set here, to see what the
  agent does where somebody has;
- IPv4 to a multicast group: a raw socket that is bound to an address hears what is sent to that address. Over IPv6 it
  hears every group that the host is in. Both are shown;
- a broken IP header: ``ip-header`` cannot be provoked through a kernel that works.

``EXAVRRP_HOSTILE_SECONDS=10`` gives each kind ten seconds instead of one. ``EXAVRRP_HOSTILE_SIEGE=1`` has all of them
come at once, too, for ten times as long as one kind alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn

import pytest

from exavrrp.system.log import LIMIT
from exavrrp.vrrp.packet import AUTHENTICATION, PROTOCOL, Address, Advertisement, Reason, encode
from tests.system import running
from tests.system.running import INTERVAL, PRIORITY, VRID, Fabric, Host, Record, Sniffer, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set

    from tests.system.conftest import Namespace, Need

pytestmark = [pytest.mark.system, pytest.mark.alone]

SECONDS = float(os.environ.get("EXAVRRP_HOSTILE_SECONDS", "1"))
"""For each kind: about ten in all."""
SIEGE = os.environ.get("EXAVRRP_HOSTILE_SIEGE") == "1"
RATE = 1000
"""Packets of each kind to each agent in a second."""

NON_PEER = {4: ip_address("192.0.2.66"), 6: ip_address("2001:db8:ff::66")}
EVERYBODY = {4: ip_address("224.0.0.1"), 6: ip_address("ff02::1")}
"""Groups that every host is in, whether it wants to or not."""
EVERYBODY_ON_ETHERNET = {4: bytes.fromhex("01005e000001"), 6: bytes.fromhex("333300000001")}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
MAX_HOPS = 3
"""The agents' ``max_hops``: their adverts cross one router."""


# Wrong packets


@dataclass(frozen=True)
class Target:
    """An agent under attack, as the attacker knows it."""

    source: Address
    """the address it listens on"""
    peer: Address
    address: Address
    """the virtual one"""

    @property
    def version(self) -> int:
        return self.source.version

    def packet(
        self,
        claim: int,
        *,
        vrid: int = VRID,
        centiseconds: int = round(INTERVAL * 100),
        empty: bool = False,
        source: Address | None = None,
        destination: Address | None = None,
        hop_limit: int = 255,
        first: int = 0x31,
        length: int | None = None,
        checksum_error: int = 0,
    ) -> bytes:
        """A whole packet from the peer with priority ``claim``, wrong where asked for, with a checksum that holds.

        ``first`` is the byte of version and type, ``empty`` removes the address, ``length`` cuts the payload off.
        """
        source, destination = source or self.peer, destination or self.source
        addresses = b"" if empty else self.address.packed
        header = bytes([first, vrid, claim, 0 if empty else 1, *centiseconds.to_bytes(2)])
        size = 8 + len(addresses)
        # Words of both families' pseudo-headers, in whatever order: a ones' complement sum does not mind (RFC 1071).
        summed = source.packed + destination.packed + header + addresses + size.to_bytes(2) + PROTOCOL.to_bytes(2)
        checksum = 0xFFFF - (int.from_bytes(summed) - checksum_error) % 0xFFFF
        payload = header + checksum.to_bytes(2) + addresses
        return with_header(source, destination, hop_limit, payload[:length])


def with_header(source: Address, destination: Address, hop_limit: int, payload: bytes) -> bytes:
    """An IP packet of protocol 112."""
    ends = source.packed, destination.packed
    if source.version == 6:
        return struct.pack("!IHBB16s16s", 6 << 28, len(payload), PROTOCOL, hop_limit, *ends) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, hop_limit, PROTOCOL, 0, *ends)
    checksum: int = 0xFFFF - sum(struct.unpack("!10H", header)) % 0xFFFF
    return header[:10] + checksum.to_bytes(2) + header[12:] + payload


WRONG: dict[Reason, Callable[[Target, int], Sequence[bytes]]] = {
    Reason.OWN_ADDRESS: lambda to, claim: [to.packet(claim, source=to.source)],
    Reason.UNKNOWN_SOURCE: lambda to, claim: [to.packet(claim, source=NON_PEER[to.version])],
    Reason.MULTICAST: lambda to, claim: [to.packet(claim, destination=EVERYBODY[to.version])],
    Reason.HOP_LIMIT: lambda to, claim: [to.packet(claim, hop_limit=left) for left in (2, 64, 255 - MAX_HOPS)],
    Reason.VERSION: lambda to, claim: [
        *(to.packet(claim, first=first) for first in (0x01, 0x21, 0x41, 0xF1)),
        to.packet(claim, length=0),
    ],
    Reason.TYPE: lambda to, claim: [to.packet(claim, first=first) for first in (0x30, 0x32, 0x3F)],
    Reason.LENGTH: lambda to, claim: [
        to.packet(claim, length=length) for length in range(1, 8 + len(to.address.packed))
    ],
    Reason.UNKNOWN_VRID: lambda to, claim: [to.packet(claim, vrid=vrid) for vrid in (0, VRID - 1, VRID + 1, 255)],
    Reason.CHECKSUM: lambda to, claim: [to.packet(claim, checksum_error=error) for error in (1, 0x100, 0x8000)],
    Reason.NO_ADDRESSES: lambda to, claim: [to.packet(claim, empty=True)],
    Reason.INTERVAL: lambda to, claim: [to.packet(claim, centiseconds=centiseconds) for centiseconds in (0, 0xF000)],
}
"""What is wrong → packets that are wrong in nothing else. The hop limit is the sender's: one router takes one off."""

UNHEARD = {4: {Reason.MULTICAST}, 6: set[Reason]()}
"""Kinds that the kernel keeps from the agent."""

FROM_NON_PEERS = {Reason.OWN_ADDRESS.value, Reason.UNKNOWN_SOURCE.value}
"""Kinds of which the agent looks at a few; the kernel counts the others."""


# The attacker


@dataclass(frozen=True)
class Shot:
    """Packets of one kind to one agent, sent in turn."""

    reason: Reason
    host: str
    sender: socket.socket
    to: tuple[str, int, int, int, bytes]
    packets: Sequence[bytes]


class Attacker:
    """An attacker: a host behind the router that forges any packet, and the router itself."""

    def __init__(self, fabric: Fabric, behind: Namespace, cable: Callable[[Namespace, str, Namespace, str], None]):
        cable(behind, "eth0", fabric.router, "x0")
        self._fabric = fabric
        link = json.loads(fabric.router.run("ip", "-json", "link", "show", "x0"))
        self._gateway = bytes.fromhex(link[0]["address"].replace(":", ""))
        self._afar, self._near = (self._open(where) for where in (behind, fabric.router))

    @staticmethod
    def _open(where: Namespace) -> socket.socket:
        with where:
            return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)

    def close(self) -> None:
        self._afar.close()
        self._near.close()

    def shots(self) -> Iterator[Shot]:
        """One of each kind for each agent."""
        version = self._fabric.family
        for host, peer in ((self._fabric.a, self._fabric.b), (self._fabric.b, self._fabric.a)):
            target = Target(*map(ip_address, (host.source, peer.source, host.vip)))
            for reason, make in WRONG.items():
                packets = [packet for claim in (255, 0) for packet in make(target, claim)]
                if reason is Reason.MULTICAST:
                    to = (f"{host.name}0", ETHERTYPE[version], 0, 0, EVERYBODY_ON_ETHERNET[version])
                    yield Shot(reason, host.name, self._near, to, packets)
                else:
                    yield Shot(
                        reason, host.name, self._afar, ("eth0", ETHERTYPE[version], 0, 0, self._gateway), packets
                    )

    def flood(self, shots: Sequence[Shot], rounds: int) -> None:
        """Sends ``rounds`` packets of each kind, ``RATE`` in a second if the machine can, from a process of its own."""
        child = os.fork()
        if child == 0:
            _fire(shots, rounds)
        descriptor = os.pidfd_open(child)
        try:
            over, _, _ = select.select([descriptor], [], [], rounds / RATE + running.LIMIT)
            if not over:
                os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "not all packets could be sent"
        finally:
            os.close(descriptor)


def _fire(shots: Sequence[Shot], rounds: int) -> NoReturn:
    """The attacker's process; its exit status is 0 when all were sent."""
    try:
        begin = time.monotonic()
        for number in range(rounds):
            time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            for one in shots:
                one.sender.sendto(one.packets[number % len(one.packets)], one.to)
        os._exit(0)
    except OSError:
        traceback.print_exc()
        os._exit(1)


# What must not change


class Adverts(Sniffer):
    """The good adverts of the Active as they arrive at the Backup: the kernel leaves out the flood."""

    def __init__(self, fabric: Fabric) -> None:
        source, destination, address = map(ip_address, (fabric.a.source, fabric.b.source, fabric.vip))
        advertisement = Advertisement(VRID, PRIORITY["a"], round(INTERVAL * 100), (address,))
        self._head = encode(advertisement, source, destination)[:8]
        self._version = fabric.family
        super().__init__(fabric.b.namespace)

    def _attach_filter(self) -> None:
        """Protocol 112 and a payload that begins like a good advert: no wrong one has the Active's priority."""
        protocol, payload = (9, 20) if self._version == 4 else (6, 40)
        first, second = struct.unpack("!2I", self._head)
        steps = [
            (0x30, 0, 0, 0),  # ldb [0]
            (0x74, 0, 0, 4),  # rsh #4
            (0x15, 0, 7, self._version),  # jeq
            (0x30, 0, 0, protocol),  # ldb
            (0x15, 0, 5, PROTOCOL),  # jeq
            (0x20, 0, 0, payload),  # ld
            (0x15, 0, 3, first),  # jeq
            (0x20, 0, 0, payload + 4),  # ld
            (0x15, 0, 1, second),  # jeq
            (0x06, 0, 0, 0xFFFF),  # ret #65535
            (0x06, 0, 0, 0),  # ret #0
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
        program = struct.pack("@HP", len(steps), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, self._SO_ATTACH_FILTER, program)


class Count:
    """What an agent has counted since this was made."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._before: Record = {}
        self._now: Record = {}
        self.look()
        self._before = self._now

    def look(self) -> int:
        """Asks the agent; all packets that it has rejected, or that the kernel has dropped."""
        mark = self._host.log.mark()
        os.kill(self._host.agent, signal.SIGUSR1)
        self._now = self._host.log.counters(mark)
        return self.rejected.total() + self.overflowed + self.unread

    def settle(self) -> None:
        """Returns when the agent has read all that waited for it."""
        before = -1
        while (now := self.look()) != before:
            before = now

    @property
    def rejected(self) -> Counter[str]:
        before: dict[str, int] = self._before.get("rejected", {})
        found: Counter[str] = Counter(self._now["rejected"])
        found.subtract(before)
        return +found

    @property
    def overflowed(self) -> int:
        """Of peers. Some kernels count what non-peers sent in the meantime, too."""
        return self._dropped("overflowed")

    @property
    def unread(self) -> int:
        """Of non-peers. Some kernels count what peers sent in the meantime, too."""
        return self._dropped("unread")

    def _dropped(self, which: str) -> int:
        now, before = (
            sum(int(wire[which]) for wire in record.get("wires", {}).values()) for record in (self._now, self._before)
        )
        return now - before

    @property
    def received(self) -> int:
        """Good adverts."""
        now, before = (
            sum(int(router["adverts"].get("received", 0)) for router in record.get("routers", {}).values())
            for record in (self._now, self._before)
        )
        return now - before


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        for host in (built.a, built.b):
            host.configure(agent=[f"max_hops = {MAX_HOPS}"])
            host.namespace.sysctl("net.ipv4.conf.all.accept_local", 1)
        built.start()
        yield built


@pytest.fixture
def attacker(
    fabric: Fabric, namespace: Callable[[], Namespace], cable: Callable[[Namespace, str, Namespace, str], None]
) -> Iterator[Attacker]:
    attacker = Attacker(fabric, namespace(), cable)
    yield attacker
    attacker.close()


def test_there_is_a_wrong_packet_for_every_reason() -> None:
    # Those of authentication have a file of their own: what does not authenticate has no such reason.
    assert set(WRONG) == set(Reason) - {Reason.IP_HEADER} - AUTHENTICATION


def test_one_kind_after_the_other_changes_nothing(fabric: Fabric, attacker: Attacker) -> None:
    shots = list(attacker.shots())
    waves = [[one for one in shots if one.reason is reason] for reason in WRONG]
    nothing_happens(fabric, attacker, waves, SECONDS)


@pytest.mark.skipif(not SIEGE, reason="for a machine with two idle cores: set EXAVRRP_HOSTILE_SIEGE=1")
def test_all_kinds_at_once_change_nothing(fabric: Fabric, attacker: Attacker) -> None:
    nothing_happens(fabric, attacker, [list(attacker.shots())], 10 * SECONDS)


def nothing_happens(fabric: Fabric, attacker: Attacker, waves: Sequence[Sequence[Shot]], seconds: float) -> None:
    """Each wave comes for so many seconds, and neither agent does anything but count."""
    fabric.sniffer.close()
    hosts = (fabric.a, fabric.b)
    marks = [host.log.mark() for host in hosts]
    counts = [Count(host) for host in hosts]
    rounds = round(seconds * RATE)
    with contextlib.closing(Adverts(fabric)) as adverts:
        begin = time.time()
        for wave in waves:
            attacker.flood(wave, rounds)
        end = time.time()
        for interface in ("eth0", "eth1"):
            assert adverts.longest_gap(fabric.a.source, interface, begin, end) < 3 * INTERVAL, "the Backup waits longer"
            # Nor was anything answered: an Active tells those that lose against it so at once.
            assert len(adverts.copies(via=interface, since=begin)) <= (end - begin) / INTERVAL + 2
    for count in counts:
        count.settle()
    shots = [one for wave in waves for one in wave]
    attacker.flood(shots, 1)
    for host, count, mark in zip(hosts, counts, marks, strict=True):
        kinds = {one.reason for one in shots if one.host == host.name} - UNHEARD[fabric.family]
        all_counted(fabric, count, Counter({reason.value: rounds + 1 for reason in kinds}))
        assert {one.partition("-")[0] for one in host.log.order(mark)} == {"packet", "counters"}, fabric.told()
        for reason in kinds:
            assert 1 <= len(host.log.all("packet-rejected", mark, reason=reason)) <= (time.time() - begin) / LIMIT + 1
    assert counts[0].received == 0
    fabric.settled()


def all_counted(fabric: Fabric, count: Count, sent: Counter[str]) -> None:
    """Each packet was rejected for its own reason; of those that found no room in a buffer the sum is known."""

    def missing(kinds: Set[str]) -> int:
        return sum((Counter({kind: sent[kind] for kind in kinds}) - count.rejected).values())

    peers, non_peers = sent.keys() - FROM_NON_PEERS, sent.keys() & FROM_NON_PEERS

    def complete() -> bool:
        count.look()
        return missing(peers) <= count.overflowed and missing(non_peers) <= count.unread

    wait_until(complete, lambda: f"{sent}: {fabric.told()}")
    assert not count.rejected - sent
    assert count.overflowed <= missing(peers) + sum(sent[kind] for kind in non_peers)
    assert count.unread <= missing(non_peers) + sum(sent[kind] for kind in peers) + count.received
    assert sum(count.rejected[kind] for kind in non_peers) < sum(sent[kind] for kind in non_peers) / 10
