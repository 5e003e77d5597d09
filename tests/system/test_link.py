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
import sys
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import pytest

from exavrrp.ports import AddressError
from exavrrp.system import addresses as addresses_module
from exavrrp.system.addresses import Addresses
from exavrrp.system.heralds import REFRESH, TIMES, Heralds, Link
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

    def begin_both(self) -> None:
        """Host a alone has the address, and the neighbor knows that."""
        for host, priority in ((self.a, BETTER), (self.b, WORSE)):
            self.begin(host, priority)
            host.log.wait("transition")
        self.a.log.wait("address-bound")
        self.ask()
        self.alone(self.a)

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


fabric = running.of_each_family


@pytest.fixture
def street(fabric: Fabric, namespace: Callable[[], Namespace], tmp_path: Path) -> Iterator[Street]:
    built = Street(fabric, namespace(), namespace(), tmp_path)
    yield built
    built.cache.close()
    built.sniffer.close()


def test_neighbors_follow_a_takeover_and_a_planned_move(street: Street) -> None:
    a, b = street.a, street.b
    street.begin_both()

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


def test_neighbors_follow_when_a_second_active_gives_way(street: Street) -> None:
    """The network falls apart, and the neighbor is on the side of the worse node."""
    a, b = street.a, street.b
    street.begin_both()
    mark, other = a.log.mark(), b.log.mark()
    street.bridge.ip(f"link set {port(a)} nomaster")
    b.becomes("active", other)
    wait_until(lambda: mac(b) in street.known(), street.known)
    # Until only the refresh would tell of a: it has been Active for longer than b.
    street.sniffer.wait(ceil(TIMES[-1] / INTERVAL) + 1, street.own(b), via=port(b), since=time.time())
    other, healed = b.log.mark(), time.time()
    street.bridge.ip(f"link set {port(a)} master br0")
    gone = at(b.becomes("backup", other))
    street.alone(a)
    # Who hears the other's advert first tells the neighbor at once: perhaps before that one has heard anything.
    learned = street.cache.wait(street.vip, there=True, since=healed, having=mac(a))
    assert learned - gone < REFRESH / 2, "not by the refresh"
    assert a.log.all("transition", mark) == [], "it was Active all the time"


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


CLEANED = """
[agent]
state_directory = "{directory}"
persistent_directory = "{directory}"

[virtual_router.lan]
vrid = 8
addresses = ["192.0.2.53/24"]
bind = "eth0"
announce = false
transport = "multicast"
interface = "eth0"
source = "10.0.0.1"
"""


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
    bound.own(on_link())
    bound.herald({FOUR, SIX})
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


def test_a_link_may_be_called_by_another_name_of_it(pair: Pair, run: Run) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            pair.a.run("ip", "link", "property", "add", "dev", "eth0", "altname", "uplink0")
            for _ in range(2):
                bound.set(on_link("uplink0"))
                assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {SIX}/64"}
            bound.set([replace(one, label="eth0:x" if one.address == FOUR else None) for one in on_link("uplink0")])
            assert "eth0:x" in pair.a.run("ip", "address", "show", "dev", "eth0")
            bound.set(on_link("uplink0"))
            assert "eth0:x" not in pair.a.run("ip", "address", "show", "dev", "eth0")

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


def test_what_an_agent_has_left_on_a_link_is_found_by_a_kernel_that_does_not_say_who_has_put_it_there(
    pair: Pair, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses_module, "IFA_PROTO", 63)  # which no kernel knows

    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
        pair.a.run("ip", "address", "add", f"{FOUR}/24", "dev", "eth1")
        with binding(pair.a, []) as bound:
            assert bound.present() == {FOUR, SIX}
            assert bound.elsewhere() == {FOUR: "eth1"}
            bound.own(on_link(four=25))
            assert bound.present() == {SIX}, "of another length it is somebody else's"
            bound.own(on_link())
            bound.set(())
            assert places(pair.a) == {f"eth1 {FOUR}/24"}

    with pair.a:
        run(story())


def test_what_was_ours_on_a_link_is_adopted_where_it_is(pair: Pair, run: Run) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
        with binding(pair.a, []) as bound:
            bound.own(())
            found = bound.adopt([FOUR, SIX])
            assert found == frozenset(on_link())
            bound.set(found)
            assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {SIX}/64"}
            bound.set(())
            assert places(pair.a) == set()

    with pair.a:
        run(story())


