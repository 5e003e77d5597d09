"""What the BGP speaker tells: everything that comes of a conversation with ExaBGP; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from exavrrp.neighbors import Session
from exavrrp.routes import Network, Route


@dataclass(frozen=True, slots=True)
class Greeted:
    """ExaBGP has told its version."""

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
    """Whether the neighbour of a session that is up hears of what we say; told once for each session, and on change."""

    session: Session
    listed: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """The sessions of ExaBGP's configuration, up or not; told at the start and on change."""

    families: Mapping[Session, frozenset[int] | None]
    """by session: 4 for IPv4 unicast, 6 for IPv6 unicast, as both ends have agreed upon; None: it was never up"""


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """ExaBGP has another configuration: what it refused before may be accepted now."""


@dataclass(frozen=True, slots=True)
class Answered:
    """ExaBGP has carried out the last wish for a prefix; it says so when the route is in its table, not when sent."""

    network: Network
    route: Route | None
    """``None``: withdrawn"""


@dataclass(frozen=True, slots=True)
class Refused:
    """ExaBGP answered ``error``; the reason is in its own log. Tried again by and by."""

    network: Network
    line: str
    times: int
    """failures of this very wish in a row; from the second one on it is certain that the answer was to it"""


@dataclass(frozen=True, slots=True)
class Silent:
    """A command was not answered in time, or ExaBGP went on without an answer. Tried again by and by."""

    network: Network
    line: str
    times: int
    """as of ``Refused``; 0: ExaBGP has stalled, and answers nothing"""


@dataclass(frozen=True, slots=True)
class Stalled:
    """No question is answered: nothing can be announced or withdrawn, and nobody knows which sessions live."""

    seconds: float
    """since it was heard last"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was told to have stalled answers again."""


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that should not happen and is put right without help; for the log."""

    detail: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """ExaBGP announced that it stops: in 0.1 s SIGTERM, 2 s later SIGKILL; the sessions close with it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """ExaBGP is not at the other end any more: nothing can be announced or withdrawn."""

    why: str


Event = (
    Greeted
    | Neighbor
    | Listed
    | Configured
    | Reconfigured
    | Answered
    | Refused
    | Silent
    | Stalled
    | Resumed
    | Odd
    | Stopping
    | Gone
)
