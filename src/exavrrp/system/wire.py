"""Raw sockets of IP protocol 112: adverts out over each path, adverts in from wherever they arrive.

This file owns the sockets of one source address and everything the kernel has to be told about them. It must not know
what an advert says, who the peers are, or which paths there are: bytes, a destination and interfaces come in, bytes and
where they came from go out.

**In.** One socket bound to the source, on all interfaces. It is read in small batches, so that a flood cannot keep the
event loop from its timers; ``drain`` reads all that waits, for the moment before a deadline is believed. The kernel
neither computes nor verifies a VRRP checksum here (``IPV6_CHECKSUM`` is off on raw sockets unless asked for): the codec
does, so that a wrong one is seen and counted.

**Out.** One socket per interface, bound to the source *and* to the device. Among equal-cost next hops only
``SO_BINDTODEVICE`` decides for both families: ``IPV6_PKTINFO`` and ``IPV6_UNICAST_IF`` do not when the source is bound.
A sender hears nothing: a socket filter drops what the kernel would otherwise copy to it. Senders are made when first
needed, and made anew when the interface of that name has another index and after every failure: which error a deleted
interface gives depends on the family and on the routes that went with it.

Nothing here waits and nothing raises once ``open`` has returned: what could not be sent is returned and counted.
"""

import asyncio
import ctypes
import errno
import functools
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Protocol

from exavrrp.vrrp.packet import PROTOCOL, Address, Datagram, Malformed, Reason, strip_ipv4

HOP_LIMIT = 255
"""RFC 9568 §5.1.1.3 and §5.1.2.3."""
CLASS_SELECTOR_6 = 0xC0
"""The traffic class of routing protocols (RFC 4594 §3.1), so that adverts are the last to be dropped."""
ANY = ""
"""Stands for an interface's name where the kernel chose the interface."""

_BATCH = 32
"""Packets handled in one wake-up. At some 50 µs each this delays a timer by less than 2 ms."""
_DRAIN = 2048
"""Packets handled by one ``drain``: more than the receive buffer can hold."""
_RECEIVE_BUFFER = 512 * 1024
"""Bytes asked for. An advert takes about 1 KiB of them in the kernel: room for a stalled process's backlog."""
_LARGEST = 8192
"""Bytes read of a packet. The longest advert has 8 + 255 × 16 + 28 of them after an IPv4 header of at most 60."""

_TC_PRIO_CONTROL = 7
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_RXQ_OVFL, _IP_PKTINFO = 26, 33, 40, 8
_SO_TIMESTAMPNS = 35
"""asm-generic/socket.h and linux/in.h; Python 3.11 has no names for them."""

_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_INT = struct.Struct("=i")
_UNSIGNED = struct.Struct("=I")
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_SIZE = (
    socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_IN6_PKTINFO.size) + 2 * socket.CMSG_SPACE(_INT.size)
)


class Interface(Protocol):
    """What a sender must know of an interface; ``paths.Link`` is one."""

    @property
    def index(self) -> int: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet, and where and when it came in."""

    datagram: Datagram
    interface: int
    """index of the interface it arrived on"""
    at: float
    """``loop.time()`` when it was read"""
    realtime: float | None = None
    """seconds since the epoch when the kernel got it, which may be long before; None: it did not say"""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one copy."""

    interface: str
    """name of the interface, ``ANY`` for the kernel's choice"""
    error: int | None
    """errno, ``None`` when the kernel took the packet"""


@dataclass(slots=True)
class Counters:
    """What an operator asks first; nobody but the wire writes here."""

    sent: Counter[tuple[Address, str]] = field(default_factory=Counter)
    """copies by (peer, interface name)"""
    failed: Counter[tuple[Address, str, str]] = field(default_factory=Counter)
    """copies not sent by (peer, interface name, name of the error such as ``ENETUNREACH``)"""
    received: Counter[int] = field(default_factory=Counter)
    """packets by interface index, rejected ones included"""
    overflowed: int = 0
    """packets the kernel dropped because the receive buffer was full (wraps at 2³²)"""
    receive_errors: Counter[str] = field(default_factory=Counter)
    """failed reads by name of the error"""


