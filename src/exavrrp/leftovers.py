"""What nobody serves any more, but is bound or announced: served on, or cleared in order; pure.

At start everything that our configuration owns is accounted for before the first election is decided. What a
predecessor served a moment ago, under the very ExaBGP that still announces it, goes on being served as ``leaving``
until the election is decided; anything else it left is withdrawn, and then unbound. So is what an earlier configuration
named, of this process or of the one before.
"""

from collections.abc import Callable, Iterable

from exavrrp import ports
from exavrrp.binding import Binding
from exavrrp.notes import Notes
from exavrrp.presence import SETTLE
from exavrrp.routes import Route
from exavrrp.timers import Timers
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.packet import Address


class Leftovers:
    """Of the process before."""

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
        """whether nothing is cleared by and by any more: who ends does it in its order, or leaves it to the next one"""
        self._speaker = speaker
        self._timers = timers
        self.cleared: Callable[[], None] = lambda: None
        """called when nothing is left that no router stands for"""
        self._linger = SETTLE
        """seconds to stay bound after the withdraw of everything is confirmed"""
        self._due = False
        """whether that is so, and they have begun"""
        self._forgotten = forgotten
        """what no router of ours stands for"""
        self._memory = memory
        self._addresses = addresses
        self._binding = binding
        self._notes = notes
        self._log = log

    def take(self, routers: Iterable[VirtualRouter]) -> None:
        """Know them before anything is decided. Raises OSError."""
        try:
            present, bound = self._addresses.present(), self._addresses.adopt(self._forgotten.addresses)
        except OSError as error:
            raise OSError(error.errno, f"cannot tell which addresses lo has: {error.strerror or error}") from error
        for router in routers:
            self._inherit(router, present.intersection(router.configuration.addresses))
        routes = self._forgotten.routes
        if bound or routes:
            told = {"addresses": sorted(map(str, bound)), "prefixes": sorted(route.prefix for route in routes)}
            self._log.warning("leftovers-found", **told, detail="no more in the configuration: withdrawn, then unbound")
        self._keep(ports.Forgotten(bound, routes))
        self._binding.keep(self._forgotten.on_lo)

    def _inherit(self, router: VirtualRouter, bound: frozenset[Address]) -> None:
        """What is left of this router: ``bound`` on lo, and announced if ExaBGP is still the same.

        What is announced still is served on, and what of it somebody has removed from lo meanwhile is put back. What
        may be announced is withdrawn before it is unbound, and known to be announced until that is confirmed. What
        another ExaBGP announced is unbound at once.
        """
        memory = self._memory
        silent = memory.silent(router.name)
        if silent is not None:
            router.recall(*silent)
        same = memory.names(router.configuration.announce)
        announced, doubtful = same and router.name in memory.recall(), same and memory.may_be_announced(router.name)
        active = memory.was_active(router.name)
        told = {"router": router.name, "addresses": sorted(map(str, bound))}
        if announced:
            self._log.warning("leftovers-found", **told, detail="served on until the election is decided")
            router.instance.takeovers.time.active_since = memory.since(router.name)
            self._speaker.inherit(router.configuration.announce)
            router.inherit(bound, announced=True, active=active)
        elif bound and memory.is_foreign:
            self._log.warning("leftovers-found", **told, detail="unbound: another ExaBGP announced them")
            router.inherit((), announced=False, active=active)
        elif bound or doubtful:
            self._log.warning("leftovers-found", **told, detail="withdrawn, then unbound" if bound else "withdrawn")
            self._speaker.inherit(router.configuration.announce)
            router.inherit(bound, announced=False, active=active)

    def _keep(self, forgotten: ports.Forgotten) -> None:
        """A successor has to clear it, if we do not come to that."""
        self._forgotten = forgotten
        self._memory.may_bind(forgotten.addresses.union(self._binding.by_address))
        self._memory.may_announce("", forgotten.routes)

    @property
    def routes(self) -> tuple[Route, ...]:
        """What ExaBGP may announce still, and no router of ours wants."""
        return self._forgotten.routes

    def add(self, addresses: Iterable[Address], routes: Iterable[Route], linger: float) -> None:
        """What a router of ours stands for no longer: withdrawn already, and ``linger`` seconds later not bound."""
        before = self._forgotten
        after = ports.Forgotten(before.addresses.union(addresses), (*before.routes, *routes))
        if after != before:
            self._linger = max(self._linger, linger)
            self._keep(after)
            self.look()

    def look(self) -> None:
        """Something was withdrawn: it may have been the last of all that no router stands for."""
        if not self._due and self._forgotten != ports.Forgotten() and self._is_withdrawn():
            self._due = True
            self._timers.call_later(self._linger, self._forget_in_time)

    def _is_withdrawn(self) -> bool:
        return self._speaker.has_carried_out(route.network for route in self._forgotten.routes)

    def _forget_in_time(self) -> None:
        self._due = False
        if not self.ending and self._is_withdrawn():
            self._linger = SETTLE
            self.forget()

    def forget(self) -> None:
        """That is so, or nobody can wait for it any more: what no router stands for is unbound."""
        if (forgotten := self._forgotten) != ports.Forgotten():
            self._keep(ports.Forgotten())
            if (error := self._binding.remove(forgotten.addresses)) is not None:
                self._log.error("unbind-failed", detail=error.strerror or str(error))
            self._notes.write_soon()
            self.cleared()
