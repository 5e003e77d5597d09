"""What the commands that ask a running agent share."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from click.core import ParameterSource

from exavrrp.chronicle import Entry, decoded
from exavrrp.cli import NO_SUCH, UNANSWERED
from exavrrp.cli.output import fail, warn
from exavrrp.config import STATE_DIRECTORY, ConfigError, state_directory
from exavrrp.control import SOCKET, Answer, Events, EventsAnswer, Misunderstood, Request, chosen
from exavrrp.system.client import TooLate, Unanswered, Unreachable, ask
from exavrrp.view import RouterView


def answers(
    path: Path, request: Request, limit: float | None = None, patience: float | None = None
) -> Iterator[Answer]:
    """The agent's answers to ``request`` within ``limit`` seconds. Ends with status 1 when they are not complete, and
    with ``UNANSWERED`` when no agent answers."""
    with _ending(limit):
        yield from ask(control_socket(path), request, limit, patience)


@contextmanager
def _ending(limit: float | None = None) -> Iterator[None]:
    """Ends the command where no answer comes."""
    try:
        yield
    except TooLate:
        fail(f"not finished within {limit:g} s; it goes on: see exavrrp status")
    except Unreachable as error:
        fail(error, status=UNANSWERED)
    except Unanswered as error:
        fail(error)


def meant(routers: Sequence[RouterView], name: str | None, *, may_be_gone: bool = False) -> list[RouterView]:
    """The virtual routers that a name stands for, all without one. An unknown name ends the command (status 2), unless
    ``may_be_gone``."""
    try:
        names = chosen(() if name is None else (name,), {router.name: router.group for router in routers})
    except Misunderstood as error:
        if may_be_gone:
            return []
        fail(error, status=NO_SUCH)
    return [router for router in routers if router.name in names]


def entries(path: Path, after: int = 0) -> tuple[int, list[tuple[Entry, bytes]]]:
    """How many entries the agent's journal has had, and those after the first ``after`` ones, each with its line.

    For 0 also those of the agents before. Of an agent that has been restarted since: all of its own.
    """
    with _ending():
        return journal(control_socket(path), after)


def journal(socket: Path, after: int, patience: float | None = None) -> tuple[int, list[tuple[Entry, bytes]]]:
    """The same of the agent at ``socket``; ``patience`` as that of ``ask``. Raises Unanswered."""
    for answer in ask(socket, Events(after=after), patience=patience):
        if isinstance(answer, EventsAnswer):
            if answer.count < after:
                count, found = journal(socket, 0, patience)
                return count, found[len(found) - count :]
            lines = map(bytes, (*answer.before, *answer.entries))
            return answer.count, [(entry, line) for line in lines if (entry := decoded(line)) is not None]
    return after, []


def control_socket(path: Path) -> Path:
    """The agent's socket; also while somebody edits the configuration at ``path``."""
    return Path(_directory(path)) / SOCKET


def _directory(path: Path) -> str:
    try:
        return state_directory(path)
    except ConfigError as error:
        if click.get_current_context().get_parameter_source("path") is not ParameterSource.DEFAULT:
            fail(*error.problems)
        if os.path.exists(path):  # noqa: PTH110 — unlike Path.exists it says no where we may not look
            warn(error.problems)
        return STATE_DIRECTORY
