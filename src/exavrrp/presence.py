"""When an address is bound and how it is announced: the policy between an election and packets arriving.

VRRP decides who is Active; what users feel is whether a packet to the address is answered. ``Presence`` owns the order
in which one virtual router's addresses are bound, announced, withdrawn and unbound, because the order is the contract:

- taking over: bind → (bound and verified) → announce: never announced while unbound;
- giving up while still able to serve, *make before break*: stay bound, announce as leaving, until the new Active has
  been heard and ``hold`` has passed (the fabric has converged); withdraw; stay bound for ``linger`` (packets in
  flight); unbind. Both nodes answer for a moment: that is anycast, not a conflict. What is announced gets worse in two
  stages, the second in the middle of ``hold``: a route that is worse by more than its MED before the successor's is
  known everywhere makes routers prefer a detour over each other to the same node, and packets circle (seen with FRR);
- giving up while still able to serve, *break before make*: withdraw, unbind. The election says priority 0 when nothing
  is bound any more (``instance``), so that no other node starts before this one has stopped, unless it did so already;
- giving up because it cannot serve: withdraw at once, unbind ``SETTLE`` after ExaBGP has confirmed that: packets that
  still arrive are refused by the service, and do not loop on a host without the address.
  Break before make unbinds without waiting, before the election says priority 0. So does make before break where
  the address itself was lost, or the process is about to end;
- what ExaBGP cannot withdraw from a neighbor (its ``api`` has stopped listing our process), although it has withdrawn
  it from others: make before break stays bound for as long as ExaBGP has that route;
- giving up because no packet should be sent here any more, although it could serve (its BGP sessions are down):
  withdraw at once, but stay bound for ``linger``: routers that have not noticed yet still send packets;
- giving up because ExaBGP does not carry out our commands: routers may have a route to us that cannot be withdrawn, so
  stay bound until ExaBGP has confirmed the withdraw and another Active's advert has arrived, however long that takes
  (the last node that could serve stays bound). Not so in break before make: such a service must not run twice;
- coming after a predecessor that was killed while it served: stay as it left things, announced as leaving, until the
  election is decided; and after one that cannot be continued: withdraw what it may have announced, only then unbind;
- standing by, where that is wanted (*warm standby*): bound and announced as a second choice for as long as the router
  is a Backup, so that the routers can switch over by themselves. What would end in absence ends in this instead;
- binding beforehand, where that is wanted: bound and not announced for as long as the router is a Backup, so that a
  takeover has only to verify it. What would end in absence ends in this instead, too.

It must not know of packets, sockets or BGP attributes. As in ``vrrp.router`` a timer is a deadline in the state, and an
event with its time gives an ordered list of steps. The caller carries out the steps in order and reports their results.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import assert_never

from exavrrp.routes import Level

ANSWER_LIMIT = 1.0
"""Seconds that break before make, and a node that cannot serve, wait for ExaBGP to confirm a withdraw. That takes about
1 ms when it lives."""


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

    handover: Handover
    hold: float
    """seconds announced as leaving after the new Active was heard, half of them as the worst there is"""
    linger: float
    """seconds bound after the withdraw"""
    ceiling: float
    """seconds announced as leaving at most, if no new Active is heard"""
    stale: float
    """seconds bound without an answer to the withdraw: routers may keep the route of an ExaBGP that hangs"""
    standby: bool = False
    """whether a Backup is bound and announces the addresses as a second choice; not for break before make"""
    prebind: bool = False
    """whether a Backup is bound, and announces nothing; not for break before make, nor with ``standby``"""


@dataclass(frozen=True, slots=True)
class Absent:
    """Not bound, not announced."""

    bound = False
    level = None
    deadline = None


@dataclass(frozen=True, slots=True)
class Prebound:
    """Bound beforehand, or about to be, and not announced."""

    bound = True
    level = None
    deadline = None


@dataclass(frozen=True, slots=True)
class Binding:
    """To be bound; announced at most as before."""

    level: Level | None
    goal: Level
    """how it is to be announced when it is bound"""
    doubtful: bool = False
    """whether it was withdrawn before, and ExaBGP has not confirmed that"""
    bound = True
    deadline = None

    @property
    def offered(self) -> bool:
        """Whether routers may have the address: it must not be unbound at once."""
        return self.level is not None or self.doubtful


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
    """no successor's advert has arrived yet"""
    SUCCEEDED = "succeeded"
    """an advert of another Active has arrived; its route is propagating"""
    LAST_RESORT = "last_resort"
    """its route is known everywhere; ours is announced so that it is chosen only where there is no other one"""


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

    deadline: float | None
    """None: a neighbor is known to have the route; until ExaBGP has it no more"""
    linger: float
    """seconds to stay bound after the answer"""
    bound = True
    level = None


