"""What people are told of sessions over which no takeover beats a dead node's route."""

import pytest

from exavrrp.neighbors import Terms
from exavrrp.reach import limit
from exavrrp.routes import Attributes
from exavrrp.takeover import RoutePolicy, Takeover

EBGP, IBGP = Terms(65010, 65000, 180), Terms(65010, 65010, 180)


def told(means: str, terms: Terms) -> str | None:
    takeover = frozenset(map(Takeover, means.split()))
    return limit(RoutePolicy.derived(Attributes(prepend=1 if Takeover.PREPEND in takeover else 0), takeover), terms)


@pytest.mark.parametrize(
    ("means", "terms"),
    [
        ("prepend", EBGP),
        ("med prepend", EBGP),
        ("med", IBGP),
        ("local-preference", IBGP),
        ("", Terms(65010, 65000)),
    ],
)
def test_where_a_means_reaches_or_nothing_is_known_nothing_is_told(means: str, terms: Terms) -> None:
    assert told(means, terms) is None


@pytest.mark.parametrize(
    ("means", "terms", "words"),
    [
        ("", EBGP, ("no means of takeover over eBGP", "for 180 s, the hold time", 'takeover = ["prepend"]')),
        ("local-preference", EBGP, ("no means", 'takeover = ["local-preference", "prepend"]')),
        ("", IBGP, ("no means of takeover over iBGP", 'takeover = ["local-preference"]')),
        ("prepend", IBGP, ("no means", 'takeover = ["local-preference", "prepend"]')),
        ("med", EBGP, ("between nodes of one AS (65010)", "for 180 s", 'takeover = ["med", "prepend"]')),
        ("", Terms(65010, 65000, 0), ("until their sessions are reset",)),
    ],
)
def test_the_seconds_that_a_dead_route_stays_and_the_line_to_write(
    means: str, terms: Terms, words: tuple[str, ...]
) -> None:
    found = told(means, terms)
    assert found is not None
    for word in words:
        assert word in found
