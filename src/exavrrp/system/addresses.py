"""The addresses on lo: makes them equal a wanted set, and notices when they are not any more.

This file owns the virtual addresses on the loopback interface, and only those that it was told are ours (``own``):
every other address, and ours on any other interface, is never touched. It must not know why an address is wanted.

``set(wanted)`` states the whole truth: what is ours and wanted is added or put right, what is ours and not wanted is
removed, and then the kernel is asked whether it is so. All of it is one batch, however many addresses there are,
between two looks at the table. For an added address the kernel is asked twice. It confirms and lists an IPv6 address
*before* it accepts packets for it: the local route is made by a worker of its own, even without duplicate address
detection, usually within a millisecond, and until then the answer is "no route". Who announces the address in between
attracts packets and refuses them. So ``set`` returns when the table shows what was asked for, and those of the
addresses whose routes are not local yet are ``awaited``: we go on asking, and say when they are.

Nothing is removed before the first call. From then on a ``netlink.Watch`` does the same whenever lo changes: an address
that somebody deleted, or that went with ``ip link set lo down``, is back before anybody notices, and is reported.

An IPv6 address is a /128 without duplicate address detection. Unless it is to be ``preferred``, its preferred lifetime
is 0 (*deprecated*: it answers, but the host never chooses it as the source of its own connections). An IPv4 address is
a /32 of scope host. It answers the network all the same: routes to local addresses do not depend on their scope. But
the kernel looks for the source of a connection among addresses of a wider scope only (inet_select_addr in
net/ipv4/devinet.c), so it does not matter whether a virtual address stands before the node's own on lo, which it does
after somebody has flushed lo. Both carry the address protocol 112 (``IFA_PROTO``, since Linux 5.18), for people to see
whose they are.

If something keeps undoing our work, we stop fighting after ``PATIENCE`` repairs: that is reported as a failure, and
from then on we try again at growing intervals only.
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

from exavrrp.ports import AddressError
from exavrrp.system.netlink import (
    DUMP_TRIES,
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Conversation,
    Request,
    Watch,
    attribute,
    attributes,
    messages,
)
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp.packet import PROTOCOL, Address

LOOPBACK = 1
"""LOOPBACK_IFINDEX in include/net/flow.h: lo has this index in every network namespace."""

SPACING = 0.02
"""Seconds between two looks at lo while it keeps changing."""
PATIENCE = 5
"""Repairs of one address without a calm in between before it counts as fought over."""
CALM = 10.0
"""Seconds an address must have stayed right for the repairs before to be forgotten."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between attempts for an address that cannot be kept right: doubled from the first to the longest."""

ROUTED_WITHIN = 2.0
"""Seconds we wait for the local routes of new addresses. On a machine with a load of 15 the kernel's worker has taken
0.6; who gives up then makes its peers elect once more, for nothing."""
_GLANCE = 0.001
"""Seconds between two questions for such routes: the shortest time that the event loop waits."""

_FOREVER = 0xFFFF_FFFF
"""INFINITY_LIFE_TIME in include/net/addrconf.h."""
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR, _RTM_GETROUTE = 20, 21, 22, 26
IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFA_F_PERMANENT = (
    *(0x01, 0x02, 0x08, 0x20, 0x40, 0x80),
)
"""linux/if_addr.h."""
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS, IFA_PROTO = 1, 2, 6, 8, 11
_RTA_DST = 1
_RTN_LOCAL = 2
_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR = 1, 5, 9
_RT_SCOPE_UNIVERSE, _RT_SCOPE_HOST = 0, 254
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
    """who made it (IFA_PROTO); 0: not told"""
    preferred: int = _FOREVER
    """seconds for which it is not deprecated"""

    @property
    def address(self) -> Address:
        """Made when it is needed: there may be hundreds, and their bytes are as good to compare."""
        return IPv4Address(self.packed) if len(self.packed) == 4 else IPv6Address(self.packed)

    @property
    def is_wider(self) -> bool:
        """Whether it is more than a host route."""
        return self.prefix != 8 * len(self.packed)

    def is_right(self, *, preferred: bool) -> bool:
        """Whether it is what we would have made of it (NODAD and the protocol only matter when it is made)."""
        if self.is_wider or not self.flags & IFA_F_PERMANENT:
            return False
        if len(self.packed) == 4:
            return self.scope == _RT_SCOPE_HOST
        flags = self.flags & (IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED)
        return (flags == 0 and self.preferred == _FOREVER) if preferred else flags == IFA_F_DEPRECATED

    def is_in_the_way(self) -> bool:
        """Whether it has to be removed before: no prefix length, scope or failed duplicate check can be changed.

        A wider IPv4 prefix is an entry of its own, and may stay.
        """
        if len(self.packed) == 4:
            return not self.is_wider and self.scope != _RT_SCOPE_HOST
        return self.is_wider or bool(self.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED))

    def holds(self, other: "_Entry") -> bool:
        """Whether the kernel removes ``other`` along with this one (an IPv4 secondary, without promote_secondaries)."""
        if not len(self.packed) == len(other.packed) == 4 or self.prefix != other.prefix:
            return False
        if self.flags & IFA_F_SECONDARY or not other.flags & IFA_F_SECONDARY:
            return False
        return other.address in ip_network((self.address, self.prefix), strict=False)


