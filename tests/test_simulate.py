"""``exavrrp simulate``: words to events, what the nodes make of them, and what is judged and printed.

The nodes are those of the product; that their election, addresses and routes are right is tested elsewhere. Here what
follows from each event has to be what follows from it in the lab.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exavrrp.cli import main
from exavrrp.cli.simulate import VERSIONS
from exavrrp.config import Configuration, load, node_names
from exavrrp.simulation import scenario, stage
from exavrrp.simulation.checks import TAKES
from exavrrp.simulation.network import Packet
from exavrrp.simulation.process import Unwatched
from exavrrp.simulation.scenario import Event, Expectation, Known, Part, Scenario, Unreadable, Verb
from exavrrp.simulation.stage import Stage, Terms, Unplayable, interfaces, known, members, sessions
from exavrrp.simulation.story import Outage, Serving, Span, Story, judged, sections
from exavrrp.simulation.world import Violation
from exavrrp.speaker.dialects import DIALECTS
from exavrrp.virtual_router import VirtualRouter
from tests.watching import unwatched

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
order = ["node1", "node2", "node3"]
addresses = ["2001:db8:53::1"]
checks = ["web"]

[check.web]
tcp = "[::1]:80"
interval = 0.1
timeout = 0.1
fall = 2
rise = 1
"""

KNOWN = Known(
    interfaces={"node1": ("eth0", "eth1"), "node2": ("eth0", "eth1")},
    checks={"node1": ["web"], "node2": []},
    routers={"node1": ["web", "dns"], "node2": ["web"]},
)

SKEW = 0.1 * (256 - 240) / 256
"""Seconds: Skew_Time of node2, by its place in ``order``."""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    path = tmp_path / "exavrrp.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(name="nodes")
def _nodes(file: Path) -> dict[str, Configuration]:
    return {name: load(file, node=name) for name in node_names(file)}


def call(*words: object) -> Result:
    with unwatched():
        return CliRunner().invoke(main, ["simulate", *map(str, words)], catch_exceptions=False)


# Words


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ("kill node1", Event(10.0, Verb.KILL, "node1")),
        ("kill agent on node1", Event(10.0, Verb.KILL, "node1", Part.AGENT)),
        ("kill exabgp on node1", Event(10.0, Verb.KILL, "node1", Part.EXABGP)),
        ("start node1", Event(10.0, Verb.START, "node1")),
        ("stop node1", Event(10.0, Verb.STOP, "node1")),
        ("replace agent on node1", Event(10.0, Verb.REPLACE, "node1", Part.AGENT)),
        ("freeze node1", Event(10.0, Verb.FREEZE, "node1", Part.AGENT)),
        ("thaw exabgp on node1", Event(10.0, Verb.THAW, "node1", Part.EXABGP)),
        ("cut node1", Event(10.0, Verb.CUT, "node1")),
        ("mend node1 eth1", Event(10.0, Verb.MEND, "node1", Part.HOST, "eth1")),
        ("gray node1 eth0", Event(10.0, Verb.GRAY, "node1", Part.HOST, "eth0")),
        ("deaf node2", Event(10.0, Verb.DEAFEN, "node2")),
        ("undeafen node2", Event(10.0, Verb.UNDEAFEN, "node2")),
        ("partition node2", Event(10.0, Verb.PARTITION, "node2")),
        ("rejoin node2 node1", Event(10.0, Verb.REJOIN, "node2", Part.HOST, "node1")),
        ("fail check web on node1", Event(10.0, Verb.FAIL, "node1", Part.HOST, "web")),
        ("pass web on node1", Event(10.0, Verb.PASS, "node1", Part.HOST, "web")),
        ("drain node1 dns", Event(10.0, Verb.DRAIN, "node1", Part.HOST, "dns")),
        ("reload node1 new.toml", Event(10.0, Verb.RELOAD, "node1", Part.HOST, "new.toml")),
    ],
)
def test_words_are_an_event_and_an_event_those_words_again(words: str, event: Event) -> None:
    assert scenario.read(f"at 10s {words}", KNOWN).events == (event,)
    assert scenario.read(f"at 10s {event}", KNOWN).events == (event,)


