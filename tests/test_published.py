"""The JSON Schema, by an independent validator: it accepts what we do, and refuses what one table may not hold."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import tomli
from click.testing import CliRunner
from hypothesis import given

from exavrrp.cli import main
from exavrrp.config import ConfigError, effective, json_schema, kinds, load, schema
from exavrrp.config.advice import HEADERS, advise
from exavrrp.config.diagnosis import Document, Part
from exavrrp.config.tables.names import named
from tests.blocks import blocks, completed
from tests.test_config import (
    GOOD,
    MISTAKES,
    OF_A_KIND,
    changed,
    document,
    good_files,
    wild_files,
    with_check,
    written,
)

ROOT = Path(__file__).parents[1]

try:
    from jsonschema import Draft202012Validator
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("no jsonschema; uv sync installs it", allow_module_level=True)

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def accepted(data: dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(data))


def readable(data: dict[str, Any]) -> bool:
    """Whether our reader finds nothing wrong with any table by itself."""
    one = Document(Part("x", data, ""), advise)
    one.unknown((), {name: value for name, value in data.items() if name not in SCHEMA["properties"]}, ())
    one.table(("agent",), data.get("agent", {}), schema.Agent)
    for table, kind in (
        ("node", schema.Node),
        ("virtual_router", schema.VirtualRouter),
        ("check", kinds.Check),
        ("authentication", schema.Authentication),
    ):
        for _ in named(one, table, kind):
            pass
    try:
        one.verdict()
    except ConfigError:
        return False
    return True


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_command_prints_it() -> None:
    told = CliRunner().invoke(main, ["schema"], catch_exceptions=False)
    assert (told.exit_code, json.loads(told.stdout)) == (0, SCHEMA)


def test_every_key_has_a_description() -> None:
    tables = SCHEMA["$defs"]
    assert len(tables) == len(HEADERS)
    for table in tables.values():
        for key, content in table["properties"].items():
            assert "description" in content or "$ref" in content, key
            for choice in content.get("enum", ()):
                assert json.dumps(choice) in content["description"], "what it may be"


EXAMPLES = [(ROOT / "exabgp/exavrrp.toml").read_text(), *(completed(block.text) for block in blocks("toml"))]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_are_accepted(text: str) -> None:
    assert accepted(tomli.loads(text)), [error.message for error in VALIDATOR.iter_errors(tomli.loads(text))]


def test_an_effective_configuration_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(written(GOOD))
    assert accepted(tomli.loads(effective(load(path))))


@given(tables=good_files())
def test_whatever_is_right_is_accepted(tables: dict[str, Any]) -> None:
    data = tomli.loads(document(tables))
    assert accepted(data), [error.message for error in VALIDATOR.iter_errors(data)]


def knowable(value: object) -> bool:
    """Whether JSON can tell what is wrong with it: for it 7.0 is 7, numbers are finite, and have no limit."""
    match value:
        case float():
            return math.isfinite(value) and not value.is_integer()
        case int():
            return abs(value) < 1 << 63
        case dict():
            return all(map(knowable, value.values()))
        case list():
            return all(map(knowable, value))
        case _:
            return True


def consistent(text: str) -> None:
    """What is wrong with a table by itself is refused."""
    data = tomli.loads(text)
    assert not knowable(data) or not accepted(data) or readable(data)


@pytest.mark.parametrize(("table", "key", "toml", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_within_a_table_is_refused(table: str, key: str, toml: str | None, message: str) -> None:
    consistent(written(changed((table, key, toml))))


def test_most_mistakes_are_refused() -> None:
    """So that the test above can fail."""
    files = [tomli.loads(written(changed(mistake[:3]))) for mistake in MISTAKES]
    assert sum(not accepted(data) for data in files if knowable(data)) > len(files) / 2


@pytest.mark.parametrize(("check", "key", "toml", "message"), OF_A_KIND, ids=lambda value: str(value)[:40])
def test_a_mistake_within_a_check_is_refused(check: dict[str, str], key: str, toml: str, message: str) -> None:
    consistent(written(with_check({**check, key: toml})))


@pytest.mark.parametrize(
    "check",
    [
        {"weight": "1"},
        {"tcp": '"[::1]:80"', "shell": '"true"'},
        {"tcp": '"[::1]:80"', "host": '"a"'},
        {"http": '"http://[::1]/"', "user": '"a"'},
    ],
)
def test_a_check_is_of_one_kind_and_has_its_options(check: dict[str, str]) -> None:
    assert not accepted(tomli.loads(written(with_check(check))))
    assert accepted(tomli.loads(written(with_check({"http": '"http://[::1]/"', "host": '"a"'}))))


@pytest.mark.parametrize(
    "keys",
    [
        *("{}", '{ 0 = { file = "/a" } }', '{ 256 = { file = "/a" } }', '{ 1 = "/a" }', "{ 1 = {} }"),
        *("{ 1 = { hex = 7 } }", '{ 1 = { file = "/a", credential = "a" } }', '{ 1 = { file = "a" } }'),
    ],
)
def test_keys_of_authentications(keys: str) -> None:
    text = f"{written(GOOD)}[authentication.a]\nactive_key = 1\n"
    assert accepted(tomli.loads(text + 'keys = { 1 = { file = "/a" }, 255 = { credential = "b" } }'))
    assert not accepted(tomli.loads(f"{text}keys = {keys}"))


@given(tables=wild_files)
def test_whatever_is_refused_is_wrong_and_what_is_wrong_with_a_table_is_refused(
    scratch: Path, tables: dict[str, Any]
) -> None:
    text = document(tables)
    consistent(text)
    data = tomli.loads(text)
    if knowable(data) and not accepted(data):
        scratch.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError):
            load(scratch)


@pytest.fixture(name="scratch", scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schema") / "exavrrp.toml"
