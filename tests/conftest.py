"""Shared by all tests: Hypothesis without deadlines, transcripts, and the mistakes of a configuration.

A transcript is a text file that shows what a pure module does, so that people can read and judge it:

- a line that starts with ``#`` is a comment;
- a line that starts with four spaces is an output;
- any other line is an input, followed by its outputs.

The test feeds the inputs and generates the file again; both must be equal. ``pytest --rewrite`` writes the new outputs
to the file. Commit them only if you understand each changed line.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

from tests.commit import commit, number_of, one_in
from tests.watching import unwatched

if TYPE_CHECKING:
    from exavrrp.config import Problem

# The time of an example depends more on the load of a shared machine than on the code. For a longer search:
# pytest --hypothesis-profile=thorough.
settings.register_profile("exavrrp", deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("exavrrp"), max_examples=5000)
# For who waits for it (tests/run quick). Every branch is seen with a fifth of that, too.
settings.register_profile("quick", settings.get_profile("exavrrp"), max_examples=25)
# For a mutant it is enough that a test fails; the least example is not needed.
settings.register_profile("mutants", settings.get_profile("exavrrp"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("exavrrp")

# A shell that starts the tests in the background has SIGINT ignored for them (POSIX, 2.11), and programs inherit that.
# What a person does at a terminal is tested all the same.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Replay = Callable[[str], Iterable[str]]
"""The outputs of one input line; raises ValueError for an invalid line."""

Transcript = Callable[[Path, Replay], None]

Problems = Callable[[str], "tuple[Problem, ...]"]
"""What is wrong with the text of a configuration."""

Write = Callable[[str], Path]
"""Writes exavrrp.toml, with its directory for ``{directory}``."""

INDENT = "    "


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "exavrrp.toml"
        path.write_text(text.replace("{directory}", str(tmp_path)))
        return path

    return write


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="put what came out into the transcripts")
    parser.addoption("--seed", type=int, help="simulate this seed alone, and show its transcript")
    parser.addoption("--seeds", type=int, default=0, help="simulate so many seeds, on all cores")
    parser.addoption("--first", type=int, default=0, help="the first one of --seeds")
    parser.addoption(
        "--one-in", type=int, default=1, metavar="N", help="one in N of tests that are alike; the commit decides"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--rewrite") and os.environ.get("CI"):
        raise pytest.UsageError("--rewrite would make every transcript right; a person must look at what changed")


PLACES = {"system": ("system", "lab"), "simulation": ("simulation",), "mutants": ("test_mutants.py",), "lab": ("lab",)}
"""Where the tests with these marks are: tests/run looks for them nowhere else."""


def pytest_itemcollected(item: pytest.Item) -> None:
    place = _place(item)
    for mark in item.iter_markers():
        if place not in PLACES.get(mark.name, (place,)):
            raise pytest.UsageError(f"{item.nodeid} is marked {mark.name}; tests/run would not find it here")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    every: int = config.getoption("--one-in")
    if every > 1:
        chosen = one_in(every, {item.nodeid: _kind(item) for item in items}, number_of(commit()))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in chosen])
        items[:] = [item for item in items if item.nodeid in chosen]


REPEATED = {"line", "build", "fabric", "site", "lan", "row"}
"""Parameters that repeat a whole test: with another version of ExaBGP, IP version or transport; rows of a table."""


def _kind(item: pytest.Item) -> str:
    """The same for tests that are alike: those that differ in nothing but REPEATED, and all tests of the lab."""
    if _place(item) == "lab":
        return "lab"
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return f"{item.nodeid.partition('[')[0]} {[one for one in parameters.items() if one[0] not in REPEATED]}"


def _place(item: pytest.Item) -> str:
    """The file or directory in ``tests`` that the test is in."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


UNCOVERED = {
    *("lab", "system", "fuzz", "test_cli.py", "test_packaging.py", "test_docs.py", "test_mutants.py"),
    *("test_config.py", "test_config_files.py", "test_config_fleet.py", "test_config_nodes.py"),
    *("test_config_services.py", "test_advice.py", "test_slips.py", "test_published.py"),
}
"""Where tests are about nothing that must be covered: to watch them doubles their time."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Random tests are not watched either: no branch is to be seen by chance."""
    by_chance = isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
    with unwatched() if by_chance or _place(item) in UNCOVERED else nullcontext():
        return (yield)


def retell(text: str, replay: Replay) -> str:
    """The transcript ``text`` with what comes out now in place of what came out when it was written."""
    told: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(INDENT):
            continue
        told.append(line)
        if not line or line.startswith("#"):
            continue
        try:
            told += [INDENT + answer for answer in replay(line)]
        except ValueError as error:
            raise ValueError(f"line {number}: {line!r}: {error}") from error
    return "".join(f"{line}\n" for line in told)


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Transcript:
    """Checks a transcript against what comes out now, or rewrites it."""

    def check(path: Path, replay: Replay) -> None:
        written = path.read_text(encoding="utf-8")
        told = retell(written, replay)
        if request.config.getoption("--rewrite"):
            path.write_text(told, encoding="utf-8")
        else:
            change = list(unified_diff(written.splitlines(), told.splitlines(), "written", "came out", lineterm=""))
            if change:
                pytest.fail("\n".join([f"{path.name} tells another story:", *change]), pytrace=False)

    return check


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Problems:
    """All problems of a configuration."""
    from exavrrp.config import ConfigError, load

    path = tmp_path_factory.mktemp("configuration") / "exavrrp.toml"

    def found(text: str) -> "tuple[Problem, ...]":
        path.write_text(text, encoding="utf-8")
        try:
            load(path)
        except ConfigError as error:
            return error.problems
        return ()

    return found
