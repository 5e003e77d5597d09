"""The examples in exabgp/, unchanged: each is really started, by a non-root user.

ExaBGP runs in a network namespace made to fit the example, with /etc, /run, /var/lib and /opt of its own in which the
files are where they say they belong. Its user and its capabilities are what the systemd drop-in says, and not one more.
The router at the other end is BIRD; there the adverts to the other nodes arrive, too.
"""

import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomli
from click.testing import CliRunner

from exavrrp.cli import UNANSWERED, main
from tests.system.running import LIMIT, LINES, listens, reachable, wait_until

if TYPE_CHECKING:
    from tests.system.conftest import Namespace, Need

Address = IPv4Address | IPv6Address

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "exabgp"
DROP_IN = EXAMPLES / "exabgp.service.d" / "exavrrp.conf"
NOBODY = 65534
"""In place of the drop-in's user, which does not exist without ExaBGP's package."""
VRRP = 112
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}

STOCK_UNIT = """
[Unit]
Description=ExaBGP
After=network.target
ConditionPathExists=/etc/exabgp/exabgp.conf

[Service]
Environment=exabgp_daemon_daemonize=false
User=exabgp
Group=exabgp
RuntimeDirectory=exabgp
RuntimeDirectoryMode=0750
ExecStartPre=-/bin/true
ExecStart=/bin/true /etc/exabgp/exabgp.conf
ExecReload=/bin/kill -USR1 $MAINPID
Restart=always
CapabilityBoundingSet=CAP_NET_ADMIN
AmbientCapabilities=CAP_NET_ADMIN

[Install]
WantedBy=multi-user.target
"""
"""As in Debian's package of 4.2.21, which is what most drop-ins will be dropped into; other programs."""

BIRD = """
router id 10.255.255.1;
protocol device {{ }}
template bgp node {{ local as {router_as}; passive; error wait time 1, 1; }}
{sessions}
"""
SESSION = """
protocol bgp from node {{
    local {router}; neighbor {node} as {node_as};
    ipv{version} {{ import all; export none; }};
}}
"""


def settings(*units: str) -> dict[str, list[str]]:
    """Setting → words, of [Service], as systemd merges a unit with its drop-ins."""
    found: dict[str, list[str]] = {}
    for unit in units:
        section = ""
        for line in unit.splitlines():
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and not line.startswith("#"):
                name, _, value = line.partition("=")
                listed = name.endswith(("Set", "Capabilities", "Directory"))
                found[name] = [*found.get(name, []), *value.split()] if listed and value else value.split()
    return found


SERVICE = settings(STOCK_UNIT, DROP_IN.read_text())

RESET, *RELOAD = re.findall(r"^ExecReload=(.*)$", DROP_IN.read_text(), re.MULTILINE)
"""What systemd runs for a reload, one after the other until one fails; first of all, what takes the place of the unit's
own."""


def test_drop_in_grants_two_capabilities_and_no_more() -> None:
    assert sorted(SERVICE["AmbientCapabilities"]) == sorted(CAPABILITIES)
    assert sorted(SERVICE["CapabilityBoundingSet"]) == sorted(CAPABILITIES)
    assert SERVICE["User"] == SERVICE["Group"] == ["exabgp"]
    assert SERVICE["RuntimeDirectory"] == ["exabgp", "exavrrp"]
    # Otherwise systemd's SIGTERM arrives before ExaBGP has told the agent why it ends.
    assert SERVICE["KillMode"] == ["mixed"]


def test_drop_in_keeps_what_the_next_agent_needs() -> None:
    """Until the next boot: systemd would remove the directory at each stop."""
    assert SERVICE["RuntimeDirectoryPreserve"] == ["yes"]


