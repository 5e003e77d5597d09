"""The capabilities of this process, and how the programs that it starts get none.

``missing`` is called at the start, not at the first takeover. ``renounce`` is called by a thread that starts programs,
and nothing else. Python has no binding for the system calls; they are called through the C library.

A program gains capabilities in three ways (capabilities(7), "Transformation of capabilities during execve()"): from our
ambient set, which systemd's AmbientCapabilities= fills; from our inheritable set, if its file has capabilities; and by
being user 0. The first two sets are emptied, which needs no right. The secure bit "noroot" would prevent the third, but
setting it needs CAP_SETPCAP, which a container often lacks. So a program of user 0 is started by a thread that has no
capability at all, and has "no new privileges" (prctl(2)): an execve() then cannot give the program more than the thread
has, which is nothing (cap_bprm_creds_from_file() in the kernel's security/commoncap.c). Capabilities and that bit
belong to the calling thread; the other threads keep theirs.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

NUMBERS = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14}
"""linux/capability.h: those that the agent may use."""

NEEDED = ("CAP_NET_ADMIN", "CAP_NET_RAW")
"""For addresses on lo and SO_BINDTODEVICE; for raw sockets."""

FOR_ANOTHER_USER = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL")
"""For starting a program as another user with its groups, and for killing it when it overruns (kill(2))."""

_PR_SET_NO_NEW_PRIVS = 38
"""linux/prctl.h."""

_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""struct __user_cap_header_struct: _LINUX_CAPABILITY_VERSION_3, this thread."""
_SETS = struct.Struct("=6I")
"""Twice (effective, permitted, inheritable): the lower and the upper 32 capabilities."""

_libc = ctypes.CDLL(None, use_errno=True)


def missing(
    names: Iterable[str] = NEEDED, field: str = "CapEff", status: Path = Path("/proc/self/status")
) -> list[str]:
    """Those of ``names`` that this process does not have in effect, or in another set (a ``field`` of proc(5))."""
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    bits = int(line.split()[1], 16)
    return [name for name in names if not bits >> NUMBERS[name] & 1]


def remedy(names: Iterable[str]) -> str:
    """Text: how an operator gives these capabilities to ExaBGP, and so to us, in a unit and in a container.

    Root has every capability that was not removed. Another user has only those that it is given; containers can give
    them to root only.
    """
    listed = list(names)
    setting = "CapabilityBoundingSet" if os.geteuid() == 0 else "AmbientCapabilities"
    added = " ".join(f"--cap-add={name.removeprefix('CAP_')}" for name in listed)
    return f"give ExaBGP's unit {setting}={' '.join(listed)}, or its container the user root and {added}"


def renounce(*, entirely: bool) -> None:
    """Programs that this thread starts get no capabilities from now on, which cannot be undone. Raises OSError.

    ``entirely``: the thread drops its own ones, too, and no program gets any by being root or from its file.
    """
    effective, permitted, _, more_effective, more_permitted, _ = _SETS.unpack(_capget())
    if entirely:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        effective = permitted = more_effective = more_permitted = 0
    _capset([effective, permitted, 0, more_effective, more_permitted, 0])  # empties the ambient set, too


def _prctl(option: int, *arguments: int) -> int:
    result: int = _libc.prctl(option, *map(ctypes.c_ulong, (*arguments, *[0] * (4 - len(arguments)))))
    return _checked(result)


def _capget() -> bytes:
    data = ctypes.create_string_buffer(_SETS.size)
    _checked(_libc.capget(_HEADER, data))
    return data.raw[: _SETS.size]


def _capset(sets: list[int]) -> None:
    _checked(_libc.capset(_HEADER, _SETS.pack(*sets)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
