"""The same route in other words, so that ExaBGP sends it in the right order and at all; pure.

``done`` means that a command is in the queue of each neighbor, not that it was sent. Three properties of that queue
(``rib/outgoing.py``, 4.2.25 and 5.0.15 alike) make one encoding of a route too few:

- It is a queue of sets of attributes. A withdraw cancels a queued announcement only when it *carries the very
  attributes of that announcement*; otherwise the queued announcement is still sent when the session comes up.
- Sets of attributes leave it in the order in which they entered first, not in the order of the last command. A prefix
  announced as A, as B and again as A while a session is down ends as B at that neighbor.
- An announcement that equals the last one is answered ``done`` and not sent again, so repeating it repairs nothing.

ExaBGP compares words; every ``Variant`` of a route is the same UPDATE to the byte. So each desired route is given one
that is in no queue (``Rotation``): it stands behind everything that was sent of its prefixes before. A withdraw in the
same words, of any prefix, would have taken a place farther ahead. When all variants were announced within ``QUEUED``,
the order is uncertain, and what was sent in the one used longest ago is sent once more after a moment. A repeat never
says what one of its neighbors was told last, however long ago that was, as long as there is a variant left; a trial
(``begin_trial``) says just that, to one neighbor.

They are needed: with the first variant alone a router has an old route at the end of 5 in 6 rounds of
``test_exabgp.py -k rapid`` (4.2.25 and 5.0.15), and what comes up late, or a repeat, goes wrong each time; with all of
them none does. ``test_one_encoding_is_too_few`` shows why.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import inf

from exavrrp.routes import Attributes

QUEUED = 90.0
"""Seconds after which nothing that was sent is still in a queue: a session that is down is tried again every 60 s at
least (4.2), and each attempt forgets what was queued."""

SENT = 1.0
"""Seconds after which what was answered is on its way to every neighbor whose session is up: 0.002 if ExaBGP is idle,
0.05 after a session came up, measured on a machine with three times the load it can bear."""

REMEMBERED = 10_000
"""Variants remembered with the time of their last use, 3 MB: all those of 800 sets of attributes. What was used longer
ago than ``QUEUED`` is forgotten; what has to be forgotten earlier leaves the order uncertain."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several encodings of a route in a command."""

    origin: str
    """left out (ExaBGP fills in IGP), by name, or as an attribute of given bytes"""
    med: bool = False
    """whether the MED is given as bytes"""
    preference: bool = False
    """whether the local preference is given as bytes or, where there is none, ExaBGP's default is written out"""


VARIANTS = tuple(
    Variant(origin, med, preference)
    for preference in (False, True)
    for med in (False, True)
    for origin in ("", "origin igp", "attribute [0x01 0x40 0x00]")
)
BRIEF, EXPLICIT = VARIANTS[:2]


def variants(attributes: Attributes) -> tuple[Variant, ...]:
    """Every encoding of ``attributes``, no two of which have the same words; the most readable first."""
    return tuple(one for one in VARIANTS if attributes.med is not None or not one.med)


class Rotation:
    """Which variant of which attributes may stand in a queue, and until when."""

    def __init__(self) -> None:
        self.used: dict[tuple[Attributes, Variant], tuple[float, int]] = {}
        """until when, and a count: many may be used at one moment, and have an order"""
        self.now = 0.0
        self._uses = 0
        self._forgotten = -inf
        """until when something may be in a queue that is not remembered any more"""
        self._chosen: dict[Attributes, list[tuple[Variant, bool]]] = {}

    def written(self) -> None:
        """What was chosen until now goes out, so the same attributes need another variant from now on."""
        self._chosen.clear()

    def choose(self, attributes: Attributes, last: Collection[Variant]) -> tuple[Variant, bool]:
        """A variant that is in no queue, or the one used longest ago; and whether it may be in a queue still.

        None of ``last``, in which the prefix was announced last to its neighbors, unless these are all there are: the
        same words again change nothing. What is desired alike between two writes gets the same one, if that may be, so
        that it goes out in one command.
        """
        known = attributes.for_all  # which are unknown to the queues
        for one in last:
            self._use(known, one, QUEUED)
        fitting = [one for one in variants(attributes) if one not in last] or variants(attributes)
        chosen = self._chosen.setdefault(attributes, [])
        if all(one not in fitting for one, _ in chosen):
            chosen.append(self._next(known, fitting))
        return next(one for one in chosen if one[0] in fitting)

    def _next(self, attributes: Attributes, fitting: Collection[Variant]) -> tuple[Variant, bool]:
        uses = {one: self.used.get((attributes, one), (self._forgotten, 0)) for one in fitting}
        free = [one for one, (until, _) in uses.items() if until <= self.now]
        found = free[0] if free else min(uses, key=lambda one: uses[one])
        self._use(attributes, found, QUEUED)
        return found, not free

    def withdrawn(self, attributes: Attributes, variant: Variant) -> None:
        """A withdraw has gone out in these words; a session that comes up later has its routes sent again anyway."""
        self._use(attributes.for_all, variant, SENT)

    def _use(self, attributes: Attributes, variant: Variant, seconds: float) -> None:
        before, _ = self.used.pop((attributes, variant), (-inf, 0))
        self._uses += 1
        self.used[attributes, variant] = max(before, self.now + seconds), self._uses
        while (until := self.used[oldest := next(iter(self.used))][0]) <= self.now or len(self.used) > REMEMBERED:
            self._forgotten = max(self._forgotten, until)
            del self.used[oldest]
