"""One configured virtual router as a whole: its election, its presence and what keeps it out, composed; pure.

``vrrp.router`` decides who is Active and ``presence`` in which order addresses come and go. ``Instance`` owns the few
lines between them, so that the agent and a simulation run the very same ones: which transition becomes which event of
presence, what keeps a router out of the election, and when the two stop. It must not know of sockets, clocks or ExaBGP:
events and the time come in, an ordered list of effects comes out, and the caller reports what became of the steps that
can fail or take time.

In break before make an Active that is to leave is *releasing* first (``vrrp.router``): Active still, on the wire and in
its own eyes, while its presence withdraws and unbinds. When nothing is bound any more, it says priority 0. At a fault,
whatever it is, it does not wait for the withdraw: it unbinds at once, and then says priority 0.

Two kinds of things keep a router out. A *fault* says that this node cannot serve: what it serves is withdrawn at once.
(Three of them leave the service itself intact: then the addresses stay bound for a while, for packets in flight.
Where ExaBGP refuses our commands, they stay until it has withdrawn them and another node serves.) A *hold* says that it
should not, although it could: it leaves in the order of the configured handover, or does not begin; what a
predecessor left to it goes on serving meanwhile.

The drain is the one hold that can fail. A node that was serving when it was asked to leave waits for an advert of
another Active. If none comes within the ceiling, nobody would serve: the drain is undone, and it takes part again.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from exavrrp import presence
from exavrrp.presence import Handover, Presence, Step
from exavrrp.routes import Level
from exavrrp.takeover import TakeoverHistory
from exavrrp.vrrp import router
from exavrrp.vrrp.copies import Copies, PathBack, PathQuiet, Peer
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import (
    Advertise,
    Configure,
    Notice,
    Prioritise,
    Release,
    Role,
    Router,
    Shutdown,
    Startup,
    Timeout,
    Transition,
    Why,
)


@dataclass(frozen=True, slots=True)
class NoSuccessor:
    """No node has taken over from a drained router: the drain is undone."""

    waited: float
    """seconds"""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """A node goes on as Active beside a better one, which it does not hear: the better one's route has to win again.

    Every node comes to this; whoever is that Active announces.
    """

    source: Address
    """of that node"""
    priority: int
    """in its adverts"""
    lasts: float
    """seconds since the first of them"""
    times: int
    """how often traffic was reclaimed since then, this time included"""


Effect = Advertise | Transition | Notice | PathQuiet | PathBack | NoSuccessor | Reclaim | Step
"""What the caller carries out. Of the steps, BIND wants BOUND or UNBOUND reported, WITHDRAW wants WITHDRAWN."""


class Fault(StrEnum):
    """What makes a node unable to serve."""

    CHECK = "check"
    """a health check fails"""
    BIND = "bind"
    """the addresses cannot be bound, or were lost"""
    ADVERTS = "adverts"
    """no advert leaves this node, so no peer would know that we are Active"""
    SESSIONS = "sessions"
    """too few BGP sessions are up, so routers have no route to us"""
    ANNOUNCEMENT = "announcement"
    """ExaBGP refuses our commands, or does not answer them: what it has not accepted is not announced"""
    GROUP = "group"
    """another router of its group is in fault"""


_GENTLE = {
    Fault.SESSIONS: presence.Event.UNWANTED,
    Fault.GROUP: presence.Event.UNWANTED,
    Fault.ANNOUNCEMENT: presence.Event.UNANNOUNCED,
}
"""The faults that leave the service itself intact, and what they mean for the addresses."""


class Hold(StrEnum):
    """What keeps a node that could serve out of the election."""

    WAITING = "waiting"
    """checks without a first result, or BGP sessions that are still to come up"""
    DRAIN = "drain"
    """the operator's wish"""


