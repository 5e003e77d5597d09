"""The drain of one virtual router: it hands over and stays out of the election; pure."""

from exavrrp import events
from exavrrp.common import Common
from exavrrp.instance import Hold
from exavrrp.view import Outcome


class Drain:
    """Whether the router is drained, and how far that is."""

    def __init__(self, common: Common) -> None:
        self.kept = False
        """whether the last one was cancelled because no node took over"""
        self._common = common
        self._told = False

    @property
    def wanted(self) -> bool:
        """Whether it is to stay out."""
        return Hold.DRAIN in self._common.instance.holds

    @property
    def _over(self) -> bool:
        """Out of the election, unbound, and another node is known to serve, or was not needed."""
        return self.wanted and self._common.instance.finished and not self._common.instance.awaited

    @property
    def outcome(self) -> Outcome:
        """The stage of the drain."""
        if not self.wanted:
            return Outcome.KEPT if self.kept else Outcome.SERVING
        return Outcome.DRAINED if self._over else Outcome.DRAINING

    def begin(self) -> None:
        """Hand over, and stay out of the election until ``undo``."""
        common, self.kept = self._common, False
        if not self.wanted:
            common.log.info("drain-started", router=common.name)
            common.tell(events.Held(common.name, Hold.DRAIN, "drained"))

    def undo(self) -> None:
        """Take part in the election again."""
        common, self.kept = self._common, False
        if self.wanted:
            common.log.info("drain-ended", router=common.name)
            common.tell(events.Released(common.name, Hold.DRAIN))

    def undone(self, waited: float) -> None:
        """No node has taken over within ``waited`` seconds."""
        common, self.kept = self._common, True
        serving = "still serving" if common.instance.presence.bound else "not serving any more"
        detail = f"no successor within {waited:g} s: drain cancelled, {serving}"
        common.log.error("drain-cancelled", router=common.name, detail=detail)

    def look(self) -> None:
        """Check whether the drain is complete."""
        told, self._told = self._told, self._over
        if self._told and not told:
            self._common.log.info("drain-completed", router=self._common.name)
