"""The agent and FRR's vrrpd in one election by multicast on a bridge: each takes over from the other, and gives back.

Host a runs the agent under ExaBGP, host b runs vrrpd with its zebra. vrrpd knows multicast alone. The address of its
virtual router is on a macvlan device of its own, whose MAC address is that of the RFC (RFC 9568 §7.3); IPv6 adverts
leave by it, so their source is its link-local address. vrrpd holds the device down while it is no Active.
"""

from __future__ import annotations

import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lab.routers import FRR, ZEBRA_SOCKET, frr_command
from tests.system import running
from tests.system.running import VRID, wait_until
from tests.system.test_keepalived import BETTER, DISAGREEMENTS, INTERVAL, WORSE
from tests.system.test_lan import LAN, Lan, announced_alone, port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need

pytestmark = pytest.mark.system

DEVICE = "vrrp7"
LINK_LOCAL = "fe80::7:12"
"""Of the macvlan device."""
KEY = {4: "ip", 6: "ipv6"}
NODAD = {4: "", 6: " nodad"}
MAC = {4: "00:00:5e:00:01", 6: "00:00:5e:00:02"}


class Vrrpd:
    """vrrpd on host b."""

    def __init__(self, lan: Lan, directory: Path, priority: int, version: int, interval: float) -> None:
        self.lan, self._directory = lan, directory
        self.source = LINK_LOCAL if lan.family == 6 else lan.own(lan.b)
        self._configuration = "\n ".join(
            [
                f"interface {LAN}",
                f"vrrp {VRID} version {version}",
                f"vrrp {VRID} priority {priority}",
                f"vrrp {VRID} advertisement-interval {round(interval * 1000)}",
                f"vrrp {VRID} {KEY[lan.family]} {lan.fabric.vip}",
            ]
        )
        self._process: subprocess.Popen[str] | None = None
        host = lan.b.namespace
        commands = [
            f"link add {DEVICE} link {LAN} type macvlan mode bridge",
            f"link set {DEVICE} addrgenmode none",
            f"link set {DEVICE} address {MAC[lan.family]}:{VRID:02x}",
            f"addr add {lan.fabric.vip}/{running.BITS[lan.family]} dev {DEVICE}{NODAD[lan.family]}",
            *([f"addr add {LINK_LOCAL}/64 dev {DEVICE} nodad"] if lan.family == 6 else []),
            f"link set {DEVICE} up",
        ]
        host.ip("\n".join(commands))
        self._run("zebra", "")
        wait_until((directory / ZEBRA_SOCKET).exists, self.told)

    def _run(self, daemon: str, configuration: str) -> subprocess.Popen[str]:
        with (self._directory / f"{daemon}.log").open("a") as log:
            command = frr_command(daemon, configuration + "\n", self._directory)
            return self.lan.b.namespace.popen(command, stdout=log, stderr=log)

    def start(self) -> None:
        self._process = self._run("vrrpd", self._configuration)

    def end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(running.LIMIT)

    def is_up(self) -> bool:
        """Whether it has the address."""
        return "LOWER_UP" in self.lan.b.namespace.run("ip", "link", "show", DEVICE)

    def told(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in self._directory.glob("*.log"))

    def settled(self) -> None:
        """Waits until it alone has the address, and for four intervals in which it alone advertises."""
        lan = self.lan
        wait_until(lambda: self.is_up() and not lan.a.bound(), lambda: f"{self.told()}\n{lan.fabric.told()}")
        alone(lan, self.source, lan.own(lan.a), port(lan.b))

    def gives_way(self) -> None:
        """Waits until the agent alone is Active."""
        lan = self.lan
        wait_until(lambda: lan.a.bound() and not self.is_up(), lambda: f"{self.told()}\n{lan.fabric.told()}")
        alone(lan, lan.own(lan.a), self.source, port(lan.a))


def alone(lan: Lan, active: str, other: str, via: str) -> None:
    """Waits for four adverts of ``active``, between which there are none of ``other``."""
    since = time.time()
    times = [one.at for one in lan.sniffer.wait(4, active, via=via, since=since)]
    assert not [one for one in lan.sniffer.copies(other, since=since) if one.at <= times[-1]]


fabric = running.of_each_family


@pytest.fixture
def lan(fabric: running.Fabric, namespace: Callable[[], Namespace]) -> Iterator[Lan]:
    built = Lan(fabric, namespace(), "multicast")
    yield built
    built.sniffer.close()
    assert not DISAGREEMENTS & set(built.a.log.order()), fabric.told()


@pytest.fixture
def vrrpd(lan: Lan, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Vrrpd]:
    need(reason=f"no {FRR / 'vrrpd'}", unless=(FRR / "vrrpd").exists())
    with lan.bridge:
        probe = subprocess.run(["ip", "link", "add", "link", "br0", "type", "macvlan"], check=False)
    need(reason="no macvlan in this kernel", unless=probe.returncode == 0)
    directory = tmp_path_factory.mktemp("frr")
    return lambda priority, version=3, interval=INTERVAL: Vrrpd(lan, directory, priority, version, interval)


def test_vrrpd_is_first_and_we_preempt_it_and_hand_back(lan: Lan, vrrpd: Callable[..., Vrrpd]) -> None:
    lan.configure(lan.a, 150)
    preempted_and_takes_back(lan, vrrpd(WORSE))


def test_the_agent_is_first_and_vrrpd_preempts_it_and_hands_back(lan: Lan, vrrpd: Callable[..., Vrrpd]) -> None:
    lan.configure(lan.a, 150)
    preempts_and_hands_back(lan, vrrpd(BETTER))


@pytest.mark.parametrize("fabric", [4], indirect=True, ids=["ipv4"])
@pytest.mark.parametrize("first", ["vrrpd", "agent"])
def test_version_2_with_vrrpd(lan: Lan, vrrpd: Callable[..., Vrrpd], first: str) -> None:
    lan.configure(lan.a, 150, "version = 2", interval=1.0)
    if first == "vrrpd":
        preempted_and_takes_back(lan, vrrpd(WORSE, version=2, interval=1.0))
    else:
        preempts_and_hands_back(lan, vrrpd(BETTER, version=2, interval=1.0))


def preempted_and_takes_back(lan: Lan, peer: Vrrpd) -> None:
    """A worse vrrpd is Active; our agent preempts it, and resigns."""
    agent = lan.a
    peer.start()
    peer.settled()
    agent.start()
    agent.log.wait("route-announced", state="active")
    assert agent.log.moves() == [("initialize", "backup", "startup"), ("backup", "active", "preempted")]
    peer.gives_way()

    since = time.time()
    agent.exabgp.terminate()
    lan.sniffer.wait(1, lan.own(agent), via=port(agent), since=since, priority=0)
    agent.exabgp.wait(running.LIMIT)
    peer.settled()


def preempts_and_hands_back(lan: Lan, peer: Vrrpd) -> None:
    """Our agent is Active; a better vrrpd preempts it, and ends: by priority 0, and by its death."""
    agent = lan.a
    agent.start()
    agent.log.wait("route-announced", state="active")
    for number, why in ((signal.SIGTERM, "peer-resigned"), (signal.SIGKILL, "active-down-timeout")):
        mark = agent.log.mark()
        peer.start()
        agent.log.wait("address-unbound", mark)
        assert agent.log.moves(mark) == [("active", "backup", "superseded")]
        peer.settled()
        mark = agent.log.mark()
        peer.end(number)
        agent.log.wait("route-announced", mark, state="active")
        assert agent.log.moves(mark) == [("backup", "active", why)]
        wait_until(partial(announced_alone, lan), lan.fabric.told)
