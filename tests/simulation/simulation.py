"""One seed: a world is made, troubled, healed, and left alone.

``Simulation`` owns the order of the phases. *Safety*: troubles come and go, and the promises of ``invariants`` hold
after every event. *Healing*: everything is mended, and within ``rest.bound`` the world converges. *Orderly moves*: in
the calm that follows nodes are drained, lowered, killed and replaced, one after the other, and whoever has a promise
about that is held to it (``service``). *Quiet*: for an hour nothing changes. An hour is long; when the world is at rest
and one advert later is exactly as it was, the hour is proved by induction. Some seeds live through it all the same, to
prove the proof.
"""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from exavrrp.simulation.exabgp import Temper
from exavrrp.simulation.fabric import Fabric
from exavrrp.simulation.machine import Machine, Surroundings
from exavrrp.simulation.network import Network, Packet
from exavrrp.simulation.process import Process
from exavrrp.simulation.world import Clock, Violation, World
from exavrrp.speaker.prefixes import BACKOFF
from tests.simulation import rest, shape
from tests.simulation.attacker import Attacker
from tests.simulation.chaos import Chaos
from tests.simulation.invariants import Invariants
from tests.simulation.service import Service
from tests.simulation.transcript import Transcript

HOUR = 3600.0
ADVERTS = 3600
"""Adverts after which an hour is over, too: at short intervals they are as good as it."""

IN_FULL = 1000
"""One seed of so many lives through its hour."""

LOOKS = 12
"""Adverts at most between two looks at a world at rest: at both no question to ExaBGP may be open, of any node."""

Watching = Callable[[Process], Invariants]


