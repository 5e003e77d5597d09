"""When an address is bound and how it is announced: the policy between an election and packets arriving.

VRRP decides who is Active; what users feel is whether a packet to the address is answered. ``Presence`` owns the order
in which one virtual router's addresses are bound, announced, withdrawn and unbound, because the order is the contract:

- taking over: bind → (bound and verified) → announce: never announced while unbound;
- giving up while still able to serve, *make before break*: stay bound, announce as leaving, until the new Active has
  been heard and ``hold`` has passed (the fabric has converged); withdraw; stay bound for ``linger`` (packets in
  flight); unbind. Both nodes answer for a moment: that is anycast, not a conflict. What is announced gets worse in two
  stages, the second in the middle of ``hold``: a route that is worse by more than its MED before the successor's is
  known everywhere makes routers prefer a detour over each other to the same node, and packets circle (seen with FRR);
- giving up while still able to serve, *break before make*: withdraw, unbind, and only then let go of the election, so
  that no other node starts before this one has stopped (unless one did: then there is nothing to let go of);
- giving up because it cannot serve: withdraw and unbind at once;
- giving up because nobody should come here any more, although it could serve (its BGP sessions are gone): withdraw at
  once, but stay bound for ``linger``: routers that have not noticed yet still send packets;
- coming after a predecessor that was killed while it served: stay as it left things, announced as leaving, until the
  election is decided; and after one that cannot be continued: withdraw what it may have announced, only then unbind;
- standing by, where that is wanted (*warm standby*): bound and announced as a second choice for as long as the router
  is a Backup, so that the routers can switch over by themselves. What would end in absence ends in this instead.

It must not know of packets, sockets or BGP attributes. As in ``vrrp.router`` a timer is a deadline in the state, and an
event with its time gives an ordered list of steps. The caller takes the steps in order and reports what came of them.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import assert_never

from exavrrp.routes import Level

ANSWER_LIMIT = 1.0
"""Seconds that break before make waits for ExaBGP to confirm a withdraw, which takes about 1 ms when it lives."""


SETTLE = 0.05
"""Seconds bound after a confirmed withdraw at least. ExaBGP confirms up to 2 ms before it sends the UPDATE (seen with
BIRD), and a router then needs some milliseconds to its kernel's table."""


class Handover(StrEnum):
    """In which order to give up what we are still able to serve."""

    MAKE_BEFORE_BREAK = "make-before-break"
    BREAK_BEFORE_MAKE = "break-before-make"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one virtual router gives up."""

    handover: Handover = Handover.MAKE_BEFORE_BREAK
    hold: float = 1.0
    """seconds announced as leaving after the new Active was heard, half of them as the worst there is"""
    linger: float = 2.0
    """seconds bound after the withdraw"""
    ceiling: float = 30.0
    """seconds announced as leaving at most, if no new Active is heard"""
    stale: float = 180.0
    """seconds bound without an answer to the withdraw: routers may keep the route of an ExaBGP that hangs"""
    standby: bool = False
    """whether a Backup is bound and announces the addresses as a second choice; not for break before make"""


@dataclass(frozen=True, slots=True)
class Absent:
    """Not bound, not announced."""

    bound = False
    level = None
    deadline = None


@dataclass(frozen=True, slots=True)
class Binding:
    """Asked to be bound; announced at most as before."""

    level: Level | None
    goal: Level
    """how it is to be announced when it is bound"""
    bound = True
    deadline = None


@dataclass(frozen=True, slots=True)
class Present:
    """Bound and announced: serving, or ready to."""

    level: Level
    """active or standby"""
    bound = True
    deadline = None


class Stage(StrEnum):
    """How far a handover has come."""

    AWAITING = "awaiting"
    """nobody was heard yet who takes over"""
    RELIEVED = "relieved"
    """another Active was heard; its route is on its way"""
    PARTING = "parting"
    """its route has arrived; ours is to be taken by nobody any more"""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Bound and announced as leaving, until the successor serves."""

    deadline: float | None
    """None: until the election is decided"""
    stage: "Stage"
    bound = True
    level = Level.LEAVING


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Bound; the withdraw waits for ExaBGP's answer."""

    deadline: float
    linger: float
    """seconds to stay bound after the answer"""
    release: bool = False
    """whether the election is to be let go of after the unbinding"""
    bound = True
    level = None


@dataclass(frozen=True, slots=True)
class Lingering:
    """Bound, withdrawn: packets in flight are still answered."""

    deadline: float
    release: bool = False
    bound = True
    level = None


State = Absent | Binding | Present | Leaving | Withdrawing | Lingering


