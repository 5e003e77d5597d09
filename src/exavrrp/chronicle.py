"""The journal of a node: what has happened, in order, and why; bounded; pure.

An ``Entry`` is a frozen value, made where something is decided, at that moment. Every event of the log is one, with
the same name. An entry of a transition has a ``Cause`` too: the values that decided it, and what was not the reason.
``exavrrp events`` and ``exavrrp why`` show entries and compute nothing.

The journal is bounded in entries and in bytes: the oldest are dropped. What is repeated (``limited``) is in it once in
``REPEAT`` seconds, so that a flood does not push out what matters. Each entry is kept as the line of JSON that it is on
disk and on the control socket. A line of an earlier version, or a damaged one, is left out when it is read.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct, structs

from exavrrp.view import Moment

MOST = 2000
"""Entries that are kept."""

BYTES = 1 << 19
"""Most bytes of them: some 2,000 of usual length."""

LONGEST = 4000
"""Most bytes of one line; a longer one is left out (a router of 64 addresses has 2,600)."""

REPEAT = 300.0
"""Seconds for which a repeated event is not entered again."""

KEYS = 1024
"""Repeated events that are distinguished; after that all are forgotten."""

TEXT, ITEMS = 400, 16
"""Characters of a value, and items of a list; the rest is cut."""

TRANSITION, PHASE, ADVERTISED, BEGAN, CARES, DETACHED, ENDING = (
    "transition",
    "phase-completed",
    "peer-advertised",
    "agent-started",
    "caretaker-started",
    "exabgp-detached",
    "agent-stopping",
)
"""Entries that ``why`` needs."""

REPLACED = "SIGTERM alone"
"""Why an agent has ended when only the agent is to be replaced."""

SUCCEEDED = "succeeded"
"""Why a caretaker has ended when a successor has come."""


class Verdict(StrEnum):
    """What a transition comes from."""

    SILENT_AT_ONCE = "silent-at-once"
    """the Active fell silent on every path within an interval"""
    SILENT_IN_TURN = "silent-in-turn"
    """it fell silent on one path after the other"""
    SILENT_ON_ONLY_PATH = "silent-on-only-path"
    """its adverts came over one path alone, and do not any more"""
    NOBODY = "nobody"
    """no advert of any Active has come"""
    RESIGNED = "peer-resigned"
    """the Active said priority 0"""
    WEAKER = "peer-weaker"
    """the Active says less than we"""
    BETTER = "peer-better"
    """another Active says more than we, or the same from a higher address"""
    WEAKENED = "weakened"
    """and it does because our checks have lowered our priority"""
    CONTRADICTORY = "peer-contradictory"
    """the adverts of whoever decided it contradict each other"""
    STALLED = "stalled"
    """this process or machine stood still"""
    DRAINED = "drained"
    STOPPED = "stopped"
    WAITING = "waiting"
    """something has to be known before it may take part"""
    CHECK = "check-failed"
    SESSIONS = "sessions-lost"
    EXABGP = "exabgp-stalled"
    """ExaBGP does not answer, so no session counts"""
    ANNOUNCEMENT = "announcement-refused"
    BIND = "bind-failed"
    ADVERTS = "adverts-not-sent"
    GROUP = "group"
    """another router of its group"""
    READY = "ready"
    """nothing keeps it out any more"""
    RESUMED = "resumed"
    """this agent was Active before it was restarted, and no other node has taken over"""
    OWNER = "owner"
    """priority 255"""


class PathSilence(Struct, frozen=True):
    """One path of the Active that fell silent."""

    interface: str
    age: float | None
    """seconds since the last copy; None: there was none"""
    quiet: bool
    """whether it had delivered nothing any more before"""


class Facts(Struct, frozen=True, kw_only=True):
    """How the rest of the node was at that moment."""

    failing: tuple[str, ...] = ()
    """checks of the router that fail"""
    checks: int = 0
    """how many it has"""
    up: int | None = None
    """BGP sessions; None: unknown"""
    sessions: int = 0
    drained: bool = False
    skew: float | None = None
    """seconds that a peer's clock is ahead of ours, the largest one; None: unknown"""
    late: float | None = None
    """seconds that the event loop was late at most in the last minute or two; None: unknown"""


