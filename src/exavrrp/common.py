"""What the parts of one virtual router have in common; pure."""

from dataclasses import dataclass, field
from typing import Protocol

from exavrrp import events
from exavrrp.chronicle import PHASE, Chronicle
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.history import History, Phase
from exavrrp.instance import Fault, Instance
from exavrrp.ports import LimitedLog
from exavrrp.timers import Timers


class Tell(Protocol):
    """Handles an event of one member of a group."""

    def __call__(self, event: events.OfOne, at: float | None = None) -> None:
        """Handle ``event`` now, or after the event that is being handled; as of ``at``, if that is given."""


@dataclass(slots=True)
class Common:
    """One virtual router, as each of its parts knows it."""

    configuration: Configuration
    """no part keeps a copy: another configuration may replace it"""
    instance: Instance
    timers: Timers
    log: LimitedLog
    tell: Tell
    """without effect once the router is gone"""
    chronicle: Chronicle
    history: History = field(default_factory=History)
    gone: bool = False
    """whether a reload has removed the router: whatever is still to be done for it is not done"""

    @property
    def name(self) -> str:
        """Of the router."""
        return self.configuration.name

    def reach(self, phase: Phase) -> None:
        """A phase after the last transition has been completed."""
        after = self.history.reach(phase, self.timers.time())
        if after is not None:
            self.chronicle.add(PHASE, "info", self.name, phase=str(phase), seconds=after)

    def fail(self, fault: Fault, detail: str) -> None:
        """Report that the router cannot serve."""
        self.tell(events.Failed(self.name, fault, detail))

    def recover(self, fault: Fault) -> None:
        """Report that ``fault`` is over."""
        self.tell(events.Recovered(self.name, fault))
