"""Retries with back-off; pure."""

from collections.abc import Callable, Sequence

from exavrrp.timers import Timer, Timers

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each retry; the last one for ever."""

LASTING = 60.0
"""Seconds for which a success has to last before the failures before it no longer count. Longer than somebody who
removes an address every few seconds takes for the repairs that make it a failure (``REPAIR_LIMIT`` of them, each less
than ``STABLE_AFTER`` after the one before: 50 s)."""


class Backoff:
    """One action that is retried when it has failed."""

    def __init__(self, timers: Timers, delays: Sequence[float], attempt: Callable[[], None]) -> None:
        """``delays``: seconds after the first failure in a row, the second …, the last one for ever."""
        self.failures = 0
        """in a row: those between which no success has lasted"""
        self._succeeded_at: float | None = None
        """since when the action succeeds"""
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
        if self._succeeded_at is not None and self._timers.time() - self._succeeded_at >= LASTING:
            self.failures = 0
        self._succeeded_at = None
        self.failures += 1
        self.later()

    def succeeded(self) -> None:
        """The action has succeeded, or is tried. The failures before count until none has come for ``LASTING``."""
        if self._succeeded_at is None:
            self._succeeded_at = self._timers.time()

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
        self.succeeded()
        self._attempt()

    def cancel(self) -> None:
        """Cancel the pending retry."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
