"""What the kernel lets this process do: read from proc, and what an agent says that may not do enough."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exavrrp.system.capabilities import NEEDED, missing
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Alone, Fabric

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
"""linux/capability.h."""


@pytest.mark.parametrize(
    ("effective", "absent"),
    [
        (NET_ADMIN | NET_RAW, []),
        (0xFFFFFFFFFFFFFFFF, []),
        (0xFFFFFFFFFFFFFFFF & ~NET_RAW, ["CAP_NET_RAW"]),
        (NET_RAW, ["CAP_NET_ADMIN"]),
        (1 << 11 | 1 << 14, ["CAP_NET_ADMIN", "CAP_NET_RAW"]),
        (0, ["CAP_NET_ADMIN", "CAP_NET_RAW"]),
    ],
)
def test_what_is_missing(tmp_path: Path, effective: int, absent: list[str]) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tpython\nCapInh:\t0000000000000000\nCapPrm:\tffffffff\nCapEff:\t{effective:016x}\n")
    assert missing(status=status) == absent


@pytest.mark.system
def test_an_unprivileged_plugin_lacks_none(
    with_two_capabilities: Callable[[Callable[[], None]], None],
) -> None:
    def body() -> None:
        assert missing() == []

    with_two_capabilities(body)


@pytest.mark.skipif(os.geteuid() == 0, reason="root has every capability")
def test_an_ordinary_user_has_none() -> None:
    assert missing() == list(NEEDED)


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


@pytest.mark.system
@pytest.mark.parametrize(
    ("dropped", "absent"),
    [
        ("-net_raw", "CAP_NET_RAW"),
        ("-net_admin", "CAP_NET_ADMIN"),
        ("-net_raw,-net_admin", "CAP_NET_ADMIN and CAP_NET_RAW"),
    ],
)
def test_an_agent_without_a_capability_logs_it_and_does_nothing(
    fabric: Fabric, need: Need, dropped: str, absent: str
) -> None:
    a = fabric.a
    a.prefix = (need("setpriv"), f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    alone = Alone(a)
    assert alone.process.wait(running.LIMIT) == 1
    refused = a.log.wait("agent-start-failed")
    assert refused["level"] == "error"
    assert refused["detail"].startswith(f"lacking {absent}; ")
    setting = "CapabilityBoundingSet" if os.geteuid() == 0 else "AmbientCapabilities"
    assert f"{setting}=CAP_NET_ADMIN CAP_NET_RAW" in refused["detail"], "the remedy for a unit"
    assert "--cap-add=NET_ADMIN --cap-add=NET_RAW" in refused["detail"], "and for a container"
    assert a.log.order() == ["agent-start-failed"]
    assert not a.bound()


@pytest.mark.system
def test_an_agent_with_these_two_alone_works(fabric: Fabric, need: Need) -> None:
    a = fabric.a
    only = "-all,+net_raw,+net_admin"
    a.prefix = (need("setpriv"), f"--bounding-set={only}", f"--inh-caps={only}")
    alone = Alone(a)
    alone.greet()
    a.log.wait("address-bound")
    assert a.bound()
    alone.process.send_signal(signal.SIGINT)
    alone.process.wait(running.LIMIT)
    assert not a.bound()
