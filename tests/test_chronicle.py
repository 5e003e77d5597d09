"""The journal: bounded, readable whatever was said, and not pushed out by what is repeated."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.chronicle import BYTES, ITEMS, KEYS, LONGEST, MOST, REPEAT, TEXT, Chronicle, Entry, decoded, valid
from exavrrp.chronicled import Chronicled
from exavrrp.ports import Severity
from exavrrp.view import Moment
from tests.ports import Log


class Kept:
    """A journal in virtual time, and what it has written."""

    def __init__(self) -> None:
        self.now = 5.0
        self.written: list[bytes] = []
        self.chronicle = Chronicle(self.moment, lambda: self.now, self.written.append)

    def moment(self) -> Moment:
        return Moment(datetime.fromtimestamp(self.now, UTC), self.now)

    @property
    def entries(self) -> list[Entry]:
        found = [decoded(line) for line in self.chronicle.after(0)[1]]
        assert None not in found
        return [entry for entry in found if entry is not None]


def test_an_entry_is_written_and_read_again() -> None:
    kept = Kept()
    kept.chronicle.add("path-quiet", Severity.WARNING, "web", peer="fe80::1", number=3, nothing=None, names=["a", "b"])
    assert kept.entries == [
        Entry(
            at=kept.moment(),
            event="path-quiet",
            level="warning",
            router="web",
            fields={"peer": "fe80::1", "number": 3, "names": ["a", "b"]},
        )
    ]
    assert kept.written == [line + b"\n" for line in kept.chronicle.after(0)[1]]


def test_only_the_latest_entries_are_kept() -> None:
    kept = Kept()
    for number in range(MOST + 5):
        kept.chronicle.add("x", number=number)
    count, lines = kept.chronicle.after(0)
    assert (count, len(lines)) == (MOST + 5, MOST)
    assert [kept.entries[0].fields["number"], kept.entries[-1].fields["number"]] == [5, MOST + 4]


def test_bytes_are_bounded_too() -> None:
    kept = Kept()
    for _ in range(MOST):
        kept.chronicle.add("x", detail="a" * TEXT)
    _, lines = kept.chronicle.after(0)
    assert BYTES - LONGEST < sum(map(len, lines)) <= BYTES
    assert len(lines) < MOST


def test_what_follows_an_entry_is_told() -> None:
    kept = Kept()
    for number in range(3):
        kept.chronicle.add("x", number=number)
    assert [decoded(line).fields["number"] for line in kept.chronicle.after(1)[1]] == [1, 2]  # type: ignore[union-attr]
    assert kept.chronicle.after(3) == (3, [])
    assert kept.chronicle.after(9) == (3, [])


def test_long_values_are_cut_and_a_line_that_is_too_long_is_left_out() -> None:
    kept = Kept()
    kept.chronicle.add("x", text="a" * (TEXT + 1), some=[f"n{number}" for number in range(ITEMS + 2)])
    (entry,) = kept.entries
    assert entry.fields == {
        "text": "a" * TEXT + "...",
        "some": [*(f"n{number}" for number in range(ITEMS)), "and 2 more"],
    }
    kept.chronicle.add("x", **{f"field{number}": "a" * TEXT for number in range(12)})
    assert (kept.chronicle.count, len(kept.written)) == (1, 1)


values = st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()) | st.binary()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values, max_size=3))
def test_whatever_is_said_can_be_read_again(fields: dict[str, object]) -> None:
    kept = Kept()
    kept.chronicle.add("x", "info", "web", **fields)
    assert all(entry.event == "x" for entry in kept.entries)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"event":"x"}', b"\xff", b"[" * 3000, b'"' + b"a" * LONGEST])
def test_a_line_that_is_no_entry(line: bytes) -> None:
    assert decoded(line) is None


def test_a_file_with_a_damaged_line_keeps_the_others() -> None:
    kept = Kept()
    kept.chronicle.add("x")
    kept.chronicle.add("y")
    first, second = (line.rstrip(b"\n") for line in kept.written)
    assert valid(first + b"\n" + second[:-9] + b"\n" + second + b"\n" + first[:20]) == [first, second]


# Through the log


def test_what_is_logged_is_entered_but_for_transitions() -> None:
    kept, log = Kept(), Log()
    both = Chronicled(log, kept.chronicle)
    both.info("health-assessed", router="web", priority=100)
    both.warning("path-quiet", router="web")
    both.error("exabgp-stalled", detail="2 s")
    both.info("transition", router="web")
    assert [(entry.level, entry.event, entry.router) for entry in kept.entries] == [
        ("info", "health-assessed", "web"),
        ("warning", "path-quiet", "web"),
        ("error", "exabgp-stalled", ""),
    ]
    assert log.events == ["health-assessed", "path-quiet", "exabgp-stalled", "transition"]
    assert log.told("health-assessed") == [{"router": "web", "priority": 100}]


def test_what_is_repeated_is_entered_rarely() -> None:
    kept, log = Kept(), Log()
    both = Chronicled(log, kept.chronicle)
    for _ in range(3):
        both.limited("a", Severity.WARNING, "packet-rejected", reason="ttl")
    both.limited("b", Severity.WARNING, "packet-rejected", reason="vrid")
    assert [entry.fields["reason"] for entry in kept.entries] == ["ttl", "vrid"]
    kept.now += REPEAT
    both.limited("a", Severity.WARNING, "packet-rejected", reason="ttl")
    assert len(kept.entries) == 3
    assert len(log.lines) == 5


def test_keys_of_repeated_events_are_bounded() -> None:
    kept = Kept()
    assert all(kept.chronicle.is_new(number) for number in range(KEYS))
    assert not kept.chronicle.is_new(0)
    assert kept.chronicle.is_new("one more")
    assert kept.chronicle.is_new(0), "all were forgotten"
