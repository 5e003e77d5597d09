"""The configuration: each mistake gives one line with its key, line and remedy, and all are reported at once."""

import contextlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.config import Configuration, Problem, effective, kinds, load, schema, state_directory
from exavrrp.config.advice import MOST_KNOWN
from exavrrp.config.diagnosis import MOST_PROBLEMS, ConfigError
from exavrrp.config.files import SIZE_LIMIT
from exavrrp.config.kinds import File, Http, Interface, Prefix, Probe, Process, Program, Tcp
from exavrrp.config.notation import Endpoint, Url
from exavrrp.config.places import places
from exavrrp.config.settings import Transport
from exavrrp.health import CheckState, Initial, Verdict
from exavrrp.neighbors import Session
from exavrrp.ports import Medium
from exavrrp.presence import Handover
from exavrrp.routes import LARGEST, Attributes
from exavrrp.sessions import Requirement
from exavrrp.spelling import Lexicon, Pen
from exavrrp.takeover import GRACEFUL_SHUTDOWN, RoutePolicy, Takeover
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp.packet import Address, Ipv4Checksum
from exavrrp.vrrp.version2 import Version2

Tables = dict[str, dict[str, str]]

GOOD: Tables = {
    "agent": {"sources": '["2001:db8:ff::11", "192.0.2.11"]', "peers": '["2001:db8:ff::12", "192.0.2.12"]'},
    "virtual_router.web": {"vrid": "7", "addresses": '["2001:db8:53::1/128"]', "checks": '["web"]'},
    "virtual_router.web.bgp": {"med": "50"},
    "check.web": {"command": '["/usr/bin/true"]', "weight": "-10"},
    "virtual_router.four": {"vrid": "7", "addresses": '["192.0.2.53"]', "priority": "150"},
}


def changed(*changes: tuple[str, str, str | None]) -> Tables:
    """GOOD with each (table, key, TOML) set; None instead of TOML removes the key."""
    tables = {name: dict(content) for name, content in GOOD.items()}
    for table, key, toml in changes:
        content = tables.setdefault(table, {})
        content.pop(key, None)
        if toml is not None:
            content[key] = toml
    return tables


def written(tables: Tables) -> str:
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {toml}" for key, toml in content.items()), ""])
        for name, content in tables.items()
    )


@pytest.fixture(name="read")
def _read(tmp_path: Path) -> Any:
    def read(text: str | bytes, **host: Any) -> Configuration:
        path = tmp_path / "exavrrp.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, **host)

    return read


def problems(read: Any, text: str | bytes, **host: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text, **host)
    assert str(caught.value).count("\n") == len(caught.value.problems) - 1
    for problem in caught.value.problems:
        assert str(problem).isprintable()
    return caught.value.problems


def line_of(text: str, table: str, key: str) -> int:
    """The line of ``key`` below the header of ``table``, or of the header where it is absent."""
    lines = text.splitlines()
    header = lines.index(f"[{table}]")
    for number, line in enumerate(lines[header + 1 :], start=header + 2):
        if line.startswith("["):
            break
        if key and line.partition(" = ")[0] == key:
            return number
    return header + 1


AGENT, WEB, FOUR, BGP, CHECK = (
    "agent",
    "virtual_router.web",
    "virtual_router.four",
    "virtual_router.web.bgp",
    "check.web",
)
STANDBY, LEAVING = f"{BGP}.standby", f"{BGP}.leaving"
ANNOUNCED = (WEB, "standby", '"announce"')
MANY_6 = json.dumps([f"2001:db8:53::{number:x}" for number in range(1, 90)])
MANY_4 = json.dumps([f"198.18.{number // 250}.{number % 250 + 1}" for number in range(256)])

