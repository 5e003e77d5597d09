"""From the content of TOML files to checked tables, and everything that is wrong with them, at once.

This file owns the places of what was read (``files``), and the matching of tables against the structs that say what
they may hold (``schema``). It must not know what a virtual router is: what values mean, and whether they make sense
together, is for ``tables`` and ``coherence`` to say.

An operator wants all mistakes at once, each with its place and its remedy. A decoder that stops at its first error
cannot give that, so each value is decoded by itself. A wrong value becomes a ``Problem``, and the struct gets the
default in its place, or an empty stand-in. What is built from that is never used, because ``Document.verdict`` raises,
but later checks can go on. Stand-ins are chosen so that they cause no second complaint.
"""

import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import msgspec

from exavrrp.config import notation
from exavrrp.config.places import Keys, places
from exavrrp.config.toml import quoted

MOST_PROBLEMS = 1000
"""Mistakes that are collected. A script may make one in each of 255 virtual routers; with more, it is another file."""

SHOWN = 80
"""Characters of a wrong value that a message repeats: enough for any address or command to be recognised."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")

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
    """A configuration that cannot be used; ``problems`` holds every mistake found, in the order of its files."""

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


@dataclass(slots=True)
class Part:
    """One file as it has been read."""

    file: str
    data: dict[str, Any]
    text: str
    """of which ``data`` is the content"""
    _places: dict[Keys, int] | None = None

    def line(self, keys: Keys) -> int | None:
        """The line on which ``keys`` stands or, if it is absent, the innermost table around it."""
        if self._places is None:
            self._places = places(self.text)
        return next((self._places[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self._places), None)


class Document:
    """A configuration while it is being checked: the tables of its files, and what has been found wrong so far."""

    def __init__(self, main: Part, advise: Advise) -> None:
        """``main``: the file that may hold every table; ``join`` adds others to it."""
        self.data: dict[str, Any] = {**main.data}
        self._advise = advise
        self._parts = [main]
        self._homes: dict[Keys, Part] = {}
        """the file of each table that is not in the main one"""
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}
        self._origins: dict[Keys, Keys] = {}
        self._left: dict[Keys, tuple[int, ...]] = {}
        """of each list that has been decoded, the places of what was not left out"""
        self._written: dict[Keys, dict[object, Keys]] = {}
        """of each list of texts, the place of each meaning"""
        self._spoilt: set[Keys] = set()
        self._around: set[Keys] = set()
        """everything that holds something spoilt"""

    @property
    def file(self) -> str:
        """The main file."""
        return self._parts[0].file

    def join(self, part: Part, tables: Collection[str], elsewhere: Collection[str]) -> None:
        """Add a file that may hold tables ``[TABLE.NAME]`` of some kinds; those of others belong ``elsewhere``.

        What may not stand there is noted, and a name that stands in another file, too.
        """
        self._parts.append(part)
        for table, content in part.data.items():
            if table in tables:
                self._join(part, table, content)
            elif table in elsewhere:
                told = " and ".join(f"[{each}.NAME]" for each in tables)
                self._note(part, (table,), f"may not stand here, where only {told} may; move it to {self.file}")
            else:
                self._note(part, (table,), f"unknown key; {self._advise(None, table, content, tables).text}")

    def _join(self, part: Part, table: str, content: object) -> None:
        ours = self.data.get(table, {})
        if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
            self._note(part, (table,), f"has no name; write [{table}.NAME] above its keys")
            return
        if not isinstance(ours, dict):  # noted where it is read
            return
        for name in (name for name in content if name in ours):
            first = self._home((table, name))
            place = f"{first.file}:{first.line((table, name))}"
            self._note(part, (table, name), f"stands in {place}, too; remove one of the two, or give it another name")
        fresh = {name: value for name, value in content.items() if name not in ours}
        self._homes |= {(table, name): part for name in fresh}
        self.data[table] = {**ours, **fresh}

    def _home(self, keys: Keys) -> Part:
        return self._homes.get(keys[:2], self._parts[0])

    def _note(self, part: Part, keys: Keys, message: str) -> None:
        """Note an error at ``keys`` of this very file."""
        self._add(Problem(part.file, dotted(keys), message, part.line(keys)))
        self.spoil(keys)

    def _add(self, problem: Problem) -> None:
        self._problems[problem] = None
        if len(self._problems) > MOST_PROBLEMS:
            message = f"has more than {MOST_PROBLEMS} mistakes; this is not a configuration of exavrrp"
            raise ConfigError([Problem(self.file, "", message), *self._in_order(self._problems)])

    def problem(self, keys: Keys, message: str, *, spoils: bool = True) -> None:
        """Note an error, once; ``message`` says what is wrong and what to write instead.

        ``spoils`` is whether what was read at ``keys`` is less than, or not, what the operator meant. Raises
        ConfigError when there are so many that nobody can have meant this file.
        """
        if spoils:
            self.spoil(keys)
        self._add(self._at(keys, message))

    def moved(self, here: Keys, there: Keys) -> None:
        """Tell that what is read at ``here`` was written at ``there``, where its mistakes are told."""
        if here != there:
            self._origins[here] = there

    def _at(self, keys: Keys, message: str) -> Problem:
        keys = self.origin(keys)
        home = self._home(keys)
        return Problem(home.file, dotted(keys), message, home.line(keys))

    def origin(self, keys: Keys) -> Keys:
        """Where what is read at ``keys`` was written."""
        while True:
            end = next((end for end in range(len(keys), 0, -1) if keys[:end] in self._origins), 0)
            if not end:
                return keys
            keys = self._origins[keys[:end]] + keys[end:]

    def spoil(self, *places: Keys) -> None:
        """Tell that what is read at these places is not what the operator meant, for a reason that has been noted."""
        for keys in places:
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
        self._warnings[self._at(keys, message)] = None

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What has been noted until now, in the order of the files."""
        return self._in_order(self._warnings)

    def verdict(self) -> None:
        """Raises ConfigError if any problem was noted."""
        if self._problems:
            raise ConfigError(self._in_order(self._problems))

    def _in_order(self, noted: Iterable[Problem]) -> tuple[Problem, ...]:
        files = {part.file: index for index, part in enumerate(self._parts)}
        return tuple(sorted(noted, key=lambda problem: (files[problem.file], problem.line or 0)))

    def table(self, keys: Keys, value: object, kind: type[T]) -> T:
        """``value`` decoded as ``kind``, key by key; every key that is wrong, unknown or missing is noted."""
        fields = _fields(kind)
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
                found = self.value((*keys, name), value[name], field.type)
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
                self.spoil((*keys, meant))
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
        found: dict[object, Keys] = {}
        self._written[keys] = found
        for index, text in zip(self._left.get(keys, count()), texts, strict=False):
            place = (*keys, index)
            value = self.text(place, text, meaning)
            if value in found:
                self.problem(place, f"holds {shown(text)} twice; remove one")
            elif value is not None:
                found[value] = place
        return cast("tuple[Meaning, ...]", tuple(found))

    def place(self, keys: Keys, meaning: object) -> Keys:
        """Where this one of the ``texts`` of the list ``keys`` is written; the list, if it is not written there."""
        return self._written.get(keys, {}).get(meaning, keys)

    def places(self, keys: Keys) -> Iterable[tuple[object, Keys]]:
        """Each of the ``texts`` of the list ``keys``, by its meaning, with where it is written."""
        return self._written.get(keys, {}).items()

    def value(self, keys: Keys, value: object, wanted: Any) -> object:
        """``value`` decoded by itself. A wrong value is noted, and None; a wrong element is left out of its list."""
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self.table(keys, value, wanted)
        element = _element(wanted)
        if element is not None and isinstance(value, list) and value:
            most = _most(wanted)
            if most is not None and len(value) > most:
                self.problem(keys, f"holds {len(value)}; write at most {most}")
                return None
            decoded = [self.value((*keys, index), content, element) for index, content in enumerate(value)]
            found = {index: one for index, one in enumerate(decoded) if one is not None}
            self._left[keys] = tuple(found)
            return tuple(found.values())
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            verb = "holds" if isinstance(keys[-1], int) else "is"
            told = "wrong (it is not shown)" if _is_secret(wanted) else shown(value)
            self.problem(keys, f"{verb} {told}; write {description(wanted)}{_perhaps(value, wanted)}")
            return None


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """By name; msgspec evaluates every annotation each time."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


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
