"""What pictures of a timeline are drawn with: shapes as SVG text, and an axis of time; for ``why --svg`` and the lab.

Written by hand, no library: the same shapes are the same text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

WIDTH = 1180
LEFT, RIGHT = 118, 1150
"""Where the axis begins and ends; names of lanes stand left of it."""
LOST, INK, FAINT, GRID, OFF = "#d62839", "#1d2733", "#66727f", "#e3e7eb", "#c9d0d6"
FONT = "ui-sans-serif, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
HALO = {"stroke": "#ffffff", "stroke_width": 4, "paint_order": "stroke"}
"""Keeps words readable that stand on a line."""
SERVER_LANE = 52.0
FLAG_LETTER = 5.2
"""About the width of a letter in a flag."""

STEPS = [base * scale for scale in (0.1, 1, 10, 100, 1000, 10_000, 100_000) for base in (1.0, 2.0, 5.0)]
"""Distances of ticks, in ms."""


@dataclass(slots=True)
class Canvas:
    """The shapes so far."""

    parts: list[str] = field(default_factory=list)

    def add(self, element: str, content: str | None, attributes: dict[str, object]) -> None:
        """Any element; names of attributes have ``_`` for ``-``."""
        written = "".join(f" {name.replace('_', '-')}={quoteattr(str(value))}" for name, value in attributes.items())
        self.parts.append(f"<{element}{written}/>" if content is None else f"<{element}{written}>{content}</{element}>")

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **more: object) -> None:
        """A box."""
        place = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{max(width, 0):.2f}", "height": f"{height:.2f}"}
        self.add("rect", None, {**place, "fill": fill, **more})

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str, **more: object) -> None:
        """A line."""
        place = {"x1": f"{x1:.2f}", "y1": f"{y1:.2f}", "x2": f"{x2:.2f}", "y2": f"{y2:.2f}"}
        self.add("line", None, {**place, "stroke": stroke, **more})

    def text(self, x: float, y: float, words: str, size: float = 12, fill: str = INK, **more: object) -> None:
        """Words; ``y`` is their base line."""
        self.add("text", escape(words), {"x": f"{x:.2f}", "y": f"{y:.2f}", "font_size": size, "fill": fill, **more})

    def document(self, height: float, title: str) -> str:
        """All of it as an SVG document, on white."""
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

    def lane(self, y: float, name: str, note: str, height: float) -> float:
        """Names a lane and draws the line below it; returns where the next one begins."""
        self.line(28, y + height, RIGHT, y + height, GRID)
        self.text(28, y + height / 2 - 1, name, 13, font_weight=600)
        self.text(28, y + height / 2 + 12, note, 10, FAINT)
        return y + height

    def standing(
        self, span: tuple[float, float], y: float, state: str, marks: Sequence[tuple[bool, str]], colour: str
    ) -> None:
        """A bar for the state of a node from one place to another, and a thin one for each mark that holds.

        ``state``: ``active``, ``backup``, ``initialize``, or anything else: it is off.
        """
        left, width = span[0], span[1] - span[0]
        match state:
            case "active":
                self.rect(left, y + 15, width, 16, colour)
            case "backup":
                self.rect(left, y + 15, width, 16, colour, fill_opacity=0.18)
            case "initialize":
                self.rect(left, y + 15, width, 16, "none", stroke=colour, stroke_width=0.8)
            case _:
                self.rect(left, y + 15, width, 16, "url(#off)")
        if width > 60:
            self.text(left + 6, y + 27, state.capitalize(), 10.5, "#ffffff" if state == "active" else FAINT)
        for row, (holds, word) in enumerate(marks):
            if not holds:
                continue
            self.rect(left, y + 34 + row * 7, width, 5, colour, fill_opacity=0.9 if row else 0.55)
            if width > 140:
                self.rect(span[1] - 62, y + 33.5 + row * 7, 58, 6.5, "#ffffff", fill_opacity=0.85)
                self.text(span[1] - 33, y + 39 + row * 7, word, 7, INK, text_anchor="middle")

    def flags(self, moments: Iterable[tuple[float, str]], y: float) -> None:
        """Words at places of a lane. Those that come too close to stand side by side share one text."""
        texts: list[tuple[float, str]] = []
        for x, words in sorted(moments):
            self.line(x, y + 11, x, y + 47, LOST, stroke_width=1.2)
            if texts and x < texts[-1][0] + FLAG_LETTER * len(texts[-1][1]):
                texts[-1] = (texts[-1][0], f"{texts[-1][1]}; {words}")
            else:
                texts.append((x, words))
        for x, words in texts:
            before, behind = int((x - 28) / FLAG_LETTER), int((RIGHT - x) / FLAG_LETTER)
            to_left = len(words) > behind and before > behind
            room = before if to_left else behind
            shown = words if len(words) <= room else f"{words[: max(room - 1, 0)]}…"
            anchor = {"text_anchor": "end"} if to_left else {}
            self.text(x - 4 if to_left else x + 4, y + 50, shown, 10, LOST, **anchor, **HALO)


@dataclass(frozen=True, slots=True)
class Axis:
    """Time to place: ``start`` and ``end`` in ms."""

    start: float
    end: float
    left: float = LEFT
    right: float = RIGHT

    def x(self, ms: float) -> float:
        """The place of a time, within the axis."""
        share = (min(max(ms, self.start), self.end) - self.start) / (self.end - self.start)
        return self.left + share * (self.right - self.left)

    def ticks(self, steps: Sequence[float] = STEPS) -> list[float]:
        """Round times, at most 16."""
        span = self.end - self.start
        step = next((step for step in steps if span / step <= 15), steps[-1])
        first = int(self.start // step) * step
        return [moment for n in range(40) if self.start <= (moment := first + n * step) <= self.end]
