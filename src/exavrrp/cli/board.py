"""What ``exavrrp watch`` shows: the node as ``status`` prints it, and below it paths, events, or what ``why`` says.

A ``Board`` takes each answer of the agent and each key, and makes the lines of the screen. It computes nothing that the
agent has not said; only the strips remember what earlier answers said of a path.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from exavrrp.chronicle import MOST, Entry
from exavrrp.cli.details import details
from exavrrp.cli.overview import heading, problems, routers
from exavrrp.cli.reasons import reasons
from exavrrp.cli.style import WIDTH, cut, folded
from exavrrp.cli.telling import sentence, stamp
from exavrrp.control import StatusAnswer
from exavrrp.findings import ACTIVE, clock
from exavrrp.view import PathView, PeerView, RouterView
from exavrrp.vrrp.copies import GAP

PERIOD = 0.5
"""Seconds between two answers: 2 Hz."""

CELLS = 60
"""Answers that a strip remembers."""

HEARD, LOST, UNKNOWN = ".", "x", " "

LEAST = 9
"""Lines for paths and events, whatever else there is."""

STRIPS = 4
"""Paths that are shown above the events."""

KEYS = "q quit   up, down: router   p paths   e events   w why   s status   Esc back"


class Tone(Enum):
    """What a line is."""

    PLAIN, TITLE, SELECTED, PROBLEM, OLD = range(5)


class Line(NamedTuple):
    """One line of the screen."""

    text: str
    tone: Tone = Tone.PLAIN


class Pane(Enum):
    """What is shown below the node."""

    BOTH, PATHS, EVENTS, WHY, STATUS = range(5)


PANES = {"p": Pane.PATHS, "e": Pane.EVENTS, "w": Pane.WHY, "s": Pane.STATUS, "escape": Pane.BOTH}
STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}

_Key = tuple[str, str, str]
"""A path: router, peer, interface."""


class Board:
    """What has been said so far, and what of it is to be seen."""

    def __init__(self) -> None:
        self._answer: StatusAnswer | None = None
        self._entries: deque[Entry] = deque(maxlen=MOST)
        self._strips: dict[_Key, deque[str]] = {}
        self._gaps: dict[_Key, int] = {}
        self._problem = ""
        self._lost: datetime | None = None
        """since when nobody answers (UTC)"""
        self._pane = Pane.BOTH
        self._selected = 0

    def take(self, answer: StatusAnswer, entries: Iterable[Entry], *, anew: bool) -> None:
        """Another answer, and what was entered into the journal since the last one; ``anew``: all of it, of another
        agent."""
        if anew:
            self._entries.clear()
            self._gaps.clear()
        self._answer, self._lost = answer, None
        self._entries.extend(entries)
        strips, gaps = {}, {}
        for router, peer, path in _paths(answer.routers):
            key = (router.name, peer.address, path.interface)
            strips[key] = self._strips.get(key, deque(maxlen=CELLS))
            strips[key].append(_cell(router, peer, path, self._gaps.get(key, path.gaps)))
            gaps[key] = path.gaps
        self._strips, self._gaps = strips, gaps
        self._selected = min(self._selected, max(len(answer.routers) - 1, 0))

    def lose(self, problem: str, now: datetime) -> None:
        """Nobody answers; ``problem``: why, in words."""
        self._lost = self._lost or now
        self._problem = problem
        for strip in self._strips.values():
            strip.append(UNKNOWN)

    def press(self, key: str) -> None:
        """A key, by its letter or name."""
        self._pane = PANES.get(key, self._pane)
        if self._answer is not None and self._answer.routers:
            self._selected = (self._selected + STEPS.get(key, 0)) % len(self._answer.routers)

    def lines(self, height: int) -> list[Line]:
        """The screen, of at most ``height`` lines of at most 80 columns."""
        body = [*self._above(height - 1)]
        body += self._below(height - 1 - len(body))
        body = body[: height - 1]
        if self._lost is not None:
            body = [Line(line.text, Tone.OLD if line.tone is Tone.PLAIN else line.tone) for line in body]
        return [*body, *[Line("")] * (height - 1 - len(body)), Line(KEYS, Tone.TITLE)]

    def _above(self, room: int) -> Iterator[Line]:
        """The node, its routers, and what is wrong."""
        if self._lost is not None:
            text = f"no agent answers since {clock(self._lost, self._lost)}; asking again: {self._problem}"
            yield from (Line(line, Tone.PROBLEM) for line in folded(text))
        answer = self._answer
        if answer is None:
            return
        head = [*heading(answer), ""]
        yield from map(Line, head)
        titles, *rows = routers(answer)
        yield Line(titles, Tone.TITLE)
        alone = self._pane is not Pane.BOTH
        left = room - len(head) - 1
        most = 1 if alone else max(left - LEAST, 1)
        first = min(max(self._selected - most // 2, 0), max(len(rows) - most, 0))
        for number, row in enumerate(rows[first : first + most], first):
            yield Line(row, Tone.SELECTED if number == self._selected and len(rows) > 1 else Tone.PLAIN)
        if not alone:
            left -= min(len(rows), most)
            wrong = list(problems(answer))
            shown = max(left - LEAST, 1)
            if len(wrong) > shown:
                wrong[max(shown - 1, 0) :] = [f" ! {len(wrong) - shown + 1} more lines: exavrrp status"]
            yield from (Line(line, Tone.PROBLEM) for line in wrong)
        if len(rows) > most:
            yield Line(f"   {first + 1} to {first + most} of {len(rows)} routers")

    def _below(self, room: int) -> list[Line]:
        answer = self._answer
        if answer is None or not answer.routers or room < 1:
            return []
        router = answer.routers[self._selected]
        match self._pane:
            case Pane.WHY:
                return _titled(f"WHY {router.name}", [*reasons(answer, router, [*self._entries])], room)
            case Pane.STATUS:
                return _titled(f"STATUS {router.name}", [*details(answer, router)], room)
            case Pane.EVENTS:
                return self._events(room, whole=True)
            case Pane.PATHS:
                return _titled(self._legend("all"), [*self._drawn(answer.routers)], room)
            case Pane.BOTH:
                strips = _titled(self._legend(router.name), [*self._drawn([router])], min(STRIPS + 1, room))
                return [*strips, *self._events(room - len(strips), whole=False)]

    def _legend(self, of: str) -> str:
        return f"PATHS {of}: a cell is {PERIOD:g} s; {HEARD} every advert heard, {LOST} one missing"

    def _drawn(self, some: Iterable[RouterView]) -> Iterator[str]:
        for router in some:
            if router.role == ACTIVE:
                yield f"{router.name} is Active: Backups send nothing that it could hear"
                continue
            found = [(peer, path) for _, peer, path in _paths([router]) if peer.active]
            if not found:
                yield f"{router.name}: no advert of an Active arrives"
            for peer, path in found:
                strip = "".join(self._strips[router.name, peer.address, path.interface])
                name = f"{path.interface} {cut(peer.address, WIDTH - CELLS - 2 - len(path.interface))}"
                yield f"{cut(name, WIDTH - CELLS - 1):<{WIDTH - CELLS - 1}} {strip:>{CELLS}}"

    def _events(self, room: int, *, whole: bool) -> list[Line]:
        """The last ones; ``whole``: in as many lines as each needs, else in one."""
        lines: list[str] = []
        now = None if self._answer is None else self._answer.time
        for entry in reversed(self._entries):
            text = folded(f"{stamp(entry.at.time, now)} {sentence(entry)}", "", " " * 13)
            lines[:0] = text if whole or len(text) == 1 else [f"{text[0]} ~"[:WIDTH]]
            if len(lines) >= room:
                break
        return _titled("EVENTS", lines[max(len(lines) - room + 1, 0) :], room)


def _paths(some: Iterable[RouterView]) -> Iterator[tuple[RouterView, PeerView, PathView]]:
    return ((router, peer, path) for router in some for peer in router.peers for path in peer.paths)


def _cell(router: RouterView, peer: PeerView, path: PathView, gaps: int) -> str:
    """Whether a copy is missing on this path; ``gaps``: how many there were before."""
    if router.role == ACTIVE or not peer.active or path.quiet is None:
        return UNKNOWN
    late = path.age is not None and peer.interval is not None and path.age > GAP * peer.interval
    return LOST if path.quiet or late or path.gaps > gaps else HEARD


def _titled(title: str, lines: Sequence[str], room: int) -> list[Line]:
    """The lines below their title; what has no room is said to be missing."""
    if len(lines) >= room > 1:
        lines = [*lines[: room - 2], f"   ({len(lines) - room + 2} more lines)"]
    return [Line(title, Tone.TITLE), *map(Line, lines)][:room]
