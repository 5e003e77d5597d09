"""Virtual routers that move together, such as the IPv4 and the IPv6 address of one service; pure.

Each member of a ``Group`` is an ``Instance`` with an election of its own. The group adds what ties them together on
this node; on the wire there is nothing but ordinary VRRP, which knows no groups:

- *One in fault faults all*: a fault of one member is ``Fault.GROUP`` on the others until the last is over. Holds are
  shared likewise; a drain of one is a drain of all.
- *One priority*: all advertise the least of their effective priorities. Two nodes then compare the same way in every
  member's election. Different ones would leave each node better in one of them, and give way for ever.
- *Active only when all would be*: a Backup whose time has come waits until that of all members has. As long as one of
  them receives the Active's adverts, this node does not take over: adverts that are lost in one family only change
  nothing.
- *One that gives way takes all with it*: a node that is superseded for one member gives up the whole group, because the
  better node is Active in all of its own. Their presence goes in the order of the configured handover, as ever: in
  break before make each member sends priority 0 when its own addresses are unbound. A new Active whose advert arrived
  for one member is the successor of all.

Two nodes with the same priority are told apart by their addresses (RFC 9568 §6.4.3), and the IPv4 addresses may decide
otherwise than the IPv6 ones: each node would give way to the other. So the first member decides such a tie (by number,
family and least address: the same on every node). The tie of another member counts only when the first has received no
advert for an Active_Down_Interval. Likewise, when the first reclaims traffic from a node with the same priority that
does not hear it, all do.

While adverts are lost: if no member receives those of the other node, both nodes are Active, for all members each. If
they are lost in one direction only, the node that receives none becomes Active for all, and the other one stays Active
if it is better. A node is never Active for one member while its peer is Active for another (``tests/test_groups.py``).

It must not know of sockets or clocks: ``events`` and their times are all that it goes by. An event of one member gives
effects of several, in one list. What comes of one effect (addresses that cannot be bound fault the whole group) is an
event that has to wait until the list is done: else a member would be unbound before it is withdrawn.
``Elections.tell`` sees to that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from exavrrp import events
from exavrrp.instance import Effect, Fault, Hold, Instance, NoSuccessor, Reclaim
from exavrrp.presence import Step
from exavrrp.takeover import Count
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement
from exavrrp.vrrp.router import Role, Transition, Why

Effects = list[tuple[str, Effect]]
"""Effects in the order to be carried out, each with the name of its member."""


class Group:
    """The members of one group on this node. All times are monotonic seconds."""

    def __init__(self, name: str, members: Iterable[Instance]) -> None:
        self.name = name
        self._arrange(members)
        self._alone = len(self.members) == 1
        """whether it has one member only, as most groups: there may be hundreds of these"""
        self._priorities = {name: member.router.priority for name, member in self.members.items()}
        self._waiting: dict[str, str] = {}
        self._doubt = _Doubt()

    def _arrange(self, members: Iterable[Instance]) -> None:
        """All nodes have to see the same one first, whatever the order of their files is."""
        self.members = {member.name: member for member in sorted(members, key=_rank)}
        self._first = next(iter(self.members.values()))
        for member in self.members.values():
            member.takeovers.rivals.by_address = member is self._first

    def rename(self, name: str, names: Mapping[str, str]) -> None:
        """Call the group ``name`` from now on, and its members as ``names`` says (now → then); nothing else changes."""
        self.name = name
        for now, member in self.members.items():
            member.name = names.get(now, now)
        self.members = {member.name: member for member in self.members.values()}
        self._priorities = {names.get(now, now): priority for now, priority in self._priorities.items()}
        self._waiting = {names.get(now, now): detail for now, detail in self._waiting.items()}

    @property
    def deadline(self) -> float | None:
        """When ``TimerFired`` is due; None when nothing is awaited."""
        if self._alone:
            return self._first.deadline
        deadlines = (member.deadline for member in self.members.values())
        return min((due for due in deadlines if due is not None), default=None)

    def handle(self, event: events.Event, now: float) -> Effects:
        """What all members are to do because of ``event`` at ``now`` (never going back), in order."""
        match event:
            case events.TimerFired():
                effects = self._ring(now)
            case events.Start():
                effects = self._start(now)
            case events.Stop(why, detail, budget):
                effects = self._each(lambda member: member.stop(why, detail, budget, now))
            case events.Abandon():
                effects = self._each(lambda member: member.abandon(now))
            case _:
                effects = self._member(event, now)
        return self._settled(event, effects, now)

    def _member(self, event: events.OfOne, now: float) -> Effects:
        """What ``event`` means for the member that it is of, and for others at once."""
        name, member = event.name, self.members[event.name]
        match event:
            case events.Heard():  # first, as the most frequent one
                return self._hear(member, event, now)
            case events.Recalled(number=number, age=age):
                member.takeovers.failures.recall(Count(number, now - age), now)
                return []
            case events.Inherited(announced=announced, active=active):
                return self._of(name, member.inherit(now, announced=announced, active=active))
            case events.Rated(priority=priority):
                self._priorities[name] = priority
                return self._prioritise(now)
            case events.Configured(election=election, handover=handover, stale_for=stale_for):
                effects = member.configure(election, handover, stale_for, now)
                self._arrange(self.members.values())  # its addresses may be others now
                return self._of(name, effects)
            case events.Failed(fault=fault, detail=detail):
                return self._of(name, member.fault(fault, detail, now))
            case events.Recovered(fault=fault):
                return self._of(name, member.clear(fault, now))
            case events.Held(hold=hold, detail=detail):
                return self._hold(name, hold, detail, now)
            case events.Released(hold=hold):
                return self._release(name, hold, now)
            case events.Bound():
                return self._of(name, member.bound(now))
            case events.Unbound(detail=detail):
                return self._of(name, member.unbound(detail, now))
            case events.Withdrawn():
                return self._of(name, member.withdrawn(now))
            case events.Kept():
                return self._of(name, member.kept(now))
            case _:
                assert_never(event)

    def _start(self, now: float) -> Effects:
        effects = self._prioritise(now)
        # Known faults and holds of one member keep out all, before the first of them begins.
        effects += self._share_faults(now) + self._share_waiting(now)
        return effects + self._each(lambda member: member.start(now))

    def _ring(self, now: float) -> Effects:
        if self._alone:
            return self._of(self._first.name, self._first.timeout(now))
        due = self._due()
        for member in self.members.values():
            member.withheld = member.router.role is Role.BACKUP and (due is None or now < due)
        effects = self._each(lambda member: member.timeout(now))
        if any(isinstance(effect, NoSuccessor) for _, effect in effects):
            effects += self._each(lambda member: member.cancel_drain(now))
        return effects

    def _hear(self, member: Instance, heard: events.Heard, now: float) -> Effects:
        source, advertisement = heard.source, heard.advertisement
        if self._alone:
            return self._of(member.name, member.received(source, advertisement, heard.interface, heard.expected, now))
        if self._is_undecided(member, source, advertisement, now):
            return self._of(member.name, member.tied(source, advertisement, heard.interface, heard.expected, now))
        received = member.received(source, advertisement, heard.interface, heard.expected, now)
        effects = self._of(member.name, received)
        for reclaim in [one for one in received if isinstance(one, Reclaim)]:
            for other in self._others(member.name):
                effects += self._of(other.name, other.reclaim(reclaim, now))
        if advertisement.priority != LEAVING:
            for other in self._others(member.name):
                effects += self._of(other.name, other.succeeded(now))
        return effects

    def _hold(self, name: str, hold: Hold, detail: str, now: float) -> Effects:
        if hold is Hold.WAITING:
            self._waiting[name] = detail
            return self._share_waiting(now)
        return self._each(lambda member: member.hold(hold, detail, now))

    def _release(self, name: str, hold: Hold, now: float) -> Effects:
        if hold is Hold.WAITING:
            self._waiting.pop(name, None)
            return self._share_waiting(now)
        return self._each(lambda member: member.release(hold, now))

    # What ties them together

    def _settled(self, event: events.Event, effects: Effects, now: float) -> Effects:
        """What has happened to some members, and what follows for the others, until nothing follows any more.

        An advert, or time, means nothing for others as long as no member changes its state: they bring no fault and no
        hold, and there may be thousands of them in a second.
        """
        if self._alone:
            return effects
        frequent = isinstance(event, events.Heard | events.TimerFired)
        last = effects
        # At least once for all else: a fault may be news without any effect on its own member.
        while not frequent or any(isinstance(effect, Transition) for _, effect in effects):
            last = self._share_faults(now) + self._share_waiting(now) + self._give_way(last, now)
            if not last:
                break
            effects = effects + last
        self._withhold()
        return _unbound_last(effects)

    def _share_faults(self, now: float) -> Effects:
        effects: Effects = []
        causes = {name: f"{name}: {own}" for name, member in self.members.items() if (own := _own(member))}
        for name, member in self.members.items():
            cause = next((cause for other, cause in causes.items() if other != name), None)
            if cause is None:
                effects += self._of(name, member.clear(Fault.GROUP, now))
            elif Fault.GROUP not in member.faults:
                effects += self._of(name, member.fault(Fault.GROUP, cause, now))
        return effects

    def _share_waiting(self, now: float) -> Effects:
        cause = next((f"{name}: {detail}" for name, detail in self._waiting.items()), None)
        if cause is None:
            return self._each(lambda member: member.release(Hold.WAITING, now))
        return self._each(
            lambda member: member.hold(Hold.WAITING, self._waiting.get(member.name, cause), now)  # its own detail first
        )

    def _give_way(self, effects: Effects, now: float) -> Effects:
        """A member that is still Active beside one that became Backup follows it, for the same reason.

        Not if it is releasing itself (break before make), unless another node is Active or this one was stopped.
        """
        ends = [
            (name, effect)
            for name, effect in effects
            if isinstance(effect, Transition) and effect.before is Role.ACTIVE
        ]
        lost = any(effect.why in (Why.SUPERSEDED, Why.STALLED) for _, effect in ends)  # perhaps no Backup any more
        if not (lost or any(member.router.role is Role.BACKUP for member in self.members.values())):
            return []
        reasons = ((effect.why, f"{name}: {effect.detail}") for name, effect in ends)
        why, detail = next(reasons, (Why.SUPERSEDED, "the group is not Active"))
        active = [
            member
            for member in self.members.values()
            if member.router.role is Role.ACTIVE and (lost or member.router.releasing is None)
        ]
        return [one for member in active for one in self._of(member.name, member.give_way(why, detail, now))]

    def _prioritise(self, now: float) -> Effects:
        least = min(self._priorities.values())
        return self._each(lambda member: member.prioritise(least, now) if member.router.priority != least else [])

    def _withhold(self) -> None:
        """The latest takeover deadline of the members is that of all."""
        due = self._due()
        for member in self.members.values():
            deadline = member.router.deadline
            waits = member.router.role is Role.BACKUP and deadline is not None
            member.withheld = waits and (due is None or (deadline is not None and deadline < due))

    def _due(self) -> float | None:
        """When all may take over; None as long as that is not in sight."""
        deadlines = [
            member.router.deadline if member.router.role is Role.BACKUP else None for member in self.members.values()
        ]
        known = [one for one in deadlines if one is not None]
        return max(known) if len(known) == len(deadlines) else None

    # Ties

    def _is_undecided(self, member: Instance, source: Address, advertisement: Advertisement, now: float) -> bool:
        """Whether the advert would make ``member`` give way by its address alone, which is not for it to decide yet."""
        router = member.router
        timeout = router.down_interval(router.settings.interval)
        if member is self._first:
            if advertisement.priority != LEAVING:
                self._doubt.answered(now)
            return False
        if router.advertised != advertisement.priority:
            return False
        return int(source) > int(router.settings.source) and self._doubt.lasts(timeout, now)

    # Lists

    def _others(self, name: str) -> list[Instance]:
        return [member for member in self.members.values() if member.name != name]

    def _of(self, name: str, effects: Iterable[Effect]) -> Effects:
        return [(name, effect) for effect in effects]

    def _each(self, act: Callable[[Instance], list[Effect]]) -> Effects:
        return [one for name, member in self.members.items() for one in self._of(name, act(member))]


class _Doubt:
    """How long a member other than the first has received adverts of our priority that win by address."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def answered(self, now: float) -> None:
        """The first member has received such an advert, and decides."""
        self._since = now
        self._last = now

    def lasts(self, timeout: float, now: float) -> bool:
        """Whether it is too early to decide without the first; said once more just now."""
        if self._since is None or now > self._last + timeout:
            self._since = now
        self._last = now
        return now < self._since + timeout


def _unbound_last(effects: Effects) -> Effects:
    """The same, each member's effects in their order, but no unbinding before what others do first; then all at once.

    The kernel may take 20 ms to remove addresses (seen on a busy machine); the priority 0 of the others must not wait.
    """
    first: Effects = []
    unbinding: Effects = []
    then: Effects = []
    unbound: set[str] = set()
    for name, effect in effects:
        if effect is Step.UNBIND and name not in unbound:
            unbound.add(name)
            unbinding.append((name, effect))
        else:
            (then if name in unbound else first).append((name, effect))
    return first + unbinding + then


def _rank(member: Instance) -> tuple[int, int, int]:
    """What two members differ in, and all nodes agree on: the same number in one family, if their sources differ."""
    settings = member.router.settings
    return settings.vrid, settings.addresses[0].version, min(map(int, settings.addresses))


def _own(member: Instance) -> str:
    """The faults of its own."""
    return ", ".join(detail for fault, detail in member.faults.items() if fault is not Fault.GROUP)
