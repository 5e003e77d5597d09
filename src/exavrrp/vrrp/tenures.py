"""Since when each Active has been one, in whole seconds that no two of them share; pure.

An Active's MED can tell when it took over (``routes.Takeover.MED``), so that its route beats the one that a dead node
has left in the routers, or that the node before it is about to withdraw. A MED has whole seconds. Two that begin within
one second would announce routes that are alike, and routers would send packets to both: hence a node that takes over
takes a later second than the node before it, and all who hear the same adverts come to the same.

This file must not know of elections, clocks or routes: who advertises is told, with the time by the realtime clock.
"""

from exavrrp.vrrp.packet import LEAVING, Address

AHEAD = 3
"""Seconds, at most, by which a node's second is later than when it became Active. A clock that was ahead, or two nodes
that are both Active and are heard in turn, must not take the time to come."""


class Tenures:
    """Of one virtual router, as this node sees them. All times are seconds since the epoch."""

    def __init__(self) -> None:
        self._active: Address | None = None
        """which other node was heard last as the Active"""
        self._latest = 0
        """the second that the last one took which began"""

    def heard(self, source: Address, priority: int, now: float) -> None:
        """An advert of another node was accepted, and did not lose against this one."""
        if priority != LEAVING and source != self._active:
            self._active = source
            self._take(now)
        elif priority == LEAVING and source == self._active:
            self._active = None  # it may begin anew

    def begun(self, now: float) -> int:
        """This node becomes Active: since when it is to say that it is."""
        self._active = None
        return self._take(now)

    def _take(self, now: float) -> int:
        second = int(now)
        recent = second <= self._latest <= second + AHEAD
        self._latest = min(self._latest + 1, second + AHEAD) if recent else second
        return self._latest
