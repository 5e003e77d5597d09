"""What a seed makes of the world: how many nodes, how they are configured, and how well their clocks go.

A ``Shape`` is drawn once, before anything happens. The configuration of each node is text as an operator would write
it, and goes through the product's own loader: attributes and route policies are what that makes of it.
"""

import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from random import Random

from exavrrp.config import Configuration, load
from exavrrp.neighbors import Session

NAMES = {6: "web", 4: "web4"}
WIDE = {6: "2001:db8:53::/64", 4: "192.0.2.52/30"}
"""prefixes around them"""
VIPS = {6: ("2001:db8:53::1", "2001:db8:53::2"), 4: ("192.0.2.53", "192.0.2.54")}

MODES: tuple[tuple[str | None, ...], ...] = (
    (None,),
    (None,),
    (None,),
    ("enforce",),
    ("enforce",),
    ("permissive", "enforce"),
    ("receive-only", "permissive"),
    (None, "receive-only"),
)
"""Those that nodes can be in at the same time, while authentication is introduced."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it is configured."""

    name: str
    sources: dict[int, str]
    """family → own address"""
    priority: int
    interval: float
    start: float
    """what its monotonic clock shows at the beginning"""
    rate: float
    """seconds that its clock counts in one second"""
    offset: float
    """seconds that its time of day is wrong"""
    exabgp: str
    """the version of its ExaBGP"""
    mode: str | None
    """how it authenticates; None: not at all"""
    key: int
    """the one that it signs with"""


