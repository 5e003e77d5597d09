"""From the results of checks and the states of BGP sessions to each virtual router; pure.

A result of a check may change the priority of routers, or whether they can serve (``health``). The BGP sessions that a
router needs are a check like any other; its results follow from the states of all sessions (``sessions``).
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from exavrrp import ports, reach, speaker
from exavrrp.config import Check, Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.config.kinds import Probe
from exavrrp.health import LEAST, CheckState, Health, Initial, PrioritySpec
from exavrrp.neighbors import Session, Terms
from exavrrp.sessions import Result, Sessions, check_of
from exavrrp.view import Moment

UNTOLD = (
    "ExaBGP passes nothing of ours on to it, so it does not count: list this process in its api { processes [ ... ] } "
    "in exabgp.conf and reload ExaBGP (SIGUSR1; 4.2 uses the list when the session has been reset)"
)


CUT_OFF = "no path to the neighbor, or none with a carrier: the session counts as down, although ExaBGP has it as up"

MOST_NAMES = 10
"""Routers that one line of the log names."""


def used_checks(configuration: Configuration) -> list[Check]:
    """The checks that any router names; others are not run."""
    used = {name for router in configuration.routers for name in router.checks}
    return [check for check in configuration.checks if check.name in used]


def same_checks(old: Iterable[Check], new: Iterable[Check]) -> dict[str, str]:
    """The new checks that ask the same as an old one → that one; the one of the same name, if there are several."""
    found: dict[Probe, dict[str, None]] = {}
    for before in old:
        found.setdefault(before.probe, {})[before.name] = None
    known = {after.name: found[after.probe] for after in new if after.probe in found}
    return {name: name if name in same else list(same)[-1] for name, same in known.items()}


@dataclass(frozen=True, slots=True)
class Results:
    """The last result of a check and its counts; the verdict is in ``health``."""

    at: Moment
    """when the last one came"""
    seconds: float
    """seconds that it took"""
    value: int | None
    passed: int
    """how many have passed"""
    failed: int
    timeouts: int
    """how many of them were not done within the check's timeout"""
    since: Moment
    """when the verdict became what it is"""


