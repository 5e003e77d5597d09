"""What a flood does to adverts: `python -m tests.benchmarks.floods` (root; about four minutes).

Two nodes share 20 virtual routers, adverts every 100 ms. An attacker on a link of its own to the first node sends three
floods, with a pause in between: 50,000 packets a second from non-peers; 5,000 a second with the peer's source address
and a wrong checksum, which is the costliest rejection; 5,000 a second that are copies of the peer's own adverts, which
cost the most, because they are accepted.

Reported for each: transitions (there should be none), how late the adverts of the flooded node left (the gap to the
previous one, less the interval, by the router's kernel timestamps), how late the machine itself was at most (a canary,
with the agents' scheduling), the agent's share of a core, and its counters. The attacker needs most of a core; on a
machine with two, the agents and the measurement share the other.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn, Protocol

from exavrrp.vrrp.packet import Advertisement, encode
from lab.instruments.canary import TOO_LATE
from tests.benchmarks.nodes import REALTIME, Canary, Lateness, Node, Plan, Site, site, source, virtual
from tests.system.conftest import Namespace, cable
from tests.system.running import LIMIT, Copy, Family, wait_until
from tests.system.test_hostile import ETHERTYPE, with_header

INTERVAL = 0.1
ROUTERS = 20
PACE = 0.001
"""Seconds between two handfuls of packets."""


class _Message(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.c_void_p),
        ("number_of_parts", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Handful:
    """Packets that are sent in turn, many of them with one call."""

    def __init__(self, sender: socket.socket, packets: Sequence[bytes], size: int) -> None:
        self._sender = sender
        self._size = size
        # As often as it takes for any window of ``size`` to be whole.
        repeated = [packets[number % len(packets)] for number in range(len(packets) + size)]
        self._period = len(packets)
        self._data = [ctypes.create_string_buffer(packet, len(packet)) for packet in repeated]
        self._parts = (_Part * len(repeated))(*(_Part(ctypes.addressof(one), len(one)) for one in self._data))
        self._messages = (_Message * len(repeated))()
        for number, message in enumerate(self._messages):
            message.parts = ctypes.addressof(self._parts) + number * ctypes.sizeof(_Part)
            message.number_of_parts = 1
        self._next = 0
        self._libc = ctypes.CDLL(None, use_errno=True)

    def send(self) -> int:
        """How many went out; raises OSError."""
        at = ctypes.byref(self._messages, self._next * ctypes.sizeof(_Message))
        sent: int = self._libc.sendmmsg(self._sender.fileno(), at, self._size, 0)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._next = (self._next + sent) % self._period
        return sent


class Attacker:
    """On a link of its own to a node; says it is whoever it likes."""

    def __init__(self, victim: Namespace, home: Namespace, family: Family) -> None:
        cable(home, "eth0", victim, "evil0")
        link = json.loads(victim.run("ip", "-json", "link", "show", "evil0"))
        address = bytes.fromhex(link[0]["address"].replace(":", ""))
        with home:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind(("eth0", ETHERTYPE[family]))
        own = bytes.fromhex("020000000666")
        self._ethernet = address + own + struct.pack("!H", ETHERTYPE[family])

    def flood(self, packets: Sequence[bytes], rate: int, seconds: float) -> "Flood":
        """Starts to send ``packets`` in turn, ``rate`` in a second."""
        framed = [self._ethernet + packet for packet in packets]
        return Flood(Handful(self._socket, framed, max(1, round(rate * PACE))), rate, seconds)

    def close(self) -> None:
        """The link goes with the namespace."""
        self._socket.close()


class Load(Protocol):
    """What happens to a node meanwhile."""

    def wait(self) -> int:
        """Until it is over; how much it was."""


class Flood(Load):
    """A process that sends, for a bounded time, and then says how much it was."""

    def __init__(self, handful: Handful, rate: int, seconds: float) -> None:
        self._seconds = seconds
        reader, writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(reader)
            _fire(handful, rate, seconds, writer)
        os.close(writer)
        self._reader = reader

    def wait(self) -> int:
        """How many packets were sent."""
        descriptor = os.pidfd_open(self._process)
        try:
            over, _, _ = select.select([descriptor], [], [], self._seconds + LIMIT)
            if not over:
                os.kill(self._process, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1]) == 0, "the attacker failed"
            return int(os.read(self._reader, 100))
        finally:
            os.close(descriptor)
            os.close(self._reader)


def _fire(handful: Handful, rate: int, seconds: float, writer: int) -> NoReturn:
    """The attacker's process."""
    try:
        begin, sent = time.monotonic(), 0
        while (now := time.monotonic()) < begin + seconds:
            if sent < (now - begin) * rate:
                sent += handful.send()
            else:
                time.sleep(PACE / 4)
        os.write(writer, str(sent).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


# What is sent


def non_peers(family: Family, to: int = 1) -> list[bytes]:
    """Adverts that would win, from 250 sources that are no peers."""
    base = int(ip_address("203.0.113.1" if family == 4 else "2001:db8:bad::1"))
    kind = type(ip_address(source(to, family)))
    found = []
    for number in range(250):
        sender, receiver = kind(base + number), ip_address(source(to, family))
        advert = Advertisement(1 + number % ROUTERS, 255, 10, (ip_address(virtual(1 + number % ROUTERS, family)),))
        found.append(with_header(sender, receiver, 255, encode(advert, sender, receiver)))
    return found


def spoofed(plan: Plan, *, valid: bool, sender: int = 2, to: int = 1) -> list[bytes]:
    """The peer's own adverts for each virtual router, or the same with a checksum that is wrong and priority 255."""
    there, here = (ip_address(source(number, plan.family)) for number in (sender, to))
    found = []
    for vrid in range(1, plan.routers + 1):
        claim = plan.priority(vrid, sender) if valid else 255
        advert = Advertisement(vrid, claim, round(plan.interval * 100), (ip_address(virtual(vrid, plan.family)),))
        payload = encode(advert, there, here)
        if not valid:
            payload = payload[:6] + bytes([payload[6] ^ 0x55]) + payload[7:]
        elif plan.home(vrid) != sender:
            continue  # the peer does not send these
        found.append(with_header(there, here, 255, payload))
    return found


# What is measured


@dataclass(frozen=True)
class Result:
    """One phase."""

    name: str
    rate: float
    """packets a second that were sent"""
    transitions: int
    adverts: int
    late: tuple[float, float, float]
    """milliseconds: median, 99.9th percentile, the latest"""
    machine: float
    """milliseconds by which a process that only wakes up was late at most; 0: by less than it writes down"""
    cpu: float
    """share of a core that the flooded agent used"""
    rejected: int
    unread: int
    overflowed: int

    def line(self) -> str:
        """A row of the table."""
        late = "".join(f"{one:9.2f}" for one in self.late)
        machine = f"{self.machine:.2f}" if self.machine else f"<{TOO_LATE / 1e6:g}"
        counts = f"{self.rejected:10}{self.unread:10}{self.overflowed:11}"
        measured = f"{self.rate:9.0f}{self.transitions:12}{self.adverts:9}{late}{machine:>9}{self.cpu:8.1%}"
        return f"{self.name:24}{measured}{counts}"


HEADING = (
    f"{'':24}{'packets/s':>9}{'transitions':>12}{'adverts':>9}{'median':>9}{'p99.9':>9}{'max ms':>9}{'machine':>9}"
    f"{'CPU':>8}{'rejected':>10}{'unread':>10}{'overflowed':>11}"
)


def counted(node: Node) -> tuple[int, int, int]:
    """Packets that the agent rejected, that nobody read, that found no room."""
    record = node.counters()
    wires: list[dict[str, Any]] = list(record["wires"].values())
    return (
        sum(record["rejected"].values()),
        sum(wire["unread"] for wire in wires),
        sum(wire["overflowed"] for wire in wires),
    )


def measured(where: Site, name: str, flood: Load | None, seconds: float) -> Result:
    """What happened in so many seconds."""
    node, lateness = where.nodes[0], Lateness(where.plan.interval)
    before, cpu, begin = counted(node), node.cpu(), time.time()
    end = time.monotonic() + seconds
    canary = Canary(where)
    where.adverts.take()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(0.5, left))
        lateness.add(ours(where.adverts.take(), node))
    took, used, machine = time.time() - begin, node.cpu() - cpu, canary.stop()
    sent = 0 if flood is None else flood.wait()
    rejected, unread, overflowed = (later - earlier for later, earlier in zip(counted(node), before, strict=True))
    late = tuple(1000 * lateness.quantile(share) for share in (0.5, 0.999, 1.0))
    return Result(
        name, sent / took, where.moves(begin).total(), len(lateness.seconds), (late[0], late[1], late[2]),
        1000 * machine, used / took, rejected, unread, overflowed,
    )  # fmt: skip


