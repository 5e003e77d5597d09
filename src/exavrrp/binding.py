"""Which addresses are wanted on this host, on lo or on a link, and what came of it; pure.

``OnLo`` has the addresses of one router, wherever it binds them; ``Binding`` has those of all. Routers that change in
one moment are bound and unbound in one batch. Each batch takes looks at all addresses, so after a slow one the next
waits, for a multiple of its time. A router hears of its addresses when the kernel accepts packets to all of them, and
not if something else is wanted of it by then.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

from exavrrp import events, ports
from exavrrp.backoff import RETRIES, Backoff
from exavrrp.common import Common
from exavrrp.history import Phase
from exavrrp.instance import Fault
from exavrrp.virtual_address import LO, VirtualAddress
from exavrrp.vrrp.packet import Address
from exavrrp.work import Work

BIND_PAUSE = 4
"""Times that a batch of addresses took, for which the next one waits: each takes looks at all of lo."""


class OnLo:
    """The addresses of one router."""

    def __init__(self, common: Common, binding: "Binding", bound: Callable[[], None]) -> None:
        """``bound`` is called when all that are wanted are there."""
        self._common = common
        self._when_bound = bound
        self._binding = binding
        self._retry = Backoff(common.timers, RETRIES, lambda: common.recover(Fault.BIND))
        self._left: Collection[Address] | None = None
        """what of them a predecessor has left to be cleared; None: that is over"""
        self._unbinding = False
        """whether they are still to be unbound"""

    @property
    def name(self) -> str:
        """Of the router."""
        return self._common.name

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All that are to be bound while the router serves; none, where another program binds them."""
        return self._common.configuration.on_lo

    @property
    def bound(self) -> bool:
        """Whether they are to be there, or are to be left there for a while."""
        return self._common.instance.presence.bound

    @property
    def wanted(self) -> Collection[VirtualAddress]:
        """What is wanted now. Nothing is bound only to be unbound when a predecessor's withdraw is confirmed."""
        if not self.bound:
            return ()
        ours = [one for one in self._common.configuration.virtual_addresses if one.bind]
        return ours if self._left is None else [one for one in ours if one.address in self._left]

    def inherit(self, left: Collection[Address] | None) -> None:
        """What a predecessor has ``left`` is to be cleared; None: it is to stay, and what of it is gone is put back."""
        self._left = left

    @property
    def served(self) -> tuple[Address, ...]:
        """Those of which neighbors on a link are to know that this node has them. Not what is still, or yet, there."""
        configuration = self._common.configuration
        return configuration.on_lo if configuration.on_link and self._common.instance.presence.serves else ()

    def bind(self) -> None:
        """Make lo carry them soon."""
        self._left = None
        self._binding.want(self)

    def unbind(self) -> None:
        """Make lo carry none of them soon."""
        self._unbinding = True
        self._binding.want(self)

    def unbind_now(self) -> None:
        """Do at once what ``unbind`` has asked for, if it has."""
        if self._unbinding:
            self._binding.now()

    def settled(self) -> None:
        """What was wanted is there, and the kernel accepts packets to it; or it is gone."""
        self._unbinding = False
        common, addresses = self._common, list(map(str, self.addresses))
        if addresses:
            common.reach(Phase.BOUND if self.bound else Phase.UNBOUND)
        if addresses and self.bound:
            common.log.info("address-bound", router=self.name, addresses=addresses)
        elif addresses:
            common.log.info("address-unbound", router=self.name, addresses=addresses)
        if self.bound:
            self._retry.succeeded()
            common.tell(events.Bound(self.name))
            self._when_bound()

    def failed(self, error: OSError) -> None:
        """What was wanted could not be done."""
        self._unbinding = False
        if self.bound:
            self._fail(f"cannot bind to {self.interface}: {error.strerror or error}")
        else:
            # It stays unwanted, so the next change of lo removes it; nothing else of ours depends on it.
            self._common.log.error("unbind-failed", router=self.name, detail=error.strerror or str(error))

    def lost(self, address: Address, error: OSError) -> None:
        """One of them cannot be kept there; or, where it is not to be there, cannot be removed."""
        detail = error.strerror or str(error)
        if self.bound or Fault.BIND in self._common.instance.faults:  # several may be lost in one moment
            self._fail(f"{address} cannot be bound to {self.interface}: {detail}")
        else:
            key = ("unbind-failed", address)
            told = f"{address} cannot be removed from {self.interface}: {detail}"
            self._common.log.limited(key, ports.Severity.ERROR, "unbind-failed", router=self.name, detail=told)

    @property
    def interface(self) -> str:
        """That has them while the router serves."""
        return self._common.configuration.bound_to or LO

    def close(self) -> None:
        """The router is gone."""
        self._retry.cancel()

    def _fail(self, detail: str) -> None:
        self._common.log.error("bind-failed", router=self.name, detail=detail)
        self._common.tell(events.Unbound(self.name, detail))
        self._retry.failed()


