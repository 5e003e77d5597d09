"""What happened, one column for each node: for whoever has to understand a failure.

``Transcript`` owns the record of one simulation. Recording costs a tuple; only what is shown is made into text. Its
``digest`` is the proof that a seed is one history: the same on every machine, in every process.
"""

import hashlib
from collections.abc import Iterator

WIDTH = 46
"""Characters of a column."""

Entry = tuple[float, int | None, str, tuple[object, ...]]
"""When, at which node (None: in the world), a template and what belongs into it."""


class Transcript:
    """A record of everything that a person would ask about."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.entries: list[Entry] = []

    def add(self, time: float, node: int | None, template: str, *values: object) -> None:
        self.entries.append((time, node, template, values))

    def lines(self, last: int | None = None) -> Iterator[str]:
        """The whole of it, or the last entries."""
        yield "     time  " + "│ ".join(name.ljust(WIDTH) for name in self.names)
        before = 0.0
        for time, node, template, values in self.entries if last is None else self.entries[-last:]:
            text = template.format(*values)
            if time - before > 1.0:
                yield "           " + "│ ".join(" " * WIDTH for _ in self.names)
            before = time
            if node is None:
                yield f"{time:10.4f} ── {text}"
                continue
            for begin in range(0, max(len(text), 1), WIDTH - 1):
                part = text[begin : begin + WIDTH - 1]
                columns = [(part if number == node else "").ljust(WIDTH) for number in range(len(self.names))]
                stamp = f"{time:10.4f} " if begin == 0 else " " * 11
                yield (stamp + "│ ".join(columns)).rstrip()

    def digest(self) -> str:
        """One number for the whole history."""
        summed = hashlib.sha256()
        for time, node, template, values in self.entries:
            summed.update(f"{time!r} {node} {template.format(*values)}\n".encode())
        return summed.hexdigest()
