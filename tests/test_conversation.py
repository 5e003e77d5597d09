"""The client of ExaBGP's API, with a model of ExaBGP at the other end.

``Model`` does what ExaBGP was seen to do (``tests/system/test_exabgp.py`` proves it of the real one): ``version`` and
what it does not understand are answered as soon as they are read, everything else in order and later; a summary has a
heading. On demand it stops, loses an answer, says ``error``, or lets a neighbor come and go.
"""

import json
import random
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exavrrp.neighbors import Session, Terms
from exavrrp.pump import Lines
from exavrrp.routes import Attributes, Level, Network, Route
from exavrrp.speaker import (
    Anomaly,
    Answered,
    Configured,
    Conversation,
    Doubted,
    Event,
    Greeted,
    Kept,
    Listed,
    Neighbor,
    Reconfigured,
    Refused,
    Resumed,
    Silent,
    Stalled,
    Stopping,
)
from exavrrp.speaker.channel import ANSWER_LIMIT, PULSE, WINDOW, Probe
from exavrrp.speaker.conversation import MOST_ROUTES, ROUTE_COST
from exavrrp.speaker.dialects import OLD_V6, V4, V5, V6, Detail, Dialect
from exavrrp.speaker.neighbors import Neighbors
from exavrrp.speaker.prefix import FORMS, Kind
from exavrrp.speaker.prefixes import BACKOFF, BATCH, Prefixes
from exavrrp.speaker.variants import BRIEF, EXPLICIT, QUEUED, REMEMBERED, SENT, VARIANTS, Rotation, Variant, variants
from exavrrp.takeover import RoutePolicy, Takeover

Address = IPv4Address | IPv6Address

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
POLICY = RoutePolicy.derived(Attributes(med=50))
A, B, C = (ip_network(text) for text in ("2001:db8:53::1", "2001:db8:53::2", "192.0.2.53"))
N1, N2 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
S1, S2 = Session(N1, ip_address("192.0.2.2")), Session(N2, ip_address("2001:db8::2"))
T1 = Session(N1, ip_address("192.0.2.130"))
"""another session to the same neighbor"""


def examples(most: int) -> int:
    """So many examples; in a quick run, scaled down as for all tests."""
    return most * min(settings().max_examples, 100) // 100


def route(network: Network, level: Level = Level.ACTIVE) -> Route:
    return Route(network, POLICY.at(level))


def forms(*networks: Network) -> list[Route]:
    return [one for network in networks for one in POLICY.routes(network)]


def state(session: Session, name: str) -> str:
    """The event of a session's state, as 5.0.15 writes it."""
    return (
        '{ "exabgp": "5.0.0", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "counter": 1, "type": "state", '
        f'"neighbor": {{ "address": {{ "local": "{session.local}", "peer": "{session.peer}" }}, '
        f'"asn": {{ "local": 65010, "peer": 65000 }}, "router-id": "1.1.1.1" , "state": "{name}" }} }}'
    )


SHUTDOWN = (
    '{ "exabgp": "4.0.1", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "type": "notification", '
    '"notification": "shutdown" }'
)


def extensive(*sessions: Session, down: Sequence[Session] = ()) -> list[str]:
    """The answer to the detailed poll of sessions, in the form that 4.2 and 5.0 share."""
    told: list[str] = []
    for one in (*sessions, *down):
        name = "IDLE" if one in down else "ESTABLISHED"
        told += [
            f"Neighbor {one.peer}",
            "",
            "   Session                       Local",
            f"   local                {one.local!s:>15}                                ",
            f"   state                {name:>15}                                ",
            "   up for                       0:00:05                                ",
            "",
        ]
    return [*told, "done"]


def setup(session: Session, local: object, peer: object, hold: object = 180) -> list[str]:
    """The lines of one session that is up in the answer to the detailed poll, with its AS numbers."""
    return [
        *extensive(session)[:-1],
        f"   AS                   {local:>15} {peer:>15}                ",
        f"   hold-time                        180 {hold:>15}                ",
    ]


def summary(*sessions: Session) -> list[str]:
    return [HEADING, *(f"{one.peer} 65000 0:00:05 established 1 1" for one in sessions), "done"]


def talking(ours: Iterable[Route], pulse: float | None = PULSE) -> Conversation:
    """A conversation of these prefixes."""
    made = Conversation(pulse)
    made.own(ours)
    return made


class Dialogue:
    """A conversation and its clock; the test supplies the answers. Heartbeats only where a test is about them."""

    def __init__(
        self, *networks: Network, greeted: bool = True, pulse: float | None = None, version: str = "5.0.15"
    ) -> None:
        self.now = 100.0
        self.conversation = talking(forms(*networks or (A, B)), pulse)
        self.configured: list[Configured] = []
        if greeted:
            assert self.said() == [V5.THROWAWAY, V5.RESET, V5.VERSION]
            assert self.hear("error", f"exabgp {version}", "done") == [Greeted(version, known=True)]
            if pulse is not None:
                assert self.said() == [V5.CONFIGURATION, V5.PROBE]
                self.hear("done")
                assert self.said() == [V5.DETAIL]
                assert self.hear(HEADING, "done", "done") == [], "no session at all"
            else:
                assert self.said() == [V5.PROBE]
                assert self.hear(HEADING, "done") == []

    def want(self, *routes: Route) -> None:
        self.conversation.set(routes)

    def said(self) -> list[str]:
        return self.conversation.transmit(self.now)

    def hear(self, *lines: str) -> list[Event]:
        """Feed these lines; the resulting events but ``Configured``, which concerns few tests."""
        events = [event for line in lines for event in self.conversation.feed(line, self.now)]
        self.configured += [event for event in events if isinstance(event, Configured)]
        return [event for event in events if not isinstance(event, Configured)]

    def wait(self) -> list[Event]:
        """Let time pass until the deadline."""
        deadline = self.conversation.deadline
        assert deadline is not None
        assert deadline >= self.now
        self.now = deadline
        return self.conversation.tick(self.now)

    def clear(self) -> None:
        """As some time after the start: all prefixes are withdrawn, in all forms; ExaBGP has confirmed and sent it."""
        self.want()
        up = self.conversation.established
        while lines := self.said():
            self.hear(*(answer for line in lines for answer in (summary(*up) if line == V5.PROBE else ["done"])))
        assert self.conversation.settled
        self.now += SENT
        assert self.said() == []


def settle(dialogue: Dialogue) -> list[str]:
    """Answer every command with ``done`` until none is left; the commands."""
    told: list[str] = []
    while lines := dialogue.said():
        told += lines
        dialogue.hear(*(answer for line in lines for answer in ((HEADING, "done") if line == V5.PROBE else ("done",))))
    return told


def given_withdrawn(*networks: Network, **options: Any) -> Dialogue:
    """ExaBGP has carried out the withdraws of the start; no route is desired. ``options`` as of ``Dialogue``."""
    dialogue = Dialogue(*networks, **options)
    dialogue.clear()
    return dialogue


def given_desired(*networks: Network, beside: Sequence[Network] = ()) -> Dialogue:
    """Routes to these networks are desired, and no command has been sent yet; those ``beside`` are withdrawn."""
    dialogue = given_withdrawn(*networks, *beside)
    dialogue.want(*map(route, networks))
    return dialogue


def given_announced(*networks: Network, beside: Sequence[Network] = ()) -> Dialogue:
    """ExaBGP has announced and confirmed routes to these networks; those ``beside`` are withdrawn."""
    dialogue = given_desired(*networks, beside=beside)
    settle(dialogue)
    return dialogue


def test_the_start_withdraws_every_form_that_a_predecessor_may_have_used() -> None:
    dialogue = Dialogue(A)
    dialogue.want()
    told: list[str] = []
    while lines := dialogue.said():
        assert len(lines) == 1
        told += lines
        events = dialogue.hear("done")
    withdraws = [f"withdraw{V5.announce(one)[8:]}" for one in forms(A)]
    assert told == [line for words in withdraws for line in (words, f"{words} origin igp")]
    assert events == [Answered(A, None)]
    assert dialogue.conversation.settled
    assert dialogue.conversation.deadline is None


def test_nothing_is_sent_before_there_is_a_desired_set() -> None:
    dialogue = Dialogue()
    assert dialogue.said() == []
    assert dialogue.conversation.deadline is None
    assert not dialogue.conversation.settled


def test_only_changes_are_sent() -> None:
    dialogue = Dialogue(A, B)
    dialogue.conversation.change({A: route(A)})
    assert dialogue.said() == [], "nothing before the first wish for all"
    dialogue.clear()
    dialogue.want(route(A))
    assert dialogue.conversation.wanted == {A: route(A)}
    dialogue.said()
    dialogue.hear("done")
    dialogue.conversation.change({B: route(B)})
    dialogue.conversation.change({B: route(B)})
    (told,) = dialogue.said()
    assert f"{B}" in told
    assert dialogue.hear("done") == [Answered(B, route(B))]
    dialogue.conversation.change({A: None})
    (told,) = dialogue.said()
    assert told.startswith(f"withdraw route {A}")
    with pytest.raises(KeyError):
        dialogue.conversation.change({ip_network("2001:db8::ff"): None})


def test_changes_of_other_prefixes_do_not_touch_a_prefix_that_stays() -> None:
    dialogue = given_announced(A)
    dialogue.conversation.own(forms(A, B))
    assert not dialogue.conversation.has_carried_out([A, B])
    told = settle(dialogue)
    assert told
    assert all(line.startswith(f"withdraw route {B}") for line in told), "as at the start"
    assert dialogue.conversation.settled
    dialogue.conversation.own(forms(A, B))
    assert settle(dialogue) == [], "the same set again"
    dialogue.conversation.change({B: route(B)})
    (told_b,) = settle(dialogue)
    assert told_b.startswith(f"announce route {B}")
    dialogue.conversation.own(forms(A))
    events: list[Event] = []
    while lines := dialogue.said():
        assert all(line.startswith(f"withdraw route {B}") for line in lines)
        assert not dialogue.conversation.has_carried_out([B])
        events += dialogue.hear(*["done"] * len(lines))
    assert events == [Answered(B, None)]
    assert dialogue.conversation.has_carried_out([A, B])
    assert dialogue.conversation.wanted == {A: route(A)}
    with pytest.raises(KeyError):
        dialogue.conversation.change({B: route(B)})
    with pytest.raises(KeyError):
        dialogue.conversation.set([route(A), route(B)])
    dialogue.want(route(A))
    assert settle(dialogue) == []


def test_before_there_is_a_desired_set_our_prefixes_may_change_freely() -> None:
    dialogue = Dialogue(A)
    to_one = Route(B, Attributes(neighbors=(Session(N1),)))
    dialogue.conversation.own([*forms(A, B)])
    dialogue.conversation.own([to_one])
    assert settle(dialogue) == []
    dialogue.want()
    told = settle(dialogue)
    assert told
    assert all(str(N1) in line and str(B) in line for line in told), "nothing of the sets before"


def test_other_attributes_need_no_withdraw_and_the_last_withdraw_names_them_all() -> None:
    dialogue = given_announced(A)
    other = Route(A, Attributes(med=777))
    dialogue.conversation.own([other])
    assert settle(dialogue) == [], "the one before stays announced until another is desired"
    dialogue.want(other)
    (told,) = settle(dialogue)
    assert told.startswith(f"announce route {A}")
    assert "777" in told
    dialogue.conversation.own([])
    told_last = settle(dialogue)
    assert all(line.startswith("withdraw") for line in told_last)
    assert ["777" in line for line in told_last] == [True, False, False], "and what it was announced with before"


def test_neighbors_that_new_forms_do_not_name_are_withdrawn_from() -> None:
    dialogue = Dialogue(A)
    named = [Route(A, Attributes(neighbors=(Session(one),))) for one in (N1, N2)]
    dialogue.conversation.own([named[0]])
    dialogue.clear()
    dialogue.want(named[0])
    settle(dialogue)
    dialogue.conversation.own([named[1]])
    assert settle(dialogue) == []
    dialogue.want(named[1])
    announce, *withdraws = settle(dialogue)
    assert "announce" in announce
    assert str(N2) in announce
    assert withdraws
    assert all("withdraw" in line and str(N1) in line for line in withdraws)


def test_a_single_session_is_named_once_no_form_names_its_neighbor() -> None:
    dialogue = Dialogue(A)
    every, other, one = (Route(A, Attributes(neighbors=(named,))) for named in (Session(N1), Session(N2), S1))
    dialogue.conversation.own([every])
    dialogue.clear()
    for named in (every, other):
        dialogue.conversation.own([named])
        dialogue.want(named)
        settle(dialogue)
    dialogue.conversation.own([one])
    dialogue.want(one)
    assert settle(dialogue)[0].startswith(f"neighbor {S1.peer} local-ip {S1.local} announce")


def test_forms_that_cannot_follow_the_ones_before_change_nothing() -> None:
    dialogue = given_announced(A, B)
    some = Route(A, Attributes(neighbors=(Session(N1),)))
    with pytest.raises(ValueError, match=str(A)):
        dialogue.conversation.own([*forms(C), some])
    assert settle(dialogue) == []
    assert dialogue.conversation.wanted == {A: route(A), B: route(B)}
    with pytest.raises(KeyError):
        dialogue.conversation.change({C: route(C)})
    dialogue.want(route(B))
    settle(dialogue)
    with pytest.raises(ValueError, match=str(A)):
        dialogue.conversation.own([some, *forms(B)])  # withdrawn, but ours still: nobody has agreed to that
    dialogue.conversation.own(forms(B))
    assert settle(dialogue) == []
    dialogue.conversation.own([some, *forms(B)])
    assert not dialogue.conversation.has_carried_out([A])
    settle(dialogue)
    dialogue.want(some, route(B))
    (told,) = settle(dialogue)
    assert str(N1) in told


def test_next_hops_for_other_neighbors_have_to_wait_for_a_withdraw() -> None:
    both = (Session(N1), Session(N2))
    same = Route(A, Attributes(neighbors=both))
    apart = Route(A, Attributes(neighbors=both, next_hops=((both[0], "2001:db8::9"),)))
    dialogue = given_withdrawn(B)
    dialogue.conversation.own([same])
    dialogue.want(same)
    settle(dialogue)
    with pytest.raises(ValueError, match=f"{A} is to have next hops for other neighbors than before"):
        dialogue.conversation.own([apart])
    with pytest.raises(ValueError, match=f"{A} is to have next hops for other neighbors than before"):
        dialogue.conversation.own([same, apart])
    dialogue.conversation.own([])
    settle(dialogue)
    dialogue.conversation.own([apart])
    dialogue.want(apart)
    told = [line for line in settle(dialogue) if "announce" in line]
    assert len(told) == 2, "one for each"


def test_another_form_has_to_wait_for_the_withdraw_of_the_last() -> None:
    dialogue = given_announced(A)
    some = Route(A, Attributes(neighbors=(Session(N1),)))
    dialogue.conversation.own([])
    with pytest.raises(ValueError, match="to all neighbors in one form and to some in another"):
        dialogue.conversation.own([some])
    dialogue.said()
    with pytest.raises(ValueError, match="to all neighbors in one form and to some in another"):
        dialogue.conversation.own([some])
    dialogue.hear("done")
    settle(dialogue)
    dialogue.conversation.own([some])
    told = settle(dialogue)
    assert told
    assert all(line.startswith(f"neighbor {N1}") or str(N1) in line for line in told)


def test_a_prefix_that_returns_before_it_is_forgotten_keeps_its_state() -> None:
    dialogue = given_announced(A)
    dialogue.conversation.own([])
    dialogue.said()
    dialogue.conversation.own(forms(A))
    dialogue.want(route(A))
    dialogue.hear("done")
    (told,) = settle(dialogue)
    assert told.startswith(f"announce route {A}")
    assert dialogue.conversation.settled


def test_a_removed_prefix_is_forgotten_when_it_is_in_no_queue() -> None:
    dialogue = given_announced(A, B)
    dialogue.conversation.own(forms(B))
    settle(dialogue)

    def again() -> list[str]:
        """The commands that are sent when a session comes up."""
        dialogue.hear(state(Session(N1, N2), "up"))
        return [line for line in settle(dialogue) if str(A) in line]

    assert len(again()) == 1, "it may have missed the withdraw"
    dialogue.now += QUEUED - 1
    assert len(again()) == 1
    dialogue.now += 1
    again()
    dialogue.now += 1
    assert again() == []
    assert dialogue.conversation.has_carried_out([A, B])
    with pytest.raises(KeyError):
        dialogue.conversation.change({A: None})


