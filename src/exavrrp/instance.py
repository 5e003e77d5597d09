"""One configured virtual router as a whole: its election, its presence and its faults, composed; pure.

``vrrp.router`` decides who is Active and ``presence`` in which order addresses come and go. ``Instance`` owns the few
lines between them, so that the agent and a simulation run the very same ones: which transition becomes which event of
presence, what holds a router out of the election (its faults), and when the two stop. It must not know of sockets,
clocks or ExaBGP: events and the time come in, an ordered list of effects comes out, and the caller reports what became
of the steps that can fail or take time.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from exavrrp import presence
from exavrrp.presence import Handover, Presence, Step
from exavrrp.vrrp import router
from exavrrp.vrrp.copies import Copies, PathBack, PathQuiet
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import Advertise, Notice, Role, Router, Shutdown, Startup, Transition, Why

Effect = Advertise | Transition | Notice | PathQuiet | PathBack | Step
"""What the caller carries out. Of the steps, BIND wants BOUND or UNBOUND reported, WITHDRAW wants WITHDRAWN."""


class Fault(StrEnum):
    """What can hold a router out of the election."""

    CHECK = "check"
    """a health check says that this node cannot serve"""
    BIND = "bind"
    """the addresses cannot be bound, or were lost"""
    ADVERTS = "adverts"
    """no advert leaves this node: nobody would know that we are Active"""


@dataclass(frozen=True, slots=True)
class Hurry:
    """How long a stop may take: what remains of the handover is fitted into it."""

    limit: float
    """seconds"""

    def fit(self, settings: presence.Settings) -> presence.Settings:
        """``settings`` with the handover inside ``limit``: half for the fabric, a quarter for packets in flight."""
        hold, linger = self.limit / 2, self.limit / 4
        return replace(
            settings,
            hold=min(settings.hold, hold),
            linger=min(settings.linger, linger),
            ceiling=min(settings.ceiling, hold),
        )


class Instance:
    """Everything that one virtual router decides. All times are monotonic seconds."""

    def __init__(self, name: str, settings: router.Settings, handover: presence.Settings) -> None:
        self.name = name
        self.router = Router(settings)
        self.presence = Presence(handover)
        self.copies = Copies()
        self.faults: dict[Fault, str] = {}
        self._running = False
        self._release = Shutdown()
        self._loss = ""

    @property
    def deadline(self) -> float | None:
        """When ``timeout`` is due; None when nothing is awaited."""
        deadlines = [due for due in (self.router.deadline, self.presence.deadline) if due is not None]
        return min(deadlines, default=None)

    @property
    def finished(self) -> bool:
        """Whether a stop is complete: out of the election, nothing bound."""
        return self.router.role is Role.INITIALIZE and not self.presence.bound

    def inherit(self, now: float) -> list[Effect]:
        """A predecessor has left our addresses bound. To be told before ``start``."""
        return self._inform(presence.Event.INHERITED, now)

    def start(self, now: float) -> list[Effect]:
        """Take part in the election as soon as no fault forbids it."""
        self._running = True
        return self._elect(Startup(), now) if not self.faults else []

    def stop(self, why: Why, detail: str, hurry: Hurry, now: float) -> list[Effect]:
        """Leave the election in the order of the configured handover."""
        self._running = False
        self.presence.settings = hurry.fit(self.presence.settings)
        self._release = Shutdown(why, detail)
        if self.presence.settings.handover is Handover.BREAK_BEFORE_MAKE:
            return self._inform(presence.Event.LEAVE, now)
        return self._elect(self._release, now)

    def abandon(self, now: float) -> list[Effect]:
        """The time for a stop is over: clear what is left, without waiting for anybody."""
        return [*self._elect(self._release, now), *self._inform(presence.Event.INCAPABLE, now)]

    def timeout(self, now: float) -> list[Effect]:
        """The alarm for ``deadline`` rang; the caller has handed over all packets that were waiting."""
        effects = self._elect(router.Timeout(), now)
        return effects + self._inform(presence.Event.TIMEOUT, now)

    def received(
        self, source: Address, advertisement: Advertisement, interface: int, expected: Collection[int], now: float
    ) -> list[Effect]:
        """One copy of an advert that passed every check came in through ``interface``."""
        interval = advertisement.centiseconds / 100
        effects: list[Effect] = list(self.copies.heard(source, interface, expected, interval, now))
        effects += self._elect(router.Received(source, advertisement), now)
        if advertisement.priority != LEAVING and self.router.role is not Role.ACTIVE:
            effects += self._inform(presence.Event.SUCCESSOR, now)
        return effects

    def prioritise(self, priority: int, now: float) -> list[Effect]:
        """The effective priority is now ``priority``."""
        return self._elect(router.Prioritise(priority), now)

    def fault(self, fault: Fault, detail: str, now: float) -> list[Effect]:
        """This node cannot serve: out of the election until every fault is cleared."""
        self.faults[fault] = detail
        # Told again if the router was Active; but a Backup, too, may still be announcing what it is about to give up.
        return [*self._elect(Shutdown(Why.FAULT, detail), now), *self._inform(presence.Event.INCAPABLE, now)]

    def clear(self, fault: Fault, now: float) -> list[Effect]:
        """``fault`` is over."""
        if self.faults.pop(fault, None) is None or self.faults or not self._running:
            return []
        return self._elect(Startup(), now)

    def bound(self, now: float) -> list[Effect]:
        """The addresses are on the interface, verified."""
        return self._inform(presence.Event.BOUND, now)

    def unbound(self, detail: str, now: float) -> list[Effect]:
        """The addresses could not be bound, or were lost and cannot be put back."""
        self._loss = detail
        return self._inform(presence.Event.UNBOUND, now)

    def withdrawn(self, now: float) -> list[Effect]:
        """ExaBGP has confirmed the withdraw of every address."""
        return self._inform(presence.Event.WITHDRAWN, now)

    def _elect(self, event: router.Event, now: float) -> list[Effect]:
        """``event`` goes through the election, and each transition on to presence."""
        effects: list[Effect] = []
        for action in self.router.handle(event, now):
            effects.append(action)
            follows = _consequence(action) if isinstance(action, Transition) else None
            if follows is not None:
                effects += self._inform(follows, now)
        return effects

    def _inform(self, event: presence.Event, now: float) -> list[Effect]:
        """``event`` goes to presence; of its steps those that concern the election are taken here."""
        effects: list[Effect] = []
        for step in self.presence.handle(event, now):
            match step:
                case Step.RELEASE:
                    effects += self._elect(self._release, now)
                case Step.RETURN:
                    effects += self.fault(Fault.BIND, self._loss, now)
                case _:
                    effects.append(step)
        return effects


def _consequence(transition: Transition) -> presence.Event | None:
    """What a change in the election means for the addresses."""
    if transition.after is Role.ACTIVE:
        return presence.Event.PROMOTED
    if transition.before is not Role.ACTIVE:
        return None
    if transition.why is Why.FAULT:
        return presence.Event.INCAPABLE
    return presence.Event.SUPERSEDED if transition.why is Why.SUPERSEDED else presence.Event.DEMOTED
