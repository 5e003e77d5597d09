"""The control socket: who may use it, robustness against clients, and persistent drains.

The sockets and files are real; behind them stands a test double of the agent (``commanded.Double``).
"""

import asyncio
import errno
import gc
import grp
import json
import os
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exavrrp import __version__
from exavrrp.control import (
    REQUEST_LIMIT,
    Answer,
    Begun,
    Done,
    Drain,
    Error,
    Progress,
    Request,
    Status,
    StatusAnswer,
    Undrain,
    Unready,
    answer,
    encode,
)
from exavrrp.system import control as server
from exavrrp.system.control import Control
from exavrrp.system.state import DrainFile, State
from exavrrp.system.threads import in_thread
from exavrrp.view import Outcome, View
from tests.system.commanded import Commanded, Double, Told, commanded, has_other_users, let_others_in
from tests.system.conftest import LIMIT, Need, Run, Until


class Site:
    """A control and its double in the loop of the test."""

    def __init__(self, directory: Path, *names: str, **more: Any) -> None:
        self.log = Told()
        self.double = Double(*names)
        self.store: Any = more.pop("store", None) or DrainFile(directory / "lib", self.log)
        self.control = self.double.control = Control(directory, self.double, self.store, self.log, **more)
        self.path = self.control.path

    @property
    def clients(self) -> int:
        return self.control.clients

    def kept(self) -> dict[str, float | None]:
        """The drains in the file."""
        found: dict[str, float | None] = json.loads(self.store.path.read_bytes())["drained"]
        return found

    async def connect(self) -> "Client":
        return Client(*await asyncio.open_unix_connection(self.path, limit=1 << 24))

    async def ask(self, request: Request) -> Answer:
        """The last answer."""
        async with await self.connect() as client:
            client.say(encode(request))
            *_, last = await client.all()
            return last


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def say(self, line: bytes) -> None:
        self.writer.write(line)

    async def next(self) -> Answer:
        return answer(await self._reader.readline())

    async def ended(self) -> None:
        """The other side closes without another line (with a reset, if it has not read all of ours)."""
        with suppress(ConnectionResetError):
            assert await self._reader.read() == b""

    async def all(self) -> list[Answer]:
        """Until the other side closes."""
        return [answer(line) for line in (await self._reader.read()).splitlines()]


@asynccontextmanager
async def site(directory: Path, *names: str, **more: Any) -> AsyncIterator[Site]:
    found = Site(directory, *names, **more)
    found.control.open(asyncio.get_running_loop())
    for name in sorted(found.control.drained()):
        found.double.drain(name)
    try:
        yield found
    finally:
        found.control.close()


@pytest.fixture(autouse=True)
def _patient_with_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may write the note slowly; only the tests of a slow disk shorten this limit."""
    monkeypatch.setattr(server, "DISK_TIMEOUT", LIMIT)


# The socket


def test_the_socket_is_for_its_user_and_group_and_goes_with_the_agent(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            mode = here.path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
        assert not here.path.exists()
        assert here.log.lines == []

    before = os.umask(0o137)
    try:
        run(check())
    finally:
        os.umask(before)


def test_the_socket_of_an_agent_that_was_killed_is_replaced(tmp_path: Path, run: Run) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "control.sock"))
    stale.close()

    async def check() -> None:
        async with site(tmp_path, "web") as here:
            assert isinstance(await here.ask(Status()), StatusAnswer)

    run(check())


def _may_give(path: Path, group: int) -> bool:
    try:
        os.chown(path, -1, group)
    except OSError:
        return False
    return True


def test_a_group_is_admitted(tmp_path: Path, run: Run) -> None:
    number = next(one for one in (1, *os.getgroups(), os.getgid()) if _may_give(tmp_path, one))
    name = grp.getgrgid(number).gr_name

    async def check() -> None:
        async with site(tmp_path, "web", group=name) as here:
            assert (here.path.stat().st_gid, stat.S_IMODE(here.path.stat().st_mode)) == (number, 0o660)
            assert here.log.lines == []

    run(check())


def test_a_control_group_that_does_not_exist_is_logged_and_admits_nobody(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", group="no-such-group") as here:
            assert here.log.detail("control-group-failed").startswith(
                "there is no such group; make the agent's user a member"
            )
            assert here.path.stat().st_gid == os.getgid()
            assert isinstance(await here.ask(Status()), StatusAnswer)

    run(check())


@pytest.mark.system
def test_a_control_group_that_the_agent_is_no_member_of_is_logged(
    tmp_path: Path, run: Run, need: Need, with_two_capabilities: Callable[[Callable[[], None]], None]
) -> None:
    need(reason="no user besides root in this user namespace", unless=has_other_users())
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o777)
    let_others_in(tmp_path)

    async def check() -> None:
        async with site(directory, "web", group=grp.getgrgid(1).gr_name) as here:
            assert here.log.detail("control-group-failed").startswith("Operation not permitted; ")
            assert isinstance(await here.ask(Status()), StatusAnswer)

    with_two_capabilities(lambda: run(check()))


@pytest.mark.parametrize(("drained", "then"), [("site", {"web"}), ("web", set())])
def test_a_drain_of_a_router_that_is_called_otherwise_and_of_one_that_has_its_name(
    tmp_path: Path, run: Run, until: Until, drained: str, then: set[str]
) -> None:
    """The last process called web site, and another router web. It is gone, and so is that router."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "drained.json").write_text(f'{{"version": 1, "drained": {{"{drained}": null}}}}')

    async def check() -> None:
        here = Site(tmp_path, "web")
        here.control.open(asyncio.get_running_loop(), {"site": "web"})
        try:
            assert here.control.drained() == then
            await until(lambda: here.kept() == dict.fromkeys(then))
        finally:
            here.control.close()

    run(check())


