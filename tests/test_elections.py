"""Which events a deadline waits for."""

from ipaddress import ip_address, ip_network

import pytest

from exavrrp import ports, speaker
from exavrrp.presence import Lingering
from exavrrp.view import Outcome
from exavrrp.vrrp.router import Active, Role
from tests.ports import INTERVAL, Rig, given_active, given_backup, router


def given_lingering(rig: Rig | None = None) -> Rig:
    """An Active is drained; ExaBGP has not answered the withdraw in time, and the addresses are about to be unbound."""
    rig = rig or given_active()
    rig.speaker.answers = False
    rig.handle(ports.DrainAsked("web")).hear(100)
    presence = rig.router().instance.presence
    while not isinstance(presence.state, Lingering):
        assert presence.deadline is not None
        rig.clock.run(presence.deadline)
    return rig


def test_after_a_pause_packets_are_read_up_to_the_latest_deadline() -> None:
    """An alarm of presence and then Active_Down_Timer have expired unnoticed: packets received in between count."""
    rig = given_backup()
    (team,) = rig.node.elections.teams
    patience = rig.router().instance.router.deadline
    assert patience is not None
    for woken, known in ((rig.clock.now, rig.clock.now - 1.0), (patience + 10, patience)):
        due, rig.clock.now = rig.clock.now - 1.0, woken
        rig.node.elections.timer_fired(team, due)
        rig.clock.run()
        assert rig.transport.asked.pop() == known


def test_after_a_pause_answers_are_read_up_to_the_latest_deadline() -> None:
    """An alarm of the election and then the time that addresses stay bound: answers that came in between count."""
    rig = given_lingering()
    (team,) = rig.node.elections.teams
    end = rig.router().instance.presence.deadline
    assert end is not None
    for woken, known in ((end - 1.0, end - 2.0), (end + 10.0, end)):
        rig.clock.now = woken
        rig.node.elections.timer_fired(team, end - 2.0)
        assert rig.speaker.caught_up.pop() == known


def test_answers_of_exabgp_that_wait_are_handled_before_a_deadline() -> None:
    """The addresses are about to be unbound, and ExaBGP has said that a neighbor still has the route."""
    rig = given_lingering()
    rig.speaker.unread = [speaker.Kept(ip_network("2001:db8:53::1/128"), (ip_address("fd00::1"),))]
    rig.after(1000)
    assert rig.bound()


def test_an_advert_that_is_an_interval_late_waits_for_received_packets() -> None:
    """Another node may have taken over. An advert that is in time does not wait."""
    rig = given_active()
    rig.transport.asked.clear()
    rig.after(INTERVAL)
    assert rig.transport.asked == []
    rig.transport.waiting = [rig.arrival(250)]
    rig.clock.now += 2 * INTERVAL
    rig.clock.run(rig.clock.now)
    assert rig.role() is Role.BACKUP


def test_a_flood_that_takes_long_to_read_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Active's advert was there in time, whatever is read behind it."""
    rig = given_backup()
    rig.after(3 * INTERVAL)
    rig.transport.waiting = [rig.arrival(250)]
    drain = rig.transport.drain

    def slow(until: float) -> list[ports.Arrival]:
        arrivals = list(drain(until))
        rig.clock.now += 10 * INTERVAL if arrivals else 0.0
        return arrivals

    monkeypatch.setattr(rig.transport, "drain", slow)
    before = rig.clock.now
    rig.after(0.5 * INTERVAL)
    assert rig.clock.now - before > 10 * INTERVAL
    assert rig.role() is Role.BACKUP


def test_the_first_member_decides_a_tie() -> None:
    (team,) = Rig(router(1, group="both"), router(2, group="both")).node.elections.teams
    assert team.first == "web"


def test_an_event_of_one_router_wakes_another_that_it_concerns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = given_active(router(1), router(2))
    rig.node.commands.drain("web2")
    rig.hear(100, "web2").after(10 * INTERVAL)
    one, other = rig.router("web"), rig.router("web2")
    assert (other.drain.outcome, other.instance.deadline) == (Outcome.DRAINED, None)
    with monkeypatch.context() as patch:
        patch.setattr(one, "carry_out", lambda effect: other.drain.undo())
        rig.after(INTERVAL)
    rig.after(5 * INTERVAL)
    assert rig.role("web2") is Role.ACTIVE


def test_the_first_deadline_of_a_member_wakes_the_group() -> None:
    rig = given_active(router(1, group="both"), router(2, group="both"))
    for name, deadline in (("web", 2000.0), ("web2", 1900.0)):
        rig.router(name).instance.router.state = Active(deadline, 200)
    (team,) = rig.node.elections.teams
    assert team.group.deadline == 1900.0
