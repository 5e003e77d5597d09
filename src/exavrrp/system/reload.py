"""Reloads: from a request, or SIGHUP, to another configuration in force, and back again.

The file is read and checked in a process of its own (``reading``), compared with what is in force (``plan``), and then
put in place in one turn of the loop, or not at all. One at a time: a change that waits for its time, or for its
confirmation, has to be settled before the next one.

What was in force before the last reload is kept, for ``undo``, and for a change that nobody confirms. It is on disk,
too (``state.LastReload``): a successor of this process takes the change back when its time is over, and starts with
what was before when that has happened already (``resume``). As soon as somebody writes another configuration, the files
count again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from exavrrp.config import ConfigError, Configuration
from exavrrp.control import Change, Reload, Reloaded, Reverting, Scheduled, Undo
from exavrrp.plan import Plan, objections
from exavrrp.system.addresses import index_of
from exavrrp.system.reading import fingerprint, read
from exavrrp.system.state import KeptConfiguration, LastReload
from exavrrp.system.threads import in_thread
from exavrrp.vrrp.packet import Address

RETRY = 10.0
"""Seconds until a change that could not be taken back is tried again to be taken back."""

WATCH = 0.2
"""Seconds between two looks at the clock on the wall, which may be set while a change waits for its time."""

LOOK = 1.0
"""Seconds to wait for the disk when somebody asks whether the configuration on it is another one."""

LOGGED = 20
"""Most errors or routers of one reload in the log; whoever asked is told all."""

BUSY = "another reload is under way; wait for its end"

T = TypeVar("T")


class Log(Protocol):
    """The log for the operator."""

    def info(self, event: str, **fields: object) -> None:
        """Log an event that needs no action."""

    def warning(self, event: str, **fields: object) -> None:
        """Log an event that an operator should look into."""

    def error(self, event: str, **fields: object) -> None:
        """Log an event that keeps us from doing our work."""


class Node(Protocol):
    """What a node does for a reload (``commands.Commands``)."""

    def plan(self, new: Configuration) -> Plan:
        """What changes if ``new`` is put in place."""

    def active(self) -> frozenset[str]:
        """The routers that are Active here."""

    def serving(self) -> frozenset[str]:
        """The routers whose traffic may come here."""

    def disagreements(self, new: Configuration) -> list[str]:
        """What ``new`` says otherwise than the Active of a router that is Backup here."""

    def reconfigure(self, new: Configuration) -> None:
        """Put ``new`` in place, at once and whole. Raises OSError or ValueError; nothing has changed then."""

    def addresses(self) -> frozenset[Address]:
        """All virtual addresses, also of routers that leave."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it comes from."""

    text: bytes
    """with which the next agent can start"""
    fingerprint: str
    """of the files that it was read from; empty: they are not known"""
    configuration: Configuration | None = None
    """None: to be read from the state file that has the text"""


@dataclass(frozen=True, slots=True)
class Checked:
    """What would change, and may."""

    changes: tuple[Change, ...]
    renamed: Mapping[str, str]
    """routers that are called otherwise: before → after"""
    warnings: tuple[str, ...]


