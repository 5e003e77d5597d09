"""A scenario in words: what is to happen to which node, and when; and what is expected of it. Pure.

One event a line, or several with ``;`` between them:

    at 10s kill node1
    at 20s fail check web on node2      # after a "#", a remark
    expect web: node3 within 400ms      of the event before

``read`` reports everything that is wrong at once, each with its line and a remedy. It knows the nodes, and their
interfaces, checks and virtual routers (``Known``), but nothing of what an event does (``stage``).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

MOST = 1000
"""Events and expectations."""

LONGEST = 86400.0
"""Seconds of the simulation, at most."""

SHOWN = 60
"""Characters of a wrong word that a message repeats."""

EXAMPLE = "at 10s kill node1"


class Verb(StrEnum):
    """What can be done to a node."""

    KILL = "kill"
    START = "start"
    STOP = "stop"
    REPLACE = "replace"
    FREEZE = "freeze"
    THAW = "thaw"
    CUT = "cut"
    MEND = "mend"
    GRAY = "gray"
    CLEAR = "clear"
    RESET = "reset"
    MUTE = "mute"
    UNMUTE = "unmute"
    DEAFEN = "deafen"
    UNDEAFEN = "undeafen"
    PARTITION = "partition"
    REJOIN = "rejoin"
    FAIL = "fail"
    PASS = "pass"  # noqa: S105 — no password
    DRAIN = "drain"
    UNDRAIN = "undrain"
    RELOAD = "reload"


class Part(StrEnum):
    """What of a node is meant."""

    HOST = "host"
    AGENT = "agent"
    EXABGP = "exabgp"


USAGE: Mapping[Verb, str] = {
    Verb.KILL: "kill NODE, kill agent on NODE, or kill exabgp on NODE",
    Verb.START: "start NODE",
    Verb.STOP: "stop NODE",
    Verb.REPLACE: "replace agent on NODE",
    Verb.FREEZE: "freeze agent on NODE, or freeze exabgp on NODE",
    Verb.THAW: "thaw agent on NODE, or thaw exabgp on NODE",
    Verb.CUT: "cut NODE INTERFACE, or cut NODE",
    Verb.MEND: "mend NODE INTERFACE, or mend NODE",
    Verb.GRAY: "gray NODE INTERFACE",
    Verb.CLEAR: "clear NODE INTERFACE",
    Verb.RESET: "reset NODE INTERFACE, or reset NODE",
    Verb.MUTE: "mute NODE",
    Verb.UNMUTE: "unmute NODE",
    Verb.DEAFEN: "deafen NODE",
    Verb.UNDEAFEN: "undeafen NODE",
    Verb.PARTITION: "partition NODE, or partition NODE NODE",
    Verb.REJOIN: "rejoin NODE, or rejoin NODE NODE",
    Verb.FAIL: "fail check NAME on NODE",
    Verb.PASS: "pass check NAME on NODE",
    Verb.DRAIN: "drain NODE, or drain NODE ROUTER",
    Verb.UNDRAIN: "undrain NODE, or undrain NODE ROUTER",
    Verb.RELOAD: "reload NODE FILE",
}

PARTS: Mapping[Verb, tuple[Part, ...]] = {
    Verb.KILL: (Part.HOST, Part.AGENT, Part.EXABGP),
    Verb.REPLACE: (Part.AGENT,),
    Verb.FREEZE: (Part.AGENT, Part.EXABGP),
    Verb.THAW: (Part.AGENT, Part.EXABGP),
}
"""What of a node the verb may be about, the first one if none is named; all others: the host."""

WITH_INTERFACE = frozenset({Verb.CUT, Verb.MEND, Verb.RESET, Verb.GRAY, Verb.CLEAR})
WITH_FILE, WITH_CHECK = frozenset({Verb.RELOAD}), frozenset({Verb.FAIL, Verb.PASS})
WITH_ROUTER, WITH_NODE = frozenset({Verb.DRAIN, Verb.UNDRAIN}), frozenset({Verb.PARTITION, Verb.REJOIN})
DEMANDED = frozenset({Verb.GRAY, Verb.CLEAR, Verb.RELOAD})
"""Verbs that need their second word."""

ALIASES = {"deaf": Verb.DEAFEN, "undeaf": Verb.UNDEAFEN}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens."""

    at: float
    """seconds after the nodes were started"""
    verb: Verb
    node: str
    part: Part = Part.HOST
    what: str | None = None
    """an interface, check, virtual router, other node or file, depending on the verb; None: all of them"""

    def __str__(self) -> str:
        """In words, without the time."""
        if self.verb in WITH_CHECK:
            return f"{self.verb} check {self.what} on {self.node}"
        if self.part is not Part.HOST:
            return f"{self.verb} {self.part} on {self.node}"
        return f"{self.verb} {self.node}" + (f" {self.what}" if self.what is not None else "")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is to come of an event; it is judged until the next event, or the end."""

    router: str
    """a virtual router, a service of both families, or a group"""
    node: str | None
    """who alone is to serve it; None: it is about the outage"""
    within: float
    """seconds: after which ``node`` serves, or that the longest outage may last; 0: none may be"""
    after: float | None = None
    """when it begins, seconds after the nodes were started; None: with the first event"""

    def __str__(self) -> str:
        """In words, as they are read."""
        since = "" if self.after is None else f" after {shown(self.after)}"
        if self.node is not None:
            return f"{self.router}: {self.node} within {shown(self.within)}{since}"
        outage = f"outage at most {shown(self.within)}" if self.within else "no outage"
        return f"{self.router}: {outage}{since}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that happens, in its order, and what is expected of it."""

    events: tuple[Event, ...]
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What words may name."""

    interfaces: Mapping[str, Collection[str]]
    """of each node"""
    checks: Mapping[str, Collection[str]]
    routers: Mapping[str, Collection[str]]
    """what each node has, by the names of virtual routers, services and groups"""

    @property
    def nodes(self) -> Collection[str]:
        return self.interfaces.keys()

    @property
    def all_routers(self) -> Collection[str]:
        """Of all nodes."""
        return {name: None for names in self.routers.values() for name in names}.keys()


@dataclass(frozen=True, slots=True)
class Slip:
    """One thing that is wrong with a scenario."""

    line: int
    """counted from 1"""
    message: str
    """what is wrong, and what to write instead"""


class Unreadable(ValueError):
    """A scenario that cannot be simulated; ``slips`` holds every mistake, in the order of lines."""

    def __init__(self, slips: Sequence[Slip]) -> None:
        super().__init__("; ".join(f"line {one.line}: {one.message}" for one in slips))
        self.slips = tuple(slips)


# Times

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)", re.ASCII)


def duration(text: str) -> float:
    """Seconds in a text such as ``10s``, ``400ms``, ``0.5s`` or ``1m30s``. Raises ValueError with the remedy."""
    parts = _TIME.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{_quoted(text)} is no time; write a number and a unit: 10s, 400ms, 1m30s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise ValueError(f"{_quoted(text)} is more than a day; write at most {LONGEST / 3600:.0f}h")
    return round(seconds, 9)


def shown(seconds: float) -> str:
    """Such as ``10s`` or ``400ms``; ``duration`` reads the same from it."""
    return f"{seconds:.15g}s" if seconds >= 1 or seconds == 0 else f"{round(seconds * 1000, 6):.15g}ms"


# Reading


def read(text: str, known: Known) -> Scenario:
    """Raises Unreadable with all mistakes."""
    events: list[Event] = []
    expectations: list[Expectation] = []
    slips: list[Slip] = []
    before: float | None = None
    for count, (line, words) in enumerate(_statements(text)):
        if count >= MOST:
            slips.append(Slip(line, f"is more than {MOST} events; write fewer"))
            break
        try:
            if words[0] == "expect":
                expectations.append(expectation(" ".join(words[1:]), known, before))
            else:
                before = _time(words)
                events.append(_event(before, words[2:], known))
        except ValueError as error:
            slips.append(Slip(line, str(error)))
    if not events and not slips:
        slips.append(Slip(1, f"no event; write one: {EXAMPLE}"))
    if slips:
        raise Unreadable(slips)
    return Scenario(tuple(sorted(events, key=lambda event: event.at)), tuple(expectations))


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each event, with its line."""
    for number, line in enumerate(text.split("\n"), 1):
        for part in line.partition("#")[0].split(";"):
            if words := part.split():
                yield number, words


