"""The timeline as a picture: one lane for the client, each router and each server, over a common axis of time.

Pure: results in, SVG text out; written by hand, no library. From top to bottom: what was done and what came of it;
the phases as a flight of stairs; the lanes (probes by who answered them, routes by where they lead, servers by their
state with a tick for each advert); the takeover magnified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from lab.addressing import CLIENT, FAMILIES, SERVERS, Machine, Site
from lab.facts import AgentEvent, Facts, Incident, Probe, Standing, hops_after, standings
from lab.report import (
    ROUTER_NAMES,
    WORDS,
    event_words,
    later_incidents,
    lost_words,
    path_events,
    said_moments,
    site_words,
    words_of,
)
from lab.run import Order, Result
from lab.scenarios import Run
from lab.timeline import LEAD, Timeline

WIDTH = 1180
LEFT, RIGHT = 118, 1150
"Where the axis begins and ends; names of lanes stand left of it."
COLOURS = {"node1": "#2f6fde", "node2": "#e08a1e", "node3": "#2a9d6f"}
LOST, INK, FAINT, GRID, OFF = "#d62839", "#1d2733", "#66727f", "#e3e7eb", "#c9d0d6"
BOTH = "#7b8798"
"A route to routers, not to a server."
FONT = "ui-sans-serif, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
HALO = {"stroke": "#ffffff", "stroke_width": 4, "paint_order": "stroke"}
"Keeps words readable that stand on a line."
STAIR = 19
LANE = 34.0
SERVER_LANE = 52.0
FLAG_LETTER = 5.2
"About the width of a letter in a flag."
MARGIN_MS = 150.0
"Shown after the last thing that happened."


@dataclass(slots=True)
class Canvas:
    parts: list[str] = field(default_factory=list)

    def add(self, element: str, content: str | None, attributes: dict[str, object]) -> None:
        written = "".join(f" {name.replace('_', '-')}={quoteattr(str(value))}" for name, value in attributes.items())
        self.parts.append(f"<{element}{written}/>" if content is None else f"<{element}{written}>{content}</{element}>")

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **more: object) -> None:
        place = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{max(width, 0):.2f}", "height": f"{height:.2f}"}
        self.add("rect", None, {**place, "fill": fill, **more})

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str, **more: object) -> None:
        place = {"x1": f"{x1:.2f}", "y1": f"{y1:.2f}", "x2": f"{x2:.2f}", "y2": f"{y2:.2f}"}
        self.add("line", None, {**place, "stroke": stroke, **more})

    def text(self, x: float, y: float, words: str, size: float = 12, fill: str = INK, **more: object) -> None:
        self.add("text", escape(words), {"x": f"{x:.2f}", "y": f"{y:.2f}", "font_size": size, "fill": fill, **more})

    def document(self, height: float, title: str) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
            f' width="{WIDTH}" height="{height:.0f}" font-family="{FONT}" role="img">'
        )
        hatch = (
            '<defs><pattern id="off" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<rect width="6" height="6" fill="#f3f5f7"/><rect width="2" height="6" fill="{OFF}"/></pattern></defs>'
        )
        ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
        return "\n".join([head, f"<title>{escape(title)}</title>", hatch, ground, *self.parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Axis:
    """Time to place: `start` and `end` in ms after the event."""

    start: float
    end: float
    left: float = LEFT
    right: float = RIGHT

    def x(self, ms: float) -> float:
        share = (min(max(ms, self.start), self.end) - self.start) / (self.end - self.start)
        return self.left + share * (self.right - self.left)

    def ticks(self) -> list[float]:
        """Round times, 6 to 15 of them."""
        span = self.end - self.start
        step = next(step for step in STEPS if span / step <= 15)
        first = int(self.start // step) * step
        return [moment for n in range(40) if self.start <= (moment := first + n * step) <= self.end]


STEPS = [base * scale for scale in (0.1, 1, 10, 100, 1000, 10_000, 100_000) for base in (1.0, 2.0, 5.0)]


def draw(order: Order, result: Result) -> str:
    """The whole picture as an SVG document."""
    timeline, facts = result.run.timeline, result.run.facts
    canvas = Canvas()
    axis = Axis(-LEAD * 1e3 * 0.8, last_moment(timeline, facts) + MARGIN_MS)
    header(canvas, order, result)
    stairs = [(name, moment) for name, moment in timeline.phases.items() if moment is not None]
    top = 120.0 if site_words(result.plan) else 104.0
    lanes_top = top + STAIR * (len(stairs) + 1 + len(later_stairs(result.run))) + 14
    bottom = Plot(canvas, axis, timeline, facts, order.plan.site).lanes(lanes_top)
    phases(canvas, axis, result.run, top, bottom)
    y = time_axis(canvas, axis, bottom)
    y = legend(canvas, y + 10)
    y = magnified(canvas, timeline, y + 12)
    return canvas.document(y + 14, f"{order.scenario.name}: {order.scenario.summary}")


def last_moment(timeline: Timeline, facts: Facts) -> float:
    """When the last thing happened that must be seen, in ms after the event."""
    moments = [moment for moment in timeline.phases.values() if moment is not None]
    moments += [outage.end for outage in timeline.outages]
    moments += [(each.time - timeline.event) * 1e3 for each in timeline.transitions]
    moments += [(each.time - timeline.event) * 1e3 for each in facts.incidents]
    shown = ("address-unbound", "route-withdrawn", "path-quiet", "route-announced")
    moments += [(each.time - timeline.event) * 1e3 for each in facts.agents if each.event in shown]
    moments += [moment for moment, _, _ in said_moments(timeline, facts)]
    end = facts.probes[-1].sent if facts.probes else timeline.event
    return max(min(max(moments, default=0), (end - timeline.event) * 1e3), 500.0)


def header(canvas: Canvas, order: Order, result: Result) -> None:
    timeline, plan = result.run.timeline, result.plan
    canvas.text(28, 40, order.scenario.name, 24, font_weight=700)
    canvas.text(28, 62, order.scenario.summary, 13, FAINT)
    made_of = (
        f"{ROUTER_NAMES[order.router]} · ExaBGP {plan.exabgp} · IPv{plan.family} · an advert every"
        f" {plan.interval * 1e3:g} ms · BGP hold time {plan.hold} s · seed {result.seed}"
    )
    canvas.text(28, 81, made_of, 12, FAINT)
    canvas.text(28, 97, site_words(plan).removeprefix(", ").replace(", ", " · "), 12, FAINT)
    right = {"text_anchor": "end"}
    lost = bool(timeline.probes_lost)
    outage = f"{timeline.outage_ms:.0f} ms without an answer" if lost else "no probe lost"
    canvas.text(RIGHT, 40, outage, 24, LOST if lost else COLOURS["node3"], font_weight=700, **right)
    canvas.text(RIGHT, 81, f"{timeline.probes_sent} probes, 500 a second; {lost_words(timeline)}", 12, FAINT, **right)


def phases(canvas: Canvas, axis: Axis, run: Run, top: float, bottom: float) -> None:
    """The event and the phases: a stair each, from its words down through the lanes."""
    timeline, words_of_event = run.timeline, event_words(run.timeline, run.facts)
    names = {"old": timeline.old, "new": timeline.new}
    stairs = [(0.0, words_of_event, LOST)]
    stairs += [
        (moment, WORDS[phase].format_map(names), INK) for phase, moment in timeline.phases.items() if moment is not None
    ]
    stairs += later_stairs(run)
    for step, (moment, words, colour) in enumerate(sorted(stairs)):
        x, y = axis.x(moment), top + step * STAIR
        dash = {} if moment == 0 else {"stroke_dasharray": "2 3"}
        canvas.line(x, y - 9, x, bottom, colour, stroke_width=1.4 if moment == 0 else 0.9, opacity=0.8, **dash)
        to_left = x > LEFT + (RIGHT - LEFT) * 0.6
        shown = f"{moment:+.1f} ms  {words}" if moment else words
        anchor = {"text_anchor": "end"} if to_left else {}
        canvas.text(x - 5 if to_left else x + 5, y, shown, 11.5, colour, **anchor, **HALO)


def later_stairs(run: Run) -> list[tuple[float, str, str]]:
    """What else was done or seen after the event."""
    return [
        ((each.time - run.timeline.event) * 1e3, words_of(each), LOST)
        for each in later_incidents(run.timeline, run.facts)
    ]


@dataclass(frozen=True, slots=True)
class Plot:
    """The lanes: everything that has the axis of time."""

    canvas: Canvas
    axis: Axis
    timeline: Timeline
    facts: Facts
    site: Site

    def lanes(self, top: float) -> float:
        """Draws all lanes; returns where they end."""
        y = self.lane(top, "client", "answered by", LANE)
        self.probes(top, self.facts.probes)
        if self.facts.local:
            top, y = y, self.lane(y, self.timeline.old, "itself answered by", LANE)
            self.probes(top, self.facts.local)
        for router in (CLIENT, *self.site.routers):
            top, y = y, self.lane(y, router.name, "its route over" if router is CLIENT else "its route to", LANE)
            self.routes(top, router)
        for server in SERVERS:
            top, y = y, self.lane(y, server.name, "adverts, state", SERVER_LANE)
            self.server(top, server)
        return y

    def lane(self, y: float, name: str, note: str, height: float) -> float:
        """Names a lane and draws the line below it; returns where the next one begins."""
        self.canvas.line(28, y + height, RIGHT, y + height, GRID)
        self.canvas.text(28, y + height / 2 - 1, name, 13, font_weight=600)
        self.canvas.text(28, y + height / 2 + 12, note, 10, FAINT)
        return y + height

    def probes(self, y: float, probes: Sequence[Probe]) -> None:
        """Consecutive probes with the same result are one box; lost ones reach lower."""
        shown = [(self.moment(probe.sent), probe.node) for probe in probes]
        inside = [(moment, who) for moment, who in shown if self.axis.start <= moment <= self.axis.end]
        changes = [index for index, (_, who) in enumerate(inside) if index == 0 or who != inside[index - 1][1]]
        for begin, after in pairwise([*changes, len(inside)]):
            moment, who = inside[begin]
            left, right = self.axis.x(moment), self.axis.x(inside[min(after, len(inside) - 1)][0])
            colour = LOST if who is None else COLOURS[who]
            self.canvas.rect(left, y + 6, max(right - left, 0.8), 26 if who is None else 18, colour)

    def routes(self, y: float, router: Machine) -> None:
        """Where the kernel's route to the virtual address led, over time."""
        changes = [change for change in self.facts.routes if change.machine == router.name]
        steps = [
            (self.moment(change.time), hops_after(changes[: index + 1])[router.name])
            for index, change in enumerate(changes)
        ]
        for (moment, hops), (until, _) in pairwise([*steps, (self.axis.end, ())]):
            left, right = self.axis.x(moment), self.axis.x(until)
            if right > left:
                self.route_box(left, right, y, hops)

    def colour_of(self, hop: str) -> str:
        """Of the only server that an interface leads to: the server itself, or the one of a rack's ToR."""
        tors = [name for name, tors in self.site.racks.items() if hop in {tor.name for tor in tors}]
        return COLOURS.get(hop) or (COLOURS[tors[0]] if len(tors) == 1 else BOTH)

    def route_box(self, left: float, right: float, y: float, hops: Sequence[str]) -> None:
        width, height = right - left, 14
        for row, hop in enumerate(hops):
            part = height / len(hops)
            self.canvas.rect(left, y + 10 + row * part, width, part, self.colour_of(hop))
        if not hops:
            dashes = {"stroke": LOST, "stroke_width": 1, "stroke_dasharray": "3 2"}
            self.canvas.rect(left, y + 10, width, height, "none", **dashes)
        if width > 60:
            words, colour = (" and ".join(hops), "#ffffff") if hops else ("no route", LOST)
            self.canvas.text(left + 6, y + 20.5, words, 10, colour)

    def server(self, y: float, server: Machine) -> None:
        """A tick for each advert; a bar for the agent's state; thin bars while the address is bound and announced."""
        colour = COLOURS[server.name]
        sources = {str(server.loopback(family)) for family in FAMILIES}
        for advert in self.facts.adverts:
            moment = self.moment(advert.time)
            if advert.source in sources and self.axis.start <= moment <= self.axis.end:
                x = self.axis.x(moment)
                self.canvas.line(x, y + 4, x, y + 13, colour, stroke_width=1.1, opacity=0.75)
        agents = [each for each in self.facts.agents if each.node == server.name]
        incidents = [each for each in self.facts.incidents if each.machine == server.name]
        steps = standing_steps(incidents, agents, server.name)
        placed = [(self.moment(time), standing) for time, standing in steps]
        for (moment, standing), (until, _) in pairwise([*placed, (self.axis.end, Standing())]):
            left, right = self.axis.x(moment), self.axis.x(until)
            if right > left:
                self.standing_box((left, right), y, standing, colour)
        self.flags(y, server)

    def flags(self, y: float, server: Machine) -> None:
        """Moments of a server's: paths that went quiet or came back, what the lab did there, what its agent logged.

        Those that come too close for their words to stand side by side share one text.
        """
        moments = [
            (moment, words) for moment, where, words in said_moments(self.timeline, self.facts) if where == server.name
        ]
        moments += [
            (self.moment(each.time), f"{each.event.replace('-', ' ')}: {each.field('interface')}")
            for each in path_events(self.timeline, self.facts)
            if each.node == server.name
        ]
        texts: list[tuple[float, str]] = []
        for moment, words in sorted(moments):
            x = self.axis.x(moment)
            self.canvas.line(x, y + 11, x, y + 47, LOST, stroke_width=1.2)
            if texts and x < texts[-1][0] + FLAG_LETTER * len(texts[-1][1]):
                texts[-1] = (texts[-1][0], f"{texts[-1][1]}; {words}")
            else:
                texts.append((x, words))
        for x, words in texts:
            to_left = x + FLAG_LETTER * len(words) > RIGHT
            anchor = {"text_anchor": "end"} if to_left else {}
            self.canvas.text(x - 4 if to_left else x + 4, y + 50, words, 10, LOST, **anchor, **HALO)

    def standing_box(self, span: tuple[float, float], y: float, standing: Standing, colour: str) -> None:
        left, width = span[0], span[1] - span[0]
        match standing.state:
            case "active":
                self.canvas.rect(left, y + 15, width, 16, colour)
            case "backup":
                self.canvas.rect(left, y + 15, width, 16, colour, fill_opacity=0.18)
            case "initialize":
                self.canvas.rect(left, y + 15, width, 16, "none", stroke=colour, stroke_width=0.8)
            case _:
                self.canvas.rect(left, y + 15, width, 16, "url(#off)")
        if width > 60:
            ink = "#ffffff" if standing.state == "active" else FAINT
            self.canvas.text(left + 6, y + 27, standing.state.capitalize(), 10.5, ink)
        for row, (holds, word) in enumerate(((standing.bound, "on lo"), (standing.announced, "announced"))):
            if not holds:
                continue
            self.canvas.rect(left, y + 34 + row * 7, width, 5, colour, fill_opacity=0.9 if row else 0.55)
            if width > 140:
                self.canvas.rect(span[1] - 62, y + 33.5 + row * 7, 58, 6.5, "#ffffff", fill_opacity=0.85)
                self.canvas.text(span[1] - 33, y + 39 + row * 7, word, 7, INK, text_anchor="middle")

    def moment(self, time: float) -> float:
        """Milliseconds after the event."""
        return (time - self.timeline.event) * 1e3


