"""Warnings and errors of the commands: to stderr, one line each."""

import sys
from collections.abc import Iterable
from typing import NoReturn

import click


def warn(messages: Iterable[object]) -> None:
    """Print each as a warning."""
    for message in messages:
        click.echo(f"warning: {message}", err=True)


def fail(*messages: object, status: int = 1) -> NoReturn:
    """Print each as an error, and end with this exit status."""
    for message in messages:
        click.echo(f"error: {message}", err=True)
    sys.exit(status)
