"""Retries with back-off."""

from exavrrp import ports
from exavrrp.backoff import RETRIES
from exavrrp.vrrp.router import Role
from tests.ports import INTERVAL, VIP, given_active


def test_a_second_loss_causes_one_retry() -> None:
    rig = given_active()
    for _ in range(2):
        rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
    rig.after(RETRIES[0])
    assert rig.faults() == ["bind"], "the second loss has begun a longer pause"
    rig.after(RETRIES[1] - RETRIES[0])
    assert rig.faults() == []


def test_a_success_resets_the_back_off() -> None:
    rig = given_active()
    for _ in range(3):
        rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
        rig.after(RETRIES[0] + 0.1)
        assert rig.faults() == []
        rig.after(5 * INTERVAL)
        assert (rig.role(), rig.bound()) == (Role.ACTIVE, True)


def test_retries_never_end() -> None:
    rig = given_active()
    for _ in range(len(RETRIES) + 2):
        rig.handle(ports.AddressLost(VIP, OSError(1, "no")))
    rig.after(RETRIES[-1] + 0.1)
    assert rig.faults() == []


def test_an_early_retry_replaces_the_pending_one() -> None:
    rig = given_active().mute()

    def fault(wanted: list[str]) -> float:
        limit = rig.clock.now + 60
        while rig.faults() != wanted and rig.clock.now < limit:
            rig.after(0.1)
        assert rig.faults() == wanted
        return rig.clock.now

    for _ in range(4):
        fault(["adverts"])
        fault([])
    was_due = fault(["adverts"]) + RETRIES[4]
    rig.handle(ports.PathsChanged())
    assert rig.faults() == []
    failed = fault(["adverts"])
    assert failed < was_due < failed + RETRIES[5]
    assert fault([]) > failed + RETRIES[5] - 0.2, "not when the earlier fault would have been over"
