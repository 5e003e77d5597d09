"""Whether settings that are right by themselves also go together: contradictions are errors, oddities are warnings.

Each function looks at one thing and notes what it finds in the document. They see all settings, those of tables with
mistakes included: a stand-in (an empty list of addresses, the virtual router number 0) is passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise

from exavrrp.config import schema
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.kinds import Program
from exavrrp.config.notation import Endpoint, Form, Url
from exavrrp.config.places import Keys
from exavrrp.config.settings import Agent, Authentication, Check, Transport, VirtualRouter
from exavrrp.neighbors import Session
from exavrrp.presence import Handover
from exavrrp.routes import LARGEST, Level, Network, host_route
from exavrrp.takeover import Takeover
from exavrrp.vrrp.auth import Mode
from exavrrp.vrrp.packet import OWNER, Address, unscoped

HASTY = 0.05
"""Seconds. Adverts that are sent more often than this ask more of a busy host's scheduler than it promises."""

UNEQUAL = {
    "priority": "the least of them counts for all",
    "advert_interval": "all wait for the longest",
    "down_count": "each waits for as many intervals as it says, and all take over together",
    "preempt": "all preempt only if each of them does",
    "preempt_delay": "all wait for the longest",
}
"""What members of a group should agree on, and what it comes to if they do not."""


