"""Configured virtual routers at work: the shell around their pure ``Instance`` and ``Group``.

``VirtualRouter`` turns what happens outside into events, carries out their effects, reports what became of them, and
arms one alarm for the instance's deadline. ``Team`` has the routers that move together, which is one for most: an event
goes through the group of their instances, and the next one waits until its effects have been carried out. What all
routers share (addresses on lo, the conversation with ExaBGP, sockets) they ask of their ``Host``, which is the agent.

Nothing here waits: a write is non-blocking and bounded, an answer is an event of its own. Before a deadline is looked
at, every packet that waits in the sockets is handed over: after a pause, proof of life is waiting there. An Active's
advert alone does not wait for that, as long as it is late by less than an interval: nobody can have taken over yet.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVarTuple, assert_never

from exavrrp import events
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.control import Outcome, RouterStatus
from exavrrp.groups import Group, Happened, Queue
from exavrrp.health import Health, Verdict
from exavrrp.instance import Deserted, Effect, Fault, Hold, Hurry, Instance
from exavrrp.presence import Step
from exavrrp.recording import Election, Member
from exavrrp.recording import Team as TeamDocument
from exavrrp.routes import Level, Route, Standing
from exavrrp.sessions import check_of
from exavrrp.system import journal
from exavrrp.system.journal import Journal
from exavrrp.system.notify import Notifier, State
from exavrrp.system.paths import Link, Paths
from exavrrp.system.wire import Arrival, Sent, Wire
from exavrrp.vrrp.auth import Signer
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement, Ipv4Checksum, encode
from exavrrp.vrrp.router import Advertise, Notice, Role, Transition, Why
from exavrrp.vrrp.tenures import Tenures

FAREWELLS = (0.003, 0.006)
"""Seconds after the first priority 0 at which it is repeated: nobody acknowledges it."""

MUTE_ADVERTS = 3
"""Adverts in a row of which no copy could be sent before that is a fault: as patient as a Backup."""

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before what failed is tried again; the last one for ever."""


_Arguments = TypeVarTuple("_Arguments")


class Timer(Protocol):
    """A callback to come."""

    def cancel(self) -> None:
        """It comes no more; nothing if it has come."""


