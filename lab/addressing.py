"""The plan: which machines exist, which addresses and AS numbers they have, and how they are wired.

Pure values and arithmetic; nothing here touches the system. The picture (client and spine are one machine, since the
lab needs only one of each; with two ToRs of different AS it also is the way from one ToR to the other):

                         client, AS 65100
                   tor1 /                \\ tor2
             tor1, AS 65001          tor2, AS 65002
               |     |     |           |     |     |
             node1 node2 node3       node1 node2 node3         one AS (65010) for all servers of the rack,
                                                               so that routers compare their MED

An interface of a router is called after the machine at its other end; a server's uplinks are eth0 (tor1) and eth1
(tor2). Addresses come from the documentation ranges of RFC 3849 and RFC 5737, the IPv4 links from RFC 1918.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (6, 4)

VIRTUAL_ADDRESS: dict[Family, Address] = {6: IPv6Address("2001:db8:53::1"), 4: IPv4Address("198.51.100.53")}
AGGREGATE: dict[Family, str] = {6: "2001:db8:53::/64", 4: "198.51.100.0/24"}
"Of the rack's virtual addresses; both ToRs announce it always, beside the addresses themselves."
VIRTUAL_ROUTER = "web"
VRID = 7


@dataclass(frozen=True, slots=True)
class Machine:
    name: str
    number: int
    "unique; the last part of its addresses"
    asn: int

    def loopback(self, family: Family) -> Address:
        """The address by which the others know this machine, reachable over every path."""
        if family == 4:
            return IPv4Address("192.0.2.0") + self.number
        return IPv6Address(f"2001:db8:ff::{self.number}")

    @property
    def router_id(self) -> IPv4Address:
        return IPv4Address("192.0.2.0") + self.number


SERVERS = tuple(Machine(f"node{n}", 10 + n, 65010) for n in (1, 2, 3))
TORS = tuple(Machine(f"tor{n}", n, 65000 + n) for n in (1, 2))
CLIENT = Machine("client", 100, 65100)
MACHINES = (*SERVERS, *TORS, CLIENT)

PRIORITIES = {"node1": 200, "node2": 150, "node3": 100}
"Distinct, so that every election has one right outcome."


@dataclass(frozen=True, slots=True)
class Link:
    """A cable from a ToR to a server or to the client; the ToR has the lower address."""

    tor: Machine
    member: Machine
    member_interface: str

    @property
    def tor_interface(self) -> str:
        return self.member.name

    def address_of_tor(self, family: Family) -> Address:
        if family == 4:
            return IPv4Address(f"10.{self.tor.number}.{self.member.number}.0")
        return IPv6Address(f"2001:db8:{self.tor.number}:{self.member.number}::1")

    def address_of_member(self, family: Family) -> Address:
        return self.address_of_tor(family) + 1


PREFIX_LENGTH: dict[Family, int] = {4: 31, 6: 64}
"On links; /31 is RFC 3021."
HOST: dict[Family, int] = {4: 32, 6: 128}
"The prefix length of one address."

LINKS = tuple(
    Link(tor, member, tor.name if member is CLIENT else f"eth{tor.number - 1}")
    for tor in TORS
    for member in (*SERVERS, CLIENT)
)


def links_of(machine: Machine) -> tuple[Link, ...]:
    return tuple(link for link in LINKS if machine in (link.tor, link.member))


def machine(name: str) -> Machine:
    """Raises KeyError for a name that is not in the plan."""
    return {known.name: known for known in MACHINES}[name]


def link_between(member: Machine, tor: Machine) -> Link:
    return next(link for link in LINKS if link.member is member and link.tor is tor)
