"""The agent and a real keepalived in one election: each takes over from the other and gives back.

Host a runs the agent under ExaBGP, host b runs keepalived; both send from their loopback addresses through the router.
keepalived 2.2.7 and before cannot do without ``interface``, and then hears adverts that come in there and nowhere else.
The router keeps the two paths apart, so one copy of each of our adverts comes to that interface and the other one
does not.

The interval is long enough that priority 0 (Skew_Time, a fraction of an interval) and silence (more than three) cannot
be mistaken for each other, however busy the machine.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.system import running
from tests.system.running import MED, VRID, Fabric, Host, Lines, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need

pytestmark = pytest.mark.system

INTERVAL = 0.4
BETTER, WORSE = 200, 100
DISAGREEMENTS = {
    "packet-rejected",
    "addresses-differ",
    "interval-differs",
    "interval-clamped",
    "advert-send-failed",
    "address-repaired",
}
"""None of these may be in the agent's log. That one path is quiet is right: keepalived sends one copy of each advert,
over the path of the kernel's choice."""

CONFIGURATION = """
global_defs {{
  vrrp_version 3
}}
vrrp_instance web {{
  state BACKUP
  interface eth0
  virtual_router_id {vrid}
  version 3
  priority {priority}
  advert_int {interval}
  unicast_src_ip {source}
  unicast_peer {{
    {peer}
  }}
  unicast_ttl 255
  check_unicast_src
  virtual_ipaddress {{
    {address}/{bits} dev lo
  }}
  virtual_ipaddress_excluded {{
    {unlisted}
  }}
}}
"""
UNLISTED = {4: "192.0.2.153", 6: "2001:db8:53::f"}
"""An address that is in no advert."""


class Keepalived:
    """keepalived on host b."""

    def __init__(self, program: str, fabric: Fabric, directory: Path, priority: int) -> None:
        self._program = program
        self._host = fabric.b
        self._directory = directory
        self._lines = Lines(directory / "keepalived.log")
        self._told: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        (directory / "keepalived.conf").write_text(
            CONFIGURATION.format(
                vrid=VRID,
                priority=priority,
                interval=INTERVAL,
                source=fabric.b.source,
                peer=fabric.a.source,
                address=fabric.vip,
                bits=running.BITS[fabric.family],
                unlisted=f"{UNLISTED[fabric.family]}/{running.BITS[fabric.family]} dev lo",
            )
        )

    def start(self) -> None:
        files = {"-f": "keepalived.conf", "-p": "keepalived.pid", "-r": "vrrp.pid"}
        options = [word for option, name in files.items() for word in (option, str(self._directory / name))]
        with self._lines.path.open("a") as log:
            self._process = self._host.namespace.popen(
                [self._program, "--dont-fork", "--log-console", "--log-detail", *options], stdout=log, stderr=log
            )

    def end(self, number: signal.Signals) -> float:
        """Sends a signal to keepalived and waits for its end; when it was sent.

        SIGKILL goes to all its processes: a child would still send priority 0, and a parent would start another child.
        """
        assert self._process is not None
        now = time.time()
        if number is signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait(running.LIMIT)
        return now

    def told(self) -> list[str]:
        """Its log lines about the virtual router."""
        self._told += self._lines.fresh()
        return [text for line in self._told if (text := line.partition("(web) ")[2])]

    def mark(self) -> int:
        """The end of its log now, for ``wait``."""
        return len(self.told())

    def wait(self, text: str, after: int) -> None:
        wait_until(
            lambda: any(text in line for line in self.told()[after:]),
            lambda: f"{text!r} in keepalived's log:\n{''.join(self._told)}",
        )


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        # Of the beacons it takes no notice, and its host answers them with port unreachable.
        built.a.configure(unlisted(built), agent=["beacon = true"], priority=150, interval=INTERVAL)
        yield built
        assert not DISAGREEMENTS & set(built.a.log.order()), built.told()


