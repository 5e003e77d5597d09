"""What routers and servers are told follows from the plan of addresses."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from ipaddress import ip_interface
from itertools import combinations
from pathlib import Path

import pytest

from lab.addressing import CLIENT, FAMILIES, LINKS, MACHINES, PREFIX_LENGTH, SERVERS, TORS, links_of
from lab.routers import bird_configuration, frr_configuration
from lab.servers import agent_configuration, exabgp_configuration
from lab.topology import boot
from tests.lab.build import plan


def test_no_two_machines_share_an_address() -> None:
    addresses = [machine.loopback(family) for machine in MACHINES for family in FAMILIES]
    addresses += [
        end(family) for link in LINKS for family in FAMILIES for end in (link.address_of_tor, link.address_of_member)
    ]
    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize("family", FAMILIES)
def test_both_ends_of_a_link_are_in_one_network_and_no_two_links_are(family: object) -> None:
    networks = []
    for link in LINKS:
        length = PREFIX_LENGTH[4 if family == 4 else 6]
        ends = [end(4 if family == 4 else 6) for end in (link.address_of_tor, link.address_of_member)]
        mine = {ip_interface(f"{address}/{length}").network for address in ends}
        assert len(mine) == 1
        networks += list(mine)
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


def test_every_server_hangs_on_both_tors() -> None:
    for server in SERVERS:
        assert [(link.tor.name, link.member_interface) for link in links_of(server)] == [
            ("tor1", "eth0"),
            ("tor2", "eth1"),
        ]


@pytest.mark.parametrize("machine", [*TORS, CLIENT], ids=lambda machine: machine.name)
def test_routers_have_a_session_for_each_link_and_family(machine: object) -> None:
    router = next(each for each in MACHINES if each is machine)
    bird, frr = bird_configuration(router, 9), frr_configuration(router, 9)
    assert bird.count("protocol bgp ") == frr.count("remote-as") == 2 * len(links_of(router))
    assert bird.count("{") == bird.count("}")


def test_routers_give_servers_nothing() -> None:
    tor = TORS[0]
    assert bird_configuration(tor, 9).count("export none") == 2 * len(SERVERS)
    assert frr_configuration(tor, 9).count("route-map NOTHING out") == 2 * len(SERVERS)
    assert "NOTHING out" not in frr_configuration(CLIENT, 9)


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


def test_exabgp_has_four_sessions_and_never_graceful_restart() -> None:
    text = exabgp_configuration(SERVERS[0], plan(), "/bin/exavrrp run")
    assert text.count("neighbor-changes;") == text.count("processes [ exavrrp ]") == 4
    assert "graceful" not in text


def test_a_server_boots_with_routes_over_both_uplinks_and_a_router_without() -> None:
    (six, four) = [line for line in boot(SERVERS[0]) if line.startswith("route")]
    assert six.count("nexthop") == four.count("nexthop") == 2
    assert not any(line.startswith("route") for line in boot(TORS[0]))
