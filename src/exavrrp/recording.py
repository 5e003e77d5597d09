"""What a recording is: everything that the core of an agent was told, one JSON document a line; pure but for msgspec.

A run begins with a ``Head``: which exavrrp it was, when, and the settings that its groups were made from. A ``Told`` is
one event with its time, and with the transitions that came of it, for whoever wants to see whether they come of it
again. ``Lost`` stands for events that could not be kept: what follows in its run does not follow from what is there.
Several runs follow each other in one file. One that was killed may leave half a line, the last of its run: ``Torn``.

The documents are the format: they are spelled out here wherever msgspec cannot read the core's own values (addresses
of two families), and stand still when the core changes. An event is known by the key that it stands under, its class
in small letters. Times are the monotonic seconds of the node, as told to the core, without loss; only a head says what
the clock on the wall showed. This file must not know of files and clocks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from exavrrp import events, presence
from exavrrp.groups import Group, Happened
from exavrrp.instance import Instance
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vrrp.router import Role, Transition, Why

VERSION = 1
"""Of the format. It changes when an old reader would misunderstand a new recording."""

LINE_LIMIT = 1 << 24
"""Bytes in a line: the settings of ten thousand routers."""

LONGEST = 1e9
"""Monotonic seconds at most: thirty years since the boot."""

Number = Annotated[int, Meta(ge=1, le=255)]
Moment = Annotated[float, Meta(ge=0, le=LONGEST)]
Addresses: TypeAlias = tuple[str, ...]


class Damaged(Exception):
    """A line that is no line of a recording: which one, and what is wrong with it."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        """of the line, from 1"""


class Election(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``router.Settings``."""

    vrid: Number
    priority: Number
    interval: Annotated[float, Meta(gt=0, le=40.95)]
    source: str
    addresses: Annotated[Addresses, Meta(min_length=1)]
    preempt: bool
    preempt_delay: float
    learned_minimum: float
    learned_maximum: float

    @classmethod
    def of(cls, settings: router.Settings) -> "Election":
        return cls(
            vrid=settings.vrid,
            priority=settings.priority,
            interval=settings.interval,
            source=str(settings.source),
            addresses=tuple(map(str, settings.addresses)),
            preempt=settings.preempt,
            preempt_delay=settings.preempt_delay,
            learned_minimum=settings.learned_minimum,
            learned_maximum=settings.learned_maximum,
        )

    def settings(self) -> router.Settings:
        """Raises ValueError for what is no address."""
        return router.Settings(
            vrid=self.vrid,
            priority=self.priority,
            interval=self.interval,
            source=ip_address(self.source),
            addresses=tuple(map(ip_address, self.addresses)),
            preempt=self.preempt,
            preempt_delay=self.preempt_delay,
            learned_minimum=self.learned_minimum,
            learned_maximum=self.learned_maximum,
        )


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an ``Instance`` is made from."""

    name: str
    election: Election
    handover: presence.Settings
    stale_for: float


class Team(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a ``Group`` is made from."""

    name: str
    members: Annotated[tuple[Member, ...], Meta(min_length=1)]

    def group(self) -> Group:
        """As the agent had it when it began. Raises ValueError."""
        return Group(
            self.name,
            [Instance(one.name, one.election.settings(), one.handover, one.stale_for) for one in self.members],
        )


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="head"):
    """Begins a run."""

    version: int = VERSION
    release: str
    """of exavrrp"""
    process: int
    time: Annotated[datetime, Meta(tz=True)]
    """by the clock on the wall, of the same moment as ``at``"""
    at: Moment
    """monotonic seconds"""
    teams: tuple[Team, ...]

    def moment(self, at: float) -> datetime:
        """What the clock on the wall showed ``at`` that time, unless it was set meanwhile. Raises OverflowError."""
        return self.time.astimezone(UTC) + timedelta(seconds=at - self.at)


class Heard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``events.Heard``."""

    name: str
    source: str
    vrid: Number
    priority: Annotated[int, Meta(ge=0, le=255)]
    centiseconds: Annotated[int, Meta(ge=1, le=4095)]
    addresses: Addresses
    interface: int
    expected: tuple[int, ...]

    @classmethod
    def of(cls, event: events.Heard) -> "Heard":
        advertisement = event.advertisement
        return cls(
            name=event.name,
            source=_text(event.source),
            vrid=advertisement.vrid,
            priority=advertisement.priority,
            centiseconds=advertisement.centiseconds,
            addresses=tuple(map(_text, advertisement.addresses)),
            interface=event.interface,
            expected=event.expected,
        )

    def event(self) -> events.Heard:
        """Raises ValueError for what is no address."""
        addresses: tuple[Address, ...] = tuple(map(ip_address, self.addresses))
        advertisement = Advertisement(self.vrid, self.priority, self.centiseconds, addresses)
        return events.Heard(self.name, ip_address(self.source), advertisement, self.interface, self.expected)


class Configured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``events.Configured``."""

    name: str
    election: Election
    handover: presence.Settings
    stale_for: float

    @classmethod
    def of(cls, event: events.Configured) -> "Configured":
        return cls(
            name=event.name,
            election=Election.of(event.election),
            handover=event.handover,
            stale_for=event.stale_for,
        )

    def event(self) -> events.Configured:
        """Raises ValueError for what is no address."""
        return events.Configured(self.name, self.election.settings(), self.handover, self.stale_for)