MISTAKES: list[tuple[str, str, str | None, str]] = [
    # table, key, TOML in its place (None: left out), what the message says
    (AGENT, "sources", '"192.0.2.11"', 'is "192.0.2.11"; write a list with one of this node\'s own addresses'),
    (AGENT, "sources", '["192.0.2.11", 5, "2001:db8:ff::11"]', "holds 5; write an address in quotes"),
    (
        AGENT,
        "sources",
        '["192.0.2.11", "192.0.2.13", "2001:db8:ff::11"]',
        "holds 2 IPv4 addresses (192.0.2.11, 192.0.2",
    ),
    (
        AGENT,
        "sources",
        '["192.0.2.11", "fe80::1"]',
        "this is a link-local address, which is not routed; write a global",
    ),
    (AGENT, "sources", '["192.0.2.11", "::1"]', "this is a loopback address, which no other host can reach; write a"),
    (AGENT, "sources", '["192.0.2.11", "::"]', "this is the unspecified address; write a unicast"),
    (AGENT, "sources", '["2001:db8:ff::11", "0.1.2.3"]', "this is the unspecified address; write a unicast"),
    (AGENT, "sources", '["2001:db8:ff::11", "127.0.0.9"]', "this is a loopback address"),
    (AGENT, "sources", '["2001:db8:ff::11", "169.254.1.1"]', "this is a link-local address"),
    (AGENT, "sources", '["2001:db8:ff::11", "224.0.0.18"]', "this is a multicast address; write a unicast"),
    (AGENT, "sources", '["2001:db8:ff::11", "255.255.255.255"]', "this is the broadcast address; write a unicast"),
    (AGENT, "sources", '["2001:db8:ff::11", "192.0.2.011"]', 'holds "192.0.2.011"; write an address such as'),
    (AGENT, "sources", '["192.0.2.11", "2001:db8::1%eth0"]', "remove the scope (from % on)"),
    (AGENT, "sources", '["192.0.2.11", "::ffff:192.0.2.99"]', 'IPv4 address in IPv6 notation; write "192.0.2.99"'),
    (AGENT, "sources", '["192.0.2.11", "2001:db8:ff::11", "2001:db8:ff:0::11"]', "twice; remove one"),
    (AGENT, "sources", '["192.0.2.11", "server1.example"]', 'holds "server1.example"; write an address such as'),
    (AGENT, "sources", "1979-05-27T07:32:00Z", "is 1979-05-27 07:32:00+00:00; write a list"),
    (AGENT, "peers", '["2001:db8:ff::12", "192.0.2.12", "192.0.2.12"]', "twice; remove one"),
    (AGENT, "peers", '["2001:db8:ff::12/128", "192.0.2.12"]', 'write "2001:db8:ff::12" without a length'),
    (AGENT, "peers", '["2001:db8:ff::12", "192.0.2.12", "ff02::12"]', "this is a multicast address"),
    (
        AGENT,
        "peers",
        '["2001:db8:ff::12", "192.0.2.12", "192.0.2.11"]',
        "holds 192.0.2.11, a source of this node; list",
    ),
    (AGENT, "peers", '{ a = "2001:db8:ff::12" }', "is a table; write a list of the other nodes' addresses"),
    (AGENT, "advert_interval", "0", "is 0; write seconds from 0.01 to 40.95"),
    (AGENT, "advert_interval", "40.96", "is 40.96; write seconds from 0.01 to 40.95"),
    (AGENT, "advert_interval", "0.123", "is 0.123; write 0.12: an advert tells its interval in steps of 0.01 s"),
    (AGENT, "advert_interval", "nan", "is nan; write seconds"),
    (AGENT, "advert_interval", "inf", "is inf; write seconds"),
    (AGENT, "advert_interval", "true", "is true; write seconds"),
    (AGENT, "advert_interval", '"1s"', 'is "1s"; write seconds'),
    (AGENT, "advert_interval", "0x" + "f" * 5000, "is a number of more than 64 bits; write seconds"),
    (AGENT, "interfaces", "[]", "is []; write a list of the interfaces"),
    (AGENT, "interfaces", '["eth0", "eth0"]', 'holds "eth0" twice; remove one'),
    (AGENT, "interfaces", json.dumps([f"eth{number}" for number in range(256)]), "holds 256; write at most 255"),
    (AGENT, "peers", json.dumps([f"192.0.2.{number}" for number in range(256)]), "holds 256; write at most 255"),
    (AGENT, "interfaces", '["a name that is too long"]', "write the name of an interface"),
    (AGENT, "interfaces", '["eth0/1"]', "write the name of an interface"),
    (AGENT, "interfaces", '["eth0\\n"]', 'holds "eth0\\U0000000A"; write the name of an interface'),
    (AGENT, "interfaces", '[".."]', "write the name of an interface"),
    (AGENT, "ipv4_checksum", '"rfc3768"', 'is "rfc3768"; write "pseudo-header"'),
    (AGENT, "max_hops", "255", "is 255; write a whole number of hops from 0 to 254"),
    (AGENT, "max_hops", "1.5", "is 1.5; write a whole number of hops"),
    (AGENT, "max_hops", "-1", "is -1; write a whole number of hops"),
    (AGENT, "down_count", "1", "is 1; write a whole number of intervals from 2 to 100"),
    (AGENT, "learned_interval_max", "0.5", "is 0.5, below an advert_interval of 1; write that or more"),
    (AGENT, "learned_interval_max", "2.001", "is 2.001; write 2:"),
    (AGENT, "learned_interval_max", "41", "is 41; write seconds from 0.01 to 40.95"),
    (AGENT, "log_format", '"xml"', 'is "xml"; write "text" or "json"'),
    (AGENT, "log_format", "true", 'is true; write "text" or "json"'),
    (AGENT, "state_directory", '"run/exavrrp"', 'is "run/exavrrp"; write an absolute path'),
    (AGENT, "state_directory", '"/run/\\u0000"', 'is "/run/\\U00000000"; write an absolute path'),
    (AGENT, "state_directory", f'"/{"x" * 94}"', "has 95 bytes; write a path of at most 94"),
    (AGENT, "persistent_directory", '"lib"', 'is "lib"; write an absolute path, such as "/var/lib/exavrrp"'),
    (AGENT, "control_group", '"net ops"', 'is "net ops"; write the name of a group'),
    (AGENT, "control_group", '"netops\\n"', 'is "netops\\U0000000A"; write the name of a group'),
    (AGENT, "control_group", "27", "is 27; write the name of a group"),
    (AGENT, "peer", '["192.0.2.12"]', 'unknown key; did you mean "peers"?'),
    (AGENT, "vrid", "7", "unknown key; it belongs to a table [virtual_router.NAME]"),
    (AGENT, "nopreempt", "true", "unknown key; write preempt = false"),
    (AGENT, "zzz", "7", "unknown key; known here: sources, peers, advert_interval,"),
    (AGENT, '"bad\\nkey"', "7", "unknown key; known here: sources"),
    (WEB, "vrid", None, "is missing; write a whole number from 1 to 255, the same on all nodes"),
    (WEB, "vrid", "0", "is 0; write a whole number from 1 to 255"),
    (WEB, "vrid", "256", "is 256; write a whole number from 1 to 255"),
    (WEB, "vrid", "7.0", "is 7.0; write a whole number"),
    (WEB, "vrid", "true", "is true; write a whole number"),
    (WEB, "vrid", '"7"', "the same on all nodes of this virtual router: 7"),
    (WEB, "priority", "0", "is 0; write a whole number from 1 to 254, or 255 for the owner of the addresses"),
    (WEB, "priority", "256", "is 256; write a whole number from 1 to 254, or 255"),
    (WEB, "addresses", None, "is missing; write a list of the virtual addresses"),
    (WEB, "addresses", "[]", "is []; write a list of the virtual addresses"),
    (WEB, "addresses", '"2001:db8:53::1"', 'is "2001:db8:53::1"; write a list of the virtual addresses'),
    (WEB, "addresses", "[[]]", "holds []; write an address in quotes"),
    (WEB, "addresses", '["2001:db8:53::1/64"]', 'write "2001:db8:53::1/128": exactly the address is bound'),
    (WEB, "addresses", '["2001:db8:53::1/32"]', 'write "2001:db8:53::1/128"'),
    (WEB, "addresses", '["192.0.2.99/24"]', 'write "192.0.2.99/32": exactly the address is bound'),
    (WEB, "addresses", '["192.0.2.99/255.255.255.255"]', 'write "192.0.2.99/32"'),
    (WEB, "addresses", '["2001:db8:53::g"]', 'holds "2001:db8:53::g"; write an address such as'),
    (WEB, "addresses", '["fe80::53"]', "this is a link-local address, which is not routed"),
    (WEB, "addresses", '["fe80::53%eth0"]', "remove the scope (from % on)"),
    (WEB, "addresses", '["ff02::12"]', "this is a multicast address"),
    (WEB, "addresses", '["::"]', "this is the unspecified address"),
    (WEB, "addresses", '["::1"]', "this is a loopback address"),
    (WEB, "addresses", '["127.0.0.1"]', "this is a loopback address"),
    (WEB, "addresses", '["::ffff:192.0.2.99"]', 'write "192.0.2.99"'),
    (WEB, "addresses", '["2001:db8:53::1", "2001:db8:53::1/128"]', 'holds "2001:db8:53::1/128" twice; remove one'),
    (WEB, "addresses", '["2001:db8:ff::12"]', "holds 2001:db8:ff::12, a peer; write an address that is no node's own"),
    (
        WEB,
        "addresses",
        '["2001:db8:ff::11"]',
        "holds 2001:db8:ff::11, a source; write an address that is no node's own",
    ),
    (
        WEB,
        "addresses",
        MANY_6,
        "holds 89 addresses; one advert has room for 88: write the others into unlisted_addresses on",
    ),
    (
        FOUR,
        "addresses",
        MANY_4,
        "holds 256 addresses; one advert has room for 255: write the others into unlisted_addresses on",
    ),
    (
        WEB,
        "unlisted_addresses",
        '"2001:db8:53::2"',
        'is "2001:db8:53::2"; write a list of more virtual addresses of the same',
    ),
    (WEB, "unlisted_addresses", '["2001:db8:53::2/64"]', 'write "2001:db8:53::2/128": exactly the address'),
    (
        WEB,
        "unlisted_addresses",
        '["2001:db8:53::1"]',
        "holds 2001:db8:53::1, which is in addresses; remove it from one",
    ),
    (
        WEB,
        "unlisted_addresses",
        '["2001:db8:53::2", "2001:db8:53::2/128"]',
        'holds "2001:db8:53::2/128" twice; remove one',
    ),
    (
        WEB,
        "unlisted_addresses",
        '["2001:db8:ff::12"]',
        "holds 2001:db8:ff::12, a peer; write an address that is no node",
    ),
    (
        WEB,
        "unlisted_addresses",
        '["192.0.2.99"]',
        "holds 192.0.2.99, but the addresses are IPv6; write a virtual router for IPv4 with the same group",
    ),
    (WEB, "preferred_lifetime", "600", 'is 600; write 0 (never a source of the host\'s own connections) or "forever"'),
    (WEB, "preferred_lifetime", "false", "is false; write 0 (never"),
    (
        FOUR,
        "preferred_lifetime",
        "0",
        "is 0, but the addresses are IPv4, which are bound with scope host and so never a source; remove it",
    ),
    (
        FOUR,
        "preferred_lifetime",
        '"forever"',
        'is "forever", but the addresses are IPv4, which are bound with scope host and so never a source; remove it',
    ),
    (BGP, "announce", '"2001:db8:53::/64"', 'is "2001:db8:53::/64"; write a list of prefixes: ["2001:db8:53::/64"]'),
    (BGP, "announce", "[]", "is []; write a list of prefixes"),
    (BGP, "announce", '["web"]', 'holds "web"; write a prefix such as "0.0.0.0/0", "192.0.2.0/24" or "2001:db8::/32"'),
    (BGP, "announce", '["2001:db8:53::%eth0/64"]', "remove the scope (from % on)"),
    (BGP, "announce", '["2001:db8:53::1/64"]', 'write "2001:db8:53::/64": a route leads to a whole prefix'),
    (BGP, "announce", '["2001:db8:53::/64", "2001:db8:53::0/64"]', 'holds "2001:db8:53::0/64" twice; remove one'),
    (BGP, "announce", '["192.0.2.0/24"]', "holds 192.0.2.0/24, but the addresses are IPv6; remove it"),
    (
        BGP,
        "announce",
        '["2001:db8:53::/64", "2001:db8:54::/64"]',
        "holds 2001:db8:54::/64, which contains none of the addresses (2001:db8:53::1); write",
    ),
    (WEB, "announce", '["2001:db8:53::/64"]', "no route is to be announced (prefixes go into announce of its table"),
    (
        WEB,
        "transport",
        '"broadcast"',
        'is "broadcast"; write "routed" (over every uplink), or "unicast" or "multicast"',
    ),
    (WEB, "interface", '"eth0"', 'is "eth0", but adverts are routed; write interfaces = ["eth0"], or transport = "un'),
    (WEB, "version", "4", "is 4; write 3, or 2 (IPv4 only) beside nodes that know no VRRPv3"),
    (WEB, "version", "2", "is 2, but the addresses are IPv6, which VRRPv2 does not know; remove it"),
    (WEB, "plain_password", '"x"', "is for version = 2 alone; write that, or an authentication of VRRPv3"),
    (FOUR, "plain_password", '"nine char"', "write 1 to 8 printable characters, which everybody on the way can read"),
    (WEB, "interface", '""', 'is ""; write the name of an interface'),
    (WEB, "bind", '"no"', 'is "no"; write true or false, or the name of an interface'),
    (WEB, "bind", '"lo"', 'is "lo", where addresses are by default; write true'),
    (WEB, "bind", '"eth 0"', 'is "eth 0"; write true, "eth0" for the addresses on a link, or false'),
    (WEB, "source", '"fe80::1"', "this is a link-local address"),
    (WEB, "source", '"192.0.2.11"', "is 192.0.2.11, but the addresses are IPv6; write an IPv6 address"),
    (WEB, "source", '["2001:db8:ff::11"]', "write an address in quotes"),
    (WEB, "peers", "[]", "is []; write the other nodes' addresses, or remove the key to use agent.peers"),
    (WEB, "peers", '["2001:db8:ff::12", "192.0.2.12"]', "holds 192.0.2.12, but the addresses are IPv6; remove it"),
    (WEB, "peers", '["2001:db8:ff::12", "2001:db8:ff::11"]', "holds 2001:db8:ff::11, a source of this node; list"),
    (WEB, "peers", '["2001:db8:ff::12", "2001:db8:ff:0::12"]', 'holds "2001:db8:ff:0::12" twice; remove one'),
    (WEB, "peers", '["ff02::12"]', "this is a multicast address"),
    (WEB, "interfaces", "[]", "is []; write a list of the interfaces"),
    (WEB, "preempt", '"no"', 'is "no"; write true or false: false'),
    (WEB, "preempt_delay", '"5 min"', 'is "5 min"; write seconds from 0 to 86400: 300.0'),
    (WEB, "priority", '"256"', "or 255 for the owner of the addresses"),
    (
        WEB,
        "peers",
        '["node2", "2001:db8:ff::12"]',
        'write an address such as "2001:db8::1" or "192.0.2.1"; names are not',
    ),
    (WEB, "peers", '["eth0"]', 'write an address such as "2001:db8::1" or "192.0.2.1"; names are not resolved'),
    (WEB, "peers", '["2001:db8:ff::12/64"]', 'write "2001:db8:ff::12" without a length'),
    (WEB, "source", '"2001:db8:ff::11/128"', 'write "2001:db8:ff::11" without a length'),
    (WEB, "sessions_neighbors", '["tor1.example.com"]', "names are not resolved"),
    (WEB, "advert_interval", '"100ms"', "in steps of 0.01: 0.1"),
    (AGENT, "interfaces", '["2001:db8::1"]', 'write the name of an interface, such as "eth0"'),
    (CHECK, "timeout", '"1s"', 'is "1s"; write seconds from 0.01 to 86400: 1.0'),
    (WEB, "preempt", "0", "is 0; write true or false"),
    (WEB, "preempt_delay", "-1", "is -1; write seconds from 0 to 86400"),
    (WEB, "preempt_delay", "nan", "is nan; write seconds from 0 to 86400"),
    (WEB, "preempt_delay", "-inf", "is -inf; write seconds from 0 to 86400"),
    (WEB, "preempt_delay", "86400.5", "is 86400.5; write seconds from 0 to 86400"),
    (WEB, "advert_interval", "0.001", "is 0.001; write seconds from 0.01 to 40.95"),
    (WEB, "advert_interval", "0.015", "is 0.015; write 0.02"),
    (WEB, "learned_interval_max", "0.5", "is 0.5, below an advert_interval of 1; write that or more"),
    (WEB, "learned_interval_max", "true", "is true; write seconds from 0.01 to 40.95"),
    (WEB, "handover", '"make"', 'is "make"; write "make-before-break", or "break-before-make"'),
    (WEB, "handover_hold", "31", "is 31; write seconds from 0 to 30"),
    (WEB, "linger", "-0.5", "is -0.5; write seconds from 0 to 30"),
    (WEB, "group", "7", "is 7; write a name of a-z, 0-9, _, - and . in quotes"),
    (WEB, "group", '"Web"', 'is "Web"; write a name of a-z, 0-9, _, - and . in quotes'),
    (WEB, "group", '"web\\n"', 'is "web\\U0000000A"; write a name of a-z'),
    (AGENT, "group", '"web"', "unknown key; it belongs to a table [virtual_router.NAME]"),
    (WEB, "notify", '"/usr/bin/true"', 'is "/usr/bin/true"; write the program and its arguments as a list: ["/usr/lo'),
    (WEB, "notify", "[]", "is []; write the program and its arguments as a list"),
    (WEB, "notify", '["true"]', 'begins with "true"; write the absolute path of the program'),
    (WEB, "notify_active", '["/usr/bin/true", "a\\u0000b"]', 'holds "a\\U00000000b"; write the program and its'),
    (WEB, "notify_active", '["notify", "web"]', 'begins with "notify"; write the absolute path of the program'),
    (WEB, "notify_backup", "[7]", "holds 7; write the program and its arguments as text in quotes"),
    (WEB, "notify_fault", '[""]', 'begins with ""; write the absolute path of the program'),
    (WEB, "notify_stop", "true", "is true; write the program and its arguments as a list"),
    (WEB, "notify_fifo", '"run/notify"', 'is "run/notify"; write an absolute path'),
    (WEB, "notify_fifo", '"/"', 'is "/"; write an absolute path'),
    (WEB, "notify_socket", json.dumps("/" + 107 * "x"), "xxx…; write an absolute path"),
    (WEB, "notify_timeout", "0", "is 0; write seconds from 0.01 to 86400"),
    (WEB, "notify_master", '["/usr/bin/true"]', "unknown key; write, for example, notify_active = ["),
    (WEB, "vrrp_notify_fifo", '"/run/x"', 'unknown key; write notify_fifo = "/run/x"'),
    (WEB, "notify_master_rx_lower_pri", '"/bin/x"', "unknown key; remove it: there is no address elsewhere"),
    (WEB, "smtp_alert", "true", "unknown key; remove it: a program of notify can send mail"),
    (AGENT, "notify_fifo", '"/run/x"', "unknown key; it belongs to a table [virtual_router.NAME]"),
    (WEB, "checks", '"web"', 'is "web"; write a list of names of [check.NAME] tables: ["web"]'),
    (WEB, "checks", '["wbe"]', 'holds "wbe"; did you mean "web"?'),
    (WEB, "checks", '["database"]', 'holds "database"; write a table [check.database] for it'),
    (WEB, "checks", '["web", "web"]', 'holds "web" twice; remove one'),
    (WEB, "checks", "[true]", "holds true; write the name of a [check.NAME] in quotes"),
    (WEB, "advert_int", "1", "unknown key; write advert_interval = 1.0"),
    (WEB, "weight", "1", "unknown key; it belongs to a table [check.NAME]"),
    (WEB, "med", "1", "unknown key; it belongs to a table [virtual_router.NAME.bgp]"),
    (WEB, "state", '"BACKUP"', "unknown key; remove it: every node starts as Backup"),
    (BGP, "med", "-1", "is -1; write a whole number from 0 to 4294967294"),
    (BGP, "med", "4294967295", "is 4294967295; write a whole number from 0 to 4294967294"),
    (BGP, "med", "50.5", "is 50.5; write a whole number"),
    (BGP, "local_preference", "4294967296", "is 4294967296; write a whole number from 0 to 4294967295"),
    (BGP, "communities", '"65010:7"', 'is "65010:7"; write a list of communities'),
    (BGP, "communities", '["65536:1"]', 'holds "65536:1"; write two numbers from 0 to 65535'),
    (BGP, "communities", '["65010"]', 'holds "65010"; write two numbers from 0 to 65535'),
    (BGP, "communities", '["65010:7 no-export"]', 'holds "65010:7 no-export"; write two numbers'),
    (BGP, "communities", '["NO-EXPORT"]', "no-export, no-advertise, no-export-subconfed, no-peer, blackhole, graceful"),
    (BGP, "communities", '["65010:7\\n"]', 'holds "65010:7\\U0000000A"; write two numbers'),
    (BGP, "communities", '["٣:7"]', "write two numbers"),
    (BGP, "communities", '["65010:7", "065010:7"]', 'holds "065010:7" twice; remove one'),
    (BGP, "communities", '["graceful-shutdown", "65535:0"]', 'holds "65535:0" twice; remove one'),
    (BGP, "communities", "[65010]", "holds 65010; write a community in quotes"),
    (BGP, "large_communities", '["65010:1"]', 'holds "65010:1"; write three numbers from 0 to 4294967295'),
    (BGP, "large_communities", '["1:2:4294967296"]', "write three numbers from 0 to 4294967295"),
    (BGP, "as_path", "65010", "is 65010; write the whole AS path as a list"),
    (BGP, "as_path", "[0]", "holds 0; write AS numbers from 1 to 4294967295"),
    (BGP, "as_path", '["65010"]', 'holds "65010"; write AS numbers'),
    (BGP, "as_path", "[4294967296]", "holds 4294967296; write AS numbers"),
    (
        BGP,
        "as_path",
        json.dumps([65010] * 255),
        "makes paths of up to 257 AS numbers, with those put before it; 255 fit",
    ),
    (BGP, "next_hop", '"Self"', 'is "Self"; write an address such as'),
    (BGP, "next_hop", '"192.0.2.1"', 'is 192.0.2.1, but the addresses are IPv6; write one of IPv6 or "self"'),
    (BGP, "next_hop", '"2001:db8:53::1"', "is 2001:db8:53::1, a virtual address: a route cannot lead to itself; write"),
    (BGP, "next_hop", '"fe80::1"', "this is a link-local address"),
    (BGP, "next_hop", '{ "fe80::1" = 5 }', 'write "self", an address in quotes, or one for each neighbor'),
    (LEAVING, "next_hop", '{ "fe80::1" = "2001:db8::9" }', 'write "self" or an address in quotes'),
    (BGP, "neighbors", '["192.0.2.254"]', "holds 192.0.2.254: over an IPv4 session ExaBGP has no IPv6 address of its"),
    (BGP, "neighbors", '["fe80::1%eth0"]', "remove the scope (from % on)"),
    (BGP, "neighbors", '["fe80::1", "fe80:0::1"]', 'holds "fe80:0::1" twice; remove one'),
    (BGP, "neighbors", '["ff02::1"]', "this is a multicast address"),
    (BGP, "neighbors", '["fe80::1 from ff02::1"]', "this is a multicast address"),
    (BGP, "neighbors", '["fe80::1 from "]', 'write an address such as "2001:db8::1"'),
    (BGP, "neighbors", '["fe80::1 at fe80::2"]', 'write an address such as "2001:db8::1"'),
    (BGP, "neighbors", '["fe80::1 from 192.0.2.1"]', "both ends of a session are of one family; write two"),
    (BGP, "neighbors", '["fe80::1%eth0"]', 'write "fe80::1 from fe80::5", with the local-address of the neighbor in'),
    (
        BGP,
        "neighbors",
        '["fe80::1", "fe80::1 from fe80::2"]',
        'with those of its other states, holds "fe80::1", all sessions to it, and "fe80::1 from fe80::2"; name each',
    ),
    (
        WEB,
        "sessions_neighbors",
        '["fe80::1", "fe80::1 from fe80::2"]',
        'holds "fe80::1", all sessions to it, and "fe80::1 from fe80::2"; remove one of the two',
    ),
    (BGP, "community", '["65010:7"]', 'unknown key; write, for example, communities = ["65010:7"]'),
    (BGP, "origin", '"igp"', "unknown key; remove it: ExaBGP's default"),
    (AGENT, "scheduling", '"rr"', 'is "rr"; write "normal", or "realtime"'),
    (AGENT, "lock_memory", "1", "is 1; write true or false"),
    (AGENT, "startup_delay", "-1", "is -1; write seconds from 0 to 86400"),
    (AGENT, "beacon", '"on"', 'is "on"; write true or false'),
    (AGENT, "beacon_port", "0", "is 0; write a UDP port from 1 to 65535"),
    (AGENT, "beacon_port", "65536", "is 65536; write a UDP port from 1 to 65535"),
    (AGENT, "local_as", "65010", "unknown key; remove it: ExaBGP tells the agent our AS number"),
    (WEB, "standby", "true", 'is true; write "withdraw", or "announce"'),
    (WEB, "takeover", '["med"]', "unknown key; it belongs to a table [virtual_router.NAME.bgp]"),
    (BGP, "local_as", "65010", "unknown key; remove it: ExaBGP tells the agent our AS number"),
    (BGP, "prepend", "33", "is 33; write how many times more"),
    (BGP, "takeover", '"med"', 'is "med"; write a list of "med", "prepend" and "local-preference"'),
    (BGP, "takeover", '["mad"]', 'holds "mad"; write "med", "prepend" or "local-preference"'),
    (BGP, "stale_for", "0.5", "is 0.5; write seconds from 1 to 86400, at least the routers' BGP hold time"),
    (BGP, "standby", '"announce"', 'is "announce"; write a table [virtual_router.web.bgp.standby]'),
    (LEAVING, "med", "4294967296", "is 4294967296; write a whole number from 0 to 4294967295"),
    (LEAVING, "communities", '["65536:1"]', 'holds "65536:1"; write two numbers'),
    (LEAVING, "next_hop", '"192.0.2.1"', "is 192.0.2.1, but the addresses are IPv6"),
    (LEAVING, "neighbors", '["192.0.2.254"]', "holds 192.0.2.254: over an IPv4 session ExaBGP has no IPv6"),
    (LEAVING, "takeover", '["med"]', "unknown key; it belongs to a table [virtual_router.NAME.bgp]"),
    (CHECK, "command", None, "is missing; write the program and its arguments as a list"),
    (CHECK, "command", "[]", "is []; write the program and its arguments as a list"),
    (CHECK, "command", '"/usr/bin/true -x"', 'is "/usr/bin/true -x"; write the program and its arguments as a list'),
    (CHECK, "command", '"/bin/a | /bin/b"', 'http://[::1]/"], or shell = "…" for a command line'),
    (
        CHECK,
        "command",
        '["a | b"]',
        'begins with "a | b"; write the absolute path of the program, or shell = "…" for a',
    ),
    (CHECK, "command", '["true"]', 'begins with "true"; write the absolute path of the program'),
    (CHECK, "command", '[""]', 'begins with ""; write the absolute path of the program'),
    (CHECK, "command", '["/usr/bin/true", 5]', "holds 5; write the program and its arguments as text in quotes"),
    (CHECK, "command", '["/usr/bin/true", "a\\u0000b"]', 'holds "a\\U00000000b"; write the program and its arguments'),
    (CHECK, "interval", "0", "is 0; write seconds from 0.01 to 86400"),
    (CHECK, "interval", "nan", "is nan; write seconds"),
    (CHECK, "fast_interval", "0", "is 0; write seconds from 0.01 to 86400"),
    (CHECK, "fast_interval", "1.5", "is 1.5, above an interval of 1; write less"),
    (CHECK, "fastinter", "500", "unknown key; write, for example, fast_interval = 0.2; seconds"),
    (CHECK, "timeout", "0", "is 0; write seconds from 0.01 to 86400"),
    (CHECK, "timeout", "true", "is true; write seconds"),
    (CHECK, "rise", "0", "is 0; write a whole number of runs from 1 to 1000"),
    (CHECK, "fall", "1.0", "is 1.0; write a whole number of runs"),
    (CHECK, "weight", "254", "is 254; write a whole number from -253 to 253 (0: the router is in fault"),
    (CHECK, "weight", "-254", "is -254; write a whole number from -253 to 253"),
    (CHECK, "script", '"/bin/true"', 'unknown key; write, for example, command = ["/usr/'),
    (CHECK, "init_fail", "true", 'unknown key; write initial = "fail"; which is the default'),
    (CHECK, "track_bfd", "true", "unknown key; remove it: ExaBGP speaks no BFD"),
    (CHECK, "quorum", "2", "unknown key; write at_least = 2"),
    (CHECK, "cpu", "1", "unknown key; known here: command, shell,"),
    (CHECK, "script_user", '"nobody"', 'unknown key; write, for example, user = "nobody"; in each check'),
    (CHECK, "enable_script_security", "true", "unknown key; remove it: it is always so"),
    (CHECK, "reverse", "1", "is 1; write true or false"),
    (CHECK, "initial", '"down"', 'is "down"; write "fail", "pass", or "wait" (out of the election until the first'),
    (CHECK, "user", '""', 'is ""; write the name of a user: "nobody"'),
    (CHECK, "user", "0", "is 0; write the name of a user"),
    (CHECK, "user", '"nobody\\n"', "write the name of a user"),
    (CHECK, "shell", '"true"', "stands beside command; keep one of the two: a check has one kind"),
    (CHECK, "tcp", '"[::1]:80"', "stands beside command; keep one of the two"),
    (CHECK, "route", '"::/0"', "stands beside command; keep one of the two"),
    (CHECK, "contains", '"ok"', "is for checks with http, not command; remove it"),
    (CHECK, "at_least", "1", "is for checks with process, not command; remove it"),
    (CHECK, "file_value", "false", "is for checks with file, not command; remove it"),
    (WEB, "track_process", '["web"]', 'unknown key; write, for example, checks = ["web"]'),
    (WEB, "track_file", '["web"]', 'unknown key; write, for example, checks = ["web"]'),
    (WEB, "user", '"nobody"', "unknown key; it belongs to a table [check.NAME]"),
]

