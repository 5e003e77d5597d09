"""One virtual router: notifications, and its takeover time."""

from exavrrp import ports
from exavrrp.ports import NotifyState
from exavrrp.view import Outcome
from exavrrp.vrrp.router import Active, Initialize, Role, Transition, Why
from tests.ports import EPOCH, INTERVAL, OTHER, PEER, VIP, Rig, check, given_active, given_backup, lan, router


def test_an_advert_that_differs_from_our_settings_is_logged() -> None:
    rig = given_backup()
    rig.hear(250, centiseconds=200)
    (line,) = [fields for _, event, fields in rig.log.lines if event == "interval-differs"]
    assert line["router"] == "web"


def test_forged_adverts_do_not_push_the_journal_out() -> None:
    """On a link anybody may be a sender; over routes, whoever is a peer may say another priority each time."""
    for rig, forged in (
        (Rig(lan()).start(), [(100, OTHER + number) for number in range(300)]),
        (given_backup(), [(1 + number % 254, PEER) for number in range(300)]),
    ):
        before = rig.node.chronicle.after(0)[0]
        for priority, source in forged:
            rig.after(0.01).hear(priority, source=source)
        assert rig.node.chronicle.after(0)[0] - before < 20


def test_stop_is_the_last_notification() -> None:
    rig = given_active(router(handover="break-before-make"))
    rig.handle(ports.End("SIGINT")).after(1.0)
    assert [state for _, state, _ in rig.notifier.told] == [NotifyState.BACKUP, NotifyState.MASTER, NotifyState.STOP]
    assert rig.role() is Role.INITIALIZE


def test_a_drained_router_is_backup_to_notify_programs_and_a_faulty_one_is_not() -> None:
    rig = given_active()
    rig.node.commands.drain("web")
    rig.clock.run()
    assert rig.notifier.told[-1:] == [("web", NotifyState.BACKUP, Why.DRAIN)]
    rig.session(up=False)
    assert [state for _, state, _ in rig.notifier.told][-1] is NotifyState.FAULT


def test_a_second_takeover_within_a_second_takes_the_next_second() -> None:
    """The MED of a takeover time has whole seconds: two routes would be equal."""
    rig = Rig()
    one = rig.router()
    one.ways.look()
    begun = EPOCH + rig.clock.now

    def wait_until(at: float) -> None:
        rig.clock.now = begun - EPOCH + at

    def take_over(at: float) -> float:
        wait_until(at)
        one.carry_out(Transition(Role.BACKUP, Role.ACTIVE, Why.ACTIVE_DOWN_TIMEOUT))
        since = one.instance.takeovers.time.active_since
        assert since is not None
        return since - begun

    assert take_over(0.2) == 0
    wait_until(10.1)
    rig.hear(100)
    assert take_over(10.2) == 11
    # An advert that loses against an Active begins nothing, or the same node would not be noted when it does begin.
    one.instance.router.state = Active(rig.clock.now + 1, 200)
    rig.hear(100)
    one.instance.router.state = Initialize()
    wait_until(30.1)
    rig.hear(100)
    assert take_over(30.2) == 31


def test_a_check_without_a_result_is_awaited_and_no_fault() -> None:
    """Otherwise the predecessor's leftovers would be cleared."""
    rig = Rig(router(checks=["fit"]), check("fit")).start().session()
    assert (rig.faults(), rig.holds()) == ([], ["waiting for fit"])
    rig.check("fit", passed=False)
    assert rig.faults() == ["check"]


def test_a_takeover_binds_missing_addresses_of_leftovers() -> None:
    rig = Rig(router(addresses=["2001:db8:53::1", "2001:db8:53::2"]))
    rig.memory.offered = {"web"}
    rig.addresses.lo = {VIP}
    rig.start().session().after(5 * INTERVAL)
    assert (rig.role(), len(rig.addresses.lo)) == (Role.ACTIVE, 2)


def test_a_drain_that_may_be_undone_still_is_not_over() -> None:
    rig = given_active(router(handover="break-before-make"))
    rig.node.commands.drain("web")
    rig.after(1.0)
    assert (rig.bound(), rig.router().drain.outcome) == (False, Outcome.DRAINING)
    rig.hear(100)
    assert rig.router().drain.outcome is Outcome.DRAINED
    rig.session(up=False).session()
    assert len(rig.log.told("drain-completed")) == 1


def test_an_active_beside_one_that_does_not_hear_it_is_active_since_a_later_second() -> None:
    rig = given_active(router(bgp={"takeover": ["med"], "med": None}))
    before = rig.router().instance.takeovers.time.active_since
    for _ in range(3):
        rig.hear(100).after(INTERVAL)
    since = rig.router().instance.takeovers.time.active_since
    assert before is not None
    assert since is not None
    assert since > before
    attributes = rig.router().announcement.wanted()[0].attributes
    assert f"announce {VIP}/128 med {attributes.med}" in rig.take()
    (told,) = rig.log.told("peer-deaf")
    assert (told["peer"], told["priority"], told["times"]) == (str(PEER), 100, 1)
    assert told["detail"] == (
        "has been Active for 2.0 s beside us, with our priority of 200, and does not hear us; traffic reclaimed for"
        " time 1"
    )


def test_without_takeover_an_active_that_is_not_heard_says_so() -> None:
    rig = given_active()
    for _ in range(3):
        rig.hear(100).after(INTERVAL)
    (told,) = rig.log.told("peer-deaf")
    assert "takeover is off" in told["detail"]
    assert not any(line.startswith("announce") for line in rig.take())


def test_an_active_that_gives_up_reclaims_nothing() -> None:
    rig = given_active(router(handover="break-before-make", bgp={"takeover": ["med"], "med": None}))
    rig.hear(100).after(INTERVAL).hear(100)
    rig.speaker.answers = False
    rig.node.commands.drain("web")
    rig.after(0.5 * INTERVAL).hear(100)
    assert rig.router().instance.router.releasing is not None
    assert rig.log.told("peer-deaf") == []
