"""What the route of a new Active has to beat: counted, remembered, and turned into attributes.

Silent failures are counted from adverts: times are seconds, the adverts' interval is 0.1 s, the window 180 s. Takeover
times are whole seconds, later than any Active's before: a story's times are seconds after one in 2027.
"""

import math
import re
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.neighbors import Session
from exavrrp.routes import LARGEST, Attributes, Level, Route
from exavrrp.takeover import (
    AHEAD,
    CALM,
    EPOCH,
    GRACEFUL_SHUTDOWN,
    MOST,
    MOST_RIVALS,
    PACE,
    PLACES,
    RECLAIMS,
    SECONDS,
    WORST,
    Count,
    Rival,
    Rivals,
    RouteContext,
    RoutePolicy,
    SilentFailures,
    Takeover,
    TakeoverHistory,
    TakeoverTime,
    derived_leaving,
    derived_standby,
    goes_on,
    takeover_med,
)
from exavrrp.vrrp.packet import LEAVING
from tests.test_routes import ATTRIBUTES, VIP

LAST_RESORT = RouteContext(last_resort=True)

# Silent failures

NODES = {name: ip_address(f"2001:db8:ff::{number}") for number, name in enumerate("abcd", start=1)}
WINDOW, INTERVAL = 180.0, 0.1

_LINE = re.compile(r"(?P<now>\d+(?:\.\d+)?)\s+(?P<what>hear|say|take over|resume|count)\s*(?P<words>.*)")


def counted(failures: SilentFailures, now: float) -> int:
    """The number of silent failures that count at ``now``."""
    failures.recount(now)
    return failures.number


def play(transcript: str) -> SilentFailures:
    """Lines: a time, and ``hear NODE PRIORITY``, ``say PRIORITY``, ``take over``, ``resume`` or ``count NUMBER``."""
    failures = SilentFailures(WINDOW)
    for text in transcript.strip().splitlines():
        line = _LINE.fullmatch(text.partition("#")[0].strip())
        assert line is not None, text
        now, words = float(line["now"]), line["words"].split()
        match line["what"]:
            case "hear":
                failures.heard(NODES[words[0]], int(words[1]), INTERVAL, now)
            case "say":
                failures.sent(int(words[0]), INTERVAL, now)
            case "take over":
                failures.took_over(now)
            case "resume":
                failures.resumed(now)
            case _:
                assert counted(failures, now) == int(words[0]), text
    return failures


