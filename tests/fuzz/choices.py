"""Bytes taken for decisions, so that what mutates bytes decides what happens.

A reader that is more than a function of bytes (a conversation, a list of control messages) is driven by what
``Choices`` makes of an input. What is missing at the end counts as zero, so every input means something, and a byte
inserted in one place does not change the meaning of the places before it.
"""


class Choices:
    """Decisions, one after the other, from the front of ``data``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether any byte is left."""
        return self._at < len(self._data)

    def take(self, most: int) -> bytes:
        """Up to ``most`` of the bytes that are left."""
        found = self._data[self._at : self._at + most]
        self._at += len(found)
        return found

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def number(self, below: int) -> int:
        """From 0 to ``below`` − 1, at most 255."""
        return int.from_bytes(self.take(1)) % below
