"""The commands. The only file that prints, and it prints nothing to stdout while ``run`` is at work: that is ExaBGP's.

Exit statuses: 0 good, 1 it failed (with what to do about it on stderr), 2 wrong usage. Of the commands that ask a
running agent also 3: it answered, and the answer is no (nobody took over; the router is not Active).
"""

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from click.core import ParameterSource

from exavrrp import __version__
from exavrrp.agent import Agent, StartError
from exavrrp.config import (
    STATE_DIRECTORY,
    ConfigError,
    Configuration,
    Place,
    Probe,
    Problem,
    effective,
    load,
    state_directory,
)
from exavrrp.control import (
    SOCKET,
    Answer,
    Begun,
    Done,
    Drain,
    Moved,
    Outcome,
    Progress,
    Request,
    RouterStatus,
    Status,
    StatusAnswer,
    Undrain,
    duration,
    encode,
)
from exavrrp.recording import LINE_LIMIT, Damaged, Lost
from exavrrp.replay import Difference, sentences, transitions
from exavrrp.replay import replay as replayed
from exavrrp.system import keys
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.checks import obstacle
from exavrrp.system.client import TooLate, Unanswered, ask
from exavrrp.system.journal import Format, Journal
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role

CONFIGURATION = "/etc/exavrrp/exavrrp.toml"

UMASK = 0o022
"""ExaBGP leaves its processes 0137, with which a directory they make cannot be entered."""

WAIT = 60.0
"""Seconds that ``drain --wait`` waits unless it is told otherwise: twice what an agent tries for."""

NO = 3
"""Exit status: the answer is no."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="exavrrp")
def main() -> None:
    """VRRPv3 failover for routed data centres: elects over every uplink, binds the address, has ExaBGP announce it."""


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True)
@click.option("--log-format", type=click.Choice([form.value for form in Format]), help="Instead of the file's.")
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append everything that the elections are told to FILE, for exavrrp replay.",
)
def run(path: Path, log_format: str | None, record: Path | None) -> None:
    """Serve, as a process of ExaBGP: the API on stdin and stdout, the log on stderr."""
    os.umask(UMASK)
    # A program that is missing now is a check that fails, not a reason to end: ExaBGP would end with us.
    configuration = _loaded(path, global_on_loopback, None, keys.read)
    journal = Journal(Format(log_format or configuration.agent.log_format))
    for problem in configuration.warnings:
        journal.warning("configuration", detail=str(problem))
    try:
        asyncio.run(Agent(configuration, journal, record).run())
    except StartError as error:
        journal.error("not-started", detail=str(error))
        sys.exit(1)


@main.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path), default=CONFIGURATION)
@click.option("--print", "printed", is_flag=True, help="Print the effective configuration, every default written out.")
@click.option(
    "--elsewhere", is_flag=True, help="Leave out what only the host itself can tell: programs, addresses on lo, keys."
)
def check(path: Path, printed: bool, elsewhere: bool) -> None:
    """Say everything that is wrong with FILE; exit with 0 if nothing is, with 1 otherwise."""
    here = (None, None, None) if elsewhere else (global_on_loopback, obstacle, keys.read)
    configuration = _loaded(path, *here)
    _warn(configuration.warnings)
    if printed:
        click.echo(effective(configuration).encode(), nl=False)  # TOML is UTF-8, whatever the terminal's encoding


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True, help="The agent's."
)


@main.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--for", "seconds", metavar="DURATION", callback=_seconds, help="Undrained after it (90s, 30m, 2h, 1h30m, 2d)."
)
@click.option("--wait", is_flag=True, help="Return when the traffic has moved, or nobody has taken over (status 3).")
@click.option("--until-restart", is_flag=True, help="Not for longer than this agent runs.")
@click.option(
    "--timeout",
    "limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=WAIT,
    show_default=True,
    help="Of --wait. The drain goes on.",
)
@_config
def drain(
    *, names: tuple[str, ...], seconds: float | None, wait: bool, until_restart: bool, limit: float, path: Path
) -> None:
    """Have this node's routers (or only NAME) hand over, and stay out of the election until undrain.

    Also after a restart, unless --until-restart says otherwise. If nobody takes over, the node serves on.
    """
    asked = Drain(names=names, seconds=seconds, persist=not until_restart, wait=wait)
    told: dict[str, Moved] = {}
    printed: set[str] = set()
    for answer in _answers(path, asked, limit if wait else None):
        match answer:
            case Begun(routers=routers, warning=warning) | Done(routers=routers, warning=warning):
                told |= {moved.name: moved for moved in routers}
                if warning is not None and isinstance(answer, Begun) is wait:
                    click.echo(f"warning: {warning}", err=True)
            case Progress(name=name, outcome=outcome) if name in told:
                told[name] = msgspec.structs.replace(told[name], outcome=outcome)
            case _:
                continue
        for moved in told.values():
            if moved.name not in printed and (moved.outcome is not Outcome.DRAINING or not wait):
                printed.add(moved.name)
                click.echo(_drained(moved))
    _conclude(told.values(), wait)


def _conclude(routers: Collection[Moved], wait: bool) -> None:
    """End with the status that says what became of a drain."""
    kept = [moved.name for moved in routers if moved.outcome is Outcome.KEPT]
    back = [moved.name for moved in routers if moved.outcome is Outcome.SERVING]
    if kept:
        click.echo(
            f"error: nobody took over {', '.join(kept)}, so this node serves on; see what keeps the other nodes from it"
            " (exavrrp status there), then drain again. To stop all the same, stop ExaBGP.",
            err=True,
        )
        sys.exit(NO)
    if back and wait:
        click.echo(f"error: somebody has undrained {', '.join(back)} meanwhile", err=True)
        sys.exit(1)


@main.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_config
def undrain(names: tuple[str, ...], path: Path) -> None:
    """Have this node's routers (or only NAME) take part in the election again."""
    for answer in _answers(path, Undrain(names=names)):
        if isinstance(answer, Done):
            if answer.warning is not None:
                click.echo(f"warning: {answer.warning}", err=True)
            for moved in answer.routers:
                click.echo(
                    f"{moved.name}: {'was not drained' if moved.already else 'takes part in the election again'}"
                )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="All that is known, for programs.")
