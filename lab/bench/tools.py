"""The tools that race, each set up as a careful operator would, and what an operator does with it.

Owns: their configuration (text, pure), what is started beside ExaBGP, how a planned move is made. Must not know:
events, results.

All of them announce through the same ExaBGP, to the same routers, with the same hold time, and have the address on lo.
Adverts come at the same interval; where there is an election, the priorities are the same.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from lab.addressing import HOST, PRIORITIES, SERVERS, VIRTUAL_ADDRESS, VRID, Family, Machine
from lab.datacentre import DataCentre
from lab.scenarios import NODE1
from lab.servers import EXABGP, ROOT, SERVICE_PORT, ExaBGPLine, ServerPlan
from lab.topology import LabError

CHECKED = "checked"
"A file in a server's directory; its mtime is when a check last found the service there."
CHECK_INTERVAL = 0.1
"Seconds."
FALL = 2
MED = 50
"With which keepalived's glue announces, on each node."

Strike = Callable[[], float]
"Does what was prepared; returns its time (seconds since the epoch)."


def check(directory: Path) -> str:
    """Whether the service listens: a command for a shell, the same for all tools. If it does, CHECKED is written."""
    return f"ss -Hlun sport = :{SERVICE_PORT} | grep -q . && : > {directory / CHECKED}"


class Tool(ABC):
    name: ClassVar[str]
    settings: ClassVar[tuple[str, ...]]
    "what was chosen for it, in words"
    announcers: ClassVar[Sequence[Machine]] = (NODE1,)
    "who announces while nothing is broken"
    adverts: ClassVar[str] = "meta l4proto 112"
    "what drops its adverts (nft)"
    elects: ClassVar[bool] = True

    @abstractmethod
    def plan(self, usual: ServerPlan, *, checked: bool) -> ServerPlan:
        """How the servers differ from the usual; `checked`: the service is watched by a check."""

    def start(self, lab: DataCentre, plan: ServerPlan, *, checked: bool) -> None:  # noqa: B027
        """Starts what runs beside ExaBGP; the routers reach every server already. Raises LabError."""

    @abstractmethod
    def arm_move(self, lab: DataCentre) -> Strike:
        """A planned move away from node1."""


class Exavrrp(Tool):
    name = "exavrrp"
    settings = ("defaults; in `fail-check` a check every 0.1 s, `fall = 2`", "planned move: `exavrrp drain`")

    def plan(self, usual: ServerPlan, *, checked: bool) -> ServerPlan:
        plan = replace(usual, takeover=("med",))  # the agent's own default
        if not checked:
            return plan
        table = (
            "[check.service]",
            f'command = ["/bin/sh", "-c", "{check(Path("$directory"))}"]',
            f"interval = {CHECK_INTERVAL}",
            "timeout = 1.0",
            f"fall = {FALL}",
            "rise = 1",
            "weight = 0",
        )
        return replace(plan, virtual_router=('checks = ["service"]',), tables=table)

    def arm_move(self, lab: DataCentre) -> Strike:
        return lambda: lab.command(NODE1, "drain")


class Glued(Tool):
    """keepalived, its notify FIFO, and a process of ExaBGP's that reads it."""

    interface: ClassVar[str]

    def __init__(self, servers: Sequence[Machine] = SERVERS) -> None:
        """``servers``: where it runs; elsewhere the agent does."""
        self.servers = servers

    def plan(self, usual: ServerPlan, *, checked: bool) -> ServerPlan:  # noqa: ARG002
        prefix = f"{VIRTUAL_ADDRESS[usual.family]}/{HOST[usual.family]}"

        def process(_: Machine, directory: Path) -> str:
            words = [sys.executable, "-I", str(ROOT / "lab/bench/glue.py"), str(fifo(directory)), prefix, str(MED)]
            return shlex.join(words)

        return replace(usual, process={each.name: process for each in self.servers})

    def start(self, lab: DataCentre, plan: ServerPlan, *, checked: bool) -> None:
        for server in self.servers:
            self.start_on(server, lab, plan, checked=checked)

    def start_on(self, server: Machine, lab: DataCentre, plan: ServerPlan, *, checked: bool) -> None:
        """Starts keepalived on one server. Raises LabError."""
        program = found_keepalived()
        namespace, directory = lab.topology[server.name], lab.servers[server.name].directory
        namespace.ip(self.routes(server, plan))
        (directory / "drained").write_text("0\n")
        file = directory / "keepalived.conf"
        file.write_text(self.configuration(server, plan, directory, checked=checked))
        pids = directory / "keepalived.pid", directory / "vrrp.pid"
        for each in pids:
            each.unlink(missing_ok=True)  # a boot finds none
        options = ["--dont-fork", "--log-console", "-f", str(file), "-p", str(pids[0]), "-r", str(pids[1])]
        lab.processes.start(namespace, "keepalived", [program, *options])

    def routes(self, server: Machine, plan: ServerPlan) -> list[str]:  # noqa: ARG002
        """Lines of `ip` that the adverts need."""
        return []

    @abstractmethod
    def ends(self, server: Machine, plan: ServerPlan) -> list[str]:
        """Lines of the instance: between which addresses adverts go."""

    def configuration(self, server: Machine, plan: ServerPlan, directory: Path, *, checked: bool) -> str:
        """keepalived.conf."""
        return "\n".join(
            [
                "global_defs {",
                "  vrrp_version 3",
                f"  vrrp_notify_fifo {fifo(directory)}",
                "  enable_script_security",
                "  script_user root",
                "}",
                f'track_file drained {{\n  file "{directory / "drained"}"\n  weight 1\n}}',
                *([f"vrrp_script service {{\n{script(directory)}}}"] if checked else []),
                "vrrp_instance web {",
                "  state BACKUP",
                f"  interface {self.interface}",
                f"  virtual_router_id {VRID}",
                f"  priority {PRIORITIES[server.name]}",
                f"  advert_int {plan.interval}",
                f"  preempt_delay {PREEMPT_DELAY}",
                *(f"  {line}" for line in self.ends(server, plan)),
                "  track_file {\n    drained\n  }",
                *(["  track_script {\n    service\n  }"] if checked else []),
                f"  virtual_ipaddress {{\n    {VIRTUAL_ADDRESS[plan.family]}/{HOST[plan.family]} dev lo\n  }}",
                "}",
                "",
            ]
        )

    def arm_move(self, lab: DataCentre) -> Strike:
        """A lower priority, by a tracked file: the next node pre-empts while this one still serves."""
        file = lab.servers[NODE1.name].directory / "drained"

        def strike() -> float:
            now = time.time()
            file.write_text("-190\n")
            return now

        return strike


