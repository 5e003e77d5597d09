"""What is said to ExaBGP and what its answers mean: the conversation, with an ExaBGP made of Python at the other end.

``Model`` does what ExaBGP was seen to do (``tests/system/test_exabgp.py`` proves it of the real one): ``version`` and
what it does not understand are answered as soon as they are read, everything else in order and later; a summary has a
heading. On demand it stops, loses an answer, says ``error``, or lets a neighbour come and go.
"""

import random
from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exavrrp.routes import EXPLICIT, Attributes, Dialect, Ladder, Level, Route, announce, spellings, withdraw
from exavrrp.system.exabgp import Answered, Event, Greeted, Neighbor, Odd, Refused, Resumed, Silent, Stalled, Stopping
from exavrrp.system.exabgp.conversation import (
    ANSWER_LIMIT,
    BATCH,
    FORMS,
    PATIENCE,
    PULSE,
    QUESTION,
    RESET,
    THROWAWAY,
    USED,
    VERSION,
    WINDOW,
    Conversation,
)
from exavrrp.system.exabgp.pipes import LONGEST_LINE, Lines

Address = IPv4Address | IPv6Address

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
LADDER = Ladder.derived(Attributes(med=50))
A, B, C = (ip_address(text) for text in ("2001:db8:53::1", "2001:db8:53::2", "192.0.2.53"))
N1, N2 = ip_address("192.0.2.1"), ip_address("2001:db8::1")


def route(address: Address, level: Level = Level.ACTIVE) -> Route:
    return Route(address, LADDER.at(level))


def forms(*addresses: Address) -> list[Route]:
    return [one for address in addresses for one in LADDER.routes(address)]


def state(neighbor: Address, name: str) -> str:
    """The line in the spelling of 5.0.15."""
    return (
        '{ "exabgp": "5.0.0", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "counter": 1, "type": "state", '
        f'"neighbor": {{ "address": {{ "local": "192.0.2.2", "peer": "{neighbor}" }}, '
        f'"asn": {{ "local": 65010, "peer": 65000 }}, "router-id": "1.1.1.1" , "state": "{name}" }} }}'
    )


SHUTDOWN = (
    '{ "exabgp": "4.0.1", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "type": "notification", '
    '"notification": "shutdown" }'
)


class Dialogue:
    """A conversation and its clock; answers are typed in by the test. Signs of life only where it is about them."""

    def __init__(self, *addresses: Address, greeted: bool = True, pulse: float | None = None) -> None:
        self.now = 100.0
        self.conversation = Conversation(forms(*addresses or (A, B)), pulse)
        if greeted:
            assert self.said() == [THROWAWAY, RESET, VERSION]
            assert self.hear("error", "exabgp 5.0.15", "done") == [Greeted("5.0.15", known=True)]
            assert self.said() == [QUESTION]
            assert self.hear(HEADING, "done") == []

    def want(self, *routes: Route) -> None:
        self.conversation.set(routes)

    def said(self) -> list[str]:
        return self.conversation.transmit(self.now)

    def hear(self, *lines: str) -> list[Event]:
        return [event for line in lines for event in self.conversation.feed(line, self.now)]

    def wait(self) -> list[Event]:
        """Until the deadline."""
        deadline = self.conversation.deadline
        assert deadline is not None
        assert deadline >= self.now
        self.now = deadline
        return self.conversation.tick(self.now)

    def clear(self) -> None:
        """As after the start: everything withdrawn, in all forms, and confirmed."""
        self.want()
        while lines := self.said():
            self.hear(*["done"] * len(lines))
        assert self.conversation.settled


def test_start_clears_every_form_a_predecessor_may_have_used() -> None:
    dialogue = Dialogue(A)
    dialogue.want()
    told: list[str] = []
    while lines := dialogue.said():
        assert len(lines) == 1
        told += lines
        events = dialogue.hear("done")
    withdraws = [f"withdraw{announce(one, Dialect.V5)[8:]}" for one in forms(A)]
    assert told == [line for words in withdraws for line in (words, f"{words} origin igp")]
    assert events == [Answered(A, None)]
    assert dialogue.conversation.settled
    assert dialogue.conversation.deadline is None


def test_nothing_is_said_before_anything_is_wanted() -> None:
    dialogue = Dialogue()
    assert dialogue.said() == []
    assert dialogue.conversation.deadline is None
    assert not dialogue.conversation.settled


def test_a_wish_is_said_once() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    assert dialogue.said() == [announce(route(A), Dialect.V5)]
    dialogue.want(route(A))
    assert dialogue.said() == []
    assert dialogue.hear("done") == [Answered(A, route(A))]
    dialogue.want(route(A))
    assert dialogue.said() == []
    assert dialogue.conversation.deadline is None


def test_the_last_wish_replaces_what_waits() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    assert len(dialogue.said()) == 1
    for wish in ([], [route(A, Level.LEAVING)], [], [route(A, Level.LEAVING)]):
        dialogue.want(*wish)
        assert dialogue.said() == []
    assert dialogue.hear("done") == []
    assert dialogue.said() == [announce(route(A, Level.LEAVING), Dialect.V5, EXPLICIT)], "the second of these wishes"
    assert dialogue.hear("done") == [Answered(A, route(A, Level.LEAVING))]