def standing_steps(
    incidents: Sequence[Incident], agents: Sequence[AgentEvent], name: str
) -> Iterable[tuple[float, Standing]]:
    """Each moment at which the standing of a node changed, and the standing from then on."""
    times = sorted([*(each.time for each in incidents), *(each.time for each in agents)])
    last: Standing | None = None
    for time in times:
        until_then = [each for each in incidents if each.time <= time]
        said = [each for each in agents if each.time <= time]
        standing = standings(until_then, said).get(name, Standing())
        if standing != last:
            yield time, standing
        last = standing


def time_axis(canvas: Canvas, axis: Axis, y: float) -> float:
    for moment in axis.ticks():
        x = axis.x(moment)
        canvas.line(x, y, x, y + 5, FAINT)
        canvas.text(x, y + 17, f"{moment:g} ms", 10.5, FAINT, text_anchor="middle")
    return y + 22


def legend(canvas: Canvas, y: float) -> float:
    x = float(LEFT)
    entries = [(colour, f"answered by {name}, or {name} itself") for name, colour in COLOURS.items()]
    for colour, words in [*entries, (LOST, "probe lost")]:
        canvas.rect(x, y, 12, 12, colour)
        canvas.text(x + 17, y + 10, words, 11, FAINT)
        x += 30 + 6.1 * len(words)
    return y + 14


