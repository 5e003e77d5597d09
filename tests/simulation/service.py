"""Orderly moves in the calm: what an operator may do to a node, and what users may see of it.

``Service`` looks at the fabric and at lo after every event, as a client's packets would. Seven promises are its matter:

- make before break: whatever is drained, undrained, lowered, raised, killed or replaced, every router of the fabric
  sends packets for an address to nodes that have it bound, at every moment. This holds where the handover is given the
  time that ExaBGP and the fabric need (``AMPLE_HOLD``, ``AMPLE_LINGER``); who configures less has asked for less.
- a dead node's routes lose, where silent failures count (``takeover = ["prepend"]``, over iBGP
  ``["local-preference"]``; a MED is as good as the clocks):
  once another one is Active and announced, nothing is sent to the dead any more, even if one node after the other dies,
  and the agents of those that took over.
- a deaf node loses, where there is any ``takeover``: it becomes Active beside a better one, and three intervals later
  nothing is sent to it any more.
- a node whose links are all down for a moment does not stay Active without sessions: somebody serves again when a
  Backup has taken over, or before, where BGP has a say in the election.
- who cannot announce takes nothing from who can: a better node that comes back, and whose ExaBGP passes its commands on
  to nobody, changes nothing for anybody.
- an attacker who does not know the keys moves nothing, where all nodes enforce authentication.
- break before make: no other node is bound as long as the one that is drained or lowered is. A *preemption* is not
  among these moves: a better node that comes back takes over when it has advertised, as RFC 9568 has it, and the other
  one learns of it from that advert. Nor is a crash: nobody is left who could break before another one makes. And where
  two nodes could succeed at the same moment, because their priorities are (nearly) the same, VRRP lets both begin.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from random import Random
from typing import NamedTuple

from exavrrp.config.tables.bgp import PREPENDS
from exavrrp.simulation.exabgp import Temper
from exavrrp.simulation.fabric import Fabric
from exavrrp.simulation.machine import Machine
from exavrrp.simulation.network import Address
from exavrrp.simulation.network import Network as Wires
from exavrrp.simulation.world import Violation, World
from exavrrp.system.paths import DELAY
from exavrrp.takeover import ABSENCE, CALM
from exavrrp.vrrp.router import Role
from tests.simulation import rest
from tests.simulation.attacker import Attacker
from tests.simulation.shape import Shape

SENT = 0.01
"""Seconds, at most, from ExaBGP's answer to the UPDATE."""

AMPLE_HOLD, AMPLE_LINGER = 0.2, 0.5
"""Seconds, at least: the successor has to bind and announce, and a router to act upon it. A busy ExaBGP needs longer,
by up to ``COMMANDS`` times what it may take for one."""

COMMANDS = 8
"""Commands that may be before the one that matters: of another family, or a withdraw in every form of a route."""


class Move(NamedTuple):
    """Something that is done in the calm."""

    name: str
    act: Callable[[], None]
    leaving: Machine | None = None
    """who has to break before another one makes, if anybody has to"""
    calm: bool = False
    """whether nobody may change its role"""
    silence: bool = False
    """whether somebody is dead, and routers have its routes still: packets are lost until another one serves"""
    deaf: Machine | None = None
    """who hears nothing, and is heard"""
    cut: bool = False
    """whether all links of the Active are down for a moment"""


