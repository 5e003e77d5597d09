"""Ports that tell what is asked of them: what a node records, and what its replay is given again; pure.

A node knows nothing but what comes in and what its ports answer. So whoever notes both, in their order, can have all of
it decided again. ``stand_ins`` makes a set of ports, from the contracts in ``ports`` and ``roster`` alone, whose every
method is asked of a ``Stage``. ``Recording`` is the stage of a node that works: it asks the real ports, and notes.
That of a replay is in ``replay``.

What is asked when nothing has come in (the ``View`` of a node) is not noted, for nothing follows from it. Nor is
``Ports.changed``, which answers nothing; nor are beacons, of which no election knows.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, ValuesView
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import GenericAlias
from typing import Any, NamedTuple, Protocol, TypeVar, TypeVarTuple, get_type_hints

from exavrrp import ports
from exavrrp.config import Configuration
from exavrrp.node import Node
from exavrrp.recording import BITS, NANOSECONDS, Head, Ticks, Told, broken, encode, shortened
from exavrrp.roster import Ports
from exavrrp.spelling import Document, Pen
from exavrrp.timers import Timer

_Arguments = TypeVarTuple("_Arguments")
Made = TypeVar("Made", bound=Node)


class Question(NamedTuple):
    """A method of a port."""

    name: str
    kind: Any
    """what it answers, as an annotation"""


WHOLE = frozenset(
    {
        "addresses.own", "checks.set", "marks.set", "memory.may_announce", "memory.may_bind", "memory.note",
        "notifier.set", "paths.set", "speaker.own", "speaker.set", "transports.set",
    }
)  # fmt: skip
"""What is told all of something, which may be long."""


class Stage(Protocol):
    """Who answers."""

    def ask(self, question: Question, args: tuple[Any, ...], real: Callable[[], Any]) -> Any:
        """The answer to a question; ``real`` asks the port that is stood in for, if there is one."""

    def time(self) -> float:
        """``Clock.time``."""

    def realtime(self) -> float:
        """``Ports.realtime``."""

    def arrange(self, kind: str, when: float | None, act: Callable[[], object]) -> Timer | None:
        """``Clock.call_at``, or with no time ``Clock.call_soon``."""

    def changed(self) -> None:
        """``Ports.changed``."""


# Stand-ins


def stand_ins(stage: Stage, real: Ports | None, forgotten: ports.Forgotten) -> Ports:
    """Ports of which everything is asked of ``stage``; ``real``: those that they stand in for."""
    special: dict[str, Any] = {
        "clock": _Clock(stage),
        "realtime": stage.realtime,
        "forgotten": forgotten,
        "changed": stage.changed,
        "record": None if real is None else real.record,
        "entrance": None,
        "enter": (lambda _: None) if real is None else real.enter,
        "beacons": None if real is None else real.beacons,
    }
    hints = get_type_hints(Ports)
    for name in (field.name for field in fields(Ports) if field.name not in special):
        special[name] = stand_in(hints[name], name)(stage, None if real is None else getattr(real, name))
    return Ports(**special)


class _Clock:
    def __init__(self, stage: Stage) -> None:
        self.time = stage.time
        self._arrange = stage.arrange

    def call_at(self, when: float, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Timer:
        timer = self._arrange("alarm", when, partial(callback, *args))
        assert timer is not None
        return timer

    def call_soon(self, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> object:
        return self._arrange("soon", None, partial(callback, *args))


class _StandIn:
    """For one port. ``owner``: what tells it from others of its kind."""

    def __init__(self, stage: Stage, real: Any, owner: tuple[object, ...] = ()) -> None:
        self.stage = stage
        self.real = real
        self.owner = owner


@lru_cache(maxsize=128)
def stand_in(contract: Any, name: str) -> type[_StandIn]:
    """The class of what stands in for a port with this contract; raises TypeError if there is anything else in it."""
    members: dict[str, Any] = {}
    for one in reversed(contract.__mro__):
        if getattr(one, "_is_protocol", False):
            members |= {key: value for key, value in vars(one).items() if _is_member(key, value)}
    return type(contract.__name__, (_StandIn,), {key: _member(name, key, value) for key, value in members.items()})


def _is_member(name: str, value: object) -> bool:
    is_public = not name.startswith("_") or name in {"__getitem__", "__setitem__"}
    return is_public and (inspect.isfunction(value) or isinstance(value, property))


def _member(port: str, name: str, value: Any) -> Any:
    function = value.fget if isinstance(value, property) else value
    kind = get_type_hints(function)["return"]
    question = Question(f"{port}.{name.strip('_').replace('setitem', 'keep')}", kind)
    if isinstance(value, property):
        return property(partial(_look, question, name))
    if getattr(kind, "_is_protocol", False):
        child = _child(kind)
        return lambda self, key: child(self.stage, None if self.real is None else self.real[key], (key,))
    if name == "items":
        return _items(question, kind)
    if getattr(kind, "__args__", ()) and inspect.isclass(kind.__args__[0]) and kind.__args__[0] is ports.Arrival:
        return _each(question._replace(kind=ports.Arrival | None), name)
    return _ask(question, name)


def _child(contract: Any) -> type[_StandIn]:
    return stand_in(contract, contract.__name__.lower())


def _look(question: Question, name: str, self: _StandIn) -> Any:
    return self.stage.ask(question, self.owner, lambda: getattr(self.real, name))


def _ask(question: Question, name: str) -> Callable[..., Any]:
    def ask(self: _StandIn, *args: Any, **more: Any) -> Any:
        given = tuple(tuple(one) if isinstance(one, Iterator | ValuesView) else one for one in args)
        told = (*self.owner, *given, more) if more else (*self.owner, *given)
        return self.stage.ask(question, told, lambda: getattr(self.real, name)(*given, **more))

    return ask


def _items(question: Question, kind: Any) -> Callable[..., Any]:
    """A mapping of ports."""
    key, contract = kind.__args__[0].__args__
    question, child = (
        question._replace(kind=GenericAlias(tuple, (key, ...))),
        stand_in(contract, contract.__name__.lower()),
    )

    def items(self: _StandIn) -> Iterable[tuple[Any, Any]]:
        found = {} if self.real is None else dict(self.real.items())
        keys = self.stage.ask(question, self.owner, lambda: tuple(found))
        return [(one, child(self.stage, found.get(one), (one,))) for one in keys]

    return items


def _each(question: Question, name: str) -> Callable[..., Any]:
    """One answer after the other: the next one may depend on what has come of those before."""

    def each(self: _StandIn, *args: Any) -> Iterator[Any]:
        found = iter(() if self.real is None else getattr(self.real, name)(*args))
        while (one := self.stage.ask(question, (*self.owner, *args), lambda: next(found, None))) is not None:
            yield one

    return each


# Recording


class Recording:
    """Notes everything that one node is told, asks and does; ``write`` takes each line."""

    def __init__(self, real: Ports, write: Callable[[bytes], None]) -> None:
        self._real = real
        self._write = write
        self._pen = Pen()
        self._ticks, self._wall = Ticks(NANOSECONDS), Ticks(BITS)
        self._arranged = 0
        self._did: list[Document] | None = None
        """what was noted of the entry that is being dealt with; None: there is none"""
        self._aside = False
        """whether somebody else is called, who may look at the node"""

    def make(
        self,
        make: Callable[[Ports], Made],
        configuration: Configuration,
        *,
        release: str,
        process: int,
        cares: bool = False,
    ) -> Made:
        """The node, and the head of its recording; ``cares``: it is a caretaker."""
        at, time = self._real.clock.time(), self._real.realtime()
        self._ticks.difference(at)
        did = self._did = list[Document]()
        try:
            made = make(replace(stand_ins(self, self._real, self._real.forgotten), entrance=self._enter))
        finally:
            self._did = None
        head = Head(
            release=release,
            process=process,
            time=datetime.fromtimestamp(time, UTC),
            at=at,
            cares=cares,
            configuration=self._pen.spelled(configuration),
            forgotten=self._pen.spelled(self._real.forgotten),
            did=did,
        )
        self._write(encode(head))
        return made

    def _enter(self, name: str, args: tuple[object, ...], act: Callable[[], object]) -> None:
        told = [name, *map(self._pen.spelled, args)]
        if self._did is not None:
            self._did.append({"told": told})
            act()
            return
        at, broke = self._real.clock.time(), None
        self._ticks.difference(at)
        did = self._did = list[Document]()
        try:
            act()
        except Exception as error:
            broke = broken(error)
            raise
        finally:
            self._did = None
            self._write(encode(Told(at=at, told=told, did=did, broken=broke)))

    # Stage

    def ask(self, question: Question, args: tuple[Any, ...], real: Callable[[], Any]) -> Any:
        did = self._did
        if did is None or self._aside:
            return real()
        try:
            answer = real()
        except Exception as error:
            did.append({question.name: [self._spelled(question, args), None, self._pen.spelled(error)]})
            raise
        same = (args, tuple(answer) if isinstance(answer, list) else answer)
        try:
            hash(same)
        except TypeError:
            did.append({question.name: self._line(question, args, answer)})
        else:
            did.append(self._pen.once(question.name, same, lambda: self._line(question, args, answer)))
        return answer

    def _line(self, question: Question, args: tuple[Any, ...], answer: Any) -> Document:
        line = [self._spelled(question, args), self._pen.spelled(answer)]
        return line[:1] if answer is None else line

    def _spelled(self, question: Question, args: tuple[Any, ...]) -> Document:
        return spelled(self._pen, question, args)

    def time(self) -> float:
        now = self._real.clock.time()
        if self._did is not None and not self._aside:
            self._did.append(self._ticks.difference(now))
        return now

    def realtime(self) -> float:
        now = self._real.realtime()
        if self._did is not None and not self._aside:
            self._did.append([self._wall.difference(now)])
        return now

    def arrange(self, kind: str, when: float | None, act: Callable[[], object]) -> Timer | None:
        self._arranged += 1
        arranged = partial(self._enter, kind, (self._arranged,), act)
        clock = self._real.clock
        if when is not None:
            return clock.call_at(when, arranged)
        clock.call_soon(arranged)
        return None

    def changed(self) -> None:
        self._aside = True
        try:
            self._real.changed()
        finally:
            self._aside = False


def spelled(pen: Pen, question: Question, args: tuple[Any, ...]) -> Document:
    """The arguments of a question, as they are recorded."""
    document = pen.spelled(args)
    return shortened(document) if question.name in WHOLE else document
