"""The CPU before others, and memory that stays: for short advert intervals on a busy machine. Both are wishes.

``take_precedence`` makes this a real-time process (sched(7)): it runs as soon as it has something to do, however many
ordinary processes want the CPU. It has the lowest of the real-time priorities, for it must precede ordinary processes
and nobody else. What it starts is ordinary again (SCHED_RESET_ON_FORK), and may not become anything else where the
right to it came from a limit: that is given up as soon as it has been used.

``stay_resident`` locks what the process consists of into memory (mlockall(2)), code that has not run yet included: a
takeover must not wait for a disk. What is allocated later is locked when it is first touched, so that address space
which is only reserved costs nothing. Children have no part in it: locks end with fork and exec.

Whoever has no right to it gets an ``OSError`` whose text names the remedy.
"""

import ctypes
import errno
import os
import resource

from exavrrp.system import capabilities

PRIORITY = 1
"""Of 1 (the lowest) to 99."""

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
"""asm-generic/mman.h."""

_libc = ctypes.CDLL(None, use_errno=True)


def take_precedence() -> None:
    """Be scheduled before every ordinary process. Raises OSError when we may not."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except PermissionError as error:
        text = f"may not be scheduled in real time; give ExaBGP's unit LimitRTPRIO={PRIORITY} (or CAP_SYS_NICE)"
        raise OSError(error.errno, text) from error
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def stay_resident() -> None:
    """Have all of this process kept in memory. Raises OSError when we may not, and then nothing is locked."""
    _, limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and capabilities.missing(["CAP_IPC_LOCK"]):
        # With a limit, whatever was allocated beyond it later would not be had at all.
        text = f"may lock {limit >> 10} KiB of memory; give ExaBGP's unit LimitMEMLOCK=infinity (or CAP_IPC_LOCK)"
        raise OSError(errno.EPERM, text)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
    try:
        _lock(_MCL_CURRENT)
        _lock(_MCL_FUTURE | _MCL_ONFAULT)
    except OSError:
        _libc.munlockall()
        raise


def _lock(flags: int) -> None:
    if _libc.mlockall(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot lock memory: {os.strerror(number)}")
