"""``exavrrp status``: how a running agent's virtual routers are now."""

from collections.abc import Collection
from pathlib import Path

import click
from msgspec import json
from msgspec.structs import replace

from exavrrp.cli import options
from exavrrp.cli.asking import answers, meant
from exavrrp.cli.details import details
from exavrrp.cli.overview import overview
from exavrrp.cli.style import say
from exavrrp.control import Status, StatusAnswer, encode
from exavrrp.findings import ACTIVE
from exavrrp.view import RouterView

NOT_ACTIVE = 1
"""Exit status."""


@click.command("status")
@click.argument("name", metavar="[NAME]", required=False, shell_complete=options.router_names)
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@click.option(
    "--is-active",
    "asked",
    metavar="NAME",
    shell_complete=options.router_names,
    help="Print the state of a router, service or group; exit with 0 if it is Active here and announced, else with 1.",
)
@options.agent
def command(*, name: str | None, as_json: bool, asked: str | None, path: Path) -> None:
    """Show this node's virtual routers, and what is wrong with them; with NAME all about one of them.

    NAME is that of a virtual router, of a service with addresses of both families, or of a group.

    The running agent is asked, never a file. Times are UTC. Exit status: 0; 1 if not Active (--is-active), or the
    answer is not understood; 2 if there is no such virtual router; 4 if no agent answers.
    """
    for answer in answers(path, Status()):
        if not isinstance(answer, StatusAnswer):
            continue
        routers = meant(answer.routers, asked or name)
        if as_json:
            document = encode(replace(answer, routers=tuple(routers)) if asked is None else answer)
            click.echo(json.format(document, indent=2).decode().strip())
        elif asked is not None:
            say([_roles(routers)])
        elif name is None:
            say(overview(answer))
        else:
            for router in routers:
                say(details(answer, router))
        if asked is not None and not all(map(_serves, routers)):
            raise SystemExit(NOT_ACTIVE)


def _roles(routers: Collection[RouterView]) -> str:
    """Their role, if it is one; else that of each."""
    roles = {
        one.name: f"{one.role}{', not announced' if one.role == ACTIVE and not _serves(one) else ''}" for one in routers
    }
    first, *others = dict.fromkeys(roles.values())
    return first if not others else "; ".join(f"{name}: {role}" for name, role in roles.items())


def _serves(router: RouterView) -> bool:
    """Whether it is Active, and announced if it is to be."""
    return router.role == ACTIVE and (router.level == ACTIVE or not router.announces)
