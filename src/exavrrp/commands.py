"""What a node does for the requests of the control socket (``control.Service``): drains, reloads, views; pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from exavrrp import ports
from exavrrp.config import Authentication, Configuration, rejection
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.elections import Elections
from exavrrp.plan import Plan, plan
from exavrrp.view import Outcome, View
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Mode, Sender
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role

STALE = "a peer that still has what is in force here"
"""Who may not know yet what a reload brings: Backups are silent."""


class Commands:
    """Carries the requests out; what needs a file or the operating system is ``agent.py``'s."""

    def __init__(
        self,
        routers: Mapping[str, VirtualRouter],
        elections: Elections,
        *,
        describe: Callable[[], Iterator[View | None]],
        handle: Callable[[ports.DrainAsked], None],
        events: Callable[[int], tuple[int, list[bytes]]],
        configuration: Callable[[], Configuration],
        reconfigure: Callable[[Configuration], None],
        senders: Callable[[VirtualRouter], Mapping[Address, Sender]],
        obstacles: Callable[[VirtualRouter], str],
        look_at_note: Callable[[], None],
    ) -> None:
        """``routers``: by name, in the order of the configuration; ``describe``: ``Viewer.describe``; ``handle`` takes
        an event of the node; ``events``: ``Chronicle.after``. ``configuration`` is the one in force, ``reconfigure``
        puts another one in its place (``Node.reconfigure``); ``senders``: ``Reception.senders``; ``obstacles``:
        ``Station.obstacles``; ``look_at_note``: ``Memory.look``."""
        self.describe = describe
        self.events = events
        self.look_at_note = look_at_note
        self._routers = routers
        self._elections = elections
        self._handle = handle
        self._configuration = configuration
        self._reconfigure = reconfigure
        self._senders = senders
        self._obstacles = obstacles

    def names(self) -> list[str]:
        """Of the virtual routers, in the order of the configuration."""
        return list(self._routers)

    def groups(self) -> dict[str, str | None]:
        """The group of each virtual router."""
        return {name: router.configuration.group for name, router in self._routers.items()}

    def unready(self, names: Collection[str]) -> dict[str, str]:
        """Those of these routers that are Active here and have no peer that could take over, each with the reasons.

        It is looked at when somebody asks; whoever drains all the same finds out whether that was right."""
        found = {name: self._obstacles(self._routers[name]) for name in self._routers if name in names}
        active = self.active()
        return {name: why for name, why in found.items() if why and name in active}

    def drain(self, name: str) -> None:
        """Have a router leave the election and stay out."""
        self._handle(ports.DrainAsked(name))

    def undrain(self, name: str) -> None:
        """Have a router take part again."""
        self._handle(ports.DrainAsked(name, undo=True))

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        """These routers and those that move with them, in the order of the configuration."""
        moving = {router.name for name in names for router in self._elections.team_of[name].routers}
        return tuple(name for name in self._routers if name in moving)

    def outcome(self, name: str) -> Outcome:
        """How far a drain is."""
        return self._routers[name].drain.outcome

    def plan(self, new: Configuration) -> Plan:
        """What changes if ``new`` is put in place."""
        return plan(self._configuration(), new)

    def active(self) -> frozenset[str]:
        """The routers that are Active here."""
        return frozenset(name for name, one in self._routers.items() if one.instance.router.role is Role.ACTIVE)

    def serving(self) -> frozenset[str]:
        """The routers whose traffic may come here: Active, or not any more, or not yet (``Instance.serves``)."""
        return frozenset(name for name, one in self._routers.items() if one.instance.serves)

    def disagreements(self, new: Configuration) -> list[str]:
        """What ``new`` says otherwise than others, one sentence each.

        They are the Active, where a router is Backup here; and for authentication also whoever has still what is in
        force here: a Backup is silent.
        """
        there = {one.configuration.identity: one for one in self._routers.values()}
        pairs = [(there[after.identity], after) for after in new.routers if after.identity in there]
        rejected: dict[str, list[str]] = {}
        for router, after in pairs:
            for told in self._rejections(router, after, new.authentication(after)):
                rejected.setdefault(told, []).append(after.name)
        return [
            *(told for router, after in pairs for told in _disagreements(router, after)),
            *(f"authentication: {told} ({', '.join(names)})" for told, names in rejected.items()),
        ]

    def _rejections(
        self, router: VirtualRouter, new: RouterConfiguration, after: Authentication | None
    ) -> Iterator[str]:
        """Whose adverts are not accepted any more with ``after``: ours by the peers, or theirs by us."""
        if new.plain_password != router.configuration.plain_password:
            yield f"{STALE} has another plain_password: it rejects our adverts, and we its"
        before = heard = self._configuration().authentication(router.configuration)
        who, active = STALE, _followed(router)
        if active is not None:
            sender, who = self._senders(router).get(active), f"{active}, which is Active,"
            heard = None
            if before is not None and sender is not None and sender.key is not None:
                heard = replace(before, mode=Mode.PERMISSIVE, active_key=sender.key)
        if (reason := rejection(after, before)) is not None:
            yield f"{STALE} rejects our adverts, and becomes Active besides us: {reason}"
        if (reason := rejection(heard, after)) is not None:
            yield f"the adverts of {who} are rejected here, and this node becomes Active besides it: {reason}"

    def addresses(self) -> frozenset[Address]:
        """All virtual addresses, also of routers that leave."""
        leaving = (address for one in self._routers.values() for address in one.configuration.addresses)
        return self._configuration().addresses.union(leaving)

    def reconfigure(self, new: Configuration) -> None:
        """Put ``new`` in place, at once and whole. Raises OSError or ValueError; nothing has changed then."""
        self._reconfigure(new)


def _followed(router: VirtualRouter) -> Address | None:
    """The Active that it hears as a Backup; None: it is none, or hears nobody."""
    following = router.instance.router.state.following
    return following if following in router.instance.copies.peers else None


def _disagreements(router: VirtualRouter, after: RouterConfiguration) -> Iterator[str]:
    following = _followed(router)
    if following is None:
        return
    said = router.instance.copies.peers[following].advertisement
    key, active = f"virtual_router.{after.name}", f"{following}, which is Active,"
    if set(said.addresses) != set(after.listed):
        lists = ", ".join(map(str, said.addresses))
        yield f"{key}.addresses: {active} lists {lists}; reload it, too, or correct the list"
    if said.centiseconds != round(100 * after.advert_interval):
        every = f"{active} advertises every {said.centiseconds / 100:g} s"
        yield f"{key}.advert_interval: {every}; reload it, too, or correct the interval"
