"""Retries with back-off."""

import pytest

from exavrrp import ports
from exavrrp.backoff import LASTING, RETRIES
from exavrrp.vrrp.router import Role
from tests.ports import INTERVAL, VIP, Rig, given_active, given_backup

STEP = 0.1
"""Seconds between two looks at the faults."""


def when(rig: Rig, faults: list[str]) -> float:
    """The moment from which on the router has these faults, and no others."""
    limit = rig.clock.now + 60
    while rig.faults() != faults and rig.clock.now < limit:
        rig.after(STEP)
    assert rig.faults() == faults
    return rig.clock.now


def pause(rig: Rig, fault: str) -> float:
    """Seconds until the fault is over; then the router becomes Active again."""
    began = when(rig, [fault])
    rig.transport.error = None
    seconds = when(rig, []) - began
    rig.after(5 * INTERVAL)
    assert (rig.role(), rig.bound()) == (Role.ACTIVE, True)
    return seconds


def lose(rig: Rig) -> float:
    """Somebody removes the address again and again."""
    rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
    return pause(rig, "bind")


def test_a_second_loss_causes_one_retry() -> None:
    rig = given_active()
    for _ in range(2):
        rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
    rig.after(RETRIES[0])
    assert rig.faults() == ["bind"], "the second loss has begun a longer pause"
    rig.after(RETRIES[1] - RETRIES[0])
    assert rig.faults() == []


def test_after_a_success_that_does_not_last_the_next_retry_comes_later() -> None:
    """Each of them takes the address from a node that can keep it."""
    rig = given_active()
    assert [lose(rig) for _ in range(4)] == pytest.approx(RETRIES[:4], abs=STEP)


def test_a_success_that_lasts_resets_the_back_off() -> None:
    rig = given_active()
    for _ in range(2):
        assert [lose(rig) for _ in range(2)] == pytest.approx(RETRIES[:2], abs=STEP)
        rig.after(LASTING)


def test_after_adverts_that_could_be_sent_for_a_moment_the_next_retry_comes_later() -> None:
    rig = given_active()
    assert [pause(rig.mute(), "adverts") for _ in range(4)] == pytest.approx(RETRIES[:4], abs=STEP)


def test_adverts_that_could_be_sent_for_long_reset_the_back_off() -> None:
    """Each of them is a success; the time runs from the first one."""
    rig = given_active()
    for _ in range(2):
        assert pause(rig.mute(), "adverts") == pytest.approx(RETRIES[0], abs=STEP)
        rig.after(LASTING)


@pytest.mark.parametrize(("later", "seconds"), [(0.0, RETRIES[1]), (LASTING, RETRIES[0])])
def test_a_backup_that_was_cut_off_for_long_is_as_any_other_afterwards(later: float, seconds: float) -> None:
    """Nothing was tried meanwhile; and nothing of a Backup succeeds, for it binds nothing and sends no adverts."""
    rig = given_backup()
    rig.paths.sourceless = True
    rig.handle(ports.PathsChanged()).after(40)
    assert rig.faults() == ["adverts"]
    rig.paths.sourceless = False
    rig.handle(ports.PathsChanged())
    end = rig.clock.now + later
    while rig.clock.now < end:
        rig.hear(250).after(INTERVAL)
    assert (rig.role(), rig.faults()) == (Role.BACKUP, [])
    rig.after(5 * INTERVAL)
    assert rig.role() is Role.ACTIVE
    assert pause(rig.mute(), "adverts") == pytest.approx(seconds, abs=STEP)


def test_retries_never_end() -> None:
    rig = given_active()
    for _ in range(len(RETRIES) + 2):
        rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
    rig.after(RETRIES[-1] + 0.1)
    assert rig.faults() == []


def test_an_early_retry_replaces_the_pending_one() -> None:
    rig = given_active().mute()
    for _ in range(4):
        when(rig, ["adverts"])
        when(rig, [])
    was_due = when(rig, ["adverts"]) + RETRIES[4]
    rig.handle(ports.PathsChanged())
    assert rig.faults() == []
    failed = when(rig, ["adverts"])
    assert failed < was_due < failed + RETRIES[5]
    assert when(rig, []) > failed + RETRIES[5] - 0.2, "not when the earlier fault would have been over"
