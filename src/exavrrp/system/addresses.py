"""The virtual addresses on lo: binds and unbinds them, and repairs them when another program changes them.

This file owns the virtual addresses on the loopback interface, and only those that ``own`` has named; and those that it
has put on another interface, where they are wanted with ``bind = "eth0"``. Every other address, and ours that somebody
else has put on another interface, is never touched: what is there already cannot be bound there. A kernel that knows no
``IFA_PROTO`` does not tell who has put it there; then what is exactly as it is wanted is ours. It must not know why an
address is wanted.

``set(wanted)`` names all addresses that shall be bound. Those of ours that are wanted are added or corrected, the
others of ours are removed, and then the kernel's table is read again to verify that. All changes are one batch, however
many addresses there are. For an added address the route is verified, too. The kernel confirms and lists an IPv6 address
*before* it accepts packets for it: a kernel worker adds the local route later, even without duplicate address
detection, usually within a millisecond, and until then the answer is "no route". A node that announces the address in
between attracts packets and refuses them. So ``set`` returns when the table shows the wanted addresses. Those whose
route is not local yet are ``awaited``: the kernel's notifications of local routes are received meanwhile, their routes
are polled, too, and ``accepted`` is called when they are local.

Nothing is removed before the first call. From then on a ``netlink.Watch`` does the same whenever lo changes: an address
that another program deleted, or that the kernel removed on ``ip link set lo down``, is added again within milliseconds,
and that is reported.

An IPv6 address is a /128 without duplicate address detection. Unless it is to be ``preferred``, its preferred lifetime
is 0 (*deprecated*: it answers, but the host never chooses it as the source of its own connections). An IPv4 address is
a /32 of scope host. It answers the network all the same: routes to local addresses do not depend on their scope. The
kernel chooses the source of a connection only among addresses of a wider scope (inet_select_addr() in
net/ipv4/devinet.c). So the order of the addresses on lo does not matter; after a flush of lo, a virtual address
precedes the node's own. Both have the address protocol 112 (``IFA_PROTO``, since Linux 5.18), which ``ip address``
shows.

On another interface an address has the length of its prefix there, and IPv4 the scope of any other address, unless
another one is wanted. While neighbors are to know that it is here (``herald``), they learn it by ``heralds`` as soon as
the kernel accepts packets to it, and again when the interface has another carrier or MAC. Duplicate address detection
is off there, too: the node that had it before may have died with the address.

If another program keeps undoing our changes, this is reported as a failure after ``REPAIR_LIMIT`` repairs. From then on
the address is repaired with exponential back-off only.
"""

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from exavrrp.ports import AddressError
from exavrrp.system.heralds import Heralds, Link
from exavrrp.system.netlink import (
    DUMP_TRIES,
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Netlink,
    Request,
    Watch,
    attribute,
    attributes,
    fixed,
    messages,
    number,
)
from exavrrp.virtual_address import GLOBAL, LO, SCOPES, VirtualAddress
from exavrrp.vrrp.packet import PROTOCOL, Address

LOOPBACK = 1
"""LOOPBACK_IFINDEX in include/net/flow.h: lo has this index in every network namespace."""

SPACING = 0.02
"""Shortest time in seconds between two refreshes while lo keeps changing."""
REPAIR_LIMIT = 5
"""Repairs of one address, less than ``STABLE_AFTER`` apart, until it is reported as a failure."""
STABLE_AFTER = 10.0
"""Seconds without a repair after which the earlier repairs of an address no longer count."""
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0
"""Seconds between attempts for an address that cannot be repaired: doubled from the first to the longest."""

ROUTED_WITHIN = 2.0
"""Seconds to wait for the local routes of new addresses. On a machine with a load of 15 the kernel's worker has taken
0.6; a shorter limit would cause needless elections."""
ROUTE_POLL = 0.001
"""Seconds between two polls of such routes: the shortest time that the event loop waits. A notification is earlier."""

SYSCTL, PROMOTE = Path("/proc/sys/net/ipv4/conf"), "promote_secondaries"
"""ip-sysctl.rst; systemd sets it to 1."""