SHELL, TCP, HTTP, HTTPS, FILE, PROCESS, INTERFACE, ROUTE = (
    {"shell": '"true"'},
    {"tcp": '"[::1]:80"'},
    {"http": '"http://[::1]/"'},
    {"http": '"https://[::1]/"'},
    {"file": '"/run/x"'},
    {"process": '"postgres"'},
    {"interface": '"eth0"'},
    {"route": '"0.0.0.0/0"'},
)
OF_A_KIND: list[tuple[dict[str, str], str, str, str]] = [
    # the check, key and TOML in its place, what the message says
    (SHELL, "shell", '" "', 'is " "; write a command for /bin/sh in quotes'),
    (SHELL, "shell", '["/bin/true"]', 'is ["/bin/true"]; write a command for /bin/sh in quotes'),
    (SHELL, "host", '"a"', "is for checks with http, not shell; remove it"),
    (TCP, "tcp", '"[::1]"', 'is "[::1]"; write an address and a port such as'),
    (TCP, "tcp", '"::1:80"', 'is "::1:80"; write an address and a port such as "[2001:db8::1]:443"'),
    (TCP, "tcp", '"localhost:80"', "write an address such as"),
    (TCP, "tcp", '"localhost"', "write an address and a port such as"),
    (TCP, "tcp", '"[127.0.0.1]:80"', "only an IPv6 address stands in brackets"),
    (TCP, "tcp", '"[fe80::1]:80"', "this is a link-local address, which is bound to one link; write another one"),
    (TCP, "tcp", '"[fe80::1%eth0]:80"', "remove the scope (from % on)"),
    (TCP, "tcp", '"0.0.0.0:80"', "nobody can be connected to at this address; write a unicast address"),
    (TCP, "tcp", '"[ff02::1]:80"', "nobody can be connected to at this address"),
    (TCP, "tcp", '"127.0.0.1:0"', "write a port from 1 to 65535"),
    (TCP, "tcp", '"127.0.0.1:65536"', "write a port from 1 to 65535"),
    (TCP, "tcp", "80", "is 80; write an address and a port in quotes"),
    (TCP, "user", '"nobody"', "is for checks with command or shell, not tcp; remove it"),
    (HTTP, "http", '"ftp://[::1]/"', "write a URL such as"),
    (HTTP, "http", '"[::1]:80"', "write a URL such as"),
    (HTTP, "http", '"http://"', "write an address such as"),
    (HTTP, "http", '"http://[::1]x/"', "write a URL such as"),
    (HTTP, "http", '"http://[::1]:/"', "write a URL such as"),
    (HTTP, "http", '"http://[::1]:99999/"', "write a port from 1 to 65535"),
    (HTTP, "http", '"http://[::1]/a b"', "write a URL such as"),
    (HTTP, "http", '"http://[::1]/#x"', "write a URL such as"),
    (HTTP, "http", '"http://[::1]/\\u212a"', "write a URL such as"),  # the Kelvin sign, in lower case a k
    (HTTP, "http", '"http\\u017f://[::1]/"', "write a URL such as"),  # the long s, in upper case an S
    (HTTP, "http", '"http://[::1]/\\r\\nX: y"', "write a URL such as"),
    (HTTP, "http", '"http://root@[::1]/"', "remove the user (up to @): checks do not log in"),
    (HTTP, "http", '"http://localhost:8080/"', 'write an address in place of the name, and host = "localhost" beside'),
    (HTTP, "http", '"https://www.example.com/"', 'in place of the name, and host = "www.example.com" beside it'),
    (HTTP, "http", '"http://127.1/"', "write an address such as"),
    (HTTP, "http", f'"http://{"a" * 254}/"', "write an address such as"),
    (HTTP, "host", '"a\\r\\nb"', "write the name the server knows itself by"),
    (HTTP, "host", '"été"', "write the name the server knows itself by"),
    (HTTP, "host", '"www..example.com"', "write the name the server knows itself by"),
    (HTTP, "host", f'"www.{64 * "a"}.com"', "write the name the server knows itself by"),
    (HTTP, "status", "200", "is 200; write a list of the status codes that are good"),
    (HTTP, "status", "[99]", "holds 99; write status codes from 200 to 599"),
    (HTTP, "contains", '""', 'is ""; write text of 1 to 1000 characters'),
    (HTTP, "tls_verify", "false", 'has no effect on "http://[::1]/"; remove it, or write https'),
    (HTTP, "ca_file", '"/ca.pem"', 'has no effect on "http://[::1]/"; remove it, or write https'),
    (HTTPS, "tls_verify", "0", "is 0; write true or false"),
    (HTTPS, "ca_file", '"ca.pem"', 'is "ca.pem"; write an absolute path'),
    (FILE, "file", '"run/x"', 'is "run/x"; write an absolute path'),
    (FILE, "file_value", "1", "is 1; write true or false"),
    (FILE, "status", "[200]", "is for checks with http, not file; remove it"),
    (PROCESS, "process", '"/usr/bin/postgres"', "write the name of a program"),
    (PROCESS, "process", '""', "write the name of a program"),
    (PROCESS, "at_least", "0", "is 0; write a whole number of processes from 1 to 10000"),
    (INTERFACE, "interface", '"eth0/1"', "write the name of an interface"),
    (ROUTE, "route", '"default"', 'is "default"; write a prefix such as "0.0.0.0/0"'),
    (ROUTE, "route", '"192.0.2.1/24"', 'write "192.0.2.0/24": a route leads to a whole prefix'),
    (ROUTE, "route", '"192.0.2.0/255.255.255.0"', 'write "192.0.2.0/24"'),
    (ROUTE, "route", '"2001:db8::1/32"', 'write "2001:db8::/32"'),
    (ROUTE, "route", '"fe80::%eth0/64"', "remove the scope (from % on)"),
    (ROUTE, "route", "0", "is 0; write a prefix in quotes"),
]


def with_check(check: dict[str, str]) -> Tables:
    """GOOD with another check."""
    return {**changed(), CHECK: {"weight": "-10", **check}}


@pytest.mark.parametrize(("check", "key", "toml", "message"), OF_A_KIND, ids=lambda value: str(value)[:40])
def test_one_mistake_in_a_check_gives_one_line(
    read: Any, check: dict[str, str], key: str, toml: str, message: str
) -> None:
    read(written(with_check(check)))
    text = written(with_check({**check, key: toml}))
    [problem] = problems(read, text)
    assert message in problem.message
    assert (problem.key, problem.line) == (f"check.web.{key}", line_of(text, CHECK, key))


def test_every_kind_of_check_is_read(read: Any) -> None:
    found = set()

    def probe(check: dict[str, str]) -> Any:
        configuration = read(written(with_check(check)))
        assert read(effective(configuration)) == configuration
        assert Lexicon().read(Configuration, Pen().spelled(configuration)) == configuration, "as it is recorded"
        found.add(type(configuration.checks[0].probe))
        return configuration.checks[0].probe

    assert probe({"command": '["/bin/a", "b"]', "user": '"nobody"'}).arguments == ("/bin/a", "b")
    assert probe({"shell": '"a && b"', "user": '"www-data"'}).arguments == ("/bin/sh", "-c", "a && b")
    assert probe({"shell": '"a\\nb"'}).shell == "a\nb"
    assert probe(TCP) == Tcp(Endpoint(IPv6Address("::1"), 80))
    assert probe({"tcp": '"192.0.2.1:5432"'}) == Tcp(Endpoint(IPv4Address("192.0.2.1"), 5432))
    full = probe(
        {
            "http": '"HTTPS://[2001:db8::1]:8443/health?a=b"',
            "host": '"www.example.com"',
            "status": "[200, 204]",
            "contains": '"øk"',
            "ca_file": '"/ca.pem"',
        }
    )
    where = Url(Endpoint(IPv6Address("2001:db8::1"), 8443), "/health?a=b", tls=True)
    assert full == Http(where, "www.example.com", (200, 204), "øk", tls_verify=True, ca_file="/ca.pem")
    assert str(probe(HTTP).http) == "http://[::1]:80/"
    assert str(probe({"http": '"https://192.0.2.1"', "tls_verify": "false"}).http) == "https://192.0.2.1:443/"
    assert str(probe({"http": '"http://192.0.2.1?a"'}).http) == "http://192.0.2.1:80/?a"
    assert probe({"file": '"/run/x"', "file_value": "true"}) == File("/run/x", file_value=True)
    assert probe({"process": '"postgres"', "at_least": "2"}) == Process("postgres", 2)
    assert probe(INTERFACE) == Interface("eth0")
    assert probe({"route": '"2001:db8::/32"'}) == Prefix(IPv6Network("2001:db8::/32"))
    assert probe({"route": '"0.0.0.0/0"'}) == Prefix(IPv4Network("0.0.0.0/0"))
    assert found == set(get_args(Probe))
    assert kinds_of_checks.keys() == {kind.name for kind in kinds.KINDS}, "what good_files is made of"


def test_a_check_as_health_needs_it(read: Any) -> None:
    extra = {"reverse": "true", "initial": '"wait"', "rise": "4", "fall": "5", "file_value": "true"}
    [check] = read(written(with_check({**FILE, **extra}))).checks
    assert check.state() == CheckState(4, 5, Initial.WAIT, reverse=True, valued=True)
    assert check.state().verdict is Verdict.UNKNOWN


def test_authorities_for_a_certificate_that_is_not_verified_are_a_mistake(read: Any) -> None:
    text = written(with_check({**HTTPS, "ca_file": '"/ca.pem"', "tls_verify": "false"}))
    [problem] = problems(read, text)
    assert problem.key == "check.web.ca_file"
    assert problem.message == "has no effect with tls_verify = false; remove one of the two"