class Change(Struct, frozen=True):
    """A transition of one member."""

    router: str
    before: Role
    after: Role
    why: Why
    detail: str


class Told(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="line", tag="event"
):
    """One event, under its own key, and what came of it."""

    at: Moment
    team: str
    start: events.Start | None = None
    stop: events.Stop | None = None
    abandon: events.Abandon | None = None
    rang: events.Rang | None = None
    recalled: events.Recalled | None = None
    inherited: events.Inherited | None = None
    heard: Heard | None = None
    rated: events.Rated | None = None
    configured: Configured | None = None
    failed: events.Failed | None = None
    recovered: events.Recovered | None = None
    held: events.Held | None = None
    released: events.Released | None = None
    bound: events.Bound | None = None
    unbound: events.Unbound | None = None
    withdrawn: events.Withdrawn | None = None
    then: tuple[Change, ...] = ()
    broken: str | None = None
    """the exception with which the core answered: a bug of ours"""

    def event(self) -> events.Event:
        """Raises ValueError if there is not one, or what should be an address is none."""
        told = [one for key in _KEYS if (one := getattr(self, key)) is not None]
        if len(told) != 1:
            raise ValueError(f"it tells of {len(told)} events instead of one")
        found: events.Event = told[0].event() if isinstance(told[0], Heard | Configured) else told[0]
        return found


_KEYS = tuple(field for field in Told.__struct_fields__ if field not in {"at", "team", "then", "broken"})


class Lost(Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="lost"):
    """That many events could not be kept."""

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
    """The line in the place of so many events."""
    return encode(Lost(count))


def told(team: str, event: events.Event, now: float, happened: Happened | Exception) -> bytes:
    """The line of an ``event`` that the group ``team`` was told at ``now``, and answered with ``happened``."""
    key = type(event).__name__.lower()
    document: Any = _document(event)
    if isinstance(happened, Exception):
        return encode(Told(at=now, team=team, broken=broken(happened), **{key: document}))
    return encode(Told(at=now, team=team, then=changes(happened), **{key: document}))


def changes(happened: Happened) -> tuple[Change, ...]:
    """The transitions among effects."""
    return tuple(
        Change(name, effect.before, effect.after, effect.why, _utf8(effect.detail))
        for name, effect in happened
        if isinstance(effect, Transition)
    )


def broken(error: Exception) -> str:
    """How an exception of the core is recorded."""
    return _utf8(f"{type(error).__name__}: {error}")


def _document(event: events.Event) -> Heard | Configured | events.Event:
    """``event`` as JSON can hold it: addresses as text, and in a detail of a program there may be any bytes."""
    match event:
        case events.Heard():
            return Heard.of(event)
        case events.Configured():
            return Configured.of(event)
        case events.Stop(detail=detail) | events.Failed(detail=detail):
            return replace(event, detail=_utf8(detail))
        case events.Held(detail=detail) | events.Unbound(detail=detail):
            return replace(event, detail=_utf8(detail))
        case _:
            return event


@lru_cache(maxsize=4096)
def _text(address: Address) -> str:
    """Spelling an IPv6 address takes longer than all the rest of an event, and they are always the same few."""
    return str(address)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


# Reading


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Line | Torn]]:
    """The documents with the numbers of their lines, from 1; each event for a member of a team that its run has.

    Raises Damaged, after everything that stands before it, and nothing else.
    """
    members: dict[str, frozenset[str]] | None = None
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
        members = _checked(number, found, members)
        yield number, found
    if torn is not None:
        if ended or members is None:
            raise torn
        yield torn.number, Torn()
    if members is None:
        raise Damaged(1, "there is no recording in it")


class _Half(Damaged):
    """No JSON: perhaps the half of a line."""


def _decoded(number: int, line: bytes) -> Line:
    try:
        found: Line = msgspec.json.decode(line, type=Line)
    except msgspec.ValidationError as error:
        _check_version(number, line)
        raise Damaged(number, _printable(f"this is no line of a recording: {error}")) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _Half(number, _printable(f"this is no line of a recording: {error}")) from None
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
        _printable(
            f"exavrrp {release} recorded this in version {version} of the format; this one reads version {VERSION}: "
            "replay it with the exavrrp that recorded it"
        ),
    )


def _checked(number: int, line: Line, members: dict[str, frozenset[str]] | None) -> dict[str, frozenset[str]]:
    """The members of each team of the run that ``line`` is of, after it."""
    try:
        if isinstance(line, Head):
            line.moment(line.at + LONGEST), line.moment(line.at - LONGEST)
            for team in line.teams:
                team.group()
            return {team.name: frozenset(member.name for member in team.members) for team in line.teams}
        if members is None:
            raise ValueError("it stands before any head")
        if isinstance(line, Told):
            event = line.event()
            if line.team not in members:
                raise ValueError(f"there is no team {line.team!r}")
            name = getattr(event, "name", None)
            if name is not None and name not in members[line.team]:
                raise ValueError(f"the team {line.team!r} has no member {name!r}")
    except (ValueError, OverflowError) as error:
        raise Damaged(number, _printable(f"this is no line of a recording: {error}")) from None
    return members


def _printable(text: str) -> str:
    """It may repeat something of the line."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:400])
