"""The events of a group of virtual routers: its whole input, as frozen values; pure.

The state of ``groups.Group`` depends on these events and their times alone. So the same events in the same order
repeat what a node has done, in a simulation or in a replay.

An event says what has happened, or what is requested; the group decides what follows. Most events concern one member,
by ``name``. No name is also that of an event of ``vrrp.router`` or of an effect, which follow from these. An event does
not contain its time. Durations are seconds.
"""

from dataclasses import dataclass
from typing import TypeAlias

from exavrrp import presence
from exavrrp.instance import Fault, Hold, StopBudget
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vrrp.router import Why

# Of all members


@dataclass(frozen=True, slots=True)
class Start:
    """All members take part as soon as no fault or hold keeps any of them out."""


@dataclass(frozen=True, slots=True)
class Stop:
    """All members are to leave the election in the order of their configured handover."""

    why: Why
    detail: str
    budget: StopBudget


@dataclass(frozen=True, slots=True)
class Abandon:
    """The time for a stop is over."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A member's ``deadline`` has come; the caller has handed over all packets that were waiting."""


# Of one member


@dataclass(frozen=True, slots=True)
class Recalled:
    """A predecessor has counted silent failures of Actives. Before any other event of this member."""

    name: str
    number: int
    age: float
    """seconds since the last one"""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A predecessor has left its addresses bound or announced. Before ``Start``."""

    name: str
    announced: bool
    """whether ExaBGP still announces them as serving; addresses that are not bound any more are bound again"""
    active: bool = False
    """whether they were announced as an Active's, which has thus failed silently"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One copy of an advert for it was received and accepted."""

    name: str
    source: Address
    advertisement: Advertisement
    interface: int
    """index of the one that it arrived on"""
    expected: tuple[int, ...]
    """indexes of those that lead to its sender now, in the order of the paths"""


@dataclass(frozen=True, slots=True)
class Rated:
    """Its own effective priority has changed (the group's may differ): 1–254, or 255 for the address owner."""

    name: str
    priority: int


@dataclass(frozen=True, slots=True)
class Configured:
    """Its settings have changed. VRID, source and family, which identify the virtual router, are as before."""

    name: str
    election: router.Settings
    handover: presence.Settings
    stale_for: float
    """seconds for which routers may keep the route of a node that failed silently"""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot serve."""

    name: str
    fault: Fault
    detail: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """That fault of it is over."""

    name: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Held:
    """It must stay out of the election although it could serve. Sent again when the detail changes.

    A drain of one member drains all.
    """

    name: str
    hold: Hold
    detail: str


@dataclass(frozen=True, slots=True)
class Released:
    """The hold is over. A drain ends for all members, any other hold for this member."""

    name: str
    hold: Hold


@dataclass(frozen=True, slots=True)
class Bound:
    """Its addresses are on the interface, verified."""

    name: str


@dataclass(frozen=True, slots=True)
class Unbound:
    """Its addresses could not be bound, or were lost and cannot be put back."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """ExaBGP has confirmed the withdraw of every address of it."""

    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """ExaBGP cannot withdraw its addresses from every neighbor."""

    name: str


OfOne: TypeAlias = (
    Recalled
    | Inherited
    | Heard
    | Rated
    | Configured
    | Failed
    | Recovered
    | Held
    | Released
    | Bound
    | Unbound
    | Withdrawn
    | Kept
)
Event: TypeAlias = Start | Stop | Abandon | TimerFired | OfOne
