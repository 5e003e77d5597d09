"""The agent's end of the control socket: accepts requests, and keeps the list of drained routers.

``Control`` owns the socket ``state_directory/control.sock`` (0660: the agent's own user, and a group if one is
configured), the end times of drains, and the file of drained routers. ``Service`` carries a drain out.

No client can delay the engine. Each connection has a task of its own and carries one request. The client must send one
line of bounded length within ``CLIENT_TIMEOUT``, and take each answer within the same time; otherwise the connection is
closed. An answer is made when it can be sent, so a slow client skips the states that it has missed. All clients that
wait for the status get the same description of the node, which is made once in ``DESCRIPTION_PAUSE`` at most. Its
virtual routers, some 0.1 ms each, are described in slices of ``SLICE``. What all of them share, with a look at which of
them have changed meanwhile, is a turn of its own, and so is the encoding: with 50 virtual routers 0.7 ms (median of the
longest turn), with 200 some 2 ms. An advert that is due waits for one turn. With ``CLIENTS`` connections open, the
kernel queues further ones. The request of a client that disconnects is still carried out.

The file is written, and synced to the disk, in a thread: a disk may take seconds, an advert must not. It is written
after the drain has begun, and before the command is answered, so that the answer can say whether the drain outlives a
restart. What cannot be written is tried again every ``SOCKET_POLL``. While the agent runs, a drain ends by elapsed
time; the clock matters only across a restart.
"""

import asyncio
import grp
import math
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, assert_never

from msgspec import Raw
from msgspec.structs import asdict, replace

from exavrrp import __version__
from exavrrp.control import (
    REQUEST_LIMIT,
    SOCKET,
    Answer,
    Begun,
    Confirm,
    Done,
    Drain,
    Drained,
    Error,
    Events,
    EventsAnswer,
    Misunderstood,
    Moved,
    Progress,
    Reload,
    Reloaded,
    Request,
    Scheduled,
    Service,
    Status,
    StatusAnswer,
    Undo,
    Undrain,
    Unready,
    chosen,
    drained,
    encode,
    lasting,
    request,
)
from exavrrp.system.threads import in_thread
from exavrrp.view import Outcome, RouterView, View

CLIENTS = 64
"""Most connections at once. Each of them may hold REQUEST_LIMIT bytes twice and one answer."""

CLIENTS_SHARE = 8
"""Clients may use one in so many of our descriptors (ulimit -n): checks need descriptors, too."""

BACKLOG = 128
"""Most connections that the kernel queues beyond ``CLIENTS`` (listen(2))."""

CLIENT_TIMEOUT = 5.0
"""Seconds for a client to send its request, and to take each answer."""

DESCRIPTION_PAUSE = 0.02
"""Least seconds between two descriptions of the node. A single client does not wait."""

SLICE = 0.0005
"""Seconds of describing in one turn of the event loop."""

DISK_TIMEOUT = 2.0
"""Seconds to wait until the file is on the disk; after that the answer says that it is not."""

ACCEPTS = 8
"""Most connections accepted in one turn of the event loop."""

ACCEPT_PAUSE = 1.0
"""Seconds until accept(2) is tried again after an error (no descriptor is left)."""

SOCKET_POLL = 10.0
"""Seconds between two checks that the socket and the state file still exist, and two attempts to write a file. systemd
removes a RuntimeDirectory= when any unit that names it ends; a drain before a planned stop would fail then."""

SECOND_LOOK = 1.5
"""Seconds until a drain is refused. Peers send a beacon each second: one that was undrained just now is not ready by
its last one."""

MODE = 0o660
"""Mode of the socket: a user who may write to it may drain."""


CARES = "ExaBGP has ended this agent in a failed reload, and it only looks after what it announces; restart ExaBGP"
"""Why nothing is reloaded where there is nobody who could."""