def test_a_wish_and_back_while_it_is_unanswered_is_said_again() -> None:
    """ExaBGP may answer the first before it has read that we changed our mind: only the last answer counts."""
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.want()
    dialogue.want(route(A))
    assert dialogue.hear("done") == []
    assert dialogue.said() == [announce(route(A), Dialect.V5)], "in the same words, for which ExaBGP sends nothing"
    assert dialogue.hear("done") == [Answered(A, route(A))]


def test_withdraw_in_every_form_since_the_last() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    for level in (Level.ACTIVE, Level.LEAVING):
        dialogue.want(route(A, level))
        dialogue.said()
        dialogue.hear("done")
    dialogue.want()
    told = []
    while lines := dialogue.said():
        told += lines
        events = dialogue.hear("done")
    leaving = announce(route(A, Level.LEAVING), Dialect.V5)
    assert told[0] == f"withdraw{leaving[8:]}", "the one that takes effect at the neighbours comes first"
    assert f"withdraw{announce(route(A), Dialect.V5)[8:]}" in told
    assert events == [Answered(A, None)]


def test_different_addresses_do_not_wait_for_each_other() -> None:
    dialogue = Dialogue(A, B, C)
    dialogue.clear()
    dialogue.want(route(A), route(B, Level.LEAVING), route(C))
    assert len(dialogue.said()) == 3
    assert dialogue.hear("done", "error", "done") == [
        Answered(A, route(A)),
        Refused(B, announce(route(B, Level.LEAVING), Dialect.V5)),
        Answered(C, route(C)),
    ]


def test_what_is_alike_goes_out_in_one_line() -> None:
    dialogue = Dialogue(A, B, C)
    dialogue.clear()
    dialogue.want(route(A), route(B), route(C))
    together, alone = dialogue.said()
    assert together == announce(route(A), Dialect.V5, also=[route(B)])
    assert alone == announce(route(C), Dialect.V5), "of another family"
    assert dialogue.hear("done") == [Answered(A, route(A)), Answered(B, route(B))]
    assert dialogue.hear("done") == [Answered(C, route(C))]
    dialogue.want()
    assert dialogue.said()[0] == withdraw(route(A), Dialect.V5, also=[route(B)])


def test_a_refusal_of_many_is_that_of_one_of_them() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A), route(B))
    assert len(dialogue.said()) == 1
    assert dialogue.hear("error") == []
    lines = [announce(one, Dialect.V5) for one in (route(A), route(B))]
    assert dialogue.said() == [QUESTION, lines[0], QUESTION, lines[1], QUESTION]
    events = dialogue.hear(HEADING, "done", "error", HEADING, "done", "done", HEADING, "done")
    assert events == [Refused(A, lines[0]), Answered(B, route(B))]


def test_silence_of_many_is_told_of_each() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A), route(B))
    (line,) = dialogue.said()
    assert dialogue.wait() == [Silent(A, line), Silent(B, line)]


def test_window() -> None:
    many = [IPv6Address(f"2001:db8:53::{number:x}") for number in range(1, 251)]
    dialogue = Dialogue(*many)
    dialogue.want(*map(route, many))
    count = 0
    while lines := dialogue.said():
        told = [prefix for line in lines for prefix in spoken(line)[2]]
        assert len(told) <= WINDOW
        assert all(len(spoken(line)[2]) <= BATCH for line in lines)
        count += len(told)
        dialogue.hear(*["done"] * len(lines))
    assert count == len(many)


def test_not_ours() -> None:
    dialogue = Dialogue(A)
    with pytest.raises(KeyError):
        dialogue.want(route(B))


def test_all_neighbours_and_some_do_not_mix() -> None:
    some = Route(A, Attributes(neighbors=(N1,)))
    with pytest.raises(ValueError, match="all neighbours"):
        Conversation([route(A), some])
    dialogue = Dialogue(A)
    with pytest.raises(ValueError, match="all neighbours"):
        dialogue.want(some)


def test_other_neighbours_in_another_form() -> None:
    """The new ones are told first; then those that are not wanted any more, in every form that they may have."""
    both = Route(A, Attributes(med=1, neighbors=(N1, N2)))
    one = Route(A, Attributes(med=2, neighbors=(N1,)))
    other = Route(A, Attributes(med=2, neighbors=(N2,)))
    conversation = Conversation([both, one])
    conversation.transmit(0)
    for line in ("exabgp 5.0.15", "done"):
        conversation.feed(line, 0)
    conversation.transmit(0)
    for line in (HEADING, "done"):
        conversation.feed(line, 0)

    def carry_out() -> list[str]:
        told = []
        while lines := conversation.transmit(0):
            told += lines
            for _ in lines:
                events[:] = conversation.feed("done", 0)
        return told

    events: list[Event] = []
    conversation.set([])
    carry_out()
    conversation.set([both])
    assert carry_out() == [announce(both, Dialect.V5)]
    conversation.set([one])
    gone = Route(A, replace(both.attributes, neighbors=(N2,)))
    assert carry_out() == [announce(one, Dialect.V5), withdraw(gone, Dialect.V5)]
    assert events == [Answered(A, one)]
    conversation.set([other])
    told = carry_out()
    assert told[0] == announce(other, Dialect.V5, EXPLICIT), "ExaBGP's queues know nothing of neighbours"
    assert all(line.startswith(f"neighbor {N1} withdraw route") for line in told[1:])
    assert {"med 1", "med 2"} <= {line.partition("self ")[2] for line in told[1:]}
    conversation.feed(state(N1, "up"), 0)
    told = carry_out()
    assert told[0].startswith(f"neighbor {N2} announce")
    assert told[1].startswith(f"neighbor {N1} withdraw"), "what it was told before it came up does not count"
    conversation.set([])
    assert all(" withdraw " in line for line in carry_out())
    assert events == [Answered(A, None)]


