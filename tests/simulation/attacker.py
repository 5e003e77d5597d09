"""An attacker that can send packets from any source address and has seen all of them, but does not know the keys.

``Attacker`` owns what was recorded on the paths and the ways to forge an advert. What it sends is marked, so that
``invariants`` can tell: a forged packet must be rejected in every mode that claims to, and nothing that a node has
accepted once may be accepted a second time. What authentication does not promise is not demanded: an advert that never
arrived can be delivered late, by up to a window, and a node that has lost its marks, or whose clock was set back, can
be fooled by what was recorded before (``vrrp.auth``, "What it does not do").
"""

from dataclasses import replace
from ipaddress import IPv6Address
from random import Random

from exavrrp.simulation.machine import Machine
from exavrrp.simulation.network import Packet
from exavrrp.simulation.world import World
from exavrrp.vrrp.auth import Key, Trailer, ahead, sequence, sign
from exavrrp.vrrp.packet import Address, Advertisement, Datagram, encode
from tests.simulation.shape import Shape

REMEMBERED = 300
"""Packets; the older ones make room."""

TRAILER = 28
"""Bytes behind a signed advert (draft-cassen-vrrp-auth-hmac)."""

WRONG = Key(1, b"\xa5" * 32)
"""A key that nobody else has, under the number of one that all have."""


class Attacker:
    """Records, replays, forges."""

    def __init__(self, world: World, shape: Shape, machines: list[Machine]) -> None:
        self._world = world
        self._random: Random = world.random
        self._shape = shape
        self._machines = machines
        self._recorded: list[tuple[int, int, Packet]] = []

    def record(self, receiver: int, path: int, packet: Packet) -> None:
        """Record a packet that a node has sent to the receiver over that path."""
        if len(self._recorded) < REMEMBERED:
            self._recorded.append((receiver, path, packet))
        elif self._random.random() < 0.1:
            self._recorded[self._random.randrange(REMEMBERED)] = receiver, path, packet

    def replay(self, calm: float | None = None) -> None:
        """Replay a recorded packet.

        ``calm``: only what certainly must not count, because it has arrived (it was sent after this time, since when
        all do), or because it is too old, by what it says itself: clocks were off, and have been set.
        """
        if not self._recorded:
            return
        receiver, path, packet = self._random.choice(self._recorded)
        if calm is None or packet.sent > calm or self._age(packet) > 2 * self._shape.window:
            again = replace(packet, tampered=not packet.signed, replayed=True)
            self._machines[receiver].deliver(path, again)

    def _age(self, packet: Packet) -> float:
        """Seconds since ``packet`` was signed, by its sender's clock as it was then; unsigned: since it was sent."""
        if not packet.signed:
            return self._world.now - packet.sent
        return -ahead(Trailer.read(packet.datagram.payload[-TRAILER:]).sequence, self._world.epoch())

    def forge(self) -> None:
        """An advert that no node has sent, and that is wrong in one way."""
        victim, liar = self._random.sample(self._machines, 2)
        router = self._random.choice(victim.configuration.routers)
        peer = next(one for one in liar.configuration.routers if (one.vrid, one.family) == (router.vrid, router.family))
        assert router.source is not None
        assert peer.source is not None
        source, destination = peer.source, router.source
        advertisement = Advertisement(peer.vrid, self._random.choice((0, 254, 255)), 100, peer.addresses)
        payload = bytearray(encode(advertisement, source, destination))
        enforced = self._shape.nodes[victim.number].mode == "enforce"
        match self._random.randrange(8 if enforced else 5):
            case 0:
                source = _another(source, 0x40)  # nobody's
            case 1:
                source = destination  # the victim's own
            case 2:
                payload[1] ^= 0x10  # another VRID
            case 3:
                payload = payload[: self._random.randrange(len(payload))]
            case 4:
                payload[2] ^= 0x55  # another priority, with the old checksum
            case 5:
                pass  # not signed
            case 6:
                payload = bytearray(self._signed(advertisement, source, destination))
            case _:
                payload += b"\1\1\0\0" + bytes(24)
        datagram = Datagram(source, destination, 255, bytes(payload))
        packet = Packet(datagram, liar.number, self._world.now, tampered=True)
        victim.deliver(self._random.randrange(self._shape.paths), packet)

    def _signed(self, advertisement: Advertisement, source: Address, destination: Address) -> bytes:
        number = sequence(self._world.epoch())
        return encode(
            advertisement, source, destination, trailer=lambda message: bytes(sign(WRONG, number, source, message))
        )


def _another(address: Address, difference: int) -> Address:
    number = int(address) ^ difference
    return IPv6Address(number) if address.version == 6 else type(address)(number)
