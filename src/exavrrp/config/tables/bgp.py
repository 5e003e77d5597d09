"""The tables ``[virtual_router.NAME.bgp]``, ``….bgp.standby]`` and ``….bgp.leaving]`` → the attributes of each state.

This file owns what these tables mean, and which keys are derived from which.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import msgspec

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, dotted
from exavrrp.config.places import Keys
from exavrrp.neighbors import Session, overlap
from exavrrp.routes import Attributes, Level
from exavrrp.takeover import RoutePolicy, Takeover, derived_leaving, derived_standby, lengthened
from exavrrp.vrrp.packet import Address

LONGEST_PATH = 255
"""One AS_PATH segment counts its members in one byte (RFC 4271 §4.3)."""

ATTRIBUTE_BYTES = 3900
"""Of the 4,096 of a BGP message (RFC 4271 §4.1), without the header, the route and the attributes of fixed size."""

PREPENDS = 3
"""Prepends of an Active's path where silent failures take them away: so many nodes may die within a BGP hold time."""


def read(
    document: Document,
    keys: Keys,
    table: schema.Bgp,
    addresses: tuple[Address, ...],
    *,
    standby: bool,
    priority: int,
) -> RoutePolicy:
    """What ``table`` says at ``keys``; ``standby`` is whether a Backup announces, else its table has no effect.

    ``priority`` of the router: the Backups of one address must not tie among themselves.
    """
    usual = (Takeover.MED,) if table.med is None else ()
    takeover = frozenset(
        document.texts((*keys, "takeover"), usual if table.takeover is None else table.takeover, Takeover)
    )
    prepend = table.prepend
    if Takeover.PREPEND in takeover:
        if prepend == 0:
            document.problem((*keys, "prepend"), 'is 0, but takeover = ["prepend"] takes prepends away; write 1 to 32')
            takeover -= {Takeover.PREPEND}  # a stand-in
        prepend = PREPENDS if prepend is None else prepend
    if Takeover.MED in takeover and table.med is not None:
        document.problem(
            (*keys, "med"),
            f'is {table.med}, but takeover = ["med"] makes it from the time of the takeover; remove one of the two',
        )
    values = _values(document, keys, table, addresses)
    if Takeover.MED in takeover:
        values.pop("med", None)
    active = Attributes(**values, as_path=table.as_path, prepend=prepend or 0)
    _reachable(document, keys, active, addresses)
    longer = standby or lengthened(active)
    derived = {
        Level.STANDBY: derived_standby(active, priority, longer=longer),
        Level.LEAVING: derived_leaving(active, longer=longer),
    }
    lesser = [_level(document, keys, level, table, one, addresses=addresses) for level, one in derived.items()]
    _fits(document, keys, [active, *lesser])
    _named_alike(document, keys, [active, *lesser])
    for level, attributes in zip((Level.STANDBY, Level.LEAVING), lesser, strict=True):
        _named_everywhere(document, (*keys, level.value), active, attributes)
    if not standby:
        lesser[0] = derived[Level.STANDBY]
    return RoutePolicy(active, lesser[0], lesser[1], takeover)


def _level(
    document: Document,
    keys: Keys,
    level: Level,
    active: schema.Bgp,
    derived: Attributes,
    *,
    addresses: tuple[Address, ...],
) -> Attributes:
    """``derived`` with what the table of ``level`` says."""
    table: schema.Level = getattr(active, level)
    if isinstance(active.next_hop, dict):
        for name in ("next_hop", "neighbors"):
            if getattr(table, name) is not None:
                document.problem(
                    (*keys, level.value, name),
                    f"is of no use: next_hop in {dotted(keys)} names neighbors, for all states; remove it",
                )
        table = msgspec.structs.replace(table, next_hop=None, neighbors=None)
    keys = (*keys, level.value)
    found = replace(derived, **_values(document, keys, table, addresses))
    if table.as_path is not None or table.prepend is not None:
        as_path = active.as_path if table.as_path is None else table.as_path
        found = replace(found, as_path=as_path, prepend=table.prepend or 0)
    if table.next_hop is not None or table.neighbors is not None:
        _reachable(document, keys, found, addresses)
    return found


def _values(
    document: Document, keys: Keys, table: schema.Bgp | schema.Level, addresses: tuple[Address, ...]
) -> dict[str, Any]:
    """The attributes that ``table`` gives, but for the path."""
    found: dict[str, Any] = {"med": table.med, "local_preference": table.local_preference}
    if table.communities is not None:
        found["communities"] = document.texts((*keys, "communities"), table.communities, notation.community)
    if table.large_communities is not None:
        place = (*keys, "large_communities")
        found["large_communities"] = document.texts(place, table.large_communities, notation.large_community)
    if table.neighbors is not None:
        found["neighbors"] = document.texts((*keys, "neighbors"), table.neighbors, notation.session)
    if isinstance(table.next_hop, dict):
        found |= _next_hops(document, (*keys, "next_hop"), table.next_hop, found.get("neighbors", ()), addresses)
    elif table.next_hop is not None:
        found["next_hop"] = _next_hop(document, (*keys, "next_hop"), table.next_hop, addresses)
    return {key: value for key, value in found.items() if value is not None}