_FOREVER = 0xFFFF_FFFF
"""INFINITY_LIFE_TIME in include/net/addrconf.h."""
_RTM_GETLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR, _RTM_GETROUTE = 18, 20, 21, 22, 26
IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFA_F_PERMANENT = (
    *(0x01, 0x02, 0x08, 0x20, 0x40, 0x80),
)
"""linux/if_addr.h."""
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_CACHEINFO, _IFA_FLAGS, IFA_PROTO = 1, 2, 3, 6, 8, 11
_RTA_DST, _RTA_OIF = 1, 4
_RTN_LOCAL = 2
_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR, _RTNLGRP_IPV6_ROUTE = 1, 5, 9, 11
_RT_SCOPE_UNIVERSE, _RT_SCOPE_HOST = SCOPES["global"], SCOPES["host"]
_IFF_USABLE = 0x01 | 0x40
"""IFF_UP and IFF_RUNNING of linux/if.h."""
_IFLA_ADDRESS, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_CARRIER_CHANGES = 1, 10, 18, 35
_IFLA_INFO_KIND, _IFLA_INFO_SLAVE_KIND = 1, 4
_IFINFOMSG = struct.Struct("=BxHiII")
"""Family, type, interface, flags, mask."""
_INDEX = struct.Struct("=4xI")
"""The interface index in both struct ifaddrmsg and struct ifinfomsg."""
_IFADDRMSG = struct.Struct("=4BI")
"""Family, prefix length, flags, scope, interface."""
_LIFETIMES = struct.Struct("=4I")
"""struct ifa_cacheinfo: preferred, valid, and two times that the kernel fills in."""
_RTMSG = struct.Struct("=8BI")
"""Family, lengths of destination and source, TOS, table, protocol, scope, type, flags."""
_TYPE_AT = HEADER.size + 7


@dataclass(frozen=True, slots=True)
class _Entry:
    """One address, as the kernel describes it."""

    packed: bytes
    prefix: int
    flags: int
    scope: int
    index: int
    mark: int = 0
    """IFA_PROTO; 0 if the kernel does not report it"""
    preferred: int = _FOREVER
    """seconds for which it is not deprecated"""
    label: str = ""
    """of an IPv4 address"""

    @property
    def address(self) -> Address:
        """The address as an object, made when it is needed: there may be hundreds, and comparisons use ``packed``."""
        return IPv4Address(self.packed) if len(self.packed) == 4 else IPv6Address(self.packed)

    @property
    def is_wider(self) -> bool:
        """Whether it is more than a host route."""
        return self.prefix != 8 * len(self.packed)

    def is_right(self, wanted: VirtualAddress, index: int) -> bool:
        """Whether it is what is wanted on the interface with this index (NODAD and the protocol matter only when it is
        added).
        """
        if (self.index, self.prefix) != (index, wanted.prefix) or not self.flags & IFA_F_PERMANENT:
            return False
        if len(self.packed) == 4:
            return self._is_called(wanted)
        flags = self.flags & (IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED)
        return (flags == 0 and self.preferred == _FOREVER) if wanted.preferred else flags == IFA_F_DEPRECATED

    def _is_called(self, wanted: VirtualAddress) -> bool:
        """Whether an IPv4 address has the scope and the label that are wanted. On lo any label will do, if none is;
        elsewhere the name of its interface, which ``wanted`` may know by another name (``ip link property``).
        """
        if self.scope != _scope(wanted):
            return False
        if wanted.label or not wanted.on_link:
            return self.label == (wanted.label or self.label)
        return self.label == wanted.interface or self.label == interface_name(self.index)

    def is_in_the_way(self, wanted: VirtualAddress, index: int) -> bool:
        """Whether it must be removed before ours is added: a change cannot alter interface, prefix length, scope, label
        or DAD state.

        Another IPv4 prefix is a separate entry, and may stay unless it was ours.
        """
        if self.index != index:
            return True
        if len(self.packed) == 4:
            return not self._is_called(wanted) if self.prefix == wanted.prefix else self.mark == PROTOCOL
        return self.prefix != wanted.prefix or bool(self.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED))

    def takes_along(self, other: "_Entry") -> bool:
        """Whether the kernel removes ``other`` along with this one (an IPv4 secondary, without promote_secondaries)."""
        if not len(self.packed) == len(other.packed) == 4 or self.prefix != other.prefix or self.index != other.index:
            return False
        if self.flags & IFA_F_SECONDARY or not other.flags & IFA_F_SECONDARY:
            return False
        return other.address in ip_network((self.address, self.prefix), strict=False)


@dataclass(slots=True)
class _Repairs:
    """The recent repairs of an address."""

    count: int = 0
    last: float = float("-inf")
    backoff: float = 0.0
    """seconds to wait after ``last``; 0 before ``REPAIR_LIMIT``"""


