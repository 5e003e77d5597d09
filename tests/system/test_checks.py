"""Whole agents whose checks ask in other ways than by running a program; test_agent.py has the programs."""

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Alone, Fabric

pytestmark = pytest.mark.system

PROMPT = ["interval = 0.05", "rise = 1", "fall = 1"]


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def test_numbers_in_files_move_the_priority_and_closed_ports_fault_the_node(fabric: Fabric) -> None:
    a = fabric.a
    load = a.directory / "load"
    with a.namespace:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    a.configure(
        'checks = ["load", "port"]',
        checks=[
            *("[check.load]", f"file = {json.dumps(str(load))}", "file_value = true", "weight = 1", *PROMPT),
            *("[check.port]", f'tcp = "[::1]:{server.getsockname()[1]}"', *PROMPT),
        ],
    )
    fabric.start()
    assert a.log.all("health")[-1]["detail"] == "150"

    def says(number: int) -> int:
        """Puts the number into the file in one go; a writer that does not is read as no number for a moment."""
        mark = a.log.mark()
        (a.directory / "new").write_text(f"{number}\n")
        (a.directory / "new").replace(load)
        return mark

    mark = says(-100)
    assert a.log.wait("health", mark)["detail"] == "150 - 100 (load passing) = 50"
    fabric.settled("b")
    assert a.log.wait("health", says(7))["detail"] == "150 + 7 (load passing) = 157"
    fabric.settled("a")

    mark = a.log.mark()
    server.close()
    fault = a.log.wait("transition", mark)
    assert (fault["after"], fault["reason"]) == ("initialize", "fault")
    assert "fault: port failing (Connection refused)" in fault["detail"]
    fabric.settled("b")


def test_a_router_whose_check_waits_is_held_out_until_the_first_result(fabric: Fabric) -> None:
    a = fabric.a
    ready = a.directory / "ready"
    a.configure(
        'checks = ["slow"]',
        checks=[
            "[check.slow]",
            f"shell = {json.dumps(f'until [ -e {ready} ]; do sleep 0.01; done; echo ready')}",
            'initial = "wait"',
            "timeout = 60",
            "weight = -10",
        ],
    )
    alone = Alone(a)
    alone.greet()
    assert a.log.wait("health")["detail"] == "150, waiting for slow"
    a.log.wait("started")
    mark = a.log.mark()
    ready.touch()
    assert a.log.wait("check", mark, check="slow")["detail"] == "ready"
    a.log.wait("bound", mark)
    order = a.log.order()
    assert order.index("started") < order.index("check") < order.index("transition")
    assert a.log.all("health")[-1]["detail"] == "150"
