"""The VXLAN that is there, as the kernel describes it, and the uplinks that carry it.

This file reads; ``exavrrp.vxlan`` says what is wrong with what it has read. A device is described by RTM_GETLINK, where
its frames for all go by the forwarding entries of the address that is all zeros (RTM_GETNEIGH, AF_BRIDGE).
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from exavrrp.system.addresses import addresses_on
from exavrrp.system.netlink import NLM_F_DUMP, Netlink, Request, attributes, fixed, number
from exavrrp.system.paths import Paths
from exavrrp.vrrp.packet import Address
from exavrrp.vxlan import Device

_RTM_GETLINK, _RTM_GETNEIGH = 18, 30
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change mask."""
_NEIGHBOR = struct.Struct("=B3xiHBB")
"""struct ndmsg: family, interface, state, flags, type."""
_IFF_UP = 1
_IFLA_MTU, _IFLA_LINKINFO = 4, 18
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_TOS, _VXLAN_LEARNING, _VXLAN_PORT = 1, 3, 4, 6, 7, 15
_VXLAN_LOCAL6, _VXLAN_COLLECT_METADATA = 17, 25
"""IFLA_* of linux/if_link.h."""
_NDA_DST, _NDA_LLADDR = 1, 2
_ALL = bytes(6)


def device(name: str) -> Device | None:
    """The interface of this name; None: there is none. Raises ``OSError``."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return None
    kernel = Netlink()
    kernel.open()
    try:
        link = kernel.ask(Request(_RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)))[0]
        # Without the index: kernels before 5.0 understand it otherwise here.
        forwarding = kernel.ask(Request(_RTM_GETNEIGH, _NEIGHBOR.pack(socket.AF_BRIDGE, 0, 0, 0, 0), NLM_F_DUMP))
    finally:
        kernel.close()
    return read_device(link, index, forwarding, addresses_on(index))


def uplinks(local: Address, remotes: Iterable[Address]) -> dict[Address, dict[str, int]]:
    """The interfaces that lead to each of ``remotes``, each with its MTU in bytes. Raises ``OSError``."""
    found: dict[Address, dict[str, int]] = {}
    for remote in remotes:
        found[remote] = {}
        for link in Paths(_nothing).once(remote, local):
            there = device(link.name)
            if there is not None:
                found[remote][link.name] = there.mtu
    return found


def _nothing() -> None:
    """What is asked once is not told of changes."""


def read_device(link: bytes, index: int, forwarding: Iterable[bytes], addresses: Iterable[Address]) -> Device:
    """Decodes a link (rtnetlink(7)) and its forwarding entries, all without headers. Raises ``OSError``: too short."""
    flags = fixed(_LINK, link)[3]
    found = dict(attributes(link, _LINK.size, len(link)))
    info = _nested(found.get(_IFLA_LINKINFO))
    data = _nested(info.get(_IFLA_INFO_DATA))
    external = any(data.get(_VXLAN_COLLECT_METADATA, b""))
    lower = number(data.get(_VXLAN_LINK))
    return Device(
        kind=info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", "replace"),
        up=bool(flags & _IFF_UP),
        mtu=number(found.get(_IFLA_MTU)) or 0,
        identifier=None if external else number(data.get(_VXLAN_ID)),
        port=int.from_bytes(data.get(_VXLAN_PORT, b""), "big"),
        local=_address(data.get(_VXLAN_LOCAL, data.get(_VXLAN_LOCAL6, b""))),
        traffic_class=int.from_bytes(data.get(_VXLAN_TOS, b""), "big"),
        learning=any(data.get(_VXLAN_LEARNING, b"")),
        lower=Paths(_nothing).interface_name(lower) if lower else None,
        entries=frozenset(_destinations(index, forwarding)),
        addresses=frozenset(addresses),
    )


def _destinations(index: int, forwarding: Iterable[bytes]) -> Iterable[Address]:
    """Where frames for all go that leave the interface with this index."""
    for message in forwarding:
        _, interface, *_ = fixed(_NEIGHBOR, message)
        found = dict(attributes(message, _NEIGHBOR.size, len(message)))
        destination = _address(found.get(_NDA_DST, b""))
        if interface == index and found.get(_NDA_LLADDR) == _ALL and destination is not None:
            yield destination


def _nested(content: bytes | None) -> dict[int, bytes]:
    return dict(attributes(content, 0, len(content))) if content is not None else {}


def _address(content: bytes) -> Address | None:
    """None for another size, and for the unspecified address."""
    if len(content) not in {4, 16}:
        return None
    found: IPv4Address | IPv6Address = ip_address(content)
    return None if found.is_unspecified else found
