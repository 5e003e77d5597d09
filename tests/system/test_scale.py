"""Many virtual routers: work is batched, and their number causes no transition.

No times here: how long it takes, and what it costs, is for ``lab/bench/run scale``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system import running
from tests.system.running import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Namespace, Need
    from tests.system.running import Fabric, Host

ROUTERS = 100
INTERVAL = 1.0
"""Seconds: the cores of a machine that tests are run on have other things to do."""
START_LIMIT = 3 * running.LIMIT
"""Seconds: a hundred routers, as patiently as one."""
COUNTING = (sys.executable, "-m", "tests.system.counting")


def configuration(host: Host, other: Host) -> str:
    """exavrrp.toml of a host: `a` is preferred for all routers."""
    lines = [
        "[agent]",
        f'sources = ["{host.source}"]',
        f'peers = ["{other.source}"]',
        f"advert_interval = {INTERVAL}",
        f'state_directory = "{host.directory / "run"}"',
        f'persistent_directory = "{host.directory / "lib"}"',
    ]
    for number in range(1, ROUTERS + 1):
        lines += [
            f"[virtual_router.v{number}]",
            f"vrid = {number}",
            f"priority = {running.PRIORITY[host.name]}",
            f'addresses = ["2001:db8:53::{number:x}"]',
        ]
    return "\n".join(lines) + "\n"


def bound(host: Host) -> int:
    """How many virtual addresses lo has."""
    with host.namespace:
        table = Path("/proc/thread-self/net/if_inet6").read_text()
    return sum(line.startswith("20010db80053") and line.endswith(" lo") for line in table.splitlines())


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        for host, other in ((built.a, built.b), (built.b, built.a)):
            (host.directory / "exavrrp.toml").write_text(configuration(host, other))
            host.program = ("env", f"PYTHONPATH={running.ROOT}", *COUNTING)
        yield built


def moves(host: Host, mark: int = 0) -> Counter[tuple[str, str]]:
    return Counter((before, after) for before, after, _ in host.log.moves(mark))


def all_serve(host: Host, mark: int = 0) -> None:
    """Waits until every router is announced."""
    wait_until(
        lambda: len({one["router"] for one in host.log.all("route-announced", mark, state="active")}) == ROUTERS,
        lambda: f"{ROUTERS} announced:\n{host.log.tell(mark)[-3000:]}",
        START_LIMIT,
    )


@pytest.mark.system
@pytest.mark.alone
def test_hundred_routers_start_stand_by_take_over_and_stop(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    a.start()
    all_serve(a)
    assert bound(a) == ROUTERS
    b.start()
    wait_until(lambda: len(b.log.all("transition")) >= ROUTERS, "the second one to stand by", START_LIMIT)
    seen = len(fabric.sniffer.copies(a.source))
    wait_until(lambda: len(fabric.sniffer.copies(a.source)) >= seen + 4 * ROUTERS, "two adverts of each on two paths")
    assert moves(a) == {("initialize", "backup"): ROUTERS, ("backup", "active"): ROUTERS}
    assert moves(b) == {("initialize", "backup"): ROUTERS}
    agent = a.agent
    a.exabgp.send_signal(signal.SIGTERM)
    all_serve(b)
    running.ended(agent)
    assert bound(a) == 0, "an ordinary stop leaves nothing"
    assert moves(b) == {("initialize", "backup"): ROUTERS, ("backup", "active"): ROUTERS}
    os.kill(b.agent, signal.SIGINT)
    (counted,) = wait_until(lambda: b.log.all("counted"), "the agent to end")
    # Before they were batches, there were more than two dumps of all of lo for each address that came or went.
    assert counted["dumps"] < ROUTERS, counted
    assert counted["announcements"] < ROUTERS, counted
