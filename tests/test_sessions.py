"""From BGP sessions to the results of a check."""

import re
from ipaddress import ip_address

from exavrrp.config.schema import NAME
from exavrrp.neighbors import Session
from exavrrp.sessions import DOUBT, Requirement, Result, Sessions, Standing, check_of

A, B, C, D = (
    Session(ip_address(peer), ip_address(local))
    for peer, local in (
        ("2001:db8:1::1", "2001:db8:1::2"),
        ("2001:db8:2::1", "2001:db8:2::2"),
        ("192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "192.0.2.3"),
    )
)


def up(sessions: Sessions, session: Session) -> list[Result]:
    """It comes up, and its neighbor is told of our routes."""
    sessions.heard(session, established=True)
    return sessions.listed(session, listed=True)


def test_no_result_is_reported_until_enough_sessions_are_up() -> None:
    sessions = Sessions({"web": Requirement(2)})
    assert up(sessions, A) == []
    assert sessions.heard(A, established=False) == []
    assert up(sessions, A) == []
    assert up(sessions, B) == [Result("web", passed=True, detail="2 up, 2 needed")]


def test_after_that_every_change_is_reported() -> None:
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    assert up(sessions, B) == [Result("web", passed=True, detail="2 up, 1 needed")]
    assert sessions.heard(A, established=False) == [Result("web", passed=True, detail="1 up, 1 needed")]
    assert sessions.heard(B, established=False) == [Result("web", passed=False, detail="0 up, 1 needed")]
    assert up(sessions, B) == [Result("web", passed=True, detail="1 up, 1 needed")]


def test_after_the_start_up_hold_the_present_sessions_count() -> None:
    sessions = Sessions({"web": Requirement(1), "dns": Requirement(1)})
    assert sessions.give_up_waiting("web") == [Result("web", passed=False, detail="0 up, 1 needed")]
    assert sessions.give_up_waiting("web") == [], "told already"
    assert up(sessions, A) == [
        Result("web", passed=True, detail="1 up, 1 needed"),
        Result("dns", passed=True, detail="1 up, 1 needed"),
    ]
    assert sessions.give_up_waiting("dns") == []
    assert sessions.give_up_waiting("without") == []


def test_requirements_that_stay_have_no_other_results() -> None:
    sessions = Sessions({"web": Requirement(1), "dns": Requirement(1)})
    sessions.give_up_waiting("web")
    sessions.give_up_waiting("dns")
    assert sessions.require({"web": Requirement(1), "dns": Requirement(1)}) == []
    assert [one.router for one in sessions.require({"web": Requirement(1), "dns": Requirement(2)})] == ["dns"]


def test_other_requirements_count_at_once_and_a_new_router_waits_like_one_at_the_start() -> None:
    sessions = Sessions({"web": Requirement(1), "gone": Requirement(1)})
    up(sessions, A)
    assert sessions.require({"web": Requirement(2), "dns": Requirement(2)}) == [
        Result("web", passed=False, detail="1 up, 2 needed")
    ]
    assert sessions.give_up_waiting("gone") == []
    assert sessions.give_up_waiting("dns") == [Result("dns", passed=False, detail="1 up, 2 needed")]
    assert sessions.require({"web": Requirement(1), "mail": Requirement(1)}) == [
        Result("web", passed=True, detail="1 up, 1 needed"),
        Result("mail", passed=True, detail="1 up, 1 needed"),
    ], "nobody waits for what is there"


def test_who_needed_none_before_does_not_wait_unless_in_the_start_up_hold() -> None:
    sessions = Sessions({})
    assert sessions.require({}, {"web", "dns"}) == []
    assert sessions.give_up_waiting("web") == []
    sessions.rename({"web": "site"})
    results = sessions.require({"site": Requirement(1), "dns": Requirement(1)})
    assert results == [Result("site", passed=False, detail="0 up, 1 needed")]


def test_an_exabgp_that_does_not_answer_has_no_sessions() -> None:
    stalled = Result("web", passed=False, detail="ExaBGP does not answer")
    sessions = Sessions({"web": Requirement(1)})
    assert sessions.answers(stalled=True) == [], "still waiting for the first session"
    assert sessions.heard(A, established=True) == []
    assert sessions.answers(stalled=False) == []
    assert sessions.listed(A, listed=True) == [Result("web", passed=True, detail="1 up, 1 needed")]
    assert sessions.answers(stalled=True) == [stalled]
    assert up(sessions, B) == [stalled]
    assert sessions.answers(stalled=False) == [Result("web", passed=True, detail="2 up, 1 needed")]


def test_only_those_that_can_carry_the_address_count() -> None:
    everything = {A, B, C}
    assert Requirement(3).met_by(everything) == (True, "3 up, 3 needed")
    assert Requirement(2, family=6).met_by(everything) == (True, "2 up, 2 needed")
    assert Requirement(2, family=4).met_by({C}) == (False, "1 up, 2 needed")
    assert Requirement(1, neighbors=frozenset({B})).met_by({A, C}) == (False, "0 up, 1 needed")
    assert Requirement(1, neighbors=frozenset({C}), family=6).met_by({A, C}) == (True, "1 up, 1 needed")


def test_which_family_is_missing_and_what_to_write() -> None:
    passed, detail = Requirement(1, family=6).met_by({C, D})
    assert not passed
    assert detail == (
        "0 IPv6 sessions up, 1 needed; 2 IPv4 up, which count if next_hop in the bgp table names them,"
        " each with an IPv6 address of this node"
    )
    assert "0 IPv4 sessions up, 1 needed; 1 IPv6 up" in Requirement(1, family=4).met_by({A})[1]


def test_two_sessions_to_one_neighbor_count_twice() -> None:
    assert Requirement(2, family=4).met_by({A, C, D}) == (True, "2 up, 2 needed")
    assert Requirement(2, frozenset({Session(C.peer)})).met_by({A, C, D}) == (True, "2 up, 2 needed")
    assert Requirement(1, frozenset({C})).met_by({A, D}) == (False, "0 up, 1 needed")
    assert Requirement(1, frozenset({C})).met_by({Session(C.peer)}) == (True, "1 up, 1 needed"), "may be the one"
    sessions = Sessions({"web": Requirement(1, family=4)})
    up(sessions, C)
    up(sessions, D)
    assert sessions.heard(C, established=False) == [Result("web", passed=True, detail="1 up, 1 needed")]
    assert sessions.heard(D, established=False) == [Result("web", passed=False, detail="0 up, 1 needed")]


def test_a_session_counts_once_its_neighbor_is_known_to_list_us() -> None:
    sessions = Sessions({"web": Requirement(1)})
    assert sessions.heard(A, established=True) == []
    assert sessions.listed(A, listed=True) == [Result("web", passed=True, detail="1 up, 1 needed")]
    untold = [Result("web", passed=False, detail=f"0 up, 1 needed; not told of our routes: {A}")]
    assert sessions.listed(A, listed=False) == untold
    assert sessions.untold == {A}
    assert sessions.heard(A, established=False) == [Result("web", passed=False, detail="0 up, 1 needed")]
    assert sessions.untold == set()


def test_a_session_whose_other_end_becomes_known_counts_on() -> None:
    """It comes up under its new name, and then goes down under its old one."""
    sessions = Sessions({"web": Requirement(1)})
    nameless = Session(A.peer)
    up(sessions, nameless)
    for one, established in ((A, True), (nameless, False)):
        assert all(result.passed for result in sessions.heard(one, established=established))
    assert sessions.heard(B, established=True)[0].detail == "1 up, 1 needed", "another one is not known by it"
    assert not sessions.heard(A, established=False)[0].passed


def test_sessions_to_neighbors_that_do_not_list_us_are_not_awaited() -> None:
    sessions = Sessions({"web": Requirement(2)})
    up(sessions, A)
    sessions.heard(B, established=True)
    detail = f"1 up, 2 needed; not told of our routes: {B}"
    assert sessions.listed(B, listed=False) == [Result("web", passed=False, detail=detail)]
    assert sessions.listed(B, listed=True) == [Result("web", passed=True, detail="2 up, 2 needed")]


def test_an_unlisted_neighbor_concerns_the_routers_that_it_would_count_for() -> None:
    sessions = Sessions({"web": Requirement(1, family=6)})
    for one in (A, C):
        sessions.heard(one, established=True)
        sessions.listed(one, listed=False)
    assert sessions.untold_of("web") == [A]
    assert sessions.untold_of("another") == [C, A], "it needs none, and is announced to them all the same"


def test_each_session_that_has_been_up_has_a_standing() -> None:
    sessions = Sessions({"six": Requirement(1, family=6), "all": Requirement(1)})
    assert sessions.standings() == []
    up(sessions, D)
    up(sessions, A)
    sessions.heard(C, established=True)
    assert sessions.standings() == [
        Standing(C, up=True, told=None, routers=()),
        Standing(D, up=True, told=True, routers=("all",)),
        Standing(A, up=True, told=True, routers=("six", "all")),
    ]
    sessions.listed(C, listed=False)
    sessions.heard(D, established=False)
    assert sessions.standings()[:2] == [
        Standing(C, up=True, told=False, routers=()),
        Standing(D, up=False, told=None, routers=()),
    ]
    sessions.answers(stalled=True)
    assert sessions.standings() == [Standing(one, up=None, told=None, routers=()) for one in (C, D, A)]
    sessions.answers(stalled=False)
    assert [one.up for one in sessions.standings()] == [True, False, True]


def test_a_session_whose_ends_become_known_is_one() -> None:
    nameless = Session(C.peer)
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, nameless)
    assert [one.session for one in sessions.standings()] == [nameless]
    up(sessions, C)
    sessions.heard(nameless, established=False)
    assert [(one.session, one.up) for one in sessions.standings()] == [(C, True)]
    sessions.heard(C, established=False)
    up(sessions, nameless)
    assert [(one.session, one.up) for one in sessions.standings()] == [(C, False), (nameless, True)]


