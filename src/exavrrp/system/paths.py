"""The interfaces over which each peer is reached, from the kernel's routing table, and changes of these.

This file answers one question: over which interfaces can the kernel forward from this source to this peer? It must not
know what is sent there, nor how.

Protocol 112 has no ports, so equal-cost multipath hashes all adverts between two nodes onto one link. If that link
loses them, the Backup takes over although other links work. So each advert is sent once over *each* interface of the
route that the kernel uses. ``RTM_GETROUTE`` with ``RTM_F_FIB_MATCH`` (``ip route get fibmatch PEER from SOURCE``)
returns that route with all its next hops, for both families, for multipath routes and for next-hop groups. The kernel
applies rules, tables and metrics. Next hops that are dead or without carrier are left out.

In a VRF the route is that of its table, as of ``ip route get vrf``. A process is in one by its sockets: ``ip vrf exec``
runs it in a cgroup with a program (BPF_CGROUP_INET_SOCK_CREATE) that binds each new one to the device of the VRF. So
sockets need nothing else there, those bound to one uplink included, which is a port of the VRF; a query for a route is
no such socket, and names the device.

Answers are cached. A ``netlink.Watch`` on everything that can change them (links, addresses, routes, rules, next-hop
objects, the sysctls) queries them again, soon after a change but rate-limited. ``changed`` is called only if a cached
answer is a different one then.
"""

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from exavrrp.ports import NO_WAY, Interfaces, Link
from exavrrp.system.netlink import NLM_F_DUMP, Netlink, Request, Watch, attribute, attributes, fixed, number
from exavrrp.vrrp.packet import Address

DELAY = 0.015
"""Seconds from a notification until the routes are queried: one change causes several notifications."""
SPACING = 0.1
"""Seconds between two refreshes, on average (a routing daemon may be loading a whole table)."""
RETRY = 0.5
"""Seconds until a query that the kernel could not answer (it was out of memory, say) is retried."""