class Simulation:
    """The world of one seed."""

    def __init__(self, seed: int, watching: Watching = Invariants) -> None:
        self.seed = seed
        self.world = world = World(seed)
        self.shape = shape.draw(world.random, world.seed)
        self.transcript = Transcript([node.name for node in self.shape.nodes])
        self.transcript.add(0.0, None, "seed {}: {}", seed, self.shape.summary())
        self.watches: list[Invariants] = []
        self._converged_by = 0.0
        """when the bound for healing ends"""
        self.temper = self._temper()
        count = len(self.shape.nodes)
        self.network = Network(world, count, self.shape.paths, self._delay, self._deliver)
        self.fabric = Fabric(
            world,
            self.shape.paths,
            self.shape.routers_hold,
            self.shape.convergence,
            internal=self.shape.internal,
            distinct=self._are_places_distinct,
        )
        around = Surroundings(
            world=world,
            network=self.network,
            fabric=self.fabric,
            temper=self.temper,
            numbers={
                ip_address(text): number
                for number, node in enumerate(self.shape.nodes)
                for text in node.sources.values()
            },
            neighbors=self.shape.neighbors,
            watching=partial(self._watch, watching),
            log=self._log,
            ground_moved=self._moved,
        )
        self.machines = [
            Machine(
                number=number,
                name=node.name,
                around=around,
                configuration=self.shape.configuration(node),
                clock=Clock(world, node.start, node.rate, node.offset),
                version=node.exabgp,
                lateness=self.shape.lateness,
            )
            for number, node in enumerate(self.shape.nodes)
        ]
        self.attacker = Attacker(world, self.shape, self.machines)
        self.network.tap = self.attacker.record
        self.chaos = Chaos(
            world=world,
            shape=self.shape,
            machines=self.machines,
            network=self.network,
            temper=self.temper,
            attacker=self.attacker,
            log=partial(self._log, None),
        )

    def _temper(self) -> Temper:
        """What every ExaBGP is like until everything heals, and what it stays like."""
        random = self.world.random
        temper = Temper(busy=random.choice((0.0, 0.0, 0.08)), outdated=random.choice((0.0, 0.8)))
        if random.random() < 0.3:
            temper.late, temper.error, temper.mute = 0.1, random.choice((0.0, 0.3)), random.choice((0.0, 0.1))
        return temper

    def _delay(self) -> float:
        return self.shape.delay * self.world.random.uniform(0.5, 1.5)

    def _deliver(self, receiver: int, path: int, packet: Packet) -> None:
        self.machines[receiver].deliver(path, packet)

    def _are_places_distinct(self) -> bool:
        """Whether takeover is by MED, and all lists of peers have agreed for so long that no router has other routes.

        Else two nodes may have the same place, or have had it.
        """
        since = self.world.now - self.shape.routers_hold - BACKOFF[-1]
        return "med" in self.shape.takeover and all(
            [one.peers for one in machine.configuration.routers] == [one.peers for one in machine.original.routers]
            and machine.reconfigured < since
            for machine in self.machines
        )

    def _watch(self, watching: Watching, process: Process) -> Invariants:
        watch = watching(process)
        self.watches.append(watch)
        return watch

    def _log(self, node: int | None, template: str, *values: object) -> None:
        self.transcript.add(self.world.now, node, template, *values)

    def _moved(self, machine: Machine) -> None:
        machine.grounded()

    @property
    def refused(self) -> int:
        """Genuine adverts that were rejected."""
        return sum(watch.refused for watch in self.watches)

    @property
    def transitions(self) -> int:
        return sum(watch.transitions for watch in self.watches)

    # The phases

    def run(self) -> None:
        """Raises ``Violation``, and whatever a bug raises."""
        self._begin()
        self._trouble()
        self._heal()
        self._move()
        self._quiet()

    def _begin(self) -> None:
        for machine in self.machines:
            self.world.after(self.world.random.choice((0.0, 0.5, 5.0)) * self.world.random.random(), machine.start)

    def _trouble(self) -> None:
        random, interval = self.world.random, self.shape.interval
        self.world.run(random.choice((0.0, 2.0 + 6 * interval)))  # some begin in trouble
        self._log(None, "trouble begins")
        self.chaos.begin()
        self.world.run(self.world.now + max(40 * interval, 8.0) * random.uniform(0.5, 1.5))

    def _heal(self) -> None:
        self.chaos.end()
        for machine in self.machines:
            machine.wanted = True
            machine.start()
            machine.revive()
        limit = rest.bound(self.shape, self.machines)
        self._log(None, "healed: {:.1f} s to converge", limit)
        self._converged_by = self.world.now + limit
        self._converge(limit)

    def _converge(self, limit: float) -> None:
        end = self.world.now + limit
        step = max(self.shape.interval, 0.1)
        while True:
            self.world.run(self.world.now + step)
            wrong = rest.convergence(self.shape, self.machines, self.fabric)
            if wrong is None:
                self._log(None, "converged")
                return
            if self.world.now > end:
                raise Violation(f"not converged within {limit:.1f} s: {wrong}")

    def _move(self) -> None:
        """Orderly moves, if this seed has any."""
        if self.world.random.random() < 0.4:
            return
        self._settle(self.world.now + self._patience)
        service = Service(
            shape=self.shape,
            machines=self.machines,
            fabric=self.fabric,
            network=self.network,
            temper=self.temper,
            attacker=self.attacker,
            world=self.world,
        )
        for move in service.moves(self.world.random):
            self._log(None, "orderly: {}", move.name)
            service.move = move
            self.world.look = service.look
            limit, transitions = rest.bound(self.shape, self.machines), self.transitions
            move.act()
            self.world.run(self.world.now + 1.0 + 2 * self.shape.interval)
            self._converge(limit)
            if move.calm and self.transitions != transitions:
                raise Violation("an attacker without a key has moved something")
        self.world.look = None

    @property
    def _patience(self) -> float:
        """Seconds in which everything that may still be remembered is forgotten."""
        return 2 * self.shape.stale_for + 100.0

    def _quiet(self) -> None:
        """From now on until an hour is over."""
        end = self.world.now + min(HOUR, ADVERTS * self.shape.interval)
        self._settle(self.world.now + self._patience)
        transitions, changes = self.transitions, self.fabric.changes
        bound = [frozenset(machine.lo) for machine in self.machines]
        if self.seed % IN_FULL == 0:
            self.world.run(end)
            if (transitions, changes, bound) != (
                self.transitions,
                self.fabric.changes,
                [frozenset(machine.lo) for machine in self.machines],
            ):
                raise Violation("at rest, and within the hour something changed")
            wrong = rest.convergence(self.shape, self.machines, self.fabric)
            if wrong is not None:
                raise Violation(f"at rest, and after an hour: {wrong}")

    def _settle(self, limit: float) -> None:
        """Until nothing is pending but adverts, and some adverts later everything is as it was.

        Nobody's state may change meanwhile, but within the bound for healing: a command that ExaBGP has begun in
        trouble may keep it from answering for a while yet, when everything else has found its place.
        """
        transitions = self.transitions
        interval = rest.period(self.machines) or self.shape.interval
        tolerance = 2 * self.shape.lateness + 0.03 * interval
        while True:
            what = rest.pending(self.shape, self.world, self.machines)
            if what is None:
                before, refused = rest.snapshot(self.machines, self.fabric), self.refused
                for _ in range(LOOKS):  # by whole ones, until no question to ExaBGP is open again
                    self.world.run(self.world.now + interval)
                    if rest.pending(self.shape, self.world, self.machines) is None:
                        break
                after = rest.snapshot(self.machines, self.fabric)
                # Backups alone, of whom each will be patient for a while, look as if they heard somebody.
                what = rest.convergence(self.shape, self.machines, self.fabric)
                if not rest.same(before, after, interval, tolerance) or self.refused != refused:
                    what = "the state changes"
                if what is None:
                    break
            else:  # not by a whole one: a question to ExaBGP that is asked as regularly would be open each time
                self.world.run(self.world.now + 0.618 * interval)
            if self.world.now <= self._converged_by:
                transitions = self.transitions
            if self.world.now > limit:
                raise Violation(f"does not come to rest: {what}")
        if self.transitions != transitions:
            raise Violation("converged, and then somebody else became Active")
        self._log(None, "at rest")