def test_a_withdraw_that_may_have_missed_a_neighbor_is_not_forgotten() -> None:
    dialogue = given_announced(A, beside=[B])
    dialogue.conversation.own(forms(B))
    (withdraw,) = dialogue.said()
    dialogue.now += 2 * QUEUED
    dialogue.hear("error")
    while not (told := [line for line in settle(dialogue) if str(A) in line]):
        dialogue.wait()
    assert withdraw in told, "tried again"


def test_equal_changes_between_two_writes_are_one_command() -> None:
    """However many virtual routers change, each on its own."""
    dialogue = given_withdrawn(A, B)
    for _ in range(3):
        for network in (A, B):
            dialogue.conversation.change({network: route(network)})
        (told,) = dialogue.said()
        assert told.startswith("announce attributes next-hop self med 50 ")
        assert told.endswith(f" nlri {A} {B}")
        assert set(dialogue.hear("done")) == {Answered(A, route(A)), Answered(B, route(B))}
        for network in (A, B):
            dialogue.conversation.change({network: None})
        (told,) = dialogue.said()
        assert told.startswith("withdraw attributes")
        dialogue.hear("done")


def test_a_desired_route_is_sent_once() -> None:
    dialogue = given_desired(A)
    assert dialogue.said() == [V5.announce(route(A))]
    dialogue.want(route(A))
    assert dialogue.said() == []
    assert dialogue.hear("done") == [Answered(A, route(A))]
    dialogue.want(route(A))
    assert dialogue.said() == []
    assert dialogue.conversation.deadline is None


def test_the_last_desired_route_replaces_the_waiting_one() -> None:
    dialogue = given_desired(A)
    assert len(dialogue.said()) == 1
    for wish in ([], [route(A, Level.LEAVING)], [], [route(A, Level.LEAVING)]):
        dialogue.want(*wish)
        assert dialogue.said() == []
    assert dialogue.hear("done") == []
    assert dialogue.said() == [V5.announce(route(A, Level.LEAVING), EXPLICIT)], "the second of these wishes"
    assert dialogue.hear("done") == [Answered(A, route(A, Level.LEAVING))]


def test_a_change_and_its_reversal_while_unanswered_are_sent_again() -> None:
    """ExaBGP may answer the first before it has read the second: only the last answer counts."""
    dialogue = given_desired(A)
    dialogue.said()
    dialogue.want()
    dialogue.want(route(A))
    assert dialogue.hear("done") == []
    assert dialogue.said() == [V5.announce(route(A))], "in the same words, for which ExaBGP sends nothing"
    assert dialogue.hear("done") == [Answered(A, route(A))]


def test_a_withdraw_is_sent_in_every_form_since_the_last_withdraw() -> None:
    dialogue = given_withdrawn(A)
    for level in (Level.ACTIVE, Level.LEAVING):
        dialogue.want(route(A, level))
        dialogue.said()
        dialogue.hear("done")
    dialogue.want()
    told = []
    while lines := dialogue.said():
        told += lines
        events = dialogue.hear("done")
    leaving = V5.announce(route(A, Level.LEAVING))
    assert told[0] == f"withdraw{leaving[8:]}", "the one that takes effect at the neighbors comes first"
    assert f"withdraw{V5.announce(route(A))[8:]}" in told
    assert events == [Answered(A, None)]


def test_different_addresses_do_not_wait_for_each_other() -> None:
    dialogue = given_withdrawn(A, B, C)
    dialogue.want(route(A), route(B, Level.LEAVING), route(C))
    assert len(dialogue.said()) == 3
    assert dialogue.hear("done", "error", "done") == [
        Answered(A, route(A)),
        Refused(B, V5.announce(route(B, Level.LEAVING)), 1),
        Answered(C, route(C)),
    ]


def test_equal_routes_go_out_in_one_line() -> None:
    dialogue = given_desired(A, B, C)
    together, alone = dialogue.said()
    assert together == V5.announce(route(A), also=[route(B)])
    assert alone == V5.announce(route(C)), "of another family"
    assert dialogue.hear("done") == [Answered(A, route(A)), Answered(B, route(B))]
    assert dialogue.hear("done") == [Answered(C, route(C))]
    dialogue.want()
    assert dialogue.said()[0] == V5.withdraw(route(A), also=[route(B)])


def test_a_refusal_of_many_is_that_of_one_of_them() -> None:
    dialogue = given_desired(A, B)
    assert len(dialogue.said()) == 1
    assert dialogue.hear("error") == []
    lines = [V5.announce(one) for one in (route(A), route(B))]
    assert dialogue.said() == [V5.PROBE, lines[0], V5.PROBE, lines[1], V5.PROBE]
    events = dialogue.hear(HEADING, "done", "error", HEADING, "done", "done", HEADING, "done")
    assert events == [Refused(A, lines[0], 1), Answered(B, route(B))]


def test_an_answer_that_may_belong_to_another_command_is_verified_behind_a_probe() -> None:
    dialogue = given_withdrawn(A, B)
    dialogue.want(route(A), route(B, Level.LEAVING))
    dialogue.said()
    dialogue.hear("error", "done")
    assert dialogue.said() == [V5.PROBE]
    dialogue.hear(HEADING, "done")
    dialogue.want(route(A), route(B))
    dialogue.wait()
    assert dialogue.said() == [V5.announce(route(B), EXPLICIT), V5.PROBE, V5.announce(route(A)), V5.PROBE]


def test_an_unanswered_command_for_many_is_reported_for_each() -> None:
    dialogue = given_desired(A, B)
    (line,) = dialogue.said()
    assert dialogue.wait() == [Silent(A, line, 0), Silent(B, line, 0)]


