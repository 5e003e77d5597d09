"""The blocks of docs/how-to/beside-another-daemon.md, as they are: ExaBGP beside BIRD, and beside FRR."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.system.conftest import Namespace, Need
from tests.system.pages import Machine, block
from tests.system.running import Line, wait_until
from tests.system.test_examples import EXAMPLES

pytestmark = pytest.mark.system

PAGE = "how-to/beside-another-daemon.md"
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


@dataclass(frozen=True)
class Site:
    """The node, with a daemon, ExaBGP and agent; and both routers, which are one machine and one BIRD."""

    node: Machine
    routers: Machine

    def routes(self) -> dict[str, str]:
        """Router → what it says of the route to the virtual address."""
        parts = re.split(r"unicast \[", self.routers.ask_bird(f"show route all where net = {VIP}/128"))[1:]
        return {part.split(maxsplit=1)[0].rstrip("]"): part for part in parts}

    def told(self) -> str:
        return f"{self.routes()}\n{self.node.log()}"


@pytest.fixture(params=["bird", "frr"])
def site(
    namespace: Callable[[], Namespace],
    cable: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
    need: Need,
    request: pytest.FixtureRequest,
) -> Site:
    node, routers = (Machine(namespace(), tmp_path_factory.mktemp(name), need) for name in ("node", "routers"))
    commands = block(PAGE, "sh") + block(PAGE, "sh", 1)
    node.host.ip("\n".join(line.partition("-6 ")[2] for line in commands.splitlines()))
    for number in (0, 1):
        cable(node.host, f"eth{number}", routers.host, f"eth{number}")
        node.host.ip(f"addr add 2001:db8:{number + 1}:1::2/64 dev eth{number}")
        routers.host.ip(f"addr add 2001:db8:{number + 1}:1::1/64 dev eth{number}")
    routers.start_bird(ROUTERS)
    if request.param == "bird":
        node.start_bird(block(PAGE, "bird"))
    else:
        node.start_frr(block(PAGE, "frr"))
    return Site(node, routers)


@pytest.mark.parametrize("line", ["4", "5"])
def test_a_virtual_address_goes_through_the_daemon_of_the_host(site: Site, line: Line) -> None:
    wait_until(lambda: "default" in site.node.host.run("ip", "-6", "route"), site.told)
    stanza = (EXAMPLES / "stanza.conf").read_text()
    communities = '[virtual_router.web.bgp]\ncommunities = ["65010:7", "graceful-shutdown"]\n'
    site.node.start_exabgp(line, stanza + block(PAGE, "exabgp"), block(PAGE, "toml") + communities)
    wait_until(lambda: site.routes().keys() == {"router1", "router2"}, site.told)
    started, part_taken = (site.node.first(event) for event in ("agent-started", "transition"))
    # The entry is made at the end of the start, and the delay counts from its beginning.
    assert part_taken - started > 1.5, "startup_delay: the routers know the node by then"
    for part in site.routes().values():
        assert re.search(r"BGP\.med: [1-9]\d*", part), part
        assert "(65010,7)" in part
        assert "(65535,0)" in part
        assert "BGP.as_path: 65010\n" in part

    site.routers.ask_bird("disable all")
    wait_until(lambda: "uplinks failing" in site.node.call("status").stdout, site.told)
    site.routers.ask_bird("enable all")
    wait_until(lambda: site.routes().keys() == {"router1", "router2"}, site.told)
