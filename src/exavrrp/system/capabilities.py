"""What the kernel lets this process do, and that programs we start may do none of it.

``missing`` is asked at the start rather than at the first takeover. ``withheld`` is held around the start of a program.
Python has no binding for the three system calls; they come from the C library.

A program inherits capabilities in three ways (capabilities(7), "Transformation of capabilities during execve()"): by
our ambient set, which systemd's AmbientCapabilities= fills; by our inheritable set, with files that say so; and, with
user 0, for being root, unless the secure bit "noroot" is set. All three belong to the calling thread, so they are taken
away just before a program is started and given back after, and nothing else notices. That costs a few system calls and
no code between fork and exec, so ``subprocess`` can go on to use vfork.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""linux/capability.h: addresses on lo and SO_BINDTODEVICE; raw sockets."""

_PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT = 27, 28, 47
_PR_CAP_AMBIENT_IS_SET, _PR_CAP_AMBIENT_RAISE = 1, 2
_SECBIT_NOROOT = 1
"""linux/prctl.h, linux/securebits.h."""

_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""struct __user_cap_header_struct: _LINUX_CAPABILITY_VERSION_3, this thread."""
_SETS = struct.Struct("=6I")
"""Twice (effective, permitted, inheritable): the lower and the upper 32 capabilities."""

_libc = ctypes.CDLL(None, use_errno=True)


def missing(status: Path = Path("/proc/self/status")) -> list[str]:
    """The capabilities that this process needs and does not have in effect (proc(5), CapEff)."""
    bits = _effective(status)
    return [name for name, bit in NEEDED.items() if not bits >> bit & 1]


def has(number: int) -> bool:
    """Whether this process has the capability of this number in effect."""
    return bool(_effective(Path("/proc/self/status")) >> number & 1)


def _effective(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


@contextlib.contextmanager
def withheld(*, as_root: bool) -> Iterator[None]:
    """While this lasts, programs that this thread starts get no capabilities; ``as_root``: those of user 0 neither.

    Raises OSError if that cannot be had. What is not ours to give back (an inheritable capability that we do not have)
    stays away.
    """
    sets = list(_SETS.unpack(_capget()))
    ambient = [number for number in range(64) if _is_inherited(sets, number) and _is_ambient(number)]
    bits = _prctl(_PR_GET_SECUREBITS)
    bound = as_root and not bits & _SECBIT_NOROOT
    if bound:
        _forbid_root(bits)
    try:
        if sets[2] or sets[5]:
            _capset([*sets[:2], 0, *sets[3:5], 0])  # takes the ambient set along
        yield
    finally:
        if sets[2] or sets[5]:
            _capset([*sets[:2], sets[2] & sets[1], *sets[3:5], sets[5] & sets[4]])
        for number in ambient:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
        if bound:
            _prctl(_PR_SET_SECUREBITS, bits)


def _is_inherited(sets: list[int], number: int) -> bool:
    return bool(sets[2 + 3 * (number // 32)] >> number % 32 & 1)


def _is_ambient(number: int) -> bool:
    return _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_IS_SET, number) == 1


def _forbid_root(bits: int) -> None:
    try:
        _prctl(_PR_SET_SECUREBITS, bits | _SECBIT_NOROOT)
    except OSError as error:
        text = "without CAP_SETPCAP root cannot be kept from its capabilities; give us that one, or the check a user"
        raise OSError(errno.EPERM, text) from error


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
