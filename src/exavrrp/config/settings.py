"""What a configuration is once it has been read: frozen values that the engine uses as they are.

Nothing is left open here: every default has been given, every text is what it stands for, every virtual router is
complete without its agent. What a check asks stands in ``kinds``. This file must not know of files, keys or mistakes;
``tables`` makes these structs and promises what their docstrings say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import ceil
from typing import Literal

from exavrrp import presence
from exavrrp.config.diagnosis import Problem
from exavrrp.config.kinds import File, Probe
from exavrrp.health import CheckState, Initial
from exavrrp.neighbors import Session
from exavrrp.ports import Medium
from exavrrp.presence import Handover
from exavrrp.routes import Network, host_route
from exavrrp.sessions import Requirement
from exavrrp.takeover import RoutePolicy
from exavrrp.virtual_address import LO, VirtualAddress
from exavrrp.vrrp import auth, router
from exavrrp.vrrp.packet import GROUPS, Address, Ipv4Checksum
from exavrrp.vrrp.version2 import Version2


class Transport(StrEnum):
    """How adverts reach the other nodes."""

    ROUTED = "routed"
    """by unicast, a copy over every next hop of the route to each peer"""
    UNICAST = "unicast"
    """by unicast to each peer, through one interface"""
    MULTICAST = "multicast"
    """to whoever is on the link of one interface (RFC 9568 §5.1)"""


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
    down_count: int
    """intervals without an advert, after which a Backup takes over"""
    learned_interval_max: float | None
    """seconds; None: ten times a router's own interval"""
    log_format: Literal["text", "json"]
    state_directory: str
    """for what lasts until the next boot: the lock, the control socket, the note for a successor"""
    persistent_directory: str
    """for what outlives a boot: which routers are drained"""
    control_group: str | None
    """who besides the agent's own user may use the control socket"""
    scheduling: Literal["normal", "realtime"]
    lock_memory: bool
    """whether the process stays in memory"""
    startup_delay: float
    """seconds after the agent's start before its routers take part, unless a predecessor has left them in service"""
    beacon: bool | None
    """whether the peers are told how this node is; None: where adverts are authenticated"""
    beacon_port: int
    """of UDP"""
    authentication: str | None = None
    """name in ``Configuration.authentications``; None: adverts are not authenticated"""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A secret in a file of its own."""

    file: str


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret that systemd hands over (LoadCredential= and its kin)."""

    credential: str


@dataclass(frozen=True, slots=True)
class Inline:
    """A secret in the configuration itself."""

    hex: str = field(repr=False)
    holder: str = field(compare=False)
    """the configuration file"""


Place = KeyFile | Credential | Inline
"""Where a secret is."""


