"""Notifies programs, FIFOs and sockets of transitions, in the format of keepalived's notify scripts.

``Notifier`` passes each transition on, in order. Its failures are logged and counted, and have no effect on the agent.
It must not know of elections.

The contract is keepalived's (keepalived.conf(5), ``notify``; ``vrrp_notify.c``), so that its scripts work unchanged:

- The program for the state (``notify_active`` …) gets its configured arguments only. After it, the program for all
  states (``notify``) gets four more: INSTANCE, the name, MASTER, BACKUP, FAULT or STOP, and the effective priority.
- A FIFO gets the same as a line: ``INSTANCE "web" MASTER 150``. A socket gets the line as a datagram.
- Descriptors 0 to 2 are /dev/null. Processes that a program has started in the background keep running. keepalived
  sets no environment variable; ours begin with EXAVRRP_ and give further details.

One difference: keepalived does not wait for its programs, so those of two transitions run at the same time, and the
first may end last. Here the programs of one router run one after the other, each within ``notify_timeout``.

Another difference: a program runs as our user without any capability, as those of checks do. If our user is root, a
program that another user could change is not run (``privileges``). That is logged, as every failure is.

The engine is never delayed:

- ``tell`` only queues. The first program starts when the effects of the transition have been carried out: the address
  is bound and announced by then.
- Starting a program takes about 1 ms. Between two starts there is a pause (``PAUSE``), however many routers change
  their state at once.
- At most ``QUEUE`` transitions wait for each router, FIFO and socket. Beyond that the oldest are dropped and counted,
  so the last state is always notified.
- Descriptors are non-blocking. A FIFO or socket without a reader loses its lines; they are counted, and logged once.

When the agent stops, STOP is notified, and everything that waits before it is dropped. A program that still runs has
``STOP_TIMEOUT`` seconds. Then it gets SIGTERM (as from keepalived), and the programs for STOP are started all the same.
The agent does not wait for them.
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
"""Most transitions that wait for one router's programs, and lines for one FIFO or socket. keepalived's users expect
every transition; a reader that is further behind than this is broken."""

PAUSE = 0.01
"""Seconds between two starts, of about 1 ms each: they take a tenth of the engine's time at most."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL for a program that overruns: time to clean up."""

STOP_TIMEOUT = 0.3
"""Seconds that running programs have when the agent stops: ExaBGP gives the agent two for everything."""

REASON = 200
"""Most characters of EXAVRRP_REASON."""


@dataclass(frozen=True, slots=True)
class _Transition:
    """One transition, as it is notified."""

    state: NotifyState
    priority: int
    before: str
    reason: str


