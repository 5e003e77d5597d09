"""The caretaker: it goes on with what is announced, and ends ExaBGP if it has to withdraw that."""

from ipaddress import ip_network

from exavrrp import speaker
from exavrrp.care import GRACE, REMEDY, REMINDER, Caretaker
from exavrrp.config import Configuration
from exavrrp.node import REPLACED, SUCCEEDED, Node
from exavrrp.ports import End, Terminated
from exavrrp.roster import Ports
from exavrrp.vrrp.router import Role
from tests.ports import INTERVAL, SESSION, VIP, Rig, check, given_active, given_backup, router

PREFIX = ip_network("2001:db8:53::1/128")
ONLY_THE_END = ", and only the end of ExaBGP can withdraw it"


class Care:
    """A caretaker, beginning with what the node of ``before`` has left."""

    def __init__(self, before: Rig, *tables: str) -> None:
        before.handle(End(REPLACED))
        bequest = before.node.bequest
        assert bequest is not None
        self.ends: list[bool] = []
        """each time that it was told whether ExaBGP may be ended"""

        def make(configuration: Configuration, given: Ports) -> Node:
            return Caretaker(configuration, given, bequest, self.ends.append)

        self.rig = Rig(*tables, make=make)
        levels, times, _, offered = before.memory.notes[-1]
        self.rig.memory.announced = {name for name, level in levels.items() if level in {"active", "leaving"}}
        self.rig.memory.active = {name for name, level in levels.items() if level == "active"}
        self.rig.memory.offered, self.rig.memory.times = offered, times
        self.rig.addresses.lo = set(before.addresses.lo)
        self.rig.speaker.deaf = set(before.speaker.wanted)
        self.rig.start()

    def why(self) -> str | None:
        """Why it ends, if it does."""
        return self.rig.why()


def test_it_goes_on_serving_what_is_announced() -> None:
    care = Care(given_active())
    care.rig.after(4 * INTERVAL)
    assert (care.rig.role(), care.rig.bound(), care.why(), care.ends) == (Role.ACTIVE, True, None, [])


def test_it_keeps_the_results_of_checks_and_the_states_of_sessions() -> None:
    tables = router(checks=["fit"]), check("fit", fall=2)
    care = Care(given_active(*tables, checks=["fit"]), *tables)
    assert care.rig.holds() == []
    care.rig.check("fit", passed=False).check("fit", passed=False)
    assert care.rig.faults() == ["check"]


def test_it_does_not_wait_for_exabgp_s_answers() -> None:
    before = given_active()
    before.node.commands.drain("web")
    before.hear(100).after(5)
    assert not before.bound()
    care = Care(before)
    assert care.rig.holds() == []


def test_a_router_that_is_not_announced_stays_out_and_receives_adverts() -> None:
    tables = router(1), router(2)
    before = given_backup(*tables, heard=None)
    before.after(2.0).hear(250, "web2").after(2.0)
    assert [before.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.BACKUP]
    care = Care(before, *tables)
    care.rig.after(5 * INTERVAL)
    assert [care.rig.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.INITIALIZE]
    care.rig.hear(100, "web2")
    assert care.rig.node.reception.rejected == {}


def test_a_better_node_takes_over_only_after_the_end_of_exabgp() -> None:
    care = Care(given_active())
    care.rig.hear(250)
    assert care.why() is None, "a successor may come"
    care.rig.follow(GRACE)
    assert (care.why(), care.ends) == (f"web is served by another node{ONLY_THE_END}", [True])
    care.rig.handle(speaker.Gone("ended")).after(2.0)
    assert (care.rig.node.over, care.rig.bound()) == (True, False)


def test_after_the_hold_it_gives_up_as_soon_as_it_has_to() -> None:
    tables = router(checks=["fit"]), check("fit")
    care = Care(given_active(*tables, checks=["fit"]), *tables)
    care.rig.after(GRACE + 1)
    assert care.why() is None
    care.rig.check("fit", passed=False)
    assert (care.why(), care.ends) == (f"web is not to be announced any more{ONLY_THE_END}", [True])


def test_an_unconfirmed_announcement_is_given_up_if_no_successor_comes() -> None:
    before = given_active()
    before.speaker.answers = False
    before.hear(250)
    care = Care(before)
    care.rig.after(GRACE - 0.01)
    assert care.why() is None
    care.rig.after(0.02)
    assert care.why() == f"web may be announced or not{ONLY_THE_END}"


def test_a_withdraw_that_a_predecessor_failed_to_send_ends_exabgp() -> None:
    """The agent was killed, its successor's withdraw was not answered either, and then a reload failed."""
    before = Rig()
    before.memory.offered = {"web"}
    before.speaker.answers = False
    before.start().session()
    before.speaker.refuse(2, silent=True)
    care = Care(before)
    care.rig.after(GRACE + 0.01)
    assert (care.why(), care.ends) == (f"web may be announced or not{ONLY_THE_END}", [True])


def test_an_exabgp_that_announces_nothing_is_left_alone() -> None:
    before = Rig()
    before.speaker.answers = False
    before.start().session()
    before.speaker.refuse(2)
    care = Care(before)
    care.rig.after(GRACE + REMINDER)
    assert (care.why(), care.ends) == (None, [])


def test_it_logs_reminders_after_the_hold() -> None:
    care = Care(given_active())
    care.rig.after(GRACE - 0.01)
    assert care.rig.log.told("exabgp-detached") == []
    care.rig.after(0.02)
    assert care.rig.log.told("exabgp-detached") == [{"detail": REMEDY}]
    care.rig.after(2 * REMINDER)
    assert len(care.rig.log.told("exabgp-detached")) == 3
    care.rig.handle(End(SUCCEEDED)).after(REMINDER)
    assert len(care.rig.log.told("exabgp-detached")) == 3


def test_a_successor_finds_everything_in_its_place() -> None:
    care = Care(given_active())
    care.rig.after(4 * INTERVAL)
    care.rig.done.clear()
    care.rig.handle(End(SUCCEEDED))
    assert (care.rig.node.over, care.rig.node.bequest, care.ends) == (True, None, [])
    assert (care.rig.done, care.rig.addresses.lo) == (["send web 200"], {VIP})


def test_a_sigterm_is_for_the_caretaker_itself() -> None:
    care = Care(given_active())
    care.rig.handle(Terminated())
    assert (care.why(), care.ends) == ("SIGTERM", [True])


def test_an_exabgp_that_is_gone_needs_no_end() -> None:
    care = Care(given_active())
    care.rig.handle(speaker.Gone("ended"))
    assert (care.why(), care.ends) == ("ExaBGP is gone", [False])


def test_its_status_says_what_is_wrong_and_that_nobody_knows_the_sessions() -> None:
    care = Care(given_active())
    (status,) = care.rig.node.view().routers
    assert status.remarks == (REMEDY,)
    (session,) = care.rig.node.view().sessions
    assert (session.peer, session.up, session.told) == (str(SESSION.peer), None, None)
    exabgp = care.rig.node.view().exabgp
    assert exabgp is not None
    assert not exabgp.answers
