"""What the agent tells systemd: a real datagram socket stands for it, and the test does what the unit would."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from exavrrp.system.systemd import ENDED, EXTENSION, Systemd
from tests.system import running
from tests.system.conftest import LIMIT, Namespace, Need
from tests.system.running import Fabric, wait_until

pytestmark = pytest.mark.system

Run = Callable[[Coroutine[Any, Any, None]], None]


class Manager:
    """Receives messages, as systemd does."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{path[1:]}" if path.startswith("@") else path)
        self.said: list[dict[str, str]] = []

    def hear(self) -> list[dict[str, str]]:
        """All messages so far, each with its variables."""
        try:
            while True:
                lines = self._socket.recv(65536).decode().splitlines()
                self.said.append(dict(line.split("=", 1) for line in lines))
        except BlockingIOError:
            return self.said

    def values(self, name: str) -> list[str]:
        return [one[name] for one in self.hear() if name in one]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


class Node:
    """The two things that are told."""

    status = "Active: web"
    draining = False


def systemd(node: Node, path: str, **environment: str) -> Systemd:
    return Systemd(lambda: node.status, lambda: node.draining, {"NOTIFY_SOCKET": path, **environment})


@pytest.mark.parametrize("abstract", [False, True])
def test_status_is_sent_when_it_changes_and_at_the_end(
    tmp_path: Path, abstract: bool, run: Run, until: Callable[..., Any], elapse: Callable[[float], None]
) -> None:
    manager = Manager(f"@exavrrp-test-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    node = Node()

    async def scenario() -> None:
        told = systemd(node, manager.path)
        told.open(asyncio.get_running_loop())
        assert manager.hear() == [{"STATUS": "Active: web"}]
        node.status = "Backup: web"
        elapse(1.1)
        await until(lambda: len(manager.hear()) == 2)
        told.close()
        told.close()

    run(scenario())
    assert manager.hear() == [{"STATUS": "Active: web"}, {"STATUS": "Backup: web"}, {"STATUS": ENDED}]
    manager.close()


def test_a_heartbeat_is_sent_three_times_in_the_watchdog_s_time_by_the_loop_alone(
    manager: Manager, run: Run, until: Callable[..., Any]
) -> None:
    async def scenario() -> None:
        told = systemd(Node(), manager.path, WATCHDOG_USEC="300000", WATCHDOG_PID="1")
        assert told.watchdog == 0.3
        told.open(asyncio.get_running_loop())
        begun = asyncio.get_running_loop().time()
        await until(lambda: len(manager.values("WATCHDOG")) > 10)
        assert asyncio.get_running_loop().time() - begun >= 10 * 0.1 - 0.05
        count = len(manager.values("WATCHDOG"))
        stop = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < stop:
            pass  # the loop does not turn
        assert len(manager.values("WATCHDOG")) == count
        told.close()

    run(scenario())


@pytest.mark.parametrize("value", ["", "0", "-5", "soon", "1e6"])
def test_without_a_watchdog_there_is_no_heartbeat(manager: Manager, run: Run, value: str) -> None:
    async def scenario() -> None:
        told = systemd(Node(), manager.path, WATCHDOG_USEC=value)
        told.open(asyncio.get_running_loop())
        told.close()

    run(scenario())
    assert manager.values("WATCHDOG") == []


def test_while_a_drain_is_under_way_the_unit_may_take_longer_to_stop(
    manager: Manager, run: Run, until: Callable[..., Any], elapse: Callable[[float], None]
) -> None:
    node = Node()

    async def scenario() -> None:
        told = systemd(node, manager.path)
        told.open(asyncio.get_running_loop())
        node.draining = True
        for count in (1, 2, 3):
            elapse(1.1)
            await until(lambda count=count: len(manager.values("EXTEND_TIMEOUT_USEC")) >= count)
        node.draining = False
        heard = len(manager.values("EXTEND_TIMEOUT_USEC"))
        node.status = "drained: web"
        elapse(1.1)
        await until(lambda: manager.values("STATUS")[-1] == "drained: web")
        assert len(manager.values("EXTEND_TIMEOUT_USEC")) == heard
        told.close()

    run(scenario())
    assert set(manager.values("EXTEND_TIMEOUT_USEC")) == {str(round(EXTENSION * 1e6))}


@pytest.mark.parametrize("path", ["", "vsock:2:1234", "relative", "/nowhere/notify", "/" + "x" * 200])
def test_without_systemd_nothing_happens(path: str, run: Run) -> None:
    async def scenario() -> None:
        told = systemd(Node(), path, WATCHDOG_USEC="1000000")
        told.open(asyncio.get_running_loop())
        await asyncio.sleep(0)
        told.close()

    run(scenario())


def test_what_could_not_be_sent_is_sent_again_and_nothing_waits_for_it(
    manager: Manager, run: Run, until: Callable[..., Any], elapse: Callable[[float], None]
) -> None:
    node = Node()

    async def scenario() -> None:
        told = systemd(node, manager.path)
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with other, contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"FULL=1", manager.path)
        told.open(asyncio.get_running_loop())
        assert "Active: web" not in manager.values("STATUS")
        elapse(1.1)
        await until(lambda: "Active: web" in manager.values("STATUS"))
        told.close()

    run(scenario())


