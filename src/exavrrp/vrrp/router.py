"""The state machine of one virtual router (RFC 9568 §6), in the routed-unicast profile.

``Router`` owns the state, the priority and the timers; it decides who is Active and nothing else. It must not know of
clocks, sockets, addresses on interfaces or BGP: an event and the time come in, an ordered list of actions comes out.

A timer is a deadline inside the state. After each ``handle`` the caller arms one alarm for ``router.deadline``, and it
sends ``Timeout`` when the alarm fires. A ``Timeout`` before the deadline does nothing, so a stale alarm is harmless.
Before the caller sends ``Timeout`` it must hand over every packet that waits in its sockets: after a pause of this
process, the Active's adverts wait there.

Where the profile goes beyond the RFC:

- An Active answers a losing advert at once (RFC 9568 §6.4.3), but at most once per interval of its own. Otherwise two
  routers that both consider themselves the better one (they share an address) would answer each other for ever.
- ``preempt_delay`` treats an inferior Active as acceptable for a while. It never delays a takeover after
  Active_Down_Interval without adverts.
- A priority 0 shortens the timer only when it comes from the Active that is followed.
- An Active without preemption whose priority is lowered resigns (priority 0, then Backup). Otherwise no Backup would
  take over from it, whatever its priority.
- A router that was Active a moment ago, and whose process was replaced, waits for one interval instead of three:
  another router that has taken over meanwhile has sent an advert by then.
- Adverts are due at one of twenty moments in an interval, so that those of many routers leave together. After an advert
  that was sent out of turn (the first one, an answer, a change) the next one comes after a whole interval, and the one
  after that earlier by less than a twentieth; all other intervals are whole.
- An Active that wakes up more than Active_Down_Interval after its advert was due steps down without sending anything:
  another router has taken over while it was stopped.
- An Active whose service must not run twice (break before make) is *releasing* before it sends priority 0. It keeps
  its state, and its priority in adverts, until its routes are withdrawn and its addresses unbound. Then the caller
  sends the ``Shutdown`` that is kept in its state.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import floor
from typing import assert_never

from exavrrp.vrrp.packet import LEAVING, OWNER, Address, Advertisement


class Role(StrEnum):
    """The three states of RFC 9568 §6.4, by name."""

    INITIALIZE = "initialize"
    BACKUP = "backup"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Initialize:
    """Taking no part (RFC 9568 §6.4.1)."""

    role = Role.INITIALIZE
    deadline = None
    following = None
    advertised = None
    releasing = None


@dataclass(frozen=True, slots=True)
class Backup:
    """Following an Active, or waiting for one (RFC 9568 §6.4.2)."""

    deadline: float
    """Active_Down_Timer: monotonic seconds"""
    interval: float
    """Active_Adver_Interval, learned from the Active, clamped; ours until one is heard"""
    heard: float
    """when the Active was last heard, or when we became Backup"""
    following: Address | None = None
    resigned: float | None = None
    """when the Active we follow said priority 0"""
    inferior: "Inferior | None" = None
    """the Active whose adverts we discard, because ours is the better priority"""
    resuming: bool = False
    """whether this node was Active a moment ago, and has received no advert since of an Active to follow"""
    role = Role.BACKUP
    advertised = None
    releasing = None


@dataclass(frozen=True, slots=True)
class Inferior:
    """The last advert of an Active with a lower priority than ours."""

    source: Address
    advertisement: Advertisement
    heard: float
    since: float
    """when the first advert of an inferior Active was received: ``preempt_delay`` counts from here"""


@dataclass(frozen=True, slots=True)
class Active:
    """Sending adverts (RFC 9568 §6.4.3)."""

    deadline: float
    """Adver_Timer: monotonic seconds"""
    advertised: int
    """the priority in our adverts, compared with a peer's: the effective one, or the one when the release began"""
    answered: bool = False
    """whether a losing advert was already answered since the Adver_Timer last fired"""
    releasing: "Shutdown | None" = None
    """break before make: the shutdown that follows when nothing is bound any more; None if it is not releasing"""
    following = None
    role = Role.ACTIVE


State = Initialize | Backup | Active