_RTM_GETADDR, _RTM_GETROUTE, _RTM_GETNEXTHOP = 22, 26, 106
_RTM_F_FIB_MATCH = 0x2000
_RTN_UNICAST, _RTN_LOCAL = 1, 2
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_MULTIPATH, _RTA_NH_ID = 1, 2, 4, 9, 30
_NHA_ID, _NHA_GROUP, _NHA_OIF = 1, 2, 5
_SO_BINDTOIFINDEX = 62
"""asm-generic/socket.h, since Linux 5.1; Python has no name for it."""
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 1
_FLAGS = struct.Struct("=16sH22x")
"""struct ifreq with flags (netdevice(7))."""
_UNUSABLE = 0x01 | 0x10
"""RTNH_F_DEAD, RTNH_F_LINKDOWN."""
_ADDRESS = struct.Struct("=4BI")
"""struct ifaddrmsg: family, prefix length, flags, scope, interface."""
_ROUTE = struct.Struct("=8BI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type; flags."""
_HOP = struct.Struct("=HBBi")
"""struct rtnexthop: length, flags, hops, interface; attributes follow."""
_NEXT_HOP = struct.Struct("=4BI")
"""struct nhmsg: family, scope, protocol, reserved; flags."""
_CLASS_SELECTOR_6 = 0xC0
"""The traffic class of adverts (RFC 4594 §3.1, CS6); routing rules may depend on it."""

_GROUPS = {
    "link": 1,
    "ipv4-address": 5,
    "ipv4-route": 7,
    "ipv4-rule": 8,
    "ipv6-address": 9,
    "ipv6-route": 11,
    "ipv6-rule": 19,
    "ipv4-netconf": 24,
    "ipv6-netconf": 25,
    "next-hop": 32,
}
"""RTNLGRP_* of linux/rtnetlink.h; the last exists since Linux 5.3."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route, or a next-hop object, as the kernel describes it."""

    kind: int
    """RTN_*; 0 for a next-hop object"""
    links: tuple[int, ...]
    """index of the interface of each next hop that is neither dead nor without carrier"""
    objects: tuple[int, ...]
    """ids of next-hop objects that hold further next hops (net.ipv4.nexthop_compat_mode = 0, groups)"""


class Paths:
    """The interfaces toward each peer.

    ``changed`` is called from the event loop after the answer for a queried (peer, source) has changed. ``only`` names
    the interfaces that may carry adverts; empty or None means all. ``device`` is the index of the VRF whose routes
    count, 0: none; None: that of this process.
    """

    def __init__(
        self, changed: Callable[[], None], only: Collection[str] | None = None, *, device: int | None = None
    ) -> None:
        self._changed = changed
        self._device = vrf() if device is None else device
        self._only = frozenset(only) if only else None
        self._kernel = Netlink()
        self.watch = Watch(_GROUPS.values(), self._refresh, delay=DELAY, spacing=SPACING)
        """watches for changes of the routes"""
        self._known: dict[tuple[Address, Address], tuple[Link, ...]] = {}
        self._held: dict[Address, bool] = {}
        self._up: bool | None = None
        """the last answer of ``is_up``; None: nobody has asked"""
        self._cut_off: dict[tuple[Address, Address | None], bool] = {}
        self._names: dict[int, str] = {}

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to watch for changes. Raises ``OSError`` when no netlink socket can be opened."""
        self.watch.open(loop)
        try:
            self._kernel.open()
        except OSError:
            self.watch.close()
            raise

    def close(self) -> None:
        self.watch.close()
        self._kernel.close()

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """The interfaces of the route from ``source`` to ``peer``, in the order of their index.

        Empty when there is no route, the route drops packets or ``peer`` is an address of this host; then the sender
        leaves the choice to the kernel. With ``only`` an answer is never empty, so that the kernel cannot choose an
        interface that must not be used: without a usable next hop, all permitted interfaces are returned, and the
        kernel decides whether sending there fails.
        """
        pair = (peer, source)
        if pair not in self._known:
            try:
                self._known[pair] = self._ask(peer, source)
            except OSError:
                self._known[pair] = self._restricted({})
                self.watch.refresh_after(RETRY)
        return self._known[pair]

    def once(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """The answer of ``toward``, of paths that are not open. Raises ``OSError``."""
        self._kernel.open()
        try:
            return self._ask(peer, source)
        finally:
            self._kernel.close()

    def holds(self, source: Address) -> bool:
        """Whether ``source`` is an address of this host; cached and watched like the answers of ``toward``.

        An IPv6 socket that is bound to an address still sends after the address was removed, but receives nothing.
        """
        if source not in self._held:
            self._held[source] = is_here(source)
        return self._held[source]

    def is_up(self) -> bool:
        """Whether any of the interfaces ``only`` is there and set up, with a carrier or without; true for all.

        Cached and watched like the answers of ``toward``.
        """
        if self._up is None:
            self._up = self._is_up()
        return self._up

    def _is_up(self) -> bool:
        return self._only is None or any(map(is_set_up, self._only))

    def reaches(self, neighbor: Address) -> bool:
        """Whether there is a usable route to ``neighbor`` now, or it is an address of this host. Not cached."""
        try:
            return self._leads(self._route(neighbor, None))
        except OSError:
            return False

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        """Whether no path to ``neighbor`` has a carrier, or there is no route; cached and watched like ``toward``.

        An IPv6 link-local neighbor is on the link that has ``local``, our end of the session. False if that is unknown,
        or on several links. As before if the kernel does not answer.
        """
        ends = (neighbor, local)
        if ends not in self._cut_off:
            self._cut_off[ends] = self._is_cut_off(neighbor, local)
        return self._cut_off[ends]

    def _is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        try:
            if not neighbor.is_link_local:
                return not self._leads(self._route(neighbor, None))
            if local is None or local.version == 4 or not local.is_link_local:
                return False
            links = self._links_of(local)
            return len(links) <= 1 and not any(self._leads(self._route(neighbor, None, link)) for link in links)
        except OSError as error:
            if error.errno in NO_WAY:
                return True
            self.watch.refresh_after(RETRY)
            return self._cut_off.get((neighbor, local), False)

    def _links_of(self, local: Address) -> set[int]:
        """The index of each interface with this IPv6 address (at either end of it). The route to it names one alone."""
        request = Request(_RTM_GETADDR, _ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0), NLM_F_DUMP)
        return {fixed(_ADDRESS, one)[-1] for one in self._kernel.ask(request) if local.packed in one}

    def _leads(self, route: Route) -> bool:
        return route.kind == _RTN_LOCAL or (route.kind == _RTN_UNICAST and any(self._usable(route)))

    def interface_name(self, index: int) -> str:
        """The name of an interface; ``if7`` for index 7 if there is no such interface."""
        name = self._names.get(index)
        if name is None:
            try:
                name = socket.if_indextoname(index)
            except (OSError, OverflowError):
                return f"if{index}"  # not cached: an interface may get this index at any moment
            self._names[index] = name
        return name

    def _refresh(self) -> None:
        self._names.clear()
        changed = False
        for (peer, source), before in tuple(self._known.items()):
            try:
                now = self._ask(peer, source)
            except OSError:
                self.watch.refresh_after(RETRY)
                continue
            if now != before:
                self._known[peer, source] = now
                changed = True
        for source, held in tuple(self._held.items()):
            self._held[source] = is_here(source)
            changed = changed or self._held[source] != held
        if self._up is not None:
            up, self._up = self._up, self._is_up()
            changed = changed or self._up != up
        for ends, cut_off in tuple(self._cut_off.items()):
            self._cut_off[ends] = self._is_cut_off(*ends)
            changed = changed or self._cut_off[ends] != cut_off
        if changed:
            self._changed()

    def _ask(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """Queries the kernel. Raises ``OSError`` without an answer ("there is no route" is an answer)."""
        try:
            route = self._route(peer, source)
            usable = set(self._usable(route)) if route.kind == _RTN_UNICAST else set()
        except OSError as error:
            if error.errno not in NO_WAY:
                raise
            usable = set()
        return self._restricted({index: name for index in usable if (name := _name_of(index)) is not None})

    def _route(self, peer: Address, source: Address | None, device: int = 0) -> Route:
        """``device``: the index of the interface that it is to leave by; 0: any, within our VRF."""
        device = device or self._device
        family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
        lengths = (peer.max_prefixlen, 0 if source is None else source.max_prefixlen)
        body = _ROUTE.pack(family, *lengths, _CLASS_SELECTOR_6, 0, 0, 0, 0, _RTM_F_FIB_MATCH)
        body += attribute(_RTA_DST, peer.packed)
        body += b"" if source is None else attribute(_RTA_SRC, source.packed)
        body += attribute(_RTA_OIF, struct.pack("=I", device)) if device else b""
        answer = self._kernel.ask(Request(_RTM_GETROUTE, body))
        if not answer:
            raise OSError(errno.ENETUNREACH, f"the kernel names no route to {peer}")
        return read_route(answer[0])

    def _usable(self, route: Route) -> Iterator[int]:
        """The index of the interface of each next hop that is neither dead nor without carrier."""
        yield from route.links
        for identity in route.objects:
            body = _NEXT_HOP.pack(0, 0, 0, 0, 0) + attribute(_NHA_ID, struct.pack("=I", identity))
            for answer in self._kernel.ask(Request(_RTM_GETNEXTHOP, body)):
                found = read_next_hop(answer)
                yield from self._usable(replace(found, objects=tuple(one for one in found.objects if one != identity)))

    def _restricted(self, usable: dict[int, str]) -> tuple[Link, ...]:
        if self._only is None:
            return tuple(Link(index, usable[index]) for index in sorted(usable))
        permitted = {index: name for index, name in usable.items() if name in self._only}
        if permitted:
            return tuple(Link(index, permitted[index]) for index in sorted(permitted))
        return tuple(Link(_index_of(name), name) for name in sorted(self._only))


class Routing:
    """One ``Paths`` for each set of interfaces that adverts may use; ``changed`` as in ``Paths``."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paths: dict[Interfaces, Paths] = {}
        self._open: dict[Interfaces, Paths] = {}

    def __getitem__(self, only: Interfaces) -> Paths:
        """The paths over these interfaces. Until ``set`` names these, changes are not watched."""
        if only not in self._paths:
            self._paths[only] = Paths(self._changed, only)
        return self._paths[only]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Opens nothing yet; ``set`` does."""
        self._loop = loop

    def set(self, wanted: Iterable[Interfaces]) -> None:
        """Watches exactly these sets of interfaces. Raises ``OSError``; then nothing has changed."""
        assert self._loop is not None
        found = {only: self[only] for only in wanted}
        opened: list[Paths] = []
        try:
            for only, paths in found.items():
                if only not in self._open:
                    paths.open(self._loop)
                    opened.append(paths)
        except OSError:
            for paths in opened:
                paths.close()
            raise
        for only in self._open.keys() - found.keys():
            self._paths.pop(only).close()
        self._open = found

    def reaches(self, neighbor: Address) -> bool:
        """As ``Paths.reaches``; false without any paths."""
        return any(paths.reaches(neighbor) for paths in list(self._open.values())[:1])

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        """As ``Paths.is_cut_off``; false without any paths."""
        return any(paths.is_cut_off(neighbor, local) for paths in list(self._open.values())[:1])

    def close(self) -> None:
        for paths in self._open.values():
            paths.close()


def vrf() -> int:
    """The index of the VRF that this process is in, 0: none, or no socket can be opened."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return bound_to(probe)
    except OSError:
        return 0


def bound_to(probe: socket.socket) -> int:
    """The index of the device that a socket is bound to, 0: none. Raises ``OSError``, also before Linux 5.1."""
    return probe.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX)


