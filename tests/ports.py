"""A node with fake ports: virtual time, and a list of all its effects, in order.

``given_backup`` and ``given_active`` make a node in that state. A ``Rig`` is its environment, with a method for each
event of the kernel, ExaBGP, peers and checks. ``done`` lists all effects on lo, ExaBGP and the wire, one line each:
``bind 2001:db8:53::1``, ``announce 2001:db8:53::1/128 med 50``, ``send web 200``.

ExaBGP acknowledges every command in the next turn of the loop, unless ``speaker.answers`` is False: then the test
answers with ``speaker.answer`` and ``speaker.refuse``.
"""

import heapq
import json
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EBUSY, EPERM
from functools import lru_cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVarTuple

from exavrrp import ports, speaker
from exavrrp.config import Check, Configuration, load
from exavrrp.config import VirtualRouter as VirtualRouterConfiguration
from exavrrp.elections import Record
from exavrrp.neighbors import Session
from exavrrp.node import Event, Node
from exavrrp.ports import ANY, AddressError, Arrival, Link, NotifyState, Sent
from exavrrp.recorded import Recording
from exavrrp.roster import Ports
from exavrrp.routes import Network, Route
from exavrrp.simulation.process import Marks
from exavrrp.takeover import GRACEFUL_SHUTDOWN
from exavrrp.virtual_address import LO, VirtualAddress
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.packet import Address, Advertisement, Datagram, Ipv4Checksum, encode
from exavrrp.vrrp.router import Role

_Arguments = TypeVarTuple("_Arguments")

SOURCE, PEER, OTHER = (ip_address(f"2001:db8:ff::1{end}") for end in (1, 2, 3))
VIP = ip_address("2001:db8:53::1")
SESSION = Session(ip_address("2001:db8:0:1::1"), ip_address("2001:db8:0:1::2"))
SECOND = Session(ip_address("2001:db8:0:2::1"), ip_address("2001:db8:0:2::2"))
LINKS = (Link(1, "eth0"), Link(2, "eth1"))
EPOCH = 1_800_000_000.0
"""Seconds since the epoch when the clock of a ``Rig`` shows 0."""

NOTHING = ports.Forgotten()

INTERVAL = 1.0
"""Seconds between adverts, of all nodes here."""


# Configuration


def table(name: str, **settings: object) -> str:
    """A table of exavrrp.toml, without keys whose value is None. JSON strings, numbers, lists and booleans are TOML."""
    lines = (f"{key} = {json.dumps(value)}" for key, value in settings.items() if value is not None)
    return "\n".join([f"[{name}]", *lines, ""])


AGENT = table("agent", sources=[str(SOURCE)], peers=[str(PEER), str(OTHER)], advert_interval=INTERVAL)


def router(number: int = 1, *, bgp: Mapping[str, object] | None = None, **settings: Any) -> str:
    """The table of the virtual router ``web`` (``web2`` for number 2 …), announced with MED 50 when it is Active."""
    name = "web" if number == 1 else f"web{number}"
    usual: dict[str, Any] = {"vrid": number, "priority": 200, "addresses": [f"2001:db8:53::{number}"]}
    return table(f"virtual_router.{name}", **(usual | settings)) + table(
        f"virtual_router.{name}.bgp", **({"med": 50} | dict(bgp or {}))
    )


def check(name: str, **settings: Any) -> str:
    """The table of a check whose first failure is a fault, and whose next success ends it (rise 1, fall 1)."""
    usual: dict[str, Any] = {"file": f"/run/{name}", "rise": 1, "fall": 1}
    return table(f"check.{name}", **(usual | settings))


@lru_cache
def configuration(*tables: str) -> Configuration:
    """The configuration read from these tables and ``AGENT``."""
    text = "\n".join(tables if any(one.startswith("[agent]") for one in tables) else (AGENT, *tables))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "exavrrp.toml")
        path.write_text(text, encoding="utf-8")
        return load(path)


# Ports


