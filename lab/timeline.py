"""From facts to a timeline: what the client noticed, and the phases that caused it.

Pure. All times in the result are milliseconds relative to the event (the moment the lab did what the scenario says),
except `event` itself.

**Outage.** A probe is lost if no answer to it ever came. Probes take turns among N source ports, so N probes in a row
try every flow once. Lost probes belong to one outage as long as fewer than N answered ones lie between them: an
outage is over when *every* flow has been answered again, not when the first lucky one is (with half of the flows
black-holed, the gap between two answered probes would never be longer than 4 ms). The length of an outage runs from
the sending of the last answered probe before it to the sending of the first answered one after it: the time in which
a user's request would have failed. `outage_ms` is the longest one after the event; 0 if nothing was lost. With all
flows dead it is the longest gap between two consecutive answered probes. Its resolution is the time between probes, 2
ms. An outage that has not ended when the probing stops runs to the last probe.

**Phases**, each the first such moment: `last_advert` (the old Active's last advert arrives at a ToR), `elected`
(another node's agent logs its transition to Active), `bound`, `announced` (ExaBGP has answered), `in_kernel_first`
and `in_kernel` (the route to the new Active, and to nobody else, is in the kernel table of the first, of both routers
where the paths to the servers diverge: the rack's ToRs, the racks' spines), `client_route` (the client's kernel table
leads over both of them again), `first_answer` (the new Active's first answer to a probe sent after the event arrives at
the client). None: it did not happen.

**Moves.** Another node answers than before. Routers do not change over at the same moment, and until the last one has,
probes are answered by one node or the other, depending on their path. Changes of the answering node that follow each
other within SETTLED seconds are therefore one move, from the node that answered before the first of them to the one
that answered after the last; its length is how long nodes took turns. A move from a node to itself is a flap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from lab.addressing import CLIENT, FAMILIES, RACK, SERVERS, Site
from lab.facts import Advert, AgentEvent, Facts, Probe, RouteChange, take_change

FLOWS = 16
"Source ports of the prober (instruments/prober.py)."
SETTLED = 0.5
"Seconds: a change of the answering node so long after another one is a new move."
LEAD = 0.5
"Seconds before the event that count: enough to show that nothing was lost before."

PHASES = (
    "last_advert",
    "elected",
    "bound",
    "announced",
    "in_kernel_first",
    "in_kernel",
    "client_route",
    "first_answer",
)


@dataclass(frozen=True, slots=True)
class Outage:
    start: float
    "ms after the event: the last answered probe before it was sent"
    end: float
    lost: int

    @property
    def length(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Move:
    """The answering node changed."""

    start: float
    "ms after the event: the first probe answered by another node than the one before it was sent"
    end: float
    "the last such one"
    before: str
    after: str

    @property
    def length(self) -> float:
        return self.end - self.start

    def document(self) -> dict[str, Any]:
        return {
            "start_ms": round(self.start, 3),
            "end_ms": round(self.end, 3),
            "before": self.before,
            "after": self.after,
        }


@dataclass(frozen=True, slots=True)
class Transition:
    time: float
    "seconds since the epoch"
    node: str
    router: str
    before: str
    after: str
    reason: str

    def document(self) -> dict[str, Any]:
        return {
            "time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds"),
            "node": self.node,
            "router": self.router,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    event: float
    "seconds since the epoch"
    old: str
    "the Active before"
    new: str | None
    "the node that became Active afterwards"
    phases: dict[str, float | None]
    transitions: tuple[Transition, ...]
    outages: tuple[Outage, ...]
    moves: tuple[Move, ...]
    probes_sent: int
    probes_lost: int
    lost_between_routes: int
    "of these: met one of the gates or the client as it replaced a route (at most one for each replacement)"

    @property
    def outage_ms(self) -> float:
        return max((outage.length for outage in self.outages), default=0.0)

    def outage_between(self, start: float, end: float) -> float:
        """The longest outage of those that begin in this time, or shortly before it (all in ms)."""
        begun = [
            each.length for each in self.outages if start - OUTAGE_MARGIN_MS <= each.start < end - OUTAGE_MARGIN_MS
        ]
        return max(begun, default=0.0)


OUTAGE_MARGIN_MS = 10.0
"An outage begins with the last answered probe before it, which is sent some ms before what ends the answers."


def compute(facts: Facts, event: float, old: str, site: Site = RACK) -> Timeline:
    """The timeline of one run: `event` in seconds since the epoch, `old` the node that was Active before it."""
    probes = [probe for probe in facts.probes if probe.sent >= event - LEAD]
    transitions = tuple(find_transitions(facts.agents, event))
    new = next((each.node for each in transitions if each.after == "active"), None)
    lost = [probe for probe in probes if probe.answered is None]
    deciding = {machine.name for machine in (CLIENT, *site.gates)}
    return Timeline(
        event=event,
        old=old,
        new=new,
        phases=find_phases(facts, event, old, new, site),
        transitions=transitions,
        outages=tuple(find_outages(probes, event)),
        moves=tuple(find_moves(probes, event)),
        probes_sent=len(probes),
        probes_lost=len(lost),
        lost_between_routes=lost_between_routes(lost, [each for each in facts.routes if each.machine in deciding]),
    )


def find_transitions(agents: Iterable[AgentEvent], event: float) -> list[Transition]:
    return [
        Transition(
            each.time,
            each.node,
            each.field("router"),
            each.field("before"),
            each.field("after"),
            each.field("reason"),
        )
        for each in agents
        if each.event == "transition" and each.time >= event
    ]


def find_outages(probes: Sequence[Probe], event: float) -> list[Outage]:
    """See the module's docstring; `probes` in the order of sending."""
    lost = [index for index, probe in enumerate(probes) if probe.answered is None]
    groups: list[list[int]] = []
    for index in lost:
        if groups and index - groups[-1][-1] - 1 < FLOWS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return [
        Outage(
            start=(probes[max(group[0] - 1, 0)].sent - event) * 1e3,
            end=(probes[min(group[-1] + 1, len(probes) - 1)].sent - event) * 1e3,
            lost=len(group),
        )
        for group in groups
    ]


