"""``exavrrp undrain``: maintenance is over."""

import time
from collections.abc import Collection
from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.asking import answers
from exavrrp.cli.output import fail, warn
from exavrrp.control import Done, Status, StatusAnswer, Undrain
from exavrrp.findings import ACTIVE, BACKUP
from exavrrp.view import RouterView

WAIT = 60.0
"""Seconds that ``--wait`` waits unless it is told otherwise: BGP sessions need some after a restart."""

PAUSE = 0.25
"""Seconds between two questions of ``--wait``."""


@click.command("undrain")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=options.router_names)
@click.option("--wait", is_flag=True, help="Return when each of them is Backup or Active.")
@options.limit(WAIT, "How long --wait waits; then the status is 1.")
@options.agent
def command(*, names: tuple[str, ...], wait: bool, limit: float, path: Path) -> None:
    """Let this node's virtual routers (or only NAME) take part in the election again.

    They do so at once, unless a fault keeps them out, or the wait for BGP sessions after a start.
    """
    deadline = time.monotonic() + limit
    meant: list[str] = []
    for answer in answers(path, Undrain(names=names)):
        if isinstance(answer, Done):
            warn([] if answer.warning is None else [answer.warning])
            for moved in answer.routers:
                meant.append(moved.name)
                click.echo(
                    f"{moved.name}: {'was not drained' if moved.already else 'takes part in the election again'}"
                )
    while wait and (out := _standing_aside(path, meant)):
        if time.monotonic() >= deadline:
            fail(*(_sentence(router, limit) for router in out))
        time.sleep(PAUSE)


def _standing_aside(path: Path, names: Collection[str]) -> list[RouterView]:
    """Those of these routers that take no part."""
    found = [one for answer in answers(path, Status()) if isinstance(answer, StatusAnswer) for one in answer.routers]
    return [router for router in found if router.name in names and router.role not in {ACTIVE, BACKUP}]


def _sentence(router: RouterView, limit: float) -> str:
    why = "; ".join([*router.faults, *router.holds]) or f"see exavrrp status {router.name}"
    return f"{router.name}: takes no part after {limit:g} s: {why}"