class Why(StrEnum):
    """Why a router changed its state."""

    STARTUP = "startup"
    OWNER = "owner"
    ACTIVE_DOWN_TIMEOUT = "active-down-timeout"
    RESUMED = "resumed"
    RESIGNED = "peer-resigned"
    PREEMPTED = "preempted"
    SUPERSEDED = "superseded"
    STALLED = "stalled"
    PRIORITY_LOWERED = "priority-lowered"
    DRAIN = "drain"
    SHUTDOWN = "shutdown"
    FAULT = "fault"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Startup:
    """Take part in the election."""

    resuming: bool = False
    """whether this node was Active a moment ago: Backup, with a shorter Active_Down_Timer"""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Leave the election."""

    why: Why = Why.SHUTDOWN
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Break before make: shut down when what we serve is unbound. Only an Active has anything to release."""

    shutdown: Shutdown


@dataclass(frozen=True, slots=True)
class Timeout:
    """``Router.deadline`` has come."""


@dataclass(frozen=True, slots=True)
class Received:
    """An advert that passed every check."""

    source: Address
    advertisement: Advertisement


@dataclass(frozen=True, slots=True)
class Prioritise:
    """Change the effective priority: 1–254, or 255 for the address owner."""

    priority: int


@dataclass(frozen=True, slots=True)
class Yield:
    """Become Backup without sending priority 0: another node is Active, and other members of our group follow it."""

    why: Why
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Configure:
    """Change the settings. VRID, source and family identify the virtual router and must not change."""

    settings: "Settings"


Event = Startup | Shutdown | Release | Timeout | Received | Prioritise | Yield | Configure


@dataclass(frozen=True, slots=True)
class Advertise:
    """Send an advert with this priority to every peer now. Priority 0 is sent several times: it is not acknowledged."""

    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The values that decided a transition, as far as there are such."""

    peer: Address | None = None
    """whose adverts, or lack of adverts, decided it"""
    priority: int | None = None
    """in the advert that decided it"""
    waited: float | None = None
    """seconds without an advert of the peer, or since its priority 0"""
    interval: float | None = None
    """Active_Adver_Interval, seconds"""
    skew_time: float | None = None
    """seconds"""


@dataclass(frozen=True, slots=True)
class Transition:
    """The state has changed. Logs and notifications of state changes are made from this action."""

    before: Role
    after: Role
    why: Why
    detail: str = ""
    evidence: Evidence | None = field(default=None, compare=False)
    """for people: nothing is decided by it"""


class Discrepancy(StrEnum):
    """A discrepancy in a valid advert that an operator should know."""

    INTERVAL_DIFFERS = "interval-differs"
    INTERVAL_CLAMPED = "interval-clamped"
    ADDRESSES_DIFFER = "addresses-differ"
    SECOND_OWNER = "second-owner"


@dataclass(frozen=True, slots=True)
class Notice:
    """Log this, rate-limited; it has no effect on the election."""

    discrepancy: Discrepancy
    source: Address
    detail: str


Action = Advertise | Transition | Notice


SLOTS = 20
"""Moments in each interval at which adverts are due, so that those of many routers leave together, in one turn of the
event loop. The kernel does the same for timers that may be late (timer_slack_ns, prctl(2))."""

_ROUNDING = 1e-3
"""What a moment may fall short of a slot and count as in it, as part of one: sums of floating point numbers do."""

DOWN_COUNT = 3
"""Intervals without an advert after which a Backup takes over (RFC 9568 §6.1), unless it is configured otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one virtual router's election."""

    vrid: int
    priority: int
    """1–254; 255 is the address owner"""
    interval: float
    """Advertisement_Interval, seconds, whole centiseconds"""
    source: Address
    """the address adverts are sent from and the one that decides ties: one value"""
    addresses: tuple[Address, ...]
    preempt: bool = True
    preempt_delay: float = 0.0
    """seconds"""
    learned_minimum: float = 0.01
    """seconds: the smallest interval that a 12-bit field of centiseconds holds"""
    learned_maximum: float = 40.95
    """seconds: a Backup uses this instead of a longer interval in an advert"""
    down_count: int = DOWN_COUNT
    """intervals without an advert, and Skew_Time, after which a Backup takes over; at least 2"""
    skew_unit: float | None = None
    """seconds of which Skew_Time is a fraction: one in VRRPv2 (RFC 3768 §6.1); None: the interval"""


