"""The clock of an agent: seconds since the boot, those of a suspension included (CLOCK_BOOTTIME).

asyncio's own clock is CLOCK_MONOTONIC, which stands still while the host is suspended: an Active that wakes up would go
on as if nothing had happened, although its peers have taken over, and routers have closed its sessions. By this clock
a suspension is a stall like any other. No clock of a guest counts the time for which its hypervisor has paused it.
"""

import asyncio
import time
from collections.abc import Coroutine


def boottime() -> float:
    """Seconds since the boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Loop(asyncio.SelectorEventLoop):
    """An event loop with this clock."""

    def time(self) -> float:
        return boottime()


def run(main: Coroutine[object, object, None]) -> None:
    """``asyncio.run`` on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
