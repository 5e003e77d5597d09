"""Orderly moves in the calm: what an operator may do to a node, and what users may see of it.

``Service`` looks at the fabric and at lo after every event, as a client's packets would. Three promises are its matter:

- make before break: whatever is drained, undrained, lowered, raised, killed or replaced, every router of the fabric
  sends packets for an address to nodes that have it bound, at every moment. This holds where the handover is given the
  time that ExaBGP and the fabric need (``AMPLE_HOLD``, ``AMPLE_LINGER``); who configures less has asked for less.
- an attacker who does not know the keys moves nothing, where all nodes enforce authentication.
- break before make: no other node is bound as long as the one that is drained or lowered is. A *preemption* is not
  among these moves: a better node that comes back takes over when it has advertised, as RFC 9568 has it, and the other
  one learns of it from that advert. Nor is a crash: nobody is left who could break before another one makes. And where
  two nodes could succeed at the same moment, because their priorities are (nearly) the same, VRRP lets both begin.
"""

from collections.abc import Callable, Iterator
from random import Random

from exavrrp.vrrp.router import Role
from tests.simulation.attacker import Attacker
from tests.simulation.exabgp import Temper
from tests.simulation.fabric import Fabric
from tests.simulation.machine import Machine
from tests.simulation.network import Address
from tests.simulation.shape import Shape
from tests.simulation.world import Violation

AMPLE_HOLD, AMPLE_LINGER = 0.2, 0.5
"""Seconds, at least: the successor has to bind and announce, and a router to act upon it. A busy ExaBGP needs longer,
by up to ``COMMANDS`` times what it may take for one."""

COMMANDS = 8
"""Commands that may be before the one that matters: of another family, or a withdraw in every form of a route."""

Move = tuple[str, Callable[[], None], Machine | None]
"""What it is called, what is done, and who has to break before another one makes, if anybody has to."""


class Service:
    """What a client would see."""

    def __init__(
        self,
        *,
        shape: Shape,
        machines: list[Machine],
        fabric: Fabric,
        temper: Temper,
        attacker: Attacker,
        now: float,
    ) -> None:
        """``now``: since when everything arrives."""
        self._shape = shape
        self._machines = machines
        self._fabric = fabric
        self._attacker = attacker
        self._calm = now
        ample = shape.hold >= AMPLE_HOLD + COMMANDS * temper.busy and shape.linger >= AMPLE_LINGER
        self._lossless = not shape.orderly and ample
        self.leaving: Machine | None = None
        """beside whom no other node may be bound"""
        self._addresses: tuple[Address, ...] = tuple(
            address for router in machines[0].configuration.routers for address in router.addresses
        )

    def look(self) -> None:
        """To be called after every event."""
        if self._shape.orderly:
            if self.leaving is not None:
                self._breaks_before(self.leaving)
        elif self._lossless:
            self._nothing_lost()

    def _breaks_before(self, leaving: Machine) -> None:
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

    def _attack(self) -> None:
        """A hundred packets that were forged, or recorded before; nothing may come of them."""
        for _ in range(50):
            self._attacker.forge()
            self._attacker.replay(self._calm)

    def moves(self, random: Random) -> Iterator[Move]:
        """A few moves, each to be made when the one before has come to its end."""
        active = self.active()
        if active is None:
            return
        lowered = None if self._shape.preempt else active
        match random.randrange(7 if self._shape.guarded else 6):
            case 6:
                yield "attack", self._attack, None
            case 0:
                yield "drain", active.drain, active
                if random.random() < 0.5:
                    yield "shut down", active.shut_down, None
                yield "undrain", active.undrain, None
            case 1:
                yield "lower", lambda: active.check("worth", passes=False), lowered
                yield "raise", lambda: active.check("worth", passes=True), None
            case 2:
                yield "kill the agent", active.kill_agent, None
            case 3:
                yield "replace the agent", active.replace_agent, None
            case 4:
                others = [machine for machine in self._machines if machine is not active]
                for machine in others:
                    yield f"drain {machine.name}", machine.drain, machine
                yield "drain the last one", active.drain, active
                for machine in others:
                    yield f"undrain {machine.name}", machine.undrain, None
            case _:
                other = random.choice(self._machines)
                yield "drain somebody", other.drain, other
                yield "undrain", other.undrain, None