@dataclass(slots=True)
class _Trouble:
    """The recent history of an address that did not stay as it was wanted."""

    repairs: int = 0
    last: float = float("-inf")
    pause: float = 0.0
    """seconds to wait after ``last``; 0 while we are patient"""


class Addresses:
    """The virtual addresses of this agent on lo.

    ``accepted`` is called when packets are accepted to addresses that were ``awaited``. ``repaired`` is called after an
    address that somebody had changed was put right. ``failed`` is called when an address cannot be put right, or was
    undone once too often, or when it was awaited in vain; attempts go on, at growing intervals, until it is not wanted
    any more. All are called from the event loop and may call ``set``.
    """

    def __init__(
        self,
        accepted: Callable[[], None],
        repaired: Callable[[Address], None],
        failed: Callable[[Address, OSError], None],
    ) -> None:
        self._ours: dict[bytes, Address] = {}
        self._leaving: Set[Address] = frozenset()
        """those of ``_ours`` that are so only until they are unbound"""
        self._wanted: Mapping[Address, bool] | None = None
        """each with whether it is preferred"""
        self._accepted = accepted
        self._repaired = repaired
        self._failed = failed
        self._kernel = Conversation()
        self.watch = Watch(
            (_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR),
            self._look,
            delay=0.0,
            spacing=SPACING,
            matters=concerns_loopback,
        )
        """what notices changes of lo, and how often it has looked"""
        self._troubles: dict[Address, _Trouble] = {}
        self._awaited: dict[Address, float] = {}
        """until when (``loop.time()``)"""
        self._unrouted: set[Address] = set()
        """added and listed, but awaited in vain"""
        self._repairing: set[Address] = set()
        """what is awaited after a repair of ours"""
        self._glance: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to watch lo; changes nothing. Raises ``OSError`` when the kernel gives us no netlink socket."""
        self._loop = loop
        self.watch.open(loop)
        try:
            self._kernel.open()
        except OSError:
            self.watch.close()
            raise

    def close(self) -> None:
        """Stops watching; leaves lo as it is."""
        self.watch.close()
        self._kernel.close()
        if self._glance is not None:
            self._glance.cancel()
            self._glance = None

    def own(self, ours: frozenset[Address]) -> None:
        """These are ours from now on; asks and changes nothing.

        One that is ours no more, but still wanted or not removed yet, is looked after until it is removed, when it is
        not wanted any more. Anything else on lo, however it came there, is left alone.
        """
        if self._wanted is None:
            left = self._leaving
        else:
            left = (self._leaving | self._wanted.keys() | self._troubles.keys()).intersection(self._ours.values())
        self._leaving = left - ours
        self._ours = {address.packed: address for address in sorted(ours | left, key=_order)}

    def _let_go(self, bound: Set[Address]) -> None:
        """Of those that are leaving, none but these stays ours."""
        if gone := self._leaving - bound:
            self._leaving &= bound
            self._ours = {packed: address for packed, address in self._ours.items() if address not in gone}

    @property
    def awaited(self) -> Set[Address]:
        """Those of the wanted addresses that are there, but to which the kernel does not accept packets yet."""
        return self._awaited.keys()

    def set(self, wanted: Collection[VirtualAddress]) -> None:
        """Makes lo carry, of our addresses, exactly ``wanted``; returns when the kernel's table shows it.

        Those to which it does not accept packets yet are ``awaited`` then: ``accepted`` or ``failed`` follows. Raises
        ``AddressError`` (an ``OSError``) after having done all that could be done, naming the addresses for which it
        could not, and any other ``OSError`` when the table cannot be read. ``wanted`` stands in either case: the watch
        goes on trying. Asking for the same set again is cheap and has no effect.
        """
        previous, self._wanted = self._wanted, {one.address: one.preferred for one in wanted}
        named = self._wanted.keys()
        assert named <= set(self._ours.values()), "only our own addresses may be bound"
        for address, _ in (previous or {}).items() ^ self._wanted.items():
            self._troubles.pop(address, None)
            self._awaited.pop(address, None)
        self._unrouted &= named
        self._repairing &= named
        wrong = self._wrong(present := self._present())
        failures = self._put_right(wrong, present) if wrong else {}
        self._let_go(named | failures.keys())
        if failures:
            for address in failures:
                self._pause(address)
            raise AddressError(failures)

    def present(self) -> frozenset[Address]:
        """Those of our addresses that lo has, in whatever form. Raises ``OSError`` when the table cannot be read."""
        return frozenset(self._ours[entry.packed] for entry in self._present() if entry.packed in self._ours)

    def adopt(self, addresses: Collection[Address]) -> frozenset[Address]:
        """Counts those of these as ours, too, that lo has with our mark; which. Raises ``OSError`` as ``present``.

        They are so until they are neither wanted nor there, as is what ``own`` names no more. Where the kernel marks
        nothing, not even its own 127.0.0.1, all that lo has. To be called before ``set``.
        """
        asked = {address.packed: address for address in addresses}
        present = self._present() if asked else []
        mark = PROTOCOL if any(one.mark for one in present) else 0
        found = {one.packed: asked[one.packed] for one in present if one.packed in asked and one.mark == mark}
        self._leaving |= frozenset(found.values()) - frozenset(self._ours.values())
        self._ours |= found
        return frozenset(found.values())

    def elsewhere(self) -> dict[Address, str]:
        """Those of our addresses that other interfaces have, each with one of these. Raises ``OSError``.

        They are not ours there, and nobody touches them; but this host answers for them whether it serves or not.
        """
        found = {one.packed: one.index for one in _dump(self._kernel, everywhere=True) if one.index != LOOPBACK}
        return {address: _interface_name(found[packed]) for packed, address in self._ours.items() if packed in found}

    def _present(self) -> list[_Entry]:
        return _dump(self._kernel)

    def _wrong(self, present: list[_Entry]) -> dict[Address, list[_Entry]]:
        """The addresses for which something must be done, with the entries that the kernel has for each."""
        if self._wanted is None:
            return {}
        entries: dict[bytes, list[_Entry]] = {}
        for entry in present:
            entries.setdefault(entry.packed, []).append(entry)
        wrong: dict[Address, list[_Entry]] = {}
        for packed, address in self._ours.items():
            found = entries.get(packed, [])
            if address not in self._wanted:
                to_do = bool(found)
            else:
                preferred = self._wanted[address]
                to_do = address in self._unrouted or not any(entry.is_right(preferred=preferred) for entry in found)
            if to_do:
                wrong[address] = found
        return wrong

    def _put_right(self, wrong: dict[Address, list[_Entry]], present: list[_Entry]) -> dict[Address, OSError]:
        """Removes and adds, then reads the table again; the addresses that are still wrong, each with its reason.

        Those that are right now may be awaited still.
        """
        assert self._wanted is not None
        assert self._loop is not None
        refused = self._carry_out(wrong, present)
        added = (wrong.keys() & self._wanted.keys()) - refused.keys()
        self._unrouted -= added
        self._awaited.update(dict.fromkeys(added, self._loop.time() + ROUTED_WITHIN))
        self._ask_for_routes()
        still = self._wrong(self._present()).keys() & wrong.keys()
        unexplained = OSError(errno.EAGAIN, "the kernel took the change, but does not show it")
        return {address: refused.get(address, unexplained) for address in sorted(still, key=_order)}

    def _carry_out(self, wrong: dict[Address, list[_Entry]], present: list[_Entry]) -> dict[Address, OSError]:
        """Removes and adds in one batch; the addresses for which the kernel refused it, or we did."""
        assert self._wanted is not None
        refused: dict[Address, OSError] = {}
        orders: list[tuple[Address, Request]] = []
        for address, found in wrong.items():
            preferred = self._wanted.get(address)
            try:
                for entry in found:
                    if preferred is None or entry.is_in_the_way():
                        self._look_what_hangs_on(entry, present)
                        orders.append((address, _removal(entry)))
            except OSError as error:
                refused[address] = error
            else:
                if preferred is not None:
                    orders.append((address, _addition(address, preferred=preferred)))
        answers = self._kernel.together([order for _, order in orders])
        for (address, order), answer in zip(orders, answers, strict=True):
            if isinstance(answer, OSError) and (order.kind, answer.errno) != (_RTM_DELADDR, errno.EADDRNOTAVAIL):
                refused.setdefault(address, explained(answer, address))
        return refused

    def _look_what_hangs_on(self, entry: _Entry, present: list[_Entry]) -> None:
        """Raises ``OSError`` when the kernel would remove foreign addresses along with ``entry``."""
        if entry.is_wider:
            # Not made by us. A wider IPv4 prefix may have foreign addresses hanging on it.
            held = [other for other in present if entry.holds(other)]
            if foreign := [str(other.address) for other in held if other.packed not in self._ours]:
                there = f"it is there as /{entry.prefix}; with it the kernel would remove {', '.join(foreign)}"
                raise OSError(errno.EBUSY, f"{there}: remove it by hand")

    def _ask_for_routes(self) -> None:
        """Asks for the routes to all that are awaited, once; and arranges for the next time if that is not enough."""
        assert self._loop is not None
        asked = list(self._awaited)
        try:
            answers = self._kernel.together([_route(address) for address in asked])
            for address, answer in zip(asked, answers, strict=True):
                if not isinstance(answer, OSError) and is_local(answer):  # no route at all is one of the ways not to be
                    del self._awaited[address]
        finally:  # what was not answered is asked again, too: nobody else does
            if self._awaited and self._glance is None:
                self._glance = self._loop.call_later(_GLANCE, self._glanced)

    def _glanced(self) -> None:
        assert self._loop is not None
        self._glance = None
        before = set(self._awaited)
        with suppress(OSError):
            self._ask_for_routes()
        now = self._loop.time()
        text = f"it is there, but {ROUTED_WITHIN:g} s later the kernel still accepts no packets for it"
        late = {address: OSError(errno.EAGAIN, text) for address, limit in self._awaited.items() if limit <= now}
        self._unrouted |= late.keys()
        for address in late:
            del self._awaited[address]
        over = before - self._awaited.keys()
        self._report(self._repairing - self._awaited.keys() | late.keys(), late)
        if over - late.keys():
            self._accepted()

    def _look(self) -> None:
        """lo has changed, or a pause is over: repair what has to be."""
        assert self._loop is not None
        if self._wanted is None:
            return
        now = self._loop.time()
        try:
            wrong = self._wrong(present := self._present())
            due = {address: found for address, found in wrong.items() if self._is_due(address, now)}
            before = set(self._awaited)
            failures = self._put_right(due, present) if due else {}
        except OSError:
            self.watch.look_after(FIRST_PAUSE)
            return
        self._let_go(self._wanted.keys() | (wrong.keys() - due.keys()) | failures.keys())
        self._repairing |= due.keys() & self._awaited.keys()
        self._report(due.keys() - self._awaited.keys(), failures)
        if before - self._awaited.keys():
            self._accepted()

    def _report(self, addresses: Collection[Address], failures: dict[Address, OSError]) -> None:
        """What came of repairs, for these ``addresses``; the others were put right."""
        self._repairing.difference_update(addresses)
        reports: list[tuple[Address, OSError | None]] = []
        for address in sorted(addresses, key=_order):
            error = failures.get(address)
            if error is not None:
                self._pause(address)
            elif self._undone(address):
                error = OSError(errno.EBUSY, f"undone {self._troubles[address].repairs} times by somebody else")
            reports.append((address, error))
        # Only now: the callbacks may call set().
        for address, error in reports:
            if error is None:
                self._repaired(address)
            else:
                self._failed(address, error)

    def _is_due(self, address: Address, now: float) -> bool:
        """Whether to repair now; if not, a look is arranged for when it is time."""
        trouble = self._troubles.get(address)
        if trouble is None:
            return True
        if now - trouble.last > CALM + trouble.pause:
            del self._troubles[address]
            return True
        wait = trouble.last + trouble.pause - now
        if wait <= 0:
            return True
        self.watch.look_after(wait)
        return False

    def _undone(self, address: Address) -> bool:
        """Notes a repair; true when there have been more than we have patience for."""
        assert self._loop is not None
        trouble = self._troubles.setdefault(address, _Trouble())
        trouble.repairs += 1
        if trouble.repairs >= PATIENCE:
            self._pause(address)
            return True
        trouble.last = self._loop.time()
        return False

    def _pause(self, address: Address) -> None:
        """The next attempt for ``address`` comes after a pause, twice as long as the one before."""
        assert self._loop is not None
        trouble = self._troubles.setdefault(address, _Trouble())
        trouble.last = self._loop.time()
        trouble.pause = min(max(FIRST_PAUSE, trouble.pause * 2), LONGEST_PAUSE)
        self.watch.look_after(trouble.pause)


def global_on_loopback() -> tuple[Address, ...]:
    """The addresses of global scope on lo, among which the agent's own source is looked for. Raises ``OSError``."""
    kernel = Conversation()
    kernel.open()
    try:
        found = {entry.address for entry in _dump(kernel) if entry.scope == _RT_SCOPE_UNIVERSE}
    finally:
        kernel.close()
    return tuple(sorted(found, key=_order))


