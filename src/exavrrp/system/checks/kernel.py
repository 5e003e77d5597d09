"""Probes of the local host, without a child process: files, processes, interfaces, routes.

Nothing here waits. Long lists (all processes, a whole routing table) are read in pieces, between which the event loop
runs. Files must be on a local file system: nothing in user space can limit how long an NFS server takes to answer.
"""

import asyncio
import os
import re
import socket
import struct
from contextlib import closing
from pathlib import Path

from exavrrp.config.kinds import File, Interface, Prefix, Process
from exavrrp.system.checks.outcome import Outcome, printable
from exavrrp.system.netlink import HEADER, NLM_F_DUMP, Netlink, Request, attribute, fixed, messages

MOST = 253
"""The largest number in a file: the largest weight."""

NUMBER_BYTES = 64
"""Bytes read of a file with a number."""

SLICE = 64
"""Processes examined in one turn of the event loop, in less than 2 ms."""

_COMM = 15
"""Bytes of a program's name that the kernel keeps (TASK_COMM_LEN without the terminating zero)."""

_RTM_GETLINK, _RTM_GETROUTE = 18, 26
_IFLA_IFNAME = 3
_IFF_UP, _IFF_RUNNING = 1, 0x40
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, mask."""
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1
_RTA_DST = 1
_UNUSABLE = 0x1 | 0x10 | 0x200
"""RTNH_F_DEAD, RTNH_F_LINKDOWN, RTM_F_CLONED (linux/rtnetlink.h)."""
_ROUTE = struct.Struct("=8BI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type; flags."""
_DUMP_TRIES = 5
"""A table that changes while it is read is read again (NLM_F_DUMP_INTR)."""


async def file(probe: File) -> Outcome:
    """Whether a file exists, or the number in it. Raises OSError if it cannot be read."""
    if not probe.file_value:
        return _presence(probe.file)
    try:
        content = _beginning(probe.file)
    except (FileNotFoundError, NotADirectoryError):
        return Outcome(passed=True, detail="does not exist: 0", value=0)
    return number(content)


def _presence(path: str) -> Outcome:
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return Outcome(passed=False, detail="does not exist")
    return Outcome(passed=True)


def number(content: bytes) -> Outcome:
    """The outcome for the first bytes of a file with a number."""
    text = content.decode("ascii", "replace").strip(" \t\r\n")
    if len(content) >= NUMBER_BYTES or not re.fullmatch(r"[-+]?[0-9]{1,9}", text):
        return Outcome(passed=False, detail=printable(f'holds "{text[:20]}", no number' if text else "is empty"))
    value = int(text)
    if abs(value) > MOST:
        return Outcome(passed=False, detail=f"holds {value}, beyond {'-' if value < 0 else ''}{MOST}")
    return Outcome(passed=True, detail=f"holds {value}", value=value)


def _beginning(path: str) -> bytes:
    # A FIFO must not block us, and a terminal must not become our controlling terminal (open(2)).
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, NUMBER_BYTES)
    finally:
        os.close(descriptor)


async def process(probe: Process) -> Outcome:
    """Whether enough processes of that name run, zombies not included."""
    name, found = os.fsencode(probe.process), 0
    for index, entry in enumerate(_numbers()):
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        found += is_called(entry, name)
        if found >= probe.at_least:
            return Outcome(passed=True)
    many = "none runs" if not found else f"{found} of {probe.at_least} run"
    return Outcome(passed=False, detail=many)


def _numbers() -> list[str]:
    with os.scandir("/proc") as entries:
        return [entry.name for entry in entries if entry.name.isdecimal()]


def is_called(entry: str, name: bytes) -> bool:
    """Whether the process with this number (an entry of /proc) runs and has this name; false if it has ended."""
    try:
        head, _, rest = beginning_of_stat(entry).rpartition(b")")
        if head.partition(b"(")[2] != name[:_COMM] or rest.split()[:1] in ([b"Z"], [b"X"], []):
            return False
        if len(name) <= _COMM:
            return True
        words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return False
    # The kernel truncates the name. The name of a script is the second word, after that of its interpreter.
    return any(word.rpartition(b"/")[2] == name for word in words[:2])


def beginning_of_stat(entry: str) -> bytes:
    """The beginning of /proc/PID/stat, with the name and state. Raises OSError when the process has ended."""
    descriptor = os.open(f"/proc/{entry}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 256)
    finally:
        os.close(descriptor)


async def interface(probe: Interface) -> Outcome:
    """Whether an interface is up and has a carrier. Raises OSError without a netlink socket."""
    named = attribute(_IFLA_IFNAME, os.fsencode(probe.interface) + b"\0")
    request = Request(_RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + named)
    with closing(Netlink()) as kernel:
        kernel.open()
        try:
            [answer] = kernel.ask(request)
            _, _, _, flags, _ = fixed(_LINK, answer)
        except OSError as error:
            return Outcome(passed=False, detail=printable(error.strerror or str(error)).lower())
    if not flags & _IFF_UP:
        return Outcome(passed=False, detail="is down")
    running = bool(flags & _IFF_RUNNING)
    return Outcome(running, "" if running else "has no carrier")


async def route(probe: Prefix) -> Outcome:
    """Whether the main table has a unicast route to exactly this prefix that the kernel can use."""
    for _ in range(_DUMP_TRIES):
        try:
            if await _is_there(probe):
                return Outcome(passed=True)
        except InterruptedError:
            continue
        return Outcome(passed=False, detail="is not in the main table")
    return Outcome(passed=False, detail="the table changes too fast to be read")


async def _is_there(probe: Prefix) -> bool:
    wanted = probe.route
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    # Kernels before 4.20 ignore the table.
    request = Request(_RTM_GETROUTE, _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_MAIN, 0, 0, 0, 0), NLM_F_DUMP)
    with closing(Netlink()) as kernel:
        kernel.open()
        for part in kernel.parts(request):
            if any(is_route(part, offset, wanted.network_address.packed, wanted.prefixlen) for offset in _each(part)):
                return True
            await asyncio.sleep(0)
    return False


def _each(part: bytes) -> list[int]:
    return [offset for offset, _, _, _ in messages(part)]


def is_route(part: bytes, offset: int, network: bytes, length: int) -> bool:
    """Whether the netlink message at ``offset`` is a usable route of the main table to exactly this prefix.

    A table has many routes, so the message is not decoded: the fixed part rules out nearly all. Raises nothing.
    """
    end = min(offset + HEADER.unpack_from(part, offset)[0], len(part))
    at = offset + HEADER.size
    if at + _ROUTE.size > end:
        return False
    _, dst_len, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(part, at)
    if dst_len != length or table != _RT_TABLE_MAIN or kind != _RTN_UNICAST or flags & _UNUSABLE:
        return False
    at += _ROUTE.size
    while length and at + 4 <= end:
        size, attribute = struct.unpack_from("=HH", part, at)
        if size < 4:
            return False
        if attribute == _RTA_DST:
            return part[at + 4 : min(at + size, end)] == network
        at += (size + 3) & ~3
    return length == 0
