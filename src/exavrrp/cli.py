"""The commands. The only file that prints, and it prints nothing to stdout while ``run`` is at work: that is ExaBGP's.

Exit statuses: 0 good, 1 the configuration or the start failed (with what to do about it on stderr), 2 wrong usage.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from exavrrp import __version__
from exavrrp.agent import Agent, StartError
from exavrrp.config import ConfigError, Configuration, Problem, effective, load
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.journal import Format, Journal
from exavrrp.system.scripts import obstacle

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
    configuration = _load(path)
    journal = Journal(Format(log_format or configuration.agent.log_format))
    _warn(configuration.warnings)
    try:
        asyncio.run(Agent(configuration, journal).run())
    except StartError as error:
        journal.error("not-started", detail=str(error))
        sys.exit(1)


@main.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path), default=CONFIGURATION)
@click.option("--print", "printed", is_flag=True, help="Print the effective configuration, every default written out.")
def check(path: Path, printed: bool) -> None:
    """Say everything that is wrong with FILE; exit with 0 if nothing is, with 1 otherwise."""
    configuration = _load(path)
    _warn(configuration.warnings)
    if printed:
        click.echo(effective(configuration), nl=False)


def _load(path: Path) -> Configuration:
    try:
        return load(path, global_on_loopback, obstacle)
    except ConfigError as error:
        _refuse(error.problems)


def _refuse(problems: tuple[Problem, ...]) -> NoReturn:
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1)


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