class Clock:
    """The part of an event loop that a node needs, in virtual time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._soon: deque[Callable[[], object]] = deque()
        self._alarms: list[_Alarm] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> "_Alarm":
        alarm = _Alarm(when, partial(callback, *args))
        heapq.heappush(self._alarms, alarm)
        return alarm

    def call_soon(self, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> object:
        self._soon.append(partial(callback, *args))
        return None

    @property
    def armed(self) -> list[float]:
        """The times at which alarms are due."""
        return sorted(alarm.when for alarm in self._alarms if not alarm.cancelled)

    def turn(self) -> None:
        """One turn of the loop: runs callbacks that are scheduled now, not those that they schedule."""
        for _ in range(len(self._soon)):
            self._soon.popleft()()

    def run(self, until: float | None = None) -> None:
        """Run all callbacks, and all alarms due by ``until``; then it is ``until``."""
        while True:
            while self._soon:
                self._soon.popleft()()
            if until is None or not self._alarms or self._alarms[0].when > until:
                break
            alarm = heapq.heappop(self._alarms)
            if not alarm.cancelled:
                self.now = max(self.now, alarm.when)
                alarm.callback()
        self.now = self.now if until is None else max(self.now, until)


@dataclass(order=True)
class _Alarm:
    when: float
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Log:
    """Collects the log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        """severity, event, fields"""

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))

    def limited(self, key: object, level: str, event: str, **fields: Any) -> None:
        self.lines.append((str(level), event, fields | {"key": key}))

    def told(self, event: str) -> list[dict[str, Any]]:
        """The fields of each line of this event."""
        return [fields for _, name, fields in self.lines if name == event]

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


class Transport:
    """The sockets of one source."""

    def __init__(self, rig: "Rig") -> None:
        self.error: int | None = None
        """errno for each copy; None: it is sent"""
        self.waiting: list[Arrival] = []
        """packets that have arrived and are not read yet"""
        self.forgotten: list[int] = []
        self.copies: list[tuple[Address, tuple[str, ...]]] = []
        """the peer and the interfaces of every advert that was sent"""
        self.counters = ports.Counters()
        self.last = b""
        """the payload of the last advert"""
        self.asked: list[float] = []
        """``until`` of each ``drain``"""
        self._rig = rig

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> list[Sent]:
        if peer == PEER:
            self._rig.done.append(f"send {self._rig.numbered[payload[1]]} {payload[2]}")
        self.last = payload
        self.copies.append((peer, tuple(link.name for link in links)))
        return [Sent(link.name, self.error) for link in links or (Link(0, ANY),)]

    def forget(self, index: int) -> None:
        self.forgotten.append(index)

    def drain(self, until: float) -> Iterator[Arrival]:
        self.asked.append(until)
        while self.waiting and self.waiting[0].at <= until:
            yield self.waiting.pop(0)


class Transports:
    """The transports of a node with one source."""

    def __init__(self, only: Transport) -> None:
        self._only = only
        self.peers: dict[Address, frozenset[Address]] = {}
        self.media: dict[Address, ports.Medium] = {}
        self.error: OSError | None = None
        """raised by ``set``"""

    def set(self, peers: Mapping[Address, Collection[Address]], media: Mapping[Address, ports.Medium]) -> None:
        if self.error is not None:
            raise self.error
        self.media = dict(media)
        self.peers = {source: frozenset(some) for source, some in peers.items()}

    def __getitem__(self, source: Address) -> Transport:
        return self._only

    def items(self) -> list[tuple[Address, Transport]]:
        return [(SOURCE, self._only)]


class Beacons:
    """Keeps the beacons that are sent."""

    def __init__(self) -> None:
        self.peers: dict[Address, frozenset[Address]] = {}
        self.port = 0
        self.sent: list[tuple[Address, bytes, Link]] = []

    def set(self, peers: Mapping[Address, Collection[Address]], port: int) -> None:
        self.peers = {source: frozenset(some) for source, some in peers.items()}
        self.port = port

    def send(self, source: Address, peer: Address, payload: bytes, link: Link) -> None:
        assert peer in self.peers[source]
        self.sent.append((peer, payload, link))


class Paths:
    """The routing table, the same for all interfaces; those that are not wanted any more must not be asked."""

    def __init__(self) -> None:
        self.open: dict[ports.Interfaces, _Over] = {}
        self.links: tuple[Link, ...] = LINKS
        self.sourceless = False
        self.down = False
        """whether no interface is up"""
        self.cut_off: set[Address | Session] = set()
        """neighbors to whom no path has a carrier; or sessions to one, if it is on several links"""
        self.isolated = False
        """whether no BGP neighbor can be reached"""

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        return self.links

    def set(self, wanted: Iterable[ports.Interfaces]) -> None:
        found = {only: self[only] for only in wanted}
        for gone in self.open.keys() - found.keys():
            self.open[gone].closed = True
        self.open = found

    def __getitem__(self, only: ports.Interfaces) -> "_Over":
        return self.open.setdefault(only, _Over(self))

    def holds(self, source: Address) -> bool:
        return not self.sourceless

    def is_up(self) -> bool:
        return not self.down

    def reaches(self, neighbor: Address) -> bool:
        return not self.isolated

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        return neighbor in self.cut_off or Session(neighbor, local) in self.cut_off

    def interface_name(self, index: int) -> str:
        return f"eth{index - 1}"


