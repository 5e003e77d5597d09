"""The commands as people and ExaBGP call them: exit statuses, output, and what is not started."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exavrrp import __version__
from exavrrp.cli import COMMANDS, CONFIGURATION, main
from exavrrp.config import load
from exavrrp.control import SOCKET, Done, Moved, StatusAnswer, encode
from exavrrp.view import Outcome, RouterView
from tests.conftest import Write

GOOD = """\
[agent]
sources = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]
state_directory = "{directory}/run"

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1/128"]
"""

BAD = """\
[agent]
sorces = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]
advert_interval = 0

[virtual_router.web]
vrid = 300
addresses = ["2001:db8:53::1/64"]
checks = ["nope"]
"""
MISTAKES = [
    (2, "agent.sorces"),
    (4, "agent.advert_interval"),
    (7, "virtual_router.web.vrid"),
    (8, "virtual_router.web.addresses"),
    (9, "virtual_router.web.checks"),
]


def call(*arguments: object) -> Result:
    """Run the command in this process. An exception other than an exit fails the test."""
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)


def process(*arguments: object, stdin: int = subprocess.DEVNULL) -> "subprocess.CompletedProcess[str]":
    """The same in a process of its own."""
    command = [sys.executable, "-m", "exavrrp", *map(str, arguments)]
    return subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=30, check=False)


# In general


@pytest.mark.parametrize("command", [["-m", "exavrrp"], ["-c", "from exavrrp.cli import main; main()"]])
def test_the_version_is_the_package_s(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == __version__


def test_help_names_the_commands() -> None:
    told = call("-h")
    assert told.exit_code == 0
    listed = told.stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == sorted(COMMANDS)


@pytest.mark.parametrize(
    "arguments", [["run", "--nonsense"], ["check", "a", "b"], ["serve"], ["run", "--log-format", "xml"]]
)
def test_wrong_usage_is_another_status_than_a_wrong_file(arguments: list[str]) -> None:
    told = call(*arguments)
    assert told.exit_code == 2
    assert told.stdout == ""


# What a command imports

IMPORTS = """
import json, sys
from exavrrp.cli import main
try:
    main()
finally:
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""
"""The command, and after everything that it said what it has imported."""

SLOW = {"asyncio", "email", "h11", "http", "logging", "multiprocessing", "pyroute2", "ssl", "unittest"}
"""Packages that take a good part of the time that a command may take to start."""

GROUP = {"exavrrp", "exavrrp.cli"}
ASKING = GROUP | {
    *("exavrrp.cli.asking", "exavrrp.cli.options", "exavrrp.cli.output"),
    *("exavrrp.config", "exavrrp.config.directory", "exavrrp.config.opening", "exavrrp.config.diagnosis"),
    *("exavrrp.config.files", "exavrrp.config.places", "exavrrp.config.toml"),
    *("exavrrp.config.schema", "exavrrp.config.notation", "exavrrp.neighbors", "exavrrp.vrrp", "exavrrp.vrrp.packet"),
    *("exavrrp.control", "exavrrp.chronicle", "exavrrp.view", "exavrrp.virtual_address"),
    *("exavrrp.system", "exavrrp.system.client", "exavrrp.system.lock"),
}
"""One key of the configuration, and the socket."""
WORDS = {
    "status": {"exavrrp.findings", "exavrrp.cli.details", "exavrrp.cli.overview", "exavrrp.cli.style"},
    "drain": {"exavrrp.findings"},
    "undrain": {"exavrrp.findings"},
}
"""What puts an answer into words."""


