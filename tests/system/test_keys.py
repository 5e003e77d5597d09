"""Key files: where keys are read from, and which owners and modes are refused."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exavrrp.config import Credential, Inline, KeyFile
from exavrrp.system.keys import DIRECTORY, read

SECRET = bytes(range(32))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"hex:{SECRET.hex()}\n")
    path.chmod(0o600)
    return path


def refusal(place: KeyFile | Credential | Inline) -> str:
    with pytest.raises(ValueError, match=r"[;:] ") as caught:
        read(place)
    assert SECRET.hex()[:20] not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_key_is_read_where_its_owner_and_its_group_may(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert read(KeyFile(str(path))) == SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("length", [32, 64])
def test_a_key_is_one_line(path: Path, end: str, length: int) -> None:
    path.write_bytes(f"hex:{'Ab' * length}{end}".encode())
    assert read(KeyFile(str(path))) == b"\xab" * length


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o444])
def test_what_everybody_may_read_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert refusal(KeyFile(str(path))).startswith(f"everybody can read; chmod o-r {path}")


def test_what_others_may_change_is_refused(path: Path, tmp_path: Path) -> None:
    path.chmod(0o602)
    assert f"everybody can change; chmod o-w {path}" in refusal(KeyFile(str(path)))
    path.chmod(0o600)
    tmp_path.chmod(0o777)
    assert f"everybody can change (because of {tmp_path}); chmod o-w {tmp_path}" in refusal(KeyFile(str(path)))
    tmp_path.chmod(0o700)
    assert read(KeyFile(str(path))) == SECRET


@as_root
def test_what_belongs_to_somebody_else_is_refused(path: Path) -> None:
    os.chown(path, 65534, 0)
    assert "can change; chown root" in refusal(KeyFile(str(path)))
    os.chown(path, 0, 65534)
    path.chmod(0o660)
    assert "can change; chmod g-w" in refusal(KeyFile(str(path)))
    path.chmod(0o640)
    assert read(KeyFile(str(path))) == SECRET


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; write a key into it"),
        (b"\n", "is empty"),
        (SECRET.hex().encode(), 'does not begin with "hex:"; write that'),
        (SECRET, 'does not begin with "hex:"'),
        (b" hex:" + SECRET.hex().encode(), 'does not begin with "hex:"'),
        (b"hex:" + SECRET.hex().encode() + b"zz", "holds something that is no hexadecimal digit"),
        (b"hex:" + SECRET.hex().encode() + b" \n", "holds something that is no hexadecimal digit"),
        (b"hex:" + SECRET.hex().encode() + b"\nhex:" + SECRET.hex().encode(), "holds something that is no hexadecimal"),
        (b"hex:" + SECRET.hex()[:60].encode(), "has 60 hexadecimal digits; a key has 64 to 128"),
        (b"hex:" + b"00" * 600, "hexadecimal digits; a key has 64 to 128"),
        (b"hex:\xff", "holds something that is no hexadecimal digit"),
    ],
    ids=range(11),
)
def test_what_is_no_key_is_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert message in refusal(KeyFile(str(path)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda rest: b"hex:" + rest.hex().encode()))
)
def test_whatever_a_file_holds_it_is_a_key_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    whole = content.startswith(b"hex:") and 64 <= len(content) - 4 <= 128
    if whole and all(digit in b"0123456789abcdef" for digit in content[4:]) and len(content) % 2 == 0:
        assert read(KeyFile(str(path))).hex().encode() == content[4:]
    else:
        refusal(KeyFile(str(path)))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert "does not exist; make it: (umask 077; echo" in refusal(KeyFile(str(missing)))
    folder = tmp_path / "folder"
    folder.mkdir(0o700)
    assert "is no regular file" in refusal(KeyFile(str(folder)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "is no regular file" in refusal(KeyFile(str(pipe)))
    assert "cannot be looked at: Not a directory" in refusal(KeyFile(str(pipe / "below")))


def test_a_link_counts_as_what_it_leads_to(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read(KeyFile(str(link))) == SECRET
    path.chmod(0o644)
    assert "everybody can read" in refusal(KeyFile(str(link)))


def test_a_credential_is_a_file_in_the_directory_of_systemd(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY, raising=False)
    assert "CREDENTIALS_DIRECTORY is not set; write LoadCredential=key:/path" in refusal(Credential("key"))
    monkeypatch.setenv(DIRECTORY, str(path.parent))
    assert read(Credential("key")) == SECRET
    assert f"is not in {path.parent}; write LoadCredential=other:/path" in refusal(Credential("other"))


def test_a_credential_of_a_name_too_long_for_a_file_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    assert f"is not in {tmp_path}; write LoadCredential=" in refusal(Credential("é" * 200))


def test_a_key_in_the_configuration_makes_a_secret_of_it(path: Path) -> None:
    assert read(Inline(SECRET.hex(), str(path))) == SECRET
    path.chmod(path.stat().st_mode | stat.S_IROTH)
    assert refusal(Inline(SECRET.hex(), str(path))).startswith(
        f"is a secret in {path}, which everybody can read; chmod"
    )
    path.chmod(0o600)
    assert "has 2 hexadecimal digits" in refusal(Inline("00", str(path)))


@pytest.mark.parametrize("where", [".", ".."])
def test_a_relative_path_is_looked_at_from_here(path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``exavrrp check exavrrp.toml``, and from the folder above it."""
    monkeypatch.chdir(path.parent / where)
    relative = os.path.relpath(path)
    assert read(Inline(SECRET.hex(), relative)) == SECRET
    path.chmod(0o602)
    refused = refusal(Inline(SECRET.hex(), relative))
    assert refused == f"is a secret in {relative}, which everybody can change; chmod o-w {path}"
