"""Parsing the instruments' output: single lines, and what follows from several."""

from __future__ import annotations

import pytest

from lab.facts import (
    POWER_OFF,
    POWER_ON,
    Advert,
    AgentEvent,
    Incident,
    ProbeRecord,
    RouteChange,
    Standing,
    hops_after,
    parse_advert,
    parse_agent_line,
    parse_route_change,
    standings,
)

VIP = "2001:db8:53::1"


def test_agent_line_gives_its_time_event_and_fields() -> None:
    line = '{"time": "2025-11-22T16:20:31.250000Z", "level": "info", "event": "transition", "after": "active"}'
    event = parse_agent_line(line, "node1")
    assert event is not None
    assert (event.node, event.event, event.field("after")) == ("node1", "transition", "active")
    assert event.time == pytest.approx(1763828431.25)


@pytest.mark.parametrize(
    "line",
    [
        "warning: something of ExaBGP's",
        '{"not": "an event"}',
        '{"time": "yesterday", "event": "transition"}',
        "{ half a line",
        '["time", "event"]',
    ],
)
def test_lines_that_are_no_events_are_passed_over(line: str) -> None:
    assert parse_agent_line(line, "node1") is None


def test_advert_line() -> None:
    advert = parse_advert("1763828431250000000 node1 2001:db8:ff::11 2001:db8:ff::12 7 200", "tor2")
    assert advert == Advert(advert.time, "tor2", "node1", "2001:db8:ff::11", 7, 200, "2001:db8:ff::12")
    assert advert.time == pytest.approx(1763828431.25)


@pytest.mark.parametrize(
    ("line", "deleted", "hops"),
    [
        (f"[2025-11-22T16:20:31.250000] {VIP} via 2001:db8:1:11::2 dev node1 proto bird metric 32", False, ("node1",)),
        (f"[2025-11-22T16:20:31.250000] Deleted {VIP} via fe80::1 dev node1 proto bird", True, ("node1",)),
        (
            (
                f"[2025-11-22T16:20:31.250000] {VIP} proto bird metric 32 "
                "\\\tnexthop via fe80::1 dev tor2 weight 1 \\\tnexthop via fe80::2 dev tor1 weight 1"
            ),
            False,
            ("tor1", "tor2"),
        ),
        (f"[2025-11-22T16:20:31.250000] {VIP} nhid 14 via fe80::1 dev node2 proto bgp", False, ("node2",)),
    ],
)
def test_route_line(line: str, deleted: bool, hops: tuple[str, ...]) -> None:
    change = parse_route_change(line, "tor1", VIP)
    assert change is not None
    assert (change.machine, change.hops, change.deleted) == ("tor1", hops, deleted)
    assert change.time == pytest.approx(1763828431.25)


@pytest.mark.parametrize(
    "line",
    [
        "[2025-11-22T16:20:31.250000] 2001:db8:53::11 via fe80::1 dev node1",
        "[2025-11-22T16:20:31.250000] 2001:db8:53::/64 via fe80::1 dev node1",
        "[2025-11-22T16:20:31.250000] local 2001:db8:53::1 dev lo table local",
        "",
    ],
)
def test_lines_about_other_routes_are_passed_over(line: str) -> None:
    assert parse_route_change(line, "tor1", VIP) is None


def test_hops_follow_additions_replacements_and_deletions() -> None:
    changes = [
        RouteChange(1, "client", ("tor1", "tor2")),
        RouteChange(2, "tor1", ("node1",)),
        RouteChange(3, "client", ("tor1",), deleted=True),
        RouteChange(4, "tor1", ("node1",), deleted=True),
        RouteChange(5, "tor1", ("node2",)),
    ]
    assert hops_after(changes[:3]) == {"client": ("tor2",), "tor1": ("node1",)}
    assert hops_after(changes[:4])["tor1"] == ()
    assert hops_after(changes)["tor1"] == ("node2",)


def test_probes_keep_their_number_and_their_first_answer() -> None:
    record = ProbeRecord()
    for line in ("s 0 1000000000", "s 1 1002000000", "a 0 1000400000 node1", "a 0 1000900000 node2"):
        record.take(line)
    answered, lost = record.probes()
    assert (answered.sent, answered.node) == (1.0, "node1")
    assert answered.answered == pytest.approx(1.0004)
    assert (lost.number, lost.answered, lost.node) == (1, None, None)


def test_a_line_that_no_prober_writes_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a prober's line"):
        ProbeRecord().take("s 1")


def test_answers_in_a_row_count_back_from_the_latest_and_stop_at_a_gap_or_another_node() -> None:
    record = ProbeRecord()
    assert record.answered_in_a_row("node1") == 0
    for number, node in ((0, "node1"), (1, "node2"), (3, "node2"), (4, "node2")):
        record.take(f"a {number} 1 {node}")
    assert record.answered_in_a_row("node2") == 2
    assert record.answered_in_a_row("node1") == 0


def agent(time: float, event: str, **fields: object) -> AgentEvent:
    return AgentEvent(time, "node1", event, fields)


def test_standing_is_what_the_agent_said_last() -> None:
    said = [
        agent(1, "agent-started"),
        agent(2, "transition", after="backup"),
        agent(3, "transition", after="active"),
        agent(4, "address-bound"),
        agent(5, "route-announced"),
        agent(6, "route-withdrawn"),
        agent(7, "address-unbound"),
        agent(8, "agent-stopped"),
    ]
    seen = [standings([], said[:count])["node1"] for count in range(1, len(said) + 1)]
    assert seen == [
        Standing("initialize"),
        Standing("backup"),
        Standing("active"),
        Standing("active", bound=True),
        Standing("active", bound=True, announced=True),
        Standing("active", bound=True),
        Standing("active"),
        Standing("off"),
    ]


def test_a_power_cut_ends_what_an_agent_said_and_a_boot_says_nothing() -> None:
    said = [agent(1, "transition", after="active"), agent(2, "address-bound")]
    assert standings([Incident(3, "node1", POWER_OFF), Incident(4, "node1", POWER_ON)], said) == {"node1": Standing()}
