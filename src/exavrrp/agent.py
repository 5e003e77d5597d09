"""The agent: the ports of a node on Linux, an event loop, signals and the lock. It opens, closes and forwards.

Everything that is decided is decided by ``node.Node``, or below it. What comes in through a port is handed to it from
the event loop; what it wants goes out through the ports.
"""

import asyncio
import gc
import math
import os
import signal
import time
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

from exavrrp import __version__, ports, recording, speaker
from exavrrp.bequest import Bequest
from exavrrp.config import Configuration
from exavrrp.node import STOP_LIMIT, Node
from exavrrp.reception import sources
from exavrrp.recorded import Recording
from exavrrp.roster import Ports
from exavrrp.system import capabilities, children, preflight, realtime
from exavrrp.system.addresses import Addresses
from exavrrp.system.beacons import Beacons
from exavrrp.system.checks import Checks
from exavrrp.system.control import CARES, Control
from exavrrp.system.eventfile import EventFile
from exavrrp.system.exabgp import ExaBGP
from exavrrp.system.lock import Lock
from exavrrp.system.log import Format, LogWriter
from exavrrp.system.notify import Notifier
from exavrrp.system.paths import Routing, is_here
from exavrrp.system.recorder import Recorder
from exavrrp.system.reload import Reloads, Source
from exavrrp.system.state import DrainFile, ReplayCounterFile, State, is_exabgp
from exavrrp.system.systemd import Systemd
from exavrrp.system.transports import Transports
from exavrrp.vrrp.packet import Address

LOCK_TIMEOUT = 5.0
"""Seconds to wait for a predecessor to end. ExaBGP kills a process 2 s after it has told it to stop."""

LOCK_POLL = 0.02
"""Seconds between two attempts to take the lock: the kernel has no way to wait for one without a thread."""

SOURCE_POLL = 0.2
"""Seconds between two polls for a source that this host does not have yet."""

NAMED = 50
"""Most virtual routers that are named in the log when the agent starts: a line has a maximum length."""

OVERTIME = 0.3
"""Seconds beyond ``STOP_LIMIT`` after which a node that does not end is left alone: only a bug makes it so late."""

EARLY = (
    "this agent waits for its source, or for another agent to end, and nothing is in force yet; to have it read another"
    " configuration, end it (SIGTERM): ExaBGP starts it again"
)
"""Why nothing is reloaded before the node has started."""

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


class StartError(Exception):
    """The agent cannot start. The text has the reason and the remedy."""


