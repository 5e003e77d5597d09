"""Tells the neighbors on a link which addresses this host has: when it has taken them over, and again later.

This file owns the times at which that is said, and the packet socket. ``vrrp.link`` has the frames. It must not know
why an address is there.

A frame may be lost, and a switch or a neighbor that comes back may have missed all of them: so the first ones follow
each other soon, and they go on for as long as the address is there. They begin anew when the link changes (its carrier
has returned, say), and when somebody else has claimed the address.
"""

import asyncio
import fcntl
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exavrrp.vrrp.link import frame
from exavrrp.vrrp.packet import Address

TIMES = (0.0, 0.02, 0.1, 0.5, 2.0, 5.0)
"""Seconds from the takeover at which the first frames are sent. keepalived sends five at once, and five after 5 s; at
intervals they also reach who was deaf for a moment."""
REFRESH = 60.0
"""Seconds between the later ones."""
_UNBROKEN = 3
"""Of ``TIMES``: so many frames are sent before they may begin anew. Who claims the address, too, does so with each of
its adverts, of which there may be a hundred a second."""
_ETHERNET = 1
"""ARPHRD_ETHER of linux/if_arp.h: the only links that have frames of this kind."""
_SIOCGIFHWADDR = 0x8927
"""linux/sockios.h."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface, as neighbors know it."""

    index: int
    state: object = None
    """if it is another one, neighbors may have missed or forgotten everything"""


class _Frames:
    """What is said of one address on one link: often at first, then rarely."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, send: Callable[[], None]) -> None:
        """``send`` may raise ``OSError``: the link is down, say. The next frame follows."""
        self.link = link
        self._loop = loop
        self._send = send
        self._anew = False
        self._go_on(0)

    def begin_anew(self) -> None:
        """Soon: somebody else has claimed the address."""
        self._anew = True
        if self._next > _UNBROKEN:
            self.cancel()
            self._go_on(self._next)

    def cancel(self) -> None:
        self._timer.cancel()

    def _go_on(self, number: int) -> None:
        """Send the frame of this number."""
        if self._anew and number >= _UNBROKEN:
            self._anew, number = False, 0
        self._next = following = number + 1
        gap = TIMES[following] - TIMES[number] if following < len(TIMES) else REFRESH
        self._timer = self._loop.call_later(gap, self._go_on, following)
        with suppress(OSError):
            self._send()


class Heralds:
    """Those of our addresses that are on a link."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._frames: dict[Address, _Frames] = {}
        self._link: socket.socket | None = None
        """sends on every link; receives nothing"""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Opens nothing yet."""
        self._loop = loop

    def set(self, wanted: Mapping[Address, Link]) -> None:
        """Tells of exactly these addresses, each on this link; of a new one, or on a changed link, at once."""
        for gone in [address for address, frames in self._frames.items() if wanted.get(address) != frames.link]:
            self._frames.pop(gone).cancel()
        for address, link in wanted.items():
            if address not in self._frames:
                assert self._loop is not None
                self._frames[address] = _Frames(self._loop, link, partial(self.send, address, link.index))

    def begin_anew(self, addresses: Collection[Address]) -> None:
        """Tells of these once more, from the beginning, if they are among those that are told of.

        It costs what ``addresses`` cost: each advert of a second Active asks for it.
        """
        for address in self._frames.keys() & addresses:
            self._frames[address].begin_anew()

    def close(self) -> None:
        """Tells of none any more."""
        self.set({})
        if self._link is not None:
            self._link.close()
            self._link = None

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
