"""What a node is given: its ports to the world, and the events that come in through them; pure.

``Node`` decides, ports act. Each port is a Protocol with its contract. ``system`` implements them on Linux, the
simulation has implementations of its own. No port blocks, and none calls the node back from within a call, unless it
is told to (``Speaker.catch_up``): it reports an event to ``Node.handle`` from the event loop. A busy node puts the
event into its queue.

The small values that pass through the ports (``Link``, ``Arrival``, ``Sent`` …) are defined here, too.
"""

import errno
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVarTuple

from exavrrp.routes import Network, Route
from exavrrp.timers import Timer
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp.packet import Address, Datagram, Reason

_Arguments = TypeVarTuple("_Arguments")


# Time


class Clock(Protocol):
    """Monotonic seconds, and the turns of an event loop. An asyncio loop is one, and so is that of a simulation."""

    def time(self) -> float:
        """Now."""

    def call_at(self, when: float, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> Timer:
        """Call back at ``when``."""

    def call_soon(self, callback: Callable[[*_Arguments], object], /, *args: *_Arguments) -> object:
        """Call back in the next turn of the loop."""


# The log


class Severity(StrEnum):
    """How much an event of the log matters, in the words of syslog."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Log(Protocol):
    """The log of a node. Never blocks, raises nothing."""

    def info(self, event: str, **fields: object) -> None:
        """Something that an operator wants to read later."""

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator should look into."""

    def error(self, event: str, **fields: object) -> None:
        """Something that keeps us from doing our work."""


class LimitedLog(Log, Protocol):
    """A log that can limit the rate of repeated events."""

    def limited(self, key: Hashable, level: Severity, event: str, **fields: object) -> None:
        """Log ``event``, rate-limited for each ``key``."""


# Adverts


@dataclass(frozen=True, slots=True)
class Link:
    """An interface to send through."""

    index: int
    """the kernel's interface index; it changes when the interface is deleted and re-created; 0: no such interface"""
    name: str


ANY = ""
"""Stands for an interface's name where the kernel chose the interface."""

NO_WAY = frozenset(
    {
        errno.ENETUNREACH,  # no route
        errno.EHOSTUNREACH,  # route of type unreachable
        errno.EINVAL,  # blackhole; or an IPv4 source that this host does not have
        errno.EACCES,  # prohibit
        errno.EAGAIN,  # throw, with no rule after it
        errno.EADDRNOTAVAIL,
        errno.ENETDOWN,
        errno.ENODEV,
        errno.EAFNOSUPPORT,
        errno.EOPNOTSUPP,  # a kernel without IPv6
    }
)
"""The errors with which the kernel refuses to send where there is no usable route."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet, and where and when it came in."""

    datagram: Datagram
    interface: int
    """index of the interface it arrived on"""
    at: float
    """``Clock.time()`` when it was read"""
    realtime: float | None = None
    """seconds since the epoch when the kernel received it, which may be long before; None: unknown"""


@dataclass(frozen=True, slots=True)
class Medium:
    """The one interface that carries the adverts of a source, in both directions."""

    interface: str
    """its name"""
    group: Address | None = None
    """the multicast group that adverts go to; None: unicast"""
    anybody: bool = False
    """whether adverts of senders that are not named count, too"""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending one copy."""

    interface: str
    """name of the interface, ``ANY`` for the kernel's choice"""
    error: int | None
    """errno, ``None`` when the kernel took the packet"""


@dataclass(slots=True)
class Counters:
    """The counters of the transport of one source, which alone writes them."""

    sent: Counter[tuple[Address, str]] = field(default_factory=Counter)
    """copies by (peer, interface name)"""
    failed: Counter[tuple[Address, str, str]] = field(default_factory=Counter)
    """copies not sent by (peer, interface name, name of the error such as ``ENETUNREACH``)"""
    received: Counter[int] = field(default_factory=Counter)
    """packets read by interface index, rejected ones included"""
    overflowed: int = 0
    """packets of peers that the kernel dropped because the receive buffer was full (wraps at 2³²)

    Some kernels also count packets of non-peers that arrived in the meantime (``system.wire``)."""
    unread: int = 0
    """packets of non-peers that were not read (wraps at 2³²); only a sample is read

    Some kernels also count packets of peers that arrived in the meantime: less than one second's for each sample."""
    receive_errors: Counter[str] = field(default_factory=Counter)
    """failed reads by name of the error"""


class Transport(Protocol):
    """Sends adverts from one source address, and receives those sent to it."""

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> Sequence[Sent]:
        """Send one copy over each of ``links``; without links, one copy over the interface that the kernel chooses."""

    @property
    def counters(self) -> Counters:
        """The counters since the transport was created."""

    def forget(self, index: int) -> None:
        """Drop what is known of the interface with this index: it does not lead to a peer any more, or is a new one."""

    def drain(self, until: float) -> Iterable[Arrival]:
        """Yield the packets that arrived until ``until`` (``Clock.time()``) and were not read yet, one at a time."""


class Transports(Protocol):
    """The transports of all our sources."""

    def set(self, peers: Mapping[Address, Collection[Address]], media: Mapping[Address, Medium]) -> None:
        """Have a transport for exactly these sources, each with its peers; the first call opens them.

        ``media``: those of them whose adverts do not follow the routes. A transport that stays keeps its counters, and
        loses no packet of a peer that stays. Packets that a removed peer had already sent may still be reported. Raises
        ``OSError`` when a source cannot be used; nothing has changed then.
        """

    def __getitem__(self, source: Address) -> Transport:
        """The transport of a source; the same object before and after ``set`` has named it."""

    def items(self) -> Iterable[tuple[Address, Transport]]:
        """The sources of the last ``set``, in its order, each with its transport."""


class Beacons(Protocol):
    """The sockets of the beacons. Nothing here raises: an election must not notice."""

    def set(self, peers: Mapping[Address, Collection[Address]], port: int) -> None:
        """Have sockets for exactly these sources, each with its peers, at this UDP port; the first call opens them.

        A source that cannot be used is tried again later.
        """

    def send(self, source: Address, peer: Address, payload: bytes, link: Link) -> None:
        """Send one datagram over ``link``; over the one that the kernel chooses if its name is ``ANY``."""


class Paths(Protocol):
    """The routes to peers, over one set of interfaces."""

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """The interfaces of the route from ``source`` to ``peer``; empty: leave the choice to the kernel."""

    def holds(self, source: Address) -> bool:
        """Whether ``source`` is an address of this host."""

    def is_up(self) -> bool:
        """Whether any of these interfaces is there and set up, with a carrier or without; true for all."""

    def interface_name(self, index: int) -> str:
        """The name of an interface."""


Interfaces = tuple[str, ...] | None
"""The names of those that may carry adverts; None: all."""


class Routing(Protocol):
    """The routing table: the paths over each set of interfaces."""

    def set(self, wanted: Iterable[Interfaces]) -> None:
        """Have paths over exactly these sets of interfaces; the first call opens the routing table.

        Paths that stay keep their state. Raises ``OSError``; nothing has changed then.
        """

    def __getitem__(self, only: Interfaces) -> Paths:
        """The paths over these interfaces; the same object before and after ``set`` has named them."""

    def reaches(self, neighbor: Address) -> bool:
        """Whether there is a usable route to ``neighbor``."""

    def is_cut_off(self, neighbor: Address, local: Address | None) -> bool:
        """Whether no path to ``neighbor`` has a carrier, or there is none; changes are watched from now on.

        ``local``: our end of the session, None: unknown. The link to an IPv6 link-local neighbor is where that is.
        """


# Addresses


class AddressError(OSError):
    """Some addresses are not as requested; ``failures`` has the reason for each."""

    def __init__(self, failures: dict[Address, OSError]) -> None:
        first = next(iter(failures.values()))
        what = "; ".join(f"{address}: {error.strerror}" for address, error in failures.items())
        super().__init__(first.errno, what)
        self.failures = failures


class Addresses(Protocol):
    """The virtual addresses of this node on lo."""

    @property
    def awaited(self) -> Set[Address]:
        """The wanted addresses that lo has, but to which the kernel does not accept packets yet."""

    def own(self, forms: Collection[VirtualAddress]) -> None:
        """Manage exactly these addresses from now on; nothing on lo changes before the next ``set``.

        An address that is not among them any more is managed as long as it is wanted. Then it is removed, and never
        touched again.
        """

    def set(self, wanted: Collection[VirtualAddress]) -> None:
        """Make lo have exactly ``wanted`` of our addresses; one that has other attributes is changed in place.

        ``AddressesChanged`` is reported whenever fewer are ``awaited``. Raises ``AddressError`` after doing all that is
        possible, and any other ``OSError``.
        """

    def adopt(self, addresses: Collection[Address]) -> frozenset[VirtualAddress]:
        """Manage those of ``addresses`` that exavrrp has bound, until they are unbound; return them as they are there.

        Where the kernel does not record who has made an address, all of them that lo has. To be called before ``set``.
        Raises ``OSError``.
        """

    def present(self) -> frozenset[Address]:
        """Our addresses that lo has, with whatever attributes. Raises ``OSError``."""

    def herald(self, served: Collection[Address]) -> None:
        """Have neighbors know that this node has ``served``, as soon as these are on a link, and no others of ours."""

    def herald_anew(self, claimed: Collection[Address]) -> None:
        """Another node has claimed ``claimed``, too: have neighbors know once more, soon, that this one has them."""

    def elsewhere(self) -> dict[Address, str]:
        """Our addresses that other interfaces have → the name of one such interface. Raises ``OSError``."""


# BGP


class Speaker(Protocol):
    """The BGP speaker. Its answers are events (``system.exabgp``)."""

    def own(self, ours: Iterable[Route]) -> None:
        """Declare every prefix that may be announced, in each of its forms, the likeliest first.

        For a prefix that stays no command is sent, even if its forms have changed. One that is not among them any more
        is withdrawn, and remembered until that is confirmed. Raises ValueError for forms that would need a withdraw
        first (other neighbors than before have their own next hop); nothing has changed then.
        """

    def inherit(self, networks: Iterable[Network]) -> None:
        """A predecessor may have had it announce these prefixes of ours; to be called before ``set``."""

    def set(self, wanted: Iterable[Route]) -> None:
        """Announce exactly these of our prefixes; withdraw the others."""

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        """Announce these like this, or withdraw them (None); leave all others as before."""

    def repeat(self) -> None:
        """Say everything once more, so that the speaker writes to each neighbor, and finds out which are gone."""

    def flush(self) -> None:
        """Write pending commands now, and not at the end of this turn of the loop."""

    def catch_up(self, until: float) -> None:
        """Report what it has answered until then (monotonic seconds) and nobody has read yet, at once."""

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether it has carried out what was wanted last of each of these."""

    @property
    def answer_seconds(self) -> float | None:
        """Seconds that it took for its last answer; None: there was none."""

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether it may announce any of these prefixes of ours, whatever is wanted.

        It may if an announcement was inherited, is wanted, or was written, to one neighbor alone too. Not so any more
        once the announcement was certainly refused for each neighbor, and the answer to each one before is known, or
        the withdraw confirmed.
        """


# Who else is told, and what is remembered


class NotifyState(StrEnum):
    """What keepalived calls the state of an instance."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"


class Notifier(Protocol):
    """The notify programs, FIFOs and sockets."""

    def counters(self) -> Mapping[str, Mapping[str, int]]:
        """Notifications delivered, failed and dropped, by router, and by path of a FIFO or socket."""

    def tell(self, name: str, state: NotifyState, priority: int, before: str, reason: str) -> None:
        """Report that the router ``name`` went from ``before`` to ``state``. Never blocks; no state is repeated."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the previous process may have bound or announced, and the configuration does not have any more."""

    addresses: frozenset[Address] = frozenset()
    routes: tuple[Route, ...] = ()
    """what ExaBGP may still announce; empty if that is another process than then"""

    @property
    def on_lo(self) -> frozenset[Address]:
        """The addresses to keep bound until the withdraw of all ``routes`` is confirmed."""
        return self.addresses if self.routes else frozenset()


class Memory(Protocol):
    """The state that the previous process left, and that of this one for the next; lost at a reboot."""

    @property
    def is_foreign(self) -> bool:
        """Whether the previous process certainly ran under another ExaBGP, so that this one announces nothing of it."""

    def recall(self) -> frozenset[str]:
        """The routers that were announced when it ended, if the same ExaBGP process still runs."""

    def names(self, networks: Collection[Network]) -> bool:
        """Whether it may have announced any of these, by its state file."""

    def was_active(self, router: str) -> bool:
        """Whether ``router`` was announced as Active when it ended."""

    def may_be_announced(self, router: str) -> bool:
        """Whether this ExaBGP process may still announce ``router``: it had not confirmed a withdraw."""

    def since(self, router: str) -> int | None:
        """When ``router`` became Active, in whole seconds since the epoch; None: unknown."""

    def silent(self, router: str) -> tuple[int, float] | None:
        """The number of silent failures, and the time of the last one in monotonic seconds; None: unknown."""

    def may_bind(self, addresses: Iterable[Address]) -> None:
        """Record every address that this process may bind, for the next ``note``."""

    def may_announce(self, router: str, routes: Iterable[Route]) -> None:
        """Record the routes that it may have announced last for ``router``, for the next ``note``."""

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> None:
        """Write the state file: how each router is to be announced (None: not at all).

        ``since``: when it became Active, in seconds since the epoch. ``silences``: as of ``silent``. ``offered``: the
        routers that may be announced, whatever is wanted.
        """

    def look(self) -> None:
        """Write the state file once more if that has failed, or somebody has removed it. Raises nothing."""


class Checks(Protocol):
    """What carries out the health checks."""

    def distrusted(self) -> Mapping[str, str]:
        """Checks whose last results stand although their programs are not run any more → the reason."""


# Events in


@dataclass(frozen=True, slots=True)
class Arrived:
    """Packets have come in for one of our sources, in this order."""

    source: Address
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Discarded:
    """A packet for one of our sources was no valid datagram; ``sender``: None if unknown."""

    reason: Reason
    sender: Address | None


@dataclass(frozen=True, slots=True)
class PathsChanged:
    """The answers of ``Paths`` may have changed."""


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """The kernel now accepts packets to addresses that were ``awaited``."""


@dataclass(frozen=True, slots=True)
class AddressRepaired:
    """Somebody had removed or changed one of our addresses; it was repaired."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressLost:
    """One of our addresses was removed or changed, and cannot be repaired."""

    address: Address
    error: OSError


@dataclass(frozen=True, slots=True)
class Checked:
    """A check has a result: ``detail`` is one printable line, ``value`` the number that came with it, −253–253."""

    check: str
    passed: bool
    detail: str = ""
    seconds: float = 0.0
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Distrusted:
    """The program of a check is not run any more; its last result stands for ``seconds`` more."""

    check: str
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """A router is to leave the election and stay out, or (``undo``) to take part again."""

    name: str
    undo: bool = False


@dataclass(frozen=True, slots=True)
class Terminated:
    """SIGTERM: of ExaBGP, which goes, or replaces us; or of somebody else."""


@dataclass(frozen=True, slots=True)
class Succession:
    """ExaBGP has started another agent, which has not taken the lock yet; or that one has ended (not ``starts``)."""

    starts: bool


@dataclass(frozen=True, slots=True)
class End:
    """The node is to end; ``why``: for people."""

    why: str


Event = (
    Arrived
    | Discarded
    | PathsChanged
    | AddressesChanged
    | AddressRepaired
    | AddressLost
    | Checked
    | Distrusted
    | DrainAsked
    | Terminated
    | Succession
    | End
)


def concerning(error: OSError | None, addresses: Collection[Address]) -> OSError | None:
    """What of ``error`` concerns these ``addresses``; without any, nothing does."""
    if not addresses:
        return None
    if not isinstance(error, AddressError):
        return error
    failures = {address: error.failures[address] for address in addresses if address in error.failures}
    return AddressError(failures) if failures else None
