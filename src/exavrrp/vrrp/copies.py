"""Which paths deliver a peer's adverts: each advert is sent once over every path, so a silent path can be told.

``Copies`` owns what was heard from whom through which interface, for one virtual router. It decides nothing about the
election: the first copy of an advert counts there and the others change nothing. It only says when a path has gone
quiet while another one still delivers, so that an operator learns of it before both have; and when it is back.

A path is the interface a copy arrived on. Nothing can be said of a peer that is silent on all of them: that is the
election's matter.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from exavrrp.vrrp.packet import Address

TOLERANCE = 3.5
"""Intervals without a copy before a path is called quiet: as patient as a Backup (3 × interval + Skew_Time)."""


@dataclass(frozen=True, slots=True)
class PathQuiet:
    """Adverts of ``peer`` arrive, but none through ``interface`` any more."""

    peer: Address
    interface: int


@dataclass(frozen=True, slots=True)
class PathBack:
    """Adverts of ``peer`` arrive through ``interface`` again."""

    peer: Address
    interface: int


@dataclass(slots=True)
class _Path:
    heard: float
    quiet: bool = False


@dataclass(slots=True)
class _Peer:
    heard: float
    paths: dict[int, _Path] = field(default_factory=dict)


@dataclass(slots=True)
class Copies:
    """The copies that one virtual router has received, by peer and interface index."""

    counts: Counter[tuple[Address, int]] = field(default_factory=Counter)
    """how many copies were received, by peer and interface index"""
    _peers: dict[Address, _Peer] = field(default_factory=dict)

    def heard(
        self, peer: Address, interface: int, expected: Collection[int], interval: float, now: float
    ) -> list[PathQuiet | PathBack]:
        """A copy of ``peer``'s advert came through ``interface`` at ``now``; what can be said of its paths after that.

        ``expected`` are the interfaces that lead to the peer now: one of them that has never delivered counts as quiet
        too, after the same patience; one that leads there no longer is forgotten. ``interval`` is the peer's own, in
        seconds like ``now``.
        """
        known = self._peers.setdefault(peer, _Peer(now))
        patience = TOLERANCE * interval
        for gone in [index for index in known.paths if index not in expected and index != interface]:
            del known.paths[gone]
        if now - known.heard > patience:
            # The peer itself was silent (it was Backup until now): no path is to blame for that.
            for path in known.paths.values():
                path.heard = now
        known.heard = now
        for index in (*expected, interface):
            known.paths.setdefault(index, _Path(now))
        self.counts[peer, interface] += 1
        return [*_arrived(peer, interface, known.paths[interface], now), *_overdue(peer, known.paths, patience, now)]


def _arrived(peer: Address, interface: int, path: _Path, now: float) -> list[PathBack]:
    was_quiet, path.quiet = path.quiet, False
    path.heard = now
    return [PathBack(peer, interface)] if was_quiet else []


def _overdue(peer: Address, paths: dict[int, _Path], patience: float, now: float) -> list[PathQuiet]:
    newly = [index for index, path in paths.items() if not path.quiet and now - path.heard > patience]
    for index in newly:
        paths[index].quiet = True
    return [PathQuiet(peer, index) for index in newly]
