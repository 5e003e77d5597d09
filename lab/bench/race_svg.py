"""The results of `lab/bench/run race` as a picture: outage and lost probes of each event, where the time goes, and CPU
and memory over the number of virtual routers if the document has them.

Pure: a document (race_report.py) in, SVG text out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from exavrrp.cli.canvas import FAINT, GRID, INK, RIGHT, Canvas
from lab.bench.events import EVENTS
from lab.bench.race import Result
from lab.bench.race_report import MISSING, MOMENTS, SHOWN, loads, measured_on, of, outage, results_of, rounds, spoiled

COLOURS = {
    "exavrrp": "#2f6fde",
    "keepalived+exabgp": "#e08a1e",
    "keepalived-vxlan": "#c0529b",
    "healthcheck": "#2a9d6f",
    "keepalived": "#e08a1e",
}
NAMES, BARS = 28.0, 250.0
"Where names and bars begin."
END = 880.0
"Where bars end; figures stand behind them."
ROW = 15.0
TEXT = 54.0
"What the words of an event need."
GAP = 24.0
TICKS_MS = (0, 1, 10, 100, 1000, 10_000)
MOST_MS = 20_000.0
SHADES = {"bound": 1.0, "routed": 0.6, "answered": 0.3}


def place(ms: float) -> float:
    """Logarithmic, as an outage may last for two milliseconds or for a hold time."""
    return BARS + (END - BARS) * math.log10(1 + min(ms, MOST_MS)) / math.log10(1 + MOST_MS)


def draw(given: Mapping[str, Any]) -> str:
    """The whole picture as an SVG document."""
    results, order, machine = results_of(given), given["order"], given["machine"]
    canvas = Canvas()
    canvas.text(NAMES, 40, "what users lose", 24, font_weight=700)
    canvas.text(
        NAMES,
        62,
        f"{measured_on(machine, results)} · {machine['cores']} cores, {machine['system']}, Linux {machine['kernel']}",
        12,
        FAINT,
    )
    canvas.text(
        NAMES,
        78,
        f"ExaBGP {machine['exabgp']}, keepalived {machine['keepalived']} · adverts every {order['interval'] * 1e3:g}"
        f" ms, BGP hold time {order['hold']} s · {rounds(results)}",
        12,
        FAINT,
    )
    y = legend(canvas, order["tools"], 94)
    y = outages(canvas, results, order["events"], order["tools"], y + 22)
    y = phases(canvas, results, [each for each in order["events"] if each in SHOWN], order["tools"], y + 30)
    if given["scale"]:
        y = costs(canvas, given["scale"], y + 30)
    return canvas.document(y + 20, "what users lose, with each tool")


def legend(canvas: Canvas, tools: Sequence[str], y: float) -> float:
    x = NAMES
    for tool in tools:
        canvas.rect(x, y, 12, 12, COLOURS[tool])
        canvas.text(x + 17, y + 10, tool, 11.5)
        x += 40 + 6.5 * len(tool)
    return y + 12


def outages(canvas: Canvas, results: Sequence[Result], events: Sequence[str], tools: Sequence[str], y: float) -> float:
    """A bar for the median, a line to the worst run; figures behind them."""
    canvas.text(NAMES, y, "outage: median, and a line to the worst; lost probes (median)", 13, font_weight=600)
    top = y + 10
    y = top + 8
    bottom = y + len(events) * (max(ROW * len(tools), TEXT) + 8)
    for tick in TICKS_MS:
        canvas.line(place(tick), top, place(tick), bottom, GRID)
        canvas.text(place(tick), bottom + 12, f"{tick} ms", 10, FAINT, text_anchor="middle")
    for event in events:
        canvas.text(NAMES, y + 12, event, 13, font_weight=600)
        for line, words in enumerate(folded(EVENTS[event].summary, 36)[:3]):
            canvas.text(NAMES, y + 27 + 12 * line, words, 10, FAINT)
        begin = y
        for tool in tools:
            bar(canvas, of(results, event, tool), COLOURS[tool], y)
            y += ROW
        y = max(y, begin + TEXT) + 8
        canvas.line(NAMES, y - 4, RIGHT, y - 4, GRID)
    return bottom + 14


def bar(canvas: Canvas, runs: Sequence[Result], colour: str, y: float) -> None:
    if not runs:
        canvas.text(BARS + 4, y + 10, MISSING, 11, FAINT)
        return
    middle, worst = outage(runs)
    canvas.rect(BARS, y + 1, max(place(middle) - BARS, 1.5), ROW - 4, colour)
    canvas.line(place(middle), y + ROW / 2 - 1, place(worst), y + ROW / 2 - 1, colour, stroke_width=1.5)
    least = "≥ " if any(each.late for each in runs) else ""
    lost = median(each.lost for each in runs)
    words = f"{least}{middle:.0f} ms (worst {worst:.0f}), {lost:.0f} lost" if worst else "nothing lost"
    canvas.text(END + 10, y + 10, words, 11, INK)


def phases(canvas: Canvas, results: Sequence[Result], events: Sequence[str], tools: Sequence[str], y: float) -> float:
    """When the successor had the address and the routers' routes, and gave the first answer, on the axis of outages."""
    canvas.text(NAMES, y, "until the next node serves (medians)", 13, font_weight=600)
    x = BARS + 60
    for name, words in MOMENTS.items():
        canvas.rect(x, y - 9, 10, 10, INK, fill_opacity=SHADES[name])
        canvas.text(x + 15, y, words, 11, FAINT)
        x += 40 + 6 * len(words)
    y += 12
    for event in events:
        canvas.text(NAMES, y + 12, event, 12)
        for tool in tools:
            before, figures = 0.0, list[str]()
            for name in MOMENTS:
                known = [moment for each in of(results, event, tool) if (moment := each.moments.get(name)) is not None]
                if not known:
                    continue
                moment = median(known)
                figures.append(f"{moment:.0f}")
                left, right = place(before), place(max(moment, before))
                canvas.rect(left, y + 1, max(right - left, 1.5), ROW - 5, COLOURS[tool], fill_opacity=SHADES[name])
                before = max(moment, before)
            canvas.text(END + 10, y + 10, f"{' · '.join(figures)} ms" if figures else MISSING, 11, INK)
            y += ROW
        y += 8
    return y


