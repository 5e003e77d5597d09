"""The agent's end of the control socket: takes requests, and keeps the drains.

``Control`` owns the socket ``state_directory/control.sock`` (0660: the agent's own user, and a group if one is
configured), the ends of drains, and the note of drained routers. What a drain does is the agent's matter: ``Service``.

No client can delay the engine. Each connection is a task of its own that carries one request: it has ``PATIENCE``
to send one line of bounded length and as long to take each answer, and is closed otherwise. An answer is made when it
can be sent, so a client that waits costs nothing and a slow one skips what it has missed. Beyond ``CLIENTS`` at once
the kernel lets the next ones wait. A client that disconnects stops nothing: its request is carried out.

The note is forced to the disk in a thread: a disk may take seconds, an advert may not. It is written before the command
is answered, so that the answer can say whether the drain outlives a restart, but after the drain has begun. While we
run, the end of a drain is a matter of elapsed time, and of the clock only across a restart.
"""

import asyncio
import grp
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, assert_never

from msgspec.structs import asdict, replace

from exavrrp import __version__
from exavrrp.control import (
    REQUEST_LIMIT,
    SOCKET,
    Answer,
    Begun,
    Done,
    Drain,
    Drained,
    Error,
    Misunderstood,
    Moved,
    Progress,
    Request,
    Service,
    Status,
    StatusAnswer,
    Undrain,
    chosen,
    drained,
    encode,
    lasting,
    request,
)
from exavrrp.view import Outcome, RouterView

CLIENTS = 64
"""At once. Each of them may hold REQUEST_LIMIT bytes twice and one answer."""

CLIENTS_SHARE = 8
"""Of our descriptors (ulimit -n) clients may take one in so many: without any, no check can be started."""

BACKLOG = 128
"""How many more the kernel lets wait."""

PATIENCE = 5.0
"""Seconds for a client to send its line, and to take each of ours."""

DISK_PATIENCE = 2.0
"""Seconds for the note to be on the disk; then the answer says that it is not."""

ACCEPTS = 8
"""Connections taken in one turn of the event loop."""

ACCEPT_PAUSE = 1.0
"""Seconds until connections are taken again when the system has refused one (no descriptor is left)."""

SOCKET_LOOK = 10.0
"""Seconds between two looks at whether the socket is still there: systemd removes a RuntimeDirectory= when any unit
that names it ends, and a drain that reaches nobody makes a planned stop an abrupt one."""

MODE = 0o660
"""Of the socket: who may write to it may drain."""


class Log(Protocol):
    """What is told to the operator."""

    def info(self, event: str, **fields: object) -> None:
        """Something to read later."""

    def warning(self, event: str, **fields: object) -> None:
        """Something to look into."""


class Store(Protocol):
    """Where the drained routers are noted for the next agent; ``system.state.DrainFile``."""

    path: Path

    def open(self) -> None:
        """Prepare it; raises nothing."""

    def recall(self) -> Mapping[str, float | None]:
        """Name → end in seconds since the epoch; raises nothing."""

    def save(self, drained: Mapping[str, float | None]) -> None:
        """May take long. Raises OSError."""


