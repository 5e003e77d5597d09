"""Work in threads: the event loop goes on at once."""

import _thread
import asyncio
import threading

import pytest

from exavrrp.system.threads import in_thread
from tests.system.conftest import LIMIT


def test_the_loop_does_not_wait_for_a_thread_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which it cannot while others want the CPU. ``Thread.start`` waits for that."""
    monkeypatch.setattr(threading.Event, "wait", lambda *_: pytest.fail("it waits"))

    async def play() -> int:
        async with asyncio.timeout(LIMIT):
            return await in_thread(lambda: 7)

    assert asyncio.run(play()) == 7


def test_a_thread_that_is_refused_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    async def play() -> None:
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            in_thread(lambda: 7)

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    asyncio.run(play())
