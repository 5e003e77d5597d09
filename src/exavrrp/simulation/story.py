"""What came of a scenario: who served each virtual router when, what was lost, and whether that is as expected. Pure.

The view is that of the routers, as a client's packets have it: where they send packets for an address, and whether the
node that gets them answers. An outage begins when packets of some flow are lost, and ends when every flow is answered
again, as in the lab.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from exavrrp.chronicle import Entry
from exavrrp.simulation.scenario import Expectation, Scenario


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the packets for a virtual router go."""

    nodes: tuple[str, ...] = ()
    """who answers them"""
    astray: tuple[str, ...] = ()
    """who gets some, and does not answer"""
    wayless: bool = False
    """whether some router knows no way"""

    @property
    def lossy(self) -> bool:
        """Whether packets of some flow are lost."""
        return self.wayless or bool(self.astray) or not self.nodes

    def __str__(self) -> str:
        """In words."""
        served = f"{_listed(self.nodes)} {'serves' if len(self.nodes) == 1 else 'serve'}" if self.nodes else ""
        some = "some packets" if self.nodes else "packets"
        lost = [f"{some} to {_listed(self.astray)} are lost"] if self.astray else []
        if self.wayless:
            lost.append("a router knows no way" if self.nodes or self.astray else "no router knows a way")
        return ", ".join(filter(None, [served, *lost])) or "nobody serves"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


@dataclass(frozen=True, slots=True)
class Span:
    """From when on packets go like this."""

    since: float
    """seconds after the nodes were started, as all times here"""
    serving: Serving


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that is worth a line."""

    at: float
    router: str | None
    """of what virtual router; None: of a node"""
    words: str
    noted: tuple[str, int] | None = None
    """a node, and the place in its journal where the cause is; None: it has none"""


@dataclass(frozen=True, slots=True)
class Outage:
    """Packets of some flow are lost."""

    start: float
    end: float | None
    """None: it has not ended"""

    def length(self, end: float) -> float:
        """Seconds, to the microsecond; one that has not ended lasts until ``end``."""
        return round((end if self.end is None else self.end) - self.start, 6)


@dataclass(slots=True)
class Story:
    """One run of a scenario."""

    end: float
    spans: dict[str, list[Span]] = field(default_factory=dict)
    """by virtual router, in their order; at least one each"""
    moments: list[Moment] = field(default_factory=list)
    journals: dict[str, list[Entry]] = field(default_factory=dict)
    """by node: transitions, and how each process began and ended; with the names of nodes for their addresses"""

    def goes_on(self, router: str, at: float, serving: Serving) -> None:
        """Packets go like this from now on; what lasts for no time is none of the spans."""
        spans = self.spans[router]
        if spans[-1].since == at:
            spans.pop()
        if not spans or spans[-1].serving != serving:
            spans.append(Span(at, serving))

    def serving(self, router: str, at: float) -> Serving:
        """How packets go just then."""
        return [one.serving for one in self.spans[router] if one.since <= at][-1]

    def between(self, router: str, start: float, end: float) -> list[Span]:
        """How packets go from ``start`` on, and each change before ``end``."""
        first = Span(start, self.serving(router, start))
        return [first, *(one for one in self.spans[router] if start < one.since < end)]

    def outages(self, router: str, start: float, end: float) -> list[Outage]:
        """Those that begin from ``start`` on and before ``end``; one that goes on at ``start`` begins then."""
        found: list[Outage] = []
        spans = [*self.between(router, start, self.end), Span(self.end, Serving())]
        began: float | None = None
        for one, following in pairwise(spans):
            if one.serving.lossy and began is None:
                began = one.since
            if began is not None and not (following.serving.lossy and following.since < self.end):
                over = following.since < self.end
                if began < end:
                    found.append(Outage(began, following.since if over else None))
                began = None
        return found

    def longest(self, router: str, start: float, end: float) -> float:
        """Seconds of the longest outage of these; 0: there is none."""
        return max((one.length(self.end) for one in self.outages(router, start, end)), default=0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expectation is met by a run."""

    expectation: Expectation
    found: str
    """what there was, in words"""
    met: bool


def sections(scenario: Scenario, end: float) -> list[tuple[float, float]]:
    """From each moment at which something happens to the next one, or to the end."""
    times = sorted({event.at for event in scenario.events})
    return list(pairwise([*times, end]))


def judged(scenario: Scenario, story: Story, members: Mapping[str, Sequence[str]]) -> Iterator[Verdict]:
    """A verdict on each expectation; ``members``: the virtual routers that a name stands for."""
    times = sorted({event.at for event in scenario.events})
    for one in scenario.expectations:
        start = times[0] if one.after is None else one.after
        end = next((time for time in times if time > start), story.end)
        found = [(router, *_judge(one, story, router, start, end)) for router in members[one.router]]
        wrong = [f"{router}: {words}" if len(found) > 1 else words for router, words, met in found if not met]
        yield Verdict(one, "; ".join(wrong or [found[0][1]]), not wrong)


def _judge(one: Expectation, story: Story, router: str, start: float, end: float) -> tuple[str, bool]:
    """What there was in words, and whether it is as expected."""
    if one.node is None:
        longest = story.longest(router, start, end)
        return (f"outage {milliseconds(longest)}" if longest else "no outage"), longest <= one.within
    wanted = Serving((one.node,))
    spans = story.between(router, start, end)
    last = next((span for span in reversed(spans) if span.serving != wanted), None)
    if last is spans[-1]:
        return f"{spans[-1].serving} in the end", False
    since = start if last is None else spans[spans.index(last) + 1].since
    took = round(since - start, 6)
    return (f"{one.node} after {milliseconds(took)}" if took else f"{one.node} all the time"), took <= one.within


def milliseconds(seconds: float) -> str:
    """Such as ``318.4 ms``."""
    return f"{seconds * 1000:.1f} ms"
