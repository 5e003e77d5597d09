"""Whether a world has come to rest, and for how long that may take.

``convergence`` says what is still wrong: exactly one Active that all others follow, its addresses bound and announced
as they should be by it alone (or, standing by, worse by the others), and all routers of the fabric send packets to it.
``bound`` states how long that may take once everything has healed. ``snapshot`` is the whole state of the world as far
as it can act by itself, relative to now: if it is the same after one advert as before it, and nothing else is arranged
to happen, then it will be the same for ever, by induction.
"""

from collections.abc import Callable, Iterator
from functools import partial

from exavrrp.backoff import RETRIES
from exavrrp.elections import Team
from exavrrp.instance import Fault
from exavrrp.node import Node
from exavrrp.presence import Absent, Prebound, Present
from exavrrp.routes import DEFAULT_LOCAL_PREFERENCE, Attributes, Level
from exavrrp.simulation.exabgp import Command
from exavrrp.simulation.fabric import Fabric
from exavrrp.simulation.machine import INTERPRETER, RECONNECT, RESTART, Machine
from exavrrp.simulation.network import Address, Packet
from exavrrp.simulation.pipes import Pipes
from exavrrp.simulation.process import Process
from exavrrp.simulation.world import Handle, Loop, World
from exavrrp.speaker.conversation import SURVEY
from exavrrp.speaker.prefixes import BACKOFF
from exavrrp.takeover import Takeover
from exavrrp.turns import Turns
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.router import Active, Backup, Role
from tests.simulation.shape import Shape


def period(machines: list[Machine]) -> float | None:
    """The interval of the Active; None: there is none."""
    return next(
        (
            router.instance.router.settings.interval
            for machine in machines
            if machine.agent is not None
            for router in machine.agent.routers.values()
            if router.instance.router.role is Role.ACTIVE
        ),
        None,
    )


def bound(shape: Shape, machines: list[Machine]) -> float:
    """Seconds within which everything has found its place.

    To be asked at the moment of healing. The sum of what may have to pass one after the other: ExaBGP goes down (2.1 s)
    and comes up, with an agent that finds the lock taken once and may delay its start, its sessions (one attempt may
    come to nothing), the first results of checks, a look at the neighbors that list the agent; a Backup's patience
    three times (the node that takes over may be one that has to give way to another, which has yet to become
    impatient); the delay of a preemption; a handover to its ceiling, ExaBGP's
    answer included; and the routers' hold time for what a dead node has left. Where addresses could not be bound or no
    advert could be sent, the next attempt may be a long while off; and so it may where ExaBGP has refused something.
    """
    start = shape.startup_delay + 2.1 + RESTART[1] + INTERPRETER[1] + 2 * RECONNECT[1] + 1.0 + 2 * SURVEY + 1.0
    election = 3 * ((shape.down_count + 1) * shape.interval + shape.lateness) + 2 * shape.preempt_delay
    handover = 2 * shape.ceiling + shape.hold + shape.linger
    late = 0.0
    agents = [machine.agent for machine in machines if machine.agent is not None]
    faults = {fault for agent in agents for router in agent.routers.values() for fault in router.instance.faults}
    if faults & {Fault.BIND, Fault.ADVERTS}:
        late += RETRIES[-1]
    if any(not agent.resting for agent in agents):
        late += BACKOFF[-1]
    return (start + election + handover + late) * 1.02 + shape.routers_hold


def convergence(shape: Shape, machines: list[Machine], fabric: Fabric) -> str | None:
    """What is still wrong, nodes apart that are off for good; None: nothing."""
    for number in range(len(shape.families)):
        wrong = _one(number, shape, machines, fabric)
        if wrong is not None:
            return wrong
    actives = {
        machine.number
        for machine in machines
        if machine.agent is not None
        for router in machine.agent.routers.values()
        if router.instance.router.role is Role.ACTIVE
    }
    return None if len(actives) < 2 else f"different nodes are Active: {sorted(actives)}"


def _one(number: int, shape: Shape, machines: list[Machine], fabric: Fabric) -> str | None:
    """The same for the virtual router of this number."""
    routers: list[tuple[Machine, VirtualRouter]] = []
    for machine in machines:
        agent = machine.agent
        if not machine.wanted:
            continue
        if agent is None or not agent.started:
            return f"{machine.name} has not started yet"
        routers.append((machine, list(agent.routers.values())[number]))
    active = [one for one in routers if one[1].instance.router.role is Role.ACTIVE]
    # Who is not announced takes the service from nobody, where BGP has a say in the election.
    mute = [one for one in routers if one[0].is_mute and shape.min_sessions]
    for machine, router in mute:
        if router.instance.router.role is not Role.INITIALIZE:
            return f"{machine.name} cannot announce, and is {router.instance.router.role}"
    routers = [one for one in routers if one not in mute]
    if len(active) > 1:
        return f"{active[0][0].name} and {active[1][0].name} are both Active"
    if not active and any(not router.instance.holds for _, router in routers):
        return "nobody is Active, and not all are drained"
    source = active[0][1].configuration.source if active else None
    for machine, router in routers:
        if (machine, router) not in active:
            wrong = _follows(machine, router, source) or _is_presented(machine, router, shape)
            if wrong is not None:
                return f"{machine.name}: {wrong}"
    wrongs = (_is_described(number, machine, router, source) for machine, router in routers)
    wrong = next((one for one in wrongs if one is not None), None)
    return _serves(*active[0]) or _is_reached(*active[0], fabric) or wrong if active else wrong


