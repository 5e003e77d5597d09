"""What this node tells its peers by beacons, and which of theirs it takes; pure.

A ``Station`` looks at the virtual routers and changes none. It has no timers: who has the sockets (``ports.Beacons``)
asks once a second for what is due (``due``), and hands over what comes in (``heard``). One datagram tells of up to
``codec.MOST`` routers with the same source, peers, interfaces and keys, so its cost is a small one for each router.

A beacon is signed as an advert of the first router that it tells of, by the same keys and modes (``vrrp.auth``), which
are those of the others, too, with replay counters of its own. These are in memory alone: what a restart could be fooled
by, for no longer than the window, is whether a peer is ready, and the next true beacon corrects that.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from exavrrp.beacon.codec import MOST, Beacon, Flaw, Refused, Report, decode, digest, encode, flags
from exavrrp.beacon.table import Standing, Table, Way
from exavrrp.config import Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.ports import ANY, Beacons, Link
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Authenticator, Flow, Mode, Policy, Sequence, Signer, Trailer, Verifier
from exavrrp.vrrp.packet import Address, Malformed

MOST_PATHS = 15
"""Paths that a report can count."""

_ANYWHERE = (Link(0, ANY),)
"""Where no interface is known to lead to a peer: the kernel chooses."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Virtual routers that one datagram tells of."""

    source: Address
    peers: tuple[Address, ...]
    routers: tuple[tuple[RouterConfiguration, bytes], ...]
    """each with the digest of its addresses"""
    signer: Signer | None
    """for whichever of them the datagram begins with: its numbers never fall"""


class Station:
    """The beacons of a node."""

    def __init__(
        self,
        port: Beacons | None,
        routers: Mapping[str, VirtualRouter],
        authenticator: Authenticator,
        *,
        time: Callable[[], float],
        realtime: Callable[[], float],
    ) -> None:
        """``port``: None: nothing is sent or received. ``routers``: by name, those that there are at any time.

        ``time`` returns monotonic seconds, ``realtime`` seconds since the epoch.
        """
        self.rejected: Counter[str] = Counter()
        """beacons that were not accepted, by the reason"""
        self._port = port
        self._routers = routers
        self._authenticator = authenticator
        self._time = time
        self._realtime = realtime
        self._table = Table()
        self._bundles: tuple[_Bundle, ...] = ()
        self._verifiers: dict[Address, Verifier] = {}
        """by source"""
        self._marks: dict[Flow, Sequence] = {}
        """the replay counters"""

    # Configuration

    def take(self, configuration: Configuration) -> None:
        """Tell and hear of exactly the routers for which ``configuration`` wants that."""
        wanted = [router for router in configuration.routers if configuration.beacons(router)]
        shared = _shared(wanted)
        self._table.take(shared)
        policies = {router.name: configuration.policy(router) for router in wanted}
        flows = set(_flows(wanted))
        self._marks = {flow: mark for flow, mark in self._marks.items() if flow in flows}
        self._verifiers = {source: self._verifier(source, wanted, policies) for source, _ in shared}
        self._bundles = tuple(self._bundle(part, policies) for part in _parts(wanted))
        if self._port is not None:
            peers: dict[Address, list[Address]] = {}
            for source, peer in shared:
                peers.setdefault(source, []).append(peer)
            self._port.set(peers, configuration.agent.beacon_port)

    def _verifier(
        self, source: Address, wanted: Iterable[RouterConfiguration], policies: Mapping[str, Policy | None]
    ) -> Verifier:
        known = {router.vrid: policies[router.name] for router in wanted if router.source == source}
        found = {vrid: policy for vrid, policy in known.items() if policy is not None}
        return Verifier(source, found, self._marks, self._authenticator)

    def _bundle(self, routers: list[RouterConfiguration], policies: Mapping[str, Policy | None]) -> _Bundle:
        first = routers[0]
        assert first.source is not None, "load() was given the addresses on lo"
        policy, signer = policies[first.name], None
        if policy is not None and policy.signs:
            signer = Signer(policy, first.source, first.vrid, self._marks, self._authenticator)
        digests = tuple((router, digest(router.addresses)) for router in routers)
        return _Bundle(first.source, first.peers, digests, signer)

    # Out

    def due(self) -> Iterator[Callable[[], None]]:
        """What is to be sent now, in calls that are short each: one for a datagram to one peer over all its paths."""
        for bundle in self._bundles:
            for peer in bundle.peers:
                yield partial(self._tell, bundle, peer)

    def _tell(self, bundle: _Bundle, peer: Address) -> None:
        found = ((self._find(router), digest) for router, digest in bundle.routers)
        there = [(router, digest) for router, digest in found if router is not None]
        if self._port is None or not there:
            return  # all of them wait for others to leave
        reports = tuple(_report(router, digest) for router, digest in there)
        realtime = self._realtime()
        links = there[0][0].ways.leading_to(peer) or _ANYWHERE
        echoes = self._table.tell(bundle.source, peer, [link.index for link in links], self._time())
        for link in links:
            message = encode(Beacon(bundle.source.version, link.index, echoes, reports))
            trailer = b"" if bundle.signer is None else bundle.signer.trailer(message, realtime)
            self._port.send(bundle.source, peer, message + trailer, link)

    def _find(self, configuration: RouterConfiguration) -> VirtualRouter | None:
        """The router with this configuration, unless it waits for another one of its name to leave."""
        found = self._routers.get(configuration.name)
        return found if found is not None and found.configuration.identity == configuration.identity else None

    # In

    def heard(self, source: Address, sender: Address, interface: int, datagram: bytes, realtime: float | None) -> None:
        """A datagram has come in for our ``source``, at ``realtime`` by the kernel's clock, if that is known."""
        try:
            beacon = self._accepted(source, sender, datagram, self._realtime() if realtime is None else realtime)
        except Refused as refused:
            self.rejected[refused.flaw] += 1
        except Malformed as malformed:
            self.rejected[malformed.reason] += 1
        else:
            self._table.hear(source, sender, beacon, interface, self._time())

    def _accepted(self, source: Address, sender: Address, datagram: bytes, realtime: float) -> Beacon:
        """What of a datagram counts. Raises Refused, Malformed."""
        sealed = decode(datagram)
        first, vrids = sealed.vrid, self._table.vrids(source, sender)
        if first not in vrids or sealed.family != source.version:
            raise Refused(Flaw.NOT_OURS)
        verifier = self._verifiers[source]
        if sealed.trailer and first not in verifier.policies:
            raise Refused(Flaw.NOT_OURS)  # signed by a key that we do not have
        trailer = verifier.check(sender, sealed.message, sealed.trailer, realtime)
        beacon = sealed.open()
        verifier.accept(sender, sealed.message, trailer, realtime)
        policies = verifier.policies
        ours = tuple(
            one
            for one in beacon.reports
            if one.vrid in vrids and _covers(policies.get(first), policies.get(one.vrid), trailer)
        )
        return replace(beacon, reports=ours)

    # Who asks

    def standing(self, router: VirtualRouter, peer: Address) -> Standing | None:
        """How a peer of ``router`` is; None: it has never told."""
        source, vrid = router.configuration.source, router.configuration.vrid
        return None if source is None else self._table.standing(source, peer, vrid, self._time())

    def way(self, router: VirtualRouter, peer: Address, interface: int) -> Way:
        """What is known of one interface of ours towards a peer."""
        source = router.configuration.source
        return Way(None, None) if source is None else self._table.way(source, peer, interface, self._time())

    def is_replaceable(self, router: VirtualRouter) -> bool | None:
        """Whether any peer of ``router`` is ready to take over; None: that is not known of all, and none is."""
        peers = [self.standing(router, peer) for peer in router.configuration.peers]
        if any(peer is not None and peer.ready for peer in peers):
            return True
        return None if None in peers or not peers else False

    def obstacles(self, router: VirtualRouter) -> str:
        """Why no peer could take over from ``router``, if none could, now or soon; else nothing."""
        if self.is_replaceable(router) is not False:
            return ""
        peers = [(peer, self.standing(router, peer)) for peer in router.configuration.peers]
        known = [(peer, standing) for peer, standing in peers if standing is not None]
        if any(standing.joins for _, standing in known):
            return ""
        return "; ".join(f"{peer} {standing.obstacle}" for peer, standing in known)