def test_a_spelling_that_comes_round_again_too_soon_is_said_once_more() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    known = set()
    for number in range(len(spellings(LADDER.active)) + 1):
        assert dialogue.conversation.deadline is None, number
        dialogue.want(Route(A, Attributes(med=1000 + number)))
        dialogue.said()
        dialogue.hear("done")
        dialogue.want(route(A))
        known.update(dialogue.said())
        dialogue.hear("done")
    assert len(known) == len(spellings(LADDER.active))
    assert dialogue.wait() == []
    (line,) = dialogue.said()
    assert line in known
    assert dialogue.conversation.settled
    assert dialogue.hear("done") == [], "nobody waits for it"
    assert dialogue.conversation.deadline is None


def test_the_times_of_spellings_are_bounded() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    for med in range(USED + 100):
        dialogue.want(Route(A, Attributes(med=med)))
        dialogue.said()
        dialogue.hear("done")
    assert len(dialogue.conversation._used) == USED


# Greeting


@pytest.mark.parametrize(
    ("version", "dialect", "known"),
    [
        ("4.2.25", Dialect.V4, True),
        ("4.2.22-abc", Dialect.V4, True),
        ("5.0.15", Dialect.V5, True),
        ("6.0.0-dev", Dialect.V5, False),
        ("main", Dialect.V5, False),
    ],
)
def test_dialect(version: str, dialect: Dialect, known: bool) -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.said()
    assert dialogue.hear(f"exabgp {version}", "done") == [Greeted(version, known)]
    assert dialogue.conversation.dialect is dialect


def test_what_a_predecessor_left_is_not_for_us() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    dialogue.said()
    assert dialogue.hear("done", HEADING, f"{N1} 65000 0:00:05 established 1 1", "done", "error", "") == []
    assert dialogue.said() == []
    dialogue.hear("exabgp 4.2.25", "done")
    assert dialogue.said() == [QUESTION, announce(route(A), Dialect.V4)]
    assert dialogue.conversation.established == set()


def test_version_is_asked_for_again_and_answered_twice() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    assert dialogue.said() == [THROWAWAY, RESET, VERSION]
    assert dialogue.said() == []
    started = dialogue.now
    assert dialogue.conversation.tick(dialogue.now) == []
    for _ in range(3):
        (odd,) = dialogue.wait()
        assert isinstance(odd, Odd)
        assert dialogue.said() == [VERSION]
    assert dialogue.now == started + sum(PATIENCE[:3])
    dialogue.hear("error", "exabgp 5.0.15", "done")
    dialogue.said()
    assert dialogue.hear("exabgp 5.0.15", "done", "exabgp 5.0.15", "done") == []
    assert dialogue.hear(HEADING, "done", "done") == [Answered(A, route(A))]


@pytest.mark.parametrize("late", [False, True])
def test_answers_switched_off(late: bool) -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    dialogue.said()
    assert dialogue.hear("exabgp 4.2.25") == []
    if late:
        dialogue.wait()
        assert dialogue.said() == [VERSION]
    greeted, odd = dialogue.hear("exabgp 4.2.25" if late else "")
    assert greeted == Greeted("4.2.25", known=True)
    assert isinstance(odd, Odd)
    assert "exabgp.api.ack" in odd.detail
    assert dialogue.said() == [QUESTION, announce(route(A), Dialect.V4)]


def test_a_version_asked_for_before_a_new_beginning_does_not_end_it() -> None:
    dialogue = Dialogue(A)
    dialogue.hear("done")
    assert dialogue.said() == [RESET, VERSION]
    dialogue.wait()
    assert dialogue.said() == [VERSION]
    dialogue.hear("exabgp 5.0.15", "done")  # of two that are on their way
    assert dialogue.said() == [QUESTION]
    dialogue.hear("done")
    assert dialogue.said() == [RESET, VERSION]
    dialogue.hear("exabgp 5.0.15", "done")
    assert dialogue.said() == []
    dialogue.hear("exabgp 5.0.15", "done")
    assert dialogue.said() == [QUESTION]


# Missing answers


