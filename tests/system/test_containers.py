"""What an agent can do with exactly the capabilities that a container or a unit gives to ExaBGP.

ExaBGP is started as a container's runtime would do it: all capabilities taken away but some, as root or as another
user, and with a root file system that nobody can write to. The agent and its programs then say themselves what they
have (proc(5)).
"""

import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import running
from tests.system.conftest import NOBODY, Namespace, Need
from tests.system.running import EXABGP, ROOT, Fabric, Host, Line, processes, reachable, wait_until

TWO = ("net_admin", "net_raw")
FOR_ANOTHER_USER = ("setuid", "setgid", "kill")

STATUS = """
    echo $(sed -n 's/^Cap\\(Inh\\|Prm\\|Eff\\|Amb\\):[[:space:]]*/\\1=/p' /proc/self/status) user=$(id -u)
"""
"""Everything that a program could do, on one line."""
NONE = "Inh=0000000000000000 Prm=0000000000000000 Eff=0000000000000000 Amb=0000000000000000"
SERVICE_GROUP = 54321
"""A group that nobody is a member of, as in: the group that may read a service's password."""
OVERRUNS, STRAYS = "4711", "4712"
"""Seconds: how the processes of checks that hang are known."""

CHECKS = f"""
[check.command]
command = ["/bin/true"]
timeout = 60
[check.shell]
shell = '''{STATUS}'''
timeout = 60
[check.mounted]
timeout = 60
shell = "grep -q ' / [^ ]* ro' /proc/self/mounts && echo read-only || echo writable"
[check.user]
timeout = 60
shell = '''{STATUS}'''
user = "NOBODY"
weight = -1
[check.groups]
timeout = 60
command = ["/bin/cat", "SECRET"]
user = "NOBODY"
weight = -1
[check.strays]
shell = "setsid --fork /bin/sleep {STRAYS}; setsid /bin/sleep {STRAYS} & wait"
weight = -1
interval = 60
timeout = 1
[check.hangs]
shell = "setsid /bin/sleep {OVERRUNS} & wait"
user = "NOBODY"
weight = -1
interval = 60
timeout = 1
"""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    need_other_users(need)
    with running.fabric(namespace, need) as built:
        yield built


def need_other_users(need: Need) -> None:
    """Skips, or fails, where there are none."""
    mapped = Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]
    need(reason="only real root can become another user", unless=os.geteuid() == 0 and mapped)


