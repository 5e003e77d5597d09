"""The descriptors under the conversation: stdin and stdout taken over, read and written without ever waiting.

``ExaBGP`` owns the two pipes. Once ``open`` has them, nobody else has: descriptor 1 leads to stderr and descriptor 0 to
/dev/null, so that neither a stray ``print`` nor a child can touch the API, and no child keeps ExaBGP from noticing that
we died (it watches for the end of our stdout).

Reading never stops: ExaBGP blocks in its write once the pipe is full, and then all its sessions die. What is read and
written, and when, is decided by ``pump.Pump``.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable

from exavrrp.pump import Pump
from exavrrp.speaker import Event

_CHUNK = 64 * 1024
"""Bytes read at once: the capacity of a pipe (pipe(7))."""


class ExaBGP(Pump):
    """ExaBGP at the other end of our stdin and stdout."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        """As of ``Pump``."""
        super().__init__(tell, self._take, self._give)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._input = self._output = -1

    def open(self, loop: asyncio.AbstractEventLoop, stdin: int = 0, stdout: int = 1) -> None:
        """Takes the two descriptors over and begins to talk.

        Raises OSError when they are no pipes: then nobody is there to talk to.
        """
        for descriptor, name in ((stdin, "stdin"), (stdout, "stdout")):
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
                raise OSError(errno.ENXIO, f"{name} is not a pipe to ExaBGP, which is to start this program")
        self._loop = loop
        self._input = _taken(stdin, os.open(os.devnull, os.O_RDONLY))
        self._output = _taken(stdout, os.dup(2))
        loop.add_reader(self._input, self.readable)
        self.begin(loop)

    def close(self) -> None:
        """Lets go of ExaBGP; what it has been told stays as it is. Nothing is told any more."""
        super().close()
        if self._loop is None:
            return
        self._loop.remove_reader(self._input)
        self._loop.remove_writer(self._output)
        self._loop = None
        os.close(self._input)
        os.close(self._output)

    def _take(self) -> bytes:
        return os.read(self._input, _CHUNK)

    def _give(self, data: bytes) -> int:
        try:
            written = os.write(self._output, data)
        except BlockingIOError:
            written = 0
        if self._loop is not None and written < len(data):
            self._loop.add_writer(self._output, self._has_room)
        return written

    def _has_room(self) -> None:
        assert self._loop is not None
        self._loop.remove_writer(self._output)
        self.writable()


def _taken(descriptor: int, replacement: int) -> int:
    """``descriptor`` under another number, non-blocking and closed on exec; ``replacement`` takes its place."""
    try:
        taken = os.dup(descriptor)  # not inherited by children (PEP 446)
        os.set_blocking(taken, False)
        os.dup2(replacement, descriptor, inheritable=True)
    finally:
        os.close(replacement)
    return taken
