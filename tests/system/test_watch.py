"""`watch` on real terminals: what tmux shows of real agents with real ExaBGP, and what is left of a terminal."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import running
from tests.system.commanded import Commanded, commanded
from tests.system.conftest import LIMIT, Namespace, Need
from tests.system.running import AGENT, Fabric, Host, wait_until

pytestmark = pytest.mark.system

PROBLEM = " ! (?!the machine is too slow)"
"""A line about anything that is wrong, but for late alarms: those of a busy machine are told for an hour."""

ENTERS, LEAVES, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
"""A screen of its own, the terminal's again, and its cursor (xterm's control sequences)."""


class Terminal:
    """tmux, of 80 × 24, in which one `watch` runs."""

    def __init__(self, program: str, directory: Path, configuration: Path) -> None:
        """``directory`` is for its socket."""
        self._tmux = [program, "-f", "/dev/null", "-S", str(directory / "tmux")]
        watch = [*AGENT, "watch", "--config", str(configuration)]
        self.run(
            "new-session", "-d", "-x", "80", "-y", "24", "-e", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", *watch
        )

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True, timeout=LIMIT)
        return done.stdout

    def press(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def shows(self, *words: str, without: str = "\0") -> str:
        """Waits until all of this (patterns) is on the screen, in one moment, and the keys are in its last line.

        A terminal shows a screen line by line: what is seen may be half of it.
        """
        seen = ""

        def found() -> str:
            nonlocal seen
            seen = self.run("capture-pane", "-p")
            plain, whole = " ".join(seen.split()), seen.splitlines()[-1].startswith("q quit")
            there = all(re.search(word, plain) for word in words) and not re.search(without, plain)
            return seen if whole and there else ""

        screen = wait_until(found, lambda: f"{words} on the screen:\n{seen}")
        lines = screen.splitlines()
        assert len(lines) == 24
        assert max(map(len, lines)) <= 80
        return screen

    def ends(self) -> None:
        """Waits until `watch` has ended, and tmux with it."""
        asked = [*self._tmux, "has-session"]
        wait_until(lambda: subprocess.run(asked, capture_output=True, check=False).returncode, "the end of watch")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False, timeout=LIMIT)


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


@pytest.fixture
def watched(need: Need, tmp_path: Path) -> Iterator[Callable[[Host], Terminal]]:
    program = need("tmux")
    opened: list[Terminal] = []

    def watch(host: Host) -> Terminal:
        directory = tmp_path / host.name
        directory.mkdir()
        opened.append(Terminal(program, directory, host.directory / "exavrrp.toml"))
        return opened[-1]

    yield watch
    for one in opened:
        one.close()


def test_six_states_of_a_node_are_on_the_screen(fabric: Fabric, watched: Callable[[Host], Terminal]) -> None:
    a, b = fabric.a, fabric.b
    healthy = a.directory / "healthy"
    healthy.touch()
    a.configure(
        'checks = ["disk"]',
        checks=["[check.disk]", f'command = ["/usr/bin/test", "-e", "{healthy}"]', "interval = 0.1"],
    )
    fabric.start()
    fabric.settled("a")
    on_a, on_b = watched(a), watched(b)

    on_a.shows(
        "ExaBGP 5.0.15 answers", "2 of 2 sessions up", "IPv6 ACTIVE .* here", "backup -> active", without=PROBLEM
    )
    on_b.shows("IPv6 BACKUP", *(rf"eth{n} ~01:db8:ff::11 [x. ]*\.\." for n in (0, 1)), without=PROBLEM)

    for key, title in (("w", "WHY web"), ("s", "STATUS web"), ("p", "PATHS all"), ("e", "EVENTS"), ("w", "WHY web")):
        on_b.press(key)
        on_b.shows(title)
    on_b.press("Escape")
    on_b.shows("PATHS web")

    # a check fails
    healthy.unlink()
    on_a.shows("IPv6 FAULT", "! web: check disk failing", "result=failing")
    on_b.shows("IPv6 ACTIVE", "Backups send nothing that it could hear")
    healthy.touch()
    on_a.shows("IPv6 ACTIVE", without=PROBLEM)

    # drained
    a.ask("drain", "--wait")
    on_a.shows("IPv6 DRAINED", "! web: drained until undrain", "drain-started")
    a.ask("undrain")
    on_a.shows("IPv6 ACTIVE", without=PROBLEM)

    # ExaBGP without a session
    for session in ("b0", "b1"):
        fabric.bird.ask(f"disable {session}")
    on_b.shows("0 of 2 sessions up", "IPv6 FAULT", "! session fd00:2::1 from fd00:2::2 down", "state=down")
    for session in ("b0", "b1"):
        fabric.bird.ask(f"enable {session}")
    on_b.shows("2 of 2 sessions up", "IPv6 BACKUP", without=PROBLEM)

    # the agent is gone, and another one comes
    a.exabgp.kill()
    a.exabgp.wait()
    on_a.shows("no agent answers since", "asking again: no agent listens at", "IPv6")
    on_a.press("w")
    on_a.shows("no agent answers since", "WHY web")
    on_a.press("Escape")
    a.start()
    on_a.shows("2 of 2 sessions up", "IPv6 ACTIVE", r"initialize -> backup \(startup\)", without="no agent answers")
    on_a.press("q")
    on_a.ends()


class Pty:
    """A terminal without a screen: what `watch` writes to it, and its settings."""

    def __init__(self, agent: Commanded, *, script: str = "from exavrrp.cli import main; main()") -> None:
        self._master, self._slave = pty.openpty()
        self._before = termios.tcgetattr(self._slave)
        self.written = b""
        command = [sys.executable, "-c", script, "watch", "--config", str(agent.configuration)]
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "TERM": "xterm"},
        )

    def reads(self, until: Callable[[], object], what: str) -> None:
        """Reads what is written until this is so."""

        def found() -> bool:
            while select.select([self._master], [], [], 0)[0]:
                self.written += os.read(self._master, 65536)
            return bool(until())

        wait_until(found, lambda: f"{what}: {self.written[-2000:]!r}")

    def shows(self) -> None:
        """Waits until the screen is drawn once more."""
        self.written = b""
        self.reads(lambda: b"ROUTER" in self.written and b"q quit" in self.written, "the screen")
        assert self.settings() != self._before

    def settings(self) -> object:
        return termios.tcgetattr(self._slave)

    def types(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def ends(self, status: int) -> None:
        """Waits for the end, and compares the terminal with what it was."""
        self.reads(lambda: self.process.poll() is not None, "the end")
        assert self.process.returncode == status, self.written
        self.is_as_before()

    def is_as_before(self) -> None:
        assert self.settings() == self._before
        self.reads(lambda: self.written.rfind(LEAVES) > self.written.rfind(ENTERS), "the screen that was there before")
        self.reads(lambda: self.written.rfind(CURSOR) > self.written.rfind(b"\x1b[?25l"), "the cursor")

    def hangs_up(self) -> None:
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        for descriptor in {self._master, self._slave} - {-1}:
            os.close(descriptor)


CRASHES = """
from exavrrp.cli import board, main

