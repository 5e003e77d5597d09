"""The data centre of a chaos run: started, supervised, watched, waited for.

Owns: the routers and servers with their four services, the instruments, and the supervisor, which does what systemd
does with our drop-in: when ExaBGP has ended, however it did, every process left of its unit is killed (KillMode=mixed),
and it is started anew after a second (Restart=always, RestartSec=1s). Must not know: which faults there are.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from exavrrp.chronicle import TRANSITION, Entry, decoded
from lab.addressing import CLIENT, FAMILIES, SERVERS, Machine
from lab.chaos.records import Chronicle, Lateness, Stream, Weight
from lab.chaos.service import BY_NAME, SERVICES, Service, fitness
from lab.datacentre import START_LIMIT, Fabric, fabric_complete
from lab.facts import (
    NS,
    AgentEvent,
    Incident,
    Standing,
    parse_agent_line,
    parse_route_change,
    standing_after,
    take_change,
)
from lab.observers import Tail
from lab.processes import Late, Processes, Program
from lab.routers import SPEAKER, start_again, start_routers
from lab.servers import INSTRUMENTS, SERVICE_PORT, Server, ServerPlan
from lab.topology import Topology

PROBES_PER_SECOND = 125
"To each of the four addresses."
RESTART = 1.0
"Seconds: RestartSec of the drop-in (exabgp/exabgp.service.d)."
WEIGH_EVERY = 5.0
"Seconds."
SERVING = Standing("active", bound=True, announced=True)
RESTING = Standing("backup", bound=False, announced=False)


class Arena:
    def __init__(self, fabric: Fabric, plan: ServerPlan, directory: Path, chronicle: Chronicle) -> None:
        self.fabric = fabric
        self.plan = plan
        self.chronicle = chronicle
        self.topology = Topology(fabric.site, fabric.seed)
        self.processes = Processes(directory)
        self.servers = {each.name: Server(self.topology[each.name], plan, self.processes) for each in SERVERS}
        self.off: set[str] = set()
        "servers without power"
        "how many BGP sessions the ExaBGP 5.0 of each server has set up"
        self._reloads: dict[str, tuple[signal.Signals, float]] = {}
        "what the ExaBGP of a server says that it is about to carry out, and since when"
        self._restarts: dict[str, float] = {}
        self._followed: list[tuple[Tail, Callable[[str], None]]] = []
        self._standings: dict[tuple[str, str], Standing] = {}
        self._untold: frozenset[Untold] = frozenset()
        self._hops: dict[str, dict[str, tuple[str, ...]]] = {service.name: {} for service in SERVICES}
        self._weighed = 0.0
        self._probers: list[Program] = []

    def build(self) -> None:
        """Namespaces, instruments, routers, servers; returns when the fabric is complete and each service at home.

        Raises LabError.
        """
        site = self.fabric.site
        self.topology.build()
        for router in (*site.routers, CLIENT):
            monitor = ["ip", "-ts", "-o", "monitor", "route"]
            program = self.processes.start(self.topology[router.name], "routes", monitor)
            self._follow(program.output, partial(self._take_route, router.name))
        routers = [self.topology[each.name] for each in (*site.routers, CLIENT)]
        start_routers(site, routers, self.fabric.router, self.processes, self.fabric.hold)
        for name, server in self.servers.items():
            self._follow(server.log, partial(self._take_agent, name))
            server.configure()
            fitness(server.directory).touch()
            server.start_service()
            self._start_exabgp(server)
        self.processes.await_condition("all BGP sessions", START_LIMIT, lambda: fabric_complete(self.topology, site))
        self.await_settled(START_LIMIT)

    def start_probing(self) -> None:
        """A prober for each service, and the canary."""
        client = self.topology[CLIENT.name]
        canary = self.processes.start(client, "canary", [sys.executable, "-I", str(INSTRUMENTS / "canary.py")])
        self._follow(canary.output, self._take_lateness)
        for number, service in enumerate(SERVICES):
            ours = str(CLIENT.loopback(service.family))
            argv = [sys.executable, "-I", str(INSTRUMENTS / "prober.py"), ours, str(service.address)]
            argv += [str(SERVICE_PORT), str(PROBES_PER_SECOND), str(FIRST_PORT + 100 * number)]
            prober = self.processes.start(client, f"prober-{service.name}", argv)
            self._probers.append(prober)
            stream = self.chronicle.streams[service.name] = Stream()
            self._follow(prober.output, stream.take)

    def stop_probing(self) -> None:
        """Returns when the last answers are in."""
        for prober in self._probers:
            self.processes.ending(prober)
            prober.process.terminate()
        for prober in self._probers:
            self.processes.let_go(prober)
        self._probers.clear()
        self.refresh()

    def remove(self) -> None:
        self.processes.stop()
        self.topology.remove()

    # Time passes

    def refresh(self) -> None:
        """Reads new output, restarts units that have ended, and measures the agents' memory when that is due."""
        for tail, take in self._followed:
            for line in tail.lines():
                take(line)
        self._supervise()
        self._repeat_reloads()
        if time.monotonic() >= self._weighed + WEIGH_EVERY:
            self._weighed = time.monotonic()
            self._weigh()

    def watch(self, seconds: float) -> None:
        """Lets everything run for so many seconds."""
        end = time.monotonic() + seconds
        self.await_condition("the end of the observation", seconds + 5, lambda: time.monotonic() >= end)

    def await_condition(self, what: str, limit: float, condition: Callable[[], bool]) -> None:
        """Raises Late after `limit` seconds."""

        def refreshed() -> bool:
            self.refresh()
            return condition()

        self.processes.await_condition(what, limit, refreshed)

    def await_settled(self, limit: float) -> None:
        """Waits until each service is served at home and nowhere else, every router leads there over every path, every
        neighbor gets the announcements, and nothing else is in motion.
        """
        try:
            self.await_condition("every service at home", limit, self._is_home)
        except Late as late:
            raise Late(f"{late}\n{self.describe()}") from None

    def _is_home(self) -> bool:
        return not self._untold and all(map(self.is_settled, SERVICES))

    def is_settled(self, service: Service) -> bool:
        site = self.fabric.site
        for node in self.servers:
            wanted = SERVING if node == service.home else RESTING
            if self._standings.get((node, service.name)) != wanted:
                return False
        hops, home = self._hops[service.name], site.machine(service.home)
        return all(hops.get(each.name) == site.ways(each, home) for each in (*site.gates, CLIENT))

    def describe(self) -> str:
        """The state of all that is not settled."""
        lines = [f"  {node} says that {neighbor} is not told" for node, neighbor, _ in sorted(self._untold)]
        for service in SERVICES:
            if not self.is_settled(service):
                stand = (f"{node} {self._standings.get((node, service.name), Standing())}" for node in self.servers)
                lines.append(f"  {service.name}: {'; '.join(stand)}")
                lines.append(f"  {service.name}: routes {self._hops[service.name]}")
        return "\n".join(lines)

    def note(self, machine: str, what: str) -> None:
        self.chronicle.notes.append(Incident(time.time(), machine, what))

    # Processes

    def agents(self, node: str) -> list[int]:
        """The pids of a server's agents: one, two while one replaces the other, none."""
        return [pid for pid in self.topology[node].pids() if is_agent(pid)]

    def speaker(self, router: Machine) -> Program:
        """The BGP daemon of a router."""
        name = SPEAKER[self.fabric.router]
        return next(each for each in self.processes.programs if (each.name, each.namespace.machine) == (name, router))

    def kill_speaker(self, router: Machine) -> None:
        speaker = self.speaker(router)
        self.processes.ending(speaker)
        speaker.process.kill()
        self.processes.let_go(speaker)

    def start_speaker(self, router: Machine) -> None:
        start_again(self.fabric.site, self.topology[router.name], self.fabric.router, self.processes, self.fabric.hold)

    def forget(self, node: str) -> None:
        """Forgets the state that a server's agents have logged: another agent is to log it."""
        self.refresh()
        for service in SERVICES:
            self._standings.pop((node, service.name), None)
        self._untold = frozenset(each for each in self._untold if each[0] != node)

    def power_off(self, node: str) -> float:
        cut = self.servers[node].arm_power_off()
        self._restarts.pop(node, None)
        self.off.add(node)
        when = cut()
        self.forget(node)
        return when

    def power_on(self, node: str) -> None:
        self.servers[node].power_on()
        self.processes.ending(self.servers[node].exabgp)
        self.off.discard(node)

    def _start_exabgp(self, server: Server) -> None:
        server.start_exabgp()
        self.processes.ending(server.exabgp)  # if it ends, it is restarted

    def _supervise(self) -> None:
        for name, server in self.servers.items():
            if name in self.off:
                continue
            if name in self._restarts:
                if time.monotonic() >= self._restarts[name]:
                    del self._restarts[name]
                    self._start_exabgp(server)
                    self.note(name, "ExaBGP is started anew")
            elif server.exabgp.ended:
                status = server.exabgp.process.returncode
                for pid in self.agents(name):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.processes.let_go(server.exabgp)
                self._restarts[name] = time.monotonic() + RESTART
                self.note(name, f"ExaBGP has ended ({status}); its unit is cleared")

    def _repeat_reloads(self) -> None:
        """ExaBGP forgets a reload that it is asked for while it has UPDATEs to send: an operator asks again."""
        for name, (number, since) in list(self._reloads.items()):
            if name in self.off or self.servers[name].exabgp.ended:
                del self._reloads[name]
            elif time.monotonic() >= since + FORGOTTEN:
                del self._reloads[name]
                self.servers[name].reload_exabgp(number)
                self.note(name, f"ExaBGP has forgotten a reload; {number.name} again")

    def _weigh(self) -> None:
        for node in self.servers:
            if node in self.off:
                continue
            for pid in self.agents(node):
                with suppress(OSError, KeyError):
                    self.chronicle.weights.append(weight(time.time(), node, pid))

    # What was written

    def _follow(self, path: Path, take: Callable[[str], None]) -> None:
        self._followed.append((Tail(path), take))

    def _take_route(self, machine: str, line: str) -> None:
        for service in SERVICES:
            if change := parse_route_change(line, machine, str(service.address)):
                self.chronicle.routes.setdefault(service.name, []).append(change)
                take_change(self._hops[service.name], change)
        for family in FAMILIES:
            if change := parse_route_change(line, machine, str(CLIENT.loopback(family))):
                self.chronicle.ways_back.setdefault(family, []).append(change)

    def _take_agent(self, node: str, line: str) -> None:
        for words, number in SCHEDULED.items():
            if line.rstrip().endswith(words):
                self._reloads[node] = (number, time.monotonic())
        if PERFORMED in line:
            self._reloads.pop(node, None)
        event = parse_agent_line(line, node)
        if event is None:
            return
        self.chronicle.agents.append(event)
        self._untold = untold_after(self._untold, event)
        for service in concerned(event):
            key = (node, service.name)
            self._standings[key] = standing_after(self._standings.get(key, Standing()), event)

    def journals(self, since: float) -> list[tuple[str, Entry]]:
        """The transitions since then (seconds since the epoch) in the files of all agents' journals, in the order of
        time.
        """
        files = [
            (node, file) for node, server in self.servers.items() for file in (server.directory / "lib").glob("events*")
        ]
        entries = [(node, decoded(line)) for node, file in files for line in file.read_bytes().split(b"\n") if line]
        found = [
            (node, entry)
            for node, entry in entries
            if entry is not None and entry.event == TRANSITION and entry.at.time.timestamp() >= since
        ]
        return sorted(found, key=lambda each: each[1].at.time)

    def _take_lateness(self, line: str) -> None:
        due, late = line.split()
        self.chronicle.lateness.append(Lateness(int(due) * NS, int(late) * NS))


