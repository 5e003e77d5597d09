"""Raw sockets of IP protocol 112: adverts out over each path, adverts in from wherever they arrive.

This file owns the sockets of one source address and everything the kernel has to be told about them. It must not know
what an advert says, or which paths there are: bytes, a destination and interfaces come in, bytes and where they came
from go out. Of the peers it knows the addresses.

**In.** One socket bound to the source, on all interfaces, into which the kernel lets what comes from a peer
(``filters``). It is read in small batches, so that a flood cannot keep the event loop from its timers; ``drain`` reads
all that waits, for the moment before a deadline is believed. The kernel neither computes nor verifies a VRRP checksum
here (``IPV6_CHECKSUM`` is off on raw sockets unless asked for): the codec does, so that a wrong one is seen and
counted.

**Strangers.** What comes from anybody else, our own address included, goes to a second socket, whose buffer holds a
handful of packets. These are read once a second and handed on like all others, so that the log can say who knocks; the
kernel counts those that found no room, and nobody has to look at them. So a flood of strangers takes neither our time
nor the room of a peer's adverts, and yet it is counted. Where there are more peers than a filter can hold, there is no
second socket, and the first one hears everybody.

The kernel's count (``SK_MEMINFO_DROPS``) is of what found no room; what a filter does not let through is not in it. But
there are kernels (seen on 6.18) that look at the room first: while a socket is full they count for it also what
its filter would have kept out.

**Out.** One socket per interface, bound to the source *and* to the device. Among equal-cost next hops only
``SO_BINDTODEVICE`` decides for both families: ``IPV6_PKTINFO`` and ``IPV6_UNICAST_IF`` do not when the source is bound.
A sender hears nothing: a socket filter drops what the kernel would otherwise copy to it. Senders are made when first
needed, and made anew when the interface of that name has another index and after every failure: which error a deleted
interface gives depends on the family and on the routes that went with it.

Who is a peer may change while packets come in (``admit``): the kernel puts one filter in another's place between two
packets, and the sockets stay.

Nothing here waits and nothing raises once ``open`` has returned, but ``admit``: what could not be sent is returned and
counted. ``Transports`` has a wire for each source.
"""

import asyncio
import contextlib
import errno
import functools
import math
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from exavrrp.ports import ANY, Arrival, Counters, Link, Sent
from exavrrp.system import filters
from exavrrp.vrrp.packet import PROTOCOL, Address, Datagram, Malformed, Reason, strip_ipv4

HOP_LIMIT = 255
"""RFC 9568 §5.1.1.3 and §5.1.2.3."""
CLASS_SELECTOR_6 = 0xC0
"""The traffic class of routing protocols (RFC 4594 §3.1), so that adverts are the last to be dropped."""

BATCH = 32
"""Packets handled in one wake-up. At some 50 µs each this delays a timer by less than 2 ms."""
_DRAIN = 2048
"""Packets handled by one ``drain``: more than the receive buffer can hold."""
RECEIVE_BUFFER = 512 * 1024
"""Bytes asked for. An advert takes about 1 KiB of them in the kernel: room for a stalled process's backlog."""
_PAUSE = 1.0
"""Seconds between two looks at what strangers have sent: more often than the log speaks of them."""
_LARGEST = 8192
"""Bytes read of a packet. The longest advert has 8 + 255 × 16 + 28 of them after an IPv4 header of at most 60."""

_TC_PRIO_CONTROL = 7
_TRUNCATED = int(socket.MSG_TRUNC)
"""As a plain number: an enumeration's operators take longer than reading a packet."""
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_MEMINFO, _IP_PKTINFO = 33, 35, 55, 8
"""asm-generic/socket.h and linux/in.h; Python 3.11 has no names for them."""
_MEMINFO = struct.Struct("=9I")
_DROPS_AT = 8
"""SK_MEMINFO_DROPS of linux/sock_diag.h."""
_TOO_LONG = {errno.EINVAL, errno.ENOMEM}
"""What the kernel says of a filter that it cannot hold."""

_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_INT = struct.Struct("=i")
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_SIZE = (
    socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_IN6_PKTINFO.size) + socket.CMSG_SPACE(_INT.size)
)


@dataclass(slots=True)
class _Sender:
    index: int
    socket: socket.socket