class Event(Enum):
    """What happens to a presence."""

    INHERITED = auto()
    """a predecessor has left the addresses bound and announced, and we may go on; before anything else"""
    ORPHANED = auto()
    """a predecessor has left addresses bound, and perhaps announced, and we cannot go on; before anything else"""
    STAND_BY = auto()
    """the router became a Backup, able to serve"""
    RETIRE = auto()
    """the router is no Backup and no Active any more"""
    PROMOTED = auto()
    """the router became Active"""
    SUPERSEDED = auto()
    """another router is Active, and was heard; we could serve on"""
    DEMOTED = auto()
    """the router is Active no longer, and no other was heard; we could serve on"""
    INCAPABLE = auto()
    """this node cannot serve"""
    UNREACHABLE = auto()
    """this node could serve, but must not be sent anything any more"""
    LEAVE = auto()
    """break before make: clear everything, then let go of the election"""
    BOUND = auto()
    """the addresses are on the interface, verified"""
    UNBOUND = auto()
    """the addresses could not be bound, or were lost"""
    WITHDRAWN = auto()
    """ExaBGP confirmed the withdraw of every address"""
    SUCCESSOR = auto()
    """an advert of another Active was heard"""
    KEEP = auto()
    """nobody came: what is announced as leaving stays until the election is decided anew"""
    JOIN = auto()
    """the router takes part in the election again, or stays in it: the same, and it is not to be let go of any more"""
    TIMEOUT = auto()
    """the alarm for ``Presence.deadline`` rang"""


class Step(Enum):
    """What the caller is to do; the wanted sets follow from ``Presence.bound`` and ``Presence.level``."""

    BIND = auto()
    """make the addresses equal the wanted set and verify; report BOUND or UNBOUND"""
    ANNOUNCE = auto()
    """make the routes equal the wanted set"""
    WITHDRAW = auto()
    """the same, without ours; report WITHDRAWN when every address is confirmed"""
    UNBIND = auto()
    """make the addresses equal the wanted set, without ours"""
    RELEASE = auto()
    """let go of the election: the router may shut down now"""
    RETURN = auto()
    """give the role back: this node is in fault and cannot hold the address"""


