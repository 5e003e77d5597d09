"""``vrrp_instance`` → [virtual_router.NAME]."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from exavrrp.config.foreign import KEEPALIVED
from exavrrp.keepalived import addresses
from exavrrp.keepalived.authentications import Authentications
from exavrrp.keepalived.checks import TRACKED, Checks, Lines, Weights, command
from exavrrp.keepalived.ledger import (
    Ledger,
    Verdict,
    braced,
    nothing,
    number,
    other,
    overridden,
    printable,
    same,
    whole,
)
from exavrrp.keepalived.nearest import nearest
from exavrrp.keepalived.reading import Directive
from exavrrp.vrrp.packet import OWNER, Address

NOTIFIES = {
    "notify_master": "notify_active",
    "notify_backup": "notify_backup",
    "notify_fault": "notify_fault",
    "notify_stop": "notify_stop",
    "notify": "notify",
}

GLUE = "take it out if it announces or withdraws these addresses, which is done already"
"""Of a notify program, or what reads a FIFO: keepalived needs it for BGP, and here it would withdraw our own route."""

ALWAYS = frozenset(
    (
        *("enable_script_security", "set_supplementary_groups", "dynamic_interfaces", "log_unknown_vrids"),
        *("check_unicast_src", "vrrp_check_unicast_src", "track_src_ip", "unicast_fault_no_peer", "native_ipv6"),
        *("accept", "promote_secondaries", "timer_expired_backup"),
    )
)
"""What exavrrp does without being told."""

LISTS = frozenset(("virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_peer", *TRACKED))
BLOCKS = frozenset(("virtual_routes", "virtual_rules", *LISTS))
"""What may stand more than once."""

Sources = Mapping[tuple[str, int], str]
"""This node's addresses that adverts come from, where the file does not say: by interface and family."""


@dataclass(slots=True)
class Defaults:
    """What ``global_defs`` says of every router."""

    version: int = 2
    down_count: int | None = None
    notify_fifo: str | None = None


@dataclass(slots=True)
class Group:
    """``vrrp_sync_group``."""

    directive: Directive
    name: str
    members: list[str]
    """names of ``vrrp_instance``"""
    weighted: bool
    """whether weights of its members count (``sync_group_tracking_weight``)"""


@dataclass(slots=True)
class Router:
    """One virtual router, as it is going to stand in the file."""

    name: str
    lines: Lines = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """keys whose values are not known: what they are"""
    checks: list[str] = field(default_factory=list)
    family: int = 4


@dataclass(frozen=True, slots=True)
class Around:
    """What virtual routers share."""

    ledger: Ledger
    checks: Checks
    authentications: Authentications
    defaults: Defaults
    sources: Sources
    on_link: bool
    """whether addresses stay on the interfaces on which keepalived has them, and nothing is announced"""


