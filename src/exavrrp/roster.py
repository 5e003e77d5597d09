"""The virtual routers of a node: those of its configuration, and those that leave; pure.

The first configuration is there before the node begins, and each port gets its first set at the start. Another one may
take the place of the one before while the node works. A virtual router is the same as before if its name, family, VRID
and source are, and those of all who move with it: it goes on with other settings, and only what has changed is done
(``VirtualRouter.configure``). Every other one leaves, in its order and within a limit. One that has anything in common
with those that leave (a name, a VRID of a source, an address, a prefix) begins when they are gone. At a stop all leave,
and nobody comes.

``Roster`` owns who is there, and hands each port the set that all of them need: first more, and when those that leave
are gone, less. It must not know why a node starts or ends.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from exavrrp import events, ports
from exavrrp.adverts import PRIORITY_ZERO_REPEATS
from exavrrp.config import Check, Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.elections import Elections, Record, Team
from exavrrp.fitness import Fitness, used_checks
from exavrrp.leftovers import Leftovers
from exavrrp.notes import Notes
from exavrrp.reception import Reception, sources
from exavrrp.routes import Network, Route
from exavrrp.virtual_router import Shared, VirtualRouter
from exavrrp.vrrp import auth
from exavrrp.vrrp.auth import Flow

LEAVE_LIMIT = 10.0
"""Seconds for a router that is not configured any more to hand over in its order; nobody waits for it."""

GONE = "not in the configuration any more"
"""Why such a router leaves."""


class Notifier(ports.Notifier, Protocol):
    """Who is told of transitions."""

    def set(self, routers: Iterable[RouterConfiguration]) -> None:
        """Tell of exactly these from now on; one that stays keeps what waits. Raises nothing."""


class Checks(ports.Checks, Protocol):
    """What carries out the health checks."""

    def set(self, checks: Iterable[Check]) -> None:
        """Carry out exactly these; one that stays as it is keeps its beats. Nothing is told of one that is gone."""


class Marks(auth.Marks, Protocol):
    """Where the numbers of signed adverts are kept, of this process and for the next one."""

    def set(self, flows: Collection[Flow]) -> int:
        """Have room for exactly these; how many of them were known. Those that stay keep their numbers."""


Entrance = Callable[[str, tuple[object, ...], Callable[[], None]], None]
"""Takes the name of a method of a node, its arguments, and what it does; which is done within the call."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node acts through."""

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
    """what the speaker has been told to know besides ``owned``"""
    changed: Callable[[], None]
    """called after events, when a command may have got what it waits for, or the node has ended"""
    seals: auth.Seals = auth.HMAC
    """who has the keys of signed adverts"""
    record: Record | None = None
    """is told of the events of elections"""
    entrance: Entrance | None = None
    """is told of whatever comes in"""


def owned(routers: Iterable[RouterConfiguration]) -> list[Route]:
    """Every prefix that may be announced, in every form of it, the likeliest first; what a speaker has to know."""
    return [route for router in routers for network in router.owned for route in router.route_policy.routes(network)]


def flows(routers: Iterable[RouterConfiguration]) -> list[Flow]:
    """Whose adverts are signed, or verified, and so numbered."""
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


