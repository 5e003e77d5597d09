"""The files that an agent leaves for its successor.

``State`` is the state file of this process: which routers' addresses ExaBGP announces for us. It is in the state
directory, which does not outlive a boot. It is valid only under the same ExaBGP process: another one announces nothing
for us. Two parts of it are valid in any case: that we were Active, and the silent failures of other nodes. It is
written at each change, and again if it is not there, from the event loop, and not synced to the disk: after a crash of
the host it is worthless.

It also lists every address and prefix that this process may bind and announce. A successor whose configuration does not
name all of them must clear the others (``Forgotten``). It needs their attributes, too: a withdraw carries those of the
announcement.

``DrainFile`` lists the drained routers. It is in the persistent directory, is synced to the disk, and must not be
written from the event loop: a disk may take seconds, an advert must not.

Both are written under another name and then renamed, so a reader finds either the old content or the new. Reading
raises nothing, whatever a file holds: an invalid file is logged, and counts as absent.

``KeptConfiguration`` is a copy of the configuration that is in force. A successor under the same ExaBGP (after a crash
or a full reload) uses it if the configuration has errors by then. ``LastReload`` has what was in force before the last
reload, and whether and when that comes back.

``ReplayCounterFile`` holds the sequence numbers of signed adverts (``vrrp.auth``): for each sender the last number that
was accepted, and for ourselves the last one that was sent. It is in the state directory and is mapped into memory: a
number is stored in eight bytes, without a system call, and is there for the successor however this process ends. It has
a slot for each sender that the configuration knows. It is replaced, never truncated: truncation would end the process
that has it mapped (SIGBUS).

It does not outlive a boot, and need not: after a boot the old numbers are outside the accepted window. If the window is
longer than the boot took, or if the file is lost, an attacker who has recorded adverts of a peer can replay them until
an advert of that peer is received, and no longer.
"""

import mmap
import os
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from exavrrp.config import Configuration
from exavrrp.control import (
    FILE_LIMIT,
    Drains,
    Misunderstood,
    Reverting,
    SavedState,
    drains,
    encode_file,
    names_exabgp,
    reverting,
    saved_state,
    start_time,
)
from exavrrp.memory import Memory, ParsedState, parsed
from exavrrp.ports import Forgotten
from exavrrp.vrrp.auth import Flow, Sequence
from exavrrp.vrrp.packet import Address, unscoped

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""An identifier of the boot (random(4))."""

STATE = "state.json"
"""Name of the state file in the state directory."""

MAGIC = b"exavrrp marks 1\n"
"""The first bytes of a file of replay counters."""

_SLOT = struct.Struct("=16s16sBB6xQ")
"""Local address, sender, IP version, VRID and number. All sizes are multiples of 8, so that a store is atomic."""

_MOST_COUNTERS = 1 << 24
"""Bytes read of a file of replay counters: those of a thousand routers with 255 peers each, which is the maximum."""


class Log(Protocol):
    """The log for the operator."""

    def info(self, event: str, **fields: object) -> None:
        """Log an event that needs no action."""

    def warning(self, event: str, **fields: object) -> None:
        """Log an event that an operator should look into."""


class State(Memory):
    """``state_directory/state.json``."""

    def __init__(
        self,
        directory: Path,
        log: Log,
        exabgp: tuple[int, int] | None = None,
    ) -> None:
        """``exabgp``: the process that announces for us (number, start time); if not given, our parent."""
        super().__init__(exabgp)
        self.path = directory / STATE
        self._log = log
        self._noted: SavedState | None = None
        """the last content, whether it could be written or not"""
        self._failed = False
        """whether it could not"""

    def forgotten(self, configuration: Configuration) -> Forgotten:
        """The last process's addresses and routes that ``configuration`` does not name.

        To be called while ExaBGP is our parent. It is final once the lock is held: a predecessor that still runs may
        be reloaded until then.
        """
        last = _last(self.path)
        if last is None:
            return Forgotten()
        foreign = _is_foreign(last.saved, _boot(), self.exabgp or _parent())
        return last.forgotten(configuration, foreign=foreign)

    def open(self, renamed: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read the file that the last process left. To be called while ExaBGP is our parent, with the lock held.

        ``renamed``: routers that it called otherwise than we do (then → now).
        """
        self.boot = _boot()
        self.exabgp = self.exabgp or _parent()
        content = _content(self.path, self._log)
        if content is None:
            return
        try:
            last = _parsed(content).saved.rename(renamed)
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
        """Write the file, if its content changes. Raises nothing; a failure is logged.

        ``levels``: router → how it is announced now, None: not at all. ``since``: router → when it became Active, in
        seconds since the epoch. ``silences``: router → the number of silent failures, and the time of the last one in
        monotonic seconds. ``offered``: the routers that ExaBGP may announce, whatever is wanted.
        """
        now = self.next(levels, since, silences, offered)
        if now != self._noted:
            self._noted, self._failed = now, False
            self._write(now)

    def look(self) -> None:
        """Write the last content once more if that has failed, or the file is gone. A further failure is not logged."""
        if self._noted is not None and (self._failed or not os.access(self.path, os.F_OK)):
            with suppress(OSError):
                self.path.parent.mkdir(exist_ok=True)
            self._write(self._noted)

    def _write(self, content: SavedState) -> None:
        before, self._failed = self._failed, True
        try:
            _replace(self.path, encode_file(content), lasting=False)
        except OSError as error:
            with suppress(OSError):
                self.path.unlink()  # a successor must not use the old content
            detail = f"{error.strerror or error}; after a crash of the agent its addresses are cleared, then taken anew"
            if not before:
                self._log.warning("state-file-write-failed", file=str(self.path), detail=detail)
        else:
            self._failed = False


