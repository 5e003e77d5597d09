"""Whole agents whose checks ask in other ways than by running a program; test_agent.py has the programs."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Alone, Fabric, wait_until

pytestmark = pytest.mark.system

PROMPT = ["interval = 0.05", "timeout = 60", "rise = 1", "fall = 1"]


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
    wait_until(lambda: a.log.all("health-assessed")[-1]["detail"] == "150", a.log.tell)

    def says(number: int) -> int:
        """Write the number into the file at once; a partly written file would not be a number."""
        mark = a.log.mark()
        (a.directory / "new").write_text(f"{number}\n")
        (a.directory / "new").replace(load)
        return mark

    mark = says(-100)
    assert a.log.wait("health-assessed", mark)["detail"] == "150 - 100 (load passing) = 50"
    fabric.settled("b")
    assert a.log.wait("health-assessed", says(7))["detail"] == "150 + 7 (load passing) = 157"
    fabric.settled("a")

    mark = a.log.mark()
    server.close()
    fault = a.log.wait("transition", mark)
    assert (fault["after"], fault["reason"]) == ("initialize", "fault")
    assert fault["detail"] == "port failing (Connection refused)"
    told = a.status()
    assert re.findall(r"! (web: check port failing since \S+: Connection refused)( !|$)", told), told
    assert "fault:" not in told
    fabric.settled("b")


def test_a_change_is_decided_at_the_fast_interval(fabric: Fabric) -> None:
    """At the ordinary interval the 30 deciding runs would take longer than any limit here."""
    a = fabric.a
    with a.namespace:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = server.getsockname()[1]
    a.configure(
        'checks = ["port"]',
        checks=[
            "[check.port]",
            f'tcp = "[::1]:{port}"',
            "interval = 3",
            "timeout = 60",
            "fast_interval = 0.02",
            "rise = 30",
            "fall = 30",
        ],
    )
    fabric.start()
    mark = a.log.mark()
    server.close()
    assert a.log.wait("check-changed", mark)["result"] == "failing"
    fabric.settled("b")
    mark = a.log.mark()
    with a.namespace:
        server = socket.create_server(("::1", port), family=socket.AF_INET6)
    assert a.log.wait("check-changed", mark)["result"] == "passing"
    server.close()


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
    assert a.log.wait("health-assessed")["detail"] == "150, waiting for slow"
    a.log.wait("agent-started")
    mark = a.log.mark()
    ready.touch()
    assert a.log.wait("check-changed", mark, check="slow")["detail"] == "ready"
    a.log.wait("address-bound", mark)
    order = a.log.order()
    assert order.index("agent-started") < order.index("check-changed") < order.index("transition")
    assert a.log.all("health-assessed")[-1]["detail"] == "150"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user runs what it likes")
def test_a_script_that_others_can_change_now_is_not_run_and_moves_nothing(fabric: Fabric) -> None:
    a = fabric.a
    script = a.directory / "script"
    a.directory.parent.chmod(0o755)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    a.configure(
        'checks = ["script"]',
        checks=["[check.script]", f'command = ["{script}"]', "interval = 0.1", "timeout = 60", "fall = 2"],
    )
    fabric.start()

    # As a roll-out with another umask leaves it.
    mark = a.log.mark()
    os.chown(script, 0, 12345)
    script.chmod(0o775)
    why = f"group 12345 can change; chmod g-w {script}"
    doubted = a.log.wait("check-not-run", mark)
    assert doubted["level"] == "warning"
    assert re.fullmatch(
        f"{re.escape(why)}; the last result stands for [0-9]+ s more, then the check fails", doubted["detail"]
    )
    assert f"check script is not run: {why}" in a.status()
    assert not a.log.all("transition", mark)

    # Put right, it is run: what it says counts again.
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    assert a.log.wait("check-changed", mark)["detail"] == "exit status 1"
    assert "is not run" not in a.status()
    fabric.settled("b")
