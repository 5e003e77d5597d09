"""The sockets of the beacons: sends them once a second over each path, and receives those of the peers.

UDP, a port of its own. Each source has one receiving socket, bound to it on all interfaces, and a sending socket for
each interface (``senders``). This file must not know what a beacon says: that is for ``beacon.station``.

Beacons are never needed, so nothing here may cost an election anything:

- Each datagram to a peer is sent in a turn of the event loop of its own: an advert that is due waits for one at most.
  The next second's begin when all of this one have been sent, however busy the host is.
- A sending socket over which no beacon leaves any more is closed a second later: its interface is gone, or its peers.
- The kernel's filter on a receiving socket accepts only packets from peers. What has come in is read ``BATCH`` at a
  time, and then nothing for ``PAUSE``; what finds no room in the small buffer meanwhile is lost. So a flood, which may
  claim to be a peer's, takes a bounded part of our time.
- A socket that cannot be opened (another program has the port) is logged, and tried again every ``REOPEN`` seconds.
- If anything here or in ``beacon`` raises, that is logged, and there are no more beacons until the agent begins anew.
"""

import asyncio
import functools
import socket
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address

from exavrrp.beacon.table import INTERVAL
from exavrrp.ports import Link, Log
from exavrrp.system import filters
from exavrrp.system.senders import Senders
from exavrrp.system.wire import ask_for_arrival, read_ipv4_ancillary, read_ipv6_ancillary, read_timestamp, set_buffer
from exavrrp.vrrp.packet import Address, Malformed

BATCH = 32
"""Datagrams read at a time: some 2 ms, each with a signature to be verified."""
PAUSE = 0.05
"""Seconds between two reads of one source."""
REOPEN = 5.0
"""Seconds until a socket that could not be opened is tried again."""
_BUFFER = 256 * 1024
"""Bytes of a receive buffer: the beacons of some fifty peers, which may come at one moment."""
_LARGEST = 2048
"""Bytes read of a datagram: more than a beacon may have."""
_ANCILLARY_SIZE = 256

Due = Callable[[], Iterable[Callable[[], None]]]
"""What is to be sent now, in calls that are short each."""
Heard = Callable[[Address, Address, int, bytes, float | None], None]
"""Takes our source, the sender, the index of the interface, the datagram, and when the kernel got it."""


