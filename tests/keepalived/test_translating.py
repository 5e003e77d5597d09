"""What each directive becomes, and that none is lost: samples, then single rules."""

import re
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import pytest
import tomli

from exavrrp.config import ConfigError, load
from exavrrp.config.foreign import KEEPALIVED
from exavrrp.keepalived.exabgp import Neighbor, missing, stanza
from exavrrp.keepalived.ledger import Entry, shown
from exavrrp.keepalived.names import Names
from exavrrp.keepalived.nearest import UNKNOWN
from exavrrp.keepalived.reading import Unreadable
from exavrrp.keepalived.report import report
from exavrrp.keepalived.translating import Imported, translated
from tests.keepalived.files import reading

SAMPLES = Path(__file__).parent / "samples"

BASE = """
virtual_router_id 7
interface eth0
mcast_src_ip 192.0.2.11
virtual_ipaddress { 192.0.2.53/32 dev lo }
"""
ROUTER = {
    "vrid": 7,
    "version": 2,
    "addresses": ["192.0.2.53"],
    "transport": "multicast",
    "interface": "eth0",
    "source": "192.0.2.11",
    "checks": ["eth0"],
}


def imported(text: str, **sources: str) -> Imported:
    found = {(name, 6 if ":" in address else 4): address for name, address in sources.items()}
    return translated(reading(text), found)


def instance(more: str = "", base: str = BASE, outside: str = "") -> Imported:
    """A router with these lines, and others outside of it."""
    return imported(f"{outside}\nvrrp_instance web {{\n{base}\n{more}\n}}\n")


def tables(made: Imported) -> dict[str, dict[str, object]]:
    return tomli.loads(made.toml)


def router(made: Imported) -> dict[str, object]:
    """The differences from what ``BASE`` alone is."""
    found = tomli.loads(made.toml)["virtual_router"]["web"]
    return {key: value for key, value in found.items() if ROUTER.get(key) != value}


def entry(made: Imported, words: str) -> Entry:
    [found] = [one for one in made.entries if one.text == words]
    return found


def told(made: Imported, words: str) -> str:
    one = entry(made, words)
    return f"{one.outcome.name} {one.remark}"


def mistakes(text: str) -> list[str]:
    with pytest.raises(Unreadable) as caught:
        imported(text)
    return [str(fault) for fault in caught.value.faults]


def check_accepts(made: Imported, tmp_path: Path) -> list[str]:
    """What the loader says against it."""
    path = tmp_path / "exavrrp.toml"
    path.write_text(made.toml)
    path.chmod(0o600)
    try:
        load(path)
    except ConfigError as error:
        return [problem.key for problem in error.problems]
    return []


# Nothing is lost


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.conf")), ids=lambda path: path.stem)
@pytest.mark.parametrize("node", ["a", "b"])
def test_each_directive_stands_in_exactly_one_list(path: Path, node: str) -> None:
    found = reading(path.read_text(), node)
    made = translated(found, {})
    directives = Counter((one.place, shown(one.words)) for top in found.directives for one in top.all())
    listed = Counter((one.place, one.text) for one in made.entries)
    assert not directives - listed
    others = len(found.definitions) + len(found.skipped) + len(found.includes)
    assert listed.total() == directives.total() + others


@pytest.mark.parametrize(
    "more",
    [
        "mcast_src_ip 192.0.2.12 { x }",
        "priority 7 { x }",
        "notify /bin/a { x }",
        "track_interface { eth1 { x } }",
        "unicast_peer { 192.0.2.12 { x } }",
        "virtual_ipaddress { 192.0.2.54 { x } }",
        "virtual_routes { x { y } }",
        "nonsense { x { y } }",
        "advert_int 1 { x }",
    ],
)
def test_what_stands_in_a_block_where_none_belongs_is_not_lost(more: str) -> None:
    assert told(instance(more), "x").startswith("LEFT is within ")


@pytest.mark.parametrize("word", sorted({word.rpartition(".")[2] for word in KEEPALIVED}))
def test_each_word_of_keepalived_is_known_where_it_may_stand(word: str) -> None:
    block = f"{word} x {{ a }}"
    remarks = set()
    for text in (
        f"{block}\nvrrp_instance a {{\n{BASE}}}",
        f"global_defs {{\n{word} 1\n}}\nvrrp_instance a {{\n{BASE}}}",
        f"vrrp_instance a {{\n{BASE}\n{word} 1\n}}",
    ):
        try:
            remarks |= {one.remark for one in imported(text).entries if one.text.startswith(word)}
        except Unreadable:
            remarks.add("refused, by its name")
    assert remarks - {UNKNOWN}


def test_the_loader_accepts_all_but_what_the_report_names(tmp_path: Path) -> None:
    made = translated(reading((SAMPLES / "everything.conf").read_text()), {})
    # A node that signs has to be known: no keepalived.conf with multicast says by which address.
    assert check_accepts(made, tmp_path) == ["virtual_router.vi_2.source", "virtual_router.six.peers"]
    assert made.missing == (("virtual_router.vi_2.source", "this node's IPv4 address on eth1 (or give --source)"),)
    assert check_accepts(instance(), tmp_path) == []


