"""Which BGP session is which: a pair of addresses, our own and the neighbor's; pure.

One router may be a neighbor more than once: two sessions to its loopback address, each from another address of ours,
or two routers that are both called fe80::1, each on another link. ExaBGP identifies its neighbors by both addresses,
and so does all code here. It must not know of configuration, of commands, or of which session is up.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from exavrrp.vrrp.packet import Address


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session, or all of them to one neighbor."""

    peer: Address
    local: Address | None = None
    """our end. None: any, where sessions are chosen; unknown, in ExaBGP's answers (``local-address auto`` before it has
    connected)
    """

    def covers(self, other: "Session") -> bool:
        """Whether this one selects ``other``. An unknown end matches any."""
        return self.peer == other.peer and (self.local == other.local or None in (self.local, other.local))

    def __str__(self) -> str:
        return str(self.peer) if self.local is None else f"{self.peer} from {self.local}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the two ends of a session have told each other, as far as it is known."""

    local_as: int
    peer_as: int
    hold_time: int | None = None
    """seconds, as negotiated: the smaller of both (RFC 4271 §4.2), 0: it never ends; None: it was never up"""

    @property
    def internal(self) -> bool:
        """Whether it is an iBGP session."""
        return self.local_as == self.peer_as


def overlap(sessions: Iterable[Session]) -> tuple[Session, Session] | None:
    """One that chooses all sessions to a neighbor, and one that chooses one of them; None: no two are so."""
    chosen = list(sessions)
    whole = {one.peer for one in chosen if one.local is None}
    return next(((Session(one.peer), one) for one in chosen if one.local is not None and one.peer in whole), None)


def ordered(session: Session) -> tuple[str, str]:
    """A key for sorting, the same in every process."""
    return str(session.peer), str(session.local)
