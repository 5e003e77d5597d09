"""A VXLAN as ``exavrrp vxlan`` makes and checks it, and an election with keepalived in it, over both uplinks."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from exavrrp.cli import main
from exavrrp.system.vxlan import device
from tests.system import running
from tests.system.running import BITS, VRID, Fabric, Host, wait_until
from tests.system.test_keepalived import BETTER, DISAGREEMENTS, INTERVAL, WORSE, Keepalived
from tests.system.test_lan import CONFIGURATION, OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need, Pair

pytestmark = pytest.mark.system

NAME = "vxlan7"


def called(host: Namespace, configuration: Path, *words: str) -> tuple[int, str]:
    """The exit status of ``exavrrp vxlan`` on a host, and what it prints."""
    with host:
        done = CliRunner().invoke(main, ["vxlan", "--config", str(configuration), *words], catch_exceptions=False)
    return done.exit_code, done.output


def made(host: Namespace, configuration: Path) -> None:
    """Makes the VXLAN by the commands that are printed, and has it checked."""
    status, printed = called(host, configuration)
    assert status == 0, printed
    host.run("sh", "-ex", stdin=printed)
    assert called(host, configuration, "--check") == (0, "")


# On one host


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> int:
    """Of the packets outside."""
    number: int = request.param
    return number


@pytest.fixture
def configuration(pair: Pair, family: int, tmp_path: Path) -> Path:
    """Of host a, with two virtual routers in the VXLAN."""
    local, remote = pair.of(family)
    path = tmp_path / "exavrrp.toml"
    path.write_text(f"""