def test_what_waits_for_room_goes_out_in_whole_commands() -> None:
    """However small those are that are answered."""
    many = [IPv6Network(f"2001:db8:53::{number:x}") for number in range(1, WINDOW + BATCH + 11)]
    dialogue = Dialogue(*many)
    dialogue.want()
    while lines := dialogue.said():
        dialogue.hear(*["done"] * len(lines))
    sizes: list[int] = []
    for begin in range(0, len(many), 10):
        dialogue.want(*map(route, many[: begin + 10]))
        sizes += [len(spoken(line)[2]) for line in dialogue.said()]
    assert sizes == [10] * (WINDOW // 10)
    for _ in range(4):
        dialogue.hear("done")
        assert dialogue.said() == []
    dialogue.hear("done")
    assert sum(len(spoken(line)[2]) for line in dialogue.said()) == BATCH
    dialogue.hear("done")
    assert sum(len(spoken(line)[2]) for line in dialogue.said()) == 10, "all that is left"


def test_window() -> None:
    many = [IPv6Network(f"2001:db8:53::{number:x}") for number in range(1, 2 * WINDOW + 51)]
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


def test_the_probes_of_fenced_commands_take_room_too() -> None:
    many = [IPv6Network(f"2001:db8:53::{number:x}") for number in range(1, WINDOW + 1)]
    dialogue = given_desired(*many)
    dialogue.hear(*["error"] * len(dialogue.said()))
    told = dialogue.said()
    assert {told[0], *told[2::2]} == {V5.PROBE}, "each is sent by itself"
    assert WINDOW - 2 <= len(told) <= WINDOW
    for line in told:
        dialogue.hear(*((HEADING, "done") if line == V5.PROBE else ("done",)))
    settle(dialogue)
    assert dialogue.conversation.settled


def test_not_ours() -> None:
    dialogue = Dialogue(A)
    with pytest.raises(KeyError):
        dialogue.want(route(B))


def test_all_neighbors_and_some_do_not_mix() -> None:
    some = Route(A, Attributes(neighbors=(S1,)))
    with pytest.raises(ValueError, match="all neighbors"):
        talking([route(A), some])
    dialogue = Dialogue(A)
    with pytest.raises(ValueError, match="all neighbors"):
        dialogue.want(some)
    with pytest.raises(ValueError, match=r"all sessions to 192\.0\.2\.1, and over one of them"):
        talking([some, Route(A, Attributes(neighbors=(Session(N1),)))])


def test_other_neighbors_in_another_form() -> None:
    """First announced to the new neighbors, then withdrawn from the others in every form that they may have."""
    both = Route(A, Attributes(med=1, neighbors=(T1, S2)))
    one = Route(A, Attributes(med=2, neighbors=(T1,)))
    other = Route(A, Attributes(med=2, neighbors=(S2,)))
    conversation = talking([both, one], pulse=None)
    conversation.transmit(0)
    for line in ("exabgp 5.0.15", "done"):
        conversation.feed(line, 0)
    conversation.transmit(0)
    for line in (HEADING, "done"):
        conversation.feed(line, 0)

    def carry_out(now: float = SENT) -> list[str]:
        told = []
        while lines := conversation.transmit(now):
            told += lines
            for _ in lines:
                events[:] = conversation.feed("done", now)
        return told

    events: list[Event] = []
    conversation.set([])
    carry_out(0)
    assert carry_out() == [], "and what it withdrew has been sent"
    conversation.set([both])
    assert carry_out() == [V5.announce(both)]
    conversation.set([one])
    gone = Route(A, replace(both.attributes, neighbors=(S2,)))
    assert carry_out() == [V5.announce(one), V5.withdraw(gone)]
    assert events == [Answered(A, one)]
    conversation.set([other])
    told = carry_out()
    assert told[0] == V5.announce(other, EXPLICIT), "ExaBGP's queues know nothing of neighbors"
    assert all(line.startswith(f"neighbor {N1} local-ip {T1.local} withdraw route") for line in told[1:])
    assert {"med 1", "med 2"} <= {line.partition("self ")[2] for line in told[1:]}
    conversation.feed(state(S1, "up"), SENT)
    told = carry_out()
    assert told[0].startswith(f"neighbor {N2} local-ip {S2.local} announce")
    assert told[1].startswith(f"neighbor {N1} local-ip {T1.local} withdraw"), (
        "what it was told before it came up does not count"
    )
    conversation.set([])
    assert all(" withdraw " in line for line in carry_out())
    assert events == [Answered(A, None)]


def test_next_hops_of_their_own_go_in_lanes() -> None:
    """One command for each set of neighbors, one event for the prefix; no lane waits for another."""
    own = ((S1, "192.0.2.2"), (T1, "192.0.2.130"))
    policy = RoutePolicy.derived(Attributes(med=1, neighbors=(S1, T1, S2), next_hops=own))
    dialogue = Dialogue(A)
    dialogue.conversation = talking(policy.routes(C), None)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.said()
    dialogue.hear(HEADING, "done")
    active, leaving = Route(C, policy.active), Route(C, policy.leaving)
    lines = [[V5.announce(Route(C, part)) for part in one.attributes.parts()] for one in (active, leaving)]
    assert [len(one) for one in lines] == [3, 3]
    dialogue.want(active)
    assert dialogue.said() == lines[0]
    assert dialogue.hear("done", "done") == []
    assert not dialogue.conversation.settled
    assert dialogue.hear("done") == [Answered(C, active)]
    dialogue.want(leaving)
    dialogue.said()
    assert dialogue.hear("done", "error") == [Refused(C, lines[1][1], 1)]
    assert dialogue.hear("done") == []
    assert not dialogue.conversation.has_carried_out([C])
    dialogue.want()
    while said := dialogue.said():
        assert all(line.startswith("neighbor ") and " withdraw " in line for line in said if line != V5.PROBE)
        answers = [[HEADING, "done"] if line == V5.PROBE else ["done"] for line in said]
        events = dialogue.hear(*(one for answer in answers for one in answer))
    assert events[-1] == Answered(C, None)
    with pytest.raises(ValueError, match="is to have next hops for other neighbors than before"):
        dialogue.want(Route(C, replace(policy.active, next_hops=own[:1])))


PREPENDED = RoutePolicy.derived(Attributes(med=1, prepend=1))
LONG = "as-path [65010 65010]"


def replied(dialogue: Dialogue, lines: Iterable[str], detail: Sequence[str] | None) -> list[str]:
    """Answer these, the poll for both ends with ``detail`` (None: ``error``); the commands among them."""
    told: list[str] = []
    for line in lines:
        match line:
            case V5.PROBE:
                dialogue.hear(*summary(*dialogue.conversation.established))
            case V5.DETAIL:
                dialogue.hear(*(["error"] if detail is None else [*detail, "done"]))
            case V5.CONFIGURATION | V5.ROUTES:
                dialogue.hear("done")
            case _:
                told.append(line)
                dialogue.hear("done")
    return told


def carried_out(dialogue: Dialogue, detail: Sequence[str] | None) -> list[str]:
    """As ``replied``, until nothing more is said."""
    told: list[str] = []
    while lines := dialogue.said():
        told += replied(dialogue, lines, detail)
    return told


def given_numbered() -> Dialogue:
    """A conversation about ``A``, whose path needs our AS number."""
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.conversation = talking(PREPENDED.routes(A))
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.want(Route(A, PREPENDED.active))
    return dialogue


def test_neighbors_and_next_hops_may_be_written_in_another_order() -> None:
    next_hops = ((S1, "2001:db8::11"), (S2, "2001:db8::12"), (T1, "2001:db8::11"))
    dialogue = Dialogue(A)
    for written in (next_hops, (next_hops[1], next_hops[2], next_hops[0])):
        neighbors = tuple(session for session, _ in written)
        policy = RoutePolicy.derived(Attributes(med=50, neighbors=neighbors, next_hops=written))
        dialogue.conversation.own(policy.routes(A))
        if written is next_hops:
            dialogue.clear()
        dialogue.want(Route(A, policy.active))
        assert not any("withdraw" in line for line in settle(dialogue))
        assert dialogue.conversation.settled


def test_an_active_has_lanes_for_neighbors_that_hear_of_it_alone() -> None:
    """Where the other states leave out a neighbor of another kind, and the MED of an Active is a time."""
    active = Attributes(prepend=1, neighbors=(S1, S2))
    rest = replace(active, neighbors=(S2,), med=9)
    policy = RoutePolicy(active, rest, rest, frozenset({Takeover.MED}))
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.conversation = talking(policy.routes(A))
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.want()
    mixed = [*setup(S1, 65010, 65000), *setup(S2, 65010, 65010)]
    carried_out(dialogue, mixed)
    dialogue.want(Route(A, policy.at(Level.ACTIVE)))
    told = [line for line in carried_out(dialogue, mixed) if " announce " in line]
    assert {line.split()[1] for line in told} == {str(N1), str(N2)}


def test_a_path_waits_until_our_own_number_is_known() -> None:
    dialogue = given_numbered()
    assert dialogue.said() == [V5.CONFIGURATION, V5.PROBE]
    dialogue.hear("done", HEADING, "done")
    assert dialogue.said() == [V5.DETAIL]
    assert not dialogue.conversation.settled
    dialogue.hear(*setup(S1, 65010, 65000), "done")
    (line, *_) = dialogue.said()
    assert line.startswith("announce route")
    assert line.endswith(LONG)


def test_a_session_that_comes_up_does_not_end_the_wait_for_our_own_number() -> None:
    """ExaBGP has not said yet which others there are, and what their numbers are."""
    dialogue = given_numbered()
    assert dialogue.said() == [V5.CONFIGURATION, V5.PROBE]
    dialogue.hear(state(S1, "up"), "done", *summary(S1))
    assert dialogue.said() == [V5.DETAIL]
    mixed = [*setup(S1, 65010, 65000), *setup(S2, 65010, 65010)]
    dialogue.hear(*mixed, "done")
    assert {line.endswith(LONG) for line in dialogue.said() if " announce " in line} == {True, False}, (
        "one of each kind"
    )


def test_without_our_own_number_the_path_is_left_to_exabgp() -> None:
    dialogue = given_numbered()
    assert not any("as-path" in line for line in carried_out(dialogue, None))
    assert dialogue.conversation.settled
    told = 'asn": { "local": 65010, "peer": 65010'
    dialogue.hear(state(S1, "up").replace('asn": { "local": 65010, "peer": 65000', told))
    assert not any("as-path" in one for one in carried_out(dialogue, None))
    dialogue.hear(state(S1, "up"))
    assert any(LONG in one for one in carried_out(dialogue, None))
    dialogue.hear(state(T1, "up").replace("65010", "null"))
    assert all(LONG in one for one in carried_out(dialogue, None) if " announce " in f" {one}")


def test_mixed_sessions_have_a_lane_for_each_kind() -> None:
    mixed = [*setup(S1, 65010, 65000), *setup(S2, 65010, 65010)]
    dialogue = given_numbered()
    said = carried_out(dialogue, mixed)
    external, internal = (f"neighbor {one.peer} " for one in (S1, S2))
    first, second = sorted({line for line in said if " announce " in line})
    assert first.startswith(external)
    assert first.endswith(LONG)
    assert second.startswith(internal)
    assert "as-path" not in second
    dialogue.want()
    gone = carried_out(dialogue, mixed)
    assert all(" withdraw " in line for line in gone)
    assert any(line.startswith(external) and line.endswith(LONG) for line in gone)
    assert dialogue.conversation.settled


def test_a_new_kind_of_session_splits_a_prefix_as_soon_as_its_command_is_answered() -> None:
    """What was sent to all is known for the withdraw from each, and no command overtakes another."""
    external = setup(S1, 65010, 65000)
    dialogue = given_numbered()
    carried_out(dialogue, external)
    dialogue.want(Route(A, PREPENDED.leaving))
    (unanswered,) = dialogue.said()
    assert unanswered.startswith("announce route")
    dialogue.hear(state(S2, "up").replace("65000", "65010"))
    waiting = dialogue.said()
    assert not any("announce" in line for line in waiting)
    dialogue.hear("done")
    replied(dialogue, waiting, [*external, *setup(S2, 65010, 65010)])
    said = carried_out(dialogue, [*external, *setup(S2, 65010, 65010)])
    named = [f"neighbor {one.peer} announce" for one in (S1, S2)]
    assert {words for words in named for line in said if line.startswith(words)} == set(named)
    dialogue.want()
    gone = carried_out(dialogue, [*external, *setup(S2, 65010, 65010)])
    assert {line.partition(" withdraw ")[0] for line in gone} == {words[:-9] for words in named}
    assert sum(line.startswith(named[1][:-9]) and "as-path" in line for line in gone) > 0, "it was sent to all"
    assert dialogue.conversation.settled
    dialogue.conversation.own(())
    dialogue.now += 100.0
    carried_out(dialogue, external)


def test_sessions_of_one_kind_again_share_their_commands() -> None:
    external, internal = setup(S1, 65010, 65000), setup(S2, 65010, 65010)
    dialogue = given_numbered()
    carried_out(dialogue, [*external, *internal])
    dialogue.hear(state(S2, "down"))
    dialogue.hear(state(S1, "up"))
    said = carried_out(dialogue, external)
    assert any(line.startswith("announce route") and LONG in line for line in said)
    dialogue.want()
    gone = carried_out(dialogue, external)
    assert all(line.startswith("withdraw route") for line in gone)
    assert any("as-path" not in line for line in gone), "as the other kind had it"


def test_what_needs_no_number_of_ours_is_not_touched_when_it_is_learned() -> None:
    dialogue = given_announced(A)
    dialogue.hear(state(S1, "down"))
    assert dialogue.said() == []


def test_states_of_mixed_sessions_may_name_different_neighbors() -> None:
    policy = RoutePolicy(
        Attributes(prepend=1, neighbors=(S1,)),
        Attributes(prepend=2, neighbors=(S1, S2)),
        Attributes(prepend=3, neighbors=(S2,)),
    )
    mixed = [*setup(S1, 65010, 65000), *setup(S2, 65010, 65010)]
    dialogue = given_numbered()
    dialogue.conversation = talking(policy.routes(A))
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    for attributes, heard in ((policy.active, {N1}), (policy.standby, {N1, N2}), (policy.leaving, {N2})):
        dialogue.want(Route(A, attributes))
        said = carried_out(dialogue, mixed)
        assert {line.split()[1] for line in said if " announce " in line} == set(map(str, heard))
        assert dialogue.conversation.settled


def test_neighbors_that_do_not_list_us_need_no_withdraw() -> None:
    """Only an earlier form named them. Those that are to have the route have it."""
    active, standby = Attributes(med=1, neighbors=(S1,)), Attributes(med=9, neighbors=(S2,))
    policy = RoutePolicy(active, standby, standby)
    dialogue = Dialogue(A)
    dialogue.conversation = talking(policy.routes(A), None)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.want(Route(A, policy.active))
    events: list[Event] = []
    for _ in range(20):
        dialogue.now += 0.5
        events += dialogue.conversation.tick(dialogue.now)
        while said := dialogue.said():
            for line in said:
                told = "error" if line.startswith(f"neighbor {N2} ") else "done"
                events += dialogue.hear(*([HEADING, "done"] if line == V5.PROBE else [told]))
    assert [type(one) for one in events] == [Refused, Answered]
    assert dialogue.conversation.settled


@pytest.mark.parametrize("deaf", [(S1,), (S2,), (S1, S2)], ids=["active", "standby", "both"])
@pytest.mark.parametrize("answered", [True, False], ids=["error", "silence"])
def test_a_withdraw_needs_one_of_the_neighbors_that_the_states_name(deaf: tuple[Session, ...], answered: bool) -> None:
    """A neighbor that does not list us has no route of ours. Where none does, no announcement would succeed either."""
    standby = Attributes(med=9, neighbors=(S2,))
    ladder = RoutePolicy(Attributes(med=1, neighbors=(S1,)), standby, standby)
    dialogue = Dialogue(A)
    dialogue.conversation = talking(ladder.routes(A), None)
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    events: list[Event] = []

    def carry_out(seconds: float = 10.0) -> list[Event]:
        events.clear()
        until = dialogue.now + seconds
        while dialogue.now < until:
            while said := dialogue.said():
                for line in said:
                    refused = any(line.startswith(f"neighbor {one.peer} ") for one in deaf)
                    told = [] if refused and not answered else ["error"] if refused else ["done"]
                    events.extend(dialogue.hear(*([HEADING, "done"] if line == V5.PROBE else told)))
            dialogue.now += 0.25
            events.extend(dialogue.conversation.tick(dialogue.now))
        return events

    dialogue.want()
    carry_out(2.5)
    failures = [one for one in events if isinstance(one, Refused | Silent)]
    assert {type(one) for one in failures} == {Refused if answered else Silent}
    if len(deaf) == 2:
        assert max(one.times for one in failures) > 1
        assert not dialogue.conversation.settled
        deaf = (S2,)
        carry_out()
        assert events[-1] == Answered(A, None), "asked again by and by"
        return
    assert max(one.times for one in failures) == 1, "who hears of it twice takes the address for refused"
    assert events[-1] == Answered(A, None)
    assert dialogue.conversation.settled
    assert dialogue.conversation.resting
    deaf = ()
    dialogue.want(Route(A, ladder.active))
    assert carry_out()[-1] == Answered(A, Route(A, ladder.active))


def test_a_form_that_is_refused_where_another_was_withdrawn_is_refused() -> None:
    """These neighbors list us, so ``error`` has another cause."""
    standby = Attributes(med=9, neighbors=(S2,))
    ladder = RoutePolicy(Attributes(med=1, neighbors=(S1,)), standby, standby)
    dialogue = Dialogue(A)
    dialogue.conversation = talking(ladder.routes(A), None)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.want()
    events: list[Event] = []
    for _ in range(20):
        while said := dialogue.said():
            for line in said:
                refused = " med 1 " not in f"{line} " or "origin" in line
                events += dialogue.hear(*([HEADING, "done"] if line == V5.PROBE else ["error" if refused else "done"]))
        dialogue.now += 0.5
        events += dialogue.conversation.tick(dialogue.now)
    assert max(one.times for one in events if isinstance(one, Refused)) > 1
    assert not dialogue.conversation.settled


def test_a_lane_that_is_refused_leaves_the_prefix_to_the_others() -> None:
    """Likewise, one command for all neighbors is ``done`` when one of them takes it."""
    policy = RoutePolicy.derived(Attributes(med=1, neighbors=(S1, T1), next_hops=((T1, "192.0.2.130"),)))
    dialogue = Dialogue(A)
    dialogue.conversation = talking(policy.routes(C), None)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")

    def answer(refused: Sequence[Session], seconds: float = 10.0) -> list[Event]:
        """Whoever hears of nothing; until nothing more is said for so long."""
        events: list[Event] = []
        until = dialogue.now + seconds
        while dialogue.now < until:
            dialogue.now += 0.5
            events += dialogue.conversation.tick(dialogue.now)
            while said := dialogue.said():
                for line in said:
                    deaf = any(line.startswith(f"neighbor {one.peer} local-ip {one.local} ") for one in refused)
                    told = [HEADING, "done"] if line == V5.PROBE else ["error"] if deaf else ["done"]
                    events += dialogue.hear(*told)
        return events

    active = Route(C, policy.active)
    dialogue.want(active)
    events = answer([T1])
    assert [type(one) for one in events] == [Refused, Answered]
    assert isinstance(events[0], Refused)
    assert events[0].times == 1, "who hears of it twice takes the address for refused"
    assert dialogue.conversation.has_carried_out([C])
    dialogue.want()
    events = answer([T1], 1.0)
    assert Answered(C, None) not in events, "not before it is certain"
    assert answer([T1])[-1] == Answered(C, None)
    dialogue.want(active)
    answered = [one for one in answer([S1, T1]) if isinstance(one, Refused)]
    assert not dialogue.conversation.has_carried_out([C])
    assert max(one.times for one in answered) > 1, "nobody hears of it"
    assert answer([], 60.0)[-1] == Answered(C, active)


def test_a_variant_that_is_reused_too_soon_is_sent_once_more() -> None:
    dialogue = given_withdrawn(A)
    known = set()
    for number in range(len(variants(POLICY.active)) + 1):
        assert dialogue.conversation.deadline is None, number
        dialogue.want(Route(A, Attributes(med=1000 + number)))
        dialogue.said()
        dialogue.hear("done")
        dialogue.want(route(A))
        known.update(dialogue.said())
        dialogue.hear("done")
    assert len(known) == len(variants(POLICY.active))
    assert dialogue.wait() == []
    (line,) = dialogue.said()
    assert line in known
    assert dialogue.conversation.settled
    assert dialogue.hear("done") == [], "nobody waits for it"
    assert dialogue.conversation.deadline is None


def test_a_variant_in_a_queue_is_known_for_as_long_as_it_is_there() -> None:
    """However many sets of attributes there are."""
    rotation = Rotation()
    said: dict[tuple[int, Variant], float] = {}
    last: dict[int, list[Variant]] = {}
    for _ in range(6):
        rotation.now += 5.0
        rotation.written()
        for med in range(300):
            chosen, reused = rotation.choose(Attributes(med=med), last.get(med, []))
            assert (med, chosen) not in said
            assert not reused
            said[med, chosen] = rotation.now
            last[med] = [chosen]


def test_the_times_of_variants_are_bounded() -> None:
    """What had to be forgotten may be in a queue; what has left the queues is forgotten."""
    rotation = Rotation()
    assert rotation.choose(Attributes(med=0), []) == (VARIANTS[0], False)
    for med in range(REMEMBERED):
        rotation.choose(Attributes(med=1 + med), [])
    assert len(rotation.used) == REMEMBERED
    rotation.written()
    assert rotation.choose(Attributes(med=0), [])[1], "nobody knows"
    rotation.written()
    rotation.now += QUEUED
    assert rotation.choose(Attributes(med=0), []) == (VARIANTS[0], False)
    assert len(rotation.used) == 1


def test_a_withdraw_takes_nothing_out_of_a_queue() -> None:
    rotation = Rotation()
    rotation.choose(POLICY.active, [])
    rotation.withdrawn(POLICY.active, BRIEF)
    rotation.written()
    rotation.now += SENT
    assert rotation.choose(POLICY.active, []) == (EXPLICIT, False)


def test_words_are_said_again_only_where_each_was_the_last_of_some_neighbor() -> None:
    rotation = Rotation()
    assert rotation.choose(POLICY.active, VARIANTS[:-1])[0] == VARIANTS[-1]
    rotation.written()
    assert rotation.choose(POLICY.active, VARIANTS) == (VARIANTS[0], True), "the order is uncertain"


def announced(prefixes: Prefixes) -> dict[frozenset[Session], Variant]:
    """Carry out what is due; what is announced in which variant, by the neighbors that it names."""
    said: dict[frozenset[Session], Variant] = {}
    while batches := prefixes.next(100):
        prefixes.rotation.written()
        for instruction in (one for batch in batches for one in batch):
            if instruction.kind is Kind.ANNOUNCE:
                said[frozenset(instruction.neighbors)] = instruction.form[1]
            prefixes.accepted(instruction, fenced=True, now=prefixes.rotation.now)
    return said


def given_prefixes(policy: RoutePolicy, numbers: dict[Session, int]) -> Prefixes:
    prefixes = Prefixes()
    prefixes.own(policy.routes(A))
    prefixes.learn(numbers)
    prefixes.set([Route(A, policy.active)])
    return prefixes


def test_a_repeat_in_new_lanes_knows_the_last_words_of_those_before() -> None:
    """Also before anything was written of the new ones, and long after the words of the old ones left the queues."""
    prefixes = given_prefixes(PREPENDED, {S1: 65010})
    whole = announced(prefixes)[frozenset()]
    for numbers in ({S1: 65010, S2: 65010, T1: 65020}, {S1: 65010}):
        prefixes.rotation.now += QUEUED
        prefixes.learn(numbers)
        prefixes.next(0)
        prefixes.repeat_everything()
        said = announced(prefixes)
        if len(numbers) > 1:
            assert said[frozenset((S1, S2))] != whole
            assert said[frozenset((T1,))] == BRIEF, "whose path is another one"
            whole = said[frozenset((S1, S2))]
    assert said[frozenset()] != whole


def test_a_repeat_to_more_neighbors_knows_the_last_words_of_some() -> None:
    some, all_of_them = Attributes(med=1, neighbors=(S1,)), Attributes(med=1, neighbors=(S1, S2))
    prefixes = given_prefixes(RoutePolicy(some, all_of_them, all_of_them), {})
    (before,) = announced(prefixes).values()
    prefixes.rotation.now += QUEUED
    prefixes.set([Route(A, all_of_them)])
    prefixes.repeat_everything()
    assert before not in announced(prefixes).values()


# Greeting


@pytest.mark.parametrize(
    ("version", "dialect", "known"),
    [
        ("4.2.25", V4, True),
        ("4.2.22-abc", V4, True),
        ("5.0.15", V5, True),
        ("6.0.0-dev", OLD_V6, True),
        ("7.0.0", V5, False),
        ("main", V5, False),
    ],
)
def test_dialect(version: str, dialect: Dialect, known: bool) -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.said()
    assert dialogue.hear(f"exabgp {version}", "done") == [Greeted(version, known)]
    assert dialogue.conversation.dialect is dialect


def test_the_api_of_exabgp_6_is_told_by_its_version() -> None:
    """The first words are understood by every API; behind them each is spoken to in its own."""
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    assert dialogue.said() == [V5.THROWAWAY, V5.RESET, V5.VERSION]
    assert (
        dialogue.hear("error", '{"status": "asynchronous queue cleared"}', "done", '{"version": "none"}', "done") == []
    )
    assert dialogue.hear('{"version": "6.0.0", "application": "exabgp"}', "done") == [Greeted("6.0.0", known=True)]
    assert dialogue.conversation.dialect is V6
    assert dialogue.said() == [V6.PROBE, f"peer * {V5.announce(route(A))}"]


def test_answers_to_a_predecessor_are_ignored() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    dialogue.said()
    assert dialogue.hear("done", HEADING, f"{N1} 65000 0:00:05 established 1 1", "done", "error", "") == []
    assert dialogue.said() == []
    dialogue.hear("exabgp 4.2.25", "done")
    assert dialogue.said() == [V5.PROBE, V4.announce(route(A))]
    assert dialogue.conversation.established == set()


def test_version_is_asked_for_again_and_answered_twice() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    assert dialogue.said() == [V5.THROWAWAY, V5.RESET, V5.VERSION]
    assert dialogue.said() == []
    started = dialogue.now
    assert dialogue.conversation.tick(dialogue.now) == []
    for _ in range(3):
        (odd,) = dialogue.wait()
        assert isinstance(odd, Anomaly)
        assert dialogue.said() == [V5.VERSION]
    assert dialogue.now == started + sum(BACKOFF[:3])
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
        assert dialogue.said() == [V5.VERSION]
    greeted, odd = dialogue.hear("exabgp 4.2.25" if late else "")
    assert greeted == Greeted("4.2.25", known=True)
    assert isinstance(odd, Anomaly)
    assert "exabgp.api.ack" in odd.detail
    assert dialogue.said() == [V5.PROBE, V4.announce(route(A)), V5.PROBE]
    # What it has read before it answers a question counts as carried out: nobody will ever know better.
    assert dialogue.hear(HEADING) == []
    assert dialogue.hear(HEADING) == [Answered(A, route(A))]


def test_a_version_asked_for_before_a_new_beginning_does_not_end_it() -> None:
    dialogue = Dialogue(A)
    dialogue.hear("done")
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    dialogue.wait()
    assert dialogue.said() == [V5.VERSION]
    dialogue.hear("exabgp 5.0.15", "done")  # of two that are on their way
    assert dialogue.said() == [V5.PROBE]
    dialogue.hear("done")
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    dialogue.hear("exabgp 5.0.15", "done")
    assert dialogue.said() == []
    dialogue.hear("exabgp 5.0.15", "done")
    assert dialogue.said() == [V5.PROBE]


# Missing answers


def test_a_stall_is_reported_once_probed_with_back_off_and_followed_by_the_last_desired_route_only() -> None:
    dialogue = given_desired(A, beside=[B])
    dialogue.said()
    started = dialogue.now
    assert dialogue.wait() == [Silent(A, V5.announce(route(A)), 0)]
    assert dialogue.now == started + ANSWER_LIMIT
    asked = 0
    for number in range(20):
        assert dialogue.said() == [V5.PROBE]
        asked += 1
        dialogue.want(route(A, Level.LEAVING), *([route(B)] if number % 2 else []))
        assert dialogue.said() == []
        assert dialogue.wait() == ([Stalled(SENT + 2 * ANSWER_LIMIT)] if number == 0 else [])
    assert dialogue.now - started > 60 * 10
    dialogue.want(route(A))
    assert dialogue.hear("done") == [Resumed()]
    told = [line for line in dialogue.said() if line != V5.PROBE]
    assert sorted(line.split()[0] for line in told) == ["announce", "withdraw"], "each wish once, and only the last"
    answers = [line for _ in range(asked + 1) for line in (HEADING, "done")]
    assert set(dialogue.hear(*answers, "done", "done")) == {Answered(A, route(A)), Answered(B, None)}
    assert dialogue.said() == []


def test_a_stall_is_detected_before_there_is_a_desired_set() -> None:
    """A node whose ExaBGP does not answer must not take over what it could not announce."""
    dialogue = given_withdrawn(A, pulse=PULSE)
    asleep = dialogue.now
    for _ in range(3):
        assert dialogue.wait() == []
        assert dialogue.said() == [V5.PROBE], "a sign of life"
        assert dialogue.hear(HEADING, "done") == []
        asleep = dialogue.now
    assert dialogue.wait() == []
    assert dialogue.said() == [V5.PROBE]
    assert dialogue.wait() == []
    assert dialogue.said() == [V5.PROBE], "we may have slept ourselves"
    assert dialogue.wait() == [Stalled(PULSE + 2 * ANSWER_LIMIT)]
    assert dialogue.now == asleep + PULSE + 2 * ANSWER_LIMIT
    while dialogue.now < asleep + 300:
        dialogue.said()
        assert dialogue.wait() == [], "told once"
    assert dialogue.hear(HEADING) == [Resumed()]
    assert dialogue.hear("done") == []


def test_after_a_pause_of_our_own_exabgp_has_time_for_an_answer() -> None:
    dialogue = given_withdrawn(A, pulse=PULSE)
    dialogue.wait()
    assert dialogue.said() == [V5.PROBE]
    dialogue.now += 60  # both were stopped
    assert dialogue.conversation.tick(dialogue.now) == []
    assert dialogue.said() == [V5.PROBE]
    assert dialogue.hear(HEADING, "done", HEADING, "done") == []
    assert dialogue.conversation.resting


def test_the_time_until_the_last_answer_is_known() -> None:
    dialogue = given_withdrawn(A, pulse=PULSE)
    dialogue.wait()
    assert V5.PROBE in dialogue.said()
    dialogue.now += 0.002
    dialogue.said()
    dialogue.now += 0.001
    dialogue.hear(HEADING, "done")
    assert dialogue.conversation.answer_seconds == pytest.approx(0.003)
    dialogue.now += 0.5
    dialogue.hear("done", "a stray line")
    assert dialogue.conversation.answer_seconds == pytest.approx(0.003), "nothing was asked"


def test_an_answer_to_a_command_is_a_heartbeat() -> None:
    dialogue = given_withdrawn(A, pulse=BACKOFF[0])
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("error")
    assert dialogue.said() == [V5.PROBE]
    dialogue.hear(HEADING, "done")
    dialogue.wait()
    assert dialogue.said() == [V5.announce(route(A)), V5.PROBE], "the one that fences it"


def test_a_stall_during_a_resync_is_reported_too() -> None:
    dialogue = given_withdrawn(A)
    assert dialogue.hear("done") == [Anomaly('"done" answers nothing; saying everything again')]
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    again = Anomaly("ExaBGP does not answer; asking again for its version")
    assert dialogue.wait() == [again]
    assert dialogue.said() == [V5.VERSION]
    assert dialogue.wait() == [again, Stalled(3.0)]
    assert dialogue.said() == [V5.VERSION]
    assert dialogue.hear("exabgp 5.0.15") == []
    assert dialogue.hear("done") == [Resumed()]


def test_after_a_surplus_answer_each_route_is_announced_in_another_variant() -> None:
    """ExaBGP skips repeated words, and a withdraw in its queue might come after what they announced."""
    dialogue, router = Dialogue(A), Router()
    dialogue.clear()
    dialogue.want(route(A))
    (first,) = dialogue.said()
    dialogue.hear("done", "done")
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    dialogue.hear("exabgp 5.0.15", "done")
    (again,) = (line for line in dialogue.said() if line != V5.PROBE)
    assert again != first
    for line in (first, V5.withdraw(route(A), EXPLICIT), again):
        verb, words, prefixes = spoken(line)
        router.tell(verb, words, prefixes[0])
    router.flip()
    router.send()
    assert router.table == {route(A).prefix: Level.ACTIVE}


def test_an_exabgp_that_has_never_answered_has_not_stalled() -> None:
    dialogue = Dialogue(greeted=False)
    dialogue.said()
    for _ in range(5):
        assert [type(event) for event in dialogue.wait()] == [Anomaly]
        dialogue.said()


def test_late_answers_are_attributed() -> None:
    dialogue = given_withdrawn(A, B)
    leaving = route(B, Level.LEAVING)
    dialogue.want(route(A), leaving)
    dialogue.said()
    assert len(dialogue.wait()) == 2
    assert dialogue.said() == [V5.PROBE]
    assert dialogue.hear("done", "error") == [Answered(A, route(A)), Refused(B, V5.announce(leaving), 1)]
    dialogue.hear(HEADING, "done", HEADING, "done")


def test_a_missing_answer_does_not_shift_the_others_for_ever() -> None:
    """A is never answered, B is refused, C is done. For a moment this looks like A refused, B done, C unanswered."""
    dialogue = given_withdrawn(A, B, C)
    dialogue.want(route(A), route(B, Level.LEAVING), route(C))
    assert len(dialogue.said()) == 3
    dialogue.hear("error", "done")
    assert dialogue.said() == [V5.PROBE]
    *doubted, odd = dialogue.hear(HEADING, "done")
    assert isinstance(odd, Anomaly)
    assert doubted == [Doubted(A), Doubted(B)], "their answers were others'"
    told = dialogue.said()
    commands = [line for line in told if line != V5.PROBE]
    assert {line.split()[2] for line in commands} == {str(A), str(B), str(C)}
    assert told[0] in commands, "nothing is before it"
    assert all(V5.PROBE in pair for pair in pairwise(told)), "fenced"
    events = []
    for line in told:
        if line == V5.PROBE:
            events += dialogue.hear(HEADING, "done")
        elif str(A) not in line:
            events += dialogue.hear("error" if str(B) in line else "done")
    line_of = {one.split()[2]: one for one in commands}
    assert set(events) == {
        Silent(A, line_of[str(A)], 2),
        Refused(B, line_of[str(B)], 1),
        Answered(C, route(C)),
    }


def test_a_command_that_is_never_answered_blocks_no_other() -> None:
    dialogue = given_desired(A, beside=[B])
    dialogue.said()
    dialogue.wait()
    assert dialogue.said() == [V5.PROBE]
    dialogue.hear(HEADING, "done")
    for times, patience in enumerate((*BACKOFF, BACKOFF[-1]), start=1):
        assert dialogue.said() == [V5.announce(route(A)), V5.PROBE]
        dialogue.want(route(A), route(B))
        assert len(dialogue.said()) == 1
        events = dialogue.hear(HEADING, "done", "done")
        assert events == [Silent(A, V5.announce(route(A)), times), Answered(B, route(B))]
        dialogue.want(route(A))
        while lines := dialogue.said():
            dialogue.hear(*["done"] * len(lines))
        started = dialogue.now
        assert dialogue.wait() == []
        assert dialogue.now == pytest.approx(started + patience)


def test_a_refused_route_is_retried_with_back_off_until_the_desired_route_changes() -> None:
    dialogue = given_desired(A)
    assert dialogue.said() == [V5.announce(route(A))]
    dialogue.hear("error")
    assert dialogue.said() == [V5.PROBE], "was it A's answer at all?"
    dialogue.hear(HEADING, "done")
    for times, patience in enumerate(BACKOFF, start=2):
        started = dialogue.now
        assert dialogue.wait() == []
        assert dialogue.now == pytest.approx(started + patience)
        assert dialogue.said() == [V5.announce(route(A)), V5.PROBE]
        assert dialogue.hear("error", HEADING, "done") == [Refused(A, V5.announce(route(A)), times)]
        assert dialogue.said() == []
    dialogue.want(route(A, Level.LEAVING))
    assert dialogue.said()[0] == V5.announce(route(A, Level.LEAVING))


def test_a_question_that_is_not_answered_to_its_end() -> None:
    """Only the next heading ends it."""
    dialogue = given_withdrawn(A)
    ask(dialogue)
    dialogue.hear(HEADING)  # and its "done" never comes
    dialogue.wait()
    assert dialogue.said() == [V5.PROBE]
    dialogue.hear(HEADING, "done")
    dialogue.want(route(A))
    while lines := [line for line in dialogue.said() if line != V5.PROBE]:
        events = dialogue.hear(*["done"] * len(lines))
    assert events == [Answered(A, route(A))]


def test_a_refusal_of_a_route_that_is_no_longer_desired_delays_nothing() -> None:
    dialogue = given_desired(A)
    dialogue.said()
    dialogue.want(route(A, Level.LEAVING))
    dialogue.hear("error")
    assert V5.announce(route(A, Level.LEAVING)) in dialogue.said()


def test_a_success_resets_the_back_off_of_retries() -> None:
    dialogue = given_withdrawn(A)
    for _ in range(3):
        dialogue.want(route(A))
        dialogue.said()
        dialogue.hear("error")
        dialogue.said()
        dialogue.hear(HEADING, "done")
        started = dialogue.now
        dialogue.wait()
        assert dialogue.now == pytest.approx(started + BACKOFF[0])
        dialogue.said()
        assert dialogue.hear("done", HEADING, "done") == [Answered(A, route(A))]
        dialogue.hear(state(S1, "up"))


def test_continuous_traffic_is_verified_too() -> None:
    """One answer is missing, and new commands keep the queue from ever being empty."""
    dialogue = given_desired(A, beside=[B])
    dialogue.said()  # never answered
    level = Level.LEAVING
    questions = 0
    for _ in range(8):
        dialogue.want(route(A, level), route(B, level))
        questions += dialogue.said().count(V5.PROBE)
        dialogue.now += 0.3
        dialogue.conversation.tick(dialogue.now)
        dialogue.hear("done")
        level = Level.ACTIVE if level is Level.LEAVING else Level.LEAVING
    assert questions == 1


def test_a_surplus_answer_causes_a_resync() -> None:
    dialogue = given_desired(A, beside=[B])
    dialogue.said()
    dialogue.hear("done")
    (odd,) = dialogue.hear("done")
    assert isinstance(odd, Anomaly)
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    assert dialogue.hear("done", HEADING, "exabgp 5.0.15", "done") == []
    told = dialogue.said()
    assert told[0] == V5.PROBE
    assert len(told) == 3
    assert set(dialogue.hear(HEADING, "done", "done", "done")) == {Answered(A, route(A)), Answered(B, None)}
    assert dialogue.said() == []


def test_a_surplus_answer_before_there_is_a_desired_set() -> None:
    dialogue = Dialogue(A)
    (odd,) = dialogue.hear("error")
    assert isinstance(odd, Anomaly)
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    (odd,) = dialogue.wait()
    assert dialogue.said() == [V5.VERSION]
    assert dialogue.hear("exabgp 5.0.15", "done", "exabgp 5.0.15", "done") == []
    assert dialogue.said() == [V5.PROBE]
    assert dialogue.hear(HEADING, "done") == []


# Neighbors


def ask(dialogue: Dialogue) -> None:
    """Have the conversation poll for a summary."""
    dialogue.hear("done")  # an answer too many
    assert dialogue.said() == [V5.RESET, V5.VERSION]
    dialogue.hear("exabgp 5.0.15", "done")
    lines = dialogue.said()
    assert lines[0] == V5.PROBE


def test_neighbors_by_summary_and_as_they_change() -> None:
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
    assert dialogue.hear(*rows) == []
    assert dialogue.said() == [V5.DETAIL], "which session to this neighbor it is"
    assert dialogue.hear(*extensive(S1, down=[S2])) == [Neighbor(S1, established=True)]
    assert dialogue.conversation.deadline is None, "each address has one session: the summary does"
    assert dialogue.hear(state(S2, "connected")) == []
    assert dialogue.hear(state(S2, "up")) == [Neighbor(S2, established=True)]
    assert dialogue.conversation.established == {S1, S2}
    assert dialogue.hear(state(S1, "down"), state(S1, "down")) == [Neighbor(S1, established=False)]
    assert dialogue.conversation.established == {S2}


def test_invalid_rows_of_a_summary_are_ignored() -> None:
    dialogue = Dialogue(A)
    ask(dialogue)
    assert dialogue.hear(HEADING, "one two three established 1 1", f"{N1} established", "", "done") == []


def test_a_change_during_a_summary_overrides_it() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    dialogue.said()
    row = f"{N1}        65000   0:00:05 established           1          1"
    dialogue.hear(HEADING, row, state(S1, "down"), state(S2, "up"), "done")
    assert dialogue.conversation.established == {S2}
    dialogue.hear(state(S1, "up"))
    ask(dialogue)
    dialogue.hear(*summary(T1, S1, S2))
    assert dialogue.said() == [V5.DETAIL]
    told = extensive(S1, T1, S2)
    dialogue.hear(*told[:-1], state(S2, "down"), told[-1])
    assert dialogue.conversation.established == {S1, T1}


def test_a_neighbor_missing_from_the_summary_of_4_2_is_down() -> None:
    dialogue = Dialogue(A)
    dialogue.hear(state(S1, "up"))
    ask(dialogue)
    assert dialogue.hear(HEADING, "done") == [Neighbor(S1, established=False)]


def shared(established: Sequence[Session] = (S1, T1)) -> Dialogue:
    """A conversation that knows of two sessions to one neighbor."""
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    dialogue.said()
    dialogue.hear(*summary(*established))
    assert dialogue.said() == [V5.DETAIL]
    dialogue.hear(*extensive(*established, down=[one for one in (S1, T1) if one not in established]))
    assert dialogue.conversation.established == set(established)
    return dialogue


def test_two_sessions_to_one_neighbor_are_two() -> None:
    dialogue = shared()
    assert dialogue.hear(state(T1, "down")) == [Neighbor(T1, established=False)]
    assert dialogue.conversation.established == {S1}
    for _ in range(3):
        assert dialogue.wait() == []
        assert dialogue.said() == [V5.PROBE]
        assert dialogue.hear(*summary(S1)) == []
        assert dialogue.said() == [V5.DETAIL], "a summary cannot say which one it is"
        assert dialogue.hear(*extensive(S1, down=[T1])) == []
    assert dialogue.hear(state(T1, "up")) == [Neighbor(T1, established=True)]


def test_one_session_replaces_another_without_a_notification() -> None:
    """The neighbor lacks ``neighbor-changes``. The new session comes first, so that there is always one."""
    dialogue = shared([S1])
    dialogue.wait()
    dialogue.said()
    assert dialogue.hear(*summary(T1)) == []
    dialogue.said()
    assert dialogue.hear(*extensive(T1, down=[S1])) == [
        Neighbor(T1, established=True),
        Neighbor(S1, established=False),
    ]


def test_both_are_gone_as_soon_as_a_summary_has_neither() -> None:
    dialogue = shared()
    dialogue.wait()
    dialogue.said()
    assert dialogue.hear(HEADING, "done") == [Neighbor(T1, established=False), Neighbor(S1, established=False)]


@pytest.mark.parametrize("answer", [["error"], ["done"], [*summary(), "done"]], ids=["5.0", "nothing", "4.2"])
def test_a_session_with_an_unknown_local_end_counts_by_its_neighbor(answer: list[str]) -> None:
    """4.2 does not answer for an AS number that is ``auto``; the next poll shows the session."""
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    dialogue.said()
    dialogue.hear(*summary(S1))
    assert dialogue.said() == [V5.DETAIL]
    if len(answer) > 1:
        dialogue.wait()
        assert dialogue.said() == [V5.PROBE]
        answer = summary(S1)
    assert dialogue.hear(*answer) == [Neighbor(Session(N1), established=True)]
    while V5.DETAIL not in (lines := dialogue.said()):
        for line in lines:
            dialogue.hear(*(summary(S1) if line == V5.PROBE else ["done"]))
        dialogue.wait()
    assert dialogue.hear(state(S1, "down")) == [Neighbor(Session(N1), established=False)]
    assert dialogue.hear(state(S1, "up")) == [Neighbor(S1, established=True)]


def test_our_end_is_not_known_before_it_has_connected() -> None:
    """With ``local-address auto`` ExaBGP reports None."""
    dialogue = Dialogue(A)
    assert dialogue.hear(state(Session(N1), "down"), state(S1, "up")) == [Neighbor(S1, established=True)]
    assert dialogue.hear(state(Session(N1), "up")) == [Neighbor(Session(N1), established=True)]


def test_every_route_is_sent_again_in_another_variant_when_a_neighbor_comes_up() -> None:
    dialogue = given_desired(A, beside=[B])
    dialogue.said()
    dialogue.hear("done")
    for variant in variants(POLICY.active)[1:]:
        dialogue.hear(state(S1, "up"))
        told = dialogue.said()
        assert V5.announce(route(A), variant) in told
        assert len(told) == 2
        assert any(line.startswith(f"withdraw route {B}") for line in told)
        assert set(dialogue.hear("done", "done")) == {Answered(A, route(A)), Answered(B, None)}
        assert dialogue.said() == []


def test_many_sessions_that_come_up_at_one_moment() -> None:
    """More often than there are variants, and still never in the encoding that ExaBGP was sent last."""
    dialogue = given_desired(A)
    (last,) = dialogue.said()
    dialogue.hear("done")
    for number in range(1, len(variants(POLICY.active))):
        dialogue.hear(*[state(S1, "up")] * number)
        (words,) = dialogue.said()
        assert words != last
        last = words
        dialogue.hear("done")


def test_what_was_said_long_ago_is_sent_again_in_another_variant() -> None:
    """Also if that is refused, and once more, and for prefixes that were announced in different variants."""
    dialogue = given_withdrawn(A, B)
    dialogue.want(route(A))
    told = settle(dialogue)
    dialogue.want(route(A), route(B))
    told += settle(dialogue)
    words = {prefix: [attributes] for _, attributes, (prefix,) in map(spoken, told)}
    assert words[str(A)] != words[str(B)]
    dialogue.now += QUEUED
    assert dialogue.said() == []
    for answer in ("error", "error", "done"):
        dialogue.conversation.repeat()
        for line in dialogue.said():
            for prefix in () if line == V5.PROBE else spoken(line)[2]:
                words[prefix].append(spoken(line)[1])
            dialogue.hear(*((HEADING, "done") if line == V5.PROBE else (answer,)))
    for said in words.values():
        assert len(said) == len(set(said)) == 4


def test_neighbors_that_come_up_while_a_repeat_is_unanswered_get_one_of_their_own() -> None:
    dialogue = given_desired(A)
    words = V5.announce(route(A))
    assert dialogue.said() == [words]
    dialogue.hear(state(S1, "up"), state(S2, "up"))
    assert dialogue.hear("done") == []
    spelt = [V5.announce(route(A), one) for one in variants(POLICY.active)]
    assert dialogue.said() == [spelt[1]]
    dialogue.hear(state(S1, "up"), state(S2, "up"))
    assert dialogue.hear("done") == []
    assert dialogue.said() == [spelt[2]]
    assert dialogue.hear("done") == [Answered(A, route(A))]


def test_a_session_that_only_the_summary_shows_is_new() -> None:
    dialogue = given_withdrawn(A)
    ask(dialogue)
    dialogue.hear(*summary(S1))
    assert dialogue.said() == [V5.DETAIL]
    assert dialogue.hear("done") == [Answered(A, None)]
    assert dialogue.hear(*extensive(S1)) == [Neighbor(S1, established=True)]
    assert not dialogue.conversation.settled, "what was said before the session came up does not count"
    assert len(dialogue.said()) == 1


def test_sessions_that_were_up_before_us_are_no_reason_to_repeat() -> None:
    dialogue = Dialogue(A, greeted=False)
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "done")
    assert dialogue.said() == [V5.PROBE, V4.announce(route(A))]
    dialogue.hear(*summary(S1), "done")
    assert dialogue.said() == [V5.DETAIL]
    dialogue.hear(*extensive(S1))
    assert dialogue.said() == []