class Addresses:
    """The virtual addresses of this agent on lo.

    ``accepted`` is called when the kernel accepts packets to addresses that were ``awaited``. ``repaired`` is called
    after the repair of an address that another program had changed. ``failed`` is called when a repair fails, when
    ``REPAIR_LIMIT`` is reached, and when the route of an awaited address is not local after ``ROUTED_WITHIN``. Attempts
    go on with back-off until the address is not wanted any more. All are called from the event loop and may call
    ``set``.
    """

    def __init__(
        self,
        accepted: Callable[[], None],
        repaired: Callable[[Address], None],
        failed: Callable[[Address, OSError], None],
    ) -> None:
        self._ours: dict[bytes, Address] = {}
        self._homes: dict[bytes, VirtualAddress] = {}
        """those of ``_ours`` that are to be on a link, as ``own`` has named them"""
        self._marks = False
        """whether the kernel reports IFA_PROTO: it does so of 127.0.0.1, too"""
        self._leaving: Set[Address] = frozenset()
        """those of ``_ours`` that are no longer ours once they are unbound"""
        self._wanted: Mapping[Address, VirtualAddress] | None = None
        self._put: dict[bytes, set[tuple[int, int]]] = {}
        """where we have put an address: the indexes of interfaces, and lengths of prefixes"""
        self._accepted = accepted
        self._repaired = repaired
        self._failed = failed
        self._kernel = Netlink()
        self._heralds = Heralds()
        self._served: Set[Address] = frozenset()
        """those of which neighbors are to know that they are here"""
        self._missing: set[Address] = set()
        """what could not be put where it is wanted, until that is tried again"""
        self.watch = Watch(
            (_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR),
            self._refresh,
            delay=0.0,
            spacing=SPACING,
            matters=self._matters,
        )
        """watches for changes of lo, and of all interfaces while an address is wanted on another one"""
        self._routes = Watch((_RTNLGRP_IPV6_ROUTE,), self._poll_routes, delay=0.0, spacing=ROUTE_POLL, matters=is_local)
        """open while addresses are awaited: there may be a million other routes"""
        self._repairs: dict[Address, _Repairs] = {}
        self._awaited: dict[Address, float] = {}
        """address → limit (``loop.time()``)"""
        self._unrouted: set[Address] = set()
        """added and listed, but without a local route within ``ROUTED_WITHIN``"""
        self._repairing: set[Address] = set()
        """those that are awaited after a repair"""
        self._route_poll: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to watch lo; changes nothing. Raises ``OSError`` when no netlink socket can be opened."""
        self._loop = loop
        self._heralds.open(loop)
        self.watch.open(loop)
        try:
            self._kernel.open()
        except OSError:
            self.watch.close()
            raise

    def close(self) -> None:
        """Stops watching; leaves all addresses as they are."""
        self._heralds.close()
        self.watch.close()
        self._routes.close()
        self._kernel.close()
        if self._route_poll is not None:
            self._route_poll.cancel()
            self._route_poll = None

    def own(self, forms: Collection[VirtualAddress]) -> None:
        """Sets the addresses that are ours, and where they are to be. Changes nothing on lo.

        An address that was ours before, and is still wanted or not removed yet, stays ours until it is not wanted and
        removed. Any other address on lo is left alone, whoever added it.
        """
        ours = frozenset(one.address for one in forms)
        self._homes = {one.address.packed: one for one in forms if one.on_link}
        if self._wanted is None:
            left = self._leaving
        else:
            left = (self._leaving | self._wanted.keys() | self._repairs.keys()).intersection(self._ours.values())
        self._leaving = left - ours
        self._ours = {address.packed: address for address in sorted(ours | left, key=_order)}

    def _disown(self, bound: Set[Address]) -> None:
        """Of the addresses that are leaving, only ``bound`` stay ours."""
        if gone := self._leaving - bound:
            self._leaving &= bound
            self._ours = {packed: address for packed, address in self._ours.items() if address not in gone}

    @property
    def awaited(self) -> Set[Address]:
        """The wanted addresses that are bound, but to which the kernel does not accept packets yet."""
        return self._awaited.keys()

    def set(self, wanted: Collection[VirtualAddress]) -> None:
        """Binds ``wanted`` and unbinds all other addresses of ours; returns when the kernel's table shows that.

        Those to which the kernel does not accept packets yet are ``awaited`` then, and ``accepted`` or ``failed``
        follows. Raises ``AddressError`` (an ``OSError``) with the addresses that failed, after all others were changed,
        and any other ``OSError`` when the table cannot be read. In either case ``wanted`` is kept, and the watch
        retries. A repeated call with the same set is cheap and has no effect.
        """
        previous, self._wanted = self._wanted, {one.address: one for one in wanted}
        named = self._wanted.keys()
        assert named <= set(self._ours.values()), "only our own addresses may be bound"
        for address, _ in (previous or {}).items() ^ self._wanted.items():
            self._repairs.pop(address, None)
            self._awaited.pop(address, None)
        self._unrouted &= named
        self._repairing &= named
        try:
            wrong = self._wrong(present := self._present())
            failures = self._repair(wrong, present) if wrong else {}
        except OSError:
            self.watch.refresh_after(FIRST_BACKOFF)
            raise
        self._disown(named | failures.keys())
        for address in failures:
            self._back_off(address)
        self._missing = set(failures)
        self._make_known()
        if failures:
            raise AddressError(failures)

    def _make_known(self) -> None:
        """Has neighbors know those that are on a link, and that the kernel accepts packets to."""
        usable = self._served - self._awaited.keys() - self._unrouted - self._missing
        wanted = [one for one in (self._wanted or {}).values() if one.on_link and one.address in usable]
        links = {name: self._link(index_of(name)) for name in {one.interface for one in wanted}}
        self._heralds.set({one.address: links[one.interface] for one in wanted})

    def _link(self, index: int) -> Link:
        """The interface with this index, and what changes when its neighbors may have to be told again."""
        try:
            flags, found = read_link(self._described(index))
        except OSError:
            return Link(index)
        return Link(index, (flags & _IFF_USABLE, number(found.get(_IFLA_CARRIER_CHANGES)), found.get(_IFLA_ADDRESS)))

    def _described(self, index: int) -> bytes:
        """The kernel's description of an interface. Raises ``OSError``."""
        return self._kernel.ask(Request(_RTM_GETLINK, _IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)))[0]

    def _domain(self, address: Address) -> int:
        """The index of the VRF that an address is wanted in; 0: none. Its local route is in the table of that."""
        wanted = (self._wanted or {}).get(address)
        if wanted is None or not wanted.on_link:
            return 0
        try:
            index = index_of(wanted.interface)
            return vrf(index, read_link(self._described(index))[1])
        except OSError:  # it is gone, and the address with it
            return 0

    def herald(self, served: Collection[Address]) -> None:
        """Has neighbors know that these are here, as far as they are on a link, and no others."""
        self._served = frozenset(served)
        self._make_known()

    def herald_anew(self, claimed: Collection[Address]) -> None:
        """Somebody else has claimed these, too: has neighbors know once more that they are here, if they are."""
        self._heralds.begin_anew(claimed)

    def _matters(self, notification: bytes) -> bool:
        return concerns_loopback(notification) or any(one.on_link for one in (self._wanted or {}).values())

    def _is_ours(self, entry: _Entry) -> bool:
        """On lo whoever has made it; elsewhere only what we, or an agent before us, has put there."""
        if entry.packed not in self._ours:
            return False
        place = (entry.index, entry.prefix)
        if entry.index == LOOPBACK or entry.mark == PROTOCOL or place in self._put.get(entry.packed, ()):
            return True
        home = None if self._marks else self._homes.get(entry.packed)
        return home is not None and place == (index_of(home.interface), home.prefix)

    def present(self) -> frozenset[Address]:
        """Those of our addresses that are bound, with any properties. Raises ``OSError`` when the table cannot be
        read.
        """
        return frozenset(address for address, _ in self.places())

    def places(self) -> frozenset[tuple[Address, str]]:
        """The same, each with the name of every interface that has it. Raises ``OSError``."""
        found = [entry for entry in self._present() if self._is_ours(entry)]
        return frozenset((self._ours[entry.packed], interface_name(entry.index)) for entry in found)

    def adopt(self, addresses: Collection[Address]) -> frozenset[VirtualAddress]:
        """Makes those of ``addresses`` ours that this host has with our ``IFA_PROTO``; returns them, where they are.

        They stay ours until they are neither wanted nor bound, like those that ``own`` no longer names. A kernel that
        knows no ``IFA_PROTO`` does not report it even for 127.0.0.1; then all of them that lo has. To be called before
        ``set``. Raises ``OSError`` as ``present``.
        """
        asked = {address.packed: address for address in addresses}
        present = self._present() if asked else []
        mark = PROTOCOL if self._marks else 0
        there = [one for one in present if one.index == LOOPBACK or one.mark]
        entries = {one.packed: one for one in there if one.packed in asked and one.mark == mark}
        found = {packed: asked[packed] for packed in entries}
        self._leaving |= frozenset(found.values()) - frozenset(self._ours.values())
        self._ours |= found
        return frozenset(_form(one) for one in entries.values())

    def elsewhere(self) -> dict[Address, str]:
        """Those of our addresses that other interfaces have, each with the name of one. Raises ``OSError``.

        They are never changed there. But with them this host answers at the address whether it is Active or not.
        """
        foreign = [one for one in self._present() if one.index != LOOPBACK and not self._is_ours(one)]
        found = {one.packed: one.index for one in foreign}
        return {address: interface_name(found[packed]) for packed, address in self._ours.items() if packed in found}

    def _present(self) -> list[_Entry]:
        found = _dump(self._kernel, everywhere=True)
        self._marks = any(one.mark for one in found)
        return found

    def _wrong(self, present: list[_Entry]) -> dict[Address, list[_Entry]]:
        """The addresses that must be added, corrected or removed, each with the kernel's entries for it."""
        if self._wanted is None:
            return {}
        entries: dict[bytes, list[_Entry]] = {}
        for entry in filter(self._is_ours, present):
            entries.setdefault(entry.packed, []).append(entry)
        indexes = {one.interface: index_of(one.interface) for one in self._wanted.values()}
        wrong: dict[Address, list[_Entry]] = {}
        for packed, address in self._ours.items():
            found = entries.get(packed, [])
            if address not in self._wanted:
                to_do = bool(found)
            else:
                wanted = self._wanted[address]
                right = [entry.is_right(wanted, indexes[wanted.interface]) for entry in found]
                strays = any(entry.index != indexes[wanted.interface] for entry in found)
                to_do = address in self._unrouted or strays or not any(right)
            if to_do:
                wrong[address] = found
        return wrong

    def _repair(self, wrong: dict[Address, list[_Entry]], present: list[_Entry]) -> dict[Address, OSError]:
        """Removes and adds, then reads the table again. Returns the addresses that are still wrong, with the reasons.

        All others may still be awaited.
        """
        assert self._wanted is not None
        assert self._loop is not None
        refused = self._carry_out(wrong, present)
        added = (wrong.keys() & self._wanted.keys()) - refused.keys()
        self._unrouted -= added
        self._awaited.update(dict.fromkeys(added, self._loop.time() + ROUTED_WITHIN))
        self._query_routes()
        if self._awaited and self._routes.fileno() < 0:
            with suppress(OSError):  # then it is polled only
                self._routes.open(self._loop)
                self._query_routes()  # one may have become local meanwhile
        still = self._wrong(self._present()).keys() & wrong.keys()
        unexplained = OSError(errno.EAGAIN, "the kernel took the change, but does not show it")
        return {address: refused.get(address, unexplained) for address in sorted(still, key=_order)}

    def _carry_out(self, wrong: dict[Address, list[_Entry]], present: list[_Entry]) -> dict[Address, OSError]:
        """Removes and adds in one batch. Returns the addresses for which the kernel, or a check of ours, refused it.

        Nothing is added that the kernel would remove along with what is removed afterwards.
        """
        assert self._wanted is not None
        refused: dict[Address, OSError] = {}
        removals: list[tuple[Address, Request]] = []
        additions: list[tuple[Address, Request]] = []
        for address, found in wrong.items():
            wanted = self._wanted.get(address)
            index = LOOPBACK if wanted is None else index_of(wanted.interface)
            try:
                if wanted is not None:
                    self._check_place(wanted, index, present)
                for entry in found:
                    if wanted is None or entry.is_in_the_way(wanted, index):
                        along = self._secondaries(entry, present)
                        removals.append((address, _removal(entry)))
                        additions += [(one.address, _addition(one, entry.index)) for one in along]
            except OSError as error:
                refused[address] = error
            else:
                if wanted is not None:
                    additions.append((address, _addition(wanted, index)))
                    self._put.setdefault(address.packed, set()).add((index, wanted.prefix))
        orders = [*removals, *additions]
        answers = self._kernel.batch([order for _, order in orders])
        for (address, order), answer in zip(orders, answers, strict=True):
            if isinstance(answer, OSError) and (order.kind, answer.errno) != (_RTM_DELADDR, errno.EADDRNOTAVAIL):
                refused.setdefault(address, explained(answer, address))
        for address in wrong.keys() - self._wanted.keys() - refused.keys():
            self._put.pop(address.packed, None)
        return refused

    def _check_place(self, wanted: VirtualAddress, index: int, present: list[_Entry]) -> None:
        """Raises ``OSError`` when there is no such place, or somebody else has put the address there."""
        if not index:
            raise OSError(errno.ENODEV, f"this host has no {wanted.interface}")
        for entry in present if wanted.on_link else ():
            same = (entry.packed, entry.index) == (wanted.address.packed, index) and not self._is_ours(entry)
            if same and (wanted.address.version == 6 or entry.prefix == wanted.prefix):
                text = f"somebody else has put it there, as /{entry.prefix}: remove it from {wanted.interface}"
                raise OSError(errno.EEXIST, text)

    def _secondaries(self, entry: _Entry, present: list[_Entry]) -> list[VirtualAddress]:
        """What is wanted and has to be put back, since the kernel removes it along with ``entry``.

        It does so with the younger addresses of an IPv4 prefix, unless it promotes one of them. Raises ``OSError`` when
        it would remove foreign ones, too, and cannot be told to promote them.
        """
        along = [other for other in present if entry.takes_along(other)] if entry.is_wider else []
        if not along or _promotes(entry.index):
            return []
        if foreign := [str(other.address) for other in along if other.packed not in self._ours]:
            there = f"it is there as /{entry.prefix}; with it the kernel would remove {', '.join(foreign)}"
            raise OSError(errno.EBUSY, f"{there}: remove it by hand")
        wanted = (self._wanted or {}).get
        found = [form for other in along if (form := wanted(self._ours[other.packed])) is not None]
        return [form for form in found if index_of(form.interface) == entry.index]

    def _query_routes(self) -> None:
        """Queries the routes to all awaited addresses, and schedules the next poll if any of them is not local yet."""
        assert self._loop is not None
        asked = list(self._awaited)
        try:
            answers = self._kernel.batch([route_query(address, self._domain(address)) for address in asked])
            for address, answer in zip(asked, answers, strict=True):
                if not isinstance(answer, OSError) and is_local(answer):  # no route at all is one of the ways not to be
                    del self._awaited[address]
        finally:  # also after a query that was not answered: nothing else retries it
            if not self._awaited:
                self._routes.close()
            elif self._route_poll is None:
                self._route_poll = self._loop.call_later(ROUTE_POLL, self._poll_routes)

    def _poll_routes(self) -> None:
        assert self._loop is not None
        if self._route_poll is not None:
            self._route_poll.cancel()
            self._route_poll = None
        before = set(self._awaited)
        with suppress(OSError):
            self._query_routes()
        now = self._loop.time()
        text = f"it is there, but {ROUTED_WITHIN:g} s later the kernel still accepts no packets for it"
        late = {address: OSError(errno.EAGAIN, text) for address, limit in self._awaited.items() if limit <= now}
        self._unrouted |= late.keys()
        for address in late:
            del self._awaited[address]
        over = before - self._awaited.keys()
        self._report(self._repairing - self._awaited.keys() | late.keys(), late)
        self._make_known()
        if over - late.keys():
            self._accepted()

    def _refresh(self) -> None:
        """Repairs what is wrong, after a change of lo or when a back-off is over."""
        assert self._loop is not None
        if self._wanted is None:
            return
        now = self._loop.time()
        try:
            wrong = self._wrong(present := self._present())
            due = {address: found for address, found in wrong.items() if self._is_due(address, now)}
            before = set(self._awaited)
            failures = self._repair(due, present) if due else {}
        except OSError:
            self.watch.refresh_after(FIRST_BACKOFF)
            return
        self._disown(self._wanted.keys() | (wrong.keys() - due.keys()) | failures.keys())
        self._repairing |= due.keys() & self._awaited.keys()
        self._report(due.keys() - self._awaited.keys(), failures)
        self._missing = (wrong.keys() - due.keys()) | failures.keys()
        self._make_known()
        if before - self._awaited.keys():
            self._accepted()

    def _report(self, addresses: Collection[Address], failures: dict[Address, OSError]) -> None:
        """Reports the repairs of ``addresses``: those in ``failures`` failed, the others succeeded."""
        self._repairing.difference_update(addresses)
        reports: list[tuple[Address, OSError | None]] = []
        for address in sorted(addresses, key=_order):
            error = failures.get(address)
            if error is not None:
                self._back_off(address)
            elif self._count_repair(address):
                error = OSError(errno.EBUSY, f"undone {self._repairs[address].count} times by somebody else")
            reports.append((address, error))
        # Not earlier: the callbacks may call set().
        for address, error in reports:
            if error is None:
                self._repaired(address)
            else:
                self._failed(address, error)

    def _is_due(self, address: Address, now: float) -> bool:
        """Whether to repair now. If not, a refresh is scheduled for the end of the back-off."""
        repairs = self._repairs.get(address)
        if repairs is None:
            return True
        if now - repairs.last > STABLE_AFTER + repairs.backoff:
            del self._repairs[address]
            return True
        wait = repairs.last + repairs.backoff - now
        if wait <= 0:
            return True
        self.watch.refresh_after(wait)
        return False

    def _count_repair(self, address: Address) -> bool:
        """Counts a repair. Returns true when ``REPAIR_LIMIT`` is reached."""
        assert self._loop is not None
        repairs = self._repairs.setdefault(address, _Repairs())
        repairs.count += 1
        if repairs.count >= REPAIR_LIMIT:
            self._back_off(address)
            return True
        repairs.last = self._loop.time()
        return False

    def _back_off(self, address: Address) -> None:
        """Delays the next attempt for ``address`` twice as long as the one before."""
        assert self._loop is not None
        repairs = self._repairs.setdefault(address, _Repairs())
        repairs.last = self._loop.time()
        repairs.backoff = min(max(FIRST_BACKOFF, repairs.backoff * 2), LONGEST_BACKOFF)
        self.watch.refresh_after(repairs.backoff)


