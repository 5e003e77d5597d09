"""``exavrrp undrain``: maintenance is over."""

from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.asking import answers
from exavrrp.cli.output import warn
from exavrrp.control import Done, Undrain


@click.command("undrain")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=options.router_names)
@options.agent
def command(names: tuple[str, ...], path: Path) -> None:
    """Let this node's virtual routers (or only NAME) take part in the election again."""
    for answer in answers(path, Undrain(names=names)):
        if isinstance(answer, Done):
            warn([] if answer.warning is None else [answer.warning])
            for moved in answer.routers:
                click.echo(
                    f"{moved.name}: {'was not drained' if moved.already else 'takes part in the election again'}"
                )
