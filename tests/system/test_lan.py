"""Adverts on one interface: multicast and unicast on a LAN, between two agents and against a real keepalived.

The hosts of the test bed share a bridge besides their uplinks. Elections take place there, BGP runs over the uplinks.
So the routes to the other host have nothing to do with it, and the bridge sees every advert.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.system import running
from tests.system.conftest import cable
from tests.system.running import MED, VRID, Fabric, Host, Sniffer, wait_until
from tests.system.test_keepalived import BETTER, DISAGREEMENTS, INTERVAL, WORSE, Keepalived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need

pytestmark = pytest.mark.system

LAN = "eth2"
OWN = {(4, "a"): "10.9.0.11", (4, "b"): "10.9.0.12", (6, "a"): "fe80::11", (6, "b"): "fe80::12"}
"""The addresses on the LAN that adverts come from; on IPv6 that is the only link-local one."""
LENGTH = {4: 24, 6: 64}
GROUP = {4: "224.0.0.18", 6: "ff02::12"}

CONFIGURATION = """
global_defs {{
  vrrp_version {version}
}}
vrrp_instance web {{
  state BACKUP
  interface {interface}
  virtual_router_id {vrid}
  version {version}
  priority {priority}
  advert_int {interval}
  {more}
  virtual_ipaddress {{
    {address}/{bits} dev lo
  }}
}}
"""


def port(host: Host) -> str:
    """The end of a host's cable at the bridge."""
    return f"lan-{host.name}"


class Lan:
    """The test bed, and the bridge."""

    def __init__(self, fabric: Fabric, bridge: Namespace, transport: str) -> None:
        self.fabric, self.transport, self.family = fabric, transport, fabric.family
        self.a, self.b = fabric.a, fabric.b
        self.bridge = bridge
        self.agree = True
        """whether no advert of the other node is to be rejected"""
        bridge.ip("link add br0 type bridge\nlink set br0 up")
        for host in (self.a, self.b):
            self.plug(host)
        self.sniffer = Sniffer(bridge)

    def plug(self, host: Host) -> None:
        """Connects a host to the bridge."""
        cable(host.namespace, LAN, self.bridge, port(host))
        self.bridge.ip(f"link set {port(host)} master br0")
        # As a card has it: the other host would send to the address of before for as long as its cache lasts.
        host.namespace.ip(f"link set {LAN} addrgenmode none\nlink set {LAN} address 02:00:00:00:09:0{host.name}")
        for family in (4, 6):
            own = f"{OWN[family, host.name]}/{LENGTH[family]}"
            host.namespace.ip(f"addr replace {own} dev {LAN}{' nodad' if family == 6 else ''}")

    def own(self, host: Host) -> str:
        return OWN[self.family, host.name]

    def other(self, host: Host) -> Host:
        return self.b if host is self.a else self.a

    def configure(self, host: Host, priority: int, *more: str, interval: float = INTERVAL) -> None:
        peers = [f'peers = ["{self.own(self.other(host))}"]'] if self.transport == "unicast" else []
        host.configure(
            f'transport = "{self.transport}"',
            f'interface = "{LAN}"',
            f'source = "{self.own(host)}"',
            *peers,
            *more,
            priority=priority,
            interval=interval,
        )

    def settled(self, active: Host) -> None:
        """Waits until ``active`` alone has the address, and for four intervals in which it alone advertises."""
        other = self.other(active)
        wait_until(lambda: active.bound() and not other.bound(), lambda: f"only {active.name}: {self.fabric.told()}")
        since = time.time()
        times = [one.at for one in self.sniffer.wait(4, self.own(active), via=port(active), since=since)]
        heard = [one for one in self.sniffer.copies(self.own(other), since=since) if one.at <= times[-1]]
        assert not heard, f"two are Active: {self.fabric.told()}"


fabric = running.of_each_family


@pytest.fixture(params=["multicast", "unicast"])
def lan(request: pytest.FixtureRequest, fabric: Fabric, namespace: Callable[[], Namespace]) -> Iterator[Lan]:
    built = Lan(fabric, namespace(), request.param)
    yield built
    built.sniffer.close()


