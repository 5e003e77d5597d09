"""``exavrrp run``: the agent."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from exavrrp import caretaker
from exavrrp.agent import StartError
from exavrrp.cli import CONFIGURATION, options
from exavrrp.cli.output import fail
from exavrrp.config import STATE_DIRECTORY, ConfigError, Configuration, Problem, load, state_directory, whole
from exavrrp.system import keys
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.journal import Format, Journal
from exavrrp.system.state import KeptConfiguration

KEPT = (
    "has these mistakes, so the agent goes on with what the last one under this ExaBGP ran with; "
    "correct it, and restart ExaBGP"
)
"""What ``run`` says when it does not use the file that it was given."""

UMASK = 0o022
"""ExaBGP leaves its processes 0137, with which a directory they make cannot be entered."""


@click.command("run")
@click.option(
    "--config", "path", metavar="FILE", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True
)
@click.option(
    "--log-format", type=click.Choice([form.value for form in Format]), help="Override log_format of the configuration."
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append all that the node is told, asks and does to FILE, for exavrrp replay.",
)
@options.node
def command(path: Path, log_format: str | None, record: Path | None, node: str | None) -> None:
    """Serve, as a process of ExaBGP: the API on stdin and stdout, the log on stderr."""
    os.umask(UMASK)
    # A program that is missing now is a check that fails, not a reason to end: ExaBGP would end with us.
    wrong: tuple[Problem, ...] = ()
    text = _text(path)
    read = partial(load, local_addresses=global_on_loopback, secrets=keys.read, node=node, host=os.uname().nodename)
    try:
        configuration = read(path)
    except ConfigError as error:
        wrong = error.problems
        configuration, text = _kept(path, read, error)
    journal = Journal(Format(log_format or configuration.agent.log_format))
    for problem in wrong:
        journal.error("configuration-invalid", detail=str(problem))
    if wrong:
        journal.error("configuration-kept", file=str(path), detail=KEPT)
    for problem in configuration.warnings:
        journal.warning("configuration-warning", detail=str(problem))
    try:
        caretaker.run(configuration, journal, record, text)
    except StartError as error:
        journal.error("agent-start-failed", detail=str(error))
        raise SystemExit(1) from None


def _kept(path: Path, read: Callable[..., Configuration], error: ConfigError) -> tuple[Configuration, bytes | None]:
    """What the last agent of this ExaBGP ran with: a mistake that somebody has made since must not end what serves.

    Ends the command with the mistakes in ``path`` where there is no such thing.
    """
    try:
        directory = state_directory(path)
    except ConfigError:
        directory = STATE_DIRECTORY
    kept = KeptConfiguration(Path(directory), Journal()).recall()
    if kept is None:
        fail(*error.problems)
    try:
        return read(kept, alone=True), kept.read_bytes()
    except (ConfigError, OSError):
        fail(*error.problems)


def _text(path: Path) -> bytes | None:
    """What the next agent of this ExaBGP may go on with; None: nothing, as ``path`` cannot be read."""
    try:
        return whole(path)
    except (ConfigError, OSError, ValueError):  # ValueError: a NUL in the path
        return None
