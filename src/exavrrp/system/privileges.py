"""Who a program runs as, and whether it may: never as root by accident.

If the agent is root, a program runs as its configured user, with the groups that a login of this user has
(getgrouplist(3)); without one it runs as root. Another user needs ``capabilities.FOR_ANOTHER_USER``, which a container
may lack. As with keepalived's script security, nobody else may be able to change what is run: the program, every folder
above it, and every link on the way to it must belong to root or that user, and must not be writable by others (a sticky
folder such as /tmp may be: what is in it stays its owner's). It is looked at before each start.

In a user namespace, whoever is outside of it (the root that owns ``/``, in the first place) appears as one and the same
user, who has to be trusted.

If the agent is not root, programs run as the agent's user, who could not gain anything.
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
"""Symbolic links on the way to a program: as many as the kernel follows."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What to give to a child; None is what we have ourselves."""

    user: int | None = None
    group: int | None = None
    groups: Sequence[int] | None = None

    @property
    def is_root(self) -> bool:
        """Whether the child begins as user 0."""
        return (os.getuid() if self.user is None else self.user) == 0


class Refused(OSError):
    """The program must not be run; ``text`` says why, with the remedy, and ``key`` which key is to blame."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(errno.EPERM, text)
        self.key = key
        self.text = text


class Privileges:
    """Who one program runs as."""

    def __init__(self, program: str, user: str | None) -> None:
        self._program = program
        self._user = user
        self._known: Identity | None = None

    def identity(self) -> Identity:
        """Who it is to run as now. Raises Refused, and OSError for a program that cannot be looked at."""
        if self._known is None:
            # Name services may be slow: asked once, and again only as long as they do not know the user.
            self._known = self._asked()
        if os.geteuid() == 0:
            trusted = _Trusted(
                frozenset({0, self._known.user or 0, *_outside("uid")}), frozenset({0, *_outside("gid")})
            )
            if (weakness := _weakness(self._program, trusted)) is not None:
                raise Refused("program", weakness)
        return self._known

    def _asked(self) -> Identity:
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

    Raises OSError for a program that cannot be looked at.
    """
    if os.geteuid() != 0:
        return None if os.access(program, os.X_OK) else f"this user may not execute; chmod a+x {program}"
    user = identity.user or 0
    groups = frozenset(os.getgroups() if identity.groups is None else identity.groups) | {identity.group or 0}
    for place, status in _way(program):
        if not stat.S_ISLNK(status.st_mode) and not _lets_in(status, user, groups):
            return f"{_user_name(user)} may not execute; chmod a+x {place}"
    return None


def weakness(path: str) -> str | None:
    """Who but root and this process's user could change what is at ``path``, with the remedy; None if nobody could.

    A relative path leads on from the working directory. Raises OSError for what cannot be looked at.
    """
    users, groups = frozenset({0, os.geteuid(), *_outside("uid")}), frozenset({0, *_outside("gid")})
    return _weakness(str(Path(path).absolute()), _Trusted(users, groups))


def _lets_in(status: os.stat_result, user: int, groups: frozenset[int]) -> bool:
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


@dataclass(frozen=True, slots=True)
class _Trusted:
    """Who may change what is run."""

    users: frozenset[int]
    groups: frozenset[int]


@cache
def _outside(kind: str) -> frozenset[int]:
    """As what everybody outside of our user namespace appears (user_namespaces(7)); ``kind`` is uid or gid.

    A process stays in the one in which it was started.
    """
    if Path(f"/proc/self/{kind}_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]:
        return frozenset()
    return frozenset({int(Path(f"/proc/sys/kernel/overflow{kind}").read_text())})


def _weakness(program: str, trusted: _Trusted) -> str | None:
    """Who else could change what is run, with the remedy; None if nobody could. Raises OSError."""
    for place, status in _way(program):
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


def _way(program: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every folder, link and file that the kernel looks at to find ``program``. Raises OSError."""
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
    """What ``path`` leads through, the last first."""
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
