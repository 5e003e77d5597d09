"""Tells programs, FIFOs and sockets of transitions, in the words that keepalived's notify scripts understand.

``Notifier`` owns what follows from a transition outside of this agent, and nothing else: what it is told it passes on,
in order, and whatever becomes of it changes nothing here. It must not know of elections.

What keepalived does is the contract (keepalived.conf(5), ``notify``; ``vrrp_notify.c``), so that its scripts work
unchanged:

- the program for the state (``notify_active`` …) gets the arguments it is configured with, and nothing more; after it
  the program for all states (``notify``) gets four more: INSTANCE, the name, MASTER, BACKUP, FAULT or STOP, and the
  effective priority;
- a FIFO gets the same as a line: ``INSTANCE "web" MASTER 150``; a socket gets the line as a datagram;
- descriptors 0 to 2 are /dev/null, and what a program has started in the background stays. keepalived sets no variable
  of its own; ours begin with EXAVRRP_ and say more.

Where it does better: keepalived starts its programs and forgets them, so two transitions run side by side and the
first may end last. Here the programs of one router run one after the other, each within ``notify_timeout``.

Where it is stricter: a program is our user without any capability, as those of checks are. If that is root, a program
that somebody else could change is not run (``privileges``): logged, as every failure is.

Never a delay for the engine:

- ``tell`` only remembers. The first program starts when the effects of the transition have been carried out: the
  address is bound and announced by then.
- Starting one takes about 1 ms: between two starts there is a pause (``PAUSE``), however many routers move at once.
- What cannot be told at once waits, at most ``QUEUE`` transitions for each router, FIFO and socket. Then the oldest
  that wait are dropped and counted: the last state is always told.
- Descriptors are non-blocking. A FIFO or socket that nobody reads loses its lines: counted, and logged once.

At our end STOP is told. Everything that waits before it is dropped; a program that is still at work has ``LAST``
seconds, then it gets SIGTERM (as from keepalived) and STOP is told all the same. What runs then outlives us.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exavrrp import __version__
from exavrrp.config import VirtualRouter
from exavrrp.ports import Log, NotifyState
from exavrrp.system.children import Child, expect, failure, starter
from exavrrp.system.privileges import Refused

QUEUE = 100
"""Transitions that wait for one router's programs, and lines for one FIFO or socket. Who is further behind is broken;
until then keepalived's users expect to see each."""

PAUSE = 0.01
"""Seconds between two starts: with about 1 ms for each, nine tenths of the time are the engine's."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL when a program overruns: enough to undo something."""

LAST = 0.3
"""Seconds that programs at work have when the agent stops: ExaBGP gives it two for everything."""

REASON = 200
"""Characters of the reason that a program gets."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One transition, as it is told."""

    state: NotifyState
    priority: int
    before: str
    reason: str