class Pipe(ports.Speaker, Protocol):
    """The speaker, as far as it has to be opened and closed: ``exabgp.ExaBGP`` or ``exabgp.Deaf``."""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin. Raises OSError."""

    def close(self) -> None:
        """Close it. ExaBGP keeps the routes."""


class Agent:
    """The whole process. ``run`` opens and closes everything."""

    node: Node
    cares = False
    """whether it goes on with what another one in this memory has left"""

    def __init__(
        self,
        configuration: Configuration,
        log: LogWriter,
        record: Path | None = None,
        source: Source | None = None,
        host: tuple[int, int] | None = None,
    ) -> None:
        """``record``: the file to which everything that the node is told and asks is appended.

        ``source``: where ``configuration`` was read from, and is read anew for a reload; None: there is no reload.
        ``host``: the process of the ExaBGP that announces for us; if not given, our parent.
        """
        self.configuration = configuration
        self.log = log
        self.bequest: Bequest | None = None
        """once ``run`` has returned: if what was served is left in place, and ExaBGP is known"""
        self.exabgp: tuple[int, int] | None = None
        """who announces for us: number and start time of the process"""
        self._source = source
        self._back = {} if source is None else source.back
        self._reloads: Reloads | None = None
        self._bug: Exception | None = None
        directory = Path(configuration.agent.state_directory)
        self._lock = Lock(directory)
        self._state = State(directory, log, exabgp=host)
        self._forgotten = self._state.forgotten(configuration)
        self._marks = ReplayCounterFile(directory, log)
        self._recorder = None if record is None else Recorder(record, recording.lost, log)
        self._notifier = Notifier(log)
        self._events = EventFile(Path(configuration.agent.persistent_directory), log)
        self._addresses = Addresses(
            lambda: self.node.handle(ports.AddressesChanged()),
            lambda address: self.node.handle(ports.AddressRepaired(address)),
            lambda address, error: self.node.handle(ports.AddressLost(address, error)),
        )
        self._transports = Transports(
            lambda source, arrivals: self.node.handle(ports.Arrived(source, tuple(arrivals))),
            lambda reason, sender: self.node.handle(ports.Discarded(reason, sender)),
            log,
        )
        self._beacons = Beacons(log)
        self._paths = Routing(lambda: self.node.handle(ports.PathsChanged()))
        self._checks = Checks(self._checked, self._distrusted)
        self._speaker = self._make_speaker()
        self._waits_for = ""
        """what there has to be before it begins, for systemd; empty: nothing"""
        self._systemd = Systemd(lambda: self._waits_for or self.node.viewer.summary, lambda: self.node.viewer.draining)

    def _make_speaker(self) -> Pipe:
        return ExaBGP(self._hear)

    def _hear(self, event: speaker.Event) -> None:
        self.node.handle(event)

    def _make_node(self, given: Ports) -> Node:
        return Node(self.configuration, given)

    def _recorded_node(self, given: Ports) -> Node:
        if self._recorder is None:
            return self._make_node(given)
        return Recording(given, self._recorder.record).make(
            self._make_node, self.configuration, release=__version__, process=os.getpid(), cares=self.cares
        )

    def _ports(self, loop: asyncio.AbstractEventLoop) -> Ports:
        return Ports(
            clock=loop,
            realtime=time.time,
            log=self.log,
            transports=self._transports,
            paths=self._paths,
            addresses=self._addresses,
            speaker=self._speaker,
            notifier=self._notifier,
            memory=self._state,
            forgotten=self._forgotten,
            marks=self._marks,
            checks=self._checks,
            changed=self._changed,
            enter=self._events.write,
            beacons=self._beacons,
        )

    def _checked(self, name: str, passed: bool, detail: str, seconds: float, value: int | None = None) -> bool:
        self.node.handle(ports.Checked(name, passed, detail, seconds, value))
        return self.node.fitness.is_changing(name)

    def _distrusted(self, name: str, why: str, seconds: float) -> None:
        self.node.handle(ports.Distrusted(name, why, seconds))

    def _changed(self) -> None:
        self._control.changed()
        if self.node.why is not None:
            self._ending.set()
        if self.node.over:
            self._over.set()

    async def run(self) -> None:
        """Serves until ExaBGP or a signal ends it.

        Raises ``StartError`` when it cannot begin, and whatever a bug of ours raised, after an orderly stop.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._ending, self._over = asyncio.Event(), asyncio.Event()
        self.node = node = self._recorded_node(self._ports(loop))
        agent = self.configuration.agent
        drains = DrainFile(Path(agent.persistent_directory), self.log)
        directory = Path(agent.state_directory)
        if self._source is not None:
            self._reloads = Reloads(
                self._source, directory, node.commands, self.log, renamed=self._renamed, applied=self._applied
            )
        self._control = Control(
            directory,
            node.commands,
            drains,
            self.log,
            group=agent.control_group,
            before=lambda: self._events.before,
            reloader=self._reloads,
        )
        loop.add_signal_handler(signal.SIGINT, self._end, "SIGINT")
        loop.add_signal_handler(signal.SIGTERM, node.handle, ports.Terminated())
        loop.set_exception_handler(self._broken)
        loop.add_signal_handler(signal.SIGUSR1, node.count)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # a caretaker begins with what its predecessor ended with
        async with AsyncExitStack() as closing:
            # Last of all. ExaBGP answers the end of our stdout with SIGTERM, which must not meet a loop that closes.
            closing.callback(signal.pthread_sigmask, signal.SIG_BLOCK, HANDLED)
            self._open_speaker(loop, closing)
            closing.callback(self._systemd.close)
            self._systemd.open(loop)
            await self._take_lock(loop, closing)
            await self._await_sources()
            if node.why is None:
                self._forgotten = self._state.forgotten(self.configuration)  # whoever held the lock may have reloaded
                self._state.open(self._back)
                self.exabgp = self._state.exabgp
                closing.callback(node.write_note)
                self._open(loop, closing)
                self._get_ahead()
                node.reception.begin()
                self._say_started()
                _settle_memory()
                self._start_node()
                await self._serve()
                node.count()
        self.log.info("agent-stopped", reason=node.why)
        if self._bug is not None:
            raise self._bug

    async def _serve(self) -> None:
        await self._ending.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_LIMIT + OVERTIME):
                await self._over.wait()
        if self._bug is not None:
            self.node.clear()
        # Who is not known, or no exabgp, is nobody whose announcements anybody could end.
        if self.exabgp is not None and is_exabgp(self.exabgp[0]):
            self.bequest = self.node.bequest

    # Start

    def _open_speaker(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        """First of all, and read from then on: ExaBGP stops its sessions when nobody takes what it writes."""
        try:
            self._speaker.open(loop)
        except OSError as error:
            raise StartError(f"{error.strerror}; see the examples in exabgp/") from error
        closing.callback(self._speaker.close)

    async def _take_lock(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        try:
            self._lock.open()
        except OSError as error:
            raise StartError(f"cannot open {self._lock.path}: {error.strerror}; {preflight.WRITABLE}") from error
        closing.callback(self._lock.release)
        self._lock_limit = loop.time() + LOCK_TIMEOUT
        while not self._lock.take() and self.node.why is None:
            self._wait_for_lock()
            await asyncio.sleep(LOCK_POLL)

    def _wait_for_lock(self) -> None:
        """Another process holds the lock: ask for it, and report it after ``LOCK_TIMEOUT``."""
        self._lock.request()
        if self._loop.time() > self._lock_limit:
            self._explain_wait()
            self._lock_limit = math.inf

    def _explain_wait(self) -> None:
        """Raises ``StartError``, unless the same ExaBGP runs both: it would end after its process has ended five times.

        In that case this process waits, and logs that.
        """
        held = f"process {self._lock.holder()} holds {self._lock.path}"
        if not self._lock.is_held_by_sibling():
            raise StartError(f"{held}; end that exavrrp first")
        detail = f"{held}, and the same ExaBGP runs both: we wait; keep one of its processes that run exavrrp"
        self.log.error("agent-duplicate", detail=detail)

    async def _await_sources(self) -> None:
        """Wait for the source addresses, which may be added later than we start after a boot.

        ExaBGP would end after its process has ended five times, so the agent does not end.
        """
        told = False
        while self.node.why is None and (absent := self._absent()):
            if not told:
                listed = ", ".join(map(str, absent))
                remedy = "add it; or correct the source, and end this agent (SIGTERM)"
                detail = f"{listed}: no address of this host; waiting for it: {remedy}"
                self.log.error("source-missing", detail=detail)
                told = True
            self._waits_for = f"waiting for {', '.join(map(str, absent))}: no address of this host"
            await asyncio.sleep(SOURCE_POLL)
        self._waits_for = ""

    def _absent(self) -> list[Address]:
        return sorted((one for one in sources(self.configuration.routers) if not is_here(one)), key=str)

    def _open(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        """Open everything but ExaBGP. Raises ``StartError``."""
        absent = capabilities.missing()
        if absent:
            raise StartError(
                f"lacking {' and '.join(absent)}; {capabilities.remedy(capabilities.NEEDED)} (see exabgp/); an ExaBGP "
                "that is root keeps them with exabgp.daemon.user=root only"
            )
        closing.callback(self._marks.close)
        if self._recorder is not None:
            self._open_recorder(self._recorder, loop, closing)
        try:
            self._addresses.open(loop)
            closing.callback(self._addresses.close)
            self._transports.open(loop)
            closing.callback(self._transports.close)
            self._paths.open(loop)
            closing.callback(self._paths.close)
            self._beacons.open(loop, self.node.beacons.due, self.node.beacons.heard)
            closing.callback(self._beacons.close)
            closing.callback(self.node.close)
        except OSError as error:
            raise StartError(error.strerror or str(error)) from error
        children.adopt(loop)
        closing.callback(children.disown, loop)
        closing.callback(children.release)
        self._notifier.open(loop)
        closing.push_async_callback(self._notifier.close)
        closing.callback(self._control.close)
        self._events.open(loop)
        closing.callback(self._events.close)
        if self._reloads is not None:
            closing.callback(self._reloads.close)
        self._control.open(loop, self._back)
        self._checks.open(loop)
        closing.push_async_callback(self._checks.close)

    def _start_node(self) -> None:
        try:
            self.node.start(self._control.drained(), self._forgotten)
        except OSError as error:
            raise StartError(error.strerror or str(error)) from error

    def _open_recorder(self, recorder: Recorder, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        try:
            recorder.open(loop)
        except OSError as error:
            raise StartError(
                f"cannot record to {recorder.path}: {error.strerror}; name a file in a directory that this user may "
                "write to, or leave out --record"
            ) from error
        closing.callback(recorder.close)

    def _get_ahead(self) -> None:
        """Of other processes, if that is wished and permitted; where it is not, we go on without."""
        agent = self.configuration.agent
        if agent.scheduling == "realtime":
            try:
                realtime.take_precedence()
                self.log.info("realtime-granted")
            except OSError as error:
                self.log.warning("realtime-denied", detail=error.strerror)
        if agent.lock_memory:
            try:
                realtime.stay_resident()
                self.log.info("memory-lock-granted")
            except OSError as error:
                self.log.warning("memory-lock-denied", detail=error.strerror)

    def _say_started(self) -> None:
        names = self.node.commands.names()
        if len(names) > NAMED:
            names[NAMED:] = [f"and {len(names) - NAMED} more"]
        self.log.info("agent-started", version=__version__, process=os.getpid(), routers=names)
        if self._source is not None and self._reloads is not None:
            self._reloads.resume(self._source.last)

    # Signals

    def _end(self, why: str) -> None:
        self.node.handle(ports.End(why))

    def _broken(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A bug: what follows cannot be trusted. Leave in order; ExaBGP starts us anew."""
        self._bug = self._bug or context.get("exception") or RuntimeError(context["message"])
        where = "".join(traceback.format_exception(self._bug))[-3000:]
        self.log.error("internal-error", detail=where)
        self._ending.set()
        self._end("a bug")

    # Reloads

    def _hang_up(self) -> None:
        if self._reloads is None:
            self.log.error("reload-refused", detail=CARES)
        elif not self.node.started:
            self.log.error("reload-refused", detail=EARLY)
        else:
            self._reloads.hang_up()

    def _renamed(self, names: Mapping[str, str]) -> None:
        self._control.renamed(names)

    def _applied(self, configuration: Configuration) -> None:
        if configuration.agent.log_format != self.configuration.agent.log_format:
            self.log.format = Format(configuration.agent.log_format)
        self.configuration = configuration


def _settle_memory() -> None:
    """Leave all that exists now out of garbage collections: one of everything takes 20 ms or more, in which no advert
    is sent. Modules, configuration and node live until the end anyway."""
    gc.collect()
    gc.freeze()
