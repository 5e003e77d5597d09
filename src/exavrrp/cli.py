"""The commands. The only file that prints, and it prints nothing to stdout while ``run`` is at work: that is ExaBGP's.

Exit statuses: 0 good, 1 the configuration or the start failed (with what to do about it on stderr), 2 wrong usage.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

import click

from exavrrp import __version__
from exavrrp.agent import Agent, StartError
from exavrrp.config import ConfigError, Configuration, Problem, effective, load
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.journal import Format, Journal
from exavrrp.system.scripts import obstacle
from exavrrp.vrrp.packet import Address

CONFIGURATION = "/etc/exavrrp/exavrrp.toml"

UMASK = 0o022
"""ExaBGP leaves its processes 0137, with which a directory they make cannot be entered."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="exavrrp")
def main() -> None:
    """VRRPv3 failover for routed data centres: elects over every uplink, binds the address, has ExaBGP announce it."""


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True)
@click.option("--log-format", type=click.Choice([form.value for form in Format]), help="Instead of the file's.")
def run(path: Path, log_format: str | None) -> None:
    """Serve, as a process of ExaBGP: the API on stdin and stdout, the log on stderr."""
    os.umask(UMASK)
    # A program that is missing now is a check that fails, not a reason to end: ExaBGP would end with us.
    configuration = _loaded(path, global_on_loopback, None)
    journal = Journal(Format(log_format or configuration.agent.log_format))
    for problem in configuration.warnings:
        journal.warning("configuration", detail=str(problem))
    try:
        asyncio.run(Agent(configuration, journal).run())
    except StartError as error:
        journal.error("not-started", detail=str(error))
        sys.exit(1)


@main.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path), default=CONFIGURATION)
@click.option("--print", "printed", is_flag=True, help="Print the effective configuration, every default written out.")
@click.option(
    "--elsewhere", is_flag=True, help="Leave out what only the host itself can tell: programs, addresses on lo."
)
def check(path: Path, printed: bool, elsewhere: bool) -> None:
    """Say everything that is wrong with FILE; exit with 0 if nothing is, with 1 otherwise."""
    configuration = _loaded(path, None, None) if elsewhere else _loaded(path, global_on_loopback, obstacle)
    _warn(configuration.warnings)
    if printed:
        click.echo(effective(configuration), nl=False)


def _loaded(
    path: Path,
    local_addresses: Callable[[], Collection[Address]] | None,
    obstacle_of: Callable[[str], str | None] | None,
) -> Configuration:
    try:
        return load(path, local_addresses, obstacle_of)
    except ConfigError as error:
        _refuse(error.problems)


def _refuse(problems: tuple[Problem, ...]) -> NoReturn:
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1)


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