class Notifier:
    """Tells the transitions of all virtual routers."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: dict[str, NotifyState] = {}
        # One for each path: many routers may share one, as all of keepalived's do.
        self._fifos: dict[str, _Channel] = {}
        self._sockets: dict[str, _Channel] = {}
        self._lines: dict[str, _Line] = {}
        self._leaving: dict[str, _Line] = {}
        """of routers that are gone, and have something to tell still"""
        self._ready: deque[_Line] = deque()
        self._pump: asyncio.Handle | None = None
        self._pausing = True

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be ready. To be called in the main thread."""
        self._loop = loop
        expect()

    def set(self, routers: Iterable[VirtualRouter]) -> None:
        """Tell of exactly these from now on, and make FIFOs that are absent; logs what is wrong, raises nothing.

        A router that stays keeps what waits, what was told last and the program that runs; what has changed counts from
        the next program, and the next line, on. Of one that is gone the last transition that waits is told still.
        """
        wanted = {router.name: router for router in routers}
        for name in [name for name in self._lines if name not in wanted]:
            line = self._leaving[name] = self._lines.pop(name)
            line.hurry()
            self._last.pop(name, None)
        for name, router in wanted.items():
            if name in self._lines:
                self._lines[name].router = router
            elif name in self._leaving:
                self._lines[name] = self._leaving.pop(name)
                self._lines[name].router = router
            else:
                self._lines[name] = _Line(router, self._log, self._due, self._loop)
        self._leaving = {name: line for name, line in self._leaving.items() if not line.idle.is_set()}
        fifos = [router.notify_fifo for router in wanted.values() if router.notify_fifo is not None]
        sockets = [router.notify_socket for router in wanted.values() if router.notify_socket is not None]
        for path in self._connect(self._fifos, fifos, _reach_fifo):
            try:
                _make_fifo(path)
            except OSError as error:
                self._log.error("notify-unusable", path=path, detail=error.strerror)
        self._connect(self._sockets, sockets, _reach_socket)

    def _connect(self, channels: "dict[str, _Channel]", wanted: list[str], reach: Callable[[str], int]) -> list[str]:
        """Have channels for exactly these paths; those that are new."""
        for path in [path for path in channels if path not in wanted]:
            channels.pop(path).close()
        new = [path for path in dict.fromkeys(wanted) if path not in channels]
        channels.update({path: _Channel(path, reach, self._log, self._loop) for path in new})
        return new

    def tell(self, name: str, state: NotifyState, priority: int, before: str, reason: str) -> None:
        """The router ``name`` is now in ``state``, and was in ``before``. Never waits; the same state is told once.

        ``priority`` is the effective one; ``reason`` is for people.
        """
        if self._last.get(name) is state:
            return
        self._last[name] = state
        router = self._lines[name].router
        message = f'INSTANCE "{name}" {state} {priority}\n'.encode()
        if router.notify_fifo is not None:
            self._fifos[router.notify_fifo].write(message)
        if router.notify_socket is not None:
            self._sockets[router.notify_socket].write(message)
        self._lines[name].add(_Told(state, priority, before, _printable(reason)))

    def counters(self) -> dict[str, dict[str, int]]:
        """What was told, failed and dropped, by router, FIFO and socket; of those that have something to tell."""
        counted: dict[str, Counter[str]] = {name: line.counted for name, line in self._lines.items()}
        counted |= {channel.path: channel.counted for channel in self._channels()}
        return {name: dict(counts) for name, counts in counted.items() if counts}

    async def close(self) -> None:
        """Tell everybody's last state, wait for ``LAST`` seconds at most, and let go of what still runs."""
        self._pausing = False
        lines = [*self._leaving.values(), *self._lines.values()]
        try:
            for line in lines:
                line.hurry()
            self._pump_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST):
                    for line in lines:
                        await line.idle.wait()
        finally:
            if self._pump is not None:
                self._pump.cancel()
            for line in lines:
                line.close()
            for channel in self._channels():
                channel.close()

    def _channels(self) -> list["_Channel"]:
        return [*self._fifos.values(), *self._sockets.values()]

    def _due(self, line: "_Line") -> None:
        """``line`` has a program to start."""
        self._ready.append(line)
        if not self._pausing:
            self._pump_all()
        elif self._pump is None:
            # Not now: we may be in the middle of the effects of a transition.
            self._pump = self._loop.call_soon(self._start_one)

    def _start_one(self) -> None:
        self._pump = None
        if self._ready:
            self._ready.popleft().start()
            # Also after the last: one that becomes due in the pause has to wait for its end.
            self._pump = self._loop.call_later(PAUSE, self._start_one)

    def _pump_all(self) -> None:
        while self._ready:
            self._ready.popleft().start()


