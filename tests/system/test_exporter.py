"""The exporter as a process: over HTTP, as a file, for slow and hostile clients, with and without an agent.

Behind it stands a test double of the agent with a real control socket (``commanded.Double``).
"""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exavrrp.exporter import asking, serving
from exavrrp.exporter.asking import Asking
from exavrrp.view import Outcome
from tests.system.commanded import Commanded, commanded
from tests.system.conftest import LIMIT, Need
from tests.system.running import wait_until

pytestmark = pytest.mark.system

COMMAND = (sys.executable, "-m", "exavrrp", "exporter")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Commanded]:
    with commanded(tmp_path, "web", "dns") as agent:
        yield agent


@contextlib.contextmanager
def exporter(configuration: Path, *options: str) -> Iterator[int]:
    """The command as a process; its port."""
    process = subprocess.Popen(
        [*COMMAND, "--config", str(configuration), "--port", "0", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"listening on http://(?:127\.0\.0\.1|\[::1\]):(\d+)/\n", process.stdout.readline())
        assert found is not None
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection(host, port, timeout=LIMIT)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def serving_here(agent_socket: Path) -> Iterator[serving.Server]:
    """The server, in a thread of this process."""
    server = serving.Server("127.0.0.1", 0, Asking(agent_socket, lambda _: None), lambda *_: "")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(LIMIT)
        server.server_close()


def connect(server: serving.Server) -> socket.socket:
    return socket.create_connection(server.server_address[:2], timeout=LIMIT)  # type: ignore[arg-type]


# What is served


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_metrics_and_page_on_loopback(agent: Commanded, address: str) -> None:
    with exporter(agent.configuration, "--address", address) as port:
        status, kind, text = get(port, "/metrics", address)
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert 'exavrrp_router_state{router="web",state="active"} 1.0' in text
        status, kind, html = get(port, "/", address)
        assert (status, kind) == (200, "text/html; charset=utf-8")
        assert "ACTIVE" in html
        assert get(port, "/etc/passwd", address)[0] == 404
        assert get(port, "/metrics", address, "HEAD")[2] == ""
        assert get(port, "/metrics", address, "POST")[0] == 501


def test_it_listens_on_loopback_unless_told_otherwise(agent: Commanded) -> None:
    with exporter(agent.configuration) as port, pytest.raises(ConnectionRefusedError):
        get(port, "/metrics", "127.0.0.2")


def test_promtool_finds_nothing_to_complain_about(agent: Commanded, need: Need) -> None:
    promtool = need("promtool")
    with exporter(agent.configuration) as port:
        metrics = get(port, "/metrics")[2]
    done = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_port_that_is_taken_is_one_clear_line(agent: Commanded) -> None:
    with exporter(agent.configuration) as port:
        done = subprocess.run(
            [*COMMAND, "--port", str(port), "--config", str(agent.configuration)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; choose --address and --port\n"
    )


# With and without an agent


def test_the_series_of_an_agent_that_ends_are_gone_with_the_next_answer_and_come_back(tmp_path: Path) -> None:
    clock = [0.0]
    told: list[str] = []
    asked = Asking(tmp_path / "control.sock", told.append, lambda: clock[0])
    assert asked.known().answer is None
    assert len(told) == 1
    for _ in range(2):
        clock[0] += asking.CACHED
        with commanded(tmp_path, "web"):
            assert asked.known().answer is not None
        assert asked.known().answer is not None  # for a second
        clock[0] += asking.CACHED
        assert asked.known().answer is None
    assert len(told) == 3
    assert all("no agent listens" in problem for problem in told)


def test_however_many_ask_at_once_the_agent_is_asked_once_a_second(agent: Commanded) -> None:
    views = []
    real = agent.double.view

    def view():  # type: ignore[no-untyped-def]
        views.append(1)
        return real()

    agent.double.view = view  # type: ignore[method-assign]
    clock = [0.0]
    asked = Asking(agent.control.path, lambda _: None, lambda: clock[0])
    threads = [threading.Thread(target=asked.known) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(views) == 1
    clock[0] += asking.CACHED
    asked.known()
    assert len(views) == 2


def test_an_agent_that_does_not_answer_is_a_problem_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LIMIT", 0.05)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "control.sock"))
        stopped.listen()
        known = Asking(tmp_path / "control.sock", lambda _: None).known()
    assert known.answer is None
    assert known.problem


# As a file


def test_a_textfile_is_replaced_as_a_whole_and_says_when_and_is_removed_in_the_end(
    agent: Commanded, tmp_path: Path, need: Need
) -> None:
    path = tmp_path / "textfile" / "exavrrp.prom"
    path.parent.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "--config", str(agent.configuration), "--textfile", str(path), "--every", "1"],
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_until(path.exists, "the textfile")
        first, text = path.stat(), path.read_text()
        assert first.st_mode & 0o777 == 0o644
        stamp = re.search(r"^exavrrp_textfile_written_timestamp_seconds (\S+)$", text, re.MULTILINE)
        assert stamp is not None
        assert abs(float(stamp[1]) - first.st_mtime) < 5
        assert 'exavrrp_router_state{router="web",state="active"} 1.0' in text
        agent.settle("web", Outcome.DRAINED)
        expected = 'exavrrp_router_drain{router="web",state="drained"} 1.0'
        wait_until(lambda: expected in path.read_text(), "another content")
        assert path.stat().st_ino != first.st_ino
        assert list(path.parent.iterdir()) == [path]
        promtool = need("promtool")
        subprocess.run([promtool, "check", "metrics"], input=path.read_text(), text=True, check=True)
    finally:
        process.terminate()
        assert process.wait(LIMIT) == 0
    assert not path.exists()


def test_a_textfile_that_cannot_be_written_is_one_warning_and_tried_again(agent: Commanded, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "exavrrp.prom"
    process = subprocess.Popen(
        [*COMMAND, "--config", str(agent.configuration), "--textfile", str(path), "--every", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"warning: cannot write {path}: No such file")
        path.parent.mkdir()
        wait_until(path.exists, "the textfile")
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=LIMIT)
    assert rest == ""


# Clients


def test_clients_that_send_nothing_or_little_are_ended_in_time(
    agent: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "CLIENT_LIMIT", 0.5)
    with serving_here(agent.control.path) as server, contextlib.ExitStack() as closing:
        silent, slow = closing.enter_context(connect(server)), closing.enter_context(connect(server))
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while True:  # a byte now and then: no single wait is long
                slow.sendall(b"G")
                time.sleep(0.02)
                slow.settimeout(0.001)
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(1):
                        break
                slow.settimeout(LIMIT)
        assert time.monotonic() - begun < LIMIT
        with contextlib.suppress(OSError):
            assert silent.recv(1) == b""


def test_one_that_does_not_read_and_too_many_at_once_hold_nobody_up(
    agent: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "CLIENT_LIMIT", 3.0)
    with serving_here(agent.control.path) as server, contextlib.ExitStack() as closing:
        idle = [closing.enter_context(connect(server)) for _ in range(4 * serving.CLIENTS)]
        served = []

        def scrape() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                served.append(get(server.server_address[1], "/metrics")[0])
            return bool(served)

        wait_until(scrape, "an answer, when the limit of the idle ones is over")
        assert served == [200]
        assert len(idle) > serving.CLIENTS


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300) | st.binary(max_size=100).map(lambda rest: b"GET /metrics HTTP/1.1\r\n" + rest))
def test_whatever_is_sent_is_answered_or_refused_and_the_next_one_served(data: bytes, hostile: serving.Server) -> None:
    with connect(hostile) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer == b"" or answer.startswith((b"HTTP/1.0 ", b"<!DOCTYPE", b"# "))
    assert get(hostile.server_address[1], "/metrics")[0] == 200


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    with commanded(tmp_path_factory.mktemp("h"), "web") as agent, serving_here(agent.control.path) as server:
        yield server
