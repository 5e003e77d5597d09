"""The fuzzer's readers in every run: what they begin with, and a few hundred mutations, the same each time."""

from contextlib import suppress

import pytest
import tomli
from hypothesis import settings

from exavrrp.config import kinds
from tests.fuzz.mutation import mutations
from tests.fuzz.readers import READERS

MUTATIONS = 300
"""And as much of that as of all examples in a quick run."""


@pytest.mark.parametrize("name", READERS)
def test_what_fuzzing_begins_with_is_read(name: str) -> None:
    seeds = READERS[name].seeds()
    assert len(set(seeds)) == len(seeds) > 1
    for seed in (b"", *seeds):
        assert len(seed) <= READERS[name].longest
        READERS[name].feed(seed)


@pytest.mark.parametrize("name", READERS)
def test_mutations_are_read(name: str) -> None:
    reader = READERS[name]
    for data in mutations(reader.seeds(), reader.words(), MUTATIONS * min(settings().max_examples, 100) // 100):
        try:
            reader.feed(data)
        except Exception as error:
            error.add_note(f"the input: {data!r}")
            raise


def test_fuzzing_begins_with_each_kind_of_check() -> None:
    found: set[str] = set()
    for seed in READERS["configuration"].seeds():
        with suppress(ValueError):
            found.update(key for check in tomli.loads(seed.decode()).get("check", {}).values() for key in check)
    assert {kind.name for kind in kinds.KINDS} <= found


def test_mutations_are_the_same_each_time() -> None:
    first, again = (list(mutations([b"abc", b"xyz"], [b"word"], 50)) for _ in range(2))
    assert first == again
    assert len(set(first)) > 40
