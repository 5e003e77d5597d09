"""What is printed: the document for programs, the timeline for people."""

from __future__ import annotations

import json
from dataclasses import replace

from lab import report
from lab.addressing import site
from lab.facts import Command, Incident
from tests.lab.build import EVENT, agent, order, probes, result, succeeded, takeover


def test_the_document_has_every_promised_key_and_is_json() -> None:
    (run,) = json.loads(json.dumps(report.document(order(), [result(takeover())])))
    assert run["scenario"] == "kill-node"
    assert run["router"] == "bird"
    assert run["exabgp"] == "5"
    assert run["interval"] == 0.1
    assert run["outage_ms"] == 312
    assert (run["probes_sent"], run["probes_lost"]) == (350, 155)
    assert run["phases_ms"]["elected"] == 301
    assert set(run["transitions"][0]) == {"time", "node", "router", "before", "after", "reason"}
    assert run["active_at_end"] == ["node2"]


def test_how_the_site_differs_from_the_usual_is_told() -> None:
    made = result(takeover())
    usual = report.text(order(), [made])
    assert "BGP hold time 9 s\n" in usual
    special = replace(made.plan, site=site("racks"), standby=True, takeover=("med", "prepend"))
    said = report.text(order(), [replace(made, plan=special)])
    assert "each server in a rack of its own, an AS for each server, Backups announce, too, takeover by MED and" in said
    (run,) = report.document(order(), [replace(made, plan=special)])
    assert (run["topology"], run["server_as"], run["standby"]) == ("racks", "distinct", "announce")
    assert (run["takeover"], run["bgp_host"]) == (["med", "prepend"], None)
    beside = replace(made.plan, site=replace(site("rack"), host="frr"))
    assert "FRR on each server" in report.text(order(), [replace(made, plan=beside)])
    (run,) = report.document(order(), [replace(made, plan=beside)])
    assert run["bgp_host"] == "frr"


def test_what_was_done_later_and_who_answered_then_is_told() -> None:
    facts = takeover()
    later = Incident(EVENT + 0.35, "node2", "mute")
    made = result(replace(facts, incidents=[*facts.incidents, later]))
    said = report.text(order(), [made])
    assert "+350.0 ms  node2: mute" in said
    assert "+310.0 ms  node2 answers instead of node1" in said
    (run,) = report.document(order(), [made])
    assert run["moves"] == [{"start_ms": 310, "end_ms": 310, "before": "node1", "after": "node2"}]
    assert run["outages"] == [{"start_ms": -2, "end_ms": 310, "lost": 155}]
    assert [each["what"] for each in run["incidents"]] == ["power off", "mute"]


def test_the_timeline_is_in_the_order_of_time() -> None:
    lines = report.text(order(), [result(takeover())]).splitlines()
    moments = [float(line.split(" ms")[0]) for line in lines if " ms  " in line]
    assert moments == sorted(moments)
    assert moments[0] == -40
    assert lines[-1] == "as expected"


def test_violations_are_named_at_the_end() -> None:
    silent = replace(takeover(), probes=probes(lambda number: "node1" if number < 50 else None, end=2))
    assert "VIOLATED: the outage" in report.text(order(), [result(silent)]).splitlines()[-1]


def test_a_complaint_of_a_run_is_a_violation() -> None:
    made = result(takeover())
    late = replace(made, run=replace(made.run, complaints=("node2 answering: not within 8 s\n  details",)))
    assert report.violations(order(), [late]) == ["run 1: node2 answering: not within 8 s"]


def test_quiet_paths_are_told() -> None:
    facts = takeover()
    quiet = agent(350, "node2", "path-quiet", peer="2001:db8:ff::11", interface="eth1")
    said = report.text(order(), [result(replace(facts, agents=[*facts.agents, quiet]))])
    assert "node2 logs: adverts of 2001:db8:ff::11 no longer arrive on eth1" in said


def test_what_was_done_and_said_after_the_event_is_told() -> None:
    facts = takeover()
    said = [
        agent(-60, "node1", "drain-started"),
        agent(12, "node1", "drain-started"),
        agent(-50, "node3", "session-changed", neighbor="10.1.13.0", local="10.1.13.1", state="up"),
        agent(19, "node3", "session-changed", neighbor="10.1.13.0", local="10.1.13.1", state="down"),
        agent(20, "node3", "session-changed", neighbor="2001:db8:1:13::1", local="2001:db8:1:13::2", state="up"),
        agent(21, "node3", "session-changed", neighbor="2001:db8:2:13::1", local="2001:db8:2:13::2", state="up"),
        agent(33, "node2", "check-changed", check="web", result="failing"),
    ]
    commands = [Command("node1", "drain --wait", EVENT, EVENT + 0.25, 0, "drained")]
    incidents = [*facts.incidents, Incident(EVENT + 0.3, "node1", "SIGTERM for ExaBGP")]
    full = replace(facts, agents=sorted([*facts.agents, *said], key=lambda each: each.time), commands=commands)
    lines = report.text(order(), [result(replace(full, incidents=incidents))]).splitlines()
    told = [
        ("+12.0 ms", "node1: draining"),
        ("+20.0 ms", "node3: first BGP session logged as up: to 2001:db8:1:13::1 from 2001:db8:1:13::2"),
        ("+33.0 ms", "node2: check web: failing"),
        ("+250.0 ms", "node1: exavrrp drain ends with 0"),
        ("+300.0 ms", "node1: SIGTERM for ExaBGP"),
    ]
    for moment, words in told:
        assert [line.split("  ")[-2].strip() for line in lines if line.endswith(words)] == [moment]


def test_commands_and_local_probes_are_in_the_document() -> None:
    facts = takeover()
    (plain,) = report.document(order(), [result(facts)])
    assert (plain["commands"], plain["local"]) == ([], None)
    commands = [Command("node1", "drain --wait", EVENT, EVENT + 0.25, 3, "nobody took over")]
    (run,) = report.document(order(), [result(replace(facts, commands=commands, local=facts.probes))])
    assert run["commands"] == [
        {"machine": "node1", "command": "drain --wait", "status": 3, "seconds": 0.25, "said": "nobody took over"}
    ]
    assert run["local"] == {"probes_sent": 300, "probes_lost": 155, "outage_ms": 310, "answered_at_end": "node2"}
    assert "node2 answers what node1 itself sends" in report.text(order(), [result(replace(facts, local=facts.probes))])


def test_several_runs_have_a_summary_and_the_middle_one_is_drawn() -> None:
    lengths = (200, 230, 205)
    runs = [result(replace(takeover(), probes=probes(succeeded(end)))) for end in lengths]
    assert report.median_run(runs) is runs[2]
    assert "3 runs: outage median 312.0 ms, least 302.0 ms, most 362.0 ms" in report.text(order(), runs)