class _Line:
    """What waits to be told to the programs of one router, and the one that is at work."""

    def __init__(
        self, router: VirtualRouter, log: Log, due: Callable[["_Line"], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.router = router
        """how it is told now"""
        self.counted: Counter[str] = Counter()
        self.idle = asyncio.Event()
        self.idle.set()
        self._log = log
        self._due = due
        self._loop = loop
        self._todo: deque[_Told] = deque()
        self._current: _Told | None = None
        self._rest: deque[tuple[str, ...]] = deque()
        """the programs that the current one is still to be told to"""
        self._child: Child | None = None
        self._limit = router.notify_timeout
        """that of the program that runs"""
        self._deadline: asyncio.TimerHandle | None = None

    def add(self, told: _Told) -> None:
        if not self._commands(told):
            return
        self._todo.append(told)
        if len(self._todo) > QUEUE:
            self._drop()
        if self.idle.is_set():
            self.idle.clear()
            self._due(self)

    def hurry(self) -> None:
        """Of what waits only the last is told."""
        while len(self._todo) > 1:
            self._drop()
        if self._todo:
            self._rest.clear()

    def start(self) -> None:
        """Start the next program; nothing of this router runs."""
        while (command := self._next()) is not None:
            if self._run(command):
                return
        self.idle.set()

    def close(self) -> None:
        """Tell what is left to tell, and let go of what runs."""
        if self.idle.is_set():
            return
        if self._todo and self._child is not None:
            self._child.end(GRACE)  # what it was told is no longer so
        self._let_go()
        while (command := self._next()) is not None:
            self._run(command)
            self._let_go()

    def _drop(self) -> None:
        gone = self._todo.popleft()
        if not self.counted["dropped"]:
            detail = "its programs are slower than the transitions; the oldest that wait are dropped"
            self._log.warning("notify-queue-full", router=self.router.name, state=gone.state, detail=detail)
        self.counted["dropped"] += 1

    def _commands(self, told: _Told) -> list[tuple[str, ...]]:
        """The one for the state first, as in keepalived."""
        commands = []
        own = {
            NotifyState.MASTER: self.router.notify_active,
            NotifyState.BACKUP: self.router.notify_backup,
            NotifyState.FAULT: self.router.notify_fault,
            NotifyState.STOP: self.router.notify_stop,
        }[told.state]
        if own is not None:
            commands.append(own)
        if self.router.notify is not None:
            commands.append((*self.router.notify, "INSTANCE", self.router.name, told.state, str(told.priority)))
        return commands

    def _next(self) -> tuple[str, ...] | None:
        while not self._rest and self._todo:
            self._current = self._todo.popleft()
            self._rest.extend(self._commands(self._current))
        return self._rest.popleft() if self._rest else None

    def _run(self, command: tuple[str, ...]) -> bool:
        """Start ``command``; False if that failed, which has been logged then."""
        start = starter(command, self._environment())
        try:
            self._child = Child(start, self._loop, self._ended, background=True)
        except Refused as refused:
            self._fail(command, f"not run as root: a program that {refused.text}")
            return False
        except OSError as error:
            self._fail(command, f"cannot be started: {error.strerror}")
            return False
        self._command = command
        self._overran = False
        self._limit = self.router.notify_timeout
        self._deadline = self._loop.call_later(self._limit, self._overrun)
        return True

    def _environment(self) -> Mapping[str, str]:
        assert self._current is not None
        return {
            "EXAVRRP_NAME": self.router.name,
            "EXAVRRP_STATE": self._current.state,
            "EXAVRRP_BEFORE": self._current.before,
            "EXAVRRP_REASON": self._current.reason,
            "EXAVRRP_PRIORITY": str(self._current.priority),
            "EXAVRRP_VRID": str(self.router.vrid),
            "EXAVRRP_ADDRESSES": " ".join(map(str, self.router.addresses)),
            "EXAVRRP_VERSION": __version__,
        }

    def _overrun(self) -> None:
        assert self._child is not None
        self._overran = True
        self._child.end(GRACE)

    def _ended(self, status: int) -> None:
        assert self._deadline is not None
        self._deadline.cancel()
        self._child = None
        if self._overran:
            self._fail(self._command, f"not done within {self._limit:g} s")
        elif status:
            self._fail(self._command, failure(status))
        else:
            self.counted["done"] += 1
        if self._rest or self._todo:
            self._due(self)
        else:
            self.idle.set()

    def _fail(self, command: tuple[str, ...], detail: str) -> None:
        assert self._current is not None
        self.counted["failed"] += 1
        name, state = self.router.name, self._current.state
        self._log.warning("notify-failed", router=name, program=command[0], state=state, detail=detail)

    def _let_go(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._child is not None:
            self._child.leave()
            self._child = None


class _Channel:
    """A FIFO or socket, and the lines that wait for its reader."""

    def __init__(self, path: str, reach: Callable[[str], int], log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.counted: Counter[str] = Counter()
        self._reach = reach
        self._log = log
        self._loop = loop
        self._descriptor: int | None = None
        self._waiting: deque[bytes] = deque()
        self._lost = 0

    def write(self, line: bytes) -> None:
        """Write ``line`` after those that wait, as soon as there is room."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            self._write_waiting()
        elif len(self._waiting) > QUEUE:
            self._waiting.popleft()
            self._lose(1, "its reader is slower than the transitions; the oldest lines that wait are dropped")

    def close(self) -> None:
        if self._waiting:
            self._lose(len(self._waiting), "its reader was too slow when the agent was done with it")
        self._let_go()

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self._write_one(self._waiting[0])
                self._waiting.popleft()
                self.counted["written"] += 1
        except BlockingIOError:
            assert self._descriptor is not None
            self._loop.add_writer(self._descriptor, self._write_waiting)
        except OSError as error:
            self._let_go()
            self._lose(len(self._waiting), _unread(error))
            self._waiting.clear()
        else:
            assert self._descriptor is not None
            self._loop.remove_writer(self._descriptor)
            if self._lost:
                self._log.info("notify-reader-restored", path=self.path, lines_dropped=self._lost)
                self._lost = 0

    def _write_one(self, line: bytes) -> None:
        """A line is shorter than PIPE_BUF, so it is written whole or not at all (pipe(7))."""
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, line)
            except BlockingIOError:
                raise
            except OSError:
                self._let_go()  # the reader we knew is gone: there may be another
            else:
                return
        self._descriptor = self._reach(self.path)
        os.write(self._descriptor, line)

    def _lose(self, count: int, detail: str) -> None:
        if not self._lost:
            self._log.warning("notify-reader-lost", path=self.path, detail=detail)
        self._lost += count
        self.counted["dropped"] += count

    def _let_go(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def _make_fifo(path: str) -> None:
    """It stays when we go: a reader that waits at it would not find its successor. Raises OSError."""
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(Path(path).lstat().st_mode):
            raise OSError(errno.EINVAL, "is there and no FIFO; remove it, or correct notify_fifo") from None


def _reach_fifo(path: str) -> int:
    """A descriptor that writes to the FIFO's reader; raises OSError, ENXIO if there is none."""
    _make_fifo(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no FIFO; remove it, or correct notify_fifo")
    return descriptor


def _reach_socket(path: str) -> int:
    """A descriptor that sends to whoever is bound to ``path``; raises OSError."""
    # Connected: only then does a full receiver make us wait for it instead of losing lines.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as reached:
        reached.connect(path)
        return reached.detach()


def _unread(error: OSError) -> str:
    match error.errno:
        case errno.ENXIO | errno.EPIPE | errno.ECONNREFUSED | errno.ECONNRESET:
            return "nobody reads it; lines are dropped until somebody does"
        case _:
            return error.strerror or str(error)


def _printable(text: str) -> str:
    """Fit for an environment: one line, of bounded length, and no NUL."""
    return "".join(one if one.isprintable() else " " for one in text[:REASON])
