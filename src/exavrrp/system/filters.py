"""Socket filters by source address for raw sockets: classic BPF programs, made and attached here.

This file owns the programs and the setsockopt. It must not know whose addresses it compares, nor what happens to the
packets. The kernel runs the program for each packet before it queues it: a packet that is rejected costs only the
comparison, and does not wake up this process. No capability is needed.

Sources are compared in words of 32 bits, in a search tree: the first words of all addresses, then, below each of them,
the second words, and so on. That takes about five comparisons for an IPv4 address among hundreds, and twice as many for
an IPv6 address that shares a prefix with the others. The program of a raw IPv6 socket sees the payload only, so the
address is loaded relative to the network header (``SKF_NET_OFF``). That is also right behind extension headers, and for
IPv4.

The kernel limits the size of a program: 4096 instructions (``BPF_MAXINSNS``), whose compiled form must fit into
net.core.optmem_max. An IPv4 address takes four instructions, as does an IPv6 address with a common prefix.
"""

import ctypes
import socket
import struct
from collections.abc import Collection, Sequence

from exavrrp.vrrp.packet import Address

Instruction = tuple[int, int, int, int]
"""(code, how far to jump if true, if false, operand): struct sock_filter of linux/filter.h"""
Program = Sequence[Instruction]

_LOAD, _JUMP, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x06
"""BPF_LD|BPF_W|BPF_ABS; BPF_JMP with BPF_JA, BPF_JEQ|BPF_K, BPF_JGE|BPF_K; BPF_RET|BPF_K: linux/bpf_common.h"""
_NETWORK_HEADER = 0x1_0000_0000 - 0x10_0000
"""SKF_NET_OFF of linux/filter.h: offsets from here on count from the IP header."""
_SOURCE_AT = {4: 12, 6: 8}
"""Offset of the source address in the IP header, by IP version."""
_FARTHEST = 255
"""Most instructions that a conditional jump can skip: its field has 8 bits."""
_SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python has no name for it."""

_ALL: Instruction = (_RETURN, 0, 0, 0xFFFF_FFFF)
_NONE: Instruction = (_RETURN, 0, 0, 0)

NOTHING: Program = (_NONE,)
EVERYTHING: Program = (_ALL,)


def among(sources: Collection[Address]) -> Program:
    """Accepts packets from ``sources``, which are all of one family, and rejects all others."""
    return _compared(sources, _ALL, _NONE)


def outside(sources: Collection[Address]) -> Program:
    """Rejects packets from ``sources``, which are all of one family, and accepts all others."""
    return _compared(sources, _NONE, _ALL)


def attach(to: socket.socket, program: Program) -> None:
    """Attaches ``program``. It replaces the filter that was attached before, between two packets.

    Raises ``OSError``: ``EINVAL`` or ``ENOMEM`` for a program that is too long. Then the previous filter stays.
    """
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))


def _compared(sources: Collection[Address], found: Instruction, missing: Instruction) -> Program:
    if not sources:
        return (missing,)
    [family] = {source.version for source in sources}
    words = {struct.unpack(f"!{len(source.packed) // 4}I", source.packed) for source in sources}
    return _Tree(found, missing).match(words, _NETWORK_HEADER + _SOURCE_AT[family])


class _Tree:
    """Makes the instructions of a search that ends with ``found`` or with ``missing``."""

    def __init__(self, found: Instruction, missing: Instruction) -> None:
        self._found = found
        self._missing = missing

    def match(self, wanted: Collection[tuple[int, ...]], at: int) -> list[Instruction]:
        """Instructions that compare the words from the offset ``at`` on with each of ``wanted``."""
        if wanted == {()}:
            return [self._found]
        branches: dict[int, set[tuple[int, ...]]] = {}
        for word, *rest in wanted:
            branches.setdefault(word, set()).add(tuple(rest))
        return [(_LOAD, 0, 0, at), *self._choose(sorted(branches.items()), at + 4)]

    def _choose(self, branches: Sequence[tuple[int, set[tuple[int, ...]]]], after: int) -> list[Instruction]:
        """Instructions that find the branch of the loaded word, and go on there with the word at offset ``after``."""
        if len(branches) == 1:
            [(word, rest)] = branches
            return [(_IF_EQUAL, 1, 0, word), self._missing, *self.match(rest, after)]
        half = len(branches) // 2
        lower, upper = (self._choose(part, after) for part in (branches[:half], branches[half:]))
        least = branches[half][0]
        if len(lower) <= _FARTHEST:
            return [(_IF_AT_LEAST, len(lower), 0, least), *lower, *upper]
        return [(_IF_AT_LEAST, 0, 1, least), (_JUMP, 0, 0, len(lower)), *lower, *upper]