def test_the_report_has_three_lists_and_what_is_to_fill_in() -> None:
    made = instance("priority 7\nuse_vmac\nstate MASTER")
    lines = report(made.entries, [("exavrrp.toml: x", "y")]).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "Taken over (7)",
        "",
        "Taken over differently (1)",
        "",
        "Not taken over (1)",
        "",
        "To fill in (1)",
    ]
    assert "  exavrrp.toml: x: y" in lines
    assert "  k.conf:9: priority 7 -> priority = 7" in lines


# Virtual routers


@pytest.mark.parametrize(
    ("more", "keys", "said"),
    [
        ("priority 150", {"priority": 150}, "TAKEN"),
        ("state BACKUP", {}, "TAKEN every node starts as Backup"),
        ("state MASTER", {"priority": 255}, "CHANGED priority = 255, the owner"),
        ("version 3", {"version": None}, "TAKEN version = 3"),
        ("version 2", {}, "TAKEN version = 2"),
        ("advert_int 1.5", {"advert_interval": 2.0}, "CHANGED advert_interval = 2.0, as keepalived rounds it"),
        ("advert_int 0.4", {"advert_interval": 1.0}, "CHANGED"),
        ("advert_int 3", {"advert_interval": 3.0}, "TAKEN"),
        ("nopreempt", {"preempt": False}, "TAKEN"),
        ("preempt", {}, "TAKEN preempt = true"),
        ("preempt_delay 5", {"preempt_delay": 5.0}, "CHANGED preempt_delay = 5.0, from a lower priority alone"),
        ("down_timer_adverts 5", {"down_count": 5}, "TAKEN"),
        ("down_timer_adverts 1", {"down_count": 2}, "CHANGED"),
        ("dont_track_primary", {"checks": None}, "TAKEN"),
        ("unicast_ttl 255", {}, "TAKEN"),
        ("unicast_ttl 64", {}, "CHANGED"),
        ("mcast_dst_ip 224.0.0.18", {}, "TAKEN"),
        ("mcast_dst_ip 224.0.0.99", {}, "LEFT"),
        ("check_unicast_src", {}, "TAKEN only peers are heard, always"),
        ("use_vmac vrrp7", {}, "LEFT there is no virtual MAC"),
        ("garp_master_delay 7", {}, "LEFT there is no gratuitous ARP"),
        ("nonsense 7", {}, f"LEFT {UNKNOWN}"),
        ("unicast_fault_no_peer", {"transport": "unicast"}, "TAKEN"),
        ("unicast_src_ip 192.0.2.12", {"source": "192.0.2.12"}, "TAKEN"),
        (
            "notify_master /bin/a",
            {"notify_active": ["/bin/a"]},
            (
                "CHANGED notify_active: runs as ExaBGP's user without capabilities, and after the program before it has"
                " ended: check that it needs no right to change the network; take it out if it announces or withdraws"
            ),
        ),
        ("notify_stop \"/bin/a 'b c'\" root", {"notify_stop": ["/bin/a", "b c"]}, "CHANGED"),
        ("notify a", {"notify": ["/bin/sh", "-c", 'exec "$0" "$@"', "a"]}, "CHANGED notify, found by /bin/sh in PATH"),
        ("notify_deleted /bin/a", {}, "LEFT nearest: notify_stop"),
    ],
)
def test_a_line_of_a_router(more: str, keys: dict[str, object], said: str) -> None:
    made = instance(more)
    found = router(made)
    assert {key: found.get(key) for key in keys} == keys
    assert found.keys() <= keys.keys()
    words = " ".join(re.findall(r'"[^"]*"|\S+', more)).replace('"', "")
    assert told(made, words).startswith(said)


@pytest.mark.parametrize(
    ("more", "word", "said"),
    [
        ("state MASTER\npriority 9\nnopreempt", "nopreempt", "LEFT keepalived clears it"),
        ("state MASTER\npriority 9\npreempt_delay 3", "preempt_delay 3", "LEFT keepalived clears it"),
        ("state MASTER\npriority 9", "state MASTER", "CHANGED every node starts as Backup"),
        ("state MASTER\npriority 255", "state MASTER", "TAKEN"),
        ("priority 255\nnopreempt", "nopreempt", "LEFT priority 255 always preempts"),
        ("nopreempt\npreempt_delay 3", "preempt_delay 3", "LEFT nopreempt preempts nobody"),
        ("nopreempt\npreempt\npreempt_delay 3", "preempt_delay 3", "CHANGED preempt_delay = 3.0"),
        ("nopreempt\npreempt", "nopreempt", "LEFT k.conf:10 counts in its place"),
        ("preempt\nnopreempt", "preempt", "LEFT k.conf:10 counts in its place"),
        ("priority 1\npriority 2", "priority 1", "LEFT k.conf:10 counts in its place"),
        ("unicast_src_ip 192.0.2.12", "mcast_src_ip 192.0.2.11", "LEFT unicast_src_ip of k.conf:9 counts"),
        ("interface eth0", "interface eth0", ""),
    ],
)
def test_lines_that_depend_on_each_other(more: str, word: str, said: str) -> None:
    made = instance(more)
    assert any(f"{one.outcome.name} {one.remark}".startswith(said) for one in made.entries if one.text == word)


