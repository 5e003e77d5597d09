"""``exavrrp simulate`` beside the lab: the same scenarios, the outage that is simulated, and the one that was measured.

The figures of the lab are those of docs/why/measurements.md, measured with real daemons. The second table there is made
here: ``pytest -p no:xdist -m simulation tests/simulation/test_beside_the_lab.py --rewrite`` writes it anew.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from exavrrp.config import Configuration, load, node_names
from exavrrp.simulation import scenario
from exavrrp.simulation.scenario import Scenario, Verb
from exavrrp.simulation.stage import Stage, Terms, known
from exavrrp.simulation.story import Story

pytestmark = pytest.mark.simulation

GUIDE = Path(__file__).parents[2] / "docs" / "why" / "measurements.md"

FILE = """\
[agent]
advert_interval = 0.1
[node.node1]
sources = ["2001:db8:ff::11"]
[node.node2]
sources = ["2001:db8:ff::12"]
[node.node3]
sources = ["2001:db8:ff::13"]
[virtual_router.web]
vrid = 7
priority = {{ node1 = 200, node2 = 150, node3 = 100 }}
addresses = {addresses}
checks = ["service"]
{router}
[virtual_router.web.bgp]
{bgp}
[check.service]
command = ["/bin/true"]
interval = 0.1
timeout = 1.0
fall = 2
rise = 1
weight = {weight}
"""
"""The nodes of the lab (lab/servers.py)."""

RUNS, FEW = 25, 3
"""Of each row, and where nothing is lost."""

SECONDS = {"BIRD": 0.002, "FRR": 0.05}

Figure = tuple[float, float] | None
"""Milliseconds that were measured: a median, twice, or a range; None: it was not measured."""


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario of the lab."""

    lab: str
    words: str
    measured: Mapping[str, tuple[str, Figure]]
    """by router: as it stands in the README, and its figure"""
    bgp: str = "med = 50"
    router: str = ""
    weight: int = 0
    """of the check"""
    addresses: Sequence[str] = ("2001:db8:53::1",)
    reloaded: Sequence[str] = ()
    """the addresses that node1 reloads"""
    hold: float = 9.0
    exabgp: str = "5.0.15"
    draws: str | None = None
    """a node that has the traffic for so long, in place of an outage"""
    lossless: bool = False


def both(bird: str, of_bird: Figure, frr: str, of_frr: Figure) -> dict[str, tuple[str, Figure]]:
    return {"BIRD": (bird, of_bird), "FRR": (frr, of_frr)}


NONE = both("0 lost", (0, 0), "0 lost", (0, 0))
MED, PREPEND = 'takeover = ["med"]', 'takeover = ["prepend"]\nprepend = 3'

