"""A whole keepalived.conf → the tables of an exavrrp.toml, and what has become of each directive."""

import re
from dataclasses import dataclass

from exavrrp.config.foreign import KEEPALIVED
from exavrrp.config.toml import quoted, toml
from exavrrp.keepalived.authentications import Authentications
from exavrrp.keepalived.checks import GROUPS, ROOT_ALONE, TRACKED, Checks, Lines, Weights
from exavrrp.keepalived.instances import (
    ALWAYS,
    GLUE,
    NOTIFIES,
    Around,
    Defaults,
    Group,
    Instance,
    Router,
    Sources,
    multicast,
    notified,
)
from exavrrp.keepalived.ledger import (
    Entry,
    Ledger,
    Verdict,
    braced,
    nothing,
    number,
    other,
    overridden,
    printable,
    same,
    says_yes,
    shown,
    whole,
)
from exavrrp.keepalived.names import Names
from exavrrp.keepalived.nearest import nearest
from exavrrp.keepalived.reading import Directive, Fault, Place, Reading, Unreadable, visible
from exavrrp.vrrp.packet import OWNER

EMPTY = "has no vrrp_instance that can be imported; exavrrp holds elections, and nothing else"
_CHECKS = ("vrrp_script", "vrrp_track_process", "vrrp_track_file", "track_file")


