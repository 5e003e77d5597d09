"""The service's scenarios: right runs meet each expectation, wrong runs violate it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.facts import AgentEvent, Command, Facts, Incident
from lab.scenarios import SCENARIOS
from lab.scenarios_service import CHECK_INTERVAL, DROP_IN, FALL, REPAIRED, exec_stop
from tests.lab.build import EVENT, agent, plan, probes, result, succeeded, takeover

DRAINED = Command("node1", "drain --wait", EVENT, EVENT + 1.4, 0, "drained")
KEPT = replace(DRAINED, status=3, said="nobody took over")
UNLOST = probes(lambda number: "node1" if number < 200 else "node2")


def judged(scenario: str, *facts: Facts, old: str = "node1") -> list[str]:
    return SCENARIOS[scenario].judge([result(each, old).run for each in facts], plan())


def handed_over(reason: str = "peer-resigned") -> Facts:
    """node1 gives up at once, node2 is elected at 41 ms; nothing is lost."""
    agents = [
        *takeover().agents[:4],
        agent(1, "node1", "transition", before="active", after="initialize", reason="shutdown"),
        agent(41, "node2", "transition", before="backup", after="active", reason=reason),
    ]
    return replace(takeover(), incidents=[], agents=agents, probes=UNLOST, commands=[DRAINED])


def stayed(*said: AgentEvent) -> Facts:
    """node1 is Active all the time, nothing is lost, and so much is in the logs."""
    agents = [*takeover().agents[:4], *said]
    return replace(takeover(), incidents=[], agents=agents, probes=probes(lambda _: "node1"))


def one_lost(facts: Facts) -> Facts:
    return replace(facts, probes=probes(lambda number: None if number == 99 else "node1"))


ONE_LOST = ["run 1: 1 probes lost, there should be none"]


@pytest.mark.parametrize("name", ["stop", "drain"])
def test_a_planned_move_loses_nothing_and_its_command_says_that_it_is_over(name: str) -> None:
    assert judged(name, handed_over()) == []
    assert judged(name, handed_over(), one_lost(handed_over())) == ["run 2: 1 probes lost, there should be none"]
    assert judged(name, replace(handed_over(), commands=[KEPT])) == [
        "run 1: exavrrp drain --wait ended with 3, not 0: nobody took over"
    ]
    (violation,) = judged(name, replace(handed_over(), commands=[]))
    assert "no command" in violation


@pytest.mark.parametrize("name", ["stop", "drain"])
def test_a_planned_move_is_no_takeover_from_silence(name: str) -> None:
    (violation,) = judged(name, handed_over("active-down-timeout"))
    assert "(peer-resigned), but: active-down-timeout" in violation


def test_stop_does_what_the_drop_in_says() -> None:
    assert exec_stop("[Service]\nExecStop=-/opt/bin/exavrrp drain --wait\nKillMode=mixed\n") == ("drain", "--wait")
    assert exec_stop(DROP_IN.read_text())[:4] == ("drain", "--force", "--wait", "--until-restart")


def test_a_command_that_said_nothing_is_told_all_the_same() -> None:
    (violation,) = judged("drain", replace(handed_over(), commands=[replace(DRAINED, status=2, said="")]))
    assert violation == "run 1: exavrrp drain --wait ended with 2, not 0"


def test_undrain_brings_node1_back() -> None:
    assert judged("undrain", replace(stayed(), commands=[DRAINED])) == []
    assert judged("undrain", replace(one_lost(stayed()), commands=[DRAINED])) == ONE_LOST
    assert "Active at the end: node2; expected: node1" in judged("undrain", handed_over())[0]


def test_draining_with_nobody_to_take_over_is_undone_and_said_so() -> None:
    undone = stayed(agent(2000, "node1", "drain-cancelled"))
    assert judged("nobody", replace(undone, commands=[KEPT])) == []
    assert judged("nobody", replace(stayed(), commands=[KEPT])) == ["run 1: node1 has not logged drain-cancelled"]
    assert judged("nobody", replace(undone, commands=[DRAINED])) == [
        "run 1: exavrrp drain --wait ended with 0, not 3: drained"
    ]
    assert judged("nobody", replace(one_lost(undone), commands=[KEPT])) == ONE_LOST


@pytest.mark.parametrize("name", ["kill-agent", "restart-exabgp"])
def test_an_agent_that_is_started_anew_loses_nothing(name: str) -> None:
    assert judged(name, stayed()) == []
    assert judged(name, one_lost(stayed())) == ONE_LOST
    assert judged(name, takeover())[0] == "run 1: Active at the end: node2; expected: node1"


def survived() -> Facts:
    """A reload fails, node1 serves on, and the file is put right at the end."""
    repaired = Incident(EVENT + 0.45, "node1", REPAIRED)
    return replace(stayed(), incidents=[repaired], routes=takeover().routes[:3])


def test_a_reload_that_fails_changes_nothing_and_neither_does_its_repair() -> None:
    assert judged("failed-reload", survived()) == []
    assert judged("failed-reload", one_lost(survived())) == ONE_LOST
    moved = judged("failed-reload", replace(survived(), routes=takeover().routes, agents=takeover().agents))
    assert "run 1: tor1 should have the route to node1 alone" in moved
    assert "run 1: node2 has taken over (active-down-timeout)" in moved
    flapped = [*takeover().routes[:3], replace(takeover().routes[0], time=EVENT + 0.2)]
    assert judged("failed-reload", replace(survived(), routes=flapped)) == [
        "run 1: the table of tor1 has changed before the repair"
    ]


def returned(session_ms: float | None, active_ms: float) -> Facts:
    """node1 is switched on, becomes Active, and its first session comes up; nothing is lost."""
    sessions = [] if session_ms is None else [session_ms, session_ms + 9]
    agents = [
        agent(-400, "node1", "session-changed", neighbor="2001:db8:1:11::1", state="up"),
        agent(-50, "node2", "transition", before="backup", after="active", reason="active-down-timeout"),
        agent(300, "node1", "transition", before="initialize", after="backup", reason="startup"),
        agent(301, "node1", "session-changed", neighbor="2001:db8:1:11::1", state="down"),
        agent(302, "node2", "session-changed", neighbor="2001:db8:1:12::1", state="up"),
        *(agent(ms, "node1", "session-changed", neighbor="2001:db8:1:11::1", state="up") for ms in sessions),
        agent(active_ms, "node1", "transition", before="backup", after="active", reason="preempted"),
        agent(active_ms + 1, "node2", "transition", before="active", after="backup", reason="superseded"),
    ]
    incidents = [Incident(EVENT, "node1", "power on")]
    return replace(takeover(), incidents=incidents, agents=sorted(agents, key=lambda each: each.time), probes=UNLOST)


def test_a_node_without_sessions_takes_nothing() -> None:
    assert judged("slow-bgp", returned(5400, 5700), old="node2") == []
    for early in (returned(5400, 5300), returned(None, 700)):
        (violation,) = judged("slow-bgp", early, old="node2")
        assert "without a session" in violation
    assert judged("slow-bgp", one_lost(returned(5400, 5700)), old="node2") == ONE_LOST


def sick(reason: str, detected_ms: float, answered: int, run_time: float = 0.02) -> Facts:
    """node1's check fails; node2 answers the client from this probe on, and node1's own probes likewise."""
    agents = [
        *takeover().agents[:4],
        agent(-300, "node1", "check-changed", check="service", result="passing", seconds=9.0),
        agent(detected_ms, "node1", "check-changed", check="service", result="failing", seconds=run_time),
        agent(detected_ms + 1, "node1", "transition", before="active", after="initialize", reason="fault"),
        agent(detected_ms + 42, "node2", "transition", before="backup", after="active", reason=reason),
    ]
    client = probes(succeeded(answered), end=2)
    return replace(takeover(), incidents=[], agents=agents, probes=client, local=client)


ALLOWED_MS = CHECK_INTERVAL * FALL * 1e3 + 20 + 41.4 + 30
"The check's own time, its run time, Skew_Time, and what all else may take."


def test_a_dead_service_is_answered_elsewhere_in_time() -> None:
    in_time, late = 50 + int(ALLOWED_MS / 2), 50 + int(ALLOWED_MS / 2) + 2
    assert judged("fail-check", sick("peer-resigned", 200, in_time)) == []
    (violation,) = judged("fail-check", sick("peer-resigned", 200, late))
    assert "more than 291 ms" in violation
    assert judged("fail-check", *(sick("peer-resigned", 200, probe) for probe in (in_time, late, in_time))) == []
    assert judged("fail-check", sick("peer-resigned", 200, late, run_time=0.1)) == []


def test_the_sick_nodes_own_traffic_goes_to_the_healthy_one() -> None:
    moved = sick("peer-resigned", 200, 150)
    for local, who in (
        (probes(lambda _: "node1"), "node1"),
        (probes(lambda number: "node1" if number % 2 else None), "nobody, node1"),
        ([], "nobody"),
    ):
        (violation,) = judged("fail-check", replace(moved, local=local))
        assert violation == f"run 1: at the end node1's own probes were answered by {who}"


def test_a_node_that_is_worth_less_hands_over_without_a_loss() -> None:
    moved = replace(sick("preempted", 200, 50), probes=UNLOST)
    assert judged("fail-check-weight", moved) == []
    assert judged("fail-check-weight", one_lost(moved)) == ONE_LOST
    (violation,) = judged("fail-check-weight", replace(sick("active-down-timeout", 200, 50), probes=UNLOST))
    assert "(preempted), but: active-down-timeout" in violation
