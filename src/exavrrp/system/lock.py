"""The lock that lets one agent at a time drive the addresses and sockets of a state directory.

ExaBGP's full reload (SIGUSR2) starts a new plugin before the old one has ended, and an operator may start a second one
by mistake. The kernel drops the lock (flock(2)) when its holder ends, however it ends.
"""

import fcntl
import os
from pathlib import Path


class Lock:
    """``state_directory/lock``, held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._descriptor: int | None = None

    def open(self) -> None:
        """Makes the directory (0755, whatever the umask: with ExaBGP's 0137 nobody could enter it) and the file.

        Raises ``OSError``.
        """
        missing = [path for path in (self.path.parent, *self.path.parent.parents) if not path.exists()]
        for directory in reversed(missing):
            directory.mkdir()
            directory.chmod(0o755)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def take(self) -> bool:
        """Whether the lock is ours now; never waits."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def holder(self) -> str:
        """The process that holds the lock, for a message."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"

    def release(self) -> None:
        """Lets go. The file stays: removing it would let two agents hold two locks of the same name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
