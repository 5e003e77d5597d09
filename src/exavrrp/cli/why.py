"""``exavrrp why``: what the last transition comes from, and what would move a virtual router now."""

from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.asking import answers, entries, meant
from exavrrp.cli.reasons import reasons
from exavrrp.cli.style import say
from exavrrp.control import Status, StatusAnswer


@click.command("why")
@click.argument("name", metavar="[NAME]", required=False, shell_complete=options.router_names)
@options.agent
def command(*, name: str | None, path: Path) -> None:
    """Say why each virtual router (or NAME) is in its state, what was not the reason, and what would move it.

    NAME is that of a virtual router, of a service with addresses of both families, or of a group.

    The cause was noted when it happened; times are UTC. Exit status: 2 if there is no such virtual router, 4 if no
    agent answers.
    """
    for answer in answers(path, Status()):
        if not isinstance(answer, StatusAnswer):
            continue
        routers = meant(answer.routers, name)
        found = [entry for entry, _ in entries(path)[1]]
        for number, router in enumerate(routers):
            if number:
                say([""])
            say(reasons(answer, router, found))
