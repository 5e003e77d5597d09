"""The nodes of some configurations, a fabric around them, and a scenario that is played there.

Each node has as many uplinks as its configuration names interfaces, and two at least; the uplinks of one number lead to
one router, which every node has a session to. What files do not say (``Terms``) is ExaBGP's version, the hold time, and
how long routers take. Packets take 0.05 to 0.15 ms, alarms ring up to 1 ms late, and the seed decides when the nodes'
timers begin. What is real in a node ``process`` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import count, product

from exavrrp.beacon.table import INTERVAL
from exavrrp.chronicle import BEGAN, CARES, DETACHED, ENDING, TRANSITION, decoded, with_names
from exavrrp.config import Configuration, VirtualRouter
from exavrrp.control import Misunderstood, chosen
from exavrrp.neighbors import Session
from exavrrp.plan import Effect, plan
from exavrrp.simulation.checks import ScheduledChecks
from exavrrp.simulation.exabgp import Temper
from exavrrp.simulation.fabric import Fabric
from exavrrp.simulation.machine import Machine, Surroundings
from exavrrp.simulation.network import Address, Network, Packet
from exavrrp.simulation.process import Line, Process, Unwatched
from exavrrp.simulation.scenario import Event, Expectation, Known, Part, Scenario, Verb
from exavrrp.simulation.story import Moment, Serving, Span, Story
from exavrrp.simulation.world import Clock, World
from exavrrp.takeover import Takeover
from exavrrp.vrrp.router import Role

FEWEST = 2
"""Uplinks of a node."""

DELAY = 0.0001
"""Seconds that a packet takes, on average."""

LATENESS = 0.001
"""Seconds that an alarm rings late at most."""

STARTED = 0.5
"""Seconds between the starts of the nodes at most."""

ANYHOW = -1
"""In place of an uplink: whoever is Active is reached by other means than our routes."""

Wire = tuple[int, int]
"""What a virtual router is for all nodes: its number and family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configurations do not say."""

    exabgp: str = "5.0.15"
    """its version"""
    hold: float = 180.0
    """seconds until routers forget a neighbor that has gone silent; ExaBGP's default"""
    convergence: float = 0.002
    """seconds until a router acts upon what it hears; 2 ms as BIRD, 50 ms as FRR"""
    tail: float = 30.0
    """seconds that are simulated after the last event"""


