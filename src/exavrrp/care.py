"""What a node decides when ExaBGP has ended its agent and keeps running: it looks after the announced addresses.

A ``Caretaker`` starts as a successor does, with the last results of its predecessor's checks and the last states of its
sessions. It differs from an ordinary node in three points.

- It ends at once when a successor asks for the lock: a corrected configuration and a reload repair everything.
- It cannot announce anything. A router whose addresses are announced keeps its announcement as it is. Any other router
  stays out of the election, also one of which the agent did not know whether it is announced (``Bequest``).
- When one of its routers has to give up an announced address, all routers hand over as in an orderly stop, and the
  caretaker ends ExaBGP: there is no other way left to withdraw a route. It does not do so within ``GRACE``, in which a
  successor appears after an ordinary reload, nor while a successor starts (``START_LIMIT``), nor for a router whose
  announcement ExaBGP has never accepted: there is nothing to withdraw.

It cannot ask which BGP sessions are up; it polls whether ExaBGP runs.

ExaBGP 5.0 would end all its sessions after the reload that repairs it, and not if it reloads once more before it hears
of its neighbors (``Dialect.forgets``). So as soon as there is a successor, the caretaker has it reload again: once for
each repair. A successor that appears within ``GRACE`` of the end of the one before is no repair: ExaBGP has started an
agent anew that ended by itself, and has loaded nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from exavrrp.bequest import Bequest
from exavrrp.chronicle import CARES
from exavrrp.config import Configuration
from exavrrp.elections import Team
from exavrrp.node import Node
from exavrrp.roster import Ports
from exavrrp.routes import Network, Route
from exavrrp.speaker.dialects import dialect_of
from exavrrp.virtual_router import VirtualRouter

GRACE = 0.9
"""Seconds for which ExaBGP is not ended. A successor needs 0.3 to 0.5 s on a busy machine. With a longer time two nodes
would announce an address for more than 2 s: ExaBGP's time to say why it ends us, this, and the longest stop."""

START_LIMIT = 5.0
"""Seconds for which ExaBGP is not ended while a successor starts: ExaBGP has another agent (``Successors``), which it
has only after a successful reload. On half a core a successor needs 1.6 s until it asks for the lock. It withdraws what
has to be withdrawn. One that needs longer than this limit hangs."""

REMINDER = 60.0
"""Seconds between two log lines that say that ExaBGP has to be repaired."""

REMEDY = (
    "ExaBGP has ended its agent and started no other one, as it does when its configuration does not load. Addresses "
    "and routes stay as they are; nothing new can be announced. Put the file right, then reload ExaBGP (SIGUSR1)"
)

AGAIN = "after a reload that failed, ExaBGP 5.0 ends its sessions with the next one, unless it reloads once more"


def kept(configuration: Configuration, bequest: Bequest, forgotten: Iterable[Route]) -> tuple[Network, ...]:
    """The prefixes that ExaBGP announces, or may announce; ``forgotten``: those of them that no router has any more."""
    announced = (router for router in configuration.routers if router.name in bequest.announced)
    return (*(network for router in announced for network in router.announce), *(route.network for route in forgotten))


class Successors:
    """Which of ExaBGP's children may be the successor.

    Within ``GRACE`` those with our command line: an ordinary reload starts other programs of ExaBGP's anew, too. Later
    ExaBGP has none but after a reload that repairs it, whose file may name another command: then every new one. Which
    are new is known by the first look, however late it is: on a host that stands still, after ``GRACE``.
    """

    def __init__(self, command: bytes, known: Collection[int]) -> None:
        """``command``: our command line; ``known``: processes that are no successors, such as our own."""
        self._command = command
        self._known = frozenset(known)
        self._others: frozenset[int] | None = None

    def start(self, children: Mapping[int, bytes], *, in_grace: bool) -> bool:
        """Whether there is one among ExaBGP's ``children`` (process number → command line)."""
        alike = {child for child, command in children.items() if command == self._command}
        if in_grace or self._others is None:
            self._others = frozenset(children.keys() - alike)
        return not (alike | (children.keys() - self._others)) <= self._known


class Host(Protocol):
    """An ExaBGP that reads no commands."""

    def permit_end(self, may_end: bool, /) -> None:
        """Whether it may be ended to withdraw routes."""

    def reload(self) -> None:
        """Has it reload its configuration."""


class Caretaker(Node):
    """A node whose ExaBGP does not read its commands any more."""

    began = CARES

    def __init__(self, configuration: Configuration, given: Ports, bequest: Bequest, host: Host) -> None:
        """``bequest``: of the node before the fork."""
        super().__init__(configuration, given)
        self.fitness.health, self.fitness.sessions = bequest.health, bequest.sessions
        self.viewer.trouble, self.viewer.version = REMEDY, bequest.version
        self._bequest = bequest
        self._host = host
        self._waiting_for_successor = True
        self._in_grace = True
        self._succession = False
        self._alone_since = 0.0
        """when the last successor ended, or we began (monotonic seconds)"""

    def _start(self, drained: Collection[str]) -> None:
        super()._start(drained)
        self._alone_since = self.turns.timers.time()
        self.turns.timers.call_later(GRACE, self._end_grace)
        self.turns.timers.call_later(START_LIMIT, self._stop_waiting)

    def _delay(self) -> None:
        """Whoever took part goes on at once."""

    def _begin(self, team: Team) -> None:
        for router in team.routers:
            router.know_answers()  # ExaBGP carries out no command any more
            router.ways.look()  # adverts are received, whether the router takes part or not
        if self._bequest.takes_part(router.name for router in team.routers):
            super()._begin(team)

    def _terminated(self) -> None:
        self._end("SIGTERM")

    def _see_successor(self, *, starts: bool) -> None:
        self._succession = starts
        now = self.turns.timers.time()
        if not starts:
            self._alone_since = now
        elif now >= self._alone_since + GRACE and self._forgets_neighbors:  # within it, no reload has failed
            self.log.info("exabgp-reloaded-again", detail=AGAIN)
            self._host.reload()
        if not (starts or self._in_grace):
            self._stop_waiting()

    @property
    def _forgets_neighbors(self) -> bool:
        return self._bequest.version is not None and dialect_of(self._bequest.version)[0].forgets

    def _end_grace(self) -> None:
        self._in_grace = False
        if not self._succession:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if not self._waiting_for_successor:
            return
        self._waiting_for_successor = False
        for router in self.routers.values():
            self._check_whether_to_give_up(router)
        self._remind()

    def _remind(self) -> None:
        if self.why is None:
            self.log.error("exabgp-detached", detail=REMEDY)
            self.turns.timers.call_later(REMINDER, self._remind)

    def _followed_up(self, router: VirtualRouter) -> None:
        super()._followed_up(router)
        self._check_whether_to_give_up(router)

    def _check_whether_to_give_up(self, router: VirtualRouter) -> None:
        if (
            not self._waiting_for_successor
            and (reason := self._bequest.given_up(router.name, router.instance)) is not None
        ):
            self._end(reason)

    def _stop(self, why: str) -> None:
        self._host.permit_end(not self.gone)
        super()._stop(why)
