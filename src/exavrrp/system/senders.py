"""Sockets that send from one source address over one interface each: those of adverts, and of beacons.

There is one socket for each interface, bound to the source *and* to the device. Among equal-cost next hops only
``SO_BINDTODEVICE`` selects one for both families: ``IPV6_PKTINFO`` and ``IPV6_UNICAST_IF`` do not when the source is
bound. A filter drops everything that the kernel would deliver to a sending socket. These sockets are made when first
needed, and again after every failure and when the interface of that name has another index: the error for a deleted
interface depends on the family and on the routes that were deleted with it.

Nothing here blocks, and nothing raises. A destination that answers with an ICMP error is not noticed: the kernel tells
that only to sockets that are connected, or have asked for it (ip(7), IP_RECVERR).
"""

import errno
import functools
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from exavrrp.ports import ANY, Link, Sent
from exavrrp.system import filters
from exavrrp.vrrp.packet import Address

HOP_LIMIT = 255
"""TTL and hop limit of adverts (RFC 9568 §5.1.1.3 and §5.1.2.3)."""
CLASS_SELECTOR_6 = 0xC0
"""The traffic class of routing protocols (RFC 4594 §3.1), so that adverts are the last to be dropped."""

ANYWHERE = Link(0, ANY)
"""Leaves the choice to the kernel."""

_TC_PRIO_CONTROL = 7


@dataclass(slots=True)
class _Sender:
    index: int
    socket: socket.socket
    taken: Sent
    """the result when the kernel takes a copy: one object for all"""
    used: bool = False
    """since the last ``sweep``"""


class Senders:
    """The sending sockets of one source address."""

    def __init__(self, source: Address, kind: int, protocol: int, port: int = 0) -> None:
        """``kind``: ``SOCK_RAW`` or ``SOCK_DGRAM``; ``port``: of the destination, 0 for raw sockets."""
        self._source = source
        self._family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        self._kind = kind
        self._protocol = protocol
        self._port = port
        self._senders: dict[str, _Sender] = {}
        """by the name of the interface"""

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> list[Sent]:
        """Send one datagram over each of ``links``; what came of each."""
        to = _text(peer), self._port
        return [self._send(payload, to, link) for link in links]

    def _send(self, payload: bytes, to: tuple[str, int], link: Link) -> Sent:
        try:
            sender = self._sender(link)
            sender.used = True
            sender.socket.sendto(payload, to)
        except OSError as error:
            self._drop(link.name)
            return Sent(link.name, error.errno or errno.EIO)
        return sender.taken

    def forget(self, index: int) -> None:
        """Close the socket of the interface with this index, which is gone."""
        for name in [name for name, sender in self._senders.items() if name != ANY and sender.index == index]:
            self._drop(name)

    def sweep(self) -> None:
        """Close the sockets over which nothing was sent since the last call."""
        for name, sender in tuple(self._senders.items()):
            if not sender.used:
                self._drop(name)
            sender.used = False

    def close(self) -> None:
        """Close all; the next ``send`` opens one again."""
        for name in tuple(self._senders):
            self._drop(name)

    def _sender(self, link: Link) -> _Sender:
        sender = self._senders.get(link.name)
        if sender is None or sender.index != link.index:
            self._drop(link.name)
            sender = self._senders[link.name] = _Sender(link.index, self._opened(link.name), Sent(link.name, None))
        return sender

    def _drop(self, name: str) -> None:
        sender = self._senders.pop(name, None)
        if sender is not None:
            sender.socket.close()

    def _opened(self, name: str) -> socket.socket:
        sender = socket.socket(self._family, self._kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, self._protocol)
        try:
            filters.attach(sender, filters.NOTHING)
            if name != ANY:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
            if self._family == socket.AF_INET:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, CLASS_SELECTOR_6)
            else:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, CLASS_SELECTOR_6)
            # After IP_TOS, which sets a priority of its own.
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _TC_PRIO_CONTROL)
            sender.bind((str(self._source), 0))
        except OSError:
            sender.close()
            raise
        return sender


@functools.lru_cache(maxsize=256)
def _text(address: Address) -> str:
    """The text form of an address, cached: formatting it takes longer than sending a packet."""
    return str(address)


def error_name(number: int) -> str:
    """Of errno, such as ``ENETUNREACH``."""
    return errno.errorcode.get(number, str(number))
