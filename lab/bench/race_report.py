"""The results of `lab/bench/run race` as a document for programs and as Markdown for people.

Pure: everything follows from the document, so that a report can be written again from one that was kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from textwrap import fill
from typing import Any

from lab.bench.events import EVENTS
from lab.bench.race import Heat, Order, Result
from lab.bench.tools import TOOLS

MISSING = "–"
MOMENTS = {"bound": "address bound", "routed": "both routers lead to it", "answered": "first answer"}
SHOWN = ("kill-node", "mute-node", "kill-daemons", "planned-move", "fail-check")
"Events in which node2 takes over, so that its moments say where the time goes."


def document(
    order: Order, machine: Mapping[str, str], results: Sequence[Result], scale: Mapping[str, Any] | None
) -> dict[str, Any]:
    """`scale`: the document of `lab/bench/run scale --json`."""
    return {
        "version": 2,
        "machine": dict(machine),
        "order": asdict(order),
        "results": [asdict(each) for each in results],
        "scale": scale,
    }


def results_of(given: Mapping[str, Any]) -> list[Result]:
    """The results in a document."""
    return [Result(**(each | {"heat": Heat(**each["heat"])})) for each in given["results"]]


def of(results: Sequence[Result], event: str, tool: str) -> list[Result]:
    return [each for each in results if (each.heat.event, each.heat.tool) == (event, tool)]


def outage(runs: Sequence[Result]) -> tuple[float, float]:
    """Median and worst, ms."""
    return median(each.outage_ms for each in runs), max(each.outage_ms for each in runs)


def winners(results: Sequence[Result], event: str, tools: Sequence[str]) -> list[str]:
    """The tool with the least median outage, and those that these runs do not tell from it: their median is not above
    its worst run.
    """
    raced = {tool: outage(runs) for tool in tools if (runs := of(results, event, tool))}
    best = min(raced.values(), default=(0.0, 0.0))
    return [tool for tool, (middle, _) in raced.items() if middle <= best[1]]


def cell(runs: Sequence[Result], *, best: bool) -> str:
    """Median (worst) outage, median of lost probes."""
    if not runs:
        return MISSING
    middle, worst = outage(runs)
    least = "≥ " if any(each.late for each in runs) else ""
    words = f"{least}{middle:.0f} ms ({worst:.0f}), {median(each.lost for each in runs):.0f} lost"
    if worst == 0:
        words = "0 lost"
    return f"**{words}**" if best else words


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [row(heading), "|" + "---|" * len(heading), *map(row, rows), ""]


def measured_on(machine: Mapping[str, str], results: Sequence[Result]) -> str:
    """When, how busy the machine was, and what was measured: "2026-01-02, load average 0.10 before and at most 1.20
    meanwhile, commit 0123abc". Documents of version 1 have only the date.
    """
    loads = [each.load for each in results if each.load is not None]
    meanwhile = f" and at most {max(loads):.2f} meanwhile" if loads else ""
    busy = f"{machine['load']} before{meanwhile}" if "load" in machine else "not recorded"
    return f"{machine['date']}, load average {busy}, commit {machine.get('commit', 'not recorded')}"


def wrapped(words: str, indent: str = "") -> str:
    return fill(words, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def rounds(results: Sequence[Result]) -> str:
    """How many, in words."""
    count = max((each.heat.round for each in results), default=0)
    return f"{count} round{'' if count == 1 else 's'}"


def markdown(given: Mapping[str, Any]) -> str:
    results, order, machine = results_of(given), given["order"], given["machine"]
    tools = order["tools"]
    lines = [
        wrapped(
            f"Measured on {measured_on(machine, results)}: {machine['cores']} cores, {machine['system']}, Linux"
            f" {machine['kernel']}; ExaBGP {machine['exabgp']}, keepalived {machine['keepalived']}, BIRD on the"
            f" routers; IPv6, adverts every {order['interval'] * 1e3:g} ms, BGP hold time {order['hold']} s;"
            f" {rounds(results)} in which all tools take turns, the event each time at another position between two"
            " adverts (`fail-check`: two checks)."
            " Median outage (worst), median of the probes lost of 500 a second. **Bold**: the least median, and what"
            " these runs do not tell from it (its median is not above the best one's worst run)."
        ),
        "",
    ]
    rows = []
    for event in order["events"]:
        best = winners(results, event, tools)
        cells = [cell(of(results, event, tool), best=tool in best) for tool in tools]
        rows.append([f"`{event}`: {EVENTS[event].summary}", *cells])
    lines += table(["", *tools], rows)
    lines += moments(results, [each for each in order["events"] if each in SHOWN], tools)
    if given["scale"]:
        lines += costs(given["scale"])
    lines += ["How each is set up:", ""]
    lines += [wrapped(f"- **{tool}**: {'; '.join(TOOLS[tool].settings)}", "  ") for tool in tools]
    return "\n".join(lines) + "\n"


def moments(results: Sequence[Result], events: Sequence[str], tools: Sequence[str]) -> list[str]:
    """The medians of when node2 took over, as seen from outside."""
    rows = [
        [f"`{event}`", tool, *(when(runs, name) for name in MOMENTS)]
        for event in events
        for tool in tools
        if (runs := of(results, event, tool))
    ]
    if not rows:
        return []
    words = f"Milliseconds from the event to what node2 does, medians ({MISSING}: done before, or not at all):"
    return [wrapped(words), "", *table(["", "", *MOMENTS.values()], rows)]


def when(runs: Sequence[Result], name: str) -> str:
    known = [moment for each in runs if (moment := each.moments.get(name)) is not None]
    return f"{median(known):.0f}" if len(known) * 2 > len(runs) else MISSING


def costs(scale: Mapping[str, Any]) -> list[str]:
    """CPU and memory over the number of virtual routers; in place of them, why what was measured is no cost."""
    rows = [
        [str(each["routers"]), each["agent"], each["role"], *(figures(each) if not why else [MISSING] * 3), why]
        for each in loads(scale)
        for why in (spoiled(each, scale),)
    ]
    words = (
        f"What virtual routers cost (`lab/bench/run scale`; adverts every {scale['interval'] * 1e3:g} ms, percent of a"
        " core, the agent alone without ExaBGP; exavrrp sends two copies to each peer, keepalived one; late: 99.9 % of"
        " an Active's adverts came no later than so much after their time):"
    )
    return [wrapped(words), "", *table(["routers", "", "role", "CPU", "memory", "late", "no cost, because"], rows)]


def loads(scale: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measurements of CPU and memory in a document of `scale`."""
    return [each for each in scale["results"] if each.get("role") in ("active", "backup")]


def spoiled(load: Mapping[str, Any], scale: Mapping[str, Any]) -> str:
    """Why a measurement in a document of `scale` says nothing of what the agent costs, in words; empty: it does."""
    if load["failure"]:
        return f"it did not come up: {load['failure'].splitlines()[0]}"
    average, cores = load["load"], scale.get("cores")
    words = []
    if load["unneeded"]:
        words.append(f"unneeded transitions: {load['unneeded']}")
    if average is None or cores is None or average > cores:
        known = ["not recorded" if each is None else f"{each:g}" for each in (average, cores)]
        words.append(f"load average {known[0]}, cores {known[1]}")
    return ", ".join(words)


def figures(load: Mapping[str, Any]) -> list[str]:
    """CPU, memory, lateness."""
    late = load["late_999"]
    return [
        f"{100 * load['cpu']:.1f} %",
        f"{load['rss']:.0f} MiB",
        MISSING if late is None else f"{late:.1f} ms",
    ]
