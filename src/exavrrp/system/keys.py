"""Reads the secrets of authentications, and refuses those that other users could read or replace.

A key file holds one line of ``hex:`` and 64 to 128 hexadecimal digits, as keepalived reads it. Without ``hex:`` it is
refused: keepalived would take the text itself as the key, so the same digits would be different keys here and there.

As ssh does with private keys, a file that everybody may read is refused. So is one that another user could replace,
which depends on every directory above it. Its group may read it, because an agent that is not root must be able to. The
same rules apply to a configuration that contains a secret. A systemd credential is a file in
``$CREDENTIALS_DIRECTORY``.
"""

import os
import stat
from pathlib import Path
from typing import assert_never

from exavrrp.config import Credential, Inline, KeyFile, Place
from exavrrp.system.privileges import weakness
from exavrrp.vrrp import auth

DIRECTORY = "CREDENTIALS_DIRECTORY"
"""Environment variable with the directory of a unit's credentials (systemd.exec(5)). ExaBGP passes it on."""

PREFIX = "hex:"

_MOST = 1024
"""Bytes read of a file; the longest key has 132 characters."""

_REMEDY = f'(umask 077; echo "{PREFIX}$(openssl rand -hex 32)" >'


def read(place: Place) -> bytes:
    """The secret. Raises ValueError: its text completes "is …, which", has the remedy, and contains no secret."""
    match place:
        case KeyFile(path):
            _protected(path)
            return _secret(path)
        case Credential(name):
            return _secret(_credential(name))
        case Inline(digits, holder):
            try:
                _protected(holder)
            except ValueError as error:
                raise ValueError(f"is a secret in {holder}, which {error}") from None
            return auth.secret(digits)
        case _:
            assert_never(place)


def _credential(name: str) -> str:
    directory = os.environ.get(DIRECTORY)
    if not directory:
        raise ValueError(
            f"is not there: {DIRECTORY} is not set; write LoadCredential={name}:/path into ExaBGP's unit (exavrrp check"
            " asks with --elsewhere for what only the unit can tell)"
        )
    path = Path(directory) / name
    if not os.path.exists(path):  # noqa: PTH110 — unlike Path.exists it says no to a name that is too long
        raise ValueError(f"is not in {directory}; write LoadCredential={name}:/path into ExaBGP's unit")
    return str(path)


def _protected(path: str) -> None:
    """Raises ValueError if other users could read or replace the file."""
    try:
        mode = Path(path).stat().st_mode
        found = weakness(path)
    except FileNotFoundError:
        raise ValueError(f"does not exist; make it: {_REMEDY} {path})") from None
    except OSError as error:
        raise ValueError(f"cannot be looked at: {error.strerror}; correct the path") from None
    if mode & stat.S_IROTH:
        raise ValueError(f"everybody can read; chmod o-r {path}, and make a new key: others may have this one")
    if found is not None:
        raise ValueError(found)


def _secret(path: str) -> bytes:
    content = _content(path)
    if not content.strip():
        raise ValueError(f"is empty; write a key into it: {_REMEDY} {path})")
    if not content.startswith(PREFIX):
        raise ValueError(f'does not begin with "{PREFIX}"; write that, and 64 to 128 hexadecimal digits behind it')
    return auth.secret(content.removeprefix(PREFIX).rstrip("\r\n"))


def _content(path: str) -> str:
    try:
        # O_NONBLOCK: a pipe must not block us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; make it readable for the user of ExaBGP alone") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is no regular file; write the path of one")
        return os.read(descriptor, _MOST).decode("ascii", "replace")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; make the key anew") from None
    finally:
        os.close(descriptor)
