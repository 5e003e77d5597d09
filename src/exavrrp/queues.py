"""A queue of events: one that arrives while another is handled waits for its end; pure.

This keeps effects in order. An event gives a list of effects; the result of one of them is an event of its own, and
must not be handled before the list is done.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Queue(Generic[Item]):
    """Hands every item to ``deal``, in order, and never one within another."""

    def __init__(self, deal: Callable[[Item], None]) -> None:
        self._deal = deal
        self._items: deque[Item] = deque()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether an item is being handled."""
        return self._busy

    def put(self, item: Item) -> None:
        """Handle ``item`` and all that is put meanwhile, now; called from within ``deal``, later.

        Raises what ``deal`` raises; the items behind that one are handled when the next one is put.
        """
        self._items.append(item)
        if self._busy:
            return
        self._busy = True
        try:
            while self._items:
                self._deal(self._items.popleft())
        finally:
            self._busy = False