TRANSCRIPTS = {
    "who gives way sends one more advert, and the better Active dies before its next one": """
        0      hear b 150
        0.1    hear b 150
        0.12   hear a 200
        0.121  hear a 200           # a copy
        0.122  hear b 150
        0.123  hear b 150           # another one
        0.47   hear b 150
        0.47   count 1
        0.57   hear b 150
        0.92   hear c 100
        0.92   count 2
    """,
    "and so does the better Active count, if it was only stopped": """
        0      hear b 150
        0.1    hear b 150
        0.12   say 200
        0.122  hear b 150
        0.47   hear b 150
        0.47   count 1
    """,
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
        181.5  hear b 150
        181.85 say 100
        181.85 take over
        181.85 count 2              # by when b was heard, not by our own advert
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
    "its own priority 0, repeated after another has become Active, changes nothing": """
        0      say 150
        0.1    say 0
        0.102  hear c 100
        0.103  say 0
        0.5    hear b 90
        0.5    count 1
    """,
    "a node that stood still hears the one that took over from it": """
        0      say 200
        5      hear b 150
        5      count 1
        5.01   say 200
        5.01   count 1
    """,
    "its own silent failure expires when the one that the others have counted does": """
        0      say 200
        90     hear b 150
        90     count 1
        180.29 count 1
        180.31 count 0
    """,
    "a takeover while an agent is replaced counts from the first advert of the new Active": """
        100    resume
        138    hear b 150
        317.9  count 1
        318.1  count 0
    """,
    "an Active dies beside a node that does not hear it and goes on, and a third one takes over": """
        0      hear a 200
        0.05   hear c 100
        0.1    hear a 200
        0.15   hear c 100
        0.25   hear c 100
        0.35   hear c 100
        0.45   hear c 100
        0.45   count 0
        0.46   hear b 150
        0.46   count 1
        0.55   hear c 100
        0.56   hear b 150
        0.56   count 1
    """,
    "and this node is the third one": """
        0      hear c 100
        0.1    hear a 200
        0.2    hear c 100
        0.3    hear c 100
        0.4    hear c 100
        0.44   say 150
        0.44   count 1
        0.54   say 150
        0.54   count 1
    """,
    "it takes over from the other one, which has died, too": """
        0      hear a 200
        0.05   hear c 160
        0.1    hear a 200
        0.15   hear c 160
        0.25   hear c 160
        0.6    say 150
        0.6    take over
        0.6    count 1
        0.7    say 150
        0.7    count 1
    """,
    "that one goes on for so long that nobody has the route any more": """
        0      hear a 200
        0.05   hear c 100
        180.1  hear c 100
        180.15 hear b 150
        180.15 count 0
    """,
    "the Active goes in order beside it": """
        0      hear a 200
        0.05   hear c 100
        0.1    hear a 200
        0.15   hear c 100
        0.2    hear a 0
        0.25   hear c 100
        0.35   hear c 100
        0.45   hear c 100
        0.46   hear b 150
        0.46   count 0
    """,
    "one that lost against the same priority lives": """
        0      hear a 100
        0.05   hear c 100
        0.15   hear c 100
        0.25   hear c 100
        0.35   hear c 100
        0.45   hear c 100
        0.46   hear b 150
        0.46   count 0
    """,
    "one that has a smaller priority than before was superseded": """
        0      hear a 200
        0.05   hear a 90
        0.1    hear c 100
        0.2    hear c 100
        0.3    hear c 100
        0.4    hear c 100
        0.45   hear b 150
        0.45   count 0
    """,
    "its own priority 0 before it was Active changes nothing": """
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
    failures = play("0 hear a 200\n0.35 hear b 150")
    assert failures.deadline == 0.35 + WINDOW
    assert counted(failures, failures.deadline) == 0
    assert failures.deadline is None


def test_nothing_in_the_future_is_remembered() -> None:
    failures = play("0 say 200\n0.26 hear b 150")
    assert failures.remembered == (1, 0.26), "it spoke before the time that others wait was over"


def test_failures_counted_before_a_restart_expire_as_they_would_have() -> None:
    earlier = play("""
        0    hear a 200
        0.35 hear b 150
        9    take over
        9    count 2
    """)
    assert earlier.remembered == (2, 9.0)
    failures = SilentFailures(WINDOW)
    failures.recall(earlier.remembered, 10.0)
    assert (counted(failures, 10.0), failures.deadline) == (2, 9.0 + WINDOW)
    assert (counted(failures, 9.0 + WINDOW), failures.deadline) == (1, 9.0 + WINDOW + PACE)
    assert counted(failures, 9.0 + WINDOW + PACE) == 0
    assert [failures.deadline, failures.remembered] == [None, (2, 9.0)], "the next life forgets by itself"


def test_a_predecessor_that_fell_silent_had_counted_until_then() -> None:
    failures = SilentFailures(WINDOW)
    failures.recall(Count(1, 0.0), WINDOW + 0.5)
    failures.resumed(WINDOW + 0.5)
    assert counted(failures, WINDOW + 0.5) == 0
    failures.heard(NODES["a"], 200, INTERVAL, WINDOW + 0.6)
    assert counted(failures, WINDOW + 0.6) == 2, "and so have others, when it fell silent"


def test_the_successor_of_a_node_that_fails_during_expiry_counts_one_more() -> None:
    failures = play("""
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
    assert counted(failures, 182.75 + WINDOW) == 2


def test_the_count_is_limited_to_the_number_of_prepends() -> None:
    failures = SilentFailures(WINDOW)
    for number in range(2 * MOST):
        failures.took_over(number / 100)
    assert counted(failures, 2.0) == MOST
    failures.recall(Count(2**53, 2.0), 2.0)
    assert counted(failures, 2.0) == MOST
    assert counted(failures, 2.0 + WINDOW + MOST * PACE) == 0


def test_times_in_the_future_are_not_recalled() -> None:
    failures = SilentFailures(WINDOW)
    assert failures.remembered is None
    failures.recall(Count(2, 10.1), 10.0)
    assert counted(failures, 10.0) == 0
    assert failures.deadline is None


def test_the_silent_node_s_interval_decides_how_long_to_wait() -> None:
    failures = SilentFailures(WINDOW)
    failures.heard(NODES["a"], 200, 1.0, 0.0)
    failures.heard(NODES["b"], 150, 0.1, 1.0 * 2.5)
    assert counted(failures, 3.0) == 0
    failures.heard(NODES["a"], 200, 1.0, 3.0)
    assert counted(failures, 3.0) == 1


@pytest.mark.parametrize(("down_count", "at"), [(2, 1.6), (3, 2.6), (5, 4.6)])
def test_a_failure_is_silent_after_about_as_many_intervals_as_a_backup_waits_for(down_count: int, at: float) -> None:
    for pause, number in ((at - 0.2, 0), (at, 1)):
        failures = SilentFailures(WINDOW, down_count)
        failures.heard(NODES["a"], 200, 1.0, 0.0)
        failures.heard(NODES["b"], 150, 1.0, pause)
        assert counted(failures, 10.0) == number


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
@example([("a", 100, 1.0), ("b", 200, 1.0), ("a", 100, 0.03125), ("a", 100, 1.0)])
@example([("a", 200, 0.01), ("b", 200, 5.0)] + [("b", 200, 4.7)] * 38)
@example([("a", 200, 0.01), ("b", 200, 5.0)] + [("b", 200, 5.0)] * 35 + [("b", 200, 2.0), ("c", 100, 1.0)])
def test_all_observers_count_the_same(adverts: list[tuple[str, int, float]]) -> None:
    """Whether a node hears an advert or has sent it makes no difference; when it is forgotten, only to who slept."""
    everybody = {name: SilentFailures(WINDOW) for name in ("a", "b", "c", "d")}
    slept: set[str] = set()
    now, last = 0.0, dict[str, float]()
    for sender, priority, pause in adverts:
        now += pause
        for name, failures in everybody.items():
            if name == sender:
                before = counted(failures, now)
                silent = counted(everybody["d"], now)
                everybody["d"].heard(NODES[sender], priority, INTERVAL, now)
                if counted(everybody["d"], now) > silent:
                    failures.took_over(now)
                    slept |= {one for one, then in last.items() if one != sender and now - then > 2 * INTERVAL}
                failures.sent(priority, INTERVAL, now)
                if name not in slept:
                    assert counted(failures, now) - before == counted(everybody["d"], now) - silent
            elif name != "d":
                failures.heard(NODES[sender], priority, INTERVAL, now)
        last[sender] = now
        assert len({counted(failures, now) for name, failures in everybody.items() if name not in slept}) == 1
        assert max(counted(failures, now) for failures in everybody.values()) == counted(everybody["d"], now)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "me"]),
            st.sampled_from([0, 100, 150, 200]),
            st.sampled_from([0.003, 0.03, 0.1, 0.2, 0.3, 2.0]),
        ),
        max_size=50,
    )
)
def test_a_source_is_the_same_whichever_object_names_it(adverts: list[tuple[str, int, float]]) -> None:
    """Where it is the same object, an advert that says what the one before has said is not looked at more closely."""
    same, equal, now = SilentFailures(WINDOW), SilentFailures(WINDOW), 0.0
    for sender, priority, pause in adverts:
        now += pause
        if sender == "me":
            same.sent(priority, INTERVAL, now)
            equal.sent(priority, INTERVAL, now)
        else:
            same.heard(NODES[sender], priority, INTERVAL, now)
            equal.heard(ip_address(int(NODES[sender])), priority, INTERVAL, now)
        assert counted(same, now) == counted(equal, now)
        assert (same.remembered, same.deadline) == (equal.remembered, equal.deadline)


