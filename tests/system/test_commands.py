"""drain, undrain and status as people, scripts and units call them: output and exit statuses.

The commands, the socket and the files are real; behind them stands a test double of the agent (``commanded.Double``).
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import __version__
from exavrrp.chronicle import Entry
from exavrrp.cli import asking, main, status
from exavrrp.control import Answer, Begun, Done, Error, Misunderstood, Progress, Status, StatusAnswer, encode
from exavrrp.system import client
from exavrrp.view import Moment, Outcome, SessionView
from tests.system.commanded import Commanded, commanded, has_other_users, let_others_in
from tests.system.conftest import LIMIT, Need

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Commanded]:
    """Two routers; a drain of either finds its successor at once."""
    with commanded(tmp_path, "web", "dns", clock=NOON.timestamp) as agent:
        agent.double.becomes = {"web": Outcome.DRAINED, "dns": Outcome.DRAINED}
        yield agent


def call(path: Path, *arguments: str) -> Result:
    """Run the command with the configuration at ``path``."""
    return CliRunner().invoke(main, [*arguments, "--config", str(path)], catch_exceptions=False)


def begin(agent: Commanded, *arguments: str) -> "subprocess.Popen[str]":
    """The same as a process of its own, not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "exavrrp", *arguments, "--config", str(agent.configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def spawn(agent: Commanded, *arguments: str) -> tuple[int, str, str]:
    """The exit status, what went to stdout and what to stderr."""
    with begin(agent, *arguments) as process:
        out, error = process.communicate(timeout=LIMIT)
    return process.returncode, out, error


# drain and undrain


def test_drain_and_undrain_one_line_a_router(agent: Commanded) -> None:
    assert spawn(agent, "drain", "--wait") == (0, "web: drained until undrain\ndns: drained until undrain\n", "")
    assert agent.double.calls == [("drain", "web"), ("drain", "dns")]
    assert spawn(agent, "drain", "--wait", "dns") == (0, "dns: already drained until undrain\n", "")
    assert spawn(agent, "undrain", "web") == (0, "web: takes part in the election again\n", "")
    assert spawn(agent, "undrain") == (
        0,
        "web: was not drained\ndns: takes part in the election again\n",
        "",
    )


def test_a_waiting_undrain_returns_when_all_take_part(agent: Commanded) -> None:
    agent.double.out = {"dns"}
    with begin(agent, "undrain", "--wait") as process:
        agent.until(lambda: agent.double.described >= 2)
        assert process.poll() is None
        agent.double.out.clear()
        told, error = process.communicate(timeout=LIMIT)
    assert (process.returncode, told, error) == (0, "web: was not drained\ndns: was not drained\n", "")


def test_an_undrain_that_waits_for_too_long_says_what_keeps_it(agent: Commanded) -> None:
    agent.double.out, agent.double.faults = {"web", "dns"}, {"web": ("nginx failing",)}
    told = call(agent.configuration, "undrain", "--wait", "--timeout", "0.1")
    assert (told.exit_code, told.stdout) == (1, "web: was not drained\ndns: was not drained\n")
    assert told.stderr == (
        "error: web: takes no part after 0.1 s: nginx failing\n"
        "error: dns: takes no part after 0.1 s: see exavrrp status dns\n"
    )
    agent.double.out = {"web"}
    assert call(agent.configuration, "undrain", "--wait", "dns").exit_code == 0
    assert call(agent.configuration, "undrain").exit_code == 0


def test_drain_returns_at_once_unless_it_is_to_wait(agent: Commanded) -> None:
    agent.double.becomes.clear()
    for already in ("", "already "):
        told = call(agent.configuration, "drain", "web")
        assert (told.exit_code, told.stdout, told.stderr) == (0, f"web: {already}draining until undrain\n", "")


def test_a_waiting_drain_reports_each_router_when_it_is_drained(agent: Commanded) -> None:
    agent.double.becomes.clear()
    with begin(agent, "drain", "--wait") as process:
        assert process.stdout is not None
        agent.until(lambda: agent.double.outcomes["dns"] is Outcome.DRAINING)
        agent.settle("dns", Outcome.DRAINED)
        assert process.stdout.readline() == "dns: drained until undrain\n"
        assert process.poll() is None
        agent.settle("web", Outcome.DRAINED)
        assert process.stdout.readline() == "web: drained until undrain\n"
        assert process.wait(LIMIT) == 0


@pytest.mark.parametrize(
    ("arguments", "until"),
    [
        (["--for", "90s"], "2026-11-22T12:01:30Z or undrain"),
        (["--for", "2h", "--until-restart"], "2026-11-22T14:00:00Z or a restart"),
        (["--until-restart"], "a restart"),
    ],
)
def test_drain_prints_its_duration(agent: Commanded, arguments: list[str], until: str) -> None:
    told = call(agent.configuration, "drain", "web", "--wait", *arguments)
    assert (told.exit_code, told.output) == (0, f"web: drained until {until}\n")
    noted = (
        json.loads((agent.lib / "drained.json").read_text())["drained"]
        if agent.lib.joinpath("drained.json").exists()
        else {}
    )
    assert ("web" in noted) is ("--until-restart" not in arguments)


def test_nobody_takes_over(agent: Commanded) -> None:
    agent.double.becomes["web"] = Outcome.KEPT
    status, out, error = spawn(agent, "drain", "--wait")
    assert (status, sorted(out.splitlines())) == (3, ["dns: drained until undrain", "web: kept: nobody took over"])
    assert error.startswith(
        "error: nobody took over web, so this node serves on; see what keeps the other nodes from it"
    )
    assert "To stop all the same, stop ExaBGP." in error


def test_nobody_is_ready_to_take_over(agent: Commanded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exavrrp.system.control.SECOND_LOOK", 0.01)
    agent.double.obstacles = {"web": "2001:db8:ff::12 in fault (check); 2001:db8:ff::13 silent for 9 s"}
    for arguments in (["drain"], ["drain", "--wait", "web"]):
        told = call(agent.configuration, *arguments)
        assert (told.exit_code, told.stdout) == (3, "")
        assert told.stderr == (
            "error: web: no peer is ready to take over: 2001:db8:ff::12 in fault (check); 2001:db8:ff::13 silent for 9"
            " s\nerror: nothing was drained; see what keeps the peers from it (exavrrp status there), or add --force\n"
        )
    assert call(agent.configuration, "drain", "dns").exit_code == 0
    assert call(agent.configuration, "drain", "--force", "--wait", "web").exit_code == 0


def test_somebody_undrains_meanwhile(agent: Commanded) -> None:
    agent.double.becomes.clear()
    with begin(agent, "drain", "--wait", "web") as process:
        agent.until(lambda: agent.double.outcomes["web"] is Outcome.DRAINING)
        assert call(agent.configuration, "undrain", "web").exit_code == 0
        out, error = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (1, "web: serving\n")
    assert error == "error: somebody has undrained web meanwhile\n"


def test_a_drain_that_takes_too_long_goes_on(agent: Commanded) -> None:
    agent.double.becomes.clear()
    told = call(agent.configuration, "drain", "web", "--wait", "--timeout", "0.2")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == "error: not finished within 0.2 s; it goes on: see exavrrp status\n"
    assert agent.double.outcomes["web"] is Outcome.DRAINING


def test_a_drain_that_cannot_be_kept_is_done_with_a_warning(agent: Commanded) -> None:
    (agent.lib / "drained.json").mkdir()
    (agent.lib / "drained.json" / "x").write_text("")
    for arguments in (["drain", "--wait"], ["drain"]):
        told = call(agent.configuration, *arguments, "web")
        assert told.exit_code == 0
        assert told.stdout.endswith("drained until a restart\n")
        assert told.stderr.startswith("warning: ")
        assert told.stderr.count("\n") == 1
        assert "Is a directory; this drain will not survive a restart: make " in told.stderr


def test_an_undrain_that_cannot_be_kept_is_done_with_a_warning(agent: Commanded) -> None:
    assert call(agent.configuration, "drain", "--wait", "web").exit_code == 0
    (agent.lib / "drained.json").rename(agent.lib / "before")
    (agent.lib / "drained.json").mkdir()
    (agent.lib / "drained.json" / "x").write_text("")
    told = call(agent.configuration, "undrain", "web")
    assert (told.exit_code, told.stdout) == (0, "web: takes part in the election again\n")
    assert "they will be drained again after a restart" in told.stderr


def test_an_unknown_router_is_named_with_those_that_there_are(agent: Commanded) -> None:
    for command in ("drain", "undrain"):
        told = call(agent.configuration, command, "wob")
        assert (told.exit_code, told.stdout) == (1, "")
        assert told.stderr == "error: there is no virtual router 'wob'; known here: web, dns\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drain", "--for", "90"], "'90' is no duration; write a number and a unit: 90s, 30m, 2h, 1h30m or 2d"),
        (["drain", "--for", "0s"], "'0s' is out of range; write more than 0s and at most 366d"),
        (["drain", "--wait", "--timeout", "0"], "--timeout"),
        (["drain", "--timeout", "soon"], "--timeout"),
        (["undrain", "--for", "1h"], "--for"),
        (["status", "web", "dns"], "dns"),
    ],
)
def test_wrong_usage_asks_nobody(agent: Commanded, arguments: list[str], message: str) -> None:
    told = call(agent.configuration, *arguments)
    assert (told.exit_code, told.stdout) == (2, "")
    assert message in told.stderr
    assert agent.double.calls == []


