"""Runs the programs of checks, with limits, without blocking the event loop.

``ProgramRun`` owns one run of a program: it starts a child (``children``), reads its output, and reports whether it
passed.

The limits:

- A program that runs longer than its timeout has failed, which is reported at that moment. It and all its descendants,
  also those in other groups and sessions, get SIGTERM, and SIGKILL after ``GRACE``, so nothing accumulates. When
  a program ends in time, the rest of its process group is killed; a process with a session of its own is a daemon, and
  keeps running.
- All output is read, so that a verbose program does not block, but only its last line is kept. A flood of output is
  read with pauses (``OUTPUT_PAUSE``), so that it does not load the event loop.
"""

import asyncio
import os
from collections.abc import Callable

from exavrrp.config.kinds import Program, Shell
from exavrrp.system import children
from exavrrp.system.checks.outcome import OnOutcome, Outcome, printable
from exavrrp.system.children import Child, Starter, failure

VARIABLE = "EXAVRRP_CHECK"
"""Environment variable with the name of the check: for the program, and to identify its descendants."""

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL for a program that overruns: time to remove a temporary file."""

CHUNK = 65536
"""Bytes read at once: the capacity of a pipe (pipe(7))."""

OUTPUT_PAUSE = 0.01
"""Seconds between two reads of a program that has written more than ``CHUNK``."""

TAIL = 4096
"""Bytes at the end of the output that are kept for the last line."""


def starter(name: str, program: Program | Shell) -> Starter:
    """A function that starts the program of the check ``name``. It raises OSError when that fails."""
    return children.starter(program.arguments, {VARIABLE: name}, program.user, piped=True)


class ProgramRun:
    """One run of a check, from its start until the child is reaped. Raises OSError if it cannot be started."""

    def __init__(
        self,
        start: Starter,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
        on_outcome: OnOutcome,
        gone: Callable[[], None],
        *,
        name: str,
    ) -> None:
        self.finished = asyncio.Event()
        self._timeout = timeout
        self._loop = loop
        self._on_outcome: OnOutcome | None = on_outcome
        self._gone = gone
        self.tail = b""
        """the end of its output, at most ``TAIL`` bytes"""
        self.received = 0
        """bytes of output that have been read"""
        self._started = loop.time()
        self._child = Child(start, loop, self._ended, background=False, mark=f"{VARIABLE}={name}")
        self._output = self._child.output.fileno()
        os.set_blocking(self._output, False)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()
        self._timer = loop.call_at(self._started + timeout, self._time_out)

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been reported and the process still runs."""
        return self._on_outcome is None

    def lasted(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._started

    def discard_outcome(self) -> None:
        """Report no outcome."""
        self._on_outcome = None

    def end(self, grace: float) -> None:
        """Send SIGTERM to the process and its descendants, and SIGKILL after ``grace`` seconds."""
        self._timer.cancel()
        self._child.end(grace)

    def abandon(self) -> None:
        """Kill the process, and report no outcome."""
        if not self.finished.is_set():
            self.discard_outcome()
            self._child.abandon()
            self._release()

    def _report(self, *, passed: bool, detail: str) -> None:
        on_outcome, self._on_outcome = self._on_outcome, None
        if on_outcome is not None:
            on_outcome(Outcome(passed, detail))

    # Its end

    def _time_out(self) -> None:
        if self._child.poll():  # it has ended in time, but this process did not run then
            return
        self.end(GRACE)
        self._report(passed=False, detail=f"not done within {self._timeout:g} s")

    def _ended(self, status: int) -> None:
        self._read()
        self._release()
        self._gone()
        said = last_line(self.tail)
        if status == 0:
            self._report(passed=True, detail=said)
        else:
            self._report(passed=False, detail=failure(status) + (f": {said}" if said else ""))

    def _release(self) -> None:
        self._timer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._output)
        self._child.output.close()
        self.finished.set()

    # Its output

    def _listen(self) -> None:
        self._loop.add_reader(self._output, self._hear)

    def _hear(self) -> None:
        """Read the output; once more than ``CHUNK`` was read, with a pause after each read."""
        if not self._read():
            self._loop.remove_reader(self._output)
        elif self.received > CHUNK:
            self._loop.remove_reader(self._output)
            self._pause = self._loop.call_later(OUTPUT_PAUSE, self._listen)

    def _read(self) -> bool:
        """Read what the pipe holds. Returns false at its end."""
        try:
            read = os.read(self._output, CHUNK)
        except BlockingIOError:
            return True
        self.received += len(read)
        self.tail = (self.tail + read)[-TAIL:]
        return bool(read)


def last_line(output: bytes) -> str:
    """The last line that is not blank, as ``printable``; empty without any."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    return printable(next((line for line in reversed(lines) if line), ""))
