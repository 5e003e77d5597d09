"""The place of one measurement: the lab's rack with BIRD on its ToRs, an agent on node1, stand-ins on node2 and node3.

Owns: namespaces, routes between the servers, the instruments, what they have written. Must not know: what is measured.

The servers' own addresses are static routes of the ToRs, so that adverts arrive whether anybody speaks BGP or not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from lab.addressing import FAMILIES, HOST, RACK, SERVERS, Machine
from lab.bench.plan import VirtualRouter
from lab.bench.readings import Capture, longest_pause, parse_answers, parse_bursts, parse_captures, parse_monitor
from lab.processes import Processes, Program
from lab.routers import start_routers
from lab.run import keep_logs
from lab.servers import ROOT, Armed
from lab.topology import LabError, Topology

HOLD = 30
"BGP hold time, seconds: long, as no measurement depends on it and the daemons share two cores."
SEED = 1
"Of the machines' ECMP hashes: each measurement has the same paths."
LIMIT = 10.0
"Seconds for an instrument to start."
NODE1, NODE2, NODE3 = SERVERS
TOR1, _ = RACK.racks["node1"]


Came = Callable[[Sequence[VirtualRouter], float], dict[str, float]]
"When each virtual address appeared after a time; both in seconds since the epoch."


class Arena:
    def __init__(self, directory: Path) -> None:
        self.topology = Topology(RACK, SEED)
        self.processes = Processes(directory)
        self._senders: list[Program] = []
        self._captures: Program | None = None

    @property
    def directory(self) -> Path:
        return self.processes.directory

    def build(self) -> None:
        """Namespaces, routes and BIRD; raises LabError."""
        self.topology.build()
        for tor in RACK.tors:
            links = [link for link in RACK.links_of(tor) if link.member in SERVERS]
            self.topology[tor.name].ip(
                f"route add {link.member.loopback(family)}/{HOST[family]} via {link.address_of_member(family)}"
                for link in links
                for family in FAMILIES
            )
        start_routers(RACK, [self.topology[tor.name] for tor in RACK.tors], "bird", self.processes, HOLD)

    def one_way(self) -> None:
        """Has the servers reach each other over their first uplinks only: for an agent that knows one interface."""
        for server in SERVERS:
            gate, _ = RACK.uplinks(server)
            self.topology[server.name].ip(
                f"route add {peer.loopback(family)}/{HOST[family]} via {gate.address_of_router(family)}"
                f" dev {gate.member_interface} src {server.loopback(family)}"
                for peer in SERVERS
                if peer is not server
                for family in FAMILIES
            )

    def start_standin(
        self, machine: Machine, routers: int = 0, interval: float = 1.0, copies: int = 1, bursts: int = 1
    ) -> None:
        """A peer that only discards adverts or, with `routers`, is Active for these, and sends to node1."""
        words = [machine.name, NODE1.name, str(routers), str(interval), str(copies), str(bursts)]
        program = self._instrument(machine, "standin", *words)
        if routers:
            self._senders.append(program)
            self.processes.await_condition("the stand-in's adverts", LIMIT, lambda: program.output.stat().st_size > 0)

    def sent(self, since: float, until: float) -> int:
        """Packets that stand-ins have sent in this time (seconds since the epoch)."""
        return sum(parse_bursts(program.output.read_text(), since, until) for program in self._senders)

    def pause(self) -> float | None:
        """The longest time for which the Active stand-in has sent nothing, in seconds."""
        (program,) = self._senders
        return longest_pause(program.output.read_text())

    def power_off(self, machine: Machine) -> None:
        """The links of a stand-in go down, and it ends."""
        cut = Armed.ip(self.topology[machine.name])
        cut.fire([f"link set {link.member_interface} down" for link in RACK.uplinks(machine)])
        self.processes.forget(self.topology[machine.name])

    def start_capture(self) -> None:
        """From now on the adverts that arrive at node2 are written down."""
        self._captures = self._instrument(NODE2, "capture")

    def captured(self, since: float, until: float) -> list[Capture]:
        assert self._captures is not None
        return parse_captures(self._captures.output.read_bytes(), since, until)

    def start_prober(self, routers: int) -> Callable[[], dict[str, float]]:
        """Pings all virtual addresses from the first ToR; its result, when called, has each first answer's time."""
        program = self._instrument(TOR1, "prober", str(routers))
        self.processes.ending(program)
        return lambda: parse_answers(program.output.read_text())

    def start_monitor(self, machine: Machine, what: str) -> Came:
        """`ip monitor address` or `route`."""
        namespace = self.topology[machine.name]
        program = self.processes.start(namespace, what, ["ip", "-tshort", "-oneline", "monitor", what])

        def came(routers: Sequence[VirtualRouter], since: float) -> dict[str, float]:
            wanted = {str(each.address) for each in routers}
            return parse_monitor(program.output.read_text().splitlines(), wanted, since)

        return came

    def bound(self, machine: Machine, routers: Sequence[VirtualRouter]) -> int:
        """How many of the virtual addresses are on a server's lo."""
        words = self.topology[machine.name].run("ip", "-oneline", "address", "show", "dev", "lo").split()
        return len({f"{each.address}/{HOST[each.family]}" for each in routers} & set(words))

    def remove(self) -> None:
        self.processes.stop()
        self.topology.remove()

    def _instrument(self, machine: Machine, name: str, *words: str) -> Program:
        argv = [sys.executable, "-m", f"lab.bench.{name}", *words]
        return self.processes.start(self.topology[machine.name], name, argv, {"PYTHONPATH": str(ROOT)})


@contextmanager
def arena(parent: Path, say: Callable[[str], None]) -> Iterator[Arena]:
    """A new one, with a directory of its own below `parent`; removed at the end. The logs of a failed one are kept."""
    made = Arena(Path(mkdtemp(dir=parent)))
    try:
        made.build()
        yield made
    except LabError:
        say(f"logs: {keep_logs(made.directory, 'bench')}")
        raise
    finally:
        made.remove()