@pytest.fixture
def keepalived(lan: Lan, need: Need, tmp_path: Path) -> Iterator[Callable[[int], Keepalived]]:
    """keepalived on host b, in its simplest configuration for the LAN."""
    program = need("keepalived")

    def made(priority: int, version: int = 3, interval: float = INTERVAL, more: str = "") -> Keepalived:
        peer = Keepalived(program, lan.fabric, tmp_path, priority)
        unicast = f"unicast_src_ip {lan.own(lan.b)}\n  unicast_peer {{\n    {lan.own(lan.a)}\n  }}\n  unicast_ttl 255"
        (tmp_path / "keepalived.conf").write_text(
            CONFIGURATION.format(
                interface=LAN,
                vrid=VRID,
                version=version,
                priority=priority,
                interval=interval,
                more=more + (unicast if lan.transport == "unicast" else ""),
                address=lan.fabric.vip,
                bits=running.BITS[lan.family],
            )
        )
        return peer

    yield made
    if lan.agree:
        assert not DISAGREEMENTS & set(lan.a.log.order()), lan.fabric.told()


def test_we_preempt_keepalived_and_hand_back_by_priority_zero(
    lan: Lan, keepalived: Callable[[int], Keepalived]
) -> None:
    agent, peer = lan.a, keepalived(WORSE)
    lan.configure(agent, 150)
    peer.start()
    peer.wait("Entering MASTER STATE", 0)
    lan.settled(lan.b)

    mark = peer.mark()
    agent.start()
    agent.log.wait("route-announced", state="active")
    assert agent.log.moves() == [("initialize", "backup", "startup"), ("backup", "active", "preempted")]
    peer.wait("Entering BACKUP STATE", mark)
    lan.settled(agent)
    destination = GROUP[lan.family] if lan.transport == "multicast" else lan.own(lan.b)
    copies = lan.sniffer.copies(lan.own(agent), via=port(agent))
    assert {(one.destination, one.hop_limit) for one in copies} == {(destination, 255)}
    assert not lan.fabric.sniffer.copies(), "no copy follows a route"

    mark, since = peer.mark(), time.time()
    agent.exabgp.terminate()
    peer.wait("Backup received priority 0 advertisement", mark)
    peer.wait("Entering MASTER STATE", mark)
    lan.sniffer.wait(1, lan.own(agent), via=port(agent), since=since, priority=0)
    agent.exabgp.wait(running.LIMIT)
    lan.settled(lan.b)


def test_keepalived_preempts_us_and_hands_back_by_priority_zero_and_by_its_death(
    lan: Lan, keepalived: Callable[[int], Keepalived]
) -> None:
    agent, peer = lan.a, keepalived(BETTER)
    lan.configure(agent, 150)
    agent.start()
    agent.log.wait("route-announced", state="active")
    lan.settled(agent)

    preempts_and_hands_back(lan, peer)
    assert agent.bound()


def preempts_and_hands_back(lan: Lan, peer: Keepalived) -> None:
    """A better keepalived preempts our agent, and ends: by priority 0, and by its death."""
    agent = lan.a
    for number, why in ((signal.SIGTERM, "peer-resigned"), (signal.SIGKILL, "active-down-timeout")):
        end, mark = agent.log.mark(), peer.mark()
        peer.start()
        peer.wait("Entering MASTER STATE", mark)
        agent.log.wait("address-unbound", end)
        assert agent.log.moves(end) == [("active", "backup", "superseded")]
        lan.settled(lan.b)
        end = agent.log.mark()
        peer.end(number)
        agent.log.wait("route-announced", end, state="active")
        assert agent.log.moves(end) == [("backup", "active", why)]
        wait_until(partial(announced_alone, lan), lan.fabric.told)


def announced_alone(lan: Lan) -> bool:
    return lan.fabric.bird.via(lan.fabric.vip) == {"a": {MED}}


@pytest.mark.parametrize("fabric", [4], indirect=True, ids=["ipv4"])
@pytest.mark.parametrize("password", ["", "s3cret"], ids=["type0", "type1"])
def test_version_2_with_keepalived(lan: Lan, keepalived: Callable[..., Keepalived], password: str) -> None:
    """As it speaks on IPv4 unless it is told otherwise: each takes over from the other, and gives back."""
    agent = lan.a
    auth = f"authentication {{\n    auth_type PASS\n    auth_pass {password}\n  }}\n  " if password else ""
    more = ["version = 2", *([f'plain_password = "{password}"'] if password else [])]
    peer = keepalived(BETTER, version=2, interval=1, more=auth)
    lan.configure(agent, 150, *more, interval=1.0)
    agent.start()
    agent.log.wait("route-announced", state="active")
    lan.settled(agent)

    preempts_and_hands_back(lan, peer)
    lan.fabric.b.namespace.ip(f"addr del {lan.fabric.vip}/32 dev lo")  # the killed one has left it

    # The other direction: it serves, we preempt it, and it takes over when we resign.
    agent.exabgp.terminate()
    agent.exabgp.wait(running.LIMIT)
    worse = keepalived(WORSE, version=2, interval=1, more=auth)
    worse.start()
    worse.wait("Entering MASTER STATE", 0)
    lan.settled(lan.b)
    mark, end = worse.mark(), agent.log.mark()
    agent.start()
    agent.log.wait("route-announced", end, state="active")
    worse.wait("Entering BACKUP STATE", mark)
    lan.settled(agent)
    mark = worse.mark()
    agent.exabgp.terminate()
    worse.wait("Backup received priority 0 advertisement", mark)
    worse.wait("Entering MASTER STATE", mark)


