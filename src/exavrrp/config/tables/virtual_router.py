"""``[virtual_router.NAME]`` → settings, complete without its agent."""

from collections.abc import Iterable

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.kinds import program
from exavrrp.config.places import Keys
from exavrrp.config.settings import Agent, Transport, VirtualRouter
from exavrrp.config.tables import bgp
from exavrrp.config.tables.check import PreflightError
from exavrrp.config.tables.names import defined
from exavrrp.config.tables.values import authentication, interfaces, listed, whole_centiseconds
from exavrrp.neighbors import Session, overlap
from exavrrp.presence import Handover
from exavrrp.routes import Network, host_route
from exavrrp.virtual_address import LO, VirtualAddress
from exavrrp.vrrp.packet import OWNER, Address

MOST_ADDRESSES = {4: 255, 6: 88}
"""Virtual addresses in one advert. IPv4: the count is one byte (RFC 9568 §5.2.5), and 255 still fit into 1,500 bytes.
IPv6: keepalived accepts no more than 88 when adverts are authenticated, and we let no router grow beyond its peers."""

LEARNED_FACTOR = 10
"""Own intervals: the longest interval that is learned from a peer's advert, unless ``learned_interval_max`` is set."""


def read(
    document: Document,
    name: str,
    table: schema.VirtualRouter,
    agent: Agent,
    preflight_error: PreflightError | None,
) -> VirtualRouter:
    """What ``[virtual_router.NAME]`` means, with what it takes from ``agent``; mistakes are noted.

    ``preflight_error`` is asked about the programs of ``notify``, see ``load``.
    """
    keys = ("virtual_router", name)
    interval = _interval(document, (*keys, "advert_interval"), table, agent)
    virtual_addresses = _virtual_addresses(document, keys, table)
    addresses = tuple(one.address for one in virtual_addresses)
    family = addresses[0].version if addresses else None
    standby = table.standby == "announce"
    priority = _priority(document, keys, table)
    _contradictions(document, keys, table, agent, family=family, interval=interval)
    return VirtualRouter(
        name=name,
        vrid=table.vrid,
        version=table.version,
        plain_password=table.plain_password,
        priority=priority,
        virtual_addresses=virtual_addresses,
        announce=_announced(document, (*keys, "bgp", "announce"), table, addresses),
        transport=Transport(table.transport),
        source=_source(document, (*keys, "source"), table, agent, family),
        peers=_peers(document, (*keys, "peers"), table, agent, family),
        interfaces=_interfaces(document, keys, table, agent),
        preempt=table.preempt,
        preempt_delay=table.preempt_delay,
        advert_interval=interval,
        down_count=agent.down_count if table.down_count is None else table.down_count,
        learned_interval_max=_learned_interval_max(document, keys, table.learned_interval_max, agent, interval),
        handover=_handover(document, keys, table),
        handover_hold=table.handover_hold,
        linger=table.linger,
        handover_ceiling=_ceiling(document, keys, table),
        min_sessions=table.min_sessions if table.announce else 0,
        sessions_neighbors=_counted(document, (*keys, "sessions_neighbors"), table),
        sessions_weight=table.sessions_weight,
        startup_hold=table.startup_hold,
        authentication=_authentication(document, (*keys, "authentication"), table, agent),
        checks=document.texts((*keys, "checks"), table.checks, lambda name: defined(document, "check", name)),
        group=table.group,
        notify=_notified(document, (*keys, "notify"), table.notify, preflight_error),
        notify_active=_notified(document, (*keys, "notify_active"), table.notify_active, preflight_error),
        notify_backup=_notified(document, (*keys, "notify_backup"), table.notify_backup, preflight_error),
        notify_fault=_notified(document, (*keys, "notify_fault"), table.notify_fault, preflight_error),
        notify_stop=_notified(document, (*keys, "notify_stop"), table.notify_stop, preflight_error),
        notify_fifo=table.notify_fifo,
        notify_socket=_notify_socket(document, keys, table),
        notify_timeout=table.notify_timeout,
        standby=standby,
        prebind=_prebinds(document, (*keys, "prebind"), table),
        route_policy=bgp.read(document, (*keys, "bgp"), table.bgp, addresses, standby=standby, priority=priority),
        stale_for=table.bgp.stale_for,
    )


