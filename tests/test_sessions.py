"""From BGP sessions to the results of a check."""

import re
from ipaddress import ip_address

from exavrrp.config.schema import NAME
from exavrrp.sessions import Requirement, Result, Sessions, check_of

A, B, C = map(ip_address, ("2001:db8:1::1", "2001:db8:2::1", "192.0.2.1"))


def test_nothing_is_told_until_enough_sessions_are_up() -> None:
    sessions = Sessions({"web": Requirement(2)})
    assert sessions.heard(A, established=True) == []
    assert sessions.heard(A, established=False) == []
    assert sessions.heard(A, established=True) == []
    assert sessions.heard(B, established=True) == [Result("web", passed=True, detail="2 up, 2 needed")]


def test_then_every_change_is_told() -> None:
    sessions = Sessions({"web": Requirement(1)})
    sessions.heard(A, established=True)
    assert sessions.heard(B, established=True) == [Result("web", passed=True, detail="2 up, 1 needed")]
    assert sessions.heard(A, established=False) == [Result("web", passed=True, detail="1 up, 1 needed")]
    assert sessions.heard(B, established=False) == [Result("web", passed=False, detail="0 up, 1 needed")]
    assert sessions.heard(B, established=True) == [Result("web", passed=True, detail="1 up, 1 needed")]


def test_when_patience_is_over_what_is_there_counts() -> None:
    sessions = Sessions({"web": Requirement(1), "dns": Requirement(1)})
    assert sessions.give_up_waiting("web") == [Result("web", passed=False, detail="0 up, 1 needed")]
    assert sessions.give_up_waiting("web") == [], "told already"
    assert sessions.heard(A, established=True) == [
        Result("web", passed=True, detail="1 up, 1 needed"),
        Result("dns", passed=True, detail="1 up, 1 needed"),
    ]
    assert sessions.give_up_waiting("dns") == []
    assert sessions.give_up_waiting("without") == []


def test_an_exabgp_that_does_not_answer_has_no_sessions() -> None:
    stalled = Result("web", passed=False, detail="ExaBGP does not answer")
    sessions = Sessions({"web": Requirement(1)})
    assert sessions.answers(stalled=True) == [], "still waiting for the first session"
    assert sessions.heard(A, established=True) == []
    assert sessions.answers(stalled=False) == [Result("web", passed=True, detail="1 up, 1 needed")]
    assert sessions.answers(stalled=True) == [stalled]
    assert sessions.heard(B, established=True) == [stalled]
    assert sessions.answers(stalled=False) == [Result("web", passed=True, detail="2 up, 1 needed")]


def test_only_those_that_can_carry_the_address_count() -> None:
    everything = {A, B, C}
    assert Requirement(3).met_by(everything) == (True, "3 up, 3 needed")
    assert Requirement(2, family=6).met_by(everything) == (True, "2 up, 2 needed")
    assert Requirement(2, family=4).met_by(everything) == (False, "1 up, 2 needed")
    assert Requirement(1, neighbors=frozenset({B})).met_by({A, C}) == (False, "0 up, 1 needed")
    assert Requirement(1, neighbors=frozenset({C}), family=6).met_by({A, C}) == (True, "1 up, 1 needed")


def test_the_check_that_they_are_has_a_name_that_no_table_can_have() -> None:
    assert re.fullmatch(NAME, check_of("web")) is None
