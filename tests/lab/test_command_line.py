"""The command line: what is accepted, what it means, and what needs no lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from exavrrp.speaker.dialects import DIALECTS
from lab.__main__ import CHAOS, main, order_of, parser
from lab.addressing import site
from lab.run import LATEST, phases
from lab.scenarios import SCENARIOS
from lab.servers import EXABGP
from lab.topology import LabError


def test_defaults() -> None:
    order = order_of(parser().parse_args([]))
    assert order.scenario.name == "kill-node"
    assert (order.router, order.plan.exabgp, order.plan.interval, order.plan.family) == ("bird", "5", 0.1, 6)
    assert (order.repeat, order.keep, order.plan.hold) == (1, False, 9)
    assert order.seed > 0
    assert order.plan.site == site("rack", "one")
    assert (order.plan.standby, order.plan.takeover) == (False, ())


def test_the_servers_run_each_exabgp_whose_dialect_is_known() -> None:
    assert EXABGP.keys() == DIALECTS.keys()


def test_the_site_and_how_routes_compete() -> None:
    words = "--topology racks --standby announce --takeover prepend,med"
    plan = order_of(parser().parse_args(words.split())).plan
    assert plan.site == site("racks", "distinct")
    assert (plan.standby, plan.takeover) == (True, ("med", "prepend"))
    assert (plan.record, order_of(parser().parse_args(["--record"])).plan.record) == (False, True)
    assert order_of(parser().parse_args(["--server-as", "distinct"])).plan.site == site("rack", "distinct")
    assert order_of(parser().parse_args(["--topology", "racks", "--server-as", "one"])).plan.site == site(
        "racks", "one"
    )


def test_an_unnumbered_rack_has_one_session_for_both_families_on_each_link() -> None:
    plan = order_of(parser().parse_args(["--topology", "unnumbered"])).plan
    assert (plan.site, plan.carrier) == (site("unnumbered", "one"), 6)
    assert order_of(parser().parse_args([])).plan.carrier is None


def test_a_daemon_beside_exabgp() -> None:
    assert order_of(parser().parse_args([])).plan.site.host is None
    assert order_of(parser().parse_args(["--bgp-host", "frr"])).plan.site.host == "frr"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--topology racks --server-as routers", "each rack would be in the same AS"),
        ("--topology racks --router gobgp", "its routes in the kernel have one next hop"),
        ("--topology unnumbered --router gobgp", "no IPv4 routes with IPv6 next hops"),
        ("--topology unnumbered --exabgp 4", "4.2 has no source-interface"),
        ("--topology unnumbered --bgp-host bird", "--topology rack or racks"),
        ("--router gobgp --bgp-host frr", "--router bird or frr"),
    ],
)
def test_what_does_not_go_together_is_refused(words: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        order_of(parser().parse_args(words.split()))


def test_everything_given() -> None:
    words = "comeback --router frr --exabgp 4 --interval 0.5 --repeat 3 --family 4 --hold 30 --seed 7 --agent a --keep"
    order = order_of(parser().parse_args(words.split()))
    assert order.scenario.name == "comeback"
    assert (order.router, order.plan.exabgp, order.plan.interval, order.plan.family) == ("frr", "4", 0.5, 4)
    assert (order.repeat, order.keep, order.plan.hold, order.seed) == (3, True, 30, 7)
    assert order.plan.agent == Path.cwd() / "a"


@pytest.mark.parametrize(
    "words",
    [
        "no-such-scenario",
        "--router cisco",
        "--exabgp 3",
        "--interval 0.001",
        "--interval 41",
        "--interval soon",
        "--repeat 0",
        "--family 5",
        "--hold 2",
        "--topology ring",
        "--bgp-host gobgp",
        "--server-as two",
        "--standby maybe",
        "--takeover luck",
        "--takeover med,",
    ],
)
def test_mistakes_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(words.split())
    assert stopped.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_list_names_every_scenario_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*SCENARIOS, CHAOS]


@pytest.mark.parametrize("runs", [1, 2, 5, 19])
def test_events_are_spread_over_the_advert_timer(runs: int) -> None:
    shares = phases(42, runs)
    assert sorted(int(share * runs) for share in shares) == list(range(runs))
    assert 0 <= min(shares) <= max(shares) <= LATEST
    assert shares == phases(42, runs)
    assert shares != phases(43, runs)
