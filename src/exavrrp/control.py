"""The protocol of the control socket: one JSON document a line, each with the version of the protocol.

``system/control.py`` is the agent's end, ``system/client.py`` the other one, which the commands in ``cli/`` use;
``Service`` is what the agent's end asks of the node, and ``commands.py`` does it.

A connection carries one request. The answer to ``status`` is one ``status``, that to ``events`` one ``events``. The
answer to ``drain`` and ``undrain`` ends with ``done``; for a drain with ``wait`` a ``begun`` comes first, and then a
``progress`` each time that a router's outcome changes. A drain after which nobody could serve is not begun: it ends
with ``unready``. The answer to ``reload``, ``confirm`` and ``undo`` is a ``reloaded``; for a reload at a later time a
``scheduled`` comes first. An ``error`` is the last line of any request that was not carried out. A line that cannot be
decoded is answered with what is wrong with it, so that ``socat`` and a newer or older exavrrp find out. Unknown fields
are refused in requests (a misspelt ``seconds`` would drain for ever) and ignored in answers (a newer agent may have
more).

This file also defines the content of the state files that an agent leaves for its successor (``SavedState``,
``Drains``, ``Reverting``), and what a drain is: how long it lasts, and whether it outlives a restart. No sockets, files
or clocks; times are arguments, in seconds since the epoch.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from exavrrp.view import Outcome, View

VERSION = 1
"""Of every document here. It changes when an old reader would misunderstand a new document."""

SOCKET = "control.sock"
"""In the state directory."""

REQUEST_LIMIT = 1 << 16
"""Bytes in a request: the names of a thousand routers, each 64 characters long. No names at all mean every router."""

FILE_LIMIT = 1 << 22
"""Bytes in a note on disk: a thousand virtual routers with names, addresses and prefixes as long as they may be."""

LONGEST = 366 * 86400.0
"""Seconds of a drain with an end. What is meant to last for longer has none."""

LAST = 253402300799.0
"""The last second that RFC 3339 can write (9999-12-31), as seconds since the epoch."""

Name = Annotated[str, Meta(max_length=64)]
Epoch = Annotated[float, Meta(ge=0, le=LAST)]
Monotonic = Annotated[float, Meta(ge=0, le=LAST)]
"""Seconds of one boot (``system.clock``)."""
Number = Annotated[int, Meta(ge=1, lt=1 << 53)]


class Service(Protocol):
    """What the node does for the requests: ``commands.Commands``, and in tests ``tests/system/commanded.py``."""

    def names(self) -> Sequence[str]:
        """Of the virtual routers, in the order of the configuration."""

    def groups(self) -> Mapping[str, str | None]:
        """The group of each virtual router, None of one without, in the order of the configuration."""

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        """These routers and those that move with them, in the order of the configuration."""

    def unready(self, names: Collection[str]) -> Mapping[str, str]:
        """Those of these routers that are Active here and have no peer that could take over, each with the reasons."""

    def drain(self, name: str) -> None:
        """Begin to leave the election and stay out; nothing new for a router that does so already."""

    def undrain(self, name: str) -> None:
        """Take part again; nothing new for a router that does."""

    def outcome(self, name: str) -> Outcome:
        """How far it is now."""

    def describe(self) -> Iterator[View | None]:
        """Everything as it is in the end (``View``), but for the ends of drains; before that None wherever others may
        go first."""

    def events(self, after: int, /) -> tuple[int, list[bytes]]:
        """How many entries the journal has had so far, and the lines of those after the first ``after`` ones."""

    def look_at_note(self) -> None:
        """Write the state file once more if that has failed, or somebody has removed it. Called every now and then."""


# Requests


class _Request(Struct, frozen=True, kw_only=True, tag_field="request", forbid_unknown_fields=True):
    version: int = VERSION


class Drain(_Request, frozen=True, kw_only=True, tag="drain"):
    """Leave the election and stay out. No names: every router."""

    names: tuple[Name, ...] = ()
    seconds: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """None: until undrain"""
    persist: bool = True
    """whether the next agent is to stay out as well"""
    wait: bool = False
    """whether the answer follows the drain to its outcome"""
    force: bool = False
    """also where no peer is ready to take over"""


class Undrain(_Request, frozen=True, kw_only=True, tag="undrain"):
    """Take part again. No names: every router."""

    names: tuple[Name, ...] = ()


class Status(_Request, frozen=True, kw_only=True, tag="status"):
    """The whole ``View``."""


class Events(_Request, frozen=True, kw_only=True, tag="events"):
    """The journal: the entries after the first ``after`` ones of this agent; for 0 also those of the agents before."""

    after: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0


class Reload(_Request, frozen=True, kw_only=True, tag="reload"):
    """Put the configuration that the file has now in place of the one in force."""

    dry_run: bool = False
    """only say what would change"""
    allow_move: bool = False
    """also where a router that serves here would give an address up, or get one"""
    confirm_within: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """seconds until it is undone if nobody confirms it; None: it needs no confirmation"""
    at: Epoch | None = None
    """when to do it; None: now. It is read and checked now in any case"""


class Confirm(_Request, frozen=True, kw_only=True, tag="confirm"):
    """Keep the change that waits for that."""


class Undo(_Request, frozen=True, kw_only=True, tag="undo"):
    """Take the last change back, whether it waits or not; or call off the one that is to come."""

    allow_move: bool = False


Request: TypeAlias = Drain | Undrain | Status | Events | Reload | Confirm | Undo


class _Head(Struct, frozen=True):
    version: int
    request: str


class Misunderstood(Exception):
    """A line that is no document of this protocol: what is wrong with it, as one sentence for its sender."""


# Answers


class Moved(Struct, frozen=True, kw_only=True):
    """The result of a command for one router."""

    name: str
    outcome: Outcome
    already: bool = False
    """whether it was so before the command"""
    until: datetime | None = None
    persistent: bool = False


class _Answer(Struct, frozen=True, kw_only=True, tag_field="answer"):
    version: int = VERSION


class Begun(_Answer, frozen=True, kw_only=True, tag="begun"):
    """The command has been carried out as far as it can be at once; ``done`` follows."""

    routers: tuple[Moved, ...]
    warning: str | None = None


class Progress(_Answer, frozen=True, kw_only=True, tag="progress"):
    """The outcome of one router has changed."""

    name: str
    outcome: Outcome


class Done(_Answer, frozen=True, kw_only=True, tag="done"):
    """The last line of a command: the result for each router, in the order of the configuration."""

    routers: tuple[Moved, ...]
    warning: str | None = None
    """what could not be done as requested, with the remedy"""


class StatusAnswer(View, frozen=True, kw_only=True, tag_field="answer", tag="status"):
    """The last line of ``status``: the whole ``View``, and whose it is."""

    version: int = VERSION
    release: str
    """of exavrrp"""
    process: int
    time: datetime
    host: str = ""
    """the name of the machine"""


class EventsAnswer(_Answer, frozen=True, kw_only=True, tag="events"):
    """The last line of ``events``. Each entry is a ``chronicle.Entry``."""

    before: tuple[msgspec.Raw, ...] = ()
    """of the agents before this one, the oldest first"""
    entries: tuple[msgspec.Raw, ...]
    count: int
    """``after`` for the next request"""


class Change(Struct, frozen=True, kw_only=True):
    """One difference of two configurations (``plan.Difference``)."""

    effect: str
    key: str
    detail: str
    routers: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    """those of them that are Active here"""


class Scheduled(_Answer, frozen=True, kw_only=True, tag="scheduled"):
    """The change is checked, and comes at that time; ``reloaded`` follows then."""

    at: datetime
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()


class Reloaded(_Answer, frozen=True, kw_only=True, tag="reloaded"):
    """The last line of a reload, a confirmation or an undo."""

    outcome: Literal["applied", "unchanged", "possible", "confirmed", "undone", "cancelled", "refused"]
    """``unchanged``: there is no difference; ``possible``: it was only a question; ``cancelled``: before its time"""
    changes: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()
    """why it was refused, each with its remedy; nothing has changed then"""
    warnings: tuple[str, ...] = ()
    until: datetime | None = None
    """when it is undone if nobody confirms it"""


class Unready(_Answer, frozen=True, kw_only=True, tag="unready"):
    """The last line of a drain that was not begun: nobody could take over."""

    routers: dict[str, str]
    """for each of these, why none of its peers could"""


class Error(_Answer, frozen=True, kw_only=True, tag="error"):
    """The last line of a refused request: why nothing was done, with the remedy."""

    message: str


Answer: TypeAlias = Begun | Progress | Done | StatusAnswer | EventsAnswer | Scheduled | Reloaded | Unready | Error


def encode(document: Request | Answer) -> bytes:
    """The line, with its end."""
    return msgspec.json.encode(document) + b"\n"


def request(line: bytes) -> Request:
    """The request in a line (its end may be there or not). Raises Misunderstood."""
    head: _Head = _decoded(line, _Head, "this is no request")
    kinds = [kind.__struct_config__.tag for kind in get_args(Request)]
    if head.version != VERSION:
        raise Misunderstood(
            f"the agent speaks version {VERSION} of the protocol, not {head.version}; use the exavrrp that it came with"
        )
    if head.request not in kinds:
        asked = repr(head.request[:64])
        raise Misunderstood(f"there is no request {asked}; known here: {', '.join(map(str, kinds))}")
    found: Request = _decoded(line, Request, f"this is no {head.request} request")
    return found


def answer(line: bytes) -> Answer:
    """The answer in a line. Raises Misunderstood."""
    found: Answer = _decoded(line, Answer, "the agent's answer is not understood")
    if found.version != VERSION:
        raise Misunderstood(f"the agent speaks version {found.version} of the protocol; this exavrrp speaks {VERSION}")
    return found


def _decoded(data: bytes, kind: Any, failure: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # It may repeat a name from the line.
        reason = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(error)[:200])
        raise Misunderstood(f"{failure}: {reason}") from None


def chosen(names: Sequence[str], known: Mapping[str, str | None]) -> tuple[str, ...]:
    """The routers that a request is about, in the order of the configuration. Raises Misunderstood.

    ``known``: the group of each router. A name is that of a router, of a group, or of a service of both families.
    """
    if not names:
        return tuple(known)
    members: dict[str, list[str]] = {}
    for name, group in known.items():
        members.setdefault(group or name, []).append(name)
    meant = {
        name: [name]
        if name in known
        else members.get(name) or [each for each in (f"{name}-ipv6", f"{name}-ipv4") if each in known]
        for name in names
    }
    unknown = [name for name, found in meant.items() if not found]
    if unknown:
        raise Misunderstood(
            f"there is no virtual router {', '.join(repr(name) for name in unknown[:8])}; "
            f"known here: {', '.join(list(known)[:64])}"
        )
    asked = {each for found in meant.values() for each in found}
    return tuple(name for name in known if name in asked)


# Drains


@dataclass(frozen=True, slots=True)
class Drained:
    """The drain of one router."""

    until: float | None
    """seconds since the epoch; None: no end of its own"""
    persistent: bool

    @property
    def end(self) -> datetime | None:
        return None if self.until is None else datetime.fromtimestamp(self.until, UTC)


def drained(before: Drained | None, asked: Drain, now: float) -> Drained:
    """The drain of a router after the request ``asked``: the last request counts, with one exception.

    A drain until the restart does not end a persistent one: the stop of a unit must not end the maintenance of its
    host.
    """
    if before is not None and asked.seconds is None and not asked.persist:
        return before
    until = None if asked.seconds is None else min(now + asked.seconds, LAST)
    return Drained(until, asked.persist or (before is not None and before.persistent))


def lasting(held: Mapping[str, Drained]) -> dict[str, float | None]:
    """The drains that the next agent keeps: name → end in seconds since the epoch, or None."""
    return {name: one.until for name, one in held.items() if one.persistent}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)


def duration(text: str) -> float:
    """Seconds in a text such as ``2h``, ``90s`` or ``1h30m``. Raises ValueError with the remedy."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text[:64]!r} is no duration; write a number and a unit: 90s, 30m, 2h, 1h30m or 2d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"{text[:64]!r} is out of range; write more than 0s and at most {LONGEST / 86400:.0f}d")
    return seconds


