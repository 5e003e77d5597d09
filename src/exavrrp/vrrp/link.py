"""Frames that tell the neighbors on a link who has an address: gratuitous ARP, and unsolicited neighbor advertisements.

RFC 9568 §6.4.1 and §6.4.2 have a new Active send them, with the virtual MAC; here they name the interface's own, since
there is no virtual one. Neighbors that have the address in their cache replace what they know; others learn nothing.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from exavrrp.vrrp.packet import Address, internet_checksum

_BROADCAST = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
"""RFC 2464 §7."""
_ARP, _IPV6 = 0x0806, 0x86DD
_ARP_HEADER = struct.Struct("!HHBBH")
"""Hardware and protocol type, their lengths, operation (RFC 826)."""
_REQUEST = 1
_ICMPV6, _NEIGHBOR_ADVERTISEMENT = 58, 136
_ROUTER, _OVERRIDE = 0x8000_0000, 0x2000_0000
"""Flags of RFC 4861 §4.4."""
_TARGET_LINK_LAYER = bytes([2, 1])
"""Option of RFC 4861 §4.6.1: type, and length in units of 8 bytes."""
_HOP_LIMIT = 255
"""What RFC 4861 §7.1.2 requires."""


def frame(mac: bytes, address: Address, *, router: bool = False) -> bytes:
    """The Ethernet frame by which the interface with this ``mac`` (6 bytes) says that it has ``address``.

    ``router``: whether this host forwards IPv6 packets.
    """
    if isinstance(address, IPv4Address):
        return _gratuitous_arp(mac, address)
    return _neighbor_advertisement(mac, address, router=router)


def _gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """A request for our own address (RFC 5227 §2.3), which more hosts act upon than a reply."""
    head = _ARP_HEADER.pack(1, 0x0800, 6, 4, _REQUEST)
    return _ethernet(_BROADCAST, mac, _ARP) + head + mac + address.packed + bytes(6) + address.packed


def _neighbor_advertisement(mac: bytes, address: IPv6Address, *, router: bool) -> bytes:
    flags = _OVERRIDE | (_ROUTER if router else 0)
    head = struct.pack("!BBHI", _NEIGHBOR_ADVERTISEMENT, 0, 0, flags)
    body = head + address.packed + _TARGET_LINK_LAYER + mac
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!IHBB", len(body), 0, 0, _ICMPV6)
    checksum = internet_checksum(pseudo + body).to_bytes(2, "big")
    packet = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, _HOP_LIMIT) + address.packed + _ALL_NODES.packed
    return _ethernet(_ALL_NODES_MAC, mac, _IPV6) + packet + body[:2] + checksum + body[4:]


def _ethernet(destination: bytes, source: bytes, kind: int) -> bytes:
    return destination + source + kind.to_bytes(2, "big")
