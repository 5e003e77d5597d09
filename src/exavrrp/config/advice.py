"""What to write instead of an unknown key.

The first of these that applies:

1. the counterpart of another tool's word (``foreign``) for this very table,
2. our tables that have such a key,
3. the counterpart of another tool's word for any table,
4. the key with the most similar spelling,
5. all keys that are known here.

Spelling comes late because it knows no meaning: the key most similar to ``nopreempt`` is ``preempt``. So a key that
denies the word, or names the other end of the same scale, is never suggested.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

import msgspec

from exavrrp.config import kinds, schema
from exavrrp.config.diagnosis import Advice, shown
from exavrrp.config.foreign import (
    AGENT,
    AUTHENTICATION,
    BGP,
    CHECK,
    FOREIGN,
    KEY,
    NODE,
    ROUTER,
    Counterpart,
    Line,
    Takes,
)

MOST_KNOWN = 500
"""Names that are compared with a misspelt one: each takes some 10 µs."""

LIKENESS = 0.7
"""Least similarity for keys, which are few and short: with less, cpu is taken for tcp."""

ROOT = "root"
"""The kind of no table."""

HEADERS: Mapping[type[msgspec.Struct], tuple[str, str]] = {
    schema.Agent: ("agent", AGENT),
    schema.Node: ("node", NODE),
    schema.VirtualRouter: ("virtual_router", ROUTER),
    schema.Bgp: ("bgp", BGP),
    schema.Level: ("bgp", BGP),
    kinds.Check: ("check", CHECK),
    schema.Authentication: ("authentication", AUTHENTICATION),
    schema.Key: ("key", KEY),
}
"""Of each table, what entries of ``foreign`` call it, and its header."""

_SECRETIVE = (schema.Authentication, schema.Key)
"""Tables whose text no message repeats: it may be the secret."""

_FIELDS: Mapping[str, Mapping[str, Any]] = {
    header: {field.name: field.type for field in msgspec.structs.fields(kind)}
    for kind, (_, header) in HEADERS.items()
    if kind is not schema.Level
}
"""Keys and their types by header. A level has no entry: the table above it has all its keys."""


def advise(kind: type[msgspec.Struct] | None, name: str, value: object, known: Collection[str]) -> Advice:
    """What to do about the key ``name``, unknown in a table of this kind (None: in none), whose keys are ``known``."""
    word = name.lower().replace("-", "_")
    where, header = (ROOT, "") if kind is None else HEADERS[kind]
    if kind in _SECRETIVE and isinstance(value, str):
        value = None
    if (counterpart := FOREIGN.get(f"{where}.{word}")) is not None:
        return _translated(counterpart, header, known, value)
    if tables := [table for table, fields in _FIELDS.items() if word in fields and word not in known]:
        return Advice(f"it belongs to a table {' or '.join(f'[{table}]' for table in tables)}")
    if word not in known and (counterpart := FOREIGN.get(word)) is not None:
        return _translated(counterpart, header, known, value)
    meant = nearest(name, known, LIKENESS)
    if meant is not None:
        return Advice(f'did you mean "{meant}"?', (meant,))
    return Advice(f"known here: {', '.join(known)}")


def is_known(name: str) -> bool:
    """Whether ``name`` is a key of any table of ours, or a word of another tool."""
    word = name.lower().replace("-", "_")
    return word in FOREIGN or any(word in fields for fields in _FIELDS.values())


def _translated(counterpart: Counterpart, header: str, known: Collection[str], value: object) -> Advice:
    if not counterpart.lines:
        return Advice(f"remove it: {counterpart.remark}")
    if value is False and counterpart.denied is not None:
        counterpart = Counterpart((counterpart.denied,))
    first, *others = counterpart.lines
    line = _with_value(first, value) if counterpart.takes is Takes.SAME else first
    example = counterpart.takes is Takes.EXAMPLE or (counterpart.takes is Takes.SAME and line is first)
    written: dict[str, list[str]] = {}
    meant = []
    for each in (line, *others):
        here = each.key in known and _may_stand(each.table, header)
        written.setdefault("" if here else each.table, []).append(each.text)
        if here or not each.text:
            meant.append(each.key or each.table.partition(".")[0])
    told = ", and ".join(_placed(table, texts) for table, texts in written.items())
    remark = f"; {counterpart.remark}" if counterpart.remark else ""
    return Advice(f"write{', for example,' if example else ''} {told}{remark}", tuple(meant))


def _may_stand(table: str, header: str) -> bool:
    """Whether a line that belongs to ``table`` may stand below ``header``, if that has such a key, too."""
    return table == header or (table, header) == (ROUTER, AGENT)


def _placed(table: str, texts: list[str]) -> str:
    if texts == [""]:
        return f"a table [{table}]"
    return " and ".join(texts) + (f" in [{table}]" if table else "")


def _with_value(line: Line, value: object) -> Line:
    """``line`` with the value that the operator wrote, if it fits."""
    if value is None:
        return line
    wanted = _FIELDS[line.table][line.key]
    try:
        fitting = msgspec.convert(value, wanted)
        if line.key == "advert_interval":
            fitting = msgspec.convert(round(fitting, 2), wanted)
    except msgspec.ValidationError:
        return line
    told = shown(fitting)
    return line if told.endswith("…") else Line(line.table, f"{line.key} = {told}")


def nearest(word: str, known: Collection[str], likeness: float = 0.6) -> str | None:
    """The member of ``known`` that ``word`` is most likely a misspelling of; None of more than ``MOST_KNOWN``.

    ``likeness`` is the least similarity that counts, up to 1 (difflib's ratio).
    """
    if len(known) > MOST_KNOWN:
        return None
    word = word.lower().replace("-", "_")
    alike = get_close_matches(word, list(known), 8, likeness)
    return next((name for name in alike if not _is_opposite(word, name)), None)


_DENIAL = re.compile(
    r"(?:^|_)(?:no|not|non|un|in|dis|de|anti|dont|do_not|never|without|disabled?|ignored?|skip|suppress|off)_?"
    r"|_(?:disabled?|off|never)$"
)
"""Negations."""

_ENDS = (
    *(("min", "max"), ("rise", "fall"), ("up", "down"), ("start", "stop"), ("active", "backup"), ("before", "after")),
    *(("ipv4", "ipv6"), ("enable", "disable"), ("accept", "reject"), ("first", "last"), ("least", "most")),
)
"""Two ends of a scale."""


def _is_opposite(word: str, other: str) -> bool:
    """Whether one of the two denies the other, or names the other end of the same scale."""
    mine, theirs = set(word.split("_")), set(other.split("_"))
    if any((a in mine and b in theirs) or (b in mine and a in theirs) for a, b in _ENDS):
        return True
    likeness = _likeness(word, other)
    return any(_likeness(short, other) > likeness for short in _affirmed(word)) or any(
        _likeness(word, short) > likeness for short in _affirmed(other)
    )


def _affirmed(word: str) -> Iterator[str]:
    """``word`` without one denial."""
    for found in _DENIAL.finditer(word):
        yield (word[: found.start()] + "_" + word[found.end() :]).strip("_")


def _likeness(word: str, other: str) -> float:
    return SequenceMatcher(None, word, other).ratio()