class Log(Protocol):
    """The log for the operator."""

    def info(self, event: str, **fields: object) -> None:
        """Log an event that needs no action."""

    def warning(self, event: str, **fields: object) -> None:
        """Log an event that an operator should look into."""


class Store(Protocol):
    """Keeps the list of drained routers for the next agent; ``system.state.DrainFile`` implements it."""

    path: Path

    def open(self) -> None:
        """Prepare the store. Raises nothing."""

    def recall(self) -> Mapping[str, float | None]:
        """Name → end of the drain in seconds since the epoch, None for no end. Raises nothing."""

    def save(self, drained: Mapping[str, float | None]) -> None:
        """Write and sync the list, which may take long. Raises OSError."""


class Reloader(Protocol):
    """Changes the configuration; ``system.reload.Reloads`` implements it."""

    async def reload(self, asked: Reload) -> Scheduled | Reloaded:
        """Do it now; or check it now, and do it at its time (``scheduled``)."""

    async def scheduled(self) -> Reloaded:
        """What has become of the reload that was to come."""

    async def confirm(self) -> Reloaded:
        """Keep the change that waits for that."""

    async def undo(self, asked: Undo) -> Reloaded:
        """Take the last change back."""

    async def differs(self) -> bool | None:
        """Whether the configuration on disk is another one than that in force; None: unknown."""


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
        before: Callable[[], Iterable[bytes]] = tuple,
        clock: Callable[[], float] = time.time,
        reloader: Reloader | None = None,
    ) -> None:
        """``before``: the lines of the journals of the agents before this one; ``reloader``: None: none can reload."""
        self._reloader = reloader
        self.path = directory / SOCKET
        self._before = before
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
        self._unkept: str | None = None
        """why the file could not be written, once that has been logged"""
        self._pending_update: asyncio.Handle | None = None
        self._change = asyncio.Event()
        self._describing: asyncio.Task[bytes] | None = None
        """the next answer to ``status``, for all who wait for one"""
        self._descriptions: set[asyncio.Task[bytes]] = set()
        """that one, and those before it that are not made yet"""
        self._described = -math.inf
        """when the last one was made (``loop.time()``)"""
        self._one = asyncio.Lock()
        """of descriptions: one is made at a time"""
        self._turn = asyncio.Lock()
        """of those who are to be answered with it"""

    def open(self, loop: asyncio.AbstractEventLoop, renamed: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read the drains that the last process left, and listen. To be called with the lock held.

        ``renamed``: routers that it called otherwise than we do (then → now). Raises nothing: if it cannot listen, it
        logs that, and the agent works without a control socket.
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
        self.renamed(renamed)
        self._keep_listening()

    @property
    def clients(self) -> int:
        """How many connections are open."""
        return len(self._clients)

    def drained(self) -> frozenset[str]:
        """The routers that stay out of the election from the start on, also those that are not configured yet."""
        return frozenset(self._held)

    def renamed(self, names: Mapping[str, str]) -> None:
        """Routers are called otherwise from now on (now → then): their drains go on; who had those names is gone."""
        self._forget(set(names.values()).difference(names))
        moved = {name: self._held[name] for name in names if name in self._held}
        self._forget(moved)
        for name, held in moved.items():
            self._held[names[name]] = held
            self._arm(names[name])
        if moved:
            self._write()

    def changed(self) -> None:
        """The outcome of a router may have changed. Clients are informed after this call has returned.

        Called after each turn with an event of any router: without drains and clients it costs nothing.
        """
        if self._loop is not None and self._pending_update is None and (self._held or self._clients):
            self._pending_update = self._loop.call_soon(self._update)

    def close(self) -> None:
        """Close every connection, and remove the socket."""
        for handle in (self._pending_update, self._pause, self._missing, *self._ends.values()):
            if handle is not None:
                handle.cancel()
        for task in (*self._clients, *self._descriptions):
            task.cancel()
        if self._listening is not None:
            self._stop_listening()
            with suppress(OSError):
                self.path.unlink()
        self._loop = None

    # Connections

    def _keep_listening(self) -> None:
        """Listen, and listen again whenever the socket has been removed."""
        assert self._loop is not None
        self._missing = self._loop.call_later(SOCKET_POLL, self._keep_listening)
        if lasting(self._held) != self._kept:
            self._write()  # it could not be written
        self._service.look_at_note()
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
            self.path.unlink()  # left by a predecessor that was killed: we hold the lock
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
        """Accept connections while there are not too many."""
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
        """Carry out the request of a client, and answer it. Returns when it is done or the client has disconnected."""
        with connection:
            try:
                try:
                    line = await _line(connection)
                    if line is not None:
                        await self._carry_out(request(line), connection)
                except Misunderstood as error:
                    await _send(connection, Error(message=str(error)))
            except OSError:  # TimeoutError included: the client has disconnected, or does not read
                return

    async def _carry_out(self, asked: Request, connection: socket.socket) -> None:
        match asked:
            case Status():
                description = await self._description()
                async with self._turn:  # they wait for the same one, and adverts may be due between any two of them
                    await asyncio.sleep(0)
                await _send_line(connection, description)
            case Events(after=after):
                await _send(connection, self._events(after))
            case Drain():
                await self._drain(asked, connection)
            case Undrain():
                await self._undrain(asked, connection)
            case Reload() | Confirm() | Undo():
                await self._reload(asked, connection)
            case _:
                assert_never(asked)

    async def _description(self) -> bytes:
        """The answer to ``status``, made after this call."""
        if self._describing is None:
            self._describing = asyncio.create_task(self._describe())
            self._descriptions.add(self._describing)
            self._describing.add_done_callback(self._descriptions.discard)
        return await asyncio.shield(self._describing)

    async def _describe(self) -> bytes:
        clock = asyncio.get_running_loop().time
        async with self._one:
            await asyncio.sleep(max(0.0, self._described + DESCRIPTION_PAUSE - clock()))
            self._describing = None
            try:
                found = self._status(await self._view())
            finally:
                self._described = clock()
        # A disk that hangs keeps nobody who asks after this.
        differs = None if self._reloader is None else await self._reloader.differs()
        await asyncio.sleep(0)
        return encode(replace(found, differs=differs))

    async def _view(self) -> View:
        clock, parts = asyncio.get_running_loop().time, self._service.describe()
        end = clock() + SLICE
        while (found := next(parts)) is None:
            if clock() >= end:
                await asyncio.sleep(0)
                end = clock() + SLICE
        return found

    async def _reload(self, asked: Reload | Confirm | Undo, connection: socket.socket) -> None:
        kind = str(asked.__struct_config__.tag)
        self._log.info("command-received", request=kind, by=_user(connection))
        if self._reloader is None:
            raise Misunderstood(CARES)
        found: Scheduled | Reloaded
        match asked:
            case Reload():
                found = await self._reloader.reload(asked)
            case Confirm():
                found = await self._reloader.confirm()
            case Undo():
                found = await self._reloader.undo(asked)
            case _:
                assert_never(asked)
        if isinstance(found, Scheduled):
            await _send(connection, found)
            found = await self._reloader.scheduled()
        await _send(connection, found)

    def _status(self, view: View) -> StatusAnswer:
        return StatusAnswer(
            release=__version__,
            process=os.getpid(),
            time=datetime.fromtimestamp(self._clock(), UTC),
            host=socket.gethostname(),
            **asdict(replace(view, routers=tuple(map(self._completed, view.routers)))),
        )

    def _events(self, after: int) -> EventsAnswer:
        count, lines = self._service.events(after)
        before = () if after else self._before()
        return EventsAnswer(before=tuple(map(Raw, before)), entries=tuple(map(Raw, lines)), count=count)

    def _completed(self, one: RouterView) -> RouterView:
        held, kept = self._held.get(one.name), one.name in self._kept
        return replace(one, until=held.end if held else None, persistent=kept) if held or kept else one

    async def _drain(self, asked: Drain, connection: socket.socket) -> None:
        names = self._service.together(chosen(asked.names, self._service.groups()))
        self._log.info("command-received", request="drain", routers=names, seconds=asked.seconds, by=_user(connection))
        if unready := {} if asked.force else await self._unready(names):
            detail = "; ".join(f"{name}: {why}" for name, why in unready.items())
            self._log.warning("drain-refused", routers=names, detail=f"no peer is ready to take over: {detail}")
            await _send(connection, Unready(routers=unready))
        else:  # a reload may have changed them while one looked
            await self._begin_drain(
                asked, self._service.together(chosen(asked.names, self._service.groups())), connection
            )

    async def _unready(self, names: Collection[str]) -> dict[str, str]:
        """Routers that no peer could take over from, at two moments: one that is ready again may not have said so."""
        if self._service.unready(names):
            await asyncio.sleep(SECOND_LOOK)
        return dict(self._service.unready(names))

    async def _begin_drain(self, asked: Drain, names: Collection[str], connection: socket.socket) -> None:
        before = {name: self._service.outcome(name) for name in names}
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
            await self._report_progress(names, connection)
        await _send(connection, Done(routers=self._moved(names, already), warning=warning))

    async def _undrain(self, asked: Undrain, connection: socket.socket) -> None:
        known = self._service.names()
        names = self._service.together(chosen(asked.names, self._service.groups()))
        already = {name for name in names if self._service.outcome(name) in {Outcome.SERVING, Outcome.KEPT}}
        self._log.info("command-received", request="undrain", routers=names, by=_user(connection))
        # Without names, drains of routers that are no longer configured end, too.
        over = list(names) if asked.names else list(dict.fromkeys([*known, *self._held]))
        self._forget(over)
        for name in over:
            self._service.undrain(name)
        problem = await self._keep()
        warning = None
        if problem is not None and any(name in self._kept for name in names):
            warning = f"{problem}; they will be drained again after a restart: remove {self._store.path}"
        await _send(connection, Done(routers=self._moved(names, already), warning=warning))

    def _moved(self, names: Iterable[str], already: Iterable[str]) -> tuple[Moved, ...]:
        known = set(self._service.names())  # a reload may have removed or renamed one
        return tuple(
            Moved(
                name=name,
                outcome=self._service.outcome(name),
                already=name in already,
                until=self._held[name].end if name in self._held else None,
                persistent=name in self._kept,
            )
            for name in names
            if name in known
        )

    async def _report_progress(self, names: Iterable[str], connection: socket.socket) -> None:
        """Send each change until no router is draining any more. Raises OSError if the client disconnects."""
        told = dict.fromkeys(names, Outcome.DRAINING)
        gone = asyncio.create_task(_receive(connection))
        try:
            while True:
                change, known = self._change, set(self._service.names())
                found = {name: self._service.outcome(name) for name in told if name in known}
                for name, outcome in found.items():
                    if outcome is not told[name]:
                        await _send(connection, Progress(name=name, outcome=outcome))
                told, before = found, told
                if Outcome.DRAINING not in told.values():
                    return
                if told == before:
                    await _wait_for_change(change, gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)  # before its socket is closed

    # Drains

    def _arm(self, name: str) -> None:
        if name in self._ends:
            self._ends.pop(name).cancel()
        until = self._held[name].until
        if until is not None and self._loop is not None:
            self._ends[name] = self._loop.call_later(max(0.0, until - self._clock()), self._expire, name)

    def _expire(self, name: str) -> None:
        self._log.info("drain-expired", router=name, detail="its time is over")
        self._forget([name])
        self._service.undrain(name)

    def _update(self) -> None:
        """After a change: forget drains that were cancelled, and wake the clients that wait."""
        self._pending_update = None
        known = set(self._service.names())
        self._forget([name for name in self._held if name in known and self._service.outcome(name) is Outcome.KEPT])
        self._change.set()
        self._change = asyncio.Event()

    def _forget(self, names: Iterable[str]) -> None:
        """Remove these from the drained routers, and write the file if any of them was one."""
        found = [name for name in names if name in self._held]
        for name in found:
            del self._held[name]
            if name in self._ends:
                self._ends.pop(name).cancel()
        if found and lasting(self._held) != self._kept:
            self._write()

    # The file of drained routers

    async def _keep(self) -> str | None:
        """Wait until the file is on the disk. None, or why it is not, which is logged for each request."""
        if lasting(self._held) == self._kept and self._writing is None:
            return None
        self._unkept = None
        try:
            async with asyncio.timeout(DISK_TIMEOUT):
                return await asyncio.shield(self._write())
        except TimeoutError:
            return f"{self._store.path} could not be written within {DISK_TIMEOUT:g} s"

    def _write(self) -> "asyncio.Task[str | None]":
        """The one task that writes the file until it is up to date."""
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
                await in_thread(partial(self._store.save, wanted))
            except OSError as error:
                detail = f"{self._store.path} cannot be written: {error.strerror or error}"
                if detail != self._unkept:  # each attempt fails alike until somebody mends the disk
                    self._log.warning("drain-not-persistent", detail=detail)
                self._unkept = detail
                return detail
            self._kept, self._unkept = wanted, None
        return None


def most_clients() -> int:
    """How many connections may be open at once."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLIENTS if descriptors == resource.RLIM_INFINITY else max(1, min(CLIENTS, descriptors // CLIENTS_SHARE))


def _report(task: "asyncio.Task[Any]") -> None:
    """Pass the exception of a task, which is a bug, to the exception handler of the event loop."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "a bug in control", "exception": error})


async def _line(connection: socket.socket) -> bytes | None:
    """The request of a client, one line; None if it has sent nothing. Raises Misunderstood, OSError."""
    loop = asyncio.get_running_loop()
    received = b""
    try:
        async with asyncio.timeout(CLIENT_TIMEOUT):
            while b"\n" not in received and len(received) <= REQUEST_LIMIT:
                chunk = await loop.sock_recv(connection, REQUEST_LIMIT)
                if not chunk:
                    return received or None  # a client that closes its side has finished its line
                received += chunk
    except TimeoutError:
        raise Misunderstood(f"no whole line within {CLIENT_TIMEOUT:g} s; end the request with a line feed") from None
    line, _, rest = received.partition(b"\n")
    if len(line) > REQUEST_LIMIT:
        raise Misunderstood(f"a request has at most {REQUEST_LIMIT} bytes; without names it is about every router")
    if rest:
        raise Misunderstood("a connection carries one request; make another one for the next")
    return line


async def _receive(connection: socket.socket) -> bytes:
    """A byte that a client sends after its request; empty if it has disconnected. Raises OSError."""
    return await asyncio.get_running_loop().sock_recv(connection, 1)


async def _send(connection: socket.socket, answer: Answer) -> None:
    """Send an answer. Raises OSError, TimeoutError after ``CLIENT_TIMEOUT``."""
    await _send_line(connection, encode(answer))


async def _send_line(connection: socket.socket, line: bytes) -> None:
    async with asyncio.timeout(CLIENT_TIMEOUT):
        await asyncio.get_running_loop().sock_sendall(connection, line)


async def _wait_for_change(change: asyncio.Event, gone: "asyncio.Task[bytes]") -> None:
    """Wait for ``change``. Raises OSError if the client disconnects, or sends anything, before that."""
    changed = asyncio.create_task(change.wait())
    try:
        await asyncio.wait([changed, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
    if gone.done():
        gone.result()
        raise ConnectionResetError("it does not wait any more")


def _user(connection: socket.socket) -> str:
    """The client's user and process, for the log (SO_PEERCRED, unix(7))."""
    process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"user {user}, process {process}"