class _Over:
    """The paths over one set of interfaces."""

    def __init__(self, table: Paths) -> None:
        self.closed = False
        self._table = table

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        assert not self.closed
        return self._table.toward(peer, source)

    def holds(self, source: Address) -> bool:
        assert not self.closed
        return self._table.holds(source)

    def is_up(self) -> bool:
        assert not self.closed
        return self._table.is_up()

    def interface_name(self, index: int) -> str:
        return self._table.interface_name(index)


class Addresses:
    """lo."""

    def __init__(self, rig: "Rig") -> None:
        self.lo: set[Address] = set()
        self.preferred: set[Address] = set()
        self.refused: set[Address] = set()
        """addresses that the kernel refuses to bind"""
        self.broken: OSError | None = None
        """raised by ``set`` and ``elsewhere``"""
        self.unreadable: OSError | None = None
        """raised by ``present``"""
        self.slow: set[Address] = set()
        """addresses that are ``awaited`` after they were bound"""
        self.others: dict[Address, str] = {}
        self.takes = 0.0
        """seconds that one ``set`` takes"""
        self.batches = 0
        self.awaited: set[Address] = set()
        self.ours: frozenset[Address] = frozenset()
        self.links: dict[Address, str] = {}
        """of what ``lo`` has the interface, if it is another one"""
        self._rig = rig

    def own(self, forms: Collection[VirtualAddress]) -> None:
        self.ours = frozenset(one.address for one in forms)

    def set(self, forms: Collection[VirtualAddress]) -> None:
        self.batches += 1
        self._rig.clock.now += self.takes
        if self.broken is not None:
            raise self.broken
        wanted = {one.address for one in forms}
        refused = (wanted - self.lo) & self.refused
        for verb, some in (("unbind", self.lo - wanted), ("bind", wanted - self.lo - refused)):
            self._rig.done += [f"{verb} {address}" for address in sorted(some, key=int)]
        self.lo = wanted - refused
        self.preferred = {one.address for one in forms if one.preferred} & self.lo
        self.links = {one.address: one.interface for one in forms if one.address in self.lo and one.on_link}
        self.awaited = self.lo & self.slow
        if refused:
            raise AddressError({one: OSError(EBUSY, "the kernel refuses") for one in sorted(refused, key=int)})

    def present(self) -> frozenset[Address]:
        if self.unreadable is not None:
            raise self.unreadable
        return frozenset(self.lo)

    def adopt(self, addresses: Collection[Address]) -> frozenset[VirtualAddress]:
        there = self.lo.intersection(addresses)
        return frozenset(VirtualAddress(one, interface=self.links.get(one, LO)) for one in there)

    def herald(self, served: Collection[Address]) -> None:
        self._rig.done += ["herald " + " ".join(map(str, served))]

    def herald_anew(self, claimed: Collection[Address]) -> None:
        self._rig.done += ["herald anew " + " ".join(map(str, claimed))]

    def elsewhere(self) -> dict[Address, str]:
        if self.broken is not None:
            raise self.broken
        return self.others