@pytest.fixture
def keepalived(fabric: Fabric, need: Need, tmp_path: Path) -> Callable[[int], Keepalived]:
    program = need("keepalived")
    return lambda priority: Keepalived(program, fabric, tmp_path, priority)


def unlisted(fabric: Fabric) -> str:
    """The line of exavrrp.toml for what keepalived excludes."""
    return f'unlisted_addresses = ["{UNLISTED[fabric.family]}"]'


def settled(fabric: Fabric, active: Host) -> None:
    """Waits until ``active`` alone has the address, and for four intervals in which it alone advertises.

    Routes to the address lead to the agent's host if that is the one, and nowhere else: keepalived announces nothing.
    """
    other = fabric.b if active is fabric.a else fabric.a
    routes = {"a": {MED}} if active is fabric.a else {}
    wait_until(lambda: active.bound() and not other.bound(), lambda: f"only {active.name} bound: {fabric.told()}")
    for address in (fabric.vip, UNLISTED[fabric.family]):
        wait_until(partial(routed, fabric, address, routes), lambda: f"routes {routes}: {fabric.told()}")
        wait_until(partial(on_lo, active, address), fabric.told)
        assert not on_lo(other, address), f"{address} on {other.name}: {fabric.told()}"
    alone(fabric, active)


def routed(fabric: Fabric, address: str, routes: dict[str, set[int]]) -> bool:
    """Whether the router has these routes to ``address``, and no others."""
    return fabric.bird.via(address) == routes


def on_lo(host: Host, address: str) -> bool:
    """Whether ``host`` answers for ``address``."""
    return f" {address}/" in host.namespace.run("ip", "-oneline", "address", "show", "dev", "lo")


def alone(fabric: Fabric, active: Host) -> None:
    """Wait for four intervals in which only ``active`` advertises."""
    other = fabric.b if active is fabric.a else fabric.a
    since = time.time()
    times = [copy.at for copy in fabric.sniffer.wait(8 if active is fabric.a else 4, active.source, since=since)]
    heard = [copy for copy in fabric.sniffer.copies(other.source, since=since) if copy.at <= times[-1]]
    assert not heard, f"two are Active: {fabric.told()}"


def test_we_preempt_it_and_hand_back_by_priority_zero(fabric: Fabric, keepalived: Callable[[int], Keepalived]) -> None:
    agent, peer = fabric.a, keepalived(WORSE)
    peer.start()
    peer.wait("Entering MASTER STATE", 0)
    settled(fabric, fabric.b)

    mark = peer.mark()
    agent.start()
    agent.log.wait("route-announced", state="active")
    assert agent.log.moves() == [("initialize", "backup", "startup"), ("backup", "active", "preempted")]
    peer.wait("Entering BACKUP STATE", mark)
    settled(fabric, agent)

    mark, since = peer.mark(), time.time()
    agent.exabgp.terminate()
    peer.wait("Entering MASTER STATE", mark)
    resigned = fabric.sniffer.wait(1, agent.source, since=since, priority=0)[0].at
    fabric.sniffer.wait(1, fabric.b.source, since=resigned)
    peer.wait("Backup received priority 0 advertisement", mark)
    agent.log.wait("address-unbound")
    agent.exabgp.wait(running.LIMIT)
    # ExaBGP closes its sessions before it says that it stops.
    assert agent.log.moves()[-1][2] in ("shutdown", "unreachable")
    settled(fabric, fabric.b)

    # And again, the second time from a state that an earlier life has left.
    mark, end = peer.mark(), agent.log.mark()
    agent.start()
    agent.log.wait("route-announced", end, state="active")
    peer.wait("Entering BACKUP STATE", mark)
    settled(fabric, agent)


