"""From a TOML file to checked tables, and everything that is wrong with it, at once.

This file owns the reading of the text, and the matching of tables against the structs that say what they may hold
(``schema``). It must not know what a virtual router is: what values mean, and whether they make sense together, is for
``tables`` and ``coherence`` to say.

An operator wants all mistakes at once, each with its place and its remedy. A decoder that stops at its first error
cannot give that, so each value is decoded by itself. A wrong value becomes a ``Problem``, and the struct gets the
default in its place, or an empty stand-in. What is built from that is never used, because ``Document.verdict`` raises,
but later checks can go on. Stand-ins are chosen so that they cause no second complaint.
"""

import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import tomli

from exavrrp.config import notation
from exavrrp.config.places import Keys, places

SIZE_LIMIT = 1 << 20
"""Bytes. 255 virtual routers with 255 addresses each, each on a line of its own, stay below it."""

DEPTH_LIMIT = 16
"""Tables and lists within each other. Ours are six (a community of a standby). Each further level costs memory for the
place of everything in it; a thousand need more frames than Python has."""

MOST_PROBLEMS = 1000
"""Mistakes that are collected. A script may make one in each of 255 virtual routers; with more, it is another file."""

SHOWN = 80
"""Characters of a wrong value that a message repeats: enough for any address or command to be recognised."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONG_KEY = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){64}""")
"""A dotted key of at least 64 parts, which is refused before tomli reads it: tomli keeps all earlier parts for each,
2 GiB for 1 MiB of keys with a thousand parts. Quoted text of that form is refused, too."""

T = TypeVar("T", bound=msgspec.Struct)
Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or suspicious, in one line."""

    file: str
    key: str
    """such as ``virtual_router.web.priority``; empty if it is about the file as a whole"""
    message: str
    """what is wrong and what to write instead"""
    line: int | None = None
    """counted from 1"""
    column: int | None = None
    """counted from 1; known for syntax errors only"""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ConfigError(Exception):
    """A file that cannot be used; ``problems`` holds every mistake found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """``value`` as TOML would have it, on one printable line of bounded length."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = quoted(value)
        case dict():
            text = "a table"
        case list():
            text = f"[{', '.join(shown(element) for element in value[:8])}{', …' if len(value) > 8 else ''}]"
        case int() if abs(value) >= 1 << 64:
            text = "a number of more than 64 bits"  # Python refuses to print the largest ones
        case _:
            text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def quoted(text: str) -> str:
    """``text`` as a TOML basic string, everything not printable escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in escaped) + '"'


