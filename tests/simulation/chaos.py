"""What goes wrong, by seed: which troubles there are in this world, how often they come and how long they stay.

``Chaos`` owns the troubles and their ends. Each trouble is one method: it begins something, and says when and how that
ends. The seed leaves most worlds some kinds of trouble and not others, because a world in which everything breaks at
once shows less than one in which two things do.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from exavrrp.config import Authentication, Configuration, VirtualRouter
from exavrrp.simulation.exabgp import Temper
from exavrrp.simulation.machine import Machine
from exavrrp.simulation.network import Network, Path
from exavrrp.simulation.world import World
from exavrrp.speaker.conversation import SURVEY
from exavrrp.vrrp.packet import OWNER
from tests.simulation.attacker import Attacker
from tests.simulation.shape import Shape

Trouble = Callable[[], None]


class Chaos:
    """The troubles of one world."""

    def __init__(
        self,
        *,
        world: World,
        shape: Shape,
        machines: list[Machine],
        network: Network,
        temper: Temper,
        attacker: Attacker,
        log: Callable[..., None],
    ) -> None:
        self._world = world
        self._random: Random = world.random
        self._shape = shape
        self._machines = machines
        self._network = network
        self._temper = temper
        self._attacker = attacker
        self._log = log
        self._ends: dict[int, Trouble] = {}
        self._count = 0
        kinds: tuple[Trouble, ...] = (
            self._weaken_path,
            self._cut_path,
            self._clog_path,
            self._deafen,
            self._silence,
            self._isolate,
            self._kill_agent,
            self._replace_agent,
            self._fail_reload,
            self._shut_down,
            self._kill_exabgp,
            self._lose_power,
            self._stop_agent,
            self._freeze,
            self._suspend,
            self._stop_exabgp,
            self._flap,
            self._unplug,
            self._unplug_all,
            self._drain,
            self._fail,
            self._lower,
            self._refuse,
            self._remove,
            self._set_clock,
            self._disturb,
            self._attack,
            self._spoil_exabgp,
            self._unlist,
            self._fill_pipes,
            self._reconfigure,
            self._reload,
        )
        self._kinds = kinds
        self._reloads = Random(f"what is reloaded {world.seed}")
        self._weights = [0.0 if self._random.random() < 0.45 else self._random.random() for _ in kinds[:-3]]
        if not any(self._weights):
            self._weights = [1.0] * len(self._weights)
        for what in (
            "full pipes",
            "other settings",
            "reloads",
        ):  # a draw of its own: seeds without it are the histories they were
            own = Random(f"{what} {world.seed}")
            self._weights.append(0.0 if own.random() < 0.7 else own.random())
        self._pace = shape.interval * self._random.choice((0.7, 1.5, 4.0))
        if shape.interval < 0.3:
            self._pace = max(self._pace, 0.3 * self._random.choice((0.5, 1.0, 2.0)))
        base = self._random
        self._base = {
            "loss": base.choice((0.0, 0.0, 0.01, 0.1, 0.4)),
            "repeat": base.choice((0.0, 0.0, 0.05, 0.3)),
            "jitter": base.choice((0.0, 0.0, 0.05, 0.5, 2.0)) * shape.interval,
            "damage": base.choice((0.0, 0.0, 0.0, 0.02)),
        }

    # From the beginning to the end

    def begin(self) -> None:
        """Trouble from now on."""
        for way in self._network.paths.values():
            self._set_base(way)
        self._arrange()

    def _set_base(self, way: Path) -> None:
        way.loss, way.repeat = self._base["loss"], self._base["repeat"]
        way.jitter, way.damage = self._base["jitter"], self._base["damage"]

    def _arrange(self) -> None:
        self._next = self._world.after(self._random.expovariate(1.0 / self._pace), self._strike)

    def _strike(self) -> None:
        self._random.choices(self._kinds, self._weights)[0]()
        self._arrange()

    def end(self) -> None:
        """Everything that goes on ends now, and nothing begins any more."""
        self._next.cancel()
        for number in list(self._ends):
            self._finish(number)
        self._network.heal()
        self._temper.calm()
        for machine in self._machines:
            machine.unbindable.clear()
            machine.set_clock(0.3 * self._shape.window * self._random.uniform(-1, 1))

    def _lasting(self, end: Trouble, seconds: float) -> None:
        self._count += 1
        self._ends[self._count] = end
        self._world.after(seconds, self._finish, self._count)

    def _finish(self, number: int) -> None:
        end = self._ends.pop(number, None)
        if end is not None:
            end()

    def _while(self) -> float:
        """Seconds that a trouble lasts: below, about and above Active_Down_Interval."""
        interval = self._shape.interval
        return interval * self._random.choice((0.3, 1.0, 2.5, 3.5, 5.0, 9.0)) * self._random.uniform(0.5, 1.5)

    def _anybody(self) -> Machine:
        return self._random.choice(self._machines)

    # Paths

    def _anywhere(self) -> tuple[tuple[int, int, int], Path]:
        key = self._random.choice(list(self._network.paths))
        return key, self._network.paths[key]

    def _weaken_path(self) -> None:
        (sender, receiver, path), way = self._anywhere()
        random, interval = self._random, self._shape.interval
        way.loss = random.choice((0.1, 0.5, 0.9))
        way.repeat = random.choice((0.0, 0.5))
        way.jitter = random.choice((0.0, 0.2, 3.0)) * interval
        way.damage = random.choice((0.0, 0.2))
        self._log(
            "path {} of node{} to node{}: loss {}, repeat {}, jitter {:.2f}, damage {}",
            path,
            sender + 1,
            receiver + 1,
            way.loss,
            way.repeat,
            way.jitter,
            way.damage,
        )
        self._lasting(lambda: self._set_base(way), self._while())

    def _cut(self, ways: list[Path], what: str, *names: object) -> None:
        self._log("cut: " + what, *names)
        for way in ways:
            way.cut = True

        def mend() -> None:
            self._log("mended: " + what, *names)
            for way in ways:
                way.cut = False

        self._lasting(mend, self._while())

    def _cut_path(self) -> None:
        (sender, receiver, path), way = self._anywhere()
        self._cut([way], "path {} of node{} to node{}", path, sender + 1, receiver + 1)

    def _between(self, sender: int | None, receiver: int | None) -> list[Path]:
        return [
            way
            for (one, other, _), way in self._network.paths.items()
            if sender in (None, one) and receiver in (None, other)
        ]

    def _deafen(self) -> None:
        """Cut one direction between two nodes."""
        (sender, receiver, _), _ = self._anywhere()
        self._cut(self._between(sender, receiver), "all paths of node{} to node{}", sender + 1, receiver + 1)

    def _silence(self) -> None:
        """Cut everything that one node sends."""
        node = self._anybody().number
        self._cut(self._between(node, None), "everything from node{}", node + 1)

    def _isolate(self) -> None:
        node = self._anybody().number
        self._cut([*self._between(node, None), *self._between(None, node)], "node{} from all others", node + 1)

    def _clog_path(self) -> None:
        (sender, receiver, path), _ = self._anywhere()
        paths = range(self._shape.paths) if self._random.random() < 0.5 else [path]
        self._log("clogged: paths {} of node{} to node{}", list(paths), sender + 1, receiver + 1)
        for one in paths:
            self._network.paths[sender, receiver, one].clogged = True

        def unclog() -> None:
            self._log("unclogged: paths {} of node{} to node{}", list(paths), sender + 1, receiver + 1)
            for one in paths:
                self._network.unclog(sender, receiver, one)

        self._lasting(unclog, self._while())

    # Processes

    def _kill_agent(self) -> None:
        self._anybody().kill_agent()

    def _replace_agent(self) -> None:
        self._anybody().replace_agent()

    def _fail_reload(self) -> None:
        machine = self._anybody()
        if not machine.broken:
            machine.fail_reload()
            self._lasting(machine.repair, 1.0 + self._while())

    def _away(self, machine: Machine) -> None:
        """ExaBGP is restarted only after a while."""
        machine.wanted = False

        def back() -> None:
            machine.wanted = True
            machine.start()

        self._lasting(back, 0.5 + self._while())

    def _shut_down(self) -> None:
        machine = self._anybody()
        self._away(machine)
        machine.shut_down()

    def _kill_exabgp(self) -> None:
        self._anybody().kill_exabgp(with_agent=self._random.random() < 0.3)

    def _lose_power(self) -> None:
        machine = self._anybody()
        self._away(machine)
        machine.lose_power(carrier=self._random.random() < 0.5)

    def _stop_agent(self) -> None:
        machine = self._anybody()
        stopped = machine.stop_agent()
        if stopped is not None:
            alarms_first = self._random.random() < 0.5
            self._lasting(lambda: machine.go_on(stopped, alarms_first=alarms_first), self._while())

    def _freeze(self) -> None:
        """All processes of a machine stop."""
        machine = self._anybody()
        stopped = machine.stop_agent()
        machine.stop_exabgp()
        alarms_first = self._random.random() < 0.5

        def thaw() -> None:
            machine.go_on_exabgp()
            if stopped is not None:
                machine.go_on(stopped, alarms_first=alarms_first)

        self._lasting(thaw, self._while())

    def _suspend(self) -> None:
        """A virtual machine sleeps, and its monotonic clock with it, unless something wakes it up before its time."""
        machine = self._anybody()
        stopped = machine.stop_agent()
        if stopped is None:
            return
        machine.stop_exabgp()
        began = self._world.now

        def wake() -> None:
            if machine.agent is stopped:  # who runs in its place has seen the clock go on
                machine.clock.stand_still(self._world.now - began)
            machine.go_on_exabgp()
            machine.go_on(stopped, alarms_first=False)

        self._lasting(wake, self._while())

    def _stop_exabgp(self) -> None:
        machine = self._anybody()
        machine.stop_exabgp()
        self._lasting(machine.go_on_exabgp, self._random.choice((0.3, 1.5, 4.0)) * self._random.uniform(0.5, 1.5))

    def _spoil_exabgp(self) -> None:
        random, temper = self._random, self._temper
        temper.late, temper.error = random.choice((0.0, 0.3)), random.choice((0.0, 0.3))
        temper.mute = random.choice((0.0, 0.2))
        self._log("every ExaBGP: late {}, error {}, mute {}", temper.late, temper.error, temper.mute)
        self._lasting(temper.calm, 1.0 + self._while())

    def _fill_pipes(self) -> None:
        """Every ExaBGP takes only a part of what is written, and the rest later."""
        temper = self._temper
        temper.full = self._random.choice((0.3, 0.9))
        self._log("every ExaBGP's pipe is full: {}", temper.full)
        self._lasting(temper.calm, 1.0 + self._while())

    @property
    def _until_repeated(self) -> float:
        """Seconds after a look in which an agent repeats what it said before, if ExaBGP has no trouble, or a limit."""
        temper = self._temper
        return SURVEY if temper.late or temper.error or temper.mute or temper.full else 0.1

    def _unlist(self) -> None:
        """ExaBGP reloads a configuration in which some neighbors do not list the agent."""
        machine = self._anybody()
        routers = range(self._shape.paths)
        machine.list_in(*(router for router in routers if self._random.random() < 0.3))

        def give_back() -> None:
            """Nobody notices one that is over before the next look at the configuration, if what is repeated after the
            last one was missed, or a session has ended meanwhile and come up again.
            """
            exabgp = machine.exabgp
            if exabgp is not None and (
                exabgp.looked <= exabgp.missed_at <= exabgp.looked + self._until_repeated
                or exabgp.looked <= exabgp.opened_unlisted_at
            ):
                self._world.after(0.2, give_back)
            else:
                machine.list_in(*routers)

        self._lasting(give_back, self._while())

    # Links and sessions

    def _flap(self) -> None:
        self._anybody().flap(self._random.randrange(self._shape.paths))

    def _unplug(self) -> None:
        machine, path = self._anybody(), self._random.randrange(self._shape.paths)
        machine.switch_link(path, up=False)
        self._lasting(lambda: machine.switch_link(path, up=True), self._while())

    def _unplug_all(self) -> None:
        machine = self._anybody()
        for path in range(self._shape.paths):
            machine.switch_link(path, up=False)

        def plug() -> None:
            for path in range(self._shape.paths):
                machine.switch_link(path, up=True)

        self._lasting(plug, self._while())

    # The service, the operator, the kernel

    def _drain(self) -> None:
        machine = self._anybody()
        machine.drain()
        self._lasting(machine.undrain, self._while())

    def _reconfigure(self) -> None:
        """Some router is to be quicker in what it does, or a check weighs more, while all goes on."""
        machine = self._anybody()
        before, changed = machine.configuration, self._random.randrange(len(machine.configuration.routers))
        routers, checks = list(before.routers), list(before.checks)
        slower = routers[changed]
        routers[changed] = replace(
            slower,
            linger=slower.linger * self._random.choice((0.5, 1.0)),
            handover_ceiling=slower.handover_ceiling * self._random.choice((0.8, 1.0)),
            preempt_delay=slower.preempt_delay * self._random.choice((0.0, 1.0)),
        )
        checks = [one if one.weight == 0 else replace(one, weight=one.weight - 1) for one in checks]
        machine.reconfigure(replace(before, routers=tuple(routers), checks=tuple(checks)))

    def _reload(self) -> None:
        """Values, addresses, peers or keys are others for a while, of one router or of all.

        What comes back is what there was in the beginning, also where two of these overlap.
        """
        machine, kind = self._reloads.choice(self._machines), self._reloads.choice(KINDS)
        identity = self._reloads.choice(machine.original.routers).identity
        there, back = kind(machine.original, identity)

        def change(how: Callable[[Configuration], Configuration]) -> None:
            machine.reconfigure(how(machine.configuration))

        change(there)
        self._lasting(lambda: change(back), self._while())

    def _fail(self) -> None:
        machine = self._anybody()
        machine.check("fit", passes=False)
        self._lasting(lambda: machine.check("fit", passes=True), self._while())

    def _lower(self) -> None:
        machine = self._anybody()
        machine.check("worth", passes=False)
        self._lasting(lambda: machine.check("worth", passes=True), self._while())

    def _refuse(self) -> None:
        machine = self._anybody()
        router = self._random.choice(machine.configuration.routers)
        address = self._random.choice(router.addresses)
        machine.log("the kernel refuses {}", address)
        machine.unbindable.add(address)
        self._lasting(lambda: machine.unbindable.discard(address), self._while())

    def _remove(self) -> None:
        machine = self._anybody()
        router = self._random.choice(machine.configuration.routers)
        machine.remove(self._random.choice(router.addresses))

    def _set_clock(self) -> None:
        machine = self._anybody()
        step = self._random.choice((0.5, 5.0, 100.0, 1e6)) * self._random.uniform(-1, 1)
        machine.set_clock(machine.clock.offset + step)

    # The stray and the hostile

    def _disturb(self) -> None:
        """An alarm rings that nobody has set."""
        agent = self._anybody().agent
        if agent is None or not agent.started or agent.loop.stopped:
            return
        router = self._random.choice(list(agent.routers.values()))
        agent.loop.turn(agent.watch.stray_alarm, router)

    def _attack(self) -> None:
        for _ in range(self._random.randrange(1, 20)):
            self._random.choice((self._attacker.forge, self._attacker.replay))()


# What is reloaded: from a configuration and the identity of a router, the change and its reverse

Change = Callable[[Configuration], Configuration]
Identity = tuple[object, ...]


def _of(identity: Identity, **settings: Any) -> Change:
    """Other settings of one router."""

    def change(configuration: Configuration) -> Configuration:
        routers = (replace(one, **settings) if one.identity == identity else one for one in configuration.routers)
        return replace(configuration, routers=tuple(routers))

    return change


def _router(configuration: Configuration, identity: Identity) -> VirtualRouter:
    return next(one for one in configuration.routers if one.identity == identity)


def _priority(configuration: Configuration, identity: Identity) -> tuple[Change, Change]:
    before = _router(configuration, identity).priority
    return _of(identity, priority=before if before == OWNER else max(1, before - 30)), _of(identity, priority=before)


def fewer_addresses(configuration: Configuration, identity: Identity) -> tuple[Change, Change]:
    router = _router(configuration, identity)
    addresses, announced = router.virtual_addresses, router.announce
    some = addresses[:1] if len(announced) == len(addresses) else addresses
    then = _of(identity, virtual_addresses=some, announce=announced[: len(some)])
    return then, _of(identity, virtual_addresses=addresses, announce=announced)


def _fewer_peers(configuration: Configuration, identity: Identity) -> tuple[Change, Change]:
    peers = _router(configuration, identity).peers
    return _of(identity, peers=peers[:1]), _of(identity, peers=peers)


def _another_key(configuration: Configuration, _: Identity) -> tuple[Change, Change]:
    before = configuration.authentications

    def turned(one: Authentication) -> Authentication:
        return replace(one, active_key=next(key.id for key in one.keys if key.id != one.active_key))

    def change(how: tuple[Authentication, ...]) -> Change:
        return lambda configuration: replace(configuration, authentications=how)

    return change(tuple(map(turned, before))), change(before)


KINDS = (_priority, fewer_addresses, _fewer_peers, _another_key)
