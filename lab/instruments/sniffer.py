"""A router's instrument: writes down each VRRP advertisement that arrives at it, before the router forwards or drops
it.

A packet socket per IP version, with a kernel filter on protocol 112 and on the port of VXLANs, so that the probes
passing through cost nothing. Such a socket sees what comes in, not what goes out: each copy of an advert appears once,
at the first router on its path.

It writes `TIME INTERFACE SOURCE DESTINATION VRID PRIORITY`, the time in ns, taken by the kernel. Of an advert in a
VXLAN these are the addresses outside: the nodes'.

    python sniffer.py
"""

from __future__ import annotations

import ctypes
import selectors
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

VRRP = 112
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
TIMESPEC = struct.Struct("@qq")
INSTRUCTION = struct.Struct("@HBBI")
LOAD_BYTE, LOAD_HALF, JUMP_EQUAL, RETURN = 0x30, 0x28, 0x15, 0x06
"BPF_LD|BPF_B|BPF_ABS, BPF_LD|BPF_H|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K of linux/filter.h."
PROTOCOL_AT = {ETH_P_IP: 9, ETH_P_IPV6: 6}
"Where the IP header names the protocol (IPv6: the next header; adverts carry no extension headers)."
PORT_AT = {ETH_P_IP: 22, ETH_P_IPV6: 42}
"Where the destination port of UDP is behind an IP header without options."
UDP, VXLAN = 17, 4789
INNER_AT = 8 + 8 + 14
"Bytes of UDP, VXLAN and Ethernet before the inner IP packet."


def attach(receiver: socket.socket, instructions: Sequence[tuple[int, int, int, int]]) -> None:
    """Has the kernel filter what a socket receives (socket(7), SO_ATTACH_FILTER)."""
    program = ctypes.create_string_buffer(b"".join(INSTRUCTION.pack(*each) for each in instructions))
    receiver.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(instructions), ctypes.addressof(program))
    )


def listen(ethertype: int) -> socket.socket:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype))
    attach(
        listener,
        [
            (LOAD_BYTE, 0, 0, PROTOCOL_AT[ethertype]),
            (JUMP_EQUAL, 3, 0, VRRP),
            (JUMP_EQUAL, 0, 3, UDP),
            (LOAD_HALF, 0, 0, PORT_AT[ethertype]),
            (JUMP_EQUAL, 0, 1, VXLAN),
            (RETURN, 0, 0, 0xFFFF),
            (RETURN, 0, 0, 0),
        ],
    )
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    # The socket has received everything since it was made; what came before the filter is dropped.
    listener.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            listener.recv(1)
    return listener


Ends = tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]
"Source and destination."


def opened(packet: bytes) -> tuple[int, Ends, bytes]:
    """The protocol, the ends, and what follows the IP header."""
    if packet[0] >> 4 == 4:
        ends: Ends = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        return packet[9], ends, packet[(packet[0] & 0xF) * 4 :]
    return packet[6], (IPv6Address(packet[8:24]), IPv6Address(packet[24:40])), packet[40:]


def line(packet: bytes, interface: str, time: int) -> str:
    """Empty for what is no advert: a VXLAN carries other packets, too."""
    protocol, (source, destination), payload = opened(packet)
    if protocol == UDP:
        if int.from_bytes(payload[INNER_AT - 2 : INNER_AT], "big") not in PROTOCOL_AT:
            return ""
        protocol, _, payload = opened(payload[INNER_AT:])
    if protocol != VRRP:
        return ""
    return f"{time} {interface} {source} {destination} {payload[1]} {payload[2]}\n"


def main() -> None:
    with selectors.DefaultSelector() as selector:
        for ethertype in (ETH_P_IP, ETH_P_IPV6):
            selector.register(listen(ethertype), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                packet, control, _, sender = key.fileobj.recvmsg(2048, 64)
                seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
                sys.stdout.write(line(packet, sender[0], seconds * 1_000_000_000 + nanoseconds))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
