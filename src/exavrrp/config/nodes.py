"""One file for all nodes: what it says on one of them.

With tables ``[node.NAME]`` the file is the same on every node. Before any other table is read, ``take`` puts what it
means on this node in the place of what concerns all: sources and peers into ``[agent]``, a priority into each virtual
router. Mistakes in these values are told where the operator wrote them (``Document.moved``). Every node is looked at on
each of them: a file that would be wrong on one is refused by all.

Nothing that follows from these tables may be written as well, for it would be said of every node: with ``peers`` each
node would list itself, with ``source`` all would have one address, with a number as ``priority`` all would tie. So a
virtual router on one interface, which needs a source there, has no place in such a file.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.places import Keys
from exavrrp.config.tables.names import named, node_named
from exavrrp.config.tables.node import owned
from exavrrp.config.tables.values import listed
from exavrrp.vrrp.packet import Address

FIRST, STEP = 250, 10
"""Priorities by ``order``: 250, 240, … A weight of -11 carries a node behind the next one, -21 behind the second."""

DERIVED = ("sources", "peers")
"""Keys of ``[agent]`` that follow from the tables of the nodes."""

MOST = 256
"""Nodes: each has the others as its peers."""

OWN = ("interfaces",)
"""Keys of ``[agent]`` that a node may have for itself."""

_TYPES = {field.name: field.type for field in msgspec.structs.fields(schema.VirtualRouter)}

Tables = Mapping[str, schema.Node]
"""What each node has, by name in the order of the file."""


def take(document: Document, node: str | None, host: str | None) -> None:
    """Make ``document`` what it is on ``node`` or, if none is named, on ``host``; mistakes are noted.

    Both are the name of a table or of its host, short or full.
    """
    tables = dict(named(document, "node", schema.Node))
    if len(tables) > MOST:
        document.problem(("node",), f"has {len(tables)} nodes; write at most {MOST}")
        tables = dict(islice(tables.items(), MOST))
    sources = owned(document, tables)
    _consistent(document, tables)
    me = _meant(document, tables, host if node is None else node)
    routers = document.data.get("virtual_router")
    if isinstance(routers, dict):
        _complete(document, sources, routers)
        usual = None if all(map(_has_own, routers.values())) else _usual(document, tables)
        document.data["virtual_router"] = {
            name: _router(document, name, table, tables, usual=usual, me=me) if isinstance(table, dict) else table
            for name, table in routers.items()
        }
        _without_effect(document, tables, routers)
    agent = document.data.get("agent", {})
    if isinstance(agent, dict):
        document.data["agent"] = _agent(document, agent, sources, me)
    if not document.sound(("node",)):
        document.spoil(*(("agent", key) for key in DERIVED))


def _consistent(document: Document, tables: Tables) -> None:
    for name in tables:
        short = _short(name)
        if short != name and short in tables:
            told = f"is the full name of {dotted(('node', short))}, and both are one host"
            document.problem(("node", name), f"{told}; keep one of the two tables")
    if len(tables) == 1 and document.sound(("node",)):
        document.problem(("node",), "has one node alone; write a table [node.NAME] for each of the others")


def _short(name: str) -> str:
    return name.partition(".")[0]


def _meant(document: Document, tables: Tables, host: str | None) -> str | None:
    """The node that is meant; None after a mistake."""
    wanted = "" if host is None else host.lower()
    alike = [name for name in tables if wanted in {name, _short(name)} or name == _short(wanted)]
    found = [name for name in alike if name == wanted] or alike
    if len(found) == 1:
        return found[0]
    known = f"name the node with --node: {listed(list(found or tables))}"
    if host is None:
        document.problem(("node",), f"has several nodes; {known}")
    elif found:
        document.problem(("node",), f"has several nodes for the name {shown(host)}; {known}")
    elif document.sound(("node",)):
        document.problem(("node",), f"has no table for {shown(host)}; write one, or {known}")
    return None


def _agent(
    document: Document, agent: dict[str, Any], sources: Mapping[str, tuple[Address, ...]], me: str | None
) -> dict[str, Any]:
    found = {key: value for key, value in agent.items() if key not in DERIVED}
    for key in DERIVED:
        _refuse(document, ("agent", key))
    if me is None:
        return found
    own: dict[str, Any] = document.data["node"][me]
    for key in OWN:
        if key in own:
            found[key] = own[key]
            document.moved(("agent", key), ("node", me, key))
    found["sources"] = [str(address) for address in sources[me]]
    document.moved(("agent", "sources"), ("node", me, "sources"))
    peers = [(name, address) for name, theirs in sources.items() if name != me for address in theirs]
    found["peers"] = [str(address) for _, address in peers]
    document.moved(("agent", "peers"), ("node",))
    for index, (name, _) in enumerate(peers):
        document.moved(("agent", "peers", index), ("node", name, "sources"))
    return found


def _refuse(document: Document, keys: Keys) -> None:
    if keys in document:
        document.problem(keys, "stands beside tables [node.NAME], and would be said of every node; remove it")


def _complete(document: Document, sources: Mapping[str, tuple[Address, ...]], routers: dict[str, Any]) -> None:
    """Note each node without an address of a family that a virtual router has."""
    needed: dict[int, str] = {}
    for name, table in routers.items():
        for family in _families(table):
            needed.setdefault(family, name)
    for name, addresses in sources.items():
        keys = ("node", name, "sources")
        missing = sorted(needed.keys() - {address.version for address in addresses}) if document.sound(keys) else ()
        for family in missing:
            told = f"has no IPv{family} address, which {dotted(('virtual_router', needed[family]))} needs"
            document.problem(keys, f"{told}; add one of this node")


def _families(table: object) -> Iterator[int]:
    """Those of which it needs a source of each node."""
    addresses = table.get("addresses") if isinstance(table, dict) and not _is_on_one_interface(table) else None
    for text in addresses if isinstance(addresses, list) else []:
        with suppress(ValueError, TypeError, AttributeError):
            yield notation.family(text)


def _router(
    document: Document,
    name: str,
    table: dict[str, Any],
    tables: Tables,
    *,
    usual: dict[str, int] | None,
    me: str | None,
) -> dict[str, Any]:
    """The table of a virtual router as it is on this node; ``usual``: what priorities are unless it has its own."""
    keys = ("virtual_router", name)
    if _is_on_one_interface(table):
        told = (
            f"is {shown(table['transport'])}, for which each node needs a source of its own, and this file is for all"
        )
        remedy = "write a file for each node, or remove it: adverts are routed"
        document.problem((*keys, "transport"), f"{told}; {remedy}")
        document.spoil((*keys, "source"), (*keys, "peers"))
    else:
        _refuse(document, (*keys, "source"))
        _refuse(document, (*keys, "peers"))
    found = {key: value for key, value in table.items() if key not in {"source", "peers", "priority", "order"}}
    priorities = _own(document, keys, table, tables) if _has_own(table) else usual
    if me is None or priorities is None:
        document.spoil((*keys, "priority"))
        return found
    if "order" in table:
        document.moved((*keys, "priority"), (*keys, "order"))
    elif "priority" in table:
        document.moved((*keys, "priority"), (*keys, "priority", me))
    else:
        document.moved((*keys, "priority"), ("node", me, "priority"))
    return {**found, "priority": priorities[me]}


def _is_on_one_interface(table: object) -> bool:
    return isinstance(table, dict) and table.get("transport") in ("unicast", "multicast")


def _has_own(table: object) -> bool:
    return isinstance(table, dict) and not {"order", "priority"}.isdisjoint(table)


def _own(document: Document, keys: Keys, table: dict[str, Any], tables: Tables) -> dict[str, int] | None:
    """The priority of each node by the virtual router's own table; None after a mistake."""
    if "order" not in table:
        return _by_name(document, (*keys, "priority"), table["priority"], tables)
    if "priority" in table:
        document.problem((*keys, "order"), "stands beside priority; keep one of the two")
        return None
    return _by_order(document, (*keys, "order"), table["order"], tables)