SIX = "virtual_router_id 7\ninterface eth0\n"


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ("virtual_ipaddress { 2001:db8::1 }\npreferred_lft x", {"preferred_lifetime": None}),
        ("virtual_ipaddress { 2001:db8::1 preferred_lft forever }", {"preferred_lifetime": "forever"}),
        ("virtual_ipaddress { 2001:db8::1 preferred_lft 0 dev lo }", {"preferred_lifetime": None}),
        ("virtual_ipaddress { 2001:db8::1/64 dev lo no_track }", {"preferred_lifetime": "forever"}),
        (
            "virtual_ipaddress {\n2001:db8::1 preferred_lft 0\n2001:db8::2/64\n2001:db8::3 preferred_lft 600\n}",
            {
                "addresses": ["2001:db8::1", "2001:db8::2 preferred_lft forever", "2001:db8::3"],
                "preferred_lifetime": None,
            },
        ),
        ("virtual_ipaddress { 2001:db8::1 label dev dev lo }", {"addresses": ["2001:db8::1"]}),
        ("version 2\nvirtual_ipaddress { 2001:db8::1 }", {"version": None}),
        ("version 3\nvirtual_ipaddress { 2001:db8::1 }", {"version": None}),
    ],
)
def test_a_router_of_ipv6(lines: str, keys: dict[str, object]) -> None:
    made = instance(lines, SIX)
    found = router(made)
    assert {key: found.get(key) for key in keys} == keys
    assert made.missing == (("virtual_router.web.source", "this node's link-local address on eth0 (or give --source)"),)


def test_where_a_virtual_address_was_is_said() -> None:
    made = instance(
        base="virtual_router_id 7\nvirtual_ipaddress { 192.0.2.53/24 scope link }\nunicast_peer { 192.0.2.2 }"
    )
    assert told(made, "192.0.2.53/24 scope link") == (
        "CHANGED addresses: on lo as /32 and announced by ExaBGP, not on the default interface with /24: check that"
        " whoever asked for it by ARP has a route to it, or import --on-link; without scope link"
    )
    assert told(instance(), "192.0.2.53/32 dev lo").startswith("TAKEN")
    for line in ("192.0.2.53/32 dev lo preferred_lft 0", "2001:db8::1/128 dev lo preferred_lft 600"):
        made = instance(base=f"virtual_router_id 7\ninterface eth0\nvirtual_ipaddress {{ {line} }}")
        assert told(made, line).endswith(f"without {line.partition(' dev lo ')[2]}")


@pytest.mark.parametrize(
    ("lines", "keys", "said"),
    [
        ("192.0.2.53/24", {"addresses": ["192.0.2.53/24"], "bind": "eth0"}, "TAKEN addresses: on eth0"),
        (
            "192.0.2.53/24 label eth1:web no_track dev eth1 scope link",
            {"addresses": ["192.0.2.53/24 label eth1:web scope link"], "bind": "eth1"},
            "TAKEN addresses: on eth1 while Active, as before",
        ),
        (
            "192.0.2.53 brd 192.0.2.255",
            {"addresses": ["192.0.2.53/32"], "bind": "eth0"},
            "CHANGED addresses: on eth0 while Active, as before; without brd 192.0.2.255",
        ),
        (
            "2001:db8::1/64 label x",
            {"addresses": ["2001:db8::1/64"], "preferred_lifetime": "forever"},
            "CHANGED addresses: on eth0 while Active, as before; without label x",
        ),
        (
            "2001:db8::1 preferred_lft forever\n2001:db8::2",
            {"addresses": ["2001:db8::1/128 preferred_lft forever", "2001:db8::2/128"]},
            "TAKEN addresses: on eth0",
        ),
        (
            "192.0.2.53/32 dev lo",
            {"addresses": None, "bind": None, "announce": None},
            "TAKEN addresses: on lo",
        ),
        ("192.0.2.53/32\n192.0.2.54/32 dev eth0", {"addresses": ["192.0.2.53/32", "192.0.2.54/32"]}, "TAKEN"),
    ],
)
def test_on_a_link_addresses_stay_where_they_are(
    lines: str, keys: dict[str, object], said: str, tmp_path: Path
) -> None:
    text = f"vrrp_instance web {{\n{SIX}virtual_ipaddress {{\n{lines}\n}}\n}}"
    source = "fe80::1" if ":" in lines.split(maxsplit=1)[0] else "192.0.2.11"
    made = translated(reading(text), {("eth0", ip_address(source).version): source}, on_link=True)
    found = router(made)
    assert {key: found.get(key) for key in keys} == keys
    assert found.get("announce") == keys.get("announce", False)
    assert told(made, lines.splitlines()[0]).startswith(said)
    assert not check_accepts(made, tmp_path)