@dataclass(frozen=True, slots=True)
class Lingering:
    """Bound, withdrawn: packets in flight are still answered."""

    deadline: float
    confirmed: bool = True
    """whether ExaBGP has confirmed the withdraw; False: not within the time for an answer"""
    bound = True
    level = None


@dataclass(frozen=True, slots=True)
class Stranded:
    """Bound; ExaBGP does not carry out our commands, so that routers may have a route to us."""

    linger: float
    """seconds to stay bound once the withdraw is confirmed and another Active was heard"""
    withdrawn: bool = False
    """whether ExaBGP has confirmed the withdraw"""
    has_successor: bool = False
    """whether another Active was heard"""
    kept: bool = False
    """whether a neighbor is known to have the route"""
    bound = True
    level = None
    deadline = None


State = Absent | Prebound | Binding | Present | Leaving | Withdrawing | Lingering | Stranded


class Event(Enum):
    """What happens to a presence."""

    INHERITED = auto()
    """ExaBGP announces the addresses still for a predecessor that served, and we may go on; before anything else"""
    ORPHANED = auto()
    """a predecessor has left addresses bound, and perhaps announced, and we cannot go on; before anything else"""
    STAND_BY = auto()
    """the router became a Backup, able to serve"""
    RETIRE = auto()
    """the router is no Backup and no Active any more"""
    PROMOTED = auto()
    """the router became Active"""
    SUPERSEDED = auto()
    """an advert of another Active has arrived; we could serve on"""
    DEMOTED = auto()
    """the router is not Active any more, and no other Active's advert has arrived; we could serve on"""
    INCAPABLE = auto()
    """this node cannot serve"""
    ABANDONED = auto()
    """there is no time left for a handover in order"""
    UNWANTED = auto()
    """this node could serve, but must get no more packets: it is unreachable, or breaks before make"""
    UNANNOUNCED = auto()
    """this node could serve, but ExaBGP carries out neither announcements nor withdraws"""
    BOUND = auto()
    """the addresses are on the interface, verified"""
    UNBOUND = auto()
    """the addresses could not be bound, or were lost"""
    WITHDRAWN = auto()
    """ExaBGP confirmed the withdraw of every address"""
    KEPT = auto()
    """ExaBGP has not withdrawn every address from every neighbor, and cannot"""
    SUCCESSOR = auto()
    """an advert of another Active was heard"""
    KEEP = auto()
    """the addresses stay announced as leaving until the election is decided: no successor came, or the router takes
    part again
    """
    TIMEOUT = auto()
    """``Presence.deadline`` has come"""


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


