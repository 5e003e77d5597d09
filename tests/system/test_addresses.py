"""The addresses on lo, in real network namespaces, with other programs that change them."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import select
import socket
import struct
import subprocess
import time
from collections import Counter
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl import RTM_GETADDR
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from exavrrp.ports import AddressError
from exavrrp.system import addresses as addresses_module
from exavrrp.system.addresses import (
    Addresses,
    concerns_loopback,
    explained,
    global_on_loopback,
    read_link,
    route_query,
    vrf,
)
from exavrrp.system.netlink import HEADER, NLM_F_DUMP, Netlink, Request, attribute
from exavrrp.virtual_address import VirtualAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from exavrrp.vrrp.packet import Address
    from tests.system.conftest import Namespace, Run, Until

SIX, OTHER_SIX = ip_address("2001:db8:53::1"), ip_address("2001:db8:53::2")
FOUR, OTHER_FOUR = ip_address("192.0.2.53"), ip_address("192.0.2.54")
OURS = frozenset({SIX, OTHER_SIX, FOUR, OTHER_FOUR})
FOREIGN = "2001:db8:ff::11", "192.0.2.11"
CAP_NET_ADMIN = 12
MARKER = "203.0.113"
NOTHING: frozenset[Address] = frozenset()
NEVER = 3600.0
"""Seconds: longer than any test on a busy machine."""


@pytest.fixture(autouse=True)
def _no_limit_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits must not expire on a busy machine, except in the tests of these limits."""
    monkeypatch.setattr(addresses_module, "ROUTED_WITHIN", NEVER)
    monkeypatch.setattr(addresses_module, "STABLE_AFTER", NEVER)


@dataclass
class Bound:
    """``Addresses`` in a namespace, the calls of its callbacks, and the output of ``ip``."""

    host: Namespace
    ours: frozenset[Address] = OURS
    addresses: Addresses = field(init=False)
    accepted: int = 0
    repaired: list[Address] = field(default_factory=list)
    failed: list[tuple[Address, OSError]] = field(default_factory=list)
    when_repaired: Callable[[Address], None] = field(init=False)
    """called for each repair"""

    def __post_init__(self) -> None:
        self.when_repaired = self.repaired.append
        self.addresses = Addresses(
            self.accept,
            self.repair,
            lambda address, error: self.failed.append((address, error)),
        )

    def accept(self) -> None:
        self.accepted += 1

    def repair(self, address: Address) -> None:
        self.when_repaired(address)

    def own(self, ours: Iterable[Address]) -> None:
        self.addresses.own(list(map(VirtualAddress, ours)))

    def want(self, wanted: Iterable[Address], *, preferred: bool = False) -> None:
        self.addresses.set([VirtualAddress(one, preferred=preferred and one.version == 6) for one in wanted])

    def shown(self, interface: str = "lo") -> dict[str, dict[str, Any]]:
        """address/prefix → the entry of iproute2, without loopback and link-local addresses."""
        [link] = json.loads(self.host.run("ip", "-j", "-d", "address", "show", "dev", interface))
        return {
            f"{entry['local']}/{entry['prefixlen']}": entry
            for entry in link["addr_info"]
            if not ip_address(entry["local"]).is_loopback and entry["scope"] != "link"
        }

    def has(self, address: Address) -> bool:
        return f"{address}/{address.max_prefixlen}" in self.shown()


@asynccontextmanager
async def binding(host: Namespace, ours: frozenset[Address] = OURS) -> AsyncIterator[Bound]:
    bound = Bound(host, ours)
    bound.addresses.open(asyncio.get_running_loop())
    bound.own(ours)
    try:
        yield bound
    finally:
        bound.addresses.close()


async def quiet(bound: Bound, until: Until) -> None:
    """Waits until the refresh that ends a burst is done."""
    await until(lambda: not bound.addresses.watch.pending)


async def reports(bound: Bound, count: int, until: Until) -> None:
    await until(lambda: len(bound.repaired) + len(bound.failed) == count)


@pytest.fixture
def host(namespace: Callable[[], Namespace]) -> Namespace:
    made = namespace()
    made.ip("\n".join(f"addr add {address} dev lo" for address in FOREIGN))
    return made


