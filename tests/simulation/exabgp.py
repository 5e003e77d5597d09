"""A model of ExaBGP, seen from its two pipes and from its neighbours.

What is real: every line that comes in is written by the product's ``Conversation`` and read word by word here. What is
simulated: ExaBGP's table, its answers, and their trouble. Commands about routes are carried out and answered one after
the other; ``version`` is answered at once and overtakes them; ``reset`` forgets what was not carried out yet; a
question about the neighbours is answered in its turn. By the seed an answer comes late, is ``error``, or never comes;
ExaBGP stops for a while (SIGSTOP), or dies. A neighbour that comes up may be sent an outdated route, as both versions
do, until the route is said in other words; and the same words again are answered and not sent. How its queues order
sets of attributes while a session is down is not simulated: ``tests/system/test_exabgp.py`` asks the real ones.

What it announces outlives the agent: the table belongs to this process, not to the one at the other end of its pipes.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol

from tests.simulation.fabric import Announced, Fabric
from tests.simulation.network import Address
from tests.simulation.world import Violation, World

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
SHUTDOWN = '{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }'


@dataclass(slots=True)
class Temper:
    """How it behaves. Probabilities of each command, but for the times."""

    quick: float = 0.001
    """seconds that it takes for a command at least"""
    busy: float = 0.0
    """seconds that it may take longer"""
    late: float = 0.0
    """of taking up to ``lateness`` seconds for it"""
    lateness: float = 2.5
    error: float = 0.0
    mute: float = 0.0
    """of carrying nothing out, and saying nothing (4.2, when a command raises inside it)"""
    outdated: float = 0.0
    """of sending a new session an outdated route"""

    def calm(self) -> None:
        """No trouble any more; what it sends to a new session is its nature."""
        self.late = self.error = self.mute = 0.0


@dataclass(frozen=True, slots=True)
class Command:
    """One line about routes."""

    announces: bool
    neighbors: frozenset[Address]
    """the only ones that it is for; empty: all"""
    addresses: tuple[Address, ...]
    attributes: Announced
    words: str
    """as ExaBGP compares them"""


class Reader(Protocol):
    """Who is at the other end."""

    def hear(self, lines: list[str]) -> None:
        """Lines have come in."""

    def eof(self, why: str) -> None:
        """ExaBGP is not there any more."""


class Log(Protocol):
    """Where it is told what happened."""

    def __call__(self, template: str, *values: object) -> None: ...


@dataclass(slots=True)
class _Session:
    neighbors: tuple[Address, ...]
    """the router's addresses, one per family"""
    up: bool = False
    generation: int = 0
    sent_until: float = 0.0
    """when the last UPDATE that was sent arrives"""
    table: dict[Address, Command] = field(default_factory=dict)
    """what was announced to it and not withdrawn"""
    before: dict[Address, Command] = field(default_factory=dict)
    """what was announced before that"""


