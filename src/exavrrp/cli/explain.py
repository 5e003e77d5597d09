"""``exavrrp explain``: what a code of the log, of ``status``, ``events`` or ``doctor`` means, and what to do."""

from difflib import get_close_matches

import click

from exavrrp.cli.output import fail
from exavrrp.cli.style import folded, say
from exavrrp.codes import CODES, explained

NO_SUCH = 2
"""Exit status."""


@click.command("explain")
@click.argument("code", metavar="[CODE]", required=False)
def command(code: str | None) -> None:
    """Say what CODE means, and what to do; without one list all codes. Exit status: 2 if there is no such code."""
    if code is None:
        for name, one in CODES.items():
            say(folded(one.means, f"{name}  ", "   "))
        return
    if code not in CODES:
        near = get_close_matches(code, CODES)
        fail(f"there is no code {code!r}{f'; {near[0]}?' if near else '; exavrrp explain lists all'}", status=NO_SUCH)
    name, *paragraphs = explained(code)
    say([name, *(line for paragraph in paragraphs for line in folded(paragraph, "  "))])
