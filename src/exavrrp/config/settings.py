"""What a configuration is once it has been read: frozen values that the engine uses as they are.

Nothing is left open here: every default has been given, every text is what it stands for, every virtual router is
complete without its agent. It must not know of files, keys or mistakes; ``loading`` makes these structs and promises
what their docstrings say.
"""

from dataclasses import dataclass, field
from typing import Literal

from exavrrp import presence
from exavrrp.config.diagnosis import Problem
from exavrrp.presence import Handover
from exavrrp.routes import Attributes
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Address, Ipv4Checksum


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What concerns the whole node; the defaults in it have already been given to the routers."""

    sources: tuple[Address, ...]
    """as written: at most one per family"""
    peers: tuple[Address, ...]
    advert_interval: float
    """seconds"""
    interfaces: tuple[str, ...] | None
    """None: any interface that a route to a peer uses"""
    ipv4_checksum: Ipv4Checksum
    max_hops: int | None
    """None: any hop limit is accepted"""
    learned_interval_max: float | None
    """seconds; None: ten times a router's own interval"""
    log_format: Literal["text", "json"]
    state_directory: str
    """for what lasts until the next boot: the lock, the control socket, the note for a successor"""
    persistent_directory: str
    """for what outlives a boot: which routers are drained"""
    control_group: str | None
    """who besides the agent's own user may use the control socket"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualRouter:
    """One ``[virtual_router.NAME]``, complete."""

    name: str
    vrid: int
    priority: int
    """1–255 before any check changes it"""
    addresses: tuple[Address, ...]
    """the virtual addresses, at least one, all of one family"""
    source: Address | None
    """of that family; None only if ``load`` was not told the addresses on lo"""
    peers: tuple[Address, ...]
    """of that family, at least one"""
    interfaces: tuple[str, ...] | None
    """None: any interface that a route to a peer uses"""
    preempt: bool
    preempt_delay: float
    """seconds"""
    advert_interval: float
    """seconds, whole centiseconds"""
    learned_interval_max: float
    """seconds, at least ``advert_interval``"""
    handover: Handover
    handover_hold: float
    """seconds"""
    linger: float
    """seconds"""
    checks: tuple[str, ...]
    """names in ``Configuration.checks``"""
    group: str | None
    """those with the same one move together"""
    notify: tuple[str, ...] | None
    """the absolute path of a program, then its arguments: told of every transition"""
    notify_active: tuple[str, ...] | None
    notify_backup: tuple[str, ...] | None
    notify_fault: tuple[str, ...] | None
    notify_stop: tuple[str, ...] | None
    notify_fifo: str | None
    notify_socket: str | None
    notify_timeout: float
    """seconds"""
    attributes: Attributes

    @property
    def family(self) -> int:
        """4 or 6"""
        return self.addresses[0].version

    def election(self) -> router.Settings:
        """What the state machine wants to know; the source must be known."""
        assert self.source is not None
        return router.Settings(
            vrid=self.vrid,
            priority=self.priority,
            interval=self.advert_interval,
            source=self.source,
            addresses=self.addresses,
            preempt=self.preempt,
            preempt_delay=self.preempt_delay,
            learned_maximum=self.learned_interval_max,
        )

    def giving_up(self) -> presence.Settings:
        """What presence wants to know."""
        return presence.Settings(handover=self.handover, hold=self.handover_hold, linger=self.linger)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One ``[check.NAME]``."""

    name: str
    command: tuple[str, ...]
    """the absolute path of the program, then its arguments"""
    interval: float
    """seconds from one start to the next"""
    timeout: float
    """seconds"""
    rise: int
    fall: int
    weight: int
    """−253–253; 0: fault"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A file without mistakes."""

    agent: Agent
    routers: tuple[VirtualRouter, ...]
    """at least one, in the order of the file"""
    checks: tuple[Check, ...]
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def weights(self, virtual_router: VirtualRouter) -> dict[str, int]:
        """The checks of a router by name, each with its weight."""
        known = {check.name: check.weight for check in self.checks}
        return {name: known[name] for name in virtual_router.checks}
