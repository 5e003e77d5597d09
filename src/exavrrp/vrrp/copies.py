"""Which paths deliver a peer's adverts; pure. Each advert is sent once over every path, so a failed path is detected.

``Copies`` records, for one virtual router, which peer's adverts arrived through which interface. It decides nothing
about the election, for which the first copy of an advert counts and the others change nothing. It reports a path that
delivers no copies any more while another one still does, before both have failed; and when it delivers again.

A path is the interface that a copy arrived on. A peer that is silent on all paths is the election's concern.
"""

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

from exavrrp.vrrp.packet import Address, Advertisement

TOLERANCE = 3.5
"""Advert intervals without a copy before a path counts as quiet: about an Active_Down_Interval."""

GAP = 1.5
"""Advert intervals between two copies on one path beyond which that is a gap: at least one copy was lost, or late."""

WINDOW = 600
"""Adverts over which losses are counted on each path: a minute of them at 100 ms."""
_TOP = 1 << WINDOW
_ALL = _TOP - 1

CHANGES, SPAN = 12, 10
"""A peer that says another priority so many times within so many advert intervals contradicts itself: one node says
another one so often only if a check changes faster than it advertises. These are the intervals that are configured
here: an advert that may be forged does not choose how it is measured."""

MOST_PEERS = 255
"""Peers that are remembered, as many as a configuration can name: where it names none, senders can be forged."""


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
    slots: int = 1
    """a bit for each of the last adverts, the latest one the lowest, set if its copy has come; above them a set one"""

    def came(self, interval: float, now: float) -> None:
        """A copy has arrived ``now``; ``interval``: seconds between adverts."""
        self.slots = _shifted(self.slots, max(_adverts(now - self.heard, interval), 1)) | 1
        self.last = self.heard = now

    def losses(self, interval: float, until: float) -> tuple[int, int]:
        """How many of the last adverts until ``until`` did not arrive here, and how many these were (``WINDOW``).

        An advert has no number that every peer sends, so a gap counts as adverts by its length: a copy that is late by
        more than half an interval counts as one that was lost.
        """
        slots = _shifted(self.slots, _adverts(until - self.heard, interval))
        return slots.bit_length() - slots.bit_count(), slots.bit_length() - 1


def _adverts(seconds: float, interval: float) -> int:
    """How many are sent in that time; no more than matter."""
    return min(max(round(seconds / interval), 0), WINDOW)


def _shifted(slots: int, adverts: int) -> int:
    """``slots`` with so many adverts after them that have not arrived."""
    slots <<= adverts
    return slots if slots < 2 * _TOP else slots & _ALL | _TOP


@dataclass(slots=True)
class Peer:
    """What was received from one peer."""

    advertisement: Advertisement
    """the last one"""
    heard: float
    """when its last copy arrived, in monotonic seconds"""
    first: float
    """when its first copy arrived"""
    repeated: bool = False
    """whether the last copy was one of an advert that had come over another path a moment before"""
    paths: dict[int, Path] = field(default_factory=dict)
    """by interface index"""
    expected: Collection[int] = ()
    """as of the last copy"""
    counts: Counter[int] = field(default_factory=Counter)
    """copies by interface index, including interfaces that do not lead to the peer any more"""
    gaps: Counter[int] = field(default_factory=Counter)
    """gaps (``GAP``) that ended, likewise; while a peer is silent on all paths there is none"""
    changes: deque[float] = field(default_factory=lambda: deque(maxlen=CHANGES))
    """when it said another priority than before"""
    contradicted: float | None = None
    """when it contradicted itself last"""
    doubted: float = -inf
    """until when it is contradictory for that"""

    def say(self, advertisement: Advertisement, span: float, now: float) -> None:
        """It says this ``now``; ``span``: seconds in which it may not say so many priorities."""
        if advertisement.priority != self.advertisement.priority:
            self.changes.append(now)
            often = len(self.changes) == CHANGES
            if often and now - self.changes[0] <= span:
                self.contradicted, self.doubted = now, now + span
        self.advertisement = advertisement

    @property
    def is_contradictory(self) -> bool:
        """Whether it has contradicted itself in the last ``SPAN`` intervals in which it was heard: it is forged, there
        are two of it, or a check flaps."""
        return self.heard <= self.doubted

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

    def __init__(self, interval: float) -> None:
        self.interval = interval
        """seconds between adverts, as configured here"""
        self.peers: dict[Address, Peer] = {}
        """those that were heard; for reading"""

    def heard(
        self,
        peer: Address,
        advertisement: Advertisement,
        interface: int,
        expected: Collection[int],
        now: float,
        *,
        followed: Address | None = None,
    ) -> list[PathQuiet | PathBack]:
        """A copy of ``peer``'s advert arrived through ``interface`` at ``now``; return changes of its paths.

        ``expected``: indexes of the interfaces that lead to the peer now. One that has never delivered counts as quiet
        after the same timeout. One that does not lead there any more is forgotten. ``now``: monotonic seconds.
        ``followed``: the peer that is remembered however many others are heard.
        """
        known = self.peers.get(peer)
        if known is None:
            if len(self.peers) >= MOST_PEERS:
                others = (one for one in self.peers if one != followed)
                del self.peers[min(others, key=lambda one: self.peers[one].heard)]
            known = self.peers[peer] = Peer(advertisement, now, now)
        interval = advertisement.centiseconds / 100
        same = advertisement == known.advertisement and now - known.first < interval / 2
        if not same:
            known.say(advertisement, SPAN * self.interval, now)
        timeout = TOLERANCE * interval
        if now - known.heard > timeout:
            # The peer itself was silent (it was Backup until now), which is no failure of a path.
            for path in known.paths.values():
                path.heard = now
        known.heard = now
        if expected != known.expected or len(known.paths) != len(expected) or interface not in known.paths:
            known.follow(interface, expected, now)
        known.counts[interface] += 1
        path = known.paths[interface]
        known.repeated = same and path.heard < known.first
        if not known.repeated:
            known.first = now
        if now - path.heard > GAP * interval:
            known.gaps[interface] += 1
        path.came(interval, now)
        was_quiet, path.quiet = path.quiet, False
        quiet = known.overdue(timeout, now)
        back: list[PathQuiet | PathBack] = [PathBack(peer, interface)] if was_quiet else []
        return back + [PathQuiet(peer, index) for index in quiet] if quiet else back