@click.option("--is-active", "name", metavar="NAME", help="Exit with 0 if this router is Active here, with 3 if not.")
@_config
def status(as_json: bool, name: str | None, path: Path) -> None:
    """Say how this node's routers are now: asked from the running agent, never from a file."""
    for answer in _answers(path, Status()):
        if not isinstance(answer, StatusAnswer):
            continue
        found = [router for router in answer.routers if name in {None, router.name}]
        if name is not None and not found:
            known = ", ".join(router.name for router in answer.routers)
            click.echo(f"error: there is no virtual router {name!r}; known here: {known}", err=True)
            sys.exit(1)
        if as_json:
            click.echo(msgspec.json.format(encode(answer), indent=2).decode().strip())
        elif name is not None:
            click.echo(found[0].role)
        else:
            for line in _table(found):
                click.echo(line)
        if name is not None and found[0].role != Role.ACTIVE:
            sys.exit(NO)


@main.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--transitions", "brief", is_flag=True, help="Print only what changed its state, and why.")
def replay(path: Path, brief: bool) -> None:
    """Decide again what FILE, written by run --record, says was decided, and print how.

    Exits with 0 if the same transitions come of it, with 1 at the first that does not, or if events are missing.
    """
    whole = True
    try:
        for story in replayed(_lines(path)):
            wrong = isinstance(story, (Lost, Difference))
            whole = whole and not wrong
            told = "\n".join(transitions(story) if brief else sentences(story))
            if wrong:
                click.echo(f"error: {path}, {told}", err=True)
            elif told:
                click.echo(told)
    except Damaged as damage:
        _fail(f"{path}, line {damage.number}: {damage}")
    if not whole:
        sys.exit(1)


def _lines(path: Path) -> Iterator[bytes]:
    """Of a recording; ends the command when it cannot be read."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE_LIMIT):
                yield line
    except OSError as error:
        _fail(f"cannot read {path}: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


def _answers(path: Path, request: Request, limit: float | None = None) -> Iterator[Answer]:
    """What the agent says; ends with status 1 when it does not say all of it."""
    try:
        yield from ask(Path(_directory(path)) / SOCKET, request, limit)
    except TooLate:
        click.echo(f"error: not finished within {limit:g} s; it goes on: see exavrrp status", err=True)
        sys.exit(1)
    except Unanswered as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _directory(path: Path) -> str:
    """Where the agent's socket is: also while somebody edits the configuration."""
    try:
        return state_directory(path)
    except ConfigError as error:
        if click.get_current_context().get_parameter_source("path") is not ParameterSource.DEFAULT:
            _refuse(error.problems)
        if os.path.exists(path):  # noqa: PTH110 — unlike Path.exists it says no where we may not look
            _warn(error.problems)
        return STATE_DIRECTORY


def _drained(moved: Moved) -> str:
    """What a drain means for one router."""
    if moved.outcome is Outcome.KEPT:
        return f"{moved.name}: kept: nobody took over"
    if moved.outcome is Outcome.SERVING:
        return f"{moved.name}: serving"
    already = "already " if moved.already else ""
    return f"{moved.name}: {already}{moved.outcome} {_until(moved.until, moved.persistent)}"


def _until(until: datetime | None, persistent: bool) -> str:
    ends = [] if until is None else [f"{until:%Y-%m-%dT%H:%M:%SZ}"]
    return f"until {' or '.join([*ends, 'undrain' if persistent else 'a restart'])}"


def _table(routers: Collection[RouterStatus]) -> list[str]:
    """One line a router, the columns below each other."""
    rows = [(router.name, router.role, router.explanation, _presence(router), _remarks(router)) for router in routers]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]


def _presence(router: RouterStatus) -> str:
    announced = f"announced as {router.level}" if router.level is not None else "not announced"
    return f"{'bound' if router.bound else 'unbound'}, {announced}"


def _remarks(router: RouterStatus) -> str:
    """Why it is not as one would expect."""
    remarks = [*(f"fault: {fault}" for fault in router.faults), *(f"held: {hold}" for hold in router.holds)]
    if router.outcome in {Outcome.DRAINING, Outcome.DRAINED}:
        remarks.insert(0, f"{router.outcome} {_until(router.until, router.persistent)}")
    elif router.outcome is Outcome.KEPT:
        remarks.insert(0, "the last drain was undone: nobody took over")
    return "; ".join(remarks)


def _loaded(
    path: Path,
    local_addresses: Callable[[], Collection[Address]] | None,
    obstacle_of: Callable[[Probe], tuple[str, str] | None] | None,
    secrets: Callable[[Place], bytes] | None,
) -> Configuration:
    try:
        return load(path, local_addresses, obstacle_of, secrets)
    except ConfigError as error:
        _refuse(error.problems)


def _refuse(problems: tuple[Problem, ...]) -> NoReturn:
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1)


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
