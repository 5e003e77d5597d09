"""The elections of one node: events in order, and deadlines; pure.

An event goes to the group of the routers that move together (``Team``); most teams have one member. Its effects are
carried out before the next event is handled, which may result from them. At the end of the node's turn, every team that
had an event is settled.

Each team has one alarm. Before a deadline is handled, all that waits is read, packets and ExaBGP's answers: after a
pause of this process, the adverts of a live Active are waiting there, or the answer to a withdraw. Only an Active's own
advert does not wait for that, as long as it is late by less than an interval: no other node can have taken over yet.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
"""Takes the name of a team, an event, its time, and the effects (or the exception of a bug), before these are carried
out."""


TIMER_FIRED = events.TimerFired()
"""The same for all: hundreds of them in a second."""


class Team:
    """The virtual routers that move together (``groups``); most often a single one."""

    def __init__(
        self,
        name: str,
        routers: Sequence[VirtualRouter],
        timers: Timers,
        on_timer: Callable[["Team", float], None],
        record: Record | None,
    ) -> None:
        """``name`` is unique. ``on_timer`` takes the team and a deadline that has come; ``record``: see ``Record``."""
        self.name = name
        self.routers = routers
        self.waits = False
        """whether a deadline that has come waits until due adverts have been sent"""
        self.group = Group(name, [router.instance for router in routers])
        """their instances, which move together"""
        self._alarm = Alarm(timers, self._timer_fired)
        self._on_timer = on_timer
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

    def may_take_over(self, now: float) -> bool:
        """Whether the time of a Backup has come, and its group does not keep it waiting."""
        backups = [one.instance for one in self.routers if one.instance.router.role is Role.BACKUP]
        deadlines = [one.router.deadline for one in backups if not one.withheld]
        return any(deadline is not None and deadline <= now for deadline in deadlines)

    def is_any(self, names: Collection[str]) -> bool:
        """Whether any member is called so."""
        return any(router.name in names for router in self.routers)

    @property
    def first(self) -> str:
        """The member that decides a tie (``groups``)."""
        return next(iter(self.group.members))

    def rename(self, name: str, names: Mapping[str, str]) -> None:
        """Call it ``name`` from now on, and its members as ``names`` says (now → then)."""
        self.name = name
        self.group.rename(name, names)
        for router in self.routers:
            router.rename(names.get(router.name, router.name))
        self._by_name = {router.name: router for router in self.routers}

    def _timer_fired(self, due: float) -> None:
        self._on_timer(self, due)

    def settle(self) -> None:
        """An event and everything that resulted from it have been handled."""
        self._alarm.set(None if self.waits else self.group.deadline)
        for router in self.routers:
            router.drain.look()

    def handle(self, event: events.Event, now: float) -> None:
        """Let the group decide, and carry out the effects."""
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
        hear_answers: Callable[[float], None],
        record: Record | None = None,
    ) -> None:
        """``catch_up(until)`` handles every packet that arrived until then and was not read yet;
        ``hear_answers(until)`` reports what ExaBGP has answered: this node handles that when its turn is over.
        """
        self.teams: list[Team] = []
        self.team_of: dict[str, Team] = {}
        """by the name of the router"""
        self.suspended = False
        """whether teams without an Active handle no deadline: this node is about to end"""
        self._timers = timers
        self._after_adverts = after_adverts
        self._catch_up = catch_up
        self._hear_answers = hear_answers
        self._record = record
        self._queue = Queue(self._deal)
        self._touched: dict[Team, None] = {}
        """teams that had an event since they were settled"""

    def add(self, name: str, routers: Sequence[VirtualRouter]) -> Team:
        """Make a team of these routers."""
        team = Team(name, routers, self._timers, self.timer_fired, self._record)
        self.teams.append(team)
        self.team_of.update(dict.fromkeys((router.name for router in routers), team))
        return team

    def remove(self, team: Team) -> None:
        """Forget the team: all its members are gone."""
        self.teams.remove(team)
        self._touched.pop(team, None)
        for router in team.routers:
            del self.team_of[router.name]

    def rename(self, teams: Mapping[Team, str], names: Mapping[str, str]) -> None:
        """Give these teams other names, and their members as ``names`` says (now → then). No event may be queued."""
        for team, name in teams.items():
            team.rename(name, names)
        self.team_of = {router.name: team for team in self.teams for router in team.routers}

    def tell(self, event: events.OfOne, at: float | None = None) -> None:
        """Handle ``event`` now, or after the one being handled; ``at``: its time if that is not now."""
        self.tell_team(self.team_of[event.name], event, at)

    def tell_team(self, team: Team, event: events.Event, at: float | None = None) -> None:
        """As ``tell``, for any event of the team."""
        self._queue.put((team, event, at))

    def settle(self) -> Collection[Team]:
        """At the end of a turn of the node: the teams that had an event, whose alarms are set again."""
        touched = self._touched
        if touched:
            self._touched = {}
            for team in touched:
                team.settle()
        return touched

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

    def timer_fired(self, team: Team, due: float) -> None:
        """The deadline of ``team`` has come: handle it once all due adverts have been sent.

        Many routers may have to take over at once, and those that have done so must not miss their adverts. Where all
        members are Active, an advert is due: it is sent at once, without reading packets first, which a flood could
        delay. Only if it is late by an interval or more are packets read first.
        """
        active = [router.instance.router.role is Role.ACTIVE for router in team.routers]
        if not all(active):
            if self.suspended and not any(active):
                return
            team.waits = True
            self._hear_answers(self._latest(due, (one.instance.presence.deadline for one in team.routers)))
            self._after_adverts(partial(self._decide, team, due))
        elif self._timers.time() - due >= min([router.configuration.advert_interval for router in team.routers]):
            self._decide(team, due)
        else:
            self.tell_team(team, TIMER_FIRED)

    def step_down_if_stalled(self) -> None:
        """Handle the deadlines of all Actives now: one that stood still for too long steps down before its next advert.

        Packets that wait are read first.
        """
        for team in self.teams:
            if team.is_active:
                self._decide(team, self._timers.time())

    def _decide(self, team: Team, due: float) -> None:
        """Read every packet that arrived until the latest deadline that has come, then handle the deadlines.

        As of the moment when reading began: it may take so long that the deadlines which it moves have come as well.
        """
        team.waits = False
        now = self._timers.time()
        self._catch_up(self._latest(due, (one.instance.router.deadline for one in team.routers)))
        if team.may_take_over(now):
            for router in team.routers:
                router.ways.before_takeover()
        self.tell_team(team, TIMER_FIRED, now)

    def _latest(self, due: float, deadlines: Iterable[float | None]) -> float:
        """The latest deadline that has come: ``due`` is a team's first, and an Active_Down_Timer, or the time for which
        addresses stay bound, may have ended long after it.
        """
        now = self._timers.time()
        return max([due, *(deadline for deadline in deadlines if deadline is not None and deadline <= now)])
