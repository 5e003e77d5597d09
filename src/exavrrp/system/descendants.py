"""All descendants of our children, found without any privilege.

A program leaves its process group and session by setsid(2), or by a program that calls it (timeout(1), sudo(8),
daemons), but it cannot leave its parent: the kernel lists the children of each process (``/proc/PID/task/*/children``,
proc(5); empty without CONFIG_PROC_CHILDREN). When a parent ends, its children are given to the nearest ancestor that is
a "child subreaper" (prctl(2)), which we are. A variable in the environment of these orphans identifies their origin.
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
    """Become the parent of all descendants whose parent ends (PR_SET_CHILD_SUBREAPER). The caller must reap them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _read(path: str) -> bytes:
    """The content of a file of proc(5). Unbuffered, because many are read. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def children(process: int) -> list[int]:
    """The children of a process, including zombies; empty if it has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return found


def commands(process: int) -> dict[int, bytes]:
    """The children of a process, each with its command line; no zombies, and none for want of descriptors."""
    return {child: line for child in children(process) if (line := command(child))}


def command(process: int | str = "self") -> bytes:
    """The command line of a process; empty if it has ended, or cannot be read (for want of descriptors)."""
    with contextlib.suppress(OSError):
        return _read(f"/proc/{process}/cmdline")
    return b""


def started(process: int) -> int | None:
    """When a process was started, in clock ticks since the boot; None if it has ended."""
    try:
        return start_time(_read(f"/proc/{process}/stat"))
    except OSError:
        return None


def bears(process: int, mark: bytes) -> bool:
    """Whether a process was started with ``mark`` (``NAME=value``) in its environment.

    For a process of another user that needs CAP_SYS_PTRACE (proc(5)); without it the answer is false.
    """
    try:
        return mark in _read(f"/proc/{process}/environ").split(b"\0")
    except OSError:
        return False


def group(process: int) -> int | None:
    """The process group of a process; None if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process)
    return None


def under(roots: Iterable[int], others: Iterable[int] = ()) -> list[int]:
    """All descendants of ``roots``, and ``others`` with their descendants, parents first."""
    found = list(others)
    waiting = [*roots, *found]
    while waiting:
        there = children(waiting.pop(0))
        found += there
        waiting += there
    return found


def send(number: signal.Signals, family: Callable[[], Iterable[int]]) -> None:
    """Send a signal to each process of ``family``, until two calls of it in a row have returned no new one.

    An orphan that is being given to us may be missing from a single call. Processes that we have no right to signal
    are skipped (kill(2)).
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
            if since is not None and started(process) == since:  # the number was not reused
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
