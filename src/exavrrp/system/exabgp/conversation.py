"""The conversation with ExaBGP: wanted routes and its answers in, lines to write and events out; pure.

This file owns what is said, when, and what an answer belongs to. It must not know of descriptors, loops or clocks:
lines and the time come in, ``transmit`` gives what is to be written now, ``deadline`` says when ``tick`` has to look
again. Observations about ExaBGP hold for 4.2.25 and 5.0.15 and are proved by ``tests/system/test_exabgp.py``.

**Wanted, not history.** ``set`` names the routes to be announced; every other address of ours is withdrawn. Each
address has at most one command without an answer, because ExaBGP lets commands for one prefix overtake each other. What
is wanted meanwhile replaces what was wanted before; only the last is said. A withdraw is said once for every form in
which the address was announced since its last withdraw (``_Prefix.spoken``), and at the start for all forms there are:
a predecessor may have used them. A form may name its neighbours; those that a new one does not name any more are told
to withdraw, after the others were told of the new one.

**Many at once.** Addresses of one family that are to be said the same of go out in one command (``BATCH``), whose
answer is that of all of them. If it is ``error``, each is asked for by itself.

**Whose answer is it?** ExaBGP answers ``done`` or ``error`` without saying to what. Commands about routes are carried
out and answered in order, so a queue (``_unanswered``) tells, as long as no answer is missing. Some are: a command that
raises inside ExaBGP 4.2 is never answered. So there is a second entry for that queue, the *question*: ``show neighbor
summary``, whose answer begins with a heading that nothing else has. When the heading comes, every command written
before the question has had its chance, and the ones still in the queue were never answered. (``version`` would not do:
it is answered at once and overtakes the commands before it.)

If every command was answered, attribution was exact. If not, it may have been off by one since the queue was last
empty: every address concerned becomes *doubtful* and is asked for again, *fenced* by a question before and one behind,
so that its next answer, or the lack of one, is certainly its own. Nobody waits for that: a fence takes two lines.

**Silence.** When nothing was heard for ``ANSWER_LIMIT`` while something is unanswered, ExaBGP has stalled: every
command in the queue is reported once, one question is asked (again and again, ever more rarely) and nothing else is
said until anything comes. Then the answers that waited are still attributed, and the last wishes are said once. So that
a stall is known before something is wanted, a question is asked after each ``PULSE`` without a word. A stall is told
(``Stalled``) when the second question is not answered either: after a pause of our own, ExaBGP has time to answer one.

**Order on the wire.** ``done`` means that a command is in the queue of each neighbour, not that it was sent. A queue
that is not being sent (the session is down, has just come up or is slow) holds sets of attributes in the order in which
they entered first. So each wish is given the spelling of its attributes that was used longest ago (``_spelt``): it
stands behind everything that was said of its addresses before, as long as it was not in the queue already. There are
``len(SPELLINGS)`` of each set of attributes; when one comes round again within ``WEAR``, the order is uncertain, and
what was said in it is said once more after ``CALM``. Nobody waits for that.

**Coming up.** What ExaBGP sends to a neighbour that comes up is not always what it was told last. So everything, wanted
or not, is said again, in another spelling: ExaBGP does not send an announcement that it takes for the same.

**Greeting.** A predecessor may have left half a line in ExaBGP 4.2's buffer and commands in its queue. One write has a
word that turns any half line into an error, ``reset`` (forget this process's queue; not answered) and ``version``,
whose two lines of answer come together. What comes before them is not for us, what comes behind them is. Should an
answer ever come that nothing was asked for, the same greeting makes a new beginning, and everything is said again.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from ipaddress import ip_address
from typing import assert_never

from exavrrp.routes import BRIEF, EXPLICIT, Attributes, Dialect, Route, Spelling, announce, spellings, withdraw
from exavrrp.vrrp.packet import Address

ANSWER_LIMIT = 1.0
"""Seconds. ExaBGP answers in about 1 ms, and within 0.4 s in the middle of 1,000 commands."""

PULSE = 1.0
"""Seconds without a word after which ExaBGP is asked for a sign of life; it needs 1 ms for it."""

PATIENCE = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds until what was refused or not answered is tried again, the last one for ever."""

WINDOW = 100
"""Addresses in unanswered commands, about: ExaBGP takes some 25 of them in a turn of its loop, so more gain nothing."""