def test_drop_in_hands_over_before_it_stops(tmp_path: Path) -> None:
    """The command of the drop-in is valid, and ends at once without an agent."""
    program, *arguments = SERVICE["ExecStop"]
    runs = {one for text in EXAMPLE.values() for one in re.findall(r"^\s*run (\S+) run", text, re.MULTILINE)}
    assert program.startswith("-"), "a failure does not keep systemd from stopping"
    assert {program.removeprefix("-")} == runs, "the same program"
    limit = float(arguments[arguments.index("--timeout") + 1])
    assert limit > 600, "more than the longest handover_ceiling"
    assert float(SERVICE["TimeoutStopSec"][0].removesuffix("s")) > 30, "more than its default"
    assert SERVICE["NotifyAccess"] == ["all"], "exavrrp asks for more, and it is not the main process"
    elsewhere = tmp_path / "exavrrp.toml"  # whatever this machine runs is left alone
    elsewhere.write_text(f'[agent]\nstate_directory = "{tmp_path}"\n')
    done = CliRunner().invoke(main, [*arguments, "--config", str(elsewhere)])
    assert done.exit_code == UNANSWERED
    assert f"no agent listens at {tmp_path}/control.sock" in done.stderr


def test_drop_in_cleans_up_after_it_was_stopped(tmp_path: Path) -> None:
    program, *arguments = SERVICE["ExecStopPost"]
    assert program == SERVICE["ExecStop"][0]
    configuration = (EXAMPLES / "exavrrp.toml").read_text()
    elsewhere = tmp_path / "exavrrp.toml"
    elsewhere.write_text(configuration.replace("[agent]", f'[agent]\nstate_directory = "{tmp_path}/run"', 1))
    done = CliRunner().invoke(main, [*arguments, "--config", str(elsewhere)])
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.system
@pytest.mark.parametrize("line", LINES)
def test_drop_in_tries_a_file_before_it_is_reloaded(line: str, tmp_path: Path, need: "Need") -> None:
    """The command of the drop-in fails for a file that does not load, so that systemd does not reload ExaBGP."""
    trial, *_ = RELOAD
    *command, _ = shlex.split(trial.replace("$$", "$"))
    good = EXAMPLE["4.2" if line.startswith("4") else "5.0"].replace("/opt/exavrrp/bin/exavrrp", "/bin/true")
    stanza = re.search(r"^process .*?^}\n", good, re.MULTILINE | re.DOTALL)
    assert stanza
    assert not re.search(r"^\w", good[: stanza.start()], re.MULTILINE), "nothing stands before the stanza"
    environment = {**os.environ, "PATH": f"{program_of(line, need).parent}:/usr/bin:/bin"}
    file = tmp_path / "exabgp.conf"

    def tried() -> int:
        return subprocess.run([*command, str(file)], env=environment, capture_output=True, check=False).returncode

    assert tried() != 0, "it is not there"
    for bad in ("", good.replace(stanza[0], ""), f"nonsense {{\n{good}", f"{good}nonsense {{\n"):
        file.write_text(bad)
        assert tried() != 0, bad
    file.write_text(good)
    assert tried() == 0


def test_drop_in_is_understood_by_systemd(need: "Need", tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    (tmp_path / "exabgp.service").write_text(STOCK_UNIT)
    directory = tmp_path / "exabgp.service.d"
    directory.mkdir()
    written = directory / DROP_IN.name

    def verify(text: str) -> subprocess.CompletedProcess[str]:
        written.write_text(text)
        return subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "exabgp.service")],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
            capture_output=True,
            text=True,
            check=False,
        )

    good = verify(DROP_IN.read_text())
    assert (good.returncode, good.stdout + good.stderr) == (0, "")
    bad = verify(DROP_IN.read_text().replace("KillMode=mixed", "KillMode=sometimes"))
    assert "kill mode" in bad.stderr, "the drop-in is looked at"


