"""The agent: wires everything together; the only file that knows all others.

``Agent`` owns what the process has once: a socket per source address, the netlink watchers, the conversation with
ExaBGP, the check runner. ``VirtualRouter`` is one configured router's share of it: it feeds events to its pure
``Instance``, carries out the effects in their order, reports what became of them, and arms one alarm for the
instance's deadline.

Nothing here waits: a write is non-blocking and bounded, an answer is an event of its own. Three habits matter.

- Before a deadline is looked at, every packet that waits in the sockets is handed over: after a pause, proof of life is
  waiting there.
- Wanted sets, not changes: what is bound and what is announced is computed from all instances anew each time, so that
  a start, a repair and an ordinary change take the same path.
- At start everything that our configuration owns is cleared, at ExaBGP and then on the interface, before the first
  election is decided: a predecessor that was killed leaves both behind.
"""

import asyncio
import errno
import os
import signal
import traceback
from collections import Counter
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from exavrrp import __version__
from exavrrp.config import Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.health import Health, Subject, Vitality
from exavrrp.instance import Effect, Fault, Hurry, Instance
from exavrrp.presence import Step
from exavrrp.routes import Level, Route
from exavrrp.system import capabilities, exabgp, journal
from exavrrp.system.addresses import AddressError, Addresses
from exavrrp.system.exabgp import ExaBGP
from exavrrp.system.journal import Journal
from exavrrp.system.lock import Lock
from exavrrp.system.paths import Link, Paths
from exavrrp.system.scripts import Scripts
from exavrrp.system.wire import Arrival, Wire
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement, Expectation, Malformed, Reason, decode, encode
from exavrrp.vrrp.router import Advertise, Notice, Role, Transition, Why

FAREWELLS = (0.003, 0.006)
"""Seconds after the first priority 0 at which it is repeated: nobody acknowledges it."""

STOP_LIMIT = 1.5
"""Seconds for an orderly stop. ExaBGP sends SIGKILL 2 s after its SIGTERM."""

