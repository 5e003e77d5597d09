"""The beacon on the wire: bytes ↔ ``Beacon`` (docs/reference/beacon.md); pure.

One datagram tells of all virtual routers of one source that a peer shares and that have the same keys, at most
``MOST``. All numbers are in network order:

    header   0xB1 (beacon, version 1) | VRID of the first router | "EX" | IP version | echoes | 0 (2) |
             routers | 0 (3) | path (4)
    echo     path (4)
    router   VRID | state | priority | paths | flags (2) | interval (2) | configured priority | digest (7)
    trailer  that of signed adverts, 28 bytes (``vrrp.auth``); none if the beacon is not signed

The bytes 0, 1, 6 and 7 stand where an advert has version, VRID and checksum, so that the trailer is made and verified
as that of an advert. As the version of an advert is never 11, neither can be taken for the other.

A path is the sender's number of an interface, and an echo one of the receiver: a beacon that came from there was heard
lately. ``decode`` and ``Sealed.open`` raise ``Refused``, and nothing else, whatever the bytes. This file must not
know of keys.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from exavrrp.instance import Fault, Hold
from exavrrp.vrrp.packet import LONGEST_INTERVAL, Address
from exavrrp.vrrp.router import Role

LARGEST = 1232
"""Bytes of a datagram at most: with the headers of IPv6 and UDP 1280, which every link carries whole (RFC 8200 §5)."""

ECHOES = 8
"""Echoes in a beacon at most, and so the paths from a peer that it is told of."""

TRAILER = 28
"""Bytes of the trailer of a signed one (``vrrp.auth``)."""

_HEADER = struct.Struct("!BB2sBBHBBHI")
_ECHO = struct.Struct("!I")
_ROUTER = struct.Struct("!BBBBHHB7s")

_FIRST = 0xB1
_MAGIC = b"EX"

MOST = (LARGEST - _HEADER.size - ECHOES * _ECHO.size - TRAILER) // _ROUTER.size
"""Virtual routers in one datagram."""

_STATES = (Role.INITIALIZE, Role.BACKUP, Role.ACTIVE)
"""By their number on the wire."""

_FLAGS: dict[Fault | Hold, int] = {
    Fault.CHECK: 0x0001,
    Fault.BIND: 0x0002,
    Fault.ADVERTS: 0x0004,
    Fault.SESSIONS: 0x0008,
    Fault.ANNOUNCEMENT: 0x0010,
    Fault.GROUP: 0x0020,
    Hold.WAITING: 0x0100,
    Hold.DRAIN: 0x0200,
}
_FAULTS, _HOLDS = 0x00FF, 0xFF00
"""The bits that are, or will be, faults; and holds."""


class Flaw(StrEnum):
    """Why a beacon is not accepted, before it comes to its trailer (``vrrp.packet.AUTHENTICATION``)."""

    LENGTH = "length"
    MAGIC = "magic"
    VERSION = "version"
    FIELD = "field"
    NOT_OURS = "not-ours"
    """its sender, its virtual router or its keys are not configured"""


class Refused(Exception):
    """A beacon that is not accepted."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(str(flaw))
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Report:
    """How one virtual router is, as its node tells it."""

    vrid: int
    """1–255"""
    role: Role
    priority: int
    """the effective one, 0–255"""
    configured: int
    """before any check, 0–255"""
    heard: int
    """paths over which adverts of an Active arrive, at most 15"""
    expected: int
    """paths that lead to that Active, at most 15"""
    flags: int
    """faults and holds, see ``flags``"""
    centiseconds: int
    """its advert interval, 1–4095"""
    digest: bytes
    """of its virtual addresses, see ``digest``"""

    @property
    def faults(self) -> tuple[str, ...]:
        """What keeps its node from serving; ``unknown`` for what only a later version knows."""
        return _names(self.flags & _FAULTS)

    @property
    def holds(self) -> tuple[str, ...]:
        """What it waits for before it takes part in the election."""
        return _names(self.flags & _HOLDS)