@pytest.mark.parametrize("excluded", ["", "}\nvirtual_ipaddress_excluded {"])
def test_on_a_link_a_router_has_one_interface(excluded: str) -> None:
    text = f"vrrp_instance web {{\n{SIX}virtual_ipaddress {{\n192.0.2.53/24\n{excluded}\n192.0.2.54/24 dev eth1\n}}\n}}"
    made = translated(reading(text), {}, on_link=True)
    assert router(made)["addresses"] == ["192.0.2.53/24"]
    assert told(made, "192.0.2.54/24 dev eth1").startswith("LEFT the others are on eth0: nearest is a virtual router")
    assert "192.0.2.54" not in made.toml


def test_on_a_link_without_an_interface_addresses_are_on_lo() -> None:
    text = "vrrp_instance web {\nvirtual_router_id 7\nvirtual_ipaddress { 192.0.2.53 }\nunicast_peer { 192.0.2.2 }\n}"
    made = translated(reading(text), {}, on_link=True)
    assert "bind" not in router(made)
    assert "not on the default interface with /32" in told(made, "192.0.2.53")


def test_a_source_that_the_file_does_not_name_may_be_given() -> None:
    text = f"vrrp_instance web {{\n{SIX}virtual_ipaddress {{ 2001:db8::1 }}\n}}"
    assert router(imported(text, eth0="fe80::1"))["source"] == "fe80::1"
    unicast = text.replace("interface eth0", "interface eth1\nunicast_peer { fe80::2 }")
    made = translated(reading(unicast), {("", 6): "fe80::1", ("eth0", 6): "fe80::9"})
    assert {key: router(made)[key] for key in ("source", "transport", "peers")} == {
        "source": "fe80::1",
        "transport": "unicast",
        "peers": ["fe80::2"],
    }


def test_names_become_ours_and_differ() -> None:
    text = "".join(f"vrrp_instance {name} {{\n{BASE.replace('7', str(vrid))}}}\n" for vrid, name in enumerate(NAMES, 1))
    made = imported(text)
    assert list(tables(made)["virtual_router"]) == ["vi_1", "vi_1-2", "x", "a.b"]
    assert "notify programs get INSTANCE vi_1-2" in told(made, "vrrp_instance vi_1")
    assert Names().new("_" * 99 + "A" * 99) == "a" * 56


NAMES = ("VI_1", "vi_1", "_", "a.b")


def test_routers_of_a_group_move_together_and_weights_do_not_count() -> None:
    outside = (
        "vrrp_script s { \nscript /bin/true\n}\nvrrp_sync_group g {\ngroup { \nweb\nb\nnobody }\n"
        "track_interface { eth9 }\ntrack_script { s }\nnotify /bin/m\nnotify /bin/n\n}\n"
    )
    other = BASE.replace("7", "8")
    text = f"{outside}vrrp_instance web {{\n{BASE}track_script {{ s weight 3 }}\n}}\nvrrp_instance b {{\n{other}}}\n"
    made = imported(text)
    found = tables(made)["virtual_router"]
    assert [one["group"] for one in found.values()] == ["g", "g"]  # type: ignore[index]
    assert [one["checks"] for one in found.values()] == [["eth0", "eth9", "s"], ["eth0", "eth9", "s"]]  # type: ignore[index]
    ignored = "LEFT keepalived ignores it, too: a member of a sync group tracks it with a weight"
    assert told(made, "s weight 3") == ignored
    assert told(made, "nobody") == "LEFT there is no such virtual router"
    assert told(made, "notify /bin/n").endswith("it gets INSTANCE web, not GROUP g")
    assert told(made, "notify /bin/m").startswith("LEFT k.conf:")
    counted = imported(text.replace("notify /bin/n", "sync_group_tracking_weight"))
    assert told(counted, "s weight 3") == 'TAKEN "s" in checks'


TRACKED = """
vrrp_script s {
script /bin/true
}
vrrp_track_process p {
process web
}
track_file f {
file /run/f
}
"""
USES = """
track_script {
s weight 3
}
track_process {
p weight -4
}
track_file {
f
}
track_interface {
eth1 weight 5
}
"""


GROUP = "vrrp_sync_group g {{\ngroup {{\nweb\nb\n}}\n{}\n}}\n"


