"""A log whose events are entries of the node's journal, too (``chronicle``); pure."""

from collections.abc import Hashable

from exavrrp.chronicle import TRANSITION, Chronicle
from exavrrp.ports import LimitedLog, Severity


class Chronicled:
    """Logs, and enters what it logs. A transition is entered with its cause, by the router."""

    def __init__(self, log: LimitedLog, chronicle: Chronicle) -> None:
        self._log = log
        self._chronicle = chronicle

    def info(self, event: str, **fields: object) -> None:
        """As of ``Log``."""
        self._log.info(event, **fields)
        if event != TRANSITION:
            self._enter(Severity.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """As of ``Log``."""
        self._log.warning(event, **fields)
        self._enter(Severity.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """As of ``Log``."""
        self._log.error(event, **fields)
        self._enter(Severity.ERROR, event, fields)

    def limited(self, key: Hashable, level: Severity, event: str, **fields: object) -> None:
        """As of ``LimitedLog``; the journal has it more rarely."""
        self._log.limited(key, level, event, **fields)
        if self._chronicle.is_new(key):
            self._enter(level, event, fields)

    def _enter(self, level: Severity, event: str, fields: dict[str, object]) -> None:
        self._chronicle.add(event, level, str(fields.pop("router", "")), **fields)
