"""Round trip: each kind of keepalived.conf is imported, and the import takes the place of the keepalived it came from.

Two pairs of hosts do the same at the same time: in one both run keepalived, in the other the imported configuration has
the place of the first. The file is one for both nodes (``@a``, ``@b``). Node a starts, then b; a stops, and starts
again. What is seen of the elections on the wire, and what the notify program of a is told, has to be the same.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.system import running
from tests.system.conftest import cable
from tests.system.running import AGENT, HOLD, LINGER, Fabric, Host, Sniffer, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Namespace, Need

pytestmark = pytest.mark.system

LAN = "eth2"
OWN = {(4, "a"): "10.9.0.11", (4, "b"): "10.9.0.12", (6, "a"): "fe80::11", (6, "b"): "fe80::12"}
TUNNEL = {"a": "10.8.0.11", "b": "10.8.0.12"}
LENGTH = {4: 24, 6: 64}
VIP = {4: "192.0.2.53/32", 6: "2001:db8:53::1/128"}

CONFIGURATION = """
global_defs {{
    {defaults}
    script_user root
}}
{outside}
vrrp_instance web {{
    state BACKUP
    interface {interface}
    virtual_router_id 7
    advert_int {interval}
    @a priority {a}
    @b priority {b}
    notify "{directory}/notify.sh"
    {more}
    virtual_ipaddress {{
        {vip} dev lo
    }}
}}
"""
MULTICAST = "@a mcast_src_ip {own_a}\n@b mcast_src_ip {own_b}"
UNICAST = """
@a unicast_src_ip {own_a}
@b unicast_src_ip {own_b}
unicast_peer {{
    @^a {own_a}
    @^b {own_b}
}}
unicast_ttl 255
"""
GROUP = """
vrrp_instance db {{
    interface {interface}
    virtual_router_id 8
    advert_int {interval}
    @a priority 150
    @b priority 100
    @a mcast_src_ip {own_a}
    @b mcast_src_ip {own_b}
    virtual_ipaddress {{ 192.0.2.54/32 dev lo }}
}}
vrrp_sync_group pair {{
    group {{
        web
        db
    }}
}}
"""
SCRIPT = """
vrrp_script s {{{{
    script "/bin/{program}"
    interval 1
    weight {weight}
}}}}
"""


@dataclass(frozen=True)
class Kind:
    """One kind of configuration."""

    more: str = MULTICAST
    """lines of the instance"""
    outside: str = ""
    defaults: str = "vrrp_version 3"
    family: running.Family = 4
    interface: str = LAN
    interval: str = "0.2"
    enough: int = 3
    """adverts of one node in a row, after which the other one is taken to be silent"""
    priorities: tuple[int, int] = (150, 100)
    """of a and b, as written"""
    actives: str = "aba"
    """who serves when b has started, when a has stopped, and when a has started again; shorter: it ends there"""
    includes: dict[str, str] = field(default_factory=dict)


PASSWORD = "authentication {{\n    auth_type PASS\n    auth_pass s3cret\n}}\n"
NOTIFY = """
notify_master "{directory}/notify.sh now 'the master'"
notify_backup "{directory}/notify.sh no more"
notify_stop "{directory}/notify.sh stop"
"""
MANY = "".join(f"    198.51.100.{number}/32 dev lo\n" for number in range(1, 100))
TRACKED = "@a track_script {{ s }}"
OTHER = "eth3"
WEIGHTED = f"track_interface {{{{ {OTHER} weight 20 }}}}"
SOURCES = "$SOURCES= \\\n    @a mcast_src_ip {own_a} \\\n    @b mcast_src_ip {own_b}\n"

KINDS = {
    "multicast": Kind(),
    "unicast": Kind(UNICAST),
    "vxlan": Kind(MULTICAST.replace("{own_", "{tunnel_"), interface="vx1"),
    "ipv6": Kind(family=6),
    "version-2": Kind(f"{MULTICAST}\n{PASSWORD}", defaults="", interval="1", enough=2, actives="ab"),
    "group": Kind(outside=GROUP),
    "weight-in-a-group": Kind(
        f"{MULTICAST}\n{WEIGHTED}", GROUP.replace("    virtual_ip", f"    {WEIGHTED}\n    virtual_ip")
    ),
    "negative-weight": Kind(f"{MULTICAST}\n{TRACKED}", SCRIPT.format(program="false", weight=-70), actives="bbb"),
    "script": Kind(f"{MULTICAST}\n{TRACKED}", SCRIPT.format(program="true", weight=0)),
    "positive-weight": Kind(f"{MULTICAST}\n{TRACKED}", SCRIPT.format(program="true", weight=70), priorities=(90, 100)),
    "nopreempt": Kind(f"{MULTICAST}\nnopreempt", actives="abb"),
    "notify": Kind(f"{MULTICAST}\n{NOTIFY}"),
    "many-addresses": Kind(f"{MULTICAST}\nvirtual_ipaddress_excluded {{{{\n{MANY}}}}}"),
    "includes": Kind(
        "include parts/*.conf",
        SOURCES,
        includes={
            "parts/one.conf": "$SOURCES\n",
            "parts/two.conf": "include more.inc\n",
            "parts/more.inc": "nopreempt\n",
        },
        actives="abb",
    ),
}


class Pair:
    """Two hosts on one link; b runs keepalived."""

    def __init__(self, kind: Kind, a: Namespace, b: Namespace, directory: Path, program: str) -> None:
        self.kind, self.hosts, self.directory, self.program = kind, {"a": a, "b": b}, directory, program
        for link in (LAN, OTHER):
            cable(a, link, b, link)
        for name, host in self.hosts.items():
            host.ip(f"link set {LAN} addrgenmode none")
            for family in (4, 6):
                own = f"{OWN[family, name]}/{LENGTH[family]}"
                host.ip(f"addr replace {own} dev {LAN}{' nodad' if family == 6 else ''}")
            if kind.interface != LAN:
                self._tunnel(name)
        self.conf = directory / "keepalived.conf"
        for name, text in {"keepalived.conf": CONFIGURATION, **kind.includes}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._filled(text))
        for name in self.hosts:
            (directory / name).mkdir(exist_ok=True)
        script = directory / "notify.sh"
        who = f"$(ip -oneline address | grep -q ' {OWN[4, 'a']}/' && echo a || echo b)"
        script.write_text(f'#!/bin/sh\necho "$@" >> {directory}/told-{who}\n')
        script.chmod(0o755)
        self.keepaliveds: dict[str, subprocess.Popen[str]] = {}
        self.sniffers = {name: Sniffer(host) for name, host in self.hosts.items()}

    def _tunnel(self, name: str) -> None:
        """A VXLAN to the other host."""
        host, other = self.hosts[name], "b" if name == "a" else "a"
        host.ip(
            f"link add vx1 type vxlan id 42 dev {LAN} local {OWN[4, name]} dstport 4789 nolearning\n"
            f"addr add {TUNNEL[name]}/24 dev vx1\nlink set vx1 up"
        )
        host.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx1", "dst", OWN[4, other])

    def _filled(self, text: str) -> str:
        kind = self.kind
        values = {
            **{f"own_{name}": OWN[kind.family, name] for name in "ab"},
            **{f"tunnel_{name}": TUNNEL[name] for name in "ab"},
            **dict(zip("ab", map(str, kind.priorities), strict=True)),
            "interface": kind.interface,
            "interval": kind.interval,
            "defaults": kind.defaults,
            "directory": str(self.directory),
            "vip": VIP[kind.family],
        }
        values |= {"more": kind.more.format(**values), "outside": kind.outside.format(**values)}
        return text.format(**values)

    def keepalived(self, name: str) -> None:
        """Start keepalived on a host."""
        files = [word for option in "pr" for word in (f"-{option}", str(self.directory / name / option))]
        with (self.directory / f"{name}.log").open("a") as log:
            self.keepaliveds[name] = self.hosts[name].popen(
                [self.program, "-n", "-l", "-P", "-i", name, "-f", str(self.conf), *files], stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start node a."""
        self.keepalived("a")

    def stop(self) -> None:
        """Stop node a in order."""
        self.keepaliveds["a"].send_signal(signal.SIGTERM)
        self.keepaliveds["a"].wait(running.LIMIT)

    def told(self) -> list[str]:
        """What the notify programs of a were told, one program after the other: keepalived runs them at the same time.

        Of a Backup without the priority, which the first results of scripts change.
        """
        path = self.directory / "told-a"
        lines = path.read_text().splitlines() if path.exists() else []
        told = [re.sub(r"(BACKUP) \d+$", r"\1", line) for line in lines]
        return sorted(told, key=lambda line: line.startswith("INSTANCE"))

    def seen(self) -> list[tuple[float, str, int, int]]:
        """Adverts: (when, of whom, VRID, priority)."""
        own = {address: name for (_, name), address in OWN.items()} | {
            address: name for name, address in TUNNEL.items()
        }
        copies = [copy for sniffer in self.sniffers.values() for copy in sniffer.copies()]
        return sorted((copy.at, own[copy.source], copy.vrid, copy.priority) for copy in copies if copy.source in own)

    def serves(self, name: str, since: float) -> None:
        """Wait for enough adverts of a node in a row, after ``since``, for each virtual router."""
        enough = self.kind.enough

        def settled() -> bool:
            seen = self.seen()
            last = {
                vrid: [who for when, who, other, _ in seen if when >= since and other == vrid][-enough:]
                for vrid in {vrid for _, _, vrid, _ in seen}
            }
            return bool(last) and all(ones == [name] * enough for ones in last.values())

        wait_until(settled, lambda: f"{name} to serve: {self.seen()[-20:]}\n{self.logs()}")

    def close(self) -> None:
        for sniffer in self.sniffers.values():
            sniffer.close()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.directory.glob("*.log"))

    def history(self) -> list[tuple[str, int, int]]:
        """For each VRID who has sent which priorities, in the order of the first of each."""
        found = dict.fromkeys((who, vrid, priority) for _, who, vrid, priority in self.seen())
        return sorted(found, key=lambda one: one[1])


