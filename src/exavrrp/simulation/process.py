"""One simulated process: a real node, and ports of our own.

What is real: ``Node`` (or ``Caretaker``) with all that it decides and all that stands below it, and the conversation
with ExaBGP. What is simulated: the ports. Sockets, paths, addresses on lo, pipes, the note for a successor, the loop;
and what ``exavrrp.agent.Agent`` does with them: the lock before the start, and the end.
"""

import errno
import math
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

from exavrrp import care, ports
from exavrrp.agent import LOCK_POLL, LOCK_TIMEOUT
from exavrrp.bequest import Bequest
from exavrrp.caretaker import POLL
from exavrrp.chronicle import SUCCEEDED
from exavrrp.config import Check, Configuration
from exavrrp.config import VirtualRouter as VirtualRouterConfiguration
from exavrrp.control import SavedState
from exavrrp.memory import Memory, parsed
from exavrrp.node import Node
from exavrrp.ports import AddressError, Arrival, Forgotten, Link, Sent
from exavrrp.recorded import Recording
from exavrrp.roster import Ports
from exavrrp.simulation.exabgp import ExaBGP
from exavrrp.simulation.network import Packet
from exavrrp.simulation.pipes import Parent, Pipes
from exavrrp.simulation.world import Clock as HostClock
from exavrrp.simulation.world import Loop, Violation, World
from exavrrp.speaker import Event as ExaBGPEvent
from exavrrp.system.addresses import FIRST_BACKOFF
from exavrrp.system.exabgp import Deaf
from exavrrp.system.log import as_text
from exavrrp.system.wire import BATCH, RECEIVE_BUFFER
from exavrrp.virtual_address import VirtualAddress
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Flow, Sequence
from exavrrp.vrrp.packet import LEAVING, Address, Datagram, Reason

MISLED = 1.5
"""Seconds until an agent notices that an answer is missing (``ANSWER_LIMIT`` of speaker/channel.py), or little more."""

BUFFER = RECEIVE_BUFFER // 1024
"""Packets that a socket takes while nobody reads: an advert takes about one KiB."""


class Ground(Protocol):
    """What a process stands on: the host, which outlives it."""

    number: int
    world: World
    clock: HostClock
    configuration: Configuration
    lo: set[Address]
    boot: str
    note: SavedState | None
    drained: set[str]
    verdicts: dict[str, bool]
    marks: "Marks"
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
    recordings: "dict[Process, list[bytes]] | None"
    """what each process has recorded, after what a caretaker's predecessor has; None: nothing is recorded"""

    def log(self, template: str, *values: object) -> None:
        """For the transcript."""

    def enter(self, line: bytes) -> None:
        """For the journal of the node."""

    def links(self) -> tuple[Link, ...]:
        """The interfaces that are up."""

    def is_up(self, index: int) -> bool: ...

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        """Whether no interface that leads to this neighbor is up."""

    def interface_name(self, index: int) -> str: ...

    def transmit(self, index: int, packet: Packet, peer: Address) -> None: ...

    def refuses(self, address: Address) -> bool:
        """Whether the kernel does not let this one be bound."""

    def is_locked(self, process: "Process", exabgp: ExaBGP | None = None) -> bool:
        """Whether another process holds the lock; ``exabgp``: one that this one has started."""

    def is_asked(self, process: "Process") -> bool:
        """Whether another process waits for the lock."""

    def has_agent(self, exabgp: ExaBGP) -> bool:
        """Whether this ExaBGP has one, which may be about to start."""

    def signal_exabgp(self, exabgp: ExaBGP, number: signal.Signals) -> None:
        """SIGUSR1 or SIGTERM for it, of a caretaker."""

    def grounded(self) -> None:
        """Look whether what ExaBGP announces is on lo."""

    def ended(self, process: "Process", why: str) -> None:
        """The process has ended by itself."""

    def make_checks(self, process: "Process") -> "SimulatedChecks": ...


class Watch(Protocol):
    """Who looks at everything that the process does (in the tests, ``invariants``)."""

    def advert(self, router: VirtualRouter, priority: int) -> None: ...

    def transition(self, router: str, before: str, after: str, why: str) -> None: ...

    def removing(self, gone: frozenset[Address]) -> None: ...

    def said(self, lines: list[str]) -> None: ...

    def hearing(self, packet: Packet) -> None: ...

    def rejected(self, packet: Packet, reason: Reason) -> None: ...

    def heard(self, router: VirtualRouter, packet: Packet, priority: int) -> None: ...

    def turned(self) -> None: ...

    def stray_alarm(self, router: VirtualRouter) -> None: ...


