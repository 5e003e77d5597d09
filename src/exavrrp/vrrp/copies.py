"""Which paths deliver a peer's adverts; pure. Each advert is sent once over every path, so a failed path is detected.

``Copies`` records, for one virtual router, which peer's adverts arrived through which interface. It decides nothing
about the election, for which the first copy of an advert counts and the others change nothing. It reports a path that
delivers no copies any more while another one still does, before both have failed; and when it delivers again.

A path is the interface that a copy arrived on. A peer that is silent on all paths is the election's concern.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from exavrrp.vrrp.packet import Address, Advertisement

TOLERANCE = 3.5
"""Advert intervals without a copy before a path counts as quiet: about an Active_Down_Interval."""


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
    """One interface over which adverts of a peer arrive, or are expected. Times are monotonic seconds."""

    heard: float
    """start of the timeout: the last copy, or the return of the peer"""
    quiet: bool = False
    last: float | None = None
    """when the last copy arrived; None: never"""


@dataclass(slots=True)
class Peer:
    """What was received from one peer."""

    advertisement: Advertisement
    """the last one"""
    heard: float
    """when it arrived, in monotonic seconds"""
    paths: dict[int, Path] = field(default_factory=dict)
    """by interface index"""
    expected: Collection[int] = ()
    """as of the last copy"""
    counts: Counter[int] = field(default_factory=Counter)
    """copies by interface index, including interfaces that do not lead to the peer any more"""

    def follow(self, interface: int, expected: Collection[int], now: float) -> None:
        """Keep exactly the ``expected`` paths, and the one that the last copy arrived on."""
        self.expected = expected
        for gone in [index for index in self.paths if index not in expected and index != interface]:
            del self.paths[gone]
        for index in (*expected, interface):
            self.paths.setdefault(index, Path(now))

    def overdue(self, timeout: float, now: float) -> list[int]:
        """Mark the paths without a copy for ``timeout`` seconds as quiet; return those that were not before."""
        newly = [index for index, path in self.paths.items() if now - path.heard > timeout and not path.quiet]
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
        """A copy of ``peer``'s advert arrived through ``interface`` at ``now``; return changes of its paths.

        ``expected``: indexes of the interfaces that lead to the peer now. One that has never delivered counts as quiet
        after the same timeout. One that does not lead there any more is forgotten. ``now``: monotonic seconds.
        """
        known = self.peers.get(peer)
        if known is None:
            known = self.peers[peer] = Peer(advertisement, now)
        known.advertisement = advertisement
        timeout = TOLERANCE * (advertisement.centiseconds / 100)
        if now - known.heard > timeout:
            # The peer itself was silent (it was Backup until now), which is no failure of a path.
            for path in known.paths.values():
                path.heard = now
        known.heard = now
        if expected != known.expected or len(known.paths) != len(expected) or interface not in known.paths:
            known.follow(interface, expected, now)
        known.counts[interface] += 1
        path = known.paths[interface]
        path.last = path.heard = now
        was_quiet, path.quiet = path.quiet, False
        quiet = known.overdue(timeout, now)
        back: list[PathQuiet | PathBack] = [PathBack(peer, interface)] if was_quiet else []
        return back + [PathQuiet(peer, index) for index in quiet] if quiet else back