@pytest.mark.parametrize(
    ("group", "member", "priority", "counted"),
    [
        (None, USES, 150, {"s": 3, "p": -4, "f": 1, "eth1": 5}),
        ("sync_group_tracking_weight", USES, 150, {"s": 3, "p": -4, "f": 1, "eth1": 5}),
        ("", USES, 150, {"p": -4, "f": 0, "eth1": 5}),
        ("", USES.replace("\nf\n", "\nf weight 2\n"), 150, {"p": -4, "eth1": 5}),
        ("", USES, 255, {"f": 0}),
        (None, USES, 255, {"f": 0}),
        (USES, "", 150, {"s": 3, "p": -4, "f": 1, "eth1": 5}),
        (USES, "", 255, {"s": 0, "p": 0, "f": 0, "eth1": 0}),
    ],
)
def test_a_weight_counts_where_keepalived_counts_it(
    group: str | None, member: str, priority: int, counted: dict[str, int]
) -> None:
    outside = TRACKED if group is None else TRACKED + GROUP.format(group)
    other = f"vrrp_instance b {{\n{BASE.replace('7', '8')}}}\n"
    made = instance(f"priority {priority}\n{member}", outside=outside + other)
    checks = tables(made)["check"]
    assert {name: table["weight"] for name, table in checks.items() if name != "eth0"} == counted  # type: ignore[index]


def test_what_becomes_of_the_weights_of_a_member_is_told() -> None:
    made = instance(USES, outside=TRACKED + GROUP.format(""))
    assert told(made, "f") == 'TAKEN "f" in checks; without its weight, which keepalived clears, too: it is a fault'
    shared = "; its weight counts in keepalived, too, and here the least priority of the group is everybody's"
    assert told(made, "p weight -4") == f'CHANGED "p" in checks{shared}'
    assert told(made, "eth1 weight 5") == f'CHANGED "eth1" in checks: in fault or weighed within 0.2 s{shared}'


# Checks

SCRIPT = "vrrp_script s {{\n{}\n}}"


@pytest.mark.parametrize(
    ("lines", "use", "check"),
    [
        ("script /bin/true", "s", {"command": ["/bin/true"], "interval": 1.0, "timeout": 1.0, "weight": 0}),
        ("script /bin/true\ninterval 3", "s weight -9", {"interval": 3.0, "timeout": 3.0, "weight": -9}),
        ("script /bin/true", "s", {"initial": "wait"}),
        ("script /bin/true", "s weight -9", {"initial": "pass"}),
        ("script /bin/true", "s weight 9", {"initial": "fail"}),
        ("script /bin/true", "s weight -9 reverse", {"initial": "fail"}),
        ("script /bin/true\nweight 9 reverse", "s", {"weight": 9, "reverse": True, "initial": "pass"}),
        ("script /bin/true\nweight 9 reverse", "s weight 4 noreverse", {"weight": 4, "reverse": None}),
        ("script 'a b'\nuser nobody\ninit_fail", "s", {"shell": "a b", "user": "nobody", "initial": "fail"}),
        ("script a\nscript /b", "s", {"shell": None, "command": ["/b"], "rise": 1, "fall": 1}),
        ("script /bin/true\nrise 2\nfall 3\ntimeout 9", "s", {"rise": 2, "fall": 3, "timeout": 9.0}),
    ],
)
def test_a_script(lines: str, use: str, check: dict[str, object]) -> None:
    made = instance(f"track_script {{ {use} }}", outside=SCRIPT.format(lines))
    found = tables(made)["check"]["s"]
    assert {key: found.get(key) for key in check} == check  # type: ignore[attr-defined]
    assert told(made, use) == 'TAKEN "s" in checks'


def test_a_user_is_one_that_a_unit_without_root_cannot_run_programs_as() -> None:
    program, of_root = (
        "script /bin/true",
        "remove user where ExaBGP is neither root nor that user, as with the shipped unit",
    )
    made = instance("track_script { s }", outside=SCRIPT.format(f"{program}\nuser nobody"))
    assert told(made, program) == "TAKEN command"
    assert told(made, "user nobody") == f'CHANGED user = "nobody"; {of_root} (User=exabgp)'
    grouped = instance("track_script { s }", outside=SCRIPT.format(f"user nobody nogroup\n{program}"))
    assert told(grouped, "user nobody nogroup").startswith('CHANGED user = "nobody", with the groups of that user; rem')
    everywhere = f"global_defs {{\nscript_user nobody\n}}\n{SCRIPT.format(program)}"
    assert of_root in told(instance("track_script { s }", outside=everywhere), "script_user nobody")


def test_a_signal_that_the_user_of_exabgp_may_not_send_is_not_sent() -> None:
    script = "script '/usr/bin/killall -0 haproxy'\nuser root\nweight -9"
    made = instance("track_script { s }", outside=f"global_defs {{\nscript_user root\n}}\n{SCRIPT.format(script)}")
    assert tables(made)["check"]["s"] == {
        "process": "haproxy",
        "interval": 1.0,
        "timeout": 1.0,
        "rise": 1,
        "fall": 1,
        "weight": -9,
        "initial": "pass",
    }
    right = "needs the right to signal the process, which ExaBGP's user has not"
    wanted = "/usr/bin/killall -0 haproxy"
    assert told(made, f"script {wanted}") == f'CHANGED process = "haproxy", since {wanted} {right}'
    assert told(made, "user root") == "LEFT a check with process starts no program"
    for other in ("/usr/bin/pkill -0 -x web", "/usr/bin/killall -0 web db", "/bin/killall -0 /usr/sbin/web"):
        made = instance("track_script { s }", outside=SCRIPT.format(f"script '{other}'"))
        assert tables(made)["check"]["s"]["command"] == other.split()  # type: ignore[index]
        assert f"-0 {right}: write process or pgrep in its place" in told(made, f"script {other}")


