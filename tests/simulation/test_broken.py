"""The simulator can fail: each test breaks a promise of the product on purpose, and some seed of a few must find it.

What is found has to be the promise that was broken, not just any: each test names what the finding says, and a seed to
begin with. That one is likely to find it; another one will if a change has shifted what seeds mean.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from exavrrp import presence
from exavrrp.adverts import Adverts
from exavrrp.announcement import Announcement, Announcer
from exavrrp.backoff import Backoff
from exavrrp.bequest import Bequest
from exavrrp.binding import Binding, OnLo
from exavrrp.care import Caretaker
from exavrrp.chronicle import REPLACED
from exavrrp.config import Configuration as NodeConfiguration
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.drain import Drain
from exavrrp.groups import Group
from exavrrp.instance import Effect, Instance
from exavrrp.leftovers import Leftovers
from exavrrp.memory import Memory
from exavrrp.node import Node
from exavrrp.presence import Handover, Lingering, Presence, Step
from exavrrp.pump import Pump
from exavrrp.roster import Roster
from exavrrp.sessions import Sessions
from exavrrp.simulation.world import Violation
from exavrrp.speaker import Conversation
from exavrrp.speaker.dialects import V5
from exavrrp.speaker.prefixes import Prefixes
from exavrrp.takeover import Rivals, SilentFailures
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp import auth, packet
from exavrrp.vrrp.auth import Sender
from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vrrp.router import Action, Active, Initialize, Router, Settings
from exavrrp.ways import Ways
from tests.simulation import scenarios
from tests.simulation.simulation import Simulation

pytestmark = pytest.mark.simulation

MOST = 200
"""Seeds that are tried."""

REFUSED = 71
"""A seed whose first node has ExaBGP 5.0, which tells a neighbor what it refuses, and refuses to withdraw it there."""

GIVEN_BACK = 8
"""A seed whose nodes have two addresses of each family, and keep them bound for a while."""

Break = Callable[[pytest.MonkeyPatch], None]


def found(first: int, pattern: str) -> str:
    """What the first seed from ``first`` on finds that finds something like ``pattern``."""
    others = []
    for seed in range(first, first + MOST):
        try:
            Simulation(seed).run()
        except Violation as violation:
            if re.search(pattern, str(violation)):
                return str(violation)
            others.append(f"{seed}: {violation}")
    pytest.fail(f"{MOST} seeds found nothing like {pattern!r}, but {others}")


def no_stall_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "_step_down_if_stalled", lambda self, now: [])


def answers_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Router.handle

    def forgetful(self: Router, event: Any, now: float) -> Any:
        actions = handle(self, event, now)
        if isinstance(self.state, Active):
            self.state = replace(self.state, answered=False)
        return actions

    monkeypatch.setattr(Router, "handle", forgetful)


def goes_on_when_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adverts, "_repeat_priority_zero", lambda self: self.send(self._common.instance.router.priority))


def timer_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "catch_up", lambda self, until: None)


def unbinds_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    clear = Presence._clear  # noqa: SLF001 — the planted mistake is in there
    monkeypatch.setattr(Presence, "_clear", lambda self: [step for step in clear(self) if step is not Step.WITHDRAW])


def unbinds_before_it_has_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Announcer, "flush", lambda self: None)


def does_not_wait_for_the_withdraw(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Presence, now: float) -> list[Step]:
        self.state = Lingering(now)
        return [Step.WITHDRAW]

    monkeypatch.setattr(Presence, "_withdraw", hasty)


def announces_what_could_not_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Presence.handle

    def careless(self: Presence, event: presence.Event, now: float) -> list[Step]:
        return handle(self, presence.Event.BOUND if event is presence.Event.UNBOUND else event, now)

    monkeypatch.setattr(Presence, "handle", careless)


def hands_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handover_settings = Configuration.handover_settings

    def hasty(self: Configuration) -> presence.Settings:
        return replace(handover_settings(self), hold=0.0)

    monkeypatch.setattr(Configuration, "handover_settings", hasty)


def makes_before_it_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    handover_settings = Configuration.handover_settings

    def eager(self: Configuration) -> presence.Settings:
        return replace(handover_settings(self), handover=Handover.MAKE_BEFORE_BREAK)

    monkeypatch.setattr(Configuration, "handover_settings", eager)


def never_undoes_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instance, "_drain_timed_out", lambda self, now: [])


def believes_every_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet, "_checksum_holds", lambda datagram, end: True)


def believes_every_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth.Hmac, "verify", lambda self, key, trailer, source, message: True)


def believes_old_adverts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sender, "refuse_replay", lambda self, number, window, realtime: None)


def never_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "_is_better", lambda self, state, source, advertisement: False)


def is_deaf_to_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    contend = Router._contend  # noqa: SLF001 — the planted mistake is in there

    def deaf(self: Router, state: Active, source: Address, advertisement: Advertisement, now: float) -> list[Action]:
        return [] if self._is_better(state, source, advertisement) else contend(self, state, source, advertisement, now)

    monkeypatch.setattr(Router, "_contend", deaf)


def splits_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "_give_way", lambda self, happened, now: [])


def believes_early_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    active = Router._active  # noqa: SLF001 — the planted mistake is in there

    def hasty(self: Router, state: Active, event: Any, now: float) -> Any:
        return active(self, replace(state, deadline=min(state.deadline, now)), event, now)

    monkeypatch.setattr(Router, "_active", hasty)


def counts_no_silent_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SilentFailures, "_follow", lambda self, source, silent, now: None)


def reclaims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rivals, "advertised", lambda self, source, priority, interval, now: None)


def believes_a_session_without_a_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "_look_at_carriers", lambda self: None)


def has_no_place_among_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Configuration, "place", 0)


def does_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefixes, "repeat_everything", lambda self: None)


def gives_up_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefixes, "_retry_later", lambda self, lane, times, now: None)


def believes_the_answer_to_a_withdraw(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Prefixes.seen
    monkeypatch.setattr(Prefixes, "seen", lambda self, network, neighbors: seen(self, network, ()))


def unbinds_what_a_neighbor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Presence.handle

    def forgetful(self: Presence, event: presence.Event, now: float) -> list[Step]:
        return [] if event is presence.Event.KEPT else handle(self, event, now)

    monkeypatch.setattr(Presence, "handle", forgetful)


def never_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ways, "_leave_if_cut_off", lambda self: None)


def leaves_no_caretaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "_bequeath", lambda self: None)


def cares_for_what_is_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bequest, "given_up", lambda self, name, instance: None)


def takes_part_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bequest, "takes_part", lambda self, team: not self.announced.isdisjoint(team))


def believes_that_it_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Sessions.listed
    monkeypatch.setattr(Sessions, "listed", lambda self, session, **_: listed(self, session, listed=True))
    monkeypatch.setattr(Announcement, "refused", lambda self, *_, **__: self._know_answers())


# Start, leftovers and notes


def leaves_leftovers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leftovers, "_inherit", lambda self, router, bound: None)


def unbinds_leftovers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inherit = VirtualRouter.inherit
    monkeypatch.setattr(VirtualRouter, "inherit", lambda self, bound, **more: inherit(self, (), **more))


def withdraws_nothing_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "_announce_all", lambda self: None)


# Checks and drains


def never_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "now", lambda self: None)


def undrains_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drain, "undo", lambda self: None)


# Binding


def announces_before_it_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    want = Binding.want

    def hasty(self: Binding, one: OnLo) -> None:
        want(self, one)
        one.settled()

    monkeypatch.setattr(Binding, "want", hasty)


def binds_only_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Binding.set

    def forgetful(self: Binding, changed: Collection[OnLo]) -> OSError | None:
        self._bound.clear()
        return settle(self, changed)

    monkeypatch.setattr(Binding, "set", forgetful)


def confirms_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Announcer, "has_carried_out", lambda self, one, networks: True)


# Full pipes


def forgets_what_was_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    writable = Pump.writable

    def forgetful(self: Pump) -> None:
        self.unwritten = b"\n"
        writable(self)

    monkeypatch.setattr(Pump, "writable", forgetful)


def never_writes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "writable", lambda self: None)


# Stop and caretaker


def takes_a_replacement_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    end = Node._end  # noqa: SLF001 — the planted mistake is in there
    monkeypatch.setattr(Node, "_end", lambda self, why: end(self, "SIGTERM" if why == REPLACED else why))


def may_not_end_exabgp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caretaker, "_stop", lambda self, why: None)


# Another configuration


def begins_anew_with_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    configure = Instance.configure

    def anew(
        self: Instance, settings: Settings, handover: presence.Settings, stale_for: float, now: float
    ) -> list[Effect]:
        self.router.state = Initialize()
        return configure(self, settings, handover, stale_for, now)

    monkeypatch.setattr(Instance, "configure", anew)


def touches_whom_the_plan_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Roster.take

    def careless(self: Roster, new: NodeConfiguration) -> None:
        take(self, new)
        for router in self.routers.values():
            router.adverts.remind()  # as a daemon does that begins anew for each reload

    monkeypatch.setattr(Roster, "take", careless)


@pytest.mark.parametrize(
    ("broken", "first", "finding"),
    [
        (no_stall_rule, 41, "was silent for .* and goes on as Active"),
        (answers_without_limit, 20, "answers for the second time"),
        (goes_on_when_it_has_left, 0, "is (initialize|backup) and advertises"),
        (never_stays_out, 220, "no way has led anywhere"),
        (timer_first, 119, "packets wait unread"),
        (unbinds_without_a_word, 143, "still to be announced|announced and not on lo|before ExaBGP has withdrawn it"),
        (unbinds_before_it_has_spoken, 143, "its withdraw not even written"),
        (does_not_wait_for_the_withdraw, 5, "before ExaBGP has withdrawn it"),
        (announces_what_could_not_be_bound, 286, "is announced and not on lo|on lo, presence"),
        (hands_over_at_once, 908, "knows no way|not bound"),
        (makes_before_it_breaks, 97, "is bound on .* before .* has let it go"),
        (never_undoes_a_drain, 74, "time stands still"),
        (believes_every_checksum, 8, "tampered"),
        (believes_every_code, 69, "tampered"),
        (believes_old_adverts, 10, "accepted twice"),
        (never_gives_way, 8, "with .*, which is no better"),
        (is_deaf_to_the_better, 6, "is Active after"),
        (splits_groups, 45, "is split"),
        (believes_early_alarms, 31, "an alarm that rang before"),
        (counts_no_silent_failure, 501, "to a node that is dead"),
        (reclaims_nothing, 12, "to a node that is deaf"),
        (believes_a_session_without_a_carrier, 96, "nobody has served"),
        (has_no_place_among_the_nodes, 93, "the routes to .* of two Actives tie"),
        (does_not_repeat, 828, "router . sends packets"),
        (believes_that_it_is_announced, 108, "knows no way|cannot announce"),
        (gives_up_what_was_refused, 182, "ExaBGP refuses|does not announce|still announces"),
        (believes_the_answer_to_a_withdraw, 59, "before ExaBGP has withdrawn it"),
        (unbinds_what_a_neighbor_has, 1102, "before ExaBGP has withdrawn it"),
        (leaves_no_caretaker, 17, "nobody looks after it"),
        (cares_for_what_is_to_go, 108, "has given up .* and is announced still"),
        (takes_part_in_doubt, 41, "takes part, and ExaBGP announces nothing"),
        (leaves_leftovers_alone, 0, "before ExaBGP has withdrawn it"),
        (unbinds_leftovers_at_once, 24, "before ExaBGP has withdrawn it"),
        (withdraws_nothing_at_the_start, 0, "not converged .* BGP sessions failing"),
        (never_recovers, 27, "not converged .* in fault"),
        (undrains_nobody, 6, r"not converged .* Initialize\(\)"),
        (announces_before_it_binds, 0, "is announced and not on lo"),
        (binds_only_who_asks, 0, "is not on lo, presence: True"),
        (confirms_by_itself, 8, "before ExaBGP has withdrawn it"),
        (forgets_what_was_not_taken, 25, "ExaBGP does not understand"),
        (never_writes_the_rest, 38, "ExaBGP does not answer"),
        (takes_a_replacement_for_the_end, 61, "nobody looks after it"),
        (may_not_end_exabgp, 81, "has given up .* and is announced still"),
        (begins_anew_with_other_settings, 5, "is initialize and announced as active"),
        (touches_whom_the_plan_does_not_name, 16, "touches .*, which its plan does not name"),
    ],
)
def test_what_is_broken_is_found(broken: Break, first: int, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    assert found(first, finding)


def test_what_is_in_doubt_and_not_noted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversation, "inherit", lambda self, networks: None)
    with pytest.raises(Violation, match="its caretaker does not know"):
        scenarios.nobody_can_withdraw(0)


def test_what_exabgp_refuses_for_some_neighbors_and_has_told_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios.exabgp_refuses_for_some_neighbors(REFUSED)
    monkeypatch.setattr(V5, "partial", False)
    with pytest.raises(Violation, match="its caretaker does not know"):
        scenarios.exabgp_refuses_for_some_neighbors(REFUSED)


def test_a_note_that_leaves_out_what_is_in_doubt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Memory.next
    monkeypatch.setattr(Memory, "next", lambda self, levels, since, silences, _: note(self, levels, since, silences))
    with pytest.raises(Violation, match="its caretaker does not know"):
        scenarios.nobody_can_withdraw(0)


def test_what_was_given_back_and_lingers_without_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios.an_address_comes_back(GIVEN_BACK)
    monkeypatch.setattr(Leftovers, "look", lambda self: None)
    with pytest.raises(Violation, match=r"was given back .* ago, and lingers still"):
        scenarios.an_address_comes_back(GIVEN_BACK)
