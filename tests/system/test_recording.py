"""Recordings of real agents: a replay has the same transitions as their logs."""

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import disks, running
from tests.system.conftest import Namespace, Need
from tests.system.running import AGENT, Alone, Fabric, Host, Line, at, ended

pytestmark = pytest.mark.system


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def record(host: Host, path: Path | None = None) -> Path:
    file = path or host.directory / "recording"
    host.options = ("--record", str(file))
    return file


def replay(path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*AGENT, "replay", str(path), *options], capture_output=True, text=True, timeout=running.LIMIT, check=False
    )


def replayed(path: Path) -> list[str]:
    """The transitions, in the words of the log."""
    done = replay(path, "--transitions")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [line.partition(" ")[2] for line in done.stdout.splitlines() if " → " in line]


def logged(host: Host) -> list[str]:
    return [
        f"{one['router']}: {one['before']} → {one['after']} ({one['reason']}"
        f"{': ' + one['detail'] if one['detail'] else ''})"
        for one in host.log.all("transition")
    ]


@running.each_line
def test_what_is_replayed_are_the_transitions_of_the_log(fabric: Fabric, line: Line) -> None:
    a, b = fabric.a, fabric.b
    files = {host.name: record(host) for host in (a, b)}
    fabric.start(line)

    mark, killed = a.log.mark(), a.agent
    os.kill(killed, signal.SIGKILL)  # ExaBGP starts another one, which records into the same file
    ended(killed)
    a.log.wait("transition", mark, after="active")
    fabric.settled("a")

    mark = b.log.mark()
    a.exabgp.terminate()
    b.becomes("active", mark)
    fabric.settled("b")
    assert a.exabgp.wait(running.LIMIT) == 0
    b.exabgp.terminate()
    assert b.exabgp.wait(running.LIMIT) == 0

    for host in (a, b):
        assert replayed(files[host.name]) == logged(host), host.log.tell()
    heads = [line for line in replay(files["a"]).stdout.splitlines() if " began as process " in line]
    assert [int(line.rpartition(" ")[2]) for line in heads] == [one["process"] for one in a.log.all("agent-started")]
    assert len(heads) == 2
    assert stat.S_IMODE(files["a"].stat().st_mode) == 0o640, "whatever ExaBGP's umask"


def test_a_disk_that_holds_its_writer_delays_no_advert(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    directory = a.directory / "disk"
    directory.mkdir()
    with disks.freezer(directory, need) as disk:
        file = record(a, directory / "recording")
        fabric.start()
        mark = b.log.mark()
        disk.freeze()
        size = file.stat().st_size
        frozen = at(a.log.all("transition")[-1])
        seen = len(fabric.sniffer.copies(a.source, via="a0", since=frozen))
        fabric.sniffer.wait(seen + 6, a.source, via="a0", since=frozen)
        assert file.stat().st_size == size, "frozen still"
        assert b.log.moves(mark) == [], "and nobody missed an advert"
        disk.thaw()
        a.exabgp.terminate()
        assert a.exabgp.wait(running.LIMIT) == 0
        assert replayed(file) == logged(a)


@pytest.mark.parametrize(
    ("file", "reason"),
    [("missing/recording", "No such file or directory"), (".", "Is a directory"), ("/dev/null", "it is no ordinary")],
)
def test_a_file_that_cannot_be_written_is_an_error_at_the_start(fabric: Fabric, file: str, reason: str) -> None:
    host = fabric.a
    record(host, host.directory / file)
    alone = Alone(host)
    detail = host.log.wait("agent-start-failed")["detail"]
    assert detail.startswith(f"cannot record to {host.directory / file}: {reason}")
    assert detail.endswith("name a file in a directory that this user may write to, or leave out --record")
    assert alone.process.wait(running.LIMIT) == 1
