"""``exavrrp run``: the agent."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from msgspec.structs import replace

from exavrrp import caretaker
from exavrrp.agent import StartError
from exavrrp.cli import CONFIGURATION, options
from exavrrp.cli.output import fail
from exavrrp.cli.reading import last_directory
from exavrrp.config import ConfigError, Configuration, Problem, load, whole
from exavrrp.system import keys
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.log import Format, LogWriter
from exavrrp.system.reading import fingerprint
from exavrrp.system.reload import Loaded, Source
from exavrrp.system.state import KeptConfiguration, LastReload

KEPT = (
    "has these mistakes, so the agent goes on with what the last one under this ExaBGP ran with; "
    "correct it, and reload it (exavrrp reload)"
)
"""What ``run`` says when it does not use the file that it was given."""

UNDONE = "was taken back, and comes into force with exavrrp reload only, or when it is changed"
"""What ``run`` says when it does not use what is on disk, because it was undone or nobody has confirmed it."""

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
    loaded = Loaded(_text(path) or b"", _fingerprint(path))
    read = partial(load, local_addresses=global_on_loopback, secrets=keys.read, node=node, host=os.uname().nodename)
    try:
        configuration = read(path)
    except ConfigError as error:
        wrong = error.problems
        configuration, text = _kept(path, read, error)
        loaded = Loaded(text, "")
    log = LogWriter(Format(log_format or configuration.agent.log_format))
    for problem in wrong:
        log.error("configuration-invalid", detail=str(problem))
    if wrong:
        log.error("configuration-kept", file=str(path), detail=KEPT)
    reload = LastReload(Path(configuration.agent.state_directory), log)
    last = reload.recall()
    if last is not None and loaded.fingerprint not in {"", last.fingerprint}:
        last = None  # somebody has written another configuration since
    back: dict[str, str] = {}
    if last is not None and last.is_over(time.time()):
        try:
            text = reload.previous.read_bytes()
            configuration = read(reload.previous, alone=True)
            loaded, back = Loaded(text, ""), last.back
            last = replace(last, undone=True)
            log.error("configuration-undone", file=str(path), detail=UNDONE)
        except (ConfigError, OSError) as error:
            log.error("configuration-undone", file=str(reload.previous), detail=f"cannot be used: {error}")
            last = None
    for problem in configuration.warnings:
        log.warning("configuration-warning", detail=str(problem))
    try:
        caretaker.run(configuration, log, record, Source(path, loaded, node, last, back))
    except StartError as error:
        log.error("agent-start-failed", detail=str(error))
        raise SystemExit(1) from None


def _kept(path: Path, read: Callable[..., Configuration], error: ConfigError) -> tuple[Configuration, bytes]:
    """What the last agent of this ExaBGP ran with: a mistake that somebody has made since must not end what serves.

    Ends the command with the mistakes in ``path`` where there is no such thing.
    """
    kept = KeptConfiguration(last_directory(path), LogWriter()).recall()
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


def _fingerprint(path: Path) -> str:
    try:
        return fingerprint(path)
    except (OSError, ValueError, ConfigError):
        return ""
