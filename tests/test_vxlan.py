"""The VXLAN that follows from a configuration, how it is made, and what is found wrong with one that is there."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from exavrrp.cli import main
from exavrrp.config import load
from exavrrp.vrrp import auth, packet
from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vxlan import Choices, Device, Overlay, Unplannable, commands, mistakes, planned, units

if TYPE_CHECKING:
    from tests.conftest import Write

AGENT = """\
[agent]
sources = ["2001:db8:ff::11", "192.0.2.11"]
peers = ["2001:db8:ff::12", "2001:db8:ff::13", "192.0.2.12"]
"""
WEB = """\
[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1", "2001:db8:53::2"]
transport = "multicast"
interface = "vxlan7"
source = "fe80::11"
"""
FOUR = """\
[virtual_router.four]
vrid = 8
addresses = ["198.51.100.53"]
transport = "multicast"
interface = "vxlan7"
source = "10.9.0.11"
version = 2
"""
ROUTED = '[virtual_router.routed]\nvrid = 9\naddresses = ["2001:db8:53::9"]\n'
KEY = f'[authentication.k]\nactive_key = 1\nkeys = {{ 1 = {{ hex = "{"ab" * 32}" }} }}\n'

LOCAL, *REMOTES = map(IPv6Address, ("2001:db8:ff::11", "2001:db8:ff::12", "2001:db8:ff::13"))
OVERLAY = Overlay(
    interface="vxlan7",
    identifier=112,
    port=4789,
    local=LOCAL,
    remotes=tuple(REMOTES),
    addresses=(ip_interface("fe80::11/64"), ip_interface("10.9.0.11/24")),
    mtu=1430,
    largest=80,
)
RIGHT = Device(
    kind="vxlan",
    up=True,
    mtu=1430,
    identifier=112,
    port=4789,
    local=LOCAL,
    entries=frozenset(REMOTES),
    addresses=frozenset(map(ip_address, ("fe80::11", "10.9.0.11"))),
)


# What it has to be


def overlay(write: Write, text: str, choices: Choices | None = None) -> Overlay:
    return planned(load(write(text)), choices or Choices())


def test_it_goes_from_loopback_to_loopback_and_holds_the_sources(write: Write) -> None:
    found = overlay(write, AGENT + WEB + FOUR + ROUTED)
    assert found == OVERLAY
    assert found.largest == 40 + 8 + 2 * 16


def test_a_source_that_is_on_lo_needs_no_address_inside(write: Write) -> None:
    lo = FOUR.replace("10.9.0.11", "192.0.2.11")
    assert overlay(write, AGENT + lo).addresses == ()


def test_what_the_configuration_does_not_say(write: Write) -> None:
    other = WEB.replace("web", "lan").replace("vxlan7", "eth2").replace("db8:53", "db8:54").replace("::11", "::21")
    choices = Choices(interface="vxlan7", identifier=5, port=8472, family=4, uplink_mtu=9000, length=28)
    found = overlay(write, AGENT + WEB + FOUR + other, choices)
    assert (found.interface, found.identifier, found.port) == ("vxlan7", 5, 8472)
    assert (found.local, found.remotes) == (IPv4Address("192.0.2.11"), (IPv4Address("192.0.2.12"),))
    assert found.mtu == 8950
    assert [str(one) for one in found.addresses] == ["fe80::11/64", "10.9.0.11/28"]


@pytest.mark.parametrize(
    ("text", "choices", "said"),
    [
        (AGENT + ROUTED, Choices(), "no virtual router sends its adverts on one interface; write"),
        (AGENT + WEB + FOUR.replace("vxlan7", "x"), Choices(), "adverts go over vxlan7, x; say by --interface"),
        (AGENT + WEB, Choices(interface="vxlan8"), "no adverts go over vxlan8, but over vxlan7; correct --interface"),
        ("[agent]\n" + WEB, Choices(), r"agent.sources and agent.peers \(or \[node.NAME\]\) have no IPv6 addresses"),
        (AGENT.replace(', "192.0.2.12"', "") + WEB, Choices(family=4), "have no IPv4 addresses of both"),
        (
            AGENT + WEB + 'peers = ["fe80::12", "fe80::13"]\n',
            Choices(family=4),
            "virtual_router.web.peers names 2 nodes, but agent.peers has 1 IPv4 addresses",
        ),
    ],
)
def test_no_vxlan_follows(write: Write, text: str, choices: Choices, said: str) -> None:
    with pytest.raises(Unplannable, match=said) as raised:
        overlay(write, text, choices)
    [problem] = raised.value.problems
    assert problem == str(raised.value)


@pytest.mark.parametrize("signed", [True, False])
def test_the_largest_advert_is_as_large_as_one_that_is_sent(write: Write, signed: bool) -> None:
    own = WEB + 'peers = ["fe80::12"]\n' + ('authentication = "k"\n' + KEY if signed else "")
    advert = Advertisement(7, 100, 100, tuple(map(ip_address, ("2001:db8:53::1", "2001:db8:53::2"))))
    trailer = (lambda _: bytes(auth.Trailer(1, auth.Sequence(1), bytes(16)))) if signed else None
    sent = packet.encode(advert, LOCAL, packet.GROUPS[6], trailer=trailer)
    assert overlay(write, AGENT + own).largest == 40 + len(sent)


def test_an_advert_of_version_2_ends_with_its_authentication_data(write: Write) -> None:
    assert overlay(write, AGENT + FOUR).largest == 20 + 8 + 4 + 8


# How it is made


def test_commands() -> None:
    assert list(commands(OVERLAY)) == [
        "ip link add vxlan7 type vxlan id 112 dstport 4789 nolearning \\",
        "    tos 0xc0 local 2001:db8:ff::11",
        "ip link set vxlan7 mtu 1430 addrgenmode none",
        "bridge fdb append 00:00:00:00:00:00 dev vxlan7 dst 2001:db8:ff::12",
        "bridge fdb append 00:00:00:00:00:00 dev vxlan7 dst 2001:db8:ff::13",
        "ip address add fe80::11/64 dev vxlan7 nodad",
        "ip address add 10.9.0.11/24 dev vxlan7",
        "ip link set vxlan7 up",
    ]


def test_files_of_networkd_say_the_same() -> None:
    files = units(OVERLAY)
    assert list(files) == ["50-vxlan7.netdev", "50-vxlan7.network"]
    device = ConfigParser()
    device.read_string(files["50-vxlan7.netdev"])
    assert dict(device["NetDev"]) == {"name": "vxlan7", "kind": "vxlan", "mtubytes": "1430"}
    assert dict(device["VXLAN"]) == {
        "vni": "112",
        "local": "2001:db8:ff::11",
        "destinationport": "4789",
        "tos": "192",
        "maclearning": "no",
        "independent": "yes",  # of any interface: the routes choose the uplink
    }
    sections = [part.splitlines() for part in files["50-vxlan7.network"].split("\n\n")]
    assert sections == [
        ["[Match]", "Name=vxlan7"],
        ["[Network]", "LinkLocalAddressing=no", "IPv6AcceptRA=no"],
        ["[Address]", "Address=fe80::11/64", "DuplicateAddressDetection=none"],
        ["[Address]", "Address=10.9.0.11/24"],
        ["[BridgeFDB]", "MACAddress=00:00:00:00:00:00", "Destination=2001:db8:ff::12"],
        ["[BridgeFDB]", "MACAddress=00:00:00:00:00:00", "Destination=2001:db8:ff::13"],
    ]


# What is there


def wrong(device: Device | None, uplinks: dict[str, int] | None = None) -> list[str]:
    return list(mistakes(OVERLAY, device, dict.fromkeys(REMOTES, uplinks or {"eth0": 9000})))


def test_nothing_is_wrong_with_the_right_one() -> None:
    assert wrong(RIGHT, {"eth0": 1500, "eth1": 9000}) == []


def test_a_peer_without_a_route_is_named() -> None:
    [found] = mistakes(OVERLAY, RIGHT, {REMOTES[0]: {"eth0": 1500}, REMOTES[1]: {}})
    assert found == (
        f"there is no route from {LOCAL} to {REMOTES[1]}, so no packet of vxlan7 gets there;"
        f" see ip route get {REMOTES[1]} from {LOCAL}"
    )


STRANGER: Address = IPv6Address("2001:db8:ff::99")
ANEW = "ip link del vxlan7, and what exavrrp vxlan prints"


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (None, "this host has no vxlan7; exavrrp vxlan prints what makes it"),
        (replace(RIGHT, kind=""), "vxlan7 is a card, not a VXLAN; name another one in interface, or remove it"),
        (replace(RIGHT, kind="bridge"), "vxlan7 is bridge, not a VXLAN; name another one in interface, or remove it"),
        (replace(RIGHT, up=False), "vxlan7 is down; ip link set vxlan7 up"),
        (replace(RIGHT, identifier=5), f"the VNI of vxlan7 is 5, not 112; say so by --id on all nodes: {ANEW}"),
        (replace(RIGHT, port=8472), f"vxlan7 sends to port 8472, not 4789; say so by --port on all nodes: {ANEW}"),
        (
            replace(RIGHT, local=STRANGER),
            f"packets of vxlan7 come from {STRANGER}, not from {LOCAL}, where the others send theirs; {ANEW}",
        ),
        (
            replace(RIGHT, local=None),
            f"packets of vxlan7 come from whatever address the kernel chooses, not from {LOCAL}, where the others",
        ),
        (replace(RIGHT, lower="eth0"), f"vxlan7 is bound to eth0, and ends with that uplink; {ANEW}"),
        (
            replace(RIGHT, learning=True),
            "vxlan7 learns where frames go from what comes in, which a stranger may send;",
        ),
        (
            replace(RIGHT, traffic_class=0),
            "vxlan7 sends packets without a traffic class, for which the kernel may keep the route over an uplink",
        ),
        (
            replace(RIGHT, entries=frozenset(REMOTES[:1])),
            f"vxlan7 sends nothing to {REMOTES[1]}; bridge fdb append 00:00:00:00:00:00 dev vxlan7 dst {REMOTES[1]}",
        ),
        (
            replace(RIGHT, entries=frozenset({*REMOTES, STRANGER})),
            f"vxlan7 sends everything to {STRANGER} too, which is none of the peers; bridge fdb del",
        ),
        (
            replace(RIGHT, addresses=frozenset(map(ip_address, ["10.9.0.11"]))),
            "vxlan7 lacks fe80::11, where adverts come from; ip address add fe80::11/64 dev vxlan7 nodad",
        ),
        (
            replace(RIGHT, mtu=79),
            "the MTU of vxlan7 is 79, but an advert has 80 bytes; move some addresses to unlisted_addresses",
        ),
    ],
)
def test_each_mistake_is_said_with_its_remedy(device: Device | None, said: str) -> None:
    [mistake] = wrong(device)
    assert mistake.startswith(said)


def test_an_uplink_must_have_room_for_the_packets() -> None:
    [mistake] = wrong(RIGHT, {"eth0": 1499, "eth1": 1500})
    assert "its packets need 70 bytes more and eth0 carries 1499; ip link set vxlan7 mtu 1429" in mistake


# The command


def test_the_command_prints_commands_or_files_and_names_what_is_missing(write: Write) -> None:
    def called(text: str, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["vxlan", "--config", str(write(text)), *words], catch_exceptions=False)
        return done.exit_code, done.output

    assert called(AGENT + WEB + FOUR) == (0, "\n".join(commands(OVERLAY)) + "\n")
    status, files = called(AGENT + WEB, "--networkd")
    assert status == 0
    assert files.startswith("# /etc/systemd/network/50-vxlan7.netdev\n[NetDev]\n")
    assert called(AGENT + ROUTED)[0] == 1
    assert called(AGENT + WEB, "--networkd", "--check")[0] == 2
    assert called(AGENT + WEB, "--id", "16777216")[0] == 2