def test_what_somebody_else_has_put_on_the_link_is_not_taken_over(pair: Pair, run: Run) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            for foreign in (f"{FOUR}/24", f"{SIX}/80"):
                pair.a.run("ip", "address", "add", foreign, "dev", "eth0")
            with pytest.raises(AddressError, match="somebody else has put it there, as /24: remove it from eth0") as no:
                bound.set(on_link())
            assert set(no.value.failures.keys()) == {FOUR, SIX}
            bound.set(())
            assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {SIX}/80"}
            pair.a.run("ip", "address", "del", f"{SIX}/80", "dev", "eth0")
            bound.set(on_link(four=25))  # another entry
            assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {FOUR}/25", f"eth0 {SIX}/64"}
            bound.set(())
            assert places(pair.a) == {f"eth0 {FOUR}/24"}
            pair.a.run("ip", "address", "add", f"{FOUR}/25", "dev", "eth0")
            bound.set(())
            assert places(pair.a) == {f"eth0 {FOUR}/24", f"eth0 {FOUR}/25"}, "where ours was before"

    with pair.a:
        run(story())


def shown(host: Namespace) -> dict[str, tuple[str, str, bool]]:
    """Scope, label and whether it is deprecated of each virtual address."""
    told = json.loads(host.run("ip", "-json", "address", "show"))
    entries = {one["local"]: one for link in told for one in link["addr_info"]}
    return {
        address: (one["scope"], one.get("label", ""), one.get("deprecated", False))
        for address in (str(FOUR), str(SIX))
        if (one := entries.get(address)) is not None
    }


def test_label_scope_and_lifetime_are_as_wanted_changed_and_put_right(pair: Pair, run: Run, until: Until) -> None:
    def wanted(label: str | None, scope: str | None, *, preferred: bool) -> list[VirtualAddress]:
        return [
            VirtualAddress(FOUR, interface="eth0", length=24, label=label, scope=scope),
            VirtualAddress(SIX, preferred, interface="eth0", length=64),
        ]

    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(forms := wanted("eth0:web", "link", preferred=True))
            first = {str(FOUR): ("link", "eth0:web", False), str(SIX): ("global", "", False)}
            assert shown(pair.a) == first
            with binding(pair.a, []) as successor:
                successor.own(())
                assert successor.adopt([FOUR, SIX]) == frozenset(forms)
            gone = f"addr del {FOUR}/24 dev eth0"
            for commands in (gone, f"{gone}\naddr add {FOUR}/24 dev eth0 label eth0:other scope host"):
                pair.a.ip(commands)
                await until(lambda: shown(pair.a) == first)
            bound.set(wanted(None, "host", preferred=False))
            assert shown(pair.a) == {str(FOUR): ("host", "eth0", False), str(SIX): ("global", "", True)}
            bound.set(wanted(None, None, preferred=False))
            assert shown(pair.a)[str(FOUR)] == ("global", "eth0", False)
            bound.set([VirtualAddress(FOUR, label="lo:web")])
            assert shown(pair.a) == {str(FOUR): ("host", "lo:web", False)}
            bound.set([VirtualAddress(FOUR)])
            assert shown(pair.a) == {str(FOUR): ("host", "lo:web", False)}, "on lo any label will do"

    with pair.a:
        run(story())


OWN, SECOND = "192.0.2.200", IPv4Address("192.0.2.54")


def without_promotion(host: Namespace) -> None:
    for where in ("all", "eth0"):
        host.sysctl(f"net.ipv4.conf.{where}.promote_secondaries", 0)


@pytest.mark.parametrize("able", [True, False], ids=["able", "read-only"])
def test_no_address_of_the_host_goes_along(
    pair: Pair, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, able: bool
) -> None:
    """One that is younger than ours, in its prefix; ``able``: whether the kernel can be told to promote it."""

    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
            pair.a.run("ip", "address", "add", f"{OWN}/24", "dev", "eth0")
            without_promotion(pair.a)
            if not able:
                monkeypatch.setattr(addresses_module, "SYSCTL", tmp_path)
            reason = r"would remove 192\.0\.2\.200: remove it by hand"
            with nullcontext() if able else pytest.raises(AddressError, match=reason):
                bound.set(())
            assert places(pair.a) == (set() if able else {f"eth0 {FOUR}/24"})
            assert f"{OWN}/24" in pair.a.run("ip", "address", "show", "eth0")

    with pair.a:
        run(story())


