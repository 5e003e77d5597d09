"""Routes and their attributes as lines of ExaBGP's API."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.neighbors import Session
from exavrrp.routes import LARGEST, Attributes, Network, Route
from exavrrp.speaker.dialects import DIALECTS, V4, V5, Dialect
from exavrrp.speaker.variants import BRIEF, EXPLICIT, VARIANTS, Variant, variants

VIP = IPv6Network("2001:db8:53::1")
VIP4 = IPv4Network("192.0.2.53")

NUMBERS = st.integers(0, LARGEST)
WORDS = st.from_regex(re.compile(r"[0-9a-z.:-]{1,20}"), fullmatch=True)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
NETWORKS = st.builds(
    lambda address, shorter: ip_network((address, max(0, address.max_prefixlen - shorter)), strict=False),
    ADDRESSES,
    st.just(0) | st.integers(1, 128),
)
ATTRIBUTES = st.builds(
    Attributes,
    med=st.none() | NUMBERS.filter(lambda med: med < LARGEST),
    local_preference=st.none() | NUMBERS,
    communities=st.lists(WORDS | st.just("65535:0"), max_size=3).map(tuple),
    large_communities=st.lists(WORDS, max_size=3).map(tuple),
    as_path=st.lists(NUMBERS, max_size=4).map(tuple),
    next_hop=st.just("self") | ADDRESSES.map(str),
    neighbors=st.lists(st.builds(Session, ADDRESSES, st.none() | ADDRESSES), max_size=3).map(tuple),
)
EACH = pytest.mark.parametrize("dialect", DIALECTS.values())


ONE, TWO, THREE = (Session(ip_address(f"192.0.2.{number}")) for number in (1, 2, 3))


def test_parts_are_those_who_share_every_attribute() -> None:
    whole = Attributes(med=5, neighbors=(ONE, TWO, THREE), next_hops=((ONE, "2001:db8::1"), (THREE, "2001:db8::1")))
    assert whole.parts() == (
        Attributes(med=5, neighbors=(ONE, THREE), next_hop="2001:db8::1"),
        Attributes(med=5, neighbors=(TWO,)),
    )
    assert Attributes(neighbors=(ONE, TWO)).parts() == (Attributes(neighbors=(ONE, TWO)),)
    with pytest.raises(ValueError, match="is a neighbor that hears"):
        Attributes(neighbors=(ONE,), next_hops=((TWO, "2001:db8::1"),))
    with pytest.raises(ValueError, match="is not a word"):
        Attributes(neighbors=(ONE,), next_hops=((ONE, "self med 1"),))


IBGP, EBGP = {ONE: None, TWO: None}, {ONE: 65010, TWO: 65010}


@pytest.mark.parametrize(
    ("attributes", "own", "path", "internal", "external"),
    [
        (Attributes(), 65010, (), 0, 1),
        (Attributes(prepend=3), 65010, (65010,) * 4, 0, 4),
        (Attributes(prepend=3), None, (), 0, 4),
        (Attributes(as_path=(65010, 65020)), 65011, (65010, 65020), 2, 2),
        (Attributes(as_path=(65010, 65020), prepend=2), None, (65010, 65010, 65010, 65020), 4, 4),
    ],
)
def test_the_path_begins_with_our_own_number(
    attributes: Attributes, own: int | None, path: tuple[int, ...], internal: int, external: int
) -> None:
    assert attributes.path(own) == path
    assert (attributes.length(internal=True), attributes.length(internal=False)) == (internal, external)
    assert attributes.needs_own_as is (attributes.prepend > 0 and not attributes.as_path)


def test_sessions_of_one_kind_share_a_command() -> None:
    whole = Attributes(med=5, prepend=1)
    assert whole.parts() == whole.parts(IBGP) == (Attributes(med=5),)
    assert whole.parts(EBGP) == (Attributes(med=5, as_path=(65010, 65010)),)


def test_each_kind_of_session_has_a_path_of_its_own() -> None:
    mixed = {THREE: 65011, ONE: 65010, TWO: None}
    assert Attributes(prepend=1).parts(mixed) == (
        Attributes(neighbors=(ONE,), as_path=(65010, 65010)),
        Attributes(neighbors=(TWO,)),
        Attributes(neighbors=(THREE,), as_path=(65011, 65011)),
    )
    named = Attributes(prepend=1, neighbors=(TWO, ONE), next_hops=((ONE, "2001:db8::1"),))
    assert named.parts(mixed) == (
        Attributes(neighbors=(TWO,)),
        Attributes(neighbors=(ONE,), as_path=(65010, 65010), next_hop="2001:db8::1"),
    )
    unknown = Session(ip_address("192.0.2.9"))
    assert Attributes(prepend=1, neighbors=(unknown,)).parts(mixed) == (Attributes(neighbors=(unknown,)),)


def test_a_neighbor_with_sessions_of_both_kinds_is_named_by_session() -> None:
    one, other = (Session(ONE.peer, ip_address(f"192.0.2.{number}")) for number in (11, 12))
    mixed = {one: 65010, other: None, TWO: 65010}
    assert Attributes(prepend=1, neighbors=(ONE, TWO)).parts(mixed) == (
        Attributes(neighbors=(one, TWO), as_path=(65010, 65010)),
        Attributes(neighbors=(other,)),
    )


@EACH
def test_bare_route(dialect: Dialect) -> None:
    assert dialect.announce(Route(VIP, Attributes())) == "announce route 2001:db8:53::1/128 next-hop self"
    assert dialect.withdraw(Route(VIP4, Attributes())) == "withdraw route 192.0.2.53/32 next-hop self"


@EACH
def test_every_attribute(dialect: Dialect) -> None:
    attributes = Attributes(
        med=50,
        local_preference=300,
        communities=("65010:7", "no-export"),
        large_communities=("65010:1:2",),
        as_path=(65010, 4200000000),
        next_hop="2001:db8:ff::11",
        neighbors=(
            Session(ip_address("192.0.2.1")),
            Session(ip_address("2001:db8:0:0::1"), ip_address("2001:db8:0:0::2")),
        ),
    )
    assert dialect.announce(Route(VIP, attributes), EXPLICIT) == (
        "neighbor 192.0.2.1 , neighbor 2001:db8::1 local-ip 2001:db8::2 "
        "announce route 2001:db8:53::1/128 next-hop 2001:db8:ff::11 med 50 local-preference 300 "
        "community [65010:7 no-export] large-community [65010:1:2] as-path [65010 4200000000] origin igp"
    )


def test_zero_is_a_value() -> None:
    line = V5.announce(Route(VIP, Attributes(med=0, local_preference=0)))
    assert line.endswith("next-hop self med 0 local-preference 0")


@given(ATTRIBUTES, st.sampled_from([*DIALECTS.values()]))
def test_no_two_variants_have_the_same_words(attributes: Attributes, dialect: Dialect) -> None:
    found = variants(attributes)
    assert found[:2] == (BRIEF, EXPLICIT)
    assert len({dialect.announce(Route(VIP, attributes), one) for one in found}) == len(found)
    assert len(found) == (6 if attributes.med is None else 12)


def test_variants() -> None:
    route = Route(VIP, Attributes(med=50))
    lines = [V4.announce(route, one).partition("self ")[2] for one in VARIANTS]
    assert lines[:6] == [
        "med 50",
        "med 50 origin igp",
        "med 50 attribute [0x01 0x40 0x00]",
        "attribute [0x04 0x80 0x00000032]",
        "attribute [0x04 0x80 0x00000032] origin igp",
        "attribute [0x04 0x80 0x00000032] attribute [0x01 0x40 0x00]",
    ]
    assert lines[6] == "med 50 local-preference 100"
    given = V4.announce(Route(VIP, Attributes(local_preference=1)), VARIANTS[6])
    assert given.endswith("next-hop self attribute [0x05 0x40 0x00000001]")


@EACH
def test_many_in_one_line(dialect: Dialect) -> None:
    one, two = (Route(IPv6Network(f"2001:db8:53::{number}"), Attributes(med=5)) for number in (1, 2))
    words = "attributes next-hop self med 5 nlri 2001:db8:53::1/128 2001:db8:53::2/128"
    assert dialect.announce(one, also=[two]) == f"announce {words}"
    assert dialect.withdraw(one, also=[two]) == f"withdraw {words}"


@pytest.mark.parametrize("other", [Route(VIP4, Attributes()), Route(VIP, Attributes(med=1))])
def test_only_what_has_the_same_attributes_and_family_fits_into_one_line(other: Route) -> None:
    with pytest.raises(AssertionError):
        V5.announce(Route(VIP, Attributes()), also=[other])


@given(ATTRIBUTES, NETWORKS, st.sampled_from([*DIALECTS.values()]), st.sampled_from(VARIANTS))
def test_withdraw_carries_the_very_attributes(
    attributes: Attributes, network: Network, dialect: Dialect, variant: Variant
) -> None:
    route = Route(network, attributes)
    said = dialect.announce(route, variant)
    assert dialect.withdraw(route, variant) == said.replace("announce", "withdraw", 1)
    assert re.fullmatch(r"[ -~]+", said)
    assert "  " not in said
    assert said == said.strip()
    assert f" {network} " in said


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
        {"neighbors": (Session(IPv6Address("fe80::1%eth0 shutdown")),)},
        {"neighbors": (Session(IPv6Address("fe80::1"), IPv6Address("fe80::1%eth0 shutdown")),)},
    ],
)
def test_what_must_not_reach_the_api_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Attributes(**fields)


def test_a_prefix_with_a_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a word"):
        Route(IPv6Network("fe80::1%eth0"), Attributes())
