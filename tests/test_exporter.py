"""Metrics and page of the exporter, from the View of real nodes: what is unknown is absent, and nothing is invented."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace
from prometheus_client.core import Metric

from exavrrp import ports
from exavrrp.cli import page
from exavrrp.control import StatusAnswer, answer, encode
from exavrrp.exporter.families import LEVELS, STATES, families
from exavrrp.view import RouterView, SessionView
from exavrrp.vrrp.packet import Reason
from tests.beacon.nodes import active, deliver, hear, standby
from tests.ports import (
    EPOCH,
    INTERVAL,
    LINKS,
    OTHER,
    PEER,
    SECOND,
    SESSION,
    SOURCE,
    Rig,
    check,
    given_active,
    given_backup,
    router,
)
from tests.test_reception import WINDOW, guarded


def told(rig: Rig, **changes: Any) -> StatusAnswer:
    """What the agent of this node answers, after its way over the socket."""
    view = replace(rig.node.view(), **changes)
    sent = StatusAnswer(release="1.2.3", process=7, time=datetime(2026, 11, 30, 12, tzinfo=UTC), **asdict(view))
    received = answer(encode(sent))
    assert isinstance(received, StatusAnswer)
    return received


def series(of: Rig | StatusAnswer | None, name: str) -> dict[tuple[str, ...], float]:
    """Values of the labels → value, of all series with this name."""
    metrics: Iterable[Metric] = families(told(of) if isinstance(of, Rig) else of)
    return {
        tuple(sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == f"exavrrp_{name}"
    }


# Metrics


def test_without_an_agent_there_is_nothing_but_that() -> None:
    assert [sample.name for metric in families(None) for sample in metric.samples] == ["exavrrp_up"]
    assert series(None, "up") == {(): 0}


def test_no_series_is_there_twice_and_each_name_has_one_family() -> None:
    rig = given_active(router(checks=["fit"]), router(2), check("fit"), checks=["fit"]).hear(100)
    found = families(told(rig))
    names = [(sample.name, *sorted(sample.labels.items())) for metric in found for sample in metric.samples]
    assert len(names) == len(set(names))
    assert len({metric.name for metric in found}) == len(found)
    assert all(metric.samples and metric.documentation for metric in found)


def test_a_state_is_a_set_of_series_of_which_one_is_1() -> None:
    rig = given_active(router(), router(2, priority=100)).hear(150, "web2")
    assert series(rig, "router_state") == {
        (name, state): state == expected
        for name, expected in (("web", "active"), ("web2", "backup"))
        for state in STATES
    }
    assert series(rig, "route_announced") == {
        (name, level): level == expected
        for name, expected in (("web", "active"), ("web2", "leaving"))
        for level in LEVELS
    }
    assert series(rig, "router_drain")["web", "serving"] == 1


def test_a_router_that_announces_nothing_has_no_series_of_routes() -> None:
    silent = router(2, announce=False).partition("[virtual_router.web2.bgp]")[0]
    assert {name for name, _ in series(Rig(router(), silent), "route_announced")} == {"web"}


def test_the_router_is_identified_by_its_name_and_described_once() -> None:
    rig = given_backup()
    assert series(rig, "router_info") == {("web", "1", "6", str(SOURCE), ""): 1}
    assert series(rig, "build_info") == {("1.2.3", ""): 1}


def test_times_are_seconds_since_the_epoch() -> None:
    rig = given_backup(heard=None)
    began = rig.clock.now
    rig.hear(250).after(0.25)
    assert series(rig, "router_state_since_timestamp_seconds")["web",] == pytest.approx(EPOCH + 1000.0, abs=3)
    assert series(rig, "peer_last_advert_timestamp_seconds") == {("web", str(PEER), "eth0"): EPOCH + began}
    assert series(rig, "start_timestamp_seconds") == {(): EPOCH + 1000.0}


def test_an_active_knows_by_beacons_whether_a_standby_is_ready() -> None:
    ours, theirs = active(), standby()
    assert series(ours, "router_standby_ready") == series(ours, "peer_ready") == {}
    for _ in range(6):
        deliver(ours.after(1), theirs, LINKS[:1])
        deliver(theirs, ours)
    assert series(ours, "router_standby_ready") == {("web",): 1}
    assert series(ours, "peer_ready") == {("web", str(PEER)): 1}
    assert series(ours, "beacon_path_up") == {("web", str(PEER), "eth0"): 1, ("web", str(PEER), "eth1"): 0}
    assert set(series(ours, "beacon_errors_total").values()) == {0}
    hear(ours, b"no beacon")
    assert series(ours, "beacon_errors_total")["length",] == 1
    ours.after(60)
    assert series(ours, "router_standby_ready") == {("web",): 0}
    assert series(ours, "peer_ready") == {("web", str(PEER)): 0}
    assert series(ours, "beacon_path_up") == {}


def test_what_an_active_cannot_know_of_silent_backups_is_absent() -> None:
    rig = given_backup()
    rig.after(10)
    assert rig.role() == "active"
    assert series(rig, "peer_last_advert_timestamp_seconds") == {}
    assert series(rig, "path_quiet") == {}
    assert series(rig, "clock_skew_seconds") == {}
    assert series(rig, "adverts_received_total")["web", str(PEER), "eth0"] == 1


def test_a_path_is_quiet_while_another_one_delivers() -> None:
    rig = given_backup()
    for _ in range(5):
        rig.after(1).hear(250)
    assert series(rig, "path_quiet") == {("web", str(PEER), "eth0"): 0, ("web", str(PEER), "eth1"): 1}


def test_an_interface_that_was_made_anew_is_one_path() -> None:
    rig = given_backup()
    rig.paths.links = (ports.Link(7, "eth0"), *LINKS[1:])
    rig.handle(ports.PathsChanged()).hear(250, interface=7)
    assert series(rig, "adverts_received_total")["web", str(PEER), "eth0"] == 2


def test_both_priorities() -> None:
    rig = given_backup(router(checks=["fit"], priority=200), check("fit", weight=-50), checks=["fit"])
    rig.check("fit", passed=False)
    assert series(rig, "router_priority") == {("web", "configured"): 200, ("web", "effective"): 150}


def test_faults_holds_and_drains() -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False)
    assert series(rig, "router_faults") == {("web",): 1}
    rig.node.commands.drain("web")
    assert sum(value for (_, state), value in series(rig, "router_drain").items() if state != "serving") == 1


def test_transitions_are_counted_by_state_and_reason_and_the_last_one_has_phases() -> None:
    rig = given_active()
    assert series(rig, "transitions_total") == {
        ("web", "backup", "startup"): 1,
        ("web", "active", "active-down-timeout"): 1,
    }
    assert series(rig, "failover_phase_seconds").keys() == {
        ("web", phase) for phase in ("bound", "announced", "confirmed")
    }
    assert series(Rig(), "failover_phase_seconds") == {}


def test_priority_zero_is_counted_in_both_directions() -> None:
    rig = given_backup().hear(0)
    assert (series(rig, "priority_zero_sent_total"), series(rig, "priority_zero_received_total")) == (
        {("web",): 0},
        {("web",): 1},
    )


def test_each_reason_for_which_a_packet_is_not_accepted_is_counted_from_0_on() -> None:
    rig = given_backup()
    found = series(told(rig, rejected={"hop-limit": 3, "auth-mac": 2}), "packet_errors_total")
    assert len(found) == len(Reason)
    assert {reason: count for (reason,), count in found.items() if count} == {"ip-ttl-error": 3, "auth-mac": 2}
    assert {"checksum-error", "version-error", "vrid-error", "interval-error", "packet-length-error"} <= {
        reason for (reason,) in found
    }


def test_copies_are_counted_by_peer_and_path_in_both_directions() -> None:
    rig = given_active()
    sent = series(rig, "adverts_sent_total")
    assert sent.keys() == {("web", str(peer), path) for peer in (PEER, OTHER) for path in ("eth0", "eth1")}
    (count,) = set(sent.values())
    rig.after(INTERVAL)
    assert set(series(rig, "adverts_sent_total").values()) == {count + 1}
    rig.mute().after(INTERVAL)
    assert set(series(rig, "adverts_sent_total").values()) == {count + 1}


def test_gaps_between_copies_are_counted_by_path() -> None:
    rig = given_backup()
    for seconds in (1.0, 1.4, 1.0):
        rig.after(seconds).hear(250)
    assert series(rig, "advert_gaps_total")["web", str(PEER), "eth0"] == 0
    rig.after(1.6).hear(250)
    assert series(rig, "advert_gaps_total")["web", str(PEER), "eth0"] == 1
    rig.hear(250, interface=2).after(10)
    assert rig.role() == "active"
    rig.hear(250).hear(250, interface=2)  # it was silent on all paths: no path has lost anything
    assert series(rig, "advert_gaps_total")["web", str(PEER), "eth0"] == 1


def test_limits_that_rules_compare_with() -> None:
    rig = given_active(router(min_sessions=1))
    assert series(rig, "router_sessions_required") == {("web",): 1}
    assert series(rig, "router_advert_interval_seconds") == {("web",): INTERVAL}
    assert series(rig, "clock_window_seconds") == {}
    assert series(Rig(*guarded()), "clock_window_seconds") == {("web",): WINDOW}


def test_checks_have_no_verdict_before_their_first_result() -> None:
    rig = Rig(router(checks=["fit"]), check("fit"))
    assert (series(rig, "check_up"), series(rig, "check_duration_seconds")) == ({}, {})
    rig.start()
    rig.check("fit", passed=True, seconds=0.012)
    assert (series(rig, "check_up"), series(rig, "check_duration_seconds")) == ({("fit",): 1}, {("fit",): 0.012})
    assert series(rig, "check_results_total") == {("fit", "passed"): 1, ("fit", "failed"): 0}
    assert series(rig, "check_timeouts_total") == {("fit",): 0}
    rig.check("fit", passed=False).check("fit", passed=False, seconds=60.0)
    assert series(rig, "check_timeouts_total") == {("fit",): 1}


def test_sessions_are_named_by_both_ends_and_counted_for_each_router() -> None:
    rig = given_active().session(SECOND).session(SECOND, up=False)
    assert series(rig, "bgp_session_up") == {
        (str(SESSION.peer), str(SESSION.local)): 1,
        (str(SECOND.peer), str(SECOND.local)): 0,
    }
    assert series(rig, "router_sessions") == {("web",): 1}
    unknown = told(rig, sessions=(SessionView(peer="2001:db8::1", local=None, up=None),))
    assert (series(unknown, "bgp_session_up"), series(unknown, "router_sessions")) == ({}, {})


def test_what_an_older_agent_does_not_send_is_absent() -> None:
    bare = RouterView(
        name="web", vrid=7, role="backup", priority=100, explanation="100", bound=False, level=None, drained=False
    )
    old = StatusAnswer(release="1", process=1, time=datetime.now(UTC), routers=(bare,))
    assert series(old, "router_info") == {("web", "7", "", "", ""): 1}
    assert series(old, "router_priority") == {("web", "effective"): 100}
    for name in ("exabgp_up", "loop_lateness_seconds", "start_timestamp_seconds", "router_state_since"):
        assert series(old, name) == {}


# The page


def shown(of: Rig | StatusAnswer) -> str:
    """Its text, without its marks."""
    html = page.document("node1", told(of) if isinstance(of, Rig) else of)
    return re.sub(r"<[^>]*>", " ", html.partition("<body>")[2])


def test_the_page_shows_each_router_and_why_it_is_as_it_is() -> None:
    rig = given_active(router(checks=["fit"]), router(2), check("fit"), checks=["fit"])
    rig.hear(250, "web2").session(SECOND)
    text = shown(rig)
    for expected in ("node1", "ACTIVE", "BACKUP", "VRID 1 IPv6", str(PEER), str(SECOND.peer), "fit ok"):
        assert expected in text
    assert "Open problems" not in shown(given_active())
    rig.check("fit", passed=False, detail="refused")
    assert "FAULT" in shown(rig)
    assert re.search("Open problems.*web: .*refused", shown(rig), re.DOTALL)


def test_the_page_has_a_class_for_each_state_that_has_a_colour() -> None:
    rig = given_active(router(), router(2)).hear(250, "web2")
    html = page.document("node1", told(rig))
    assert '<article class="ACTIVE">' in html
    assert '<article class="BACKUP">' in html
    assert set(re.findall(r"\.([A-Z]+) \{", page.STYLE)) == {"ACTIVE", "BACKUP", "FAULT"}


def test_the_page_of_an_older_agent_shows_what_it_sends() -> None:
    bare = RouterView(
        name="web", vrid=7, role="backup", priority=100, explanation="100", bound=False, level=None, drained=False
    )
    text = shown(StatusAnswer(release="1", process=1, time=datetime.now(UTC), routers=(bare,)))
    assert "BACKUP" in text
    assert "VRID 7 " in text


def test_the_page_without_an_agent_says_why() -> None:
    html = page.document("node1", None, "no agent listens at <there>")
    assert "no agent listens at &lt;there&gt;" in html


def test_no_text_of_others_becomes_html() -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False, detail='<script>"&')
    html = page.document("<host>", told(rig))
    assert "<script" not in html
    assert "<host>" not in html
    assert "&lt;script&gt;&quot;&amp;" in html


# What is shipped with it

ROOT = Path(__file__).resolve().parents[1]


def families_named() -> set[str]:
    """All names of series, whatever a node has of them."""
    made = re.findall(r'(Gauge|Count)\(\s*"(\w+)"', (ROOT / "src/exavrrp/exporter/families.py").read_text())
    return {f"exavrrp_{name}{'_total' if kind == 'Count' else ''}" for kind, name in made}


@pytest.mark.parametrize("name", ["rules.yml", "dashboard.json"])
def test_rules_and_dashboard_ask_for_series_that_there_are(name: str) -> None:
    text = (ROOT / "monitoring" / name).read_text()
    assert set(re.findall(r"exavrrp_\w+", text)) <= families_named()


def test_the_dashboard_and_the_guide_have_every_family() -> None:
    dashboard = (ROOT / "monitoring" / "dashboard.json").read_text()
    assert families_named() <= set(re.findall(r"exavrrp_\w+", dashboard))
    section = (
        (ROOT / "docs" / "reference" / "operation.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    )
    assert {name.removeprefix("exavrrp_") for name in families_named()} <= set(re.findall(r"`([a-z_]+)`", section))