def test_events_come_in_their_order_and_expectations_belong_to_the_event_before() -> None:
    text = """
    # maintenance
    at 1m30s start node1   # and back
    expect web: node1 within 1m
    at 400ms kill node1; expect web: node2 within 0.5s ; expect web: no outage after 2s
    expect dns: outage at most 1s
    """
    read = scenario.read(text, KNOWN)
    assert [event.at for event in read.events] == [0.4, 90.0]
    assert read.expectations == (
        Expectation("web", "node1", 60.0, 90.0),
        Expectation("web", "node2", 0.5, 0.4),
        Expectation("web", None, 0.0, 2.0),
        Expectation("dns", None, 1.0, 0.4),
    )
    assert [scenario.expectation(str(one), KNOWN) for one in read.expectations] == list(read.expectations)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill node1", "'kill node1' has no time; write at TIME before it: at 10s kill node1"),
        ("at", "'at' has no time; write at TIME before it: at 10s kill node1"),
        ("at 10 kill node1", "'10' is no time; write a number and a unit: 10s, 400ms, 1m30s"),
        ("at 10s5 kill node1", "'10s5' is no time; write a number and a unit: 10s, 400ms, 1m30s"),
        ("at 25h kill node1", "'25h' is more than a day; write at most 24h"),
        ("at 10s", "nothing is to happen then; write what: at 10s kill node1"),
        ("at 10s kil node1", "'kil' is no verb; did you mean kill?"),
        ("at 10s kill nod1", "'nod1' is no node; did you mean node1?"),
        ("at 10s kill x", "'x' is no node; write one of node1, node2"),
        ("at 10s kill", "kill is about something else; write kill NODE, kill agent on NODE, or kill exabgp on NODE"),
        ("at 10s kill node1 eth0", "kill is about something else; write kill NODE, kill agent on NODE, or kill exabgp"),
        ("at 10s replace exabgp on node1", "replace is about something else; write replace agent on NODE"),
        ("at 10s gray node1", "gray is about something else; write gray NODE INTERFACE"),
        ("at 10s cut node1 eth7", "'eth7' is no interface of node1; did you mean eth1?"),
        ("at 10s fail check web", "fail is about something else; write fail check NAME on NODE"),
        ("at 10s fail web on node2", "'web' is no check on node2; there is none"),
        ("at 10s drain node2 dns", "'dns' is no virtual router on node2; write one of web"),
        ("at 10s partition node1 node1", "partition names node1 twice; write partition NODE, or partition NODE NODE"),
        ("at 10s partition node1 x", "'x' is no node; write one of node1, node2"),
        ("at 10s reload node1", "reload is about something else; write reload NODE FILE"),
        ("expect web: node2 in 1s", "'web: node2 in 1s' is no expectation; write ROUTER: NODE within TIME"),
        (
            "expect web no outage",
            "'web no outage' is no expectation; write ROUTER: NODE within TIME",
        ),
        ("expect mail: no outage", "'mail' is no virtual router; write one of web, dns"),
        ("expect web: nod within 1s", "'nod' is no node; did you mean node2?"),
        ("expect web: node1 within 1", "'1' is no time; write a number and a unit"),
        (" # nothing", "no event; write one: at 10s kill node1"),
        (f"at 10s {'x' * 100}\x00", f"'{'x' * 60}…' is no verb; write one of kill, start"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(Unreadable) as raised:
        scenario.read(text, KNOWN)
    (slip,) = raised.value.slips
    assert slip.message.startswith(message)
    assert slip.message.isprintable()


def test_all_mistakes_come_at_once_each_with_its_line() -> None:
    with pytest.raises(Unreadable) as raised:
        scenario.read("kill node1\nat 1s kill node1; at 2 kill node1\n\nat 3s fly node1", KNOWN)
    assert [slip.line for slip in raised.value.slips] == [1, 2, 4]
    assert str(raised.value).startswith("line 1: 'kill node1' has no time")


def test_a_scenario_without_end_is_refused_where_it_becomes_too_long() -> None:
    with pytest.raises(Unreadable) as raised:
        scenario.read("at 1s kill node1\n" * (scenario.MOST + 5), KNOWN)
    assert [slip.line for slip in raised.value.slips] == [scenario.MOST + 1]


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.001, 1.0, 90.0, 12.345678])
def test_a_time_is_read_as_it_is_written(seconds: float) -> None:
    assert scenario.duration(scenario.shown(seconds)) == seconds


# Judgement

NODE1, NODE2 = Serving(("node1",)), Serving(("node2",))
BOTH, NOBODY, ASTRAY = Serving(("node1", "node2")), Serving(wayless=True), Serving((), ("node1",))


def story(*spans: tuple[float, Serving], end: float = 60.0) -> Story:
    return Story(end, {"web": [Span(since, serving) for since, serving in spans]})


@pytest.mark.parametrize(
    ("serving", "words", "lossy"),
    [
        (NODE1, "node1 serves", False),
        (BOTH, "node1 and node2 serve", False),
        (NOBODY, "no router knows a way", True),
        (ASTRAY, "packets to node1 are lost", True),
        (Serving(("node2",), ("node1",)), "node2 serves, some packets to node1 are lost", True),
        (Serving(("node2",), wayless=True), "node2 serves, a router knows no way", True),
        (Serving(), "nobody serves", True),
    ],
)
def test_who_serves_in_words(serving: Serving, words: str, lossy: bool) -> None:
    assert (str(serving), serving.lossy) == (words, lossy)


def test_an_outage_lasts_until_every_flow_is_answered() -> None:
    one = story((0.0, NODE1), (10.0, NOBODY), (10.3, Serving(("node2",), ("node1",))), (10.5, NODE2), (58.0, ASTRAY))
    assert one.outages("web", 10.0, 60.0) == [Outage(10.0, 10.5), Outage(58.0, None)]
    assert one.longest("web", 10.0, 60.0) == pytest.approx(2.0)
    assert one.outages("web", 10.4, 20.0) == [Outage(10.4, 10.5)]
    assert one.outages("web", 20.0, 30.0) == []
    assert one.longest("web", 20.0, 30.0) == 0.0


def test_what_lasts_for_no_time_is_no_span() -> None:
    one = story((0.0, NOBODY))
    for at, serving in ((1.0, NODE1), (2.0, NOBODY), (2.0, NODE1), (3.0, BOTH), (3.0, NODE2), (4.0, NODE2)):
        one.goes_on("web", at, serving)
    assert one.spans["web"] == [Span(0.0, NOBODY), Span(1.0, NODE1), Span(3.0, NODE2)]
    one = story((0.0, NOBODY))
    one.goes_on("web", 0.0, NODE1)
    assert one.spans["web"] == [Span(0.0, NODE1)]


SETTLED = story((0.0, NODE1), (10.0, NOBODY), (10.3, NODE2), (40.0, BOTH), (41.0, NODE1))


