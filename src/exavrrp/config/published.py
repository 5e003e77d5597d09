"""The JSON Schema of exavrrp.toml, for editors: made of the very tables that the reader uses (``schema``, ``kinds``).

It knows what one table may hold by itself: keys, types, ranges, patterns, and which keys exclude each other. What texts
mean, and what tables say of each other, only ``exavrrp check`` knows.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from exavrrp.config import kinds, schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAMED = (
    ("node", schema.Node, "a table [node.NAME] for each node, in a file that is the same on all of them"),
    ("virtual_router", schema.VirtualRouter, "a table [virtual_router.NAME] for each virtual router or service"),
    ("check", kinds.Check, "a table [check.NAME] for each check"),
    ("authentication", schema.Authentication, "a table [authentication.NAME] for each set of keys"),
)


def json_schema() -> dict[str, Any]:
    """The schema as a JSON document."""
    tables = (schema.Agent, schema.Key, *(table for _, table, _ in _NAMED))
    # Only the keys of an authentication are of no type; theirs follows.
    found, components = msgspec.json.schema_components(
        tables, schema_hook=lambda _: {"type": "object"}, ref_template="#/$defs/{name}"
    )
    names = {table: reference["$ref"].rpartition("/")[2] for table, reference in zip(tables, found, strict=True)}
    definitions = {name: _table(_plain(content)) for name, content in components.items()}
    definitions[names[kinds.Check]] |= _kinds()
    definitions[names[schema.Key]] |= _one_of(schema.KEY_PLACES)
    authentication = definitions[names[schema.Authentication]]
    authentication["required"] += ["keys"]
    authentication["properties"]["keys"] |= {
        "minProperties": 1,
        "propertyNames": {"pattern": r"^([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$(?!\n)"},
        "additionalProperties": {"$ref": f"#/$defs/{names[schema.Key]}"},
    }
    named = {
        name: {
            "description": description,
            "type": "object",
            "propertyNames": {"pattern": rf"^{schema.NAME}$(?!\n)"},
            "additionalProperties": {"$ref": f"#/$defs/{names[table]}"},
        }
        for name, table, description in _NAMED
    }
    agent = {"description": "this node, and defaults for its virtual routers", "$ref": f"#/$defs/{names[schema.Agent]}"}
    return {
        "$schema": DIALECT,
        "title": "exavrrp.toml",
        "type": "object",
        "properties": {"agent": agent, **named},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _plain(content: Any) -> Any:
    """Without null, which no TOML can hold (it stands for a key that is left out), and without tables as defaults."""
    if isinstance(content, (list, tuple)):
        return [_plain(each) for each in content]
    if not isinstance(content, dict):
        return content
    found = {key: _plain(value) for key, value in content.items()}
    if found.get("default", ...) is None or isinstance(found.get("default"), dict):
        del found["default"]
    choices = [each for each in found.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del found["anyOf"]
        return {**choices[0], **found}
    return found


def _table(content: dict[str, Any]) -> dict[str, Any]:
    """With no other keys than these. What a class says of itself is for who reads the code."""
    return {
        **{key: value for key, value in content.items() if key not in {"title", "description"}},
        "additionalProperties": False,
    }


def _one_of(names: Iterable[str]) -> dict[str, Any]:
    return {"oneOf": [{"required": [name]} for name in names]}


def _kinds() -> dict[str, Any]:
    """A check is of one kind, and has only the options of that one."""
    options: dict[str, list[str]] = {}
    for kind in kinds.KINDS:
        for option in kind.options:
            options.setdefault(option, []).append(kind.name)
    return {
        **_one_of(kind.name for kind in kinds.KINDS),
        "dependentSchemas": {
            option: {"anyOf": [{"required": [name]} for name in names]} for option, names in options.items()
        },
    }
