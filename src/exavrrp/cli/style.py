"""How the commands write: 80 columns, times as ages, colour on a terminal alone."""

import os
import sys
from collections.abc import Iterable, Sequence
from textwrap import wrap

import click

WIDTH = 80
"""Columns."""

STATES = {"ACTIVE": "green", "FAULT": "red", "!": "yellow"}
"""Words in colour, where there is any."""


def age(seconds: float) -> str:
    """Such as ``00:00:41`` or ``2d 03:10``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{rest:02}"


def short(seconds: float) -> str:
    """Such as ``12 ms``, ``0.4 s``, ``6 min``, ``3 h`` or ``12 d``."""
    for limit, unit, name in ((0.1, 0.001, "ms"), (10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds:.1f} s" if name == "s" and seconds < 10 else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


def milliseconds(seconds: float) -> str:
    """Such as ``322 ms``, ``1.1 ms`` where it is little, and ``3.22 s`` where it is much."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def folded(text: str, first: str = "", further: str = "  ") -> list[str]:
    """``text`` in lines of at most ``WIDTH``, behind ``first``, and from the second line on behind ``further``."""
    return wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], yielding: Sequence[tuple[int, int]]) -> list[str]:
    """The columns below their headings; one without any cell is left out.

    ``yielding``: as long as lines are longer than ``WIDTH``, these columns lose their beginnings, down to a width, one
    after the other.
    """
    lines = [headings, *rows]
    widths = [max(map(len, column)) if any(column[1:]) else 0 for column in zip(*lines, strict=True)]
    for column, least in yielding:
        spare = WIDTH - sum(widths) - 2 * (sum(map(bool, widths)) - 1)
        widths[column] = max(widths[column] + min(spare, 0), min(widths[column], least))
    return [
        "  ".join(cut(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True) if width).rstrip()
        for line in lines
    ]


def cut(text: str, width: int) -> str:
    """``text`` without its beginning, if it is too long."""
    return text if len(text) <= width else f"~{text[len(text) - width + 1 :]}"


def say(lines: Iterable[str]) -> None:
    """Print the lines: in colour on a terminal that may have it (no-color.org), and in whatever its encoding has."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in lines:
        text = printable(line)
        click.echo(" ".join(map(_styled, text.split(" "))) if coloured else text)


def printable(line: str) -> str:
    """The line as the encoding of stdout has it.

    Details come from programs and peers: no control character of theirs reaches a terminal.
    """
    text = "".join(one if one.isprintable() else "?" for one in line)
    return text.encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii")


def _styled(word: str) -> str:
    return click.style(word, STATES[word]) if word in STATES else word
