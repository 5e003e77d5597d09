"""The descriptors under the conversation: stdin and stdout taken over, read and written without ever waiting.

``ExaBGP`` owns the two pipes. Once ``open`` has them, nobody else has: descriptor 1 leads to stderr and descriptor 0 to
/dev/null, so that neither a stray ``print`` nor a child can touch the API, and no child keeps ExaBGP from noticing that
we died (it watches for the end of our stdout).

Reading never stops: ExaBGP blocks in its write once the pipe is full, and then all its sessions die. Writing is bounded
by the conversation, which is asked for more only when everything before has been written. What happens is told as
events, in order, from the event loop; ``tell`` may call ``set`` and ``close``.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

from exavrrp.routes import Dialect, Route
from exavrrp.system.exabgp.conversation import Conversation, Event, Gone, Odd

LONGEST_LINE = 64 * 1024
"""Bytes. What we need are lines of at most 400; the longest of all tell a received UPDATE, of 4 KiB as hexadecimals."""

_CHUNK = 64 * 1024
"""Bytes read at once: the capacity of a pipe (pipe(7))."""
_BATCH = 8
"""Reads in one wake-up, so that a flood cannot keep the event loop from its timers."""


class Lines:
    """Bytes → lines. A line that is too long is left out as a whole; ``dropped`` counts them."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self.dropped = 0
        self._longest = longest
        self._begun = b""
        self._dropping = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now, whatever their bytes are."""
        complete: list[bytes] = []
        begun, *rest = data.split(b"\n")
        self._grow(begun)
        for part in rest:  # each one follows a newline
            if not self._dropping:
                complete.append(self._begun)
            self._begun, self._dropping = b"", False
            self._grow(part)
        return [line.decode("ascii", "replace").rstrip("\r") for line in complete]

    def _grow(self, data: bytes) -> None:
        if self._dropping:
            return
        self._begun += data
        if len(self._begun) > self._longest:
            self._begun, self._dropping = b"", True
            self.dropped += 1


class ExaBGP:
    """ExaBGP at the other end of our stdin and stdout."""

    def __init__(self, ours: Iterable[Route], tell: Callable[[Event], None]) -> None:
        """``ours``: every address that may be announced, in every form of it, the likeliest first.

        Not only those of the configuration: also what somebody remembers that a predecessor announced. Raises
        ValueError when an address has a form for all neighbours and one for some.
        """
        self._conversation = Conversation(ours)
        self._tell = tell
        self._lines = Lines()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._input = self._output = -1
        self._unwritten = b""
        self._alarm: asyncio.TimerHandle | None = None
        self._pumping = False
        self._called = False

    @property
    def dialect(self) -> Dialect | None:
        """``None`` until ExaBGP has told its version."""
        return self._conversation.dialect

    @property
    def established(self) -> frozenset[IPv4Address | IPv6Address]:
        """The neighbours whose BGP session is up."""
        return frozenset(self._conversation.established)

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has carried out everything that was wanted last."""
        return self._conversation.settled

    def has_carried_out(self, addresses: Iterable[IPv4Address | IPv6Address]) -> bool:
        """Whether ExaBGP has carried out what was wanted last for each of these addresses."""
        return self._conversation.has_carried_out(addresses)

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
        loop.add_reader(self._input, self._readable)
        self._pump()

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these of our addresses announced, and like this; every other one of ours withdrawn.

        Until the first call nothing is said about any. Raises KeyError for an address that is not ours.
        """
        self._conversation.set(wanted)
        if self._loop is not None and not self._called:
            # At the end of this turn of the loop: other virtual routers may change with this one.
            self._called = True
            self._loop.call_soon(self._pump_called)

    def flush(self) -> None:
        """Says what is to be said now, and not at the end of this turn of the loop."""
        if self._called and not self._pumping:
            self._pump_called()

    def close(self) -> None:
        """Lets go of ExaBGP; what it has been told stays as it is. Nothing is told any more."""
        self.flush()  # there will be no end of this turn for us
        if self._loop is None:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._loop.remove_reader(self._input)
        self._loop.remove_writer(self._output)
        self._loop = None
        os.close(self._input)
        os.close(self._output)

    # In

    def _readable(self) -> None:
        self._read(_BATCH)
        self._pump()

    def _read(self, most: int) -> None:
        """Hands over what waits; afterwards ``_loop`` may be None: ExaBGP is gone, or a listener closed us."""
        for _ in range(most):
            if self._loop is None:
                return
            try:
                data = os.read(self._input, _CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(f"stdin: {error.strerror}")
                return
            if not data:
                self._lost("end of file on stdin")
                return
            self._hear(data, self._loop.time())

    def _hear(self, data: bytes, now: float) -> None:
        dropped = self._lines.dropped
        for line in self._lines.feed(data):
            self._tell_all(self._conversation.feed(line, now))
        if self._lines.dropped > dropped:
            self._tell_all([Odd(f"a line of more than {LONGEST_LINE} bytes was left out")])

    def _tell_all(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._loop is not None:
                self._tell(event)

    def _lost(self, why: str) -> None:
        """ExaBGP is gone; told once."""
        self.close()
        self._tell(Gone(why))

    # Out

    def _pump(self) -> None:
        """Writes what is to be said as far as the pipe takes it, and sets the alarm anew."""
        if self._pumping:
            return  # a listener wants something in the middle of it
        self._pumping = True
        try:
            while self._loop is not None and not self._unwritten:
                lines = self._conversation.transmit(self._loop.time())
                if not lines:
                    break
                self._unwritten = "".join(f"{line}\n" for line in lines).encode("ascii")
                self._write()
        finally:
            self._pumping = False
        self._set_alarm()

    def _pump_called(self) -> None:
        self._called = False
        self._pump()

    def _write(self) -> None:
        assert self._loop is not None
        try:
            written = os.write(self._output, self._unwritten)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._lost(f"stdout: {error.strerror}")
            return
        self._unwritten = self._unwritten[written:]
        if self._unwritten:
            self._loop.add_writer(self._output, self._writable)

    def _writable(self) -> None:
        assert self._loop is not None
        self._loop.remove_writer(self._output)
        self._write()
        self._pump()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self._conversation.deadline
        if self._loop is not None and deadline is not None:
            self._alarm = self._loop.call_at(deadline, self._alarmed)

    def _alarmed(self) -> None:
        self._alarm = None
        self._read(_BATCH)  # after a pause of ours the answers are waiting there
        if self._loop is not None:
            self._tell_all(self._conversation.tick(self._loop.time()))
        self._pump()


def _taken(descriptor: int, replacement: int) -> int:
    """``descriptor`` under another number, non-blocking and closed on exec; ``replacement`` takes its place."""
    try:
        taken = os.dup(descriptor)  # not inherited by children (PEP 446)
        os.set_blocking(taken, False)
        os.dup2(replacement, descriptor, inheritable=True)
    finally:
        os.close(replacement)
    return taken
