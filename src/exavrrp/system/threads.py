"""Work that may take long, such as a disk's, in a thread of its own while the event loop goes on.

Signals are handled in the main thread, which blocks them before it ends. So every other thread blocks them from its
beginning: the kernel gives a signal to any thread that does not, and the handlers are gone while threads still end.
"""

import _thread
import asyncio
import errno
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def blocking(signals: Collection[int]) -> Iterator[None]:
    """Have exactly these signals blocked in this thread; threads and processes that it starts meanwhile begin so."""
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Call ``work`` in a thread that nothing waits for. Raises OSError where the host permits no further thread.

    What ``work`` raises is a bug unless somebody still waits for it, however long it takes (``asyncio.shield``).

    asyncio's own threads would keep us from ending while a disk hangs. ``threading.Thread.start`` returns when the
    thread has begun, which takes as long as others want the CPU: a real-time loop waited 35 ms for its ordinary thread.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(found: T | Exception) -> None:
        if done.cancelled():
            return
        if isinstance(found, Exception):
            done.set_exception(found)
        else:
            done.set_result(found)

    def call() -> None:
        found: T | Exception
        try:
            found = work()
        except Exception as caught:  # passed on to the waiting task
            found = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, found)

    try:
        with blocking(signal.valid_signals()):
            _thread.start_new_thread(call, ())
    except RuntimeError:  # pids.max, ulimit -u
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
    return done
