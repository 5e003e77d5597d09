"""Does again what a recording says was done: the same node, told the same, with ports that answer the same; pure.

``replay`` makes the node of each run anew from its configuration, lets everything come in that came in, and answers
each question of the node as its ports did. As the node depends on nothing else, it has to ask and do the same, in the
same order: what it binds, announces, sends, logs and notes. The first thing that is otherwise is a ``Difference``, and
the end: another version decides otherwise, or a node depends on something that was not recorded. Only how often it
looks at its clocks is its own business. Where lines were lost the rest of the run cannot be done again; what the log
said of it is told as it was recorded. So it is with a caretaker whose predecessor is not in the recording.

``sentences`` says all this to people, in the words of the log. This file must not know of files and terminals.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias, assert_never, get_type_hints

from exavrrp import events
from exavrrp.bequest import Bequest
from exavrrp.care import Caretaker
from exavrrp.config import Configuration
from exavrrp.groups import Effects
from exavrrp.instance import Effect, Hold, NoSuccessor, Reclaim
from exavrrp.node import ENTRANCES, Node
from exavrrp.ports import Forgotten
from exavrrp.presence import Step
from exavrrp.recorded import Question, spelled, stand_ins
from exavrrp.recording import BITS, NANOSECONDS, NO_LINE, Damaged, Head, Lost, Ticks, Told, Torn, broken, read
from exavrrp.spelling import Document, Lexicon, Pen, number_of
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.router import Advertise, Notice, Transition

TRANSITION = "transition"
"""The event of the log that tells of one."""


@dataclass(frozen=True, slots=True)
class Done:
    """One event of an election, done again."""

    time: datetime
    """by the clock on the wall, if it was not set since the run began"""
    team: str
    event: events.Event
    effects: Effects
    """what came of it"""
    broken: str | None
    """the exception of the core, if that came of it"""


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the log, written again; or, after a gap, as it was recorded."""

    time: datetime
    event: str
    fields: Mapping[str, Document]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A caretaker goes on with what no run in this recording has left."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The node asks or does something else than was recorded."""

    number: int
    """of its line"""
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]


Story: TypeAlias = Head | Done | Logged | Lost | Torn | Orphan | Difference


def replay(lines: Iterable[bytes]) -> Iterator[Story]:
    """What the recording tells; nothing follows a ``Difference``. Raises recording.Damaged."""
    run: _Run | None = None
    for number, line in read(lines):
        if isinstance(line, Lost | Torn):
            yield line
            if run is not None and isinstance(line, Lost):
                run.node = None
            continue
        try:
            if isinstance(line, Head):
                before = run.node.bequest if line.cares and run is not None and run.node is not None else None
                run = _Run(line)
                yield line
                if not run.make(number, before):
                    yield Orphan()
            else:
                assert run is not None, "read sees to it"
                run.tell(number, line)
            yield from run.stories()
        except _Otherwise as otherwise:
            assert run is not None
            yield from run.stories()
            yield Difference(number, otherwise.recorded, otherwise.replayed)
            return


class _Otherwise(BaseException):
    """Something else than was recorded; no bug of the node, which may go on after one."""

    def __init__(self, recorded: str, replayed: str) -> None:
        super().__init__(recorded, replayed)
        self.recorded, self.replayed = (recorded,), (replayed,)


NOTHING = "nothing more"


class _StandInPen(Pen):
    """Nobody has secrets here."""

    def secret(self, value: bytes | str | None) -> int | None:
        return None if value is None else number_of(value)


class _Timer:
    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        self._cancel()