@pytest.mark.parametrize(("table", "key", "toml", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_one_mistake_gives_one_line(read: Any, table: str, key: str, toml: str | None, message: str) -> None:
    text = written(changed((table, key, toml)))
    [problem] = problems(read, text)
    assert message in problem.message
    assert problem.key == f"{table}.{key}".replace('"bad\\nkey"', '"bad\\U0000000Akey"')
    assert problem.line == line_of(text, table, key)
    assert str(problem).startswith(f"{problem.file}:{problem.line}: {problem.key}: ")


MULTICAST = {"transport": '"multicast"', "interface": '"eth0"', "source": '"fe80::1"'}
UNICAST = MULTICAST | {"transport": '"unicast"', "peers": '["fe80::2"]'}

CONTRADICTIONS: list[tuple[list[tuple[str, str, str | None]], str, str, str]] = [
    # changes, table and key that the problem is about, what the message says
    ([(WEB, "priority", "255"), (WEB, "preempt", "false")], WEB, "preempt", "is false, but priority 255 (the owner of"),
    (
        [(WEB, "preempt_delay", "5"), (WEB, "preempt", "false")],
        WEB,
        "preempt_delay",
        "is 5, but preempt = false preempts",
    ),
    (
        [(WEB, "preempt_delay", "5"), (WEB, "priority", "255")],
        WEB,
        "preempt_delay",
        "is 5, but priority 255 (the owner",
    ),
    (
        [(AGENT, "peers", '["192.0.2.12"]')],
        WEB,
        "peers",
        "is missing; write the other nodes' IPv6 addresses here or into",
    ),
    (
        [(AGENT, "peers", '["2001:db8:ff::12"]')],
        FOUR,
        "peers",
        "is missing; write the other nodes' IPv4 addresses here",
    ),
    (
        [(AGENT, "learned_interval_max", "1"), (FOUR, "advert_interval", "2")],
        AGENT,
        "learned_interval_max",
        "is 1, below an advert_interval of 2; write that or more",
    ),
    (
        [("virtual_router.b", "vrid", "8"), ("virtual_router.b", "addresses", '["192.0.2.54", "192.0.2.53"]')],
        "virtual_router.four",
        "addresses",
        "holds 192.0.2.53, as does virtual_router.b; remove it from one of them",
    ),
    (
        [
            ("virtual_router.b", "vrid", "8"),
            ("virtual_router.b", "addresses", '["192.0.2.54"]'),
            ("virtual_router.b", "unlisted_addresses", '["192.0.2.53"]'),
        ],
        "virtual_router.four",
        "addresses",
        "holds 192.0.2.53, as does virtual_router.b; remove it from one of them",
    ),
    (
        [
            ("virtual_router.b", "vrid", "8"),
            ("virtual_router.b", "addresses", '["192.0.2.54"]'),
            ("virtual_router.b.bgp", "announce", '["192.0.2.48/28"]'),
            ("virtual_router.four.bgp", "announce", '["192.0.2.48/28"]'),
        ],
        "virtual_router.four.bgp",
        "announce",
        "holds 192.0.2.48/28, as does virtual_router.b.bgp; remove it from one of them, or make one virtual router of",
    ),
    (
        [("virtual_router.b", "vrid", "7"), ("virtual_router.b", "addresses", '["192.0.2.54"]')],
        "virtual_router.four",
        "vrid",
        "is 7, as in virtual_router.b, with the same family and source; write another number",
    ),
    (
        [(WEB, "source", '"2001:db8:53::1"')],
        WEB,
        "addresses",
        "holds 2001:db8:53::1, a source; write an address that is",
    ),
    ([(WEB, "source", '"2001:db8:ff::12"')], AGENT, "peers", "holds 2001:db8:ff::12, a source of this node; list the"),
    (
        [(WEB, "notify_fifo", '"/run/x"'), (WEB, "notify_socket", '"/run/x"')],
        WEB,
        "notify_socket",
        "is what notify_fifo is; write another path, or remove one of them",
    ),
    (
        [(FOUR, "announce", "false"), ("virtual_router.four.bgp", "med", "5")],
        "virtual_router.four.bgp",
        "",
        "sets attributes, but announce = false announces nothing; remove one of the two",
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "min_sessions", "2")],
        FOUR,
        "min_sessions",
        "is 2, but announce = false announces nothing; remove one of the two",
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "sessions_weight", "-5")],
        FOUR,
        "sessions_weight",
        "is -5, but announce = false announces nothing; remove one of the two",
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "sessions_neighbors", '["10.0.0.1"]')],
        FOUR,
        "sessions_neighbors",
        "names neighbors, but announce = false announces nothing; remove one of the two",
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "standby", '"announce"')],
        FOUR,
        "standby",
        'is "announce", but announce = false announces nothing; remove one of the two',
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "prebind", "true")],
        FOUR,
        "prebind",
        "is true, but announce = false announces nothing; remove one of the two",
    ),
    (
        [(FOUR, "bind", "false"), (FOUR, "prebind", "true")],
        FOUR,
        "prebind",
        "is true, but bind = false binds nothing; remove one of the two",
    ),
    (
        [ANNOUNCED, (WEB, "prebind", "true")],
        WEB,
        "prebind",
        'is true, but standby = "announce" binds the addresses anyway; remove one of the two',
    ),
    (
        [(WEB, "prebind", "true"), (WEB, "handover", '"break-before-make"')],
        WEB,
        "prebind",
        'is true, which binds the addresses on every node, but handover = "break-before-make" is for a service',
    ),
    (
        [(FOUR, "announce", "false"), (FOUR, "bind", "false"), (FOUR, "unlisted_addresses", '["192.0.2.54"]')],
        FOUR,
        "unlisted_addresses",
        "holds what is neither bound (bind = false) nor in an advert, but announce = false announces nothing; remove",
    ),
    *(
        ([(WEB, key, toml) for key, toml in settings.items()], WEB, key, message)
        for settings, key, message in (
            ({"transport": '"multicast"', "source": '"fe80::1"'}, "interface", "is missing; write the interface for"),
            (MULTICAST | {"source": None}, "source", "is missing; write the link-local address of eth0 that adverts"),
            (UNICAST | {"source": None}, "source", "is missing; write the IPv6 address of eth0 that adverts are to"),
            (
                MULTICAST | {"source": '"2001:db8:ff::11"'},
                "source",
                "is 2001:db8:ff::11, but IPv6 multicast adverts come from a link-local address (RFC 9568, section",
            ),
            (MULTICAST | {"source": '"192.0.2.99"'}, "source", "is 192.0.2.99, but the addresses are IPv6; write an"),
            (
                MULTICAST | {"interfaces": '["eth1"]'},
                "interfaces",
                'names interfaces, but transport = "multicast" uses',
            ),
            (
                MULTICAST | {"interface": '"a%b"'},
                "interface",
                "this cannot be the scope of a link-local address; write",
            ),
            (MULTICAST | {"peers": '["fe80::1"]'}, "peers", "holds fe80::1, a source of this node; list the other"),
        )
    ),
    (
        [
            *((WEB, key, toml) for key, toml in MULTICAST.items()),
            ("virtual_router.b", "vrid", "8"),
            ("virtual_router.b", "addresses", '["2001:db8:53::9"]'),
            *(("virtual_router.b", key, toml) for key, toml in (MULTICAST | {"transport": '"unicast"'}).items()),
            ("virtual_router.b", "peers", '["fe80::2"]'),
        ],
        "virtual_router.b",
        "source",
        "is fe80::1%eth0, as in virtual_router.web, whose adverts take another way (transport, interface)",
    ),
    (
        [
            *((WEB, key, toml) for key, toml in MULTICAST.items()),
            (WEB, "authentication", '"a"'),
            ("authentication.a", "active_key", "1"),
            ("authentication.a", "keys", '{ 1 = { file = "/k" } }'),
        ],
        WEB,
        "peers",
        "is missing, but authentication has to know who may send; write the other nodes' addresses",
    ),
    (
        [(FOUR, "version", "2"), (AGENT, "advert_interval", "0.5")],
        AGENT,
        "advert_interval",
        "is 0.5, but VRRPv2 (virtual_router.four.version = 2) knows whole seconds; write 1",
    ),
    (
        [(FOUR, "version", "2"), (FOUR, "advert_interval", "2.6")],
        FOUR,
        "advert_interval",
        "is 2.6, but VRRPv2 (virtual_router.four.version = 2) knows whole seconds; write 3",
    ),
    (
        [
            (FOUR, "version", "2"),
            (FOUR, "authentication", '"a"'),
            ("authentication.a", "active_key", "1"),
            ("authentication.a", "keys", '{ 1 = { file = "/k" } }'),
        ],
        FOUR,
        "version",
        'is 2, but adverts of VRRPv2 cannot be signed; write authentication = "none", or version = 3',
    ),
    (
        [(WEB, "bind", "false"), (WEB, "preferred_lifetime", "0")],
        WEB,
        "preferred_lifetime",
        "is 0, but bind = false binds nothing; remove one of the two",
    ),
    (
        [(BGP, "communities", json.dumps([f"1:{number}" for number in range(975)]))],
        "virtual_router.web.bgp",
        "",
        "all attributes together do not fit into one BGP message; write fewer communities",
    ),
    (
        [(BGP, "takeover", '["med"]')],
        BGP,
        "med",
        'is 50, but takeover = ["med"] makes it from the time of the takeover; remove one of the two',
    ),
    (
        [(BGP, "takeover", '["prepend"]'), (BGP, "prepend", "0")],
        BGP,
        "prepend",
        'is 0, but takeover = ["prepend"] takes prepends away; write 1 to 32',
    ),
    (
        [ANNOUNCED, (WEB, "handover", '"break-before-make"')],
        WEB,
        "standby",
        'is "announce", which binds the addresses on every node, but handover = "break-before-make" is for a service',
    ),
    (
        [(LEAVING, "med", "50")],
        LEAVING,
        "",
        (
            "eBGP neighbors would share the traffic between active (path length 1, MED 50) and leaving (path length 1,"
            " MED 50); write a larger med or more prepends for leaving, or leave out what you wrote for it"
        ),
    ),
    (
        [ANNOUNCED, (STANDBY, "med", "49"), (STANDBY, "prepend", "0")],
        STANDBY,
        "",
        "eBGP neighbors would prefer the wrong one of active (path length 1, MED 50) and standby (path length 1, MED",
    ),
    (
        [ANNOUNCED, (BGP, "med", "4294967194"), (STANDBY, "prepend", "0")],
        STANDBY,
        "",
        "share the traffic between active (path length 1, MED 4294967194) and standby",
    ),
    (
        [ANNOUNCED, (STANDBY, "local_preference", "200")],
        STANDBY,
        "",
        (
            "iBGP neighbors would prefer the wrong one of active (local preference 100, path length 0, MED 50)"
            " and standby (local preference 200, path length 0, MED 4294967194); write a lower local_preference"
        ),
    ),
    (
        [
            *(ANNOUNCED, (STANDBY, "med", "1000"), (STANDBY, "prepend", "0")),
            *((BGP, "med", None), (BGP, "takeover", '["med"]')),
        ],
        STANDBY,
        "",
        (
            "active (path length 1, MED 4294967038) and standby (path length 1, MED 1000); write a larger med or more"
            " prepends for standby, or leave out what you wrote for it, or turn takeover by MED off (takeover = [])"
        ),
    ),
    (
        [ANNOUNCED, (STANDBY, "neighbors", '["fe80::1"]')],
        STANDBY,
        "neighbors",
        "names neighbors, but the other states are announced to all; write neighbors in virtual_router.web.bgp too",
    ),
    (
        [(LEAVING, "communities", json.dumps([f"1:{number}" for number in range(976)]))],
        BGP,
        "",
        "all attributes together do not fit into one BGP message; write fewer communities",
    ),
]


@pytest.mark.parametrize(("changes", "table", "key", "message"), CONTRADICTIONS)
def test_one_contradiction_gives_one_line(
    read: Any, changes: list[tuple[str, str, str | None]], table: str, key: str, message: str
) -> None:
    tables = changed(*changes)
    # The router that stands second in the file is the one that repeats something.
    tables["virtual_router.four"] = tables.pop("virtual_router.four")
    text = written(tables)
    [problem] = problems(read, text)
    assert message in problem.message
    assert problem.key == f"{table}.{key}".rstrip(".")
    assert problem.line == line_of(text, table, key)


WHOLE_TABLES: list[tuple[str, str, str]] = [
    # what is put before a good file without its tables of that name, key, message
    ("agent = 5", "agent", "is 5; write a table [agent]"),
    ("virtual_router = 5", "virtual_router", "has no name; write [virtual_router.NAME] above its keys"),
    ("[virtual_router]\nvrid = 7", "virtual_router", "has no name; write [virtual_router.NAME] above its keys"),
    ("[[virtual_router]]\nvrid = 7", "virtual_router", "has no name; write [virtual_router.NAME] above its keys"),
    ("[check]\ncommand = []", "check", "has no name; write [check.NAME] above its keys"),
    ("[agnet]\npeers = []", "agnet", 'unknown key; did you mean "agent"?'),
    ("[vrrp_instance.web]\nvrid = 7", "vrrp_instance", "unknown key; write a table [virtual_router.NAME]"),
    ("[virtual-router.web]\nvrid = 7", "virtual-router", 'unknown key; did you mean "virtual_router"?'),
    ("[zzz]", "zzz", "unknown key; known here: agent, node, virtual_router, check"),
    ("[virtual_router.web]\nbgp = 1", "virtual_router.web.bgp", "is 1; write a table [virtual_router.web.bgp]"),
    ("[virtual_router.web.v6]\nvrid = 7", "virtual_router.web", '[virtual_router."web.v6"]'),
    ("[virtual_router.web.unicast_peer]", "virtual_router.web.unicast_peer", "unknown key; write, for example, peers"),
    (
        '[virtual_router."Web One"]',
        'virtual_router."Web One"',
        "begins with a-z or 0-9; write [virtual_router.web-one]",
    ),
    ("[virtual_router._a]", "virtual_router._a", "begins with a-z or 0-9; write [virtual_router.a]"),
    ('[virtual_router.""]', 'virtual_router.""', "a name has 1 to 64 characters"),
    ('[virtual_router."A.b"]', 'virtual_router."A.b"', 'write [virtual_router."a.b"]'),
    (f"[check.{'x' * 65}]", f"check.{'x' * 65}", "a name has 1 to 64 characters"),
    ('[check."a\\u0000b"]', 'check."a\\U00000000b"', "begins with a-z or 0-9; write [check.a-b]"),
]