def _interval(document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent) -> float:
    if table.advert_interval is None:
        return agent.advert_interval
    return whole_centiseconds(document, keys, table.advert_interval)


def _contradictions(
    document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent, *, family: int | None, interval: float
) -> None:
    """Keys that do not go together; none of them alone is wrong."""
    _preemption(document, keys, table)
    _version2(document, keys, table, agent, family=family, interval=interval)
    _without_routes(document, keys, table)


def _virtual_addresses(document: Document, keys: Keys, table: schema.VirtualRouter) -> tuple[VirtualAddress, ...]:
    """Those that adverts list, then the others."""
    advertised = _addresses(document, (*keys, "addresses"), table)
    unlisted = _unlisted(document, (*keys, "unlisted_addresses"), table, tuple(advertised))
    family = next((one.version for one in (*advertised, *unlisted)), None)
    preferred = _preferred(document, (*keys, "preferred_lifetime"), table, family)
    if table.bind == LO:
        document.problem((*keys, "bind"), 'is "lo", where addresses are by default; write true')
    elif isinstance(table.bind, str) and isinstance(notation.quantity(table.bind), bool):
        document.problem((*keys, "bind"), f"is {shown(table.bind)}; write true or false, or the name of an interface")
    bind, interface = bool(table.bind), table.bind if isinstance(table.bind, str) else LO
    return tuple(
        VirtualAddress(
            one.address,
            preferred if one.preferred is None else one.preferred,
            listed,
            bind,
            interface,
            one.length,
            one.label,
            one.scope,
        )
        for found, listed in ((advertised, True), (unlisted, False))
        for one in found.values()
    )


def _handover(document: Document, keys: Keys, table: schema.VirtualRouter) -> Handover:
    """On a link two nodes with one address would both answer who asks for it."""
    if not isinstance(table.bind, str):
        return Handover(table.handover)
    if (*keys, "handover") in document and table.handover == "make-before-break":
        document.problem(
            (*keys, "handover"),
            f"is {shown(table.handover)}, with which two nodes have the addresses for a while, but on {table.bind} both"
            " would answer ARP and neighbor solicitations; remove it",
        )
    return Handover.BREAK_BEFORE_MAKE


def _without_routes(document: Document, keys: Keys, table: schema.VirtualRouter) -> None:
    """Note what is written about routes and sessions of a router that announces nothing."""
    if table.announce:
        return
    found = {
        "bgp": (True, "sets attributes"),
        "min_sessions": (table.min_sessions, f"is {table.min_sessions}"),
        "sessions_neighbors": (table.sessions_neighbors, "names neighbors"),
        "sessions_weight": (table.sessions_weight, f"is {table.sessions_weight}"),
        "prebind": (table.prebind, "is true"),
        "standby": (table.standby == "announce", 'is "announce"'),
        "unlisted_addresses": (
            table.unlisted_addresses and not table.bind,
            "holds what is neither bound (bind = false) nor in an advert",
        ),
    }
    for key, (matters, what) in found.items():
        if matters and (*keys, key) in document:
            document.problem((*keys, key), f"{what}, but announce = false announces nothing; remove one of the two")


