"""How the lab gets a network of its own to play in: as root, or as root of a user namespace.

Root makes its namespaces in /run/netns, where `ip netns` finds them. Anybody else (or a root without the right, as in
many containers) becomes root of a new user namespace with its own /run and an outer network namespace, all of which
vanish with the last process in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.run import IN_USER_NAMESPACE
from lab.topology import NETNS, LabError, run

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
SETTINGS_AGAINST_IT = (
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "user.max_user_namespaces",
)


def acquire(arguments: Sequence[str], module: str = "lab") -> None:
    """Returns if we may make namespaces; otherwise starts `module` over inside a user namespace. Raises LabError if
    neither works.
    """
    if os.environ.get(IN_USER_NAMESPACE):
        run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        NETNS.mkdir()
        return
    if os.geteuid() == 0 and works(["unshare", "--net", "true"]):
        return
    if not works([*UNSHARE, "true"]):
        raise LabError(
            "neither root nor allowed to make a user namespace: run it with sudo, or see the kernel's settings: "
            + ", ".join(f"{name} = {value}" for name, value in settings())
        )
    os.environ[IN_USER_NAMESPACE] = "1"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-m", module, *arguments])


def works(argv: Sequence[str]) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def settings() -> list[tuple[str, str]]:
    """The kernel's settings that can forbid user namespaces, those which this kernel has."""
    found = []
    for name in SETTINGS_AGAINST_IT:
        path = Path("/proc/sys") / name.replace(".", "/")
        if path.exists():
            found.append((name, path.read_text().strip()))
    return found