# Deaf nodes


def reclaims(transcript: str, rivals: Rivals | None = None) -> list[tuple[float, str]]:
    """When the best Active reclaims traffic, and from whom. Lines: a time, a node and the priority that it says."""
    rivals = Rivals() if rivals is None else rivals
    found = []
    for line in transcript.strip().splitlines():
        now, name, priority = line.split()
        if rivals.advertised(NODES[name], int(priority), INTERVAL, float(now)) is not None:
            found.append((round(float(now), 2), name))
    return found


def beside(name: str, priority: int, begin: float, number: int) -> str:
    """``a`` advertises with 200 every 0.1 s, and so does this node from ``begin`` on, a bit later each time."""
    lines = (f"{begin + n / 10} a 200\n{begin + n / 10 + 0.04} {name} {priority}" for n in range(number))
    return "\n".join(lines)


@pytest.mark.parametrize(("name", "priority"), [("c", 100), ("c", 199)])
def test_the_third_advert_of_an_active_that_does_not_hear_a_better_one_is_too_many(name: str, priority: int) -> None:
    assert reclaims(beside(name, priority, 5.0, 2)) == []
    assert reclaims(beside(name, priority, 5.0, 10)) == [(5.24, name)]


def test_nothing_is_reclaimed_from_a_better_active_or_one_that_gives_way() -> None:
    assert reclaims(beside("c", 201, 5.0, 10)) == [(5.3, "a")], "it is a that does not hear c"
    assert reclaims(beside("d", 200, 5.0, 10)) == [(5.3, "a")], "the greater address"
    gives_way = beside("c", 100, 5.0, 2) + "\n5.2 a 200\n5.21 c 0\n" + beside("c", 100, 5.3, 2)
    assert reclaims(gives_way) == []
    silent = beside("c", 100, 5.0, 2) + "\n5.2 a 200\n5.4 a 200\n" + beside("c", 100, 5.6, 2)
    assert reclaims(silent) == [], "it took over for the second time"


def test_it_was_heard_for_two_of_the_longer_intervals() -> None:
    for slow, which in ((0.19, 3), (0.1, 2)):
        rivals = Rivals()
        rivals.advertised(NODES["a"], 200, slow, 5.0)
        late = [n for n in range(5) if rivals.advertised(NODES["c"], 100, 0.1, 5.01 + n / 10)]
        assert late == [which]


def test_a_better_active_that_is_gone_needs_nothing() -> None:
    dead = "5.0 a 200\n" + "\n".join(f"{5.05 + n / 10} c 100" for n in range(10))
    assert reclaims(dead) == [(5.25, "c")], "three intervals have not passed"
    resigned = "5.0 a 200\n5.01 a 0\n" + "\n".join(f"{5.05 + n / 10} c 100" for n in range(10))
    assert reclaims(resigned) == []
    rivals = Rivals()
    reclaims(dead, rivals)
    assert (rivals.best, rivals.known) == (NODES["c"], {})


def test_traffic_is_reclaimed_ever_more_rarely() -> None:
    rivals = Rivals()
    found = [now for now, _ in reclaims(beside("c", 100, 5.0, 3000), rivals)]
    pauses = [then - before for before, then in pairwise(found)]
    assert pauses == pytest.approx([*RECLAIMS, *[RECLAIMS[-1]] * (len(pauses) - len(RECLAIMS))], abs=INTERVAL * 1.01)
    assert len(pauses) > len(RECLAIMS)
    assert rivals.known[NODES["c"]].reclaimed == len(found)


def test_a_node_that_is_deaf_again_soon_is_no_quicker_and_later_it_is() -> None:
    rivals = Rivals()
    reclaims(beside("c", 100, 5.0, 40), rivals)
    soon = reclaims(beside("c", 100, 13.0, 40), rivals)
    assert [round(now, 1) for now, _ in soon] == [13.2], "the fourth time: five seconds until the next one"
    later = reclaims(beside("c", 100, 17.0 + CALM + 0.1, 20), rivals)
    assert [round(now - 17.1 - CALM, 1) for now, _ in later] == [0.2, 1.2]


def test_a_second_deaf_node_does_not_wait_for_the_next_time_of_the_first() -> None:
    rivals = Rivals()
    reclaims(beside("b", 150, 5.0, 60), rivals)
    assert reclaims(beside("c", 100, 11.0, 5), rivals) == [(11.24, "c")]


def test_what_beats_one_deaf_node_beats_another_that_was_there() -> None:
    rivals = Rivals()
    both = "\n".join(f"{5 + n / 10} a 200\n{5.01 + n / 10} c 100\n{5.02 + n / 10} b 150" for n in range(4))
    assert reclaims(both, rivals) == [(5.21, "c")]
    assert [rivals.known[NODES[one]].reclaimed for one in "bc"] == [1, 1]


def test_rivals_are_bounded_and_the_one_that_was_quiet_for_longest_goes() -> None:
    rivals = Rivals()
    for number in range(MOST_RIVALS + 1):
        rivals.advertised(NODES["a"], 200, INTERVAL, number / 10)
        rivals.advertised(ip_address(number + 1), 100, INTERVAL, number / 10)
    assert len(rivals.known) == MOST_RIVALS
    assert ip_address(1) not in rivals.known
    assert ip_address(2) in rivals.known


def test_a_rival_goes_on_until_a_backup_would_act() -> None:
    rival = Rival(0.0, 1.0, INTERVAL)
    assert [goes_on(rival, now) for now in (1.0, 1.29, 1.31)] == [True, True, False]


