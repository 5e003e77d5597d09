"""What was measured, for people (text) and for programs (a JSON document).

Pure: results in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from lab.addressing import RACK
from lab.facts import AgentEvent, Command, Facts, Incident
from lab.run import Order, Result
from lab.servers import ServerPlan
from lab.timeline import Move, Timeline, find_outages

ROUTER_NAMES = {"bird": "BIRD", "frr": "FRR", "gobgp": "GoBGP"}
WORDS = {
    "last_advert": "last advert of {old} reaches a router",
    "elected": "{new} elected: Backup -> Active",
    "bound": "{new} has bound the address to lo",
    "announced": "{new} has announced it (ExaBGP answered)",
    "in_kernel_first": "route to {new} in the kernel of the first router",
    "in_kernel": "route to {new} in the kernel of both routers",
    "client_route": "the client's route leads over both routers again",
    "first_answer": "first probe answered by {new}",
}


def document(order: Order, results: Sequence[Result]) -> list[dict[str, Any]]:
    """One object per run."""
    return [run_document(order, result) for result in results]


def run_document(order: Order, result: Result) -> dict[str, Any]:
    timeline = result.run.timeline
    return {
        "scenario": order.scenario.name,
        "router": order.router,
        "exabgp": order.plan.exabgp,
        "interval": order.plan.interval,
        "family": order.plan.family,
        "hold": order.plan.hold,
        "topology": result.plan.site.layout,
        "bgp_host": result.plan.site.host,
        "server_as": result.plan.site.server_as,
        "standby": "announce" if result.plan.standby else "withdraw",
        "prebind": result.plan.prebind,
        "takeover": list(result.plan.takeover),
        "seed": result.seed,
        "advert_phase": round(result.phase, 3),
        "outage_ms": round(timeline.outage_ms, 3),
        "probes_sent": timeline.probes_sent,
        "probes_lost": timeline.probes_lost,
        "lost_between_routes": timeline.lost_between_routes,
        "transitions": [each.document() for each in timeline.transitions],
        "phases_ms": timeline.phases,
        "outages": [
            {"start_ms": round(each.start, 3), "end_ms": round(each.end, 3), "lost": each.lost}
            for each in timeline.outages
        ],
        "moves": [each.document() for each in timeline.moves],
        "incidents": [
            {"ms": round((each.time - timeline.event) * 1e3, 3), "machine": each.machine, "what": each.what}
            for each in result.run.facts.incidents
        ],
        "active_at_end": list(result.run.active_at_end),
        "expectation": order.scenario.expectation(result.plan),
        "complaints": list(result.run.complaints),
        "commands": [command_document(each) for each in result.run.facts.commands],
        "local": local_document(result.run.facts, timeline),
        "rejected": {
            each.node: each.fields["rejected"] for each in result.run.facts.agents if each.fields.get("rejected")
        },
        "recordings": [each.document() for each in result.recordings],
    }


def command_document(command: Command) -> dict[str, Any]:
    """A command of exavrrp that was given."""
    return {
        "machine": command.machine,
        "command": command.words,
        "status": command.status,
        "seconds": round(command.seconds, 3),
        "said": command.said,
    }


def local_document(facts: Facts, timeline: Timeline) -> dict[str, Any] | None:
    """The result of the probes that a server itself has sent since the event; None if there were none."""
    probes = [probe for probe in facts.local if probe.sent >= timeline.event]
    if not probes:
        return None
    outages = find_outages(probes, timeline.event)
    return {
        "probes_sent": len(probes),
        "probes_lost": sum(probe.answered is None for probe in probes),
        "outage_ms": round(max((outage.length for outage in outages), default=0.0), 3),
        "answered_at_end": probes[-1].node,
    }


def violations(order: Order, results: Sequence[Result]) -> list[str]:
    """Over all runs together: a bound on a median is not violated by one slow run."""
    found = [
        f"run {number}: {complaint.splitlines()[0]}"
        for number, result in enumerate(results, 1)
        for complaint in result.run.complaints
    ]
    return found + order.scenario.judge([result.run for result in results], results[0].plan)


def text(order: Order, results: Sequence[Result]) -> str:
    plan = results[0].plan
    made_of = (
        f"{ROUTER_NAMES[order.router]}, ExaBGP {plan.exabgp}, IPv{plan.family}, an advert every"
        f" {plan.interval * 1e3:g} ms, BGP hold time {plan.hold} s{site_words(plan)}"
    )
    lines = [
        f"{order.scenario.name}: {order.scenario.summary}",
        f"  {made_of}",
        f"  expected: {order.scenario.expectation(results[0].plan)}",
    ]
    for number, result in enumerate(results, 1):
        heading = f"run {number} of {len(results)} (seed {result.seed}, event {result.phase:.0%} into the advert timer)"
        lines += [
            "",
            heading,
            *run_lines(result.run.timeline, result.run.facts),
            *(f"  {each.node} recorded {len(each.replayed)} transitions" for each in result.recordings),
        ]
    if len(results) > 1:
        lines += ["", summary(results)]
    found = violations(order, results)
    lines += ["", *(f"VIOLATED: {each}" for each in found)] if found else ["", "as expected"]
    return "\n".join(lines) + "\n"


def site_words(plan: ServerPlan) -> str:
    """How the site and its servers differ from the usual; empty if they don't."""
    words = []
    if plan.site != RACK:
        words.append(LAYOUTS[plan.site.layout])
        words.append(SERVER_AS[plan.site.server_as])
    if plan.site.host:
        words.append(f"{ROUTER_NAMES[plan.site.host]} on each server")
    if plan.standby:
        words.append("Backups announce, too")
    if plan.prebind:
        words.append("Backups bind beforehand")
    if plan.takeover:
        words.append(f"takeover by {' and '.join(WAYS[each] for each in plan.takeover)}")
    return "".join(f", {each}" for each in words)


