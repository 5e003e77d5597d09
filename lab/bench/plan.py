"""The virtual routers of a measurement, both agents' configurations of them, and the adverts of a stand-in.

Pure: numbers in, text and bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lab.addressing import HOST, SERVERS, Address, Family, Machine
from lab.instruments.attacker import packet

VRIDS = 255
"Virtual routers of one source and family: a VRID is a byte (RFC 9568 §5.2.3)."
MOST = 2 * VRIDS
PRIORITY = {"node1": 200, "node2": 150, "node3": 100}
"Of agents. node1 is the one that is measured."
STRONGER = 250
"Of a stand-in that is Active."


@dataclass(frozen=True, slots=True)
class VirtualRouter:
    name: str
    vrid: int
    address: Address

    @property
    def family(self) -> Family:
        return 4 if self.address.version == 4 else 6


def virtual_routers(count: int) -> list[VirtualRouter]:
    """The first 255 are IPv6, the others IPv4; at most MOST."""
    assert 1 <= count <= MOST
    found = []
    for number in range(count):
        vrid = number % VRIDS + 1
        address = f"2001:db8:53::{vrid:x}" if number < VRIDS else f"198.51.100.{vrid}"
        found.append(VirtualRouter(f"v{number + 1}", vrid, ip_address(address)))
    return found


def families(routers: Sequence[VirtualRouter]) -> list[Family]:
    return sorted({each.family for each in routers})


def exavrrp_configuration(
    machine: Machine, routers: Sequence[VirtualRouter], interval: float, directory: Path, *, realtime: bool
) -> str:
    """exavrrp.toml; what the agent keeps is below `directory`. `interval` in seconds."""
    used = families(routers)
    peers = [str(peer.loopback(family)) for family in used for peer in SERVERS if peer is not machine]
    lines = [
        "[agent]",
        f"sources = {[str(machine.loopback(family)) for family in used]}",
        f"peers = {peers}",
        f"advert_interval = {interval}",
        f'state_directory = "{directory / "run"}"',
        f'persistent_directory = "{directory / "lib"}"',
        *(['scheduling = "realtime"'] if realtime else []),
    ]
    for each in routers:
        lines += [
            f"[virtual_router.{each.name}]",
            f"vrid = {each.vrid}",
            f"priority = {PRIORITY[machine.name]}",
            f'addresses = ["{each.address}"]',
        ]
    return "\n".join(lines) + "\n"


KEEPALIVED_INSTANCE = """
vrrp_instance {name} {{
  state BACKUP
  interface eth0
  virtual_router_id {vrid}
  version 3
  priority {priority}
  advert_int {interval}
  unicast_src_ip {source}
  unicast_peer {{
    {peers}
  }}
  unicast_ttl 255
  check_unicast_src
  virtual_ipaddress {{ {address}/{bits} dev lo }}
}}
"""


def keepalived_configuration(
    machine: Machine, routers: Sequence[VirtualRouter], interval: float, *, realtime: bool
) -> str:
    """keepalived.conf with the same virtual routers. It receives adverts on eth0 only (2.2.7 wants an `interface`)."""
    parts = ["global_defs {\n  vrrp_version 3\n", "  vrrp_rt_priority 1\n" if realtime else "", "}\n"]
    parts += [
        KEEPALIVED_INSTANCE.format(
            name=each.name,
            vrid=each.vrid,
            priority=PRIORITY[machine.name],
            interval=interval,
            source=machine.loopback(each.family),
            peers="\n    ".join(str(peer.loopback(each.family)) for peer in SERVERS if peer is not machine),
            address=each.address,
            bits=HOST[each.family],
        )
        for each in routers
    ]
    return "".join(parts)


def adverts(
    routers: Sequence[VirtualRouter], sender: Machine, receiver: Machine, interval: float
) -> list[tuple[Family, bytes]]:
    """The advert of each virtual router as a whole IP packet, from an Active that wins."""
    return [
        (
            each.family,
            packet(
                sender.loopback(each.family),
                receiver.loopback(each.family),
                struct.pack("!BBBBHH", 0x31, each.vrid, STRONGER, 1, round(interval * 100), 0) + each.address.packed,
                b"",
            ),
        )
        for each in routers
    ]