class Fitness:
    """All checks and sessions of a node."""

    def __init__(
        self,
        log: ports.Log,
        judge: Callable[[Collection[str]], None],
        retry: Callable[[], None],
        moment: Callable[[], Moment],
    ) -> None:
        """``judge`` takes the routers whose priority or faults may have changed; ``moment`` is now, by both clocks.

        ``retry`` is called when ExaBGP may now accept what it refused before.
        """
        self.results: dict[str, Results] = {}
        """by the name of the check"""
        self.changed: dict[Session, Moment] = {}
        """when each session came up or went down last"""
        self.ending = False
        """whether sessions do not count any more: ExaBGP closes them when it goes. That is no fault of this node, which
        hands over as far as it can"""
        self._log = log
        self._judge = judge
        self._retry = retry
        self._moment = moment
        self._checks: Sequence[Check] = ()
        self._announcing: Sequence[RouterConfiguration] = ()
        self._limits: set[str] = set()
        """of takeovers, that were logged"""
        self._timeouts: Mapping[str, float] = {}
        """seconds that a run may take, by the name of the check"""
        self.sessions = Sessions({})
        self.health = Health({}, {})

    def rename(self, names: Mapping[str, str]) -> None:
        """Routers are called otherwise from now on (now → then), and so are the checks that their sessions are."""
        checks = {check_of(before): check_of(after) for before, after in names.items()}
        self.sessions.rename(names)
        self.health.rename(names, checks)
        self.results = {checks.get(name, name): result for name, result in self.results.items()}

    def take(self, configuration: Configuration, leaving: Iterable[str] = ()) -> None:
        """Other routers and checks from now on; those that are ``leaving`` are not judged any more.

        A check with the same probe as one before goes on with the state of that one.
        """
        checks = used_checks(configuration)
        needed = {router.name: router.sessions() for router in configuration.routers}
        requirements = {name: requirement for name, requirement in needed.items() if requirement is not None}
        same = same_checks(self._checks, checks)
        self.results = {name: self.results[known] for name, known in same.items() if known in self.results}
        judged = {name: self.health.judge(name) for name in self.health.specs}
        self._checks, self._timeouts = checks, {check.name: check.timeout for check in checks}
        self._announcing = [router for router in configuration.routers if router.announce]
        results = self.sessions.require(requirements, needed.keys() - requirements)
        self.health.take(
            {name: PrioritySpec(LEAST, {}) for name in leaving}
            | {one.name: PrioritySpec(one.priority, _weights(configuration, one)) for one in configuration.routers},
            {check.name: check.state() for check in checks}
            | {check_of(name): CheckState(1, 1, initial=Initial.WAIT) for name in requirements},
            same | {check_of(name): check_of(name) for name in requirements},
        )
        self._count(results)
        names = [router.name for router in configuration.routers]
        self._judge([name for name in names if name in judged and judged[name] != self.health.judge(name)])

    def is_changing(self, check: str) -> bool:
        """Whether the next results of ``check`` may turn its verdict over, so that they are wanted soon."""
        return self.health.checks[check].changing

    def check(self, checked: ports.Checked) -> None:
        """A check has a result."""
        name = checked.check
        known = self.results.get(name)
        passed, failed, timeouts = (0, 0, 0) if known is None else (known.passed, known.failed, known.timeouts)
        passed, failed = passed + checked.passed, failed + (not checked.passed)
        timeouts += not checked.passed and checked.seconds >= self._timeouts.get(name, math.inf)
        before = self.health.checks[name].verdict
        affected = self.health.result(name, passed=checked.passed, detail=checked.detail, value=checked.value)
        verdict, at = self.health.checks[name].verdict, self._moment()
        since = at if known is None or verdict is not before else known.since
        self.results[name] = Results(at, checked.seconds, checked.value, passed, failed, timeouts, since)
        if verdict is not before:
            seconds = round(checked.seconds, 3)
            self._log.info("check-changed", check=name, result=verdict, detail=checked.detail, seconds=seconds)
        self._judge(affected)

    def hear(self, event: speaker.Neighbor | speaker.Listed | speaker.Configured | speaker.Reconfigured) -> None:
        """ExaBGP has reported something about sessions."""
        match event:
            case speaker.Neighbor(session, established):
                self.changed[session] = self._moment()
                self._log.info("session-changed", **_ends(session), state="up" if established else "down")
                self._count(self.sessions.heard(session, established=established))
            case speaker.Listed(session, listed):
                if not listed:
                    self._log.warning("neighbor-unlisted", **_ends(session), detail=UNTOLD)
                elif session in self.sessions.untold:
                    self._log.info("neighbor-listed", **_ends(session))
                    self._retry()
                self._count(self.sessions.listed(session, listed=listed))
            case speaker.Configured(families, terms):
                self._count(self.sessions.configured(families))
                self._tell_limits(terms)
                self.changed = {session: at for session, at in self.changed.items() if session in families}
            case speaker.Reconfigured():
                self._log.info("exabgp-reconfigured")
                self._retry()
            case _:
                assert_never(event)

    def look_at_paths(self, without: Collection[Session]) -> list[float]:
        """No path leads to the neighbors of these sessions now.

        Returns when ``trust`` may find sessions up still that have a path again (monotonic seconds): ExaBGP has to
        write to them meanwhile.
        """
        now = self._moment().monotonic
        lost, found = self.sessions.paths(without, now)
        for session in lost:
            self.changed[session] = self._moment()
            self._log.warning("session-cut-off", **_ends(session), detail=CUT_OFF)
        if lost or found:
            self._count(self.sessions.results())
        return [self.sessions.doubtful[one] for one in found]

    def trust(self) -> None:
        """Sessions that have not gone down since there is a path again are up."""
        trusted = self.sessions.trust(self._moment().monotonic)
        for session in trusted:
            self.changed[session] = self._moment()
            self._log.info("session-changed", **_ends(session), state="up")
        if trusted:
            self._count(self.sessions.results())

    def _tell_limits(self, terms: Mapping[Session, Terms]) -> None:
        """Log over which sessions no takeover beats a dead node's route; once for each kind of them."""
        found: dict[str, list[str]] = {}
        for router in self._announcing:
            named = router.route_policy.active.neighbors
            for session, each in terms.items():
                if session not in self.sessions.established or (named and not any(map(session.covers, named))):
                    continue
                if (detail := reach.limit(router.route_policy, each)) is not None:
                    found.setdefault(detail, []).append(router.name)
        for detail in sorted(found.keys() - self._limits):
            names = list(dict.fromkeys(found[detail]))
            told = [*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])]
            self._log.warning("takeover-limited", routers=told, detail=detail)
        self._limits.update(found)

    def stall(self, *, stalled: bool) -> None:
        """ExaBGP has stalled, or answers again."""
        self._count(self.sessions.answers(stalled=stalled))

    def give_up_waiting(self, router: str) -> None:
        """For the sessions of ``router``, at the start."""
        self._count(self.sessions.give_up_waiting(router))

    def _count(self, results: Iterable[Result]) -> None:
        for one in () if self.ending else results:
            self.check(ports.Checked(check_of(one.router), one.passed, one.detail))


def _weights(configuration: Configuration, router: RouterConfiguration) -> dict[str, int]:
    weights = configuration.weights(router)
    return weights if router.min_sessions == 0 else weights | {check_of(router.name): router.sessions_weight}


def _ends(session: Session) -> dict[str, str]:
    return {"neighbor": str(session.peer), "local": str(session.local or "unknown")}
