"""One child process beside the event loop, from its start until it is reaped or left alone.

A child gets nothing of ours: an argument list instead of a shell, a session of its own, /dev/null as its three
descriptors and no other (or a pipe to us, if it is to be heard), ``/`` to stand in, the environment it is given, no
capability, and a user of its own if one is configured (``privileges``). ExaBGP's API is on our descriptors 0 and 1: a
child that held them would hide our death from ExaBGP.

Its end is awaited on its pidfd in our own event loop, not with asyncio's child watchers: those start a thread for each
child on Python 3.11, and they reap the child themselves. Reaping is ours because the order matters: a process group is
killed while its dead leader still holds the number, so a number that was taken anew can never be hit.

A child that overruns ends with all its descendants, in whatever group or session they are (``descendants``), if it has
a mark: it is found in the environment of those whose parents have ended. ``adopt`` makes them our children then.

Starting a child blocks the loop for the time of a vfork and an exec (about 1 ms, whatever the size of our process); of
a fork if it gets a user of its own, which grows with our process. A thread that does nothing else does it: it has given
up what the child must not have, and there is no way back.
"""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from exavrrp.system import capabilities, descendants
from exavrrp.system.privileges import Identity, Privileges

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""What every child gets besides its own variables."""

UMASK = 0o022
"""ExaBGP leaves us 0137, with which a child could not enter a directory that it makes."""

POLL = 0.02
"""Seconds between two looks at a child where the kernel has no pidfd (before Linux 5.3)."""

REAPING = 0.1
"""Seconds that a child has to end after SIGKILL before it is left to itself."""


def expect() -> None:
    """To be called once, in the main thread, before the first child: exit statuses are wanted."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # Inherited from whoever started us. The kernel would then reap for us, and every exit status be lost.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def failure(status: int) -> str:
    """What to say of a child that ended with ``status``, which is not 0."""
    if status > 0:
        return f"exit status {status}"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"


_alive: set[int] = set()
"""The children that we have started and not reaped; whoever else is our child was left to us by one that has ended."""


def adopt(loop: asyncio.AbstractEventLoop) -> None:
    """Be the parent of what our children leave behind, and reap it. For a process that has no children but these."""
    descendants.inherit()
    loop.add_signal_handler(signal.SIGCHLD, _reap)


def _reap() -> None:
    for process in _adopted():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


def _adopted() -> list[int]:
    return [process for process in descendants.children(os.getpid()) if process not in _alive]


_threads: dict[bool, ThreadPoolExecutor] = {}
"""One for the children that begin as root, which has no capability at all, and one for all others; see ``starter``."""

Starter = Callable[[], "subprocess.Popen[bytes]"]


def starter(
    command: tuple[str, ...], environment: Mapping[str, str], user: str | None = None, *, heard: bool = False
) -> Starter:
    """What starts ``command``, again and again; ``heard``: its output comes to us.

    Raises Refused when called and the program must not be run, and OSError when it cannot be started.
    """
    privileges = Privileges(command[0], user)

    def started(identity: Identity) -> "subprocess.Popen[bytes]":
        capabilities.renounce(entirely=identity.is_root)
        return subprocess.Popen(  # noqa: S603 — to run what the operator has configured is the purpose
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**ENVIRONMENT, **environment},
            start_new_session=True,
            umask=UMASK,
            user=identity.user,
            group=identity.group,
            extra_groups=identity.groups,
        )

    def start() -> "subprocess.Popen[bytes]":
        identity = privileges.identity()
        if identity.is_root not in _threads:
            _threads[identity.is_root] = ThreadPoolExecutor(1)
        try:
            starting = _threads[identity.is_root].submit(started, identity)
        except RuntimeError:  # Python does not tell why: as a rule, as many processes run as we may have
            del _threads[identity.is_root]  # or it would start the child some day, and nobody would know
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return starting.result()

    return start


