"""The picture of ``exavrrp why --svg``: who was Active when, and why, from the journals of one or several nodes.

The same journals are the same text. Each time is that of the node's own clock: nothing here corrects them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from exavrrp.chronicle import ENDING, PHASE, TRANSITION, Entry
from exavrrp.cli.canvas import FAINT, HALO, INK, LEFT, LOST, SERVER_LANE, Axis, Canvas
from exavrrp.cli.lives import BEGINNINGS
from exavrrp.cli.reasons import LEADING
from exavrrp.cli.telling import after, stamp
from exavrrp.cli.verdicts import verdict

COLOURS = ("#2f6fde", "#e08a1e", "#2a9d6f", "#8e5bc4", "#c2477f", "#5c7a1f")
"""Of the nodes, in turn."""

TOGETHER = timedelta(seconds=10)
"""Transitions that follow each other sooner belong to the same story."""

AFTERWARDS = timedelta(seconds=5)
"""How long after the last transition something may belong to it."""

MARGIN = timedelta(milliseconds=200)

MOST = 40
"""Transitions that are told; of more, the last ones."""

LETTERS = 168
"""Of a line from edge to edge."""

ROUTERS = 16
"""That are drawn."""

FLAGGED = {*LEADING, PHASE} - {"health-assessed"}
"""Entries that have words in the lanes."""

STEPS = [
    *(base * scale for scale in (1, 10, 100) for base in (1.0, 2.0, 5.0)),
    *(1000.0 * seconds for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(3_600_000.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 7 * 24, 30 * 24, 365 * 24)),
]
"""Distances of ticks, in ms, that are round on a clock."""


class NothingToDraw(Exception):
    """There is no transition that is to be drawn."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What one node has noted."""

    node: str
    entries: Sequence[Entry]
    live: bool = False
    """whether the agent was asked just now: what it has not noted has not happened"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands for a router."""

    state: str = ""
    """empty: nothing is known"""
    bound: bool = False
    announced: bool = False
    pale: bool = False
    """whether nothing was noted any more that would confirm it"""


def draw(journals: Sequence[Journal], names: Collection[str] = (), since: timedelta | None = None) -> str:
    """An SVG document, of the last transitions, or of the time ``since`` before the last entry. Raises NothingToDraw.

    ``names``: of virtual routers; empty: those that have moved in this time.
    """
    journals = [replace(one, entries=_ordered(one.entries)) for one in journals]
    moves = sorted(
        (
            (entry.at.time, one.node, entry)
            for one in journals
            for entry in one.entries
            if entry.event == TRANSITION and (not names or entry.router in names)
        ),
        key=lambda each: each[0],
    )
    if not moves:
        raise NothingToDraw("no transition is in the journal")
    start, end = _window(journals, moves, since)
    moves = [each for each in moves if start <= each[0] <= end]
    if not moves:
        raise NothingToDraw("no transition is in that time")
    routers = list(dict.fromkeys(names or (entry.router for _, _, entry in moves)))
    canvas, axis = Canvas(), Axis(_ms(start), _ms(end))
    y = _header(canvas, journals, routers, start)
    y = _told(canvas, moves, y)
    top = y + 16
    y = top
    for router in routers[:ROUTERS]:
        y = _router(canvas, axis, journals, router, y)
    _numbers(canvas, axis, moves[-MOST:], top, y)
    y = _time_axis(canvas, axis, y)
    y = _legend(canvas, y + 12)
    return canvas.document(y + 14, _cut(f"exavrrp why: {', '.join(routers[:ROUTERS])}", LETTERS))


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    """By time; without those whose time is none."""
    return sorted(
        (entry for entry in entries if entry.at.time.tzinfo is not None and 1970 < entry.at.time.year < 9000),
        key=lambda entry: entry.at.time,
    )


Move = tuple[datetime, str, Entry]


