"""Explains a text that is no TOML: another tool's file, or a line with a syntax error that people often make.

tomli says where the syntax error is, which helps people who know TOML. Others write what keepalived, YAML, Python or a
shell would accept: this file recognises that and suggests the line to write. In a keepalived.conf it looks at every
line, and suggests what ``advice`` has for each keyword.

It gets only texts that tomli has refused. What it does not recognise gets no suggestion.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import tomli

from exavrrp.config import kinds, notation, schema
from exavrrp.config.advice import advise, is_known
from exavrrp.config.diagnosis import MOST_PROBLEMS, description, shown
from exavrrp.config.files import Slip

LONGEST = 500
"""Characters of a line that is looked at: a longer one was written by no person."""

HEAD = 1 << 16
"""Characters at the beginning of a text, in which it is seen whose it is."""

EXAMPLE = "exavrrp.toml among the examples shows how"

_OTHERS: tuple[tuple[str, str], ...] = (
    (r"^(protocol|template) [a-z0-9]+\b.*\{|^router id .*;", f"this is a bird.conf; write TOML: {EXAMPLE}"),
    (
        r"^[ \t]*(neighbor|process|template|group)\b[^={}\n]*\{",
        "this is an exabgp.conf; name the file that its process runs with: exavrrp run --config FILE",
    ),
    (r"^(frr version|router bgp) ", f"this is a configuration of FRR; write TOML: {EXAMPLE}"),
    (r"\A\s*\{", f"this is JSON; write TOML: {EXAMPLE}"),
    (r"\A(?:[ \t]*(?:#.*)?\n)*(?:---|[\w-]+:[ \t]*(?:#.*)?\n[ \t]*[\w-])", f"this is YAML; write TOML: {EXAMPLE}"),
)
"""What is found in the files of others, and what to say of them."""

_TWICE = {
    "Cannot overwrite a value": "write each key once",
    "Cannot declare": "write each table once, with all its keys below it",
}

_OURS = re.compile(r"^\[(?:agent|virtual_router|check|authentication)\b", re.MULTILINE)

_KEEPALIVED = re.compile(
    r"^[ \t]*(global_defs|vrrp_(?:instance|script|sync_group|track_process|track_file)|virtual_server|static_\w+)\b"
    r"[^={}\n]*\{",
    re.MULTILINE,
)

_BLOCKS: dict[str, type[msgspec.Struct]] = {
    "global_defs": schema.Agent,
    "vrrp_instance": schema.VirtualRouter,
    "vrrp_sync_group": schema.VirtualRouter,
    "authentication": schema.VirtualRouter,
    "auth_hmac": schema.Authentication,
    "vrrp_script": kinds.Check,
    "vrrp_track_process": kinds.Check,
    "vrrp_track_file": kinds.Check,
    "track_file": kinds.Check,
}
"""Blocks of keepalived.conf whose lines are keywords; those of all others are lists, or belong to LVS."""


def explain(text: str, line: int | None, reason: str) -> Iterator[Slip]:
    """What is wrong with ``text``, which ceases to be TOML in ``line`` for ``reason``; nothing if nobody can tell."""
    head = text[:HEAD]
    if _OURS.search(head) is None:
        if _KEEPALIVED.search(head):
            yield Slip(None, "", f"this is a keepalived.conf; write TOML instead, as said below: {EXAMPLE}")
            yield from _translated(text)
            return
        meant = next((meant for pattern, meant in _OTHERS if re.search(pattern, head, re.MULTILINE)), None)
        if meant is not None:
            yield Slip(None, "", meant)
            return
    if line is not None and (slip := _slip(text.splitlines(), line, reason)) is not None:
        yield slip


# Another tool's file


def _translated(text: str) -> Iterator[Slip]:
    """Each keyword of a keepalived.conf, and what to write for it."""
    blocks: list[str] = []
    told = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST:
            continue
        words = re.findall(r'"[^"]*"|\'[^\']*\'|[{}]|[^\s{}]+', re.sub(r"[#!].*", "", line))
        if words and words[0] not in "{}" and (slip := _word(number, blocks, words)) is not None:
            yield slip
            told += 1
            if told == MOST_PROBLEMS:
                return
        for index, word in enumerate(words):
            if word == "{":
                blocks.append(words[0] if index else "")
            elif word == "}" and blocks:
                blocks.pop()


def _word(number: int, blocks: list[str], words: list[str]) -> Slip | None:
    kind = _BLOCKS.get(blocks[-1]) if blocks else None
    name = words[0]
    if (blocks and kind is None) or (blocks and name == "authentication"):
        return None
    arguments = [word for word in words[1:] if word not in "{}"]
    value = _value(" ".join(arguments)) if arguments else True
    fields = _fields(kind)
    if name in fields:
        return Slip(number, name, _as_is(name, name, value, fields[name]))
    if is_known(name):
        return Slip(number, name, advise(kind, name, value, fields or _TOP).text)
    return None


_TOP = ("agent", "virtual_router", "check", "authentication")


def _value(text: str) -> object:
    """``text`` as keepalived takes it."""
    if isinstance(meant := notation.quantity(text), bool):
        return meant
    if re.fullmatch(r"[+-]?\d{1,9}", text):
        return int(text)
    if re.fullmatch(r"[+-]?\d{1,9}\.\d{1,9}", text):
        return float(text)
    return text.strip("\"'")


def _fields(kind: type[msgspec.Struct] | None) -> dict[str, Any]:
    return {} if kind is None else {field.name: field.type for field in msgspec.structs.fields(kind)}


def _as_is(where: str, key: str, value: object, wanted: Any) -> str:
    """What to write for a key of ours that has this value; ``where``: the key with those of its tables."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return f"write a table [{where}]"
    try:
        fitting = msgspec.convert(value, wanted)
        return f"write {key} = {shown(list(fitting) if isinstance(fitting, tuple) else fitting)}"
    except msgspec.ValidationError:
        return f"write {description(wanted)}"


