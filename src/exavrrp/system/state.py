"""What an agent leaves on disk for the one that follows it.

``State`` is the note about this life: which routers' addresses ExaBGP announces for us. It stands in the state
directory, which does not outlive a boot, and it counts only under the very ExaBGP process that it was written under:
another one announces nothing for us. It is written at each change, from the event loop, and not forced to the disk:
after a crash of the host it would be worthless anyway.

``DrainFile`` is the note about drained routers. It stands in the persistent directory, is forced to the disk, and is
to be written beside the event loop: a disk may take seconds, an advert may not.

Both are written whole under another name and then renamed, so a reader finds the old one or the new one. Whatever a
file holds, reading it raises nothing: what cannot be understood is logged, and taken for nothing.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from exavrrp.control import NOTE_LIMIT, Drains, Life, Misunderstood, drains, life, note, start_time

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""One number for each boot (random(4))."""


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
        self._since: dict[str, int] = {}
        self._noted: Life | None = None

    def open(self) -> None:
        """Read what the last life has left. To be called while ExaBGP is our parent, and with the lock held."""
        self._boot = _boot()
        self._exabgp = _parent()
        content = _content(self.path, self._log)
        if content is None:
            return
        try:
            before = life(content)
            self._before = before.announced(self._boot, self._exabgp)
            self._since = before.since
        except Misunderstood as error:
            self._log.warning("note-ignored", file=str(self.path), detail=str(error))

    def recall(self) -> frozenset[str]:
        """The routers that were announced in the last life, if this very ExaBGP announces them still."""
        return self._before

    def since(self, router: str) -> int | None:
        """When ``router`` became Active in the last life, in whole seconds since the epoch, if it was noted."""
        return self._since.get(router)

    def note(self, levels: Mapping[str, str | None], since: Mapping[str, int] | None = None) -> None:
        """How each router is announced now (None: not at all), and when it became Active, in seconds since the epoch.

        A file that is right already is left alone.
        """
        announced = {name: str(level) for name, level in levels.items() if level is not None}
        times = {name: time for name, time in (since or {}).items() if name in announced}
        now = Life(boot=self._boot, exabgp=self._exabgp, routers=announced, since=times)
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


def _content(path: Path, log: Log) -> bytes | None:
    """What is in the file, None if there is none. A pipe or a device in its place is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("note-ignored", file=str(path), detail=error.strerror or str(error))
        return None
    try:
        content = os.read(descriptor, NOTE_LIMIT + 1)
    except OSError as error:
        log.warning("note-ignored", file=str(path), detail=error.strerror or str(error))
        return None
    finally:
        os.close(descriptor)
    return content


def _replace(path: Path, content: bytes, *, lasting: bool) -> None:
    """Put ``content`` in the place of the file in one step. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        fresh.unlink()  # a predecessor ended while it wrote
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
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