@pytest.mark.system
def test_bound_as_a_virtual_address_should_be(host: Namespace, run: Run) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX, FOUR}))
            shown = bound.shown()
            six, four = shown[f"{SIX}/128"], shown[f"{FOUR}/32"]
            assert six["deprecated"]
            assert six["nodad"]
            assert "tentative" not in six
            assert six["preferred_life_time"] == 0
            assert six["valid_life_time"] == four["valid_life_time"] == 0xFFFFFFFF
            assert four["preferred_life_time"] == 0xFFFFFFFF
            assert (six["scope"], four["scope"]) == ("global", "host")
            # iproute2 6.1 does not show IFA_PROTO, and kernels before 5.18 have none.
            release = tuple(int(part) for part in os.uname().release.split(".")[:2])
            with closing(Netlink()) as kernel:
                kernel.open()
                answers = kernel.ask(Request(RTM_GETADDR, bytes(8), NLM_F_DUMP))
            table = [ifaddrmsg(HEADER.pack(16 + len(entry), 20, 0, 0, 0) + entry) for entry in answers]
            for entry in table:
                entry.decode()
            marks = {entry.get_attr("IFA_ADDRESS"): entry.get_attr("IFA_PROTO") for entry in table}
            assert marks[str(SIX)] == marks[str(FOUR)] == (112 if release >= (5, 18) else None)
            assert bound.addresses.present() == {SIX, FOUR}

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("address", [SIX, FOUR], ids=["ipv6", "ipv4"])
def test_a_service_on_a_bound_address_answers_the_network(
    namespace: Callable[[], Namespace], cable: Any, run: Run, until: Until, address: Address
) -> None:
    """A deprecated address is not chosen as a source, but it answers, also while lo is down."""
    server, client = namespace(), namespace()
    cable(server, "eth0", client, "eth0")
    for host, number in ((server, 1), (client, 2)):
        host.ip(f"addr add 10.0.0.{number}/24 dev eth0\naddr add fd00::{number}/64 dev eth0")
    via = "10.0.0.1" if address.version == 4 else "fd00::1"
    client.ip(f"route add {address} via {via}", f"-{address.version}")

    async def scenario() -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        async with binding(server) as bound:
            for state in ("up", "down", "up"):
                server.ip(f"link set lo {state}")
                bound.want(OURS)
                await until(lambda: not bound.addresses.awaited)
                with client:
                    asking = socket.socket(family, socket.SOCK_DGRAM)
                with asking, socket.socket(family, socket.SOCK_DGRAM) as answering:
                    answering.bind((str(address), 5353))
                    asking.settimeout(0)
                    answering.settimeout(0)
                    asking.sendto(b"?", (str(address), 5353))
                    question, caller = await asyncio.get_running_loop().sock_recvfrom(answering, 100)
                    answering.sendto(b"!", caller)
                    answer, origin = await asyncio.get_running_loop().sock_recvfrom(asking, 100)
                    assert (question, answer, origin[0]) == (b"?", b"!", str(address))

    with server:
        run(scenario())


@pytest.mark.system
def test_a_virtual_address_is_never_chosen_as_a_source(
    namespace: Callable[[], Namespace], cable: Any, run: Run
) -> None:
    left, right = namespace(), namespace()
    cable(left, "eth0", right, "eth0")
    left.ip("addr add 2001:db8:aaaa::1/64 dev eth0")

    async def scenario() -> None:
        async with binding(left) as bound:
            bound.want(frozenset({SIX}))
            # By RFC 6724 rule 8 the virtual address would win toward its neighbor, were it not deprecated (rule 3).
            left.ip("route add 2001:db8:53::/64 dev eth0", "-6")
            [route] = json.loads(left.run("ip", "-j", "-6", "route", "get", "2001:db8:53::99"))
            assert route["prefsrc"] == "2001:db8:aaaa::1"

    with left:
        run(scenario())


@pytest.mark.system
def test_a_preferred_one_may_be_a_source(namespace: Callable[[], Namespace], cable: Any, run: Run) -> None:
    left, right = namespace(), namespace()
    cable(left, "eth0", right, "eth0")
    left.ip("addr add 2001:db8:aaaa::1/64 dev lo")

    async def scenario() -> None:
        async with binding(left) as bound:
            left.ip("route add 2001:db8:53::/64 dev eth0", "-6")
            sources = []
            for preferred in (False, True):
                bound.want({SIX}, preferred=preferred)
                [route] = json.loads(left.run("ip", "-j", "-6", "route", "get", "2001:db8:53::99"))
                sources.append(route["prefsrc"])
            assert sources == ["2001:db8:aaaa::1", str(SIX)]

    with left:
        run(scenario())


@pytest.mark.system
def test_whether_it_is_preferred_is_changed_in_place(host: Namespace, run: Run) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            with watching(host) as changes:
                for preferred, lifetime in ((True, 0xFFFFFFFF), (False, 0)):
                    bound.want(OURS, preferred=preferred)
                    entry = bound.shown()[f"{SIX}/128"]
                    assert entry["preferred_life_time"] == lifetime
                    assert entry["valid_life_time"] == 0xFFFFFFFF
                    assert "deprecated" in entry or preferred
                assert not [line for line in changes() if line.startswith("Deleted")]
                bound.want(OURS)
                assert changes() == [], "it is right"
            assert not bound.repaired

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("route", ["default dev eth0", "default via 198.51.100.1 dev eth0 onlink"])
def test_an_ipv4_address_that_stands_before_the_own_one_is_no_source(
    namespace: Callable[[], Namespace], cable: Any, run: Run, until: Until, route: str
) -> None:
    """lo is flushed, as network managers do it; our repair is faster than the return of the node's own address."""
    left, right = namespace(), namespace()
    cable(left, "eth0", right, "eth0")
    left.ip("addr add 192.0.2.11/32 dev lo")
    right.ip("addr add 198.51.100.1/32 dev lo\nroute add 192.0.2.11/32 dev eth0\nroute add 192.0.2.53/32 dev eth0")

    async def scenario() -> None:
        async with binding(left) as bound:
            bound.want(frozenset({FOUR}))
            left.ip("addr flush dev lo\naddr add 127.0.0.1/8 dev lo")
            await reports(bound, 1, until)
            assert bound.has(FOUR)
            left.ip(f"addr add 192.0.2.11/32 dev lo\nroute add {route}")
            assert [*bound.shown()] == ["192.0.2.53/32", "192.0.2.11/32"], "ours is the first"
            [found] = json.loads(left.run("ip", "-j", "route", "get", "203.0.113.1"))
            assert found["prefsrc"] == "192.0.2.11"
            assert right.popen(["ping", "-c1", "-W5", str(FOUR)], stdout=-3).wait(10) == 0, "and it answers"

    with left:
        run(scenario())