@pytest.mark.parametrize("me", ["a", "d"])
def test_all_count_two_failures_more_than_a_deaf_node_knew_and_do_not_forget_them_while_it_goes_on(me: str) -> None:
    history = TakeoverHistory(WINDOW)
    history.heard(NODES["b"], 150, 1.0, -3.5)
    history.failures.took_over(0.0) if me == "a" else None
    for second in range(2 * int(WINDOW)):
        advertise = history.sent if me == "a" else history.heard
        advertise(NODES["a"], 200, 1.0, float(second))
        history.heard(NODES["c"], 100, 1.0, second + 0.5)
        assert counted(history.failures, second + 0.6) == (1 if second < 2 else 3), "c has counted two"
    assert counted(history.failures, 2.5 * WINDOW) == 3
    assert counted(history.failures, 3 * WINDOW + PACE) < 3


@pytest.mark.parametrize("window", [10.0, 4.0, 3.0, 1.5])
def test_what_counts_for_a_deaf_node_outlasts_its_next_advert(window: float) -> None:
    """Also where the window is hardly longer than its interval, 2 s; one advert in five is lost, others are late."""
    history, number = TakeoverHistory(window), 0
    for second in range(0, 400, 2):
        history.sent(NODES["a"], 200, 2.0, float(second))
        history.failures.recount(arrives := second + 0.5 + (0.01 if second % 4 else 0.0))
        assert history.failures.number >= number
        if second % 10 != 8:
            history.heard(NODES["c"], 100, 2.0, arrives)
            number = counted(history.failures, arrives)
    assert number > 0


def test_what_counts_outlasts_the_next_advert_of_the_slower_of_two_deaf_nodes() -> None:
    """The window is shorter than its interval, 2 s; the other one has fallen silent by then."""
    history = TakeoverHistory(1.0)
    for tenth in range(84):
        now = tenth / 10
        if tenth % 5 == 0:
            history.sent(NODES["a"], 200, 0.5, now)
        if tenth % 5 == 3:
            history.heard(NODES["c"], 100, 0.5, now)
        if tenth % 20 == 1:
            history.heard(NODES["b"], 100, 2.0, now)
    number = counted(history.failures, now)
    assert (number > 0, counted(history.failures, 10.0)) == (True, number)


@pytest.mark.parametrize("window", [10.0, 1.5])
def test_what_another_member_reclaims_outlasts_the_next_advert_here(window: float) -> None:
    """Also where the window is shorter than the interval, 2 s."""
    history = TakeoverHistory(window)
    history.rivals.by_address = False
    for second in (0, 2, 4):
        history.sent(NODES["a"], 100, 2.0, float(second))
        assert history.heard(NODES["c"], 100, 2.0, second + 0.1) is None, "a tie"
    history.reclaim(4.2)
    assert counted(history.failures, 6.0) == 2


def test_what_another_member_reclaims_counts_for_those_that_go_on() -> None:
    history = TakeoverHistory(WINDOW)
    history.rivals.by_address = False
    for tenth in range(40):
        now = tenth / 10
        history.sent(NODES["a"], 100, INTERVAL, now)
        assert history.heard(NODES["b" if tenth < 20 else "c"], 100, INTERVAL, now + 0.05) is None, "a tie"
        if tenth in (10, 30, 32):
            history.reclaim(now + 0.06)
    assert {name: history.rivals.known[NODES[name]].reclaimed for name in "bc"} == {"b": 1, "c": 2}
    assert counted(history.failures, 4.0) == 2 + 2, "two more for each, once, and not for whom is silent"


@pytest.mark.parametrize(
    ("before", "pause", "number"),
    [([], 1.0, 2), ([0.05], 1.0, 3), ([0.05, 0.051], 1.0, 3), ([0.05, 0.15], 1.0, 4), ([0.05, 0.15], 2 * WINDOW, 2)],
    ids=["never", "one advert", "one and its copy", "long enough to have been outbid", "long ago"],
)
def test_what_a_node_has_counted_when_it_was_deaf_before_is_outbid(
    before: list[float], pause: float, number: int
) -> None:
    history = TakeoverHistory(WINDOW)
    deaf = iter([*before, *(pause + 0.05 + tenth / 10 for tenth in range(3)), math.inf])
    due = next(deaf)
    for tenth in range(int(pause * 10) + 10):
        history.sent(NODES["a"], 200, INTERVAL, tenth / 10)
        while due < (tenth + 1) / 10:
            history.heard(NODES["c"], 100, INTERVAL, due)
            due = next(deaf)
    assert counted(history.failures, pause + 0.5) == number


def test_a_node_that_was_deaf_long_ago_needs_no_shorter_path() -> None:
    history = TakeoverHistory(WINDOW)
    history.failures.recall(Count(3, 0.0), 0.0)
    for begin, name, number in ((0.0, "c", 5), (2 * WINDOW, "b", 2)):
        for tenth in range(4):
            history.sent(NODES["a"], 200, INTERVAL, begin + tenth / 10)
            history.heard(NODES[name], 100, INTERVAL, begin + tenth / 10 + 0.05)
        assert counted(history.failures, begin + 0.4) == number


def test_what_was_reclaimed_is_not_forgotten_before_the_next_time() -> None:
    history = TakeoverHistory(RECLAIMS[-1] / 2)
    for second in range(200):
        history.sent(NODES["a"], 200, 1.0, float(second))
        history.heard(NODES["c"], 100, 1.0, second + 0.5)
        assert counted(history.failures, second + 0.6) == (2 if second >= 2 else 0)


def test_a_member_of_a_group_that_hears_nobody_counts_nothing_when_another_one_reclaims() -> None:
    history = TakeoverHistory(WINDOW)
    history.reclaim(0.0)
    assert history.failures.remembered is None


