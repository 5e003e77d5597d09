"""What ``doctor`` finds: nothing on a good node, and each fault that was planted, by its code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exavrrp import ports, speaker
from exavrrp.config import Configuration, load
from exavrrp.findings import Finding, compared, findings
from exavrrp.system import examination, speakerfile
from exavrrp.system.examination import UNSYNCHRONIZED, drops, examined
from exavrrp.view import ExaBGPView, Lateness, RouterView, SessionView, View
from tests.blocks import ROOT
from tests.conftest import Write
from tests.ports import SECOND, SESSION, VIP, Rig, check, given_active, given_backup, router

GOOD_HOST = {
    "sysctl/ipv4/conf/all/rp_filter": "0",
    "sysctl/ipv4/conf/eth0/rp_filter": "2",
    "sysctl/ipv4/conf/eth1/rp_filter": "0",
    "sysctl/ipv6/conf/lo/disable_ipv6": "0",
    "sysctl/ipv6/conf/eth0/disable_ipv6": "0",
    "links/eth0/mtu": "1500",
    "links/eth0/carrier": "1",
    "links/eth1/mtu": "1500",
    "links/eth1/carrier": "1",
}


class Host:
    """A host with these values in its files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ruleset, self.clock = "", 0
        for path, value in GOOD_HOST.items():
            self.set(path, value)

    def set(self, path: str, value: str) -> None:
        where = self.directory / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(f"{value}\n")

    def codes(self, view: View) -> list[str]:
        found = examined(
            view,
            sysctl=self.directory / "sysctl",
            links=self.directory / "links",
            ruleset=lambda: self.ruleset,
            clock=lambda: self.clock,
        )
        return [finding.code for finding in (*findings(view), *found)]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def served() -> Rig:
    """A Backup that hears both paths."""
    rig = given_backup(heard=None)
    for _ in range(3):
        rig.hear(250, interface=1).hear(250, interface=2).after(1)
    return rig.hear(250, interface=1).hear(250, interface=2)


def as_family_4(view: View) -> View:
    return replace(view, routers=tuple(replace(one, family=4) for one in view.routers))


def rule(*expressions: Any) -> str:
    told = {"family": "inet", "table": "t", "chain": "c", "expr": list(expressions)}
    return json.dumps({"nftables": [{"metainfo": {}}, {"rule": told}]})


