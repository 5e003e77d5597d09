"""Recordings: every event is read back unchanged, and every other line of a file is reported."""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Literal, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp import events, presence, recording
from exavrrp.groups import Happened
from exavrrp.instance import Fault, Hold, Hurry
from exavrrp.presence import Handover, Step
from exavrrp.recording import Change, Damaged, Election, Head, Line, Lost, Member, Team, Told, Torn, encode, read, told
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Advertisement
from exavrrp.vrrp.router import Advertise, Role, Transition, Why

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SETTINGS = router.Settings(
    vrid=7,
    priority=150,
    interval=0.1,
    source=ip_address("2001:db8:ff::11"),
    addresses=(ip_address("2001:db8:53::1"), ip_address("2001:db8:53::2")),
    preempt=False,
    preempt_delay=1.5,
    learned_maximum=1.0,
)
HANDOVER = presence.Settings(Handover.BREAK_BEFORE_MAKE, hold=0.5, linger=0.25, ceiling=5.0, stale=180.0)
WEB = Member(name="web", election=Election.of(SETTINGS), handover=HANDOVER, stale_for=9.0)
HEAD = Head(release="1.0", process=4711, time=NOON, at=100.0, teams=(Team(name="web", members=(WEB,)),))
START = told("web", events.Start(), 100.25, [])

names = st.just("web")
details = st.text(max_size=20)
addresses = st.ip_addresses()
FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)
adverts = st.builds(
    Advertisement,
    st.integers(1, 255),
    st.integers(0, 255),
    st.integers(1, 4095),
    st.one_of(*(st.lists(st.ip_addresses(v=v), min_size=1, max_size=3) for v in FAMILIES)).map(tuple),
)
EVENTS: dict[type[events.Event], st.SearchStrategy[events.Event]] = {
    events.Start: st.builds(events.Start),
    events.Stop: st.builds(
        events.Stop, st.sampled_from(Why), details, st.builds(Hurry, st.floats(0, 60, allow_nan=False))
    ),
    events.Abandon: st.builds(events.Abandon),
    events.Rang: st.builds(events.Rang),
    events.Recalled: st.builds(events.Recalled, names, st.integers(1, 9), st.floats(0, 180, allow_nan=False)),
    events.Inherited: st.builds(events.Inherited, names, st.booleans(), st.booleans()),
    events.Heard: st.builds(
        events.Heard, names, addresses, adverts, st.integers(0, 2**31), st.lists(st.integers(0, 9)).map(tuple)
    ),
    events.Rated: st.builds(events.Rated, names, st.integers(1, 255)),
    events.Configured: st.builds(events.Configured, names, st.just(SETTINGS), st.just(HANDOVER), st.just(9.0)),
    events.Failed: st.builds(events.Failed, names, st.sampled_from(Fault), details),
    events.Recovered: st.builds(events.Recovered, names, st.sampled_from(Fault)),
    events.Held: st.builds(events.Held, names, st.sampled_from(Hold), details),
    events.Released: st.builds(events.Released, names, st.sampled_from(Hold)),
    events.Bound: st.builds(events.Bound, names),
    events.Unbound: st.builds(events.Unbound, names, details),
    events.Withdrawn: st.builds(events.Withdrawn, names),
}
HAPPENED: Happened = [
    ("web", Advertise(150)),
    ("web", Transition(Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT, "nothing heard")),
    ("web", Step.BIND),
]


def lines(*found: bytes) -> list[Line | Torn]:
    return [line for _, line in read(found)]


def damage(*found: bytes) -> tuple[int, str]:
    with pytest.raises(Damaged) as caught:
        lines(*found)
    assert str(caught.value).isprintable()
    return caught.value.number, str(caught.value)


def test_every_event_has_a_strategy_here_and_a_key_there() -> None:
    assert set(EVENTS) == set(get_args(events.Event))