def test_stall_reports_once_asks_ever_more_rarely_and_says_only_the_last_wish() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    started = dialogue.now
    assert dialogue.wait() == [Silent(A, announce(route(A), Dialect.V5))]
    assert dialogue.now == started + ANSWER_LIMIT
    asked = 0
    for number in range(20):
        assert dialogue.said() == [QUESTION]
        asked += 1
        dialogue.want(route(A, Level.LEAVING), *([route(B)] if number % 2 else []))
        assert dialogue.said() == []
        assert dialogue.wait() == ([Stalled(2 * ANSWER_LIMIT)] if number == 0 else [])
    assert dialogue.now - started > 60 * 10
    dialogue.want(route(A))
    assert dialogue.hear("done") == [Resumed()]
    told = [line for line in dialogue.said() if line != QUESTION]
    assert sorted(line.split()[0] for line in told) == ["announce", "withdraw"], "each wish once, and only the last"
    answers = [line for _ in range(asked + 1) for line in (HEADING, "done")]
    assert set(dialogue.hear(*answers, "done", "done")) == {Answered(A, route(A)), Answered(B, None)}
    assert dialogue.said() == []


def test_a_stall_is_known_before_anything_is_wanted() -> None:
    """A node whose ExaBGP does not answer must not take over what it could not announce."""
    dialogue = Dialogue(A, pulse=PULSE)
    dialogue.clear()
    asleep = dialogue.now
    for _ in range(3):
        assert dialogue.wait() == []
        assert dialogue.said() == [QUESTION], "a sign of life"
        assert dialogue.hear(HEADING, "done") == []
        asleep = dialogue.now
    assert dialogue.wait() == []
    assert dialogue.said() == [QUESTION]
    assert dialogue.wait() == []
    assert dialogue.said() == [QUESTION], "we may have slept ourselves"
    assert dialogue.wait() == [Stalled(PULSE + 2 * ANSWER_LIMIT)]
    assert dialogue.now == asleep + PULSE + 2 * ANSWER_LIMIT
    while dialogue.now < asleep + 300:
        dialogue.said()
        assert dialogue.wait() == [], "told once"
    assert dialogue.hear(HEADING) == [Resumed()]
    assert dialogue.hear("done") == []


def test_after_a_pause_of_our_own_exabgp_has_time_for_an_answer() -> None:
    dialogue = Dialogue(A, pulse=PULSE)
    dialogue.clear()
    dialogue.wait()
    assert dialogue.said() == [QUESTION]
    dialogue.now += 60  # both were stopped
    assert dialogue.conversation.tick(dialogue.now) == []
    assert dialogue.said() == [QUESTION]
    assert dialogue.hear(HEADING, "done", HEADING, "done") == []
    assert dialogue.conversation.resting


def test_a_command_is_as_good_as_a_sign_of_life() -> None:
    dialogue = Dialogue(A, pulse=PATIENCE[0])
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("error")
    assert dialogue.said() == [QUESTION]
    dialogue.hear(HEADING, "done")
    dialogue.wait()
    assert dialogue.said() == [announce(route(A), Dialect.V5), QUESTION], "the one that fences it"


def test_a_stall_in_the_middle_of_a_new_beginning_is_told_too() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    assert dialogue.hear("done") == [Odd('"done" answers nothing; saying everything again')]
    assert dialogue.said() == [RESET, VERSION]
    again = Odd("ExaBGP does not answer; asking again for its version")
    assert dialogue.wait() == [again]
    assert dialogue.said() == [VERSION]
    assert dialogue.wait() == [again, Stalled(3.0)]
    assert dialogue.said() == [VERSION]
    assert dialogue.hear("exabgp 5.0.15") == []
    assert dialogue.hear("done") == [Resumed()]


def test_an_exabgp_that_has_never_answered_has_not_stalled() -> None:
    dialogue = Dialogue(greeted=False)
    dialogue.said()
    for _ in range(5):
        assert [type(event) for event in dialogue.wait()] == [Odd]
        dialogue.said()


def test_late_answers_are_attributed() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    leaving = route(B, Level.LEAVING)
    dialogue.want(route(A), leaving)
    dialogue.said()
    assert len(dialogue.wait()) == 2
    assert dialogue.said() == [QUESTION]
    assert dialogue.hear("done", "error") == [Answered(A, route(A)), Refused(B, announce(leaving, Dialect.V5))]
    dialogue.hear(HEADING, "done", HEADING, "done")


def test_a_missing_answer_does_not_shift_the_others_for_ever() -> None:
    """A is never answered, B is refused, C is done: for a moment that looks like A refused, B done, C silent."""
    dialogue = Dialogue(A, B, C)
    dialogue.clear()
    dialogue.want(route(A), route(B, Level.LEAVING), route(C))
    assert len(dialogue.said()) == 3
    dialogue.hear("error", "done")
    assert dialogue.said() == [QUESTION]
    (odd,) = dialogue.hear(HEADING, "done")
    assert isinstance(odd, Odd)
    told = dialogue.said()
    commands = [line for line in told if line != QUESTION]
    assert {line.split()[2] for line in commands} == {f"{A}/128", f"{B}/128", f"{C}/32"}
    assert told[0] in commands, "nothing is before it"
    assert all(QUESTION in pair for pair in pairwise(told)), "fenced"
    events = []
    for line in told:
        if line == QUESTION:
            events += dialogue.hear(HEADING, "done")
        elif str(A) + "/" not in line:
            events += dialogue.hear("error" if f"{B}/" in line else "done")
    line_of = {one.split()[2].partition("/")[0]: one for one in commands}
    assert set(events) == {
        Silent(A, line_of[str(A)]),
        Refused(B, line_of[str(B)]),
        Answered(C, route(C)),
    }


