"""The picture of `why --svg`: well-formed, the same for the same journals, and it shows what happened."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.chronicle import Cause, Entry, Facts, PathSilence, Verdict
from exavrrp.cli import main
from exavrrp.cli.canvas import WIDTH
from exavrrp.cli.picture import MOST, ROUTERS, Journal, NothingToDraw, draw
from exavrrp.cli.reasons import LEADING
from exavrrp.cli.verdicts import verdict
from exavrrp.view import Moment
from tests.ports import Rig, given_active, given_backup
from tests.test_why import both, journal

SVG = "{http://www.w3.org/2000/svg}"
NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


def entry(seconds: float, event: str, router: str = "", cause: Cause | None = None, **fields: Any) -> Entry:
    at = Moment(NOON + timedelta(seconds=seconds), seconds)
    return Entry(at=at, event=event, router=router, fields=fields, cause=cause)


def moved(seconds: float, before: str, after: str, router: str = "web", cause: Cause | None = None) -> Entry:
    return entry(seconds, "transition", router, cause, before=before, after=after, reason="x")


def parsed(text: str) -> ElementTree.Element:
    """The picture; everything of it lies within its frame."""
    picture = ElementTree.fromstring(text)
    height = float(picture.attrib["height"])
    for box in picture.iter(f"{SVG}rect"):
        if "x" in box.attrib:
            x, y, width, tall = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + width <= WIDTH
            assert 0 <= y <= y + tall <= height
    for one in picture.iter(f"{SVG}text"):
        assert 0 <= float(one.attrib["y"]) <= height
    return picture


def words(text: str) -> list[str]:
    return [one.text or "" for one in parsed(text).iter(f"{SVG}text")]


def silent() -> Rig:
    """A Backup that takes over from a node that falls silent."""
    return both(given_backup(heard=None), 5).after(4)


def test_the_cause_of_each_transition_is_told() -> None:
    told = words(draw([Journal("node1", journal(silent()))]))
    assert "08:16:47.218" in told
    assert any(
        one.startswith("node1: web backup -> ACTIVE: 2001:db8:ff::12 fell silent on every path at once") for one in told
    )
    assert any("bound" in one for one in told)
    assert "each time is that of the node's own clock" in told


def test_several_nodes_have_a_lane_each_and_their_clocks_are_said_to_be_their_own() -> None:
    cause = Cause(verdict=Verdict.RESIGNED, ours=100, facts=Facts(skew=-2.0))
    one = Journal("node1", [moved(0, "backup", "active"), moved(60, "active", "initialize")])
    two = Journal("node2", [moved(0.5, "initialize", "backup"), moved(60.2, "backup", "active", cause=cause)])
    told = words(draw([one, two]))
    assert {"node1", "node2", "Active", "Backup"} <= set(told)
    clocks = "each time is that of the node's own clock; the clocks are assumed to agree; by signed adverts they differ"
    assert f"{clocks} by at most 2 s" in told
    assert [each for each in told if each.startswith("node")] == [
        "node1: web active -> INITIALIZE: x",
        f"node2: web backup -> ACTIVE: {verdict(cause, two.entries[1])}",
        "node1",
        "node2",
    ]


def bars(text: str) -> list[tuple[float, float, str]]:
    """Beginning, end and fill of the wide bars, without the ground and pale covers."""
    found = [box.attrib for box in parsed(text).iter(f"{SVG}rect") if "x" in box.attrib]
    return [(float(box["x"]), float(box["width"]), box["fill"]) for box in found if box["height"] == "16.00"]


def test_what_nothing_confirms_is_pale_and_what_has_ended_is_hatched() -> None:
    entries = [entry(-60, "agent-started"), moved(-50, "initialize", "active"), moved(0, "active", "backup", "dns")]
    pale = draw([Journal("node1", entries)], ["web", "dns"])
    assert 'fill-opacity="0.6"' in pale
    live = draw([Journal("node1", entries, live=True)], ["web", "dns"])
    assert 'fill-opacity="0.6"' not in live
    ended = [*entries, entry(1, "agent-stopping"), entry(3, "agent-started"), entry(4, "agent-started")]
    assert any(fill == "url(#off)" for _, _, fill in bars(draw([Journal("node1", ended, live=True)], ["web", "dns"])))


def test_what_an_agent_has_left_in_place_stays_where_exabgp_has_run_on() -> None:
    """Also with a caretaker between them."""
    there = [moved(-50, "initialize", "active"), entry(-49, "address-bound", "web", addresses=[])]
    anew = [entry(2, "caretaker-started", exabgp_ran_on=True), moved(3, "initialize", "backup")]
    for entries, bound in ((there, 1), ([*there, *anew], 3), ([*there, entry(2, "agent-started"), anew[1]], 1)):
        picture = parsed(draw([Journal("node1", [*entries, entry(9, "x")], live=True)], since=timedelta(minutes=1)))
        thin = [box for box in picture.iter(f"{SVG}rect") if box.get("height") == "5.00"]
        assert len(thin) == bound, entries


def test_only_those_that_have_moved_are_drawn_unless_they_are_named() -> None:
    entries = [moved(-3600, "initialize", "backup"), moved(0, "backup", "active", "dns")]
    assert "web" not in words(draw([Journal("a", entries)]))
    assert "web" in words(draw([Journal("a", entries)], ["web"]))
    assert {"web", "dns"} <= set(words(draw([Journal("a", entries)], since=timedelta(hours=2))))


def test_many_transitions_and_routers_are_counted() -> None:
    entries = [moved(number / 10, "backup", "active", f"r{number}") for number in range(MOST + 5)]
    told = words(draw([Journal("a", entries)]))
    assert "(5 before these)" in told
    assert f"and {MOST + 5 - ROUTERS} more: who was Active, and why" in told[0]


@pytest.mark.parametrize(
    ("entries", "since"),
    [([], None), ([entry(0, "agent-started")], None), ([moved(0, "a", "b"), entry(99, "x")], timedelta(seconds=9))],
)
def test_without_a_transition_there_is_nothing_to_draw(entries: list[Entry], since: timedelta | None) -> None:
    with pytest.raises(NothingToDraw, match="no transition"):
        draw([Journal("a", entries)], since=since)


EVENTS = sorted({*LEADING, "transition", "phase-completed", "agent-stopping", "address-bound", "route-withdrawn", "?"})
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text())
NAMES = ("before", "after", "reason", "detail", "phase", "seconds", "check", "result", "state", "interface", "priority")
CAUSES = st.builds(
    Cause,
    verdict=st.sampled_from(Verdict),
    peer=st.none() | st.text(),
    ours=st.integers(),
    waited=st.none() | st.floats(allow_nan=False),
    paths=st.lists(st.builds(PathSilence, st.text(), st.none() | st.floats(allow_nan=False), st.booleans())).map(tuple),
    facts=st.builds(Facts, skew=st.none() | st.floats(allow_nan=False)),
)
ENTRIES = st.builds(
    Entry,
    at=st.builds(Moment, st.datetimes(timezones=st.none() | st.just(UTC)), st.floats(allow_nan=False)),
    event=st.sampled_from(EVENTS) | st.text(),
    router=st.sampled_from(["", "web"]) | st.text(),
    fields=st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES),
    cause=st.none() | CAUSES,
)
JOURNALS = st.lists(st.builds(Journal, st.text(), st.lists(ENTRIES), st.booleans()), max_size=4)


def test_a_window_without_a_length_is_drawn_with_a_margin() -> None:
    at = Moment(datetime(2026, 12, 1, tzinfo=UTC), 0.0)
    moved = Entry(at=at, event="transition", router="web", fields={})
    assert parsed(draw([Journal("node1", [moved])], since=timedelta(0))) is not None


@given(JOURNALS, st.none() | st.floats(0, 1e9).map(lambda seconds: timedelta(seconds=seconds)))
def test_whatever_is_in_a_journal_the_picture_is_well_formed(journals: list[Journal], since: timedelta | None) -> None:
    with contextlib.suppress(NothingToDraw):
        text = draw(journals, since=since)
        assert parsed(text) is not None
        assert text == draw(journals, since=since)


# The command


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["why", *map(str, words)], catch_exceptions=False)


def written(path: Path, rig: Rig) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join([*rig.node.chronicle.after(0)[1], b"{}", b"broken\xff"]))
    return path


def test_journals_are_named_after_their_files_and_directories(tmp_path: Path) -> None:
    first = written(tmp_path / "node1.jsonl", silent())
    second = written(tmp_path / "node2" / "events.jsonl", given_active())
    told = call("--svg", tmp_path / "why.svg", first, second)
    assert (told.exit_code, told.output) == (0, "")
    assert {"node1", "node2"} <= set(words((tmp_path / "why.svg").read_text()))


def test_what_cannot_be_drawn_is_an_error_that_names_it(tmp_path: Path) -> None:
    good, empty = written(tmp_path / "a.jsonl", silent()), tmp_path / "b.jsonl"
    empty.write_text("[agent]\n")
    for words_, said in (
        (["--svg", tmp_path / "x.svg", tmp_path / "none"], f"error: cannot read {tmp_path}/none: No such file"),
        (["--svg", tmp_path / "x.svg", good, empty], f"error: {empty} is no journal: give events.jsonl of a node"),
        (["--svg", tmp_path, good], f"error: cannot write {tmp_path}: Is a directory"),
        (["--svg", tmp_path / "x.svg", good, "--router", "dns"], "error: nothing to draw: no transition"),
    ):
        told = call(*words_)
        assert told.exit_code == 1
        assert told.output.startswith(said)
    assert not (tmp_path / "x.svg").exists()


@pytest.mark.parametrize("words_", [["web", "dns"], ["--router", "web"], ["--since", "2h"]])
def test_what_belongs_to_pictures_is_wrong_without_one(words_: list[str]) -> None:
    told = call(*words_)
    assert told.exit_code == 2
    assert "go with --svg" in told.output
