"""Tells the neighbors on a link which addresses this host has: when it has taken them over, and again later.

This file owns the times at which that is said, and the packet socket. ``vrrp.link`` has the frames. It must not know
why an address is there.

A frame may be lost, and a switch or a neighbor that comes back may have missed all of them: so the first ones follow
each other soon, and they go on for as long as the address is there.
"""

import asyncio
import fcntl
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path

from exavrrp.vrrp.link import frame
from exavrrp.vrrp.packet import Address

TIMES = (0.0, 0.02, 0.1, 0.5, 2.0, 5.0)
"""Seconds from the takeover at which the first frames are sent. keepalived sends five at once, and five after 5 s; at
intervals they also reach who was deaf for a moment."""
REFRESH = 60.0
"""Seconds between the later ones."""
_ETHERNET = 1
"""ARPHRD_ETHER of linux/if_arp.h: the only links that have frames of this kind."""
_SIOCGIFHWADDR = 0x8927
"""linux/sockios.h."""

_Place = tuple[Address, int]
"""An address, and the index of its interface."""


class Heralds:
    """Those of our addresses that are on a link, each with a timer."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[_Place, asyncio.TimerHandle] = {}
        self._link: socket.socket | None = None
        """sends on every link; receives nothing"""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Opens nothing yet."""
        self._loop = loop

    def set(self, wanted: Mapping[Address, int]) -> None:
        """Tells of exactly these addresses, each on the interface with this index; of a new one at once."""
        named = set(wanted.items())
        for gone in self._timers.keys() - named:
            self._timers.pop(gone).cancel()
        for place in named - self._timers.keys():
            gaps = (later - earlier for earlier, later in pairwise(TIMES))
            self._tell(place, chain(gaps, repeat(REFRESH)))

    def close(self) -> None:
        """Tells of none any more."""
        self.set({})
        if self._link is not None:
            self._link.close()
            self._link = None

    def _tell(self, place: _Place, gaps: Iterator[float]) -> None:
        assert self._loop is not None
        self._timers[place] = self._loop.call_later(next(gaps), partial(self._tell, place, gaps))
        with suppress(OSError):  # the link is down, say: the next one follows
            self.send(*place)

    def send(self, address: Address, index: int) -> None:
        """Tells the neighbors on the interface with this index once. Raises ``OSError``."""
        if self._link is None:
            # One for all: to close a packet socket takes 16 ms, in which nothing else happens (an RCU grace period).
            self._link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        name = socket.if_indextoname(index)
        kind, mac = _hardware(self._link, name)
        if kind == _ETHERNET:
            self._link.sendto(frame(mac, address, router=address.version == 6 and _forwards(name)), (name, 0))


def _hardware(link: socket.socket, name: str) -> tuple[int, bytes]:
    """The kind of an interface (ARPHRD_*) and its MAC. Raises ``OSError``."""
    asked = fcntl.ioctl(link, _SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))
    (kind,) = struct.unpack_from("H", asked, 16)
    return kind, asked[18:24]


def _forwards(name: str) -> bool:
    """Whether this host is a router for IPv6 packets that arrive there."""
    return Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").read_text() != "0\n"
