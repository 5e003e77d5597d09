"""The state of the previous process, and that for the next one: the content of the state file; pure.

``Memory`` reads the saved state and makes the next one. ``system.state`` owns the file; the simulation has none.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import chain

from exavrrp.config import Configuration
from exavrrp.config.notation import session
from exavrrp.control import Announcement, Misunderstood, SavedState
from exavrrp.ports import Forgotten
from exavrrp.routes import Attributes, Network, Route
from exavrrp.vrrp.packet import Address


@dataclass(frozen=True, slots=True)
class ParsedState:
    """A saved state, with its addresses and routes parsed."""

    saved: SavedState
    addresses: frozenset[Address]
    """all that the last process, and those before it that it had to clear up after, may have bound"""
    routes: tuple[Route, ...]
    """all that they may have announced"""

    def forgotten(self, configuration: Configuration, *, foreign: bool) -> Forgotten:
        """The addresses and routes that are not in ``configuration``; ``foreign``: it was under another ExaBGP."""
        ours = {network for router in configuration.routers for network in router.owned}
        left = () if foreign else tuple(route for route in self.routes if route.network not in ours)
        return Forgotten(self.addresses - configuration.addresses, left)


def parsed(saved: SavedState) -> ParsedState:
    """Parses the addresses and routes. Raises Misunderstood."""
    try:
        return ParsedState(saved, frozenset(map(ip_address, saved.addresses)), tuple(_routes(saved.announcements)))
    except ValueError as error:
        raise Misunderstood(f"not a state file of this version: {error}") from None


class Memory:
    """The state of the last process, and that of this one for the next (``ports.Memory``, but for ``note``)."""

    def __init__(self, exabgp: tuple[int, int] | None = None) -> None:
        """``exabgp``: the process that announces for us, by number and start time; None: not known yet."""
        self.boot: str | None = None
        self.exabgp = exabgp
        self.is_foreign = False
        """whether the last process certainly ran under another ExaBGP, and ours announces nothing of it"""
        self._announced: frozenset[str] = frozenset()
        self._offered: frozenset[str] = frozenset()
        self._last = SavedState(boot=None, exabgp=None, routers={})
        """that of this boot, if there was one"""
        self._named = frozenset[str]()
        """the prefixes that it may have announced"""
        self._addresses: tuple[str, ...] = ()
        self._announcements: dict[str, tuple[Announcement, ...]] = {}

    def read(self, last: SavedState, *, foreign: bool) -> None:
        """Take over the last process's state. ``boot`` and ``exabgp`` are set; ``foreign``: as ``is_foreign``."""
        self._announced = last.announced(self.boot, self.exabgp)
        self._offered = frozenset(last.offered if last.is_under(self.boot, self.exabgp) else ())
        self.is_foreign = foreign
        if self.boot is not None and last.boot == self.boot:
            self._last = last
            self._named = frozenset(prefix for one in last.announcements for prefix in one.prefixes)

    def recall(self) -> frozenset[str]:
        """The routers that were announced by the last process, if this ExaBGP process still announces them."""
        return self._announced

    def names(self, networks: Collection[Network]) -> bool:
        """Whether the last process may have announced any of these, by its state file."""
        return not self._named or not self._named.isdisjoint(map(str, networks))

    def was_active(self, router: str) -> bool:
        """Whether ``router`` was announced as an Active's when the last process ended, in this boot."""
        return self._last.routers.get(router) == "active"

    def may_be_announced(self, router: str) -> bool:
        """Whether this ExaBGP process had not confirmed to the last process that it announces nothing of ``router``."""
        return router in self._offered

    def since(self, router: str) -> int | None:
        """When ``router`` became Active in the last process, in whole seconds since the epoch, if noted."""
        return self._last.since.get(router)

    def silent(self, router: str) -> tuple[int, float] | None:
        """Silent failures counted since the boot, and when the last one was, in monotonic seconds."""
        return self._last.silences.get(router)

    def may_bind(self, addresses: Iterable[Address]) -> None:
        """Set all addresses that this process may bind; for the next state file."""
        self._addresses = tuple(sorted(map(str, addresses)))

    def may_announce(self, router: str, routes: Iterable[Route]) -> None:
        """Set all routes that this process may announce for ``router``; for the next state file."""
        self._announcements[router] = tuple(_announcements(routes))

    def next(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> SavedState:
        """The next saved state; the parameters are those of ``ports.Memory.note``."""
        announced = {name: str(level) for name, level in levels.items() if level is not None}
        return SavedState(
            boot=self.boot,
            exabgp=self.exabgp,
            routers=announced,
            offered=tuple(sorted(offered)),
            since={name: time for name, time in (since or {}).items() if name in announced},
            silences=dict(silences or {}),
            addresses=self._addresses,
            announcements=tuple(chain.from_iterable(self._announcements.values())),
        )


def _announcements(routes: Iterable[Route]) -> Iterator[Announcement]:
    """The routes, grouped by attributes."""
    prefixes: dict[Attributes, list[str]] = {}
    for route in routes:
        prefixes.setdefault(route.attributes, []).append(route.prefix)
    for attributes, sharing in prefixes.items():
        yield Announcement(
            prefixes=tuple(sharing),
            next_hop=attributes.next_hop,
            med=attributes.med,
            local_preference=attributes.local_preference,
            communities=attributes.communities,
            large_communities=attributes.large_communities,
            as_path=attributes.as_path,
            prepend=attributes.prepend,
            neighbors=tuple(map(str, attributes.neighbors)),
            next_hops={str(neighbor): next_hop for neighbor, next_hop in attributes.next_hops},
        )


def _routes(announcements: Iterable[Announcement]) -> Iterator[Route]:
    """Raises ValueError."""
    for one in announcements:
        attributes = Attributes(
            next_hop=one.next_hop,
            med=one.med,
            local_preference=one.local_preference,
            communities=one.communities,
            large_communities=one.large_communities,
            as_path=one.as_path,
            prepend=one.prepend,
            neighbors=tuple(map(session, one.neighbors)),
            next_hops=tuple((session(neighbor), next_hop) for neighbor, next_hop in one.next_hops.items()),
        )
        yield from (Route(ip_network(prefix), attributes) for prefix in one.prefixes)
