"""What a reader is to the fuzzer: a function from bytes to nothing, and what to begin with."""

import functools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Reader:
    """One function to be fed, and what to begin with."""

    feed: Callable[[bytes], None]
    """raises whatever is a finding"""
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[bytes]] = list
    """what mutations may be made of, besides bytes"""
    longest: int = 4096
    """bytes of an input: enough to reach every branch; what grows is for ``growth.py``"""


@functools.cache
def scratch() -> Path:
    """A directory that ends with this process."""
    directory = tempfile.TemporaryDirectory(prefix="exavrrp-fuzz-")
    _kept.enter_context(directory)
    return Path(directory.name)


_kept = ExitStack()