class Presence:
    """The addresses of one virtual router, between its election, the interface and the routers' tables."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: State = Absent()
        self._candidate = False
        """whether the router is a Backup or an Active"""
        self._ending = False

    @property
    def bound(self) -> bool:
        """Whether the addresses are wanted on the interface."""
        return self.state.bound

    @property
    def serves(self) -> bool:
        """Whether the addresses are here, verified, and this node is the one that is to have them."""
        return self.state == Present(Level.ACTIVE)

    @property
    def prebound(self) -> bool:
        """Whether they are wanted there only to be there when the router takes over."""
        return isinstance(self.state, Prebound)

    @property
    def standing_by(self) -> bool:
        """Whether it announces as a standby while it does not serve."""
        return self._candidate and self.settings.standby

    @property
    def _prebinds(self) -> bool:
        """Whether it stays bound while it does not serve."""
        return self._candidate and self.settings.prebind

    @property
    def level(self) -> Level | None:
        """How the addresses are to be announced, or None."""
        return self.state.level

    @property
    def last_resort(self) -> bool:
        """Whether the route announced as leaving may be worse than any detour to this node."""
        return isinstance(self.state, Leaving) and self.state.stage is Stage.LAST_RESORT

    @property
    def awaits_successor(self) -> bool:
        """Whether the node still serves, announced as leaving, and no successor's advert has arrived."""
        return isinstance(self.state, Leaving) and self.state.stage is Stage.AWAITING

    @property
    def has_successor(self) -> bool:
        """Whether the node still serves, announced as leaving, and a successor's advert has arrived."""
        return isinstance(self.state, Leaving) and self.state.stage is not Stage.AWAITING

    @property
    def deadline(self) -> float | None:
        """When ``Event.TIMEOUT`` is due, in the seconds of ``now``."""
        return self.state.deadline

    def configure(self, settings: Settings, *, candidate: bool) -> None:
        """From now on ``settings`` count for what begins; not if the process is about to end.

        ``candidate``: whether the router takes part in the election.
        """
        if not self._ending:
            self.settings = settings
            self._candidate = candidate

    def expedite(self, settings: Settings, now: float) -> None:
        """From ``now`` on ``settings`` count, also for what is under way; they must not be slower.

        The process is about to end: the addresses do not stay bound for want of another node.
        """
        self.settings = settings
        self._ending = True
        match self.state:
            case Leaving(float(deadline), stage):
                limit = settings.ceiling if stage is Stage.AWAITING else settings.hold / 2
                self.state = Leaving(min(deadline, now + limit), stage)
            case Withdrawing(deadline, linger):
                limit = now + settings.stale
                limit = limit if deadline is None else min(deadline, limit)
                self.state = Withdrawing(limit, min(linger, settings.linger))
            case Lingering(deadline):
                self.state = Lingering(min(deadline, now + settings.linger))
            case Stranded():
                self.state = Lingering(now + settings.linger)
            case _:
                pass

    def handle(self, event: Event, now: float) -> list[Step]:
        """What follows from ``event`` at ``now`` (monotonic seconds), in the order to be done."""
        match event:
            case Event.SUCCESSOR:  # first: it follows from each advert
                return self._successor(now)
            case Event.INHERITED | Event.ORPHANED:
                return self._found(event is Event.INHERITED, now)
            case Event.STAND_BY:
                return self._stand_by()
            case Event.PROMOTED:
                return self._promoted()
            case Event.SUPERSEDED | Event.DEMOTED:
                return self._demoted(event is Event.SUPERSEDED, now)
            case Event.RETIRE | Event.INCAPABLE | Event.ABANDONED | Event.UNWANTED | Event.UNANNOUNCED:
                return self._out(event, now)
            case Event.BOUND:
                return self._bound()
            case Event.UNBOUND:
                return self._clear()
            case Event.WITHDRAWN:
                return self._withdrawn(now)
            case Event.KEPT:
                return self._kept()
            case Event.KEEP:
                return self._keep()
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
                self.state = Withdrawing(now + self._answer_limit, SETTLE)
                return [Step.WITHDRAW]
            case _:
                return []

    @property
    def _answer_limit(self) -> float:
        """Seconds to wait for a confirmed withdraw. Make before break gains nothing from unbinding earlier."""
        return ANSWER_LIMIT if self.settings.handover is Handover.BREAK_BEFORE_MAKE else self.settings.stale

    def _promoted(self) -> list[Step]:
        self._candidate = True
        return self._bind(Level.ACTIVE)

    def _stand_by(self) -> list[Step]:
        self._candidate = True
        match self.state:
            case Absent() | Prebound() | Withdrawing() | Lingering() | Stranded() if self.standing_by:
                return self._bind(Level.STANDBY)
            case Absent() if self._prebinds:
                self.state = Prebound()
                return [Step.BIND]
            case _:
                return []

    def _bind(self, goal: Level) -> list[Step]:
        match self.state:
            case Withdrawing() | Lingering(confirmed=False) | Stranded(withdrawn=False) | Binding(doubtful=True):
                doubtful = True
            case _:
                doubtful = False
        self.state = Binding(self.level, goal, doubtful)
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
            case Binding(level=None, doubtful=doubtful):
                if not self.standing_by:
                    return self._withdraw(now) if doubtful else self._rest()
                self.state = Binding(None, Level.STANDBY, doubtful)
                return []
            case Present(Level.ACTIVE) | Binding():
                if self.settings.handover is Handover.BREAK_BEFORE_MAKE:
                    return self._withdraw(now)
                self.state = Leaving(now + self.settings.ceiling, Stage.AWAITING)
                return [Step.ANNOUNCE] + (self._successor(now) if heard else [])
            case Leaving(None):
                self.state = Leaving(now + self.settings.ceiling, Stage.AWAITING)
                return self._successor(now) if heard else []
            case Absent() | Prebound() | Present() | Leaving() | Withdrawing() | Lingering() | Stranded():
                return []
            case _:
                assert_never(self.state)

    def _rest(self) -> list[Step]:
        """Nothing is announced, and nobody needs the addresses here: unbind them, unless they are to stay."""
        if not self._prebinds:
            return self._clear()
        self.state = Prebound()
        return [Step.BIND]  # what a predecessor has left may have been a part of them

    def _out(self, event: Event, now: float) -> list[Step]:
        self._candidate = False
        match event:
            case Event.RETIRE:
                return self._retire(now)
            case Event.UNWANTED:
                return self._vanish(now)
            case Event.UNANNOUNCED:
                return self._strand(now)
            case Event.INCAPABLE if self.settings.handover is Handover.MAKE_BEFORE_BREAK:
                return self._fail(now)
            case _:
                return self._clear()

    def _fail(self, now: float) -> list[Step]:
        limit = now + min(ANSWER_LIMIT, self.settings.stale)
        match self.state:
            case Present() | Leaving() | Binding(offered=True):
                self.state = Withdrawing(limit, SETTLE)
                return [Step.WITHDRAW]
            case Withdrawing(deadline, linger):
                sooner = None if deadline is None else min(deadline, limit)
                self.state = Withdrawing(sooner, min(linger, SETTLE))
            case Lingering(deadline):
                self.state = replace(self.state, deadline=min(deadline, now + SETTLE))
            case Stranded(withdrawn=True):
                self.state = Lingering(now + SETTLE)
            case Stranded(kept=kept):
                self.state = Withdrawing(None if kept else limit, SETTLE)
            case _:
                return self._clear()
        return []

    def _vanish(self, now: float) -> list[Step]:
        match self.state:
            case Present() | Leaving() | Binding(offered=True):
                return self._withdraw(now)
            case Binding() | Prebound():
                return self._clear()
            case _:
                return []

    def _strand(self, now: float) -> list[Step]:
        if self.settings.handover is Handover.BREAK_BEFORE_MAKE or self._ending:
            return self._vanish(now)
        steps = self._vanish(now)
        match self.state:
            case Withdrawing(deadline):
                self.state = Stranded(self.settings.linger, kept=deadline is None)
            case Lingering(confirmed=confirmed):
                self.state = Stranded(self.settings.linger, withdrawn=confirmed)
            case _:
                pass
        return steps

    def _retire(self, now: float) -> list[Step]:
        match self.state:
            case Present(Level.STANDBY) | Binding(goal=Level.STANDBY, doubtful=True):
                return self._withdraw(now)
            case Binding(goal=Level.STANDBY) | Prebound():
                return self._clear()
            case Stranded(withdrawn=True):
                self.state = Lingering(now + self.settings.linger)
                return []
            case _:
                return []

    def _withdraw(self, now: float) -> list[Step]:
        """Withdraw and wait for the answer."""
        linger = SETTLE if self.settings.handover is Handover.BREAK_BEFORE_MAKE else self.settings.linger
        self.state = Withdrawing(now + self._answer_limit, linger)
        return [Step.WITHDRAW]

    def _clear(self) -> list[Step]:
        """Withdraw and unbind at once, without waiting for an answer or a successor."""
        steps = []
        if self.level is not None:
            steps.append(Step.WITHDRAW)
        if self.bound:
            steps.append(Step.UNBIND)
        self.state = Absent()
        return steps

    def _successor(self, now: float) -> list[Step]:
        match self.state:
            case Leaving(stage=Stage.AWAITING):
                self.state = Leaving(now + self.settings.hold / 2, Stage.SUCCEEDED)
            case Stranded():
                self._end_stranding(replace(self.state, has_successor=True), now)
            case _:
                pass
        return []

    def _keep(self) -> list[Step]:
        if self.awaits_successor:
            self.state = Leaving(None, Stage.AWAITING)
        return []

    def _timeout(self, now: float) -> list[Step]:
        match self.state:
            case Leaving(float(deadline), Stage.SUCCEEDED) if now >= deadline:
                self.state = Leaving(now + self.settings.hold / 2, Stage.LAST_RESORT)
                return [Step.ANNOUNCE]
            case Leaving(float(deadline)) if now >= deadline:
                return self._announce(Level.STANDBY) if self.standing_by else self._withdraw(now)
            case Withdrawing(float(deadline), linger) if now >= deadline:
                self.state = Lingering(now + linger, confirmed=False)
                return []
            case Lingering(deadline) if now >= deadline:
                return self._rest()
            case _:
                return []

    def _withdrawn(self, now: float) -> list[Step]:
        match self.state:
            case Withdrawing(_, linger):
                self.state = Lingering(now + linger)
            case Stranded():
                self._end_stranding(replace(self.state, withdrawn=True), now)
            case _:
                pass
        return []

    def _kept(self) -> list[Step]:
        orderly = self.settings.handover is Handover.MAKE_BEFORE_BREAK and not self._ending
        match self.state:
            case Withdrawing(_, linger) if orderly:
                self.state = Withdrawing(None, linger)
            case Lingering() if orderly:  # without an answer for too long
                self.state = Withdrawing(None, self.settings.linger)
            case Stranded(withdrawn=False) if orderly:
                self.state = replace(self.state, kept=True)
            case _:
                pass
        return []

    def _end_stranding(self, state: Stranded, now: float) -> None:
        """Once the withdraw is confirmed and another node serves, only packets in flight are left."""
        self.state = Lingering(now + state.linger) if state.withdrawn and state.has_successor else state
