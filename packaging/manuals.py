#!/usr/bin/env python3
"""packaging/manuals.py DIRECTORY [DATE]: writes the manual pages exavrrp(8), exavrrp.toml(5) and exavrrp-codes(7).

What a page says comes from where it is said already: commands and options from the commands themselves, ranges and
defaults of keys from the JSON Schema, codes from ``exavrrp.codes``, and what a key means from the guide (docs/). The
directory ``man`` beside this file has the rest, one file for each page, in Markdown. A line ``{{…}}`` there stands for:

- ``{{options}}``, ``{{commands}}``, ``{{codes}}``: what the program says of them
- ``{{docs/reference/PAGE.md}}``: that page of the guide, without its title. Of each key in its tables (those whose
  first heading is the name of a table of exavrrp.toml) the manual also says what the schema knows
- ``{{docs/reference/PAGE.md: HEADING}}``: only the table of that page whose first heading this is

The pages are in man(7) and in ASCII, for groff and mandoc. Of Markdown only what the guide uses is understood:
headings, paragraphs, blocks of code, tables, links, code and bold type.
"""

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from exavrrp import __version__
from exavrrp.cli import COMMANDS, main
from exavrrp.codes import CODES, explained
from exavrrp.config import json_schema
from exavrrp.config.toml import toml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "packaging" / "man"
SCHEMA = json_schema()

PAGES = ("exavrrp.8", "exavrrp.toml.5", "exavrrp-codes.7")
"""The names of the pages, and of their files."""

ESCAPED = {
    # Without these, what is copied from the page is not what one types.
    "\\": r"\(rs",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    # What a terminal without Unicode has, too.
    "–": r"\(en",
    "−": r"\-",
    "×": r"\(mu",
    "±": r"\(+-",
    "≥": r"\(>=",
    "…": "...",
    "µ": "u",
}
"""By character; every other one that is not ASCII is given to roff by its number."""


def escaped(text: str) -> str:
    """``text`` as roff shows it, and never as a request."""
    found = "".join(ESCAPED.get(one, one if one.isascii() else rf"\[u{ord(one):04X}]") for one in text)
    return rf"\&{found}" if found.startswith(".") else found


def bold(text: str) -> str:
    """In bold type: what is to be typed as it stands."""
    return rf"\fB{escaped(text)}\fR"


def inline(text: str) -> str:
    """A line of Markdown: code in bold type, of links the text alone."""
    parts = re.split(r"`([^`]+)`|\*\*(.+?)\*\*", unlinked(text))  # plain, code or None, bold or None, plain …
    return "".join(bold(part) if place % 3 else escaped(part) for place, part in enumerate(parts) if part)


def unlinked(text: str) -> str:
    """Of links the text alone."""
    return re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", text)


def sentence(text: str) -> str:
    """A cell of a table: with a capital, unless it begins with code, and a full stop."""
    found = unlinked(text)
    whole = found[0].upper() + found[1:]
    return whole if whole.endswith((".", "?", "!")) else f"{whole}."


# From the guide

Row = list[str]


def page(name: str) -> list[str]:
    """The lines of a page of the guide after its title."""
    return (ROOT / name).read_text(encoding="utf-8").splitlines()[1:]


def cells(line: str) -> Row:
    """Of a row of a table."""
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


BLOCK = re.compile(r"^```(?s:.*?)^```$|^\|[^\n]*(?:\n\|[^\n]*)*|^[^\n]+(?:\n(?!```|\|)[^\n]+)*", re.MULTILINE)
"""Code, a table, or a heading or paragraph."""


def markdown(lines: list[str]) -> Iterator[str]:
    """The requests of roff for lines of Markdown; headings of the second level are sections, others subsections."""
    for block in BLOCK.findall("\n".join(lines)):
        first, *rest = block.splitlines()
        if first.startswith("#"):
            depth, title = first.split(" ", 1)
            yield f".SH {escaped(title.upper())}" if depth == "##" else f".SS {escaped(title)}"
        elif first.startswith("```"):
            yield from verbatim(rest[:-1])
        elif first.startswith("|"):
            yield from table(cells(first), list(map(cells, rest[1:])))
        elif first.startswith("{{"):
            yield from replaced(first.strip("{}"))
        else:
            yield from (".PP", inline(" ".join([first, *rest])))


def verbatim(lines: list[str]) -> Iterator[str]:
    """Lines that stay as they are."""
    yield from (".PP", ".RS 2", ".EX", *map(escaped, lines), ".EE", ".RE")


def table(headings: Row, rows: list[Row]) -> Iterator[str]:
    """A paragraph for each row: what stands first, and below it the rest."""
    if headings[0].startswith("`["):
        yield from keys(headings[0], rows)
        return
    for first, *others in rows:
        yield from (".TP", inline(first))
        named = [f"{name}: {cell}" if name else cell for name, cell in zip(headings[1:], others, strict=True)]
        yield inline(" ".join(map(sentence, others if len(others) == 1 else named)))