class ExaBGP:
    """One ExaBGP process of one node."""

    def __init__(
        self,
        *,
        world: World,
        node: int,
        fabric: Fabric,
        neighbors: list[tuple[Address, ...]],
        version: str,
        temper: Temper,
        log: Log,
        identity: tuple[int, int],
        carried_out: Callable[[], None],
    ) -> None:
        """``neighbors``: the addresses of each router, one per family."""
        self.identity = identity
        """process number and start, as the agent's note remembers it"""
        self.alive = True
        self.stopped = False
        self.going = False
        self.reader: Reader | None = None
        self._world = world
        self._node = node
        self._fabric = fabric
        self._version = version
        self._temper = temper
        self._log = log
        self._carried_out = carried_out
        self._sessions = [_Session(one) for one in neighbors]
        self._queue: deque[str] = deque()
        self._working = False
        self._unread: list[str] = []
        """written to us while we were stopped"""
        self._coming: deque[list[str]] = deque()
        """written, and on the way to us"""
        self._told_until = 0.0

    # What the world wants to know

    def routes(self, address: Address) -> list[Command | None]:
        """What each router has been, or is being, told of ``address``; None: nothing. Closed sessions left out."""
        return [one.table.get(address) for one in self._sessions if one.up and _carries(one, address)]

    def announces(self, address: Address) -> bool:
        """Whether any neighbour is to know of ``address``."""
        return any(address in one.table for one in self._sessions)

    def will_announce(self, address: Address) -> bool:
        """Whether any neighbour is to know of ``address``, or has to be told of it by what was not carried out yet."""
        if self.announces(address):
            return True
        lines = (*self._queue, *self._unread, *(line for lines in self._coming for line in lines))
        commands = (understood(line) for line in lines)
        return any(one is not None and one.announces and address in one.addresses for one in commands)

    def announced(self) -> set[Address]:
        """Every address that any neighbour is to know of."""
        return {address for one in self._sessions for address in one.table}

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done."""
        return not self._working and not self._queue and not self._unread and not self._coming

    def is_up(self, router: int) -> bool:
        return self._sessions[router].up

    # The pipes

    def write(self, lines: list[str]) -> None:
        """The agent has written these, in one piece."""
        if self.alive:
            self._coming.append(lines)
            self._world.after(0.0002, self._read)

    def _read(self) -> None:
        if not self.alive:
            return
        lines = self._coming.popleft() if self._coming else []
        if self.stopped:
            self._unread += lines
            return
        self._understand(lines)

    def _understand(self, lines: list[str]) -> None:
        for line in lines:
            match line:
                case "version":
                    self._say([f"exabgp {self._version}", "done"])
                case "reset":
                    self._queue.clear()
                case _:
                    self._queue.append(line)
        self._work()

    def forget(self, *, carry_out: bool) -> None:
        """The agent has died: what it wrote is carried out still, or not."""
        self.reader = None
        if not carry_out:
            self._queue.clear()
            self._unread.clear()
            self._coming.clear()

    def _say(self, lines: list[str]) -> None:
        self._told_until = max(self._told_until, self._world.now + 0.0002)
        self._world.at(self._told_until, self._told, lines)

    def _told(self, lines: list[str]) -> None:
        if self.reader is not None and self.alive:
            self.reader.hear(lines)

    # Commands

    def _work(self) -> None:
        if self._working or not self._queue:
            return
        self._working = True
        temper = self._temper
        time = temper.quick + temper.busy * self._world.random.random()
        if temper.late and self._world.random.random() < temper.late:
            time = temper.lateness * self._world.random.random()
        self._world.after(time, self._worked)

    def _worked(self) -> None:
        self._working = False
        if not self.alive or self.stopped:
            return
        if self._queue:  # not after a reset
            self._carry_out(self._queue.popleft())
        self._work()

    def _carry_out(self, line: str) -> None:
        if line == "show neighbor summary":
            self._summary()
            return
        command = understood(line)
        if command is None:
            self._say(["error"])
            return
        temper, random = self._temper, self._world.random
        if temper.error and random.random() < temper.error:
            self._log("ExaBGP: error: {}", line)
            self._say(["error"])
        elif temper.mute and random.random() < temper.mute:
            self._log("ExaBGP: no answer: {}", line)
        else:
            self._apply(command)
            self._say(["done"])

    def _apply(self, command: Command) -> None:
        for router, session in enumerate(self._sessions):
            for address in command.addresses:
                selected = not command.neighbors or not command.neighbors.isdisjoint(session.neighbors)
                if not selected or not _carries(session, address):
                    continue
                known = session.table.get(address)
                if command.announces:
                    if known is not None and known.words == command.words:
                        continue  # answered, and not sent again
                    session.table[address] = command
                else:
                    session.table.pop(address, None)
                if known is not None:
                    session.before[address] = known
                self._update(router, session, address, command.attributes if command.announces else None)
        what = "announced" if command.announces else "withdrawn"
        self._log("ExaBGP: {} {} {}", what, ", ".join(map(str, command.addresses)), command.attributes)
        self._carried_out()

    def _update(self, router: int, session: _Session, address: Address, route: Announced | None) -> None:
        if session.up:
            session.sent_until = max(session.sent_until, self._world.now + 0.002)
            self._world.at(session.sent_until, self._arrive, router, session.generation, address, route)

    def _arrive(self, router: int, generation: int, address: Address, route: Announced | None) -> None:
        if self._sessions[router].generation == generation:
            self._fabric.update(router, self._node, address, route)

    def _summary(self) -> None:
        self._say([HEADING])
        for session in self._sessions:
            if session.up or not self._version.startswith("4"):
                state = "established" if session.up else "active"
                self._say([f"{one} 65000 0:00:10 {state} 1 1" for one in session.neighbors])
        self._say(["done"])

    # Sessions

    def open(self, router: int) -> None:
        """The session to this router comes up."""
        session = self._sessions[router]
        if not self.alive or self.stopped or self.going or session.up:
            return
        session.up = True
        session.generation += 1
        self._fabric.opened(router, self._node)
        self._tell(session, "up")
        outdated, random = self._temper.outdated, self._world.random
        for address in {**session.table, **session.before}:
            sent = session.table.get(address)
            if outdated and random.random() < outdated:
                sent = session.before.get(address, sent)
            if sent is not None:
                self._update(router, session, address, sent.attributes)

    def close(self, router: int, *, carrier: bool = True) -> None:
        """The session to this router ends; without ``carrier`` it is not known there until the hold time is over."""
        session = self._sessions[router]
        if not session.up:
            return
        session.up = False
        session.generation += 1
        if carrier:
            self._fabric.closed(router, self._node)
        else:
            self._fabric.muted(router, self._node)
        self._tell(session, "down")

    def _tell(self, session: _Session, state: str) -> None:
        self._say(
            [
                f'{{ "type": "state", "neighbor": {{ "address": {{ "peer": "{one}" }}, "state": "{state}" }} }}'
                for one in session.neighbors
            ]
        )

    # Its own life

    def stop(self) -> None:
        """SIGSTOP: nothing is read, nothing answered; the sessions stay until the routers' hold time."""
        self.stopped = True
        for router, session in enumerate(self._sessions):
            if session.up:
                self._fabric.muted(router, self._node)

    def go_on(self) -> None:
        """SIGCONT. A session that a router has closed meanwhile is closed here, too."""
        if not self.alive:
            return
        self.stopped = False
        for router, session in enumerate(self._sessions):
            one = self._fabric.routers[router]
            timer = one.holding.pop(self._node, None)
            if timer is not None:
                timer.cancel()
            elif session.up and self._node not in one.sessions:
                self.close(router)
        unread, self._unread = self._unread, []
        self._understand(unread)

    def shut_down(self) -> None:
        """It was asked to stop: it closes its sessions, and then says so."""
        self.going = True
        for router in range(len(self._sessions)):
            self.close(router)
        self._say([SHUTDOWN])

    def die(self, *, carrier: bool = True) -> None:
        """SIGKILL, or the end: the sessions close, and so do the pipes."""
        self.alive = False
        for router in range(len(self._sessions)):
            self.close(router, carrier=carrier)
        if self.reader is not None:
            self.reader.eof("end of file on stdin")
            self.reader = None