@dataclass(frozen=True, slots=True)
class StopBudget:
    """The time limit of a stop, into which the rest of the handover is fitted."""

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

    def __init__(self, name: str, settings: router.Settings, handover: presence.Settings, stale_for: float) -> None:
        """``stale_for``: seconds for which routers may keep the route of a node that failed silently."""
        self.name = name
        self.router = Router(settings)
        self.presence = Presence(handover)
        self.copies = Copies(settings.interval)
        self.takeovers = TakeoverHistory(stale_for, settings.down_count)
        self.faults: dict[Fault, str] = {}
        self.holds: dict[Hold, str] = {}
        self.withheld = False
        """whether its group does not let it take over yet: the election's alarm is not to ring"""
        self._running = False
        self._stopped = False
        self._resuming = False
        self._successor_by: float | None = None
        self._decided: tuple[Peer | None, router.State | None] = None, None
        """whose advert was decided about last, and the state of the election then"""

    @property
    def deadline(self) -> float | None:
        """When ``timeout`` is due; None when nothing is awaited."""
        election = None if self.withheld else self.router.deadline
        forgets = self.takeovers.failures.deadline if self.presence.level is Level.ACTIVE else None
        if self.presence.deadline is self._successor_by is forgets is None:  # as it is nearly always
            return election
        deadlines = (election, self.presence.deadline, self._successor_by, forgets)
        return min((due for due in deadlines if due is not None), default=None)

    @property
    def finished(self) -> bool:
        """Whether a stop is complete: out of the election, nothing bound."""
        return self.router.role is Role.INITIALIZE and not self.presence.bound

    @property
    def serves(self) -> bool:
        """Whether traffic may come here.

        It may as long as anything is bound or announced, whether the router is Active or not: in fault, handing over,
        or before the election has decided what becomes of what a predecessor has left. A second choice gets none, nor
        does who has only bound beforehand.
        """
        level = self.presence.level
        left = (self.presence.bound and not self.presence.prebound) or level is not None
        return self.router.role is Role.ACTIVE or (left and level is not Level.STANDBY)

    @property
    def awaited(self) -> bool:
        """Whether a drain may still be undone because no node takes over."""
        return self._successor_by is not None

    def configure(
        self, settings: router.Settings, handover: presence.Settings, stale_for: float, now: float
    ) -> list[Effect]:
        """The settings are these from now on, also for a handover under way. The priority comes by ``prioritise``."""
        before = self.presence.settings
        self.copies.interval = settings.interval
        self.takeovers.failures.down_count = settings.down_count
        self.takeovers.failures.window = stale_for
        self.presence.configure(handover, candidate=self.router.role is not Role.INITIALIZE)
        effects = self._elect(Configure(settings), now)
        if self.router.role is Role.BACKUP and (before.standby, before.prebind) != (handover.standby, handover.prebind):
            if not handover.standby and (before.standby or not handover.prebind):
                effects += self._inform(presence.Event.RETIRE, now)
            if handover.standby or handover.prebind:
                effects += self._inform(presence.Event.STAND_BY, now)
        return effects

    def inherit(self, now: float, *, announced: bool, active: bool = False) -> list[Effect]:
        """A predecessor has left our addresses bound or announced. To be called before ``start``.

        ``announced``: ExaBGP announces them still; we go on with them until the election is decided.
        ``active``: whether they were announced as an Active's.
        """
        self._resuming = announced
        if active:
            self.takeovers.failures.resumed(now)
        return self._inform(presence.Event.INHERITED if announced else presence.Event.ORPHANED, now)

    def start(self, now: float) -> list[Effect]:
        """Take part in the election as soon as nothing keeps us out."""
        self._running = True
        return self._begin(now)

    @property
    def _kept_out(self) -> bool:
        """Whether anything keeps it from taking part."""
        return bool(self.faults or self.holds) or not self._running

    def _begin(self, now: float) -> list[Effect]:
        if self._kept_out:
            return []
        resuming, self._resuming = self._resuming and self.presence.awaits_successor, False
        # From now on the election decides, not the ceiling: it promotes us, or a successor's advert arrives.
        return [*self._inform(presence.Event.KEEP, now), *self._elect(Startup(resuming), now)]

    def stop(self, why: Why, detail: str, budget: StopBudget, now: float) -> list[Effect]:
        """Leave the election in the order of the configured handover."""
        self._running = False
        self._stopped = True
        self._successor_by = None
        self.presence.expedite(budget.fit(self.presence.settings), now)
        # A node that has not taken part yet may be serving what a predecessor left to it.
        return [*self._leave(Shutdown(why, detail), now), *self._inform(presence.Event.DEMOTED, now)]

    @property
    def _breaks_first(self) -> bool:
        """Whether no other node may begin before nothing is bound here: they begin when they receive priority 0."""
        return self.presence.settings.handover is Handover.BREAK_BEFORE_MAKE and self.router.role is Role.ACTIVE

    def _leave(self, shutdown: Shutdown, now: float) -> list[Effect]:
        """Leave the election: at once, or in break before make when nothing is bound any more."""
        if self._breaks_first:
            return [*self._elect(Release(shutdown), now), *self._release(now)]
        return self._elect(shutdown, now)

    def _release(self, now: float) -> list[Effect]:
        """Active, releasing: withdraw, unbind, and only then say priority 0."""
        if self.router.releasing is None:
            return []
        effects = self._inform(presence.Event.UNWANTED, now)
        if self.presence.bound:
            return effects
        # It takes part again at once if it was undrained meanwhile, or had become weaker only.
        return [*effects, *self._elect(self.router.releasing, now), *self._begin(now)]

    def abandon(self, now: float) -> list[Effect]:
        """The time for a stop is over: withdraw and unbind what is left at once."""
        return self._quit(self.router.releasing or Shutdown(), presence.Event.ABANDONED, now)

    def _quit(self, shutdown: Shutdown, event: presence.Event, now: float) -> list[Effect]:
        """Out of the election at once, and ``event`` for the addresses."""
        if self._breaks_first:
            return [*self._inform(event, now), *self._elect(shutdown, now)]
        return [*self._elect(shutdown, now), *self._inform(event, now)]

    def timeout(self, now: float) -> list[Effect]:
        """The alarm for ``deadline`` rang; the caller has handed over all packets that were waiting."""
        effects = self._drain_timed_out(now)
        if not self.withheld:
            effects += self._elect(Timeout(), now)
        if self.presence.deadline is not None:
            effects += self._inform(presence.Event.TIMEOUT, now)
        return effects + self._release(now) + self._recount(now)

    def _recount(self, now: float) -> list[Effect]:
        """An Active's route follows the number of silent failures, in both directions."""
        changed = self.takeovers.failures.recount(now)
        return [Step.ANNOUNCE] if changed and self.presence.level is Level.ACTIVE else []

    def _drain_timed_out(self, now: float) -> list[Effect]:
        return [] if self._successor_by is None or now < self._successor_by else self.cancel_drain(now)

    def cancel_drain(self, now: float) -> list[Effect]:
        """No node takes over from this router, or from another member of its group: the drain is undone."""
        if Hold.DRAIN not in self.holds:
            return []
        effects: list[Effect] = [NoSuccessor(self.presence.settings.ceiling)]
        self._resuming = True
        return [*effects, *self._inform(presence.Event.KEEP, now), *self.release(Hold.DRAIN, now)]

    def received(
        self, source: Address, advertisement: Advertisement, interface: int, expected: Collection[int], now: float
    ) -> list[Effect]:
        """One copy of an advert that passed every check came in through ``interface``.

        Further copies of it change nothing, unless another node was heard, or the election has gone on, since then.
        """
        followed = self.router.state.following
        paths = self.copies.heard(source, advertisement, interface, expected, now, followed=followed)
        effects: list[Effect] = list(paths)
        peer = self.copies.peers[source]
        of, state = self._decided
        if peer.repeated and peer is of and self.router.state is state:
            return effects
        interval = advertisement.centiseconds / 100
        rival = self.takeovers.heard(source, advertisement.priority, interval, now)
        effects += self._elect(router.Received(source, advertisement), now)
        effects += self.succeeded(now) if advertisement.priority != LEAVING else []
        self._decided = peer, self.router.state
        if rival is None:
            return effects + self._recount(now)
        reclaim = Reclaim(source, advertisement.priority, now - rival.since, rival.reclaimed)
        return [*effects, reclaim, *self._outbid(now)]

    def tied(
        self, source: Address, advertisement: Advertisement, interface: int, expected: Collection[int], now: float
    ) -> list[Effect]:
        """As ``received``, of an advert that only the first member of the group may decide about."""
        self._decided = None, None
        self.takeovers.beside(source, advertisement.priority, advertisement.centiseconds / 100, now)
        followed = self.router.state.following
        return list(self.copies.heard(source, advertisement, interface, expected, now, followed=followed))

    @property
    def reclaims(self) -> bool:
        """Whether our route is to win: we are Active, and not about to leave."""
        return self.router.role is Role.ACTIVE and self.router.releasing is None

    def reclaim(self, reclaim: Reclaim, now: float) -> list[Effect]:
        """Traffic of another member of the group is reclaimed, and so is that of this one."""
        self.takeovers.reclaim(now)
        return [reclaim, *self._outbid(now)]

    def _outbid(self, now: float) -> list[Effect]:
        """An Active's route follows what counts now, and the time, too."""
        again = self._recount(now)
        return [Step.ANNOUNCE] if self.reclaims and self.presence.level is Level.ACTIVE else again

    def succeeded(self, now: float) -> list[Effect]:
        """Another node is Active: its advert arrived here, or at another member of the group."""
        if self.router.role is Role.ACTIVE:
            return []
        self._successor_by = None
        return self._inform(presence.Event.SUCCESSOR, now)

    def give_way(self, why: Why, detail: str, now: float) -> list[Effect]:
        """Another router of the group is Active no longer, and so are we."""
        return self._elect(router.Yield(why, detail), now)

    def prioritise(self, priority: int, now: float) -> list[Effect]:
        """The effective priority is now ``priority``."""
        weaker = self.router.role is Role.ACTIVE and priority < self.router.priority
        resigns = weaker and not self.router.settings.preempt and self.router.releasing is None
        effects: list[Effect] = []
        if resigns and self.presence.settings.handover is Handover.BREAK_BEFORE_MAKE:
            effects += self._elect(Release(Shutdown(Why.PRIORITY_LOWERED, f"our priority is now {priority}")), now)
        return effects + self._elect(Prioritise(priority), now) + self._release(now)

    def fault(self, fault: Fault, detail: str, now: float) -> list[Effect]:
        """This node cannot serve: out of the election until every fault is cleared."""
        self.faults[fault] = detail
        sick = self.faults.keys() - _GENTLE.keys()
        event = presence.Event.INCAPABLE if sick or self._breaks_first else _GENTLE[fault]
        why = Why.UNREACHABLE if fault in _GENTLE else Why.FAULT
        # Presence needs the event again if the router was Active; a Backup, too, may still announce what it gives up.
        return self._quit(Shutdown(why, detail), event, now)

    def clear(self, fault: Fault, now: float) -> list[Effect]:
        """``fault`` is over."""
        if self.faults.pop(fault, None) is None:
            return []
        if fault is Fault.ANNOUNCEMENT and self._kept_out:  # who takes part lets the election decide
            return self._inform(presence.Event.RETIRE, now)
        return self._begin(now)

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
        if not self.presence.bound:
            return []
        if self._breaks_first:
            return self.fault(Fault.BIND, detail, now)  # which unbinds what is left
        steps = self._inform(presence.Event.UNBOUND, now)
        return [*self.fault(Fault.BIND, detail, now), *steps]  # priority 0 goes out first

    def withdrawn(self, now: float) -> list[Effect]:
        """ExaBGP has confirmed the withdraw of every address."""
        return self._inform(presence.Event.WITHDRAWN, now)

    def kept(self, now: float) -> list[Effect]:
        """ExaBGP cannot withdraw every address from every neighbor."""
        return self._inform(presence.Event.KEPT, now)

    def _elect(self, event: router.Event, now: float) -> list[Effect]:
        """``event`` goes through the election, and each transition on to presence."""
        effects: list[Effect] = []
        state = self.router.state
        followed = state.following is not None
        for action in self.router.handle(event, now):
            effects.append(action)
            self._listen(action, followed, now)
            if isinstance(action, Transition):
                for consequence in _consequences(action):
                    effects += self._inform(consequence, now)
        releasing = event.shutdown if isinstance(event, Release) else state.releasing
        if releasing is not None and self.router.role is Role.BACKUP and self._kept_out:
            # Superseded, or late after a pause, before everything was unbound. It sends no priority 0, but it is no
            # candidate: it could become Active again before its addresses are withdrawn and unbound.
            effects += self._elect(releasing, now)
        return effects

    def _listen(self, action: router.Action, followed: bool, now: float) -> None:
        """Every node counts silent failures alike, its own adverts included.

        ``followed``: whether there was an Active. The first Active of all has no predecessor.
        """
        match action:
            case Advertise(priority):
                settings = self.router.settings
                self.takeovers.sent(settings.source, priority, settings.interval, now)
            case Transition(after=Role.ACTIVE, why=Why.ACTIVE_DOWN_TIMEOUT) if followed:
                self.takeovers.failures.took_over(now)
            case _:
                pass

    def _inform(self, event: presence.Event, now: float) -> list[Effect]:
        return list(self.presence.handle(event, now))


def _consequences(transition: Transition) -> list[presence.Event]:
    """The events of presence that follow from a transition."""
    match transition:
        case Transition(after=Role.ACTIVE):
            return [presence.Event.PROMOTED]
        case Transition(why=Why.FAULT):
            return [presence.Event.INCAPABLE]
        case Transition(why=Why.UNREACHABLE):
            return [presence.Event.UNWANTED]
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
