"""One simulated agent: the real virtual routers of one process, and everything that they ask of their host.

What is real: ``Team`` and ``VirtualRouter`` with all that stands below them (groups, instances, elections, presence,
ladders and routes, both codecs with both checksums), ``Health`` and ``Sessions``, the ``Conversation`` with ExaBGP, and
the note for a successor. What is simulated: sockets, paths, addresses on lo, pipes, the loop. ``Process`` stands for
``exavrrp.agent.Agent``, whose lines it follows one by one: the order in which a start accounts for what a predecessor
left, how an end tells what ExaBGP is about to do, and which event goes where.
"""

import errno
import math
from collections.abc import Callable, Collection
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from typing import Any, Protocol, assert_never, cast

from exavrrp.agent import LOCK_LOOK, LOCK_PATIENCE, REPLACED, STOP_LIMIT, TELL_TALE
from exavrrp.config import Configuration
from exavrrp.control import Life
from exavrrp.health import Health, Initial, Subject, Vitality
from exavrrp.sessions import Result, Sessions, check_of
from exavrrp.system import journal
from exavrrp.system.addresses import FIRST_PAUSE
from exavrrp.system.exabgp import (
    Answered,
    Gone,
    Greeted,
    Neighbor,
    Odd,
    Refused,
    Resumed,
    Silent,
    Stalled,
    Stopping,
)
from exavrrp.system.exabgp import Event as ExaBGPEvent
from exavrrp.system.journal import Journal
from exavrrp.system.notify import Notifier
from exavrrp.system.paths import Link, Paths
from exavrrp.system.wire import Arrival, Sent, Wire
from exavrrp.virtual_router import FAREWELLS, Clock, Team, VirtualRouter
from exavrrp.vrrp.auth import Flow, Sequence, Signer, Verifier
from exavrrp.vrrp.packet import LEAVING, OPEN, Address, Datagram, Expectation, Malformed, decode
from tests.simulation.exabgp import ExaBGP
from tests.simulation.network import Packet
from tests.simulation.pipes import Pipes
from tests.simulation.world import Clock as HostClock
from tests.simulation.world import Loop, World

BATCH = 32
"""Packets read in one wake-up (``wire._BATCH``)."""

BUFFER = 512
"""Packets that a socket takes while nobody reads (``wire``: 512 KiB, an advert takes about one)."""


class Ground(Protocol):
    """What a process stands on: the host, which outlives it."""

    number: int
    world: World
    clock: HostClock
    configuration: Configuration
    lo: set[Address]
    boot: str
    note: Life | None
    drained: set[str]
    verdicts: dict[str, bool]
    marks: dict[Flow, Sequence]
    """numbers of signed adverts"""
    accepted: set[bytes]
    """signed adverts that were accepted since the marks were made, and sent since the clock was set"""
    clock_set: float
    """when the time of day was last set, in seconds of the world"""
    removed: set[Address]
    """what somebody else has removed from lo, and nobody has noticed yet"""
    excused: set[Address]
    """what ExaBGP announces although it is not on lo, because something is wrong"""
    lateness: float

    def log(self, template: str, *values: object) -> None:
        """For the transcript."""

    def links(self) -> tuple[Link, ...]:
        """The interfaces that are up."""

    def is_up(self, index: int) -> bool: ...

    def interface_name(self, index: int) -> str: ...

    def transmit(self, index: int, packet: Packet, peer: Address) -> None: ...

    def refuses(self, address: Address) -> bool:
        """Whether the kernel does not let this one be bound."""

    def is_locked(self, process: "Process") -> bool:
        """Whether another process holds the lock."""

    def grounded(self) -> None:
        """Look whether what ExaBGP announces is on lo."""

    def ended(self, process: "Process", why: str) -> None:
        """The process has ended by itself."""


