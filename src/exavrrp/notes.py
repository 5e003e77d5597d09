"""The state file for the next agent, written whenever it changes; pure.

A note has all routers. So many changes at one moment are one note, and after a slow write the next one waits for a
multiple of its time.
"""

from collections.abc import Mapping
from typing import NamedTuple

from exavrrp import ports
from exavrrp.announcement import Basis
from exavrrp.routes import Level, Network
from exavrrp.takeover import Count
from exavrrp.virtual_router import VirtualRouter
from exavrrp.work import Work

NOTE_PAUSE = 10
"""The next note waits for so many times the duration of the last one: each has all routers."""


class _Line(NamedTuple):
    """One router in a note."""

    level: Level | None
    since: int | None
    failures: Count | None
    networks: tuple[Network, ...]
    """its prefixes"""
    offered: bool
    """whether ExaBGP may announce any of them, whatever is desired"""
    basis: Basis
    """what else its routes depend on"""


class Notes:
    """The notes of this process."""

    def __init__(self, memory: ports.Memory, clock: ports.Clock, work: Work) -> None:
        self._memory = memory
        self._clock = clock
        self._work = work
        self._lines: dict[str, _Line] = {}
        self._due = False
        self._after = 0.0
        """when the next one may be written"""

    def remember(self, router: VirtualRouter) -> None:
        """Something may have changed for this router."""
        level, takeovers = router.instance.presence.level, router.instance.takeovers
        since, failures = takeovers.time.active_since, takeovers.failures.remembered
        before, networks = self._lines.get(router.name), router.announcement.networks
        # A Backup that may not be announced stays so while its prefixes do. It is not asked for each advert: each
        # question is recorded.
        in_doubt = before is None or before.offered or before.networks != networks
        offered = level is not None or (in_doubt and router.announcement.may_be_announced)
        line = _Line(level, since, failures, networks, offered, router.announcement.basis)
        self._lines[router.name] = line  # even if it is equal: objects that are the same are compared at once
        if before != line:
            self._memory.may_announce(router.name, router.announcement.last())
            self.write_soon()

    def rename(self, names: Mapping[str, str]) -> None:
        """These routers are called otherwise from now on (now → then); ``remember`` is to be called with each."""
        for name in self._lines.keys() & names.keys():
            del self._lines[name]
            self._memory.may_announce(name, ())
        self.write_soon()

    def forget(self, name: str) -> None:
        """The router is gone."""
        del self._lines[name]
        self._memory.may_announce(name, ())
        self.write_soon()

    def write_soon(self) -> None:
        """Something has changed."""
        if not self._due:
            self._due = True
            self._work.not_before(self._after, self.write)

    def write(self) -> None:
        """Write it now, if anything has changed since the last one."""
        if not self._due:
            return
        self._due = False
        begun = self._clock.time()
        lines = self._lines.items()
        self._memory.note(
            {name: line.level for name, line in lines},
            {name: line.since for name, line in lines if line.since is not None},
            {name: line.failures for name, line in lines if line.failures is not None},
            [name for name, line in lines if line.offered],
        )
        ended = self._clock.time()
        self._after = ended + NOTE_PAUSE * (ended - begun)
