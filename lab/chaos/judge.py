"""Explains each gap in the answers, or does not. Pure.

**A gap** is an outage as the lab's timeline defines it: lost probes, with fewer answered ones between them than there
are flows. It belongs to the episode in which it began.

**It is explained** by the faults of its episode that concern its service: those of a router, those of a node that hears
nothing, and those of a node that answered for the service at any time of this episode. What they may cost together
(`faults.cost`) is the allowance of the service in this episode, for all of its gaps; and `RESOLUTION` for each, the
time between probes. What a killed router needs until it can pass answers on again is measured from its kernel's table.
Where two faults overlap, both concern every service.

Two excuses remain, which are reported and counted:

- *The router's own.* BIRD changes a route by deleting and adding it, and loses what comes in between, also where
  nothing failed. If a router on the way had no route for at most `timeline.REPLACING` at the moment of every lost
  probe, it was that. And where two routers change over one after the other, packets between them are sent back: a
  single probe, if routers changed their routes within `MOVING` of it; with FRR those of `Terms.circling`, if one router
  changed its route before the first of them and another one after the last.
- *The machine.* If the canary, which does nothing but wake up, was late since shortly before a gap, the allowance grows
  by so much, and a change of the Active is not reported. It may be needed for `excuses` of them at most, together: a
  machine that is always late shows nothing.

A gap outside of all episodes, one that concerns no fault, and one that is too long are failures. So is a change of the
Active on a node and for a service that nobody has touched, an episode after which not everything converges, anything
left behind, and an agent that grows.

The cause that an agent names for the first transition of a service in an episode has to fit what was done (causes.py).

Where ExaBGP refuses announcements, its agent has to name each neighbor that does not get them, and a node that reaches
none must not be Active, both within `KNOWN`. A node that hears no advert, and becomes Active beside a better one, must
not answer for longer than three intervals and the routers' time, where MEDs are compared, unless the adverts of a node
were lost within `UNSETTLED` before (docs/why/limits.md). And where no advert is lost, two nodes are Active for one
service for no longer than adverts need to end that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

from lab.addressing import FAMILIES, SERVERS
from lab.chaos.causes import namings
from lab.chaos.faults import KNOWN, Cost, Fault, Kind, cost
from lab.chaos.records import Chapter, Chronicle, Trouble, Weight
from lab.chaos.service import BY_NAME, SERVICES, Service
from lab.facts import AgentEvent, Probe
from lab.timeline import REROUTING_MARGIN, find_outages, replacements, table_gaps

RESOLUTION = 0.02
"Seconds: a gap is seen as from the last answered probe to the next one, which are 8 ms apart, twice."
MOVING = 0.1
"Seconds: two hops of 50 ms."
EARLY = 0.02
"Seconds before a fault is said to begin, from the last answered probe on."
UNSETTLED = 45.0
"Seconds: four times `stale_for`, for which silent failures count, as further ones may follow."
GROWTH = 4096
"KiB that an agent may grow in its life: first handovers, its tables of announcements and peers."
GROWN_UP = 10.0
"Seconds after its start in which an agent may grow as it likes."
SHORTEST = 20.0
"Seconds: lives shorter than this show no growth."


@dataclass(frozen=True, slots=True)
class Gap:
    """One outage of one service."""

    service: str
    start: float
    "seconds since the epoch: the last answered probe before it"
    end: float
    lost: int
    before: str | None
    "the node that answered last"
    after: str | None
    rerouted: bool
    "whether the routers caused it: each probe met one that replaced its route, or a few met two that moved"

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(slots=True)
class Finding:
    """The gaps of one service in one episode (None: outside of all), and what may have been lost."""

    service: str
    chapter: Chapter | None
    gaps: list[Gap]
    costs: list[tuple[str, Cost]] = field(default_factory=list)
    "with the words of the fault"
    machine: float = 0.0
    "seconds by which the canary was late"
    fault: str = ""
    "what is wrong; empty: explained"
    excused: bool = False
    "whether without the machine's lateness it would have been too long"

    @property
    def seconds(self) -> float:
        return sum(gap.seconds for gap in self.gaps)

    @property
    def allowed(self) -> float:
        return sum(each.seconds for _, each in self.costs)


@dataclass(frozen=True, slots=True)
class Verdict:
    findings: tuple[Finding, ...]
    violations: tuple[str, ...]
    excused: int
    "gaps and transitions for which the machine was late"

    @property
    def unexplained(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.fault)


def judge(chronicle: Chronicle) -> Verdict:
    findings = [each for name in chronicle.streams for each in _judge_service(chronicle, BY_NAME[name])]
    violations = [_words(each, chronicle.begin) for each in findings if each.fault]
    unprovoked = strays(chronicle)
    excusable = [each for each in unprovoked if _was_late(chronicle, each)]
    excused = sum(each.excused for each in findings) + len(excusable)
    if excused > excuses(chronicle):
        violations.append(
            f"{excused} gaps and transitions need the excuse that the machine was late, more than {excuses(chronicle)}"
        )
    violations += [_words_of_stray(each, chronicle) for each in unprovoked if each not in excusable]
    violations += misnamed(chronicle)
    violations += unnamed(chronicle) + usurped(chronicle) + contested(chronicle) + drawn(chronicle)
    violations += chronicle.complaints
    violations += chronicle.census
    violations += [_words_of_growth(*each) for each in lives(chronicle.weights) if _grown(*each)]
    if not chronicle.chapters:
        violations.append("nothing was done")
    violations += [f"{name}: no probe was answered" for name, stream in chronicle.streams.items() if not _alive(stream)]
    return Verdict(tuple(sorted(findings, key=lambda each: each.gaps[0].start)), tuple(violations), excused)


def excuses(chronicle: Chronicle) -> int:
    """How many gaps and transitions may be the machine's: one, and one more for each five minutes."""
    return 1 + int((chronicle.end - chronicle.begin) / 300)


