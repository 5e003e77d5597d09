"""Does again what a recording says was done: the same core, the same events, the same times; pure.

``replay`` makes the groups of each run anew, tells them what they were told, and says after each event what came of it.
As the core depends on nothing else, the same transitions have to come of it as were recorded; the first ones that do
not are a ``Difference``, and the end: another version decides otherwise, or the core knows of something that was not
recorded. Where events were lost the rest of the run cannot be done again; it is told as it was recorded.

``sentences`` says all this to people, in the words of the log. This file must not know of files and terminals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from exavrrp import events
from exavrrp.groups import Group, Happened
from exavrrp.instance import Deserted, Effect, Hold
from exavrrp.presence import Step
from exavrrp.recording import Change, Head, Lost, Told, Torn, broken, changes, read
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.router import Advertise, Notice, Transition


@dataclass(frozen=True, slots=True)
class Done:
    """One event, done again; or, after a gap, as it was recorded."""

    time: datetime
    """by the clock on the wall, if it was not set since the run began"""
    team: str
    event: events.Event
    happened: Happened
    """what came of it; nothing after a gap"""
    then: tuple[Change, ...]
    """the transitions among that"""
    broken: str | None
    """the exception of the core, if that came of it"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something else has come of the event before than was recorded."""

    number: int
    """of its line"""
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]


Story: TypeAlias = Head | Done | Lost | Torn | Difference


def replay(lines: Iterable[bytes]) -> Iterator[Story]:
    """What the recording tells; nothing follows a ``Difference``. Raises recording.Damaged."""
    head: Head | None = None
    groups: dict[str, Group] | None = None
    for number, line in read(lines):
        if isinstance(line, Told):
            assert head is not None, "read sees to it"
            done = _do(line, head, groups)
            yield done
            if (done.then, done.broken) != (line.then, line.broken):
                yield Difference(number, _outcome(line.then, line.broken), _outcome(done.then, done.broken))
                return
            continue
        if isinstance(line, Head):
            head, groups = line, {team.name: team.group() for team in line.teams}
        elif isinstance(line, Lost):
            groups = None
        yield line


def _do(told: Told, head: Head, groups: dict[str, Group] | None) -> Done:
    """``groups``: None after a gap."""
    event, time = told.event(), head.moment(told.at)
    if groups is None:
        return Done(time, told.team, event, [], told.then, told.broken)
    try:
        happened = groups[told.team].handle(event, told.at)
    except Exception as error:  # whatever it is, it is what came of the event
        return Done(time, told.team, event, [], (), broken(error))
    return Done(time, told.team, event, happened, changes(happened), None)


def _outcome(then: Iterable[Change], broke: str | None) -> tuple[str, ...]:
    return (*map(sentence, then), *([] if broke is None else [f"broken: {broke}"]))


# In words


def sentences(story: Story) -> list[str]:
    """``story`` for people, a line each; what came of an event is indented."""
    return list(map(_line, _sentences(story)))


def transitions(story: Story) -> list[str]:
    """The same, of events only the transitions."""
    if isinstance(story, Done):
        return [_line(f"{_stamp(story.time)} {one}") for one in _outcome(story.then, story.broken)]
    return sentences(story)


def _sentences(story: Story) -> list[str]:
    match story:
        case Head():
            began = _stamp(story.moment(story.at))
            return [f"{began} exavrrp {story.release} began as process {story.process}"]
        case Done():
            return [
                f"{_stamp(story.time)} {_event(story.team, story.event)}",
                *(f"    {one}" for one in _effects(story)),
            ]
        case Lost(count):
            return [f"events lost here: {count}; the rest of this run is told as it was recorded"]
        case Torn():
            return ["the agent ended while it wrote the next line"]
        case Difference(number, recorded, replayed):
            return [
                f"line {number}: something else has come of this",
                *(f"    recorded: {one}" for one in recorded or ["no transition"]),
                *(f"    replayed: {one}" for one in replayed or ["no transition"]),
            ]
        case _:
            assert_never(story)


def _line(text: str) -> str:
    """One line, whatever a program or a recording said."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def sentence(change: Change) -> str:
    """As in the log."""
    detail = f": {change.detail}" if change.detail else ""
    return f"{change.router}: {change.before} → {change.after} ({change.why}{detail})"


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _effects(done: Done) -> list[str]:
    known = [_effect(name, effect) for name, effect in done.happened] or [sentence(one) for one in done.then]
    return [*known, *([] if done.broken is None else [f"broken: {done.broken}"])]


def _effect(name: str, effect: Effect) -> str:
    match effect:
        case Transition(before, after, why, detail):
            return sentence(Change(name, before, after, why, detail))
        case Advertise(priority):
            return f"{name}: advertise priority {priority}"
        case Step():
            return f"{name}: {effect.name.lower()}"
        case Deserted(waited):
            return f"{name}: nobody has taken over within {waited:g}s"
        case PathQuiet(peer, index):
            return f"{name}: nothing from {peer} over interface {index} any more"
        case PathBack(peer, index):
            return f"{name}: something from {peer} over interface {index} again"
        case Notice(oddity, _, detail):
            return f"{name}: {oddity}: {detail}"
        case _:
            assert_never(effect)


def _event(team: str, event: events.Event) -> str:
    match event:
        case events.Start():
            return f"{team}: start"
        case events.Stop(why, detail, hurry):
            return f"{team}: stop within {hurry.limit:g}s ({why}: {detail})"
        case events.Abandon():
            return f"{team}: the time for a stop is over"
        case events.Rang():
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
        case _:
            assert_never(event)