ROWS = (
    Row(
        "kill-node",
        "at 6s kill node1",
        both("304 ms (256–352)", (304, 304), "362 ms (328–399)", (362, 362)),
    ),
    Row(
        "kill-node --exabgp 4",
        "at 6s kill node1",
        both("308 ms (254–334)", (308, 308), "362 ms (320–399)", (362, 362)),
        exabgp="4.2.25",
    ),
    Row("stop-abrupt", "at 6s stop node1", both("51 ms (50–55)", (51, 51), "0 lost", (0, 0))),
    Row(
        "fail-check",
        "at 6s fail check service on node1",
        both("232 ms (155–232)", (232, 232), "242 ms (207–249)", (242, 242)),
    ),
    Row("fail-check-weight", "at 6s fail check service on node1", NONE, weight=-100, lossless=True),
    Row(
        "mute-node --hold 180 --takeover med",
        "at 6s mute node1",
        both("328 ms (285–358)", (328, 328), "346 ms (310–400)", (346, 346)),
        bgp=MED,
        hold=180,
    ),
    Row(
        "mute-node --hold 180 --takeover prepend",
        "at 6s mute node1",
        both("296 ms (273–340)", (296, 296), "372 ms (326–404)", (372, 372)),
        bgp=PREPEND,
        hold=180,
    ),
    Row(
        "mute-node --hold 180 --takeover local-preference",
        "at 6s mute node1",
        {"BIRD": ("313 ms (255–318)", (313, 313)), "FRR": ("", None)},
        bgp='takeover = ["local-preference"]',
        hold=180,
    ),
    Row(
        "mute-two --hold 180 --takeover prepend",
        "at 6s mute node1; at 8.2s mute node2",
        both("367 ms (349–378)", (367, 367), "408 ms (387–419)", (408, 408)),
        bgp=PREPEND,
        hold=180,
    ),
    Row(
        "cut-uplinks-100",
        "at 6s cut node1; at 6.1s mend node1",
        both("258–334 ms", (258, 334), "236–238 ms", (236, 238)),
    ),
    Row(
        "cut-uplinks-250",
        "at 6s cut node1; at 6.25s mend node1",
        both("258–334 ms", (258, 334), "339–408 ms", (339, 408)),
    ),
    Row(
        "cut-uplinks-500",
        "at 6s cut node1; at 6.5s mend node1",
        both("258–334 ms", (258, 334), "339–408 ms", (339, 408)),
    ),
    Row(
        "cut-uplinks-1000",
        "at 6s cut node1; at 7s mend node1",
        both("258–334 ms", (258, 334), "339–408 ms", (339, 408)),
    ),
    Row(
        "cut-uplinks-5000",
        "at 6s cut node1; at 11s mend node1",
        both("258–334 ms", (258, 334), "339–408 ms", (339, 408)),
    ),
    Row(
        "cut-uplinks --standby announce",
        "at 6s cut node1",
        both("0 ms (0–3)", (0, 0), "73 ms (72–74)", (73, 73)),
        router='standby = "announce"',
    ),
    Row(
        "cut-uplink",
        "at 6s cut node1 eth0",
        both("0–1 probes lost", (0, 4), "about 120 ms", (120, 120)),
    ),
    Row(
        "deaf-node",
        "at 6s deafen node3; at 11s undeafen node3",
        both("185 ms (171–202)", (185, 185), "182 and 198 ms", (182, 198)),
        bgp=MED,
        hold=180,
        draws="node3",
    ),
    Row("stop", "at 6s drain node1; at 9s stop node1", NONE, lossless=True),
    Row("drain", "at 6s drain node1", NONE, lossless=True),
    Row("undrain", "at 6s drain node1; at 16s undrain node1", NONE, lossless=True),
    Row("nobody", "at 4s stop node2; at 4s stop node3; at 6s drain node1", NONE, lossless=True),
    Row("comeback", "at 20s start node1; at 2s kill node1", NONE, lossless=True),
    Row("gray-path", "at 6s gray node1 eth0", NONE, lossless=True),
    Row(
        "reload",
        "at 6s reload node1 FILE",
        NONE,
        addresses=("2001:db8:53::1", "2001:db8:53::2"),
        reloaded=("2001:db8:53::1", "2001:db8:53::3"),
        lossless=True,
    ),
    Row("kill-agent", "at 6s kill agent on node1", NONE, lossless=True),
    Row("restart-exabgp", "at 6s replace agent on node1", NONE, lossless=True),
    Row("freeze-agent", "at 6s freeze node1; at 11s thaw node1", NONE, MED, hold=180, lossless=True),
    Row(
        "freeze-both",
        "at 6s freeze node1; at 6s freeze exabgp on node1; at 11s thaw exabgp on node1; at 11s thaw node1",
        NONE,
        MED,
        hold=180,
        lossless=True,
    ),
    Row(
        "freeze-exabgp",
        "at 6s freeze exabgp on node1; at 16s thaw exabgp on node1",
        {"BIRD": ("0 lost", (0, 0)), "FRR": ("", None)},
        bgp=MED,
        hold=180,
        lossless=True,
    ),
    Row("partition", "at 6s partition node1; at 11s rejoin node1", NONE, MED, lossless=True),
    Row(
        "partition-all",
        "at 6s partition node1; at 6s partition node2; at 11s rejoin node1; at 11s rejoin node2",
        NONE,
        MED,
        lossless=True,
    ),
    Row("partition-one", "at 6s partition node3; at 11s rejoin node3", NONE, MED, lossless=True),
)


