"""One election of three nodes in a VXLAN over both uplinks, some of which run keepalived, and the others the agent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.addressing import RACK, SERVERS, Machine
from lab.bench.events import await_back
from lab.bench.race import FAMILY, bound, prepare
from lab.bench.tools import LINE, KeepalivedVxlan
from lab.datacentre import START_LIMIT, DataCentre, Fabric
from lab.run import logs_kept, removed
from lab.scenarios import NODE1, NODE2
from lab.servers import ServerPlan, exabgp_configuration
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


def test_an_agent_beside_keepalived_is_told_of_neighbors() -> None:
    plan = KeepalivedVxlan([NODE2]).plan(USUAL, checked=False)
    assert "neighbor-changes" in exabgp_configuration(NODE1, plan, "x")
    assert "neighbor-changes" not in exabgp_configuration(NODE2, plan, "x")