class Unwatched:
    """Nobody looks, so an address may also go before its withdraw, as it has to when something is wrong."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def advert(self, router: VirtualRouter, priority: int) -> None:
        pass

    def transition(self, router: str, before: str, after: str, why: str) -> None:
        pass

    def removing(self, gone: frozenset[Address]) -> None:
        self._process.ground.excused |= gone

    def said(self, lines: list[str]) -> None:
        pass

    def hearing(self, packet: Packet) -> None:
        pass

    def rejected(self, packet: Packet, reason: Reason) -> None:
        pass

    def heard(self, router: VirtualRouter, packet: Packet, priority: int) -> None:
        pass

    def turned(self) -> None:
        pass

    def stray_alarm(self, router: VirtualRouter) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log, made into text only if somebody reads it."""

    event: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        fields = {name: value for name, value in self.fields.items() if name != "explanation"}
        return as_text(self.event, fields)

    def __format__(self, spec: str) -> str:
        return str(self)


class SimulatedLog:
    """The log goes into the transcript, and its transitions to whoever watches."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._limited: set[object] = set()

    def info(self, event: str, **fields: Any) -> None:
        if event == "transition":
            self._process.watch.transition(fields["router"], fields["before"], fields["after"], fields["reason"])
        self._process.ground.log("{}", Line(event, fields))

    warning = error = info

    def limited(self, key: object, level: object, event: str, **fields: Any) -> None:
        """Once for each key: who reads a transcript wants to know that it happened."""
        if key not in self._limited:
            self._limited.add(key)
            self._process.ground.log("{}", Line(event, fields))


class SimulatedTransport:
    """The sockets of one source address."""

    def __init__(self, process: "Process", source: Address) -> None:
        self._process = process
        self.counters = ports.Counters()
        self._source = source
        self._drained = -math.inf

    def send(self, payload: bytes, peer: Address, links: Listing[Link]) -> list[Sent]:
        ground = self._process.ground
        datagram = Datagram(self._source, peer, 255, payload)
        signed = len(payload) > 8 + payload[3] * len(peer.packed)
        packet = Packet(datagram, ground.number, ground.world.now, signed=signed)
        sent = []
        for link in links or self._process.usable(self._source)[:1]:
            if ground.is_up(link.index):
                ground.transmit(link.index, packet, peer)
                sent.append(Sent(link.name, None))
            else:
                sent.append(Sent(link.name, errno.ENETDOWN))
        self._process.note_advert(self._source, payload, peer, links)
        return sent or [Sent("", errno.ENETUNREACH)]

    def forget(self, index: int) -> None:
        pass

    def drain(self, until: float) -> Iterator[Arrival]:
        """As ``wire.Wire.drain``, which reads a socket: there is none to share it over.

        Who watches looks at each packet before the node does, and after it.
        """
        process = self._process
        if self._drained >= until:
            return
        self._drained = process.loop.time()
        waiting = [one for one in process.inbox if one.source == self._source]
        for one in waiting:
            if process.loop.dead:
                return
            process.inbox.remove(one)
            yield from process.watched(one)


class SimulatedBeacons:
    """The sockets of the beacons, which whoever plays the process has it send (``Process.beat``)."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def set(self, peers: Mapping[Address, Collection[Address]], port: int) -> None:
        pass

    def send(self, source: Address, peer: Address, payload: bytes, link: Link) -> None:
        ground = self._ground
        if link.index and ground.is_up(link.index):
            datagram = Datagram(source, peer, 255, payload)
            ground.transmit(link.index, Packet(datagram, ground.number, ground.world.now, beacon=True), peer)