@pytest.mark.system
def test_an_ipv4_address_of_another_scope_is_put_right(host: Namespace, run: Run) -> None:
    """An earlier version, or another program, has bound it."""
    host.ip(f"addr add {FOUR}/32 dev lo\naddr add {OTHER_FOUR}/32 dev lo scope link")

    async def scenario() -> None:
        async with binding(host) as bound:
            assert bound.addresses.present() == {FOUR, OTHER_FOUR}
            bound.want(frozenset({FOUR, OTHER_FOUR}))
            assert {one["scope"] for name, one in bound.shown().items() if name.endswith(("53/32", "54/32"))} == {
                "host"
            }
            assert bound.has(FOUR)
            assert bound.has(OTHER_FOUR)
            bound.want(NOTHING)
            assert bound.addresses.present() == NOTHING

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("marks", [True, False], ids=["marks", "no-marks"])
def test_what_was_ours_before_is_ours_again_if_we_have_made_it(
    host: Namespace, run: Run, monkeypatch: pytest.MonkeyPatch, *, marks: bool
) -> None:
    """Another program may have added the same address since; kernels with IFA_PROTO can tell."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX, FOUR}))
        host.ip(f"addr add {OTHER_FOUR}/32 dev lo")
        if not marks:
            monkeypatch.setattr(addresses_module, "IFA_PROTO", -1)
        async with binding(host, frozenset({OTHER_SIX})) as bound:
            adopted = {one.address for one in bound.addresses.adopt([FOUR, OTHER_FOUR, SIX])}
            assert adopted == ({FOUR, SIX} if marks else {FOUR, SIX, OTHER_FOUR})
            bound.want(frozenset({SIX}))
            assert bound.has(SIX)
            assert not bound.has(FOUR)
            assert bound.has(OTHER_FOUR) is marks

    with host:
        run(scenario())


@contextmanager
def watching(host: Namespace) -> Iterator[Callable[[], list[str]]]:
    """A function that returns the changes of lo since the last call, as ``ip monitor`` prints them."""
    watcher = host.popen(["ip", "-o", "monitor", "address"], stdout=subprocess.PIPE)
    assert watcher.stdout is not None

    numbers = itertools.count(1)

    def changes() -> list[str]:
        assert watcher.stdout is not None
        marker = f"{MARKER}.{next(numbers)}/32"  # no end of an earlier one is mistaken for it
        host.ip(f"addr add {marker} dev lo\naddr del {marker} dev lo")
        lines = []
        while not (line := watcher.stdout.readline()).startswith("Deleted") or marker not in line:
            lines.append(line)
        return [line for line in lines if MARKER not in line]

    try:
        host.ip(f"addr add {MARKER}.0/32 dev lo")
        while not select.select([watcher.stdout], [], [], 0.05)[0]:  # it tells nothing of what came before it listened
            host.ip(f"addr del {MARKER}.0/32 dev lo\naddr add {MARKER}.0/32 dev lo")
        host.ip(f"addr del {MARKER}.0/32 dev lo")
        changes()
        yield changes
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


@pytest.mark.system
def test_ours_may_grow_and_shrink_and_what_stays_is_not_touched(host: Namespace, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with binding(host, frozenset({SIX, FOUR})) as bound:
            addresses = bound.addresses
            bound.want(frozenset({SIX, FOUR}))
            with watching(host) as changes:
                addresses.own(list(map(VirtualAddress, {SIX, FOUR, OTHER_SIX})))
                addresses.own(list(map(VirtualAddress, {SIX, OTHER_SIX})))
                assert changes() == [], "what is ours changes nothing by itself"
                host.ip(f"addr del {FOUR}/32 dev lo")
                await until(lambda: bound.repaired == [FOUR])  # looked after as long as it is wanted
                changes()
                bound.want(frozenset({SIX, FOUR, OTHER_SIX}))
                assert addresses.present() == {SIX, FOUR, OTHER_SIX}
                told: list[str] = []

                def is_told() -> bool:
                    """The kernel's notification of an IPv6 address may follow that of the marker."""
                    told.extend(changes())
                    return bool(told)

                await until(is_told)
                assert [str(OTHER_SIX) in line for line in told] == [True], "the new one was added"
                bound.want(frozenset({SIX, OTHER_SIX}))
                assert [str(FOUR) in line for line in changes()] == [True], "the old one was removed"
                host.ip(f"addr add {FOUR}/32 dev lo")  # by somebody else
                await quiet(bound, until)
                bound.want(frozenset({SIX}))
                await quiet(bound, until)
                assert bound.has(FOUR), "it is not ours any more"
                assert addresses.present() == {SIX}
                addresses.own(list(map(VirtualAddress, {SIX, FOUR})))
                bound.want(frozenset({SIX}))
                assert not bound.has(FOUR), "it is again"
                assert bound.has(SIX)
                assert not [line for line in changes() if str(SIX) + "/" in line]

    with host:
        run(scenario())


@pytest.mark.system
def test_what_was_never_bound_may_be_bound_by_others_when_it_is_ours_no_more(
    host: Namespace, run: Run, until: Until
) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX}))
            bound.own({SIX})
            host.ip(f"addr add {FOUR}/32 dev lo")
            await quiet(bound, until)
            bound.want(NOTHING)
            assert bound.has(FOUR)
            assert not bound.has(SIX)

    with host:
        run(scenario())


@pytest.mark.system
def test_before_anything_is_bound_only_the_last_set_counts(host: Namespace, run: Run) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            host.ip(f"addr add {FOUR}/32 dev lo\naddr add {OTHER_FOUR}/32 dev lo")
            bound.own({SIX, OTHER_FOUR})
            bound.want(frozenset({SIX}))
            assert bound.has(FOUR), "nobody calls it ours any more"
            assert not bound.has(OTHER_FOUR)

    with host:
        run(scenario())


