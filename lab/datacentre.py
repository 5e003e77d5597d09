"""The whole lab: topology, routers, servers, observers; starts it, waits until it is up, removes it.

Owns: the order of the start, and the conditions that hold before anything is measured. Must not know: scenarios, which
call it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lab.addressing import (
    CLIENT,
    FAMILIES,
    HOST,
    PREFIX_LENGTH,
    SERVERS,
    VIRTUAL_ADDRESS,
    Address,
    Family,
    Link,
    Machine,
    Site,
)
from lab.facts import POWER_OFF, POWER_ON, AgentEvent, Command, Facts, Incident, Standing, hops_after, standings
from lab.observers import LOCAL_PROBES_PER_SECOND, PROBES_PER_SECOND, Observers
from lab.processes import Late, Processes, Program
from lab.recordings import Recording, replay
from lab.routers import Daemon, best_path, candidates, disable, start_routers
from lab.servers import Server, ServerPlan
from lab.topology import LabError, Namespace, Topology

START_LIMIT = 60.0
"Seconds; a busy machine with two cores needs about 5."
ROW = 50
"So many probes in a row (0.1 s, each source port three times) answered by one node: it serves."


@dataclass(frozen=True, slots=True)
class Fabric:
    """What a lab is built with, beside the servers' plan."""

    site: Site
    router: Daemon
    family: Family
    hold: int
    seed: int


@dataclass(frozen=True, slots=True)
class Given:
    """A command of exavrrp that runs."""

    time: float
    server: Machine
    words: str
    program: Program


