"""[authentication.NAME]: every problem of a key is an error at its key, with its remedy and without the secret."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config import (
    Authentication,
    ConfigError,
    Configuration,
    Credential,
    Inline,
    Key,
    KeyFile,
    Place,
    effective,
    load,
)
from exavrrp.config.settings import window
from exavrrp.vrrp import auth

ONE, TWO = bytes(range(32)), bytes(range(1, 65))
SECRET = ONE.hex()

HEAD = """
[agent]
sources = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]
{agent}
[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
{router}
[authentication.site]
{table}
"""

Reader = Callable[..., Configuration]


def read_places(place: Place) -> bytes:
    """Stands for the host: files are called after what is in them."""
    match place:
        case KeyFile("/one") | Credential("one"):
            return ONE
        case KeyFile("/two"):
            return TWO
        case Inline(digits):
            return auth.secret(digits)
        case _:
            raise ValueError("cannot be read: No such file or directory; make it")


@pytest.fixture(name="read")
def _read(tmp_path: Path) -> Reader:
    def read(
        table: str, router: str = "", agent: str = 'authentication = "site"', secrets: Any = read_places, more: str = ""
    ) -> Configuration:
        path = tmp_path / "exavrrp.toml"
        path.write_text(HEAD.format(agent=agent, router=router, table=table) + more)
        return load(path, None, None, secrets)

    return read


def problems(read: Reader, *args: str, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        read(*args, **kwargs)
    assert SECRET[:20] not in str(caught.value)
    for problem in caught.value.problems:
        assert problem.line is not None
    return [(problem.key, problem.message) for problem in caught.value.problems]


GOOD = 'active_key = 1\nkeys = { 1 = { file = "/one" } }'


def test_keys_from_three_places_and_the_defaults(read: Reader) -> None:
    keys = f'{{ 1 = {{ file = "/two" }}, 2 = {{ credential = "one" }}, 255 = {{ hex = "{"ab" * 64}" }} }}'
    (found,) = read(f"active_key = 2\nkeys = {keys}").authentications
    assert found == Authentication(
        name="site",
        mode=auth.Mode.ENFORCE,
        window=None,
        active_key=2,
        keys=(
            Key(1, KeyFile("/two"), TWO),
            Key(2, Credential("one"), ONE),
            Key(255, Inline("ab" * 64, ""), b"\xab" * 64),
        ),
    )
    assert SECRET not in repr(found)
    assert "abab" not in repr(found)


@pytest.mark.parametrize(("interval", "seconds"), [(0.01, 5), (1.0, 5), (1.67, 6), (2, 6), (40.95, 123)])
def test_the_window_follows_the_interval(interval: float, seconds: int) -> None:
    assert window(interval) == seconds


def test_a_policy_of_each_router(read: Reader) -> None:
    configuration = read(GOOD, "advert_interval = 3")
    (router,) = configuration.routers
    assert configuration.policy(router) == auth.Policy(auth.Mode.ENFORCE, 9, (auth.Key(1, ONE),), 1)
    narrow = read(f'{GOOD}\nwindow = 2\nmode = "permissive"', "advert_interval = 3")
    assert narrow.policy(router) == auth.Policy(auth.Mode.PERMISSIVE, 2, (auth.Key(1, ONE),), 1)
    assert narrow.policy(replace(router, authentication=None)) is None


def test_a_router_has_its_own_or_none(read: Reader) -> None:
    more = f"[authentication.other]\n{GOOD}\n"
    assert read(GOOD, 'authentication = "other"', more=more).routers[0].authentication == "other"
    assert read(GOOD, 'authentication = "none"').routers[0].authentication is None
    assert read(GOOD).routers[0].authentication == "site"
    assert read(GOOD, agent="").routers[0].authentication is None


def test_without_a_reader_secrets_stay_unknown_but_for_those_in_the_file(read: Reader) -> None:
    keys = f'{{ 1 = {{ file = "/nowhere" }}, 2 = {{ hex = "{SECRET}" }} }}'
    (found,) = read(f"active_key = 1\nkeys = {keys}", secrets=None).authentications
    assert [key.secret for key in found.keys] == [None, ONE]
    wrong = problems(read, 'active_key = 1\nkeys = { 1 = { hex = "00" } }', secrets=None)
    assert wrong[0][0] == "authentication.site.keys.1.hex"


FILE = '{ file = "/one" }'
MISTAKES: list[tuple[str, str, str]] = [
    # the table, the key to blame, what the message says
    ("active_key = 1", "keys", 'has no key; write one by its id: { 1 = { file = "/etc/exavrrp/keys/1" } }'),
    ("active_key = 1\nkeys = {}", "keys", "has no key; write one"),
    (f'active_key = 1\nkeys = "{SECRET}"', "keys", "is wrong (it is not shown); write the keys by id"),
    (f"keys = {{ 1 = {FILE} }}", "active_key", "is missing; write the id of the key that signs"),
    (f"active_key = 2\nkeys = {{ 1 = {FILE} }}", "active_key", "is 2, but keys has 1; write one of them"),
    (f"active_key = 0\nkeys = {{ 1 = {FILE} }}", "active_key", "is 0; write the id of the key that signs, from 1 to"),
    (f"active_key = 1\nkeys = {{ 1 = {FILE}, 0 = {FILE} }}", "keys.0", "is no id of a key; write a whole number from"),
    (f"active_key = 1\nkeys = {{ 1 = {FILE}, 256 = {FILE} }}", "keys.256", "is no id of a key"),
    (f"active_key = 1\nkeys = {{ 1 = {FILE}, 01 = {FILE} }}", "keys.01", "is no id of a key"),
    (f'active_key = 1\nkeys = {{ 1 = {FILE}, "²" = {FILE} }}', 'keys."²"', "is no id of a key"),
    (f"active_key = 1\nkeys = {{ 1 = {FILE}, first = {FILE} }}", "keys.first", "is no id of a key"),
    (f'active_key = 1\nkeys = {{ 1 = "{SECRET}" }}', "keys.1", 'is no table; write { file = "…" }'),
    (f"active_key = 1\nkeys = {{ 1 = {FILE}, 2 = {FILE} }}", "keys.2", "has the secret of authentication.site.keys.1"),
    ("active_key = 1\nkeys = { 1 = {} }", "keys.1", 'holds no key; write file = "…", credential = "…" or hex'),
    (
        'active_key = 1\nkeys = { 1 = { file = "/one", credential = "one" } }',
        "keys.1.credential",
        "stands beside file; keep one of the two",
    ),
    (
        'active_key = 1\nkeys = { 1 = { file = "one" } }',
        "keys.1.file",
        "is wrong (it is not shown); write an absolute path",
    ),
    (
        f'active_key = 1\nkeys = {{ 1 = {{ file = "hex:{SECRET}" }} }}',
        "keys.1.file",
        "is wrong (it is not shown); write",
    ),
    (
        f'active_key = 1\nkeys = {{ 1 = {{ credential = "{SECRET}" }} }}',
        "keys.1.credential",
        "is wrong (it is not shown)",
    ),
    (f'active_key = 1\nkeys = {{ 1 = {{ credential = "hex:{SECRET[1:]}" }} }}', "keys.1.credential", "is wrong (it is"),
    ('active_key = 1\nkeys = { 1 = { file = "/none" } }', "keys.1.file", 'is "/none", which cannot be read: No such'),
    (
        'active_key = 1\nkeys = { 1 = { credential = "two" } }',
        "keys.1.credential",
        'is "two", which cannot be read: No such file',
    ),
    ('active_key = 1\nkeys = { 1 = { credential = "../x" } }', "keys.1.credential", "write the name of a systemd cred"),
    ('active_key = 1\nkeys = { 1 = { credential = ".." } }', "keys.1.credential", "write the name of a systemd cred"),
    (f'active_key = 1\nkeys = {{ 1 = {{ hex = "{SECRET}g" }} }}', "keys.1.hex", "holds something that is no hexadec"),
    (f'active_key = 1\nkeys = {{ 1 = {{ hex = "{SECRET[:62]}" }} }}', "keys.1.hex", "has 62 hexadecimal digits; a key"),
    (f'active_key = 1\nkeys = {{ 1 = {{ hex = "{SECRET}0" }} }}', "keys.1.hex", "has 65 hexadecimal digits; a key"),
    (f'active_key = 1\nkeys = {{ 1 = {{ hex = "{SECRET * 3}" }} }}', "keys.1.hex", "has 192 hexadecimal digits; a key"),
    (f"active_key = 1\nkeys = {{ 1 = {{ hex = 0x{SECRET} }} }}", "keys.1.hex", "is wrong (it is not shown); write 64"),
    ("active_key = 1\nkeys = { 1 = { hex = 12345678901234567 } }", "keys.1.hex", "is wrong (it is not shown); write"),
    (
        f'active_key = 1\nkeys = {{ 1 = {{ key = "{SECRET}" }} }}',
        "keys.1.key",
        'unknown key; write, for example, file = "/etc/exavrrp/keys/1"; or cred',
    ),
    (f'{GOOD}\nmode = "enforced"', "mode", 'is "enforced"; write "enforce", or on the way to it'),
    (f"{GOOD}\nwindow = 0", "window", "is 0; write whole seconds from 1 to 300"),
    (f"{GOOD}\nwindow = 301", "window", "is 301; write whole seconds from 1 to 300"),
    (f"{GOOD}\ntime_window = 5", "time_window", "unknown key; write window = 5"),
    (
        f'{GOOD}\nanti_replay = "time"',
        "anti_replay",
        "unknown key; remove it: what is signed is accepted once, and within",
    ),
]


@pytest.mark.parametrize(("table", "key", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_one_mistake_gives_one_line_without_the_secret(read: Reader, table: str, key: str, message: str) -> None:
    (found,) = problems(read, table)
    assert found[0] == f"authentication.site.{key}"
    assert message in found[1]


def test_all_keys_that_are_wrong_come_at_once(read: Reader) -> None:
    keys = '{ 1 = { file = "/none" }, 2 = { credential = "none" }, 3 = { hex = "00" }, 4 = {} }'
    assert [key for key, _ in problems(read, f"active_key = 9\nkeys = {keys}")] == [
        "authentication.site.keys.1.file",
        "authentication.site.keys.2.credential",
        "authentication.site.keys.3.hex",
        "authentication.site.keys.4",
    ]


@pytest.mark.parametrize(
    ("router", "agent", "key", "message"),
    [
        ("", 'authentication = "sight"', "agent.authentication", 'is "sight"; did you mean "site"?'),
        (
            "",
            "authentication = true",
            "agent.authentication",
            "is true; write the name of a table [authentication.NAME]",
        ),
        (
            'authentication = "xxxx"',
            "",
            "virtual_router.web.authentication",
            'is "xxxx"; write a table [authentication.xxxx] for it',
        ),
    ],
)
def test_a_table_that_does_not_exist(read: Reader, router: str, agent: str, key: str, message: str) -> None:
    (found,) = problems(read, GOOD, router, agent)
    assert found[0] == key
    assert message in found[1]


def test_none_is_not_allowed_as_a_name(read: Reader) -> None:
    (found,) = problems(read, GOOD, more=f"[authentication.none]\n{GOOD}\n")
    assert found == ("authentication.none", '"none" stands for no authentication; write another name')


def test_a_table_whose_keys_are_all_there_is(read: Reader) -> None:
    assert [key for key, _ in problems(read, f"keys.1 = {FILE}")] == ["authentication.site.active_key"]


@pytest.mark.parametrize(
    ("table", "agent", "key", "message"),
    [
        (GOOD, "", "authentication.site", 'is used by no virtual router; write authentication = "site" in [agent]'),
        (
            f'{GOOD}\nmode = "permissive"',
            'authentication = "site"',
            "authentication.site.mode",
            'is "permissive", which accepts adverts that nobody has signed',
        ),
    ],
)
def test_apparent_protection_is_a_warning(read: Reader, table: str, agent: str, key: str, message: str) -> None:
    (warning,) = read(table, agent=agent).warnings
    assert warning.key == key
    assert message in warning.message


def test_words_of_keepalived_lead_here(read: Reader) -> None:
    (found,) = problems(read, GOOD, 'auth_hmac = "x"')
    assert found[0] == "virtual_router.web.auth_hmac"
    assert 'authentication = "site"; with a table [authentication.site]' in found[1]


def test_effective_shows_no_secret_and_loads_back(read: Reader, tmp_path: Path) -> None:
    keys = '{ 1 = { file = "/two" }, 2 = { credential = "one" } }'
    configuration = read(f'active_key = 2\nkeys = {keys}\nwindow = 7\nmode = "permissive"')
    again = tmp_path / "again.toml"
    again.write_text(effective(configuration))
    assert load(again, None, None, read_places) == configuration
    derived = read(GOOD, 'authentication = "none"', agent="")
    again.write_text(effective(derived))
    assert load(again, None, None, read_places) == derived
    assert "# window: three intervals" in again.read_text()

    inline = read(f'active_key = 1\nkeys = {{ 1 = {{ hex = "{SECRET}" }} }}')
    assert SECRET not in effective(inline)
    assert '# keys.1 = { hex = "…" }: not shown' in effective(inline)


@given(digits=st.text("0123456789abcdefABCDEFxg \n", max_size=140))
def test_a_secret_is_digits_or_a_mistake(digits: str) -> None:
    try:
        found = auth.secret(digits)
    except ValueError as error:
        assert len(digits) < 4 or digits not in str(error)  # noqa: PT017 — what it says is the point
        return
    assert found == bytes.fromhex(digits)
    assert 32 <= len(found) <= 64
