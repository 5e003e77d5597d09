"""An ExaBGP that does not read our commands any more, and goes on announcing what it was sent last.

A reload whose file does not load (it is missing, not readable, empty, or wrong before the process stanza) makes ExaBGP
forget its processes: it ends ours, starts no other, and keeps its sessions and our routes (4.2.21 to 5.0.15). The
caretaker of the addresses then has one command left: to end ExaBGP, whose routes go with its sessions.

``Deaf`` takes the place of ``pipes.ExaBGP`` for that. It knows which prefixes are announced; a desired one of these, in
whatever form, counts as carried out. It cannot announce another one. One that is not desired any more is withdrawn by
the end of ExaBGP, once that is permitted (``may_end``).

It signals ExaBGP by its process number, and only while that number still belongs to the process that started us: one
with the same start time, and whose command is called exabgp.
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

LOOK = 0.02
"""Seconds between two polls of whether ExaBGP runs."""

END_LIMIT = 0.75
"""Seconds from SIGTERM to SIGKILL. An ExaBGP without a process of its own ends within 0.2 s, and closes its sessions at
once."""


class Process(Protocol):
    """ExaBGP as a process."""

    def lives(self) -> bool:
        """Whether it is there still."""

    def signal(self, number: signal.Signals) -> None:
        """Send it this one, if it lives and we may."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The process that has started us."""

    number: int
    started: int
    """in clock ticks since the boot"""

    def lives(self) -> bool:
        """Whether it is there still."""
        return lives(self.number, self.started)

    def signal(self, number: signal.Signals) -> None:
        """Send it this one. Another user's lives on."""
        if self.lives():
            with suppress(OSError):
                os.kill(self.number, number)


class Deaf:
    """An ExaBGP that goes on announcing."""

    def __init__(self, process: Process, announced: Iterable[Network], tell: Callable[[Event], None]) -> None:
        """``announced``: the prefixes of ours that it announces, or may announce."""
        self.announced = frozenset(announced)
        self.wanted = self.announced
        self._process = process
        self._may_end = False
        self._tell = tell
        self._clock: Clock | None = None
        self._alarm: Timer | None = None

    def open(self, clock: Clock) -> None:
        """Watches it from now on."""
        self._clock = clock
        self._look()

    def permit_end(self, may_end: bool) -> None:
        """Whether it is to be ended for what is to be withdrawn; at once, if nothing is wanted already."""
        self._may_end = may_end
        if not self.wanted:
            self._want(self.wanted)

    def own(self, ours: Iterable[Route]) -> None:
        """These may be announced; of others nothing is wanted, and none that is not announced already can be."""
        self._want(self.wanted & {route.network for route in ours})

    def inherit(self, networks: Iterable[Network]) -> None:
        """What it announces is known."""

    def set(self, wanted: Iterable[Route]) -> None:
        """Wants exactly these of our prefixes announced; in which form is beyond us."""
        self._want(frozenset(route.network for route in wanted))

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        """Wants these announced, or not (None), and all others as before."""
        announced = {network for network, route in wanted.items() if route is not None}
        self._want((self.wanted - wanted.keys()) | announced)

    def _want(self, wanted: frozenset[Network]) -> None:
        self.wanted = wanted
        if self._may_end and not self.announced <= wanted:
            self._process.signal(signal.SIGTERM)

    def flush(self) -> None:
        """Nothing waits to be said."""

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether each of these is announced if that is wanted, and not announced if it is not."""
        return all((one in self.wanted) == (one in self.announced) for one in networks)

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether any of these is announced."""
        return not self.announced.isdisjoint(networks)

    def close(self) -> None:
        """Watches it no longer; it stays as it is."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._clock = None

    async def end(self) -> bool:
        """Ends it if it announces anything of ours, which takes at most twice ``END_LIMIT``; whether that is over."""
        if not self.announced:
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._process.signal(number)
            for _ in range(round(END_LIMIT / LOOK)):
                if not self._process.lives():
                    return True
                await asyncio.sleep(LOOK)
        return not self._process.lives()

    def _look(self) -> None:
        assert self._clock is not None
        if self._process.lives():
            self._alarm = self._clock.call_at(self._clock.time() + LOOK, self._look)
            return
        self._alarm = None
        gone, self.announced = self.announced - self.wanted, frozenset()
        for network in sorted(gone, key=str):
            self._tell(Answered(network, None))
        self._tell(Disconnected("it has ended"))


def lives(number: int, started: int) -> bool:
    """Whether the process of that number and start time is there, and is no zombie."""
    try:
        stat = Path(f"/proc/{number}/stat").read_bytes()
    except OSError:
        return False
    return start_time(stat) == started and stat.rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])
