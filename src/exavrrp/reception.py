"""What comes in for our sources: who is heard, who is believed, and what is rejected; pure.

``Reception`` owns what is expected for each source address (which peers, for which VRIDs, from how far) and who
verifies what is signed. An advert that passes every check goes to the virtual router that it is for. Everything else is
counted by its reason and logged, rate-limited. It must not know what an advert does to a router.

Signed adverts tell the time, so this is where it shows that a clock is wrong: a peer's, or our own.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from exavrrp.config import VirtualRouter as Configuration
from exavrrp.ports import Arrival, LimitedLog, Severity
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Marks, Seals, Sender, Verifier
from exavrrp.vrrp.packet import AUTHENTICATION, Address, Advertisement, Datagram, Expectation, Malformed, Reason, decode

CLOCK_SET = 0.5
"""Seconds that the realtime clock gains or loses between two adverts before that is called setting it: time daemons
correct less than that by a slower or faster clock, and no advert is rejected for it."""


def sources(routers: Iterable[Configuration]) -> dict[Address, frozenset[Address]]:
    """The sources of these virtual routers, in their order, each with the peers that it may hear."""
    found: dict[Address, frozenset[Address]] = {}
    for router in routers:
        assert router.source is not None, "load() was given the addresses on lo"
        found[router.source] = found.get(router.source, frozenset()) | frozenset(router.peers)
    return found


MOST_KNOWN = 4096
"""Adverts that are known again by their bytes; more than there are routers and peers, most often."""


@dataclass(slots=True)
class _Source:
    """One of our sources: what is expected there, and what has come in."""

    expectation: Expectation
    routers: dict[int, VirtualRouter] = field(default_factory=dict)
    """by VRID"""
    guard: Verifier | None = None
    """who verifies what is signed; None: nobody is asked"""
    known: dict[bytes, tuple[Datagram, Advertisement]] = field(default_factory=dict)
    """the last adverts that were accepted without a guard, by their bytes: most of all are like the one before"""

    def read(self, datagram: Datagram) -> Advertisement:
        """What ``decode`` says, or has said of the very same datagram. Raises Malformed."""
        known = self.known.get(datagram.payload)
        if known is not None and known[0] == datagram:
            return known[1]
        advertisement = decode(datagram, self.expectation)
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        self.known[datagram.payload] = datagram, advertisement
        return advertisement


class Reception:
    """What is expected, and what has come in."""

    def __init__(
        self,
        marks: Marks,
        log: LimitedLog,
        seals: Seals,
        *,
        time: Callable[[], float],
        realtime: Callable[[], float],
    ) -> None:
        """``time`` tells monotonic seconds, ``realtime`` seconds since the epoch."""
        self.rejected: Counter[Reason] = Counter()
        self.refused: Counter[tuple[Reason, Address]] = Counter()
        """those of them that authentication has rejected, by peer"""
        self._log = log
        self._time = time
        self._realtime = realtime
        self._offset: float | None = None
        self._marks = marks
        self._seals = seals
        self._sources: dict[Address, _Source] = {}

    @property
    def _guarded(self) -> bool:
        """Whether anybody signs or verifies."""
        return any(here.guard is not None for here in self._sources.values())

    def take(self, max_hops: int | None, routers: Collection[VirtualRouter]) -> None:
        """These are heard from now on, and nobody else, from at most ``max_hops`` away (None: from anywhere)."""
        before, self._sources = self._sources, {}
        for source, peers in sources(router.configuration for router in routers).items():
            ours = {router.configuration.vrid: router for router in routers if router.configuration.source == source}
            expectation = Expectation(
                own=frozenset({source}),
                vrids={vrid: frozenset(router.configuration.peers) for vrid, router in ours.items()},
                peers=peers,
                minimum_hop_limit=0 if max_hops is None else 255 - max_hops,
            )
            policies = {vrid: router.policy for vrid, router in ours.items() if router.policy is not None}
            guard = before[source].guard if source in before else None  # it knows who was heard last
            if policies:
                guard = guard or Verifier(source, {}, self._marks, self._seals)
                guard.policies = policies
            self._sources[source] = _Source(expectation, ours, guard if policies else None)

    def begin(self) -> None:
        """Log who is believed."""
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
        """What was verified for ``router``, by peer; nothing without authentication."""
        source, vrid = router.configuration.source, router.configuration.vrid
        here = None if source is None else self._sources.get(source)
        senders = () if here is None or here.guard is None else here.guard.senders.values()
        return {sender.flow.sender: sender for sender in senders if sender.flow.vrid == vrid}

    # Packets

    def arrived(self, source: Address, arrival: Arrival) -> None:
        """A packet has come in for our ``source``."""
        here, datagram = self._sources[source], arrival.datagram
        try:
            advertisement = here.read(datagram) if here.guard is None else self._verified(here, here.guard, arrival)
        except Malformed as malformed:
            self.discarded(malformed.reason, datagram.source, malformed.detail)
        else:
            here.routers[advertisement.vrid].receive(arrival, advertisement)

    def _verified(self, here: _Source, guard: Verifier, arrival: Arrival) -> Advertisement:
        """Raises Malformed."""
        # When it came, not when it is read: after a pause, proof of life that is older than the window is waiting.
        now = self.realtime()
        realtime = now if arrival.realtime is None else arrival.realtime
        advertisement = decode(arrival.datagram, here.expectation, guard, realtime)
        self._compare_clocks(guard, arrival.datagram.source, advertisement.vrid)
        return advertisement

    def discarded(self, reason: Reason, sender: Address | None, detail: str = "") -> None:
        """A packet was no advert for us; ``sender``: None if not even that is known."""
        self.rejected[reason] += 1
        # One line per reason, not per sender: senders can be forged, and each would be remembered. Those that get as
        # far as authentication are known, and which of the peers it is matters: its clock, its keys, its mode.
        key: object = reason
        if reason in AUTHENTICATION and sender is not None:
            key = reason, sender
            self.refused[reason, sender] += 1
        self._log.limited(key, Severity.WARNING, "packet-rejected", reason=reason, source=sender, detail=detail)

    # Clocks

    def realtime(self) -> float:
        """Seconds since the epoch."""
        realtime = self._realtime()
        if self._guarded:
            self._watch_clock(realtime - self._time())
        return realtime

    def _watch_clock(self, offset: float) -> None:
        """Who signs or verifies asks for the realtime clock; this is where it shows that it was set."""
        moved, self._offset = offset - (offset if self._offset is None else self._offset), offset
        if abs(moved) > CLOCK_SET:
            way = "forward" if moved > 0 else "back"
            detail = (
                f"the realtime clock was set {way} by {abs(moved):.1f} s, or this machine was suspended; nodes whose"
                " clocks differ by more than the window are deaf to each other: keep all of them right (NTP). After a"
                " step back that was longer than the window, change the keys: what was recorded could be sent again"
            )
            self._log.warning("clock-stepped", detail=detail)

    def _compare_clocks(self, guard: Verifier, peer: Address, vrid: int) -> None:
        """Says early which peer will not be heard any more if its clock, or ours, goes on like that."""
        sender, policy = guard.senders.get((peer, vrid)), guard.policies.get(vrid)
        if sender is not None and policy is not None and 2 * abs(sender.skew) > policy.window:
            way = "ahead of" if sender.skew > 0 else "behind"
            detail = (
                f"{abs(sender.skew)} s {way} ours, and beyond {policy.window} s it is not heard: set both right (NTP)"
            )
            self._log.limited(("skew", peer), Severity.WARNING, "clock-skew", peer=str(peer), detail=detail)