def test_who_gets_the_name_of_a_drained_router_that_is_gone_is_not_drained(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            await here.ask(Drain(names=("dns",)))
            here.control.renamed({"web": "dns"})
            assert here.control.drained() == frozenset()

    run(check())


def test_without_a_socket_the_agent_works_and_logs_it(tmp_path: Path, run: Run) -> None:
    (tmp_path / "control.sock").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "drained.json").write_text('{"version": 1, "drained": {"web": null}}')

    async def check() -> None:
        async with site(tmp_path, "web") as here:
            assert here.log.events() == ["control-unavailable"]
            assert "Is a directory; drain, undrain and status do not work" in here.log.detail("control-unavailable")
            assert here.double.calls == [("drain", "web")]
        assert (tmp_path / "control.sock").is_dir()

    run(check())


def test_a_socket_that_somebody_removes_is_made_again(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SOCKET_POLL", 0.01)
    directory = tmp_path / "run"
    directory.mkdir()

    async def check() -> None:
        async with site(directory, "web") as here:
            here.path.unlink()
            await until(lambda: "control-restored" in here.log.events())
            directory.rename(tmp_path / "gone")
            directory.write_text("")
            await until(lambda: "control-unavailable" in here.log.events())
            directory.unlink()
            directory.mkdir()
            await until(here.path.exists)
            assert isinstance(await here.ask(Status()), StatusAnswer)
            assert here.log.events() == ["control-restored", "control-unavailable", "control-restored"]
        assert not here.path.exists()

    run(check())


def test_a_state_file_that_somebody_removes_is_written_again(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its directory, as systemd does at the end of another unit that names it."""
    monkeypatch.setattr(server, "SOCKET_POLL", 0.01)
    directory = tmp_path / "run"
    directory.mkdir()

    async def check() -> None:
        async with site(directory, "web") as here:
            life = State(directory, here.log)
            life.note({"web": "active"})
            monkeypatch.setattr(here.double, "look_at_note", life.look)
            directory.rename(tmp_path / "gone")
            await until(lambda: life.path.exists() and here.path.exists())
            assert life.path.read_bytes() == (tmp_path / "gone" / life.path.name).read_bytes()

    run(check())


def test_a_socket_path_that_is_too_long_is_logged(tmp_path: Path, run: Run) -> None:
    directory = tmp_path / ("x" * 100)
    directory.mkdir()

    async def check() -> None:
        async with site(directory, "web") as here:
            assert "path too long; drain, undrain and status do not work" in here.log.detail("control-unavailable")

    run(check())


# Requests and answers


def test_a_status_describes_the_agent_and_its_drains(tmp_path: Path, run: Run) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    async def check() -> None:
        async with site(tmp_path, "web", "dns", clock=now.timestamp) as here:
            here.double.becomes["web"] = Outcome.DRAINED
            await here.ask(Drain(names=("web",), seconds=3600))
            found = await here.ask(Status())
            assert isinstance(found, StatusAnswer)
            assert (found.release, found.process, found.time) == (__version__, os.getpid(), now)
            web, dns = found.routers
            assert (web.name, web.outcome, web.persistent) == ("web", Outcome.DRAINED, True)
            assert web.until == datetime(2026, 11, 22, 13, tzinfo=UTC)
            assert (dns.name, dns.outcome, dns.until, dns.persistent) == ("dns", Outcome.SERVING, None, False)

    run(check())


def test_a_drain_that_nobody_could_take_over_from_is_refused_unless_it_is_forced(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SECOND_LOOK", 0.01)

    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            here.double.obstacles = {"web": "2001:db8:ff::12 in fault (check)"}
            for asked in (Drain(), Drain(names=("web",), wait=True)):
                assert await here.ask(asked) == Unready(routers={"web": "2001:db8:ff::12 in fault (check)"})
            assert (here.double.calls, here.control.drained()) == ([], frozenset())
            assert here.log.events().count("drain-refused") == 2
            assert isinstance(await here.ask(Drain(names=("dns",))), Done)
            assert isinstance(await here.ask(Drain(names=("web",), force=True)), Done)
            assert here.double.calls == [("drain", "dns"), ("drain", "web")]

    run(check())


def test_a_drain_is_not_refused_if_a_peer_is_ready_with_its_next_beacon(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Collection[str]] = []

    class Soon(Double):
        def unready(self, names: Collection[str]) -> Mapping[str, str]:
            asked.append(names)
            self.outcomes.pop("dns", None)  # a reload removes it in between
            return {"web": "2001:db8:ff::12 drained"} if len(asked) == 1 else {}

    monkeypatch.setattr(server, "SECOND_LOOK", 0.01)
    monkeypatch.setattr("tests.system.test_control.Double", Soon)

    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            assert isinstance(await here.ask(Drain()), Done)
            assert asked == [("web", "dns")] * 2
            assert here.double.calls == [("drain", "web")]

    run(check())


def test_a_drain_is_answered_at_once_or_followed_to_its_end(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            begun = await here.ask(Drain())
            assert isinstance(begun, Done)
            assert [(one.name, one.outcome, one.already) for one in begun.routers] == [
                ("web", Outcome.DRAINING, False),
                ("dns", Outcome.DRAINING, False),
            ]
            async with await here.connect() as client:
                client.say(encode(Drain(wait=True)))
                first = await client.next()
                assert isinstance(first, Begun)
                assert [one.already for one in first.routers] == [True, True]
                here.double.settle("dns", Outcome.DRAINED)
                assert await client.next() == Progress(name="dns", outcome=Outcome.DRAINED)
                here.double.settle("web", Outcome.KEPT)
                assert await client.next() == Progress(name="web", outcome=Outcome.KEPT)
                last = await client.next()
                assert isinstance(last, Done)
                assert [one.outcome for one in last.routers] == [Outcome.KEPT, Outcome.DRAINED]
            assert here.double.calls == [("drain", "web"), ("drain", "dns")] * 2

    run(check())


def test_a_drain_of_what_is_drained_is_over_at_once(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            here.double.becomes["web"] = Outcome.DRAINED
            await here.ask(Drain(wait=True))
            again = await here.ask(Drain(wait=True))
            assert isinstance(again, Done)
            assert [(one.outcome, one.already) for one in again.routers] == [(Outcome.DRAINED, True)]

    run(check())


def test_undrain_names_what_was_drained(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            await here.ask(Drain(names=("dns",)))
            done = await here.ask(Undrain())
            assert isinstance(done, Done)
            assert [(one.name, one.outcome, one.already) for one in done.routers] == [
                ("web", Outcome.SERVING, True),
                ("dns", Outcome.SERVING, False),
            ]
            assert here.kept() == {}

    run(check())


def test_an_unknown_router_is_an_error_and_nothing_is_begun(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            for request in (Drain(names=("web", "wob")), Undrain(names=("wob",))):
                assert await here.ask(request) == Error(message="there is no virtual router 'wob'; known here: web")
            assert here.double.calls == []

    run(check())


def test_the_user_behind_a_command_is_logged(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            await here.ask(Drain())
            await here.ask(Undrain())
            by = f"user {os.getuid()}, process {os.getpid()}"
            assert [
                (fields["request"], fields["by"]) for _, event, fields in here.log.lines if event == "command-received"
            ] == [
                ("drain", by),
                ("undrain", by),
            ]

    run(check())


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"\n", "this is no request"),
        (b"status\n", "this is no request: JSON is malformed"),
        (encode(Status()) + b"x", "a connection carries one request"),
        (encode(Status()) * 2, "a connection carries one request"),
        (b"x" * (REQUEST_LIMIT + 1), "a request has at most 65536 bytes"),
        (b" " * (REQUEST_LIMIT + 1) + encode(Status()), "a request has at most 65536 bytes"),
    ],
)
def test_what_is_not_understood_is_answered_and_cut(tmp_path: Path, run: Run, sent: bytes, message: str) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here, await here.connect() as client:
            client.say(sent)
            found = await client.next()
            assert isinstance(found, Error)
            assert message in found.message
            await client.ended()


def test_a_request_without_a_line_end_is_one_if_nothing_can_follow(tmp_path: Path, run: Run) -> None:
    """As ``printf … | socat - UNIX-CONNECT:…`` sends it."""

    async def check() -> None:
        async with site(tmp_path, "web") as here, await here.connect() as client:
            client.say(encode(Status()).rstrip())
            client.writer.write_eof()
            assert isinstance(await client.next(), StatusAnswer)

    run(check())


# What clients cannot do


def test_a_client_that_never_ends_its_line_is_cut_and_delays_nobody(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, elapse: Callable[[float], None]
) -> None:
    monkeypatch.setattr(server, "CLIENT_TIMEOUT", LIMIT)  # long enough for everybody else

    async def check() -> None:
        async with site(tmp_path, "web") as here, await here.connect() as silent, await here.connect() as slow:
            slow.say(b'{"version"')
            assert isinstance(await here.ask(Status()), StatusAnswer)
            elapse(LIMIT)
            for client in (silent, slow):
                (found,) = await client.all()
                assert found == Error(message=f"no whole line within {LIMIT:g} s; end the request with a line feed")

    run(check())


def test_a_client_that_does_not_read_its_answer_is_cut_and_delays_nobody(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch, elapse: Callable[[float], None]
) -> None:
    monkeypatch.setattr(server, "CLIENT_TIMEOUT", LIMIT)  # long enough for everybody else

    async def check() -> None:
        async with site(tmp_path, "web") as here:
            here.double.faults["web"] = ("x" * 4_000_000,)  # more than the socket's buffers take
            slow = socket.socket(socket.AF_UNIX)
            slow.connect(str(here.path))
            slow.sendall(encode(Status()))
            await until(lambda: select.select([slow], [], [], 0)[0])  # its answer has begun
            assert isinstance(await here.ask(Status()), StatusAnswer), "this one takes all of it"
            elapse(LIMIT)
            await until(lambda: here.clients == 0)
            slow.settimeout(LIMIT)
            taken = sum(len(chunk) for chunk in iter(lambda: slow.recv(1 << 20), b""))
            slow.close()
            assert taken < 4_000_000

    run(check())


def test_a_waiting_client_that_sends_more_is_cut(tmp_path: Path, run: Run, until: Until) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here, await here.connect() as client:
            client.say(encode(Drain(wait=True)))
            assert isinstance(await client.next(), Begun)
            client.say(b"hurry\n")
            await client.ended()
            await until(lambda: here.clients == 0)
            assert here.double.outcomes["web"] is Outcome.DRAINING

    run(check())


def test_a_client_that_is_killed_while_it_waits_leaves_nothing(tmp_path: Path) -> None:
    with commanded(tmp_path, "web") as agent:
        command = [sys.executable, "-m", "exavrrp", "drain", "--wait", "--config", str(agent.configuration)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            agent.until(lambda: agent.double.outcomes["web"] is Outcome.DRAINING)
            client.send_signal(signal.SIGKILL)
        agent.until(lambda: not agent.control.clients)
        assert agent.double.outcomes["web"] is Outcome.DRAINING, "what was asked for is done"
        agent.settle("web", Outcome.DRAINED)


def test_a_hundred_at_once_are_all_answered(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            found = await asyncio.gather(*(here.ask(Status()) for _ in range(100)))
            assert all(isinstance(one, StatusAnswer) for one in found)

    run(check())


def test_all_who_wait_share_one_description_that_is_younger_than_their_question(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(here: Site, *requests: Request) -> list[Answer]:
        pairs = [socket.socketpair() for _ in requests]
        for request, (ours, theirs) in zip(requests, pairs, strict=True):
            theirs.settimeout(0)
            ours.sendall(encode(request))
        await asyncio.gather(*(here.control.attend_to(theirs) for _, theirs in pairs))
        found = [answer(ours.recv(1 << 20)) for ours, _ in pairs]
        for ours, _ in pairs:
            ours.close()
        return found

    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            described: list[View] = []
            view = here.double.view

            def describe() -> View:
                described.append(view())
                return described[-1]

            monkeypatch.setattr(here.double, "view", describe)
            before, *_, after = await ask(here, *[Status()] * 5, Drain(names=("web",)), *[Status()] * 5)
            assert len(described) == 1
            for one in (before, after):
                assert isinstance(one, StatusAnswer)
                assert [router.drained for router in one.routers] == [True, False]
            waiting = asyncio.ensure_future(ask(here, Status(), Status()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            here.double.undrain("web")  # while they wait for the pause to be over
            assert not waiting.done()
            for one in await waiting:
                assert isinstance(one, StatusAnswer)
                assert not any(router.drained for router in one.routers)
            assert len(described) == 2

    monkeypatch.setattr(server, "DESCRIPTION_PAUSE", 0.2)
    run(check())


def test_others_have_their_turn_while_the_node_is_described(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with site(tmp_path, *map(str, range(20))) as here:
            loop, turn = asyncio.get_running_loop(), 0
            describe, began = here.double.describe, list[int]()

            def count() -> None:
                nonlocal turn
                turn += 1
                loop.call_soon(count)

            def describing() -> Iterator[View | None]:
                for part in describe():
                    began.append(turn)
                    yield part

            count()
            monkeypatch.setattr(here.double, "describe", describing)
            one, other = await asyncio.gather(here.ask(Status()), here.ask(Status()))
            assert isinstance(one, StatusAnswer)
            assert [router.name for router in one.routers] == here.double.names()
            assert other == one
            assert began == sorted(set(began)), "each part in a turn of its own"

    monkeypatch.setattr(server, "SLICE", 0.0)
    run(check())


def test_a_slice_ends_when_its_time_is_over(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with site(tmp_path, *map(str, range(6))) as here:
            loop, describe, turn, now, began = asyncio.get_running_loop(), here.double.describe, 0, 0.0, list[int]()

            def count() -> None:
                nonlocal turn
                turn += 1
                loop.call_soon(count)

            def describing() -> Iterator[View | None]:
                nonlocal now
                for part in describe():
                    began.append(turn)
                    now += 1.0
                    yield part

            monkeypatch.setattr(loop, "time", lambda: now)
            count()
            monkeypatch.setattr(here.double, "describe", describing)
            await here.ask(Status())
            assert [began.count(one) for one in dict.fromkeys(began)] == [2, 2, 2, 1]

    monkeypatch.setattr(server, "SLICE", 2.0)
    run(check())


def test_one_description_is_made_at_a_time_and_none_is_kept_or_outlives_the_socket(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            describe, at_work = here.double.describe, list[weakref.ref[Any]]()
            go_on, most = asyncio.Event(), 0

            def describing() -> Iterator[View | None]:
                nonlocal most
                at_work.append(weakref.ref(asyncio.current_task()))
                most = max(most, sum(one() in asyncio.all_tasks() for one in at_work))
                while not go_on.is_set():
                    yield None
                yield from describe()

            monkeypatch.setattr(here.double, "describe", describing)
            asked = [asyncio.ensure_future(here.ask(Status()))]
            await until(lambda: len(at_work) == 1)
            asked.append(asyncio.ensure_future(here.ask(Status())))
            await until(lambda: here.clients == 2)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(at_work) == 1
            go_on.set()
            assert all(isinstance(one, StatusAnswer) for one in await asyncio.gather(*asked))
            assert (len(at_work), most) == (2, 1)
            await until(lambda: here.clients == 0)
            gc.collect()
            assert [one() for one in at_work] == [None, None]
            go_on.clear()
            asked = [asyncio.ensure_future(here.ask(Status()))]
            await until(lambda: len(at_work) == 3)
            here.control.close()
            await asyncio.gather(*asked, return_exceptions=True)
            await until(lambda: at_work[-1]() not in asyncio.all_tasks())

    monkeypatch.setattr(server, "SLICE", 0.0)
    monkeypatch.setattr(server, "DESCRIPTION_PAUSE", 0.0)
    run(check())


def test_while_a_disk_hangs_a_description_does_not_wait_for_the_one_before(
    tmp_path: Path, run: Run, until: Until
) -> None:
    class Hanging:
        def __init__(self) -> None:
            self.looks: list[asyncio.Future[bool | None]] = []

        async def differs(self) -> bool | None:
            self.looks.append(asyncio.get_running_loop().create_future())
            return await self.looks[-1]

    async def check() -> None:
        disk: Any = Hanging()
        async with site(tmp_path, "web", reloader=disk) as here:
            asked = []
            for _ in range(2):
                asked.append(asyncio.ensure_future(here.ask(Status())))
                await until(lambda: len(disk.looks) == len(asked))
            disk.looks[1].set_result(True)
            second = await asked[1]
            assert isinstance(second, StatusAnswer)
            assert second.differs is True
            assert not asked[0].done()
            disk.looks[0].set_result(None)
            await asked[0]

    run(check())


def test_one_answer_begins_in_a_turn_of_the_loop(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            pairs = [socket.socketpair() for _ in range(20)]
            for ours, theirs in pairs:
                theirs.settimeout(0)
                ours.sendall(encode(Status()))
            waiting = asyncio.gather(*(here.control.attend_to(theirs) for _, theirs in pairs))
            begun = 0
            while begun < len(pairs):
                await asyncio.sleep(0)
                readable, _, _ = select.select([ours for ours, _ in pairs], [], [], 0)
                assert len(readable) - begun <= 1
                begun = len(readable)
            await waiting
            for ours, _ in pairs:
                ours.close()

    run(check())


def test_a_hundred_that_wait_are_attended_to_as_far_as_there_is_room(tmp_path: Path, run: Run, until: Until) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            waiting = [asyncio.ensure_future(here.ask(Drain(wait=True))) for _ in range(100)]
            await until(lambda: here.double.calls.count(("drain", "web")) == server.CLIENTS)
            assert here.clients == server.CLIENTS
            here.double.settle("web", Outcome.DRAINED)
            for one in await asyncio.gather(*waiting):
                assert isinstance(one, Done)
                assert one.routers[0].outcome is Outcome.DRAINED
            assert here.double.calls.count(("drain", "web")) == 100

    run(check())


@pytest.mark.parametrize(("descriptors", "most"), [(4, 1), (40, 5), (1024, 64), (resource.RLIM_INFINITY, 64)])
def test_clients_leave_descriptors_for_checks(monkeypatch: pytest.MonkeyPatch, descriptors: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert server.most_clients() == most


def test_without_a_descriptor_left_clients_wait_until_there_is_one(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.05)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def check() -> None:
        async with site(tmp_path, "web") as here:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(LIMIT)
            taken: list[int] = []
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
                with suppress(OSError):
                    while True:
                        taken.append(os.dup(client.fileno()))
                client.connect(str(here.path))
                client.sendall(encode(Status()))
                await until(lambda: "control-accept-failed" in here.log.events())
            finally:
                for descriptor in taken:
                    os.close(descriptor)
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            reader, writer = await asyncio.open_unix_connection(sock=client)
            assert isinstance(answer(await reader.readline()), StatusAnswer)
            writer.close()
            busy = [fields["detail"] for _, event, fields in here.log.lines if event == "control-accept-failed"]
            assert set(busy) == {os.strerror(errno.EMFILE)}

    run(check())


@pytest.fixture(name="busy", scope="module")
def _busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commanded]:
    with commanded(tmp_path_factory.mktemp("busy"), "web") as agent:
        agent.double.becomes["web"] = Outcome.DRAINED
        yield agent


@given(
    st.one_of(
        st.binary(max_size=400),
        st.sampled_from([encode(Status()), encode(Drain()), encode(Undrain()), encode(Drain(wait=True))]),
        st.builds(lambda line, cut: line[:cut], st.just(encode(Drain(names=("web",)))), st.integers(0, 90)),
    ),
    st.booleans(),
)
@settings(max_examples=200)
def test_whatever_is_sent_is_answered_by_documents_or_not_at_all(busy: Commanded, sent: bytes, ends: bool) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(busy.control.path))
        client.sendall(sent)
        if ends:
            client.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while chunk := client.recv(1 << 16):
                    received += chunk
            except ConnectionResetError:
                pass  # cut with something of ours unread
            documents = [answer(line) for line in received.splitlines()]
            assert all(isinstance(one, Begun | Progress) for one in documents[:-1])
            assert all(isinstance(one, Done | StatusAnswer | Error | Begun) for one in documents[-1:])
    assert not busy.errors


def test_a_bug_of_the_agent_reaches_the_handler_of_the_loop(tmp_path: Path) -> None:
    async def check() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context.get("exception")))
        async with asyncio.timeout(LIMIT), site(tmp_path, "web") as here:
            bug = RuntimeError("a bug")

            def view() -> Any:
                raise bug

            here.double.view = view  # type: ignore[method-assign]
            async with await here.connect() as client:
                client.say(encode(Status()))
                assert await client.all() == []
            assert raised == [bug]

    asyncio.run(check())


def test_closing_cuts_waiting_clients(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            client = await here.connect()
            client.say(encode(Drain(wait=True)))
            assert isinstance(await client.next(), Begun)
            here.control.changed()
        here.control.changed()
        assert await client.all() == []
        client.writer.close()

    run(check())


# What is kept


def test_a_drain_is_on_the_disk_before_it_is_answered(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns", clock=lambda: 1000.0) as here:
            done = await here.ask(Drain(names=("web",), seconds=60))
            assert here.kept() == {"web": 1060.0}
            assert isinstance(done, Done)
            assert (done.routers[0].persistent, done.warning) == (True, None)
            await here.ask(Drain())
            assert here.kept() == {"web": None, "dns": None}
            await here.ask(Undrain(names=("web",)))
            assert here.kept() == {"dns": None}

    run(check())


def test_the_next_agent_stays_out_of_the_election(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            await here.ask(Drain(names=("web",)))
            await here.ask(Drain(names=("dns",), persist=False))
        async with site(tmp_path, "web", "dns") as here:
            assert here.double.calls == [("drain", "web")]
            await here.ask(Drain(persist=False))  # as at the end of a unit
            assert here.kept() == {"web": None}

    run(check())


def test_a_router_that_is_not_configured_any_more_stays_noted(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            await here.ask(Drain())
        async with site(tmp_path, "web") as here:
            assert here.double.calls == [("drain", "dns"), ("drain", "web")], "a reload may add it again"
            await here.ask(Undrain(names=("web",)))
            assert here.kept() == {"dns": None}
            await here.ask(Undrain())
            assert here.kept() == {}
            assert here.double.calls[2:] == [("undrain", "web"), ("undrain", "web"), ("undrain", "dns")]

    run(check())


def test_a_drain_ends_by_itself(tmp_path: Path, run: Run, until: Until) -> None:
    async def check() -> None:
        async with site(tmp_path, "web", "dns") as here:
            await here.ask(Drain(names=("dns",)))
            await here.ask(Drain(names=("web",), seconds=0.1))
            await until(lambda: ("undrain", "web") in here.double.calls)
            await until(lambda: here.kept() == {"dns": None})
            assert here.log.detail("drain-expired") == "its time is over"

    run(check())


def test_a_drain_that_is_prolonged_does_not_end_when_it_would_have(
    tmp_path: Path, run: Run, until: Until, elapse: Callable[[float], None]
) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            await here.ask(Drain(seconds=60))
            await here.ask(Drain(seconds=3600))
            elapse(3060.0)
            await here.ask(Status())
            assert here.control.drained() == {"web"}
            await here.ask(Drain())
            elapse(86400.0)
            await here.ask(Status())
            assert here.control.drained() == {"web"}
            await here.ask(Drain(seconds=60))
            elapse(60.0)
            await until(lambda: here.control.drained() == set())

    run(check(), 1e6)


def test_while_we_run_a_clock_that_is_set_does_not_end_a_drain(tmp_path: Path, run: Run, until: Until) -> None:
    now = [1000.0]

    async def check() -> None:
        async with site(tmp_path, "web", "dns", clock=lambda: now[0]) as here:
            await here.ask(Drain(names=("web",), seconds=3600))
            await here.ask(Drain(names=("dns",), seconds=0.1))
            now[0] += 86400
            await until(lambda: ("undrain", "dns") in here.double.calls)
            assert ("undrain", "web") not in here.double.calls

    run(check())


def test_across_a_restart_the_clock_counts(tmp_path: Path, run: Run, until: Until) -> None:
    now = [1000.0]

    async def check() -> None:
        async with site(tmp_path, "web", "dns", "old", clock=lambda: now[0]) as here:
            await here.ask(Drain(names=("web",), seconds=60))
            await here.ask(Drain(names=("dns", "old"), seconds=120.1))
        now[0] += 120
        async with site(tmp_path, "web", "dns", clock=lambda: now[0]) as here:
            assert here.double.calls == [("drain", "dns"), ("drain", "old")], "the other one is over"
            assert here.log.detail("drain-expired") == "it ended while no agent ran"
            await until(lambda: ("undrain", "dns") in here.double.calls)
            await until(lambda: here.kept() == {})
            assert ("undrain", "old") in here.double.calls, "a reload may add it again"

    run(check())


def test_a_drain_that_was_undone_is_not_kept(tmp_path: Path, run: Run, until: Until) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            await here.ask(Drain(seconds=3600))
            here.double.settle("web", Outcome.KEPT)
            await until(lambda: here.kept() == {})
            assert here.control.drained() == frozenset()
            here.double.becomes["web"] = Outcome.DRAINED
            done = await here.ask(Drain(wait=True))
            assert isinstance(done, Done)
            assert (done.routers[0].already, done.routers[0].outcome) == (False, Outcome.DRAINED)
            assert here.kept() == {"web": None}

    run(check())


def test_a_change_takes_effect_after_the_call_that_reports_it(tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with site(tmp_path, "web") as here:
            await here.ask(Drain())
            here.double.settle("web", Outcome.KEPT)
            assert here.control.drained() == {"web"}
            await asyncio.sleep(0)
            assert here.control.drained() == frozenset()

    run(check())


def test_a_control_that_is_not_open_has_no_changes(tmp_path: Path) -> None:
    Site(tmp_path, "web").control.changed()


class Disk:
    """A store on a faulty disk."""

    def __init__(self, directory: Path, error: OSError | None = None) -> None:
        self.path = directory / "lib" / "drained.json"
        self.error = error
        self.answers = threading.Event()
        self.saved: list[Mapping[str, float | None]] = []

    def open(self) -> None:
        pass

    def recall(self) -> Mapping[str, float | None]:
        return {}

    def save(self, drained: Mapping[str, float | None]) -> None:
        if self.error is not None:
            raise self.error
        assert self.answers.wait(LIMIT)
        self.saved.append(drained)


def test_a_drain_that_cannot_be_saved_takes_effect_with_a_warning(tmp_path: Path, run: Run) -> None:
    disk = Disk(tmp_path, OSError(errno.EROFS, "Read-only file system"))

    async def check() -> None:
        async with site(tmp_path, "web", store=disk) as here:
            here.double.becomes["web"] = Outcome.DRAINED
            done = await here.ask(Drain(wait=True))
            assert isinstance(done, Done)
            assert done.warning == (
                f"{disk.path} cannot be written: Read-only file system; this drain will not survive a restart:"
                f" make {disk.path.parent} writable"
            )
            assert (done.routers[0].outcome, done.routers[0].persistent) == (Outcome.DRAINED, False)
            assert here.log.detail("drain-not-persistent").endswith("Read-only file system")
            found = await here.ask(Status())
            assert isinstance(found, StatusAnswer)
            assert not found.routers[0].persistent
            until_restart = await here.ask(Drain(persist=False))
            assert isinstance(until_restart, Done)

    run(check())


def test_what_cannot_be_saved_costs_nothing_at_an_event_and_is_saved_later(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, OSError(errno.EROFS, "Read-only file system"))
    disk.answers.set()
    attempts: list[object] = []

    def counted(work: Callable[[], object]) -> "asyncio.Future[object]":
        attempts.append(work)
        return in_thread(work)

    monkeypatch.setattr(server, "in_thread", counted)
    monkeypatch.setattr(server, "SOCKET_POLL", LIMIT)

    async def check() -> None:
        async with site(tmp_path, "web", store=disk) as here:
            here.double.becomes["web"] = Outcome.DRAINED
            await here.ask(Drain(wait=True))
            tried = len(attempts)
            for _ in range(10):
                here.control.changed()
                await asyncio.sleep(0)
            assert len(attempts) == tried
        monkeypatch.setattr(server, "SOCKET_POLL", 0.01)
        async with site(tmp_path, "web", store=disk) as here:
            await here.ask(Drain())
            tried = len(attempts)
            await until(lambda: len(attempts) > tried + 2)
            assert here.log.events().count("drain-not-persistent") == 1
            await here.ask(Drain())
            assert here.log.events().count("drain-not-persistent") == 2
            disk.error = None
            await until(lambda: disk.saved)
            assert disk.saved[0] == {"web": None}
            tried = len(attempts)
            await here.ask(Drain())
            assert len(attempts) == tried
            disk.error = OSError(errno.ENOSPC, "No space left on device")
            await here.ask(Undrain())
            assert here.log.events().count("drain-not-persistent") == 3

    run(check())


def test_an_undrain_that_cannot_be_saved_takes_effect_with_a_warning(tmp_path: Path, run: Run) -> None:
    disk = Disk(tmp_path)
    disk.answers.set()

    async def check() -> None:
        async with site(tmp_path, "web", store=disk) as here:
            await here.ask(Drain())
            disk.error = OSError(errno.ENOSPC, "No space left on device")
            done = await here.ask(Undrain())
            assert isinstance(done, Done)
            assert done.warning == (
                f"{disk.path} cannot be written: No space left on device; they will be drained again after a restart:"
                f" remove {disk.path}"
            )
            assert here.double.outcomes["web"] is Outcome.SERVING

    run(check())


def test_a_disk_that_hangs_delays_neither_the_drain_nor_anybody_else(
    tmp_path: Path, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DISK_TIMEOUT", 0.2)
    disk = Disk(tmp_path)

    async def check() -> None:
        async with site(tmp_path, "web", "dns", store=disk) as here:
            asked = asyncio.ensure_future(here.ask(Drain(names=("web",))))
            await until(lambda: ("drain", "web") in here.double.calls)
            assert isinstance(await here.ask(Status()), StatusAnswer)
            done = await asked
            assert isinstance(done, Done)
            assert done.warning is not None
            assert "could not be written within 0.2 s; this drain will not survive a restart" in done.warning
            assert not done.routers[0].persistent
            disk.answers.set()
            monkeypatch.setattr(server, "DISK_TIMEOUT", LIMIT)
            late = await here.ask(Drain(names=("dns",)))
            assert isinstance(late, Done)
            assert late.warning is None
            assert disk.saved[-1] == {"web": None, "dns": None}

    run(check())


def test_a_disk_that_hangs_does_not_keep_the_agent_from_ending(tmp_path: Path) -> None:
    script = f"""
import asyncio, pathlib, threading
from exavrrp.control import Drain, encode
from exavrrp.system import control
from tests.system.test_control import Disk, site
control.DISK_TIMEOUT = 0.1
async def check():
    directory = pathlib.Path({str(tmp_path)!r})
    async with site(directory, "web", store=Disk(directory)) as here:
        print(await here.ask(Drain()))
asyncio.run(check())
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "will not survive a restart" in done.stdout
