"""The benchmark: its pure parts, and one small real run without assertions about times."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from exavrrp.vrrp.packet import Advertisement, encode
from lab.addressing import SERVERS
from lab.bench import profiling
from lab.bench.__main__ import contenders, parser
from lab.bench.plan import (
    MOST,
    STRONGER,
    adverts,
    exavrrp_configuration,
    keepalived_configuration,
    virtual_routers,
)
from lab.bench.readings import (
    RECORD,
    Capture,
    Stat,
    Used,
    descendants,
    lateness,
    longest_pause,
    parse_answers,
    parse_bursts,
    parse_captures,
    parse_memory,
    parse_monitor,
    parse_run_time,
    parse_stat,
    percentile,
)
from lab.bench.report import LOAD, MISSING, table
from lab.bench.scale import Load, Three, middle
from lab.topology import LabError

ROOT = Path(__file__).resolve().parents[2]
NODE1, NODE2, _ = SERVERS


def test_stat_has_the_parent_and_the_cpu_of_ended_children() -> None:
    words = " ".join(map(str, range(3, 53)))
    assert parse_stat(f"4711 (a) b (c)) {words}") == Stat(4711, 4, 14, 15, 16 + 17)


def test_the_share_of_the_kernel_is_that_of_the_ticks_between_two_readings() -> None:
    used = Used(9.5, 300, 650).since(Used(2.0, 100, 50))
    assert used == Used(7.5, 200, 600)
    assert used.kernel_share == 0.75
    assert Used(0.001, 0, 0).kernel_share is None


def test_a_process_is_counted_with_everything_below_it() -> None:
    parents = {5: 3, 1: 0, 3: 2, 2: 1, 4: 2, 9: 1}
    stats = [Stat(pid, parent, 0, 0, 0) for pid, parent in parents.items()]
    assert [each.pid for each in descendants(2, stats)] == [2, 3, 4, 5]
    assert descendants(7, stats) == []


def test_run_time_and_memory() -> None:
    assert parse_run_time("1500000000 7961173 2\n") == 1.5
    rollup = "55c8-7ffc ---p 0 00:00 0   [rollup]\nRss:    1724 kB\nPss:     189 kB\nPss_Dirty:   108 kB\n"
    assert parse_memory(rollup) == (1724, 189)


def test_captures_of_a_time_and_how_late_they_are() -> None:
    def record(time: float, vrid: int = 1, uplink: int = 0) -> bytes:
        return RECORD.pack(round(time * 1e9), 6, vrid, 200, uplink)

    data = record(0.5) + record(1.0) + record(1.01, uplink=1) + record(1.13) + record(1.2) + record(1.3) + record(2.5)
    found = parse_captures(data + b"\0", 1.0, 2.0)
    assert found[:2] == [Capture(1.0, 6, 1, 0), Capture(1.01, 6, 1, 1)]
    assert [round(each, 6) for each in lateness(found, 0.1)] == [0.03, 0.0, 0.0]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.751, 4.0), (0.999, 4.0), (1.0, 4.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([3.0, 1.0, 4.0, 2.0], share) == expected
    assert percentile([], share) is None


def test_bursts_and_answers() -> None:
    assert parse_bursts("1000000000 10\n2000000000 20\n3000000000 40\n", 1.5, 3.0) == 60
    assert longest_pause("1000000000 10\n2000000000 20\n2500000000 40\n") == 1.0
    assert longest_pause("1000000000 10\n") is None
    assert parse_answers("1500000000 2001:db8:53::1\n") == {"2001:db8:53::1": 1.5}


def test_monitor_says_when_each_address_came_first() -> None:
    lines = [
        "[1970-01-01T00:00:01.000000] 1: lo    inet6 2001:db8:53::1/128 scope global \\       valid_lft forever",
        "[1970-01-01T00:00:02.250000] Deleted 1: lo    inet6 2001:db8:53::2/128 scope global",
        "[1970-01-01T00:00:02.500000] 1: lo    inet6 2001:db8:53::1/128 scope global",
        "[1970-01-01T00:00:02.750000] 1: lo    inet6 2001:db8:53::2/128 scope global",
        "[1970-01-01T00:00:03.000000] 2001:db8:53::2 via 2001:db8:1:11::2 dev node1 proto bird metric 32",
        "[1970-01-01T00:00:03.000000] 2001:db8:53::22 via 2001:db8:1:11::2 dev node1 proto bird metric 32",
    ]
    assert parse_monitor(lines, {"2001:db8:53::1", "2001:db8:53::2"}, 2.0) == {
        "2001:db8:53::1": 2.5,
        "2001:db8:53::2": 2.75,
    }


def test_virtual_routers_of_both_families_share_no_number() -> None:
    routers = virtual_routers(MOST)
    assert len({each.name for each in routers}) == len({each.address for each in routers}) == MOST
    assert {each.family: (each.vrid, str(each.address)) for each in routers} == {
        6: (255, "2001:db8:53::ff"),
        4: (255, "198.51.100.255"),
    }
    assert {each.family for each in virtual_routers(255)} == {6}


@pytest.mark.parametrize(("number", "header"), [(0, 40), (255, 20)])
def test_an_advert_of_a_stand_in_is_one(number: int, header: int) -> None:
    router = virtual_routers(256)[number]
    source, destination = (each.loopback(router.family) for each in (NODE2, NODE1))
    ((family, data),) = adverts([router], NODE2, NODE1, 0.1)
    assert family == router.family
    assert data[header - len(source.packed) * 2 : header] == source.packed + destination.packed
    ours = Advertisement(router.vrid, STRONGER, 10, (router.address,))
    assert data[header:] == encode(ours, source, destination)


def test_both_agents_are_told_of_the_same(tmp_path: Path) -> None:
    routers = virtual_routers(2)
    (tmp_path / "exavrrp.toml").write_text(exavrrp_configuration(NODE1, routers, 0.1, tmp_path, realtime=False))
    checked = subprocess.run(
        [ROOT / ".venv/bin/exavrrp", "check", "--elsewhere", "--print", tmp_path / "exavrrp.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    keepalived = keepalived_configuration(NODE1, routers, 0.1, realtime=True)
    assert keepalived.count("vrrp_instance") == 2
    assert "vrrp_rt_priority 1" in keepalived
    for each in ("2001:db8:53::1", "2001:db8:53::2", "2001:db8:ff::11", "2001:db8:ff::12", "2001:db8:ff::13"):
        assert each in keepalived
        assert each in checked.stdout


def test_a_table_is_aligned_and_says_what_is_missing() -> None:
    heading, first, second = table(
        LOAD, [Load(1, "exavrrp", "active", cpu=0.05, kernel=0.3), Load(200, "k", "backup")]
    ).splitlines()
    assert len(heading) == len(first) == len(second)
    assert first.split()[:9] == ["1", "exavrrp", "active", "5.0", "%", "30.0", "%", "5.000", "%"]
    assert second.split()[3] == MISSING
    assert table(LOAD, []) == ""


def test_of_several_rounds_the_median_and_the_greatest_count() -> None:
    rounds = [
        Load(5, "a", "active", cpu=cpu, unneeded=moves, failure=failure)
        for cpu, moves, failure in ((0.3, 0, ""), (0.1, 7, ""), (0.2, 0, ""), (None, None, "late"))
    ]
    found = middle(rounds)
    assert found == Load(5, "a", "active", cpu=0.2, unneeded=7, failure="late")
    three = [Three(5, "a", None, 20, 0, cpu, 1.0) for cpu in ((0.1, 0.3), (0.2, 0.2), (0.3, 0.1))]
    assert middle(three) == Three(5, "a", None, 20, 0, (0.2, 0.2), 1.0)


def test_a_profile_counts_each_function_once_a_stack() -> None:
    said = profiling.text("main (a.py:1);work (b.py:7) 3\nmain (a.py:2);work (b.py:9);work (b.py:9) 1\n")
    assert said.splitlines()[0].startswith("4 samples")
    assert " 100.0%  work (b.py)" in said
    assert said.count("100.0%  main (a.py)") == 1


@pytest.mark.parametrize(
    "words",
    ["", "scale --routers 511", "scale --routers 0", "scale --routers x", "scale --agents frr", "scale --seconds 0"],
)
def test_mistakes_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(words.split())
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_other_checkouts_take_part(tmp_path: Path) -> None:
    found = contenders(["exavrrp"], [ROOT], tmp_path)
    assert [each.name for each in found] == ["exavrrp", f"exavrrp {ROOT}"]
    said = subprocess.run([found[1].program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("exavrrp")
    with pytest.raises(LabError, match="no checkout"):
        contenders([], [tmp_path], tmp_path)


@pytest.mark.lab
@pytest.mark.system
def test_a_small_run() -> None:
    words = ["scale", "--routers", "1,5", "--settle", "0.5", "--seconds", "2", "--takeover", "--three", "--json"]
    done = subprocess.run([ROOT / "lab/bench/run", *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [each["copies_per_peer"] for each in document["agents"]] == [2, 1]
    results = {(each["routers"], each["agent"], each["role"]): each for each in document["results"]}
    assert results.keys() == {
        (routers, agent, role)
        for routers in (1, 5)
        for agent in ("exavrrp", "keepalived")
        for role in ("active", "backup", "takeover", "three")
    }
    for (routers, agent, role), each in results.items():
        match role:
            case "active" | "backup":
                assert not each["failure"], each
                assert each["packets"] > 0, each
                assert each["us_per_advert"] >= each["us_per_packet"] > 0, each
                assert each["rss"] >= each["pss"] > 0, each
                assert (each["pause"] is not None) == (role == "backup"), each
                assert (each["late_999"] is not None) == (role == "active"), each
                assert each["left"] == (0 if role == "active" else None), each
            case "takeover":
                assert 0 < each["bound_first"] <= each["bound_last"], each
                assert (each["answered_last"] is not None) == (agent == "exavrrp"), each
            case "three":
                assert each["converged"] is not None, each
                assert each["moves_converging"] >= 4 * routers, each