def ours(copies: Sequence[Copy], node: Node) -> list[Copy]:
    """The adverts of the flooded node."""
    return [copy for copy in copies if copy.interface.startswith(f"n{node.number}e")]


def phases(where: Site, attacker: Attacker, seconds: float, known: int, unknown: int) -> list[Result]:
    """All of them, each after as long a quiet time."""
    plan = where.plan
    floods = (
        (f"non-peers, {unknown}/s", non_peers(plan.family), unknown),
        (f"peer, wrong, {known}/s", spoofed(plan, valid=False), known),
        (f"peer, copies, {known}/s", spoofed(plan, valid=True), known),
    )
    results = []
    for name, packets, rate in floods:
        for result in (
            measured(where, "quiet", None, seconds),
            measured(where, name, attacker.flood(packets, rate, seconds), seconds),
        ):
            print(result.line(), flush=True)
            results.append(result)
    return results


def main() -> int:
    """0 if nothing moved, and adverts were seen all the time."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.floods", description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=30.0, help="for each phase (default: %(default)s)")
    options.add_argument("--family", type=int, choices=(4, 6), default=6)
    options.add_argument("--unknown", type=int, default=50_000, help="packets a second from non-peers")
    options.add_argument("--known", type=int, default=5_000, help="packets a second in the name of the peer")
    options.add_argument("--realtime", action="store_true", help="agents with real-time scheduling, locked in memory")
    chosen = options.parse_args()
    options_of_agents = REALTIME if chosen.realtime else ()
    plan = Plan(nodes=2, routers=ROUTERS, interval=INTERVAL, family=chosen.family, options=options_of_agents)
    print(HEADING, flush=True)
    with site(plan) as where:
        attacker = Attacker(where.nodes[0].namespace, where.namespace(), chosen.family)
        try:
            results = phases(where, attacker, chosen.seconds, chosen.known, chosen.unknown)
        finally:
            attacker.close()
        wait_until(where.settled, "the nodes to be as they were")
    return int(any(result.transitions or not result.adverts for result in results))


if __name__ == "__main__":
    sys.exit(main())