def test_uses_with_other_weights_are_checks_of_their_own() -> None:
    outside = SCRIPT.format("script /bin/true")
    made = instance("track_script { \ns weight 1\ns weight -254\ns weight 1\n}", outside=outside)
    assert router(made)["checks"] == ["eth0", "s", "s-2"]
    assert told(made, "s weight -254") == 'TAKEN "s-2" in checks; weight -253, the most that counts'


def test_what_cannot_be_a_check_is_said_at_both_places() -> None:
    outside = "vrrp_track_process p {\nprocess /usr/sbin/web\n}\nvrrp_script s { }\nvrrp_track_process q { quorum 2 }"
    made = instance("track_process { p }\ntrack_script { s }\ntrack_process { q }", outside=outside)
    assert told(made, "p").startswith("LEFT see k.conf:1: processes are known by their names alone")
    assert told(made, "vrrp_track_process p").startswith("LEFT processes are known")
    assert told(made, "s").startswith("LEFT see k.conf:4: has nothing to look at")
    assert tables(made)["check"].keys() == {"eth0"}


# Authentication

HEX = "ab" * 32


def test_a_password_of_version_2_has_8_characters_and_is_not_shown() -> None:
    made = instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}", outside="$P=123456789\n$Q=1")
    assert router(made)["plain_password"] == "12345678"
    assert made.secrets == ("12345678",)
    assert "1234" not in report(made.entries, ())
    assert told(made, "$P=…") == "LEFT is used nowhere"
    for lines in ("auth_type AH", "auth_type PASS", "auth_pass x"):
        assert "plain_password" not in router(instance(f"authentication {{\n{lines}\n}}"))


def test_keys_are_taken_over_and_not_shown() -> None:
    text = "version 3\nauth_hmac {{\nkey 1 file:/etc/1\nkey 2 hex:{}\nkey 3 {}\nactive_key 1\n}}"
    made = instance(text.format(HEX, "k" * 32))
    assert tables(made)["authentication"] == {
        "web": {
            "active_key": 1,
            "keys": {"1": {"file": "/etc/1"}, "2": {"hex": HEX}, "3": {"hex": ("k" * 32).encode().hex()}},
        }
    }
    told = report(made.entries, ())
    assert HEX not in told
    assert "kkk" not in told
    assert "key 1 file:/etc/1" in told


