"""Appends lines to a file without ever waiting for its disk.

A write to a file cannot be non-blocking: a full cache, a journal that is being committed or an unreachable server may
delay it for seconds. So a separate thread writes; ``record`` only queues a line. The queue is bounded: beyond its limit
lines are dropped and counted, and a line with that count takes their place when there is room again. A write that fails
or is incomplete (a full disk) is logged, and retried from where it stopped, so the file is complete.

An agent that is killed loses what was queued, usually nothing, and may leave an incomplete line. The next one starts
its own on a new line.
"""

import asyncio
import errno
import os
import signal
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from exavrrp.system.threads import blocking

BUFFER = 8 << 20
"""Most bytes in the queue: one minute of twenty routers at 100 ms over two paths."""

CHUNK = 1 << 16
"""Bytes written at once, or a little more."""

RETRY = 0.5
"""Seconds until a failed write is retried."""

CLOSING = 0.2
"""Seconds to write what is queued at the end; ExaBGP gives us two for everything."""

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MODE = 0o640
"""Mode of the file, as is usual for logs."""


class Log(Protocol):
    """The log for the operator."""

    def error(self, event: str, **fields: object) -> None:
        """Log an event that keeps us from doing our work."""


class Recorder:
    """Appends to one file. ``lost`` makes the line for a number of dropped lines."""

    def __init__(
        self,
        path: Path,
        lost: Callable[[int], bytes],
        log: Log,
        *,
        limit: int | None = None,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """``limit``: most bytes of a file; before a write beyond it ``renew`` is called in the thread, which moves the
        file away, and another one is begun."""
        self.path = path
        self._limit = limit
        self._renew = renew
        self._size = 0
        self._lost_line = lost
        self._log = log
        self._descriptor = -1
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lost = 0
        self._begin = b""
        """written before the first line"""
        # Each counter has one writer, so that neither needs a lock.
        self._handed_over = 0
        self._written = 0
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="exavrrp-record", daemon=True)

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Opens the file, and starts the thread. Raises OSError."""
        self._loop = loop
        self._descriptor = os.open(self.path, FLAGS, MODE)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise OSError(errno.EINVAL, "it is no ordinary file")
        if status.st_size and os.pread(self._descriptor, 1, status.st_size - 1) != b"\n":
            self._begin = b"\n"  # a predecessor was killed in the middle of a line
            self._handed_over += len(self._begin)
        with blocking(signal.valid_signals()):
            self._thread.start()

    def record(self, line: bytes) -> None:
        """Queues ``line``, or drops and counts it; never waits. An empty queue takes a line of any length."""
        if self._waiting() and self._waiting() + len(line) > BUFFER:
            self._lost += 1
            return
        self._tell_lost()
        self._hand_over(line)

    def close(self) -> None:
        """Waits until everything is written, at most ``CLOSING``."""
        if not self._thread.is_alive():
            return
        self._tell_lost()
        self._queue.put(None)
        self._thread.join(CLOSING)
        self._closing.set()  # from now on the thread retries nothing
        if self._thread.is_alive():
            self._log.error("recording-failed", file=str(self.path), bytes=self._waiting())

    def _waiting(self) -> int:
        return self._handed_over - self._written

    def _tell_lost(self) -> None:
        if self._lost:
            self._hand_over(self._lost_line(self._lost))
            self._lost = 0

    def _hand_over(self, line: bytes) -> None:
        self._handed_over += len(line)
        self._queue.put(line)

    # In the thread

    def _work(self) -> None:
        going_on = True
        self._write(self._begin)
        while going_on:
            going_on, chunk = self._next()
            self._write(chunk)
        os.close(self._descriptor)

    def _next(self) -> tuple[bool, bytes]:
        """Waits for lines. Returns whether more may follow, and the lines."""
        lines: list[bytes] = []
        size = 0
        line = self._queue.get()
        with suppress(Empty):
            while line is not None:
                lines.append(line)
                size += len(line)
                if size >= CHUNK:
                    break
                line = self._queue.get_nowait()
        return line is not None, b"".join(lines)

    def _write(self, chunk: bytes) -> None:
        if self._limit is not None and self._size and self._size + len(chunk) > self._limit:
            self._begin_another()
        rest = memoryview(chunk)
        while rest:
            try:
                count = os.write(self._descriptor, rest)
            except OSError as error:
                self._failed(error)
                if self._closing.wait(RETRY):
                    return
                continue
            rest = rest[count:]
            self._written += count
            self._size += count
            self._failing = False

    def _begin_another(self) -> None:
        """A file that cannot be moved or made goes on; that is tried again after as many bytes."""
        self._size = 0
        with suppress(OSError):
            self._renew()
            descriptor = os.open(self.path, FLAGS, MODE)
            os.close(self._descriptor)
            self._descriptor = descriptor

    def _failed(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._complain, error)

    def _complain(self, error: OSError) -> None:
        detail = f"{error.strerror or error}; it is tried again, and what does not fit in memory meanwhile is lost"
        self._log.error("recording-failed", file=str(self.path), detail=detail)