@pytest.mark.parametrize(
    ("table", "key", "elements"),
    [
        (WEB, "addresses", {"5": "holds 5", '"web"': 'holds "web"', '"2001:db8:53::1"': ""}),
        (WEB, "addresses", {'"2001:db8:53::1"': "", '"2001:db8:53::1/128"': "twice", '"2001:db8:53::g"': "::g"}),
        (WEB, "peers", {"5": "holds 5", '"web"': "names are not resolved", '"192.0.2.12"': "the addresses are IPv6"}),
        (
            WEB,
            "unlisted_addresses",
            {'"web"': "not resolved", '"192.0.2.9"': "IPv6", '"2001:db8:53::1"': "in addresses"},
        ),
        (
            FOUR,
            "unlisted_addresses",
            {'"web"': "not resolved", '"192.0.2.9"': "", '"192.0.2.9 label lo:x"': "two forms"},
        ),
        (BGP, "announce", {'"web"': "prefix", '"192.0.2.0/24"': "are IPv6", '"2001:db8:54::/64"': "contains none"}),
        (BGP, "neighbors", {'"web"': "not resolved", '"2001:db8::1"': "", '"192.0.2.1"': "over an IPv4 session"}),
        (WEB, "addresses", {"5": "holds 5", '"2001:db8:53::1"': "", '"2001:db8:ff::12"': "a peer"}),
        (WEB, "unlisted_addresses", {"5": "holds 5", '"2001:db8:53::2"': "", '"2001:db8:ff::12"': "a peer"}),
        (WEB, "sessions_neighbors", {"5": "holds 5", '"2001:db8::1"': "", '"192.0.2.1"': "over an IPv4 session"}),
        (WEB, "peers", {"5": "holds 5", '"2001:db8:ff::12"': "", '"2001:db8:ff::11"': "a source of this node"}),
        (AGENT, "peers", {'"2001:db8:ff::12"': "", '"192.0.2.12"': "", '"192.0.2.11"': "a source of this node"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_wrong_element_of_a_list_is_told_on_its_own_line(
    read: Any, table: str, key: str, elements: dict[str, str]
) -> None:
    listed = "[\n" + "".join(f"{element},\n" for element in elements) + "]"
    text = written({**GOOD, table: {**GOOD.get(table, {}), key: listed}})
    begin = line_of(text, table, key) + 1
    wanted = [(begin + index, told) for index, told in enumerate(elements.values()) if told]
    found = problems(read, text)
    assert [problem.line for problem in found] == [line for line, _ in wanted]
    assert all(told in problem.message for problem, (_, told) in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("table", "key", "elements"),
    [
        ("virtual_router.%s", "addresses", ["5", '"2001:db8:53::%d"', '"2001:db8:53::7"']),
        ("virtual_router.%s", "unlisted_addresses", ["5", '"2001:db8:53::1%d"', '"2001:db8:53::7"']),
        ("virtual_router.%s.bgp", "announce", ["5", '"2001:db8:53::%d/128"', '"2001:db8:53::/64"']),
    ],
)
def test_what_two_routers_hold_is_told_on_its_own_line(read: Any, table: str, key: str, elements: list[str]) -> None:
    tables: Tables = {"agent": GOOD["agent"]}
    for number, name in enumerate("ab", start=1):
        tables[f"virtual_router.{name}"] = {
            "vrid": str(number),
            "addresses": f'["2001:db8:53::{number}", "2001:db8:53::{number + 2}"]',
        }
        listed = "[\n" + "".join(f"{element.replace('%d', str(number + 2))},\n" for element in elements) + "]"
        tables[table % name] = {**tables.get(table % name, {}), key: listed}
    text = written(tables)
    [last] = [one for one in problems(read, text) if "as does" in one.message]
    assert last.line == line_of(text, table % "b", key) + len(elements)


@pytest.mark.parametrize(("head", "key", "message"), WHOLE_TABLES, ids=lambda value: str(value)[:40])
def test_one_mistake_in_a_header_gives_one_line(read: Any, head: str, key: str, message: str) -> None:
    first = next(iter(tomli.loads(head)))
    meant = {"agnet": "agent", "vrrp_instance": "virtual_router", "virtual-router": "virtual_router"}.get(first, first)
    needed = {
        "virtual_router": 'vrid = 7\naddresses = ["2001:db8:53::1"]',
        "check": 'command = ["/usr/bin/true"]',
    }.get(meant, "")
    body = needed if head.startswith("[") and "." in head and "\n" not in head else ""
    if "bgp" in head:
        body = needed
    line = 2 if "bgp" in head else 1
    if "unicast_peer" in head:
        head, body, line = f"[virtual_router.web]\n{needed}\n{head}", "", 4
    kept = "check.web" if head.startswith("[check.") else ""
    rest = {name: content for name, content in GOOD.items() if name.split(".")[0] != meant or name == kept}
    if meant == "agent":
        for router in ("web", "four"):
            rest[f"virtual_router.{router}"] = {
                **GOOD[f"virtual_router.{router}"],
                "peers": '["2001:db8:ff::12"]' if router == "web" else '["192.0.2.12"]',
            }
    found = problems(read, f"{head}\n{body}\n{written(rest)}")
    assert [(problem.key, problem.line) for problem in found] == [(key, line)]
    assert message in found[0].message


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", "", "is empty; write at least one table [virtual_router.NAME]"),
        (b" \n\t\n", "", "is empty; write at least one table"),
        (b"# nothing\n", "", "no virtual router; write at least one table [virtual_router.NAME]"),
        (b"[agent]\nlog_format = 'text'\n", "", "no virtual router; write at least one table"),
        (b"[virtual_router]\n", "", "no virtual router; write at least one table"),
        (b"a = 1\n\nb = '\xff'\n", ":3", "byte 0xff is not UTF-8; save the file with the encoding UTF-8"),
        (b"[agent]\npeers = [\n", ":3:1", "not TOML: "),
        (b"[agent]\npeers = []\npeers = []\n", ":3:11", "not TOML: Cannot overwrite a value"),
        (b"[agent]\nx = '\x00'\n", ":2:6", "not TOML: Found invalid character '\\x00'"),
        (b"virtual_router web\n", ":1:16", "not TOML: "),
        (b"a = " + b"[" * 5000, "", "lists or tables are nested too deeply"),
        (b"[agent]\nsources = " + b"[" * 400 + b"]" * 400, "", "nested too deeply; write at most 16"),
        (b".".join([b"a"] * 20) + b" = 1", "", "nested too deeply; write at most 16"),
        (b"\n[" + b" . ".join([b"a", b'"b"', b"'c.d'"] * 300) + b"]", ":2", "nested too deeply; write at most 16"),
        (b"a = " + b"1" * 5000, "", "a number has too many digits"),
        (b"#" * (SIZE_LIMIT + 1), "", f"is larger than {SIZE_LIMIT} bytes; this is not a configuration of exavrrp"),
        (b"\x7fELF\x02\x01\x01", ":1:1", "not TOML: "),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_no_configuration_gives_one_line(read: Any, content: bytes, place: str, message: str) -> None:
    [problem] = problems(read, content)
    assert str(problem).startswith(f"{problem.file}{place}: ")
    assert message in problem.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.toml", "cannot be read: No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("file/exavrrp.toml", "cannot be read: Not a directory"),
        ("nul\0", "cannot be read: embedded null byte"),
    ],
)
def test_a_path_that_cannot_be_read_gives_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        load(f"{tmp_path}/{name}")
    [problem] = caught.value.problems
    assert message in problem.message


def test_nesting_is_read_as_deep_as_our_tables_go(read: Any) -> None:
    [_, problem] = problems(read, f"[agent]\nsources = {'[' * 14}{']' * 14}")
    assert problem.message.startswith("holds [[[[[[")


def test_of_a_file_full_of_mistakes_a_limited_number_is_reported(read: Any) -> None:
    """The time must not grow with the square of their number."""
    found = problems(read, "[agent]\n" + "".join(f"nothing{number} = 1\n" for number in range(60000)))
    assert found[0].message == f"has more than {MOST_PROBLEMS} mistakes; this is not a configuration of exavrrp"
    assert len(found) == MOST_PROBLEMS + 2
    assert [one.line for one in found[1:]] == list(range(2, MOST_PROBLEMS + 3))


@pytest.mark.parametrize(
    "text",
    [
        f"[agent]\nsources = {json.dumps([f'10.{number >> 8}.{number & 255}.1' for number in range(1, 9999)])}",
        f"[virtual_router.{'a' * 99999}.{'b' * 99999}]\nvrid = 1",
        f"[virtual_router.a.{'b' * 99999}.c]\nvrid = 1",
        f"[check.'{chr(7) * 99999}']\n{'x' * 99999} = {'[' * 9}'{'y' * 99999}'{']' * 9}",
        f"[check.a]\nhttp = 'http://{'x' * 99999}/'",
        f"[agent]\nstate_directory = '/{'x' * 99999}'",
    ],
    ids=lambda text: str(text)[:30],
)
def test_no_message_is_longer_than_a_few_lines(read: Any, text: str) -> None:
    assert max(len(str(problem)) for problem in problems(read, text)) < 1500


def test_among_very_many_names_none_is_guessed(read: Any) -> None:
    checks = "".join(f"[check.c{number}]\nprocess = 'a'\n" for number in range(MOST_KNOWN + 1))
    [problem] = problems(read, written(changed((WEB, "checks", '["c00"]'))) + checks)
    assert problem.message == 'holds "c00"; write a table [check.c00] for it'


def test_all_mistakes_come_at_once_in_the_order_of_the_file(read: Any) -> None:
    text = """[agent]
sources = ["2001:db8:ff::11", "fe80::1%eth0", 5]
peer = ["2001:db8:ff::12"]
advert_interval = 0.015
log_format = "xml"
[agnt]
[virtual_router.web]
vrid = 300
priority = "high"
addresses = ["2001:db8:53::1/64",
   "ff02::1", "2001:db8:53::7", 'nonsense']
preempt = "yes"
preempt_delay = nan
virtual_router_id = 5
weight = 5
checks = ["wbe"]
bgp = { med = -1, communities = ["65536:1", "no-exprt"],
  next_hop = "192.0.2.1" }
[virtual_router."Web One"]
addresses = "2001:db8:53::9"
[check.web]
command = "/usr/bin/curl -fsS http://[::1]/"
interval = true
weight = 300
"""
    found = [(problem.line, problem.key) for problem in problems(read, text)]
    assert found == [
        (2, "agent.sources"),
        (2, "agent.sources"),
        (3, "agent.peer"),
        (4, "agent.advert_interval"),
        (5, "agent.log_format"),
        (6, "agnt"),
        (8, "virtual_router.web.vrid"),
        (9, "virtual_router.web.priority"),
        (10, "virtual_router.web.addresses"),
        (11, "virtual_router.web.addresses"),
        (11, "virtual_router.web.addresses"),
        (12, "virtual_router.web.preempt"),
        (13, "virtual_router.web.preempt_delay"),
        (14, "virtual_router.web.virtual_router_id"),
        (15, "virtual_router.web.weight"),
        (16, "virtual_router.web.checks"),
        (17, "virtual_router.web.bgp.med"),
        (17, "virtual_router.web.bgp.communities"),
        (17, "virtual_router.web.bgp.communities"),
        (18, "virtual_router.web.bgp.next_hop"),
        (19, 'virtual_router."Web One"'),
        (19, 'virtual_router."Web One".vrid'),
        (20, 'virtual_router."Web One".addresses'),
        (22, "check.web.command"),
        (23, "check.web.interval"),
        (24, "check.web.weight"),
    ]


def test_every_mistake_of_the_table_comes_together_with_one_elsewhere(read: Any) -> None:
    for table, key, toml, message in MISTAKES:
        if table == CHECK:
            continue
        found = problems(read, written(changed((table, key, toml), (CHECK, "weight", "999"))))
        assert [problem.key for problem in found if problem.key == "check.web.weight"], (key, toml)
        assert any(message in problem.message for problem in found), (key, toml)


# What a good file means


def test_defaults_are_those_of_the_documentation(read: Any) -> None:
    text = '[agent]\npeers = ["192.0.2.12"]\n[virtual_router.web]\nvrid = 7\naddresses = ["192.0.2.53/32"]\n'
    configuration = read(text)
    [router] = configuration.routers
    assert configuration.warnings == ()
    assert configuration.checks == ()
    agent = configuration.agent
    assert (agent.sources, agent.interfaces, agent.max_hops, agent.learned_interval_max) == ((), None, None, None)
    assert (agent.advert_interval, agent.log_format, agent.state_directory) == (1.0, "text", "/run/exavrrp")
    assert (agent.persistent_directory, agent.control_group) == ("/var/lib/exavrrp", None)
    assert agent.ipv4_checksum is Ipv4Checksum.PSEUDO_HEADER
    assert (agent.scheduling, agent.lock_memory) == ("normal", False)
    assert (agent.beacon, agent.beacon_port, agent.startup_delay) == (None, 20112, 0.0)
    assert (router.name, router.vrid, router.priority, router.family) == ("web", 7, 100, 4)
    assert router.addresses == (IPv4Address("192.0.2.53"),)
    assert router.peers == (IPv4Address("192.0.2.12"),)
    assert router.source is None
    assert (router.interfaces, router.preempt, router.preempt_delay) == (None, True, 0.0)
    assert (router.advert_interval, router.learned_interval_max) == (1.0, 10.0)
    assert (router.handover, router.handover_hold, router.linger) == (Handover.MAKE_BEFORE_BREAK, 1.0, 2.0)
    assert router.checks == ()
    assert router.prebind is False
    assert (router.standby, router.route_policy, router.stale_for) == (
        False,
        RoutePolicy.derived(Attributes(), frozenset({Takeover.MED}), priority=100),
        180.0,
    )


def test_a_router_inherits_keys_of_the_agent(read: Any) -> None:
    text = written(
        changed(
            (AGENT, "interfaces", '["eth0", "eth1"]'),
            (AGENT, "advert_interval", "0.1"),
            (AGENT, "learned_interval_max", "5"),
            (FOUR, "interfaces", '["eth2"]'),
            (FOUR, "advert_interval", "2"),
            (FOUR, "learned_interval_max", "20"),
            (FOUR, "source", '"192.0.2.111"'),
            (FOUR, "peers", '["192.0.2.112", "192.0.2.113"]'),
        )
    )
    web, four = read(text).routers
    assert (web.source, web.peers) == (IPv6Address("2001:db8:ff::11"), (IPv6Address("2001:db8:ff::12"),))
    assert (web.interfaces, web.advert_interval, web.learned_interval_max) == (("eth0", "eth1"), 0.1, 5.0)
    assert (four.source, four.peers) == (
        IPv4Address("192.0.2.111"),
        (IPv4Address("192.0.2.112"), IPv4Address("192.0.2.113")),
    )
    assert (four.interfaces, four.advert_interval, four.learned_interval_max) == (("eth2",), 2.0, 20.0)


def test_the_learned_interval_follows_the_interval_up_to_the_most_an_advert_can_carry(read: Any) -> None:
    web, four = read(written(changed((WEB, "advert_interval", "0.07"), (FOUR, "advert_interval", "5")))).routers
    assert (web.learned_interval_max, four.learned_interval_max) == (0.7, 40.95)


def test_attributes_are_spelt_as_exabgp_reads_them(read: Any) -> None:
    text = written(
        changed(
            (BGP, "communities", '["065010:07", "no-export", "graceful-shutdown"]'),
            (BGP, "large_communities", '["4294967295:01:2"]'),
            (BGP, "as_path", "[65010, 65010, 4294967295]"),
            (BGP, "local_preference", "300"),
            (BGP, "next_hop", '"2001:DB8:0::1"'),
            (BGP, "neighbors", '["fe80::1", "192.0.2.254"]'),
        )
    )
    assert read(text).routers[0].route_policy.active == Attributes(
        med=50,
        local_preference=300,
        communities=("65010:7", "no-export", "65535:0"),
        large_communities=("4294967295:1:2",),
        as_path=(65010, 65010, 4294967295),
        next_hop="2001:db8::1",
        neighbors=(Session(IPv6Address("fe80::1")), Session(IPv4Address("192.0.2.254"))),
    )


def policy(read: Any, *changes: tuple[str, str, str | None]) -> RoutePolicy:
    found = read(written(changed(*changes))).routers[0].route_policy
    assert isinstance(found, RoutePolicy)
    return found


def test_a_router_waits_for_as_many_intervals_as_it_or_the_agent_says(read: Any) -> None:
    text = written(changed((AGENT, "down_count", "2"), (FOUR, "down_count", "4")))
    assert [one.election().down_count for one in read(text).routers] == [2, 4]
    assert [one.election().down_count for one in read(written(changed())).routers] == [3, 3]


def test_levels_are_derived_from_the_active_one(read: Any) -> None:
    found = policy(read, ANNOUNCED, (BGP, "prepend", "1"), (BGP, "communities", '["1:2"]'))
    assert found == RoutePolicy.derived(Attributes(med=50, communities=("1:2",), prepend=1), priority=100)
    assert (found.standby.prepend, found.leaving.prepend) == (2, 3)
    assert (found.standby.med, found.leaving.med) == (LARGEST - 1 - 100, LARGEST)
    assert found.leaving.communities == ("1:2", GRACEFUL_SHUTDOWN)


def test_each_level_may_have_its_own_attributes(read: Any) -> None:
    found = policy(
        read,
        ANNOUNCED,
        (BGP, "as_path", "[65010, 64999]"),
        (BGP, "neighbors", '["fe80::1 from fe80::5", "fe80::2"]'),
        (STANDBY, "med", "100"),
        (STANDBY, "prepend", "2"),
        (STANDBY, "neighbors", '["fe80::2"]'),
        (STANDBY, "next_hop", '"2001:db8::99"'),
        (LEAVING, "as_path", "[65010, 65010, 65010, 65010, 65010]"),
        (LEAVING, "communities", "[]"),
        (LEAVING, "large_communities", '["1:2:3"]'),
        (LEAVING, "local_preference", "0"),
    )
    one, two = Session(IPv6Address("fe80::1"), IPv6Address("fe80::5")), Session(IPv6Address("fe80::2"))
    assert found.active == Attributes(med=50, as_path=(65010, 64999), neighbors=(one, two))
    assert found.standby == Attributes(
        med=100, local_preference=1, as_path=(65010, 64999), prepend=2, neighbors=(two,), next_hop="2001:db8::99"
    )
    assert found.leaving == Attributes(
        med=LARGEST, local_preference=0, large_communities=("1:2:3",), as_path=(65010,) * 5, neighbors=(one, two)
    )


def test_next_hops_of_single_neighbors(read: Any) -> None:
    """The named neighbors get the route and count; all states have the same next hops."""
    table = '{ "192.0.2.1 from 192.0.2.2" = "2001:db8:1::2", "192.0.2.5" = "2001:db8:2::2" }'
    text = written(changed((BGP, "next_hop", table)))
    router = read(text).routers[0]
    one, two = Session(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")), Session(IPv4Address("192.0.2.5"))
    for level in (router.route_policy.active, router.route_policy.standby, router.route_policy.leaving):
        assert level.neighbors == (one, two)
        assert level.next_hops == ((one, "2001:db8:1::2"), (two, "2001:db8:2::2"))
    assert router.sessions() == Requirement(1, frozenset({one, two}), 6, carried=6)
    other = Session(IPv6Address("fe80::1"))
    more = (BGP, "neighbors", '["192.0.2.1 from 192.0.2.2", "fe80::1"]')
    found = policy(read, (BGP, "next_hop", '{ "192.0.2.1 from 192.0.2.2" = "2001:db8:1::2" }'), more).active
    assert [(part.neighbors, part.next_hop) for part in found.parts()] == [
        ((one,), "2001:db8:1::2"),
        ((other,), "self"),
    ]


def test_a_link_local_neighbor_reaches_a_link_local_next_hop(read: Any) -> None:
    found = policy(
        read, (BGP, "next_hop", '{ "fe80::1 from fe80::5" = "fe80::5", "fe80::1 from fe80::6" = "fe80::6" }')
    )
    ends = [Session(IPv6Address("fe80::1"), IPv6Address(f"fe80::{number}")) for number in (5, 6)]
    assert found.active.next_hops == tuple((one, str(one.local)) for one in ends)


NEXT_HOPS = (BGP, "next_hop", '{ "192.0.2.1" = "2001:db8:1::2" }')
ENDED_OTHERWISE = "over an IPv4 session ExaBGP has no IPv6 address of its own"


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (
            [NEXT_HOPS, (BGP, "neighbors", '["fe80::1"]')],
            'next_hop."192.0.2.1"',
            "is not among neighbors; add it there",
        ),
        ([NEXT_HOPS, (LEAVING, "next_hop", '"2001:db8::9"')], "next_hop", "next_hop in virtual_router.web.bgp names"),
        ([NEXT_HOPS, (LEAVING, "neighbors", '["192.0.2.1"]')], "leaving.neighbors", "for all states; remove it"),
        (
            [NEXT_HOPS, (WEB, "min_sessions", "2")],
            "min_sessions",
            "is 2, but next_hop names 1 neighbors, the only ones",
        ),
        ([(BGP, "next_hop", '{ "192.0.2.254" = "self" }')], 'next_hop."192.0.2.254"', ENDED_OTHERWISE),
        (
            [(BGP, "next_hop", '{ "192.0.2.9" = "192.0.2.1" }')],
            '"192.0.2.9"',
            "but the addresses are IPv6; write one of",
        ),
        ([(BGP, "next_hop", '{ "fe80::1" = "2001:db8:53::1" }')], '"fe80::1"', "a route cannot lead to itself"),
        ([(BGP, "next_hop", '{ "2001:db8::9" = "fe80::5" }')], '"2001:db8::9"', "this is a link-local address"),
        ([(BGP, "next_hop", '{ "fe80::1" = "ff02::1" }')], '"fe80::1"', "this is a multicast address"),
        (
            [(BGP, "next_hop", '{ "2001:db8::9" = "2001:db8::9" }')],
            '"2001:db8::9"',
            "the address of this very neighbor",
        ),
        ([(BGP, "next_hop", '{ "tor1" = "2001:db8::9" }')], "next_hop.tor1", 'write an address such as "2001:db8::1"'),
        (
            [(BGP, "next_hop", '{ "fe80::1" = "2001:db8::9", "fe80:0::1" = "self" }')],
            'next_hop."fe80:0::1"',
            "is there twice; remove one",
        ),
        ([(WEB, "sessions_neighbors", '["192.0.2.9"]')], "sessions_neighbors", ENDED_OTHERWISE),
    ],
)
def test_invalid_next_hops(read: Any, changes: list[tuple[str, str, str]], key: str, message: str) -> None:
    found = problems(read, written(changed(*changes)))
    assert [(one.key.endswith(key), message in one.message) for one in found] == [(True, True)], found


def test_neighbors_that_do_not_get_a_route(read: Any) -> None:
    """What is named elsewhere and not told, and what the other end has to have agreed upon."""
    counted = (WEB, "sessions_neighbors", '["192.0.2.1", "192.0.2.9"]')
    (warning,) = read(written(changed(NEXT_HOPS, counted))).warnings
    assert "holds 192.0.2.9, over which nothing is announced" in warning.message
    (warning,) = read(written(changed(("virtual_router.four.bgp", "next_hop", '"2001:db8::9"')))).warnings
    assert "RFC 8950" in warning.message
    assert warning.key.endswith("bgp.next_hop")


@pytest.mark.parametrize("as_path", [None, "[65010]"])
def test_takeover_by_prepend_needs_no_other_key(read: Any, as_path: str | None) -> None:
    found = policy(read, (BGP, "as_path", as_path), (BGP, "takeover", '["prepend"]'), (BGP, "stale_for", "90"))
    assert (found.active.prepend, found.takeover) == (3, frozenset({Takeover.PREPEND}))
    assert (found.standby.prepend, found.leaving.prepend) == (4, 5)
    assert {one.length(internal=False) for one in (found.active, found.standby, found.leaving)} == {4, 5, 6}
    assert read(written(changed((BGP, "stale_for", "90")))).routers[0].stale_for == 90


def test_a_backup_that_announces_has_a_longer_path(read: Any) -> None:
    found, silent = policy(read, ANNOUNCED), policy(read)
    assert (found.active.prepend, found.standby.prepend, found.leaving.prepend) == (0, 1, 2)
    assert (silent.standby.prepend, silent.leaving.prepend) == (0, 0), "ExaBGP makes the path"


@pytest.mark.parametrize(
    ("med", "takeover", "found"),
    [
        (None, None, ["med"]),
        ("50", None, []),
        (None, "[]", []),
        ("50", "[]", []),
        (None, '["med"]', ["med"]),
        (None, '["prepend"]', ["prepend"]),
        ("50", '["local-preference"]', ["local-preference"]),
    ],
)
def test_takeover_is_by_med_unless_a_med_or_something_else_is_written(
    read: Any, med: str | None, takeover: str | None, found: list[str]
) -> None:
    configuration = read(written(changed((BGP, "med", med), (BGP, "takeover", takeover))))
    assert configuration.routers[0].route_policy.takeover == set(found)
    assert tomli.loads(effective(configuration))["virtual_router"]["web"]["bgp"]["takeover"] == found


def test_a_med_that_is_wrong_is_one_mistake(read: Any) -> None:
    for takeover in (None, '["med"]'):
        [problem] = problems(read, written(changed((BGP, "med", '"low"'), (BGP, "takeover", takeover))))
        assert problem.key == f"{BGP}.med"


def test_places_are_by_address_and_the_same_on_all_nodes(read: Any) -> None:
    nodes = [f"2001:db8:ff::{number}" for number in ("9", "10", "a")]
    found = {}
    for node in nodes:
        peers = ["192.0.2.12", *(one for one in nodes if one != node)]
        text = written(changed((AGENT, "sources", f'["{node}", "192.0.2.11"]'), (AGENT, "peers", json.dumps(peers))))
        found[node] = read(text).routers[0].place
    assert found == dict(zip(nodes, (0, 2, 1), strict=True))


def test_both_takeovers(read: Any) -> None:
    changes = [(BGP, "takeover", '["med", "prepend"]'), (BGP, "prepend", "2")]
    found = policy(read, (BGP, "med", None), *changes)
    assert found.takeover == {Takeover.MED, Takeover.PREPEND}
    assert (found.active.med, found.active.prepend) == (None, 2)


def test_the_core_gets_its_settings(read: Any) -> None:
    text = written(changed((WEB, "priority", "200"), (WEB, "preempt_delay", "3"), (WEB, "advert_interval", "0.2")))
    configuration = read(text)
    web = configuration.routers[0]
    election = web.election()
    assert (election.vrid, election.priority, election.interval, election.preempt_delay) == (7, 200, 0.2, 3.0)
    assert (election.source, election.addresses) == (web.source, web.addresses)
    assert (election.preempt, election.learned_maximum) == (True, 2.0)
    handover_settings = replace(
        web, handover=Handover.BREAK_BEFORE_MAKE, handover_hold=4.0, linger=5.0
    ).handover_settings()
    assert (handover_settings.handover, handover_settings.hold, handover_settings.linger) == (
        Handover.BREAK_BEFORE_MAKE,
        4.0,
        5.0,
    )
    assert configuration.weights(web) == {"web": -10}


def test_a_byte_order_mark_and_either_line_end_are_read(read: Any) -> None:
    text = written(GOOD)
    assert read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == read(text)


def test_lines_are_right_after_either_line_end(read: Any) -> None:
    [problem] = problems(read, written(changed((CHECK, "weight", "999"))).replace("\n", "\r\n"))
    assert problem.line == line_of(written(changed((CHECK, "weight", "999"))), CHECK, "weight")


# What the host has


def lo(*texts: str) -> Any:
    return lambda: [ip_address(text) for text in ("127.0.0.1", "::1", "fe80::1", *texts)]


def test_a_missing_source_is_the_only_global_address_on_lo_that_is_not_virtual(read: Any) -> None:
    text = written(changed((AGENT, "sources", None)))
    local = lo("2001:db8:ff::11", "192.0.2.11", "2001:db8:53::1", "192.0.2.53")
    web, four = read(text, local_addresses=local).routers
    assert (web.source, four.source) == (IPv6Address("2001:db8:ff::11"), IPv4Address("192.0.2.11"))
    assert [router.source for router in read(text).routers] == [None, None]


def test_a_written_source_is_not_looked_for(read: Any) -> None:
    web, four = read(written(GOOD), local_addresses=lo("2001:db8:ff::99", "2001:db8:ff::98")).routers
    assert (web.source, four.source) == (IPv6Address("2001:db8:ff::11"), IPv4Address("192.0.2.11"))


def test_several_sources_on_lo_are_named(read: Any) -> None:
    text = written(changed((AGENT, "sources", '["192.0.2.11"]')))
    [problem] = problems(read, text, local_addresses=lo("2001:db8:ff::12:2", "2001:db8:ff::11"))
    assert problem.key == "agent.sources"
    assert "lo has several (2001:db8:ff::11, 2001:db8:ff:0:0:0:12:2); write one of them" in problem.message.replace(
        "2001:db8:ff::12:2", "2001:db8:ff:0:0:0:12:2"
    )


def test_no_source_on_lo_is_an_error_for_each_family(read: Any) -> None:
    found = problems(read, written(changed((AGENT, "sources", None))), local_addresses=lo("2001:db8:53::1"))
    assert [problem.message.partition(",")[0] for problem in found] == ["has no IPv4 address", "has no IPv6 address"]
    assert all("add one to lo, or write an address of this node" in problem.message for problem in found)


def test_a_source_found_on_lo_that_is_a_peer_is_an_error(read: Any) -> None:
    text = written(changed((AGENT, "sources", None)))
    [problem] = problems(read, text, local_addresses=lo("2001:db8:ff::12", "192.0.2.11"))
    assert (problem.key, "holds 2001:db8:ff::12, a source of this node" in problem.message) == ("agent.peers", True)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ([(AGENT, "sources", '["192.0.2.11", "fe80::1"]')], "agent.sources"),
        ([(AGENT, "sources", None), (WEB, "addresses", '["2001:db8:53::g"]')], "virtual_router.web.addresses"),
        ([(AGENT, "sources", '["192.0.2.11"]'), (WEB, "source", '"fe80::1"')], "virtual_router.web.source"),
        (
            [(AGENT, "sources", None), (WEB, "addresses", '["2001:db8:53::/64", "2001:db8:53::2"]')],
            "virtual_router.web.addresses",
        ),
        ([(AGENT, "sources", None), (AGENT, "source", '"2001:db8::1"')], "agent.source"),
    ],
)
def test_a_wrong_source_or_address_is_not_followed_by_a_complaint_about_lo(
    read: Any, changes: list[tuple[str, str, str | None]], key: str
) -> None:
    local = lo("2001:db8:53::1", "2001:db8:ff::11", "192.0.2.11")
    found = problems(read, written(changed(*changes)), local_addresses=local)
    assert [problem.key for problem in found] == [key]


