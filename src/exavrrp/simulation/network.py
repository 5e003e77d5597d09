"""What lies between the nodes: several directed paths for each pair, each with weaknesses of its own.

``Network`` owns the packets that are under way. It must not know what they say: it loses, repeats, delays, overtakes,
keeps back, damages. A path leads from an interface of one node to the interface of the same number of another; nothing
that befalls it befalls the way back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from exavrrp.simulation.world import World
from exavrrp.vrrp.packet import Datagram

Address = IPv4Address | IPv6Address


@dataclass(slots=True)
class Path:
    """One directed path from one node to another."""

    delay: float
    """seconds, at least"""
    jitter: float = 0.0
    """seconds that may be added: packets overtake each other"""
    loss: float = 0.0
    """probability, as all of these"""
    repeat: float = 0.0
    damage: float = 0.0
    cut: bool = False
    clogged: bool = False
    kept: list["Packet"] = field(default_factory=list)
    """what waits while it is clogged"""

    def heal(self) -> None:
        self.jitter = self.loss = self.repeat = self.damage = 0.0
        self.cut = self.clogged = False


@dataclass(frozen=True, slots=True)
class Packet:
    """A datagram, and what only the simulation knows of it."""

    datagram: Datagram
    sender: int
    sent: float
    """seconds of the world"""
    tampered: bool = False
    """whether it is not what a node has sent"""
    signed: bool = False
    """whether its sender has signed it"""
    replayed: bool = False
    """whether an attacker has sent it again"""
    beacon: bool = False
    """whether it is one, and no advert"""


Deliver = Callable[[int, int, Packet], None]
"""Hand a packet to a node, at one of its interfaces."""


class Network:
    """All paths between all nodes."""

    def __init__(self, world: World, nodes: int, paths: int, delay: Callable[[], float], deliver: Deliver) -> None:
        self._world = world
        self._deliver = deliver
        self.tap: Deliver | None = None
        """who sees everything that is sent"""
        self.paths = {
            (sender, receiver, path): Path(delay())
            for sender in range(nodes)
            for receiver in range(nodes)
            for path in range(paths)
            if sender != receiver
        }

    def send(self, receiver: int, path: int, packet: Packet) -> None:
        """A node has sent this through its interface ``path``."""
        if self.tap is not None:
            self.tap(receiver, path, packet)
        way = self.paths[packet.sender, receiver, path]
        random = self._world.random
        if way.cut or (way.loss and random.random() < way.loss):
            return
        if way.clogged:
            way.kept.append(packet)
            return
        if way.damage and random.random() < way.damage:
            packet = _damaged(packet, random.randrange(len(packet.datagram.payload) * 8))
        self._under_way(receiver, path, way, packet)
        while way.repeat and random.random() < way.repeat:
            self._under_way(receiver, path, way, packet)

    def _under_way(self, receiver: int, path: int, way: Path, packet: Packet) -> None:
        delay = way.delay + way.jitter * self._world.random.random() if way.jitter else way.delay
        self._world.after(delay, self._deliver, receiver, path, packet)

    def unclog(self, sender: int, receiver: int, path: int) -> None:
        """The packets that were kept arrive, all at once and in order."""
        way = self.paths[sender, receiver, path]
        way.clogged = False
        kept, way.kept = way.kept, []
        for packet in kept:
            self._world.after(way.delay, self._deliver, receiver, path, packet)

    def heal(self) -> None:
        """Every packet arrives, at once and once."""
        for (sender, receiver, path), way in self.paths.items():
            if way.clogged:
                self.unclog(sender, receiver, path)
            way.heal()


def _damaged(packet: Packet, bit: int) -> Packet:
    """The packet with one bit changed."""
    payload = bytearray(packet.datagram.payload)
    payload[bit // 8] ^= 1 << bit % 8
    old = packet.datagram
    datagram = Datagram(old.source, old.destination, old.hop_limit, bytes(payload))
    return replace(packet, datagram=datagram, tampered=True)