class Presence:
    """The addresses of one virtual router, between its election, the interface and the routers' tables."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: State = Absent()
        self._standing_by = False

    @property
    def bound(self) -> bool:
        """Whether the addresses are wanted on the interface."""
        return self.state.bound

    @property
    def level(self) -> Level | None:
        """How the addresses are to be announced, or None."""
        return self.state.level

    @property
    def parting(self) -> bool:
        """Whether what is announced as leaving may be worse than any detour to us."""
        return isinstance(self.state, Leaving) and self.state.stage is Stage.PARTING

    @property
    def awaiting(self) -> bool:
        """Whether it serves on as leaving, and nobody was heard yet who takes over."""
        return isinstance(self.state, Leaving) and self.state.stage is Stage.AWAITING

    @property
    def letting_go(self) -> bool:
        """Whether ``Step.RELEASE`` is still to come."""
        return isinstance(self.state, (Withdrawing, Lingering)) and self.state.release

    @property
    def deadline(self) -> float | None:
        """When ``Event.TIMEOUT`` is due, in the seconds of ``now``."""
        return self.state.deadline

    def hurry(self, settings: Settings, now: float) -> None:
        """From ``now`` on ``settings`` count, also for what is under way; they must not be slower."""
        self.settings = settings
        match self.state:
            case Leaving(float(deadline), stage):
                limit = settings.ceiling if stage is Stage.AWAITING else settings.hold / 2
                self.state = Leaving(min(deadline, now + limit), stage)
            case Withdrawing(deadline, linger, release):
                self.state = Withdrawing(min(deadline, now + settings.stale), min(linger, settings.linger), release)
            case Lingering(deadline, release):
                self.state = Lingering(min(deadline, now + settings.linger), release)
            case _:
                pass

    def handle(self, event: Event, now: float) -> list[Step]:
        """What follows from ``event`` at ``now`` (monotonic seconds), in the order to be done."""
        match event:
            case Event.INHERITED | Event.ORPHANED:
                return self._found(event is Event.INHERITED, now)
            case Event.STAND_BY:
                return self._stand_by()
            case Event.PROMOTED:
                return self._promoted()
            case Event.SUPERSEDED | Event.DEMOTED:
                return self._demoted(event is Event.SUPERSEDED, now)
            case Event.RETIRE | Event.INCAPABLE | Event.UNREACHABLE | Event.LEAVE:
                return self._out(event, now)
            case Event.BOUND:
                return self._bound()
            case Event.UNBOUND:
                return [Step.RETURN, *self._clear()] if self.bound else []
            case Event.WITHDRAWN:
                return self._withdrawn(now)
            case Event.SUCCESSOR:
                return self._successor(now)
            case Event.KEEP | Event.JOIN:
                return self._keep(event is Event.JOIN)
            case Event.TIMEOUT:
                return self._timeout(now)
            case _:
                assert_never(event)

    # Taking over

    def _found(self, continued: bool, now: float) -> list[Step]:
        """Never announced while unbound holds for what a predecessor announced, too."""
        match self.state:
            case Absent() if continued and self.settings.handover is Handover.MAKE_BEFORE_BREAK:
                self.state = Leaving(None, Stage.AWAITING)
                return [Step.ANNOUNCE]
            case Absent():
                self.state = Withdrawing(now + ANSWER_LIMIT, SETTLE)
                return [Step.WITHDRAW]
            case _:
                return []

    def _promoted(self) -> list[Step]:
        self._standing_by = self.settings.standby
        return self._bind(Level.ACTIVE)

    def _stand_by(self) -> list[Step]:
        self._standing_by = self.settings.standby
        match self.state:
            case Absent() | Withdrawing() | Lingering() if self._standing_by:
                return self._bind(Level.STANDBY)
            case _:
                return []

    def _bind(self, goal: Level) -> list[Step]:
        match self.state:
            case Withdrawing(release=True) | Lingering(release=True):
                return []  # letting go already; the router follows
            case _:
                self.state = Binding(self.level, goal)
                return [Step.BIND]

    def _bound(self) -> list[Step]:
        match self.state:
            case Binding(goal=goal):
                return self._announce(goal)
            case _:
                return []

    def _announce(self, level: Level) -> list[Step]:
        self.state = Present(level)
        return [Step.ANNOUNCE]

    # Giving up

    def _demoted(self, heard: bool, now: float) -> list[Step]:
        match self.state:
            case Binding(level=None):
                if not self._standing_by:
                    return self._clear()
                self.state = Binding(None, Level.STANDBY)
                return []
            case Present(Level.ACTIVE) | Binding():
                if self.settings.handover is Handover.BREAK_BEFORE_MAKE:
                    return self._withdraw(now)
                self.state = Leaving(now + self.settings.ceiling, Stage.AWAITING)
                return [Step.ANNOUNCE] + (self._successor(now) if heard else [])
            case Leaving(None):
                self.state = Leaving(now + self.settings.ceiling, Stage.AWAITING)
                return self._successor(now) if heard else []
            case Absent() | Present() | Leaving() | Withdrawing() | Lingering():
                return []
            case _:
                assert_never(self.state)

    def _out(self, event: Event, now: float) -> list[Step]:
        self._standing_by = False
        match event:
            case Event.RETIRE:
                return self._retire(now)
            case Event.LEAVE:
                return self._leave(now)
            case Event.UNREACHABLE:
                return self._vanish(now)
            case _:
                return self._clear()

    def _vanish(self, now: float) -> list[Step]:
        match self.state:
            case Present() | Leaving() | Binding(level=Level()):
                return self._withdraw(now)
            case Binding():
                return self._clear()
            case _:
                return []

    def _retire(self, now: float) -> list[Step]:
        match self.state:
            case Present(Level.STANDBY):
                return self._withdraw(now)
            case Binding(goal=Level.STANDBY):
                return self._clear()
            case _:
                return []

    def _leave(self, now: float) -> list[Step]:
        match self.state:
            case Present():
                return self._withdraw(now, release=True)
            case Withdrawing() | Lingering():
                self.state = replace(self.state, release=True)
                return []
            case _:
                return [*self._clear(), Step.RELEASE]

    def _withdraw(self, now: float, *, release: bool = False) -> list[Step]:
        """Withdraw and wait for the answer. Make before break has nothing to gain from being bound no longer."""
        if self.settings.handover is Handover.MAKE_BEFORE_BREAK:
            self.state = Withdrawing(now + self.settings.stale, self.settings.linger, release)
        else:
            self.state = Withdrawing(now + ANSWER_LIMIT, SETTLE, release)
        return [Step.WITHDRAW]

    def _clear(self) -> list[Step]:
        """Withdraw and unbind what is there, without waiting for anybody."""
        steps = []
        if self.level is not None:
            steps.append(Step.WITHDRAW)
        if self.bound:
            steps.append(Step.UNBIND)
        if self.letting_go:
            steps.append(Step.RELEASE)
        self.state = Absent()
        return steps

    def _successor(self, now: float) -> list[Step]:
        match self.state:
            case Leaving(stage=Stage.AWAITING):
                self.state = Leaving(now + self.settings.hold / 2, Stage.RELIEVED)
            case _:
                pass
        return []

    def _keep(self, joined: bool) -> list[Step]:
        match self.state:
            case Leaving(stage=Stage.AWAITING):
                self.state = Leaving(None, Stage.AWAITING)
            case Withdrawing() | Lingering() if joined:
                self.state = replace(self.state, release=False)
            case _:
                pass
        return []

    def _timeout(self, now: float) -> list[Step]:
        match self.state:
            case Leaving(float(deadline), Stage.RELIEVED) if now >= deadline:
                self.state = Leaving(now + self.settings.hold / 2, Stage.PARTING)
                return [Step.ANNOUNCE]
            case Leaving(float(deadline)) if now >= deadline:
                return self._announce(Level.STANDBY) if self._standing_by else self._withdraw(now)
            case Withdrawing(deadline) if now >= deadline:
                return self._withdrawn(now)
            case Lingering(deadline) if now >= deadline:
                return self._clear()
            case _:
                return []

    def _withdrawn(self, now: float) -> list[Step]:
        match self.state:
            case Withdrawing(_, linger, release):
                self.state = Lingering(now + linger, release)
                return []
            case _:
                return []
