"""A prefix and how it is to be preferred: what may be announced, and nothing of how ExaBGP is told; pure.

The configuration has validated the values. A word that ExaBGP's API could read as something else is refused here again.
It must not know of commands (``speaker``), or of when and with which attributes something is announced (``presence``,
``takeover``).
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from exavrrp.neighbors import Session
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


@dataclass(frozen=True, slots=True)
class Attributes:
    """The BGP attributes of an announcement; ``None`` and empty leave it to ExaBGP. Raises ValueError."""

    med: int | None = None
    local_preference: int | None = None
    """reaches iBGP neighbours only"""
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    as_path: tuple[int, ...] = ()
    """the whole path as sent: towards an eBGP neighbour it begins with our own AS number"""
    next_hop: str = "self"
    """``self`` (our end of each session) or an address"""
    next_hops: tuple[tuple[Session, str], ...] = ()
    """those of some of ``neighbors`` that have another one"""
    neighbors: tuple[Session, ...] = ()
    """the only sessions that it is announced over, of which no one covers another; empty: all"""

    def __post_init__(self) -> None:
        for number in (self.med, self.local_preference, *self.as_path):
            if number is not None and not 0 <= number <= LARGEST:
                raise ValueError(f"{number} is not a number of 32 bits")
        ends = [str(end) for one in self.neighbors for end in (one.peer, one.local) if end is not None]
        next_hops = dict(self.next_hops)
        if not next_hops.keys() <= set(self.neighbors):
            raise ValueError("whoever has a next hop of its own is a neighbour that hears of the route")
        for word in (*self.communities, *self.large_communities, self.next_hop, *next_hops.values(), *ends):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a word for ExaBGP")

    def parts(self) -> tuple["Attributes", ...]:
        """One for each set of neighbours that share them all: what goes into one command."""
        if not self.next_hops:
            return (self,)
        own = dict(self.next_hops)
        shared: dict[str, list[Session]] = {}
        for one in self.neighbors:
            shared.setdefault(own.get(one, self.next_hop), []).append(one)
        return tuple(
            replace(self, next_hop=next_hop, next_hops=(), neighbors=tuple(sharing))
            for next_hop, sharing in shared.items()
        )


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


def host_route(address: Address) -> Network:
    """The /32 or /128 of ``address``."""
    return ip_network(address)


DEFAULT_LOCAL_PREFERENCE = 100
"""What ExaBGP sends to an iBGP neighbour if none is configured."""