def _next_hops(
    document: Document,
    keys: Keys,
    table: dict[str, str],
    neighbors: tuple[Session, ...],
    addresses: tuple[Address, ...],
) -> dict[str, Any]:
    """The next hops of single neighbors. Without ``neighbors`` the route goes to these only: no others are known."""
    found: dict[Session, str] = {}
    for text, next_hop in table.items():
        session = document.text((*keys, text), text, notation.session)
        if session is None:
            continue
        if session in found:
            document.problem((*keys, text), "is there twice; remove one")
        elif neighbors and session not in neighbors:
            document.problem((*keys, text), "is not among neighbors; add it there, or remove it here")
        on_link = session.peer.is_link_local
        found[session] = _next_hop(document, (*keys, text), next_hop, addresses, on_link=on_link)
        if found[session] == str(session.peer):
            document.problem((*keys, text), "is the address of this very neighbor; write one of ours")
    heard = neighbors or tuple(found)
    return {"neighbors": heard, "next_hops": tuple((session, found[session]) for session in heard if session in found)}


def _next_hop(
    document: Document, keys: Keys, text: str, addresses: tuple[Address, ...], *, on_link: bool = False
) -> str:
    """``on_link``: the neighbor is at the other end of a link, where it reaches link-local addresses, too."""
    if text == "self":
        return text
    found = document.text(keys, text, notation.unicast if on_link else notation.routed)
    if found is None or not addresses:
        return "self"
    if found.version < addresses[0].version:  # the other way round: RFC 8950
        document.problem(keys, f'is {found}, but the addresses are IPv6; write one of IPv6 or "self"')
    elif found in addresses:
        document.problem(keys, f'is {found}, a virtual address: a route cannot lead to itself; write "self"')
    return str(found)


def _reachable(document: Document, keys: Keys, found: Attributes, addresses: tuple[Address, ...]) -> None:
    """Note a next hop ``self`` over a session of the other family, which is no address of the route's family."""
    if not addresses or addresses[0].version == 4 or not document.sound((*keys, "next_hop")):
        return
    own = dict(found.next_hops)
    for neighbor in found.neighbors:
        if neighbor.peer.version == 4 and own.get(neighbor, found.next_hop) == "self":
            named = document.place((*keys, "neighbors"), neighbor)
            place = (*keys, "next_hop", str(neighbor)) if neighbor in own else named
            document.problem(
                place,
                f"holds {neighbor}: over an IPv4 session ExaBGP has no IPv6 address of its own to announce;"
                " name IPv6 neighbors only, or write an address of ours as its next_hop",
            )


def _named_everywhere(document: Document, keys: Keys, active: Attributes, found: Attributes) -> None:
    """Note a level that names neighbors beside one that does not: no route is withdrawn from unknown neighbors."""
    sound = all(document.sound((*place, "neighbors")) for place in (keys, keys[:-1]))
    if sound and bool(found.neighbors) != bool(active.neighbors):
        table = dotted(keys[:-1])
        document.problem(
            (*keys, "neighbors"),
            f"names neighbors, but the other states are announced to all; write neighbors in {table} too"
            if found.neighbors
            else f"is [], all of them, but {table} names some; name those that are to hear of this state",
        )


def _named_alike(document: Document, keys: Keys, levels: Collection[Attributes]) -> None:
    """Note a neighbor named as a whole and by session: a withdraw from all its sessions would end the other route."""
    if found := overlap([session for attributes in levels for session in attributes.neighbors]):
        document.problem(
            (*keys, "neighbors"),
            f'with those of its other states, holds "{found[0]}", all sessions to it, and "{found[1]}";'
            " name each session, or the neighbor alone",
        )


def _fits(document: Document, keys: Keys, levels: Collection[Attributes]) -> None:
    longest = max(attributes.length(internal=False) for attributes in levels)
    size = max(
        4 * len(attributes.communities) + 12 * len(attributes.large_communities) + 4 * attributes.length(internal=False)
        for attributes in levels
    )
    if longest > LONGEST_PATH:
        document.problem(
            (*keys, "as_path"),
            f"makes paths of up to {longest} AS numbers, with those put before it; {LONGEST_PATH} fit: write fewer",
        )
    elif size > ATTRIBUTE_BYTES:
        document.problem(keys, "all attributes together do not fit into one BGP message; write fewer communities")
