"""The journal of this process on disk, for the next one: what happened in the life before is known after a crash.

A thread of its own appends the lines (``recorder``), so no disk delays an advert. It is given those of one turn of the
event loop together, so an agent that is killed loses the lines of a turn at most, besides what the thread has not
written yet. A process begins a new file, and also
goes on in a new one where the one before is full; there are ``FILES`` of at most ``LIMIT`` bytes, and the oldest is
removed. A line that a killed process has not finished is left out by whoever reads it. Nothing is synced: after a crash
of the machine the last seconds may be missing.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from exavrrp.chronicle import BYTES, MOST, valid
from exavrrp.system.recorder import Log, Recorder
from exavrrp.system.threads import in_thread

NAME = "events.jsonl"
"""In the persistent directory; those before it are ``events.1.jsonl`` and so on."""

FILES = 3

LIMIT = 1 << 18
"""Most bytes of one file: some 1,000 entries."""

BLOCK = 16
"""Most lines that are handed over together: less than 64 KiB (``LONGEST``). Twice that, the most that is written at
once, has room in one file."""


class EventFile:
    """Keeps the journal of this process, and knows that of those before."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.before: list[bytes] = []
        """the lines of the processes before, the oldest first, once they have been read"""
        self._path = directory / NAME
        self._recorder = Recorder(self._path, lambda _: b"", log, limit=LIMIT, renew=self._shift)
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        """once it is open"""
        self._lines: list[bytes] = []
        """those of this turn of the loop"""

    def open(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """Begin a new file, and read the others in a thread, until the result is there.

        Raises nothing: without a file the agent works, too.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._shift()
            self._recorder.open(loop)
            self._loop = loop
        except OSError as error:
            detail = f"{error.strerror or error}; what happens is not known after a restart of this agent"
            self._log.error("recording-failed", file=str(self._path), detail=detail)
        return in_thread(self._read)

    def write(self, line: bytes) -> None:
        """Take a line; never waits."""
        if self._loop is not None:
            if not self._lines:
                self._loop.call_soon(self._hand_over)
            self._lines.append(line)

    def _hand_over(self) -> None:
        """The lines of one turn together, ``BLOCK`` at a time: each time wakes the thread."""
        lines, self._lines = self._lines, []
        for at in range(0, len(lines), BLOCK):
            self._recorder.record(b"".join(lines[at : at + BLOCK]))

    def close(self) -> None:
        """Wait a moment until everything is written."""
        if self._loop is not None:
            self._loop = None
            self._hand_over()
            self._recorder.close()

    def _number(self, number: int) -> Path:
        return self._path.with_suffix(f".{number}.jsonl")

    def _shift(self) -> None:
        """The file becomes number 1, that becomes number 2 … Raises OSError."""
        for number in range(FILES - 1, 0, -1):
            with suppress(FileNotFoundError):
                (self._path if number == 1 else self._number(number - 1)).replace(self._number(number))

    def _read(self) -> None:
        lines: list[bytes] = []
        for number in range(FILES - 1, 0, -1):
            with suppress(OSError):
                lines += valid(content(self._number(number)))
        lines = lines[-MOST:]
        total = 0
        for index in range(len(lines) - 1, -1, -1):
            total += len(lines[index])
            if total > BYTES:
                del lines[: index + 1]
                break
        self.before = lines


def content(path: Path) -> bytes:
    """The last bytes of a file. Raises OSError. Never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, 2 * LIMIT, max(0, size - 2 * LIMIT))
    finally:
        os.close(descriptor)
