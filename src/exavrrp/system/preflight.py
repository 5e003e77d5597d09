"""What would keep ``run`` from working on this host, for ``exavrrp check``.

All findings are from the point of view of the user who runs the check. ``exavrrp check`` is often run by root in a
shell, while ExaBGP starts ``run`` as another user, with capabilities from its unit, and in directories that systemd
makes when the unit starts. So only what applies to ExaBGP, too, is an error: root lacks a capability, no process can
gain one (it is not in the bounding set, as in a container), or root cannot write to a directory. Everything else is a
warning or a note that names the user.
"""

import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exavrrp.config import Configuration
from exavrrp.system import capabilities
from exavrrp.system.addresses import index_of, interface_name, promotes
from exavrrp.system.paths import is_here
from exavrrp.virtual_address import LO
from exavrrp.vrrp.packet import Address

WRITABLE = (
    "make it writable for this user (RuntimeDirectory=exavrrp in ExaBGP's unit; in a container a volume or tmpfs), "
    "or set agent.state_directory"
)
"""The remedy for a state directory that cannot be written."""


UNWRITABLE = "directory-unwritable"


class Weight(StrEnum):
    """The severity of a finding."""

    ERROR = "error"
    """``run`` would not start"""
    WARNING = "warning"
    """``run`` would work with a limitation"""
    NOTE = "note"
    """the result may differ for another user"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for the operator."""

    weight: Weight
    text: str
    """what is wrong or unknown, with the remedy"""
    code: str = ""
    """for ``exavrrp explain``; empty: a note"""


def findings(configuration: Configuration) -> Iterator[Finding]:
    """All findings for this user on this host. Raises nothing."""
    user = _name(os.geteuid())
    yield from _capabilities(user)
    state = Path(configuration.agent.state_directory)
    if (reason := _unwritable(state, "lock", "lock.next")) is not None:
        if os.geteuid() == 0:
            text = f"agent.state_directory: {state} cannot be written ({reason}); {WRITABLE}"
            yield Finding(Weight.ERROR, text, UNWRITABLE)
        else:
            made = "it has to be writable for ExaBGP's user (RuntimeDirectory=exavrrp in ExaBGP's unit makes it)"
            text = f"agent.state_directory: {user} cannot write {state} ({reason}); {made}"
            yield Finding(Weight.WARNING, text, UNWRITABLE)
    persistent = Path(configuration.agent.persistent_directory)
    if (reason := _unwritable(persistent)) is not None:
        lost = "drains end with the agent then; make it writable (StateDirectory=exavrrp; in a container a volume)"
        text = f"agent.persistent_directory: {user} cannot write {persistent} ({reason}); {lost}"
        yield Finding(Weight.WARNING, text, UNWRITABLE)
    for router in configuration.routers:
        if router.notify_fifo is not None and (reason := _no_fifo(Path(router.notify_fifo))) is not None:
            key = f"virtual_router.{router.name}.notify_fifo"
            text = f"{key}: {user} cannot write {router.notify_fifo} ({reason})"
            yield Finding(Weight.WARNING, text, "notify-unusable")
    yield from _network(configuration)
    yield from _another_view(state, user)


