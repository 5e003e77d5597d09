"""What a whole node is: frozen values for everybody who shows it to people or programs; pure.

``Node.view`` makes a ``View`` (``viewer``). ``exavrrp status``, its ``--json`` and the counters in the log print one,
and nobody counts or computes anything a second time. The values are also the document that ``control`` sends: a field
keeps its name and meaning, and a new one has a default, because an older agent does not send it.

Durations and ages are seconds. None means unknown, which is not the same as 0: without beacons an Active does not know
how its peers are, because Backups are silent. A counter begins with the process and only grows.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Moment(Struct, frozen=True):
    """One moment by two clocks."""

    time: datetime
    """UTC, by the realtime clock"""
    monotonic: float
    """seconds of one boot (``system.clock``): what ages are computed from"""


class Outcome(StrEnum):
    """How far a drain has come."""

    SERVING = "serving"
    """not drained: the router takes part in the election"""
    DRAINING = "draining"
    """it leaves: still bound and announced, or not yet confirmed to be gone"""
    DRAINED = "drained"
    """it is out of the election, unbound and withdrawn"""
    KEPT = "kept"
    """it was to leave, but no node took over: it serves on, as if it had not been drained"""


class TermView(Struct, frozen=True, kw_only=True):
    """What one check contributes to the priority of a router."""

    check: str
    verdict: str
    """``unknown``, ``passing`` or ``failing``"""
    amount: int = 0
    """added to the configured priority"""
    fault: bool = False
    """whether it keeps the router out of the election"""
    waiting: bool = False
    """whether its first result is awaited before the router takes part"""
    detail: str = ""
    """of its last result"""


class PathView(Struct, frozen=True, kw_only=True):
    """One interface over which a peer's adverts come, or are to come."""

    interface: str
    leads: bool = True
    """whether the route to the peer leads over it now"""
    copies: int = 0
    """adverts of the peer that were accepted there"""
    age: float | None = None
    """seconds since the last of them; None: there was none, or none since we are Active"""
    quiet: bool | None = None
    """whether adverts of the peer arrive, but none there any more; None: the peer is not the Active, and silent"""
    lost: int | None = None
    """how many of its last ``adverts`` did not arrive there, by the time between copies; None as with ``age``"""
    adverts: int | None = None
    """at most ``copies.WINDOW``"""
    gaps: int = 0
    """how often more than ``copies.GAP`` intervals passed between two copies there"""


class WayView(Struct, frozen=True, kw_only=True):
    """One interface towards a peer, by its beacons."""

    interface: str
    age: float | None = None
    """seconds since one came in there; None: there was none lately"""
    echoed: bool | None = None
    """whether the peer says that ours which leave there arrive; None: it is silent, or has only begun"""


class BeaconView(Struct, frozen=True, kw_only=True):
    """What a peer has told of a router by its last beacon."""

    age: float
    """seconds since that"""
    silent: bool
    """whether that is so long ago that it says nothing of now"""
    ready: bool
    """whether the peer takes part in the election, so that it could take over"""
    obstacle: str = ""
    """why it is not ready"""
    role: str
    priority: int
    """the effective one"""
    configured: int
    """before any check"""
    interval: float
    """seconds between its adverts"""
    same_addresses: bool
    """whether it has the same addresses as we"""
    faults: tuple[str, ...] = ()
    """``check``, ``bind``, ``adverts``, ``sessions``, ``announcement``, ``group``, ``unknown``"""
    holds: tuple[str, ...] = ()
    """``waiting``, ``drain``, ``unknown``"""
    heard: int
    """paths over which it receives adverts of the Active, of ``expected``"""
    expected: int
    ways: tuple[WayView, ...] = ()
    """those that lead to it"""


class PeerView(Struct, frozen=True, kw_only=True):
    """One peer of a router, by its adverts. Values other than counters are None without an advert since we became
    Active.
    """

    address: str
    active: bool | None = None
    """whether it is Active now, by its adverts; False: it has resigned, or fallen silent"""
    priority: int | None = None
    """in its last advert, and so are the next two"""
    interval: float | None = None
    addresses: tuple[str, ...] | None = None
    age: float | None = None
    """seconds since that advert"""
    paths: tuple[PathView, ...] = ()
    signed: int | None = None
    """copies that were accepted because of their trailer; None: nothing of it was verified, or authentication is off"""
    unsigned: int | None = None
    """copies that were accepted without one"""
    key: int | None = None
    """the id of the key that signed the last of them; None: nobody signed it, or nothing is known"""
    skew: float | None = None
    """whole seconds that its clock is ahead of ours"""
    sent: dict[str, int] = {}
    """interface (empty: the kernel's choice) → copies of our adverts to it that the kernel took"""
    deaf: float | None = None
    """seconds for which it goes on as Active beside a better one, as it does not hear that; None: it does not"""
    reclaimed: int = 0
    """how often the better Active has reclaimed the traffic meanwhile, if takeover is on"""
    beacon: BeaconView | None = None
    """None: it has never sent one"""


