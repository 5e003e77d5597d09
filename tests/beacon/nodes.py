"""Nodes that send beacons to each other: an Active at ``SOURCE``, a standby at ``PEER``."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from exavrrp.beacon.table import Standing
from exavrrp.ports import Link
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role
from tests.ports import EPOCH, INTERVAL, LINKS, PEER, SOURCE, Rig, given_active, router, table

WINDOW = 5
ACTIVE = table("agent", sources=[str(SOURCE)], peers=[str(PEER)], advert_interval=INTERVAL)
STANDBY = table("agent", sources=[str(PEER)], peers=[str(SOURCE)], advert_interval=INTERVAL)
OFF, ON = ("beacon = false\n", "beacon = true\n")


def keys(mode: str = "enforce", active: int = 1, digits: str = "5a", name: str = "nodes") -> str:
    listed = f'keys = {{ 1 = {{ hex = "{digits * 32}" }}, 7 = {{ hex = "{"c3" * 48}" }} }}\n'
    return table(f"authentication.{name}", mode=mode, window=WINDOW, active_key=active) + listed


def signed(number: int = 1, **more: Any) -> str:
    return router(number, authentication="nodes", **more)


def active(*tables: str) -> Rig:
    """The Active, at SOURCE."""
    return given_active(ACTIVE, *(tables or (signed(), keys())))


def standby(*tables: str) -> Rig:
    """A Backup, at PEER."""
    rig = Rig(STANDBY, *(tables or (signed(priority=100), keys()))).start().session()
    assert rig.role() is Role.BACKUP
    return rig


def deliver(sender: Rig, receiver: Rig, links: Iterable[Link] = LINKS) -> None:
    """The beacons of ``sender`` that are due come in at ``receiver`` over these of its interfaces."""
    receiver.clock.now = max(sender.clock.now, receiver.clock.now)
    sender.clock.now = receiver.clock.now
    for peer, datagram, link in sender.beat():
        if link in links:
            source = ip_address(sender.node.routers["web"].configuration.source or 0)
            hear(receiver, datagram, peer, source, link.index)


def hear(rig: Rig, datagram: bytes, source: Address = SOURCE, sender: Address = PEER, interface: int = 1) -> None:
    rig.node.beacons.heard(source, sender, interface, datagram, EPOCH + rig.clock.now)


def standing(rig: Rig, peer: Address = PEER, name: str = "web") -> Standing | None:
    return rig.node.beacons.standing(rig.router(name), peer)


def heard(rig: Rig, peer: Address = PEER, name: str = "web") -> Standing:
    found = standing(rig, peer, name)
    assert found is not None, rig.node.beacons.rejected
    return found
