"""The agent: wires everything together; the only file that knows all others.

``Agent`` owns what the process has once: the netlink watchers, the conversation with ExaBGP, the check runner, the
control socket. ``reception`` has what comes in for each source address, ``virtual_router`` one configured router's
share. Two habits matter.

- Wanted sets, not changes: what is bound and what is announced is computed from all instances anew each time, so that
  a start, a repair and an ordinary change take the same path.
- At start everything that our configuration owns is accounted for before the first election is decided, at ExaBGP and
  on the interface. What a predecessor served a moment ago, under the very ExaBGP that still announces it, goes on being
  served as ``leaving`` until the election is decided; anything else it left is withdrawn, and then unbound.

How the agent ends tells what ExaBGP is about to do. Its line ``shutdown``, or the end of its pipe: it goes, and its
sessions with it; everything is handed over as far as the time allows. A SIGTERM without that line: only the agent is
replaced, sessions and routes stay (ExaBGP's SIGUSR2, or somebody's ``kill``); everything is left in place, without a
word, and the successor goes on with it.
"""

import asyncio
import os
import signal
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, assert_never

from exavrrp import __version__, events, recording
from exavrrp.config import Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.control import Outcome, RouterStatus
from exavrrp.groups import Happened
from exavrrp.health import Health, Initial, Subject, Vitality
from exavrrp.reception import Reception
from exavrrp.sessions import Result, Sessions, check_of
from exavrrp.system import capabilities, exabgp, journal, realtime
from exavrrp.system.addresses import AddressError, Addresses
from exavrrp.system.checks import Checks
from exavrrp.system.control import Control
from exavrrp.system.exabgp import ExaBGP
from exavrrp.system.journal import Journal
from exavrrp.system.lock import Lock
from exavrrp.system.notify import Notifier
from exavrrp.system.paths import Paths
from exavrrp.system.recorder import Recorder
from exavrrp.system.state import DrainFile, MarkFile, State
from exavrrp.virtual_router import FAREWELLS, Clock, Team, VirtualRouter
from exavrrp.vrrp.auth import Flow, Signer
from exavrrp.vrrp.packet import Address

STOP_LIMIT = 1.5
"""Seconds for an orderly stop. ExaBGP sends SIGKILL 2 s after its SIGTERM."""

LOCK_PATIENCE = 5.0
"""Seconds to wait for a predecessor to end: ExaBGP kills one 2 s after it has told it to stop."""

LOCK_LOOK = 0.02
"""Seconds between two looks at the lock; the kernel offers no other way to wait for one without a thread."""


PIECE = 15
"""Counts of one kind in a line: those of two kinds, by peer and interface, are shorter than the journal's longest."""

REPLACED = "SIGTERM alone"
"""Why the agent ended when only the agent is to be replaced."""

TELL_TALE = 0.15
"""Seconds after a SIGTERM in which ExaBGP's line ``shutdown`` or the end of its pipe tells that it goes, too. It writes
the line first; but where systemd sends SIGTERM to every process of a unit (KillMode=control-group), we hear both."""


class StartError(Exception):
    """The agent cannot start: what is wrong, and the remedy."""