def _version2(
    document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent, *, family: int | None, interval: float
) -> None:
    """Note what VRRPv2 cannot do, and what it alone can."""
    if table.version == 3:
        if table.plain_password is not None:
            document.problem(
                (*keys, "plain_password"),
                "is for version = 2 alone; write that, or an authentication of VRRPv3 (authentication = …)",
            )
        return
    if family == 6:
        document.problem((*keys, "version"), "is 2, but the addresses are IPv6, which VRRPv2 does not know; remove it")
    if interval != max(1, round(interval)):
        inherited = table.advert_interval is None
        document.problem(
            ("agent", "advert_interval") if inherited else (*keys, "advert_interval"),
            f"is {interval:g}, but VRRPv2 ({dotted((*keys, 'version'))} = 2) knows whole seconds;"
            f" write {max(1, round(interval))}",
        )
    if _authentication(document, (*keys, "authentication"), table, agent) is not None:
        document.problem(
            (*keys, "version"),
            f'is 2, but adverts of VRRPv2 cannot be signed; write authentication = "{schema.UNAUTHENTICATED}", or'
            " version = 3",
        )


def _authentication(document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent) -> str | None:
    """Its own, or that of the agent."""
    if table.authentication is None:
        return agent.authentication
    return authentication(document, keys, table.authentication)


def _addresses(document: Document, keys: Keys, table: schema.VirtualRouter) -> dict[Address, notation.Form]:
    found = _forms(document, keys, table.addresses, table)  # of one family: see ``services``
    most = MOST_ADDRESSES[next(iter(found)).version] if found else 0
    if len(found) > most:
        document.problem(
            keys,
            f"holds {len(found)} addresses; one advert has room for {most}:"
            " write the others into unlisted_addresses on all nodes, or a second virtual router",
        )
    return found


def _forms(
    document: Document, keys: Keys, texts: Iterable[str], table: schema.VirtualRouter
) -> dict[Address, notation.Form]:
    """Each address once, as it is to be where it is bound."""
    interface = table.bind if isinstance(table.bind, str) else LO if table.bind else None
    found: dict[Address, notation.Form] = {}
    for one in document.texts(keys, texts, lambda text: notation.form(text, interface)):
        if one.address in found:
            document.problem(document.place(keys, one), f"holds {one.address} in two forms; remove one")
        found[one.address] = one
    return found


def _unlisted(
    document: Document, keys: Keys, table: schema.VirtualRouter, addresses: tuple[Address, ...]
) -> dict[Address, notation.Form]:
    """The addresses that adverts do not list; of the same family, since sessions and next hops are of one family."""
    found = _forms(document, keys, table.unlisted_addresses, table)
    family = addresses[0].version if addresses else None
    for address, form in found.items():
        place = document.place(keys, form)
        if address in addresses:
            document.problem(place, f"holds {address}, which is in addresses; remove it from one of them")
        elif family is not None and address.version != family:
            document.problem(
                place,
                f"holds {address}, but the addresses are IPv{family}; write a virtual router for IPv{address.version}"
                " with the same group, and they move together",
            )
    return {address: one for address, one in found.items() if address.version == family and address not in addresses}


def _preferred(document: Document, keys: Keys, table: schema.VirtualRouter, family: int | None) -> bool:
    """Whether the addresses may be a source of the host's own connections. IPv4 addresses, of scope host, never are."""
    lifetime = table.preferred_lifetime
    if keys in document and not table.bind:
        document.problem(keys, f"is {shown(lifetime)}, but bind = false binds nothing; remove one of the two")
    elif family == 4 and keys in document:
        on_link = isinstance(table.bind, str)
        why = (
            f"which on {table.bind} are, as any other one there,"
            if on_link
            else "which are bound with scope host and so never"
        )
        document.problem(keys, f"is {shown(lifetime)}, but the addresses are IPv4, {why} a source; remove it")
    return lifetime == "forever" and family == 6 and bool(table.bind)


def _prebinds(document: Document, keys: Keys, table: schema.VirtualRouter) -> bool:
    """Whether a Backup binds the addresses, and announces nothing."""
    if table.prebind and not table.bind:
        document.problem(keys, "is true, but bind = false binds nothing; remove one of the two")
    elif table.prebind and table.standby == "announce":
        document.problem(keys, 'is true, but standby = "announce" binds the addresses anyway; remove one of the two')
    return table.prebind


