"""From the results of checks to the effective priority of a virtual router, or to a fault; pure.

``Health`` owns two small things. Each check has a ``CheckState``: only ``rise`` good or ``fall`` bad results in a row
change its verdict. And each router has a ``PrioritySpec``: its priority and the weights of its checks, from which an
``Assessment`` follows that can always be read as a sum. It must not know how a check is carried out, what time
it is, or what a router does with its priority.

Weights mean what they mean in keepalived:

- negative: added while the check fails;
- positive: added while the check passes;
- 0: the router is in fault while the check fails;
- reversed: what the weight would add is taken away, and the other way round; with 0, the router is in fault while the
  check passes;
- times a number: the weight times the last number that the check has reported (that stands in a file) is added,
  whatever the verdict; with 0, the router is in fault while the number is not 0, or the check fails.

The sum is clamped to 1–254: 0 and 255 have meanings of their own in VRRP (RFC 9568 §5.2.4). Priority 255, the owner of
the addresses, is never changed by a weight; a fault holds for it too.

The verdict of a check before its first result is configured (``Initial``). By default it counts as failing, so that a
node which starts with a broken service never takes an address that it cannot serve. The first result decides at once,
without ``rise`` or ``fall``; only a check that is presumed to pass needs ``fall`` bad results to fail. A
check that is only missing its first result is called unknown in the explanation: nothing is known to be broken then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from exavrrp.vrrp.packet import OWNER

LEAST, MOST = 1, 254
"""What a priority may be changed to (RFC 9568 §5.2.4: 0 is a resignation, 255 the owner of the addresses)."""


class Verdict(StrEnum):
    """The verdict of a check."""

    UNKNOWN = "unknown"
    PASSING = "passing"
    FAILING = "failing"


class Initial(StrEnum):
    """The presumed verdict of a check until its first result."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 — no password
    WAIT = "wait"
    """none: the router is held out of the election until then"""


@dataclass(frozen=True, slots=True)
class CheckState:
    """One check: its verdict, and how many results in a row contradict it."""

    rise: int
    """good results in a row that make a failing check pass, at least 1"""
    fall: int
    """bad results in a row that make a passing check fail, at least 1"""
    initial: Initial = Initial.FAIL
    reverse: bool = False
    """whether its weights count the other way round"""
    valued: bool = False
    """whether its weights are multiplied with the number that it reports"""
    verdict: Verdict = Verdict.UNKNOWN
    against: int = 0
    detail: str = ""
    """of the last result"""
    value: int = 0
    """the last number reported; one that is missing or unreadable changes nothing"""

    @property
    def waiting(self) -> bool:
        """Whether nothing can be said before its first result."""
        return self.verdict is Verdict.UNKNOWN and self.initial is Initial.WAIT

    @property
    def changing(self) -> bool:
        """Whether the last results contradict the verdict: a few more in a row change it."""
        return self.against > 0

    @property
    def needed(self) -> int:
        """How many contradicting results in a row change the verdict."""
        return self.fall if self.verdict is Verdict.PASSING else self.rise

    @property
    def good(self) -> bool:
        """Whether it counts as passing; before its first result, as presumed."""
        if self.verdict is Verdict.UNKNOWN:
            return self.initial is Initial.PASS
        return (self.verdict is Verdict.PASSING) is not (self.reverse and not self.valued)

    def knowing(self, other: "CheckState") -> "CheckState":
        """This configuration, with the results of ``other`` so far."""
        return replace(self, verdict=other.verdict, against=other.against, detail=other.detail, value=other.value)

    def after(self, passed: bool, detail: str, value: int | None = None) -> "CheckState":
        """The check after one more result; ``value`` is the number that came with it, if one did."""
        told = replace(self, detail=detail, value=self.value if value is None else value)
        spoken = Verdict.PASSING if passed else Verdict.FAILING
        if spoken is self.verdict:
            return replace(told, against=0)
        decided = replace(told, verdict=spoken, against=0)
        at_once = self.verdict is Verdict.UNKNOWN and (not self.good or decided.good)
        if at_once or self.against + 1 >= (self.rise if passed else self.fall):
            return decided
        return replace(told, against=self.against + 1)


@dataclass(frozen=True, slots=True)
class PrioritySpec:
    """The configured priority of a router, and the weights of its checks."""

    priority: int
    """1–255, as configured"""
    weights: Mapping[str, int]
    """check → −253–253; 0: fault"""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one check contributes to a priority."""

    check: str
    verdict: Verdict
    amount: int
    """added to the priority; 0 if nothing"""
    fault: bool
    detail: str
    """of the check's last result"""
    waiting: bool = False
    """whether its first result is awaited; it is neither an amount nor a fault then"""

    @property
    def reason(self) -> str:
        """Its verdict with the detail of the last result: ``web failing (no answer within 1 s)``."""
        return f"{self.check} {self.verdict}{f' ({self.detail})' if self.detail else ''}"

    def __str__(self) -> str:
        return f"{'+' if self.amount > 0 else '-'} {abs(self.amount)} ({self.check} {self.verdict})"


