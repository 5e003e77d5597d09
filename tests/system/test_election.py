"""An election without addresses and routes of its own: which of two nodes has the primary database.

Real agents under real ExaBGP, whose notify program is what promotes and demotes the database: here it writes down which
role it is told. Nothing is on lo, BIRD learns no route, ExaBGP is told nothing of ours.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Fabric, Host, wait_until

pytestmark = pytest.mark.system

PROGRAM = """#!/bin/sh
echo "$3" >> {roles}
"""


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        for host in (built.a, built.b):
            configure(host, "bind = false", "announce = false")
        yield built


def configure(host: Host, *lines: str) -> None:
    """An election that a check decides, too: the database works as long as its file says so."""
    program, database = host.directory / "role", host.directory / "database"
    program.write_text(PROGRAM.format(roles=host.directory / "roles"))
    program.chmod(0o755)
    database.write_text("1")
    check = ["[check.database]", f'file = "{database}"', "interval = 0.1", "rise = 1", "fall = 1"]
    path = host.configure(
        *lines, "preempt = false", 'checks = ["database"]', f'notify = ["{program}"]', checks=["", *check]
    )
    path.write_text(re.sub(r"\[virtual_router\.web\.bgp\]\nmed = \d+\n", "", path.read_text()))


def roles(host: Host) -> list[str]:
    """What the database of a host was told, in order."""
    return running.read(host.directory / "roles").decode().split()


def becomes(host: Host, *told: str) -> None:
    wait_until(lambda: roles(host) == list(told), lambda: f"{told}, not {roles(host)}: {host.log.tell()}")


def untouched(fabric: Fabric) -> bool:
    """Whether no host has the address, and no router a route to it."""
    return not (fabric.a.bound() or fabric.b.bound() or fabric.bird.routes(fabric.vip))


@running.each_line
def test_checks_and_the_election_decide_which_database_is_primary(fabric: Fabric, line: running.Line) -> None:
    a, b = fabric.a, fabric.b
    a.start(line)
    becomes(a, "BACKUP", "MASTER")
    b.start(line)
    becomes(b, "BACKUP")
    assert a.ask("status", "--is-active", "web") == "active\n"
    assert "left to others (bind = false); announces nothing" in " ".join(a.ask("status", "web").split())

    # The database of the primary fails: the other one is promoted.
    (a.directory / "database").unlink()
    becomes(a, "BACKUP", "MASTER", "FAULT")
    becomes(b, "BACKUP", "MASTER")
    (a.directory / "database").write_text("1")
    becomes(a, "BACKUP", "MASTER", "FAULT", "BACKUP")

    # Maintenance: returns when the other one is heard.
    b.ask("drain", "--wait")
    becomes(b, "BACKUP", "MASTER", "BACKUP")
    becomes(a, "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER")
    b.ask("undrain")

    # The primary is gone, its database with it.
    os.kill(a.exabgp.pid, signal.SIGKILL)
    os.kill(a.agent, signal.SIGKILL)
    becomes(b, "BACKUP", "MASTER", "BACKUP", "MASTER")
    assert untouched(fabric)
    for host in (a, b):
        assert not {"address-bound", "route-announced", "leftovers-found"} & set(host.log.order()), host.log.tell()


def test_what_is_bound_alone_survives_a_crash_of_the_agent(fabric: Fabric) -> None:
    a = fabric.a
    configure(a, "announce = false")
    a.start()
    wait_until(a.bound, a.log.tell)
    noted = a.directory / "run" / "state.json"
    wait_until(lambda: b'"active"' in running.read(noted), "the note for a successor")
    addresses = running.Monitor(a.namespace, "address", a.directory / "addresses.txt")
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.becomes("active", mark)
    assert addresses.changes(fabric.vip) == []
    assert not fabric.bird.routes(fabric.vip)
    a.exabgp.terminate()
    addresses.wait(fabric.vip, there=False)


def test_what_another_program_binds_is_announced_and_left_alone(fabric: Fabric) -> None:
    a = fabric.a
    a.configure("bind = false")
    address = f"{fabric.vip}/{running.BITS[fabric.family]}"
    a.namespace.ip(f"addr add {address} dev lo")
    a.start()
    wait_until(lambda: fabric.bird.via(fabric.vip) == {"a": {running.MED}}, fabric.told)
    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    wait_until(lambda: not fabric.bird.routes(fabric.vip), fabric.told)
    assert a.bound()
    assert not {"address-bound", "address-elsewhere", "leftovers-found"} & set(a.log.order()), a.log.tell()
