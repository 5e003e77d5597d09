"""The state file: what the last process left, and what this one leaves."""

from ipaddress import ip_address, ip_network

import msgspec
import pytest

from exavrrp.control import Misunderstood, SavedState
from exavrrp.memory import Memory, parsed
from exavrrp.neighbors import Session
from exavrrp.ports import Forgotten
from exavrrp.routes import Attributes, Route
from tests.ports import VIP, configuration, router

OURS, OTHER = (7, 70), (7, 71)
NETWORK, GONE = ip_network("2001:db8:53::1"), ip_network("2001:db8:54::/64")
NEIGHBOR = Session(ip_address("192.0.2.1"), ip_address("192.0.2.2"))
ATTRIBUTES = Attributes(
    med=7, local_preference=5, communities=("65010:1",), as_path=(65010,), neighbors=(NEIGHBOR,), next_hop="192.0.2.9"
)
LIFE = SavedState(
    boot="b1",
    exabgp=OURS,
    routers={"web": "active", "mail": "standby"},
    offered=("dns",),
    since={"web": 1_800_000_000},
    silences={"web": (2, 17.5)},
)


def memory(last: SavedState | None, *, boot: str | None = "b1", exabgp: tuple[int, int] | None = OURS) -> Memory:
    """The memory of an agent that finds this state file."""
    made = Memory(exabgp)
    made.boot = boot
    if last is not None:
        made.read(last, foreign=last.is_foreign(boot, exabgp))
    return made


def test_a_router_may_be_called_otherwise_than_the_last_agent_called_it() -> None:
    assert LIFE.rename({}) == LIFE
    known = memory(LIFE.rename({"web": "site", "dns": "web"}))
    assert known.recall() == {"site"}
    assert (known.was_active("site"), known.was_active("web")) == (True, False)
    assert known.since("site") == 1_800_000_000
    assert known.silent("site") == (2, 17.5)
    assert (known.may_be_announced("web"), known.may_be_announced("dns")) == (True, False)


def test_what_another_router_had_of_a_name_is_not_its_own() -> None:
    """A reload has called web site, and has another router that is called web now. Both are undone."""
    life = msgspec.structs.replace(
        LIFE, routers={"site": "active", "web": "standby"}, offered=("site", "web"), since={"site": 7, "web": 8}
    )
    for order in (1, -1):
        routers = dict(list(life.routers.items())[::order])
        undone = msgspec.structs.replace(life, routers=routers).rename({"site": "web"})
        assert (undone.routers, undone.offered, undone.since) == ({"web": "active"}, ("web",), {"web": 7})


def test_announcements_of_the_same_exabgp_are_recalled() -> None:
    known = memory(LIFE)
    assert known.recall() == {"web"}, "a standby has nothing to go on with"
    assert (known.was_active("web"), known.was_active("mail"), known.was_active("dns")) == (True, False, False)
    assert (known.may_be_announced("dns"), known.may_be_announced("web")) == (True, False)
    assert (known.since("web"), known.since("mail")) == (1_800_000_000, None)
    assert (known.silent("web"), known.silent("mail")) == ((2, 17.5), None)
    assert not known.is_foreign


def test_under_another_exabgp_only_the_election_s_memory_counts() -> None:
    known = memory(LIFE, exabgp=OTHER)
    assert (known.recall(), known.may_be_announced("dns"), known.is_foreign) == (frozenset(), False, True)
    assert (known.was_active("web"), known.since("web"), known.silent("web")) == (True, 1_800_000_000, (2, 17.5))


@pytest.mark.parametrize("boot", ["b2", None])
def test_after_a_boot_nothing_counts(boot: str | None) -> None:
    known = memory(LIFE, boot=boot)
    assert (known.recall(), known.was_active("web"), known.since("web"), known.silent("web")) == (
        frozenset(),
        False,
        None,
        None,
    )


def test_the_next_note_has_what_is_announced_and_what_may_be() -> None:
    known = memory(None)
    known.may_bind([VIP, ip_address("192.0.2.53")])
    routes = [Route(NETWORK, ATTRIBUTES), Route(GONE, ATTRIBUTES)]
    known.may_announce("web", routes)
    known.may_announce("", [Route(ip_network("192.0.2.53"), Attributes(med=9))])
    noted = known.next(
        {"web": "active", "mail": None}, {"web": 17, "mail": 18}, {"mail": (1, 2.5)}, {"web", "dns", "mail"}
    )
    assert (noted.boot, noted.exabgp, noted.routers) == ("b1", OURS, {"web": "active"})
    assert noted.since == {"web": 17}, "of what is announced"
    assert (noted.silences, noted.offered) == ({"mail": (1, 2.5)}, ("dns", "mail", "web"))
    assert noted.addresses == ("192.0.2.53", "2001:db8:53::1")
    read = parsed(noted)
    assert read.addresses == {VIP, ip_address("192.0.2.53")}
    assert read.routes == (*routes, Route(ip_network("192.0.2.53"), Attributes(med=9))), "with all their attributes"
    assert len(noted.announcements) == 2, "those of the same attributes together"
    after = memory(noted)
    assert after.names([NETWORK])
    assert not after.names([ip_network("2001:db8:53::2")])
    assert memory(LIFE).names([NETWORK]), "which were not noted"


def test_prefixes_that_are_not_configured_any_more_are_forgotten() -> None:
    known = memory(None)
    known.may_bind([VIP, ip_address("2001:db8:54::9")])
    known.may_announce("web", [Route(NETWORK, ATTRIBUTES), Route(GONE, ATTRIBUTES)])
    read, here = parsed(known.next({})), configuration(router())
    bound = frozenset({ip_address("2001:db8:54::9")})
    assert read.forgotten(here, foreign=False) == Forgotten(bound, (Route(GONE, ATTRIBUTES),))
    assert read.forgotten(here, foreign=True) == Forgotten(bound)


def test_an_invalid_address_in_the_note_is_refused() -> None:
    with pytest.raises(Misunderstood, match="not a state file of this version"):
        parsed(msgspec.structs.replace(LIFE, addresses=("somewhere",)))