def test_a_program_that_cannot_be_run_is_an_error_where_it_is_looked_at(read: Any) -> None:
    asked: list[str] = []

    def preflight_error(probe: Probe) -> tuple[str, str] | None:
        assert isinstance(probe, Program)
        asked.append(probe.command[0])
        return ("command", "is not there; install it") if "absent" in probe.command[0] else None

    read(written(GOOD), preflight_error=preflight_error)
    text = written(changed((CHECK, "command", '["/usr/bin/absent", "-x"]')))
    assert read(text).checks[0].probe.command == ("/usr/bin/absent", "-x")
    [problem] = problems(read, text, preflight_error=preflight_error)
    assert problem.message == "is not there; install it"
    assert problem.line == line_of(text, CHECK, "command")
    assert asked == ["/usr/bin/true", "/usr/bin/absent"]


def test_a_program_of_notify_is_looked_at_as_well(read: Any) -> None:
    keys = ("notify", "notify_active", "notify_backup", "notify_fault", "notify_stop")
    text = written(changed(*((WEB, key, '["/usr/bin/absent"]') for key in keys)))

    def preflight_error(probe: Probe) -> tuple[str, str] | None:
        absent = isinstance(probe, Program) and "absent" in probe.command[0]
        return ("command", 'begins with "/usr/bin/absent", which does not exist') if absent else None

    found = problems(read, text, preflight_error=preflight_error)
    assert [problem.key for problem in found] == [f"{WEB}.{key}" for key in keys]
    assert {problem.message for problem in found} == {'begins with "/usr/bin/absent", which does not exist'}


def test_errors_of_the_host_are_passed_on(read: Any) -> None:
    def broken() -> Collection[Address]:
        raise PermissionError

    with pytest.raises(PermissionError):
        read(written(changed((AGENT, "sources", None))), local_addresses=broken)


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (
            [(CHECK, "command", '["/usr/bin/curl", "-fsS", "http://[::1]/", "|", "grep", "ok"]')],
            "check.web.command",
            'holds "|", which the program gets as an argument; write shell = "…" if /bin/sh is meant to understand it',
        ),
        ([(CHECK, "command", '["/usr/bin/test", "2>&1"]')], "check.web.command", 'holds "2>&1", which the program'),
        ([(CHECK, "command", '["/usr/bin/test", ">/dev/null"]')], "check.web.command", 'holds ">/dev/null", which'),
        ([(WEB, "checks", None)], "check.web", 'is used by no virtual router; write checks = ["web"] in one'),
        ([(WEB, "advert_interval", "0.04")], "virtual_router.web.advert_interval", "is 0.04: a host that is busy for"),
        ([(AGENT, "advert_interval", "0.01")], "agent.advert_interval", "is 0.01: a host that is busy for 0.03 s is"),
        ([(CHECK, "weight", "155")], "virtual_router.web.checks", "can raise the priority to 255; it ends at 254"),
        ([(CHECK, "weight", "-100")], "virtual_router.web.checks", "can lower the priority to 0; it ends at 1"),
        (
            [(CHECK, "command", None), (CHECK, "tcp", '"[2001:db8:53::1]:80"')],
            "check.web.tcp",
            "asks 2001:db8:53::1, a virtual address, where the Active answers; write an address of this node",
        ),
        (
            [(CHECK, "command", None), (CHECK, "http", '"http://192.0.2.53/"')],
            "check.web.http",
            "asks 192.0.2.53, a virtual address, where the Active answers; write an address of this node",
        ),
        (
            [(CHECK, "weight", "-155"), (CHECK, "reverse", "true")],
            "virtual_router.web.checks",
            "can raise the priority to 255; it ends at 254",
        ),
        ([(WEB, "priority", "255")], "virtual_router.web.checks", "only weight = 0 has an effect with priority 255"),
        (
            [("virtual_router.four.bgp", "neighbors", '["fe80::1"]')],
            "virtual_router.four.bgp.neighbors",
            "its router-id",
        ),
        (
            [(WEB, "unlisted_addresses", '["2001:db8:54::1"]'), (BGP, "announce", '["2001:db8:53::/64"]')],
            f"{BGP}.announce",
            'covers every address but "2001:db8:54::1/128", so nobody learns the way there; write that into it',
        ),
        ([(STANDBY, "med", "70")], STANDBY, 'has no effect without standby = "announce" in virtual_router.web; write'),
        ([(FOUR, "version", "2")], "virtual_router.four.version", "is 2, which has whole seconds, and which RFC 9568"),
        (
            [(FOUR, "version", "2"), (FOUR, "plain_password", '"x"')],
            "virtual_router.four.version",
            "is 2, which sends a password that everybody on the way can read, and which RFC 9568 has replaced; write 3",
        ),
        (
            [(FOUR, "announce", "false"), (FOUR, "bind", "false")],
            "virtual_router.four.announce",
            "is false, as is bind, and nobody is told who is Active; write notify (or notify_fifo, notify_socket, …),",
        ),
        (
            [(BGP, "stale_for", "90")],
            f"{BGP}.stale_for",
            'has no effect without "prepend" or "local-preference" in takeover',
        ),
        (
            [ANNOUNCED, (STANDBY, "local_preference", "50"), (STANDBY, "med", "50"), (STANDBY, "prepend", "0")],
            STANDBY,
            "eBGP neighbors would share the traffic between active (path length 1, MED 50) and standby",
        ),
    ],
)
def test_a_probable_mistake_is_a_warning(
    read: Any, changes: list[tuple[str, str, str | None]], key: str, message: str
) -> None:
    [warning] = read(written(changed(*changes))).warnings
    assert warning.key == key
    assert message in warning.message
    assert warning.line is not None


GROUPED = [(WEB, "group", '"g"'), (FOUR, "group", '"g"'), (FOUR, "priority", None)]


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ([(FOUR, "group", None)], "web.group", 'is "g", as in no other virtual router; write it in those that are to'),
        ([(WEB, "group", '"h"'), (FOUR, "group", None)], "web.group", 'is "h", as in no other virtual router'),
        (
            [(FOUR, "priority", "90")],
            "four.priority",
            'is 90, but 100 in virtual_router.web of the same group "g": the least of them counts for all; write the',
        ),
        ([(FOUR, "advert_interval", "0.5")], "four.advert_interval", "is 0.5, but 1.0 in virtual_router.web"),
        ([(FOUR, "preempt", "false")], "four.preempt", "is false, but true in virtual_router.web"),
        ([(FOUR, "preempt_delay", "5")], "four.preempt_delay", "is 5.0, but 0.0 in virtual_router.web"),
    ],
)
def test_a_probable_mistake_in_a_group_is_a_warning(
    read: Any, changes: list[tuple[str, str, str | None]], key: str, message: str
) -> None:
    assert read(written(changed(*GROUPED))).warnings == ()
    assert [router.group for router in read(written(changed(*GROUPED))).routers] == ["g", "g"]
    [warning] = read(written(changed(*GROUPED, *changes))).warnings
    assert warning.key == f"virtual_router.{key}"
    assert message in warning.message
    assert warning.line is not None