@dataclass(frozen=True, slots=True)
class Imported:
    """What comes of a keepalived.conf."""

    toml: str
    """exavrrp.toml"""
    entries: tuple[Entry, ...]
    """one for each directive, in the order of the file"""
    routers: tuple[Router, ...]
    secrets: tuple[str, ...]
    """what stands in ``toml`` and must not be shown"""

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(key, what it is): values that no keepalived.conf knows."""
        return tuple(
            (f"virtual_router.{_key(one.name)}.{key}", what)
            for one in self.routers
            for key, what in one.missing.items()
        )


def translated(reading: Reading, sources: Sources, *, on_link: bool = False) -> Imported:
    """The configuration that means the same; raises Unreadable with every mistake that keepalived would guess at.

    ``on_link``: addresses stay on the interfaces on which keepalived has them, and are not announced; else they are on
    lo, and announced.
    """
    return _Translation(reading, sources, on_link=on_link).done()


class _Translation:
    def __init__(self, reading: Reading, sources: Sources, *, on_link: bool) -> None:
        self._reading = reading
        self._ledger = Ledger()
        self._agent: Lines = {}
        self._defaults = Defaults()
        self._checks = Checks(self._ledger)
        self._authentications = Authentications(self._ledger)
        self._around = Around(self._ledger, self._checks, self._authentications, self._defaults, sources, on_link)
        self._groups: list[Group] = []
        self._routers: dict[str, Router] = {}
        """by the name of their vrrp_instance"""

    def done(self) -> Imported:
        top = self._reading.directives
        for block in top:
            if block.name == "global_defs":
                self._globals(block)
        for block in top:
            if block.name in _CHECKS:
                self._checks.define(block)
        group_names = Names()
        for block in top:
            if block.name == "vrrp_sync_group":
                self._group(block, group_names)
        self._instances([block for block in top if block.name == "vrrp_instance"])
        for group in self._groups:
            self._move_together(group)
        self._checks.finish()
        for block in top:
            if not self._ledger.knows(block):
                self._ledger.left(block, nearest(block.name, "root"))
        self._ledger.finish(top)
        self._asides()
        for router in self._routers.values():
            if router.checks:
                router.lines["checks"] = router.checks
        if not self._routers and not self._ledger.faults:
            raise Unreadable([Fault(Place(self._reading.file, 1), EMPTY)])
        if self._ledger.faults:
            raise Unreadable(sorted(self._ledger.faults, key=lambda fault: fault.place))
        routers = tuple(self._routers.values())
        return Imported(
            self._written(routers), tuple(self._ledger.entries), routers, tuple(self._authentications.secrets)
        )

    # Outside of virtual routers

    def _globals(self, block: Directive) -> None:
        self._ledger.note(block, same("[agent], or each virtual router"))
        again = overridden(block.children, ())
        for child in block.children:
            if child in again:
                self._ledger.left(child, f"{again[child].place} counts in its place")
            elif (verdict := self._global(child)) is not None:
                self._ledger.note(child, verdict)
            else:
                self._ledger.left(child, nearest(child.name, "agent"))

    def _global(self, child: Directive) -> Verdict | None:
        if child.name in ALWAYS:
            return same(KEEPALIVED[child.name].remark)
        match child.name:
            case "vrrp_version":
                self._defaults.version = whole(self._ledger, child, 2, 3) or 2
                return same(f"version = {self._defaults.version} where a virtual router has none")
            case "vrrp_down_timer_adverts":
                count = whole(self._ledger, child, 1, 100) or 3
                self._defaults.down_count = max(2, count)
                self._agent["down_count"] = self._defaults.down_count
                return same(f"down_count = {count}") if count > 1 else other("down_count = 2, the least that there is")
            case "script_user":
                if not child.arguments:
                    self._ledger.fault(child, "names no user; write one")
                    return None
                self._checks.user = child.words[1]
                return other(
                    f"user = {quoted(child.words[1])} in each check with a program, {GROUPS}; {ROOT_ALONE};"
                    " notify programs run as ExaBGP's"
                )
            case "vrrp_notify_fifo" | "notify_fifo":
                return self._fifo(child)
            case "vrrp_mcast_group4" | "vrrp_mcast_group6":
                return multicast(child)
            case "vrrp_startup_delay":
                self._agent["startup_delay"] = seconds = number(self._ledger, child, 0, 86400)
                return same(f"startup_delay = {seconds}")
            case "vrrp_rt_priority":
                self._agent["scheduling"] = "realtime"
                return other('scheduling = "realtime", with priority 1')
            case "vrrp_no_swap" if says_yes(child):
                self._agent["lock_memory"] = True
                return same("lock_memory = true")
            case "v3_checksum_as_v2" if says_yes(child):
                self._agent["ipv4_checksum"] = "rfc9568"
                return same('ipv4_checksum = "rfc9568"')
        return None

    def _fifo(self, child: Directive) -> Verdict:
        if not child.arguments or not child.words[1].startswith("/"):
            return nothing("notify_fifo needs an absolute path")
        if self._defaults.notify_fifo is not None:
            return nothing(f"a virtual router has one notify_fifo, which is {printable(self._defaults.notify_fifo)}")
        self._defaults.notify_fifo = child.words[1]
        owner = "; its owner is ExaBGP's user" if len(child.words) > 2 else ""
        return other(
            f"notify_fifo of each virtual router: lines are of INSTANCE, with the names of here{owner}; {GLUE}"
        )

    def _asides(self) -> None:
        """Lines that are no directives: what they are for is in the others."""
        entries = self._ledger.entries
        for definition in self._reading.definitions:
            text = printable(f"${definition.name}=…")  # it may be a secret, or a part of one
            verdict = same(f"times used: {definition.used}") if definition.used else nothing("is used nowhere")
            entries.append(Entry(definition.place, text, *verdict))
        for place, text, told in self._reading.includes:
            entries.append(
                Entry(place, printable(text), *(nothing(told) if told else same("what it includes follows")))
            )
        for place, text in self._reading.skipped:
            there = nothing("is for other nodes: import it there, with their --id")
            hidden = re.sub(r"(\$\w+=).*", r"\1…", text)
            entries.append(Entry(place, shown((hidden,)), *there))
        entries.sort(key=lambda entry: entry.place)

    # Virtual routers

    def _instances(self, blocks: list[Directive]) -> None:
        names = Names()
        for block in blocks:
            if len(block.words) != 2:
                self._ledger.fault(block, "has no name, or several; write one")
                continue
            if block.words[1] in self._routers:
                self._ledger.fault(block, f"{printable(block.words[1])} is defined twice; remove one of the two")
                continue
            groups = [one for one in self._groups if block.words[1] in one.members]
            if len(groups) > 1:
                self._ledger.fault(
                    block, f"{printable(block.words[1])} is in several groups; remove it from all but one"
                )
            router = Router(names.new(block.words[1]))
            if Instance(block, router, groups[0] if groups else None, self._around).read():
                self._routers[block.words[1]] = router

    def _group(self, block: Directive, names: Names) -> None:
        if len(block.words) != 2:
            self._ledger.fault(block, "has no name, or several; write one")
            return
        members = [
            word for child in block.children if child.name == "group" for one in child.children for word in one.words
        ]
        braced(self._ledger, block.children, ("group", *TRACKED))
        weighted = any(child.name in ("sync_group_tracking_weight", "global_tracking") for child in block.children)
        self._groups.append(Group(block, names.new(block.words[1]), members, weighted))

    def _move_together(self, group: Group) -> None:
        """``vrrp_sync_group``: what is said of it holds for its members."""
        block, ledger = group.directive, self._ledger
        routers = [self._routers[name] for name in group.members if name in self._routers]
        if not routers:
            ledger.left(block, "has no member that is taken over")
            return
        ledger.note(block, same(f'group = "{group.name}" in each of its virtual routers'))
        again = overridden(block.children, ("group", *TRACKED))
        for child in block.children:
            if child in again:
                ledger.left(child, f"{again[child].place} counts in its place")
            elif child.name == "group":
                self._members(child)
            elif child.name in TRACKED:
                self._track(child, routers)
            elif child.name in NOTIFIES:
                ledger.note(child, self._notified(child, group, routers[0]))
            elif child.name in ("sync_group_tracking_weight", "global_tracking"):
                ledger.note(child, other("weights always count, and the least priority of the group is everybody's"))
            else:
                ledger.left(child, nearest(child.name, "virtual_router"))

    def _members(self, child: Directive) -> None:
        self._ledger.note(child, same("group"))
        for one in child.children:
            known = all(name in self._routers for name in one.words)
            told = same("group") if known else nothing("there is no such virtual router")
            self._ledger.note(one, told)

    def _track(self, block: Directive, routers: list[Router]) -> None:
        """What a group tracks holds for each member."""
        self._ledger.note(block, same("checks of each member"))
        owner = any(router.lines.get("priority") == OWNER for router in routers)
        weights = Weights.CLEARED if owner else Weights.ALL
        for use in block.children:
            name = self._checks.use(use, block.name, weights, None)
            for router in routers:
                if name is not None and name not in router.checks:
                    router.checks.append(name)

    def _notified(self, child: Directive, group: Group, router: Router) -> Verdict:
        """Programs of a group run for its first member, with which all others move."""
        key = NOTIFIES[child.name]
        if key in router.lines:
            return nothing(f"{router.name} has a {key} of its own, and a group has none: call one from the other")
        outcome, remark = notified(self._ledger, child, router, child.name)
        return outcome, f"{remark}; it gets INSTANCE {router.name}, not GROUP {printable(group.directive.words[1])}"

    # The file

    def _written(self, routers: tuple[Router, ...]) -> str:
        tables = [_table("agent", self._agent)]
        for router in routers:
            text = _table(f"virtual_router.{_key(router.name)}", router.lines)
            for key, what in router.missing.items():
                text += f'# {key} = "…"    # to fill in: {visible(what)}\n'
            tables.append(text)
        tables += [_table(f"check.{_key(name)}", lines) for name, lines in self._checks.tables.items()]
        for name, lines in self._authentications.tables.items():
            tables.append(_table(f"authentication.{_key(name)}", lines))
        return "\n".join(tables)


def _table(header: str, lines: Lines) -> str:
    return "".join([f"[{header}]\n", *(f"{key} = {toml(value)}\n" for key, value in lines.items())])


def _key(name: str) -> str:
    return quoted(name) if "." in name else name
