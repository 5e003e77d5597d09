"""What an agent leaves on disk for the one that follows it.

``State`` is the note about this life: which routers' addresses ExaBGP announces for us. It stands in the state
directory, which does not outlive a boot, and it counts only under the very ExaBGP process that it was written under:
another one announces nothing for us. That we were Active, and who else fell silent, counts in any case. It is
written at each change, from the event loop, and not forced to the disk: after a crash of the host it would be worthless
anyway.

``DrainFile`` is the note about drained routers. It stands in the persistent directory, is forced to the disk, and is
to be written beside the event loop: a disk may take seconds, an advert may not.

Both are written whole under another name and then renamed, so a reader finds the old one or the new one. Whatever a
file holds, reading it raises nothing: what cannot be understood is logged, and taken for nothing.

``MarkFile`` has the numbers of signed adverts (``vrrp.auth``): the last one that we have sent, and the last one that
was accepted, of each sender. It stands in the state directory and is mapped into memory: a number is noted by a store
of eight bytes, at each advert, without a system call and without waiting, and what was stored is there for the next
agent however this one ends. Its slots are made for the routers of the configuration; what is known is taken over. It
is replaced, never cut short: whoever truncates it ends the agent that has it mapped (SIGBUS).

It does not outlive a boot, and need not: after a boot the numbers are older than the window that is accepted anyway.
Where the window is longer than the boot took, or where the file is lost, whoever has recorded adverts of a peer can
play them once more until that peer is heard again, and can do no more than that.
"""

import mmap
import os
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Protocol

from exavrrp.control import NOTE_LIMIT, Drains, Life, Misunderstood, drains, life, note, start_time
from exavrrp.vrrp.auth import Flow, Sequence
from exavrrp.vrrp.packet import Address

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""One number for each boot (random(4))."""

MARKS = b"exavrrp marks 1\n"
"""What the file of marks begins with."""

_SLOT = struct.Struct("=16s16sBB6xQ")
"""Local address, sender, family, VRID and number. All sizes are multiples of 8, so that a number is stored at once."""

_MOST_MARKS = 1 << 24
"""Bytes read of a file of marks: those of a thousand routers with 255 peers each, as many as one may have."""


class Log(Protocol):
    """What is told to the operator."""

    def warning(self, event: str, **fields: object) -> None:
        """Something to look into."""


class State:
    """``state_directory/state.json``."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "state.json"
        self._log = log
        self._boot: str | None = None
        self._exabgp: tuple[int, int] | None = None
        self._before: frozenset[str] = frozenset()
        self._last = Life(boot=None, exabgp=None, routers={})
        """that of this boot, if there was one"""
        self._noted: Life | None = None

    def open(self) -> None:
        """Read what the last life has left. To be called while ExaBGP is our parent, and with the lock held."""
        self._boot = _boot()
        self._exabgp = _parent()
        content = _content(self.path, self._log)
        if content is None:
            return
        try:
            last = life(content)
            self._before = last.announced(self._boot, self._exabgp)
            if self._boot is not None and last.boot == self._boot:
                self._last = last
        except Misunderstood as error:
            self._log.warning("note-ignored", file=str(self.path), detail=str(error))

    def recall(self) -> frozenset[str]:
        """The routers that were announced in the last life, if this very ExaBGP announces them still."""
        return self._before

    def was_active(self, router: str) -> bool:
        """Whether ``router`` was announced as an Active's at the end of the last life, if that was in this boot."""
        return self._last.routers.get(router) == "active"

    def since(self, router: str) -> int | None:
        """When ``router`` became Active in the last life, in whole seconds since the epoch, if it was noted."""
        return self._last.since.get(router)

    def silent(self, router: str) -> tuple[int, float] | None:
        """How many nodes fell silent in earlier lives of this boot, and when the last one did, in monotonic seconds."""
        return self._last.silences.get(router)

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        """How each router is announced now (None: not at all), and when it became Active, in seconds since the epoch.

        And how many silent takeovers it remembers, with the time of the last one in monotonic seconds. A file that is
        right already is left alone.
        """
        announced = {name: str(level) for name, level in levels.items() if level is not None}
        times = {name: time for name, time in (since or {}).items() if name in announced}
        now = Life(boot=self._boot, exabgp=self._exabgp, routers=announced, since=times, silences=dict(silences or {}))
        if now == self._noted:
            return
        try:
            _replace(self.path, note(now), lasting=False)
        except OSError as error:
            detail = f"{error.strerror or error}; after a crash of the agent its addresses are cleared, then taken anew"
            self._log.warning("note-unwritten", file=str(self.path), detail=detail)
            self._noted = None
        else:
            self._noted = now


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
                "drains-not-kept",
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
            self._log.warning("note-ignored", file=str(self.path), detail=detail)
            return {}

    def save(self, drained: Mapping[str, float | None]) -> None:
        """Returns when it is on the disk, which may take long. Raises OSError."""
        _replace(self.path, note(Drains(drained=dict(drained))), lasting=True)


class MarkFile:
    """``state_directory/marks``, as ``vrrp.auth.Marks``. Without the file it is good for this life alone."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "marks"
        self._log = log
        self._slots: dict[Flow, int] = {}
        self._map: mmap.mmap | None = None
        self._numbers: memoryview | list[int] = []

    def open(self, flows: Collection[Flow]) -> int:
        """Make room for these, and for no others; how many of them were known. With the lock held."""
        content = _content(self.path, self._log, _MOST_MARKS)
        before = {} if content is None else _numbers(content)
        if before is None:
            self._log.warning("note-ignored", file=str(self.path), detail="it does not hold marks")
            before = {}
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
            self._log.warning("note-unwritten", file=str(self.path), detail=detail)
            self._numbers = list(memoryview(fresh).cast("Q"))
        return sum(1 for number in found.values() if number)

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


def _content(path: Path, log: Log, most: int = NOTE_LIMIT) -> bytes | None:
    """What is in the file, None if there is none. A pipe or a device in its place is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("note-ignored", file=str(path), detail=error.strerror or str(error))
        return None
    try:
        content = os.read(descriptor, most + 1)
    except OSError as error:
        log.warning("note-ignored", file=str(path), detail=error.strerror or str(error))
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


def _boot() -> str | None:
    try:
        return BOOT_ID.read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None


def _parent() -> tuple[int, int] | None:
    """Who has started us, as a pair that never comes again within a boot."""
    parent = os.getppid()
    try:
        started = start_time(Path(f"/proc/{parent}/stat").read_bytes())
    except OSError:
        return None
    return None if started is None else (parent, started)
