"""docs/first-steps.md with the routers of docs/how-to/bird.md: their blocks make a pair that serves, and hands over."""

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.blocks import ROOT, blocks
from tests.system.conftest import Namespace, Need
from tests.system.pages import Machine, block
from tests.system.running import wait_until

pytestmark = pytest.mark.system

PAGE = "first-steps.md"
VIP = "2001:db8:53::1"
CALM = "1.0"
"""Seconds between adverts in place of 0.1: the machine is busy with other tests."""


def beginning(start: str, language: str = "sh") -> str:
    """The block of the page that begins so."""
    [found] = [one.text for one in blocks(language) if one.page == ROOT / "docs" / PAGE and one.text.startswith(start)]
    return found


def of_node(text: str, number: int) -> str:
    """What the page shows of node1, as it is on another node: by the page's own command."""
    if number == 1:
        return text
    script = shlex.split(beginning("sed -i"), comments=True)[2]
    return subprocess.run(["sed", script], input=text, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Pair:
    """Two nodes and two routers, each on both."""

    nodes: tuple[Machine, Machine]
    routers: tuple[Machine, Machine]

    def best(self) -> set[str]:
        """The sessions in which the routers have their best route to the virtual address."""
        told = [router.ask_bird(f"show route primary where net = {VIP}/128") for router in self.routers]
        return {name for text in told for name in re.findall(r"unicast \[(\w+)", text)}

    def told(self) -> str:
        routes = (router.ask_bird(f"show route all where net = {VIP}/128") for router in self.routers)
        return "\n".join([*routes, *(node.log() for node in self.nodes)])


@pytest.fixture
def pair(
    namespace: Callable[[], Namespace], cable: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, need: Need
) -> Pair:
    def machine(name: str) -> Machine:
        return Machine(namespace(), tmp_path_factory.mktemp(name), need)

    nodes, routers = (machine("node1"), machine("node2")), (machine("router1"), machine("router2"))
    for r, router in enumerate(routers, 1):
        router.host.sysctl("net.ipv6.conf.all.forwarding", 1)
        for n, node in enumerate(nodes, 1):
            cable(node.host, f"eth{r}", router.host, f"eth{n}")
            node.host.ip(f"addr add 2001:db8:{r}:{n}::2/64 dev eth{r}")
            router.host.ip(f"addr add 2001:db8:{r}:{n}::1/64 dev eth{n}")
        router.start_bird(block("how-to/bird.md", "bird").replace("2001:db8:1:", f"2001:db8:{r}:"))
    # One has what the page types, the other one what it has after a boot.
    kept = "".join(re.findall(r"^ +up (ip .*\n)", beginning("auto lo", ""), re.MULTILINE))
    for n, (node, typed) in enumerate(zip(nodes, (beginning("ip "), kept), strict=True), 1):
        node.host.ip("\n".join(line.partition("-6 ")[2] for line in of_node(typed, n).splitlines()), "-6")
        assert node.host.run("ip", "-6", "route", "show", "default").count("nexthop via") == len(routers)
    return Pair(nodes, routers)


def test_a_first_pair_serves_and_hands_over(pair: Pair) -> None:
    file = block(PAGE, "toml").replace("advert_interval = 0.1", f"advert_interval = {CALM}")
    assert CALM in file
    for number, node in enumerate(pair.nodes, 1):
        node.start_exabgp("5", of_node(block(PAGE, "exabgp"), number), file, "--node", f"node{number}")
    wait_until(lambda: pair.best() == {"node1"}, pair.told)
    first, second = pair.nodes
    wait_until(lambda: re.search(r"^web .* BACKUP", second.call("status").stdout, re.MULTILINE), pair.told)
    assert re.search(r"^web .* ACTIVE .* yes +active", first.call("status").stdout, re.MULTILINE), pair.told()

    done = first.call("drain", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr + pair.told()
    wait_until(lambda: pair.best() == {"node2"}, pair.told)
    assert first.call("undrain").returncode == 0
    wait_until(lambda: pair.best() == {"node1"}, pair.told)
