"""One line of a keepalived.conf → its words.

As keepalived's lib/parser.c makes them (measured): a comment begins at any # or ! outside of double quotes, also within
a word and within single quotes; a brace is a word of its own.
"""

import re

OPEN, CLOSE = "{", "}"
"""Braces as marks; a word that is a brace in quotes is a ``Word`` all the same."""

_ESCAPES = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_OCTAL, _HEXADECIMAL = re.compile(r"[0-7]{1,3}"), re.compile(r"x([0-9A-Fa-f]+)")
_PARAMETER = re.compile(r"\$\{[^{}\"'\s]*\}")
_SPACE = " \t"


class Slip(ValueError):
    """A line that cannot be read; its text completes the sentence "keepalived.conf:7: …"."""


class Word(str):
    """A word, as opposed to a mark."""

    __slots__ = ()


Token = str
"""A ``Word``, or one of the marks."""


def uncommented(line: str) -> str:
    """``line`` without its comment, and without white space at both ends."""
    quoted, at = False, 0
    while at < len(line):
        letter = line[at]
        if letter == "\\":
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif letter in "#!" and not quoted:
            line = line[:at]
        at += 1
    return line.strip(_SPACE + "\r\f\v")


def tokens(line: str) -> list[Token]:
    """The words of ``line`` and its braces; raises Slip."""
    found: list[Token] = []
    word: list[str] | None = None
    at = 0
    while at < len(line):
        letter = line[at]
        if letter in _SPACE or letter in OPEN + CLOSE:
            if word is not None:
                found.append(Word("".join(word)))
                word = None
            if letter in OPEN + CLOSE:
                found.append(letter)
            at += 1
            continue
        word = [] if word is None else word
        if letter in "\"'":
            text, at = _quoted(line, at)
        elif letter == "\\":
            text, at = _escaped(line, at)
        elif parameter := _PARAMETER.match(line, at):  # one that is not defined stays as it is
            text, at = parameter[0], parameter.end()
        else:
            text, at = letter, at + 1
        word.append(text)
    if word is not None:
        found.append(Word("".join(word)))
    return found


def _quoted(line: str, at: int) -> tuple[str, int]:
    """What stands in the quotes that begin at ``at``, and where it goes on behind them."""
    quote, found = line[at], []
    at += 1
    while at < len(line) and line[at] != quote:
        text, at = _escaped(line, at) if line[at] == "\\" else (line[at], at + 1)
        found.append(text)
    if at >= len(line):
        raise Slip(f"has a quote without its end; write {quote} behind the text")
    return "".join(found), at + 1


def _escaped(line: str, at: int) -> tuple[str, int]:
    """What a backslash at ``at`` and what follows stand for, and where it goes on behind them."""
    rest = at + 1
    if rest >= len(line):
        raise Slip("ends with \\, which only the lines of a definition ($NAME= \\) may; write all in one line")
    if octal := _OCTAL.match(line, rest):
        return chr(int(octal[0], 8) & 0xFF), octal.end()
    if hexadecimal := _HEXADECIMAL.match(line, rest):
        return chr(int(hexadecimal[1][-2:], 16)), hexadecimal.end()
    if line[rest] == "c" and rest + 1 < len(line):
        return chr(ord(line[rest + 1]) & 0x1F), rest + 2
    return _ESCAPES.get(line[rest], line[rest]), rest + 1


def program(text: str) -> tuple[str, ...]:
    """The words of a command line, which is one word of the file; either quotes keep white space. Raises Slip."""
    found: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        letter = text[at]
        if letter in _SPACE:
            if word is not None:
                found.append(word)
            word, at = None, at + 1
        elif letter in "\"'":
            end = text.find(letter, at + 1)
            if end < 0:
                raise Slip(f"has a quote without its end in the command; write {letter} behind the text")
            word, at = (word or "") + text[at + 1 : end], end + 1
        else:
            word, at = (word or "") + letter, at + 1
    return tuple(found if word is None else [*found, word])
