"""The conversation with ExaBGP: wanted routes and its answers in, lines to write and events out; pure.

This file owns what is said, when, and what an answer belongs to. It must not know of descriptors, loops or clocks:
lines and the time come in, ``transmit`` gives what is to be written now, ``deadline`` says when ``tick`` has to look
again. Observations about ExaBGP hold for 4.2.25 and 5.0.15 and are proved by ``tests/system/test_exabgp.py``.

**Wanted, not history.** ``set`` names the routes to be announced; every other address of ours is withdrawn. Each
address has at most one command without an answer, because ExaBGP lets commands for one prefix overtake each other. What
is wanted meanwhile replaces what was wanted before; only the last is said. A withdraw is said once for every form in
which the address was announced since its last withdraw (``_Prefix.spoken``), and at the start for all forms there are:
a predecessor may have used them.

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
said until anything comes. Then the answers that waited are still attributed, and the last wishes are said once.

**Coming up.** What ExaBGP sends to a neighbour that comes up is not always what it was told last. So everything, wanted
or not, is said again, in the other spelling: ExaBGP does not send an announcement that it takes for the same.

**Greeting.** A predecessor may have left half a line in ExaBGP 4.2's buffer and commands in its queue. One write has a
word that turns any half line into an error, ``reset`` (forget this process's queue; not answered) and ``version``,
whose two lines of answer come together. What comes before them is not for us, what comes behind them is. Should an
answer ever come that nothing was asked for, the same greeting makes a new beginning, and everything is said again.
"""

import json
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import assert_never

from exavrrp.routes import Dialect, Route, Spelling, announce, withdraw
from exavrrp.vrrp.packet import Address

ANSWER_LIMIT = 1.0
"""Seconds. ExaBGP answers in about 1 ms, and within 0.4 s in the middle of 1,000 commands."""