def _alive(stream: Sequence[Probe]) -> bool:
    return any(stream[index].node is not None for index in range(len(stream)))


# Gaps


def find_gaps(chronicle: Chronicle, service: Service) -> list[Gap]:
    stream = chronicle.streams[service.name]
    gaps = []
    for outage in find_outages(stream, chronicle.begin):
        start, end = chronicle.begin + outage.start / 1e3, chronicle.begin + outage.end / 1e3
        inside = stream.between(start, end)
        lost = [probe for probe in inside if probe.node is None]
        before = [probe.node for probe in stream.between(start - 1, start + RESOLUTION / 100) if probe.node]
        after = [probe.node for probe in stream.between(end, end + 1) if probe.node]
        gaps.append(
            Gap(
                service.name,
                start,
                end,
                len(lost),
                before[-1] if before else None,
                after[0] if after else None,
                _rerouted(chronicle, service, lost),
            )
        )
    return gaps


def _rerouted(chronicle: Chronicle, service: Service, lost: Sequence[Probe]) -> bool:
    short = replacements(chronicle.routes.get(service.name, ()))
    if all(any(start <= probe.sent <= end for start, end in short) for probe in lost):
        return True
    first, last = lost[0].sent, lost[-1].sent
    near = [each for each in chronicle.routes.get(service.name, ()) if first - MOVING <= each.time <= last + MOVING]
    if len(lost) == 1:
        return bool(near)
    before = {each.machine for each in near if each.time <= first + REROUTING_MARGIN}
    after = {each.machine for each in near if each.time >= last - REROUTING_MARGIN}
    return last - first <= chronicle.terms.circling and bool(before) and bool(after) and len(before | after) > 1


def _chapter_of(chronicle: Chronicle, gap: Gap) -> int:
    """The number of the episode in which it began, shortly before it included; 0: outside of all."""
    for chapter in reversed(chronicle.chapters):
        if chapter.start - EARLY <= gap.start:
            over = chapter.settled is not None and gap.start > chapter.settled
            return 0 if over else chapter.number
    return 0