def test_the_name_of_their_check_is_no_valid_table_name() -> None:
    assert re.fullmatch(NAME, check_of("web")) is None


def test_sessions_that_were_never_up_are_known_from_the_configuration() -> None:
    sessions = Sessions({"web": Requirement(1)})
    assert sessions.configured({A: None, B: None}) == []
    assert sessions.standings() == [Standing(one, up=False, told=None, routers=()) for one in (A, B)]
    up(sessions, A)
    up(sessions, C)
    sessions.heard(C, established=False)
    sessions.configured({A: frozenset({6}), D: None})
    assert sessions.standings() == [
        Standing(D, up=False, told=None, routers=()),
        Standing(A, up=True, told=True, routers=("web",), families=(6,)),
    ], "B and C were removed"


def test_a_session_that_does_not_carry_the_family_does_not_count() -> None:
    """ExaBGP takes a route for it, and sends nothing."""
    sessions = Sessions({"web": Requirement(1, carried=6), "any": Requirement(1)})
    sessions.heard(A, established=True)
    sessions.configured({A: frozenset({4})})
    assert sessions.listed(A, listed=True) == [
        Result("web", passed=False, detail=f"0 up, 1 needed; without IPv6 unicast: {A}"),
        Result("any", passed=True, detail="1 up, 1 needed"),
    ], "nor is it a reason to wait"
    assert sessions.standings() == [Standing(A, up=True, told=True, routers=("any",), families=(4,))]
    assert sessions.configured({A: frozenset({4, 6})})[0] == Result("web", passed=True, detail="1 up, 1 needed")