def test_a_neighbor_that_comes_up_before_there_is_a_desired_set() -> None:
    dialogue = Dialogue(A)
    dialogue.hear(state(S1, "up"))
    assert dialogue.said() == []


# Who hears us


def tried(dialogue: Dialogue, session: Session = S1) -> str:
    """A session comes up, everything is said again, and then to its neighbor alone: that line without its selector."""
    dialogue.hear(state(session, "up"))
    while V5.PROBE not in (lines := dialogue.said()):
        for line in lines:
            dialogue.hear(*(extensive(*dialogue.conversation.established) if line == V5.DETAIL else ["done"]))
    trial, question = lines
    assert question == V5.PROBE, "and nothing else is under way"
    assert trial.startswith(f"neighbor {session.peer} ")
    return whole(trial)


def test_a_full_pipe_does_not_make_the_alarm_spin() -> None:
    dialogue = given_served(A)
    dialogue.wait()
    deadline = dialogue.conversation.deadline
    assert deadline is None or deadline > dialogue.now, "the sign of life is due, and the pipe may be full"


def next_trial(dialogue: Dialogue, *sessions: Session) -> str:
    """The next command to one neighbor alone; other commands are answered meanwhile."""
    while True:
        for line in dialogue.said():
            if whole(line) != line:
                return whole(line)
            dialogue.hear(*(summary(*sessions) if line == V5.PROBE else ["done"]))
        dialogue.wait()