@dataclass(frozen=True, slots=True)
class Assessment:
    """The effective priority of a router or its faults, and why."""

    base: int
    """the configured priority"""
    terms: tuple[Contribution, ...]
    """one for each check of the router"""

    @property
    def faults(self) -> tuple[Contribution, ...]:
        """The checks that make the router unfit; empty if it is fit."""
        return tuple(term for term in self.terms if term.fault)

    @property
    def waiting(self) -> tuple[Contribution, ...]:
        """The checks without whose first result the router must not take part in the election."""
        return tuple(term for term in self.terms if term.waiting)

    @property
    def priority(self) -> int:
        """The effective priority, 1–255; in fault it is what it would be otherwise."""
        return OWNER if self.base == OWNER else min(max(self._sum, LEAST), MOST)

    @property
    def _sum(self) -> int:
        return self.base + sum(term.amount for term in self.terms)

    def explain(self) -> str:
        """The priority as a sum, or the faults.

        Such as ``150 - 50 (web failing) = 100`` or ``fault: web failing (no answer within 1 s)``. What is awaited
        follows: ``150, waiting for disk``.
        """
        awaited = f", waiting for {', '.join(term.check for term in self.waiting)}" if self.waiting else ""
        if self.faults:
            return f"fault: {', '.join(term.reason for term in self.faults)}"
        amounts = [str(term) for term in self.terms if term.amount]
        if self.base == OWNER or not amounts:
            return f"{self.base}{awaited}"
        clamped = "" if self.priority == self._sum else f", clamped to {self.priority}"
        return f"{' '.join((str(self.base), *amounts))} = {self._sum}{clamped}{awaited}"


class Health:
    """All checks and all routers of this node."""

    def __init__(
        self, specs: Mapping[str, PrioritySpec] | None = None, checks: Mapping[str, CheckState] | None = None
    ) -> None:
        """``specs`` by the name of the router, ``checks`` by the name of the check, all that are in any weights."""
        self.checks: dict[str, CheckState] = {}
        self.take(specs or {}, checks or {}, {})

    def take(
        self, specs: Mapping[str, PrioritySpec], checks: Mapping[str, CheckState], same: Mapping[str, str]
    ) -> None:
        """Other routers and checks from now on; every router is to be judged anew.

        ``same``: checks with the same probe as one before → the name of that one, whose state they take over.
        """
        known = {name: self.checks[before] for name, before in same.items() if before in self.checks}
        self.specs = specs
        self.checks = {name: one.knowing(known[name]) if name in known else one for name, one in checks.items()}
        self._concerned: dict[str, list[str]] = {}
        for name, spec in specs.items():
            for check in spec.weights:
                self._concerned.setdefault(check, []).append(name)

    def rename(self, routers: Mapping[str, str], checks: Mapping[str, str]) -> None:
        """Routers and checks are called otherwise from now on (now → then)."""
        specs: dict[str, PrioritySpec] = {}
        for name, spec in self.specs.items():
            weights = {checks.get(check, check): weight for check, weight in spec.weights.items()}
            specs[routers.get(name, name)] = replace(spec, weights=weights)
        self.take(specs, {checks.get(name, name): one for name, one in self.checks.items()}, {})

    def result(self, check: str, *, passed: bool, detail: str = "", value: int | None = None) -> tuple[str, ...]:
        """Take in one result; the names of the routers whose priority, fault or waiting changed by it."""
        affected = self._concerned.get(check, ())
        before = {name: self._outcome(name) for name in affected}
        self.checks[check] = self.checks[check].after(passed, detail, value)
        return tuple(name for name in affected if self._outcome(name) != before[name])

    def judge(self, router: str) -> Assessment:
        """The assessment of ``router`` now."""
        spec = self.specs[router]
        return Assessment(
            spec.priority,
            tuple(_term(name, weight, self.checks[name]) for name, weight in spec.weights.items()),
        )

    def _outcome(self, router: str) -> tuple[int, tuple[str, ...], tuple[tuple[str, Verdict], ...]]:
        assessment = self.judge(router)
        faults = tuple((term.check, term.verdict) for term in assessment.faults)
        return assessment.priority, tuple(term.check for term in assessment.waiting), faults


def _term(check: str, weight: int, state: CheckState) -> Contribution:
    if state.waiting:
        return Contribution(check, state.verdict, 0, fault=False, detail=state.detail, waiting=True)
    fault = weight == 0 and _is_fault(state)
    signed = -weight if state.reverse else weight
    if state.valued:
        return Contribution(check, state.verdict, signed * state.value, fault, state.detail)
    most, least = max(signed, 0), min(signed, 0)
    return Contribution(check, state.verdict, most if state.good else least, fault, state.detail)


def _is_fault(state: CheckState) -> bool:
    """Whether a check of weight 0 is a fault."""
    if state.valued and state.verdict is not Verdict.UNKNOWN:
        return not state.good or (state.value != 0) is not state.reverse
    return not state.good
