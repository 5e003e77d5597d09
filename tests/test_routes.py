"""Routes and their attributes as lines of ExaBGP's API."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.routes import (
    BRIEF,
    EXPLICIT,
    GRACEFUL_SHUTDOWN,
    LARGEST,
    SPELLINGS,
    Attributes,
    Dialect,
    Ladder,
    Level,
    Route,
    Spelling,
    Standing,
    Takeover,
    announce,
    leaving,
    prepended,
    spellings,
    standby,
    withdraw,
)

PARTING = Standing(parting=True)
VIP = IPv6Address("2001:db8:53::1")
VIP4 = IPv4Address("192.0.2.53")

NUMBERS = st.integers(0, LARGEST)
WORDS = st.from_regex(re.compile(r"[0-9a-z.:-]{1,20}"), fullmatch=True)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ATTRIBUTES = st.builds(
    Attributes,
    med=st.none() | NUMBERS.filter(lambda med: med < LARGEST),
    local_preference=st.none() | NUMBERS,
    communities=st.lists(WORDS | st.just(GRACEFUL_SHUTDOWN), max_size=3).map(tuple),
    large_communities=st.lists(WORDS, max_size=3).map(tuple),
    as_path=st.lists(NUMBERS, max_size=4).map(tuple),
    next_hop=st.just("self") | ADDRESSES.map(str),
    neighbors=st.lists(ADDRESSES, max_size=3).map(tuple),
)
BOTH = pytest.mark.parametrize("dialect", Dialect)


@BOTH
def test_bare_route(dialect: Dialect) -> None:
    assert announce(Route(VIP, Attributes()), dialect) == "announce route 2001:db8:53::1/128 next-hop self"
    assert withdraw(Route(VIP4, Attributes()), dialect) == "withdraw route 192.0.2.53/32 next-hop self"


@BOTH
def test_every_attribute(dialect: Dialect) -> None:
    attributes = Attributes(
        med=50,
        local_preference=300,
        communities=("65010:7", "no-export"),
        large_communities=("65010:1:2",),
        as_path=(65010, 4200000000),
        next_hop="2001:db8:ff::11",
        neighbors=(ip_address("192.0.2.1"), ip_address("2001:db8:0:0::1")),
    )
    assert announce(Route(VIP, attributes), dialect, EXPLICIT) == (
        "neighbor 192.0.2.1 , neighbor 2001:db8::1 announce route 2001:db8:53::1/128 next-hop 2001:db8:ff::11 med 50 "
        "local-preference 300 community [65010:7 no-export] large-community [65010:1:2] as-path [65010 4200000000] "
        "origin igp"
    )


def test_zero_is_a_value() -> None:
    line = announce(Route(VIP, Attributes(med=0, local_preference=0)), Dialect.V5)
    assert line.endswith("next-hop self med 0 local-preference 0")


@given(ATTRIBUTES, st.sampled_from(Dialect))
def test_no_two_spellings_have_the_same_words(attributes: Attributes, dialect: Dialect) -> None:
    found = spellings(attributes)
    assert found[:2] == (BRIEF, EXPLICIT)
    assert len({announce(Route(VIP, attributes), dialect, one) for one in found}) == len(found)
    assert len(found) == (6 if attributes.med is None else 12)


def test_spellings() -> None:
    route = Route(VIP, Attributes(med=50))
    lines = [announce(route, Dialect.V4, one).partition("self ")[2] for one in SPELLINGS]
    assert lines[:6] == [
        "med 50",
        "med 50 origin igp",
        "med 50 attribute [0x01 0x40 0x00]",
        "attribute [0x04 0x80 0x00000032]",
        "attribute [0x04 0x80 0x00000032] origin igp",
        "attribute [0x04 0x80 0x00000032] attribute [0x01 0x40 0x00]",
    ]
    assert lines[6] == "med 50 local-preference 100"
    given = announce(Route(VIP, Attributes(local_preference=1)), Dialect.V4, SPELLINGS[6])
    assert given.endswith("next-hop self attribute [0x05 0x40 0x00000001]")


@BOTH
def test_many_in_one_line(dialect: Dialect) -> None:
    one, two = (Route(IPv6Address(f"2001:db8:53::{number}"), Attributes(med=5)) for number in (1, 2))
    words = "attributes next-hop self med 5 nlri 2001:db8:53::1/128 2001:db8:53::2/128"
    assert announce(one, dialect, also=[two]) == f"announce {words}"
    assert withdraw(one, dialect, also=[two]) == f"withdraw {words}"


@pytest.mark.parametrize("other", [Route(VIP4, Attributes()), Route(VIP, Attributes(med=1))])
def test_only_what_has_the_same_attributes_and_family_fits_into_one_line(other: Route) -> None:
    with pytest.raises(AssertionError):
        announce(Route(VIP, Attributes()), Dialect.V5, also=[other])


@given(ATTRIBUTES, ADDRESSES, st.sampled_from(Dialect), st.sampled_from(SPELLINGS))
def test_withdraw_carries_the_very_attributes(
    attributes: Attributes, address: IPv4Address | IPv6Address, dialect: Dialect, spelling: Spelling
) -> None:
    route = Route(address, attributes)
    said = announce(route, dialect, spelling)
    assert withdraw(route, dialect, spelling) == said.replace("announce", "withdraw", 1)
    assert re.fullmatch(r"[ -~]+", said)
    assert "  " not in said
    assert said == said.strip()
    assert f" {address}/{address.max_prefixlen} " in said


@pytest.mark.parametrize(
    "fields",
    [
        {"med": -1},
        {"med": LARGEST + 1},
        {"local_preference": 1 << 32},
        {"as_path": (65010, 1 << 32)},
        {"communities": ("65010:7\nshutdown",)},
        {"communities": ("65010:7 no-export",)},
        {"communities": ("",)},
        {"large_communities": ("65010:1:2]",)},
        {"large_communities": ("65010:1:é",)},
        {"next_hop": "self med 1"},
        {"next_hop": "self\x00"},
        {"next_hop": "SELF"},
        {"neighbors": (IPv6Address("fe80::1%eth0 shutdown"),)},
    ],
)
def test_what_must_not_reach_the_api_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Attributes(**fields)


def test_an_address_with_a_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a word"):
        Route(IPv6Address("fe80::1%eth0"), Attributes())


@given(ATTRIBUTES)
def test_leaving_is_worse_in_some_respect_and_better_in_none(active: Attributes) -> None:
    worse = leaving(active)
    assert worse.med == LARGEST
    assert (active.med or 0) < LARGEST
    assert worse.local_preference == 0
    assert len(set(worse.communities)) == len(worse.communities)
    assert set(worse.communities) == {*active.communities, GRACEFUL_SHUTDOWN}
    assert len(worse.as_path) == len(active.as_path) + (2 if active.as_path else 0)
    assert worse.as_path[-len(active.as_path) or len(worse.as_path) :] == active.as_path
    assert (worse.next_hop, worse.neighbors) == (active.next_hop, active.neighbors)


def test_leaving_prepends_the_first_as_of_the_path() -> None:
    assert leaving(Attributes(as_path=(65010, 65020))).as_path == (65010, 65010, 65010, 65020)
    assert leaving(Attributes()).as_path == ()


def test_ladder() -> None:
    active = Attributes(med=50)
    ladder = Ladder.derived(active)
    assert ladder.at(Level.ACTIVE) == active
    assert ladder.at(Level.LEAVING, PARTING) == leaving(active)
    yielding = replace(active, med=LARGEST)
    assert ladder.at(Level.LEAVING) == yielding, "no more than a worse MED until another's route has arrived"
    forms = (active, standby(active), yielding, leaving(active))
    assert ladder.routes(VIP) == tuple(Route(VIP, form) for form in forms)
    assert all(one != other for one, other in pairwise(ladder.at(level) for level in Level))


def test_prepended() -> None:
    assert prepended((), 0, 65010) == ()
    assert prepended((), 3, 65010) == (65010,) * 4
    assert prepended((65010, 65020), 2, None) == (65010, 65010, 65010, 65020)
    with pytest.raises(ValueError, match="not known"):
        prepended((), 1, None)


@given(ATTRIBUTES, st.none() | st.just(65010))
def test_derived_levels_are_in_order(active: Attributes, local_as: int | None) -> None:
    active = replace(active, med=min(active.med or 0, LARGEST - 2))
    ladder = Ladder.derived(active, local_as=local_as)
    for internal in (True, False):
        ranks = [ladder.rank(level, internal=internal) for level in Level]
        assert ranks == sorted(set(ranks))


def test_takeover_by_med() -> None:
    ladder = Ladder.derived(Attributes(), frozenset({Takeover.MED}))
    now = 1_800_000_000
    assert ladder.at(Level.ACTIVE, Standing(since=now)).med == LARGEST - now
    assert ladder.at(Level.ACTIVE, Standing(since=now + 1)).med == LARGEST - now - 1, "the later, the better"
    assert (ladder.at(Level.STANDBY).med, ladder.at(Level.LEAVING, PARTING).med) == (LARGEST - 1, LARGEST)
    for lost in (None, 0, 1):
        assert ladder.at(Level.ACTIVE, Standing(since=lost)).med == LARGEST - 2, (
            "better than standby, whatever the clock"
        )
    assert ladder.at(Level.ACTIVE, Standing(since=1 << 40)).med == 0
    soft = ladder.at(Level.LEAVING, Standing(since=now)).med
    assert soft == LARGEST - now, "a successor's is better anyway, and a dead node's must not be"
    assert [one.attributes.med for one in ladder.routes(VIP)] == [LARGEST - 1, LARGEST], "nobody knows the time"
    assert ladder.rank(Level.ACTIVE, internal=False) < ladder.rank(Level.STANDBY, internal=False)


def test_takeover_by_prepend() -> None:
    path = prepended((), 3, 65010)
    ladder = Ladder.derived(Attributes(as_path=path), frozenset({Takeover.PREPEND}), 3, 65010)
    lengths = [len(ladder.at(Level.ACTIVE, Standing(silences=count)).as_path) for count in range(6)]
    assert lengths == [4, 3, 2, 1, 1, 1]
    assert (len(ladder.at(Level.STANDBY).as_path), len(ladder.at(Level.LEAVING, PARTING).as_path)) == (5, 6)
    assert len(ladder.at(Level.LEAVING, Standing(silences=1)).as_path) == 3, "as long as it was announced"
    assert [len(one.attributes.as_path) for one in ladder.routes(VIP)] == [4, 3, 2, 1, 5, 4, 6]


def test_what_leaves_keeps_its_med_where_its_own_table_takes_that_away() -> None:
    ladder = Ladder(Attributes(med=50), standby(Attributes()), Attributes(med=None, local_preference=0))
    assert ladder.at(Level.LEAVING).med == LARGEST


@pytest.mark.parametrize(("configured", "standing_by"), [(None, 1), (200, 1), (1, 1), (0, 0)])
def test_a_standby_is_no_preferred_way_whatever_an_active_here_would_be(
    configured: int | None, standing_by: int
) -> None:
    """The Active is another node, whose preference nobody here knows."""
    assert standby(Attributes(local_preference=configured)).local_preference == standing_by


def test_backups_do_not_tie_among_themselves() -> None:
    assert standby(Attributes(), priority=150).med == LARGEST - 151
    assert Ladder.derived(Attributes(), priority=200).standby.med == LARGEST - 201


@pytest.mark.parametrize(
    ("active", "takeover", "prepends"),
    [
        (Attributes(med=5), Takeover.MED, 0),
        (Attributes(as_path=(65010, 65010)), Takeover.PREPEND, 0),
        (Attributes(as_path=(65010, 65010)), Takeover.PREPEND, 2),
        (Attributes(as_path=(65010, 65010)), Takeover.MED, 1),
    ],
)
def test_contradictory_ladders(active: Attributes, takeover: Takeover, prepends: int) -> None:
    with pytest.raises(ValueError, match=r"prepends|MED"):
        Ladder.derived(active, frozenset({takeover}), prepends)