@given(event=st.one_of(*EVENTS.values()), at=st.floats(0, 1e9))
def test_every_event_comes_back_as_it_was(event: events.Event, at: float) -> None:
    _, line = lines(encode(HEAD), told("web", event, at, HAPPENED))
    assert isinstance(line, Told)
    assert line.event() == event
    assert (line.at, line.team, line.broken) == (at, "web", None)
    assert line.then == (Change("web", Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT, "nothing heard"),)


def test_the_settings_come_back_as_they_were() -> None:
    (head,) = lines(encode(HEAD))
    assert isinstance(head, Head)
    assert head == HEAD
    (member,) = head.teams[0].members
    assert member.election.settings() == SETTINGS
    group = head.teams[0].group()
    assert (group.name, list(group.members)) == ("web", ["web"])
    instance = group.members["web"]
    assert (instance.router.settings, instance.presence.settings) == (SETTINGS, HANDOVER)


def test_an_event_is_a_line_that_people_can_read() -> None:
    advertisement = Advertisement(7, 100, 10, SETTINGS.addresses)
    heard = events.Heard("web", ip_address("2001:db8:ff::12"), advertisement, 3, (3, 4))
    assert told("web", heard, 100.1, []) == (
        b'{"line":"event","at":100.1,"team":"web","heard":{"name":"web","source":"2001:db8:ff::12","vrid":7,'
        b'"priority":100,"centiseconds":10,"addresses":["2001:db8:53::1","2001:db8:53::2"],"interface":3,'
        b'"expected":[3,4]}}\n'
    )
    assert START == b'{"line":"event","at":100.25,"team":"web","start":{}}\n'


def test_what_broke_the_core_is_kept() -> None:
    _, line = lines(encode(HEAD), told("web", events.Rang(), 101.0, AssertionError("never\udc80")))
    assert isinstance(line, Told)
    assert (line.event(), line.broken, line.then) == (events.Rang(), "AssertionError: never\\udc80", ())


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (events.Failed("web", Fault.CHECK, "no \udcff"), events.Failed("web", Fault.CHECK, "no \\udcff")),
        (events.Held("web", Hold.WAITING, "\udcff"), events.Held("web", Hold.WAITING, "\\udcff")),
        (events.Unbound("web", "\udcff"), events.Unbound("web", "\\udcff")),
        (
            events.Stop(Why.SHUTDOWN, "\udcff", Hurry(1.5)),
            events.Stop(Why.SHUTDOWN, "\\udcff", Hurry(1.5)),
        ),
    ],
)
def test_a_detail_may_be_any_bytes_of_a_program(event: events.Event, kept: events.Event) -> None:
    happened: Happened = [("web", Transition(Role.BACKUP, Role.INITIALIZE, Why.FAULT, "\udcff"))]
    _, line = lines(encode(HEAD), told("web", event, 101.0, happened))
    assert isinstance(line, Told)
    assert line.event() == kept
    assert line.then[0].detail == "\\udcff"


def test_runs_follow_each_other() -> None:
    assert lines(encode(HEAD), START, encode(HEAD), recording.lost(3)) == [
        HEAD,
        lines(encode(HEAD), START)[1],
        HEAD,
        Lost(3),
    ]


@pytest.mark.parametrize("cut", range(1, len(START)))
def test_half_a_line_is_the_end_of_its_run(cut: int) -> None:
    half = START[:cut]
    if cut == len(START) - 1:
        assert lines(encode(HEAD), half) == lines(encode(HEAD), START), "all but its end"
        return
    assert lines(encode(HEAD), half)[1:] == [Torn()]
    assert lines(encode(HEAD), half + b"\n", encode(HEAD))[1:] == [Torn(), HEAD]
    assert damage(encode(HEAD), half + b"\n", START)[0] == 2, "its run went on"
    assert damage(encode(HEAD), half + b"\n")[0] == 2, "it has an end"
    assert damage(encode(HEAD), half + b"\n", half)[0] == 2


def _with(line: bytes, **values: Any) -> bytes:
    return json.dumps(json.loads(line) | values).encode() + b"\n"


