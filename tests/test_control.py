"""The control protocol: documents, refusals, and the outcomes of a drain."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from exavrrp import control
from exavrrp.control import (
    LAST,
    LONGEST,
    Answer,
    Begun,
    Change,
    Confirm,
    Done,
    Drain,
    Drained,
    Drains,
    Error,
    Events,
    EventsAnswer,
    Misunderstood,
    Moved,
    Progress,
    Reload,
    Reloaded,
    Request,
    Reverting,
    SavedState,
    Scheduled,
    Status,
    StatusAnswer,
    Undo,
    Undrain,
    Unready,
    answer,
    chosen,
    drained,
    drains,
    duration,
    encode,
    encode_file,
    lasting,
    names_exabgp,
    request,
    reverting,
    saved_state,
    start_time,
)
from exavrrp.view import Outcome, RouterView, SessionView

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def told(function: Any, *arguments: Any) -> str:
    with pytest.raises(Misunderstood) as caught:
        function(*arguments)
    message = str(caught.value)
    assert message.isprintable()
    return message


# Reloads


@pytest.mark.parametrize(
    ("last", "over"),
    [
        (Reverting(fingerprint="a"), False),
        (Reverting(fingerprint="a", until=9.0), True),
        (Reverting(fingerprint="a", until=9.1), False),
        (Reverting(fingerprint="a", undone=True), True),
    ],
)
def test_when_a_change_is_over(last: Reverting, over: bool) -> None:
    assert last.is_over(9.0) is over
    assert reverting(encode_file(last)) == last


def test_the_names_of_a_change_that_has_come_back_by_itself() -> None:
    renamed = Reverting(fingerprint="a", until=9.0, renamed={"web": "site"})
    assert reverting(encode_file(renamed)) == renamed
    assert renamed.back == {"site": "web"}
    assert Reverting(fingerprint="a", undone=True, renamed={"web": "site"}).back == {}, "its agent has renamed them"


# Requests


def test_a_request_is_one_line_that_a_person_can_write() -> None:
    assert encode(Drain(names=("web",), seconds=90.0)) == (
        b'{"request":"drain","version":1,"names":["web"],"seconds":90.0,"persist":true,"wait":false,"force":false}\n'
    )
    assert request(b'{"version": 1, "request": "status"}') == Status()
    assert request(b'{"version": 1, "request": "drain"}\n') == Drain(names=(), seconds=None, persist=True, wait=False)
    assert request(b'{"version": 1, "request": "undrain", "names": ["web"]}') == Undrain(names=("web",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "this is no request: Input data was truncated"),
        (b"drain", "this is no request: JSON is malformed"),
        (b"\xff\xfe", "this is no request: JSON is malformed"),
        (b"[]", "this is no request: Expected `object`, got `array`"),
        (b'{"request": "status"}', "this is no request: Object missing required field `version`"),
        (b'{"version": 1}', "this is no request: Object missing required field `request`"),
        (b'{"version": "1", "request": "status"}', "this is no request: Expected `int`, got `str` - at `$.version`"),
        (b'{"version": 2, "request": "status"}', "the agent speaks version 1 of the protocol, not 2; use"),
        (
            b'{"version": 1, "request": "halt"}',
            "there is no request 'halt'; known here: drain, undrain",
        ),
        (b'{"version": 1, "request": "drain", "sconds": 5}', "this is no drain request: Object contains unknown field"),
        (
            b'{"version": 1, "request": "status", "a\\u0000b": 1}',
            "contains unknown field `a\N{REPLACEMENT CHARACTER}b`",
        ),
        (b'{"version": 1, "request": "status", "names": []}', "Object contains unknown field `names`"),
        (b'{"version": 1, "request": "drain", "seconds": 0}', "Expected `float` > 0.0 - at `$.seconds`"),
        (b'{"version": 1, "request": "drain", "seconds": 1e9}', "Expected `float` <= 31622400.0 - at `$.seconds`"),
        (b'{"version": 1, "request": "drain", "seconds": 1e999}', "Number out of range"),
        (b'{"version": 1, "request": "drain", "seconds": NaN}', "JSON is malformed"),
        (b'{"version": 1, "request": "drain", "names": "web"}', "Expected `array`, got `str` - at `$.names`"),
        (b'{"version": 1, "request": "drain", "persist": null}', "Expected `bool`, got `null` - at `$.persist`"),
        (b'{"version": 1, "request": "undrain", "names": ["%s"]}' % (b"x" * 65), "length <= 64"),
        (b'{"version": 1, "request": "drain", "x": ' + b"[" * 60000, "recursion"),
    ],
)
def test_an_invalid_request_is_answered_with_its_mistake(line: bytes, message: str) -> None:
    assert message in told(request, line)


def test_chosen_routers_come_in_the_order_of_the_configuration() -> None:
    assert chosen((), dict.fromkeys(["web", "dns"])) == ("web", "dns")
    assert chosen(("dns", "web", "dns"), dict.fromkeys(["web", "dns", "mail"])) == ("web", "dns")


def test_a_name_is_that_of_a_router_a_group_or_a_service_of_both_families() -> None:
    known = {"web-ipv6": "web", "web-ipv4": "web", "db-ipv6": "g", "db-ipv4": "g", "x": "g", "g.x": "x", "g2": None}
    assert chosen(("web",), known) == ("web-ipv6", "web-ipv4")
    assert chosen(("web-ipv4",), known) == ("web-ipv4",)  # who moves with it is not for the name to say
    assert chosen(("db", "g2"), known) == ("db-ipv6", "db-ipv4", "g2")
    assert chosen(("g",), known) == ("db-ipv6", "db-ipv4", "x")
    assert chosen(("x",), known) == ("x",)  # rather than the group of this name


def test_unknown_routers_are_named_once_with_those_that_there_are() -> None:
    assert told(chosen, ("wob", "web", "wob", "x"), dict.fromkeys(["web", "dns"])) == (
        "there is no virtual router 'wob', 'x'; known here: web, dns"
    )


# Answers

STATUS = RouterView(
    name="web",
    vrid=7,
    role="active",
    priority=100,
    explanation="150 - 50 (a failing) = 100",
    bound=True,
    level="active",
    drained=False,
)


def test_times_in_answers_are_written_as_rfc_3339_wants_them() -> None:
    moved = Moved(name="web", outcome=Outcome.DRAINED, until=NOON)
    document = json.loads(encode(Done(routers=(moved,))))
    assert document["routers"][0]["until"] == "2026-11-22T12:00:00Z"
    assert document["answer"] == "done"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"HTTP/1.1 400 Bad Request", "the agent's answer is not understood: JSON is malformed"),
        (b'{"answer": "gone", "version": 1}', "the agent's answer is not understood: Invalid value 'gone'"),
        (
            b'{"answer": "error", "version": 2, "message": ""}',
            "speaks version 2 of the protocol; this exavrrp speaks 1",
        ),
    ],
)
def test_an_invalid_answer_is_reported_with_its_mistake(line: bytes, message: str) -> None:
    assert message in told(answer, line)


def test_unknown_fields_of_an_answer_are_ignored() -> None:
    assert answer(b'{"answer": "error", "version": 1, "message": "no", "colour": "red"}') == Error(message="no")


def test_an_older_agent_s_answer_has_no_sessions() -> None:
    line = b'{"answer":"status","version":1,"release":"1","process":9,"time":"2026-11-22T12:00:00Z","routers":[]}'
    assert answer(line) == StatusAnswer(release="1", process=9, time=NOON, routers=(), sessions=())


# Everything that is sent arrives, and everything else is refused

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
times = st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 — the zone is the argument behind
outcomes = st.sampled_from(Outcome)
moves = st.builds(Moved, name=texts, outcome=outcomes, already=st.booleans(), until=times, persistent=st.booleans())
many = st.lists(moves, max_size=3).map(tuple)
statuses = st.builds(
    RouterView,
    name=texts,
    vrid=st.integers(1, 255),
    role=texts,
    priority=st.integers(0, 255),
    explanation=texts,
    bound=st.booleans(),
    level=st.none() | texts,
    drained=st.booleans(),
    faults=st.lists(texts, max_size=2).map(tuple),
    outcome=outcomes,
    until=times,
)
sessions = st.builds(
    SessionView,
    peer=texts,
    local=st.none() | texts,
    up=st.none() | st.booleans(),
    told=st.none() | st.booleans(),
    counts_for=st.lists(texts, max_size=2).map(tuple),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        Drain,
        names=st.lists(texts, max_size=3).map(tuple),
        seconds=st.none() | st.floats(0, LONGEST, exclude_min=True),
        persist=st.booleans(),
        wait=st.booleans(),
        force=st.booleans(),
    ),
    st.builds(Undrain, names=st.lists(texts, max_size=3).map(tuple)),
    st.just(Status()),
    st.builds(Events, after=st.integers(0, (1 << 53) - 1)),
    st.builds(
        Reload,
        dry_run=st.booleans(),
        allow_move=st.booleans(),
        confirm_within=st.none() | st.floats(0, LONGEST, exclude_min=True),
        at=st.none() | st.floats(0, LAST),
    ),
    st.just(Confirm()),
    st.builds(Undo, allow_move=st.booleans()),
)
changes = st.builds(Change, effect=texts, key=texts, detail=texts, routers=st.lists(texts, max_size=2).map(tuple))
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Begun, routers=many, warning=st.none() | texts),
    st.builds(Done, routers=many, warning=st.none() | texts),
    st.builds(Progress, name=texts, outcome=outcomes),
    st.builds(Unready, routers=st.dictionaries(texts, texts, max_size=2)),
    st.builds(Error, message=texts),
    st.builds(Scheduled, at=times.filter(bool), changes=st.lists(changes, max_size=2).map(tuple)),
    st.builds(
        Reloaded,
        outcome=st.sampled_from(["applied", "refused"]),
        changes=st.lists(changes, max_size=2).map(tuple),
        errors=st.lists(texts, max_size=2).map(tuple),
        until=times,
    ),
    st.builds(
        EventsAnswer,
        before=st.just((Raw(b'{"event":"a"}'),)),
        entries=st.just((Raw(b'{"event":"b"}'),)),
        count=st.integers(0),
    ),
    st.builds(
        StatusAnswer,
        release=texts,
        process=st.integers(1, 1 << 22),
        time=times.filter(bool),
        routers=st.lists(statuses, max_size=2).map(tuple),
        sessions=st.lists(sessions, max_size=2).map(tuple),
    ),
)


@given(requests)
def test_every_request_arrives_as_it_was(sent: Request) -> None:
    line = encode(sent)
    assert line.count(b"\n") == 1
    assert request(line) == sent


@given(answers)
def test_every_answer_arrives_as_it_was(sent: Answer) -> None:
    line = encode(sent)
    assert line.count(b"\n") == 1
    assert answer(line) == sent


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "request", "answer", "names", "seconds", "routers", "drained", "boot"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
near_misses = st.builds(
    lambda line, place, byte: line[:place] + byte + line[place + 1 :],
    st.one_of(
        requests.map(encode),
        answers.map(encode),
        st.just(encode_file(SavedState(boot="b", exabgp=(7, 8), routers={"web": "active"}))),
        st.just(encode_file(Drains(drained={"web": None, "dns": 5.0}))),
        st.just(encode_file(Reverting(fingerprint="5f", until=5.0))),
    ),
    st.integers(0, 200),
    st.binary(max_size=2),
)


@pytest.mark.parametrize("decode", [request, answer, saved_state, drains, reverting])
@given(line=st.one_of(st.binary(max_size=200), json_like, near_misses))
@example(line=b'{"version":1,"request":"undrain","names":["\\ud800"]}')
@example(line=b'{"version":1,"drained":{"a":' + b"[" * 100000)
def test_anything_is_decoded_or_refused_in_one_line(decode: Any, line: bytes) -> None:
    try:
        decoded = decode(line)
    except Misunderstood as error:
        refusal = str(error)
    else:
        refusal = ""
        assert msgspec.json.encode(decoded)
        if isinstance(decoded, Drain | Undrain):
            with suppress(Misunderstood):
                assert set(chosen(decoded.names, {"web": None})) <= {"web"}
    assert refusal.isprintable()
    assert len(refusal) < 400
    assert answer(encode(Error(message=refusal))) == Error(message=refusal), "it can be sent back"


# Drains


def test_a_drain_lasts_as_long_as_was_asked_for() -> None:
    assert drained(None, Drain(), 1000.0) == Drained(None, persistent=True)
    assert drained(None, Drain(seconds=60), 1000.0) == Drained(1060.0, persistent=True)
    assert drained(None, Drain(seconds=60, persist=False), 1000.0) == Drained(1060.0, persistent=False)
    assert drained(None, Drain(persist=False), 1000.0) == Drained(None, persistent=False)


def test_the_last_drain_counts() -> None:
    before = Drained(1060.0, persistent=False)
    assert drained(before, Drain(), 1000.0) == Drained(None, persistent=True)
    assert drained(before, Drain(seconds=5), 1000.0) == Drained(1005.0, persistent=True)


def test_a_drain_until_the_restart_does_not_end_a_maintenance() -> None:
    before = Drained(9000.0, persistent=True)
    assert drained(before, Drain(persist=False), 1000.0) == before
    assert drained(before, Drain(seconds=60, persist=False), 1000.0) == Drained(1060.0, persistent=True)


def test_only_persistent_drains_are_saved() -> None:
    held = {
        "a": Drained(5.0, persistent=True),
        "b": Drained(5.0, persistent=False),
        "c": Drained(None, persistent=True),
    }
    assert lasting(held) == {"a": 5.0, "c": None}


def test_the_end_of_a_drain_is_a_time_in_utc() -> None:
    assert Drained(None, persistent=True).end is None
    assert Drained(NOON.timestamp(), persistent=True).end == NOON
    late = drained(None, Drain(seconds=LONGEST), LAST).end
    assert late is not None, "a clock that is very wrong"
    assert late.year == 9999


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("2d", 172800), ("0.5s", 0.5), ("366d", LONGEST)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "h", "2 h", "2h ", "-2h", "2H", "2w", "1h,5m", "٣h", "1e3s", "2h\n", "x" * 999]
)
def test_an_invalid_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration; write a number and a unit: 90s, 30m, 2h, 1h30m or 2d"):
        duration(text)


@pytest.mark.parametrize("text", ["0s", "0h0m", "367d", "999999999d"])
def test_a_duration_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is out of range; write more than 0s and at most 366d"):
        duration(text)


@given(st.text(max_size=20) | st.from_regex(r"[0-9.]{1,4}[smhd]{1,2}[0-9smhd.]{0,4}"))
def test_whatever_is_written_a_duration_is_in_range_or_refused(text: str) -> None:
    try:
        seconds = duration(text)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert 0 < seconds <= LONGEST
        assert Drain(seconds=seconds) == request(encode(Drain(seconds=seconds)))
    assert refusal.isprintable()


# Notes


def test_a_state_file_counts_under_the_same_exabgp_process_only() -> None:
    written = SavedState(
        boot="b1", exabgp=(700, 12345), routers={"web": "active", "dns": "leaving"}, silences={"web": (2, 1.5)}
    )
    read = saved_state(encode_file(written))
    assert read == written
    assert read.announced("b1", (700, 12345)) == {"web", "dns"}
    for boot, exabgp in (("b2", (700, 12345)), ("b1", (700, 12346)), ("b1", (701, 12345)), (None, (700, 12345))):
        assert read.announced(boot, exabgp) == frozenset()
        assert read.is_foreign(boot, exabgp) is (boot is not None)
    assert not read.is_foreign("b1", (700, 12345))


def test_without_a_known_exabgp_nothing_is_inherited() -> None:
    unknown = SavedState(boot=None, exabgp=None, routers={"web": "active"})
    assert saved_state(encode_file(unknown)).announced(None, None) == frozenset()
    assert saved_state(encode_file(unknown)).announced("b1", None) == frozenset()
    assert not saved_state(encode_file(unknown)).is_foreign("b1", (700, 12345)), (
        "nor can it say that ExaBGP is another one"
    )


def test_notes_can_be_read_by_people() -> None:
    text = encode_file(Drains(drained={"web": None, "dns": 1795000000.0})).decode()
    assert text == '{\n  "version": 1,\n  "drained": {\n    "web": null,\n    "dns": 1795000000.0\n  }\n}\n'
    assert drains(text.encode()) == Drains(drained={"web": None, "dns": 1795000000.0})


@pytest.mark.parametrize("end", ["-1", "1e300", "true", '"2026-11-22"', "[]"])
def test_an_end_that_is_no_time_is_refused(end: str) -> None:
    assert "not a state file of this version: Expected" in told(
        drains, b'{"version": 1, "drained": {"web": %s}}' % end.encode()
    )


@pytest.mark.parametrize("decode", [saved_state, drains])
def test_a_state_file_of_another_version_is_refused(decode: Any) -> None:
    assert "not a state file of this version: Invalid enum value 2" in told(decode, b'{"version": 2}')


STAT = b"%d (%s) S 1 700 700 0 -1 4194560 4108 0 12 0 5 3 0 0 20 0 1 0 %s 1234 567 18446744073709551615\n"


@pytest.mark.parametrize(
    "name", [b"exabgp", b"a b c", b"((((", b"x) S 1 2 3", b"a\nb", b") R 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9"]
)
def test_the_start_of_a_process_is_found_whatever_its_name(name: bytes) -> None:
    assert start_time(STAT % (700, name, b"987654")) == 987654


@pytest.mark.parametrize(
    "text", [b"", b"700", b"700 (exabgp", b"700 (exabgp) S 1", STAT % (7, b"x", b"-5"), STAT % (7, b"x", b"1x")]
)
def test_a_stat_without_a_start_has_none(text: bytes) -> None:
    assert start_time(text) is None


@given(st.binary(max_size=300) | st.binary(max_size=20).map(lambda name: STAT % (7, name, b"42")))
def test_whatever_a_stat_holds_a_start_is_a_number_or_none(text: bytes) -> None:
    found = start_time(text)
    assert found is None or 0 <= found < 10**19


@given(st.binary(max_size=20))
def test_no_name_of_a_process_hides_its_start(name: bytes) -> None:
    assert start_time(STAT % (7, name, b"42")) == 42


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/usr/sbin/exabgp", "/etc/exabgp/exabgp.conf"], True),
        (["/usr/bin/python3", "-m", "exabgp", "server"], True),
        (["/usr/bin/python3", "/opt/exabgp/bin/exabgp", "server"], True),
        (["/bin/sh", "-c", "exavrrp run"], False),
        (["pytest", "tests/system/test_exabgp.py"], False),
    ],
)
def test_only_exabgp_is_taken_for_it(words: list[str], expected: bool) -> None:
    assert names_exabgp(b"\0".join(map(str.encode, words)) + b"\0") is expected


@given(st.binary())
def test_whatever_a_command_line_holds_it_is_exabgp_or_not(command: bytes) -> None:
    assert names_exabgp(command) in {True, False}


def test_limits_have_room_for_what_is_meant() -> None:
    """A thousand routers by name fit into a request, and their drains into the note."""
    names = [f"{number:04}".ljust(61, "x") for number in range(1000)]
    assert len(encode(Drain(names=tuple(names)))) <= control.REQUEST_LIMIT
    assert len(encode_file(Drains(drained=dict.fromkeys(names, LAST)))) <= control.FILE_LIMIT
    assert re.fullmatch(r"[a-z.]+", control.SOCKET)
