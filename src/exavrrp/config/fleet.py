"""All nodes at once: whether what each of them is told goes together, for ``exavrrp check --all-nodes``.

A node sees its own configuration only. Two of one priority, a list of peers that leaves one out, or addresses that
differ are right on each node by itself, and wrong together. Nothing here looks at a host. What is wrong is noted in the
document of the node that is to be changed, or of the later one where it may be either.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

from exavrrp.config.diagnosis import ConfigError, Document, Problem, shown
from exavrrp.config.loading import node_names, read
from exavrrp.config.places import Keys
from exavrrp.config.settings import Configuration, VirtualRouter, rejection
from exavrrp.config.tables.values import listed

Wire = tuple[int, int]
"""What a virtual router is for its peers: number and family."""


@dataclass(frozen=True, slots=True)
class View:
    """What one node is told."""

    where: str
    """for messages: ``on node1`` or ``in FILE``"""
    document: Document
    configuration: Configuration
    routers: Mapping[Wire, VirtualRouter]
    """of several with one number and family (and different sources) the first"""


def examined(paths: Sequence[Path]) -> tuple[Problem, ...]:
    """The warnings about all nodes of these files, each the file of one node or, with ``[node.NAME]``, of several.

    Raises ConfigError with everything that is wrong on any node, or between two of them.
    """
    views: list[View] = []
    problems: dict[Problem, None] = {}
    for path in paths:
        try:
            names = node_names(path)
            for name in names or (None,):
                try:
                    document, configuration = read(path, node=name)
                except ConfigError as error:
                    problems |= dict.fromkeys(error.problems)
                else:
                    routers = {(each.vrid, each.family): each for each in reversed(configuration.routers)}
                    where = f"in {path}" if name is None else f"on {name}"
                    views.append(View(where, document, configuration, routers))
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if not problems and len(views) == 1:
        problems[Problem(str(paths[0]), "", "is the file of one node; name those of the others, too")] = None
    if problems:
        raise ConfigError(problems)
    _compare(views)
    for view in views:
        try:
            view.document.verdict()
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(problems)
    return tuple(dict.fromkeys(warning for view in views for warning in view.document.warnings))


def _compare(views: Sequence[View]) -> None:
    for view in views:
        _unknown_sources(view)
        _strangers(view, views)
        _missing(view, views)
    for one, other in permutations(views, 2):
        _unheard(one, other)
    for first, later in combinations(views, 2):
        for ours, theirs in _pairs(later, first):
            _tied(later, ours, first, theirs)
    first, *others = views
    for view in others:
        _renumbered(view, first)
        _without_beacons(view, first)
        for ours, theirs in _pairs(view, first):
            _deaf(view, ours, first, theirs)
            _unequal(view, ours, first, theirs)
            _teamed(view, ours, first, theirs)
            _unverified(view, ours, first, theirs)


def _pairs(one: View, other: View) -> Iterator[tuple[VirtualRouter, VirtualRouter]]:
    """Each virtual router that both have."""
    theirs = other.routers
    for wire, router in one.routers.items():
        if wire in theirs:
            yield router, theirs[wire]


def _keys(router: VirtualRouter, key: str) -> Keys:
    return ("virtual_router", router.name, key)


def _peers(view: View, router: VirtualRouter) -> Keys:
    own = _keys(router, "peers")
    return own if own in view.document else ("agent", "peers")


def _unknown_sources(view: View) -> None:
    for router in view.configuration.routers:
        if router.source is None:
            view.document.warning(
                ("agent", "sources"),
                f"has no IPv{router.family} address, so it is not known here who is its peer; write it",
            )


def _strangers(view: View, views: Collection[View]) -> None:
    known = {router.source for each in views for router in each.configuration.routers}
    for router in view.configuration.routers:
        for peer in router.peers:
            if peer not in known and None not in known:
                place = view.document.place(_peers(view, router), peer)
                view.document.warning(place, f"holds {peer}, which is a source of no node that was read")


def _missing(view: View, views: Collection[View]) -> None:
    """Note the virtual routers that others count on this node for, and that it has not."""
    ours = view.configuration.routers
    sources = {router.source for router in ours}
    named = {(router.name, router.family) for router in ours}
    told: set[Wire] = set(view.routers)
    for other in views:
        for wire, router in other.routers.items():
            if wire in told or (router.name, router.family) in named or sources.isdisjoint(router.peers):
                continue
            told.add(wire)
            view.document.problem(
                ("virtual_router",),
                f"has none with vrid = {router.vrid} for IPv{router.family}, as {router.name} {other.where};"
                " write it here, too",
            )


def _unheard(view: View, other: View) -> None:
    """Note what the peers of a node lack: whoever is not in the list is neither told nor heard.

    Multicast without such a list reaches, and hears, anybody.
    """
    for router, match in _pairs(view, other):
        if router.peers and match.source is not None and match.source not in router.peers:
            view.document.problem(
                _peers(view, router), f"lacks {match.source}, the source of {match.name} {other.where}; add it"
            )


def _tied(view: View, ours: VirtualRouter, other: View, theirs: VirtualRouter) -> None:
    if ours.priority == theirs.priority:
        view.document.problem(
            _keys(ours, "priority"), f"is {ours.priority}, as {other.where}; write another one on each node"
        )


def _renumbered(view: View, other: View) -> None:
    """Two of one name that are not one on the wire."""
    theirs = {router.name: router for router in other.configuration.routers}
    for router in view.configuration.routers:
        same = theirs.get(router.name)
        if same is not None and same.family == router.family and same.vrid != router.vrid:
            told = f"is {router.vrid}, but {same.vrid} {other.where}"
            view.document.problem(_keys(router, "vrid"), f"{told}; write the same on all nodes")


def _without_beacons(view: View, other: View) -> None:
    """Two nodes of which one cannot hear the other one's beacons."""
    here, there = view.configuration, other.configuration
    pairs = [(here.beacons(ours), there.beacons(theirs)) for ours, theirs in _pairs(view, other)]
    told = [mine for mine, others in pairs if mine != others]
    mine, others = here.agent.beacon_port, there.agent.beacon_port
    if told:
        states = ("on", "off") if told[0] else ("off", "on")
        detail = "beacons are {} here, but {} {}; write the same on all nodes"
        view.document.warning(("agent", "beacon"), detail.format(*states, other.where))
    elif mine != others and (True, True) in pairs:
        view.document.warning(("agent", "beacon_port"), f"is {mine}, but {others} {other.where}; write the same")


