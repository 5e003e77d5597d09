"""An address and how it is to be preferred → the lines ExaBGP's API takes for it; pure.

This file owns the words of that API, one dialect per ExaBGP line, and the attributes of each state an address can be
announced in. It must not know of descriptors, of answers, or of when something is announced: a ``Route`` comes in, one
line of text comes out. The configuration has validated the values; what must never reach the API whatever happens (a
second line, a byte that is not printable ASCII: ExaBGP ends the plugin for it) is refused here again.

Three properties of ExaBGP's table of routes to be sent (``rib/outgoing.py``, 4.2.25 and 5.0.15 alike) shape the lines:

- It is a queue of routes by their attributes. A withdraw cancels a queued announcement only when it *carries the very
  attributes of that announcement*; otherwise the queued announcement is still sent when the session comes up.
- Attribute sets leave that queue in the order in which they entered it first, not in the order of the last command. An
  address announced as A, as B and again as A while a session is down ends as B at that neighbour.
- An announcement that equals the last one is answered ``done`` and not sent again, so repeating it repairs nothing.
  Hence ``Spelling``: the same route in other words, which ExaBGP takes for a new one and puts on the wire as the same.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from exavrrp.vrrp.packet import Address

GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326 §5. As numbers: ExaBGP 4.2 and 5.0 do not know its name."""

LARGEST = 0xFFFFFFFF
"""The largest MED, local preference and AS number: 32 bits each (RFC 4271 §4.3, RFC 6793)."""

_WORD = re.compile(r"[0-9a-z.:-]+")
"""What a next hop or a community may consist of: nothing that ExaBGP's tokeniser gives a meaning to."""


class Dialect(StrEnum):
    """The line of ExaBGP that we talk to, by the major number of its version."""

    V4 = "4"
    V5 = "5"


class Spelling(StrEnum):
    """Two ways to say one route. ExaBGP compares words; the UPDATE is the same to the byte."""

    BRIEF = "brief"
    """origin left out; ExaBGP fills in IGP"""
    EXPLICIT = "explicit"
    """``origin igp`` written out"""

    @property
    def other(self) -> "Spelling":
        return Spelling.EXPLICIT if self is Spelling.BRIEF else Spelling.BRIEF


class Level(StrEnum):
    """How an announced address is to be preferred by the routers."""

    ACTIVE = "active"
    STANDBY = "standby"
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
    neighbors: tuple[Address, ...] = ()
    """the only neighbours that hear of it; empty: all"""

    def __post_init__(self) -> None:
        for number in (self.med, self.local_preference, *self.as_path):
            if number is not None and not 0 <= number <= LARGEST:
                raise ValueError(f"{number} is not a number of 32 bits")
        for word in (*self.communities, *self.large_communities, self.next_hop, *map(str, self.neighbors)):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a word for ExaBGP")


@dataclass(frozen=True, slots=True)
class Route:
    """One address with the attributes it is announced with. Raises ValueError."""

    address: Address
    attributes: Attributes

    def __post_init__(self) -> None:
        if not _WORD.fullmatch(str(self.address)):
            raise ValueError(f"{str(self.address)!r} is not a word for ExaBGP")  # an IPv6 address with a scope

    @property
    def prefix(self) -> str:
        return f"{self.address}/{self.address.max_prefixlen}"


def leaving(active: Attributes) -> Attributes:
    """Attributes for an address about to be given up: the worst there are, so that any other announcement wins.

    The MED is the largest and the local preference 0 (RFC 8326 §4 asks for it), not merely one step worse: the node to
    win is another one, whose attributes we do not know. One AS is prepended where the path is configured; where it is
    not, ExaBGP fills in our own AS, which we do not know, and towards an iBGP neighbour it would be a loop.

    Raises ValueError when ``active`` has the largest MED already: the two states would tie.
    """
    if active.med == LARGEST:
        raise ValueError(f"med {LARGEST} is the worst there is: a leaving route could not be told from an active one")
    return replace(
        active,
        med=LARGEST,
        local_preference=0,
        communities=tuple(dict.fromkeys((*active.communities, GRACEFUL_SHUTDOWN))),
        as_path=(*active.as_path[:1], *active.as_path),
    )


@dataclass(frozen=True, slots=True)
class Ladder:
    """The attributes of one virtual router's addresses in every state they can be announced in."""

    active: Attributes
    leaving: Attributes

    @classmethod
    def derived(cls, active: Attributes) -> "Ladder":
        """The ladder of a router for which only the active attributes are configured. Raises ValueError."""
        return cls(active, leaving(active))

    def at(self, level: Level) -> Attributes:
        match level:
            case Level.ACTIVE:
                return self.active
            case Level.STANDBY | Level.LEAVING:
                return self.leaving
            case _:
                assert_never(level)

    def routes(self, address: Address) -> tuple[Route, ...]:
        """Every way in which ``address`` may be announced, the active one first."""
        return tuple(Route(address, self.at(level)) for level in Level)


def announce(route: Route, dialect: Dialect, spelling: Spelling = Spelling.BRIEF) -> str:
    """The line that announces ``route``, or replaces the announcement of its address."""
    return _line("announce", route, dialect, spelling)


def withdraw(route: Route, dialect: Dialect, spelling: Spelling = Spelling.BRIEF) -> str:
    """The line that withdraws the address of ``route``, which is how it was announced, attributes and all."""
    return _line("withdraw", route, dialect, spelling)


def _line(verb: str, route: Route, dialect: Dialect, spelling: Spelling) -> str:
    match dialect:
        case Dialect.V4 | Dialect.V5:
            # Each neighbour as exabgp.conf spells it: both versions compare text. A comma needs its spaces.
            selector = " , ".join(f"neighbor {neighbor}" for neighbor in route.attributes.neighbors)
            words = [selector, verb, "route", route.prefix, *_attribute_words(route.attributes, spelling)]
        case _:
            assert_never(dialect)
    line = " ".join(word for word in words if word)
    assert line.isascii(), line
    assert line.isprintable(), line
    return line


def _attribute_words(attributes: Attributes, spelling: Spelling) -> list[str]:
    words = [f"next-hop {attributes.next_hop}"]
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    if attributes.local_preference is not None:
        words.append(f"local-preference {attributes.local_preference}")
    if attributes.communities:
        words.append(f"community [{' '.join(attributes.communities)}]")
    if attributes.large_communities:
        words.append(f"large-community [{' '.join(attributes.large_communities)}]")
    if attributes.as_path:
        words.append(f"as-path [{' '.join(map(str, attributes.as_path))}]")
    if spelling is Spelling.EXPLICIT:
        words.append("origin igp")
    return words
