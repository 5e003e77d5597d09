"""What ``exavrrp simulate`` prints: the timeline of a run, who serves when, the outages of all runs, and verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from exavrrp.cli.lives import BEGINNINGS, predecessor
from exavrrp.cli.style import folded, table
from exavrrp.cli.verdicts import verdict
from exavrrp.simulation.scenario import Scenario, shown
from exavrrp.simulation.story import Moment, Story, Verdict, judged, milliseconds, sections

MARGIN = 15
"""Columns before what happens: its time."""


@dataclass(frozen=True, slots=True)
class Play:
    """A scenario, and its runs."""

    scenario: Scenario
    seed: int
    """of the first run; each further one has the next"""
    stories: Sequence[Story]
    """at least one"""
    members: Mapping[str, Sequence[str]]
    """the virtual routers that a name stands for"""
    surroundings: str
    """in words"""

    @property
    def routers(self) -> list[str]:
        """All virtual routers."""
        return list(self.stories[0].spans)

    @property
    def sections(self) -> list[tuple[float, float]]:
        """From each moment at which something happens to the next, and to the end."""
        return sections(self.scenario, self.stories[0].end)

    def happens(self, at: float) -> str:
        """What happens then, in words."""
        return ", ".join(str(event) for event in self.scenario.events if event.at == at)

    def outages(self, router: str, start: float, end: float) -> list[float]:
        """The longest one of each run, seconds."""
        return [story.longest(router, start, end) for story in self.stories]

    def servers(self, router: str, end: float) -> list[str]:
        """Who serves at the end of a section: one sentence for all runs, or several."""
        last = end - 1e-6 if end < self.stories[0].end else end
        return list(dict.fromkeys(str(story.serving(router, last)) for story in self.stories))

    def verdicts(self) -> list[list[Verdict]]:
        """On each expectation, one for each run."""
        runs = [list(judged(self.scenario, story, self.members)) for story in self.stories]
        return [list(verdicts) for verdicts in zip(*runs, strict=True)]

    @property
    def met(self) -> bool:
        """Whether every run is as expected."""
        return all(one.met for verdicts in self.verdicts() for one in verdicts)


def unserved(play: Play) -> Iterator[str]:
    """What of the nodes has not come up when the first event comes, one sentence each."""
    begins = play.scenario.events[0].at
    for router in play.routers:
        before = play.stories[0].serving(router, max(begins - 1e-6, 0.0))
        if before.lossy or len(before.nodes) != 1:
            yield f"{router}: {before} yet when the first event comes at {shown(begins)}; let it come later"


# Text


def lines(play: Play) -> Iterator[str]:
    """For people."""
    last = play.seed + len(play.stories) - 1
    runs = f"{len(play.stories)} runs, seeds {play.seed} to {last}" if len(play.stories) > 1 else f"seed {play.seed}"
    yield from folded(f"{play.surroundings}; {runs}")
    for start, end in play.sections:
        yield ""
        yield from _timeline(play, start, end)
    yield ""
    yield from _serving(play)
    yield ""
    yield from _outages(play)
    if play.scenario.expectations:
        yield ""
        yield from _verdicts(play)


def _timeline(play: Play, start: float, end: float) -> Iterator[str]:
    """What follows from the events of one moment, in the first run; times are milliseconds after it."""
    story, several = play.stories[0], len(play.routers) > 1
    yield f"at {shown(start)}: {play.happens(start)}" + (f" (seed {play.seed})" if len(play.stories) > 1 else "")
    moments = [one for one in story.moments if start <= one.at < end]
    found: list[tuple[float, int, str | None, str, list[str]]] = [
        (one.at, 0, one.router, one.words, list(_causes(story, one))) for one in moments
    ]
    for router in play.routers:
        found += [(one.since, 1, router, str(one.serving), []) for one in story.between(router, start, end)]
        for outage in story.outages(router, start, end):
            found.append((outage.start, 2, router, "outage begins", []))
            if outage.end is not None:
                ends = f"outage ends after {milliseconds(outage.length(story.end))}"
                found.append((outage.end, 2, router, ends, []))
    for at, _, name, words, causes in sorted(found, key=lambda one: one[:2]):
        title = f"{name}: " if name is not None and several else ""
        yield from folded(f"{title}{words}", f"{(at - start) * 1000:+10.1f} ms  ", " " * MARGIN)
        for cause in causes:
            yield from folded(cause, " " * MARGIN, " " * (MARGIN + 2))


def _causes(story: Story, moment: Moment) -> Iterator[str]:
    """What it comes from, as ``exavrrp why`` would say there and then."""
    if moment.noted is None:
        return
    name, place = moment.noted
    journal = story.journals[name]
    entry = journal[place]
    if entry.event in BEGINNINGS and (ended := predecessor(journal, place)) is not None:
        yield f"Before: {ended}."
    if entry.cause is not None:
        yield f"Verdict: {verdict(entry.cause, entry)}"


def _serving(play: Play) -> Iterator[str]:
    rows = [
        (router if not number else "", f"{span.since:.3f} s", str(span.serving))
        for router in play.routers
        for number, span in enumerate(play.stories[0].spans[router])
    ]
    yield from table(("ROUTER", "FROM", "WHO SERVES"), rows, ())


def _outages(play: Play) -> Iterator[str]:
    rows = []
    for start, end in play.sections:
        for router in play.routers:
            lengths = sorted(play.outages(router, start, end))
            told = milliseconds(median(lengths)) if lengths[-1] else "none"
            span = f"{lengths[0] * 1000:.1f}-{lengths[-1] * 1000:.1f}" if len(lengths) > 1 and lengths[-1] else ""
            rows.append((shown(start), router, told, span, "; or ".join(play.servers(router, end))))
    yield from table(("EVENT", "ROUTER", "OUTAGE", "LEAST-MOST", "IN THE END"), rows, ())


def _verdicts(play: Play) -> Iterator[str]:
    for verdicts in play.verdicts():
        wrong = [(seed, one) for seed, one in enumerate(verdicts, play.seed) if not one.met]
        if not wrong:
            yield from folded(f"met: {verdicts[0].expectation}")
        for seed, one in wrong[:1]:
            others = f", {len(wrong)} of {len(verdicts)} runs" if len(verdicts) > 1 else ""
            yield from folded(f"NOT MET: {one.expectation}: {one.found} (seed {seed}{others})")


# JSON


def document(play: Play) -> dict[str, Any]:
    """For programs: times are seconds after the nodes were started, lengths milliseconds."""
    return {
        "met": play.met,
        "surroundings": play.surroundings,
        "expectations": [
            {
                "expectation": str(each[0].expectation),
                "met": all(one.met for one in each),
                "found": [one.found for one in each],
            }
            for each in play.verdicts()
        ],
        "outages": [
            {
                "at": start,
                "event": play.happens(start),
                "router": router,
                "outage_ms": [round(one * 1000, 3) for one in play.outages(router, start, end)],
                "in_the_end": play.servers(router, end),
            }
            for start, end in play.sections
            for router in play.routers
        ],
        "runs": [_run(play.seed + number, story) for number, story in enumerate(play.stories)],
    }


def _run(seed: int, story: Story) -> dict[str, Any]:
    return {
        "seed": seed,
        "serving": {
            router: [
                {
                    "since": round(span.since, 6),
                    "nodes": list(span.serving.nodes),
                    "astray": list(span.serving.astray),
                    "wayless": span.serving.wayless,
                }
                for span in spans
            ]
            for router, spans in story.spans.items()
        },
        "timeline": [
            {"at": round(one.at, 6), "router": one.router, "what": one.words, "causes": list(_causes(story, one))}
            for one in story.moments
        ],
    }