def test_routers_with_the_same_keys_share_a_table() -> None:
    keys = "version 3\nauth_hmac {{\nkey 1 file:/etc/{}\nactive_key 1\n}}"
    text = "".join(f"vrrp_instance {name} {{\n{BASE}{keys.format(name[0])}\n}}\n" for name in ("a", "b", "a2"))
    made = imported(text)
    assert [one["authentication"] for one in tables(made)["virtual_router"].values()] == ["a", "b", "a"]  # type: ignore[index]
    assert list(tables(made)["authentication"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("more", "outside"),
    [
        ("authentication { auth_type PASS auth_pass s3cret }", ""),
        ("Auth_Pass s3cret", ""),
        ("auth_hmac {\nkey s3cret\nactive_key 1\n}", ""),
        ("version 3\nauthentication {\nauth_type PASS\nauth_pass $X\n}", "$X=s3cret"),
        ("authentication {\nauth_type PASS\nauth_pass ${X}${Y}\n}", "$X=s3c\n$Y=ret"),
        ("", "$X=s3cret"),
        ("", "@b $X=s3cret"),
        ("@b auth_pass\ts3cret", ""),
        ("@b key 1\ts3cret", ""),
    ],
)
def test_no_secret_is_shown_wherever_it_stands(more: str, outside: str) -> None:
    made = instance(more, outside=outside)
    told = report(made.entries, ())
    assert "s3c" not in told
    assert "…" in told


def test_what_is_for_other_nodes_is_said_without_secrets() -> None:
    made = instance("@b auth_pass s3cret\n@b priority 7")
    assert told(made, "@b priority 7") == "LEFT is for other nodes: import it there, with their --id"
    assert told(made, "@b auth_pass …").startswith("LEFT")


# Mistakes


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("priority 0", 'priority holds "0"; write a number from 1 to 255'),
        ("priority 1.5", "priority holds 1.5; write a whole number"),
        ("priority 20 30", 'priority holds "20 30"; write a number'),
        ("priority nan", 'priority holds "nan"'),
        ("priority 1e2", 'priority holds "1e2"'),
        ("priority 50.0", "priority holds 50.0; write a whole number"),
        ("priority \u0665", 'priority holds "\u0665"'),
        ("priority", 'priority holds ""'),
        ("version 4", 'version holds "4"'),
        ("state UP", "state holds no state"),
        ("advert_int x", 'advert_int holds "x"'),
        ("unicast_peer 192.0.2.12", "unicast_peer has to have its lines within braces"),
        ("track_interface eth1 {\neth2\n}", "track_interface has to have its lines within braces"),
        ("authentication {\nauth_type AH\nauth_pass x\n}", "auth_type is not PASS, the only one here"),
        ("authentication {\nauth_type PASS\nauth_pass 'a b'\n}", "auth_pass has to be of printable ASCII"),
        ("interface eth0 eth1", "interface names no interface, or several"),
        ("mcast_src_ip 192.0.2.1 192.0.2.2", 'mcast_src_ip holds "192.0.2.1 192.0.2.2"'),
        ("mcast_src_ip x", 'mcast_src_ip holds "x"; write an address'),
        ("unicast_peer { 127.0.0.1 }", '127.0.0.1 holds "127.0.0.1"; this is a loopback address'),
        ("virtual_ipaddress { nowhere }", "nowhere is no address"),
        ("virtual_ipaddress { 192.0.2.7/99 }", "192.0.2.7/99 is no address"),
        ("notify", "notify names no program"),
        ('notify "/bin/a \'b"', "notify has a quote without its end"),
        ("track_interface { eth1 weight x }", 'eth1 holds "weight x"; write weight'),
        ("track_interface { eth1 weight 1_0 }", 'eth1 holds "weight 1_0"; write weight'),
        ("track_interface { eth1 heavy }", 'eth1 holds "heavy"; write weight'),
        ("track_interface { eth1 weight -255 }", 'eth1 holds "weight -255"; write weight and a whole number from -253'),
        ("track_interface { eth1 reverse }", 'eth1 holds "reverse"; write weight'),
        ("track_interface { eth1 weight 9 no_reverse }", 'eth1 holds "weight 9 no_reverse"; write weight'),
        ("version 3\nauth_hmac { mode enforce }", "auth_hmac has no active_key"),
        ("version 3\nauth_hmac { \nactive_key 1\nmode x\n}", "mode holds no mode"),
        ("version 3\nauth_hmac { \nactive_key 1\nkey 1 hex:00\n}", "key 1 has not 32 to 64 bytes"),
        ("version 3\nauth_hmac { \nactive_key 1\nkey 1 hex:0x\n}", "key 1 has not 32 to 64 bytes"),
        ("version 3\nauth_hmac { \nactive_key 1\nkey 999 x\n}", "key is no key; write its id"),
        ("version 3\nauth_hmac { \nactive_key 1\nkey 1 file:/a\nkey 1 file:/b\n}", "key 1 stands twice"),
    ],
)
def test_a_mistake_of_a_router_is_told_with_its_line(more: str, said: str) -> None:
    found = mistakes(f"vrrp_instance web {{\n{BASE}\n{more}\n}}")
    assert any(re.fullmatch(rf"k.conf:\d+: {re.escape(said)}.*", one) for one in found), found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "k.conf:1: has no vrrp_instance"),
        ("virtual_server 1 2 { }", "k.conf:1: has no vrrp_instance"),
        ("vrrp_instance { }", "k.conf:1: vrrp_instance has no name"),
        (
            "vrrp_instance a { \nvirtual_ipaddress { 192.0.2.1 }\ninterface e\n}",
            "k.conf:1: vrrp_instance has no virtual_router_id",
        ),
        (
            "vrrp_instance a { \nvirtual_ipaddress { 192.0.2.1 }\nvirtual_router_id 1\n}",
            "k.conf:1: vrrp_instance has no interface",
        ),
        (f"vrrp_instance a {{\n{BASE}}}\nvrrp_instance a {{ }}", "k.conf:8: vrrp_instance a is defined twice"),
        ("vrrp_sync_group { }", "k.conf:1: vrrp_sync_group has no name"),
        ("vrrp_script { }", "k.conf:1: vrrp_script has no name"),
        ("vrrp_script s { }\nvrrp_script s { }", "k.conf:2: vrrp_script s is defined twice"),
        ("vrrp_script s { weight x }", 'k.conf:1: weight holds "weight x"'),
        ("vrrp_script s { weight 255 }", 'k.conf:1: weight holds "weight 255"'),
        ("vrrp_script s { interval 0 }", 'k.conf:1: interval holds "0"'),
        ('vrrp_script s { script "\'" }', "k.conf:1: script has a quote"),
        ("global_defs { vrrp_version 1 }", 'k.conf:1: vrrp_version holds "1"'),
        ("global_defs { script_user }", "k.conf:1: script_user names no user"),
        ("vrrp_script s { user }", "k.conf:1: user names no user"),
        ("vrrp_sync_group a { group web }", "k.conf:1: group has to have its lines within braces"),
        (
            "vrrp_sync_group a { group { w } }\nvrrp_sync_group b { group { w } }\nvrrp_instance w { }",
            "k.conf:3: vrrp_instance w is in several groups",
        ),
    ],
)
def test_a_mistake_elsewhere(text: str, said: str) -> None:
    assert any(one.startswith(said) for one in mistakes(text))


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    found = mistakes(
        f"vrrp_instance a {{\n{BASE}\npriority 0\n}}\nvrrp_script s {{\nrise 0\n}}\nvrrp_instance b {{ state X }}"
    )
    assert [one.partition(": ")[0] for one in found] == ["k.conf:8", "k.conf:11"]


