"""The timeline as a picture: one lane for the client, each router and each server, over a common axis of time.

Pure: results in, SVG text out (exavrrp.cli.canvas). From top to bottom: what was done and what came of it;
the phases as a flight of stairs; the lanes (probes by who answered them, routes by where they lead, servers by their
state with a tick for each advert); the takeover magnified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from exavrrp.cli.canvas import FAINT, GRID, HALO, INK, LEFT, LOST, RIGHT, SERVER_LANE, Axis, Canvas
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

COLOURS = {"node1": "#2f6fde", "node2": "#e08a1e", "node3": "#2a9d6f"}
BOTH = "#7b8798"
"A route to routers, not to a server."
STAIR = 19
LANE = 34.0
MARGIN_MS = 150.0
"Shown after the last thing that happened."


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
        y = self.canvas.lane(top, "client", "answered by", LANE)
        self.probes(top, self.facts.probes)
        if self.facts.local:
            top, y = y, self.canvas.lane(y, self.timeline.old, "itself answered by", LANE)
            self.probes(top, self.facts.local)
        for router in (CLIENT, *self.site.routers):
            top, y = y, self.canvas.lane(y, router.name, "its route over" if router is CLIENT else "its route to", LANE)
            self.routes(top, router)
        for server in SERVERS:
            top, y = y, self.canvas.lane(y, server.name, "adverts, state", SERVER_LANE)
            self.server(top, server)
        return y

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
                marks = ((standing.bound, "on lo"), (standing.announced, "announced"))
                self.canvas.standing((left, right), y, standing.state, marks, colour)
        self.flags(y, server)

    def flags(self, y: float, server: Machine) -> None:
        """Moments of a server's: paths that went quiet or came back, what the lab did there, what its agent logged."""
        moments = [
            (moment, words) for moment, where, words in said_moments(self.timeline, self.facts) if where == server.name
        ]
        moments += [
            (self.moment(each.time), f"{each.event.replace('-', ' ')}: {each.field('interface')}")
            for each in path_events(self.timeline, self.facts)
            if each.node == server.name
        ]
        self.canvas.flags([(self.axis.x(moment), words) for moment, words in moments], y)

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