def _time(words: Sequence[str]) -> float:
    if words[0] != "at" or len(words) < 2:
        raise ValueError(f"{_quoted(' '.join(words))} has no time; write at TIME before it: {EXAMPLE}")
    return duration(words[1])


def _event(at: float, words: Sequence[str], known: Known) -> Event:
    """Raises ValueError."""
    if not words:
        raise ValueError(f"nothing is to happen then; write what: {EXAMPLE}")
    verb = _verb(words[0])
    node, part, what = _objects(verb, words[1:])
    _among("node", node, known.nodes)
    if part not in PARTS.get(verb, (Part.HOST,)) or (what is None and verb in DEMANDED | WITH_CHECK):
        raise ValueError(_usage(verb))
    if what is not None:
        _look_at(verb, node, what, known)
    return Event(at, verb, node, part, what)


def _verb(word: str) -> Verb:
    try:
        return ALIASES.get(word) or Verb(word)
    except ValueError:
        raise ValueError(f"{_quoted(word)} is no verb; {_choice(word, [*map(str, Verb)])}") from None


def _usage(verb: Verb) -> str:
    return f"{verb} is about something else; write {USAGE[verb]}"


def _objects(verb: Verb, words: Sequence[str]) -> tuple[str, Part, str | None]:
    """The node, what of it, and the second word. Raises ValueError."""
    usual = PARTS.get(verb, (Part.HOST,))[0]
    match words:
        case ["check", name, "on", node] if verb in WITH_CHECK:
            return node, usual, name
        case [name, "on", node] if verb in WITH_CHECK:
            return node, usual, name
        case ["agent" | "exabgp" as part, "on", node] if verb in PARTS:
            return node, Part(part), None
        case [node] if verb not in WITH_CHECK:
            return node, usual, None
        case [node, what] if verb in WITH_INTERFACE | WITH_FILE | WITH_ROUTER | WITH_NODE:
            return node, usual, what
        case _:
            raise ValueError(_usage(verb))


