"""The NAMEs in ``[check.NAME]`` and the like: which there are, and whether a reference leads to one of them."""

import re
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import msgspec

from exavrrp.config import schema
from exavrrp.config.advice import is_known, nearest
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.toml import quoted

Table = TypeVar("Table", bound=msgspec.Struct)


def entries(document: Document, table: str) -> dict[str, Any]:
    """The tables ``[table.NAME]`` by name, whatever their content."""
    found = document.data.get(table, {})
    if isinstance(found, dict) and all(isinstance(value, dict) for value in found.values()):
        return found
    document.problem((table,), f"has no name; write [{table}.NAME] above its keys")
    return {}


def named(document: Document, table: str, kind: type[Table]) -> Iterator[tuple[str, Table]]:
    """Each ``[table.NAME]`` decoded."""
    for name, content in entries(document, table).items():
        keys = (table, name)
        nested = content and all(isinstance(value, dict) for value in content.values())
        if nested and not any(map(is_known, content)):
            whole = f"{name}.{next(iter(content))}"
            document.problem(keys, f"a name with a dot is written in quotes: [{table}.{shown(whole)}]")
            continue
        if not re.fullmatch(schema.NAME, name):
            better = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).lstrip("_.-")[:64] or "web"
            remedy = f"write [{table}.{better if '.' not in better else quoted(better)}]"
            rule = "a name has 1 to 64 characters of a-z, 0-9, _, - and . and begins with a-z or 0-9"
            document.problem(keys, f"{rule}; {remedy}", spoils=False)
        yield name, document.table(keys, content, kind)


def defined(document: Document, table: str, name: str) -> str:
    """``name``, if there is such a table. Raises ValueError with a remedy."""
    known = entries(document, table)
    if name in known:
        return name
    close = nearest(name, known)
    misnamed = close is not None and not re.fullmatch(schema.NAME, close)
    if misnamed or not document.sound((table, name.partition(".")[0])):
        return name  # or the mistake is in the name of the table, and has been noted there
    whole = dotted((table, name))
    raise ValueError(f"did you mean {quoted(close)}?" if close else f"write a table [{whole}] for it")


def node_named(name: str, known: Collection[str]) -> str:
    """``name``, if it is that of a node. Raises ValueError with a remedy."""
    if name in known:
        return name
    close = nearest(name, known)
    if close is not None and not re.fullmatch(schema.NAME, close):
        return close  # the mistake is in the name of the table, and has been noted there
    raise ValueError(f"did you mean {quoted(close)}?" if close else f"write a table [{dotted(('node', name))}] for it")
