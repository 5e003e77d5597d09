"""What ``doctor`` finds: nothing on a good node, and each fault that was planted, by its code."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exavrrp import ports, speaker
from exavrrp.findings import Finding, compared, findings
from exavrrp.system import examination
from exavrrp.system.examination import UNSYNCHRONIZED, drops, examined
from exavrrp.view import Lateness, RouterView, SessionView, View
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
    unused = SessionView(peer="10.0.0.1", local=None, up=True, told=True)
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
