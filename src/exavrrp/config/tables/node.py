"""[node.NAME] → which addresses are whose, for the one file that is the same on all nodes (``config.nodes``)."""

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, dotted
from exavrrp.config.tables.values import listed
from exavrrp.vrrp.packet import Address


def owned(document: Document, tables: dict[str, schema.Node]) -> dict[str, tuple[Address, ...]]:
    """The own addresses of each node, at most one per family; mistakes are noted and left out."""
    holders: dict[Address, str] = {}
    return {name: _sources(document, name, table, holders) for name, table in tables.items()}


def _sources(document: Document, name: str, table: schema.Node, holders: dict[Address, str]) -> tuple[Address, ...]:
    keys = ("node", name, "sources")
    found: dict[int, Address] = {}
    for address in document.texts(keys, table.sources, notation.routed):
        at = document.place(keys, address)
        holder = holders.setdefault(address, name)
        if holder != name:
            place = dotted(("node", holder))
            document.problem(at, f"holds {address}, as does {place}; write an address of this node alone")
        elif (first := found.setdefault(address.version, address)) is not address:
            document.problem(at, f"holds two IPv{address.version} addresses ({listed([first, address])}); keep one")
    return tuple(found.values())