class SimulatedTransports(dict[Address, SimulatedTransport]):
    """By source."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.media: Mapping[Address, ports.Medium] = {}

    def __missing__(self, source: Address) -> SimulatedTransport:
        self[source] = SimulatedTransport(self._process, source)
        return self[source]

    def set(self, peers: Mapping[Address, Collection[Address]], media: Mapping[Address, ports.Medium]) -> None:
        self.media = media
        for source in [one for one in self if one not in peers]:
            del self[source]
        for source in peers:
            self[source]

    def taking(self, destination: Address, interface: str) -> Address | None:
        """Our source that takes what comes in for ``destination`` through this interface; None: there is none."""
        for source in self:
            medium = self.media.get(source)
            group = None if medium is None else medium.group
            if destination in (source, group) and (medium is None or medium.interface == interface):
                return source
        return None


class SimulatedPaths:
    """Every interface that is up leads to every peer, and to every router."""

    def __init__(self, ground: Ground, only: ports.Interfaces = None) -> None:
        self._ground = ground
        self._only = only

    def set(self, wanted: Iterable[ports.Interfaces]) -> None:
        pass

    def __getitem__(self, only: ports.Interfaces) -> "SimulatedPaths":
        return self if only == self._only else SimulatedPaths(self._ground, only)

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        return tuple(link for link in self._ground.links() if self._only is None or link.name in self._only)

    def holds(self, source: Address) -> bool:
        return True

    def is_up(self) -> bool:
        return True

    def reaches(self, neighbor: Address) -> bool:
        return bool(self._ground.links())

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        return self._ground.is_cut_off(neighbor, local)

    def interface_name(self, index: int) -> str:
        return self._ground.interface_name(index)


class SimulatedAddresses:
    """lo, and whoever looks after it (``system.addresses``)."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._wanted: frozenset[Address] = frozenset()

    @property
    def awaited(self) -> Set[Address]:
        return frozenset()

    def own(self, forms: Collection[VirtualAddress]) -> None:
        pass

    def set(self, forms: Collection[VirtualAddress]) -> None:
        self._wanted = wanted = frozenset(one.address for one in forms)
        process, ground = self._process, self._process.ground
        lo = ground.lo
        gone = frozenset(lo - wanted)
        if gone:
            process.watch.removing(gone)
        refused = {address for address in wanted - lo if ground.refuses(address)}
        lo &= wanted
        lo |= wanted - refused
        ground.excused |= ground.removed  # with nobody there to see it
        ground.removed.clear()
        for address in refused:  # the watch on lo goes on trying, and says if it is for nothing
            ground.removed.add(address)
            process.loop.call_later(FIRST_BACKOFF, self.look, address)
        ground.excused -= lo
        if refused:
            raise AddressError({one: OSError(errno.EBUSY, "the kernel refuses") for one in sorted(refused, key=str)})

    def adopt(self, addresses: Collection[Address]) -> frozenset[VirtualAddress]:
        return frozenset(map(VirtualAddress, self._process.ground.lo.intersection(addresses)))

    def present(self) -> frozenset[Address]:
        return frozenset(self._process.ground.lo)

    def herald(self, served: Collection[Address]) -> None:
        pass

    def herald_anew(self, claimed: Collection[Address]) -> None:
        pass

    def elsewhere(self) -> dict[Address, str]:
        return {}

    def look(self, address: Address) -> None:
        """Somebody has removed one of our addresses: it is put back, or that cannot be done."""
        ground, node = self._process.ground, self._process.node
        if address not in self._wanted or address in ground.lo:
            return
        ground.removed.discard(address)
        if ground.refuses(address):
            ground.excused.add(address)
            node.handle(ports.AddressLost(address, OSError(errno.EBUSY, "the kernel refuses")))
        else:
            ground.lo.add(address)
            ground.excused.discard(address)
            node.handle(ports.AddressRepaired(address))


class Marks(dict[Flow, Sequence]):
    """The numbers of signed adverts; as in the file, there is none but those of the flows that were set."""

    def __init__(self) -> None:
        self._flows: frozenset[Flow] = frozenset()

    def set(self, flows: Collection[Flow]) -> int:
        self._flows = frozenset(flows)
        for gone in self.keys() - self._flows:
            del self[gone]
        return len(self)

    def __setitem__(self, flow: Flow, number: Sequence) -> None:
        if flow not in self._flows:
            raise KeyError(flow)
        super().__setitem__(flow, number)


class SimulatedNotifier:
    """Nobody is told."""

    def rename(self, names: Mapping[str, str]) -> None:
        pass

    def set(self, routers: Iterable[VirtualRouterConfiguration]) -> None:
        pass

    def counters(self) -> dict[str, dict[str, int]]:
        return {}

    def tell(self, name: str, state: object, priority: int, before: str, reason: str) -> None:
        pass


