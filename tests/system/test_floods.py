"""Floods, for a few seconds: counts, not times. `python -m tests.benchmarks.floods` measures, and sends more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import floods, nodes
from tests.benchmarks.floods import Attacker
from tests.system.running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.nodes import Site

pytestmark = [pytest.mark.system, pytest.mark.alone]

INTERVAL = 1.0
"""Seconds between adverts: what is shown is that nothing is believed, also where a machine does ten other things."""
SECONDS = 5.0
"""Of each flood: longer than a silence that would move something."""


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def site(request: pytest.FixtureRequest, need_root: None) -> Iterator[Site]:
    with nodes.site(nodes.Plan(nodes=2, routers=4, interval=INTERVAL, family=request.param)) as built:
        yield built


@pytest.fixture
def attacker(site: Site) -> Iterator[Attacker]:
    with contextlib.closing(Attacker(site.nodes[0].namespace, site.namespace(), site.plan.family)) as made:
        yield made


def test_packets_of_non_peers_stay_in_the_kernel(site: Site, attacker: Attacker) -> None:
    marks = [node.log.mark() for node in site.nodes]
    before = floods.counted(site.nodes[0])
    sent = attacker.flood(floods.non_peers(site.plan.family), 10_000, SECONDS).wait()
    assert sent > 1000

    def counted() -> tuple[int, int, int]:
        return tuple(now - then for now, then in zip(floods.counted(site.nodes[0]), before, strict=True))  # type: ignore[return-value]

    wait_until(lambda: sum(counted()) >= sent, lambda: f"{sent} packets: {counted()}")
    rejected, unread, overflowed = counted()
    assert 1 <= rejected < 100, "the agent reads a few, so that the log can name the source"
    assert overflowed == 0, "they take no room from the peers"
    # Some kernels count what the peer has sent meanwhile, too.
    assert sent - rejected <= unread <= sent - rejected + 10 * site.plan.routers * (SECONDS / INTERVAL)
    site.nodes[0].log.wait("packet-rejected", marks[0], reason="unknown-source")
    assert site.settled()
    assert not [node.log.moves(mark) for node, mark in zip(site.nodes, marks, strict=True) if node.log.moves(mark)]


def test_what_claims_to_be_the_peer_is_counted_to_the_last(site: Site, attacker: Attacker) -> None:
    marks = [node.log.mark() for node in site.nodes]
    before = floods.counted(site.nodes[0])
    sent = attacker.flood(floods.spoofed(site.plan, valid=False), 1000, SECONDS).wait()

    def counted() -> tuple[int, int]:
        rejected, _, overflowed = floods.counted(site.nodes[0])
        return rejected - before[0], overflowed - before[2]

    wait_until(lambda: sum(counted()) >= sent, lambda: f"{sent} packets: {counted()}")
    assert sum(counted()) == sent
    site.nodes[0].log.wait("packet-rejected", marks[0], reason="checksum")
    assert site.settled()
    assert not [node.log.moves(mark) for node, mark in zip(site.nodes, marks, strict=True) if node.log.moves(mark)]


def test_what_the_canary_does_not_write_down_is_no_zero() -> None:
    quiet, busy = (floods.Result("quiet", 1, 0, 3, (1, 2, 4), machine, 0.1, 0, 0, 0).line() for machine in (0.0, 7.5))
    assert "     4.00       <5   10.0%" in quiet
    assert "     4.00     7.50   10.0%" in busy