@contextmanager
def answering(directory: Path, answer: bytes) -> Iterator[None]:
    """A control socket in ``directory`` that gives one request this answer."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / SOCKET))
        listening.listen()
        listening.settimeout(30)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def imported(*arguments: object) -> set[str]:
    """The modules that a successful command imports."""
    command = [sys.executable, "-c", IMPORTS, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return set(json.loads(done.stderr))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "exavrrp"}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_list_import_no_command(option: str) -> None:
    found = imported(option)
    assert ours(found) == GROUP
    assert found.isdisjoint(SLOW | {"msgspec", "tomli"})


@pytest.mark.parametrize("command", ["status", "drain", "undrain"])
def test_a_command_that_asks_the_agent_imports_nothing_of_the_agent(write: Write, tmp_path: Path, command: str) -> None:
    moved = Moved(name="web", outcome=Outcome.DRAINED)
    router = RouterView(
        name="web", vrid=7, role="active", priority=1, explanation="1", bound=True, level="active", drained=False
    )
    answer = StatusAnswer(release="1", process=1, time=datetime.now(UTC), routers=(router,))
    path = write(GOOD.replace("{directory}/run", "{directory}"))
    with answering(tmp_path, encode(answer if command == "status" else Done(routers=(moved,)))):
        found = imported(command, "--config", path)
    assert ours(found) == ASKING | {f"exavrrp.cli.{command}"} | WORDS[command]
    assert found.isdisjoint(SLOW)


def test_a_command_imports_no_other_command(write: Write) -> None:
    path = write(GOOD)
    found = imported("check", "--elsewhere", path)
    assert {f"exavrrp.cli.{name}" for name in COMMANDS} & found == {"exavrrp.cli.check"}
    assert "exavrrp.agent" not in found


def test_an_agent_imports_nothing_that_only_other_commands_or_mistakes_need(write: Write) -> None:
    command = [sys.executable, "-c", IMPORTS, "run", "--config", str(write(GOOD))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    found = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"exavrrp.agent", "exavrrp.config.loading"} <= found
    others = {
        "exavrrp.config.slips",
        "exavrrp.config.writing",
        "exavrrp.replay",
        "exavrrp.cleanup",
        "exavrrp.simulation",
    }
    assert found.isdisjoint(
        others
        | {
            "exavrrp.simulation",
            "exavrrp.system.client",
            "exavrrp.cli.asking",
            "email",
            "http",
            "prometheus_client",
            "pyroute2",
        }
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_list_is_there(name: str) -> None:
    told = call(name, "--help")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"Usage: main {name} ")


# import

LAN = """\
vrrp_instance web {
    interface eth0
    virtual_router_id 7
    include addresses-{4,6}.conf
    authentication {
        auth_type PASS
        auth_pass s3cret
    }
    @node2 priority 150
    virtual_ipaddress { 192.0.2.53/32 dev lo }
}
"""
FILES = {"exavrrp.toml", "exabgp-stanza.conf", "import-report.txt"}


@pytest.fixture(name="lan")
def _lan(tmp_path: Path) -> Path:
    """A keepalived.conf that says nothing about its source, with a file that it includes."""
    path = tmp_path / "keepalived.conf"
    path.write_text(LAN)
    (tmp_path / "addresses-4.conf").write_text("nopreempt\n")
    (tmp_path / "addresses-6.conf").mkdir()
    return path


def test_import_prints_all_without_secrets_and_says_what_is_missing(lan: Path) -> None:
    told = call("import", lan)
    assert (told.exit_code, told.stderr) == (3, "")
    assert [line[2:] for line in told.stdout.splitlines() if line[2:] in FILES] == [
        "exavrrp.toml",
        "exabgp-stanza.conf",
        "import-report.txt",
    ]
    assert "exavrrp.toml: virtual_router.web.source: this node's IPv4 address on eth0 (or give --source)" in told.stdout
    assert f"{lan.parent}/addresses-4.conf:1: nopreempt -> preempt = false" in told.stdout
    assert f"{lan}:9: @node2 priority 150 -> is for other nodes" in told.stdout
    assert "s3cret" not in told.stdout


def test_import_writes_what_check_accepts_and_overwrites_nothing_unasked(lan: Path, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    options = ["--id", "node2", "--source", "eth0=192.0.2.11", "--neighbor", "192.0.2.1/65000", "-o", directory]
    told = call("import", lan, *options)
    assert told.exit_code == 0, told.output
    assert {path.name for path in directory.iterdir()} == FILES
    made = directory / "exavrrp.toml"
    assert (made.stat().st_mode & 0o777, "priority = 150" in made.read_text()) == (0o600, True)
    assert 'plain_password = "s3cret"' in made.read_text()
    assert (directory / "import-report.txt").read_text() == told.stdout
    assert "neighbor 192.0.2.1 {" in (directory / "exabgp-stanza.conf").read_text()
    [warning] = call("check", "--elsewhere", made).stderr.splitlines()
    assert "version" in warning

    made.unlink()
    again = call("import", lan, *options)
    assert again.exit_code == 1
    assert [line.split()[1] for line in again.stderr.splitlines()] == [
        str(directory / name) for name in ("exabgp-stanza.conf", "import-report.txt")
    ]
    assert not made.exists()
    assert call("import", lan, *options, "--overwrite").exit_code == 0
    assert made.exists()


def test_import_of_nodes_without_bgp_asks_for_no_neighbor(lan: Path, tmp_path: Path) -> None:
    lan.write_text(LAN.replace("192.0.2.53/32 dev lo", "192.0.2.53/24"))
    told = call("import", lan, "--on-link", "--source", "192.0.2.11", "-o", tmp_path / "made")
    assert (told.exit_code, "To fill in (0)" in told.stdout) == (0, True)
    made = (tmp_path / "made" / "exavrrp.toml").read_text()
    assert 'addresses = ["192.0.2.53/24"]\nbind = "eth0"\nannounce = false\n' in made
    assert "neighbor …" not in (tmp_path / "made" / "exabgp-stanza.conf").read_text()


def test_import_tells_all_mistakes_and_writes_nothing(lan: Path, tmp_path: Path) -> None:
    lan.write_text(LAN.replace("router_id 7", "router_id 0").replace("192.0.2.53/32", "x"))
    told = call("import", lan, "-o", tmp_path / "made")
    assert (told.exit_code, told.stdout) == (1, "")
    assert [line.partition(": ")[2].partition(": ")[0] for line in told.stderr.splitlines()] == [f"{lan}:10"]
    lan.write_text(LAN.replace("router_id 7", "router_id 0"))
    assert f"{lan}:3: virtual_router_id holds" in call("import", lan).stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere.conf"], 1, "nowhere.conf: cannot be read: No such file or directory"),
        (["--source", "eth0"], 2, '"eth0" cannot be read'),
        (["--neighbor", "192.0.2.1"], 2, '"192.0.2.1" cannot be read'),
        (["--neighbor", "192.0.2.1/0"], 2, '"192.0.2.1/0" cannot be read'),
    ],
)
def test_import_of_nothing(arguments: list[str], status: int, said: str) -> None:
    told = call("import", *arguments)
    assert told.exit_code == status
    assert said in told.stderr


def test_import_says_which_file_cannot_be_read_or_written_to(lan: Path, tmp_path: Path) -> None:
    (tmp_path / "addresses-6.conf").rmdir()
    (tmp_path / "addresses-6.conf").symlink_to("addresses-6.conf")
    assert "addresses-6.conf cannot be read: " in call("import", lan).stdout
    told = call("import", lan, "-o", tmp_path / "no" / "such")
    assert (told.exit_code, "cannot be written to" in told.stderr) == (1, True)


def test_import_does_not_wait_for_the_writer_of_a_pipe(lan: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "addresses-pipe.conf")
    lan.write_text(LAN.replace("{4,6}", "pipe"))
    assert (
        "addresses-pipe.conf -> " + str(tmp_path / "addresses-pipe.conf") + " is no regular file"
        in call("import", lan).stdout
    )


def test_import_leaves_all_as_it_was_on_a_full_disk(lan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "made"
    call("import", lan, "-o", directory)
    before = {path: path.read_text() for path in directory.iterdir()}
    lan.write_text(LAN.replace("router_id 7", "router_id 8"))
    made: Any = tempfile.NamedTemporaryFile

    def full(*arguments: Any, prefix: str, **more: Any) -> Any:
        file = made(*arguments, prefix=prefix, **more)
        if "report" in prefix:
            with Path("/dev/full").open("w") as disk:
                os.dup2(disk.fileno(), file.fileno())
        return file

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    told = call("import", lan, "-o", directory, "--overwrite")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == f"error: {directory} cannot be written to: No space left on device\n"
    assert {path: path.read_text() for path in directory.iterdir()} == before


def test_import_without_a_place_for_temporary_files(lan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(lan))
    told = call("import", lan)
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("error: no temporary file can be written")


def test_import_shows_and_writes_a_file_whose_name_is_no_text(lan: Path, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"addresses-4\xff\x1b.conf")).write_text("nopreempt\n")
    lan.write_text(LAN.replace("{4,6}", "*"))
    told = call("import", lan, "-o", tmp_path / "made")
    assert told.exit_code == 3, told.output
    assert "addresses-4\ufffd\ufffd.conf:1: nopreempt" in (tmp_path / "made" / "import-report.txt").read_text("utf-8")


# check


def test_check_prints_nothing_for_a_good_file(write: Write) -> None:
    told = call("check", "--elsewhere", write(GOOD))
    assert (told.exit_code, told.output) == (0, "")


FLEET = """\
[node.node1]
sources = ["2001:db8:ff::11"]

