"""Namespaces and links: the machines of the plan as they are before any program runs.

Owns: the names of the namespaces, the veth pairs, addresses, static routes and kernel settings, the lock that says a lab is
alive, and the removal of what a killed lab left behind. Must not know: routing daemons, ExaBGP, scenarios.

Every lab has a directory RUN/<pid> and a locked file RUN/<pid>.lock; its namespaces are called exavrrp-<pid>-<machine>. So
several labs can run side by side, and a namespace whose lab's file is not locked belongs to nobody: the next start ends the
processes in it and removes it. The lock, not the pid, decides, because pids are used again.

Routers and the client learn everything by BGP. Servers have what servers have: addresses on lo and a static multipath default
route over both uplinks. ExaBGP announces, it does not install routes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO

from lab.addressing import (
    CLIENT,
    FAMILIES,
    LINKS,
    MACHINES,
    PREFIX_LENGTH,
    SERVERS,
    TORS,
    Link,
    Machine,
    links_of,
)

RUN = Path("/run/exavrrp-lab")
NETNS = Path("/run/netns")
_NAME = re.compile(r"exavrrp-(?P<pid>\d+)-\w+")

SETTINGS: Mapping[str, str] = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    # Addresses are usable at once; nothing in the lab can be a duplicate.
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
    # A next hop whose cable is out is not used: what anybody with static multipath routes sets.
    "ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "ipv4/conf/default/ignore_routes_with_linkdown": "1",
    "ipv6/conf/all/ignore_routes_with_linkdown": "1",
    "ipv6/conf/default/ignore_routes_with_linkdown": "1",
    # Packets may come in over either uplink, whichever one the answer would take.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # ECMP as a data centre's switches do it: over addresses, protocol and ports, each machine in its own way. With policy 1 each
    # machine reuses the hash that the sender's kernel left in the packet, and all split alike.
    "ipv4/fib_multipath_hash_policy": "3",
    "ipv6/fib_multipath_hash_policy": "3",
    "ipv4/fib_multipath_hash_fields": "0x37",
    "ipv6/fib_multipath_hash_fields": "0x37",
}
"Below /proc/sys/net. 0x37: source, destination, protocol, both ports (Documentation/networking/ip-sysctl.rst)."

FORWARDING: Mapping[str, str] = {"ipv4/conf/all/forwarding": "1", "ipv6/conf/all/forwarding": "1"}
HASH_SEED = "ipv4/fib_multipath_hash_seed"
"Linux 6.11 and later; serves IPv4 and IPv6."


class LabError(Exception):
    """The lab could not be built or did not come up; the message says what and where to look."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One machine's network namespace."""

    machine: Machine
    name: str

    def argv(self, *command: str) -> list[str]:
        """The command that runs `command` in here. nsenter, since `ip netns exec` would also remount /sys and bind /etc files."""
        return ["nsenter", f"--net={NETNS / self.name}", "--", *command]

    def run(self, *command: str, text: str | None = None) -> str:
        """Runs a short command in here and returns its output; raises LabError when it fails."""
        return run(self.argv(*command), text)

    def ip(self, lines: Iterable[str]) -> None:
        """Runs lines of `ip` in one process; raises LabError at the first that fails."""
        run(["ip", "-n", self.name, "-batch", "-"], "\n".join(lines) + "\n")

    def pids(self) -> list[int]:
        """The processes in here."""
        if not (NETNS / self.name).exists():
            return []
        return [int(pid) for pid in run(["ip", "netns", "pids", self.name]).split()]

    def kill_processes(self) -> None:
        """SIGKILL for every process in here; returns when they are gone (or after 5 s: stuck in the kernel)."""
        give_up = time.monotonic() + 5
        while (pids := self.pids()) and time.monotonic() < give_up:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
            _reap()


def _reap() -> None:
    """Lets go of ended children that nobody waits for any more."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG | os.WNOWAIT if hasattr(os, "WNOWAIT") else os.WNOHANG)[0]:
            return


def run(argv: list[str], text: str | None = None) -> str:
    """Runs a command to its end (limit 30 s) and returns its output; raises LabError with its last words."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