class Binding:
    """The addresses of all routers."""

    def __init__(self, addresses: ports.Addresses, clock: ports.Clock, work: Work, flush: Callable[[], None]) -> None:
        """``flush`` writes what ExaBGP is to be told: the withdraws go before the unbinding."""
        self.by_address: dict[Address, OnLo] = {}
        self._addresses = addresses
        self._clock = clock
        self._work = work
        self._flush = flush
        self._bound: dict[Address, VirtualAddress] = {}
        """what is wanted on lo"""
        self._asking: dict[OnLo, None] = {}
        """whose addresses are to be bound or unbound"""
        self._after = 0.0
        """when the next batch may be bound"""
        self._awaited: dict[OnLo, None] = {}
        """whose addresses are bound, but do not accept packets yet"""
        self._heralded: dict[OnLo, tuple[Address, ...]] = {}
        """of which neighbors are told"""
        self._untold = False
        """whether that has changed in this turn"""

    def add(self, one: OnLo) -> None:
        """These addresses are ours, too."""
        self.by_address.update(dict.fromkeys(one.addresses, one))

    def disown(self, addresses: Iterable[Address], one: OnLo) -> None:
        """These are not those of ``one`` any more; what of them is wanted on lo stays there."""
        for address in addresses:
            if self.by_address.get(address) is one:
                del self.by_address[address]

    def want(self, one: OnLo) -> None:
        """Make lo carry what ``one`` wants, together with all that is to change in this moment."""
        if not self._asking:
            self._work.not_before(self._after, self.now)
        self._asking[one] = None

    def now(self) -> None:
        """Make lo carry what is wanted, if anybody has asked for it, and tell whoever has."""
        if not self._asking:
            return
        began = self._clock.time()
        asking, self._asking = self._asking, {}
        self._flush()  # whatever else changes in this turn of the loop
        error = self.set(asking)
        for one in asking:
            if (failed := ports.concerning(error, one.addresses)) is not None:
                one.failed(failed)
            else:
                self._awaited[one] = None
        self.look()
        now = self._clock.time()
        self._after = now + BIND_PAUSE * (now - began)

    def set(self, changed: Iterable[OnLo]) -> OSError | None:
        """What ``changed`` want on lo, and what all others have there; what was refused is returned."""
        for one in changed:
            self._drop(one.addresses)
            self._bound.update((wanted.address, wanted) for wanted in one.wanted)
        try:
            self._addresses.set(self._bound.values())
        except OSError as error:
            return error
        return None

    def herald(self, one: OnLo) -> None:
        """Have neighbors know what ``one`` serves now, at the end of this turn (``tell_neighbors``)."""
        if (served := one.served) != self._heralded.get(one, ()):
            self._untold = True
            if served:
                self._heralded[one] = served
            else:
                del self._heralded[one]

    def tell_neighbors(self) -> None:
        """Have them know what has changed in this turn: each time costs a look at all that is served."""
        if self._untold:
            self._untold = False
            self._addresses.herald([address for those in self._heralded.values() for address in those])

    def claimed(self, one: OnLo) -> None:
        """Another node says that it is Active: a neighbor may take it for the one that has what ``one`` serves."""
        if claimed := self._heralded.get(one):
            self._addresses.herald_anew(claimed)

    def keep(self, others: Iterable[VirtualAddress]) -> None:
        """These stay where they are, too, although no router wants them: from the next change on."""
        self._bound |= {one.address: one for one in others}

    def remove(self, others: Iterable[Address]) -> OSError | None:
        """These are not to stay any more, unless a router has come to want them; what was refused is returned."""
        wanted = {each.address for one in set(self.by_address.values()) for each in one.wanted}
        self._drop(address for address in others if address not in wanted)
        return self.set(())

    def _drop(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            self._bound.pop(address, None)

    def clear(self, others: Iterable[Address]) -> None:
        """These are not to be there, whatever the routers want; they have not been told yet."""
        self._drop(others)
        with suppress(OSError):  # tried again when they are
            self._addresses.set(self._bound.values())

    def look(self) -> None:
        """The kernel may accept packets to addresses that were awaited: ExaBGP hears of them in the same turn."""
        accepted = [one for one in self._awaited if self._addresses.awaited.isdisjoint(one.addresses)]
        for one in accepted:
            del self._awaited[one]
            if one.bound:
                self._work.soon(partial(self._tell, one))
            else:
                self._tell(one)
        if any(one.bound for one in accepted):
            self._work.soon(self._flush)

    def _tell(self, one: OnLo) -> None:
        if one not in self._asking and one not in self._awaited:  # something else is wanted of it already
            one.settled()

    def is_changing(self, one: OnLo) -> bool:
        """Whether what ``one`` wants is still to be carried out, or the kernel does not accept packets to it yet."""
        return one in self._asking or not self._addresses.awaited.isdisjoint(one.addresses)

    def place(self, address: Address) -> str:
        """The interface that an address is wanted on."""
        return self._bound[address].interface if address in self._bound else LO

    def lost(self, address: Address, error: OSError) -> None:
        """An address cannot be put right."""
        if address in self.by_address:  # else it is to be unbound anyway
            self.by_address[address].lost(address, error)

    def elsewhere(self) -> dict[str, tuple[str, ...]]:
        """By router: what is wrong with its addresses on interfaces other than lo."""
        found: dict[str, tuple[str, ...]] = {}
        with suppress(OSError):  # then nobody knows, and nothing else depends on it
            for address, interface in self._addresses.elsewhere().items():
                remark = f"{address} is on {interface} too, where this node answers for it even as a Backup: remove it"
                if address in self.by_address:
                    name = self.by_address[address].name
                    found[name] = (*found.get(name, ()), remark)
        return found