def match(right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": "l4proto"}}, "right": right}}


def test_nothing_is_wrong_with_a_good_node(host: Host) -> None:
    for rig in (served(), given_active()):
        assert host.codes(rig.node.view()) == []
        assert host.codes(as_family_4(rig.node.view())) == []
    host.ruleset = rule(match("vrrp"), {"accept": None})
    assert host.codes(served().node.view()) == []


# Faults of the host


@pytest.mark.parametrize(
    ("path", "value", "family", "code"),
    [
        ("sysctl/ipv4/conf/all/rp_filter", "1", 4, "rp-filter-strict"),
        ("sysctl/ipv4/conf/eth1/rp_filter", "1", 4, "rp-filter-strict"),
        ("sysctl/ipv6/conf/eth0/disable_ipv6", "1", 6, "ipv6-disabled"),
        ("sysctl/ipv6/conf/lo/disable_ipv6", "1", 6, "ipv6-disabled"),
        ("links/eth0/carrier", "0", 6, "uplink-down"),
        ("links/eth1/mtu", "60", 6, "mtu-small"),
    ],
)
def test_a_fault_of_the_host(host: Host, path: str, value: str, family: int, code: str) -> None:
    host.set(path, value)
    view = served().node.view()
    found = host.codes(as_family_4(view) if family == 4 else view)
    assert set(found) == {code}


def test_a_filter_that_is_strict_on_all_but_loose_on_the_interface_is_loose(host: Host) -> None:
    """The greater value counts."""
    host.set("sysctl/ipv4/conf/all/rp_filter", "1")
    host.set("sysctl/ipv4/conf/eth1/rp_filter", "2")
    assert host.codes(as_family_4(served().node.view())) == []


@pytest.mark.parametrize(
    "ruleset",
    [
        rule(match("vrrp"), {"drop": None}),
        rule(match(112), {"counter": {}}, {"reject": {}}),
        rule(match({"set": ["esp", "vrrp"]}, op="in"), {"drop": None}),
        rule(match({"set": [112, {"range": [1, 2]}]}), {"drop": None}),
    ],
)
def test_a_firewall_that_drops_adverts(host: Host, ruleset: str) -> None:
    host.ruleset = ruleset
    assert host.codes(served().node.view()) == ["firewall-drops-adverts"]


@pytest.mark.parametrize(
    "ruleset",
    ["", "x", "[]", "{}", '{"nftables": 5}', '{"nftables": [5, {"rule": 5}, {"rule": {"expr": 5}}]}',
     rule(match("tcp"), {"drop": None}), rule(match("vrrp", op="!="), {"drop": None}),
     rule({"match": 5}, {"drop": None}),
     rule(5, "x")],
)  # fmt: skip
def test_a_firewall_that_does_not(ruleset: str) -> None:
    assert list(drops(ruleset)) == []


keys = st.sampled_from(["nftables", "rule", "expr", "match", "right", "set", "drop", "op"])
leaves = st.none() | st.integers() | st.text()


@given(st.recursive(leaves, lambda one: st.lists(one) | st.dictionaries(keys, one), max_leaves=20))
def test_whatever_nft_says(document: object) -> None:
    assert all(isinstance(one, str) for one in drops(json.dumps(document)))


def test_a_clock_that_is_not_synchronized_matters_with_authentication(host: Host) -> None:
    host.clock = UNSYNCHRONIZED
    view = served().node.view()
    assert host.codes(view) == []
    (seen,) = view.routers
    signed = tuple(replace(peer, signed=3) for peer in seen.peers)
    assert host.codes(replace(view, routers=(replace(seen, peers=signed),))) == ["clock-unsynchronized"]


def test_a_single_path(host: Host) -> None:
    rig = given_backup(heard=None)
    rig.paths.links = rig.paths.links[:1]
    rig.handle(ports.PathsChanged()).hear(250)
    assert set(host.codes(rig.node.view())) == {"single-path"}


def test_a_peer_to_which_no_route_leads(host: Host) -> None:
    rig = given_backup(heard=None)
    rig.paths.links = ()
    rig.handle(ports.PathsChanged())
    assert "peers-unreachable" in host.codes(rig.node.view())


def test_one_interface_that_was_asked_for_is_no_single_path(host: Host) -> None:
    rig = given_backup(router(transport="unicast", interface="eth0", source="2001:db8:ff::11"), heard=None)
    rig.paths.links = rig.paths.links[:1]
    rig.handle(ports.PathsChanged()).hear(250)
    (seen,) = rig.node.view().routers
    assert {path.interface for peer in seen.peers for path in peer.paths if path.leads} == {"eth0"}
    assert "single-path" not in host.codes(rig.node.view())


def test_an_advert_is_as_long_as_what_it_lists(host: Host) -> None:
    listed, others = ([f"2001:db8:53::{number:x}" for number in range(start, start + 88)] for start in (1, 0x100))
    view = given_active(router(addresses=listed, unlisted_addresses=others)).node.view()
    assert host.codes(view) == []
    host.set("links/eth1/mtu", "1487")
    assert host.codes(view) == ["mtu-small"]


def test_a_host_of_which_nothing_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert examined(served().node.view(), sysctl=tmp_path, links=tmp_path) == []
    seen = replace(served().node.view().routers[0], family=None)
    assert examined(View(routers=(seen,)), sysctl=tmp_path, links=tmp_path) == []


def test_the_clock_of_this_host_can_be_asked() -> None:
    assert examination.clock_state() in range(6)


# Faults that the agent knows


def planted() -> dict[str, View]:
    """Code → a node with this fault."""
    stalled = served()
    stalled.handle(speaker.Stalled(2.0))
    unlisted = served().session(SECOND, listed=False)
    failing = given_backup(router(checks=["disk"]), check("disk", weight=-1), checks=["disk"])
    failing.check("disk", passed=False)
    fault = served()
    fault.session(SESSION, up=False)
    held = Rig(router(checks=["slow"]), check("slow", initial="wait")).start()
    drained = given_active()
    drained.node.commands.drain("web")
    elsewhere = served()
    elsewhere.addresses.others = {VIP: "eth0"}
    unconfirmed = given_active()
    unconfirmed.speaker.answers = False
    unconfirmed.node.commands.drain("web")
    lost = given_active(router(addresses=[str(VIP), "2001:db8:53::9"]))
    lost.addresses.lo = {VIP}
    quiet = served()
    quiet.follow(10)
    kept = given_active()
    kept.node.commands.drain("web")
    kept.after(60)
    unused = SessionView(peer="10.0.0.1", local=None, up=True, told=True, families=(4,))
    good = served().node.view()
    (seen,) = good.routers
    skewed = replace(seen, peers=tuple(replace(peer, skew=3.0) for peer in seen.peers))
    return {
        "exabgp-stalled": stalled.node.view(),
        "neighbor-unlisted": unlisted.node.view(),
        "route-kept": replace(good, routers=(replace(seen, kept_by=("fd00::1",)),)),
        "check-failing": failing.node.view(),
        "session-down": fault.node.view(),
        "router-fault": fault.node.view(),
        "router-held": held.node.view(),
        "router-drained": drained.node.view(),
        "drain-cancelled": kept.node.view(),
        "router-remark": elsewhere.node.view(),
        "route-unconfirmed": unconfirmed.node.view(),
        "address-unverified": lost.node.view(),
        "path-quiet": quiet.node.view(),
        "two-actives": given_active().hear(100).node.view(),
        "peer-deaf": given_active().hear(100).after(1.0).hear(100).after(1.0).hear(100).node.view(),
        "interval-differs": served().hear(250, centiseconds=200).node.view(),
        "no-active": given_backup().hear(0).node.view(),
        "loop-late": replace(good, lateness=Lateness(alarms=10, late=1, maximum=1.0)),
        "session-unused": replace(good, sessions=(unused,)),
        "clock-skew": replace(good, routers=(skewed,)),
    }


@pytest.mark.parametrize("code", planted())
def test_a_fault_that_was_planted_is_found(host: Host, code: str) -> None:
    assert code in host.codes(planted()[code])


# Across nodes


def node(**changes: object) -> View:
    seen = served().node.view()
    return replace(seen, routers=tuple(replace(one, **changes) for one in seen.routers))


@pytest.mark.parametrize(
    ("other", "code", "text"),
    [
        (node(addresses=("2001:db8:53::2",)), "addresses-differ", "web: b has 2001:db8:53::2; here: 2001:db8:53::1"),
        (node(interval=0.5), "interval-differs", "web: b advertises every 0.5 s, we every 1 s"),
        (node(configured=200), "priority-tie", "web: b has priority 200, too"),
    ],
)
def test_nodes_that_do_not_fit_together(other: View, code: str, text: str) -> None:
    here = node(configured=150) if code != "priority-tie" else node()
    (found,) = compared(here, {"b": other})
    assert (found.code, str(found)) == (code, text)


def test_nodes_that_fit_together_and_two_actives() -> None:
    assert compared(node(), {"b": node(configured=150)}) == []
    assert [one.code for one in compared(node(role="active"), {"b": node(role="active", configured=1)})] == [
        "two-actives"
    ]


def test_a_router_that_one_node_does_not_have() -> None:
    found = compared(node(), {"b": node(vrid=9, name="dns")})
    assert [(one.code, str(one)) for one in found] == [
        ("router-missing", "web: b has no VRID 1 IPv6"),
        ("router-missing", "b has dns, VRID 9 IPv6; we do not"),
    ]


def test_findings_are_values() -> None:
    assert Finding("a", "", "x") == Finding("a", "", "x")
    assert isinstance(node().routers[0], RouterView)


# ExaBGP's file

CONF = """
process exavrrp { run /opt/exavrrp/bin/exavrrp run --config "/etc/exavrrp/exavrrp.toml"; encoder json; }
template {
    neighbor router { hold-time 9; api { processes [ exavrrp ]; neighbor-changes; } }
}
neighbor fd00::1 { inherit router; family { ipv6 unicast; } local-address fd00::2; }  # "no { fault;
neighbor 10.0.0.1 { inherit router; local-address 10.0.0.2; family { ipv4 unicast; ipv6 unicast; } }
"""


def of_file(
    text: str, families: tuple[int, ...] = (4, 6), rivals: tuple[str, ...] = ("web",), *, names_self: bool = True
) -> list[str]:
    found = speakerfile.judged("exabgp.conf", text, families, rivals, names_self=names_self)
    return [finding.code for finding in found]


@pytest.mark.parametrize("name", ["exabgp-4.2.conf", "exabgp-5.0.conf"])
def test_nothing_is_wrong_with_the_examples(name: str) -> None:
    assert of_file((ROOT / "exabgp" / name).read_text()) == []
    assert of_file(CONF) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (CONF.splitlines()[1], "", "exabgp-process-missing"),
        ("encoder json;", "", "exabgp-encoder"),
        ("encoder json;", "encoder text;", "exabgp-encoder"),
        ("processes [ exavrrp ];", "", "neighbor-unlisted"),
        ("processes [ exavrrp ];", "processes [ other, watcher ];", "neighbor-unlisted"),
        ("template {", "neighbor 10.0.0.9 { capability { graceful-restart; } }\ntemplate {", "neighbor-unlisted"),
        ("neighbor-changes;", "", "exabgp-changes-untold"),
        ("local-address fd00::2;", "", "local-address-missing"),
        ("local-address 10.0.0.2;", "local-address auto;", "local-address-missing"),
        ("hold-time 9;", "", "hold-time-long"),
        ("hold-time 9;", "hold-time 30;", "hold-time-long"),
        ("hold-time 9;", "hold-time 0;", "hold-time-long"),
        ("hold-time 9;", "hold-time 9; capability { graceful-restart 120; }", "graceful-restart-on"),
        ("hold-time 9;", "hold-time 9; capability { graceful-restart; }", "graceful-restart-on"),
        ("ipv4 unicast;", "ipv4 multicast;", "exabgp-family-missing"),
    ],
)
def test_a_fault_of_the_file(old: str, new: str, code: str) -> None:
    assert old in CONF
    assert set(of_file(CONF.replace(old, new))) == {code}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("processes [ exavrrp ];", "processes-match [ ^exa ];"),
        ("processes [ exavrrp ];", "processes [ other exavrrp ];"),
        ("processes [ exavrrp ];", "processes exavrrp;"),
        ("run /opt/exavrrp/bin/exavrrp run", "run /opt/wrapper"),
        ("hold-time 9;", "hold-time 9; capability { graceful-restart disable; }"),
        ("family { ipv6 unicast; }", "family { all; }"),
        ("family { ipv4 unicast; ipv6 unicast; }", ""),
        ("inherit router; family { ipv6", "inherit router; hold-time 3; family { ipv6"),
    ],
)
def test_what_is_none(old: str, new: str) -> None:
    assert old in CONF
    assert of_file(CONF.replace(old, new)) == []