BATCH = 50
"""Addresses in one command. Both versions read 16 KiB at once and take longer lines (5.0 up to 1 MiB); 50 addresses are
2 KiB, less than what a pipe takes in one piece, and much larger commands would make the first wait for the last."""

FORMS = 16
"""Forms of one address remembered for its withdraw. Nothing stands behind the last one in any queue; the others are
withdrawn too lest a neighbour that comes up hears of the address for a moment."""

USED = 1000
"""Spellings remembered with the time of their last use: those of 80 sets of attributes."""

WEAR = 90.0
"""Seconds after which nothing that was said is still in a queue: a session that is down is tried again every 60 s at
least (4.2), and each attempt forgets what was queued."""

TRIES = 2
"""Questions in a row without an answer after which a stall is told."""

CALM = 1.0
"""Seconds after which what was answered is on its way to every neighbour whose session is up: 0.002 if ExaBGP is idle,
0.05 after a session came up, measured on a machine with three times the load it can bear."""

THROWAWAY = " exavrrp"
"""No command, alone or glued to half of one. ExaBGP logs it as not understood, once for every start of ours."""
RESET = "reset"
VERSION = "version"
QUESTION = "show neighbor summary"

_VERSION = re.compile(r"exabgp (\S+)")
_HEADING = re.compile(r"Peer\s+AS\s+up/down\s")
_ESTABLISHED = "established"


@dataclass(frozen=True, slots=True)
class Greeted:
    """ExaBGP has told its version."""

    version: str
    known: bool
    """whether we know its dialect; if not, the newest one is tried"""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A BGP session came up or went down."""

    address: Address
    established: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """ExaBGP has carried out the last wish for an address; it says so when the route is in its table, not when sent."""

    address: Address
    route: Route | None
    """``None``: withdrawn"""


@dataclass(frozen=True, slots=True)
class Refused:
    """ExaBGP answered ``error``; the reason is in its own log. Tried again by and by."""

    address: Address
    line: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A command was not answered in time, or ExaBGP went on without an answer. Tried again by and by."""

    address: Address
    line: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """No question is answered: nothing can be announced or withdrawn, and nobody knows which sessions live."""

    seconds: float
    """since it was heard last"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was told to have stalled answers again."""


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that should not happen and is put right without help; for the log."""

    detail: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """ExaBGP announced that it stops: in 0.1 s SIGTERM, 2 s later SIGKILL; the sessions close with it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """ExaBGP is not at the other end any more: nothing can be announced or withdrawn."""

    why: str


Event = Greeted | Neighbor | Answered | Refused | Silent | Stalled | Resumed | Odd | Stopping | Gone

Form = tuple[Route, Spelling]


@dataclass(slots=True)
class _Prefix:
    """One address of ours, and how far its wish is carried out."""

    spoken: list[Form]
    """forms announced since the last complete withdraw, the latest last; the last one left stays, for repeats"""
    wanted: Route | None = None
    spelling: Spelling = BRIEF
    said: Form | None = None
    """what was said last, if it was an announcement: the same words again change nothing, wherever they stand"""
    again: bool = False
    """whether the next announcement must not have the same words"""
    generation: int = 0
    """counts wishes and repeats, so that an answer confirms only what was wanted when its command was written"""
    announced: bool = False
    """whether the neighbours of the wanted route know of it, so that others may be told to withdraw"""
    confirmed: bool = False
    homes: list[Form] = field(default_factory=list)
    """one for each set of neighbours that the address may be announced to"""
    worn: bool = False
    """whether ``spelling`` may have been in a queue already, so that the order there is uncertain"""
    doubtful: bool = False
    unanswered: bool = False
    failures: int = 0
    """refusals and silences in a row"""

    def surplus(self) -> Form | None:
        """A form that neighbours have which are not to have any; of it only what concerns these."""
        if self.wanted is None:
            return None
        for route, spelling in reversed(self.spoken):
            rest = _without(route.attributes.neighbors, self.wanted.attributes.neighbors)
            if rest:
                return Route(route.address, replace(route.attributes, neighbors=rest)), spelling
        return None

    def part(self, gone: Form) -> None:
        """``gone`` (a ``surplus``) was withdrawn."""
        left: list[Form] = []
        for route, spelling in self.spoken:
            neighbors = route.attributes.neighbors
            if (
                spelling == gone[1]
                and replace(route.attributes, neighbors=gone[0].attributes.neighbors) == gone[0].attributes
            ):
                neighbors = _without(neighbors, gone[0].attributes.neighbors)
            if neighbors or not route.attributes.neighbors:
                left.append((Route(route.address, replace(route.attributes, neighbors=neighbors)), spelling))
        self.spoken = left


