"""A model of ExaBGP, seen from its two pipes and from its neighbors.

What is real: every line that comes in is written by the product's ``Conversation`` and read word by word here. What is
simulated: ExaBGP's table, its answers, and their trouble. Commands about routes are carried out and answered one after
the other; ``version`` is answered at once and overtakes them; ``reset`` forgets what was not carried out yet; a
question about the neighbors is answered in its turn. By the seed an answer comes late, is ``error``, or never comes;
where a neighbor has raised an exception, to which 5.0 answers ``error`` and 4.2 nothing, those before it were told.
ExaBGP stops for a while (SIGSTOP), or dies. A command reaches only the neighbors whose ``api`` lists the agent, and is
``error`` where there is none; a reload may change that, which 5.0 uses at once, and 4.2 when a session ends. A
neighbor that does not list it any more keeps its routes, gets them again with each new session, and misses what is said
meanwhile, without a word. Its pipe may be so full that it takes a part of what is written, also in the middle of a
line, and the rest later. A neighbor that comes up may be sent an outdated route, as both versions do, until the route
is said in other words; and the same words again are answered and not sent. How its queues order sets of attributes
while a session is down is not simulated: ``tests/system/test_exabgp.py`` asks the real ones.

What it announces outlives the agent: the table belongs to this process, not to the one at the other end of its pipes.
"""

import errno
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import product
from random import Random
from typing import Protocol

from exavrrp.neighbors import Session
from exavrrp.routes import Network
from exavrrp.simulation.fabric import Announced, Fabric
from exavrrp.simulation.world import Handle, Violation, World
from exavrrp.speaker.dialects import V5

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
OWN_AS, OTHER_AS = 65010, 65000
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
    """of saying ``error``: 5.0 has told some neighbors, 4.2 none"""
    mute: float = 0.0
    """of saying nothing: 4.2 has told some neighbors, 5.0 none"""
    full: float = 0.0
    """of taking only a part of what is written, and the rest up to ``lateness`` seconds later"""
    outdated: float = 0.0
    """of sending a new session an outdated route"""

    def calm(self) -> None:
        """No trouble any more; what it sends to a new session is its nature."""
        self.late = self.error = self.mute = self.full = 0.0


@dataclass(frozen=True, slots=True)
class Command:
    """One line about routes."""

    announces: bool
    neighbors: frozenset[Session]
    """the only ones that it is for; empty: all"""
    networks: tuple[Network, ...]
    attributes: Announced
    words: str
    """as ExaBGP compares them"""


class Reader(Protocol):
    """The agent's end of the pipes."""

    @property
    def unwritten(self) -> bytes:
        """What it has yet to write."""

    def hear(self, data: bytes) -> None:
        """Data has arrived."""

    def eof(self) -> None:
        """ExaBGP is gone."""

    def room(self) -> None:
        """More can be written."""


class Log(Protocol):
    """The log of the simulation."""

    def __call__(self, template: str, *values: object) -> None: ...


@dataclass(slots=True)
class _Session:
    neighbors: tuple[Session, ...]
    """one per family"""
    configured: bool = True
    """whether the configuration lists the agent in their ``api``"""
    listed: bool = True
    """whether ExaBGP goes by that yet"""
    up: bool = False
    closed: bool = False
    """whether its neighbor has closed it, and nobody here knows yet"""
    muted: bool = False
    """whether nothing gets through, although the link is up"""
    expiry: Handle | None = None
    """the end of the hold time since then; None: something gets through, or it is over"""
    kept: list[tuple[Network, Announced | None]] = field(default_factory=list)
    """what was sent meanwhile, and TCP goes on sending"""
    generation: int = 0
    sent_until: float = 0.0
    """when the last UPDATE that was sent arrives"""
    table: dict[Network, Command] = field(default_factory=dict)
    """what was announced to it and not withdrawn"""
    before: dict[Network, Command] = field(default_factory=dict)
    """what was announced before that"""


