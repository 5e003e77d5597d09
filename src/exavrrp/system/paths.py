"""Which interfaces lead to a peer, and when that changes: the routing table as an advert's sender sees it.

This file owns the answer to one question: over which interfaces can the kernel forward from this source to this peer?
It must not know what is sent there, nor how.

Protocol 112 has no ports, so equal-cost multipath hashes all adverts between two nodes onto one link; if that one
swallows them, the Backup takes over although others work. So each advert is sent once over *each* interface of the
route that the kernel uses. ``RTM_GETROUTE`` with ``RTM_F_FIB_MATCH`` (``ip route get fibmatch PEER from SOURCE``)
returns that route with all its next hops, for both families, for multipath routes and for next-hop groups alike; rules,
tables and metrics are the kernel's business. Next hops that are dead or have lost their carrier are left out.

Answers are kept and served from memory. A ``netlink.Watch`` on everything that can change them (links, addresses,
routes, rules, next-hop objects, the sysctls) asks again, soon but never often; ``changed`` is called only when an
answer that somebody has asked for is another one now.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.rtmsg import RTNH_F_DEAD, RTNH_F_LINKDOWN, rtmsg_base

from exavrrp.system.netlink import Conversation, Watch
from exavrrp.vrrp.packet import Address

DELAY = 0.015
"""Seconds from a notification to the look at the routes: the several notifications of one change are one look."""
SPACING = 0.1
"""Seconds between two looks while notifications keep coming (a router daemon that loads a table)."""
RETRY = 0.5
"""Seconds until a question the kernel could not answer (out of memory, say) is asked again."""

_RTM_GETROUTE, _RTM_GETNEXTHOP = 26, 106
_RTM_F_FIB_MATCH = 0x2000
_RTN_UNICAST = 1
_CLASS_SELECTOR_6 = 0xC0
"""The traffic class adverts are sent with; routing rules may look at it."""

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
"""RTNLGRP_* of linux/rtnetlink.h; the last is known since Linux 5.3."""

_NO_WAY = frozenset(
    {
        errno.ENETUNREACH,  # no route
        errno.EHOSTUNREACH,  # route of type unreachable
        errno.EINVAL,  # blackhole; or an IPv4 source that this host does not have
        errno.EACCES,  # prohibit
        errno.EAGAIN,  # throw, with no rule after it
        errno.EADDRNOTAVAIL,
        errno.ENETDOWN,
        errno.ENODEV,
        errno.EAFNOSUPPORT,
        errno.EOPNOTSUPP,  # a kernel without IPv6
    }
)
"""What the kernel says when no packet could be sent either."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface to send through."""

    index: int
    """the kernel's number for it, another one after the interface was deleted and re-created; 0: does not exist now"""
    name: str


class _Route(rtmsg_base, nlmsg):  # type: ignore[misc]  # pyroute2 is untyped
    """The parts of a route that are looked at. pyroute2's own class does not know RTA_NH_ID."""

    nla_map = (
        (1, "RTA_DST", "target"),
        (2, "RTA_SRC", "target"),
        (4, "RTA_OIF", "uint32"),
        (9, "RTA_MULTIPATH", "*get_nh"),
        (30, "RTA_NH_ID", "uint32"),
    )


class _NextHop(nlmsg):  # type: ignore[misc]  # pyroute2 is untyped
    """struct nhmsg and the attributes of linux/nexthop.h; pyroute2 has no class for next-hop objects."""

    prefix = "NHA_"
    fields = (("family", "B"), ("scope", "B"), ("protocol", "B"), ("reserved", "B"), ("flags", "I"))
    nla_map = ((1, "NHA_ID", "uint32"), (2, "NHA_GROUP", "cdata"), (5, "NHA_OIF", "uint32"))


