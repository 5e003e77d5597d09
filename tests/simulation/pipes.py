"""The real ``Conversation`` between a simulated agent and a simulated ExaBGP.

``Pipes`` stands for ``exavrrp.system.exabgp.ExaBGP``, the descriptors under the conversation: the same calls at the
same moments, without descriptors. A pipe that is full is not simulated; the conversation bounds what it writes.
"""

from collections.abc import Callable, Iterable

from exavrrp.routes import Route
from exavrrp.system.exabgp.conversation import Conversation, Event, Gone
from tests.simulation.exabgp import ExaBGP
from tests.simulation.network import Address
from tests.simulation.world import Handle, Loop


class Pipes:
    """ExaBGP at the other end."""

    def __init__(
        self,
        loop: Loop,
        ours: Iterable[Route],
        exabgp: ExaBGP,
        tell: Callable[[Event], None],
        says: Callable[[list[str]], None],
    ) -> None:
        """``says`` sees every line that is written."""
        self.conversation = Conversation(ours)
        self._loop = loop
        self._exabgp = exabgp
        self._tell = tell
        self._says = says
        self._input: list[str] = []
        self._end: str | None = None
        self._alarm: Handle | None = None
        self._open = True
        self._detached = False
        self._called = False
        self._pumping = False

    def open(self) -> None:
        if self._detached:
            pass  # replaced before it had come up
        elif self._exabgp.alive:
            self._exabgp.reader = self
        else:
            self.eof("end of file on stdin")
        self._pump()

    def close(self) -> None:
        self.flush()
        self._open = False
        if self._alarm is not None:
            self._alarm.cancel()

    def detach(self) -> None:
        """Another process is at ExaBGP's end now: whatever is still written is lost."""
        self._detached = True

    # What ExaBGP does

    def hear(self, lines: list[str]) -> None:
        self._input += lines
        self._loop.readable(self._readable)

    def eof(self, why: str) -> None:
        self._end = why
        self._loop.readable(self._readable)

    # What the agent does

    def set(self, wanted: Iterable[Route]) -> None:
        self.conversation.set(wanted)
        if self._open and not self._called:
            self._called = True
            self._loop.call_soon(self._pump_called)

    def flush(self) -> None:
        if self._called and not self._pumping:
            self._pump_called()

    @property
    def owes(self) -> bool:
        """Whether something is wanted that nobody has tried to write."""
        return self._called and not self._pumping

    def has_carried_out(self, addresses: Iterable[Address]) -> bool:
        return self.conversation.has_carried_out(addresses)

    def _readable(self) -> None:
        self._read()
        self._pump()

    def _read(self) -> None:
        lines, self._input = self._input, []
        for line in lines:
            self._tell_all(self.conversation.feed(line, self._loop.time()))
        if self._end is not None and self._open:
            self.close()
            self._tell(Gone(self._end))

    def _tell_all(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._open:
                self._tell(event)

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._open:
                lines = self.conversation.transmit(self._loop.time())
                if not lines:
                    break
                self._says(lines)
                if not self._detached:
                    self._exabgp.write(lines)
        finally:
            self._pumping = False
        self._set_alarm()

    def _pump_called(self) -> None:
        self._called = False
        self._pump()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self.conversation.deadline
        if self._open and deadline is not None:
            self._alarm = self._loop.call_at(deadline, self._alarmed)

    def _alarmed(self) -> None:
        self._alarm = None
        self._read()
        if self._open:
            self._tell_all(self.conversation.tick(self._loop.time()))
        self._pump()