def _announced(
    document: Document, keys: Keys, table: schema.VirtualRouter, addresses: tuple[Address, ...]
) -> tuple[Network, ...]:
    """The prefixes that are announced, each with at least one of our addresses in it.

    Another prefix would be announced while nothing in it is bound, and is most likely misspelt.
    """
    texts = table.bgp.announce
    if not table.announce:
        return ()
    if texts is None or not addresses:
        return tuple(map(host_route, addresses))
    found = document.texts(keys, texts, notation.prefix)
    family = addresses[0].version
    for network in found:
        if network.version != family:
            document.problem(
                document.place(keys, network), f"holds {network}, but the addresses are IPv{family}; remove it"
            )
        elif not any(address in network for address in addresses):
            document.problem(
                document.place(keys, network),
                f"holds {network}, which contains none of the addresses ({listed(addresses)});"
                " write a prefix that contains one, or remove it",
            )
    return found


def _priority(document: Document, keys: Keys, table: schema.VirtualRouter) -> int:
    """Of this node; what names nodes has been resolved before (``nodes``), where there are any."""
    if (*keys, "order") in document:
        document.problem((*keys, "order"), "needs a table [node.NAME] for each node; write them, or priority = 200")
    if isinstance(table.priority, int):
        return table.priority
    document.problem((*keys, "priority"), "names nodes, but there is no table [node.NAME]; write them, or a number")
    return schema.PRIORITY


def _preemption(document: Document, keys: Keys, table: schema.VirtualRouter) -> None:
    owner = table.priority == OWNER
    if owner and not table.preempt:
        document.problem(
            (*keys, "preempt"),
            "is false, but priority 255 (the owner of the addresses) always preempts;"
            " remove it, or write a priority of at most 254",
        )
    elif table.preempt_delay and not table.preempt:
        document.problem(
            (*keys, "preempt_delay"),
            f"is {table.preempt_delay:g}, but preempt = false preempts nobody; remove one of the two",
        )
    elif table.preempt_delay and owner:
        document.problem(
            (*keys, "preempt_delay"),
            f"is {table.preempt_delay:g}, but priority 255 (the owner of the addresses) never waits;"
            " remove it, or write a priority of at most 254",
        )


def _ceiling(document: Document, keys: Keys, table: schema.VirtualRouter) -> float:
    if table.handover_ceiling < table.handover_hold:
        document.problem(
            (*keys, "handover_ceiling"),
            f"is {table.handover_ceiling:g}, below a handover_hold of {table.handover_hold:g}; write that or more",
        )
    return table.handover_ceiling


def _counted(document: Document, keys: Keys, table: schema.VirtualRouter) -> tuple[Session, ...]:
    """The only sessions that count. Fewer than ``min_sessions`` would keep the router out for ever."""
    neighbors = document.texts(keys, table.sessions_neighbors, notation.session)
    if found := overlap(neighbors):
        document.problem(keys, f'holds "{found[0]}", all sessions to it, and "{found[1]}"; remove one of the two')
    if neighbors and document.sound(keys) and table.min_sessions > len(neighbors):
        document.problem(
            (*keys[:-1], "min_sessions"),
            f"is {table.min_sessions}, but sessions_neighbors names {len(neighbors)};"
            f" write at most {len(neighbors)}, or name more neighbors (of several sessions to one neighbor each:"
            ' "192.0.2.1 from 192.0.2.2")',
        )
    elif neighbors and table.min_sessions == 0:
        document.problem(keys, "names neighbors, but min_sessions = 0 needs none; remove one of the two")
    return neighbors


def _notified(
    document: Document, keys: Keys, command: tuple[str, ...] | None, preflight_error: PreflightError | None
) -> tuple[str, ...] | None:
    """``command``; if its program cannot be run here, that is noted."""
    notified = None if command is None else program(document, keys, command)
    if notified is not None and preflight_error is not None and (found := preflight_error(notified)) is not None:
        document.problem(keys, found[1])
    return command