def global_on_loopback() -> tuple[Address, ...]:
    """The addresses of global scope on lo, candidates for the agent's source. Raises ``OSError``."""
    kernel = Netlink()
    kernel.open()
    try:
        found = {entry.address for entry in _dump(kernel) if entry.scope == _RT_SCOPE_UNIVERSE}
    finally:
        kernel.close()
    return tuple(sorted(found, key=_order))


def addresses_on(index: int) -> tuple[Address, ...]:
    """The addresses of the interface with this index. Raises ``OSError``."""
    kernel = Netlink()
    kernel.open()
    try:
        return tuple(entry.address for entry in _dump(kernel, everywhere=True) if entry.index == index)
    finally:
        kernel.close()


def concerns_loopback(notification: bytes) -> bool:
    """Whether a notification of the link or address groups (header and at least 8 bytes) concerns lo."""
    return bool(_INDEX.unpack_from(notification, HEADER.size)[0] == LOOPBACK)


def explained(error: OSError, address: Address) -> OSError:
    """The kernel's error, with the remedy for the operator in its text."""
    text = error.strerror or str(error)
    match error.errno:
        case errno.EPERM:
            text += " (CAP_NET_ADMIN is needed)"
        case errno.EACCES if address.version == 6:
            text += " (see net.ipv6.conf.lo.disable_ipv6 and net.ipv6.conf.all.disable_ipv6)"
        case errno.EOPNOTSUPP if address.version == 6:
            text += " (this kernel runs without IPv6)"
        case _:
            pass
    return OSError(error.errno, text)


