"""Addresses and routes that a predecessor or an earlier configuration has left: kept in service, or cleared; pure.

At the start this is decided for every address of the configuration, before the first election. What the predecessor
served until now, under the same ExaBGP process that still announces it, stays in service as ``leaving`` until the
election is decided. Everything else that it left is withdrawn, and then unbound. So are the addresses and routes of an
earlier configuration, of this process or the one before.
"""

from collections.abc import Callable, Iterable

from exavrrp import ports
from exavrrp.announcement import KEPT
from exavrrp.binding import Binding
from exavrrp.notes import Notes
from exavrrp.presence import SETTLE
from exavrrp.routes import Network, Route
from exavrrp.timers import Timer, Timers
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.packet import Address


class Leftovers:
    """The leftovers of this node: those of its routers at the start, and those that no router has any more."""

    def __init__(
        self,
        forgotten: ports.Forgotten,
        memory: ports.Memory,
        addresses: ports.Addresses,
        speaker: ports.Speaker,
        *,
        timers: Timers,
        binding: Binding,
        notes: Notes,
        log: ports.Log,
    ) -> None:
        self.ending = False
        """whether leftovers are not cleared by a timer any more: the end of the node clears them, or its successor"""
        self._speaker = speaker
        self._timers = timers
        self.cleared: Callable[[], None] = lambda: None
        """called when all leftovers that no router has any more are cleared"""
        self._linger = SETTLE
        """seconds to stay bound after the withdraw of everything is confirmed"""
        self._due: Timer | None = None
        """when these seconds are over; None: they have not begun"""
        self._forgotten = forgotten
        """what no configured router has"""
        self._kept: dict[Network, tuple[Address, ...]] = {}
        """prefixes of it that are withdrawn, and that ExaBGP still announces to these neighbors"""
        self._memory = memory
        self._addresses = addresses
        self._binding = binding
        self._notes = notes
        self._log = log

    def learn(self, forgotten: ports.Forgotten) -> None:
        """What no configured router has is this by now; to be called before ``take``."""
        self._forgotten = forgotten

    def take(self, routers: Iterable[VirtualRouter]) -> None:
        """Find the leftovers, at the start. Raises OSError."""
        try:
            present, found = self._addresses.present(), self._addresses.adopt(self._forgotten.addresses)
        except OSError as error:
            raise OSError(error.errno, f"cannot tell which addresses lo has: {error.strerror or error}") from error
        for router in routers:
            self._inherit(router, present.intersection(router.configuration.addresses))
        bound, routes = frozenset(one.address for one in found), self._forgotten.routes
        if bound or routes:
            told = {"addresses": sorted(map(str, bound)), "prefixes": sorted(route.prefix for route in routes)}
            self._log.warning("leftovers-found", **told, detail="no more in the configuration: withdrawn, then unbound")
        self._keep(ports.Forgotten(bound, routes))
        self._binding.keep(one for one in found if one.address in self._forgotten.on_lo)

    def _inherit(self, router: VirtualRouter, bound: frozenset[Address]) -> None:
        """Decide about the leftovers of one router; ``bound``: its addresses that lo has.

        If this ExaBGP process still announces them, or serves where nothing is to be announced, they stay in service,
        and those that are missing on lo are bound again. If it may announce them, they are withdrawn first; they count
        as announced until that is confirmed. If another ExaBGP process announced them, they are unbound at once.
        """
        memory = self._memory
        silent = memory.silent(router.name)
        if silent is not None:
            router.recall(*silent)
        same = not router.configuration.announce or memory.names(router.configuration.announce)
        announced, doubtful = same and router.name in memory.recall(), same and memory.may_be_announced(router.name)
        active = memory.was_active(router.name)
        told = {"router": router.name, "addresses": sorted(map(str, bound))}
        if announced:
            self._log.warning("leftovers-found", **told, detail="served on until the election is decided")
            router.instance.takeovers.time.resume(memory.since(router.name))
            self._speaker.inherit(router.configuration.announce)
            router.inherit(bound, announced=True, active=active)
        elif bound and memory.is_foreign:
            self._log.warning("leftovers-found", **told, detail="unbound: another ExaBGP announced them")
            router.inherit((), announced=False, active=active)
        elif bound or doubtful:
            detail = "withdrawn, then unbound" if bound else "withdrawn"
            prebound = router.configuration.prebind and not doubtful
            tell = self._log.info if prebound else self._log.warning
            tell("leftovers-found", **told, detail="bound beforehand; withdrawn, if announced" if prebound else detail)
            self._speaker.inherit(router.configuration.announce)
            router.inherit(bound, announced=False, active=active)

    def _keep(self, forgotten: ports.Forgotten) -> None:
        """Remember ``forgotten``, in the state file too: a successor clears what this process does not."""
        self._forgotten = forgotten
        self._bindable = forgotten.addresses.union(self._binding.by_address)
        self._memory.may_bind(self._bindable)
        self._memory.may_announce("", forgotten.routes)

    def note(self) -> None:
        """The routers have other addresses: a successor has to know those, too."""
        if self._bindable != self._forgotten.addresses.union(self._binding.by_address):
            self._keep(self._forgotten)
            self._notes.write_soon()

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes that ExaBGP may still announce, and no router wants."""
        return self._forgotten.routes

    def add(self, addresses: Iterable[Address], routes: Iterable[Route], linger: float) -> None:
        """A router does not have these any more. They are withdrawn already, and unbound ``linger`` seconds after the
        withdraw is confirmed; so is what was left before, if it is not unbound yet."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        before = self._forgotten
        self._linger = max(self._linger, linger)
        self._keep(ports.Forgotten(before.addresses.union(addresses), (*before.routes, *routes)))
        self.look()

    def look(self) -> None:
        """A withdraw was confirmed. If it was the last one, unbind the addresses after ``_linger``."""
        if self._due is None and self._forgotten != ports.Forgotten() and self._is_withdrawn():
            self._due = self._timers.call_later(self._linger, self._forget_in_time)

    def is_kept(self, network: Network, neighbors: tuple[Address, ...]) -> None:
        """ExaBGP has withdrawn this prefix from all neighbors but these: its addresses stay bound for so long."""
        if network in {route.network for route in self._forgotten.routes} and neighbors != self._kept.get(network):
            self._kept[network] = neighbors
            told = {"prefix": str(network), "neighbors": [str(one) for one in neighbors]}
            self._log.warning("route-kept", **told, detail=KEPT)

    def _is_withdrawn(self) -> bool:
        return self._speaker.has_carried_out(route.network for route in self._forgotten.routes)

    def _forget_in_time(self) -> None:
        self._due = None
        if not self.ending and self._is_withdrawn():
            self._linger = SETTLE
            self.forget()

    def forget(self) -> None:
        """Unbind what no router has: all is withdrawn, or there is no time left to wait for that."""
        if (forgotten := self._forgotten) != ports.Forgotten():
            self._keep(ports.Forgotten())
            self._kept.clear()
            if (error := self._binding.remove(forgotten.addresses)) is not None:
                self._log.error("unbind-failed", detail=error.strerror or str(error))
            self._notes.write_soon()
            self.cleared()