class Service:
    """What a client would see."""

    def __init__(
        self,
        *,
        shape: Shape,
        machines: list[Machine],
        fabric: Fabric,
        network: Wires,
        temper: Temper,
        attacker: Attacker,
        world: World,
    ) -> None:
        """To be made when everything arrives again."""
        self._shape = shape
        self._machines = machines
        self._fabric = fabric
        self._network = network
        self._busy = temper.busy
        self._attacker = attacker
        self._world = world
        self._calm = world.now
        ample = shape.hold >= AMPLE_HOLD + COMMANDS * temper.busy and shape.linger >= AMPLE_LINGER
        self._lossless = not shape.orderly and ample
        self._silent = 0
        """nodes that have died or paused: each takes a prepend away"""
        self._serving: tuple[Machine, float] | None = None
        """who serves beside a dead node's routes, and since when"""
        self._unserved: dict[Address, float] = {}
        """since when no router knows a way to somebody who is bound"""
        self._deaf: dict[str, float] = {}
        """since when a router of a deaf node has been Active beside a better one"""
        self.move: Move | None = None
        """the one that is made"""
        self._addresses: tuple[Address, ...] = tuple(
            address for router in machines[0].configuration.routers for address in router.addresses
        )

    def look(self) -> None:
        """To be called after every event."""
        assert self.move is not None
        if self.move.silence:
            self._dead_lose()
        elif self.move.deaf is not None:
            self._deaf_loses(self.move.deaf)
        elif self.move.cut:
            self._somebody_serves()
        elif self._shape.orderly:
            if self.move.leaving is not None:
                self._breaks_before(self.move.leaving)
        elif self._lossless:
            self._nothing_lost()

    def _dead_lose(self) -> None:
        """When somebody is Active, bound, and announced for as long as the routers take, nothing goes to the dead."""
        serving = self.active()
        if serving is None or rest.serves(serving) is not None or not serving.connected or self._silent > PREPENDS:
            self._serving = None
            return
        if self._serving is None or self._serving[0] is not serving:
            self._serving = (serving, self._world.now)
        if self._world.now > self._serving[1] + SENT + self._shape.convergence:
            dead = {machine.number for machine in self._machines if not machine.wanted}
            for address, router in product(self._addresses, range(len(self._fabric.routers))):
                if not dead.isdisjoint(self._fabric.best(router, address)):
                    raise Violation(f"router {router} sends packets for {address} to a node that is dead")

    def _deaf_loses(self, deaf: Machine) -> None:
        """Three intervals after it has become Active, and as long as the routers take, nothing goes to it."""
        limit = 3 * self._shape.interval + 2 * (self._shape.delay + self._shape.lateness) + self._announcing
        assert deaf.agent is not None
        for number, router in enumerate(deaf.agent.routers.values()):
            if router.instance.router.role is not Role.ACTIVE or not self._is_beside(deaf, number):
                self._deaf.pop(router.name, None)
            elif self._world.now > self._deaf.setdefault(router.name, self._world.now) + limit:
                for address, one in product(router.configuration.addresses, range(len(self._fabric.routers))):
                    if deaf.number in self._fabric.best(one, address):
                        raise Violation(f"router {one} sends packets for {address} to a node that is deaf")

    def _somebody_serves(self) -> None:
        """Nobody serves for no longer than a Backup needs to take over, and the routers to know."""
        limit = self._waits + 2 * (self._shape.delay + self._shape.lateness) + DELAY + self._announcing
        for address in self._addresses:
            best = {node for router in range(len(self._fabric.routers)) for node in self._fabric.best(router, address)}
            if any(address in self._machines[node].lo for node in best):
                self._unserved.pop(address, None)
            elif self._world.now > self._unserved.setdefault(address, self._world.now) + limit:
                raise Violation(f"nobody has served {address} for {limit:.2f} s")

    @property
    def _waits(self) -> float:
        """Seconds, at most, for which a Backup waits for the Active."""
        return (self._shape.down_count + 1) * self._shape.interval

    def _is_beside(self, deaf: Machine, number: int) -> bool:
        """Whether another node serves as the router of this number."""
        for machine in self._machines:
            if machine is not deaf and machine.agent is not None:
                router = list(machine.agent.routers.values())[number]
                if router.instance.router.role is Role.ACTIVE and rest.serves(machine) is None:
                    return machine.connected
        return False

    def _breaks_before(self, leaving: Machine) -> None:
        if leaving.agent is not None and any(router.drain.kept for router in leaving.agent.routers.values()):
            return  # nobody took over in time: it takes part again, and may preempt who came too late
        for address in self._addresses:
            bound = [machine.name for machine in self._machines if address in machine.lo and machine is not leaving]
            if bound and address in leaving.lo:
                raise Violation(f"{address} is bound on {', '.join(bound)} before {leaving.name} has let it go")

    def _nothing_lost(self) -> None:
        for address in self._addresses:
            for router in range(len(self._fabric.routers)):
                best = self._fabric.best(router, address)
                if not best:
                    raise Violation(f"router {router} knows no way to {address}")
                for node in best:
                    if address not in self._machines[node].lo:
                        raise Violation(f"router {router} sends packets for {address} to a node that is not bound")

    def active(self) -> Machine | None:
        """Who serves."""
        for machine in self._machines:
            agent = machine.agent
            if agent is not None and any(
                router.instance.router.role is Role.ACTIVE for router in agent.routers.values()
            ):
                return machine
        return None

    def moves(self, random: Random) -> Iterator[Move]:
        """A few moves, each to be made when the one before has come to its end."""
        active = self.active()
        if active is None:
            return
        plans = [self._drain, self._lower, self._kill, self._replace, self._drain_everybody, self._drain_somebody]
        if self._shape.min_sessions:
            plans.append(self._unlist)
        if self._shape.guarded:
            plans.append(self._attack)
        # What nodes have counted of silences in trouble need not be the same: they begin when nothing counts.
        if {"prepend", "local-preference"}.intersection(self._shape.takeover) and not any(map(_counts, self._machines)):
            plans.append(self._silence)
        yield from random.choice(plans)(active, random)
        own = Random(f"deaf {self._world.seed}")  # of its own: seeds without it are the histories they were
        counting = self._shape.takeover != ("med",) and any(map(_counts, self._machines))
        if self._shape.takeover and not counting and own.random() < 0.3:
            yield from self._deafen(own)
        if self._shape.min_sessions and own.random() < 0.3:
            yield from self._cut(own)

    def _drain(self, active: Machine, random: Random) -> Iterator[Move]:
        yield Move("drain", active.drain, leaving=active)
        if random.random() < 0.5:
            yield Move("shut down", active.shut_down)
        yield Move("undrain", partial(self._undrain_connected, active))

    def _undrain_connected(self, machine: Machine) -> None:
        """Where BGP has no say in the election, whoever undrains a node has to see that its sessions are up."""
        while not self._shape.min_sessions and not machine.connected:
            self._world.run(self._world.now + 0.1)
        machine.undrain()

    def _lower(self, active: Machine, random: Random) -> Iterator[Move]:
        lowered = None if self._shape.preempt else active
        yield Move("lower", lambda: active.check("worth", passes=False), leaving=lowered)
        yield Move("raise", lambda: active.check("worth", passes=True))

    def _kill(self, active: Machine, random: Random) -> Iterator[Move]:
        yield Move("kill the agent", active.kill_agent)

    def _replace(self, active: Machine, random: Random) -> Iterator[Move]:
        yield Move("replace the agent", active.replace_agent)

    def _drain_everybody(self, active: Machine, random: Random) -> Iterator[Move]:
        others = [machine for machine in self._machines if machine is not active]
        for machine in others:
            yield Move(f"drain {machine.name}", machine.drain, leaving=machine)
        yield Move("drain the last one", active.drain, leaving=active)
        for machine in others:
            yield Move(f"undrain {machine.name}", machine.undrain)

    def _drain_somebody(self, active: Machine, random: Random) -> Iterator[Move]:
        other = random.choice(self._machines)
        yield Move("drain somebody", other.drain, leaving=other)
        yield Move("undrain", other.undrain)

    def _unlist(self, active: Machine, random: Random) -> Iterator[Move]:
        """The best node is away, and when it comes back ExaBGP passes what it says on to nobody for a while."""
        yield Move("drain", active.drain, leaving=active)

        def restart() -> None:
            active.list_in()
            active.shut_down()

        yield Move("restart, listed nowhere", restart)
        yield Move("undrain", active.undrain)
        yield Move("listed again", partial(active.list_in, *range(self._shape.paths)))

    def _attack(self, active: Machine, random: Random) -> Iterator[Move]:
        yield Move("attack", self._forge_and_replay, calm=True)

    def _forge_and_replay(self) -> None:
        """A hundred packets that were forged, or recorded before; nothing may come of them."""
        for _ in range(50):
            self._attacker.forge()
            self._attacker.replay(self._calm)

    def _silence(self, active: Machine, random: Random) -> Iterator[Move]:
        """One node after the other dies with its links up, and its routes stay; some successors lose their agents."""
        dead: list[Machine] = []
        yield Move("nothing happens", self._forget_silences)
        while len(dead) < len(self._machines) - 1:
            serving = self.active()
            assert serving is not None, "converged, and nobody is Active"
            self._silent += 1
            yield Move(f"{serving.name} falls silent", partial(_fall_silent, serving), silence=True)
            dead.append(serving)
            heir = self.active()
            assert heir is not None, "converged, and nobody is Active"
            if random.random() < 0.5:
                self._silent += 1  # another one may have taken over before it is back
                yield Move(f"kill the agent of {heir.name}", heir.kill_agent, silence=True)
            if random.random() < 0.3:
                break
        # A rebooted node knows nothing of what fell silent before: what the README says of it is no promise.
        yield Move("the routers forget the dead", self._forget, silence=True)
        for machine in dead:
            yield Move(f"{machine.name} comes back", partial(_come_back, machine), silence=True)

    def _deafen(self, random: Random) -> Iterator[Move]:
        """A node hears no advert for a while, and is heard."""
        yield Move("the clocks are set right", self._set_clocks)
        active = self.active()
        deaf = random.choice([machine for machine in self._machines if machine is not active])
        yield Move(f"{deaf.name} is deaf", partial(self._is_deaf, deaf, random), deaf=deaf)

    def _cut(self, random: Random) -> Iterator[Move]:
        """All links of the Active are down for a moment, most often for less than a Backup waits."""
        active = self.active()
        assert active is not None, "converged, and nobody is Active"
        if not any(map(_stands_by, self._machines)):
            return  # all others are drained: nobody could take over
        while not active.connected:
            self._world.run(self._world.now + 0.1)
        # A shorter one is not seen by the node, and is found by ExaBGP alone.
        lasts = max(self._shape.interval * random.choice((0.3, 1.0, 2.5, 9.0)) * random.uniform(0.5, 1.5), 2 * DELAY)
        yield Move(f"{active.name} is unplugged for {lasts:.2f} s", partial(self._is_cut, active, lasts), cut=True)

    def _is_cut(self, active: Machine, lasts: float) -> None:
        for up in (False, True):
            for path in range(self._shape.paths):
                active.switch_link(path, up=up)
            if not up:
                self._world.run(self._world.now + lasts)

    def _set_clocks(self) -> None:
        """A MED is as good as the clocks; and nobody was deaf lately."""
        for machine in self._machines:
            machine.set_clock(0.0)
        self._world.run(self._world.now + CALM + 1.0)

    def _is_deaf(self, deaf: Machine, random: Random) -> None:
        ways = [way for (_, receiver, _), way in self._network.paths.items() if receiver == deaf.number]
        for way in ways:
            way.cut = True
        self._world.run(self._world.now + self._waits + random.choice((1, 5, 30)) * self._shape.interval + 1.0)
        for way in ways:
            way.cut = False

    def _forget_silences(self) -> None:
        """For a moment after its time a silence counts still, in case that it was another's time that counted.

        And what is not to count any more has to be announced.
        """
        self._world.run(self._world.now + ABSENCE + self._waits + self._announcing)

    @property
    def _announcing(self) -> float:
        """Seconds, at most, until the routers act upon an announcement."""
        return COMMANDS * self._busy + SENT + self._shape.convergence

    def _forget(self) -> None:
        self._world.run(self._world.now + self._shape.routers_hold)


def _stands_by(machine: Machine) -> bool:
    """Whether it takes over when the Active fails."""
    routers = [] if machine.agent is None else machine.agent.routers.values()
    return bool(routers) and all(router.instance.router.role is Role.BACKUP for router in routers)


def _counts(machine: Machine) -> bool:
    """Whether any silent failure counts there."""
    assert machine.agent is not None
    return any(router.instance.takeovers.failures.number for router in machine.agent.routers.values())


def _fall_silent(machine: Machine) -> None:
    machine.wanted = False
    machine.lose_power(carrier=False)


def _come_back(machine: Machine) -> None:
    machine.wanted = True
    machine.start()