def test_a_reclaim_forgets_nothing_that_has_died_meanwhile() -> None:
    history = TakeoverHistory(WINDOW)
    for tenth in range(20):
        history.sent(NODES["a"], 200, INTERVAL, tenth / 10)
        history.heard(NODES["c"], 100, INTERVAL, tenth / 10 + 0.05)
        if tenth == 5:
            assert counted(history.failures, 0.5) == 2
            history.failures.recall(Count(5, 0.4), 0.5)
    assert history.rivals.known[NODES["c"]].reclaimed == 2
    assert counted(history.failures, 2.0) == 5


def test_a_deaf_node_of_the_same_priority_as_one_that_followed_a_dead_one_is_outbid_by_two() -> None:
    """Also by an Active that is late: it was not deaf itself."""
    history = TakeoverHistory(WINDOW)
    history.heard(NODES["a"], 200, INTERVAL, -0.4)
    history.failures.took_over(0.0)
    for tenth in range(10):
        history.sent(NODES["d"], 100, INTERVAL, tenth / 10)
    for tenth in (10, 11, 12, 13):
        history.heard(NODES["c"], 100, INTERVAL, tenth / 10 + 0.05)
        history.sent(NODES["d"], 100, INTERVAL, tenth / 10 + 0.08)
    assert history.rivals.known[NODES["c"]].reclaimed
    assert counted(history.failures, 1.4) == 3


@pytest.mark.parametrize("order", ["bc", "cb"])
@pytest.mark.parametrize("decides", [True, False])
def test_two_deaf_nodes_count_as_one_whoever_decides_and_is_heard_first(order: str, decides: bool) -> None:
    history = TakeoverHistory(WINDOW)
    history.rivals.by_address = decides
    for tenth in range(10):
        now = tenth / 10
        history.sent(NODES["d"], 100, INTERVAL, now)
        found = [history.heard(NODES[name], 100, INTERVAL, now + 0.05) for name in order]
        if not decides and tenth == 2:
            history.reclaim(now + 0.06)
        assert any(found) == (decides and tenth == 2)
    assert counted(history.failures, 1.0) == 2


def deafened(lasts: int, *, priority: int = 100, leaves: bool = False) -> SilentFailures:
    """A node that takes over from ``a`` at 0, says so ``lasts`` times, and hears it again."""
    one = SilentFailures(WINDOW)
    one.heard(NODES["a"], 200, INTERVAL, -0.35)
    one.took_over(0.0)
    for tenth in range(lasts):
        one.sent(priority, INTERVAL, tenth / 10)
    if leaves:
        one.sent(0, INTERVAL, lasts / 10 - 0.05)
    one.heard(NODES["a"], 200, INTERVAL, lasts / 10)
    if leaves:
        one.heard(NODES["b"], 250, INTERVAL, lasts / 10 + 0.05)
        one.heard(NODES["b"], 0, INTERVAL, lasts / 10 + 0.06)
    if priority > 100:
        one.sent(priority, INTERVAL, lasts / 10 + 0.05)
        one.heard(NODES["a"], 200, INTERVAL, lasts / 10 + 0.15)
    assert counted(one, 10.0) == 1
    return one


@pytest.mark.parametrize(
    ("lasts", "how", "number"),
    [(5, {}, 3), (1, {}, 2), (5, {"priority": 250}, 2), (5, {"priority": 200}, 2), (5, {"leaves": True}, 2)],
    ids=["perhaps it was deaf", "too short for that", "it is the better one", "by its address", "it was drained"],
)
def test_a_node_that_may_have_been_deaf_beats_whoever_has_reclaimed_its_traffic(
    lasts: int, how: Any, number: int
) -> None:
    one = deafened(lasts, **how)
    one.heard(NODES["a"], 200, INTERVAL, 10.0)
    one.took_over(10.4)
    assert counted(one, 10.5) == number, "a has counted two"
    one.heard(NODES["a"], 200, INTERVAL, 10.45)
    one.took_over(20.0)
    assert counted(one, 20.1) == number + 1, "the second time was too short"


def test_who_always_heard_counts_a_deaf_node_also_if_another_one_may_have_been_deaf_until_then() -> None:
    history = TakeoverHistory(WINDOW)
    history.heard(NODES["a"], 200, INTERVAL, -0.4)
    for tenth in range(10):
        history.heard(NODES["b"], 150, INTERVAL, tenth / 10)
    for tenth in range(10, 14):
        history.heard(NODES["a"], 200, INTERVAL, tenth / 10)
        history.heard(NODES["c"], 100, INTERVAL, tenth / 10 + 0.02)
    assert counted(history.failures, 1.4) == 4, "b may count two, and c one more"


def test_what_others_have_reclaimed_is_forgotten_as_they_forget_it() -> None:
    one = deafened(5)
    one.heard(NODES["a"], 200, INTERVAL, 2 * WINDOW)
    one.took_over(2 * WINDOW + 0.4)
    assert counted(one, 2 * WINDOW + 0.5) == 1


def test_what_others_have_reclaimed_counts_no_less_than_what_was_heard_since() -> None:
    one = deafened(5)
    for second, name in ((20, "a"), (21, "b"), (22, "c")):
        one.heard(NODES[name], 150, INTERVAL, second)
    assert counted(one, 25.0) == 3
    one.took_over(30.0)
    assert counted(one, 30.1) == 4


def test_a_node_that_served_for_long_was_not_deaf() -> None:
    one = SilentFailures(WINDOW)
    one.heard(NODES["a"], 200, INTERVAL, -WINDOW - 0.35)
    one.took_over(-WINDOW)
    for second in range(int(WINDOW) + 1):
        one.sent(100, INTERVAL, second - WINDOW)
    one.heard(NODES["a"], 200, INTERVAL, 0.05)
    one.took_over(10.0)
    assert counted(one, 10.0) == 2