def _look_at(verb: Verb, node: str, what: str, known: Known) -> None:
    """Raises ValueError for a second word that names nothing."""
    if verb in WITH_INTERFACE:
        _among(f"interface of {node}", what, known.interfaces[node])
    elif verb in WITH_CHECK:
        _among(f"check on {node}", what, known.checks[node])
    elif verb in WITH_ROUTER:
        _among(f"virtual router on {node}", what, known.routers[node])
    elif verb in WITH_NODE:
        _among("node", what, known.nodes)
        if what == node:
            raise ValueError(f"{verb} names {node} twice; write {USAGE[verb]}")


def expectation(text: str, known: Known, after: float | None = None) -> Expectation:
    """From words such as ``web: node2 within 400ms`` or ``web: no outage``.

    ``after``: when it begins if the words do not say. Raises ValueError with the remedy.
    """
    name, colon, rest = text.partition(":")
    name, words = name.strip(), rest.split()
    if len(words) > 2 and words[-2] == "after":
        after, words = duration(words[-1]), words[:-2]
    node: str | None = None
    match [colon, *words]:
        case [":", "no", "outage"]:
            limit = "0s"
        case [":", "outage", "at", "most", limit]:
            pass
        case [":", node, "within", limit]:
            pass
        case _:
            raise ValueError(
                f"{_quoted(text)} is no expectation; write ROUTER: NODE within TIME, ROUTER: no outage,"
                " or ROUTER: outage at most TIME"
            )
    _among("virtual router", name, known.all_routers)
    if node is not None:
        _among("node", node, known.nodes)
    return Expectation(name, node, duration(limit), after)


# Names


def _among(kind: str, name: str, names: Collection[str]) -> None:
    """Raises ValueError if ``name`` is none of these."""
    if name not in names:
        raise ValueError(f"{_quoted(name)} is no {kind}; {_choice(name, list(names))}")


def _choice(word: str, names: Sequence[str]) -> str:
    near = get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"write one of {', '.join(names)}" if names else "there is none"


def _quoted(text: str) -> str:
    printed = "".join(one if one.isprintable() else "?" for one in text)
    return f"'{printed if len(printed) <= SHOWN else printed[:SHOWN] + '…'}'"
