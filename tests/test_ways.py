"""The paths to the peers, and which of them deliver."""

from errno import ENETUNREACH
from ipaddress import ip_address
from typing import Any

import pytest

from exavrrp.backoff import RETRIES
from exavrrp.ports import PathsChanged
from exavrrp.vrrp.router import Role
from exavrrp.ways import MUTE_ADVERTS, SOURCE_ADVERTS
from tests.ports import INTERVAL, LINKS, OTHER, PEER, Rig, given_active, given_backup, router


def test_a_quiet_path_is_logged_and_copies_are_counted() -> None:
    rig = given_backup()
    for _ in range(5):
        rig.hear(250, interface=1).after(INTERVAL)
    assert rig.log.told("path-quiet") == [{"router": "web", "peer": str(PEER), "interface": "eth1"}]
    rig.hear(250, interface=2)
    assert rig.log.told("path-restored") == [{"router": "web", "peer": str(PEER), "interface": "eth1"}]
    heard = rig.router().instance.copies.peers[PEER]
    assert heard.counts == {1: 6, 2: 1}, "once in given_backup"


def test_the_paths_to_a_peer_follow_the_routes() -> None:
    rig = given_backup()
    assert rig.router().ways.links == {PEER: LINKS, OTHER: LINKS}


def test_a_source_that_comes_back_in_time_was_never_lost() -> None:
    rig = given_active()
    rig.paths.sourceless = True
    rig.handle(PathsChanged()).after((SOURCE_ADVERTS - 0.5) * INTERVAL)
    rig.paths.sourceless = False
    rig.handle(PathsChanged()).after(INTERVAL)
    assert rig.role() is Role.ACTIVE


def test_a_source_that_is_gone_with_its_interface_is_wanted_there() -> None:
    lan = router(transport="multicast", interface="eth2", source="fe80::1", min_sessions=0)
    rig = Rig(lan).start()
    rig.paths.sourceless = True
    rig.handle(PathsChanged()).after((SOURCE_ADVERTS + 0.1) * INTERVAL)
    [detail] = rig.router().instance.faults.values()
    assert detail == "the source fe80::1%eth2 is no address of this host any more; add it to eth2 again"


@pytest.mark.parametrize(
    ("more", "waits"),
    [
        ({"down_count": 2}, 100),
        ({"advert_interval": 10 * INTERVAL}, 100),  # the Active's is shorter
    ],
)
@pytest.mark.parametrize("missing", ["sourceless", "isolated"])
def test_what_is_missing_when_a_backup_would_take_over_is_a_fault(
    more: dict[str, Any], waits: int, missing: str
) -> None:
    rig = given_backup(router(**more)).hear(250, centiseconds=waits)
    rig.after(0.9 * INTERVAL)
    setattr(rig.paths, missing, True)
    rig.paths.links = () if missing == "isolated" else LINKS
    rig.handle(PathsChanged()).after(4 * INTERVAL)
    assert (rig.role(), rig.faults(), rig.bound()) == (Role.INITIALIZE, ["adverts"], False)
    assert [one["after"] for one in rig.log.told("transition")] == [Role.BACKUP, Role.INITIALIZE]


def test_a_member_of_a_group_does_not_take_over_without_its_source() -> None:
    """Whichever member waits for longest."""
    rig = given_backup(router(1, group="both"), router(2, group="both", down_count=2), heard=None)
    rig.after(0.9 * INTERVAL)
    rig.hear(250, "web2").hear(250)
    rig.after(1.5 * INTERVAL)
    rig.paths.sourceless = True
    rig.handle(PathsChanged()).after(4 * INTERVAL)
    assert [one["after"] for one in rig.log.told("transition")] == [Role.BACKUP] * 2 + [Role.INITIALIZE] * 2


def test_a_source_may_be_missing_for_a_moment_at_another_deadline() -> None:
    rig = given_backup()
    rig.paths.sourceless = True
    rig.node.elections.timer_fired(rig.node.elections.teams[0], rig.clock.now)
    rig.clock.run()
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_a_peer_that_advertises_less_often_is_not_dead_in_between() -> None:
    rig = given_active()
    rig.paths.links = ()
    rig.mute(ENETUNREACH).handle(PathsChanged())
    rig.hear(100, centiseconds=1000).after((2 * MUTE_ADVERTS + 1) * INTERVAL)
    assert rig.log.told("peers-unreachable") == []
    assert Role.INITIALIZE in [one["after"] for one in rig.log.told("transition")]


IPV4: dict[str, Any] = {"source": "192.0.2.11", "addresses": ["192.0.2.53"], "min_sessions": 0}
"""A source that stays when its interface is set down, and that need not be on it."""


@pytest.mark.parametrize("how", [{"transport": "multicast", "interface": "eth2"}, {"interfaces": ["eth2"]}])
def test_a_backup_whose_interface_is_down_does_not_take_over(how: dict[str, Any]) -> None:
    peers = [] if "transport" in how else ["192.0.2.12"]
    rig = Rig(router(**how, **IPV4, peers=peers)).start().session().hear(250, source=ip_address("192.0.2.12"))
    assert rig.role() is Role.BACKUP
    rig.paths.down = True
    rig.handle(PathsChanged()).after(5 * INTERVAL)
    assert (rig.role(), rig.bound()) == (Role.INITIALIZE, False)
    assert list(rig.router().instance.faults.values()) == [
        "no interface that may carry its adverts is up (eth2); set it up again"
    ]
    assert [one["after"] for one in rig.log.told("transition")] == [Role.BACKUP, Role.INITIALIZE]
    rig.paths.down = False
    rig.handle(PathsChanged())
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_on_a_link_that_takes_no_adverts_the_peers_are_not_for_that_dead() -> None:
    """No advert needs a route there."""
    rig = Rig(router(transport="multicast", interface="eth2", **IPV4)).start().session().after(5 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    rig.mute(ENETUNREACH).after(MUTE_ADVERTS * INTERVAL)
    assert rig.faults() == ["adverts"]


def test_a_router_that_rejoins_while_cut_off_leaves_again_before_it_takes_over() -> None:
    rig = given_backup()
    rig.node.commands.drain("web")
    rig.paths.links, rig.paths.isolated = (), True
    rig.handle(PathsChanged()).after((SOURCE_ADVERTS + 1) * INTERVAL)
    rig.node.commands.undrain("web")
    rig.after(SOURCE_ADVERTS * INTERVAL)
    assert (rig.role(), rig.faults()) == (Role.INITIALIZE, ["adverts"])


def test_a_router_that_is_cut_off_does_not_rejoin_without_a_path() -> None:
    rig = given_backup()
    rig.paths.links, rig.paths.isolated = (), True
    rig.handle(PathsChanged()).after(SOURCE_ADVERTS * INTERVAL + 0.1)
    assert rig.faults() == ["adverts"]
    rig.after(RETRIES[0])
    assert rig.faults() == ["adverts"]


def test_a_standby_that_is_cut_off_keeps_what_is_announced() -> None:
    rig = given_backup(router(standby="announce"))
    rig.paths.links, rig.paths.isolated = (), True
    rig.handle(PathsChanged()).after(SOURCE_ADVERTS * INTERVAL + 0.1)
    assert (rig.faults(), rig.bound()) == ([], True)


def test_a_node_without_a_path_to_peers_whose_adverts_arrive_is_not_the_last_one() -> None:
    rig = given_active()
    rig.paths.links = ()
    rig.mute(ENETUNREACH).handle(PathsChanged())
    for _ in range(MUTE_ADVERTS + 1):
        rig.hear(100).after(INTERVAL)
    assert rig.faults() == ["adverts"]
