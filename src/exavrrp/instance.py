"""One configured virtual router as a whole: its election, its presence and what keeps it out, composed; pure.

``vrrp.router`` decides who is Active and ``presence`` in which order addresses come and go. ``Instance`` owns the few
lines between them, so that the agent and a simulation run the very same ones: which transition becomes which event of
presence, what keeps a router out of the election, and when the two stop. It must not know of sockets, clocks or ExaBGP:
events and the time come in, an ordered list of effects comes out, and the caller reports what became of the steps that
can fail or take time.

Two kinds of things keep a router out. A *fault* says that this node cannot serve: everything is cleared at once. (Two
of them are no sickness of the service itself: then the addresses stay bound for a while, for packets in flight.) A
*hold* says that it had better not, although it could: it leaves in the order of the configured handover, or does not
begin; what a predecessor left to it goes on serving meanwhile.

The drain is the one hold that can fail. A node that was serving when it was asked to leave waits for an advert of
another Active. If none comes within the ceiling, nobody would serve: the drain is undone, and it takes part again.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from exavrrp import presence
from exavrrp.presence import Handover, Presence, Step
from exavrrp.routes import Level
from exavrrp.vrrp import router
from exavrrp.vrrp.copies import Copies, PathBack, PathQuiet
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import Advertise, Backup, Notice, Role, Router, Shutdown, Startup, Transition, Why
from exavrrp.vrrp.silences import Count, Silences

STALE_FOR = 180.0
"""Seconds: the BGP hold time that ExaBGP proposes."""


@dataclass(frozen=True, slots=True)
class Deserted:
    """Nobody has taken over what was to be drained: the drain is undone."""

    waited: float
    """seconds"""


Effect = Advertise | Transition | Notice | PathQuiet | PathBack | Deserted | Step
"""What the caller carries out. Of the steps, BIND wants BOUND or UNBOUND reported, WITHDRAW wants WITHDRAWN."""


class Fault(StrEnum):
    """What makes a node unable to serve."""

    CHECK = "check"
    """a health check says so"""
    BIND = "bind"
    """the addresses cannot be bound, or were lost"""
    ADVERTS = "adverts"
    """no advert leaves this node: nobody would know that we are Active"""
    SESSIONS = "sessions"
    """too few BGP sessions are up: nobody knows the way to us"""
    GROUP = "group"
    """another router of its group is in fault"""


class Hold(StrEnum):
    """What keeps a node that could serve out of the election."""

    WAITING = "waiting"
    """checks that have not said anything yet, or BGP sessions that are still to come up"""
    DRAIN = "drain"
    """the operator's wish"""


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
            stale=min(settings.stale, hold),
        )


