"""Runs the programs of checks, with limits, beside the event loop.

``Process`` owns one run of a program: it starts a child (``children``: what it gets of ours, which is nothing, and how
its end is awaited), reads the little it has to say, and tells whether it passed.

The limits, and why they are as they are:

- A program that runs for longer than its timeout has failed, and is told so at that moment. It and all its descendants,
  also those in groups and sessions of their own, get SIGTERM, and SIGKILL after ``GRACE``: nothing piles up. When it
  ends in time its group ends with it; what has made a session of its own is a daemon, and stays.
- Output is read to its end, so that a chatty program is not blocked, but only its last line is kept, and a flood is
  read with pauses (``OUTPUT_PAUSE``): it costs the event loop next to nothing.
"""

import asyncio
import os
from collections.abc import Callable

from exavrrp.config.kinds import Program, Shell
from exavrrp.system import children
from exavrrp.system.checks.outcome import Outcome, Tell, printable
from exavrrp.system.children import Child, Starter, failure

VARIABLE = "EXAVRRP_CHECK"
"""Holds the name of the check in the environment of its program: for the program, and to find its descendants by."""

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL when a program overruns: enough to remove a temporary file."""

CHUNK = 65536
"""Bytes read at once: what a pipe holds."""

OUTPUT_PAUSE = 0.01
"""Seconds between two reads of a program that has filled the pipe."""

TAIL = 4096
"""Bytes of output kept to find the last line in."""


def starter(name: str, program: Program | Shell) -> Starter:
    """What starts the program of the check ``name``; raises OSError when called and it cannot be."""
    return children.starter(program.arguments, {VARIABLE: name}, program.user, heard=True)


class Process:
    """One run of a check, from its start until the child is reaped. Raises OSError if it cannot be started."""

    def __init__(
        self,
        start: Starter,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
        tell: Tell,
        gone: Callable[[], None],
        *,
        name: str,
    ) -> None:
        self.finished = asyncio.Event()
        self._timeout = timeout
        self._loop = loop
        self._tell_outcome: Tell | None = tell
        self._gone = gone
        self.tail = b""
        """the end of its output, at most ``TAIL`` bytes"""
        self.heard = 0
        """bytes of its output that have been read"""
        self._started = loop.time()
        self._child = Child(start, loop, self._ended, background=False, mark=f"{VARIABLE}={name}")
        self._output = self._child.output.fileno()
        os.set_blocking(self._output, False)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()
        self._timer = loop.call_at(self._started + timeout, self._time_out)

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been told and the process is still there."""
        return self._tell_outcome is None

    def lasted(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._started

    def silence(self) -> None:
        """Tell no outcome."""
        self._tell_outcome = None

    def end(self, grace: float) -> None:
        """Ask the process group to end, and kill it after ``grace`` seconds."""
        self._timer.cancel()
        self._child.end(grace)

    def abandon(self) -> None:
        """Be done with the process at once."""
        if not self.finished.is_set():
            self.silence()
            self._child.abandon()
            self._release()

    def _tell(self, *, passed: bool, detail: str) -> None:
        tell, self._tell_outcome = self._tell_outcome, None
        if tell is not None:
            tell(Outcome(passed, detail))

    # Its end

    def _time_out(self) -> None:
        if self._child.see():  # in time, but we were not there to see it
            return
        self.end(GRACE)
        self._tell(passed=False, detail=f"not done within {self._timeout:g} s")

    def _ended(self, status: int) -> None:
        self._read()
        self._release()
        self._gone()
        said = last_line(self.tail)
        if status == 0:
            self._tell(passed=True, detail=said)
        else:
            self._tell(passed=False, detail=failure(status) + (f": {said}" if said else ""))

    def _release(self) -> None:
        self._timer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._output)
        self._child.output.close()
        self.finished.set()

    # What it says

    def _listen(self) -> None:
        self._loop.add_reader(self._output, self._hear)

    def _hear(self) -> None:
        """Read; from the second pipe full on, with a pause after each read."""
        if not self._read():
            self._loop.remove_reader(self._output)
        elif self.heard > CHUNK:
            self._loop.remove_reader(self._output)
            self._pause = self._loop.call_later(OUTPUT_PAUSE, self._listen)

    def _read(self) -> bool:
        """Take in what waits; False if there will be nothing more."""
        try:
            read = os.read(self._output, CHUNK)
        except BlockingIOError:
            return True
        self.heard += len(read)
        self.tail = (self.tail + read)[-TAIL:]
        return bool(read)


def last_line(output: bytes) -> str:
    """The last line that says something, printable and of bounded length."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    return printable(next((line for line in reversed(lines) if line), ""))
