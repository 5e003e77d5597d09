"""The agents that are measured: how each is configured and started, what its log says, what it uses.

Owns: exavrrp under a real ExaBGP, keepalived from the distribution, and the reading of /proc. Must not know: what is
measured, and when.

Only the agent itself is counted, with all processes below it; ExaBGP is not. The role of each virtual router is read
from the agent's log.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.addressing import RACK, Machine
from lab.bench.arena import HOLD, Arena
from lab.bench.plan import VirtualRouter, exavrrp_configuration, keepalived_configuration
from lab.bench.readings import Stat, Used, descendants, parse_memory, parse_run_time, parse_stat
from lab.facts import parse_agent_line
from lab.observers import Tail
from lab.processes import Program
from lab.servers import ExaBGPLine, Server, ServerPlan
from lab.topology import LabError, run

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for all agents in one measurement."""

    routers: Sequence[VirtualRouter]
    interval: float
    "seconds between adverts"
    exabgp: ExaBGPLine
    realtime: bool


class Ended(LabError):
    """An agent is not there any more that was to be measured."""


class Agent(ABC):
    """An agent that is measured, on one server."""

    def __init__(self, arena: Arena, machine: Machine, terms: Terms, tail: Path) -> None:
        self.arena, self.machine, self.terms = arena, machine, terms
        self.moves = 0
        "transitions since it started; each router's first into Backup is one"
        self._roles: dict[str, str] = {}
        self._tail = Tail(tail)

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> Program:
        """Asks it to stop as an operator would (SIGTERM); its program, which then ends."""

    @property
    @abstractmethod
    def process(self) -> int:
        """The pid of the agent."""

    @abstractmethod
    def _take(self, line: str) -> None:
        """Reads one line of its log."""

    @abstractmethod
    def _announced(self) -> bool:
        """Whether everything is announced that is to be."""

    def refresh(self) -> None:
        for line in self._tail.lines():
            self._take(line)

    def count(self, role: str) -> int:
        """Virtual routers in this role, "active" or "backup"."""
        self.refresh()
        return sum(each == role for each in self._roles.values())

    def serves(self) -> bool:
        """Whether all virtual routers are Active here and, where the agent announces, announced."""
        return self.count("active") == len(self.terms.routers) and self._announced()

    def stands_by(self) -> bool:
        """Whether all virtual routers are Backup here."""
        return self.count("backup") == len(self.terms.routers)

    def bound(self) -> int:
        """Virtual addresses on lo."""
        return self.arena.bound(self.machine, self.terms.routers)

    def cpu(self) -> Used:
        """What it and everything below it have used."""
        tree = self._tree()
        threads = [path for each in tree for path in Path(f"/proc/{each.pid}/task").glob("*/schedstat")]
        ended = sum(each.ticks_of_children for each in tree) / TICKS
        seconds = ended + sum(parse_run_time(path.read_text()) for path in threads)
        return Used(seconds, sum(each.user for each in tree), sum(each.kernel for each in tree))

    def memory(self) -> tuple[float, float]:
        """RSS and PSS in MiB."""
        found = [parse_memory(Path(f"/proc/{each.pid}/smaps_rollup").read_text()) for each in self._tree()]
        return sum(rss for rss, _ in found) / 1024, sum(pss for _, pss in found) / 1024

    def _tree(self) -> list[Stat]:
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                stats.append(parse_stat(path.read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
        if not (found := descendants(self.process, stats)):
            raise Ended(f"{self.machine.name}: the agent has ended")
        return found

    def _move(self, router: str, role: str) -> None:
        self.moves += 1
        self._roles[router] = role


class Exavrrp(Agent):
    def __init__(self, arena: Arena, machine: Machine, terms: Terms, program: Path) -> None:
        plan = ServerPlan(
            family=6,
            interval=terms.interval,
            hold=HOLD,
            exabgp=terms.exabgp,
            agent=program,
            site=RACK,
            configuration=lambda where, _, directory: exavrrp_configuration(
                where, terms.routers, terms.interval, directory, realtime=terms.realtime
            ),
        )
        self._server = Server(arena.topology[machine.name], plan, arena.processes)
        self._process = 0
        self._announces: set[str] = set()
        super().__init__(arena, machine, terms, self._server.log)

    def start(self) -> None:
        self._server.configure()
        self._server.start_exabgp()

    def stop(self) -> Program:
        self._server.stop_exabgp()
        return self._server.exabgp

    @property
    def process(self) -> int:
        self.refresh()
        return self._process

    def _take(self, line: str) -> None:
        if (said := parse_agent_line(line, self.machine.name)) is None:
            return
        match said.event:
            # The second word of each is that of older versions.
            case "agent-started" | "started":
                self._process = int(said.field("process"))
            case "transition":
                self._move(said.field("router"), said.field("after"))
            case "route-announced" | "announced" if said.field("state") == "active":
                self._announces.add(said.field("router"))
            case "route-withdrawn" | "withdrawn":
                self._announces.discard(said.field("router"))

    def _announced(self) -> bool:
        return len(self._announces) == len(self.terms.routers)


class Keepalived(Agent):
    """Announces nothing; its log has other words for Active and Backup."""

    _ROLE = re.compile(r"\((\w+)\) Entering (\w+) STATE")

    def __init__(self, arena: Arena, machine: Machine, terms: Terms, program: Path) -> None:
        self._program = program
        self._started: Program | None = None
        super().__init__(arena, machine, terms, arena.directory / f"{machine.name}.keepalived.log")

    def start(self) -> None:
        terms, directory = self.terms, self.arena.directory / self.machine.name
        directory.mkdir()
        file = directory / "keepalived.conf"
        file.write_text(keepalived_configuration(self.machine, terms.routers, terms.interval, realtime=terms.realtime))
        # Without --log-detail: with it, 200 virtual routers that become Active block it for seconds.
        options = ["--dont-fork", "--log-console", "-f", str(file)]
        options += ["-p", str(directory / "keepalived.pid"), "-r", str(directory / "vrrp.pid")]
        namespace = self.arena.topology[self.machine.name]
        self._started = self.arena.processes.start(namespace, "keepalived", [str(self._program), *options])

    def stop(self) -> Program:
        assert self._started is not None
        self.arena.processes.ending(self._started)
        self._started.process.send_signal(signal.SIGTERM)
        return self._started

    @property
    def process(self) -> int:
        assert self._started is not None
        return self._started.process.pid

    def _take(self, line: str) -> None:
        if found := self._ROLE.search(line):
            self._move(found[1], "backup" if found[2] == "BACKUP" else "active")

    def _announced(self) -> bool:
        return self.bound() == len(self.terms.routers)


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that is measured: exavrrp of one checkout, or keepalived."""

    name: str
    kind: type[Exavrrp] | type[Keepalived]
    program: Path
    paths: int
    "over so many paths it sends a copy of each advert to each peer, and receives those of others"

    @property
    def announces(self) -> bool:
        """Whether it announces routes."""
        return self.kind is Exavrrp

    def on(self, arena: Arena, machine: Machine, terms: Terms) -> Agent:
        """Its agent on a server; not started."""
        return self.kind(arena, machine, terms, self.program)


def keepalived() -> Contender:
    """The installed one; raises LabError if there is none."""
    if not (found := shutil.which("keepalived")):
        raise LabError("keepalived is not installed; lab/bench/run installs it")
    return Contender("keepalived", Keepalived, Path(found), 1)


def keepalived_version(contender: Contender) -> str:
    """Such as "2.2.7"."""
    said = run(["sh", "-c", '"$0" --version 2>&1', str(contender.program)])
    found = re.search(r"Keepalived v(\S+)", said)
    return found[1] if found else "?"


def exavrrp(source: Path, directory: Path, name: str) -> Contender:
    """exavrrp of a checkout; writes a program that starts it to `directory`."""
    package = source.resolve() / "src"
    if not (package / "exavrrp").is_dir():
        raise LabError(f"{source} is no checkout of exavrrp: {package / 'exavrrp'} is missing")
    program = directory / name.replace(" ", "-").replace("/", "-")
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{package}" exec "{sys.executable}" -m exavrrp "$@"\n')
    program.chmod(0o755)
    return Contender(name, Exavrrp, program, 2)
