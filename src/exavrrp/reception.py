"""What comes in for our sources: who is heard, who is believed, and what is rejected.

``Reception`` owns a wire for each source address, what is expected on it (which peers, for which VRIDs, from how far)
and who verifies what is signed. An advert that passes every check goes to the virtual router that it is for. Everything
else is counted by its reason and told, as rarely as a flood demands. It must not know what an advert does to a router.

Signed adverts tell the time, so this is where it shows that a clock is wrong: a peer's, or our own.
"""

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

from exavrrp.config import Configuration
from exavrrp.system import journal
from exavrrp.system.journal import Journal
from exavrrp.system.wire import Arrival, Wire
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Marks, Policy, Verifier
from exavrrp.vrrp.packet import AUTHENTICATION, OPEN, Address, Expectation, Malformed, Reason, decode

CLOCK_SET = 0.5
"""Seconds that the realtime clock gains or loses between two adverts before that is called setting it: time daemons
correct less than that by a slower or faster clock, and no advert is rejected for it."""


class Reception:
    """The wires of all sources, and what has come in through them."""

    def __init__(self, configuration: Configuration, marks: Marks, log: Journal) -> None:
        self.rejected: Counter[Reason] = Counter()
        self.wires: dict[Address, Wire] = {}
        """by source"""
        self._configuration = configuration
        self._marks = marks
        self._journal = log
        self._routers: dict[tuple[Address, int], VirtualRouter] = {}
        self._expectations: dict[Address, Expectation] = {}
        self._guards: dict[Address, Verifier] = {}
        self._offset: float | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """A wire for each source. Raises OSError with the remedy."""
        self._loop = loop
        for router in self._configuration.routers:
            assert router.source is not None, "load() was given the addresses on lo"
            if router.source not in self.wires:
                self.wires[router.source] = self._opened(router.source, loop)

    def _opened(self, source: Address, loop: asyncio.AbstractEventLoop) -> Wire:
        self._expectations[source] = self._expectation(source)
        peers = self._expectations[source].peers
        wire = Wire(source, peers, partial(self._arrived, source), self._discarded)
        try:
            wire.open(loop)
        except OSError as error:
            detail = f"cannot send adverts from {source}: {error.strerror}"
            remedy = "; add it to lo, or correct the source" if error.errno == errno.EADDRNOTAVAIL else ""
            raise OSError(error.errno, detail + remedy) from error
        if not wire.filtered:
            detail = f"{len(peers)} peers are more than a filter of the kernel holds (see net.core.optmem_max)"
            self._journal.warning("unfiltered", source=str(source), detail=detail)
        return wire

    def _expectation(self, source: Address) -> Expectation:
        routers = [router for router in self._configuration.routers if router.source == source]
        hops = self._configuration.agent.max_hops
        return Expectation(
            own=frozenset({source}),
            vrids={router.vrid: frozenset(router.peers) for router in routers},
            peers=frozenset(peer for router in routers for peer in router.peers),
            minimum_hop_limit=0 if hops is None else 255 - hops,
        )

    def close(self) -> None:
        """Nothing comes in any more, and nothing goes out."""
        for wire in self.wires.values():
            wire.close()

    def pass_on(self, router: VirtualRouter, policy: Policy | None) -> None:
        """Hand over what comes in for ``router``, verified as ``policy`` demands (None: not at all).

        To be called for each router before the event loop goes on.
        """
        source, vrid = router.configuration.source, router.configuration.vrid
        assert source is not None
        self._routers[source, vrid] = router
        if policy is None:
            return
        if source not in self._guards:
            self._guards[source] = Verifier(source, {}, self._marks)
        self._guards[source].policies[vrid] = policy
        self._journal.info(
            "authentication",
            router=router.name,
            mode=policy.mode,
            window=policy.window,
            signs_with=policy.active if policy.signs else "nothing",
            accepts=[key.id for key in policy.keys],
        )

    def drain(self, until: float) -> None:
        """Hand over every packet that had come by ``until`` (``loop.time()``) and waits in the sockets."""
        for wire in self.wires.values():
            wire.drain(until)

    def heard(self, router: VirtualRouter) -> dict[str, Mapping[str, int]]:
        """Copies that were accepted for ``router`` by peer, signed and unsigned; none without authentication."""
        source, vrid = router.configuration.source, router.configuration.vrid
        guard = None if source is None else self._guards.get(source)
        senders = () if guard is None else guard.senders.values()
        return {
            str(sender.flow.sender): {"signed": sender.signed, "unsigned": sender.unsigned}
            for sender in senders
            if sender.flow.vrid == vrid
        }

    # Packets

    def _arrived(self, source: Address, arrival: Arrival) -> None:
        """A packet has come in for our ``source``."""
        guard = self._guards.get(source)
        realtime = 0.0
        if guard is not None:
            # When it came, not when it is read: after a pause, proof of life that is older than the window is waiting.
            now = self.realtime()
            realtime = now if arrival.realtime is None else arrival.realtime
        try:
            advertisement = decode(arrival.datagram, self._expectations[source], guard or OPEN, realtime)
        except Malformed as malformed:
            self._discarded(malformed.reason, arrival.datagram.source, malformed.detail)
        else:
            if guard is not None:
                self._compare_clocks(guard, arrival.datagram.source, advertisement.vrid)
            self._routers[source, advertisement.vrid].receive(arrival, advertisement)

    def _discarded(self, reason: Reason, source: Address | None, detail: str = "") -> None:
        self.rejected[reason] += 1
        # One line per reason, not per source: sources can be forged, and each would be remembered. Those that get as
        # far as authentication are known, and which of the peers it is matters: its clock, its keys, its mode.
        key = (reason, source) if reason in AUTHENTICATION else reason
        self._journal.limited(key, journal.Level.WARNING, "rejected", reason=reason, source=source, detail=detail)

    # Clocks

    def realtime(self) -> float:
        """Seconds since the epoch."""
        realtime = time.time()
        if self._guards:
            self._watch_clock(realtime - self._loop.time())
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
            self._journal.warning("clock-set", detail=detail)

    def _compare_clocks(self, guard: Verifier, peer: Address, vrid: int) -> None:
        """Says early which peer will not be heard any more if its clock, or ours, goes on like that."""
        sender, policy = guard.senders.get((peer, vrid)), guard.policies.get(vrid)
        if sender is not None and policy is not None and 2 * abs(sender.skew) > policy.window:
            way = "ahead of" if sender.skew > 0 else "behind"
            detail = (
                f"{abs(sender.skew)} s {way} ours, and beyond {policy.window} s it is not heard: set both right (NTP)"
            )
            self._journal.limited(("skew", peer), journal.Level.WARNING, "clock-skew", peer=str(peer), detail=detail)
