"""A service of both families in one table: two virtual routers that move together, and nothing guessed."""

import re
from pathlib import Path

import pytest

from exavrrp.config import ConfigError, Configuration, effective, load
from exavrrp.presence import Handover
from tests.conftest import Write

SERVICE = """[agent]
sources = ["2001:db8:ff::11", "192.0.2.11"]
peers = ["2001:db8:ff::12", "192.0.2.12"]

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1", "192.0.2.53", "2001:db8:53::2"]
priority = 200
checks = ["web"]
handover = "break-before-make"

[virtual_router.web.bgp]
communities = ["65010:7"]

[check.web]
shell = "true"
"""


def web(*lines: str, bgp: tuple[str, ...] = ()) -> str:
    """SERVICE with further lines in the tables of the service."""
    text = SERVICE.replace("priority = 200\n", "\n".join(("priority = 200", *lines, "")))
    return text.replace('communities = ["65010:7"]\n', "\n".join(('communities = ["65010:7"]', *bgp, "")))


def mistakes(path: Path, node: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, node=node)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_two_virtual_routers_that_move_together(write: Write) -> None:
    found = load(write(SERVICE))
    six, four = found.routers
    assert (six.name, four.name) == ("web-ipv6", "web-ipv4")
    assert [str(address) for address in six.addresses] == ["2001:db8:53::1", "2001:db8:53::2"]
    assert [str(address) for address in four.addresses] == ["192.0.2.53"]
    assert (str(six.source), str(four.source)) == ("2001:db8:ff::11", "192.0.2.11")
    assert ([*map(str, six.peers)], [*map(str, four.peers)]) == (["2001:db8:ff::12"], ["192.0.2.12"])
    for one in (six, four):
        assert (one.vrid, one.priority, one.group, one.checks) == (7, 200, "web", ("web",))
        assert one.handover is Handover.BREAK_BEFORE_MAKE
        assert one.route_policy.active.communities == ("65010:7",)
    assert not found.warnings


def test_the_printed_form_is_the_effective_one(write: Write) -> None:
    found = load(write(SERVICE))
    text = effective(found)
    headers = re.findall(r"^\[(virtual_router\.[^].]*)\]$", text, re.MULTILINE)
    assert headers == ["virtual_router.web-ipv6", "virtual_router.web-ipv4"]
    assert text.count('group = "web"') == 2
    assert load(write(text)) == found


def test_what_is_of_one_family_is_for_that_family(write: Write) -> None:
    six, four = load(
        write(
            web(
                'unlisted_addresses = ["192.0.2.54", "2001:db8:53::3"]',
                'peers = ["192.0.2.99"]',
                'source = "2001:db8:ff::77"',
                'preferred_lifetime = "forever"',
                'sessions_neighbors = ["192.0.2.1", "2001:db8::1 from 2001:db8::2"]',
                bgp=(
                    'announce = ["2001:db8:53::/64"]',
                    'neighbors = ["2001:db8::1", "192.0.2.1"]',
                    'leaving = { neighbors = ["192.0.2.1", "2001:db8::1"] }',
                ),
            )
        )
    ).routers
    assert ([*map(str, six.unlisted)], [*map(str, four.unlisted)]) == (["2001:db8:53::3"], ["192.0.2.54"])
    assert ([*map(str, six.peers)], [*map(str, four.peers)]) == (["2001:db8:ff::12"], ["192.0.2.99"])
    assert (str(six.source), str(four.source)) == ("2001:db8:ff::77", "192.0.2.11")
    assert all(one.preferred for one in six.virtual_addresses)
    assert not any(one.preferred for one in four.virtual_addresses)
    assert [*map(str, six.sessions_neighbors)] == ["2001:db8::1 from 2001:db8::2"]
    assert [*map(str, four.sessions_neighbors)] == ["192.0.2.1"]
    assert [*map(str, six.announce)] == ["2001:db8:53::/64"]
    assert [*map(str, four.announce)] == ["192.0.2.53/32", "192.0.2.54/32"]
    assert [*map(str, six.route_policy.active.neighbors)] == ["2001:db8::1"]
    assert [*map(str, four.route_policy.leaving.neighbors)] == ["192.0.2.1"]


