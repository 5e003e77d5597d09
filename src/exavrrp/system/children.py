"""One child process beside the event loop, from its start until it is reaped or left alone.

A child gets nothing of ours: an argument list instead of a shell, a session of its own, /dev/null as its three
descriptors and no other, ``/`` to stand in, and the environment it is given. ExaBGP's API is on our descriptors 0 and
1: a child that held them would hide our death from ExaBGP.

Its end is awaited on its pidfd in our own event loop, not with asyncio's child watchers: those start a thread for each
child on Python 3.11, and they reap the child themselves. Reaping is ours because the order matters: a process group is
killed while its dead leader still holds the number, so a number that was taken anew can never be hit.

Starting a child blocks the loop for the time of a vfork and an exec (about 1 ms, whatever the size of our process).
"""

import asyncio
import contextlib
import errno
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""What every child gets besides its own variables."""

UMASK = 0o022
"""ExaBGP leaves us 0137, with which a child could not enter a directory that it makes."""

POLL = 0.02
"""Seconds between two looks at a child where the kernel has no pidfd (before Linux 5.3)."""

OVERFLOW = 65534
"""Whom files of users outside of our user namespace seem to belong to (user_namespaces(7))."""

LINKS = 40
"""Symbolic links followed in one path, as in the kernel (path_resolution(7))."""


def expect() -> None:
    """To be called once, in the main thread, before the first child: exit statuses are wanted."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # Inherited from whoever started us. The kernel would then reap for us, and every exit status be lost.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def insecure(program: str) -> str | None:
    """Why root must not run ``program`` (an absolute path), with the remedy; None if only root can change it.

    Whoever may write the file, a directory above it, or a link on the way, decides what is run. A directory that all
    may write is fine when it is sticky: nobody can replace what root has put there.
    """
    trusted = _trusted()
    try:
        for path in _passed(Path(program)):
            about = path.lstat()
            if about.st_uid not in trusted:
                return f"depends on {path}, which belongs to user {about.st_uid}; chown root {path}"
            sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
            others = about.st_mode & stat.S_IWOTH or (about.st_gid != 0 and about.st_mode & stat.S_IWGRP)
            if others and not sticky and not stat.S_ISLNK(about.st_mode):
                return f"depends on {path}, which others than root may write; chmod go-w {path}"
    except OSError as error:
        return f"cannot be looked at ({error.strerror}); correct the path"
    return None


def _trusted() -> frozenset[int]:
    """Root; and in a user namespace whoever stands outside of it, such as the host's root, who owns /usr there."""
    mapped = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    outside = not any(first <= OVERFLOW < first + count for first, _, count in mapped)
    return frozenset({0, OVERFLOW} if outside else {0})


def _passed(program: Path) -> Iterator[Path]:
    """Everything that the kernel passes on its way to ``program``: directories, links, and the file at the end."""
    here, rest, links = Path("/"), [part for part in reversed(program.parts) if part != "/"], 0
    yield here
    while rest:
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        step = here / part
        yield step
        if not step.is_symlink():
            here = step
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = step.readlink()
        here = Path("/") if target.is_absolute() else here
        rest += [part for part in reversed(target.parts) if part != "/"]


class Child:
    """One process. Raises OSError if it cannot be started."""

    def __init__(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[int], None],
    ) -> None:
        """``ended`` is called once with the exit status, negative for a signal, when the process is reaped."""
        self._loop = loop
        self._ended_with = ended
        self._ending = False
        self._killing: asyncio.TimerHandle | None = None
        self._poll: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None
        self._process = subprocess.Popen(  # noqa: S603 — to run what the operator has configured is the purpose
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**ENVIRONMENT, **environment},
            start_new_session=True,
            umask=UMASK,
        )
        self._watch()

    @property
    def number(self) -> int:
        """The process number, which is that of its group and session too."""
        return self._process.pid

    def end(self, grace: float) -> None:
        """Ask the process group to end, and kill it after ``grace`` seconds, or as soon as its leader is gone."""
        if not self._ending:
            self._ending = True
            self._signal(signal.SIGTERM)
            self._killing = self._loop.call_later(grace, self._signal, signal.SIGKILL)

    def leave(self) -> None:
        """Watch it no longer: it lives on without us, and ``ended`` is not called. Only before our own end."""
        self._release()
        # Popen would complain about a child that it has not seen the end of: that is what is wanted here.
        self._process.returncode = 0

    def _signal(self, number: signal.Signals) -> None:
        # Our child is not reaped while this is called, so its number, which is that of its group, is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # a program may have changed its user
            os.killpg(self._process.pid, number)

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._poll = self._loop.call_later(POLL, self._look)
        else:
            self._loop.add_reader(self._pidfd, self._end_seen)

    def _look(self) -> None:
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            self._end_seen()
        else:
            self._poll = self._loop.call_later(POLL, self._look)

    def _end_seen(self) -> None:
        if self._ending:
            self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._release()
        self._ended_with(status)

    def _release(self) -> None:
        for timer in (self._poll, self._killing):
            if timer is not None:
                timer.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
