"""``exavrrp why``: what the last transition comes from, and what would move a virtual router; or a picture of it."""

import re
import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import click

from exavrrp.chronicle import Entry, decoded
from exavrrp.cli import options
from exavrrp.cli.asking import answers, entries, meant
from exavrrp.cli.output import fail
from exavrrp.cli.reasons import reasons
from exavrrp.cli.style import say
from exavrrp.control import Status, StatusAnswer

LONGEST = 1 << 24
"""Bytes of a journal that are read, the first ones."""


@click.command("why")
@click.argument("words", metavar="[NAME]", nargs=-1, shell_complete=options.router_names)
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw it: who was Active when, and why. In place of NAME journals may be given.",
)
@click.option("--router", "names", metavar="NAME", multiple=True, help="With --svg: draw this router; several times.")
@click.option(
    "--since",
    metavar="DURATION",
    callback=options.seconds,
    help="With --svg: so long before the last entry (90s, 30m, 2h); else the last transitions.",
)
@options.agent
def command(
    *, words: tuple[str, ...], svg: Path | None, names: tuple[str, ...], since: float | None, path: Path
) -> None:
    """Say why each virtual router (or NAME) is in its state, what was not the reason, and what would move it.

    NAME is that of a virtual router, of a service with addresses of both families, or of a group.

    The cause was noted when it happened; times are UTC. Exit status: 2 if there is no such virtual router, 4 if no
    agent answers.

    With --svg FILE [JOURNAL...] the last transitions are drawn, by what the running agent has noted; or by journals of
    one or several nodes, also of dead ones: events.jsonl of each, or what exavrrp events --json has said there. A
    journal is that of the node that its file is named after (node1.jsonl), or the directory of events.jsonl. The
    clocks of the nodes are assumed to agree.
    """
    if svg is not None:
        _draw(svg, [Path(word) for word in words], names, since, path)
        return
    if len(words) > 1 or names or since is not None:
        raise click.UsageError("one NAME at most; journals, --router and --since go with --svg")
    for answer in answers(path, Status()):
        if not isinstance(answer, StatusAnswer):
            continue
        routers = meant(answer.routers, words[0] if words else None)
        found = [entry for entry, _ in entries(path)[1]]
        for number, router in enumerate(routers):
            if number:
                say([""])
            say(reasons(answer, router, found))


def _draw(file: Path, journals: Sequence[Path], names: Sequence[str], since: float | None, path: Path) -> None:
    from exavrrp.cli.picture import Journal, NothingToDraw, draw  # noqa: PLC0415 — most ask for words

    if journals:
        found = [Journal(_node(one), [*_read(one)]) for one in journals]
    else:
        found = [Journal(socket.gethostname(), [entry for entry, _ in entries(path)[1]], live=True)]
    try:
        text = draw(found, names, None if since is None else timedelta(seconds=since))
    except NothingToDraw as error:
        fail(f"nothing to draw: {error}")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror or error}")


def _node(journal: Path) -> str:
    """Whose it is: by its directory, if it is called as the agent calls it."""
    if re.fullmatch(r"events(\.\d)?\.jsonl", journal.name):
        return journal.resolve().parent.name
    return journal.name.partition(".")[0]


def _read(journal: Path) -> Iterator[Entry]:
    try:
        with journal.open("rb") as file:
            content = file.read(LONGEST)
    except OSError as error:
        fail(f"cannot read {journal}: {error.strerror or error}")
    found = [entry for line in content.split(b"\n") if (entry := decoded(line)) is not None]
    if not found:
        fail(f"{journal} is no journal: give events.jsonl of a node, or what exavrrp events --json says there")
    yield from found
