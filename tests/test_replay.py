"""Replays: the same transitions follow from a recording; every difference is reported."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import events, presence, recording
from exavrrp.cli import main
from exavrrp.groups import Group
from exavrrp.instance import Fault, Hold, Hurry
from exavrrp.presence import Handover
from exavrrp.recording import Change, Damaged, Election, Head, Lost, Member, Team, Torn, encode, told
from exavrrp.replay import Difference, Done, Story, replay, sentences, transitions
from exavrrp.vrrp.packet import Advertisement
from exavrrp.vrrp.router import Role, Why
from tests.test_recording import EVENTS, HANDOVER, NOON, SETTINGS

ADVERT = "vrid 7 priority 200 every 0.1s"
PEER = ip_address("2001:db8:ff::12")
FOUR = replace(SETTINGS, source=ip_address("192.0.2.11"), addresses=(ip_address("192.0.2.53"),), priority=90)


def head(*, priority: int = 150, handover: presence.Settings = HANDOVER) -> Head:
    """A group of two, and one alone of the same name."""
    six = Member(
        name="web", election=Election.of(replace(SETTINGS, priority=priority)), handover=handover, stale_for=9.0
    )
    four = Member(name="web4", election=Election.of(FOUR), handover=handover, stale_for=9.0)
    alone = Member(name="dns", election=Election.of(SETTINGS), handover=handover, stale_for=9.0)
    return Head(
        release="1.0",
        process=4711,
        time=NOON,
        at=100.0,
        teams=(Team(name="group web", members=(six, four)), Team(name="dns", members=(alone,))),
    )


def record(begin: Head, history: Iterable[tuple[str, events.Event, float]]) -> list[bytes]:
    """As an agent does."""
    groups = {team.name: team.group() for team in begin.teams}
    lines = [encode(begin)]
    for team, event, now in history:
        try:
            lines.append(told(team, event, now, groups[team].handle(event, now)))
        except Exception as error:
            lines.append(told(team, event, now, error))
    return lines


def advert(priority: int) -> events.Heard:
    return events.Heard("dns", PEER, Advertisement(7, priority, 10, SETTINGS.addresses), 3, (3,))


TAKEOVER: list[tuple[str, events.Event, float]] = [
    ("dns", events.Start(), 100.0),
    ("dns", advert(200), 100.125),
    ("dns", events.Rang(), 101.0),
    ("dns", events.Bound("dns"), 101.0),
    ("dns", advert(200), 101.0625),
]


def stories(lines: Iterable[bytes]) -> list[Story]:
    return list(replay(lines))


def test_a_takeover_is_told_in_order() -> None:
    told_as = [line for story in replay(record(head(), TAKEOVER)) for line in sentences(story)]
    assert told_as == [
        "2026-11-22T12:00:00.000Z exavrrp 1.0 began as process 4711",
        "2026-11-22T12:00:00.000Z dns: start",
        "    dns: initialize → backup (startup)",
        "2026-11-22T12:00:00.125Z dns: heard vrid 7 priority 200 every 0.1s from 2001:db8:ff::12 over interface 3",
        "2026-11-22T12:00:01.000Z dns: the alarm rang",
        "    dns: advertise priority 150",
        "    dns: backup → active (active-down-timeout: nothing heard from 2001:db8:ff::12 for 0.875s)",
        "    dns: bind",
        "2026-11-22T12:00:01.000Z dns: is bound",
        "    dns: announce",
        "2026-11-22T12:00:01.062Z dns: heard vrid 7 priority 200 every 0.1s from 2001:db8:ff::12 over interface 3",
        "    dns: active → backup (superseded: heard vrid 7 priority 200 every 0.1s from 2001:db8:ff::12)",
        "    dns: withdraw",
    ]


def test_or_only_its_transitions() -> None:
    assert [line for story in replay(record(head(), TAKEOVER)) for line in transitions(story)] == [
        "2026-11-22T12:00:00.000Z exavrrp 1.0 began as process 4711",
        "2026-11-22T12:00:00.000Z dns: initialize → backup (startup)",
        (
            "2026-11-22T12:00:01.000Z dns: backup → active"
            " (active-down-timeout: nothing heard from 2001:db8:ff::12 for 0.875s)"
        ),
        f"2026-11-22T12:00:01.062Z dns: active → backup (superseded: heard {ADVERT} from 2001:db8:ff::12)",
    ]


def test_every_event_and_effect_has_its_words() -> None:
    kind = presence.Settings(Handover.MAKE_BEFORE_BREAK, hold=0.25, linger=0.25, ceiling=5.0, stale=180.0)
    history: list[tuple[str, events.Event, float]] = [
        ("dns", events.Recalled("dns", 2, 20.25), 100.0),
        ("dns", events.Inherited("dns", announced=True, active=True), 100.0),
        ("dns", events.Failed("dns", Fault.CHECK, "no answer\n"), 100.0),
        ("dns", events.Rated("dns", 90), 100.0),
        ("dns", events.Configured("dns", SETTINGS, kind, 9.0), 100.0),
        ("dns", events.Held("dns", Hold.WAITING, "waiting for web"), 100.0),
        ("dns", events.Released("dns", Hold.WAITING), 100.0),
        ("dns", events.Recovered("dns", Fault.CHECK), 100.0),
        ("dns", events.Start(), 100.0),
        ("dns", replace(advert(80), expected=(3, 4)), 100.1),
        ("dns", replace(advert(80), expected=(3, 4)), 100.2),
        ("dns", replace(advert(80), expected=(3, 4), interface=4), 100.3),
        ("dns", replace(advert(80), expected=(3, 4), interface=4), 100.5),
        ("dns", replace(advert(80), expected=(3, 4), interface=4), 100.7),
        ("dns", replace(advert(80), expected=(3, 4)), 100.9),
        ("dns", replace(advert(80), advertisement=Advertisement(7, 80, 20, SETTINGS.addresses)), 101.0),
        ("dns", events.Rang(), 104.0),
        ("dns", events.Bound("dns"), 104.0),
        ("dns", events.Held("dns", Hold.DRAIN, "drained"), 104.0),
        ("dns", events.Rang(), 109.0),
        ("dns", events.Released("dns", Hold.DRAIN), 109.0),
        ("dns", events.Stop(Why.SHUTDOWN, "SIGINT", Hurry(1.5)), 110.0),
        ("dns", events.Abandon(), 112.0),
        ("dns", events.Withdrawn("dns"), 112.0),
        ("dns", events.Inherited("dns", announced=False), 112.0),
        ("dns", events.Unbound("dns", "lost"), 112.0),
    ]
    assert {type(event) for _, event, _ in history} == set(EVENTS), "all there are"
    words = [line for story in replay(record(head(handover=kind), history)) for line in sentences(story)]
    assert all(line.isprintable() for line in words)
    told_as = "\n".join(words)
    for part in (
        "dns: remembers silent failures: 2, the last one 20.250 s ago",
        "dns: has leftovers of a predecessor that was active, announced",
        "dns: is in fault (check: no answer\N{REPLACEMENT CHARACTER})",
        "dns: is worth priority 90",
        "dns: is held (waiting: waiting for web)",
        "dns: is not held any longer (waiting)",
        "dns: is in fault no longer (check)",
        "dns: nothing from 2001:db8:ff::12 over interface 3 any more",
        "dns: something from 2001:db8:ff::12 over interface 3 again",
        "dns: interval-differs: 2001:db8:ff::12 advertises every 0.2s, we every 0.1s",
        "dns: is drained (drained)",
        "dns: nobody has taken over within 5s",
        "dns: is undrained",
        "dns: stop within 1.5s (shutdown: SIGINT)",
        "dns: the time for a stop is over",
        "dns: is withdrawn, confirmed",
        "dns: has leftovers of a predecessor, to be cleared",
        "dns: is not bound: lost",
    ):
        assert part in told_as, told_as


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from([("dns", "dns"), ("group web", "web"), ("group web", "web4")]),
        st.one_of(*EVENTS.values()),
        st.sampled_from([0.0, 0.0625, 0.5, 3.0]),
    ),
    max_size=30,
)


def told_in_turn(
    history: list[tuple[tuple[str, str], events.Event, float]],
) -> list[tuple[str, events.Event, float]]:
    now, story = 100.0, list[tuple[str, events.Event, float]]()
    for (team, name), event, passed in history:
        now += passed
        story.append((team, replace(event, name=name) if isinstance(event, events.OfOne) else event, now))
    return story


@given(history=HISTORIES)
def test_whatever_happened_comes_out_again(history: list[tuple[tuple[str, str], events.Event, float]]) -> None:
    lines = record(head(), told_in_turn(history))
    assert [type(story) for story in replay(lines)] == [Head] + [Done] * len(history)


@given(history=HISTORIES)
def test_what_is_settled_otherwise_may_come_out_otherwise_but_breaks_nothing(
    history: list[tuple[tuple[str, str], events.Event, float]],
) -> None:
    told_so = [encode(head(priority=1)), *record(head(), told_in_turn(history))[1:]]
    found = stories(told_so)
    assert all(line.isprintable() for story in found for line in sentences(story) + transitions(story))
    assert not any(isinstance(story, Difference) for story in found[:-1]), "it is the end"


def test_the_first_difference_is_the_end() -> None:
    lines = record(head(), TAKEOVER)
    found = stories(lines[:3] + lines[4:])  # the alarm was not recorded
    assert isinstance(found[-1], Difference)
    assert sentences(found[-1]) == transitions(found[-1])
    assert sentences(found[-1]) == [
        "line 5: something else has come of this",
        "    recorded: dns: active → backup (superseded: heard vrid 7 priority 200 every 0.1s from 2001:db8:ff::12)",
        "    replayed: no transition",
    ]


def test_a_bug_comes_out_again_or_is_told() -> None:
    lines = record(head(), TAKEOVER[:2])
    broken = lines[2].replace(b'"heard"', b'"broken":"AssertionError: never","heard"')
    assert sentences(stories([*lines[:2], broken])[-1]) == [
        "line 3: something else has come of this",
        "    recorded: broken: AssertionError: never",
        "    replayed: no transition",
    ]


def test_a_bug_of_this_core_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = record(head(), TAKEOVER)

    def handle(self: Group, event: events.Event, now: float) -> None:
        raise AssertionError("never")

    monkeypatch.setattr(Group, "handle", handle)
    done, difference = stories(lines)[-2:]
    assert sentences(done) == ["2026-11-22T12:00:00.000Z dns: start", "    broken: AssertionError: never"]
    assert transitions(done) == ["2026-11-22T12:00:00.000Z broken: AssertionError: never"]
    assert isinstance(difference, Difference)
    assert difference.replayed == ("broken: AssertionError: never",)
    assert not any(isinstance(one, Difference) for one in stories(record(head(), TAKEOVER))), "the same bug"


def test_what_follows_a_gap_is_told_as_it_was_recorded_until_the_next_run() -> None:
    lines = record(head(), TAKEOVER)
    found = stories([*lines[:2], recording.lost(1), *lines[4:], *lines])
    assert [type(one) for one in found] == [Head, Done, Lost, Done, Done, Head, *[Done] * 5]
    assert sentences(found[2]) == ["events lost here: 1; the rest of this run is told as it was recorded"]
    assert isinstance(found[4], Done)
    assert found[4].happened == []
    assert found[4].then == (
        Change(
            "dns",
            Role.ACTIVE,
            Role.BACKUP,
            Why.SUPERSEDED,
            "heard vrid 7 priority 200 every 0.1s from 2001:db8:ff::12",
        ),
    )
    assert sentences(found[4])[1].startswith("    dns: active → backup (superseded")


def test_a_line_that_was_cut_off_is_said() -> None:
    lines = record(head(), TAKEOVER)
    found = stories([*lines[:3], lines[3][:-20]])
    assert found[-1] == Torn()
    assert sentences(Torn()) == ["the agent ended while it wrote the next line"]


@given(garbage=st.binary(max_size=60))
def test_garbage_is_damage(garbage: bytes) -> None:
    with pytest.raises(Damaged):
        stories([garbage])


# The command


def call(path: Path, *options: str) -> Result:
    result = CliRunner().invoke(main, ["replay", str(path), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_replay_prints_and_is_content(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"".join(record(head(), TAKEOVER)))
    result = call(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 13
    assert len(call(path, "--transitions").stdout.splitlines()) == 4


def test_replay_of_a_killed_agent_is_good(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"".join(record(head(), TAKEOVER))[:-30])
    result = call(path, "--transitions")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "the agent ended while it wrote the next line"


def test_replay_ends_with_1_at_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    lines = record(head(), TAKEOVER)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    result = call(path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == f"error: {path}, line 5: something else has come of this"
    assert result.stderr.splitlines()[-1] == "    replayed: no transition"


def test_replay_ends_with_1_when_events_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    lines = record(head(), TAKEOVER)
    path.write_bytes(b"".join([*lines, recording.lost(7), lines[-1]]))
    result = call(path)
    assert result.exit_code == 1
    assert result.stderr == f"error: {path}, events lost here: 7; the rest of this run is told as it was recorded\n"
    assert result.stdout.splitlines()[-1].startswith("    dns: active → backup"), "told all the same"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {path}: No such file or directory"),
        (b"", "{path}, line 1: there is no recording in it"),
        (
            b"\x00" * 100,
            "{path}, line 1: this is no line of a recording: JSON is malformed: invalid character (byte 0)",
        ),
    ],
)
def test_replay_says_what_it_cannot_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "recording"
    if content is not None:
        path.write_bytes(content)
    result = call(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {message.format(path=path)}\n"
    assert call(tmp_path).stderr == f"error: cannot read {tmp_path}: Is a directory\n"
