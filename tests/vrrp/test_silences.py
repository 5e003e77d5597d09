"""Silent takeovers, counted from adverts. Times are seconds, the adverts' interval is 0.1 s, the window 180 s."""

import re
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.vrrp.silences import MOST, PACE, QUIET, Count, Silences

NODES = {name: ip_address(f"2001:db8:ff::{number}") for number, name in enumerate("abcd", start=1)}
WINDOW, INTERVAL = 180.0, 0.1

_LINE = re.compile(r"(?P<now>\d+(?:\.\d+)?)\s+(?P<what>hear|say|take over|resume|count)\s*(?P<words>.*)")


def play(transcript: str) -> Silences:
    """Lines: a time, and ``hear NODE PRIORITY``, ``say PRIORITY``, ``take over``, ``resume`` or ``count NUMBER``."""
    silences = Silences(WINDOW)
    for text in transcript.strip().splitlines():
        line = _LINE.fullmatch(text.partition("#")[0].strip())
        assert line is not None, text
        now, words = float(line["now"]), line["words"].split()
        match line["what"]:
            case "hear":
                silences.heard(NODES[words[0]], int(words[1]), INTERVAL, now)
            case "say":
                silences.said(int(words[0]), INTERVAL, now)
            case "take over":
                silences.took_over(now)
            case "resume":
                silences.resumed(now)
            case _:
                assert silences.count(now) == int(words[0]), text
    return silences


TRANSCRIPTS = {
    "the first Active of all is nobody's successor": """
        0      hear a 200
        0.1    hear a 200
        0.1    count 0
    """,
    "an Active falls silent and another takes over": """
        0      hear a 200
        0.35   hear b 150
        0.35   count 1
        0.45   hear b 150
        0.45   count 1
    """,
    "our own takeover is counted once, though another follows before we have said a word": """
        0      hear a 200
        0.341  take over
        0.342  hear b 150
        0.342  count 1
    """,
    "it is forgotten when the window is over": """
        0      hear a 200
        0.35   hear b 150
        180.34 count 1
        180.35 count 0
    """,
    "a second one within the window": """
        0      hear a 200
        0.35   hear b 150
        60     hear b 150
        60.4   hear c 100
        60.4   count 2
        180.36 count 2              # the second one has left a route that beats the first one's
        240.39 count 2
        240.4  count 1              # and forgotten one by one
        241.39 count 1
        241.4  count 0
    """,
    "a second one that was heard in the window of the first, and missed after it": """
        0      hear a 200
        0.35   hear b 150
        180.3  hear b 150
        180.35 count 0
        180.7  hear c 100
        180.7  count 2              # who knows whether it had a longer route announced by then
        360.69 count 2
        360.7  count 1
        361.7  count 0
    """,
    "or not long after it, for who has died had heard of the first a bit later": """
        0      hear a 200
        0.35   hear b 150
        180.55 hear b 150
        180.9  say 100
        180.9  take over
        180.9  count 2
    """,
    "one that dies when all is forgotten is the first again": """
        0      hear a 200
        0.35   hear b 150
        181.7  hear b 150
        182.05 hear c 100
        182.05 count 1
    """,
    "one that dies a moment later is the second still: it may have heard of the first later, and count it": """
        0      hear a 200
        0.35   hear b 150
        181.5  hear b 150
        181.5  count 0
        181.85 hear c 100
        181.85 count 2
    """,
    "an Active that says priority 0 goes in order": """
        0      hear a 200
        0.1    hear a 0
        9      hear b 150
        9      count 0
    """,
    "and may come back": """
        0      hear a 200
        0.1    hear a 0
        9      hear a 200
        9.4    hear b 150
        9.4    count 1
    """,
    "priority 0 of one that is not followed says nothing": """
        0      hear a 200
        0.1    hear b 0
        0.2    hear a 200
        0.3    hear b 0
        0.6    hear c 100
        0.6    count 1
    """,
    "a better router preempts one that lives": """
        0      hear b 150
        0.09   hear a 200
        0.09   count 0
        9      hear a 200
        9      count 0
    """,
    "a lost advert makes no silence of a preemption": """
        0      hear b 150
        0.19   hear a 200
        0.19   count 0
    """,
    "our own silence right after our takeover": """
        0      hear a 200
        0.341  say 150
        0.341  take over
        0.341  count 1
        0.7    hear c 100
        0.7    count 2
    """,
    "an earlier life of ours was Active, and another one takes over": """
        0      resume
        0.05   hear b 150
        0.05   count 1
        0.15   hear b 150
        0.15   count 1
    """,
    "an earlier life of ours was Active, and we go on": """
        0      resume
        0.05   say 200
        0.1    hear b 150
        0.1    count 0
    """,
    "two at once are two that live": """
        0      hear b 150
        0.05   hear a 200
        0.1    hear b 150
        0.15   hear a 200
        0.15   count 0
    """,
    "this node takes over": """
        0      hear a 200
        0.35   take over
        0.35   say 150
        0.35   count 1
        0.36   hear a 200
        0.36   count 1
    """,
    "this node takes over, and has advertised before it says so": """
        0      hear a 200
        0.35   say 150
        0.35   take over
        0.35   count 1
        0.45   say 150
        0.54   hear a 200
        0.54   count 1
    """,
    "this node was Active for long and is superseded": """
        0      hear a 200
        0.35   take over
        0.35   say 150
        99.0   say 150
        99.05  hear c 220
        99.05  count 1
    """,
    "this node goes in order": """
        0      say 150
        0.1    say 0
        9      hear c 100
        9      count 0
    """,
    "a farewell that is repeated when another has begun changes nothing": """
        0      say 150
        0.1    say 0
        0.102  hear c 100
        0.103  say 0
        0.5    hear b 90
        0.5    count 1
    """,
    "this node was stopped, and hears who took over from it": """
        0      say 200
        5      hear b 150
        5      count 1
        5.01   say 200
        5.01   count 1
    """,
    "it forgets its own silence when the others do, which heard of it at once": """
        0      say 200
        90     hear b 150
        90     count 1
        180.29 count 1
        180.31 count 0
    """,
    "an agent that comes back was not asleep: what took over from it counts as of when it is heard": """
        100    resume
        138    hear b 150
        317.9  count 1
        318.1  count 0
    """,
    "a node that has just started has nobody to say farewell to": """
        0      say 0
        0      count 0
        1      hear a 200
        1      count 0
    """,
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name: str) -> None:
    play(TRANSCRIPTS[name])


