"""ExaBGP's part: the process, and the neighbors, of which no keepalived.conf knows."""

from collections.abc import Sequence
from dataclasses import dataclass

from exavrrp.vrrp.packet import Address

TO_FILL_IN = "…"
UNLESS = "unless exabgp.conf has it (or give --neighbor)"


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A router that the virtual addresses are announced to."""

    address: Address
    remote_as: int


def stanza(neighbors: Sequence[Neighbor], families: Sequence[int], configuration: str, program: str) -> str:
    """What belongs into exabgp.conf (4.2 and 5.0). Of ``families`` are the virtual addresses."""
    process = (
        "# In front of the neighbors of exabgp.conf (ExaBGP 4.2 and 5.0). A neighbor that is there already gets this:\n"
        "#     api { processes [ exavrrp ]; neighbor-changes; }\n"
        "process exavrrp {\n"
        f"    run {program} run --config {configuration};\n"
        "    encoder json;\n"
        "}\n"
    )
    known = [_neighbor(str(one.address), str(one.remote_as), one.address.version) for one in neighbors]
    return "\n".join([process, *known, *(_example(family) for family in _without(neighbors, families))])


def missing(neighbors: Sequence[Neighbor], families: Sequence[int]) -> list[tuple[str, str]]:
    """(key, what it is): what a person has to fill in."""
    found = [
        (f"neighbor {neighbor.address}: {key}", what)
        for neighbor in neighbors
        for key, what in (
            ("local-address", "this node's end of the session"),
            ("local-as", "this node's AS number"),
            ("router-id", "this node's, an IPv4 address"),
        )
    ]
    none = _without(neighbors, families)
    return [
        *found,
        *(("neighbor", f"each router that IPv{one} addresses are announced to, {UNLESS}") for one in none),
    ]


def _without(neighbors: Sequence[Neighbor], families: Sequence[int]) -> list[int]:
    """Those of ``families`` that no neighbor is of."""
    return [family for family in families if all(neighbor.address.version != family for neighbor in neighbors)]


def _example(family: int) -> str:
    head = f"# To fill in, once for each router that IPv{family} addresses are announced to, {UNLESS}:\n"
    return head + "".join(f"# {line}\n" for line in _neighbor(TO_FILL_IN, TO_FILL_IN, family).splitlines())


def _neighbor(address: str, remote_as: str, family: int) -> str:
    return (
        f"neighbor {address} {{\n"
        f"    local-address {TO_FILL_IN};\n"
        f"    local-as {TO_FILL_IN};\n"
        f"    peer-as {remote_as};\n"
        f"    router-id {TO_FILL_IN};\n"
        "    hold-time 9;\n"
        "    family {\n"
        f"        ipv{family} unicast;\n"
        "    }\n"
        "    api {\n"
        "        processes [ exavrrp ];\n"
        "        neighbor-changes;\n"
        "    }\n"
        "}\n"
    )