class Wire:
    """All adverts from and to one source address.

    ``receive`` gets every packet of ``peers``, and a few of others, with an understandable IP header. ``rejected`` gets
    the reason for every other, with its source where that is known. Both are called from the event loop, the second one
    from within ``drain``, too; they may call ``send`` and ``close``.
    """

    def __init__(
        self,
        source: Address,
        receive: Callable[[Arrival], None],
        rejected: Callable[[Reason, Address | None], None],
    ) -> None:
        self.source = source
        self._peers: frozenset[Address] = frozenset()
        self._counters = Counters()
        self._receive = receive
        self._rejected = rejected
        self._family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._strangers: socket.socket | None = None
        self._look: asyncio.TimerHandle | None = None
        self._unread = 0
        """what the kernel had dropped in sockets for strangers that are closed"""
        self._senders: dict[str, _Sender] = {}
        self._drained = -math.inf
        """``loop.time()`` when the last drain began"""

    @property
    def counters(self) -> Counters:
        """What has been counted until now, by us and by the kernel."""
        if self._socket is not None:
            self._counters.overflowed = _dropped(self._socket)
        if self._strangers is not None:
            self._counters.unread = self._unread + _dropped(self._strangers)
        return self._counters

    @property
    def filtered(self) -> bool:
        """Whether the kernel keeps strangers from us. It does unless there are more peers than a filter can hold."""
        return self._strangers is not None

    @property
    def peers(self) -> frozenset[Address]:
        """Whose packets are let in."""
        return self._peers

    def fileno(self) -> int:
        """Of the socket that peers are heard on; -1 while the wire is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def open(self, loop: asyncio.AbstractEventLoop, peers: Collection[Address]) -> None:
        """Starts to receive what ``peers`` send.

        Raises ``OSError``: ``EADDRNOTAVAIL`` when this host does not have the source, ``EPERM`` without CAP_NET_RAW.
        """
        self._loop = loop
        self._peers = frozenset(peers)
        receiver = self._receiver(RECEIVE_BUFFER)
        try:
            self._strangers = self._kept_apart(receiver)
        except OSError:
            receiver.close()
            raise
        self._socket = receiver
        loop.add_reader(receiver.fileno(), self._readable)
        self._listen_to_strangers()

    def admit(self, peers: Collection[Address]) -> None:
        """From now on these are the peers of an open wire; no packet of those that stay is lost or read twice.

        What others had sent until then may still be handed over. Raises ``OSError``, and then nothing has changed.
        """
        assert self._socket is not None
        before, self._peers = self._peers, frozenset(peers)
        if self._peers == before:
            return
        try:
            if self._strangers is None:
                self._strangers = self._kept_apart(self._socket)
                self._listen_to_strangers()
            else:
                self._admit(self._socket, self._strangers, before)
        except OSError:
            self._peers = before
            raise

    def _admit(self, receiver: socket.socket, strangers: socket.socket, before: frozenset[Address]) -> None:
        """Raises ``OSError``, and then nothing has changed."""
        try:
            # In this order a new peer's first packet may be lost, and none comes twice: it would look like a replay.
            filters.attach(strangers, filters.outside(self._peers))
            filters.attach(receiver, filters.among(self._peers))
        except OSError as error:
            if error.errno not in _TOO_LONG:
                filters.attach(strangers, filters.outside(before))
                raise
            filters.attach(receiver, filters.EVERYTHING)
            self._let_strangers_in(strangers)

    def _let_strangers_in(self, strangers: socket.socket) -> None:
        """A socket of their own would get every packet of theirs twice."""
        self._unread += _dropped(strangers)
        self._close_receiver(strangers)
        self._strangers = None
        if self._look is not None:
            self._look.cancel()

    def close(self) -> None:
        """Closes all sockets. May be called twice, and from within a callback."""
        for name in tuple(self._senders):
            self._drop(name)
        if self._look is not None:
            self._look.cancel()
        self._counters = self.counters
        for receiver in (self._socket, self._strangers):
            if receiver is not None:
                self._close_receiver(receiver)
        self._socket = self._strangers = None

    def _close_receiver(self, receiver: socket.socket) -> None:
        if self._loop is not None:
            self._loop.remove_reader(receiver.fileno())
        receiver.close()

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> list[Sent]:
        """Sends one copy through each of ``links``, or a single one through the kernel's choice when there are none."""
        if not links:
            return [self._copy(payload, peer, 0, ANY)]
        return [self._copy(payload, peer, link.index, link.name) for link in links]

    def drain(self, until: float = math.inf) -> list[Arrival]:
        """Everything that waits in the receive buffer (no more than the buffer can hold).

        ``until``: it is enough to know what had come by then (``loop.time()``). Where several deadlines of one moment
        ask, the first has it done for all: under a flood, each would read a full buffer.

        To be called before a deadline is looked at: after a pause, proof of a peer's life is waiting here.
        """
        found: list[Arrival] = []
        if self._socket is not None and self._loop is not None and self._drained < until:
            self._drained = self._loop.time()
            self._read(self._socket, _DRAIN, found.append)
        return found

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
            self._counters.failed[peer, name, _error_name(number)] += 1
            return Sent(name, number)
        self._counters.sent[peer, name] += 1
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
            filters.attach(sender, filters.NOTHING)
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

    def _receiver(self, buffer: int) -> socket.socket:
        """A socket bound to our source into which nothing comes before its filter is changed."""
        receiver = socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
        try:
            filters.attach(receiver, filters.NOTHING)
            _set_buffer(receiver, buffer)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if self._family == socket.AF_INET:
                receiver.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            else:
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            receiver.bind((str(self.source), 0))
            # From socket() until there was a filter it heard everybody, about all addresses of this host.
            with contextlib.suppress(BlockingIOError):
                while True:
                    receiver.recv(1)
        except OSError:
            receiver.close()
            raise
        return receiver

    def _kept_apart(self, receiver: socket.socket) -> socket.socket | None:
        """Lets only peers into ``receiver``; the socket for all others, or None where the filter would be too long."""
        strangers = self._receiver(0)
        try:
            filters.attach(strangers, filters.outside(self._peers))
            filters.attach(receiver, filters.among(self._peers))
        except OSError as error:
            strangers.close()
            if error.errno not in _TOO_LONG:
                raise
            filters.attach(receiver, filters.EVERYTHING)
            return None
        return strangers

    def _readable(self) -> None:
        assert self._socket is not None
        self._read(self._socket, BATCH, self._receive)

    def _listen_to_strangers(self) -> None:
        if self._strangers is not None and self._loop is not None:
            self._loop.add_reader(self._strangers.fileno(), self._somebody_knocks)

    def _somebody_knocks(self) -> None:
        """Reads what has found room, and then nothing for a while."""
        assert self._strangers is not None
        assert self._loop is not None
        self._loop.remove_reader(self._strangers.fileno())
        self._look = self._loop.call_later(_PAUSE, self._listen_to_strangers)
        self._read(self._strangers, BATCH, self._receive)

    def _read(self, receiver: socket.socket, limit: int, deliver: Callable[[Arrival], None]) -> None:
        for _ in range(limit):
            if receiver not in (self._socket, self._strangers) or not self._read_one(receiver, deliver):
                return  # a listener has closed us, or has changed who is let in

    def _read_one(self, receiver: socket.socket, deliver: Callable[[Arrival], None]) -> bool:
        """Reads and hands over one packet; false when none waits."""
        assert self._loop is not None
        try:
            data, ancillary, flags, sender = receiver.recvmsg(_LARGEST, _ANCILLARY_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._counters.receive_errors[_error_name(error.errno or errno.EIO)] += 1
            return False
        source: Address | None = None
        try:
            if flags & _TRUNCATED:
                raise Malformed(Reason.LENGTH, f"longer than {_LARGEST} bytes, which no advert is")
            if self._family == socket.AF_INET:
                datagram = strip_ipv4(data)
                source = datagram.source
                interface = read_ipv4_ancillary(ancillary)
            else:
                source = _address(sender[0])
                destination, interface, hop_limit = read_ipv6_ancillary(ancillary)
                datagram = Datagram(source, destination, hop_limit, data)
        except Malformed as malformed:
            self._rejected(malformed.reason, source)
            return True
        self._counters.received[interface] += 1
        deliver(Arrival(datagram, interface, self._loop.time(), read_timestamp(ancillary)))
        return True


Ancillary = Iterable[tuple[int, int, bytes]]
"""(level, type, data), as ``socket.recvmsg`` returns it."""


def read_ipv4_ancillary(ancillary: Ancillary) -> int:
    """The interface index of a raw IPv4 packet.

    Raises ``Malformed`` when it is missing, and nothing else whatever the bytes.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _IN_PKTINFO.size:
            interface: int = _IN_PKTINFO.unpack_from(data)[0]
            return interface
    raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived")


def read_ipv6_ancillary(ancillary: Ancillary) -> tuple[IPv6Address, int, int]:
    """(destination, interface index, hop limit) of a raw IPv6 packet.

    Raises ``Malformed`` when one of them is missing, and nothing else whatever the bytes.
    """
    destination = interface = hop_limit = None
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) >= _IN6_PKTINFO.size:
            packed, interface = _IN6_PKTINFO.unpack_from(data)
            destination = IPv6Address(packed)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT) and len(data) >= _INT.size:
            hop_limit = _INT.unpack_from(data)[0]
    if destination is None or interface is None or hop_limit is None or not 0 <= hop_limit <= HOP_LIMIT:
        raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived and how far it came")
    return destination, interface, hop_limit


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


def _set_buffer(receiver: socket.socket, size: int) -> None:
    """With CAP_NET_ADMIN beyond net.core.rmem_max, otherwise as far as that goes; never below the kernel's minimum."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _dropped(receiver: socket.socket) -> int:
    """What the kernel has dropped because it found no room (known since Linux 4.12)."""
    number: int = _MEMINFO.unpack(receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS_AT]
    return number


def _error_name(number: int) -> str:
    return errno.errorcode.get(number, str(number))
