"""What the commands that ask a running agent share: ``drain``, ``undrain`` and ``status``."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
from click.core import ParameterSource

from exavrrp.cli.output import fail, warn
from exavrrp.config import STATE_DIRECTORY, ConfigError, state_directory
from exavrrp.control import SOCKET, Answer, Request
from exavrrp.system.client import TooLate, Unanswered, ask


def answers(path: Path, request: Request, limit: float | None = None) -> Iterator[Answer]:
    """The agent's answers to ``request`` within ``limit`` seconds; ends with status 1 when they are not complete."""
    try:
        yield from ask(control_socket(path), request, limit)
    except TooLate:
        fail(f"not finished within {limit:g} s; it goes on: see exavrrp status")
    except Unanswered as error:
        fail(error)


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


def ending(until: datetime | None, persistent: bool) -> str:
    """When a drain ends, such as ``until 2026-01-31T12:00:00Z or undrain``."""
    ends = [] if until is None else [f"{until:%Y-%m-%dT%H:%M:%SZ}"]
    return f"until {' or '.join([*ends, 'undrain' if persistent else 'a restart'])}"
