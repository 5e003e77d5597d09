"""What must hold after every event, whatever befalls the nodes.

``Invariants`` watches one process: every advert that it sends, every transition, every address that it removes, every
line that it writes to ExaBGP, every packet that it receives. ``grounded`` looks at what outlives a process. The
promises:

- an advert has a priority above 0 only if its router is Active, or was within this event;
- a rejected packet changes nothing: no state, no timer, no alarm;
- what was forged is rejected, and where authentication is enforced no signed advert is accepted twice (unless the node
  has lost its marks meanwhile, or its clock was set);
- after a better advert was received the router is not Active (in a group, an equal priority is for the first to judge);
- no router takes over by Active_Down_Timer while packets wait unread that had arrived before it was due;
- nor a node that has had no route to any peer for as long as it takes to notice, and that has nothing bound;
- a router that has been silent for longer than the others wait sends no advert before it was Backup;
- answers do not storm: one for each advert of its own that a timer sent, and each is better than what it answers, so
  that of two nodes one has the last word;
- addresses are on lo exactly when presence says so, and a router that is not Active announces nothing as Active;
- what is announced is bound: no line that announces an address is written while that is not on lo; none is removed from
  lo before its withdraw was written; and where the order of a handover is kept, before ExaBGP has carried that out for
  every neighbor, those included that do not list the agent any more: no router may still send to an unbound node;
- a caretaker has ExaBGP withdraw what it gives up (``UNWANTED``), by the end of ExaBGP, and only that;
- it takes part for nothing that ExaBGP does not announce, unless BGP has no say in the election;
- the members of a group are never Active and Backup at once.

"Never two Actives" is none of them: paths that lose everything make two. Nor is "the best priority is Active".
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from exavrrp.events import TimerFired
from exavrrp.instance import Fault
from exavrrp.presence import ANSWER_LIMIT, Handover
from exavrrp.routes import Level
from exavrrp.simulation.exabgp import understood
from exavrrp.simulation.network import Packet
from exavrrp.simulation.pipes import Pipes
from exavrrp.simulation.prefixes import addresses_of, prefixes_of
from exavrrp.simulation.process import Process
from exavrrp.simulation.world import Violation
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Mode
from exavrrp.vrrp.packet import AUTHENTICATION, LEAVING, OWNER, Address, Reason
from exavrrp.vrrp.router import Role, Why
from exavrrp.ways import SOURCE_ADVERTS

PRIORITY = 2
"""Where in an advert its priority is (RFC 9568 §5.1)."""

UNWANTED = 2.0
"""Seconds for which an address may be announced that a caretaker does not want announced any more."""

LATE = 0.5
"""Seconds for which an address may be seen to linger for too long: alarms ring late."""

HASTE = 1e-6
"""Seconds that rounding may cost."""


@dataclass(slots=True)
class _Observation:
    """What was observed of one router."""

    active: bool = False
    within: bool = False
    """whether it was Active at any moment of this turn"""
    said: float | None = None
    """when it last advertised as Active; None: not yet"""
    patient: float = 0.0
    """until when it waits for the Active as a Backup, seconds of the loop's clock"""
    wayless: float | None = None
    """since when it has been a Backup with nothing bound and no route to any peer; None: it is not"""
    answers: int = 0
    """adverts in answer to others since the last one that a timer sent"""


