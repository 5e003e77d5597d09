"""The configurations of routers and servers follow from the addressing plan."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from ipaddress import ip_interface
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lab import hosts
from lab.addressing import (
    CLIENT,
    FAMILIES,
    HOST,
    INNER,
    NOBODY,
    PREFIX_LENGTH,
    RACK,
    SERVERS,
    SPINES,
    Family,
    Layout,
    Link,
    Machine,
    Site,
    site,
)
from lab.routers import bird_configuration, bird_path, frr_configuration, frr_path
from lab.servers import ExaBGPLine, Means, agent_configuration, exabgp_configuration
from lab.topology import boot
from tests.lab.build import plan

RACKS = site("racks")
each_site = pytest.mark.parametrize("place", [RACK, RACKS], ids=["rack", "racks"])


@each_site
def test_no_two_machines_share_an_address_or_a_name(place: Site) -> None:
    addresses = [machine.loopback(family) for machine in place.machines for family in FAMILIES]
    addresses += [
        end(family)
        for link in place.links
        for family in FAMILIES
        for end in (link.address_of_router, link.address_of_member)
    ]
    assert len({machine.name for machine in place.machines}) == len(place.machines)
    assert len(addresses) == len(set(addresses))


@each_site
@pytest.mark.parametrize("family", FAMILIES)
def test_both_ends_of_a_link_are_in_one_network_and_no_two_links_are(family: object, place: Site) -> None:
    networks = []
    for link in place.links:
        length = PREFIX_LENGTH[4 if family == 4 else 6]
        ends = [end(4 if family == 4 else 6) for end in (link.address_of_router, link.address_of_member)]
        mine = {ip_interface(f"{address}/{length}").network for address in ends}
        assert len(mine) == 1
        networks += list(mine)
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


@pytest.mark.parametrize(("layout", "first"), [("rack", (1, 1, 1)), ("racks", (1, 3, 5))])
def test_every_server_hangs_on_two_tors(layout: Layout, first: tuple[int, int, int]) -> None:
    for server, number in zip(SERVERS, first, strict=True):
        assert [(link.router.name, link.member_interface) for link in site(layout).uplinks(server)] == [
            (f"tor{number}", "eth0"),
            (f"tor{number + 1}", "eth1"),
        ]


def test_in_racks_every_tor_hangs_on_both_spines_and_both_spines_on_the_client() -> None:
    above = {machine.name: {link.router for link in RACKS.uplinks(machine)} for machine in (*RACKS.tors, CLIENT)}
    assert above == {name: set(SPINES) for name in ("tor1", "tor2", "tor3", "tor4", "tor5", "tor6", "client")}


def numbers(place: Site, machines: tuple[Machine, ...]) -> list[int]:
    return [place.asn(machine) for machine in machines]


def test_whose_as_is_whose() -> None:
    assert numbers(RACK, (*SERVERS, *RACK.tors, CLIENT)) == [65010, 65010, 65010, 65001, 65002, 65100]
    assert numbers(site("rack", "distinct"), SERVERS) == [65011, 65012, 65013]
    assert numbers(RACKS, (*SERVERS, *SPINES, CLIENT)) == [65011, 65012, 65013, 65200, 65200, 65100]
    assert numbers(RACKS, RACKS.tors) == [65001, 65001, 65002, 65002, 65003, 65003]
    assert numbers(site("racks", "one"), SERVERS) == [65010, 65010, 65010]


def reached(place: Site, start: Machine, server: Machine) -> set[str]:
    """Where packets to a server end up that follow every way from a machine on."""
    if start == server:
        return {server.name}
    neighbors: dict[str, Machine] = {}
    for link in place.links_of(start):
        neighbors |= {link.router_interface if start == link.router else link.member_interface: end(link, start)}
    ways = place.ways(start, server)
    assert ways
    return set().union(*(reached(place, neighbors[way], server) for way in ways))


def end(link: Link, start: Machine) -> Machine:
    return link.member if start == link.router else link.router


@each_site
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_way_from_everywhere_ends_at_the_server(server: Machine, place: Site) -> None:
    for machine in (CLIENT, *place.routers):
        # A ToR of the rack of sites with one rack has no other way than its own.
        assert reached(place, machine, server) == {server.name}


@each_site
def test_routers_have_a_session_for_each_link_and_family(place: Site) -> None:
    for router in (*place.routers, CLIENT):
        bird, frr = bird_configuration(place, router, 9), frr_configuration(place, router, 9)
        assert bird.count("protocol bgp ") == frr.count("remote-as") == 2 * len(place.links_of(router))
        assert bird.count("{") == bird.count("}")


@each_site
def test_routers_give_servers_nothing(place: Site) -> None:
    """Over each of two sessions, either of which may carry both families."""
    for router in (*place.routers, CLIENT):
        servers = sum(link.member in SERVERS for link in place.links_of(router))
        assert bird_configuration(place, router, 9).count("export none") == 4 * servers
        assert frr_configuration(place, router, 9).count("route-map NOTHING out") == 4 * servers


@each_site
def test_the_aggregate_comes_from_where_the_ways_part(place: Site) -> None:
    for router in (*place.routers, CLIENT):
        wanted = router in place.gates
        assert ("route 2001:db8:53::/64 blackhole" in bird_configuration(place, router, 9)) is wanted
        assert ("network 2001:db8:53::/64" in frr_configuration(place, router, 9)) is wanted


@pytest.mark.parametrize("layout", ["rack", "racks"])
def test_routers_compare_med_between_different_as(layout: Layout) -> None:
    tor = RACK.tors[0]
    one, distinct = site(layout, "one"), site(layout, "distinct")
    assert "med metric on" in bird_configuration(distinct, tor, 9)
    assert "med metric on" not in bird_configuration(one, tor, 9)
    assert "always-compare-med" in frr_configuration(distinct, tor, 9)
    assert "always-compare-med" not in frr_configuration(one, tor, 9)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_the_agent_knows_its_peers_but_not_itself(server: object) -> None:
    machine = next(each for each in SERVERS if each is server)
    read = tomllib.loads(agent_configuration(machine, plan(), Path("/run/x")))
    assert read["agent"]["sources"] == [str(machine.loopback(6))]
    assert set(read["agent"]["peers"]) == {str(other.loopback(6)) for other in SERVERS if other is not machine}
    assert read["virtual_router"]["web"]["addresses"] == ["2001:db8:53::1/128"]
    assert "interfaces" not in read["agent"]


def test_the_agent_keeps_everything_below_the_directory_of_its_server() -> None:
    read = tomllib.loads(agent_configuration(SERVERS[0], plan(), Path("/run/x")))
    assert (read["agent"]["state_directory"], read["agent"]["persistent_directory"]) == ("/run/x/run", "/run/x/lib")
    tables = ("[check.service]", 'command = ["/usr/bin/test", "-e", "$directory/sign"]')
    read = tomllib.loads(agent_configuration(SERVERS[0], replace(plan(), tables=tables), Path("/run/x")))
    assert read["check"]["service"]["command"][2] == "/run/x/sign"


def test_what_a_scenario_adds_reaches_the_agent() -> None:
    special = replace(plan(), family=4, interfaces=("eth1",), virtual_router=("preempt = false",), bgp=("med = 7",))
    read = tomllib.loads(agent_configuration(SERVERS[0], special, Path("/run/x")))
    assert read["agent"]["interfaces"] == ["eth1"]
    assert read["virtual_router"]["web"]["preempt"] is False
    assert read["virtual_router"]["web"]["bgp"] == {"med": 7}
    assert read["virtual_router"]["web"]["addresses"] == ["198.51.100.53/32"]


@pytest.mark.parametrize(("family", "own"), [(4, "10.255.0.11"), (6, "fe80::b")])
def test_in_the_overlay_adverts_go_by_multicast_to_the_other_nodes(family: Family, own: str) -> None:
    text = agent_configuration(SERVERS[0], replace(plan(), overlay=True, family=family), Path("/run/x"))
    read = tomllib.loads(text)["virtual_router"]["web"]
    assert (read["transport"], read["interface"], read["source"]) == ("multicast", "vxlan7", own)
    others = [
        agent_configuration(server, replace(plan(), overlay=True, family=family), Path()) for server in SERVERS[1:]
    ]
    assert read["peers"] == [tomllib.loads(other)["virtual_router"]["web"]["source"] for other in others]


def attributes(server: Machine, **special: Any) -> dict[str, Any]:
    """[virtual_router.web.bgp] of a server whose plan is special."""
    read = tomllib.loads(agent_configuration(server, replace(plan(), **special), Path("/run/x")))
    bgp: dict[str, Any] = read["virtual_router"]["web"]["bgp"]
    return bgp


def test_takeover_says_how_long_a_silence_counts() -> None:
    shared = {"stale_for": 9}
    assert attributes(SERVERS[0]) == {"med": 50}
    assert attributes(SERVERS[0], takeover=("med",)) == {}, "the agent's default"
    assert attributes(SERVERS[0], takeover=("prepend",)) == {
        "med": 50,
        "takeover": ["prepend"],
        "prepend": 3,
        **shared,
    }
    both = attributes(SERVERS[1], takeover=("med", "prepend"), stale_for=20, site=RACKS)
    assert both == {"takeover": ["med", "prepend"], "prepend": 3, "stale_for": 20}


def test_in_the_routers_as_the_sessions_of_servers_are_ibgp() -> None:
    """Towards the client they are not; and MED or local preference reach, but no path."""
    internal = site("rack", "routers")
    assert {internal.asn(machine) for machine in (*SERVERS, *internal.tors)} == {65010}
    assert internal.asn(CLIENT) != 65010
    reaching = {
        means: replace(plan(), site=internal, takeover=(means,)).compared_everywhere
        for means in ("med", "prepend", "local-preference")
    }
    assert reaching == {"med": True, "prepend": False, "local-preference": True}


def test_standby_is_announced_if_asked_for() -> None:
    special = replace(plan(), standby=True)
    read = tomllib.loads(agent_configuration(SERVERS[0], special, Path("/run/x")))
    assert read["virtual_router"]["web"]["standby"] == "announce"
    assert attributes(SERVERS[0], standby=True) == {"med": 50}


@pytest.mark.parametrize(
    ("layout", "takeover", "everywhere"),
    [
        ("rack", (), False),
        ("rack", ("med",), True),
        ("rack", ("prepend",), True),
        ("racks", ("med",), False),
        ("racks", ("prepend",), True),
        ("racks", ("med", "prepend"), True),
    ],
)
def test_med_goes_no_further_than_the_tors(layout: Layout, takeover: tuple[Means, ...], everywhere: bool) -> None:
    assert replace(plan(), site=site(layout), takeover=takeover).compared_everywhere is everywhere


BIRD_ROUTE = """\
BIRD 2.0.12 ready.
Access restricted
Table master6:
2001:db8:53::1/128   unicast [node2_6 20:25:31.250] * (100) [AS65010i]
	via 2001:db8:1:12::2 on node2
	Type: BGP univ
	BGP.origin: IGP
	BGP.as_path: 65010 65010 65010
	BGP.next_hop: 2001:db8:1:12::2 fe80::1
