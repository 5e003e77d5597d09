"""An agent to command: the real ``Control`` with its real socket and files, and behind it ``Double``.

``Double`` is a test double: it stands for the agent, and does what ``exavrrp.control.Service`` promises, without
elections, addresses or routes. A test decides what becomes of a drain (``settle``), or beforehand (``becomes``).

``commanded(directory, "web", …)`` runs all of it in a thread of its own, for tests that call the commands.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from exavrrp.system.control import Control
from exavrrp.system.state import DrainFile
from exavrrp.view import Moment, Outcome, RouterView, SessionView, View
from tests.system.conftest import LIMIT

T = TypeVar("T")

NOBODY = 65534


def has_other_users() -> bool:
    """Whether there is a user besides root: a user namespace often maps nobody else."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return any(int(first) <= NOBODY < int(first) + int(count) for first, _, count in map(str.split, lines))


def let_others_in(directory: Path) -> None:
    """Let every user reach what is in this directory of pytest's (one of a worker's lies a floor deeper)."""
    for one in (directory, *directory.parents[:3]):
        if one.stat().st_uid == os.getuid() and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o055)


class Told:
    """Collects what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    def events(self, *, without: Sequence[str] = ("command-received",)) -> list[str]:
        return [event for _, event, _ in self.lines if event not in without]

    def detail(self, event: str) -> str:
        """Of the only line of this event."""
        (detail,) = [str(fields.get("detail")) for _, name, fields in self.lines if name == event]
        return detail


NOW = Moment(datetime(2026, 11, 22, 12, tzinfo=UTC), 1_000_000.0)


class Double:
    """Stands for the agent; see the top of this file."""

    def __init__(self, *names: str) -> None:
        self.outcomes = dict.fromkeys(names, Outcome.SERVING)
        self.calls: list[tuple[str, str]] = []
        self.becomes: dict[str, Outcome] = {}
        """what a drain of these routers comes to by itself, in the next turn of the loop"""
        self.obstacles: dict[str, str] = {}
        """why no peer could take over from these routers"""
        self.faults: dict[str, tuple[str, ...]] = {}
        self.out: set[str] = set()
        """those that take no part"""
        self.described = 0
        """how often"""
        self.connected: list[SessionView] = []
        self.family: int | None = None
        """that of every router"""
        self.ages: dict[str, float] = {}
        """seconds that these routers are in their state; of others it is not known"""
        self.control: Control | None = None
        self.happened: list[bytes] = []
        """the lines of its journal"""

    def names(self) -> Sequence[str]:
        return list(self.outcomes)

    def groups(self) -> Mapping[str, str | None]:
        return dict.fromkeys(self.outcomes)

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.outcomes if name in names)

    def unready(self, names: Collection[str]) -> Mapping[str, str]:
        return {name: why for name, why in self.obstacles.items() if name in names}

    def look_at_note(self) -> None:
        """Nobody reads it."""

    def drain(self, name: str) -> None:
        self.calls.append(("drain", name))
        if self.outcomes.get(name) in {None, Outcome.DRAINING, Outcome.DRAINED}:
            return
        self.settle(name, Outcome.DRAINING)
        if name in self.becomes:
            asyncio.get_running_loop().call_soon(self.settle, name, self.becomes[name])

    def undrain(self, name: str) -> None:
        self.calls.append(("undrain", name))
        if name in self.outcomes:
            self.settle(name, Outcome.SERVING)

    def outcome(self, name: str) -> Outcome:
        return self.outcomes[name]

    def settle(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        assert self.control is not None
        self.control.changed()

    def view(self) -> View:
        return View(
            now=NOW,
            routers=tuple(self._router(number, name) for number, name in enumerate(self.outcomes, start=1)),
            sessions=tuple(self.connected),
        )

    def describe(self) -> Iterator[View | None]:
        self.described += 1
        yield from [None] * len(self.outcomes)
        yield self.view()

    def events(self, after: int, /) -> tuple[int, list[bytes]]:
        return len(self.happened), self.happened[after:]

    def _router(self, number: int, name: str) -> RouterView:
        drained = self.outcomes[name] in {Outcome.DRAINING, Outcome.DRAINED}
        return RouterView(
            name=name,
            vrid=number,
            family=self.family,
            role="initialize" if name in self.out else "backup" if drained else "active",
            priority=100,
            explanation="150 - 50 (a failing) = 100",
            bound=not drained,
            level=None if drained else "active",
            drained=drained,
            wanted=None if drained else "active",
            faults=self.faults.get(name, ()),
            outcome=self.outcomes[name],
            since=Moment(NOW.time, NOW.monotonic - self.ages[name]) if name in self.ages else None,
        )


class Commanded:
    """A ``Control`` and its ``Double``, at work in a thread."""

    def __init__(self, directory: Path, *names: str, clock: Callable[[], float] = time.time) -> None:
        self.log = Told()
        self.double = Double(*names)
        self.lib = directory / "lib"
        self.configuration = directory / "exavrrp.toml"
        self.configuration.write_text(f'[agent]\nstate_directory = "{directory}"\n')
        store = DrainFile(self.lib, self.log)
        self.control = self.double.control = Control(directory, self.double, store, self.log, clock=clock)
        self.errors: list[object] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._thread.start()

        def begin() -> None:
            self.control.open(self._loop)
            for name in sorted(self.control.drained()):
                self.double.drain(name)

        self.do(begin)

    def do(self, function: Callable[[], T]) -> T:
        """What ``function`` returns in the thread of the loop."""
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(function())
            except BaseException as error:  # whoever waits gets it
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result(LIMIT)

    def settle(self, name: str, outcome: Outcome) -> None:
        self.do(lambda: self.double.settle(name, outcome))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is true, looked at between two turns of the loop."""
        end = time.monotonic() + LIMIT
        while not self.do(condition):
            assert time.monotonic() < end, f"not within {LIMIT:g} s"
            time.sleep(0.005)

    def stop(self) -> None:
        async def finish() -> None:
            self.control.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(finish(), self._loop).result(LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()
        assert not self.errors, f"raised in the loop: {self.errors}"


@contextmanager
def commanded(directory: Path, *names: str, clock: Callable[[], float] = time.time) -> Iterator[Commanded]:
    """An agent process."""
    agent = Commanded(directory, *names, clock=clock)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
