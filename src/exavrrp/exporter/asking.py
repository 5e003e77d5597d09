"""What the agent says, asked for at most once a second, however many want to know it at once."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exavrrp.control import Status, StatusAnswer
from exavrrp.system.client import Unanswered, ask

CACHED = 1.0
"""Seconds for which an answer is given again, so that no number of scrapers and browsers costs the agent more."""

LIMIT = 5.0
"""Seconds for the agent to answer: half of Prometheus's default for a whole scrape."""


@dataclass(frozen=True)
class Known:
    """The agent's answer, or why there is none."""

    answer: StatusAnswer | None
    problem: str = ""
    """with the remedy; empty if there is an answer"""


class Asking:
    """Asks one agent. May be called from several threads."""

    def __init__(self, path: Path, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """``path`` of the control socket; ``tell`` is called with each new problem."""
        self.path = path
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._known = Known(None)
        self._until = -1.0

    def known(self) -> Known:
        """The agent's answer, at most ``CACHED`` seconds old. Raises nothing."""
        with self._lock:
            if self._clock() >= self._until:
                before, self._known = self._known.problem, self._asked()
                self._until = self._clock() + CACHED
                if self._known.problem not in {"", before}:
                    self._tell(self._known.problem)
            return self._known

    def _asked(self) -> Known:
        try:
            (answer,) = ask(self.path, Status(), LIMIT)
        except Unanswered as error:
            return Known(None, str(error) or f"the agent does not answer within {LIMIT:g} s; is it stopped?")
        assert isinstance(answer, StatusAnswer)
        return Known(answer)
