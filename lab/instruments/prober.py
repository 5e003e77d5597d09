"""The client's instrument: numbered UDP probes at a fixed rate, and which server answered each, and when.

Probes are due at fixed times (start + number / rate); one that is late is sent at once and carries the time it really
left. They take turns among SOCKETS source ports, so that ECMP spreads them over all paths. The time of an answer is
the kernel's (SO_TIMESTAMPNS), which a busy machine does not delay.

It writes `s NUMBER TIME` for each probe sent and `a NUMBER TIME NAME` for each answer, times in ns. A probe that the
client's own kernel refuses for want of a route counts as sent, and as lost. On SIGTERM it stops sending, and ends when
every probe was answered, or none for LAST_ANSWERS.

    python prober.py SOURCE TARGET PORT RATE [FIRST_PORT]
"""

from __future__ import annotations

import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType

SOCKETS = 16
FIRST_PORT = 40000
FLUSH = 0.02
"Seconds between writes of what was recorded."
LAST_ANSWERS = 2.0
"Seconds; a round trip in the lab takes less than 1 ms, but who answers may have to wait for a CPU."
NUMBER = struct.Struct("!Q")
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
ROOM = 4 << 20
"Bytes: for what comes while we wait for a CPU."
TIMESPEC = struct.Struct("@qq")


class Prober:
    def __init__(self, source: str, target: str, port: int, rate: float, first_port: int = FIRST_PORT) -> None:
        family = socket.AF_INET if ip_address(target).version == 4 else socket.AF_INET6
        self._target = (target, port)
        self._period = 1 / rate
        self._selector = selectors.DefaultSelector()
        self._sockets = [self._open(family, source, first_port + index) for index in range(SOCKETS)]
        self._lines: list[str] = []
        self._number = 0
        self._unanswered: set[int] = set()
        self._heard = 0.0
        self._sending = True

    def _open(self, family: socket.AddressFamily, source: str, port: int) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with suppress(PermissionError):  # root of a user namespace: the default has to do
            opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        opened.bind((source, port))
        opened.settimeout(0)
        self._selector.register(opened, selectors.EVENT_READ)
        return opened

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._sending = False
        self._heard = time.monotonic()

    def run(self) -> None:
        start = flushed = now = time.monotonic()
        while self._sending or (self._unanswered and now < self._heard + LAST_ANSWERS):
            now = time.monotonic()
            due = start + self._number * self._period
            if self._sending and now >= due:
                self._send()
                continue
            if now - flushed >= FLUSH:
                self._flush()
                flushed = now
            # While sending, wake up in time for the next probe; afterwards, look up now and then.
            wait = min(due - now, FLUSH) if self._sending else FLUSH
            for key, _ in self._selector.select(max(wait, 0)):
                assert isinstance(key.fileobj, socket.socket)
                self._receive(key.fileobj)
        self._flush()

    def _send(self) -> None:
        now = time.time_ns()
        with suppress(OSError):
            self._sockets[self._number % SOCKETS].sendto(NUMBER.pack(self._number), self._target)
        self._lines.append(f"s {self._number} {now}\n")
        self._unanswered.add(self._number)
        self._number += 1

    def _receive(self, source: socket.socket) -> None:
        with suppress(OSError):
            data, control, _, _ = source.recvmsg(256, 64)
            (number,) = NUMBER.unpack_from(data)
            self._unanswered.discard(number)
            self._heard = time.monotonic()
            seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
            name = data[NUMBER.size :].decode()
            self._lines.append(f"a {number} {seconds * 1_000_000_000 + nanoseconds} {name}\n")

    def _flush(self) -> None:
        sys.stdout.write("".join(self._lines))
        sys.stdout.flush()
        self._lines.clear()


def main(source: str, target: str, port: int, rate: float, first_port: int = FIRST_PORT) -> None:
    prober = Prober(source, target, port, rate, first_port)
    signal.signal(signal.SIGTERM, prober.stop)
    prober.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