class Imported(Pair):
    """The same, with the imported configuration in the place of keepalived on a."""

    def __init__(self, kind: Kind, fabric: Fabric, directory: Path, program: str) -> None:
        super().__init__(kind, fabric.a.namespace, fabric.b.namespace, directory, program)
        self.agent: Host = fabric.a
        made = directory / "made"
        done = fabric.a.namespace.run(*AGENT, "import", str(self.conf), "--id", "a", "-o", str(made))
        assert "To fill in (1)" in done, done  # ExaBGP's neighbors
        # ExaBGP closes its sessions before it says that it stops: where some are needed, that may be a fault first.
        settings = f"handover_hold = {HOLD}\nlinger = {LINGER}\nmin_sessions = 0"
        lines = {
            "agent": f'state_directory = "{fabric.a.directory / "run"}"\npersistent_directory = "{directory / "lib"}"',
            "virtual_router.web": settings,
            "virtual_router.db": settings,
        }
        text = (made / "exavrrp.toml").read_text()
        for table, more in lines.items():
            text = text.replace(f"[{table}]\n", f"[{table}]\n{more}\n")
        (fabric.a.directory / "exavrrp.toml").write_text(text)

    def start(self) -> None:
        self.agent.start()

    def stop(self) -> None:
        self.agent.exabgp.terminate()
        self.agent.exabgp.wait(running.LIMIT)

    def logs(self) -> str:
        return f"{super().logs()}\n{self.agent.log.tell()}\n{(self.agent.directory / 'exavrrp.toml').read_text()}"


