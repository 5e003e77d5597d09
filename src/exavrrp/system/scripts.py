"""Runs the programs of checks, with limits, beside the event loop.

``Scripts`` owns the child processes: it starts each check's program at its interval, reads the little it has to say,
and tells ``result`` whether it passed. What a result means for a router is ``health``'s matter.

The limits, and why they are as they are:

- A program gets nothing of ours: an argument list instead of a shell, its own session, /dev/null as stdin, an
  environment of four variables, ``/`` to stand in, no descriptor but its own three. ExaBGP's API is on our descriptors
  0 and 1: a child that held them would hide our death from ExaBGP.
- A program that runs for longer than its timeout has failed, and is told so at that moment. Its whole process group
  gets SIGTERM, and SIGKILL after ``GRACE``. A group also ends with its leader: nothing that a check leaves behind
  piles up. Only a child that makes a session of its own escapes.
- Runs of one check never overlap. While one is being ended, each further interval counts as a failure: a program that
  cannot even be killed (it waits for a dead disk) does not keep a node Active.
- Output is read to its end, so that a chatty program is not blocked, but only its last line is kept, and a flood is
  read with pauses (``OUTPUT_PAUSE``): it costs the event loop next to nothing.
- Starts are spread: checks that are started together would compete for the CPU and all look slow.

A child's end is awaited on its pidfd in our own event loop, not with asyncio's child watchers: those start a thread for
each child on Python 3.11, and they reap the child themselves. Reaping is ours because the order matters: the process
group is killed while its dead leader still holds the number, so a number that was taken anew can never be hit.

Starting a child blocks the loop for the time of a vfork and an exec (about 1 ms, whatever the size of our process).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from exavrrp.config import Check


class Result(Protocol):
    """What is called with each result."""

    def __call__(self, name: str, passed: bool, detail: str, seconds: float) -> None:
        """``detail`` is one printable line: the program's last, and why it failed; ``seconds`` is how long it took."""


GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL when a program overruns: enough to remove a temporary file."""

CLOSING_GRACE = 0.2
"""The same when the agent stops: ExaBGP gives it two seconds for everything."""

CLOSING_LIMIT = 0.5
"""Seconds until a program that not even SIGKILL ends is left to itself."""

STAGGER = 0.05
"""Seconds between the first starts of two checks, or less when their intervals are short."""

CHUNK = 65536
"""Bytes read at once: what a pipe holds."""

OUTPUT_PAUSE = 0.01
"""Seconds between two reads of a program that has filled the pipe."""

TAIL = 4096
"""Bytes of output kept to find the last line in."""

DETAIL = 200
"""Characters kept of a program's last line: it ends up in a log line."""

POLL = 0.02
"""Seconds between two looks at a child where the kernel has no pidfd (before Linux 5.3)."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""What programs get besides EXAVRRP_CHECK, the name of the check."""

UMASK = 0o022
"""ExaBGP leaves us 0137, with which a child could not enter a directory that it makes."""


def obstacle(program: str) -> str | None:
    """Why ``program`` (an absolute path) cannot be run by this user, with the remedy; None if it can."""
    path = Path(program)
    try:
        if path.is_dir():
            return "is a directory; write the program in it"
        if not path.exists():
            return "does not exist; install it, or correct the path"
    except OSError as error:
        return f"cannot be looked at ({error.strerror}); correct the path"
    if not os.access(path, os.X_OK):
        return f"this user may not execute; chmod a+x {program}"
    return None