@dataclass(frozen=True)
class Shape:
    """Everything that a seed decides beforehand."""

    nodes: tuple[Node, ...]
    paths: int
    """between each pair of nodes, and in each direction; one router of the fabric for each"""
    families: tuple[int, ...]
    """of the virtual routers: one alone, or two that move together"""
    addresses: int
    """of each virtual router"""
    unlisted: bool
    """whether its adverts list the first one only"""
    wide: bool
    """whether a prefix around its addresses is announced in place of their host routes"""
    preempt: bool
    preempt_delay: float
    down_count: int
    orderly: bool
    """break before make"""
    hold: float
    linger: float
    ceiling: float
    standby: bool
    prebind: bool
    """whether a Backup is bound, and announces nothing"""
    takeover: tuple[str, ...]
    stale_for: float
    internal: bool
    """iBGP"""
    min_sessions: int
    startup_hold: float
    startup_delay: float
    checksum: str
    window: int
    """seconds that clocks may differ, where adverts are signed"""
    delay: float
    """seconds that a packet takes at least"""
    lateness: float
    """seconds that a process comes late at most"""
    routers_hold: float
    """seconds until routers forget a silent neighbor"""
    convergence: float
    """seconds until a router acts upon an UPDATE"""
    alike: bool
    """whether all routers of the fabric are neighbors of the same address"""
    apart: bool
    """whether each session has a next hop of its own"""

    @property
    def interval(self) -> float:
        """The longest of all."""
        return max(node.interval for node in self.nodes)

    @property
    def guarded(self) -> bool:
        """Whether all nodes accept only what is signed."""
        return all(node.mode == "enforce" for node in self.nodes)

    @cached_property
    def neighbors(self) -> list[tuple[Session, ...]]:
        """The sessions to each router, one for each family."""
        texts = {6: "2001:db8:0:{}::{}", 4: "198.51.100.{}{}"}

        def session(family: int, router: int) -> Session:
            peer = texts[family].format(1 if self.alike else router, 1)
            return Session(ip_address(peer), ip_address(texts[family].format(router, 2)))

        return [tuple(session(family, router) for family in self.families) for router in range(1, self.paths + 1)]

    def text(self, node: Node) -> str:
        """exavrrp.toml of ``node``."""
        peers = [one.sources[family] for one in self.nodes if one is not node for family in self.families]
        lines = [
            "[agent]",
            f"sources = {_list(node.sources.values())}",
            f"peers = {_list(peers)}",
            f"advert_interval = {node.interval}",
            f"down_count = {self.down_count}",
            f'ipv4_checksum = "{self.checksum}"',
            f"startup_delay = {self.startup_delay}",
        ]
        if node.mode is not None:
            lines.append('authentication = "nodes"')
        for family in self.families:
            lines += [
                f"[virtual_router.{NAMES[family]}]",
                "vrid = 7",
                f"priority = {node.priority}",
                f"addresses = {_list(VIPS[family][: 1 if self.unlisted else self.addresses])}",
                f"unlisted_addresses = {_list(VIPS[family][1 : self.addresses] if self.unlisted else [])}",
                'checks = ["fit", "worth"]',
                f'handover = "{"break-before-make" if self.orderly else "make-before-break"}"',
                f"handover_hold = {self.hold}",
                f"linger = {self.linger}",
                f"handover_ceiling = {self.ceiling}",
                f"min_sessions = {self.min_sessions}",
                f"startup_hold = {self.startup_hold}",
                f'standby = "{"announce" if self.standby else "withdraw"}"',
                f"prebind = {str(self.prebind).lower()}",
            ]
            if node.priority != 255:  # the owner always preempts, at once
                lines += [f"preempt = {str(self.preempt).lower()}", f"preempt_delay = {self.preempt_delay}"]
            if len(self.families) > 1:
                lines.append('group = "web"')
            lines.append(f"[virtual_router.{NAMES[family]}.bgp]")
            if self.takeover != ("med",):  # the default
                lines.append(f"takeover = {_list(self.takeover)}")
            if self.apart:
                sessions = [one for router in self.neighbors for one in router if one.peer.version == family]
                own = [f'"{one}" = "{one.local}"' for one in sessions]
                lines.append(f"next_hop = {{ {', '.join(own)} }}")
            if self.wide:
                lines.append(f'announce = ["{WIDE[family]}"]')
            if self.takeover not in ((), ("med",)):
                lines.append(f"stale_for = {self.stale_for}")
        if node.mode is not None:
            lines += [
                "[authentication.nodes]",
                f'mode = "{node.mode}"',
                f"window = {self.window}",
                f"active_key = {node.key}",
                f'keys = {{ 1 = {{ hex = "{"5a" * 32}" }}, 7 = {{ hex = "{"c3" * 48}" }} }}',
            ]
        lines += [
            "[check.fit]",
            'file = "/run/fit"',
            "rise = 1",
            "fall = 1",
            "[check.worth]",
            'file = "/run/worth"',
            "rise = 1",
            "fall = 1",
            "weight = -40",
            'initial = "pass"',
        ]
        return "\n".join(lines) + "\n"

    def configuration(self, node: Node) -> Configuration:
        """What the product makes of it."""
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(self.text(node))
            file.flush()
            return load(Path(file.name))

    def summary(self) -> str:
        """For the head of a transcript."""
        nodes = ", ".join(f"{one.name} {one.priority} every {one.interval:g}s" for one in self.nodes)
        options = [
            "preempt" if self.preempt else "no preempt",
            f"delay {self.preempt_delay:g}s",
            f"down after {self.down_count}",
            "break before make" if self.orderly else "make before break",
            f"hold {self.hold:g} linger {self.linger:g} ceiling {self.ceiling:g}",
            "standby" if self.standby else "bound beforehand" if self.prebind else "no standby",
            f"takeover {'+'.join(self.takeover) or 'plain'}",
            f"stale_for {self.stale_for:g} hold time {self.routers_hold:g}",
            "iBGP" if self.internal else "eBGP",
            "routers called alike" if self.alike else "routers called apart",
            "a next hop for each" if self.apart else "next hop self",
            f"{self.paths} paths, families {self.families}, {self.addresses} addresses each",
            f"{'the first' if self.unlisted else 'all'} in adverts, {'a prefix' if self.wide else 'host routes'}",
            f"min_sessions {self.min_sessions}",
            f"authentication {', '.join(str(one.mode) for one in self.nodes)}, window {self.window}",
        ]
        return f"{nodes}; {', '.join(options)}"