def test_nobody_waits_for_a_command_that_is_never_answered() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.wait()
    assert dialogue.said() == [QUESTION]
    dialogue.hear(HEADING, "done")
    for patience in (*PATIENCE, PATIENCE[-1]):
        assert dialogue.said() == [announce(route(A), Dialect.V5), QUESTION]
        dialogue.want(route(A), route(B))
        assert len(dialogue.said()) == 1
        events = dialogue.hear(HEADING, "done", "done")
        assert events == [Silent(A, announce(route(A), Dialect.V5)), Answered(B, route(B))]
        dialogue.want(route(A))
        while lines := dialogue.said():
            dialogue.hear(*["done"] * len(lines))
        started = dialogue.now
        assert dialogue.wait() == []
        assert dialogue.now == pytest.approx(started + patience)


def test_refused_is_tried_again_ever_more_rarely_until_the_wish_changes() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    assert dialogue.said() == [announce(route(A), Dialect.V5)]
    dialogue.hear("error")
    assert dialogue.said() == [QUESTION], "was it A's answer at all?"
    dialogue.hear(HEADING, "done")
    for patience in PATIENCE:
        started = dialogue.now
        assert dialogue.wait() == []
        assert dialogue.now == pytest.approx(started + patience)
        assert dialogue.said() == [announce(route(A), Dialect.V5), QUESTION]
        assert dialogue.hear("error", HEADING, "done") == [Refused(A, announce(route(A), Dialect.V5))]
        assert dialogue.said() == []
    dialogue.want(route(A, Level.LEAVING))
    assert dialogue.said()[0] == announce(route(A, Level.LEAVING), Dialect.V5)


def test_a_question_that_is_not_answered_to_its_end() -> None:
    """The next heading ends it: nothing is taken for its end that is not."""
    dialogue = Dialogue(A)
    dialogue.clear()
    ask(dialogue)
    dialogue.hear(HEADING)  # and its "done" never comes
    dialogue.wait()
    assert dialogue.said() == [QUESTION]
    dialogue.hear(HEADING, "done")
    dialogue.want(route(A))
    while lines := [line for line in dialogue.said() if line != QUESTION]:
        events = dialogue.hear(*["done"] * len(lines))
    assert events == [Answered(A, route(A))]


def test_a_refusal_of_what_is_wanted_no_more_delays_nothing() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.want(route(A, Level.LEAVING))
    dialogue.hear("error")
    assert announce(route(A, Level.LEAVING), Dialect.V5) in dialogue.said()


def test_patience_begins_anew_after_a_success() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    for _ in range(3):
        dialogue.want(route(A))
        dialogue.said()
        dialogue.hear("error")
        dialogue.said()
        dialogue.hear(HEADING, "done")
        started = dialogue.now
        dialogue.wait()
        assert dialogue.now == pytest.approx(started + PATIENCE[0])
        dialogue.said()
        assert dialogue.hear("done", HEADING, "done") == [Answered(A, route(A))]
        dialogue.hear(state(N1, "up"))


def test_continuous_traffic_is_verified_too() -> None:
    """One answer is missing, and new commands keep the queue from ever being empty."""
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()  # never answered
    level = Level.LEAVING
    questions = 0
    for _ in range(8):
        dialogue.want(route(A, level), route(B, level))
        questions += dialogue.said().count(QUESTION)
        dialogue.now += 0.3
        dialogue.conversation.tick(dialogue.now)
        dialogue.hear("done")
        level = Level.ACTIVE if level is Level.LEAVING else Level.LEAVING
    assert questions == 1


def test_an_answer_too_many_makes_a_new_beginning() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("done")
    (odd,) = dialogue.hear("done")
    assert isinstance(odd, Odd)
    assert dialogue.said() == [RESET, VERSION]
    assert dialogue.hear("done", HEADING, "exabgp 5.0.15", "done") == []
    told = dialogue.said()
    assert told[0] == QUESTION
    assert len(told) == 3
    assert set(dialogue.hear(HEADING, "done", "done", "done")) == {Answered(A, route(A)), Answered(B, None)}
    assert dialogue.said() == []


def test_an_answer_too_many_before_anything_was_wanted() -> None:
    dialogue = Dialogue(A)
    (odd,) = dialogue.hear("error")
    assert isinstance(odd, Odd)
    assert dialogue.said() == [RESET, VERSION]
    (odd,) = dialogue.wait()
    assert dialogue.said() == [VERSION]
    assert dialogue.hear("exabgp 5.0.15", "done", "exabgp 5.0.15", "done") == []
    assert dialogue.said() == [QUESTION]
    assert dialogue.hear(HEADING, "done") == []


# Neighbours


def ask(dialogue: Dialogue) -> None:
    """Has the conversation ask for a summary."""
    dialogue.hear("done")  # an answer too many
    assert dialogue.said() == [RESET, VERSION]
    dialogue.hear("exabgp 5.0.15", "done")
    lines = dialogue.said()
    assert lines[0] == QUESTION


