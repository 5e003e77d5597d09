"""``exavrrp cleanup``: what a killed agent has left bound."""

import os
from pathlib import Path

import click

from exavrrp.cleanup import Served, clean
from exavrrp.cli import NO, options
from exavrrp.cli.output import fail
from exavrrp.cli.reading import last_directory
from exavrrp.config import ConfigError, Problem, load
from exavrrp.system.state import bound_before

WAIT = 5.0
"""Seconds to wait for an agent to end: that stops within 1.5 s of ExaBGP's end, or is killed after 2."""


@click.command("cleanup")
@click.option(
    "--wait",
    "limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=WAIT,
    show_default=True,
    help="How long to wait for an agent that is about to end.",
)
@options.node
@options.agent
def command(limit: float, node: str | None, path: Path) -> None:
    """Remove the virtual addresses that a killed agent has left bound; made for ExecStopPost= of ExaBGP's unit.

    Exits with 0 if none of them is there (any more), with 3 if an agent or its ExaBGP lives (nothing is removed then).
    Of a FILE with mistakes only what the last agent had is removed; it exits with 1.
    """
    wrong: tuple[Problem, ...] = ()
    try:
        configuration = load(path, node=node, host=os.uname().nodename)
        directory = Path(configuration.agent.state_directory)
        ours = [one for router in configuration.routers for one in router.virtual_addresses if one.bind]
    except ConfigError as error:
        wrong, directory, ours = error.problems, last_directory(path), []
        if not bound_before(directory):
            fail(*wrong)
    try:
        removed = clean(directory, ours, limit)
    except Served as who:
        fail(f"nothing removed: {who}", status=NO)
    except OSError as error:
        fail(f"not cleaned: {error.strerror or error}")
    for address, interface in removed:
        click.echo(f"removed {address} from {interface}")
    if wrong:
        fail(*wrong)
