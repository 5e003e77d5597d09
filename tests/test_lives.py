"""What `why` says of the life before: how the process before had ended, and what a router had left for."""

from collections.abc import Callable

import pytest

from exavrrp.chronicle import SUCCEEDED, Entry, Verdict
from exavrrp.cli import style
from exavrrp.cli.reasons import reasons
from exavrrp.ports import End, Succession
from tests.ports import INTERVAL, SESSION, Rig, given_active, given_backup
from tests.test_care import Care
from tests.test_status import answer
from tests.test_why import both, journal

RAN_ON = "the agent before had been killed or had crashed, and ExaBGP ran on"
RELOADED = "ExaBGP had ended its agent (SIGTERM) and ran on, as in a full reload (SIGUSR2)"


def started(before: Rig, *, announced: bool = True, foreign: bool = False) -> Rig:
    """The agent after ``before``, a moment later; ``announced``: whether this ExaBGP announces what that one served."""
    rig = Rig(*before.tables)
    rig.clock.now = before.clock.now + 0.3
    rig.memory.announced = rig.memory.active = {"web"} if announced else set()
    rig.memory.is_foreign = foreign
    rig.addresses.lo = set(before.addresses.lo)
    return rig.start().session()


def cared(before: Rig, seconds: float) -> Rig:
    """The caretaker after ``before``, which ends after so long because a successor has come."""
    rig = Care(before).rig
    rig.after(seconds).handle(Succession(starts=True))
    return rig.handle(End(SUCCEEDED))


def said(*lives: Rig) -> str:
    """What the last of these agents says, which knows the journals of all."""
    entries = [entry for rig in lives for entry in journal(rig)]
    found = answer(lives[-1])
    lines = list(reasons(found, found.routers[0], entries))
    assert max(map(len, lines)) <= style.WIDTH
    return " ".join(" ".join(lines).split())


def last(rig: Rig) -> Verdict | None:
    return next((one.cause.verdict for one in reversed(journal(rig)) if one.cause is not None), None)


# How the process before had ended


def test_an_agent_that_was_killed() -> None:
    first = given_active()
    second = started(first).after(2)
    assert last(second) is Verdict.RESUMED
    told = said(first, second)
    assert f"the agent began: {RAN_ON} " in told
    assert f"It began at 08:16:44.300: {RAN_ON}. Not the reason:" in told
    assert "the agent began:" not in said(second), "nothing was before"


def test_an_agent_that_was_killed_and_has_a_successor_already() -> None:
    """Another node was faster: it comes back, and what it was out for is told with that."""
    first = given_active()
    second = started(first).hear(100)
    for _ in range(3):
        second.after(1).hear(100)
    assert last(second) is Verdict.WEAKER
    assert f"It began at 08:16:44.300: {RAN_ON}." in said(first, second)


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        (True, "it had been killed, and so was ExaBGP, or its host had lost power"),
        (False, "it had been killed, or its host had lost power"),
    ],
)
def test_an_agent_that_has_left_no_word(foreign: bool, words: str) -> None:
    first = given_active()
    second = started(first, announced=False, foreign=foreign)
    assert last(second) is Verdict.READY
    assert f"It began at 08:16:44.300: the agent before left no word: {words}." in said(first, second)


def test_an_agent_that_was_stopped() -> None:
    first = given_active().handle(End("ExaBGP stops")).after(2)
    second = started(first, announced=False)
    assert "It began at 08:16:46.300: the process before was stopped (ExaBGP stops)." in said(first, second)


def test_a_full_reload_of_exabgp() -> None:
    """With a caretaker for a moment, and without one."""
    first = given_active()
    care = cared(first, 0.3)
    second = started(care).after(2)
    assert f"It began at 08:16:44.600: {RELOADED}." in said(first, care, second)
    assert f"It began at 08:16:44.600: {RELOADED}." in said(first, second)


def test_a_reload_of_exabgp_that_fails() -> None:
    first = given_active()
    care = cared(first, 3.0)
    second = started(care).after(2)
    told = said(first, care, second)
    failed = "3.3 s before, ExaBGP had ended its agent and started no other one, as it does when its configuration does"
    assert f"It began at 08:16:47.300: {failed} not load; a caretaker went on with what is announced." in told


def test_a_caretaker_says_what_it_is() -> None:
    first = given_active()
    care = Care(first).rig.after(3)
    assert last(care) is Verdict.RESUMED
    told = said(first, care)
    assert "a caretaker began: ExaBGP had ended its agent (SIGTERM) and ran on, and a caretaker went on with" in told
    assert "exabgp-detached (ExaBGP has ended its agent and started no other one" in told


# What it had left for, or had become Active for


def test_a_node_that_stood_still_and_comes_back() -> None:
    rig = given_active()
    rig.clock.now += 10
    rig.after(0).hear(100)
    for _ in range(5):
        rig.after(1).hear(100)
    assert last(rig) is Verdict.WEAKER
    stood = "this agent stood still for 9.78 s (it was stopped, got no CPU, or its host was suspended): another node"
    assert f"It had left at 08:16:54.000: {stood} may have taken over. Not the reason:" in said(rig)


def drained(rig: Rig) -> Rig:
    rig.node.commands.drain("web")
    rig.hear(250).after(200).hear(250)
    rig.node.commands.undrain("web")
    return rig


def cut_off(rig: Rig) -> Rig:
    return rig.session(SESSION, up=False).hear(250).after(200).session()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (drained, "It had left at 08:16:44.000: it was drained by an operator."),
        (cut_off, "It had left at 08:16:44.000: too few BGP sessions: web's BGP sessions failing (0 up, 1 needed)."),
    ],
)
def test_a_node_that_takes_part_again_says_what_it_was_out_for_also_after_long(
    act: Callable[[Rig], Rig], words: str
) -> None:
    rig = act(given_active())
    assert last(rig) is Verdict.READY
    assert words in said(rig)


def test_a_node_that_gives_way_says_why_it_was_active() -> None:
    rig = both(given_backup(heard=None), 3).after(3 * INTERVAL + 200).hear(250)
    assert last(rig) is Verdict.BETTER
    assert "It became Active at 08:16:45.218: 2001:db8:ff::12 fell silent on every path at once: the" in said(rig)


def test_a_backup_of_long_standing_takes_over_from_a_weaker_active_for_nothing_that_was_before() -> None:
    first = given_backup()
    second = started(first, announced=False).hear(250).follow(100).hear(100)
    for _ in range(3):
        second.after(1).hear(100)
    assert last(second) is Verdict.WEAKER
    assert "It began" not in said(first, second)


def test_a_transition_of_another_version_has_no_reason() -> None:
    rig = given_active()
    old = Entry(at=journal(rig)[-1].at, event="transition", router="web", fields={"after": "backup"})
    found = answer(rig)
    assert not any(line.startswith("It ") for line in reasons(found, found.routers[0], [*journal(rig), old]))


def test_what_was_before_may_be_unknown() -> None:
    """The journal is bounded: the entry of the transition before, or of the beginning, is gone."""
    rig = both(given_backup(heard=None), 3).after(3 * INTERVAL + 200).hear(250)
    found = answer(rig)
    kept = journal(rig)[-3:]
    assert kept[-1].event != "agent-started"
    assert not any(line.startswith("It ") for line in reasons(found, found.routers[0], kept))
