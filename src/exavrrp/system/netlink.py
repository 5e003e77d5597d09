"""rtnetlink(7): requests that are answered at once, and a watch that calls back after changes in the kernel's tables.

This file owns the netlink sockets of the modules that read or write the kernel's tables (``paths``, ``addresses``,
``checks.kernel``). It must not know what they request or what the answers mean.

**Requests.** The kernel processes a request inside send(2): when that returns, the reply (for a dump, its first part)
is already queued on our socket, and recv(2) does not block. ``Netlink.ask`` is therefore an ordinary function: a caller
can bind, verify and go on in one turn of the event loop. ``Netlink.batch`` writes many requests at once.

**The watch.** The content of a notification is not used: after any notification the tables are read again. So nothing
is lost when the kernel drops notifications because we were slow (``ENOBUFS``): the tables are read again then, too. A
storm costs little: after the first notification the socket is not read until the next refresh is due, a full buffer
drops the rest, and on average refreshes are ``spacing`` apart (a few may follow each other at once: a link that goes
and comes back). One late refresh follows each burst, because the kernel announces a link that goes down a little before
it marks the routes over it.

**Messages** are bytes: a fixed part, which each module packs and unpacks with ``struct``, and attributes. pyroute2
could do that, but it takes as long to import as the rest of the agent, and per address ten times as long as the kernel.
"""

import asyncio
import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_CAPPED, NLM_F_ACK_TLVS = 1, 2, 4, 0x10, 0x100, 0x200
NLM_F_REPLACE, NLM_F_CREATE, NLM_F_DUMP = 0x100, 0x400, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLMSGERR_ATTR_MSG = 1
_MAX_ERRNO = 4095
"""The largest error number there can be (MAX_ERRNO in linux/err.h)."""
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK, _GET_STRICT_CHK = 270, 1, 10, 11, 12
"""linux/netlink.h; Python has no names for them."""

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
_ATTRIBUTE = struct.Struct("=HH")
"""struct rtattr: length, type."""
_TYPE_MASK = 0x3FFF
"""NLA_TYPE_MASK: above it are two flags."""

_ANSWER_LIMIT = 1.0
"""Seconds. The answer is queued when send(2) returns, so a longer wait would only hide a broken kernel."""
_REPLY_SIZE = 65536
"""Bytes; the kernel never builds a larger part of a dump than 32 KiB (netlink_dump() in net/netlink/af_netlink.c)."""
_MOST_REQUESTS = 64
"""Requests in one write. Their answers take about 1 KiB each in the kernel, and fit into the default receive buffer."""
DUMP_TRIES = 5
"""A table that changes while it is dumped is dumped again (NLM_F_DUMP_INTR)."""

_MOST_NOTIFICATIONS = 64
"""Notifications read in one wake-up, so that a storm cannot keep the loop from its timers."""
_FULL_BUFFER = 4096
"""Notifications read before a refresh: more than the default receive buffer (208 KiB) can hold."""
BURST = 4
"""Refreshes of which one need not wait for ``spacing`` after the other: of two links, each that goes and comes back."""
SETTLED = 0.5
"""Seconds after a refresh until the late one that ends a burst."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message to the kernel."""

    kind: int
    body: bytes
    """the fixed part and the attributes"""
    flags: int = 0
    """``NLM_F_ACK`` for a change, ``NLM_F_DUMP`` for a whole table; 0 for a query with one answer"""


