"""VRRPv2 on the wire: bytes ↔ ``Advertisement`` (RFC 3768 §5.3), for IPv4; what keepalived speaks there by default.

It differs from VRRPv3 in this: the interval is whole seconds, and a receiver rejects another one than its own; the
checksum covers the message alone; and eight bytes follow the addresses, which are zero (authentication type 0) or a
password that everybody on the way can read (type 1, RFC 2338 §5.3.6; RFC 3768 has withdrawn it, keepalived sends it
when asked to).

The checks before the message itself are those of ``packet``, and so is everything that is decided from an advert.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from exavrrp.vrrp.packet import (
    ADVERTISEMENT,
    CHECKSUM_AT,
    Advertisement,
    Datagram,
    Expectation,
    Malformed,
    Reason,
    admit,
    internet_checksum,
)

VERSION = 2
PASSWORD_BYTES = 8
"""Authentication Data, whatever the type (RFC 3768 §5.3.10)."""

_HEADER = struct.Struct("!BBBBBBH")
NO_AUTHENTICATION, PLAIN_TEXT = 0, 1
"""Authentication types (RFC 3768 §5.3.6, RFC 2338 §5.3.6)."""


@dataclass(frozen=True, slots=True)
class Version2:
    """What all nodes of a VRRPv2 router agree on."""

    seconds: int
    """Advertisement_Interval, 1–255"""
    password: bytes = b""
    """1–8 bytes, which adverts carry in plain text; empty: authentication type 0"""


def encode(advertisement: Advertisement, terms: Version2) -> bytes:
    """The payload of protocol 112 for ``advertisement``, with its checksum (RFC 3768 §5.1)."""
    kind = PLAIN_TEXT if terms.password else NO_AUTHENTICATION
    count = len(advertisement.addresses)
    head = (VERSION << 4 | ADVERTISEMENT, advertisement.vrid, advertisement.priority, count, kind, terms.seconds, 0)
    listed = b"".join(address.packed for address in advertisement.addresses)
    body = _HEADER.pack(*head) + listed + terms.password.ljust(PASSWORD_BYTES, b"\0")
    return body[:CHECKSUM_AT] + internet_checksum(body).to_bytes(2, "big") + body[CHECKSUM_AT + 2 :]


def decode(datagram: Datagram, expectation: Expectation, terms: Version2) -> Advertisement:
    """The advert in ``datagram``, checked as RFC 3768 §7.1 demands. Raises ``Malformed``, and nothing else.

    A password that is wrong is compared like any other value: everybody on the way can read it.
    """
    admit(datagram, expectation)
    payload, source = datagram.payload, datagram.source
    if source.version != 4 or len(payload) < 1 or payload[0] >> 4 != VERSION:
        raise Malformed(Reason.VERSION, f"{payload[0] >> 4}, not {VERSION}" if payload else "empty packet")
    if payload[0] & 0x0F != ADVERTISEMENT:
        raise Malformed(Reason.TYPE, f"{payload[0] & 0x0F}, not {ADVERTISEMENT} (ADVERTISEMENT)")
    if len(payload) < _HEADER.size:
        raise Malformed(Reason.LENGTH, f"{len(payload)} bytes, the header alone has {_HEADER.size}")
    _, vrid, priority, count, kind, seconds, _ = _HEADER.unpack_from(payload)
    listed = _HEADER.size + 4 * count
    end = listed + PASSWORD_BYTES
    if len(payload) < end:
        raise Malformed(Reason.LENGTH, f"{len(payload)} bytes, {count} addresses need {end}")
    if vrid == 0 or source not in expectation.vrids.get(vrid, ()):
        raise Malformed(Reason.UNKNOWN_VRID, f"VRID {vrid} is not configured with {source}")
    _check_password(kind, payload[listed:end], terms)
    if internet_checksum(payload[:end]) != 0:
        raise Malformed(Reason.CHECKSUM, f"{payload[6:8].hex()} is wrong for these {end} bytes")
    if count == 0:
        raise Malformed(Reason.NO_ADDRESSES, "the address count is 0")
    if seconds != terms.seconds:
        raise Malformed(Reason.INTERVAL, f"{seconds} s, not {terms.seconds} s as here (RFC 3768, section 7.1)")
    addresses = tuple(IPv4Address(payload[at : at + 4]) for at in range(_HEADER.size, listed, 4))
    return Advertisement(vrid, priority, 100 * seconds, addresses)


def _check_password(kind: int, found: bytes, terms: Version2) -> None:
    """Raises ``Malformed``."""
    wanted = PLAIN_TEXT if terms.password else NO_AUTHENTICATION
    if kind != wanted:
        raise Malformed(Reason.AUTH_MALFORMED, f"authentication type {kind}, not {wanted} as here")
    if terms.password and found != terms.password.ljust(PASSWORD_BYTES, b"\0"):
        raise Malformed(Reason.AUTH_MAC, "another password than here")
