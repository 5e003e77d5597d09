"""Whether enough BGP sessions are up for an address to be worth announcing; pure.

A node whose routes reach no router cannot serve, however well its service is. ``Sessions`` turns the states of ExaBGP's
sessions into results of one check for each virtual router (``health`` has the rest): passed while at least so many of
the sessions that count are Established. It must not know what a failed check does, or what time it is.

At the start nothing is known, and after a boot the sessions may need a while to come up. Until then, or until the
caller ends the start-up hold (``give_up_waiting``), no result is reported, and the router stays on hold.

An ExaBGP that has stalled counts as having no session: it cannot announce anything, and the state of its sessions is
unknown. The last known states count again as soon as it answers; ExaBGP reports changes by itself.

A session is a pair of addresses (``neighbors.Session``): two to one router count twice. A session whose neighbor does
not get our routes (its ``api`` does not list us) is of no use, even if Established: it does not count. Nor does a
session of which this is unknown yet.

A session whose every path has lost its carrier is *cut off*: its neighbor has closed it, if they share a link, and
ExaBGP finds that out only when it writes, with its next KEEPALIVE. It counts as down at once. When there is a path
again, it stays so until ExaBGP has written: it comes up anew, or it is ``trusted`` again, if it was not closed.

Which sessions count, if none are named: those of the family of the addresses. With ``next-hop self`` the others
cannot announce them (ExaBGP has no next hop of the right family there). With a next hop of its own any session can. A
session whose ends have not negotiated that family does not count: ExaBGP accepts the route for it (``done``), and sends
nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from exavrrp.neighbors import Session, ordered

DOUBT = 1.0
"""Seconds until a session is trusted again after it was cut off, and as long as it was: ExaBGP has written by then, and
TCP, which doubles its retransmission time-out (RFC 6298 §5.5), has delivered that, and the neighbor has answered."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The sessions that one virtual router needs."""

    minimum: int
    """sessions that must be up, at least 1"""
    neighbors: frozenset[Session] = frozenset()
    """the only ones that count; empty: see ``family``"""
    family: int | None = None
    """4 or 6: only sessions of this family count; None: all"""
    carried: int | None = None
    """4 or 6: the family of the addresses, which a session has to carry; None: any will do"""

    def met_by(self, established: Collection[Session]) -> tuple[bool, str]:
        """Whether these sessions are enough, and how many of them count, for people."""
        up = [one for one in established if self.counts(one)]
        told = f"{len(up)} up, {self.minimum} needed"
        others = len(established) - len(up)
        if len(up) < self.minimum and others and not self.neighbors:
            told = (
                f"{len(up)} IPv{self.family} sessions up, {self.minimum} needed;"
                f" {others} IPv{4 if self.family == 6 else 6} up, which count if next_hop in the bgp table names them,"
                f" each with an IPv{self.family} address of this node"
            )
        return len(up) >= self.minimum, told

    def counts(self, session: Session) -> bool:
        """Whether ``session`` would be one of them."""
        if self.neighbors:
            return any(one.covers(session) for one in self.neighbors)
        return self.family in (None, session.peer.version)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one session, and the routers that it counts for."""

    session: Session
    up: bool | None
    """None: unknown, as ExaBGP has stalled"""
    told: bool | None
    """whether its neighbor gets our routes; None: unknown, while it is not up or not tested yet"""
    routers: tuple[str, ...]
    """for which it counts now"""
    families: tuple[int, ...] | None = None
    """4 and 6, as far as it carries them; None: not known, as long as it was not up"""


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
    """All BGP sessions of this node, and the results for each virtual router."""

    def __init__(self, requirements: Mapping[str, Requirement]) -> None:
        """``requirements``: by the name of the router; one that is not there needs no session."""
        self.established: set[Session] = set()
        self._seen: set[Session] = set()
        """those that have been up"""
        self._requirements = requirements
        self._routers = set(requirements)
        """all, also those that need no session"""
        self._waiting = set(requirements)
        """those in their start-up hold"""
        self.cut_off: set[Session] = set()
        """those that ExaBGP has as up, and that no path leads to"""
        self.doubtful: dict[Session, float] = {}
        """those that a path leads to again, and that their neighbors may have closed; until when"""
        self._cut_at: dict[Session, float] = {}
        """since when they are cut off, or were until they became doubtful"""
        self._led: set[Session] = set()
        """those that a path has led to while they were up. Without any, ExaBGP knows a way that we do not (policy
        routing by source, a VRF)."""
        self.stalled = False
        """whether ExaBGP has stalled, so that the states of sessions are unknown"""
        self._told: set[Session] = set()
        self.untold: set[Session] = set()
        """those that are up, and whose neighbors do not get our routes"""
        self._configured: Mapping[Session, frozenset[int] | None] = {}
        """those of ExaBGP's configuration, with the families that they carry"""

    def require(self, requirements: Mapping[str, Requirement], others: Collection[str] = ()) -> list[Result]:
        """Other ``requirements`` from now on, and ``others`` that need no session.

        A router that is new waits like one at the start, and no other one. Returns the results of those whose
        requirement is another one than before.
        """
        before, known = self._requirements, self._routers
        self._requirements, self._routers = requirements, requirements.keys() | others
        self._waiting = (self._waiting | self._routers - known) & self._routers
        return [one for one in self.results() if before.get(one.router) != requirements[one.router]]

    def rename(self, names: Mapping[str, str]) -> None:
        """Routers are called otherwise from now on (now → then)."""
        self._requirements = {names.get(name, name): one for name, one in self._requirements.items()}
        self._routers = {names.get(name, name) for name in self._routers}
        self._waiting = {names.get(name, name) for name in self._waiting}

    def heard(self, session: Session, *, established: bool) -> list[Result]:
        """A session came up or went down."""
        if established:
            self.established.add(session)
            self._seen.add(session)
            if any(one.covers(session) for one in self._told):
                self._told.add(session)  # known without its local end until now; that one goes down next
            self.doubtful.pop(session, None)
        else:
            self.established.discard(session)
            self.cut_off.discard(session)
            self.doubtful.pop(session, None)
            self._cut_at.pop(session, None)
            self._led.discard(session)
            self._told.discard(session)
            self.untold.discard(session)
        return self.results()

    def paths(self, without: Collection[Session], now: float) -> tuple[list[Session], list[Session]]:
        """Of those that are up, no path leads to these now: which are newly cut off, and which are so no longer."""
        self._led |= self.established.difference(without)
        cut = self._led.intersection(without)
        lost, found = cut - self.cut_off, self.cut_off - cut
        for one in lost:
            if self.doubtful.pop(one, None) is None:  # else TCP has not been through since the cut before
                self._cut_at[one] = now
        for one in found:
            self.doubtful[one] = now + DOUBT + now - self._cut_at[one]
        self.cut_off = cut
        return sorted(lost, key=ordered), sorted(found, key=ordered)

    def trust(self, now: float) -> list[Session]:
        """Which sessions ExaBGP has written to in vain for long enough: they are up still."""
        found = sorted((one for one, until in self.doubtful.items() if until <= now), key=ordered)
        for one in found:
            del self.doubtful[one]
        return found

    @property
    def up(self) -> set[Session]:
        """Those that are up, and that a path leads to for long enough."""
        return self.established - self.cut_off - self.doubtful.keys()

    def listed(self, session: Session, *, listed: bool) -> list[Result]:
        """It is known now whether the neighbor of a session that is up gets our routes."""
        there, gone = (self._told, self.untold) if listed else (self.untold, self._told)
        there.add(session)
        gone.discard(session)
        return self.results()

    def configured(self, families: Mapping[Session, frozenset[int] | None]) -> list[Result]:
        """Which sessions ExaBGP's configuration has, and which families they carry (None: not known), is known now."""
        self._configured = families
        self._seen.intersection_update(families)  # those that were removed are not needed
        return self.results()

    @property
    def number(self) -> int:
        """How many ExaBGP's configuration has; 0 until that is known."""
        return len(self._configured)

    def _carries(self, session: Session, family: int | None) -> bool:
        families = self._configured.get(session)
        return family is None or families is None or family in families

    def untold_of(self, router: str) -> list[Session]:
        """The sessions that would count for ``router`` if their neighbors got our routes; all, if it needs none."""
        requirement = self._requirements.get(router)
        return sorted((one for one in self.untold if requirement is None or requirement.counts(one)), key=ordered)

    def standings(self) -> list[Standing]:
        """Every session that ExaBGP's configuration has or that has been up since we began, sorted."""
        known = self._seen.union(self._configured)
        named = {one.peer for one in known if one.local is not None}
        # Once our end is known, a session that was counted without it is no other one.
        distinct = {one for one in known if one.local is not None or one.peer not in named}
        return [self._standing(one) for one in sorted(distinct | self.established, key=ordered)]

    def _standing(self, session: Session) -> Standing:
        up = None if self.stalled else session in self.up
        told = session in self._told if session in self._told | self.untold else None
        counting = (
            name
            for name, one in self._requirements.items()
            if up and told and one.counts(session) and self._carries(session, one.carried)
        )
        families = self._configured.get(session)
        return Standing(
            session, up, told if up else None, tuple(counting), None if families is None else tuple(sorted(families))
        )

    def answers(self, *, stalled: bool) -> list[Result]:
        """ExaBGP has stalled, or answers again."""
        self.stalled = stalled
        return self.results()

    def results(self) -> list[Result]:
        """Of all routers, as far as they are known."""
        results = [self._result(router) for router in self._requirements]
        # Sessions that are up, and whose neighbors do not list us, are no reason to wait: that does not change by
        # itself.
        up = self._told | self.untold
        self._waiting -= {one.router for one in results if one.passed or self._requirements[one.router].met_by(up)[0]}
        return [one for one in results if one.router not in self._waiting]

    def give_up_waiting(self, router: str) -> list[Result]:
        """The start-up hold of ``router`` is over: the present sessions count."""
        if router not in self._waiting:
            return []
        self._waiting.remove(router)
        return [self._result(router)] if router in self._requirements else []

    def _result(self, router: str) -> Result:
        if self.stalled:
            return Result(router, passed=False, detail="ExaBGP does not answer")
        needed = self._requirements[router]
        without = {one for one in self._told if not self._carries(one, needed.carried)}
        passed, detail = needed.met_by((self._told & self.up) - without)
        if cut := ", ".join(map(str, sorted(filter(needed.counts, self.established - self.up), key=ordered))):
            detail += f"; without a path, or not known to have survived that: {cut}"
        if untold := ", ".join(map(str, self.untold_of(router))):
            detail += f"; not told of our routes: {untold}"
        if lacking := ", ".join(map(str, sorted(filter(needed.counts, without), key=ordered))):
            detail += f"; without IPv{needed.carried} unicast: {lacking}"
        return Result(router, passed, detail)