def bound_before(directory: Path) -> frozenset[Address]:
    """All addresses that the last agent of this boot, and those whose leftovers it had to clear, may have bound."""
    last = _last(directory / STATE)
    return frozenset() if last is None else last.addresses


def _parsed(content: bytes) -> ParsedState:
    """Raises Misunderstood."""
    return parsed(saved_state(content))


def _last(path: Path) -> ParsedState | None:
    """The state file of this boot; None if there is none, or it is invalid, which ``State.open`` logs."""
    content, boot = _content(path, None), _boot()
    try:
        last = None if content is None else _parsed(content)
    except Misunderstood:
        return None
    return last if last is not None and boot is not None and last.saved.boot == boot else None


def announcer(directory: Path) -> int | None:
    """The process number of the ExaBGP that the last agent ran under, if it still runs; else None.

    It may announce the last agent's routes even if the state file lists none: the file is written after the commands.
    """
    try:
        content = (directory / STATE).read_bytes()
        last = saved_state(content[:FILE_LIMIT])
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
        """Make the directory (0755, whatever the umask), and log it if the file cannot be written there."""
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
        """Router → end of its drain in seconds since the epoch, None for no end. Raises nothing."""
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
        """Write and sync the file, which may take long. Raises OSError."""
        _replace(self.path, encode_file(Drains(drained=dict(drained))), lasting=True)


class KeptConfiguration:
    """``state_directory/kept.toml``. It may hold secrets."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "kept.toml"
        self._log = log

    def recall(self) -> Path | None:
        """The path of the last process's configuration if the same ExaBGP has started us; else None."""
        content = _content(self.path.with_name(STATE), self._log)
        try:
            last = None if content is None else saved_state(content)
        except Misunderstood:
            return None
        boot, exabgp = _boot(), _parent()
        if last is None or not last.is_under(boot, exabgp):
            return None
        return self.path if self.path.is_file() else None

    def save(self, content: bytes) -> None:
        """Write the copy, and remove an old one if that fails, which is logged. To be called with the lock held."""
        try:
            _replace(self.path, content, lasting=False, mode=0o600)
        except OSError as error:
            with suppress(OSError):
                self.path.unlink()
            detail = (
                f"{error.strerror or error}; after a crash of the agent the configuration has to be free of mistakes"
            )
            self._log.warning("state-file-write-failed", file=str(self.path), detail=detail)