class Beacons:
    """The sockets of all sources (``ports.Beacons``)."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: Due = tuple
        self._heard: Heard | None = None
        self._receivers: dict[Address, _Receiver] = {}
        self._port = 0
        self._next: asyncio.Handle | None = None
        """sends the next one; None: there are none"""
        self._began = 0.0
        """when the last ones were due"""

    def open(self, loop: asyncio.AbstractEventLoop, due: Due, heard: Heard) -> None:
        """Opens nothing yet; ``set`` does. ``due`` is called once a second, ``heard`` with what comes in."""
        self._loop, self._due, self._heard = loop, due, heard

    def close(self) -> None:
        """Close all; from then on nothing is sent or received."""
        self.set({}, 0)
        self._loop = None

    def set(self, peers: Mapping[Address, Collection[Address]], port: int) -> None:
        """See ``ports.Beacons``."""
        if self._loop is None:
            return
        for source in [one for one in self._receivers if one not in peers or port != self._port]:
            self._receivers.pop(source).close()
        self._port = port
        for source, admitted in peers.items():
            if source not in self._receivers:
                self._receivers[source] = _Receiver(self._loop, source, port, partial(self._take, source), self._log)
            self._receivers[source].admit(frozenset(admitted))
        if not peers and self._next is not None:
            self._next.cancel()
            self._next = None
        elif peers and self._next is None:
            self._next = self._loop.call_later(INTERVAL, self._beat)

    def send(self, source: Address, peer: Address, payload: bytes, link: Link) -> None:
        """See ``ports.Beacons``. If it fails, the peer notices: it does not hear us there."""
        if source in self._receivers:
            self._receivers[source].senders.send(payload, peer, [link])

    def _beat(self) -> None:
        assert self._loop is not None
        self._began = self._loop.time()
        for receiver in self._receivers.values():
            receiver.senders.sweep()
        self._step(iter(self._due()))

    def _step(self, due: Iterator[Callable[[], None]]) -> None:
        """Send one of those that are ``due``, and the others in turns of their own."""
        assert self._loop is not None
        if (tell := next(due, None)) is None:
            self._next = self._loop.call_at(self._began + INTERVAL, self._beat)
        else:
            self._next = self._loop.call_soon(self._step, due)
            self._shielded(tell)

    def _take(self, source: Address, sender: Address, interface: int, datagram: bytes, realtime: float | None) -> None:
        assert self._heard is not None
        self._shielded(partial(self._heard, source, sender, interface, datagram, realtime))

    def _shielded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            where = traceback.format_exc()[-3000:]
            self._log.error("beacon-failed", detail=f"there are no beacons any more, and all else goes on: {where}")
            self.close()


class _Receiver:
    """The sockets of one source."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Address,
        port: int,
        take: Callable[[Address, int, bytes, float | None], None],
        log: Log,
    ) -> None:
        self.senders = Senders(source, socket.SOCK_DGRAM, 0, port)
        self._loop = loop
        self._source = source
        self._port = port
        self._take = take
        self._log = log
        self._peers: frozenset[Address] = frozenset()
        self._socket: socket.socket | None = None
        self._next: asyncio.TimerHandle | None = None
        """when it is read, or opened, again"""
        self._told = False
        """whether it is logged that it cannot be opened"""

    def admit(self, peers: frozenset[Address]) -> None:
        """Receive what these send."""
        self._peers = peers
        if self._socket is not None:
            self._filter(self._socket)
        elif self._next is None:
            self._open()

    def close(self) -> None:
        """Close all sockets."""
        self.senders.close()
        if self._next is not None:
            self._next.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        self._next = None
        try:
            self._socket = self._opened()
        except OSError as error:
            if not self._told:
                detail = f"UDP port {self._port}: {error.strerror or error}; tried again every {REOPEN:g} s"
                self._log.warning("beacon-unavailable", source=str(self._source), detail=detail)
            self._told = True
            self._next = self._loop.call_later(REOPEN, self._open)
        else:
            self._told = False
            self._watch()

    def _opened(self) -> socket.socket:
        """Raises OSError."""
        family = socket.AF_INET if self._source.version == 4 else socket.AF_INET6
        receiver = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            set_buffer(receiver, _BUFFER)
            ask_for_arrival(receiver)
            self._filter(receiver)
            receiver.bind((str(self._source), self._port))
        except OSError:
            receiver.close()
            raise
        return receiver

    def _filter(self, receiver: socket.socket) -> None:
        try:
            filters.attach(receiver, filters.among(self._peers))
        except OSError:  # more peers than a filter holds; who is one is also looked at in ``beacon``
            filters.attach(receiver, filters.EVERYTHING)

    def _watch(self) -> None:
        assert self._socket is not None
        self._next = None
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        """Read what waits, and then nothing for ``PAUSE``."""
        assert self._socket is not None
        self._loop.remove_reader(self._socket)
        self._next = self._loop.call_later(PAUSE, self._watch)
        for _ in range(BATCH):
            if self._socket is None or not self._read_one(self._socket):
                return  # nothing waits, or taking one has closed us

    def _read_one(self, receiver: socket.socket) -> bool:
        """Whether a datagram was read."""
        try:
            data, ancillary, _, sender = receiver.recvmsg(_LARGEST, _ANCILLARY_SIZE)
            interface = (
                read_ipv4_ancillary(ancillary) if self._source.version == 4 else read_ipv6_ancillary(ancillary)[1]
            )
        except Malformed:
            return True
        except OSError:
            return False
        self._take(_address(sender[0]), interface, data, read_timestamp(ancillary))
        return True


@functools.lru_cache(maxsize=256)
def _address(text: str) -> Address:
    """The address that recvmsg(2) names as the sender, without the scope of a link-local address."""
    return ip_address(text.partition("%")[0])
