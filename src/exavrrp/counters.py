"""The counters of a ``View`` as events of the log: a line for each source, router and notify program, or more; pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from exavrrp.view import RouterView, SourceView, View

PIECE = 15
"""Counts of one kind in a line: those of two kinds, by peer and interface, are shorter than the log's longest."""


def events(view: View) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events of the log, each with its fields; ``counters`` is the last one."""
    for source in view.sources:
        about = {"source": source.source, "overflowed": source.overflowed, "unread": source.unread}
        for piece in pieces(**_copies_out(source)):
            yield "counters-wire", about | piece
    for router in view.routers:
        about = {"router": router.name, "role": router.role, "adverts": router.adverts}
        for piece in pieces(copies=_copies_in(router), authentication=_verified(router)):
            yield "counters-router", about | piece
    for piece in pieces(notify=view.notified):
        yield "counters-notify", piece
    yield "counters", {"rejected": view.rejected}


def _copies_out(source: SourceView) -> dict[str, dict[str, int]]:
    return {
        "sent": {f"{link.peer} {link.interface}".rstrip(): link.sent for link in source.links if link.sent},
        "failed": {
            f"{link.peer} {link.interface} {error}": count
            for link in source.links
            for error, count in link.failed.items()
        },
    }


def _copies_in(router: RouterView) -> Counter[str]:
    """An interface that was deleted and re-created has one name, and counts as one."""
    copies: Counter[str] = Counter()
    for peer in router.peers:
        for path in peer.paths:
            if path.copies:
                copies[f"{peer.address} {path.interface}"] += path.copies
    return copies


def _verified(router: RouterView) -> dict[str, dict[str, int | None]]:
    return {
        peer.address: {"signed": peer.signed, "unsigned": peer.unsigned}
        for peer in router.peers
        if peer.signed is not None
    }


def pieces(**counted: Mapping[str, object]) -> Iterator[dict[str, dict[str, object]]]:
    """The counts, in pieces that each fit into one line of the log; one piece even without counts."""
    for begin in range(0, max(1, *map(len, counted.values())), PIECE):
        yield {name: dict(islice(counts.items(), begin, begin + PIECE)) for name, counts in counted.items()}