class _Kind(Enum):
    ANNOUNCE = auto()
    WITHDRAW = auto()
    PART = auto()
    """withdraw from neighbours that the wanted route does not name"""


@dataclass(frozen=True, slots=True)
class _Saying:
    """What is to be said next of one address."""

    kind: _Kind
    form: Form
    generation: int
    doubtful: bool

    @property
    def address(self) -> Address:
        return self.form[0].address

    @property
    def key(self) -> object:
        """What sayings have in common that go into one command."""
        alone = self.address if self.doubtful else self.address.version
        return (self.kind is _Kind.ANNOUNCE, self.form[0].attributes, self.form[1], alone)

    def line(self, others: Sequence["_Saying"], dialect: Dialect) -> str:
        verb = announce if self.kind is _Kind.ANNOUNCE else withdraw
        return verb(self.form[0], dialect, self.form[1], [one.form[0] for one in others])


@dataclass(slots=True)
class _Command:
    line: str
    sayings: tuple[_Saying, ...]
    fenced: bool
    """one saying only"""
    reported: bool = False
    """whether its silence was"""

    @property
    def weight(self) -> int:
        return len(self.sayings)


@dataclass(slots=True)
class _Question:
    opened: bool = False
    """whether its heading has come"""
    seen: set[Address] = field(default_factory=set)
    """neighbours of which we have heard since"""
    weight = 1