class Cause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a router has changed its state."""

    verdict: Verdict
    peer: str | None = None
    """who decided it"""
    ours: int
    """our priority"""
    sum: str = ""
    """it, as a sum"""
    theirs: int | None = None
    """the peer's, in its last advert"""
    waited: float | None = None
    """seconds without an advert"""
    interval: float | None = None
    """seconds between adverts, as learned"""
    count: int = 3
    """down_count; 3 is that of RFC 9568"""
    skew_time: float | None = None
    """seconds: a takeover is due after ``count`` intervals and this"""
    paths: tuple[PathSilence, ...] = ()
    facts: Facts = Facts()


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that has happened."""

    at: Moment
    event: str
    """its name in the log, for ``exavrrp explain``"""
    level: str = "info"
    router: str = ""
    fields: dict[str, Any] = {}
    cause: Cause | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def decoded(line: bytes) -> Entry | None:
    """The entry in a line; None: it is none."""
    if len(line) > LONGEST:
        return None
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def with_names(entry: Entry, names: Mapping[str, str]) -> Entry:
    """The same, with the name of whoever decided it in place of the address."""
    cause = entry.cause
    if cause is None or cause.peer is None or cause.peer not in names:
        return entry
    return structs.replace(entry, cause=structs.replace(cause, peer=names[cause.peer]))


def valid(content: bytes) -> list[bytes]:
    """The lines of a file that are entries, at most ``MOST``, the latest ones."""
    lines = content.split(b"\n")
    return [line for line in lines[-MOST:] if decoded(line) is not None]


class Chronicle:
    """The entries of one process."""

    def __init__(self, moment: Callable[[], Moment], time: Callable[[], float], write: Callable[[bytes], None]) -> None:
        """``moment`` is now, by both clocks, and ``time`` by the monotonic one; ``write`` takes each line, and returns
        at once."""
        self.count = 0
        """entries so far; those that were dropped included"""
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._moment = moment
        self._time = time
        self._write = write
        self._known: dict[Hashable, float] = {}
        """until when repeated events are not entered again"""

    def add(
        self, event: str, level: str = "info", router: str = "", cause: Cause | None = None, /, **fields: object
    ) -> None:
        """Enter what has happened now."""
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        entry = Entry(at=self._moment(), event=event, level=level, router=router, fields=shown, cause=cause)
        line = _encoder.encode(entry)
        if len(line) > LONGEST:
            return
        self.count += 1
        self._lines.append(line)
        self._bytes += len(line)
        while len(self._lines) > MOST or self._bytes > BYTES:
            self._bytes -= len(self._lines.popleft())
        self._write(line + b"\n")

    def is_new(self, key: Hashable, seconds: float = REPEAT) -> bool:
        """Whether an event with this key was not entered for so long; it counts as entered now."""
        now = self._time()
        if now < self._known.get(key, now):
            return False
        if len(self._known) >= KEYS:
            self._known.clear()
        self._known[key] = now + seconds
        return True

    def after(self, count: int) -> tuple[int, list[bytes]]:
        """How many there are so far, and the lines of those after the first ``count`` ones, as far as they are kept."""
        left = min(max(self.count - count, 0), len(self._lines))
        return self.count, list(islice(self._lines, len(self._lines) - left, None))


def plain(value: object) -> str:
    """Its text, cut to ``TEXT``. There may be any bytes in what programs have said."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= TEXT else f"{text[:TEXT]}..."


def _shown(value: object) -> object:
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 53):
        return value
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        found = list(map(plain, islice(value, ITEMS)))
        return found if len(value) <= ITEMS else [*found, f"and {len(value) - ITEMS} more"]
    return plain(value)