# A line with a slip


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a line was meant to say."""

    key: str
    value: object
    why: str


def _slip(lines: list[str], line: int, reason: str) -> Slip | None:
    """The slip that ends in ``line``."""
    header = _header(lines[: line - 1])
    if reason == "Unclosed array" and (begun := _beginning(lines[:line])) not in {0, line}:
        key = lines[begun - 1].partition("=")[0].strip()
        return Slip(begun, f"{header}.{key}".lstrip("."), "is a list without an end; write ] behind its last element")
    here = lines[line - 1] if line <= len(lines) else ""
    for beginning, remedy in _TWICE.items():
        if reason.startswith(beginning):
            return Slip(line, header, remedy)
    if len(here) > LONGEST or _is_toml(here) or _may_be_secret(header, here):
        return None
    if (meant := _typed(here)) is None:
        return None
    if isinstance(meant, str):
        return Slip(line, "", meant)
    where = f"{header}.{meant.key}".lstrip(".")
    kind = _kind(header)
    fields = _fields(kind)
    if kind is not None and meant.key not in fields:
        return Slip(line, where, f"unknown key; {advise(kind, meant.key, meant.value, fields).text}")
    if meant.value is None:
        return Slip(line, where, meant.why)
    told = f"write {meant.key} = {shown(meant.value)}"
    return Slip(
        line, where, f"{_as_is(where, meant.key, meant.value, fields[meant.key]) if fields else told}; {meant.why}"
    )


def _is_toml(line: str) -> bool:
    """Whether the slip is elsewhere."""
    try:
        tomli.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _may_be_secret(header: str, line: str) -> bool:
    return header.startswith("authentication") or re.search(r"hex|key|pass|secret", line) is not None


def _beginning(lines: list[str]) -> int:
    """The line in which the last list begins, from 1; 0: in none."""
    return next((at for at in range(len(lines), 0, -1) if re.match(r"\s*[\w.-]+\s*=\s*\[", lines[at - 1])), 0)


def _header(lines: list[str]) -> str:
    """The table that the next line stands in."""
    for line in reversed(lines):
        if "[" in line and (found := re.match(r"\s*\[\[?\s*([^\[\]]*?)\s*\]", line)):
            return found[1]
    return ""


def _kind(header: str) -> type[msgspec.Struct] | None:
    first, *rest = re.findall(r'"[^"]*"|[^."]+', header) or [""]
    match first, rest:
        case "agent", []:
            return schema.Agent
        case "virtual_router", [_]:
            return schema.VirtualRouter
        case "virtual_router", [_, "bgp"]:
            return schema.Bgp
        case "virtual_router", [_, "bgp", "standby" | "leaving"]:
            return schema.Level
        case "check", [_]:
            return kinds.Check
        case "authentication", [_]:
            return schema.Authentication
    return None


_KEY = r"\s*(?P<key>[A-Za-z0-9_-]+)\s*"
_IS = r"(?:[=:]|(?<=\s))\s*"
_END = r"\s*(?:#.*)?$"


def _quantity(found: re.Match[str]) -> _Meant:
    why = "seconds, without a unit" if found["unit"] else "as TOML writes a number"
    return _Meant(found["key"], notation.quantity(found["number"] + found["unit"]), why)


def _list(found: re.Match[str]) -> _Meant:
    elements = [element.strip("\"'") for element in re.findall(r'"[^"]*"|\'[^\']*\'|[^\s,"\']+', found["elements"])]
    return _Meant(found["key"], elements, "text stands in quotes, with a comma between two")


_RULES: tuple[tuple[str, Callable[[re.Match[str]], _Meant | str]], ...] = (
    (
        rf"(?:{_KEY}=)?[^#]*[“”„‟‘’‚«»]",
        lambda found: _Meant(found["key"] or "", None, "write straight quotes: \" or '"),
    ),
    (r"\s*(?:;|//|!|--)", lambda _: "write # where a comment begins"),
    (rf"{_KEY}=[^#]*?\s(?://|--|;).*$", lambda found: _Meant(found["key"], None, "write # where a comment begins")),
    (
        rf"{_KEY}=[^#]*[;,]{_END}",
        lambda found: _Meant(found["key"], None, "nothing stands behind a value; remove the last character"),
    ),
    (
        r"\s*\[+\s*(?P<name>[\w.-]+)\s*(?:#.*)?$",
        lambda found: f"write [{found['name']}]: the header of a table ends with ]",
    ),
    (
        r"\s*\[+\s*(?P<table>[\w-]+)\s+\"?(?P<name>[\w-]+)\"?\s*\]",
        lambda found: f"write [{found['table']}.{found['name'].lower()}]",
    ),
    (rf"{_KEY}{_IS}(?P<number>\d{{1,9}}(?:[.,]\d{{1,9}})?)\s*(?P<unit>{'|'.join(notation.UNITS)}){_END}", _quantity),
    (
        rf"{_KEY}=\s*(?P<number>\.\d+|\d+\.){_END}",
        lambda found: _Meant(found["key"], float(found["number"]), "digits stand on both sides of the point"),
    ),
    (
        rf"{_KEY}{_IS}(?:(?P<yes>(?i:true|yes|on))|(?i:false|no|off)){_END}",
        lambda found: _Meant(found["key"], found["yes"] is not None, "true or false"),
    ),
    (rf"{_KEY}{_END}", lambda found: _Meant(found["key"], value=True, why="each key has a value")),
    (
        rf"{_KEY}[=:]\s*(?i:none|null|nil|~)?{_END}",
        lambda found: _Meant(found["key"], None, "has no value; write one, or remove the key"),
    ),
    (rf"{_KEY}{_IS}[\[(](?P<elements>[^#\[\]()]*)[\])]{_END}", _list),
    (
        rf"{_KEY}{_IS}(?P<quote>[\"'])[^\"']*$",
        lambda found: _Meant(found["key"], None, f"is text without an end; write {found['quote']} behind it"),
    ),
    (
        rf"{_KEY}{_IS}[\"']?(?P<value>[^\s#\"'=]+){_END}",
        lambda found: _Meant(found["key"], found["value"], "text stands in quotes"),
    ),
)


def _typed(line: str) -> "_Meant | str | None":
    """What ``line`` was meant to say: a value for a key, or for the whole line what is wrong; None: nobody can tell."""
    for pattern, meaning in _RULES:
        if found := re.match(pattern, line):
            return meaning(found)
    return None
