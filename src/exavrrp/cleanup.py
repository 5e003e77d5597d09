"""Removes the addresses that a dead agent has left, from lo or a link: for a host on which no agent runs any more.

An agent that is killed leaves its addresses bound, so that its successor serves on with them. Where none comes, because
ExaBGP was killed too, or the container is gone, the host goes on answering for them itself: its own clients reach
nobody.

What an earlier configuration named is removed as well, as far as the last agent has noted it (``state``). That is all
where the file has mistakes.

Only what nobody serves is removed. The lock of the state directory says whether an agent lives, and is held meanwhile:
an agent that starts waits for it (for longer than this takes), and then finds a clean host. An agent that is about to
end is waited for. An ExaBGP that still lives goes on announcing what it was told, and starts an agent anew: unbinding
would make its routes a black hole, so it has to end first.
"""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from exavrrp.system.addresses import Addresses
from exavrrp.system.lock import Lock
from exavrrp.system.state import announcer, bound_before
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp.packet import Address

LOOK = 0.02
"""Seconds between two attempts to take the lock."""


class Served(Exception):
    """An agent manages the addresses, or an ExaBGP announces them. The text names it, and the remedy."""


def clean(directory: Path, ours: Collection[VirtualAddress], wait: float) -> list[tuple[Address, str]]:
    """Unbind ``ours`` and every address of the last agent with this state directory; return what was there, and where.

    Waits for an agent to end for at most ``wait`` seconds. Raises ``Served``, and ``OSError`` when the lock cannot be
    opened or an address not be removed.
    """
    lock = Lock(directory)
    lock.open()
    try:
        limit = time.monotonic() + wait
        while not lock.take():
            if time.monotonic() > limit:
                raise Served(f"an agent runs here (process {lock.holder()}), and looks after its addresses")
            time.sleep(LOOK)
        return _unbound(ours, directory)
    finally:
        lock.release()


def _unbound(ours: Collection[VirtualAddress], directory: Path) -> list[tuple[Address, str]]:
    """Those that were bound, and are no more, each with its interface. Raises ``Served``, ``OSError``."""
    loop = asyncio.new_event_loop()
    addresses = Addresses(_ignored, _ignored, _ignored)
    try:
        addresses.open(loop)
        addresses.own(ours)
        addresses.adopt(bound_before(directory))
        found = addresses.places()
        if found and (exabgp := announcer(directory)) is not None:
            raise Served(f"ExaBGP (process {exabgp}) may still announce for an agent that is gone; stop ExaBGP first")
        addresses.set(())
    finally:
        addresses.close()
        loop.close()
    return sorted(found, key=lambda one: (one[0].version, int(one[0]), one[1]))


def _ignored(*_: object) -> None:
    """What is watched while we are at it is of no interest."""
