"""``exavrrp watch``: the node on a terminal, live."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.asking import answers, control_socket, journal
from exavrrp.cli.board import Board
from exavrrp.cli.output import fail
from exavrrp.control import Status, StatusAnswer
from exavrrp.system.client import Unanswered, ask
from exavrrp.view import Moment

PATIENCE = 2.0
"""Seconds for an answer: an agent that is stopped is to be called so soon."""


@click.command("watch")
@options.agent
def command(*, path: Path) -> None:
    """Show status, paths and events on a terminal, live; leave with q.

    Twice a second the running agent says what exavrrp status shows. While it is restarted, the last state stays, and
    is called old. Times are UTC.

    Keys: up and down select a router; p: a strip for each path of all routers; e: events; w: why; s: all about the
    router; Esc: back; q or Ctrl-C: leave.

    Needs rich: pip install 'exavrrp[watch]'. Exit status: 4 if no agent answers at the beginning.
    """
    try:
        from exavrrp.cli.terminal import show  # noqa: PLC0415 — what it needs is an extra
    except ModuleNotFoundError:
        fail("rich is missing; install it: pip install 'exavrrp[watch]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        fail("watch needs a terminal; elsewhere use exavrrp status, or exavrrp events --follow")
    list(answers(path, Status()))  # nobody there, or not for us: said at once
    board = Board()
    if left := show(board, Looking(control_socket(path), board).look):
        raise SystemExit(128 + left)


class Looking:
    """Asks the agent, and remembers how far its journal was read."""

    def __init__(self, socket: Path, board: Board) -> None:
        self._socket = socket
        self._board = board
        self._began: tuple[int, Moment | None] | None = None
        """which agent has answered last"""
        self._count = 0

    def look(self) -> Callable[[], None]:
        """Ask; what is returned brings the board up to date."""
        try:
            answer = next(
                one for one in ask(self._socket, Status(), patience=PATIENCE) if isinstance(one, StatusAnswer)
            )
            anew = self._began != (answer.process, answer.began)
            self._count, found = journal(self._socket, 0 if anew else self._count, PATIENCE)
        except Unanswered as error:
            return partial(self._board.lose, str(error), datetime.now(UTC))
        self._began = answer.process, answer.began
        return partial(self._board.take, answer, [entry for entry, _ in found], anew=anew)
