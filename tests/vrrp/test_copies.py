"""Which paths deliver: one copy of each advert per path, so that a silent path is noticed while another delivers."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.vrrp.copies import CHANGES, MOST_PEERS, SPAN, TOLERANCE, WINDOW, Copies, PathBack, PathQuiet
from exavrrp.vrrp.packet import Address, Advertisement

PEER, OTHER = ip_address("2001:db8::12"), ip_address("2001:db8::13")
EAST, WEST, SOUTH = 2, 3, 4
BOTH = (EAST, WEST)


def advert(interval: float, priority: int = 100) -> Advertisement:
    """An advert of a peer with this interval."""
    return Advertisement(1, priority, round(interval * 100), (ip_address("2001:db8:53::1"),))


def counts(copies: Copies) -> dict[tuple[Address, int], int]:
    """By peer and interface."""
    return {(address, index): count for address, peer in copies.peers.items() for index, count in peer.counts.items()}


def test_both_paths_deliver_and_nothing_is_logged() -> None:
    copies = Copies(1.0)
    for tick in range(10):
        assert copies.heard(PEER, advert(1), EAST, BOTH, tick) == []
        assert copies.heard(PEER, advert(1), WEST, BOTH, tick + 0.001) == []
    assert counts(copies) == {(PEER, EAST): 10, (PEER, WEST): 10}


def test_a_copy_over_another_path_a_moment_later_is_of_the_same_advert() -> None:
    copies = Copies(1.0)

    def repeats(interface: int, now: float, priority: int = 100) -> bool:
        copies.heard(PEER, advert(1, priority), interface, BOTH, now)
        return copies.peers[PEER].repeated

    assert [repeats(EAST, 0), repeats(WEST, 0)] == [False, False], "nothing is known of the paths yet"
    assert [repeats(EAST, 1), repeats(WEST, 1.001)] == [False, True]
    assert [repeats(WEST, 2), repeats(EAST, 2.499)] == [False, True]
    assert [repeats(WEST, 3), repeats(WEST, 3.001), repeats(EAST, 3.002)] == [False, False, True], "two on one path"
    assert [repeats(WEST, 4), repeats(EAST, 4.5)] == [False, False], "too late"
    assert [repeats(EAST, 5.5), repeats(WEST, 5.501, 99), repeats(EAST, 5.502, 99)] == [False, False, True]


def test_a_path_that_falls_silent_is_quiet_once_and_back_once() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    assert [copies.heard(PEER, advert(1), EAST, BOTH, tick) for tick in (0.5, 1.5, 2.5, 3.5)] == [[]] * 4
    assert copies.heard(PEER, advert(1), EAST, BOTH, 3.501) == [PathQuiet(PEER, WEST)]
    assert copies.heard(PEER, advert(1), EAST, BOTH, 4.5) == []
    assert copies.heard(PEER, advert(1), WEST, BOTH, 5) == [PathBack(PEER, WEST)]
    assert copies.heard(PEER, advert(1), WEST, BOTH, 6) == []
    assert counts(copies) == {(PEER, EAST): 6, (PEER, WEST): 3}
    assert copies.peers[PEER].gaps == {WEST: 1}


def test_a_path_that_never_delivered_is_reported_after_the_same_timeout() -> None:
    copies = Copies(1.0)
    said = [copies.heard(PEER, advert(0.1), EAST, BOTH, tick / 10) for tick in range(6)]
    assert said == [[], [], [], [], [PathQuiet(PEER, WEST)], []]


def test_a_peer_that_is_silent_on_all_paths_blames_none() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), EAST, BOTH, 0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    assert copies.heard(PEER, advert(1), EAST, BOTH, 60) == []
    assert copies.heard(PEER, advert(1), EAST, BOTH, 61) == []
    assert copies.heard(PEER, advert(1), WEST, BOTH, 61) == []
    assert copies.peers[PEER].gaps == {}


def test_forged_senders_take_no_memory_for_ever() -> None:
    copies = Copies(1.0)
    for number in range(MOST_PEERS + 10):
        copies.heard(PEER + number, advert(1), EAST, (EAST,), number)
        copies.heard(OTHER - 100, advert(1), EAST, (EAST,), number + 0.5)
    assert len(copies.peers) == MOST_PEERS
    assert OTHER - 100 in copies.peers, "who is heard again and again stays"
    assert PEER not in copies.peers, "and who was heard longest ago goes"
    longest_ago = next(iter(copies.peers))
    for number in range(MOST_PEERS):
        copies.heard(PEER - number - 1, advert(1), EAST, (EAST,), 1000, followed=longest_ago)
    assert longest_ago in copies.peers, "but whom the election follows stays"


def test_a_path_that_was_quiet_before_the_peer_fell_silent_is_still_quiet_after() -> None:
    copies = Copies(1.0)
    for tick in range(5):
        said = copies.heard(PEER, advert(1), EAST, BOTH, tick)
    assert said == [PathQuiet(PEER, WEST)]
    assert copies.heard(PEER, advert(1), EAST, BOTH, 60) == []
    assert copies.heard(PEER, advert(1), WEST, BOTH, 61) == [PathBack(PEER, WEST)]


def test_an_interface_that_leads_there_no_longer_is_forgotten() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    for tick in range(1, 10):
        assert copies.heard(PEER, advert(1), EAST, (EAST,), tick) == []
    assert counts(copies) == {(PEER, EAST): 9, (PEER, WEST): 1}, "a counter never goes back"


def test_an_interface_that_leads_there_now_is_given_its_time() -> None:
    copies = Copies(1.0)
    for tick in range(10):
        copies.heard(PEER, advert(1), EAST, (EAST,), tick)
    said = [copies.heard(PEER, advert(1), EAST, BOTH, tick) for tick in range(10, 15)]
    assert said == [[], [], [], [], [PathQuiet(PEER, WEST)]]


def test_a_copy_through_an_interface_that_nobody_expected_counts() -> None:
    copies = Copies(1.0)
    assert copies.heard(PEER, advert(1), SOUTH, BOTH, 0) == []
    assert counts(copies) == {(PEER, SOUTH): 1}


def test_each_peer_has_its_own_paths() -> None:
    copies = Copies(1.0)
    for tick in range(4):
        copies.heard(PEER, advert(1), EAST, BOTH, tick)
        copies.heard(OTHER, advert(1), WEST, BOTH, tick)
    assert copies.heard(PEER, advert(1), EAST, BOTH, 4) == [PathQuiet(PEER, WEST)]
    assert copies.heard(OTHER, advert(1), WEST, BOTH, 4) == [PathQuiet(OTHER, EAST)]


ARRIVALS = st.lists(st.tuples(st.sampled_from([EAST, WEST, SOUTH]), st.floats(0, 5)), max_size=40)


@given(arrivals=ARRIVALS, interval=st.sampled_from([0.1, 1.0, 40.95]))
def test_quiet_and_back_take_turns(arrivals: list[tuple[int, float]], interval: float) -> None:
    copies, now = Copies(1.0), 0.0
    quiet: set[int] = set()
    heard: dict[int, float] = {}
    for interface, pause in arrivals:
        now += pause * interval
        for said in copies.heard(PEER, advert(interval), interface, (EAST, WEST, SOUTH), now):
            match said:
                case PathQuiet(_, index):
                    assert index not in quiet
                    assert index != interface
                    assert now - heard.get(index, 0) > TOLERANCE * interval
                    quiet.add(index)
                case PathBack(_, index):
                    assert index == interface
                    quiet.remove(index)
        heard[interface] = now
        assert interface not in quiet
    assert sum(counts(copies).values()) == len(arrivals)


# Losses


def losses(copies: Copies, interface: int) -> tuple[int, int]:
    """Lost ones, and of how many, on one path until the last copy on any."""
    known = copies.peers[PEER]
    return known.paths[interface].losses(known.advertisement.centiseconds / 100, known.heard)


def test_a_gap_between_copies_counts_as_the_adverts_that_fit_into_it() -> None:
    copies = Copies(1.0)
    for tick in range(10):
        copies.heard(PEER, advert(0.1), EAST, BOTH, tick * 0.1)
        if tick not in (3, 4, 8):
            copies.heard(PEER, advert(0.1), WEST, BOTH, tick * 0.1 + 0.001)
    assert losses(copies, EAST) == (0, 10)
    assert losses(copies, WEST) == (3, 10)


def test_what_is_still_missing_is_lost_too() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    for tick in range(1, 6):
        copies.heard(PEER, advert(1), EAST, BOTH, tick)
    assert losses(copies, WEST) == (5, 6)
    assert losses(copies, EAST) == (0, 5), "counted from the first copy on any path"


def test_a_copy_that_is_late_or_early_by_less_than_half_an_interval_is_none_that_is_lost() -> None:
    copies = Copies(1.0)
    for at in (0, 1.4, 2.0, 2.1, 3.0):
        copies.heard(PEER, advert(1), EAST, BOTH, at)
    assert losses(copies, EAST) == (0, 5)


def test_a_peer_that_was_silent_has_lost_nothing() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), EAST, BOTH, 0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    copies.heard(PEER, advert(1), EAST, BOTH, 60)
    assert losses(copies, WEST) == (0, 1)
    copies.heard(PEER, advert(1), WEST, BOTH, 60)
    assert losses(copies, EAST) == losses(copies, WEST) == (0, 2)


def test_only_the_last_adverts_count() -> None:
    copies = Copies(1.0)
    copies.heard(PEER, advert(1), WEST, BOTH, 0)
    for tick in range(WINDOW - 1):
        copies.heard(PEER, advert(1), EAST, BOTH, tick)
    assert losses(copies, WEST) == (WINDOW - 2, WINDOW - 1)
    for tick in range(WINDOW - 1, WINDOW + 5):
        copies.heard(PEER, advert(1), EAST, BOTH, tick)
    assert losses(copies, WEST) == (WINDOW, WINDOW)
    assert losses(copies, EAST) == (0, WINDOW)
    copies.heard(PEER, advert(1), WEST, BOTH, WINDOW + 4)
    assert losses(copies, WEST) == (WINDOW - 1, WINDOW)


def says(priorities: Iterable[int], apart: float, interval: float = 1.0) -> tuple[Copies, float]:
    """Adverts with these priorities, each over both paths, so many seconds apart; ours is a second."""
    copies, now = Copies(1.0), 0.0
    for number, priority in enumerate(priorities):
        now = number * apart
        for path in BOTH:
            copies.heard(PEER, advert(interval, priority), path, BOTH, now)
    return copies, now


def test_a_peer_of_two_minds_contradicts_itself() -> None:
    """As two machines with one address do, which advertise in turn."""
    copies, now = says([100, 200] * CHANGES, apart=0.5)
    peer = copies.peers[PEER]
    assert peer.contradicted == now
    assert peer.is_contradictory
    for later, interval, contradictory in ((SPAN, 1, True), (SPAN + 0.01, 1, False), (SPAN + 1, 40, False)):
        copies.heard(PEER, advert(interval, 200), EAST, BOTH, now + later)
        assert peer.is_contradictory is contradictory
    copies, now = says([*[100, 200] * (CHANGES // 2), 100, 100], apart=SPAN / CHANGES)
    assert copies.peers[PEER].contradicted == now - SPAN / CHANGES, "at the last change"


@pytest.mark.parametrize("interval", [0.01, 40.0])
def test_no_advert_chooses_how_its_contradictions_are_measured(interval: float) -> None:
    """A forger would hide them with a short interval, and with a long one make them out of rare changes, and last."""
    copies, now = says([100, 200] * CHANGES, 0.5, interval)
    for later, contradictory in ((0.0, True), (SPAN + 0.01, False)):
        copies.heard(PEER, advert(1, 200), EAST, BOTH, now + later)
        assert copies.peers[PEER].is_contradictory is contradictory
    copies, _ = says([100, 90] * 100, 1.0, interval)
    assert not copies.peers[PEER].is_contradictory


def test_a_peer_whose_priority_changes_with_each_advert_does_not() -> None:
    """A node says another one once an interval at most."""
    copies, _ = says([100, 90] * 100, apart=1.0)
    assert not copies.peers[PEER].is_contradictory
    copies, _ = says([*[100, 200] * (CHANGES // 2), *[200] * 1000], apart=0.01)
    assert not copies.peers[PEER].is_contradictory, "one change too few"
