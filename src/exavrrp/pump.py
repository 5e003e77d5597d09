"""A conversation with ExaBGP at work: reads and writes lines, sets its alarm, reports events; pure.

``Pump`` stands between ``speaker.Conversation`` and the two ends of the pipes, which it is given as functions: those of
descriptors (``system.exabgp``), or of a model of ExaBGP in the simulation. Whoever owns the ends calls ``readable`` and
``writable``.

Writing is bounded by the conversation, which is asked for more only when everything before has been taken. Events are
reported in order; their receiver may call ``set`` and ``close``.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf

from exavrrp.neighbors import Session
from exavrrp.ports import Clock
from exavrrp.routes import Network, Route
from exavrrp.speaker import Anomaly, Conversation, Disconnected, Event
from exavrrp.speaker.dialects import Dialect
from exavrrp.timers import Timer

LONGEST_LINE = 64 * 1024
"""Bytes. We need lines of at most 400; the longest of all have a received UPDATE of 4 KiB in hexadecimal."""

BATCH = 8
"""Reads in one wake-up, so that a flood cannot keep the event loop from its timers."""


class Lines:
    """Bytes → lines. A line that is too long is dropped as a whole; ``dropped`` counts them."""

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


class Pump:
    """ExaBGP, as a node speaks to it (``ports.Speaker``)."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        read: Callable[[], bytes],
        write: Callable[[bytes], int],
    ) -> None:
        """``read`` and ``write`` never wait. ``read`` returns what has come, nothing at its end, and raises
        BlockingIOError when there is nothing yet; ``write`` returns how many bytes were taken. After fewer than all
        ``writable`` is to be called. Both raise OSError when ExaBGP is gone.
        """
        self.conversation = Conversation()
        self.unwritten = b""
        """what was written, and is not taken yet"""
        self._tell = tell
        self._read_from = read
        self._write_to = write
        self._lines = Lines()
        self._clock: Clock | None = None
        self._alarm: Timer | None = None
        self._pumping = False
        self._called = False
        self._caught_up = -inf

    @property
    def dialect(self) -> Dialect | None:
        """``None`` until ExaBGP has sent its version."""
        return self.conversation.dialect

    @property
    def established(self) -> frozenset[Session]:
        """The BGP sessions that are up."""
        return frozenset(self.conversation.established)

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has carried out everything that is desired."""
        return self.conversation.settled

    @property
    def wanted(self) -> Mapping[Network, Route]:
        """The desired routes; every other prefix of ours is to be withdrawn."""
        return self.conversation.wanted

    @property
    def owes(self) -> bool:
        """Whether a desired change has not been written yet."""
        return self._called and not self._pumping

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether ExaBGP has carried out what is desired of each of these prefixes."""
        return self.conversation.has_carried_out(networks)

    @property
    def answer_seconds(self) -> float | None:
        """Seconds that ExaBGP took for its last answer; None: there was none."""
        return self.conversation.answer_seconds

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether ExaBGP may announce any of these prefixes (``Conversation.may_announce``)."""
        return self.conversation.may_announce(networks)

    def begin(self, clock: Clock) -> None:
        """Greet ExaBGP; from now on the alarm is set."""
        self._clock = clock
        self._pump()

    def own(self, ours: Iterable[Route]) -> None:
        """These prefixes may be announced from now on, in these forms (``Conversation.own``).

        Not only those of the configuration: also those that a predecessor announced. Raises
        ValueError, and then nothing has changed.
        """
        self.conversation.own(ours)
        self._pump_soon()

    def inherit(self, networks: Iterable[Network]) -> None:
        """A predecessor may have had ExaBGP announce these. Raises KeyError for a prefix that is not ours."""
        self.conversation.inherit(networks)

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these of our prefixes announced, and like this; every other one of ours withdrawn.

        Until the first call no command is sent about any. Raises KeyError for a prefix that is not ours.
        """
        self.conversation.set(wanted)
        self._pump_soon()

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        """Wants these of our prefixes announced like this, or withdrawn (None), and all others as before.

        Nothing before the first ``set``. Raises KeyError for a prefix that is not ours.
        """
        self.conversation.change(wanted)
        self._pump_soon()

    def repeat(self) -> None:
        """Has ExaBGP write to each neighbor: a session that the other end has closed is found closed."""
        self.conversation.repeat()
        self._pump_soon()

    def _pump_soon(self) -> None:
        if self._clock is not None and not self._called:
            # At the end of this turn of the loop: other virtual routers may change with this one.
            self._called = True
            self._clock.call_soon(self._pump_called)

    def flush(self) -> None:
        """Writes what is due now, and not at the end of this turn of the loop."""
        if self.owes:
            self._pump_called()

    def close(self) -> None:
        """Lets go of ExaBGP, which goes on announcing what it was sent. No event is reported any more."""
        self.flush()  # the end of this turn will not come
        self._clock = None
        self._set_alarm()

    # In

    def readable(self) -> None:
        """Data has come, or the end of the pipe."""
        self._read()
        self._pump()

    def catch_up(self, until: float) -> None:
        """Reports what has come until then (seconds of the clock) and was not read yet: the first who asks for it reads
        for all that ask at one moment.
        """
        if self._clock is not None and self._caught_up < until:
            self._caught_up = self._clock.time()
            if self._read():
                self._pump()

    def _read(self) -> bool:
        """Reads what waits; whether there was anything.

        Afterwards it may be closed: ExaBGP is gone, or the receiver of an event closed it.
        """
        for count in range(BATCH):
            if self._clock is None:
                return count > 0
            try:
                data = self._read_from()
            except BlockingIOError:
                return count > 0
            except OSError as error:
                self._lost(f"stdin: {error.strerror}")
                return True
            if not data:
                self._lost("end of file on stdin")
                return True
            self._hear(data, self._clock.time())
        return True

    def _hear(self, data: bytes, now: float) -> None:
        dropped = self._lines.dropped
        for line in self._lines.feed(data):
            self._tell_all(self.conversation.feed(line, now))
        if self._lines.dropped > dropped:
            self._tell_all([Anomaly(f"a line of more than {LONGEST_LINE} bytes was left out")])

    def _tell_all(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._clock is not None:
                self._tell(event)

    def _lost(self, why: str) -> None:
        """ExaBGP is gone; reported once."""
        self.close()
        self._tell(Disconnected(why))

    # Out

    def writable(self) -> None:
        """The rest may be taken now."""
        if self._clock is not None and self.unwritten:
            self._write()
            self._pump()

    def _pump(self) -> None:
        """Writes what is due as far as the pipe takes it, and sets the alarm anew."""
        self._pumping = True  # the receiver of an event may change what is desired in the middle of it
        try:
            while self._clock is not None and not self.unwritten:
                lines = self.conversation.transmit(self._clock.time())
                if not lines:
                    break
                self.unwritten = "".join(f"{line}\n" for line in lines).encode("ascii")
                self._write()
        finally:
            self._pumping = False
        self._set_alarm()

    def _pump_called(self) -> None:
        self._called = False
        self._pump()

    def _write(self) -> None:
        try:
            self.unwritten = self.unwritten[self._write_to(self.unwritten) :]
        except OSError as error:
            self._lost(f"stdout: {error.strerror}")

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self.conversation.deadline
        if self._clock is not None and deadline is not None:
            self._alarm = self._clock.call_at(deadline, self.ring)

    def ring(self) -> None:
        """The alarm: time has passed."""
        self._alarm = None
        self._read()  # after a pause of ours the answers are waiting there
        if self._clock is not None:
            self._tell_all(self.conversation.tick(self._clock.time()))
        self._pump()
