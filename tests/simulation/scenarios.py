"""Histories that seeds hardly ever come to, told step by step."""

from collections.abc import Callable

from exavrrp.instance import Fault, Instance
from exavrrp.simulation.machine import Machine
from exavrrp.vrrp.router import Role
from tests.simulation.chaos import fewer_addresses
from tests.simulation.simulation import Simulation


def begun(seed: int) -> Simulation:
    """A world of its own in which nothing goes wrong, 20 s old."""
    simulation = Simulation(seed)
    simulation.temper.calm()
    for machine in simulation.machines:
        machine.start()
    simulation.world.run(20.0)
    return simulation


def active(simulation: Simulation) -> Machine:
    """Who is Active."""
    return next(machine for machine in simulation.machines if _is_active(machine))


def _is_active(machine: Machine) -> bool:
    return machine.agent is not None and all(
        router.instance.router.role is Role.ACTIVE for router in machine.agent.routers.values()
    )


def a_successor_is_slow(seed: int) -> bool:
    """It needs 1.6 s to start, and its predecessor's caretaker has something to withdraw meanwhile.

    Whether ExaBGP was ended, although nothing is wrong with it.
    """
    simulation = begun(seed)
    node = active(simulation)
    exabgp = node.exabgp
    node.interpreter = (1.6, 1.6)
    node.replace_agent()
    simulation.world.run(20.5)
    node.check("fit", passes=False)
    simulation.world.run(30.0)
    return node.exabgp is not exabgp


def nobody_can_withdraw(seed: int) -> bool:
    """A withdraw is not answered, the agent is killed when its addresses are gone, and then a reload fails.

    Whether ExaBGP was ended, which is the only withdraw that is left. Raises ``Violation``.
    """
    simulation = begun(seed)
    node = active(simulation)
    exabgp = node.exabgp
    simulation.temper.mute = 1.0
    node.check("fit", passes=False)
    simulation.world.run(30.0)
    assert not node.lo
    node.kill_agent()
    simulation.world.run(35.0)
    node.fail_reload()
    simulation.world.run(45.0)
    return node.exabgp is not exabgp


def exabgp_refuses_for_some_neighbors(seed: int) -> None:
    """ExaBGP refuses what a node announces when it takes over, and has told some neighbors of it. Then a reload fails.

    ``seed``: one whose first node has ExaBGP 5.0, and gives up what is refused. Raises ``Violation``.
    """
    simulation = Simulation(seed)
    simulation.temper.calm()
    node = simulation.machines[0]
    node.start()
    _run_until(simulation, lambda instance: instance.router.role is Role.BACKUP)
    simulation.temper.error = 1.0
    _run_until(simulation, lambda instance: Fault.ANNOUNCEMENT in instance.faults)
    simulation.world.run(simulation.world.now + 0.1)
    assert node.exabgp is not None
    assert node.exabgp.announced(), "the withdraw is refused, too"
    node.fail_reload()
    simulation.world.run(simulation.world.now + 10.0)


def _run_until(simulation: Simulation, happened: Callable[[Instance], bool]) -> None:
    """Until it has happened to a virtual router of the first node."""
    node, world = simulation.machines[0], simulation.world
    while node.agent is None or not any(happened(one.instance) for one in node.agent.routers.values()):
        world.run(world.now + 0.01)
        assert world.now < 60.0


def a_failed_reload_is_repaired(seed: int) -> list[str]:
    """A reload fails, and 10 s later one does not. What happens to the sessions of that node for 20 s.

    ``seed``: one whose ExaBGP is 5.0. Raises ``Violation``.
    """
    simulation = begun(seed)
    node = active(simulation)
    node.fail_reload()
    simulation.world.run(30.0)
    node.repair()
    simulation.world.run(50.0)
    told = (template.format(*values) for time, _, template, values in simulation.transcript.entries if time > 30.0)
    return [one for one in told if "the session to" in one]


def an_address_comes_back(seed: int) -> None:
    """A reload takes an address away, the node gives up, and another reload gives it back while it lingers.

    ``seed``: one whose nodes have two addresses or more. Raises ``Violation``.
    """
    simulation = begun(seed)
    node = active(simulation)
    there, back = fewer_addresses(node.original, node.original.routers[0].identity)
    node.reconfigure(there(node.configuration))
    simulation.world.run(20.2)
    node.check("fit", passes=False)
    simulation.world.run(20.3)
    assert node.lo, "it lingers"
    node.reconfigure(back(node.configuration))
    simulation.world.run(30.3)
    assert not node.lo, "it has lingered"


def an_active_dies_beside_a_deaf_node(seed: int) -> bool:
    """The worst node hears nothing and is Active beside the best one, which then dies with its links up.

    Whether routers send all packets to the successor before they have forgotten the dead. ``seed``: one with three
    nodes or more of different priorities, where silent failures count.
    """
    simulation = begun(seed)
    shape, world = simulation.shape, simulation.world
    dying, *_, deaf = sorted(simulation.machines, key=lambda one: -one.original.routers[0].priority)
    for (_, receiver, _), way in simulation.network.paths.items():
        way.cut = way.cut or receiver == deaf.number
    world.run(world.now + (shape.down_count + 9) * shape.interval + 1.0)
    dying.wanted = False
    dying.lose_power(carrier=False)
    patience = max(one.original.routers[0].preempt_delay for one in simulation.machines)  # with the deaf one
    world.run(world.now + (shape.down_count + 2) * shape.interval + patience + shape.convergence)
    successor = next(one for one in simulation.machines if one not in (dying, deaf) and _is_active(one))
    assert dying.number in simulation.fabric.routers[0].sessions, "its route is there still"
    return all(
        simulation.fabric.best(router, address) == {successor.number}
        for router in range(len(simulation.fabric.routers))
        for address in successor.configuration.routers[0].addresses
    )
