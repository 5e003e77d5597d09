"""What came of one run of a check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

DETAIL = 200
"""Characters kept of what a check has to say: it ends up in a log line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer."""

    passed: bool
    detail: str = ""
    """one printable line"""
    value: int | None = None
    """the number that came with it, −253–253"""


Tell = Callable[[Outcome], None]


class Result(Protocol):
    """What is called with each result."""

    def __call__(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        """``detail`` is one printable line that says why; ``seconds`` is how long it took; ``value`` as in Outcome.

        Returns whether the next results may turn the verdict over, so that they are wanted soon.
        """


def printable(text: str) -> str:
    """``text`` of bounded length with everything that could disturb a log replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:DETAIL])