@pytest.mark.system
def test_what_cannot_be_removed_stays_ours_until_it_can(host: Namespace, run: Run, until: Until) -> None:
    """The kernel would remove a foreign address along with it."""

    async def scenario() -> None:
        async with binding(host, frozenset({FOUR, SIX})) as bound:
            host.ip("addr flush dev lo scope host\naddr add 192.0.2.53/24 dev lo\naddr add 192.0.2.77/24 dev lo")
            with pytest.raises(AddressError):
                bound.want(frozenset({SIX}))
            bound.own({SIX})
            assert FOUR in bound.addresses.present()
            host.ip("addr del 192.0.2.77/24 dev lo")
            await until(lambda: not bound.has(FOUR) and "192.0.2.53/24" not in bound.shown())
            assert bound.addresses.present() == {SIX}
            host.ip(f"addr add {FOUR}/32 dev lo")
            await quiet(bound, until)
            bound.want(frozenset({SIX}))
            assert bound.has(FOUR)

    with host:
        run(scenario())


@pytest.mark.system
def test_the_set_is_the_whole_truth(host: Namespace, run: Run) -> None:
    """Every sequence of sets ends with exactly the last one; foreign addresses stay throughout."""

    async def scenario() -> None:
        async with binding(host) as bound:
            for size in (0, 2, 4, 1, 3, 0):
                for wanted in itertools.combinations(sorted(OURS, key=str), size):
                    bound.want(frozenset(wanted))
                    expected = {f"{a}/{a.max_prefixlen}" for a in map(ip_address, [*wanted, *FOREIGN])}
                    assert set(bound.shown()) == expected
            assert not bound.repaired
            assert not bound.failed

    with host:
        run(scenario())


@pytest.mark.system
def test_nothing_is_touched_before_the_first_set(host: Namespace, run: Run, until: Until) -> None:
    """A predecessor's addresses stay until the agent has decided; the first set clears what is stale."""
    host.ip(f"addr add {SIX}/128 dev lo\naddr add {FOUR}/32 dev lo")

    async def scenario() -> None:
        async with binding(host) as bound:
            host.ip("addr add 198.51.100.1/32 dev lo")
            await until(lambda: bound.addresses.watch.refreshes)
            await quiet(bound, until)
            assert bound.addresses.present() == {SIX, FOUR}
            bound.want(frozenset({SIX}))
            assert bound.addresses.present() == {SIX}
            assert bound.has(ip_address("198.51.100.1"))
        assert bound.has(SIX)  # closing leaves lo as it is

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("address", [SIX, FOUR], ids=["ipv6", "ipv4"])
def test_what_somebody_removed_is_back_within_100_ms(
    host: Namespace, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch, address: Address
) -> None:
    """In at least one of a few attempts: the machine may be busy during the others."""
    monkeypatch.setattr(addresses_module, "STABLE_AFTER", 0.0)

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            loop = asyncio.get_running_loop()
            back: list[float] = []
            bound.when_repaired = lambda _address: back.append(loop.time())

            async def repair() -> float:
                """Seconds from the removal to the repair."""
                await quiet(bound, until)
                back.clear()
                removed = host.popen(["ip", "addr", "del", f"{address}/{address.max_prefixlen}", "dev", "lo"])
                # Its end is noticed later than the removal, so the time from it to the repair may well be negative.
                await until(lambda: removed.poll() is not None)
                ended = loop.time()
                await until(lambda: back)
                assert bound.has(address)
                assert bound.addresses.present() == OURS
                return back[0] - ended

            took = [await repair()]
            while min(took) >= 0.1 and len(took) < 10:
                took.append(await repair())
            assert min(took) < 0.1

    with host:
        run(scenario())