MAGNIFIED = ("elected", "bound", "announced", "in_kernel_first", "in_kernel", "first_answer")
SHORT = {
    "elected": "elected",
    "bound": "bound",
    "announced": "announced",
    "in_kernel_first": "first router",
    "in_kernel": "both routers",
    "first_answer": "first answer",
}


def magnified(canvas: Canvas, timeline: Timeline, y: float) -> float:
    """The takeover itself, which is but a hair's breadth of the main picture: one bar per phase from its predecessor
    on.
    """
    moments = [(name, moment) for name in MAGNIFIED if (moment := timeline.phases.get(name)) is not None]
    if len(moments) < 3:
        return y
    start = moments[0][1]
    end = max(moment for _, moment in moments)
    axis = Axis(start - (end - start) * 0.02, end + (end - start) * 0.02 + 0.1, LEFT, RIGHT - 120)
    colour = COLOURS[timeline.new or "node1"]
    canvas.text(28, y + 18, "the takeover, magnified", 13, font_weight=600)
    canvas.text(230, y + 18, f"{end - start:.1f} ms from the election to the first answer", 11, FAINT)
    y += 28
    for (_, since), (name, moment) in pairwise(sorted(moments, key=lambda each: each[1])):
        left, right = axis.x(since), axis.x(moment)
        canvas.rect(left, y + 2, max(right - left, 1), 11, colour, rx=1.5)
        canvas.text(28, y + 11.5, SHORT[name], 11)
        canvas.text(right + 6, y + 11.5, f"{moment - since:.2f} ms", 10.5, FAINT)
        y += 16
    canvas.line(axis.left, y + 2, axis.right, y + 2, GRID)
    for moment in axis.ticks():
        canvas.text(axis.x(moment), y + 15, f"{moment:g} ms", 10, FAINT, text_anchor="middle")
    return y + 20