class _Run:
    """One run of a node, done again: the stage that its ports are on (``recorded.Stage``)."""

    def __init__(self, head: Head) -> None:
        self.node: Node | None = None
        """None: it cannot be done again"""
        self._head = head
        self._number = 0
        self._pen, self._lexicon = _StandInPen(), Lexicon()
        self._ticks, self._wall = Ticks(NANOSECONDS), Ticks(BITS)
        self._now, self._realtime = head.at, head.time.timestamp()
        self._at = head.at
        self._did: deque[Document] = deque()
        """what was recorded of this entry, and not asked again yet"""
        self._arranged: dict[tuple[str, int], Callable[[], object]] = {}
        self._count = 0
        self._stories: list[Callable[[], Story]] = []

    def stories(self) -> Iterator[Story]:
        """What there is to be told since the last time. Raises Damaged."""
        found, self._stories = self._stories, []
        for one in found:
            try:
                story = one()
            except (OverflowError, ValueError) as error:  # a time that is none
                raise self._damaged(error) from None
            yield story

    def make(self, number: int, before: Bequest | None) -> bool:
        """The node, if that can be done; ``before``: what the run before has left. Raises Damaged, _Otherwise."""
        head = self._head
        self._begin(number, head.at, head.did)
        configuration = self._read(Configuration, head.configuration)
        given = replace(stand_ins(self, None, self._read(Forgotten, head.forgotten)), record=self._record)
        if head.cares and before is None:
            return False

        def make() -> None:
            self.node = (
                Node(configuration, given) if before is None else Caretaker(configuration, given, before, Nobody())
            )

        try:
            make()
        except (_Otherwise, Damaged):
            raise
        except Exception as error:  # settings that no configuration has
            raise self._damaged(error) from None
        self._finish(None, None)
        return True

    def tell(self, number: int, line: Told) -> None:
        """One entry. Raises Damaged, _Otherwise."""
        self._begin(number, line.at, line.did)
        if self.node is None:
            self._repeat(line)
            return
        broke = None
        act = self._understood(line.told)
        try:
            act()
        except (_Otherwise, Damaged):
            raise
        except Exception as error:  # whatever it is, it is what came of that
            broke = broken(error)
        self._finish(line.broken, broke)

    def _begin(self, number: int, at: float, did: Iterable[Document]) -> None:
        self._number, self._at, self._now = number, at, at
        self._ticks.difference(at)
        self._did = deque(did)

    def _finish(self, recorded: str | None, replayed: str | None) -> None:
        """Nothing more comes of it."""
        if (asked := self._next()) is not None:
            raise _Otherwise(_asked(*asked), NOTHING)
        if recorded != replayed:
            raise _Otherwise(f"broken: {recorded}", f"broken: {replayed}")

    def _understood(self, told: list[Document]) -> Callable[[], object]:
        """What came in, as a call."""
        match told:
            case ["alarm" | "soon" as kind, int() as number]:
                if (kind, number) not in self._arranged:
                    raise _Otherwise(f"{kind} {number}", "it was not arranged")
                return self._arranged.pop((kind, number))
            case [str() as name, *args] if name in ENTRANCES:
                *hints, _ = get_type_hints(ENTRANCES[name]).values()
                if len(hints) < len(args):
                    raise self._damaged(f"{name} takes less")
                given = [self._read(hint, one) for hint, one in zip(hints, args, strict=False)]
                return lambda: getattr(self.node, name)(*given)
            case _:
                raise self._damaged(f"{told!r} is nothing that comes in")

    def _read(self, kind: Any, document: Document) -> Any:
        try:
            return self._lexicon.read(kind, document)
        except Exception as error:  # of whichever constructor
            raise self._damaged(error) from None

    def _damaged(self, reason: object) -> Damaged:
        return Damaged(self._number, f"{NO_LINE}{reason}")

    def _record(self, team: str, event: events.Event, now: float, answer: Effects | Exception) -> None:
        broke = broken(answer) if isinstance(answer, Exception) else None
        effects = [] if isinstance(answer, Exception) else answer
        self._stories.append(lambda: Done(self._head.moment(now), team, event, effects, broke))

    # What was recorded

    def _next(self) -> tuple[str, Document, Document, Document] | None:
        """The next question: its name, arguments, answer, exception; None: there is none any more.

        Before it, times that nobody has asked for are left out, and what a port had for the node comes in.
        """
        self.changed()
        while self._did and self._is_time(self._did[0]):
            self._take_time()
            self.changed()
        if not self._did:
            return None
        named = self._lexicon.meant(self._did.popleft())
        match named:
            case str() as name, [args]:
                return name, args, None, None
            case str() as name, [args, answer]:
                return name, args, answer, None
            case str() as name, [args, None, error]:
                return name, args, None, error
            case _:
                raise self._damaged("a question without arguments")

    @staticmethod
    def _is_time(item: Document) -> bool:
        one = item[0] if isinstance(item, list) and len(item) == 1 else item
        return type(one) in (int, float)

    def _take_time(self) -> None:
        item = self._did.popleft()
        try:
            if isinstance(item, list):
                self._realtime = self._wall.seconds(item[0])
            else:
                self._now = self._ticks.seconds(item)
        except OverflowError as error:
            raise self._damaged(error) from None

    def _repeat(self, line: Told) -> None:
        """Tell what the log said then."""
        while (asked := self._next_that_is_known()) is not None:
            name, args = asked
            if name.startswith("log."):
                self._log(args)
        if line.broken is not None:
            self._tell_log("internal-error", {"detail": line.broken})

    def _next_that_is_known(self) -> tuple[str, Document] | None:
        while self._did:
            named = self._lexicon.meant(self._did.popleft())
            if named is not None and isinstance(named[1], list) and named[1]:
                return named[0], named[1][0]
        return None

    def _log(self, args: Document) -> None:
        match args:
            case [*_, str() as event, dict() as fields]:
                self._tell_log(event, fields)
            case [*_, str() as event]:
                self._tell_log(event, {})

    def _tell_log(self, event: str, fields: Mapping[str, Document]) -> None:
        at = self._at
        self._stories.append(lambda: Logged(self._head.moment(at), event, fields))

    # Stage

    def ask(self, question: Question, args: tuple[Any, ...], real: Callable[[], Any]) -> Any:  # noqa: ARG002 — the recording answers instead
        told = spelled(self._pen, question, args)
        asked = self._next()
        if asked is None:
            raise _Otherwise(NOTHING, _asked(question.name, told))
        if asked[:2] != (question.name, told):
            raise _Otherwise(_asked(*asked), _asked(question.name, told))
        _, _, answer, error = asked
        if error is not None:
            try:
                raised = self._lexicon.error(error)
            except Exception as reason:
                raise self._damaged(reason) from None
            raise raised
        if question.name.startswith("log.") and TRANSITION not in told:
            self._log(told)
        return self._read(question.kind, answer)

    def time(self) -> float:
        if self._did and type(self._did[0]) in (int, float):
            self._take_time()
        return self._now

    def realtime(self) -> float:
        while self._did and type(self._did[0]) in (int, float):
            self._take_time()
        if self._did and self._is_time(self._did[0]):
            self._take_time()
        return self._realtime

    def arrange(self, kind: str, when: float | None, act: Callable[[], object]) -> _Timer:  # noqa: ARG002 — the recording says what rings when
        self._count += 1
        key = kind, self._count
        self._arranged[key] = act
        return _Timer(lambda: self._arranged.pop(key, None))

    def changed(self) -> None:
        """What a port had for the node meanwhile comes in where it did."""
        while self._did and isinstance(self._did[0], dict) and "told" in self._did[0]:
            told = self._did.popleft()["told"]
            self._understood(told if isinstance(told, list) else [told])()