@dataclass(frozen=True, slots=True)
class Beacon:
    """What one datagram tells."""

    family: int
    """4 or 6"""
    path: int
    """the sender's index of the interface that it left by; 0: the kernel's choice"""
    echoes: tuple[int, ...]
    """paths of the receiver over which its beacons are heard, at most ``ECHOES``"""
    reports: tuple[Report, ...]
    """at least one, at most ``MOST``"""


def flags(reasons: Iterable[Fault | Hold]) -> int:
    """The bits of these faults and holds."""
    return sum(_FLAGS[one] for one in reasons)


def digest(addresses: Iterable[Address]) -> bytes:
    """Seven bytes that are the same for the same addresses, in whatever order."""
    return hashlib.blake2b(b"".join(sorted(one.packed for one in addresses)), digest_size=7).digest()


def encode(beacon: Beacon) -> bytes:
    """The datagram, without a trailer."""
    assert 1 <= len(beacon.reports) <= MOST
    assert len(beacon.echoes) <= ECHOES
    counts = len(beacon.echoes), 0, len(beacon.reports), 0, 0
    header = _HEADER.pack(_FIRST, beacon.reports[0].vrid, _MAGIC, beacon.family, *counts, beacon.path)
    return b"".join((header, *map(_ECHO.pack, beacon.echoes), *map(_packed, beacon.reports)))


def _packed(report: Report) -> bytes:
    return _ROUTER.pack(
        report.vrid,
        _STATES.index(report.role),
        report.priority,
        report.heard << 4 | report.expected,
        report.flags,
        report.centiseconds,
        report.configured,
        report.digest,
    )


@dataclass(frozen=True, slots=True)
class Sealed:
    """A datagram that is laid out as a beacon. What it says is read only once its trailer has been verified."""

    vrid: int
    """of the first router, whose keys verify it"""
    family: int
    message: bytes
    """what the trailer covers"""
    trailer: bytes
    """empty: it is not signed"""
    _path: int
    _reports_at: int

    def open(self) -> Beacon:
        """What it says. Raises ``Refused``."""
        reports = tuple(map(_report, _ROUTER.iter_unpack(self.message[self._reports_at :])))
        if self.vrid != reports[0].vrid or len({one.vrid for one in reports}) != len(reports):
            raise Refused(Flaw.FIELD)
        echoes = tuple(one for (one,) in _ECHO.iter_unpack(self.message[_HEADER.size : self._reports_at]))
        return Beacon(self.family, self._path, echoes, reports)


def decode(datagram: bytes) -> Sealed:
    """Check the layout, which takes the same short time whatever the bytes. Raises ``Refused``."""
    if not _HEADER.size <= len(datagram) <= LARGEST:
        raise Refused(Flaw.LENGTH)
    first, vrid, magic, family, echoes, zero, routers, reserved, more, path = _HEADER.unpack_from(datagram)
    if magic != _MAGIC or first >> 4 != _FIRST >> 4:
        raise Refused(Flaw.MAGIC)
    if first != _FIRST:
        raise Refused(Flaw.VERSION)
    if zero or reserved or more or family not in (4, 6) or echoes > ECHOES or not 1 <= routers <= MOST:
        raise Refused(Flaw.FIELD)
    reports_at = _HEADER.size + echoes * _ECHO.size
    end = reports_at + routers * _ROUTER.size
    if len(datagram) not in (end, end + TRAILER):
        raise Refused(Flaw.LENGTH)
    return Sealed(vrid, family, datagram[:end], datagram[end:], path, reports_at)


def _report(fields: tuple[int, int, int, int, int, int, int, bytes]) -> Report:
    vrid, state, priority, paths, bits, interval, configured, digest = fields
    if vrid == 0 or state >= len(_STATES) or not 1 <= interval <= LONGEST_INTERVAL:
        raise Refused(Flaw.FIELD)
    return Report(vrid, _STATES[state], priority, configured, paths >> 4, paths & 15, bits, interval, digest)


def _names(bits: int) -> tuple[str, ...]:
    known = tuple(str(one) for one, bit in _FLAGS.items() if bits & bit)
    return known if not bits & ~sum(_FLAGS.values()) else (*known, "unknown")