# status


def test_status_is_one_line_a_router_and_one_for_each_problem(agent: Commanded) -> None:
    agent.double.faults["web"] = ("check disk fails: full",)
    agent.double.ages = {"web": 184_259.0, "dns": 41.9}
    assert call(agent.configuration, "drain", "--wait", "dns", "--for", "30m").exit_code == 0
    status, out, error = spawn(agent, "status")
    assert (status, error) == (0, "")
    assert out.splitlines()[3:] == [
        "ROUTER  VRID  STATE   SINCE     PRIORITY  ACTIVE  LO   BGP",
        "web       1   ACTIVE  2d 03:10  0 of 100  here    yes  active",
        "dns       2   BACKUP  00:00:41  100       -       no   -",
        " ! web: fault: check disk fails: full",
        " ! dns: drained until 2026-11-22T12:30:00Z or undrain",
    ]


def test_status_of_an_older_agent_shows_no_times(agent: Commanded) -> None:
    told = call(agent.configuration, "status")
    assert told.stdout.splitlines()[3:] == [
        "ROUTER  VRID  STATE   PRIORITY  ACTIVE  LO   BGP",
        "web       1   ACTIVE  100       here    yes  active",
        "dns       2   ACTIVE  100       here    yes  active",
    ]


def test_status_counts_sessions_and_names_those_that_are_not_as_they_should_be(agent: Commanded) -> None:
    agent.double.family = 6
    agent.double.connected = [
        SessionView(peer="10.255.0.1", local="10.0.0.2", up=True, told=True, counts_for=("web", "dns")),
        SessionView(peer="10.255.0.1", local="10.0.0.3", up=False),
        SessionView(peer="fe80::1", local="fe80::6", up=True, told=True, families=(4,)),
        SessionView(peer="fe80::1", local="fe80::7", up=True, told=False),
        SessionView(peer="fe80::1", local="fe80::8", up=True),
    ]
    lines = call(agent.configuration, "status").stdout.splitlines()
    assert lines[1] == "4 of 5 sessions up"
    assert lines[6:] == [
        " ! session 10.255.0.1 from 10.0.0.3 down",
        " ! session fe80::1 from fe80::6 up, counts for no virtual router, carries IPv4",
        " ! session fe80::1 from fe80::7 up, not told of our routes, so it does not count",
    ]
    document = json.loads(call(agent.configuration, "status", "--json").stdout)
    known = {
        "peer": "10.255.0.1",
        "local": "10.0.0.2",
        "up": True,
        "told": True,
        "counts_for": ["web", "dns"],
        "families": None,
    }
    assert {name: document["sessions"][0][name] for name in known} == known
    assert (document["sessions"][1]["up"], document["sessions"][1]["local"]) == (False, "10.0.0.3")
    assert call(agent.configuration, "status", "--is-active", "web").stdout == "active\n", "of a router, nothing else"