def refuse(dialogue: Dialogue, *answer: str) -> list[Event]:
    """Let the trial of ``S1`` and the next one fail, with this answer or without any."""
    begun = dialogue.now
    assert dialogue.hear(*answer, *summary(S1)) == [], "once may have been another's answer"
    next_trial(dialogue, S1)
    assert dialogue.now == begun + BACKOFF[0]
    return dialogue.hear(*answer, *summary(S1))


def given_served(*networks: Network) -> Dialogue:
    """As ``given_announced``, with a heartbeat, and nothing is under way."""
    dialogue = given_withdrawn(*networks, pulse=PULSE)
    dialogue.want(*map(route, networks))
    dialogue.hear(*["done"] * len(dialogue.said()))
    return dialogue


def given_tried(*networks: Network) -> Dialogue:
    """As ``given_served``; the session S1 has come up, and its test is sent and not answered."""
    dialogue = given_served(*networks)
    tried(dialogue)
    return dialogue


def given_listed(*networks: Network) -> Dialogue:
    """As ``given_tried``, and the neighbor takes our routes."""
    dialogue = given_tried(*networks)
    dialogue.hear("done", *summary(S1))
    return dialogue


def test_a_neighbor_that_comes_up_is_tested_for_listing_us() -> None:
    dialogue = given_served(A)
    assert tried(dialogue) == V5.announce(route(A), EXPLICIT), "what was said last: it changes nothing"
    assert refuse(dialogue, "error") == [Listed(S1, listed=False)]
    assert tried(dialogue, S2)
    assert dialogue.hear("done", *summary(S1, S2)) == [Listed(S2, listed=True)]
    dialogue.clear()
    assert tried(dialogue).startswith("withdraw "), "of what is withdrawn"


def test_a_trial_waits_until_a_prefix_is_at_rest() -> None:
    dialogue = given_served(A)
    dialogue.hear(state(S1, "up"))
    detail, repeat = dialogue.said()
    dialogue.hear(*extensive(S1))
    assert dialogue.said() == [], "the repeat is not answered yet"
    dialogue.hear("done")
    trial, _ = dialogue.said()
    assert (detail, whole(trial)) == (V5.DETAIL, repeat)


def test_no_neighbor_is_tested_with_what_exabgp_refuses_while_there_is_anything_else() -> None:
    dialogue = given_withdrawn(A, B, pulse=PULSE)
    dialogue.want(route(A), route(B, Level.STANDBY))
    assert len(dialogue.said()) == 2
    dialogue.hear("error", "done", state(S1, "up"))
    waiting = deque(dialogue.said())
    while whole(line := waiting.popleft()) == line:
        answers = {V5.PROBE: summary(S1), V5.DETAIL: extensive(S1)}
        dialogue.hear(*answers.get(line, ["error" if str(A) in line else "done"]))
        waiting += dialogue.said()
    assert str(B) in line


def test_an_unanswered_test_counts_as_not_listed() -> None:
    dialogue = given_tried(A)
    assert refuse(dialogue) == [Listed(S1, listed=False)]


def test_one_failed_test_is_not_reported() -> None:
    dialogue = given_tried(A)
    dialogue.hear("error", *summary(S1))
    next_trial(dialogue, S1)
    assert dialogue.hear("done", *summary(S1)) == [Listed(S1, listed=True)]
    assert dialogue.said() != [], "it may have missed something"


def test_a_change_during_a_test_is_sent_after_it() -> None:
    dialogue = given_tried(A)
    dialogue.want(route(A, Level.LEAVING))
    assert dialogue.said() == []
    dialogue.hear("done", *summary(S1))
    assert dialogue.said() == [V5.announce(route(A, Level.LEAVING))]


def test_a_session_that_ends_before_its_answer_has_no_result() -> None:
    dialogue = given_tried(A)
    dialogue.hear(state(S1, "down"))
    assert dialogue.hear("error", *summary()) == []


def refused(dialogue: Dialogue) -> None:
    """ExaBGP certainly refuses the desired routes: an ``error`` that may be another command's, then one of its own."""
    dialogue.said()
    dialogue.hear("error")
    assert dialogue.conversation.may_announce([A]), "that may have been the answer to something else"
    while not any(line.startswith("announce ") for line in dialogue.said()):
        dialogue.hear(HEADING, "done")
        dialogue.wait()
    dialogue.hear("error", HEADING, "done")


def answered(dialogue: Dialogue, answer: str) -> bool:
    """All that is to be sent now has this answer; whether there is anything."""
    lines = dialogue.said()
    for line in lines:
        dialogue.hear(*([HEADING, "done"] if line == V5.PROBE else [answer]))
    return bool(lines)


def cleared(dialogue: Dialogue) -> None:
    """Everything is withdrawn, and ExaBGP confirms that."""
    dialogue.want()
    while answered(dialogue, "done"):
        pass


def deaf(*answer: str) -> Dialogue:
    """What is wanted is certainly refused; a session comes up, and the same once more has this ``answer``."""
    dialogue = given_withdrawn(A, pulse=PULSE, version="4.2.25")
    dialogue.want(route(A))
    refused(dialogue)
    dialogue.hear(state(S1, "up"))
    dialogue.said()
    dialogue.hear(*extensive(S1), *answer, *summary(S1))
    assert dialogue.conversation.may_announce([A]) is not bool(answer)
    return dialogue


def test_a_refused_route_is_not_announced_until_it_is_sent_again() -> None:
    dialogue = given_withdrawn(A, version="4.2.25")
    assert not dialogue.conversation.may_announce([A])
    dialogue.want(route(A))
    refused(dialogue)
    assert not dialogue.conversation.may_announce([A])
    dialogue.wait()
    assert any(line.startswith("announce ") for line in dialogue.said())
    assert dialogue.conversation.may_announce([A]), "it is not answered yet"


@pytest.mark.parametrize("there", [True, False])
def test_where_a_refusal_may_be_that_of_one_neighbor_tables_tell_whether_others_were_told(there: bool) -> None:
    dialogue = given_withdrawn(A, pulse=PULSE)
    dialogue.want(route(A))
    refused(dialogue)
    assert dialogue.conversation.may_announce([A])
    assert dialogue.said() == [V5.ROUTES, V5.PROBE]
    dialogue.hear(*[static(A)] * there, "done", HEADING, "done")
    assert dialogue.conversation.may_announce([A]) is there
    dialogue.want()
    assert dialogue.said()[0].startswith("withdraw ")
    dialogue.hear("error", HEADING, "done")
    assert dialogue.conversation.may_announce([A]) is there
    assert dialogue.said() == [V5.ROUTES, V5.PROBE] * there, "it may have been withdrawn there"
    dialogue.hear(*["done", HEADING, "done"] * there)
    assert not dialogue.conversation.may_announce([A])


def test_without_tables_what_one_neighbor_may_have_refused_may_be_announced_until_it_is_withdrawn() -> None:
    dialogue = given_withdrawn(A)
    dialogue.want(route(A))
    refused(dialogue)
    dialogue.want()
    answered(dialogue, "error")
    dialogue.wait()
    assert dialogue.conversation.may_announce([A])
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_a_route_sent_to_one_session_may_be_announced_whatever_happens_to_it() -> None:
    dialogue = deaf("error")
    for answer in ("error", "done"):
        assert not dialogue.conversation.may_announce([A])
        assert next_trial(dialogue, S1).startswith("announce ")
        assert dialogue.conversation.may_announce([A]), "it is not answered yet"
        dialogue.hear(*([state(S1, "down")] if answer == "done" else []), answer, *summary(S1))
    refused(dialogue)
    assert dialogue.conversation.may_announce([A]), "to the one that is down now"
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_what_was_accepted_may_be_announced_until_its_withdraw_is_confirmed() -> None:
    dialogue = given_withdrawn(A)
    dialogue.want(route(A))
    assert dialogue.conversation.may_announce([A]), "not written yet: a note does not wait for that"
    answered(dialogue, "done")
    for wanted in ([route(A, Level.LEAVING)], []):
        dialogue.want(*wanted)
        for _ in range(6):
            answered(dialogue, "error")
            dialogue.wait()
        assert dialogue.conversation.may_announce([A])
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_what_is_replaced_before_its_answer_is_certain_may_be_announced() -> None:
    dialogue = given_withdrawn(A)
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("error")
    dialogue.want(route(A, Level.LEAVING))
    for _ in range(6):
        answered(dialogue, "error")
        dialogue.wait()
    assert dialogue.conversation.may_announce([A]), "in the first form"


@pytest.mark.parametrize("errors", [0, 1, 3], ids=["no answer", "perhaps the other's", "one too many"])
def test_a_refused_repeat_does_not_tell_what_came_of_an_announcement_whose_answer_is_unknown(errors: int) -> None:
    dialogue = given_withdrawn(A, B)
    dialogue.want(route(A), route(B, Level.LEAVING))
    assert len(dialogue.said()) == 2
    dialogue.hear(*["error"] * errors)
    answers = {V5.PROBE: [HEADING, "done"], V5.VERSION: ["exabgp 5.0.15", "done"], V5.RESET: []}
    for _ in range(8):
        if not (lines := dialogue.said()):
            dialogue.wait()
        for line in lines:
            dialogue.hear(*answers.get(line, ["error"]))
    assert dialogue.conversation.may_announce([A])
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_what_a_predecessor_announced_may_be_announced_until_it_is_withdrawn() -> None:
    dialogue = Dialogue(A, B)
    dialogue.conversation.inherit([A])
    assert [dialogue.conversation.may_announce([one]) for one in (A, B)] == [True, False]
    dialogue.clear()
    assert not dialogue.conversation.may_announce([A])
    with pytest.raises(KeyError):
        dialogue.conversation.inherit([C])


