"""The results of `lab/bench/run scale` as tables for people and as a document for programs.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from lab.bench.scale import Load, Order, Result, Takeover, Three

Column = tuple[str, Callable[[Any], str]]
MISSING = "–"


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    return MISSING if value is None else f"{value:.{digits}f}{unit}"


def share(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1, " %")


def per_router(each: Load) -> str:
    return number(None if each.cpu is None else 100 * each.cpu / each.routers, 3, " %")


LOAD: Sequence[Column] = (
    ("routers", lambda each: str(each.routers)),
    ("agent", lambda each: each.agent),
    ("role", lambda each: each.role),
    ("CPU", lambda each: share(each.cpu)),
    ("kernel", lambda each: share(each.kernel)),
    ("per router", per_router),
    ("µs/advert", lambda each: number(each.us_per_advert)),
    ("µs/packet", lambda each: number(each.us_per_packet)),
    ("packets/s", lambda each: number(each.packets, 0)),
    ("RSS MiB", lambda each: number(each.rss)),
    ("PSS MiB", lambda each: number(each.pss)),
    ("late ms", lambda each: number(each.late_median, 2)),
    ("99.9 %", lambda each: number(each.late_999, 2)),
    ("start s", lambda each: number(each.start)),
    ("unneeded", lambda each: number(each.unneeded, 0)),
    ("pause ms", lambda each: number(each.pause, 0)),
    ("stop s", lambda each: number(each.stop)),
    ("left", lambda each: number(each.left, 0)),
    ("load", lambda each: number(each.load)),
)
TAKEOVER: Sequence[Column] = (
    ("routers", lambda each: str(each.routers)),
    ("agent", lambda each: each.agent),
    ("bound ms", lambda each: number(each.bound_first, 0)),
    ("… last", lambda each: number(each.bound_last, 0)),
    ("announced last", lambda each: number(each.announced_last, 0)),
    ("answered ms", lambda each: number(each.answered_first, 0)),
    ("… last", lambda each: number(each.answered_last, 0)),
    ("last − first", lambda each: number(each.spread, 0)),
    ("unneeded", lambda each: str(each.unneeded)),
    ("load", lambda each: number(each.load)),
)
THREE: Sequence[Column] = (
    ("routers", lambda each: str(each.routers)),
    ("agent", lambda each: each.agent),
    ("converged s", lambda each: number(each.converged)),
    ("transitions", lambda each: str(each.moves_converging)),
    ("needed", lambda each: str(4 * each.routers)),
    ("afterwards", lambda each: str(each.moves_after)),
    ("CPU of each", lambda each: " ".join(map(share, each.cpu))),
    ("load", lambda each: number(each.load)),
)


def table(columns: Sequence[Column], results: Sequence[Any]) -> str:
    """Aligned to the right; nothing without results."""
    if not results:
        return ""
    rows = [[title for title, _ in columns], *([cell(each) for _, cell in columns] for each in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(lines) + "\n"


HEAD = """\
Adverts every {interval:g} ms, two peers, two paths; {seconds:g} s for each line, medians of {repeat}.
exavrrp sends a copy of each advert to each peer over each path: 4 packets, and receives 2.
keepalived {version} sends one copy to each peer: 2 packets, and receives 1. It announces nothing.
The peers are stand-ins; an Active one sends its adverts in {bursts} burst(s) an interval.
CPU: of the agent and its children, in percent of a core; ExaBGP is not in it. kernel: how much of it was the kernel's,
who sends a packet on as far as the peer's socket before the call returns. late: median and 99.9th percentile of how
much later than an interval after the one before an advert came to a peer. unneeded: transitions beside those into the
role. pause: of the stand-in, at most; after three intervals a Backup has to take over. left: virtual addresses on
lo after a stop. load: of the machine, one minute.
"""


def text(order: Order, version: str, results: Sequence[Result]) -> str:
    """Everything; `version` of keepalived."""
    parts = [
        HEAD.format(
            interval=order.interval * 1000,
            seconds=order.seconds,
            repeat=order.repeat,
            version=version,
            bursts=order.bursts,
        )
    ]
    for title, kind, columns in (
        ("", Load, LOAD),
        ("A node that was Active for all has died; ms after its death\n", Takeover, TAKEOVER),
        ("Three agents start at once on this machine, one is to be Active for all\n", Three, THREE),
    ):
        if found := [each for each in results if isinstance(each, kind)]:
            parts.append(f"{title}{table(columns, found)}")
    parts += [
        f"{each.routers} × {each.agent}, {each.role}: {each.failure}\n"
        for each in results
        if isinstance(each, Load) and each.failure
    ]
    return "\n".join(parts)


def document(order: Order, version: str, results: Sequence[Result], cores: int | None) -> dict[str, Any]:
    """The same for programs; units as in `scale.py`; `cores` of this machine."""
    return {
        "interval": order.interval,
        "settle": order.settle,
        "seconds": order.seconds,
        "repeat": order.repeat,
        "bursts": order.bursts,
        "exabgp": order.exabgp,
        "realtime": order.realtime,
        "cores": cores,
        "peers": 2,
        "agents": [
            {
                "agent": each.name,
                "program": "exavrrp" if each.announces else f"keepalived {version}",
                "copies_per_peer": each.paths,
            }
            for each in order.contenders
        ],
        "results": [asdict(each) for each in results],
    }