class Watch(Protocol):
    """Who looks at everything that the process does (``invariants``)."""

    def advert(self, router: VirtualRouter, priority: int) -> None: ...

    def transition(self, router: str, before: str, after: str, why: str) -> None: ...

    def removing(self, gone: frozenset[Address]) -> None: ...

    def said(self, lines: list[str]) -> None: ...

    def hearing(self, packet: Packet) -> None: ...

    def rejected(self, packet: Packet, malformed: Malformed) -> None: ...

    def heard(self, router: VirtualRouter, packet: Packet, priority: int) -> None: ...

    def turned(self) -> None: ...

    def stray_alarm(self, router: VirtualRouter) -> None: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log, made into text only if somebody reads it."""

    event: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        fields = {name: value for name, value in self.fields.items() if name != "explanation"}
        return journal.as_text(self.event, fields)

    def __format__(self, spec: str) -> str:
        return str(self)


class SimulatedJournal:
    """The log goes into the transcript, and its transitions to whoever watches."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def info(self, event: str, **fields: Any) -> None:
        if event == "transition":
            self._process.watch.transition(fields["router"], fields["before"], fields["after"], fields["reason"])
        self._process.ground.log("{}", Line(event, fields))

    warning = error = info

    def limited(self, key: object, level: object, event: str, **fields: Any) -> None:
        """Once for each key: who reads a transcript wants to know that it happened."""
        if key not in self._process.limited:
            self._process.limited.add(key)
            self._process.ground.log("{}", Line(event, fields))


class SimulatedWire:
    """The sockets of one source address."""

    def __init__(self, process: "Process", source: Address) -> None:
        self._process = process
        self._source = source

    def send(self, payload: bytes, peer: Address, links: Listing[Link]) -> list[Sent]:
        ground = self._process.ground
        process = self._process
        datagram = Datagram(self._source, peer, 255, payload)
        signed = len(payload) > 8 + payload[3] * len(peer.packed)
        packet = Packet(datagram, ground.number, ground.world.now, signed=signed)
        sent = []
        for link in links or ground.links()[:1]:
            if ground.is_up(link.index):
                ground.transmit(link.index, packet, peer)
                sent.append(Sent(link.name, None))
            else:
                sent.append(Sent(link.name, errno.ENETDOWN))
        process.note_advert(self._source, payload, peer, links)
        return sent or [Sent("", errno.ENETUNREACH)]

    def forget(self, index: int) -> None:
        pass


