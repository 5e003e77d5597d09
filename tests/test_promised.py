"""What the last release promised is still there (docs/reference/compatibility.md).

``promised.txt`` has a name on each line. What has come since then is not in it: nobody was promised that yet. With a
release, ``pytest tests/test_promised.py --rewrite`` writes it anew; a line that goes has been deprecated before.
"""

import re
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import pytest

from exavrrp import recording
from exavrrp.chronicle import Entry
from exavrrp.cli import COMMANDS, main
from exavrrp.codes import CODES
from exavrrp.config import json_schema
from exavrrp.control import StatusAnswer
from exavrrp.findings import Finding
from tests.blocks import ROOT

PROMISED = ROOT / "tests" / "promised.txt"


def keys() -> Iterator[str]:
    """Those of each table of exavrrp.toml."""
    return (name for name in fields(json_schema()) if name)


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """The paths of all fields in a document of this JSON Schema; ``[]`` is an element, ``*`` any name."""
    kinds = schema.get("$defs", {})

    def within(part: dict[str, Any], path: str, seen: frozenset[str]) -> Iterator[str]:
        for choice in (*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())):
            yield from within(choice, path, seen)
        if (name := part.get("$ref", "").rpartition("/")[2]) and name not in seen:
            yield from within(kinds[name], path, seen | {name})
        for key, content in part.get("properties", {}).items():
            yield f"{path}{key}"
            yield from within(content, f"{path}{key}.", seen)
        if isinstance(items := part.get("items"), dict):
            yield from within(items, f"{path}[].", seen)
        if isinstance(others := part.get("additionalProperties"), dict):
            yield from within(others, f"{path}*.", seen)

    return within(schema, "", frozenset())


def commands() -> Iterator[str]:
    """Each command, and each with each of its options."""
    context = click.Context(main, **main.context_settings)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield name
        for option in command.params:
            yield from (f"{name} {word}" for word in option.opts if isinstance(option, click.Option))


def metrics() -> Iterator[str]:
    """The guide's, which ``test_exporter.py`` holds equal to what is served."""
    page = (ROOT / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    section = page.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    for names, labels in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            yield f"exavrrp_{name}"
            yield from (f"exavrrp_{name} {label}" for label in re.findall(r"`(\w+)`", labels))


def events() -> Iterator[str]:
    page = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8").partition("\n## ")[2]
    for line in page.splitlines():
        if line.startswith("| `"):
            yield from re.findall(r"`([a-z-]+)`", line.split("|")[1])


def exit_statuses() -> Iterator[str]:
    page = (ROOT / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    return iter(re.findall(r"^\| (\d) \|", page.partition("| exit status |")[2].partition("\n\n")[0], re.MULTILINE))


def offered() -> list[str]:
    """A line for each name that somebody may depend on."""
    kinds = {
        "key": keys(),
        "command": commands(),
        "exit status": exit_statuses(),
        "status --json": fields(msgspec.json.schema(StatusAnswer)),
        "events --json": fields(msgspec.json.schema(Entry)),
        "doctor --json": fields(msgspec.json.schema(Finding)),
        "event": events(),
        "code": iter(CODES),
        "metric": metrics(),
        "recording": iter([f"version {recording.VERSION}"]),
    }
    return sorted({f"{kind}: {name}" for kind, names in kinds.items() for name in names})


def test_what_was_promised_is_still_there(request: pytest.FixtureRequest) -> None:
    now = offered()
    if request.config.getoption("--rewrite"):
        PROMISED.write_text("\n".join(now) + "\n", encoding="utf-8")
    assert set(PROMISED.read_text(encoding="utf-8").splitlines()) <= set(now)


@pytest.mark.parametrize(
    "name",
    [
        "key: agent.advert_interval",
        "key: virtual_router.*.bgp.standby.med",
        "key: check.*.command",
        "command: drain --wait",
        "exit status: 3",
        "status --json: routers.[].name",
        "events --json: at.time",
        "doctor --json: code",
        "event: address-bound",
        "code: two-actives",
        "metric: exavrrp_adverts_sent_total path",
        "recording: version 3",
    ],
)
def test_of_each_kind_the_names_are_found(name: str) -> None:
    assert name in offered()
