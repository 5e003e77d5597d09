"""What a recording is: everything that a node was told, and what it asked and did; pure but for msgspec.

One JSON document a line. A run begins with a ``Head``: which exavrrp it was, when, and the configuration that its node
was made from, without its secrets. A ``Told`` is one entry into the node, with its time: an event, the start, another
configuration, or an alarm that the node had arranged. With it stands all that the node asked and did meanwhile, in its
order, and the answers: the node depends on nothing else, so it can do all of it again. ``Lost`` stands for lines that
could not be kept: what follows in its run does not follow from what is there. Several runs follow each other in one
file. One that was killed may leave half a line, the last of its run: ``Torn``.

``did`` holds, in order,

- a number: the monotonic clock was asked; whole nanoseconds since the last answer (or the line's time), or where that
  is not exact, seconds with a fraction,
- a number in a list: the clock on the wall, likewise, in units of 2⁻²² s since the last answer of this run,
- an object with the name of a question to a port (or of what it was told), and ``[arguments, answer, exception]``,
  without what is nothing at the end; where the name has a number (``"transport.send:3"``), the same again is only the
  name. Sets of everything (of routes, addresses …) are told by a digest if they are long,
- ``{"told": …}``: an event that a port had for the node meanwhile.

How values are spelled: ``spelling``. Times are the monotonic seconds of the node, without loss; only a head says what
the clock on the wall showed. This file must not know of files and clocks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from exavrrp.spelling import Document

VERSION = 3
"""Of the format. It changes when an old reader would misunderstand a new recording."""

LINE_LIMIT = 1 << 26
"""Bytes in a line: the settings of ten thousand routers."""

LONGEST = 1e9
"""Monotonic seconds at most: thirty years since the boot."""

SHORT = 200
"""Bytes of a set of everything that is told in full."""

Moment = Annotated[float, Meta(ge=0, le=LONGEST)]


class Damaged(Exception):
    """A line that is no line of a recording: which one, and what is wrong with it."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(printable(reason))
        self.number = number
        """of the line, from 1"""


NO_LINE = "this is no line of a recording: "
"""Begins the reason of most damages."""


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="head"):
    """Begins a run: a node was made."""

    version: int = VERSION
    release: str
    """of exavrrp"""
    process: int
    time: Annotated[datetime, Meta(tz=True)]
    """by the clock on the wall, of the same moment as ``at``"""
    at: Moment
    """monotonic seconds"""
    cares: bool
    """whether it is the caretaker that goes on with what the run before has left"""
    configuration: Document
    """``config.Configuration``"""
    forgotten: Document
    """``ports.Forgotten``"""
    did: list[Document]

    def moment(self, at: float) -> datetime:
        """What the clock on the wall showed ``at`` that time, unless it was set meanwhile. Raises OverflowError."""
        return self.time.astimezone(UTC) + timedelta(seconds=at - self.at)


class Told(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="line", tag="event"
):
    """One entry into the node, and what came of it."""

    at: Moment
    told: list[Document]
    """the name of the entrance (``node.ENTRANCES``, ``alarm``, ``soon``), and what it was given"""
    did: list[Document] = []
    broken: str | None = None
    """the exception that came of it"""


class Lost(Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="lost"):
    """That many lines could not be kept."""

    count: Annotated[int, Meta(ge=1)]


Line: TypeAlias = Head | Told | Lost


@dataclass(frozen=True, slots=True)
class Torn:
    """The half of a line that an agent was killed in."""


# Writing


def encode(line: Line) -> bytes:
    """The line, with its end."""
    return msgspec.json.encode(line) + b"\n"


def lost(count: int) -> bytes:
    """The line in the place of so many."""
    return encode(Lost(count))


def broken(error: Exception) -> str:
    """How an exception is recorded."""
    return f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()


def shortened(document: Document) -> Document:
    """A set of everything as it is told: a digest stands for a long one."""
    text = msgspec.json.encode(document)
    return document if len(text) <= SHORT else blake2b(text, digest_size=8).hexdigest()


class Ticks:
    """The times of one clock as differences, and back, without loss."""

    def __init__(self, unit: int) -> None:
        """``unit``: how many of them are a second."""
        self._unit = unit
        self._last = 0

    def difference(self, seconds: float) -> int | float:
        """To the time before: whole units; or if it is no whole number of them, the time itself."""
        now = round(seconds * self._unit)
        if now / self._unit != seconds:
            return seconds
        found, self._last = now - self._last, now
        return found

    def seconds(self, difference: float) -> float:
        """The other way round."""
        if isinstance(difference, int):
            self._last += difference
            return self._last / self._unit
        return difference


NANOSECONDS, BITS = 1_000_000_000, 1 << 22
"""The units of both clocks: what the kernel tells; and what a float of this century can tell."""


# Reading


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Line | Torn]]:
    """The documents with the numbers of their lines, from 1; a head before anything else.

    Raises Damaged, after everything that stands before it, and nothing else.
    """
    begun = False
    torn: Damaged | None = None
    ended = True
    for number, line in enumerate(lines, 1):
        try:
            found = _decoded(number, line)
        except _Half as half:
            if torn is not None:
                raise torn from None
            torn, ended = half, line.endswith(b"\n")
            continue
        if torn is not None:
            if not isinstance(found, Head):
                raise torn
            yield torn.number, Torn()
            torn = None
        if isinstance(found, Head):
            begun = True
            _check_time(number, found)
        elif not begun:
            raise Damaged(number, NO_LINE + "it stands before any head")
        yield number, found
    if torn is not None:
        if ended or not begun:
            raise torn
        yield torn.number, Torn()
    if not begun:
        raise Damaged(1, "there is no recording in it")


class _Half(Damaged):
    """No JSON: perhaps the half of a line."""


def _decoded(number: int, line: bytes) -> Line:
    try:
        found: Line = msgspec.json.decode(line, type=Line)
    except msgspec.ValidationError as error:
        _check_version(number, line)
        raise Damaged(number, f"{NO_LINE}{error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _Half(number, f"{NO_LINE}{error}") from None
    if isinstance(found, Head) and found.version != VERSION:
        raise _foreign(number, found.version, found.release)
    return found


class _Stamp(Struct, frozen=True):
    """As much as every version has of a head."""

    version: int
    release: str = "another"


def _check_version(number: int, line: bytes) -> None:
    try:
        stamp = msgspec.json.decode(line, type=_Stamp)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: text that is no UTF-8
        return
    if stamp.version != VERSION:
        raise _foreign(number, stamp.version, stamp.release)


def _foreign(number: int, version: int, release: str) -> Damaged:
    return Damaged(
        number,
        f"exavrrp {release} recorded this in version {version} of the format; this one reads version {VERSION}: replay "
        "it with the exavrrp that recorded it",
    )


def _check_time(number: int, head: Head) -> None:
    try:
        head.moment(head.at + LONGEST), head.moment(head.at - LONGEST)
    except OverflowError as error:
        raise Damaged(number, f"{NO_LINE}{error}") from None


def printable(text: str) -> str:
    """It may repeat something of the line."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:400])