"""
FRR_ROUTE = """{"prefix": "2001:db8:53::1/128", "paths": [
 {"aspath": {"string": "65011 65011", "length": 2}, "valid": true},
 {"aspath": {"string": "65012", "length": 1}, "valid": true, "bestpath": {"overall": true}}]}"""


def test_the_best_path_is_read_from_what_the_daemons_say() -> None:
    assert bird_path(BIRD_ROUTE) == (65010, 65010, 65010)
    assert bird_path("BIRD 2.0.12 ready.\nNetwork not found\n") == ()
    assert frr_path(FRR_ROUTE) == (65012,)
    assert frr_path("{}") == frr_path("") == ()


def test_exabgp_has_four_sessions_and_never_graceful_restart() -> None:
    text = exabgp_configuration(SERVERS[0], plan(), "/bin/exavrrp run")
    assert text.count("neighbor-changes;") == text.count("processes [ exavrrp ]") == 4
    assert "graceful" not in text


@pytest.mark.parametrize(("line", "hold"), [("4", "10"), ("5", "9")])
def test_a_neighbor_that_does_not_list_the_agent_is_another_one_for_exabgp_4(line: ExaBGPLine, hold: str) -> None:
    """So a reload sets its sessions up anew; the routers' own hold time stays the smaller one."""
    server = SERVERS[0]
    tor1, tor2 = RACK.uplinks(server)
    other = replace(plan(), hold=9, exabgp=line, unlisted=frozenset({(server.name, tor2.router.name)}))
    text = exabgp_configuration(server, other, "/bin/exavrrp run")
    for link, offered, listed in ((tor1, "9", True), (tor2, hold, False)):
        for family in FAMILIES:
            (stanza,) = re.findall(rf"neighbor {link.address_of_router(family)} .*?static", text, flags=re.DOTALL)
            assert re.findall(r"hold-time (\d+);", stanza) == [offered]
            assert ("processes [ exavrrp ]" in stanza) is listed


