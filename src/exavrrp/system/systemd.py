"""What the agent tells systemd, in whose service it runs as a child of ExaBGP (sd_notify(3)).

The agent is not the unit's main process, so the unit needs ``NotifyAccess=all``, and systemd's readiness is ExaBGP's
own. Where the unit asks for it:

- ``STATUS``: which virtual routers are in which state, for ``systemctl status``.
- ``WATCHDOG``: a heartbeat from the event loop itself, if the unit has ``WatchdogSec=``. If it stays away, systemd ends
  the whole unit, ExaBGP and its routes included, and starts it again. ``WATCHDOG_PID`` names ExaBGP, which sends none.
- ``EXTEND_TIMEOUT_USEC``: while a drain is under way the unit may take longer to stop than ``TimeoutStopSec=``.

All of it goes into one datagram a second. Messages are best effort: a full or missing socket delays nothing. Children
of the agent have an environment of their own, without ``NOTIFY_SOCKET`` (``children``). A caretaker inherits it, and
goes on.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

PERIOD = 1.0
"""Seconds between two messages, or a third of the watchdog's time if that is less."""

EXTENSION = 15.0
"""Seconds from each message on that the unit may still take to stop, while a drain is under way."""

ENDED = "no exavrrp runs"
"""The last status; an agent that follows sends its own."""


class Systemd:
    """The service manager that has started us; does nothing where there is none."""

    def __init__(
        self,
        status: Callable[[], str],
        draining: Callable[[], bool],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``status``: one line about the routers; ``draining``: whether a drain is under way."""
        self._status = status
        self._draining = draining
        self._path = environment.get("NOTIFY_SOCKET", "")
        watchdog = environment.get("WATCHDOG_USEC", "")
        self.watchdog = int(watchdog) / 1e6 if watchdog.isdecimal() and watchdog.isascii() and int(watchdog) else None
        """seconds without a heartbeat after which systemd ends the unit; None: it asks for none"""
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told: str | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to send. Raises nothing: without systemd, or without a socket left, it does nothing."""
        if not self._path.startswith(("/", "@")):  # unix(7): a path, or an abstract name
            return
        with suppress(OSError):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._loop = loop
        self._beat()

    def close(self) -> None:
        """Send that this agent has ended, and no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._send(f"STATUS={ENDED}")
            self._socket.close()
            self._socket = None

    def _beat(self) -> None:
        period = PERIOD if self.watchdog is None else min(PERIOD, self.watchdog / 3)
        self._timer = self._loop.call_later(period, self._beat)
        status = self._status()
        lines = [] if self.watchdog is None else ["WATCHDOG=1"]
        if self._draining():
            lines.append(f"EXTEND_TIMEOUT_USEC={round(EXTENSION * 1e6)}")
        if status != self._told:
            lines.append(f"STATUS={status}")
        if lines and self._send("\n".join(lines)):
            self._told = status

    def _send(self, text: str) -> bool:
        """Whether it was taken."""
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        try:
            return self._socket is not None and self._socket.sendto(text.encode(), address) > 0
        except OSError:
            return False