class DataCentre:
    def __init__(self, fabric: Fabric, directory: Path, say: Callable[[str], None]) -> None:
        self.fabric = fabric
        self.say = say
        self.topology = Topology(fabric.site, fabric.seed)
        self.processes = Processes(directory)
        self.observers = Observers(self.topology, self.processes, fabric.site, fabric.family)
        self.servers: dict[str, Server] = {}
        self.directory = directory
        self._hashed: Link | None = None
        self._given: Given | None = None
        self._resting = Standing("backup")
        self.attacker: Program | None = None

    def build(self) -> None:
        """Namespaces and links with the instruments at them; no router or server runs yet."""
        self.topology.build()
        self.observers.start()
        if not self.topology.hash_seeded:
            self.say("this kernel has no fib_multipath_hash_seed (Linux 6.11): ECMP splits differently each run")

    def start(self, plan: ServerPlan) -> None:
        """Routers and servers; returns when the fabric is complete. Raises LabError."""
        if plan.site.host and (plan.unlisted or plan.carrier or plan.site.twins or plan.overlay):
            raise LabError("this scenario is about sessions of ExaBGP's own to the routers: leave out --bgp-host")
        routers = [self.topology[each.name] for each in (*self.fabric.site.routers, CLIENT)]
        self._resting = Standing("backup", bound=plan.standby or plan.prebind, announced=plan.standby)
        fabric, extended = self.fabric, plan.carrier == 6 and (plan.family == 4 or plan.site.unnumbered)
        start_routers(fabric.site, routers, fabric.router, self.processes, fabric.hold, extended=extended)
        for each in SERVERS:
            server = Server(self.topology[each.name], plan, self.processes)
            self.servers[each.name] = server
            server.configure()
            if plan.overlay:
                server.make_overlay()
            server.start_service()
            server.start_daemon()
            server.start_exabgp()
        self.await_fabric()

    def add_twins(self) -> Site:
        """Adds a second session from each server to the router of its first uplink, and returns the new site. To be
        called before `start`, whose plan must contain that site.
        """
        assert not self.servers
        site = replace(self.fabric.site, twins=True)
        for each in SERVERS:
            link = site.uplinks(each)[0]
            add = f"address add {link.second_address}/{PREFIX_LENGTH[6]} dev {link.member_interface} nodad"
            self.topology[each.name].ip([add])
        self.fabric = replace(self.fabric, site=site)
        return site

    def disable(self, link: Link, address: Address, *, off: bool = True) -> None:
        """Has the router of a link shut its session to this address of the member, or (not `off`) enable it again."""
        namespace = self.topology[link.router.name]
        disable(self.fabric.site, namespace, self.fabric.router, self.directory, (link.member, address), off=off)

    def hashed_uplink(self) -> Link:
        """The uplink that node1's kernel would choose for all its adverts to node2. The first call must precede
        `start`.
        """
        if self._hashed is None:
            assert not self.servers
            if self.fabric.site.host:
                raise LabError("this scenario needs the routes of servers before they run: leave out --bgp-host")
            node1, node2, _ = SERVERS
            tor = self.observers.hashed_way(node1, node2)
            self._hashed = self.fabric.site.link_between(node1, self.fabric.site.machine(tor))
        return self._hashed

    def overlay_uplink(self) -> Link:
        """The uplink over which node1's adverts in the VXLAN go to node2: the kernels' hashes choose it."""
        node1, node2, _ = SERVERS
        ends = (str(self._source(node1)), str(self._source(node2)))
        carried: list[str] = []

        def seen() -> bool:
            carried[:] = [each.tor for each in self.observers.adverts if (each.source, each.destination) == ends]
            return bool(carried)

        self._await("an advert in the VXLAN", START_LIMIT, seen)
        return self.fabric.site.link_between(node1, self.fabric.site.machine(carried[-1]))

    def await_fabric(self) -> None:
        """Waits until every router and the client reach every server's own address over every path, IPv4 and IPv6: all
        sessions are up.
        """
        self.processes.await_condition("all BGP sessions", START_LIMIT, self._fabric_complete)

    def _fabric_complete(self) -> bool:
        return fabric_complete(self.topology, self.fabric.site)

    def best_path(self, router: Machine) -> tuple[int, ...]:
        """The AS path of the best route to the virtual address in a router's daemon; () without a route."""
        family = self.fabric.family
        prefix = f"{VIRTUAL_ADDRESS[family]}/{HOST[family]}"
        return best_path(self.topology[router.name], self.fabric.router, self.directory, prefix)

    def tables(self) -> dict[str, set[str]]:
        """By router next to a server: the servers from which its daemon has a route to the virtual address."""
        family, site = self.fabric.family, self.fabric.site
        prefix = f"{VIRTUAL_ADDRESS[family]}/{HOST[family]}"
        return {
            link.router.name: candidates(
                site, self.topology[link.router.name], self.fabric.router, self.directory, prefix
            )
            for server in SERVERS
            for link in site.uplinks(server)
        }

    def start_probing(self) -> None:
        self.observers.start_prober()

    def start_local_probing(self, server: Machine) -> None:
        self.observers.start_local_prober(server)

    def watch_addresses(self, server: Machine) -> None:
        self.observers.watch_addresses(server)

    def standing(self, node: str) -> Standing:
        return standings(self.observers.incidents, self.observers.agents).get(node, Standing())

    def await_settled(self, node: str, limit: float = START_LIMIT) -> None:
        """Waits until `node` alone is Active, bound and announced, the routers lead to it, and nothing else is in
        motion.
        """
        self._await(f"{node} Active alone", limit, lambda: self._settled(node))

    def await_serving(self, node: str, limit: float = START_LIMIT) -> None:
        """Waits until `node` answers the probes, all of them, for a tenth of a second."""
        record = self.observers.probes
        self._await(f"{node} answering", limit, lambda: record.answered_in_a_row(node) >= ROW)

    def await_serving_locally(self, node: str, limit: float) -> None:
        """Waits until `node` answers the probes that a server itself sends, for a tenth of a second."""
        record = self.observers.local
        row = ROW * LOCAL_PROBES_PER_SECOND // PROBES_PER_SECOND
        self._await(f"{node} answering locally", limit, lambda: record.answered_in_a_row(node) >= row)

    def await_at_rest(self, node: str, limit: float) -> None:
        """Waits until `node` is not Active, and the address is neither bound nor announced there."""

        def at_rest() -> bool:
            standing = self.standing(node)
            return standing.state != "active" and not standing.bound and not standing.announced

        self._await(f"{node} at rest", limit, at_rest)

    def await_logged(self, server: Machine, event: str, since: float, limit: float) -> AgentEvent:
        """Waits until a server's agent logs this event, later than `since` (seconds since the epoch)."""

        def found() -> Iterator[AgentEvent]:
            for each in self.observers.agents:
                if (each.node, each.event) == (server.name, event) and each.time > since:
                    yield each

        self._await(f"{server.name} logs {event}", limit, lambda: any(found()))
        return next(found())

    def agent_process(self, server: Machine) -> int:
        """The pid of a server's agent, which it logs when it starts."""
        self.observers.refresh()
        said = [each for each in self.observers.agents if (each.node, each.event) == (server.name, "agent-started")]
        return int(said[-1].field("process"))

    def command(self, server: Machine, *words: str) -> float:
        """Starts a command of exavrrp on a server; returns the time. `await_command` waits for its end."""
        now = time.time()
        self._given = Given(now, server, " ".join(words), self.servers[server.name].start_command(*words))
        return now

    def await_command(self, limit: float) -> Command:
        """Waits until the command that was started last has ended, and records its result."""
        assert self._given is not None
        given, self._given = self._given, None
        self._await(f"the end of exavrrp {given.words}", limit, lambda: given.program.ended)
        ended, status = time.time(), given.program.process.returncode
        said = given.program.last_words(1)
        self.processes.let_go(given.program)
        command = Command(given.server.name, given.words, given.time, ended, status, said)
        self.observers.commands.append(command)
        return command

    def await_actives(self, nodes: Collection[str], limit: float) -> None:
        """Waits until each of these nodes is Active by its own log."""
        self._await(
            f"Active: {', '.join(nodes)}",
            limit,
            lambda: all(self.standing(node).state == "active" for node in nodes),
        )

    def watch(self, seconds: float) -> None:
        """Lets the lab run for so many seconds, and goes on observing."""
        end = time.monotonic() + seconds
        self._await("the end of the observation", seconds + 5, lambda: time.monotonic() >= end)

    def await_seen(self, what: str, limit: float, condition: Callable[[], bool]) -> None:
        """Waits until a condition of the scenario holds."""
        self._await(what, limit, condition)

    def await_phase(self, server: Machine, interval: float, share: float) -> None:
        """Returns when this share (0 to 1) of the time between two of a server's adverts has passed."""
        self.observers.refresh()
        adverts = [each.time for each in self.observers.adverts if each.interface == server.name]
        # Reading lags a little; the next advert but one is certainly still to come.
        target = adverts[-1] + (2 + share) * interval
        time.sleep(max(target - time.time(), 0))

    def _source(self, server: Machine) -> Address:
        return server.loopback(self.fabric.family)

    def arm_power_off(self, server: Machine) -> Callable[[], float]:
        cut = self.servers[server.name].arm_power_off()
        return lambda: self.incident(cut(), server, POWER_OFF)

    def power_on(self, server: Machine) -> float:
        return self.incident(self.servers[server.name].power_on(), server, POWER_ON)

    def ask_counters(self, server: Machine) -> None:
        """Has a server's agent log its counters (SIGUSR1), and waits until it has."""

        def logged(event: str) -> list[AgentEvent]:
            return [each for each in self.observers.agents if (each.node, each.event) == (server.name, event)]

        before = len(logged("counters"))
        os.kill(int(logged("agent-started")[-1].field("process")), signal.SIGUSR1)
        self.await_seen(f"the counters of {server.name}", START_LIMIT, lambda: len(logged("counters")) > before)

    def incident(self, when: float, where: Machine, what: str) -> float:
        """Records what a scenario did to a machine; returns `when`."""
        self.observers.incidents.append(Incident(when, where.name, what))
        return when

    def finish(self) -> Facts:
        """Stops probing and hands out everything recorded."""
        self.observers.stop_probers()
        return self.observers.facts()

    def replay(self, agent: Path, facts: Facts) -> tuple[Recording, ...]:
        """Replays the recording of every agent."""
        return tuple(replay(agent, server.recording, name, facts.agents) for name, server in self.servers.items())

    def remove(self) -> None:
        self.processes.stop()
        self.topology.remove()

    def _await(self, what: str, limit: float, condition: Callable[[], bool]) -> None:
        def refreshed() -> bool:
            self.observers.refresh()
            return condition()

        try:
            self.processes.await_condition(what, limit, refreshed)
        except Late as late:
            raise Late(f"{late}\n{self.describe()}") from None

    def _settled(self, node: str) -> bool:
        found = standings(self.observers.incidents, self.observers.agents)
        for server in SERVERS:
            standing = found.get(server.name)  # None: its agent has not begun
            serving = Standing("active", bound=True, announced=True)
            resting = (self._resting, Standing())
            if (standing != serving) if server.name == node else (standing not in resting):
                return False
        hops = hops_after(self.observers.routes)
        site = self.fabric.site
        server = site.machine(node)
        return all(hops.get(each.name) == site.ways(each, server) for each in (*site.gates, CLIENT))

    def describe(self) -> str:
        """The state of nodes and routes, for the message of a condition that was not met."""
        found = standings(self.observers.incidents, self.observers.agents)
        lines = [f"  {server.name}: {found.get(server.name, Standing())}" for server in SERVERS]
        for name, hops in hops_after(self.observers.routes).items():
            lines.append(f"  {name} routes to {', '.join(hops) or 'nobody'}")
        return "\n".join(lines)


def fabric_complete(topology: Topology, site: Site) -> bool:
    """Whether every router and the client reach every server's own address over every path, IPv4 and IPv6, and servers
    have their default routes.
    """

    def reaches(machine: Machine, family: Family) -> bool:
        hops = kernel_hops(topology[machine.name], family)
        return all(hops.get(str(server.loopback(family))) == site.ways(machine, server) for server in SERVERS)

    return all(reaches(machine, family) for machine in (CLIENT, *site.routers) for family in FAMILIES) and all(
        kernel_hops(topology[server.name], family).get("default")
        == tuple(up.member_interface for up in site.uplinks(server))
        for server in SERVERS
        for family in FAMILIES
    )


def kernel_hops(namespace: Namespace, family: Family) -> dict[str, tuple[str, ...]]:
    """Destination → the interfaces, sorted, over which a machine's kernel reaches it (main table)."""
    table = namespace.run("ip", f"-{family}", "-o", "route", "show").splitlines()
    return {line.split()[0]: tuple(sorted(set(re.findall(r"\bdev (\S+)", line)))) for line in table if line}