@each_site
def test_a_server_may_have_two_sessions_to_one_address(place: Site) -> None:
    """Over its first uplink, from two addresses: the router's side, the server's, and what the agent counts."""
    twins = replace(place, twins=True)
    first, second = twins.uplinks(SERVERS[0])
    ends = twins.ends(first, 6)
    assert ends == (first.address_of_member(6), first.second_address)
    assert len(twins.ends(second, 6)) == len(twins.ends(first, 4)) == len(place.ends(first, 6)) == 1
    text = exabgp_configuration(SERVERS[0], replace(plan(), site=twins), "/bin/exavrrp run")
    pairs = [f"{first.address_of_router(6)} from {one}" for one in ends]
    assert re.findall(rf"neighbor ({first.address_of_router(6)}) .*?local-address (\S+);", text, flags=re.DOTALL) == [
        tuple(pair.split(" from ")) for pair in pairs
    ]
    read = tomllib.loads(agent_configuration(SERVERS[0], replace(plan(), site=twins), Path("/run/x")))
    assert read["virtual_router"]["web"]["sessions_neighbors"] == pairs
    bird, frr = bird_configuration(twins, first.router, 9), frr_configuration(twins, first.router, 9)
    names = re.findall(r"protocol bgp (\S+)", bird)
    assert len(names) == len(set(names))
    assert {"node1_6", "node1_second_6", "node1_4"} <= set(names)
    for one in ends:
        assert f"neighbor {one} as 650" in bird
        assert f" neighbor {one} remote-as 650" in frr


