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

Hence ``Spelling``: the same route in other words, which ExaBGP takes for another set of attributes and puts on the wire
as the same. An announcement in words that were not used lately stands behind everything else in that queue.
"""

import re
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Spelling:
    """One of several ways to say one route. ExaBGP compares words; the UPDATE is the same to the byte."""

    origin: str
    """left out (ExaBGP fills in IGP), by name, or as an attribute of given bytes"""
    med: bool = False
    """whether the MED is given as bytes"""
    preference: bool = False
    """whether the local preference is given as bytes or, where there is none, ExaBGP's default is written out"""


SPELLINGS = tuple(
    Spelling(origin, med, preference)
    for preference in (False, True)
    for med in (False, True)
    for origin in ("", "origin igp", "attribute [0x01 0x40 0x00]")
)
BRIEF, EXPLICIT = SPELLINGS[:2]


def spellings(attributes: "Attributes") -> tuple[Spelling, ...]:
    """Every way to say ``attributes``, no two of which have the same words; the most readable first."""
    return tuple(one for one in SPELLINGS if attributes.med is not None or not one.med)


class Level(StrEnum):
    """How an announced address is to be preferred by the routers, the best first."""

    ACTIVE = "active"
    STANDBY = "standby"
    """announced by a Backup, so that routers hold a second path"""
    LEAVING = "leaving"


class Takeover(StrEnum):
    """How an Active's route beats the one that a node which died with its links up has left in the routers."""

    MED = "med"
    """the later a node became Active, the smaller its MED"""
    PREPEND = "prepend"
    """the more nodes fell silent lately, the shorter an Active's path"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the attributes of an Active depend on besides the configuration."""

    since: int | None = None
    """whole seconds since the epoch at which this node became Active; None: it is not"""
    silences: int = 0
    """takeovers from silence seen lately (``vrrp.silences``)"""
    parting: bool = False
    """whether another node's route is known everywhere, so that ours may be worse than any detour to us"""


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


def prepended(as_path: tuple[int, ...], times: int, local_as: int | None) -> tuple[int, ...]:
    """``as_path`` (empty: the one that ExaBGP fills in) with our own AS number put before it ``times`` more times.

    The result is the whole path as sent towards an eBGP neighbour, so our own number alone is in it once more than
    ``times`` if ``as_path`` is empty. Raises ValueError when our number is needed, but known by neither argument.
    """
    if not times:
        return as_path
    own = as_path[0] if as_path else local_as
    if own is None:
        raise ValueError("our own AS number is not known")
    return (own,) * times + (as_path or (own,))


def _longer(active: Attributes, times: int, local_as: int | None) -> tuple[int, ...]:
    """A longer path where one can be made: without our AS number ExaBGP's own has to do, and the MED to decide."""
    known = active.as_path or local_as is not None
    return prepended(active.as_path, times, local_as) if known else ()


def standby(active: Attributes, local_as: int | None = None, priority: int = 0) -> Attributes:
    """Attributes for an address that a Backup announces: worse than those of any Active, better than any leaving.

    Not merely one step worse than ``active``: the Active is another node, whose attributes we do not know. Several
    Backups must not tie among themselves, or flows are split between them: the MED follows their ``priority`` (0–255).
    """
    return replace(
        active,
        med=LARGEST - 1 - priority,
        local_preference=1 if active.local_preference is None else min(1, active.local_preference),
        as_path=_longer(active, 1, local_as),
    )


def leaving(active: Attributes, local_as: int | None = None) -> Attributes:
    """Attributes for an address about to be given up: the worst there are, so that any other announcement wins.

    The MED is the largest and the local preference 0 (RFC 8326 §4 asks for it). The path is longer where our AS number
    is known; where it is not, ExaBGP fills it in, and towards an iBGP neighbour it would be a loop.
    """
    return replace(
        active,
        med=LARGEST,
        local_preference=0,
        communities=tuple(dict.fromkeys((*active.communities, GRACEFUL_SHUTDOWN))),
        as_path=_longer(active, 2, local_as),
    )


DEFAULT_LOCAL_PREFERENCE = 100
"""What ExaBGP sends to an iBGP neighbour if none is configured."""

