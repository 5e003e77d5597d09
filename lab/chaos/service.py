"""What the three nodes serve: four virtual addresses, so that there is always an Active on every node. Pure.

    web        IPv6   node1, node2, node3   the latest takeover wins over a dead node's route (MED and path)
    mail6      IPv6   node2, node3, node1   a pair: moves together with mail4, wins by path
    mail4      IPv4   node2, node3, node1
    dns        IPv4   node3, node1, node2   nothing configured: a dead node's route stays for the BGP hold time

(in the order of priority: 200, 150, 100). All depend on a check of one file, which stands for the node's health.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lab.addressing import FAMILIES, HOST, SERVERS, Address, Family, Machine
from lab.servers import PREPENDS, ServerPlan, runtime_directory

PRIORITIES = (200, 150, 100)
"By place in a service's order; distinct, so that every election has one correct outcome."
CHECK_INTERVAL = 0.2
FALL = 2
"Failures in a row of the check before it counts."


@dataclass(frozen=True, slots=True)
class Service:
    """One virtual address."""

    name: str
    vrid: int
    address: Address
    nodes: tuple[str, ...]
    "the best first"
    takeover: tuple[str, ...] = ()
    group: str | None = None

    @property
    def family(self) -> Family:
        return 4 if self.address.version == 4 else 6

    @property
    def prefix(self) -> str:
        return f"{self.address}/{HOST[self.family]}"

    @property
    def home(self) -> str:
        """The node that serves when nothing is wrong."""
        return self.nodes[0]

    def priority(self, node: str) -> int:
        return PRIORITIES[self.nodes.index(node)]


SERVICES = (
    Service("web", 11, ip_address("2001:db8:53::1"), ("node1", "node2", "node3"), ("med", "prepend")),
    Service("mail6", 12, ip_address("2001:db8:53::2"), ("node2", "node3", "node1"), ("prepend",), "mail"),
    Service("mail4", 12, ip_address("198.51.100.2"), ("node2", "node3", "node1"), ("prepend",), "mail"),
    Service("dns", 13, ip_address("198.51.100.3"), ("node3", "node1", "node2")),
)
BY_NAME: Mapping[str, Service] = {service.name: service for service in SERVICES}


def fitness(directory: Path) -> Path:
    """The file whose absence makes a node unfit."""
    return directory / "fit"


def configuration(machine: Machine, plan: ServerPlan, directory: Path) -> str:
    """exavrrp.toml of one node; all files of its agent are below `directory`."""
    own = [str(machine.loopback(family)) for family in FAMILIES]
    peers = [str(peer.loopback(family)) for family in FAMILIES for peer in SERVERS if peer is not machine]
    lines = [
        "[agent]",
        f"sources = {own}",
        f"peers = {peers}",
        f"advert_interval = {plan.interval}",
        f'state_directory = "{runtime_directory(directory)}"',
        f'persistent_directory = "{directory / "lib"}"',
        "",
        "[check.fit]",
        f'file = "{fitness(directory)}"',
        f"interval = {CHECK_INTERVAL}",
        "timeout = 1.0",
        f"fall = {FALL}",
        "rise = 1",
    ]
    for service in SERVICES:
        lines += ["", *_router(service, machine, plan)]
    return "\n".join(lines).replace("'", '"') + "\n"


def _router(service: Service, machine: Machine, plan: ServerPlan) -> list[str]:
    lines = [
        f"[virtual_router.{service.name}]",
        f"vrid = {service.vrid}",
        f"priority = {service.priority(machine.name)}",
        f'addresses = ["{service.address}"]',
        'checks = ["fit"]',
        *([f'group = "{service.group}"'] if service.group else []),
        "",
        f"[virtual_router.{service.name}.bgp]",
    ]
    if "med" not in service.takeover:
        lines.append("med = 50")
    if service.takeover:
        lines += [f"takeover = {list(service.takeover)}", f"stale_for = {plan.hold + STALE_MARGIN}"]
    if "prepend" in service.takeover:
        lines.append(f"prepend = {PREPENDS}")
    return lines


STALE_MARGIN = 2
"Seconds for which a silent failure counts beyond the routers' hold time, which restarts with each message."