class Router:
    """One virtual router. ``state`` and ``priority`` are for reading; ``handle`` is the only way to change them.

    ``priority`` is the effective one. That of our adverts is part of the state.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.priority = settings.priority
        self.state: State = Initialize()
        self._agreed: tuple[Advertisement, Settings, int] | None = None
        """an advert without discrepancies, and the settings and the priority that it was compared with"""

    @property
    def deadline(self) -> float | None:
        """When ``Timeout`` is due, in the seconds of ``now``; None when no timer runs."""
        return self.state.deadline

    @property
    def role(self) -> Role:
        """The state by name."""
        return self.state.role

    @property
    def advertised(self) -> int | None:
        """The priority in our adverts; None if we send none."""
        return self.state.advertised

    @property
    def releasing(self) -> Shutdown | None:
        """The shutdown that follows when nothing is bound any more; None if we are not releasing."""
        return self.state.releasing

    def advertisement(self, priority: int) -> Advertisement:
        """The advert that an ``Advertise`` action sends."""
        settings = self.settings
        return Advertisement(settings.vrid, priority, round(settings.interval * 100), settings.addresses)

    def handle(self, event: Event, now: float) -> list[Action]:
        """The actions that follow from ``event``, in order. ``now``: monotonic seconds, not before the last call's."""
        actions = self._step_down_if_stalled(now)
        match self.state:
            case Initialize():
                actions += self._initialize(event, now)
            case Backup() as state:
                actions += self._backup(state, event, now)
            case Active() as state:
                actions += self._active(state, event, now)
            case _:
                assert_never(self.state)
        return actions

    # RFC 9568 §6.4.1

    def _initialize(self, event: Event, now: float) -> list[Action]:
        match event:
            # "If the Priority = 255, i.e., the router owns the IPvX address […]"
            case Startup() if self.priority == OWNER:
                return self._become_active(now, Why.OWNER, "priority 255")
            case Startup(resuming):
                backup = self._waiting(now, self.settings.interval)
                return self._become_backup(self._timed(replace(backup, resuming=resuming)), Why.STARTUP)
            case Prioritise(priority):
                self.priority = priority
                return []
            case Configure(settings):
                self.settings = settings
                return []
            case Shutdown() | Release() | Timeout() | Received() | Yield():
                return []
            case _:
                assert_never(event)

    # RFC 9568 §6.4.2

    def _backup(self, state: Backup, event: Event, now: float) -> list[Action]:
        match event:
            # "If the Active_Down_Timer fires, then: Send an ADVERTISEMENT […] Transition to the {Active} state"
            case Timeout() if now >= state.deadline:
                return self._become_active(now, *self._why_take_over(state, now), self._evidence(state, now))
            case Received(source, advertisement):
                return self._hear(state, source, advertisement, now)
            case Prioritise(priority):
                self.priority = priority
                self.state = self._reconsidered(state)
                return []
            case Configure(settings):
                self.settings = settings
                # Active_Adver_Interval is our own Advertisement_Interval until one is learned (RFC 9568 §6.1).
                interval = settings.interval if state.following is None else self._bounded(state.interval)
                self.state = self._reconsidered(replace(state, interval=interval))
                return []
            # "If a Shutdown event is received, then: […] Transition to the {Initialize} state"
            case Shutdown(why, detail):
                self.state = Initialize()
                return [Transition(Role.BACKUP, Role.INITIALIZE, why, detail)]
            case Startup() | Release() | Timeout() | Yield():
                return []
            case _:
                assert_never(event)

    def _hear(self, state: Backup, source: Address, advertisement: Advertisement, now: float) -> list[Action]:
        """An advert in Backup: leaving, acceptable (no preemption, or priority ≥ ours), or inferior and discarded."""
        if advertisement.priority == LEAVING:
            # "If the Priority in the ADVERTISEMENT is 0, then: Set the Active_Down_Timer to Skew_Time"
            if source == _active(state) and state.resigned is None:
                self.state = self._timed(replace(state, resigned=now))
            return []
        inferior = None
        if self._may_preempt(advertisement):
            # "else // preempt was true and priority was less than the local priority: Discard the ADVERTISEMENT"
            since = now if state.inferior is None else state.inferior.since
            inferior = Inferior(source, advertisement, now, since)
            if self.priority == OWNER or now >= since + self.settings.preempt_delay:
                self.state = replace(state, inferior=inferior)
                return self._discrepancies(source, advertisement)
        # "If Preempt_Mode is False, or if the Priority in the ADVERTISEMENT is greater than or equal to the local
        # Priority, then: Set the Active_Adver_Interval to the Max Advertise Interval contained in the ADVERTISEMENT […]
        # Set the Active_Down_Timer to Active_Down_Interval"
        self.state = self._waiting(now, self.learned(advertisement), source, inferior)
        return self._discrepancies(source, advertisement)

    def _may_preempt(self, advertisement: Advertisement) -> bool:
        """Whether its sender must give way to us; the owner of the addresses always preempts (RFC 9568 §6.1)."""
        return advertisement.priority < self.priority and (self.settings.preempt or self.priority == OWNER)

    def _reconsidered(self, state: Backup) -> Backup:
        """``state`` with our new priority. The Active whose adverts we discarded may now be one that we must follow."""
        inferior = state.inferior
        if inferior is None or self._may_preempt(inferior.advertisement):
            return self._timed(state)
        followed = self._waiting(inferior.heard, self.learned(inferior.advertisement), inferior.source)
        # Its own priority 0 counts if that was its last word; another one's does not.
        resigned = state.resigned is not None and _active(state) == inferior.source and inferior.heard <= state.resigned
        return self._timed(replace(followed, resigned=state.resigned if resigned else None))

    def _why_take_over(self, state: Backup, now: float) -> tuple[Why, str]:
        """The reason of a takeover and its detail for the log, from the adverts since the timer was last reset."""
        if state.resigned is not None:
            return Why.RESIGNED, f"{_active(state)} said priority 0 {now - state.resigned:.3f}s ago"
        if state.inferior is not None and state.inferior.heard > state.heard:
            return Why.PREEMPTED, f"the Active has less priority than our {self.priority}"
        if state.resuming:
            return Why.RESUMED, f"nobody has taken over within {now - state.heard:.3f}s"
        whom = "anybody" if state.following is None else str(state.following)
        return Why.ACTIVE_DOWN_TIMEOUT, f"nothing heard from {whom} for {now - state.heard:.3f}s"

    def _evidence(self, state: Backup, now: float) -> Evidence:
        """What decides a takeover."""
        inferior, peer = state.inferior, _active(state)
        if state.resigned is None and inferior is not None and inferior.heard > state.heard:
            return Evidence(peer=inferior.source, priority=inferior.advertisement.priority, interval=state.interval)
        return Evidence(
            peer=peer,
            waited=now - (state.heard if state.resigned is None else state.resigned),
            interval=state.interval,
            skew_time=self._skew(state.interval, self.priority),
        )

    # RFC 9568 §6.4.3

    def _active(self, state: Active, event: Event, now: float) -> list[Action]:
        match event:
            # "If the Adver_Timer fires, then: Send an ADVERTISEMENT; Reset the Adver_Timer to Advertisement_Interval"
            case Timeout() if now >= state.deadline:
                self.state = Active(self._next_advert(state, now), state.advertised, releasing=state.releasing)
                return [Advertise(state.advertised)]
            case Received(source, advertisement):
                return self._contend(state, source, advertisement, now)
            case Release(shutdown):
                self.state = replace(state, releasing=shutdown)
                return []
            case Prioritise(priority) if state.releasing is not None:
                self.priority = priority  # not advertised: a better router would take over before we have unbound
                return []
            case Prioritise(priority) if priority < self.priority and not self.settings.preempt:
                self.priority = priority
                backup = self._waiting(now, self.settings.interval)
                why = f"our priority is now {priority}, and nobody would preempt us"
                return [Advertise(LEAVING), *self._become_backup(backup, Why.PRIORITY_LOWERED, why)]
            case Prioritise(priority) if priority != self.priority:
                self.priority = priority
                self.state = Active(now + self.settings.interval, priority)
                return [Advertise(priority)]
            # "If a Shutdown event is received, then: […] Send an ADVERTISEMENT with Priority = 0"
            case Shutdown(why, detail):
                self.state = Initialize()
                return [Advertise(LEAVING), Transition(Role.ACTIVE, Role.INITIALIZE, why, detail)]
            case Yield(why, detail):
                return self._become_backup(self._waiting(now, self.settings.interval), why, detail)
            case Configure(settings):
                return self._configure(state, settings, now)
            case Startup() | Timeout() | Prioritise():
                return []
            case _:
                assert_never(event)

    def _configure(self, state: Active, settings: Settings, now: float) -> list[Action]:
        """Advertise changed settings at once, and again after the shorter of the old and the new interval.

        A Backup uses the interval of the last advert that it received. If the first advert with a longer interval were
        lost and the next one came only after that interval, the Backup would take over.
        """
        before, self.settings = self.settings, settings
        if (before.interval, before.addresses) == (settings.interval, settings.addresses):
            return []
        self.state = replace(state, deadline=now + min(before.interval, settings.interval))
        return [Advertise(state.advertised)]

    def _contend(self, state: Active, source: Address, advertisement: Advertisement, now: float) -> list[Action]:
        """An advert while Active: the better router stays Active. If that is us, we answer with an advert at once."""
        if advertisement.priority == LEAVING:
            # "If the Priority in the ADVERTISEMENT is 0, then: Send an ADVERTISEMENT; Reset the Adver_Timer to
            # Advertisement_Interval"
            if state.answered:
                return []
            self.state = replace(state, deadline=now + self.settings.interval, answered=True)
            return [Advertise(state.advertised)]
        if self._is_better(state, source, advertisement):
            backup = self._waiting(now, self.learned(advertisement), source)
            evidence = Evidence(peer=source, priority=advertisement.priority, interval=backup.interval)
            actions = self._become_backup(backup, Why.SUPERSEDED, f"heard {advertisement} from {source}", evidence)
            return actions + self._discrepancies(source, advertisement)
        if state.answered:
            return self._discrepancies(source, advertisement)
        # "else // new Active Router logic: Discard the ADVERTISEMENT; Send an ADVERTISEMENT immediately to assert the
        # {Active} state to the sending VRRP Router". The Adver_Timer is left alone.
        self.state = replace(state, answered=True)
        return [Advertise(state.advertised), *self._discrepancies(source, advertisement)]

    def _is_better(self, state: Active, source: Address, advertisement: Advertisement) -> bool:
        """Greater priority, or the same and a greater primary address.

        "(based on an unsigned integer comparison of the IPvX addresses in network byte order)"
        """
        return (advertisement.priority, int(source)) > (state.advertised, int(self.settings.source))

    def _step_down_if_stalled(self, now: float) -> list[Action]:
        """Become Backup without an advert if ours is overdue by more than Active_Down_Interval."""
        match self.state:
            case Active(deadline, advertised) if now > deadline + self._patience(self.settings.interval, advertised):
                backup = self._waiting(now, self.settings.interval)
                evidence = Evidence(waited=now - deadline, interval=self.settings.interval)
                detail = f"our advert was due {now - deadline:.3f}s ago"
                return self._become_backup(backup, Why.STALLED, detail, evidence)
            case _:
                return []

    # Changes of state

    def _become_active(self, now: float, why: Why, detail: str, evidence: Evidence | None = None) -> list[Action]:
        before = self.role
        self.state = Active(now + self.settings.interval, self.priority)
        return [Advertise(self.priority), Transition(before, Role.ACTIVE, why, detail, evidence)]

    def _become_backup(
        self, backup: Backup, why: Why, detail: str = "", evidence: Evidence | None = None
    ) -> list[Action]:
        before = self.role
        self.state = backup
        return [Transition(before, Role.BACKUP, why, detail, evidence)]

    # Timers, RFC 9568 §6.1

    def _waiting(
        self, heard: float, interval: float, following: Address | None = None, inferior: Inferior | None = None
    ) -> Backup:
        """A Backup whose Active_Down_Timer was set at ``heard`` (monotonic seconds)."""
        return Backup(heard + self.down_interval(interval), interval, heard, following, inferior=inferior)

    def _timed(self, state: Backup) -> Backup:
        """``state`` with its deadline computed again, from the times of its last advert and our priority now."""
        deadline = state.heard + self.down_interval(state.interval)
        if state.resuming:
            deadline = state.heard + state.interval + self._skew(state.interval, self.priority)
        if state.resigned is not None:
            deadline = min(deadline, state.resigned + self._skew(state.interval, self.priority))
        return replace(state, deadline=deadline)

    def down_interval(self, interval: float) -> float:
        """Active_Down_Interval in seconds, for our priority and this Active_Adver_Interval."""
        return self._patience(interval, self.priority)

    def _patience(self, interval: float, priority: int) -> float:
        """Active_Down_Interval = 3 × Active_Adver_Interval + Skew_Time (RFC 9568 §6.1), in seconds; 3: or as set."""
        return self.settings.down_count * interval + self._skew(interval, priority)

    def _skew(self, interval: float, priority: int) -> float:
        """Skew_Time = ((256 - Priority) × Active_Adver_Interval) / 256 (RFC 9568 §6.1), in seconds."""
        return (256 - priority) * (self.settings.skew_unit or interval) / 256

    def _next_advert(self, state: Active, now: float) -> float:
        """One interval after this advert was due, so that small delays do not add up; if that is past, from now.

        At the beginning of a slot (``SLOTS``): the first of these intervals is shorter by less than one.
        """
        slot = self.settings.interval / SLOTS
        due = floor((state.deadline + self.settings.interval) / slot + _ROUNDING) * slot
        return due if due > now else now + self.settings.interval

    def learned(self, advertisement: Advertisement) -> float:
        """Its interval in seconds, within the limits that are set for others'."""
        return self._bounded(advertisement.centiseconds / 100)

    def _bounded(self, interval: float) -> float:
        return min(max(interval, self.settings.learned_minimum), self.settings.learned_maximum)

    # What an operator should know

    def _lists_ours(self, advertisement: Advertisement) -> bool:
        """Whether the advert lists exactly our addresses, in any order."""
        return set(advertisement.addresses) == set(self.settings.addresses)

    def _discrepancies(self, source: Address, advertisement: Advertisement) -> list[Action]:
        compared = advertisement, self.settings, self.priority
        if compared == self._agreed:  # at once, where these are the same objects
            return []
        notices: list[Action] = []
        theirs, ours = advertisement.centiseconds / 100, self.settings.interval
        if theirs != self.learned(advertisement):
            detail = f"{source} advertises every {theirs:g}s; taken for {self.learned(advertisement):g}s"
            notices.append(Notice(Discrepancy.INTERVAL_CLAMPED, source, detail))
        elif round(ours * 100) != advertisement.centiseconds:
            detail = f"{source} advertises every {theirs:g}s, we every {ours:g}s"
            notices.append(Notice(Discrepancy.INTERVAL_DIFFERS, source, detail))
        if advertisement.addresses != self.settings.addresses and not self._lists_ours(advertisement):
            listed = ", ".join(map(str, advertisement.addresses))
            notices.append(Notice(Discrepancy.ADDRESSES_DIFFER, source, f"{source} lists {listed}"))
        if advertisement.priority == self.priority == OWNER:
            # Two owners are a misconfiguration that should be logged (RFC 9568 §8.3.2).
            notices.append(Notice(Discrepancy.SECOND_OWNER, source, f"{source} advertises priority 255, as we do"))
        if not notices:
            self._agreed = compared
        return notices


def _active(state: Backup) -> Address | None:
    """The Active whose priority 0 shortens the timer: the one we follow, or the one that we are about to preempt."""
    if state.following is None and state.inferior is not None:
        return state.inferior.source
    return state.following