class Crashes(board.Board):
    def take(self, *_, **__):
        raise ZeroDivisionError

board.Board = Crashes
main()
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Commanded]:
    with commanded(tmp_path, "web", "dns") as agent:
        yield agent


@pytest.mark.parametrize(
    ("leave", "status"),
    [
        (lambda one: one.types(b"q"), 0),
        (lambda one: one.types(b"\x03"), 0),
        (lambda one: one.types(b"\x1c"), 128 + signal.SIGQUIT),
        (lambda one: one.process.terminate(), 128 + signal.SIGTERM),
        (lambda one: one.process.send_signal(signal.SIGHUP), 128 + signal.SIGHUP),
    ],
    ids=["key", "interrupt", "quit", "terminated", "hung-up"],
)
def test_the_terminal_is_as_before_whoever_ends_it(agent: Commanded, leave: Callable[[Pty], None], status: int) -> None:
    terminal = Pty(agent)
    try:
        terminal.shows()
        leave(terminal)
        terminal.ends(status)
    finally:
        terminal.close()


def test_the_terminal_is_as_before_after_a_mistake_of_ours(agent: Commanded) -> None:
    terminal = Pty(agent, script=CRASHES)
    try:
        terminal.ends(1)
        assert terminal.written.rfind(b"ZeroDivisionError") > terminal.written.rfind(LEAVES) > 0
    finally:
        terminal.close()


def test_a_stopped_watch_leaves_the_terminal_to_the_shell(agent: Commanded) -> None:
    terminal = Pty(agent)
    stat = Path(f"/proc/{terminal.process.pid}/stat")
    try:
        for _ in range(2):
            terminal.shows()
            terminal.types(b"\x1a")
            terminal.reads(lambda: stat.read_text().rpartition(") ")[2][0] == "T", "to be stopped")
            terminal.is_as_before()
            terminal.process.send_signal(signal.SIGCONT)
        terminal.shows()
        terminal.types(b"q")
        terminal.ends(0)
    finally:
        terminal.close()


def test_it_ends_when_the_terminal_is_gone(agent: Commanded) -> None:
    terminal = Pty(agent)
    try:
        terminal.shows()
        terminal.hangs_up()
        assert terminal.process.wait(LIMIT) in {128 + signal.SIGHUP, 120}  # 120: Python, which could not flush stdout
    finally:
        terminal.close()


def test_a_stopped_agent_keeps_nobody_from_leaving(agent: Commanded) -> None:
    terminal = Pty(agent)
    try:
        terminal.shows()
        agent.do(agent.control.close)
        terminal.reads(lambda: b"no agent listens" in terminal.written, "that nobody listens")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(agent.control.path))
            listening.listen()
            terminal.reads(lambda: b"does not answer" in terminal.written, "that nobody answers")
            terminal.types(b"w\x1b[Bq")
            terminal.ends(0)
    finally:
        terminal.close()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_without_a_terminal_it_says_what_to_use(agent: Commanded, term: str) -> None:
    done = subprocess.run(
        [*AGENT, "watch", "--config", str(agent.configuration)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env={**os.environ, "TERM": term},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: watch needs a terminal; elsewhere use exavrrp status, or exavrrp events --follow\n"


def test_without_the_extra_it_names_it(agent: Commanded) -> None:
    script = "import sys; sys.modules['rich'] = None; from exavrrp.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "watch"], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: rich is missing; install it: pip install 'exavrrp[watch]'\n"
