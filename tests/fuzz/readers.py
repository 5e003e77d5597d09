"""Everything that reads bytes from outside, each as a function from bytes to nothing.

A reader must raise its declared exception or return something sound; the functions here swallow the first, check the
second, and let everything else out: that is a finding, whoever made the bytes (``python -m tests.fuzz``, guided by
coverage; ``test_readers.py``, with a few mutations that are the same each time).

Whoever adds a reader to the product adds it to one of these files. Where a reader is a conversation, ``Choices`` makes
the bytes decide in which pieces and at which times they arrive.
"""

from collections.abc import Mapping

from tests.fuzz import adverts, answers, commands, configurations, conversations, recordings
from tests.fuzz.reader import Reader

READERS: Mapping[str, Reader] = {
    name: reader
    for room in (adverts, conversations, commands, configurations, answers, recordings)
    for name, reader in room.READERS.items()
}
"""By the name that ``python -m tests.fuzz`` knows them by."""
