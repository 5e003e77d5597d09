"""What is done without being watched by coverage, which takes two to four times as long when it is watched."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwatched() -> Iterator[None]:
    """For what is seen elsewhere: it counts for no branch."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
