"""Mutations without coverage guidance, for the tests of every run, which have no atheris.

They find only shallow bugs. Their purpose is that every reader is fed unusual input in every test run, the same each
time, so that a reader that no longer fits the code is noticed early.
"""

import random
from collections.abc import Iterator, Sequence

LONGEST = 4096
"""Bytes of a mutated input."""


def mutations(seeds: Sequence[bytes], words: Sequence[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` inputs, each one of ``seeds`` changed in one to four places; the same ones for the same arguments."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            _change(data, seeds, words, chance)
        yield bytes(data[:LONGEST])


def _change(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    begin = chance.randint(0, len(data))
    end = min(len(data), begin + chance.choice([0, 1, 1, 2, 4, 16]))
    match chance.randrange(6):
        case 0:
            data[begin:end] = chance.randbytes(end - begin)
        case 1:
            data[begin:begin] = chance.randbytes(chance.choice([1, 2, 4]))
        case 2:
            del data[begin:end]
        case 3:
            data[begin:begin] = data[begin:end] * chance.choice([1, 2, 8])
        case 4 if words:
            data[begin:end] = chance.choice(words)
        case _:
            other = chance.choice(seeds)
            middle = chance.randint(0, len(other))
            data[begin:] = other[middle:]