@pytest.mark.parametrize(
    ("expected", "found", "met"),
    [
        ("web: node2 within 400ms", "node2 after 300.0 ms", True),
        ("web: node2 within 300ms", "node2 after 300.0 ms", True),
        ("web: node2 within 299ms", "node2 after 300.0 ms", False),
        ("web: node1 within 400ms", "node2 serves in the end", False),
        ("web: no outage", "outage 300.0 ms", False),
        ("web: outage at most 300ms", "outage 300.0 ms", True),
        ("web: no outage after 30s", "no outage", True),
        ("web: node1 within 11s after 30s", "node1 after 11000.0 ms", True),
        ("web: node1 within 1ms after 50s", "node1 all the time", True),
    ],
)
def test_a_verdict_on_each_expectation(expected: str, found: str, met: bool) -> None:
    events = (Event(10.0, Verb.KILL, "node1"), Event(30.0, Verb.START, "node1"))
    play = Scenario(events, (scenario.expectation(expected, KNOWN),))
    (verdict,) = judged(play, SETTLED, {"web": ["web"]})
    assert (verdict.found, verdict.met) == (found, met)
    assert sections(play, 60.0) == [(10.0, 30.0), (30.0, 60.0)]


def test_a_name_for_several_routers_is_judged_of_each() -> None:
    play = Scenario((Event(10.0, Verb.KILL, "node1"),), (Expectation("web", "node2", 1.0),))
    told = Story(60.0, {"web-ipv6": SETTLED.spans["web"][:3], "web-ipv4": [Span(0.0, NODE1)]})
    (verdict,) = judged(play, told, {"web": ["web-ipv6", "web-ipv4"]})
    assert (verdict.found, verdict.met) == ("web-ipv4: node1 serves in the end", False)


# The play


def test_each_exabgp_whose_dialect_is_known_can_be_played() -> None:
    assert VERSIONS.keys() == DIALECTS.keys()


def play(nodes: dict[str, Configuration], text: str, seed: int = 1, **terms: float) -> Story:
    """As far as it takes until all has found its place again."""
    one = Stage(nodes, Terms(**{"tail": 8.0, **terms}), seed, {})  # type: ignore[arg-type]
    with unwatched():
        return one.play(scenario.read(text, known(nodes)))


def changes(told: Story, after: float = 9.0) -> list[str]:
    """Who serves from then on, one after the other."""
    return [str(span.serving) for span in told.between("web", after, math.inf)]


def outage(told: Story) -> float:
    return told.longest("web", 9.0, math.inf)


@pytest.mark.parametrize("seed", range(3))
def test_a_dead_node_is_replaced_when_its_adverts_are_missed(nodes: dict[str, Configuration], seed: int) -> None:
    told = play(nodes, "at 10s kill node1", seed)
    lost = [
        "packets to node1 are lost",
        "no router knows a way",
    ]  # until the routers have withdrawn its route, and then
    assert changes(told) == ["node1 serves", *lost, "node2 serves"]
    assert 2 * 0.1 + SKEW < outage(told) < 3 * 0.1 + SKEW + 0.01


def test_routers_that_take_longer_make_the_outage_longer(nodes: dict[str, Configuration]) -> None:
    quick, slow = (play(nodes, "at 10s kill node1", convergence=seconds) for seconds in (0.002, 0.05))
    assert outage(slow) - outage(quick) == pytest.approx(0.048, abs=0.005)


@pytest.mark.parametrize(
    ("text", "served"),
    [
        ("at 10s drain node1", ["node1 serves", "node2 serves"]),
        ("at 10s drain node1 web; at 20s undrain node1 web", ["node1 serves", "node2 serves", "node1 serves"]),
        ("at 10s drain node1; at 20s undrain node1", ["node1 serves", "node2 serves", "node1 serves"]),
        ("at 10s kill agent on node1", ["node1 serves"]),
        ("at 10s replace agent on node1", ["node1 serves"]),
        ("at 10s gray node1 eth0; at 15s clear node1 eth0", ["node1 serves"]),
        ("at 10s reset node1 eth1", ["node1 serves"]),
        ("at 10s partition node2 node3; at 15s rejoin node2 node3", ["node1 serves"]),
        ("at 10s freeze node1; at 15s thaw node1", ["node1 serves", "node2 serves", "node1 serves"]),
        ("at 10s freeze node1; at 12s freeze node1; at 15s thaw node1; at 16s thaw node1", ["node1 serves", "node2"]),
        ("at 10s freeze exabgp on node1; at 20s thaw exabgp on node1", ["node1 serves", "node2 serves", "node1"]),
        ("at 10s partition node1; at 15s rejoin node1", ["node1 serves", "node2 serves", "node1 serves"]),
        ("at 9.9s gray node3 eth1; at 10s partition node1 node2; at 15s rejoin node1", ["node1 serves"]),
        ("at 10s deafen node3; at 15s undeafen node3", ["node1 serves", "node3 serves", "node1 serves"]),
    ],
)
def test_what_costs_no_packet(nodes: dict[str, Configuration], text: str, served: Sequence[str]) -> None:
    told = play(nodes, text)
    assert outage(told) == 0.0
    assert [one for one in changes(told) if " and " not in one][: len(served)] == [
        one if one.endswith("serves") else f"{one} serves" for one in served
    ]


@pytest.mark.parametrize("convergence", [0.002, 0.05])
def test_a_cut_uplink_costs_what_its_router_takes(nodes: dict[str, Configuration], convergence: float) -> None:
    told = play(nodes, "at 10s cut node1 eth0; at 15s mend node1 eth0", convergence=convergence)
    assert changes(told) == ["node1 serves", "node1 serves, some packets to node1 are lost", "node1 serves"]
    assert outage(told) == pytest.approx(convergence)