class Agent:
    """The whole process: everything that it opens it closes, in ``run``."""

    def __init__(self, configuration: Configuration, log: Journal, record: Path | None = None) -> None:
        """``record``: the file to which everything that the elections are told is appended."""
        self.configuration = configuration
        self.clock: Clock
        self.journal = log
        self.ipv4_checksum = configuration.agent.ipv4_checksum
        self.notifier = Notifier(configuration.routers, log)
        self._routers: dict[str, VirtualRouter] = {}
        self._teams: list[Team] = []
        self._paths: dict[tuple[str, ...] | None, Paths] = {}
        self._by_address: dict[Address, VirtualRouter] = {}
        self._why: asyncio.Future[str]
        self._progress = asyncio.Event()
        self._bug: Exception | None = None
        self._gone = False
        self._lock = Lock(Path(configuration.agent.state_directory))
        self._state = State(Path(configuration.agent.state_directory), log)
        self._recorder = None if record is None else Recorder(record, recording.lost, log)
        self._marks = MarkFile(Path(configuration.agent.state_directory), log)
        self._reception = Reception(configuration, self._marks, log)
        ours = frozenset(address for router in configuration.routers for address in router.addresses)
        self._addresses = Addresses(ours, self._repaired, self._lost)
        self._exabgp = ExaBGP(
            (
                route
                for router in configuration.routers
                for address in router.addresses
                for route in router.ladder.routes(address)
            ),
            self._heard,
        )
        used = {name for router in configuration.routers for name in router.checks}
        checks = [check for check in configuration.checks if check.name in used]
        self._checks = Checks(checks, self._checked)
        needed = {router.name: router.sessions() for router in configuration.routers}
        requirements = {name: requirement for name, requirement in needed.items() if requirement is not None}
        self._sessions = Sessions(requirements)
        self._drains = DrainFile(Path(configuration.agent.persistent_directory), log)
        self._control = Control(
            Path(configuration.agent.state_directory), self, self._drains, log, group=configuration.agent.control_group
        )
        self._health = Health(
            {router.name: Subject(router.priority, self._weights(router)) for router in configuration.routers},
            {check.name: check.vitality() for check in checks}
            | {check_of(name): Vitality(1, 1, initial=Initial.WAIT) for name in requirements},
        )

    def _weights(self, router: RouterConfiguration) -> dict[str, int]:
        weights = self.configuration.weights(router)
        return weights if router.min_sessions == 0 else weights | {check_of(router.name): router.sessions_weight}

    async def run(self) -> None:
        """Serves until ExaBGP or a signal ends it.

        Raises ``StartError`` when it cannot begin, and whatever a bug of ours raised, after an orderly stop.
        """
        self._loop = self.clock = loop = asyncio.get_running_loop()
        self._why = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self._end, "SIGINT")
        loop.add_signal_handler(signal.SIGTERM, loop.call_later, TELL_TALE, self._end, REPLACED)
        loop.set_exception_handler(self._broken)
        loop.add_signal_handler(signal.SIGUSR1, self._count)
        loop.add_signal_handler(signal.SIGHUP, self._decline_reload)
        async with AsyncExitStack() as closing:
            # Last of all. ExaBGP answers the end of our stdout with SIGTERM, which must not meet a loop that closes.
            handled = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
            closing.callback(signal.pthread_sigmask, signal.SIG_BLOCK, handled)
            self._open_exabgp(loop, closing)
            await self._take_lock(loop, closing)
            if not self._why.done():
                self._state.open()
                self._open(loop, closing)
                self._get_ahead()
                self._start()
                why = await self._why
                if why is not REPLACED:
                    await self._stop(why)
                self._count()
        self.journal.info("stopped", reason=self._why.result())
        if self._bug is not None:
            raise self._bug

    # What the virtual routers share

    def realtime(self) -> float:
        """Seconds since the epoch."""
        return self._reception.realtime()

    def catch_up(self, until: float) -> None:
        """Hand over every packet that had come by ``until`` and waits in the sockets."""
        self._reception.drain(until)

    def bind_wanted(self, asking: Collection[Address]) -> None:
        """Make the addresses on lo equal what is wanted now.

        Raises ``OSError`` when that failed for one of those ``asking``; what failed for others is told them by the
        watch, which goes on trying.
        """
        bound = (router for router in self._routers.values() if router.instance.presence.bound)
        try:
            self._addresses.set(frozenset(address for router in bound for address in router.configuration.addresses))
        except AddressError as error:
            if not error.failures.keys().isdisjoint(asking):
                raise

    def announce_wanted(self) -> None:
        """Have ExaBGP announce what is wanted now, and nothing else of ours."""
        if not self._gone:
            self._exabgp.set(route for router in self._routers.values() for route in router.wanted())

    def flush(self) -> None:
        """Say now what ExaBGP is to be told."""
        if not self._gone:
            self._exabgp.flush()

    def is_confirmed(self, router: VirtualRouter) -> bool:
        """Whether ExaBGP has carried out everything that ``router`` wants now.

        Once it is gone, or going, its sessions withdraw everything; nothing else comes of what is wanted.
        """
        if self._gone:
            return not router.wanted()
        return self._exabgp.has_carried_out(router.configuration.addresses)

    # Start and stop

    def _open_exabgp(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        """First of all, and read from then on: ExaBGP stops its sessions when nobody takes what it writes."""
        try:
            self._exabgp.open(loop)
        except OSError as error:
            raise StartError(f"{error.strerror}; see the examples in exabgp/") from error
        closing.callback(self._exabgp.close)

    async def _take_lock(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        try:
            self._lock.open()
        except OSError as error:
            raise StartError(
                f"cannot open {self._lock.path}: {error.strerror}; make the directory writable for this user "
                "(RuntimeDirectory=exavrrp in ExaBGP's unit), or set agent.state_directory"
            ) from error
        closing.callback(self._lock.release)
        limit = loop.time() + LOCK_PATIENCE
        while not self._lock.take() and not self._why.done():
            if loop.time() > limit:
                raise StartError(f"process {self._lock.holder()} holds {self._lock.path}; end that exavrrp first")
            await asyncio.sleep(LOCK_LOOK)

    def _open(self, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        """Everything but ExaBGP. Raises ``StartError``."""
        absent = capabilities.missing()
        if absent:
            raise StartError(
                f"lacking {' and '.join(absent)}; give ExaBGP's unit AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN "
                "(see exabgp/), or run ExaBGP as root with exabgp.daemon.user=root"
            )
        self._open_marks(closing)
        if self._recorder is not None:
            self._open_recorder(self._recorder, loop, closing)
        try:
            self._addresses.open(loop)
            closing.callback(self._addresses.close)
            closing.callback(self._reception.close)
            self._reception.open(loop)
            for configuration in self.configuration.routers:
                self._open_router(configuration, loop, closing)
            self._teams = self._teamed()
        except OSError as error:
            raise StartError(error.strerror or str(error)) from error
        if self._recorder is not None:
            self._recorder.record(recording.encode(self._head()))
        self.notifier.open(loop)
        closing.push_async_callback(self.notifier.close)
        closing.callback(self._control.close)
        self._control.open(loop)
        self._checks.open(loop)
        closing.push_async_callback(self._checks.close)

    def _open_recorder(self, recorder: Recorder, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack) -> None:
        try:
            recorder.open(loop)
        except OSError as error:
            raise StartError(
                f"cannot record to {recorder.path}: {error.strerror}; name a file in a directory that this user may "
                "write to, or leave out --record"
            ) from error
        closing.callback(recorder.close)

    def _head(self) -> recording.Head:
        return recording.Head(
            release=__version__,
            process=os.getpid(),
            time=datetime.fromtimestamp(self.realtime(), UTC),
            at=self.clock.time(),
            teams=tuple(team.document() for team in self._teams),
        )

    def _record(
        self, recorder: Recorder, team: str, event: events.Event, now: float, happened: Happened | Exception
    ) -> None:
        recorder.record(recording.told(team, event, now, happened))

    def _get_ahead(self) -> None:
        """Of other processes, if that is wished and permitted; where it is not, we go on without."""
        agent = self.configuration.agent
        wishes = {
            "realtime": (agent.scheduling == "realtime", realtime.take_precedence),
            "memory-locked": (agent.lock_memory, realtime.stay_resident),
        }
        for event, (wished, grant) in wishes.items():
            try:
                if wished:
                    grant()
                    self.journal.info(event)
            except OSError as error:
                self.journal.warning(f"not-{event}", detail=error.strerror)

    def _open_marks(self, closing: AsyncExitStack) -> None:
        """The numbers of all adverts that are signed or verified; the lock is held."""
        flows = [
            Flow(router.source, sender, router.vrid)
            for router in self.configuration.routers
            if router.authentication is not None and router.source is not None
            for sender in (router.source, *router.peers)
        ]
        if flows:
            known = self._marks.open(flows)
            closing.callback(self._marks.close)
            self.journal.info("marks", file=str(self._marks.path), known=known, of=len(flows))

    def _open_router(
        self, configuration: RouterConfiguration, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack
    ) -> None:
        source, only = configuration.source, configuration.interfaces
        assert source is not None, "load() was given the addresses on lo"
        if only not in self._paths:
            self._paths[only] = Paths(self._moved, only)
            self._paths[only].open(loop)
            closing.callback(self._paths[only].close)
        policy = self.configuration.policy(configuration)
        signer = Signer(policy, source, configuration.vrid, self._marks) if policy and policy.signs else None
        router = VirtualRouter(self, configuration, self._reception.wires[source], self._paths[only], signer)
        closing.callback(router.close)
        self._routers[router.name] = router
        self._by_address.update(dict.fromkeys(configuration.addresses, router))
        self._reception.pass_on(router, policy)

    def _teamed(self) -> list[Team]:
        """The routers that move together; who names no group moves alone."""
        teams: dict[str, list[VirtualRouter]] = {}
        for router in self._routers.values():
            group = router.configuration.group
            # No router is called like this: names have no spaces.
            teams.setdefault(router.name if group is None else f"group {group}", []).append(router)
        record = None if self._recorder is None else partial(self._record, self._recorder)
        return [Team(name, routers, self, record) for name, routers in teams.items()]

    def _start(self) -> None:
        """Clear what a predecessor left, then begin the elections."""
        self.journal.info("started", version=__version__, process=os.getpid(), routers=list(self._routers))
        leftovers, announced = self._addresses.present(), self._state.recall()
        for router in self._routers.values():
            silent = self._state.silent(router.name)
            if silent is not None:
                router.recall(*silent)
            found = leftovers.intersection(router.configuration.addresses)
            if found:
                whole = router.name in announced and len(found) == len(router.configuration.addresses)
                detail = "kept until the election is decided" if whole else "withdrawn, then unbound"
                told = sorted(map(str, found))
                self.journal.warning("leftovers", router=router.name, addresses=told, detail=detail)
                router.since = self._state.since(router.name) if whole else None
                router.inherit(whole=whole, active=self._state.was_active(router.name))
        self.announce_wanted()
        for router in self._routers.values():
            router.judge(self._health)
        try:
            self.bind_wanted(self._by_address)
        except OSError as error:
            self.journal.error("unbind-failed", detail=error.strerror or str(error))
        for name in sorted(self._control.drained()):
            self._routers[name].drain()
        for team in self._teams:
            team.start()
        for router in self._routers.values():
            self._loop.call_later(router.configuration.startup_hold, self._give_up_waiting, router.name)

    async def _stop(self, why: str) -> None:
        """Every router leaves in its order; what is not finished after ``STOP_LIMIT`` is cleared."""
        self.journal.info("stopping", reason=why)
        try:
            async with asyncio.timeout(STOP_LIMIT):
                for team in self._teams:
                    team.stop(why, STOP_LIMIT)
                await asyncio.sleep(2 * FAREWELLS[-1])
                while not all(router.instance.finished for router in self._routers.values()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            for team in self._teams:
                team.abandon()
        if self._bug is not None:
            self._clear()

    def _clear(self) -> None:
        """After a bug what the routers believe may not be what is: once more what is wanted, which is nothing."""
        self.announce_wanted()
        self.flush()
        with suppress(OSError):
            self.bind_wanted(())

    def progressed(self) -> None:
        """A virtual router has carried out something: whoever waits for the last one looks again."""
        self._state.note(
            {router.name: router.instance.presence.level for router in self._routers.values()},
            {router.name: router.since for router in self._routers.values() if router.since is not None},
            {name: count for name, one in self._routers.items() if (count := one.instance.remembered) is not None},
        )
        self._progress.set()
        self._control.changed()

    # What the commands ask for (control.Service)

    def names(self) -> list[str]:
        return list(self._routers)

    def drain(self, name: str) -> None:
        self._routers[name].drain()

    def undrain(self, name: str) -> None:
        self._routers[name].undrain()

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        teams = [team.routers for team in self._teams if any(router.name in names for router in team.routers)]
        moving = {router.name for routers in teams for router in routers}
        return tuple(name for name in self._routers if name in moving)

    def outcome(self, name: str) -> Outcome:
        return self._routers[name].outcome()

    def status(self) -> list[RouterStatus]:
        return [router.status(self._health) for router in self._routers.values()]

    def _end(self, why: str) -> None:
        if not self._why.done():
            self._why.set_result(why)

    def _broken(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A bug: what follows cannot be trusted. Leave in order; ExaBGP starts us anew."""
        self._bug = self._bug or context.get("exception") or RuntimeError(context["message"])
        where = "".join(traceback.format_exception(self._bug))[-3000:]
        self.journal.error("bug", detail=where)
        self._end("a bug")

    def _decline_reload(self) -> None:
        self.journal.warning("reload-declined", detail="SIGHUP does nothing; restart ExaBGP to use a new configuration")

    # What happens to the shared parts

    def _moved(self) -> None:
        for router in self._routers.values():
            router.look_at_paths()

    def _repaired(self, address: Address) -> None:
        self.journal.warning("repaired", address=str(address), detail="somebody removed or changed it on lo; put back")

    def _lost(self, address: Address, error: OSError) -> None:
        self._by_address[address].lost(address, error)

    def _checked(self, name: str, passed: bool, detail: str, seconds: float, value: int | None = None) -> None:
        before = self._health.checks[name].verdict
        affected = self._health.result(name, passed=passed, detail=detail, value=value)
        verdict = self._health.checks[name].verdict
        if verdict is not before:
            self.journal.info("check", check=name, result=verdict, detail=detail, seconds=round(seconds, 3))
        for router in self._routers.keys() & set(affected):  # none yet while we wait for the lock; _start judges all
            self._routers[router].judge(self._health)

    def _count_sessions(self, results: list[Result]) -> None:
        if self._why.done():
            return  # ExaBGP closes its sessions when it goes: no fault of this node, which hands over as far as it can
        for one in results:
            self._checked(check_of(one.router), passed=one.passed, detail=one.detail, seconds=0.0)

    def _give_up_waiting(self, router: str) -> None:
        """For BGP sessions, at the start."""
        self._count_sessions(self._sessions.give_up_waiting(router))

    def _heard(self, event: exabgp.Event) -> None:
        match event:
            case exabgp.Greeted(version, known):
                record = self.journal.info if known else self.journal.warning
                record("exabgp", version=version, known=known)
            case exabgp.Neighbor(address, established):
                self.journal.info("neighbor", neighbor=str(address), state="up" if established else "down")
                self._count_sessions(self._sessions.heard(address, established=established))
            case exabgp.Answered(address):
                self._by_address[address].route_changed()
            case exabgp.Refused(address, line):
                key = ("refused", address)
                self.journal.limited(key, journal.Level.ERROR, "refused", command=line, detail="see ExaBGP's log")
            case exabgp.Silent(address, line):
                self.journal.limited(("silent", address), journal.Level.WARNING, "unanswered", command=line)
            case exabgp.Stalled(seconds):
                told = f"nothing heard for {seconds:.1f} s: nothing can be announced, and no session counts"
                self.journal.error("exabgp-stalled", detail=told)
                self._count_sessions(self._sessions.answers(stalled=True))
            case exabgp.Resumed():
                self.journal.info("exabgp-resumed")
                self._count_sessions(self._sessions.answers(stalled=False))
            case exabgp.Odd(detail):
                self.journal.limited("odd", journal.Level.WARNING, "exabgp-odd", detail=detail)
            case exabgp.Stopping():
                self._gone = True
                self._end("ExaBGP stops")
            case exabgp.Gone(why):
                self.journal.error("exabgp-gone", detail=why)
                self._gone = True
                self._end("ExaBGP is gone")
            case _:
                assert_never(event)

    def _count(self) -> None:
        """Log what was counted, the line ``counters`` last: on SIGUSR1, and at the end."""
        for source, wire in self._reception.wires.items():
            counters = wire.counters
            for piece in pieces(
                sent={f"{peer} {name}".rstrip(): count for (peer, name), count in counters.sent.items()},
                failed={" ".join(map(str, key)): count for key, count in counters.failed.items()},
            ):
                dropped = {"overflowed": counters.overflowed, "unread": counters.unread}
                self.journal.info("counters-wire", source=str(source), **dropped, **piece)
        for router in self._routers.values():
            told = {"router": router.name, "role": router.instance.router.role, "adverts": dict(router.adverts)}
            for piece in pieces(copies=router.copies(), authentication=self._reception.heard(router)):
                self.journal.info("counters-router", **told, **piece)
        for piece in pieces(notify=self.notifier.counters()):
            self.journal.info("counters-notify", **piece)
        self.journal.info("counters", rejected=dict(self._reception.rejected))


def pieces(**counted: Mapping[str, object]) -> Iterator[dict[str, dict[str, object]]]:
    """What was counted, in pieces that each go into one line of the log; one even if there is nothing."""
    for begin in range(0, max(1, *map(len, counted.values())), PIECE):
        yield {name: dict(islice(counts.items(), begin, begin + PIECE)) for name, counts in counted.items()}
