"""exavrrp.toml → a configuration: all tables, what they take from each other and from this host, and every mistake.

``load`` works in three rounds, each going on after errors: the tables by themselves, each virtual router by itself,
and all of them together. It must not touch the operating system beyond reading the file: what this host has (addresses
on lo, programs, keys) comes in as functions.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from exavrrp.config import coherence, kinds, schema, services
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.files import beside
from exavrrp.config.opening import TABLES, opened
from exavrrp.config.settings import Configuration, Transport, VirtualRouter
from exavrrp.config.tables import agent, authentication, check, virtual_router
from exavrrp.config.tables.authentication import Reader
from exavrrp.config.tables.check import PreflightError
from exavrrp.config.tables.names import named
from exavrrp.config.tables.values import listed
from exavrrp.vrrp.packet import Address


def load(
    path: str | Path,
    local_addresses: Callable[[], Collection[Address]] | None = None,
    preflight_error: PreflightError | None = None,
    secrets: Reader | None = None,
    *,
    node: str | None = None,
    host: str | None = None,
    alone: bool = False,
) -> Configuration:
    """The configuration in ``path`` and ``conf.d/*.toml`` beside it.

    Raises ConfigError with everything that is wrong with it, and nothing else.

    ``local_addresses`` gives the addresses on lo, among which a missing source is looked for; without it such a source
    stays None. ``preflight_error`` says why a check cannot be carried out here. ``secrets`` reads the keys of
    authentications; without it they stay unknown. Whatever these raise is passed on, except ValueError of ``secrets``.
    ``node``: which one of the tables ``[node.NAME]`` is ours; None: that of ``host``. Either is a name of the table or
    of its host, short or full.
    ``alone``: the files beside ``path`` are not read.
    """
    _, configuration = read(path, local_addresses, preflight_error, secrets, node=node, host=host, alone=alone)
    return configuration


def read(
    path: str | Path,
    local_addresses: Callable[[], Collection[Address]] | None = None,
    preflight_error: PreflightError | None = None,
    secrets: Reader | None = None,
    *,
    node: str | None = None,
    host: str | None = None,
    alone: bool = False,
) -> tuple[Document, Configuration]:
    """As ``load``, with the document in which more can be noted."""
    document = opened(path, alone=alone)
    document.unknown((), {name: value for name, value in document.data.items() if name not in TABLES}, TABLES)
    _take(document, node, host)
    services.split(document)
    ours = agent.read(document, document.table(("agent",), document.data.get("agent", {}), schema.Agent))
    if document.data.get("virtual_router", {}) == {} and document.sound(("virtual_router",)):
        document.problem((), "no virtual router; write at least one table [virtual_router.NAME]")
    checks = tuple(
        check.read(document, name, table, preflight_error) for name, table in named(document, "check", kinds.Check)
    )
    authentications = tuple(
        authentication.read(document, name, table, secrets)
        for name, table in named(document, "authentication", schema.Authentication)
    )
    routers = tuple(
        virtual_router.read(document, name, table, ours, preflight_error)
        for name, table in named(document, "virtual_router", schema.VirtualRouter)
    )
    routers = _with_sources(document, routers, local_addresses)
    coherence.contradictions(document, ours, routers)
    document.verdict()
    coherence.oddities(document, ours, routers, checks)
    coherence.unguarded(document, routers, authentications)
    return document, Configuration(
        agent=ours,
        routers=routers,
        checks=checks,
        authentications=authentications,
        warnings=tuple(document.warnings),
        written=dict(_written(document)),
    )


def _take(document: Document, node: str | None, host: str | None) -> None:
    if "node" in document.data:
        from exavrrp.config import nodes  # noqa: PLC0415 — only for those who have one file for all

        nodes.take(document, node, host)
    elif node is not None:
        document.problem((), f"has no table [node.NAME], so this is no file for {shown(node)}; leave out --node")


def _written(document: Document) -> Iterator[tuple[str, str]]:
    for key in ("sources", "interfaces"):
        here = ("agent", key)
        if (there := document.origin(here)) != here:
            yield dotted(here), dotted(there)


def node_names(path: Path) -> tuple[str, ...]:
    """The nodes that the file at ``path`` has tables for. Raises ConfigError when it cannot be read or is no TOML."""
    found = opened(path).data.get("node")
    return tuple(found) if isinstance(found, dict) else ()


def whole(path: Path) -> bytes:
    """What ``path`` and the files beside it hold, as one file that loads by itself as they do.

    Raises ConfigError when that cannot be read or is no TOML, and OSError.
    """
    if not beside(path):
        return path.read_bytes()
    from exavrrp.config.writing import merged  # noqa: PLC0415 — only for those who have several files

    return merged(opened(path).data).encode()


def _with_sources(
    document: Document,
    routers: tuple[VirtualRouter, ...],
    local_addresses: Callable[[], Collection[Address]] | None,
) -> tuple[VirtualRouter, ...]:
    """The routers without a source get the only fitting address on lo."""
    needed = {router.family for router in routers if router.addresses and _lacks_source(document, router)}
    if local_addresses is None or not needed or not document.sound(("agent", "sources")):
        return routers
    virtual = {address for router in routers for address in router.addresses}
    local = sorted(set(local_addresses()) - virtual, key=int)
    found: dict[int, Address] = {}
    for family in sorted(needed):
        usable = [address for address in local if address.version == family and _usable(address)]
        if len(usable) == 1:
            found[family] = usable[0]
        elif usable and all(
            document.sound(("virtual_router", router.name, key))
            for router in routers
            for key in ("addresses", "unlisted_addresses")
        ):
            document.problem(
                ("agent", "sources"),
                f"has no IPv{family} address, and lo has several ({listed(usable)}); write one of them",
            )
        elif not usable:
            document.problem(
                ("agent", "sources"),
                f"has no IPv{family} address, and lo has none that is global and not virtual;"
                " add one to lo, or write an address of this node",
            )
    return tuple(
        replace(router, source=found.get(router.family))
        if router.addresses and _lacks_source(document, router)
        else router
        for router in routers
    )


def _lacks_source(document: Document, virtual_router: VirtualRouter) -> bool:
    routed = virtual_router.transport is Transport.ROUTED  # on one interface, another address is meant
    return (
        routed and virtual_router.source is None and document.sound(("virtual_router", virtual_router.name, "source"))
    )


def _usable(address: Address) -> bool:
    """Whether an address found on lo can be what adverts are sent from."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)
