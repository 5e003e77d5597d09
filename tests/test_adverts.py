"""What one virtual router sends: priority zero and its repeats, and what follows when no advert can be sent."""

from collections.abc import Sequence
from errno import ENETUNREACH

import pytest

from exavrrp import ports
from exavrrp.adverts import PRIORITY_ZERO_REPEATS
from exavrrp.ports import Link, PathsChanged, Sent
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role
from exavrrp.ways import MUTE_ADVERTS
from tests.ports import INTERVAL, OTHER, PEER, SECOND, Rig, given_active, router


def test_priority_zero_is_repeated_until_the_router_is_closed() -> None:
    """Then its wire is closed, and so are the numbers that it would sign with."""
    for closed in (False, True):
        rig = given_active()
        rig.node.commands.drain("web")
        if closed:
            rig.node.close()
        rig.after(PRIORITY_ZERO_REPEATS[-1])
        assert rig.done.count("send web 0") == (1 if closed else 1 + len(PRIORITY_ZERO_REPEATS))


def test_priority_zero_is_not_repeated_once_the_router_is_active_again() -> None:
    """The owner of the addresses is, as soon as it takes part."""
    rig = Rig(router(priority=255)).start().session()
    rig.node.commands.drain("web")
    rig.node.commands.undrain("web")
    assert rig.role() is Role.ACTIVE
    rig.after(PRIORITY_ZERO_REPEATS[-1])
    assert rig.done.count("send web 0") == 1


def test_a_mute_node_that_is_backup_by_then_has_nothing_to_give_up() -> None:
    rig = given_active().mute().after((MUTE_ADVERTS - 1) * INTERVAL)
    (armed,) = rig.clock.armed
    rig.clock.now = armed
    rig.node.turns.ring()
    rig.node.handle(ports.Arrived(rig.configuration.routers[0].source or PEER, (rig.arrival(250),)))
    rig.clock.run()
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])


def test_priority_zero_does_not_count_as_a_live_peer() -> None:
    """So the last node may serve on without a route to it."""
    rig = given_active()
    rig.hear(100).after((MUTE_ADVERTS - 0.5) * INTERVAL)
    rig.paths.links = ()
    rig.mute(ENETUNREACH).handle(PathsChanged()).hear(0).after(10 * INTERVAL)
    assert (rig.role(), rig.done.count("send web 0")) == (Role.ACTIVE, 0), "nor was it anything else meanwhile"


def test_a_session_to_another_router_does_not_make_a_peer_reachable() -> None:
    rig = given_active()
    rig.paths.links = ()
    rig.mute(ENETUNREACH).session(SECOND).after(10 * INTERVAL)
    assert (rig.role(), rig.done.count("send web 0")) == (Role.ACTIVE, 0), "nor was it anything else meanwhile"


def test_every_peer_gets_its_own_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of IPv6 covers the destination."""
    rig, sent = given_active(), dict[Address, bytes]()
    send = rig.transport.send

    def record(payload: bytes, peer: Address, links: Sequence[Link]) -> list[Sent]:
        sent[peer] = payload
        return send(payload, peer, links)

    monkeypatch.setattr(rig.transport, "send", record)
    rig.after(INTERVAL)
    assert sent[PEER][:6] == sent[OTHER][:6]
    assert sent[PEER][6:8] != sent[OTHER][6:8]