UNNUMBERED = site("unnumbered")


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_unnumbered_links_have_link_local_addresses_alone(server: Machine) -> None:
    """Both routers are called alike; what tells the sessions apart is the server's end."""
    links = UNNUMBERED.uplinks(server)
    assert {str(link.address_of_router(6)) for link in links} == {"fe80::1"}
    assert len({link.address_of_member(6) for link in links}) == 2
    assert all(link.families == FAMILIES for link in UNNUMBERED.links_of(CLIENT))
    booted = boot(UNNUMBERED, server)
    on_links = [line.split()[2] for line in booted if line.startswith("address") and "dev eth" in line]
    assert on_links == [f"{link.address_of_member(6)}/64" for link in links]
    (six, four) = [line for line in booted if line.startswith("route")]
    assert six.count("via fe80::1 dev eth") == four.count("via inet6 fe80::1 dev eth") == 2


def test_one_session_over_an_unnumbered_link_carries_both_families() -> None:
    server, (first, second) = SERVERS[0], UNNUMBERED.uplinks(SERVERS[0])
    six = replace(plan(), site=UNNUMBERED, carrier=6)
    text = exabgp_configuration(server, six, "/bin/exavrrp run")
    ends = re.findall(r"neighbor (\S+) .*?local-address (\S+);.*?source-interface (\S+);", text, flags=re.DOTALL)
    assert ends == [("fe80::1", str(link.address_of_member(6)), link.member_interface) for link in (first, second)]
    assert text.count("nexthop { ipv4 unicast ipv6; }") == 2
    assert "next_hop" not in attributes(server, site=UNNUMBERED, carrier=6)
    assert attributes(server, site=UNNUMBERED, carrier=6, family=4)["next_hop"] == {
        f"fe80::1 from {link.address_of_member(6)}": str(link.address_of_member(6)) for link in (first, second)
    }
    bird, frr = (make(UNNUMBERED, first.router, 9) for make in (bird_configuration, frr_configuration))
    own = first.address_of_member(6)
    assert f"local fe80::1 as 65001;\n    neighbor {own}%'node1' as 65010;" in bird
    assert f" neighbor {own} interface node1\n" in frr
    assert bird.count("protocol bgp ") == frr.count("remote-as") == len(SERVERS) + len(FAMILIES)
    assert bird.count("export none") == frr.count("route-map NOTHING out") == 2 * len(SERVERS)