def _judge_service(chronicle: Chronicle, service: Service) -> list[Finding]:
    gaps = find_gaps(chronicle, service)
    findings = []
    chapters = {chapter.number: chapter for chapter in chronicle.chapters}
    for number, group in groupby(gaps, key=lambda gap: _chapter_of(chronicle, gap)):
        finding = Finding(service.name, chapters.get(number), list(group))
        _explain(chronicle, service, finding)
        findings.append(finding)
    return findings


def _explain(chronicle: Chronicle, service: Service, finding: Finding) -> None:
    gaps = [gap for gap in finding.gaps if not gap.rerouted]
    if finding.chapter is not None:
        finding.costs = costs(chronicle, service, finding.chapter)
    if not gaps:
        return  # the routers' own
    patience = chronicle.terms.last_takeover
    finding.machine = sum(lateness(chronicle, gap.start - patience, gap.end) for gap in gaps)
    lost = sum(gap.seconds - RESOLUTION for gap in gaps)
    if finding.chapter is None:
        finding.fault = "nothing was going on"
    elif not finding.costs and not finding.machine:
        finding.fault = "no fault concerns this service"
    elif lost > finding.allowed + finding.machine:
        finding.fault = "longer than all of this may cost"
    elif lost > finding.allowed or not finding.costs:
        finding.excused = True


def costs(chronicle: Chronicle, service: Service, chapter: Chapter) -> list[tuple[str, Cost]]:
    """What the faults of an episode may have cost a service, each with its words."""
    answered = _who_answered(chronicle, service, chapter)
    overlapping = chapter.episode.overlapping
    concerning = [each for each in chapter.troubles if overlapping or concerns(each.fault, answered)]
    found = [
        (each.fault.words, cost(_as_it_was(each), service, chronicle.terms, overlapping=overlapping))
        for each in concerning
    ]
    for trouble in concerning:
        if trouble.fault.kind is Kind.KILL_ROUTER:
            speechless = _speechless(chronicle, service, trouble, chapter)
            found.append((trouble.fault.words, Cost(speechless, "it had no route to the client (measured)")))
    found = [each for each in found if each[1].seconds > 0]
    if overlapping and found:
        seconds = chronicle.terms.last_takeover
        found.append(("overlapping", Cost(seconds, "the second one may hit who is taking over")))
    return found


def _as_it_was(trouble: Trouble) -> Fault:
    """The fault; a black hole for as long as it was there: on a busy machine for longer than it should have been."""
    fault = trouble.fault
    if fault.kind is Kind.BLACK_HOLE and trouble.end is not None:
        return replace(fault, lasts=max(fault.lasts, trouble.end - trouble.start))
    return fault


def _speechless(chronicle: Chronicle, service: Service, trouble: Trouble, chapter: Chapter) -> float:
    """How long a router had no route to the client, after its BGP daemon was killed.

    The servers' routes are static: half of their answers go there all the same.
    """
    changes = [each for each in chronicle.ways_back.get(service.family, ()) if each.machine == trouble.fault.machine]
    over = chronicle.end if chapter.settled is None else chapter.settled
    return sum(end - start for start, end in table_gaps(changes) if trouble.start <= start <= over)


def _who_answered(chronicle: Chronicle, service: Service, chapter: Chapter) -> set[str]:
    end = chronicle.end if chapter.settled is None else chapter.settled
    probes = chronicle.streams[service.name].between(chapter.start - 1, end)
    return {probe.node for probe in probes if probe.node is not None}


def concerns(fault: Fault, answered: set[str]) -> bool:
    """Whether a fault can cost a service anything that was answered by these nodes during the episode."""
    is_router = fault.machine not in {server.name for server in SERVERS}
    return is_router or fault.deafens or fault.machine in answered


def lateness(chronicle: Chronicle, start: float, end: float) -> float:
    """Seconds by which the canary was late in this time, all together."""
    total = 0.0
    for late in chronicle.lateness:
        total += max(0.0, min(late.time + late.seconds, end) - max(late.time, start))
    return total


# Changes of the Active that nobody has caused


