"""The files of a configuration: the one that is named, and those that packages of services put beside it.

This file owns which files are read, and that what was read is TOML; all that cannot be read is told at once. It must
not know what the tables mean: that a name stands in two files, or a table in the wrong one, is for ``Document.join``.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from exavrrp.config.diagnosis import ConfigError, Part, Problem

DIRECTORY = "conf.d"
"""Beside the main file."""

MOST_FILES = 1000
"""In it. Each virtual router may have one."""

SIZE_LIMIT = 1 << 20
"""Bytes. 255 virtual routers with 255 addresses each, each on a line of its own, stay below it."""

DEPTH_LIMIT = 16
"""Tables and lists within each other. Ours are six (a community of a standby). Each further level costs memory for the
place of everything in it; a thousand need more frames than Python has."""

_LONG_KEY = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){64}""")
"""A dotted key of at least 64 parts, which is refused before tomli reads it: tomli keeps all earlier parts for each,
2 GiB for 1 MiB of keys with a thousand parts. Quoted text of that form is refused, too."""


@dataclass(frozen=True, slots=True)
class Slip:
    """What a text that is no TOML was meant to be, or one line of it."""

    line: int | None
    """counted from 1; None: the whole text"""
    key: str
    """that the line is about; may be empty"""
    message: str


Explain = Callable[[str, int | None, str], Iterable[Slip]]
"""What is wrong with a text: (the text, the line in which it ceases to be TOML, tomli's reason)."""


def gathered(path: Path, explain: Explain, *, alone: bool = False) -> list[Part]:
    """The file at ``path`` and, unless ``alone``, those beside it in the order of their names.

    Raises ConfigError with everything that cannot be read or is no TOML.
    """
    parts: list[Part] = []
    problems: list[Problem] = []
    files = [path]
    try:
        files += [] if alone else beside(path)
    except ConfigError as error:
        problems += error.problems
    for file in files:
        try:
            parts.append(_part(file, explain))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    if len(parts) == 1 and not parts[0].text.strip():
        raise _failure(path, "is empty; write at least one table [virtual_router.NAME]")
    return parts


def beside(path: Path) -> list[Path]:
    """The files ``conf.d/*.toml`` beside the one at ``path``, in order; raises ConfigError if they cannot be listed."""
    directory = path.parent / DIRECTORY
    if not os.path.lexists(directory):
        return []
    try:
        found = sorted(each for each in directory.iterdir() if each.suffix == ".toml" and not each.name.startswith("."))
    except OSError as error:
        raise _failure(directory, f"cannot be read: {error.strerror}; let this user read it, or remove it") from None
    if len(found) > MOST_FILES:
        raise _failure(directory, f"holds {len(found)} files; write at most {MOST_FILES}")
    return found


def _part(path: Path, explain: Explain) -> Part:
    text = _read(path)
    return Part(str(path), _parse(path, text, explain), text)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _failure(path, f"cannot be read: {reason}; name a TOML file that this user may read") from None
    if len(raw) > SIZE_LIMIT:
        raise _failure(path, f"is larger than {SIZE_LIMIT} bytes; this is not a configuration of exavrrp")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _failure(
            path, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file with the encoding UTF-8", line
        ) from None


def _parse(path: Path, text: str, explain: Explain) -> dict[str, Any]:
    deep = f"lists or tables are nested too deeply; write at most {DEPTH_LIMIT} within each other"
    if found := _LONG_KEY.search(text):
        raise _failure(path, deep, text.count("\n", 0, found.start()) + 1)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise _unreadable(path, text, error, explain) from None
    except RecursionError:
        raise _failure(path, deep) from None
    except ValueError:  # Python's limit on the digits of an integer, which tomli lets through
        raise _failure(path, "not TOML that can be read: a number has too many digits") from None
    if not _shallow(data):
        raise _failure(path, deep)
    return data


def _unreadable(path: Path, text: str, error: tomli.TOMLDecodeError, explain: Explain) -> ConfigError:
    slips = list(explain(text, error.lineno, error.msg))
    if not slips:
        return _failure(path, f"not TOML: {error.msg}", error.lineno, error.colno)
    first, *others = slips
    if first.line is None:
        told = Problem(str(path), "", f"not TOML: {first.message}", error.lineno)
    else:
        column = error.colno if first.line == error.lineno else None
        told = Problem(str(path), first.key, f"not TOML: {error.msg}; {first.message}", first.line, column)
    return ConfigError([told, *(Problem(str(path), slip.key, slip.message, slip.line) for slip in others)])


def _failure(path: Path, message: str, line: int | None = None, column: int | None = None) -> ConfigError:
    return ConfigError([Problem(str(path), "", message, line, column)])


def _shallow(data: dict[str, Any]) -> bool:
    """Whether no more than ``DEPTH_LIMIT`` tables and lists are within each other, the document being the first."""
    level: list[Any] = [data]
    for _ in range(DEPTH_LIMIT):
        inner = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return not level
