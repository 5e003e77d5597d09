"""What text in exavrrp.toml stands for: addresses and BGP communities.

Each function takes the text of one value and gives its meaning, or raises ValueError with a remedy that completes the
sentence "holds "…"; …". Nothing here knows of files, keys or other values.

Communities come out in the one spelling that ExaBGP 4.2 and 5.0 both read, so that nothing else can reach its API
lines.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from exavrrp.vrrp.packet import Address

COMMUNITIES = {
    "no-export": "no-export",
    "no-advertise": "no-advertise",
    "no-export-subconfed": "no-export-subconfed",
    "no-peer": "no-peer",
    "blackhole": "blackhole",
    # RFC 8326; ExaBGP does not know the name.
    "graceful-shutdown": "65535:0",
}
"""Well-known names → what ExaBGP reads."""

_COMMUNITY = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")
_LARGE_COMMUNITY = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})")


def address(text: str) -> Address:
    """An address without length and scope."""
    head, slash, _ = text.partition("/")
    try:
        found = ip_address(head)
    except ValueError:
        raise ValueError('write an address such as "2001:db8::1" or "192.0.2.1"') from None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise ValueError("remove the scope (from % on): adverts and routes are not bound to one link")
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        raise ValueError(f'this is an IPv4 address in IPv6 notation; write "{found.ipv4_mapped}"')
    if slash:
        raise ValueError(f'write "{found}" without a length')
    return found


def unicast(text: str) -> Address:
    """An address that one host can be reached at."""
    found = address(text)
    kind = None
    if found.is_unspecified or (isinstance(found, IPv4Address) and found.packed[0] == 0):
        kind = "the unspecified address"
    elif found.is_multicast:
        kind = "a multicast address"
    elif found.is_loopback:
        kind = "a loopback address, which no other host can reach"
    elif found == IPv4Address("255.255.255.255"):
        kind = "the broadcast address"
    if kind is not None:
        raise ValueError(f"this is {kind}; write a unicast address that is routed")
    return found


def routed(text: str) -> Address:
    """A unicast address that is reachable from other links."""
    found = unicast(text)
    if found.is_link_local:
        raise ValueError("this is a link-local address, which is not routed; write a global or private address")
    return found


def virtual(text: str) -> Address:
    """A virtual address: routed, with no length or that of a host."""
    head, slash, length = text.partition("/")
    found = routed(head)
    if slash and length != str(found.max_prefixlen):
        raise ValueError(
            f'write "{found}/{found.max_prefixlen}": exactly the address is bound and announced, not its network'
        )
    return found


def community(text: str) -> str:
    """A standard community (RFC 1997) by name or as two 16-bit numbers."""
    if text in COMMUNITIES:
        return COMMUNITIES[text]
    numbers = _numbers(_COMMUNITY, text, 0xFFFF)
    if numbers is None:
        raise ValueError(
            'write two numbers from 0 to 65535 such as "65010:7" (larger ones need large_communities), '
            f"or one of {', '.join(COMMUNITIES)}"
        )
    return numbers


def large_community(text: str) -> str:
    """A large community (RFC 8092): three 32-bit numbers."""
    numbers = _numbers(_LARGE_COMMUNITY, text, 0xFFFFFFFF)
    if numbers is None:
        raise ValueError('write three numbers from 0 to 4294967295 such as "65010:1:2"')
    return numbers


def _numbers(pattern: re.Pattern[str], text: str, largest: int) -> str | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    numbers = [int(group) for group in found.groups()]
    return ":".join(map(str, numbers)) if max(numbers) <= largest else None