def test_status_shows_that_a_drain_was_undone(agent: Commanded) -> None:
    agent.double.becomes["web"] = Outcome.KEPT
    assert call(agent.configuration, "drain", "--wait", "web").exit_code == 3
    lines = call(agent.configuration, "status").stdout.splitlines()
    assert lines[-1] == " ! web: the last drain was undone: nobody took over"


def test_status_of_one_router_shows_that_one(agent: Commanded) -> None:
    status, out, error = spawn(agent, "status", "dns")
    assert (status, error) == (0, "")
    assert out.splitlines()[0] == "dns, VRID 2: ACTIVE"
    assert "  priority   100, as configured\n" in out
    assert "web" not in out
    told = call(agent.configuration, "status", "dns", "--json")
    assert [one["name"] for one in json.loads(told.stdout)["routers"]] == ["dns"]
    told = call(agent.configuration, "status", "wob")
    assert (told.exit_code, told.stdout) == (2, "")


def test_status_for_programs(agent: Commanded) -> None:
    told = call(agent.configuration, "status", "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    document = json.loads(told.stdout)
    assert (document["version"], document["release"], document["process"]) == (1, __version__, os.getpid())
    assert document["time"] == "2026-11-22T12:00:00Z"
    assert [one["name"] for one in document["routers"]] == ["web", "dns"]
    known: dict[str, object] = {
        "name": "web",
        "vrid": 1,
        "role": "active",
        "priority": 100,
        "explanation": "150 - 50 (a failing) = 100",
        "addresses": [],
        "prefixes": [],
        "bound": True,
        "level": "active",
        "drained": False,
        "wanted": "active",
        "accepted": True,
        "untold": [],
        "faults": [],
        "holds": [],
        "remarks": [],
        "outcome": "serving",
        "until": None,
        "persistent": False,
    }
    assert {name: document["routers"][0][name] for name in known} == known
    assert document["now"] == {"time": "2026-11-22T12:00:00Z", "monotonic": 1_000_000.0}


def test_is_active_is_an_exit_status(agent: Commanded) -> None:
    assert call(agent.configuration, "drain", "--wait", "dns").exit_code == 0
    assert spawn(agent, "status", "--is-active", "web") == (0, "active\n", "")
    assert spawn(agent, "status", "--is-active", "dns") == (1, "backup\n", "")
    status, out, error = spawn(agent, "status", "--is-active", "wob")
    assert (status, out, error) == (2, "", "error: there is no virtual router 'wob'; known here: web, dns\n")
    told = call(agent.configuration, "status", "--is-active", "dns", "--json")
    assert told.exit_code == 1
    assert len(json.loads(told.stdout)["routers"]) == 2


# Where the agent is


@pytest.mark.parametrize("command", ["drain", "undrain", "status"])
@pytest.mark.parametrize("stale", [False, True])
def test_without_an_agent_the_socket_and_the_remedy_are_named(tmp_path: Path, command: str, stale: bool) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(f'[agent]\nstate_directory = "{tmp_path}"\n')
    if stale:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / "control.sock"))
        left.close()
    told = call(path, command)
    assert (told.exit_code, told.stdout) == (4, "")
    reason = "Connection refused" if stale else "No such file or directory"
    assert told.stderr == (
        f"error: no agent listens at {tmp_path}/control.sock ({reason});"
        " is ExaBGP running, with exavrrp as its process? Another agent's configuration is named with --config\n"
    )