def test_a_node_that_was_stopped_was_not_deaf() -> None:
    one = SilentFailures(WINDOW)
    one.heard(NODES["a"], 200, INTERVAL, -0.35)
    one.took_over(0.0)
    for tenth in range(5):
        one.sent(100, INTERVAL, tenth / 10)
    for now in (5.0, WINDOW + 3.0):
        one.heard(NODES["a"], 200, INTERVAL, now)
    one.took_over(WINDOW + 3.4)
    assert counted(one, WINDOW + 3.4) == 1, "its own failure is forgotten"


def test_the_interval_of_the_active_says_when_a_deaf_node_has_heard_it_last() -> None:
    """It still knew of a failure then, which is forgotten here by now."""
    slow, since = 2.0, WINDOW + 6.0
    history = TakeoverHistory(WINDOW)
    history.failures.recall(Count(1, 0.0), 0.0)
    for number in range(int(since / slow) + 8):
        history.sent(NODES["a"], 200, slow, number * slow)
        for tenth in range(20 if number * slow >= since else 0):
            history.heard(NODES["c"], 100, INTERVAL, number * slow + tenth / 10)
    assert counted(history.failures, since + 8 * slow) == 3


def test_what_others_have_reclaimed_and_forgotten_does_not_hide_what_has_failed_since() -> None:
    one = deafened(5)
    one.heard(NODES["a"], 200, INTERVAL, 2 * WINDOW)
    one.heard(NODES["b"], 150, INTERVAL, 2 * WINDOW + 1)
    assert counted(one, 2 * WINDOW + 1) == 1
    one.took_over(2 * WINDOW + 2)
    assert counted(one, 2 * WINDOW + 2) == 2


# Takeover time

START = 1_800_000_000


class Story(TakeoverTime):
    """One node's view."""

    def hear(self, at: float, name: str, priority: int = 100) -> None:
        self.heard(NODES[name], priority, START + at)

    def become(self, at: float) -> int:
        """Become Active; the takeover time."""
        self.begin(START + at, at)
        assert self.active_since is not None
        return self.active_since - START


def test_the_first_takeover_time_is_the_clock_s() -> None:
    one = Story()
    assert one.become(0.9) == 0
    assert one.become(1.1) == 1


def test_a_takeover_after_a_restart_is_later_than_the_one_before() -> None:
    one = Story()
    one.resume(START + 1)
    assert one.active_since == START + 1
    assert one.become(0.5) == 2
    one.resume(START + 1)
    assert one.become(-3600) == -3600, "the clock was set back"
    one.resume(None)
    assert one.become(0.5) == 0


def test_a_second_takeover_within_a_second_takes_the_next_second() -> None:
    one = Story()
    one.hear(0.1, "a")
    one.hear(0.2, "a")
    assert one.become(0.3) == 1, "however often it was heard"
    one.hear(0.4, "b")
    assert one.become(0.5) == 3
    one.hear(20.9, "a")
    assert one.become(21.1) == 21, "it began in the second before"


def test_a_node_may_take_over_from_this_node_or_from_itself() -> None:
    one = Story()
    one.hear(0.1, "a")
    assert one.become(0.2) == 1
    one.hear(0.3, "a")
    assert one.become(0.5) == 3
    one.hear(5.1, "a")
    one.hear(5.2, "b", LEAVING)
    one.hear(5.3, "a")
    assert one.become(5.4) == 6, "the priority 0 of another node does not matter"
    one.hear(10.1, "a")
    one.hear(10.2, "a", LEAVING)
    one.hear(10.3, "a")
    assert one.become(10.4) == 12


def test_two_actives_received_in_turn_do_not_use_up_future_seconds() -> None:
    one = Story()
    for _ in range(20):
        one.hear(0.1, "a")
        one.hear(0.1, "b")
    assert one.become(0.2) == AHEAD
    assert one.become(AHEAD) == AHEAD + 1


def test_a_clock_that_was_ahead_does_not_count() -> None:
    one = Story()
    one.hear(0, "a")
    assert one.become(-AHEAD) == -AHEAD + 3
    assert one.become(-3600) == -3600


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.2)), max_size=AHEAD))
def test_nodes_that_receive_the_same_adverts_agree_on_the_takeover_time(begun: list[tuple[str, float]]) -> None:
    """Takeovers within one second have different times, whether this node's own or received ones."""
    views = {name: Story() for name in "abc"}
    now, last = 0.0, None
    taken = []
    for name, pause in begun:
        now += pause
        if name == last:
            continue
        taken.append(views[name].become(now))
        for other in views.keys() - {name}:
            views[other].hear(now, name)
        last = name
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)


def test_an_active_that_reclaims_is_later_than_one_that_took_over_in_the_same_second() -> None:
    deaf, best = Story(), Story()
    best.become(-10.0)
    deaf.hear(-10.0, "a")
    assert deaf.become(0.1) == 0
    best.reclaim(START + 0.4)
    assert best.active_since == START + 1
    best.reclaim(START + 1.5)
    assert best.active_since == START + 3
    for _ in range(5):
        best.reclaim(START + 1.5)
    assert best.active_since == START + 1 + AHEAD


def test_after_the_clock_was_set_back_an_active_begins_anew() -> None:
    """Its successor is Active since a later time by the same clock, and its route has to win over a stale one."""
    one = Story()
    assert not one.follow_clock(START, 0.0), "it has never been Active"
    one.become(0.0)
    moments = ((-AHEAD, 0.0), (3600.0, 3600.0 + AHEAD), (-3600.0, 3601.0), (-3599.0, 3602.0))
    found = [(one.follow_clock(START + at, monotonic), one.active_since) for at, monotonic in moments]
    assert found == [(False, START), (False, START), (True, START - 3600), (False, START - 3600)]