SCHEDULED = {
    "scheduling reload": signal.SIGUSR1,
    "scheduling full_reload": signal.SIGUSR2,
    "scheduling reload of configuration": signal.SIGUSR1,
    "scheduling reload of configuration and processes": signal.SIGUSR2,
}
"The ends of lines in ExaBGP's log (5.0, 4.2) when a signal has arrived."
PERFORMED = "performing reload of exabgp"
"In its log when it reads its file."
FORGOTTEN = 0.5
"Seconds after which it will not do so any more."
FIRST_PORT = 40000
"Source port of the first prober; each needs sixteen."


def concerned(event: AgentEvent) -> tuple[Service, ...]:
    """The services that a line of an agent's log is about: one, or all where it names none."""
    named: Mapping[str, Service] = BY_NAME
    if router := event.field("router"):
        return (named[router],)
    return SERVICES


Untold = tuple[str, str, str]
"A node, one of its neighbors, and the node's own end of that session."


def untold_after(before: frozenset[Untold], event: AgentEvent) -> frozenset[Untold]:
    """The sessions that, by the agents' logs, do not get the announcements, after one more line of a log."""
    session = (event.node, event.field("neighbor"), event.field("local"))
    match event.event:
        case "neighbor-unlisted":
            return before | {session}
        case "neighbor-listed":
            return before - {session}
        case "session-changed" if event.field("state") == "down":
            return before - {session}
        case "agent-started" | "agent-stopped":
            return frozenset(each for each in before if each[0] != event.node)
        case _:
            return before


def is_agent(pid: int) -> bool:
    """Whether this process is an agent that runs, and no command of `exavrrp`'s."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"run" in words and any(word.endswith(b"/exavrrp") for word in words)


def weight(now: float, node: str, pid: int) -> Weight:
    """Raises OSError or KeyError when the process ends meanwhile."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size, _ = line.split()
        sizes[name.rstrip(":")] = int(size)
    return Weight(now, node, pid, sizes["Pss"], sizes["Rss"], len(list(Path(f"/proc/{pid}/fd").iterdir())))
