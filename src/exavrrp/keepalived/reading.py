"""The files of a keepalived.conf → directives, each with its file and line; conditions, definitions, includes are done.

What is rare and would have to be guessed (``~SEQ``, ``~LST``, ``${_RANDOM}``) is refused by its name. All that cannot
be read is reported at once; nothing is translated then.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from exavrrp.keepalived.lexing import OPEN, Slip, Token, Word, tokens, uncommented

SIZE_LIMIT = 1 << 20
"""Bytes of a file."""

MOST_LINES = 100_000
"""Of all files, those of definitions counted as often as they are used: a definition may use others several times."""

MOST_PROBLEMS = 1000
DEEPEST = 16
"""Files and definitions within each other, and blocks within blocks."""

LONGEST = 1024
"""Characters of a line with its parameters replaced (MAXBUF of lib/parser.h)."""


def visible(text: str) -> str:
    """``text`` in one line that a terminal can be given."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


@dataclass(frozen=True, slots=True)
class Source:
    """One file."""

    name: str
    """as messages call it"""
    directory: str
    """absolute, which ``${_PWD}`` stands for and what it includes is relative to"""
    content: bytes


Files = Callable[[str, str], Sequence["Source | str"]]
"""The files that a pattern of ``include`` finds from a directory, in their order; a text: why one cannot be read."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands."""

    file: str
    line: int
    """counted from 1"""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that cannot be read, in one line."""

    place: Place
    message: str

    def __str__(self) -> str:
        return visible(f"{self.place}: {self.message}")


class Unreadable(Exception):
    """A file that cannot be imported; ``faults`` has all that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(eq=False, slots=True)