def test_an_address_of_another_router_that_goes_along_is_put_back_at_once(
    pair: Pair, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(addresses_module, "SYSCTL", tmp_path)

    async def story() -> None:
        with binding(pair.a, []) as bound:
            second = VirtualAddress(SECOND, interface="eth0", length=24)
            bound.own([*on_link(), second])
            without_promotion(pair.a)
            bound.set([*on_link(), second])
            bound.set([second])
            assert f"{SECOND}/24" in pair.a.run("ip", "address", "show", "eth0")
            assert places(pair.a) == set()
            bound.set(on_link())
            assert f"{SECOND}/24" not in pair.a.run("ip", "address", "show", "eth0")

    with pair.a:
        run(story())


def test_cleanup_says_where_an_address_was(pair: Pair, run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
        pair.a.run("ip", "address", "add", f"{FOUR}/32", "dev", "lo")

    with pair.a:
        run(story())
    path = tmp_path / "exavrrp.toml"
    path.write_text(CLEANED.format(directory=tmp_path))
    said = pair.a.run(sys.executable, "-m", "exavrrp", "cleanup", "--config", str(path))
    assert said == f"removed {FOUR} from eth0\nremoved {FOUR} from lo\n"
    assert places(pair.a) == {f"eth0 {SIX}/64"}, "another configuration's"


class Ear:
    """What the other end of eth0 hears of the addresses of host a."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        with pair.b:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("eth0", 3))
        self.socket.settimeout(0)
        self.heard: list[bytes] = []

    def count(self, address: IPv4Address | IPv6Address) -> int:
        """Frames that told of this one, with the MAC that the interface has now."""
        try:
            while True:
                self.heard.append(self.socket.recv(2048))
        except BlockingIOError:
            pass
        except OSError:  # the link was down in between
            return self.count(address)
        told = json.loads(self.pair.a.run("ip", "-json", "link", "show", "eth0"))
        return self.heard.count(frame(bytes.fromhex(told[0]["address"].replace(":", "")), address))


@pytest.fixture
def ear(pair: Pair) -> Iterator[Ear]:
    opened = Ear(pair)
    yield opened
    opened.socket.close()


def test_neighbors_are_not_told_of_what_could_not_be_bound(pair: Pair, run: Run, until: Until, ear: Ear) -> None:
    async def story() -> None:
        pair.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
        with binding(pair.a, []) as bound:
            with pytest.raises(AddressError):
                bound.set(on_link())
            pair.a.run("ip", "address", "add", "192.0.2.201/32", "dev", "eth0")  # it looks again
            await until(lambda: ear.count(FOUR) >= len(TIMES) - 2)
            assert ear.count(SIX) == 0

    with pair.a:
        run(story())


def test_neighbors_are_told_of_what_is_served_alone(pair: Pair, run: Run, until: Until, ear: Ear) -> None:
    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.herald({FOUR})
            bound.set(on_link())
            await until(lambda: ear.count(FOUR) >= len(TIMES) - 2)
            assert ear.count(SIX) == 0, "it is there, and nobody is to come here for it"
            bound.herald({SIX})
            before = ear.count(FOUR)
            await until(lambda: ear.count(SIX) >= len(TIMES) - 2)
            assert ear.count(FOUR) == before

    with pair.a:
        run(story())


CHANGES = {
    "carrier": ("link set eth0 down", "link set eth0 up"),
    "mac": ("link set eth0 address 02:00:00:00:0a:01", "link set eth0 address 02:00:00:00:0a:02"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_neighbors_are_told_again_when_the_link_has_changed(
    run: Run, until: Until, elapse: Callable[[float], None], ear: Ear, change: str
) -> None:
    """The carrier returns, of a switch that has forgotten us, or the interface has another MAC."""
    pair = ear.pair
    host = pair.b if change == "carrier" else pair.a

    async def story() -> None:
        with binding(pair.a, []) as bound:
            bound.set(on_link())
            for number, gap in enumerate([0.0, *(later - earlier for earlier, later in pairwise(TIMES))], 1):
                elapse(gap)
                await until(lambda number=number: ear.count(FOUR) == ear.count(SIX) == number)  # type: ignore[misc]
            for command in CHANGES[change]:
                host.ip(command)
            ear.count(FOUR)
            ear.heard.clear()
            await until(lambda: ear.count(FOUR) >= len(TIMES) - 2 and ear.count(SIX) >= len(TIMES) - 2)

    with pair.a:
        run(story())


# How often it is said


@pytest.mark.parametrize("address", [IPv4Address("192.0.2.53"), IPv6Address("2001:db8:53::1")], ids=["ipv4", "ipv6"])
def test_it_is_repeated_and_refreshed_until_the_address_is_gone(
    run: Run, until: Until, elapse: Callable[[float], None], ear: Ear, address: IPv4Address | IPv6Address
) -> None:
    count = ear.count

    async def story() -> None:
        told, link = Heralds(), Link(socket.if_nametoindex("eth0"))
        told.open(asyncio.get_running_loop())
        told.set({address: link})
        await until(lambda: count(address) == 1)
        gaps = [later - earlier for earlier, later in pairwise(TIMES)]
        for number, gap in enumerate([*gaps, REFRESH, REFRESH], 2):
            told.set({address: link})  # says nothing by itself
            elapse(gap)
            await until(lambda number=number: count(address) == number)  # type: ignore[misc]
        told.set({address + 1: link})
        elapse(REFRESH)
        await until(lambda: count(address + 1) == 2)
        assert count(address) == len(gaps) + 3
        told.close()

    with ear.pair.a:
        run(story(), RUN_LIMIT + 10 * REFRESH)


def test_it_begins_anew_when_somebody_else_has_claimed_the_address(
    pair: Pair, run: Run, until: Until, elapse: Callable[[float], None], ear: Ear
) -> None:
    async def story() -> None:
        told, said = Heralds(), 0

        async def after(seconds: float) -> None:
            nonlocal said
            elapse(seconds)
            said += 1
            await until(lambda: ear.count(FOUR) == said)

        told.open(asyncio.get_running_loop())
        told.begin_anew({FOUR})  # nobody is told of it
        told.set({FOUR: Link(socket.if_nametoindex("eth0"))})
        await after(0)
        gaps = [later - earlier for earlier, later in pairwise(TIMES)]
        for gap in gaps[:2]:
            for _ in range(10):
                told.begin_anew({FOUR})  # it is only remembered: they would be too many
            await after(gap)
        await after(gaps[2])  # it is the first one again
        for gap in gaps:
            await after(gap)
        told.begin_anew({FOUR + 1})
        await after(REFRESH)
        told.begin_anew({FOUR})  # at once
        for gap in [0, *gaps, REFRESH]:
            await after(gap)
        told.close()

    with pair.a:
        run(story(), RUN_LIMIT + 10 * REFRESH)


class Counted(IPv4Address):
    """An address that counts how often one of its kind was looked up or compared."""

    looks = 0

    def __hash__(self) -> int:
        Counted.looks += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return super().__eq__(other)


def test_one_advert_of_a_second_active_costs_what_its_own_router_costs(pair: Pair, run: Run) -> None:
    async def story() -> None:
        many = [Counted(int(FOUR) + number) for number in range(100)]
        told = Heralds()
        told.open(asyncio.get_running_loop())
        told.set(dict.fromkeys(many, Link(socket.if_nametoindex("eth0"))))
        Counted.looks = 0
        told.begin_anew((many[50],))
        assert Counted.looks < 10
        told.close()

    with pair.a:
        run(story())


def test_who_has_no_such_link_says_nothing(pair: Pair) -> None:
    """lo has no neighbors, and an interface that is gone has none either."""
    with pair.a, closing(Heralds()) as heralds:
        heralds.send(IPv4Address("192.0.2.53"), socket.if_nametoindex("lo"))
        with pytest.raises(OSError, match="No such device"):
            heralds.send(IPv4Address("192.0.2.53"), 999)