def _is_described(number: int, machine: Machine, router: VirtualRouter, source: Address | None) -> str | None:
    """What the view of a node says of it, and is not so; ``source`` is the Active's."""
    assert machine.agent is not None
    assert machine.exabgp is not None
    seen, configuration = machine.agent.node.view().routers[number], router.configuration
    there = {str(one) for one in configuration.addresses if one in machine.lo}
    announced = {str(one) for one in configuration.announce if machine.exabgp.announces(one)}
    described = {one.address for one in seen.on_lo if one.verified}
    routes = {one.prefix for one in seen.routes if one.wanted is not None and one.confirmed}
    if (seen.active, described, routes) == (None if source is None else str(source), there, announced):
        return None
    return f"{machine.name} says that {seen.active} is Active, bound {sorted(described)}, announced {sorted(routes)}"


def serves(machine: Machine) -> str | None:
    """What keeps this node from serving all of its addresses, if anything does."""
    assert machine.agent is not None
    wrongs = (_serves(machine, router) for router in machine.agent.routers.values())
    return next((wrong for wrong in wrongs if wrong is not None), None)


def _follows(machine: Machine, router: VirtualRouter, source: Address | None) -> str | None:
    """What is wrong with the state of one that is not Active; ``source`` is the Active's."""
    instance = router.instance
    if instance.faults:
        return f"in fault: {instance.faults}"
    if machine.drained:
        return None if instance.router.role is Role.INITIALIZE else f"drained, and {instance.router.role}"
    match instance.router.state:
        case Backup(following=following, inferior=None, resigned=None, resuming=False) if following == source:
            return None
        case state:
            return f"{state}"


def _is_presented(machine: Machine, router: VirtualRouter, shape: Shape) -> str | None:
    """What is wrong with its addresses and routes: none, or those of a standby."""
    instance, exabgp, configuration = router.instance, machine.exabgp, router.configuration
    if exabgp is None:
        return "no ExaBGP"
    if shape.standby and not machine.drained:
        if instance.presence.state != Present(Level.STANDBY) or not machine.lo.issuperset(configuration.addresses):
            return f"{instance.presence.state}, bound {sorted(map(str, machine.lo))}"
        wanted = router.configuration.route_policy.standby
        told = (route for one in configuration.announce for route in exabgp.routes(one))
        if any(route is None or not _is(route, wanted, exabgp.own_as) for route in told):
            return "does not announce its standby"
    elif not _is_at_rest(machine, router, prebind=shape.prebind and not machine.drained):
        return f"{instance.presence.state}, bound {sorted(map(str, machine.lo))}"
    elif any(exabgp.announces(one) for one in configuration.announce):
        return "still announces"
    return None


def _is_at_rest(machine: Machine, router: VirtualRouter, *, prebind: bool) -> bool:
    """Whether lo has all of its addresses (``prebind``), or none."""
    state, addresses = router.instance.presence.state, router.configuration.addresses
    if prebind:
        return state == Prebound() and machine.lo.issuperset(addresses)
    return state == Absent() and machine.lo.isdisjoint(addresses)


def _is(route: Command, wanted: Attributes, own_as: int | None) -> bool:
    """Whether that is what was to be said; a local preference that is left out is ExaBGP's default."""
    said = route.attributes
    preferences = [
        DEFAULT_LOCAL_PREFERENCE if one is None else one for one in (said.preference, wanted.local_preference)
    ]
    path = wanted.path(own_as)
    return preferences[0] == preferences[1] and (said.med, said.as_path) == (wanted.med, path)


def _serves(machine: Machine, router: VirtualRouter) -> str | None:
    if router.instance.presence.state != Present(Level.ACTIVE):
        return f"{machine.name} is Active, and {router.instance.presence.state}"
    if not machine.lo.issuperset(router.configuration.addresses):
        return f"{machine.name} is Active and not bound"
    exabgp = machine.exabgp
    assert exabgp is not None
    for route in router.announcement.wanted():
        if any(told is None or not _is(told, route.attributes, exabgp.own_as) for told in exabgp.routes(route.network)):
            return f"{machine.name} does not announce {route}"
    return None