class SimulatedMemory(Memory):
    """The note on the ground, which is the product's (``system.state.State``)."""

    def __init__(self, ground: Ground, exabgp: ExaBGP) -> None:
        super().__init__(exabgp.identity)
        self._ground = ground

    def forgotten(self, configuration: Configuration) -> Forgotten:
        """What of the last life is not in ``configuration``."""
        last = self._ground.note
        if last is None or last.boot != self._ground.boot:
            return Forgotten()
        return parsed(last).forgotten(configuration, foreign=last.is_foreign(self._ground.boot, self.exabgp))

    def open(self) -> None:
        """Read it, as late as the lock allows."""
        self.boot, last = self._ground.boot, self._ground.note
        if last is not None:
            self.read(last, foreign=last.is_foreign(self.boot, self.exabgp))

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> None:
        self._ground.note = self.next(levels, since, silences, offered)

    def look(self) -> None:
        """Nobody removes it."""


class SimulatedChecks:
    """Every program may be run, and says what the ground says: at the start, and when that changes."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def set(self, checks: Iterable[Check]) -> None:
        pass

    def begin(self) -> None:
        """The node has started."""
        process = self._process
        for check in process.configuration.checks:
            wait = 0.05 + 0.3 * process.ground.world.random.random()
            process.loop.call_later(wait, process.checked, check.name)

    def changed(self, name: str) -> None:
        """The ground says something else of this one."""
        self._process.loop.readable(partial(self._process.checked, name))

    def distrusted(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a socket."""

    source: Address
    """whose socket that is"""
    interface: int
    packet: Packet
    realtime: float
    """the time of day when it came"""
    came: float
    """the same by the loop's clock"""


