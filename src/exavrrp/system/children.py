"""Child processes of the event loop, from their start until they are reaped or left running.

A child inherits nothing from us. It has an argument list and no shell, a session of its own, /dev/null as descriptors 0
to 2 (or a pipe to us, if its output is read) and no others, the working directory ``/``, only the environment that it
is given, no blocked signal, no capability, and a user of its own if one is configured (``privileges``). ExaBGP's API is
on our descriptors 0 and 1: ExaBGP would not notice our end while a child held them.

The event loop waits for the end of a child on its pidfd, not with asyncio's child watchers: those start a thread for
each child on Python 3.11, and they reap the child themselves. We reap it because the order matters: its process group
is killed while the dead leader still holds the number, so a reused number can never be signalled.

A child that overruns is killed with all its descendants, in whatever group or session they are (``descendants``), if it
has a mark: a variable that identifies its descendants whose parents have ended. ``adopt`` makes these our children.

Starting a child blocks the event loop for the time of a vfork and an exec, about 1 ms whatever the size of our process.
If it gets a user of its own it is the time of a fork, which grows with our process. A separate thread starts it: that
thread has dropped the capabilities that the child must not have, which cannot be undone.
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
from exavrrp.system.threads import blocking

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""The environment of every child, besides its own variables."""

UMASK = 0o022
"""The umask of every child. With ExaBGP's 0137 a child could not enter a directory that it has made."""

POLL = 0.02
"""Seconds between two polls of a child where the kernel has no pidfd (before Linux 5.3)."""

REAPING = 0.1
"""Seconds to wait for a child after SIGKILL; then it is not waited for any more."""


def expect() -> None:
    """Make exit statuses available. To be called once, in the main thread, before the first child."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # Inherited from our parent. The kernel would reap our children, and exit statuses would be lost (wait(2)).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def failure(status: int) -> str:
    """Text for a child that ended with ``status``, which is not 0; negative: killed by that signal."""
    if status > 0:
        return f"exit status {status}"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"


_alive: set[int] = set()
"""The children that we have started and not reaped. All other children of ours are orphans of earlier children."""


def adopt(loop: asyncio.AbstractEventLoop) -> None:
    """Become the parent of orphaned descendants, and reap them. Only for a process whose children are started here."""
    descendants.inherit()
    loop.add_signal_handler(signal.SIGCHLD, _reap)


def disown(loop: asyncio.AbstractEventLoop) -> None:
    """Reap them no more. To be called before the loop closes, which has closed its pipe for signals before it ends its
    handlers: a child that ends in between would be reported on stderr."""
    loop.remove_signal_handler(signal.SIGCHLD)


def _reap() -> None:
    for process in _adopted():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


def _adopted() -> list[int]:
    return [process for process in descendants.children(os.getpid()) if process not in _alive]


_threads: dict[bool, ThreadPoolExecutor] = {}
"""True: the thread that starts children as root, and has no capability; False: the one for all others."""

Starter = Callable[[], "subprocess.Popen[bytes]"]


def starter(
    command: tuple[str, ...], environment: Mapping[str, str], user: str | None = None, *, piped: bool = False
) -> Starter:
    """A function that starts ``command`` each time it is called; ``piped``: its output is a pipe to us.

    That function raises Refused when the program must not be run, and OSError when it cannot be started.
    """
    privileges = Privileges(command[0], user)

    def started(identity: Identity) -> "subprocess.Popen[bytes]":
        capabilities.renounce(entirely=identity.is_root)
        with blocking(()):
            return subprocess.Popen(  # noqa: S603 — to run what the operator has configured is the purpose
                command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
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
            with blocking(signal.valid_signals()):
                starting = _threads[identity.is_root].submit(started, identity)
        except RuntimeError:  # the thread cannot be started; usually because of the limit of processes
            del _threads[identity.is_root]  # it would still start the child later
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return starting.result()

    return start


def release() -> None:
    """End the threads that start children. To be called before a fork, which does not copy them, and at the end."""
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

        ``background``: when it ends by itself, other processes of its group keep running; otherwise they are killed.
        ``mark``: a variable (``NAME=value``) of its environment, which identifies its descendants when it is killed.
        Only one child at a time may have it.
        """
        self._loop = loop
        self._ended_with = ended
        self._alone = not background
        self._killing: asyncio.TimerHandle | None = None
        self._next_poll: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None
        self._mark = mark
        self._overran = False
        self._kin: dict[int, int | None] = {}
        """descendants that were found through their parents, and when they were started"""
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
        """The pipe of a child that was started with ``piped``; to be closed by the caller."""
        assert self._process.stdout is not None
        return self._process.stdout

    def end(self, grace: float) -> None:
        """Send SIGTERM to it and its descendants, and SIGKILL after ``grace`` seconds or as soon as it has ended."""
        self._alone = self._overran = True
        self._signal(signal.SIGTERM)
        if self._killing is not None:
            self._killing.cancel()
        self._killing = self._loop.call_later(grace, self._signal, signal.SIGKILL)

    def poll(self) -> bool:
        """Whether it has ended. If so it is reaped and ``ended`` is called, unless that was done before."""
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self._finish()
        return True

    def abandon(self) -> None:
        """Kill it with its descendants, and wait at most ``REAPING``; ``ended`` is not called."""
        self._overran = True
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=REAPING)
        self.leave()

    def leave(self) -> None:
        """Stop watching it: it keeps running, and ``ended`` is not called. Only before our own end."""
        self._release()
        # Otherwise Popen would warn about a child that is still running.
        self._process.returncode = 0

    def _signal(self, number: signal.Signals) -> None:
        if self._overran and self._mark is not None:
            for process in descendants.under([self._process.pid]):
                self._kin.setdefault(process, descendants.started(process))
        # Our child is not reaped yet, so its number, which is that of its group, cannot have been reused.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have changed its user
            os.killpg(self._process.pid, number)
        if self._overran and self._mark is not None:
            descendants.send(number, self._family)

    def _family(self) -> list[int]:
        """The descendants of our child, including orphans that we have adopted since it was started.

        The mark of another user's process cannot be read without CAP_SYS_PTRACE. Such an orphan is found only if it was
        seen before its parent ended.
        """
        assert self._mark is not None
        mark, since = self._mark.encode(), self._since or 0
        strays = [
            process
            for process in _adopted()
            if (descendants.started(process) or 0) >= since and descendants.bears(process, mark)
        ]
        strays += [one for one, begun in self._kin.items() if begun is not None and descendants.started(one) == begun]
        group = self._process.pid  # its members have got the signal already
        return [process for process in descendants.under([group], strays) if descendants.group(process) != group]

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._next_poll = self._loop.call_later(POLL, self._poll)
        else:
            self._loop.add_reader(self._pidfd, self._finish)

    def _poll(self) -> None:
        if not self.poll():
            self._next_poll = self._loop.call_later(POLL, self._poll)

    def _finish(self) -> None:
        if self._alone:
            self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._release()
        self._ended_with(status)

    def _release(self) -> None:
        _alive.discard(self._process.pid)
        for timer in (self._next_poll, self._killing):
            if timer is not None:
                timer.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