def test_a_refused_test_says_nothing_of_a_command_that_was_not_answered() -> None:
    dialogue = deaf()
    next_trial(dialogue, S1)
    dialogue.hear("error", *summary(S1))
    assert dialogue.conversation.may_announce([A])


def test_a_test_without_an_answer_may_have_announced_it() -> None:
    dialogue = deaf("error")
    next_trial(dialogue, S1)
    dialogue.hear(*summary(S1))
    assert dialogue.conversation.may_announce([A])
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_a_test_whose_answer_is_not_known_may_have_announced_it() -> None:
    dialogue = deaf("error")
    next_trial(dialogue, S1)
    dialogue.hear("error", *summary(S1))
    dialogue.wait()
    heartbeat, trial, _ = dialogue.said()
    assert (heartbeat, whole(trial) == trial) == (V5.PROBE, False)
    (odd,) = dialogue.hear("done")
    assert isinstance(odd, Anomaly), "it answers nothing"
    assert dialogue.conversation.may_announce([A])
    dialogue.said()
    dialogue.hear("error", "exabgp 5.0.15", "done")
    cleared(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_a_prefix_of_its_own_family_is_tried_where_there_is_one() -> None:
    dialogue = given_served(A, C)
    assert str(C) in tried(dialogue, S1), "an IPv4 session"
    dialogue.hear("done", *summary(S1))


def replied_by(dialogue: Dialogue, *sessions: Session) -> list[str]:
    """Answer every command until none is left, while these are up; the commands."""
    answers = {V5.DETAIL: extensive(*sessions), V5.PROBE: summary(*sessions)}
    told: list[str] = []
    while lines := dialogue.said():
        told += lines
        dialogue.hear(*(answer for line in lines for answer in answers.get(line, ["done"])))
    return told


def test_addresses_are_spelt_as_exabgp_spells_them() -> None:
    dialogue = given_served(A)
    session = Session(ip_address("2001:db8::1"), ip_address("2001:db8::2"))

    def spelt(*lines: str) -> list[str]:
        spelt = {"2001:db8::1": "2001:db8:0::1", "2001:db8::2": "2001:db8:0::2%eth0"}
        return [re.sub("|".join(spelt), lambda found: spelt[found[0]], line) for line in lines]

    dialogue.hear(*spelt(state(session, "up")))
    assert dialogue.said()[0] == V5.DETAIL
    dialogue.hear(*spelt(*extensive(session)), "done")
    assert dialogue.said()[0].startswith("neighbor 2001:db8:0::1 announce ")
    named = Route(B, replace(POLICY.active, neighbors=(Session(session.peer), Session(N1))))
    dialogue.conversation.own([named])
    dialogue.want(named)
    chosen = f"neighbor 2001:db8:0::1 , neighbor {N1} announce "
    assert any(line.startswith(chosen) for line in replied_by(dialogue, session)), "of the other one nothing is known"


def test_our_end_is_named_only_where_two_sessions_lead_to_a_neighbor() -> None:
    """Without ``local-address`` 5.0 calls a session ``local-ip None`` for ever."""
    dialogue = given_listed(A)
    dialogue.hear(state(T1, "up"))
    told = replied_by(dialogue, S1, T1)
    assert any(line.startswith(f"neighbor {N1} local-ip {T1.local} announce ") for line in told)


def test_our_end_is_named_while_another_session_to_the_neighbor_is_counted_and_not_known() -> None:
    """In 4.2 a session that is down and has an AS number of ``auto`` leaves the question for details unanswered."""
    neighbors = Neighbors()
    neighbors.changed(S1, f"neighbor {N1} local-ip {S1.local}", None, up=True)
    assert neighbors.selector(S1) == f"neighbor {N1}"
    neighbors.summarised(Probe(rows=Counter({N1: 2})), asked=False)
    assert neighbors.selector(S1) == f"neighbor {N1} local-ip {S1.local}"


def test_a_session_whose_end_exabgp_does_not_know_any_more_is_the_one_that_is_up() -> None:
    """After a reload of ExaBGP, where the neighbor has no ``local-address``."""
    dialogue = given_listed(A)
    nameless = Session(N1)
    dialogue.hear(state(S2, "up"))
    assert dialogue.said()[0] == V5.DETAIL
    assert dialogue.hear(*extensive(nameless, S2)) == [], "it is up as before"
    assert dialogue.conversation.established == {S1, S2}
    assert dialogue.hear(state(nameless, "down")) == [Neighbor(S1, established=False)]
    assert dialogue.hear(state(nameless, "down")) == []


def test_another_configuration_causes_new_tests_of_all_sessions() -> None:
    dialogue = given_listed(A)

    told: list[Event] = []

    def survey(*text: str) -> list[str]:
        """The commands that are sent after ExaBGP has reported this as its configuration."""
        while V5.CONFIGURATION not in (lines := dialogue.said()):
            dialogue.hear(*summary(S1) * lines.count(V5.PROBE))
            dialogue.wait()
        assert lines == [V5.CONFIGURATION, V5.PROBE]
        told.extend(dialogue.hear(*text, "done", *summary(S1)))
        return dialogue.said()

    (again,) = survey()
    assert whole(again) == again, "as at the start; perhaps not in between, so what was said is said once more"
    dialogue.hear("done")
    assert survey() == []
    detail, repeat = survey("neighbor 192.0.2.1 {", "}")
    assert (detail, told) == (V5.DETAIL, [Reconfigured()]), "what was refused may be accepted now"
    dialogue.hear(*extensive(S1))
    assert whole(repeat) == repeat, "somebody may have missed something"
    dialogue.hear("done")
    trial, _ = dialogue.said()
    assert whole(trial) == repeat
    assert dialogue.hear("error", *summary(S1)) == []
    assert dialogue.said()[0] == V5.CONFIGURATION, "ExaBGP may have had another file when it was tried"
    assert dialogue.hear("neighbor 192.0.2.1 {", "}", "done", *summary(S1)) == []
    assert next_trial(dialogue, S1) == repeat
    assert dialogue.hear("error", *summary(S1)) == [Listed(S1, listed=False)]


def repeated(dialogue: Dialogue) -> list[str]:
    """What is sent of our prefixes after the next look at ExaBGP's configuration, whose text is as before."""
    surveyed(dialogue)
    return [line for line in settle(dialogue) if line.startswith(("announce ", "withdraw "))]


def given_looked_at(*networks: Network) -> Dialogue:
    """As ``given_listed``; what was said of them has been said again."""
    dialogue = given_listed(*networks)
    assert repeated(dialogue)
    assert dialogue.conversation.resting
    return dialogue


def test_what_is_announced_is_said_again_once_after_a_look_at_the_configuration() -> None:
    """A neighbor that did not list us meanwhile has missed it, although both looks find the same text."""
    dialogue = given_looked_at(A, B)
    dialogue.conversation.change({A: route(A, Level.LEAVING)})
    (first,) = settle(dialogue)
    resting, (again,) = dialogue.conversation.resting, repeated(dialogue)
    assert not resting
    assert spoken(again)[2] == [str(A)]
    assert again != first, "in other words, or nothing would be sent"
    assert MEANING[spoken(again)[1]] is Level.LEAVING
    assert dialogue.conversation.resting
    assert repeated(dialogue) == []


def test_what_changes_during_a_look_is_said_again_after_the_next_one() -> None:
    dialogue = given_looked_at(A)
    dialogue.conversation.change({A: route(A, Level.LEAVING)})
    settle(dialogue)
    looks(dialogue)
    dialogue.conversation.change({A: route(A)})
    (line,) = dialogue.said()
    dialogue.hear("done", *summary(S1), "done")
    assert dialogue.said() == []
    (again,) = repeated(dialogue)
    assert MEANING[spoken(again)[1]] is MEANING[spoken(line)[1]]


def test_a_withdraw_is_said_again_only_where_tables_do_not_tell_who_has_missed_it() -> None:
    dialogue = given_looked_at(A)
    dialogue.want()
    settle(dialogue)
    assert repeated(dialogue) == []
    dialogue.want(route(A))
    settle(dialogue)
    repeated(dialogue)
    dialogue.conversation.prefixes.looks = False
    dialogue.want()
    settle(dialogue)
    assert [line.split()[0] for line in repeated(dialogue)] == ["withdraw"]
    assert repeated(dialogue) == []


def test_a_neighbor_that_does_not_list_us_is_tested_with_back_off() -> None:
    dialogue = given_served(A)
    trial = tried(dialogue)
    refuse(dialogue, "error")
    for patience in BACKOFF[1:4]:
        asked = dialogue.now
        assert MEANING[spoken(next_trial(dialogue, S1))[1]] is MEANING[spoken(trial)[1]]
        assert dialogue.now == pytest.approx(asked + patience)
        assert dialogue.hear("error", *summary(S1)) == []
    next_trial(dialogue, S1)
    assert dialogue.hear("done", *summary(S1)) == [Listed(S1, listed=True)]
    assert dialogue.said() != [], "it has missed something"


def test_an_unknown_configuration_changes_nothing() -> None:
    dialogue = given_served(A)
    while V5.CONFIGURATION not in (lines := dialogue.said()):
        dialogue.hear(*summary() * lines.count(V5.PROBE))
        dialogue.wait()
    assert dialogue.hear(*summary()) == [], "the heading of the question behind it"
    assert dialogue.said() == []


def looks(dialogue: Dialogue) -> bool:
    """Go on until ExaBGP's configuration is polled; whether its routes are polled, too."""
    established = dialogue.conversation.established
    while V5.CONFIGURATION not in (lines := dialogue.said()):
        for line in lines:
            answers = {V5.PROBE: summary(*established), V5.DETAIL: extensive(*established)}
            dialogue.hear(*answers.get(line, ["done" if whole(line) == line else "error"]))
        dialogue.wait()
    assert lines in ([V5.CONFIGURATION, V5.ROUTES, V5.PROBE], [V5.CONFIGURATION, V5.PROBE])
    return V5.ROUTES in lines


def surveyed(dialogue: Dialogue, *routes: str) -> tuple[bool, list[Event]]:
    """The next poll: whether it included the routes, and the events that followed."""
    looked = looks(dialogue)
    answers = ["done", *routes, "done"] if looked else ["done"]
    return looked, dialogue.hear(*answers, *summary(*dialogue.conversation.established))


def static(network: Network, peer: object = N1, word: str = "") -> str:
    """As 5.0 reports it; 4.2 has a word before the neighbor."""
    return f"{word}{peer} ipv{network.version} unicast {network} next-hop 2001:db8::2"


def withdrawn(dialogue: Dialogue) -> list[str]:
    """Withdraws are answered ``done`` in each form, which means one neighbor at least; what is sent then."""
    while (lines := dialogue.said()) and lines[0].startswith("withdraw "):
        assert dialogue.hear(*["done"] * len(lines)) == []
    return lines


def given_withdrawn_there(*networks: Network) -> Dialogue:
    """As ``given_listed``; the withdraw of A is answered, and ExaBGP's routes are polled."""
    dialogue = given_listed(*networks or (A,))
    dialogue.conversation.change({A: None})
    assert withdrawn(dialogue) == [V5.ROUTES, V5.PROBE]
    assert dialogue.conversation.may_announce([A])
    assert not dialogue.conversation.has_carried_out([A])
    return dialogue


def test_a_withdraw_is_confirmed_when_exabgp_announces_the_prefix_to_nobody() -> None:
    dialogue = given_withdrawn_there(A, B)
    assert dialogue.hear(static(B), "done") == [Answered(A, None)]
    assert dialogue.hear(*summary(S1)) == []
    assert not dialogue.conversation.may_announce([A])
    assert dialogue.conversation.has_carried_out([A, B])
    dialogue.conversation.own(forms(A, B, C))
    assert V5.ROUTES not in settle(dialogue), "what was never announced is withdrawn everywhere"


def test_a_prefix_that_a_neighbor_keeps_is_not_withdrawn_until_it_is_gone_there() -> None:
    """The neighbor has stopped listing us, which nobody has noticed yet."""
    dialogue = given_withdrawn_there()
    assert dialogue.hear(static(A), static(A, N2), "done", *summary(S1)) == [Kept(A, (N1, N2))]
    assert dialogue.conversation.may_announce([A])
    assert not dialogue.conversation.resting
    assert next_trial(dialogue, S1).startswith("withdraw "), "at once"
    assert refuse(dialogue, "error") == [Listed(S1, listed=False)]
    assert surveyed(dialogue, static(A)) == (True, [Kept(A, (N1,))])
    assert not dialogue.conversation.has_carried_out([A])
    assert surveyed(dialogue) == (True, [Answered(A, None)])
    assert not dialogue.conversation.may_announce([A])


@pytest.mark.parametrize("there", [True, False])
def test_a_poll_tells_who_keeps_what_was_withdrawn_before_its_answer_and_confirms_nothing_else(there: bool) -> None:
    dialogue = given_listed(A, B)
    for network in (A, B):
        dialogue.conversation.change({network: None})
        (line,) = dialogue.said()
        assert str(network) in line
    while V5.ROUTES not in (lines := dialogue.said()):
        dialogue.hear("done")
    assert lines == [V5.PROBE, V5.ROUTES, V5.PROBE], "the last form of A is answered, that of B is not"
    dialogue.hear("done", *summary(S1))
    heard = dialogue.hear(static(A), *[static(B)] * there, "done")
    assert heard == [Kept(A, (N1,)), *[Kept(B, (N1,))] * there]
    assert V5.ROUTES in dialogue.said(), "asked for B"


@pytest.mark.parametrize("there", [True, False])
def test_a_poll_tells_who_keeps_what_exabgp_has_refused_to_withdraw(there: bool) -> None:
    dialogue = given_listed(A, B)
    dialogue.conversation.change({A: None})
    while dialogue.said()[0].startswith("withdraw "):
        heard = dialogue.hear("error")
    assert [type(one) for one in heard] == [Refused]
    dialogue.hear(*summary(S1))
    dialogue.conversation.change({B: None})
    assert withdrawn(dialogue) == [V5.ROUTES, V5.PROBE]
    heard = dialogue.hear(*[static(A)] * there, "done", *summary(S1))
    assert heard == [*[Kept(A, (N1,))] * there, Answered(B, None)]
    assert not dialogue.conversation.has_carried_out([A])


def test_a_withdraw_that_reaches_a_neighbor_at_last_is_confirmed_at_once() -> None:
    dialogue = given_withdrawn_there()
    dialogue.hear(static(A), "done", *summary(S1))
    next_trial(dialogue, S1)
    refuse(dialogue, "error")
    next_trial(dialogue, S1)
    assert dialogue.hear("done", *summary(S1)) == [Listed(S1, listed=True)]
    assert withdrawn(dialogue) == [V5.ROUTES, V5.PROBE]
    assert dialogue.hear("done", *summary(S1)) == [Answered(A, None)]


def test_a_poll_that_is_not_answered_is_sent_again() -> None:
    dialogue = given_withdrawn_there()
    assert dialogue.hear(*summary(S1)) == []
    assert dialogue.said() == [V5.ROUTES, V5.PROBE]
    assert dialogue.hear("done", *summary(S1)) == [Answered(A, None)]


def test_a_poll_that_a_resync_forgets_is_sent_again() -> None:
    dialogue = given_listed(A)
    dialogue.conversation.change({A: None})
    withdrawn(dialogue)
    dialogue.hear(HEADING, "done")
    (odd,) = dialogue.hear("done", "done")
    assert isinstance(odd, Anomaly)
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done")
    assert V5.ROUTES in settle(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_a_poll_that_is_refused_is_not_awaited() -> None:
    dialogue = given_withdrawn_there()
    assert dialogue.hear("error", *summary(S1)) == [Answered(A, None)]


def test_tables_that_are_too_long_are_not_awaited() -> None:
    dialogue = given_withdrawn_there()
    assert dialogue.hear(static(A), *[static(B)] * MOST_ROUTES, "done", *summary(S1)) == [Answered(A, None)]
    dialogue.want(route(A))
    settle(dialogue)
    dialogue.want()
    assert V5.ROUTES not in settle(dialogue)
    assert not dialogue.conversation.may_announce([A])


def test_without_acknowledgements_tables_are_not_awaited() -> None:
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.conversation.inherit([A])
    dialogue.want()
    dialogue.said()
    dialogue.hear("exabgp 4.2.25", "")
    told: list[Event] = []
    while not told:
        lines = dialogue.said()
        assert V5.ROUTES not in lines
        told = dialogue.hear(*[HEADING] * lines.count(V5.PROBE))
    assert told == [Answered(A, None)]


def test_a_prefix_desired_again_during_a_poll_is_announced() -> None:
    dialogue = given_withdrawn_there()
    dialogue.want(route(A))
    (announce,) = dialogue.said()
    assert announce.startswith("announce ")
    assert dialogue.hear(static(A), "done", *summary(S1), "done") == [Answered(A, route(A))]


def test_a_withdraw_repeated_during_a_poll_is_confirmed_by_the_next_one() -> None:
    dialogue = given_withdrawn_there()
    dialogue.hear(state(S2, "up"))
    assert V5.DETAIL in dialogue.said()
    assert dialogue.hear("done", *summary(S1, S2), *extensive(S1, S2), "done") == []
    assert V5.ROUTES in withdrawn(dialogue)
    assert dialogue.hear("done") == [Answered(A, None)]


@pytest.mark.parametrize("word", ["neighbor ", ""], ids=["exabgp4", "exabgp5"])
def test_a_route_that_reappears_is_withdrawn_again(word: str) -> None:
    """A reload (SIGUSR1) announces what a static section has without an event."""
    dialogue = given_listed(A)
    dialogue.clear()
    assert surveyed(dialogue, static(B, word=word), "what nobody knows") == (True, [])
    assert dialogue.said() == []
    (odd,) = surveyed(dialogue, static(B, word=word), static(A, word=word))[1]
    assert isinstance(odd, Anomaly)
    assert f"{A}" in odd.detail
    assert dialogue.said()[0].startswith(f"withdraw route {A} ")
    assert dialogue.hear("done") == [Answered(A, None)]
    dialogue.want(route(A))
    dialogue.said()
    dialogue.hear("done")
    assert surveyed(dialogue) == (False, []), "nothing that should not be there"


def test_a_route_at_a_neighbor_that_the_file_names_no_more_is_withdrawn() -> None:
    """A predecessor with another file told it, and ExaBGP lives on."""
    policy = RoutePolicy.derived(Attributes(med=50, neighbors=(Session(N1),)))
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.conversation = talking(policy.routes(A))
    dialogue.conversation.inherit([A])
    dialogue.said()
    dialogue.hear("exabgp 5.0.15", "done", state(S1, "up"), state(S2, "up"))
    dialogue.want()
    kept = static(A, N2)

    def carried_out() -> list[str]:
        answers = {V5.DETAIL: extensive(S1, S2), V5.PROBE: summary(S1, S2), V5.ROUTES: [kept, "done"]}
        told: list[str] = []
        for _ in range(20):
            told += (lines := dialogue.said())
            dialogue.hear(*(answer for line in lines for answer in answers.get(line, ["done"])))
        return told

    carried_out()
    looked, events = surveyed(dialogue, kept)
    assert looked
    assert any(isinstance(one, Anomaly) for one in events)
    assert any(line.startswith(f"neighbor {N2} withdraw route {A} ") for line in dialogue.said())
    dialogue.hear("done")
    kept = static(B, N2)
    carried_out()
    assert dialogue.conversation.has_carried_out([A])


def test_a_route_at_a_neighbor_that_does_not_list_us_is_left_alone() -> None:
    """It would be withdrawn again and again in vain."""
    dialogue = given_served(A)
    dialogue.want()
    settle(dialogue)
    tried(dialogue)
    refuse(dialogue, "error")
    assert surveyed(dialogue, static(A), static(A, N2)) == (True, [])


def test_a_route_desired_since_the_poll_is_not_withdrawn() -> None:
    dialogue = given_listed(A)
    dialogue.clear()
    assert looks(dialogue)
    dialogue.want(route(A))
    (told,) = dialogue.said()
    assert told.startswith("announce ")
    assert dialogue.hear("done", static(A), "done", *summary(S1), "done") == [Answered(A, route(A))]
    assert dialogue.said() == []


def test_a_prefix_split_differently_since_the_poll_is_not_withdrawn() -> None:
    dialogue = given_listed(A)
    dialogue.clear()
    assert looks(dialogue)
    both = (Session(N1), Session(N2))
    dialogue.conversation.own([])
    dialogue.conversation.own([Route(A, Attributes(neighbors=both, next_hops=((both[0], "2001:db8::9"),)))])
    assert not [one for one in dialogue.hear("done", static(A), "done", *summary(S1)) if isinstance(one, Anomaly)]


def test_a_poll_costs_a_thousandth_of_the_time_and_delays_no_command_for_long() -> None:
    dialogue = given_served(A)
    dialogue.clear()
    began = dialogue.now
    assert surveyed(dialogue, *[static(B)] * 100)[0]
    while not surveyed(dialogue, *[static(B)] * (MOST_ROUTES + 1))[0]:
        pass
    assert dialogue.now - began >= 100 * ROUTE_COST
    assert not any(surveyed(dialogue)[0] for _ in range(1000))


def test_sessions_and_the_families_that_they_carry() -> None:
    """From the answer for both ends; 4.2 and 5.0 have columns of other widths."""
    dialogue = given_served(A)
    dialogue.configured.clear()
    families = {
        S1: [
            "  Families                        Local          Remote        Add-Path",
            "   ipv4 unicast:                enabled         enabled        disabled",
            "   ipv4 flow:                   enabled         enabled        disabled",
            "   ipv6 unicast:                enabled        disabled disabled       ",
        ],
        T1: ["   ipv6 unicast:                enabled        disabled disabled       "],
        S2: ["   ipv6 unicast:                enabled             n/a disabled       "],
        Session(IPv6Address("fd00::9")): [],
    }
    told = [line for one, rows in families.items() for line in (*extensive(one)[:-1], *rows)]
    for _ in range(2):
        dialogue.hear(state(S1, "up"))
        assert dialogue.said()[0] == V5.DETAIL
        dialogue.hear(*told, "done", "done")
    (configured,) = dialogue.configured  # on change only
    assert configured.families == {S1: frozenset({4}), T1: frozenset(), S2: None, Session(IPv6Address("fd00::9")): None}


@pytest.mark.parametrize(
    ("numbers", "terms"),
    [
        ((65010, 65000, 9), Terms(65010, 65000, 9)),
        ((65010, 4294967295, "n/a"), Terms(65010, 4294967295)),
        ((65010, 65000, 10**5), Terms(65010, 65000, 180)),
        ((65010, 65000, 0), Terms(65010, 65000, 0)),
        ((65010, 65000, "9" * 5000), Terms(65010, 65000, 180)),
        ((65010, 0, 9), None),
        ((65010, 4294967296, 9), None),
        ((65010, "9" * 5000, 9), None),
        (("auto", 65000, 9), None),
    ],
)
def test_terms_of_a_session(numbers: tuple[object, object, object], terms: Terms | None) -> None:
    dialogue = given_withdrawn(A, pulse=PULSE)
    dialogue.hear(state(S1, "up"))
    assert V5.DETAIL in dialogue.said()
    dialogue.hear(*setup(S1, *numbers), "done", "done")
    assert dialogue.configured[-1].terms == ({} if terms is None else {S1: terms})


def test_shutdown() -> None:
    assert Dialogue(A).hear(SHUTDOWN) == [Stopping()]


def test_encoder_text_is_named_and_its_shutdown_understood() -> None:
    dialogue = Dialogue(A)
    assert dialogue.hear("shutdown 4711 1") == [Stopping()]
    for line in (
        "neighbor 192.0.2.1 up",
        "neighbor 192.0.2.1 down - peer reset, message",
        "neighbor fe80::1 connected",
    ):
        (odd,) = dialogue.hear(line)
        assert isinstance(odd, Anomaly)
        assert "encoder json" in odd.detail


def test_forms_are_bounded() -> None:
    dialogue = given_withdrawn(A)
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


VOCABULARY = [
    *("done", "error", HEADING, "exabgp 5.0.15", "exabgp 4", SHUTDOWN, "", "{", "Peer"),
    *(state(session, name) for session in (S1, S2, T1) for name in ("up", "down", "connected")),
    *(f"{neighbor} 65000 0:01 {name} 1 1" for neighbor in (N1, "x") for name in ("established", "idle")),
]


@settings(max_examples=examples(300))
@given(
    st.lists(st.sampled_from(VOCABULARY).map(lambda line: line.encode() + b"\n") | st.binary(max_size=60), max_size=60),
    st.randoms(use_true_random=False),
)
def test_no_bytes_make_it_raise_or_send_without_end(data: list[bytes], chance: random.Random) -> None:
    dialogue = Dialogue(A, B, C, greeted=chance.random() < 0.8)
    lines = Lines(200)
    for piece in data:
        dialogue.want(*(route(one, chance.choice(list(Level))) for one in (A, B, C) if chance.random() < 0.5))
        dialogue.now += chance.choice([0.0, 0.01, 1.0])
        dialogue.conversation.tick(dialogue.now)
        assert len(dialogue.said()) <= WINDOW + 3
        for line in lines.feed(piece):
            dialogue.hear(line)


# Everything at once, in any order


def spoken(line: str) -> tuple[str, str, list[str]]:
    """Verb, attributes and prefixes of a command."""
    verb, kind, *rest = line.split()
    if kind == "route":
        return verb, " ".join(rest[1:]), rest[:1]
    assert kind == "attributes"
    middle = rest.index("nlri")
    return verb, " ".join(rest[:middle]), rest[middle + 1 :]


MEANING = {
    spoken(V4.announce(route(A, level), variant))[1]: level for level in Level for variant in variants(POLICY.at(level))
}
"""The words for the attributes → what every router understands."""


def whole(line: str) -> str:
    """The command without the words that choose a neighbor."""
    return re.sub(r"^neighbor \S+ (local-ip \S+ )?", "", line)


class Router:
    """A neighbor, and what ExaBGP's ``rib/outgoing.py`` does for it."""

    def __init__(self) -> None:
        self.up = False
        self.listed = True
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

    @property
    def announced(self) -> set[str]:
        """What it gets now, or when its session comes up."""
        return set(self._seen)

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


def test_an_announcement_does_not_take_the_place_of_a_withdraw_in_a_queue() -> None:
    """At the start A is withdrawn in the words in which B is to be announced. B is announced as a standby first."""
    dialogue, router = Dialogue(A, B), Router()
    router.flip()
    for level in (Level.STANDBY, Level.ACTIVE):
        dialogue.want(route(B, level))
        for line in settle(dialogue):
            verb, words, prefixes = spoken(line)
            router.tell(verb, words, *prefixes)
    router.send()
    assert router.table == {str(B): Level.ACTIVE}


@pytest.mark.parametrize(("encodings", "expected"), [(VARIANTS, Level.ACTIVE), ((BRIEF,), Level.LEAVING)])
def test_one_encoding_is_too_few(
    encodings: Sequence[Variant], expected: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announced as A, as B and again as A while its session is down, a prefix ends as B: first come, first sent."""
    monkeypatch.setattr("exavrrp.speaker.variants.VARIANTS", encodings)
    dialogue, router = Dialogue(A), Router()
    dialogue.clear()
    for level in (Level.ACTIVE, Level.LEAVING, Level.ACTIVE):
        dialogue.want(route(A, level))
        for line in dialogue.said():
            verb, words, prefixes = spoken(line)
            router.tell(verb, words, *prefixes)
            dialogue.hear("done")
    assert dialogue.conversation.settled
    router.flip()
    router.send()
    assert router.table == {str(A): expected}


def name(session: Session) -> str:
    """What ExaBGP 6 calls a session."""
    return f"neighbor {session.peer} local-ip {session.local} local-as 65010 peer-as 65000 router-id 192.0.2.1"


class Json:
    """What is different in the API of ExaBGP 6: a model of it, as no release has it yet.

    Seen with its main branch (4460078e0019, 2026-08-22) on Python 3.12, with BIRD 2.0.12 for a neighbor:

    - The next command is read when the last one is answered: nothing overtakes, and ``session reset`` is answered.
    - ``done`` and ``error`` are words. ``error: REASON`` stands before the latter where the reason is known.
    - ``daemon status`` tells the state of each session by ExaBGP's name for it, ``peer show`` all of each session,
      whatever word follows it (so the configuration, and who lists us, is told by nothing), ``rib show out`` a line for
      each route.
    - ``peer SELECTOR announce …`` is for *everybody* who lists us where no session fits that does. ``peer SELECTOR
      routes add …`` is for nobody then. Its one line tells of each route whether anybody was told, and ends the answer;
      nobody is, too, where no session has the family.
    - ``done`` came after 2.5 ms, the UPDATE at the neighbor after 49 ms, at most 114 (medians of 25, and that maximum).
    - The words of ``variants`` are one UPDATE, sent each time.
    """

    @staticmethod
    def in_old_words(line: str) -> str:
        """The command as 4.2 and 5.0 would be given it."""
        old = {V6.PROBE: V5.PROBE, V6.DETAIL: V5.DETAIL, V6.ROUTES: V5.ROUTES}
        line = re.sub(r"^peer \* ", "", line)
        line = re.sub(r"^peer \[ (.*) \] routes add ", r"neighbor \1 announce ", line)
        return old.get(line, re.sub(r"^peer \[ (.*) \] routes remove ", r"neighbor \1 withdraw ", line))

    @staticmethod
    def status(sessions: Mapping[Session, bool]) -> str:
        peers = {name(one): "ESTABLISHED" if up else "IDLE" for one, up in sessions.items()}
        return json.dumps(
            {"version": "6.0.0", "uuid": "9f6d", "pid": 7, "uptime": 1, "start_time": 1.5, "peers": peers}
        )

    @staticmethod
    def sessions(sessions: Mapping[Session, bool]) -> str:
        return json.dumps(
            [
                {
                    "state": "up" if up else "down",
                    "fsm": "ESTABLISHED" if up else "IDLE",
                    "local": {"families": {"ipv6 unicast": True}, "address": str(one.local), "as": 65010, "hold": 30},
                    "peer": {
                        "families": {"ipv6 unicast": 1 if up else -1},
                        "address": str(one.peer),
                        "as": 65000,
                        "hold": 240 if up else None,
                    },
                }
                for one, up in sessions.items()
            ]
        )

    @staticmethod
    def result(verb: str, prefixes: Sequence[str], *, found: bool) -> str:
        word = "success" if verb == "announce" else "removed"
        told = [{"index": "3031", "route": f"{prefix} next-hop self", word: found} for prefix in prefixes]
        return json.dumps(told[0] if len(told) == 1 else told)


class Model:
    """ExaBGP: its API, and a queue for each neighbor."""

    def __init__(self, honest: bool) -> None:
        self.honest = honest
        self.version = "4.2.25"
        self.pipe: deque[str] = deque()
        self.queue: deque[str] = deque()
        self.sessions = {S1: Router(), T1: Router(), S2: Router()}
        self.out: deque[str] = deque()
        self.commands = 0
        self.hidden = False
        """whether a session that nobody was told of has changed since the configuration was told"""

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, in either direction."""
        return not (self.pipe or self.queue or self.out)

    def relist(self, session: Session | None, *, listed: bool) -> None:
        """A reload with another list; None: of all.

        One that is undone before the next survey goes unnoticed if it begins just before what is repeated after the
        last one, or if a session ends meanwhile and comes up again.
        """
        if not self.idle or (listed and self.hidden):
            return
        for one, router in self.sessions.items():
            if session in (one, None):
                router.listed = listed

    def write(self, lines: list[str]) -> None:
        self.pipe.extend(lines)
        waiting = [
            prefix
            for line in map(Json.in_old_words, (*self.pipe, *self.queue))
            if whole(line).split()[0] in ("announce", "withdraw")
            for prefix in spoken(whole(line))[2]
        ]
        assert len(waiting) == len(set(waiting)) or not self.honest, "two commands for one prefix"
        assert len(self.pipe) < 1000

    def read(self, most: int) -> None:
        """One turn of ExaBGP's loop begins: reads what is there; some things are answered at once."""
        for _ in range(min(most, len(self.pipe))):
            line = self.pipe.popleft()
            if self.version.startswith("6"):
                self.queue.append(line)
            elif line == V5.VERSION:
                self.out += [f"exabgp {self.version}", "done"]
            elif line == V5.RESET:
                self.queue.clear()
            elif line.startswith("show ") or whole(line).split()[0] in ("announce", "withdraw"):
                self.queue.append(line)
            else:
                self.out.append("error")

    def run(self, most: int, fate: str, before: int = 0) -> None:
        """Carry out what was read. ``fate``: what happens to each command; ``before``: so many neighbors are told
        before one raises an exception, to which 5.0 answers ``error`` and 4.2 nothing.
        """
        for _ in range(min(most, len(self.queue))):
            said = self.queue.popleft()
            line = Json.in_old_words(said)
            up = [one for one, it in self.sessions.items() if it.up]
            if self.version.startswith("6") and self.tell(line):
                continue
            if line == V5.CONFIGURATION:
                self.out += [*(f"{one} {router.listed}" for one, router in self.sessions.items()), "done"]
                self.hidden = False
                continue
            if line == V5.ROUTES:
                rows = (static(ip_network(n), s.peer) for s, it in self.sessions.items() for n in it.announced)
                self.out += [*rows, "done"]
                continue
            if line in (V5.PROBE, V5.DETAIL):
                down = [one for one in self.sessions if one not in up]
                self.out += summary(*up) if line == V5.PROBE else extensive(*up, down=down)
                continue
            self.commands += 1
            verb, words, prefixes = spoken(whole(line))
            reached = [
                router
                for session, router in self.sessions.items()
                if router.listed
                and (
                    line == whole(line) or re.search(f"neighbor {session.peer} (?!local-ip (?!{session.local} ))", line)
                )
            ]
            if not reached:
                self.out.append(Json.result(verb, prefixes, found=False) if " routes " in said else "error")
                continue
            if fate == ("lost" if self.version.startswith("4") else "error"):
                reached = reached[: min(before, len(reached) - 1)]
            elif fate in ("error", "lost"):
                reached = []
            for router in reached:
                for prefix in prefixes:
                    router.tell(verb, words, prefix)
            if fate == "done" and " routes " in said:
                self.out.append(Json.result(verb, prefixes, found=True))
            elif fate in ("done", "error"):
                self.out += ["error: Unexpected error", fate] if (self.version[0], fate) == ("6", "error") else [fate]

    def tell(self, line: str) -> bool:
        """In the API of ExaBGP 6; whether that was a question."""
        known = {one: it.up for one, it in self.sessions.items()}
        match line:
            case V5.VERSION:
                told = ['{"version": "6.0.0", "application": "exabgp"}']
            case V5.RESET:
                told = ['{"status": "asynchronous queue cleared"}']
            case V5.THROWAWAY:
                self.out.append("error")
                return True
            case V5.PROBE:
                told = [Json.status(known)]
            case V5.DETAIL:
                told, self.hidden = [Json.sessions(known)], False
            case V5.ROUTES:
                routes = ((str(one.peer), n) for one, it in self.sessions.items() for n in it.announced)
                told = [json.dumps({peer: {"routes": [{"prefix": n}]}}) for peer, n in routes]
            case _:
                return False
        self.out += [*told, "done"]
        return True


class AnyOrder(RuleBasedStateMachine):
    """Events in any order: in the end, ExaBGP has and has confirmed what was desired last."""

    honest = True
    """whether ExaBGP says only what it was asked, as all versions do"""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.conversation = talking(forms(A, B, C))
        self.model = Model(self.honest)
        self.wanted: dict[Network, Route] = {}
        self.confirmed: dict[Network, Route | None] = {}
        self.begun = False
        self.turn()

    def turn(self) -> None:
        """What the pump does after every event."""
        while lines := self.conversation.transmit(self.now):
            self.model.write(lines)

    def note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Answered):
                assert event.route == self.wanted.get(event.network), "wanted no more"
                if event.route is None and self.honest:
                    kept = [one for one, it in self.model.sessions.items() if str(event.network) in it.announced]
                    assert not kept, "whose sessions have, or will have, what was withdrawn"
                self.confirmed[event.network] = event.route

    @initialize(version=st.sampled_from(["4.2.25", "5.0.15", "6.0.0"]))
    def is_of(self, version: str) -> None:
        self.model.version = version

    @rule(choice=st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(Level)))
    def want(self, choice: dict[Network, Level]) -> None:
        self.wanted = {network: route(network, level) for network, level in choice.items()}
        self.conversation.set(self.wanted.values())
        self.begun = True
        self.turn()

    @rule(most=st.integers(1, 5))
    def reads(self, most: int) -> None:
        self.model.read(most)

    @rule(
        most=st.integers(1, 5),
        fate=st.sampled_from(["done", "done", "done", "error", "lost", "done unsaid"]),
        before=st.integers(0, 2),
    )
    def runs(self, most: int, fate: str, before: int) -> None:
        self.model.run(most, fate, before)

    @rule(most=st.integers(1, 8))
    def hears(self, most: int) -> None:
        for _ in range(min(most, len(self.model.out))):
            self.note(self.conversation.feed(self.model.out.popleft(), self.now))
            self.turn()

    @rule(session=st.sampled_from([S1, T1, S2]))
    def flips(self, session: Session) -> None:
        router = self.model.sessions[session]
        router.flip()
        if router.listed:
            self.model.out.append(state(session, "up" if router.up else "down"))
        else:
            self.model.hidden = True

    @rule(session=st.sampled_from([S1, T1, S2]), listed=st.booleans())
    def lists(self, session: Session, listed: bool) -> None:
        self.model.relist(session, listed=listed)

    @rule(session=st.sampled_from([S1, T1, S2]))
    def sends(self, session: Session) -> None:
        self.model.sessions[session].send()

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 5.0, 60.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds
        if seconds >= SENT:
            for router in self.model.sessions.values():
                router.send()
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

    @invariant()
    def what_any_neighbor_has_may_be_announced(self) -> None:
        for network in (A, B, C) if self.honest else ():
            if any(str(network) in router.announced for router in self.model.sessions.values()):
                assert self.conversation.may_announce([network])

    def heal(self) -> None:
        """ExaBGP behaves from now on."""
        for _ in range(500):
            self.model.read(100)
            self.model.run(100, "done")
            self.hears(1000)
            if self.model.idle:
                for router in self.model.sessions.values():
                    router.send()
                self.model.relist(None, listed=True)
                if self.conversation.resting and not self.model.hidden:
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
        for router in self.model.sessions.values():
            if router.up:
                assert {prefix: POLICY.at(level) for prefix, level in router.table.items()} == {
                    prefix: one.attributes for prefix, one in wanted.items()
                }
        assert self.confirmed == {network: self.wanted.get(network) for network in (A, B, C)}
        assert self.conversation.established == {one for one, it in self.model.sessions.items() if it.up}


class AnyAnswer(AnyOrder):
    """The same with surplus answers: a confirmation may be wrong for a while, but not for ever."""

    honest = False

    @rule(answer=st.sampled_from(["done", "error", HEADING]))
    def says_what_nobody_asked(self, answer: str) -> None:
        self.model.out.append(answer)


AnyOrder.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=50, deadline=None)
AnyAnswer.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase
TestAnyAnswer = AnyAnswer.TestCase