@dataclass(slots=True)
class _Sender:
    index: int
    socket: socket.socket


class Wire:
    """All adverts from and to one source address.

    ``receive`` gets every packet with an understandable IP header. ``rejected`` gets the reason for every other, with
    its source where that is known. Both are called from the event loop or from within ``drain``; they may call ``send``
    and ``close``.
    """

    def __init__(
        self,
        source: Address,
        receive: Callable[[Arrival], None],
        rejected: Callable[[Reason, Address | None], None],
    ) -> None:
        self.source = source
        self.counters = Counters()
        self._receive = receive
        self._rejected = rejected
        self._family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._senders: dict[str, _Sender] = {}
        self._reading = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to receive.

        Raises ``OSError``: ``EADDRNOTAVAIL`` when this host does not have the source, ``EPERM`` without CAP_NET_RAW.
        """
        self._socket = self._receiver()
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Closes all sockets. May be called twice, and from within a callback."""
        for name in tuple(self._senders):
            self._drop(name)
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def send(self, payload: bytes, peer: Address, links: Sequence[Interface]) -> list[Sent]:
        """Sends one copy through each of ``links``, or a single one through the kernel's choice when there are none."""
        if not links:
            return [self._copy(payload, peer, 0, ANY)]
        return [self._copy(payload, peer, link.index, link.name) for link in links]

    def drain(self) -> None:
        """Hands over, now, everything that waits in the receive buffer (no more than the buffer can hold).

        To be called before a deadline is looked at: after a pause, proof of a peer's life is waiting here. Does nothing
        from within ``receive``: who handles a packet is already reading.
        """
        self._read(_DRAIN)

    def forget(self, index: int) -> None:
        """The interface with this index is gone: closes its sender."""
        for name in [name for name, sender in self._senders.items() if name != ANY and sender.index == index]:
            self._drop(name)

    def _copy(self, payload: bytes, peer: Address, index: int, name: str) -> Sent:
        try:
            self._sender(index, name).socket.sendto(payload, (_text(peer), 0))
        except OSError as error:
            number = error.errno or errno.EIO
            self._drop(name)
            self.counters.failed[peer, name, _error_name(number)] += 1
            return Sent(name, number)
        self.counters.sent[peer, name] += 1
        return Sent(name, None)

    def _sender(self, index: int, name: str) -> _Sender:
        sender = self._senders.get(name)
        if sender is None or sender.index != index:
            self._drop(name)
            sender = self._senders[name] = _Sender(index, self._new_sender(name))
        return sender

    def _drop(self, name: str) -> None:
        sender = self._senders.pop(name, None)
        if sender is not None:
            sender.socket.close()

    def _new_sender(self, name: str) -> socket.socket:
        sender = socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
        try:
            _deafen(sender)
            if name != ANY:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
            if self._family == socket.AF_INET:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, CLASS_SELECTOR_6)
            else:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, CLASS_SELECTOR_6)
            # After IP_TOS, which sets a priority of its own.
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _TC_PRIO_CONTROL)
            sender.bind((str(self.source), 0))
        except OSError:
            sender.close()
            raise
        return sender

    def _receiver(self) -> socket.socket:
        receiver = socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
        try:
            _enlarge(receiver)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if self._family == socket.AF_INET:
                receiver.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            else:
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            receiver.bind((str(self.source), 0))
        except OSError:
            receiver.close()
            raise
        return receiver

    def _readable(self) -> None:
        self._read(_BATCH)

    def _read(self, limit: int) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            for _ in range(limit):
                if self._socket is None or not self._read_one(self._socket):
                    return
        finally:
            self._reading = False

    def _read_one(self, receiver: socket.socket) -> bool:
        """Reads and hands over one packet; false when none waits."""
        assert self._loop is not None
        try:
            data, ancillary, flags, sender = receiver.recvmsg(_LARGEST, _ANCILLARY_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            self.counters.receive_errors[_error_name(error.errno or errno.EIO)] += 1
            return False
        source: Address | None = None
        try:
            if flags & socket.MSG_TRUNC:
                raise Malformed(Reason.LENGTH, f"longer than {_LARGEST} bytes, which no advert is")
            if self._family == socket.AF_INET:
                datagram = strip_ipv4(data)
                source = datagram.source
                interface, dropped = read_ipv4_ancillary(ancillary)
            else:
                source = _address(sender[0])
                destination, interface, hop_limit, dropped = read_ipv6_ancillary(ancillary)
                datagram = Datagram(source, destination, hop_limit, data)
        except Malformed as malformed:
            self._rejected(malformed.reason, source)
            return True
        if dropped is not None:
            self.counters.overflowed = dropped
        self.counters.received[interface] += 1
        self._receive(Arrival(datagram, interface, self._loop.time(), read_timestamp(ancillary)))
        return True


Ancillary = Iterable[tuple[int, int, bytes]]
"""(level, type, data), as ``socket.recvmsg`` returns it."""


def read_ipv4_ancillary(ancillary: Ancillary) -> tuple[int, int | None]:
    """(interface index, packets dropped so far if the kernel says so) of a raw IPv4 packet.

    Raises ``Malformed`` when the interface is missing, and nothing else whatever the bytes.
    """
    interface = dropped = None
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _IN_PKTINFO.size:
            interface = _IN_PKTINFO.unpack_from(data)[0]
        elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(data) >= _UNSIGNED.size:
            dropped = _UNSIGNED.unpack_from(data)[0]
    if interface is None:
        raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived")
    return interface, dropped


def read_ipv6_ancillary(ancillary: Ancillary) -> tuple[IPv6Address, int, int, int | None]:
    """(destination, interface index, hop limit, packets dropped so far if the kernel says so) of a raw IPv6 packet.

    Raises ``Malformed`` when one of the first three is missing, and nothing else whatever the bytes.
    """
    destination = interface = hop_limit = dropped = None
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) >= _IN6_PKTINFO.size:
            packed, interface = _IN6_PKTINFO.unpack_from(data)
            destination = IPv6Address(packed)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT) and len(data) >= _INT.size:
            hop_limit = _INT.unpack_from(data)[0]
        elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(data) >= _UNSIGNED.size:
            dropped = _UNSIGNED.unpack_from(data)[0]
    if destination is None or interface is None or hop_limit is None or not 0 <= hop_limit <= HOP_LIMIT:
        raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived and how far it came")
    return destination, interface, hop_limit, dropped


def read_timestamp(ancillary: Ancillary) -> float | None:
    """Seconds since the epoch at which the kernel got the packet, None if it does not say; raises nothing."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds + nanoseconds / 1e9)
    return None


@functools.lru_cache(maxsize=256)
def _address(text: str) -> IPv6Address:
    """The address in the name that recvmsg gives a sender, without the scope of a link-local one."""
    return IPv6Address(text.partition("%")[0])


@functools.lru_cache(maxsize=256)
def _text(address: Address) -> str:
    """The name of a peer, which takes longer to write than its packet to send."""
    return str(address)


def _enlarge(receiver: socket.socket) -> None:
    """With CAP_NET_ADMIN beyond net.core.rmem_max, otherwise as far as that goes."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def _error_name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _deafen(sender: socket.socket) -> None:
    """Attaches a classic BPF program of one instruction, "accept 0 bytes": nothing is ever queued on this socket."""
    instruction = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0), 8)  # BPF_RET | BPF_K
    program = struct.pack("@HP", 1, ctypes.addressof(instruction))  # struct sock_fprog
    sender.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