MUTE_ADVERTS = 3
"""Adverts in a row of which no copy could be sent before that is a fault: as patient as a Backup."""

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before what failed is tried again; the last one for ever."""

LOCK_PATIENCE = 5.0
"""Seconds to wait for a predecessor to end: ExaBGP kills one 2 s after it has told it to stop."""

LOCK_LOOK = 0.02
"""Seconds between two looks at the lock; the kernel offers no other way to wait for one without a thread."""


class StartError(Exception):
    """The agent cannot start: what is wrong, and the remedy."""


class VirtualRouter:
    """One configured virtual router at work."""

    def __init__(self, agent: "Agent", configuration: RouterConfiguration, wire: Wire, paths: Paths) -> None:
        self.configuration = configuration
        self.name = configuration.name
        self.instance = Instance(configuration.name, configuration.election(), configuration.giving_up())
        self.ladder = configuration.ladder
        self.adverts: Counter[str] = Counter()
        self._agent = agent
        self._journal = agent.journal
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._paths = paths
        self._alarm: asyncio.TimerHandle | None = None
        self._retries: dict[Fault, asyncio.TimerHandle] = {}
        self._tries: Counter[Fault] = Counter()
        self._mute = 0
        self._payloads: dict[tuple[int, Address], bytes] = {}
        self._links: dict[Address, tuple[Link, ...]] = {}
        self._confirmed: Level | None = None

    # Events in

    def inherit(self) -> None:
        """A predecessor has left our addresses bound."""
        self._carry_out(self.instance.inherit(self._loop.time()))

    def start(self) -> None:
        """Take part in the election."""
        self.look_at_paths()
        self._carry_out(self.instance.start(self._loop.time()))

    def stop(self, detail: str) -> None:
        """Leave it, in the configured order, within ``STOP_LIMIT``."""
        self._carry_out(self.instance.stop(Why.SHUTDOWN, detail, Hurry(STOP_LIMIT), self._loop.time()))

    def abandon(self) -> None:
        """The time for a stop is over."""
        self._carry_out(self.instance.abandon(self._loop.time()))

    def close(self) -> None:
        """No alarm rings any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        for retry in self._retries.values():
            retry.cancel()

    def receive(self, arrival: Arrival, advertisement: Advertisement) -> None:
        """A copy of a peer's advert that passed every check."""
        source = arrival.datagram.source
        expected = [link.index for link in self._links[source]]
        self.adverts["received"] += 1
        self._carry_out(self.instance.received(source, advertisement, arrival.interface, expected, arrival.at))

    def look_at_paths(self) -> None:
        """The routes may have changed: which interfaces lead to each peer now."""
        assert self.configuration.source is not None
        for peer in self.configuration.peers:
            links = self._paths.toward(peer, self.configuration.source)
            if links != self._links.get(peer):
                for gone in set(self._links.get(peer, ())) - set(links):
                    self._wire.forget(gone.index)
                self._links[peer] = links
                names = [link.name for link in links]
                self._journal.info("paths", router=self.name, peer=str(peer), interfaces=names)
        if Fault.ADVERTS in self.instance.faults and any(self._links.values()):
            self._try_again(Fault.ADVERTS)

    def judge(self, health: Health) -> None:
        """The checks may have changed what this router is worth."""
        judgement = health.judge(self.name)
        now = self._loop.time()
        self._journal.info("health", router=self.name, priority=judgement.priority, detail=judgement.explain())
        if judgement.faults:
            self._carry_out(self.instance.fault(Fault.CHECK, judgement.explain(), now))
        else:
            self._carry_out(self.instance.prioritise(judgement.priority, now))
            self._carry_out(self.instance.clear(Fault.CHECK, now))

    def lost(self, address: Address, error: OSError) -> None:
        """One of our addresses cannot be kept on the interface."""
        self._fail(f"{address} cannot be bound to lo: {error.strerror or error}")

    def route_changed(self) -> None:
        """ExaBGP has confirmed something about one of our addresses."""
        level = self.instance.presence.level
        if not self._agent.is_confirmed(self):
            return
        if level is not self._confirmed:
            self._confirmed = level
            names = [str(address) for address in self.configuration.addresses]
            if level is None:
                self._journal.info("withdrawn", router=self.name, addresses=names)
            else:
                self._journal.info("announced", router=self.name, addresses=names, state=level)
        if level is None:
            self._carry_out(self.instance.withdrawn(self._loop.time()))

    def wanted(self) -> list[Route]:
        """What ExaBGP is to announce for this router now."""
        level = self.instance.presence.level
        if level is None:
            return []
        return [Route(address, self.ladder.at(level)) for address in self.configuration.addresses]

    # Effects out

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Advertise(priority):
                    self._advertise(priority)
                case Transition():
                    self._tell(effect)
                case Step():
                    self._take(effect)
                case PathQuiet(peer, index) | PathBack(peer, index):
                    self._tell_path(peer, index, quiet=isinstance(effect, PathQuiet))
                case Notice(oddity, source, detail):
                    key = (self.name, oddity, source)
                    self._journal.limited(key, journal.Level.WARNING, oddity, router=self.name, detail=detail)
                case _:
                    assert_never(effect)
        self._arm()
        self._agent.progressed()

    def _take(self, step: Step) -> None:
        match step:
            case Step.BIND:
                self._bind()
            case Step.UNBIND:
                self._unbind()
            case Step.ANNOUNCE | Step.WITHDRAW:
                self._agent.announce_wanted()
                self.route_changed()
            case Step.RELEASE | Step.RETURN:
                raise AssertionError(f"{step} is the instance's own")
            case _:
                assert_never(step)

    def _bind(self) -> None:
        try:
            self._agent.bind_wanted(self.configuration.addresses)
        except OSError as error:
            self._fail(f"cannot bind to lo: {error.strerror or error}")
            return
        self._journal.info("bound", router=self.name, addresses=self._addresses())
        del self._tries[Fault.BIND]
        self._carry_out(self.instance.bound(self._loop.time()))

    def _unbind(self) -> None:
        try:
            self._agent.bind_wanted(self.configuration.addresses)
        except OSError as error:
            # It stays unwanted, so the next change of lo removes it; nothing else of ours depends on it.
            self._journal.error("unbind-failed", router=self.name, detail=error.strerror or str(error))
        else:
            self._journal.info("unbound", router=self.name, addresses=self._addresses())

    def _fail(self, detail: str) -> None:
        self._journal.error("bind-failed", router=self.name, detail=detail)
        self._carry_out(self.instance.unbound(detail, self._loop.time()))
        self._retry_later(Fault.BIND)

    def _advertise(self, priority: int) -> None:
        self._send(priority)
        if priority == LEAVING:
            for delay in FAREWELLS:
                self._loop.call_later(delay, self._repeat_farewell)

    def _repeat_farewell(self) -> None:
        if self.instance.router.role is not Role.ACTIVE:
            self._send(LEAVING)

    def _send(self, priority: int) -> None:
        """One copy to every peer over every path to it."""
        reached = False
        errors: Counter[int] = Counter()
        for peer in self.configuration.peers:
            for sent in self._wire.send(self._payload(priority, peer), peer, self._links.get(peer, ())):
                reached = reached or sent.error is None
                if sent.error is not None:
                    errors[sent.error] += 1
        self.adverts["sent" if priority != LEAVING else "sent-priority-zero"] += 1
        if errors:
            told = ", ".join(f"{_name(number)} ×{count}" for number, count in errors.items())
            self._journal.limited((self.name, "unsent"), journal.Level.WARNING, "unsent", router=self.name, errors=told)
        if reached:
            self._mute = 0
            del self._tries[Fault.ADVERTS]
        else:
            self._mute += 1
        if self._mute >= MUTE_ADVERTS and priority != LEAVING:
            self._mute = 0
            reason = ", ".join(os.strerror(number) for number in errors)
            detail = f"no advert could be sent to any peer ({reason})"
            # Not from within the effects that sent this advert: they have to be finished first.
            self._loop.call_soon(self._go_mute, detail)

    def _go_mute(self, detail: str) -> None:
        if self.instance.router.role is Role.ACTIVE:
            self._carry_out(self.instance.fault(Fault.ADVERTS, detail, self._loop.time()))
            self._retry_later(Fault.ADVERTS)

    def _payload(self, priority: int, peer: Address) -> bytes:
        key = (priority, peer)
        if key not in self._payloads:
            assert self.configuration.source is not None
            advertisement = self.instance.router.advertisement(priority)
            checksum = self._agent.configuration.agent.ipv4_checksum
            self._payloads[key] = encode(advertisement, self.configuration.source, peer, checksum)
        return self._payloads[key]

    # Time

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        deadline = self.instance.deadline
        self._alarm = None if deadline is None else self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._agent.drain()
        self._carry_out(self.instance.timeout(self._loop.time()))

    def _retry_later(self, fault: Fault) -> None:
        if fault in self._retries:
            self._retries.pop(fault).cancel()
        delay = RETRIES[min(self._tries[fault], len(RETRIES) - 1)]
        self._tries[fault] += 1
        self._retries[fault] = self._loop.call_later(delay, self._try_again, fault)

    def _try_again(self, fault: Fault) -> None:
        self._carry_out(self.instance.clear(fault, self._loop.time()))

    # The log

    def _addresses(self) -> list[str]:
        return [str(address) for address in self.configuration.addresses]

    def _tell(self, transition: Transition) -> None:
        self._journal.info(
            "transition",
            router=self.name,
            before=transition.before,
            after=transition.after,
            reason=transition.why,
            detail=transition.detail,
            priority=self.instance.router.priority,
        )

    def _tell_path(self, peer: Address, index: int, *, quiet: bool) -> None:
        where = {"router": self.name, "peer": str(peer), "interface": self._paths.interface_name(index)}
        if quiet:
            self._journal.warning("path-quiet", **where)
        else:
            self._journal.info("path-back", **where)

    def counters(self) -> dict[str, object]:
        """What this router has counted, for the log."""
        copies = {
            f"{peer} {self._paths.interface_name(index)}": count
            for (peer, index), count in self.instance.copies.counts.items()
        }
        return {"role": self.instance.router.role, "adverts": dict(self.adverts), "copies": copies}


