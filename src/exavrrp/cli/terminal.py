"""The terminal of ``exavrrp watch``: keys come at once, a screen of its own; and as it was before, however it ends.

A signal is taken up between two drawings, as a key is. So nothing interrupts the restoring of the terminal.
"""

import asyncio
import errno
import os
import re
import signal
import sys
import termios
import tty
from asyncio import Future, Queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.text import Text

from exavrrp.cli.board import PERIOD, Board, Line, Tone
from exavrrp.cli.style import STATES, printable
from exavrrp.system.threads import in_thread

ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)

STYLES = {
    Tone.PLAIN: "",
    Tone.TITLE: "bold",
    Tone.SELECTED: "reverse",
    Tone.PROBLEM: "yellow",
    Tone.OLD: "dim",
}

NAMES = {"\x1b": "escape", "\x1b[A": "up", "\x1bOA": "up", "\x1b[B": "down", "\x1bOB": "down"}
"""Keys that are more than their letter (ECMA-48; O: in application mode)."""


Look = Callable[[], Callable[[], None]]
"""Asks the agent, in a thread; what it returns brings the board up to date."""


def show(board: Board, look: Look) -> int:
    """Show the board, and ``look`` every ``PERIOD`` seconds, until somebody leaves: 0, or by which signal.

    Raises what ``look`` raises.
    """
    console = Console(highlight=False)
    try:
        while (left := asyncio.run(_until_left(console, board, look))) == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)
    except OSError as error:
        if error.errno != errno.EIO:  # what a terminal that is gone says
            raise
        return signal.SIGHUP
    return left


async def _until_left(console: Console, board: Board, look: Look) -> int:
    loop = asyncio.get_running_loop()
    inbox: Queue[signal.Signals | Future[Callable[[], None]] | bytes] = Queue()
    for number in (*ENDING, signal.SIGWINCH):
        loop.add_signal_handler(number, inbox.put_nowait, number)
    loop.add_reader(sys.stdin, lambda: inbox.put_nowait(_typed()))

    def ask() -> None:
        in_thread(look).add_done_callback(inbox.put_nowait)

    with _cbreak(), console.screen() as screen:
        ask()
        while True:
            screen.update(Group(*map(_text, board.lines(console.height))))
            match await inbox.get():
                case Future() as looked:
                    looked.result()()
                    loop.call_later(PERIOD, ask)
                case signal.SIGINT:
                    return 0
                case signal.SIGWINCH:
                    pass
                case signal.Signals() as number:
                    return number
                case b"":
                    return signal.SIGHUP
                case bytes() as typed:
                    for key in re.findall(r"\x1b[\[O].|.", typed.decode("ascii", "replace")):
                        if key == "q":
                            return 0
                        board.press(NAMES.get(key, key))


def _typed() -> bytes:
    """The keys that were pressed; none: the terminal is gone."""
    try:
        return os.read(sys.stdin.fileno(), 256)
    except OSError:
        return b""


@contextmanager
def _cbreak() -> Iterator[None]:
    """Each key comes at once and is not shown; Ctrl-C, Ctrl-\\ and Ctrl-Z remain signals."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        with suppress(termios.error):  # of a terminal that is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _text(line: Line) -> Text:
    text = Text(printable(line.text), STYLES[line.tone], no_wrap=True, overflow="crop")
    if line.tone in {Tone.PLAIN, Tone.PROBLEM}:
        for word, colour in STATES.items():
            text.highlight_regex(rf"(?<!\S){word}(?!\S)", colour)
    return text