def contradictions(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    """Note every error that takes more than one table to see."""
    _peers_that_are_we(document, agent, routers)
    _addresses_of_nodes(document, agent, routers)
    _addresses_held_twice(document, routers)
    _prefixes_announced_twice(document, routers)
    _elections_held_twice(document, routers)
    _carried_twice(document, routers)
    for router in routers:
        _run_twice(document, router)
        _signed_by_anybody(document, router)
        _misordered(document, ("virtual_router", router.name, "bgp"), router)
        _not_carried(document, ("virtual_router", router.name), router)


SHELL_WORD = r"\|\|?|&&?|;|[0-9&]?(>>?|<)(&[0-9]|/.*)?"
"""A word that hardly is an argument: a pipe, a list, a redirection (POSIX.1-2017, Shell & Utilities, 2.7 and 2.9)."""


def oddities(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    """Note every warning."""
    _idle(document, agent, routers, checks)
    _elsewhere(document, routers, checks)
    _grouped(document, routers)
    _unshelled(document, checks)
    named = {check.name: check for check in checks}
    for router in routers:
        keys = ("virtual_router", router.name)
        _unheard(document, keys, router)
        _outdated(document, keys, router)
        _hasty(document, keys, router)
        _clamped(document, keys, router, named)
        _substituted(document, keys, router)
        _without_effect(document, (*keys, "bgp"), router)
        _unannounced(document, (*keys, "bgp", "announce"), router)


def unguarded(
    document: Document, routers: tuple[VirtualRouter, ...], authentications: tuple[Authentication, ...]
) -> None:
    """Note what looks like protection, and is none."""
    used = {router.authentication for router in routers}
    for authentication in authentications:
        keys = ("authentication", authentication.name)
        if authentication.name not in used:
            document.warning(
                keys, f'is used by no virtual router; write authentication = "{authentication.name}" in [agent]'
            )
        elif authentication.mode is not Mode.ENFORCE:
            document.warning(
                (*keys, "mode"),
                f'is "{authentication.mode}", which accepts adverts that nobody has signed;'
                ' write "enforce" as soon as all sign',
            )


def _peers_that_are_we(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    """A node that lists itself would discard its own adverts as forged."""
    for router in routers:
        inherited = ("virtual_router", router.name, "peers") not in document
        holder: Keys = ("agent", "peers") if inherited else ("virtual_router", router.name, "peers")
        own = {*agent.sources, *([] if router.source is None else [unscoped(router.source)])}
        for source in own.intersection(router.peers):
            place = document.place(holder, source)
            document.problem(place, f"holds {source}, a source of this node; list the other nodes only")


def _addresses_of_nodes(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    nodes: dict[Address | None, str] = {}
    for whose, addresses in (("a peer", agent.peers), ("a source", agent.sources)):
        nodes |= dict.fromkeys(addresses, whose)
    for router in routers:
        nodes |= dict.fromkeys(router.peers, "a peer")
        nodes[router.source] = "a source"
    for router in routers:
        for keys, address in _virtual(document, router):
            if address in nodes:
                document.problem(keys, f"holds {address}, {nodes[address]}; write an address that is no node's own")


def _virtual(document: Document, router: VirtualRouter) -> Iterator[tuple[Keys, Address]]:
    """Every address of a router with its place."""
    for key in ("addresses", "unlisted_addresses"):
        for form, place in document.places(("virtual_router", router.name, key)):
            assert isinstance(form, Form)
            yield place, form.address


def _addresses_held_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    holders: dict[Address, str] = {}
    for router in routers:
        for keys, address in _virtual(document, router):
            holder = holders.setdefault(address, router.name)
            if holder != router.name:
                document.problem(
                    keys, f"holds {address}, as does {dotted(('virtual_router', holder))}; remove it from one of them"
                )


def _prefixes_announced_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    """Whoever withdraws it first would withdraw it for both."""
    holders: dict[Network, str] = {}
    for router in routers:
        keys = ("virtual_router", router.name, "bgp", "announce")
        for network in router.announce if keys in document else ():
            holder = holders.setdefault(network, router.name)
            if holder != router.name:
                document.problem(
                    document.place(keys, network),
                    f"holds {network}, as does {dotted(('virtual_router', holder, 'bgp'))}; remove it from one of them,"
                    " or make one virtual router of the two",
                )


def _elections_held_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    holders: dict[tuple[int, int, Address | None], str] = {}
    for router in routers:
        if not router.vrid or not router.addresses:
            continue
        holder = holders.setdefault((router.vrid, router.family, router.source), router.name)
        if holder != router.name:
            document.problem(
                ("virtual_router", router.name, "vrid"),
                f"is {router.vrid}, as in {dotted(('virtual_router', holder))}, with the same family and source;"
                " write another number",
            )


def _carried_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    """A source has one set of sockets, which are bound to one interface or to none."""
    first: dict[Address, VirtualRouter] = {}
    for router in routers:
        if router.source is None or not router.addresses:
            continue
        other = first.setdefault(router.source, router)
        ours, theirs = ((one.transport, one.medium and one.medium.interface) for one in (router, other))
        if ours != theirs:
            document.problem(
                ("virtual_router", router.name, "source"),
                f"is {router.source}, as in {dotted(('virtual_router', other.name))}, whose adverts take another way"
                f" (transport, interface); write another source in one of them",
            )


def _signed_by_anybody(document: Document, router: VirtualRouter) -> None:
    """A replayed advert is known by the last number of its sender, which has to be kept."""
    if router.authentication is not None and router.multicast is not None and not router.peers:
        document.problem(
            ("virtual_router", router.name, "peers"),
            "is missing, but authentication has to know who may send; write the other nodes' addresses",
        )


def _run_twice(document: Document, router: VirtualRouter) -> None:
    for key, binds, told, other in (
        ("standby", router.standby, 'is "announce"', '"withdraw"'),
        ("prebind", router.prebind, "is true", "false"),
    ):
        if binds and router.on_link:
            document.problem(
                ("virtual_router", router.name, key),
                f"{told}, which binds the addresses on every node, but on {router.bound_to} all would answer ARP and"
                f" neighbor solicitations; write {other}",
            )
        elif binds and router.handover is Handover.BREAK_BEFORE_MAKE:
            document.problem(
                ("virtual_router", router.name, key),
                f'{told}, which binds the addresses on every node, but handover = "break-before-make" is for a'
                f' service that must never run twice; write {other}, or handover = "make-before-break"',
            )


def _misordered(document: Document, keys: Keys, router: VirtualRouter) -> None:
    """States that a router would not tell apart share the traffic; in the wrong order they take it from the Active.

    The order towards iBGP neighbors, which compare the local preference first, is always wanted. The one towards eBGP
    neighbors may be meant not to matter by who writes local preferences.
    """
    if not document.sound(keys):
        return
    internal = any((*keys, *level, "local_preference") in document for level in ((), ("standby",), ("leaving",)))
    levels = [Level.ACTIVE, *([Level.STANDBY] if router.standby else []), Level.LEAVING]
    for better, worse in pairwise(levels):
        where = next((place for place in ((*keys, worse.value), (*keys, better.value)) if place in document), keys)
        for inside in (True, False):
            ranks = [router.route_policy.rank(level, internal=inside) for level in (better, worse)]
            if ranks[0] < ranks[1]:
                continue
            verb = "share the traffic between" if ranks[0] == ranks[1] else "prefer the wrong one of"
            remedy = (
                "write a lower local_preference" if inside else "write a larger med or more prepends"
            ) + f" for {worse}, or leave out what you wrote for it"
            if Takeover.MED in router.route_policy.takeover and better is Level.ACTIVE and not inside:
                remedy += ", or turn takeover by MED off (takeover = [])"
            message = (
                f"{'iBGP' if inside else 'eBGP'} neighbors would {verb} {better} ({_told(ranks[0], inside)}) and"
                f" {worse} ({_told(ranks[1], inside)}); {remedy}"
            )
            if internal and not inside:
                document.warning(where, message)
            else:
                document.problem(where, message)
            break


def _told(rank: tuple[int, int, int], internal: bool) -> str:
    preference = f"local preference {LARGEST - rank[0]}, " if internal else ""
    return f"{preference}path length {rank[1]}, MED {rank[2]}"


def _without_effect(document: Document, keys: Keys, router: VirtualRouter) -> None:
    if not router.standby and (*keys, "standby") in document:
        document.warning(
            (*keys, "standby"),
            f'has no effect without standby = "announce" in {dotted(("virtual_router", router.name))}; write that, or'
            " remove this table",
        )
    if not router.route_policy.takeover - {Takeover.MED} and router.stale_for != schema.Bgp().stale_for:
        document.warning(
            (*keys, "stale_for"),
            'has no effect without "prepend" or "local-preference" in takeover; write one of them, or remove it',
        )


def _unannounced(document: Document, keys: Keys, router: VirtualRouter) -> None:
    """Somebody else may announce it; most often it was forgotten."""
    missing = [address for address in router.addresses if not any(address in network for network in router.announce)]
    if router.announce and missing:
        told = ", ".join(f'"{host_route(address)}"' for address in missing[:8]) + (", …" if len(missing) > 8 else "")
        document.warning(keys, f"covers every address but {told}, so nobody learns the way there; write that into it")


def _unheard(document: Document, keys: Keys, router: VirtualRouter) -> None:
    """An election that nothing follows from; other members of a group follow it."""
    told = any(
        field.name.startswith("notify") and field.name != "notify_timeout" and getattr(router, field.name)
        for field in fields(router)
    )
    if router.addresses and not (router.announce or router.on_lo or router.group or told):
        document.warning(
            (*keys, "announce"),
            "is false, as is bind, and nobody is told who is Active; write notify (or notify_fifo, notify_socket, …),"
            " or a group",
        )


def _outdated(document: Document, keys: Keys, router: VirtualRouter) -> None:
    if router.version == 2:
        what = "sends a password that everybody on the way can read" if router.plain_password else "has whole seconds"
        document.warning(
            (*keys, "version"),
            f"is 2, which {what}, and which RFC 9568 has replaced; write 3 on all nodes as soon as all know it",
        )


def _idle(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    used = {name for router in routers for name in router.checks}
    for check in checks:
        if check.name not in used:
            document.warning(
                ("check", check.name), f'is used by no virtual router; write checks = ["{check.name}"] in one'
            )
    if any(router.transport is not Transport.ROUTED for router in routers):
        return  # of the ends of a VXLAN (``exavrrp vxlan``) the family is another matter
    families = {router.family for router in routers if router.addresses}
    for key, addresses in (("sources", agent.sources), ("peers", agent.peers)):
        for family in sorted({address.version for address in addresses} - families):
            document.warning(("agent", key), f"has IPv{family} addresses, but no virtual router is IPv{family}")


def _elsewhere(document: Document, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    """A Backup that asks a virtual address learns how the Active is."""
    virtual = {address for router in routers for address in router.addresses}
    for check in checks:
        for key, value in ((key.name, getattr(check.probe, key.name)) for key in fields(check.probe)):
            endpoint = value.endpoint if isinstance(value, Url) else value
            if isinstance(endpoint, Endpoint) and endpoint.address in virtual:
                document.warning(
                    ("check", check.name, key),
                    f"asks {endpoint.address}, a virtual address, where the Active answers;"
                    " write an address of this node",
                )


def _grouped(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    """A group works with settings that differ, but as none of them says."""
    groups: dict[str, list[VirtualRouter]] = {}
    for router in routers:
        if router.group is not None:
            groups.setdefault(router.group, []).append(router)
    for name, members in groups.items():
        first, *others = members
        if not others:
            document.warning(
                ("virtual_router", first.name, "group"),
                f'is "{name}", as in no other virtual router; write it in those that are to move with this one',
            )
        for router in others:
            for key, counts in UNEQUAL.items():
                ours, theirs = getattr(router, key), getattr(first, key)
                if ours != theirs:
                    document.warning(
                        ("virtual_router", router.name, key),
                        f"is {shown(ours)}, but {shown(theirs)} in {dotted(('virtual_router', first.name))} of the"
                        f' same group "{name}": {counts}; write the same in both',
                    )


def _unshelled(document: Document, checks: tuple[Check, ...]) -> None:
    """A program that gets pipes and redirections as its arguments: only a shell knows what they mean."""
    for check in checks:
        if isinstance(check.probe, Program):
            for index, word in enumerate(check.probe.command):
                if index and re.fullmatch(SHELL_WORD, word):
                    document.warning(
                        ("check", check.name, "command", index),
                        f'holds {shown(word)}, which the program gets as an argument; write shell = "…" if /bin/sh is '
                        "meant to understand it",
                    )


def _hasty(document: Document, keys: Keys, router: VirtualRouter) -> None:
    if router.advert_interval < HASTY:
        inherited = (*keys, "advert_interval") not in document
        document.warning(
            ("agent", "advert_interval") if inherited else (*keys, "advert_interval"),
            f"is {router.advert_interval:g}: a host that is busy for"
            f" {router.down_count * router.advert_interval:g} s is taken for dead; {HASTY:g} and more is safer",
        )


def _clamped(document: Document, keys: Keys, router: VirtualRouter, checks: dict[str, Check]) -> None:
    """Priorities that checks carry beyond 1–254 are clamped there, where nodes become equal unnoticed."""
    used = [checks[name] for name in router.checks if name in checks]
    if router.priority == OWNER:
        if any(check.weight for check in used):
            document.warning((*keys, "checks"), "only weight = 0 has an effect with priority 255, which never changes")
        return
    # What a number in a file will be, nobody knows.
    amounts = [-check.weight if check.reverse else check.weight for check in used if not check.valued]
    most = router.priority + sum(amount for amount in amounts if amount > 0)
    least = router.priority + sum(amount for amount in amounts if amount < 0)
    if most >= OWNER:
        document.warning((*keys, "checks"), f"can raise the priority to {most}; it ends at 254, where nodes may tie")
    if least < 1:
        document.warning((*keys, "checks"), f"can lower the priority to {least}; it ends at 1, where nodes may tie")


def _named(document: Document, keys: Keys, router: VirtualRouter) -> list[tuple[Keys, Session, str | None]]:
    """The sessions that are named: where, and with which next hop; None: nothing is announced over it."""
    active, own = router.route_policy.active, dict(router.route_policy.active.next_hops)
    found: list[tuple[Keys, Session, str | None]] = [
        (document.place((*keys, "bgp", "neighbors"), each), each, own.get(each, active.next_hop))
        for each in active.neighbors
    ]
    for each in router.sessions_neighbors:
        told = [other for other in active.neighbors if other.covers(each)]
        next_hop = own.get(told[0], active.next_hop) if told else None if active.neighbors else active.next_hop
        found.append((document.place((*keys, "sessions_neighbors"), each), each, next_hop))
    return found


def _not_carried(document: Document, keys: Keys, router: VirtualRouter) -> None:
    """What counts, or is needed, and cannot carry the addresses."""
    neighbors = router.route_policy.active.neighbors
    if not router.addresses:
        return
    if router.route_policy.active.next_hops and not router.sessions_neighbors and router.min_sessions > len(neighbors):
        document.problem(
            (*keys, "min_sessions"),
            f"is {router.min_sessions}, but next_hop names {len(neighbors)} neighbors, the only ones that are told;"
            f" write at most {len(neighbors)}",
        )
    for place, neighbor, next_hop in _named(document, keys, router):
        counted = "sessions_neighbors" in place  # ``_reachable`` in ``tables.bgp`` looks after the others
        if counted and next_hop == "self" and router.family == 6 and neighbor.peer.version == 4:
            document.problem(
                place,
                f"holds {neighbor}: over an IPv4 session ExaBGP has no IPv6 address of its own to announce;"
                " name IPv6 neighbors only, or write an address of ours as its next_hop",
            )


def _substituted(document: Document, keys: Keys, router: VirtualRouter) -> None:
    """Next hops that need something elsewhere, and sessions that count without having anything to do with it."""
    for place, neighbor, next_hop in _named(document, keys, router):
        if next_hop is None:
            document.warning(place, f"holds {neighbor}, over which nothing is announced: bgp names other neighbors")
        elif next_hop == "self" and router.family == 4 and neighbor.peer.version == 6:
            document.warning(
                place,
                f"holds {neighbor}: over an IPv6 session ExaBGP announces its router-id as the IPv4 next hop;"
                " make sure that it is an address of this node",
            )
    active = router.route_policy.active
    foreign = [text for text in (active.next_hop, *dict(active.next_hops).values()) if ":" in text]
    if router.family == 4 and foreign:
        document.warning(
            (*keys, "bgp", "next_hop"),
            f"is {foreign[0]} for an IPv4 address (RFC 8950); in exabgp.conf each neighbor needs"
            " capability { nexthop enable; } and nexthop { ipv4 unicast ipv6; }, and the router has to agree",
        )
