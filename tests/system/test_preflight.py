"""What ``check`` reports about this host, for which user; ``test_containers.py`` compares it with ``run``."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from exavrrp.config import Configuration, load
from exavrrp.system import capabilities
from exavrrp.system.addresses import PROMOTE, SYSCTL
from exavrrp.system.preflight import Finding, Weight, findings
from tests.system.conftest import CAP_NET_RAW, NOBODY, Namespace, Need

pytestmark = pytest.mark.system


@pytest.fixture
def place(namespace: Callable[[], Namespace], tmp_path: Path) -> Iterator[Path]:
    """On a host that has the source."""
    tmp_path.chmod(0o755)
    host = namespace()
    host.ip("addr add 2001:db8:ff::11 dev lo")
    with host:
        yield tmp_path


def configured(
    place: Path,
    state: str = "run",
    persistent: str = "lib",
    *,
    fifo: str | None = None,
    agent: str = "",
    router: str = "",
) -> Configuration:
    lines = [
        "[agent]",
        agent,
        'sources = ["2001:db8:ff::11"]',
        'peers = ["2001:db8:ff::12"]',
        f'state_directory = "{place / state}"',
        f'persistent_directory = "{place / persistent}"',
        "[virtual_router.web]",
        "vrid = 7",
        'addresses = ["2001:db8:53::1"]',
        router,
        *([] if fifo is None else [f'notify_fifo = "{place / fifo}"']),
    ]
    path = place / "exavrrp.toml"
    path.write_text("\n".join(lines) + "\n")
    return load(path)


def told(configuration: Configuration) -> list[str]:
    return [f"{one.weight}: {one.text}" for one in findings(configuration)]


def test_a_ready_host_gives_no_output(place: Path) -> None:
    assert told(configured(place)) == []
    assert not (place / "run").exists(), "nothing is made"


def test_root_that_lacks_a_capability_is_an_error(
    place: Path, without_capability: Callable[[int], AbstractContextManager[None]]
) -> None:
    with without_capability(CAP_NET_RAW):
        [found] = findings(configured(place))
    assert found.weight is Weight.ERROR
    assert found.text.startswith("root lacks CAP_NET_RAW; give ")


def test_a_directory_that_cannot_be_is_an_error(place: Path) -> None:
    (place / "file").write_text("")
    state, persistent = told(configured(place, "file/run", "file"))
    assert state.startswith(f"error: agent.state_directory: {place}/file/run cannot be written ({place}/file is no dir")
    assert persistent.startswith("warning: agent.persistent_directory: root cannot write ")


def test_what_this_host_does_not_have_is_named(place: Path) -> None:
    absent = told(configured(place, agent='interfaces = ["lo", "eht0"]\ncontrol_group = "no-such-group"'))
    assert [one.partition(";")[0] for one in absent] == [
        "warning: agent.interfaces: this host has no eht0",
        "warning: agent.control_group: this host has no group no-such-group",
    ]
    subprocess.run(["ip", "addr", "del", "2001:db8:ff::11", "dev", "lo"], check=True)
    (source,) = told(configured(place))
    assert source.startswith("warning: agent.sources: 2001:db8:ff::11 is no address of this host")
    own = told(configured(place, router='source = "2001:db8:ff::13"\ninterfaces = ["eht1"]'))
    assert [one.partition(" is no ")[0].partition(";")[0] for one in own] == [
        "warning: virtual_router.web.source: 2001:db8:ff::13",
        "warning: virtual_router.web.interfaces: this host has no eht1",
    ]


ON_ETH9 = """
[virtual_router.lan]
vrid = 8
addresses = ["198.51.100.53"]
transport = "multicast"
interface = "eth9"
source = "198.51.100.11"
"""


def test_what_is_missing_on_one_interface_is_named_by_its_keys(place: Path) -> None:
    absent = told(configured(place, agent='interfaces = ["eth9"]', router=f'interfaces = ["lo"]{ON_ETH9}'))
    assert [one.partition("; ")[::2] for one in absent] == [
        (
            "warning: virtual_router.lan.source: 198.51.100.11 is no address of this host, and run waits for it",
            "add it to eth9, or correct it",
        ),
        (
            "warning: virtual_router.lan.interface: this host has no eth9",
            "no advert leaves there: correct the name",
        ),
    ]


FLEET = """
[node.node1]
sources = ["2001:db8:ff::11"]
interfaces = ["eth9"]
priority = 200
[node."node2.example"]
sources = ["2001:db8:ff::12"]
[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
"""


def test_what_is_missing_is_named_where_it_is_written_for_a_node(place: Path) -> None:
    path = place / "exavrrp.toml"
    path.write_text(f'[agent]\ninterfaces = ["eth8"]\nstate_directory = "{place}/run"\n{FLEET}')
    (interface,) = told(load(path, node="node1"))
    assert interface.startswith("warning: node.node1.interfaces: this host has no eth9; ")
    source, interface = told(load(path, node="node2"))
    assert source.startswith('warning: node."node2.example".sources: 2001:db8:ff::12 is no address of this host')
    assert interface.startswith("warning: agent.interfaces: this host has no eth8; ")


def test_a_link_that_is_called_by_another_name_of_it_is_there(place: Path) -> None:
    for command in ("add eth0 type veth", "property add dev eth0 altname uplink0"):
        subprocess.run(["ip", "link", *command.split()], check=True)
    assert told(configured(place, router='bind = "uplink0"')) == []
    assert ["bind: this host has no eht0" in one for one in told(configured(place, router='bind = "eht0"'))] == [True]


LAN = """
[virtual_router.lan]
vrid = 8
addresses = ["198.51.100.53/{length}"]
bind = "eth7"
announce = false
transport = "multicast"
interface = "eth7"
source = "198.51.100.11"
"""


def test_where_the_kernel_would_remove_other_addresses_along_is_said(place: Path) -> None:
    added = "link property add dev eth7 altname lan7"
    for command in ("link add eth7 type veth", "addr add 198.51.100.11/24 dev eth7", added):
        subprocess.run(["ip", *command.split()], check=True)
    knobs = [SYSCTL / where / PROMOTE for where in ("all", "eth7")]
    for knob in knobs:
        knob.write_text("0")
    [found] = findings(configured(place, router=LAN.format(length=24)))
    assert found.text.startswith("net.ipv4.conf.eth7.promote_secondaries is 0: ")
    assert (found.weight, found.code) == (Weight.WARNING, "secondaries-go-along")
    renamed = LAN.replace('bind = "eth7"', 'bind = "lan7"').format(length=24)
    assert list(findings(configured(place, router=renamed))) == [found]
    assert told(configured(place, router=LAN.format(length=32))) == []
    for knob in knobs:
        knob.write_text("1")
        assert told(configured(place, router=LAN.format(length=24))) == []
        knob.write_text("0")


def test_the_owner_of_the_state_directory_is_the_user_to_check_for(place: Path, need: Need) -> None:
    mapped = Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]
    need(reason="only real root can give directories away", unless=mapped)
    (place / "run").mkdir()
    configuration = configured(place)
    assert told(configuration) == []
    os.chown(place / "run", 54321, 0)
    assert told(configuration) == [
        f"note: seen as root, but {place}/run belongs to user 54321: check as that user, too (runuser -u)"
    ]


def test_fifos_that_nothing_can_be_written_to(place: Path) -> None:
    (place / "file").write_text("")
    os.mkfifo(place / "fifo")
    key = "warning: virtual_router.web.notify_fifo: root cannot write"
    assert told(configured(place, fifo="fifo")) == []
    assert told(configured(place, fifo="to-be-made")) == []
    assert told(configured(place, fifo="file")) == [
        f"{key} {place}/file (it is there and no FIFO; remove it, or correct notify_fifo)"
    ]
    assert told(configured(place, fifo="no/fifo")) == [f"{key} {place}/no/fifo (its directory is not there; make it)"]
    assert told(configured(place, fifo="file/fifo")) == [f"{key} {place}/file/fifo (Not a directory)"]


def test_another_user_gets_a_note_on_what_it_cannot_check(
    place: Path, with_two_capabilities: Callable[[Callable[[], None]], None]
) -> None:
    (place / "run").mkdir()
    (place / "run" / "lock").write_text("")
    os.mkfifo(place / "fifo", 0o600)
    configuration = configured(place, fifo="fifo")

    def body() -> None:
        if os.geteuid() != NOBODY:
            return  # in a user namespace without other users everybody is root
        asked = Finding(
            Weight.NOTE,
            "seen as nobody, who lacks CAP_NET_ADMIN and CAP_NET_RAW here; run needs them, by "
            "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW in ExaBGP's unit",
        )
        found = list(findings(configuration))
        assert asked not in found
        capabilities.renounce(entirely=True)  # as in a shell
        found = list(findings(configuration))
        assert asked in found
        assert Weight.ERROR not in {one.weight for one in found}, "ExaBGP's user may see it otherwise"
        text = " ".join(one.text for one in found)
        assert f"nobody cannot write {place}/run (" in text
        assert "RuntimeDirectory=exavrrp in ExaBGP's unit makes it" in text
        assert "virtual_router.web.notify_fifo: nobody cannot write " in text

    with_two_capabilities(body)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", ["lock", "lock.next"])
def test_a_lock_that_another_user_has_made_is_named(
    name: str, need: Need, with_two_capabilities: Callable[[Callable[[], None]], None]
) -> None:
    """As ``exavrrp cleanup`` leaves it that root has run in the directory of ExaBGP's user."""
    mapped = Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]
    need(reason="only real root can give directories away", unless=mapped)
    with tempfile.TemporaryDirectory() as directory:  # pytest's own lets nobody else in
        open_to_all = Path(directory)
        open_to_all.chmod(0o755)
        state = open_to_all / "run"
        state.mkdir()
        (state / name).write_text("")
        os.chown(state, NOBODY, NOBODY)
        configuration = configured(open_to_all)

        def body() -> None:
            text = " ".join(one.text for one in findings(configuration))
            assert f"nobody cannot write {state} ({state}/{name} is not writable)" in text, text

        with_two_capabilities(body)
