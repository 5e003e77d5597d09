"""rtnetlink: a question that is answered at once, and a watch that says when the answer may have changed.

This file owns the netlink sockets of the rooms that read or write the kernel's tables (``paths``, ``addresses``), and
is the one file of ``system`` that other rooms import. It must not know what they ask or what the answers mean.

**Questions.** rtnetlink works inside ``send()``: when that returns, the reply (for a dump, its first part) is already
queued on our socket, so a ``recv()`` after it never waits for anything. ``Conversation.ask`` is therefore a plain
function, and a caller can bind, verify and go on in one step of the event loop, between which nothing else happens.
``Conversation.together`` writes many at once.

**The watch.** A notification's content is not believed, only that there was one: whoever is interested asks again. So
nothing is lost when the kernel drops notifications because we were slow (``ENOBUFS``): that is one more reason to ask.
And a storm costs little: after the first notification the socket is left alone until the next look is due, a full
buffer then simply drops the rest, and looks are at least ``spacing`` apart. One late look follows each burst, because
the kernel announces a link that goes down a little before it marks the routes over it.

**Messages** are bytes: a fixed part, which each room packs and unpacks with ``struct``, and attributes. pyroute2 would
do it, but takes as long to import as the rest of the agent, and ten times as long as the kernel for an address.
"""

import asyncio
import errno
import os
import socket
import struct
import sys
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
"""Seconds. An answer is there when the question returns; waiting longer would only hide a kernel that is broken."""
_REPLY_SIZE = 65536
"""Bytes; the kernel never builds a larger part of a dump than 32 KiB (netlink_dump() in net/netlink/af_netlink.c)."""
_TOGETHER = 64
"""Requests in one write. Their answers, about 1 KiB each in the kernel's count, fit into the default receive buffer."""
DUMP_TRIES = 5
"""A table that changes while it is dumped is dumped again (NLM_F_DUMP_INTR)."""

_BATCH = 64
"""Notifications read in one wake-up, so that a storm cannot keep the loop from its timers."""
_DRAIN = 4096
"""Notifications read before a look: more than the default receive buffer (208 KiB) can hold."""
SETTLED = 0.5
"""Seconds after a look until the late one that ends a burst."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message to the kernel."""

    kind: int
    body: bytes
    """the fixed part and the attributes"""
    flags: int = 0
    """``NLM_F_ACK`` for an order, ``NLM_F_DUMP`` for a whole table; nothing for a question with one answer"""


