"""One file for all nodes: what it says on each, and what would be wrong on any of them."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from exavrrp.config import ConfigError, Configuration, effective, load, node_names, whole
from tests.conftest import Write

FLEET = """[agent]
advert_interval = 0.1

[node.node1]
sources = ["2001:db8:ff::11", "192.0.2.11"]

[node.node2]
sources = ["2001:db8:ff::12", "192.0.2.12"]

[node.node3]
sources = ["2001:db8:ff::13", "192.0.2.13"]

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
order = ["node2", "node1", "node3"]

[virtual_router.four]
vrid = 7
addresses = ["192.0.2.53"]
priority = { node1 = 200, node2 = 150, node3 = 99 }
"""


def changed(*changes: tuple[str, str]) -> str:
    """FLEET with each text replaced by another one."""
    text = FLEET
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def mistakes(path: Path, node: str | None = "node1", host: str | None = None) -> list[str]:
    """What is wrong, each beginning with the line in the file."""
    with pytest.raises(ConfigError) as caught:
        load(path, node=node, host=host)
    return [str(problem).removeprefix(f"{path}:").strip() for problem in caught.value.problems]


def told(found: Configuration) -> dict[str, tuple[str, list[str], int]]:
    """Of each router its source, peers and priority."""
    return {one.name: (str(one.source), [str(peer) for peer in one.peers], one.priority) for one in found.routers}


def test_each_wrong_source_of_a_node_is_told_on_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "exavrrp.toml"
    twice = '[\n5,\n"x",\n"192.0.2.13",\n"192.0.2.13",\n"192.0.2.11",\n"192.0.2.14"\n]'
    path.write_text(changed(('["2001:db8:ff::13", "192.0.2.13"]', twice)))
    found = [(one.partition(":")[0], one) for one in mistakes(path)]
    words = ("holds 5", 'holds "x"', "twice; remove one", "as does node.node1", "holds two IPv4 addresses")
    assert [line for line, _ in found] == ["12", "13", "15", "16", "17"]
    assert all(word in one for word, (_, one) in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("node", "web", "four"),
    [
        (
            "node1",
            ("2001:db8:ff::11", ["2001:db8:ff::12", "2001:db8:ff::13"], 240),
            ("192.0.2.11", ["192.0.2.12", "192.0.2.13"], 200),
        ),
        (
            "node2",
            ("2001:db8:ff::12", ["2001:db8:ff::11", "2001:db8:ff::13"], 250),
            ("192.0.2.12", ["192.0.2.11", "192.0.2.13"], 150),
        ),
        (
            "node3",
            ("2001:db8:ff::13", ["2001:db8:ff::11", "2001:db8:ff::12"], 230),
            ("192.0.2.13", ["192.0.2.11", "192.0.2.12"], 99),
        ),
    ],
)
def test_each_node_has_its_sources_peers_and_priorities(
    write: Write, node: str, web: tuple[str, list[str], int], four: tuple[str, list[str], int]
) -> None:
    path = write(FLEET)
    found = load(path, node=node)
    assert told(found) == {"web": web, "four": four}
    assert not found.warnings
    assert {router.advert_interval for router in found.routers} == {0.1}
    assert load(write(effective(found))) == found


def test_the_nodes_of_a_file_are_known(write: Write) -> None:
    assert node_names(write(FLEET + "[virtual_router.web4]\nvrid = 0\n")) == ("node1", "node2", "node3")
    assert node_names(write("[check.a]\n")) == node_names(write("node = 7\n")) == ()


@pytest.mark.parametrize(
    ("host", "name"),
    [("node1", "node1"), ("NODE1", "node1"), ("node1.example.com", "node1"), ("db", '"db.example.com"')],
)
def test_a_node_is_found_by_the_name_of_its_host_short_or_full(write: Write, host: str, name: str) -> None:
    path = write(
        changed(("[node.node1]", f"[node.{name}]"))
        .replace('"node1"', f'"{name.strip(chr(34))}"')
        .replace("node1 = 200", f"{name} = 200")
    )
    assert told(load(path, host=host))["web"][2] == 240
    assert told(load(path, node="node3", host=host))["web"][2] == 230  # whoever names one means it


def test_full_names_of_several_sites(write: Write) -> None:
    path = write(FLEET.replace("node1", '"a.one.example"').replace("node2", '"a.two.example"').replace('""', '"'))
    assert told(load(path, host="a.two.example"))["web"][2] == 250
    assert mistakes(path, None, "a") == [
        '4: node: has several nodes for the name "a"; name the node with --node: a.one.example, a.two.example'
    ]


def test_a_host_that_is_no_node_is_told_which_there_are(write: Write) -> None:
    path = write(FLEET)
    known = "name the node with --node: node1, node2, node3"
    assert mistakes(path, None, "db9.example.com") == [
        f'4: node: has no table for "db9.example.com"; write one, or {known}'
    ]
    assert mistakes(path, None, None) == [f"4: node: has several nodes; {known}"]
    assert mistakes(path, "node9", "node1") == [f'4: node: has no table for "node9"; write one, or {known}']


def test_a_node_that_is_named_for_a_file_of_one_node_is_a_mistake(write: Write) -> None:
    path = write(effective(load(write(FLEET), node="node1")))
    (told,) = mistakes(path, "node1")
    assert told == 'has no table [node.NAME], so this is no file for "node1"; leave out --node'
    assert load(path, host="node1").routers


def test_a_node_has_priorities_and_interfaces_of_its_own(write: Write) -> None:
    text = changed(
        ("advert_interval = 0.1", "interfaces = ['eth9']"),
        ("[node.node1]", "[node.node1]\npriority = 120\ninterfaces = ['eth0', 'eth1']"),
        ("[node.node2]", "[node.node2]\npriority = 110"),
        ('order = ["node2", "node1", "node3"]\n', ""),
    )
    found = {node: load(write(text), node=node) for node in ("node1", "node2", "node3")}
    assert [told(each)["web"][2] for each in found.values()] == [120, 110, 100]
    assert [told(each)["four"][2] for each in found.values()] == [200, 150, 99]
    assert [each.agent.interfaces for each in found.values()] == [("eth0", "eth1"), ("eth9",), ("eth9",)]
    assert [each.written for each in found.values()] == [
        {"agent.sources": "node.node1.sources", "agent.interfaces": "node.node1.interfaces"},
        {"agent.sources": "node.node2.sources"},
        {"agent.sources": "node.node3.sources"},
    ]
    assert load(write(effective(found["node2"]))).written == {}


def test_a_priority_that_no_virtual_router_uses_is_a_warning(write: Write) -> None:
    (warning,) = load(write(changed(("[node.node3]", "[node.node3]\npriority = 7"))), node="node1").warnings
    assert str(warning).endswith(
        ":11: node.node3.priority: has no effect: each virtual router has an order or priorities; remove it"
    )


ORDER = 'order = ["node2", "node1", "node3"]'
EXAMPLE = 'order = ["node1", "node2", "node3"]'

MISTAKES: list[tuple[tuple[str, str], str]] = [
    (
        ('sources = ["2001:db8:ff::12", "192.0.2.12"]', 'sources = ["2001:db8:ff::12"]'),
        "8: node.node2.sources: has no IPv4 address, which virtual_router.four needs; add one of this node",
    ),
    (
        ('sources = ["2001:db8:ff::12", "192.0.2.12"]', ""),
        "7: node.node2.sources: is missing; write a list with one of this node's own addresses per family",
    ),
    (
        ("192.0.2.12", "192.0.2.11"),
        "8: node.node2.sources: holds 192.0.2.11, as does node.node1; write an address of this node alone",
    ),
    (
        ('"192.0.2.13"]', '"192.0.2.13", "192.0.2.14"]'),
        "11: node.node3.sources: holds two IPv4 addresses (192.0.2.13, 192.0.2.14); keep one",
    ),
    (("192.0.2.13", "ff02::1"), '11: node.node3.sources: holds "ff02::1"; this is a multicast address'),
    (("192.0.2.11", "192.0.2.011"), '5: node.node1.sources: holds "192.0.2.011"; write an address'),
    (("192.0.2.11", "192.0.2.53"), "20: virtual_router.four.addresses: holds 192.0.2.53, a source; write"),
    (("192.0.2.12", "192.0.2.53"), "20: virtual_router.four.addresses: holds 192.0.2.53, a peer; write"),
    (("[node.node3]", "[node.node3]\npriority = 0"), "11: node.node3.priority: is 0; write a whole number from 1"),
    (("[node.node3]", "[node.node3]\npeers = []"), "11: node.node3.peers: unknown key"),
    (("[node.node3]", "[node.node3]\ninterfaces = ['a/b']"), '11: node.node3.interfaces: holds "a/b"; write the name'),
    (
        (ORDER, "priority = 200"),
        "16: virtual_router.web.priority: is 200 on every node; write an order of nodes, the fi",
    ),
    ((ORDER, 'priority = "high"'), '16: virtual_router.web.priority: is "high"; write a whole number from 1 to 254'),
    ((ORDER, 'order = "node1"'), '16: virtual_router.web.order: is "node1"; write a list of all nodes, the first'),
    ((ORDER, "order = []"), "16: virtual_router.web.order: leaves out node1, node2, node3; name every node"),
    ((ORDER, 'order = ["node2", "node1"]'), "16: virtual_router.web.order: leaves out node3; name every node"),
    ((ORDER, 'order = ["node2", "node2", "node1", "node3"]'), 'web.order: holds "node2" twice; remove one'),
    (
        (ORDER, 'order = ["node2", "node1", "nod3"]'),
        '16: virtual_router.web.order: holds "nod3"; did you mean "node3"?',
    ),
    ((ORDER, 'order = ["zzz", "node1"]'), '16: virtual_router.web.order: holds "zzz"; write a table [node.zzz] for it'),
    (
        (ORDER, f"order = {[f'n{number}' for number in range(26)]}"),
        "16: virtual_router.web.order: holds 26; write at m",
    ),
    ((ORDER, f"{ORDER}\npriority = {{ node1 = 1 }}"), "16: virtual_router.web.order: stands beside priority; keep one"),
    (("node3 = 99", "nod3 = 99"), '21: virtual_router.four.priority.nod3: is "nod3"; did you mean "node3"?'),
    ((", node3 = 99", ""), "21: virtual_router.four.priority: leaves out node3; name every node"),
    (("node3 = 99", "node3 = 256"), "21: virtual_router.four.priority.node3: is 256; write a whole number from 1"),
    (("node3 = 99", "node3 = 150"), "21: virtual_router.four.priority.node3: is 150, as that of node2; write another"),
    (
        (ORDER, f'{ORDER}\nsource = "2001:db8:ff::11"'),
        "17: virtual_router.web.source: stands beside tables [node.NAME]",
    ),
    ((ORDER, f'{ORDER}\npeers = ["2001:db8:ff::12"]'), "17: virtual_router.web.peers: stands beside tables [node.NAM"),
    (
        ("advert_interval = 0.1", 'peers = ["192.0.2.12"]'),
        "2: agent.peers: stands beside tables [node.NAME], and would",
    ),
    (("advert_interval = 0.1", "sources = 7"), "2: agent.sources: stands beside tables [node.NAME], and would be said"),
]


ON_ETH0 = """
[virtual_router.lan]
vrid = 9
interface = "eth0"
order = ["node1", "node2", "node3"]
"""


@pytest.mark.parametrize("addresses", ['"2001:db8:53::9"', '"192.0.2.59"', '"2001:db8:53::9", "192.0.2.59"'])
@pytest.mark.parametrize("more", ["", 'source = "192.0.2.11"', 'peers = ["192.0.2.12"]'])
@pytest.mark.parametrize("transport", ["unicast", "multicast"])
def test_a_virtual_router_on_one_interface_has_a_source_for_each_node(
    write: Write, transport: str, more: str, addresses: str
) -> None:
    """No remedy that leads to another mistake: that it cannot be in this file."""
    text = changed((', "192.0.2.12"', ""), (FLEET[FLEET.index("[virtual_router.four]") :], ""))
    (line,) = mistakes(write(f'{text}{ON_ETH0}addresses = [{addresses}]\ntransport = "{transport}"\n{more}\n'))
    assert line == (
        f'24: virtual_router.lan.transport: is "{transport}", for which each node needs a source of its own, and this'
        " file is for all; write a file for each node, or remove it: adverts are routed"
    )


@pytest.mark.parametrize("node", ["node1", "node2"])
@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=lambda value: str(value)[:60])
def test_one_mistake_gives_one_line_on_every_node(
    write: Write, change: tuple[str, str], message: str, node: str
) -> None:
    if "a source" in message and node == "node2":
        message = message.replace("a source", "a peer")
    elif "a peer" in message and node == "node2":
        message = message.replace("a peer", "a source")
    (line,) = mistakes(write(changed(change)), node)
    assert message in line


def test_nodes_without_priorities_tie_and_each_is_told(write: Write) -> None:
    assert mistakes(write(changed((ORDER, "")))) == [
        f"{line}: node.{name}.priority: is 100, as in node.node1; write another one, or an order of nodes into each"
        f" virtual router: {EXAMPLE}"
        for line, name in ((7, "node2"), (10, "node3"))
    ]


def test_a_node_has_a_name_as_hosts_have(write: Write) -> None:
    told = mistakes(write(changed(("[node.node3]", "[node.Node3]"))))
    assert told[0].startswith(
        "10: node.Node3: a name has 1 to 64 characters of a-z, 0-9, _, - and . and begins with a-z"
    )


def test_a_host_named_twice_is_a_mistake(write: Write) -> None:
    text = changed(("[node.node3]", '[node."node1.example.com"]')).replace('"node3"', '"node1.example.com"')
    (line,) = mistakes(write(text.replace("node3 =", '"node1.example.com" =')), "node2")
    assert line == (
        '10: node."node1.example.com": is the full name of node.node1, and both are one host; keep one of the two'
        " tables"
    )


def test_mistakes_in_several_nodes_come_at_once(write: Write) -> None:
    text = changed(
        ("192.0.2.12", "192.0.2.11"),
        ("2001:db8:ff::13", "fe80::13"),
        ('vrid = 7\naddresses = ["2', 'vrid = 0\naddresses = ["2'),
    )
    assert [line.split(":")[0] for line in mistakes(write(text))] == ["8", "11", "14"]


def test_more_nodes_than_a_node_can_have_peers_are_a_mistake(write: Write) -> None:
    nodes = "".join(f'[node.n{number}]\nsources = ["2001:db8::{number:x}"]\n' for number in range(1, 258))
    router = '[virtual_router.six]\nvrid = 1\naddresses = ["2001:db8:53::1"]\n'
    numbers = ", ".join(f"n{number} = {min(number, 254)}" for number in range(1, 258))
    assert "1: node: has 257 nodes; write at most 256" in mistakes(write(f"{nodes}{router}priority = {{ {numbers} }}"))


@pytest.mark.parametrize("text", [r" 192.0.2.53", r"192.0.2.53\tlabel lo:a"])
def test_whatever_blanks_an_address_has_its_node_needs_a_source(write: Write, text: str) -> None:
    told = changed((', "192.0.2.12"', ""), ('"192.0.2.53"', f'"{text}"'))
    assert mistakes(write(told)) == [
        "8: node.node2.sources: has no IPv4 address, which virtual_router.four needs; add one of this node"
    ]


def test_one_node_alone_is_a_mistake(write: Write) -> None:
    text = '[node.a]\nsources = ["192.0.2.1"]\n[virtual_router.four]\nvrid = 1\naddresses = ["192.0.2.53"]\n'
    assert mistakes(write(text), "a") == [
        "1: node: has one node alone; write a table [node.NAME] for each of the others"
    ]


@pytest.mark.parametrize("text", ["node = 7\n", "[node]\nsources = []\n", "[[node]]\nsources = []\n"])
def test_nodes_without_names_are_one_mistake(write: Write, text: str) -> None:
    rest = FLEET[FLEET.index("[virtual_router.web]") :].replace(ORDER, "").replace("priority = {", "# {")
    (line,) = mistakes(write(text + rest))
    assert line == "1: node: has no name; write [node.NAME] above its keys"


def test_nodes_are_named_only_where_there_are_any(write: Write) -> None:
    single = changed((FLEET[FLEET.index("[node.node1]") : FLEET.index("[virtual_router.web]")], ""))
    single = single.replace("advert_interval = 0.1", 'peers = ["192.0.2.1", "2001:db8:ff::1"]')
    assert mistakes(write(single), None, "node1") == [
        "7: virtual_router.web.order: needs a table [node.NAME] for each node; write them, or priority = 200",
        "12: virtual_router.four.priority: names nodes, but there is no table [node.NAME]; write them, or a number",
    ]


def test_a_service_brings_its_order(write: Write, tmp_path: Path) -> None:
    where = FLEET.index("[virtual_router.web]")
    path = write(FLEET[:where])
    (tmp_path / "conf.d").mkdir()
    service = tmp_path / "conf.d" / "services.toml"
    service.write_text(FLEET[where:])
    assert load(path, node="node2") == load(write(FLEET), node="node2", alone=True)
    service.write_text(FLEET[where:].replace('"node3"]', '"node4"]'))
    path = write(FLEET[:where])
    (line,) = mistakes(path, "node2")
    assert line.endswith('services.toml:4: virtual_router.web.order: holds "node4"; did you mean "node3"?')


def test_what_is_kept_for_the_next_agent_is_for_all_nodes_too(write: Write, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "check.toml").write_text('[check.a]\nshell = "true"\n')
    path = write(FLEET)
    found = load(path, node="node3")
    path.write_bytes(whole(path))
    assert load(path, node="node3", alone=True) == found


def test_the_address_of_each_node_is_looked_for_on_no_host(write: Write) -> None:
    found = load(write(FLEET), lambda: [ip_address("2001:db8:77::1")], node="node1")
    assert told(found)["web"][0] == "2001:db8:ff::11"