class SimulatedPaths:
    """Every interface that is up leads to every peer."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        return self._ground.links()

    def interface_name(self, index: int) -> str:
        return self._ground.interface_name(index)


class SimulatedNotifier:
    """Nobody is told."""

    def tell(self, name: str, state: object, priority: int, before: str, reason: str) -> None:
        pass


class Process:
    """The whole agent, from its start to its end."""

    def __init__(self, ground: Ground, exabgp: ExaBGP, watching: "Callable[[Process], Watch]") -> None:
        self.ground = ground
        self.exabgp = exabgp
        self.loop = Loop(ground.world, ground.clock, ground.lateness, self._turned)
        self.clock: Clock = self.loop
        self.journal = cast(Journal, SimulatedJournal(self))
        self.notifier = cast(Notifier, SimulatedNotifier())
        self.ipv4_checksum = ground.configuration.agent.ipv4_checksum
        self.limited: set[object] = set()
        self.inbox: list[tuple[int, Packet, float, float]] = []
        """what waits in the sockets, with the index of the interface, the time of day and our own when it came"""
        self.answering: Packet | None = None
        """the advert that leads to what is being done now; a farewell asks for no answer"""
        self.routers: dict[str, VirtualRouter] = {}
        self.teams: list[Team] = []
        self.locked = False
        """whether it holds the lock"""
        self.started = False
        self.ended: str | None = None
        """why, once it is decided"""
        self.abandoned = False
        self.gone = False
        """whether ExaBGP is, or goes"""
        self._ready = False
        self._reading = False
        self._drained = -math.inf
        self._by_vrid: dict[tuple[Address, int], VirtualRouter] = {}
        self._by_address: dict[Address, VirtualRouter] = {}
        self._expectations: dict[Address, Expectation] = {}
        self._guards: dict[Address, Verifier] = {}
        configuration = ground.configuration
        ours = (
            route
            for router in configuration.routers
            for address in router.addresses
            for route in router.ladder.routes(address)
        )
        self.watch: Watch = watching(self)
        self.pipes = Pipes(self.loop, ours, exabgp, self._heard, self.watch.said)
        needed = {router.name: router.sessions() for router in configuration.routers}
        requirements = {name: requirement for name, requirement in needed.items() if requirement is not None}
        self._sessions = Sessions(requirements)
        self._health = Health(
            {router.name: Subject(router.priority, self._weights(router)) for router in configuration.routers},
            {check.name: check.vitality() for check in configuration.checks}
            | {check_of(name): Vitality(1, 1, initial=Initial.WAIT) for name in requirements},
        )

    def _weights(self, router: Any) -> dict[str, int]:
        weights = self.ground.configuration.weights(router)
        return weights if router.min_sessions == 0 else weights | {check_of(router.name): router.sessions_weight}

    # What the virtual routers share (virtual_router.Host)

    def realtime(self) -> float:
        return self.ground.clock.realtime()

    def catch_up(self, until: float = math.inf) -> None:
        """Hand over every packet that had come by ``until`` and waits in the sockets (``wire.Wire.drain``)."""
        if not self._reading and self._drained < until:
            self._drained = self.loop.time()
            self._read(len(self.inbox))

    def bind_wanted(self, asking: Collection[Address]) -> None:
        wanted = frozenset(
            address
            for router in self.routers.values()
            if router.instance.presence.bound
            for address in router.configuration.addresses
        )
        lo = self.ground.lo
        gone = frozenset(lo - wanted)
        if gone:
            self.watch.removing(gone)
        refused = {address for address in wanted - lo if self.ground.refuses(address)}
        lo &= wanted
        lo |= wanted - refused
        self.ground.excused |= self.ground.removed  # with nobody there to see it
        self.ground.removed.clear()
        for address in refused:  # the watch on lo goes on trying, and says if it is for nothing
            self.ground.removed.add(address)
            self.loop.call_later(FIRST_PAUSE, self.look_at_lo, address)
        self.ground.excused -= lo
        if not refused.isdisjoint(asking):
            raise OSError(errno.EBUSY, "the kernel refuses")

    def announce_wanted(self) -> None:
        if not self.gone:
            self.pipes.set(route for router in self.routers.values() for route in router.wanted())

    def flush(self) -> None:
        if not self.gone:
            self.pipes.flush()

    def is_confirmed(self, router: VirtualRouter) -> bool:
        if self.gone:
            return not router.wanted()
        return self.pipes.has_carried_out(router.configuration.addresses)

    def progressed(self) -> None:
        """The note for a successor; and whoever waits for the last router looks again."""
        levels = {name: router.instance.presence.level for name, router in self.routers.items()}
        announced = {name: str(level) for name, level in levels.items() if level is not None}
        since = {name: one.since for name, one in self.routers.items() if one.since is not None and name in announced}
        ground = self.ground
        counts = {name: router.instance.remembered for name, router in self.routers.items()}
        silences = {name: (count.number, count.latest) for name, count in counts.items() if count is not None}
        ground.note = Life(
            boot=ground.boot, exabgp=self.exabgp.identity, routers=announced, since=since, silences=silences
        )
        for name, router in self.routers.items():
            if router.kept:
                ground.drained.discard(name)
        if self.ended is not None and self.started:
            self.loop.call_soon(self._look_if_finished)

    # Start

    def begin(self) -> None:
        """The interpreter has come up: ExaBGP first of all, then the lock, then the rest."""
        self.pipes.open()
        self._take_lock(self.loop.time() + LOCK_PATIENCE)

    def _take_lock(self, limit: float) -> None:
        if self.ended is not None:
            self._exit()
        elif self.ground.is_locked(self):
            if self.loop.time() > limit:
                self._exit()  # StartError
            else:
                self.loop.call_later(LOCK_LOOK, self._take_lock, limit)
        else:
            self.locked = True
            self._open()
            self._start()

    def _open(self) -> None:
        wires: dict[Address, SimulatedWire] = {}
        paths = SimulatedPaths(self.ground)
        for configuration in self.ground.configuration.routers:
            source = configuration.source
            assert source is not None
            wire = wires.setdefault(source, SimulatedWire(self, source))
            policy = self.ground.configuration.policy(configuration)
            signer = Signer(policy, source, configuration.vrid, self.ground.marks) if policy and policy.signs else None
            router = VirtualRouter(self, configuration, cast(Wire, wire), cast(Paths, paths), signer)
            if policy is not None:
                guard = self._guards.setdefault(source, Verifier(source, {}, self.ground.marks))
                guard.policies[configuration.vrid] = policy
            self.routers[router.name] = router
            self._by_vrid[source, configuration.vrid] = router
            self._by_address.update(dict.fromkeys(configuration.addresses, router))
        for source in wires:
            self._expectations[source] = self._expectation(source)
        teams: dict[tuple[bool, str], list[VirtualRouter]] = {}
        for router in self.routers.values():
            group = router.configuration.group
            teams.setdefault((group is not None, group or router.name), []).append(router)
        self.teams = [Team(name, routers, self) for (_, name), routers in teams.items()]
        self._ready = True

    def _expectation(self, source: Address) -> Expectation:
        routers = [router.configuration for router in self.routers.values() if router.configuration.source == source]
        return Expectation(
            own=frozenset({source}),
            vrids={router.vrid: frozenset(router.peers) for router in routers},
            peers=frozenset(peer for router in routers for peer in router.peers),
        )

    def _start(self) -> None:
        ground = self.ground
        note = ground.note
        announced = frozenset[str]() if note is None else note.announced(ground.boot, self.exabgp.identity)
        for router in self.routers.values():
            silent = None if note is None else note.silences.get(router.name)
            if silent is not None:
                router.recall(*silent)
            found = ground.lo.intersection(router.configuration.addresses)
            if found:
                whole = router.name in announced and len(found) == len(router.configuration.addresses)
                ground.log("leftovers {}: {}", router.name, "kept" if whole else "withdrawn, then unbound")
                router.since = note.since.get(router.name) if whole and note is not None else None
                active = note is not None and note.routers.get(router.name) == "active"
                router.inherit(whole=whole, active=active)
        self.announce_wanted()
        for router in self.routers.values():
            router.judge(self._health)
        try:
            self.bind_wanted(self._by_address)
        except OSError as error:
            ground.log("unbind-failed: {}", error)
        for name in sorted(ground.drained):
            self.routers[name].drain()
        for team in self.teams:
            team.start()
        self.started = True
        for router in self.routers.values():
            self.loop.call_later(router.configuration.startup_hold, self._give_up_waiting, router.name)
        for check in ground.configuration.checks:
            self.loop.call_later(0.05 + 0.3 * ground.world.random.random(), self.checked, check.name)

    # End

    def terminate(self) -> None:
        """SIGTERM."""
        self.loop.call_later(TELL_TALE, self.end, REPLACED)

    def end(self, why: str) -> None:
        if self.ended is not None:
            return
        self.ended = why
        self.ground.log("ends: {}", why)
        if not self.started:
            return
        if why is REPLACED:
            self.loop.call_soon(self._exit)
        else:
            self.loop.call_soon(self._stop, why)

    def _stop(self, why: str) -> None:
        self.loop.call_later(STOP_LIMIT, self._abandon)
        for team in self.teams:
            team.stop(why, STOP_LIMIT)
        self._ready = False
        self.loop.call_later(2 * FAREWELLS[-1], self._farewells_said)

    def _farewells_said(self) -> None:
        self._ready = True
        self._look_if_finished()

    def _look_if_finished(self) -> None:
        if self._ready and all(router.instance.finished for router in self.routers.values()):
            self._exit()

    def _abandon(self) -> None:
        self.abandoned = True
        for team in self.teams:
            team.abandon()
        self._exit()

    def _exit(self) -> None:
        if not self.loop.dead:
            self.pipes.close()
            self.loop.kill()
            self.ground.ended(self, self.ended or "cannot start")

    # What happens to the shared parts

    def arrive(self, index: int, packet: Packet) -> None:
        """A packet has reached the host through the interface of this index."""
        if self.started and len(self.inbox) < BUFFER:
            self.inbox.append((index, packet, self.realtime(), self.loop.time()))
            self.loop.readable(self._readable)

    def _readable(self) -> None:
        if self.inbox:
            self._read(BATCH)
            if self.inbox:
                self.loop.readable(self._readable)

    def _read(self, most: int) -> None:
        if self._reading or not self.started:
            return
        self._reading = True
        inbox = self.inbox
        try:
            for _ in range(most):
                if not inbox or self.loop.dead:
                    return
                index, packet, realtime, _ = inbox.pop(0)
                self._take(index, packet, realtime)
        finally:
            self._reading = False

    def _take(self, index: int, packet: Packet, realtime: float) -> None:
        datagram = packet.datagram
        expectation = self._expectations.get(datagram.destination)
        if expectation is None:
            return  # no socket of ours is bound to that
        self.watch.hearing(packet)
        try:
            guard = self._guards.get(datagram.destination, OPEN)
            advertisement = decode(datagram, expectation, guard, realtime)
        except Malformed as malformed:
            self.watch.rejected(packet, malformed)
            return
        router = self._by_vrid[datagram.destination, advertisement.vrid]
        self.answering = packet if advertisement.priority != LEAVING else None
        router.receive(Arrival(datagram, index, self.loop.time(), realtime), advertisement)
        self.answering = None
        self.watch.heard(router, packet, advertisement.priority)

    def note_advert(self, source: Address, payload: bytes, peer: Address, links: Listing[Link]) -> None:
        """Who watches is told of each advert once, however many copies of it there are."""
        router = self._by_vrid[source, payload[1]]
        known = router._links.get(peer, ())[:1]
        if peer == router.configuration.peers[0] and tuple(links[:1]) == tuple(known):
            self.watch.advert(router, payload[2])

    def moved(self) -> None:
        """The paths may be others now."""
        if self.started:
            for router in self.routers.values():
                router.look_at_paths()

    def look_at_lo(self, address: Address) -> None:
        """Somebody has removed one of our addresses; ``system.addresses`` puts it back, or says that it cannot."""
        router = self._by_address.get(address)
        if router is None or not router.instance.presence.bound or address in self.ground.lo:
            return
        self.ground.removed.discard(address)
        if self.ground.refuses(address):
            self.ground.excused.add(address)
            router.lost(address, OSError(errno.EBUSY, "the kernel refuses"))
        else:
            self.ground.log("repaired {}", address)
            self.ground.lo.add(address)
            self.ground.excused.discard(address)

    def drain(self) -> None:
        """``exavrrp drain`` without a name."""
        for router in self.routers.values():
            router.drain()

    def undrain(self) -> None:
        """``exavrrp undrain`` without a name."""
        for router in self.routers.values():
            router.undrain()

    def checked(self, name: str) -> None:
        """A check has been carried out."""
        self._checked(name, passed=self.ground.verdicts[name])

    def _checked(self, name: str, *, passed: bool, detail: str = "") -> None:
        affected = self._health.result(name, passed=passed, detail=detail)
        for router in (name for name in self.routers if name in affected):
            self.routers[router].judge(self._health)

    def _count_sessions(self, results: list[Result]) -> None:
        if self.ended is None:
            for one in results:
                self._checked(check_of(one.router), passed=one.passed, detail=one.detail)

    def _give_up_waiting(self, router: str) -> None:
        self._count_sessions(self._sessions.give_up_waiting(router))

    def _heard(self, event: ExaBGPEvent) -> None:
        match event:
            case Neighbor(address, established):
                self.ground.log("neighbor {} {}", address, "up" if established else "down")
                self._count_sessions(self._sessions.heard(address, established=established))
            case Answered(address):
                if address in self._by_address:
                    self._by_address[address].route_changed()
            case Greeted() | Refused() | Silent() | Odd():
                self.ground.log("{}", event)
            case Stalled() | Resumed():
                self.ground.log("{}", event)
                self._count_sessions(self._sessions.answers(stalled=isinstance(event, Stalled)))
            case Stopping():
                self.gone = True
                self.end("ExaBGP stops")
            case Gone():
                self.gone = True
                self.end("ExaBGP is gone")
            case _:
                assert_never(event)

    def _turned(self) -> None:
        self.watch.turned()