[node.node2]
sources = ["2001:db8:ff::12"]

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1/128"]
order = ["node2", "node1"]
"""


NOWHERE = "/nonexistent/exavrrp"
"""A state directory without an agent."""


def test_check_of_the_standard_file_looks_at_exabgps_too(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, exabgp = write(GOOD), tmp_path / "exabgp.conf"
    monkeypatch.setattr("exavrrp.cli.check.CONFIGURATION", str(path))
    monkeypatch.setattr("exavrrp.system.speakerfile.STANDARD", exabgp)
    assert str(exabgp) not in call("check").output, "it is not there"
    exabgp.write_text("neighbor fd00::1 { hold-time 9; }")
    told = call("check")
    assert f"warning: {exabgp} has no process: ExaBGP starts no agent" in told.stderr
    (tmp_path / "other.toml").write_text(GOOD)
    for arguments in (["--elsewhere"], ["--all-nodes"], [tmp_path / "other.toml"]):
        assert str(exabgp) not in call("check", *arguments).output


def test_doctor_without_an_agent_looks_at_exabgps_standard_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exabgp = tmp_path / "exabgp.conf"
    exabgp.write_text("process exavrrp { run /opt/exavrrp/bin/exavrrp run; }")
    monkeypatch.setattr("exavrrp.system.speakerfile.STANDARD", exabgp)
    told = call("doctor", "--json", "--config", write(GOOD.replace("{directory}", NOWHERE)))
    assert {"agent-unreachable", "exabgp-encoder"} <= {finding["code"] for finding in json.loads(told.stdout)}


def test_check_reads_a_file_for_all_nodes_as_one_of_them(write: Write) -> None:
    path = write(FLEET)
    for name, priority in (("node1", 240), ("node2", 250)):
        told = call("check", "--elsewhere", "--print", "--node", name, path)
        assert told.exit_code == 0
        assert f"priority = {priority}\n" in told.stdout
    told = call("check", "--elsewhere", path)
    assert (told.exit_code, told.stdout) == (1, "")
    assert f'has no table for "{os.uname().nodename}"; write one, or name the node with --node: node1, ' in told.stderr
    path = write(FLEET.replace("node1", os.uname().nodename.partition(".")[0].lower()))
    assert call("check", "--elsewhere", path).exit_code == 0


def test_doctor_reads_a_file_for_all_nodes_as_one_of_them(write: Write) -> None:
    def invalid(text: str, *arguments: str) -> list[str]:
        told = call(
            "doctor", "--json", "--config", write(f'[agent]\nstate_directory = "{NOWHERE}"\n{text}'), *arguments
        )
        return [one["text"] for one in json.loads(told.stdout) if one["code"] == "configuration-invalid"]

    assert invalid(FLEET, "--node", "node2") == []
    (told,) = invalid(FLEET)
    assert "name the node with --node: node1, node2" in told
    assert invalid(FLEET.replace("node1", os.uname().nodename.partition(".")[0].lower())) == []


def test_a_shell_completes_virtual_routers_and_groups_of_a_file_for_all_nodes(write: Write) -> None:
    path = write(
        FLEET.replace('["2001:db8:53::1/128"]', '["2001:db8:53::1", "192.0.2.53"]')
        .replace('::11"]', '::11", "192.0.2.11"]')
        .replace('::12"]', '::12", "192.0.2.12"]')
    )
    asked = {"COMP_WORDS": f"exavrrp drain --config {path} ", "COMP_CWORD": "4"}
    command = [sys.executable, "-c", "from exavrrp.cli import main; main(prog_name='exavrrp')"]
    environment = {**os.environ, **asked, "_EXAVRRP_COMPLETE": "bash_complete"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert told.stdout.split() == ["plain,web-ipv6", "plain,web-ipv4", "plain,web"]


def test_check_looks_at_all_nodes_at_once(write: Write, tmp_path: Path) -> None:
    path = write(FLEET)
    told = call("check", "--all-nodes", path)
    assert (told.exit_code, told.output) == (0, "")
    other = tmp_path / "node3.toml"
    other.write_text(GOOD.replace("ff::11", "ff::13").replace("{directory}", str(tmp_path)))
    told = call("check", "--all-nodes", path, other)
    assert (told.exit_code, told.stdout) == (1, "")
    lacks = f"error: {other}:3: agent.peers: lacks 2001:db8:ff::11, the source of web on node1; add it"
    assert lacks in told.stderr.splitlines()
    path.write_text(FLEET.replace("order =", "oder ="))
    told = call("check", "--all-nodes", path)
    assert told.exit_code == 1
    assert told.stderr.startswith(f"error: {path}:")


@pytest.mark.parametrize("arguments", [["a", "b"], ["--all-nodes", "--print"], ["--all-nodes", "--node", "a"]])
def test_what_check_is_to_do_with_several_nodes_is_clear(arguments: list[str]) -> None:
    told = call("check", *arguments)
    assert told.exit_code == 2
    assert "--all-nodes" in told.stderr


SECRET = bytes(range(32)).hex()
SIGNED = (
    GOOD.replace("[agent]", '[agent]\nauthentication = "site"')
    + """