def test_the_order_in_a_queue_is_that_of_the_desired_routes() -> None:
    """A session that comes up ends with the last desired route, even from what was queued before."""
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


# The API of ExaBGP 6


def spoken_to_6(family: int = 6) -> Dialogue:
    """A conversation in which ``S1`` is up."""
    dialogue = Dialogue(A, greeted=False, pulse=PULSE)
    dialogue.said()
    dialogue.hear('{"version": "6.0.0", "application": "exabgp"}', "done")
    assert dialogue.said() == [V6.PROBE, V6.DETAIL]
    dialogue.hear(Json.status({S1: True}), "done")
    told = Json.sessions({S1: True, S2: False}).replace("ipv6 unicast", f"ipv{family} unicast")
    assert dialogue.hear(told, "done") == [Neighbor(S1, established=True)]
    return dialogue


def test_exabgp_6_tells_all_of_its_sessions_in_a_line() -> None:
    dialogue = spoken_to_6()
    (configured,) = dialogue.configured
    assert configured.families == {S1: frozenset({6}), S2: None}
    assert configured.terms == {S1: Terms(65010, 65000, 30), S2: Terms(65010, 65000)}


def test_exabgp_6_is_asked_who_lists_us_again_and_again() -> None:
    """It does not tell its configuration, so a trial is repeated with each survey."""
    dialogue = spoken_to_6()
    dialogue.want(route(A))
    trials, failed = 0, list[Event]()
    while trials < 3:
        for line in dialogue.said():
            answer = [Json.status({S1: True}), "done"] if line == V6.PROBE else ["done"]
            if " routes " in line:
                assert line.startswith(f"peer [ {S1.peer} ] routes ")
                trials += 1
                answer = [Json.result("announce", [f"{A}"], found=trials == 1)]
            elif line == V6.DETAIL:
                answer = [Json.sessions({S1: True}), "done"]
            failed += [one for one in dialogue.hear(*answer) if isinstance(one, Listed)]
        if trials < 3:
            dialogue.wait()
    assert failed == [Listed(S1, listed=True), Listed(S1, listed=False)]