@pytest.mark.system
def test_a_notification_tells_that_the_kernel_accepts_packets(
    host: Namespace, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any poll. Without the rule for the table of local routes no address has one; its return says nothing."""
    monkeypatch.setattr(addresses_module, "ROUTE_POLL", NEVER)
    host.run("ip", "-6", "rule", "add", "pref", "1", "lookup", "main")  # only with one of its own the rules count
    host.run("ip", "-6", "rule", "del", "pref", "0")

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want({SIX})
            assert bound.addresses.awaited == {SIX}
            host.run("ip", "-6", "rule", "add", "pref", "0", "lookup", "local")
            host.run("ip", "-6", "route", "add", "local", str(OTHER_SIX), "dev", "lo", "table", "local")
            await until(lambda: not bound.addresses.awaited)
            assert bound.accepted == 1

    with host:
        run(scenario())


@pytest.mark.system
def test_lo_down_and_up(host: Namespace, run: Run, until: Until) -> None:
    """The kernel removes IPv6 addresses from an interface that goes down; ours come back, and work."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            host.ip("link set lo down")
            await until(lambda: {SIX, OTHER_SIX} <= set(bound.repaired))
            host.ip("link set lo up")
            await quiet(bound, until)
            await until(lambda: not bound.addresses.awaited)
            assert bound.addresses.present() == OURS
            for address in OURS:
                [route] = json.loads(host.run("ip", "-j", f"-{address.version}", "route", "get", str(address)))
                assert route["type"] == "local"
            assert not bound.failed
            host.ip("link set lo down\nlink set lo up")
            await quiet(bound, until)
            await until(lambda: bound.addresses.present() == OURS)

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize(
    ("command", "address"),
    [
        (f"addr change {SIX}/128 dev lo valid_lft forever preferred_lft forever", SIX),
        (f"addr change {SIX}/128 dev lo valid_lft 600 preferred_lft 0", SIX),
        (f"addr change {FOUR}/32 dev lo valid_lft 600 preferred_lft 600", FOUR),
    ],
    ids=["preferred", "ipv6-expires", "ipv4-expires"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_lifetimes_are_put_right(
    *, host: Namespace, run: Run, until: Until, command: str, address: Address, when: str
) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            if when == "before":
                host.ip(command.replace("change", "add"))
                bound.want(frozenset({SIX, FOUR}))
            else:
                bound.want(frozenset({SIX, FOUR}))
                host.ip(command)
                await until(lambda: bound.repaired == [address])
            entry = bound.shown()[f"{address}/{address.max_prefixlen}"]
            assert entry["valid_life_time"] == 0xFFFFFFFF
            assert ("deprecated" in entry) is (address.version == 6)

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("lifetime", ["0", "600"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_preferred_lifetime_is_put_right(host: Namespace, run: Run, until: Until, lifetime: str, when: str) -> None:
    """Also a lifetime that has not expired yet."""
    command = f"{SIX}/128 dev lo valid_lft forever preferred_lft {lifetime}"

    async def scenario() -> None:
        async with binding(host) as bound:
            if when == "before":
                host.ip(f"addr add {command}")
                bound.want({SIX}, preferred=True)
            else:
                bound.want({SIX}, preferred=True)
                host.ip(f"addr change {command}")
                await until(lambda: bound.repaired == [SIX])
            entry = bound.shown()[f"{SIX}/128"]
            assert entry["preferred_life_time"] == entry["valid_life_time"] == 0xFFFFFFFF
            assert "deprecated" not in entry

    with host:
        run(scenario())


@pytest.mark.system
def test_another_prefix_length_is_put_right(host: Namespace, run: Run) -> None:
    """A /64 of our address would attract the whole network, and is removed; a /24 beside our /32 does not matter."""
    host.ip(f"addr add {SIX}/64 dev lo\naddr add {FOUR}/24 dev lo")

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX, FOUR}))
            assert f"{SIX}/128" in bound.shown()
            assert f"{SIX}/64" not in bound.shown()
            assert f"{FOUR}/32" in bound.shown()
            bound.want(NOTHING)
            assert not bound.addresses.present()

    with host:
        run(scenario())


@pytest.mark.system
def test_removing_ours_never_takes_a_foreign_one_along(host: Namespace, run: Run) -> None:
    """The kernel removes IPv4 secondaries together with their primary, unless promote_secondaries is set."""
    host.ip(f"addr add {FOUR}/24 dev lo\naddr add 192.0.2.200/24 dev lo")

    async def scenario() -> None:
        async with binding(host) as bound:
            with pytest.raises(AddressError, match=r"192\.0\.2\.53: .*192\.0\.2\.200.*by hand") as caught:
                bound.want(NOTHING)
            assert set(caught.value.failures) == {FOUR}
            assert "192.0.2.200/24" in bound.shown()
            host.ip("addr del 192.0.2.200/24 dev lo")
            bound.want(NOTHING)
            assert not bound.addresses.present()

    with host:
        run(scenario())


@pytest.mark.system
def test_the_same_address_elsewhere_is_not_ours(namespace: Callable[[], Namespace], cable: Any, run: Run) -> None:
    left, right = namespace(), namespace()
    cable(left, "eth0", right, "eth0")
    left.ip(f"addr add {SIX}/64 dev eth0\naddr add {FOUR}/24 dev eth0")

    async def scenario() -> None:
        async with binding(left) as bound:
            bound.want(NOTHING)
            assert set(bound.shown("eth0")) == {f"{SIX}/64", f"{FOUR}/24"}
            assert bound.addresses.elsewhere() == {SIX: "eth0", FOUR: "eth0"}
            bound.want(frozenset({SIX, FOUR}))
            assert set(bound.shown("lo")) == {f"{SIX}/128", f"{FOUR}/32"}
            assert set(bound.shown("eth0")) == {f"{SIX}/64", f"{FOUR}/24"}
            bound.want(NOTHING)
            assert set(bound.shown("eth0")) == {f"{SIX}/64", f"{FOUR}/24"}
            left.ip(f"addr del {SIX}/64 dev eth0\naddr del {FOUR}/24 dev eth0")
            bound.want(OURS)
            assert bound.addresses.elsewhere() == {}

    with left:
        run(scenario())


@pytest.mark.system
def test_what_somebody_added_is_removed(host: Namespace, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX}))
            host.ip(f"addr add {FOUR}/32 dev lo")
            await until(lambda: bound.repaired == [FOUR])
            assert bound.addresses.present() == {SIX}

    with host:
        run(scenario())


