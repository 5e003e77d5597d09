"""An ExaBGP that does not read our commands any more, and keeps announcing our routes.

In a reload whose configuration does not load (the file is missing, unreadable, empty, or wrong before the process
stanza) ExaBGP ends its processes and starts none, and keeps its sessions and our routes (4.2.21 to 5.0.15). The
caretaker can withdraw the routes only by ending ExaBGP, which closes its sessions.

``Deaf`` replaces ``pipes.ExaBGP`` for that. It knows which prefixes are announced. A desired one of these counts as
carried out, whatever its attributes; it cannot announce others. One that is not desired any more is withdrawn by ending
ExaBGP, if that is permitted (``permit_end``).

It signals ExaBGP by its process number, and only while that number still belongs to the process that started us, which
has the same start time. (The agent has checked that its command is called exabgp.)
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exavrrp.control import start_time
from exavrrp.ports import Clock
from exavrrp.routes import Network, Route
from exavrrp.speaker import Answered, Disconnected, Event
from exavrrp.timers import Timer

POLL = 0.02
"""Seconds between two polls of whether ExaBGP runs."""

END_LIMIT = 0.75
"""Seconds from SIGTERM to SIGKILL. An ExaBGP without API processes closes its sessions at once, and ends within
0.2 s."""


class Process(Protocol):
    """ExaBGP as a process."""

    def lives(self) -> bool:
        """Whether it still runs."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs and we have the right to."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The process that has started us."""

    number: int
    started: int
    """in clock ticks since the boot"""

    def lives(self) -> bool:
        """Whether it still runs."""
        return lives(self.number, self.started)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs. Without the right to, nothing happens."""
        if self.lives():
            with suppress(OSError):
                os.kill(self.number, number)


class Deaf:
    """An ExaBGP that reads no commands, and keeps announcing our routes."""

    def __init__(self, process: Process, announced: Iterable[Network], tell: Callable[[Event], None]) -> None:
        """``announced``: our prefixes that it announces, or may announce. ``tell`` is called with each event."""
        self.announced = frozenset(announced)
        self.wanted = self.announced
        self._process = process
        self._may_end = False
        self._tell = tell
        self._clock: Clock | None = None
        self._alarm: Timer | None = None

    def open(self, clock: Clock) -> None:
        """Starts to poll whether ExaBGP runs."""
        self._clock = clock
        self._poll()

    def permit_end(self, may_end: bool) -> None:
        """Whether ExaBGP may be ended to withdraw routes. If no route is wanted any more, it is ended at once."""
        self._may_end = may_end
        if not self.wanted:
            self._want(self.wanted)

    def reload(self) -> None:
        """Has ExaBGP reload its file (SIGUSR1), if it still runs and we have the right to tell it."""
        self._process.signal(signal.SIGUSR1)

    def own(self, ours: Iterable[Route]) -> None:
        """Sets our routes. Others are not wanted any more; those that are not announced yet cannot be announced."""
        self._want(self.wanted & {route.network for route in ours})

    def inherit(self, networks: Iterable[Network]) -> None:
        """Does nothing: the announced prefixes are known."""

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these prefixes announced. Their attributes cannot be changed."""
        self._want(frozenset(route.network for route in wanted))

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        """Wants these announced, or not announced (None), and all others as before."""
        announced = {network for network, route in wanted.items() if route is not None}
        self._want((self.wanted - wanted.keys()) | announced)

    def _want(self, wanted: frozenset[Network]) -> None:
        self.wanted = wanted
        if self._may_end and not self.announced <= wanted:
            self._process.signal(signal.SIGTERM)

    def repeat(self) -> None:
        """Does nothing: nothing can be said any more."""

    def flush(self) -> None:
        """Does nothing: no command waits to be sent."""

    def catch_up(self, until: float) -> None:
        """Does nothing: it answers nothing."""

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether each of these is announced if it is wanted, and not announced if it is not."""
        return all((one in self.wanted) == (one in self.announced) for one in networks)

    @property
    def answer_seconds(self) -> float | None:
        """It answers nothing."""
        return None

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether any of these is announced."""
        return not self.announced.isdisjoint(networks)

    def close(self) -> None:
        """Stops polling. ExaBGP is not ended."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._clock = None

    async def end(self) -> bool:
        """Ends ExaBGP if it announces any of our routes: SIGTERM, and SIGKILL after ``END_LIMIT``.

        Takes at most twice ``END_LIMIT``. Returns false if ExaBGP still runs and announces our routes.
        """
        if not self.announced:
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._process.signal(number)
            for _ in range(round(END_LIMIT / POLL)):
                if not self._process.lives():
                    return True
                await asyncio.sleep(POLL)
        return not self._process.lives()

    def _poll(self) -> None:
        assert self._clock is not None
        if self._process.lives():
            self._alarm = self._clock.call_at(self._clock.time() + POLL, self._poll)
            return
        self._alarm = None
        gone, self.announced = self.announced - self.wanted, frozenset()
        for network in sorted(gone, key=str):
            self._tell(Answered(network, None))
        self._tell(Disconnected("it has ended"))


def lives(number: int, started: int) -> bool:
    """Whether the process with that number and start time runs; false for a zombie."""
    try:
        stat = Path(f"/proc/{number}/stat").read_bytes()
    except OSError:
        return False
    return start_time(stat) == started and stat.rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])