class AddressView(Struct, frozen=True, kw_only=True):
    """One address of a router, where it is bound."""

    address: str
    interface: str = "lo"
    wanted: bool
    present: bool | None = None
    """None: the kernel's table cannot be read"""
    verified: bool | None = None
    """whether it is there, wanted, and the kernel accepts packets to it"""


class RouteView(Struct, frozen=True, kw_only=True):
    """One prefix of a router, at ExaBGP."""

    prefix: str
    wanted: str | None = None
    """``active``, ``standby`` or ``leaving``: with which attributes it is to be announced; None: not at all"""
    confirmed: bool = False
    """whether ExaBGP has carried out what is wanted"""
    med: int | None = None
    """of what is wanted"""
    local_preference: int | None = None


class TransitionView(Struct, frozen=True, kw_only=True):
    """One change of a router's state, and how long after it everything that follows was done."""

    at: Moment
    before: str
    after: str
    reason: str
    detail: str = ""
    priority: int
    """the effective one of that moment"""
    phases: dict[str, float] = {}
    """``bound``, ``announced`` (commanded to ExaBGP), ``confirmed``, ``withdrawn``, ``unbound`` → seconds after it"""


class RouterView(Struct, frozen=True, kw_only=True):
    """One virtual router. ``until`` and ``persistent`` are filled in by the control side."""

    name: str
    vrid: int
    role: str
    """``initialize``, ``backup`` or ``active``"""
    priority: int
    """the effective one"""
    explanation: str
    """the priority as a sum"""
    addresses: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    """those of its addresses that adverts do not list"""
    prefixes: tuple[str, ...] = ()
    """what is announced for them"""
    bound: bool
    """whether its addresses are wanted on lo"""
    level: str | None
    """``active``, ``standby`` or ``leaving``: how ExaBGP has accepted to announce its addresses; None: not at all"""
    drained: bool
    """whether it has been told to stay out"""
    interval: float | None = None
    """seconds between its adverts"""
    preempt: bool | None = None
    """whether it takes over from an Active with a lower priority, after ``preempt_delay`` seconds"""
    preempt_delay: float = 0.0
    standby: bool = False
    """whether it binds and announces its addresses as a Backup, too"""
    min_sessions: int | None = None
    """BGP sessions that it needs"""
    window: float | None = None
    """seconds that a peer's clock may differ from ours; None: authentication is off, or not known"""
    wanted: str | None = None
    """how they are to be announced, in the same words"""
    accepted: bool = True
    """whether ExaBGP has carried out what is wanted"""
    untold: tuple[str, ...] = ()
    """neighbors whose session is up, and to which ExaBGP does not send our routes"""
    kept_by: tuple[str, ...] = ()
    """neighbors to which ExaBGP still announces a prefix that it has withdrawn from others, and cannot withdraw it"""
    faults: tuple[str, ...] = ()
    """why it cannot serve, a sentence each"""
    holds: tuple[str, ...] = ()
    """what it waits for before it takes part, a sentence each"""
    remarks: tuple[str, ...] = ()
    """what else is wrong with the node, a sentence each"""
    outcome: Outcome = Outcome.SERVING
    until: datetime | None = None
    """when the drain ends by itself"""
    persistent: bool = False
    """whether the drain outlives a restart"""
    family: int | None = None
    """4 or 6"""
    source: str | None = None
    """the address that its adverts come from"""
    transport: str = "routed"
    """how they go to its peers: ``routed``, or ``unicast`` or ``multicast`` on one interface"""
    group: str | None = None
    since: Moment | None = None
    """when it entered the state that it is in"""
    configured: int | None = None
    """the priority before any check; with the amounts of ``terms`` the effective one, but for clamping and the group"""
    terms: tuple[TermView, ...] = ()
    active: str | None = None
    """the address of the Active, ours or a peer's, by its adverts; None: no advert arrives"""
    down_interval: float | None = None
    """seconds without an advert of the Active after which it takes over, as a Backup (Active_Down_Interval)"""
    peers: tuple[PeerView, ...] = ()
    replaceable: bool | None = None
    """whether any peer is ready to take over, by its beacons; None: none is, but of some it is not known"""
    on_lo: tuple[AddressView, ...] = ()
    routes: tuple[RouteView, ...] = ()
    binds: bool = True
    """whether its addresses are bound while it serves; if not, that is a matter of others"""
    announces: bool = True
    """whether anything is announced while it serves"""
    adverts: dict[str, int] = {}
    """``sent``, ``received`` (copies) … → how many"""
    transitions: dict[str, dict[str, int]] = {}
    """state → reason → how often it was entered for it"""
    last: tuple[TransitionView, ...] = ()
    """the last transitions, the latest first"""