def test_neighbours_by_summary_and_as_they_change() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.said()
    dialogue.hear("error", "exabgp 5.0.15", "done")
    dialogue.said()
    rows = [
        HEADING,
        f"{N1}        65000 3 days, 0:00:05 established           1          1",
        f"{N2}   65000      down idle                 0          0",
        "done",
    ]
    assert dialogue.hear(*rows) == [Neighbor(N1, established=True)]
    assert dialogue.hear(state(N2, "connected")) == []
    assert dialogue.hear(state(N2, "up")) == [Neighbor(N2, established=True)]
    assert dialogue.conversation.established == {N1, N2}
    assert dialogue.hear(state(N1, "down"), state(N1, "down")) == [Neighbor(N1, established=False)]
    assert dialogue.conversation.established == {N2}


def test_rows_that_are_none() -> None:
    dialogue = Dialogue(A)
    ask(dialogue)
    assert dialogue.hear(HEADING, "one two three established 1 1", f"{N1} established", "", "done") == []


def test_a_change_during_a_summary_is_the_truth() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    dialogue.said()
    row = f"{N1}        65000   0:00:05 established           1          1"
    dialogue.hear(HEADING, row, state(N1, "down"), state(N2, "up"), "done")
    assert dialogue.conversation.established == {N2}


def test_a_neighbour_missing_from_the_summary_of_4_2_is_down() -> None:
    dialogue = Dialogue(A)
    dialogue.hear(state(N1, "up"))
    ask(dialogue)
    assert dialogue.hear(HEADING, "done") == [Neighbor(N1, established=False)]


def test_everything_is_said_again_in_other_words_when_a_neighbour_comes_up() -> None:
    dialogue = Dialogue(A, B)
    dialogue.clear()
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("done")
    for spelling in spellings(LADDER.active)[1:]:
        dialogue.hear(state(N1, "up"))
        told = dialogue.said()
        assert announce(route(A), Dialect.V5, spelling) in told
        assert len(told) == 2
        assert any(line.startswith(f"withdraw route {B}/128") for line in told)
        assert set(dialogue.hear("done", "done")) == {Answered(A, route(A)), Answered(B, None)}
        assert dialogue.said() == []


def test_neighbours_that_come_up_while_a_repeat_is_unanswered_get_one_of_their_own() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    dialogue.want(route(A))
    words = announce(route(A), Dialect.V5)
    assert dialogue.said() == [words]
    dialogue.hear(state(N1, "up"), state(N2, "up"))
    assert dialogue.hear("done") == []
    spelt = [announce(route(A), Dialect.V5, one) for one in spellings(LADDER.active)]
    assert dialogue.said() == [spelt[2]]
    dialogue.hear(state(N1, "up"), state(N2, "up"))
    assert dialogue.hear("done") == []
    assert dialogue.said() == [spelt[4]]
    assert dialogue.hear("done") == [Answered(A, route(A))]


def test_a_session_that_only_the_summary_tells_of_is_a_new_one() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    ask(dialogue)
    dialogue.hear(HEADING, f"{N1} 65000 0:00:05 established 1 1", "done")
    assert dialogue.hear("done") == [], "what was said before the session came up does not count"
    assert len(dialogue.said()) == 1


def test_sessions_that_were_up_before_us_are_no_reason_to_repeat() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    assert dialogue.said() == [QUESTION, announce(route(A), Dialect.V4)]
    dialogue.hear(HEADING, f"{N1} 65000 0:00:05 established 1 1", "done", "done")
    assert dialogue.said() == []


def test_a_coming_neighbour_before_anything_is_wanted() -> None:
    dialogue = Dialogue(A)
    dialogue.hear(state(N1, "up"))
    assert dialogue.said() == []


def test_shutdown() -> None:
    assert Dialogue(A).hear(SHUTDOWN) == [Stopping()]


def test_forms_are_bounded() -> None:
    dialogue = Dialogue(A)
    dialogue.clear()
    for med in range(100):
        dialogue.want(Route(A, Attributes(med=med)))
        dialogue.said()
        dialogue.hear("done")
    dialogue.want()
    told = []
    while lines := dialogue.said():
        told += lines
        dialogue.hear("done")
    assert len(told) == FORMS
    assert "med 99" in told[0]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"state"',
        '{"type": "state", "neighbor": "state"}',
        '{"type": "state", "neighbor": {"address": {"peer": 17}, "state": "up"}}',
        '{"type": "state", "neighbor": {"address": {"peer": "here"}, "state": "up"}}',
        '{"type": "state", "neighbor": {"address": {"peer": "\\ud800"}, "state": "up"}}',
        '{"type": "state", "neighbor": {"address": {"peer": "192.0.2.1"}, "state": ["up"]}}',
        '{"state": ' + "[" * 50000,
        '{"state": ' + "9" * 50000 + "}",
        '{"type": ["notification"], "notification": "shutdown"}',
        "\x00",
        "exabgp",
        "Peer",
        "shutdown in progress",
        "ßé\udcff",
    ],
)
def test_lines_without_a_meaning(line: str) -> None:
    dialogue = Dialogue(A)
    dialogue.want(route(A))
    dialogue.said()
    assert dialogue.hear(line) == []
    assert dialogue.hear("done") == [Answered(A, route(A))]


# Bytes


