"""Which command an answer is to, and when no answer will come any more: the queue of unanswered commands; pure.

ExaBGP answers ``done`` or ``error`` without saying to what. Commands about routes are carried out and answered in
order, so a queue tells, as long as no answer is missing. Some are: a command that raises inside ExaBGP 4.2 is never
answered. So there is a second entry for that queue, the *probe* (``Dialect.PROBE``), whose answer begins with a heading
that nothing else has. When the heading comes, every command written before the probe has had its chance, and the ones
still in the queue were never answered. (``version`` would not do: it overtakes the commands before it.)

If every command was answered, attribution was exact. If not, it may have been off by one since the queue was last
empty: every prefix concerned is *unconfirmed* and is sent again, *fenced* by a probe before and one behind, so that its
next answer, or the lack of one, is certainly its own. No other command waits for that: a fence takes two lines.

**Silence.** When nothing was heard for ``ANSWER_LIMIT`` while something is unanswered, ExaBGP has stalled: every
command in the queue is reported once, a probe is sent with exponential back-off and nothing else until anything comes.
Then the answers that waited are still attributed, and what is desired last is sent once. So that a stall is detected
before something is desired, a heartbeat probe is sent after each ``PULSE`` without a line from ExaBGP. A stall is
reported (``Stalled``) when the second probe is not answered either: after a pause of our own, ExaBGP has time to answer
one.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from exavrrp.neighbors import Session
from exavrrp.routes import Network
from exavrrp.speaker.dialects import Detail, Dialect
from exavrrp.speaker.events import Event, Resumed, Silent, Stalled
from exavrrp.speaker.prefix import Instruction, Lane
from exavrrp.speaker.prefixes import backoff
from exavrrp.vrrp.packet import Address

ANSWER_LIMIT = 1.0
"""Seconds. ExaBGP answers in about 1 ms, and within 0.4 s in the middle of 1,000 commands."""

PULSE = 1.0
"""Seconds without a line from ExaBGP after which a heartbeat probe is sent; the answer takes 1 ms."""

WINDOW = 300
"""Prefixes in unanswered commands, and probes, about. ExaBGP needs 0.5 ms for each, and is to have work until its
answers are read here, which takes 0.1 s when hundreds of routers take over at once."""

TRIES = 2
"""Probes in a row without an answer after which a stall is reported."""


@dataclass(slots=True)
class Command:
    line: str
    instructions: tuple[Instruction, ...]
    fenced: bool
    """one instruction only"""
    reported: bool = False
    """whether the missing answer was reported"""

    @property
    def weight(self) -> int:
        return len(self.instructions)


@dataclass(slots=True)
class Probe:
    """For a summary: a line for each session, with its neighbor's address and its state."""

    opened: bool = False
    """whether its heading has come"""
    rows: Counter[Address] = field(default_factory=Counter)
    """how many sessions to each neighbor are up"""
    changed: set[Session] = field(default_factory=set)
    """sessions that have changed since"""
    weight = 1

    def read(self, line: str, dialect: Dialect) -> None:
        self.rows.update(dialect.established_peers(line))


@dataclass(slots=True)
class DetailProbe(Probe):
    """For both ends of each session, up or not."""

    detail: Detail = field(default_factory=lambda: Detail({}, {}, {}))

    def read(self, line: str, dialect: Dialect) -> None:
        dialect.read_detail(self.detail, line)


@dataclass(slots=True)
class ConfigurationProbe:
    """For the text of all neighbors."""

    said: Mapping[Lane, int] = field(default_factory=dict)
    """what was carried out before this was asked, and said once (``Prefixes.said_once``)"""
    lines: list[str] = field(default_factory=list)
    weight = 1


@dataclass(slots=True)
class RoutesProbe:
    """For what is announced to whom, a line each."""

    unseen: frozenset[Network]
    """prefixes whose withdraw was answered before this was asked (``Prefixes.unseen``)"""
    withdrawn: dict[Lane, int] = field(default_factory=dict)
    """what should not be there, and its generation when this was asked"""
    announced: set[tuple[Address, Network]] = field(default_factory=set)
    count: int = 0
    weight = 1

    def read(self, line: str, dialect: Dialect) -> None:
        self.count += 1
        self.announced.update(dialect.routes(line))


@dataclass(slots=True)
class Trial:
    """Whether a neighbor lists us: what was sent last of a prefix, sent to it alone."""

    session: Session
    lane: Lane
    weight = 1


Entry = Command | Probe | ConfigurationProbe | RoutesProbe | Trial


