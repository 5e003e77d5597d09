"""Options of several commands."""

from pathlib import Path

import click

from exavrrp.cli import CONFIGURATION

agent = click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=CONFIGURATION,
    show_default=True,
    help="The configuration that the agent runs with.",
)
"""Which agent of this host is meant: the one that runs with this file."""
