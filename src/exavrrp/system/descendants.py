"""The processes that our children have started, and those that these have: found without any right.

A program escapes from its process group and session by setsid(2), or by what calls it (timeout(1), sudo(8), daemons),
but not from its parent: the kernel lists the children of each process (``/proc/PID/task/*/children``, proc(5); without
CONFIG_PROC_CHILDREN there seem to be none). One whose parent has ended belongs to the nearest ancestor that has asked
for that, the "child subreaper" (prctl(2)): to us. Of these the environment tells whose they were.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Iterable

from exavrrp.control import start_time

_PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h."""

_libc = ctypes.CDLL(None)


def inherit() -> None:
    """Become the parent of every process of our descendants whose parent ends. They have to be reaped then."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _read(path: str) -> bytes:
    """A file of proc(5); for each program that ends, some are read. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def children(process: int) -> list[int]:
    """The children of a process, those that have ended and not been reaped among them; none if it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return found


def alike(process: int) -> list[int]:
    """Those of its children that run with our command line; ourselves, if we are one. None that has ended."""
    return [child for child in children(process) if _command(child) == _command("self") != b""]


def _command(process: int | str) -> bytes:
    """The command line of a process; empty if it has ended, or cannot be read (for want of descriptors)."""
    with contextlib.suppress(OSError):
        return _read(f"/proc/{process}/cmdline")
    return b""


def started(process: int) -> int | None:
    """When a process was started, in clock ticks since the boot; None if it is gone."""
    try:
        return start_time(_read(f"/proc/{process}/stat"))
    except OSError:
        return None


def bears(process: int, mark: bytes) -> bool:
    """Whether a process was started with ``mark`` (``NAME=value``) in its environment.

    That of another user is read with CAP_SYS_PTRACE only (proc(5)); without it the answer is no.
    """
    try:
        return mark in _read(f"/proc/{process}/environ").split(b"\0")
    except OSError:
        return False


def group(process: int) -> int | None:
    """The process group of a process; None if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process)
    return None


def under(roots: Iterable[int], others: Iterable[int] = ()) -> list[int]:
    """All descendants of these processes, parents first; and ``others`` with theirs."""
    found = list(others)
    waiting = [*roots, *found]
    while waiting:
        there = children(waiting.pop(0))
        found += there
        waiting += there
    return found


def send(number: signal.Signals, family: Callable[[], Iterable[int]]) -> None:
    """Send a signal to each process of ``family``, until a second look at it has found nobody new.

    One that is being inherited at that moment can be missing from the first look. Whoever must not be sent a signal by
    us is left out (kill(2)).
    """
    reached: set[tuple[int, int | None]] = set()
    calm = 0
    while calm < 2:
        fresh = {(process, started(process)) for process in family()} - reached
        calm = 0 if fresh else calm + 1
        for process, since in fresh:
            _send_one(number, process, since)
        reached |= fresh


def _send_one(number: signal.Signals, process: int, since: int | None) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process)
        try:
            if since is not None and started(process) == since:  # not another one with its number
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
