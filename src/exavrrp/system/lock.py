"""The lock that lets one agent at a time drive the addresses and sockets of a state directory.

ExaBGP's full reload (SIGUSR2) starts a new plugin before the old one has ended, and an operator may start a second one
by mistake. The kernel drops the lock (flock(2)) when its holder ends, however it ends.

Who waits for it says so by a second lock, ``lock.next``, for a holder that gives way to whoever asks (``caretaker``).
"""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path


class Lock:
    """``state_directory/lock``, held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._descriptor: int | None = None
        self._next: int | None = None

    def open(self) -> None:
        """Makes the directory (0755, whatever the umask: with ExaBGP's 0137 nobody could enter it) and the file.

        Raises ``OSError``.
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
        """Whether the lock is ours now; never waits."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        assert self._next is not None
        fcntl.flock(self._next, fcntl.LOCK_UN)
        with suppress(OSError):  # a full disk: the number is for messages, the lock is the kernel's
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def ask(self) -> None:
        """Let the holder know that somebody waits; to be repeated until ``take``, which ends it."""
        assert self._next is not None
        with suppress(BlockingIOError):  # somebody else asks, or the holder looks
            fcntl.flock(self._next, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def asked(self) -> bool:
        """Whether somebody waits for what we hold."""
        assert self._next is not None
        try:
            fcntl.flock(self._next, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._next, fcntl.LOCK_UN)
        return False

    def holder(self) -> str:
        """The process that holds the lock, for a message."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"

    def is_held_by_sibling(self) -> bool:
        """Whether the process that holds the lock was started by the same ExaBGP as we."""
        try:
            status = Path(f"/proc/{self.holder()}/status").read_bytes()
        except OSError:
            return False
        parent = re.search(rb"^PPid:\t(\d+)$", status, re.MULTILINE)
        return parent is not None and int(parent[1]) == os.getppid()

    def release(self) -> None:
        """Lets go. The file stays: removing it would let two agents hold two locks of the same name."""
        for descriptor in (self._descriptor, self._next):
            if descriptor is not None:
                os.close(descriptor)
        self._descriptor = self._next = None
