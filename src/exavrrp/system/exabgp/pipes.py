"""The pipes to ExaBGP: stdin and stdout, read and written without blocking.

``ExaBGP`` owns the two pipes. ``open`` moves them to other descriptors: then descriptor 1 leads to stderr and 0 to
/dev/null. So neither a stray ``print`` nor a child can write to the API, and no child keeps stdout open after our end,
which ExaBGP detects by its closing.

Reading never stops: ExaBGP blocks in its write when the pipe is full, and then all its sessions time out. ``pump.Pump``
decides what is written, and when.
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
        """``tell`` as in ``Pump``."""
        super().__init__(tell, self._take, self._give)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._input = self._output = -1

    def open(self, loop: asyncio.AbstractEventLoop, stdin: int = 0, stdout: int = 1) -> None:
        """Moves the two descriptors, and starts to read and write.

        Raises OSError when they are no pipes or sockets: then ExaBGP has not started this process.
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
        """Closes the pipes. ExaBGP keeps its routes, and ``tell`` is not called any more."""
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
    """Moves ``descriptor`` to the returned number, non-blocking and close-on-exec; ``replacement`` takes its place."""
    try:
        taken = os.dup(descriptor)  # not inherited by children (PEP 446)
        os.set_blocking(taken, False)
        os.dup2(replacement, descriptor, inheritable=True)
    finally:
        os.close(replacement)
    return taken