def _identities(team: Iterable[RouterConfiguration]) -> set[tuple[object, ...]]:
    return {(router.name, router.family, router.vrid, router.source) for router in team}


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
        """by name, in the order of the configuration, those that leave among them"""
        self.by_network: dict[Network, VirtualRouter] = {}
        self.configuration = configuration
        self.ending = False
        """whether nobody comes any more, and whoever has left stays known"""
        self.abandoned = False
        """whether the time was too short for somebody who had to leave"""
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
        self._leaving: dict[Team, float] = {}
        """those that are to be there no longer, and when their last priority 0 has been sent"""
        self._left: set[Team] = set()
        """those of them that have left"""
        self._drained: set[str] = set()
        """routers that were drained when they had to leave: who takes their place stays out"""
        self._found()

    def start(self) -> None:
        """Give each port its first set. Raises OSError, ValueError."""
        self._hand_out(self.configuration, ())

    # Another configuration

    def take(self, new: Configuration) -> None:
        """Have the routers of ``new``. Raises OSError or ValueError, and then nothing has changed."""
        old, teams = self.configuration, _teams(new)
        staying = [team for team in self._elections.teams if team not in self._leaving]
        gone = [team for team in staying if _identities(team.configurations) != _identities(teams.get(team.name, ()))]
        try:
            self._hand_out(new, [*self._leaving, *gone], owned(old.routers))
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # what they have already, most often
                self._hand_out(old, self._leaving)
            raise
        self.configuration = new
        if gone:
            self._retire(gone, GONE, LEAVE_LIMIT)
        self._change(old, new)
        self._own(new, self._leaving)
        self._know(new)
        self._found()

    def _hand_out(self, configuration: Configuration, leaving: Collection[Team], others: Iterable[Route] = ()) -> None:
        """Give each port the set that the routers of ``configuration`` need, and those that leave.

        ``others``: routes that are to be withdrawn later than now. Raises OSError, ValueError.
        """
        given, routers = self._given, _all(configuration, leaving)
        given.transports.set(sources(routers))
        given.paths.set(dict.fromkeys(router.interfaces for router in routers))
        self._own(configuration, leaving, others)
        given.marks.set(flows(routers))
        given.addresses.own(frozenset(address for router in routers for address in router.addresses))
        given.notifier.set({router.name: router for router in routers}.values())
        given.checks.set(used_checks(configuration))

    def _own(self, configuration: Configuration, leaving: Collection[Team], others: Iterable[Route] = ()) -> None:
        """Tell ExaBGP what may be announced; what it was told before and is not among that is withdrawn."""
        ours = owned(_all(configuration, leaving))
        networks = {route.network for route in ours}
        more = (route for route in (*self._leftovers.routes, *others) if route.network not in networks)
        self._given.speaker.own((*ours, *more))

    def _shrink(self) -> None:
        """What nobody wanted is cleared."""
        if not self.ending:
            self._own(self.configuration, self._leaving)

    def _know(self, configuration: Configuration) -> None:
        """What comes in is for those that are there now; they stand in the order of ``configuration``."""
        places = {router.name: number for number, router in enumerate(configuration.routers)}
        ordered = sorted(self.routers.items(), key=lambda one: places.get(one[0], len(places)))
        self.routers.clear()
        self.routers.update(ordered)
        self._reception.take(configuration.agent.max_hops, self.routers.values())
        self._fitness.take(configuration, [name for name in self.routers if name not in places])

    def _change(self, old: Configuration, new: Configuration) -> None:
        """Those that stay may have something else to do; of others nothing is touched."""
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
        """What it serves no longer is withdrawn, unless another router takes it, and stays bound until then."""
        after = router.configuration
        for network in before.owned:
            if self.by_network.get(network) is router:
                del self.by_network[network]
        self.by_network.update(dict.fromkeys(after.owned, router))
        for team in self._leaving:
            for one in team.routers:
                one.give_up(after.addresses, after.owned)
        networks = [network for network in before.announce if network not in after.announce]
        addresses = [address for address in before.addresses if address not in after.addresses]
        taken = {network for one in self.routers.values() for network in one.configuration.announce}
        self._shared.announcer.withdraw(network for network in networks if network not in taken)
        self._shared.binding.disown(addresses, router.on_lo)
        policy = before.route_policy.leaving
        self._leftovers.add(addresses, [Route(network, policy) for network in networks], before.linger)

    # Who comes

    def _found(self) -> None:
        """Begin with those of the configuration that are not there, unless somebody has to leave before."""
        claimed = {one for team in self._leaving for router in team.configurations for one in _claims(router)}
        found: list[Team] = []
        for name, configurations in _teams(self.configuration).items():
            is_there = any(team.name == name for team in self._elections.teams)
            if not is_there and not any(one in claimed for router in configurations for one in _claims(router)):
                routers = [self._make(one) for one in configurations]
                found.append(self._elections.add(name, routers))
        if found:
            self._know(self.configuration)
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
        """All leave, within ``limit`` seconds, and stay known: this node stops. The ports keep what they have.

        Those that were leaving already have no more time than the others.
        """
        self.ending = True
        self._left.clear()  # they are counted with the others
        self._retire(list(self._elections.teams), why, limit)

    def _retire(self, teams: Collection[Team], why: str, limit: float) -> None:
        """They leave in their order; who has not left after ``limit`` is cleared."""
        timers = self._shared.timers
        for team in teams:
            self._drained.update(router.name for router in team.routers if router.drain.wanted)
            self._leaving.setdefault(team, timers.time() + 2 * PRIORITY_ZERO_REPEATS[-1])
        timers.call_later(limit, self._give_up, teams)
        timers.call_later(2 * PRIORITY_ZERO_REPEATS[-1], self.look, teams)
        for team in teams:
            self._elections.stop(team, why, limit)

    def _give_up(self, teams: Iterable[Team]) -> None:
        """Their time is over: first what nobody else would do, and then what the routers have to say of it."""
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
        """These may have left, if they had to: out of the election, unbound, and their last priority 0 is sent."""
        now = self._shared.timers.time()
        left = [one for one in teams if one in self._leaving and now >= self._leaving[one] and one.finished]
        left = [one for one in left if one not in self._left]
        self._left.update(left)
        if not self.ending:
            for team in left:
                self._shared.after_adverts(partial(self._dismiss, team))  # after what was put off for it
        elif left and len(self._left) == len(self._leaving):
            self._all_left()

    def _dismiss(self, team: Team) -> None:
        """It is gone: nothing of it is needed any more."""
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
        self._know(self.configuration)
        try:
            self._hand_out(self.configuration, self._leaving)
        except (OSError, ValueError) as error:
            self._shared.log.error("reconfigure-incomplete", detail=str(error))
        self._found()
