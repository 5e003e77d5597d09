"""The frames by which neighbors learn who has an address, byte by byte."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from exavrrp.vrrp.link import frame

MAC = bytes.fromhex("02000000090a")
FOUR, SIX = IPv4Address("192.0.2.53"), IPv6Address("2001:db8:53::1")


def test_gratuitous_arp_is_a_broadcast_request_for_our_own_address() -> None:
    assert frame(MAC, FOUR).hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 09 0a 08 06"  # to all, from us, ARP
        " 00 01 08 00 06 04 00 01"  # Ethernet, IPv4, lengths, request
        " 02 00 00 00 09 0a c0 00 02 35"  # we have it
        " 00 00 00 00 00 00 c0 00 02 35"  # and ask for it
    )


@pytest.mark.parametrize(("router", "flags", "checksum"), [(False, "20", "ef7b"), (True, "a0", "6f7b")])
def test_a_neighbor_advertisement_overrides_and_is_not_solicited(router: bool, flags: str, checksum: str) -> None:
    address = "20010db8005300000000000000000001"
    assert frame(MAC, SIX, router=router).hex() == (
        "33330000000102000000090a86dd"  # to all nodes, from us, IPv6
        f"6000000000203aff{address}ff020000000000000000000000000001"  # 32 bytes of ICMPv6, hop limit 255
        f"8800{checksum}{flags}000000{address}"  # 136, the flags, the target
        "020102000000090a"  # its link-layer address
    )
