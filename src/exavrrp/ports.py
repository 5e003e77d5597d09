"""What a node is given: its ports to the world, and the events that come in through them; pure.

``Node`` decides, ports act. Each port is a Protocol here with its contract; the rooms of ``system`` are these ports on
Linux, and the simulation has ports of its own. No port waits, and none calls the node back from within a call: what it
has to tell is an event, handed to ``Node.handle`` from the event loop, or put into the node's queue if it is busy.

The small values that go through them (``Link``, ``Arrival``, ``Sent`` …) are here, too, for nobody has to know Linux to
handle them.
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
    """Where the events of a node are written; never waits, raises nothing."""

    def info(self, event: str, **fields: object) -> None:
        """Something that an operator wants to read later."""

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator should look into."""

    def error(self, event: str, **fields: object) -> None:
        """Something that keeps us from doing our work."""


class LimitedLog(Log, Protocol):
    """One that can leave out what comes too often."""

    def limited(self, key: Hashable, level: Severity, event: str, **fields: object) -> None:
        """The same, but rate-limited for each ``key``."""


# Adverts


@dataclass(frozen=True, slots=True)
class Link:
    """An interface to send through."""

    index: int
    """the kernel's number for it, another one after the interface was deleted and re-created; 0: does not exist now"""
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
"""What the kernel says when no packet could be sent for want of a route."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet, and where and when it came in."""

    datagram: Datagram
    interface: int
    """index of the interface it arrived on"""
    at: float
    """``Clock.time()`` when it was read"""
    realtime: float | None = None
    """seconds since the epoch when the kernel got it, which may be long before; None: it did not say"""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one copy."""

    interface: str
    """name of the interface, ``ANY`` for the kernel's choice"""
    error: int | None
    """errno, ``None`` when the kernel took the packet"""


@dataclass(slots=True)
class Counters:
    """What the transport of one source has counted; nobody else writes here."""

    sent: Counter[tuple[Address, str]] = field(default_factory=Counter)
    """copies by (peer, interface name)"""
    failed: Counter[tuple[Address, str, str]] = field(default_factory=Counter)
    """copies not sent by (peer, interface name, name of the error such as ``ENETUNREACH``)"""
    received: Counter[int] = field(default_factory=Counter)
    """packets read by interface index, rejected ones included"""
    overflowed: int = 0
    """packets of peers that the kernel dropped because the receive buffer was full (wraps at 2³²)

    With some kernels those of non-peers that came in the meantime, too (``system.wire``)."""
    unread: int = 0
    """packets of non-peers beyond those that were looked at (wraps at 2³²)

    With some kernels those of peers that came in the meantime, too: less than a second's for each look."""
    receive_errors: Counter[str] = field(default_factory=Counter)
    """failed reads by name of the error"""


class Transport(Protocol):
    """How adverts leave from one source address, and come in for it."""

    def send(self, payload: bytes, peer: Address, links: Sequence[Link]) -> Sequence[Sent]:
        """One copy through each of ``links``, or a single one through the kernel's choice when there are none."""

    @property
    def counters(self) -> Counters:
        """What has been counted since it was made."""

    def forget(self, index: int) -> None:
        """The interface with this index does not lead to a peer any more."""

    def drain(self, until: float) -> Iterable[Arrival]:
        """Everything that had come by ``until`` and is not read yet, to be dealt with one after the other."""


class Transports(Protocol):
    """The transports of all our sources."""

    def set(self, peers: Mapping[Address, Collection[Address]]) -> None:
        """Have a transport for exactly these sources, each for what its peers send; the first call is the start.

        A transport that stays loses no packet of a peer that stays, whoever comes or goes beside it, and keeps its
        counters; what gone peers had sent until then may still come in. Raises ``OSError`` when a source cannot be
        used; everything is then as before.
        """

    def __getitem__(self, source: Address) -> Transport:
        """The transport of a source, also before it is in the set: the same as afterwards."""

    def items(self) -> Iterable[tuple[Address, Transport]]:
        """The sources of the set, in its order, each with its transport."""


class Paths(Protocol):
    """The routing table, as a sender of adverts sees it."""

    def toward(self, peer: Address, source: Address) -> tuple[Link, ...]:
        """The interfaces of the route from ``source`` to ``peer``; empty: the kernel's choice is as good as any."""

    def holds(self, source: Address) -> bool:
        """Whether ``source`` is an address of this host."""

    def interface_name(self, index: int) -> str:
        """The name of an interface."""


Interfaces = tuple[str, ...] | None
"""The names of those that may carry adverts; None: all."""


class Routing(Protocol):
    """The routing table, for every set of interfaces."""

    def set(self, wanted: Iterable[Interfaces]) -> None:
        """Have paths over exactly these sets of interfaces; the first call is the start.

        Those that stay keep what they know. Raises ``OSError``; everything is then as before.
        """

    def __getitem__(self, only: Interfaces) -> Paths:
        """The paths over these interfaces, also before they are in the set: the same as afterwards."""

    def reaches(self, neighbor: Address) -> bool:
        """Whether there is a usable route to ``neighbor``."""


# Addresses


class AddressError(OSError):
    """lo is not what was asked for; ``failures`` says of which addresses that is true, and why."""

    def __init__(self, failures: dict[Address, OSError]) -> None:
        first = next(iter(failures.values()))
        what = "; ".join(f"{address} on lo: {error.strerror}" for address, error in failures.items())
        super().__init__(first.errno, what)
        self.failures = failures


