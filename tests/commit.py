"""Which commit is tested. What CI tries only a part of follows from it: another part with each commit."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def commit() -> str:
    """The id of HEAD, 40 hexadecimal digits; ``unknown`` outside a repository, and without git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        told = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return told.stdout.strip() if told.returncode == 0 else "unknown"


def number_of(name: str, otherwise: int = 0) -> int:
    """A number that follows from the id of a commit, below 2**40; ``otherwise`` where that is unknown."""
    return int(name[:10], 16) if name != "unknown" else otherwise


def one_in(every: int, kinds: Mapping[str, str], first: int) -> set[str]:
    """One in ``every`` tests of each kind, and at least one; with another ``first``, others.

    ``kinds`` names the kind of each test. Of the next kind the next ones are chosen: not IPv4 everywhere, say.
    """
    alike: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault(kind, []).append(name)
    chosen: set[str] = set()
    for number, names in enumerate(alike.values(), start=first):
        step = min(every, len(names))
        chosen.update(names[number % step :: step])
    return chosen
