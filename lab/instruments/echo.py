"""A UDP service on a server: answers each datagram from the address it was asked at, with the server's name appended.

The address matters. A server that answered a probe for the virtual address from another address, or though it does
not own the virtual address, would make a loss look like an answer or the other way round. So the reply's source is the
destination of the request (IP_PKTINFO, IPV6_RECVPKTINFO); if the address has gone meanwhile, the kernel refuses
and nothing is sent.

    python echo.py NAME PORT
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from contextlib import suppress

IP_PKTINFO = 8
"linux/in.h; Python has no name for it before 3.14."
SO_RCVBUFFORCE = 33
ROOM = 4 << 20
"Bytes: for what comes while we wait for a CPU."


def listen(family: socket.AddressFamily, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    with suppress(PermissionError):  # root of a user namespace: the default has to do
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        listener.bind(("::", port))
    else:
        listener.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        listener.bind(("0.0.0.0", port))
    return listener


def asked_at(level: int, kind: int, data: bytes) -> tuple[int, int, bytes] | None:
    """The control message that makes the reply leave from the address the request was sent to, over the interface that
    routing chooses.
    """
    if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
        return level, kind, data[:16] + struct.pack("@I", 0)
    if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
        # struct in_pktinfo: interface, source for a reply, destination of the packet.
        return level, kind, struct.pack("@I4s4s", 0, data[8:12], b"\0\0\0\0")
    return None


def answer(listener: socket.socket, name: bytes) -> None:
    question, control, _, sender = listener.recvmsg(2048, 256)
    source = [reply for item in control if (reply := asked_at(*item))]
    with suppress(OSError):
        listener.sendmsg([question, name], source, 0, sender)


def main(name: str, port: int) -> None:
    with selectors.DefaultSelector() as selector:
        for family in (socket.AF_INET6, socket.AF_INET):
            selector.register(listen(family, port), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                answer(key.fileobj, name.encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
