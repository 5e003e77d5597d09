"""The sockets of the beacons between two real network namespaces: paths, strangers, floods, ports that are taken."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from exavrrp.ports import Link, Sent
from exavrrp.system import beacons as module
from exavrrp.system.beacons import BATCH, Beacons
from exavrrp.system.senders import ANYWHERE, Senders
from tests.ports import Log
from tests.system import running
from tests.system.conftest import LIMIT
from tests.system.running import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exavrrp.vrrp.packet import Address
    from tests.system.conftest import Namespace, Pair, Run, Until
    from tests.system.running import Fabric

pytestmark = pytest.mark.system

both_families = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

PORT = 20112


@dataclass
class Host:
    """The beacons of one host, and what has come in."""

    namespace: Namespace
    source: Address
    log: Log = field(default_factory=Log)
    came: list[tuple[Address, str, bytes]] = field(default_factory=list)
    due: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.beacons = Beacons(self.log)
        self.beacons.open(asyncio.get_running_loop(), lambda: self.due, self.heard)

    def heard(self, source: Address, sender: Address, index: int, datagram: bytes, realtime: float | None) -> None:
        assert source == self.source
        assert realtime is not None
        with self.namespace:
            self.came.append((sender, socket.if_indextoname(index), datagram))

    def set(self, *peers: Address, port: int = PORT) -> None:
        with self.namespace:
            self.beacons.set({self.source: peers} if peers else {}, port)

    def send(self, peer: Address, text: bytes, *names: str) -> None:
        with self.namespace:
            links = [Link(socket.if_nametoindex(name), name) for name in names]
            for link in links or [ANYWHERE]:
                self.beacons.send(self.source, peer, text, link)


@asynccontextmanager
async def hosts(pair: Pair, version: int) -> AsyncIterator[tuple[Host, Host]]:
    here, there = pair.of(version)
    both = Host(pair.a, here), Host(pair.b, there)
    try:
        yield both
    finally:
        for host in both:
            host.beacons.close()


@both_families
def test_a_beacon_arrives_over_each_path(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with hosts(pair, version) as (a, b):
            a.set(b.source)
            b.set(a.source)
            names = ("eth0", "eth1")
            for name in names:
                a.send(b.source, name.encode(), name)
            await until(lambda: {(a.source, name, name.encode()) for name in names} == set(b.came))
            a.send(b.source, b"any")
            await until(lambda: len(b.came) == 3)
            assert b.came[2][2] == b"any"

    run(scenario())


@both_families
def test_nobody_at_the_port_is_no_error(pair: Pair, run: Run, until: Until, version: int) -> None:
    """A keepalived: its host answers with port unreachable, which a sender must not take for its own failure."""

    async def scenario() -> None:
        async with hosts(pair, version) as (a, b):
            with pair.a:
                senders = Senders(a.source, socket.SOCK_DGRAM, 0, PORT)
                link = Link(socket.if_nametoindex("eth0"), "eth0")
                for _ in range(3):
                    before = refusals(pair.a, version)
                    assert senders.send(b"nobody", b.source, [link]) == [Sent(link.name, None)]
                    await until(partial(refused_since, pair.a, version, before))
            b.set(a.source)
            with pair.a:
                assert senders.send(b"known", b.source, [link]) == [Sent(link.name, None)]
            await until(lambda: b.came == [(a.source, "eth0", b"known")])
            senders.close()

    run(scenario())


def refused_since(host: Namespace, version: int, before: int) -> bool:
    return refusals(host, version) > before


def refusals(host: Namespace, version: int) -> int:
    """ICMP messages of an unreachable destination that a host has received."""
    if version == 6:
        lines = host.run("cat", "/proc/self/net/snmp6").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Icmp6InDestUnreachs"))
    names, values = (
        line.split() for line in host.run("cat", "/proc/self/net/snmp").splitlines() if line[:5] == "Icmp:"
    )
    return int(values[names.index("InDestUnreachs")])


@both_families
def test_only_peers_are_received(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with hosts(pair, version) as (a, b):
            stranger = a.source + 10
            pair.a.ip(f"addr add {stranger}/{stranger.max_prefixlen} dev lo")
            b.set(a.source)
            for source, text in ((stranger, b"stranger"), (a.source, b"peer")):
                with pair.a:
                    sender = Senders(source, socket.SOCK_DGRAM, 0, PORT)
                    assert sender.send(text, b.source, [Link(socket.if_nametoindex("eth0"), "eth0")]) == [
                        Sent("eth0", None)
                    ]
                    sender.close()
            await until(lambda: b.came == [(a.source, "eth0", b"peer")])
            b.set(stranger)
            a.set(b.source)
            a.send(b.source, b"no peer any more", "eth0")
            with pair.a:
                sender = Senders(stranger, socket.SOCK_DGRAM, 0, PORT)
                assert sender.send(b"peer", b.source, [Link(socket.if_nametoindex("eth0"), "eth0")]) == [
                    Sent("eth0", None)
                ]
                sender.close()
            await until(lambda: b.came[1:] == [(stranger, "eth0", b"peer")])

    run(scenario())


def test_a_flood_of_a_peer_is_read_in_small_parts(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with hosts(pair, 6) as (a, b):
            a.set(b.source)
            b.set(a.source)
            a.send(b.source, b"known neighbor", "eth0")
            await until(lambda: b.came)
            b.came.clear()
            for _ in range(20 * BATCH):
                a.send(b.source, bytes(1200), "eth0")
            before = 0
            async with asyncio.timeout(LIMIT):
                while len(b.came) < 3 * BATCH:
                    await asyncio.sleep(0)
                    assert len(b.came) - before <= BATCH
                    before = len(b.came)

    run(scenario())


def test_a_port_that_is_taken_is_logged_and_tried_again(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REOPEN", 0.01)

    async def scenario() -> None:
        async with hosts(pair, 4) as (a, b):
            taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taken.bind((str(b.source), PORT))
            b.set(a.source)
            await until(lambda: b.log.told("beacon-unavailable"))
            await asyncio.sleep(0.05)
            b.set(a.source)
            taken.close()
            a.set(b.source)
            async with asyncio.timeout(LIMIT):
                while not b.came:
                    a.send(b.source, b"free", "eth0")
                    await asyncio.sleep(0.01)
            assert len(b.log.told("beacon-unavailable")) == 1

    with pair.b:
        run(scenario())


def test_a_bug_ends_the_beacons_and_nothing_else(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def scenario() -> None:
        async with hosts(pair, 6) as (a, b):
            sent: list[int] = []

            def broken() -> None:
                sent.append(1)
                raise ZeroDivisionError

            a.due = [lambda: sent.append(0), broken, lambda: sent.append(2)]
            a.set(b.source)
            await until(lambda: a.log.told("beacon-failed"))
            await asyncio.sleep(0.05)
            assert sent == [0, 1]
            a.set(b.source)
            a.send(b.source, b"none")
            assert [line["detail"][:30] for line in a.log.told("beacon-failed")] == ["there are no beacons any more,"]

    run(scenario())


def test_beacons_are_sent_while_there_are_peers(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def scenario() -> None:
        async with hosts(pair, 6) as (a, b):
            sent: list[int] = []
            a.due = [lambda: sent.append(0), lambda: sent.append(1)]
            a.set(b.source)
            await until(lambda: len(sent) >= 6)
            a.set()
            assert sent[:6] == [0, 1] * 3
            count = len(sent)
            await asyncio.sleep(0.05)
            assert len(sent) == count
            a.set(b.source, port=PORT + 1)
            await until(lambda: len(sent) > count)

    run(scenario())


def test_the_next_ones_wait_until_all_are_sent(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.0)

    async def scenario() -> None:
        async with hosts(pair, 6) as (a, b):
            sent: list[int] = []
            a.due = [partial(sent.append, number) for number in range(20)]
            a.set(b.source)
            await until(lambda: len(sent) >= 30)
            a.set()
            a.set(b.source)  # a reload, in the middle of the second
            await until(lambda: len(sent) >= 100)
            begun = sent.index(0, 30)
            assert sent[:20] == sent[begun : begun + 20] == sent[begun + 20 : begun + 40] == list(range(20))

    run(scenario())


def test_a_socket_of_which_nothing_leaves_any_more_is_closed(
    pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def scenario() -> None:
        async with hosts(pair, 6) as (a, b):
            before = sockets()
            a.set(b.source)
            a.due = [partial(a.send, b.source, b"one", name) for name in ("eth0", "eth1")]
            await until(lambda: sockets() == before + 3)
            pair.a.ip("link del eth1")
            a.due = [partial(a.send, b.source, b"one", "eth0")]
            await until(lambda: sockets() == before + 2)
            a.due = []
            await until(lambda: sockets() == before + 1)
            a.set()
            assert sockets() == before

    run(scenario())


def sockets() -> int:
    """How many this process has."""
    return sum(one.startswith("socket:") for one in running.open_files(os.getpid()))


# Real agents


fabric = running.of_one_family


def told_of_the_other(host: running.Host) -> Any:
    """What the agent of this host has heard of its peer by beacons."""
    return host.document()["routers"][0]["peers"][0]["beacon"]


def test_agents_know_whether_the_other_one_is_ready(fabric: Fabric) -> None:
    for host in (fabric.a, fabric.b):
        host.configure(agent=["beacon = true"])
    fabric.start()
    for host in (fabric.a, fabric.b):
        wait_until(partial(hears_and_is_heard, host), fabric.told)
    fabric.b.ask("drain")
    wait_until(lambda: told_of_the_other(fabric.a)["obstacle"] == "drained", fabric.told)
    mark = fabric.a.log.mark()
    refused = fabric.a.call("drain", "--wait")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"error: web: no peer is ready to take over: {fabric.b.source} drained\n" in refused.stderr
    assert "no-ready-standby  web: no peer is ready to take over" in fabric.a.call("doctor").stdout
    assert (fabric.a.log.moves(mark), fabric.a.bound()) == ([], True)
    fabric.b.ask("undrain")
    wait_until(lambda: told_of_the_other(fabric.a)["ready"], fabric.told)
    assert fabric.a.ask("drain", "--wait") == "web: drained until undrain\n"
    fabric.b.becomes("active")


def hears_and_is_heard(host: running.Host) -> bool:
    """Whether a beacon has come in and arrived over each path."""
    beacon = told_of_the_other(host)
    ways = [] if beacon is None else beacon["ways"]
    return bool(ways) and all(way["echoed"] and way["age"] is not None for way in ways)