EARLIEST = 1_700_000_000
"""Seconds since the epoch (November 2023): a clock that tells less is not set, see ``Ladder.rank``."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The attributes of one virtual router's addresses in every state they can be announced in. Raises ValueError."""

    active: Attributes
    """with the full number of prepends; without a MED if the time of the takeover gives it"""
    standby: Attributes
    leaving: Attributes
    takeover: frozenset[Takeover] = frozenset()
    prepends: int = 0
    """numbers at the beginning of ``active.as_path`` that silent takeovers may take away, one each"""
    local_as: int | None = None
    """our own AS number, if it was told"""

    def __post_init__(self) -> None:
        if Takeover.MED in self.takeover and self.active.med is not None:
            raise ValueError("the MED of an Active cannot be both fixed and the time of its takeover")
        if Takeover.PREPEND in self.takeover and not 0 < self.prepends < len(self.active.as_path):
            raise ValueError("without prepends none can be taken away")
        if Takeover.PREPEND not in self.takeover and self.prepends:
            raise ValueError("prepends that nothing takes away belong to the path")

    @classmethod
    def derived(
        cls,
        active: Attributes,
        takeover: frozenset[Takeover] = frozenset(),
        prepends: int = 0,
        local_as: int | None = None,
        priority: int = 0,
    ) -> "Ladder":
        """The ladder of a router for which only the active attributes are configured. Raises ValueError."""
        return cls(active, standby(active, local_as, priority), leaving(active, local_as), takeover, prepends, local_as)

    def at(self, level: Level, standing: Standing = Standing()) -> Attributes:
        match level:
            case Level.ACTIVE:
                return self._active(standing)
            case Level.STANDBY:
                return self.standby
            case Level.LEAVING:
                return self.leaving if standing.parting else self._yielding(standing)
            case _:
                assert_never(level)

    def _yielding(self, standing: Standing) -> Attributes:
        """Worse than another Active where routers compare the MED, but no longer and no less preferred a way.

        If the MED tells the time of the takeover, a successor's is better than ours in any case, and a dead node's is
        worse: it stays.
        """
        if Takeover.MED in self.takeover:
            return self._active(standing)
        med = LARGEST if self.leaving.med is None else self.leaving.med
        return replace(self._active(standing), med=med)

    def _active(self, standing: Standing) -> Attributes:
        found = self.active
        if Takeover.MED in self.takeover:
            # Whatever the clock says, an Active is better than a standby.
            worse = min(med for med in (self.standby.med, self.leaving.med, LARGEST) if med)
            since = 0 if standing.since is None else standing.since
            found = replace(found, med=max(0, min(LARGEST - since, worse - 1)))
        if Takeover.PREPEND in self.takeover:
            found = replace(found, as_path=found.as_path[min(standing.silences, self.prepends) :])
        return found

    def routes(self, address: Address) -> tuple[Route, ...]:
        """Every way in which ``address`` may be announced that is known beforehand, the likeliest first.

        An Active whose MED is a time is not among them: only who remembers the time knows the route.
        """
        times = 0 if Takeover.MED in self.takeover else 1 + self.prepends
        active = [self._active(Standing(silences=count)) for count in range(times)]
        yielding = [] if Takeover.MED in self.takeover else [self._yielding(Standing())]
        return tuple(Route(address, one) for one in dict.fromkeys((*active, self.standby, *yielding, self.leaving)))

    def rank(self, level: Level, *, internal: bool) -> tuple[int, int, int]:
        """How a router prefers the level among routes that differ in nothing else: the smaller, the better.

        Local preference (only if the neighbour is ``internal``), length of the path, MED: RFC 4271 §9.1.2. Of an
        Active it is the worst that it announces while its clock is set.
        """
        found = self.at(level, Standing(parting=True))
        preference = DEFAULT_LOCAL_PREFERENCE if found.local_preference is None else found.local_preference
        length = len(found.as_path) or (0 if internal else 1)
        med = found.med or 0
        if level is Level.ACTIVE and Takeover.MED in self.takeover:
            med = LARGEST - EARLIEST  # without regard for what the others are: that is the question
        return (LARGEST - preference if internal else 0, length, med)


def announce(route: Route, dialect: Dialect, spelling: Spelling = BRIEF, also: Sequence[Route] = ()) -> str:
    """The line that announces ``route``, or replaces the announcement of its address.

    And that of others, which must have the same attributes and be of the same family.
    """
    return _line("announce", (route, *also), dialect, spelling)


def withdraw(route: Route, dialect: Dialect, spelling: Spelling = BRIEF, also: Sequence[Route] = ()) -> str:
    """The line that withdraws the address of ``route``, which is how it was announced, attributes and all.

    And those of others, which must have the same attributes and be of the same family.
    """
    return _line("withdraw", (route, *also), dialect, spelling)


def _line(verb: str, routes: Sequence[Route], dialect: Dialect, spelling: Spelling) -> str:
    attributes = routes[0].attributes
    assert {(one.attributes, one.address.version) for one in routes} == {(attributes, routes[0].address.version)}
    said = _attribute_words(attributes, spelling)
    match dialect:
        case Dialect.V4 | Dialect.V5:
            # Each neighbour as exabgp.conf spells it: both versions compare text. A comma needs its spaces.
            selector = " , ".join(f"neighbor {neighbor}" for neighbor in attributes.neighbors)
            if len(routes) == 1:
                words = [selector, verb, "route", routes[0].prefix, *said]
            else:
                words = [selector, verb, "attributes", *said, "nlri", *(one.prefix for one in routes)]
        case _:
            assert_never(dialect)
    line = " ".join(word for word in words if word)
    assert line.isascii(), line
    assert line.isprintable(), line
    return line


def _attribute_words(attributes: Attributes, spelling: Spelling) -> list[str]:
    words = [f"next-hop {attributes.next_hop}"]
    if attributes.med is not None:
        words.append(f"attribute [0x04 0x80 0x{attributes.med:08x}]" if spelling.med else f"med {attributes.med}")
    if attributes.local_preference is None and spelling.preference:
        words.append(f"local-preference {DEFAULT_LOCAL_PREFERENCE}")
    elif attributes.local_preference is not None and spelling.preference:
        words.append(f"attribute [0x05 0x40 0x{attributes.local_preference:08x}]")
    elif attributes.local_preference is not None:
        words.append(f"local-preference {attributes.local_preference}")
    if attributes.communities:
        words.append(f"community [{' '.join(attributes.communities)}]")
    if attributes.large_communities:
        words.append(f"large-community [{' '.join(attributes.large_communities)}]")
    if attributes.as_path:
        words.append(f"as-path [{' '.join(map(str, attributes.as_path))}]")
    if spelling.origin:
        words.append(spelling.origin)
    return words