PREEMPT_DELAY = 3
"Seconds: a node that comes back gives its BGP sessions time before it takes the address again."
COMMON = (
    (
        "keepalived runs beside ExaBGP: `vrrp_notify_fifo`, read by a process of ExaBGP's that announces with MED 50;"
        " `virtual_ipaddress … dev lo`"
    ),
    f"`preempt_delay {PREEMPT_DELAY}`: BGP is up again before a node that comes back takes over",
    "in `fail-check` a `vrrp_script`, `interval 1` (the shortest it has), `fall 1`",
    "planned move: a `track_file` lowers the priority, so that the next node pre-empts",
)


def script(directory: Path) -> str:
    """The check, for keepalived: 2.2.7 knows whole seconds only."""
    lines = [f"script \"/bin/sh -c '{check(directory)}'\"", "interval 1", "timeout 1", "rise 1", "fall 1"]
    return "".join(f"  {line}\n" for line in lines)


def fifo(directory: Path) -> Path:
    """keepalived's notify FIFO on a server."""
    return directory / "notify.fifo"


def found_keepalived() -> str:
    """Raises LabError if it is not installed."""
    if not (found := shutil.which("keepalived")):
        raise LabError("keepalived is not installed; lab/bench/run installs it")
    return found


class Keepalived(Glued):
    """Unicast over the first uplink, between addresses of its links."""

    name = "keepalived+exabgp"
    settings = ("unicast from one uplink's address to the peers', over that uplink", *COMMON)
    interface = "eth0"

    def ends(self, server: Machine, plan: ServerPlan) -> list[str]:
        family = plan.family
        addresses = {each.name: plan.site.uplinks(each)[0].address_of_member(family) for each in SERVERS}
        own = addresses.pop(server.name)
        peers = [str(each) for each in addresses.values()]
        return [f"unicast_src_ip {own}", "check_unicast_src", "unicast_ttl 255", "unicast_peer {", *peers, "}"]

    def routes(self, server: Machine, plan: ServerPlan) -> list[str]:
        """The links' addresses are in no routing protocol: to each peer's over the router that both have in common."""
        link, family = plan.site.uplinks(server)[0], plan.family
        peers = [plan.site.uplinks(each)[0].address_of_member(family) for each in SERVERS if each is not server]
        via = f"via {link.address_of_router(family)} dev {link.member_interface}"
        return [f"route replace {peer}/{HOST[family]} {via}" for peer in peers]


