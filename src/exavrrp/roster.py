"""The virtual routers of a node: those of its configuration, and those that are leaving; pure.

The first configuration is known before the node starts, and each port gets its first set at the start. A running node
can be given another configuration. A virtual router is the same as before if its family, VRID, source, transport and
interface are, and those of all members of its group, whatever they are called. It continues, and only changed settings
are applied (``VirtualRouter.configure``). Every other router leaves in its configured order, within a time limit. A new
router that has anything in common with a leaving one (name, VRID and source, address, prefix) starts when that one is
gone. At a stop all leave, and none starts.

``Roster`` owns the list of routers. It hands each port the set that all of them need: first the union of old and new,
and a smaller one when the leaving routers are gone. It must not know why a node starts or ends.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from exavrrp import events, ports
from exavrrp.config import Check, Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.elections import Elections, Record, Team
from exavrrp.fitness import Fitness, used_checks
from exavrrp.leftovers import Leftovers
from exavrrp.notes import Notes
from exavrrp.presence import SETTLE, Handover
from exavrrp.reception import Reception, media, sources
from exavrrp.routes import Network, Route
from exavrrp.virtual_router import Shared, VirtualRouter
from exavrrp.vrrp import auth
from exavrrp.vrrp.auth import Flow

LEAVE_LIMIT = 10.0
"""Seconds for a router that is not configured any more to hand over; nothing else waits for that."""

NOT_CONFIGURED = "not in the configuration any more"
"""Why such a router leaves."""


class Notifier(ports.Notifier, Protocol):
    """Notify programs, FIFOs and sockets, as the roster needs them."""

    def rename(self, names: Mapping[str, str]) -> None:
        """Routers are called otherwise from now on (now → then), and keep what waits for them; ``set`` comes next."""

    def set(self, routers: Iterable[RouterConfiguration]) -> None:
        """Notify about exactly these routers; one that stays keeps its pending notifications. Raises nothing."""


class Checks(ports.Checks, Protocol):
    """What runs the health checks."""

    def set(self, checks: Iterable[Check]) -> None:
        """Run exactly these; an unchanged one keeps its schedule. No result of a removed one is reported."""


class Marks(auth.Marks, Protocol):
    """The replay counters of signed adverts, kept for the next process."""

    def set(self, flows: Collection[Flow]) -> int:
        """Keep counters for exactly these flows; return how many were known. Flows that stay keep their counters."""


Entrance = Callable[[str, tuple[object, ...], Callable[[], None]], None]
"""Takes the name of a method of a node, its arguments, and what it does; which is done within the call."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of a node."""

    clock: ports.Clock
    realtime: Callable[[], float]
    """seconds since the epoch, by the clock on the wall"""
    log: ports.LimitedLog
    transports: ports.Transports
    paths: ports.Routing
    addresses: ports.Addresses
    speaker: ports.Speaker
    notifier: Notifier
    memory: ports.Memory
    marks: Marks
    checks: Checks
    forgotten: ports.Forgotten
    """what the speaker knows besides ``owned``: leftovers of an earlier configuration"""
    changed: Callable[[], None]
    """called after events: the condition that a command waits for may be met, or the node may have ended"""
    authenticator: auth.Authenticator = auth.HMAC
    """makes and compares the codes of signed adverts"""
    record: Record | None = None
    """takes every event of the elections"""
    entrance: Entrance | None = None
    """wraps every call that brings something into the node"""
    enter: Callable[[bytes], None] = lambda _: None
    """takes each line of the node's journal (``chronicle``), and returns at once"""
    beacons: ports.Beacons | None = None
    """sends the beacons; None: there are none. No recording has them, as nothing that a node decides depends on them"""


def owned(routers: Iterable[RouterConfiguration]) -> list[Route]:
    """Every prefix that may be announced, in each of its forms, the likeliest first (``ports.Speaker.own``)."""
    return [route for router in routers for network in router.owned for route in router.route_policy.routes(network)]


def flows(routers: Iterable[RouterConfiguration]) -> list[Flow]:
    """The flows of signed adverts, sent and received, which have replay counters."""
    return [
        Flow(router.source, sender, router.vrid)
        for router in routers
        if router.authentication is not None and router.source is not None
        for sender in (router.source, *router.peers)
    ]


def _teams(configuration: Configuration) -> dict[str, list[RouterConfiguration]]:
    """The routers that move together, by the name of their team; who names no group moves alone."""
    teams: dict[str, list[RouterConfiguration]] = {}
    for router in configuration.routers:
        # No router is called like a group: names have no spaces.
        teams.setdefault(router.name if router.group is None else f"group {router.group}", []).append(router)
    return teams


def _identity(team: Iterable[RouterConfiguration]) -> frozenset[tuple[object, ...]]:
    return frozenset(router.identity for router in team)