def release() -> None:
    """End the threads that start children: before a fork, after which they are none, and at the end."""
    while _threads:
        _threads.popitem()[1].shutdown()


class Child:
    """One process. Raises what ``start`` raises."""

    def __init__(
        self,
        start: Starter,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[int], None],
        *,
        background: bool,
        mark: str | None = None,
    ) -> None:
        """``ended`` is called once with the exit status, negative for a signal, when the process is reaped.

        ``background``: what it leaves behind when it ends by itself may stay; otherwise its group ends with it.
        ``mark``: a variable (``NAME=value``) of its environment, by which its descendants are found when it is made to
        end. Only one child at a time bears it.
        """
        self._loop = loop
        self._ended_with = ended
        self._alone = not background
        self._killing: asyncio.TimerHandle | None = None
        self._poll: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None
        self._mark = mark
        self._overran = False
        self._kin: dict[int, int | None] = {}
        """descendants that were seen under their parents, and when they were started"""
        self._process = start()
        _alive.add(self._process.pid)
        self._since = descendants.started(self._process.pid)
        self._watch()

    @property
    def number(self) -> int:
        """The process number, which is that of its group and session too."""
        return self._process.pid

    @property
    def output(self) -> IO[bytes]:
        """What it says, for a child that is heard; to be closed by who reads it."""
        assert self._process.stdout is not None
        return self._process.stdout

    def end(self, grace: float) -> None:
        """Ask it and its descendants to end, and kill them after ``grace`` seconds, or as soon as it is gone."""
        self._alone = self._overran = True
        self._signal(signal.SIGTERM)
        if self._killing is not None:
            self._killing.cancel()
        self._killing = self._loop.call_later(grace, self._signal, signal.SIGKILL)

    def see(self) -> bool:
        """Whether it has ended; it is reaped and ``ended`` called then, if we were not there to see it before."""
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self._end_seen()
        return True

    def abandon(self) -> None:
        """Kill it with its descendants, and wait no longer than ``REAPING``; ``ended`` is not called."""
        self._overran = True
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=REAPING)
        self.leave()

    def leave(self) -> None:
        """Watch it no longer: it lives on without us, and ``ended`` is not called. Only before our own end."""
        self._release()
        # Popen would complain about a child that it has not seen the end of: that is what is wanted here.
        self._process.returncode = 0

    def _signal(self, number: signal.Signals) -> None:
        if self._overran and self._mark is not None:
            for process in descendants.under([self._process.pid]):
                self._kin.setdefault(process, descendants.started(process))
        # Our child is not reaped while this is called, so its number, which is that of its group, is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # a program may have changed its user
            os.killpg(self._process.pid, number)
        if self._overran and self._mark is not None:
            descendants.send(number, self._family)

    def _family(self) -> list[int]:
        """Our child's descendants: those of it, and those that were left to us since it was started.

        The mark of another user's process cannot be read without CAP_SYS_PTRACE: it is known if it was seen before its
        parent ended.
        """
        assert self._mark is not None
        mark, since = self._mark.encode(), self._since or 0
        strays = [
            process
            for process in _adopted()
            if (descendants.started(process) or 0) >= since and descendants.bears(process, mark)
        ]
        strays += [one for one, begun in self._kin.items() if begun is not None and descendants.started(one) == begun]
        group = self._process.pid  # has got the signal
        return [process for process in descendants.under([group], strays) if descendants.group(process) != group]

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._poll = self._loop.call_later(POLL, self._look)
        else:
            self._loop.add_reader(self._pidfd, self._end_seen)

    def _look(self) -> None:
        if not self.see():
            self._poll = self._loop.call_later(POLL, self._look)

    def _end_seen(self) -> None:
        if self._alone:
            self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._release()
        self._ended_with(status)

    def _release(self) -> None:
        _alive.discard(self._process.pid)
        for timer in (self._poll, self._killing):
            if timer is not None:
                timer.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