class Directive:
    """A keyword, or an element of a list, with what belongs to it."""

    place: Place
    words: tuple[str, ...]
    """at least one"""
    children: list["Directive"] = field(default_factory=list)
    is_block: bool = False

    @property
    def name(self) -> str:
        """The keyword."""
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words behind the keyword."""
        return self.words[1:]

    def all(self) -> Iterator["Directive"]:
        """This one, and all within it."""
        yield self
        for child in self.children:
            yield from child.all()


@dataclass(slots=True)
class Definition:
    """``$NAME=``."""

    place: Place
    name: str
    lines: list[tuple[Place, str]]
    is_long: bool
    """whether it stands for whole lines"""
    used: int = 0


@dataclass(slots=True)
class Reading:
    """What has been read."""

    file: str
    """as messages call it"""
    directives: list[Directive] = field(default_factory=list)
    """outside of every block"""
    definitions: list[Definition] = field(default_factory=list)
    includes: list[tuple[Place, str, str]] = field(default_factory=list)
    """(place, text, what came of it: empty if files were read)"""
    skipped: list[tuple[Place, str]] = field(default_factory=list)
    """lines whose condition names another node"""


_DEFINITION = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_REFERENCE = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<more>[ \t][^{}]*)?\}|(?P<plain>[A-Za-z_]\w*)(?=[ \t]|$))", re.ASCII
)
_INCLUDE = re.compile(r"include(?:r|m|w|b|a)?[ \t]+(.+)")
_WHOLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


def read(main: Source, files: Files, config_id: str, instance: str) -> Reading:
    """What ``main`` and what it includes say on the node ``config_id``; raises Unreadable.

    ``instance``: what ``${_INSTANCE}`` stands for.
    """
    reader = _Reader(main.name, files, config_id, instance)
    reader.file(main, 0)
    reader.finish()
    if reader.faults:
        raise Unreadable(reader.faults[:MOST_PROBLEMS])
    return reader.reading


class _Reader:
    def __init__(self, name: str, files: Files, config_id: str, instance: str) -> None:
        self.reading = Reading(name)
        self.faults: list[Fault] = []
        self._files, self._id = files, config_id
        self._predefined = {"_INSTANCE": instance, "_HASH": "#", "_BANG": "!"}
        self._defined: dict[str, Definition] = {}
        self._stack: list[Directive] = []
        self._last: Directive | None = None
        """which a brace on the next line belongs to"""
        self._lines = 0

    def file(self, source: Source, depth: int) -> None:
        """Read one file; a definition ends with it."""
        if len(source.content) > SIZE_LIMIT:
            self._fault(Place(source.name, 1), f"is larger than {SIZE_LIMIT} bytes; this is no keepalived.conf")
            return
        try:
            text = source.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = source.content.count(b"\n", 0, error.start) + 1
            self._fault(Place(source.name, line), "is not UTF-8; save the file with this encoding")
            return
        long: Definition | None = None
        for number, raw in enumerate(text.split("\n"), start=1):
            place = Place(source.name, number)
            if "\0" in raw:
                self._fault(place, "has a zero byte; remove it")
                continue
            content = uncommented(raw)
            if raw.rstrip().endswith("\\") and not content.endswith("\\") and (long or content.startswith(("$", "@"))):
                content += " \\"  # one behind a comment counts, too (measured)
            if long is not None:
                long = self._more(long, place, content)
            elif content:
                long = self._line(place, content, source.directory, depth)
        if long is not None:
            self._fault(long.place, f"${long.name} is not complete at the end of the file; write a line without \\")

    def finish(self) -> None:
        """The end of all files."""
        for block in self._stack:
            self._fault(block.place, f"{block.name} opens a block that nobody closes; write }} behind it")

    def _fault(self, place: Place, message: str) -> None:
        self.faults.append(Fault(place, message))

    def _more(self, long: Definition, place: Place, line: str) -> Definition | None:
        """One more line of a definition; None after its last one."""
        long.lines.append((place, line.removesuffix("\\").rstrip()))
        return long if line.endswith("\\") else None

    def _line(self, place: Place, line: str, directory: str, depth: int) -> Definition | None:
        """One line, without comment; a definition that it begins and that goes on."""
        self._lines += 1
        if self._lines > MOST_LINES:
            if self._lines == MOST_LINES + 1:
                self._fault(
                    place, f"is line {MOST_LINES + 1} with all definitions in place; this is no keepalived.conf"
                )
            return None
        if depth > DEEPEST:
            self._fault(place, f"is within more than {DEEPEST} files or definitions; does one use itself?")
            return None
        try:
            return self._understood(place, line, directory, depth)
        except Slip as slip:
            self._fault(place, str(slip))
            return None

    def _understood(self, place: Place, line: str, directory: str, depth: int) -> Definition | None:
        if (included := _INCLUDE.fullmatch(line)) is not None:
            self._include(place, line, included[1], directory, depth)
            return None
        conditional = line.startswith("@")
        rest = self._meant_for_us(place, line)
        if rest is None or not rest:
            return None
        if (found := _DEFINITION.fullmatch(rest)) is not None:
            return self._define(place, found[1], found[2])
        if (long := self._long(rest)) is not None:
            long.used += 1
            for where, text in long.lines:
                if text and self._line(where, text, directory, depth + 1) is not None:
                    raise Slip(f"${long.name} holds a definition of several lines; write that outside of it")
            return None
        replaced = self._replaced(rest, directory)
        if replaced.startswith("@"):
            if conditional:
                raise Slip("has two conditions; write two lines")
            replaced = self._meant_for_us(place, replaced) or ""
        if replaced.startswith("~"):
            raise Slip(f"{replaced.partition('(')[0]} is not imported; write out the lines that it stands for")
        if re.match(r"include[rmwba]?(?:[ \t]|$)", replaced):
            raise Slip("keepalived reads no include behind a condition or with a parameter; write it out")
        self._build(place, tokens(replaced))
        return None

    def _meant_for_us(self, place: Place, line: str) -> str | None:
        """``line`` without its condition; None if that excludes this node."""
        if not line.startswith("@"):
            return line
        word, rest = _condition(line)
        denied = word.startswith("^")
        if (word.removeprefix("^") == self._id) is denied:
            self.reading.skipped.append((place, line))
            return None
        return rest

    def _include(self, place: Place, line: str, pattern: str, directory: str, depth: int) -> None:
        found = self._files(pattern.strip("\"'"), directory)
        missing = [one for one in found if isinstance(one, str)]
        told = "; ".join(missing) if found else "no file matches, so keepalived reads none either"
        self.reading.includes.append((place, line, told))
        for one in found:
            if isinstance(one, Source):
                if depth >= DEEPEST:
                    raise Slip(f"is within more than {DEEPEST} files; does one include itself?")
                self.file(one, depth + 1)

    def _define(self, place: Place, name: str, value: str) -> Definition | None:
        if name in self._predefined or name.startswith("_"):
            raise Slip(f"${name} begins with _, which keepalived reserves; write another name")
        is_long = value.strip() == "\\"
        if value.endswith("\\") and not is_long:
            raise Slip(f"nothing stands behind ${name}= in a definition of several lines; begin in the next line")
        made = Definition(place, name, [] if is_long else [(place, value)], is_long)
        self._defined[name] = made
        self.reading.definitions.append(made)
        return made if is_long else None

    def _long(self, line: str) -> Definition | None:
        """The definition of several lines that ``line`` stands for."""
        for found in _REFERENCE.finditer(line):
            known = self._defined.get(found["braced"] or found["plain"])
            if known is not None and known.is_long:
                if _WHOLE.fullmatch(line) is None:
                    raise Slip(f"${known.name} stands for several lines; write it alone in its line")
                return known
        return None

    def _replaced(self, line: str, directory: str) -> str:
        """``line`` with its parameters replaced, and those in their values, as often as there are any."""
        at = 0
        for _ in range(LONGEST):
            found = _REFERENCE.search(line, at)
            if found is None:
                return line
            name = found["braced"] or found["plain"]
            value = self._value(name, found["more"], directory)
            if value is None:
                at = found.end()
                continue
            line = line[: found.start()] + value + line[found.end() :]
            at = found.start() + (len(value) if name.startswith("_") else 0)
            if len(line) > LONGEST:
                break
        raise Slip(f"has more than {LONGEST} characters with its parameters; does one use itself?")

    def _value(self, name: str, more: str | None, directory: str) -> str | None:
        """What a parameter stands for; None: it is not defined, and keepalived leaves it as it is."""
        if name in self._predefined and more is None:
            return self._predefined[name]
        if name == "_PWD" and more is None:
            return directory
        if name.startswith("_"):
            raise Slip(f"${{{name}}} is not imported; write what it stands for")
        known = None if more else self._defined.get(name)
        if known is None:
            return None
        if known.is_long:
            raise Slip(f"${name} stands for several lines; write it alone in its line")
        known.used += 1
        return known.lines[0][1]

    def _build(self, place: Place, line: Sequence[Token]) -> None:
        """Take the words of one line into the tree."""
        words: list[str] = []
        for token in line:
            if isinstance(token, Word):
                words.append(token)
                continue
            self._statement(place, words)
            words = []
            if token == OPEN:
                self._open()
            else:
                self._close()
        self._statement(place, words)

    def _statement(self, place: Place, words: list[str]) -> None:
        if not words:
            return
        if words[0].startswith("@") and self._last is None and self._stack and self._stack[-1].place == place:
            raise Slip("a condition stands at the beginning of a line; write it there")
        self._last = Directive(place, tuple(words))
        (self._stack[-1].children if self._stack else self.reading.directives).append(self._last)

    def _open(self) -> None:
        if self._last is None:
            raise Slip("{ opens a block without a name; remove it, or write what it is")
        if len(self._stack) >= DEEPEST:
            raise Slip(f"more than {DEEPEST} blocks are within each other; does one lack its }}?")
        self._last.is_block = True
        self._stack.append(self._last)
        self._last = None

    def _close(self) -> None:
        if not self._stack:
            raise Slip("} closes no block; remove it")
        self._stack.pop()
        self._last = None


def _condition(line: str) -> tuple[str, str]:
    """The word of a condition, and what stands behind it."""
    found = re.match(r"@(\S*)[ \t]*(.*)", line, re.DOTALL)
    assert found is not None
    return found[1], found[2]