@pytest.mark.parametrize(
    ("found", "number", "message"),
    [
        ([], 1, "there is no recording in it"),
        ([b"\x7fELF\n"], 1, "this is no line of a recording: JSON is malformed"),
        ([b"[agent]"], 1, "this is no line of a recording: Expected `object`, got `array`"),
        ([START], 1, "it stands before any head"),
        ([encode(HEAD), b"{}\n"], 2, "Object missing required field `line`"),
        ([encode(HEAD), _with(START, start=None)], 2, "it tells of 0 events instead of one"),
        ([encode(HEAD), _with(START, rang={})], 2, "it tells of 2 events instead of one"),
        ([encode(HEAD), _with(START, dreamt={})], 2, "Object contains unknown field `dreamt`"),
        ([encode(HEAD), _with(START, team="\x1bdb")], 2, "there is no team '\\x1bdb'"),
        ([encode(HEAD), _with(START, start=None, bound={"name": "db"})], 2, "the team 'web' has no member 'db'"),
        ([encode(HEAD), _with(START, at=-1)], 2, "Expected `float` >= 0.0 - at `$.at`"),
        ([encode(HEAD), b'{"line":"lost","count":0}\n'], 2, "Expected `int` >= 1 - at `$.count`"),
        ([encode(HEAD), b"[" * 100_000 + b"\n", START], 2, "this is no line of a recording"),
        ([_with(encode(HEAD), time="9999-12-31T00:00:00Z")], 1, "date value out of range"),
        ([_with(encode(HEAD), time="0001-01-01T00:00:00Z")], 1, "date value out of range"),
        ([_with(encode(HEAD), time="2026-11-22T12:00:00")], 1, "Expected `datetime` with a timezone component"),
        ([_with(encode(HEAD), version=2)], 1, "exavrrp 1.0 recorded this in version 2 of the format; this one reads"),
        (
            [b'{"line":"head","version":2,"release":"2.0\x1b[2J","news":[]}\n'],
            1,
            "this is no line of a recording: JSON is malformed",
        ),
        ([b'{"line":"head","version":2,"release":"2.0","news":[]}\n'], 1, "exavrrp 2.0 recorded this in version 2"),
        ([b'{"line":"head","version":1,"release":"1.1","news":[]}\n'], 1, "Object contains unknown field `news`"),
        ([b'{"line":"head","version":2,"release":7}\n'], 1, "this is no line of a recording"),
        ([encode(HEAD).replace(b'"2001:db8:ff::11"', b'"nowhere"')], 1, "'nowhere' does not appear to be an IPv4"),
        ([encode(HEAD).replace(b'"interval":0.1', b'"interval":0')], 1, "Expected `float` > 0.0"),
    ],
)
def test_an_invalid_line_is_reported_with_its_mistake(found: list[bytes], number: int, message: str) -> None:
    line, said = damage(*found)
    assert line == number
    assert message in said


@given(found=st.lists(st.binary(max_size=80), max_size=4), after=st.booleans())
@example(found=[b'{"line":"event","at":1,"team":"web","heard":\xff'], after=True)
@example(found=[b'{"line":"head","unknown":1,"release":"\xa2"}\n'], after=False)
def test_whatever_is_in_a_file_nothing_but_damage_is_raised(found: list[bytes], after: bool) -> None:
    try:
        lines(*([encode(HEAD)] if after else []), *found)
    except Damaged as error:
        said = str(error)
    else:
        said = ""
    assert said.isprintable()


@given(data=st.data(), event=st.one_of(*EVENTS.values()))
def test_a_recording_that_was_changed_is_read_or_refused(data: st.DataObject, event: events.Event) -> None:
    whole = bytearray(encode(HEAD) + told("web", event, 100.5, HAPPENED) + recording.lost(1) + START)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(whole) - 1))
        whole[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        lines(*bytes(whole).splitlines(keepends=True))
    except Damaged as error:
        said = str(error)
    else:
        said = ""
    assert said.isprintable()
