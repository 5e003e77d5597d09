"""The plan: which machines exist, which addresses and AS numbers they have, and how they are wired.

Pure values and arithmetic; nothing here touches the system. There are three sites. In `rack`, the three servers share
two top-of-rack routers (ToRs); client and spine are one machine, since this site needs only one of each. As the two
ToRs differ in their AS, it is also the path from one ToR to the other:

                         client, AS 65100
                   tor1 /                \\ tor2
             tor1, AS 65001          tor2, AS 65002
               |     |     |           |     |     |
             node1 node2 node3       node1 node2 node3         one AS (65010) for all servers of the rack,
                                                               so that routers compare their MED

In `racks`, each server has a rack of its own with two ToRs that share the rack's AS; each ToR is wired to both spines:

                              client, AS 65100
                             /                \\
                      spine1, AS 65200     spine2, AS 65200
                     /   |   |   |   |   \\ (each ToR to both)
                 tor1 tor2  tor3 tor4  tor5 tor6
                 AS 65001   AS 65002   AS 65003
                    |          |          |
                  node1      node2      node3                  an AS each (65011, 65012, 65013)

`unnumbered` is `rack` with no addresses on the links to servers but link-local ones: there each router is fe80::1, and
one IPv6 session carries both families, IPv4 with IPv6 next hops (RFC 8950).

`--server-as` chooses between one AS for all servers and one for each, in either site; or, in `rack`, that of the ToRs,
which are one AS then, with iBGP to the servers. An AS number may occur twice in
`racks` without any `allowas-in`: servers receive no routes, and the only routes that a ToR rejects for its own AS in
the path lead through the other ToR of its rack, to which the spines have a path of their own.

An interface of a router is called after the machine at its other end; a server's uplinks are eth0 and eth1, to the
first and second ToR. Addresses come from the documentation ranges of RFC 3849 and RFC 5737, the IPv4 links from RFC
1918.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (6, 4)
Layout = Literal["rack", "racks", "unnumbered"]
ServerAS = Literal["one", "distinct", "routers"]
Host = Literal["bird", "frr"]
"A BGP daemon on each server, beside ExaBGP."

VIRTUAL_ADDRESS: dict[Family, Address] = {6: IPv6Address("2001:db8:53::1"), 4: IPv4Address("198.51.100.53")}
SPARES: dict[Family, tuple[Address, Address]] = {
    6: (IPv6Address("2001:db8:53::2"), IPv6Address("2001:db8:53::3")),
    4: (IPv4Address("198.51.100.54"), IPv4Address("198.51.100.55")),
}
"Further virtual addresses, for scenarios in which one goes and one comes."
AGGREGATE: dict[Family, str] = {6: "2001:db8:53::/64", 4: "198.51.100.0/24"}
"Aggregate of the virtual addresses. The routers where the paths to the servers diverge always announce it."
VIRTUAL_ROUTER = "web"
VRID = 7


@dataclass(frozen=True, slots=True)
class Machine:
    name: str
    number: int
    "unique; the last part of its addresses"

    def loopback(self, family: Family) -> Address:
        """The address by which the others know this machine, reachable over every path."""
        if family == 4:
            return IPv4Address("192.0.2.0") + self.number
        return IPv6Address(f"2001:db8:ff::{self.number}")

    @property
    def router_id(self) -> IPv4Address:
        return IPv4Address("192.0.2.0") + self.number


SERVERS = tuple(Machine(f"node{n}", 10 + n) for n in (1, 2, 3))
TORS = tuple(Machine(f"tor{n}", n) for n in (1, 2))
"In both sites node1 is below them."
OTHER_TORS = tuple(Machine(f"tor{n}", n) for n in (3, 4, 5, 6))
SPINES = tuple(Machine(f"spine{n}", 20 + n) for n in (1, 2))
CLIENT = Machine("client", 100)

PRIORITIES = {"node1": 200, "node2": 150, "node3": 100}
"Distinct, so that every election has one correct outcome."

SERVERS_AS, CLIENT_AS, SPINES_AS, RACK_AS = 65010, 65100, 65200, 65000
"Of all servers (the first of them has the next number, if they are distinct); RACK_AS comes before that of rack 1."


@dataclass(frozen=True, slots=True)
class Link:
    """A cable from a router to a machine below it, or to the client; the router has the lower address."""

    router: Machine
    member: Machine
    member_interface: str
    unnumbered: bool = False

    @property
    def router_interface(self) -> str:
        return self.member.name

    @property
    def families(self) -> tuple[Family, ...]:
        """Of its addresses, and of the sessions over it."""
        return (6,) if self.unnumbered else FAMILIES

    def address_of_router(self, family: Family) -> Address:
        assert family in self.families
        if family == 4:
            return IPv4Address(f"10.{self.router.number}.{self.member.number}.0")
        if self.unnumbered:
            return IPv6Address("fe80::1")
        return IPv6Address(f"2001:db8:{self.router.number}:{self.member.number}::1")

    def address_of_member(self, family: Family) -> Address:
        """On each link another one: ExaBGP knows a session by the addresses of both ends, without their interface."""
        if self.unnumbered:
            return IPv6Address(f"fe80::{self.router.number}:{self.member.number}")
        return self.address_of_router(family) + 1

    @property
    def second_address(self) -> Address:
        """An IPv6 address of the member's for a second session; IPv4 links have no room for one."""
        return self.address_of_member(6) + 1


