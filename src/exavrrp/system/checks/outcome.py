"""The outcome of one run of a check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

DETAIL = 200
"""Most characters of an outcome's detail, which is logged on one line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one run."""

    passed: bool
    detail: str = ""
    """one printable line"""
    value: int | None = None
    """the number in the output or the file, −253–253"""


OnOutcome = Callable[[Outcome], None]


class Result(Protocol):
    """The callback for each result."""

    def __call__(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        """``detail``: the reason, one printable line; ``seconds``: how long the run took; ``value`` as in Outcome.

        Returns whether the next results may change the verdict: then the next run follows after ``fast_interval``.
        """


def printable(text: str) -> str:
    """``text``, of at most ``DETAIL`` characters, with unprintable characters replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:DETAIL])
