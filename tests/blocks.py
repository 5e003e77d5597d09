"""The blocks of code in the guide, and who says of each whether it is right.

A block names its language. What needs nothing but exavrrp and a shell is checked by ``test_docs.py``, what needs
another program by ``system/test_guide.py``; the examples of the Python API and the diagrams have tests of their own.
Blocks without a language are what a program prints, and pictures.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_interface
from pathlib import Path
from textwrap import dedent
from typing import Any

from exavrrp.config.toml import toml

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for place in ("*.md", "docs/**/*.md", "packaging/*.md", "tests/vrrp/captures/*.md")
    for path in ROOT.glob(place)
    if path.is_file()
)

HERE = {"", "keepalived", "mermaid", "python", "sh", "toml", "yaml"}
"""Languages that tests without other programs understand."""

DAEMONS = {"bird", "exabgp", "frr", "ini"}
"""Languages of files that a program reads, which says whether they are right."""

PEERS = {4: "192.0.2.12", 6: "2001:db8:ff::12"}


@dataclass(frozen=True)
class Block:
    """A block of code."""

    page: Path
    line: int
    """of its fence"""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def blocks(*languages: str) -> list[Block]:
    """The blocks of these languages on all pages; without one, all blocks."""
    found = [block for page in PAGES for block in _of(page)]
    return [block for block in found if not languages or block.language in languages]


def _of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in re.finditer(r"^ *```([\w-]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield Block(page, text.count("\n", 0, fence.start()) + 1, fence[1], dedent(fence[2]))


def completed(text: str) -> str:
    """A part of an exavrrp.toml, with what a whole file has besides: peers, a virtual router, checks that are named."""
    tables: dict[str, Any] = tomllib.loads(text)
    routers = tables.setdefault("virtual_router", {"web": {}})
    for number, router in enumerate(routers.values(), 101):
        router.setdefault("vrid", number)
        router.setdefault("addresses", [f"2001:db8:53::{number}"])
        for check in router.setdefault("checks", list(tables.get("check", ()))):
            tables.setdefault("check", {}).setdefault(check, {"command": ["/bin/true"]})
    if "node" not in tables:
        versions = {ip_interface(one).version for router in routers.values() for one in router["addresses"]}
        tables.setdefault("agent", {}).setdefault("peers", [PEERS[version] for version in versions])
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in tables.items())