class Nobody:
    """There is no ExaBGP here that could be told anything."""

    def permit_end(self, may_end: bool, /) -> None:
        pass

    def reload(self) -> None:
        pass


def _asked(name: str, args: Document, *_answer: object) -> str:
    """A question, for people."""
    port, _, what = name.partition(".")
    return f"{port} {what}: {', '.join(_leaves(args))}".removesuffix(": ")


def _leaves(document: Document) -> Iterator[str]:
    match document:
        case list():
            for one in document:
                yield from _leaves(one)
        case dict():
            for key, one in document.items():
                yield from (key, *_leaves(one)) if not key[:1].isupper() else _leaves(one)
        case None:
            yield "none"
        case _:
            yield f"{document}"


# In words


def sentences(story: Story) -> list[str]:
    """``story`` for people, a line each; what came of an event is indented."""
    return list(map(_line, _sentences(story)))


def transitions(story: Story) -> list[str]:
    """The same, of what was done only the transitions."""
    match story:
        case Done():
            told = [_effect(name, effect) for name, effect in story.effects if isinstance(effect, Transition)]
            told += [] if story.broken is None else [f"broken: {story.broken}"]
            return [_line(f"{_stamp(story.time)} {one}") for one in told]
        case Logged(event=event) if event != TRANSITION:
            return []
        case _:
            return sentences(story)


