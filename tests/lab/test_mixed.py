"""One election of three nodes in a VXLAN over both uplinks, some of which run keepalived, and the others the agent."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab.addressing import RACK, SERVERS, Machine
from lab.bench.events import await_back
from lab.bench.race import FAMILY, bound, prepare
from lab.bench.tools import LINE, KeepalivedVxlan
from lab.datacentre import START_LIMIT, DataCentre, Fabric
from lab.run import logs_kept, removed
from lab.scenarios import NODE1, NODE2
from lab.servers import ROOT, ServerPlan, exabgp_configuration
from lab.timeline import compute
from lab.topology import lab_directory

NODE3 = SERVERS[2]
USUAL = ServerPlan(family=FAMILY, interval=0.1, hold=9, exabgp=LINE, site=RACK)


def announced_by(lab: DataCentre, node: Machine) -> bool:
    """Whether the routers have this node's route alone."""
    return all(each == {node.name} for each in lab.tables().values())


@pytest.mark.lab
@pytest.mark.system
@pytest.mark.parametrize("theirs", [[NODE1, NODE3], [NODE2]], ids=["keepalived is first", "the agent is first"])
def test_the_next_node_takes_over_and_gives_back_whoever_it_is(theirs: Sequence[Machine]) -> None:
    tool = KeepalivedVxlan(theirs)
    plan = tool.plan(USUAL, checked=False)
    with lab_directory(print) as directory:
        lab = DataCentre(Fabric(RACK, "bird", FAMILY, USUAL.hold, seed=7), directory, print)
        with removed(lab), logs_kept(lab, "mixed", print):
            lab.build()
            lab.start(plan)
            tool.start(lab, plan, checked=False)
            prepare(lab, tool)
            lab.arm_power_off(NODE1)()
            lab.await_serving(NODE2.name)
            lab.await_seen("node2 alone", START_LIMIT, lambda: announced_by(lab, NODE2))
            lab.power_on(NODE1)
            if NODE1 in theirs:
                tool.start_on(NODE1, lab, plan, checked=False)
            await_back(lab)
            lab.await_seen("node1 alone", START_LIMIT, lambda: announced_by(lab, NODE1) and bound(lab) == {NODE1.name})


MEDS = ("takeover = []", "med = 40", "standby = { med = 41, prepend = 0 }")
"""Of docs/how-to/keepalived.md: a Backup's route beats that of keepalived's side, which has 50."""


@pytest.mark.lab
@pytest.mark.system
@pytest.mark.alone
def test_a_backup_draws_the_traffic_before_keepalived_stops_and_nothing_is_lost() -> None:
    tool = KeepalivedVxlan([NODE1, NODE3])
    plan = replace(tool.plan(USUAL, checked=False), standby=True, bgp=MEDS)
    with lab_directory(print) as directory:
        lab = DataCentre(Fabric(RACK, "bird", FAMILY, USUAL.hold, seed=7), directory, print)
        with removed(lab), logs_kept(lab, "drawn", print):
            lab.build()
            lab.start(plan)
            tool.start(lab, plan, checked=False)
            lab.start_probing()
            lab.await_serving(NODE2.name)
            both = {NODE1.name, NODE2.name}
            lab.await_seen("both routes", START_LIMIT, lambda: all(each == both for each in lab.tables().values()))
            lab.await_serving(NODE2.name)
            assert lab.standing(NODE2.name).state == "backup"
            [keepalived] = [
                each for each in lab.processes.programs if (each.name, each.namespace.machine) == ("keepalived", NODE1)
            ]
            lab.processes.ending(keepalived)
            now = time.time()
            keepalived.process.send_signal(signal.SIGTERM)
            lab.await_actives([NODE2.name], START_LIMIT)
            lab.await_seen("node2 alone", START_LIMIT, lambda: announced_by(lab, NODE2) and bound(lab) == {NODE2.name})
            assert compute(lab.finish(), now, NODE1.name, RACK).probes_lost == 0


def test_guide_has_these_attributes() -> None:
    guide = (ROOT / "docs" / "how-to" / "keepalived.md").read_text(encoding="utf-8")
    assert "".join(f"    {line}\n" for line in MEDS) in guide


def test_an_agent_beside_keepalived_is_told_of_neighbors() -> None:
    plan = KeepalivedVxlan([NODE2]).plan(USUAL, checked=False)
    assert "neighbor-changes" in exabgp_configuration(NODE1, plan, "x")
    assert "neighbor-changes" not in exabgp_configuration(NODE2, plan, "x")