def test_a_sync_group_of_keepalived_leads_to_group(read: Any) -> None:
    [problem] = problems(read, written(GOOD) + '[vrrp_sync_group.web]\ngroup = ["a", "b"]\n')
    assert 'unknown key; write, for example, group = "web" in [virtual_router.NAME]; in each' in problem.message


@pytest.mark.parametrize("key", ["sources", "peers"])
def test_addresses_of_a_family_that_no_router_has_are_a_warning(read: Any, key: str) -> None:
    tables = changed((AGENT, "sources" if key == "peers" else "peers", '["2001:db8:ff::99"]'))
    del tables["virtual_router.four"]
    [warning] = read(written(tables)).warnings
    assert (warning.key, warning.message) == (f"agent.{key}", "has IPv4 addresses, but no virtual router is IPv4")


LINK = [(FOUR, "bind", '"eth0"'), (FOUR, "addresses", '["192.0.2.53/24", "192.0.2.54"]')]
"""An IPv4 router whose addresses are on a link."""


def test_addresses_on_a_link_have_the_length_of_its_prefix(read: Any) -> None:
    tables = changed(*LINK, (FOUR, "unlisted_addresses", '["192.0.2.55/25"]'))
    router = next(one for one in read(written(tables)).routers if one.name == "four")
    assert (router.bound_to, router.bind, router.on_link) == ("eth0", "eth0", True)
    assert [(str(one.address), one.length, one.listed) for one in router.virtual_addresses] == [
        ("192.0.2.53", 24, True),
        ("192.0.2.54", None, True),
        ("192.0.2.55", 25, False),
    ]
    assert router.handover is Handover.BREAK_BEFORE_MAKE
    other = next(one for one in read(written(GOOD)).routers if one.name == "four")
    assert (other.bound_to, other.bind, other.on_link) == ("lo", True, False)


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ((FOUR, "handover", '"make-before-break"'), "handover", 'is "make-before-break", with which two nodes have'),
        ((FOUR, "standby", '"announce"'), "standby", "but on eth0 all would answer ARP and neighbor solicitations"),
        (
            (FOUR, "prebind", "true"),
            "prebind",
            "but on eth0 all would answer ARP and neighbor solicitations; write false",
        ),
        ((FOUR, "addresses", '["192.0.2.53/33"]'), "addresses", "write the length of the link's prefix, 1 to 32"),
        ((FOUR, "addresses", '["192.0.2.53/24", "192.0.2.53"]'), "addresses", "holds 192.0.2.53 in two forms"),
        (
            (FOUR, "preferred_lifetime", "0"),
            "preferred_lifetime",
            "which on eth0 are, as any other one there, a source",
        ),
    ],
)
def test_a_mistake_about_addresses_on_a_link(read: Any, change: Any, key: str, said: str) -> None:
    [problem] = problems(read, written(changed(*LINK, change)))
    assert problem.key == f"virtual_router.four.{key}"
    assert said in problem.message


def test_what_each_address_is_to_be_on_its_link(read: Any) -> None:
    four = '["192.0.2.53/24 label eth0:web scope link", "192.0.2.54/24  scope global label eth0", "192.0.2.55"]'
    six = '["2001:db8:53::1", "2001:db8:53::2 preferred_lft forever"]'
    changes = [*LINK, (FOUR, "addresses", four), (FOUR, "unlisted_addresses", "[]"), (WEB, "addresses", six)]
    configuration = read(written(changed(*changes)))
    web, lan = configuration.routers
    found = [(one.length, one.label, one.scope) for one in lan.virtual_addresses]
    assert found == [(24, "eth0:web", "link"), (24, None, None), (None, None, None)]
    assert [one.preferred for one in web.virtual_addresses] == [False, True]
    tables = tomli.loads(effective(configuration))["virtual_router"]
    assert tables["four"]["addresses"] == ["192.0.2.53/24 label eth0:web scope link", "192.0.2.54/24", "192.0.2.55"]
    assert tables["web"]["addresses"] == ["2001:db8:53::1", "2001:db8:53::2 preferred_lft forever"]
    assert tables["web"]["preferred_lifetime"] == 0
    assert read(effective(configuration)) == configuration


@pytest.mark.parametrize(
    ("table", "changes", "words", "said"),
    [
        (FOUR, LINK, "label", "write behind the address any of label NAME, scope global|site|link|host and preferred"),
        (FOUR, LINK, "scope link scope host", "each once"),
        (FOUR, LINK, "dev eth0", "write behind the address any of"),
        (FOUR, LINK, "label web", 'is the name of the interface, or begins with "eth0:"'),
        (FOUR, LINK, "label eth0:0123456789a", "write a label of at most 15 printable ASCII characters"),
        (FOUR, LINK, "label eth0:ä", "write a label of at most 15 printable ASCII characters"),
        (FOUR, LINK, "label eth0:\0x", "write a label of at most 15 printable ASCII characters"),
        (FOUR, LINK, "scope nowhere", "write as scope one of global, site, link, host"),
        (FOUR, LINK, "preferred_lft 0", "remove preferred_lft: the kernel does not look at that of IPv4"),
        (FOUR, LINK, "label x scope y", '"eth0:"; write as scope one of'),
        (FOUR, [], "scope link", "remove scope: on lo it is host"),
        (
            FOUR,
            [(FOUR, "transport", '"multicast"'), (FOUR, "interface", '"eth0"'), (FOUR, "source", '"10.9.0.1"')],
            "scope link",
            "remove scope: on lo it is host",
        ),
        (FOUR, [], "label eth0:web", 'begins with "lo:"'),
        (FOUR, [(FOUR, "bind", "false")], "label lo:a scope link", "binds nothing; remove scope: bind = false"),
        (WEB, [(WEB, "bind", "false")], "preferred_lft 0", "remove preferred_lft: bind = false binds nothing"),
        (WEB, [], "label lo:web", "remove label, which IPv6 addresses do not have"),
        (WEB, [], "scope host", "remove scope, which of an IPv6 address follows from the address itself"),
        (WEB, [], "preferred_lft 600", "write as preferred_lft 0 (never a source) or forever"),
    ],
)
def test_a_mistake_about_one_address(read: Any, table: str, changes: Any, words: str, said: str) -> None:
    address = "2001:db8:53::1" if table == WEB else "192.0.2.53"
    text = json.dumps([f"{address} {words}"], ensure_ascii=False)
    [problem] = problems(read, written(changed(*changes, (table, "addresses", text))))
    assert problem.key == f"{table}.addresses"
    assert said in problem.message


@pytest.mark.parametrize("text", ["", " ", "web label lo:a"])
def test_what_begins_with_no_address(read: Any, text: str) -> None:
    [problem] = problems(read, written(changed((FOUR, "addresses", json.dumps([text])))))
    assert 'write an address such as "2001:db8::1" or "192.0.2.1"' in problem.message


def test_an_address_stands_in_one_form_in_each_list(read: Any) -> None:
    twice = '["192.0.2.54", "192.0.2.54 label lo:a"]'
    for key in ("addresses", "unlisted_addresses"):
        others = [(FOUR, other, '["192.0.2.55"]') for other in ("addresses", "unlisted_addresses")]
        [problem] = problems(read, written(changed(*others, (FOUR, key, twice))))
        assert problem.key == f"{FOUR}.{key}"
        assert "holds 192.0.2.54 in two forms; remove one" in problem.message


def test_the_ends_of_a_vxlan_may_be_of_another_family(read: Any) -> None:
    tables = changed((WEB, "transport", '"multicast"'), (WEB, "interface", '"vxlan0"'), (WEB, "source", '"fe80::1"'))
    del tables["virtual_router.four"]
    assert [one for one in read(written(tables)).warnings if one.key.startswith("agent.")] == []


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(CHECK, "weight", "154")],
        [(CHECK, "weight", "-99")],
        [(WEB, "priority", "255"), (CHECK, "weight", "0")],
        [(CHECK, "command", None), (CHECK, "tcp", '"[2001:db8:ff::11]:80"')],
        [(CHECK, "command", None), (CHECK, "file", '"/x"'), (CHECK, "file_value", "true"), (CHECK, "weight", "200")],
        [(WEB, "advert_interval", "0.05")],
        [(WEB, "unlisted_addresses", '["2001:db8:53::2"]'), (BGP, "announce", '["2001:db8:53::/64", "2001:db8::/32"]')],
        [("virtual_router.four.bgp", "neighbors", '["192.0.2.254"]')],
        [(FOUR, "bind", "false")],
        [(FOUR, "announce", "false"), (FOUR, "unlisted_addresses", '["192.0.2.54"]')],
        [(FOUR, "announce", "false"), (FOUR, "bind", "false"), (FOUR, "notify_fifo", '"/run/x"')],
        [
            (WEB, "group", '"g"'),
            (FOUR, "group", '"g"'),
            (FOUR, "announce", "false"),
            (FOUR, "bind", "false"),
            (FOUR, "priority", None),
        ],
        [
            ("virtual_router.four.bgp", "neighbors", '["fe80::1"]'),
            ("virtual_router.four.bgp", "next_hop", '"192.0.2.1"'),
        ],
    ],
)
def test_an_intended_configuration_has_no_warning(read: Any, changes: list[tuple[str, str, str | None]]) -> None:
    assert read(written(changed(*changes))).warnings == ()


def test_an_election_without_addresses_or_routes(read: Any) -> None:
    """Each of both alone, too: what is announced for addresses of another program, what is bound for another one."""
    notified = (FOUR, "notify", '["/usr/bin/true"]')
    for binds, announces in ((False, True), (True, False), (False, False)):
        changes = [(FOUR, "bind", str(binds).lower()), (FOUR, "announce", str(announces).lower()), notified]
        four = read(written(changed(*changes))).routers[1]
        address = IPv4Address("192.0.2.53")
        assert (four.addresses, four.listed, four.on_lo) == ((address,), (address,), (address,) if binds else ())
        assert four.announce == four.owned == ((IPv4Network("192.0.2.53/32"),) if announces else ())
        assert four.sessions() == (Requirement(1, frozenset(), 4, carried=4) if announces else None)
        presence = four.handover_settings()
        assert (presence.hold, presence.linger) == (1 if announces else 0, 2 if announces or binds else 0)


def test_adverts_on_one_interface(read: Any) -> None:
    four = {"transport": '"multicast"', "interface": '"eth1"', "source": '"10.9.0.11"'}
    changes = [(WEB, key, toml) for key, toml in MULTICAST.items()] + [(FOUR, key, toml) for key, toml in four.items()]
    web, other = read(written(changed(*changes))).routers
    assert (web.source, web.peers, web.interfaces) == (IPv6Address("fe80::1%eth0"), (), ("eth0",))
    assert web.destinations == (web.multicast,) == (IPv6Address("ff02::12"),)
    assert web.medium == Medium("eth0", IPv6Address("ff02::12"), anybody=True)
    assert other.medium == Medium("eth1", IPv4Address("224.0.0.18"), anybody=True)
    assert other.place == int(IPv4Address("10.9.0.11")), "nobody is named"
    [web, _] = read(written(changed(*((WEB, key, toml) for key, toml in UNICAST.items())))).routers
    assert web.destinations == web.peers == (IPv6Address("fe80::2"),)
    assert (web.multicast, web.medium, web.place) == (None, Medium("eth0"), 0)
    [web, _] = read(written(changed(*changes, (WEB, "peers", '["fe80::2", "fe80::0"]')))).routers
    assert (web.medium, web.place) == (Medium("eth0", IPv6Address("ff02::12")), 1)


def test_what_nodes_of_version_2_agree_on(read: Any) -> None:
    changes = [(FOUR, "version", "2"), (FOUR, "advert_interval", "3"), (FOUR, "plain_password", '"s3cret"')]
    web, four = read(written(changed(*changes))).routers
    assert (four.version2, web.version2) == (Version2(3, b"s3cret"), None)
    assert read(written(changed(*changes[:2]))).routers[1].version2 == Version2(3)
    assert (four.election().skew_unit, web.election().skew_unit) == (1.0, None)


def test_which_addresses_may_be_a_source(read: Any) -> None:
    changes = [(WEB, "unlisted_addresses", '["2001:db8:53::2"]'), (WEB, "preferred_lifetime", '"forever"')]
    configuration = read(written(changed(*changes)))
    web, four = configuration.routers
    assert [one.preferred for one in (*web.virtual_addresses, *four.virtual_addresses)] == [True, True, False]
    tables = tomli.loads(effective(configuration))["virtual_router"]
    assert tables["web"]["preferred_lifetime"] == "forever"
    assert "preferred_lifetime" not in tables["four"], "it would be refused"
    assert tomli.loads(effective(read(written(GOOD))))["virtual_router"]["web"]["preferred_lifetime"] == 0


def test_announced_prefixes(read: Any) -> None:
    web, four = read(written(changed((WEB, "unlisted_addresses", '["2001:db8:53::2"]')))).routers
    assert web.virtual_addresses == (
        VirtualAddress(IPv6Address("2001:db8:53::1")),
        VirtualAddress(IPv6Address("2001:db8:53::2"), listed=False),
    )
    assert web.addresses == (IPv6Address("2001:db8:53::1"), IPv6Address("2001:db8:53::2"))
    assert web.election().addresses == (IPv6Address("2001:db8:53::1"),), "what adverts list"
    assert web.announce == (IPv6Network("2001:db8:53::1/128"), IPv6Network("2001:db8:53::2/128"))
    assert four.announce == (IPv4Network("192.0.2.53/32"),)
    assert four.owned == four.announce
    web = read(written(changed((BGP, "announce", '["2001:db8:53::/64"]')))).routers[0]
    assert web.announce == (IPv6Network("2001:db8:53::/64"),)
    assert web.owned == (IPv6Network("2001:db8:53::/64"), IPv6Network("2001:db8:53::1/128")), "it may have been before"
    tables = tomli.loads(effective(read(written(changed((BGP, "announce", '["2001:db8:53::/64"]'))))))
    assert tables["virtual_router"]["web"]["bgp"]["announce"] == ["2001:db8:53::/64"]


def test_the_most_addresses_that_fit_are_accepted(read: Any) -> None:
    addresses = json.dumps([f"2001:db8:53::{number:x}" for number in range(1, 89)])
    assert len(read(written(changed((WEB, "addresses", addresses)))).routers[0].addresses) == 88
    addresses = json.dumps(json.loads(MANY_4)[:255])
    assert len(read(written(changed((FOUR, "addresses", addresses)))).routers[1].addresses) == 255


# One key of a file that may be wrong elsewhere

Filed = Callable[[str], Path]


@pytest.fixture(name="filed")
def _filed(tmp_path: Path) -> Filed:
    def filed(text: str) -> Path:
        path = tmp_path / "exavrrp.toml"
        path.write_text(text)
        return path

    return filed


def test_the_state_directory_is_found_in_a_file_with_mistakes(filed: Filed) -> None:
    wrong = changed((AGENT, "state_directory", '"/run/other"'), (AGENT, "peers", "7"), (WEB, "vrid", None))
    assert state_directory(filed(written(wrong))) == "/run/other"