[agent]
sources = ["{local}"]
peers = ["{remote}"]
[virtual_router.six]
vrid = 6
addresses = ["2001:db8:53::1"]
transport = "multicast"
interface = "{NAME}"
source = "fe80::11"
[virtual_router.four]
vrid = 4
addresses = ["198.51.100.53"]
transport = "multicast"
interface = "{NAME}"
source = "10.9.0.11"
""")
    return path


def test_what_is_printed_is_what_is_checked(pair: Pair, configuration: Path, family: int) -> None:
    status, told = called(pair.a, configuration, "--check")
    assert (status, told) == (1, f"error: this host has no {NAME}; exavrrp vxlan prints what makes it\n")
    made(pair.a, configuration)
    local, remote = pair.of(family)
    with pair.a:
        found = device(NAME)
    assert found is not None
    assert (found.local, found.entries, found.mtu) == (local, frozenset({remote}), 1450 if family == 4 else 1430)
    assert (found.learning, found.lower, found.up) == (False, None, True)


@pytest.mark.parametrize(
    "spoilt",
    [
        f"ip link set {NAME} down",
        f"ip address del 10.9.0.11/24 dev {NAME}",
        f"ip address del fe80::11/64 dev {NAME}",
        f"ip link set {NAME} mtu 1500",
        f"ip link set {NAME} type vxlan learning",
        f"ip link set {NAME} type vxlan tos 0",
        f"bridge fdb append 00:00:00:00:00:00 dev {NAME} dst STRANGER",
        f"bridge fdb del 00:00:00:00:00:00 dev {NAME} dst REMOTE",
    ],
)
@pytest.mark.parametrize("family", [6], indirect=True)
def test_the_remedy_of_a_mistake_is_one(pair: Pair, configuration: Path, spoilt: str) -> None:
    made(pair.a, configuration)
    pair.a.run("sh", "-ex", stdin=spoilt.replace("STRANGER", "2001:db8:ff::99").replace("REMOTE", str(pair.b6)))
    status, told = called(pair.a, configuration, "--check")
    assert status == 1
    pair.a.run("sh", "-ex", stdin="\n".join(mistake.partition("; ")[2] for mistake in told.splitlines()))
    assert called(pair.a, configuration, "--check") == (0, "")


def test_a_peer_without_a_route_is_named(pair: Pair, configuration: Path, family: int) -> None:
    made(pair.a, configuration)
    local, remote = pair.of(family)
    for lost in (f"route del {remote}", f"route add unreachable {remote}"):
        pair.a.ip(lost, f"-{family}")
        status, told = called(pair.a, configuration, "--check")
        assert (status, told.count("\n")) == (1, 1)
        assert told.startswith(f"error: there is no route from {local} to {remote}, so no packet of {NAME} gets there")


@pytest.mark.parametrize("family", [6], indirect=True)
def test_what_another_interface_is(pair: Pair, configuration: Path) -> None:
    for wrong, said in (
        ("type bridge", f"{NAME} is bridge, not a VXLAN"),
        ("type vxlan external", f"the VNI of {NAME} is None, not 112"),
        (f"type vxlan id 112 local {pair.a6} dstport 4789 nolearning dev eth0", f"{NAME} is bound to eth0"),
    ):
        pair.a.ip(f"link add {NAME} {wrong}")
        assert said in called(pair.a, configuration, "--check")[1]
        pair.a.ip(f"link del {NAME}")


# With keepalived


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        for host in (built.a, built.b):
            own = f'source = "{OWN[built.family, host.name]}"'
            path = host.configure('transport = "multicast"', f'interface = "{NAME}"', own, priority=150)
            made(host.namespace, path)
        yield built


def keepalived(fabric: Fabric, need: Need, directory: Path, priority: int) -> Keepalived:
    """keepalived on host b, as on any interface."""
    peer = Keepalived(need("keepalived"), fabric, directory, priority)
    address, bits = fabric.vip, BITS[fabric.family]
    text = CONFIGURATION.format(
        interface=NAME, vrid=VRID, version=3, priority=priority, interval=INTERVAL, more="", address=address, bits=bits
    )
    (directory / "keepalived.conf").write_text(text)
    return peer


def alone(fabric: Fabric, host: Host) -> None:
    """Waits until this host alone has the address."""
    other = fabric.b if host is fabric.a else fabric.a
    wait_until(lambda: host.bound() and not other.bound(), lambda: f"only {host.name}: {fabric.told()}")


def begun(fabric: Fabric) -> None:
    own = f'source = "{OWN[fabric.family, "a"]}"'
    lines = ('transport = "multicast"', f'interface = "{NAME}"', own)
    fabric.a.configure(*lines, priority=150, interval=INTERVAL)
    fabric.a.start()


def test_keepalived_is_first_and_gives_way_and_serves_again(fabric: Fabric, need: Need, tmp_path: Path) -> None:
    agent, peer = fabric.a, keepalived(fabric, need, tmp_path, WORSE)
    peer.start()
    peer.wait("Entering MASTER STATE", 0)
    alone(fabric, fabric.b)
    mark = peer.mark()
    begun(fabric)
    agent.log.wait("route-announced", state="active")
    assert agent.log.moves() == [("initialize", "backup", "startup"), ("backup", "active", "preempted")]
    peer.wait("Entering BACKUP STATE", mark)
    alone(fabric, agent)
    assert not fabric.sniffer.copies(), "no advert crosses the router outside of the VXLAN"

    mark = peer.mark()
    agent.exabgp.terminate()
    peer.wait("Backup received priority 0 advertisement", mark)
    peer.wait("Entering MASTER STATE", mark)
    agent.exabgp.wait(running.LIMIT)
    alone(fabric, fabric.b)
    assert not DISAGREEMENTS & set(agent.log.order()), fabric.told()


def test_the_agent_is_first_and_gives_way_to_keepalived_and_serves_again(
    fabric: Fabric, need: Need, tmp_path: Path
) -> None:
    agent, peer = fabric.a, keepalived(fabric, need, tmp_path, BETTER)
    begun(fabric)
    agent.log.wait("route-announced", state="active")
    alone(fabric, agent)
    for number, why in ((signal.SIGTERM, "peer-resigned"), (signal.SIGKILL, "active-down-timeout")):
        end, mark = agent.log.mark(), peer.mark()
        peer.start()
        peer.wait("Entering MASTER STATE", mark)
        agent.log.wait("address-unbound", end)
        assert agent.log.moves(end) == [("active", "backup", "superseded")]
        end = agent.log.mark()
        peer.end(number)
        agent.log.wait("route-announced", end, state="active")
        assert agent.log.moves(end) == [("backup", "active", why)]
    assert not DISAGREEMENTS & set(agent.log.order()), fabric.told()


# Between two agents


def test_two_agents_take_over_in_it_and_give_back(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    for host, priority in ((b, WORSE), (a, BETTER)):
        own = f'source = "{OWN[fabric.family, host.name]}"'
        lines = ('transport = "multicast"', f'interface = "{NAME}"', own)
        host.configure(*lines, priority=priority, interval=INTERVAL)
        host.start()
        host.becomes("active")
    alone(fabric, a)
    assert [move[2] for move in b.log.moves()] == ["startup", "active-down-timeout", "superseded"]
    mark = b.log.mark()
    a.exabgp.terminate()
    b.log.wait("route-announced", mark, state="active")
    a.exabgp.wait(running.LIMIT)
    alone(fabric, b)
    assert b.log.moves(mark) == [("backup", "active", "peer-resigned")]