class Instance:
    """Reads one block."""

    def __init__(self, block: Directive, router: Router, group: Group | None, around: Around) -> None:
        self._block, self._router, self._group = block, router, group
        self._ledger, self._checks, self._authentications = around.ledger, around.checks, around.authentications
        self._defaults, self._sources, self._on_link = around.defaults, around.sources, around.on_link
        self._again = overridden(block.children, BLOCKS)
        opposites = [child for child in block.children if child.name in ("preempt", "nopreempt")]
        for one in opposites[:-1]:
            self._again[one] = opposites[-1]
        self._words = {child.name: child for child in block.children}
        """the last of each"""
        self._version, self._priority = 3, 100
        self._family: int | None = None

    def read(self) -> bool:
        """Fill in the router; false if there can be none. Then each directive of the block has its entry."""
        router, block = self._router, self._block
        braced(self._ledger, block.children, LISTS)
        virtual = addresses.Virtual(self._ledger, self._text("interface"), self._on_link)
        for name in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
            for child in block.children:
                if child.name == name:
                    virtual.take(child)
        if not virtual.listed:
            self._ledger.left(block, "has no address that can be taken over, and each virtual router needs one")
            return False
        virtual.note()
        named = f"[virtual_router.{router.name}]"
        if block.words[1] == router.name:
            self._ledger.note(block, same(named))
        else:
            self._ledger.note(
                block, other(f"{named}: names are of a-z, 0-9, _, - and .; notify programs get INSTANCE {router.name}")
            )
        router.family = self._family = virtual.listed[0].version
        self._elect()
        router.lines["addresses"] = virtual.texts(virtual.listed)
        if virtual.unlisted:
            router.lines["unlisted_addresses"] = virtual.texts(virtual.unlisted)
        if virtual.preferred:
            router.lines["preferred_lifetime"] = "forever"
        if virtual.bind is not None:
            router.lines |= {"bind": virtual.bind, "announce": False}
        self._carry()
        for child in block.children:
            self._one(child)
        if self._group is not None:
            router.lines["group"] = self._group.name
        if self._defaults.notify_fifo is not None:
            router.lines["notify_fifo"] = self._defaults.notify_fifo
        return True

    def _text(self, name: str) -> str | None:
        """The first word behind a keyword."""
        found = self._words.get(name)
        return found.words[1] if found is not None and len(found.words) > 1 else None

    def _lasts(self, name: str) -> bool:
        """Whether a keyword is there and in effect."""
        found = self._words.get(name)
        return found is not None and found not in self._again

    def _counts(self, name: str) -> Directive | None:
        found = self._words.get(name)
        return None if found is None or self._ledger.knows(found) else found

    def _elect(self) -> None:
        """VRID, version and priority, which other keywords depend on."""
        lines = self._router.lines
        vrid = self._counts("virtual_router_id")
        if vrid is None:
            self._ledger.fault(self._block, "has no virtual_router_id; write one")
        else:
            lines["vrid"] = whole(self._ledger, vrid, 1, 255)
            self._ledger.note(vrid, same(f"vrid = {lines['vrid']}"))
        self._version = self._defaults.version
        if (version := self._counts("version")) is not None:
            self._version = whole(self._ledger, version, 2, 3) or 3
            if self._family == 6 and self._version == 2:
                self._ledger.note(version, other("version 3, the only one for IPv6, as keepalived has it"))
            else:
                self._ledger.note(version, same(f"version = {self._version}"))
        self._version = 3 if self._family == 6 else self._version
        if self._version == 2:
            lines["version"] = 2
        if (priority := self._counts("priority")) is not None:
            self._priority = whole(self._ledger, priority, 1, 255) or 100
            self._ledger.note(priority, same(f"priority = {self._priority}"))
            lines["priority"] = self._priority
        elif self._text("state") == "MASTER":  # measured
            lines["priority"] = self._priority = OWNER

    def _carry(self) -> None:
        """How adverts travel, and where they come from."""
        lines, interface = self._router.lines, self._text("interface")
        # Without peers keepalived falls back to multicast, unless it is told not to (measured).
        unicast = any(name in self._words for name in ("unicast_peer", "unicast_fault_no_peer"))
        if interface is not None:
            lines |= {"transport": "unicast" if unicast else "multicast", "interface": interface}
            if interface != "lo" and "dont_track_primary" not in self._words:
                self._router.checks.append(self._checks.interface(interface))
        elif not unicast:
            self._ledger.fault(self._block, "has no interface, which multicast needs; write one")
        source = self._own_source()
        if source is not None:
            lines["source"] = source
        elif interface is not None:
            known = self._sources.get((interface, self._family or 4)) or self._sources.get(("", self._family or 4))
            if known is not None:
                lines["source"] = known
            else:
                kind = "link-local" if self._family == 6 and not unicast else f"IPv{self._family}"
                self._router.missing["source"] = f"this node's {kind} address on {interface} (or give --source)"
        found: list[Address] = []
        for child in self._block.children:
            if child.name == "unicast_peer":
                found += [one for one in addresses.peers(self._ledger, child) if one not in found]
        if found:
            lines["peers"] = [str(one) for one in found]

    def _own_source(self) -> str | None:
        """``mcast_src_ip`` and ``unicast_src_ip`` are one setting there: the last counts."""
        said = [child for child in self._block.children if child.name in ("mcast_src_ip", "unicast_src_ip")]
        for child in said[:-1]:
            self._ledger.left(child, f"{said[-1].name} of {said[-1].place} counts in its place")
        if not said:
            return None
        address = addresses.own(self._ledger, said[-1], " ".join(said[-1].arguments))
        if address is None:
            return None
        self._ledger.note(said[-1], same(f'source = "{address}"'))
        return str(address)

    def _one(self, child: Directive) -> None:
        """Any other directive."""
        if self._ledger.knows(child):
            return
        if child in self._again:
            self._ledger.left(child, f"{self._again[child].place} counts in its place")
        elif child.name in TRACKED:
            self._track(child)
        elif child.name in ("authentication", "auth_hmac"):
            self._authenticate(child)
        elif child.name in NOTIFIES:
            self._ledger.note(child, notified(self._ledger, child, self._router, child.name))
        else:
            verdict = self._said(child)
            if verdict is not None:
                self._ledger.note(child, verdict)
            else:
                self._ledger.left(child, nearest(child.name, "virtual_router"))

    def _said(self, child: Directive) -> Verdict | None:
        name = child.name
        if name in ALWAYS:
            return same(KEEPALIVED[name].remark)
        reader = {
            "interface": self._interface,
            "state": self._state,
            "advert_int": self._interval,
            "down_timer_adverts": self._patience,
            "nopreempt": self._nopreempt,
            "preempt_delay": self._preempt_delay,
            "unicast_ttl": self._ttl,
            "mcast_dst_ip": multicast,
        }.get(name)
        if reader is not None:
            return reader(child)
        match name:
            case "preempt":
                return same("preempt = true, the default")
            case "dont_track_primary":
                return same("there is no check of its interface")
        return None

    def _interface(self, child: Directive) -> Verdict:
        interface = child.words[1] if len(child.words) == 2 else ""
        if not interface:
            self._ledger.fault(child, "names no interface, or several; write one")
            return nothing("")
        tracked = [name for name in self._router.checks if self._checks.tables[name].get("interface") == interface]
        watched = f', with the check "{tracked[0]}": in fault while it is down, as in keepalived' if tracked else ""
        return same(f"interface{watched}")

    def _state(self, child: Directive) -> Verdict:
        if child.arguments not in (("MASTER",), ("BACKUP",)):
            self._ledger.fault(child, "holds no state; write MASTER or BACKUP")
        if child.arguments == ("MASTER",) and "priority" not in self._words:
            return other("priority = 255, the owner of the addresses, as keepalived has it where none is written")
        if child.arguments == ("MASTER",) and self._priority != OWNER:
            return other("every node starts as Backup, and the highest priority serves: check that it is this node's")
        return same("every node starts as Backup, but for priority 255, and the highest priority serves")

    def _interval(self, child: Directive) -> Verdict:
        seconds = number(self._ledger, child, 0.01, 40.95)
        if seconds is None:
            return nothing("")
        if self._version == 2:
            rounded = float(max(1, math.floor(seconds + 0.5)))
        else:
            rounded = max(1, math.floor(seconds * 100 + 0.5)) / 100
        self._router.lines["advert_interval"] = rounded
        told = f"advert_interval = {rounded}"
        return same(told) if rounded == seconds else other(f"{told}, as keepalived rounds it, too")

    def _patience(self, child: Directive) -> Verdict:
        count = whole(self._ledger, child, 1, 100) or 3
        self._router.lines["down_count"] = max(2, count)
        return same(f"down_count = {count}") if count > 1 else other("down_count = 2, the least that there is")

    def _nopreempt(self, _: Directive) -> Verdict:
        if self._priority == OWNER:
            return nothing("priority 255 always preempts, in keepalived, too")
        if self._text("state") == "MASTER":
            return nothing("keepalived clears it where state is MASTER; write preempt = false if it is meant")
        self._router.lines["preempt"] = False
        return same("preempt = false")

    def _preempt_delay(self, child: Directive) -> Verdict:
        seconds = number(self._ledger, child, 0, 1000)
        if self._text("state") == "MASTER" or self._priority == OWNER:
            return nothing("keepalived clears it where state is MASTER or priority 255")
        if self._lasts("nopreempt"):
            return nothing("nopreempt preempts nobody, and keepalived resets it, too")
        self._router.lines["preempt_delay"] = seconds
        return other(f"preempt_delay = {seconds}, from a lower priority alone: at the start it delays nothing")

    def _ttl(self, child: Directive) -> Verdict:
        said = child.arguments == ("255",)
        return same("always 255") if said else other("adverts leave with a hop limit of 255: check who filters them")

    def _track(self, block: Directive) -> None:
        weights = Weights.ALL if self._group is None or self._group.weighted else Weights.MEMBER
        if self._priority == OWNER:
            weights = Weights.OWNER
        self._ledger.note(block, same("checks"))
        for use in block.children:
            name = self._checks.use(use, block.name, weights, self._text("interface"))
            if name is not None and name in self._router.checks:
                name = None
            if name is not None:
                self._router.checks.append(name)

    def _authenticate(self, block: Directive) -> None:
        if block.name == "authentication":
            password = self._authentications.password(block, self._version)
            if password is not None:
                self._router.lines["plain_password"] = password
            return
        name = self._authentications.signed(block, self._router.name, self._version)
        if name is not None:
            self._router.lines["authentication"] = name


def multicast(child: Directive) -> Verdict:
    """A multicast group."""
    if child.arguments in (("224.0.0.18",), ("ff02::12",)):
        return same("it is the only one")
    return nothing("adverts go to 224.0.0.18 or ff02::12, always: change it on the nodes that stay before you begin")


def notified(ledger: Ledger, child: Directive, router: Router, name: str) -> Verdict:
    """A notify program of a router."""
    words = command(ledger, child)
    if words is None:
        return nothing("")
    key, by = NOTIFIES[name], ""
    if not words[0].startswith("/"):
        words, by = ("/bin/sh", "-c", 'exec "$0" "$@"', *words), ", found by /bin/sh in PATH"
    router.lines[key] = list(words)
    who = f", not as {printable(child.words[2])}" if len(child.words) > 2 else ""
    return other(
        f"{key}{by}: runs as ExaBGP's user without capabilities{who}, and after the program before it has ended:"
        f" check that it needs no right to change the network; {GLUE}"
    )
