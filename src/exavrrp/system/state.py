"""What an agent leaves on disk for the one that follows it.

``State`` is the note about this life: which routers' addresses ExaBGP announces for us. It stands in the state
directory, which does not outlive a boot, and it counts only under the very ExaBGP process that it was written under:
another one announces nothing for us. That we were Active, and who else fell silent, counts in any case. It is
written at each change, from the event loop, and not forced to the disk: after a crash of the host it would be worthless
anyway.

``DrainFile`` is the note about drained routers. It stands in the persistent directory, is forced to the disk, and is
to be written beside the event loop: a disk may take seconds, an advert may not.

It also names every address and prefix that this life may bind and announce. A successor whose configuration names
others has to clear these (``Forgotten``), and has to know the attributes: a withdraw carries those of the announcement.

Both are written whole under another name and then renamed, so a reader finds the old one or the new one. Whatever a
file holds, reading it raises nothing: what cannot be understood is logged, and taken for nothing.

``KeptConfiguration`` is a copy of the file that this life began with, for the case that somebody has broken the file
when the next one begins under the same ExaBGP: after a crash, or a full reload.

``MarkFile`` has the numbers of signed adverts (``vrrp.auth``): the last one that we have sent, and the last one that
was accepted, of each sender. It stands in the state directory and is mapped into memory: a number is noted by a store
of eight bytes, at each advert, without a system call and without waiting, and what was stored is there for the next
agent however this one ends. Its slots are made for the routers of the configuration; what is known is taken over. It
is replaced, never cut short: whoever truncates it ends the agent that has it mapped (SIGBUS).

It does not outlive a boot, and need not: after a boot the numbers are older than the window that is accepted anyway.
Where the window is longer than the boot took, or where the file is lost, whoever has recorded adverts of a peer can
play them once more until that peer is heard again, and can do no more than that.
"""

import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Protocol

from exavrrp.config import Configuration
from exavrrp.control import (
    NOTE_LIMIT,
    Drains,
    Life,
    Misunderstood,
    drains,
    life,
    names_exabgp,
    note,
    start_time,
)
from exavrrp.memory import Memory, Note, understood
from exavrrp.ports import Forgotten
from exavrrp.vrrp.auth import Flow, Sequence
from exavrrp.vrrp.packet import Address

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""One number for each boot (random(4))."""

STATE = "state.json"
"""The note's name in the state directory."""

MARKS = b"exavrrp marks 1\n"
"""What the file of marks begins with."""

RETRY = 10.0
"""Seconds until a note that could not be written is tried again although nothing has changed."""

_SLOT = struct.Struct("=16s16sBB6xQ")
"""Local address, sender, family, VRID and number. All sizes are multiples of 8, so that a number is stored at once."""

_MOST_MARKS = 1 << 24
"""Bytes read of a file of marks: those of a thousand routers with 255 peers each, as many as one may have."""


class Log(Protocol):
    """What is told to the operator."""

    def info(self, event: str, **fields: object) -> None:
        """Something to know."""

    def warning(self, event: str, **fields: object) -> None:
        """Something to look into."""


class State(Memory):
    """``state_directory/state.json``."""

    def __init__(
        self,
        directory: Path,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        exabgp: tuple[int, int] | None = None,
    ) -> None:
        """``exabgp``: the process that announces for us, by number and start time; if not given, our parent."""
        super().__init__(exabgp)
        self.path = directory / STATE
        self._log = log
        self._clock = clock
        self._noted: Life | None = None
        """what was to be noted last"""
        self._again = math.inf
        """when to note it again: it could not be written"""

    def forgotten(self, configuration: Configuration) -> Forgotten:
        """What of the last life is not in ``configuration``. To be called while ExaBGP is our parent.

        The lock need not be held: a predecessor that still lives notes all that it may ever bind from its beginning on.
        """
        last = _last(self.path)
        if last is None:
            return Forgotten()
        foreign = _is_foreign(last.life, _boot(), self.exabgp or _parent())
        return last.forgotten(configuration, foreign=foreign)

    def open(self) -> None:
        """Read what the last life has left. To be called while ExaBGP is our parent, and with the lock held."""
        self.boot = _boot()
        self.exabgp = self.exabgp or _parent()
        content = _content(self.path, self._log)
        if content is None:
            return
        try:
            last = _understood(content).life
            self.read(last, foreign=_is_foreign(last, self.boot, self.exabgp))
        except Misunderstood as error:
            self._log.warning("state-file-ignored", file=str(self.path), detail=str(error))

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> None:
        """How each router is announced now (None: not at all), and when it became Active, in seconds since the epoch.

        And how many silent takeovers it remembers, with the time of the last one in monotonic seconds. ``offered``: the
        routers that ExaBGP may announce, whatever is wanted. A file that is right already is left alone.
        """
        now = self.next(levels, since, silences, offered)
        if now == self._noted and self._clock() < self._again:
            return
        self._noted, self._again = now, math.inf
        try:
            _replace(self.path, note(now), lasting=False)
        except OSError as error:
            with suppress(OSError):
                self.path.unlink()  # what was true before would be believed
            detail = f"{error.strerror or error}; after a crash of the agent its addresses are cleared, then taken anew"
            self._log.warning("state-file-write-failed", file=str(self.path), detail=detail)
            self._again = self._clock() + RETRY