class Conversation:
    """What is said to ExaBGP and what its answers mean. All times are seconds of one monotonic clock.

    After each call of anything but a property, ``transmit`` may have something to say and ``deadline`` may have moved.
    """

    def __init__(self, ours: Iterable[Route], pulse: float | None = PULSE) -> None:
        """``ours``: every address that may be announced, in every form of it, the likeliest first; ``pulse``: seconds
        without a word after which a sign of life is asked for, None: never.

        Any route will do: not only those of a configuration, but also one that somebody remembers of a predecessor.
        Raises ValueError when an address has a form for all neighbours and one for some: nobody knows who the others
        are.
        """
        self.dialect: Dialect | None = None
        self.established: set[Address] = set()
        self._prefixes: dict[Address, _Prefix] = {}
        for route in ours:
            prefix = self._prefixes.setdefault(route.address, _Prefix([]))
            prefix.spoken[:0] = [(route, spelling) for spelling in (EXPLICIT, BRIEF)]
            self._comparable(prefix, route)
            if all(route.attributes.neighbors != home.attributes.neighbors for home, _ in prefix.homes):
                prefix.homes.append((route, BRIEF))
        self._begun = False
        self._now = 0.0
        self._used: dict[tuple[Attributes, Spelling], float] = {}
        self._due: dict[Address, None] = {}
        self._later: dict[Address, float] = {}
        self._echoes: dict[Address, float] = {}
        self._unanswered: deque[_Command | _Question] = deque()
        self._unverified: dict[Address, None] = {}
        self._ask = False
        self._introduced = False
        self._stalled = False
        self._stall_told = False
        self._asked, self._asked_at = 0, 0.0
        self._heard = self._verified = self._word = 0.0
        self._pulse = pulse
        self._greeting = True
        self._greetings, self._greeted = 0, 0.0
        self._version: str | None = None
        self._versions_sent = self._versions_heard = self._versions_needed = 0

    @staticmethod
    def _comparable(prefix: _Prefix, route: Route) -> None:
        if bool(route.attributes.neighbors) != bool(prefix.spoken[-1][0].attributes.neighbors):
            raise ValueError(f"{route.prefix} is to be announced to all neighbours in one form and to some in another")

    # What is wanted

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these of our addresses announced, and like this.

        Raises KeyError for an address that is not ours, ValueError as the constructor.
        """
        routes = {route.address: route for route in wanted}
        for route in routes.values():
            self._comparable(self._prefixes[route.address], route)
        changed = [
            address
            for address, prefix in self._prefixes.items()
            if not self._begun or routes.get(address) != prefix.wanted
        ]
        for address in changed:
            prefix = self._prefixes[address]
            prefix.wanted = routes.get(address)
            prefix.failures = 0
            self._renew(address, prefix)
        self._spell(changed)
        self._begun = True

    def _spell(self, addresses: Iterable[Address]) -> None:
        """Give each of these wishes a spelling that stands behind everything in ExaBGP's queues."""
        chosen: dict[Attributes, tuple[Spelling, bool]] = {}
        for address in addresses:
            prefix = self._prefixes[address]
            self._echoes.pop(address, None)
            prefix.worn = False
            if prefix.wanted is not None:
                attributes = prefix.wanted.attributes
                if attributes not in chosen:
                    chosen[attributes] = self._spelt(attributes)
                prefix.spelling, prefix.worn = chosen[attributes]

    def _spelt(self, attributes: Attributes) -> tuple[Spelling, bool]:
        """The spelling used longest ago, and whether it may be in a queue still."""
        attributes = replace(attributes, neighbors=())  # of which the queues know nothing
        found = min(spellings(attributes), key=lambda one: self._used.get((attributes, one), -WEAR))
        worn = self._used.get((attributes, found), -WEAR) > self._now - WEAR
        self._used.pop((attributes, found), None)
        self._used[attributes, found] = self._now
        if len(self._used) > USED:
            del self._used[next(iter(self._used))]
        return found, worn

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has carried out every wish."""
        return self.has_carried_out(self._prefixes)

    @property
    def resting(self) -> bool:
        """Whether nothing is under way and nothing due but, by and by, a sign of life."""
        return not (self._greeting or self._ask or self._due or self._later or self._echoes or self._unanswered)

    def has_carried_out(self, addresses: Iterable[Address]) -> bool:
        """Whether ExaBGP has carried out the last wish for each of these addresses of ours."""
        return self._begun and all(self._prefixes[address].confirmed for address in addresses)

    def _renew(self, address: Address, prefix: _Prefix) -> None:
        """What is wanted of ``address`` is to be said (again), without delay."""
        prefix.generation += 1
        prefix.announced = prefix.confirmed = False
        self._make_due(address, prefix)

    def _make_due(self, address: Address, prefix: _Prefix) -> None:
        self._later.pop(address, None)
        if not prefix.unanswered:
            self._due[address] = None

    def _make_due_later(self, address: Address, prefix: _Prefix, now: float) -> None:
        prefix.failures += 1
        self._later[address] = now + _patience(prefix.failures)

    def _repeat_everything(self) -> None:
        if self._begun:
            for address, prefix in self._prefixes.items():
                if len(prefix.homes) > 1:  # the neighbour may be one that the last wish does not name
                    prefix.spoken[:0] = [form for form in prefix.homes if form not in prefix.spoken]
                prefix.again = True
                self._renew(address, prefix)
            self._spell(self._prefixes)

    # What is written

    def transmit(self, now: float) -> list[str]:
        """The lines to write now, in one piece. To be called only when everything before has been written."""
        self._now = now
        if self.dialect is None or self._greeting:
            return self._greet(now)
        if not self._unanswered:
            self._heard = self._verified = now
        lines: list[str] = []
        if self._ask:
            self._question(lines)
        room = 0 if self._stalled else WINDOW - sum(one.weight for one in self._unanswered)
        batches: dict[object, list[_Saying]] = {}
        while self._due and room > 0:
            address = next(iter(self._due))
            del self._due[address]
            saying = self._next(self._prefixes[address])
            batches.setdefault(saying.key, []).append(saying)
            room -= 1
        for sayings in batches.values():
            for begin in range(0, len(sayings), BATCH):
                self._say(tuple(sayings[begin : begin + BATCH]), self.dialect, lines)
        return lines

    def _greet(self, now: float) -> list[str]:
        """ExaBGP reads one write at once, so that ``reset`` also stops a command that our first word was glued to."""
        lines = [] if self.dialect is not None else [THROWAWAY]
        if self._greetings == 0:
            self._greetings, self._greeted = 1, now
            self._versions_sent += 1
            self._versions_needed = self._versions_sent
            return [*lines, RESET, VERSION]
        if not self._ask:
            return []
        self._ask = False
        self._versions_sent += 1
        return [VERSION]

    def _question(self, lines: list[str]) -> None:
        self._ask = False
        self._unanswered.append(_Question())
        lines.append(QUESTION)

    @staticmethod
    def _next(prefix: _Prefix) -> _Saying:
        """What to say of an address now; it counts as said."""
        if prefix.wanted is None:
            kind, form = _Kind.WITHDRAW, prefix.spoken[-1]
        elif prefix.announced and (surplus := prefix.surplus()) is not None:
            kind, form = _Kind.PART, surplus
        else:
            kind, form = _Kind.ANNOUNCE, (prefix.wanted, prefix.spelling)
            if not prefix.again and prefix.said is not None and prefix.said[0] == prefix.wanted:
                form = prefix.said
            prefix.again = False
            prefix.spoken = [*(one for one in prefix.spoken if one != form), form][-FORMS:]
        if kind is not _Kind.PART:
            prefix.said = form if kind is _Kind.ANNOUNCE else None
        prefix.unanswered = True
        return _Saying(kind, form, prefix.generation, prefix.doubtful)

    def _say(self, sayings: tuple[_Saying, ...], dialect: Dialect, lines: list[str]) -> None:
        first, *others = sayings
        fenced = first.doubtful
        if fenced and self._unanswered and isinstance(self._unanswered[-1], _Command):
            self._question(lines)
        line = first.line(others, dialect)
        self._unanswered.append(_Command(line, sayings, fenced))
        lines.append(line)
        if fenced:
            self._question(lines)

    # Time

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has to be called; ``None``: not before something happens."""
        if self._greeting:
            return self._greeted + _patience(self._greetings) if self._greetings else None
        times = [*self._later.values(), *self._echoes.values()]
        if self._unanswered:
            times.append(self._check_at())
        elif self._pulse is not None:
            times.append(self._word + self._pulse)
        return min(times, default=None)

    def _check_at(self) -> float:
        if self._stalled:
            return self._asked_at + _patience(self._asked)
        return (self._heard if self._questioned() else self._verified) + ANSWER_LIMIT

    def _questioned(self) -> bool:
        return self._ask or any(isinstance(one, _Question) for one in self._unanswered)

    def tick(self, now: float) -> list[Event]:
        """Time has passed. Everything that ExaBGP has written must have been handed over before."""
        self._now = now
        if self._greeting:
            return self._greet_again(now)
        for address in [address for address, at in self._later.items() if at <= now]:
            self._make_due(address, self._prefixes[address])
        self._echo([address for address, at in self._echoes.items() if at <= now])
        if not self._unanswered:
            # A command that is due is a question as good.
            self._ask = self._ask or (self._pulse is not None and now >= self._word + self._pulse and not self._due)
            return []
        if now < self._check_at():
            return []
        if self._stalled:
            return self._ask_again(now)
        if now < self._heard + ANSWER_LIMIT:
            self._ask = True  # it answers, but has it answered everything?
            return []
        return self._stall(now)

    def _echo(self, addresses: list[Address]) -> None:
        """Say once more what may stand in the wrong place of a queue; it stays confirmed."""
        self._spell(addresses)
        for address in addresses:
            self._prefixes[address].worn = False  # once is enough: there has been calm
            self._prefixes[address].again = True
            self._make_due(address, self._prefixes[address])

    def _greet_again(self, now: float) -> list[Event]:
        if self.deadline is None or now < self.deadline:
            return []
        self._greetings += 1
        self._greeted = now
        self._ask = True
        odd = Odd("ExaBGP does not answer; asking again for its version")
        return [odd, *(self._tell_stall(now) if self._greetings > TRIES and self.dialect is not None else [])]

    def _ask_again(self, now: float) -> list[Event]:
        self._asked += 1
        self._asked_at = now
        self._ask = True
        return self._tell_stall(now) if self._asked >= TRIES else []

    def _tell_stall(self, now: float) -> list[Event]:
        told, self._stall_told = self._stall_told, True
        return [] if told else [Stalled(now - self._word)]

    def _stall(self, now: float) -> list[Event]:
        self._stalled = True
        self._asked = 0
        self._ask_again(now)
        events: list[Event] = []
        for one in self._unanswered:
            if isinstance(one, _Command) and not one.reported:
                one.reported = True
                events += [Silent(saying.address, one.line) for saying in one.sayings]
        return events

    # What is heard

    def feed(self, line: str, now: float) -> list[Event]:
        """One line from ExaBGP. Never raises, whatever the line is."""
        self._word = now
        events = self._told(line) if line.startswith("{") else self._said(line, now)
        if self._stall_told and not (self._stalled or self._greeting):
            self._stall_told = False
            return [Resumed(), *events]
        return events

    def _said(self, line: str, now: float) -> list[Event]:
        # The two lines of a version's answer come together: what follows is its "done", or answers are switched off.
        pending, self._version = self._version, None
        answered = line == "done"
        events = [] if pending is None else self._introduction(pending, now, answered)
        if found := _VERSION.fullmatch(line):
            self._version = found[1]
        elif pending is None or not answered:
            events += self._heard_line(line, now)
        return events

    def _heard_line(self, line: str, now: float) -> list[Event]:
        if self._greeting:
            return []  # for a predecessor, or about its half a line
        if line in ("done", "error"):
            return self._answer(line == "done", now)
        if _HEADING.match(line):
            return self._heading(now)
        return self._row(line, now)

    def _introduction(self, version: str, now: float, answered: bool) -> list[Event]:
        self._versions_heard = min(self._versions_heard + 1, self._versions_sent)
        if not self._greeting or self._versions_heard < self._versions_needed:
            return []  # asked for more than once, or before the last new beginning
        self._greeting, self._ask = False, True
        self._alive(now)
        if self.dialect is not None:
            return []
        major = version.partition(".")[0]
        known = major in set(Dialect)
        self.dialect = Dialect(major) if known else max(Dialect)
        events: list[Event] = [Greeted(version, known)]
        if not answered:
            events.append(Odd("ExaBGP does not answer commands: set exabgp.api.ack to true"))
        return events

    def _alive(self, now: float) -> None:
        self._heard = now
        self._stalled = False

    def _answer(self, done: bool, now: float) -> list[Event]:
        self._alive(now)
        head = self._unanswered[0] if self._unanswered else None
        match head:
            case None | _Question(opened=False):
                return self._stray("done" if done else "error")
            case _Question():
                events = self._summarised(head)
            case _Command():
                events = self._resolved(head, done, now)
            case _:
                assert_never(head)
        self._unanswered.popleft()
        if not self._unanswered:
            self._verify(now)
        return events

    def _resolved(self, command: _Command, done: bool, now: float) -> list[Event]:
        events: list[Event] = []
        for saying in command.sayings:
            prefix = self._prefixes[saying.address]
            prefix.unanswered = False
            self._unverified[saying.address] = None
            if done:
                events += self._accepted(saying, prefix, command.fenced, now)
            else:
                events += self._refused(command, saying, prefix, now)
        return events

    def _accepted(self, saying: _Saying, prefix: _Prefix, fenced: bool, now: float) -> list[Event]:
        prefix.failures = 0
        prefix.doubtful = prefix.doubtful and not fenced
        current = saying.generation == prefix.generation
        finished = True
        match saying.kind:
            case _Kind.WITHDRAW if len(prefix.spoken) > 1:
                prefix.spoken.pop()  # withdrawn in this form; the next one
                finished = False
            case _Kind.PART:
                prefix.part(saying.form)
        prefix.announced = prefix.announced or (current and saying.kind is _Kind.ANNOUNCE)
        if not current or not finished or prefix.surplus() is not None:
            self._make_due(saying.address, prefix)
            return []
        if prefix.worn:
            prefix.worn = False
            self._echoes[saying.address] = now + CALM
        known, prefix.confirmed = prefix.confirmed, True
        return [] if known else [Answered(saying.address, prefix.wanted)]

    def _refused(self, command: _Command, saying: _Saying, prefix: _Prefix, now: float) -> list[Event]:
        """If an answer is missing, it was another one's refusal; in a batch, perhaps that of one of the others."""
        prefix.doubtful, prefix.confirmed = True, False
        self._ask = self._ask or not command.fenced
        if saying.generation == prefix.generation and len(command.sayings) == 1:
            self._make_due_later(saying.address, prefix, now)
        else:
            self._make_due(saying.address, prefix)
        return [] if len(command.sayings) > 1 else [Refused(saying.address, command.line)]

    def _heading(self, now: float) -> list[Event]:
        """The answer to a question begins: no command before it will be answered any more."""
        self._alive(now)
        questions = (one for one in self._unanswered if isinstance(one, _Question) and not one.opened)
        question = next(questions, None)
        if question is None:
            return []
        lost: list[_Command] = []
        while (head := self._unanswered[0]) is not question:
            self._unanswered.popleft()
            if isinstance(head, _Command):
                lost.append(head)
        question.opened = True
        events = self._lose(lost, now) if lost else []
        self._verify(now)
        return events

    def _verify(self, now: float) -> None:
        """Every answer until now belongs to what we took it for, or has been doubted."""
        self._verified = now
        self._unverified.clear()

    def _lose(self, lost: list[_Command], now: float) -> list[Event]:
        events: list[Event] = []
        for command in lost:
            for saying in command.sayings:
                prefix = self._prefixes[saying.address]
                prefix.unanswered = prefix.confirmed = False
                if command.fenced and saying.generation == prefix.generation:
                    self._make_due_later(saying.address, prefix, now)
                else:
                    self._make_due(saying.address, prefix)
                if command.fenced and not command.reported:
                    events.append(Silent(saying.address, command.line))
                prefix.doubtful = True
        if not all(command.fenced for command in lost):
            for address in self._unverified:
                self._prefixes[address].doubtful = True
                self._renew(address, self._prefixes[address])
            events.append(Odd(f"{len(lost)} commands were not answered; asking again for each of them"))
        return events

    def _stray(self, answer: str) -> list[Event]:
        """An answer too many: whatever was taken for an answer may have been another's. A new beginning."""
        self._greeting, self._greetings, self._ask = True, 0, False
        self._unanswered.clear()
        self._unverified.clear()
        for address, prefix in self._prefixes.items():
            prefix.unanswered = False
            if self._begun:
                self._renew(address, prefix)
        return [Odd(f'"{answer}" answers nothing; saying everything again')]

    # Neighbours

    def _told(self, line: str) -> list[Event]:
        """A line of JSON: a neighbour's state, ExaBGP's end, or what other parts of its API tell."""
        if '"state"' not in line and '"shutdown"' not in line:
            return []
        try:
            told = json.loads(line)
            match told:
                case {"type": "notification", "notification": "shutdown"}:
                    return [Stopping()]
                case {"type": "state", "neighbor": {"address": {"peer": str(peer)}, "state": "up" | "down" as state}}:
                    return self._neighbor(ip_address(peer), state == "up", fresh=True)
        except (ValueError, RecursionError):
            pass  # not JSON, or not an address
        return []

    def _row(self, line: str, now: float) -> list[Event]:
        """A line of the answer to a question: address, AS, since when, state, two counters."""
        question = self._unanswered[0] if self._unanswered else None
        words = line.split()
        if not isinstance(question, _Question) or not question.opened or len(words) < 6:
            return []
        try:
            address = ip_address(words[0])
        except ValueError:
            return []
        self._alive(now)
        return self._neighbor(address, words[-3] == _ESTABLISHED, fresh=False)

    def _neighbor(self, address: Address, up: bool, fresh: bool) -> list[Event]:
        """``fresh``: ExaBGP tells it as it happens; an ``up`` is then a new session, whatever was known."""
        for one in self._unanswered:
            if isinstance(one, _Question) and one.opened:
                one.seen.add(address)
        known = address in self.established
        if up and (fresh or (not known and self._introduced)):
            self._repeat_everything()
        if up == known:
            return []
        if up:
            self.established.add(address)
        else:
            self.established.discard(address)
        return [Neighbor(address, up)]

    def _summarised(self, question: _Question) -> list[Event]:
        """An answer to a question ends: 4.2 lists only the neighbours that are up."""
        self._introduced = True
        gone = sorted(self.established - question.seen, key=str)
        self.established -= set(gone)
        return [Neighbor(address, established=False) for address in gone]


def _without(neighbors: tuple[Address, ...], others: tuple[Address, ...]) -> tuple[Address, ...]:
    return tuple(one for one in neighbors if one not in others)


def _patience(times: int) -> float:
    """Seconds to wait after the ``times``-th failure in a row, from 1."""
    return PATIENCE[min(times, len(PATIENCE)) - 1]