LAYOUTS = {
    "rack": "one rack",
    "racks": "each server in a rack of its own",
    "unnumbered": "one rack with link-local addresses alone",
}
SERVER_AS = {
    "one": "one AS for all servers",
    "distinct": "an AS for each server",
    "routers": "iBGP between servers and ToRs",
}
WAYS = {"med": "MED", "prepend": "a shorter path", "local-preference": "a greater local preference"}


def run_lines(timeline: Timeline, facts: Facts) -> list[str]:
    names = {"old": timeline.old, "new": timeline.new}
    moments = [(0.0, f"{event_words(timeline, facts)}; {timeline.old} is Active")]
    moments += [((each.time - timeline.event) * 1e3, path_words(each)) for each in path_events(timeline, facts)]
    moments += [((each.time - timeline.event) * 1e3, words_of(each)) for each in later_incidents(timeline, facts)]
    moments += [(each.start, move_words(each)) for each in timeline.moves]
    moments += [
        (moment, WORDS[phase].format_map(names)) for phase, moment in timeline.phases.items() if moment is not None
    ]
    moments += [
        ((each.time - timeline.event) * 1e3, f"{each.node}: {each.before} -> {each.after} ({each.reason})")
        for each in timeline.transitions
        if (each.node, each.after) != (timeline.new, "active")
    ]
    moments += [(moment, f"{machine}: {words}") for moment, machine, words in said_moments(timeline, facts)]
    moments += [
        (moment, f"{name} answers what {timeline.old} itself sends") for moment, name in local_moments(timeline, facts)
    ]
    for outage in timeline.outages:
        moments.append((outage.start, f"outage begins: {outage.lost} probes lost until it ends"))
        moments.append((outage.end, f"outage ends after {outage.length:.1f} ms"))
    lines = [f"  {moment:+10.1f} ms  {words}" for moment, words in sorted(moments)]
    if not timeline.transitions:
        lines.append("                 no transition")
    lines.append(f"  outage {timeline.outage_ms:.1f} ms; {timeline.probes_sent} probes sent, {lost_words(timeline)}")
    return lines


def event_words(timeline: Timeline, facts: Facts) -> str:
    """What the lab did, in the words of its incidents."""
    done = [words_of(each) for each in facts.incidents if each.time == timeline.event]
    return ", ".join(done) or "the event"