def bound_before(directory: Path) -> frozenset[Address]:
    """All that the last agent of this boot, and those before it that it had to clear up after, may have bound."""
    last = _last(directory / STATE)
    return frozenset() if last is None else last.addresses


def _understood(content: bytes) -> Note:
    """Raises Misunderstood."""
    return understood(life(content))


def _last(path: Path) -> Note | None:
    """The note of this boot, if there is one that can be understood; ``State.open`` says what is wrong with it."""
    content, boot = _content(path, None), _boot()
    try:
        last = None if content is None else _understood(content)
    except Misunderstood:
        return None
    return last if last is not None and boot is not None and last.life.boot == boot else None


def announcer(directory: Path) -> int | None:
    """The process number of the ExaBGP that may announce what the last agent has told it, if it still lives.

    The note need not say that anything was announced: it comes a moment after that.
    """
    try:
        content = (directory / STATE).read_bytes()
        last = life(content[:NOTE_LIMIT])
    except (OSError, Misunderstood):
        return None
    if last.exabgp is None or last.boot != _boot() or last.exabgp != _process(last.exabgp[0]):
        return None
    return last.exabgp[0]


class DrainFile:
    """``persistent_directory/drained.json``."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "drained.json"
        self._log = log

    def open(self) -> None:
        """Make the directory (0755, whatever the umask), and say so at once if nothing can be kept in it."""
        directory = self.path.parent
        try:
            missing = [path for path in (directory, *directory.parents) if not path.exists()]
            for one in reversed(missing):
                one.mkdir()
                one.chmod(0o755)
            reason = None if os.access(directory, os.W_OK | os.X_OK) else "this user may not write in it"
        except OSError as error:
            reason = error.strerror or str(error)
        if reason is not None:
            self._log.warning(
                "drain-not-persistent",
                directory=str(directory),
                detail=f"{reason}; a drain will not survive a restart: make the directory writable for this user "
                "(StateDirectory=exavrrp in ExaBGP's unit), or set agent.persistent_directory",
            )

    def recall(self) -> dict[str, float | None]:
        """The drained routers by name, each with the end of its drain in seconds since the epoch."""
        content = _content(self.path, self._log)
        if content is None:
            return {}
        try:
            return drains(content).drained
        except Misunderstood as error:
            detail = f"{error}; nothing counts as drained"
            self._log.warning("state-file-ignored", file=str(self.path), detail=detail)
            return {}

    def save(self, drained: Mapping[str, float | None]) -> None:
        """Returns when it is on the disk, which may take long. Raises OSError."""
        _replace(self.path, note(Drains(drained=dict(drained))), lasting=True)


class KeptConfiguration:
    """``state_directory/kept.toml``. It may hold secrets."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "kept.toml"
        self._log = log

    def recall(self) -> Path | None:
        """Where the configuration of the last life is, if that was under the very ExaBGP that has started us."""
        content = _content(self.path.with_name(STATE), self._log)
        try:
            last = None if content is None else life(content)
        except Misunderstood:
            return None
        boot, exabgp = _boot(), _parent()
        if last is None or not last.is_under(boot, exabgp):
            return None
        return self.path if self.path.is_file() else None

    def save(self, content: bytes) -> None:
        """Keep it for the next life. With the lock held. An older one does not stay in its place."""
        try:
            _replace(self.path, content, lasting=False, mode=0o600)
        except OSError as error:
            with suppress(OSError):
                self.path.unlink()
            detail = (
                f"{error.strerror or error}; after a crash of the agent the configuration has to be free of mistakes"
            )
            self._log.warning("state-file-write-failed", file=str(self.path), detail=detail)


