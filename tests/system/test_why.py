"""`why` and `events` of real agents with real ExaBGP: they name what was done, also after a crash."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import AGENT, Fabric, Host, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def said(host: Host, *words: str) -> str:
    return " ".join(host.ask(*words).split())


def test_lost_sessions_are_named_on_both_nodes_and_a_crash_forgets_nothing(fabric: Fabric) -> None:
    a, b = fabric.a, fabric.b
    fabric.start()
    fabric.settled("a")
    assert "Verdict: no advert of any Active has come" in said(a, "why", "web")
    assert "Not Active because" in said(b, "why")
    mark = a.log.mark()
    for session in ("a0", "a1"):
        fabric.bird.ask(f"disable {session}")
    a.log.wait("transition", mark)
    fabric.settled("b")
    told = said(a, "why")
    assert "Verdict: too few BGP sessions: web's BGP sessions failing (0 up, 1 needed)." in told
    assert "session-changed" in told
    assert "has resigned (priority 0)" in said(b, "why", "web")
    assert "bound +" in said(b, "why", "web")

    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("agent-started", mark)
    wait_until(lambda: "session-changed" in a.ask("events"), lambda: a.ask("events"))
    assert "active -> initialize (unreachable" in a.ask("events", "web")
    assert a.ask("events").count("agent-started") == 2
    assert a.ask("events", "--since", "1s", "--json").count("\n") < a.ask("events", "--json").count("\n")


def test_a_picture_is_drawn_from_the_journals_of_both_nodes(fabric: Fabric, tmp_path: Path) -> None:
    """Also from that of a dead one."""
    fabric.start()
    fabric.settled("a")
    # Neither hears of the other's end: an agent whose ExaBGP has gone says priority 0.
    for pid, number in ((fabric.a.exabgp.pid, signal.SIGSTOP), (fabric.a.agent, signal.SIGKILL)):
        os.kill(pid, number)
    os.kill(fabric.a.exabgp.pid, signal.SIGKILL)
    fabric.b.becomes("active")
    fabric.b.log.wait("route-announced")
    (tmp_path / "b.jsonl").write_text(fabric.b.ask("events", "--json"))
    dead = tmp_path / "a" / "events.jsonl"
    dead.parent.mkdir()
    dead.write_bytes((fabric.a.directory / "lib" / "events.jsonl").read_bytes())

    pictures = []
    for name in ("one.svg", "two.svg"):
        command = [*AGENT, "why", "--svg", str(tmp_path / name), str(dead), str(tmp_path / "b.jsonl")]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        pictures.append((tmp_path / name).read_text())
    assert pictures[0] == pictures[1]
    told = [text.text or "" for text in ElementTree.fromstring(pictures[0]).iter("{http://www.w3.org/2000/svg}text")]
    assert any(one.startswith("b: web backup -> ACTIVE") and "fell silent on every path at once" in one for one in told)
    assert {"a", "b", "web", "Active", "Backup"} <= set(told)
    fabric.b.ask("why", "--svg", str(tmp_path / "live.svg"))
    ElementTree.parse(tmp_path / "live.svg")