def test_after_the_clock_was_put_forward_an_active_begins_anew() -> None:
    """It took over by a clock that was behind, and lost to the route of the dead node until now."""
    one = Story()
    one.begin(START - 3600.0, 0.0)
    assert (one.follow_clock(START - 3599.0 + AHEAD, 1.0), one.active_since) == (False, START - 3600)
    assert (one.follow_clock(START + 2.0, 2.0), one.active_since) == (True, START + 2)
    assert not one.follow_clock(START + 3.0, 3.0)
    one.begin(START + 10.0, 20.0)  # set back before it is Active once more: nothing has happened since
    assert not one.follow_clock(START + 11.0, 21.0)


def test_when_meds_begin_again_an_active_begins_anew() -> None:
    """The route of a node that takes over in the next second would lose to one at the end of all MEDs."""
    again = EPOCH + SECONDS
    one = Story()
    one.begin(again - 2, again - 2)
    assert (one.follow_clock(again - 0.5, again - 0.5), one.active_since) == (False, again - 2)
    assert (one.follow_clock(again + 0.5, again + 0.5), one.active_since) == (True, again)
    assert not one.follow_clock(again + 1.5, again + 1.5)
    one.begin(again + SECONDS - 1, again + SECONDS - 1)
    one.begin(again + SECONDS - 0.5, again + SECONDS - 0.5)  # a second ahead
    assert one.active_since == again + SECONDS
    assert not one.follow_clock(again + SECONDS - 0.4, again + SECONDS - 0.4)


def test_a_clock_that_was_not_set_at_the_takeover_counts_from_when_it_is() -> None:
    one = Story()
    one.begin(100.0, 100.0)
    assert not one.follow_clock(200.0, 200.0)
    assert (one.follow_clock(START, 300.0), one.active_since) == (True, START)


# The takeover time as a MED

seconds = st.integers(EPOCH, EPOCH + SECONDS - 1)
places = st.integers(0, PLACES - 1)


@given(seconds, seconds, st.lists(places, min_size=2, max_size=2, unique=True))
@example(EPOCH, EPOCH, [0, 1])
@example(EPOCH, EPOCH + 1, [PLACES - 1, 0])
@example(EPOCH + SECONDS - 1, EPOCH + SECONDS - 1, [0, PLACES - 1])
def test_no_two_nodes_announce_the_same_med_and_a_later_second_wins(one: int, other: int, both: list[int]) -> None:
    first, second = (takeover_med(since, place) for since, place in zip((one, other), both, strict=True))
    assert first != second
    assert (first < second) is ((one, both[0]) > (other, both[1]))
    assert 0 <= min(first, second) <= max(first, second) <= WORST


@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 254))
def test_an_active_s_med_is_better_than_any_other_whatever_the_clock_says(since: int, place: int) -> None:
    """And nodes of places that are different, up to sixteen, never share one."""
    med = takeover_med(since, place)
    best = derived_standby(Attributes(), priority=255).med
    assert best is not None
    assert 0 <= med <= WORST < best < LARGEST
    assert len({takeover_med(since, place + one) for one in range(PLACES)}) == PLACES


def test_meds_begin_again_in_2032() -> None:
    assert [takeover_med(since, 0) for since in (0, EPOCH, EPOCH + 1, EPOCH + SECONDS)] == [
        WORST,
        WORST,
        WORST - PLACES,
        WORST,
    ]
    assert takeover_med(EPOCH + SECONDS - 1, PLACES - 1) < PLACES, "no room is left"
    assert takeover_med(START, 17) == takeover_med(START, 1), "a seventeenth node shares one"


# From both to attributes


def test_the_context_of_a_route_is_what_was_remembered() -> None:
    history = TakeoverHistory(WINDOW)
    assert history.context(last_resort=True, place=0) == LAST_RESORT
    history.failures.recall(Count(2, 0.0), 1.0)
    history.time.begin(START, 0.0)
    assert history.context(last_resort=False, place=3) == RouteContext(START, 2, place=3)


def test_the_next_hops_of_neighbors_are_the_same_in_every_state() -> None:
    one = Session(ip_address("192.0.2.1"))
    whole = Attributes(med=5, neighbors=(one,), next_hops=((one, "2001:db8::1"),))
    assert derived_standby(whole).next_hops == derived_leaving(whole).next_hops == whole.next_hops


@given(ATTRIBUTES)
def test_leaving_is_worse_in_some_respect_and_better_in_none(active: Attributes) -> None:
    worse = derived_leaving(active)
    assert worse.med == LARGEST
    assert (active.med or 0) < LARGEST
    assert worse.local_preference == 0
    assert len(set(worse.communities)) == len(worse.communities)
    assert set(worse.communities) == {*active.communities, GRACEFUL_SHUTDOWN}
    assert (worse.as_path, worse.prepend) == (active.as_path, active.prepend)
    assert derived_leaving(active, longer=True).prepend == active.prepend + 2
    assert (worse.next_hop, worse.neighbors) == (active.next_hop, active.neighbors)


def test_derived_paths_are_longer_where_the_path_is_not_exabgp_s() -> None:
    for active, longer in (
        (Attributes(), 0),
        (Attributes(as_path=(65010, 65020)), 1),
        (Attributes(prepend=3), 1),
    ):
        policy = RoutePolicy.derived(active)
        found = (policy.standby.prepend, policy.leaving.prepend)
        assert found == (active.prepend + longer, active.prepend + 2 * longer)


def test_route_policy() -> None:
    active = Attributes(med=50)
    policy = RoutePolicy.derived(active)
    assert policy.at(Level.ACTIVE) == active
    assert policy.at(Level.LEAVING, LAST_RESORT) == derived_leaving(active)
    yielding = replace(active, med=LARGEST)
    assert policy.at(Level.LEAVING) == yielding, "no more than a worse MED until another's route has arrived"
    forms = (active, derived_standby(active), yielding, derived_leaving(active))
    assert policy.routes(VIP) == tuple(Route(VIP, form) for form in forms)
    assert all(one != other for one, other in pairwise(policy.at(level) for level in Level))