class Invariants:
    """Watches one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._observations: dict[str, _Observation] = {}
        self._unwanted: dict[str, float] = {}
        """since when a router is not to be announced"""
        self._left: set[Address] = set()
        """on lo for a while, as no router had them after a reload: also where the next one gives them back"""
        self._returned: dict[Address, float] = {}
        """those that were given back and are not announced, and since when: not for longer than they linger"""
        self._late: dict[Address, float] = {}
        """those of them that linger for too long, and when that was first seen"""
        self._linger = 0.0
        """the longest that a router of any configuration until now lingers"""
        self._before: tuple[object, ...] = ()
        self.transitions = 0
        self.adverts = 0
        self.refused = 0
        """genuine adverts that were rejected"""

    def _observation(self, router: str) -> _Observation:
        return self._observations.setdefault(router, _Observation())

    # Adverts

    def advert(self, router: VirtualRouter, priority: int) -> None:
        self.adverts += 1
        heard = self._process.answering
        self._process.ground.log("{} says {}{}", router.name, priority, "" if heard is None else " (an answer)")
        if priority == LEAVING:
            return
        seen, now = self._observation(router.name), self._process.loop.time()
        role = router.instance.router.role
        if role is not Role.ACTIVE and not seen.within:
            raise Violation(f"{router.name} is {role} and advertises {priority}")
        settings = router.instance.router.settings
        patience = (settings.down_count + 2) * settings.interval
        if seen.said is not None and now - seen.said > patience + HASTE:
            raise Violation(f"{router.name} was silent for {now - seen.said:.3f}s and goes on as Active")
        seen.said = now
        if heard is None:
            seen.answers = 0
            return
        seen.answers += 1
        if seen.answers > 1:
            raise Violation(f"{router.name} answers for the second time since its last advert")
        source, theirs = heard.datagram.source, heard.datagram.payload[PRIORITY]
        if (priority, int(settings.source)) <= (theirs, int(source)):
            raise Violation(f"{router.name} answers {theirs} from {source} with {priority}, which is no better")

    def transition(self, router: str, before: str, after: str, why: str) -> None:
        self.transitions += 1
        seen = self._observation(router)
        seen.active = after == Role.ACTIVE
        seen.within = seen.within or Role.ACTIVE in (before, after)
        seen.said = None if not seen.active else seen.said
        if before == Role.ACTIVE and (self._process.node.why or "").startswith(f"{router} is served by another node"):
            raise Violation(f"{router} is Active, and its caretaker ends ExaBGP because another node serves")
        unread = sum(one.came < seen.patient for one in self._process.inbox)
        if after == Role.ACTIVE and why == Why.ACTIVE_DOWN_TIMEOUT and unread:
            raise Violation(f"{router} takes over from silence, and {unread} packets wait unread")
        if after == Role.ACTIVE and why == Why.ACTIVE_DOWN_TIMEOUT and seen.wayless is not None:
            patience = SOURCE_ADVERTS * self._process.routers[router].configuration.advert_interval
            if not self._process.ground.links() and seen.patient > seen.wayless + patience + HASTE:
                raise Violation(f"{router} takes over from silence, and no way has led anywhere")

    # Packets

    def hearing(self, packet: Packet) -> None:
        self._before = self._state()

    def _state(self) -> tuple[object, ...]:
        return tuple(
            part
            for router in self._process.routers.values()
            for part in (router.instance.router.state, router.instance.presence.state, router.instance.deadline)
        )

    def rejected(self, packet: Packet, reason: Reason) -> None:
        self._process.ground.log("rejects {} from {}", reason, packet.datagram.source)
        if any(one is not another for one, another in zip(self._before, self._state(), strict=True)):
            raise Violation(f"a packet that was rejected ({reason}) has changed something")
        if packet.tampered or packet.replayed:
            return
        self.refused += 1
        routers = self._process.routers.values()
        if reason is Reason.UNKNOWN_SOURCE and any(len(one.configuration.peers) == 1 for one in routers):
            return  # a reload has taken other peers out of the list
        if reason not in AUTHENTICATION:
            raise Violation(f"an advert of a peer was rejected: {reason}")

    def heard(self, router: VirtualRouter, packet: Packet, priority: int) -> None:
        source = packet.datagram.source
        self._process.ground.log("{} hears {} from {}", router.name, priority, packet.sender)
        accepted, payload = self._process.ground.accepted, packet.datagram.payload
        enforces = self._enforces(router)
        if packet.tampered and (enforces or not packet.replayed):
            raise Violation("a tampered packet was accepted")
        if packet.signed and enforces and payload in accepted:
            raise Violation("a signed advert was accepted twice")
        if packet.signed and packet.sent > self._process.ground.clock_set:
            accepted.add(payload)
        ours = router.instance.router
        self._observation(router.name).patient = ours.deadline or 0.0
        if ours.advertised is None:
            return
        first = self._process.node.elections.team_of[router.name].first
        better = priority > ours.advertised
        tie = priority == ours.advertised and int(source) > int(ours.settings.source) and router.name == first
        if better or tie:
            raise Violation(f"{router.name} with {ours.advertised} is Active after {priority} from {source}")

    def _enforces(self, router: VirtualRouter) -> bool:
        policy = self._process.node.configuration.policy(router.configuration)
        return policy is not None and policy.mode is Mode.ENFORCE

    # Addresses and routes

    def said(self, lines: list[str]) -> None:
        process = self._process
        if process.node.gone:
            return  # its sessions are closed: nobody hears what it is still told
        for line in lines:
            command = understood(line)
            for network in command.networks if command is not None and command.announces else ():
                served = process.ground.lo | process.ground.removed
                for address in set(addresses_of(process.node.configuration, network)) - served:
                    raise Violation(f"{address} is announced and not on lo: {line}")

    def removing(self, gone: frozenset[Address]) -> None:
        process = self._process
        process.ground.log("removes {}", ", ".join(map(str, sorted(gone, key=str))))
        for address in gone:
            if process.node.gone:
                continue
            networks = prefixes_of(process.node.configuration, address)
            if any(one in process.pipes.wanted for one in networks):
                raise Violation(f"{address} is removed from lo and still to be announced")
            if not any(map(process.exabgp.will_announce, networks)):
                continue
            if process.started and isinstance(process.pipes, Pipes) and process.pipes.owes:
                raise Violation(f"{address} is removed from lo and its withdraw not even written")
            if not self._may_be_announced(address):
                raise Violation(f"{address} is removed from lo before ExaBGP has withdrawn it, and nothing is wrong")
            process.ground.excused.add(address)

    def _may_be_announced(self, address: Address) -> bool:
        """Whether something is wrong, so that the address has to go without regard for ExaBGP's answer."""
        process = self._process
        router = next(one for one in process.routers.values() if address in one.configuration.addresses)
        excuses = {Fault.BIND}
        if router.instance.presence.settings.handover is Handover.BREAK_BEFORE_MAKE:
            excuses |= set(Fault)
        if process.node.abandoned or any(excuses & set(one.instance.faults) for one in process.routers.values()):
            return True
        since = self._unwanted.get(router.name)
        if router.instance.presence.settings.handover is Handover.MAKE_BEFORE_BREAK and self._is_known(address, since):
            return False
        limit = min(ANSWER_LIMIT, router.instance.presence.settings.stale)
        return since is not None and process.loop.time() - since >= limit - HASTE

    def _is_known(self, address: Address, since: float | None) -> bool:
        """Whether ExaBGP has shown that it announces the address still, although that is not wanted ``since`` then."""
        exabgp, world = self._process.exabgp, self._process.ground.world
        shown = (exabgp.shown.get(one) for one in prefixes_of(self._process.node.configuration, address))
        age = self._process.loop.time() - since if since is not None else 0.0
        return any(at is not None and 0.01 < world.now - at < age for at in shown)

    def turned(self) -> None:
        """A turn of the loop is over."""
        process = self._process
        if not process.started or process.loop.dead:
            return
        lo, ground = process.ground.lo, process.ground
        owned = {address for router in process.routers.values() for address in router.configuration.addresses}
        served = {one.address for router in process.routers.values() for one in router.on_lo.wanted}
        self._left = {address for address in lo - served if address in self._left or address not in owned}
        self._end_in_time(owned)
        apart = ground.removed | self._left
        for router in process.routers.values():
            instance = router.instance
            bound, level, role = instance.presence.bound, instance.presence.level, instance.router.role
            seen = self._observation(router.name)
            seen.within = role is Role.ACTIVE
            seen.patient = instance.router.deadline or 0.0
            if role is not Role.BACKUP or router.announcement.wanted() or ground.links():
                seen.wayless = None
            elif seen.wayless is None:
                seen.wayless = process.loop.time()
            if level is None:
                self._unwanted.setdefault(router.name, process.loop.time())
                self._is_withdrawn_in_time(router)
            else:
                self._unwanted.pop(router.name, None)
            if role is not Role.INITIALIZE:
                self._is_announced(router)
            if level is Level.ACTIVE and role is not Role.ACTIVE:
                raise Violation(f"{router.name} is {role} and announced as active")
            wanted = {one.address for one in router.on_lo.wanted}
            for address in router.configuration.addresses:
                if (address in lo) is not (address in wanted) and address not in apart:
                    raise Violation(f"{address} is {'' if address in lo else 'not '}on lo, presence: {bound}")
        ground.grounded()
        for team in process.node.elections.teams:
            # Who releases in break before make does so in its own time: the others wait as Backups, and take nothing.
            members = [router.instance for router in team.routers]
            roles = {one.router.role for one in members if one.router.releasing is None}
            releasing = any(
                one.router.releasing is not None and one.router.priority != OWNER for one in members
            )  # an owner begins at once
            if Role.ACTIVE in roles and (Role.BACKUP in roles or releasing):
                raise Violation(f"the group {team.routers[0].configuration.group} is split")

    def _end_in_time(self, owned: Collection[Address]) -> None:
        """What was given back to a router while it lingered is excused for as long as it may linger.

        That begins when ExaBGP has withdrawn it. An agent that stood still has a moment for its alarms.
        """
        process, now = self._process, self._process.loop.time()
        self._linger = max([self._linger, *(router.configuration.linger for router in process.routers.values())])
        returned = [one for one in self._left if one in owned and not self._is_announced_for(one)]
        self._returned = {one: self._returned.get(one, now) for one in returned}
        late = [one for one, since in self._returned.items() if now - since > self._linger + ANSWER_LIMIT]
        self._late = {one: self._late.get(one, now) for one in late}
        for address, since in self._late.items():
            if now - since > LATE:
                lingered = now - self._returned[address]
                raise Violation(f"{address} was given back {lingered:.2f}s ago, and lingers still")

    def _is_announced_for(self, address: Address) -> bool:
        networks = prefixes_of(self._process.node.configuration, address)
        return any(map(self._process.exabgp.will_announce, networks))

    def _is_withdrawn_in_time(self, router: VirtualRouter) -> None:
        """A caretaker has one way to withdraw what is not wanted any more, and has to take it."""
        process = self._process
        since = process.loop.time() - self._unwanted[router.name]
        if process.caring is None or process.node.gone or since < UNWANTED:
            return
        known = router.name in process.caring.announced  # that it knows what it should ``Machine`` sees to
        if known and any(map(process.exabgp.announces, router.configuration.announce)):
            raise Violation(f"{router.name} has given up {since:.2f}s ago, and is announced still")

    def _is_announced(self, router: VirtualRouter) -> None:
        """Who hears a caretaker withdraws for it, and it cannot announce anything."""
        process = self._process
        if process.caring is None or process.node.gone or router.name not in process.caring.announced:
            return
        if process.misled:
            return  # an answer that is missing is noticed a second later, and its command's was taken for another's
        absent = [one for one in router.configuration.announce if not process.exabgp.announces(one)]
        if absent:
            raise Violation(f"{router.name} takes part, and ExaBGP announces nothing for {absent[0]}")

    def stray_alarm(self, router: VirtualRouter) -> None:
        """An alarm rings although no time has come: nothing may follow from it."""
        process = self._process
        if process.ground.recordings is not None:
            return  # a recording holds what comes in by the entrances
        process.node.turns.put(partial(self._ring_early, router))

    def _ring_early(self, router: VirtualRouter) -> None:
        process, deadline = self._process, router.instance.deadline
        process.node.catch_up(math.inf)
        team = process.node.elections.team_of[router.name]
        deadlines = [one.instance.deadline for one in team.routers]
        if any(one is not None and one <= process.loop.time() for one in deadlines):
            return  # it is time, and the alarm is only late
        before = [(one.instance.router.state, one.instance.presence.state) for one in team.routers]
        transitions, adverts = self.transitions, self.adverts
        process.node.elections.tell_team(team, TimerFired())
        after = [(one.instance.router.state, one.instance.presence.state) for one in team.routers]
        if before != after or (transitions, adverts) != (self.transitions, self.adverts):
            raise Violation(f"an alarm that rang before {deadline} changed {before} to {after}")