def test_the_exporter_s_unit_is_understood_by_systemd(need: "Need", tmp_path: Path) -> None:
    text = (ROOT / "monitoring" / "exavrrp-exporter.service").read_text()
    unit = tmp_path / "exavrrp-exporter.service"

    def verify(text: str) -> subprocess.CompletedProcess[str]:
        unit.write_text(text.replace("/opt/exavrrp/bin/exavrrp", "/bin/true"))
        return subprocess.run(
            [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", str(unit)],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
            capture_output=True,
            text=True,
            check=False,
        )

    good = verify(text)
    assert (good.returncode, good.stdout + good.stderr) == (0, "")
    assert verify(text.replace("Restart=always", "Restart=perhaps")).stderr != ""


def test_a_prometheus_elsewhere_is_let_through_to_the_exporter() -> None:
    """What the page says about it is complete: the unit alone drops the packets of all other hosts."""
    unit = settings((ROOT / "monitoring" / "exavrrp-exporter.service").read_text())
    assert (unit["IPAddressDeny"], unit["IPAddressAllow"]) == (["any"], ["localhost"])
    page = (ROOT / "monitoring" / "prometheus.yml").read_text()
    (drop_in,) = re.findall(r"(?m)^#   \[Service\]\n(?:#   .*\n)+", page)
    more = settings(re.sub(r"(?m)^#   ", "", drop_in))
    assert more["ExecStart"][:-1] == [*unit["ExecStart"], "--address"]
    assert [ip_address(one) for one in more["IPAddressAllow"]]


def test_configuration_is_understood_by_exavrrp() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "exavrrp", "check", "--elsewhere", str(EXAMPLES / "exavrrp.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_nothing_here_shadows_the_package_of_exabgp() -> None:
    assert not list(EXAMPLES.rglob("*.py"))


@dataclass(frozen=True)
class Session:
    """One neighbor of an exabgp.conf."""

    router: Address
    node: Address
    families: list[str]


def sessions_of(configuration: str) -> list[Session]:
    found = []
    for block in re.findall(r"^neighbor .*?^}", configuration, re.MULTILINE | re.DOTALL):
        text = re.sub(r"#.*", "", block)
        peer, local = re.search(r"neighbor (\S+) ", text), re.search(r"local-address (\S+);", text)
        assert peer is not None
        assert local is not None
        found.append(Session(ip_address(peer[1]), ip_address(local[1]), re.findall(r"(ipv[46]) unicast;", text)))
    return found


def routes_of(configuration: str) -> set[str]:
    """The prefixes of static routes in an exabgp.conf."""
    return set(re.findall(r"^[^#\n]*\broute (\S+) next-hop", configuration, re.MULTILINE))


STANZA_NEIGHBORS = """
neighbor 2001:db8:1:1::1 {
    router-id 192.0.2.11; local-address 2001:db8:1:1::2; local-as 65010; peer-as 65000;
    inherit exavrrp;
    family { ipv6 unicast; }
    static { route 2001:db8:ff::11/128 next-hop self; }
}
neighbor 10.1.1.1 {
    router-id 192.0.2.11; local-address 10.1.1.2; local-as 65010; peer-as 65000;
    inherit exavrrp;
    family { ipv4 unicast; }
    static { route 192.0.2.11/32 next-hop self; }
}
"""
"""A configuration that a site may have had before, and the one further line."""

EXAMPLE = {
    "4.2": (EXAMPLES / "exabgp-4.2.conf").read_text(),
    "5.0": (EXAMPLES / "exabgp-5.0.conf").read_text(),
    "stanza": (EXAMPLES / "stanza.conf").read_text() + STANZA_NEIGHBORS,
}


class Site:
    """The node of the example, and its routers: one namespace with a cable for each."""

    def __init__(
        self,
        configuration: str,
        namespace: "Callable[[], Namespace]",
        cable: "Callable[[Namespace, str, Namespace, str], None]",
        directory: Path,
    ) -> None:
        self.directory = directory
        self.configuration = configuration
        self.agent = tomli.loads((EXAMPLES / "exavrrp.toml").read_text())
        self.node, self.router = namespace(), namespace()
        self.sessions = sessions_of(configuration)
        self._control = directory / "bird.ctl"
        self._log = directory / "exabgp.log"
        for version, length in ((4, 24), (6, 64)):
            ways = []
            for number, session in enumerate(one for one in self.sessions if one.router.version == version):
                if version == 4:
                    cable(self.node, f"eth{number}", self.router, f"eth{number}")
                self.node.ip(f"addr add {session.node}/{length} dev eth{number}")
                self.router.ip(f"addr add {session.router}/{length} dev eth{number}")
                ways.append(f"nexthop via {session.router} dev eth{number}")
            self.node.ip(f"route add default {' '.join(ways)}", f"-{version}")
        for own in self.agent["agent"]["sources"]:
            self.node.ip(f"addr add {own} dev lo")
        for peer in self.agent["agent"]["peers"]:
            self.router.ip(f"addr add {peer} dev lo")

    @property
    def virtual(self) -> set[str]:
        routers = self.agent["virtual_router"].values()
        return {f"{one}/{ip_address(one).max_prefixlen}" for router in routers for one in router["addresses"]}

    def start_bird(self) -> None:
        def number(name: str) -> str:
            return str(re.findall(rf"{name} (\d+);", self.configuration)[0])

        sessions = "".join(
            SESSION.format(router=one.router, node=one.node, version=one.router.version, node_as=number("local-as"))
            for one in self.sessions
        )
        path = self.directory / "bird.conf"
        path.write_text(BIRD.format(router_as=number("peer-as"), sessions=sessions))
        self.router.popen(["bird", "-f", "-c", str(path), "-s", str(self._control)], stderr=subprocess.DEVNULL)
        wait_until(lambda: listens(self._control), "BIRD")

    def routes(self) -> dict[str, set[str]]:
        """Prefix → next hops, in the kernel table of the routers."""
        found: dict[str, set[str]] = {}
        prefix = ""
        for line in self.router.run("birdc", "-s", str(self._control), "show", "route").splitlines():
            if begin := re.match(r"([0-9a-f.:]+/\d+)\s", line):
                prefix = begin[1]
            if hop := re.search(r"via (\S+) on", line):
                found.setdefault(prefix, set()).add(hop[1])
        return found

    def on_lo(self) -> set[str]:
        listed = self.node.run("ip", "-oneline", "address", "show", "dev", "lo")
        return set(re.findall(r"inet6? (\S+)", listed))

    def log(self) -> str:
        """The log of ExaBGP and the agent."""
        return self._log.read_text()

    def told(self) -> str:
        return f"routers: {self.routes()}\nlo: {self.on_lo()}\n{self.log()[-4000:]}"

    def start_exabgp(self, program: Path, interval: float = 0.1) -> "subprocess.Popen[str]":
        """Starts ExaBGP as systemd would: one process sets everything up, and then executes ExaBGP."""
        (self.directory / "exabgp.conf").write_text(self.configuration)
        agent = (EXAMPLES / "exavrrp.toml").read_text()
        assert "advert_interval = 0.1 " in agent
        (self.directory / "exavrrp.toml").write_text(agent.replace("interval = 0.1 ", f"interval = {interval} "))
        uid, gid = NOBODY, NOBODY
        homes = {Path(one).resolve().parents[1] for one in (sys.executable, program.parent / "python")}
        become = (
            f"exec setpriv --reuid {uid} --regid {gid} --clear-groups"
            f" --bounding-set {_setpriv('CapabilityBoundingSet')} --inh-caps {_setpriv('AmbientCapabilities')}"
            f" --ambient-caps {_setpriv('AmbientCapabilities')} {shlex.quote(str(program))} /etc/exabgp/exabgp.conf"
        )
        script = [
            "set -eu",
            "mount --make-rprivate /",
            "mount -t tmpfs tmpfs /mnt",
            *reachable([*homes, ROOT, program.parents[1], self.directory]),
            "mkdir /mnt/etc; mount -t tmpfs -o mode=755 tmpfs /mnt/etc; cp -a /etc/. /mnt/etc",
            "mount --move /mnt/etc /etc",
            f"install -D -m 644 {self.directory}/exabgp.conf /etc/exabgp/exabgp.conf",
            f"install -D -m 644 {self.directory}/exavrrp.toml /etc/exavrrp/exavrrp.toml",
            "mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /var/lib",
            *(f"install -d -o {uid} -g {gid} -m 750 /run/{one}" for one in SERVICE["RuntimeDirectory"]),
            *(f"install -d -o {uid} -g {gid} -m 750 /var/lib/{one}" for one in SERVICE["StateDirectory"]),
            "mount -t tmpfs -o mode=755 tmpfs /opt; mkdir -p /opt/exavrrp/bin",
            f"ln -s {shlex.quote(str(Path(sys.executable).parent / 'exavrrp'))} /opt/exavrrp/bin/exavrrp",
            become,
        ]
        with self._log.open("w") as log:
            return self.node.popen(
                ["unshare", "--mount", "sh", "-c", "\n".join(script)],
                env={**os.environ, "exabgp_daemon_daemonize": "false", "exabgp_log_level": "INFO"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )


def _setpriv(name: str) -> str:
    return ",".join(["-all", *(f"+{one.removeprefix('CAP_').lower()}" for one in SERVICE[name])])


@pytest.fixture
def build(
    need: "Need",
    namespace: "Callable[[], Namespace]",
    cable: "Callable[[Namespace, str, Namespace, str], None]",
    tmp_path: Path,
) -> Callable[[str], Site]:
    for tool in ("bird", "birdc", "setpriv", "unshare"):
        need(tool)
    mapped = any(
        int(first) <= NOBODY < int(first) + int(count)
        for first, _, count in map(str.split, Path("/proc/self/uid_map").read_text().splitlines())
    )
    need(reason="no user besides root in this user namespace", unless=mapped)

    def build(example: str) -> Site:
        site = Site(EXAMPLE[example], namespace, cable, tmp_path)
        site.start_bird()
        return site

    return build


def program_of(line: str, need: "Need") -> Path:
    default = ROOT / ".envs" / f"exabgp{line}"
    program = Path(os.environ.get(f"EXAVRRP_EXABGP{line}", default)) / "bin" / "exabgp"
    need(
        reason=f"no {program}; UV_PROJECT_ENVIRONMENT=.envs/exabgp{line} uv sync --only-group exabgp{line}",
        unless=program.exists(),
    )
    return program


def status(process: int) -> dict[str, list[str]]:
    """/proc/PID/status (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def children(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.system
@pytest.mark.parametrize(("example", "line"), [("4.2", "4"), ("5.0", "5"), ("stanza", "4"), ("stanza", "5")])
def test_example_runs(example: str, line: str, build: Callable[[str], Site], need: "Need") -> None:
    program = program_of(line, need)
    site = build(example)
    adverts = adverts_to(site)
    with ExitStack() as closing:
        for one in adverts.values():
            closing.enter_context(one)
        exabgp = site.start_exabgp(program)

        # What we announce and what the example announces by itself, over every session of the family.
        def announced() -> bool:
            routes = site.routes()
            return all(
                routes.get(prefix) == {str(one.node) for one in site.sessions if one.node.version == version}
                for prefix in site.virtual | routes_of(site.configuration)
                for version in [ip_address(prefix.partition("/")[0]).version]
            )

        wait_until(announced, site.told)
        assert len(site.virtual) == 2
        assert len(routes_of(site.configuration)) == 2
        assert site.virtual <= site.on_lo()

        # Raw sockets: an advert for each peer has arrived.
        for peer, waiting in adverts.items():
            ready, _, _ = select.select([waiting], [], [], LIMIT)
            assert ready, f"no advert to {peer}"

        # By a user who is not root, with these two capabilities and no way to another one.
        (agent,) = children(exabgp.pid)
        two = [f"{sum(1 << bit for bit in CAPABILITIES.values()):016x}"]
        for process in (exabgp.pid, agent):
            found = status(process)
            assert found["Uid"] == found["Gid"] == [str(NOBODY)] * 4
            assert all(found[name] == two for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")), found
        command = Path(f"/proc/{agent}/cmdline").read_bytes()
        assert b"exavrrp\0run\0--config\0/etc/exavrrp/exavrrp.toml\0" in command

        # As with KillMode=mixed: ExaBGP alone gets the signal, and nothing of us stays behind.
        exabgp.terminate()
        exabgp.wait(LIMIT)
        wait_until(lambda: not site.virtual & site.on_lo(), site.told)
        wait_until(lambda: not site.routes(), site.told)
        wait_until(lambda: not Path(f"/proc/{agent}").exists(), "the end of the agent")


def adverts_to(site: Site) -> dict[str, socket.socket]:
    """Peer → a socket that receives the adverts to it."""
    found = {}
    with site.router:
        for peer in site.agent["agent"]["peers"]:
            family = socket.AF_INET if ip_address(peer).version == 4 else socket.AF_INET6
            found[peer] = socket.socket(family, socket.SOCK_RAW, VRRP)
            found[peer].bind((peer, 0))
    return found


@pytest.mark.system
@pytest.mark.parametrize("line", ["4.2.21", "5"])
def test_a_reload_that_fails_with_two_capabilities(line: str, build: Callable[[str], Site], need: "Need") -> None:
    """The caretaker runs as the agent's user, and may end an ExaBGP of the same user."""
    program = program_of(line, need)
    site = build("4.2" if line.startswith("4") else "5.0")
    exabgp = site.start_exabgp(program, interval=1.0)  # a caretaker that had no CPU for three of them gives up
    wait_until(lambda: site.virtual <= site.routes().keys() and site.virtual <= site.on_lo(), site.told)
    Path(f"/proc/{exabgp.pid}/root/etc/exabgp/exabgp.conf").unlink()
    exabgp.send_signal(signal.SIGUSR1)
    found = wait_until(lambda: re.search(r"caretaker-started process=(\d+)", site.log()), site.told)
    assert found is not None
    caretaker = int(found[1])
    wait_until(lambda: "exabgp-detached" in site.log(), site.told)
    assert site.virtual <= site.routes().keys()
    assert site.virtual <= site.on_lo()
    two = [f"{sum(1 << bit for bit in CAPABILITIES.values()):016x}"]
    assert status(caretaker)["Uid"] == [str(NOBODY)] * 4
    assert status(caretaker)["CapEff"] == status(caretaker)["CapBnd"] == two

    os.kill(caretaker, signal.SIGTERM)
    exabgp.wait(LIMIT)
    wait_until(lambda: not site.virtual & site.on_lo() and not site.routes(), site.told)


def reload(site: Site, exabgp: "subprocess.Popen[str]", program: Path) -> tuple[int, str]:
    """Does what systemd does for a reload. How many of the commands were run, and what they have said."""
    inside = ["nsenter", "--target", str(exabgp.pid), "--mount", "--net"]
    user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    rights = [f"--{name}={_setpriv(which)}" for name, which in (
        ("bounding-set", "CapabilityBoundingSet"), ("inh-caps", "AmbientCapabilities"),
        ("ambient-caps", "AmbientCapabilities"),
    )]  # fmt: skip
    said = ""
    for number, line in enumerate(RELOAD, start=1):
        words = shlex.split(line.replace("$MAINPID", str(exabgp.pid)).replace("$$", "$"))
        done = subprocess.run(
            [*inside, "setpriv", *user, *rights, *words],
            env={"PATH": f"{program.parent}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        said += done.stdout + done.stderr
        if done.returncode != 0:
            return number, said
    return len(RELOAD) + 1, said


@pytest.mark.system
@pytest.mark.parametrize("line", ["4", "5"])
def test_the_drop_in_reloads_both_or_nothing(line: str, build: Callable[[str], Site], need: "Need") -> None:
    assert RESET == ""
    assert RELOAD[2] == "/bin/kill -USR1 $MAINPID"
    need("nsenter")
    program = program_of(line, need)
    site = build("4.2" if line == "4" else "5.0")
    exabgp = site.start_exabgp(program, interval=1.0)
    wait_until(lambda: site.virtual <= site.routes().keys() and site.virtual <= site.on_lo(), site.told)
    root = Path(f"/proc/{exabgp.pid}/root")
    ours, theirs = root / "etc/exavrrp/exavrrp.toml", root / "etc/exabgp/exabgp.conf"
    good, sessions = ours.read_text(), theirs.read_text()

    ours.write_text(good.replace("priority = 150", "priority = 140"))
    theirs.write_text(sessions + "# the same\n")  # a change of its sessions would end them, and move the addresses
    ran, said = reload(site, exabgp, program)
    assert ran == len(RELOAD) + 1, said
    for name in ("web-ipv6", "web-ipv4"):
        assert re.search(rf"speaks +virtual_router\.{name}\.priority: 150 -> 140 \(.*{name}", said)
    assert said.splitlines()[-1] == "applied"
    wait_until(lambda: "reload-applied" in site.log(), site.told)

    ours.write_text(good.replace("priority = 150", "priority = 300"))
    ran, said = reload(site, exabgp, program)
    assert (ran, "exavrrp.toml:" in said) == (2, True), "nothing after the mistake"
    ours.write_text(good.replace("2001:db8:53::1", "2001:db8:53::9"))
    ran, said = reload(site, exabgp, program)
    assert (ran, "--allow-move" in said) == (4, True), said
    theirs.write_text("nonsense {\n")
    assert reload(site, exabgp, program)[0] == 1
    assert site.virtual <= site.on_lo()
    wait_until(lambda: site.virtual <= site.routes().keys(), site.told)