# Notes on disk


class Announcement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prefixes, and how they were announced last, or would have been: ``routes.Attributes`` in the API's words."""

    prefixes: tuple[str, ...]
    next_hop: str = "self"
    med: int | None = None
    local_preference: int | None = None
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    as_path: tuple[int, ...] = ()
    prepend: int = 0
    neighbors: tuple[str, ...] = ()
    """as the configuration writes them"""
    next_hops: dict[str, str] = {}
    """neighbor → its own"""


_Value = TypeVar("_Value")


class SavedState(Struct, frozen=True, kw_only=True):
    """The state file: what an agent has announced under which ExaBGP process. It is valid while that process runs.

    The silent failures of other nodes (``silences``) are valid until the next boot.
    """

    version: Literal[1] = 1
    boot: str | None
    """the kernel's boot id"""
    exabgp: tuple[int, int] | None
    """its process id, and its start time in clock ticks since the boot: a pair that is never reused"""
    routers: dict[Name, Name]
    """name → ``active``, ``standby`` or ``leaving``: how its addresses are announced"""

    offered: tuple[Name, ...] = ()
    """the routers that it may announce: it was told to, and has not confirmed the withdraw of all of it"""
    since: dict[Name, int] = {}
    """name → whole seconds since the epoch at which it became Active, from which its MED may follow"""
    silences: dict[Name, tuple[Number, Monotonic]] = {}
    """name → how many nodes failed silently, and when the last one did, from which its path may follow"""
    addresses: tuple[str, ...] = ()
    """all that it may have bound, until the next boot"""
    announcements: tuple[Announcement, ...] = ()
    """all that it may have announced"""

    def rename(self, names: Mapping[str, str]) -> "SavedState":
        """The same with other names of routers (now → then); without those whose names others take."""
        gone = frozenset(names.values()).difference(names)

        def then(known: dict[str, _Value]) -> dict[str, _Value]:
            return {names.get(name, name): value for name, value in known.items() if name not in gone}

        return msgspec.structs.replace(
            self,
            routers=then(self.routers),
            offered=tuple(then(dict.fromkeys(self.offered))),
            since=then(self.since),
            silences=then(self.silences),
        )

    def is_under(self, boot: str | None, exabgp: tuple[int, int] | None) -> bool:
        """Whether ``exabgp`` is certainly the same process."""
        return None not in (boot, exabgp) and (boot, exabgp) == (self.boot, self.exabgp)

    def announced(self, boot: str | None, exabgp: tuple[int, int] | None) -> frozenset[str]:
        """The routers that ExaBGP still announces as serving, if ``exabgp`` is the same process.

        A standby is not among them: it has not served, and nothing is lost when it is announced anew.
        """
        if not self.is_under(boot, exabgp):
            return frozenset()
        return frozenset(name for name, level in self.routers.items() if level != "standby")

    def is_foreign(self, boot: str | None, exabgp: tuple[int, int] | None) -> bool:
        """Whether ``exabgp`` is certainly another process, which announces nothing of this."""
        return None not in (boot, exabgp, self.boot, self.exabgp) and (boot, exabgp) != (self.boot, self.exabgp)


