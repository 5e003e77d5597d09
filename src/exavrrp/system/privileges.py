"""The user that a program runs as, and whether it may be run: no program of another user runs as root.

If the agent is root, a program runs as its configured user, with the groups of a login of this user (getgrouplist(3));
without one it runs as root. Another user needs ``capabilities.FOR_ANOTHER_USER``, which a container may lack. As with
keepalived's script security, no other user may be able to change the program: the file, every directory above it, and
every link on its path must belong to root or the program's user, and must not be writable by others. (A sticky
directory such as /tmp may be: only the owner of a file can replace it there.) This is checked before each start.

In a user namespace, all users outside of it appear as one (user_namespaces(7)), which has to be trusted: the root that
owns ``/`` is among them.

If the agent is not root, programs run as the agent's user. They are not checked: nobody could gain any right.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from exavrrp.system import capabilities

MOST_LINKS = 40
"""Most symbolic links on the path of a program: as many as the kernel follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Identity:
    """User and groups of a child; None: ours."""

    user: int | None = None
    group: int | None = None
    groups: Sequence[int] | None = None

    @property
    def is_root(self) -> bool:
        """Whether the child starts as user 0."""
        return (os.getuid() if self.user is None else self.user) == 0


class Refused(OSError):
    """The program must not be run. ``text``: the reason with the remedy; ``key``: the wrong configuration key."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(errno.EPERM, text)
        self.key = key
        self.text = text


class Privileges:
    """The user that one program runs as."""

    def __init__(self, program: str, user: str | None) -> None:
        self._program = program
        self._user = user
        self._known: Identity | None = None

    def identity(self) -> Identity:
        """The identity to run as. Raises Refused, and OSError for a program that cannot be examined."""
        if self._known is None:
            # Name services may be slow: the user is looked up once, and again only after a failure.
            self._known = self._look_up()
        if os.geteuid() == 0:
            trusted = _Trusted(
                frozenset({0, self._known.user or 0, *_outside("uid")}), frozenset({0, *_outside("gid")})
            )
            if (weakness := _weakness(self._program, trusted)) is not None:
                raise Refused("program", weakness)
        return self._known

    def _look_up(self) -> Identity:
        if self._user is None:
            return Identity()
        try:
            entry = pwd.getpwnam(self._user)
        except KeyError:
            raise Refused("user", f"there is no user {self._user}; write one that exists") from None
        if entry.pw_uid == os.geteuid():
            return Identity()
        if os.geteuid() != 0:
            text = f"only root can run a program as {self._user}; remove it, or run ExaBGP as root"
            raise Refused("user", text)
        if absent := capabilities.missing(capabilities.FOR_ANOTHER_USER):
            raise Refused(
                "user",
                f"a program of {self._user} needs {', '.join(capabilities.FOR_ANOTHER_USER)}, and {', '.join(absent)} "
                f"is missing; {capabilities.remedy(absent)}, or remove it: the program then is root without any",
            )
        return Identity(entry.pw_uid, entry.pw_gid, os.getgrouplist(self._user, entry.pw_gid))


def unable(program: str, identity: Identity) -> str | None:
    """Why a process of ``identity``, without any capability, may not execute ``program``; None if it may.

    Raises OSError for a program that cannot be examined.
    """
    if os.geteuid() != 0:
        return None if os.access(program, os.X_OK) else f"this user may not execute; chmod a+x {program}"
    user = identity.user or 0
    groups = frozenset(os.getgroups() if identity.groups is None else identity.groups) | {identity.group or 0}
    for place, status in _resolution(program):
        if not stat.S_ISLNK(status.st_mode) and not _may_execute(status, user, groups):
            return f"{_user_name(user)} may not execute; chmod a+x {place}"
    return None


def weakness(path: str) -> str | None:
    """Text that names who else than root and our user could change ``path``, with the remedy; None if nobody could.

    A relative path starts at the working directory. Raises OSError for a path that cannot be examined.
    """
    users, groups = frozenset({0, os.geteuid(), *_outside("uid")}), frozenset({0, *_outside("gid")})
    return _weakness(str(Path(path).absolute()), _Trusted(users, groups))


def _may_execute(status: os.stat_result, user: int, groups: frozenset[int]) -> bool:
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


@dataclass(frozen=True, slots=True)
class _Trusted:
    """The users and groups that may change a program."""

    users: frozenset[int]
    groups: frozenset[int]


@cache
def _outside(kind: str) -> frozenset[int]:
    """The id of all users outside of our user namespace (user_namespaces(7)), if we are in one; ``kind``: uid or gid.

    Cached: a process does not change its user namespace.
    """
    if Path(f"/proc/self/{kind}_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]:
        return frozenset()
    return frozenset({int(Path(f"/proc/sys/kernel/overflow{kind}").read_text())})


def _weakness(program: str, trusted: _Trusted) -> str | None:
    """Text that names who else could change the program, with the remedy; None if nobody could. Raises OSError."""
    for place, status in _resolution(program):
        whose = "" if place == program else f" (because of {place})"
        if status.st_uid not in trusted.users:
            return f"{_user_name(status.st_uid)} can change{whose}; chown root {place}"
        if stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            continue
        if status.st_mode & stat.S_IWOTH:
            return f"everybody can change{whose}; chmod o-w {place}"
        if status.st_mode & stat.S_IWGRP and status.st_gid not in trusted.groups:
            return f"{_group_name(status.st_gid)} can change{whose}; chmod g-w {place}"
    return None


def _resolution(program: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every directory, link and file in the resolution of the path (path_resolution(7)). Raises OSError."""
    here = "/"
    yield here, os.lstat(here)
    pending = _parts(program)
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, part)
        status = os.lstat(there)
        yield there, status
        if not stat.S_ISLNK(status.st_mode):
            here = there
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(there)
        pending += _parts(target)
        here = "/" if target.startswith("/") else here


def _parts(path: str) -> list[str]:
    """The components of ``path``, the last first."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


def _user_name(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _group_name(number: int) -> str:
    try:
        return f"group {grp.getgrgid(number).gr_name}"
    except KeyError:
        return f"group {number}"