class ExaBGP:
    """One ExaBGP process of one node."""

    def __init__(
        self,
        *,
        world: World,
        node: int,
        fabric: Fabric,
        neighbors: list[tuple[Session, ...]],
        version: str,
        temper: Temper,
        log: Log,
        identity: tuple[int, int],
        carried_out: Callable[[], None],
        listed: Iterable[bool],
        has_carrier: Callable[[int], bool],
        reopen: Callable[[int], None],
    ) -> None:
        """``neighbors``: the sessions to each router, one per family; ``listed``: whether its ``api`` lists us.

        ``has_carrier``: whether the link to a router is up; ``reopen``: tries the session again.
        """
        self.identity = identity
        """process number and start, as the agent's note remembers it"""
        self.alive = True
        self.looked = world.now
        """when the agent looked at the configuration last"""
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
        self._has_carrier = has_carrier
        self._reopen = reopen
        self._sessions = [_Session(one, there, there) for one, there in zip(neighbors, listed, strict=True)]
        self._queue: deque[str] = deque()
        self._working = False
        self._unread = b""
        """written to us while we were stopped, or half a line"""
        self._coming: deque[bytes] = deque()
        """written, and on the way to us"""
        self._told_until = 0.0
        self.shown: dict[Network, float] = {}
        """what its last answer about its tables had although it was withdrawn, with no withdraw since; and when"""
        self._withdrawn: set[Network] = set()
        """what was withdrawn last, from one session at least"""
        self.silent_at = -math.inf
        """when it left a command without an answer for the last time"""
        self.missed_at = self.opened_unlisted_at = -math.inf
        """when a neighbor that does not list the agent missed a command for the last time, and when one has come up"""
        self._forgetful = False
        """whether its last reload has failed, and it does not know what its neighbors were before (5.0)"""
        self._chance = Random(f"{world.seed} {node} {identity}")  # of its own, so that other histories stay as they are
        self._loads = 0
        """reloads that did not fail"""

    # What the world wants to know

    def routes(self, network: Network) -> list[Command | None]:
        """The route to ``network`` that each router has got, or is getting; None: none. Without closed sessions."""
        return [one.table.get(network) for one in self._sessions if _hears(one) and _carries(one, network)]

    def announces(self, network: Network) -> bool:
        """Whether ``network`` is announced to any neighbor."""
        return any(network in one.table for one in self._sessions)

    def will_announce(self, network: Network) -> bool:
        """Whether any neighbor is to know of ``network``, or has to be told of it by what was not carried out yet."""
        if self.announces(network):
            return True
        data = self._unread + b"".join(self._coming) + (b"" if self.reader is None else self.reader.unwritten)
        lines = (line for line in (*self._queue, *_lines(data)[0]) if not line.endswith(V5.THROWAWAY))
        commands = map(understood, lines)
        return any(one is not None and one.announces and network in one.networks for one in commands)

    def announced(self) -> set[Network]:
        """Every prefix that is announced to any neighbor."""
        return {network for one in self._sessions for network in one.table}

    @property
    def own_as(self) -> int | None:
        """Our own AS number in each session; None: they are iBGP."""
        return None if self._fabric.internal else OWN_AS

    @property
    def idle(self) -> bool:
        """Whether no command is waiting."""
        return not self._working and not self._queue and not self._unread and not self._coming

    def is_up(self, router: int) -> bool:
        """At both ends."""
        return _hears(self._sessions[router])

    # The pipes

    def write(self, data: bytes) -> int:
        """The agent writes this, in one piece; how much of it is taken. When there is ``room`` again it is told."""
        if not self.alive:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        random, taken = self._world.random, len(data)
        if self._temper.full and random.random() < self._temper.full:
            taken = random.randrange(len(data))
            self._world.after(self._temper.lateness * random.random() ** 4, self._make_room)
        self._coming.append(data[:taken])
        self._world.after(0.0002, self._read)
        return taken

    def _make_room(self) -> None:
        if self.stopped and self.alive:
            self._world.after(0.05, self._make_room)
        elif self.reader is not None:
            self.reader.room()

    def _read(self) -> None:
        if not self.alive:
            return
        self._unread += self._coming.popleft() if self._coming else b""
        if not self.stopped:
            self._understand()

    def _understand(self) -> None:
        lines, self._unread = _lines(self._unread)
        for line in lines:
            match line:
                case V5.VERSION:
                    self._say([f"exabgp {self._version}", "done"])
                case V5.RESET:
                    self._queue.clear()
                case half if half.endswith(V5.THROWAWAY):
                    self._queue.append(V5.THROWAWAY)
                case _:
                    self._queue.append(line)
        self._work()

    def forget(self, *, carry_out: bool) -> None:
        """The agent has died: what it wrote is carried out still, or not."""
        self.reader = None
        if not carry_out:
            _, self._unread = _lines(self._unread + b"".join(self._coming))  # half a line stays, as in 4.2
            self._coming.clear()
            self._queue.clear()

    def _say(self, lines: list[str]) -> None:
        self._told_until = max(self._told_until, self._world.now + 0.0002)
        self._world.at(self._told_until, self._told, lines)

    def _told(self, lines: list[str]) -> None:
        if self.reader is not None and self.alive:
            self.reader.hear("".join(f"{line}\n" for line in lines).encode())

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
        if line == "show neighbor extensive":
            self._extensive()
            return
        if line == "show neighbor configuration":
            self.looked = self._world.now
            self._say([f"{one.neighbors} {'api' if one.configured else ''}" for one in self._sessions])
            self._say(["done"])
            return
        if line == "show adj-rib out":
            self.shown = dict.fromkeys(self.announced() & self._withdrawn, self._world.now)
            self._say(
                [
                    f"{one.neighbors[0].peer} ipv{network.version} unicast {network} next-hop self"
                    for one in self._sessions
                    for network in one.table
                ]
            )
            self._say(["done"])
            return
        command = understood(line)
        if command is None or not any(self._reaches(command, session) for session in self._sessions):
            self._say(["error"])
            return
        temper, random = self._temper, self._world.random
        if temper.error and random.random() < temper.error:
            self._log("ExaBGP: error: {}", line)
            if not self._version.startswith("4"):
                self._raise(command)
            self._say(["error"])
        elif temper.mute and random.random() < temper.mute:
            self._log("ExaBGP: no answer: {}", line)
            if self._version.startswith("4"):
                self._raise(command)
            self.silent_at = self._world.now
        else:
            self._apply(command)
            self._say(["done"])

    def _raise(self, command: Command) -> None:
        """A neighbor raises an exception inside it: those before that one are told."""
        reached = [router for router, session in enumerate(self._sessions) if self._reaches(command, session)]
        self._pass_on(command, self._chance.choice(reached))
        self._carried_out()

    def _reaches(self, command: Command, session: _Session) -> bool:
        return session.listed and self._chooses(command, session)

    def _chooses(self, command: Command, session: _Session) -> bool:
        chosen = product(command.neighbors, session.neighbors)
        return not command.neighbors or any(one.covers(other) for one, other in chosen)

    def _pass_on(self, command: Command, count: int) -> None:
        """Tell it to the first so many neighbors."""
        for router, session in enumerate(self._sessions[:count]):
            for network in command.networks:
                if not self._chooses(command, session) or not _carries(session, network):
                    continue
                known = session.table.get(network)
                if not session.listed:
                    self.missed_at = self._world.now
                    continue
                if command.announces:
                    if known is not None and known.words == command.words:
                        continue  # answered, and not sent again
                    session.table[network] = command
                else:
                    session.table.pop(network, None)
                if known is not None:
                    session.before[network] = known
                self._update(router, session, network, command.attributes if command.announces else None)

    def _apply(self, command: Command) -> None:
        self._pass_on(command, len(self._sessions))
        for network in command.networks:
            self.shown.pop(network, None)
        (self._withdrawn.difference_update if command.announces else self._withdrawn.update)(command.networks)
        what = "announced" if command.announces else "withdrawn"
        self._log("ExaBGP: {} {} {}", what, ", ".join(map(str, command.networks)), command.attributes)
        self._carried_out()

    def _update(self, router: int, session: _Session, network: Network, route: Announced | None) -> None:
        if session.closed:
            self._write(router)
        elif session.up:
            session.sent_until = max(session.sent_until, self._world.now + 0.002)
            self._world.at(session.sent_until, self._arrive, router, session.generation, network, route)

    def _arrive(self, router: int, generation: int, network: Network, route: Announced | None) -> None:
        session = self._sessions[router]
        if session.generation != generation:
            return
        if session.muted:
            session.kept.append((network, route))
        else:
            self._fabric.update(router, self._node, network, route)

    def _summary(self) -> None:
        self._say([HEADING])
        for session in self._sessions:
            if session.up or not self._version.startswith("4"):
                state = "established" if session.up else "active"
                self._say([f"{one.peer} 65000 0:00:10 {state} 1 1" for one in session.neighbors])
        self._say(["done"])

    def _extensive(self) -> None:
        for session in self._sessions:
            state = "ESTABLISHED" if session.up else "ACTIVE"
            for one in session.neighbors:
                carried = f"   ipv{one.peer.version} unicast:  enabled  {'enabled' if session.up else 'n/a'}  disabled"
                numbers = f"   AS  {OWN_AS}  {OWN_AS if self._fabric.internal else OTHER_AS}  "
                head = [f"Neighbor {one.peer}", "", f"   local  {one.local}  ", f"   state  {state}  ", numbers]
                self._say([*head, f"   hold-time  180  {180 if session.up else 'n/a'}  ", carried, ""])
        self._say(["done"])

    # Sessions

    def open(self, router: int) -> None:
        """The session to this router comes up."""
        session = self._sessions[router]
        if not self.alive or self.stopped or self.going or session.up:
            return
        session.up, session.closed = True, False
        session.listed = session.configured
        if not session.listed:
            self.opened_unlisted_at = self._world.now
        session.generation += 1
        self._fabric.opened(router, self._node)
        self._tell(session, "up")
        outdated, random = self._temper.outdated, self._world.random
        for network in {**session.table, **session.before}:
            sent = session.table.get(network)
            if outdated and random.random() < outdated:
                sent = session.before.get(network, sent)
            if sent is not None:
                self._update(router, session, network, sent.attributes)

    def close(self, router: int, *, carrier: bool = True) -> None:
        """The session to this router ends; without ``carrier`` it is not known there until the hold time is over."""
        session = self._sessions[router]
        if not session.up:
            return
        session.up = session.closed = False
        session.generation += 1
        session.kept.clear()
        _stop_expiry(session)
        if carrier and not session.muted:
            self._fabric.closed(router, self._node)
        else:
            self._fabric.muted(router, self._node)
        self._tell(session, "down")
        session.listed = session.configured

    def lose_carrier(self, router: int) -> None:
        """The router notices at once, and closes its session; we do not before we write, or the hold time is over."""
        session = self._sessions[router]
        if session.up and not session.closed:
            session.closed = True
            session.generation += 1
            self._fabric.closed(router, self._node)
            self._world.after(self._fabric.hold, self._expire, router, session.generation)

    def find_carrier(self, router: int) -> None:
        """The next KEEPALIVE is due within a third of the hold time."""
        session = self._sessions[router]
        if session.closed:
            due = self._world.random.uniform(0.0, self._fabric.hold / 3)
            self._world.after(due, self._write, router, session.generation)
        elif not session.up:
            self._reopen(router)

    def _write(self, router: int, generation: int | None = None) -> None:
        """Something is written to a session that its router has closed; if there is a carrier, it is found out."""
        session = self._sessions[router]
        if generation in (None, session.generation) and session.closed:
            self._world.after(0.003, self._find_closed, router, session.generation)

    def _find_closed(self, router: int, generation: int) -> None:
        if self._has_carrier(router):
            self._expire(router, generation)

    def _expire(self, router: int, generation: int) -> None:
        session = self._sessions[router]
        if self.alive and not self.stopped and session.closed and generation == session.generation:
            self._log("ExaBGP finds the session to router {} closed", router)
            self.close(router)
            self._reopen(router)

    def mute(self, router: int) -> None:
        """Nothing gets through any more, and nobody notices before the hold time is over."""
        session = self._sessions[router]
        session.muted = True
        if session.up and session.expiry is None:
            self._fabric.muted(router, self._node)
            session.expiry = self._world.after(self._fabric.hold, self._expire_muted, router, session.generation)

    def _expire_muted(self, router: int, generation: int) -> None:
        session = self._sessions[router]
        if self.stopped:
            return  # it looks again when it goes on
        session.expiry = None
        if self.alive and session.muted and generation == session.generation:
            self._log("ExaBGP: the hold time of router {} is over", router)
            self.close(router)

    def unmute(self, router: int) -> None:
        """What was sent meanwhile gets through, unless the router has closed the session."""
        session = self._sessions[router]
        session.muted = False
        _stop_expiry(session)
        kept, session.kept = session.kept, []
        if session.up and self._fabric.heard_again(router, self._node):
            for network, route in kept:
                self._fabric.update(router, self._node, network, route)
        elif session.up:
            self.close(router)
        if not session.up:
            self._reopen(router)

    def reload(self, listed: Iterable[bool]) -> bool:
        """SIGUSR1, with a configuration in which nothing else is different; whether anything is."""
        listed = list(listed)
        changed = listed != [one.configured for one in self._sessions]
        for session, there in zip(self._sessions, listed, strict=True):
            session.configured = there
            if not self._version.startswith("4"):
                session.listed = there
        return changed

    def fail_reload(self) -> None:
        """A reload of a file that does not load."""
        self._forgetful = not self._version.startswith("4")

    def load(self) -> None:
        """A reload that does not fail. After one that did, 5.0 ends each session with the next message that it
        receives, unless there is another reload before that.
        """
        self._loads += 1
        for router, session in enumerate(self._sessions):
            if self._forgetful and _hears(session):
                due = self._world.random.uniform(0.0, self._fabric.hold / 3)
                self._world.after(due, self._trip, router, session.generation, self._loads)
        self._forgetful = False

    def _trip(self, router: int, generation: int, loads: int) -> None:
        if not self.alive or self.going or (generation, loads) != (self._sessions[router].generation, self._loads):
            return
        if self.stopped:
            self._world.after(0.05, self._trip, router, generation, loads)
        else:
            self._log("ExaBGP ends the session to router {}, of which it has forgotten what it was", router)
            self.close(router)
            self._reopen(router)

    def _tell(self, session: _Session, state: str) -> None:
        if not session.listed:
            return
        self._say(
            [
                f'{{ "type": "state", "neighbor": {{ "address": {{ "local": "{one.local}", "peer": "{one.peer}" }}, '
                f'"state": "{state}" }} }}'
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
            if not session.muted and not self._fabric.heard_again(router, self._node) and session.up:
                self.close(router)
            elif session.expiry is not None and session.expiry.at <= self._world.now:
                self._expire_muted(router, session.generation)
        self._understand()

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
            self.reader.eof()
            self.reader = None


def _lines(data: bytes) -> tuple[list[str], bytes]:
    """Those that are complete, and the half one behind them."""
    whole, _, half = data.rpartition(b"\n")
    return whole.decode().splitlines(), half


def _stop_expiry(session: _Session) -> None:
    if session.expiry is not None:
        session.expiry.cancel()
        session.expiry = None


def _hears(session: _Session) -> bool:
    """Whether it is up at both ends."""
    return session.up and not session.closed


def _carries(session: _Session, network: Network) -> bool:
    return any(one.peer.version == network.version for one in session.neighbors)


@lru_cache(maxsize=4096)
def understood(line: str) -> Command | None:
    """A line about routes, word by word; None if it is none (such as the throw-away word of a greeting)."""
    try:
        return _read(line.split())
    except (ValueError, IndexError) as error:
        raise Violation(f"ExaBGP does not understand {line!r}: {error}") from None


def _read(words: list[str]) -> Command | None:
    neighbors: set[Session] = set()
    while words and words[0] in ("neighbor", ","):
        if words.pop(0) == "neighbor":
            peer = ip_address(words.pop(0))
            local = ip_address(words[1]) if words[0] == "local-ip" else None
            neighbors.add(Session(peer, local))
            del words[: 0 if local is None else 2]
    match words:
        case ["announce" | "withdraw" as verb, "route", prefix, *rest]:
            prefixes, said = [prefix], rest
        case ["announce" | "withdraw" as verb, "attributes", *rest] if "nlri" in rest:
            at = rest.index("nlri")
            prefixes, said = rest[at + 1 :], rest[:at]
        case _:
            return None
    networks = tuple(map(ip_network, prefixes))
    return Command(verb == "announce", frozenset(neighbors), networks, _attributes(list(said)), " ".join(said))


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
                raise ValueError(f"the word {word}")
    return Announced(med, preference, as_path)


def _bracketed(words: list[str]) -> list[str]:
    found = []
    while True:
        word = words.pop(0)
        found.append(word.strip("[]"))
        if word.endswith("]"):
            return [one for one in found if one]