def _dump(kernel: Netlink, *, everywhere: bool = False) -> list[_Entry]:
    """Every IPv4 and IPv6 address on lo, or on any interface. Raises ``OSError``."""
    index = 0 if everywhere else LOOPBACK  # ignored by kernels before 4.20
    request = Request(_RTM_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index), NLM_F_DUMP)
    for _ in range(DUMP_TRIES):
        with suppress(InterruptedError):
            parts = kernel.parts(request)
            found = [entry for part in parts for entry in read_addresses(part)]
            return [entry for entry in found if everywhere or entry.index == LOOPBACK]
    raise InterruptedError(errno.EINTR, "the table changed during each of several dumps")


def read_addresses(part: bytes) -> Iterable[_Entry]:
    """The addresses in a part of a dump. Skips malformed messages; raises nothing."""
    for offset, kind, _, _ in messages(part):
        at, end = offset + HEADER.size, offset + HEADER.unpack_from(part, offset)[0]
        if kind != _RTM_NEWADDR or at + _IFADDRMSG.size > end:
            continue
        family, prefix, flags, scope, index = _IFADDRMSG.unpack_from(part, at)
        found = dict(attributes(part, at + _IFADDRMSG.size, end))
        address = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
        if (family, len(address)) not in {(socket.AF_INET, 4), (socket.AF_INET6, 16)}:
            continue
        if len(longer := found.get(_IFA_FLAGS, b"")) == 4:
            flags = int.from_bytes(longer, sys.byteorder)
        mark = int.from_bytes(found.get(IFA_PROTO, b""), sys.byteorder)
        lifetimes = found.get(_IFA_CACHEINFO, b"")
        preferred = _LIFETIMES.unpack(lifetimes)[0] if len(lifetimes) == _LIFETIMES.size else _FOREVER
        label = found.get(_IFA_LABEL, b"").partition(b"\0")[0].decode("utf-8", "replace")
        yield _Entry(address, prefix, flags, scope, index, mark, preferred, label)