class Speaker:
    """ExaBGP."""

    def __init__(self, rig: "Rig") -> None:
        self.answers = True
        self.answer_seconds: float | None = None
        self.ours: list[Route] = []
        self.impossible: ValueError | None = None
        """raised by ``own``"""
        self.wanted: dict[Network, Route] = {}
        self.open: dict[Network, None] = {}
        """prefixes of commands that are not answered yet"""
        self.offered: set[Network] = set()
        """prefixes that it may announce"""
        self.inherited: list[Network] = []
        self.asked = 0
        """calls of ``may_announce``"""
        self.deaf: set[Network] | None = None
        """prefixes that it announces if it reads no commands any more (``exabgp.Deaf``); None: it reads them"""
        self.unread: list[speaker.Event] = []
        """what it has answered, and nobody has read yet"""
        self.caught_up: list[float] = []
        """until when that was asked for"""
        self._rig = rig

    def own(self, ours: Iterable[Route]) -> None:
        if self.impossible is not None:
            raise self.impossible
        before, self.ours = self.ours, list(ours)
        gone = {route.network for route in before} - {route.network for route in self.ours}
        self.change(dict.fromkeys(network for network in self.wanted if network in gone))

    def inherit(self, networks: Iterable[Network]) -> None:
        self.inherited += networks
        self.offered.update(self.inherited)

    def set(self, wanted: Iterable[Route]) -> None:
        routes = {route.network: route for route in wanted}
        self.change({network: routes.get(network) for network in self._rig.networks})

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        for network, route in wanted.items():
            if self.wanted.get(network) == route and network in self._rig.known:
                continue
            self._rig.known.add(network)
            self.open[network] = None
            if route is None:
                self._rig.done.append(f"withdraw {network}")
                self.wanted.pop(network, None)
            else:
                worse = " shutdown" if GRACEFUL_SHUTDOWN in route.attributes.communities else ""
                self._rig.done.append(f"announce {network} med {route.attributes.med}{worse}")
                self.wanted[network] = route
                self.offered.add(network)
        if self.answers and self.open and self.deaf is None:
            self._rig.clock.call_soon(self.answer)

    def repeat(self) -> None:
        self._rig.done.append("repeat")

    def flush(self) -> None:
        self._rig.done.append("flush")

    def catch_up(self, until: float) -> None:
        self.caught_up.append(until)
        while self.unread:
            self._rig.node.handle(self.unread.pop(0))

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        if self.deaf is not None:
            return all((one in self.deaf) is (one in self.wanted) for one in networks)
        return self.open.keys().isdisjoint(networks)

    def may_announce(self, networks: Iterable[Network]) -> bool:
        self.asked += 1
        return not (self.offered if self.deaf is None else self.deaf).isdisjoint(networks)

    def answer(self, *networks: Network) -> None:
        """Answer ``done`` to the open commands for these prefixes; without any, to all."""
        for network in networks or list(self.open):
            self.open.pop(network, None)
            self.offered &= self.wanted.keys() | self.open.keys()
            self._rig.node.handle(speaker.Answered(network, self.wanted.get(network)))

    def refuse(self, times: int, *, silent: bool = False) -> None:
        """Answer all open commands with ``error``, or let them time out (``silent``); ``times``: failures in a row."""
        for network in list(self.open):
            kind = speaker.Silent if silent else speaker.Refused
            self._rig.node.handle(kind(network, f"a command about {network}", times))


class Notifier:
    """Collects notifications of transitions."""

    def __init__(self) -> None:
        self.told: list[tuple[str, NotifyState, str]] = []
        """router, state, reason"""
        self.counted: dict[str, dict[str, int]] = {}
        self.names: list[str] = []
        """the routers whose transitions are notified"""
        self.renamed: dict[str, str] = {}

    def rename(self, names: Mapping[str, str]) -> None:
        self.renamed |= names

    def set(self, routers: Iterable[VirtualRouterConfiguration]) -> None:
        self.names = [router.name for router in routers]

    def counters(self) -> dict[str, dict[str, int]]:
        return self.counted

    def tell(self, name: str, state: NotifyState, priority: int, before: str, reason: str) -> None:
        self.told.append((name, state, reason))


class Memory:
    """The state file of a predecessor, and those written for a successor."""

    def __init__(self, rig: "Rig") -> None:
        self.announced: set[str] = set()
        self.active: set[str] = set()
        self.offered: set[str] = set()
        self.times: dict[str, int] = {}
        self.silences: dict[str, tuple[int, float]] = {}
        self.is_foreign = False
        self.named: set[Network] = set()
        """prefixes that the predecessor may have announced; empty: its file does not list them"""
        self.bindable: set[Address] = set()
        self.routes: dict[str, list[Route]] = {}
        """routes that a successor must withdraw if its configuration does not name them"""
        self.takes = 0.0
        """seconds that one write of the file takes"""
        self.looks = 0
        """how often somebody asked whether the file is there"""
        self.notes: list[tuple[dict[str, str | None], dict[str, int], dict[str, tuple[int, float]], set[str]]] = []
        self._rig = rig

    def recall(self) -> frozenset[str]:
        return frozenset(self.announced)

    def names(self, networks: Collection[Network]) -> bool:
        return not self.named or not self.named.isdisjoint(networks)

    def was_active(self, router: str) -> bool:
        return router in self.active

    def may_be_announced(self, router: str) -> bool:
        return router in self.offered

    def since(self, router: str) -> int | None:
        return self.times.get(router)

    def silent(self, router: str) -> tuple[int, float] | None:
        return self.silences.get(router)

    def may_bind(self, addresses: Iterable[Address]) -> None:
        self.bindable = set(addresses)

    def may_announce(self, router: str, routes: Iterable[Route]) -> None:
        self.routes[router] = list(routes)

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> None:
        self._rig.clock.now += self.takes
        self.notes.append((dict(levels), dict(since or {}), dict(silences or {}), set(offered)))

    def look(self) -> None:
        self.looks += 1