def test_the_deadline_is_when_the_count_changes() -> None:
    silences = play("0 hear a 200\n0.35 hear b 150")
    assert silences.deadline == 0.35 + WINDOW
    assert silences.count(silences.deadline) == 0
    assert silences.deadline is None


def test_nothing_is_remembered_of_times_to_come() -> None:
    silences = play("0 say 200\n0.26 hear b 150")
    assert silences.remembered == (1, 0.26), "it spoke before the time that others wait was over"


def test_what_an_earlier_life_has_counted_ends_as_it_would_have() -> None:
    earlier = play("""
        0    hear a 200
        0.35 hear b 150
        9    take over
        9    count 2
    """)
    assert earlier.remembered == (2, 9.0)
    silences = Silences(WINDOW)
    silences.recall(earlier.remembered, 10.0)
    assert (silences.count(10.0), silences.deadline) == (2, 9.0 + WINDOW)
    assert (silences.count(9.0 + WINDOW), silences.deadline) == (1, 9.0 + WINDOW + PACE)
    assert silences.count(9.0 + WINDOW + PACE) == 0
    assert [silences.deadline, silences.remembered] == [None, (2, 9.0)], "the next life forgets by itself"


def test_an_earlier_life_that_was_silent_had_counted_until_then() -> None:
    silences = Silences(WINDOW)
    silences.recall(Count(1, 0.0), WINDOW + 0.5)
    silences.resumed(WINDOW + 0.5)
    assert silences.count(WINDOW + 0.5) == 0
    silences.heard(NODES["a"], 200, INTERVAL, WINDOW + 0.6)
    assert silences.count(WINDOW + 0.6) == 2, "and so have others, when it fell silent"


def test_who_dies_while_others_are_forgotten_is_followed_by_one_more_than_it_counted() -> None:
    silences = play("""
        0      hear a 200
        0.35   hear b 150
        0.7    hear c 100
        1.05   hear a 200
        1.05   count 3
        182.0  hear a 200
        182.0  count 2
        182.4  hear a 200
        182.75 hear b 150           # a was heard when two counted, for a moment
        182.75 count 3
    """)
    assert silences.count(182.75 + WINDOW) == 2


def test_no_more_is_counted_than_there_can_be_prepends() -> None:
    silences = Silences(WINDOW)
    for number in range(2 * MOST):
        silences.took_over(number / 100)
    assert silences.count(2.0) == MOST
    silences.recall(Count(2**53, 2.0), 2.0)
    assert silences.count(2.0) == MOST
    assert silences.count(2.0 + WINDOW + MOST * PACE) == 0


def test_what_is_yet_to_come_is_not_recalled() -> None:
    silences = Silences(WINDOW)
    assert silences.remembered is None
    silences.recall(Count(2, 10.1), 10.0)
    assert silences.count(10.0) == 0
    assert silences.deadline is None


def test_the_interval_that_is_waited_for_is_the_silent_one_s() -> None:
    silences = Silences(WINDOW)
    silences.heard(NODES["a"], 200, 1.0, 0.0)
    silences.heard(NODES["b"], 150, 0.1, 1.0 * QUIET)
    assert silences.count(3.0) == 0
    silences.heard(NODES["a"], 200, 1.0, 3.0)
    assert silences.count(3.0) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([0, 100, 200]),
            st.floats(0.01, 5, allow_nan=False),
        ),
        max_size=40,
    )
)
@example([("a", 200, 0.01), ("b", 200, 5.0)] + [("b", 200, 4.7)] * 38)
@example([("a", 200, 0.01), ("b", 200, 5.0)] + [("b", 200, 5.0)] * 35 + [("b", 200, 2.0), ("c", 100, 1.0)])
def test_all_observers_come_to_the_same_number(adverts: list[tuple[str, int, float]]) -> None:
    """Whether a node hears an advert or has sent it makes no difference; when it is forgotten, only to who slept."""
    everybody = {name: Silences(WINDOW) for name in ("a", "b", "c", "d")}
    slept: set[str] = set()
    now, active = 0.0, ""
    for sender, priority, pause in adverts:
        now += pause
        for name, silences in everybody.items():
            if name == sender:
                before = silences.count(now)
                silent = everybody["d"].count(now)
                everybody["d"].heard(NODES[sender], priority, INTERVAL, now)
                if everybody["d"].count(now) > silent:
                    silences.took_over(now)
                    slept |= {active} - {sender}
                silences.said(priority, INTERVAL, now)
                if name not in slept:
                    assert silences.count(now) - before == everybody["d"].count(now) - silent
            elif name != "d":
                silences.heard(NODES[sender], priority, INTERVAL, now)
        active = sender
        assert len({silences.count(now) for name, silences in everybody.items() if name not in slept}) == 1
        assert max(silences.count(now) for silences in everybody.values()) == everybody["d"].count(now)