@pytest.mark.parametrize("fabric", [4], indirect=True, ids=["ipv4"])
def test_two_agents_of_version_2_take_over_and_give_back(lan: Lan) -> None:
    for host, priority in ((lan.b, WORSE), (lan.a, BETTER)):
        lan.configure(host, priority, "version = 2", interval=1.0)
        host.start()
        host.becomes("active")
    lan.settled(lan.a)
    mark = lan.b.log.mark()
    lan.a.exabgp.terminate()
    lan.b.becomes("active", mark)
    lan.a.exabgp.wait(running.LIMIT)
    lan.settled(lan.b)
    assert lan.b.log.moves(mark) == [("backup", "active", "peer-resigned")]


@pytest.mark.parametrize("fabric", [4], indirect=True, ids=["ipv4"])
@pytest.mark.parametrize("lan", ["multicast"], indirect=True)
def test_nodes_of_version_2_with_other_intervals_or_passwords_are_counted(
    lan: Lan, keepalived: Callable[..., Keepalived]
) -> None:
    agent, peer, lan.agree = lan.a, keepalived(BETTER, version=2, interval=2), False
    lan.configure(agent, 150, "version = 2", interval=1.0)
    peer.start()
    peer.wait("Entering MASTER STATE", 0)
    agent.start()
    agent.becomes("active")
    wait_until(lambda: agent.document()["rejected"].get("interval"), lan.fabric.told)
    assert "2 s, not 1 s as here" in agent.log.wait("packet-rejected", reason="interval")["detail"]


def test_two_agents_elect_one_and_an_interface_may_be_created_anew(lan: Lan) -> None:
    for host, priority in ((lan.a, BETTER), (lan.b, WORSE)):
        lan.configure(host, priority)
        host.start()
        host.log.wait("transition")
    lan.settled(lan.a)
    [view] = lan.b.document()["routers"]
    assert (view["active"], view["priority"]) == (lan.own(lan.a), WORSE)

    # The Backup's interface goes and comes back with another index: it hears the Active again.
    lan.b.namespace.ip(f"link del {LAN}")
    assert f"add it to {LAN} again" in lan.b.becomes("initialize")["detail"]
    mark = lan.b.log.mark()
    lan.plug(lan.b)
    lan.b.becomes("backup", mark)
    lan.settled(lan.a)

    # So does the Active's.
    lan.a.namespace.ip(f"link del {LAN}")
    mark = lan.b.log.mark()
    lan.b.becomes("active", mark)
    lan.plug(lan.a)
    lan.settled(lan.a)


@pytest.mark.parametrize("fabric", [4], indirect=True, ids=["ipv4"])
def test_a_backup_whose_interface_is_set_down_is_in_fault_until_it_is_up(lan: Lan) -> None:
    """An IPv4 address stays on it, and the BGP session of the uplink is up."""
    for host, priority in ((lan.a, BETTER), (lan.b, WORSE)):
        lan.configure(host, priority)
        host.start()
        host.log.wait("transition")
    lan.settled(lan.a)
    mark = lan.b.log.mark()
    lan.b.namespace.ip(f"link set {LAN} down")
    assert "no interface that may carry its adverts is up (eth2)" in lan.b.becomes("initialize", mark)["detail"]
    lan.settled(lan.a)
    lan.b.namespace.ip(f"link set {LAN} up")
    lan.b.becomes("backup", mark)
    lan.settled(lan.a)
    assert lan.b.log.moves(mark) == [("backup", "initialize", "fault"), ("initialize", "backup", "startup")]


def test_tshark_understands_our_adverts_without_a_warning(lan: Lan, need: Need, tmp_path: Path) -> None:
    program = need("tshark")
    lan.configure(lan.a, BETTER)
    lan.a.start()
    lan.settled(lan.a)
    told = lan.bridge.run(
        *(program, "-i", "br0", "-f", "ip proto 112 or ip6 proto 112", "-c", "3", "-a", "duration:30", "-q"),
        *("-z", "expert,warn,vrrp", "-o", "vrrp.v3_checksum_as_in_v2:FALSE"),
    )
    assert "Warns" not in told, told
    assert "Errors" not in told, told
