"""Received packets: which are accepted, for which virtual router, and why the others are rejected; pure.

For each source address ``Reception`` knows the expected peers, VRIDs and hop limit, and the verifier of signed adverts.
An advert that passes every check goes to its virtual router. Every other packet is counted by reason and logged,
rate-limited. This module must not know what an advert does to a router.

Signed adverts have a time stamp. So this is where a wrong clock is detected, of a peer or of this node.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exavrrp.config import VirtualRouter as Configuration
from exavrrp.ports import Arrival, LimitedLog, Medium, Severity
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp import version2
from exavrrp.vrrp.auth import Authenticator, Marks, Sender, Verifier
from exavrrp.vrrp.packet import (
    ANYBODY,
    AUTHENTICATION,
    OPEN,
    Address,
    Advertisement,
    Datagram,
    Expectation,
    Guard,
    Malformed,
    Reason,
    decode,
    unscoped,
)
from exavrrp.vrrp.version2 import Version2

SIGNED = (
    "nodes whose clocks differ by more than the window are deaf to each other: keep all of them right (NTP). After a"
    " step back that was longer than the window, change the keys: what was recorded could be sent again"
)
UNSIGNED = (
    "a takeover by MED is as late as the clock says, and loses to a stale route if that is behind: keep all of them"
    " right (NTP)"
)
"""What a clock that was set means, with authentication and without."""

CLOCK_SET = 0.5
"""Seconds by which the realtime clock may differ from the monotonic one between two adverts before it counts as
stepped. Time daemons slew smaller offsets, for which no advert is rejected."""

AT_ONCE = 0.1
"""Seconds within which both clocks are read, or else again: a pause of this process in between is no step of either."""


def sources(routers: Iterable[Configuration]) -> dict[Address, frozenset[Address]]:
    """The sources of these virtual routers, in their order, each with the peers to accept adverts from."""
    found: dict[Address, frozenset[Address]] = {}
    for router in routers:
        assert router.source is not None, "load() was given the addresses on lo"
        found[router.source] = found.get(router.source, frozenset()) | frozenset(router.peers)
    return found


def media(routers: Iterable[Configuration]) -> dict[Address, Medium]:
    """The interface of each source whose adverts are not routed.

    Of two routers with different ones the first counts: who leaves takes precedence over who comes.
    """
    found: dict[Address, Medium] = {}
    routed: set[Address] = set()
    for router in routers:
        assert router.source is not None, "load() was given the addresses on lo"
        medium = router.medium
        if medium is None:
            routed.add(router.source)
        elif router.source not in routed:
            before = found.setdefault(router.source, medium)
            found[router.source] = replace(before, anybody=before.anybody or medium.anybody)
    return found


MOST_KNOWN = 4096
"""Adverts remembered by their bytes, to decode each only once; usually more than all routers and peers send."""


@dataclass(slots=True)
class _Source:
    """One of our source addresses: what is expected there, and what was received."""

    expectation: Expectation
    routers: dict[int, VirtualRouter] = field(default_factory=dict)
    """by VRID"""
    version2: Mapping[int, Version2] = field(default_factory=dict)
    """by VRID, those whose nodes speak VRRPv2"""
    guard: Verifier | None = None
    """the verifier of signed adverts; None: no authentication"""
    known: dict[bytes, tuple[Datagram, Advertisement]] = field(default_factory=dict)
    """recent adverts that were accepted without a guard, by their bytes: most are equal to the one before"""

    def read(self, datagram: Datagram) -> Advertisement:
        """The advert of ``decode``, remembered for equal datagrams. Raises Malformed."""
        known = self.known.get(datagram.payload)
        if known is not None and known[0] == datagram:
            return known[1]
        advertisement = self.decode(datagram)
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        self.known[datagram.payload] = datagram, advertisement
        return advertisement

    def decode(self, datagram: Datagram, guard: Guard[Any] = OPEN, realtime: float = 0.0) -> Advertisement:
        """The advert of a datagram, of the version that its router speaks. Raises Malformed."""
        terms = self.version2.get(int.from_bytes(datagram.payload[1:2], "big"))
        if terms is not None:
            return version2.decode(datagram, self.expectation, terms)
        return decode(datagram, self.expectation, guard, realtime)


class Reception:
    """The filter between the sources of this node and its virtual routers."""

    def __init__(
        self,
        marks: Marks,
        log: LimitedLog,
        authenticator: Authenticator,
        *,
        time: Callable[[], float],
        realtime: Callable[[], float],
    ) -> None:
        """``time`` returns monotonic seconds, ``realtime`` seconds since the epoch."""
        self.rejected: Counter[Reason] = Counter()
        self.refused: Counter[tuple[Reason, Address]] = Counter()
        """packets that authentication rejected, by reason and configured peer"""
        self._log = log
        self._time = time
        self._realtime = realtime
        self._offset: float | None = None
        self._marks = marks
        self._authenticator = authenticator
        self._sources: dict[Address, _Source] = {}
        self._peers: frozenset[Address] = frozenset()
        """those that are configured, of any router"""

    @property
    def _guarded(self) -> bool:
        """Whether any source uses authentication."""
        return any(here.guard is not None for here in self._sources.values())

    def take(self, max_hops: int | None, routers: Collection[VirtualRouter]) -> None:
        """Accept adverts for exactly these routers, from peers at most ``max_hops`` away (None: any distance)."""
        before, self._sources = self._sources, {}
        self._peers = frozenset(peer for router in routers for peer in router.configuration.peers)
        for source, peers in sources(router.configuration for router in routers).items():
            ours = {router.configuration.vrid: router for router in routers if router.configuration.source == source}
            groups = {router.configuration.multicast for router in ours.values()}
            named = {vrid: frozenset(router.configuration.peers) or ANYBODY for vrid, router in ours.items()}
            expectation = Expectation(
                own=frozenset({unscoped(source)}),
                vrids=named,
                peers=ANYBODY if ANYBODY in named.values() else peers,
                # A packet to a group never leaves its link, unless it is forged (RFC 9568 §5.1.1.3 and §5.1.2.3).
                minimum_hop_limit=255 if groups != {None} else 0 if max_hops is None else 255 - max_hops,
                group=next(iter(groups)),
            )
            policies = {vrid: router.policy for vrid, router in ours.items() if router.policy is not None}
            guard = before[source].guard if source in before else None  # it knows who was heard last
            if policies:
                guard = guard or Verifier(source, {}, self._marks, self._authenticator)
                guard.policies = policies
            configured = {vrid: router.configuration.version2 for vrid, router in ours.items()}
            terms = {vrid: one for vrid, one in configured.items() if one is not None}
            self._sources[source] = _Source(expectation, ours, terms, guard if policies else None)

    def begin(self) -> None:
        """Log the authentication of each router."""
        for here in self._sources.values():
            for vrid, policy in {} if here.guard is None else here.guard.policies.items():
                self._log.info(
                    "authentication-enabled",
                    router=here.routers[vrid].name,
                    mode=policy.mode,
                    window=policy.window,
                    signs_with=policy.active if policy.signs else "nothing",
                    accepts=[key.id for key in policy.keys],
                )

    def senders(self, router: VirtualRouter) -> dict[Address, Sender]:
        """The verified senders for ``router``, by peer address; empty without authentication."""
        source, vrid = router.configuration.source, router.configuration.vrid
        here = None if source is None else self._sources.get(source)
        senders = () if here is None or here.guard is None else here.guard.senders.values()
        return {sender.flow.sender: sender for sender in senders if sender.flow.vrid == vrid}

    # Packets

    def arrived(self, source: Address, arrival: Arrival) -> None:
        """A packet was received for our ``source``: hand it to its router, or reject it."""
        here, datagram = self._sources[source], arrival.datagram
        try:
            advertisement = here.read(datagram) if here.guard is None else self._verified(here, here.guard, arrival)
        except Malformed as malformed:
            self.discarded(malformed.reason, datagram.source, malformed.detail)
        else:
            here.routers[advertisement.vrid].receive(arrival, advertisement)

    def _verified(self, here: _Source, guard: Verifier, arrival: Arrival) -> Advertisement:
        """Raises Malformed."""
        # The time of receipt, not of reading: after a pause of this process, valid adverts older than the window wait.
        now = self.realtime()
        realtime = now if arrival.realtime is None else arrival.realtime
        advertisement = here.decode(arrival.datagram, guard, realtime)
        self._compare_clocks(guard, arrival.datagram.source, advertisement.vrid)
        return advertisement

    def discarded(self, reason: Reason, sender: Address | None, detail: str = "") -> None:
        """Count and log a rejected packet; ``sender``: None if unknown."""
        self.rejected[reason] += 1
        # One log key per reason, not per sender: senders can be forged, and each key takes memory. Of a configured peer
        # it matters which one fails authentication: its clock, its keys, its mode. A router without peers hears anybody
        # on its link (VRRPv2 with a password).
        key: object = reason
        if reason in AUTHENTICATION and sender in self._peers:
            key = reason, sender
            self.refused[reason, sender] += 1
        self._log.limited(key, Severity.WARNING, "packet-rejected", reason=reason, source=sender, detail=detail)

    # Clocks

    def realtime(self) -> float:
        """Seconds since the epoch."""
        realtime, _ = self._now()
        return realtime

    def offset(self) -> float:
        """Seconds from the monotonic clock to the realtime clock."""
        realtime, monotonic = self._now()
        return realtime - monotonic

    def _now(self) -> tuple[float, float]:
        """One moment by both clocks: seconds since the epoch, and monotonic ones."""
        while True:
            monotonic, realtime = self._time(), self._realtime()
            if self._time() - monotonic < AT_ONCE:
                break
        self._watch_clock(realtime - monotonic)
        return realtime, monotonic

    def _watch_clock(self, offset: float) -> None:
        """Log if the realtime clock was stepped; ``offset``: seconds from the monotonic clock to it."""
        moved, self._offset = offset - (offset if self._offset is None else self._offset), offset
        if abs(moved) > CLOCK_SET:
            way = "forward" if moved > 0 else "back"
            found = f"the realtime clock was set {way} by {abs(moved):.1f} s, or this guest was paused"
            self._log.warning("clock-stepped", detail=f"{found}; {SIGNED if self._guarded else UNSIGNED}")

    def _compare_clocks(self, guard: Verifier, peer: Address, vrid: int) -> None:
        """Warn once a peer's clock differs from ours by more than half of the window, beyond which it is rejected."""
        sender, policy = guard.senders.get((peer, vrid)), guard.policies.get(vrid)
        if sender is not None and policy is not None and 2 * abs(sender.skew) > policy.window:
            way = "ahead of" if sender.skew > 0 else "behind"
            detail = (
                f"{abs(sender.skew)} s {way} ours, and beyond {policy.window} s it is not heard: set both right (NTP)"
            )
            self._log.limited(("skew", peer), Severity.WARNING, "clock-skew", peer=str(peer), detail=detail)
