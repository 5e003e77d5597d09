"""Reloads of a whole agent with real ExaBGP, BIRD and kernel: what changes, what does not, and what comes back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import AGENT, Fabric, Host, Monitor, at, ended, wait_until

pytestmark = pytest.mark.system

SECOND = "2001:db8:53::99"

WINDOW = 5.0
"""Seconds to confirm, where a test waits for their end."""

PATIENT = 20.0
"""The same, where an agent is replaced before that."""

LONG = 600.0
"""Seconds to confirm, where they must not end."""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        built.start()
        yield built


def router(host: Host) -> dict[str, Any]:
    """What status tells of the router."""
    (found,) = host.document()["routers"]
    return dict(found)


def lo(host: Host) -> str:
    return host.namespace.run("ip", "-6", "addr", "show", "dev", "lo")


def test_another_priority_is_in_force_and_nothing_else_happens(fabric: Fabric) -> None:
    a = fabric.a
    mark = a.log.mark()
    a.configure(priority=151)
    assert a.document()["differs"]
    assert "on disk is not in force" in a.ask("status")
    told = a.ask("reload", "--dry-run")
    assert told.splitlines()[0] == "speaks    virtual_router.web.priority: 150 -> 151 (web, Active here)"
    assert router(a)["priority"] == 150
    assert a.ask("reload").splitlines()[-1] == "applied"
    assert router(a)["priority"] == 151
    assert not a.document()["differs"]
    fabric.sniffer.wait(1, a.source, since=at(a.log.wait("reload-applied", mark)), priority=151)
    assert a.ask("reload") == "nothing to do: what is in force is the same\n"
    assert a.log.moves(mark) == []
    assert [one["event"] for one in a.log.records[mark:]].count("router-reconfigured") == 1


def test_a_hang_up_reloads(fabric: Fabric) -> None:
    a = fabric.a
    mark = a.log.mark()
    a.configure(priority=151)
    os.kill(a.agent, signal.SIGHUP)
    a.log.wait("reload-applied", mark)
    assert router(a)["priority"] == 151
    a.configure(priority=300)
    os.kill(a.agent, signal.SIGHUP)
    assert "priority" in a.log.wait("reload-refused", mark)["detail"]
    assert router(a)["priority"] == 151


def test_an_address_comes_and_goes_in_order_while_another_one_is_served(fabric: Fabric) -> None:
    a = fabric.a
    linger = 1.0
    a.configure(linger=linger)
    assert a.ask("reload")
    with fabric.router:
        probes = subprocess.Popen(["ping", "-i", "0.02", "-W1", fabric.vip], stdout=subprocess.PIPE, text=True)
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    routes = Monitor(fabric.router, "route", a.directory / "routes.txt")
    a.configure(f'unlisted_addresses = ["{SECOND}"]', linger=linger)
    refused = a.call("reload")
    assert (refused.returncode, "--allow-move" in refused.stderr) == (1, True)
    assert SECOND not in lo(a)
    begun = time.time()
    a.ask("reload", "--allow-move")
    assert addresses.wait(SECOND, there=True, since=begun) < routes.wait(SECOND, there=True, since=begun)
    a.configure(linger=linger)
    begun = time.time()
    a.ask("reload", "--allow-move")
    withdrawn = routes.wait(SECOND, there=False, since=begun)
    unbound = addresses.wait(SECOND, there=False, since=begun)
    assert unbound - withdrawn > linger / 2
    probes.send_signal(signal.SIGINT)
    output, _ = probes.communicate(timeout=running.LIMIT)
    assert " 0% packet loss" in output, output
    assert [move for move in a.log.moves() if "active" in move[0]] == []
    fabric.settled()


def test_a_misspelt_link_is_refused_as_a_whole_and_one_that_is_away_is_not(fabric: Fabric) -> None:
    a = fabric.a
    mark = a.log.mark()
    a.configure('bind = "eht7"', priority=151)
    refused = a.call("reload", "--allow-move")
    why = "virtual_router.web.bind: this host has no eht7, so its addresses could not be bound; correct the name"
    assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert (router(a)["priority"], a.bound(), a.log.moves(mark)) == (150, True, [])
    a.namespace.ip("link add eth7 type veth")
    for priority in (150, 151):
        a.configure('bind = "eth7"', priority=priority)
        assert a.ask("reload", "--allow-move").splitlines()[-1] == "applied"
        a.namespace.ip("link del eth7" if priority == 150 else "link add eth7 type veth")
    assert router(a)["priority"] == 151


BROKEN = {
    "no TOML": "[agent\n",
    "empty": "",
    "not UTF-8": "\udcff\udcfe",
    "unknown key": 'colour = "red"',
    "wrong type": 'checks = "all"',
    "out of range": "preempt_delay = -1",
    "twice": "priority = 1",
    "no such check": 'checks = ["absent"]',
    "no such address": 'source = "2001:db8:ff::77"',
    "contradiction": 'authentication = "absent"',
}
"""Files, or lines in the table of the router."""


def test_no_broken_file_changes_anything(fabric: Fabric) -> None:
    a = fabric.a
    path = a.directory / "exavrrp.toml"
    before, addresses, mark = router(a), lo(a), a.log.mark()
    for name, text in BROKEN.items():
        if "=" in text:
            a.configure(text)
        else:
            path.write_text(text, errors="surrogateescape")
        done = a.call("reload")
        assert done.returncode == 1, name
        with a.namespace:
            checked = subprocess.run([*AGENT, "check", str(path)], capture_output=True, text=True, check=False)
        mistakes = [line for line in checked.stderr.splitlines() if line.startswith("error: ")]
        if name != "no such address":
            assert sorted(done.stderr.splitlines()) == sorted(mistakes), name
        else:
            assert done.stderr, name
    a.configure(priority=151)
    (a.directory / "conf.d").mkdir()
    (a.directory / "conf.d" / "broken.toml").write_text("[virtual_router.web]\n")
    assert "conf.d/broken.toml:1: virtual_router.web: stands in" in a.call("reload").stderr
    (a.directory / "conf.d" / "broken.toml").unlink()
    after = router(a)
    for key in ("role", "priority", "level", "addresses"):
        assert after[key] == before[key]
    assert lo(a) == addresses
    assert a.log.moves(mark) == []
    a.configure()
    assert a.ask("reload").startswith("nothing to do")


# What comes back


def test_a_change_that_nobody_confirms_comes_back(fabric: Fabric) -> None:
    a = fabric.a
    mark = a.log.mark()
    a.configure(priority=151)
    assert "unless it is confirmed" in a.ask("reload", "--confirm-within", f"{LONG:g}s")
    assert router(a)["priority"] == 151
    again = a.call("reload")
    assert (again.returncode, "--undo" in again.stderr) == (1, True)
    a.ask("reload", "--undo")
    a.log.wait("reload-undone", mark)
    mark = a.log.mark()
    a.ask("reload", "--confirm-within", f"{WINDOW:g}s")
    a.log.wait("reload-undone", mark)
    assert router(a)["priority"] == 150
    assert a.document()["differs"]
    # The file on disk still has it: another agent does not begin with it.
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("configuration-undone", mark)
    assert router(a)["priority"] == 150
    a.configure(priority=152)
    assert a.ask("reload")
    assert router(a)["priority"] == 152
    assert a.call("reload", "--confirm").returncode == 1
    assert "undone" in a.ask("reload", "--undo")
    assert router(a)["priority"] == 150
    assert a.call("reload", "--undo").returncode == 1


def test_a_change_that_is_confirmed_stays_and_can_be_undone_by_another_agent(fabric: Fabric) -> None:
    a = fabric.a
    a.configure(priority=151)
    a.ask("reload", "--confirm-within", f"{LONG:g}s")
    a.ask("reload", "--confirm")
    mark = a.log.mark()
    os.kill(a.agent, signal.SIGKILL)
    a.log.wait("agent-started", mark)
    assert router(a)["priority"] == 151
    a.ask("reload", "--undo")
    assert router(a)["priority"] == 150


@pytest.mark.parametrize("killed", ["agent", "full-reload"])
def test_a_change_comes_back_although_the_agent_was_replaced(fabric: Fabric, killed: str) -> None:
    """The address that it has brought is gone, too."""
    a = fabric.a
    a.configure(f'unlisted_addresses = ["{SECOND}"]', priority=151)
    mark = a.log.mark()
    until = time.time() + PATIENT  # at the earliest: the agent has not been asked yet
    a.ask("reload", "--allow-move", "--confirm-within", f"{PATIENT:g}s")
    # What ExaBGP has not answered would have the agent hand over when it is replaced.
    wait_until(lambda: fabric.bird.routes(SECOND), "the second address")
    wait_until(lambda: router(a)["accepted"], "ExaBGP's answer")
    agent = a.agent
    if killed == "agent":
        os.kill(agent, signal.SIGKILL)
    else:
        a.exabgp.send_signal(signal.SIGUSR2)
    ended(agent)
    a.log.wait("agent-started", mark)
    priority = router(a)["priority"]
    assert priority == 151 or time.time() >= until - 1, "its time is not over"
    a.log.wait("reload-undone", mark)
    assert time.time() >= until - 1
    assert router(a)["priority"] == 150
    wait_until(lambda: SECOND not in lo(a), lambda: f"no more of {SECOND}:\n{a.log.tell()}")
    fabric.settled()


def test_a_change_whose_time_is_over_when_an_agent_begins_is_not_in_force(fabric: Fabric) -> None:
    a = fabric.a
    a.configure(f'unlisted_addresses = ["{SECOND}"]')
    a.ask("reload", "--allow-move", "--confirm-within", f"{WINDOW:g}s")
    until, agent, mark = time.time() + WINDOW, a.agent, a.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)  # so that it does not start another one in time
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: time.time() > until, "the end of the window")
    a.exabgp.send_signal(signal.SIGCONT)
    a.log.wait("configuration-undone", mark)
    wait_until(lambda: SECOND not in lo(a), lambda: f"no more of {SECOND}:\n{a.log.tell()}")
    fabric.settled()


def test_a_rename_that_nobody_has_confirmed_is_undone_while_no_agent_lives(fabric: Fabric) -> None:
    """What the state files say of the router under its other name counts for it: its drain, and its replay counters."""
    a, path = fabric.a, fabric.a.directory / "exavrrp.toml"
    keys = f'active_key = 1\nkeys = {{ 1 = {{ hex = "{"5a" * 32}" }} }}\nwindow = 300'
    for mode, host in product(("receive-only", "permissive"), (a, fabric.b)):
        host.configure('authentication = "nodes"', checks=["[authentication.nodes]", f'mode = "{mode}"', keys])
        (host.directory / "exavrrp.toml").chmod(0o600)
        host.ask("reload")
    path.write_text(path.read_text().replace("[virtual_router.web", "[virtual_router.site"))
    a.ask("reload", "--confirm-within", f"{PATIENT:g}s")
    until, agent = time.time() + PATIENT, a.agent
    assert router(a)["name"] == "site"
    a.ask("drain", "site", "--wait")
    fabric.settled("b")
    a.exabgp.send_signal(signal.SIGSTOP)  # so that it does not start another agent
    os.kill(agent, signal.SIGKILL)
    a.exabgp.kill()
    a.exabgp.wait()
    wait_until(lambda: time.time() > until, "the end of the window", 2 * PATIENT)
    mark = a.log.mark()
    a.start()
    assert "was taken back" in a.log.wait("configuration-undone", mark)["detail"]
    assert a.log.wait("agent-started", mark)["routers"] == ["web"]
    found = router(a)
    assert (found["name"], found["drained"], found["outcome"]) == ("web", True, "drained")
    assert a.log.all("transition", mark, after="active") == []
    assert a.log.wait("replay-counters-loaded", mark)["known"] == 2
    assert a.document()["differs"]
    assert "web" in a.ask("undrain", "web")
    fabric.settled("a")
    assert a.document()["rejected"] == {}
    # Another agent begins with it, too, and finds the drain of nobody.
    agent, mark = a.agent, a.log.mark()
    os.kill(agent, signal.SIGKILL)
    assert a.log.wait("agent-started", mark)["routers"] == ["web"]
    a.becomes("active", mark)
    assert router(a)["drained"] is False


def test_a_router_that_signs_and_says_priority_0_last_is_replaced_by_the_same_agent(fabric: Fabric) -> None:
    """Its replay counter is there until the last priority 0 is sent."""
    a = fabric.a
    keys = f'active_key = 1\nkeys = {{ 1 = {{ hex = "{"5a" * 32}" }} }}'
    lines = 'authentication = "nodes"', 'handover = "break-before-make"'
    path = a.configure(*lines, checks=["[authentication.nodes]", 'mode = "permissive"', keys])
    path.chmod(0o600)
    a.ask("reload")
    agent, mark = a.agent, a.log.mark()
    path.write_text(path.read_text().replace(f"vrid = {running.VRID}", f"vrid = {running.VRID + 1}"))
    a.ask("reload", "--allow-move")
    a.log.wait("transition", mark, after="active")
    assert (a.agent, a.log.all("internal-error", mark)) == (agent, [])


def test_what_a_node_without_an_answer_of_exabgp_still_serves_does_not_move_without_leave(fabric: Fabric) -> None:
    """It is not Active any more, but routers have its route."""
    a = fabric.a
    mark = a.log.mark()
    a.exabgp.send_signal(signal.SIGSTOP)
    a.log.wait("transition", mark, after="initialize")
    a.configure(f'unlisted_addresses = ["{SECOND}"]')
    refused = a.call("reload")
    assert (refused.returncode, "web serves here; drain it first" in refused.stderr) == (1, True), refused
    assert a.bound()
    assert SECOND not in lo(a)
    a.exabgp.send_signal(signal.SIGCONT)
    a.becomes("active", mark)


def test_a_change_at_a_time_comes_then_or_is_called_off(fabric: Fabric) -> None:
    a = fabric.a
    a.configure(priority=151)
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    command = [*AGENT, "reload", "--config", str(a.directory / "exavrrp.toml"), "--at", later]
    with a.namespace:
        waits = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    a.log.wait("reload-scheduled")
    assert "waits for its time" in a.call("reload").stderr
    assert "called off" in a.ask("reload", "--undo")
    output, _ = waits.communicate(timeout=running.LIMIT)
    assert output.splitlines()[-1].startswith("called off")
    assert router(a)["priority"] == 150
    moment = int(time.time()) + 15  # a busy machine takes some of that to begin
    stamp = time.strftime("%H:%M:%SZ", time.gmtime(moment))
    assert a.ask("reload", "--at", stamp).splitlines()[-1] == "applied"
    assert moment <= at(a.log.wait("reload-applied")) < moment + 1
    assert router(a)["priority"] == 151


def test_a_change_whose_link_is_gone_when_its_time_comes_is_refused(fabric: Fabric) -> None:
    a = fabric.a
    a.namespace.ip("link add eth7 type veth")
    mark = a.log.mark()
    a.configure('bind = "eth7"')
    stamp = time.strftime("%H:%M:%SZ", time.gmtime(int(time.time()) + 15))  # as above
    command = [*AGENT, "reload", "--config", str(a.directory / "exavrrp.toml"), "--allow-move", "--at", stamp]
    with a.namespace:
        waits = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    a.log.wait("reload-scheduled", mark)
    a.namespace.ip("link del eth7")
    _, why = waits.communicate(timeout=running.LIMIT)
    assert (waits.returncode, "this host has no eth7" in why) == (1, True), why
    assert (a.bound(), a.log.moves(mark)) == (True, [])