class Addresses(Protocol):
    """The virtual addresses of this node on lo."""

    @property
    def awaited(self) -> Set[Address]:
        """Those of the wanted addresses that are there, but to which the kernel does not accept packets yet."""

    def own(self, ours: frozenset[Address]) -> None:
        """These are ours from now on, whatever was before; nothing on lo changes before the next ``set``.

        What is ours no more goes on being looked after as long as it is wanted, and is removed, and then never touched
        again, when it is not.
        """

    def set(self, wanted: Collection[VirtualAddress]) -> None:
        """Make lo carry, of ours, exactly ``wanted``, each in its form, which is changed in place.

        ``AddressesChanged`` follows whenever less is ``awaited``. Raises ``AddressError`` after having done all that
        could be done, and any other ``OSError``.
        """

    def adopt(self, addresses: Collection[Address]) -> frozenset[Address]:
        """Those of these that lo has, and that we have made: they are ours until they are unbound. Raises ``OSError``.

        Where the kernel does not tell who has made an address, all that lo has. To be called before ``set``.
        """

    def present(self) -> frozenset[Address]:
        """Those of ours that lo has, in whatever form. Raises ``OSError``."""

    def elsewhere(self) -> dict[Address, str]:
        """Those of ours that other interfaces have, each with one of these. Raises ``OSError``."""


# BGP


class Speaker(Protocol):
    """The BGP speaker, as far as it can be spoken to. What it answers are events (``system.exabgp``)."""

    def own(self, ours: Iterable[Route]) -> None:
        """These prefixes may be announced from now on, in these forms, the likeliest first.

        Nothing is said of one that stays, also where its forms are others now; one that is ours no more is withdrawn,
        and known until that is confirmed. Raises ValueError for forms that cannot follow those before without a
        withdraw (other neighbours than all, or than before, have their own next hop); nothing has changed then.
        """

    def inherit(self, networks: Iterable[Network]) -> None:
        """A predecessor may have had it announce these prefixes of ours; to be called before ``set``."""

    def set(self, wanted: Iterable[Route]) -> None:
        """Want exactly these of our prefixes announced."""

    def change(self, wanted: Mapping[Network, Route | None]) -> None:
        """Want these announced like this, or withdrawn (None), and all others as before."""

    def flush(self) -> None:
        """Write now what is to be written."""

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether what was wanted last is so for each of these."""

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether it may announce any of these prefixes of ours, whatever is wanted.

        It may if an announcement was inherited, is wanted, or was written, to one neighbour alone too. Not so any more
        once the announcement was certainly refused, or the withdraw confirmed.
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
        """What was told, failed and dropped, by router, and path of a FIFO or socket."""

    def tell(self, name: str, state: NotifyState, priority: int, before: str, reason: str) -> None:
        """The router ``name`` is now in ``state``, and was in ``before``. Never waits; the same state is told once."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the process before may have bound or announced, and the configuration names no more."""

    addresses: frozenset[Address] = frozenset()
    routes: tuple[Route, ...] = ()
    """what ExaBGP may announce still; none if it is another one than then"""

    @property
    def on_lo(self) -> frozenset[Address]:
        """What is to stay bound until the withdraw of all ``routes`` is confirmed."""
        return self.addresses if self.routes else frozenset()


class Memory(Protocol):
    """What the process before has left for this one, and what this one leaves; it does not outlive a boot."""

    @property
    def is_foreign(self) -> bool:
        """Whether it was certainly under another ExaBGP, and this one announces nothing for it."""

    def recall(self) -> frozenset[str]:
        """The routers that were announced at its end, if the very ExaBGP announces them still that it was under."""

    def names(self, networks: Collection[Network]) -> bool:
        """Whether it may have announced any of these, as far as it was noted."""

    def was_active(self, router: str) -> bool:
        """Whether ``router`` was announced as an Active's at its end."""

    def may_be_announced(self, router: str) -> bool:
        """Whether the very ExaBGP that it was under had not confirmed at its end that it announces nothing of it."""

    def since(self, router: str) -> int | None:
        """When ``router`` became Active, in whole seconds since the epoch, if it is known."""

    def silent(self, router: str) -> tuple[int, float] | None:
        """How many nodes have fallen silent until then, and when the last one did, in monotonic seconds."""

    def may_bind(self, addresses: Iterable[Address]) -> None:
        """All that this process may bind; for the next ``note``."""

    def may_announce(self, router: str, routes: Iterable[Route]) -> None:
        """All that it may announce for ``router``, as it did last; for the next ``note``."""

    def note(
        self,
        levels: Mapping[str, str | None],
        since: Mapping[str, int] | None = None,
        silences: Mapping[str, tuple[int, float]] | None = None,
        offered: Collection[str] = (),
    ) -> None:
        """How each router is announced now (None: not at all), since when it is Active, and what ``silent`` tells.

        ``offered``: the routers that may be announced, whatever is wanted.
        """


class Checks(Protocol):
    """What carries out the health checks."""

    def distrusted(self) -> Mapping[str, str]:
        """The checks whose last results stand although their programs are not run any more, and why they are not."""


# Events in


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet has come in for one of our sources."""

    source: Address
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Discarded:
    """A packet for one of our sources was no datagram; ``sender`` where that is known."""

    reason: Reason
    sender: Address | None


@dataclass(frozen=True, slots=True)
class PathsChanged:
    """An answer of ``Paths`` is another one now."""


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """The kernel accepts packets to addresses that were awaited."""


@dataclass(frozen=True, slots=True)
class AddressRepaired:
    """Somebody had changed an address of ours; it was put right."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressLost:
    """An address of ours cannot be put right."""

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
    """What of ``error`` concerns these ``addresses``."""
    if not isinstance(error, AddressError):
        return error
    failures = {address: error.failures[address] for address in addresses if address in error.failures}
    return AddressError(failures) if failures else None
