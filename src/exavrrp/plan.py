"""What a reload would change: the differences of two configurations, each with its class; pure.

Compared are effective values, with every default given. A virtual router is the same if its ``identity`` is: family,
VRID, source, transport and interface. A check is the same if it asks the same. So another name or another order is no
difference that anybody outside notices. Every difference names the routers that it concerns. What no difference names,
a reload does not touch (``roster``).

``ROUTER``, ``AGENT`` and ``CHECK`` say of which class each setting is. This file must not know who is Active, nor when
a plan may be carried out (``commands``).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from exavrrp.config import Authentication, Configuration, VirtualRouter
from exavrrp.fitness import same_checks, used_checks
from exavrrp.routes import Attributes
from exavrrp.takeover import Takeover
from exavrrp.virtual_address import VirtualAddress


class Effect(StrEnum):
    """What a difference does, the more, the later."""

    QUIET = "quiet"
    """nothing on the wire, in the kernel or in BGP"""
    SPEAKS = "speaks"
    """the next advert or beacon is another one, or a route is announced anew without a withdraw"""
    MOVES = "moves"
    """an address or a prefix comes or goes"""
    RESTARTS = "restarts"
    """only another process can have it"""


QUIET, SPEAKS, MOVES, RESTARTS = Effect

ROUTER: Mapping[str, Effect | None] = {
    "name": QUIET,
    "vrid": None,
    "version": SPEAKS,
    "transport": None,
    "priority": SPEAKS,
    "virtual_addresses": None,
    "announce": None,
    "source": None,
    "peers": None,
    "interfaces": SPEAKS,
    "preempt": QUIET,
    "preempt_delay": QUIET,
    "advert_interval": SPEAKS,
    "down_count": QUIET,
    "learned_interval_max": QUIET,
    "handover": QUIET,
    "handover_hold": QUIET,
    "linger": QUIET,
    "handover_ceiling": QUIET,
    "min_sessions": SPEAKS,
    "sessions_neighbors": SPEAKS,
    "sessions_weight": SPEAKS,
    "startup_hold": QUIET,
    "authentication": None,
    "plain_password": None,
    "checks": None,
    "group": None,
    "notify": QUIET,
    "notify_active": QUIET,
    "notify_backup": QUIET,
    "notify_fault": QUIET,
    "notify_stop": QUIET,
    "notify_fifo": QUIET,
    "notify_socket": QUIET,
    "notify_timeout": QUIET,
    "standby": SPEAKS,
    "prebind": MOVES,
    "route_policy": None,
    "stale_for": QUIET,
}
"""By the field of ``VirtualRouter``; None: it depends on the values, see ``_Differences``."""

AGENT: Mapping[str, Effect | None] = {
    "sources": None,
    "peers": None,
    "advert_interval": None,
    "interfaces": None,
    "ipv4_checksum": SPEAKS,
    "max_hops": QUIET,
    "down_count": None,
    "learned_interval_max": None,
    "log_format": QUIET,
    "state_directory": RESTARTS,
    "persistent_directory": RESTARTS,
    "control_group": RESTARTS,
    "scheduling": RESTARTS,
    "lock_memory": RESTARTS,
    "startup_delay": QUIET,
    "beacon": SPEAKS,
    "beacon_port": SPEAKS,
    "authentication": None,
}
"""By the field of ``Agent``; None: its routers have it already."""

CHECK: Mapping[str, Effect | None] = {
    "name": None,
    "probe": None,
    "interval": QUIET,
    "timeout": QUIET,
    "rise": QUIET,
    "fall": QUIET,
    "weight": SPEAKS,
    "fast_interval": QUIET,
    "reverse": SPEAKS,
    "initial": QUIET,
}
"""By the field of ``Check``; None: what makes it the same check."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is another one."""

    effect: Effect
    key: str
    """such as ``virtual_router.web.priority``"""
    detail: str
    """what it was and what it is to be; never a secret"""
    routers: tuple[str, ...]
    """that it concerns, as they are called now; one that is new, as it is to be called"""


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences of two configurations."""

    differences: tuple[Difference, ...]
    renamed: Mapping[str, str]
    """routers that stay and are called otherwise: now → then"""

    @property
    def routers(self) -> frozenset[str]:
        """All that any difference names."""
        return frozenset(name for one in self.differences for name in one.routers)

    def of(self, effect: Effect) -> list[Difference]:
        """The differences of this class."""
        return [one for one in self.differences if one.effect is effect]


def plan(old: Configuration, new: Configuration) -> Plan:
    """What changes if ``new`` takes the place of ``old``."""
    found = _Differences(old, new)
    there = {one.identity: one for one in old.routers}
    pairs = [(there.get(one.identity), one) for one in new.routers]
    staying = [(before, after) for before, after in pairs if before is not None]
    same = {before.identity for before, _ in staying}
    gone = {one.name: one for one in old.routers if one.identity not in same}
    come = [after for before, after in pairs if before is None]
    return Plan(
        (
            *found.of_agent(),
            *(one for before, after in staying for one in found.of_router(before, after)),
            *(found.come(after, gone.pop(after.name, None)) for after in come),
            *map(found.gone, gone.values()),
            *found.of_checks(),
            *found.of_authentications(),
        ),
        {before.name: after.name for before, after in staying if before.name != after.name},
    )


WAYS = {
    "agent.state_directory": "restart ExaBGP",
    "agent.persistent_directory": "restart ExaBGP",
}
"""What to do about a difference that only another process can have, if it is not ``REPLACE``."""

REPLACE = "end the agent with kill (exavrrp status --json has its process); ExaBGP starts it again, and it serves on"


def objections(found: Plan, serving: Collection[str], *, allow_move: bool) -> list[str]:
    """Why a plan must not be carried out now, each with the remedy; ``serving``: the routers that serve here."""
    refused = [
        f"{one.key}: {one.detail}: a running agent cannot change that; {WAYS.get(one.key, REPLACE)}"
        for one in found.of(Effect.RESTARTS)
    ]
    for one in () if allow_move else found.of(Effect.MOVES):
        if moved := [name for name in one.routers if name in serving]:
            who = f"{', '.join(moved)} {'serves' if len(moved) == 1 else 'serve'} here"
            refused.append(f"{one.key}: {one.detail}: {who}; drain it first, or allow it (--allow-move)")
    return refused


class _Differences:
    """Between two configurations."""

    def __init__(self, old: Configuration, new: Configuration) -> None:
        self.old = old
        self.new = new
        self._names = {one.identity: one.name for one in old.routers}
        self._before = {one.name: one for one in used_checks(old)}
        self._after = {one.name: one for one in used_checks(new)}
        self._same = same_checks(used_checks(old), used_checks(new))
        self._teams = {one.identity: _team(old, one) for one in old.routers}

    def _now(self, routers: Iterable[VirtualRouter]) -> tuple[str, ...]:
        """What these are called now."""
        return tuple(dict.fromkeys(self._names.get(one.identity, one.name) for one in routers))

    def _concerned(self, effect: Effect, routers: Sequence[str]) -> tuple[str, ...]:
        """These routers, and those that move with them if others notice: they have one priority, and one state."""
        if effect is QUIET:
            return tuple(routers)
        groups = {one.group for one in self.old.routers if one.name in routers and one.group is not None}
        return tuple(dict.fromkeys((*routers, *(one.name for one in self.old.routers if one.group in groups))))

    # Tables

    def of_agent(self) -> Iterator[Difference]:
        routers = self._now(one for one in self.new.routers if one.family == 4)
        for name, effect in AGENT.items():
            before, after = getattr(self.old.agent, name), getattr(self.new.agent, name)
            if effect is not None and before != after:
                concerned = routers if name == "ipv4_checksum" else ()
                yield Difference(effect, f"agent.{name}", _change(before, after), concerned)

    def come(self, router: VirtualRouter, before: VirtualRouter | None) -> Difference:
        """A router that is new; ``before``: one of its name that it replaces."""
        key, names = f"virtual_router.{router.name}", ("family", "vrid", "source", "transport", "interfaces")
        if before is None:
            return Difference(MOVES, key, "new", (router.name,))
        pairs = [(name, getattr(before, name), getattr(router, name)) for name in names]
        detail = ", ".join(f"{name} {_change(one, other)}" for name, one, other in pairs if one != other)
        return Difference(MOVES, key, f"another router: {detail}", (router.name,))

    def gone(self, router: VirtualRouter) -> Difference:
        return Difference(MOVES, f"virtual_router.{router.name}", "removed", (router.name,))

    def of_router(self, before: VirtualRouter, after: VirtualRouter) -> Iterator[Difference]:
        special: dict[str, Callable[[VirtualRouter, VirtualRouter], Iterator[tuple[Effect, str, str]]]] = {
            "virtual_addresses": _addresses,
            "announce": _prefixes,
            "peers": _peers,
            "authentication": self._authentication,
            "plain_password": _password,
            "checks": self._checks,
            "group": self._group,
            "route_policy": _policy,
        }
        quiet = True
        for name, effect in ROUTER.items():
            one, other = getattr(before, name), getattr(after, name)
            if name in special:
                found = special[name](before, after)
            elif effect is not None and one != other:
                found = iter([(effect, name, _change(one, other))])
            else:
                continue
            for kind, key, detail in found:
                quiet = False
                yield Difference(
                    kind, f"virtual_router.{after.name}.{key}", detail, self._concerned(kind, [before.name])
                )
        if quiet and before.route_policy.standby != after.route_policy.standby:
            yield Difference(QUIET, f"virtual_router.{after.name}.bgp.standby", "not in use", (before.name,))

    def of_checks(self) -> Iterator[Difference]:
        for after in self._after.values():
            routers = self._now(one for one in self.new.routers if after.name in one.checks)
            if after.name not in self._same:
                yield Difference(SPEAKS, f"check.{after.name}", "new", self._concerned(SPEAKS, routers))
                continue
            before = self._before[self._same[after.name]]
            for name, effect in CHECK.items():
                one, other = getattr(before, name), getattr(after, name)
                if effect is not None and one != other:
                    named = self._concerned(effect, routers)
                    yield Difference(effect, f"check.{after.name}.{name}", _change(one, other), named)
        for before in self._before.values():
            if before.name not in self._same.values():
                routers = tuple(one.name for one in self.old.routers if before.name in one.checks)
                yield Difference(SPEAKS, f"check.{before.name}", "removed", self._concerned(SPEAKS, routers))

    def of_authentications(self) -> Iterator[Difference]:
        there = {one.name: one for one in self.old.authentications}
        for after in self.new.authentications:
            before = there.get(after.name)
            users = self._now(one for one in self.new.routers if one.authentication == after.name)
            if before is not None and users:
                for effect, key, detail in _keys(before, after):
                    yield Difference(effect, f"authentication.{after.name}.{key}", detail, users)

    # Settings of a router that depend on others

    def _authentication(self, before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
        if before.authentication != after.authentication:
            effect = QUIET if _signs(self.old, before) == _signs(self.new, after) else SPEAKS
            yield effect, "authentication", _change(before.authentication, after.authentication)

    def _checks(self, before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
        if before.checks != after.checks:
            now = {self._same.get(name, name) for name in after.checks}
            effect = QUIET if now == set(before.checks) and now <= set(self._same.values()) else SPEAKS
            yield effect, "checks", _change(before.checks, after.checks)

    def _group(self, before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
        if self._teams[before.identity] != (team := _team(self.new, after)) or before.group != after.group:
            effect = QUIET if self._teams[before.identity] == team else MOVES
            others = _change(before.group, after.group) if before.group != after.group else "other members"
            yield effect, "group", others


def _team(configuration: Configuration, router: VirtualRouter) -> frozenset[object]:
    """The identities of the routers that move with this one."""
    if router.group is None:
        return frozenset([router.identity])
    return frozenset(one.identity for one in configuration.routers if one.group == router.group)


def _addresses(before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
    one, other = before.virtual_addresses, after.virtual_addresses
    if one == other:
        return
    if set(before.addresses) != set(after.addresses):
        yield MOVES, "addresses", _more_and_less(before.addresses, after.addresses)
    elif before.bind != after.bind:
        yield MOVES, "bind", _change(before.bind, after.bind)
    elif _bound_anew(one, other):
        yield MOVES, "addresses", _more_and_less(*map(_texts, (one, other)))
    elif (was := _unlabelled(one)) == (will_be := _unlabelled(other)):
        yield QUIET, "addresses", _more_and_less(*map(_texts, (one, other)))
    elif changed := set(was) ^ set(will_be):
        named = sorted({entry.address for entry in changed}, key=int)
        yield SPEAKS, "addresses", f"{', '.join(map(str, named))}: {_forms(one)} -> {_forms(other)}"
    else:
        yield SPEAKS, "addresses", "another order in adverts"


def _bound_anew(before: Iterable[VirtualAddress], after: Iterable[VirtualAddress]) -> bool:
    """Whether an address is removed, and added again: the kernel cannot change length, label or scope.

    On lo any label will do where none is wanted (``system.addresses``).
    """
    was = {one.address: one.text for one in before}
    return any(one.text != was[one.address] and (one.on_link or one.label is not None) for one in after)


def _texts(some: Iterable[VirtualAddress]) -> list[str]:
    return sorted(one.text for one in some)


def _unlabelled(some: Iterable[VirtualAddress]) -> list[VirtualAddress]:
    return [replace(one, label=None) for one in some]


def _forms(some: Iterable[VirtualAddress]) -> str:
    listed = sum(one.listed for one in some)
    preferred = sum(one.preferred for one in some)
    return f"{listed} listed, {preferred} preferred"


def _prefixes(before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
    if set(before.announce) != set(after.announce):
        yield MOVES, "bgp.announce", _more_and_less(before.announce, after.announce)
    elif before.announce != after.announce:
        yield QUIET, "bgp.announce", "another order"


def _password(before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
    if before.plain_password != after.plain_password:
        yield SPEAKS, "plain_password", "another one"


def _peers(before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
    if before.peers != after.peers:
        encodes = Takeover.MED in after.route_policy.takeover  # the place of this node is part of the MED
        effect = SPEAKS if encodes and before.place != after.place else QUIET
        yield effect, "peers", _more_and_less(before.peers, after.peers) or "another order"


def _policy(before: VirtualRouter, after: VirtualRouter) -> Iterator[tuple[Effect, str, str]]:
    one, other = before.route_policy, after.route_policy
    for state, table in (("active", "bgp"), ("standby", "bgp.standby"), ("leaving", "bgp.leaving")):
        if state == "standby" and not (before.standby or after.standby):
            continue
        for field in fields(Attributes):
            values = [getattr(getattr(policy, state), field.name) for policy in (one, other)]
            if values[0] != values[1]:
                yield SPEAKS, f"{table}.{field.name}", _change(*values)
    if one.takeover != other.takeover:
        yield SPEAKS, "bgp.takeover", _change(one.takeover, other.takeover)


def _signs(configuration: Configuration, router: VirtualRouter) -> object:
    """What others notice of how it signs: the mode, and the key that signs."""
    used = configuration.authentication(router)
    if used is None:
        return None
    return used.mode, next(key.secret for key in used.keys if key.id == used.active_key), used.active_key


def _keys(before: Authentication, after: Authentication) -> Iterator[tuple[Effect, str, str]]:
    if before.mode != after.mode:
        yield SPEAKS, "mode", _change(before.mode, after.mode)
    if before.window != after.window:
        yield QUIET, "window", _change(before.window, after.window)
    if before.active_key != after.active_key:
        yield SPEAKS, "active_key", _change(before.active_key, after.active_key)
    known, wanted = ({key.id: key for key in one.keys} for one in (before, after))
    for number in sorted(known.keys() | wanted.keys()):
        one, other = known.get(number), wanted.get(number)
        if one is None or other is None:
            yield QUIET, f"keys.{number}", "removed" if other is None else "new"
        elif one.secret != other.secret:
            yield SPEAKS if number == after.active_key else QUIET, f"keys.{number}", "another secret"
        elif one != other:
            yield QUIET, f"keys.{number}", "the same secret, in another place"
    if before.keys != after.keys and set(before.keys) == set(after.keys):
        yield QUIET, "keys", "another order"


def _more_and_less(before: Collection[Any], after: Collection[Any]) -> str:
    more, less = [one for one in after if one not in before], [one for one in before if one not in after]
    return " ".join([*(f"+{one}" for one in more), *(f"-{one}" for one in less)])


def _change(before: object, after: object) -> str:
    return f"{_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case tuple() | frozenset():
            return f"[{', '.join(sorted(map(str, value)) if isinstance(value, frozenset) else map(str, value))}]"
        case _:
            return str(value)