class Notifier:
    """Notifies of the transitions of all virtual routers."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: dict[str, NotifyState] = {}
        # One for each path: many routers may share one, as all of keepalived's do.
        self._fifos: dict[str, _Channel] = {}
        self._sockets: dict[str, _Channel] = {}
        self._programs: dict[str, _Programs] = {}
        self._leaving: dict[str, _Programs] = {}
        """of routers that were removed while programs ran or waited"""
        self._ready: deque[_Programs] = deque()
        self._pump: asyncio.Handle | None = None
        self._pausing = True

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare to start programs. To be called in the main thread."""
        self._loop = loop
        expect()

    def rename(self, names: Mapping[str, str]) -> None:
        """Routers are called otherwise from now on (now → then): queues, last states, counters and programs stay."""
        self._last = {names.get(name, name): state for name, state in self._last.items()}
        self._programs = {names.get(name, name): programs for name, programs in self._programs.items()}

    def set(self, routers: Iterable[VirtualRouter]) -> None:
        """Notify of exactly these routers from now on, and make their FIFOs. Logs errors, and raises nothing.

        A router that stays keeps its queue, its last state and the program that runs; its new settings apply from the
        next program, and the next line, on. Of a removed router, the last transition that waits is still notified.
        """
        wanted = {router.name: router for router in routers}
        for name in [name for name in self._programs if name not in wanted]:
            programs = self._leaving[name] = self._programs.pop(name)
            programs.keep_last()
            self._last.pop(name, None)
        for name, router in wanted.items():
            if name in self._programs:
                self._programs[name].router = router
            elif name in self._leaving:
                self._programs[name] = self._leaving.pop(name)
                self._programs[name].router = router
            else:
                self._programs[name] = _Programs(router, self._log, self._due, self._loop)
        self._leaving = {name: one for name, one in self._leaving.items() if not one.idle.is_set()}
        fifos = [router.notify_fifo for router in wanted.values() if router.notify_fifo is not None]
        sockets = [router.notify_socket for router in wanted.values() if router.notify_socket is not None]
        for path in self._connect(self._fifos, fifos, _reach_fifo):
            try:
                _make_fifo(path)
            except OSError as error:
                self._log.error("notify-unusable", path=path, detail=error.strerror)
        self._connect(self._sockets, sockets, _reach_socket)

    def _connect(self, channels: "dict[str, _Channel]", wanted: list[str], reach: Callable[[str], int]) -> list[str]:
        """Have channels for exactly these paths. Returns the new ones."""
        for path in [path for path in channels if path not in wanted]:
            channels.pop(path).close()
        new = [path for path in dict.fromkeys(wanted) if path not in channels]
        channels.update({path: _Channel(path, reach, self._log, self._loop) for path in new})
        return new

    def tell(self, name: str, state: NotifyState, priority: int, before: str, reason: str) -> None:
        """Notify that the router ``name`` went from ``before`` to ``state``. Never waits; ignores a repeat.

        ``priority`` is the effective one; ``reason`` is for people.
        """
        if self._last.get(name) is state:
            return
        self._last[name] = state
        router = self._programs[name].router
        message = f'INSTANCE "{name}" {state} {priority}\n'.encode()
        if router.notify_fifo is not None:
            self._fifos[router.notify_fifo].write(message)
        if router.notify_socket is not None:
            self._sockets[router.notify_socket].write(message)
        self._programs[name].add(_Transition(state, priority, before, _printable(reason)))

    def counters(self) -> dict[str, dict[str, int]]:
        """How many notifications were done or written, failed and dropped, by router, FIFO and socket.

        Those without any are left out.
        """
        counted: dict[str, Counter[str]] = {name: one.counted for name, one in self._programs.items()}
        counted |= {channel.path: channel.counted for channel in self._channels()}
        return {name: dict(counts) for name, counts in counted.items() if counts}

    async def close(self) -> None:
        """Notify of the last state of every router, wait for ``STOP_TIMEOUT`` at most, and leave what still runs."""
        self._pausing = False
        routers = [*self._leaving.values(), *self._programs.values()]
        try:
            for programs in routers:
                programs.keep_last()
            self._pump_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    for programs in routers:
                        await programs.idle.wait()
        finally:
            if self._pump is not None:
                self._pump.cancel()
            for programs in routers:
                programs.close()
            for channel in self._channels():
                channel.close()

    def _channels(self) -> list["_Channel"]:
        return [*self._fifos.values(), *self._sockets.values()]

    def _due(self, programs: "_Programs") -> None:
        """The next program of a router has to be started."""
        self._ready.append(programs)
        if not self._pausing:
            self._pump_all()
        elif self._pump is None:
            # Not now: the effects of the transition may not be complete.
            self._pump = self._loop.call_soon(self._start_one)

    def _start_one(self) -> None:
        self._pump = None
        if self._ready:
            self._ready.popleft().start()
            # Also after the last one: a program that becomes due during the pause has to wait until it is over.
            self._pump = self._loop.call_later(PAUSE, self._start_one)

    def _pump_all(self) -> None:
        while self._ready:
            self._ready.popleft().start()