PREFIX_LENGTH: dict[Family, int] = {4: 31, 6: 64}
"On links; /31 is RFC 3021."
HOST: dict[Family, int] = {4: 32, 6: 128}
"The prefix length of one address."
INNER: dict[Family, Address] = {4: IPv4Address("10.254.0.14"), 6: IPv6Address("fd00::e")}
"ExaBGP's end of its session to a daemon on the same server, on lo of each; the other end is the server's own address."
NOBODY: dict[Family, Address] = {family: INNER[family] + 1 for family in FAMILIES}
"On lo, too, and no address: the next hop of ExaBGP's routes in FRR, where bgpd drops those to an address of its own."


@dataclass(frozen=True)
class Site:
    """How the machines are wired, and their AS numbers."""

    layout: Layout
    server_as: ServerAS
    racks: Mapping[str, tuple[Machine, ...]]
    "for each server its ToRs: eth0 leads to the first, eth1 to the second"
    spines: tuple[Machine, ...]
    "empty where the client is the spine"
    host: Host | None = None
    "what has the servers' sessions to the routers, in place of ExaBGP"
    twins: bool = False
    "over its first uplink each server has two IPv6 sessions to the router's address, from two addresses of its own"

    @property
    def unnumbered(self) -> bool:
        """Whether the links to servers have link-local addresses alone."""
        return self.layout == "unnumbered"

    @property
    def tors(self) -> tuple[Machine, ...]:
        return tuple(dict.fromkeys(tor for tors in self.racks.values() for tor in tors))

    @property
    def routers(self) -> tuple[Machine, ...]:
        """The machines that forward between others, from the top down; not the client."""
        return (*self.spines, *self.tors)

    @property
    def gates(self) -> tuple[Machine, ...]:
        """The routers next to the client, where the paths diverge: they decide which server gets a packet."""
        return self.spines or self.tors

    @property
    def machines(self) -> tuple[Machine, ...]:
        return (*SERVERS, *self.tors, *self.spines, CLIENT)

    @property
    def links(self) -> tuple[Link, ...]:
        down = [
            Link(tor, server, f"eth{number}", self.unnumbered)
            for server in SERVERS
            for number, tor in enumerate(self.racks[server.name])
        ]
        down += [Link(spine, tor, spine.name) for spine in self.spines for tor in self.tors]
        down += [Link(gate, CLIENT, gate.name) for gate in self.gates]
        return tuple(sorted(down, key=lambda link: (link.router.number, link.member.number)))

    def links_of(self, machine: Machine) -> tuple[Link, ...]:
        return tuple(link for link in self.links if machine in (link.router, link.member))

    def link_between(self, member: Machine, router: Machine) -> Link:
        return next(link for link in self.links if (link.member, link.router) == (member, router))

    def uplinks(self, server: Machine) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.member == server)

    def ends(self, link: Link, family: Family) -> tuple[Address, ...]:
        """A member's addresses on a link from which it has a session to the router's."""
        twins = self.twins and family == 6 and link.member in SERVERS and link == self.uplinks(link.member)[0]
        return (link.address_of_member(family), *([link.second_address] if twins else []))

    def machine(self, name: str) -> Machine:
        """Raises KeyError for a name that is not in the plan."""
        return {known.name: known for known in self.machines}[name]

    def asn(self, machine: Machine) -> int:
        if machine in SERVERS:
            return SERVERS_AS + (SERVERS.index(machine) + 1 if self.server_as == "distinct" else 0)
        if self.server_as == "routers" and machine in self.tors:
            return SERVERS_AS
        if machine in self.spines:
            return SPINES_AS
        if machine in self.tors:
            # In `rack` the two ToRs are two AS; in `racks` it is one for each rack.
            number = self.tors.index(machine)
            return RACK_AS + 1 + (number // 2 if self.spines else number)
        return CLIENT_AS

    def ways(self, machine: Machine, server: Machine) -> tuple[str, ...]:
        """The interfaces of a router or the client that lead to a server, sorted, while nothing is broken."""
        tors = self.racks[server.name]
        if machine in tors:
            return (server.name,)
        if machine == CLIENT:
            return tuple(sorted(gate.name for gate in self.gates))
        # A spine goes down to the server's rack, a ToR of another rack up to the spines.
        return tuple(sorted(each.name for each in (tors if machine in self.spines else self.spines)))


def site(layout: Layout = "rack", server_as: ServerAS | None = None) -> Site:
    """The plan of a site; each has the servers' AS numbers that are usual there: one for a rack, one for each rack."""
    if layout != "racks":
        return Site(layout, server_as or "one", {server.name: TORS for server in SERVERS}, ())
    tors = (*TORS, *OTHER_TORS)
    racks = {server.name: tors[2 * number : 2 * number + 2] for number, server in enumerate(SERVERS)}
    return Site(layout, server_as or "distinct", racks, SPINES)


RACK = site("rack")