[authentication.site]
active_key = 1
keys = { 1 = { file = "{directory}/key" } }
"""
)


def test_check_looks_at_keys_and_never_shows_them(write: Write, tmp_path: Path) -> None:
    path, key = write(SIGNED), tmp_path / "key"
    key.write_text(f"hex:{SECRET}\n")
    key.chmod(0o600)
    told = call("check", path, "--print")
    assert told.exit_code == 0
    assert f'keys.1 = {{ file = "{key}" }}' in told.stdout
    assert SECRET not in told.output
    key.chmod(0o644)
    told = call("check", path)
    assert told.exit_code == 1
    assert complaints(path, told.stderr) == [(13, "authentication.site.keys.1.file")]
    assert f"everybody can read; chmod o-r {key}" in told.stderr
    key.unlink()
    assert call("check", path).exit_code == 1
    assert call("check", path, "--elsewhere").exit_code == 0


def test_run_does_not_begin_without_its_keys(write: Write) -> None:
    path = write(SIGNED)
    told = process("run", "--config", path)
    assert (told.returncode, told.stdout) == (1, "")
    assert complaints(path, told.stderr) == [(13, "authentication.site.keys.1.file")]


def complaints(path: Path, told: str) -> list[tuple[int, str]]:
    """(line, key) of each mistake; every line of ``told`` must report one."""
    found = []
    for line in told.splitlines():
        assert line.startswith(f"error: {path}:"), line
        number, key, said = line.removeprefix(f"error: {path}:").split(": ", 2)
        assert said
        found.append((int(number), key))
    return found


def test_check_prints_every_mistake_on_a_line_of_its_own(write: Write) -> None:
    path = write(BAD)
    told = call("check", path)
    assert (told.exit_code, told.stdout) == (1, "")
    assert complaints(path, told.stderr) == MISTAKES


def test_check_warns_of_probable_mistakes(write: Write) -> None:
    path = write(GOOD + '[check.idle]\ncommand = ["/bin/true"]\n')
    told = call("check", "--elsewhere", path)
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.startswith(f"warning: {path}:9: check.idle: ")
    assert told.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="what root finds here")
def test_check_prints_what_would_keep_run_from_starting(write: Write) -> None:
    path = write(GOOD.replace("{directory}/run", "/dev/null/run"))
    told = call("check", path)
    assert told.exit_code == 1
    assert "error: agent.state_directory: /dev/null/run cannot be written (/dev/null is no directory); " in told.stderr
    assert call("check", "--elsewhere", path).exit_code == 0


def test_check_prints_a_configuration_that_loads_back(write: Write, tmp_path: Path) -> None:
    path = write(GOOD)
    told = call("check", "--print", "--elsewhere", path)
    assert (told.exit_code, told.stderr) == (0, "")
    again = tmp_path / "again.toml"
    again.write_text(told.stdout)
    assert load(again) == load(path)
    assert call("check", "--print", "--elsewhere", again).stdout == told.stdout


def test_check_prints_characters_that_the_terminal_lacks(write: Write) -> None:
    path = write(GOOD + 'notify_fifo = "/run/été"\n')
    asked = [sys.executable, "-m", "exavrrp", "check", "--print", "--elsewhere", str(path)]
    told = subprocess.run(asked, env={"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True)
    assert 'notify_fifo = "/run/été"' in told.stdout.decode()


def test_check_prints_nothing_of_a_bad_file(write: Write) -> None:
    told = call("check", "--print", write(BAD))
    assert (told.exit_code, told.stdout) == (1, "")


def test_check_elsewhere_does_not_look_at_this_host(write: Write) -> None:
    text = GOOD.replace('sources = ["2001:db8:ff::11"]\n', "") + 'checks = ["web"]\n'
    path = write(text + '[check.web]\ncommand = ["/nowhere/check"]\n')
    here = call("check", path)
    assert here.exit_code == 1
    assert "/nowhere/check" in here.stderr
    assert call("check", "--elsewhere", path).exit_code == 0


@pytest.mark.parametrize(("name", "said"), [("missing.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path, name: str, said: str) -> None:
    told = call("check", tmp_path / name)
    assert (told.exit_code, told.stdout) == (1, "")
    assert said in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.skipif(Path(CONFIGURATION).exists(), reason=f"this host has a {CONFIGURATION}")
@pytest.mark.parametrize("command", ["run", "check"])
def test_without_a_file_it_is_the_one_in_etc(command: str) -> None:
    told = call(command)
    assert told.exit_code == 1
    assert told.stderr.startswith(f"error: {CONFIGURATION}: ")


# run

WATCHED = """
import json, sys
begun = []
def hook(event, arguments):
    if event.startswith(("socket.", "os.mkdir", "os.fork", "os.posix_spawn", "subprocess.", "fcntl.flock", "signal.")):
        begun.append(event)
