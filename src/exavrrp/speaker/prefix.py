"""One prefix: what is desired of it, what was sent, and what ExaBGP has carried out; pure.

A withdraw is sent once for every form in which the prefix was announced since its last withdraw (``sent_forms``), and
at the start for all forms there are: a predecessor may have used them. A form may name its neighbors; those that a new
one does not name any more get a withdraw, after the others got the new one (``Kind.WITHDRAW_REST``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from exavrrp.neighbors import Session, ordered
from exavrrp.routes import Network, Route
from exavrrp.speaker.dialects import Dialect, Words
from exavrrp.speaker.variants import BRIEF, Variant

CERTAIN = 2
"""Failures in a row after which it is certain that the answer, or the lack of one, is to what was sent."""

FORMS = 16
"""Forms of one prefix remembered for its withdraw. Nothing stands behind the last one in any queue; the others are
withdrawn too, lest a neighbor that comes up gets the prefix for a moment."""

Form = tuple[Route, Variant]
Neighbors = tuple[Session, ...]
Lane = tuple[Network, Neighbors]
"""A prefix and, where its attributes differ among neighbors, those that share them; empty: it has one lane."""


class Kind(Enum):
    ANNOUNCE = auto()
    WITHDRAW = auto()
    WITHDRAW_REST = auto()
    """withdraw from neighbors that the desired route does not name"""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is to be sent next of one prefix."""

    lane: Lane
    kind: Kind
    form: Form
    generation: int
    fenced: bool

    @property
    def network(self) -> Network:
        return self.form[0].network

    @property
    def neighbors(self) -> Neighbors:
        """The only ones that it is for; empty: all."""
        return self.form[0].attributes.neighbors

    @property
    def key(self) -> object:
        """What instructions have in common that go into one command."""
        alone = self.lane if self.fenced else self.network.version
        return (self.kind is Kind.ANNOUNCE, self.form[0].attributes, self.form[1], alone)

    def line(self, others: Sequence["Instruction"], dialect: Dialect, words: Words) -> str:
        write = dialect.announce if self.kind is Kind.ANNOUNCE else dialect.withdraw
        return write(*self.form, [one.form[0] for one in others], words)