class Refused(Exception):
    """Why nothing was changed: one sentence each, with the remedy."""

    def __init__(self, errors: Iterable[object], changes: tuple[Change, ...] = ()) -> None:
        self.errors = tuple(map(str, errors))
        self.changes = changes
        super().__init__("; ".join(self.errors))


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration of an agent that begins has come from."""

    path: Path
    """of the configuration, whether it could be used or not"""
    loaded: Loaded
    """what is in force"""
    node: str | None = None
    """which table [node.NAME] is ours; None: that of this host"""
    last: Reverting | None = None
    """the last reload of the process before, if it concerns what is on disk now; ``undone``: it is not in force"""
    back: Mapping[str, str] = field(default_factory=dict)
    """routers that the state files call otherwise than what is in force (then → now)"""


class Reloads:
    """Of one agent."""

    def __init__(
        self,
        source: Source,
        directory: Path,
        node: Node,
        log: Log,
        *,
        renamed: Callable[[Mapping[str, str]], None],
        applied: Callable[[Configuration], None],
    ) -> None:
        """``directory``: for state files.

        ``renamed`` takes the routers that are called otherwise (before → after), ``applied`` what is in force now.
        """
        self._path = source.path
        self._name = source.node
        self._loaded = source.loaded
        self._node = node
        self._log = log
        self._renamed = renamed
        self._applied = applied
        self._last = LastReload(directory, log)
        self._kept = KeptConfiguration(directory, log)
        self._before: Loaded | None = None
        """what undo brings back"""
        self._until: float | None = None
        """when it comes back by itself, in seconds since the epoch"""
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._look: asyncio.Future[str | None] | None = None
        """the last look at the disk, for the fingerprint of its configuration"""
        self._coming: asyncio.Task[Reloaded] | None = None
        """the last reload that had to wait for its time"""
        self._tasks: set[asyncio.Task[Any]] = set()

    # As an agent begins and ends

    def resume(self, last: Reverting | None) -> None:
        """Take over what the process before has left, with the lock held: its change may have to be taken back."""
        if self._loaded.text:
            self._kept.save(self._loaded.text)
        if last is None:
            self._last.forget()
        elif last.undone:
            self._note(Reverting(fingerprint=last.fingerprint, undone=True))
        else:
            with suppress(OSError):
                self._before = Loaded(self._last.previous.read_bytes(), "")
                if last.until is not None:
                    self._wait(last.until)

    def close(self) -> None:
        """Nothing happens any more; a successor goes on."""
        self._stop_waiting()
        for task in self._tasks:
            task.cancel()

    # Requests

    async def reload(self, asked: Reload) -> Scheduled | Reloaded:
        """Do it now; or check it now, and do it at its time (``scheduled``)."""
        return await asyncio.shield(self._spawn(self._reload(asked)))

    def hang_up(self) -> None:
        """SIGHUP: a reload, whose verdict is in the log."""
        self._spawn(self._reload(Reload()))

    async def scheduled(self) -> Reloaded:
        """What has become of the reload that was to come."""
        assert self._coming is not None
        return await asyncio.shield(self._coming)

    async def confirm(self) -> Reloaded:
        """Keep the change that waits for that."""
        if self._until is None:
            return self._refuse(Refused(["nothing waits for a confirmation"]))
        self._stop_waiting()
        self._note(Reverting(fingerprint=self._loaded.fingerprint))
        self._log.info("reload-confirmed")
        return Reloaded(outcome="confirmed")

    async def undo(self, asked: Undo) -> Reloaded:
        """Take the last change back, or call off the one that is to come."""
        if self._coming is not None and not self._coming.done():
            self._coming.cancel()
            return Reloaded(outcome="cancelled")
        return await asyncio.shield(self._spawn(self._undo("exavrrp reload --undo", allow_move=asked.allow_move)))

    async def differs(self) -> bool | None:
        """Whether the configuration on disk is another one than that in force; None: unknown.

        While a disk hangs, all who ask wait for the same look at it, with one thread.
        """
        try:
            if self._look is None or self._look.done():
                self._look = in_thread(partial(_on_disk, self._path))
            async with asyncio.timeout(LOOK):
                found = await asyncio.shield(self._look)
        except OSError:  # TimeoutError included
            return None
        return None if found is None else found != self._loaded.fingerprint

    # Forward

    async def _reload(self, asked: Reload) -> Scheduled | Reloaded:
        try:
            self._be_free()
            if asked.at is not None and asked.at <= time.time():
                raise Refused(["this time is over; name a later one"])
            new, configuration = await self._read(self._path)
            self._look_for_links(configuration)
            checked = self._check(configuration, allow_move=asked.allow_move)
        except Refused as refused:
            return self._refuse(refused)
        changes, warnings = checked.changes, checked.warnings
        if asked.dry_run:
            return Reloaded(outcome="possible" if changes else "unchanged", changes=changes, warnings=warnings)
        if asked.at is None:
            return self._apply(asked, new, configuration, checked)
        at = datetime.fromtimestamp(asked.at, UTC)
        self._log.info("reload-scheduled", at=at.isoformat(), differences=len(changes))
        self._coming = self._spawn(self._later(asked, asked.at, new, configuration))
        return Scheduled(at=at, changes=changes, warnings=warnings)

    async def _later(self, asked: Reload, at: float, new: Loaded, configuration: Configuration) -> Reloaded:
        try:
            while (left := at - time.time()) > 0:  # noqa: ASYNC110 — no event tells that a clock was set
                await asyncio.sleep(min(left, WATCH))
        except asyncio.CancelledError:
            self._log.info("reload-cancelled")
            return Reloaded(outcome="cancelled")
        return self._apply(asked, new, configuration)

    def _apply(
        self, asked: Reload, new: Loaded, configuration: Configuration, checked: Checked | None = None
    ) -> Reloaded:
        """Put it in place, in this turn of the loop; ``checked``: it was, in this very turn."""
        before, last = self._loaded, None
        try:
            if checked is None:
                self._look_for_links(configuration)
                checked = self._check(configuration, allow_move=asked.allow_move)
            if changes := checked.changes:
                until = None if asked.confirm_within is None else time.time() + asked.confirm_within
                last = Reverting(fingerprint=new.fingerprint, until=until, renamed=dict(checked.renamed))
                self._save(last, before.text)
            self._put(new, configuration, checked)
        except Refused as refused:
            if last is not None:
                self._last.forget()
                self._before = None
            return self._refuse(refused)
        if last is None:
            self._log.info("reload-unchanged")
            return Reloaded(outcome="unchanged", warnings=checked.warnings)
        self._before = before
        if last.until is not None:
            self._wait(last.until)
        self._log.info("reload-applied", differences=len(changes), routers=_named(changes))
        return Reloaded(outcome="applied", changes=changes, warnings=checked.warnings, until=self._end)

    # And back

    async def _undo(self, why: str, *, allow_move: bool) -> Reloaded:
        try:
            if self._before is None:
                raise Refused(["there is no reload to undo; write the configuration that you want, and reload it"])
            before = self._before
            configuration = before.configuration
            if configuration is None:  # of the process before
                before, configuration = await self._read(self._last.previous, alone=True)
            elif self._busy:
                raise Refused([BUSY])
            # What waits for a confirmation would come back in any case.
            checked = self._check(configuration, allow_move=allow_move or self._until is not None)
            undone = self._loaded.fingerprint
            self._put(before, configuration, checked)
        except Refused as refused:
            return self._refuse(refused)
        self._before = None
        self._stop_waiting()
        self._note(Reverting(fingerprint=undone, undone=True))
        changes = checked.changes
        self._log.info("reload-undone", reason=why, differences=len(changes), routers=_named(changes))
        return Reloaded(outcome="undone", changes=changes)

    @property
    def _end(self) -> datetime | None:
        return None if self._until is None else datetime.fromtimestamp(self._until, UTC)

    def _wait(self, until: float) -> None:
        """It comes back then, unless somebody confirms it."""
        self._until = until
        assert self._end is not None
        self._log.warning("reload-unconfirmed", until=self._end.isoformat(), detail="exavrrp reload --confirm keeps it")
        self._arm(max(0.0, until - time.time()))

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, lambda: self._spawn(self._expire()))

    async def _expire(self) -> None:
        if self._until is not None and (await self._undo("nobody has confirmed it", allow_move=True)).errors:
            self._arm(RETRY)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._until = None

    # Steps

    def _be_free(self) -> None:
        """Raises Refused if another reload is not over yet."""
        if self._busy:
            raise Refused([BUSY])
        if self._coming is not None and not self._coming.done():
            raise Refused(["another reload waits for its time; call it off first (exavrrp reload --undo)"])
        if self._end is not None:
            waits = f"the last reload waits for its confirmation until {self._end:%Y-%m-%dT%H:%M:%SZ}"
            raise Refused([f"{waits}; first keep it (exavrrp reload --confirm) or take it back (--undo)"])

    async def _read(self, path: Path, *, alone: bool = False) -> tuple[Loaded, Configuration]:
        """Raises Refused with all that is wrong."""
        self._busy = True
        try:
            configuration, text, printed = await read(path, self._node.addresses(), self._name, alone=alone)
        except ConfigError as error:
            raise Refused(error.problems) from None
        except OSError as error:
            raise Refused([error.strerror or error]) from None
        finally:
            self._busy = False
        return Loaded(text, printed, configuration), configuration

    def _look_for_links(self, new: Configuration) -> None:
        """Raises Refused for each that addresses are to be bound to now, and that this host does not have.

        What is in force may name one that has gone since, and comes back.
        """
        before = self._loaded.configuration
        known = {router.bound_to for router in (() if before is None else before.routers)}
        if errors := [
            f"virtual_router.{router.name}.bind: this host has no {router.bound_to}, so its addresses could not be"
            " bound; correct the name, or make the interface first"
            for router in new.routers
            if router.on_link and router.bound_to not in known and not index_of(router.bound_to or "")
        ]:
            raise Refused(errors)

    def _check(self, new: Configuration, *, allow_move: bool) -> Checked:
        """What would change. Raises Refused."""
        found, active = self._node.plan(new), self._node.active()
        changes = tuple(
            Change(
                effect=one.effect,
                key=one.key,
                detail=one.detail,
                routers=one.routers,
                active=tuple(name for name in one.routers if name in active),
            )
            for one in found.differences
        )
        if errors := objections(found, self._node.serving(), allow_move=allow_move):
            raise Refused(errors, changes)
        warnings = (*map(str, new.warnings), *self._node.disagreements(new))
        return Checked(changes, found.renamed, warnings)

    def _put(self, new: Loaded, configuration: Configuration, checked: Checked) -> None:
        """Put it in place. Raises Refused."""
        try:
            self._node.reconfigure(configuration)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise Refused([f"{reason}; correct it, or restart ExaBGP"]) from None
        self._loaded = new
        self._renamed(checked.renamed)
        self._applied(configuration)
        self._kept.save(new.text)

    def _save(self, last: Reverting, previous: bytes) -> None:
        """Raises Refused if a change that has to be confirmed could not come back after a crash."""
        try:
            self._last.save(last, previous)
        except OSError as error:
            if last.until is not None:
                reason = f"{self._last.path} cannot be written: {error.strerror or error}"
                raise Refused([f"{reason}; without it the change would not come back after a crash"]) from None
            self._forget_last(error)

    def _note(self, last: Reverting) -> None:
        try:
            self._last.save(last)
        except OSError as error:
            self._forget_last(error)

    def _forget_last(self, error: OSError) -> None:
        self._last.forget()
        detail = f"{error.strerror or error}; after a restart of the agent the configuration on disk counts"
        self._log.warning("state-file-write-failed", file=str(self._last.path), detail=detail)

    # Who is told

    def _refuse(self, refused: Refused) -> Reloaded:
        for error in refused.errors[:LOGGED]:
            self._log.error("reload-refused", detail=error)
        if len(refused.errors) > LOGGED:
            self._log.error("reload-refused", detail=f"and {len(refused.errors) - LOGGED} more; exavrrp check has all")
        return Reloaded(outcome="refused", errors=refused.errors, changes=refused.changes)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Whoever has asked may be gone before it is done. An exception is a bug, and is reported as such."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a bug in a reload", "exception": error})


def _on_disk(path: Path) -> str | None:
    """The fingerprint of a configuration, None if it cannot be read.

    It raises nothing: when the disk answers, perhaps nobody waits any more, and asyncio reports as a bug what a future
    has raised for nobody.
    """
    with suppress(OSError, ValueError, ConfigError):
        return fingerprint(path)
    return None


def _named(changes: Iterable[Change]) -> list[str]:
    """The routers that are concerned, for the log: a line has a maximum length."""
    routers = sorted({name for one in changes for name in one.routers})
    return [*routers[:LOGGED], *([f"and {len(routers) - LOGGED} more"] if len(routers) > LOGGED else [])]