# A whole agent


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, 6) as built:
        yield built


def test_an_agent_that_waits_for_its_source_says_so(
    fabric: Fabric, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = fabric.a
    a.namespace.ip(f"addr del {a.source} dev lo", "-6")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    a.start()
    monkeypatch.undo()
    a.log.wait("source-missing")
    waiting = f"waiting for {a.source}: no address of this host"
    wait_until(lambda: manager.values("STATUS")[-1:] == [waiting], lambda: f"why it waits in {manager.said}")
    with a.namespace:
        told = subprocess.run(
            [*running.AGENT, "status", "--config", str(a.directory / "exavrrp.toml")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert told.returncode == 4
    assert f"process {a.agents()[0]} begins, or waits for what its log and exavrrp check name" in told.stderr
    a.namespace.ip(f"addr add {a.source} dev lo", "-6")
    wait_until(lambda: manager.values("STATUS")[-1:] == ["Active: web"], lambda: f"the role in {manager.said}")


WATCHDOG = 1.5
"""Seconds; far more than an agent on a busy machine stands still."""


@running.each_line
def test_an_agent_under_exabgp_tells_its_roles_and_a_frozen_one_is_ended_with_all_that_it_serves(
    fabric: Fabric, line: running.Line, manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dump = tmp_path / "environment"
    dump.touch(mode=0o666)
    fabric.a.configure(f'notify = ["/bin/sh", "-c", "env > {dump}"]')
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG * 1e6)))
    fabric.a.start(line)
    monkeypatch.undo()
    fabric.a.becomes("active")
    fabric.b.start(line)
    fabric.b.log.wait("transition")
    wait_until(lambda: manager.values("STATUS")[-1:] == ["Active: web"], lambda: f"the role in {manager.said}")
    wait_until(lambda: len(manager.values("WATCHDOG")) > 3, "heartbeats")
    wait_until(dump.read_text, "the notify program's environment")
    assert "EXAVRRP_" in dump.read_text()
    assert "NOTIFY_SOCKET" not in dump.read_text()

    agent = fabric.a.agent
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: b"T" in running.read(Path(f"/proc/{agent}/stat")).rpartition(b") ")[2][:1], "it to be frozen")
    count = len(manager.values("WATCHDOG"))
    fabric.b.becomes("active")
    assert len(manager.values("WATCHDOG")) == count
    # systemd's part: the main process gets SIGABRT, then all that is left SIGKILL (KillMode=mixed, WatchdogSignal=).
    fabric.a.exabgp.send_signal(signal.SIGABRT)
    fabric.a.exabgp.wait(LIMIT)
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: set(fabric.bird.via(fabric.vip)) == {"b"}, lambda: f"b alone: {fabric.told()}")


def test_the_unit_may_take_longer_while_a_drain_has_no_successor(
    fabric: Fabric, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric.a.configure("handover_ceiling = 30")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    fabric.a.start()
    monkeypatch.undo()
    fabric.a.becomes("active")
    assert manager.values("EXTEND_TIMEOUT_USEC") == []
    assert manager.values("WATCHDOG") == []
    fabric.a.ask("drain")
    wait_until(lambda: len(manager.values("EXTEND_TIMEOUT_USEC")) > 1, "more time")
