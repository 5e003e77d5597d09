"""The events that the BGP speaker reports: everything that results from a conversation with ExaBGP; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exavrrp.neighbors import Session, Terms
from exavrrp.routes import Network, Route
from exavrrp.vrrp.packet import Address


@dataclass(frozen=True, slots=True)
class Greeted:
    """ExaBGP has sent its version."""

    version: str
    known: bool
    """whether we know its dialect; if not, the newest one is tried"""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A BGP session came up or went down."""

    session: Session
    established: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """Whether the neighbor of a session that is up gets our routes; reported once for each session, and on change."""

    session: Session
    listed: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """The sessions of ExaBGP's configuration, up or not; reported at the start and on change."""

    families: Mapping[Session, frozenset[int] | None]
    """by session: 4 for IPv4 unicast, 6 for IPv6 unicast, as negotiated; None: it was never up"""
    terms: Mapping[Session, Terms] = field(default_factory=dict)
    """of each session whose AS numbers are known"""


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """ExaBGP has another configuration: what it refused before may be accepted now."""


@dataclass(frozen=True, slots=True)
class Answered:
    """ExaBGP has carried out what is desired of a prefix: the route is in its table, which is not to say that it was
    sent.
    """

    network: Network
    route: Route | None
    """``None``: withdrawn"""


@dataclass(frozen=True, slots=True)
class Kept:
    """ExaBGP still has a prefix in its tables for some neighbors, although it has carried out the withdraw for others.

    It passes nothing of ours on to these, and announces the route to them again in each new session. Repeated with
    each poll of its tables, until ``Answered``.
    """

    network: Network
    neighbors: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Doubted:
    """The answer for this prefix may have been another one's: the command is sent again, and answered on its own."""

    network: Network


@dataclass(frozen=True, slots=True)
class Refused:
    """ExaBGP answered ``error``; the reason is in its own log. Retried with back-off."""

    network: Network
    line: str
    times: int
    """failures in a row of this desired route; from the second one on the answer was certainly to it"""


@dataclass(frozen=True, slots=True)
class Silent:
    """A command was not answered in time, or ExaBGP went on without an answer. Retried with back-off."""

    network: Network
    line: str
    times: int
    """as in ``Refused``; 0: ExaBGP has stalled, and answers nothing"""


@dataclass(frozen=True, slots=True)
class Stalled:
    """No probe is answered: nothing can be announced or withdrawn, and the states of sessions are unknown."""

    seconds: float
    """since its last line"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """ExaBGP answers again after a stall."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An anomaly that is repaired without help; for the log."""

    detail: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """ExaBGP announced that it stops: in 0.1 s SIGTERM, 2 s later SIGKILL; the sessions close with it."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """ExaBGP is not at the other end any more: nothing can be announced or withdrawn."""

    why: str


Event = (
    Greeted
    | Neighbor
    | Listed
    | Configured
    | Reconfigured
    | Answered
    | Kept
    | Doubted
    | Refused
    | Silent
    | Stalled
    | Resumed
    | Anomaly
    | Stopping
    | Disconnected
)