BESIDE = replace(RACK, host="bird")


@pytest.mark.parametrize("takeover", [(), ("prepend",)])
def test_beside_a_daemon_exabgp_speaks_to_it_alone(takeover: tuple[Means, ...]) -> None:
    """Over iBGP; where the length of the path is to reach the routers, over eBGP from a private AS."""
    server = SERVERS[0]
    chosen = replace(plan(), site=BESIDE, takeover=takeover)
    asn = 65534 if takeover else 65010
    text = exabgp_configuration(server, chosen, "/bin/exavrrp run")
    assert re.findall(r"neighbor (\S+) ", text) == [str(server.loopback(family)) for family in FAMILIES]
    assert re.findall(r"local-address (\S+);", text) == [str(INNER[family]) for family in FAMILIES]
    assert set(re.findall(r"local-as (\d+);", text)) == {str(asn)}
    assert f"router-id {server.router_id};" not in text
    bird, frr = (
        make(BESIDE, server, 9, private=bool(takeover)) for make in (hosts.bird_configuration, hosts.frr_configuration)
    )
    assert bird.count("protocol bgp ") == frr.count("remote-as") == 2 + 4
    for family in FAMILIES:
        assert f"neighbor {INNER[family]} as {asn};" in bird
        assert f" neighbor {INNER[family]} remote-as {asn}\n" in frr
        assert f"next-hop {'global ' if family == 6 else ''}{NOBODY[family]}\n" in frr
    assert bird.count("rr client;") == frr.count("route-reflector-client") == (0 if takeover else 2)
    assert frr.count("ebgp-multihop") == (2 if takeover else 0)
    assert bird.count("bgp_med = bgp_med") == 2
    assert frr.count("attribute-unchanged med") == 4


def test_a_daemon_learns_the_default_routes_that_servers_have_otherwise() -> None:
    booted = boot(BESIDE, SERVERS[0])
    assert [line for line in booted if line.startswith("route")] == [
        f"route replace {NOBODY[family]}/{HOST[family]} dev lo" for family in FAMILIES
    ]
    assert all(any(f"replace {INNER[family]}/" in line for line in booted) for family in FAMILIES)
    tor, client = RACK.tors[0], CLIENT
    bird, frr = bird_configuration(BESIDE, tor, 9), frr_configuration(BESIDE, tor, 9)
    assert bird.count("route ::/0 blackhole;") == bird.count("route 0.0.0.0/0 blackhole;") == 1
    assert bird.count("export where net = ::/0;") == frr.count("default-originate") / 2 == len(SERVERS)
    for untouched in (bird_configuration(RACK, tor, 9), bird_configuration(BESIDE, client, 9)):
        assert "route ::/0" not in untouched
        assert "export where net = " not in untouched
    assert "default-originate" not in frr_configuration(RACK, tor, 9)


def test_beside_a_daemon_a_check_knows_of_the_uplinks() -> None:
    lines = ('checks = ["service"]', "preempt = false")
    chosen = replace(plan(), site=BESIDE, virtual_router=lines, tables=("[check.service]", 'file = "/x"'))
    read = tomllib.loads(agent_configuration(SERVERS[0], chosen, Path("/run/x")))
    assert read["virtual_router"]["web"]["checks"] == ["service", "uplinks"]
    assert read["virtual_router"]["web"]["preempt"] is False
    assert read["check"]["uplinks"] == {"route": "::/0", "interval": 0.2, "rise": 10, "fall": 1}
    alone = tomllib.loads(agent_configuration(SERVERS[0], replace(plan(), site=BESIDE, family=4), Path("/run/x")))
    assert alone["virtual_router"]["web"]["checks"] == ["uplinks"]
    assert alone["check"]["uplinks"]["route"] == "0.0.0.0/0"


def test_a_server_boots_with_routes_over_both_uplinks_and_a_router_without() -> None:
    (six, four) = [line for line in boot(RACK, SERVERS[0]) if line.startswith("route")]
    assert six.count("nexthop") == four.count("nexthop") == 2
    assert not any(line.startswith("route") for line in boot(RACK, RACK.tors[0]))