@given(ATTRIBUTES, st.integers(0, 3))
def test_derived_levels_are_in_order(active: Attributes, prepend: int) -> None:
    active = replace(active, med=min(active.med or 0, LARGEST - 2), prepend=prepend)
    policy = RoutePolicy.derived(active)
    for internal in (True, False):
        ranks = [policy.rank(level, internal=internal) for level in Level]
        assert ranks == sorted(set(ranks))


def test_takeover_by_med() -> None:
    policy = RoutePolicy.derived(Attributes(), frozenset({Takeover.MED}))
    for level in (Level.ACTIVE, Level.LEAVING):  # a successor's is better anyway, and a dead node's must not be
        assert policy.at(level, RouteContext(active_since=START, place=2)).med == takeover_med(START, 2)
    assert policy.at(Level.ACTIVE).med == WORST, "better than standby, whatever is not known"
    assert (policy.at(Level.STANDBY).med, policy.at(Level.LEAVING, LAST_RESORT).med) == (LARGEST - 1, LARGEST)
    assert [one.attributes.med for one in policy.routes(VIP)] == [LARGEST - 1, LARGEST], "nobody knows the time"
    assert policy.rank(Level.ACTIVE, internal=False)[-1] == WORST


NEIGHBORS = st.lists(st.sampled_from([Session(one) for one in NODES.values()]), min_size=1, unique=True).map(tuple)


@given(NEIGHBORS, NEIGHBORS, NEIGHBORS, st.sets(st.sampled_from([Takeover.MED, Takeover.LOCAL_PREFERENCE])))
def test_all_neighbors_that_may_hear_of_a_route_are_known_beforehand(
    active: tuple[Session, ...], standby: tuple[Session, ...], leaving: tuple[Session, ...], takeover: set[Takeover]
) -> None:
    first, second, third = (Attributes(neighbors=named) for named in (active, standby, leaving))
    policy = RoutePolicy(first, second, third, frozenset(takeover))
    known = {named for one in policy.routes(VIP) for named in one.attributes.neighbors}
    assert known == {*active, *standby, *leaving}


def test_a_small_med_of_another_state_is_no_limit_to_those_of_actives() -> None:
    """Where its path is longer, for example. All Actives' routes would tie just below it."""
    longer = Attributes(med=100, as_path=(65010, 65010))
    policy = RoutePolicy(Attributes(), longer, longer, frozenset({Takeover.MED}))
    assert policy.at(Level.ACTIVE, RouteContext(active_since=START)).med == takeover_med(START, 0)


def test_takeover_by_prepend() -> None:
    policy = RoutePolicy.derived(Attributes(prepend=3), frozenset({Takeover.PREPEND}))
    prepends = [policy.at(Level.ACTIVE, RouteContext(silent_failures=count)).prepend for count in range(6)]
    assert prepends == [3, 2, 1, 0, 0, 0]
    assert (policy.at(Level.STANDBY).prepend, policy.at(Level.LEAVING, LAST_RESORT).prepend) == (4, 5)
    assert policy.at(Level.LEAVING, RouteContext(silent_failures=1)).prepend == 2, "as long as it was announced"
    assert [one.attributes.prepend for one in policy.routes(VIP)] == [3, 2, 1, 0, 4, 3, 5]


@pytest.mark.parametrize(("configured", "usual"), [(None, 100), (200, 200), (LARGEST - 1, LARGEST - 1)])
def test_takeover_by_local_preference(configured: int | None, usual: int) -> None:
    policy = RoutePolicy.derived(Attributes(local_preference=configured), frozenset({Takeover.LOCAL_PREFERENCE}))
    context = [RouteContext(silent_failures=count) for count in range(3)]
    found = [policy.at(Level.ACTIVE, one).local_preference for one in context]
    assert found == [configured, usual + 1, min(usual + 2, LARGEST)]
    assert policy.at(Level.LEAVING, context[1]).local_preference == usual + 1, "no less preferred than it was"
    assert (policy.standby.local_preference, policy.leaving.local_preference) == (1, 0)


def test_local_preferences_after_some_failures_are_known_beforehand() -> None:
    policy = RoutePolicy.derived(Attributes(prepend=1), frozenset({Takeover.LOCAL_PREFERENCE, Takeover.PREPEND}))
    found = [(one.attributes.local_preference, one.attributes.prepend) for one in policy.routes(VIP)]
    assert found == [(None, 1), (101, 0), (102, 0), (103, 0), (1, 2), (None, 1), (0, 3)]


def test_what_leaves_keeps_its_med_where_its_own_table_takes_that_away() -> None:
    policy = RoutePolicy(Attributes(med=50), derived_standby(Attributes()), Attributes(med=None, local_preference=0))
    assert policy.at(Level.LEAVING).med == LARGEST


@pytest.mark.parametrize(("configured", "standing_by"), [(None, 1), (200, 1), (1, 1), (0, 0)])
def test_a_standby_is_no_preferred_way_whatever_an_active_here_would_be(
    configured: int | None, standing_by: int
) -> None:
    """The Active is another node, whose preference is not known here."""
    assert derived_standby(Attributes(local_preference=configured)).local_preference == standing_by


def test_backups_do_not_tie_among_themselves() -> None:
    assert derived_standby(Attributes(), priority=150).med == LARGEST - 151
    assert RoutePolicy.derived(Attributes(), priority=200).standby.med == LARGEST - 201


@pytest.mark.parametrize(
    ("active", "takeover"),
    [(Attributes(med=5), Takeover.MED), (Attributes(as_path=(65010, 65010)), Takeover.PREPEND)],
)
def test_contradictory_policies(active: Attributes, takeover: Takeover) -> None:
    with pytest.raises(ValueError, match=r"prepends|MED"):
        RoutePolicy.derived(active, frozenset({takeover}))