def _usual(document: Document, tables: Tables) -> dict[str, int] | None:
    """The priority of each node by its own table; None after a mistake."""
    found = {name: _default(each) for name, each in tables.items()}
    for name, other in _ties(found):
        if all(document.sound(("node", each, "priority")) for each in (name, other)):
            told = (
                f"is {found[name]}, as in {dotted(('node', other))}; write another one, or an order of nodes into each"
            )
            document.problem(("node", name, "priority"), f"{told} virtual router: {_example(tables)}")
    return found if document.sound(("node",)) else None


def _default(table: schema.Node) -> int:
    return schema.PRIORITY if table.priority is None else table.priority


def _ties(priorities: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Each node with an earlier one that has the same priority."""
    holders: dict[int, str] = {}
    for name, priority in priorities.items():
        holder = holders.setdefault(priority, name)
        if holder != name:
            yield name, holder


def _example(tables: Tables) -> str:
    return f"order = [{listed([shown(name) for name in tables])}]"


def _by_order(document: Document, keys: Keys, written: object, tables: Tables) -> dict[str, int] | None:
    order = document.value(keys, written, _TYPES["order"])
    if not isinstance(order, tuple):
        return None
    nodes = document.texts(keys, order, lambda text: node_named(text, tables))
    _whole(document, keys, nodes, tables)
    return {name: FIRST - STEP * index for index, name in enumerate(nodes)} if document.sound(keys) else None


def _by_name(document: Document, keys: Keys, written: object, tables: Tables) -> dict[str, int] | None:
    if not isinstance(written, dict):
        if document.value(keys, written, _TYPES["priority"]) is not None:
            told = f"is {shown(written)} on every node"
            document.problem(keys, f"{told}; write an order of nodes, the first of which serves: {_example(tables)}")
        return None
    found: dict[str, object] = {}
    for text, value in written.items():
        name = document.text((*keys, text), text, lambda text: node_named(text, tables))
        if name is not None:
            found[name] = document.value((*keys, text), value, schema.Priority)
    _whole(document, keys, found, tables)
    if not document.sound(keys):
        return None
    priorities = {name: value for name, value in found.items() if isinstance(value, int)}
    for name, other in _ties(priorities):
        document.problem((*keys, name), f"is {priorities[name]}, as that of {other}; write another number")
    return priorities if document.sound(keys) else None


def _whole(document: Document, keys: Keys, nodes: Collection[str], tables: Tables) -> None:
    missing = [name for name in tables if name not in nodes]
    if missing and document.sound(keys):
        document.problem(keys, f"leaves out {listed(missing)}; name every node")


def _without_effect(document: Document, tables: Tables, routers: dict[str, Any]) -> None:
    for name, table in tables.items():
        if table.priority is not None and routers and all(map(_has_own, routers.values())):
            document.warning(
                ("node", name, "priority"), "has no effect: each virtual router has an order or priorities; remove it"
            )