def _window(journals: Sequence[Journal], moves: Sequence[Move], since: timedelta | None) -> tuple[datetime, datetime]:
    if since is not None:
        last = max(one.entries[-1].at.time for one in journals if one.entries)
        return last - max(since, MARGIN), last
    end = start = moves[-1][0]
    for time, _, entry in reversed(moves):
        if start - time > TOGETHER:
            break
        waited = 0.0 if entry.cause is None else entry.cause.waited or 0.0
        start = min(start, time - timedelta(seconds=min(max(waited, 0.0), 3600.0)))
    noted = (entry.at.time for one in journals for entry in one.entries)
    end = max((time for time in noted if end <= time <= end + AFTERWARDS), default=end)
    margin = max((end - start) * 0.08, MARGIN)
    return start - margin, end + margin


def _header(canvas: Canvas, journals: Sequence[Journal], routers: Sequence[str], start: datetime) -> float:
    nodes = list(dict.fromkeys(one.node for one in journals))
    more = f" and {len(routers) - ROUTERS} more" if len(routers) > ROUTERS else ""
    canvas.text(28, 40, f"{_cut(', '.join(routers[:ROUTERS]), 50)}{more}: who was Active, and why", 22, font_weight=700)
    canvas.text(28, 62, _cut(f"{start:%Y-%m-%d} UTC, by the journals of {', '.join(nodes)}", LETTERS), 12.5, FAINT)
    skews = [
        abs(entry.cause.facts.skew)
        for one in journals
        for entry in one.entries
        if entry.cause is not None and entry.cause.facts.skew is not None
    ]
    clocks = "each time is that of the node's own clock"
    if len(nodes) > 1:
        known = f"; by signed adverts they differ by at most {max(skews):g} s" if skews else ""
        clocks = f"{clocks}; the clocks are assumed to agree{known}"
    canvas.text(28, 79, clocks, 11.5, FAINT)
    return 104.0


def _told(canvas: Canvas, moves: Sequence[Move], y: float) -> float:
    """Each transition in a line, with its number."""
    if len(moves) > MOST:
        canvas.text(28, y, f"({len(moves) - MOST} before these)", 11.5, FAINT)
        y += 18
    for number, (time, node, entry) in enumerate(moves[-MOST:], 1):
        arrow = f"{entry.fields.get('before')} -> {str(entry.fields.get('after')).upper()}"
        told = entry.fields.get("reason") if entry.cause is None else verdict(entry.cause, entry)
        text = f"{node}: {entry.router} {arrow}: {told}"
        canvas.text(28, y, f"{number}", 11.5, LOST, font_weight=700)
        canvas.text(50, y, stamp(time, time), 11.5, FAINT)
        canvas.text(128, y, _cut(text, LETTERS - 16), 11.5)
        y += 18
    return y


def _router(canvas: Canvas, axis: Axis, journals: Sequence[Journal], router: str, y: float) -> float:
    canvas.text(28, y + 16, _cut(router, 60), 13, INK, font_weight=700)
    y += 22
    nodes = list(dict.fromkeys(one.node for one in journals))
    for number, node in enumerate(nodes):
        top, y = y, canvas.lane(y, _cut(node, 14), "", SERVER_LANE)
        entries = [
            entry for one in journals if one.node == node for entry in one.entries if entry.router in {router, ""}
        ]
        entries.sort(key=lambda entry: entry.at.time)
        live = any(one.live for one in journals if one.node == node)
        steps = [(_ms(time), standing) for time, standing in _steps(entries, live=live)]
        changes = [each for index, each in enumerate(steps) if not index or each[1] != steps[index - 1][1]]
        for (moment, standing), (until, _) in pairwise([*changes, (axis.end, Standing())]):
            left, right = axis.x(moment), axis.x(until)
            if right > left and standing.state:
                _bar(canvas, (left, right), top, standing, COLOURS[number % len(COLOURS)])
        shown = ((_ms(entry.at.time), _flag(entry)) for entry in entries if entry.event in FLAGGED)
        canvas.flags([(axis.x(ms), words) for ms, words in shown if axis.start <= ms <= axis.end], top)
    return y


def _bar(canvas: Canvas, span: tuple[float, float], y: float, standing: Standing, colour: str) -> None:
    marks = ((standing.bound, "on lo"), (standing.announced, "announced"))
    canvas.standing(span, y, standing.state, marks, colour)
    if standing.pale:
        canvas.rect(span[0], y + 14, span[1] - span[0], 34, "#ffffff", fill_opacity=0.6)
        if span[1] - span[0] > 60:
            canvas.text(span[0] + 6, y + 27, f"{standing.state.capitalize()}?", 10.5, INK)


