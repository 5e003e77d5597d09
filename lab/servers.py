"""A server of the rack: ExaBGP with the agent as its process, and the UDP echo service that stands for what it serves.

Owns: ExaBGP's and the agent's configuration files, how they are started, and how a server dies. Must not know:
scenarios.

ExaBGP announces the server's own addresses from its static configuration; the virtual address is the agent's. It runs
as root (`exabgp.daemon.user=root`), since a lab in a user namespace has no other user; how to run it with two
capabilities and no more is shown in exabgp/ and has tests of its own. One session per family and ToR; no graceful
restart.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from string import Template
from typing import Any, Literal, get_args

from exavrrp.chronicle import decoded
from exavrrp.cli.reasons import origin
from exavrrp.cli.verdicts import verdict
from lab import hosts
from lab.addressing import (
    FAMILIES,
    HOST,
    INNER,
    PRIORITIES,
    RACK,
    SERVERS,
    VIRTUAL_ADDRESS,
    VIRTUAL_ROUTER,
    VRID,
    Address,
    Family,
    Link,
    Machine,
    Site,
)
from lab.hosts import inner_as
from lab.processes import Processes, Program
from lab.topology import EVERYTHING, LabError, Namespace, boot

ROOT = Path(__file__).resolve().parent.parent
INSTRUMENTS = ROOT / "lab" / "instruments"
AGENT = ROOT / ".venv" / "bin" / "exavrrp"
SERVICE_PORT = 7007

Means = Literal["med", "prepend", "local-preference"]
"How the route of a node that takes over beats a dead node's: the agent's `takeover`."
MEANS: tuple[Means, ...] = ("med", "prepend", "local-preference")
PREPENDS = 3
"Of an ordinary Active; a takeover by path removes one. So many nodes may fail silently within `stale_for`."

OVERLAY: Mapping[Family, Address] = {6: IPv6Address("fe80::"), 4: IPv4Address("10.255.0.0")}
"A server's address in the VXLAN is its number above this one."

Configuration = Callable[[Machine, "ServerPlan", Path], str]
"The agent's configuration on a machine, with a directory of the server's own."
OtherProcess = Callable[[Machine, Path], str]
"What ExaBGP runs on a machine in place of the agent: a command, with a directory of the server's own."

ExaBGPLine = Literal["4", "5"]
EXABGP: Mapping[str, Path] = {
    line: ROOT / ".envs" / f"exabgp{line}" / "bin" / "exabgp" for line in get_args(ExaBGPLine)
}
"Installed by lab/bootstrap.sh from uv.lock."

EXABGP_ENVIRONMENT = {
    "exabgp_daemon_user": "root",
    "exabgp_daemon_daemonize": "false",
    "exabgp_api_ack": "true",
    # No named pipes: they would belong to the host, and the lab does not use ExaBGP's command line.
    "exabgp_api_cli": "false",
    "exabgp_log_destination": "stdout",
    "exabgp_log_level": "INFO",
}


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How the servers are configured beyond the plan of addresses; a scenario may change it."""

    family: Family
    interval: float
    "advert_interval, seconds"
    hold: int
    "BGP hold time, seconds"
    exabgp: ExaBGPLine
    agent: Path = AGENT
    site: Site = RACK
    standby: bool = False
    "a Backup announces, too"
    prebind: bool = False
    "a Backup binds the address beforehand"
    takeover: tuple[Means, ...] = ()
    stale_for: float | None = None
    "the agent's `stale_for`; None: as long as the routers' hold time"
    interfaces: tuple[str, ...] = ()
    "if not empty: the agent's `interfaces`"
    virtual_router: tuple[str, ...] = ()
    "further lines of TOML for [virtual_router.web]"
    bgp: tuple[str, ...] = ("med = 50",)
    "lines of TOML for [virtual_router.web.bgp]; a `med` gives way to takeover by MED"
    tables: tuple[str, ...] = ()
    "lines of TOML for further tables; $directory stands for a directory of the server's own"
    configuration: Configuration | None = None
    "the agent's configuration in place of one virtual router with all of the above"
    unlisted: frozenset[tuple[str, str]] = frozenset()
    "servers, each with a router that is its neighbor, and whose stanza in exabgp.conf does not list the agent"
    record: bool = False
    "the agents record the events of their elections"
    overlay: bool = False
    "adverts go by multicast in a VXLAN over both uplinks, as `exavrrp vxlan` makes it"
    process: Mapping[str, OtherProcess] = field(default_factory=dict)
    "by server: what ExaBGP runs there in place of the agent"
    carrier: Family | None = None
    "one BGP session per uplink, of this family, carries both; None: each family has its own"

    @property
    def private(self) -> bool:
        """Whether ExaBGP has an AS of its own beside a daemon, so that the length of its paths reaches the routers."""
        return "prepend" in self.takeover

    @property
    def window(self) -> float:
        """Seconds for which a silent failure counts."""
        return self.hold if self.stale_for is None else self.stale_for

    @property
    def compared_everywhere(self) -> bool:
        """Whether the gates prefer a new Active's route to that of a node that failed silently.

        MED reaches only the routers next to the servers; in `racks` these are not the gates.
        """
        further = "local-preference" if self.site.server_as == "routers" else "prepend"
        return further in self.takeover or ("med" in self.takeover and not self.site.spines)