@dataclass(frozen=True, slots=True)
class Key:
    """One of the keys of an authentication."""

    id: int
    place: Place
    secret: bytes | None = field(repr=False)
    """None only if ``load`` was given nobody who reads it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """One ``[authentication.NAME]``."""

    name: str
    mode: auth.Mode
    window: int | None
    """seconds; None: from the interval of each router"""
    active_key: int
    """the id of one of the keys"""
    keys: tuple[Key, ...]
    """at least one, with different ids and secrets"""

    def policy(self, interval: float) -> auth.Policy:
        """What a router that advertises every ``interval`` seconds is to do; the secrets must be known."""
        keys = tuple(auth.Key(key.id, key.secret) for key in self.keys if key.secret is not None)
        assert len(keys) == len(self.keys)
        return auth.Policy(self.mode, self.window or window(interval), keys, self.active_key)


def rejection(sender: Authentication | None, receiver: Authentication | None) -> str | None:
    """Why ``receiver`` rejects the adverts of ``sender``, and what to write; None: it does not.

    Secrets are compared where both are known.
    """
    if sender is None or sender.mode is auth.Mode.RECEIVE_ONLY:
        enforced = receiver is not None and receiver.mode is auth.Mode.ENFORCE
        return (
            'they are not signed; write mode = "permissive" on all nodes before any has "enforce"' if enforced else None
        )
    if receiver is None:
        return 'they are signed; write mode = "receive-only" on all nodes before any has "permissive"'
    ours, theirs = ({key.id: key.secret for key in one.keys} for one in (sender, receiver))
    if (number := sender.active_key) not in theirs:
        return f"they are signed with key {number}; a key has to be on all nodes while it is the active_key of any"
    if None not in (mine := ours.get(number), other := theirs[number]) and mine != other:
        return f"they are signed with another key {number}; give the new key an id of its own, and add it on all nodes"
    return None


def window(interval: float) -> int:
    """Seconds, as keepalived derives them: three intervals, and five at least."""
    return max(ceil(3 * interval), 5)


@dataclass(frozen=True, kw_only=True)
class VirtualRouter:
    """One ``[virtual_router.NAME]``, complete.

    What follows from its keys is worked out once: some of it is asked for with each advert.
    """

    name: str
    vrid: int
    version: Literal[2, 3]
    """of VRRP; 2 for IPv4 only, with whole seconds as interval and without authentication"""
    plain_password: str | None
    """of VRRPv2, in every advert; None: none"""
    priority: int
    """1–255 before any check changes it"""
    virtual_addresses: tuple[VirtualAddress, ...]
    """all of one family; those that adverts list come first, at least one; all are bound while it serves, or none is"""
    announce: tuple[Network, ...]
    """what ExaBGP announces, of that family: prefixes with at least one of the addresses in each; empty: nothing"""
    transport: Transport
    source: Address | None
    """of that family; None only if ``load`` was not told the addresses on lo; if it is link-local, the scope says
    where"""
    peers: tuple[Address, ...]
    """of that family, at least one; or none, which means anybody, where adverts are multicast"""
    interfaces: tuple[str, ...] | None
    """None: any interface that a route to a peer uses; a single one unless adverts are routed"""
    preempt: bool
    preempt_delay: float
    """seconds"""
    advert_interval: float
    """seconds, whole centiseconds"""
    down_count: int
    """intervals without an advert, after which a Backup takes over"""
    learned_interval_max: float
    """seconds, at least ``advert_interval``"""
    handover: Handover
    handover_hold: float
    """seconds"""
    linger: float
    """seconds"""
    handover_ceiling: float
    """seconds"""
    min_sessions: int
    """BGP sessions that must be up; 0: none"""
    sessions_neighbors: tuple[Session, ...]
    """the only ones that count; empty: all that can carry the addresses"""
    sessions_weight: int
    """of the sessions as a check, −253–253; 0: fault"""
    startup_hold: float
    """seconds to wait for them at the start"""
    authentication: str | None = None
    """name in ``Configuration.authentications``; None: none"""
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
    standby: bool
    """whether a Backup binds and announces the addresses too"""
    prebind: bool
    """whether a Backup binds the addresses, and announces nothing"""
    route_policy: RoutePolicy
    stale_for: float
    """seconds since the last silent failure after which none makes an Active's path shorter any more"""

    @property
    def family(self) -> int:
        """4 or 6"""
        return self.virtual_addresses[0].address.version

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same virtual router after a reload, whatever it is called.

        Family, VRID, source, and how and where its adverts are sent.
        """
        return self.family, self.vrid, self.source, self.transport, self.medium and self.medium.interface

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All of them, in whatever form."""
        return tuple(one.address for one in self.virtual_addresses)

    @cached_property
    def on_lo(self) -> tuple[Address, ...]:
        """What is bound while it serves; empty: nothing."""
        return tuple(one.address for one in self.virtual_addresses if one.bind)

    @cached_property
    def bound_to(self) -> str | None:
        """The interface that has its addresses while it serves; None: nothing is bound."""
        return next((one.interface for one in self.virtual_addresses if one.bind), None)

    @cached_property
    def on_link(self) -> bool:
        """Whether neighbors on a link ask for its addresses."""
        return self.bound_to not in {None, LO}

    @property
    def bind(self) -> bool | str | None:
        """The key: true for lo, false, or the interface of a link."""
        return self.bound_to if self.on_link else bool(self.on_lo)

    @property
    def listed(self) -> tuple[Address, ...]:
        """Those that adverts list."""
        return tuple(one.address for one in self.virtual_addresses if one.listed)

    @property
    def unlisted(self) -> tuple[Address, ...]:
        """The others."""
        return tuple(one.address for one in self.virtual_addresses if not one.listed)

    @property
    def owned(self) -> tuple[Network, ...]:
        """Every prefix that may have been announced for it: before ``announce`` was configured, the host routes.

        Of a router that announces nothing they are a matter of whoever announces them.
        """
        hosts = map(host_route, self.addresses) if self.announce else ()
        return tuple(dict.fromkeys((*self.announce, *hosts)))

    @property
    def version2(self) -> Version2 | None:
        """What its nodes agree on if they speak VRRPv2."""
        if self.version != 2:
            return None
        return Version2(round(self.advert_interval), (self.plain_password or "").encode())

    @cached_property
    def multicast(self) -> Address | None:
        """The multicast group that adverts go to; None: they are unicast."""
        return GROUPS[self.family] if self.transport is Transport.MULTICAST else None

    @cached_property
    def destinations(self) -> tuple[Address, ...]:
        """Where adverts are sent to."""
        return self.peers if self.multicast is None else (self.multicast,)

    @property
    def medium(self) -> Medium | None:
        """The interface that carries its adverts; None: they are routed."""
        if self.transport is Transport.ROUTED or self.interfaces is None:
            return None
        return Medium(self.interfaces[0], self.multicast, anybody=not self.peers)

    @cached_property
    def place(self) -> int:
        """Of this node among it and its peers, by address and from 0; the source must be known.

        Of nodes whose lists of peers agree no two have the same one. Without such a list it is the address itself.
        """
        assert self.source is not None
        return sum(int(peer) < int(self.source) for peer in self.peers) if self.peers else int(self.source)

    def election(self) -> router.Settings:
        """The settings of its election; the source must be known."""
        assert self.source is not None
        return router.Settings(
            vrid=self.vrid,
            priority=self.priority,
            interval=self.advert_interval,
            source=self.source,
            addresses=self.listed,
            preempt=self.preempt,
            preempt_delay=self.preempt_delay,
            learned_maximum=self.learned_interval_max,
            down_count=self.down_count,
            skew_unit=1.0 if self.version == 2 else None,
        )

    def handover_settings(self) -> presence.Settings:
        """The settings of its presence: how it gives its addresses up.

        Without routes there is none to spread, and without addresses no packet in flight to wait for.
        """
        return presence.Settings(
            handover=self.handover,
            hold=self.handover_hold if self.announce else 0,
            linger=self.linger if self.announce or self.on_lo else 0,
            ceiling=self.handover_ceiling,
            stale=self.stale_for,
            standby=self.standby,
            prebind=self.prebind,
        )

    def sessions(self) -> Requirement | None:
        """The BGP sessions that it needs; None: none."""
        if self.min_sessions == 0:
            return None
        active = self.route_policy.active
        counted = self.sessions_neighbors or active.neighbors  # no other one is told
        family = self.family if active.next_hop == "self" else None
        return Requirement(self.min_sessions, frozenset(counted), family, carried=self.family)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One ``[check.NAME]``."""

    name: str
    probe: Probe
    interval: float
    """seconds from one start to the next"""
    timeout: float
    """seconds"""
    rise: int
    fall: int
    weight: int
    """−253–253; 0: fault"""
    fast_interval: float
    """seconds from one start to the next while the results speak against the verdict"""
    reverse: bool
    initial: Initial

    @property
    def valued(self) -> bool:
        """Whether its weight is multiplied with a number that it reports."""
        return isinstance(self.probe, File) and self.probe.file_value

    def state(self) -> CheckState:
        """Its state before the first result."""
        return CheckState(self.rise, self.fall, self.initial, self.reverse, self.valued)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A file without mistakes."""

    agent: Agent
    routers: tuple[VirtualRouter, ...]
    """at least one, in the order of the file"""
    checks: tuple[Check, ...]
    authentications: tuple[Authentication, ...] = ()
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    written: Mapping[str, str] = field(default_factory=dict, compare=False)
    """keys of ``[agent]`` → where they were written, such as "node.node1.sources"; without those written there"""

    @property
    def addresses(self) -> frozenset[Address]:
        """All that may be bound."""
        return frozenset(address for router in self.routers for address in router.on_lo)

    def weights(self, virtual_router: VirtualRouter) -> dict[str, int]:
        """The checks of a router by name, each with its weight."""
        known = {check.name: check.weight for check in self.checks}
        return {name: known[name] for name in virtual_router.checks}

    def authentication(self, virtual_router: VirtualRouter) -> Authentication | None:
        """Of a router; None: none."""
        return next((one for one in self.authentications if one.name == virtual_router.authentication), None)

    def beacons(self, virtual_router: VirtualRouter) -> bool:
        """Whether the peers of a router are told how it is, and heard about that: they have to be known by address."""
        wanted = virtual_router.authentication is not None if self.agent.beacon is None else self.agent.beacon
        return wanted and virtual_router.multicast is None

    def policy(self, virtual_router: VirtualRouter) -> auth.Policy | None:
        """How a router signs and verifies; None: not at all."""
        found = self.authentication(virtual_router)
        return None if found is None else found.policy(virtual_router.advert_interval)
