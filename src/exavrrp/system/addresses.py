"""The addresses on lo: makes them equal a wanted set, and notices when they are not any more.

This file owns the virtual addresses on the loopback interface, and only those that it was told are ours: every other
address, and ours on any other interface, is never touched. It must not know why an address is wanted.

``set(wanted)`` states the whole truth: what is ours and wanted is added or put right, what is ours and not wanted is
removed, and then the kernel is asked whether it is so. For an added address these are two questions. The kernel
confirms and lists an IPv6 address *before* it accepts packets for it: the local route is made by a worker of its own,
even without duplicate address detection, usually within a millisecond, and until then the answer is "no route". Who
announces the address in between attracts packets and refuses them. So ``set`` returns only when the table shows what
was asked for and the routes to it are local.

Nothing is removed before the first call. From then on a ``netlink.Watch`` does the same whenever lo changes: an address
that somebody deleted, or that went with ``ip link set lo down``, is back before anybody notices, and is reported.

An IPv6 address is a /128 with preferred lifetime 0 (*deprecated*: it answers, but the host never chooses it as the
source of its own connections) and without duplicate address detection. An IPv4 address is a /32 of global scope. Both
carry the address protocol 112 (``IFA_PROTO``, since Linux 5.18), for people to see whose they are.

If something keeps undoing our work, we stop fighting after ``PATIENCE`` repairs: that is reported as a failure, and
from then on we try again at growing intervals only.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import (
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_NODAD,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    IFA_F_TENTATIVE,
    ifaddrmsg,
)
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from exavrrp.system.netlink import HEADER, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, Conversation, Watch
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

ROUTED_WITHIN = 0.25
"""Seconds we wait for the local routes of new addresses. A worker that is later than that waits for a kernel so busy
that our own requests wait as well."""
_GLANCE = 0.0002
"""Seconds between two questions for such a route."""

_FOREVER = 0xFFFF_FFFF
"""INFINITY_LIFE_TIME in include/net/addrconf.h."""
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR, _RTM_GETROUTE = 20, 21, 22, 26
_RTN_LOCAL = 2
_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR = 1, 5, 9
_RT_SCOPE_UNIVERSE = 0
_INDEX = struct.Struct("=4xI")
"""The interface index in both struct ifaddrmsg and struct ifinfomsg."""


class AddressError(OSError):
    """lo is not what was asked for; ``failures`` says of which addresses that is true, and why."""

    def __init__(self, failures: dict[Address, OSError]) -> None:
        first = next(iter(failures.values()))
        what = "; ".join(f"{address} on lo: {error.strerror}" for address, error in failures.items())
        super().__init__(first.errno, what)
        self.failures = failures


@dataclass(frozen=True, slots=True)
class _Entry:
    """One address on lo, as the kernel describes it."""

    address: Address
    prefix: int
    flags: int

    def is_right(self) -> bool:
        """Whether it is what we would have made of it (NODAD and the protocol only matter when it is made)."""
        if self.prefix != self.address.max_prefixlen or not self.flags & IFA_F_PERMANENT:
            return False
        if self.address.version == 4:
            return True
        return bool(self.flags & (IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED) == IFA_F_DEPRECATED)

    def holds(self, other: "_Entry") -> bool:
        """Whether the kernel removes ``other`` along with this one (an IPv4 secondary, without promote_secondaries)."""
        if not self.address.version == other.address.version == 4 or self.prefix != other.prefix:
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

    ``repaired`` is called after an address that somebody had changed was put right. ``failed`` is called when it could
    not be, or was undone once too often; attempts go on, at growing intervals, until it is not wanted any more. Both
    are called from the event loop and may call ``set``.
    """

    def __init__(
        self,
        ours: frozenset[Address],
        repaired: Callable[[Address], None],
        failed: Callable[[Address, OSError], None],
    ) -> None:
        self._ours = ours
        self._wanted: frozenset[Address] | None = None
        self._repaired = repaired
        self._failed = failed
        self._kernel = Conversation()
        self._watch = Watch(
            (_RTNLGRP_LINK, _RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR),
            self._look,
            delay=0.0,
            spacing=SPACING,
            matters=concerns_loopback,
        )
        self._troubles: dict[Address, _Trouble] = {}
        self._unrouted: set[Address] = set()
        """added and listed, but packets to them were not accepted when we last asked"""
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to watch lo; changes nothing. Raises ``OSError`` when the kernel gives us no netlink socket."""
        self._loop = loop
        self._watch.open(loop)
        try:
            self._kernel.open()
        except OSError:
            self._watch.close()
            raise

    def close(self) -> None:
        """Stops watching; leaves lo as it is."""
        self._watch.close()
        self._kernel.close()

    def set(self, wanted: frozenset[Address]) -> None:
        """Makes lo carry, of our addresses, exactly ``wanted``; returns when the kernel's table shows it.

        Raises ``AddressError`` (an ``OSError``) after having done all that could be done, naming the addresses for
        which it could not, and any other ``OSError`` when the table cannot be read. ``wanted`` stands in either case:
        the watch goes on trying. Asking for the same set again is cheap and has no effect.
        """
        assert wanted <= self._ours, "only our own addresses may be bound"
        previous, self._wanted = self._wanted, wanted
        for address in self._ours if previous is None else previous ^ wanted:
            self._troubles.pop(address, None)
        self._unrouted &= wanted
        wrong = self._wrong(self._present())
        if not wrong:
            return
        failures = self._put_right(wrong)
        if failures:
            for address in failures:
                self._pause(address)
            raise AddressError(failures)

    def present(self) -> frozenset[Address]:
        """Those of our addresses that lo has, in whatever form. Raises ``OSError`` when the table cannot be read."""
        return frozenset(entry.address for entry in self._present() if entry.address in self._ours)

    def _present(self) -> list[_Entry]:
        return list(_dump(self._kernel))

    def _wrong(self, present: list[_Entry]) -> dict[Address, list[_Entry]]:
        """The addresses for which something must be done, with the entries that the kernel has for each."""
        if self._wanted is None:
            return {}
        entries: dict[Address, list[_Entry]] = {address: [] for address in sorted(self._ours, key=_order)}
        for entry in present:
            if entry.address in entries:
                entries[entry.address].append(entry)
        wrong: dict[Address, list[_Entry]] = {}
        for address, found in entries.items():
            if address not in self._wanted:
                to_do = bool(found)
            else:
                to_do = address in self._unrouted or not any(entry.is_right() for entry in found)
            if to_do:
                wrong[address] = found
        return wrong

    def _put_right(self, wrong: dict[Address, list[_Entry]]) -> dict[Address, OSError]:
        """Removes and adds, then reads the table again; the addresses that are still wrong, each with its reason."""
        assert self._wanted is not None
        refused: dict[Address, OSError] = {}
        for address, found in wrong.items():
            try:
                if address in self._wanted:
                    self._bind(address, found)
                else:
                    self._unbind(found)
            except OSError as error:
                refused[address] = error
        limit = time.monotonic() + ROUTED_WITHIN
        for address in (wrong.keys() & self._wanted) - refused.keys():
            if self._is_local(address, limit):
                self._unrouted.discard(address)
            else:
                self._unrouted.add(address)
                text = f"it is there, but {ROUTED_WITHIN:g} s later the kernel still accepts no packets for it"
                refused[address] = OSError(errno.EAGAIN, text)
        still = self._wrong(self._present()).keys() & wrong.keys()
        unexplained = OSError(errno.EAGAIN, "the kernel took the change, but does not show it")
        return {address: refused.get(address, unexplained) for address in sorted(still, key=_order)}

    def _is_local(self, address: Address, limit: float) -> bool:
        """Whether packets to ``address`` are for this host; waits for that until ``limit`` (``time.monotonic()``)."""
        question = rtmsg()
        question["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
        question["dst_len"] = address.max_prefixlen
        question["attrs"] = [("RTA_DST", str(address))]
        while True:
            with contextlib.suppress(OSError):  # no route at all is one of the ways not to be local
                if any(route["type"] == _RTN_LOCAL for route in self._kernel.ask(question, _RTM_GETROUTE)):
                    return True
            if time.monotonic() >= limit:
                return False
            time.sleep(_GLANCE)

    def _bind(self, address: Address, found: list[_Entry]) -> None:
        for entry in found:
            # Neither a prefix length nor a failed duplicate check can be changed; lifetimes can.
            if address.version == 6 and (
                entry.prefix != address.max_prefixlen or entry.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)
            ):
                self._remove(entry)
        message = _message(address, address.max_prefixlen)
        message["scope"] = _RT_SCOPE_UNIVERSE
        message["flags"] = IFA_F_NODAD if address.version == 6 else 0
        preferred = 0 if address.version == 6 else _FOREVER
        message["attrs"] += [
            ("IFA_CACHEINFO", {"ifa_preferred": preferred, "ifa_valid": _FOREVER, "cstamp": 0, "tstamp": 0}),
            ("IFA_PROTO", PROTOCOL),  # ignored by kernels that do not know it
        ]
        try:
            self._kernel.ask(message, _RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
        except OSError as error:
            raise explained(error, address) from error

    def _unbind(self, found: list[_Entry]) -> None:
        for entry in found:
            self._remove(entry)

    def _remove(self, entry: _Entry) -> None:
        if entry.prefix != entry.address.max_prefixlen:
            # Not made by us. A wider IPv4 prefix may have foreign addresses hanging on it.
            held = [other.address for other in self._present() if entry.holds(other)]
            if foreign := [str(address) for address in held if address not in self._ours]:
                there = f"it is there as /{entry.prefix}; with it the kernel would remove {', '.join(foreign)}"
                raise OSError(errno.EBUSY, f"{there}: remove it by hand")
        try:
            self._kernel.ask(_message(entry.address, entry.prefix), _RTM_DELADDR, NLM_F_ACK)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # somebody was faster
                raise explained(error, entry.address) from error

    def _look(self) -> None:
        """lo has changed, or a pause is over: repair what has to be."""
        assert self._loop is not None
        if self._wanted is None:
            return
        now = self._loop.time()
        try:
            wrong = self._wrong(self._present())
            due = {address: found for address, found in wrong.items() if self._is_due(address, now)}
            failures = self._put_right(due) if due else {}
        except OSError:
            self._watch.look_after(FIRST_PAUSE)
            return
        reports: list[tuple[Address, OSError | None]] = []
        for address in due:
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
        self._watch.look_after(wait)
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
        self._watch.look_after(trouble.pause)


def global_on_loopback() -> tuple[Address, ...]:
    """The addresses of global scope on lo, among which the agent's own source is looked for. Raises ``OSError``."""
    kernel = Conversation()
    kernel.open()
    try:
        found = {entry.address for entry in _dump(kernel, _RT_SCOPE_UNIVERSE)}
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


def _dump(kernel: Conversation, scope: int | None = None) -> Iterator[_Entry]:
    question = ifaddrmsg()
    question["index"] = LOOPBACK  # kernels before 4.20 ignore it
    for answer in kernel.ask(question, _RTM_GETADDR, NLM_F_DUMP):
        if answer["index"] != LOOPBACK or answer["family"] not in {socket.AF_INET, socket.AF_INET6}:
            continue
        if scope is not None and answer["scope"] != scope:
            continue
        address = answer.get_attr("IFA_LOCAL") or answer.get_attr("IFA_ADDRESS")
        flags = answer.get_attr("IFA_FLAGS", answer["flags"])
        if address is not None:
            yield _Entry(ip_address(address), answer["prefixlen"], flags)


def _message(address: Address, prefix: int) -> Any:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
    message["prefixlen"] = prefix
    message["index"] = LOOPBACK
    message["attrs"] = [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address))]
    return message


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
