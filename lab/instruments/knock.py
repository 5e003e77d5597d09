"""Sends packets of protocol 112 that are no adverts (all zeros), as a raw socket bound to SOURCE does: to see which
path the kernel's ECMP hash chooses. (`ip route get … ipproto 112` cannot say: the kernel takes TCP, UDP and ICMP
there only.)

One packet every PERIOD until it is ended; all take the same path.

    python knock.py SOURCE DESTINATION
"""

from __future__ import annotations

import socket
import sys
import time
from ipaddress import ip_address

VRRP = 112
PERIOD = 0.02


def main(source: str, destination: str) -> None:
    family = socket.AF_INET if ip_address(source).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, VRRP) as raw:
        raw.bind((source, 0))
        while True:
            raw.sendto(bytes(8), (destination, 0))
            time.sleep(PERIOD)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