class Channel:
    """The commands that were written and are not answered yet. Times are those of one monotonic clock."""

    def __init__(self, pulse: float | None) -> None:
        self.pulse = pulse
        self.queue: deque[Entry] = deque()
        self.probe_due = False
        self.acknowledged = True
        """whether ExaBGP answers commands (exabgp.api.ack); if not, what it has read counts as carried out"""
        self.stalled = False
        self.word = 0.0
        """when any line was received last"""
        self.answer_seconds: float | None = None
        """seconds until ExaBGP answered, the last time that something was written while nothing was unanswered"""
        self._asked: float | None = None
        """when something may have been written while nothing was unanswered; None: that is answered"""
        self._heard = self._verified = 0.0
        """when an answer was received last, and when every answer was last attributed with certainty"""
        self._stall_told = False
        self._probes, self._probed = 0, 0.0
        """since ExaBGP has stalled, and when the last one was due"""

    @property
    def head(self) -> Entry | None:
        """The entry that is answered next."""
        return self.queue[0] if self.queue else None

    @property
    def room(self) -> int:
        """How many prefixes may be sent now."""
        return 0 if self.stalled else WINDOW - sum(one.weight for one in self.queue)

    def has(self, kind: type[Probe | RoutesProbe]) -> bool:
        return any(isinstance(one, kind) for one in self.queue)

    # Out

    def begin(self, now: float) -> None:
        """Something may be written now."""
        if not self.queue:
            self._heard = self._verified = self._asked = now

    def probe(self, lines: list[str], dialect: Dialect) -> None:
        self.probe_due = False
        self.queue.append(Probe())
        lines.append(dialect.PROBE)

    def send(self, lines: list[str], entry: Entry, line: str, dialect: Dialect, *, fenced: bool) -> None:
        """Write a line; ``fenced``: so that its answer, or the lack of one, is certainly its own."""
        if fenced and self.queue and not isinstance(self.queue[-1], Probe):
            self.probe(lines, dialect)
        self.queue.append(entry)
        lines.append(line)
        if fenced:
            self.probe(lines, dialect)

    def clear(self) -> None:
        """Nothing of what was written will be answered."""
        self.queue.clear()
        self.probe_due = False

    # In

    def alive(self, now: float) -> None:
        """An answer was received."""
        self._heard = now
        if self._asked is not None and self.queue:
            self.answer_seconds, self._asked = now - self._asked, None
        self.stalled = False

    def answered(self, now: float) -> bool:
        """The head of the queue is answered; whether every answer until now was its own, or has been doubted."""
        self.queue.popleft()
        if not self.queue:
            self._verified = now
        return not self.queue

    def open(self, kind: type[Probe], now: float) -> list[Entry] | None:
        """The answer to a probe begins: returns the entries before it, which will not be answered any more."""
        self.alive(now)
        probe = next((one for one in self.queue if type(one) is kind and not one.opened), None)
        if not isinstance(probe, Probe):
            return None
        lost: list[Entry] = []
        while self.queue[0] is not probe:
            lost.append(self.queue.popleft())
        probe.opened = True
        self._verified = now
        return lost

    def resumed(self) -> list[Event]:
        """Reports that ExaBGP answers again, if a stall was reported."""
        told, self._stall_told = self._stall_told, False
        return [Resumed()] if told else []

    def changed(self, session: Session) -> None:
        """It has come up or gone down: what a probe under way tells of it may be older."""
        for one in self.queue:
            if isinstance(one, Probe) and one.opened:
                one.changed.add(session)

    # Time

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        if self.queue:
            return self._check_at()
        if self.pulse is None or self.probe_due:  # what is due waits for room in the pipe, not for time
            return None
        return self.word + self.pulse

    def _check_at(self) -> float:
        if self.stalled:
            return self._probed + backoff(self._probes)
        probing = self.probe_due or self.has(Probe)
        return (self._heard if probing else self._verified) + ANSWER_LIMIT

    def tick(self, now: float, *, due: bool) -> list[Event]:
        """Time has passed; ``due``: a command will be written, which is a probe as good."""
        if not self.queue:
            self.probe_due = self.probe_due or (self.pulse is not None and now >= self.word + self.pulse and not due)
            return []
        if now < self._check_at():
            return []
        if self.stalled:
            return self._probe_again(now)
        if now < self._heard + ANSWER_LIMIT:
            self.probe_due = True  # it answers, but an answer may be missing
            return []
        return self._stall(now)

    def _probe_again(self, now: float) -> list[Event]:
        self._probes += 1
        self._probed = now
        self.probe_due = True
        return self.tell_stall(now) if self._probes >= TRIES else []

    def _stall(self, now: float) -> list[Event]:
        self.stalled = True
        self._probes = 0
        self._probe_again(now)
        events: list[Event] = []
        for one in self.queue:
            if isinstance(one, Command) and not one.reported:
                one.reported = True
                events += [Silent(each.network, one.line, 0) for each in one.instructions]
        return events

    def tell_stall(self, now: float) -> list[Event]:
        """Reports a stall once."""
        told, self._stall_told = self._stall_told, True
        return [] if told else [Stalled(now - self.word)]
