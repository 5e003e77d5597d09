"""From the results of checks to what a virtual router is worth: an effective priority, or fault; pure.

``Health`` owns two small things. Each check has a ``Vitality``: results go in, and only ``rise`` good ones or ``fall``
bad ones in a row turn it over. And each router has a ``Subject``: its priority and the weights of its checks, from
which a ``Judgement`` follows that can always be read as a sum. It must not know how a check is carried out, what time
it is, or what a router does with its priority.

Weights mean what they mean in keepalived:

- negative: added while the check fails;
- positive: added while the check passes;
- 0: the router is in fault while the check fails.

The sum is clamped to 1–254: 0 and 255 have meanings of their own in VRRP (RFC 9568 §5.2.4). Priority 255, the owner of
the addresses, is never changed by a weight; a fault holds for it too.

A check that has not said anything yet counts as failing, so that a node which starts with a broken service never takes
an address it cannot serve; the first result decides at once, without ``rise`` or ``fall``. A check that is only
missing its first result is called unknown in the explanation: nothing is known to be broken then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from exavrrp.vrrp.packet import OWNER

LEAST, MOST = 1, 254
"""What a priority may be changed to (RFC 9568 §5.2.4: 0 is a resignation, 255 the owner of the addresses)."""


class Verdict(StrEnum):
    """What is known of a check."""

    UNKNOWN = "unknown"
    PASSING = "passing"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Vitality:
    """One check: its verdict, and how many results in a row have spoken against it."""

    rise: int
    """good results in a row that make a failing check pass, at least 1"""
    fall: int
    """bad results in a row that make a passing check fail, at least 1"""
    verdict: Verdict = Verdict.UNKNOWN
    against: int = 0
    detail: str = ""
    """of the last result"""

    def after(self, passed: bool, detail: str) -> "Vitality":
        """The check after one more result."""
        spoken = Verdict.PASSING if passed else Verdict.FAILING
        if spoken is self.verdict:
            return replace(self, against=0, detail=detail)
        needed = {Verdict.UNKNOWN: 1, Verdict.FAILING: self.rise, Verdict.PASSING: self.fall}[self.verdict]
        if self.against + 1 < needed:
            return replace(self, against=self.against + 1, detail=detail)
        return replace(self, verdict=spoken, against=0, detail=detail)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a router brings along."""

    priority: int
    """1–255, as configured"""
    weights: Mapping[str, int]
    """check → −253–253; 0: fault"""


@dataclass(frozen=True, slots=True)
class Term:
    """What one check contributes."""

    check: str
    verdict: Verdict
    amount: int
    """added to the priority; 0 if nothing"""
    fault: bool
    detail: str
    """of the check's last result"""

    def __str__(self) -> str:
        return f"{'+' if self.amount > 0 else '-'} {abs(self.amount)} ({self.check} {self.verdict})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a router is worth now, and why."""

    base: int
    """the configured priority"""
    terms: tuple[Term, ...]
    """one for each check of the router"""

    @property
    def faults(self) -> tuple[Term, ...]:
        """The checks that make the router unfit; empty if it is fit."""
        return tuple(term for term in self.terms if term.fault)

    @property
    def priority(self) -> int:
        """The effective priority, 1–255; in fault it is what it would be otherwise."""
        if self.base == OWNER:
            return OWNER
        return min(max(self._sum, LEAST), MOST)

    @property
    def _sum(self) -> int:
        return self.base + sum(term.amount for term in self.terms)

    def explain(self) -> str:
        """The priority as a sum, or the faults.

        Such as ``150 - 50 (web failing) = 100`` or ``fault: web failing (no answer within 1 s)``.
        """
        if self.faults:
            return "fault: " + ", ".join(
                f"{term.check} {term.verdict}{f' ({term.detail})' if term.detail else ''}" for term in self.faults
            )
        amounts = [str(term) for term in self.terms if term.amount]
        if self.base == OWNER or not amounts:
            return str(self.base)
        clamped = "" if self.priority == self._sum else f", clamped to {self.priority}"
        return f"{' '.join((str(self.base), *amounts))} = {self._sum}{clamped}"


@dataclass(slots=True)
class Health:
    """All checks and all routers of this node."""

    subjects: Mapping[str, Subject]
    """by the name of the router"""
    checks: dict[str, Vitality] = field(default_factory=dict)
    """by the name of the check; every name in a subject's weights is here"""

    def result(self, check: str, *, passed: bool, detail: str = "") -> tuple[str, ...]:
        """Take in one result; the names of the routers whose priority or fault changed by it."""
        affected = [name for name, subject in self.subjects.items() if check in subject.weights]
        before = {name: self._outcome(name) for name in affected}
        self.checks[check] = self.checks[check].after(passed, detail)
        return tuple(name for name in affected if self._outcome(name) != before[name])

    def judge(self, router: str) -> Judgement:
        """What ``router`` is worth now."""
        subject = self.subjects[router]
        return Judgement(
            subject.priority,
            tuple(_term(name, weight, self.checks[name]) for name, weight in subject.weights.items()),
        )

    def _outcome(self, router: str) -> tuple[int, tuple[tuple[str, Verdict], ...]]:
        judgement = self.judge(router)
        return judgement.priority, tuple((term.check, term.verdict) for term in judgement.faults)


def _term(check: str, weight: int, vitality: Vitality) -> Term:
    passing = vitality.verdict is Verdict.PASSING
    effective = passing if weight > 0 else not passing
    return Term(check, vitality.verdict, weight if effective else 0, weight == 0 and not passing, vitality.detail)