def draw(random: Random, seed: object) -> Shape:
    """One shape of very many."""
    own = Random(f"prebind {seed}")  # of its own: seeds without it are the histories they were
    count = random.choices((2, 3, 4), (50, 35, 15))[0]
    families = random.choice(((6,), (4,), (6,), (6, 4)))
    interval = random.choices((1.0, 0.1, 0.3, 3.0, 0.05, 0.01), (40, 22, 20, 10, 5, 3))[0]
    preempt = random.random() < 0.7
    orderly = random.random() < 0.3
    paths = random.choices((2, 3), (80, 20))[0]
    takeover: tuple[str, ...] = random.choice(((), ("med",), ("prepend",), ("med", "prepend")))
    stale_for = max(1.0, random.choice((4, 10, 20)) * interval, 3.0 * random.random())
    if random.random() < 0.05 and interval >= 0.3:
        stale_for = 180.0
    hold = random.choice((0.0, 0.2, 1.0, 2.0))
    if internal := random.random() < 0.3:
        takeover = tuple("local-preference" if one == "prepend" else one for one in takeover)
    return Shape(
        nodes=_nodes(random, count, families, interval),
        paths=paths,
        families=families,
        addresses=random.choice((1, 1, 2)),
        preempt=preempt,
        preempt_delay=random.choice((0.0, 0.0, 0.5 * interval, 2.0 * interval, 5.0 * interval)) if preempt else 0.0,
        down_count=random.choices((3, 2, 5), (70, 20, 10))[0],
        orderly=orderly,
        hold=hold,
        linger=random.choice((0.0, 0.5, 2.0)),
        ceiling=max(1.0, hold, interval * random.choice((5, 8)), random.choice((0.0, 0.0, 30.0))),
        standby=(standby := not orderly and random.random() < 0.3),
        prebind=not (orderly or standby) and own.random() < 0.2,
        takeover=takeover,
        stale_for=round(stale_for, 2),
        internal=internal,
        min_sessions=random.choice((0, 1, 1, paths)),
        startup_hold=random.choice((1.0, 3.0, 10.0)),
        startup_delay=Random(f"startup delay {seed}").choice((0.0, 0.0, 0.0, 2.0)),
        window=max(math.ceil(3 * interval), random.choice((1, 5))),
        checksum=random.choice(("pseudo-header", "rfc9568")),
        delay=min(random.choice((0.0001, 0.001, 0.01)), interval / 20),
        lateness=random.choice((0.0, 0.001, 0.01, interval / 10)) if interval > 0.05 else 0.0005,
        routers_hold=round(stale_for * random.uniform(0.3, 1.0), 2),
        convergence=random.choice((0.002, 0.05)),  # BIRD's, and FRR's bgpd
        unlisted=random.random() < 0.2,
        wide=random.random() < 0.2,
        alike=random.random() < 0.2,
        apart=random.random() < 0.2,
    )


def _nodes(random: Random, count: int, families: tuple[int, ...], interval: float) -> tuple[Node, ...]:
    match random.random():
        case one if one < 0.7:
            priorities = random.sample(range(50, 255), count)
        case one if one < 0.85:
            priorities = [100] * count
        case one if one < 0.95:
            priorities = [random.choice((1, 99, 100, 101, 254)) for _ in range(count)]
        case _:
            priorities = [255, *random.sample(range(50, 255), count - 1)]
    ends = {family: random.sample(range(11, 11 + count), count) for family in families}
    texts = {6: "2001:db8:ff::{}", 4: "192.0.2.{}"}
    drift = random.choice((0.0, 1e-4, 0.01))
    wrong = random.choice((0.0, 0.5, 100.0))
    unequal = random.random() < 0.1
    modes = random.choice(MODES)
    return tuple(
        Node(
            name=f"node{number + 1}",
            sources={family: texts[family].format(ends[family][number]) for family in families},
            priority=priorities[number],
            interval=round(interval * random.choice((1, 1, 2, 3)), 2) if unequal else interval,
            start=random.uniform(0, 1e6),
            rate=1.0 + drift * random.uniform(-1, 1),
            offset=wrong * random.uniform(-1, 1),
            exabgp=random.choice(("4.2.25", "5.0.15")),
            mode=random.choice(modes),
            key=random.choice((1, 7)),
        )
        for number in range(count)
    )


def _list(values: object) -> str:
    assert hasattr(values, "__iter__")
    return "[" + ", ".join(f'"{one}"' for one in values) + "]"
