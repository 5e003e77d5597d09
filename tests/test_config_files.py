"""A configuration of several files: what may stand in which, and every mistake with its file and line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exavrrp.config import ConfigError, effective, load, state_directory, whole

MAIN = """[agent]
sources = ["2001:db8:ff::11", "192.0.2.11"]
peers = ["2001:db8:ff::12", "192.0.2.12"]

[check.shared]
shell = "true"
"""
WEB = """[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
checks = ["web", "shared"]

[check.web]
http = "http://[::1]/"
"""
DNS = WEB.replace("web", "dns").replace("53::1", "53::2").replace("7", "8")

Write = Callable[..., Path]


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Write:
    """Writes the main file and those of conf.d; returns the path of the main one."""

    def write(main: str, **beside: str) -> Path:
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        for name, text in beside.items():
            (tmp_path / "conf.d" / f"{name}.toml").write_text(text)
        path = tmp_path / "exavrrp.toml"
        path.write_text(main)
        return path

    return write


def mistakes(path: Path) -> list[str]:
    """What is wrong, with names of files that are relative to the main one."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_a_file_beside_the_main_one_brings_a_router_and_its_checks(write: Write) -> None:
    found = load(write(MAIN, web=WEB, dns=DNS))
    assert [router.name for router in found.routers] == ["dns", "web"]  # by the names of the files
    assert [check.name for check in found.checks] == ["shared", "dns", "web"]
    assert found == load(write(MAIN + DNS + WEB), alone=True)


def test_what_is_no_toml_file_of_the_directory_is_not_read(write: Write, tmp_path: Path) -> None:
    path = write(MAIN, web=WEB)
    for name in (".web.toml", "web.toml.dpkg-new", "web.toml~", "README"):
        (tmp_path / "conf.d" / name).write_text("[")
    assert [router.name for router in load(path).routers] == ["web"]


def test_the_main_file_may_be_empty_and_so_may_the_others(write: Write) -> None:
    (told,) = mistakes(write("", web=WEB.replace(', "shared"', "")))
    assert told.startswith("conf.d/web.toml:1: virtual_router.web.peers: is missing; write the other nodes' IPv6 addr")
    assert load(write(MAIN, web=WEB, empty="")).routers


def test_every_file_that_cannot_be_read_is_told_at_once(write: Write, tmp_path: Path) -> None:
    path = write("[agent\n", broken="\n= 1\n", web=WEB)
    (tmp_path / "conf.d" / "latin.toml").write_bytes(b"\xff")
    (tmp_path / "conf.d" / "directory.toml").mkdir()
    (tmp_path / "conf.d" / "nowhere.toml").symlink_to("nothing")
    assert [told.partition(";")[0] for told in mistakes(path)] == [
        "exavrrp.toml:1:7: not TOML: Expected ']' at the end of a table declaration",
        "conf.d/broken.toml:2:1: not TOML: Invalid statement",
        "conf.d/directory.toml: cannot be read: Is a directory",
        "conf.d/latin.toml:1: byte 0xff is not UTF-8",
        "conf.d/nowhere.toml: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize("what", ["file", "symlink"])
def test_a_conf_d_that_is_no_directory_is_a_mistake(tmp_path: Path, what: str) -> None:
    (tmp_path / "exavrrp.toml").write_text(MAIN + WEB)
    if what == "file":
        (tmp_path / "conf.d").touch()
    else:
        (tmp_path / "conf.d").symlink_to("nothing")
    (told,) = mistakes(tmp_path / "exavrrp.toml")
    assert told.startswith("conf.d: cannot be read: ")


def test_more_files_than_anybody_means_are_a_mistake(write: Write, tmp_path: Path) -> None:
    path = write(MAIN + WEB)
    for number in range(1001):
        (tmp_path / "conf.d" / f"{number}.toml").touch()
    assert mistakes(path) == ["conf.d: holds 1001 files; write at most 1000"]


def test_mistakes_are_told_with_the_line_of_their_own_file(write: Write) -> None:
    wrong = WEB.replace("vrid = 7", "vrid = 777").replace('"shared"', '"shred"')
    told = mistakes(write(MAIN + "fal = 1\n", web=wrong, dns=DNS.replace("http", "htp")))
    assert [line.partition("; ")[0] for line in told] == [
        "exavrrp.toml:7: check.shared.fal: unknown key",
        "conf.d/dns.toml:7: check.dns.htp: unknown key",
        "conf.d/web.toml:2: virtual_router.web.vrid: is 777",
        'conf.d/web.toml:4: virtual_router.web.checks: holds "shred"',
    ]
    assert told[-1].endswith('did you mean "shared"?')


def test_warnings_are_told_with_the_line_of_their_own_file(write: Write) -> None:
    found = load(write(MAIN, web=WEB.replace('"web", ', "")))
    assert [str(each).rpartition("/")[2] for each in found.warnings] == [
        "exavrrp.toml:2: agent.sources: has IPv4 addresses, but no virtual router is IPv4",
        "exavrrp.toml:3: agent.peers: has IPv4 addresses, but no virtual router is IPv4",
        'web.toml:6: check.web: is used by no virtual router; write checks = ["web"] in one',
    ]


def test_a_name_in_two_files_is_a_mistake_that_names_both(write: Write) -> None:
    path = write(MAIN + DNS, web=WEB, other=WEB, again=DNS)
    told = mistakes(path)
    assert told[0].endswith(": stands in exavrrp.toml:7, too; remove one of the two, or give it another name")
    assert [(line.split(": ")[1], line.split("; ")[0].rpartition(" in ")[2]) for line in told] == [
        ("virtual_router.dns", "exavrrp.toml:7, too"),
        ("check.dns", "exavrrp.toml:12, too"),
        ("virtual_router.web", "conf.d/other.toml:1, too"),
        ("check.web", "conf.d/other.toml:6, too"),
    ]
    assert [line.split(":")[0] for line in told] == ["conf.d/again.toml"] * 2 + ["conf.d/web.toml"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[agent]\nlock_memory = true\n", "1: agent: may not stand here, where only [virtual_router.NAME] and "),
        ("[authentication.a]\nactive_key = 1\n", "1: authentication: may not stand here, where only"),
        ("[virtual_routr.a]\n", '1: virtual_routr: unknown key; did you mean "virtual_router"?'),
        ("\nvirtual_router = 7\n", "2: virtual_router: has no name; write [virtual_router.NAME] above its keys"),
        ("[virtual_router]\nvrid = 7\n", "1: virtual_router: has no name; write [virtual_router.NAME] above its keys"),
        ("[[check]]\nshell = 'a'\n", "1: check: has no name; write [check.NAME] above its keys"),
    ],
)
def test_what_may_not_stand_beside_the_main_file(write: Write, text: str, message: str) -> None:
    (told,) = mistakes(write(MAIN + WEB, a=text))
    assert told.startswith(f"conf.d/a.toml:{message}")


def test_a_main_file_without_names_is_one_mistake(write: Write) -> None:
    assert mistakes(write("virtual_router = 7\n" + MAIN, web=WEB)) == [
        "exavrrp.toml:1: virtual_router: has no name; write [virtual_router.NAME] above its keys"
    ]


def test_the_state_directory_is_found_beside_a_broken_file(write: Write) -> None:
    assert state_directory(write('[agent]\nstate_directory = "/run/other"\n', web="[")) == "/run/other"


def test_several_files_are_one_for_the_next_agent(write: Write, tmp_path: Path) -> None:
    path = write(MAIN.replace("true", 'echo \\"é\\t\\"; true'), web=WEB, dns=DNS + "fall = 0x05\n")
    kept = tmp_path / "run" / "kept.toml"
    kept.parent.mkdir()
    kept.write_bytes(whole(path))
    assert load(kept) == load(path)
    assert effective(load(kept)) == effective(load(path))


def test_one_file_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(MAIN + WEB + "# a comment\n")
    assert whole(path) == path.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_a_mistake(write: Write, tmp_path: Path) -> None:
    path = write(MAIN + WEB)
    (tmp_path / "conf.d").chmod(0)
    (told,) = mistakes(path)
    assert told == "conf.d: cannot be read: Permission denied; let this user read it, or remove it"
