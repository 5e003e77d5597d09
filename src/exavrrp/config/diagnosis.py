"""From a TOML file to checked tables, and everything that is wrong with it, at once.

This file owns the reading of the text, the place of each key in it, and the matching of tables against the structs
that say what they may hold (``schema``). It must not know what a virtual router is: whether values make sense together
is for ``loading`` to say.

An operator wants all mistakes in one go, each with its place and its remedy; a decoder that stops at its first error
cannot give that. So each value is decoded by itself. One that is wrong becomes a ``Problem``, and the struct gets its
default in its place, or an empty stand-in: what is built from it is never used, because ``Document.verdict`` raises,
but the checks that follow can go on looking for more. Stand-ins are chosen so that they cause no second complaint.

tomli keeps no positions. ``places`` finds them again with a scanner that may be simple because it only ever sees text
that tomli has accepted.
"""

import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import tomli

Keys = tuple[str | int, ...]
"""Where a value stands: table names, key, and the index in a list."""

SIZE_LIMIT = 1 << 20
"""Bytes. 255 virtual routers with 255 addresses each, each on a line of its own, stay below it."""

DEPTH_LIMIT = 16
"""Tables and lists within each other. Ours are six (a community of a standby); each level more costs memory for the
place of everything in it, and a thousand of them more frames than Python has."""

MOST_PROBLEMS = 1000
"""Mistakes looked for. One in each of 255 virtual routers is a slip of a script; more than this are another file."""

MOST_KNOWN = 500
"""Names among which the one is looked for that was meant: each takes some 10 µs."""

SHOWN = 80
"""Characters of a wrong value that a message repeats: enough for any address or command to be recognised."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONG_KEY = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){64}""")
"""A dotted key such as nobody writes, before it is read: for each of its parts tomli keeps all those before it: 2 GiB
for 1 MiB of keys with a thousand parts. Text in quotes is hit too if it is as long, and without a space."""