# Carriers


def passes(sessions: Sessions) -> bool:
    (result,) = sessions.results()
    return result.passed


def test_a_session_that_no_path_leads_to_counts_as_down_until_it_comes_up_anew() -> None:
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    assert sessions.paths([], 1.0) == ([], [])
    assert sessions.paths([A, B], 2.0) == ([A], []), "B is down anyway"
    (result,) = sessions.results()
    assert result == Result(
        "web", passed=False, detail=f"0 up, 1 needed; without a path, or not known to have survived that: {A}"
    )
    (standing,) = sessions.standings()
    assert (standing.up, standing.routers) == (False, ())
    assert sessions.paths([A], 2.5) == ([], []), "known already"
    assert sessions.paths([], 3.0) == ([], [A])
    assert not passes(sessions), "its neighbor may have closed it"
    sessions.heard(A, established=False)
    assert sessions.doubtful == {}
    up(sessions, A)
    assert passes(sessions)


def test_a_session_that_was_not_closed_is_trusted_after_a_while() -> None:
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    sessions.paths([], 9.0)
    sessions.paths([A], 10.0)
    sessions.paths([], 14.0)
    assert sessions.doubtful == {A: 18.0 + DOUBT}
    assert sessions.trust(17.9 + DOUBT) == []
    assert not passes(sessions)
    assert sessions.trust(18.0 + DOUBT) == [A]
    assert passes(sessions)


def test_a_session_that_is_cut_off_again_is_not_trusted_for_the_first_time() -> None:
    """TCP has not been through between the two, and waits for longer and longer."""
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    sessions.paths([], 9.0)
    sessions.paths([A], 10.0)
    sessions.paths([], 11.0)
    sessions.paths([A], 11.5)
    assert sessions.trust(20.0) == []
    assert sessions.paths([], 20.0) == ([], [A])
    assert sessions.doubtful == {A: 30.0 + DOUBT}
    assert sessions.trust(31.0) == [A]
    sessions.paths([A], 40.0)
    sessions.paths([], 41.0)
    assert sessions.doubtful == {A: 42.0 + DOUBT}, "another cut"
    up(sessions, A)
    assert sessions.doubtful == {}, "a new session"
    sessions.paths([A], 50.0)
    sessions.heard(A, established=False)
    assert (sessions.cut_off, sessions.paths([], 51.0)) == (set(), ([], []))
    up(sessions, A)
    assert sessions.paths([A], 52.0) == ([], []), "nothing has led to the new one yet"


def test_a_session_without_any_path_that_we_know_is_not_cut_off() -> None:
    """ExaBGP may have one by its source (ip-rule(8)), or in a VRF."""
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    assert sessions.paths([A], 1.0) == ([], [])
    assert passes(sessions)
    sessions.paths([], 2.0)
    assert sessions.paths([A], 3.0) == ([A], [])


def test_a_session_that_does_not_count_for_a_router_is_not_named_to_it() -> None:
    sessions = Sessions({"web": Requirement(1, family=6)})
    up(sessions, A)
    up(sessions, C)
    sessions.paths([], 1.0)
    assert sessions.paths([C], 2.0) == ([C], [])
    assert sessions.results() == [Result("web", passed=True, detail="1 up, 1 needed")]


def test_another_session_is_enough() -> None:
    sessions = Sessions({"web": Requirement(1)})
    up(sessions, A)
    up(sessions, B)
    sessions.paths([], 0.0)
    sessions.paths([A], 1.0)
    assert passes(sessions)