def _carries(session: _Session, address: Address) -> bool:
    return any(one.version == address.version for one in session.neighbors)


@lru_cache(maxsize=4096)
def understood(line: str) -> Command | None:
    """A line about routes, word by word; None if it is none (such as the throw-away word of a greeting)."""
    words = line.split()
    neighbors: set[Address] = set()
    while words and words[0] in ("neighbor", ","):
        if words.pop(0) == "neighbor":
            neighbors.add(ip_address(words.pop(0)))
    match words:
        case ["announce" | "withdraw" as verb, "route", prefix, *rest]:
            prefixes, said = [prefix], rest
        case ["announce" | "withdraw" as verb, "attributes", *rest] if "nlri" in rest:
            at = rest.index("nlri")
            prefixes, said = rest[at + 1 :], rest[:at]
        case _:
            return None
    addresses = tuple(ip_address(one.split("/")[0]) for one in prefixes)
    return Command(verb == "announce", frozenset(neighbors), addresses, _attributes(list(said)), " ".join(said))


def _attributes(words: list[str]) -> Announced:
    med: int | None = None
    preference: int | None = None
    as_path: tuple[int, ...] = ()
    while words:
        match words.pop(0):
            case "next-hop" | "origin":
                words.pop(0)
            case "med":
                med = int(words.pop(0))
            case "local-preference":
                preference = int(words.pop(0))
            case "as-path":
                as_path = tuple(map(int, _bracketed(words)))
            case "community" | "large-community":
                _bracketed(words)
            case "attribute":
                code, _, value = _bracketed(words)
                if code == "0x04":
                    med = int(value, 16)
                elif code == "0x05":
                    preference = int(value, 16)
            case word:
                raise Violation(f"ExaBGP does not know the word {word!r}")
    return Announced(med, preference, as_path)


def _bracketed(words: list[str]) -> list[str]:
    found = []
    while True:
        word = words.pop(0)
        found.append(word.strip("[]"))
        if word.endswith("]"):
            return [one for one in found if one]
