"""Namespaces and links: the machines of the plan as they are before any program runs.

Owns: the names of the namespaces, the veth pairs, addresses, static routes and kernel settings, the lock that says a
lab is alive, and the removal of what a killed lab left behind. Must not know: routing daemons, ExaBGP, scenarios.

Every lab has a directory RUN/<pid> and a locked file RUN/<pid>.lock; its namespaces are called
exavrrp-<pid>-<machine>. So several labs can run side by side, and a namespace whose lab's file is not locked belongs
to nobody: the next start ends the processes in it and removes it. The lock, not the pid, decides, because pids are
reused.

Routers and the client learn everything by BGP. Servers have what servers have: addresses on lo and a static multipath
default route over both uplinks. ExaBGP announces, it does not install routes. (A daemon beside it does.)
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab.addressing import (
    CLIENT,
    FAMILIES,
    HOST,
    INNER,
    NOBODY,
    PREFIX_LENGTH,
    SERVERS,
    Family,
    Link,
    Machine,
    Site,
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
    # A next hop whose cable is out is not used: as usual with static multipath routes.
    "ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "ipv4/conf/default/ignore_routes_with_linkdown": "1",
    "ipv6/conf/all/ignore_routes_with_linkdown": "1",
    "ipv6/conf/default/ignore_routes_with_linkdown": "1",
    # Packets may arrive over either uplink, whichever one the answer would take.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # ECMP as a data centre's switches do it: over addresses, protocol and ports, each machine in its own way. With
    # policy 1 each machine reuses the hash that the sender's kernel left in the packet, and all split alike.
    "ipv4/fib_multipath_hash_policy": "3",
    "ipv6/fib_multipath_hash_policy": "3",
    "ipv4/fib_multipath_hash_fields": "0x37",
    "ipv6/fib_multipath_hash_fields": "0x37",
}
"Below /proc/sys/net. 0x37: source, destination, protocol, both ports (Documentation/networking/ip-sysctl.rst)."

FORWARDING: Mapping[str, str] = {"ipv4/conf/all/forwarding": "1", "ipv6/conf/all/forwarding": "1"}
HASH_SEED = "ipv4/fib_multipath_hash_seed"
"Linux 6.11 and later; serves IPv4 and IPv6."
EVERYTHING: Mapping[Family, str] = {4: "0.0.0.0/0", 6: "::/0"}
NODAD: Mapping[Family, str] = {4: "", 6: " nodad"}
"Even on lo a new IPv6 address is tentative, and no valid source, until a worker of the kernel has looked at it."


class LabError(Exception):
    """The lab could not be built or did not come up; the message says what and where to look."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One machine's network namespace."""

    machine: Machine
    name: str

    def argv(self, *command: str) -> list[str]:
        """The command that runs `command` in here. nsenter, since `ip netns exec` would also remount /sys and bind
        /etc files.
        """
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
        """SIGKILL for every process in here; returns when they are gone, or after 5 s (one is stuck in the kernel)."""
        give_up = time.monotonic() + 5
        while (pids := self.pids()) and time.monotonic() < give_up:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)


def run(argv: list[str], text: str | None = None) -> str:
    """Runs a command to its end (limit 30 s) and returns its output; raises LabError with its last words."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Topology:
    """The namespaces of one lab, by machine name; wired, addressed, with kernel settings."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._namespaces = {
            machine.name: Namespace(machine, f"exavrrp-{os.getpid()}-{machine.name}") for machine in site.machines
        }
        self._seed = seed
        self.hash_seeded = False

    def __getitem__(self, name: str) -> Namespace:
        return self._namespaces[name]

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self._namespaces.values())

    def build(self) -> None:
        """Makes everything; raises LabError. What was made is removed by `remove`, whether or not all of it was."""
        lines = [f"netns add {namespace.name}" for namespace in self]
        # The ends' indexes must differ: the kernel takes a veth whose peer has its own index for a physical card and
        # reports the loss of its carrier up to a second late (linkwatch_urgent_event).
        lines += [
            f"link add {link.member_interface} index {100 + number} netns {self[link.member.name].name} type veth"
            f" peer name {link.router_interface} index {200 + number} netns {self[link.router.name].name}"
            for number, link in enumerate(self._site.links)
        ]
        for namespace in self:
            assert not (NETNS / namespace.name).exists(), "a lab with our pid was removed before we start"
        made = len(self._namespaces)
        run(["ip", "-batch", "-"], "\n".join(lines[:made]) + "\n")
        for namespace in self:
            self._settings(namespace)
        run(["ip", "-batch", "-"], "\n".join(lines[made:]) + "\n")
        for namespace in self:
            namespace.ip(boot(self._site, namespace.machine))

    def attach(self, link: Link) -> Namespace:
        """Adds a machine outside the plan below a router of the plan: with this link, and a default route."""
        namespace = Namespace(link.member, f"exavrrp-{os.getpid()}-{link.member.name}")
        self._namespaces[link.member.name] = namespace
        router = self[link.router.name]
        run(["ip", "netns", "add", namespace.name])
        self._settings(namespace)
        number = len(self._site.links)
        run(
            [
                *f"ip link add {link.member_interface} index {100 + number} netns {namespace.name} type veth".split(),
                *f"peer name {link.router_interface} index {200 + number} netns {router.name}".split(),
            ]
        )
        router.ip(link_up(link, link.router))
        ways = [
            f"route replace {EVERYTHING[family]} via {link.address_of_router(family)} dev {link.member_interface}"
            for family in FAMILIES
        ]
        namespace.ip(["link set lo up", *link_up(link, link.member), *ways])
        return namespace

    def remove(self) -> None:
        for namespace in self:
            remove_namespace(namespace)

    def _settings(self, namespace: Namespace) -> None:
        machine = namespace.machine
        settings = dict(SETTINGS)
        if machine in (*self._site.routers, CLIENT):
            settings |= FORWARDING
        # 32 bits that differ from machine to machine and from run to run, and are the same for the same seed.
        settings[HASH_SEED] = str(int.from_bytes(sha256(f"{self._seed}/{machine.name}".encode()).digest()[:4]) or 1)
        script = "".join(
            f"[ -e /proc/sys/net/{key} ] && echo {value} > /proc/sys/net/{key} || echo {key}\n"
            for key, value in settings.items()
        )
        missing = namespace.run("sh", "-c", script).split()
        self.hash_seeded = HASH_SEED not in missing
        if unexpected := [key for key in missing if key != HASH_SEED]:
            raise LabError(f"{namespace.name}: this kernel has no {', '.join(unexpected)}")


