"""The blocks of docs/how-to/beside-another-daemon.md, as they are: ExaBGP speaks to BIRD, and BIRD to the routers."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blocks import ROOT, blocks
from tests.system.conftest import Namespace, Need
from tests.system.running import EXABGP, EXABGP_ENVIRONMENT, LIMIT, Line, listens, wait_until
from tests.system.test_examples import EXAMPLES

pytestmark = pytest.mark.system

PAGE = ROOT / "docs" / "how-to" / "beside-another-daemon.md"
VIP = "2001:db8:53::1"
ROUTERS = """
router id 10.255.0.1;
protocol device { }
protocol static { ipv6; route ::/0 blackhole; }
template bgp node { local as 65000; passive; hold time 9; error wait time 1, 1; graceful restart off;
    ipv6 { import all; export where source = RTS_STATIC; }; }
protocol bgp router1 from node { local 2001:db8:1:1::1; neighbor 2001:db8:1:1::2 as 65010; }
protocol bgp router2 from node { local 2001:db8:2:1::1; neighbor 2001:db8:2:1::2 as 65010; }
"""


def block(language: str) -> str:
    [found] = [one.text for one in blocks(language) if one.page == PAGE]
    return found


class Site:
    """The node, with BIRD, ExaBGP and agent; and both routers, which are one namespace and one BIRD."""

    def __init__(
        self, namespace: Callable[[], Namespace], cable: Callable[..., None], directory: Path, bird: str, birdc: str
    ) -> None:
        self.directory, self._birdc = directory, birdc
        self.node, self.routers = namespace(), namespace()
        self.node.ip("\n".join(line.partition("-6 ")[2] for line in block("sh").splitlines()))
        for number in (0, 1):
            cable(self.node, f"eth{number}", self.routers, f"eth{number}")
            self.node.ip(f"addr add 2001:db8:{number + 1}:1::2/64 dev eth{number}")
            self.routers.ip(f"addr add 2001:db8:{number + 1}:1::1/64 dev eth{number}")
        self._start(bird, self.routers, "routers", ROUTERS)
        self._start(bird, self.node, "node", block("bird"))

    def _start(self, bird: str, host: Namespace, name: str, configuration: str) -> None:
        path, control = self.directory / f"{name}.conf", self.directory / f"{name}.ctl"
        path.write_text(configuration)
        with (self.directory / f"{name}.log").open("w") as log:
            host.popen([bird, "-f", "-c", str(path), "-s", str(control)], stderr=log)
        wait_until(lambda: listens(control), f"BIRD of {name}")

    def start_exabgp(self, line: Line) -> None:
        agent = self.directory / "exavrrp.toml"
        places = f'state_directory = "{self.directory}/run"\npersistent_directory = "{self.directory}/lib"'
        bgp = '[virtual_router.web.bgp]\ncommunities = ["65010:7"]\n'
        agent.write_text(block("toml").replace("[agent]", f"[agent]\n{places}", 1) + bgp)
        stanza = (EXAMPLES / "stanza.conf").read_text()
        run = re.sub(r"run .*?;", f"run {sys.executable} -m exavrrp run --config {agent};", stanza, count=1)
        path = self.directory / "exabgp.conf"
        path.write_text(run + block("exabgp"))
        with (self.directory / "agent.log").open("w") as log:
            self.node.popen(
                [str(EXABGP[line]), str(path)],
                env={**os.environ, **EXABGP_ENVIRONMENT, "exabgp_log_destination": str(self.directory / "exabgp.log")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def routes(self) -> dict[str, str]:
        """Router → what it says of the route to the virtual address."""
        parts = re.split(r"unicast \[", self.tell_routers(f"show route for {VIP} all"))[1:]
        return {part.split(maxsplit=1)[0].rstrip("]"): part for part in parts}

    def tell_routers(self, command: str) -> str:
        return self.routers.run(self._birdc, "-s", str(self.directory / "routers.ctl"), *command.split())

    def told(self) -> str:
        return f"{self.routes()}\n{(self.directory / 'agent.log').read_text()[-4000:]}"

    def ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "exavrrp", *words, "--config", str(self.directory / "exavrrp.toml")]
        with self.node:
            return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


@pytest.fixture
def site(namespace: Callable[[], Namespace], cable: Callable[..., None], tmp_path: Path, need: Need) -> Site:
    return Site(namespace, cable, tmp_path, need("bird"), need("birdc"))


@pytest.mark.parametrize("line", ["4", "5"])
def test_a_virtual_address_goes_through_the_daemon_of_the_host(site: Site, line: Line, need: Need) -> None:
    need(reason=f"no ExaBGP {line}", unless=EXABGP[line].exists())
    site.start_exabgp(line)
    wait_until(lambda: site.routes().keys() == {"router1", "router2"}, site.told)
    for part in site.routes().values():
        assert re.search(r"BGP\.med: [1-9]\d*", part), part
        assert "(65010,7)" in part
        assert "BGP.as_path: 65010\n" in part

    site.tell_routers("disable all")
    wait_until(lambda: "uplinks failing" in site.ask("status").stdout, site.told)
    site.tell_routers("enable all")
    wait_until(lambda: site.routes().keys() == {"router1", "router2"}, site.told)