@pytest.mark.system
@pytest.mark.parametrize("where", ["lo", "all"])
def test_disabled_ipv6_is_reported_and_ipv4_still_bound(
    host: Namespace, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(addresses_module, "FIRST_BACKOFF", 0.05)
    host.sysctl(f"net.ipv6.conf.{where}.disable_ipv6", 1)

    async def scenario() -> None:
        async with binding(host) as bound:
            with pytest.raises(AddressError, match=r"2001:db8:53::1: .*disabled.*disable_ipv6") as caught:
                bound.want(frozenset({SIX, FOUR}))
            assert caught.value.errno == errno.EACCES
            assert set(caught.value.failures) == {SIX}
            assert bound.addresses.present() == {FOUR}
            # It stays wanted: tried again at intervals, and reported when it works at last.
            await until(lambda: len(bound.failed) >= 2)
            assert not bound.repaired
            host.sysctl(f"net.ipv6.conf.{where}.disable_ipv6", 0)
            await until(lambda: bound.repaired == [SIX])
            assert bound.addresses.present() == {SIX, FOUR}

    with host:
        run(scenario())


@pytest.mark.system
def test_what_is_undone_again_and_again_is_a_failure(
    host: Namespace, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five repairs the failure is reported, and the next attempt waits for the back-off."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX, FOUR}))

            async def fight() -> None:
                bound.repaired.clear()
                bound.failed.clear()
                for count in range(1, addresses_module.REPAIR_LIMIT + 1):
                    host.ip(f"addr del {SIX}/128 dev lo")
                    await reports(bound, count, until)
                assert [address for address, _ in bound.failed] == [SIX]
                assert bound.failed[0][1].errno == errno.EBUSY
                assert bound.has(SIX)

            monkeypatch.setattr(addresses_module, "FIRST_BACKOFF", NEVER)
            monkeypatch.setattr(addresses_module, "LONGEST_BACKOFF", NEVER)
            await fight()
            host.ip(f"addr del {SIX}/128 dev lo")
            # Another address is not punished for it.
            host.ip(f"addr del {FOUR}/32 dev lo")
            await until(lambda: FOUR in bound.repaired)
            assert not bound.has(SIX)
            # Whoever asks anew gets a new beginning.
            bound.want(frozenset({FOUR}))
            bound.want(frozenset({SIX, FOUR}))
            monkeypatch.setattr(addresses_module, "FIRST_BACKOFF", 3.0)
            await fight()
            failed = time.monotonic()
            host.ip(f"addr del {SIX}/128 dev lo")
            await until(lambda: len(bound.failed) == 2)
            assert time.monotonic() - failed > addresses_module.FIRST_BACKOFF / 2
            assert bound.has(SIX)

    with host:
        run(scenario())


@pytest.mark.system
def test_old_repairs_are_forgotten(host: Namespace, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses_module, "STABLE_AFTER", 0.0)

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX}))
            for count in range(1, 2 * addresses_module.REPAIR_LIMIT):
                host.ip(f"addr del {SIX}/128 dev lo")
                await reports(bound, count, until)
            assert not bound.failed

    with host:
        run(scenario())


@pytest.mark.system
def test_callbacks_may_set(host: Namespace, run: Run, until: Until) -> None:
    """The agent answers a failure with another wanted set, from within the callback."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.when_repaired = lambda _address: bound.want(frozenset({OTHER_SIX}))
            bound.want(frozenset({SIX, FOUR}))
            host.ip(f"addr del {SIX}/128 dev lo\naddr del {FOUR}/32 dev lo")
            await until(lambda: bound.addresses.present() == {OTHER_SIX})
            await quiet(bound, until)
            assert bound.addresses.present() == {OTHER_SIX}

    with host:
        run(scenario())


@pytest.mark.system
def test_more_notifications_than_fit_are_no_end(
    namespace: Callable[[], Namespace], cable: Any, run: Run, until: Until
) -> None:
    """ENOBUFS: thousands of addresses come and go elsewhere while we look away, and one of ours goes in their midst.

    What the kernel still had room for is not about lo at all; that it had no room for more is what makes us look.
    """
    host, other = namespace(), namespace()
    cable(host, "eth0", other, "eth0")

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            await until(lambda: bound.addresses.watch.refreshes)
            await quiet(bound, until)
            many = [f"10.{n // 250}.{n % 250}.1/32" for n in range(1500)]
            host.ip("\n".join(f"addr add {address} dev eth0" for address in many))
            host.ip(f"addr del {FOUR}/32 dev lo")
            assert not bound.repaired  # nothing of this has been read: the loop has not had its turn
            await until(lambda: bound.repaired == [FOUR])
            assert bound.addresses.watch.overflows == 1
            await quiet(bound, until)
            host.ip(f"addr del {SIX}/128 dev lo")
            await until(lambda: bound.repaired == [FOUR, SIX])

    with host:
        run(scenario())


@pytest.mark.system
def test_what_happens_on_other_interfaces_costs_no_look(
    namespace: Callable[[], Namespace], cable: Any, run: Run, until: Until
) -> None:
    left, right = namespace(), namespace()
    cable(left, "eth0", right, "eth0")

    async def scenario() -> None:
        async with binding(left) as bound:
            bound.want(frozenset({SIX}))
            await until(lambda: bound.addresses.watch.refreshes and not bound.addresses.watch.pending)
            before = bound.addresses.watch.refreshes
            left.ip("\n".join(f"addr add 10.0.{n}.1/24 dev eth0" for n in range(50)) + "\nlink set eth0 down")
            # Everything was read, and none of it was a reason to look.
            await until(lambda: not select.select([bound.addresses.watch], [], [], 0)[0])
            assert not bound.addresses.watch.pending
            assert bound.addresses.watch.refreshes == before

    with left:
        run(scenario())


@pytest.mark.system
def test_without_the_right_to_change_addresses(
    host: Namespace, run: Run, until: Until, without_capability: Any
) -> None:
    """The error that an operator without the capability sees."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(NOTHING)  # nothing to do needs no right
            host.ip("addr add 198.51.100.1/32 dev lo")
            await until(lambda: bound.addresses.watch.refreshes)
            await quiet(bound, until)
            with without_capability(CAP_NET_ADMIN), pytest.raises(AddressError, match="CAP_NET_ADMIN") as caught:
                bound.want(OURS)
            assert set(caught.value.failures) == OURS
            # They stay wanted: a second later we try again, without anything on lo having changed.
            await until(lambda: set(bound.repaired) == OURS)
            assert bound.addresses.present() == OURS

    with host:
        run(scenario())


