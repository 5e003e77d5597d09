"""Raw sockets of IP protocol 112: sends adverts over each path, and receives them on every interface.

This file owns the sockets of one source address and their options. It must not know the content of an advert, nor which
paths there are: a caller passes bytes, a destination and interfaces, and gets bytes with the interface and the source
they came from. Of the peers it knows the addresses.

**Receiving.** One socket is bound to the source, on all interfaces. The kernel's filter on it accepts only packets from
peers (``filters``). It is read in small batches, so that a flood cannot delay the timers of the event loop. ``drain``
reads all that waits: to be called before a timeout is acted on. The kernel neither computes nor verifies a VRRP
checksum here (``IPV6_CHECKSUM`` is off on raw sockets by default): the codec does, so that a wrong one is counted.

**Non-peers.** Packets from any other source, our own addresses included, go to a second socket with a buffer for a few
packets. It is read once a second, and these packets are handled like all others, so that the log can name the source.
The kernel counts those that it drops because the buffer is full. So a flood from non-peers takes neither our CPU time
nor the buffer of the peers' adverts, and is counted. Where there are more peers than a filter can hold, there is no
second socket, and the first one accepts every source.

The kernel's count (``SK_MEMINFO_DROPS``) is of packets dropped because the buffer was full. Packets that a filter
rejects are not in it, with one exception: some kernels (6.18 is one) check the buffer first, and count every packet
while it is full.

**Sending.** There is one socket for each interface (``senders``).

**One interface.** Where adverts do not follow the routes (``ports.Medium``), the receiving socket is bound to the
interface, too, and for multicast to the group, which it joins, instead of the source. The kernel binds it to the index
of the interface, so it is opened again when an interface of that name has another one (``forget``).

The peers may change while packets arrive (``admit``): the kernel replaces a filter between two packets, and the sockets
stay open.

Nothing here blocks. Once ``open`` has returned, only ``admit`` raises: failures to send are returned and counted.
``Transports`` has a wire for each source.
"""

import asyncio
import contextlib
import errno
import functools
import math
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import IPv6Address

from exavrrp.ports import Arrival, Counters, Link, Medium, Sent
from exavrrp.system import filters
from exavrrp.system.senders import ANYWHERE, HOP_LIMIT, Senders, error_name
from exavrrp.vrrp.packet import PROTOCOL, Address, Datagram, Malformed, Reason, strip_ipv4

BATCH = 32
"""Packets handled in one wake-up. At some 50 µs each this delays a timer by less than 2 ms."""
_DRAIN = 2048
"""Packets handled by one ``drain``: more than the receive buffer can hold."""
RECEIVE_BUFFER = 512 * 1024
"""Bytes of the receive buffer that are requested. An advert takes about 1 KiB of it: room for the adverts that arrive
while this process stands still."""
_REOPEN = 0.5
"""Seconds between two attempts to open the receiving socket again: an interface may come before its address."""
_PAUSE = 1.0
"""Seconds between two reads of the packets from non-peers: shorter than the rate limit of the log."""
_LARGEST = 8192
"""Bytes read of a packet. The longest advert has 8 + 255 × 16 + 28 bytes after an IPv4 header of at most 60."""

_TRUNCATED = int(socket.MSG_TRUNC)
"""As a plain number: an enumeration's operators take longer than reading a packet."""
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_MEMINFO, _IP_PKTINFO = 33, 35, 55, 8
"""asm-generic/socket.h and linux/in.h; Python 3.11 has no names for them."""
_MEMINFO = struct.Struct("=9I")
_DROPS_AT = 8
"""SK_MEMINFO_DROPS of linux/sock_diag.h."""
_TOO_LONG = {errno.EINVAL, errno.ENOMEM}
"""Errors of the kernel for a filter that is too long for it."""

_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_INT = struct.Struct("=i")
_IN6_PKTINFO_KIND = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
_HOP_LIMIT_KIND = socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_SIZE = (
    socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_IN6_PKTINFO.size) + socket.CMSG_SPACE(_INT.size)
)


