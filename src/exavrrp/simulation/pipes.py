"""The ends of the pipes between a simulated agent, whose ``Pump`` is the real one, and a simulated ExaBGP."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from exavrrp.pump import Pump
from exavrrp.simulation.exabgp import ExaBGP
from exavrrp.simulation.world import Loop
from exavrrp.speaker import Event


class Pipes(Pump):
    """What ``system.exabgp.ExaBGP`` is, without descriptors."""

    def __init__(self, exabgp: ExaBGP, tell: Callable[[Event], None], says: Callable[[list[str]], None]) -> None:
        """``says`` sees every line when it is written, or would be if there were room."""
        super().__init__(tell, self._take, self._give)
        self._exabgp = exabgp
        self._says = says
        self._input, self._ended, self._detached = b"", False, False
        self._rest = False
        """whether what is given next was given before"""
        self._loop: Loop | None = None

    def open(self, loop: Loop) -> None:
        self._loop = loop
        if self._exabgp.alive and not self._detached:  # it may have been replaced before it had come up
            self._exabgp.reader = self
        elif not self._detached:
            self.eof()
        self.begin(loop)

    def detach(self) -> None:
        """Another process is at ExaBGP's end now: whatever is still written is lost."""
        self._detached = True

    # What ExaBGP does

    def hear(self, data: bytes) -> None:
        assert self._loop is not None
        self._input += data
        self._loop.readable(self.readable)

    def eof(self) -> None:
        assert self._loop is not None
        self._ended = True
        self._loop.readable(self.readable)

    def room(self) -> None:
        assert self._loop is not None
        self._loop.readable(self.writable)

    # What the pump does

    def _take(self) -> bytes:
        data, self._input = self._input, b""
        if not data and not self._ended:
            raise BlockingIOError
        return data

    def _give(self, data: bytes) -> int:
        if not self._rest:
            self._says(data.decode().splitlines())
        taken = len(data) if self._detached else self._exabgp.write(data)
        self._rest = taken < len(data)
        return taken


@dataclass(frozen=True, slots=True)
class Parent:
    """What ``system.exabgp.Parent`` is: a simulated ExaBGP as a process."""

    exabgp: ExaBGP
    tell: Callable[[ExaBGP, signal.Signals], None]
    """takes a moment"""

    def lives(self) -> bool:
        return self.exabgp.alive

    def signal(self, number: signal.Signals) -> None:
        if self.lives():
            self.tell(self.exabgp, number)