class _Programs:
    """The programs of one router: the one that runs, and the transitions that wait for it."""

    def __init__(
        self, router: VirtualRouter, log: Log, due: Callable[["_Programs"], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.router = router
        """its current settings"""
        self.counted: Counter[str] = Counter()
        self.idle = asyncio.Event()
        self.idle.set()
        self._log = log
        self._due = due
        self._loop = loop
        self._waiting: deque[_Transition] = deque()
        self._current: _Transition | None = None
        self._rest: deque[tuple[str, ...]] = deque()
        """the programs that are still to run for the current transition"""
        self._child: Child | None = None
        self._limit = router.notify_timeout
        """seconds, of the program that runs"""
        self._deadline: asyncio.TimerHandle | None = None

    def add(self, transition: _Transition) -> None:
        if not self._commands(transition):
            return
        self._waiting.append(transition)
        if len(self._waiting) > QUEUE:
            self._drop()
        if self.idle.is_set():
            self.idle.clear()
            self._due(self)

    def keep_last(self) -> None:
        """Drop all transitions that wait except the last."""
        while len(self._waiting) > 1:
            self._drop()
        if self._waiting:
            self._rest.clear()

    def start(self) -> None:
        """Start the next program. To be called while no program of this router runs."""
        while (command := self._next()) is not None:
            if self._run(command):
                return
        self.idle.set()

    def close(self) -> None:
        """Start the programs that are left, and leave everything running."""
        if self.idle.is_set():
            return
        if self._waiting and self._child is not None:
            self._child.end(GRACE)  # its state is out of date
        self._leave()
        while (command := self._next()) is not None:
            self._run(command)
            self._leave()

    def _drop(self) -> None:
        gone = self._waiting.popleft()
        if not self.counted["dropped"]:
            detail = "its programs are slower than the transitions; the oldest that wait are dropped"
            self._log.warning("notify-queue-full", router=self.router.name, state=gone.state, detail=detail)
        self.counted["dropped"] += 1

    def _commands(self, transition: _Transition) -> list[tuple[str, ...]]:
        """The programs for a transition, that for its state first, as in keepalived."""
        commands = []
        own = {
            NotifyState.MASTER: self.router.notify_active,
            NotifyState.BACKUP: self.router.notify_backup,
            NotifyState.FAULT: self.router.notify_fault,
            NotifyState.STOP: self.router.notify_stop,
        }[transition.state]
        if own is not None:
            commands.append(own)
        if self.router.notify is not None:
            commands.append(
                (*self.router.notify, "INSTANCE", self.router.name, transition.state, str(transition.priority))
            )
        return commands

    def _next(self) -> tuple[str, ...] | None:
        while not self._rest and self._waiting:
            self._current = self._waiting.popleft()
            self._rest.extend(self._commands(self._current))
        return self._rest.popleft() if self._rest else None

    def _run(self, command: tuple[str, ...]) -> bool:
        """Start ``command``. Returns false if that failed, which is logged."""
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
        if self._rest or self._waiting:
            self._due(self)
        else:
            self.idle.set()

    def _fail(self, command: tuple[str, ...], detail: str) -> None:
        assert self._current is not None
        self.counted["failed"] += 1
        name, state = self.router.name, self._current.state
        self._log.warning("notify-failed", router=name, program=command[0], state=state, detail=detail)

    def _leave(self) -> None:
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
        """Write ``line`` after those that wait, as soon as the reader has room for it."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            self._write_waiting()
        elif len(self._waiting) > QUEUE:
            self._waiting.popleft()
            self._lose(1, "its reader is slower than the transitions; the oldest lines that wait are dropped")

    def close(self) -> None:
        if self._waiting:
            self._lose(len(self._waiting), "its reader was too slow when the agent was done with it")
        self._disconnect()

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
            self._disconnect()
            self._lose(len(self._waiting), _explained(error))
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
                self._disconnect()  # the reader is gone, and there may be another one
            else:
                return
        self._descriptor = self._reach(self.path)
        os.write(self._descriptor, line)

    def _lose(self, count: int, detail: str) -> None:
        if not self._lost:
            self._log.warning("notify-reader-lost", path=self.path, detail=detail)
        self._lost += count
        self.counted["dropped"] += count

    def _disconnect(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def _make_fifo(path: str) -> None:
    """Make the FIFO. It is never removed: a reader that has it open would not find a new one. Raises OSError."""
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(Path(path).lstat().st_mode):
            raise OSError(errno.EINVAL, "is there and no FIFO; remove it, or correct notify_fifo") from None


def _reach_fifo(path: str) -> int:
    """A descriptor that writes to the FIFO's reader. Raises OSError: ENXIO without a reader (fifo(7))."""
    _make_fifo(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no FIFO; remove it, or correct notify_fifo")
    return descriptor


def _reach_socket(path: str) -> int:
    """A descriptor that sends to the socket bound at ``path``. Raises OSError."""
    # Connected: only then can we wait until a full receiver has room (unix(7)).
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as reached:
        reached.connect(path)
        return reached.detach()


def _explained(error: OSError) -> str:
    match error.errno:
        case errno.ENXIO | errno.EPIPE | errno.ECONNREFUSED | errno.ECONNRESET:
            return "nobody reads it; lines are dropped until somebody does"
        case _:
            return error.strerror or str(error)


def _printable(text: str) -> str:
    """``text`` as the value of an environment variable: one line of at most ``REASON`` characters, without NUL."""
    return "".join(one if one.isprintable() else " " for one in text[:REASON])