class Wire:
    """All adverts from and to one source address, or to a multicast group on its link.

    ``receive`` is called with the packets of ``peers``, and a few of other sources, that have a valid IP header: all
    that were read in one turn of the event loop, at least one. ``rejected`` is called for every other packet, with the
    reason and the source (None if unknown). Both are called from the event loop, and ``rejected`` also from ``drain``;
    they may call ``send`` and ``close``.
    """

    def __init__(
        self,
        source: Address,
        receive: Callable[[Sequence[Arrival]], None],
        rejected: Callable[[Reason, Address | None], None],
    ) -> None:
        self.source = source
        self._peers: frozenset[Address] = frozenset()
        self._by_text: dict[str, Address] = {}
        """the peers: an address that is the same object everywhere is compared sooner"""
        self._counters = Counters()
        self._receive = receive
        self._rejected = rejected
        self._family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._others: socket.socket | None = None
        """receives what non-peers send"""
        self._next_read: asyncio.TimerHandle | None = None
        """when ``_others`` is read again"""
        self._unread = 0
        """packets that the kernel dropped in sockets for non-peers that are closed"""
        self._senders = Senders(source, socket.SOCK_RAW, PROTOCOL)
        self._sent: defaultdict[Address, Counter[str]] = defaultdict(Counter)
        """copies by peer and name of the interface: an address takes longer to look up than a name"""
        self._drained = -math.inf
        """``loop.time()`` when the last drain began"""
        self._medium: Medium | None = None
        self._index = 0
        """of the interface of ``_medium``, to which the receiving socket is bound"""
        self._next_open: asyncio.TimerHandle | None = None
        """when a receiving socket that could not be opened again is tried"""

    @property
    def counters(self) -> Counters:
        """What this wire and the kernel have counted so far."""
        for peer, taken in self._sent.items():
            for name, count in taken.items():
                self._counters.sent[peer, name] = count
        if self._socket is not None:
            self._counters.overflowed = _dropped(self._socket)
        if self._others is not None:
            self._counters.unread = self._unread + _dropped(self._others)
        return self._counters

    @property
    def filtered(self) -> bool:
        """Whether the kernel filters by source. It does unless there are more peers than a filter can hold."""
        return self._others is not None or self._socket is None

    @property
    def medium(self) -> Medium | None:
        """The interface that it is bound to; None: it follows the routes."""
        return self._medium

    @property
    def heeds_anybody(self) -> bool:
        """Whether packets of any source are accepted."""
        return self._medium is not None and self._medium.anybody

    @property
    def peers(self) -> frozenset[Address]:
        """The addresses whose packets are accepted."""
        return self._peers

    def fileno(self) -> int:
        """The descriptor of the socket that receives from peers; -1 while the wire is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def open(self, loop: asyncio.AbstractEventLoop, peers: Collection[Address], medium: Medium | None = None) -> None:
        """Starts to receive what ``peers`` send, over any interface or over that of ``medium`` alone.

        Without that interface it begins when there is one of that name. Raises ``OSError``: ``EADDRNOTAVAIL`` when this
        host does not have the source, ``EPERM`` without CAP_NET_RAW.
        """
        self._loop = loop
        self._set_peers(frozenset(peers))
        self._medium = medium
        if medium is None or _index_of(medium.interface):
            self._open_receivers(loop)
        else:
            self._follow_interface(medium.interface)

    def _open_receivers(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ``OSError``; then none is open."""
        if self._medium is not None:
            self._index = _index_of(self._medium.interface)
        receiver = self._receiver(RECEIVE_BUFFER)
        try:
            self._others = self._filter_by_source(receiver)
        except OSError:
            receiver.close()
            raise
        self._socket = receiver
        loop.add_reader(receiver.fileno(), self._readable)
        self._watch_others()

    def admit(self, peers: Collection[Address]) -> None:
        """Change the peers of an open wire. No packet of a peer that stays is lost or read twice.

        Packets that other sources sent before may still be received. Raises ``OSError``; then nothing has changed.
        """
        before = self._peers
        self._set_peers(frozenset(peers))
        if self._peers == before or self.heeds_anybody:
            return
        if self._socket is None:
            return  # its interface is away
        try:
            if self._others is None:
                self._others = self._filter_by_source(self._socket)
                self._watch_others()
            else:
                self._replace_filters(self._socket, self._others, before)
        except OSError:
            self._set_peers(before)
            raise

    def _set_peers(self, peers: frozenset[Address]) -> None:
        self._peers, self._by_text = peers, {str(peer): peer for peer in peers}

    def _replace_filters(self, receiver: socket.socket, others: socket.socket, before: frozenset[Address]) -> None:
        """Raises ``OSError``; then nothing has changed."""
        try:
            # In this order a new peer's first packet may be lost, but none is received twice: that would be a replay.
            filters.attach(others, filters.outside(self._peers))
            filters.attach(receiver, filters.among(self._peers))
        except OSError as error:
            if error.errno not in _TOO_LONG:
                filters.attach(others, filters.outside(before))
                raise
            filters.attach(receiver, filters.EVERYTHING)
            self._close_others(others)

    def _close_others(self, others: socket.socket) -> None:
        """Closes the socket for non-peers: with an unfiltered receiver, every packet of theirs would be read twice."""
        self._unread += _dropped(others)
        self._close_receiver(others)
        self._others = None
        if self._next_read is not None:
            self._next_read.cancel()

    def close(self) -> None:
        """Closes all sockets. May be called twice, and from within a callback."""
        self._senders.close()
        if self._next_open is not None:
            self._next_open.cancel()
        self._close_receivers()
        self._medium = None  # else ``forget`` would open it again

    def _close_receivers(self) -> None:
        if self._next_read is not None:
            self._next_read.cancel()
        self._counters = self.counters
        for receiver in (self._socket, self._others):
            if receiver is not None:
                self._close_receiver(receiver)
        self._socket = self._others = None

    def _close_receiver(self, receiver: socket.socket) -> None:
        if self._loop is not None:
            self._loop.remove_reader(receiver.fileno())
        receiver.close()

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> list[Sent]:
        """Sends one copy over each of ``links``; without any, one copy over the interface that the kernel chooses."""
        results = self._senders.send(payload, peer, links or (ANYWHERE,))
        taken = self._sent[peer]
        for sent in results:
            if sent.error is None:
                taken[sent.interface] += 1
            else:
                self._counters.failed[peer, sent.interface, error_name(sent.error)] += 1
        return results

    def drain(self, until: float = math.inf) -> list[Arrival]:
        """Everything that waits in the receive buffer, at most as much as the buffer can hold.

        ``until`` (``loop.time()``): packets that arrived later are not needed. When several timers are due at one
        moment, the first reads for all: under a flood, each would read a full buffer.

        To be called before a timeout is acted on: after a pause of this process, adverts of the peers wait here.
        """
        if self._socket is None or self._loop is None or self._drained >= until:
            return []
        self._drained = self._loop.time()
        return self._read(self._socket, _DRAIN)

    def forget(self, index: int) -> None:
        """Closes the sending socket of an interface that is gone."""
        self._senders.forget(index)
        if self._medium is not None and self._loop is not None:
            self._follow_interface(self._medium.interface)

    def _follow_interface(self, name: str) -> None:
        """Have the receiving socket bound to the interface that has this name now."""
        assert self._loop is not None
        if self._next_open is not None:
            self._next_open.cancel()
            self._next_open = None
        if self._socket is not None and _index_of(name) == self._index:
            return
        self._close_receivers()
        try:
            self._open_receivers(self._loop)
        except OSError:
            self._next_open = self._loop.call_later(_REOPEN, self._follow_interface, name)

    def _receiver(self, buffer: int) -> socket.socket:
        """A socket bound to our source (or group and interface), with a filter that accepts nothing yet."""
        receiver = socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
        try:
            filters.attach(receiver, filters.NOTHING)
            set_buffer(receiver, buffer)
            ask_for_arrival(receiver)
            self._bind(receiver, self._medium)
            # Between socket() and the filter it received everything that was sent to any address of this host.
            with contextlib.suppress(BlockingIOError):
                while True:
                    receiver.recv(1)
        except OSError:
            receiver.close()
            raise
        return receiver

    def _bind(self, receiver: socket.socket, medium: Medium | None) -> None:
        """Has it receive what is meant for our source, or for the group on our interface. Raises ``OSError``."""
        if medium is not None:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, medium.interface.encode() + b"\0")
        if medium is None or medium.group is None:
            receiver.bind((str(self.source), 0))
        elif self._family == socket.AF_INET:
            receiver.bind((str(medium.group), 0))
            joined = struct.pack("=4s4si", medium.group.packed, bytes(4), self._index)  # struct ip_mreqn, ip(7)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        else:
            receiver.bind((str(medium.group), 0, 0, self._index))
            joined = struct.pack("=16si", medium.group.packed, self._index)  # struct ipv6_mreq, ipv6(7)
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)

    def _filter_by_source(self, receiver: socket.socket) -> socket.socket | None:
        """Has ``receiver`` accept peers only; the socket for non-peers, or None where the filter would be too long.

        None, too, where anybody may be a peer.
        """
        if self.heeds_anybody:
            filters.attach(receiver, filters.EVERYTHING)
            return None
        others = self._receiver(0)
        try:
            filters.attach(others, filters.outside(self._peers))
            filters.attach(receiver, filters.among(self._peers))
        except OSError as error:
            others.close()
            if error.errno not in _TOO_LONG:
                raise
            filters.attach(receiver, filters.EVERYTHING)
            return None
        return others

    def _readable(self) -> None:
        assert self._socket is not None
        self._hand_over(self._socket, BATCH)

    def _hand_over(self, receiver: socket.socket, limit: int) -> None:
        found = self._read(receiver, limit)
        if found and receiver in (self._socket, self._others):
            self._receive(found)

    def _watch_others(self) -> None:
        if self._others is not None and self._loop is not None:
            self._loop.add_reader(self._others.fileno(), self._read_others)

    def _read_others(self) -> None:
        """Reads the packets of non-peers that wait, and then none for ``_PAUSE``."""
        assert self._others is not None
        assert self._loop is not None
        self._loop.remove_reader(self._others.fileno())
        self._next_read = self._loop.call_later(_PAUSE, self._watch_others)
        self._hand_over(self._others, BATCH)

    def _read(self, receiver: socket.socket, limit: int) -> list[Arrival]:
        found: list[Arrival] = []
        assert self._loop is not None
        for _ in range(limit):
            try:
                if receiver not in (self._socket, self._others) or not self._read_one(receiver, found):
                    break  # no packet waits, or ``rejected`` has closed this wire or changed its peers
            except Exception as bug:  # it costs this packet alone
                self._loop.call_exception_handler({"message": "a bug at a packet", "exception": bug})
        return found

    def _read_one(self, receiver: socket.socket, found: list[Arrival]) -> bool:
        """Reads one packet, and appends it unless it is rejected; false when none waits."""
        assert self._loop is not None
        try:
            data, ancillary, flags, sender = receiver.recvmsg(_LARGEST, _ANCILLARY_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._counters.receive_errors[error_name(error.errno or errno.EIO)] += 1
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
                source = self._by_text.get(sender[0]) or _address(sender[0])
                destination, interface, hop_limit = read_ipv6_ancillary(ancillary)
                datagram = Datagram(source, destination, hop_limit, data)
        except Malformed as malformed:
            self._rejected(malformed.reason, source)
            return True
        self._counters.received[interface] += 1
        found.append(Arrival(datagram, interface, self._loop.time(), read_timestamp(ancillary)))
        return True


def ask_for_arrival(receiver: socket.socket) -> None:
    """Have the kernel say of each packet when and where it arrived, and of IPv6 how far it came."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if receiver.family == socket.AF_INET:
        receiver.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)


Ancillary = Iterable[tuple[int, int, bytes]]
"""(level, type, data), as ``socket.recvmsg`` returns it."""


def read_ipv4_ancillary(ancillary: Ancillary) -> int:
    """The interface index of a raw IPv4 packet (IP_PKTINFO, ip(7)).

    Raises ``Malformed`` when it is missing, and nothing else, whatever the bytes.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _IN_PKTINFO.size:
            interface: int = _IN_PKTINFO.unpack_from(data)[0]
            return interface
    raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived")


def read_ipv6_ancillary(ancillary: Ancillary) -> tuple[IPv6Address, int, int]:
    """(destination, interface index, hop limit) of a raw IPv6 packet (IPV6_PKTINFO and IPV6_HOPLIMIT, RFC 3542).

    Raises ``Malformed`` when one of them is missing, and nothing else, whatever the bytes.
    """
    found = {(level, kind): data for level, kind, data in ancillary}
    try:
        return _where(found[_IN6_PKTINFO_KIND], found[_HOP_LIMIT_KIND])
    except (KeyError, struct.error):
        raise Malformed(Reason.IP_HEADER, "the kernel did not say where it arrived and how far it came") from None


@functools.lru_cache(maxsize=256)
def _where(info: bytes, hops: bytes) -> tuple[IPv6Address, int, int]:
    """Remembered: there are so few, and a destination that is the same object is compared sooner."""
    packed, interface = _IN6_PKTINFO.unpack_from(info)
    hop_limit = _INT.unpack_from(hops)[0]
    if not 0 <= hop_limit <= HOP_LIMIT:
        raise Malformed(Reason.IP_HEADER, f"the kernel says that its hop limit was {hop_limit}")
    return IPv6Address(packed), interface, hop_limit


def read_timestamp(ancillary: Ancillary) -> float | None:
    """When the kernel received the packet (SO_TIMESTAMPNS), in seconds since the epoch; None if it is missing."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds + nanoseconds / 1e9)
    return None


@functools.lru_cache(maxsize=256)
def _address(text: str) -> IPv6Address:
    """The address that recvmsg(2) names as the sender, without the scope of a link-local address."""
    return IPv6Address(text.partition("%")[0])


def set_buffer(receiver: socket.socket, size: int) -> None:
    """Sets the receive buffer in bytes: with CAP_NET_ADMIN any size, otherwise up to net.core.rmem_max (socket(7))."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _dropped(receiver: socket.socket) -> int:
    """How many packets the kernel has dropped because the buffer was full (SO_MEMINFO, since Linux 4.12)."""
    number: int = _MEMINFO.unpack(receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS_AT]
    return number


def _index_of(interface: str) -> int:
    """Of the interface of this name; 0 if there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
