"""``exavrrp replay``: a recording, decided again."""

from collections.abc import Iterator
from pathlib import Path

import click

from exavrrp.cli.output import fail
from exavrrp.recording import LINE_LIMIT, Damaged, Lost
from exavrrp.replay import Difference, Orphan, replay, sentences, transitions


@click.command("replay")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--transitions", "brief", is_flag=True, help="Print only transitions, and why.")
def command(path: Path, brief: bool) -> None:
    """Decide all that is in FILE, written by run --record, again, and print what comes of it.

    Exits with 0 if the node does what is recorded, with 1 if anything differs, or if lines are missing.
    """
    whole = True
    try:
        for story in replay(_lines(path)):
            wrong = isinstance(story, Lost | Orphan | Difference)
            whole = whole and not wrong
            text = "\n".join(transitions(story) if brief else sentences(story))
            if wrong:
                click.echo(f"error: {path}, {text}", err=True)
            elif text:
                click.echo(text)
    except Damaged as damage:
        fail(f"{path}, line {damage.number}: {damage}")
    if not whole:
        raise SystemExit(1)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a recording; ends the command when it cannot be read."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE_LIMIT):
                yield line
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror or error}")