def test_an_agent_is_found_while_its_configuration_is_being_edited(agent: Commanded) -> None:
    text = agent.configuration.read_text()
    agent.configuration.write_text(text + 'peers = 7\n[virtual_router.web]\nvrid = "x"\n')
    assert call(agent.configuration, "status").exit_code == 0


@pytest.mark.parametrize("text", [None, "[agent\n", "[agent]\nstate_directory = 7\n"])
def test_a_configuration_that_was_named_and_cannot_be_read_is_an_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "exavrrp.toml"
    if text is not None:
        path.write_text(text)
    told = call(path, "drain")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"error: {path}")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("text", [None, "[agent\n"], ids=["missing", "broken"])
def test_without_a_usable_configuration_the_agent_is_looked_for_where_it_is_by_default(
    agent: Commanded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """The default of the option is bound when the command is defined, so it is changed there."""
    path = tmp_path / "etc.toml"
    if text is not None:
        path.write_text(text)
    (option,) = [one for one in status.command.params if one.name == "path"]
    monkeypatch.setattr(option, "default", str(path))
    monkeypatch.setattr(asking, "STATE_DIRECTORY", str(tmp_path))
    told = CliRunner().invoke(main, ["status"], catch_exceptions=False)
    assert told.exit_code == 0
    assert "\nweb " in told.stdout
    assert bool(told.stderr) is (text is not None)
    assert told.stderr.startswith(f"warning: {path}:" if text else "")


@pytest.mark.system
def test_a_user_without_access_gets_the_remedy(
    agent: Commanded, need: Need, with_two_capabilities: Callable[[Callable[[], None]], None]
) -> None:
    need(reason="no user besides root in this user namespace", unless=has_other_users())

    def body() -> None:
        with pytest.raises(client.Unanswered, match=r"is not for this user .*; use root or the user of ExaBGP, or set"):
            list(client.ask(agent.control.path, Status()))

    let_others_in(agent.control.path.parent)
    with_two_capabilities(body)


# An agent that is none, or is not well


class Impostor:
    """Listens where an agent would, and answers each connection with the same bytes, or not at all."""

    def __init__(self, directory: Path, says: bytes | None, reads: int = 1 << 16) -> None:
        self.configuration = directory / "exavrrp.toml"
        self.configuration.write_text(f'[agent]\nstate_directory = "{directory}"\n')
        self._says, self._reads = says, reads
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(directory / "control.sock"))
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(self._reads)
            if self._says is None:
                connection.recv(1)  # until the other side has lost its patience
            else:
                connection.sendall(self._says)

    def close(self) -> None:
        self._thread.join(LIMIT)
        self._socket.close()


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (b"", "the agent ended before it was done; see its log"),
        (b'{"answer":"begun","version":1,"routers":[]}\n', "the agent ended before it was done; see its log"),
        (b"HTTP/1.1 400 Bad Request\r\n", "the agent's answer is not understood: JSON is malformed"),
        (b'{"answer":"error","version":1,"message":"no\\tway"}\n', "no\tway"),
        (
            b'{"answer":"status","version":2,"release":"9","process":1,"time":"2026-11-22T12:00:00Z","routers":[]}\n',
            "version 2",
        ),
        (None, "does not answer within 0.5 s; is it stopped?"),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes | None, message: str
) -> None:
    if says is None:
        monkeypatch.setattr(client, "ANSWER_TIMEOUT", 0.5)
    impostor = Impostor(tmp_path, says)
    told = call(impostor.configuration, "drain", "--wait")
    impostor.close()
    assert (told.exit_code, told.stdout) == (4 if says is None else 1, "")
    assert re.match(r"error: .*\n\Z", told.stderr)
    assert message in told.stderr