class LastReload:
    """``state_directory/reload.json`` and ``previous.toml``, which may hold secrets."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "reload.json"
        self.previous = directory / "previous.toml"
        self._log = log

    def recall(self) -> Reverting | None:
        """What the last process has left; None if that is nothing, or cannot be used."""
        content = _content(self.path, None)
        if content is None or not self.previous.is_file():
            return None
        try:
            return reverting(content)
        except Misunderstood as error:
            self._log.warning("state-file-ignored", file=str(self.path), detail=str(error))
            return None

    def save(self, last: Reverting, previous: bytes | None = None) -> None:
        """Write the note, and before it the text that was in force, if that is another one. Raises OSError."""
        if previous is not None:
            self.forget()  # the old note does not belong to it
            _replace(self.previous, previous, lasting=False, mode=0o600)
        _replace(self.path, encode_file(last), lasting=False)

    def forget(self) -> None:
        """Nothing comes back. Raises nothing."""
        with suppress(OSError):
            self.path.unlink()


class ReplayCounterFile:
    """``state_directory/marks``, a ``vrrp.auth.Marks``. If it cannot be written, the numbers end with this process."""

    def __init__(self, directory: Path, log: Log) -> None:
        self.path = directory / "marks"
        self._log = log
        self._slots: dict[Flow, int] = {}
        self._map: mmap.mmap | None = None
        self._numbers: memoryview | list[int] = []
        self._opened = False

    def set(self, flows: Collection[Flow]) -> int:
        """Hold the numbers of exactly these flows. Returns how many of them are known. With the lock held.

        The first call with any flow reads the file of the last process, and logs how many numbers it has. Flows that
        stay keep their numbers; those of the others are dropped. Raises nothing: a failed write is logged, and the
        numbers then end with this process.
        """
        if self._opened and self._slots.keys() == set(flows):
            return sum(1 for slot in self._slots.values() if self._numbers[slot])
        before = {flow: self._numbers[slot] for flow, slot in self._slots.items()} if self._opened else self._read()
        first = not self._opened
        if first and not flows:
            return 0  # no file is needed
        self.close()
        self._opened = True
        found = {flow: before.get(flow) or before.get(_unscoped(flow), 0) for flow in flows}
        words = (len(MAGIC) + _SLOT.size - 8) // 8
        self._slots = {flow: words + index * _SLOT.size // 8 for index, flow in enumerate(found)}
        fresh = MAGIC + b"".join(_packed(flow, number) for flow, number in found.items())
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
        """The numbers that the last process left."""
        content = _content(self.path, self._log, _MOST_COUNTERS)
        found = {} if content is None else _numbers(content)
        if found is None:
            self._log.warning("state-file-ignored", file=str(self.path), detail="it does not hold replay counters")
        return found or {}

    def get(self, flow: Flow, /) -> Sequence | None:
        """The last number of a flow; None if it is not known."""
        slot = self._slots.get(flow)
        number = 0 if slot is None else self._numbers[slot]
        return Sequence(number) if number else None

    def __setitem__(self, flow: Flow, number: Sequence, /) -> None:
        self._numbers[self._slots[flow]] = number

    def close(self) -> None:
        """Unmap the file, which stays. Nothing can be stored after that."""
        if self._map is not None:
            assert isinstance(self._numbers, memoryview)
            self._numbers.release()
            self._map.close()
            self._map = None


def _unscoped(flow: Flow) -> Flow:
    """As the file has it, which knows no scopes of link-local addresses."""
    return Flow(unscoped(flow.local), unscoped(flow.sender), flow.vrid)


def _packed(flow: Flow, number: int) -> bytes:
    return _SLOT.pack(flow.local.packed, flow.sender.packed, flow.local.version, flow.vrid, number)


def _numbers(content: bytes) -> dict[Flow, int] | None:
    """The numbers in a file of replay counters; None if it is invalid.

    Of flows on two interfaces that only their scopes tell apart, both have the greater number.
    """
    if not content.startswith(MAGIC) or (len(content) - len(MAGIC)) % _SLOT.size:
        return None
    found: dict[Flow, int] = {}
    for local, sender, family, vrid, number in _SLOT.iter_unpack(content[len(MAGIC) :]):
        if family not in {4, 6}:
            return None
        flow = Flow(_unpacked(local, family), _unpacked(sender, family), vrid)
        found[flow] = max(number, found.get(flow, 0))
    return found


def _unpacked(packed: bytes, family: int) -> Address:
    return IPv4Address(packed[:4]) if family == 4 else IPv6Address(packed)


def _content(path: Path, log: Log | None, most: int = FILE_LIMIT) -> bytes | None:
    """The content of a file; None if it is missing or cannot be read, which is logged. Never waits for a pipe."""
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
    """Replace the file by ``content`` atomically; ``lasting``: and sync it to the disk. Raises OSError."""
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


def _is_foreign(last: SavedState, boot: str | None, exabgp: tuple[int, int] | None) -> bool:
    """Whether ``last`` was certainly written under another ExaBGP. Unknown, so false, if a shell has started us."""
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
    """The process that has started us, as ``_process``."""
    return _process(os.getppid())


def _process(number: int) -> tuple[int, int] | None:
    """(number, start time in ticks) of a running process, a pair that is unique within a boot; None if it has ended."""
    try:
        started = start_time(Path(f"/proc/{number}/stat").read_bytes())
        ended = not Path(f"/proc/{number}/cmdline").read_bytes()  # it is only not reaped yet
    except OSError:
        return None
    return None if started is None or ended else (number, started)