def boot(site: Site, machine: Machine) -> list[str]:
    """The lines of `ip` that bring a machine's network up: after creation, and again after a power cut."""
    lines = ["link set lo up"]
    lines += [f"address replace {machine.loopback(family)}/{HOST[family]} dev lo{NODAD[family]}" for family in FAMILIES]
    for link in site.links_of(machine):
        lines += link_up(link, machine)
    if machine in SERVERS and site.host:  # that learns the routes
        for family in FAMILIES:
            lines.append(f"address replace {INNER[family]}/{HOST[family]} dev lo{NODAD[family]}")
            lines.append(f"route replace {NOBODY[family]}/{HOST[family]} dev lo")
    elif machine in SERVERS:
        lines += default_routes(site, machine)
    return lines


def link_up(link: Link, machine: Machine) -> list[str]:
    """Brings one end of a link up with its addresses (IPv6 ones are lost when an interface goes down)."""
    upper = machine == link.router
    interface = link.router_interface if upper else link.member_interface
    lines = [*([f"link set {interface} addrgenmode none"] if link.unnumbered else []), f"link set {interface} up"]
    for family in link.families:
        address = link.address_of_router(family) if upper else link.address_of_member(family)
        lines.append(f"address replace {address}/{PREFIX_LENGTH[family]} dev {interface}{NODAD[family]}")
    return lines


def default_routes(site: Site, machine: Machine) -> list[str]:
    """A server's static default routes over both uplinks, with the loopback address as their source."""
    lines = []
    for family in FAMILIES:
        hops = " ".join(
            f"nexthop via {'' if family in link.families else 'inet6 '}"
            f"{link.address_of_router(6 if link.unnumbered else family)} dev {link.member_interface}"
            for link in site.uplinks(machine)
        )
        lines.append(f"route replace {EVERYTHING[family]} src {machine.loopback(family)} {hops}")
    return lines


def remove_namespace(namespace: Namespace) -> None:
    """Ends what runs in a namespace and removes it; one that does not exist is fine."""
    if (NETNS / namespace.name).exists():
        namespace.kill_processes()
        with suppress(LabError):
            run(["ip", "netns", "delete", namespace.name])


@contextmanager
def lab_directory(say: Callable[[str], None]) -> Iterator[Path]:
    """A directory for this lab's files while its lock is held; first removes what dead labs left behind."""
    RUN.mkdir(parents=True, exist_ok=True)
    NETNS.mkdir(parents=True, exist_ok=True)
    lock = RUN / f"{os.getpid()}.lock"
    with (RUN / "guard").open("a") as guard:
        # Between making our file and locking it, another lab that starts would take it for a leftover.
        fcntl.flock(guard, fcntl.LOCK_EX)
        remove_leftovers(say)
        handle = lock.open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
    with handle:
        directory = RUN / str(os.getpid())
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            lock.unlink(missing_ok=True)


def remove_leftovers(say: Callable[[str], None]) -> None:
    """Removes namespaces, processes and files of labs that were killed: those whose lock nobody holds."""
    named = [(match["pid"], match[0]) for path in NETNS.iterdir() if (match := _NAME.fullmatch(path.name))]
    pids = {pid for pid, _ in named} | {path.stem for path in RUN.glob("*.lock")}
    for pid in sorted(pids):
        lock = RUN / f"{pid}.lock"
        with lock.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            say(f"removing what lab {pid} left behind when it was killed")
            for owner, name in named:
                if owner == pid:
                    remove_namespace(Namespace(CLIENT, name))
            shutil.rmtree(RUN / pid, ignore_errors=True)
            lock.unlink(missing_ok=True)