def _sentences(story: Story) -> list[str]:
    match story:
        case Head():
            began = _stamp(story.moment(story.at))
            return [f"{began} exavrrp {story.release} began as process {story.process}"]
        case Done():
            return [
                f"{_stamp(story.time)} {_event(story.team, story.event)}",
                *(f"    {_effect(name, effect)}" for name, effect in story.effects),
                *([] if story.broken is None else [f"    broken: {story.broken}"]),
            ]
        case Logged(time, event, fields):
            return [f"{_stamp(time)} {_logged(event, fields)}"]
        case Lost(count):
            return [f"lines lost here: {count}; of the rest of this run the log is told as it was recorded"]
        case Orphan():
            return ["what its predecessor left is not recorded here; of this run the log is told as it was recorded"]
        case Torn():
            return ["the agent ended while it wrote the next line"]
        case Difference(number, recorded, replayed):
            return [
                f"line {number}: the node does something else",
                *(f"    recorded: {one}" for one in recorded),
                *(f"    replayed: {one}" for one in replayed),
            ]
        case _:
            assert_never(story)


def _line(text: str) -> str:
    """One line, whatever a program or a recording said."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _logged(event: str, fields: Mapping[str, Document]) -> str:
    """As in the log; a transition in the words of an election."""
    if event == TRANSITION:
        router, before, after, reason, detail = (
            fields.get(one, "?") for one in ("router", "before", "after", "reason", "detail")
        )
        return f"{router}: {before} → {after} ({reason}{f': {detail}' if detail else ''})"
    told = (f"{name} {' '.join(_leaves(value))}" for name, value in fields.items())
    return f"{event}: {', '.join(told)}".removesuffix(": ")


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _effect(name: str, effect: Effect) -> str:
    match effect:
        case Transition(before, after, why, detail):
            return f"{name}: {before} → {after} ({why}{f': {detail}' if detail else ''})"
        case Advertise(priority):
            return f"{name}: advertise priority {priority}"
        case Step():
            return f"{name}: {effect.name.lower()}"
        case NoSuccessor(waited):
            return f"{name}: nobody has taken over within {waited:g}s"
        case Reclaim(source, priority, _, times):
            return f"{name}: traffic is reclaimed from {source}, which goes on with priority {priority}: {times}"
        case PathQuiet(peer, index):
            return f"{name}: nothing from {peer} over interface {index} any more"
        case PathBack(peer, index):
            return f"{name}: something from {peer} over interface {index} again"
        case Notice(discrepancy, _, detail):
            return f"{name}: {discrepancy}: {detail}"
        case _:
            assert_never(effect)


def _event(team: str, event: events.Event) -> str:
    match event:
        case events.Start():
            return f"{team}: start"
        case events.Stop(why, detail, budget):
            return f"{team}: stop within {budget.limit:g}s ({why}: {detail})"
        case events.Abandon():
            return f"{team}: the time for a stop is over"
        case events.TimerFired():
            return f"{team}: the alarm rang"
        case _:
            return f"{event.name}: {_of_one(event)}"


def _of_one(event: events.OfOne) -> str:
    match event:
        case events.Recalled(number=number, age=age):
            return f"remembers silent failures: {number}, the last one {age:.3f} s ago"
        case events.Inherited(announced=announced, active=active):
            return (
                f"has leftovers of a predecessor{' that was active' if active else ''},"
                f" {'announced' if announced else 'to be cleared'}"
            )
        case events.Heard(source=source, advertisement=advertisement, interface=interface):
            return f"heard {advertisement} from {source} over interface {interface}"
        case events.Rated(priority=priority):
            return f"is worth priority {priority}"
        case events.Configured():
            return "has another configuration"
        case events.Failed(fault=fault, detail=detail):
            return f"is in fault ({fault}: {detail})"
        case events.Recovered(fault=fault):
            return f"is in fault no longer ({fault})"
        case events.Held(hold=hold, detail=detail):
            return f"is drained ({detail})" if hold is Hold.DRAIN else f"is held ({hold}: {detail})"
        case events.Released(hold=hold):
            return "is undrained" if hold is Hold.DRAIN else f"is not held any longer ({hold})"
        case events.Bound():
            return "is bound"
        case events.Unbound(detail=detail):
            return f"is not bound: {detail}"
        case events.Withdrawn():
            return "is withdrawn, confirmed"
        case events.Kept():
            return "cannot be withdrawn from every neighbor"
        case _:
            assert_never(event)