class Unplayable(ValueError):
    """What cannot be simulated: one sentence with the remedy for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


Nodes = Mapping[str, Configuration]
"""The configuration of each node, by its name."""


# What there is to name


def known(nodes: Nodes) -> Known:
    """What a scenario may name."""
    return Known(
        interfaces=interfaces(nodes),
        checks={name: [check.name for check in one.checks] for name, one in nodes.items()},
        routers={name: names(one) for name, one in nodes.items()},
    )


def names(configuration: Configuration) -> list[str]:
    """Of virtual routers, and of groups and services."""
    routers = [router.name for router in configuration.routers]
    services = [name.removesuffix("-ipv6") for name in routers if f"{name.removesuffix('-ipv6')}-ipv4" in routers]
    groups = [router.group for router in configuration.routers if router.group is not None]
    return list(dict.fromkeys([*routers, *services, *groups]))


def members(nodes: Nodes) -> dict[str, list[str]]:
    """What each name stands for: virtual routers, as ``Story`` calls them."""
    titles = _titles(nodes)
    found: dict[str, dict[str, None]] = {}
    for one in nodes.values():
        groups = {router.name: router.group for router in one.routers}
        wires = {router.name: _wire(router) for router in one.routers}
        for name in names(one):
            for router in chosen((name,), groups):
                found.setdefault(name, {})[titles[wires[router]]] = None
    return {name: list(routers) for name, routers in found.items()}


def _wire(router: VirtualRouter) -> Wire:
    return router.vrid, router.family


def _titles(nodes: Nodes) -> dict[Wire, str]:
    """What each virtual router is called: by the first node that has it."""
    found: dict[Wire, str] = {}
    for one in nodes.values():
        for router in one.routers:
            found.setdefault(_wire(router), router.name)
    return found


# The fabric


def interfaces(nodes: Nodes) -> dict[str, tuple[str, ...]]:
    """The uplinks of each node, in the order of the routers that they lead to."""
    named = {name: sorted(_interfaces(one)) for name, one in nodes.items()}
    most = max(FEWEST, *map(len, named.values()))
    return {name: tuple(_filled(found, most)) for name, found in named.items()}


def _interfaces(configuration: Configuration) -> set[str]:
    """Those that a configuration names."""
    return {one for router in configuration.routers for one in router.interfaces or ()}


def _filled(found: Sequence[str], most: int) -> Iterator[str]:
    yield from found
    spare = (f"eth{number}" for number in count() if f"eth{number}" not in found)
    for _ in range(most - len(found)):
        yield next(spare)


def sessions(configuration: Configuration, number: int, uplinks: int) -> list[tuple[Session, ...]]:
    """The BGP sessions of a node to each router: those that its configuration names, and one of each family."""
    found: list[list[Session]] = [[] for _ in range(uplinks)]
    for family in sorted({router.family for router in configuration.routers}, reverse=True):
        named = [one for one in _named(configuration) if one.peer.version == family]
        for place, one in enumerate(named):
            found[place % uplinks].append(Session(one.peer, one.local or _end(family, place % uplinks, number + 2)))
        for router, there in enumerate(found):
            if not any(one.peer.version == family for one in there):
                there.append(Session(_end(family, router, 1), _end(family, router, number + 2)))
    return [tuple(one) for one in found]


def _named(configuration: Configuration) -> list[Session]:
    """Each session that the configuration names, one for each peer and end."""
    found: dict[Session, None] = {}
    for router in configuration.routers:
        policy = router.route_policy
        levels = (policy.active, policy.standby, policy.leaving)
        for one in (*router.sessions_neighbors, *(session for level in levels for session in level.neighbors)):
            if not any(one.covers(other) for other in found):
                found[one] = None
    return list(found)


def _end(family: int, router: int, number: int) -> Address:
    """An address on the link between a router and a node."""
    if family == 4:
        return IPv4Address("10.0.0.0") + (router << 16) + number
    return IPv6Address("2001:db8::") + (router + 1 << 64) + number


def problems(nodes: Nodes, reloads: Mapping[Event, Configuration]) -> Iterator[str]:
    """What of the configurations cannot be simulated, one sentence with the remedy each."""
    uplinks, titles = interfaces(nodes), _titles(nodes)
    for event, one in reloads.items():
        if strange := sorted(_interfaces(one).difference(uplinks[event.node])):
            yield f"{event}: the file names {', '.join(strange)}, and {event.node} has {', '.join(uplinks[event.node])}"
        if plan(nodes[event.node], one).of(Effect.RESTARTS):
            yield f"{event}: the file changes what only a restart can change; exavrrp reload would refuse it"
        for router in one.routers:
            if _wire(router) not in titles:
                yield (
                    f"{event}: {router.name} has vrid {router.vrid} (IPv{router.family}), which no node has when the"
                    " play begins, and a reload to a new one is not simulated; keep the vrid, or play with the new"
                    " files from the beginning"
                )
    for name, one in [*nodes.items(), *((event.node, one) for event, one in reloads.items())]:
        for router in one.routers:
            if router.source is None:
                yield (
                    f"{name}: {router.name} has no source, and there is no host whose lo could tell it;"
                    f" write agent.sources with an IPv{router.family} address"
                )
            neighbors = router.route_policy.active.neighbors
            if neighbors and all(session.peer.version != router.family for session in neighbors):
                yield (
                    f"{name}: {router.name} is announced over sessions of the other family (RFC 8950), which is not"
                    " simulated; leave out next_hop and neighbors for that"
                )


# The play


class Stage:
    """The world of one seed."""

    def __init__(self, nodes: Nodes, terms: Terms, seed: int, reloads: Mapping[Event, Configuration]) -> None:
        """``reloads``: what each reload puts in force. Raises Unplayable."""
        if wrong := list(dict.fromkeys(problems(nodes, reloads))):
            raise Unplayable(wrong)
        self._terms = terms
        self._reloads = reloads
        self._names = list(nodes)
        self._titles = _titles(nodes)
        self._world = world = World(seed)
        self.story = Story(0.0, {title: [Span(0.0, Serving(wayless=True))] for title in self._titles.values()})
        self.story.journals = {name: [] for name in nodes}
        self._uplinks = interfaces(nodes)
        uplinks = len(next(iter(self._uplinks.values())))
        self._network = Network(world, len(nodes), uplinks, self._delay, self._deliver)
        policies = [router.route_policy for one in nodes.values() for router in one.routers]
        self._fabric = Fabric(
            world,
            uplinks,
            terms.hold,
            terms.convergence,
            internal=any(Takeover.LOCAL_PREFERENCE in policy.takeover for policy in policies),
            distinct=lambda: False,
            gathers=True,
        )
        self._around = Surroundings(
            world=world,
            network=self._network,
            fabric=self._fabric,
            temper=Temper(),
            numbers={
                router.source: number
                for number, one in enumerate(nodes.values())
                for router in one.routers
                if router.source is not None
            },
            neighbors=[() for _ in range(uplinks)],
            watching=Unwatched,
            log=self._log,
            ground_moved=lambda machine: machine.grounded(),
            enter=self._enter,
        )
        self._machines = [self._machine(number, name, one) for number, (name, one) in enumerate(nodes.items())]
        self._stopped: dict[str, Process] = {}
        """agents that are stopped, by node"""
        self._blocked: dict[tuple[object, ...], list[tuple[int, int, int]]] = {}
        """the paths that lose everything, by what has caused that"""
        self._stirred = 0
        """how often something has happened that only a look at everything shows"""
        self._seen: tuple[object, ...] = ()
        every = [router for one in (*nodes.values(), *reloads.values()) for router in one.routers]
        self._announced = all(router.announce for router in every)
        """whether routes alone decide who serves, at any time"""
        self._leading: dict[tuple[str, int], frozenset[int]] = {}
        self.latest: Event | None = None
        """what has happened last of the scenario"""

    def _machine(self, number: int, name: str, configuration: Configuration) -> Machine:
        return Machine(
            number=number,
            name=name,
            around=self._around,
            configuration=configuration,
            clock=Clock(self._world, self._world.random.uniform(0.0, 1e6), 1.0, 0.0),
            version=self._terms.exabgp,
            lateness=LATENESS,
            neighbors=sessions(configuration, number, len(self._fabric.routers)),
            interfaces=self._uplinks[name],
            checks=ScheduledChecks,
        )

    def _delay(self) -> float:
        return DELAY * self._world.random.uniform(0.5, 1.5)

    def _deliver(self, receiver: int, path: int, packet: Packet) -> None:
        self._machines[receiver].deliver(path, packet)

    def play(self, scenario: Scenario) -> Story:
        """Until some time after the last event."""
        self._world.look = self._look
        for machine in self._machines:
            self._world.at(STARTED * self._world.random.random(), machine.start)
        self._world.after(INTERVAL, self._beat)
        for event in scenario.events:
            self._world.at(event.at, self._act, event)
        last = scenario.events[-1].at
        self.story.end = max([last + self._terms.tail, *(_judged_at(one, scenario) for one in scenario.expectations)])
        self._world.run(self.story.end)
        return self.story

    # What happens

    def _beat(self) -> None:
        """All nodes send their beacons."""
        self._world.after(INTERVAL, self._beat)
        for machine in self._machines:
            machine.beat()

    def _act(self, event: Event) -> None:
        self._stirred += 1
        self.latest = event
        machine = self._machines[self._names.index(event.node)]
        if event.verb in (Verb.GRAY, Verb.MUTE, Verb.DEAFEN, Verb.PARTITION):
            self._block(event, machine)
        elif event.verb in (Verb.CLEAR, Verb.UNMUTE, Verb.UNDEAFEN, Verb.REJOIN):
            self._unblock(event, machine)
        elif event.verb in (Verb.CUT, Verb.MEND, Verb.RESET):
            self._links(event, machine)
        elif event.verb in (Verb.FREEZE, Verb.THAW):
            self._processes(event, machine)
        else:
            self._node(event, machine)

    def _node(self, event: Event, machine: Machine) -> None:
        match event.verb:
            case Verb.KILL if event.part is Part.AGENT:
                machine.kill_agent()
            case Verb.KILL if event.part is Part.EXABGP:
                machine.kill_exabgp()
            case Verb.KILL:
                machine.wanted = False
                machine.lose_power(carrier=True)
            case Verb.START:
                machine.wanted = True
                machine.start()
            case Verb.STOP:
                machine.wanted = False
                machine.shut_down()
            case Verb.REPLACE:
                machine.replace_agent()
            case Verb.FAIL | Verb.PASS:
                assert event.what is not None
                machine.check(event.what, passes=event.verb is Verb.PASS)
            case Verb.DRAIN:
                machine.drain(self._meant(machine, event.what))
            case Verb.UNDRAIN:
                machine.undrain(self._meant(machine, event.what))
            case _:
                assert event.verb is Verb.RELOAD
                machine.reconfigure(self._reloads[event])

    @staticmethod
    def _meant(machine: Machine, name: str | None) -> Sequence[str] | None:
        """The virtual routers that a name stands for, there and then; None: all."""
        groups = {router.name: router.group for router in machine.configuration.routers}
        try:
            return None if name is None else list(chosen((name,), groups))
        except Misunderstood:  # a reload has removed it
            return ()

    def _processes(self, event: Event, machine: Machine) -> None:
        freezes = event.verb is Verb.FREEZE
        if event.part is Part.EXABGP:
            (machine.stop_exabgp if freezes else machine.go_on_exabgp)()
        elif freezes:
            stopped = machine.stop_agent()
            if stopped is not None:
                self._stopped[event.node] = stopped
        elif event.node in self._stopped:
            machine.go_on(self._stopped.pop(event.node), alarms_first=self._world.random.random() < 0.5)

    def _links(self, event: Event, machine: Machine) -> None:
        for path, name in enumerate(self._uplinks[event.node]):
            if event.what not in (None, name):
                continue
            if event.verb is Verb.RESET:
                machine.flap(path)
            else:
                machine.switch_link(path, up=event.verb is Verb.MEND)

    def _block(self, event: Event, machine: Machine) -> None:
        """Some paths lose everything that goes over them."""
        ours, others = machine.number, {*range(len(self._machines))} - {machine.number}
        paths: Sequence[int] = range(len(self._uplinks[event.node]))
        sent, heard = True, True
        match event.verb:
            case Verb.GRAY:
                paths, heard = [self._uplinks[event.node].index(event.what or "")], False
            case Verb.MUTE:
                machine.mute()
            case Verb.DEAFEN:
                sent = False
            case _ if event.what is not None:
                others = {self._names.index(event.what)}
        ways = [(ours, other, path) for other, path in product(others, paths) if sent]
        ways += [(other, ours, path) for other, path in product(others, paths) if heard]
        self._blocked[_cause(event)] = ways
        self._settle_paths()

    def _unblock(self, event: Event, machine: Machine) -> None:
        if event.verb is Verb.UNMUTE:
            machine.unmute()
        undone = _cause(event)
        for cause in list(self._blocked):
            if cause == undone or (event.verb is Verb.REJOIN and event.what is None and event.node in cause):
                del self._blocked[cause]
        self._settle_paths()

    def _settle_paths(self) -> None:
        lost = {way for ways in self._blocked.values() for way in ways}
        for key, way in self._network.paths.items():
            way.cut = key in lost

    # What is seen

    def _enter(self, node: int, line: bytes) -> None:
        """Of the journals, what causes are told by."""
        entry, name = decoded(line), self._names[node]
        if entry is None or entry.event not in ENTERED:
            return
        self.story.journals[name].append(with_names(entry, self._peers()))
        if entry.event in BEGUN:
            words = BEGUN[entry.event].format(node=name)
            self.story.moments.append(Moment(self._world.now, None, words, self._last(name)))

    def _last(self, name: str) -> tuple[str, int]:
        """What a node has entered last."""
        return name, len(self.story.journals[name]) - 1

    def _peers(self) -> dict[str, str]:
        """The names of nodes by their addresses."""
        return {str(source): self._names[number] for source, number in self._around.numbers.items()}

    def _log(self, node: int, template: str, *values: object) -> None:
        """Of all that is logged, what is worth a line."""
        for line in values:
            if isinstance(line, Line) and line.event in WORDS:
                router = line.fields.get("router")
                wire = self._wire_of(node, router)
                title = None if wire is None else self._titles.get(wire)
                name = self._names[node]
                noted = self._last(name) if line.event == TRANSITION else None
                self.story.moments.append(Moment(self._world.now, title, self._words(line, name), noted))

    def _words(self, line: Line, node: str) -> str:
        """With the names of nodes for their addresses."""
        fields = {name: ", ".join(map(str, one)) if isinstance(one, list) else one for name, one in line.fields.items()}
        peer = self._peers().get(str(fields.get("peer")), fields.get("peer"))
        check = str(fields.get("check"))  # a name has no spaces, unlike "web's BGP sessions"
        fields["check"] = check if " " in check else f"check {check}"
        return WORDS[line.event].format_map({**fields, "node": node, "peer": peer})

    def _wire_of(self, node: int, router: object) -> Wire | None:
        routers = self._machines[node].configuration.routers
        return next((_wire(one) for one in routers if one.name == router), None)

    def _look(self) -> None:
        """Called after everything that happens."""
        bound = (frozenset(machine.lo) for machine in self._machines)
        key = (self._fabric.changes, self._stirred, *bound, *(() if self._announced else self._roles()))
        if key == self._seen:
            return
        self._seen = key
        for wire, title in self._titles.items():
            self.story.goes_on(title, self._world.now, self._serving(wire, title))

    def _roles(self) -> Iterator[object]:
        """What decides who serves a router that is not announced."""
        for machine in self._machines:
            agent = machine.agent
            yield (
                ()
                if agent is None
                else tuple(one.instance.router.role for one in agent.routers.values() if not one.configuration.announce)
            )

    def _serving(self, wire: Wire, title: str) -> Serving:
        there = {
            machine.number: router
            for machine in self._machines
            for router in machine.configuration.routers
            if _wire(router) == wire
        }
        every = [frozenset(router.addresses) for router in there.values()]
        addresses = sorted(frozenset.intersection(*every), key=int) if every else []
        if any(router.announce for router in there.values()):
            hops = [
                (router, address, self._fabric.hops(router, address))
                for router, address in product(range(len(self._fabric.routers)), addresses)
            ]
            self._note_ways(title, hops)
        else:
            active = {number for number in there if self._is_active(number, wire)}
            found = {number for number in active if self._is_found(self._machines[number], there[number])} or active
            hops = [(ANYHOW, address, {(ANYHOW, number) for number in found}) for address in addresses]
        answering: set[int] = set()
        astray: set[int] = set()
        for _, address, ways in hops:
            for through, number in ways:
                answers = number in there and self._answers(number, through, address, there[number])
                (answering if answers else astray).add(number)
        return Serving(
            tuple(self._names[one] for one in sorted(answering)),
            tuple(self._names[one] for one in sorted(astray)),
            not all(ways for _, _, ways in hops),
        )

    def _is_active(self, number: int, wire: Wire) -> bool:
        agent = self._machines[number].agent
        routers = [] if agent is None else agent.routers.values()
        roles = [one.instance.router.role for one in routers if _wire(one.configuration) == wire]
        return Role.ACTIVE in roles

    def _answers(self, number: int, through: int, address: Address, router: VirtualRouter) -> bool:
        """Whether the node answers what comes in through this uplink."""
        machine = self._machines[number]
        arrives = self._is_attached(machine, router) if through == ANYHOW else machine.up[through]
        bound = address in machine.lo or address not in router.on_lo
        weights = machine.configuration.weights(router)
        healthy = all(machine.verdicts.get(check, True) for check, weight in weights.items() if weight == 0)
        return arrives and bound and healthy and not machine.muted

    def _is_found(self, machine: Machine, router: VirtualRouter) -> bool:
        """Whether packets go to the node also if another one is Active: on a link, neighbors believe whom they hear."""
        return self._is_attached(machine, router) and (router.medium is None or not machine.muted)

    def _is_attached(self, machine: Machine, router: VirtualRouter) -> bool:
        """Whether the node is on its link or, where there is none, has any uplink."""
        medium, uplinks = router.medium, self._uplinks[machine.name]
        return any(machine.up) if medium is None else machine.up[uplinks.index(medium.interface)]

    def _note_ways(self, title: str, hops: Sequence[tuple[int, Address, set[tuple[int, int]]]]) -> None:
        """Where each router sends packets, if that is a new one."""
        for router in range(len(self._fabric.routers)):
            nodes = frozenset(number for one, _, ways in hops if one == router for _, number in ways)
            before = self._leading.get((title, router), frozenset())
            if nodes != before:
                self._leading[title, router] = nodes
                led = " and ".join(self._names[one] for one in sorted(nodes))
                words = f"router {router + 1} sends packets to {led}" if led else f"router {router + 1} knows no way"
                self.story.moments.append(Moment(self._world.now, title, words))


def _judged_at(one: Expectation, scenario: Scenario) -> float:
    """When it is known whether an expectation is met, and a little later."""
    return (scenario.events[0].at if one.after is None else one.after) + one.within + 1.0


def _cause(event: Event) -> tuple[object, ...]:
    """Who has blocked paths, the same for what ends that."""
    ended = {Verb.CLEAR: Verb.GRAY, Verb.UNMUTE: Verb.MUTE, Verb.UNDEAFEN: Verb.DEAFEN, Verb.REJOIN: Verb.PARTITION}
    verb = ended.get(event.verb, event.verb)
    if verb is Verb.PARTITION:
        return (verb, *sorted(filter(None, (event.node, event.what))))
    return (verb, event.node, event.what)


BEGUN = {BEGAN: "{node}: the agent starts", CARES: "{node}: a caretaker starts"}
"""What is told of the beginnings of processes."""

ENTERED = frozenset({TRANSITION, DETACHED, ENDING, *BEGUN})
"""Entries of journals by which causes are told."""

WORDS = {
    "transition": "{node}: {before} -> {after} ({reason})",
    "address-bound": "{node} has bound {addresses}",
    "address-unbound": "{node} has unbound {addresses}",
    "route-announced": "{node} has announced {prefixes} as {state} (ExaBGP answered)",
    "route-withdrawn": "{node} has withdrawn {prefixes}",
    "check-changed": "{node}: {check}: {result}",
    "drain-started": "{node}: draining",
    "drain-completed": "{node}: drained",
    "drain-refused": "{node}: drain refused: {detail}",
    "drain-cancelled": "{node}: drain cancelled",
    "drain-ended": "{node}: undrained",
    "path-quiet": "{node}: adverts of {peer} no longer arrive on {interface}",
    "path-restored": "{node}: adverts of {peer} arrive again on {interface}",
    "peer-deaf": "{node}: {peer} does not hear us",
    "peers-unreachable": "{node} has no route to any peer",
    "exabgp-stalled": "{node}: ExaBGP stands still",
    "exabgp-resumed": "{node}: ExaBGP answers again",
}
"""What is told of the nodes' logs, by the event."""
