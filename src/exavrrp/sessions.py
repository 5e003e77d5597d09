"""Whether enough BGP sessions are up for an address to be worth announcing; pure.

A node that nobody hears over BGP cannot serve, however well its service is. ``Sessions`` turns what ExaBGP tells of its
neighbours into results of one check for each virtual router (``health`` has the rest): passed while at least so many of
the neighbours that count are Established. It must not know what a failed check does, or what time it is.

At the start nothing is known, and a node that was booted may need a while until its sessions are up. Until then, or
until the caller says that its patience is over, nothing is told: no result is neither a good nor a bad one, and the
router waits.

An ExaBGP that has stalled counts as having no session: it cannot announce anything, and whether its sessions live is
nobody's knowledge. What was known before counts again as soon as it answers; what has changed it tells by itself.

Which neighbours count, if none are named: those of the family of the addresses. With ``next-hop self`` the others
cannot announce them (ExaBGP has no next hop of the right family there). With a next hop of its own any session may.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from exavrrp.vrrp.packet import Address


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one virtual router needs."""

    minimum: int
    """sessions that must be up, at least 1"""
    neighbors: frozenset[Address] = frozenset()
    """the only ones that count; empty: see ``family``"""
    family: int | None = None
    """4 or 6: only neighbours of this family count; None: all"""

    def met_by(self, established: Collection[Address]) -> tuple[bool, str]:
        """Whether these sessions are enough, and how many of them count, for people."""
        if self.neighbors:
            up = self.neighbors.intersection(established)
        else:
            up = frozenset(one for one in established if self.family in (None, one.version))
        return len(up) >= self.minimum, f"{len(up)} up, {self.minimum} needed"


@dataclass(frozen=True, slots=True)
class Result:
    """One result of the check that a requirement is."""

    router: str
    passed: bool
    detail: str


def check_of(router: str) -> str:
    """The name of the check that the BGP sessions of ``router`` are. None that is configured can be called so."""
    return f"{router}'s BGP sessions"


class Sessions:
    """All BGP sessions of this node, and what each virtual router makes of them."""

    def __init__(self, requirements: Mapping[str, Requirement]) -> None:
        """``requirements``: by the name of the router; one that is not there needs no session."""
        self.established: set[Address] = set()
        self._requirements = requirements
        self._waiting = set(requirements)
        self._stalled = False

    def heard(self, neighbor: Address, *, established: bool) -> list[Result]:
        """A session came up or went down."""
        if established:
            self.established.add(neighbor)
        else:
            self.established.discard(neighbor)
        return self._results()

    def answers(self, *, stalled: bool) -> list[Result]:
        """ExaBGP has stalled, or answers again."""
        self._stalled = stalled
        return self._results()

    def _results(self) -> list[Result]:
        results = [self._result(router) for router in self._requirements]
        self._waiting -= {one.router for one in results if one.passed}
        return [one for one in results if one.router not in self._waiting]

    def give_up_waiting(self, router: str) -> list[Result]:
        """The start-up hold of ``router`` is over: what is there counts."""
        if router not in self._waiting:
            return []
        self._waiting.remove(router)
        return [self._result(router)]

    def _result(self, router: str) -> Result:
        if self._stalled:
            return Result(router, passed=False, detail="ExaBGP does not answer")
        return Result(router, *self._requirements[router].met_by(self.established))