def _is_reached(machine: Machine, router: VirtualRouter, fabric: Fabric) -> str | None:
    for number in range(len(fabric.routers)):
        for address in router.configuration.addresses:
            best = fabric.best(number, address)
            if best != {machine.number}:
                return f"router {number} sends packets for {address} to {sorted(best)}, not to {machine.number}"
    return None


# Rest


def pending(shape: Shape, world: World, machines: list[Machine]) -> str | None:
    """What is to happen besides adverts, and questions whether ExaBGP lives; None: nothing.

    Either it is arranged in the world, or it is a deadline in the state of somebody who has an earlier one.
    """
    for machine in machines:
        for router in machine.agent.routers.values() if machine.agent is not None else ():
            instance = router.instance
            if instance.presence.deadline is not None or instance.awaited:
                return f"{machine.name} {router.name} is on its way: {instance.presence.state}"
            counts = router.configuration.route_policy.takeover - {Takeover.MED}  # else nothing follows from it
            if counts and instance.router.role is Role.ACTIVE and instance.takeovers.failures.deadline is not None:
                return f"{machine.name} {router.name} remembers silent failures"
        if machine.agent is not None and (arranged := _arranged(machine.agent.node)) is not None:
            return f"{machine.name}: {arranged}"
    for handle in world.arranged():
        act = _meant(handle)
        if not _is_advert(act):
            return f"{act}"
        if _is_straggler(handle, shape):
            return "a packet from the time of trouble is under way"
    return None


def _arranged(node: Node) -> str | None:
    """What a node has arranged besides the deadlines of its routers."""
    acts = (act for act in node.turns.timers.pending() if not isinstance(getattr(act, "__self__", None), Team))
    return next((f"{act}" for act in acts), None)


def _meant(handle: Handle) -> Callable[..., object]:
    """What is to be called in the end, by whichever loop."""
    loop = getattr(handle.act, "__self__", None)
    act = Loop.meant(handle) if isinstance(loop, Loop) else handle.act
    return act.args[-1].func if isinstance(act, partial) else act  # of a node that is recorded


def _is_advert(act: Callable[..., object]) -> bool:
    """Whether it is the alarm of a node, a packet under way, or the next question for a sign of life."""
    owner, name = getattr(act, "__self__", None), getattr(act, "__name__", "")
    if isinstance(owner, Turns | Process):
        return name in ("_rang", "_readable")
    if isinstance(owner, Pipes):
        return name == "ring" and owner.conversation.resting
    return name in ("_deliver", "deliver")


def _is_straggler(handle: Handle, shape: Shape) -> bool:
    """Whether it is a packet that takes longer than any does when all is well."""
    packet = handle.args[-1] if handle.args else None
    return isinstance(packet, Packet) and handle.at - packet.sent > 2 * shape.delay


Snapshot = tuple[list[object], list[float]]
"""That which is the same or not, and times relative to now."""


def snapshot(machines: list[Machine], fabric: Fabric) -> Snapshot:
    """What the world is like."""
    facts: list[object] = []
    times: list[float] = []
    for machine in machines:
        facts += [frozenset(machine.lo), machine.agent is None]
        if machine.agent is None:
            continue
        now = machine.agent.loop.time()
        for router in machine.agent.routers.values():
            facts += _facts(router)
            times += (time - now for time in _times(router))
        facts.append(machine.agent.resting)
    for one in fabric.routers:
        facts += [
            sorted(one.sessions),
            sorted(one.holding),
            sorted(
                (str(network), sorted(routes.items(), key=lambda item: item[0]))
                for network, routes in one.routes.items()
            ),
        ]
    return facts, times


def _facts(router: VirtualRouter) -> Iterator[object]:
    instance = router.instance
    state = instance.router.state
    yield instance.router.priority
    yield state.role
    if isinstance(state, Backup):
        yield (state.interval, state.following, state.resigned, state.inferior, state.resuming)
    if isinstance(state, Active):
        yield (state.advertised, state.answered, state.releasing)
    yield instance.presence.state
    yield (dict(instance.faults), dict(instance.holds), instance.awaited, instance.withheld)


def _times(router: VirtualRouter) -> Iterator[float]:
    state = router.instance.router.state
    if isinstance(state, Active | Backup):
        yield state.deadline


def same(one: Snapshot, other: Snapshot, interval: float, tolerance: float) -> bool:
    """Whether two snapshots, taken an advert apart, are of one state, but for the lateness of alarms.

    The second one may be before or after an advert that the first one is on the other side of.
    """
    if one[0] != other[0] or len(one[1]) != len(other[1]):
        return False
    apart = (abs(mine - theirs) for mine, theirs in zip(one[1], other[1], strict=True))
    return all(min(distance, abs(distance - interval)) <= tolerance for distance in apart)
