"""The instruments of a running lab: starts them, reads their output, and returns it as facts.

Owns: a sniffer in each ToR, `ip monitor route` in each router and the client, the prober, and reading the agents'
logs. Must not know: what the facts mean (timeline.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lab.addressing import CLIENT, SERVERS, SPARES, VIRTUAL_ADDRESS, VRID, Family, Machine, Site
from lab.facts import (
    AddressChange,
    Advert,
    AgentEvent,
    Command,
    Facts,
    Incident,
    ProbeRecord,
    RouteChange,
    parse_address_change,
    parse_advert,
    parse_agent_line,
    parse_route_change,
)
from lab.processes import Processes, Program
from lab.servers import INSTRUMENTS, SERVICE_PORT
from lab.topology import NETNS, Topology

PROBES_PER_SECOND = 500
LOCAL_PROBES_PER_SECOND = 100
"From a server itself: enough to see which node answers."


class Tail:
    """A growing text file: each call gives the complete lines that are new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._read += len(complete)
        return complete.decode(errors="replace").splitlines()


class Observers:
    def __init__(self, topology: Topology, processes: Processes, site: Site, family: Family) -> None:
        self._topology = topology
        self._processes = processes
        self._site = site
        self._servers = {server.name for server in SERVERS}
        self._family = family
        self._address = str(VIRTUAL_ADDRESS[family])
        self._followed: list[tuple[Tail, Callable[[str], None]]] = []
        self._probers: list[Program] = []
        self.incidents: list[Incident] = []
        self.agents: list[AgentEvent] = []
        self.routes: list[RouteChange] = []
        self.probes = ProbeRecord()
        self.local = ProbeRecord()
        self.commands: list[Command] = []
        self.spares: list[RouteChange] = []
        self.addresses: list[AddressChange] = []
        self.adverts: list[Advert] = []
        self._knocks: list[Advert] = []

    def start(self) -> None:
        """Everything but the prober; before the routers and servers, to miss nothing."""
        for tor in self._site.tors:
            program = self._instrument(tor.name, "sniffer")
            self._follow(program.output, partial(self._take_advert, tor.name))
        for router in (*self._site.routers, CLIENT):
            monitor = ["ip", "-ts", "-o", "monitor", "route"]
            program = self._processes.start(self._topology[router.name], "routes", monitor)
            self._follow(program.output, partial(self._take_route, router.name))
        for server in SERVERS:
            log = self._processes.directory / f"{server.name}.exabgp.log"
            self._follow(log, partial(self._take_agent, server.name))

    def watch_addresses(self, server: Machine) -> None:
        """From now on, what a server's kernel reports of its addresses."""
        program = self._processes.start(
            self._topology[server.name], "addresses", ["ip", "-ts", "-o", "monitor", "address"]
        )
        self._follow(program.output, partial(self._take_address, server.name))

    def hashed_way(self, source: Machine, destination: Machine) -> str:
        """The ToR over which the kernel's ECMP hash sends all packets of protocol 112 from one server to another.

        Only before the agents run: it is measured with packets that they would log.
        """
        addresses = [str(end.loopback(self._family)) for end in (source, destination)]
        knock = self._instrument(source.name, "knock", *addresses)

        def seen() -> bool:
            self.refresh()
            return bool(self._knocks)

        self._processes.await_condition("a packet of protocol 112 in a router", 10, seen)
        knock.process.kill()
        self._processes.let_go(knock)
        return self._knocks[0].tor

    def start_attacker(self, machine: Machine, tapped: Machine, rate: int, seconds: float) -> Program:
        """An attacker on a machine: it records the adverts that cross a router, and forges adverts from SIGUSR1 on."""
        ends = [self._address, *(str(server.loopback(self._family)) for server in SERVERS)]
        ears = NETNS / self._topology[tapped.name].name
        return self._instrument(machine.name, "attacker", str(ears), str(rate), str(seconds), str(VRID), *ends)

    def start_prober(self) -> None:
        self._start_prober(CLIENT, PROBES_PER_SECOND, self.probes)

    def start_local_prober(self, server: Machine) -> None:
        """Probes from a server, from its own address to the virtual one."""
        self._start_prober(server, LOCAL_PROBES_PER_SECOND, self.local)

    def _start_prober(self, where: Machine, rate: int, record: ProbeRecord) -> None:
        source = str(where.loopback(self._family))
        prober = self._instrument(where.name, "prober", source, self._address, str(SERVICE_PORT), str(rate))
        self._probers.append(prober)
        self._follow(prober.output, record.take)

    def stop_probers(self) -> None:
        """Ends the probing; returns when the last answers are in."""
        for prober in self._probers:
            self._processes.ending(prober)
            prober.process.terminate()
        for prober in self._probers:
            self._processes.let_go(prober)
        self._probers.clear()
        self.refresh()

    def refresh(self) -> None:
        """Reads what has been written since the last call."""
        for tail, take in self._followed:
            for line in tail.lines():
                take(line)

    def facts(self) -> Facts:
        return Facts(
            incidents=list(self.incidents),
            agents=sorted(self.agents, key=lambda event: event.time),
            adverts=sorted(self.adverts, key=lambda advert: advert.time),
            routes=sorted(self.routes, key=lambda change: change.time),
            probes=self.probes.probes(),
            local=self.local.probes(),
            commands=list(self.commands),
            spares=sorted(self.spares, key=lambda change: change.time),
            addresses=list(self.addresses),
        )

    def _instrument(self, machine: str, name: str, *arguments: str) -> Program:
        argv: Sequence[str] = [sys.executable, "-I", str(INSTRUMENTS / f"{name}.py"), *arguments]
        return self._processes.start(self._topology[machine], name, argv)

    def _follow(self, path: Path, take: Callable[[str], None]) -> None:
        self._followed.append((Tail(path), take))

    def _take_advert(self, tor: str, line: str) -> None:
        advert = parse_advert(line, tor)
        if advert.interface not in self._servers:
            return  # seen before: it has come here from another rack
        (self.adverts if advert.vrid == VRID else self._knocks).append(advert)

    def _take_route(self, router: str, line: str) -> None:
        if change := parse_route_change(line, router, self._address):
            self.routes.append(change)
        for spare in map(str, SPARES[self._family]):
            if change := parse_route_change(line, router, spare):
                self.spares.append(replace(change, address=spare))

    def _take_address(self, server: str, line: str) -> None:
        if change := parse_address_change(line, server):
            self.addresses.append(change)

    def _take_agent(self, server: str, line: str) -> None:
        if event := parse_agent_line(line, server):
            self.agents.append(event)