class Drains(Struct, frozen=True, kw_only=True):
    """The routers that stay out of the election after a restart."""

    version: Literal[1] = 1
    drained: dict[Name, Epoch | None]
    """name → when the drain ends by itself, in seconds since the epoch"""


class Reverting(Struct, frozen=True, kw_only=True):
    """What a successor has to know of the last reload. The text of the configuration before it is in another file.

    It counts as long as the configuration on disk is the one that was loaded then.
    """

    version: Literal[1] = 1
    fingerprint: Annotated[str, Meta(max_length=64)]
    """of the configuration that was loaded"""
    until: Epoch | None = None
    """when it is undone if nobody confirms it, in seconds since the epoch; None: nobody needs to"""
    undone: bool = False
    renamed: dict[Name, Name] = {}
    """routers that it has called otherwise: before → after"""

    def is_over(self, now: float) -> bool:
        """Whether what was before it is in force."""
        return self.undone or (self.until is not None and self.until <= now)

    @property
    def back(self) -> dict[str, str]:
        """What the state files call otherwise than the configuration before: after → before.

        An agent that has undone the change itself has renamed these, too.
        """
        return {} if self.undone else {after: before for before, after in self.renamed.items()}


def encode_file(document: SavedState | Drains | Reverting) -> bytes:
    """The bytes of a state file: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def saved_state(data: bytes) -> SavedState:
    """Decodes a state file. Raises Misunderstood."""
    found: SavedState = _decoded(data, SavedState, "not a state file of this version")
    return found


def drains(data: bytes) -> Drains:
    """Decodes a file of drained routers. Raises Misunderstood."""
    found: Drains = _decoded(data, Drains, "not a state file of this version")
    return found


def reverting(data: bytes) -> Reverting:
    """Decodes the state file about the last reload. Raises Misunderstood."""
    found: Reverting = _decoded(data, Reverting, "not a state file of this version")
    return found


def start_time(stat: bytes) -> int | None:
    """When a process was started, in clock ticks since the boot, from its /proc/PID/stat (proc(5), field 22).

    The second field is the name in parentheses, and may itself hold spaces, parentheses and line ends.
    """
    _, closed, rest = stat.rpartition(b")")
    fields = rest.split()
    if not closed or len(fields) < 20 or not re.fullmatch(rb"[0-9]{1,19}", fields[19]):
        return None
    return int(fields[19])


def names_exabgp(command: bytes) -> bool:
    """Whether a command line, as in /proc/PID/cmdline, starts exabgp: by its script or as a module."""
    names = (word.rpartition(b"/")[2].partition(b".")[0] for word in command.split(b"\0")[:4])
    return b"exabgp" in names
