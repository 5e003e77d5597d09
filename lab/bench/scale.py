"""What is measured, and in which order: `lab/bench/run scale`.

For each number of virtual routers all contenders take turns, each as Active and as Backup in an arena of its own,
`repeat` times: other load on the machine affects all of them. An agent is measured for `seconds`, once it has been in
its role for `settle` seconds:

- Active: it starts among peers that only discard adverts. Then SIGTERM (exavrrp: to its ExaBGP), and what it leaves on
  lo.
- Backup: a stand-in is Active for all virtual routers.
- takeover: the same, and then the stand-in dies with its links.
- three: three agents start at once, the best is to become Active for all, and nothing is to move after that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

from lab.addressing import SERVERS
from lab.bench import profiling
from lab.bench.agents import Agent, Contender, Ended, Terms
from lab.bench.arena import NODE1, NODE2, NODE3, TOR1, Arena, arena
from lab.bench.capture import PERIOD as CAPTURES
from lab.bench.plan import virtual_routers
from lab.bench.readings import Used, lateness, percentile
from lab.processes import Late
from lab.servers import ExaBGPLine

WAIT_LIMIT = 60.0
"Seconds to wait for a condition."
MS = 1000.0
MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    routers: Sequence[int]
    contenders: Sequence[Contender]
    interval: float
    settle: float
    seconds: float
    repeat: int
    bursts: int
    exabgp: ExaBGPLine
    realtime: bool
    takeover: bool
    three: bool
    profile: Path | None


@dataclass(frozen=True, slots=True)
class Load:
    """An agent as Active or as Backup. None: could not be measured."""

    routers: int
    agent: str
    role: str
    cpu: float | None = None
    "share of a core"
    kernel: float | None = None
    "share of that which the kernel used on its behalf: for sends, for receiving"
    us_per_advert: float | None = None
    "µs of CPU for each advert of a virtual router, whatever its copies"
    us_per_packet: float | None = None
    "µs of CPU for each packet sent or received"
    packets: float | None = None
    "sent or received in a second"
    rss: float | None = None
    "MiB"
    pss: float | None = None
    "MiB"
    late_median: float | None = None
    "ms, as Active"
    late_999: float | None = None
    "ms: 99.9 % of the adverts are not later"
    start: float | None = None
    "seconds from its exec until all virtual routers are Active and announced, or Backup"
    unneeded: int | None = None
    "transitions beside those into this role"
    pause: float | None = None
    "ms for which the stand-in sent nothing, at most: after three intervals a Backup has to take over"
    stop: float | None = None
    "seconds from SIGTERM to its end, as Active"
    left: int | None = None
    "virtual addresses on lo after that"
    load: float | None = None
    "the machine's load average of one minute, at the end of the measurement"
    failure: str = ""
    "the condition that was not met"


@dataclass(frozen=True, slots=True)
class Takeover:
    """A node that was Active for all virtual routers has died. Times in ms after its death; None: not within limits."""

    routers: int
    agent: str
    bound_first: float | None
    bound_last: float | None
    announced_last: float | None
    "in the first ToR's kernel"
    answered_first: float | None
    answered_last: float | None
    spread: float | None
    "ms from the first to the last answer"
    unneeded: int
    load: float
    role: str = "takeover"


@dataclass(frozen=True, slots=True)
class Three:
    """Three agents on one machine."""

    routers: int
    agent: str
    converged: float | None
    "seconds from their start until one is Active for all and the others are Backup; None: not within limits"
    moves_converging: int
    "transitions, all three; the least are four for each virtual router"
    moves_after: int
    "transitions in the measurement after that"
    cpu: tuple[float, ...]
    "share of a core of each in that time"
    load: float
    role: str = "three"


Result = Load | Takeover | Three


def run(order: Order, directory: Path, say: Callable[[str], None]) -> Iterator[Result]:
    """The results, each number of virtual routers after it was measured as often as asked for. Raises LabError."""
    for count in order.routers:
        rounds: dict[tuple[str, str], list[Result]] = {}
        for _ in range(order.repeat):
            for result in one_round(order, count, directory, say):
                rounds.setdefault((result.agent, result.role), []).append(result)
        yield from map(middle, rounds.values())


def middle(results: Sequence[Result]) -> Result:
    """Of several measurements the median of each quantity, and the greatest of each count."""
    values = {field.name: [getattr(each, field.name) for each in results] for field in fields(results[0])}
    return replace(results[0], **{name: _middle(found) for name, found in values.items()})


def _middle(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    match known[:1]:
        case [float()]:
            return median(known)
        case [tuple()]:
            return tuple(map(median, zip(*known, strict=True)))
        case [int() | str()]:
            return max(known)
        case _:
            return None


def one_round(order: Order, count: int, directory: Path, say: Callable[[str], None]) -> Iterator[Result]:
    """Every contender once, in everything."""
    for contender in order.contenders:
        say(f"{count} × {contender.name}")
        terms = Terms(virtual_routers(count), order.interval, order.exabgp, order.realtime)
        with arena(directory, say) as place:
            yield Race(order, contender, terms, place).active()
        with arena(directory, say) as place:
            yield from Race(order, contender, terms, place).backup()
        if order.three:
            with arena(directory, say) as place:
                yield Race(order, contender, terms, place).three()


class Race:
    """One contender in one arena."""

    def __init__(self, order: Order, contender: Contender, terms: Terms, place: Arena) -> None:
        self._order, self._contender, self._terms, self._arena = order, contender, terms, place
        self._count = len(terms.routers)
        if contender.paths == 1:
            place.one_way()

    def active(self) -> Load:
        result = Load(self._count, self._contender.name, "active")
        try:
            return self._active(result)
        except Ended as ended:
            return replace(result, failure=str(ended))

    def _active(self, result: Load) -> Load:
        self._arena.start_standin(NODE2)
        self._arena.start_standin(NODE3)
        self._arena.start_capture()
        agent = self._contender.on(self._arena, NODE1, self._terms)
        try:
            result = replace(result, start=self._start(agent, agent.serves, "Active"))
        except Late as late:
            return replace(result, failure=f"{agent.count('active')} Active: {late}")
        since, until, used = self._watch(agent)
        captures = self._arena.captured(since, until)
        delays = [MS * delay for delay in lateness(captures, self._order.interval)]
        result = replace(
            self._costs(result, agent, used, until - since, 2 * len(captures)),
            late_median=percentile(delays, 0.5),
            late_999=percentile(delays, 0.999),
            unneeded=agent.moves - 2 * self._count,
        )
        self._profile(agent, "active")
        stopped = time.monotonic()
        program = agent.stop()
        self._arena.processes.await_condition("its end", WAIT_LIMIT, lambda: program.ended)
        return replace(result, stop=time.monotonic() - stopped, left=agent.bound())

    def backup(self) -> Iterator[Result]:
        result = Load(self._count, self._contender.name, "backup")
        try:
            yield from self._backup(result)
        except Ended as ended:
            yield replace(result, failure=str(ended))

    def _backup(self, result: Load) -> Iterator[Result]:
        order = self._order
        self._arena.start_standin(NODE2, self._count, order.interval, self._contender.paths, order.bursts)
        self._arena.start_standin(NODE3)
        agent = self._contender.on(self._arena, NODE1, self._terms)
        try:
            result = replace(result, start=self._start(agent, agent.stands_by, "Backup"))
        except Late as late:
            yield replace(result, failure=f"{agent.count('backup')} Backup: {late}")
            return
        since, until, used = self._watch(agent)
        result = self._costs(result, agent, used, until - since, self._arena.sent(since, until))
        pause = self._arena.pause()
        yield replace(result, unneeded=agent.moves - self._count, pause=None if pause is None else pause * MS)
        self._profile(agent, "backup")
        if order.takeover:
            yield self._takeover(agent)

    def _takeover(self, agent: Agent) -> Takeover:
        addresses = self._arena.start_monitor(NODE1, "address")
        routes = self._arena.start_monitor(TOR1, "route")
        # Without routes there is nothing to ping.
        answers = self._arena.start_prober(self._count) if self._contender.announces else dict
        expected = self._count if self._contender.announces else 0
        time.sleep(self._order.settle)
        before, died = agent.moves, time.time()
        self._arena.power_off(NODE2)
        with suppress(Late):  # the result has what was reached
            self._arena.processes.await_condition(
                "all to be taken over", WAIT_LIMIT, lambda: agent.serves() and len(answers()) == expected
            )
        bound, announced = (came(self._terms.routers, died) for came in (addresses, routes))
        answered = answers()
        agent.refresh()

        def after(times: dict[str, float], which: Callable[[Sequence[float]], float]) -> float | None:
            return (which(list(times.values())) - died) * MS if len(times) == self._count else None

        first, last = after(answered, min), after(answered, max)
        return Takeover(
            self._count,
            self._contender.name,
            bound_first=after(bound, min),
            bound_last=after(bound, max),
            announced_last=after(announced, max),
            answered_first=first,
            answered_last=last,
            spread=None if first is None or last is None else last - first,
            unneeded=agent.moves - before - self._count,
            load=os.getloadavg()[0],
        )

    def three(self) -> Three:
        agents = [self._contender.on(self._arena, server, self._terms) for server in SERVERS]
        best, *others = agents
        began, converged = time.monotonic(), None
        for agent in agents:
            agent.start()
        with suppress(Late):
            self._arena.processes.await_condition(
                "three to agree", WAIT_LIMIT, lambda: best.serves() and all(agent.stands_by() for agent in others)
            )
            converged = time.monotonic() - began
        time.sleep(self._order.settle)
        moves = sum(self._moves(agents))
        before, begin = [agent.cpu() for agent in agents], time.monotonic()
        time.sleep(self._order.seconds)
        used = [agent.cpu().since(earlier).seconds for agent, earlier in zip(agents, before, strict=True)]
        seconds = time.monotonic() - begin
        return Three(
            self._count,
            self._contender.name,
            converged,
            moves,
            sum(self._moves(agents)) - moves,
            tuple(each / seconds for each in used),
            os.getloadavg()[0],
        )

    @staticmethod
    def _moves(agents: Sequence[Agent]) -> list[int]:
        for agent in agents:
            agent.refresh()
        return [agent.moves for agent in agents]

    def _start(self, agent: Agent, condition: Callable[[], bool], role: str) -> float:
        """Seconds until it is in its role; raises Late."""
        began = time.monotonic()
        agent.start()
        self._arena.processes.await_condition(f"all to be {role}", WAIT_LIMIT, condition)
        return time.monotonic() - began

    def _watch(self, agent: Agent) -> tuple[float, float, Used]:
        """Beginning and end of the measurement (seconds since the epoch), and the CPU that it has used between."""
        time.sleep(self._order.settle)
        since, before = time.time(), agent.cpu()
        time.sleep(self._order.seconds)
        until, after = time.time(), agent.cpu()
        time.sleep(2 * CAPTURES)
        agent.refresh()
        return since, until, after.since(before)

    def _costs(self, result: Load, agent: Agent, used: Used, seconds: float, packets: int) -> Load:
        """`used`: for so many packets in so many seconds."""
        copies = self._contender.paths * (len(SERVERS) - 1 if result.role == "active" else 1)
        rss, pss = agent.memory()
        return replace(
            result,
            cpu=used.seconds / seconds,
            kernel=used.kernel_share,
            us_per_advert=used.seconds / packets * copies * MICRO if packets else None,
            us_per_packet=used.seconds / packets * MICRO if packets else None,
            packets=packets / seconds,
            rss=rss,
            pss=pss,
            load=os.getloadavg()[0],
        )

    def _profile(self, agent: Agent, role: str) -> None:
        if self._order.profile is None or not self._contender.announces:
            return
        self._order.profile.mkdir(parents=True, exist_ok=True)
        file = self._order.profile / f"{self._contender.program.name}-{role}-{self._count}.txt"
        file.write_text(profiling.text(profiling.sample(agent.process, self._arena.directory)))
