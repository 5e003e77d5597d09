"""Where in a TOML text each key stands: the line of each table, key and list element.

tomli keeps no positions. This finds them again, with a scanner that may be simple because it only ever sees text that
tomli has accepted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tomli

Keys = tuple[str | int, ...]
"""Where a value stands: table names, key, and the index in a list."""

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