@pytest.mark.system
def test_two_capabilities_suffice(host: Namespace, run: Run, with_two_capabilities: Any) -> None:
    def body() -> None:
        async def scenario() -> None:
            async with binding(host) as bound:
                bound.want(OURS)
                assert bound.addresses.present() == OURS
                bound.want(NOTHING)

        run(scenario())

    with host:
        with_two_capabilities(body)


@dataclass
class Kernel:
    """The real kernel, with counted requests, and with some answers delayed or suppressed."""

    writes: Counter[int] = field(default_factory=Counter)
    """number of batches by the kind of requests in them"""
    dumps: int = 0
    late: int = 0
    """route queries that get the answer of a route that is not local yet"""
    deaf: bool = False
    """whether it carries out no change"""
    mute: int = 0
    """route queries that are not answered"""
    unreadable: int = 0
    """dumps that fail"""
    meanwhile: Callable[[], None] | None = None
    """called before the next change: the action of another program"""

    def __post_init__(self) -> None:
        self.batch, self.parts = Netlink.batch, Netlink.parts

    def answer(self, netlink: Netlink, requests: Sequence[Request]) -> list[bytes | OSError]:
        kinds = {request.kind for request in requests}
        self.writes.update(kinds)
        if GET_ROUTE in kinds and self.mute and not self.late:
            self.mute -= 1
            raise TimeoutError
        if requests and requests[0].flags and self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        if self.deaf and NEW_ADDRESS in kinds:
            return [b""] * len(requests)
        answers = self.batch(netlink, requests)
        if GET_ROUTE in kinds and self.late:
            self.late -= 1
            return [b"" for _ in answers]  # the /128 that leads to lo is listed, but the route is not local
        return answers

    def dump(self, netlink: Netlink, request: Request) -> Iterator[bytes]:
        self.dumps += 1
        if self.unreadable:
            self.unreadable -= 1
            raise OSError(errno.ENOBUFS, "no buffer space")
        return self.parts(netlink, request)


NEW_ADDRESS, DELETE_ADDRESS, GET_ROUTE = 20, 21, 26


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()

    def batch(self: Netlink, requests: Sequence[Request]) -> list[bytes | OSError]:
        return made.answer(self, requests)

    def parts(self: Netlink, request: Request) -> Iterator[bytes]:
        return made.dump(self, request)

    monkeypatch.setattr(Netlink, "batch", batch)
    monkeypatch.setattr(Netlink, "parts", parts)
    return made