def test_a_label_with_colons_makes_no_ipv6_address(write: Write) -> None:
    some = 'addresses = ["2001:db8:53::1/64", "192.0.2.53/24 label eth0:a"]\nbind = "eth0"'
    found = load(write(re.sub("^addresses.*$", some, SERVICE, flags=re.MULTILINE)))
    texts = [[one.text for one in router.virtual_addresses] for router in found.routers]
    assert texts == [["2001:db8:53::1/64"], ["192.0.2.53/24 label eth0:a"]]


@pytest.mark.parametrize(
    "four", [r" 192.0.2.53", r"\t192.0.2.53", r"192.0.2.53\tlabel lo:x", r"192.0.2.53\u00a0label lo:x"]
)
def test_whatever_blanks_an_address_has(write: Write, four: str) -> None:
    some = f'addresses = ["2001:db8:53::1", "{four}"]'
    found = load(write(SERVICE.replace('addresses = ["2001:db8:53::1", "192.0.2.53", "2001:db8:53::2"]', some)))
    assert [[str(one) for one in router.addresses] for router in found.routers] == [["2001:db8:53::1"], ["192.0.2.53"]]


def test_several_services_may_move_together(write: Write) -> None:
    found = load(write(web('group = "site"')))
    assert {router.group for router in found.routers} == {"site"}


def test_nothing_of_a_table_is_shared_between_its_two(write: Write) -> None:
    one = 'bgp = { communities = ["65010:1"], neighbors = ["2001:db8::1", "192.0.2.1"] }'
    text = SERVICE.replace('[virtual_router.web.bgp]\ncommunities = ["65010:7"]', "")
    six, four = load(write(text.replace("priority = 200", f"priority = 200\n{one}"))).routers
    assert [*map(str, six.route_policy.active.neighbors)] == ["2001:db8::1"]
    assert [*map(str, four.route_policy.active.neighbors)] == ["192.0.2.1"]


APART = 'write a virtual router for each family instead, with the same vrid and group = "web"'

