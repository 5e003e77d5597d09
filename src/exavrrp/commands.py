"""What a node does for the requests of the control socket (``control.Service``): drains, reloads, views; pure."""

from collections.abc import Callable, Collection, Iterator, Mapping

from exavrrp import ports
from exavrrp.config import Configuration
from exavrrp.config import VirtualRouter as RouterConfiguration
from exavrrp.elections import Elections
from exavrrp.plan import Plan, plan
from exavrrp.view import Outcome, View
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Backup, Role


class Commands:
    """Carries the requests out; what needs a file or the operating system is ``agent.py``'s."""

    def __init__(
        self,
        routers: Mapping[str, VirtualRouter],
        elections: Elections,
        *,
        view: Callable[[], View],
        handle: Callable[[ports.DrainAsked], None],
        events: Callable[[int], tuple[int, list[bytes]]],
        configuration: Callable[[], Configuration],
        reconfigure: Callable[[Configuration], None],
    ) -> None:
        """``routers``: by name, in the order of the configuration; ``handle`` takes an event of the node; ``events``:
        ``Chronicle.after``. ``configuration`` is the one in force, ``reconfigure`` puts another one in its place
        (``Node.reconfigure``)."""
        self.events = events
        self._routers = routers
        self._elections = elections
        self._view = view
        self._handle = handle
        self._configuration = configuration
        self._reconfigure = reconfigure

    def names(self) -> list[str]:
        """Of the virtual routers, in the order of the configuration."""
        return list(self._routers)

    def groups(self) -> dict[str, str | None]:
        """The group of each virtual router."""
        return {name: router.configuration.group for name, router in self._routers.items()}

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

    def disagreements(self, new: Configuration) -> list[str]:
        """What ``new`` says otherwise than the Active of a router that is Backup here, one sentence each."""
        there = {one.configuration.identity: one for one in self._routers.values()}
        pairs = ((there[after.identity], after) for after in new.routers if after.identity in there)
        return [told for router, after in pairs for told in _disagreements(router, after)]

    def addresses(self) -> frozenset[Address]:
        """All virtual addresses, also of routers that leave."""
        leaving = (address for one in self._routers.values() for address in one.configuration.addresses)
        return self._configuration().addresses.union(leaving)

    def reconfigure(self, new: Configuration) -> None:
        """Put ``new`` in place, at once and whole. Raises OSError or ValueError; nothing has changed then."""
        self._reconfigure(new)

    def view(self) -> View:
        """Everything as it is now."""
        return self._view()


def _disagreements(router: VirtualRouter, after: RouterConfiguration) -> Iterator[str]:
    state = router.instance.router.state
    if not isinstance(state, Backup) or state.following not in router.instance.copies.peers:
        return
    said = router.instance.copies.peers[state.following].advertisement
    key, active = f"virtual_router.{after.name}", f"{state.following}, which is Active,"
    if set(said.addresses) != set(after.listed):
        lists = ", ".join(map(str, said.addresses))
        yield f"{key}.addresses: {active} lists {lists}; reload it, too, or correct the list"
    if said.centiseconds != round(100 * after.advert_interval):
        every = f"{active} advertises every {said.centiseconds / 100:g} s"
        yield f"{key}.advert_interval: {every}; reload it, too, or correct the interval"
