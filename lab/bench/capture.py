"""A peer's instrument: writes down each advert that it receives, with the kernel's time stamp.

It reads ten times a second, so that thousands of adverts cost little. Records: `readings.RECORD`.

    python -m lab.bench.capture
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

from lab.bench.readings import RECORD
from lab.instruments.sniffer import ETH_P_IP, ETH_P_IPV6, TIMESPEC, listen

SO_RCVBUFFORCE = 33
BUFFER = 32 << 20
"Bytes; the 1,020 adverts of 100 ms, with the kernel's overhead for each, take about one MiB."
PERIOD = 0.1


def drain(listener: socket.socket) -> bytes:
    """A record for each advert that waits."""
    records = []
    with suppress(BlockingIOError):
        while True:
            data, control, _, (interface, *_) = listener.recvmsg(128, 64)
            seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
            version = data[0] >> 4
            vrid, priority = data[41:43] if version == 6 else data[(data[0] & 15) * 4 + 1 :][:2]
            records.append(
                RECORD.pack(seconds * 1_000_000_000 + nanoseconds, version, vrid, priority, int(interface[3:]))
            )
    return b"".join(records)


def main() -> None:
    listeners = [listen(ethertype) for ethertype in (ETH_P_IP, ETH_P_IPV6)]
    for each in listeners:
        with suppress(PermissionError):  # root of a user namespace: the default has to do
            each.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    while True:
        for each in listeners:
            sys.stdout.buffer.write(drain(each))
        sys.stdout.buffer.flush()
        time.sleep(PERIOD)


if __name__ == "__main__":
    main()