@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                encode(Begun(routers=())),
                encode(Progress(name="web", outcome=Outcome.KEPT)),
                encode(Done(routers=())),
                encode(Error(message="no")),
                b"\n",
            ]
        ),
        max_size=8,
    )
)
def test_whatever_is_answered_is_an_answer_or_unanswered(pieces: list[bytes]) -> None:
    """The last answer is one that ends the request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(pieces))
        theirs.shutdown(socket.SHUT_WR)
        answers: list[Answer] = []
        with contextlib.suppress(client.Unanswered, Misunderstood):
            answers.extend(client.answers(ours, None, client.ANSWER_TIMEOUT))
            assert isinstance(answers[-1], (Done, StatusAnswer))
        assert all(isinstance(one, (Begun, Progress)) for one in answers[:-1])


def test_an_agent_that_ends_before_it_has_read_the_request_is_gone(tmp_path: Path) -> None:
    impostor = Impostor(tmp_path, b"", reads=1)
    told = call(impostor.configuration, "status")
    impostor.close()
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"the agent at {tmp_path}/control.sock is gone: Connection reset by peer; see its log" in told.stderr


def test_an_answer_without_an_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST", 1000)
    impostor = Impostor(tmp_path, b"x" * 5000)
    told = call(impostor.configuration, "status")
    impostor.close()
    assert told.exit_code == 1
    assert "the answer has no end" in told.stderr


def test_an_agent_with_too_much_to_do_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backlog is full: the kernel takes no further connection."""
    monkeypatch.setattr(client, "ANSWER_TIMEOUT", 1.0)
    path = tmp_path / "exavrrp.toml"
    path.write_text(f'[agent]\nstate_directory = "{tmp_path}"\n')
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen(0)
        first.connect(str(tmp_path / "control.sock"))
        told = call(path, "status")
    assert (told.exit_code, told.stdout) == (4, "")
    assert told.stderr.startswith(f"error: {tmp_path}/control.sock cannot be reached: ")


def test_a_person_may_stop_waiting(agent: Commanded) -> None:
    agent.double.becomes.clear()
    with begin(agent, "drain", "--wait", "web") as process:
        agent.until(lambda: agent.double.outcomes["web"] is Outcome.DRAINING)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in error
    assert agent.double.outcomes["web"] is Outcome.DRAINING