from exavrrp.cli import main
sys.addaudithook(hook)
try:
    main()
finally:
    sys.stderr.write(json.dumps(begun))
"""
"""The command, and after everything that it said what it began: sockets, directories, processes, locks."""


@pytest.mark.parametrize(("text", "begins"), [(BAD, False), (GOOD, True)], ids=["bad", "good"])
def test_run_begins_nothing_with_a_bad_file(write: Write, tmp_path: Path, text: str, begins: bool) -> None:
    path = write(text)
    command = [sys.executable, "-c", WATCHED, "run", "--config", str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    *lines, begun = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert bool(json.loads(begun)) is begins, "the control: with a good file there is something to be seen"
    assert not (tmp_path / "run").exists()
    if not begins:
        assert complaints(path, "\n".join(lines)) == MISTAKES


def test_run_without_exabgp_prints_that_exabgp_has_to_start_it(write: Write, tmp_path: Path) -> None:
    done = process("run", "--config", write(GOOD))
    assert (done.returncode, done.stdout) == (1, "")
    assert "agent-start-failed" in done.stderr
    assert "stdin is not a pipe to ExaBGP" in done.stderr
    assert not (tmp_path / "run").exists()


def test_run_logs_in_the_form_of_the_file_or_of_the_option(write: Write) -> None:
    text = process("run", "--config", write(GOOD)).stderr
    chosen = process("run", "--config", write(GOOD), "--log-format", "json").stderr
    written = process("run", "--config", write(GOOD.replace("[agent]", '[agent]\nlog_format = "json"'))).stderr
    overruled = process(
        "run", "--config", write(GOOD.replace("[agent]", '[agent]\nlog_format = "json"')), "--log-format", "text"
    ).stderr
    assert text.split(" ", 1)[1] == overruled.split(" ", 1)[1]
    assert text.split()[1:3] == ["error:", "agent-start-failed"]
    for told in (chosen, written):
        record = json.loads(told)
        assert (record["level"], record["event"]) == ("error", "agent-start-failed")


def test_run_logs_its_warnings_in_that_form_too(write: Write) -> None:
    path = write(GOOD + '[check.idle]\ncommand = ["/bin/true"]\n')
    told = process("run", "--config", path, "--log-format", "json").stderr.splitlines()
    warning, end = map(json.loads, told)
    assert (warning["level"], warning["event"]) == ("warning", "configuration-warning")
    assert warning["detail"].startswith(f"{path}:9: check.idle: ")
    assert end["event"] == "agent-start-failed"


def test_run_names_the_remedy_for_a_state_directory_that_cannot_be_made(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write(GOOD.replace("{directory}/run", "{directory}/file/run"))
    command = [sys.executable, "-m", "exavrrp", "run", "--config", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as agent:
        _, told = agent.communicate(timeout=30)
    assert agent.returncode == 1
    assert "Not a directory" in told
    assert "agent.state_directory" in told
    assert told.count("\n") == 1
