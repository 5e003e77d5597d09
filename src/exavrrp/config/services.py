"""One table for a service of both families: ``addresses`` of IPv6 and of IPv4 in one ``[virtual_router.NAME]``.

An advert is of one family, so that is two virtual routers with one number, which move together. Before any table is
read, ``split`` puts ``NAME-ipv6`` and ``NAME-ipv4`` in its place, in a group called NAME. Each gets what the table
says, but for what belongs to the other family. Mistakes are told where they were written (``Document.moved``).

What means something else, or everything, when only one family is named in it is not guessed: next hops, neighbors, and
the source on one interface.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.places import Keys
from exavrrp.config.toml import quoted

SUFFIXES = {6: "-ipv6", 4: "-ipv4"}
"""Of the names of the two."""

_Family = Callable[[Any], int]
"""The family of a text; raises whatever for anything else."""


def _node(text: str) -> int:
    return notation.routed(text).version


def _prefix(text: str) -> int:
    return notation.prefix(text).version


def _session(text: str) -> int:
    return notation.session(text).peer.version


_DIVIDED: Mapping[tuple[str, ...], _Family] = {
    ("addresses",): notation.family,
    ("unlisted_addresses",): notation.family,
    ("peers",): _node,
    ("bgp", "announce"): _prefix,
    ("bgp", "neighbors"): _session,
    ("bgp", "standby", "neighbors"): _session,
    ("bgp", "leaving", "neighbors"): _session,
    ("sessions_neighbors",): _session,
}
"""Lists whose elements belong to one family each."""

_LEVELS: tuple[tuple[str, ...], ...] = (("bgp",), ("bgp", "standby"), ("bgp", "leaving"))


def split(document: Document) -> None:
    """Put two virtual routers in the place of each that has addresses of both families; mistakes are noted."""
    routers = document.data.get("virtual_router")
    if not isinstance(routers, dict) or not any(map(_is_both, routers.values())):
        return
    found: dict[str, Any] = {}
    for name, table in routers.items():
        if not _is_both(table):
            found[name] = table
        elif _is_possible(document, name, table, routers):
            for family, suffix in SUFFIXES.items():
                found[name + suffix] = _half(document, name, table, family)
    document.data["virtual_router"] = found


def _is_both(table: object) -> bool:
    addresses = table.get("addresses") if isinstance(table, dict) else None
    if (
        not isinstance(addresses, list)
        or len({":" in notation.words(each)[0] for each in addresses if isinstance(each, str)}) < 2
    ):
        return False  # of one family, as most are: without parsing any
    return {_family(notation.family, each) for each in addresses} >= {4, 6}


def _family(of: _Family, value: object) -> int | None:
    """None of what is nothing of this kind."""
    try:
        return of(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_possible(document: Document, name: str, table: dict[str, Any], routers: dict[str, Any]) -> bool:
    """Whether the table can be divided; if not, that is noted."""
    keys: Keys = ("virtual_router", name)
    rule = (
        "a name for addresses of both families has 1 to 59 characters of a-z, 0-9, _, - and ., and begins with a-z or"
    )
    if not re.fullmatch(schema.NAME, name + SUFFIXES[6]):
        document.problem(keys, f"{rule} 0-9; -ipv6 and -ipv4 are appended to it")
    for family, suffix in SUFFIXES.items():
        if name + suffix in routers:
            told = f"is what the IPv{family} part of {dotted(keys)} is called"
            document.problem(("virtual_router", name + suffix), f"{told}; give one of them another name")
    apart = f"write a virtual router for each family instead, with the same vrid and group = {quoted(name)}"
    if table.get("transport") in ("unicast", "multicast") and document.sound((*keys, "transport")):
        told = f"is {shown(table['transport'])}, for which the source is of one family"
        document.problem((*keys, "transport"), f"{told}; {apart}")
    for level in _LEVELS:
        values = _inner(table, level)
        if values.get("next_hop", "self") != "self":
            document.problem((*keys, *level, "next_hop"), f"cannot be of both families; {apart}")
    for place, of in _DIVIDED.items():
        listed = _inner(table, place[:-1]).get(place[-1])
        families = {_family(of, each) for each in listed} if isinstance(listed, list) else set()
        if of is _session and len(families & {4, 6}) == 1:
            missing = 4 if 6 in families else 6
            document.problem((*keys, *place), f"has no IPv{missing} neighbor; add one, or {apart}")
    return document.sound(keys)


def _inner(table: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The table within; empty if there is none."""
    found: Any = table
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _half(document: Document, name: str, table: dict[str, Any], family: int) -> dict[str, Any]:
    """What the table says for one family."""
    here, there = ("virtual_router", name + SUFFIXES[family]), ("virtual_router", name)
    document.moved(here, there)
    found = deepcopy(table)
    for place, of in _DIVIDED.items():
        *outer, key = place
        within = _inner(found, outer)
        listed = within.get(key)
        if not isinstance(listed, list) or not listed:
            continue
        # What is of no family is a mistake, told once.
        mine = [index for index, each in enumerate(listed) if (_family(of, each) or 6) == family]
        for index, before in enumerate(mine):
            document.moved((*here, *place, index), (*there, *place, before))
        within[key] = [listed[index] for index in mine]
        if not mine:
            del within[key]
    if family == 4:
        found.pop("preferred_lifetime", None)
    if _family(_node, found.get("source")) not in {None, family}:
        del found["source"]
    return {"group": name, **found}
