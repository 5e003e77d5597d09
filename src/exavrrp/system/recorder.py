"""Appends lines to a file without ever waiting for its disk.

A write to a file has no non-blocking form: a full cache, a journal that is being committed or a server that is away may
hold it for seconds. So a thread of its own does the writing; ``record`` only hands a line over. What has been handed
over and is not written yet is bounded: beyond it lines are dropped and counted, and a line that says how many takes
their place when there is room again. What is written is complete: a write that fails or stops half way (a full disk) is
told to the log and tried again from where it stopped.

An agent that is killed loses what the thread had not written yet, most often nothing, and may leave half a line. The
next one begins its own on a new line.
"""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

BUFFER = 8 << 20
"""Bytes that wait for the disk at most: a minute of twenty routers at 100 ms over two paths."""

CHUNK = 1 << 16
"""Bytes written at once, or a little more."""

RETRY = 0.5
"""Seconds after which what could not be written is tried again."""

CLOSING = 0.2
"""Seconds for what waits to be written at the end; ExaBGP gives us two for everything."""

MODE = 0o640
"""As logs are."""


class Log(Protocol):
    """What is told to the operator."""

    def error(self, event: str, **fields: object) -> None:
        """Something that keeps us from doing our work."""


class Recorder:
    """One file. ``lost`` makes the line for so many that were dropped."""

    def __init__(self, path: Path, lost: Callable[[int], bytes], log: Log) -> None:
        self.path = path
        self._lost_line = lost
        self._log = log
        self._descriptor = -1
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lost = 0
        self._begin = b""
        """what goes before everything"""
        # Each counter has one writer, so that neither needs a lock.
        self._handed_over = 0
        self._written = 0
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="exavrrp-record", daemon=True)

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises OSError."""
        self._loop = loop
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, MODE)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise OSError(errno.EINVAL, "it is no ordinary file")
        if status.st_size and os.pread(self._descriptor, 1, status.st_size - 1) != b"\n":
            self._begin = b"\n"  # a predecessor was killed while it wrote
            self._handed_over += len(self._begin)
        self._thread.start()

    def record(self, line: bytes) -> None:
        """Have ``line`` written, once it is open, or count it; never waits. One line is taken, however long it is."""
        if self._waiting() and self._waiting() + len(line) > BUFFER:
            self._lost += 1
            return
        self._tell_lost()
        self._hand_over(line)

    def close(self) -> None:
        """Returns when everything is written, or ``CLOSING`` is over."""
        if not self._thread.is_alive():
            return
        self._tell_lost()
        self._queue.put(None)
        self._thread.join(CLOSING)
        self._closing.set()  # from now on the thread tries nothing again
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
        """What waits, as soon as something does; and whether more may come."""
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
            self._failing = False

    def _failed(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._complain, error)

    def _complain(self, error: OSError) -> None:
        detail = f"{error.strerror or error}; it is tried again, and what does not fit in memory meanwhile is lost"
        self._log.error("recording-failed", file=str(self.path), detail=detail)
