"""Why a router has changed its state: each cause is noted when it is decided, and `why` names it."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from exavrrp import ports, speaker
from exavrrp.chronicle import REPLACED, Cause, Entry, Verdict, decoded
from exavrrp.cli import style
from exavrrp.cli.reasons import reasons
from exavrrp.cli.telling import sentence, stamp
from exavrrp.events import Rated
from exavrrp.neighbors import Session
from exavrrp.vrrp.copies import CHANGES, MOST_PEERS, SPAN
from exavrrp.vrrp.packet import LEAVING, Reason
from exavrrp.vrrp.router import Role
from tests.ports import (
    INTERVAL,
    LINKS,
    OTHER,
    PEER,
    SECOND,
    SESSION,
    VIP,
    Rig,
    check,
    given_active,
    given_backup,
    lan,
    router,
)
from tests.test_status import answer


def journal(rig: Rig) -> list[Entry]:
    found = [decoded(line) for line in rig.node.chronicle.after(0)[1]]
    return [entry for entry in found if entry is not None]


def cause(rig: Rig, name: str = "web") -> Cause:
    """Of the last transition."""
    found = [one for one in journal(rig) if one.event == "transition" and one.router == name][-1].cause
    assert found is not None
    return found


def why(rig: Rig, name: str = "web") -> list[str]:
    found = answer(rig)
    lines = list(reasons(found, next(one for one in found.routers if one.name == name), journal(rig)))
    assert max(map(len, lines)) <= style.WIDTH
    return lines


def text(rig: Rig, name: str = "web") -> str:
    return " ".join(" ".join(why(rig, name)).split())


def both(rig: Rig, times: int) -> Rig:
    """Adverts over both paths, ``times`` times."""
    for _ in range(times):
        rig.hear(250, interface=1).hear(250, interface=2).after(1.0)
    return rig


# Silence


def test_a_node_that_falls_silent_on_every_path_at_once() -> None:
    rig = both(given_backup(heard=None), 5).after(3)
    found = cause(rig)
    assert (found.verdict, found.peer, found.interval, found.skew_time) == (
        Verdict.SILENT_AT_ONCE,
        str(PEER),
        1.0,
        56 / 256,
    )
    assert found.waited == pytest.approx(3 + 56 / 256)
    assert [(path.interface, path.quiet) for path in found.paths] == [("eth0", False), ("eth1", False)]
    assert [path.age for path in found.paths] == pytest.approx([3 + 56 / 256] * 2)
    assert why(rig) == [
        "08:16:40.000 web: first advert of 2001:db8:ff::12, priority 250",
        "08:16:44.000 last advert of 2001:db8:ff::12; by path: eth0, eth1",
        "08:16:47.218 web: 2001:db8:ff::12 silent on every path for 3.22 s > 3 x 1000 +",
        "             skew 219   -> ACTIVE",
        "08:16:47.218 bound +0.0 ms; announced +0.0 ms; confirmed +0.0 ms",
        "Verdict: 2001:db8:ff::12 fell silent on every path at once: the node, its agent",
        "  or its rack, not one link.",
        "Not the reason: checks (none), BGP (1 of 1 up), drain (none), this machine (at",
        "  most 0.0 ms late).",
        "Now: ACTIVE; it would move if a peer says more than 200, or this node fails or",
        "             is drained.",
    ]


def test_a_node_whose_paths_fail_one_after_the_other() -> None:
    rig = both(given_backup(heard=None), 3)
    for _ in range(6):
        rig.hear(250).after(1.0)
    rig.after(3)
    found = cause(rig)
    assert (found.verdict, [path.quiet for path in found.paths]) == (Verdict.SILENT_IN_TURN, [False, True])
    assert "path-quiet peer=2001:db8:ff::12 interface=eth1" in text(rig)
    assert "by path: eth0, eth1 (6 s before) quiet already" in text(rig)
    assert f"Verdict: {PEER} fell silent on one path after the other (eth0, eth1): links or routers" in text(rig)


def test_paths_that_fail_within_an_interval_and_a_half_are_one_event() -> None:
    for apart, verdict in ((1.5, Verdict.SILENT_AT_ONCE), (1.6, Verdict.SILENT_IN_TURN)):
        rig = both(given_backup(heard=None), 3)
        rig.hear(250, interface=2).after(apart).hear(250, interface=1).after(5)
        assert cause(rig).verdict is verdict


def test_a_path_that_never_delivered_is_part_of_it() -> None:
    rig = given_backup().after(5)
    assert cause(rig).verdict is Verdict.SILENT_IN_TURN
    assert "eth1 (never heard)" in text(rig)


def test_a_single_path() -> None:
    rig = given_backup(heard=None)
    rig.paths.links = rig.paths.links[:1]
    rig.handle(ports.PathsChanged()).hear(250).after(5)
    assert cause(rig).verdict is Verdict.SILENT_ON_ONLY_PATH
    assert f"Verdict: {PEER} fell silent on eth0, the only path" in text(rig)


def test_how_many_adverts_were_missed() -> None:
    rig = given_backup(router(down_count=2)).after(5)
    assert f"{PEER} silent on every path for 2.22 s > 2 x 1000 + skew 219" in text(rig)


def test_nobody_was_there() -> None:
    rig = given_active()
    assert (cause(rig).verdict, cause(rig).peer, cause(rig).paths) == (Verdict.NOBODY, None, ())
    assert "web: nobody heard on any path for 3.22 s > 3 x 1000 + skew 219 -> ACTIVE" in text(rig)
    assert "Verdict: no advert of any Active has come since this node takes part." in text(rig)


# The election


def test_a_peer_that_resigns() -> None:
    rig = given_backup().hear(0).after(1)
    assert (cause(rig).verdict, cause(rig).peer) == (Verdict.RESIGNED, str(PEER))
    assert cause(rig).waited == pytest.approx(56 / 256)
    assert f"web: {PEER} said priority 0 219 ms before; our 200 -> ACTIVE" in text(rig)
    assert f"{PEER} says priority 0: it leaves" in text(rig)


def test_a_weaker_peer() -> None:
    rig = given_backup(heard=100)
    for _ in range(5):
        rig.hear(100).after(1)
    assert (cause(rig).verdict, cause(rig).peer, cause(rig).theirs, cause(rig).ours) == (
        Verdict.WEAKER,
        str(PEER),
        100,
        200,
    )
    assert f"Verdict: the Active says less than we: {PEER} says 100, we 200." in text(rig)


def test_a_better_peer() -> None:
    rig = given_active().hear(250)
    assert (cause(rig).verdict, cause(rig).theirs) == (Verdict.BETTER, 250)
    assert f"web: {PEER} says 250, our 200 -> BACKUP" in text(rig)
    assert f"Not Active because {PEER} is: it says 250, we 200." in text(rig)


def test_a_priority_that_a_check_has_lowered() -> None:
    rig = given_active(router(checks=["disk"]), check("disk", weight=-60), checks=["disk"])
    rig.check("disk", passed=False, detail="full").hear(150)
    found = cause(rig)
    assert (found.verdict, found.sum, found.facts.failing) == (
        Verdict.WEAKENED,
        "200 - 60 (disk failing) = 140",
        ("disk",),
    )
    assert "Verdict: our priority was lowered: 200 - 60 (disk failing) = 140." in text(rig)
    assert "checks" not in text(rig).partition("Not the reason:")[2].partition("Now:")[0]
    rig = given_active(router(checks=["disk"], preempt=False), check("disk", weight=-60), checks=["disk"])
    assert cause(rig.check("disk", passed=False)).verdict is Verdict.WEAKENED


def test_a_node_that_stood_still() -> None:
    rig = given_active()
    rig.clock.now += 10
    rig.after(1)
    stalled = [one.cause for one in journal(rig) if one.fields.get("reason") == "stalled"]
    assert [one.verdict for one in stalled if one is not None] == [Verdict.STALLED]


def contradicted(rig: Rig) -> Rig:
    for priority in [0, 255] * CHANGES:
        rig.hear(priority)
    return rig


def test_adverts_that_contradict_each_other() -> None:
    rig = contradicted(given_backup(heard=None)).after(5)
    assert rig.role() is Role.ACTIVE
    assert (cause(rig).verdict, cause(rig).peer) == (Verdict.CONTRADICTORY, str(PEER))
    assert f"Verdict: adverts in the name of {PEER} contradict each other: somebody forges them" in text(rig)
    (told,) = [one for one in journal(rig) if one.event == "peer-contradictory"]
    assert sentence(told) == (
        f"web: peer-contradictory peer={PEER} (said another priority 12 times within 0.00 s, now 0: somebody forges its"
        " adverts, two machines have its address, or a check there changes all the time)"
    )
    rig.hear(250, source=OTHER)
    assert cause(rig).verdict is Verdict.BETTER, "whoever decides it is another one"


def test_a_peer_that_has_been_of_one_mind_since_is_believed() -> None:
    rig = contradicted(given_backup()).hear(250).follow(SPAN * INTERVAL).after(5)
    assert cause(rig).verdict is Verdict.CONTRADICTORY
    rig = contradicted(given_backup()).hear(250).follow((SPAN + 2) * INTERVAL).after(5)
    assert cause(rig).verdict is Verdict.SILENT_IN_TURN


def test_our_own_checks_are_nearer_than_what_a_peer_contradicts() -> None:
    """Unless what it says beats also what we are configured with."""
    for said, verdict in ((150, Verdict.WEAKENED), (250, Verdict.CONTRADICTORY)):
        rig = given_active(router(checks=["disk"]), check("disk", weight=-60), checks=["disk"])
        for priority in [0, 100] * CHANGES:
            rig.hear(priority)
        rig.check("disk", passed=False).hear(said)
        assert cause(rig).verdict is verdict


def test_who_beats_also_what_we_are_configured_with_is_better() -> None:
    rig = given_active(router(checks=["disk"]), check("disk", weight=-60), checks=["disk"])
    assert cause(rig.check("disk", passed=False).hear(250)).verdict is Verdict.BETTER


@pytest.mark.parametrize(("peer", "verdict"), [("12", Verdict.BETTER), ("10", Verdict.WEAKENED)])
def test_of_equal_priorities_the_greater_address_beats_what_we_are_configured_with(peer: str, verdict: Verdict) -> None:
    other = ip_address(f"2001:db8:ff::{peer}")
    rig = given_active(router(checks=["disk"], peers=[str(other)]), check("disk", weight=-60), checks=["disk"])
    rig.check("disk", passed=False).hear(200, source=other)
    assert (cause(rig).verdict, cause(rig).theirs) == (verdict, 200)


def test_an_owner_and_a_node_that_was_active_before_its_restart() -> None:
    rig = Rig(router(priority=255)).start().session()
    assert cause(rig).verdict is Verdict.OWNER
    rig = Rig()
    rig.memory.announced, rig.memory.active = {"web"}, {"web"}
    rig.start().session().after(3)
    assert cause(rig).verdict is Verdict.RESUMED


# What keeps this node out


def no_sessions(rig: Rig) -> None:
    rig.session(SESSION, up=False)


def refused(rig: Rig) -> None:
    rig.speaker.answers = False
    rig.node.routers["web"].announcement.announce()
    rig.hear(250)
    rig.speaker.refuse(1)
    rig.speaker.refuse(2)


def unbindable(rig: Rig) -> None:
    rig.handle(ports.AddressLost(VIP, OSError(16, "the kernel refuses")))


def mute(rig: Rig) -> None:
    rig.paths.isolated = True
    rig.mute().after(10)


def drained(rig: Rig) -> None:
    rig.node.commands.drain("web")


def stopped(rig: Rig) -> None:
    rig.handle(ports.End("SIGINT"))


def failing(rig: Rig) -> None:
    rig.check("fit", passed=False, detail="HTTP 500")


@pytest.mark.parametrize(
    ("act", "verdict", "said"),
    [
        (no_sessions, Verdict.SESSIONS, "Verdict: too few BGP sessions: web's BGP sessions failing (0 up, 1 needed)."),
        (unbindable, Verdict.BIND, "Verdict: the addresses cannot be bound: "),
        (mute, Verdict.ADVERTS, "Verdict: no advert leaves this node, or its source is gone: no advert could be sent"),
        (drained, Verdict.DRAINED, "Verdict: it was drained by an operator."),
        (stopped, Verdict.STOPPED, "Verdict: the agent was stopped: SIGINT."),
        (failing, Verdict.CHECK, "Verdict: a check failed: fit failing (HTTP 500)."),
    ],
)
def test_what_keeps_an_active_out(act: Callable[[Rig], None], verdict: Verdict, said: str) -> None:
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"])
    act(rig)
    found = [one.cause.verdict for one in journal(rig) if one.cause is not None]
    assert verdict in found
    if found[-1] is verdict:
        assert said in text(rig)


def test_a_member_of_a_group_moves_with_the_others() -> None:
    tables = [router(group="all", checks=["fit"]), router(2, group="all"), check("fit")]
    rig = given_active(*tables, checks=["fit"])
    rig.check("fit", passed=False)
    assert (cause(rig).verdict, cause(rig, "web2").verdict) == (Verdict.CHECK, Verdict.GROUP)
    assert "Verdict: it moves with another router of its group" in text(rig, "web2")


def test_something_has_to_be_known_first() -> None:
    rig = Rig(router(checks=["slow"]), check("slow", initial="wait")).start().session()
    assert "Not Active because it is held: waiting for slow." in text(rig)


def test_an_active_that_is_replaced_before_exabgp_has_answered_says_so() -> None:
    rig = given_backup(heard=None)
    rig.speaker.answers = False
    rig.after(4 * INTERVAL).handle(ports.End(REPLACED))
    assert cause(rig).verdict is Verdict.WAITING


def test_it_takes_part_again() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False).check("fit", passed=True)
    assert cause(rig).verdict is Verdict.READY
    assert "Verdict: nothing keeps it out of the election any more." in text(rig)
    rig.hear(0)
    assert "Not Active because it waits until the Active has been silent for long enough." in text(rig)


def test_all_that_keeps_it_out_is_said() -> None:
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"])
    rig.node.commands.drain("web")
    rig.check("fit", passed=False)
    assert "Not Active because it is in fault: fit failing, and it is drained." in text(rig)
    held = Rig(router(checks=["slow"]), check("slow", initial="wait")).start("web").session()
    assert "Not Active because it is drained, and it is held: waiting for slow." in text(held)


def test_an_active_that_says_less_is_left_alone() -> None:
    rig = given_backup(router(preempt=False), heard=100)
    assert f"because {PEER} is: it says 100, we 200; preempt = false: it keeps what it has." in text(rig)
    rig = given_backup(router(preempt_delay=30.0), heard=100)
    assert f"because {PEER} is: it says 100, we 200; it is left alone for 30 s (preempt_delay)." in text(rig)
    assert f"because {PEER} is: it says 100, we 200." in text(given_backup(heard=100))
    assert f"because {PEER} is: it says 200, we 200." in text(given_backup(router(preempt=False), heard=200))


def test_before_it_takes_part() -> None:
    rig = Rig()
    assert "Not Active because it has not begun to take part." in text(rig)


def test_before_any_transition() -> None:
    rig = Rig(router(checks=["fit"]), check("fit")).start()
    assert why(rig)[0] == "web: no transition is in the journal"
    rig.node.commands.drain("web")
    rig.check("fit", passed=True).session()
    assert why(rig)[-2:] == ["Not Active because it is drained.", " ! drained until a restart"]


def test_what_has_happened_since() -> None:
    rig = both(given_backup(heard=None), 3)
    assert "Since then:" not in text(rig)
    for _ in range(6):
        rig.hear(250).after(1.0)
    lines = why(rig)
    assert "Since then:" in lines
    assert any("path-quiet" in line for line in lines[lines.index("Since then:") :])


def quiet(rig: Rig) -> None:
    both(rig, 2)
    for _ in range(6):
        rig.hear(250).after(1.0)


def one_session_less(rig: Rig) -> None:
    rig.session(SECOND).after(2).session(up=False)


def cut_off(rig: Rig) -> None:
    rig.session(SECOND).after(2)
    rig.paths.cut_off = {SESSION.peer}
    rig.handle(ports.PathsChanged())


def one_too_few(rig: Rig) -> None:
    rig.after(2).session(up=False)


def reloaded(rig: Rig) -> None:
    rig.after(2).reconfigure(router(priority=201))


def undrained(rig: Rig) -> None:
    rig.after(2).node.commands.drain("web")
    rig.after(60)


def lied_to(rig: Rig) -> None:
    quiet(rig)
    contradicted(rig.after(2).hear(250))


@pytest.mark.parametrize(
    ("rig", "act", "said"),
    [
        (given_backup, quiet, "adverts came over another path."),
        (given_backup, lied_to, None),
        (given_active, one_session_less, "1 BGP session is enough (min_sessions)."),
        (given_active, cut_off, "1 BGP session is enough (min_sessions)."),
        (lambda: given_active(router(min_sessions=0)), one_too_few, "BGP sessions do not count (min_sessions = 0)."),
        (lambda: given_active(router(sessions_weight=-10)), one_too_few, None),
        (given_active, reloaded, "a reload moves only what it names."),
        (given_active, lambda rig: rig.after(2).hear(100, source=OTHER), None),
    ],
)
def test_what_has_happened_and_why_it_has_not_moved_a_router(
    rig: Callable[[], Rig], act: Callable[[Rig], None], said: str | None
) -> None:
    moved = rig()
    before = cause(moved)
    act(moved)
    assert cause(moved) == before, "it has not moved"
    told = text(moved)
    assert (f"That has not moved it: {said}" in told) if said else "Since then:" in told and "not moved it" not in told


def test_what_is_no_consequence_of_a_transition_is_told_although_it_follows_at_once() -> None:
    rig = given_active()
    assert "Since then:" not in text(rig)
    rig.handle(ports.Discarded(Reason.HOP_LIMIT, OTHER))
    assert "Since then:" in text(rig)
    assert f"packet-rejected reason=hop-limit source={OTHER} That has not moved it: what is rejected counts" in text(
        rig
    )


def test_many_sessions_are_enough() -> None:
    third = Session(ip_address("2001:db8:0:3::1"), ip_address("2001:db8:0:3::2"))
    rig = Rig(router(min_sessions=2)).start().session().session(SECOND).session(third)
    rig.after(2).session(third, up=False)
    assert "That has not moved it: 2 BGP sessions are enough (min_sessions)." in text(rig)


# The rest of the node


def test_facts_of_the_moment() -> None:
    rig = given_backup(router(checks=["fit", "disk"]), check("fit", weight=-1), check("disk"), checks=["fit", "disk"])
    rig.check("fit", passed=False).after(5)
    facts = cause(rig).facts
    assert (facts.failing, facts.checks, facts.up, facts.sessions, facts.drained, facts.skew) == (
        ("fit",),
        2,
        1,
        1,
        False,
        None,
    )
    rig.handle(speaker.Stalled(2.0))
    assert (cause(rig).facts.up, cause(rig).verdict) == (None, Verdict.EXABGP)
    assert "Verdict: ExaBGP does not answer (it is stopped, or hangs): nothing can be announced" in text(rig)
    assert "BGP" not in text(rig).partition("Not the reason:")[2].partition("Now:")[0]
    rig = given_active(router(checks=["fit"], min_sessions=0), check("fit"), checks=["fit"])
    assert cause(rig.handle(speaker.Stalled(2.0)).check("fit", passed=False)).verdict is Verdict.CHECK


def test_adverts_that_change_nothing_are_not_entered() -> None:
    rig = both(given_backup(heard=None), 50)
    assert [one.fields for one in journal(rig) if one.event == "peer-advertised"] == [
        {"peer": str(PEER), "priority": 250}
    ]
    rig.hear(200)
    rig.hear(250, source=OTHER)
    rig.after(1).hear(200).after(60)
    rig.hear(200)
    told = [sentence(one) for one in journal(rig) if one.event == "peer-advertised"]
    assert told[1:] == [
        f"web: {PEER} says priority 200, before 250",
        f"web: first advert of {OTHER}, priority 250",
        f"web: {PEER} advertises again after 60.0 s, priority 200",
    ]


def test_a_peer_whose_priority_changes_all_the_time_does_not_fill_the_journal() -> None:
    rig = given_backup()
    for _ in range(100):
        rig.hear(240).hear(250)
    assert len([one for one in journal(rig) if one.event == "peer-advertised"]) == 3, "one of a contradiction"


# Words


def test_entries_in_words() -> None:
    rig = given_active()
    words = [sentence(one) for one in journal(rig)]
    assert "web: initialize -> backup (startup)" in words
    assert "web: bound 0.0 ms after that" in words
    assert f"web: paths-changed peer={PEER} interfaces=eth0,eth1" in words
    at = journal(rig)[0].at.time
    assert stamp(at) == "2027-01-15 08:16:40.000"
    assert stamp(at, at) == "08:16:40.000"
    odd = Entry(at=journal(rig)[0].at, event="phase-completed", router="web", fields={"phase": "bound"})
    assert sentence(odd) == "web: bound ? after that"
    assert sentence(Entry(at=odd.at, event="x", fields={"names": []})) == "x names=none"


def test_a_transition_of_another_version_has_no_cause() -> None:
    rig = given_active()
    entries = [one for one in journal(rig) if one.event != "transition"]
    old = Entry(
        at=entries[-1].at,
        event="transition",
        router="web",
        fields={"before": "backup", "after": "active", "reason": "x"},
    )
    found = answer(rig)
    lines = list(reasons(found, found.routers[0], [*entries, old]))
    assert "08:16:43.218 web: backup -> active (x)   -> ACTIVE" in lines


def test_the_guide_shows_what_is_printed() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    assert "\n".join(["$ exavrrp why web", *why(site())]) in guide


def site() -> Rig:
    """The guide's example: an Active that falls silent, while a check of no weight of ours is fine."""
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"], heard=None)
    both(rig, 60).after(0.01)
    rig.addresses.slow, rig.speaker.answers = {VIP}, False
    while rig.role() is not Role.ACTIVE:
        rig.after(0.001)
    rig.after(0.001).addresses.awaited = set()
    rig.handle(ports.AddressesChanged())
    rig.after(0.002).speaker.answer()
    return rig