def strays(chronicle: Chronicle) -> list[AgentEvent]:
    """Transitions to Active on a node without a fault, for a service that does not concern the struck node.

    Only where faults do not overlap.
    """
    found = []
    for event in chronicle.agents:
        if event.event != "transition" or event.field("after") != "active" or event.time < chronicle.begin:
            continue
        chapter = next((each for each in reversed(chronicle.chapters) if each.start <= event.time), None)
        if chapter is not None and (chapter.settled is None or event.time <= chapter.settled):
            (first, *others) = chapter.episode.faults
            answered = _who_answered(chronicle, BY_NAME[event.field("router")], chapter)
            if others or event.node == first.machine or first.machine in answered:
                continue
        found.append(event)
    return found


def _was_late(chronicle: Chronicle, event: AgentEvent) -> bool:
    """Whether the machine was, shortly before."""
    return lateness(chronicle, event.time - 2 * chronicle.terms.last_takeover, event.time) > 0


def _words_of_stray(event: AgentEvent, chronicle: Chronicle) -> str:
    when = event.time - chronicle.begin
    return (
        f"{when:.3f} s: {event.node} became Active for {event.field('router')} ({event.field('reason')}), for no reason"
    )


# Announcements that are refused, and who is Active


def unnamed(chronicle: Chronicle) -> list[str]:
    """Agents that did not name in time every neighbor that gets no announcements, in words."""
    found = []
    for chapter in chronicle.chapters:
        for trouble in chapter.troubles:
            fault, known = trouble.fault, _known(chronicle, trouble)
            if fault.kind is not Kind.UNLIST or trouble.start + fault.lasts < known:
                continue
            named = {
                (each.field("neighbor"), each.field("local"))
                for each in chronicle.agents
                if (each.node, each.event) == (fault.machine, "neighbor-unlisted")
                and trouble.start <= each.time <= known
            }
            if len(named) != len(fault.uplinks) * len(FAMILIES):
                names = ", ".join(neighbor for neighbor, _ in sorted(named)) or "nobody"
                found.append(f"episode {chapter.number}: {fault.machine} names {names} of those that are not told")
    return found


def usurped(chronicle: Chronicle) -> list[str]:
    """Nodes that were Active although their ExaBGP refused everything, and they had to know it, in words."""
    found = []
    for service in SERVICES:
        held = active_periods(chronicle, service)
        for trouble in (each for chapter in chronicle.chapters for each in chapter.troubles if each.fault.refuses):
            known, over = _known(chronicle, trouble), chronicle.end if trouble.end is None else trouble.end
            for node, since, until in held:
                start, end = max(since, known), min(until, over)
                if node == trouble.fault.machine and start < end:
                    found.append(
                        f"{start - chronicle.begin:.3f} s: {node} is Active for {service.name},"
                        f" and its ExaBGP has refused everything since {trouble.start - chronicle.begin:.3f} s"
                    )
    return found


def contested(chronicle: Chronicle) -> list[str]:
    """Where two nodes were Active for one service for too long, although every advert arrived, in words."""
    found = []
    for service in SERVICES:
        for (one, begun, ended), (other, since, until) in combinations(active_periods(chronicle, service), 2):
            start, end = max(begun, since), min(ended, until)
            chapter = next((each for each in reversed(chronicle.chapters) if each.start <= start), None)
            if one == other or chapter is None or not HARMLESS.issuperset(each.kind for each in chapter.episode.faults):
                continue
            allowed = 2 * chronicle.terms.interval
            if end - start > allowed + lateness(chronicle, start - allowed, end):
                found.append(
                    f"{start - chronicle.begin:.3f} s: {one} and {other} are Active for {service.name},"
                    f" for {(end - start) * 1e3:.0f} ms"
                )
    return found


