"""Work that may take long, such as a disk's, in a thread of its own while the event loop goes on."""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Call ``work`` in a daemon thread. asyncio's own threads would keep us from ending while a disk hangs."""
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

    # Signals are handled in the main thread: those that it blocks must not be delivered here.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=call, name=name, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return done
