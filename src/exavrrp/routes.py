"""A prefix and how it is to be preferred: what may be announced, and nothing of how ExaBGP is told; pure.

The configuration has validated the values. A word that ExaBGP's API could read as something else is refused here again.
It must not know of commands (``speaker``), or of when and with which attributes something is announced (``presence``,
``takeover``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from exavrrp.neighbors import Session, ordered
from exavrrp.vrrp.packet import Address

Network: TypeAlias = IPv4Network | IPv6Network
"""What is announced: the host route of an address, or a shorter prefix."""

LARGEST = 0xFFFFFFFF
"""The largest MED, local preference and AS number: 32 bits each (RFC 4271 §4.3, RFC 6793)."""

_WORD = re.compile(r"[0-9a-z.:-]+")
"""What a next hop or a community may consist of: nothing that ExaBGP's tokeniser gives a meaning to."""


class Level(StrEnum):
    """How an announced address is to be preferred by the routers, the best first."""

    ACTIVE = "active"
    STANDBY = "standby"
    """announced by a Backup, so that routers hold a second path"""
    LEAVING = "leaving"


OwnNumbers: TypeAlias = Mapping[Session, int | None]
"""Our own AS number by session; None: an iBGP session."""

NO_NUMBERS: OwnNumbers = {}


def _numbered(named: Session, numbers: OwnNumbers) -> list[tuple[Session, int | None]]:
    """``named`` with our number, or, if it chooses sessions with different ones, each of these."""
    chosen = [one for one in sorted(numbers, key=ordered) if named.covers(one)]
    if len(kinds := {numbers[one] for one in chosen}) < 2:
        return [(named, next(iter(kinds), None))]
    return [(one, numbers[one]) for one in chosen]


@dataclass(frozen=True, slots=True)
class Attributes:
    """The BGP attributes of an announcement; ``None`` and empty leave it to ExaBGP. Raises ValueError."""

    med: int | None = None
    local_preference: int | None = None
    """reaches iBGP neighbors only"""
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    as_path: tuple[int, ...] = ()
    """the path before ``prepend``: towards an eBGP neighbor it begins with our own AS number"""
    prepend: int = 0
    """how many times the first number of ``as_path`` is put before it; if that is empty, our own AS number, which is in
    the path once more then, and to eBGP neighbors only: to an iBGP neighbor it would be a loop"""
    next_hop: str = "self"
    """``self`` (our end of each session) or an address"""
    next_hops: tuple[tuple[Session, str], ...] = ()
    """those of some of ``neighbors`` that have another one"""
    neighbors: tuple[Session, ...] = ()
    """the only sessions that it is announced over, of which no one covers another; empty: all"""

    def __post_init__(self) -> None:
        for number in (self.med, self.local_preference, *self.as_path, self.prepend):
            if number is not None and not 0 <= number <= LARGEST:
                raise ValueError(f"{number} is not a number of 32 bits")
        ends = [str(end) for one in self.neighbors for end in (one.peer, one.local) if end is not None]
        next_hops = dict(self.next_hops)
        if not next_hops.keys() <= set(self.neighbors):
            raise ValueError("whoever has a next hop of its own is a neighbor that hears of the route")
        for word in (*self.communities, *self.large_communities, self.next_hop, *next_hops.values(), *ends):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a word for ExaBGP")

    @property
    def needs_own_as(self) -> bool:
        """Whether the path to an eBGP neighbor depends on our own AS number."""
        return self.prepend > 0 and not self.as_path

    def length(self, *, internal: bool) -> int:
        """How many numbers the path has that a neighbor receives; ``internal``: over iBGP."""
        if self.as_path:
            return self.prepend + len(self.as_path)
        return 0 if internal else self.prepend + 1

    def path(self, own: int | None) -> tuple[int, ...]:
        """The path as sent, empty if ExaBGP is to fill it in; ``own``: our AS number, None over iBGP or if unknown."""
        if not self.prepend:
            return self.as_path
        if self.as_path:
            return self.as_path[:1] * self.prepend + self.as_path
        return () if own is None else (own,) * (self.prepend + 1)

    def parts(self, numbers: "OwnNumbers" = NO_NUMBERS) -> tuple["Attributes", ...]:
        """One for each set of neighbors that share them all, with the path as sent: what goes into one command."""
        if len(kinds := set(numbers.values())) < 2 and not self.next_hops:
            return (self._sent(next(iter(kinds), None)),)
        next_hops = dict(self.next_hops)
        shared: dict[tuple[str, int | None], list[Session]] = {}
        for named in self.neighbors or sorted(numbers, key=ordered):
            next_hop = next_hops.get(named, self.next_hop)
            for one, own in _numbered(named, numbers):
                shared.setdefault((next_hop, own), []).append(one)
        return tuple(
            replace(self._sent(own), next_hop=next_hop, next_hops=(), neighbors=tuple(sorted(sharing, key=ordered)))
            for (next_hop, own), sharing in shared.items()
        )

    def _sent(self, own: int | None) -> "Attributes":
        return replace(self, as_path=self.path(own), prepend=0) if self.prepend else self

    @property
    def for_all(self) -> "Attributes":
        """The same for all neighbors."""
        return replace(self, neighbors=()) if self.neighbors else self


@dataclass(frozen=True, slots=True)
class Route:
    """One prefix with the attributes it is announced with. Raises ValueError."""

    network: Network
    attributes: Attributes

    def __post_init__(self) -> None:
        if getattr(self.network.network_address, "scope_id", None) is not None:
            raise ValueError(f"{self.prefix!r} is not a word for ExaBGP")

    @property
    def prefix(self) -> str:
        """Address and length, as ExaBGP reads them."""
        return str(self.network)


@lru_cache(maxsize=4096)  # asked for all addresses at each reload
def host_route(address: Address) -> Network:
    """The /32 or /128 of ``address``."""
    return ip_network(address)


DEFAULT_LOCAL_PREFERENCE = 100
"""What ExaBGP sends to an iBGP neighbor if none is configured."""