def agent_configuration(machine: Machine, plan: ServerPlan, directory: Path) -> str:
    """exavrrp.toml; all files of the agent are below `directory`."""
    peers = [peer.loopback(plan.family) for peer in SERVERS if peer is not machine]
    lines = [
        "[agent]",
        f"sources = {_strings([machine.loopback(plan.family)])}",
        f"peers = {_strings(peers)}",
        f"advert_interval = {plan.interval}",
        f'state_directory = "{runtime_directory(directory)}"',
        f'persistent_directory = "{directory / "lib"}"',
    ]
    if plan.interfaces:
        lines.append(f"interfaces = {_strings(plan.interfaces)}")
    lines += [
        "",
        f"[virtual_router.{VIRTUAL_ROUTER}]",
        f"vrid = {VRID}",
        f"priority = {PRIORITIES[machine.name]}",
        f'addresses = ["{VIRTUAL_ADDRESS[plan.family]}/{HOST[plan.family]}"]',
        *(['standby = "announce"'] if plan.standby else []),
        *(in_overlay(machine, plan.family) if plan.overlay else []),
        *(["prebind = true"] if plan.prebind else []),
        *(with_uplinks(plan.virtual_router) if plan.site.host else plan.virtual_router),
        *(twins_alone(machine, plan.site) if plan.site.twins else []),
        "",
        f"[virtual_router.{VIRTUAL_ROUTER}.bgp]",
        *(line for line in plan.bgp if "med" not in plan.takeover or not line.startswith("med ")),
        *preference(plan),
        *next_hops(machine, plan),
        "",
        *(Template(line).substitute(directory=directory) for line in plan.tables),
        *(["[check.uplinks]", f'route = "{EVERYTHING[plan.family]}"', *UPLINKS] if plan.site.host else []),
    ]
    return "\n".join(lines) + "\n"


def in_overlay(machine: Machine, family: Family) -> list[str]:
    """Lines for [virtual_router.web]: adverts by multicast in the VXLAN, of the other nodes alone."""
    peers = [OVERLAY[family] + peer.number for peer in SERVERS if peer is not machine]
    return [
        'transport = "multicast"',
        'interface = "vxlan7"',
        f'source = "{OVERLAY[family] + machine.number}"',
        f"peers = {_strings(peers)}",
    ]


UPLINKS = ("interval = 0.2", "rise = 10", "fall = 1")
"How the default route that a daemon beside ExaBGP learns is looked for: a session over lo says nothing about uplinks."

BESIDE = 'until ip -6 route show default | grep -q .; do sleep 0.1; done; sleep 2; exec "$0" "$@"'
"""What starts ExaBGP beside a daemon: its session over lo is up at once, but until the routers know this server's own
address (bgpd tells a new neighbor after a second) it hears nobody, and would serve beside the Active.
"""


def with_uplinks(lines: Sequence[str]) -> list[str]:
    """Lines for [virtual_router.web], whose checks have that of the uplinks among them."""
    given = "checks = ["
    others = [line for line in lines if not line.startswith(given)]
    named = [line.removeprefix(given).removesuffix("]") for line in lines if line.startswith(given)]
    return [*others, f"{given}{', '.join([*named, chr(34) + 'uplinks' + chr(34)])}]"]


def runtime_directory(directory: Path) -> Path:
    return directory / "run"


def preference(plan: ServerPlan) -> list[str]:
    """Lines for [virtual_router.web.bgp] that make one node's route better than another's."""
    lines = []
    if plan.takeover not in ((), ("med",)):  # by MED is the agent's own default
        lines.append(f"takeover = {_strings(plan.takeover)}")
        lines.append(f"stale_for = {plan.window}")
    if "prepend" in plan.takeover:
        lines.append(f"prepend = {PREPENDS}")
    return lines