def test_what_a_session_of_another_family_refuses_says_nothing_about_its_list() -> None:
    """ExaBGP 6 tells nobody, and says so; 4.2 and 5.0 say ``done``."""
    dialogue = spoken_to_6(family=4)
    dialogue.want(route(A))
    told: list[Event] = []
    while not told:
        for line in dialogue.said():
            answer = [Json.status({S1: True}), "done"] if line == V6.PROBE else ["done"]
            answer = [Json.result("announce", [f"{A}"], found=False)] if " routes " in line else answer
            told += [one for one in dialogue.hear(*answer) if isinstance(one, Listed)]
    assert told == [Listed(S1, listed=True)]


def test_what_exabgp_6_tells_by_itself_is_no_answer() -> None:
    dialogue = spoken_to_6()
    dialogue.want(route(A))
    (line, *_) = dialogue.said()
    assert line == f"peer * {V5.announce(route(A))}"
    assert dialogue.hear('{ "exabgp": "6.0.0", "type": "update" }', '{"status": "any"}', "error: Not so") == []
    assert dialogue.hear("error")[0] == Refused(A, line, 1)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("done", True),
        ("error", False),
        ("error: Could not parse route", None),
        (Json.result("announce", ["a"], found=True), True),
        (Json.result("withdraw", ["a"], found=False), False),
        (Json.result("announce", ["a", "b"], found=True), True),
        (f"[{Json.result('announce', ['a'], found=True)}, {Json.result('announce', ['b'], found=False)}]", False),
        ('{"route": "a", "success": false, "error": "no next hop"}', False),
        ('{"route": "a", "success": 1}', None),
        ('{"route": "a", "success": true', None),
        ("[]", None),
        ("[{}]", None),
        ("[{" * 100_000, None),
    ],
)
def test_whether_exabgp_6_has_told_anybody(line: str, verdict: bool | None) -> None:
    assert V6.verdict(line) is verdict


@pytest.mark.parametrize(
    "line",
    [
        "",
        '{"version": "6.0.0", "application": "exabgp"}',
        '{"version": "6.0.0", "uuid": "1", "peers": []}',
        '{"version": "6.0.0", "uuid": "1", "peers": {}',
        '{"uuid": "1", "peers": {}}',
        HEADING,
    ],
)
def test_what_does_not_answer_the_probe_of_exabgp_6(line: str) -> None:
    assert not V6.is_heading(line)
    assert V6.established_peers(line) == []


def test_states_of_exabgp_6() -> None:
    names = {name(S1): "ESTABLISHED", name(S2): "OPENSENT", name(T1): "ESTABLISHED", "neighbor x": "ESTABLISHED", "": 1}
    line = json.dumps({"version": "6.0.0", "uuid": "1", "peers": names})
    assert V6.is_heading(line)
    assert V6.established_peers(line) == [S1.peer, T1.peer]


def detailed(*told: object) -> Detail:
    found = Detail({}, {}, {})
    V6.read_detail(found, json.dumps(told))
    return found


def test_details_of_exabgp_6() -> None:
    minimal = {"peer-address": f"{S1.peer}", "local-address": f"{S1.local}", "peer-as": 65000, "local-as": 65010}
    found = detailed(minimal, {"peer-address": "192.0.2.9", "local-address": None, "peer-as": 0, "local-as": 1})
    other = Session(ip_address("192.0.2.9"))
    assert found.up == {S1: False, other: False}
    assert found.selectors == {
        S1: f"neighbor {S1.peer} local-ip {S1.local}",
        other: "neighbor 192.0.2.9",
    }
    assert (found.families, found.terms) == ({S1: None, other: None}, {S1: Terms(65010, 65000)})


@pytest.mark.parametrize(
    ("ours", "theirs", "terms"),
    [
        ({"as": 65010, "hold": 30}, {"as": 65000, "hold": 240}, Terms(65010, 65000, 30)),
        ({"as": 65010, "hold": 30}, {"as": 65000, "hold": None}, Terms(65010, 65000)),
        ({"as": 65010, "hold": -1}, {"as": 65000, "hold": 3}, Terms(65010, 65000)),
        ({"as": 65010}, {"as": 65000}, Terms(65010, 65000)),
        ({"as": 0, "hold": 30}, {"as": 65000, "hold": 240}, None),
        ({"as": None, "hold": 30}, {"as": 65000, "hold": 240}, None),
        ({"as": True, "hold": True}, {"as": 65000, "hold": 240}, Terms(1, 65000, 1)),
    ],
)
def test_terms_of_exabgp_6(ours: dict[str, object], theirs: dict[str, object], terms: Terms | None) -> None:
    ends = {"local": {"address": "192.0.2.1", **ours}, "peer": {"address": "192.0.2.9", **theirs}}
    assert detailed(ends).terms == (
        {} if terms is None else {Session(*map(ip_address, ("192.0.2.9", "192.0.2.1"))): terms}
    )


@pytest.mark.parametrize(
    "line", ["[]", "[{", "[{}]", '[{"local": {"address": "::1"}, "peer": {"address": "x"}}]', "{}"]
)
def test_what_tells_no_session_of_exabgp_6(line: str) -> None:
    assert not V6.begins_detail(line)


def test_routes_of_exabgp_6() -> None:
    told = {
        f"{N1}": {"routes": [{"prefix": f"{A}"}, {"prefix": "x"}, {"nlri": "flow"}, 7]},
        "x": {"routes": []},
        "y": 1,
    }
    assert V6.routes(json.dumps(told)) == [(N1, A)]
    assert V6.routes(json.dumps({"x": {"routes": [{"prefix": f"{A}"}]}})) == []
    assert V6.routes("[]") == []


def test_commands_for_some_neighbors_of_exabgp_6() -> None:
    """``announce`` with a selector that no listing neighbor fits would tell all of them."""
    some = Route(A, replace(route(A).attributes, neighbors=(S1, Session(N2))))
    chosen = f"peer [ {S1.peer} local-ip {S1.local} , {N2} ] routes"
    assert V6.announce(some).startswith(f"{chosen} add route {A} next-hop self")
    assert V6.withdraw(some, also=[replace(some, network=B)]).startswith(f"{chosen} remove attributes next-hop self")
    line = V6.for_one(f"neighbor {N2}", V6.withdraw(route(A)))
    assert line.startswith(f"peer [ {N2} ] routes remove route {A} ")


def test_exabgp_6_in_the_old_api() -> None:
    """It tells no next hop there, calls a family enabled at the other end before it knows, and counts once more."""
    assert OLD_V6.established_peers(f"{N1}       65000     0:00:07 established           2          0          0") == [
        N1
    ]
    assert OLD_V6.established_peers(f"{N1}       65000        down idle                  0          0          0") == []
    assert OLD_V6.routes(f"{N1} ipv6 unicast {A}") == [(N1, A)]
    found = Detail({}, {}, {})
    for line in extensive(down=[S1])[:-1]:
        OLD_V6.read_detail(found, line)
    OLD_V6.read_detail(found, "    ipv6 unicast:                enabled         enabled        disabled")
    assert found.families == {S1: None}