def table_of(name: str, heading: str) -> Iterator[str]:
    """The table of a page whose first heading this is."""
    lines = page(name)
    first = next(number for number, line in enumerate(lines) if line.startswith("|") and cells(line)[0] == heading)
    end = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    return table(cells(lines[first]), list(map(cells, lines[first + 2 : end])))


def names(cell: str) -> list[str]:
    """What stands as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def keys(heading: str, rows: list[Row]) -> Iterator[str]:
    """A table of keys, with what the schema knows of them; several keys of one row have to be alike."""
    yield f".SS {escaped(' and '.join(names(heading)))}"
    tables = [properties(name.strip("[]")) for name in names(heading)]
    for row in rows:
        yield ".TP"
        for number, name in enumerate(names(row[0])):
            yield from (*([".TQ"] if number else ()), described(name, row[1], tables))
        values = {of_table[name]["description"] for of_table in tables for name in names(row[0])}
        yield inline(" ".join(map(sentence, filter(None, row[2:]))))
        yield from (".br", escaped(sentence(f"write {' / '.join(sorted(values))}")))


def described(name: str, default: str, tables: list[dict[str, Any]]) -> str:
    """A key with its default: that of the schema, or where that has none the guide's words."""
    found = tables[0][name]
    if found.get("default") not in (None, []):
        value = toml(found["default"])
        default = re.sub(rf"^`?{re.escape(value)}`?", "", default)
        return f"{bold(name)} ({escaped(value)}{inline(default)})"
    return bold(name) + (f" ({inline(default)})" if default else "")


def properties(path: str) -> dict[str, Any]:
    """The keys of a table of exavrrp.toml, such as ``virtual_router.NAME.bgp``, in the JSON Schema."""
    found: dict[str, Any] = SCHEMA
    for part in path.split("."):
        found = found["additionalProperties"] if part.isupper() else found["properties"][part]
        found = SCHEMA["$defs"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
    content: dict[str, Any] = found["properties"]
    return content


# From the program


def usage(text: str) -> str:
    """A usage, or an option with its value: words in capitals stand for something else, all others as they are."""
    words = re.split(r"([A-Z][A-Z]+)", text)
    return "".join(
        rf"\fI{escaped(word)}\fR" if number % 2 else bold(word) if word.strip(" []./,=") else escaped(word)
        for number, word in enumerate(words)
    )


def in_context(command: click.Command) -> click.Context:
    """The command as it is called. It keeps what it is called with first, also for who asks later (its ``-h``)."""
    return click.Context(command, **main.context_settings)


def options(command: click.Command) -> Iterator[str]:
    """What ``--help`` says of its options; of itself only once, with those of all commands."""
    context = in_context(command)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and (command is main or "--help" not in parameter.opts):
            yield from (".TP", usage(record[0]), escaped(record[1]))


def commands() -> Iterator[str]:
    """All commands in one list, then each with what its ``--help`` says."""
    for name, line in COMMANDS.items():
        yield from (".TP", bold(name), escaped(line))
    for name in COMMANDS:
        command = main.get_command(in_context(main), name)
        assert command is not None
        yield f".SS {escaped(' '.join(('exavrrp', name, *command.collect_usage_pieces(in_context(command)))))}"
        for paragraph in cleandoc(command.help or "").split("\n\n"):
            first, *rest = paragraph.splitlines()
            unwrapped = escaped(" ".join(paragraph.split()))
            yield from verbatim(rest) if first == "\b" else (".PP", unwrapped)  # click's mark of what it does not fold
        yield from options(command)


def codes() -> Iterator[str]:
    """Each code, in the order of the alphabet: its paragraphs as ``exavrrp explain`` prints them."""
    for name in sorted(CODES):
        _, *paragraphs = explained(name)
        yield from (".TP", bold(name), "\n.br\n".join(map(inline, paragraphs)))


def replaced(what: str) -> Iterator[str]:
    """What stands in place of ``{{what}}``."""
    match what.partition(": "):
        case ("options", _, _):
            return options(main)
        case ("commands", _, _):
            return commands()
        case ("codes", _, _):
            return codes()
        case (name, "", _):
            return markdown(page(name))
        case (name, _, heading):
            return table_of(name, heading)


def manual(name: str, date: str = "") -> str:
    """A page, one of ``PAGES``, in man(7)."""
    title, _, section = name.rpartition(".")
    source = (SOURCES / f"{name}.md").read_text(encoding="utf-8").splitlines()
    head = f'.TH {escaped(title.upper())} {section} "{date}" "exavrrp {escaped(__version__)}"'
    body = list(markdown(source))
    # A heading begins a paragraph by itself.
    lines = [line for line, before in zip(body, ["", *body], strict=False) if (line, before[:2]) != (".PP", ".S")]
    # No word is divided (HY: not after groff's macros either), so that what is searched for stands as it is.
    return "\n".join((head, ".nr HY 0", ".nh", ".ad l", *lines, ""))


if __name__ == "__main__":
    directory, *dates = sys.argv[1:]
    for each in PAGES:
        Path(directory, each).write_text(manual(each, *dates), encoding="ascii")
