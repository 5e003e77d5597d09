"""A VXLAN between hosts that share no link, for adverts that need one interface; pure.

An election by multicast, or by unicast on a named interface, hangs on that interface. On hosts with several routed
uplinks a VXLAN is that interface: its packets are UDP from one loopback address to another, so the routes decide over
which uplink they go. It needs no multicast in the network: each frame that all shall hear is sent once to each peer,
as the forwarding entries of the address 00:00:00:00:00:00 say (head-end replication), and nothing is learned.

``planned`` says what the VXLAN has to be, from the configuration of one node: its ends are the agent's source and
peers, and what lies in it are the sources of the virtual routers. ``commands`` and ``units`` are two ways to make it.
``mistakes`` compares it with the device that is there, as ``system.vxlan`` has read it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from exavrrp.config import Configuration, VirtualRouter
from exavrrp.config.settings import Transport
from exavrrp.vrrp import auth, packet
from exavrrp.vrrp.packet import Address

PORT = 4789
"""The UDP port of VXLANs (RFC 7348 §5)."""

IDENTIFIER = 112
"""The default VNI. Any will do that the nodes have in common, and no other VXLAN on these hosts; VRRP's protocol number
is easily remembered."""

MOST_IDENTIFIERS = 1 << 24
"""A VNI has 24 bits (RFC 7348 §5)."""

ETHERNET = 1500
"""Bytes: the usual MTU of an uplink."""

OVERHEAD = {4: 50, 6: 70}
"""Bytes that a VXLAN puts in front of an inner IP packet, by the IP version outside: 20 or 40 of IP, 8 of UDP, 8 of
VXLAN, and 14 of the inner Ethernet (RFC 7348 §5)."""

LENGTHS = {4: 24, 6: 64}
"""Default prefix length of the addresses in the VXLAN."""

CLASS = 0xC0
"""The traffic class outside, that of adverts (CS6, RFC 4594 §3.1). With one the kernel looks up the route of each
packet (vxlan_xmit_one() in drivers/net/vxlan). Without one it keeps the route, over IPv6 that of an uplink that has
lost its carrier, too, until another route of the host changes."""

ALL = "00:00:00:00:00:00"
"""The address whose entries say where a frame for all goes, and one to an unknown address."""

_IP_HEADER = {4: 20, 6: 40}
_VERSION_2_TRAILER = 8
"""The authentication data of RFC 3768 §5.3.10."""

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the configuration does not say."""

    interface: str | None = None
    """None: the only one of all virtual routers"""
    identifier: int = IDENTIFIER
    """VNI, 0 to 2²⁴ - 1"""
    port: int = PORT
    family: int | None = None
    """of the packets outside, 4 or 6; None: IPv6 if the agent has a source and peers of it, otherwise IPv4"""
    uplink_mtu: int = ETHERNET
    """bytes, the least of all uplinks"""
    length: int = LENGTHS[4]
    """prefix length of the IPv4 addresses inside"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A VXLAN as it has to be on one node."""

    interface: str
    identifier: int
    """VNI"""
    port: int
    local: Address
    """the address of this node that its packets come from"""
    remotes: tuple[Address, ...]
    """the other nodes', of the same family"""
    addresses: tuple[Interface, ...]
    """those of this node inside"""
    mtu: int
    """bytes of the largest IP packet inside"""
    largest: int
    """bytes of the largest advert, with its IP header"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A network interface that is there."""

    kind: str
    """``vxlan``, or another one of the kernel's; empty: a card"""
    up: bool
    mtu: int
    identifier: int | None = None
    """VNI; None: any (a device of ``external`` mode)"""
    port: int = 0
    local: Address | None = None
    learning: bool = False
    traffic_class: int = CLASS
    """of its packets: 0 is none, 1 that of the packet inside"""
    lower: str | None = None
    """the only interface that its packets use; None: as the routes say"""
    entries: frozenset[Address] = frozenset()
    """where frames for all go"""
    addresses: frozenset[Address] = frozenset()