def _notify_socket(document: Document, keys: Keys, table: schema.VirtualRouter) -> str | None:
    if table.notify_socket is not None and table.notify_socket == table.notify_fifo:
        document.problem((*keys, "notify_socket"), "is what notify_fifo is; write another path, or remove one of them")
    return table.notify_socket


def _interfaces(document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent) -> tuple[str, ...] | None:
    """Those that may carry adverts."""
    several = interfaces(document, (*keys, "interfaces"), table.interfaces)
    if table.transport == "routed":
        if table.interface is not None:
            document.problem(
                (*keys, "interface"),
                f"is {shown(table.interface)}, but adverts are routed; write"
                f' interfaces = ["{table.interface}"], or transport = "unicast" or "multicast"',
            )
        return several or agent.interfaces
    if several is not None:
        document.problem(
            (*keys, "interfaces"), f'names interfaces, but transport = "{table.transport}" uses one; write interface'
        )
    if table.interface is None:
        document.problem(
            (*keys, "interface"), f'is missing; write the interface for transport = "{table.transport}": "eth0"'
        )
        return None
    return (table.interface,)


def _source(
    document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent, family: int | None
) -> Address | None:
    """A link-local one with its scope, which makes it another source on each interface."""
    text, routed = table.source, table.transport == "routed"
    multicast6 = table.transport == "multicast" and family == 6
    if text is None and routed:
        return next((address for address in agent.sources if address.version == family), None)
    if text is None:
        kind = "link-local" if multicast6 else f"IPv{family}" if family else "own"
        where = table.interface or "that interface"
        if family is not None and document.sound(keys):
            document.problem(keys, f"is missing; write the {kind} address of {where} that adverts are to come from")
        return None
    source = document.text(keys, text, notation.routed if routed else notation.unicast)
    if source is not None and family is not None and source.version != family:
        document.problem(keys, f"is {source}, but the addresses are IPv{family}; write an IPv{family} address")
    elif source is not None and multicast6 and not source.is_link_local:
        document.problem(
            keys,
            f"is {source}, but IPv6 multicast adverts come from a link-local address (RFC 9568, section 5.1.2.1);"
            f" write that of {table.interface or 'the interface'}",
        )
    if source is None or source.version == 4 or not source.is_link_local or table.interface is None:
        return source
    return document.text((*keys[:-1], "interface"), table.interface, lambda name: notation.scoped(source, name))


def _peers(
    document: Document, keys: Keys, table: schema.VirtualRouter, agent: Agent, family: int | None
) -> tuple[Address, ...]:
    texts, routed = table.peers, table.transport == "routed"
    if not texts and table.transport == "multicast":
        return ()
    if texts is None:
        peers = tuple(peer for peer in agent.peers if peer.version == family)
        if not peers and family is not None and document.sound(("agent", "peers")) and document.sound(keys):
            document.problem(keys, f"is missing; write the other nodes' IPv{family} addresses here or into agent.peers")
        return peers
    peers = document.texts(keys, texts, notation.routed if routed else notation.unicast)
    for peer in peers:
        if family is not None and peer.version != family:
            document.problem(document.place(keys, peer), f"holds {peer}, but the addresses are IPv{family}; remove it")
    if not peers and document.sound(keys):
        document.problem(keys, "is []; write the other nodes' addresses, or remove the key to use agent.peers")
    return peers


def _learned_interval_max(
    document: Document, keys: Keys, seconds: float | None, agent: Agent, interval: float
) -> float:
    if seconds is not None:
        keys = (*keys, "learned_interval_max")
        seconds = whole_centiseconds(document, keys, seconds)
    elif agent.learned_interval_max is not None:
        keys, seconds = ("agent", "learned_interval_max"), agent.learned_interval_max
    else:
        return min(round(LEARNED_FACTOR * interval, 2), 40.95)
    if seconds < interval:
        document.problem(keys, f"is {seconds:g}, below an advert_interval of {interval:g}; write that or more")
    return seconds