class SessionView(Struct, frozen=True, kw_only=True):
    """One BGP session of ExaBGP's configuration, by both its ends, up or not."""

    peer: str
    """the neighbor's address"""
    local: str | None
    """ours; None: not known, as with ``local-address auto`` where ExaBGP does not tell it"""
    up: bool | None
    """whether it is Established; None: unknown, as ExaBGP does not answer"""
    told: bool | None = None
    """whether the neighbor gets our routes; None: unknown, while the session is not up or not tested"""
    counts_for: tuple[str, ...] = ()
    """the virtual routers that count it now (``min_sessions``), in the order of the configuration"""
    families: tuple[int, ...] | None = None
    """4 (IPv4 unicast) and 6, as negotiated; None: unknown, as it was never up"""
    since: Moment | None = None
    """when it came up or went down last; None: not since the agent began"""


class CheckView(Struct, frozen=True, kw_only=True):
    """One check that any router names."""

    name: str
    verdict: str
    """``unknown``, ``passing`` or ``failing``"""
    against: int = 0
    """results in a row that contradict the verdict"""
    needed: int
    """how many of these in a row change it (``rise``, or ``fall``)"""
    since: Moment | None = None
    """when it came to this verdict"""
    at: Moment | None = None
    """when the last result came. This and the next three are None without a result"""
    seconds: float | None = None
    """seconds that it took"""
    detail: str = ""
    value: int | None = None
    """the number that came with it"""
    passed: int = 0
    """results that have"""
    failed: int = 0
    timeouts: int = 0
    """those of them that were not done within its timeout"""
    distrusted: str | None = None
    """why its program is not run any more, and its last result stands"""
    routers: tuple[str, ...] = ()
    """that name it, in the order of the configuration"""


class LinkView(Struct, frozen=True, kw_only=True):
    """What was sent from one source to one peer through one interface."""

    peer: str
    interface: str
    """empty: the kernel's choice"""
    sent: int = 0
    """copies"""
    failed: dict[str, int] = {}
    """error such as ``ENETUNREACH`` → copies that were not sent"""


class SourceView(Struct, frozen=True, kw_only=True):
    """What the sockets of one source address have counted, for all routers that use it."""

    source: str
    links: tuple[LinkView, ...] = ()
    received: int = 0
    """packets read, rejected ones included"""
    receive_errors: dict[str, int] = {}
    """error → failed reads"""
    overflowed: int = 0
    """packets of peers that found no room in the receive buffer (wraps at 2³²)"""
    unread: int = 0
    """packets of non-peers beyond those that were looked at (wraps at 2³²)"""


class ExaBGPView(Struct, frozen=True, kw_only=True):
    """The BGP speaker."""

    version: str | None = None
    """None: not known yet"""
    answers: bool = True
    answer_seconds: float | None = None
    """seconds that it took for its last answer; None: there was none"""


class Lateness(Struct, frozen=True, kw_only=True):
    """How late the node's alarm rang in the last hour."""

    alarms: int
    late: int
    """those of them that rang later than ``turns.LATE``"""
    maximum: float | None = None
    """seconds; None: no alarm rang"""


class View(Struct, frozen=True, kw_only=True):
    """A node at one moment (``now``): its configuration, the state of each router with its priority, faults and holds,
    what is bound and announced, its drain, sessions and checks. Where adverts go out while it is made, counters, ages
    and what is known of peers may be older by as long as that takes, some ten milliseconds."""

    now: Moment | None = None
    began: Moment | None = None
    """when the agent began"""
    routers: tuple[RouterView, ...]
    """in the order of the configuration"""
    sessions: tuple[SessionView, ...] = ()
    """sorted by the neighbor's address and then ours"""
    checks: tuple[CheckView, ...] = ()
    sources: tuple[SourceView, ...] = ()
    notified: dict[str, dict[str, int]] = {}
    """router, or path of a FIFO or socket → ``done``, ``failed``, ``written``, ``dropped`` → how many"""
    rejected: dict[str, int] = {}
    """reason → adverts that were not accepted"""
    refused: dict[str, dict[str, int]] = {}
    """peer → reason → those of them that authentication has rejected: replays, wrong keys and clocks"""
    beacons: dict[str, int] = {}
    """reason → beacons that were not accepted"""
    exabgp: ExaBGPView | None = None
    lateness: Lateness | None = None
    differs: bool | None = None
    """whether the configuration on disk is another one than that in force; None: unknown"""