class Unplannable(ValueError):
    """No VXLAN follows from the configuration; ``problems`` has every reason, with its remedy."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def planned(configuration: Configuration, choices: Choices) -> Overlay:
    """The VXLAN for the adverts of one interface. Raises ``Unplannable``."""
    interface = _interface(configuration, choices.interface)
    routers = [one for one in configuration.routers if one.medium is not None and one.medium.interface == interface]
    local, remotes = _ends(configuration, choices.family)
    problems = [
        f"virtual_router.{router.name}.peers names {len(router.peers)} nodes, but agent.peers has {len(remotes)}"
        f" IPv{local.version} addresses; a VXLAN has one end on each node: write all of them there"
        for router in routers
        if len(router.peers) > len(remotes)
    ]
    if problems:
        raise Unplannable(*problems)
    return Overlay(
        interface=interface,
        identifier=choices.identifier,
        port=choices.port,
        local=local,
        remotes=remotes,
        addresses=_inside(routers, configuration.agent.sources, choices.length),
        mtu=choices.uplink_mtu - OVERHEAD[local.version],
        largest=max(_size(router) for router in routers),
    )


def _interface(configuration: Configuration, wanted: str | None) -> str:
    """The one that is ``wanted``, or the only one there is."""
    found = dict.fromkeys(one.medium.interface for one in configuration.routers if one.medium is not None)
    if not found:
        raise Unplannable(
            "no virtual router sends its adverts on one interface; write"
            f' transport = "{Transport.MULTICAST}" and interface = "vxlan0" in the one that the VXLAN is for'
        )
    if wanted is None and len(found) > 1:
        raise Unplannable(f"adverts go over {', '.join(found)}; say by --interface which of them is the VXLAN")
    if wanted is not None and wanted not in found:
        raise Unplannable(f"no adverts go over {wanted}, but over {', '.join(found)}; correct --interface")
    return wanted or next(iter(found))


def _ends(configuration: Configuration, wanted: int | None) -> tuple[Address, tuple[Address, ...]]:
    """Our own end, and the others'."""
    agent = configuration.agent
    families = {one.version for one in agent.sources} & {one.version for one in agent.peers}
    family = wanted or max(families, default=6)
    if family not in families:
        raise Unplannable(
            f"agent.sources and agent.peers (or [node.NAME]) have no IPv{family} addresses of both; the VXLAN's packets"
            " go from this node's loopback address to those of the others: write them there"
        )
    local = next(one for one in agent.sources if one.version == family)
    return local, tuple(one for one in agent.peers if one.version == family)


def _inside(routers: list[VirtualRouter], outside: tuple[Address, ...], length: int) -> tuple[Interface, ...]:
    """Where adverts come from, if it has to be an address of the VXLAN: one of lo is there already."""
    found: dict[Interface, None] = {}
    for source in (packet.unscoped(one.source) for one in routers if one.source is not None):
        if source in outside:
            continue
        found[IPv4Interface((source, length)) if source.version == 4 else IPv6Interface((source, LENGTHS[6]))] = None
    return tuple(found)


def _size(router: VirtualRouter) -> int:
    """Bytes of an advert, with its IP header."""
    trailer = auth.TRAILER_SIZE if router.authentication is not None else 0
    if router.version == 2:
        trailer = _VERSION_2_TRAILER
    return _IP_HEADER[router.family] + packet.size(router.listed) + trailer


# How it is made


def commands(overlay: Overlay) -> Iterator[str]:
    """The lines of a shell that make it with iproute2."""
    name = overlay.interface
    yield f"ip link add {name} type vxlan id {overlay.identifier} dstport {overlay.port} nolearning \\"
    yield f"    tos {CLASS:#x} local {overlay.local}"
    yield f"ip link set {name} mtu {overlay.mtu} addrgenmode none"
    for remote in overlay.remotes:
        yield entry(name, remote)
    for address in overlay.addresses:
        yield addition(name, address)
    yield f"ip link set {name} up"


def entry(name: str, remote: Address) -> str:
    """The command that has frames for all sent to one more node."""
    return f"bridge fdb append {ALL} dev {name} dst {remote}"


def addition(name: str, address: Interface) -> str:
    """The command that gives the VXLAN an address."""
    return f"ip address add {address} dev {name}{' nodad' if address.version == 6 else ''}"