def test_lines() -> None:
    lines = Lines(longest=5)
    assert lines.feed(b"do") == []
    assert lines.feed(b"ne\r\n\nerr") == ["done", ""]
    assert lines.feed(b"or\ntoo long") == ["error"]
    assert lines.feed(b" and longer") == []
    assert lines.feed(b"\n12345\n123456\n\xff\n") == ["12345", "\ufffd"]
    assert lines.dropped == 2


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Lines(longest=20), Lines(longest=20)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    told = [line for start, end in pairwise(places) for line in pieces.feed(data[start:end])]
    assert told == whole.feed(data)
    assert pieces.dropped == whole.dropped
    assert all(len(line) <= 20 for line in told)


VOCABULARY = [
    *("done", "error", HEADING, "exabgp 5.0.15", "exabgp 4", SHUTDOWN, "", "{", "Peer"),
    *(state(neighbor, name) for neighbor in (N1, N2) for name in ("up", "down", "connected")),
    *(f"{neighbor} 65000 0:01 {name} 1 1" for neighbor in (N1, "x") for name in ("established", "idle")),
]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(VOCABULARY).map(lambda line: line.encode() + b"\n") | st.binary(max_size=60), max_size=60),
    st.randoms(use_true_random=False),
)
def test_no_bytes_make_it_raise_or_babble(data: list[bytes], chance: random.Random) -> None:
    dialogue = Dialogue(A, B, C, greeted=chance.random() < 0.8)
    lines = Lines(200)
    for piece in data:
        dialogue.want(*(route(one, chance.choice(list(Level))) for one in (A, B, C) if chance.random() < 0.5))
        dialogue.now += chance.choice([0.0, 0.01, 1.0])
        dialogue.conversation.tick(dialogue.now)
        assert len(dialogue.said()) <= WINDOW + 3
        for line in lines.feed(piece):
            dialogue.hear(line)
    assert LONGEST_LINE > 4096 * 2


# Everything at once, in any order


def spoken(line: str) -> tuple[str, str, list[str]]:
    """Verb, words for the attributes, and prefixes of a command."""
    verb, kind, *rest = line.split()
    if kind == "route":
        return verb, " ".join(rest[1:]), rest[:1]
    assert kind == "attributes"
    middle = rest.index("nlri")
    return verb, " ".join(rest[:middle]), rest[middle + 1 :]


MEANING = {
    spoken(announce(route(A, level), Dialect.V4, spelling))[1]: level
    for level in Level
    for spelling in spellings(LADDER.at(level))
}
"""The words for the attributes → what every router understands."""


class Router:
    """A neighbour, and what ExaBGP's ``rib/outgoing.py`` does for it."""

    def __init__(self) -> None:
        self.up = False
        self.table: dict[str, Level] = {}
        self._last: dict[str, str] = {}
        self._queue: dict[str, dict[str, str]] = {}
        self._seen: dict[str, str] = {}

    def tell(self, verb: str, words: str, prefix: str) -> None:
        if verb == "announce" and self._seen.get(prefix) == words:
            return
        if verb == "withdraw" and prefix in self._last:
            self._queue[self._last[prefix]].pop(prefix, None)
        self._queue.setdefault(words, {})[prefix] = verb
        self._last[prefix] = words
        if verb == "announce":
            self._seen[prefix] = words
        else:
            self._seen.pop(prefix, None)

    def send(self) -> None:
        if not self.up:
            return
        for words, changes in self._queue.items():
            for prefix, verb in changes.items():
                if verb == "announce":
                    self.table[prefix] = MEANING[words]
                else:
                    self.table.pop(prefix, None)
        self._queue, self._last = {}, {}

    def flip(self) -> None:
        self.up = not self.up
        if not self.up:
            self.table = {}
            return
        for prefix, words in self._seen.items():
            self._queue.setdefault(words, {})[prefix] = "announce"
            self._last[prefix] = words