class Instance:
    """Everything that one virtual router decides. All times are monotonic seconds."""

    def __init__(
        self, name: str, settings: router.Settings, handover: presence.Settings, stale_for: float = STALE_FOR
    ) -> None:
        """``stale_for``: seconds for which a node that fell silent may be announced by the routers still."""
        self.name = name
        self.router = Router(settings)
        self.presence = Presence(handover)
        self.copies = Copies()
        self.silences = 0
        """takeovers from silence that count (``vrrp.silences``): what a route has to beat"""
        self._silences = Silences(stale_for)
        self.faults: dict[Fault, str] = {}
        self.holds: dict[Hold, str] = {}
        self.withheld = False
        """whether its group does not let it take over yet: the election's alarm is not to ring"""
        self._running = False
        self._stopped = False
        self._resuming = False
        self._successor_by: float | None = None
        self._release = Shutdown()
        self._owed: int | None = None
        """the priority that counts once the election has been let go of"""
        self._loss = ""

    @property
    def deadline(self) -> float | None:
        """When ``timeout`` is due; None when nothing is awaited."""
        election = None if self.withheld else self.router.deadline
        deadlines = [election, self.presence.deadline, self._successor_by]
        if self.presence.level is Level.ACTIVE:
            deadlines.append(self._silences.deadline)
        return min((due for due in deadlines if due is not None), default=None)

    @property
    def finished(self) -> bool:
        """Whether a stop is complete: out of the election, nothing bound."""
        return self.router.role is Role.INITIALIZE and not self.presence.bound

    @property
    def awaited(self) -> bool:
        """Whether a drain may still be undone, for want of anybody who takes over."""
        return self._successor_by is not None

    def recall(self, number: int, age: float, now: float) -> None:
        """A predecessor has counted silent takeovers, the last one ``age`` seconds ago. To be told before all else."""
        self._silences.recall(Count(number, now - age), now)
        self.silences = self._silences.count(now)

    @property
    def remembered(self) -> Count | None:
        """The silent takeovers of this life, for a successor of this process."""
        return self._silences.remembered

    def inherit(self, now: float, *, whole: bool, active: bool = False) -> list[Effect]:
        """A predecessor has left our addresses bound. To be told before ``start``.

        ``whole``: all of them, and announced a moment ago; we go on with them until the election is decided.
        ``active``: whether they were announced as an Active's.
        """
        self._resuming = whole
        if active:
            self._silences.resumed(now)
        return self._inform(presence.Event.INHERITED if whole else presence.Event.ORPHANED, now)

    def start(self, now: float) -> list[Effect]:
        """Take part in the election as soon as nothing keeps us out."""
        self._running = True
        return self._begin(now)

    @property
    def _kept_out(self) -> bool:
        """Whether anything keeps it from taking part."""
        return bool(self.faults or self.holds) or not self._running

    def _begin(self, now: float) -> list[Effect]:
        if self._kept_out or self.router.role is not Role.INITIALIZE:
            return []  # in break before make it may be Active still: undrained before it has let go
        resuming, self._resuming = self._resuming and self.presence.awaiting, False
        # From now on the election decides, not the ceiling: it promotes us or lets us hear a successor. And what is
        # still bound from before must not end it: a router that was out already has had nothing to let go of.
        return [*self._inform(presence.Event.JOIN, now), *self._elect(Startup(resuming), now)]

    def stop(self, why: Why, detail: str, hurry: Hurry, now: float) -> list[Effect]:
        """Leave the election in the order of the configured handover."""
        self._running = False
        self._stopped = True
        self._successor_by = None
        self.presence.hurry(hurry.fit(self.presence.settings), now)
        # A node that has not taken part yet may be serving what a predecessor left to it.
        return [*self._leave(Shutdown(why, detail), now), *self._inform(presence.Event.DEMOTED, now)]

    def _leave(self, shutdown: Shutdown, now: float) -> list[Effect]:
        self._release = shutdown
        if self.presence.settings.handover is Handover.BREAK_BEFORE_MAKE:
            return [*self._inform(presence.Event.LEAVE, now), *self._let_go(now)]
        return self._elect(shutdown, now)

    def _let_go(self, now: float) -> list[Effect]:
        """Break before make: a lower priority counts once the router is Active no longer, however that came about.

        And who is a Backup by then has nothing to let go of: it stays one, or goes at once if it is to go. A candidate
        could be Active again before what it served is withdrawn and unbound.
        """
        if self.router.role is Role.ACTIVE:
            return []
        owed, self._owed = self._owed, None
        effects = [] if owed is None else self._elect(router.Prioritise(owed), now)
        if self.router.role is not Role.BACKUP or not self.presence.letting_go:
            return effects
        if self._kept_out:
            return [*effects, *self._elect(self._release, now)]
        return [*effects, *self._inform(presence.Event.JOIN, now)]

    def abandon(self, now: float) -> list[Effect]:
        """The time for a stop is over: clear what is left, without waiting for anybody."""
        return [*self._elect(self._release, now), *self._inform(presence.Event.INCAPABLE, now)]

    def timeout(self, now: float) -> list[Effect]:
        """The alarm for ``deadline`` rang; the caller has handed over all packets that were waiting."""
        effects = self._deserted(now)
        if not self.withheld:
            effects += self._elect(router.Timeout(), now)
        return effects + self._inform(presence.Event.TIMEOUT, now) + self._count_silences(now)

    def _count_silences(self, now: float) -> list[Effect]:
        """An Active's route follows their number, in both directions."""
        before, self.silences = self.silences, self._silences.count(now)
        return [Step.ANNOUNCE] if self.silences != before and self.presence.level is Level.ACTIVE else []

    def _deserted(self, now: float) -> list[Effect]:
        return [] if self._successor_by is None or now < self._successor_by else self.desert(now)

    def desert(self, now: float) -> list[Effect]:
        """Nobody takes over what this router, or another one of the group, was to hand over: no drain any more."""
        if Hold.DRAIN not in self.holds:
            return []
        effects: list[Effect] = [Deserted(self.presence.settings.ceiling)]
        self._resuming = True
        return [*effects, *self._inform(presence.Event.KEEP, now), *self.release(Hold.DRAIN, now)]

    def received(
        self, source: Address, advertisement: Advertisement, interface: int, expected: Collection[int], now: float
    ) -> list[Effect]:
        """One copy of an advert that passed every check came in through ``interface``."""
        interval = advertisement.centiseconds / 100
        self._silences.heard(source, advertisement.priority, interval, now)
        effects: list[Effect] = list(self.copies.heard(source, interface, expected, interval, now))
        effects += self._elect(router.Received(source, advertisement), now)
        effects += self.succeeded(now) if advertisement.priority != LEAVING else []
        return effects + self._count_silences(now)

    def succeeded(self, now: float) -> list[Effect]:
        """Another node is Active: it was heard here, or by another router of the group."""
        if self.router.role is Role.ACTIVE:
            return []
        self._successor_by = None
        return self._inform(presence.Event.SUCCESSOR, now)

    def give_way(self, why: Why, detail: str, now: float) -> list[Effect]:
        """Another router of the group is Active no longer, and so are we."""
        return self._elect(router.Yield(why, detail), now)

    @property
    def priority(self) -> int:
        """The effective priority: the one that counts, or will when the election has been let go of."""
        return self.router.priority if self._owed is None else self._owed

    def prioritise(self, priority: int, now: float) -> list[Effect]:
        """The effective priority is now ``priority``."""
        resigns = self.router.role is Role.ACTIVE and priority < self.router.priority
        resigns = resigns and not self.router.settings.preempt
        if self.presence.settings.handover is Handover.BREAK_BEFORE_MAKE and (resigns or self._owed is not None):
            # Priority 0 only after the unbinding, and then as a Backup of the new priority.
            self._owed = priority
            return self._leave(Shutdown(Why.WEAKENED, f"our priority is now {priority}"), now)
        return self._elect(router.Prioritise(priority), now)

    def fault(self, fault: Fault, detail: str, now: float) -> list[Effect]:
        """This node cannot serve: out of the election until every fault is cleared."""
        self.faults[fault] = detail
        gentle = fault in (Fault.SESSIONS, Fault.GROUP)
        why = Why.UNREACHABLE if gentle else Why.FAULT
        event = presence.Event.UNREACHABLE if gentle else presence.Event.INCAPABLE
        # Told again if the router was Active; but a Backup, too, may still be announcing what it is about to give up.
        return [*self._elect(Shutdown(why, detail), now), *self._inform(event, now)]

    def clear(self, fault: Fault, now: float) -> list[Effect]:
        """``fault`` is over."""
        return [] if self.faults.pop(fault, None) is None else self._begin(now)

    def hold(self, hold: Hold, detail: str, now: float) -> list[Effect]:
        """Out of the election until every hold is released; what we serve is handed over in its order.

        Does nothing if it holds already, but for the detail.
        """
        held = hold in self.holds
        self.holds[hold] = detail
        if held or self._stopped:
            return []
        if hold is Hold.DRAIN and self.presence.level in (Level.ACTIVE, Level.LEAVING):
            self._successor_by = now + self.presence.settings.ceiling
        return self._leave(Shutdown(Why.DRAIN if hold is Hold.DRAIN else Why.SHUTDOWN, detail), now)

    def release(self, hold: Hold, now: float) -> list[Effect]:
        """``hold`` is over."""
        if hold is Hold.DRAIN:
            self._successor_by = None
        return [] if self.holds.pop(hold, None) is None else self._begin(now)

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
        state = self.router.state
        followed = isinstance(state, Backup) and state.following is not None
        for action in self.router.handle(event, now):
            effects.append(action)
            self._listen(action, followed, now)
            if isinstance(action, Transition):
                for consequence in _consequences(action):
                    effects += self._inform(consequence, now)
        return effects + self._let_go(now)

    def _listen(self, action: router.Action, followed: bool, now: float) -> None:
        """Who falls silent is counted by everybody alike, what this node says included.

        ``followed``: whether there was an Active. The first one of all takes over from nobody.
        """
        match action:
            case Advertise(priority):
                self._silences.said(priority, self.router.settings.interval, now)
            case Transition(after=Role.ACTIVE, why=Why.SILENCE) if followed:
                self._silences.took_over(now)
                self.silences = self._silences.count(now)
            case _:
                pass

    def _inform(self, event: presence.Event, now: float) -> list[Effect]:
        """``event`` goes to presence; of its steps those that concern the election are taken here."""
        effects: list[Effect] = []
        for step in self.presence.handle(event, now):
            match step:
                case Step.RELEASE:
                    effects += self._elect(self._release, now)
                    effects += self._begin(now)  # undrained meanwhile, or it has become worse
                case Step.RETURN:
                    effects += self.fault(Fault.BIND, self._loss, now)
                case _:
                    effects.append(step)
        return effects


def _consequences(transition: Transition) -> list[presence.Event]:
    """What a change in the election means for the addresses."""
    match transition:
        case Transition(after=Role.ACTIVE):
            return [presence.Event.PROMOTED]
        case Transition(why=Why.FAULT):
            return [presence.Event.INCAPABLE]
        case Transition(why=Why.UNREACHABLE):
            return [presence.Event.UNREACHABLE]
        case Transition(before=Role.INITIALIZE):
            return [presence.Event.STAND_BY]
        case Transition(before=Role.ACTIVE, after=Role.BACKUP, why=why):
            if why is Why.SUPERSEDED:
                return [presence.Event.SUPERSEDED]
            return [presence.Event.DEMOTED, presence.Event.KEEP]  # still a candidate: the election decides
        case Transition(before=Role.ACTIVE):
            return [presence.Event.RETIRE, presence.Event.DEMOTED]
        case _:
            return [presence.Event.RETIRE]