def drawn(chronicle: Chronicle) -> list[str]:
    """Nodes that heard no advert, and had the traffic of a better Active for too long, in words."""
    found = []
    alone = [each.troubles[0] for each in chronicle.chapters if each.troubles and not each.episode.overlapping]
    hushed = [one for each in chronicle.chapters for one in each.troubles if one.fault.hushes]
    for service in (one for one in SERVICES if "med" in one.takeover):
        held = active_periods(chronicle, service)
        for trouble in (each for each in alone if each.fault.hides and each.fault.machine != service.home):
            if any(one.start < trouble.start < one.start + one.fault.lasts + UNSETTLED for one in hushed):
                continue
            over = chronicle.end if trouble.end is None else trouble.end
            for node, since, until in held:
                if node != trouble.fault.machine or not trouble.start <= since < over:
                    continue
                end, allowed = min(until, over), 3 * chronicle.terms.interval + chronicle.terms.reroute
                after = since + allowed + lateness(chronicle, since - allowed, end)
                late = [probe for probe in chronicle.streams[service.name].between(after, end) if probe.node == node]
                if late:
                    found.append(
                        f"{since - chronicle.begin:.3f} s: {node} is Active for {service.name}, hears no advert, and"
                        f" answers {late[-1].sent - since:.2f} s later, more than {allowed:.2f} s"
                    )
    return found


HARMLESS = frozenset({Kind.RELOAD, Kind.FAILED_RELOAD, Kind.UNLIST, Kind.TAKE_ADDRESS, Kind.DRAIN, Kind.UNFIT})
"Faults that stop no agent and lose no advert."


def active_periods(chronicle: Chronicle, service: Service) -> list[tuple[str, float, float]]:
    """Each time as Active for a service, by the agents' logs: node, beginning, end (seconds since the epoch). An agent
    that starts is not Active yet.
    """
    found = []
    begun: dict[str, float] = {}
    for event in chronicle.agents:
        becomes = event.event == "transition" and event.field("router") == service.name
        if becomes and event.field("after") == "active":
            begun.setdefault(event.node, event.time)
        elif (becomes or event.event in ("agent-started", "agent-stopped")) and event.node in begun:
            found.append((event.node, begun.pop(event.node), event.time))
    return found + [(node, since, chronicle.end) for node, since in begun.items()]


def _known(chronicle: Chronicle, trouble: Trouble) -> float:
    """When an agent has to know that neighbors do not list it (any more)."""
    return trouble.start + KNOWN + lateness(chronicle, trouble.start, trouble.start + KNOWN)


def misnamed(chronicle: Chronicle) -> list[str]:
    """The causes that do not fit what was done, in words; but for those of a machine that was late."""
    return [
        f"{each.time - chronicle.begin:.3f} s, episode {each.chapter.number}: {each.node} names"
        f" {each.verdict or 'nothing'} for {each.entry.router}, which does not fit {each.chapter.episode.words}"
        for each in namings(chronicle)
        if not each.fits and not lateness(chronicle, each.time - chronicle.terms.last_takeover, each.time)
    ]


# Memory


def lives(weights: Sequence[Weight]) -> list[tuple[Weight, Weight]]:
    """The first and the last weight of each agent that lived long enough, the first one taken when it had grown up."""
    found = []
    ordered = sorted(weights, key=lambda each: (each.node, each.process, each.time))
    for _, group in groupby(ordered, key=lambda each: (each.node, each.process)):
        life = list(group)
        grown = [each for each in life if each.time >= life[0].time + GROWN_UP]
        if grown and grown[-1].time - grown[0].time >= SHORTEST:
            found.append((grown[0], grown[-1]))
    return found


def _grown(first: Weight, last: Weight) -> bool:
    return last.pss - first.pss > GROWTH


def _words_of_growth(first: Weight, last: Weight) -> str:
    return (
        f"the agent {last.process} of {last.node} has grown from {first.pss} to {last.pss} KiB"
        f" in {last.time - first.time:.0f} s, more than {GROWTH} KiB"
    )


def _words(finding: Finding, begin: float) -> str:
    gaps = ", ".join(
        f"{gap.seconds * 1e3:.0f} ms at {gap.start - begin:.3f} s ({gap.before or 'nobody'} -> {gap.after or 'nobody'})"
        for gap in finding.gaps
    )
    where = "outside of all episodes" if finding.chapter is None else f"episode {finding.chapter.number}"
    allowed = f"; allowed: {finding.allowed * 1e3:.0f} ms" if finding.costs else ""
    late = f", the machine's {finding.machine * 1e3:.0f} ms" if finding.machine else ""
    return f"{finding.service}, {where}: no answer for {gaps}: {finding.fault}{allowed}{late}"