MISTAKES: list[tuple[str, list[str]]] = [
    (web("vrdi = 7"), ['9: virtual_router.web.vrdi: unknown key; did you mean "vrid"?']),
    (web("linger = -1"), ["9: virtual_router.web.linger: is -1; write seconds from 0 to 30"]),
    (web("preempt = false", "preempt_delay = 3"), ["10: virtual_router.web.preempt_delay: is 3, but preempt = false"]),
    (SERVICE.replace("vrid = 7\n", ""), ["5: virtual_router.web.vrid: is missing; write a whole number from 1 to 255"]),
    (SERVICE.replace("53::2", "53::g"), ['7: virtual_router.web.addresses: holds "2001:db8:53::g"; write an address']),
    (SERVICE.replace("53::2", "53::1"), ['7: virtual_router.web.addresses: holds "2001:db8:53::1" twice; remove one']),
    (
        SERVICE.replace('"2001:db8:53::2"', "7"),
        ["7: virtual_router.web.addresses: holds 7; write an address in quotes"],
    ),
    (SERVICE.replace("192.0.2.53", "192.0.2.12"), ["7: virtual_router.web.addresses: holds 192.0.2.12, a peer; write"]),
    (web('peers = ["node2"]'), ['9: virtual_router.web.peers: holds "node2"; write an address such as']),
    (web("peers = []"), ["9: virtual_router.web.peers: is []; write the other nodes' addresses, or remove the key"]),
    (web('source = "nobody"'), ['9: virtual_router.web.source: is "nobody"; write an address such as']),
    (web('checks = ["wob"]').replace('checks = ["web"]\n', ""), ['9: virtual_router.web.checks: holds "wob"; did you']),
    (
        web(bgp=('next_hop = "192.0.2.7"',)),
        [f"14: virtual_router.web.bgp.next_hop: cannot be of both families; {APART}"],
    ),
    (
        web(bgp=('next_hop = { "192.0.2.1" = "2001:db8::7" }',)),
        [f"14: virtual_router.web.bgp.next_hop: cannot be of both families; {APART}"],
    ),
    (
        web(bgp=('leaving.next_hop = "2001:db8::7"',)),
        [f"14: virtual_router.web.bgp.leaving.next_hop: cannot be of both families; {APART}"],
    ),
    (
        web(bgp=('neighbors = ["192.0.2.1"]',)),
        [f"14: virtual_router.web.bgp.neighbors: has no IPv6 neighbor; add one, or {APART}"],
    ),
    (
        web('sessions_neighbors = ["2001:db8::1"]'),
        [f"9: virtual_router.web.sessions_neighbors: has no IPv4 neighbor; add one, or {APART}"],
    ),
    *(
        (
            web('transport = "unicast"', 'interface = "eth0"', *source),
            [f'9: virtual_router.web.transport: is "unicast", for which the source is of one family; {APART}'],
        )
        for source in ([], ['source = "fe80::11"'], ['source = "192.0.2.11"'])
    ),
    (
        SERVICE.replace("virtual_router.web", "virtual_router.Web"),
        ["5: virtual_router.Web: a name for addresses of both families has 1 to 59 characters of a-z"],
    ),
    (
        SERVICE.replace("virtual_router.web", f"virtual_router.{'w' * 60}"),
        [f"5: virtual_router.{'w' * 60}: a name for addresses of both families has 1 to 59 characters of a-z"],
    ),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES, ids=lambda value: str(value)[-60:])
def test_a_mistake_is_told_once_where_it_was_written(write: Write, text: str, told: list[str]) -> None:
    found = mistakes(write(text))
    assert len(found) == len(told), found
    for line, start in zip(found, told, strict=True):
        assert line.startswith(start)


def test_a_virtual_router_that_is_called_like_a_part_is_a_mistake(write: Write) -> None:
    text = SERVICE + '[virtual_router.web-ipv4]\nvrid = 8\naddresses = ["192.0.2.77"]\n'
    (told,) = mistakes(write(text))
    assert told.partition("; ")[0] == (
        "17: virtual_router.web-ipv4: is what the IPv4 part of virtual_router.web is called"
    )


def test_a_warning_is_told_once_where_it_was_written(write: Write) -> None:
    (warning,) = load(write(web("advert_interval = 0.02"))).warnings
    assert (
        str(warning).split(":", 1)[1].startswith("9: virtual_router.web.advert_interval: is 0.02: a host that is busy")
    )


def test_a_service_in_one_file_for_all_nodes(write: Write) -> None:
    text = SERVICE[SERVICE.index("[virtual_router.web]") :].replace("priority = 200", 'order = ["b", "a"]')
    nodes = "".join(
        f'[node.{name}]\nsources = ["2001:db8:ff::1{number}", "192.0.2.1{number}"]\n'
        for number, name in enumerate("ab")
    )
    found: Configuration = load(write(nodes + text), node="a")
    assert {(router.name, router.priority, str(router.source)) for router in found.routers} == {
        ("web-ipv6", 240, "2001:db8:ff::10"),
        ("web-ipv4", 240, "192.0.2.10"),
    }
    assert mistakes(write(nodes.replace(', "192.0.2.11"', "") + text), node="a") == [
        "4: node.b.sources: has no IPv4 address, which virtual_router.web needs; add one of this node"
    ]
    assert mistakes(write(nodes + text.replace('"b", "a"', '"b", "c"')), node="a") == [
        '8: virtual_router.web.order: holds "c"; write a table [node.c] for it'
    ]
