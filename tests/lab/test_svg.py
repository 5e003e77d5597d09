"""The picture is well-formed, stays inside its frame, and shows what happened."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from exavrrp.cli.canvas import LOST, WIDTH, Axis
from lab.addressing import site
from lab.facts import Command, Facts, Incident, RouteChange
from lab.svg import COLOURS, draw
from tests.lab.build import EVENT, agent, order, probes, result, takeover

SVG = "{http://www.w3.org/2000/svg}"


def drawn(facts: Facts, scenario: str = "kill-node") -> ElementTree.Element:
    return ElementTree.fromstring(draw(order(scenario), result(facts)))


def words(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def test_it_is_an_svg_with_a_title() -> None:
    picture = drawn(takeover())
    assert picture.tag == f"{SVG}svg"
    title = picture.find(f"{SVG}title")
    assert title is not None
    assert "kill-node" in (title.text or "")


def test_it_says_what_was_measured() -> None:
    said = words(drawn(takeover()))
    assert "312 ms without an answer" in said
    assert any("node2 elected" in each and "+301.0 ms" in each for each in said)
    assert {"client", "tor1", "tor2", "node1", "node2", "node3"} <= set(said)


def test_nothing_lies_outside_the_frame() -> None:
    picture = drawn(takeover())
    height = float(picture.attrib["height"])
    for box in picture.iter(f"{SVG}rect"):
        if "x" in box.attrib:
            assert 0 <= float(box.attrib["x"]) <= float(box.attrib["x"]) + float(box.attrib["width"]) <= WIDTH
            assert 0 <= float(box.attrib["y"]) <= height


def test_lost_probes_are_red_and_answered_ones_have_their_nodes_colour() -> None:
    fills = {box.attrib["fill"] for box in drawn(takeover()).iter(f"{SVG}rect")}
    assert {LOST, COLOURS["node1"], COLOURS["node2"]} <= fills


def test_without_a_loss_nothing_is_said_to_be_lost() -> None:
    calm = replace(takeover(), probes=probes(lambda _: "node1"))
    assert "no probe lost" in words(drawn(calm, "gray-path"))


def test_a_path_that_went_quiet_is_flagged() -> None:
    facts = takeover()
    quiet = agent(350, "node2", "path-quiet", peer="2001:db8:ff::11", interface="eth1")
    assert "path quiet: eth1" in words(drawn(replace(facts, agents=[*facts.agents, quiet]), "gray-path"))


def test_what_was_said_is_flagged_and_what_is_close_shares_a_flag() -> None:
    facts = takeover()
    commands = [Command("node1", "drain --wait", EVENT, EVENT + 0.25, 0, "")]
    said = [agent(260, "node1", "drain-completed"), agent(10, "node3", "agent-started")]
    agents = sorted([*facts.agents, *said], key=lambda each: each.time)
    shown = words(drawn(replace(facts, agents=agents, commands=commands), "drain"))
    assert "exavrrp drain ends with 0; drained" in shown
    assert "the agent starts" in shown


def test_a_servers_own_probes_have_a_lane() -> None:
    facts = takeover()
    assert "itself answered by" not in words(drawn(facts))
    assert "itself answered by" in words(drawn(replace(facts, local=facts.probes), "fail-check"))


def test_in_racks_there_is_a_lane_for_each_router_and_a_rack_has_its_servers_colour() -> None:
    there = order()
    there = replace(there, plan=replace(there.plan, site=site("racks")))
    facts = takeover()
    routes = [RouteChange(EVENT + 0.307, "spine1", ("tor3", "tor4"))]
    picture = ElementTree.fromstring(draw(there, result(replace(facts, routes=routes))))
    assert {"spine1", "spine2", "tor1", "tor6", "node1", "client"} <= set(words(picture))
    assert "tor3 and tor4" in words(picture)
    halves = [box for box in picture.iter(f"{SVG}rect") if box.attrib["height"] == "7.00"]
    assert [box.attrib["fill"] for box in halves] == [COLOURS["node2"]] * 2


def test_what_was_done_later_has_a_stair_of_its_own() -> None:
    facts = takeover()
    later = Incident(EVENT + 0.35, "node2", "mute")
    assert any(
        "+350.0 ms  node2: mute" in each for each in words(drawn(replace(facts, incidents=[*facts.incidents, later])))
    )


def test_what_comes_from_logs_is_escaped() -> None:
    facts = takeover()
    odd = agent(350, "node2", "path-quiet", peer="x", interface='<eth"1>&')
    assert 'path quiet: <eth"1>&' in words(drawn(replace(facts, agents=[*facts.agents, odd])))


def test_it_can_be_drawn_without_any_facts() -> None:
    assert drawn(Facts([], [], [], [], [])).tag == f"{SVG}svg"


@pytest.mark.parametrize("span", [3.0, 40.0, 650.0, 9_000.0, 120_000.0])
def test_the_axis_has_some_round_ticks(span: float) -> None:
    ticks = Axis(-span / 10, span).ticks()
    assert 4 <= len(ticks) <= 16
    assert any(abs(tick) < 1e-9 for tick in ticks)
