"""What a virtual router reads before it decides, and what it leaves behind when it is closed.

All else is shown with real sockets, or whole nodes.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from exavrrp import events
from exavrrp.config import load
from exavrrp.system.wire import Sent
from exavrrp.virtual_router import FAREWELLS, Team, VirtualRouter
from exavrrp.vrrp.packet import LEAVING, Ipv4Checksum
from exavrrp.vrrp.router import Advertise, Role, Transition, Why

CONFIGURATION = """
[agent]
sources = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
"""


class Anything(SimpleNamespace):
    """Takes every call."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


class Timer:
    """One that was asked for."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def cancel(self) -> None:
        self.act = None


class Wire:
    """Counts what is sent."""

    sent = 0

    def send(self, payload: bytes, *_: object) -> Sequence[Sent]:
        self.sent += len(payload) > 0
        return [Sent("", None)]


def test_who_is_closed_repeats_no_farewell(tmp_path: Path) -> None:
    """Its wire is closed, and so are the numbers that it would sign with."""
    path = tmp_path / "exavrrp.toml"
    path.write_text(CONFIGURATION)
    (configuration,) = load(path).routers
    timers: list[Timer] = []

    def call_later(_: float, act: Any) -> Timer:
        timers.append(Timer(act))
        return timers[-1]

    for closed in (False, True):
        timers.clear()
        wire = Wire()
        host = SimpleNamespace(
            clock=SimpleNamespace(call_later=call_later), journal=None, ipv4_checksum=Ipv4Checksum.PSEUDO_HEADER
        )
        router = VirtualRouter(cast(Any, host), configuration, cast(Any, wire), cast(Any, None))
        router.carry_out(Advertise(LEAVING))
        if closed:
            router.close()
        for timer in timers:
            if timer.act is not None:
                timer.act()
        assert wire.sent == (1 if closed else 1 + len(FAREWELLS))


def test_after_a_pause_the_latest_deadline_says_what_is_read_first(tmp_path: Path) -> None:
    """An alarm of presence has been missed, and then a Backup's patience: packets that came between them count."""
    path = tmp_path / "exavrrp.toml"
    path.write_text(CONFIGURATION)
    (configuration,) = load(path).routers
    now = [0.0]
    read: list[float] = []

    clock = SimpleNamespace(time=lambda: now[0], call_at=lambda *_: Timer(None), call_later=lambda *_: Timer(None))
    host = Anything(clock=clock, journal=Anything(), notifier=Anything(), catch_up=read.append, realtime=lambda: 0.0)
    router = VirtualRouter(cast(Any, host), configuration, cast(Any, Wire()), cast(Any, None))
    team = Team("web", [router], cast(Any, host))
    team.do(events.Start())
    patience = router.instance.router.deadline
    assert patience is not None
    for woken, known in ((0.1, 0.1), (patience + 10, patience)):
        now[0] = woken
        router._ring(0.1)
        assert read.pop() == known


def test_no_two_nodes_are_active_since_the_same_second(tmp_path: Path) -> None:
    """The MED that tells the time of a takeover has whole seconds: two routes would be alike."""
    path = tmp_path / "exavrrp.toml"
    path.write_text(CONFIGURATION)
    (configuration,) = load(path).routers
    clock = [1_800_000_000.2]
    router = VirtualRouter(
        cast(Any, Anything(realtime=lambda: clock[0], journal=Anything(), notifier=Anything())),
        configuration,
        cast(Any, Wire()),
        cast(Any, None),
    )
    peer = ip_address("2001:db8:ff::12")
    router.team = cast(Any, Anything())
    router._links[peer] = ()

    def hear(priority: int) -> None:
        advertisement = router.instance.router.advertisement(priority)
        router.receive(
            cast(Any, SimpleNamespace(datagram=SimpleNamespace(source=peer), interface=1, at=0.0)), advertisement
        )

    def take_over() -> int | None:
        router.carry_out(Transition(Role.BACKUP, Role.ACTIVE, Why.SILENCE))
        return router.since

    assert take_over() == 1_800_000_000
    hear(LEAVING)
    assert take_over() == 1_800_000_000, "nobody else has begun"
    hear(100)
    assert take_over() == 1_800_000_001
    hear(100)
    clock[0] += 1
    hear(100)
    assert take_over() == 1_800_000_001, "it began in the second before"
