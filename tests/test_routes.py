"""Routes and their attributes as lines of ExaBGP's API."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.routes import (
    GRACEFUL_SHUTDOWN,
    LARGEST,
    Attributes,
    Dialect,
    Ladder,
    Level,
    Route,
    Spelling,
    announce,
    leaving,
    standby,
    withdraw,
)

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
    assert announce(Route(VIP, attributes), dialect, Spelling.EXPLICIT) == (
        "neighbor 192.0.2.1 , neighbor 2001:db8::1 announce route 2001:db8:53::1/128 next-hop 2001:db8:ff::11 med 50 "
        "local-preference 300 community [65010:7 no-export] large-community [65010:1:2] as-path [65010 4200000000] "
        "origin igp"
    )


def test_zero_is_a_value() -> None:
    line = announce(Route(VIP, Attributes(med=0, local_preference=0)), Dialect.V5)
    assert line.endswith("next-hop self med 0 local-preference 0")


def test_spellings_differ_in_words_that_mean_the_default() -> None:
    assert Spelling.BRIEF.other is Spelling.EXPLICIT
    assert Spelling.EXPLICIT.other is Spelling.BRIEF
    brief, explicit = (announce(Route(VIP, Attributes(med=1)), Dialect.V4, one) for one in Spelling)
    assert explicit == brief + " origin igp"


@given(ATTRIBUTES, ADDRESSES, st.sampled_from(Dialect), st.sampled_from(Spelling))
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
    assert ladder.at(Level.LEAVING) == leaving(active)
    assert ladder.routes(VIP) == (Route(VIP, active), Route(VIP, standby(active)), Route(VIP, leaving(active)))
    assert all(one != other for one, other in pairwise(ladder.at(level) for level in Level))