class KeepalivedVxlan(Glued):
    """Multicast in a VXLAN over both uplinks."""

    name = "keepalived-vxlan"
    settings = (
        (
            "multicast in a VXLAN between the loopback addresses, with a forwarding entry for each peer and a traffic"
            " class (as `exavrrp vxlan` makes it)"
        ),
        *COMMON,
    )
    interface = "vxlan7"
    adverts = "udp dport 4789"

    def plan(self, usual: ServerPlan, *, checked: bool) -> ServerPlan:
        return replace(super().plan(usual, checked=checked), overlay=True)

    def ends(self, server: Machine, plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return []


class Healthcheck(Tool):
    """Anycast: every node announces, with a metric of its own."""

    name = "healthcheck"
    settings = (
        (
            "`exabgp healthcheck` of 5.0 on every node: `interval 0.1`, `fast-interval 0.1`, `rise 1`, `fall 2`,"
            " `withdraw-on-down`, `debounce`; the address on lo of every node, `up-metric` 100, 200, 300"
        ),
        "no election: more than one node may answer at a time",
        "planned move: its `disable` file",
    )
    announcers = SERVERS
    elects = False

    def plan(self, usual: ServerPlan, *, checked: bool) -> ServerPlan:  # noqa: ARG002
        def process(machine: Machine, directory: Path) -> str:
            file = directory / "healthcheck.conf"
            file.write_text(self.configuration(machine, usual.family, directory))
            python = EXABGP[usual.exabgp].with_name("python")
            return shlex.join([str(python), "-m", "exabgp", "healthcheck", "--config", str(file)])

        return replace(usual, process={each.name: process for each in SERVERS})

    def configuration(self, machine: Machine, family: Family, directory: Path) -> str:
        """Its file, of long options."""
        lines = [
            "no-syslog",
            f"interval = {CHECK_INTERVAL}",
            f"fast-interval = {CHECK_INTERVAL}",
            "timeout = 1",
            "rise = 1",
            f"fall = {FALL}",
            f"command = {check(directory)}",
            f"ip = {VIRTUAL_ADDRESS[family]}/{HOST[family]}",
            f"up-metric = {100 * (1 + SERVERS.index(machine))}",
            "withdraw-on-down",
            "debounce",
            f"disable = {directory / 'disabled'}",
        ]
        return "\n".join(lines) + "\n"

    def arm_move(self, lab: DataCentre) -> Strike:
        file = lab.servers[NODE1.name].directory / "disabled"

        def strike() -> float:
            now = time.time()
            file.touch()
            return now

        return strike


TOOLS: dict[str, Tool] = {each.name: each for each in (Exavrrp(), Keepalived(), KeepalivedVxlan(), Healthcheck())}
LINE: ExaBGPLine = "5"
"Of ExaBGP under all tools: its health check is that of 5.0."
