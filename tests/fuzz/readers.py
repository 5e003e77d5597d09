"""Every parser of input from outside, each as a function of bytes.

A parser must raise its declared exception or return a sound value. The functions here catch the first and check the
second; any other exception is a finding, of ``python -m tests.fuzz`` (guided by coverage) or of ``test_readers.py`` (a
few mutations, the same each time).

A new parser gets a function in one of these files. For a protocol with state, ``Choices`` makes the bytes decide in
which pieces and at which times they arrive.
"""

from collections.abc import Mapping

from tests.fuzz import adverts, answers, commands, configurations, conversations, imports, recordings, scenarios
from tests.fuzz.reader import Reader

READERS: Mapping[str, Reader] = {
    name: reader
    for room in (adverts, conversations, commands, configurations, answers, recordings, imports, scenarios)
    for name, reader in room.READERS.items()
}
"""By the name that ``python -m tests.fuzz`` knows them by."""