class Process:
    """The whole agent, from its start to its end; or a caretaker."""

    def __init__(
        self,
        ground: Ground,
        exabgp: ExaBGP,
        watching: "Callable[[Process], Watch]",
        configuration: Configuration,
        bequest: Bequest | None = None,
    ) -> None:
        """``configuration``: that of the file now, or of the agent before a caretaker, which reads none.

        ``bequest``: what a caretaker goes on with; None: it is an agent.
        """
        self.ground = ground
        self.configuration = configuration
        self.caring = bequest
        self.misled = ground.world.now - exabgp.silent_at < MISLED
        """whether an answer may have been taken for that of another command, before it began"""
        self.exabgp = exabgp
        self.loop = Loop(ground.world, ground.clock, ground.lateness, self._turned)
        self.waiting = False
        """whether it waits for the lock"""
        self._succession = False
        self.locked = False
        """whether it holds the lock"""
        self.inbox: list[Waiting] = []
        """what waits in the sockets"""
        self.answering: Packet | None = None
        """the advert that leads to what is being done now; a priority 0 is not answered"""
        self.watch: Watch = watching(self)
        self.addresses = SimulatedAddresses(self)
        self._memory = SimulatedMemory(ground, exabgp)
        forgotten = self._memory.forgotten(configuration)
        self.pipes: Pipes | Deaf
        if bequest is None:
            self.pipes = Pipes(exabgp, self._hear, self.watch.said)
        else:
            kept = care.kept(configuration, bequest, forgotten.routes)
            self.pipes = Deaf(Parent(exabgp, ground.signal_exabgp), kept, self._hear)
        self._transports = SimulatedTransports(self)
        self.checks = ground.make_checks(self)
        given = Ports(
            clock=self.loop,
            realtime=ground.clock.realtime,
            log=SimulatedLog(self),
            transports=self._transports,
            paths=SimulatedPaths(ground),
            addresses=self.addresses,
            speaker=self.pipes,
            notifier=SimulatedNotifier(),
            memory=self._memory,
            forgotten=forgotten,
            marks=ground.marks,
            checks=self.checks,
            changed=self._changed,
            beacons=SimulatedBeacons(ground),
            enter=ground.enter,
        )
        make = partial(Node, configuration) if bequest is None else partial(self._caretaker, bequest=bequest)
        self.node = make(given) if ground.recordings is None else self._recorded(given, make, bequest)

    def _recorded(self, given: Ports, make: Callable[[Ports], Node], bequest: Bequest | None) -> Node:
        recordings = self.ground.recordings
        assert recordings is not None
        before = [lines for one, lines in recordings.items() if bequest is not None and one.node.bequest is bequest]
        lines = recordings[self] = [*chain(*before)]
        return Recording(given, lines.append).make(
            make, self.configuration, release="simulated", process=self.ground.number, cares=bequest is not None
        )

    def _caretaker(self, given: Ports, bequest: Bequest) -> care.Caretaker:
        assert isinstance(self.pipes, Deaf)
        return care.Caretaker(self.configuration, given, bequest, self.pipes)

    @property
    def routers(self) -> dict[str, VirtualRouter]:
        return self.node.routers

    def _router(self, source: Address, payload: bytes) -> VirtualRouter | None:
        """Who has the VRID of an advert just now: a reload removes routers, and some start only later."""
        ours = (one for one in self.routers.values() if one.configuration.source == source)
        return next((one for one in ours if payload[1:2] == bytes([one.configuration.vrid])), None)

    @property
    def started(self) -> bool:
        return self.node.started

    # Start

    def begin(self) -> None:
        """The interpreter has come up: ExaBGP first of all, then the lock, then the rest.

        ``Agent.run`` is the same order, and cannot be shared: it awaits, and closes what it has opened.
        """
        self.pipes.open(self.loop)
        self._take_lock(self.loop.time() + LOCK_TIMEOUT)

    def _take_lock(self, limit: float) -> None:
        if self.node.why is not None:
            self._exit()
        elif self.ground.is_locked(self) and self.caring is not None:
            self.node.handle(ports.End(SUCCEEDED))
            self._exit()
        elif self.ground.is_locked(self):
            self.waiting = True
            if self.loop.time() > limit and not self.ground.is_locked(self, self.exabgp):
                self._exit()  # StartError
            else:
                self.loop.call_later(LOCK_POLL, self._take_lock, limit)
        else:
            self.waiting, self.locked = False, True
            self._start()

    def _start(self) -> None:
        ground = self.ground
        forgotten = self._memory.forgotten(self.configuration)
        self._memory.open()
        self.node.reception.begin()
        self.node.start(ground.drained, forgotten)
        if self.caring is not None:
            self.loop.call_later(POLL, self._look)
        self.checks.begin()

    def _look(self) -> None:
        """Whether a caretaker's successor waits."""
        if self.node.why is None:
            self.loop.call_later(POLL, self._look)
            if self.ground.is_asked(self):
                self.node.handle(ports.End(SUCCEEDED))
            elif self._succession is not self.ground.has_agent(self.exabgp):
                self._succession = not self._succession
                self.node.handle(ports.Succession(self._succession))

    @property
    def resting(self) -> bool:
        """Whether nothing is under way to ExaBGP, or due there; never for a caretaker, which looks all the time."""
        return isinstance(self.pipes, Pipes) and self.pipes.conversation.resting

    # End

    def detach(self) -> None:
        """Another process is at ExaBGP's end now."""
        if isinstance(self.pipes, Pipes):
            self.pipes.detach()

    def terminate(self) -> None:
        """SIGTERM."""
        self.node.handle(ports.Terminated())

    def _changed(self) -> None:
        """Something may be over: a drain that was undone, or everything."""
        for name, router in self.routers.items():
            if router.drain.kept:
                self.ground.drained.discard(name)
        if self.node.over and self.locked:
            self.loop.call_soon(self._exit)

    def _exit(self) -> None:
        if not self.loop.dead:
            self.node.count()
            self.node.write_note()
            if isinstance(self.pipes, Deaf) and self.pipes.announced and self.node.why != SUCCEEDED:
                self.ground.signal_exabgp(self.exabgp, signal.SIGTERM)  # what ``Deaf.end`` does, but for the waiting
            self.pipes.close()
            self.loop.kill()
            self.ground.ended(self, self.node.why or "cannot start")

    # What comes in

    def arrive(self, index: int, packet: Packet) -> None:
        """A packet has reached the host through the interface of this index."""
        if packet.beacon:
            if self.started and not self.loop.stopped:
                one, realtime = packet.datagram, self.ground.clock.realtime()
                self.node.beacons.heard(one.destination, one.source, index, one.payload, realtime)
            return
        source = self._transports.taking(packet.datagram.destination, self.ground.interface_name(index))
        if self.started and len(self.inbox) < BUFFER and source is not None:
            self.inbox.append(Waiting(source, index, packet, self.ground.clock.realtime(), self.loop.time()))
            self.loop.readable(self._readable)

    def _readable(self) -> None:
        for _ in range(BATCH):
            if not self.inbox or self.loop.dead:
                return
            one = self.inbox.pop(0)
            for arrival in self.watched(one):
                self.node.handle(ports.Arrived(one.source, (arrival,)))
        if self.inbox:
            self.loop.readable(self._readable)

    def watched(self, one: Waiting) -> Iterator[Arrival]:
        """The packet, for whoever takes it, between two looks of those who watch."""
        packet, rejected = one.packet, self.node.reception.rejected.copy()
        self.watch.hearing(packet)
        priority = packet.datagram.payload[2] if len(packet.datagram.payload) > 2 else LEAVING
        self.answering = packet if priority != LEAVING else None
        before = self._router(one.source, packet.datagram.payload)
        yield Arrival(packet.datagram, one.interface, self.loop.time(), one.realtime)
        self.answering = None
        for reason in self.node.reception.rejected - rejected:
            self.watch.rejected(packet, reason)
            return
        router = self._router(one.source, packet.datagram.payload) or before  # which may have gone meanwhile
        assert router is not None, "an advert was accepted, and no router has its VRID"
        self.watch.heard(router, packet, priority)

    def usable(self, source: Address) -> tuple[Link, ...]:
        """The interfaces that are up, and that adverts from this source may leave by."""
        medium = self._transports.media.get(source)
        return tuple(link for link in self.ground.links() if medium is None or link.name == medium.interface)

    def note_advert(self, source: Address, payload: bytes, peer: Address, links: Listing[Link]) -> None:
        """Who watches is told of each advert once, however many copies of it there are."""
        router = self._router(source, payload)
        assert router is not None, "an advert was sent, and no router has its VRID"
        if peer == router.configuration.destinations[0] and tuple(links[:1]) == router.ways.links.get(peer, ())[:1]:
            self.watch.advert(router, payload[2])

    def moved(self) -> None:
        """The paths may be others now."""
        self.node.handle(ports.PathsChanged())

    def beat(self) -> None:
        """Send the beacons that are due."""
        if self.started and not self.loop.stopped:
            for tell in self.node.beacons.due():
                tell()

    def drain(self, names: Collection[str] | None = None) -> None:
        """``exavrrp drain``; without names: all."""
        commands = self.node.commands
        asked = commands.names() if names is None else names
        if unready := commands.unready(commands.together([name for name in asked if name in self.routers])):
            self.ground.drained.difference_update(name for name in asked if not self.routers[name].drain.wanted)
            why = "; ".join(f"{name}: {obstacles}" for name, obstacles in unready.items())
            self.ground.log("{}", Line("drain-refused", {"routers": list(asked), "detail": why}))
            return
        for name in asked:
            commands.drain(name)

    def undrain(self, held: Collection[str], names: Collection[str] | None = None) -> None:
        """``exavrrp undrain``; without names: all, and those that are ``held`` out although not configured."""
        every = dict.fromkeys([*self.node.commands.names(), *held])
        for name in every if names is None else names:
            self.node.commands.undrain(name)

    def reload(self, configuration: Configuration) -> None:
        """``exavrrp reload --allow-move``. Raises Violation if it touches a router that its plan does not name.

        Unless that one is late, because the agent stood still: then any event moves it.
        """
        named, now = self.node.commands.plan(configuration).routers, self.loop.time()
        others = {name: one for name, one in self.routers.items() if name not in named}
        late = {name for name, one in others.items() if (one.instance.deadline or math.inf) < now}
        before = {one: self._trace(one) for name, one in others.items() if name not in late}
        self.node.reconfigure(configuration)
        for router, trace in before.items():
            if self._trace(router) != trace:
                raise Violation(f"a reload touches {router.name}, which its plan does not name")

    def _trace(self, router: VirtualRouter) -> tuple[object, ...]:
        """What a reload leaves as it is."""
        instance, addresses = router.instance, router.configuration.addresses
        routes = tuple(router.announcement.last())
        bound = self.ground.lo.intersection(addresses)
        return (
            instance.router.role,
            instance.deadline,
            instance.presence.level,
            dict(router.adverts.counts),
            routes,
            bound,
        )

    def checked(self, name: str) -> None:
        """A check has been carried out."""
        self.node.handle(ports.Checked(name, self.ground.verdicts[name]))

    def _hear(self, event: ExaBGPEvent) -> None:
        self.node.handle(event)

    def _turned(self) -> None:
        self.watch.turned()
