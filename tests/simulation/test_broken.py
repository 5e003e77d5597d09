"""The simulator can fail: each test breaks a promise of the product on purpose, and some seed of a few must find it.

What is found has to be the promise that was broken, not just any: each test names what the finding says, and a seed to
begin with. That one is likely to find it; another one will if a change has shifted what seeds mean.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exavrrp import presence
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.groups import Group
from exavrrp.instance import Instance
from exavrrp.presence import Handover, Leaving, Lingering, Presence, Stage, Step
from exavrrp.system.exabgp.conversation import Conversation
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp import auth, packet
from exavrrp.vrrp.auth import Sender
from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vrrp.router import Action, Active, Router
from exavrrp.vrrp.silences import Silences
from tests.simulation.process import Process
from tests.simulation.simulation import Simulation
from tests.simulation.world import Violation

pytestmark = pytest.mark.simulation

MOST = 200
"""Seeds that are tried."""

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
    monkeypatch.setattr(VirtualRouter, "_repeat_farewell", lambda self: self._send(self.instance.router.priority))


def timer_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "catch_up", lambda self, until=0.0: None)


def unbinds_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clear = Presence._clear
    monkeypatch.setattr(Presence, "_clear", lambda self: list(reversed(clear(self))))


def unbinds_before_it_has_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "flush", lambda self: None)


def does_not_wait_for_the_withdraw(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Presence, now: float, *, release: bool = False) -> list[Step]:
        self.state = Lingering(now, release)
        return [Step.WITHDRAW]

    monkeypatch.setattr(Presence, "_withdraw", hasty)


def announces_what_could_not_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Presence.handle

    def careless(self: Presence, event: presence.Event, now: float) -> list[Step]:
        return handle(self, presence.Event.BOUND if event is presence.Event.UNBOUND else event, now)

    monkeypatch.setattr(Presence, "handle", careless)


def hands_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Presence, now: float) -> list[Step]:
        if isinstance(self.state, Leaving) and self.state.stage is Stage.AWAITING:
            self.state = Leaving(now, Stage.PARTING)
        return []

    monkeypatch.setattr(Presence, "_successor", hasty)


def makes_before_it_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    giving_up = Configuration.giving_up

    def eager(self: Configuration) -> presence.Settings:
        return replace(giving_up(self), handover=Handover.MAKE_BEFORE_BREAK)

    monkeypatch.setattr(Configuration, "giving_up", eager)


def never_undoes_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instance, "_deserted", lambda self, now: [])


def believes_every_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet, "_checksum_holds", lambda datagram, end: True)


def believes_every_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "verify", lambda key, trailer, source, message: True)


def believes_old_adverts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sender, "refuse_replay", lambda self, number, window, realtime: None)


def never_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "_is_better", lambda self, source, advertisement: False)


def is_deaf_to_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    contend = Router._contend

    def deaf(self: Router, state: Active, source: Address, advertisement: Advertisement, now: float) -> list[Action]:
        return [] if self._is_better(source, advertisement) else contend(self, state, source, advertisement, now)

    monkeypatch.setattr(Router, "_contend", deaf)


def splits_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "_give_way", lambda self, happened, now: [])


def believes_early_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    active = Router._active

    def hasty(self: Router, state: Active, event: Any, now: float) -> Any:
        return active(self, replace(state, deadline=min(state.deadline, now)), event, now)

    monkeypatch.setattr(Router, "_active", hasty)


def counts_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Silences, "_fell_silent", lambda self, silent, now: None)


def does_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversation, "_repeat_everything", lambda self: None)


def gives_up_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversation, "_make_due_later", lambda self, address, prefix, now: None)


@pytest.mark.parametrize(
    ("broken", "first", "finding"),
    [
        (no_stall_rule, 3, "was silent for .* and goes on as Active"),
        (answers_without_limit, 3, "answers for the second time"),
        (goes_on_when_it_has_left, 0, "is (initialize|backup) and advertises"),
        (timer_first, 2, "packets wait unread"),
        (unbinds_first, 9, "still to be announced|announced and not on lo|before ExaBGP has withdrawn it"),
        (unbinds_before_it_has_spoken, 5, "its withdraw not even written"),
        (does_not_wait_for_the_withdraw, 1, "before ExaBGP has withdrawn it"),
        (announces_what_could_not_be_bound, 59, "is announced and not on lo|on lo, presence"),
        (hands_over_at_once, 84, "knows no way|not bound"),
        (makes_before_it_breaks, 11, "is bound on .* before .* has let it go"),
        (never_undoes_a_drain, 16, "time stands still"),
        (believes_every_checksum, 1, "tampered"),
        (believes_every_code, 13, "tampered"),
        (believes_old_adverts, 10, "accepted twice"),
        (never_gives_way, 1, "with .*, which is no better"),
        (is_deaf_to_the_better, 1, "is Active after"),
        (splits_groups, 8, "is split"),
        (believes_early_alarms, 5, "an alarm that rang before"),
        (counts_no_silence, 67, "to a node that is dead"),
        (does_not_repeat, 4, "router . sends packets"),
        (gives_up_what_was_refused, 33, "does not announce|still announces"),
    ],
)
def test_what_is_broken_is_found(broken: Break, first: int, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    assert found(first, finding)
