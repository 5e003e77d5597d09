"""One simulated host: what outlives the processes on it, and what can befall them.

``Machine`` owns the interfaces, the addresses on lo, the notes on disk, the clocks, one ExaBGP and the agent that this
has started. It is the ground on which a ``Process`` stands, and the handle by which chaos takes hold of both: killed,
stopped, replaced, shut down in order, cut off from power with or without its links. ExaBGP respawns an agent that ends;
whoever ended ExaBGP starts it again.
"""

import math
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from exavrrp.config import Configuration
from exavrrp.control import SavedState
from exavrrp.neighbors import Session
from exavrrp.node import Node
from exavrrp.ports import Link
from exavrrp.simulation.exabgp import ExaBGP, Temper
from exavrrp.simulation.fabric import Fabric
from exavrrp.simulation.network import Address, Network, Packet
from exavrrp.simulation.prefixes import addresses_of, prefixes_of
from exavrrp.simulation.process import Marks, Process, SimulatedChecks
from exavrrp.simulation.world import Clock, Violation, World
from exavrrp.system.paths import DELAY

RESPAWN = (0.007, 0.021)
"""Seconds from the end of an agent until ExaBGP starts another one [seen]."""

RESTART = (0.1, 1.0)
"""Seconds until systemd starts ExaBGP again."""

INTERPRETER = (0.15, 0.4)
"""Seconds until a new process has come up."""

FORK = (0.002, 0.03)
"""Seconds until a caretaker has begun."""

CARE = 1.0
"""Seconds after which somebody looks after what is announced."""

WITHOUT_PROCESS = (0.0, 0.2)
"""Seconds from SIGTERM to the end of an ExaBGP without a process."""

RELOADING = (0.005, 0.03)
"""Seconds from SIGUSR1 until ExaBGP has loaded its configuration."""

RELOAD_AGAIN = 0.5
"""Seconds until a reload that nobody has heard is said again."""

RECONNECT = (0.2, 1.5)
"""Seconds until a BGP session is Established."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all machines share."""

    world: World
    network: Network
    fabric: Fabric
    temper: Temper
    numbers: dict[Address, int]
    """whose source an address is"""
    neighbors: list[tuple[Session, ...]]
    """those of each router"""
    watching: Callable[[Process], Any]
    log: Callable[..., None]
    """node, template, values"""
    ground_moved: Callable[["Machine"], None]
    """called after anything has happened to this machine that no process of it did"""
    enter: Callable[[int, bytes], None] = lambda *_: None
    """node, and a line of its journal"""


@dataclass(eq=False)
class Traces:
    """What a host has of all its processes, those that have ended, too (``process.Ground``)."""

    boot: str
    verdicts: dict[str, bool]
    lo: set[Address] = field(default_factory=set)
    note: SavedState | None = None
    drained: set[str] = field(default_factory=set)
    marks: Marks = field(default_factory=Marks)
    recordings: dict[Process, list[bytes]] | None = None
    accepted: set[bytes] = field(default_factory=set)
    clock_set: float = 0.0
    removed: set[Address] = field(default_factory=set)
    excused: set[Address] = field(default_factory=set)
    unbindable: set[Address] = field(default_factory=set)
    """what the kernel refuses to bind"""