class Clock(Protocol):
    """Monotonic seconds, and callbacks at them. An event loop is one, and so is the heap of a simulation."""

    def time(self) -> float:
        """Now."""

    def call_at(self, when: float, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Timer:
        """Call back at ``when``."""

    def call_later(self, delay: float, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Timer:
        """Call back in ``delay`` seconds."""

    def call_soon(self, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Timer:
        """Call back after what is being done now."""


class Host(Protocol):
    """What the virtual routers of a node share."""

    clock: Clock
    journal: Journal
    ipv4_checksum: Ipv4Checksum
    notifier: Notifier

    def realtime(self) -> float:
        """Seconds since the epoch, by the clock on the wall, which may be set."""

    def catch_up(self, until: float) -> None:
        """Hand over every packet that had come by ``until`` and waits in the sockets."""

    def bind_wanted(self, asking: Collection[Address]) -> None:
        """Make the addresses on lo equal what is wanted. Raises OSError when that failed for one of ``asking``."""

    def announce_wanted(self) -> None:
        """Have ExaBGP announce what is wanted."""

    def flush(self) -> None:
        """Have what ExaBGP is to be told said now, and not at the end of this turn of the loop."""

    def is_confirmed(self, router: "VirtualRouter") -> bool:
        """Whether ExaBGP has carried out everything that ``router`` wants now."""

    def progressed(self) -> None:
        """A router has carried out something."""


Record = Callable[[str, events.Event, float, Happened | Exception], None]
"""Takes down what a team was told, when, and what it answered; never waits."""


class Team:
    """The virtual routers that move together, most often one alone: one event after the other goes through them."""

    def __init__(self, name: str, routers: "Sequence[VirtualRouter]", host: Host, record: Record | None = None) -> None:
        """``name`` is no other team's; ``record``: to be told of every event."""
        self.name = name
        self.routers = routers
        self._group = Group(name, [router.instance for router in routers])
        self._queue = Queue(
            self._group.handle if record is None else partial(self._witnessed, record),
            host.clock.time,
            self._carry_out,
        )
        self._by_name = {router.name: router for router in routers}
        self._host = host
        for router in routers:
            router.team = self

    def do(self, event: events.Event, at: float | None = None) -> None:
        """Deal with ``event`` now, or after the one that is being dealt with; as of ``at``, if that is given."""
        self._queue.do(event, at)
        if not self._queue.busy:
            for router in self.routers:
                router.settle()
            self._host.progressed()

    def start(self) -> None:
        """Take part in the elections."""
        for router in self.routers:
            router.look_at_paths()
        self.do(events.Start())

    def stop(self, detail: str, limit: float) -> None:
        """Leave them, in the configured order, within ``limit`` seconds."""
        roles = {router: router.instance.router.role for router in self.routers}
        self.do(events.Stop(Why.SHUTDOWN, detail, Hurry(limit)))
        for router, role in roles.items():
            router.silent = True
            self._host.notifier.tell(router.name, State.STOP, router.instance.router.priority, role, detail)

    def abandon(self) -> None:
        """The time for a stop is over."""
        self.do(events.Abandon())

    def document(self) -> TeamDocument:
        """What a recording has to know to make the group anew."""
        return TeamDocument(name=self.name, members=tuple(router.document() for router in self.routers))

    def _witnessed(self, record: Record, event: events.Event, now: float) -> Happened:
        try:
            happened = self._group.handle(event, now)
        except Exception as error:
            record(self.name, event, now, error)
            raise
        record(self.name, event, now, happened)
        return happened

    def _carry_out(self, name: str, effect: Effect) -> None:
        self._by_name[name].carry_out(effect)


class VirtualRouter:
    """One configured virtual router at work. Before anything is told to it, it is given its ``team``."""

    def __init__(
        self, host: Host, configuration: Configuration, wire: Wire, paths: Paths, signer: Signer | None = None
    ) -> None:
        """``signer`` signs its adverts; without one they go out unsigned."""
        self.configuration = configuration
        self.name = configuration.name
        self.instance = Instance(
            configuration.name, configuration.election(), configuration.giving_up(), configuration.stale_for
        )
        self.ladder = configuration.ladder
        self.adverts: Counter[str] = Counter()
        self._host = host
        self._journal = host.journal
        self._clock = host.clock
        self._wire = wire
        self._paths = paths
        self._signer = signer
        self._alarm: Timer | None = None
        self._retries: dict[Fault, Timer] = {}
        self._farewells: list[Timer] = []
        self._tries: Counter[Fault] = Counter()
        self._mute = 0
        self._payloads: dict[tuple[int, Address], bytes] = {}
        self._links: dict[Address, tuple[Link, ...]] = {}
        self._confirmed: Level | None = None
        self.team: Team | None = None
        self.since: int | None = None
        """whole seconds since the epoch at which this node, or its predecessor, became Active (``vrrp.tenures``)"""
        self._tenures = Tenures()
        self.silent = False
        """whether notify programs have heard our last word"""
        self._drained = False
        self.kept = False
        """whether the last drain was undone because nobody took over"""

    def document(self) -> Member:
        """What a recording has to know to make the instance anew."""
        configuration = self.configuration
        return Member(
            name=self.name,
            election=Election.of(configuration.election()),
            handover=configuration.giving_up(),
            stale_for=configuration.stale_for,
        )

    # Events in

    def _tell_group(self, event: events.Event, at: float | None = None) -> None:
        assert self.team is not None, "told before it was complete"
        self.team.do(event, at)

    def recall(self, number: int, latest: float) -> None:
        """A predecessor has counted silent takeovers, the last one at ``latest`` by the clock."""
        self._tell_group(events.Recalled(self.name, number, self._clock.time() - latest))

    def inherit(self, *, whole: bool, active: bool = False) -> None:
        """A predecessor has left our addresses bound; ``whole``: all of them, and announced a moment ago.

        ``active``: whether they were announced as an Active's.
        """
        self._tell_group(events.Inherited(self.name, whole, active))

    def close(self) -> None:
        """No alarm rings any more, and no farewell is repeated."""
        if self._alarm is not None:
            self._alarm.cancel()
        for timer in (*self._retries.values(), *self._farewells):
            timer.cancel()

    def receive(self, arrival: Arrival, advertisement: Advertisement) -> None:
        """A copy of a peer's advert that passed every check."""
        source = arrival.datagram.source
        expected = tuple(link.index for link in self._links[source])
        self.adverts["received"] += 1
        self._tell_group(events.Heard(self.name, source, advertisement, arrival.interface, expected), arrival.at)
        if self.instance.router.role is not Role.ACTIVE:
            self._tenures.heard(source, advertisement.priority, self._host.realtime())

    def look_at_paths(self) -> None:
        """The routes may have changed: which interfaces lead to each peer now."""
        assert self.configuration.source is not None
        for peer in self.configuration.peers:
            links = self._paths.toward(peer, self.configuration.source)
            if links != self._links.get(peer):
                for gone in set(self._links.get(peer, ())) - set(links):
                    self._wire.forget(gone.index)
                self._links[peer] = links
                names = [link.name for link in links]
                self._journal.info("paths", router=self.name, peer=str(peer), interfaces=names)
        if Fault.ADVERTS in self.instance.faults and any(self._links.values()):
            self._try_again(Fault.ADVERTS)

    def judge(self, health: Health) -> None:
        """The checks may have changed what this router is worth."""
        judgement = health.judge(self.name)
        self._journal.info("health", router=self.name, priority=judgement.priority, detail=judgement.explain())
        # What has said nothing yet is no fault: what a predecessor left to us is not cleared because of it.
        silent = [term for term in judgement.faults if term.verdict is Verdict.UNKNOWN]
        awaited = [term.check for term in (*silent, *judgement.waiting)]
        bad = {term.check for term in judgement.faults if term.verdict is not Verdict.UNKNOWN}
        faults = {Fault.SESSIONS: check_of(self.name) in bad, Fault.CHECK: bool(bad - {check_of(self.name)})}
        for fault, there in faults.items():
            if there:
                self._tell_group(events.Failed(self.name, fault, judgement.explain()))
        self._tell_group(events.Rated(self.name, judgement.priority))
        if awaited:
            self._tell_group(events.Held(self.name, Hold.WAITING, f"waiting for {', '.join(awaited)}"))
        else:
            self._tell_group(events.Released(self.name, Hold.WAITING))
        for fault, there in faults.items():
            if not there:
                self._tell_group(events.Recovered(self.name, fault))
        role = self.instance.router.role
        if role is Role.INITIALIZE and (self.instance.faults or Hold.DRAIN in self.instance.holds):
            self._notify(role, role, judgement.explain())  # without a transition: it was out before

    def drain(self) -> None:
        """Hand over, and stay out of the election until ``undrain``."""
        self.kept = False
        if Hold.DRAIN not in self.instance.holds:
            self._journal.info("draining", router=self.name)
            self._tell_group(events.Held(self.name, Hold.DRAIN, "drained"))

    def undrain(self) -> None:
        """Take part in the election again."""
        self.kept = False
        if Hold.DRAIN in self.instance.holds:
            self._journal.info("undrained", router=self.name)
            self._tell_group(events.Released(self.name, Hold.DRAIN))

    def outcome(self) -> Outcome:
        """How far a drain has come."""
        if Hold.DRAIN not in self.instance.holds:
            return Outcome.KEPT if self.kept else Outcome.SERVING
        return Outcome.DRAINED if self._is_drained() else Outcome.DRAINING

    def _is_drained(self) -> bool:
        """Out of the election, unbound, and another node is known to serve, or was not needed."""
        return Hold.DRAIN in self.instance.holds and self.instance.finished and not self.instance.awaited

    def status(self, health: Health) -> RouterStatus:
        """How it is now, for people and programs."""
        return RouterStatus(
            name=self.name,
            vrid=self.configuration.vrid,
            role=self.instance.router.role,
            priority=self.instance.router.priority,
            explanation=health.judge(self.name).explain(),
            bound=self.instance.presence.bound,
            level=self.instance.presence.level,
            drained=Hold.DRAIN in self.instance.holds,
            faults=tuple(self.instance.faults.values()),
            holds=tuple(detail for hold, detail in self.instance.holds.items() if hold is not Hold.DRAIN),
        )

    def lost(self, address: Address, error: OSError) -> None:
        """One of our addresses cannot be kept on the interface."""
        self._fail(f"{address} cannot be bound to lo: {error.strerror or error}")

    def route_changed(self) -> None:
        """ExaBGP has confirmed something about one of our addresses."""
        level = self.instance.presence.level
        if not self._host.is_confirmed(self):
            return
        if level is not self._confirmed:
            self._confirmed = level
            names = [str(address) for address in self.configuration.addresses]
            if level is None:
                self._journal.info("withdrawn", router=self.name, addresses=names)
            else:
                self._journal.info("announced", router=self.name, addresses=names, state=level)
        if level is None:
            self._tell_group(events.Withdrawn(self.name))

    def wanted(self) -> list[Route]:
        """What ExaBGP is to announce for this router now."""
        level = self.instance.presence.level
        if level is None:
            return []
        attributes = self.ladder.at(level, Standing(self.since, self.instance.silences, self.instance.presence.parting))
        return [Route(address, attributes) for address in self.configuration.addresses]

    # Effects out

    def carry_out(self, effect: Effect) -> None:
        """One effect of an event; what comes of it is an event of its own."""
        match effect:
            case Advertise(priority):
                self._advertise(priority)
            case Transition():
                self._tell(effect)
            case Step():
                self._take(effect)
            case Deserted(waited):
                self.kept = True
                serving = "serving on, and" if self.instance.presence.bound else "it is not served here any more;"
                detail = f"nobody has taken over within {waited:g} s; {serving} taking part again"
                self._journal.error("drain-undone", router=self.name, detail=detail)
            case PathQuiet(peer, index) | PathBack(peer, index):
                self._tell_path(peer, index, quiet=isinstance(effect, PathQuiet))
            case Notice(oddity, source, detail):
                key = (self.name, oddity, source)
                self._journal.limited(key, journal.Level.WARNING, oddity, router=self.name, detail=detail)
            case _:
                assert_never(effect)

    def settle(self) -> None:
        """An event has been dealt with, and all that came of it."""
        self._arm()
        self._tell_of_a_drain()

    def _take(self, step: Step) -> None:
        match step:
            case Step.BIND:
                self._bind()
            case Step.UNBIND:
                self._unbind()
            case Step.ANNOUNCE | Step.WITHDRAW:
                self._host.announce_wanted()
                self.route_changed()
            case Step.RELEASE | Step.RETURN:
                raise AssertionError(f"{step} is the instance's own")
            case _:
                assert_never(step)

    def _bind(self) -> None:
        try:
            self._host.bind_wanted(self.configuration.addresses)
        except OSError as error:
            self._fail(f"cannot bind to lo: {error.strerror or error}")
            return
        self._journal.info("bound", router=self.name, addresses=self._addresses())
        del self._tries[Fault.BIND]
        self._tell_group(events.Bound(self.name))

    def _unbind(self) -> None:
        self._host.flush()  # the withdraw before the unbinding, whatever else changes in this turn of the loop
        try:
            self._host.bind_wanted(self.configuration.addresses)
        except OSError as error:
            # It stays unwanted, so the next change of lo removes it; nothing else of ours depends on it.
            self._journal.error("unbind-failed", router=self.name, detail=error.strerror or str(error))
        else:
            self._journal.info("unbound", router=self.name, addresses=self._addresses())

    def _fail(self, detail: str) -> None:
        self._journal.error("bind-failed", router=self.name, detail=detail)
        self._tell_group(events.Unbound(self.name, detail))
        self._retry_later(Fault.BIND)

    def _advertise(self, priority: int) -> None:
        self._send(priority)
        if priority == LEAVING:
            self._farewells = [self._clock.call_later(delay, self._repeat_farewell) for delay in FAREWELLS]

    def _repeat_farewell(self) -> None:
        if self.instance.router.role is not Role.ACTIVE:
            self._send(LEAVING)

    def _send(self, priority: int) -> None:
        """One copy to every peer over every path to it."""
        reached = False
        errors: Counter[int] = Counter()
        for sent in self._copies(priority):
            reached = reached or sent.error is None
            if sent.error is not None:
                errors[sent.error] += 1
        self.adverts["sent" if priority != LEAVING else "sent-priority-zero"] += 1
        if errors:
            told = ", ".join(f"{_name(number)} ×{count}" for number, count in errors.items())
            self._journal.limited((self.name, "unsent"), journal.Level.WARNING, "unsent", router=self.name, errors=told)
        if reached:
            self._mute = 0
            del self._tries[Fault.ADVERTS]
        else:
            self._mute += 1
        if self._mute >= MUTE_ADVERTS and priority != LEAVING:
            self._mute = 0
            reason = ", ".join(os.strerror(number) for number in errors)
            detail = f"no advert could be sent to any peer ({reason})"
            # Not from within the effects that sent this advert: they have to be finished first.
            self._clock.call_soon(self._go_mute, detail)

    def _go_mute(self, detail: str) -> None:
        if self.instance.router.role is Role.ACTIVE:
            self._tell_group(events.Failed(self.name, Fault.ADVERTS, detail))
            self._retry_later(Fault.ADVERTS)

    def _copies(self, priority: int) -> Iterator[Sent]:
        """Sends them; signed ones differ from each other, but not in the time that they tell."""
        if self._signer is None:
            for peer in self.configuration.peers:
                yield from self._wire.send(self._payload(priority, peer), peer, self._links.get(peer, ()))
            return
        realtime = self._host.realtime()
        for peer in self.configuration.peers:
            links = self._links.get(peer, ())
            for number in range(max(1, len(links))):
                payload = self._signed(self._signer, priority, peer, realtime)
                yield from self._wire.send(payload, peer, links[number : number + 1])

    def _signed(self, signer: Signer, priority: int, peer: Address, realtime: float) -> bytes:
        assert self.configuration.source is not None
        return encode(
            self.instance.router.advertisement(priority),
            self.configuration.source,
            peer,
            self._host.ipv4_checksum,
            lambda message: signer.trailer(message, realtime),
        )

    def _payload(self, priority: int, peer: Address) -> bytes:
        key = (priority, peer)
        if key not in self._payloads:
            assert self.configuration.source is not None
            advertisement = self.instance.router.advertisement(priority)
            checksum = self._host.ipv4_checksum
            self._payloads[key] = encode(advertisement, self.configuration.source, peer, checksum)
        return self._payloads[key]

    # Time

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        deadline = self.instance.deadline
        self._alarm = None if deadline is None else self._clock.call_at(deadline, self._ring, deadline)

    def _ring(self, due: float) -> None:
        """An advert of ours that is in time does not wait for what others have sent: a flood would delay it."""
        self._alarm = None
        now = self._clock.time()
        if not self._serving or now - due >= self.configuration.advert_interval:
            self._host.catch_up(self._decided_by(due, now))
        self._tell_group(events.Rang())

    @property
    def _serving(self) -> bool:
        """Whether all that move together are Active: what is due is an advert, and nobody's silence."""
        assert self.team is not None, "rang before it was complete"
        return all(router.instance.router.role is Role.ACTIVE for router in self.team.routers)

    def _decided_by(self, due: float, now: float) -> float:
        """Up to when what has come decides: not only this alarm's ``due``, for after a pause all is due that was then.

        The alarm may be one of presence, and a Backup's patience may have ended long after it.
        """
        assert self.team is not None, "rang before it was complete"
        elections = (router.instance.router.deadline for router in self.team.routers)
        return max([due, *(deadline for deadline in elections if deadline is not None and deadline <= now)])

    def _retry_later(self, fault: Fault) -> None:
        if fault in self._retries:
            self._retries.pop(fault).cancel()
        delay = RETRIES[min(self._tries[fault], len(RETRIES) - 1)]
        self._tries[fault] += 1
        self._retries[fault] = self._clock.call_later(delay, self._try_again, fault)

    def _try_again(self, fault: Fault) -> None:
        self._tell_group(events.Recovered(self.name, fault))

    # The log

    def _addresses(self) -> list[str]:
        return [str(address) for address in self.configuration.addresses]

    def _tell(self, transition: Transition) -> None:
        if transition.after is Role.ACTIVE:
            self.since = self._tenures.begun(self._host.realtime())
        self._journal.info(
            "transition",
            router=self.name,
            before=transition.before,
            after=transition.after,
            reason=transition.why,
            detail=transition.detail,
            priority=self.instance.router.priority,
        )
        self._notify(transition.after, transition.before, transition.why)

    def _notify(self, role: Role, before: str, reason: str) -> None:
        """In the words of keepalived's scripts. Who is drained is a Backup to them: alive, but not serving."""
        if self.silent:
            return  # STOP is the last word
        if role is Role.ACTIVE:
            state = State.MASTER
        elif role is Role.BACKUP or (Hold.DRAIN in self.instance.holds and not self.instance.faults):
            state = State.BACKUP
        else:
            state = State.FAULT if self.instance.faults else State.STOP
        self._host.notifier.tell(self.name, state, self.instance.router.priority, before, reason)

    def _tell_of_a_drain(self) -> None:
        drained = self._is_drained()
        if drained and not self._drained:
            self._journal.info("drained", router=self.name)
        self._drained = drained

    def _tell_path(self, peer: Address, index: int, *, quiet: bool) -> None:
        where = {"router": self.name, "peer": str(peer), "interface": self._paths.interface_name(index)}
        if quiet:
            self._journal.warning("path-quiet", **where)
        else:
            self._journal.info("path-back", **where)

    def copies(self) -> dict[str, int]:
        """Copies of peers' adverts that were heard, by peer and interface."""
        return {
            f"{peer} {self._paths.interface_name(index)}": count
            for (peer, index), count in self.instance.copies.counts.items()
        }


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))