def units(overlay: Overlay) -> dict[str, str]:
    """By name, the files of systemd-networkd that make it (systemd.netdev(5), systemd.network(5))."""
    device = [
        "[NetDev]",
        f"Name={overlay.interface}",
        "Kind=vxlan",
        f"MTUBytes={overlay.mtu}",
        "",
        "[VXLAN]",
        f"VNI={overlay.identifier}",
        f"Local={overlay.local}",
        f"DestinationPort={overlay.port}",
        f"TOS={CLASS}",
        "MacLearning=no",
        "Independent=yes",
    ]
    network = ["[Match]", f"Name={overlay.interface}", "", "[Network]", "LinkLocalAddressing=no", "IPv6AcceptRA=no"]
    for address in overlay.addresses:
        network += ["", "[Address]", f"Address={address}"]
        network += ["DuplicateAddressDetection=none"] if address.version == 6 else []
    for remote in overlay.remotes:
        network += ["", "[BridgeFDB]", f"MACAddress={ALL}", f"Destination={remote}"]
    stem = f"50-{overlay.interface}"
    return {f"{stem}.netdev": "\n".join(device) + "\n", f"{stem}.network": "\n".join(network) + "\n"}


# What is there


def mistakes(overlay: Overlay, device: Device | None, uplinks: Mapping[Address, Mapping[str, int]]) -> Iterator[str]:
    """What keeps a device from being the VXLAN, each with its remedy; None: it is not there.

    ``uplinks``: the interfaces that lead to each peer, each with its MTU.
    """
    name = overlay.interface
    if device is None:
        yield f"this host has no {name}; exavrrp vxlan prints what makes it"
        return
    if device.kind != "vxlan":
        yield f"{name} is {device.kind or 'a card'}, not a VXLAN; name another one in interface, or remove it"
        return
    yield from _other_ends(overlay, device)
    if not device.up:  # before its addresses: those of IPv6 go with it
        yield f"{name} is down; ip link set {name} up"
    yield from _entries(overlay, device)
    if not device.traffic_class:
        yield (
            f"{name} sends packets without a traffic class, for which the kernel may keep the route over an uplink"
            f" that is cut; ip link set {name} type vxlan tos {CLASS:#x}"
        )
    for address in overlay.addresses:
        if address.ip not in device.addresses:
            yield f"{name} lacks {address.ip}, where adverts come from; {addition(name, address)}"
    if device.mtu < overlay.largest:
        yield (
            f"the MTU of {name} is {device.mtu}, but an advert has {overlay.largest} bytes; move some addresses to"
            " unlisted_addresses on all nodes"
        )
    for remote in (one for one, links in uplinks.items() if not links):
        yield (
            f"there is no route from {overlay.local} to {remote}, so no packet of {name} gets there; see ip route get"
            f" {remote} from {overlay.local}"
        )
    for uplink, mtu in {name: mtu for links in uplinks.values() for name, mtu in links.items()}.items():
        if mtu < device.mtu + OVERHEAD[overlay.local.version]:
            least = mtu - OVERHEAD[overlay.local.version]
            yield (
                f"the MTU of {name} is {device.mtu}, but its packets need {OVERHEAD[overlay.local.version]} bytes more"
                f" and {uplink} carries {mtu}; ip link set {name} mtu {least}"
            )


def _other_ends(overlay: Overlay, device: Device) -> Iterator[str]:
    """What can only be given when a VXLAN is made: it has to be made anew."""
    name, anew = overlay.interface, f"ip link del {overlay.interface}, and what exavrrp vxlan prints"
    if device.identifier != overlay.identifier:
        yield f"the VNI of {name} is {device.identifier}, not {overlay.identifier}; say so by --id on all nodes: {anew}"
    if device.port != overlay.port:
        yield f"{name} sends to port {device.port}, not {overlay.port}; say so by --port on all nodes: {anew}"
    if device.local != overlay.local:
        yield (
            f"packets of {name} come from {device.local or 'whatever address the kernel chooses'}, not from"
            f" {overlay.local}, where the others send theirs; {anew}"
        )
    if device.lower is not None:
        yield f"{name} is bound to {device.lower}, and ends with that uplink; {anew}"


def _entries(overlay: Overlay, device: Device) -> Iterator[str]:
    name = overlay.interface
    if device.learning:
        yield (
            f"{name} learns where frames go from what comes in, which a stranger may send;"
            f" ip link set {name} type vxlan nolearning"
        )
    for remote in overlay.remotes:
        if remote not in device.entries:
            yield f"{name} sends nothing to {remote}; {entry(name, remote)}"
    for remote in sorted(device.entries - set(overlay.remotes), key=lambda one: (one.version, int(one))):
        yield (
            f"{name} sends everything to {remote} too, which is none of the peers;"
            f" bridge fdb del {ALL} dev {name} dst {remote}"
        )
