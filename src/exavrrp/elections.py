"""The elections of one node: who is told what, one after the other, and when a deadline is looked at; pure.

An event goes through the group of the instances that move together, which is one for most (``Team``). Its effects are
carried out before the next event is dealt with, which may have come of them. When nothing is left to be dealt with,
whoever was told anything is followed up.

Each team has one alarm. Before a deadline is looked at, every packet that waits in the sockets is handed over: after a
pause, proof of life is waiting there. An Active's advert alone does not wait for that, as long as it is late by less
than an interval: nobody can have taken over yet.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from exavrrp import events
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.groups import Effects, Group
from exavrrp.instance import StopBudget
from exavrrp.queues import Queue
from exavrrp.timers import Alarm, Timers
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.router import Role, Why

Record = Callable[[str, events.Event, float, Effects | Exception], None]
"""Is told what a team was told, when, and what it answered; what follows from that comes after it."""


class Team:
    """The virtual routers that move together, most often one alone."""

    def __init__(
        self,
        name: str,
        routers: Sequence[VirtualRouter],
        timers: Timers,
        ring: Callable[["Team", float], None],
        record: Record | None,
    ) -> None:
        """``name`` is no other team's; ``ring`` takes what is due and when, ``record`` every event."""
        self.name = name
        self.routers = routers
        self.waits = False
        """whether what is due waits for the adverts of others"""
        self.group = Group(name, [router.instance for router in routers])
        """their instances, which move together"""
        self._alarm = Alarm(timers, self._rang)
        self._ring = ring
        self._record = record or (lambda *_: None)
        self._by_name = {router.name: router for router in routers}

    @property
    def configurations(self) -> list[RouterConfiguration]:
        """Of the members."""
        return [router.configuration for router in self.routers]

    @property
    def finished(self) -> bool:
        """Whether all members are out of the election and unbound."""
        return all(router.instance.finished for router in self.routers)

    @property
    def is_active(self) -> bool:
        """Whether any member is Active."""
        return any(router.instance.router.role is Role.ACTIVE for router in self.routers)

    @property
    def first(self) -> str:
        """The member that decides a tie (``groups``)."""
        return next(iter(self.group.members))

    def _rang(self, due: float) -> None:
        self._ring(self, due)

    def settle(self) -> None:
        """An event has been dealt with, and all that came of it."""
        self._alarm.set(None if self.waits else self.group.deadline)
        for router in self.routers:
            router.drain.look()

    def handle(self, event: events.Event, now: float) -> None:
        """Let the group decide, and carry out what follows."""
        try:
            effects = self.group.handle(event, now)
        except Exception as error:
            self._record(self.name, event, now, error)
            raise
        self._record(self.name, event, now, effects)
        for name, effect in effects:
            self._by_name[name].carry_out(effect)


class Elections:
    """All teams of a node."""

    def __init__(
        self,
        timers: Timers,
        after_adverts: Callable[[Callable[[], None]], None],
        catch_up: Callable[[float], None],
        follow_up: Callable[[Collection[Team]], None],
        record: Record | None = None,
    ) -> None:
        """``catch_up(until)`` deals with every packet that had come by then and is not read yet.

        ``follow_up`` is called when everything that has come of an event is done, with those that were told of any.
        """
        self.teams: list[Team] = []
        self.team_of: dict[str, Team] = {}
        """by the name of the router"""
        self.suspended = False
        """whether teams without an Active decide nothing by time: the end of this node follows at once, or begins
        another order"""
        self._timers = timers
        self._after_adverts = after_adverts
        self._catch_up = catch_up
        self._follow_up = follow_up
        self._record = record
        self._queue = Queue(self._deal)
        self._touched: dict[Team, None] = {}
        """who has been told something that has not been followed up yet"""

    def add(self, name: str, routers: Sequence[VirtualRouter]) -> Team:
        """These move together, as a team of this name."""
        team = Team(name, routers, self._timers, self.ring, self._record)
        self.teams.append(team)
        self.team_of.update(dict.fromkeys((router.name for router in routers), team))
        return team

    def remove(self, team: Team) -> None:
        """All its members are gone."""
        self.teams.remove(team)
        for router in team.routers:
            del self.team_of[router.name]

    def tell(self, event: events.OfOne, at: float | None = None) -> None:
        """Deal with ``event`` now, or after what is being dealt with; as of ``at``, if that is given."""
        self.tell_team(self.team_of[event.name], event, at)

    def tell_team(self, team: Team, event: events.Event, at: float | None = None) -> None:
        """The same, for an event of all members too."""
        self._queue.put((team, event, at))
        if not self._queue.busy:
            touched, self._touched = self._touched, {}
            for one in touched:
                one.settle()
            self._follow_up(touched)

    def _deal(self, told: tuple[Team, events.Event, float | None]) -> None:
        team, event, at = told
        self._touched[team] = None
        team.handle(event, self._timers.time() if at is None else at)

    def start(self, team: Team) -> None:
        """Take part."""
        for router in team.routers:
            router.ways.look()
        self.tell_team(team, events.Start())

    def stop(self, team: Team, detail: str, limit: float) -> None:
        """Leave, in the configured order, within ``limit`` seconds."""
        roles = {router: router.instance.router.role for router in team.routers}
        self.tell_team(team, events.Stop(Why.SHUTDOWN, detail, StopBudget(limit)))
        for router, role in roles.items():
            router.notify_stop(role, detail)

    # Time

    def ring(self, team: Team, due: float) -> None:
        """Adverts first: many routers may have to take over at once, and those that have must not fall silent for it.

        An advert of ours that is in time does not wait for what others have sent either: a flood would delay it. Where
        all members are Active, what is due is an advert, and nobody's silence.
        """
        roles = {router.instance.router.role for router in team.routers}
        interval = min(router.configuration.advert_interval for router in team.routers)
        if roles != {Role.ACTIVE}:
            if Role.ACTIVE not in roles and self.suspended:
                return
            team.waits = True
            self._after_adverts(partial(self._decide, team, due))
        elif self._timers.time() - due >= interval:
            self._decide(team, due)
        else:
            self.tell_team(team, events.TimerFired())

    def keep_time(self) -> None:
        """An Active that has stood still for too long steps down before it says anything else."""
        for team in self.teams:
            if team.is_active:
                self._decide(team, self._timers.time())

    def _decide(self, team: Team, due: float) -> None:
        """What was ``due`` is decided by all that has come until now.

        Not only until then: the alarm may be one of presence, and a Backup's patience may have ended long after it.
        """
        team.waits = False
        now = self._timers.time()
        elections = (router.instance.router.deadline for router in team.routers)
        self._catch_up(max([due, *(deadline for deadline in elections if deadline is not None and deadline <= now)]))
        self.tell_team(team, events.TimerFired())
