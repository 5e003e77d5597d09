"""Runs the programs of checks, with limits, beside the event loop.

``Process`` owns one child process: it starts it, reads the little it has to say, and tells whether it passed.

The limits, and why they are as they are:

- A program gets nothing of ours: an argument list (a shell only if one was asked for), its own session, /dev/null as
  stdin, an environment of four variables, ``/`` to stand in, no descriptor but its own three, no capability, and a user
  of its own if one is configured (``privileges``). ExaBGP's API is on our descriptors 0 and 1: a child that held them
  would hide our death from ExaBGP.
- A program that runs for longer than its timeout has failed, and is told so at that moment. Its whole process group
  gets SIGTERM, and SIGKILL after ``GRACE``. A group also ends with its leader: nothing that a check leaves behind
  piles up. Only a child that makes a session of its own escapes.
- Output is read to its end, so that a chatty program is not blocked, but only its last line is kept, and a flood is
  read with pauses (``OUTPUT_PAUSE``): it costs the event loop next to nothing.

A child's end is awaited on its pidfd in our own event loop, not with asyncio's child watchers: those start a thread for
each child on Python 3.11, and they reap the child themselves. Reaping is ours because the order matters: the process
group is killed while its dead leader still holds the number, so a number that was taken anew can never be hit.

Starting a child blocks the loop for the time of a vfork and an exec (about 1 ms, whatever the size of our process); of
a fork if it gets a user of its own, which grows with our process.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from exavrrp.config import Program, Shell
from exavrrp.system import capabilities
from exavrrp.system.checks.outcome import Outcome, Tell, printable
from exavrrp.system.checks.privileges import Privileges

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL when a program overruns: enough to remove a temporary file."""

CHUNK = 65536
"""Bytes read at once: what a pipe holds."""

OUTPUT_PAUSE = 0.01
"""Seconds between two reads of a program that has filled the pipe."""

TAIL = 4096
"""Bytes of output kept to find the last line in."""

POLL = 0.02
"""Seconds between two looks at a child where the kernel has no pidfd (before Linux 5.3)."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""What programs get besides EXAVRRP_CHECK, the name of the check."""

UMASK = 0o022
"""ExaBGP leaves us 0137, with which a child could not enter a directory that it makes."""


Starter = Callable[[], "subprocess.Popen[bytes]"]


def starter(name: str, program: Program | Shell) -> Starter:
    """What starts the program of the check ``name``; raises OSError when called and it cannot be."""
    privileges = Privileges(program.arguments[0], program.user)

    def start() -> "subprocess.Popen[bytes]":
        identity = privileges.identity()
        with capabilities.withheld(as_root=identity.is_root):
            return subprocess.Popen(  # noqa: S603 — to run what the operator has configured is the purpose
                program.arguments,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**ENVIRONMENT, "EXAVRRP_CHECK": name},
                start_new_session=True,
                umask=UMASK,
                user=identity.user,
                group=identity.group,
                extra_groups=identity.groups,
            )

    return start


class Process:
    """One child process, from its start until it is reaped. Raises OSError if it cannot be started."""

    def __init__(
        self, start: Starter, timeout: float, loop: asyncio.AbstractEventLoop, tell: Tell, gone: Callable[[], None]
    ) -> None:
        self.finished = asyncio.Event()
        self._timeout = timeout
        self._loop = loop
        self._tell_outcome: Tell | None = tell
        self._gone = gone
        self._tail = b""
        self._heard = 0
        self._started = loop.time()
        self._process = start()
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()
        self._watch()
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
        tell, self._tell_outcome = self._tell_outcome, None
        if tell is not None:
            tell(Outcome(passed, detail))

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
        self._tell(passed=False, detail=f"not done within {self._timeout:g} s")

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
    return printable(next((line for line in reversed(lines) if line), ""))


def _failure(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"