@dataclass(slots=True)
class Prefix:
    """One lane of a prefix of ours, and how far ExaBGP has carried out what is desired of it."""

    sent_forms: list[Form]
    """announced since the last complete withdraw, the latest last; the last one left stays, for repeats"""
    desired: Route | None = None
    variant: Variant = BRIEF
    reused: bool = False
    """whether ``variant`` may have been in a queue already, so that the order there is uncertain"""
    sent: Form | None = None
    """what was sent last, if it was an announcement: the same words again change nothing, wherever they stand"""
    inherited: list[Form] = field(default_factory=list)
    """what lanes before this one sent last to its neighbors, if that were announcements; until it has sent something"""
    again: bool = False
    """whether the next announcement must not have the same words"""
    generation: int = 0
    """counts changes and repeats, so that an answer confirms only what was desired when its command was written"""
    announced: bool = False
    """whether the neighbors of the desired route know of it, so that others may be told to withdraw"""
    carried_out: bool = False
    said_once: bool = False
    """whether what is desired was not said again since: a neighbor that did not list us just then has missed it"""
    homes: list[Form] = field(default_factory=list)
    """one for each set of neighbors that the prefix may be announced to"""
    unconfirmed: bool = False
    """whether the last answer may have been another's, so that the next command is fenced"""
    unanswered: bool = False
    accepted: bool = False
    """whether ExaBGP may have announced it for us or a predecessor, and has not confirmed its withdraw since"""
    offered: bool = False
    """whether what is desired is to be announced, or was, and has neither been accepted nor certainly been refused"""
    in_part: bool = False
    """whether an announcement was certainly refused that some neighbors may have been told of (``Dialect.partial``),
    until its withdraw is confirmed or ExaBGP's tables do not have it"""
    trying: bool = False
    """whether an announcement to one neighbor alone is not answered yet"""
    failures: dict[Neighbors, int] = field(default_factory=dict)
    """refusals and missing answers in a row of what is desired, by the neighbors that the command named"""
    withdrawn: dict[Neighbors, Form] = field(default_factory=dict)
    """the form that was withdrawn last since that is desired, by the neighbors that it named"""

    @property
    def last_variant(self) -> Variant | None:
        """In which what is desired was sent last; None: something else was."""
        return self.sent[1] if self.sent is not None and self.sent[0] == self.desired else None

    @property
    def last_variants(self) -> list[Variant]:
        """In which any neighbor was told last what is desired, whoever else was: the same words change nothing."""
        last = self.inherited if self.sent is None else [self.sent]
        wanted = None if self.desired is None else self.desired.attributes.for_all
        return [variant for route, variant in last if route.attributes.for_all == wanted]

    @property
    def is_refused(self) -> bool:
        """Whether ExaBGP certainly does not carry out what is desired of it."""
        return max(self.failures.values(), default=0) >= CERTAIN

    def renew(self) -> None:
        """What is desired of it is to be sent (again)."""
        self.generation += 1
        self.announced = self.carried_out = False
        self.withdrawn.clear()

    def succeed(self, before: Sequence["Prefix"], desired: Route | None) -> None:
        """Take over what other lanes of the same prefix were told: this one's neighbors were among theirs."""
        ours = {one for route, _ in self.sent_forms for one in route.attributes.neighbors}
        told = (_for(ours, form) for one in before for form in one.sent_forms)
        last = (form for one in before for form in (one.inherited if one.sent is None else [one.sent]))
        self.inherited = [form for form in last if _for(ours, form) is not None]
        forms = dict.fromkeys((*self.sent_forms, *(form for form in told if form is not None)))
        self.sent_forms = list(forms)[-FORMS:]
        self.generation = max(one.generation for one in before) + 1
        self.accepted = any(one.may_be_announced for one in before)
        self.desired, self.offered = desired, desired is not None
        self.said_once = True

    def fail(self, neighbors: Neighbors) -> int:
        """A command for these has failed; how often that was in a row."""
        self.failures[neighbors] = self.failures.get(neighbors, 0) + 1
        return self.failures[neighbors]

    @property
    def may_be_announced(self) -> bool:
        """Whether ExaBGP may announce it to any neighbor."""
        return self.accepted or self.offered or self.in_part or self.trying

    def withdraw_from(self, neighbors: Neighbors) -> None:
        """These have it, though no form names them: a predecessor with another file told them, perhaps.

        Their sessions are up, so that the attributes do not matter.
        """
        route, variant = self.sent_forms[-1]
        self.sent_forms.append((Route(route.network, replace(route.attributes, neighbors=neighbors)), variant))

    def doubt(self) -> None:
        """Nobody knows what came of an announcement: that its repeat is refused does not mean that there is none."""
        self.accepted = self.accepted or self.offered

    def desire(self, route: Route | None) -> None:
        """From now on ``route``. If that replaces an unanswered announcement, nobody knows what came of the latter."""
        self.accepted = self.accepted or self.offered or self.trying
        self.desired, self.offered = route, route is not None
        self.said_once = True
        self.failures.clear()

    def tried(self, done: bool | None) -> None:
        """What was sent last of it to one neighbor was answered, and certainly that, or (None) never will be."""
        self.accepted = self.accepted or (self.trying and done is not False)
        self.trying = False

    def next(self, lane: Lane) -> Instruction:
        """What to send now; it counts as sent."""
        if self.desired is None:
            kind, form = Kind.WITHDRAW, self.sent_forms[-1]
        elif self.announced and (surplus := self.surplus()) is not None:
            kind, form = Kind.WITHDRAW_REST, surplus
        else:
            kind, form = Kind.ANNOUNCE, (self.desired, self.variant)
            if not self.again and self.last_variant is not None:
                form = self.desired, self.last_variant
            self.again = False
            self.sent_forms = [*(one for one in self.sent_forms if one != form), form][-FORMS:]
            self.offered = True
        if kind is not Kind.WITHDRAW_REST:
            self.sent = form if kind is Kind.ANNOUNCE else None
            self.inherited = []
        self.unanswered = True
        return Instruction(lane, kind, form, self.generation, self.unconfirmed)

    def accept(self, instruction: Instruction, fenced: bool) -> bool:
        """ExaBGP has carried it out; whether nothing more is to be sent."""
        self.failures.pop(instruction.neighbors, None)
        self.unconfirmed = self.unconfirmed and not fenced
        current = instruction.generation == self.generation
        finished = True
        match instruction.kind:
            case Kind.ANNOUNCE:
                self.announced = self.announced or current
                self.accepted = True
            case Kind.WITHDRAW:
                if current:
                    self.withdrawn[instruction.neighbors] = instruction.form
                finished = len(self.sent_forms) == 1
                if not finished:
                    self.sent_forms.pop()  # withdrawn in this form; the next one
            case _:  # Kind.WITHDRAW_REST
                self._forget(instruction.form)
        return current and finished and self.surplus() is None

    def surplus(self) -> Form | None:
        """A form that neighbors have which are not to have any; of it only what concerns these."""
        if self.desired is None:
            return None
        for route, variant in reversed(self.sent_forms):
            rest = _without(route.attributes.neighbors, self.desired.attributes.neighbors)
            if rest:
                return Route(route.network, replace(route.attributes, neighbors=rest)), variant
        return None

    def give_up_rest(self, neighbors: Neighbors) -> None:
        """These do not list us (any more): those that are to have the route have it all the same."""
        while (other := self.surplus()) is not None and set(neighbors).issuperset(other[0].attributes.neighbors):
            self._forget(other)

    def _forget(self, gone: Form) -> None:
        """``gone`` (a ``surplus``) was withdrawn."""
        left: list[Form] = []
        for route, variant in self.sent_forms:
            neighbors = route.attributes.neighbors
            named = gone[0].attributes.neighbors
            if variant == gone[1] and replace(route.attributes, neighbors=named) == gone[0].attributes:
                neighbors = _without(neighbors, named)
            if neighbors or not route.attributes.neighbors:
                left.append((Route(route.network, replace(route.attributes, neighbors=neighbors)), variant))
        self.sent_forms = left

    # A withdraw that some neighbors refuse. No neighbor of a command that fails hears us, so each form for some of
    # them alone would fail, too. They were told nothing, or cannot be told any more: the others decide what comes of
    # it.

    def _others(self, neighbors: Neighbors) -> list[Form]:
        """The forms that are not for these neighbors alone."""
        return [form for form in self.sent_forms if not set(neighbors).issuperset(form[0].attributes.neighbors)]

    def turn_from(self, neighbors: Neighbors) -> bool:
        """The withdraw from these has failed: whether others come first now, which have failed less often."""
        others = self._others(neighbors)
        if all(self.failures.get(form[0].attributes.neighbors, 0) >= self.failures[neighbors] for form in others):
            return False
        # The last one is withdrawn next.
        self.sent_forms = [*(form for form in self.sent_forms if form not in others), *others]
        return True

    def is_done_by_others(self, neighbors: Neighbors) -> bool:
        """Whether others have withdrawn something, but none of these, which would list us then."""
        return bool(self.withdrawn) and not any(set(neighbors).issuperset(named) for named in self.withdrawn)

    def do_without(self, neighbors: Neighbors) -> bool:
        """The withdraw from these is given up; whether that of all others is done."""
        left = self._others(neighbors)
        self.sent_forms = left or [next(iter(self.withdrawn.values()))]
        self.unconfirmed = False
        return not left


def _for(ours: Collection[Session], form: Form) -> Form | None:
    """``form`` as these of its neighbors got it, empty: all of them; None: none of them did."""
    route, variant = form
    named = route.attributes.neighbors
    if not named or not ours:
        chosen: Neighbors | None = tuple(sorted(ours, key=ordered))
    else:
        chosen = tuple(one for one in sorted(ours, key=ordered) if any(other.covers(one) for other in named)) or None
    return None if chosen is None else (Route(route.network, replace(route.attributes, neighbors=chosen)), variant)


def _without(neighbors: Neighbors, others: Neighbors) -> Neighbors:
    return tuple(one for one in neighbors if one not in others)
