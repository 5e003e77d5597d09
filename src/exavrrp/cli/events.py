"""``exavrrp events``: the journal of the running agent."""

import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import click

from exavrrp.chronicle import Entry
from exavrrp.cli import options
from exavrrp.cli.asking import answers, entries, meant
from exavrrp.cli.style import say
from exavrrp.cli.telling import sentence, stamp
from exavrrp.control import Status, StatusAnswer

POLL = 0.5
"""Seconds between two questions of ``--follow``."""


@click.command("events")
@click.argument("name", metavar="[NAME]", required=False, shell_complete=options.router_names)
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document a line.")
@click.option(
    "--since",
    metavar="DURATION",
    callback=options.seconds,
    help="Only what is not older than this (90s, 30m, 2h, 1h30m, 2d).",
)
@options.agent
def command(*, name: str | None, follow: bool, as_json: bool, since: float | None, path: Path) -> None:
    """Show what has happened, the latest last; with NAME to one virtual router, and to the node.

    NAME is that of a virtual router, of a service with addresses of both families, or of a group.

    Also what happened to the agents before this one, as far as it was kept. Times are UTC. exavrrp explain CODE says
    what an event means. Exit status: 2 if there is no such virtual router, 4 if no agent answers.
    """
    with suppress(KeyboardInterrupt):
        _print(path, name, since, follow=follow, as_json=as_json)


def _print(path: Path, name: str | None, since: float | None, *, follow: bool, as_json: bool) -> None:
    names: frozenset[str] = frozenset()
    count = 0
    while True:
        count, found = entries(path, count)
        if name is not None and (found or not names):
            names = _named(path, name, names, found)
        for entry, line in found:
            if _matches(entry, None if name is None else names, since):
                say([line.decode() if as_json else f"{stamp(entry.at.time)} {sentence(entry)}"])
        if not follow:
            return
        time.sleep(POLL)


def _named(path: Path, name: str, before: frozenset[str], found: Iterable[tuple[Entry, bytes]]) -> frozenset[str]:
    """The virtual routers that are meant now, those that were meant ``before``, and one of that name in the journal."""
    known = before.union(entry.router for entry, _ in found if entry.router == name)
    there = (one for answer in answers(path, Status()) if isinstance(answer, StatusAnswer) for one in answer.routers)
    return known.union(one.name for one in meant([*there], name, may_be_gone=bool(known)))


def _matches(entry: Entry, names: Collection[str] | None, since: float | None) -> bool:
    if names is not None and entry.router and entry.router not in names:
        return False
    return since is None or datetime.now(entry.at.time.tzinfo) - entry.at.time <= timedelta(seconds=since)
