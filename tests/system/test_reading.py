"""A configuration is read in a child process, and put in force by ``Reloads``; a double stands for the node."""

import _thread
import asyncio
import contextlib
import errno
import gc
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from exavrrp.config import ConfigError, Configuration, load
from exavrrp.control import Reload, Reloaded, Scheduled, Undo
from exavrrp.plan import Plan, plan
from exavrrp.system import reading, reload
from exavrrp.system.reading import fingerprint, read
from exavrrp.system.reload import Loaded, Reloads, Source
from exavrrp.system.state import KeptConfiguration, LastReload
from exavrrp.system.threads import in_thread
from exavrrp.vrrp.packet import Address
from tests.ports import AGENT, router
from tests.system.commanded import Told
from tests.system.conftest import LIMIT, Run, Until

pytestmark = pytest.mark.system


class Log(Told):
    """Errors, too."""

    def error(self, event: str, **fields: object) -> None:
        self.lines.append(("error", event, fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "exavrrp.toml"
    file.write_text(AGENT + router())
    return file


# Reading


def test_a_child_reads_what_we_would_read(path: Path, run: Run) -> None:
    (path.parent / "conf.d").mkdir()
    (path.parent / "conf.d" / "web2.toml").write_text(router(2))
    configuration, text, printed = run(read(path, ()))
    assert configuration == load(path)
    assert printed == fingerprint(path)
    path.write_bytes(text)
    assert load(path, alone=True) == configuration
    assert run(read(path, (), alone=True))[0] == configuration


def test_a_child_finds_the_same_mistakes(path: Path, run: Run) -> None:
    path.write_text(AGENT + router(priority=300) + router(2, vrid=0))
    with pytest.raises(ConfigError) as expected:
        load(path)
    with pytest.raises(ConfigError) as found:
        run(read(path, ()))
    assert found.value.problems == expected.value.problems
    assert len(found.value.problems) == 2


@pytest.mark.parametrize(
    ("program", "message"), [("/bin/false", "exit status 1"), ("/bin/true", "ended before it was done")]
)
def test_a_child_that_ends_early(
    path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setattr("sys.executable", program)
    with pytest.raises(OSError, match=message):
        run(read(path, ()))


def test_a_child_that_never_ends(path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMIT", 0.0)
    with pytest.raises(OSError, match="cannot be read within 0 s"):
        run(read(path, ()))


# Another configuration, and back


class Double:
    """Stands for the node: puts in force what it is given, or refuses it."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.refuses = False

    def plan(self, new: Configuration) -> Plan:
        return plan(self.configuration, new)

    def active(self) -> frozenset[str]:
        return frozenset(["web"])

    serving = active

    def reconfigure(self, new: Configuration) -> None:
        if self.refuses:
            raise ValueError("other neighbors than before")
        self.configuration = new

    def disagreements(self, new: Configuration) -> list[str]:
        return [f"{one.name}: warned" for one in new.routers]

    def addresses(self) -> frozenset[Address]:
        return frozenset()

    @property
    def priority(self) -> int:
        return self.configuration.routers[0].priority


class World:
    """``Reloads``, its files and its node."""

    def __init__(self, path: Path) -> None:
        self.path, self.log = path, Log()
        self.state = path.parent / "run"
        self.state.mkdir()
        self.node = Double(load(path))
        self.renamed: dict[str, str] = {}
        self.reloads = self.begin()

    def begin(self) -> Reloads:
        loaded = Loaded(self.path.read_bytes(), fingerprint(self.path), self.node.configuration)
        return Reloads(
            Source(self.path, loaded), self.state, self.node, self.log, renamed=self.rename, applied=lambda _: None
        )

    def rename(self, names: Mapping[str, str]) -> None:
        self.renamed |= names

    async def reload(self, *tables: str, **asked: object) -> Scheduled | Reloaded:
        self.path.write_text(AGENT + "".join(tables))
        return await self.reloads.reload(Reload(**asked))  # type: ignore[arg-type]


@pytest.fixture
def world(path: Path) -> World:
    return World(path)


def errors(found: Scheduled | Reloaded) -> str:
    assert isinstance(found, Reloaded)
    assert (found.outcome == "refused") is bool(found.errors)
    return "; ".join(found.errors)


def test_what_could_not_come_back_is_not_put_in_force(world: World, run: Run) -> None:
    world.state.rmdir()
    found = run(world.reload(router(priority=100), confirm_within=60.0))
    assert "without it the change would not come back after a crash" in errors(found)
    assert world.node.priority == 200
    found = run(world.reload(router(priority=100)))
    assert (errors(found), found.warnings) == ("", ("web: warned",)), "only undo is lost"
    assert world.node.priority == 100
    assert "state-file-write-failed" in world.log.events()


def test_what_the_node_refuses_is_not_waited_for(world: World, run: Run) -> None:
    world.node.refuses = True
    assert "other neighbors" in errors(run(world.reload(router(priority=100), confirm_within=60.0)))
    assert LastReload(world.state, world.log).recall() is None
    assert "nothing waits" in errors(run(world.reloads.confirm()))
    assert "no reload to undo" in errors(run(world.reloads.undo(Undo())))


def test_what_cannot_come_back_is_tried_again(
    world: World, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "RETRY", 0.01)

    async def play() -> None:
        await world.reload(router(priority=100), confirm_within=0.01)
        world.node.refuses = True
        await until(lambda: world.log.events().count("reload-refused") > 1)
        world.node.refuses = False
        await until(lambda: world.node.priority == 200)
        world.reloads.close()

    run(play())
    assert "reload-undone" in world.log.events()
    assert KeptConfiguration(world.state, world.log).path.read_text() == AGENT + router()


def test_a_disk_that_hangs_is_looked_at_once(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK", 0.05)
    looks: list[Path] = []
    recovered = threading.Event()

    def hanging(path: Path) -> str:
        looks.append(path)
        recovered.wait(LIMIT)
        return fingerprint(path)

    monkeypatch.setattr(reload, "fingerprint", hanging)

    async def play() -> tuple[list[bool | None], bool | None, bool | None]:
        hung = [await world.reloads.differs() for _ in range(3)]
        recovered.set()
        monkeypatch.setattr(reload, "LOOK", LIMIT)
        same = await world.reloads.differs()
        world.path.write_text(AGENT + router(priority=100))
        return hung, same, await world.reloads.differs()

    assert run(play()) == ([None, None, None], False, True)
    assert looks == [world.path] * 2


@pytest.mark.parametrize("error", [partial(OSError, errno.EIO, "failed"), partial(ConfigError, ()), ValueError])
def test_a_disk_that_fails_when_nobody_waits_any_more_ends_nothing(
    world: World, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    """asyncio reports what a future has raised for nobody, and the agent takes that for a bug of its own."""
    monkeypatch.setattr(reload, "LOOK", 0.0)
    answers = threading.Event()
    looks: list[asyncio.Future[object]] = []

    def failing(_: Path) -> str:
        answers.wait(LIMIT)
        raise error()

    def watched(work: Callable[[], object]) -> "asyncio.Future[object]":
        looks.append(in_thread(work))
        return looks[-1]

    monkeypatch.setattr(reload, "fingerprint", failing)
    monkeypatch.setattr(reload, "in_thread", watched)

    async def play() -> None:
        assert await world.reloads.differs() is None
        answers.set()
        await until(looks[0].done)
        monkeypatch.setattr(reload, "LOOK", LIMIT)
        assert await world.reloads.differs() is None
        looks.clear()
        gc.collect()

    run(play())


def test_without_a_thread_nobody_knows_whether_the_files_differ(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    assert run(world.reloads.differs()) is None


def test_one_at_a_time(world: World, run: Run) -> None:
    async def play() -> tuple[Scheduled | Reloaded, ...]:
        first = asyncio.ensure_future(world.reload(router(priority=100)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = await world.reloads.reload(Reload())
        return await first, second

    first, second = run(play())
    assert errors(first) == ""
    assert "under way" in errors(second)


def test_whoever_has_asked_may_go(world: World, run: Run, until: Until) -> None:
    async def play() -> None:
        asked = asyncio.ensure_future(world.reload(router(priority=100)))
        await asyncio.sleep(0)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked
        await until(lambda: world.node.priority == 100)

    run(play())


def test_a_time_that_is_over_is_refused(world: World, run: Run) -> None:
    assert "is over" in errors(run(world.reload(router(priority=100), at=time.time() - 1)))
    assert world.node.priority == 200


def test_a_time_that_comes_while_the_answer_is_sent(world: World, run: Run, until: Until) -> None:
    async def play() -> Scheduled | Reloaded:
        found = await world.reload(router(priority=100), at=time.time() + 5)
        assert isinstance(found, Scheduled)
        await until(lambda: world.node.priority == 100)
        return await world.reloads.scheduled()

    assert errors(run(play())) == ""


def test_drains_are_told_of_other_names(world: World, run: Run) -> None:
    run(world.reload(router().replace("virtual_router.web", "virtual_router.site")))
    assert world.renamed == {"web": "site"}
    last = LastReload(world.state, world.log).recall()
    assert last is not None
    assert last.back == {"site": "web"}


def test_whether_the_files_differ(world: World, run: Run) -> None:
    assert run(world.reloads.differs()) is False
    world.path.write_text(AGENT + router(priority=100))
    assert run(world.reloads.differs()) is True
    world.path.unlink()
    assert run(world.reloads.differs()) is None
