"""Prefixes that are announced while an address of them is bound, and addresses that adverts do not list.

Real ExaBGP, BIRD's table, the router's kernel, packets; keepalived is in ``test_keepalived``.
"""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import BITS, Fabric, Host, Monitor, at, wait_until

pytestmark = pytest.mark.system

PREFIX = {4: "192.0.2.0/25", 6: "2001:db8:53::/64"}
"""Around the virtual address, and the one that is unlisted."""
UNLISTED = {4: "192.0.2.99", 6: "2001:db8:53::99"}


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def fabric(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, request.param) as built:
        for host in (built.a, built.b):
            configure(host)
        yield built


LONG_HOLD = 3.0
"""Seconds of ``handover_hold`` and ``linger``, where one thing must have happened before the other, also if BIRD, an
ExaBGP or ``ip monitor`` gets no CPU meanwhile."""


def configure(host: Host) -> None:
    unlisted, prefix = UNLISTED[host.family], PREFIX[host.family]
    announce = [f'announce = ["{prefix}"]']
    host.configure(f'unlisted_addresses = ["{unlisted}"]', checks=announce, hold=LONG_HOLD, linger=LONG_HOLD)


def answered(fabric: Fabric, address: str) -> bool:
    """Whether a packet from the router to ``address`` is answered."""
    ping = ["ping", "-c1", "-W2", address]
    return fabric.router.popen(ping, stdout=-3).wait(running.LIMIT) == 0


def from_agents(fabric: Fabric) -> set[str]:
    """The prefixes that the router's kernel sends to the hosts because of BGP."""
    table = fabric.router.run("ip", f"-{fabric.family}", "route", "show", "proto", "bird")
    return {line.split()[0] for line in table.splitlines() if not line[0].isspace()}


@running.each_line
def test_a_prefix_moves_with_its_addresses(fabric: Fabric, line: running.Line) -> None:
    a, b, prefix = fabric.a, fabric.b, PREFIX[fabric.family]
    fabric.start(line)  # waits until BIRD sends what is for the address to a over both sessions
    assert a.log.wait("route-announced")["prefixes"] == [prefix]
    assert set(a.log.wait("address-bound")["addresses"]) == {fabric.vip, UNLISTED[fabric.family]}
    wait_until(lambda: from_agents(fabric) == {prefix}, lambda: f"{from_agents(fabric)}, not only {prefix}")
    for address in (fabric.vip, UNLISTED[fabric.family]):
        wait_until(lambda: answered(fabric, address), f"an answer of {address}")  # noqa: B023
    assert {copy.addresses for copy in fabric.sniffer.copies(a.source)} == {1}, "one is unlisted"

    # What a killed agent leaves is taken over by its successor: the prefix is never away.
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    assert "served on" in a.log.wait("leftovers-found", mark)["detail"]
    a.becomes("active", mark)
    assert not [there for _, there in routes.changes(prefix) if not there]

    # A planned move: the successor announces before the first one withdraws, and unbinds.
    a.log.wait("route-announced", mark, state="active")
    mark = a.log.mark()
    a.ask("drain", "--wait")
    fabric.settled("b")
    wait_until(lambda: from_agents(fabric) == {prefix}, lambda: f"{from_agents(fabric)}, not only {prefix}")
    wait_until(lambda: answered(fabric, UNLISTED[fabric.family]), "an answer")
    withdrawn = a.log.wait("route-withdrawn", mark)
    assert withdrawn["prefixes"] == [prefix]
    assert at(b.log.wait("route-announced", state="active")) < at(withdrawn) < at(a.log.wait("address-unbound", mark))


@running.each_line
def test_what_the_configuration_names_no_more_is_withdrawn_and_then_unbound(fabric: Fabric, line: running.Line) -> None:
    """The agent is killed, and its successor finds another configuration. Only the state file lists what to clear."""
    a, prefix = fabric.a, PREFIX[fabric.family]
    path = a.directory / "exavrrp.toml"
    path.write_text(path.read_text().replace("med =", 'communities = ["65010:1"]\nmed ='))
    a.start(line)
    fabric.settled("a")
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    unlisted, bits = UNLISTED[fabric.family], BITS[fabric.family]
    mark = a.log.mark()
    # The router is another one, and has the second address alone; nothing says what was announced.
    path.write_text(
        path.read_text()
        .replace("virtual_router.web", "virtual_router.other")
        .replace(f'addresses = ["{fabric.vip}/{bits}"]', f'addresses = ["{unlisted}/{bits}"]')
        .replace(f'unlisted_addresses = ["{unlisted}"]', "")
        .replace(f'announce = ["{prefix}"]', "")
    )
    os.kill(a.agent, signal.SIGKILL)
    assert a.log.wait("leftovers-found", mark, prefixes=[prefix])["addresses"] == [fabric.vip]
    unbound = addresses.wait(fabric.vip, there=False)
    gone = routes.wait(prefix, there=False, having="bird")
    assert gone < unbound
    a.log.wait("route-announced", mark, state="active", prefixes=[f"{unlisted}/{bits}"])

    # It is remembered until it is done, and no longer.
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.becomes("active", mark)
    assert [one.get("prefixes") for one in a.log.all("leftovers-found", mark)] == [None]


@running.each_line
def test_host_routes_of_an_earlier_configuration_are_withdrawn(fabric: Fabric, line: running.Line) -> None:
    """They would attract packets away from any node that announces only the prefix, while ExaBGP runs."""
    a, prefix, bits = fabric.a, PREFIX[fabric.family], BITS[fabric.family]
    a.configure(f'unlisted_addresses = ["{UNLISTED[fabric.family]}"]')
    fabric.start(line)
    hosts = {f"{fabric.vip}/{bits}", f"{UNLISTED[fabric.family]}/{bits}"}
    assert set(a.log.wait("route-announced", state="active")["prefixes"]) == hosts
    mark = a.log.mark()
    configure(a)
    a.exabgp.send_signal(signal.SIGUSR2)  # only the agent is replaced
    a.log.wait(
        "route-announced", mark, state="active", prefixes=[prefix]
    )  # perhaps a caretaker's of the old ones before it
    wait_until(lambda: from_agents(fabric) == {prefix}, lambda: f"{from_agents(fabric)}, not only {prefix}")
    assert a.bound()
