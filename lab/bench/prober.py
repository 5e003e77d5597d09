"""A router's instrument: pings each virtual address (ICMP echo) every 10 ms until it has answered once.

Without a route to an address, a ping costs a system call and no packet. It writes `TIME ADDRESS` for each
first answer, the time in ns since the epoch, and ends with the last one.

    python -m lab.bench.prober ROUTERS
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from contextlib import suppress

from lab.addressing import Family
from lab.bench.plan import virtual_routers
from lab.instruments.attacker import summed

PERIOD = 0.01
REQUEST: dict[Family, int] = {4: 8, 6: 128}
REPLY: dict[Family, int] = {4: 0, 6: 129}


def request(family: Family) -> bytes:
    """An echo request; of ICMPv6 the kernel fills in the checksum."""
    message = struct.pack("!BBHHH", REQUEST[family], 0, 0, 1, 1)
    return message[:2] + summed(message).to_bytes(2) + message[4:]


def answers(family: Family, listener: socket.socket) -> set[str]:
    """The addresses that have answered since the last call."""
    found = set()
    with suppress(BlockingIOError):
        while True:
            data, (address, *_) = listener.recvfrom(256)
            if data[20 if family == 4 else 0] == REPLY[family]:
                found.add(address)
    return found


def main(routers: int) -> None:
    sockets: dict[Family, socket.socket] = {
        4: socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP),
        6: socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6),
    }
    requests = {family: request(family) for family in sockets}
    silent = {str(each.address): each.family for each in virtual_routers(routers)}
    while silent:
        due = time.monotonic() + PERIOD
        for name, family in silent.items():
            with suppress(OSError):  # no route
                sockets[family].sendto(requests[family], (name, 0))
        while (left := due - time.monotonic()) > 0:
            select.select(sockets.values(), [], [], left)
            for family, listener in sockets.items():
                for name in answers(family, listener) & silent.keys():
                    del silent[name]
                    print(time.time_ns(), name, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
