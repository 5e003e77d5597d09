"""The manual pages say what the program, its schema and its codes say: nothing less, and nothing otherwise."""

import re
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

import manuals
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import agent
from exavrrp.cli import COMMANDS, CONFIGURATION, main
from exavrrp.codes import CODES, explained
from exavrrp.config import json_schema, kinds, schema
from exavrrp.config.advice import HEADERS
from exavrrp.config.toml import toml
from exavrrp.control import SOCKET

ROOT = Path(__file__).parents[1]

SHOWN = {r"\-": "-", r"\(rs": "\\", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~", r"\&": ""}
SHOWN |= {r"\(en": "–", r"\(mu": "×", r"\(+-": "±", r"\(>=": "≥", r"\fB": "", r"\fI": "", r"\fR": ""}
"""What a reader sees in place of these."""

REQUESTS = {".TH", ".SH", ".SS", ".PP", ".TP", ".TQ", ".br", ".RS", ".RE", ".EX", ".EE", ".nr", ".nh", ".ad"}


def shown(text: str) -> str:
    """A line of roff as a reader sees it."""

    def seen(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else SHOWN[found[0]]

    return re.sub(r"\\(?:\[u([0-9A-F]{4,6})\]|\(..|f.|.)", seen, text)


@dataclass
class Section:
    """What stands below a heading."""

    title: str
    words: list[str] = field(default_factory=list)
    """each line of text, tags too"""
    entries: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    """what stands behind tags, by these, in lines"""

    @property
    def text(self) -> str:
        return flat(self.words)


def flat(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


@cache
def sections(name: str) -> dict[str, Section]:
    """The sections and subsections of a page, read strictly."""
    head, *lines = manuals.manual(name).splitlines()
    assert head.startswith(".TH ")
    found: dict[str, Section] = {}
    section = Section("")
    tags: list[str] | None = None
    tagged = False
    for line in lines:
        request, _, rest = line.partition(" ")
        if line.startswith("."):
            assert request in REQUESTS, line
        if request in (".SH", ".SS"):
            assert shown(rest) not in found
            section = found[shown(rest)] = Section(shown(rest))
            tags = None
        elif request in (".TP", ".TQ"):
            tags = [] if request == ".TP" or tags is None else tags
            tagged = True
        elif request == ".PP":
            tags = None
        elif not line.startswith("."):
            section.words.append(shown(line))
            if tagged:
                assert tags is not None
                tags.append(shown(line))
                tagged = False
            elif tags is not None:
                section.entries.setdefault(tuple(tags), []).append(shown(line))
    return found


pages = pytest.mark.parametrize("name", manuals.PAGES)


# roff


@pages
def test_a_page_is_well_formed(name: str) -> None:
    page = manuals.manual(name, "2026-11-30")
    assert page.isascii()
    assert page.splitlines()[0].split()[1:4] == [
        manuals.escaped(name[:-2].upper()),
        name[-1],
        '"2026-11-30"',
    ]
    requests = [line.split()[0] for line in page.splitlines() if line.startswith(".")]
    nested = [one for one in requests if one in (".RS", ".EX", ".EE", ".RE")]
    assert nested == [".RS", ".EX", ".EE", ".RE"] * (len(nested) // 4)
    for number, line in enumerate(lines := page.splitlines()):
        assert not line.startswith("'")
        if line in (".TP", ".TQ"):
            assert not lines[number + 1].startswith("."), "a tag is a line of text"
    assert {"NAME", "DESCRIPTION", "SEE ALSO"} <= sections(name).keys()
    assert sections(name)["NAME"].text.startswith(f"{name[:-2]} - ")


@pages
def test_an_example_fits_into_80_columns(name: str) -> None:
    for block in re.findall(r"^\.EX\n(.*?)^\.EE$", manuals.manual(name), re.DOTALL | re.MULTILINE):
        assert [line for line in map(shown, block.splitlines()) if 7 + 2 + len(line) > 80] == []


@pages
def test_nothing_of_markdown_is_left(name: str) -> None:
    for section in sections(name).values():
        assert not re.search(r"`|\*\*|\]\(|\{\{|^\||^#+ [A-Z]|\|-", section.text), section.title


@given(text=st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="…−µ") | st.just(" ")))
def test_a_text_is_shown_as_it_is(text: str) -> None:
    line = manuals.escaped(text)
    assert shown(line) == text
    assert line.isascii()
    assert not line.startswith((".", "'"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (".conf and 'x'", r"\&.conf and \(aqx\(aq"),
        (r"C:\d --a-b", r"C:\(rsd \-\-a\-b"),
        (
            "`drain --wait` of **all** [nodes](x.md#y), `.toml`",
            r"\fBdrain \-\-wait\fR of \fBall\fR nodes, \fB\&.toml\fR",
        ),
        ("5 µs, −1 … § 2", r"5 us, \-1 ... \[u00A7] 2"),
    ],
)
def test_a_line_of_markdown(text: str, line: str) -> None:
    assert manuals.inline(text) == line


# exavrrp(8)


def help_of(*words: str) -> str:
    """What ``--help`` says, on one line."""
    told = CliRunner().invoke(main, [*words, "--help"], prog_name="exavrrp", terminal_width=10_000)
    assert told.exit_code == 0
    return " ".join(told.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_of_a_command_the_page_says_what_help_says(name: str) -> None:
    section = next(one for title, one in sections("exavrrp.8").items() if title.split()[:2] == ["exavrrp", name])
    wanted = help_of(name).removeprefix("Usage: ").removesuffix("-h, --help Show this message and exit.").rstrip()
    assert flat([section.title, *section.words]) == re.sub(r" Options:( --|$)", r"\1", wanted, count=1)


def test_the_page_has_all_commands_and_the_options_of_all() -> None:
    page = sections("exavrrp.8")
    assert page["COMMANDS"].entries == {(name,): [line] for name, line in COMMANDS.items()}
    listed = help_of().partition(" Options: ")[2].partition(" Commands: ")[0]
    assert page["OPTIONS"].text.startswith(listed)
    assert flat(page["DESCRIPTION"].words).startswith("exavrrp elects one node by VRRPv3 (RFC 9568)")


def test_the_page_names_every_signal_and_the_files_by_default() -> None:
    page = sections("exavrrp.8")
    assert {name for tags in page["SIGNALS"].entries for name in tags} == {one.name for one in agent.HANDLED}
    files = page["FILES"].text
    assert all(name in files for name in (CONFIGURATION, schema.STATE_DIRECTORY, SOCKET, "/var/lib/exavrrp"))
    assert set(page["EXIT STATUS"].entries) == {("0",), ("1",), ("2",), ("3",), ("4",)}


# exavrrp.toml(5)

TABLES: dict[str, type[msgspec.Struct]] = {
    "agent": schema.Agent,
    "node.NAME": schema.Node,
    "virtual_router.NAME": schema.VirtualRouter,
    "virtual_router.NAME.bgp": schema.Bgp,
    "virtual_router.NAME.bgp.standby": schema.Level,
    "virtual_router.NAME.bgp.leaving": schema.Level,
    "check.NAME": kinds.Check,
    "authentication.NAME": schema.Authentication,
    "authentication.NAME.keys.ID": schema.Key,
}
DESCRIBED = {
    table: {
        key: content["description"]
        for key, content in json_schema()["$defs"][kind.__name__]["properties"].items()
        if "$ref" not in content
    }
    for table, kind in TABLES.items()
}
"""What the keys of each table may hold, but for those that are tables."""

FIELDS = {
    table: {one.name: one for one in msgspec.structs.fields(kind) if one.name in DESCRIBED[table]}
    for table, kind in TABLES.items()
}


def default(table: str, key: str) -> str | None:
    """As the file has it; None: there is none, or an empty one, of which words say what it stands for."""
    value = FIELDS[table][key].default
    return None if value in (None, (), msgspec.NODEFAULT) else toml(value)


def test_the_tables_are_all_that_there_are() -> None:
    assert set(TABLES.values()) == set(HEADERS)
    headings = {name for title in sections("exavrrp.toml.5") for name in re.findall(r"\[([\w.]+)\]", title)}
    assert headings == TABLES.keys()


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_its_default_and_what_it_may_hold(table: str) -> None:
    section = next(one for title, one in sections("exavrrp.toml.5").items() if f"[{table}]" in title)
    entries = {tag.partition(" (")[0]: (tag, text) for tags, text in section.entries.items() for tag in tags}
    assert entries.keys() == DESCRIBED[table].keys()
    for key, (tag, (meaning, value)) in entries.items():
        assert value == f"Write {DESCRIBED[table][key]}.".replace("…", "..."), key
        assert meaning.endswith("."), key
        if FIELDS[table][key].required:
            assert tag == key
        elif (told := default(table, key)) is not None:
            assert re.fullmatch(rf"{key} \({re.escape(told)}(; .*)?\)", tag), tag


def rows(name: str) -> list[tuple[str, str, str]]:
    """The keys in the tables of the guide: (table, key, default)."""
    found = []
    text = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    for _, block in groupby(text.splitlines(), lambda line: line.startswith("|")):
        lines = [re.split(r"(?<!\\)\|", line) for line in block if line.startswith("| `")]
        if lines and lines[0][1].startswith(" `["):
            for table in re.findall(r"`\[(.*?)\]`", lines[0][1]):
                found += [(table, key, row[2].strip()) for row in lines[1:] for key in re.findall(r"`(\w+)`", row[1])]
    return found


def test_the_guide_has_every_key_once_and_its_default() -> None:
    guide = [*rows("configuration.md"), *rows("authentication.md")]
    assert sorted((table, key) for table, key, _ in guide) == sorted(
        (table, key) for table, keys in DESCRIBED.items() for key in keys
    )
    for table, key, cell in guide:
        if FIELDS[table][key].required:
            assert cell == "", key
        elif (told := default(table, key)) is not None:
            assert cell.replace("`", "").partition("; ")[0] == told, key


# exavrrp-codes(7)


def test_every_code_has_the_texts_that_explain_prints() -> None:
    """docs/reference/codes.md and ``explain`` have the same: ``test_codes.py``."""
    wanted = {(name,): [one.replace("`", "") for one in explained(name)[1:]] for name in sorted(CODES)}
    assert sections("exavrrp-codes.7")["CODES"].entries == wanted
    assert list(sections("exavrrp-codes.7")["CODES"].entries) == list(wanted)
