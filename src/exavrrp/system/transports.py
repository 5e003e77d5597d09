"""The wires of all our sources: opened, given their peers, and closed as the sources change.

``Transports`` owns the set of wires, and the message for the operator when one cannot be opened. It must not know why a
source is needed.
"""

import asyncio
import errno
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from exavrrp.ports import Arrival, Log, Medium
from exavrrp.system.wire import Wire
from exavrrp.vrrp.packet import Address, Reason

_ALL_ROUTED: Mapping[Address, Medium] = {}


class Transports:
    """A wire for each source. ``receive`` is called with our source and packets, ``rejected`` as by ``Wire``."""

    def __init__(
        self,
        receive: Callable[[Address, Sequence[Arrival]], None],
        rejected: Callable[[Reason, Address | None], None],
        log: Log,
    ) -> None:
        self._receive = receive
        self._rejected = rejected
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wires: dict[Address, Wire] = {}
        self._sources: tuple[Address, ...] = ()
        """the sources whose wires are open"""

    def __getitem__(self, source: Address) -> Wire:
        """The wire of a source. It is closed, and receives nothing, until ``set`` names the source."""
        if source not in self._wires:
            self._wires[source] = Wire(source, lambda arrivals: self._receive(source, arrivals), self._rejected)
        return self._wires[source]

    def items(self) -> Iterable[tuple[Address, Wire]]:
        """The sources that ``set`` named last, in that order, with their wires."""
        return [(source, self._wires[source]) for source in self._sources]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Opens nothing yet; ``set`` does."""
        self._loop = loop

    def set(self, peers: Mapping[Address, Collection[Address]], media: Mapping[Address, Medium] = _ALL_ROUTED) -> None:
        """Opens wires for exactly these sources, each with its peers, and closes all others (``ports.Transports``).

        One with another medium is closed, and opened again. Raises ``OSError``; then nothing has changed but that.
        """
        assert self._loop is not None
        for source in [one for one in self._sources if one in peers and self[one].medium != media.get(one)]:
            self[source].close()
            self._sources = tuple(one for one in self._sources if one != source)
        opened: list[Wire] = []
        admitted: list[tuple[Wire, frozenset[Address]]] = []
        unfiltered = {source for source, wire in self.items() if not wire.filtered}
        try:
            for source in [one for one in peers if one not in self._sources]:
                self._open(self[source], self._loop, peers[source], media.get(source))
                opened.append(self[source])
            for source in self._sources:
                if source in peers:
                    admitted.append((self[source], self[source].peers))
                    self[source].admit(peers[source])
        except OSError:
            for wire in opened:
                wire.close()
            for wire, before in admitted:
                wire.admit(before)
            raise
        for source in [one for one in self._sources if one not in peers]:
            self._wires.pop(source).close()
        self._sources = tuple(peers)
        for source, wire in self.items():
            if not wire.filtered and not wire.heeds_anybody and source not in unfiltered:
                detail = f"{len(wire.peers)} peers are more than a filter of the kernel holds (see net.core.optmem_max)"
                self._log.warning("filter-failed", source=str(source), detail=detail)

    def close(self) -> None:
        """Closes all wires."""
        for wire in self._wires.values():
            wire.close()

    def _open(
        self, wire: Wire, loop: asyncio.AbstractEventLoop, peers: Collection[Address], medium: Medium | None
    ) -> None:
        """Raises ``OSError``, whose text names the remedy."""
        try:
            wire.open(loop, peers, medium)
        except OSError as error:
            where = "lo" if medium is None else medium.interface
            detail = f"cannot send adverts from {wire.source}: {error.strerror or error}"
            remedy = f"; add it to {where}, or correct the source" if error.errno == errno.EADDRNOTAVAIL else ""
            raise OSError(error.errno, detail + remedy) from error
