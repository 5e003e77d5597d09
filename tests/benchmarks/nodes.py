"""Some nodes with many virtual routers, for benchmarks: real agents in namespaces, two uplinks each to one router.

::

    node1  eth0 ─── n1e0 ┌────────┐
           eth1 ─── n1e1 │ router │ …
    node2  …             └────────┘

Every node is Active for its share of the virtual routers and Backup for the others. There is no ExaBGP: a process
(``answers``) acknowledges every command at once, so that only the election is measured. The router forwards, and
captures each copy of every advert with the kernel's timestamp.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exavrrp.vrrp.router import Role
from tests.system.conftest import Namespace, cable
from tests.system.running import AGENT, ROOT, Copy, Family, Log, Record, Sniffer, at, processes, wait_until

BITS = {4: 32, 6: 128}
ANSWERS = ROOT / "tests/benchmarks/answers.py"
CANARY = ROOT / "lab/instruments/canary.py"
REALTIME = ('scheduling = "realtime"', "lock_memory = true")
"""Options for a busy machine."""
TICKS = os.sysconf("SC_CLK_TCK")


def source(number: int, family: Family) -> str:
    """The address of a node."""
    return f"192.0.2.{10 + number}" if family == 4 else f"2001:db8:ff::{10 + number}"


def virtual(vrid: int, family: Family) -> str:
    """The address of a virtual router."""
    return f"198.51.100.{vrid}" if family == 4 else f"2001:db8:53::{vrid}"


@dataclass(frozen=True)
class Plan:
    """What is built."""

    nodes: int
    routers: int
    """virtual ones, on each node"""
    interval: float
    """seconds between adverts"""
    family: Family = 6
    options: tuple[str, ...] = ()
    """further lines of ``[agent]``"""

    def home(self, vrid: int) -> int:
        """The node that serves a virtual router, from 1 on."""
        return 1 + (vrid - 1) % self.nodes

    def priority(self, vrid: int, number: int) -> int:
        """That of a node; the next ones follow in turn."""
        return 200 - 50 * ((number - self.home(vrid)) % self.nodes)

    def configuration(self, number: int, directory: Path) -> str:
        """exavrrp.toml of a node."""
        peers = [source(other, self.family) for other in range(1, self.nodes + 1) if other != number]
        lines = [
            "[agent]",
            f'sources = ["{source(number, self.family)}"]',
            f"peers = {peers}",
            f"advert_interval = {self.interval}",
            f'state_directory = "{directory}"',
            f'persistent_directory = "{directory}"',
            *self.options,
        ]
        for vrid in range(1, self.routers + 1):
            lines += [
                f"[virtual_router.v{vrid}]",
                f"vrid = {vrid}",
                f"priority = {self.priority(vrid, number)}",
                f'addresses = ["{virtual(vrid, self.family)}"]',
                "min_sessions = 0",
            ]
        return "\n".join(lines) + "\n"


@dataclass
class Node:
    """A namespace and its agent."""

    number: int
    namespace: Namespace
    directory: Path
    log: Log
    process: "subprocess.Popen[str]" = field(init=False)

    def start(self) -> None:
        """Starts the agent, and a process that answers it."""
        answers = self.namespace.popen([sys.executable, str(ANSWERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        command = [*AGENT, "run", "--config", str(self.directory / "exavrrp.toml"), "--log-format", "json"]
        with (self.directory / "agent.log").open("w") as errors:
            self.process = self.namespace.popen(command, stdin=answers.stdout, stdout=answers.stdin, stderr=errors)

    def cpu(self) -> float:
        """Seconds of CPU that the agent has used."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def resident(self) -> int:
        """KiB of memory of the agent."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])

    def counters(self) -> Record:
        """What the agent has counted."""
        mark = self.log.mark()
        os.kill(self.process.pid, signal.SIGUSR1)
        return self.log.counters(mark)

    def moves(self, since: float) -> list[Record]:
        """The transitions at ``since`` (seconds since the epoch) or later."""
        return [record for record in self.log.all("transition") if at(record) >= since]


class Adverts(Sniffer):
    """The copies that come into the router, taken away as they are looked at."""

    def take(self) -> list[Copy]:
        """What has come since the last time."""
        found = self.copies()
        self._copies = []
        return found


class Lateness:
    """How much later than one interval after its predecessor each advert came, on each path to each peer by itself."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: dict[tuple[str, str, int, str], float] = {}
        self.seconds: list[float] = []
        """an advert in time has 0"""

    def add(self, copies: Sequence[Copy]) -> None:
        """Goes on from what came before."""
        for copy in copies:
            path = (copy.source, copy.destination, copy.vrid, copy.interface)
            if path in self._last:
                self.seconds.append(max(0.0, copy.at - self._last[path] - self._interval))
            self._last[path] = copy.at

    def quantile(self, share: float) -> float:
        """The lateness, in seconds, that this share of the adverts does not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Site:
    """The nodes and the router between them. What they write goes to memory, as it does in /run."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self._namespaces: list[Namespace] = []
        self.router = self.namespace()
        for version in ("ipv4", "ipv6"):
            self.router.sysctl(f"net.{version}.conf.all.forwarding", 1)
        self.nodes = [self._node(number, directory / f"node{number}") for number in range(1, plan.nodes + 1)]
        self.adverts = Adverts(self.router)

    def namespace(self) -> Namespace:
        """A new one, which is gone with the site."""
        made = Namespace()
        self._namespaces.append(made)
        for where in ("all", "default"):
            made.sysctl(f"net.ipv6.conf.{where}.accept_dad", 0)
            made.sysctl(f"net.ipv4.conf.{where}.rp_filter", 0)
        made.ip("link set lo up")
        return made

    def _node(self, number: int, directory: Path) -> Node:
        directory.mkdir()
        node = Node(number, self.namespace(), directory, Log(directory / "agent.log"))
        (directory / "exavrrp.toml").write_text(self.plan.configuration(number, directory))
        own = f"{source(number, self.plan.family)}/{BITS[self.plan.family]}"
        node.namespace.ip(f"addr add {own} dev lo")
        for uplink in (0, 1):
            far = f"n{number}e{uplink}"
            cable(node.namespace, f"eth{uplink}", self.router, far)
            near, gateway = self._ends(number, uplink)
            node.namespace.ip(f"addr add {near} dev eth{uplink}")
            self.router.ip(f"addr add {gateway} dev {far}")
        there = " ".join(f"nexthop via {self._ends(number, n)[1].split('/')[0]} dev eth{n}" for n in (0, 1))
        node.namespace.ip(f"route add default {there}", f"-{self.plan.family}")
        for uplink in (0, 1):
            # What comes in by the first uplink of a node leaves by the first of another: two paths that never meet.
            back = self._ends(number, uplink)[0].split("/")[0]
            self.router.ip(
                f"""rule add iif n{number}e{uplink} lookup {100 + uplink}
                    route add {own} via {back} table {100 + uplink}""",
                f"-{self.plan.family}",
            )
        return node

    def _ends(self, number: int, uplink: int) -> tuple[str, str]:
        if self.plan.family == 4:
            return f"10.{number}.{uplink}.2/24", f"10.{number}.{uplink}.1/24"
        return f"fd00:{number}:{uplink}::2/64", f"fd00:{number}:{uplink}::1/64"

    def start(self) -> None:
        """Starts every agent, and waits until each virtual router is served at home and nowhere else."""
        for node in self.nodes:
            node.start()
        wait_until(self.settled, lambda: f"each at home: {[self._roles(node) for node in self.nodes]}", 60)

    def settled(self) -> bool:
        """Whether each virtual router is Active at home alone."""
        return all(self._wanted(node).items() <= self._roles(node).items() for node in self.nodes)

    @staticmethod
    def _roles(node: Node) -> dict[str, str]:
        return {record["router"]: record["after"] for record in node.log.all("transition")}

    def _wanted(self, node: Node) -> dict[str, str]:
        return {
            f"v{vrid}": Role.ACTIVE if self.plan.home(vrid) == node.number else Role.BACKUP
            for vrid in range(1, self.plan.routers + 1)
        }

    def moves(self, since: float) -> Counter[int]:
        """Transitions by node."""
        return Counter({node.number: len(node.moves(since)) for node in self.nodes})

    def close(self) -> None:
        """Kills every process in the namespaces, which are gone then."""
        self.adverts.close()
        for namespace in self._namespaces:
            for process in processes(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            namespace.close()


class Canary:
    """A process that only wakes up, scheduled as the agents are: when it is late, so is everything on this machine."""

    def __init__(self, where: Site) -> None:
        self._output = tempfile.TemporaryFile("w+", dir="/dev/shm")  # noqa: SIM115 - closed by ``stop``
        as_agents = ["chrt", "--rr", "1"] if set(REALTIME) <= set(where.plan.options) else []
        command = [*as_agents, sys.executable, "-I", str(CANARY)]
        self._process = where.router.popen(command, stdout=self._output)

    def stop(self) -> float:
        """Seconds by which it was late at most; 0: by less than its TOO_LATE. One that goes on now is not counted."""
        self._process.kill()
        self._process.wait()
        with self._output:
            self._output.seek(0)
            return max((int(line.split()[1]) / 1e9 for line in self._output), default=0.0)


@contextlib.contextmanager
def site(plan: Plan) -> Iterator[Site]:
    """Builds it, starts the agents, and removes everything at the end."""
    with tempfile.TemporaryDirectory(prefix="exavrrp-", dir="/dev/shm") as directory:
        built = Site(plan, Path(directory))
        try:
            built.start()
            yield built
        finally:
            built.close()