def next_hops(machine: Machine, plan: ServerPlan) -> list[str]:
    """Lines for [virtual_router.web.bgp]: over one session for both families each router needs a next hop of its own.

    Where IPv6 sessions carry IPv4, it is an IPv6 one (RFC 8950). That of IPv6 itself is ExaBGP's end of the session.
    """
    if plan.carrier is None or (plan.site.unnumbered and plan.family == 6):
        return []
    links = plan.site.uplinks(machine)
    own = [
        f'"{link.address_of_router(plan.carrier)}'
        f'{f" from {link.address_of_member(6)}" if link.unnumbered else ""}" = "{link.address_of_member(6)}"'
        for link in links
    ]
    return [f"next_hop = {{ {', '.join(own)} }}"]


def twins_alone(machine: Machine, site: Site) -> list[str]:
    """Lines for [virtual_router.web]: of all sessions only the two to one address count."""
    link = site.uplinks(machine)[0]
    twins = [f"{link.address_of_router(6)} from {one}" for one in site.ends(link, 6)]
    return [f"sessions_neighbors = {_strings(twins)}"]


def _strings(values: Sequence[object]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


NEIGHBOR = """
neighbor {remote} {{
    router-id {router_id};
    local-address {local};
    local-as {asn};
    peer-as {remote_asn};
    hold-time {hold};
    {interface}
    {families}
    {api}
    static {{ {routes} }}
}}
"""
API = "api { processes [ exavrrp ]; neighbor-changes; }"
PLAIN_API = "api { processes [ exavrrp ]; }"
"For a process that takes each line from ExaBGP for the answer to a command."
BOTH = "family { ipv4 unicast; ipv6 unicast; }"
EXTENDED = f"{BOTH} capability {{ nexthop enable; }} nexthop {{ ipv4 unicast ipv6; }}"


def beside_daemon(machine: Machine, plan: ServerPlan) -> list[str]:
    """The sessions of ExaBGP to the daemon of its own server: one for each family."""
    return [
        NEIGHBOR.format(
            remote=machine.loopback(family),
            local=INNER[family],
            router_id=machine.router_id + 100,
            asn=inner_as(plan.site, machine, private=plan.private),
            remote_asn=plan.site.asn(machine),
            hold=plan.hold,
            interface="",
            families=f"family {{ ipv{family} unicast; }}",
            routes="",
            api=API,
        )
        for family in FAMILIES
    ]


def exabgp_configuration(machine: Machine, plan: ServerPlan, command: str) -> str:
    def next_hop(link: Link, family: Family) -> str:
        return "self" if plan.carrier is None else str(link.address_of_member(6 if plan.carrier == 6 else family))

    sessions: list[tuple[Family, str, tuple[Family, ...]]] = [
        (family, f"family {{ ipv{family} unicast; }}", (family,)) for family in FAMILIES
    ]
    if plan.carrier is not None:
        sessions = [(plan.carrier, EXTENDED if plan.carrier == 6 else BOTH, FAMILIES)]
    parts = [f"process exavrrp {{\n    run {command};\n    encoder json;\n}}\n"]
    if plan.site.host:
        return "".join([*parts, *beside_daemon(machine, plan)])
    parts += [
        NEIGHBOR.format(
            remote=link.address_of_router(family),
            local=local,
            router_id=machine.router_id,
            asn=plan.site.asn(machine),
            remote_asn=plan.site.asn(link.router),
            hold=plan.hold + (plan.exabgp == "4" and (machine.name, link.router.name) in plan.unlisted),
            interface=f"source-interface {link.member_interface};" if link.unnumbered else "",
            families=families,
            routes=" ".join(
                f"route {machine.loopback(one)}/{HOST[one]} next-hop {next_hop(link, one)};" for one in carried
            ),
            api=""
            if (machine.name, link.router.name) in plan.unlisted
            else PLAIN_API
            if machine.name in plan.process
            else API,
        )
        for family, families, carried in sessions
        for link in plan.site.uplinks(machine)
        for local in plan.site.ends(link, family)
    ]
    return "".join(parts)


class Server:
    """One server: what runs on it, and the ways in which it stops."""

    def __init__(self, namespace: Namespace, plan: ServerPlan, processes: Processes) -> None:
        self.namespace = namespace
        self.machine = namespace.machine
        self.log = processes.directory / f"{self.machine.name}.exabgp.log"
        "ExaBGP's and, because it is inherited, the agent's stderr"
        self._plan = plan
        self._processes = processes
        self._exabgp: Program | None = None
        self._service: Program | None = None

    @property
    def directory(self) -> Path:
        return self._processes.directory / self.machine.name

    def configure(self) -> None:
        self.directory.mkdir()
        configuration = self._plan.configuration or agent_configuration
        self._agent_configuration.write_text(configuration(self.machine, self._plan, self.directory))
        self._configure_exabgp()

    def make_overlay(self) -> None:
        """Makes the VXLAN for the adverts by what `exavrrp vxlan` prints."""
        words = (str(self._plan.agent), "vxlan", "--config", str(self._agent_configuration))
        self.namespace.run("sh", "-e", text=self.namespace.run(*words))

    def reconfigure(self, *virtual_router: str) -> None:
        """Writes the agent's configuration with these lines in the table of the virtual router."""
        self._plan = replace(self._plan, virtual_router=virtual_router)
        self._agent_configuration.write_text(agent_configuration(self.machine, self._plan, self.directory))

    def _configure_exabgp(self) -> None:
        command = f"{self._plan.agent} run --config {self._agent_configuration} --log-format json"
        if self._plan.record:
            command += f" --record {self.recording}"
        if (other := self._plan.process.get(self.machine.name)) is not None:
            command = other(self.machine, self.directory)
        self._configuration.write_text(exabgp_configuration(self.machine, self._plan, command))

    def unlist(self, *routers: str) -> None:
        """From its next start or reload on, ExaBGP sends the agent's announcements to all its neighbors but these.

        4.2 uses a new list in a new session only. So our hold time changes, too: then a reload resets the sessions of
        the routers that are unlisted or listed again. The router's hold time is the smaller one, and stays in force.
        """
        self._plan = replace(self._plan, unlisted=frozenset((self.machine.name, router) for router in routers))
        self._configure_exabgp()

    def reread_exabgp(self) -> float:
        """Has ExaBGP read its configuration again (SIGUSR1): its processes and its sessions stay; returns the time."""
        assert self._exabgp is not None
        now = time.time()
        self._exabgp.process.send_signal(signal.SIGUSR1)
        return now

    @property
    def exabgp(self) -> Program:
        """As it was started last."""
        assert self._exabgp is not None
        return self._exabgp

    @property
    def recording(self) -> Path:
        """The agent's recording, if the plan has one."""
        return self.directory / "recording"

    @property
    def _runtime(self) -> Path:
        """What stands for the agent's directory in /run."""
        return runtime_directory(self.directory)

    @property
    def _configuration(self) -> Path:
        return self.directory / "exabgp.conf"

    @property
    def _hidden(self) -> Path:
        return self.directory / "exabgp.conf.hidden"

    @property
    def _agent_configuration(self) -> Path:
        return self.directory / "exavrrp.toml"

    def start_service(self) -> None:
        argv = [sys.executable, "-I", str(INSTRUMENTS / "echo.py"), self.machine.name, str(SERVICE_PORT)]
        self._service = self._processes.start(self.namespace, "echo", argv)

    def kill_service(self) -> float:
        """SIGKILL for the echo service; returns the time."""
        assert self._service is not None
        now = time.time()
        self._processes.ending(self._service)
        self._service.process.kill()
        return now

    def start_command(self, *words: str) -> Program:
        """`exavrrp WORDS --config …` as an operator on this server gives it."""
        argv = [str(self._plan.agent), *words, "--config", str(self._agent_configuration)]
        program = self._processes.start(self.namespace, f"exavrrp-{words[0]}", argv)
        self._processes.ending(program)
        return program

    def status(self) -> dict[str, Any]:
        """What `exavrrp status --json` says on this server; raises LabError if it cannot."""
        words = [str(self._plan.agent), "status", "--json", "--config", str(self._agent_configuration)]
        said: dict[str, Any] = json.loads(self.namespace.run(*words))
        return said

    def why(self) -> list[str]:
        """What `exavrrp why` says on this server: statements, with the names of servers for their addresses; raises
        LabError if it cannot.
        """
        return statements(self.namespace.run(str(self._plan.agent), "why", "--config", str(self._agent_configuration)))

    def verdicts(self, since: float) -> list[str]:
        """What it would have said of each transition since then (seconds since the epoch), likewise."""
        words = (str(self._plan.agent), "events", "--json", "--config", str(self._agent_configuration))
        entries = [*filter(None, map(decoded, self.namespace.run(*words).encode().splitlines()))]
        said: list[str] = []
        for place, entry in enumerate(entries):
            if entry.cause is not None and entry.at.time.timestamp() >= since:
                said += [f"Verdict: {verdict(entry.cause, entry)}", origin(entries, place) or ""]
        return [named(one) for one in said if one]

    def start_daemon(self) -> None:
        """Starts the daemon beside ExaBGP, if the site has one."""
        plan = self._plan
        hosts.start(plan.site, self.namespace, self._processes, plan.hold, private=plan.private)

    def start_exabgp(self) -> None:
        program = EXABGP[self._plan.exabgp]
        if not program.exists():
            raise LabError(f"{program} is not there; lab/demo installs it")
        argv = [str(program), str(self._configuration)]
        if self._plan.site.host:
            argv = ["sh", "-c", BESIDE, *argv]
        self._exabgp = self._processes.start(self.namespace, "exabgp", argv, EXABGP_ENVIRONMENT)

    def stop_exabgp(self) -> float:
        """Asks ExaBGP to stop (SIGTERM), as `systemctl stop exabgp` does; returns the time."""
        assert self._exabgp is not None
        now = time.time()
        self._processes.ending(self._exabgp)
        self._exabgp.process.terminate()
        return now

    def reload_exabgp(self, number: signal.Signals = signal.SIGUSR2) -> float:
        """Asks ExaBGP for a full reload (SIGUSR2: its processes are ended and started anew, its sessions stay), or for
        an ordinary one (SIGUSR1: it reads its file anew); returns the time.
        """
        now = time.time()
        self.exabgp.process.send_signal(number)
        return now

    def hide_exabgp_configuration(self) -> None:
        """ExaBGP's file is not there any more, until `restore_exabgp_configuration`."""
        self._configuration.rename(self._hidden)

    def restore_exabgp_configuration(self) -> None:
        """What was hidden is there again; nothing if it was not hidden."""
        if self._hidden.exists():
            self._hidden.rename(self._configuration)

    def arm_power_off(self) -> Callable[[], float]:
        """Returns a function that cuts the power: first the carrier of both links goes, so that no FIN gets out, then
        every process. It returns the time.
        """
        cut = Armed.ip(self.namespace)
        pids = sorted(pid for pid in self.namespace.pids() if pid != cut.pid)

        def fire() -> float:
            now = time.time()
            cut.fire([f"link set {link.member_interface} down" for link in self._plan.site.uplinks(self.machine)])
            # Stopped before any is killed: an agent must not react to ExaBGP's end. Children first, since a stopped
            # process group continues when the last parent outside it ends (setpgid(2)).
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in reversed(pids):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            self.namespace.kill_processes()
            self._processes.forget(self.namespace)
            return now

        return fire

    def power_on(self) -> float:
        """Links, addresses, the service, ExaBGP, with nothing on lo and an empty /run: what a boot does; returns the
        time at which the links began to come up.
        """
        self.namespace.ip(["address flush dev lo", "address add 127.0.0.1/8 dev lo", "address add ::1/128 dev lo"])
        shutil.rmtree(self._runtime, ignore_errors=True)
        now = time.time()
        self.namespace.ip(boot(self._plan.site, self.machine))
        self.start_service()
        self.start_daemon()
        self.start_exabgp()
        return now


class Armed:
    """A program that has started already and waits for its script on stdin, so that firing it takes a fraction of a
    millisecond.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @classmethod
    def ip(cls, namespace: Namespace) -> Armed:
        return cls(["ip", "-n", namespace.name, "-batch", "-"])

    @classmethod
    def nft(cls, namespace: Namespace) -> Armed:
        return cls(namespace.argv("nft", "-f", "-"))

    @property
    def pid(self) -> int:
        return self._process.pid

    def fire(self, lines: Sequence[str]) -> None:
        """Has the lines carried out and returns when that is done; raises LabError."""
        _, complaint = self._process.communicate("\n".join(lines) + "\n", timeout=10)
        if self._process.returncode:
            raise LabError(f"{' '.join(self._argv)}: {complaint.strip()}")


def statements(said: str) -> list[str]:
    """Each in one line: what is folded goes on behind two columns at least."""
    return [named(one) for one in re.sub(r"\n {2,}", " ", said).splitlines()]


def named(said: str) -> str:
    """In one line, with the names of servers for their addresses."""
    names = {str(one.loopback(family)): one.name for one in SERVERS for family in FAMILIES}
    listed = "|".join(map(re.escape, names))
    whole = rf"(?<![\w:.])({listed})(?![.:]?\w)"
    return re.sub(whole, lambda found: names[found[1]], " ".join(said.split()))