def test_what_has_brought_a_router_back_is_told_with_its_takeover() -> None:
    """Not only that it is ready, which follows from that."""
    rig = given_active()
    rig.node.commands.drain("web")
    rig.hear(100).after(2)
    rig.node.commands.undrain("web")
    for _ in range(6):
        rig.hear(100).after(1)
    assert cause(rig).verdict is Verdict.WEAKER
    told = text(rig)
    assert "drain-ended" in told
    assert "drain-started" not in told, "that led to the transition before"


@pytest.mark.parametrize("better", [True, False])
def test_strangers_on_a_link_do_not_make_a_node_forget_whom_it_follows(better: bool) -> None:
    """Whoever may speak on a link may forge any number of senders. What explains a takeover must not end the agent."""
    rig = Rig(lan())
    rig.paths.links = LINKS[:1]
    rig.start().session().hear(250 if better else 100)
    for number in range(MOST_PEERS):
        rig.after(0.001).hear(LEAVING, source=OTHER + number)
    if not better:
        rig.node.elections.tell(Rated("web", 50))  # who was inferior, and is forgotten, is followed now
    rig.after(4 * INTERVAL)
    assert (rig.role(), cause(rig).peer) == (Role.ACTIVE, str(PEER))
    assert cause(rig).verdict is (Verdict.SILENT_ON_ONLY_PATH if better else Verdict.SILENT_IN_TURN)
    assert f"{PEER} silent on every path" in text(rig)