def _steps(entries: Iterable[Entry], *, live: bool) -> Iterator[tuple[datetime, Standing]]:
    """How a node stands for a router, from each moment on."""
    last, standing, ends = None, Standing(), False
    for entry in entries:
        if entry.event in BEGINNINGS and last is not None and standing.state:
            # What lies between two agents has no entry.
            yield last, Standing("off") if ends else replace(standing, pale=True)
        standing = _after(standing, entry)
        ends = entry.event == ENDING or (ends and entry.event not in BEGINNINGS)
        last = entry.at.time
        yield last, standing
    if last is not None and standing.state and not live:
        yield last, Standing("off") if ends else replace(standing, pale=True)


def _after(before: Standing, entry: Entry) -> Standing:
    match entry.event:
        case event if event in BEGINNINGS:
            went_on = entry.fields.get("exabgp_ran_on") is True
            return replace(before, state="initialize") if went_on else Standing("initialize")
        case "transition":
            return replace(before, state=str(entry.fields.get("after")))
        case "address-bound" | "address-unbound":
            return replace(before, bound=entry.event == "address-bound")
        case "route-announced" | "route-withdrawn":
            return replace(before, announced=entry.event == "route-announced")
        case _:
            return before


def _flag(entry: Entry) -> str:
    """What has happened, in two or three words."""
    told = entry.fields
    match entry.event:
        case "phase-completed":
            text = f"{told.get('phase')} +{after(entry)}"
        case "check-changed":
            text = f"{told.get('check')} {told.get('result')}"
        case "session-changed":
            text = f"session {told.get('state')}"
        case "peer-advertised":
            text = f"hears priority {told.get('priority')}"
        case "path-quiet" | "path-restored":
            text = f"{entry.event.replace('-', ' ')}: {told.get('interface')}"
        case event:
            text = event.replace("-", " ")
    return _cut(text, 30)


def _numbers(canvas: Canvas, axis: Axis, moves: Sequence[Move], top: float, bottom: float) -> None:
    """The transitions in the lanes: a line for each, with its number at the top."""
    texts: list[tuple[float, str]] = []
    for number, (time, _, _) in enumerate(moves, 1):
        x = axis.x(_ms(time))
        canvas.line(x, top + 4, x, bottom, LOST, stroke_width=0.9, stroke_dasharray="2 3", opacity=0.8)
        if texts and x < texts[-1][0] + 7 * len(texts[-1][1]) + 4:
            texts[-1] = (texts[-1][0], f"{texts[-1][1]},{number}")
        else:
            texts.append((x, f"{number}"))
    for x, words in texts:
        canvas.text(x + 3, top + 8, words, 11, LOST, font_weight=700, **HALO)


def _time_axis(canvas: Canvas, axis: Axis, y: float) -> float:
    ticks = axis.ticks(STEPS)
    parts = any(tick % 1000 for tick in ticks)
    for tick in ticks:
        x = axis.x(tick)
        time = datetime.fromtimestamp(tick / 1000, UTC)
        days = axis.end - axis.start > 86_400_000
        text = stamp(time, time) if parts else f"{time:%m-%d %H:%M}" if days else f"{time:%H:%M:%S}"
        canvas.line(x, y, x, y + 5, FAINT)
        canvas.text(x, y + 17, text, 10, FAINT, text_anchor="middle")
    return y + 22


def _legend(canvas: Canvas, y: float) -> float:
    words = (
        "full: Active; light: Backup; outline: neither; hatched: no agent; faded: the last that was noted,"
        " which nothing later confirms; thin: on lo, announced"
    )
    canvas.text(LEFT, y + 10, words, 11, FAINT)
    return y + 14


def _ms(time: datetime) -> float:
    return time.timestamp() * 1000


def _cut(text: str, letters: int) -> str:
    plain = "".join(one if one.isprintable() else "?" for one in text)
    return plain if len(plain) <= letters else f"{plain[: letters - 1]}…"