class Agent:
    """The whole process: everything that it opens it closes, in ``run``."""

    def __init__(self, configuration: Configuration, log: Journal) -> None:
        self.configuration = configuration
        self.journal = log
        self._routers: dict[str, VirtualRouter] = {}
        self._wires: dict[Address, Wire] = {}
        self._paths: dict[tuple[str, ...] | None, Paths] = {}
        self._expectations: dict[Address, Expectation] = {}
        self._by_vrid: dict[tuple[Address, int], VirtualRouter] = {}
        self._by_address: dict[Address, VirtualRouter] = {}
        self._rejected: Counter[Reason] = Counter()
        self._why: asyncio.Future[str]
        self._progress = asyncio.Event()
        self._bug: Exception | None = None
        self._gone = False
        self._lock = Lock(Path(configuration.agent.state_directory))
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
        self._scripts = Scripts(checks, self._checked)
        self._health = Health(
            {router.name: Subject(router.priority, configuration.weights(router)) for router in configuration.routers},
            {check.name: Vitality(check.rise, check.fall) for check in checks},
        )

    async def run(self) -> None:
        """Serves until ExaBGP or a signal ends it.

        Raises ``StartError`` when it cannot begin, and whatever a bug of ours raised, after an orderly stop.
        """
        loop = asyncio.get_running_loop()
        self._why = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, signal.Signals(number).name)
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
                self._open(loop, closing)
                self._start()
                await self._stop(await self._why)
                self._count()
        self.journal.info("stopped", reason=self._why.result())
        if self._bug is not None:
            raise self._bug

    # What the virtual routers share

    def drain(self) -> None:
        """Hand over every packet that waits in the sockets."""
        for wire in self._wires.values():
            wire.drain()

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
        try:
            self._addresses.open(loop)
            closing.callback(self._addresses.close)
            for configuration in self.configuration.routers:
                self._open_router(configuration, loop, closing)
        except OSError as error:
            raise StartError(error.strerror or str(error)) from error
        self._scripts.open(loop)
        closing.push_async_callback(self._scripts.close)

    def _open_router(
        self, configuration: RouterConfiguration, loop: asyncio.AbstractEventLoop, closing: AsyncExitStack
    ) -> None:
        source, only = configuration.source, configuration.interfaces
        assert source is not None, "load() was given the addresses on lo"
        if source not in self._wires:
            self._wires[source] = wire = Wire(source, partial(self._arrived, source), self._discarded)
            try:
                wire.open(loop)
            except OSError as error:
                detail = f"cannot send adverts from {source}: {error.strerror}"
                remedy = "; add it to lo, or correct the source" if error.errno == errno.EADDRNOTAVAIL else ""
                raise OSError(error.errno, detail + remedy) from error
            closing.callback(wire.close)
        if only not in self._paths:
            self._paths[only] = Paths(self._moved, only)
            self._paths[only].open(loop)
            closing.callback(self._paths[only].close)
        router = VirtualRouter(self, configuration, self._wires[source], self._paths[only])
        closing.callback(router.close)
        self._routers[router.name] = router
        self._by_vrid[source, configuration.vrid] = router
        self._by_address.update(dict.fromkeys(configuration.addresses, router))
        self._expectations[source] = self._expectation(source)

    def _expectation(self, source: Address) -> Expectation:
        routers = [router.configuration for router in self._routers.values() if router.configuration.source == source]
        hops = self.configuration.agent.max_hops
        return Expectation(
            own=frozenset({source}),
            vrids={router.vrid: frozenset(router.peers) for router in routers},
            peers=frozenset(peer for router in routers for peer in router.peers),
            minimum_hop_limit=0 if hops is None else 255 - hops,
        )

    def _start(self) -> None:
        """Clear what a predecessor left, then begin the elections."""
        self.journal.info("started", version=__version__, process=os.getpid(), routers=list(self._routers))
        leftovers = self._addresses.present()
        if leftovers:
            told = sorted(map(str, leftovers))
            self.journal.warning("leftovers", detail="withdrawn, then unbound", addresses=told)
        self.announce_wanted()
        for router in self._routers.values():
            router.judge(self._health)
            if not leftovers.isdisjoint(router.configuration.addresses):
                router.inherit()
        try:
            self.bind_wanted(self._by_address)
        except OSError as error:
            self.journal.error("unbind-failed", detail=error.strerror or str(error))
        for router in self._routers.values():
            router.start()

    async def _stop(self, why: str) -> None:
        """Every router leaves in its order; what is not finished after ``STOP_LIMIT`` is cleared."""
        self.journal.info("stopping", reason=why)
        try:
            async with asyncio.timeout(STOP_LIMIT):
                for router in self._routers.values():
                    router.stop(why)
                await asyncio.sleep(2 * FAREWELLS[-1])
                while not all(router.instance.finished for router in self._routers.values()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            for router in self._routers.values():
                router.abandon()

    def progressed(self) -> None:
        """A virtual router has carried out something: whoever waits for the last one looks again."""
        self._progress.set()

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

    def _arrived(self, source: Address, arrival: Arrival) -> None:
        """A packet has come in for our ``source``."""
        try:
            advertisement = decode(arrival.datagram, self._expectations[source])
        except Malformed as malformed:
            self._discarded(malformed.reason, arrival.datagram.source, malformed.detail)
        else:
            self._by_vrid[source, advertisement.vrid].receive(arrival, advertisement)

    def _discarded(self, reason: Reason, source: Address | None, detail: str = "") -> None:
        self._rejected[reason] += 1
        # One line per reason, not per source: sources can be forged, and each would be remembered.
        self.journal.limited(reason, journal.Level.WARNING, "rejected", reason=reason, source=source, detail=detail)

    def _moved(self) -> None:
        for router in self._routers.values():
            router.look_at_paths()

    def _repaired(self, address: Address) -> None:
        self.journal.warning("repaired", address=str(address), detail="somebody removed or changed it on lo; put back")

    def _lost(self, address: Address, error: OSError) -> None:
        self._by_address[address].lost(address, error)

    def _checked(self, name: str, passed: bool, detail: str, seconds: float) -> None:
        before = self._health.checks[name].verdict
        affected = self._health.result(name, passed=passed, detail=detail)
        verdict = self._health.checks[name].verdict
        if verdict is not before:
            self.journal.info("check", check=name, result=verdict, detail=detail, seconds=round(seconds, 3))
        for router in affected:
            self._routers[router].judge(self._health)

    def _heard(self, event: exabgp.Event) -> None:
        match event:
            case exabgp.Greeted(version, known):
                record = self.journal.info if known else self.journal.warning
                record("exabgp", version=version, known=known)
            case exabgp.Neighbor(address, established):
                self.journal.info("neighbor", neighbor=str(address), state="up" if established else "down")
            case exabgp.Answered(address):
                self._by_address[address].route_changed()
            case exabgp.Refused(address, line):
                key = ("refused", address)
                self.journal.limited(key, journal.Level.ERROR, "refused", command=line, detail="see ExaBGP's log")
            case exabgp.Silent(address, line):
                self.journal.limited(("silent", address), journal.Level.WARNING, "unanswered", command=line)
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
        """Log what was counted: on SIGUSR1, and at the end."""
        wires = {
            str(source): {
                "sent": {f"{peer} {name}".rstrip(): count for (peer, name), count in wire.counters.sent.items()},
                "failed": {" ".join(map(str, key)): count for key, count in wire.counters.failed.items()},
                "overflowed": wire.counters.overflowed,
            }
            for source, wire in self._wires.items()
        }
        routers = {name: router.counters() for name, router in self._routers.items()}
        self.journal.info("counters", rejected=dict(self._rejected), wires=wires, routers=routers)


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))