def dotted(keys: Keys) -> str:
    """The key path as a person writes it; the index in a list is left out, for the message repeats the value."""
    names = [key for key in keys if isinstance(key, str)]
    return ".".join(name if _BARE.fullmatch(name) and len(name) <= SHOWN else shown(name) for name in names)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about a key that is unknown."""

    text: str
    """the end of a message"""
    meant: tuple[str, ...] = ()
    """keys of the same table that were meant: they are not missing"""


Advise = Callable[[type[msgspec.Struct] | None, str, object, Collection[str]], Advice]
"""What to do about a key that is unknown: (of which kind the table is, None: no table; the key; its value; the keys
that are known there)."""


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


class Document:
    """One configuration file while it is being checked: its tables, and what has been found wrong so far."""

    def __init__(self, path: str | Path, advise: Advise, explain: Explain) -> None:
        """Reads and parses ``path``; raises ConfigError if that alone fails."""
        self.file = str(path)
        self._advise = advise
        self._explain = explain
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}
        self._spoilt: set[Keys] = set()
        self._around: set[Keys] = set()
        """everything that holds something spoilt"""
        self._places: dict[Keys, int] = {}
        self.data: dict[str, Any] = self._parse(self._read(Path(path)))

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                raw = file.read(SIZE_LIMIT + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise self._failure(f"cannot be read: {reason}; name a TOML file that this user may read") from None
        if len(raw) > SIZE_LIMIT:
            raise self._failure(f"is larger than {SIZE_LIMIT} bytes; this is not a configuration of exavrrp")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise self._failure(
                f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file with the encoding UTF-8", line
            ) from None
        if not text.strip():
            raise self._failure("is empty; write at least one table [virtual_router.NAME]")
        return text

    def _parse(self, text: str) -> dict[str, Any]:
        deep = f"lists or tables are nested too deeply; write at most {DEPTH_LIMIT} within each other"
        if found := _LONG_KEY.search(text):
            raise self._failure(deep, text.count("\n", 0, found.start()) + 1)
        try:
            data = tomli.loads(text)
        except tomli.TOMLDecodeError as error:
            raise self._unreadable(text, error) from None
        except RecursionError:
            raise self._failure(deep) from None
        except ValueError:  # Python's limit on the digits of an integer, which tomli lets through
            raise self._failure("not TOML that can be read: a number has too many digits") from None
        if not _shallow(data):
            raise self._failure(deep)
        self._places = places(text)
        return data

    def _unreadable(self, text: str, error: tomli.TOMLDecodeError) -> ConfigError:
        slips = list(self._explain(text, error.lineno, error.msg))
        if not slips:
            return self._failure(f"not TOML: {error.msg}", error.lineno, error.colno)
        first, *others = slips
        if first.line is None:
            told = Problem(self.file, "", f"not TOML: {first.message}", error.lineno)
        else:
            column = error.colno if first.line == error.lineno else None
            told = Problem(self.file, first.key, f"not TOML: {error.msg}; {first.message}", first.line, column)
        return ConfigError([told, *(Problem(self.file, slip.key, slip.message, slip.line) for slip in others)])

    def _failure(self, message: str, line: int | None = None, column: int | None = None) -> ConfigError:
        return ConfigError([Problem(self.file, "", message, line, column)])

    def line(self, keys: Keys) -> int | None:
        """The line on which ``keys`` stands or, if it is absent, the innermost table around it."""
        return next(
            (self._places[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self._places),
            None,
        )

    def problem(self, keys: Keys, message: str, *, spoils: bool = True) -> None:
        """Note an error, once; ``message`` says what is wrong and what to write instead.

        ``spoils`` is whether what was read at ``keys`` is less than, or not, what the operator meant. Raises
        ConfigError when there are so many that nobody can have meant this file.
        """
        self._problems[Problem(self.file, dotted(keys), message, self.line(keys))] = None
        if spoils:
            self._spoil(keys)
        if len(self._problems) > MOST_PROBLEMS:
            message = f"has more than {MOST_PROBLEMS} mistakes; this is not a configuration of exavrrp"
            raise ConfigError([Problem(self.file, "", message), *self._in_order(self._problems)])

    def _spoil(self, keys: Keys) -> None:
        self._spoilt.add(keys)
        self._around.update(keys[:end] for end in range(len(keys)))

    def sound(self, keys: Keys) -> bool:
        """Whether what was read at ``keys`` is all that the operator meant; if it is not, a problem has been noted."""
        return keys not in self._around and not any(keys[:end] in self._spoilt for end in range(len(keys) + 1))

    def __contains__(self, keys: Keys) -> bool:
        """Whether ``keys`` (names only) is in the file."""
        value: object = self.data
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    def warning(self, keys: Keys, message: str) -> None:
        """Note something that is legal, but probably not what the operator meant."""
        self._warnings[Problem(self.file, dotted(keys), message, self.line(keys))] = None

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What has been noted until now, in the order of the file."""
        return self._in_order(self._warnings)

    def verdict(self) -> None:
        """Raises ConfigError if any problem was noted."""
        if self._problems:
            raise ConfigError(self._in_order(self._problems))

    @staticmethod
    def _in_order(noted: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(sorted(noted, key=lambda problem: problem.line or 0))

    def table(self, keys: Keys, value: object, kind: type[T]) -> T:
        """``value`` decoded as ``kind``, key by key; every key that is wrong, unknown or missing is noted."""
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        decoded: dict[str, Any] = {
            # What a missing key is replaced by: nothing is built from it, see above.
            name: () if _element(field.type) else 0
            for name, field in fields.items()
            if field.required
        }
        if not isinstance(value, dict):
            self.problem(keys, f"is {shown(value)}; write a table [{dotted(keys)}]")
            return kind(**decoded)
        self.unknown(keys, {key: content for key, content in value.items() if key not in fields}, fields, kind)
        for name, field in fields.items():
            if name in value:
                found = self._value((*keys, name), value[name], field.type)
                if found is not None:
                    decoded[name] = found
            elif field.required and self.sound((*keys, name)):
                self.problem((*keys, name), f"is missing; write {description(field.type)}")
        return kind(**decoded)

    def unknown(
        self,
        keys: Keys,
        found: Mapping[str, object],
        known: Collection[str],
        kind: type[msgspec.Struct] | None = None,
    ) -> None:
        """Note each key of ``found`` as unknown in the table ``keys`` of this kind, with what was probably meant."""
        for name, value in found.items():
            advice = self._advise(kind, name, value, known)
            for meant in advice.meant:
                self._spoil((*keys, meant))
            self.problem((*keys, name), f"unknown key; {advice.text}")

    def text(self, keys: Keys, text: str, meaning: Callable[[str], Meaning]) -> Meaning | None:
        """The meaning of a text; None if ``meaning`` raises ValueError with the remedy, which is noted."""
        try:
            return meaning(text)
        except ValueError as error:
            self.problem(keys, f"{'holds' if isinstance(keys[-1], int) else 'is'} {shown(text)}; {error}")
            return None

    def texts(self, keys: Keys, texts: Iterable[str], meaning: Callable[[str], Meaning]) -> tuple[Meaning, ...]:
        """The meaning of each text of a list; what has none, and what is there twice, is noted and left out."""
        found: dict[Meaning, None] = {}
        for index, text in enumerate(texts):
            value = self.text((*keys, index), text, meaning)
            if value in found:
                self.problem((*keys, index), f"holds {shown(text)} twice; remove one")
            elif value is not None:
                found[value] = None
        return tuple(found)

    def _value(self, keys: Keys, value: object, wanted: Any) -> object:
        """``value`` decoded by itself. A wrong value is noted, and None; a wrong element is left out of its list."""
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self.table(keys, value, wanted)
        element = _element(wanted)
        if element is not None and isinstance(value, list) and value:
            most = _most(wanted)
            if most is not None and len(value) > most:
                self.problem(keys, f"holds {len(value)}; write at most {most}")
                return None
            found = [self._value((*keys, index), content, element) for index, content in enumerate(value)]
            return tuple(decoded for decoded in found if decoded is not None)
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            verb = "holds" if isinstance(keys[-1], int) else "is"
            told = "wrong (it is not shown)" if _is_secret(wanted) else shown(value)
            self.problem(keys, f"{verb} {told}; write {description(wanted)}{_perhaps(value, wanted)}")
            return None


def _perhaps(value: object, wanted: Any) -> str:
    """``: VALUE`` if a text stands for a number, true or false that would be right here; else empty."""
    meant = notation.quantity(value) if isinstance(value, str) else None
    try:
        return "" if meant is None else f": {shown(msgspec.convert(meant, wanted))}"
    except msgspec.ValidationError:
        return ""


def _annotated(wanted: Any) -> Any:
    """The ``Annotated`` type within ``Annotated[…] | None``, or ``wanted`` itself."""
    if get_origin(wanted) in {Union, types.UnionType}:
        return next(kind for kind in get_args(wanted) if kind is not types.NoneType)
    return wanted


def description(wanted: Any) -> str:
    """What to write, from the ``msgspec.Meta`` of the type (every type in ``schema`` has one)."""
    description = _meta(wanted).description
    assert description is not None
    return description


def _meta(wanted: Any) -> msgspec.Meta:
    return next(meta for meta in get_args(_annotated(wanted))[1:] if isinstance(meta, msgspec.Meta))


def _most(wanted: Any) -> int | None:
    """How many elements a list may have."""
    return _meta(wanted).max_length


def _is_secret(wanted: Any) -> bool:
    """Whether the value may be a secret, which no message repeats."""
    metas = (meta for meta in get_args(_annotated(wanted))[1:] if isinstance(meta, msgspec.Meta))
    return any((meta.extra or {}).get("secret", False) for meta in metas)


def _element(wanted: Any) -> Any:
    """The type of a list's elements, None for anything that is no list."""
    plain = _annotated(wanted)
    while get_origin(plain) is Annotated:
        plain = get_args(plain)[0]
    return get_args(plain)[0] if get_origin(plain) is tuple else None


def _shallow(data: dict[str, Any]) -> bool:
    """Whether no more than ``DEPTH_LIMIT`` tables and lists are within each other, the document being the first."""
    level: list[Any] = [data]
    for _ in range(DEPTH_LIMIT):
        inner = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return not level