# events and why


def happened(agent: Commanded, *numbers: int, router: str = "web") -> None:
    """More entries of the journal of a router."""

    def add() -> None:
        for number in numbers:
            moment = Moment(datetime(2026, 11, 22, 12, 0, number, tzinfo=UTC), float(number))
            entry = Entry(at=moment, event="path-quiet", router=router, fields={"interface": f"eth{number}"})
            agent.double.happened.append(msgspec.json.encode(entry))

    agent.do(add)


def test_events_are_printed_as_lines_or_as_documents(agent: Commanded) -> None:
    assert spawn(agent, "events") == (0, "", "")
    happened(agent, 1, 2)
    status, out, error = spawn(agent, "events")
    assert (status, error) == (0, "")
    assert out.splitlines() == [
        "2026-11-22 12:00:01.000 web: path-quiet interface=eth1",
        "2026-11-22 12:00:02.000 web: path-quiet interface=eth2",
    ]
    documents = [json.loads(line) for line in call(agent.configuration, "events", "--json").stdout.splitlines()]
    assert [one["fields"]["interface"] for one in documents] == ["eth1", "eth2"]
    assert call(agent.configuration, "events", "dns").stdout == ""
    assert call(agent.configuration, "events", "--since", "1s").stdout == ""
    assert call(agent.configuration, "events", "--since", "soon").exit_code == 2


def test_events_of_a_router_that_was_there_before_and_of_one_that_never_was(agent: Commanded) -> None:
    happened(agent, 1)
    happened(agent, 2, router="gone")
    assert "gone: path-quiet" in call(agent.configuration, "events", "gone").stdout
    assert "web" not in call(agent.configuration, "events", "gone").stdout
    never = call(agent.configuration, "events", "wob")
    assert (never.exit_code, never.stdout) == (2, "")
    assert never.stderr == "error: there is no virtual router 'wob'; known here: web, dns\n"


def test_events_of_a_router_that_has_become_a_service(agent: Commanded) -> None:
    """A name means what it meant, and what it means now; also if that changes while its events are followed."""
    happened(agent, 1, router="mail")
    happened(agent, 2, router="web")
    agent.do(lambda: agent.double.outcomes.update({"mail-ipv6": Outcome.SERVING}))
    happened(agent, 3, router="mail-ipv6")
    with begin(agent, "events", "mail", "--follow") as process:
        assert process.stdout is not None
        assert "mail: path-quiet interface=eth1" in process.stdout.readline()
        assert "mail-ipv6: path-quiet interface=eth3" in process.stdout.readline()
        agent.do(lambda: agent.double.outcomes.update({"mail-ipv4": Outcome.SERVING}))
        happened(agent, 4, router="mail-ipv4")
        assert "mail-ipv4: path-quiet interface=eth4" in process.stdout.readline()
        agent.do(agent.double.outcomes.clear)
        happened(agent, 5, router="mail-ipv6")
        assert "mail-ipv6: path-quiet interface=eth5" in process.stdout.readline(), "it was meant before"
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0


def test_events_are_followed_also_over_a_restart_of_the_agent(agent: Commanded) -> None:
    happened(agent, 1, 2)
    with begin(agent, "events", "--follow") as process:
        assert process.stdout is not None
        assert "eth1" in process.stdout.readline()
        assert "eth2" in process.stdout.readline()
        happened(agent, 3)
        assert "eth3" in process.stdout.readline()
        agent.do(agent.double.happened.clear)
        happened(agent, 4)
        assert "eth4" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0


def test_why_tells_of_each_router_or_of_one(agent: Commanded) -> None:
    told = call(agent.configuration, "why").stdout.splitlines()
    assert [line for line in told if line.endswith("no transition is in the journal")] == [
        "web: no transition is in the journal",
        "dns: no transition is in the journal",
    ]
    assert "web" not in call(agent.configuration, "why", "dns").stdout
    told_ = call(agent.configuration, "why", "wob")
    assert (told_.exit_code, told_.stdout) == (2, "")


@pytest.mark.parametrize("command", ["events", "why"])
def test_without_an_agent_there_is_no_journal(tmp_path: Path, command: str) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(f'[agent]\nstate_directory = "{tmp_path}"\n')
    told = call(path, command)
    assert (told.exit_code, told.stdout) == (4, "")
