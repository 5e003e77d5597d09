"""The caretaker: it goes on with what is announced, and ends ExaBGP if it has to withdraw that."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from exavrrp import speaker
from exavrrp.care import GRACE, REMEDY, REMINDER, START_LIMIT, Caretaker, Successors
from exavrrp.chronicle import BEGAN, CARES, REPLACED, SUCCEEDED, decoded
from exavrrp.config import Configuration
from exavrrp.node import STOP_LIMIT, Event, Node
from exavrrp.ports import Checked, End, PathsChanged, Succession, Terminated
from exavrrp.roster import Ports
from exavrrp.sessions import DOUBT
from exavrrp.vrrp.router import Role
from tests.ports import AGENT, INTERVAL, SESSION, VIP, Rig, check, given_active, given_backup, router

PREFIX = ip_network("2001:db8:53::1/128")
ONLY_THE_END = ", and only the end of ExaBGP can withdraw it"


class Care:
    """A caretaker that takes over from the node of ``before``."""

    def __init__(self, before: Rig) -> None:
        before.handle(End(REPLACED))
        bequest = before.node.bequest
        assert bequest is not None
        self.ends: list[bool] = []
        """each time that it was told whether ExaBGP may be ended"""
        self.reloads = 0

        def make(configuration: Configuration, given: Ports) -> Node:
            return Caretaker(configuration, given, bequest, self)

        self.rig = Rig(*before.tables, make=make)
        self.rig.clock.now = before.clock.now
        levels, times, _, offered = before.memory.notes[-1]
        self.rig.memory.announced = {name for name, level in levels.items() if level in {"active", "leaving"}}
        self.rig.memory.active = {name for name, level in levels.items() if level == "active"}
        self.rig.memory.offered, self.rig.memory.times = offered, times
        self.rig.addresses.lo = set(before.addresses.lo)
        self.rig.paths.cut_off = set(before.paths.cut_off)
        routers = (one for one in self.rig.configuration.routers if one.name in bequest.announced)
        self.rig.speaker.deaf = {network for one in routers for network in one.announce}
        self.rig.start()

    def permit_end(self, may_end: bool, /) -> None:
        self.ends.append(may_end)

    def reload(self) -> None:
        self.reloads += 1

    def done(self) -> list[str]:
        """Effects on the wire and on lo."""
        return [one for one in self.rig.done if one.startswith(("send", "bind", "unbind"))]

    def why(self) -> str | None:
        """The reason of its end; None while it runs."""
        return self.rig.why()


def unanswered(*tables: str) -> Rig:
    """A node that became Active a moment ago; ExaBGP has not answered its announcement, or whatever is sent later."""
    rig = given_backup(*tables, heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    assert {rig.role(name) for name in rig.node.commands.names()} == {Role.ACTIVE}
    return rig


def unanswered_where_bgp_has_no_say() -> Rig:
    """The same; it would serve without an announcement, but ExaBGP may have announced it."""
    return unanswered(router(min_sessions=0))


def refused_once() -> Rig:
    """ExaBGP has refused its announcement, which is tried again."""
    rig = unanswered()
    rig.speaker.refuse(1)
    return rig


def unanswered_for_one_prefix() -> Rig:
    """Of two prefixes, ExaBGP has confirmed one."""
    rig = unanswered(router(addresses=["2001:db8:53::1", "2001:db8:53::9"]))
    rig.speaker.answer(PREFIX)
    return rig


def with_a_new_prefix() -> Rig:
    """Another configuration has added one, which is not answered yet."""
    rig = given_active()
    rig.speaker.answers = False
    return rig.reconfigure(router(addresses=["2001:db8:53::1", "2001:db8:53::9"]))


def with_an_address_that_is_to_be_bound() -> Rig:
    """Another configuration has added one that the kernel does not accept packets to yet."""
    rig = given_active()
    rig.addresses.slow = {ip_address("2001:db8:53::9")}
    return rig.reconfigure(router(addresses=["2001:db8:53::1", "2001:db8:53::9"]))


def withdrawn_by_a_reload() -> Rig:
    """A second prefix was removed from the configuration, and is there again; nothing of that is answered."""
    tables = router(addresses=["2001:db8:53::1", "2001:db8:53::9"])
    rig = given_active(tables)
    rig.speaker.answers = False
    return rig.reconfigure(router(bgp={"med": 70})).reconfigure(tables)


def withdrawn_in_between() -> Rig:
    """Active again, after a withdraw that was not answered either."""
    tables = router(checks=["fit"]), check("fit")
    rig = given_active(*tables, checks=["fit"])
    rig.speaker.answers = False
    rig.check("fit", passed=False).check("fit", passed=True).after(4 * INTERVAL)
    assert (rig.role(), rig.speaker.open) == (Role.ACTIVE, {PREFIX: None})
    return rig


def accepted_as_standby() -> Rig:
    """A node that became Active a moment ago, and is announced as a second choice at least."""
    rig = given_backup(router(standby="announce"), heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL)
    assert (rig.role(), rig.speaker.open) == (Role.ACTIVE, {PREFIX: None})
    return rig


def accepted_as_leaving() -> Rig:
    """The same, and it is announced as leaving at least."""
    rig = given_active()
    rig.hear(250).after(0.1)
    rig.speaker.answers = False
    rig.hear(0).after(INTERVAL)
    assert (rig.role(), rig.speaker.open) == (Role.ACTIVE, {PREFIX: None})
    return rig


def accepted_as_active() -> Rig:
    """It would leave, but it is announced as an Active at least, and nobody else is heard."""
    rig = given_active()
    rig.speaker.answers = False
    rig.hear(250)
    return rig


def refused_for_ever() -> Rig:
    """Active, and certainly not announced: BGP has no say in that."""
    rig = unanswered(router(min_sessions=0))
    rig.session(listed=False)
    rig.speaker.offered.clear()
    rig.speaker.refuse(2)
    return rig


IN_DOUBT = (
    unanswered,
    unanswered_where_bgp_has_no_say,
    refused_once,
    unanswered_for_one_prefix,
    with_a_new_prefix,
    with_an_address_that_is_to_be_bound,
    withdrawn_by_a_reload,
    withdrawn_in_between,
)
CERTAIN = (given_active, accepted_as_standby, accepted_as_leaving, accepted_as_active, refused_for_ever)


@pytest.mark.parametrize("make", IN_DOUBT)
def test_an_active_of_which_nobody_may_know_leaves(make: Callable[[], Rig]) -> None:
    """A drained node would withdraw in its favour. What may be announced stays bound until that is confirmed."""
    before = make()
    before.done.clear()
    care = Care(before)
    assert [one for one in before.done if one.startswith("send")] == ["send web 0"]
    care.rig.after(GRACE - 0.01)
    assert (care.rig.role(), care.done(), care.rig.bound(), care.why()) == (Role.INITIALIZE, [], True, None)
    care.rig.after(0.02)
    assert (care.why(), care.ends) == (f"web may be announced or not{ONLY_THE_END}", [True])


def test_an_active_that_is_certainly_not_announced_leaves_and_nothing_is_ended() -> None:
    """A first refusal may be certain, and is no fault yet: BGP has a say in the election all the same."""
    before = unanswered()
    before.speaker.offered.clear()
    before.speaker.refuse(1)
    before.done.clear()
    care = Care(before)
    assert [one for one in before.done if one.startswith("send")] == ["send web 0"]
    care.rig.after(START_LIMIT)
    assert (care.rig.role(), care.done(), care.why(), care.ends) == (Role.INITIALIZE, [], None, [])


def test_an_active_that_leaves_has_not_failed_silently() -> None:
    """All nodes count alike: others have heard that it leaves, and who comes after it was not Active."""
    before = unanswered()
    before.handle(End(REPLACED))
    assert before.memory.notes[-1][0] == {"web": "leaving"}


@pytest.mark.parametrize("make", CERTAIN)
def test_an_active_that_is_announced_in_any_form_goes_on(make: Callable[[], Rig]) -> None:
    before = make()
    before.done.clear()
    care = Care(before)
    assert "send web 0" not in before.done
    care.rig.after(3 * INTERVAL)
    assert (care.rig.role(), care.rig.bound(), care.why(), care.ends) == (Role.ACTIVE, True, None, [])


def test_a_backup_whose_withdraw_is_not_answered_stays_out_and_sends_nothing() -> None:
    before = given_active()
    before.speaker.answers = False
    before.hear(250).follow(1.5)
    assert before.speaker.open == {PREFIX: None}
    before.done.clear()
    care = Care(before)
    care.rig.after(GRACE - 0.01)
    assert (before.done, care.done(), care.rig.role(), care.why()) == ([], [], Role.INITIALIZE, None)
    care.rig.after(0.02)
    assert care.why() == f"web may be announced or not{ONLY_THE_END}"


def test_a_group_stays_out_with_the_member_that_is_in_doubt() -> None:
    tables = router(1, group="both"), router(2, group="both")
    before = unanswered(*tables)
    before.speaker.answer(PREFIX)
    before.done.clear()
    care = Care(before)
    assert [one for one in before.done if one.startswith("send")] == ["send web 0", "send web2 0"]
    care.rig.after(GRACE - 0.01)
    assert [care.rig.role(name) for name in ("web", "web2")] == [Role.INITIALIZE, Role.INITIALIZE]
    assert (care.done(), len(care.rig.addresses.lo)) == ([], 2)


def test_in_break_before_make_priority_zero_is_sent_after_the_unbind() -> None:
    tables = router(handover="break-before-make")
    before = unanswered(tables)
    before.done.clear()
    care = Care(before)
    care.rig.after(GRACE - 0.01)
    assert (before.done, care.done(), care.rig.bound()) == ([], [], True)


@pytest.mark.parametrize(
    "events", [(speaker.Disconnected("EOF"),), (Terminated(), speaker.Stopping()), (End("SIGINT"),)]
)
@pytest.mark.parametrize("make", [unanswered, given_active])
def test_where_more_ends_than_the_agent_there_is_nothing_to_take_care_of(
    make: Callable[[], Rig], events: tuple[Event, ...]
) -> None:
    before = make()
    before.handle(*events).after(STOP_LIMIT)
    assert "send web 0" in before.done
    assert (before.node.over, before.node.bequest, before.bound()) == (True, None, False)
    assert before.memory.notes[-1][0] == {"web": None}


def test_who_stays_out_leaves_the_addresses_to_the_successor() -> None:
    care = Care(unanswered())
    care.rig.handle(End(SUCCEEDED))
    assert (care.rig.memory.notes[-1][0], care.rig.bound()) == ({"web": "leaving"}, True)


def test_a_group_whose_agent_was_killed_waits_for_the_answers_for_all_its_members() -> None:
    rig = Rig(router(1, group="both"), router(2, group="both"))
    rig.memory.announced = rig.memory.active = {"web", "web2"}
    rig.speaker.answers = False
    rig.start().session()
    rig.speaker.answer(PREFIX)
    rig.after(4 * INTERVAL)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.INITIALIZE, Role.INITIALIZE]
    rig.speaker.answer()
    rig.after(2 * INTERVAL)
    assert [rig.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.ACTIVE]


def test_a_caretaker_delays_no_start() -> None:
    rig = Rig(AGENT + "startup_delay = 5.0\n", router(standby="announce")).start().session().after(5.1)
    assert rig.follow(INTERVAL).role() is Role.BACKUP
    assert Care(rig).rig.role() is Role.BACKUP


def test_a_successor_takes_part_when_exabgp_has_answered() -> None:
    """Whatever was unconfirmed when its predecessor was replaced or killed."""
    rig = Rig()
    rig.memory.announced, rig.memory.active, rig.speaker.answers = {"web"}, {"web"}, False
    rig.addresses.lo = {VIP}
    rig.start().session()
    assert (rig.role(), rig.bound(), rig.holds()) == (Role.INITIALIZE, True, ["waiting for ExaBGP's answer"])
    rig.speaker.answer()
    rig.after(2 * INTERVAL)
    assert rig.role() is Role.ACTIVE


def test_it_goes_on_serving_what_is_announced() -> None:
    care = Care(given_active())
    care.rig.after(4 * INTERVAL)
    assert (care.rig.role(), care.rig.bound(), care.why(), care.ends) == (Role.ACTIVE, True, None, [])


def test_it_keeps_the_results_of_checks_and_the_states_of_sessions() -> None:
    tables = router(checks=["fit"]), check("fit", fall=2)
    care = Care(given_active(*tables, checks=["fit"]))
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


@pytest.mark.parametrize("min_sessions", [0, 1])
def test_a_router_that_is_not_announced_stays_out_and_receives_adverts(min_sessions: int) -> None:
    tables = router(1), router(2, min_sessions=min_sessions)
    before = given_backup(*tables, heard=None)
    before.after(2.0).hear(250, "web2").after(2.0)
    assert [before.role(name) for name in ("web", "web2")] == [Role.ACTIVE, Role.BACKUP]
    care = Care(before)
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
    care.rig.handle(speaker.Disconnected("ended")).after(2.0)
    assert (care.rig.node.over, care.rig.bound()) == (True, False)


def test_after_the_hold_it_gives_up_as_soon_as_it_has_to() -> None:
    tables = router(checks=["fit"]), check("fit")
    care = Care(given_active(*tables, checks=["fit"]))
    care.rig.after(GRACE + 1)
    assert care.why() is None
    care.rig.check("fit", passed=False)
    assert (care.why(), care.ends) == (f"web is not to be announced any more{ONLY_THE_END}", [True])


def test_what_follows_from_giving_up_is_settled_in_the_same_turn() -> None:
    care = Care(given_active(router(checks=["fit"]), check("fit"), checks=["fit"]))
    care.rig.after(GRACE + 1).node.handle(Checked("fit", passed=False, detail="", seconds=0.0))
    while care.why() is None:
        care.rig.clock.turn()
    assert not care.rig.node.elections.settle()


def test_an_unconfirmed_announcement_is_given_up_if_no_successor_comes() -> None:
    care = Care(unanswered())
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


def test_nothing_is_ended_while_a_successor_starts() -> None:
    care = Care(given_active())
    care.rig.hear(250).handle(Succession(starts=True)).follow(START_LIMIT - 0.01)
    assert (care.why(), care.ends, care.rig.log.told("exabgp-detached")) == (None, [], [])
    care.rig.handle(End(SUCCEEDED))
    assert (care.rig.node.over, care.ends) == (True, [])


def test_a_successor_that_does_not_get_to_its_start_is_not_waited_for() -> None:
    care = Care(given_active())
    care.rig.hear(250).handle(Succession(starts=True)).follow(GRACE + 0.1)
    care.rig.handle(Succession(starts=False))
    assert (care.rig.node.over, care.ends) == (False, [True])

    care = Care(given_active())
    care.rig.hear(250).handle(Succession(starts=True), Succession(starts=False))
    assert care.why() is None, "another one may come"
    care.rig.follow(GRACE)
    assert (care.rig.node.over, care.ends) == (False, [True])


def test_a_successor_that_hangs_is_not_waited_for() -> None:
    care = Care(given_active())
    care.rig.hear(250).handle(Succession(starts=True)).follow(START_LIMIT)
    assert (care.rig.node.over, care.ends) == (False, [True])


@pytest.mark.parametrize(("version", "again"), [("5.0.15", 1), ("4.2.25", 0)])
def test_an_exabgp_that_forgets_its_neighbors_reloads_again_at_the_repair(version: str, again: int) -> None:
    care = Care(given_active().handle(speaker.Greeted(version, known=True)))
    care.rig.after(GRACE + 0.01)
    assert care.reloads == 0
    care.rig.handle(Succession(starts=True))
    assert (care.reloads, len(care.rig.log.told("exabgp-reloaded-again"))) == (again, again)
    care.rig.handle(Succession(starts=False))
    assert care.reloads == again
    exabgp = care.rig.node.view().exabgp
    assert exabgp is not None
    assert exabgp.version == version


@pytest.mark.parametrize(("alone", "reloads"), [(0.0, 1), (GRACE - 0.01, 1), (GRACE + 0.01, 2)])
def test_it_reloads_once_for_each_repair_and_not_when_a_successor_is_only_started_anew(
    alone: float, reloads: int
) -> None:
    care = Care(given_active().handle(speaker.Greeted("5.0.15", known=True)))
    care.rig.after(2 * GRACE).handle(Succession(starts=True)).after(2 * GRACE)
    care.rig.handle(Succession(starts=False)).after(alone).handle(Succession(starts=True))
    assert care.reloads == reloads


def test_a_successor_is_known_by_our_command_line_and_after_the_grace_whoever_is_new_is_one() -> None:
    ours, other = b"exavrrp\0run\0", b"exavrrp\0run\0--config\0other.toml\0"
    found = Successors(ours, {1, 2})
    assert not found.start({1: ours}, in_grace=True)
    assert found.start({1: ours, 3: ours}, in_grace=True)
    assert not found.start({2: ours, 4: other}, in_grace=True), "another program of ExaBGP's"
    assert not found.start({4: other}, in_grace=False)
    assert found.start({4: other, 5: other}, in_grace=False)
    assert found.start({4: ours}, in_grace=False), "it had not called exec(2) yet"
    assert not found.start({}, in_grace=False)


def test_whom_the_first_look_finds_is_no_successor_also_if_it_is_late() -> None:
    ours, other = b"exavrrp\0run\0", b"healthcheck\0"
    found = Successors(ours, {1})
    assert not found.start({1: ours, 4: other}, in_grace=False)
    assert found.start({1: ours, 4: other, 5: other}, in_grace=False)
    assert Successors(ours, {1}).start({1: ours, 3: ours}, in_grace=False)


@pytest.mark.parametrize("version", ["5.0.15", None])
def test_nothing_is_reloaded_again_where_no_reload_has_failed_or_the_version_is_not_known(version: str | None) -> None:
    before = given_active()
    if version is not None:
        before.handle(speaker.Greeted(version, known=True))
    care = Care(before)
    if version is None:
        care.rig.after(GRACE + 0.01)
    care.rig.handle(Succession(starts=True)).after(START_LIMIT)
    assert care.reloads == 0


def test_patience_ends_once() -> None:
    care = Care(given_active())
    care.rig.after(GRACE).handle(Succession(starts=True), Succession(starts=False)).after(START_LIMIT)
    assert len(care.rig.log.told("exabgp-detached")) == 1


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
    care.rig.handle(speaker.Disconnected("ended"))
    assert (care.why(), care.ends) == ("ExaBGP is gone", [False])


def test_its_status_names_the_fault_and_unknown_sessions() -> None:
    care = Care(given_active())
    (status,) = care.rig.node.view().routers
    assert status.remarks == (REMEDY,)
    (session,) = care.rig.node.view().sessions
    assert (session.peer, session.up, session.told) == (str(SESSION.peer), None, None)
    exabgp = care.rig.node.view().exabgp
    assert exabgp is not None
    assert not exabgp.answers


# Carriers


def test_a_carrier_that_was_lost_while_nobody_looked_is_noticed() -> None:
    before = given_active()
    before.paths.cut_off = {SESSION.peer}
    assert Care(before).rig.faults() == ["sessions"]


def test_a_session_that_was_in_doubt_is_trusted_in_time() -> None:
    before = given_active()
    before.paths.cut_off = {SESSION.peer}
    before.handle(PathsChanged()).after(0.5)
    before.paths.cut_off = set()
    rig = Care(before.handle(PathsChanged())).rig
    assert rig.faults() == ["sessions"]
    rig.after(before.clock.time() + 0.5 + DOUBT)
    assert rig.faults() == []


# The journal


def begun(rig: Rig) -> tuple[str, object]:
    """The entry with which the process begins in the journal, and whether ExaBGP has run on since the one before."""
    entries = filter(None, map(decoded, rig.node.chronicle.after(0)[1]))
    return next((one.event, one.fields.get("exabgp_ran_on")) for one in entries if one.event in {BEGAN, CARES})


def test_it_begins_in_the_journal_as_what_it_is() -> None:
    before = given_active()
    assert begun(before) == (BEGAN, None), "nobody was before"
    assert begun(Care(before).rig) == (CARES, True)


@pytest.mark.parametrize(("announced", "foreign", "ran_on"), [({"web"}, False, True), (set(), True, False)])
def test_an_agent_notes_whether_exabgp_has_run_on(announced: set[str], foreign: bool, ran_on: bool) -> None:
    rig = Rig()
    rig.memory.announced, rig.memory.is_foreign = announced, foreign
    assert begun(rig.start()) == (BEGAN, ran_on)