class Scripts:
    """The programs of all checks."""

    def __init__(self, checks: Iterable[Check], result: Result) -> None:
        self._schedules = [_Schedule(check, result) for check in checks]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to run the programs, the first at once. To be called in the main thread."""
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Inherited from whoever started us. The kernel would then reap for us, and every exit status be lost.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        now, count = loop.time(), len(self._schedules)
        for index, schedule in enumerate(self._schedules):
            schedule.open(loop, now + index * min(STAGGER, schedule.check.interval / count))

    async def close(self) -> None:
        """Start nothing more, end what runs, and reap it; no result is told any more. Takes CLOSING_LIMIT at most.

        A cancelled ``close`` kills at once what is left.
        """
        runs = [run for schedule in self._schedules if (run := schedule.close()) is not None]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_LIMIT):
                    await asyncio.gather(*(run.finished.wait() for run in runs))
        finally:
            for run in runs:
                run.abandon()


class _Schedule:
    """When one check runs."""

    def __init__(self, check: Check, result: Result) -> None:
        self.check = check
        self._result = result
        self._run: _Run | None = None
        self._timer: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop, first: float) -> None:
        self._loop = loop
        self._due = first
        self._timer = loop.call_at(self._due, self._tick)

    def close(self) -> "_Run | None":
        if self._timer is not None:
            self._timer.cancel()
        if self._run is not None:
            self._run.silence()
            self._run.end(CLOSING_GRACE)
        return self._run

    def _tick(self) -> None:
        late = self._loop.time() - self._due
        # After a pause one run is enough: those that were missed say nothing about now.
        self._due += self.check.interval * (1 + max(0, late) // self.check.interval)
        self._timer = self._loop.call_at(self._due, self._tick)
        if self._run is None:
            self._start()
        elif self._run.overdue:
            lasted = self._run.lasted()
            self._result(self.check.name, passed=False, detail=f"still there after {lasted:.1f} s", seconds=lasted)

    def _start(self) -> None:
        try:
            self._run = _Run(self.check, self._loop, self._result, self._gone)
        except OSError as error:
            self._result(self.check.name, passed=False, detail=f"cannot be started: {error.strerror}", seconds=0.0)

    def _gone(self) -> None:
        self._run = None


class _Run:
    """One child process, from its start until it is reaped. Raises OSError if it cannot be started."""

    def __init__(self, check: Check, loop: asyncio.AbstractEventLoop, result: Result, gone: Callable[[], None]) -> None:
        self.finished = asyncio.Event()
        self._check = check
        self._loop = loop
        self._result: Result | None = result
        self._gone = gone
        self._tail = b""
        self._heard = 0
        self._started = loop.time()
        self._process = subprocess.Popen(  # noqa: S603 — to run what the operator has configured is the purpose
            check.command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**ENVIRONMENT, "EXAVRRP_CHECK": check.name},
            start_new_session=True,
            umask=UMASK,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()
        self._watch()
        self._timer = loop.call_at(self._started + check.timeout, self._time_out)

    @property
    def overdue(self) -> bool:
        """Whether the result has been told and the process is still there."""
        return self._result is None

    def lasted(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._started

    def silence(self) -> None:
        """Tell no result."""
        self._result = None

    def end(self, grace: float) -> None:
        """Ask the process group to end, and kill it after ``grace`` seconds."""
        self._signal(signal.SIGTERM)
        self._timer.cancel()
        self._timer = self._loop.call_later(grace, self._signal, signal.SIGKILL)

    def abandon(self) -> None:
        """Be done with the process at once."""
        if self.finished.is_set():
            return
        self.silence()
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.1)
        self._release()

    def _tell(self, *, passed: bool, detail: str) -> None:
        result, self._result = self._result, None
        if result is not None:
            result(self._check.name, passed=passed, detail=detail, seconds=self.lasted())

    def _signal(self, number: signal.Signals) -> None:
        # Our child is not reaped while this is called, so its number, which is that of its group, is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # a program may have changed its user
            os.killpg(self._process.pid, number)

    # Its end

    def _watch(self) -> None:
        self._pidfd: int | None = None
        self._poll: asyncio.TimerHandle | None = None
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._poll = self._loop.call_later(POLL, self._look)
        else:
            self._loop.add_reader(self._pidfd, self._ended)

    def _look(self) -> None:
        if self._has_ended():
            self._ended()
        else:
            self._poll = self._loop.call_later(POLL, self._look)

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _time_out(self) -> None:
        if self._has_ended():  # in time, but we were not there to see it
            self._ended()
            return
        self.end(GRACE)
        self._tell(passed=False, detail=f"not done within {self._check.timeout:g} s")

    def _ended(self) -> None:
        self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._read()
        self._release()
        self._gone()
        said = _last_line(self._tail)
        if status == 0:
            self._tell(passed=True, detail=said)
        else:
            self._tell(passed=False, detail=_failure(status) + (f": {said}" if said else ""))

    def _release(self) -> None:
        self._timer.cancel()
        for timer in (self._poll, self._pause):
            if timer is not None:
                timer.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._loop.remove_reader(self._output)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.finished.set()

    # What it says

    def _listen(self) -> None:
        self._loop.add_reader(self._output, self._hear)

    def _hear(self) -> None:
        """Read; from the second pipe full on, with a pause after each read."""
        if not self._read():
            self._loop.remove_reader(self._output)
        elif self._heard > CHUNK:
            self._loop.remove_reader(self._output)
            self._pause = self._loop.call_later(OUTPUT_PAUSE, self._listen)

    def _read(self) -> bool:
        """Take in what waits; False if there will be nothing more."""
        try:
            read = os.read(self._output, CHUNK)
        except BlockingIOError:
            return True
        self._heard += len(read)
        self._tail = (self._tail + read)[-TAIL:]
        return bool(read)


def _last_line(output: bytes) -> str:
    """The last line that says something, printable and of bounded length."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return "".join(one if one.isprintable() else "�" for one in last[:DETAIL])


def _failure(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"