@pytest.mark.parametrize("text", ["[check.web]\n", "agent = 7\n", "[agent]\npeers = []\n", "[[agent]]\n"])
def test_without_the_key_the_state_directory_is_the_default(filed: Filed, text: str) -> None:
    assert state_directory(filed(text)) == "/run/exavrrp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[agent]\nstate_directory = "run"\n', '2: agent.state_directory: is "run"; write an absolute path'),
        ("[agent]\nstate_directory = 7\n", "2: agent.state_directory: is 7; write an absolute path"),
        ("[agent\n", "not TOML"),
        ("", "is empty"),
    ],
)
def test_a_state_directory_that_cannot_be_found_is_a_mistake(filed: Filed, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        state_directory(filed(text))


@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: f"[agent]\n{text}".encode())))
def test_whatever_is_in_the_file_a_state_directory_is_a_path_or_a_mistake(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert state_directory(scratch).startswith("/")


# The effective configuration


def test_effective_names_what_the_host_decides_at_start(read: Any) -> None:
    configuration = read(written(changed((AGENT, "sources", None))))
    text = effective(configuration)
    assert "# source: found at start, the only global IPv6 address on lo that is no VIP" in text
    assert read(text) == configuration


def test_effective_writes_every_default_out(read: Any) -> None:
    tables = tomli.loads(effective(read(written(GOOD))))
    may_be_missing = {
        "beacon",
        "control_group",
        "interfaces",
        "max_hops",
        "learned_interval_max",
        "med",
        "local_preference",
        "standby",
        "interface",
        "plain_password",
    }
    may_be_missing |= {"group", "order", "notify", "notify_fifo", "notify_socket"}
    may_be_missing |= {f"notify_{state}" for state in ("active", "backup", "fault", "stop")}
    for kind, table in (
        (schema.Agent, tables["agent"]),
        (schema.VirtualRouter, tables["virtual_router"]["web"]),
        (schema.Bgp, tables["virtual_router"]["web"]["bgp"]),
        (schema.Level, tables["virtual_router"]["web"]["bgp"]["leaving"]),
    ):
        assert set(kind.__struct_fields__) - may_be_missing <= set(table)
        assert set(table) <= set(kind.__struct_fields__)


@pytest.mark.parametrize(("check", "kind"), [(HTTPS, "http"), (FILE, "file"), (PROCESS, "process"), (TCP, "tcp")])
def test_effective_writes_every_default_of_a_check_out(read: Any, check: dict[str, str], kind: str) -> None:
    [table] = tomli.loads(effective(read(written(with_check(check)))))["check"].values()
    foreign = {key for one in kinds.KINDS if one.name != kind for key in (one.name, *one.options)}
    may_be_missing = {"host", "contains", "ca_file"}
    assert set(kinds.Check.__struct_fields__) - foreign - may_be_missing <= set(table)
    assert set(table) <= set(kinds.Check.__struct_fields__) - foreign


names = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,8}\Z")
centiseconds = st.integers(1, 409).map(lambda number: number / 100)
v4 = st.integers(1, 0xFFFF).map(lambda number: str(IPv4Address(0xC6120000 + number)))  # 198.18.0.0/15
v6 = st.integers(1, 0xFFFF).map(lambda number: str(IPv6Address((0x20010DB8 << 96) + number)))
strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
seconds = st.floats(0.01, 30)


commands = st.builds(lambda name, rest: ["/" + name, *rest], strings, st.lists(strings, max_size=3))


def optional(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


def kind(required: dict[str, st.SearchStrategy[Any]], **more: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(required, optional=more)


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
kinds_of_checks: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "command": kind(
        {"command": st.builds(lambda name, rest: ["/" + name, *rest], strings, st.lists(strings, max_size=3))},
        user=st.just("nobody"),
    ),
    "shell": kind({"shell": words}, user=st.just("nobody")),
    "tcp": kind({"tcp": st.builds("[{}]:{}".format, v6, st.integers(1, 65535))}),
    "http": st.one_of(
        kind(
            {"http": st.builds("http://{}/{}".format, v4, st.sampled_from(["", "a?b=c", "%22"]))},
            host=st.sampled_from(["a", "www.example.com:81", 63 * "a" + ".com"]),
            status=st.lists(st.integers(200, 599), max_size=3),
            contains=words,
        ),
        kind({"http": st.builds("https://[{}]".format, v6)}, tls_verify=st.booleans()),
        kind({"http": st.builds("https://[{}]".format, v6)}, ca_file=st.just("/etc/ca.pem")),
    ),
    "file": kind({"file": st.just("/run/été \\")}, file_value=st.booleans()),
    "process": kind({"process": words.filter(lambda text: "/" not in text)}, at_least=st.integers(1, 9)),
    "interface": kind({"interface": st.sampled_from(["eth0", "eth1.5"])}),
    "route": kind({"route": st.sampled_from(["0.0.0.0/0", "::/0", "192.0.2.7", "2001:db8::/32"])}),
}


@st.composite
def good_files(draw: st.DrawFn) -> dict[str, Any]:
    """A correct file with any subset of the optional keys."""
    checks = draw(
        st.dictionaries(
            names,
            st.builds(
                lambda required, more: {**required, **more},
                st.one_of(*kinds_of_checks.values()),
                optional(
                    interval=seconds,
                    fast_interval=st.just(0.01),  # the least that an interval can be
                    timeout=seconds,
                    rise=st.integers(1, 9),
                    fall=st.integers(1, 9),
                    weight=st.integers(-253, 253),
                    reverse=st.booleans(),
                    initial=st.sampled_from(["fail", "pass", "wait"]),
                ),
            ),
            max_size=3,
        )
    )
    families = draw(
        st.lists(st.tuples(names, st.sampled_from([v4, v6])), min_size=1, max_size=4, unique_by=lambda x: x[0])
    )
    texts = {family: iter(draw(st.lists(family, min_size=20, max_size=20, unique=True))) for family in (v4, v6)}
    routers = {}
    for vrid, (name, family) in enumerate(families, start=1):
        own = {"source": next(texts[family]), "peers": [next(texts[family])]}
        bgp = draw(
            optional(
                med=st.integers(0, 0xFFFFFEFE),
                local_preference=st.integers(0, 0xFFFFFFFF),
                communities=st.lists(
                    st.sampled_from(["1:2", "no-export", "graceful-shutdown", "65535:65535"]), unique=True
                ),
                large_communities=st.lists(st.sampled_from(["1:2:3", "4294967295:0:0"]), unique=True),
                as_path=st.lists(st.integers(1, 0xFFFFFFFF), max_size=4),
                neighbors=st.lists(
                    v6 | st.tuples(v6, v6).map(" from ".join), max_size=2, unique_by=lambda text: text.split()[0]
                ),
                stale_for=st.floats(1, 1000),
                leaving=optional(communities=st.just(["1:2"]), next_hop=st.just("self")),
                standby=optional(communities=st.just(["1:3"]), large_communities=st.just([])),
            )
        )
        if takeover := draw(st.lists(st.sampled_from(["med", "prepend", "local-preference"]), unique=True)):
            bgp |= {"takeover": takeover, "prepend": draw(st.integers(1, 32))}
            bgp.pop("med", None) if "med" in takeover else None
        elif draw(st.booleans()):
            bgp["med"] = min(bgp.get("med", 0), 0xFFFFFFFD)
        elif draw(st.booleans()):
            bgp["takeover"] = []
        routers[name] = {
            "vrid": vrid,
            "addresses": [next(texts[family])],
            **draw(
                optional(
                    priority=st.integers(1, 254),
                    interfaces=st.lists(st.sampled_from(["eth0", "eth1.5"]), min_size=1, unique=True),
                    preempt_delay=st.floats(0, 100),
                    advert_interval=centiseconds,
                    handover=st.sampled_from(["make-before-break", "break-before-make"]),
                    handover_hold=st.floats(0, 30),
                    linger=st.integers(0, 30),
                    group=names,
                    notify=commands,
                    notify_active=commands,
                    notify_stop=commands,
                    notify_fifo=st.sampled_from(["/run/a b", "/x"]),
                    notify_socket=st.just("/run/é"),
                    notify_timeout=seconds,
                    checks=st.lists(st.sampled_from(sorted(checks)), unique=True) if checks else st.just([]),
                )
            ),
            **draw(optional(unlisted_addresses=st.just([next(texts[family])]))),
            **draw(optional(preferred_lifetime=st.sampled_from([0, "forever"])) if family == v6 else st.just({})),
            **{key: own[key] for key in draw(st.sets(st.sampled_from(["source", "peers"])))},
            "bgp": bgp,
        }
        if (transport := draw(st.sampled_from(Transport))) is not Transport.ROUTED:
            routers[name] |= {
                "transport": transport.value,
                "interface": draw(st.sampled_from(["eth0", "eth1.5"])),
                **own,
            }
            routers[name] |= {"source": f"fe80::{vrid}"} if family is v6 else {}
            routers[name].pop("interfaces", None)
            if transport is Transport.MULTICAST and draw(st.booleans()):
                del routers[name]["peers"]
        if family is v4 and draw(st.booleans()):
            routers[name] |= {"version": 2, "advert_interval": draw(st.integers(1, 40))}
            routers[name] |= draw(optional(plain_password=st.sampled_from(["s3cret", '"\\'])))
            routers[name]["learned_interval_max"] = 40
        if draw(st.booleans()):
            routers[name]["bind"] = False
            routers[name].pop("preferred_lifetime", None)
        elif draw(st.booleans()):
            routers[name] |= {"bind": "eth1.5", "handover": "break-before-make"}
            words = st.sampled_from(["", " scope link", " label eth1.5:a", " label eth1.5:b scope host"])
            if vrid > 1:
                address = routers[name]["addresses"][0].partition("/")[0]
                routers[name]["addresses"] = [
                    f"{address}/{draw(st.integers(1, 32))}{draw(words) if family == v4 else ''}"
                ]
        if "unlisted_addresses" not in routers[name] and draw(st.booleans()):
            routers[name]["announce"] = False
            del routers[name]["bgp"]
            continue
        if vrid == 1 and draw(st.booleans()):  # alone, or two may announce the same
            shorter = ip_network((routers[name]["addresses"][0], draw(st.integers(8, 30))), strict=False)
            bgp["announce"] = [str(shorter), routers[name]["addresses"][0]]
        if bgp.get("med", 0) < 0xFFFFFFFE and "handover" not in routers[name]:
            routers[name]["standby"] = draw(st.sampled_from(["withdraw", "announce"]))
        if (
            "handover" not in routers[name]
            and routers[name].get("standby") != "announce"
            and "bind" not in routers[name]
        ):
            routers[name]["prebind"] = draw(st.booleans())
    agent = {
        "sources": [next(texts[v4]), next(texts[v6])],
        "peers": [next(texts[v6]), next(texts[v4])],
        **draw(
            optional(
                advert_interval=centiseconds,
                learned_interval_max=st.integers(5, 40),
                max_hops=st.integers(0, 254),
                ipv4_checksum=st.sampled_from(["pseudo-header", "rfc9568"]),
                log_format=st.sampled_from(["text", "json"]),
                state_directory=st.sampled_from(["/", "/run/été \\"]),
                persistent_directory=st.sampled_from(["/", "/srv/été \\"]),
                control_group=st.sampled_from(["netops", "_x-1.y"]),
                scheduling=st.sampled_from(["normal", "realtime"]),
                lock_memory=st.booleans(),
                startup_delay=st.integers(0, 86400),
                beacon=st.booleans(),
                beacon_port=st.integers(1, 65535),
            )
        ),
    }
    return {"agent": agent, "virtual_router": routers, "check": checks}


def toml(value: object) -> str:
    """A value on one line, tables as inline tables: as unlike ``effective`` as TOML allows."""
    match value:
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def document(tables: dict[str, Any]) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in tables.items())


@pytest.fixture(name="scratch", scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "exavrrp.toml"


@given(tables=good_files())
def test_effective_loads_back_as_an_equal_configuration(scratch: Path, tables: dict[str, Any]) -> None:
    scratch.write_text(document(tables), encoding="utf-8")
    configuration = load(scratch)
    scratch.write_text(effective(configuration), encoding="utf-8")
    assert load(scratch) == configuration


# Anything at all

scalars: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**4000), 1 << 63, 1 << 64]),
    st.floats(),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        [
            *("192.0.2.1", "2001:db8::1", "2001:db8::1/128", "fe80::1%a"),
            *("self", "web", "/bin/true", "65010:1", "med", "prepend", "announce", 65010),
        ]
    ),
)
keys = st.one_of(
    st.sampled_from(
        sorted(
            {"agent", "virtual_router", "check", "web", "a.b"}.union(
                *(kind.__struct_fields__ for kind in (schema.Agent, schema.VirtualRouter, schema.Bgp, kinds.Check))
            )
        )
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def plausible(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(kind.__struct_fields__), values, max_size=6)


wild_files = st.one_of(
    st.dictionaries(keys, values, max_size=5),
    optional(
        agent=plausible(schema.Agent),
        virtual_router=st.dictionaries(
            keys,
            st.builds(
                lambda table, bgp: {**table, **bgp},
                plausible(schema.VirtualRouter),
                optional(
                    bgp=st.builds(
                        lambda table, levels: {**table, **levels},
                        plausible(schema.Bgp),
                        optional(standby=plausible(schema.Level), leaving=plausible(schema.Level)),
                    )
                ),
            ),
            max_size=3,
        ),
        check=st.dictionaries(keys, plausible(kinds.Check), max_size=3),
    ),
)


def survives(path: Path) -> None:
    """Any file either loads, and loads equal from its printed form, or gives a list of mistakes."""
    for host in (
        {},
        {"local_addresses": lo("192.0.2.7", "2001:db8::7"), "preflight_error": lambda probe: ("weight", "is not here")},
    ):
        try:
            configuration = load(path, **host)
        except ConfigError as error:
            found = error.problems
        else:
            assert configuration.routers
            again = path.with_suffix(".again")
            again.write_text(effective(configuration), encoding="utf-8")
            assert load(again, **host) == configuration
            continue
        assert found
        assert all(str(problem).isprintable() for problem in found)


@given(content=st.binary())
@example(b"[virtual_router.a]\xc3")
def test_arbitrary_bytes_raise_nothing_else(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    survives(scratch)


@given(tables=wild_files)
def test_arbitrary_documents_raise_nothing_else(scratch: Path, tables: dict[str, Any]) -> None:
    text = document(tables)
    tomli.loads(text)
    scratch.write_text(text, encoding="utf-8")
    survives(scratch)


@given(tables=st.dictionaries(keys, st.dictionaries(keys, values, max_size=3), max_size=3), blank=st.integers(0, 3))
def test_every_key_and_element_of_a_document_has_its_place(tables: dict[str, dict[str, Any]], blank: int) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    for name, table in tables.items():
        lines += ['# [no] \'header\' = """', *[""] * blank, f"[{toml(name)}] # ['no'"]
        expected[name,] = len(lines)
        for key, value in table.items():
            expected[name, key] = len(lines) + 1
            if isinstance(value, list):
                lines.append(f"{toml(key)} = [ # ]")
                for index, element in enumerate(value):
                    expected[name, key, index] = len(lines) + 1
                    lines.append(f"  {toml(element)},")
                lines.append("]")
            elif isinstance(value, str) and "\r" not in value:
                escaped = toml(value)[1:-1].replace("\\n", "\n")
                lines += f'{toml(key)} = """{escaped}"""'.split("\n")
            else:
                lines.append(f"{toml(key)} = {toml(value)}")
    text = "\n".join(lines) + "\n"
    parsed = tomli.loads(text)
    assert set(parsed) == set(tables)
    found = places(text)
    assert {place: found.get(place) for place in expected} == expected


def test_places_of_implied_tables_dotted_keys_and_quotes() -> None:
    text = """a.b = 1
a . "c.d" = { e.f = 2, g = [
  1, # [
  { h = 3 }] }

[x.y.'z']
k = \"\"\"one " two \\\"\"\" three
=\"\"\"\"\"
l = '''\\'''
[[x.list]]
m = 1979-05-27 07:32:00
[[x.list]]
m = 4
n = ""
"""
    assert tomli.loads(text)["x"]["list"][1] == {"m": 4, "n": ""}
    assert places(text) == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "c.d"): 2,
        ("a", "c.d", "e"): 2,
        ("a", "c.d", "e", "f"): 2,
        ("a", "c.d", "g"): 2,
        ("a", "c.d", "g", 0): 3,
        ("a", "c.d", "g", 1): 4,
        ("a", "c.d", "g", 1, "h"): 4,
        ("x",): 6,
        ("x", "y"): 6,
        ("x", "y", "z"): 6,
        ("x", "y", "z", "k"): 7,
        ("x", "y", "z", "l"): 9,
        ("x", "list"): 10,
        ("x", "list", "m"): 11,
        ("x", "list", "n"): 14,
    }