def test_it_preempts_us_and_hands_back_by_priority_zero_and_by_its_death(
    fabric: Fabric, keepalived: Callable[[int], Keepalived]
) -> None:
    agent, peer = fabric.a, keepalived(BETTER)
    agent.start()
    agent.log.wait("route-announced", state="active")
    assert agent.log.moves() == [("initialize", "backup", "startup"), ("backup", "active", "active-down-timeout")]
    settled(fabric, agent)

    superseded(fabric, peer)
    end = agent.log.mark()
    stopped = peer.end(signal.SIGTERM)
    agent.log.wait("route-announced", end, state="active")
    assert agent.log.moves(end) == [("backup", "active", "peer-resigned")]
    resigned = fabric.sniffer.wait(1, fabric.b.source, since=stopped, priority=0)[0].at
    takeover = fabric.sniffer.wait(1, agent.source, since=stopped)[0].at
    assert takeover > resigned
    settled(fabric, agent)

    superseded(fabric, peer)
    end = agent.log.mark()
    killed = peer.end(signal.SIGKILL)
    agent.log.wait("route-announced", end, state="active")
    assert agent.log.moves(end) == [("backup", "active", "active-down-timeout")]
    last = fabric.sniffer.copies(fabric.b.source)[-1].at
    takeover = fabric.sniffer.wait(1, agent.source, since=killed)[0].at
    assert takeover - last > 3 * INTERVAL
    # On b the address stays: there is nobody left who could remove it. Nothing leads to it.
    assert agent.bound()
    wait_until(lambda: fabric.bird.via(fabric.vip) == {"a": {MED}}, fabric.told)
    alone(fabric, agent)


def superseded(fabric: Fabric, peer: Keepalived) -> None:
    """The better keepalived starts and we hand over: announced as leaving, withdrawn, unbound, in this order."""
    agent = fabric.a
    end, mark = agent.log.mark(), peer.mark()
    peer.start()
    peer.wait("Entering MASTER STATE", mark)
    agent.log.wait("address-unbound", end)
    assert agent.log.moves(end) == [("active", "backup", "superseded")]
    told = [
        one
        for one in agent.log.records[end:]
        if one["event"] in ("route-announced", "route-withdrawn", "address-unbound")
    ]
    assert [one["event"] for one in told] == ["route-announced", "route-withdrawn", "address-unbound"]
    assert told[0]["state"] == "leaving"
    heard = fabric.sniffer.copies(fabric.b.source)
    assert {copy.priority for copy in heard} <= {0, BETTER}
    settled(fabric, fabric.b)


def test_a_peer_without_trailer_support_rejects_signed_adverts_but_not_receive_only(
    fabric: Fabric, keepalived: Callable[[int], Keepalived]
) -> None:
    """keepalived before 2.4.2 checks the exact length; so it has to go, or be new, before anybody signs."""
    agent, peer = fabric.a, keepalived(WORSE)
    key = f'{{ 1 = {{ hex = "{bytes(range(32)).hex()}" }} }}'
    table = ["[authentication.site]", 'mode = "receive-only"', "active_key = 1", f"keys = {key}"]
    path = agent.configure(
        unlisted(fabric), agent=['authentication = "site"'], checks=table, priority=BETTER, interval=INTERVAL
    )
    path.chmod(0o600)
    agent.start()
    agent.log.wait("route-announced", state="active")
    mark = peer.mark()
    peer.start()
    peer.wait("Entering BACKUP STATE", mark)
    settled(fabric, agent)

    path.write_text(path.read_text().replace("receive-only", "permissive"))
    mark, end = peer.mark(), agent.log.mark()
    agent.exabgp.send_signal(signal.SIGUSR2)
    agent.log.wait("authentication-enabled", end, mode="permissive")
    peer.wait("Entering MASTER STATE", mark)
    peer.wait("vrrp packet too long", mark)
    # We hear it and are better; it hears nobody: both have the address until somebody ends it. (Over IPv6 it advertises
    # three times, and then no more.)
    since = time.time()
    fabric.sniffer.wait(4, agent.source, since=since)
    wait_until(lambda: agent.bound() and fabric.b.bound(), fabric.told)
    assert agent.log.moves(end)[-1][1] == "active"