@pytest.mark.system
def test_bound_means_that_packets_are_accepted(
    host: Namespace, run: Run, until: Until, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lists an IPv6 address before its worker has added the local route, which has to be awaited.

    How late that worker is cannot be arranged, so its lateness is put before the kernel's answer.
    """

    async def scenario() -> None:
        async with binding(host) as bound:
            kernel.late = 3
            bound.want(frozenset({SIX}))
            assert bound.has(SIX)
            assert bound.addresses.awaited == {SIX}
            await until(lambda: bound.accepted)
            assert not kernel.late
            assert not bound.addresses.awaited
            asked = kernel.writes[GET_ROUTE]
            assert asked >= 4, "more if its worker was late itself"
            bound.want(frozenset({SIX}))  # nothing is asked of what was local once
            assert kernel.writes[GET_ROUTE] == asked
            kernel.late = 10_000
            monkeypatch.setattr(addresses_module, "ROUTED_WITHIN", 0.25)
            bound.want(frozenset({SIX, FOUR}))
            assert bound.addresses.awaited == {FOUR}
            await until(lambda: bound.failed)
            assert [(address, error.errno) for address, error in bound.failed] == [(FOUR, errno.EAGAIN)]
            assert "accepts no packets" in str(bound.failed[0][1])
            assert bound.accepted == 1
            kernel.late = 0
            await until(lambda: bound.repaired == [FOUR])

    with host:
        run(scenario())


@pytest.mark.system
def test_a_question_that_the_kernel_does_not_answer_is_asked_again(
    host: Namespace, run: Run, until: Until, kernel: Kernel
) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            kernel.late, kernel.mute = 1, 2
            bound.want(frozenset({SIX}))
            assert bound.addresses.awaited == {SIX}
            await until(lambda: bound.accepted)
            assert not kernel.mute
            assert not bound.failed

    with host:
        run(scenario())


@pytest.mark.system
def test_what_could_not_be_done_since_the_table_was_not_readable_is_tried_again(
    host: Namespace, run: Run, until: Until, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else asks for an unbind once more, and no change of lo is to come."""
    monkeypatch.setattr(addresses_module, "FIRST_BACKOFF", 0.05)

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(frozenset({SIX}))
            await until(lambda: bound.addresses.watch.refreshes)
            await quiet(bound, until)
            kernel.unreadable = 2
            with pytest.raises(OSError, match="no buffer space"):
                bound.want(NOTHING)
            await until(lambda: not kernel.unreadable and not bound.has(SIX))
            bound.want(frozenset({SIX}))
            assert bound.has(SIX)

    with host:
        run(scenario())


@pytest.mark.system
def test_what_was_repaired_is_awaited_like_anything_else(
    host: Namespace, run: Run, until: Until, kernel: Kernel
) -> None:
    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            await quiet(bound, until)
            await until(lambda: not bound.addresses.awaited)
            kernel.late = 10_000  # until we have seen it
            host.ip(f"addr del {SIX}/128 dev lo")
            await until(lambda: bound.addresses.awaited == {SIX})
            assert not bound.repaired
            kernel.late = 0
            await until(lambda: bound.repaired == [SIX])
            await quiet(bound, until)
            kernel.late = 10_000
            host.ip(f"addr del {FOUR}/32 dev lo")
            await until(lambda: bound.addresses.awaited == {FOUR})
            bound.want(frozenset({SIX}))  # what is not wanted any more is not awaited either
            assert not bound.addresses.awaited
            kernel.late = 0
            await quiet(bound, until)
            assert bound.repaired == [SIX]
            assert not bound.failed

    with host:
        run(scenario())


@pytest.mark.system
def test_many_addresses_are_one_batch(namespace: Callable[[], Namespace], run: Run, kernel: Kernel) -> None:
    """The table is read once before and once after any number of changes; and once if nothing has to be changed."""
    many = frozenset(ip_address(f"2001:db8:53::{number:x}") for number in range(1, 301))
    host = namespace()

    async def scenario() -> None:
        async with binding(host, many) as bound:
            for wanted, kind, dumps in (
                (many, NEW_ADDRESS, 2),
                (many, NEW_ADDRESS, 1),
                (NOTHING, DELETE_ADDRESS, 2),
            ):
                kernel.writes.clear()
                kernel.dumps = 0
                bound.want(wanted)
                assert len(bound.shown()) == len(wanted)
                assert kernel.dumps == dumps
                assert kernel.writes[kind] == dumps - 1

    with host:
        run(scenario())


@pytest.mark.system
def test_what_the_kernel_confirms_is_checked(host: Namespace, run: Run, kernel: Kernel) -> None:
    kernel.deaf = True

    async def scenario() -> None:
        async with binding(host) as bound:
            with pytest.raises(AddressError, match="does not show it"):
                bound.want(frozenset({SIX}))

    with host:
        run(scenario())


@pytest.mark.system
def test_removing_an_absent_address_is_no_error(host: Namespace, run: Run, kernel: Kernel) -> None:
    """Another program removed it after we had read the table."""

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.want(OURS)
            kernel.meanwhile = lambda: host.ip("\n".join(f"addr del {one}/{one.max_prefixlen} dev lo" for one in OURS))
            bound.want(NOTHING)
            assert not bound.addresses.present()

    with host:
        run(scenario())


@pytest.mark.system
def test_set_before_open_is_an_error_of_the_system(host: Namespace) -> None:
    bound = Bound(host)
    bound.own(OURS)
    with pytest.raises(OSError, match="not open"):
        bound.want(OURS)


@pytest.mark.system
def test_global_addresses_for_the_choice_of_a_source(host: Namespace) -> None:
    with host:
        assert [str(address) for address in global_on_loopback()] == ["192.0.2.11", "2001:db8:ff::11"]


@pytest.mark.parametrize(
    ("number", "address", "advice"),
    [
        (errno.EPERM, FOUR, "CAP_NET_ADMIN"),
        (errno.EACCES, SIX, "disable_ipv6"),
        (errno.EOPNOTSUPP, SIX, "without IPv6"),
        (errno.ENOMEM, SIX, "memory"),
    ],
)
def test_a_refusal_comes_with_advice(number: int, address: Address, advice: str) -> None:
    error = explained(OSError(number, "the kernel says: memory"), address)
    assert error.errno == number
    assert advice in str(error)


@given(st.binary(min_size=32, max_size=32))
def test_any_notification_concerns_lo_or_not(notification: bytes) -> None:
    assert concerns_loopback(notification) is (notification[20:24] == struct.pack("=I", 1))


# In a VRF, which the kernel of a test may not have: by what it says


def described(*parts: bytes) -> bytes:
    """An interface, as the kernel describes it."""
    return struct.pack("=BxHiII", 0, 1, 7, 0x41, 0) + b"".join(parts)


def test_the_vrf_of_an_interface_is_known() -> None:
    master = attribute(10, struct.pack("=I", 12))
    slave = attribute(18, attribute(3, b"vrf_slave\0") + attribute(4, b"vrf\0"))
    assert read_link(described(master, slave))[0] == 0x41
    assert vrf(7, read_link(described(master, slave))[1]) == 12
    port = attribute(18, attribute(1, b"veth\0") + attribute(4, b"bridge\0"))
    assert vrf(7, read_link(described(master, port))[1]) == 0, "a bridge has no table"
    assert vrf(7, read_link(described(slave))[1]) == 0
    assert vrf(7, read_link(described(attribute(18, attribute(1, b"vrf\0"))))[1]) == 7, "it is one itself"
    assert vrf(7, read_link(described())[1]) == 0
    with pytest.raises(OSError, match="too short"):
        read_link(b"")


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_the_route_to_an_address_in_a_vrf_is_looked_for_there(address: Address) -> None:
    plain, within = route_query(address), route_query(address, 12)
    assert within.body == plain.body + attribute(4, struct.pack("=I", 12))


@pytest.mark.system
def test_what_a_bridge_has_enslaved_is_in_no_vrf(host: Namespace, run: Run) -> None:
    """By a real kernel: the local route is found as ever."""
    host.ip("link add br7 type bridge\nlink add eth7 type veth peer eth8\nlink set eth7 master br7 up")

    async def scenario() -> None:
        async with binding(host) as bound:
            bound.addresses.set([VirtualAddress(FOUR, interface="eth7"), VirtualAddress(SIX, interface="eth7")])
            assert FOUR not in bound.addresses.awaited
            assert bound.addresses.present() == {FOUR, SIX}

    with host:
        run(scenario())