class Control:
    """The control socket, the drains and their file."""

    def __init__(
        self,
        directory: Path,
        service: Service,
        store: Store,
        log: Log,
        *,
        group: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = directory / SOCKET
        self._group = group
        self._service = service
        self._store = store
        self._log = log
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._missing: asyncio.TimerHandle | None = None
        self._inode = 0
        self._reachable = True
        """whether no failure of the socket has been logged"""
        self._clients: set[asyncio.Task[None]] = set()
        self._held: dict[str, Drained] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._kept: dict[str, float | None] = {}
        self._writing: asyncio.Task[str | None] | None = None
        self._look: asyncio.Handle | None = None
        self._turn = asyncio.Event()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Recall the drains of the last process, and listen. To be called with the lock held.

        Raises nothing: an agent without a control socket still does its work; it logs that.
        """
        self._loop = loop
        self._store.open()
        self._kept = dict(self._store.recall())
        self._held = {name: Drained(until, persistent=True) for name, until in self._kept.items()}
        over = [name for name, one in self._held.items() if one.until is not None and one.until <= self._clock()]
        for name in over:
            self._log.info("drain-expired", router=name, detail="it ended while no agent ran")
        self._forget(over)
        for name in self._held:
            self._arm(name)
        self._keep_listening()

    @property
    def clients(self) -> int:
        """How many are attended to now."""
        return len(self._clients)

    def drained(self) -> frozenset[str]:
        """The routers that stay out of the election from the start on."""
        return frozenset(self._held).intersection(self._service.names())

    def changed(self) -> None:
        """The outcome of a router may have changed. What comes of it does not happen within this call."""
        if self._loop is not None and self._look is None:
            self._look = self._loop.call_soon(self._looked)

    def close(self) -> None:
        """Cut every client, and remove the socket."""
        for handle in (self._look, self._pause, self._missing, *self._ends.values()):
            if handle is not None:
                handle.cancel()
        for client in self._clients:
            client.cancel()
        if self._listening is not None:
            self._stop_listening()
            with suppress(OSError):
                self.path.unlink()
        self._loop = None

    # Connections

    def _keep_listening(self) -> None:
        """Listen, and again if somebody has removed the socket."""
        assert self._loop is not None
        self._missing = self._loop.call_later(SOCKET_LOOK, self._keep_listening)
        if self._is_there():
            return
        removed = self._listening is not None
        try:
            if removed:
                self._stop_listening()
                self.path.parent.mkdir(exist_ok=True)
            self._listen()
        except OSError as error:
            detail = f"{error.strerror or error}; drain, undrain and status do not work"
            if self._reachable:
                self._log.warning("control-unavailable", socket=str(self.path), detail=detail)
            self._reachable = False
        else:
            if removed or not self._reachable:
                self._log.warning("control-restored", socket=str(self.path), detail="somebody had removed it")
            self._reachable = True

    def _is_there(self) -> bool:
        try:
            return self._listening is not None and self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _stop_listening(self) -> None:
        assert self._loop is not None
        assert self._listening is not None
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._listening = None

    def _listen(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()  # of a predecessor that was killed: we hold the lock
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.settimeout(0)
            listening.bind(str(self.path))
            self._inode = self.path.stat().st_ino
            self.path.chmod(MODE)
            self._admit_group()
            listening.listen(BACKLOG)  # nobody can connect before
        except OSError:
            listening.close()
            raise
        self._listening = listening
        self._attend()

    def _admit_group(self) -> None:
        if self._group is None:
            return
        try:
            os.chown(self.path, -1, grp.getgrnam(self._group).gr_gid)
        except (KeyError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such group"
            detail = f"{reason}; make the agent's user a member of it (SupplementaryGroups= in ExaBGP's unit)"
            self._log.warning("control-group-failed", group=self._group, detail=detail)

    def _attend(self) -> None:
        """Take connections, or not while there are too many."""
        self._pause = None
        if self._listening is None or self._loop is None:
            return
        if len(self._clients) < most_clients():
            self._loop.add_reader(self._listening, self._accept)
        else:
            self._loop.remove_reader(self._listening)

    def _accept(self) -> None:
        assert self._listening is not None
        assert self._loop is not None
        for _ in range(min(ACCEPTS, most_clients() - len(self._clients))):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                break
            except OSError as error:
                self._log.warning("control-accept-failed", detail=error.strerror or str(error))
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(ACCEPT_PAUSE, self._attend)
                return
            connection.settimeout(0)
            client = self._loop.create_task(self.attend_to(connection))
            self._clients.add(client)
            client.add_done_callback(self._left)
        self._attend()

    def _left(self, client: "asyncio.Task[None]") -> None:
        self._clients.discard(client)
        if self._pause is None:
            self._attend()
        _report(client)

    # One client

    async def attend_to(self, connection: socket.socket) -> None:
        """Carry out the one request of a client, and answer it. Returns when that is done, or the client is gone."""
        with connection:
            try:
                try:
                    line = await _line(connection)
                    if line is not None:
                        await self._obey(request(line), connection)
                except Misunderstood as error:
                    await _send(connection, Error(message=str(error)))
            except OSError:  # TimeoutError is one: it is gone, or as good as gone
                return

    async def _obey(self, asked: Request, connection: socket.socket) -> None:
        match asked:
            case Status():
                await _send(connection, self._status())
            case Drain():
                await self._drain(asked, connection)
            case Undrain():
                await self._undrain(asked, connection)
            case _:
                assert_never(asked)

    def _status(self) -> StatusAnswer:
        view = self._service.view()
        return StatusAnswer(
            release=__version__,
            process=os.getpid(),
            time=datetime.fromtimestamp(self._clock(), UTC),
            **asdict(replace(view, routers=tuple(map(self._completed, view.routers)))),
        )

    def _completed(self, one: RouterView) -> RouterView:
        held = self._held.get(one.name)
        return replace(one, until=held.end if held else None, persistent=one.name in self._kept)

    async def _drain(self, asked: Drain, connection: socket.socket) -> None:
        names = self._service.together(chosen(asked.names, self._service.names()))
        before = {name: self._service.outcome(name) for name in names}
        self._log.info("command-received", request="drain", routers=names, seconds=asked.seconds, by=_who(connection))
        now = self._clock()
        for name in names:
            self._held[name] = drained(self._held.get(name), asked, now)
            self._arm(name)
            self._service.drain(name)
        already = {name for name in names if before[name] in {Outcome.DRAINING, Outcome.DRAINED}}
        problem = await self._keep()
        warning = None
        if problem is not None and any(name in self._held and self._held[name].persistent for name in names):
            warning = f"{problem}; this drain will not survive a restart: make {self._store.path.parent} writable"
        if asked.wait:
            await _send(connection, Begun(routers=self._moved(names, already), warning=warning))
            await self._accompany(names, connection)
        await _send(connection, Done(routers=self._moved(names, already), warning=warning))

    async def _undrain(self, asked: Undrain, connection: socket.socket) -> None:
        known = self._service.names()
        names = self._service.together(chosen(asked.names, known))
        already = {name for name in names if self._service.outcome(name) in {Outcome.SERVING, Outcome.KEPT}}
        self._log.info("command-received", request="undrain", routers=names, by=_who(connection))
        # Without names also those that the configuration does not know any more.
        self._forget(list(names) if asked.names else [*known, *self._held])
        for name in names:
            self._service.undrain(name)
        problem = await self._keep()
        warning = None
        if problem is not None and any(name in self._kept for name in names):
            warning = f"{problem}; they will be drained again after a restart: remove {self._store.path}"
        await _send(connection, Done(routers=self._moved(names, already), warning=warning))

    def _moved(self, names: Iterable[str], already: Iterable[str]) -> tuple[Moved, ...]:
        return tuple(
            Moved(
                name=name,
                outcome=self._service.outcome(name),
                already=name in already,
                until=self._held[name].end if name in self._held else None,
                persistent=name in self._kept,
            )
            for name in names
        )

    async def _accompany(self, names: Iterable[str], connection: socket.socket) -> None:
        """Send each change until no router is draining any more. Raises OSError once the client is gone."""
        told = dict.fromkeys(names, Outcome.DRAINING)
        gone = asyncio.create_task(_heard(connection))
        try:
            while True:
                turn = self._turn
                found = {name: self._service.outcome(name) for name in told}
                for name, outcome in found.items():
                    if outcome is not told[name]:
                        await _send(connection, Progress(name=name, outcome=outcome))
                told, before = found, told
                if Outcome.DRAINING not in told.values():
                    return
                if told == before:
                    await _either(turn, gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)  # before its socket is closed

    # Drains

    def _arm(self, name: str) -> None:
        if name in self._ends:
            self._ends.pop(name).cancel()
        until = self._held[name].until
        if until is not None and self._loop is not None:
            self._ends[name] = self._loop.call_later(max(0.0, until - self._clock()), self._over, name)

    def _over(self, name: str) -> None:
        self._log.info("drain-expired", router=name, detail="its time is over")
        self._forget([name])
        if name in self._service.names():
            self._service.undrain(name)

    def _looked(self) -> None:
        """Something has changed: forget drains that were cancelled, and wake the clients that wait."""
        self._look = None
        known = set(self._service.names())
        self._forget([name for name in self._held if name in known and self._service.outcome(name) is Outcome.KEPT])
        self._turn.set()
        self._turn = asyncio.Event()

    def _forget(self, names: Iterable[str]) -> None:
        """These are not held any more; the note follows."""
        for name in names:
            self._held.pop(name, None)
            if name in self._ends:
                self._ends.pop(name).cancel()
        if lasting(self._held) != self._kept:
            self._write()

    # The note

    async def _keep(self) -> str | None:
        """Returns when the note is on the disk: None, or why it is not. What goes wrong is logged as well."""
        if lasting(self._held) == self._kept and self._writing is None:
            return None
        try:
            async with asyncio.timeout(DISK_PATIENCE):
                return await asyncio.shield(self._write())
        except TimeoutError:
            return f"{self._store.path} could not be written within {DISK_PATIENCE:g} s"

    def _write(self) -> "asyncio.Task[str | None]":
        """The one task that writes until the note is what it should be."""
        if self._writing is None or self._writing.done():
            assert self._loop is not None
            self._writing = self._loop.create_task(self._written())
            self._writing.add_done_callback(self._wrote)
        return self._writing

    def _wrote(self, writing: "asyncio.Task[str | None]") -> None:
        if self._writing is writing:
            self._writing = None
        _report(writing)

    async def _written(self) -> str | None:
        while (wanted := lasting(self._held)) != self._kept:
            try:
                await _in_thread(self._store.save, wanted)
            except OSError as error:
                detail = f"{self._store.path} cannot be written: {error.strerror or error}"
                self._log.warning("drain-not-persistent", detail=detail)
                return detail
            self._kept = wanted
        return None


def most_clients() -> int:
    """How many are attended to at once."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLIENTS if descriptors == resource.RLIM_INFINITY else max(1, min(CLIENTS, descriptors // CLIENTS_SHARE))


def _in_thread(
    save: Callable[[Mapping[str, float | None]], None], drained: Mapping[str, float | None]
) -> "asyncio.Future[None]":
    """``save`` in a daemon thread: with a dead disk, asyncio's own threads would never let us end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: Exception | None = None
        try:
            save(drained)
        except Exception as caught:  # passed on to who waits
            error = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, error)

    # Signals are for the main thread alone: what it blocks must not be delivered here.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=work, name="exavrrp-note", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return done


def _report(task: "asyncio.Task[Any]") -> None:
    """A task that has ended with an exception has a bug; the loop's handler knows what to do about one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "a bug in control", "exception": error})


async def _line(connection: socket.socket) -> bytes | None:
    """The one line of a client; None if it has sent nothing. Raises Misunderstood, OSError."""
    loop = asyncio.get_running_loop()
    received = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while b"\n" not in received and len(received) <= REQUEST_LIMIT:
                chunk = await loop.sock_recv(connection, REQUEST_LIMIT)
                if not chunk:
                    return received or None  # whoever closes its side has finished its line
                received += chunk
    except TimeoutError:
        raise Misunderstood(f"no whole line within {PATIENCE:g} s; end the request with a line feed") from None
    line, _, rest = received.partition(b"\n")
    if len(line) > REQUEST_LIMIT:
        raise Misunderstood(f"a request has at most {REQUEST_LIMIT} bytes; without names it is about every router")
    if rest:
        raise Misunderstood("a connection carries one request; make another one for the next")
    return line


async def _heard(connection: socket.socket) -> bytes:
    """What a client sends after its line; empty: it is gone. Raises OSError."""
    return await asyncio.get_running_loop().sock_recv(connection, 1)


async def _send(connection: socket.socket, answer: Answer) -> None:
    """Raises OSError when it is not taken in time."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.get_running_loop().sock_sendall(connection, encode(answer))


async def _either(turn: asyncio.Event, gone: "asyncio.Task[bytes]") -> None:
    """Returns after ``turn``; raises OSError if the client is ``gone``, or says something, before."""
    changed = asyncio.create_task(turn.wait())
    try:
        await asyncio.wait([changed, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
    if gone.done():
        gone.result()
        raise ConnectionResetError("it does not wait any more")


def _who(connection: socket.socket) -> str:
    """The client's user, for the log."""
    process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"user {user}, process {process}"
