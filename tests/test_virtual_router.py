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
from exavrrp.vrrp.router import Active, Advertise, Initialize, Role, Transition, Why

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


def test_who_takes_over_within_a_second_takes_the_next_one(tmp_path: Path) -> None:
    """The MED that tells the time of a takeover has whole seconds: two routes would be alike."""
    path = tmp_path / "exavrrp.toml"
    path.write_text(CONFIGURATION)
    (configuration,) = load(path).routers
    start = 1_800_000_000
    clock = [start + 0.2]
    router = VirtualRouter(
        cast(Any, Anything(realtime=lambda: clock[0], journal=Anything(), notifier=Anything())),
        configuration,
        cast(Any, Wire()),
        cast(Any, None),
    )
    router.team = cast(Any, Anything())
    election = router.instance.router

    peer = ip_address("2001:db8:ff::12")
    router._links[peer] = ()

    def hear() -> None:
        arrival = SimpleNamespace(datagram=SimpleNamespace(source=peer), interface=1, at=0.0)
        router.receive(cast(Any, arrival), election.advertisement(100))

    def take_over(at: float) -> float:
        clock[0] = start + at
        router.carry_out(Transition(Role.BACKUP, Role.ACTIVE, Why.SILENCE))
        assert router.since is not None
        return router.since - start

    assert take_over(0.2) == 0
    clock[0] = start + 10.1
    hear()
    assert take_over(10.2) == 11
    # An advert that loses against an Active begins nothing, or the same node would not be noted when it does begin.
    election.state = Active(0.0)
    hear()
    election.state = Initialize()
    clock[0] = start + 30.1
    hear()
    assert take_over(30.2) == 31
