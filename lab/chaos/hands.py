"""Carries faults out, and heals them.

Owns: what is done to processes, links and packet filters, so that each fault can be undone; in what order the faults of
an episode strike and heal. Must not know: what they may cost.

Processes are stopped and killed by pid, of those that run in the server's namespace at that moment. If there are none
just then (an agent is being started anew), the fault is one that does nothing.
"""

from __future__ import annotations

import heapq
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

from lab.addressing import Link
from lab.chaos.arena import Arena
from lab.chaos.faults import Fault, Kind
from lab.chaos.records import Chapter, Trouble
from lab.chaos.service import BY_NAME, fitness
from lab.processes import Late, Program
from lab.scenarios import dropped_at_arrival
from lab.scenarios_fabric import ADVERTS, dropped_on_leaving
from lab.servers import Armed
from lab.topology import LabError, link_up

COMMAND_LIMIT = 60.0
"Seconds for a command of exavrrp."
DEATHS = 8
"The agent is killed so often at most: ExaBGP gives up after five or six within a minute."
NEXT_LIFE = 3.0
"Seconds to wait for the restart of an agent."

Heal = Callable[[], None]


class Hands:
    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._strikes: dict[Kind, Callable[[Fault], Heal | None]] = {
            Kind.POWER_CUT: self._cut_power,
            Kind.KILL_AGENT: self._kill_agent,
            Kind.KILL_AGENT_AGAIN: self._kill_agent_again,
            Kind.KILL_EXABGP: self._kill_exabgp,
            Kind.STOP_AGENT: self._stop,
            Kind.STOP_EXABGP: self._stop,
            Kind.STOP_BOTH: self._stop,
            Kind.CUT_UPLINK: self._cut_uplinks,
            Kind.ADVERTS_LOST: self._lose,
            Kind.BLACK_HOLE: self._lose,
            Kind.KILL_ROUTER: self._kill_router,
            Kind.RELOAD: self._reload,
            Kind.FULL_RELOAD: self._reload,
            Kind.FAILED_RELOAD: self._fail_reload,
            Kind.UNLIST: self._unlist,
            Kind.TAKE_ADDRESS: self._take_address,
            Kind.DRAIN: self._drain,
            Kind.UNFIT: self._make_unfit,
        }

    def play(self, chapter: Chapter) -> None:
        """Strikes and heals every fault of an episode in its time; returns when the last one is healed."""
        begin, order = time.monotonic(), count()
        due: list[tuple[float, int, Callable[[], None]]] = []

        def later(seconds: float, act: Callable[[], None]) -> None:
            heapq.heappush(due, (begin + seconds, next(order), act))

        def strike(fault: Fault) -> None:
            trouble = Trouble(fault, time.time())
            chapter.troubles.append(trouble)
            heal = self._strikes[fault.kind](fault)

            def over() -> None:
                if heal is not None:
                    heal()
                trouble.end = time.time()

            later(time.monotonic() - begin + (fault.lasts if heal is not None else 0.0), over)

        for fault in chapter.episode.faults:
            later(fault.at, partial(strike, fault))
        while due:
            when, _, act = heapq.heappop(due)
            self._arena.watch(max(when - time.monotonic(), 0.0))
            act()

    # Processes

    def _cut_power(self, fault: Fault) -> Heal:
        self._arena.power_off(fault.machine)
        return lambda: self._arena.power_on(fault.machine)

    def _kill_agent(self, fault: Fault) -> None:
        send(signal.SIGKILL, self._arena.agents(fault.machine))
        self._arena.forget(fault.machine)

    def _kill_agent_again(self, fault: Fault) -> None:
        """Kills each agent as soon as it runs, until ExaBGP gives up."""
        program = self._arena.servers[fault.machine].exabgp
        killed: set[int] = set()
        for _ in range(DEATHS):
            found = self._arena.agents(fault.machine)
            send(signal.SIGKILL, found)
            killed.update(found)

            def next_life() -> bool:
                return program.ended or any(pid not in killed for pid in self._arena.agents(fault.machine))

            with suppress(Late):
                self._arena.await_condition("another agent", NEXT_LIFE, next_life)
            if program.ended:
                break
        self._arena.forget(fault.machine)

    def _kill_exabgp(self, fault: Fault) -> None:
        self._arena.servers[fault.machine].exabgp.process.kill()
        self._arena.forget(fault.machine)

    def _stop(self, fault: Fault) -> Heal:
        pids = [] if fault.kind is Kind.STOP_EXABGP else self._arena.agents(fault.machine)
        if fault.kind is not Kind.STOP_AGENT:
            pids.append(self._arena.servers[fault.machine].exabgp.process.pid)
        stopped = [(pid, birth(pid)) for pid in pids]
        send(signal.SIGSTOP, pids)
        return lambda: send(signal.SIGCONT, (pid for pid, born in stopped if born is not None and birth(pid) == born))

    def _reload(self, fault: Fault) -> None:
        number = signal.SIGUSR1 if fault.kind is Kind.RELOAD else signal.SIGUSR2
        self._arena.servers[fault.machine].exabgp.process.send_signal(number)
        if fault.kind is Kind.FULL_RELOAD:
            self._arena.forget(fault.machine)

    def _fail_reload(self, fault: Fault) -> Heal:
        server = self._arena.servers[fault.machine]
        server.hide_exabgp_configuration()
        server.reload_exabgp(signal.SIGUSR1)
        self._arena.forget(fault.machine)

        def heal() -> None:
            self._arena.forget(fault.machine)
            server.restore_exabgp_configuration()
            server.reload_exabgp(signal.SIGUSR1)

        return heal

    def _unlist(self, fault: Fault) -> Heal:
        server = self._arena.servers[fault.machine]

        def reload(*routers: str) -> None:
            server.unlist(*routers)
            server.reload_exabgp(signal.SIGUSR1)

        reload(*(link.router.name for link in self._links(fault)))
        return reload

    # Links and routers

    def _links(self, fault: Fault) -> list[Link]:
        site = self._arena.fabric.site
        return [each for each in site.uplinks(site.machine(fault.machine)) if each.member_interface in fault.uplinks]

    def _cut_uplinks(self, fault: Fault) -> Heal:
        links = self._links(fault)
        for link in links:
            self._ip(link, [f"link set {link.router_interface} down"])

        def heal() -> None:
            for link in links:
                self._ip(link, link_up(link, link.router))

        return heal

    def _ip(self, link: Link, lines: Iterable[str]) -> None:
        self._arena.topology[link.router.name].ip(lines)

    def _lose(self, fault: Fault) -> Heal:
        match = ADVERTS if fault.kind is Kind.ADVERTS_LOST else ""
        links = self._links(fault)
        tables = {"from": ["netdev"], "to": ["inet"], "both": ["netdev", "inet"]}[fault.direction]
        for link in links:
            rules = {"netdev": dropped_at_arrival(match, link.member), "inet": dropped_on_leaving(match, link.member)}
            self._nft(link, [rules[table] for table in tables])

        def heal() -> None:
            for link in links:
                self._nft(link, [f"delete table {table} lab_{link.member.name}" for table in tables])

        return heal

    def _nft(self, link: Link, lines: Sequence[str]) -> None:
        Armed.nft(self._arena.topology[link.router.name]).fire(lines)

    def _kill_router(self, fault: Fault) -> Heal:
        router = self._arena.fabric.site.machine(fault.machine)
        self._arena.kill_speaker(router)
        return lambda: self._arena.start_speaker(router)

    # The operator

    def _take_address(self, fault: Fault) -> None:
        with suppress(LabError):  # it is not there: somebody else serves
            self._arena.topology[fault.machine].ip([f"address del {BY_NAME[fault.service].prefix} dev lo"])

    def _drain(self, fault: Fault) -> Heal:
        draining = self._command(fault.machine, "drain")
        return lambda: self._undrain(fault.machine, draining)

    def _undrain(self, node: str, draining: Program) -> None:
        """An operator tries again while no agent answers (it is being started anew)."""
        self._end_of(draining)
        undraining = [self._command(node, "undrain")]

        def obeyed() -> bool:
            if not undraining[-1].ended:
                return False
            status = undraining[-1].process.returncode
            self._arena.processes.let_go(undraining[-1])
            if status:
                undraining.append(self._command(node, "undrain"))
            return not status

        self._arena.await_condition("undrain", COMMAND_LIMIT, obeyed)

    def _command(self, node: str, *words: str) -> Program:
        return self._arena.servers[node].start_command(*words)

    def _end_of(self, program: Program) -> None:
        self._arena.await_condition(f"the end of {program.name}", COMMAND_LIMIT, lambda: program.ended)
        self._arena.processes.let_go(program)

    def _make_unfit(self, fault: Fault) -> Heal:
        sign = fitness(self._arena.servers[fault.machine].directory)
        sign.unlink()
        return sign.touch


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """To those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def birth(pid: int) -> str | None:
    """What tells a process from a later one of the same number: its start time (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None
