"""One agent at a time: the lock by itself, a second agent, and ExaBGP's full reload, in which two overlap."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exavrrp.system.lock import Lock
from tests.system import disks, running
from tests.system.conftest import Namespace, Need
from tests.system.running import Alone, Fabric, Line, wait_until

EXABGP_UMASK = 0o137


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Lock]:
    lock = Lock(tmp_path / "deep" / "run")
    before = os.umask(EXABGP_UMASK)
    try:
        lock.open()
    finally:
        os.umask(before)
    yield lock
    lock.release()


def test_the_directory_can_be_entered_by_others_whatever_the_umask(lock: Lock) -> None:
    for directory in (lock.path.parent, lock.path.parent.parent):
        assert directory.stat().st_mode & 0o777 == 0o755


def test_the_second_agent_learns_who_holds_the_lock(lock: Lock) -> None:
    assert lock.take()
    second = Lock(lock.path.parent)
    second.open()
    assert not second.take()
    assert second.holder() == str(os.getpid())
    lock.release()
    assert second.take()
    second.release()


def test_a_holder_knows_that_somebody_waits(lock: Lock) -> None:
    assert lock.take()
    assert not lock.is_requested()
    second, third = Lock(lock.path.parent), Lock(lock.path.parent)
    for one in (second, third):
        one.open()
        one.request()
        one.request()
    assert lock.is_requested()
    lock.release()
    assert second.take()
    third.request()
    assert second.is_requested()
    third.release()
    assert not second.is_requested(), "whoever is gone does not wait"
    second.release()


def test_a_lock_that_nobody_has_held_has_no_holder(lock: Lock) -> None:
    assert lock.holder() == "unknown"


def test_a_longer_number_leaves_nothing_behind(lock: Lock) -> None:
    lock.path.write_text("123456789012\n")
    assert lock.take()
    assert lock.path.read_text() == f"{os.getpid()}\n"


def test_it_ends_with_its_holder_however_that_ends(lock: Lock) -> None:
    script = (
        "import pathlib, sys\nfrom exavrrp.system.lock import Lock\nlock = Lock(pathlib.Path(sys.argv[1]))\n"
        "lock.open()\nassert lock.take()\nprint('taken', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(lock.path.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        assert not lock.take()
        assert lock.holder() == str(holder.pid)
        holder.kill()
        holder.wait(running.LIMIT)
    assert lock.take()


def test_a_child_of_the_holder_does_not_hold_it(lock: Lock) -> None:
    assert lock.take()
    child = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    try:
        lock.release()
        second = Lock(lock.path.parent)
        second.open()
        wait_until(second.take, "the lock")  # the child's exec closes it a moment after it has returned here
        second.release()
    finally:
        child.kill()
        child.wait()


@pytest.mark.system
def test_a_full_disk_keeps_nobody_from_the_lock(tmp_path: Path, need: Need, need_root: None) -> None:
    """ExaBGP restarts an agent that ends then. It must not fail, or ExaBGP would give up after a few restarts."""
    with disks.small(tmp_path, need):
        first, second = Lock(tmp_path), Lock(tmp_path)
        first.open()
        second.open()
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "filling").write_bytes(bytes(1 << 20))
        assert first.take()
        assert not second.take()
        assert second.holder() == "unknown"
        assert not second.is_held_by_sibling()
        first.release()
        assert second.take()
        second.release()


def test_releasing_twice_is_nothing(lock: Lock) -> None:
    lock.release()
    lock.release()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Lock(tmp_path / "file" / "run").open()


def test_a_lock_that_cannot_be_opened_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "lock.next").mkdir()
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with pytest.raises(OSError, match="Is a directory"):
        Lock(tmp_path).open()
    assert len(list(descriptors.iterdir())) == before


# Two agents


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


@pytest.mark.system
def test_a_second_agent_refuses_and_changes_nothing(fabric: Fabric) -> None:
    a = fabric.a
    fabric.start()
    first, mark, since = a.agent, a.log.mark(), time.time()
    second = Alone(a)
    second.greet()
    refused = a.log.wait("agent-start-failed", mark)
    assert refused["detail"].startswith(f"process {first} holds {a.directory}/run/lock;")
    assert second.process.wait(running.LIMIT) == 1
    # Who stands for ExaBGP here answers nothing any more while the agent waits for the lock.
    assert [event for event in a.log.order(mark) if event != "exabgp-stalled"] == [
        "exabgp-connected",
        "agent-start-failed",
    ]
    assert fabric.sniffer.longest_gap(a.source, "a0", since, time.time()) < 4 * running.INTERVAL, "the first goes on"
    assert a.agents() == [first]
    fabric.settled()


@pytest.mark.system
def test_a_second_process_of_the_same_exabgp_waits_and_steps_in(fabric: Fabric) -> None:
    """If it ended, ExaBGP would end after the fifth restart, and so would all sessions."""
    a = fabric.a
    a.stanzas = ("exavrrp", "again")
    fabric.start()
    first = a.agent
    told = a.log.wait("agent-duplicate")
    assert told["detail"].startswith(f"process {first} holds {a.directory}/run/lock, and the same ExaBGP runs both")
    mark = a.log.mark()
    os.kill(first, signal.SIGKILL)
    a.log.wait("agent-started", mark)
    assert a.agent != first
    a.becomes("active", mark)
    a.log.wait("agent-duplicate", mark)  # who was started anew waits now
    fabric.settled()
    assert not a.log.all("agent-start-failed")


@pytest.mark.system
@running.each_line
def test_a_full_reload_of_exabgp_ends_with_one_agent(fabric: Fabric, line: Line) -> None:
    a = fabric.a
    fabric.start(line)
    first, mark = a.agent, a.log.mark()
    a.exabgp.send_signal(signal.SIGUSR2)
    a.log.wait("agent-started", mark)
    second = a.agent
    assert second != first
    order = a.log.order(mark)
    # "counters" is the last that an agent says while it holds the lock.
    assert order.index("counters") < order.index("agent-started"), "the second waits until the first has let go"
    wait_until(lambda: a.agents() == [second], lambda: f"one agent, not {a.agents()}")
    a.becomes("active", mark)
    fabric.settled()
    assert a.agents() == [second]