def lasts(row: Row, story: Story, play: Scenario) -> float:
    """Milliseconds of the outage after the last event but those that end it, or of the node that draws traffic."""
    begins = max(event.at for event in play.events) if row.lab == "comeback" else 5.9
    if row.draws is None:
        return story.longest("web", begins, story.end) * 1000
    spans = story.between("web", begins, story.end)
    return sum((after.since - one.since) * 1000 for one, after in pairwise(spans) if row.draws in one.serving.nodes)


def read(row: Row, addresses: Sequence[str], directory: Path) -> dict[str, Configuration]:
    """Of each node."""
    path = directory / "exavrrp.toml"
    path.write_text(FILE.format(router=row.router, bgp=row.bgp, weight=row.weight, addresses=json.dumps(addresses)))
    return {name: load(path, node=name) for name in node_names(path)}


def simulated(row: Row, directory: Path, router: str) -> list[float]:
    """Milliseconds of each run, sorted."""
    tail = 8.0 if row.lossless else 1.0
    terms = Terms(exabgp=row.exabgp, hold=row.hold, convergence=SECONDS[router], tail=tail)
    nodes = read(row, row.addresses, directory)
    play = scenario.read(row.words, known(nodes))
    reloads = {
        event: read(row, row.reloaded, directory)[event.node] for event in play.events if event.verb is Verb.RELOAD
    }
    seeds = range(1, 1 + (FEW if row.lossless else RUNS))
    return sorted(lasts(row, Stage(nodes, terms, seed, reloads).play(play), play) for seed in seeds)


def cells(row: Row, found: list[float], router: str) -> list[str]:
    """What is simulated, measured, and the difference: of the medians, or to the nearest end of a range."""
    text, figure = row.measured[router]
    told = f"{median(found):.0f}" + ("" if found[0] == found[-1] else f" ({found[0]:.0f}–{found[-1]:.0f})")
    if figure is None:
        return [told, "", ""]
    nearest = min(max(median(found), figure[0]), figure[1])
    difference = round(median(found) - nearest)
    return [told, text.replace(" ms", ""), f"{difference:+d}".replace("-", "−") if difference else "0"]


def line(row: Row, tmp_path: Path) -> str:
    """The line of the table, without its end."""
    found = [cell for router in SECONDS for cell in cells(row, simulated(row, tmp_path, router), router)]
    return f"| {' | '.join([f'`{row.lab}`', *found])} |"


def written() -> list[str]:
    """The lines of the table, below its head."""
    text = GUIDE.read_text(encoding="utf-8")
    (lines,) = re.findall(r"^\| lab, milliseconds \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return str(lines).splitlines()


def test_the_table_of_the_guide_has_these_lines() -> None:
    assert [one.split(" | ")[0] for one in written()] == [f"| `{row.lab}`" for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.lab)
def test_the_table_of_the_guide_is_what_is_simulated(row: Row, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (old,) = (one for one in written() if one.startswith(f"| `{row.lab}` |"))
    new = line(row, tmp_path)
    if request.config.getoption("--rewrite"):
        text = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text(text.replace(f"{old}\n", f"{new}\n"), encoding="utf-8")
    else:
        assert old == new


def test_what_was_measured_stands_in_the_guide() -> None:
    measured = GUIDE.read_text(encoding="utf-8").partition("\n## Beside")[0]
    for row in ROWS:
        assert all(text in measured for text, _ in row.measured.values()), row.lab