def _sharing(old: Configuration, new: Configuration) -> Configuration:
    """``new``, whose routers are the same objects as those of ``old`` if they are equal: then nothing is made anew."""
    there = {one.identity: one for one in old.routers}
    pairs = ((there.get(one.identity), one) for one in new.routers)
    return replace(new, routers=tuple(one if before is None or before != one else before for before, one in pairs))


def _free(name: str, taken: Collection[str]) -> str:
    """``name``, or one like it that nobody has: no configured one has spaces."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name} (leaving {number})"
    return found


def _all(configuration: Configuration, leaving: Iterable[Team]) -> list[RouterConfiguration]:
    """What all routers are to do, and those that leave."""
    return [*(one for team in leaving for one in team.configurations), *configuration.routers]


def _claims(router: RouterConfiguration) -> set[object]:
    """What no two routers have in common."""
    return {router.name, (router.source, router.vrid), *router.addresses, *router.owned}


class Roster:
    """All virtual routers of a node."""

    def __init__(
        self,
        configuration: Configuration,
        given: Ports,
        shared: Shared,
        *,
        elections: Elections,
        fitness: Fitness,
        reception: Reception,
        notes: Notes,
        leftovers: Leftovers,
        join: Callable[[Team, Collection[str]], None],
        left: Callable[[], None],
    ) -> None:
        """``join`` is called with each team that is new, and those of its members that were drained before.

        ``left`` is called when all have left for good.
        """
        self.routers: dict[str, VirtualRouter] = {}
        """by name, in the order of the configuration, leaving ones included"""
        self.by_network: dict[Network, VirtualRouter] = {}
        self.configuration = configuration
        self.ending = False
        """whether the node stops: no router starts any more, and those that have left stay in the list"""
        self.abandoned = False
        """whether a router could not leave within the limit"""
        self._given = given
        self._shared = shared
        self._elections = elections
        self._fitness = fitness
        self._reception = reception
        self._notes = notes
        self._leftovers = leftovers
        self._join = join
        self._all_left = left
        leftovers.cleared = self._shrink
        self._leaving: dict[Team, None] = {}
        """those that leave"""
        self._left: set[Team] = set()
        """those of ``_leaving`` that have left"""
        self._declared: tuple[Route, ...] = ()
        """what ExaBGP's client was told last of what may be announced"""
        self._owned: list[tuple[RouterConfiguration, list[Route]]] = []
        """each router, and what of that is its own"""
        self._drained: set[str] = set()
        """those that are leaving, or do not exist: the routers that get these names stay out of the election"""
        self._start_missing()

    def start(self) -> None:
        """Give each port its first set. Raises OSError, ValueError."""
        self._hand_out(self.configuration, ())

    # Another configuration

    def take(self, new: Configuration) -> None:
        """Apply the configuration ``new``. Raises OSError or ValueError; nothing has changed then."""
        old = self.configuration
        new = _sharing(old, new)
        teams = {_identity(members): (name, members) for name, members in _teams(new).items()}
        staying = [team for team in self._elections.teams if team not in self._leaving]
        gone = [team for team in staying if _identity(team.configurations) not in teams]
        leaving = [*self._leaving, *gone]
        try:
            self._acquire(new, leaving, self._declared)
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # what they have already, most often
                self._acquire(old, self._leaving)
            raise
        self._rename({team: teams[_identity(team.configurations)] for team in staying if team not in gone}, leaving)
        self._provide(new, leaving)
        self.configuration = new
        if gone:
            self._retire(gone, NOT_CONFIGURED, LEAVE_LIMIT)
        self._change(old, new)
        self._own(new, self._leaving)
        self._register(new)
        self._start_missing()
        self._leftovers.note()

    def _hand_out(self, configuration: Configuration, leaving: Collection[Team]) -> None:
        """Give each port the set that the routers of ``configuration`` and the ``leaving`` ones need.

        Raises OSError, ValueError.
        """
        self._acquire(configuration, leaving)
        self._provide(configuration, leaving)

    def _acquire(self, configuration: Configuration, leaving: Collection[Team], others: Iterable[Route] = ()) -> None:
        """What a port may refuse: raises OSError, ValueError. The paths in use stay until nothing is refused any more.

        ``others``: routes that must stay known because they are withdrawn later.
        """
        given, routers = self._given, _all(configuration, leaving)
        given.transports.set(sources(routers), media(routers))
        given.paths.set(dict.fromkeys(one.interfaces for one in (*routers, *self.configuration.routers)))
        self._own(configuration, leaving, others)

    def _provide(self, configuration: Configuration, leaving: Collection[Team]) -> None:
        """What no port refuses."""
        given, routers = self._given, _all(configuration, leaving)
        given.paths.set(dict.fromkeys(router.interfaces for router in routers))
        given.marks.set(flows(routers))
        given.addresses.own([one for router in routers for one in router.virtual_addresses if one.bind])
        given.notifier.set({router.name: router for router in routers}.values())
        given.checks.set(used_checks(configuration))

    def _rename(
        self, staying: Mapping[Team, tuple[str, Collection[RouterConfiguration]]], leaving: Collection[Team]
    ) -> None:
        """Call the ``staying`` teams and their routers what the new configuration calls them.

        A leaving router whose name another one takes is called otherwise until it has left.
        """
        called = {one.identity: one.name for _, members in staying.values() for one in members}
        names = {one.name: called[one.configuration.identity] for team in staying for one in team.routers}
        taken = set(names.values())
        titles = {team: name for team, (name, _) in staying.items()}
        for team in leaving:
            for router in team.routers:
                names[router.name] = _free(router.name, taken)
                taken.add(names[router.name])
            titles[team] = _free(team.name, titles.values())
        names = {before: after for before, after in names.items() if before != after}
        changed = {team: title for team, title in titles.items() if team.name != title or team.is_any(names)}
        if not changed:
            return
        self._elections.rename(changed, names)
        self._fitness.rename(names)
        self._given.notifier.rename(names)
        self._drained -= {*names, *names.values()}  # of the routers that had these names
        self._notes.rename(names)
        renamed = {router.name: router for team in changed for router in team.routers}
        routers = {names.get(name, name): router for name, router in self.routers.items()}
        self.routers.clear()
        self.routers.update(routers)
        for before, after in names.items():
            self._shared.log.info("router-renamed", router=after, before=before)
            self._notes.remember(renamed[after])

    def _own(self, configuration: Configuration, leaving: Collection[Team], others: Iterable[Route] = ()) -> None:
        """Declare what may be announced; ExaBGP withdraws whatever was declared before and is not any more."""
        routers = _all(configuration, leaving)
        known = {id(one): (one, routes) for one, routes in self._owned}
        self._owned = [known.get(id(one)) or (one, owned([one])) for one in routers]
        ours = [route for _, routes in self._owned for route in routes]
        networks = {route.network for route in ours}
        more = [route for route in (*self._leftovers.routes, *others) if route.network not in networks]
        if (declared := (*ours, *more)) != self._declared:
            self._given.speaker.own(declared)
            self._declared = declared

    def _shrink(self) -> None:
        """The leftovers are cleared: do not declare their routes any more."""
        if not self.ending:
            self._own(self.configuration, self._leaving)

    def _register(self, configuration: Configuration) -> None:
        """Sort the routers as in ``configuration``, and register them for packets, checks and sessions."""
        places = {router.name: number for number, router in enumerate(configuration.routers)}
        ordered = sorted(self.routers.items(), key=lambda one: places.get(one[0], len(places)))
        self.routers.clear()
        self.routers.update(ordered)
        self._reception.take(configuration.agent.max_hops, self.routers.values())
        self._fitness.take(configuration, [name for name in self.routers if name not in places])

    def _change(self, old: Configuration, new: Configuration) -> None:
        """Apply changed settings to the routers that stay."""
        changed: list[tuple[VirtualRouter, RouterConfiguration]] = []
        for configuration in new.routers:
            router = self.routers.get(configuration.name)
            if router is None or self._elections.team_of[router.name] in self._leaving:
                continue
            before, policy, checksum = router.configuration, new.policy(configuration), new.agent.ipv4_checksum
            if (before, router.policy, old.agent.ipv4_checksum) != (configuration, policy, checksum):
                self._shared.log.info("router-reconfigured", router=router.name)
                router.configure(configuration, self._given.paths[configuration.interfaces], policy, checksum)
                changed.append((router, before))
        for router, before in changed:
            self._leave_behind(router, before)

    def _leave_behind(self, router: VirtualRouter, before: RouterConfiguration) -> None:
        """See to what a router does not have any more, and to what it takes from those that are leaving."""
        after = router.configuration
        for network in before.owned:
            if self.by_network.get(network) is router:
                del self.by_network[network]
        self.by_network.update(dict.fromkeys(after.owned, router))
        for team in self._leaving:
            for one in team.routers:
                had = one.configuration
                one.give_up(after.addresses, after.owned)
                self._let_go(one, had)
        self._let_go(router, before)

    def _let_go(self, router: VirtualRouter, before: RouterConfiguration) -> None:
        """Withdraw the prefixes that a router does not have any more, unless another router takes them.

        The addresses stay bound until that is confirmed, and longer where another router wants them.
        """
        after = router.configuration
        networks = [network for network in before.announce if network not in after.announce]
        addresses = [address for address in before.on_lo if address not in after.on_lo]
        if not networks and not addresses:
            return
        taken = {network for one in self.routers.values() for network in one.configuration.announce}
        self._shared.announcer.withdraw(network for network in networks if network not in taken)
        self._shared.binding.disown(addresses, router.on_lo)
        policy = before.route_policy.leaving
        linger = SETTLE if before.handover is Handover.BREAK_BEFORE_MAKE else before.linger
        self._leftovers.add(addresses, [Route(network, policy) for network in networks], linger)

    # Who comes

    def hold_out(self, name: str, *, undo: bool) -> None:
        """A router is drained, or (``undo``) is so no longer: one that does not exist yet, or waits for another."""
        if name not in self.routers or self._elections.team_of[name] in self._leaving:
            (self._drained.discard if undo else self._drained.add)(name)

    def _start_missing(self) -> None:
        """Start the configured routers that do not exist yet, except those that wait for a leaving one."""
        claimed = {one for team in self._leaving for router in team.configurations for one in _claims(router)}
        there = {_identity(team.configurations) for team in self._elections.teams if team not in self._leaving}
        found: list[Team] = []
        for name, configurations in _teams(self.configuration).items():
            is_there = _identity(configurations) in there
            if not is_there and not any(one in claimed for router in configurations for one in _claims(router)):
                routers = [self._make(one) for one in configurations]
                found.append(self._elections.add(name, routers))
        if found:
            self._register(self.configuration)
        for team in found:
            drained = {router.name for router in team.routers} & self._drained
            self._drained -= drained
            self._join(team, drained)

    def _make(self, configuration: RouterConfiguration) -> VirtualRouter:
        source = configuration.source
        assert source is not None, "load() was given the addresses on lo"
        router = VirtualRouter(
            configuration,
            self._shared,
            self._given.transports[source],
            self._given.paths[configuration.interfaces],
            policy=self.configuration.policy(configuration),
            ipv4_checksum=self.configuration.agent.ipv4_checksum,
        )
        self.routers[router.name] = router
        self.by_network.update(dict.fromkeys(configuration.owned, router))
        self._shared.binding.add(router.on_lo)
        return router

    # Who leaves

    def leave(self, why: str, limit: float) -> None:
        """The node stops: have all routers leave within ``limit`` seconds.

        They stay in the list, and the ports keep their sets. Routers that were leaving already get no more time.
        """
        self.ending = True
        self._left.clear()  # they are counted with the others
        self._retire(list(self._elections.teams), why, limit)

    def _retire(self, teams: Collection[Team], why: str, limit: float) -> None:
        """Have these teams leave in their configured order; clear those that have not left after ``limit`` seconds."""
        timers = self._shared.timers
        for team in teams:
            self._drained.update(router.name for router in team.routers if router.drain.wanted)
            self._leaving[team] = None
        timers.call_later(limit, self._give_up, teams)
        for team in teams:
            self._elections.stop(team, why, limit)

    def _give_up(self, teams: Iterable[Team]) -> None:
        """The time is over: withdraw and unbind what is left, then let the routers know."""
        late = [team for team in teams if team in self._leaving and team not in self._left]
        if not late:
            return
        self.abandoned = self.ending
        routers = [router for team in late for router in team.routers]
        self._shared.announcer.withdraw(network for router in routers for network in router.announcement.networks)
        self._shared.announcer.flush()
        self._shared.binding.clear(address for router in routers for address in router.on_lo.addresses)
        for team in late:
            self._elections.tell_team(team, events.Abandon())

    def look(self, teams: Iterable[Team]) -> None:
        """Check which of these leaving teams have left: out of the election, unbound, and the last priority 0 sent."""
        if not self._leaving:
            return
        timers, left = self._shared.timers, list[Team]()
        for team in [one for one in teams if one in self._leaving and one not in self._left and one.finished]:
            # In break before make the first priority 0 has only just been sent.
            until = max(router.adverts.resigned_until for router in team.routers)
            if timers.time() >= until:
                left.append(team)
            else:
                timers.call_at(until, self.look, [team])
        self._left.update(left)
        if not self.ending:
            for team in left:
                self._shared.after_adverts(partial(self._remove, team))  # after what was put off for it
        elif left and len(self._left) == len(self._leaving):
            self._all_left()

    def _remove(self, team: Team) -> None:
        """Remove a team that has left, and start the routers that waited for that."""
        if self.ending:
            return
        del self._leaving[team]
        self._left.remove(team)
        self._elections.remove(team)
        for router in team.routers:
            router.close()
            del self.routers[router.name]
            self.by_network = {network: one for network, one in self.by_network.items() if one is not router}
            self._shared.binding.disown(router.on_lo.addresses, router.on_lo)
            self._notes.forget(router.name)
        self._register(self.configuration)
        try:
            self._hand_out(self.configuration, self._leaving)
        except (OSError, ValueError) as error:
            self._shared.log.error("reconfigure-incomplete", detail=str(error))
        self._start_missing()
        self._leftovers.note()