class Checks:
    """Runs no check; a test reports the results."""

    def __init__(self) -> None:
        self.doubts: dict[str, str] = {}
        self.names: list[str] = []
        """the checks that are carried out"""

    def set(self, checks: Iterable[Check]) -> None:
        self.names = [check.name for check in checks]

    def distrusted(self) -> dict[str, str]:
        return self.doubts


# The node


def recorder(lines: list[bytes]) -> Callable[[Configuration, Ports], Node]:
    """A factory for the node of a ``Rig`` that records into ``lines``."""

    def make(configuration: Configuration, given: Ports) -> Node:
        return Recording(given, lines.append).make(
            partial(Node, configuration), configuration, release="1.0", process=4711
        )

    return make


class Rig:
    """A node and its environment."""

    def __init__(
        self,
        *tables: str,
        make: Callable[[Configuration, Ports], Node] = Node,
        record: Record | None = None,
        forgotten: ports.Forgotten = NOTHING,
    ) -> None:
        """``tables`` of exavrrp.toml, ``router()`` alone if there are none."""
        self.numbered: dict[int, str] = {}
        """names by VRID"""
        self.networks = [route.network for route in forgotten.routes]
        self.configured(*tables)
        self.known: set[Network] = set()
        """prefixes with any command to ExaBGP so far"""
        self.done: list[str] = []
        self.changes = 0
        """calls of ``changed``"""
        self.clock, self.log, self.notifier, self.checks = Clock(), Log(), Notifier(), Checks()
        self.offset = 0.0
        """seconds by which the wall clock was set"""
        self.pauses: list[float] = []
        """seconds for which this process stands still after each of its next looks at the wall clock"""
        self.transport, self.paths = Transport(self), Paths()
        self.addresses, self.speaker, self.memory = Addresses(self), Speaker(self), Memory(self)
        self.marks, self.transports, self.beacons = Marks(), Transports(self.transport), Beacons()
        self.node = make(
            self.configuration,
            Ports(
                clock=self.clock,
                realtime=self._realtime,
                log=self.log,
                transports=self.transports,
                paths=self.paths,
                addresses=self.addresses,
                speaker=self.speaker,
                notifier=self.notifier,
                memory=self.memory,
                marks=self.marks,
                checks=self.checks,
                forgotten=forgotten,
                changed=self._changed,
                record=record,
                beacons=self.beacons,
            ),
        )

    def configured(self, *tables: str) -> None:
        """Set the configuration."""
        self.tables = tables
        self.configuration = configuration(*(tables or (router(),)))
        self.numbered |= {one.vrid: one.name for one in self.configuration.routers}
        self.networks += [network for one in self.configuration.routers for network in one.owned]

    def _changed(self) -> None:
        self.changes += 1

    def _realtime(self) -> float:
        now = EPOCH + self.clock.now + self.offset
        self.clock.now += self.pauses.pop(0) if self.pauses else 0.0
        return now

    # Events

    def handle(self, *happening: Event) -> "Rig":
        """Handle these events, and run all callbacks that are due."""
        for event in happening:
            self.node.handle(event)
        self.clock.run()
        return self

    def start(self, *drained: str) -> "Rig":
        """Start the node."""
        self.node.start(drained)
        self.clock.run()
        return self

    def reconfigure(self, *tables: str) -> "Rig":
        """Reload with another configuration."""
        self.configured(*tables)
        self.node.reconfigure(self.configuration)
        self.clock.run()
        return self

    def after(self, seconds: float) -> "Rig":
        """Let ``seconds`` pass."""
        self.clock.run(self.clock.now + seconds)
        return self

    def session(self, session: Session = SESSION, *, up: bool = True, listed: bool = True) -> "Rig":
        """A BGP session comes up or goes down; ``listed``: whether ExaBGP sends our routes to its neighbor."""
        self.handle(speaker.Neighbor(session, up))
        return self.handle(speaker.Listed(session, listed)) if up else self

    def check(self, name: str, *, passed: bool, detail: str = "", **more: Any) -> "Rig":
        """A check has a result."""
        return self.handle(ports.Checked(name, passed, detail, **more))

    def arrival(self, priority: int, name: str = "web", source: Address = PEER, **more: Any) -> Arrival:
        """An advert of a peer. ``more``: fields of ``Arrival``, or ``centiseconds`` of the advert."""
        one, configured = self.router(name).instance.router.settings, self.router(name).configuration
        advert = Advertisement(one.vrid, priority, more.pop("centiseconds", 100), one.addresses)
        to = configured.multicast or configured.source or SOURCE
        payload = encode(advert, source, to, Ipv4Checksum.PSEUDO_HEADER, more.pop("trailer", None))
        usual: dict[str, Any] = {"interface": 1, "at": self.clock.now}
        return Arrival(Datagram(source, to, 255, payload), **(usual | more))

    def hear(self, priority: int, name: str = "web", source: Address = PEER, **more: Any) -> "Rig":
        """An advert of a peer comes in."""
        here = self.router(name).configuration.source or SOURCE
        return self.handle(ports.Arrived(here, (self.arrival(priority, name, source, **more),)))

    def follow(self, seconds: float, priority: int = 250) -> "Rig":
        """Let ``seconds`` pass while a better node is Active."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            for name in self.node.commands.names():
                self.hear(priority, name)
            self.after(min(INTERVAL, end - self.clock.now))
        return self

    def mute(self, error: int = EPERM) -> "Rig":
        """From now on sending any advert fails."""
        self.transport.error = error
        return self

    def beat(self) -> list[tuple[Address, bytes, Link]]:
        """Send the beacons that are due: peer, datagram and interface of each."""
        for tell in self.node.beacons.due():
            tell()
        sent, self.beacons.sent = self.beacons.sent, []
        return sent

    # State

    def router(self, name: str = "web") -> VirtualRouter:
        return self.node.routers[name]

    def role(self, name: str = "web") -> Role:
        return self.router(name).instance.router.role

    def faults(self, name: str = "web") -> list[str]:
        return [str(fault) for fault in self.router(name).instance.faults]

    def holds(self, name: str = "web") -> list[str]:
        return list(self.router(name).instance.holds.values())

    def priority(self, name: str = "web") -> int:
        return self.router(name).instance.router.priority

    def take(self) -> list[str]:
        """Effects since the last call, without adverts of an Active and without ``flush``."""
        done, self.done = self.done, []
        return [one for one in done if one != "flush" and not (one.startswith("send") and not one.endswith(" 0"))]

    def transport_peers(self) -> set[Address]:
        """The peers whose adverts our source accepts."""
        return set(self.transports.peers[SOURCE])

    def bound(self) -> bool:
        """Whether the first address of ``web`` is on lo."""
        return VIP in self.addresses.lo

    def why(self) -> str | None:
        """The reason of the node's end; None while it runs."""
        return self.node.why