class Paths:
    """The interfaces toward each peer.

    ``changed`` is called, from the event loop, after the answer for a (peer, source) that was asked for has changed.
    ``only`` names the interfaces that may carry adverts; none named means all.
    """

    def __init__(self, changed: Callable[[], None], only: Collection[str] | None = None) -> None:
        self._changed = changed
        self._only = frozenset(only) if only else None
        self._kernel = Conversation()
        self._watch = Watch(_GROUPS.values(), self._refresh, delay=DELAY, spacing=SPACING)
        self._known: dict[tuple[Address, Address], tuple[Link, ...]] = {}
        self._names: dict[int, str] = {}

    @property
    def refreshes(self) -> int:
        """How often the routes were looked at again."""
        return self._watch.looks

    @property
    def overflows(self) -> int:
        """How often the kernel had more to announce than its buffer holds (harmless)."""
        return self._watch.overflows

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ``OSError`` when the kernel gives us no netlink socket."""
        self._watch.open(loop)
        try:
            self._kernel.open()
        except OSError:
            self._watch.close()
            raise

    def close(self) -> None:
        self._watch.close()
        self._kernel.close()

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """The interfaces of the route from ``source`` to ``peer``, in the order of their index.

        Empty when there is no route, the route drops packets or ``peer`` is an address of this host: the kernel's own
        choice is then as good as any. With ``only``, an answer is never empty, lest the kernel choose an interface
        that must not be used: when no usable next hop is among them, all permitted interfaces are returned, and
        sending there fails or not as the kernel says.
        """
        pair = (peer, source)
        if pair not in self._known:
            try:
                self._known[pair] = self._ask(peer, source)
            except OSError:
                self._known[pair] = self._restricted({})
                self._watch.look_after(RETRY)
        return self._known[pair]

    def interface_name(self, index: int) -> str:
        """The name of an interface, or ``if7`` for an index that has none (any more)."""
        name = self._names.get(index)
        if name is None:
            try:
                name = socket.if_indextoname(index)
            except (OSError, OverflowError):
                return f"if{index}"  # not kept: the index may be taken any moment
            self._names[index] = name
        return name

    def _refresh(self) -> None:
        self._names.clear()
        changed = False
        for (peer, source), before in tuple(self._known.items()):
            try:
                now = self._ask(peer, source)
            except OSError:
                self._watch.look_after(RETRY)
                continue
            if now != before:
                self._known[peer, source] = now
                changed = True
        if changed:
            self._changed()

    def _ask(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """Asks the kernel. Raises ``OSError`` when it gave no answer (which "there is no route" is)."""
        try:
            route = self._route(peer, source)
            usable = set(self._usable(route)) if route["type"] == _RTN_UNICAST else set()
        except OSError as error:
            if error.errno not in _NO_WAY:
                raise
            usable = set()
        return self._restricted({index: name for index in usable if (name := _name_of(index)) is not None})

    def _route(self, peer: Address, source: Address) -> Any:
        question = _Route()
        question["family"] = socket.AF_INET if peer.version == 4 else socket.AF_INET6
        question["dst_len"] = question["src_len"] = peer.max_prefixlen
        question["tos"] = _CLASS_SELECTOR_6
        question["flags"] = _RTM_F_FIB_MATCH
        question["attrs"] = [("RTA_DST", str(peer)), ("RTA_SRC", str(source))]
        answer = self._kernel.ask(question, _RTM_GETROUTE)
        if not answer:
            raise OSError(errno.ENETUNREACH, f"the kernel names no route to {peer}")
        return answer[0]

    def _usable(self, route: Any) -> Iterator[int]:
        """The index of the interface of each next hop that is neither dead nor without carrier."""
        hops = route.get_attr("RTA_MULTIPATH")
        interface = route.get_attr("RTA_OIF")
        identity = route.get_attr("RTA_NH_ID")
        if hops is not None:
            for hop in hops:
                if _alive(hop["flags"]):
                    yield hop["oif"]
        elif interface is not None:
            if _alive(route["flags"]):
                yield interface
        elif identity is not None:
            # net.ipv4.nexthop_compat_mode = 0: the route names its next-hop object and says no more.
            yield from self._resolve(identity)

    def _resolve(self, identity: int) -> Iterator[int]:
        """The usable interfaces of a next-hop object, or of the members of a group (groups do not nest)."""
        question = _NextHop()
        question["attrs"] = [("NHA_ID", identity)]
        for answer in self._kernel.ask(question, _RTM_GETNEXTHOP):
            group = answer.get_attr("NHA_GROUP")
            interface = answer.get_attr("NHA_OIF")
            if group is not None:
                for member in group_members(bytes(group)):
                    if member != identity:
                        yield from self._resolve(member)
            elif interface is not None and _alive(answer["flags"]):
                yield interface

    def _restricted(self, usable: dict[int, str]) -> tuple[Link, ...]:
        if self._only is None:
            return tuple(Link(index, usable[index]) for index in sorted(usable))
        permitted = {index: name for index, name in usable.items() if name in self._only}
        if permitted:
            return tuple(Link(index, permitted[index]) for index in sorted(permitted))
        return tuple(Link(_index_of(name), name) for name in sorted(self._only))


def group_members(group: bytes) -> tuple[int, ...]:
    """The ids in an NHA_GROUP attribute (an array of struct nexthop_grp: id, weight, padding; 8 bytes each)."""
    return tuple(struct.unpack_from("=I", group, at)[0] for at in range(0, len(group) - 7, 8))


def _alive(flags: int) -> bool:
    return not flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)


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
