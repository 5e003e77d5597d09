"""The result of a chaos run, for people and for programs. Pure: a chronicle and its verdict in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from lab.chaos.causes import namings
from lab.chaos.judge import GROWN_UP, SHORTEST, Finding, Verdict, excuses, lives
from lab.chaos.records import Chapter, Chronicle, Weight
from lab.facts import AgentEvent

BEFORE, AFTER = 1.5, 1.0
"Seconds around an unexplained gap that are told."


def text(chronicle: Chronicle, verdict: Verdict) -> str:
    lines = [f"chaos: {headline(chronicle)}", ""]
    for chapter in chronicle.chapters:
        lines += _chapter_lines(chronicle, verdict, chapter)
    lines += ["", *figures(chronicle, verdict), ""]
    for finding in verdict.unexplained:
        lines += [f"around {_where(finding)}:", *around(chronicle, finding), ""]
    lines += [f"VIOLATED: {each}" for each in verdict.violations] or ["as expected"]
    return "\n".join(lines) + "\n"


def headline(chronicle: Chronicle) -> str:
    minutes = (chronicle.end - chronicle.begin) / 60
    overlapping = sum(chapter.episode.overlapping for chapter in chronicle.chapters)
    return (
        f"seed {chronicle.seed}, {chronicle.terms.router}, {minutes:.1f} minutes, {len(chronicle.chapters)} episodes,"
        f" {overlapping} of them with two faults at once"
    )


def _chapter_lines(chronicle: Chronicle, verdict: Verdict, chapter: Chapter) -> list[str]:
    took = None if chapter.settled is None else chapter.settled - chapter.healed
    converged = "not converged" if took is None else f"converged {took:.1f} s later"
    found = [f"             {_finding_words(finding)}" for finding in verdict.findings if finding.chapter is chapter]
    head = f"{chapter.start - chronicle.begin:9.2f} s  {chapter.number}. {chapter.episode.words}; {converged}"
    return [head, *found]


def _finding_words(finding: Finding) -> str:
    gaps = " + ".join(f"{gap.seconds * 1e3:.0f}{' (rerouted)' if gap.rerouted else ''}" for gap in finding.gaps)
    moved = f"{finding.gaps[0].before or 'nobody'} -> {finding.gaps[-1].after or 'nobody'}"
    words = f"{finding.service}: {gaps} ms, {moved}"
    if finding.costs:
        why = "; ".join(f"{fault}: {each.why}" for fault, each in finding.costs)
        words += f", of {finding.allowed * 1e3:.0f} ms ({why})"
    if finding.excused:
        words += f"; excused: the machine was late by {finding.machine * 1e3:.0f} ms"
    return words + (f"; UNEXPLAINED: {finding.fault}" if finding.fault else "")


def figures(chronicle: Chronicle, verdict: Verdict) -> list[str]:
    """What was measured, in all."""
    sent = sum(map(len, chronicle.streams.values()))
    gaps = [gap for finding in verdict.findings for gap in finding.gaps]
    lost = sum(gap.lost for gap in gaps)
    rerouted = sum(gap.rerouted for gap in gaps)
    longest = max((gap.seconds for gap in gaps), default=0.0)
    slowest = max((each.settled - each.healed for each in chronicle.chapters if each.settled is not None), default=0.0)
    late = [each.seconds for each in chronicle.lateness]
    named = namings(chronicle)
    lines = [
        f"{sent} probes sent, {lost} lost in {len(gaps)} gaps, the longest of {longest * 1e3:.0f} ms",
        f"{rerouted} gaps of the routers' own, while they replaced a route",
        f"{verdict.excused} gaps and transitions excused by the machine, of {excuses(chronicle)} that may be",
        f"converged within {slowest:.1f} s of the end of each episode",
        f"the canary was late {len(late)} times by 5 ms or more, at most {max(late, default=0.0) * 1e3:.0f} ms",
        f"restarts: {restarts(chronicle)}",
        f"causes: {sum(each.fits for each in named)} of {len(named)} first transitions are named by one that fits",
    ]
    measured = lives(chronicle.weights)
    if measured:
        grown = max(measured, key=lambda life: life[1].pss - life[0].pss)
        eldest = max(measured, key=lambda life: life[1].time - life[0].time)
        lines += [f"the agent that grew most: {_weight_words(*grown)}", f"that lived longest: {_weight_words(*eldest)}"]
    else:
        lines.append(f"no agent lived for {GROWN_UP + SHORTEST:.0f} s: whether they grow was not seen")
    return lines


def _weight_words(first: Weight, last: Weight) -> str:
    return (
        f"{last.node}, {last.time - first.time:.0f} s, PSS {first.pss} -> {last.pss} KiB,"
        f" RSS {first.rss} -> {last.rss} KiB, descriptors {first.descriptors} -> {last.descriptors}"
    )


def restarts(chronicle: Chronicle) -> str:
    agents = Counter(
        each.node for each in chronicle.agents if each.event == "agent-started" and each.time > chronicle.begin
    )
    exabgp = Counter(each.machine for each in chronicle.notes if each.what.endswith("started anew"))
    return f"agents {sum(agents.values())}, ExaBGP by its supervisor {sum(exabgp.values())}"


def _where(finding: Finding) -> str:
    return f"{finding.service}, episode {finding.chapter.number if finding.chapter else 'none'}"


def around(chronicle: Chronicle, finding: Finding) -> list[str]:
    """Everything that happened shortly before, during and after the gaps, with seconds since the beginning."""
    start, end = finding.gaps[0].start - BEFORE, finding.gaps[-1].end + AFTER
    moments = [each for each in _moments(chronicle, finding) if start <= each[0] <= end]
    return [f"  {time - chronicle.begin:10.3f} s  {words}" for time, words in sorted(moments)]


def _moments(chronicle: Chronicle, finding: Finding) -> Iterator[tuple[float, str]]:
    for chapter in chronicle.chapters:
        for trouble in chapter.troubles:
            yield trouble.start, f"FAULT {trouble.fault.words}"
            if trouble.end is not None:
                yield trouble.end, f"HEALED {trouble.fault.words}"
        if chapter.settled is not None:
            yield chapter.settled, f"converged (episode {chapter.number})"
    for note in chronicle.notes:
        yield note.time, f"{note.machine}: {note.what}"
    for event in chronicle.agents:
        if event.field("router") in ("", finding.service):
            yield event.time, f"{event.node} logs {_event_words(event)}"
    for change in chronicle.routes.get(finding.service, ()):
        yield change.time, f"{change.machine}: route {'deleted' if change.deleted else 'to'} {', '.join(change.hops)}"
    for late in chronicle.lateness:
        yield late.time, f"the canary is late by {late.seconds * 1e3:.0f} ms"
    for gap in finding.gaps:
        yield gap.start, f"GAP begins: {gap.before or 'nobody'} answered last"
        yield gap.end, f"GAP ends after {gap.seconds * 1e3:.0f} ms, {gap.lost} probes: {gap.after or 'nobody'} answers"


DETAILS = ("before", "after", "reason", "state", "neighbor", "check", "result", "detail")


def _event_words(event: AgentEvent) -> str:
    told = [f"{name}={event.field(name)[:100]}" for name in DETAILS if event.field(name)]
    return " ".join([event.event, *told])


def document(chronicle: Chronicle, verdict: Verdict) -> dict[str, Any]:
    """For programs."""
    return {
        "seed": chronicle.seed,
        "router": chronicle.terms.router,
        "seconds": round(chronicle.end - chronicle.begin, 1),
        "episodes": [
            {
                "number": chapter.number,
                "card": chapter.episode.card,
                "faults": [trouble.fault.words for trouble in chapter.troubles],
                "start": round(chapter.start - chronicle.begin, 3),
                "healed": round(chapter.healed - chronicle.begin, 3),
                "settled": None if chapter.settled is None else round(chapter.settled - chronicle.begin, 3),
            }
            for chapter in chronicle.chapters
        ],
        "probes_sent": sum(map(len, chronicle.streams.values())),
        "gaps": [
            {
                "service": gap.service,
                "episode": finding.chapter.number if finding.chapter else None,
                "start": round(gap.start - chronicle.begin, 3),
                "ms": round(gap.seconds * 1e3, 1),
                "lost": gap.lost,
                "before": gap.before,
                "after": gap.after,
                "rerouted": gap.rerouted,
                "excused": finding.excused,
                "fault": finding.fault,
            }
            for finding in verdict.findings
            for gap in finding.gaps
        ],
        "causes": [
            {
                "service": each.entry.router,
                "episode": each.chapter.number,
                "node": each.node,
                "verdict": each.verdict,
                "fits": each.fits,
            }
            for each in namings(chronicle)
        ],
        "violations": list(verdict.violations),
        "figures": figures(chronicle, verdict),
    }