def concerns_loopback(notification: bytes) -> bool:
    """Whether a notification of the link or address groups (header and at least 8 bytes) is about lo."""
    return bool(_INDEX.unpack_from(notification, HEADER.size)[0] == LOOPBACK)


def explained(error: OSError, address: Address) -> OSError:
    """The kernel's refusal, with what an operator can do about it."""
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


def _dump(kernel: Conversation, *, everywhere: bool = False) -> list[_Entry]:
    """Every IPv4 and IPv6 address on lo, or on any interface. Raises ``OSError``."""
    index = 0 if everywhere else LOOPBACK  # kernels before 4.20 ignore it
    request = Request(_RTM_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index), NLM_F_DUMP)
    for _ in range(DUMP_TRIES):
        with suppress(InterruptedError):
            parts = kernel.parts(request)
            found = [entry for part in parts for entry in read_addresses(part)]
            return [entry for entry in found if everywhere or entry.index == LOOPBACK]
    raise InterruptedError(errno.EINTR, "the table changed during each of several dumps")


def read_addresses(part: bytes) -> Iterable[_Entry]:
    """The addresses in a part of a dump, as far as it can be understood; raises nothing."""
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
        yield _Entry(address, prefix, flags, scope, index, mark, preferred)


def is_local(answer: bytes) -> bool:
    """Whether a message of the kernel's is a route to this host itself; raises nothing."""
    return len(answer) > _TYPE_AT and answer[_TYPE_AT] == _RTN_LOCAL