def find_moves(probes: Sequence[Probe], event: float) -> list[Move]:
    """See the module's docstring; `probes` in the order of sending."""
    answered = [(probe.sent, probe.node) for probe in probes if probe.node is not None]
    changes = [
        Move(moment, moment, before, after)
        for (_, before), (sent, after) in pairwise(answered)
        if before != after
        for moment in [(sent - event) * 1e3]
    ]
    moves: list[Move] = []
    for change in changes:
        if moves and change.start - moves[-1].end < SETTLED * 1e3:
            moves[-1] = replace(moves[-1], end=change.end, after=change.after)
        else:
            moves.append(change)
    return moves


def find_phases(facts: Facts, event: float, old: str, new: str | None, site: Site) -> dict[str, float | None]:
    """In ms after the event; all None if nobody became Active."""
    if new is None:
        return dict.fromkeys(PHASES)
    later = [each for each in facts.agents if each.node == new and each.time >= event]
    elected = first(each.time for each in later if each.event == "transition" and each.field("after") == "active")
    assert elected is not None
    in_kernel = kernel_times(facts.routes, elected, new, site)
    moments: dict[str, float | None] = {
        "last_advert": last_advert(facts.adverts, elected, old),
        "elected": elected,
        "bound": first(each.time for each in later if each.event == "address-bound"),
        "announced": first(each.time for each in later if each.event == "route-announced" and as_active(each)),
        "in_kernel_first": min(in_kernel, default=None),
        "in_kernel": max(in_kernel) if len(in_kernel) == len(site.gates) else None,
        "client_route": client_time(facts.routes, event, site),
        "first_answer": min(
            (probe.answered for probe in facts.probes if probe.sent >= event and probe.node == new and probe.answered),
            default=None,
        ),
    }
    return {name: None if time is None else round((time - event) * 1e3, 3) for name, time in moments.items()}


def as_active(announced: AgentEvent) -> bool:
    """Not as a Backup that announces, too, or as a node that leaves."""
    return announced.field("state") in ("", "active")


def first(times: Iterable[float]) -> float | None:
    return min(times, default=None)


def last_advert(adverts: Sequence[Advert], elected: float, old: str) -> float | None:
    """When the old Active's last advert before the election arrived at a ToR."""
    sources = {str(server.loopback(family)) for server in SERVERS if server.name == old for family in FAMILIES}
    return max((each.time for each in adverts if each.source in sources and each.time <= elected), default=None)


def kernel_times(routes: Sequence[RouteChange], elected: float, new: str, site: Site) -> list[float]:
    """When the kernel of each gate first led to the new Active and nobody else after its election; one entry for each
    gate where it did.
    """
    server = site.machine(new)
    found = (
        first(
            each.time
            for each in routes
            if each.machine == gate.name
            and each.time >= elected
            and not each.deleted
            and each.hops
            and set(each.hops) <= set(site.ways(gate, server))
        )
        for gate in site.gates
    )
    return [time for time in found if time is not None]


def client_time(routes: Sequence[RouteChange], event: float, site: Site) -> float | None:
    """When the client's kernel first led over both gates again after the event; None if it was not changed."""
    changes = [each for each in routes if each.machine == CLIENT.name and each.time >= event]
    return first(each.time for each in changes if not each.deleted and len(each.hops) == len(site.gates))


REROUTING_MARGIN = 0.002
"Seconds: a probe travels for less than 1 ms, and `ip monitor` stamps a change when it reads it."


REPLACING = 0.02
"""Seconds from the deletion of a route to the next route that are one replacement. FRR deletes an IPv6 route to add the
next one some 50 µs later, BIRD up to 5 ms later; a busy machine lets them wait in between."""


def replacements(routes: Iterable[RouteChange]) -> list[tuple[float, float]]:
    """Within which times a probe must have been sent to meet a router between two routes; one for each replacement."""
    return [
        (start - REROUTING_MARGIN, end + REROUTING_MARGIN)
        for start, end in table_gaps(routes)
        if end - start <= REPLACING
    ]


def lost_between_routes(lost: Sequence[Probe], routes: Sequence[RouteChange]) -> int:
    """How many losses the replacements of routes explain: one each, though BIRD's can last for two probes."""
    unused, explained = sorted(replacements(routes), key=lambda one: one[1]), 0
    for probe in lost:
        if met := [(start, end) for start, end in unused if start <= probe.sent <= end]:
            unused.remove(met[0])
            explained += 1
    return explained


def table_gaps(routes: Iterable[RouteChange]) -> list[tuple[float, float]]:
    """When a machine had no route, having had one before and getting one again; `routes` in the order of time."""
    gaps: list[tuple[float, float]] = []
    since: dict[str, float] = {}
    hops: dict[str, tuple[str, ...]] = {}
    for change in routes:
        take_change(hops, change)
        if not hops[change.machine]:
            since.setdefault(change.machine, change.time)
        elif change.machine in since:
            gaps.append((since.pop(change.machine), change.time))
    return gaps