@pytest.fixture(params=KINDS)
def pairs(
    request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need, tmp_path: Path
) -> Iterator[tuple[Pair, Imported]]:
    program, kind = need("keepalived"), KINDS[request.param]
    for name in ("both", "one"):
        (tmp_path / name).mkdir()
    with running.fabric(namespace, need, kind.family) as fabric, contextlib.ExitStack() as stack:
        both = Pair(kind, namespace(), namespace(), tmp_path / "both", program)
        stack.callback(both.close)
        one = Imported(kind, fabric, tmp_path / "one", program)
        stack.callback(one.close)
        yield both, one


def test_an_imported_configuration_takes_the_place_of_its_keepalived(pairs: tuple[Pair, Imported]) -> None:
    kind = pairs[0].kind
    for pair in pairs:
        pair.start()
    for pair in pairs:
        pair.serves("a", 0)
        pair.keepalived("b")
    for step, active in zip((None, Pair.stop, Pair.start), kind.actives, strict=False):
        since = time.time()
        for pair in pairs:
            if step is not None:
                getattr(pair, step.__name__)()
        for pair in pairs:
            pair.serves(active, since)
    both, one = pairs
    assert one.history() == both.history()
    wait_until(lambda: both.told() and one.told() == both.told(), lambda: f"{one.told()} to be {both.told()}")