PATIENCE = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds until what was refused or not answered is tried again, the last one for ever."""

WINDOW = 100
"""Unanswered lines at most. ExaBGP takes some 25 steps of commands in a turn of its loop, so more gain nothing."""

FORMS = 16
"""Forms of one address remembered for its withdraw: two spellings of every level, with room for changing attributes."""

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


Event = Greeted | Neighbor | Answered | Refused | Silent | Odd | Stopping | Gone

Form = tuple[Route, Spelling]


@dataclass(slots=True)
class _Prefix:
    """One address of ours, and how far its wish is carried out."""

    spoken: list[Form]
    """forms announced since the last complete withdraw, the latest last; the last one left stays, for repeats"""
    wanted: Route | None = None
    spelling: Spelling = Spelling.BRIEF
    generation: int = 0
    """counts wishes and repeats, so that an answer confirms only what was wanted when its command was written"""
    confirmed: bool = False
    repeat: bool = False
    """whether ExaBGP must not take the next announcement for the last one"""
    doubtful: bool = False
    unanswered: bool = False
    failures: int = 0
    """refusals and silences in a row"""


@dataclass(slots=True)
class _Command:
    address: Address
    line: str
    announces: bool
    generation: int
    fenced: bool
    reported: bool = False
    """whether its silence was"""


@dataclass(slots=True)
class _Question:
    opened: bool = False
    """whether its heading has come"""
    seen: set[Address] = field(default_factory=set)
    """neighbours of which we have heard since"""


class Conversation:
    """What is said to ExaBGP and what its answers mean. All times are seconds of one monotonic clock.

    After each call of anything but a property, ``transmit`` may have something to say and ``deadline`` may have moved.
    """

    def __init__(self, ours: Iterable[Route]) -> None:
        """``ours``: every address that may be announced, in every form of it, the likeliest first.

        Raises ValueError when an address has forms for different neighbours: a change of form would then leave the
        old one with some of them.
        """
        self.dialect: Dialect | None = None
        self.established: set[Address] = set()
        self._prefixes: dict[Address, _Prefix] = {}
        for route in ours:
            prefix = self._prefixes.setdefault(route.address, _Prefix([]))
            prefix.spoken[:0] = [(route, spelling) for spelling in reversed(Spelling)]
            self._same_neighbors(prefix, route)
        self._begun = False
        self._due: dict[Address, None] = {}
        self._later: dict[Address, float] = {}
        self._unanswered: deque[_Command | _Question] = deque()
        self._unverified: dict[Address, None] = {}
        self._ask = False
        self._introduced = False
        self._stalled = False
        self._asked, self._asked_at = 0, 0.0
        self._heard = self._verified = 0.0
        self._greeting = True
        self._greetings, self._greeted = 0, 0.0
        self._version: str | None = None
        self._versions_sent = self._versions_heard = self._versions_needed = 0

    @staticmethod
    def _same_neighbors(prefix: _Prefix, route: Route) -> None:
        if route.attributes.neighbors != prefix.spoken[-1][0].attributes.neighbors:
            raise ValueError(f"{route.prefix} is to be announced to different neighbours")

    # What is wanted

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these of our addresses announced, and like this.

        Raises KeyError for an address that is not ours, ValueError for other neighbours than its other forms have.
        """
        routes = {route.address: route for route in wanted}
        for route in routes.values():
            self._same_neighbors(self._prefixes[route.address], route)
        for address, prefix in self._prefixes.items():
            wish = routes.get(address)
            if not self._begun or wish != prefix.wanted:
                prefix.wanted = wish
                prefix.failures = 0
                self._renew(address, prefix)
        self._begun = True

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has carried out every wish."""
        return self.has_carried_out(self._prefixes)

    def has_carried_out(self, addresses: Iterable[Address]) -> bool:
        """Whether ExaBGP has carried out the last wish for each of these addresses of ours."""
        return self._begun and all(self._prefixes[address].confirmed for address in addresses)

    def _renew(self, address: Address, prefix: _Prefix) -> None:
        """What is wanted of ``address`` is to be said (again), without delay."""
        prefix.generation += 1
        prefix.confirmed = False
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
                prefix.repeat = True
                self._renew(address, prefix)

    # What is written

    def transmit(self, now: float) -> list[str]:
        """The lines to write now, in one piece. To be called only when everything before has been written."""
        if self.dialect is None or self._greeting:
            return self._greet(now)
        if not self._unanswered:
            self._heard = self._verified = now
        lines: list[str] = []
        if self._ask:
            self._question(lines)
        while self._due and not self._stalled and len(self._unanswered) < WINDOW:
            address = next(iter(self._due))
            del self._due[address]
            self._say(address, self._prefixes[address], self.dialect, lines)
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

    def _say(self, address: Address, prefix: _Prefix, dialect: Dialect, lines: list[str]) -> None:
        if prefix.wanted is None:
            line = withdraw(prefix.spoken[-1][0], dialect, prefix.spoken[-1][1])
        else:
            line = self._announcement(prefix, prefix.wanted, dialect)
        fenced = prefix.doubtful
        if fenced and self._unanswered and isinstance(self._unanswered[-1], _Command):
            self._question(lines)
        self._unanswered.append(_Command(address, line, prefix.wanted is not None, prefix.generation, fenced))
        lines.append(line)
        prefix.unanswered = True
        if fenced:
            self._question(lines)

    @staticmethod
    def _announcement(prefix: _Prefix, route: Route, dialect: Dialect) -> str:
        if prefix.repeat and prefix.spoken[-1] == (route, prefix.spelling):
            prefix.spelling = prefix.spelling.other
        prefix.repeat = False
        form = (route, prefix.spelling)
        prefix.spoken = [*(one for one in prefix.spoken if one != form), form][-FORMS:]
        return announce(route, dialect, prefix.spelling)

    # Time

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has to be called; ``None``: not before something happens."""
        if self._greeting:
            return self._greeted + _patience(self._greetings) if self._greetings else None
        times = list(self._later.values())
        if self._unanswered:
            times.append(self._check_at())
        return min(times, default=None)

    def _check_at(self) -> float:
        if self._stalled:
            return self._asked_at + _patience(self._asked)
        return (self._heard if self._questioned() else self._verified) + ANSWER_LIMIT

    def _questioned(self) -> bool:
        return self._ask or any(isinstance(one, _Question) for one in self._unanswered)

    def tick(self, now: float) -> list[Event]:
        """Time has passed. Everything that ExaBGP has written must have been handed over before."""
        if self._greeting:
            return self._greet_again(now)
        for address in [address for address, at in self._later.items() if at <= now]:
            self._make_due(address, self._prefixes[address])
        if not self._unanswered or now < self._check_at():
            return []
        if self._stalled:
            return self._ask_again(now)
        if now < self._heard + ANSWER_LIMIT:
            self._ask = True  # it answers, but has it answered everything?
            return []
        return self._stall(now)

    def _greet_again(self, now: float) -> list[Event]:
        if self.deadline is None or now < self.deadline:
            return []
        self._greetings += 1
        self._greeted = now
        self._ask = True
        return [Odd("ExaBGP does not answer; asking again for its version")]

    def _ask_again(self, now: float) -> list[Event]:
        self._asked += 1
        self._asked_at = now
        self._ask = True
        return []

    def _stall(self, now: float) -> list[Event]:
        self._stalled = True
        self._asked = 0
        self._ask_again(now)
        events: list[Event] = []
        for one in self._unanswered:
            if isinstance(one, _Command) and not one.reported:
                one.reported = True
                events.append(Silent(one.address, one.line))
        return events

    # What is heard

    def feed(self, line: str, now: float) -> list[Event]:
        """One line from ExaBGP. Never raises, whatever the line is."""
        if line.startswith("{"):
            return self._told(line)
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
        prefix = self._prefixes[command.address]
        prefix.unanswered = False
        self._unverified[command.address] = None
        current = command.generation == prefix.generation
        if not done:
            return self._refused(command, prefix, current, now)
        prefix.failures = 0
        prefix.doubtful = prefix.doubtful and not command.fenced
        if not command.announces and len(prefix.spoken) > 1:
            prefix.spoken.pop()  # withdrawn in this form; the next one
        elif current:
            prefix.confirmed = True
            return [Answered(command.address, prefix.wanted)]
        self._make_due(command.address, prefix)
        return []

    def _refused(self, command: _Command, prefix: _Prefix, current: bool, now: float) -> list[Event]:
        prefix.doubtful = True  # if an answer is missing, it was another one's refusal
        self._ask = self._ask or not command.fenced
        if current:
            self._make_due_later(command.address, prefix, now)
        else:
            self._make_due(command.address, prefix)
        return [Refused(command.address, command.line)]

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
            prefix = self._prefixes[command.address]
            prefix.unanswered = False
            if command.fenced and command.generation == prefix.generation:
                self._make_due_later(command.address, prefix, now)
            else:
                self._make_due(command.address, prefix)
            if command.fenced and not command.reported:
                events.append(Silent(command.address, command.line))
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


def _patience(times: int) -> float:
    """Seconds to wait after the ``times``-th failure in a row, from 1."""
    return PATIENCE[min(times, len(PATIENCE)) - 1]
