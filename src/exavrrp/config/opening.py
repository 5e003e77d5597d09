"""Opens a configuration; what explains its mistakes is imported when there is one.

A node that starts after a failure, and a command that looks for the control socket, have no time for it.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from exavrrp.config.diagnosis import Advice, Document, Slip


def opened(path: str | Path) -> Document:
    """The file at ``path`` as tables. Raises ConfigError when it cannot be read or is no TOML."""
    return Document(path, _advise, _explain)


def _advise(kind: type[msgspec.Struct] | None, name: str, value: object, known: Collection[str]) -> Advice:
    from exavrrp.config.advice import advise  # noqa: PLC0415 — only for mistakes, see above

    return advise(kind, name, value, known)


def _explain(text: str, line: int | None, reason: str) -> Iterable[Slip]:
    from exavrrp.config.slips import explain  # noqa: PLC0415 — only for mistakes, see above

    return explain(text, line, reason)
