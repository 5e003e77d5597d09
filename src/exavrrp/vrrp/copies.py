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

from exavrrp.vrrp.packet import Address, Advertisement

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
class Path:
    """One interface over which adverts of a peer come, or are to come."""

    heard: float
    """when its patience began: with the last copy, or with the return of the peer"""
    quiet: bool = False
    last: float | None = None
    """when the last copy came"""


@dataclass(slots=True)
class Peer:
    """What was heard of one peer."""

    advertisement: Advertisement
    """the last one"""
    heard: float
    """when it came"""
    paths: dict[int, Path] = field(default_factory=dict)
    """by interface"""
    expected: Collection[int] = ()
    """as it was told last"""
    counts: Counter[int] = field(default_factory=Counter)
    """copies by interface, also of those that lead to it no longer"""

    def follow(self, interface: int, expected: Collection[int], now: float) -> None:
        """The paths are these from now on, and the one that a copy came through."""
        self.expected = expected
        for gone in [index for index in self.paths if index not in expected and index != interface]:
            del self.paths[gone]
        for index in (*expected, interface):
            self.paths.setdefault(index, Path(now))

    def overdue(self, patience: float, now: float) -> list[int]:
        """The paths that have gone quiet just now."""
        newly = [index for index, path in self.paths.items() if now - path.heard > patience and not path.quiet]
        for index in newly:
            self.paths[index].quiet = True
        return newly


class Copies:
    """The copies that one virtual router has received, by peer and interface index."""

    def __init__(self) -> None:
        self.peers: dict[Address, Peer] = {}
        """those that were heard; for reading"""

    def heard(
        self, peer: Address, advertisement: Advertisement, interface: int, expected: Collection[int], now: float
    ) -> list[PathQuiet | PathBack]:
        """A copy of ``peer``'s advert came through ``interface`` at ``now``; what can be said of its paths after that.

        ``expected`` are the interfaces that lead to the peer now: one of them that has never delivered counts as quiet
        too, after the same patience; one that leads there no longer is forgotten. ``now`` is in monotonic seconds.
        """
        known = self.peers.get(peer)
        if known is None:
            known = self.peers[peer] = Peer(advertisement, now)
        known.advertisement = advertisement
        patience = TOLERANCE * (advertisement.centiseconds / 100)
        if now - known.heard > patience:
            # The peer itself was silent (it was Backup until now): no path is to blame for that.
            for path in known.paths.values():
                path.heard = now
        known.heard = now
        if expected != known.expected or len(known.paths) != len(expected) or interface not in known.paths:
            known.follow(interface, expected, now)
        known.counts[interface] += 1
        path = known.paths[interface]
        path.last = path.heard = now
        was_quiet, path.quiet = path.quiet, False
        quiet = known.overdue(patience, now)
        back: list[PathQuiet | PathBack] = [PathBack(peer, interface)] if was_quiet else []
        return back + [PathQuiet(peer, index) for index in quiet] if quiet else back