def is_here(source: Address) -> bool:
    """Whether this host has the address: a socket can be bound to it. Also true if no socket can be opened.

    The route to the address is no evidence: a routing rule before that of the local table may lead to another host.
    """
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(source), 0))
    except socket.gaierror:
        return False  # the interface of a link-local address is not there
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def is_set_up(interface: str) -> bool:
    """Whether there is such an interface, and it is set up (IFF_UP). Also true if no socket can be opened."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, _FLAGS.pack(interface.encode(), 0))
    except OSError as error:
        return error.errno != errno.ENODEV
    return bool(_FLAGS.unpack(answer)[1] & _IFF_UP)


def read_route(message: bytes) -> Route:
    """Decodes a route (rtnetlink(7)) without the message's header. Raises ``OSError`` if it is too short."""
    *_, kind, flags = fixed(_ROUTE, message)
    found = dict(attributes(message, _ROUTE.size, len(message)))
    interface, identity = number(found.get(_RTA_OIF)), number(found.get(_RTA_NH_ID))
    if _RTA_MULTIPATH in found:
        return Route(kind, tuple(_hops(found[_RTA_MULTIPATH])), ())
    if interface is not None:
        return Route(kind, () if flags & _UNUSABLE else (interface,), ())
    return Route(kind, (), () if identity is None else (identity,))


def _hops(content: bytes) -> Iterator[int]:
    """The interface of each usable next hop in an RTA_MULTIPATH."""
    at = 0
    while at + _HOP.size <= len(content):
        length, flags, _, interface = _HOP.unpack_from(content, at)
        if length < _HOP.size:
            return
        if not flags & _UNUSABLE:
            yield interface
        at += (length + 3) & ~3


def read_next_hop(message: bytes) -> Route:
    """Decodes a next-hop object (linux/nexthop.h) without the message's header. Raises ``OSError`` if too short."""
    *_, flags = fixed(_NEXT_HOP, message)
    found = dict(attributes(message, _NEXT_HOP.size, len(message)))
    interface = number(found.get(_NHA_OIF))
    if _NHA_GROUP in found:
        return Route(0, (), group_members(found[_NHA_GROUP]))
    return Route(0, () if interface is None or flags & _UNUSABLE else (interface,), ())


def group_members(group: bytes) -> tuple[int, ...]:
    """The ids in an NHA_GROUP attribute (an array of struct nexthop_grp: id, weight, padding; 8 bytes each)."""
    return tuple(struct.unpack_from("=I", group, at)[0] for at in range(0, len(group) - 7, 8))


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


def _index_of(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