def contain(host: Host, need: Need, *, user: int, capabilities: tuple[str, ...] | None, read_only: bool) -> None:
    """Have ExaBGP started as ``user`` with these capabilities (None: with all), and a read-only root file system."""
    place = host.directory
    for path in (place, place / "run", place / "lib"):
        path.mkdir(exist_ok=True)
        os.chown(path, user, user)
    pythons = [Path(sys.executable), *(program.parent / "python" for program in EXABGP.values())]
    homes = [*{python.resolve().parents[1] for python in pythons}, *(program.parents[1] for program in EXABGP.values())]
    # Even this root may not have all: what it has not it cannot pass on.
    everything = [f"cap_{number}" for number in range(64) if int(_status("CapPrm"), 16) >> number & 1]
    wanted = ",".join(["-all", *(f"+{one}" for one in (everything if capabilities is None else capabilities))])
    become = [need("setpriv"), f"--bounding-set={wanted}", f"--inh-caps={wanted}"]
    if user:
        become += [f"--ambient-caps={wanted}", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    script = [
        "set -eu",
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /mnt",
        *reachable([*homes, ROOT, place]),
        f"cd {shlex.quote(str(place))}",
        "mount --bind . .",  # the volume
        f"echo svcgrp:x:{SERVICE_GROUP}:{pwd.getpwuid(NOBODY).pw_name} | cat /etc/group - > group",
        "mount --bind group /etc/group",
        *(["mount -o remount,bind,ro /"] if read_only else []),
        f'exec {shlex.join(become)} "$@"',
    ]
    host.container = (need("unshare"), "--mount", "sh", "-c", "\n".join(script), "sh")


def _status(name: str) -> str:
    """A field of /proc/self/status (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def checked(host: Host, name: str) -> tuple[str, str]:
    """The result of a check, and its output."""

    def found() -> list[running.Record]:
        return [one for one in host.log.all("check-changed") if one["check"] == name]

    last = wait_until(found, lambda: f"check {name}:\n{host.log.tell()}")[-1]
    return last["result"], last["detail"]


def check(host: Host) -> "subprocess.CompletedProcess[str]":
    """What ``exavrrp check`` says in the same container."""
    command = [*host.container, sys.executable, "-m", "exavrrp", "check", str(host.directory / "exavrrp.toml")]
    with host.namespace:
        return subprocess.run(command, capture_output=True, text=True, check=False)


def hanging(host: Host, seconds: str = OVERRUNS) -> list[int]:
    """The processes of a check that hangs."""
    command = f"/bin/sleep\0{seconds}\0".encode()
    return [pid for pid in processes(host.namespace) if running.read(Path(f"/proc/{pid}/cmdline")) == command]


@pytest.mark.system
@pytest.mark.parametrize(
    ("user", "capabilities", "read_only", "line"),
    [
        pytest.param(0, TWO, False, "5", id="root-two"),
        pytest.param(0, TWO, True, "4", id="root-two-read-only"),
        pytest.param(0, (*TWO, *FOR_ANOTHER_USER), True, "5", id="root-two-and-for-users-read-only"),
        pytest.param(0, None, False, "5", id="root-all"),
        pytest.param(NOBODY, TWO, False, "4", id="nobody-two"),
        pytest.param(NOBODY, TWO, True, "5", id="nobody-two-read-only"),
        pytest.param(NOBODY, None, False, "5", id="nobody-all"),
    ],
)
def test_what_capabilities_are_for(
    user: int, capabilities: tuple[str, ...] | None, *, read_only: bool, line: Line, fabric: Fabric, need: Need
) -> None:
    a = fabric.a
    a.directory.parent.chmod(0o755)
    contain(a, need, user=user, capabilities=capabilities, read_only=read_only)
    notified = a.directory / "run" / "notified"
    notify = a.directory / "notify"
    notify.write_text(f"#!/bin/sh\n({STATUS}) > {notified}.new; mv {notified}.new {notified}\n")
    notify.chmod(0o755)
    secret = a.directory / "secret"
    secret.write_text("the password\n")
    os.chown(secret, 0, SERVICE_GROUP)
    secret.chmod(0o640)
    a.configure(
        'checks = ["command", "shell", "mounted", "user", "groups", "hangs", "strays"]',
        f'notify_active = ["{notify}"]',
        checks=CHECKS.replace("NOBODY", pwd.getpwuid(NOBODY).pw_name).replace("SECRET", str(secret)).splitlines(),
    )

    # ``check`` says before what will be found.
    told = check(a)
    if user == 0 and capabilities == TWO:
        assert told.returncode == 1
        lines = told.stderr.splitlines()
        assert [re.sub(r".*: check\.", "", line).partition(": ")[0] for line in lines] == [
            "user.user",
            "groups.user",
            "hangs.user",
        ]
        assert all("CAP_SETUID, CAP_SETGID, CAP_KILL is missing" in line for line in lines)
    else:
        assert (told.returncode, told.stderr) == (0, "")

    a.start(line)
    a.becomes("active")
    a.log.wait("address-bound")
    assert a.bound()
    wait_until(lambda: fabric.bird.routes(fabric.vip), "the route")

    # Promised for the two capabilities: programs work, and have none themselves.
    assert checked(a, "command") == ("passing", "")
    assert checked(a, "shell") == ("passing", f"{NONE} user={user}")
    assert checked(a, "mounted") == ("passing", "read-only" if read_only else "writable")
    wait_until(notified.exists, "the program that is notified")
    assert notified.read_text() == f"{NONE} user={user}\n"

    assert checked(a, "strays") == ("failing", "not done within 1 s")
    wait_until(lambda: not hanging(a, STRAYS), "the end of what a check has started that overruns")

    # And for another user, who has its groups, with three more.
    secrets = ("failing", f"exit status 1: /bin/cat: {secret}: Permission denied")
    result, detail = checked(a, "user")
    if user == 0 and capabilities == TWO:
        assert result == "failing"
        assert "needs CAP_SETUID, CAP_SETGID, CAP_KILL, and CAP_SETUID, CAP_SETGID, CAP_KILL is missing; " in detail
        assert not hanging(a)
        assert "needs CAP_SETUID" in checked(a, "groups")[1]
    else:
        assert checked(a, "groups") == (secrets if user else ("passing", "the password"))
        assert (result, detail) == ("passing", f"{NONE} user={NOBODY}")
        assert checked(a, "hangs") == ("failing", "not done within 1 s")
        wait_until(lambda: not hanging(a), "the end of the one that hangs")

    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    wait_until(lambda: not a.bound(), "the address to be gone")


@pytest.mark.system
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_check_and_run_report_a_missing_capability_alike(user: int, fabric: Fabric, need: Need) -> None:
    a = fabric.a
    a.directory.parent.chmod(0o755)
    contain(a, need, user=user, capabilities=("net_admin",), read_only=False)
    a.configure()
    told = check(a)
    remedy = "--cap-add=NET_RAW"
    assert told.returncode == 1
    assert told.stderr.startswith("error: ")
    assert "lacks CAP_NET_RAW; " in told.stderr
    assert remedy in told.stderr
    assert told.stderr.count("\n") == 1
    a.start()
    detail = a.log.wait("agent-start-failed")["detail"]
    assert detail.startswith("lacking CAP_NET_RAW; ")
    assert remedy in detail


@pytest.mark.system
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_check_and_run_report_an_unwritable_directory_alike(user: int, fabric: Fabric, need: Need) -> None:
    a = fabric.a
    a.directory.parent.chmod(0o755)
    contain(a, need, user=user, capabilities=TWO, read_only=True)
    state, persistent = "/usr/exavrrp-run", "/usr/exavrrp-lib"
    path = a.configure()
    text = path.read_text()
    path.write_text(text.replace(str(a.directory / "run"), state).replace(str(a.directory / "lib"), persistent))
    told = check(a)
    first, second = told.stderr.splitlines()
    assert state in first
    assert "RuntimeDirectory=exavrrp" in first
    assert second.startswith("warning: agent.persistent_directory: ")
    assert persistent in second
    if user == 0:
        assert told.returncode == 1
        assert first.startswith("error: agent.state_directory: ")
        assert "in a container a volume or tmpfs" in first
    else:
        # Before ExaBGP's unit has made it, it cannot be there.
        assert told.returncode == 0
        assert first.startswith("warning: agent.state_directory: ")
    a.start()
    detail = a.log.wait("agent-start-failed")["detail"]
    assert detail.startswith(f"cannot open {state}/lock: Read-only file system; ")
    assert "in a container a volume or tmpfs" in detail
