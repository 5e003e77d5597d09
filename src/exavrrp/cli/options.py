"""Options of several commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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

node = click.option(
    "--node",
    metavar="NAME",
    help="Which node this is, if the configuration has tables [node.NAME]; by default the one named like this host.",
)
"""Which node's view of a file for all of them is meant."""


def limit(default: float, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--timeout`` of a command that can wait: ``limit``, in seconds."""
    return click.option(
        "--timeout",
        "limit",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        default=default,
        show_default=True,
        help=text,
    )


def router_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For a shell's completion: the virtual routers of the configuration and their groups; none if it has mistakes."""
    from exavrrp.config import ConfigError, load, node_names  # noqa: PLC0415 — only when a shell asks

    path = ctx.params.get("path") or Path(CONFIGURATION)
    try:
        nodes = node_names(path)
        routers = load(path, node=nodes[0] if nodes else None).routers  # the same on each
    except ConfigError:
        return []
    names = dict.fromkeys([*(each.name for each in routers), *(each.group for each in routers if each.group)])
    return [name for name in names if name.startswith(incomplete)]


def seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """A duration, such as 1h30m."""
    from exavrrp.control import duration  # noqa: PLC0415 — most commands have none

    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
