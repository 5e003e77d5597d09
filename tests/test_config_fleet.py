"""All nodes at once: what is right on each by itself, and wrong together."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from exavrrp.config import ConfigError, examined

NODE = """[agent]
sources = ["2001:db8:ff::1{me}", "192.0.2.1{me}"]
peers = [{peers}]
advert_interval = 0.1
authentication = "site"

[virtual_router.web]
vrid = 7
priority = {priority}
addresses = ["2001:db8:53::1", "2001:db8:53::2"]
unlisted_addresses = ["2001:db8:53::3"]
group = "g"

[virtual_router.four]
vrid = 7
priority = {priority}
addresses = ["192.0.2.53"]
group = "g"

[virtual_router.dns]
vrid = 9
priority = {priority}
addresses = ["192.0.2.54"]

[authentication.site]
active_key = 1
keys = {{ 1 = {{ file = "/etc/1" }}, 2 = {{ file = "/etc/2" }} }}
"""

Write = Callable[..., list[Path]]


def node(me: int, *changes: tuple[str, str]) -> str:
    peers = ", ".join(f'"2001:db8:ff::1{each}", "192.0.2.1{each}"' for each in (1, 2, 3) if each != me)
    text = NODE.format(me=me, peers=peers, priority=250 - 10 * me)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Write:
    def write(*texts: str) -> list[Path]:
        paths = [tmp_path / f"node{number}.toml" for number in range(1, len(texts) + 1)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    return write


def mistakes(paths: list[Path]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        examined(paths)
    return [str(problem).replace(f"{paths[0].parent}/", "") for problem in caught.value.problems]


def warnings(paths: list[Path]) -> list[str]:
    return [str(problem).replace(f"{paths[0].parent}/", "") for problem in examined(paths)]


def test_nodes_that_agree_are_right(write: Write) -> None:
    assert warnings(write(node(1), node(2), node(3))) == []


def test_mistakes_of_all_nodes_come_at_once(write: Write) -> None:
    told = mistakes(write("[", node(2, ("vrid = 9", "vrid = 0")), node(3, ("vrid = 9", "vrid = 256"))))
    assert [line.split(": ")[0] for line in told] == ["node1.toml:1:2", "node2.toml:21", "node3.toml:21"]


def test_a_file_of_one_node_is_none_of_all(write: Write) -> None:
    assert mistakes(write(node(1))) == ["node1.toml: is the file of one node; name those of the others, too"]


LEAVES_OUT = ('"2001:db8:ff::11", "192.0.2.11", ', '"192.0.2.11", ')

DIFFERENCES: list[tuple[tuple[str, str], list[str]]] = [
    (
        ("priority = 230", "priority = 240"),
        [
            f"{line}: virtual_router.{name}.priority: is 240, as in node1.toml; write another one on each node"
            for line, name in ((9, "web"), (16, "four"), (22, "dns"))
        ],
    ),
    (LEAVES_OUT, ["3: agent.peers: lacks 2001:db8:ff::11, the source of web in node1.toml; add it"]),
    (
        ("vrid = 9", "vrid = 10"),
        ["21: virtual_router.dns.vrid: is 10, but 9 in node1.toml; write the same on all nodes"],
    ),
    (
        (node(2)[node(2).index("[virtual_router.dns]") : node(2).index("[authentication")], ""),
        ["7: virtual_router: has none with vrid = 9 for IPv4, as dns in node1.toml; write it here, too"],
    ),
    (
        (', "2001:db8:53::2"]', ', "2001:db8:53::4"]'),
        ["10: virtual_router.web.addresses: holds 2001:db8:53::4, which it does not in node1.toml, and lacks 2001"],
    ),
    (
        ('["2001:db8:53::3"]', "[]"),
        ["11: virtual_router.web.unlisted_addresses: lacks 2001:db8:53::3, which it holds in node1.toml; write"],
    ),
    (
        ('"192.0.2.54"]', '"192.0.2.54"]\ngroup = "g"'),
        [
            f"{line}: virtual_router.{name}.group: has other members than in node1.toml; write the same group into the"
            for line, name in ((12, "web"), (18, "four"), (24, "dns"))
        ],
    ),
    (
        ('authentication = "site"', ""),
        [
            "1: agent.authentication: makes adverts that are rejected in node1.toml: they are not signed; write mode =",
            '1: agent.authentication: rejects adverts in node1.toml: they are signed; write mode = "receive-only" on',
        ],
    ),
    (
        ("active_key = 1", 'active_key = 1\nmode = "receive-only"'),
        ["5: agent.authentication: makes adverts that are rejected in node1.toml: they are not signed; write mode ="],
    ),
    (
        ("active_key = 1\nkeys = { 1", "active_key = 3\nkeys = { 3"),
        [
            "5: agent.authentication: makes adverts that are rejected in node1.toml: they are signed with key 3; a key",
            "5: agent.authentication: rejects adverts in node1.toml: they are signed with key 1; a key",
        ],
    ),
]


@pytest.mark.parametrize(("change", "told"), DIFFERENCES, ids=lambda value: str(value)[:40])
def test_what_does_not_go_together_is_a_mistake(write: Write, change: tuple[str, str], told: list[str]) -> None:
    found = mistakes(write(node(1), node(2, change), node(3)))
    assert [line[: len(f"node2.toml:{start}")] for line, start in zip(found, told, strict=False)] == [
        f"node2.toml:{start}" for start in told
    ]
    assert len(found) == len(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("advert_interval = 0.1", "advert_interval = 0.2"), "4: agent.advert_interval: is 0.2, but 0.1 in node1.toml"),
        (("vrid = 9", "vrid = 9\npreempt = false"), "22: virtual_router.dns.preempt: is false, but true in node1.toml"),
        (
            ("vrid = 9", 'vrid = 9\nhandover = "break-before-make"'),
            '22: virtual_router.dns.handover: is "break-before-make", but "make-before-break" in node1.toml',
        ),
        (
            ("[agent]", "[agent]\nbeacon = false"),
            "2: agent.beacon: beacons are off here, but on in node1.toml; write the same on all nodes",
        ),
        (
            ("[agent]", "[agent]\nbeacon_port = 4000"),
            "2: agent.beacon_port: is 4000, but 20112 in node1.toml; write the",
        ),
        (("vrid = 9", 'vrid = 9\nstandby = "announce"'), "22: virtual_router.dns.standby: is true, but false in node1"),
        (
            ("peers = [", 'peers = ["192.0.2.99", '),
            "3: agent.peers: holds 192.0.2.99, which is a source of no node that",
        ),
        (
            ("peers = [", 'peers = [\n"192.0.2.99",\n'),
            "4: agent.peers: holds 192.0.2.99, which is a source of no node that",
        ),
    ],
)
def test_what_had_better_be_the_same_is_a_warning(write: Write, change: tuple[str, str], told: str) -> None:
    found = warnings(write(node(1), node(2, change), node(3)))
    assert found
    assert found[0].startswith(f"node2.toml:{told}")


def test_a_port_of_beacons_that_nobody_sends_may_differ(write: Write) -> None:
    off = ("[agent]", "[agent]\nbeacon = false")
    assert warnings(write(node(1, off), node(2, off, ("[agent]", "[agent]\nbeacon_port = 4000")), node(3, off))) == []
    on = ("[agent]", "[agent]\nbeacon = true")
    told = warnings(write(node(1, off), node(2, off), node(3, on)))
    assert told == [
        "node3.toml:2: agent.beacon: beacons are on here, but off in node1.toml; write the same on all nodes"
    ]


def test_an_interval_of_a_virtual_router_is_told_there(write: Write) -> None:
    (told,) = warnings(write(node(1), node(2, ("vrid = 9", "vrid = 9\nadvert_interval = 1")), node(3)))
    assert told.startswith("node2.toml:22: virtual_router.dns.advert_interval: is 1.0, but 0.1 in node1.toml")


def test_sources_that_only_the_host_knows_are_told(write: Write) -> None:
    text = node(2, ('sources = ["2001:db8:ff::12", "192.0.2.12"]\n', ""))
    assert warnings(write(node(1), text, node(3))) == [
        f"node2.toml:1: agent.sources: has no IPv{family} address, so it is not known here who is its peer; write it"
        for family in (6, 4)
    ]


FLEET = """[node.a]
sources = ["192.0.2.1"]
[node.b]
sources = ["192.0.2.2"]
[virtual_router.dns]
vrid = 9
addresses = ["192.0.2.54"]
order = ["b", "a"]
"""


def test_one_file_for_all_nodes_is_looked_at_as_each(write: Write) -> None:
    assert warnings(write(FLEET)) == []
    assert mistakes(write(FLEET.replace("vrid = 9", "vrid = 0")))[0].startswith("node1.toml:6: virtual_router.dns.vrid")
    idle = write(FLEET + "[check.idle]\nshell = 'true'\n")
    assert warnings(idle) == ['node1.toml:9: check.idle: is used by no virtual router; write checks = ["idle"] in one']


def test_a_node_that_is_not_yet_in_the_file_for_all(write: Write) -> None:
    old = FLEET[FLEET.index("[virtual_router.dns]") :].replace('order = ["b", "a"]', "priority = 250")
    told = mistakes(write(FLEET, f'[agent]\nsources = ["192.0.2.3"]\npeers = ["192.0.2.1"]\n{old}'))
    assert told == [
        "node1.toml:1: node: lacks 192.0.2.3, the source of dns in node2.toml; add it",
        "node2.toml:3: agent.peers: lacks 192.0.2.2, the source of dns on b; add it",
        "node2.toml:7: virtual_router.dns.priority: is 250, as on b; write another one on each node",
    ]


LAN = """[virtual_router.db]
vrid = 9
version = 2
priority = {priority}
transport = "multicast"
interface = "eth1"
source = "192.0.2.1{me}"
addresses = ["192.0.2.54"]
plain_password = "s3cret"
advert_interval = 1
"""


def on_lan(me: int, *changes: tuple[str, str]) -> str:
    text = LAN.format(me=me, priority=250 - 10 * me)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


OPEN = ('plain_password = "s3cret"\n', "")
VERSION3 = (("version = 2\n", ""), OPEN)


def test_multicast_without_peers_hears_every_node(write: Write) -> None:
    assert warnings(write(on_lan(1, *VERSION3), on_lan(2, *VERSION3))) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (VERSION3, "1: virtual_router.db.version: is 3, but 2"),
        ([OPEN], "1: virtual_router.db.plain_password: is not the same"),
        ([("s3cret", "secret")], "9: virtual_router.db.plain_password: is not the same"),
        (
            [('"multicast"', '"unicast"\npeers = ["192.0.2.11"]')],
            '5: virtual_router.db.transport: is "unicast", but "multicast"',
        ),
    ],
)
def test_nodes_that_cannot_hear_each_other_are_a_mistake(
    write: Write, changes: Sequence[tuple[str, str]], told: str
) -> None:
    assert mistakes(write(on_lan(1), on_lan(2, *changes))) == [
        f"node2.toml:{told} in node1.toml, so neither hears the other; write the same on all nodes"
    ]


def test_another_interval_is_a_mistake_in_version_2_which_rejects_it(write: Write) -> None:
    assert mistakes(write(on_lan(1), on_lan(2, ("interval = 1", "interval = 2")))) == [
        "node2.toml:10: virtual_router.db.advert_interval: is 2.0, but 1.0 in node1.toml; write the same"
    ]
