"""Recordings: every line is read back unchanged, and every other line of a file is reported."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp import recording
from exavrrp.recording import BITS, NANOSECONDS, Damaged, Head, Line, Lost, Ticks, Told, Torn, encode, read

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEAD = Head(
    release="1.0",
    process=4711,
    time=NOON,
    at=100.0,
    cares=False,
    configuration={"Configuration": {}},
    forgotten={"Forgotten": [[], []]},
    did=[0],
)
TOLD = Told(at=100.25, told=["alarm", 7], did=[1200, [-5], {"transport.send:3": [["2001:db8::1"]]}, "transport.send:3"])
START = encode(TOLD)


def lines(*found: bytes) -> list[Line | Torn]:
    return [line for _, line in read(found)]


def damage(*found: bytes) -> tuple[int, str]:
    with pytest.raises(Damaged) as caught:
        lines(*found)
    assert str(caught.value).isprintable()
    return caught.value.number, str(caught.value)


def test_a_line_comes_back_as_it_was() -> None:
    broken = Told(at=101.0, told=["close"], broken=recording.broken(AssertionError("never\udc80")))
    assert broken.broken == "AssertionError: never\\udc80"
    assert lines(encode(HEAD), START, encode(broken)) == [HEAD, TOLD, broken]


def test_a_line_is_something_that_people_can_read() -> None:
    assert START == (
        b'{"line":"event","at":100.25,"told":["alarm",7],"did":[1200,[-5],{"transport.send:3":[["2001:db8::1"]]},'
        b'"transport.send:3"]}\n'
    )
    assert encode(Told(at=100.25, told=["close"])) == b'{"line":"event","at":100.25,"told":["close"]}\n'


@given(
    times=st.lists(st.floats(0, 2e9)), whole=st.lists(st.integers(0, 10**15)), unit=st.sampled_from([NANOSECONDS, BITS])
)
def test_times_come_back_without_loss(times: list[float], whole: list[int], unit: int) -> None:
    exact = [one / unit for one in whole]
    writes, reads = Ticks(unit), Ticks(unit)
    told = [writes.difference(one) for one in (*times, *exact)]
    assert [reads.seconds(one) for one in told] == [*times, *exact]
    assert all(type(one) is int for one in told[len(times) :])


def test_a_time_between_two_units_is_written_as_it_is() -> None:
    writes, reads = Ticks(NANOSECONDS), Ticks(NANOSECONDS)
    told = [writes.difference(one) for one in (0.1, 1e-10, 0.3)]
    assert told == [100_000_000, 1e-10, 200_000_000]
    assert [reads.seconds(one) for one in told] == [0.1, 1e-10, 0.3]


def test_a_long_set_is_recorded_as_a_digest() -> None:
    long = [f"2001:db8::{number:x}/128" for number in range(20)]
    assert recording.shortened(long[:3]) == long[:3]
    assert recording.shortened(long) == recording.shortened(list(long)) != recording.shortened(long[:-1])
    assert len(recording.shortened(long)) == 16


def test_runs_follow_each_other() -> None:
    assert lines(encode(HEAD), START, encode(HEAD), recording.lost(3)) == [
        HEAD,
        TOLD,
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
        ([encode(HEAD), _with(START, dreamt={})], 2, "Object contains unknown field `dreamt`"),
        ([encode(HEAD), _with(START, at=-1)], 2, "Expected `float` >= 0.0 - at `$.at`"),
        ([encode(HEAD), b'{"line":"lost","count":0}\n'], 2, "Expected `int` >= 1 - at `$.count`"),
        ([encode(HEAD), b"[" * 100_000 + b"\n", START], 2, "this is no line of a recording"),
        ([_with(encode(HEAD), time="9999-12-31T00:00:00Z")], 1, "date value out of range"),
        ([_with(encode(HEAD), time="0001-01-01T00:00:00Z")], 1, "date value out of range"),
        ([_with(encode(HEAD), time="2026-11-22T12:00:00")], 1, "Expected `datetime` with a timezone component"),
        ([_with(encode(HEAD), version=1)], 1, "exavrrp 1.0 recorded this in version 1 of the format; this one reads"),
        (
            [b'{"line":"head","version":4,"release":"2.0\x1b[2J","news":[]}\n'],
            1,
            "this is no line of a recording: JSON is malformed",
        ),
        ([b'{"line":"head","version":4,"release":"2.0","news":[]}\n'], 1, "exavrrp 2.0 recorded this in version 4"),
        ([b'{"line":"head","version":3,"release":"1.1","news":[]}\n'], 1, "Object contains unknown field `news`"),
        ([b'{"line":"head","version":3,"release":7}\n'], 1, "this is no line of a recording"),
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


@given(data=st.data())
def test_a_recording_that_was_changed_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(encode(HEAD) + START + recording.lost(1) + START)
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