def lan(**settings: Any) -> str:
    """The table of a virtual router on one link, by multicast and without peers."""
    usual: dict[str, Any] = {"transport": "multicast", "interface": "eth2", "source": "fe80::1", "min_sessions": 0}
    return router(**(usual | settings))


def given_backup(*tables: str, checks: Iterable[str] = (), heard: int | None = 250, **more: Any) -> Rig:
    """A node whose routers are all Backup, with its session up. ``heard``: the Active's priority; None: no Active."""
    rig = Rig(*tables, **more).start()
    for name in checks:
        rig.check(name, passed=True)
    rig.session()
    for name in rig.node.commands.names():
        assert rig.role(name) is Role.BACKUP, (name, rig.faults(name), rig.holds(name))
        if heard is not None:
            rig.hear(heard, name)
    rig.take()
    return rig


def given_active(*tables: str, checks: Iterable[str] = (), **more: Any) -> Rig:
    """A node whose routers are all Active: bound, announced and confirmed."""
    rig = given_backup(*tables, checks=checks, heard=None, **more).after(4 * INTERVAL)
    for name in rig.node.commands.names():
        assert rig.role(name) is Role.ACTIVE, (name, rig.faults(name), rig.holds(name))
        assert rig.router(name).instance.presence.level == "active"
    assert all(map(rig.speaker.wanted.get, rig.networks))
    rig.take()
    return rig