class Conversation:
    """One netlink socket for questions and orders."""

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
        """The messages of the answer, without their headers: none to an order, one to a question, a table to a dump.

        Raises ``OSError`` with the kernel's error number and its explanation.
        """
        for _ in range(DUMP_TRIES):
            try:
                return self._ask(request)
            except InterruptedError:
                continue
        raise InterruptedError(errno.EINTR, "the table changed during each of several dumps")

    def together(self, requests: Sequence[Request]) -> list[bytes | OSError]:
        """The answer to each of ``requests``, which the kernel carries out in this order: its message, or its refusal.

        None of them is a dump. The message has its header, and is empty for an order that was carried out. Raises
        ``OSError`` when answers are missing: what was carried out is then not known.
        """
        answers: list[bytes | OSError] = []
        for begin in range(0, len(requests), _TOGETHER):
            answers += self._together(requests[begin : begin + _TOGETHER])
        return answers

    def parts(self, request: Request) -> Iterator[bytes]:
        """As ``ask``, but gives each part of the answer as it comes, with all headers: for tables that may be long.

        Raises ``OSError``, in particular ``InterruptedError`` at the end of a dump during which the table has changed.
        Whoever does not read to the end closes the socket.
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
                    continue  # the late answer to a question that was given up
                interrupted |= bool(flags_ & NLM_F_DUMP_INTR)
                if kind_ in {_NLMSG_ERROR, _NLMSG_DONE}:
                    raise_error(data, offset)
                    if interrupted:
                        raise InterruptedError(errno.EINTR, "the table changed during the dump")
                    return answer
                answer.append(data[offset + HEADER.size : offset + HEADER.unpack_from(data, offset)[0]])
                if not flags_ & NLM_F_MULTI and not request.flags & NLM_F_ACK:
                    return answer

    def _together(self, requests: Sequence[Request]) -> list[bytes | OSError]:
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
                answered = awaited.pop(sequence, None)  # None: the late answer to a question that was given up
                if answered is not None:
                    is_told = kind != _NLMSG_ERROR
                    answers[answered] = data[offset:] if is_told else _refusal(data, offset) or b""
        return answers

    def _encoded(self, request: Request) -> bytes:
        """With its header, which has the next ``_sequence``."""
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
    """Calls ``look`` soon after the kernel has announced a change in one of the multicast ``groups``.

    ``matters`` is given the start of a notification (the netlink header and the first 16 bytes after it) and says
    whether it is worth a look; without it every one is. ``delay`` is the time from a notification to the look that it
    causes, ``spacing`` the least time between two looks, both in seconds.
    """

    def __init__(
        self,
        groups: Iterable[int],
        look: Callable[[], None],
        *,
        delay: float,
        spacing: float,
        matters: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._groups = tuple(groups)
        self._call = look
        self._delay = delay
        self._spacing = spacing
        self._matters = matters
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")
        self._settle_at = float("-inf")
        self._buffer = bytearray(HEADER.size + 16)
        self.looks = 0
        """how often ``look`` was called"""
        self.overflows = 0
        """how often the kernel dropped notifications because the buffer was full (harmless; says that it is busy)"""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ``OSError``. Groups that this kernel does not have are left out: nothing is ever announced there."""
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
        """Whether a look is due; there is none after the one that ends a burst."""
        return self._timer is not None

    def fileno(self) -> int:
        """Of the socket that notifications come from; -1 while it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def look_after(self, delay: float) -> None:
        """Asks for a look ``delay`` seconds from now (or as soon as ``spacing`` allows), if none is due earlier."""
        if self._loop is None or self._socket is None:
            return
        when = max(self._loop.time() + delay, self._last + self._spacing)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _readable(self) -> None:
        assert self._loop is not None
        assert self._socket is not None
        if self._read(_BATCH):
            self._settle_at = self._loop.time() + SETTLED
            self._loop.remove_reader(self._socket.fileno())
            self.look_after(self._delay)

    def _look(self) -> None:
        assert self._loop is not None
        assert self._socket is not None
        now = self._loop.time()
        self._timer = None
        self._last = now
        self.looks += 1
        # First empty the buffer, then look: what changes from here on announces itself again.
        if self._read(_DRAIN):
            self._settle_at = now + SETTLED
        self._loop.add_reader(self._socket.fileno(), self._readable)
        if now < self._settle_at:
            self.look_after(self._settle_at - now)
        self._call()

    def _read(self, limit: int) -> bool:
        """Reads up to ``limit`` notifications; whether any of them mattered."""
        assert self._socket is not None
        mattered = False
        for _ in range(limit):
            try:
                size = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
            except BlockingIOError:
                break
            except OSError as error:
                # ENOBUFS: notifications were dropped. Anything else is rarer and has the same cure.
                self.overflows += error.errno == errno.ENOBUFS
                mattered = True
                continue
            mattered = mattered or self._worth_a_look(size)
        return mattered

    def _worth_a_look(self, size: int) -> bool:
        if self._matters is None or size < len(self._buffer):
            return True
        length = HEADER.unpack_from(self._buffer)[0]
        several = (length + 3) & ~3 < size
        return several or self._matters(bytes(self._buffer))


def messages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(offset, type, flags, sequence) of each message in ``data``; ends where it makes no sense, and raises nothing."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if not HEADER.size <= length <= len(data) - offset:
            return
        yield offset, kind, flags, sequence
        offset += (length + 3) & ~3


def raise_error(data: bytes, offset: int) -> None:
    """Raises the ``OSError`` that an NLMSG_ERROR or NLMSG_DONE at ``offset`` carries; returns when it carries none.

    The kernel's explanation (NLMSGERR_ATTR_MSG, since Linux 4.12) follows the repeated header of the request, as we
    have asked for capped acknowledgements.
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
    """``content`` as an attribute of a message."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)


def attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the attributes from ``at`` to ``end``; stops where they make no sense, and raises nothing."""
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
    """An attribute of 32 bits; None if there is none, or it is no such attribute."""
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