def test_routers_that_act_upon_all_at_once_hide_a_stop(nodes: dict[str, Configuration]) -> None:
    """A router that waits for 50 ms still has the old route when the new one comes, and the old node answers."""
    assert outage(play(nodes, "at 10s stop node1", convergence=0.05)) == 0.0
    assert outage(play(nodes, "at 10s stop node1", convergence=0.002)) > SKEW


def test_a_node_that_is_mute_serves_again_when_it_is_heard(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s mute node1; at 15s unmute node1")
    assert changes(told) == ["node1 serves", "packets to node1 are lost", "node2 serves", "node1 serves"]
    assert outage(told) < 3 * 0.1 + SKEW + 0.01


def test_a_mute_node_is_forgotten_after_the_hold_time_and_comes_back(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s mute node1; at 25s unmute node1", hold=9.0)
    assert changes(told)[:3] == ["node1 serves", "packets to node1 are lost", "node2 serves"]
    assert told.serving("web", told.end) == NODE1
    assert outage(told) < 3 * 0.1 + SKEW + 0.01


def failed_sessions(told: Story) -> list[float]:
    """When node1 finds that its BGP sessions are down."""
    return [one.at for one in told.moments if one.words.startswith("node1: ") and "BGP sessions: failing" in one.words]


def test_a_node_that_is_muted_again_has_the_whole_hold_time_once_more(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s mute node1; at 14s unmute node1; at 15s mute node1", hold=9.0, tail=12.0)
    (failed,) = failed_sessions(told)
    assert 24.0 <= failed < 25.5


def test_an_exabgp_that_is_frozen_finds_the_end_of_the_hold_time_when_it_goes_on(
    nodes: dict[str, Configuration],
) -> None:
    told = play(nodes, "at 10s mute node1; at 18s freeze exabgp on node1; at 20s thaw exabgp on node1", hold=9.0)
    (failed,) = failed_sessions(told)
    assert 20.0 <= failed < 21.5


def test_what_a_mute_node_sends_arrives_when_it_is_heard_again(nodes: dict[str, Configuration]) -> None:
    """It has taken over meanwhile, as it hears nobody."""
    told = play(nodes, "at 10s mute node2; at 12s unmute node2")
    assert told.serving("web", told.end) == NODE1
    assert outage(told) == 0.0


def test_a_mute_node_that_dies_is_forgotten_at_once(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s mute node1; at 12s kill node1; at 14s start node1; at 16s unmute node1")
    assert told.outages("web", 11.0, told.end) == []
    assert told.serving("web", told.end) == NODE1


def test_a_deaf_node_is_heard_and_draws_no_traffic_for_long(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s deafen node3; at 15s undeafen node3")
    assert told.serving("web", 10.4) == Serving(("node3",))
    assert told.serving("web", 11.0) == NODE1


def test_a_failed_check_costs_its_detection_and_skew(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s fail check web on node1; at 20s pass check web on node1")
    assert changes(told) == [
        "node1 serves",
        "packets to node1 are lost",
        "no router knows a way",
        "node2 serves",
        "node1 serves",
    ]
    assert 0.1 < outage(told) < 0.2 + TAKES + SKEW + 0.03


def test_exabgp_that_ends_takes_the_routes_with_it(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s kill exabgp on node1; at 30s stop node1; at 40s start node1")
    assert changes(told)[:3] == ["node1 serves", "no router knows a way", "node2 serves"]
    assert told.serving("web", 29.9) == NODE1
    assert told.serving("web", 39.9) == NODE2
    assert told.serving("web", told.end) == NODE1


def test_a_seed_is_one_story(nodes: dict[str, Configuration]) -> None:
    first, again, other = (play(nodes, "at 10s kill node1", seed) for seed in (3, 3, 4))
    assert first == again != other


def test_a_play_lasts_until_every_expectation_can_be_judged(nodes: dict[str, Configuration]) -> None:
    assert play(nodes, "at 10s kill node1; expect web: node2 within 20s").end == 31.0
    assert play(nodes, "expect web: node1 within 20s; at 10s kill node2").end == 31.0


EVERYTHING = """
at 3.0s gray node1 eth0; at 3.2s clear node1 eth0; at 3.4s reset node1 eth1
at 3.6s cut node1 eth0; at 3.8s mend node1
at 4.0s deafen node3; at 4.1s gray node2 eth1; at 4.2s undeafen node3; at 4.3s clear node2 eth1
at 4.4s mute node3; at 4.6s unmute node3
at 4.8s partition node2; at 5.0s partition node2 node3; at 5.2s rejoin node2
at 5.4s fail web on node1; at 6.0s pass web on node1
at 7.0s drain node1 web; at 8.0s undrain node1
at 9.0s freeze node1; at 9.2s freeze node1; at 9.4s thaw node1; at 9.6s thaw node1
at 9.8s freeze exabgp on node1; at 10s thaw exabgp on node1
at 10.2s kill agent on node1; at 11s kill exabgp on node1; at 14s replace agent on node1
at 15s kill node1; at 16s start node1; at 18s stop node1; at 19s start node1
expect web: no outage after 22s
"""


def test_everything_may_happen_in_one_play(nodes: dict[str, Configuration]) -> None:
    """And it has healed in the end. Watched by coverage, unlike most others."""
    read = scenario.read(EVERYTHING, known(nodes))
    reload = Event(21.0, Verb.RELOAD, "node1", what="x")
    assert {one.verb for one in (*read.events, reload)} == {*Verb}
    play = Scenario((*read.events, reload), read.expectations)
    told = Stage(nodes, Terms(tail=4.0), 1, {reload: nodes["node1"]}).play(play)
    assert told.serving("web", told.end) == NODE1


# Other configurations


def written(directory: Path, **texts: str) -> dict[str, Configuration]:
    found = {}
    for name, text in texts.items():
        path = directory / f"{name}.toml"
        path.write_text(text)
        found[name] = load(path)
    return found


LAN = """
[virtual_router.web]
vrid = 9
priority = {priority}
transport = "multicast"
interface = "bond0"
source = "192.0.2.1{number}"
addresses = ["192.0.2.100"]
advert_interval = 0.1
announce = false
{more}
"""


@pytest.mark.parametrize("more", ["", "bind = false"])
def test_who_is_active_serves_what_nobody_announces(tmp_path: Path, more: str) -> None:
    nodes = written(
        tmp_path,
        a=LAN.format(priority=200, number=1, more=more),
        b=LAN.format(priority=100, number=2, more=more),
    )
    assert interfaces(nodes) == {"a": ("bond0", "eth0"), "b": ("bond0", "eth0")}
    words = "at 10s kill a; at 20s start a; at 40s cut a eth0; at 50s cut a bond0"
    told = Stage(nodes, Terms(tail=8.0), 1, {}).play(scenario.read(words, known(nodes)))  # watched
    assert changes(told)[:3] == ["a serves", "no router knows a way", "b serves"]
    assert told.serving("web", 45.0) == Serving(("a",))
    assert told.serving("web", told.end) == Serving(("b",))


@pytest.mark.parametrize(
    ("lost", "seen"),
    [
        ("cut a bond0", ["no router knows a way", "b serves", "packets to b are lost", "no router knows a way"]),
        ("mute a", ["b serves", "packets to a and b are lost", "packets to a are lost"]),
    ],
)
def test_on_a_link_another_active_is_found_in_place_of_one_that_nothing_reaches(
    tmp_path: Path, lost: str, seen: list[str]
) -> None:
    """Who sees that its own link is down leaves the election."""
    nodes = written(
        tmp_path,
        a=LAN.format(priority=200, number=1, more='bind = "bond0"'),
        b=LAN.format(priority=100, number=2, more='bind = "bond0"'),
    )
    told = play(nodes, f"at 10s {lost}; at 20s cut b bond0")
    assert changes(told) == ["a serves", "packets to a are lost", *seen]
    [first, _] = told.outages("web", 9.0, math.inf)
    assert first.length(told.end) < 0.4


def test_a_mute_node_keeps_the_route_that_another_program_announces(file: Path) -> None:
    file.write_text(FILE.replace("[check.web]", "announce = false\n[check.web]"))
    told = play({name: load(file, node=name) for name in node_names(file)}, "at 10s mute node1")
    assert str(told.serving("web", told.end)) == "node2 serves, some packets to node1 are lost"


BOTH_FAMILIES = FILE.replace('["2001:db8:53::1"]', '["2001:db8:53::1", "192.0.2.100"]')
for _number in (1, 2, 3):
    BOTH_FAMILIES = BOTH_FAMILIES.replace(f'ff::1{_number}"', f'ff::1{_number}", "192.0.2.1{_number}"')


def test_a_service_of_both_families_moves_as_one(file: Path) -> None:
    file.write_text(BOTH_FAMILIES)
    nodes = {name: load(file, node=name) for name in node_names(file)}
    assert members(nodes) == {
        "web-ipv6": ["web-ipv6"],
        "web-ipv4": ["web-ipv4"],
        "web": ["web-ipv6", "web-ipv4"],
    }
    told = play(nodes, "at 10s kill node1; expect web: node2 within 400ms")
    assert {str(told.serving(name, told.end)) for name in told.spans} == {"node2 serves"}
    assert [len(one) for one in sessions(nodes["node1"], 0, 2)] == [2, 2]


def test_an_address_may_go_before_its_withdraw(file: Path) -> None:
    """As break before make has it when a check fails, and ExaBGP has not carried out the second family's."""
    file.write_text(BOTH_FAMILIES.replace("[check.web]", 'handover = "break-before-make"\n[check.web]'))
    told = play({name: load(file, node=name) for name in node_names(file)}, "at 10s fail web on node1")
    assert [told.serving(name, told.end) for name in told.spans] == [NODE2, NODE2]


def test_sessions_that_a_configuration_names_are_there(file: Path) -> None:
    named = """[virtual_router.web.bgp]
neighbors = ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"]
takeover = ["local-preference"]
"""
    file.write_text(FILE + named)
    nodes = {name: load(file, node=name) for name in node_names(file)}
    there = sessions(nodes["node1"], 0, 2)
    assert [[str(one.peer) for one in router] for router in there] == [
        ["2001:db8:1::1", "2001:db8:3::1"],
        ["2001:db8:2::1"],
    ]
    assert changes(play(nodes, "at 10s mute node1"))[-1] == "node2 serves"


def test_a_reload_changes_what_it_names(nodes: dict[str, Configuration], file: Path) -> None:
    lowered = FILE.replace('"node1", "node2"', '"node2", "node1"').replace('["web"]', '["web", "new"]')
    file.write_text(lowered.replace("timeout = 0.1", "timeout = 0.09") + '[check.new]\ntcp = "[::1]:81"\n')
    new = {name: load(file, node=name) for name in nodes}
    events = [Event(10.0 + number, Verb.RELOAD, name, what="x") for number, name in enumerate(nodes)]
    told = Stage(nodes, Terms(tail=8.0), 1, {event: new[event.node] for event in events}).play(Scenario(tuple(events)))
    assert changes(told) == ["node1 serves", "node2 serves"]


def test_a_check_that_changes_while_it_runs_begins_anew(nodes: dict[str, Configuration], file: Path) -> None:
    texts = FILE.replace("timeout = 0.1", "timeout = 0.09"), FILE
    reloads = {}
    for number in range(50):  # one begins every 100 ms, and takes 5 ms
        file.write_text(texts[number % 2])
        reloads[Event(10.0 + 0.004 * number, Verb.RELOAD, "node1", what="x")] = load(file, node="node1")
    fail = Event(11.0, Verb.FAIL, "node1", what="web")
    told = Stage(nodes, Terms(tail=2.0), 1, reloads).play(Scenario((*reloads, fail)))
    assert changes(told) == ["node1 serves", "packets to node1 are lost", "no router knows a way", "node2 serves"]


def test_an_address_that_not_all_nodes_have_yet_is_nobody_s_outage(nodes: dict[str, Configuration], file: Path) -> None:
    file.write_text(FILE.replace('["2001:db8:53::1"]', '["2001:db8:53::1", "2001:db8:53::2"]'))
    event = Event(10.0, Verb.RELOAD, "node1", what="x")
    told = Stage(nodes, Terms(tail=8.0), 1, {event: load(file, node="node1")}).play(Scenario((event,)))
    assert changes(told) == ["node1 serves"]


def test_a_router_that_a_reload_has_removed_is_drained_in_vain(file: Path) -> None:
    more = '[virtual_router.dns]\nvrid = 8\norder = ["node1", "node2", "node3"]\naddresses = ["2001:db8:53::3"]\n'
    file.write_text(FILE + more)
    nodes = {name: load(file, node=name) for name in node_names(file)}
    file.write_text(FILE)
    gone, drain = Event(10.0, Verb.RELOAD, "node1", what="x"), Event(11.0, Verb.DRAIN, "node1", what="dns")
    told = Stage(nodes, Terms(tail=8.0), 1, {gone: load(file, node="node1")}).play(Scenario((gone, drain)))
    assert told.serving("dns", told.end) == NODE2
    assert outage(told) == 0.0


PAIR = """[agent]
sources = ["2001:db8:ff::1{me}"]
peers = ["2001:db8:ff::1{other}"]
advert_interval = 0.1
"""
WEB = '[virtual_router.web]\nvrid = 7\npriority = {me}00\naddresses = ["2001:db8:53::1"]\n'
DNS = '[virtual_router.dns]\nvrid = 8\npriority = {me}00\naddresses = ["2001:db8:53::2"]\n'


def test_a_router_that_waits_for_a_leaving_one_is_there_once_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the name of the one that leaves, and so begins after the reload; the other node has its VRID."""
    seen: list[tuple[str, int]] = []

    class Watching(Unwatched):
        def advert(self, router: VirtualRouter, priority: int) -> None:
            if self._process.ground.number == 0:
                seen.append(("says", router.configuration.vrid))

        def heard(self, router: VirtualRouter, packet: Packet, priority: int) -> None:
            if self._process.ground.number == 0:
                seen.append(("hears", router.configuration.vrid))

    monkeypatch.setattr(stage, "Unwatched", Watching)
    nodes = written(
        tmp_path,
        a=(PAIR + WEB).format(me=1, other=2),
        b=(PAIR + WEB + DNS).format(me=2, other=1),
    )
    new = (PAIR + DNS).format(me=1, other=2).replace("router.dns", "router.web")
    reload = Event(10.0, Verb.RELOAD, "a", what="x")
    fail = Event(20.0, Verb.KILL, "b")
    told = Stage(nodes, Terms(tail=8.0), 1, {reload: written(tmp_path, new=new)["new"]}).play(Scenario((reload, fail)))
    assert {("hears", 7), ("hears", 8), ("says", 8)} <= set(seen)
    assert told.serving("dns", told.end) == Serving(("a",))


def test_a_reload_to_a_vrid_that_no_node_has_is_refused(nodes: dict[str, Configuration], file: Path) -> None:
    file.write_text(FILE.replace("vrid = 7", "vrid = 8"))
    event = Event(10.0, Verb.RELOAD, "node1", what="new.toml")
    with pytest.raises(Unplayable) as raised:
        Stage(nodes, Terms(), 1, {event: load(file, node="node1")})
    (problem,) = raised.value.problems
    assert problem == (
        "reload node1 new.toml: web has vrid 8 (IPv6), which no node has when the play begins, and a reload to a new"
        " one is not simulated; keep the vrid, or play with the new files from the beginning"
    )


def test_with_beacons_a_drain_is_refused_where_nobody_is_ready(file: Path) -> None:
    text = "at 10s kill node2; at 12s kill node3; at 20s drain node1"
    told = [moment.words for moment in with_beacons(file, text).moments]
    assert not [one for one in told if "draining" in one]
    [refused] = [one for one in told if "drain refused" in one]
    assert refused.startswith("node1: drain refused: web: 2001:db8:ff::12 silent for ")


@pytest.mark.parametrize(
    ("text", "served"),
    [
        ("at 10s kill node2; at 20s drain node1", ["node1 serves", "node3 serves"]),
        ("at 10s drain node2; at 20s drain node3; at 21s undrain node2; at 25s drain node1", ["node1", "node2 serves"]),
        ("at 10s drain node2; at 15s drain node3; at 20s drain node1; at 25s drain node1", ["node1 serves"]),
        ("at 10s mute node2; at 15s freeze node3; at 16s mute node3; at 20s drain node1", ["node1 serves"]),
    ],
)
def test_with_beacons_a_drain_moves_where_anybody_is_ready(file: Path, text: str, served: Sequence[str]) -> None:
    told = with_beacons(file, text)
    assert outage(told) == 0.0
    assert [one for one in changes(told) if " and " not in one] == [
        one if one.endswith("serves") else f"{one} serves" for one in served
    ]


def with_beacons(file: Path, text: str) -> Story:
    file.write_text(FILE.replace("[agent]", "[agent]\nbeacon = true"))
    return play({name: load(file, node=name) for name in node_names(file)}, text)


def test_undrain_without_names_ends_the_drain_of_a_router_that_is_not_configured(file: Path) -> None:
    more = '[virtual_router.dns]\nvrid = 8\norder = ["node1", "node2", "node3"]\naddresses = ["2001:db8:53::3"]\n'
    file.write_text(FILE + more)
    nodes = {name: load(file, node=name) for name in node_names(file)}
    file.write_text(FILE)
    without = load(file, node="node1")
    drain, undrain = (Event(at, verb, "node1") for at, verb in ((10.0, Verb.DRAIN), (30.0, Verb.UNDRAIN)))
    gone, back = (Event(at, Verb.RELOAD, "node1", what="x") for at in (20.0, 40.0))
    one = Stage(nodes, Terms(tail=15.0), 1, {gone: without, back: nodes["node1"]})
    told = one.play(Scenario((drain, gone, undrain, back)))
    assert told.serving("dns", 39.9) == NODE2
    assert told.serving("dns", told.end) == NODE1


def test_what_cannot_be_simulated_is_said_at_once(tmp_path: Path, nodes: dict[str, Configuration], file: Path) -> None:
    text = """
[agent]
peers = ["192.0.2.12", "2001:db8:ff::12"]
[virtual_router.web]
vrid = 7
addresses = ["192.0.2.100"]
bgp.next_hop = { "2001:db8:1::1" = "2001:db8:1::2" }
"""
    (one,) = written(tmp_path, one=text).values()
    event = Event(10.0, Verb.RELOAD, "node1", what="new.toml")
    other = FILE.replace("[agent]", '[agent]\nstate_directory = "/run/other"\ninterfaces = ["eth7"]')
    file.write_text(other)
    with pytest.raises(Unplayable) as raised:
        Stage(nodes, Terms(tail=8.0), 1, {event: load(file, node="node1")})
    assert raised.value.problems == (
        "reload node1 new.toml: the file names eth7, and node1 has eth0, eth1",
        "reload node1 new.toml: the file changes what only a restart can change; exavrrp reload would refuse it",
    )
    with pytest.raises(Unplayable, match=r"a: web has no source.*a: web is announced over .* the other family"):
        Stage({"a": one, "b": one}, Terms(), 1, {})


# The command


def test_the_command_prints_the_timeline_who_serves_and_the_outage(file: Path) -> None:
    told = call(file, "--do", "at 10s kill node1", "--expect", "web: node2 within 400ms", "--runs", 3)
    assert told.exit_code == 0, told.output
    assert "at 10s: kill node1 (seed 1)" in told.stdout
    assert "  node2: backup -> active (active-down-timeout)\n" in told.stdout
    assert "EVENT  ROUTER  OUTAGE" in told.stdout
    assert told.stdout.endswith("\nmet: web: node2 within 400ms\n")
    assert all(len(line) <= 80 for line in told.stdout.splitlines())


def test_the_exit_status_is_that_of_the_expectations(file: Path) -> None:
    told = call(file, "--do", "at 10s kill node1", "--expect", "web: node2 within 200ms", "--runs", 2)
    assert told.exit_code == 1
    assert "\nNOT MET: web: node2 within 200ms: node2 after " in told.stdout
    assert call(file, "--do", "at 10s kill node1", "--runs", 1).exit_code == 0


def test_one_document(file: Path) -> None:
    told = call(file, "--do", "at 10s kill node1", "--expect", "web: no outage", "--runs", 2, "--seed", 7, "--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert (document["met"], [run["seed"] for run in document["runs"]]) == (False, [7, 8])
    (row,) = document["outages"]
    assert (row["event"], row["router"], row["in_the_end"]) == ("kill node1", "web", ["node2 serves"])
    assert all(200 < one < 400 for one in row["outage_ms"])
    assert document["expectations"][0]["expectation"] == "web: no outage"
    assert document["runs"][0]["serving"]["web"][-1]["nodes"] == ["node2"]
    assert any("active-down-timeout" in one["what"] for one in document["runs"][0]["timeline"])


def test_a_scenario_in_a_file_and_several_routers(tmp_path: Path, file: Path) -> None:
    file.write_text(BOTH_FAMILIES)
    words = tmp_path / "scenario"
    words.write_text("at 10s drain node1\nexpect web: no outage\nat 20s undrain node1\n")
    told = call(file, "--scenario", words, "--runs", 1, "--routers", "frr", "--exabgp", "4", "--hold", "9s")
    assert told.exit_code == 0, told.output
    assert "node3; ExaBGP 4, routers as FRR, BGP hold time 9 s; seed 1" in told.stdout
    assert "\nmet: web: no outage after 10s\n" in told.stdout
    assert "  web-ipv4: node2: backup -> active (peer-resigned)" in told.stdout


def test_every_mistake_of_a_scenario_is_misuse(tmp_path: Path, file: Path) -> None:
    words = tmp_path / "scenario"
    words.write_text("at 10s kill node1\nat 20s fly node1\n")
    told = call(file, "--scenario", words, "--do", "kill node1", "--expect", "web: nobody")
    assert told.exit_code == 2
    assert [line.partition(" is ")[0] for line in told.stderr.splitlines()] == [
        "error: --do: 'kill node1' has no time; write at TIME before it: at 10s kill node1",
        f"error: {words}:2: 'fly'",
        "error: --expect: 'web: nobody'",
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], 'nothing is to happen; write --do "at 10s kill node1", or --scenario FILE'),
        (["--do", "at 10s kill node1", "--hold", "1s"], "a BGP hold time is at least 3s"),
        (["--do", "at 10s kill node1", "--tail", "1"], "'1' is no time"),
        (["--scenario", "/nowhere"], "error: cannot read /nowhere: No such file or directory"),
    ],
)
def test_misuse(file: Path, more: Sequence[str], said: str) -> None:
    told = call(file, *more)
    assert told.exit_code == 2
    assert said in told.stderr


def test_a_scenario_that_is_no_text(file: Path, tmp_path: Path) -> None:
    words = tmp_path / "scenario"
    words.write_bytes(b"\xff")
    told = call(file, "--scenario", words)
    assert (told.exit_code, told.stderr) == (2, f"error: {words} is not UTF-8; save it with this encoding\n")


def test_mistakes_of_configurations_are_those_of_check(file: Path, tmp_path: Path) -> None:
    file.write_text(FILE.replace("vrid = 7", "vrid = 700"))
    told = call(file, "--do", "at 10s kill node1")
    assert told.exit_code == 1
    assert "virtual_router.web.vrid: is 700" in told.stderr
    file.write_text(FILE)
    new = tmp_path / "new.toml"
    new.write_text(FILE.replace("vrid = 7", "vrid = 800"))
    told = call(file, "--do", f"at 10s reload node1 {new}; at 20s reload node2 {new}")
    assert told.exit_code == 1
    assert "virtual_router.web.vrid: is 800" in told.stderr
    new.write_text(FILE.replace("[agent]", '[agent]\nstate_directory = "/run/other"'))
    told = call(file, "--do", f"at 10s reload node1 {new}")
    assert told.exit_code == 1
    assert "exavrrp reload would refuse it" in told.stderr


NODE = """[agent]
sources = ["2001:db8:ff::1{me}"]
peers = ["2001:db8:ff::1{other}"]
authentication = "site"
[virtual_router.web]
vrid = 7
priority = {me}00
addresses = ["2001:db8:53::1"]
[authentication.site]
mode = "enforce"
active_key = 1
keys = {{ 1 = {{ file = "/nowhere/key" }}, 2 = {{ hex = "{key}" }} }}
"""


@pytest.mark.parametrize("place", ["{name}.toml", "{name}/exavrrp.toml"])
def test_files_of_nodes_name_them_and_no_key_is_read(tmp_path: Path, place: str) -> None:
    paths = []
    for me, name in enumerate(("left", "right"), 1):
        paths.append(tmp_path / place.format(name=name))
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(NODE.format(me=me, other=3 - me, key="5a" * 32))
    told = call(*paths, "--do", "at 10s kill right", "--expect", "web: left within 4s", "--runs", 1)
    assert told.exit_code == 0, told.output


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = []
    for me, name in enumerate(("one", "two"), 1):
        paths.append(tmp_path / name / "conf" / "exavrrp.toml")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_text(NODE.format(me=me, other=3 - me, key="5a" * 32))
    told = call(*paths, "--do", "at 10s kill conf")
    assert told.exit_code == 2
    assert "another file is that of conf, too" in told.stderr


def test_an_event_that_comes_before_the_nodes_are_up_is_noted(file: Path) -> None:
    told = call(file, "--do", "at 100ms kill node1", "--runs", 1)
    assert "warning: web: no router knows a way yet when the first event comes at 100ms; let it" in told.stderr


@pytest.mark.parametrize(
    ("text", "at", "when"),
    [
        ("at 1s kill node1; at 2s start node1", 1.5, "after 'at 1s kill node1'"),
        ("at 1s kill node1", 0.5, "before the first event"),
    ],
)
def test_a_broken_promise_is_one_line_with_the_seed_and_the_event(
    file: Path, monkeypatch: pytest.MonkeyPatch, text: str, at: float, when: str
) -> None:
    look = Stage._look  # noqa: SLF001 — it is called after everything that happens

    def broken(self: Stage) -> None:
        look(self)
        if self._world.now > at:
            raise Violation("2001:db8:53::1 is announced and not on lo")

    monkeypatch.setattr(Stage, "_look", broken)
    told = call(file, "--do", text, "--seed", 7)
    assert (told.exit_code, told.stdout) == (70, "")
    assert told.stderr == (
        f"error: seed 7, {when}: 2001:db8:53::1 is announced and not on lo; this is a mistake of exavrrp, not of your"
        " files: report this line, the command, the files that it names, and what exavrrp --version prints\n"
    )


def test_the_timeline_names_bgp_sessions_without_calling_them_a_check(nodes: dict[str, Configuration]) -> None:
    told = play(nodes, "at 10s cut node1; at 12s fail web on node2")
    words = {one.words for one in told.moments}
    assert {"node1: web's BGP sessions: failing", "node2: check web: failing"} <= words
    assert not any("check web's" in one for one in words)


def test_the_guide_names_every_event() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    section = guide.partition("\n## Simulation\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in row.replace("`", " ").split()} >= {str(verb) for verb in Verb}


def test_the_guide_shows_what_is_printed(file: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    command = 'exavrrp simulate --do "at 10s kill node1" --expect "web: node2 within 400ms" exavrrp.toml'
    told = call(file, "--do", "at 10s kill node1", "--expect", "web: node2 within 400ms")
    assert f"$ {command}\n{told.stdout}```" in guide
