"""`doctor` on real nodes: nothing on a good one, and each fault that is planted in its network."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Fabric, Host, wait_until

pytestmark = pytest.mark.system

DROP = (
    "add table inet t; add chain inet t c { type filter hook input priority 0; };"
    " add rule inet t c ip protocol vrrp drop"
)


HOLD = 9
"""Seconds of hold time of a good node."""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fabric]:
    monkeypatch.setattr(running, "BGP_HOLD", HOLD)
    with running.fabric(namespace, need, 4) as built:
        yield built


BUSY = "loop-late"
"""What may be true of the machine that runs this."""


def codes(host: Host, *words: str) -> list[str]:
    told = host.call("doctor", "--json", *words)
    found = [one["code"] for one in json.loads(told.stdout)]
    assert told.returncode == bool(found), told.stderr
    return [code for code in found if code != BUSY]


def test_a_good_node_and_faults_that_are_planted(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    fabric.settled("a")
    wait_until(lambda: codes(a) == [], lambda: f"{a.call('doctor').stdout}")
    told = a.call("doctor")
    assert (told.returncode, told.stdout) == (0, "nothing is wrong\n") or BUSY in told.stdout
    wait_until(lambda: codes(b) == [], lambda: f"{b.call('doctor').stdout}")

    document = b.directory / "status.json"
    document.write_text(a.ask("status", "--json"))
    assert codes(b, "--peers", str(document)) == []
    other = json.loads(document.read_text())
    other["routers"][0]["addresses"] = ["192.0.2.99"]
    document.write_text(json.dumps(other))
    assert codes(b, "--peers", str(document)) == ["addresses-differ"]
    document.write_text("{}")
    told = b.call("doctor", "--peers", str(document))
    assert (told.returncode, told.stdout) == (1, "")

    a.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    assert codes(a) == ["rp-filter-strict"]
    a.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=0")
    a.namespace.run(need("nft"), DROP)
    assert codes(a) == ["firewall-drops-adverts"]
    a.namespace.run("nft", "flush", "ruleset")
    fabric.bird.ask("disable a1")
    wait_until(lambda: codes(a) == ["session-down"], lambda: f"{a.call('doctor').stdout}")
    told = a.call("doctor")
    assert "session-down  session " in told.stdout
    assert "   -> Look at the neighbor, the link and ExaBGP's log." in told.stdout


# Twenty faults, one after the other, each planted on a good node and taken away again


@contextmanager
def edited(path: Path, old: str, new: str, count: int = 1) -> Iterator[None]:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, count))
    try:
        yield
    finally:
        path.write_text(before)


@contextmanager
def done(host: Namespace, do: str, undo: str) -> Iterator[None]:
    host.ip(do, "-4")
    try:
        yield
    finally:
        host.ip(undo, "-4")


@contextmanager
def sysctl(host: Namespace, name: str, value: int, usual: int) -> Iterator[None]:
    host.sysctl(name, value)
    try:
        yield
    finally:
        host.sysctl(name, usual)


@contextmanager
def descriptors(host: Host, most: int) -> Iterator[None]:
    before = resource.prlimit(host.agent, resource.RLIMIT_NOFILE)
    resource.prlimit(host.agent, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(host.agent, resource.RLIMIT_NOFILE, before)


@contextmanager
def firewall(host: Namespace, nft: str) -> Iterator[None]:
    host.run(nft, DROP)
    try:
        yield
    finally:
        host.run(nft, "flush", "ruleset")


@contextmanager
def drained(host: Host) -> Iterator[None]:
    host.ask("drain", "--wait")
    try:
        yield
    finally:
        host.ask("undrain")


@contextmanager
def disabled(fabric: Fabric, session: str) -> Iterator[None]:
    fabric.bird.ask(f"disable {session}")
    try:
        yield
    finally:
        fabric.bird.ask(f"enable {session}")


Planted = tuple[str, AbstractContextManager[None]]


def faults(fabric: Fabric, nft: str) -> Iterator[Planted]:
    """Each with the code that has to be found, on the Backup."""
    b = fabric.b
    ours, exabgp = b.directory / "exavrrp.toml", b.directory / "exabgp.conf"
    away = f"route replace default via {running.uplink('b', 0, 4, router=True)} dev eth0"
    back = " ".join(f"nexthop via {running.uplink('b', n, 4, router=True)} dev eth{n}" for n in (0, 1))
    yield "exabgp-process-missing", edited(exabgp, "process exavrrp", "procession exavrrp")
    yield "exabgp-encoder", edited(exabgp, "encoder json", "encoder text")
    yield "neighbor-unlisted", edited(exabgp, "processes [ exavrrp ];", "")
    yield "exabgp-changes-untold", edited(exabgp, "neighbor-changes;", "")
    yield "hold-time-long", edited(exabgp, f"hold-time {HOLD};", "hold-time 90;")
    yield (
        "graceful-restart-on",
        edited(exabgp, f"hold-time {HOLD};", "hold-time 9; capability { graceful-restart 60; }"),
    )
    yield "exabgp-family-missing", edited(exabgp, "ipv4 unicast;", "ipv4 multicast;", 2)
    yield "descriptors-few", descriptors(b, 70)
    yield "realtime-denied", edited(ours, "[virtual_router.web]", 'scheduling = "realtime"\n[virtual_router.web]')
    yield "memory-lock-denied", edited(ours, "[virtual_router.web]", "lock_memory = true\n[virtual_router.web]")
    yield "configuration-invalid", edited(ours, "vrid = 7", "vrid = 700")
    yield "source-missing", edited(ours, f'sources = ["{b.source}"]', 'sources = ["192.0.2.99"]')
    yield "group-missing", edited(ours, "[virtual_router.web]", 'control_group = "nobody-s"\n[virtual_router.web]')
    yield "interface-missing", edited(ours, "[virtual_router.web]", 'interfaces = ["eth9"]\n[virtual_router.web]')
    yield "rp-filter-strict", sysctl(b.namespace, "net.ipv4.conf.eth1.rp_filter", 1, 0)
    yield "firewall-drops-adverts", firewall(b.namespace, nft)
    yield "router-remark", done(b.namespace, f"addr add {b.vip}/32 dev eth0", f"addr del {b.vip}/32 dev eth0")
    yield "single-path", done(b.namespace, away, f"route replace default {back}")
    yield "session-down", disabled(fabric, "b1")
    yield "router-drained", drained(b)


def says(host: Host, code: str) -> None:
    """Waits until this is found, among others that follow from it; empty: nothing."""

    def so() -> bool:
        found = codes(host)
        return code in found if code else not found

    wait_until(so, lambda: f"{code or 'nothing'}: {host.call('doctor').stdout}")


def test_twenty_faults_are_found_and_none_is_on_a_good_node(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    fabric.settled("a")
    nft, found = need("nft"), 0
    for code, planted in faults(fabric, nft):
        says(b, "")
        with planted:
            says(b, code)
            found += 1
    assert found == 20
    says(a, "")
    says(b, "")