def costs(canvas: Canvas, scale: Mapping[str, Any], y: float) -> float:
    """Two plots side by side: CPU of an Active, and memory, over the number of virtual routers; below them what was
    measured and is no cost, with the reason.
    """
    actives = [(each, spoiled(each, scale)) for each in loads(scale) if each["role"] == "active"]
    middle = (NAMES + RIGHT) / 2
    cpu = [(each, 100 * each["cpu"]) for each, why in actives if not why]
    memory = [(each, each["rss"]) for each, why in actives if not why]
    plot(canvas, "CPU of an Active, percent of a core", cpu, (NAMES + 40, middle - 40), y)
    y = plot(canvas, "memory of an Active, MiB", memory, (middle + 40, RIGHT - 40), y)
    for each, why in actives:
        if why:
            y += 14
            canvas.text(NAMES, y, f"not shown: {each['routers']} × {each['agent']}: {why}", 11, INK)
    return y


def plot(
    canvas: Canvas,
    title: str,
    values: Sequence[tuple[Mapping[str, Any], float]],
    span: tuple[float, float],
    y: float,
) -> float:
    """A line for each agent over the number of virtual routers."""
    height, (left, right) = GAP * 7, span
    most = max((value for _, value in values), default=1.0) or 1.0
    routers = max((each["routers"] for each, _ in values), default=1)
    across: Callable[[float], float] = lambda count: left + (right - left) * count / routers  # noqa: E731
    canvas.text(left, y, title, 13, font_weight=600)
    bottom = y + 14 + height
    canvas.line(left, bottom, right, bottom, FAINT)
    for count in sorted({each["routers"] for each, _ in values}):
        canvas.text(across(count), bottom + 14, str(count), 10, FAINT, text_anchor="middle")
    for agent in dict.fromkeys(each["agent"] for each, _ in values):
        points = [(across(each["routers"]), bottom - height * value / most, value) for each, value in values]
        points = [point for point, (each, _) in zip(points, values, strict=True) if each["agent"] == agent]
        colour = COLOURS.get(agent, INK)
        for (x1, y1, _), (x2, y2, _) in pairwise(points):
            canvas.line(x1, y1, x2, y2, colour, stroke_width=2)
        x, top, value = points[-1]
        canvas.text(x, top - 5, f"{agent} {value:.1f}", 11, colour, text_anchor="end")
    canvas.text((left + right) / 2, bottom + 28, "virtual routers", 10, FAINT, text_anchor="middle")
    return bottom + 30


def folded(words: str, width: int) -> list[str]:
    """In lines of so many letters at most."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