class Model:
    """ExaBGP: its API, and a queue for each neighbour."""

    def __init__(self, honest: bool) -> None:
        self.honest = honest
        self.pipe: deque[str] = deque()
        self.queue: deque[str] = deque()
        self.neighbors = {N1: Router(), N2: Router()}
        self.out: deque[str] = deque()
        self.commands = 0

    def write(self, lines: list[str]) -> None:
        self.pipe.extend(lines)
        waiting = [
            prefix
            for line in (*self.pipe, *self.queue)
            if line.split()[0] in ("announce", "withdraw")
            for prefix in spoken(line)[2]
        ]
        assert len(waiting) == len(set(waiting)) or not self.honest, "two commands for one prefix"
        assert len(self.pipe) < 1000

    def read(self, most: int) -> None:
        """One turn of ExaBGP's loop begins: reads what is there; some things are answered at once."""
        for _ in range(min(most, len(self.pipe))):
            line = self.pipe.popleft()
            if line == VERSION:
                self.out += ["exabgp 4.2.25", "done"]
            elif line == RESET:
                self.queue.clear()
            elif line == QUESTION or line.split()[0] in ("announce", "withdraw"):
                self.queue.append(line)
            else:
                self.out.append("error")

    def run(self, most: int, fate: str) -> None:
        """Carries out what was read. ``fate``: what becomes of each command."""
        for _ in range(min(most, len(self.queue))):
            line = self.queue.popleft()
            if line == QUESTION:
                self.out.append(HEADING)
                self.out += [f"{one} 65000 0:00:05 established 1 1" for one, it in self.neighbors.items() if it.up]
                self.out.append("done")
                continue
            self.commands += 1
            verb, words, prefixes = spoken(line)
            if fate not in ("error", "lost"):
                for router in self.neighbors.values():
                    for prefix in prefixes:
                        router.tell(verb, words, prefix)
            if fate in ("done", "error"):
                self.out.append(fate)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: once it ends, what was wanted last is what ExaBGP has and has confirmed."""

    honest = True
    """whether ExaBGP says only what it was asked, as all versions do"""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.conversation = Conversation(forms(A, B, C))
        self.model = Model(self.honest)
        self.wanted: dict[Address, Route] = {}
        self.confirmed: dict[Address, Route | None] = {}
        self.begun = False
        self.turn()

    def turn(self) -> None:
        """What the descriptors' side does after every event."""
        while lines := self.conversation.transmit(self.now):
            self.model.write(lines)

    def note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Answered):
                assert event.route == self.wanted.get(event.address), "wanted no more"
                self.confirmed[event.address] = event.route

    @rule(choice=st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(Level)))
    def want(self, choice: dict[Address, Level]) -> None:
        self.wanted = {address: route(address, level) for address, level in choice.items()}
        self.conversation.set(self.wanted.values())
        self.begun = True
        self.turn()

    @rule(most=st.integers(1, 5))
    def reads(self, most: int) -> None:
        self.model.read(most)

    @rule(most=st.integers(1, 5), fate=st.sampled_from(["done", "done", "done", "error", "lost", "done unsaid"]))
    def runs(self, most: int, fate: str) -> None:
        self.model.run(most, fate)

    @rule(most=st.integers(1, 8))
    def hears(self, most: int) -> None:
        for _ in range(min(most, len(self.model.out))):
            self.note(self.conversation.feed(self.model.out.popleft(), self.now))
            self.turn()

    @rule(neighbor=st.sampled_from([N1, N2]))
    def flips(self, neighbor: Address) -> None:
        self.model.neighbors[neighbor].flip()
        self.model.out.append(state(neighbor, "up" if self.model.neighbors[neighbor].up else "down"))

    @rule(neighbor=st.sampled_from([N1, N2]))
    def sends(self, neighbor: Address) -> None:
        self.model.neighbors[neighbor].send()

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 5.0, 60.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.conversation.deadline
        if deadline is not None and deadline <= self.now:
            self.note(self.conversation.tick(self.now))
            self.turn()

    @invariant()
    def a_tick_before_the_deadline_does_nothing(self) -> None:
        deadline = self.conversation.deadline
        if deadline is None or self.now < deadline:
            assert self.conversation.tick(self.now) == []
            assert self.conversation.transmit(self.now) == []
            assert self.conversation.deadline == deadline

    def heal(self) -> None:
        """ExaBGP behaves from now on."""
        for _ in range(500):
            self.model.read(100)
            self.model.run(100, "done")
            self.hears(1000)
            if not (self.model.pipe or self.model.queue or self.model.out):
                for router in self.model.neighbors.values():
                    router.send()
                if self.conversation.resting:
                    return
                deadline = self.conversation.deadline
                assert deadline is not None
                self.now = max(self.now, deadline)
                self.note(self.conversation.tick(self.now))
                self.turn()
        raise AssertionError("never ends")

    def teardown(self) -> None:
        self.heal()
        if not self.begun:
            assert self.model.commands == 0
            return
        assert self.conversation.settled
        wanted = {f"{one.prefix}": one for one in self.wanted.values()}
        for router in self.model.neighbors.values():
            if router.up:
                assert {prefix: LADDER.at(level) for prefix, level in router.table.items()} == {
                    prefix: one.attributes for prefix, one in wanted.items()
                }
        assert self.confirmed == {address: self.wanted.get(address) for address in (A, B, C)}
        assert self.conversation.established == {one for one, it in self.model.neighbors.items() if it.up}


class AnyAnswer(AnyOrder):
    """The same with answers that nobody asked for: what is confirmed may be wrong for a while, but not for ever."""

    honest = False

    @rule(answer=st.sampled_from(["done", "error", HEADING]))
    def says_what_nobody_asked(self, answer: str) -> None:
        self.model.out.append(answer)


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
AnyAnswer.TestCase.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase
TestAnyAnswer = AnyAnswer.TestCase


def test_the_order_in_a_queue_is_that_of_the_wishes() -> None:
    """A session that comes up gets the last wish even from what was queued before anybody noticed."""
    dialogue, router = Dialogue(A), Router()
    dialogue.clear()
    for level in (Level.ACTIVE, Level.LEAVING, Level.ACTIVE, Level.STANDBY, Level.LEAVING, Level.ACTIVE):
        dialogue.want(route(A, level))
        for line in dialogue.said():
            verb, words, prefixes = spoken(line)
            router.tell(verb, words, prefixes[0])
            dialogue.hear("done")
    router.flip()
    router.send()
    assert router.table == {route(A).prefix: Level.ACTIVE}