def _shared(routers: Iterable[RouterConfiguration]) -> dict[tuple[Address, Address], list[int]]:
    """(our source, peer) → the VRIDs of the routers that both have."""
    found: dict[tuple[Address, Address], list[int]] = {}
    for router in routers:
        assert router.source is not None, "load() was given the addresses on lo"
        for peer in router.peers:
            found.setdefault((router.source, peer), []).append(router.vrid)
    return found


def _flows(routers: Iterable[RouterConfiguration]) -> Iterator[Flow]:
    """What has a replay counter."""
    for router in routers:
        assert router.source is not None, "load() was given the addresses on lo"
        for sender in (router.source, *router.peers):
            yield Flow(router.source, sender, router.vrid)


def _parts(routers: Iterable[RouterConfiguration]) -> Iterator[list[RouterConfiguration]]:
    """The routers of each datagram."""
    alike: dict[tuple[object, ...], list[RouterConfiguration]] = {}
    for one in routers:
        alike.setdefault((one.source, one.peers, one.interfaces, one.authentication), []).append(one)
    for bundle in alike.values():
        yield from (bundle[at : at + MOST] for at in range(0, len(bundle), MOST))


def _covers(first: Policy | None, policy: Policy | None, trailer: Trailer | None) -> bool:
    """Whether a trailer that the router ``first`` accepts is also good for one with ``policy``."""
    if trailer is None:
        return policy is None or policy.mode is not Mode.ENFORCE
    return first is not None and policy is not None and first.key(trailer.key) == policy.key(trailer.key)


def _report(router: VirtualRouter, digest: bytes) -> Report:
    election, configuration, instance = router.instance.router, router.configuration, router.instance
    heard, expected = _paths(router)
    return Report(
        vrid=configuration.vrid,
        role=election.role,
        priority=election.priority,
        configured=configuration.priority,
        heard=min(heard, MOST_PATHS),
        expected=min(expected, MOST_PATHS),
        flags=flags((*instance.faults, *instance.holds)),
        centiseconds=round(100 * configuration.advert_interval),
        digest=digest,
    )


def _paths(router: VirtualRouter) -> tuple[int, int]:
    """Of the paths to the Active that it follows: over how many its adverts arrive, and how many there are."""
    following = router.instance.router.state.following
    known = None if following is None else router.instance.copies.peers.get(following)
    if following is None or known is None:
        return 0, 0
    leading = [link.index for link in router.ways.leading_to(following)]
    return sum(index in known.paths and not known.paths[index].quiet for index in leading), len(leading)
