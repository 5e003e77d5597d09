"""A node: everything that one machine decides.

``Node`` is made from a configuration and its ports (``ports``). It runs no loop, opens nothing, and reads no clock but
the port. Production and simulation use the same ``Node`` with different ports. A port hands an event to ``handle``, and
the effects go out through the ports. The result of an effect is an event of its own.

Two principles:

- Desired state, not changes: the ports get the sets of addresses and routes that all routers want. So a start, a repair
  and an ordinary change take the same path.
- At the start, the state of every configured address at ExaBGP and on the interface is settled before the first
  election. What the predecessor served until now, under the same ExaBGP process, stays in service as ``leaving`` until
  the election is decided. Everything else that it left is withdrawn, and then unbound.

How the node ends depends on what ExaBGP is about to do. After its line ``shutdown``, or the end of its pipe, ExaBGP
ends, and its sessions close: all routers hand over as far as the time allows. After a SIGTERM without that line, only
the agent is replaced (ExaBGP's SIGUSR2, or a ``kill``), and sessions and routes stay: everything is left in place, and
the successor goes on with it. Until there is one, and if there is none, a ``Caretaker`` does.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import partial, wraps
from typing import ClassVar, Concatenate, ParamSpec, TypeAlias, assert_never

from exavrrp import counters, events, ports, speaker
from exavrrp.announcement import Announcer
from exavrrp.beacon.station import Station
from exavrrp.bequest import Bequest
from exavrrp.binding import Binding
from exavrrp.chronicle import BEGAN, ENDING, REPLACED, SUCCEEDED, Chronicle, Facts
from exavrrp.chronicled import Chronicled
from exavrrp.commands import Commands
from exavrrp.config import Configuration
from exavrrp.elections import Elections, Team
from exavrrp.fitness import Fitness
from exavrrp.health import Verdict
from exavrrp.instance import Hold
from exavrrp.leftovers import Leftovers
from exavrrp.neighbors import ordered
from exavrrp.notes import Notes
from exavrrp.ports import Severity
from exavrrp.presence import Handover
from exavrrp.reception import Reception
from exavrrp.roster import Ports, Roster
from exavrrp.routes import Network
from exavrrp.sessions import check_of
from exavrrp.turns import Turns
from exavrrp.view import Moment, View
from exavrrp.viewer import Viewer
from exavrrp.virtual_router import Shared, VirtualRouter
from exavrrp.vrrp.packet import Address
from exavrrp.work import Work

STOP_LIMIT = 1.5
"""Seconds for an orderly stop. ExaBGP sends SIGKILL 2 s after its SIGTERM."""

IN_DOUBT = "this agent ends, and ExaBGP has not answered whether it announces all addresses"
"""Why an Active leaves although only the agent is to be replaced."""

DELAY = "the end of startup_delay"
"""What a router waits for that could take part otherwise."""

TELL_TALE = 0.15
"""Seconds after a SIGTERM to wait for ExaBGP's line ``shutdown`` or the end of its pipe, which mean that it ends, too.
It writes the line first; but systemd may send SIGTERM to every process of a unit at once (KillMode=control-group)."""

Event = ports.Event | speaker.Event

_Arguments = ParamSpec("_Arguments")

ENTRANCES: dict[str, Callable[..., None]] = {}
"""The methods through which all input comes into a node, by name."""


_Entrance: TypeAlias = Callable[Concatenate["Node", _Arguments], None]


def _entrance(method: _Entrance[_Arguments]) -> _Entrance[_Arguments]:
    """Marks an entrance: a recorder wraps each call of it."""

    @wraps(method)
    def enter(self: "Node", *args: _Arguments.args, **more: _Arguments.kwargs) -> None:
        if self._ports.entrance is None:
            method(self, *args, **more)
        else:
            self._ports.entrance(method.__name__, (*args, *more.values()), partial(method, self, *args, **more))

    return ENTRANCES.setdefault(method.__name__, enter)


class Node:
    """All virtual routers of this machine, and what they share.

    It handles events of ExaBGP and signals before ``start``, which begins the elections. ``reconfigure`` applies
    another configuration. ``why`` is set when the node begins to end, and ``over`` when nothing is left to be done.
    """

    began: ClassVar[str] = BEGAN
    """the entry with which it begins in the journal"""

    def __init__(self, configuration: Configuration, given: Ports) -> None:
        self.chronicle = Chronicle(self._moment, given.clock.time, given.enter)
        self.log = Chronicled(given.log, self.chronicle)
        self._ports = given
        self.why: str | None = None
        self.over = False
        self.started = False
        self.bequest: Bequest | None = None
        """once it is ``over``, if what was served is left in place"""
        self._delayed_until = 0.0
        """the end of ``startup_delay``, if any router waits for it (monotonic seconds)"""
        self._offset: float | None = None
        """seconds from the monotonic clock to the one on the wall; None: not asked for in this turn"""
        self._bug: Exception | None = None
        """what a packet of this turn has met"""
        self.turns = Turns(given.clock, self._end_turn)
        self.work = Work(given.clock, self.turns.timers, self.turns.put)
        self.elections = Elections(
            self.turns.timers, self.work.soon, self.catch_up, given.speaker.catch_up, given.record
        )
        self.fitness = Fitness(self.log, self._judge, self._retry_announcements, self._moment)
        self._announcer = Announcer(given.speaker)
        self._binding = Binding(given.addresses, given.clock, self.work, self._announcer.flush)
        self._notes = Notes(given.memory, given.clock, self.work)
        self._leftovers = Leftovers(
            given.forgotten,
            given.memory,
            given.addresses,
            given.speaker,
            timers=self.turns.timers,
            binding=self._binding,
            notes=self._notes,
            log=self.log,
        )
        self.reception = Reception(
            given.marks, self.log, given.authenticator, time=given.clock.time, realtime=given.realtime
        )
        self._roster = Roster(
            configuration,
            given,
            self._shared(),
            elections=self.elections,
            fitness=self.fitness,
            reception=self.reception,
            notes=self._notes,
            leftovers=self._leftovers,
            join=self._join,
            left=self._finish,
        )
        self.routers = self._roster.routers
        self.beacons = Station(
            given.beacons, self.routers, given.authenticator, time=given.clock.time, realtime=given.realtime
        )
        self.viewer = self._make_viewer()
        self.commands = Commands(
            self.routers,
            self.elections,
            describe=self.viewer.describe,
            handle=self.handle,
            configuration=lambda: self.configuration,
            reconfigure=self.reconfigure,
            events=self.chronicle.after,
            senders=self.reception.senders,
            obstacles=self.beacons.obstacles,
            look_at_note=given.memory.look,
        )

    def _make_viewer(self) -> Viewer:
        given = self._ports
        return Viewer(
            self.routers,
            self.fitness,
            self._binding,
            self.reception,
            self.turns,
            addresses=given.addresses,
            checks=given.checks,
            transports=given.transports,
            notifier=given.notifier,
            speaker=given.speaker,
            beacons=self.beacons,
            configuration=lambda: self.configuration,
            moment=self._moment,
        )

    def _shared(self) -> Shared:
        given = self._ports
        return Shared(
            timers=self.turns.timers,
            log=self.log,
            chronicle=self.chronicle,
            facts=self._facts,
            tell=self.elections.tell,
            realtime=self.reception.realtime,
            offset=self._clock_offset,
            moment=self._moment,
            notifier=given.notifier,
            marks=given.marks,
            authenticator=given.authenticator,
            binding=self._binding,
            announcer=self._announcer,
            is_connected=self._is_connected,
            after_adverts=self.work.soon,
        )

    # Configuration

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force."""
        return self._roster.configuration

    @_entrance
    def reconfigure(self, new: Configuration) -> None:
        """Apply the configuration ``new``; what it does not change is not touched.

        Raises OSError or ValueError if a port cannot provide what it needs, or the node is ending; nothing has changed
        then.
        """
        if self.why is not None:
            raise ValueError(f"this node ends: {self.why}")
        self.turns.put(partial(self._take, new))

    def _take(self, new: Configuration) -> None:
        if self.why is None:  # it may have come to its end since it was asked
            self._roster.take(new)
            self._set_pace()
            self.beacons.take(self.configuration)
            self._moved()  # the interfaces may be others

    def _set_pace(self) -> None:
        self.work.advert_interval = min(router.advert_interval for router in self.configuration.routers)

    def _join(self, team: Team, drained: Collection[str]) -> None:
        """Start a new team; ``drained`` members stay out of the election."""
        if not self.started:
            return
        self._keep_out(team)
        for router in team.routers:
            router.announcement.change()  # ExaBGP's answer tells that it carries out our commands
            router.judge(self.fitness.health)
            if router.name in drained:
                router.drain.begin()
        self._begin(team)
        self._wait_for_sessions(team.routers)

    def view(self) -> View:
        """The present state of the node, for people and programs."""
        return self.viewer.view()

    @_entrance
    def count(self) -> None:
        """Log what was counted: a recording holds it, and its replay comes to the same."""
        for event, fields in counters.events(self.view()):
            self._ports.log.info(event, **fields)

    @property
    def abandoned(self) -> bool:
        """Whether the time for a stop was too short."""
        return self._roster.abandoned

    @property
    def gone(self) -> bool:
        """Whether ExaBGP has ended, or is ending."""
        return self._announcer.gone

    # Events in

    @_entrance
    def handle(self, event: Event) -> None:
        """Handle ``event`` now, or after the one that is being handled."""
        self.turns.put(partial(self._dispatch, event))

    def _dispatch(self, event: Event) -> None:
        match event:
            case ports.Arrived(source, arrivals):
                self._receive(source, arrivals)
            case ports.Discarded(reason, sender):
                self.reception.discarded(reason, sender)
            case ports.PathsChanged():
                self._moved()
                for router in self.routers.values() if self.started else ():
                    self.work.soon(router.adverts.resign_again)
            case ports.AddressesChanged():
                self._binding.look()
            case ports.AddressRepaired(address):
                detail = f"somebody removed or changed it on {self._binding.place(address)}; put back"
                self.log.warning("address-repaired", address=str(address), detail=detail)
            case ports.AddressLost(address, error):
                self._binding.lost(address, error)
            case ports.Checked():
                self.fitness.check(event)
            case ports.Distrusted(check, why, seconds):
                detail = f"{why}; the last result stands for {seconds:.0f} s more, then the check fails"
                key = ("check-not-run", check)
                self.log.limited(key, Severity.WARNING, "check-not-run", check=check, detail=detail)
            case ports.DrainAsked(name, undo):
                self._drain(name, undo=undo)
            case ports.Terminated():
                self._terminated()
            case ports.Succession(starts):
                self._see_successor(starts=starts)
            case ports.End(why):
                self._end(why)
            case _:
                self._hear(event)

    def _hear(self, event: speaker.Event) -> None:
        """Handle an event of ExaBGP."""
        match event:
            case speaker.Greeted(version, known):
                self.viewer.version = version
                (self.log.info if known else self.log.warning)("exabgp-connected", version=version, known=known)
            case speaker.Neighbor():
                self.fitness.hear(event)
                self._moved()  # whoever had no way to a peer may take part again
            case speaker.Listed() | speaker.Configured() | speaker.Reconfigured():
                self.fitness.hear(event)
            case speaker.Answered(network):
                self._answered(network)
            case speaker.Kept(network, neighbors):
                self._kept(network, neighbors)
            case speaker.Doubted(network):
                if (router := self._roster.by_network.get(network)) is not None:
                    router.announcement.doubted(network)
            case speaker.Refused(network, line, times):
                key = ("refused", network, times > 1)
                self.log.limited(key, Severity.ERROR, "command-refused", command=line, detail="see ExaBGP's log")
                self._refused(network, times, silent=False)
            case speaker.Silent(network, line, times):
                self.log.limited(("silent", network), Severity.WARNING, "command-unanswered", command=line)
                self._refused(network, times, silent=True)
            case speaker.Stalled(seconds):
                detail = f"nothing heard for {seconds:.1f} s: nothing can be announced, and no session counts"
                self.log.error("exabgp-stalled", detail=detail)
                self.fitness.stall(stalled=True)
            case speaker.Resumed():
                self.log.info("exabgp-resumed")
                self.fitness.stall(stalled=False)
            case speaker.Anomaly(detail):
                same = ("anomaly", detail.lstrip("0123456789"))  # what differs in a count alone is the same
                self.log.limited(same, Severity.WARNING, "exabgp-anomaly", detail=detail)
            case speaker.Stopping():
                self._announcer.gone = True
                self._end("ExaBGP stops")
            case speaker.Disconnected(why):
                self.log.error("exabgp-disconnected", detail=why)
                self._announcer.gone = True
                self._end("ExaBGP is gone")
            case _:
                assert_never(event)

    # What the routers share

    def _end_turn(self) -> None:
        """Everything that has resulted from this turn's events is done, but for what follows from that."""
        while teams := self.elections.settle():
            for team in teams:
                for router in team.routers:
                    self._followed_up(router)
            self._ports.changed()
            self._roster.look(teams)
        self._binding.tell_neighbors()
        self._offset = None
        if self._bug is not None:
            bug, self._bug = self._bug, None
            raise bug

    def _followed_up(self, router: VirtualRouter) -> None:
        self._binding.herald(router.on_lo)
        self._notes.remember(router)

    def _facts(self, name: str) -> Facts:
        """How the rest of the node is, when a router changes its state."""
        router, sessions = self.routers[name], self.fitness.sessions
        terms = [term for term in self.fitness.health.judge(name).terms if term.check != check_of(name)]
        skews = [one.skew for one in self.reception.senders(router).values() if one.signed]
        return Facts(
            failing=tuple(term.check for term in terms if term.verdict is Verdict.FAILING),
            checks=len(terms),
            up=None if sessions.stalled else len(sessions.up),
            sessions=max(sessions.number, len(sessions.established)),
            drained=router.drain.wanted,
            skew=max(skews, key=abs, default=None),
            late=self.turns.punctuality.recent,
        )

    def _moment(self) -> Moment:
        return Moment(datetime.fromtimestamp(self._ports.realtime(), UTC), self._ports.clock.time())

    def _clock_offset(self) -> float:
        if self._offset is None:
            self._offset = self.reception.offset()
        return self._offset

    def catch_up(self, until: float) -> None:
        """Handle every packet that arrived until ``until`` (monotonic seconds) and was not read yet."""
        for source, transport in self._ports.transports.items():
            self._receive(source, transport.drain(until))

    def _receive(self, source: Address, arrivals: Iterable[ports.Arrival]) -> None:
        """A bug that one packet meets costs that packet alone: the first one is raised at the end of the turn."""
        for arrival in arrivals:
            try:
                self.reception.arrived(source, arrival)
            except Exception as bug:
                self._bug = self._bug or bug

    def _is_connected(self) -> bool:
        """Whether a BGP neighbor is reached. Any link has a route to a link-local one: the session knows its link."""
        sessions = self.fitness.sessions.established - self.fitness.sessions.cut_off
        peers = [session.peer for session in sorted(sessions, key=ordered)]
        return any((one.version == 6 and one.is_link_local) or self._ports.paths.reaches(one) for one in peers)

    def _moved(self) -> None:
        if self.started:
            self._look_at_carriers()
            for router in self.routers.values():
                self.work.soon(router.ways.look)

    def _look_at_carriers(self) -> None:
        """Sessions that no path leads to are down; one that has a path again may have been closed meanwhile."""
        sessions = sorted(self.fitness.sessions.established, key=ordered)
        without = [one for one in sessions if self._ports.paths.is_cut_off(one.peer, one.local)]
        untrusted = self.fitness.look_at_paths(without)
        if untrusted and not self._announcer.gone:
            self._ports.speaker.repeat()
        for until in untrusted:
            self.turns.timers.call_at(until, self.fitness.trust)

    def _judge(self, routers: Collection[str]) -> None:
        if self.started:  # before that, nobody takes part; ``start`` judges all
            wanted = frozenset(routers)
            for name in [name for name in self.routers if name in wanted]:
                self.work.soon(partial(self.routers[name].judge, self.fitness.health))

    # Routes

    def _announce_all(self) -> None:
        """Have ExaBGP announce what is wanted now, and nothing else of ours."""
        self._announcer.set(router.announcement for router in self.routers.values())

    def _answered(self, network: Network) -> None:
        if (router := self._roster.by_network.get(network)) is not None:
            router.announcement.answered(network)
        self._leftovers.look()

    def _kept(self, network: Network, neighbors: tuple[Address, ...]) -> None:
        if (router := self._roster.by_network.get(network)) is not None:
            router.announcement.is_kept(network, neighbors)
        else:
            self._leftovers.is_kept(network, neighbors)

    def _refused(self, network: Network, times: int, *, silent: bool) -> None:
        if (router := self._roster.by_network.get(network)) is not None:
            router.announcement.refused(network, times, silent=silent)
            self._notes.remember(router)  # what was refused is not announced, and perhaps nobody else is told of that

    def _retry_announcements(self) -> None:
        for router in self.routers.values():
            router.announcement.retry()

    # Start

    @_entrance
    def start(self, drained: Collection[str] = (), forgotten: ports.Forgotten | None = None) -> None:
        """Clear what a predecessor left, then begin the elections.

        ``drained`` routers stay out, also those that only a reload adds. ``forgotten``: that of the ports as it is by
        now, if the predecessor has lived until then. The ports are open, and have no sets yet. Raises OSError if one
        cannot have what the configuration needs.
        """
        if forgotten is not None:
            self._leftovers.learn(forgotten)
        self.turns.put(partial(self._start, drained))

    def _start(self, drained: Collection[str]) -> None:
        self._roster.start()
        self._set_pace()
        self.beacons.take(self.configuration)
        for name, remarks in self._binding.elsewhere().items():
            for remark in remarks:
                self.log.warning("address-elsewhere", router=name, detail=remark)
        self._leftovers.take(self.routers.values())
        self._delay()
        self._announce_all()
        for router in self.routers.values():
            router.judge(self.fitness.health)
        error = self._binding.set(router.on_lo for router in self.routers.values())
        for router in self.routers.values():
            if (failed := ports.concerning(error, router.on_lo.addresses)) is not None:
                router.on_lo.failed(failed)
        for name in sorted(drained):
            self._drain(name, undo=False)
        self.started = True
        self._enter_beginning()
        for team in self.elections.teams:
            self._begin(team)
        self._wait_for_sessions(self.routers.values())
        for until in self.fitness.sessions.doubtful.values():  # as a predecessor has left them
            self.turns.timers.call_at(until, self.fitness.trust)
        self._look_at_carriers()

    def _delay(self) -> None:
        """Keep routers out of the election for ``startup_delay``: the network may not pass their packets yet.

        It passes those of a router that this ExaBGP announces still, and whoever waits sends no adverts.
        """
        until = self.turns.timers.time() + self.configuration.agent.startup_delay
        for team in self.elections.teams:
            if all(router.instance.presence.level is None for router in team.routers):
                self._delayed_until = until
                self._keep_out(team)

    def _keep_out(self, team: Team) -> None:
        """Until the end of ``startup_delay``, if that is still to come."""
        if self.turns.timers.time() < self._delayed_until:
            for router in team.routers:
                router.wait_for(DELAY)
                self.turns.timers.call_at(self._delayed_until, router.stop_waiting, DELAY)

    def _enter_beginning(self) -> None:
        """With whether ExaBGP has run on since the process before, where that is known."""
        memory = self._ports.memory
        ran_on = True if memory.recall() else False if memory.is_foreign else None
        self.chronicle.add(self.began, "info", routers=list(self.routers), exabgp_ran_on=ran_on)

    def _drain(self, name: str, *, undo: bool) -> None:
        self._roster.hold_out(name, undo=undo)
        if name in self.routers:
            drain = self.routers[name].drain
            (drain.undo if undo else drain.begin)()

    def _begin(self, team: Team) -> None:
        self.elections.start(team)

    def _wait_for_sessions(self, routers: Iterable[VirtualRouter]) -> None:
        for router in routers:
            self.turns.timers.call_later(router.configuration.startup_hold, self._give_up_waiting, router)

    def _give_up_waiting(self, router: VirtualRouter) -> None:
        self.fitness.give_up_waiting(router.name)  # whatever it is called by then

    # Stop

    def _terminated(self) -> None:
        """SIGTERM: ExaBGP may not read commands any more, so that a takeover could not be announced."""
        self.elections.suspended = self.why is None
        self.turns.timers.call_later(TELL_TALE, self._end, REPLACED)

    def _see_successor(self, *, starts: bool) -> None:
        """Only a caretaker waits for one."""

    def _end(self, why: str) -> None:
        if self.why is not None:
            return
        self.why = why
        if why in {REPLACED, SUCCEEDED}:
            self.chronicle.add(ENDING, "info", reason=why)
        self.elections.suspended = False
        self.fitness.ending = self._leftovers.ending = self._roster.ending = True
        if not self.started:
            self._finish()
        elif why in {REPLACED, SUCCEEDED}:
            self.elections.step_down_if_stalled()
            self.bequest = self._bequeath() if why == REPLACED else None
            for team in self.elections.teams:
                self._hand_on(team)
            self._finish()
        else:
            self._stop(why)

    def _hand_on(self, team: Team) -> None:
        """Another process goes on with it. If that is to stay out, other nodes have to know.

        Nobody is told in break before make: others begin when they hear that, and the addresses stay bound.
        """
        orders = {router.configuration.handover for router in team.routers}
        if self.bequest is None or self.bequest.takes_part(router.name for router in team.routers):
            for router in team.routers:
                router.adverts.remind()
        elif Handover.BREAK_BEFORE_MAKE not in orders and team.is_active:
            self.elections.tell(events.Held(team.first, Hold.WAITING, IN_DOUBT))

    def _bequeath(self) -> Bequest:
        """What a caretaker has to know."""
        return Bequest(
            levels={name: router.instance.presence.level for name, router in self.routers.items()},
            doubtful=frozenset(name for name, one in self.routers.items() if not one.announcement.is_confirmed),
            accepted=frozenset(name for name, one in self.routers.items() if one.announcement.is_announced),
            announced=frozenset(name for name, one in self.routers.items() if one.announcement.may_be_announced),
            without_bgp=frozenset(name for name, one in self.routers.items() if one.configuration.min_sessions == 0),
            health=self.fitness.health,
            sessions=self.fitness.sessions,
            version=self.viewer.version,
        )

    def _stop(self, why: str) -> None:
        """Every router leaves in its order; what is not finished after ``STOP_LIMIT`` is cleared."""
        self.log.info("agent-stopping", reason=why)
        self._roster.leave(why, STOP_LIMIT)

    def _finish(self) -> None:
        self.over = True
        if self.started and self.why not in {REPLACED, SUCCEEDED}:
            self._leftovers.forget()
            self._binding.now()
        self._ports.changed()

    @_entrance
    def clear(self) -> None:
        """After a bug what the routers believe may not be what is: once more what is wanted, which is nothing."""
        self._announce_all()
        self._announcer.flush()
        self._binding.set(router.on_lo for router in self.routers.values())

    @_entrance
    def close(self) -> None:
        """No alarm rings any more: wires are closed, and so are the numbers that adverts would be signed with."""
        self.turns.close()
        self.work.drop()

    @_entrance
    def write_note(self) -> None:
        """What a successor has to know, if that has changed since it was written last."""
        self._notes.write()
