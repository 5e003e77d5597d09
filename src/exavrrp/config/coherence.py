"""Whether settings that are right by themselves also go together: contradictions are errors, oddities are warnings.

Each function looks at one thing and notes what it finds in the document. They see all settings, those of tables with
mistakes included: a stand-in (an empty list of addresses, the virtual router number 0) is passed over.
"""

from itertools import pairwise

from exavrrp.config import schema
from exavrrp.config.diagnosis import Document, Keys, dotted, shown
from exavrrp.config.settings import Agent, Authentication, Check, Http, Tcp, VirtualRouter
from exavrrp.presence import Handover
from exavrrp.routes import LARGEST, Level, Takeover
from exavrrp.vrrp.auth import Mode
from exavrrp.vrrp.packet import OWNER, Address

HASTY = 0.05
"""Seconds. Adverts that are sent more often than this ask more of a busy host's scheduler than it promises."""

UNEQUAL = {
    "priority": "the least of them counts for all",
    "advert_interval": "all wait for the longest",
    "preempt": "all preempt only if each of them does",
    "preempt_delay": "all wait for the longest",
}
"""What members of a group should agree on, and what it comes to if they do not."""


def contradictions(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    """Note every error that takes more than one table to see."""
    _peers_that_are_we(document, agent, routers)
    _addresses_of_nodes(document, agent, routers)
    _addresses_held_twice(document, routers)
    _elections_held_twice(document, routers)
    for one in routers:
        _run_twice(document, one)
        _misordered(document, ("virtual_router", one.name, "bgp"), one)


def oddities(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    """Note every warning."""
    _idle(document, agent, routers, checks)
    _elsewhere(document, routers, checks)
    _grouped(document, routers)
    named = {check.name: check for check in checks}
    for one in routers:
        keys = ("virtual_router", one.name)
        _hasty(document, keys, one)
        _clamped(document, keys, one, named)
        _substituted(document, keys, one)
        _without_effect(document, (*keys, "bgp"), one)


def unguarded(
    document: Document, routers: tuple[VirtualRouter, ...], authentications: tuple[Authentication, ...]
) -> None:
    """Note what looks like protection, and is none."""
    used = {one.authentication for one in routers}
    for one in authentications:
        keys = ("authentication", one.name)
        if one.name not in used:
            document.warning(keys, f'is used by no virtual router; write authentication = "{one.name}" in [agent]')
        elif one.mode is not Mode.ENFORCE:
            document.warning(
                (*keys, "mode"),
                f'is "{one.mode}", which accepts adverts that nobody has signed; write "enforce" as soon as all sign',
            )


def _peers_that_are_we(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    """A node that lists itself would discard its own adverts as forged."""
    for one in routers:
        inherited = ("virtual_router", one.name, "peers") not in document
        holder: Keys = ("agent", "peers") if inherited else ("virtual_router", one.name, "peers")
        for source in {*agent.sources, one.source}.intersection(one.peers):
            document.problem(holder, f"holds {source}, a source of this node; list the other nodes only")


def _addresses_of_nodes(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...]) -> None:
    nodes: dict[Address | None, str] = {}
    for whose, addresses in (("a peer", agent.peers), ("a source", agent.sources)):
        nodes |= dict.fromkeys(addresses, whose)
    for one in routers:
        nodes |= dict.fromkeys(one.peers, "a peer")
        nodes[one.source] = "a source"
    for one in routers:
        for index, address in enumerate(one.addresses):
            if address in nodes:
                document.problem(
                    ("virtual_router", one.name, "addresses", index),
                    f"holds {address}, {nodes[address]}; write an address that is no node's own",
                )


def _addresses_held_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    holders: dict[Address, str] = {}
    for one in routers:
        for index, address in enumerate(one.addresses):
            holder = holders.setdefault(address, one.name)
            if holder != one.name:
                document.problem(
                    ("virtual_router", one.name, "addresses", index),
                    f"holds {address}, as does {dotted(('virtual_router', holder))}; remove it from one of them",
                )


def _elections_held_twice(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    holders: dict[tuple[int, int, Address | None], str] = {}
    for one in routers:
        if not one.vrid or not one.addresses:
            continue
        holder = holders.setdefault((one.vrid, one.family, one.source), one.name)
        if holder != one.name:
            document.problem(
                ("virtual_router", one.name, "vrid"),
                f"is {one.vrid}, as in {dotted(('virtual_router', holder))}, with the same family and source;"
                " write another number",
            )


def _run_twice(document: Document, one: VirtualRouter) -> None:
    if one.standby and one.handover is Handover.BREAK_BEFORE_MAKE:
        document.problem(
            ("virtual_router", one.name, "standby"),
            'is "announce", which binds the addresses on every node, but handover = "break-before-make" is for a'
            ' service that must never run twice; write "withdraw", or handover = "make-before-break"',
        )


def _misordered(document: Document, keys: Keys, one: VirtualRouter) -> None:
    """States that a router would not tell apart share the traffic; in the wrong order they take it from the Active.

    The order towards iBGP neighbours, which compare the local preference first, is always wanted. The one towards eBGP
    neighbours may be meant not to matter by who writes local preferences.
    """
    if not document.sound(keys):
        return
    internal = any((*keys, *level, "local_preference") in document for level in ((), ("standby",), ("leaving",)))
    levels = [Level.ACTIVE, *([Level.STANDBY] if one.standby else []), Level.LEAVING]
    for better, worse in pairwise(levels):
        where = next((place for place in ((*keys, worse.value), (*keys, better.value)) if place in document), keys)
        for inside in (True, False):
            ranks = [one.ladder.rank(level, internal=inside) for level in (better, worse)]
            if ranks[0] < ranks[1]:
                continue
            verb = "share the traffic between" if ranks[0] == ranks[1] else "prefer the wrong one of"
            remedy = (
                "write a lower local_preference" if inside else "write a larger med or more prepends"
            ) + f" for {worse}, or leave out what you wrote for it"
            message = (
                f"{'iBGP' if inside else 'eBGP'} neighbours would {verb} {better} ({_told(ranks[0], inside)}) and"
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


def _without_effect(document: Document, keys: Keys, one: VirtualRouter) -> None:
    if not one.standby and (*keys, "standby") in document:
        document.warning(
            (*keys, "standby"),
            f'has no effect without standby = "announce" in {dotted(("virtual_router", one.name))}; write that, or'
            " remove this table",
        )
    if Takeover.PREPEND not in one.ladder.takeover and one.stale_for != schema.Bgp().stale_for:
        document.warning((*keys, "stale_for"), 'has no effect without takeover = ["prepend"]; write that, or remove it')


def _idle(document: Document, agent: Agent, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    used = {name for one in routers for name in one.checks}
    for check in checks:
        if check.name not in used:
            document.warning(
                ("check", check.name), f'is used by no virtual router; write checks = ["{check.name}"] in one'
            )
    families = {one.family for one in routers if one.addresses}
    for key, addresses in (("sources", agent.sources), ("peers", agent.peers)):
        for family in sorted({one.version for one in addresses} - families):
            document.warning(("agent", key), f"has IPv{family} addresses, but no virtual router is IPv{family}")


def _elsewhere(document: Document, routers: tuple[VirtualRouter, ...], checks: tuple[Check, ...]) -> None:
    """A Backup that asks a virtual address learns how the Active is."""
    virtual = {address for one in routers for address in one.addresses}
    for check in checks:
        match check.probe:
            case Tcp(endpoint):
                key = "tcp"
            case Http(url):
                key, endpoint = "http", url.endpoint
            case _:
                continue
        if endpoint.address in virtual:
            document.warning(
                ("check", check.name, key),
                f"asks {endpoint.address}, a virtual address, where the Active answers; write an address of this node",
            )


def _grouped(document: Document, routers: tuple[VirtualRouter, ...]) -> None:
    """A group works with settings that differ, but as none of them says."""
    groups: dict[str, list[VirtualRouter]] = {}
    for one in routers:
        if one.group is not None:
            groups.setdefault(one.group, []).append(one)
    for name, members in groups.items():
        first, *others = members
        if not others:
            document.warning(
                ("virtual_router", first.name, "group"),
                f'is "{name}", as in no other virtual router; write it in those that are to move with this one',
            )
        for one in others:
            for key, counts in UNEQUAL.items():
                ours, theirs = getattr(one, key), getattr(first, key)
                if ours != theirs:
                    document.warning(
                        ("virtual_router", one.name, key),
                        f"is {shown(ours)}, but {shown(theirs)} in {dotted(('virtual_router', first.name))} of the"
                        f' same group "{name}": {counts}; write the same in both',
                    )


def _hasty(document: Document, keys: Keys, one: VirtualRouter) -> None:
    if one.advert_interval < HASTY:
        inherited = (*keys, "advert_interval") not in document
        document.warning(
            ("agent", "advert_interval") if inherited else (*keys, "advert_interval"),
            f"is {one.advert_interval:g}: a host that is busy for {3 * one.advert_interval:g} s is taken for dead;"
            f" {HASTY:g} and more is safer",
        )


def _clamped(document: Document, keys: Keys, one: VirtualRouter, checks: dict[str, Check]) -> None:
    """Priorities that checks carry beyond 1–254 are clamped there, where nodes become equal unnoticed."""
    used = [checks[name] for name in one.checks if name in checks]
    if one.priority == OWNER:
        if any(check.weight for check in used):
            document.warning((*keys, "checks"), "only weight = 0 has an effect with priority 255, which never changes")
        return
    # What a number in a file will be, nobody knows.
    amounts = [-check.weight if check.reverse else check.weight for check in used if not check.valued]
    most = one.priority + sum(amount for amount in amounts if amount > 0)
    least = one.priority + sum(amount for amount in amounts if amount < 0)
    if most >= OWNER:
        document.warning((*keys, "checks"), f"can raise the priority to {most}; it ends at 254, where nodes may tie")
    if least < 1:
        document.warning((*keys, "checks"), f"can lower the priority to {least}; it ends at 1, where nodes may tie")


def _substituted(document: Document, keys: Keys, one: VirtualRouter) -> None:
    if one.ladder.active.next_hop != "self" or not one.addresses or one.family != 4:
        return
    for index, neighbor in enumerate(one.ladder.active.neighbors):
        if neighbor.version == 6:
            document.warning(
                (*keys, "bgp", "neighbors", index),
                f"holds {neighbor}: over an IPv6 session ExaBGP announces its router-id as the IPv4 next hop;"
                " make sure that it is an address of this node",
            )
