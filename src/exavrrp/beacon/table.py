"""What the peers have told by their beacons, and who of them is ready to take over; pure.

There is an entry for each peer of each source of ours, and in it one for each virtual router that they share: nothing
that comes in makes it grow. A peer that has never been heard is unknown, not unready: it may be a keepalived, or an
exavrrp without beacons. One that has fallen silent is not ready.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from exavrrp.beacon.codec import ECHOES, Beacon, Report
from exavrrp.instance import Hold
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role

INTERVAL = 1.0
"""Seconds between two beacons."""

HOLD = 3.5 * INTERVAL
"""Seconds for which a beacon counts: three may be lost."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a peer is, for one virtual router."""

    report: Report
    """its last one"""
    age: float
    """seconds since that"""

    @property
    def silent(self) -> bool:
        """Whether that is so long ago that it says nothing of now."""
        return self.age > HOLD

    @property
    def ready(self) -> bool:
        """Whether it takes part in the election, so that it could take over."""
        return not self.obstacle

    @property
    def joins(self) -> bool:
        """Whether it is about to take part by itself: it only waits for its checks or sessions."""
        if self.silent or self.report.role is not Role.INITIALIZE:
            return False
        return not self.report.faults and Hold.DRAIN not in self.report.holds

    @property
    def obstacle(self) -> str:
        """Why it is not ready; empty: it is."""
        if self.silent:
            return f"silent for {self.age:.0f} s"
        if self.report.role is not Role.INITIALIZE:
            return ""
        if self.report.faults:
            return f"in fault ({', '.join(self.report.faults)})"
        if Hold.DRAIN in self.report.holds:
            return "drained"
        return "waiting for its checks, sessions or startup_delay" if self.report.holds else "not in the election"


@dataclass(frozen=True, slots=True)
class Way:
    """One interface of ours towards a peer."""

    age: float | None
    """seconds since a beacon of the peer came in there; None: there was none lately"""
    echoed: bool | None
    """whether the peer hears the beacons that leave there; None: it is silent, or has not had the time to say so"""


@dataclass(slots=True)
class _Neighbor:
    """One peer, as one of our sources hears it. All times are monotonic seconds."""

    vrids: frozenset[int]
    reports: dict[int, tuple[Report, float]] = field(default_factory=dict)
    arrivals: dict[int, float] = field(default_factory=dict)
    """by our interface, when a beacon came in there"""
    paths: dict[int, float] = field(default_factory=dict)
    """by the peer's path, when a beacon came that had left there"""
    echoes: dict[int, float] = field(default_factory=dict)
    """by our interface, when it said last that it hears us there"""
    departures: dict[int, float] = field(default_factory=dict)
    """by our interface, since when beacons leave there"""
    since: float = 0.0
    """when it began to be heard"""
    at: float | None = None
    """when it was heard last"""

    def echoed(self, interface: int, now: float) -> bool | None:
        """Whether it hears the beacons that leave there; None: it has not had the time to say so, or the room."""
        if now - self.echoes.get(interface, -math.inf) <= HOLD:
            return True
        if len(self.departures) > ECHOES:
            return None
        return False if now - max(self.since, self.departures.get(interface, now)) > HOLD else None


class Table:
    """What all peers have told."""

    def __init__(self) -> None:
        self._neighbors: dict[tuple[Address, Address], _Neighbor] = {}
        """by our source and the peer"""

    def take(self, shared: Mapping[tuple[Address, Address], Collection[int]]) -> None:
        """Listen to exactly these: (our source, peer) → the VRIDs that both have. What is known of them stays."""
        before, self._neighbors = self._neighbors, {}
        for pair, vrids in shared.items():
            neighbor = before.get(pair) or _Neighbor(frozenset())
            neighbor.vrids = frozenset(vrids)
            neighbor.reports = {vrid: one for vrid, one in neighbor.reports.items() if vrid in neighbor.vrids}
            self._neighbors[pair] = neighbor

    def vrids(self, source: Address, peer: Address) -> frozenset[int]:
        """The VRIDs of which ``peer`` may tell ``source``."""
        neighbor = self._neighbors.get((source, peer))
        return frozenset() if neighbor is None else neighbor.vrids

    def hear(self, source: Address, peer: Address, beacon: Beacon, interface: int, now: float) -> None:
        """A beacon that passed every check, without the reports that do not concern us."""
        neighbor = self._neighbors[source, peer]
        if neighbor.at is None or now - neighbor.at > HOLD:
            neighbor.since = now
        neighbor.at = now
        neighbor.reports.update({report.vrid: (report, now) for report in beacon.reports})
        _enter(neighbor.arrivals, interface, now)
        _enter(neighbor.paths, beacon.path, now)
        for echo in beacon.echoes:
            _enter(neighbor.echoes, echo, now)

    def tell(self, source: Address, peer: Address, interfaces: Collection[int], now: float) -> tuple[int, ...]:
        """A beacon leaves for ``peer`` over these interfaces: the paths of it that were heard lately, to be echoed."""
        neighbor = self._neighbors.get((source, peer))
        if neighbor is None:
            return ()  # no peer any more since this moment
        neighbor.departures = {index: neighbor.departures.get(index, now) for index in interfaces}
        return tuple(sorted(path for path, at in neighbor.paths.items() if now - at <= HOLD))

    def standing(self, source: Address, peer: Address, vrid: int, now: float) -> Standing | None:
        """How ``peer`` is; None: it has never told."""
        neighbor = self._neighbors.get((source, peer))
        if neighbor is None or vrid not in neighbor.reports:
            return None
        report, at = neighbor.reports[vrid]
        return Standing(report, now - at)

    def way(self, source: Address, peer: Address, interface: int, now: float) -> Way:
        """What is known of one of our interfaces towards ``peer``."""
        neighbor = self._neighbors.get((source, peer))
        if neighbor is None or neighbor.at is None or now - neighbor.at > HOLD:
            return Way(None, None)
        at = neighbor.arrivals.get(interface)
        return Way(None if at is None or now - at > HOLD else now - at, neighbor.echoed(interface, now))


def _enter(known: dict[int, float], number: int, now: float) -> None:
    """Note ``number`` as heard now; of more than ``ECHOES`` the one that was not heard for the longest time goes."""
    known.pop(number, None)
    known[number] = now
    if len(known) > ECHOES:
        del known[next(iter(known))]