class Netlink:
    """One netlink socket for queries and changes."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0

    def open(self) -> None:
        """Raises ``OSError`` when the kernel has no rtnetlink or we have no descriptor left."""
        self._socket = _netlink_socket()
        # Old kernels lack the last two: longer error messages and dumps limited to one interface are conveniences.
        _set_if_known(self._socket, _CAP_ACK)
        _set_if_known(self._socket, _EXT_ACK)
        _set_if_known(self._socket, _GET_STRICT_CHK)
        self._socket.settimeout(_ANSWER_LIMIT)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: Request) -> list[bytes]:
        """The messages of the answer, without their headers: none for a change, one for a query, a table for a dump.

        Raises ``OSError`` with the kernel's error number and explanation.
        """
        for _ in range(DUMP_TRIES):
            try:
                return self._ask(request)
            except InterruptedError:
                continue
        raise InterruptedError(errno.EINTR, "the table changed during each of several dumps")

    def batch(self, requests: Sequence[Request]) -> list[bytes | OSError]:
        """The answer to each of ``requests``: its message, or an ``OSError`` if the kernel refused it.

        The kernel carries them out in this order; none of them may be a dump. A message has its header; it is empty for
        a change that was carried out. Raises ``OSError`` when answers are missing: then nobody knows which requests
        were carried out.
        """
        answers: list[bytes | OSError] = []
        for begin in range(0, len(requests), _MOST_REQUESTS):
            answers += self._batch(requests[begin : begin + _MOST_REQUESTS])
        return answers

    def parts(self, request: Request) -> Iterator[bytes]:
        """Each part of the answer as it is received, with all headers: ``ask`` for long tables.

        Raises ``OSError``, in particular ``InterruptedError`` at the end of a dump during which the table has changed.
        A caller that does not read all parts must close the socket.
        """
        self._write(self._encoded(request))
        interrupted = False
        while True:
            data = self._receive()
            ended = False
            for offset, kind_, flags_, sequence in messages(data):
                if sequence == self._sequence:
                    interrupted |= bool(flags_ & NLM_F_DUMP_INTR)
                    if kind_ in {_NLMSG_ERROR, _NLMSG_DONE}:
                        raise_error(data, offset)
                        ended = True
            yield data
            if ended:
                break
        if interrupted:
            raise InterruptedError(errno.EINTR, "the table changed during the dump")

    def _ask(self, request: Request) -> list[bytes]:
        self._write(self._encoded(request))
        answer: list[bytes] = []
        interrupted = False
        while True:
            data = self._receive()
            for offset, kind_, flags_, sequence in messages(data):
                if sequence != self._sequence:
                    continue  # the late answer to a request that timed out
                interrupted |= bool(flags_ & NLM_F_DUMP_INTR)
                if kind_ in {_NLMSG_ERROR, _NLMSG_DONE}:
                    raise_error(data, offset)
                    if interrupted:
                        raise InterruptedError(errno.EINTR, "the table changed during the dump")
                    return answer
                answer.append(data[offset + HEADER.size : offset + HEADER.unpack_from(data, offset)[0]])
                if not flags_ & NLM_F_MULTI and not request.flags & NLM_F_ACK:
                    return answer

    def _batch(self, requests: Sequence[Request]) -> list[bytes | OSError]:
        awaited: dict[int, int] = {}
        written = bytearray()
        for index, request in enumerate(requests):
            written += self._encoded(request)
            awaited[self._sequence] = index
        self._write(written)
        answers: list[bytes | OSError] = [b""] * len(requests)
        while awaited:
            data = self._receive()
            for offset, kind, _, sequence in messages(data):
                answered = awaited.pop(sequence, None)  # None: the late answer to a request that timed out
                if answered is not None:
                    has_content = kind != _NLMSG_ERROR
                    answers[answered] = data[offset:] if has_content else _refusal(data, offset) or b""
        return answers

    def _encoded(self, request: Request) -> bytes:
        """The request with its header, whose sequence number is the next ``_sequence``."""
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        length = HEADER.size + len(request.body)
        header = HEADER.pack(length, request.kind, NLM_F_REQUEST | request.flags, self._sequence, 0)
        return header + request.body + bytes(-length % 4)

    def _write(self, data: bytes | bytearray) -> None:
        if self._socket is None:
            raise OSError(errno.EBADF, "the netlink socket is not open")
        self._socket.send(data)

    def _receive(self) -> bytes:
        assert self._socket is not None
        return self._socket.recv(_REPLY_SIZE)


class Watch:
    """Calls ``refresh`` soon after the kernel has announced a change in one of the multicast ``groups``.

    ``matters`` is called with the start of a notification (the netlink header and the first 16 bytes after it) and
    returns whether it needs a refresh; without it every notification does. ``delay`` is the time from a notification to
    the refresh that it causes, ``spacing`` the time between two refreshes: ``BURST`` of them are in so many times that,
    both in seconds.
    """

    def __init__(
        self,
        groups: Iterable[int],
        refresh: Callable[[], None],
        *,
        delay: float,
        spacing: float,
        matters: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._groups = tuple(groups)
        self._call = refresh
        self._delay = delay
        self._spacing = spacing
        self._matters = matters
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._recent: deque[float] = deque(maxlen=BURST)
        """when the last refreshes were"""
        self._settle_at = float("-inf")
        self._buffer = bytearray(HEADER.size + 16)
        self.refreshes = 0
        """how often ``refresh`` was called"""
        self.overflows = 0
        """how often the kernel dropped notifications because the buffer was full (harmless)"""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Joins the groups, except those that this kernel does not have. Raises ``OSError``."""
        self._socket = _netlink_socket()
        self._socket.settimeout(0)
        for group in self._groups:
            _set_if_known(self._socket, _ADD_MEMBERSHIP, group)
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    @property
    def pending(self) -> bool:
        """Whether a refresh is due. None is due after the one that ends a burst."""
        return self._timer is not None

    def fileno(self) -> int:
        """The descriptor of the socket for notifications; -1 while it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def refresh_after(self, delay: float) -> None:
        """Schedules a refresh ``delay`` seconds from now, or as soon as ``spacing`` allows, if none is due earlier."""
        if self._loop is None or self._socket is None:
            return
        when = self._loop.time() + delay
        if len(self._recent) == BURST:
            when = max(when, self._recent[0] + BURST * self._spacing)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._refresh)

    def _readable(self) -> None:
        assert self._loop is not None
        assert self._socket is not None
        if self._read(_MOST_NOTIFICATIONS):
            self._settle_at = self._loop.time() + SETTLED
            self._loop.remove_reader(self._socket.fileno())
            self.refresh_after(self._delay)

    def _refresh(self) -> None:
        assert self._loop is not None
        assert self._socket is not None
        now = self._loop.time()
        self._timer = None
        self._recent.append(now)
        self.refreshes += 1
        # First empty the buffer, then refresh: any later change causes a notification again.
        if self._read(_FULL_BUFFER):
            self._settle_at = now + SETTLED
        self._loop.add_reader(self._socket.fileno(), self._readable)
        if now < self._settle_at:
            self.refresh_after(self._settle_at - now)
        self._call()

    def _read(self, limit: int) -> bool:
        """Reads up to ``limit`` notifications. Returns whether any of them needs a refresh."""
        assert self._socket is not None
        mattered = False
        for _ in range(limit):
            try:
                size = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
            except BlockingIOError:
                break
            except OSError as error:
                # ENOBUFS: notifications were dropped. Any other error is rarer and is handled the same way.
                self.overflows += error.errno == errno.ENOBUFS
                mattered = True
                continue
            mattered = mattered or self._is_relevant(size)
        return mattered

    def _is_relevant(self, size: int) -> bool:
        if self._matters is None or size < len(self._buffer):
            return True
        length = HEADER.unpack_from(self._buffer)[0]
        several = (length + 3) & ~3 < size
        return several or self._matters(bytes(self._buffer))


def messages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(offset, type, flags, sequence) of each message in ``data``. Stops at a malformed one; raises nothing."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if not HEADER.size <= length <= len(data) - offset:
            return
        yield offset, kind, flags, sequence
        offset += (length + 3) & ~3


def raise_error(data: bytes, offset: int) -> None:
    """Raises the ``OSError`` of an NLMSG_ERROR or NLMSG_DONE at ``offset``; returns if it reports none.

    The kernel's explanation (NLMSGERR_ATTR_MSG, since Linux 4.12) follows the repeated header of the request, because
    we have requested capped acknowledgements (NETLINK_CAP_ACK).
    """
    length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
    end = min(offset + length, len(data))
    at = offset + HEADER.size
    if end < at + 4:
        return
    code = -struct.unpack_from("=i", data, at)[0]
    if code <= 0:
        return
    code = min(code, _MAX_ERRNO)
    at += 4
    if kind == _NLMSG_ERROR and at + HEADER.size <= end:
        at += HEADER.size if flags & NLM_F_CAPPED else max(HEADER.size, HEADER.unpack_from(data, at)[0])
    text = _explanation(data, (at + 3) & ~3, end) if flags & NLM_F_ACK_TLVS else ""
    raise OSError(code, text or os.strerror(code))


def _refusal(data: bytes, offset: int) -> OSError | None:
    try:
        raise_error(data, offset)
    except OSError as error:
        return error
    return None


def _explanation(data: bytes, at: int, end: int) -> str:
    for kind, content in attributes(data, at, end):
        if kind == _NLMSGERR_ATTR_MSG:
            return content.rstrip(b"\0").decode("utf-8", "replace")
    return ""


def attribute(kind: int, content: bytes) -> bytes:
    """``content`` encoded as an attribute of a message (struct rtattr), padded to 4 bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)


def attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the attributes from ``at`` to ``end``. Stops at a malformed one; raises nothing."""
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= end - at:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def fixed(layout: struct.Struct, message: bytes) -> tuple[Any, ...]:
    """The fixed part of a message without its header. Raises ``OSError`` when it is shorter."""
    if len(message) < layout.size:
        raise OSError(errno.EBADMSG, "an answer of the kernel is too short")
    return layout.unpack_from(message)


def number(attribute: bytes | None) -> int | None:
    """The value of a 32-bit attribute; None for None or for another size."""
    return int.from_bytes(attribute, sys.byteorder) if attribute is not None and len(attribute) == 4 else None


def _netlink_socket() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, 0))
    except OSError:
        opened.close()
        raise
    return opened


def _set_if_known(opened: socket.socket, option: int, value: int = 1) -> None:
    try:
        opened.setsockopt(_SOL_NETLINK, option, value)
    except OSError as error:
        if error.errno not in {errno.ENOPROTOOPT, errno.EINVAL}:
            raise
