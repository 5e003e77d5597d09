"""Real-time scheduling and locked memory, for short advert intervals on a busy machine. Both are optional.

``take_precedence`` makes this a real-time process (sched(7)): it runs as soon as it has something to do, however many
ordinary processes want the CPU. It has the lowest real-time priority: it must precede ordinary processes only. Its
children are ordinary processes again (SCHED_RESET_ON_FORK). The limit RLIMIT_RTPRIO is set to 0 afterwards, so that no
child can use it.

``stay_resident`` locks the memory of this process (mlockall(2)), including code that has not run yet: a takeover must
not wait for a disk. Memory that is allocated later is locked when it is first touched, so address space that is only
reserved costs nothing. Children do not inherit the locks.

Without the right to do so, both raise an ``OSError`` whose text names the remedy.
"""

import ctypes
import errno
import os
import resource

from exavrrp.system import capabilities

PRIORITY = 1
"""The real-time priority: 1 is the lowest, 99 the highest."""

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
"""asm-generic/mman.h."""

_libc = ctypes.CDLL(None, use_errno=True)


def take_precedence() -> None:
    """Have this process scheduled before every ordinary one. Raises OSError without the right to it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except PermissionError as error:
        text = f"may not be scheduled in real time; give ExaBGP's unit LimitRTPRIO={PRIORITY} (or CAP_SYS_NICE)"
        raise OSError(error.errno, text) from error
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def stay_resident() -> None:
    """Lock the memory of this process. Raises OSError without the right to it; then nothing is locked."""
    _, limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and capabilities.missing(["CAP_IPC_LOCK"]):
        # With a limit, a later allocation beyond it would fail.
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