class Machine(Traces):
    """One host."""

    def __init__(
        self,
        *,
        number: int,
        name: str,
        around: Surroundings,
        configuration: Configuration,
        clock: Clock,
        version: str,
        lateness: float,
        neighbors: Sequence[tuple[Session, ...]] | None = None,
        interfaces: Sequence[str] | None = None,
        checks: Callable[[Process], SimulatedChecks] = SimulatedChecks,
    ) -> None:
        """``version``: of its ExaBGP; ``lateness``: seconds that its processes come late at most.

        ``neighbors``: its sessions to each router, if they are others than those of all; ``interfaces``: its names for
        those that lead to the routers, in their order; None: eth0 and so on. ``checks``: when its checks say something.
        """
        super().__init__(f"{name}-0", {check.name: True for check in configuration.checks})
        self.number = number
        self.name = name
        self.world = around.world
        self.configuration = self.original = configuration
        self.clock = clock
        self.lateness = lateness
        self.exabgp: ExaBGP | None = None
        self.agent: Process | None = None
        self.muted = False
        """whether nothing from it or to it gets through, although its links are up"""
        self.make_checks = checks
        self.neighbors = list(around.neighbors if neighbors is None else neighbors)
        self.up = [True] * len(self.neighbors)
        self.listed = [True] * len(self.neighbors)
        """whether the configuration of ExaBGP lists the agent in each router's ``api``"""
        self.listed_since = 0.0
        self.reconfigured = -math.inf
        """when it was told to do something else, the last time"""
        self.interpreter = INTERPRETER
        self.wanted = True
        """whether somebody starts ExaBGP again when it has ended"""
        self._around = around
        self._version = version
        self._others: list[Process] = []
        """agents that have not ended yet, although they are to be replaced, or have no ExaBGP any more"""
        self.broken = False
        """whether ExaBGP's file does not load"""
        self._lives = 0
        self._stopped_at = 0.0
        self._ending: ExaBGP | None = None
        names = [f"eth{index}" for index in range(len(self.up))] if interfaces is None else interfaces
        self._links = tuple(Link(index + 1, name) for index, name in enumerate(names))
        self._seen = self._links

    # What a process stands on

    def log(self, template: str, *values: object) -> None:
        self._around.log(self.number, template, *values)

    def enter(self, line: bytes) -> None:
        self._around.enter(self.number, line)

    def links(self) -> tuple[Link, ...]:
        return self._seen

    def is_up(self, index: int) -> bool:
        return self.up[index - 1]

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        there = {link.index - 1 for link in self._seen}
        own = local if neighbor.is_link_local else None
        meant = Session(neighbor, own)
        sessions = enumerate(self.neighbors)
        return not any(path in there and any(meant.covers(one) for one in these) for path, these in sessions)

    def interface_name(self, index: int) -> str:
        return self._links[index - 1].name

    def transmit(self, index: int, packet: Packet, peer: Address) -> None:
        receiver = self._around.numbers.get(peer)
        if receiver is not None:
            self._around.network.send(receiver, index - 1, packet)
        elif peer.is_multicast:
            for number in sorted(set(self._around.numbers.values()) - {self.number}):
                self._around.network.send(number, index - 1, packet)

    def deliver(self, path: int, packet: Packet) -> None:
        """A packet has come in through an interface."""
        if self.up[path]:
            for process in self._living():
                process.arrive(path + 1, packet)

    def refuses(self, address: Address) -> bool:
        return address in self.unbindable

    def _living(self) -> list[Process]:
        return [*self._others, *([] if self.agent is None else [self.agent])]

    def _serving(self) -> Process | None:
        """Who has the lock, and takes commands."""
        return next((one for one in self._living() if one.started and one.node.why is None), None)

    def is_locked(self, process: Process, exabgp: ExaBGP | None = None) -> bool:
        others = (other for other in (*self._others, self.agent) if other is not None and other is not process)
        return any(other.locked and exabgp in {None, other.exabgp} for other in others)

    def is_asked(self, process: Process) -> bool:
        return any(other.waiting for other in (*self._others, self.agent) if other not in (None, process))

    def has_agent(self, exabgp: ExaBGP) -> bool:
        return self.agent is not None and self.agent.exabgp is exabgp

    def ended(self, process: Process, why: str) -> None:
        self.log("agent ended: {}", why)
        if process in self._others:
            self._others.remove(process)
        if process.node.bequest is not None:
            self._look_what_is_known(process.node, process.exabgp)
            known = process.node.configuration
            caretaker = Process(self, process.exabgp, self._around.watching, known, process.node.bequest)
            self.log("caretaker starts")
            self._others.append(caretaker)
            self.world.after(self.world.random.uniform(*FORK), caretaker.loop.turn, caretaker.begin)
        if process is self.agent:
            self.agent = None
            self._respawn()
        self._around.ground_moved(self)

    def _look_what_is_known(self, node: Node, exabgp: ExaBGP) -> None:
        """A caretaker must know of everything that it may have to withdraw."""
        assert node.bequest is not None
        for router in node.configuration.routers:
            for prefix in router.announce:
                if exabgp.will_announce(prefix) and router.name not in node.bequest.announced:
                    raise Violation(f"{self.name}: {prefix} is announced, and its caretaker does not know")

    # Starts

    def start(self) -> None:
        """ExaBGP is started, and starts the agent."""
        if self.exabgp is not None or not self.wanted or self.broken:
            return
        self._lives += 1
        self.exabgp = ExaBGP(
            world=self.world,
            node=self.number,
            fabric=self._around.fabric,
            neighbors=self.neighbors,
            version=self._version,
            temper=self._around.temper,
            log=self.log,
            identity=(1000 + self._lives, self._lives),
            carried_out=self._carried_out,
            listed=self.listed,
            has_carrier=self.up.__getitem__,
            reopen=self.reconnect,
        )
        self.log("ExaBGP starts")
        if self.muted:
            for router in range(len(self.up)):
                self.exabgp.mute(router)
        self._spawn()
        for router in range(len(self.up)):
            self.reconnect(router)

    def _carried_out(self) -> None:
        """ExaBGP has carried out a command."""
        assert self.exabgp is not None
        self.excused = {
            address
            for address in self.excused
            if any(map(self.exabgp.will_announce, prefixes_of(self.configuration, address)))
        }
        self.grounded()

    def grounded(self) -> None:
        """What ExaBGP announces is on lo, whoever lives."""
        exabgp = self.exabgp
        if exabgp is None or exabgp.going:
            return
        announced = (address for one in exabgp.announced() for address in addresses_of(self.configuration, one))
        for address in announced:
            if address not in self.lo and address not in self.removed and address not in self.excused:
                raise Violation(f"{self.name}: {address} is announced and not on lo")

    @property
    def connected(self) -> bool:
        """Whether all of its sessions are up."""
        return self.exabgp is not None and all(self.exabgp.is_up(router) for router in range(len(self.up)))

    def reconnect(self, router: int) -> None:
        """The session to this router is tried, and comes up after a while."""
        exabgp = self.exabgp
        self.world.after(self.world.random.uniform(*RECONNECT), self._established, exabgp, router)

    def _established(self, exabgp: ExaBGP | None, router: int) -> None:
        if exabgp is None or exabgp is not self.exabgp or not self.up[router] or self.muted:
            return
        if exabgp.stopped:
            self.reconnect(router)
        else:
            exabgp.open(router)

    def _respawn(self) -> None:
        exabgp = self.exabgp
        if exabgp is not None and exabgp.alive and not exabgp.going:
            self.world.after(self.world.random.uniform(*RESPAWN), self._respawned, exabgp)

    def _respawned(self, exabgp: ExaBGP) -> None:
        if exabgp is not self.exabgp or exabgp.going or self.agent is not None or self.broken:
            return
        if exabgp.stopped:
            self.world.after(0.05, self._respawned, exabgp)
        else:
            self._spawn()

    def _spawn(self) -> None:
        exabgp = self.exabgp
        assert exabgp is not None
        self.agent = agent = Process(self, exabgp, self._around.watching, self.configuration)
        self.log("agent starts")
        self.world.after(self.world.random.uniform(*self.interpreter), agent.loop.turn, agent.begin)

    # What befalls the agent

    def kill_agent(self) -> None:
        """SIGKILL: addresses and routes stay, and ExaBGP starts another one."""
        agent, exabgp = self.agent, self.exabgp
        if agent is None:
            return
        self.log("agent killed")
        agent.loop.kill()
        self.agent = None
        if exabgp is not None:
            exabgp.forget(carry_out=self.world.random.random() < 0.5)
        self._respawn()
        self._around.ground_moved(self)

    def replace_agent(self) -> None:
        """ExaBGP's SIGUSR2: SIGTERM without a word, and a new one at once."""
        agent, exabgp = self.agent, self.exabgp
        if agent is None or exabgp is None or exabgp.stopped or exabgp.going or self._others:
            return
        self.log("agent replaced")
        self._detach(agent, exabgp)
        self._spawn()

    def _detach(self, agent: Process, exabgp: ExaBGP) -> None:
        """It is told to end alone; of what it wrote ExaBGP may carry nothing out any more."""
        agent.terminate()
        agent.detach()
        exabgp.forget(carry_out=exabgp.idle or self.world.random.random() < 0.5)
        self._others.append(agent)

    def fail_reload(self) -> None:
        """ExaBGP reloads a file that does not load: SIGTERM without a word, and nobody after it."""
        agent, exabgp = self.agent, self.exabgp
        if agent is None or exabgp is None or exabgp.stopped or exabgp.going or self._others:
            return
        if not agent.started or agent.loop.stopped:
            return  # docs/why/limits.md: nobody is there who could leave a caretaker behind
        self.log("a reload fails")
        self.broken = True
        exabgp.fail_reload()
        self._detach(agent, exabgp)
        self.agent = None
        self._around.ground_moved(self)
        self.world.after(CARE, self._look_after, exabgp)

    def _look_after(self, exabgp: ExaBGP) -> None:
        """What is announced is somebody's business, for as long as ExaBGP lives and has no agent."""
        if exabgp is not self.exabgp or exabgp.going or self.agent is not None:
            return  # who goes has closed its sessions
        if not self.broken:
            return  # one is started, as soon as ExaBGP is not stopped
        if exabgp.announced() and not self._others and exabgp is not self._ending:
            prefixes = ", ".join(sorted(map(str, exabgp.announced())))
            raise Violation(f"{self.name}: {prefixes} announced, and nobody looks after it")
        self.world.after(CARE, self._look_after, exabgp)

    def repair(self) -> None:
        """The file loads again: ExaBGP is told to reload it, or started."""
        self.broken = False
        exabgp = self.exabgp
        if exabgp is None:
            self.start()
        elif exabgp.stopped:
            self.world.after(0.05, self._reload, exabgp)
        else:
            self._reload(exabgp)

    def _reload(self, exabgp: ExaBGP) -> None:
        if exabgp is not self.exabgp or exabgp.going or self.agent is not None or self.broken:
            return
        if exabgp.stopped:
            self.world.after(0.05, self._reload, exabgp)
        else:
            exabgp.load()
            self._spawn()

    def signal_exabgp(self, exabgp: ExaBGP, number: signal.Signals) -> None:
        """Takes a moment; the real caretaker waits for ExaBGP's end before it ends."""
        if number is signal.SIGUSR1:
            self.world.after(self.world.random.uniform(*RELOADING), self._load_again, exabgp)
            return
        self._ending = exabgp
        self.world.after(self.world.random.uniform(*WITHOUT_PROCESS), self._is_ended, exabgp)

    def _load_again(self, exabgp: ExaBGP) -> None:
        if exabgp is not self.exabgp or exabgp.going or self.broken:
            return
        if exabgp.stopped:
            self.world.after(0.05, self._load_again, exabgp)
        else:
            exabgp.load()

    def _is_ended(self, exabgp: ExaBGP) -> None:
        if exabgp is self.exabgp:
            self.kill_exabgp()

    def stop_agent(self) -> Process | None:
        """SIGSTOP; who was stopped."""
        agent = self.agent
        if agent is None or agent.loop.stopped:
            return None
        self.log("agent stopped (SIGSTOP)")
        agent.loop.stop()
        return agent

    def go_on(self, process: Process, *, alarms_first: bool) -> None:
        """SIGCONT."""
        if process.loop.stopped and not process.loop.dead:
            self.log("agent goes on, {} first", "alarms" if alarms_first else "packets")
            process.loop.go_on(alarms_first=alarms_first)

    # What befalls ExaBGP, or all of it

    def shut_down(self) -> None:
        """ExaBGP is asked to stop, and stops the agent: word, SIGTERM, SIGKILL."""
        exabgp = self.exabgp
        if exabgp is None or exabgp.stopped or exabgp.going:
            return
        self.log("ExaBGP is shut down")
        exabgp.shut_down()
        if self.agent is not None:
            self.world.after(0.1, self._terminate, self.agent)
        self.world.after(2.1, self._is_down, exabgp)

    def _terminate(self, agent: Process) -> None:
        if not agent.loop.dead and not agent.loop.stopped:
            agent.loop.turn(agent.terminate)

    def _is_down(self, exabgp: ExaBGP) -> None:
        if exabgp is self.exabgp:
            self.kill_exabgp(with_agent=True)

    def kill_exabgp(self, *, with_agent: bool = False) -> None:
        """SIGKILL, to both or to ExaBGP alone: then the agent finds the end of its pipe."""
        exabgp, agent = self.exabgp, self.agent
        if exabgp is None:
            return
        self.log("ExaBGP killed")
        if with_agent and agent is not None:
            agent.loop.kill()
            self.agent = None
        if with_agent:
            self._kill_others()
        exabgp.die()
        self.exabgp = None
        self.excused.clear()
        if self.agent is not None:
            # It leaves by itself, in order; until then the next one waits for its lock.
            self._others.append(self.agent)
            self.agent = None
        if self.wanted:
            self.world.after(self.world.random.uniform(*RESTART), self.start)
        self._around.ground_moved(self)

    def _kill_others(self) -> None:
        for process in self._others:
            process.loop.kill()
        self._others.clear()

    def stop_exabgp(self) -> None:
        """SIGSTOP."""
        if self.exabgp is not None and not self.exabgp.stopped and not self.exabgp.going:
            self.log("ExaBGP stopped (SIGSTOP)")
            self.exabgp.stop()

    def go_on_exabgp(self) -> None:
        """SIGCONT; sessions that routers have closed are tried again."""
        exabgp = self.exabgp
        if exabgp is not None and exabgp.stopped:
            self.log("ExaBGP goes on")
            exabgp.go_on()
            self._reload_lists()
            for router in range(len(self.up)):
                if not exabgp.is_up(router):
                    self.reconnect(router)

    def list_in(self, *routers: int) -> None:
        """The neighbors that list the agent from now on; ExaBGP reloads (SIGUSR1), and sessions are reset for 4.2."""
        before, self.listed = self.listed, [router in routers for router in range(len(self.up))]
        if self.listed == before:
            return
        self.listed_since = self.world.now
        self.log("neighbors of routers {} list the agent", list(routers))
        self._reload_lists()

    def _reload_lists(self) -> None:
        """A signal waits while ExaBGP is stopped."""
        exabgp = self.exabgp
        if exabgp is not None and not exabgp.stopped and exabgp.reload(self.listed) and self._version.startswith("4"):
            for router in range(len(self.up)):
                self.flap(router)

    @property
    def is_mute(self) -> bool:
        """Whether ExaBGP passes what the agent says on to nobody."""
        return not any(self.listed)

    def revive(self) -> None:
        """Every session that is down is tried."""
        if self.exabgp is not None:
            for router in range(len(self.up)):
                if not self.exabgp.is_up(router):
                    self.reconnect(router)

    def flap(self, router: int) -> None:
        """The session to a router is reset."""
        if self.exabgp is not None and not self.exabgp.stopped:
            self.log("session to router {} is reset", router)
            self.exabgp.close(router)
            self.reconnect(router)

    def lose_power(self, *, carrier: bool) -> None:
        """Everything is gone. ``carrier``: whether the routers notice at once."""
        self.log("power lost, links {}", "down" if carrier else "still up")
        if self.agent is not None:
            self.agent.loop.kill()
            self.agent = None
        self._kill_others()
        if self.exabgp is not None:
            self.exabgp.reader = None
            self.exabgp.die(carrier=carrier)
            self.exabgp = None
        if carrier and self.muted:
            for router in range(len(self.up)):
                self._around.fabric.closed(router, self.number)
        self.lo.clear()
        self.removed.clear()
        self.excused.clear()
        self.note = None  # as good as: it is of another boot
        self.marks.clear()  # nor does the directory of these outlive it
        self.accepted.clear()
        self.boot = f"{self.name}-{self._lives}"
        self._around.ground_moved(self)

    # What befalls the rest

    def switch_link(self, path: int, *, up: bool) -> None:
        """An interface loses its carrier, or has it again."""
        if self.up[path] is up:
            return
        self.log("{} {}", self._links[path].name, "up" if up else "down")
        self.up[path] = up
        if self.exabgp is not None:
            (self.exabgp.find_carrier if up else self.exabgp.lose_carrier)(path)
        self.world.after(DELAY, self._links_moved)

    def _links_moved(self) -> None:
        self._seen = tuple(link for link in self._links if self.up[link.index - 1])
        for process in self._living():
            process.loop.readable(process.moved)

    def mute(self) -> None:
        """Whatever it sends to routers, or they to it, is lost; its links stay up. Adverts are the network's matter."""
        self.muted = True
        if self.exabgp is not None:
            for router in range(len(self.up)):
                self.exabgp.mute(router)

    def unmute(self) -> None:
        """It is heard again, and hears."""
        self.muted = False
        if self.exabgp is not None:
            for router in range(len(self.up)):
                self.exabgp.unmute(router)

    def set_clock(self, offset: float) -> None:
        """Somebody sets the time of day, to so many seconds off."""
        if offset != self.clock.offset:
            self.log("time of day is {:.3f} s off from now on", offset)
            self.clock.offset = offset
            self.clock_set = self.world.now
            self.accepted.clear()

    def remove(self, address: Address) -> None:
        """Somebody removes an address from lo."""
        if address in self.lo:
            self.log("somebody removes {}", address)
            self.lo.discard(address)
            self.removed.add(address)
            for process in self._living():
                process.loop.readable(partial(process.addresses.look, address))
            self._around.ground_moved(self)

    def check(self, name: str, *, passes: bool) -> None:
        """A check says something else from now on."""
        self.verdicts[name] = passes
        agent = self._serving()
        if agent is not None:
            self.log("check {} {}", name, "passes" if passes else "fails")
            agent.checks.changed(name)

    def reconfigure(self, configuration: Configuration) -> None:
        """Whoever works, and whoever comes later, is to do this from now on."""
        self.configuration, self.reconfigured = configuration, self.world.now
        self.log("node{}: other settings", self.number)
        self._say_reload()

    def _say_reload(self) -> None:
        """``exavrrp reload``, again and again: an agent that starts may have read the file before it listens."""
        agent = self.agent
        if agent is None or agent.node.why is not None:
            return
        if agent.started:
            agent.loop.readable(partial(self._hear_reload, agent))
        elif agent.node.configuration != self.configuration:
            self.world.after(RELOAD_AGAIN, self._say_reload)

    def _hear_reload(self, agent: Process) -> None:
        if agent.node.why is None:
            agent.reload(self.configuration)

    def beat(self) -> None:
        """A second is over: its agent sends its beacons."""
        agent = self._serving()
        if agent is not None:
            agent.beat()

    def drain(self, names: Collection[str] | None = None) -> None:
        """``exavrrp drain``: these routers, or all, and also after a restart."""
        routers = (router.name for router in self.configuration.routers)
        self.drained = self.drained.union(routers if names is None else names)
        agent = self._serving()
        if agent is not None:
            self.log("exavrrp drain")
            agent.loop.readable(partial(agent.drain, names))

    def undrain(self, names: Collection[str] | None = None) -> None:
        """``exavrrp undrain``: these routers, or all, and also those that are drained and not configured."""
        held, self.drained = self.drained, set() if names is None else self.drained.difference(names)
        agent = self._serving()
        if agent is not None:
            self.log("exavrrp undrain")
            agent.loop.readable(partial(agent.undrain, sorted(held) if names is None else (), names))