# Global definitions


@pytest.mark.parametrize(
    ("line", "agent", "said"),
    [
        ("vrrp_rt_priority 50", {"scheduling": "realtime"}, "CHANGED"),
        ("vrrp_no_swap", {"lock_memory": True}, "TAKEN"),
        ("vrrp_no_swap off", {}, "LEFT nearest: lock_memory = true in [agent]"),
        ("vrrp_startup_delay 5.5", {"startup_delay": 5.5}, "TAKEN startup_delay = 5.5"),
        ("v3_checksum_as_v2", {"ipv4_checksum": "rfc9568"}, "TAKEN"),
        ("vrrp_down_timer_adverts 7", {"down_count": 7}, "TAKEN"),
        ("vrrp_down_timer_adverts 1", {"down_count": 2}, "CHANGED"),
        ("vrrp_mcast_group4 224.0.0.18", {}, "TAKEN"),
        ("vrrp_notify_fifo fifo", {}, "LEFT notify_fifo needs an absolute path"),
        ("vrrp_notify_fifo /fifo", {}, "CHANGED notify_fifo of each virtual router"),
        ("router_id x", {}, "LEFT adverts name nobody"),
    ],
)
def test_a_global_definition(line: str, agent: dict[str, object], said: str) -> None:
    made = instance(outside=f"global_defs {{\n{line}\n}}")
    assert tables(made)["agent"] == agent
    assert told(made, line).startswith(said)


def test_whoever_reads_the_fifo_has_nothing_to_announce() -> None:
    made = instance(outside="global_defs {\nvrrp_notify_fifo /fifo\n}")
    assert told(made, "vrrp_notify_fifo /fifo").endswith(
        "; take it out if it announces or withdraws these addresses, which is done already"
    )


# What stands in the file, where it is shown and written


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    outside = 'vrrp_script s {\nscript "/bin/\\Ea"\nuser "\\Eb"\n}\nvrrp_track_process p { process "\\Ec" }\n'
    made = instance('track_script { s }\ntrack_process { p }\nnotify /n "\\Ed"', outside=outside)
    assert all(line.isprintable() for line in report(made.entries, [("a\x1b", "b\x1b")]).split("\n"))


def test_a_word_of_several_lines_adds_no_line_to_the_configuration() -> None:
    made = instance(base='virtual_router_id 7\ninterface "e\\nvrid = 9"\nvirtual_ipaddress { 192.0.2.1 }')
    assert router(made).get("vrid", 7) == 7


def test_what_is_missing_has_the_key_that_the_loader_gives_it(tmp_path: Path) -> None:
    made = imported("vrrp_instance eth0.5 {\nvirtual_router_id 7\ninterface eth0\nvirtual_ipaddress { 192.0.2.1 }\n}")
    assert [key for key, _ in made.missing] == check_accepts(made, tmp_path) == ['virtual_router."eth0.5".source']


# ExaBGP's part


def test_neighbors_are_those_that_are_given_or_examples() -> None:
    one = Neighbor(ip_address("2001:db8:0:1::1"), 65000)
    text = stanza([one], [4, 6], "/etc/exavrrp/exavrrp.toml", "/usr/bin/exavrrp")
    assert "\nneighbor 2001:db8:0:1::1 {\n" in text
    assert "    peer-as 65000;" in text
    assert "\n# neighbor … {\n" in text
    assert "    run /usr/bin/exavrrp run --config /etc/exavrrp/exavrrp.toml;\n" in text
    assert [key for key, _ in missing([one], [4, 6])] == [
        "neighbor 2001:db8:0:1::1: local-address",
        "neighbor 2001:db8:0:1::1: local-as",
        "neighbor 2001:db8:0:1::1: router-id",
        "neighbor",
    ]
    # Where ExaBGP has its neighbors already, there is nothing to do.
    assert missing([one], [4, 6])[-1][1].endswith(" announced to, unless exabgp.conf has it (or give --neighbor)")
    assert missing([one], [6])[-1][0] != "neighbor"
    # In words that an exabgp.conf has: for neighbors that are there already.
    assert "\n#     api { processes [ exavrrp ]; neighbor-changes; }\n" in text
