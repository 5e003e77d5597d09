"""The routers' side of BGP: which node a packet to a virtual address would reach.

``Fabric`` owns the tables of the top-of-rack routers. Each has a session to every node and picks by what the routes
say: local preference (from iBGP neighbors), length of the path, MED (always compared), and takes all that tie; one
without a route of its own sends packets through the others, which are farther away. A session that is closed takes its
routes with it; a node that dies with its links up leaves them for the hold time, as real routers do. It must not know
of elections, or of what a node meant to announce.

One promise is looked after here: where takeover is by MED, no two nodes' routes as Actives ever tie, so that no router
spreads packets over two of them, whatever they have heard of each other; be it a stale one, of a node that is dead.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from exavrrp.routes import DEFAULT_LOCAL_PREFERENCE, Network
from exavrrp.simulation.network import Address
from exavrrp.simulation.world import Handle, Violation, World

LARGEST = 0xFFFFFFFF

NO_ACTIVE = LARGEST - 256
"""The least MED of a route that no Active announces, but a Backup or a node that leaves."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The attributes that decide, as they stand in an UPDATE."""

    med: int | None
    preference: int | None
    as_path: tuple[int, ...]

    def rank(self, *, internal: bool) -> tuple[int, int, int]:
        """The smaller, the better (RFC 4271 §9.1.2)."""
        preference = DEFAULT_LOCAL_PREFERENCE if self.preference is None else self.preference
        length = len(self.as_path) or (0 if internal else 1)
        return (LARGEST - preference if internal else 0, length, self.med or 0)


@dataclass(slots=True)
class Router:
    """One top-of-rack router."""

    routes: dict[Network, dict[int, Announced]] = field(default_factory=dict)
    """prefix → node → route"""
    sessions: set[int] = field(default_factory=set)
    """the nodes whose session is Established, as this router believes"""
    generations: dict[int, int] = field(default_factory=dict)
    """how many sessions each node has had here"""
    holding: dict[int, Handle] = field(default_factory=dict)
    """the hold timers of nodes that have gone silent"""
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """what it knows, and has yet to act upon"""


class Fabric:
    """All routers."""

    def __init__(
        self,
        world: World,
        routers: int,
        hold: float,
        delay: float,
        *,
        internal: bool,
        distinct: Callable[[], bool],
        gathers: bool = False,
    ) -> None:
        """``hold``: seconds until a silent neighbor's routes are forgotten; ``delay``: until an UPDATE counts.

        ``distinct``: whether no two Actives' routes may tie now, since takeover is by MED. ``gathers``: a router acts
        upon all that has come, ends of sessions as well, so many seconds after the first of it, as BIRD and FRR do;
        otherwise upon each UPDATE by itself, and upon the end of a session at once.
        """
        self.routers = [Router() for _ in range(routers)]
        self.changes = 0
        self._world = world
        self.hold = hold
        self._delay = delay
        self.internal = internal
        """whether the sessions are iBGP"""
        self._distinct = distinct
        self._gathers = gathers

    def opened(self, router: int, node: int) -> None:
        """A new session: the routes of this neighbor are forgotten."""
        self.closed(router, node)
        self.routers[router].sessions.add(node)

    def closed(self, router: int, node: int) -> None:
        one = self.routers[router]
        timer = one.holding.pop(node, None)
        if timer is not None:
            timer.cancel()
        one.sessions.discard(node)
        one.generations[node] = one.generations.get(node, 0) + 1
        if self._gathers:
            self._gather(router, partial(self._forget, router, node))
        else:
            self._forget(router, node)

    def _forget(self, router: int, node: int) -> None:
        for routes in self.routers[router].routes.values():
            if routes.pop(node, None) is not None:
                self.changes += 1

    def _gather(self, router: int, act: Callable[[], None]) -> None:
        waiting = self.routers[router].waiting
        if not waiting:
            self._world.after(self._delay, self._act, router)
        waiting.append(act)

    def _act(self, router: int) -> None:
        one = self.routers[router]
        acts, one.waiting = one.waiting, []
        for act in acts:
            act()

    def muted(self, router: int, node: int) -> None:
        """The neighbor has stopped silently, with its link up."""
        one = self.routers[router]
        if node in one.sessions and node not in one.holding:
            one.holding[node] = self._world.after(self.hold, self.closed, router, node)

    def heard_again(self, router: int, node: int) -> bool:
        """The neighbor goes on; whether its session is still Established here."""
        one = self.routers[router]
        timer = one.holding.pop(node, None)
        if timer is not None:
            timer.cancel()
        return node in one.sessions

    def update(self, router: int, node: int, network: Network, route: Announced | None) -> None:
        """An UPDATE has arrived."""
        generation = self.routers[router].generations.get(node, 0)
        if self._gathers:
            self._gather(router, partial(self._updated, router, node, generation, network, route))
        else:
            self._world.after(self._delay, self._updated, router, node, generation, network, route)

    def _updated(self, router: int, node: int, generation: int, network: Network, route: Announced | None) -> None:
        if self.routers[router].generations.get(node, 0) != generation:
            return  # of a session that has ended meanwhile
        routes = self.routers[router].routes.setdefault(network, {})
        if routes.get(node) == route:
            return
        self.changes += 1
        if route is None:
            routes.pop(node, None)
        else:
            routes[node] = route
            self._ties(router, node, network)

    def _ties(self, router: int, node: int, network: Network) -> None:
        routes = self.routers[router].routes[network]
        rank = routes[node].rank(internal=self.internal)
        others = [other for other in routes if other != node and routes[other].rank(internal=self.internal) == rank]
        if others and rank[-1] < NO_ACTIVE and self._distinct():
            raise Violation(f"router {router}: the routes to {network} of two Actives tie, {node} and {others}: {rank}")

    def best(self, router: int, address: Address) -> set[int]:
        """The nodes among which this router spreads packets to ``address``; through others if it knows none itself."""
        return {node for _, node in self.hops(router, address)}

    def hops(self, router: int, address: Address) -> set[tuple[int, int]]:
        """The same, each with the router that hands it the packets."""
        for through in ([router], range(len(self.routers))):
            if found := {(other, node) for other in through for node in self._direct(other, address)}:
                return found
        return set()

    def _direct(self, router: int, address: Address) -> set[int]:
        found = [network for network, routes in self.routers[router].routes.items() if routes and address in network]
        if not found:
            return set()
        routes = self.routers[router].routes[max(found, key=lambda network: network.prefixlen)]
        ranks = {node: route.rank(internal=self.internal) for node, route in routes.items()}
        best = min(ranks.values())
        return {node for node, rank in ranks.items() if rank == best}