def _addition(address: Address, *, preferred: bool) -> Request:
    """Makes it what it should be, whether or not it is there."""
    flags, lifetime = (IFA_F_NODAD, _FOREVER if preferred else 0) if address.version == 6 else (0, _FOREVER)
    body = _message(address, address.max_prefixlen, flags)
    body += attribute(_IFA_CACHEINFO, _LIFETIMES.pack(lifetime, _FOREVER, 0, 0))
    body += attribute(IFA_PROTO, bytes([PROTOCOL]))  # ignored by kernels that do not know it
    return Request(_RTM_NEWADDR, body, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)


def _removal(entry: _Entry) -> Request:
    return Request(_RTM_DELADDR, _message(entry.address, entry.prefix), NLM_F_ACK)


def _message(address: Address, prefix: int, flags: int = 0) -> bytes:
    scope = _RT_SCOPE_HOST if address.version == 4 else _RT_SCOPE_UNIVERSE  # without a meaning in a removal
    head = _IFADDRMSG.pack(_family(address), prefix, flags, scope, LOOPBACK)
    return head + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)


def _route(address: Address) -> Request:
    """The question for the route that packets to ``address`` take."""
    head = _RTMSG.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return Request(_RTM_GETROUTE, head + attribute(_RTA_DST, address.packed))


def _interface_name(index: int) -> str:
    """The number, if the interface is gone meanwhile."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
