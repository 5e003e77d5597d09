"""Opens a configuration; what explains its mistakes is imported when there is one.

A node that starts after a failure, and a command that looks for the control socket, have no time for it.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from exavrrp.config import files
from exavrrp.config.diagnosis import Advice, Document
from exavrrp.config.files import Slip

TABLES = ("agent", "node", "virtual_router", "check", "authentication")

BESIDE = ("virtual_router", "check")
"""What the files beside the main one may hold: what a service brings."""


def opened(path: str | Path, *, alone: bool = False) -> Document:
    """The file at ``path`` and, unless ``alone``, those beside it; what may not stand where it stands is noted.

    Raises ConfigError with all that cannot be read or is no TOML.
    """
    main, *others = files.gathered(Path(path), _explain, alone=alone)
    document = Document(main, _advise)
    for part in others:
        document.join(part, BESIDE, TABLES)
    return document


def _advise(kind: type[msgspec.Struct] | None, name: str, value: object, known: Collection[str]) -> Advice:
    from exavrrp.config.advice import advise  # noqa: PLC0415 — only for mistakes, see above

    return advise(kind, name, value, known)


def _explain(text: str, line: int | None, reason: str) -> Iterable[Slip]:
    from exavrrp.config.slips import explain  # noqa: PLC0415 — only for mistakes, see above

    return explain(text, line, reason)