class MarkFile:
    """``state_directory/marks``, as ``vrrp.auth.Marks``. Without the file it is good for this life alone."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "marks"
        self._log = log
        self._slots: dict[Flow, int] = {}
        self._map: mmap.mmap | None = None
        self._numbers: memoryview | list[int] = []
        self._opened = False

    def set(self, flows: Collection[Flow]) -> int:
        """Have room for exactly these flows from now on; how many of them were known. With the lock held.

        The first call with any reads what the process before has left, and logs how many that are. Those that stay keep
        their numbers; those that are gone are forgotten. The same flows again change nothing. Raises nothing: what
        cannot be written is logged, and the numbers are good for this life.
        """
        if self._opened and self._slots.keys() == set(flows):
            return sum(1 for slot in self._slots.values() if self._numbers[slot])
        before = {flow: self._numbers[slot] for flow, slot in self._slots.items()} if self._opened else self._read()
        first = not self._opened
        if first and not flows:
            return 0  # nobody needs a file
        self.close()
        self._opened = True
        found = {flow: before.get(flow, 0) for flow in flows}
        words = (len(MARKS) + _SLOT.size - 8) // 8
        self._slots = {flow: words + index * _SLOT.size // 8 for index, flow in enumerate(found)}
        fresh = MARKS + b"".join(_packed(flow, number) for flow, number in found.items())
        try:
            _replace(self.path, fresh, lasting=False, mode=0o600)
            with self.path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), len(fresh))
            self._numbers = memoryview(self._map).cast("Q")
        except OSError as error:
            detail = f"{error.strerror or error}; what was recorded before a restart can be sent again after it"
            self._log.warning("state-file-write-failed", file=str(self.path), detail=detail)
            self._numbers = list(memoryview(fresh).cast("Q"))
        known = sum(1 for number in found.values() if number)
        if first:
            self._log.info("replay-counters-loaded", file=str(self.path), known=known, of=len(found))
        return known

    def _read(self) -> dict[Flow, int]:
        """What the process before has left."""
        content = _content(self.path, self._log, _MOST_MARKS)
        found = {} if content is None else _numbers(content)
        if found is None:
            self._log.warning("state-file-ignored", file=str(self.path), detail="it does not hold marks")
        return found or {}

    def get(self, flow: Flow, /) -> Sequence | None:
        """The last number, if any is known."""
        slot = self._slots.get(flow)
        number = 0 if slot is None else self._numbers[slot]
        return Sequence(number) if number else None

    def __setitem__(self, flow: Flow, number: Sequence, /) -> None:
        self._numbers[self._slots[flow]] = number

    def close(self) -> None:
        """Stores nothing any more. The file stays."""
        if self._map is not None:
            assert isinstance(self._numbers, memoryview)
            self._numbers.release()
            self._map.close()
            self._map = None


def _packed(flow: Flow, number: int) -> bytes:
    return _SLOT.pack(flow.local.packed, flow.sender.packed, flow.local.version, flow.vrid, number)


def _numbers(content: bytes) -> dict[Flow, int] | None:
    """What a file of marks holds; None if it is none."""
    if not content.startswith(MARKS) or (len(content) - len(MARKS)) % _SLOT.size:
        return None
    found: dict[Flow, int] = {}
    for local, sender, family, vrid, number in _SLOT.iter_unpack(content[len(MARKS) :]):
        if family not in {4, 6}:
            return None
        found[Flow(_unpacked(local, family), _unpacked(sender, family), vrid)] = number
    return found


def _unpacked(packed: bytes, family: int) -> Address:
    return IPv4Address(packed[:4]) if family == 4 else IPv6Address(packed)


def _content(path: Path, log: Log | None, most: int = NOTE_LIMIT) -> bytes | None:
    """What is in the file, None if there is none. A pipe or a device in its place is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if log is not None:
            log.warning("state-file-ignored", file=str(path), detail=error.strerror or str(error))
        return None
    try:
        content = os.read(descriptor, most + 1)
    except OSError as error:
        if log is not None:
            log.warning("state-file-ignored", file=str(path), detail=error.strerror or str(error))
        return None
    finally:
        os.close(descriptor)
    return content


def _replace(path: Path, content: bytes, *, lasting: bool, mode: int = 0o644) -> None:
    """Put ``content`` in the place of the file in one step. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        fresh.unlink()  # a predecessor ended while it wrote
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(descriptor)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    if lasting:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _is_foreign(last: Life, boot: str | None, exabgp: tuple[int, int] | None) -> bool:
    """Whether ``exabgp`` is certainly another one: not if it is a shell that ExaBGP has started us by."""
    return exabgp is not None and last.is_foreign(boot, exabgp) and is_exabgp(exabgp[0])


def is_exabgp(number: int) -> bool:
    """Whether this process was started as exabgp."""
    try:
        return names_exabgp(Path(f"/proc/{number}/cmdline").read_bytes())
    except OSError:
        return False


def _boot() -> str | None:
    try:
        return BOOT_ID.read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None


def _parent() -> tuple[int, int] | None:
    """Who has started us, as a pair that never comes again within a boot."""
    return _process(os.getppid())


def _process(number: int) -> tuple[int, int] | None:
    """A process that lives, as a pair that never comes again within a boot."""
    try:
        started = start_time(Path(f"/proc/{number}/stat").read_bytes())
        ended = not Path(f"/proc/{number}/cmdline").read_bytes()  # it is only not reaped yet
    except OSError:
        return None
    return None if started is None or ended else (number, started)
