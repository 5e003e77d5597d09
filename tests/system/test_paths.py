"""The paths toward a peer, from a real routing table that changes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import struct
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from exavrrp.ports import Link
from exavrrp.system import netlink
from exavrrp.system import paths as paths_module
from exavrrp.system.netlink import Netlink, Request, Watch, attribute, messages, raise_error
from exavrrp.system.paths import Paths, Route, Routing, bound_to, group_members, read_next_hop, read_route, vrf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.system.conftest import Namespace, Pair, Run, Until

both_families = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


class Asked:
    """Paths on host a, and how often they reported a change."""

    def __init__(self, pair: Pair, version: int, only: list[str] | None = None) -> None:
        self.source, self.peer = pair.of(version)
        self.changes = 0
        self.paths = Paths(self._changed, only)

    def _changed(self) -> None:
        self.changes += 1

    def names(self) -> list[str]:
        return [link.name for link in self.paths.toward(self.peer, self.source)]


@contextlib.asynccontextmanager
async def asking(pair: Pair, version: int, only: list[str] | None = None) -> AsyncIterator[Asked]:
    asked = Asked(pair, version, only)
    asked.paths.open(asyncio.get_running_loop())
    try:
        yield asked
    finally:
        asked.paths.close()


async def quiet(asked: Asked, until: Until) -> None:
    """Waits until the look that ends a burst is done: nothing is pending any more."""
    await until(lambda: not asked.paths.watch.pending)


@pytest.mark.system
@both_families
def test_a_source_that_goes_and_comes_back_is_noticed(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            paths, source = asked.paths, asked.source
            away = "rule add pref 9 lookup local\nrule del pref 0\nrule add pref 5 iif lo lookup 77"
            pair.a.ip(f"route add default dev eth0 table 77\n{away}", f"-{version}")
            assert "eth0" in pair.a.run("ip", "route", "get", str(source))
            assert paths.holds(source), "also where its route leads away"
            assert not paths.holds(asked.peer)
            before = asked.changes
            pair.a.ip(f"addr del {source}/{source.max_prefixlen} dev lo")
            await until(lambda: asked.changes > before and not paths.holds(source))
            pair.a.ip(f"addr add {source}/{source.max_prefixlen} dev lo")
            await until(lambda: paths.holds(source))

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_a_neighbor_is_reached_over_a_usable_route_or_on_this_host(pair: Pair, run: Run, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            paths = asked.paths
            neighbor = ip_address("10.0.0.2" if version == 4 else "fd00:0::2")
            assert all(paths.reaches(one) for one in (neighbor, asked.peer, asked.source))
            assert not paths.reaches(ip_address("198.51.100.1" if version == 4 else "2001:db8:99::1"))
            pair.a.ip(f"route add blackhole {neighbor}", f"-{version}")
            assert not paths.reaches(neighbor)
            pair.a.ip("link set eth0 down\nlink set eth1 down")
            assert not paths.reaches(asked.peer)

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_all_next_hops_of_a_multipath_route(pair: Pair, run: Run, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            expected = tuple(Link(socket.if_nametoindex(name), name) for name in ("eth0", "eth1"))
            assert asked.paths.toward(asked.peer, asked.source) == expected
            assert asked.paths.interface_name(expected[1].index) == "eth1"
            assert asked.paths.interface_name(4711) == "if4711"
            assert asked.paths.interface_name(-1) == "if-1"

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_in_a_vrf_the_routes_are_those_of_its_device(pair: Pair, run: Run, version: int) -> None:
    """This kernel need not have VRFs: what names the device of one to it names any (``ip route get … oif``)."""
    source, peer = pair.of(version)

    async def scenario() -> None:
        indexes = {name: socket.if_nametoindex(name) for name in ("eth0", "eth1")}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            assert bound_to(probe) == vrf() == 0
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth1\0")
            assert bound_to(probe) == indexes["eth1"]
        via = "10.0.{}.2" if version == 4 else "fd00:{}::2"
        ways = [f"route add {peer} via {via.format(n)} dev eth{n} metric {n + 1}" for n in (0, 1)]
        pair.a.ip("\n".join([f"route flush {peer}", *ways]), f"-{version}")
        assert [link.name for link in Paths(lambda: None).once(peer, source)] == ["eth0"]
        # With a source IPv6 prefers a port, and does not insist on it.
        for name, index in indexes.items() if version == 4 else ():
            assert Paths(lambda: None, device=index).once(peer, source) == (Link(index, name),)
        away = ip_address("10.0.1.2" if version == 4 else "fd00:1::2")
        there, elsewhere = Paths(lambda: None, device=indexes["eth1"]), Paths(lambda: None, device=indexes["eth0"])
        with contextlib.closing(there), contextlib.closing(elsewhere):
            for paths in (there, elsewhere):
                paths.open(asyncio.get_running_loop())
            assert (there.is_cut_off(away, None), elsewhere.is_cut_off(away, None)) == (False, True)
            assert (there.reaches(away), elsewhere.reaches(away)) == (True, False)

    with pair.a:
        run(scenario())


def use_next_hop_objects(pair: Pair, version: int) -> None:
    """The same two next hops as objects in a group, as FRR installs them."""
    _, peer = pair.of(version)
    via = "10.0.{}.2" if version == 4 else "fd00:{}::2"
    pair.a.ip(
        f"""nexthop add id 1 via {via.format(0)} dev eth0
            nexthop add id 2 via {via.format(1)} dev eth1
            nexthop add id 10 group 1/2"""
    )
    pair.a.ip(f"route flush {peer}\nroute add {peer} nhid 10", f"-{version}")


@pytest.mark.system
@both_families
@pytest.mark.parametrize("compatible", [0, 1])
def test_a_group_of_next_hop_objects(pair: Pair, run: Run, until: Until, version: int, compatible: int) -> None:
    """With nexthop_compat_mode 0 the route names the group only, and its members have to be asked for."""
    use_next_hop_objects(pair, version)
    pair.a.sysctl("net.ipv4.nexthop_compat_mode", compatible)

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth0", "eth1"]
            pair.a.ip("nexthop replace id 10 group 2")
            await until(lambda: asked.names() == ["eth1"])
            pair.a.ip("nexthop replace id 10 group 1/2")
            await until(lambda: asked.names() == ["eth0", "eth1"])
            pair.b.ip("link set eth1 down")
            await until(lambda: asked.names() == ["eth0"])

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
@pytest.mark.parametrize("compatible", [0, 1])
def test_a_single_next_hop_object(pair: Pair, run: Run, version: int, compatible: int) -> None:
    use_next_hop_objects(pair, version)
    pair.a.sysctl("net.ipv4.nexthop_compat_mode", compatible)
    _, peer = pair.of(version)
    pair.a.ip(f"route del {peer}\nroute add {peer} nhid 2", f"-{version}")

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth1"]

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_two_gateways_on_one_interface_are_one_path(pair: Pair, run: Run, version: int) -> None:
    _, peer = pair.of(version)
    via = "10.0.0.{}" if version == 4 else "fd00:0::{}"
    hops = " ".join(f"nexthop via {via.format(n)} dev eth0" for n in (2, 3))
    pair.a.ip(f"route flush {peer}\nroute add {peer} {hops}", f"-{version}")

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth0"]

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_routing_rules_by_source_are_obeyed(pair: Pair, run: Run, until: Until, version: int) -> None:
    """The route *from our source*: what `ip route get PEER` without `from` would not show."""

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth0", "eth1"]
            via = "10.0.1.2" if version == 4 else "fd00:1::2"
            pair.a.ip(f"route add {asked.peer} via {via} table 100", f"-{version}")
            await until(lambda: asked.paths.watch.refreshes)
            await quiet(asked, until)
            assert asked.names() == ["eth0", "eth1"]
            pair.a.ip(f"rule add from {asked.source} table 100 priority 100", f"-{version}")
            await until(lambda: asked.names() == ["eth1"])

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit", "throw", "none"])
def test_no_way_is_no_path(pair: Pair, run: Run, until: Until, version: int, kind: str) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth0", "eth1"]
            add = "" if kind == "none" else f"route add {kind} {asked.peer}"
            pair.a.ip(f"route flush {asked.peer}\n{add}", f"-{version}")
            await until(lambda: asked.names() == [])
            await quiet(asked, until)
            assert asked.changes == 1

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_a_peer_on_this_host_is_left_to_the_kernel(pair: Pair, run: Run, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.paths.toward(asked.source, asked.source) == ()

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_a_source_that_is_missing_is_no_exception(pair: Pair, run: Run, version: int) -> None:
    other = ip_address("192.0.2.99" if version == 4 else "2001:db8:ff::99")

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            # IPv4 has no route from a source it does not own; IPv6 does not care.
            expected = [] if version == 4 else ["eth0", "eth1"]
            assert [link.name for link in asked.paths.toward(asked.peer, other)] == expected

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
@pytest.mark.parametrize(
    "how",
    ["carrier", "interface"],
)
def test_a_next_hop_whose_link_is_down_is_left_out(pair: Pair, run: Run, until: Until, version: int, how: str) -> None:
    host = pair.b if how == "carrier" else pair.a

    async def scenario() -> None:
        async with asking(pair, version) as asked:
            assert asked.names() == ["eth0", "eth1"]
            host.ip("link set eth1 down")
            await until(lambda: asked.names() == ["eth0"])
            host.ip("link set eth1 up")
            if version == 6 and how == "interface":
                pair.a.ip("addr add fd00:1::1/64 dev eth1")  # went with the interface, and the routes over it
                pair.route(0, 1)
            await until(lambda: asked.names() == ["eth0", "eth1"])
            await quiet(asked, until)
            assert asked.changes >= 2

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_an_interface_made_anew_has_its_new_index(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            before = asked.paths.toward(asked.peer, asked.source)[1]
            pair.a.ip("link del eth1")
            # With it, the kernel takes the one next hop (IPv6) or, without a word, the whole route (IPv4).
            await until(lambda: "eth1" not in asked.names())
            pair.plug(1)
            pair.route(0, 1)
            await until(lambda: asked.names() == ["eth0", "eth1"])
            after = asked.paths.toward(asked.peer, asked.source)[1]
            assert after.index == socket.if_nametoindex("eth1") != before.index
            assert asked.paths.interface_name(after.index) == "eth1"

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_a_renamed_interface_has_its_new_name(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with asking(pair, 4) as asked:
            index = asked.paths.toward(asked.peer, asked.source)[1].index
            assert asked.paths.interface_name(index) == "eth1"
            pair.a.ip("link set eth1 name uplink1")
            await until(lambda: asked.names() == ["eth0", "uplink1"])
            assert asked.paths.interface_name(index) == "uplink1"

    with pair.a:
        run(scenario())


@pytest.mark.system
@both_families
def test_only_restricts(pair: Pair, run: Run, until: Until, version: int) -> None:
    """The choice is never left to the kernel, which could take an interface that is not permitted."""

    async def scenario() -> None:
        async with asking(pair, version, ["eth1"]) as asked:
            assert asked.names() == ["eth1"]
            pair.route(0)
            await until(lambda: asked.paths.watch.refreshes)
            await quiet(asked, until)
            assert asked.names() == ["eth1"]
            assert asked.changes == 0
            pair.a.ip("link del eth1")
            await until(lambda: asked.paths.toward(asked.peer, asked.source) == (Link(0, "eth1"),))

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_an_interface_that_is_set_down_or_renamed_is_noticed(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with asking(pair, 4) as every, asking(pair, 4, ["eth1"]) as asked:
            assert asked.paths.is_up()
            for change, back in (("set eth1 down", "set eth1 up"), ("set eth1 down name x", "set x name eth1 up")):
                before = asked.changes
                pair.a.ip(f"link {change}")
                await until(lambda: not asked.paths.is_up())
                pair.a.ip(f"link {back}")
                await until(asked.paths.is_up)
                assert asked.changes >= before + 2
            assert every.paths.is_up()

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_restricted_to_nothing_means_unrestricted(pair: Pair, run: Run) -> None:
    async def scenario() -> None:
        async with asking(pair, 6, []) as asked:
            assert asked.names() == ["eth0", "eth1"]

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_changes_elsewhere_are_not_reported(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        async with asking(pair, 4) as asked:
            asked.names()
            pair.a.ip("route add 203.0.113.0/24 via 10.0.0.2\naddr add 198.51.100.1/32 dev lo")
            await until(lambda: asked.paths.watch.refreshes)
            await quiet(asked, until)
            assert asked.changes == 0

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_a_storm_costs_little_and_ends_with_the_right_answer(pair: Pair, run: Run, until: Until) -> None:
    """A router daemon installs 10,000 routes; at the very end one of our next hops goes.

    Whatever time the storm takes, looks are rare, and the processor time they take is a small part of it.
    """

    async def scenario() -> None:
        async with asking(pair, 4) as asked:
            assert asked.names() == ["eth0", "eth1"]
            asked.paths.toward(pair.b6, pair.a6)
            lines = [f"route add 10.{128 + n // 250}.{n % 250}.0/24 via 10.0.0.2" for n in range(10000)]
            lines += [f"route del 10.{128 + n // 250}.{n % 250}.0/24" for n in range(10000)]
            lines += ["route replace 192.0.2.12/32 via 10.0.1.2 dev eth1"]
            storm = pair.a.popen(["ip", "-batch", "-"], stdin=-1)
            assert storm.stdin is not None
            started, used = time.monotonic(), time.process_time()
            await asyncio.to_thread(storm.communicate, "\n".join(lines) + "\n")
            assert storm.returncode == 0
            await until(lambda: asked.names() == ["eth1"])
            await quiet(asked, until)
            took = time.monotonic() - started
            assert asked.paths.watch.refreshes <= 3 + netlink.BURST + took / paths_module.SPACING
            assert time.process_time() - used < 0.25 * took + 0.1

    with pair.a:
        run(scenario(), 120)


@pytest.mark.system
def test_a_few_changes_in_a_row_are_seen_at_once_and_then_no_more(
    namespace: Callable[[], Namespace], run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        looks: list[float] = []
        loop = asyncio.get_running_loop()
        watch = Watch([5], lambda: looks.append(loop.time()), delay=0.01, spacing=600.0)
        watch.open(loop)
        try:
            while len(looks) < netlink.BURST:
                seen = len(looks)
                host.ip(f"addr add 10.0.0.{seen}/32 dev lo")
                await until(lambda: len(looks) > seen)  # noqa: B023 — awaited at once
            host.ip("addr add 10.0.1.1/32 dev lo")
            await until(lambda: watch.pending)
            assert len(looks) == netlink.BURST
        finally:
            watch.close()

    monkeypatch.setattr(netlink, "SETTLED", 0.0)
    host = namespace()
    with host:
        run(scenario())


@pytest.mark.system
def test_a_lost_answer_is_requested_again(pair: Pair, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is out of memory, say: the old answer stays in use, and we retry without a notification."""

    async def scenario() -> None:
        async with asking(pair, 4) as asked:
            real = Netlink.ask
            failures = [OSError(errno.ENOBUFS, "no memory"), OSError(errno.ENOBUFS, "no memory")]

            def ask(kernel: Netlink, request: Request) -> Any:
                if failures:
                    raise failures.pop()
                return real(kernel, request)

            monkeypatch.setattr(Netlink, "ask", ask)
            assert asked.names() == []
            await until(lambda: asked.names() == ["eth0", "eth1"])
            assert not failures
            assert asked.changes == 1

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_an_overflow_in_the_middle_of_nothing_else_is_a_look(
    namespace: Callable[[], Namespace], run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More notifications than the buffer holds, all sent before we read any: one look, and the watch lives on."""

    async def scenario() -> None:
        looks: list[float] = []
        loop = asyncio.get_running_loop()
        watch = Watch([5], lambda: looks.append(loop.time()), delay=0.01, spacing=0.01)
        watch.open(loop)
        try:
            host.ip("\n".join(f"addr add 10.{n // 250}.{n % 250}.1/32 dev lo" for n in range(2000)))
            await until(lambda: looks)
            assert watch.overflows == 1
            await until(lambda: not watch.pending)
            seen = len(looks)
            host.ip("addr add 198.51.100.1/32 dev lo")
            # A look at once and a late one, for what the kernel announces before it does it; then no more.
            await until(lambda: len(looks) == seen + 2)
            assert looks[-1] - looks[-2] > settled / 2
            assert not watch.pending
        finally:
            watch.close()

    settled = 3.0  # longer than the first look is late on a busy machine
    monkeypatch.setattr(netlink, "SETTLED", settled)
    host = namespace()
    with host:
        run(scenario())


@pytest.mark.system
def test_asking_without_a_socket_is_an_error_of_the_system(need_root: None, pair: Pair, run: Run) -> None:
    async def scenario() -> None:
        async with asking(pair, 4) as asked:
            pass
        asked.paths.close()
        assert asked.names() == []  # not known, not raised

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_errors_carry_the_kernels_explanation(namespace: Callable[[], Namespace]) -> None:
    """An error carries the kernel's explanation (extended acknowledgement), not only its number."""
    netlink_socket = Netlink()
    with namespace():
        netlink_socket.open()
    try:
        question = Request(106, bytes(8) + attribute(1, struct.pack("=I", 4711)))  # RTM_GETNEXTHOP, NHA_ID
        with pytest.raises(OSError, match=r".") as caught:
            netlink_socket.ask(question)
        assert caught.value.errno == errno.ENOENT
    finally:
        netlink_socket.close()


@pytest.mark.system
def test_two_capabilities_suffice(pair: Pair, run: Run, until: Until, with_two_capabilities: Any) -> None:
    def body() -> None:
        async def scenario() -> None:
            async with asking(pair, 6) as asked:
                assert asked.names() == ["eth0", "eth1"]

        run(scenario())

    with pair.a:
        with_two_capabilities(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_of_messages(data: bytes) -> None:
    for offset, kind, flags, _ in messages(data):
        assert 0 <= offset <= len(data) - 16
        assert 0 <= kind <= 0xFFFF
        assert 0 <= flags <= 0xFFFF


_error_head = st.builds(
    lambda flags, kind, body: struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body,
    st.sampled_from([0, 0x100, 0x200, 0x300]),
    st.sampled_from([2, 3]),
    st.binary(max_size=80),
)


@given(_error_head)
@example(struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -(1 << 31)))  # no such error: strerror() takes no such number
def test_any_error_message_is_an_oserror_or_none(data: bytes) -> None:
    for offset, *_ in messages(data):
        with contextlib.suppress(OSError):
            raise_error(data, offset)


_kinds = st.sampled_from([1, 4, 5, 9, 30, 0x8000 | 9])
_contents = st.binary(max_size=24) | st.sampled_from([struct.pack("=HBBi", 8, 0, 0, 3), struct.pack("=I", 7)])
_attributed = st.builds(
    lambda head, pairs: head + b"".join(attribute(kind, content) for kind, content in pairs),
    st.binary(min_size=12, max_size=12) | st.binary(min_size=8, max_size=8),
    st.lists(st.tuples(_kinds, _contents), max_size=4),
)


@given(st.sampled_from([read_route, read_next_hop]), st.binary(max_size=80) | _attributed)
def test_any_message_is_a_route_or_an_oserror(read: Callable[[bytes], Route], message: bytes) -> None:
    try:
        found = read(message)
    except OSError as error:
        assert error.errno == errno.EBADMSG  # noqa: PT017 — or none is raised
    else:
        assert 0 <= found.kind <= 0xFF
        assert len(found.links) + len(found.objects) <= len(message) // 4


def test_next_hops_of_a_route_are_read() -> None:
    """As pyroute2 writes them: an independent encoder."""
    route = rtmsg()
    route["family"], route["type"] = socket.AF_INET, 1
    hops = [{"oif": 2, "hops": 0, "flags": 0}, {"oif": 3, "hops": 1, "flags": 16}, {"oif": 4, "hops": 0, "flags": 1}]
    route["attrs"] = [("RTA_DST", "192.0.2.12"), ("RTA_MULTIPATH", hops)]
    route.encode()
    assert read_route(bytes(route.data[16:])) == Route(kind=1, links=(2,), objects=())


def test_an_explained_error_is_read() -> None:
    text = b"IPv6 is disabled\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text + bytes(-len(text) % 4)
    inner = struct.pack("=IHHII", 60, 20, 5, 1, 0)
    body = struct.pack("=i", -errno.EACCES) + inner + attribute
    data = struct.pack("=IHHII", 16 + len(body), 2, 0x300, 1, 0) + body
    with pytest.raises(PermissionError, match="IPv6 is disabled"):
        raise_error(data, 0)


LINK_LOCAL = ip_address("fe80::1")


@pytest.mark.system
@both_families
def test_a_neighbor_is_cut_off_when_no_path_has_a_carrier(pair: Pair, run: Run, until: Until, version: int) -> None:
    async def scenario() -> None:
        async with asking(pair, version) as asked:
            paths = asked.paths
            neighbor = ip_address("10.0.0.2" if version == 4 else "fd00:0::2")
            assert not any(paths.is_cut_off(one, None) for one in (neighbor, asked.peer, asked.source))
            ends = [
                (LINK_LOCAL, None),
                (LINK_LOCAL, asked.source),
                (ip_address("169.254.0.1"), ip_address("169.254.0.2")),
            ]
            assert not any(paths.is_cut_off(*one) for one in ends), "on which interface is not known"
            before = asked.changes
            pair.b.ip("link set eth0 down")
            await until(lambda: paths.is_cut_off(neighbor, None) and asked.changes > before)
            assert not paths.is_cut_off(asked.peer, None), "the other path has one"
            pair.b.ip("link set eth1 down")
            await until(lambda: paths.is_cut_off(asked.peer, None))
            pair.b.ip("link set eth0 up")
            await until(lambda: not paths.is_cut_off(neighbor, None))
            pair.a.ip("link set eth0 down\nlink set eth1 down")
            await until(lambda: paths.is_cut_off(neighbor, None))

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_a_link_local_neighbor_is_on_the_link_that_has_our_end_of_the_session(
    pair: Pair, run: Run, until: Until
) -> None:
    """Both routers are called fe80::1."""
    own = [ip_address(f"fe80::{number + 1}:b") for number in (0, 1)]
    for number, local in enumerate(own):
        pair.a.ip(f"addr add {local}/64 dev eth{number} nodad")

    async def scenario() -> None:
        async with asking(pair, 6) as asked:

            def cut() -> list[bool]:
                return [asked.paths.is_cut_off(LINK_LOCAL, local) for local in own]

            assert cut() == [False, False]
            before = asked.changes
            pair.b.ip("link set eth0 down")
            await until(lambda: cut() == [True, False] and asked.changes > before)
            pair.b.ip("link set eth0 up\nlink set eth1 down")
            await until(lambda: cut() == [False, True])
            pair.a.ip("link set eth0 down")
            await until(lambda: cut() == [True, True])
            pair.a.ip(f"link set eth0 up\naddr add {own[0]}/64 dev eth0 nodad")
            await until(lambda: cut() == [False, True])

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_no_cut_is_seen_where_several_links_have_our_end_of_the_session(pair: Pair, run: Run, until: Until) -> None:
    """The session may run over either of them, and the route to our end names the first."""
    both, one = ip_address("fe80::b"), ip_address("fe80::1:b")
    pair.a.ip(f"addr add {one}/64 dev eth0 nodad")
    for number in (0, 1):
        pair.a.ip(f"addr add {both}/64 dev eth{number} nodad")

    async def scenario() -> None:
        async with asking(pair, 6) as asked:

            def cut() -> list[bool]:
                return [asked.paths.is_cut_off(LINK_LOCAL, local) for local in (one, both)]

            assert cut() == [False, False]
            pair.b.ip("link set eth0 down")
            await until(lambda: cut()[0])
            assert cut() == [True, False]
            pair.a.ip("route del fe80::/64 dev eth0", "-6")
            before = asked.paths.watch.refreshes
            await until(lambda: asked.paths.watch.refreshes > before)
            assert cut() == [True, False], "nor where there is no route"
            pair.a.ip(f"addr del {both}/64 dev eth1")
            await until(lambda: cut() == [True, True])

    with pair.a:
        run(scenario())


@given(st.binary(max_size=64))
def test_any_group_has_members(group: bytes) -> None:
    members = group_members(group)
    assert len(members) == len(group) // 8
    assert all(0 <= member <= 0xFFFF_FFFF for member in members)


@pytest.mark.system
def test_sets_of_interfaces_come_and_go(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        source, peer = pair.of(6)
        changes: list[None] = []
        routing = Routing(lambda: changes.append(None))
        assert not routing.reaches(peer), "nobody knows yet"
        routing.open(asyncio.get_running_loop())
        every = routing[None]
        routing.set([None])
        assert routing[None] is every
        assert [link.name for link in every.toward(peer, source)] == ["eth0", "eth1"]
        assert routing.reaches(peer)
        routing.set([None, ("eth1",)])
        one = routing["eth1",]
        assert [link.name for link in one.toward(peer, source)] == ["eth1"]
        assert routing[None] is every
        looks = every.watch.refreshes
        routing.set([None, ("eth1",)])
        assert every.watch.refreshes == looks, "asked nothing"
        pair.route(0)
        await until(lambda: [link.name for link in every.toward(peer, source)] == ["eth0"])
        routing.set([("eth1",)])
        assert routing.reaches(peer)
        assert not every.reaches(peer), "closed: it asks nobody any more"
        pair.route(1)
        await until(lambda: routing.reaches(peer) and changes)
        assert routing["eth1",] is one
        routing.close()

    with pair.a:
        run(scenario())


@pytest.mark.system
def test_a_set_of_interfaces_that_cannot_be_watched_changes_nothing(pair: Pair, run: Run, until: Until) -> None:
    async def scenario() -> None:
        source, peer = pair.of(6)
        routing = Routing(lambda: None)
        routing.open(asyncio.get_running_loop())
        routing.set([None])
        every = routing[None]
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as last:  # its number tells how many there are
            # Room for what watches the first new set, and not the second.
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 3, most[1]))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    routing.set([("eth0",), ("eth1",), ("eth0", "eth1")])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, most)
        assert [link.name for link in every.toward(peer, source)] == ["eth0", "eth1"]
        pair.route(1)
        await until(lambda: [link.name for link in every.toward(peer, source)] == ["eth1"])
        routing.set([("eth0",), None])
        assert [link.name for link in routing["eth0",].toward(peer, source)] == ["eth0"]
        assert routing[None] is every
        routing.close()

    with pair.a:
        run(scenario())