def test_our_end_matters_where_the_next_hop_is_ours() -> None:
    assert of_file(CONF.replace("local-address fd00::2;", ""), names_self=False) == []


def test_a_hold_time_matters_where_a_router_has_no_takeover() -> None:
    assert of_file(CONF.replace("hold-time 9;", ""), rivals=()) == []


class Proc:
    """A /proc in which process 7 is an agent, and 3 its parent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "3").mkdir()
        (directory / "7" / "fd").mkdir(parents=True)
        self.file = directory / "exabgp.conf"
        self.file.write_text(CONF)
        (directory / "3" / "cwd").symlink_to(directory)
        self.write("7/cmdline", "/opt/python\0/bin/exavrrp\0run\0")
        self.write("7/stat", "7 (exavrrp) run) S 3 7 7")
        self.write("3/cmdline", "/opt/python\0/opt/bin/exabgp\0--debug\0exabgp.conf\0missing.conf\0")
        self.limit(1024)
        self.write("7/status", "Name:\texavrrp\nVmLck:\t       0 kB\n")

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def limit(self, files: object) -> None:
        self.write("7/limits", f"Limit Soft Limit Hard Limit Units\nMax open files            {files}  4096  files\n")

    def codes(self, configuration: Configuration) -> list[str]:
        found = [
            *speakerfile.examined(7, configuration, self.directory),
            *speakerfile.rights(7, configuration, self.directory),
        ]
        return [finding.code for finding in found]


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def settings(write: Write, *agent: str) -> Configuration:
    """Of a node whose router announces, and has no takeover."""
    lines = ["[agent]", 'sources = ["2001:db8:ff::11"]', 'peers = ["2001:db8:ff::12"]', *agent]
    router_ = ["[virtual_router.web]", "vrid = 7", 'addresses = ["2001:db8:53::1/128"]']
    return load(write("\n".join([*lines, *router_, "[virtual_router.web.bgp]", "med = 5"])))


def test_the_file_is_that_of_the_exabgp_that_has_started_the_agent(proc: Proc, write: Write) -> None:
    configuration = settings(write)
    assert proc.codes(configuration) == []
    proc.file.write_text(CONF.replace("hold-time 9;", ""))
    assert proc.codes(configuration) == ["hold-time-long"] * 2
    for name, text in (("3/cmdline", "/sbin/init\0exabgp.conf\0"), ("7/cmdline", "/bin/sleep\0"), ("7/stat", "x")):
        before = (proc.directory / name).read_text()
        proc.write(name, text)
        assert proc.codes(configuration) == []
        proc.write(name, before)
    proc.file.write_text("no file of ExaBGP's")
    assert proc.codes(configuration) == []


def test_of_several_files_those_of_other_exabgps_are_left_alone(proc: Proc, write: Write) -> None:
    proc.write("missing.conf", "neighbor 10.0.0.9 { peer-as 1; }")
    assert proc.codes(settings(write)) == []
    proc.file.write_text(CONF.replace("hold-time 9;", ""))
    assert proc.codes(settings(write)) == ["hold-time-long"] * 2


def test_what_the_agent_may_not_do(proc: Proc, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getscheduler", lambda _: os.SCHED_OTHER)
    proc.limit(63)
    assert proc.codes(settings(write)) == ["descriptors-few"]
    proc.limit("unlimited")
    wanting = settings(write, 'scheduling = "realtime"', "lock_memory = true")
    assert proc.codes(wanting) == ["realtime-denied", "memory-lock-denied"]
    monkeypatch.setattr("os.sched_getscheduler", lambda _: os.SCHED_RR | speakerfile.RESET)
    proc.write("7/status", "VmLck:\t    90 kB\n")
    assert proc.codes(wanting) == []


@pytest.mark.parametrize(
    ("version", "found"),
    [("4.2.20", True), ("3.4.19", True), ("4.2.21", False), ("5.0.8", False), ("6.0.0-rc1", False), ("main", False)],
)
def test_an_exabgp_that_is_too_old(host: Host, version: str, found: bool) -> None:
    view = replace(served().node.view(), exabgp=ExaBGPView(version=version))
    assert host.codes(view) == ["exabgp-unsupported"] * found
