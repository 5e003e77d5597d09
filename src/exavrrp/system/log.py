"""The log on stderr: one line per event, as text for people or as JSON for programs.

stderr is inherited from ExaBGP and often a pipe. A reader that stops reading must never block the engine, so a line is
written only when the descriptor can take it at once. Otherwise it is dropped and counted, and the next line that is
written has the count (``lines_dropped``). Repeated events are rate-limited by a key: the first is written at once, then
at most one in ``LIMIT`` seconds, with the number of events that it stands for (``count``).

Nothing is ever written to stdout, which is ExaBGP's API.
"""

import json
import os
import select
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from exavrrp.ports import Severity

LIMIT = 10.0
"""Shortest time in seconds between two lines of one rate-limited key."""

LONGEST = 4000
"""Most bytes in a line: below PIPE_BUF (4096, pipe(7)), so that a writable pipe takes a whole line."""


class Format(StrEnum):
    """The format of lines."""

    TEXT = "text"
    JSON = "json"


@dataclass(slots=True)
class _Limited:
    next: float
    left_out: int = 0


class LogWriter:
    """Writes events to a descriptor without ever waiting for it."""

    def __init__(
        self, form: Format = Format.TEXT, descriptor: int = 2, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.format = form
        self._descriptor = descriptor
        self._clock = clock
        self._limited: dict[Hashable, _Limited] = {}
        self._dropped = 0
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)

    def info(self, event: str, **fields: object) -> None:
        """Log an event that needs no action."""
        self._record(Severity.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log an event that an operator should look into."""
        self._record(Severity.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log an event that keeps us from doing our work."""
        self._record(Severity.ERROR, event, fields)

    def limited(self, key: Hashable, level: Severity, event: str, **fields: object) -> None:
        """Log an event at most once in ``LIMIT`` seconds for each ``key``; ``count``: how many events a line is for."""
        now = self._clock()
        known = self._limited.get(key)
        if known is not None and now < known.next:
            known.left_out += 1
            return
        count = 1 + (known.left_out if known is not None else 0)
        self._limited[key] = _Limited(now + LIMIT)
        self._record(level, event, {**fields, "count": count})

    def _record(self, level: Severity, event: str, fields: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        dropped = {"lines_dropped": self._dropped} if self._dropped else {}
        if self.format is Format.JSON:
            assert fields.keys().isdisjoint(("time", "level", "event")), fields
            document = {"time": stamp, "level": level, "event": event, **fields, **dropped}
            line = json.dumps(document, default=str)
        else:
            # One line per event: newlines (of a traceback, say) are escaped, as in JSON.
            line = f"{stamp} {level}: {as_text(event, {**fields, **dropped})}".replace("\n", "\\n")
        self._write(line)

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace")
        if len(data) > LONGEST and self.format is Format.JSON:
            data = json.dumps({"event": "line-too-long", "level": Severity.ERROR, "starts": line[:200]}).encode()
        try:
            if self._ready.poll(0):
                os.write(self._descriptor, data[:LONGEST] + b"\n")
                self._dropped = 0
                return
        except OSError:
            pass  # the reader is gone, which must not stop the engine
        self._dropped += 1


def as_text(event: str, fields: dict[str, Any]) -> str:
    """One event as text: a sentence for the most frequent ones, ``event key=value …`` for all others."""
    router = fields.get("router")
    match event:
        case "transition":
            detail = f": {fields['detail']}" if fields.get("detail") else ""
            return f"{router}: {fields['before']} → {fields['after']} ({fields['reason']}{detail})"
        case "address-bound" | "address-unbound":
            return f"{router}: {event.removeprefix('address-')} {', '.join(fields['addresses'])}"
        case "route-announced":
            return f"{router}: announced {', '.join(fields['prefixes'])} as {fields['state']}"
        case "route-withdrawn":
            return f"{router}: withdrawn {', '.join(fields['prefixes'])}"
        case _:
            told = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
            return f"{event} {told}".rstrip()


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