def read_link(answer: bytes) -> tuple[int, dict[int, bytes]]:
    """The flags and attributes of an interface, from its description (rtnetlink(7)). Raises ``OSError``: too short."""
    return fixed(_IFINFOMSG, answer)[3], dict(attributes(answer, _IFINFOMSG.size, len(answer)))


def vrf(index: int, link: dict[int, bytes]) -> int:
    """The index of the VRF that an interface with these attributes belongs to, or is (l3mdev_fib_table); 0: none."""
    about = link.get(_IFLA_LINKINFO, b"")
    info = {kind: value.rstrip(b"\0") for kind, value in attributes(about, 0, len(about))}
    if info.get(_IFLA_INFO_KIND) == b"vrf":
        return index
    return (number(link.get(_IFLA_MASTER)) or 0) if info.get(_IFLA_INFO_SLAVE_KIND) == b"vrf" else 0


def is_local(answer: bytes) -> bool:
    """Whether a message of the kernel, or its start, is a route of type RTN_LOCAL; raises nothing."""
    return len(answer) > _TYPE_AT and answer[_TYPE_AT] == _RTN_LOCAL


def _addition(wanted: VirtualAddress, index: int) -> Request:
    """The request that adds an address, or corrects the properties of one that exists."""
    address = wanted.address
    flags, lifetime = (IFA_F_NODAD, _FOREVER if wanted.preferred else 0) if address.version == 6 else (0, _FOREVER)
    body = _message(address, wanted.prefix, index, flags, _scope(wanted))
    body += attribute(_IFA_CACHEINFO, _LIFETIMES.pack(lifetime, _FOREVER, 0, 0))
    body += attribute(IFA_PROTO, bytes([PROTOCOL]))  # ignored by kernels that do not know it
    body += b"" if wanted.label is None else attribute(_IFA_LABEL, wanted.label.encode() + b"\0")
    return Request(_RTM_NEWADDR, body, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)


