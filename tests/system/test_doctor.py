"""`doctor` on real nodes: nothing on a good one, and each fault that is planted in its network."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Fabric, Host, wait_until

pytestmark = pytest.mark.system

DROP = (
    "add table inet t; add chain inet t c { type filter hook input priority 0; };"
    " add rule inet t c ip protocol vrrp drop"
)


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, 4) as built:
        yield built


def codes(host: Host, *words: str) -> list[str]:
    told = host.call("doctor", "--json", *words)
    found = [one["code"] for one in json.loads(told.stdout)]
    assert told.returncode == bool(found), told.stderr
    return found


def test_a_good_node_and_faults_that_are_planted(fabric: Fabric, need: Need) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    fabric.settled("a")
    wait_until(lambda: codes(a) == [], lambda: f"{a.call('doctor').stdout}")
    told = a.call("doctor")
    assert (told.returncode, told.stdout) == (0, "nothing is wrong\n")
    wait_until(lambda: codes(b) == [], lambda: f"{b.call('doctor').stdout}")

    document = b.directory / "status.json"
    document.write_text(a.ask("status", "--json"))
    assert codes(b, "--peers", str(document)) == []
    other = json.loads(document.read_text())
    other["routers"][0]["addresses"] = ["192.0.2.99"]
    document.write_text(json.dumps(other))
    assert codes(b, "--peers", str(document)) == ["addresses-differ"]
    document.write_text("{}")
    told = b.call("doctor", "--peers", str(document))
    assert (told.returncode, told.stdout) == (1, "")

    a.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    assert codes(a) == ["rp-filter-strict"]
    a.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=0")
    a.namespace.run(need("nft"), DROP)
    assert codes(a) == ["firewall-drops-adverts"]
    a.namespace.run("nft", "flush", "ruleset")
    fabric.bird.ask("disable a1")
    wait_until(lambda: codes(a) == ["session-down"], lambda: f"{a.call('doctor').stdout}")
    told = a.call("doctor")
    assert "session-down  session " in told.stdout
    assert "   -> Look at the neighbor, the link and ExaBGP's log." in told.stdout