def later_incidents(timeline: Timeline, facts: Facts) -> list[Incident]:
    return [each for each in facts.incidents if each.time > timeline.event]


def words_of(incident: Incident) -> str:
    return f"{incident.machine}: {incident.what}"


def move_words(move: Move) -> str:
    words = f"{move.after} answers instead of {move.before}"
    return f"{words}; until {move.length:.1f} ms later nodes take turns" if move.length else words


def said_moments(timeline: Timeline, facts: Facts) -> list[tuple[float, str, str]]:
    """Ends of commands, and the agents' log events on drains, checks and starts: ms after the event, machine, words."""
    found = [
        (each.ended, each.machine, f"exavrrp {each.words.split()[0]} ends with {each.status}")
        for each in facts.commands
    ]
    later = [each for each in facts.agents if each.time > timeline.event]
    found += [(each.time, each.node, SAID[each.event].format_map(each.fields)) for each in later if each.event in SAID]
    found += [(each.time, each.node, session_words(each)) for each in first_sessions(later)]
    found += [(each.time, each.node, rejected_words(each)) for each in later if each.fields.get("rejected")]
    return [((time - timeline.event) * 1e3, machine, words) for time, machine, words in sorted(found)]


SAID = {
    "agent-started": "the agent starts",
    "check-changed": "check {check}: {result}",
    "drain-started": "draining",
    "drain-completed": "drained",
    "drain-cancelled": "drain cancelled",
    "drain-ended": "undrained",
}
"Events of the agents' logs that the report shows, in words."


def rejected_words(counters: AgentEvent) -> str:
    """The rejected packets in an agent's counters."""
    return "rejected " + ", ".join(f"{reason} ×{count}" for reason, count in counters.fields["rejected"].items())


def session_words(up: AgentEvent) -> str:
    """The first session that an agent logs as up since the event; it may have been up before, as for a new agent."""
    return f"first BGP session logged as up: to {up.field('neighbor')} from {up.field('local')}"


def first_sessions(agents: Sequence[AgentEvent]) -> list[AgentEvent]:
    """Of each node the first log line that says a BGP session is up; `agents` in the order of time."""
    found: dict[str, AgentEvent] = {}
    for each in agents:
        if (each.event, each.field("state")) == ("session-changed", "up"):
            found.setdefault(each.node, each)
    return list(found.values())


def local_moments(timeline: Timeline, facts: Facts) -> list[tuple[float, str]]:
    """The nodes that began to answer a server's own probes, and when (ms after the event)."""
    found = []
    before = timeline.old
    for probe in facts.local:
        if probe.node and probe.node != before:
            found.append(((probe.sent - timeline.event) * 1e3, probe.node))
            before = probe.node
    return found


def path_events(timeline: Timeline, facts: Facts) -> list[AgentEvent]:
    """The agents' log events of quiet and restored paths, after the event."""
    return [each for each in facts.agents if each.event in PATH_WORDS and each.time >= timeline.event]


def path_words(event: AgentEvent) -> str:
    return f"{event.node} logs: adverts of {event.field('peer')} {PATH_WORDS[event.event]} {event.field('interface')}"


PATH_WORDS = {"path-quiet": "no longer arrive on", "path-restored": "arrive again on"}


def lost_words(timeline: Timeline) -> str:
    if not timeline.probes_lost:
        return "none lost"
    words = f"{timeline.probes_lost} lost"
    if timeline.lost_between_routes:
        words += f" ({timeline.lost_between_routes} of them while a router on their way replaced its route)"
    return words


def summary(results: Sequence[Result]) -> str:
    outages = sorted(result.run.timeline.outage_ms for result in results)
    lost = sum(result.run.timeline.probes_lost for result in results)
    return (
        f"{len(results)} runs: outage median {median(outages):.1f} ms, least {outages[0]:.1f} ms,"
        f" most {outages[-1]:.1f} ms; {lost} probes lost in all"
    )


def median_run(results: Sequence[Result]) -> Result:
    """The run in the middle by outage, which is the one to draw."""
    return sorted(results, key=lambda result: result.run.timeline.outage_ms)[(len(results) - 1) // 2]
