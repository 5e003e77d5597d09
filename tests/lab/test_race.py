"""The race: its pure parts; and one short real race, which guards ratios and no times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree

import pytest

from exavrrp.cli.canvas import WIDTH
from lab.addressing import RACK, SERVERS
from lab.bench import glue, race_report, race_svg
from lab.bench import race as bench_race
from lab.bench.__main__ import SHORT, main, parser, race_order
from lab.bench.events import EVENTS
from lab.bench.race import Heat, Order, Result, await_check, commit, heats, machine, outside
from lab.bench.scale import Load
from lab.bench.tools import CHECKED, COMMON, TOOLS, Exavrrp, Glued, Healthcheck, check
from lab.facts import AddressChange, Facts, Probe, RouteChange
from lab.processes import Late
from lab.servers import ServerPlan, agent_configuration, exabgp_configuration

ROOT = Path(__file__).resolve().parents[2]
ORDER = Order(tuple(TOOLS), tuple(EVENTS), 5, 0.1, 9, 1)
MACHINE = {
    "date": "2026-01-02",
    "system": "S",
    "kernel": "K",
    "cores": "2",
    "load": "0.12",
    "commit": "0123abc-dirty",
    "exabgp": "5",
    "keepalived": "2.2.7",
}


def load(routers: int, agent: str, **more: Any) -> dict[str, Any]:
    made = Load(routers, agent, "active", routers / 1000, rss=20.0 + routers, late_999=1.25, unneeded=0, load=0.5)
    return asdict(replace(made, **more))


SCALE = {
    "interval": 0.1,
    "cores": 2,
    "results": [
        *(load(routers, agent) for routers in (1, 50) for agent in ("exavrrp", "keepalived")),
        {"routers": 1, "agent": "exavrrp", "role": "takeover"},
    ],
}
USUAL = ServerPlan(family=6, interval=0.1, hold=9, exabgp="5")


def result(event: str, tool: str, outage: float, number: int = 1, **more: Any) -> Result:
    moments: Mapping[str, float | None] = {"bound": 300.0, "routed": 305.0, "answered": None}
    made = Result(Heat(number, event, tool, 0.5, 7), outage, round(outage / 2), 700, moments)
    return replace(made, **more)


def results(**outages: tuple[float, ...]) -> list[Result]:
    """Of kill-node, by tool."""
    return [
        result("kill-node", name.replace("_", "-"), outage, number)
        for name, all_of_them in outages.items()
        for number, outage in enumerate(all_of_them, 1)
    ]


def document(of: list[Result], scale: Mapping[str, Any] | None = None) -> dict[str, Any]:
    made = race_report.document(ORDER, MACHINE, of, scale)
    again: dict[str, Any] = json.loads(json.dumps(made))
    return again


# Who runs when


def test_in_each_round_every_tool_meets_every_event_at_the_same_moment() -> None:
    planned = heats(ORDER)
    assert len(planned) == 5 * len(TOOLS) * len(EVENTS)
    for number in range(1, 6):
        for event in EVENTS:
            found = [each for each in planned if (each.round, each.event) == (number, event)]
            assert sorted(each.tool for each in found) == sorted(TOOLS)
            assert len({(each.phase, each.seed) for each in found}) == 1


def test_over_the_rounds_the_moments_are_spread_over_the_interval() -> None:
    for event in EVENTS:
        found = {each.round: each.phase for each in heats(ORDER) if each.event == event}
        assert sorted(int(phase * 5) for phase in found.values()) == [0, 1, 2, 3, 4]


def test_tools_take_turns_in_being_first() -> None:
    first: dict[tuple[int, str], str] = {}
    for each in heats(ORDER):
        first.setdefault((each.round, each.event), each.tool)
    of_one_event = [first[number, "kill-node"] for number in range(1, 6)]
    assert set(of_one_event) == set(TOOLS)


# How the tools are set up


@pytest.mark.parametrize(
    "tool", [each for each in TOOLS.values() if isinstance(each, Glued)], ids=lambda each: each.name
)
def test_keepalived_tells_the_process_of_exabgp_by_one_fifo(tool: Glued, tmp_path: Path) -> None:
    said = tool.configuration(SERVERS[1], USUAL, tmp_path, checked=True)
    plan = tool.plan(USUAL, checked=True)
    assert plan.process
    assert f"vrrp_notify_fifo {tmp_path / 'notify.fifo'}\n" in said
    assert f" {tmp_path / 'notify.fifo'} 2001:db8:53::1/128 50" in plan.process[SERVERS[1].name](SERVERS[1], tmp_path)
    assert "priority 150\n" in said
    assert "track_script" in said
    assert "track_script" not in tool.configuration(SERVERS[1], USUAL, tmp_path, checked=False)


def test_keepalived_has_one_address_of_one_uplink_and_a_route_to_each_peers() -> None:
    tool = TOOLS["keepalived+exabgp"]
    assert isinstance(tool, Glued)
    assert "unicast_src_ip 2001:db8:1:12::2" in tool.ends(SERVERS[1], USUAL)
    assert tool.routes(SERVERS[1], USUAL) == [
        f"route replace 2001:db8:1:{peer}::2/128 via 2001:db8:1:12::1 dev eth0" for peer in (11, 13)
    ]


def test_the_health_check_has_a_metric_for_each_node(tmp_path: Path) -> None:
    tool = TOOLS["healthcheck"]
    assert isinstance(tool, Healthcheck)
    said = [tool.configuration(each, 6, tmp_path).splitlines() for each in SERVERS]
    assert [next(line for line in lines if line.startswith("up-metric")) for lines in said] == [
        f"up-metric = {metric}" for metric in (100, 200, 300)
    ]


def test_a_process_in_place_of_the_agent_is_told_nothing_of_neighbors(tmp_path: Path) -> None:
    plan = TOOLS["healthcheck"].plan(USUAL, checked=True)
    assert "neighbor-changes" not in exabgp_configuration(SERVERS[0], plan, "x")
    assert "neighbor-changes" in exabgp_configuration(SERVERS[0], USUAL, "x")


def test_exavrrp_has_its_defaults_and_a_check_only_where_one_is_needed(tmp_path: Path) -> None:
    tool = Exavrrp()
    usual, checked = (
        agent_configuration(SERVERS[0], tool.plan(USUAL, checked=checked), tmp_path) for checked in (False, True)
    )
    assert "med" not in usual
    assert "[check.service]" not in usual
    assert "[check.service]" in checked


@pytest.mark.parametrize("name", TOOLS)
def test_every_tools_check_is_the_same_and_leaves_its_trace(name: str, tmp_path: Path) -> None:
    match TOOLS[name]:
        case Exavrrp() as tool:
            said = agent_configuration(SERVERS[0], tool.plan(USUAL, checked=True), tmp_path)
        case Glued() as tool:
            said = tool.configuration(SERVERS[0], USUAL, tmp_path, checked=True)
        case Healthcheck() as tool:
            said = tool.configuration(SERVERS[0], 6, tmp_path)
    assert check(tmp_path) in said


@pytest.mark.parametrize(("listening", "status"), [("UNCONN", 0), ("", 1)])
def test_a_check_that_finds_the_service_leaves_its_trace(listening: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "ss").write_text(f"#!/bin/sh\nprintf '{listening}'\n")
    (tmp_path / "ss").chmod(0o755)
    trace = tmp_path / CHECKED
    trace.touch()
    os.utime(trace, (1, 1))
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["/bin/sh", "-c", check(tmp_path)], check=False, env=path).returncode == status
    assert (trace.stat().st_mtime == 1) == bool(status)


class Checks:
    """A clock that goes on while somebody sleeps, and checks that come by it."""

    def __init__(self, trace: Path, times: list[float]) -> None:
        self.now, self._trace, self._times = 0.0, trace, times

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if come := [each for each in self._times if each <= self.now]:
            self._trace.touch()
            os.utime(self._trace, (come[-1], come[-1]))


@pytest.mark.parametrize(("period", "share"), [(0.1, 0.25), (0.1, 0.95), (1.0, 0.5), (0.125, 0.0)])
def test_an_event_comes_at_its_position_between_two_checks(
    period: float, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Checks(tmp_path / CHECKED, [1.0 + number * period for number in range(10)])
    monkeypatch.setattr(bench_race, "time", clock)
    await_check(tmp_path / CHECKED, share)
    assert clock.now == pytest.approx(1.0 + (1 + share) * period, abs=2 * bench_race.POLL)


def test_without_checks_there_is_no_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_race, "time", Checks(tmp_path / CHECKED, [1.0]))
    with pytest.raises(Late, match="no check within"):
        await_check(tmp_path / CHECKED, 0.5)


# What stands between keepalived and ExaBGP


def test_the_last_state_counts() -> None:
    said = 'INSTANCE "web" BACKUP 200\nGROUP "g" MASTER 0\nINSTANCE "web" MASTER 200\nINSTANCE\n'
    assert glue.serves(said) is True
    assert glue.serves("GROUP x MASTER 1\n") is None


@pytest.mark.parametrize(("state", "serving"), [("MASTER", True), ("BACKUP", False), ("FAULT", False), ("STOP", False)])
def test_one_state_is_announced(state: str, serving: bool) -> None:
    assert glue.serves(f'INSTANCE "web" {state} 200\n') is serving
    verb = "announce" if serving else "withdraw"
    assert glue.command(serving, "P", "50") == f"{verb} route P next-hop self med 50\n"


def test_a_weaker_peers_advert_withdraws_nothing() -> None:
    assert glue.serves('INSTANCE "web" MASTER_RX_LOWER_PRI 200\n') is None
    assert glue.serves('INSTANCE "web" BACKUP 200\nINSTANCE "web" MASTER_RX_LOWER_PRI 200\n') is False


def test_the_glue_reads_the_fifo_and_ends_with_exabgp(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [sys.executable, "-I", str(ROOT / "lab/bench/glue.py"), str(fifo), "P", "50"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        for state, verb in (("MASTER", "announce"), ("BACKUP", "withdraw")):
            with fifo.open("w") as told:
                told.write(f'INSTANCE "web" {state} 200\n')
            assert process.stdout.readline() == f"{verb} route P next-hop self med 50\n"
        process.stdin.close()
        assert process.wait(timeout=60) == 0


# What is measured


def test_moments_are_those_of_the_next_node_after_the_event() -> None:
    facts = Facts(
        incidents=[],
        agents=[],
        adverts=[],
        routes=[RouteChange(10.3, tor, ("node2",)) for tor in ("tor1", "tor2")]
        + [RouteChange(9.0, "tor1", ("node2",))],
        probes=[Probe(0, 9.9, 9.95, "node2"), Probe(1, 10.31, 10.311, "node2"), Probe(2, 10.1, 10.101, "node1")],
        addresses=[AddressChange(10.2, "node2", "2001:db8:53::1"), AddressChange(9.1, "node2", "2001:db8:53::1")],
    )
    assert outside(facts, 10.0, RACK) == {"bound": 200.0, "routed": 300.0, "answered": 311.0}


def test_what_did_not_happen_has_no_moment() -> None:
    nothing = Facts(incidents=[], agents=[], adverts=[], routes=[RouteChange(10.3, "tor1", ("node2",))], probes=[])
    assert outside(nothing, 10.0, RACK) == {"bound": None, "routed": None, "answered": None}


# What is said of it


def test_the_best_is_marked_whoever_it_is() -> None:
    raced = results(exavrrp=(300.0, 340.0), keepalived_vxlan=(335.0, 380.0), healthcheck=(2.0, 4.0))
    assert race_report.winners(raced, "kill-node", tuple(TOOLS)) == ["healthcheck"]
    assert race_report.winners(raced, "kill-node", ("exavrrp", "keepalived-vxlan")) == ["exavrrp"]
    assert race_report.winners(raced, "fail-check", tuple(TOOLS)) == []


def test_what_the_runs_do_not_tell_from_the_best_is_marked_too() -> None:
    raced = results(exavrrp=(300.0, 310.0, 340.0), keepalived_vxlan=(320.0, 330.0, 380.0))
    assert race_report.winners(raced, "kill-node", tuple(TOOLS)) == ["exavrrp", "keepalived-vxlan"]


def test_a_cell_has_median_worst_and_lost() -> None:
    raced = results(exavrrp=(300.0, 310.0, 340.0))
    assert race_report.cell(raced, best=True) == "**310 ms (340), 155 lost**"
    assert race_report.cell([replace(raced[0], late="x")], best=False) == "≥ 300 ms (300), 150 lost"
    assert race_report.cell(results(exavrrp=(0.0,)), best=False) == "0 lost"
    assert race_report.cell([], best=False) == "–"


def test_the_report_follows_from_the_document() -> None:
    raced = results(exavrrp=(300.0, 310.0), healthcheck=(0.0, 0.0))
    given = document(raced, SCALE)
    assert race_report.results_of(given) == raced
    said = race_report.markdown(given)
    assert "2026-01-02, load average 0.12 before, commit 0123abc-dirty: 2 cores, S, Linux K;" in " ".join(said.split())
    assert "2 rounds" in said
    assert "305 ms (310), 152 lost | – | – | **0 lost** |" in said
    assert "| `kill-node` | exavrrp | 300 | 305 | – |" in said
    assert "| 50 | keepalived | active | 5.0 % | 70 MiB | 1.2 ms |  |" in said
    for tool in TOOLS.values():
        assert f"- **{tool.name}**: {'; '.join(tool.settings)}" in " ".join(said.split())
    assert "scale" not in race_report.markdown(document(raced))


SPOILED = [
    ({"unneeded": 12}, "unneeded transitions: 12"),
    ({"load": 12.06}, "load average 12.06, cores 2"),
    ({"load": None}, "load average not recorded, cores 2"),
    ({"unneeded": 1, "load": 2.5}, "unneeded transitions: 1, load average 2.5, cores 2"),
    (
        {"cpu": None, "rss": None, "failure": "143 Active: all of them: not within 60 s\nmore"},
        "it did not come up: 143 Active: all of them: not within 60 s",
    ),
]


@pytest.mark.parametrize(("measured", "why"), SPOILED)
def test_nobody_takes_for_a_cost_what_is_none(measured: Mapping[str, Any], why: str) -> None:
    scale = SCALE | {"results": [load(50, "keepalived"), load(200, "exavrrp", **measured)]}
    given = document(results(exavrrp=(300.0,)), scale)
    assert f"| 200 | exavrrp | active | – | – | – | {why} |" in race_report.markdown(given)
    said = drawn(given)
    assert f"not shown: 200 × exavrrp: {why}" in said
    assert "200" not in said  # on no axis


def test_without_the_number_of_cores_a_load_says_nothing() -> None:
    given = {name: value for name, value in SCALE.items() if name != "cores"}
    assert race_report.spoiled(load(1, "exavrrp"), given) == "load average 0.5, cores not recorded"


def test_both_reports_say_how_busy_the_machine_was_and_what_was_measured() -> None:
    busy = [replace(each, load=average) for each, average in zip(results(exavrrp=(1.0, 2.0)), (0.5, 1.5), strict=True)]
    words = "2026-01-02, load average 0.12 before and at most 1.50 meanwhile, commit 0123abc-dirty"
    assert race_report.measured_on(MACHINE, busy) == words
    assert f"Measured on {words}:" in " ".join(race_report.markdown(document(busy)).split())
    assert f"{words} · 2 cores, S, Linux K" in drawn(document(busy))
    assert race_report.measured_on({"date": "D"}, []) == "D, load average not recorded, commit not recorded"


def test_the_machine_is_recorded_with_its_load_and_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (1.234, 5.0, 6.0))
    for name in ("run", "keepalived", "keepalived_version"):
        monkeypatch.setattr(bench_race, name, lambda *_: "5.0.15")
    assert {"load": "1.23", "commit": "5.0.15", "exabgp": "5.0.15"}.items() <= machine().items()


def test_where_there_is_no_checkout_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_race, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "?"


def test_a_careful_operators_settings_are_said_of_both_keepalived() -> None:
    for each in TOOLS.values():
        if isinstance(each, Glued):
            assert each.settings[1:] == COMMON


def drawn(given: Mapping[str, Any]) -> list[str]:
    picture = ElementTree.fromstring(race_svg.draw(given))
    svg = "{http://www.w3.org/2000/svg}"
    for each in picture.iter(f"{svg}rect"):
        assert 0 <= float(each.get("x", "0")) <= WIDTH
        assert float(each.get("x", "0")) + float(each.get("width", "0")) <= WIDTH + 1 or "%" in str(each.get("width"))
    return [each.text or "" for each in picture.iter(f"{svg}text")]


def test_the_picture_has_outages_losses_moments_and_costs() -> None:
    said = drawn(
        document([*results(exavrrp=(300.0, 310.0), healthcheck=(0.0, 0.0)), *results(keepalived_vxlan=(9e5,))], SCALE)
    )
    assert set(EVENTS) <= set(said)
    assert "305 ms (worst 310), 152 lost" in said
    assert "nothing lost" in said
    assert "300 · 305 ms" in said
    assert "memory of an Active, MiB" in said
    assert "memory of an Active, MiB" not in drawn(document(results(exavrrp=(300.0,))))


# The command line


@pytest.mark.parametrize("words", ["race --tools frr", "race --events earthquake", "race --repeat 0", "race --hold 2"])
def test_mistakes_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(words.split())
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_short_race_has_two_tools() -> None:
    order = race_order(parser().parse_args(["race", "--short"]))
    assert (order.tools, order.events, order.repeat) == (SHORT["tools"], SHORT["events"], SHORT["repeat"])
    assert race_order(parser().parse_args(["race"])) == ORDER


def test_a_kept_document_is_reported_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, scale, picture = tmp_path / "race.json", tmp_path / "scale.json", tmp_path / "race.svg"
    kept.write_text(json.dumps(document(results(exavrrp=(300.0,)))))
    scale.write_text(json.dumps(SCALE))
    assert main(["race", "--again", str(kept), "--scale", str(scale), "--svg", str(picture)]) == 0
    assert "What virtual routers cost" in capsys.readouterr().out
    assert "nothing lost" not in picture.read_text()
    assert main(["race", "--again", str(tmp_path / "gone")]) == 2


@pytest.mark.lab
@pytest.mark.system
@pytest.mark.alone
def test_a_short_race_keeps_its_ratios(tmp_path: Path) -> None:
    words = ["race", "--short", "--json", "--svg", str(tmp_path / "race.svg")]
    done = subprocess.run([ROOT / "lab/bench/run", *words], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    raced = race_report.results_of(json.loads(done.stdout))
    assert not [each.late for each in raced if each.late]

    def middle(event: str, tool: str) -> float:
        return median(each.outage_ms for each in race_report.of(raced, event, tool))

    ours, theirs = SHORT["tools"]
    # An election takes as long as the other's, to what a scheduler adds to one run of each.
    assert middle("kill-node", ours) <= 1.5 * middle("kill-node", theirs), done.stderr
    # Adverts over every path go on over the other one.
    assert middle("cut-uplink", ours) <= 0.5 * middle("cut-uplink", theirs), done.stderr
