"""The tables ``[virtual_router.NAME.bgp]``, ``….bgp.standby]`` and ``….bgp.leaving]`` → a ladder of attributes.

This file owns what these tables mean: which keys are derived from which, and when our own AS number must be known. It
must not know of files, or of other tables: text is given its meaning by the two functions of ``loading`` that come in.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, replace
from typing import Any, Protocol, TypeVar

from exavrrp import routes
from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, Keys, dotted
from exavrrp.routes import Attributes, Ladder, Level, Takeover
from exavrrp.vrrp.packet import Address

LONGEST_PATH = 255
"""One AS_PATH segment counts its members in one byte (RFC 4271 §4.3)."""

ATTRIBUTE_BYTES = 3900
"""Of the 4,096 of a BGP message (RFC 4271 §4.1), without the header, the route and the attributes of fixed size."""

PREPENDS = 3
"""Of an Active where silent takeovers take them away: as many nodes may die within a BGP hold time."""

Meaning = TypeVar("Meaning")


class _Texts(Protocol):
    """The meaning of each text of a list, see ``loading``."""

    def __call__(
        self, keys: Keys, texts: Iterable[str], meaning: Callable[[str], Meaning], /
    ) -> tuple[Meaning, ...]: ...


class _Text(Protocol):
    """The meaning of one text, None if it has none."""

    def __call__(self, keys: Keys, text: str, meaning: Callable[[str], Meaning], /) -> Meaning | None: ...


class Ladders:
    """Reads the attributes of one virtual router after another."""

    def __init__(self, document: Document, texts: _Texts, text: _Text) -> None:
        self._document = document
        self._problem = document.problem
        self._texts = texts
        self._text = text

    def ladder(
        self,
        keys: Keys,
        table: schema.Bgp,
        addresses: tuple[Address, ...],
        local_as: int | None,
        *,
        standby: bool,
        priority: int,
    ) -> Ladder:
        """What ``table`` says at ``keys``; ``standby`` is whether a Backup announces, else its table has no effect.

        ``priority`` of the router: the Backups of one address must not tie among themselves.
        """
        local_as = table.local_as or local_as
        takeover = frozenset(self._texts((*keys, "takeover"), table.takeover, Takeover))
        prepend = table.prepend
        if Takeover.PREPEND in takeover:
            if local_as is None and not table.as_path and self._document.sound((*keys, "as_path")):
                self._problem(
                    (*keys, "takeover"),
                    'holds "prepend", which needs our own AS number; write local_as = 65010 with your number'
                    " (or once in [agent])",
                )
            if prepend == 0:
                self._problem((*keys, "prepend"), 'is 0, but takeover = ["prepend"] takes prepends away; write 1 to 32')
            prepend = PREPENDS if prepend is None else prepend
        if Takeover.MED in takeover and table.med is not None:
            self._problem(
                (*keys, "med"),
                f'is {table.med}, but takeover = ["med"] makes it from the time of the takeover; remove one of the two',
            )
        values = self._values(keys, table, addresses)
        if Takeover.MED in takeover:
            values.pop("med", None)
        active = Attributes(**values, as_path=self._path(keys, table.as_path, prepend, local_as))
        self._reachable(keys, active, addresses)
        if len(active.as_path) <= (prepend or 0):
            takeover -= {Takeover.PREPEND}  # a stand-in
        lesser = [
            self._level(keys, level, table, derived, addresses=addresses, local_as=local_as)
            for level, derived in (
                (Level.STANDBY, routes.standby(active, local_as, priority)),
                (Level.LEAVING, routes.leaving(active, local_as)),
            )
        ]
        self._fits(keys, [active, *lesser])
        for level, one in zip((Level.STANDBY, Level.LEAVING), lesser, strict=True):
            self._named_everywhere((*keys, level.value), active, one)
        if not standby:
            lesser[0] = routes.standby(active, local_as, priority)
        prepends = (prepend or 0) if Takeover.PREPEND in takeover else 0
        return Ladder(active, lesser[0], lesser[1], takeover, prepends, local_as)

    def _level(
        self,
        keys: Keys,
        level: Level,
        active: schema.Bgp,
        derived: Attributes,
        *,
        addresses: tuple[Address, ...],
        local_as: int | None,
    ) -> Attributes:
        """``derived`` with what the table of ``level`` says."""
        table: schema.Level = getattr(active, level)
        keys = (*keys, level.value)
        found = replace(derived, **self._values(keys, table, addresses))
        if table.as_path is not None or table.prepend is not None:
            as_path = active.as_path if table.as_path is None else table.as_path
            found = replace(found, as_path=self._path(keys, as_path, table.prepend, local_as))
        if table.next_hop is not None or table.neighbors is not None:
            self._reachable(keys, found, addresses)
        return found

    def _values(self, keys: Keys, table: schema.Bgp | schema.Level, addresses: tuple[Address, ...]) -> dict[str, Any]:
        """The attributes that ``table`` gives, but for the path."""
        found: dict[str, Any] = {"med": table.med, "local_preference": table.local_preference}
        if table.communities is not None:
            found["communities"] = self._texts((*keys, "communities"), table.communities, notation.community)
        if table.large_communities is not None:
            place = (*keys, "large_communities")
            found["large_communities"] = self._texts(place, table.large_communities, notation.large_community)
        if table.next_hop is not None:
            found["next_hop"] = self._next_hop((*keys, "next_hop"), table.next_hop, addresses)
        if table.neighbors is not None:
            found["neighbors"] = self._texts((*keys, "neighbors"), table.neighbors, notation.unicast)
        return {key: value for key, value in found.items() if value is not None}

    def _path(self, keys: Keys, as_path: tuple[int, ...], prepend: int | None, local_as: int | None) -> tuple[int, ...]:
        if as_path and local_as is not None and as_path[0] != local_as:
            self._problem(
                (*keys, "as_path"),
                f"begins with {as_path[0]}, but our own AS number is {local_as} (local_as); begin with that",
            )
        try:
            return routes.prepended(as_path, prepend or 0, local_as)
        except ValueError:
            place = (*keys, "prepend")
            if place in self._document:
                self._problem(
                    place,
                    f"is {prepend}, for which our own AS number must be known; write local_as = 65010 with your number"
                    " (or once in [agent])",
                )
            return as_path

    def _next_hop(self, keys: Keys, text: str, addresses: tuple[Address, ...]) -> str:
        if text == "self":
            return text
        found = self._text(keys, text, notation.routed)
        if found is None or not addresses:
            return "self"
        family = addresses[0].version
        if found.version != family:
            self._problem(keys, f'is {found}, but the addresses are IPv{family}; write one of IPv{family} or "self"')
        elif found in addresses:
            self._problem(keys, f'is {found}, a virtual address: a route cannot lead to itself; write "self"')
        return str(found)

    def _reachable(self, keys: Keys, found: Attributes, addresses: tuple[Address, ...]) -> None:
        """``self`` over a session of the other family is no address of the route's."""
        if found.next_hop != "self" or not self._document.sound((*keys, "next_hop")):
            return
        if not addresses or addresses[0].version == 4:
            return
        for index, neighbor in enumerate(found.neighbors):
            if neighbor.version == 4:
                self._problem(
                    (*keys, "neighbors", index),
                    f"holds {neighbor}: over an IPv4 session ExaBGP has no IPv6 address of its own to announce;"
                    " name IPv6 neighbours only, or write next_hop as an address",
                )

    def _named_everywhere(self, keys: Keys, active: Attributes, found: Attributes) -> None:
        """What only some are to hear next has to be withdrawn from the others, who are not known."""
        sound = all(self._document.sound((*place, "neighbors")) for place in (keys, keys[:-1]))
        if sound and bool(found.neighbors) != bool(active.neighbors):
            table = dotted(keys[:-1])
            self._problem(
                (*keys, "neighbors"),
                f"names neighbours, but the other states are announced to all; write neighbors in {table} too"
                if found.neighbors
                else f"is [], all of them, but {table} names some; name those that are to hear of this state",
            )

    def _fits(self, keys: Keys, levels: Collection[Attributes]) -> None:
        longest = max(len(one.as_path) for one in levels)
        size = max(4 * len(one.communities) + 12 * len(one.large_communities) + 4 * len(one.as_path) for one in levels)
        if longest > LONGEST_PATH:
            self._problem(
                (*keys, "as_path"),
                f"makes paths of up to {longest} AS numbers, with those put before it; {LONGEST_PATH} fit: write fewer",
            )
        elif size > ATTRIBUTE_BYTES:
            self._problem(keys, "all attributes together do not fit into one BGP message; write fewer communities")


def tables(ladder: Ladder, *, standby: bool) -> dict[str, dict[str, object]]:
    """``ladder`` as tables again, by their names below ``[virtual_router.NAME]``; every default written out."""
    active = asdict(ladder.active)
    active["as_path"] = ladder.active.as_path[ladder.prepends :]
    found: dict[str, dict[str, object]] = {
        "bgp": {
            **active,
            "local_as": ladder.local_as,
            "prepend": ladder.prepends,
            "takeover": tuple(sorted(ladder.takeover)),
        }
    }
    if standby:
        found["bgp.standby"] = {**asdict(ladder.standby), "prepend": 0}
    found["bgp.leaving"] = {**asdict(ladder.leaving), "prepend": 0}
    return found
