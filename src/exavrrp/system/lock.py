"""The lock of a state directory: it lets one agent at a time use the addresses and sockets.

ExaBGP's full reload (SIGUSR2) starts a new agent before the old one has ended, and an operator may start a second one
by mistake. The kernel releases the lock (flock(2)) when its holder ends, however it ends.

A process that waits for the lock holds a second one, ``lock.next``. A caretaker polls it, and ends when it is held.
"""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


class Lock:
    """``state_directory/lock``, held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._descriptor: int | None = None
        self._next: int | None = None

    def open(self) -> None:
        """Makes the directory and the files, and opens them. Raises ``OSError``.

        The directory's mode is 0755 whatever the umask: with ExaBGP's 0137 no user could enter it.
        """
        missing = [path for path in (self.path.parent, *self.path.parent.parents) if not path.exists()]
        for directory in reversed(missing):
            directory.mkdir()
            directory.chmod(0o755)
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._next = os.open(f"{self.path}.next", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            self.release()
            raise

    def take(self) -> bool:
        """Tries to take the lock, without waiting. Returns whether we hold it."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        assert self._next is not None
        fcntl.flock(self._next, fcntl.LOCK_UN)
        with suppress(OSError):  # a full disk: the number is only for messages
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def request(self) -> None:
        """Tells the holder that a process waits. To be repeated until ``take`` succeeds."""
        assert self._next is not None
        with suppress(BlockingIOError):  # another process waits, too, or the holder polls
            fcntl.flock(self._next, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_requested(self) -> bool:
        """Whether another process waits for the lock that we hold."""
        assert self._next is not None
        try:
            fcntl.flock(self._next, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._next, fcntl.LOCK_UN)
        return False

    def holder(self) -> str:
        """The number of the process that holds the lock, for messages; "unknown" if the file does not name it."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"

    def is_held_by_sibling(self) -> bool:
        """Whether the process that holds the lock has the same parent as we: the same ExaBGP."""
        try:
            status = Path(f"/proc/{self.holder()}/status").read_bytes()
        except OSError:
            return False
        parent = re.search(rb"^PPid:\t(\d+)$", status, re.MULTILINE)
        return parent is not None and int(parent[1]) == os.getppid()

    def release(self) -> None:
        """Releases the lock. The file stays: after a removal two agents could each hold a lock of the same name."""
        for descriptor in (self._descriptor, self._next):
            if descriptor is not None:
                os.close(descriptor)
        self._descriptor = self._next = None


def agent_of(directory: Path) -> int | None:
    """The process that has the lock of a state directory, if it is an agent. The lock itself is left alone."""
    with suppress(OSError, ValueError):
        process = int((directory / "lock").read_bytes())
        if is_agent(process):
            return process
    return None


def is_agent(process: int, proc: Path = PROC) -> bool:
    """Whether a process is an ``exavrrp run`` that is seen here under its number: it may be in a container."""
    with suppress(OSError):
        words = (proc / str(process) / "cmdline").read_bytes().split(b"\0")
        return b"run" in words and any(b"exavrrp" in word for word in words)
    return False