def _removal(entry: _Entry) -> Request:
    return Request(_RTM_DELADDR, _message(entry.address, entry.prefix, entry.index), NLM_F_ACK)


def _scope(wanted: VirtualAddress) -> int:
    """Of an IPv4 address: on lo the host's own connections must not use it; on a link it is like any other there."""
    if wanted.address.version == 4 and not wanted.on_link:
        return _RT_SCOPE_HOST
    return SCOPES[wanted.scope or GLOBAL]


def _message(address: Address, prefix: int, index: int, flags: int = 0, scope: int = _RT_SCOPE_UNIVERSE) -> bytes:
    """``scope`` has no meaning in a removal."""
    head = _IFADDRMSG.pack(_family(address), prefix, flags, scope, index)
    return head + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)


def route_query(address: Address, domain: int = 0) -> Request:
    """The query for the route of packets to ``address``, in the VRF with this index (RTA_OIF, vrf.rst); 0: none."""
    head = _RTMSG.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    within = attribute(_RTA_OIF, struct.pack("=I", domain)) if domain else b""
    return Request(_RTM_GETROUTE, head + attribute(_RTA_DST, address.packed) + within)


def _form(entry: _Entry) -> VirtualAddress:
    """As it is there; on lo as any of ours."""
    if entry.index == LOOPBACK:
        return VirtualAddress(entry.address)
    name = interface_name(entry.index)
    if len(entry.packed) == 16:
        preferred = entry.preferred == _FOREVER
        return VirtualAddress(entry.address, preferred, interface=name, length=entry.prefix)
    scope = next((one for one, number in SCOPES.items() if number == entry.scope != _RT_SCOPE_UNIVERSE), None)
    label = None if entry.label == name else entry.label
    return VirtualAddress(entry.address, interface=name, length=entry.prefix, label=label, scope=scope)


def index_of(name: str) -> int:
    """The index of an interface; 0 if there is none of this name."""
    if name == LO:
        return LOOPBACK
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def promotes(name: str) -> bool:
    """Whether the kernel keeps the younger addresses of an IPv4 prefix on this interface when the oldest one goes."""
    for where in ("all", name):
        with suppress(OSError):
            if (SYSCTL / where / PROMOTE).read_text() == "1\n":
                return True
    return False


def _promotes(index: int) -> bool:
    """The same of an interface with neighbors, where it is told to if need be: nothing else saves foreign addresses."""
    if index == LOOPBACK:
        return False
    name = interface_name(index)
    if not promotes(name):
        with suppress(OSError), (SYSCTL / name / PROMOTE).open("r+") as file:  # read-only in a container, say
            file.write("1")
    return promotes(name)


def interface_name(index: int) -> str:
    """The interface's own name, or a text with its index if it does not exist any more."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
