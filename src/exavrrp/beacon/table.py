"""What the peers have told by their beacons, and who of them is ready to take over; pure.

There is an entry for each peer of each source of ours, and in it one for each virtual router that they share: nothing
that comes in makes it grow. A peer that has never been heard is unknown, not unready: it may be a keepalived, or an
exavrrp without beacons. One that has fallen silent is not ready.
"""

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
    def ready(self) -> bool:
        """Whether it takes part in the election, so that it could take over."""
        return not self.obstacle

    @property
    def obstacle(self) -> str:
        """Why it is not ready; empty: it is."""
        if self.age > HOLD:
            return f"silent for {self.age:.0f} s"
        if self.report.role is not Role.INITIALIZE:
            return ""
        if self.report.faults:
            return f"in fault ({', '.join(self.report.faults)})"
        if Hold.DRAIN in self.report.holds:
            return "drained"
        return "waiting for its checks or sessions" if self.report.holds else "not in the election"


@dataclass(frozen=True, slots=True)
class Way:
    """One interface of ours towards a peer."""

    age: float | None
    """seconds since a beacon of the peer came in there; None: there was none lately"""
    echoed: bool | None
    """whether the peer hears the beacons that leave there; None: it says nothing, as it is silent"""


@dataclass(slots=True)
class _Neighbor:
    """One peer, as one of our sources hears it. All times are monotonic seconds."""

    vrids: frozenset[int]
    reports: dict[int, tuple[Report, float]] = field(default_factory=dict)
    arrivals: dict[int, float] = field(default_factory=dict)
    """by our interface, when a beacon came in there"""
    paths: dict[int, float] = field(default_factory=dict)
    """by the peer's path, when a beacon came that had left there"""
    echoes: tuple[int, ...] = ()
    """our interfaces of which it said last that it hears us there"""
    at: float | None = None
    """when it was heard last"""


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
        neighbor.at, neighbor.echoes = now, beacon.echoes
        neighbor.reports.update({report.vrid: (report, now) for report in beacon.reports})
        _enter(neighbor.arrivals, interface, now)
        _enter(neighbor.paths, beacon.path, now)

    def echoes(self, source: Address, peer: Address, now: float) -> tuple[int, ...]:
        """The paths of ``peer`` over which it was heard lately."""
        neighbor = self._neighbors.get((source, peer))
        paths = {} if neighbor is None else neighbor.paths
        return tuple(sorted(path for path, at in paths.items() if now - at <= HOLD))

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
        return Way(None if at is None or now - at > HOLD else now - at, interface in neighbor.echoes)


def _enter(known: dict[int, float], number: int, now: float) -> None:
    """Note ``number`` as heard now; of more than ``ECHOES`` the one that was not heard for the longest time goes."""
    known.pop(number, None)
    known[number] = now
    if len(known) > ECHOES:
        del known[next(iter(known))]