def _deaf(view: View, ours: VirtualRouter, other: View, theirs: VirtualRouter) -> None:
    """Note what makes each of two reject whatever the other one sends."""
    found: list[tuple[str, str]] = []
    if ours.version != theirs.version:
        found.append(("version", f"is {ours.version}, but {theirs.version}"))
    elif ours.plain_password != theirs.plain_password:
        found.append(("plain_password", "is not the same"))
    if ours.multicast != theirs.multicast:
        found.append(("transport", f"is {shown(ours.transport)}, but {shown(theirs.transport)}"))
    for key, what in found:
        view.document.problem(
            _keys(ours, key), f"{what} {other.where}, so neither hears the other; write the same on all nodes"
        )


def _unequal(view: View, ours: VirtualRouter, other: View, theirs: VirtualRouter) -> None:
    for key, mine, others in (
        ("addresses", ours.listed, theirs.listed),
        ("unlisted_addresses", ours.unlisted, theirs.unlisted),
    ):
        more = [address for address in mine if address not in others]
        less = [address for address in others if address not in mine]
        told = [f"holds {listed(more)}, which it does not {other.where}"] if more else []
        told += [f"lacks {listed(less)}, which it holds {other.where}"] if less else []
        if told:
            view.document.problem(_keys(ours, key), f"{', and '.join(told)}; write the same on all nodes")
    for key in ("advert_interval", "handover", "standby", "preempt"):
        mine, others = getattr(ours, key), getattr(theirs, key)
        if mine != others:
            own = _keys(ours, key)
            place = own if own in view.document or key != "advert_interval" else ("agent", key)
            # RFC 3768 section 7.1: a receiver discards another interval than its own; VRRPv3 learns that of the Active.
            wrong = key == "advert_interval" and ours.version == theirs.version == 2
            note = view.document.problem if wrong else view.document.warning
            note(place, f"is {shown(mine)}, but {shown(others)} {other.where}; write the same")


def _teamed(view: View, ours: VirtualRouter, other: View, theirs: VirtualRouter) -> None:
    if _team(view, ours) != _team(other, theirs):
        view.document.problem(
            _keys(ours, "group"), f"has other members than {other.where}; write the same group into the same routers"
        )


def _team(view: View, router: VirtualRouter) -> frozenset[Wire]:
    """The virtual routers that move with this one, and itself."""
    return frozenset(
        (each.vrid, each.family)
        for each in view.configuration.routers
        if each is router or (each.group is not None and each.group == router.group)
    )


def _unverified(view: View, ours: VirtualRouter, other: View, theirs: VirtualRouter) -> None:
    """Note whose adverts the other one would reject. The secrets themselves are not known here."""
    mine, others = (each.configuration.authentication(router) for each, router in ((view, ours), (other, theirs)))
    own = _keys(ours, "authentication")
    place: Keys = own if own in view.document else ("agent", "authentication")
    for sender, receiver, told in (
        (mine, others, f"makes adverts that are rejected {other.where}"),
        (others, mine, f"rejects adverts {other.where}"),
    ):
        if (reason := rejection(sender, receiver)) is not None:
            view.document.problem(place, f"{told}: {reason}")