def _network(configuration: Configuration) -> Iterator[Finding]:
    """Configured addresses, interfaces and groups that this host does not have."""
    agent = configuration.agent
    sources: dict[Address, tuple[str, str]] = {}
    interfaces: dict[str, str] = {}
    for router in configuration.routers:
        table, medium = f"virtual_router.{router.name}", router.medium
        if router.source is not None:
            common = medium is None and router.source in agent.sources
            key = _key(configuration, "agent.sources") if common else f"{table}.source"
            sources.setdefault(router.source, (key, LO if medium is None else medium.interface))
        for name in router.interfaces or ():
            common = medium is None and name in (agent.interfaces or ())
            own = f"{table}.interfaces" if medium is None else f"{table}.interface"
            interfaces.setdefault(name, _key(configuration, "agent.interfaces") if common else own)
    for source, (key, where) in sources.items():
        if not is_here(source):
            text = f"{key}: {source} is no address of this host, and run waits for it; add it to {where}, or correct it"
            yield Finding(Weight.WARNING, text, "source-missing")
    present = {name for _, name in socket.if_nameindex()}
    for name, key in interfaces.items():
        if name not in present:
            text = f"{key}: this host has no {name}; no advert leaves there: correct the name"
            yield Finding(Weight.WARNING, text, "interface-missing")
    for router in configuration.routers:
        if router.on_link and not index_of(router.bound_to or ""):
            text = (
                f"virtual_router.{router.name}.bind: this host has no {router.bound_to}; its addresses cannot be bound:"
                " correct the name"
            )
            yield Finding(Weight.WARNING, text, "interface-missing")
    yield from _secondaries(configuration)
    group = agent.control_group
    try:
        if group is not None:
            grp.getgrnam(group)
    except KeyError:
        text = f"agent.control_group: this host has no group {group}; only ExaBGP's user may drain: make it (groupadd)"
        yield Finding(Weight.WARNING, text, "group-missing")


def _key(configuration: Configuration, name: str) -> str:
    """Where the operator wrote it."""
    return configuration.written.get(name, name)


def _secondaries(configuration: Configuration) -> Iterator[Finding]:
    """Links on which the kernel removes the younger IPv4 addresses of a prefix along with the oldest one."""
    wider = {one.interface for router in configuration.routers for one in router.virtual_addresses if one.shares_prefix}
    for name in sorted({interface_name(index) for name in wider if (index := index_of(name))}):
        if not promotes(name):
            text = (
                f"net.ipv4.conf.{name}.promote_secondaries is 0: the kernel would remove other addresses of the prefix"
                " along with a virtual one. The agent sets it to 1 when it has to, or does not unbind where it cannot:"
                " set it before (sysctl.d)"
            )
            yield Finding(Weight.WARNING, text, "secondaries-go-along")


def _capabilities(user: str) -> Iterator[Finding]:
    absent = capabilities.missing()
    out_of_reach = absent if os.geteuid() == 0 else capabilities.missing(field="CapBnd")
    if out_of_reach:
        text = f"{user} lacks {' and '.join(out_of_reach)}; {capabilities.remedy(out_of_reach)}"
        yield Finding(Weight.ERROR, text, "capability-missing")
    elif absent:
        given = f"AmbientCapabilities={' '.join(capabilities.NEEDED)} in ExaBGP's unit"
        text = f"seen as {user}, who lacks {' and '.join(absent)} here; run needs them, by {given}"
        yield Finding(Weight.NOTE, text)


def _another_view(state: Path, user: str) -> Iterator[Finding]:
    """A note if ``run`` has another user: systemd's RuntimeDirectory= gives the state directory to the unit's user."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        text = f"seen as {user}, but {state} belongs to {_name(owner)}: check as that user, too (runuser -u)"
        yield Finding(Weight.NOTE, text)


def _unwritable(directory: Path, *files: str) -> str | None:
    """Why this user cannot make ``directory`` and write these files in it; None if it can."""
    there = directory
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        return f"{there} is no directory"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} is not writable"
    for name in files:
        if os.path.lexists(directory / name) and not os.access(directory / name, os.R_OK | os.W_OK):
            return f"{directory / name} is not writable"
    return None


def _no_fifo(path: Path) -> str | None:
    try:
        if not stat.S_ISFIFO(path.lstat().st_mode):
            return "it is there and no FIFO; remove it, or correct notify_fifo"
    except FileNotFoundError:
        return "its directory is not there; make it" if not path.parent.is_dir() else _unwritable(path.parent)
    except OSError as error:
        return error.strerror
    return None if os.access(path, os.W_OK) else "another user made it; chown it to ExaBGP's user"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