T = TypeVar("T", bound=msgspec.Struct)


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
            text = f"[{', '.join(shown(one) for one in value[:8])}{', …' if len(value) > 8 else ''}]"
        case int() if abs(value) >= 1 << 64:
            text = "a number of more than 64 bits"  # Python refuses to print the largest ones
        case _:
            text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def quoted(text: str) -> str:
    """``text`` as a TOML basic string, everything not printable escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08X}" for one in escaped) + '"'


def dotted(keys: Keys) -> str:
    """The key path as a person writes it; the index in a list is left out, for the message repeats the value."""
    names = [key for key in keys if isinstance(key, str)]
    return ".".join(name if _BARE.fullmatch(name) and len(name) <= SHOWN else shown(name) for name in names)


def nearest(word: str, known: Collection[str]) -> str | None:
    """The member of ``known`` that somebody who wrote ``word`` most likely meant; of very many, nobody can say."""
    if len(known) > MOST_KNOWN:
        return None
    close = get_close_matches(word.lower().replace("-", "_"), list(known), n=1)
    return close[0] if close else None


class Document:
    """One configuration file while it is being checked: its tables, and what has been found wrong so far."""

    def __init__(self, path: str | Path, synonyms: Mapping[str, str], misplaced: Mapping[str, str]) -> None:
        """Reads and parses ``path``; raises ConfigError if that alone fails.

        Of unknown keys ``synonyms`` says how they are called here, ``misplaced`` what else to do about them.
        """
        self.file = str(path)
        self._synonyms = synonyms
        self._misplaced = misplaced
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
            raise self._failure(f"not TOML: {error.msg}", error.lineno, error.colno) from None
        except RecursionError:
            raise self._failure(deep) from None
        except ValueError:  # Python's limit on the digits of an integer, which tomli lets through
            raise self._failure("not TOML that can be read: a number has too many digits") from None
        if not _shallow(data):
            raise self._failure(deep)
        self._places = places(text)
        return data

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
        """Whether what was read at ``keys`` is all that the operator meant; if not, that has been noted."""
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
        """Note something legal that is hardly meant."""
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
        return tuple(sorted(noted, key=lambda one: one.line or 0))

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
        self.unknown(keys, [key for key in value if key not in fields], fields)
        for name, field in fields.items():
            if name in value:
                found = self._value((*keys, name), value[name], field.type)
                if found is not None:
                    decoded[name] = found
            elif field.required and self.sound((*keys, name)):
                self.problem((*keys, name), f"is missing; write {_description(field.type)}")
        return kind(**decoded)

    def unknown(self, keys: Keys, names: Collection[str], known: Collection[str]) -> None:
        """Note each of ``names`` as unknown in the table ``keys``, with what was probably meant."""
        for name in names:
            meant = self._synonyms.get(name, nearest(name, known))
            if meant is not None and meant in known:
                remedy = f'did you mean "{meant}"?'
                self._spoil((*keys, meant))
            else:
                remedy = self._misplaced.get(name, f"known here: {', '.join(known)}")
            self.problem((*keys, name), f"unknown key; {remedy}")

    def _value(self, keys: Keys, value: object, wanted: Any) -> object:
        """``value`` decoded by itself; what is wrong is noted and left out (None, or a list without it)."""
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self.table(keys, value, wanted)
        element = _element(wanted)
        if element is not None and isinstance(value, list) and value:
            most = _most(wanted)
            if most is not None and len(value) > most:
                self.problem(keys, f"holds {len(value)}; write at most {most}")
                return None
            found = [self._value((*keys, index), one, element) for index, one in enumerate(value)]
            return tuple(one for one in found if one is not None)
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            verb = "holds" if isinstance(keys[-1], int) else "is"
            told = "wrong (it is not shown)" if _is_secret(wanted) else shown(value)
            self.problem(keys, f"{verb} {told}; write {_description(wanted)}")
            return None


def _annotated(wanted: Any) -> Any:
    """The ``Annotated`` type within ``Annotated[…] | None``, or ``wanted`` itself."""
    if get_origin(wanted) in {Union, types.UnionType}:
        return next(one for one in get_args(wanted) if one is not types.NoneType)
    return wanted


def _description(wanted: Any) -> str:
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
    """Whether nothing that was written there may be repeated."""
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
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for values in inner for one in values if isinstance(one, (dict, list))]
    return not level


_TOKEN = re.compile(
    r'''
      (?P<string> """(?:[^\\]|\\.)*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:'{0,2}) | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<mark> [\[\]{},=] )
    | (?P<bare> [^\s\[\]{},=\#"']+ )
    ''',
    re.VERBOSE | re.DOTALL,
)
"""TOML's words; a bare one is a number, a date, a boolean or (dotted) key. Correct for valid text only."""


@dataclass(slots=True)
class _Frame:
    """What surrounds the scanner: a table's body, a list or an inline table."""

    keys: Keys
    """where it stands"""
    opener: str
    """``[``, ``{``, or empty for the body of a table"""
    index: int = 0
    """of the current element of a list"""
    path: tuple[str, ...] = ()
    """the key before the current ``=``, as far as it has been read"""
    in_key: bool = True

    @property
    def here(self) -> Keys:
        return (*self.keys, self.index) if self.opener == "[" else (*self.keys, *self.path)


def places(text: str) -> dict[Keys, int]:
    """The line (from 1) of each table, key and list element of ``text``, which must be valid TOML.

    What is only implied (the tables of a longer header, of a dotted key) stands where it is first mentioned.
    """
    found: dict[Keys, int] = {}
    stack = [_Frame((), "")]
    for line, kind, token in _tokens(text):
        top = stack[-1]
        match kind, token:
            case "newline", _ if top.opener == "":
                top.path, top.in_key = (), True
            case (("newline" | "comment"), _):
                pass
            case "mark", "=":
                _note(found, top.here, line)
                top.in_key = False
            case "mark", ",":
                top.index, top.path, top.in_key = top.index + 1, (), True
            case "mark", "[" if top.opener == "" and top.in_key:
                stack = [_Frame((), "")]  # a header: its keys are collected as the path of a new body
            case "mark", "]" if top.opener == "":
                if top.path:  # the first bracket that closes [[…]]
                    _note(found, top.path, line)
                    stack = [_Frame(top.path, "")]
            case "mark", ("]" | "}"):
                stack.pop()
            case _ if top.in_key and top.opener != "[":
                top.path += _names(kind, token)
            case _:
                _note(found, top.here, line)
                if kind == "mark":
                    stack.append(_Frame(top.here, token))
    return found


def _note(found: dict[Keys, int], keys: Keys, line: int) -> None:
    for end in range(len(keys), 0, -1):
        if keys[:end] in found:
            return
        found[keys[:end]] = line


def _names(kind: str, token: str) -> tuple[str, ...]:
    """The part of a dotted key that one token holds."""
    if kind == "string":
        return (tomli.loads(f"key = {token}")["key"],)
    return tuple(name for name in token.split(".") if name)


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", counted, token.start())
        counted = token.start()
        assert token.lastgroup is not None
        yield line, token.lastgroup, token.group()
