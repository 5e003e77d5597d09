"""What has become of each directive: every one stands in exactly one of three lists, with its file and line."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from exavrrp.keepalived.reading import Directive, Fault, Place, visible


class Outcome(Enum):
    """The lists, in their order; the value is the heading."""

    TAKEN = "Taken over"
    CHANGED = "Taken over differently"
    LEFT = "Not taken over"


Verdict = tuple[Outcome, str]
"""What becomes of a directive, and what is said of it."""


def same(remark: str) -> Verdict:
    """It says the same here."""
    return Outcome.TAKEN, remark


def other(remark: str) -> Verdict:
    """It says something else here."""
    return Outcome.CHANGED, remark


def nothing(remark: str) -> Verdict:
    """It is not there."""
    return Outcome.LEFT, remark


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the report."""

    place: Place
    text: str
    """of the directive, secrets hidden"""
    outcome: Outcome
    remark: str
    """what it is now; why it is different, and what to check; why it is not there, and what is nearest"""


_SECRET = re.compile(r"(?i)(?<!active_)((?:pass|key)[^\s=]*)[\s=](?!\s*\d+\s+file:).*", re.DOTALL)
"""A keyword with a secret (``auth_pass``, ``key``, ``password``), and all that follows: a secret may hold spaces."""

SHOWN = 100
"""Characters of a directive in the report."""


def shown(words: tuple[str, ...]) -> str:
    """A directive in one printable line, without its secret."""
    return printable(_SECRET.sub(r"\1 …", " ".join(words)[: SHOWN + 1]))


def printable(text: str) -> str:
    """``text`` as it may stand in a report: one line of bounded length."""
    text = visible(text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


class Ledger:
    """Outcomes, and what is wrong."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.entries: list[Entry] = []
        self._noted: set[Directive] = set()

    def knows(self, directive: Directive) -> bool:
        """Whether it has its entry."""
        return directive in self._noted

    def note(self, directive: Directive, verdict: Verdict) -> None:
        """The one entry of ``directive``; one with a mistake has it already."""
        assert directive not in self._noted or self.faults, directive.words
        if directive not in self._noted:
            self._noted.add(directive)
            self.entries.append(Entry(directive.place, shown(directive.words), *verdict))

    def left(self, directive: Directive, remark: str) -> None:
        """It is not there."""
        self.note(directive, nothing(remark))

    def finish(self, directives: Iterable[Directive]) -> None:
        """Nothing within these is there that has no entry yet."""
        for top in directives:
            for one in top.all():
                for child in one.children:
                    if child not in self._noted:
                        self.left(child, f"is within {printable(one.name)} of {one.place}")

    def fault(self, directive: Directive, message: str) -> None:
        """``directive`` has a mistake, without which there is nothing to import; also its entry."""
        self.faults.append(Fault(directive.place, f"{printable(directive.name)} {message}"))
        if directive not in self._noted:
            self.left(directive, message)


def overridden(directives: Iterable[Directive], several: Collection[str]) -> dict[Directive, Directive]:
    """Those that stand again further down, where keepalived takes the last: (each → that one).

    ``several``: keywords that may be there more than once.
    """
    last: dict[str, Directive] = {}
    found: dict[Directive, Directive] = {}
    for one in directives:
        if one.name not in several:
            if one.name in last:
                found[last[one.name]] = one
            last[one.name] = one
    return found


def braced(ledger: Ledger, directives: Iterable[Directive], names: Collection[str]) -> None:
    """Those with these names have their lines within braces; anything else is a mistake, which is noted."""
    for one in directives:
        if one.name in names and (one.arguments or not one.is_block):
            ledger.fault(one, f"has to have its lines within braces, and nothing before them; write {one.name} {{ … }}")


# Values


def number(ledger: Ledger, directive: Directive, least: float, most: float) -> float | None:
    """The one number of ``directive``; None after a mistake, which is noted. It has no entry otherwise."""
    text = " ".join(directive.arguments)
    found = float(text) if re.fullmatch(r"(?=.{1,20}$)[0-9]*\.?[0-9]+", text) else None
    if found is None or not least <= found <= most:
        ledger.fault(directive, f'holds "{printable(text)}"; write a number from {least:g} to {most:g}')
        return None
    return found


def whole(ledger: Ledger, directive: Directive, least: int, most: int) -> int | None:
    """The one whole number, likewise."""
    found = number(ledger, directive, least, most)
    if found is not None and "." in directive.words[1]:
        ledger.fault(directive, f"holds {directive.words[1]}; write a whole number")
        return None
    return None if found is None else int(found)


def says_yes(directive: Directive) -> bool:
    """The value of a ``<BOOL>``, which may be left out."""
    return directive.words[1:2] in ((), ("on",), ("true",), ("yes",))
