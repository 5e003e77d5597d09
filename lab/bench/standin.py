"""A peer that stands in for an agent: it discards every advert, and sends those of an Active if it is given routers.

It has a raw socket that takes adverts and keeps none, so that the kernel does not answer them with an ICMP error. What
it sends was computed before: all adverts in BURSTS equal parts of the interval, over the first COPIES uplinks each.
If it falls behind, it does not catch up. It writes `TIME NUMBER` for each burst: ns since the epoch, packets.

    python -m lab.bench.standin OWN RECEIVER ROUTERS INTERVAL COPIES BURSTS
"""

from __future__ import annotations

import signal
import socket
import sys
import time

from lab.addressing import SERVERS, Family, Machine
from lab.bench.plan import adverts, virtual_routers
from lab.instruments.attacker import VRRP
from lab.instruments.sniffer import RETURN, attach

FAMILIES: dict[Family, socket.AddressFamily] = {4: socket.AF_INET, 6: socket.AF_INET6}


def sink(family: Family) -> socket.socket:
    """Receives all adverts; its filter drops them at once."""
    made = socket.socket(FAMILIES[family], socket.SOCK_RAW, VRRP)
    attach(made, [(RETURN, 0, 0, 0)])
    return made


def sender(family: Family, receiver: Machine, uplink: int) -> socket.socket:
    """Sends whole packets to a machine over one uplink."""
    made = socket.socket(FAMILIES[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, f"eth{uplink}".encode())
    made.connect((str(receiver.loopback(family)), 0))
    return made


def send(own: Machine, receiver: Machine, routers: int, interval: float, *, copies: int, bursts: int) -> None:
    """Sends for ever; `interval` in seconds."""
    senders = {(family, uplink): sender(family, receiver, uplink) for family in FAMILIES for uplink in range(copies)}
    packets = [
        (senders[family, uplink], packet)
        for family, packet in adverts(virtual_routers(routers), own, receiver, interval)
        for uplink in range(copies)
    ]
    size = -(-len(packets) // bursts)
    parts = [packets[at : at + size] for at in range(0, len(packets), size)]
    due = time.monotonic()
    while True:
        for part in parts:
            time.sleep(max(0.0, due - time.monotonic()))
            for over, packet in part:
                over.send(packet)
            sys.stdout.write(f"{time.time_ns()} {len(part)}\n")
            sys.stdout.flush()
            due = max(due + interval / len(parts), time.monotonic())


def main(own: str, receiver: str, *numbers: str) -> None:
    machines = {each.name: each for each in SERVERS}
    routers, copies, bursts = int(numbers[0]), int(numbers[2]), int(numbers[3])
    sinks = [sink(family) for family in FAMILIES]
    assert sinks
    if routers:
        send(machines[own], machines[receiver], routers, float(numbers[1]), copies=copies, bursts=bursts)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
