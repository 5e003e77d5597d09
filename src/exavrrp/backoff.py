"""Retries with back-off; pure."""

from collections.abc import Callable, Sequence

from exavrrp.timers import Timer, Timers

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each retry; the last one for ever."""


class Backoff:
    """One action that is retried when it has failed."""

    def __init__(self, timers: Timers, delays: Sequence[float], attempt: Callable[[], None]) -> None:
        """``delays``: seconds after the first failure in a row, the second …, the last one for ever."""
        self.failures = 0
        """in a row"""
        self._timers = timers
        self._delays = delays
        self._attempt = attempt
        self._timer: Timer | None = None

    @property
    def pending(self) -> bool:
        """Whether a retry is pending."""
        return self._timer is not None

    def failed(self) -> None:
        """The action has failed (again): retry later."""
        self.failures += 1
        self.later()

    def later(self) -> None:
        """Retry after the delay for the failures so far; at once, if there were none."""
        self.cancel()
        if self.failures:
            delay = self._delays[min(self.failures, len(self._delays)) - 1]
            self._timer = self._timers.call_later(delay, self.now)
        else:
            self.now()

    def now(self) -> None:
        """Retry now, in place of a pending retry."""
        self.cancel()
        self._attempt()

    def cancel(self) -> None:
        """Cancel the pending retry."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
