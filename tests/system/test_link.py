"""Addresses on a link (``bind = "eth2"``): neighbors learn at once who has them, from us and beside keepalived.

The hosts share a bridge with a third one, the neighbor, whose cache is looked at.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from contextlib import closing, contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exavrrp.ports import AddressError
from exavrrp.system.addresses import Addresses
from exavrrp.system.heralds import REFRESH, TIMES, Heralds
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp.link import frame
from tests.system import running
from tests.system.conftest import RUN_LIMIT, cable
from tests.system.running import BITS, VRID, Host, Monitor, at, wait_until
from tests.system.test_keepalived import BETTER, INTERVAL, WORSE, Keepalived
from tests.system.test_lan import LAN, Lan, port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need, Pair, Run, Until
    from tests.system.running import Fabric

pytestmark = pytest.mark.system

KEEPALIVED = """
vrrp_instance web {{
  state BACKUP
  interface {interface}
  virtual_router_id {vrid}
  version 3
  priority {priority}
  advert_int {interval}
  virtual_ipaddress {{
    {address}/{bits}
  }}
}}
"""
"""As in its manual: the address is on the interface of the adverts."""


def mac(host: Host) -> str:
    return f"02:00:00:00:09:0{host.name}"


class Street(Lan):
    """The LAN, with a neighbor who knows the virtual address."""

    def __init__(self, fabric: Fabric, bridge: Namespace, neighbor: Namespace, directory: Path) -> None:
        super().__init__(fabric, bridge, "multicast")
        self.neighbor = neighbor
        cable(neighbor, "eth0", bridge, "lan-c")
        bridge.ip("link set lan-c master br0")
        self.vip, own = fabric.vip, {4: "10.9.0.13/24", 6: "fd00:9::13/64 nodad"}[self.family]
        neighbor.ip(f"addr add {own} dev eth0\nroute add {self.vip}/{BITS[self.family]} dev eth0")
        self.cache = Monitor(neighbor, "neigh", directory / "neighbors")

    def begin(self, host: Host, priority: int) -> None:
        self.configure(host, priority, f'bind = "{LAN}"')
        host.start()

    def has(self, host: Host) -> bool:
        """Whether the host has the address on the LAN, and not on lo."""
        told = json.loads(host.namespace.run("ip", "-json", "address", "show"))
        places = [link["ifname"] for link in told for one in link["addr_info"] if one["local"] == self.vip]
        assert places in ([], [LAN])
        return bool(places)

    def alone(self, host: Host) -> None:
        """Waits until the host alone has the address, and the neighbor has learned it."""
        other = self.other(host)
        wait_until(lambda: self.has(host) and not self.has(other), lambda: f"only {host.name}: {self.fabric.told()}")
        wait_until(lambda: mac(host) in self.known(), lambda: f"{self.known()!r}: {self.fabric.told()}")

    def known(self) -> str:
        """What the neighbor's cache says of the address."""
        return self.neighbor.run("ip", "neigh", "show", self.vip)

    def ask(self) -> None:
        """Has the neighbor ask for the address, and waits until it is answered."""
        wait_until(self._reached, lambda: f"an answer: {self.known()}")

    def _reached(self) -> bool:
        with (
            self.neighbor,
            socket.socket(socket.AF_INET if self.family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as s,
        ):
            s.sendto(b"", (self.vip, 9))
        return "02:00:00:00:09" in self.known()


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        yield built


@pytest.fixture
def street(fabric: Fabric, namespace: Callable[[], Namespace], tmp_path: Path) -> Iterator[Street]:
    built = Street(fabric, namespace(), namespace(), tmp_path)
    yield built
    built.cache.close()
    built.sniffer.close()


def test_neighbors_follow_a_takeover_and_a_planned_move(street: Street) -> None:
    a, b = street.a, street.b
    for host, priority in ((a, BETTER), (b, WORSE)):
        street.begin(host, priority)
        host.log.wait("transition")
    a.log.wait("address-bound")
    street.ask()
    street.alone(a)

    # The Active falls silent: nobody asks, and the neighbor knows b all the same.
    mark = b.log.mark()
    street.bridge.ip(f"link set {port(a)} down")
    taken = at(b.becomes("active", mark))
    learned = street.cache.wait(street.vip, there=True, since=taken, having=mac(b))
    logging.getLogger(__name__).info(
        "the neighbor's cache has changed %.1f ms after the takeover", (learned - taken) * 1e3
    )

    # It comes back, and takes over again when b has unbound the address.
    mark, back = a.log.mark(), b.log.mark()
    street.bridge.ip(f"link set {port(a)} up")
    b.becomes("backup", back)
    b.log.wait("address-unbound", back)
    street.alone(a)
    assert a.log.all("transition", mark) == [] or a.log.moves(mark)[-1][1] == "active"

    # A killed agent leaves the address; the next one serves on, or gives it up.
    end = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("agent-started", end)
    street.alone(a)
    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    street.alone(b)


@pytest.fixture
def keepalived(street: Street, need: Need, tmp_path: Path) -> Callable[[int], Keepalived]:
    """keepalived on host b, in its simplest configuration."""

    def made(priority: int) -> Keepalived:
        peer = Keepalived(need("keepalived"), street.fabric, tmp_path, priority)
        text = KEEPALIVED.format(
            interface=LAN,
            vrid=VRID,
            priority=priority,
            interval=INTERVAL,
            address=street.vip,
            bits={4: 24, 6: 64}[street.family],
        )
        (tmp_path / "keepalived.conf").write_text(text)
        return peer

    return made


def test_neighbors_follow_from_keepalived_to_us_and_back(
    street: Street, keepalived: Callable[[int], Keepalived]
) -> None:
    agent, peer = street.a, keepalived(WORSE)
    peer.start()
    peer.wait("Entering MASTER STATE", 0)
    street.ask()
    street.alone(street.b)
    mark = peer.mark()
    street.begin(agent, 150)
    peer.wait("Entering BACKUP STATE", mark)
    street.alone(agent)
    agent.exabgp.terminate()
    agent.exabgp.wait(running.LIMIT)
    street.alone(street.b)


def test_neighbors_follow_from_us_to_keepalived_and_back(
    street: Street, keepalived: Callable[[int], Keepalived]
) -> None:
    agent, peer = street.a, keepalived(BETTER)
    street.begin(agent, 150)
    agent.log.wait("address-bound")
    street.ask()
    street.alone(agent)
    mark = peer.mark()
    peer.start()
    peer.wait("Entering MASTER STATE", mark)
    street.alone(street.b)
    peer.end(signal.SIGTERM)
    street.alone(agent)


# Where they are


FOUR, SIX = IPv4Address("192.0.2.53"), IPv6Address("2001:db8:53::1")


def on_link(interface: str = "eth0", four: int | None = 24, six: int | None = 64) -> list[VirtualAddress]:
    return [
        VirtualAddress(FOUR, interface=interface, length=four),
        VirtualAddress(SIX, interface=interface, length=six),
    ]


@contextmanager
def binding(host: Namespace, failed: list[str]) -> Iterator[Addresses]:
    """The addresses of a host, within its namespace and a loop."""
    bound = Addresses(lambda: None, lambda _: None, lambda address, error: failed.append(f"{address}: {error}"))
    bound.open(asyncio.get_running_loop())
    bound.own(frozenset({FOUR, SIX}))
    try:
        yield bound
    finally:
        bound.close()


def places(host: Namespace) -> set[str]:
    """Interface and prefix of each virtual address."""
    told = json.loads(host.run("ip", "-json", "address", "show"))
    return {
        f"{link['ifname']} {one['local']}/{one['prefixlen']}"
        for link in told
        for one in link["addr_info"]
        if one["local"] in (str(FOUR), str(SIX))
    }


def test_addresses_move_to_a_link_and_back_and_are_repaired_there(pair: Pair, run: Run, until: Until) -> None:
    async def story() -> None:
        failed: list[str] = []
        with binding(pair.a, failed) as bound:
            bound.set([VirtualAddress(FOUR), VirtualAddress(SIX)])
            assert places(pair.a) == {f"lo {FOUR}/32", f"lo {SIX}/128"}
            bound.set(on_link())
            assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {SIX}/64"}
            assert bound.present() == {FOUR, SIX}
            assert bound.elsewhere() == {}
            bound.set(on_link(four=25, six=None))
            assert places(pair.a) == {f"eth0 {FOUR}/25", f"eth0 {SIX}/128"}
            pair.a.run("ip", "address", "del", f"{FOUR}/25", "dev", "eth0")
            await until(lambda: f"eth0 {FOUR}/25" in places(pair.a))
            bound.set([VirtualAddress(FOUR)])
            assert places(pair.a) == {f"lo {FOUR}/32"}
            bound.set(())
            assert places(pair.a) == set()
            with pytest.raises(AddressError, match="this host has no eth9"):
                bound.set(on_link("eth9"))
            assert failed == []

    with pair.a:
        run(story())


def test_what_an_agent_has_left_on_a_link_is_found(pair: Pair, run: Run) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
        pair.a.run("ip", "address", "add", f"{FOUR}/24", "dev", "eth1")  # somebody else's
        with binding(pair.a, []) as bound:
            assert bound.present() == {FOUR, SIX}
            assert bound.elsewhere() == {FOUR: "eth1"}
            bound.set(())
            assert places(pair.a) == {f"eth1 {FOUR}/24"}

    with pair.a:
        run(story())


def test_no_address_of_the_host_goes_along(pair: Pair, run: Run) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
            pair.a.run("ip", "address", "add", "192.0.2.200/24", "dev", "eth0")  # a secondary one
            pair.a.sysctl("net.ipv4.conf.eth0.promote_secondaries", 0)
            pair.a.sysctl("net.ipv4.conf.all.promote_secondaries", 0)
            with pytest.raises(AddressError, match=r"would remove 192\.0\.2\.200: remove it by hand"):
                bound.set(())
            pair.a.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
            bound.set(())
            assert places(pair.a) == set()
            assert "192.0.2.200/24" in pair.a.run("ip", "address", "show", "eth0")

    with pair.a:
        run(story())


def test_neighbors_are_not_told_of_what_could_not_be_bound(pair: Pair, run: Run, until: Until) -> None:
    with pair.b:
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind(("eth0", 3))
    ear.settimeout(0)
    own = bytes.fromhex(json.loads(pair.a.run("ip", "-json", "link", "show", "eth0"))[0]["address"].replace(":", ""))
    heard: list[bytes] = []

    def listen() -> None:
        with suppress(BlockingIOError):
            while True:
                heard.append(ear.recv(2048))

    async def story() -> None:
        pair.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
        with binding(pair.a, []) as bound:
            with pytest.raises(AddressError):
                bound.set(on_link())
            pair.a.run("ip", "address", "add", "192.0.2.201/32", "dev", "eth0")  # it looks again
            told = frame(own, FOUR)

            def often() -> bool:
                listen()
                return heard.count(told) >= len(TIMES) - 2

            await until(often)
            assert frame(own, SIX) not in heard

    with pair.a, closing(ear):
        run(story())


# How often it is said


@pytest.mark.parametrize("address", [IPv4Address("192.0.2.53"), IPv6Address("2001:db8:53::1")], ids=["ipv4", "ipv6"])
def test_it_is_repeated_and_refreshed_until_the_address_is_gone(
    pair: Pair, run: Run, until: Until, elapse: Callable[[float], None], address: IPv4Address | IPv6Address
) -> None:
    with pair.b:
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind(("eth0", 3))
    ear.settimeout(0)
    own = bytes.fromhex(json.loads(pair.a.run("ip", "-json", "link", "show", "eth0"))[0]["address"].replace(":", ""))
    heard: list[bytes] = []

    def count(one: IPv4Address | IPv6Address) -> int:
        with suppress(BlockingIOError):
            while True:
                heard.append(ear.recv(2048))
        return heard.count(frame(own, one))

    async def story() -> None:
        told, index = Heralds(), socket.if_nametoindex("eth0")
        told.open(asyncio.get_running_loop())
        told.set({address: index})
        await until(lambda: count(address) == 1)
        gaps = [later - earlier for earlier, later in pairwise(TIMES)]
        for number, gap in enumerate([*gaps, REFRESH, REFRESH], 2):
            told.set({address: index})  # says nothing by itself
            elapse(gap)
            await until(lambda number=number: count(address) == number)  # type: ignore[misc]
        told.set({address + 1: index})
        elapse(REFRESH)
        await until(lambda: count(address + 1) == 2)
        assert count(address) == len(gaps) + 3
        told.close()

    with pair.a, closing(ear):
        run(story(), RUN_LIMIT + 10 * REFRESH)


def test_who_has_no_such_link_says_nothing(pair: Pair) -> None:
    """lo has no neighbors, and an interface that is gone has none either."""
    with pair.a, closing(Heralds()) as heralds:
        heralds.send(IPv4Address("192.0.2.53"), socket.if_nametoindex("lo"))
        with pytest.raises(OSError, match="No such device"):
            heralds.send(IPv4Address("192.0.2.53"), 999)
