"""What a reload does not touch: other routers, other nodes, and the agent itself.

What is measured is compared with the same time before the reload, in the same run: a busy machine is late by itself.
"""

import json
import logging
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from exavrrp.cli.reload import PATIENCE
from tests.system import running
from tests.system.conftest import Namespace, Need, cable
from tests.system.running import AGENT, Copy, Fabric, Host, Log, Monitor, loopback, wait_until

pytestmark = pytest.mark.system

LOG = logging.getLogger(__name__)
"""The figures: ``pytest --log-cli-level INFO`` shows them."""

INTERVAL = 0.1
ATTEMPTS = 3
"""How often something is done until nobody else has had the cores meanwhile."""
CALM = 1.0
"""Seconds between adverts where nobody measures them, on a busy machine."""
WINDOW = 4.0
"""Seconds that are watched before and after a reload."""
ROUTERS = 50
RELOADS = int(os.environ.get("EXAVRRP_RELOADS", "40"))
"""How many there are in a row."""
GROWTH = 4096
"""KiB that the agent may grow by meanwhile."""


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def write(host: Host, routers: int = ROUTERS, interval: float = INTERVAL, **changed: str) -> None:
    """exavrrp.toml with many routers; ``changed``: lines for some of them."""
    lines = [
        "[agent]",
        f'sources = ["{loopback(host.name, 6)}", "{loopback(host.name, 4)}"]',
        f'peers = ["{loopback("b", 6)}", "{loopback("b", 4)}"]',
        f"advert_interval = {interval}",
        f'state_directory = "{host.directory / "run"}"',
        f'persistent_directory = "{host.directory / "lib"}"',
    ]
    for number in range(1, routers + 1):
        vrid = (number - 1) % 255 + 1
        address = f"2001:db8:53::{vrid:x}" if number <= 255 else f"198.51.100.{vrid}"
        lines += [
            f"[virtual_router.v{number}]",
            f"vrid = {vrid}",
            f'addresses = ["{address}"]',
            f"min_sessions = {int(number <= 255)}",  # the sessions carry IPv6 alone
            changed.get(f"v{number}", "priority = 100"),
            f'notify = ["/bin/sh", "-c", "echo told >> {host.directory}/told"]' if number <= ROUTERS else "",
        ]
    (host.directory / "exavrrp.toml").write_text("\n".join(lines) + "\n")


def begin(host: Host, interval: float = INTERVAL) -> None:
    """Starts a host that serves all routers alone."""
    write(host, interval=interval)
    host.start()
    wait_until(
        lambda: len({one["router"] for one in host.log.all("route-announced", state="active")}) == ROUTERS,
        lambda: f"{ROUTERS} announced:\n{host.log.tell()[-3000:]}",
        3 * running.LIMIT,
    )
    told = host.directory / "told"
    wait_until(lambda: told.exists() and told.read_text().count("\n") >= 2 * ROUTERS, "all notifications")


def latest(copies: list[Copy], since: float, until: float, without: int = 0) -> float:
    """By how many seconds an advert of any router was late at most, on one path."""
    found = 0.0
    for vrid in range(1, ROUTERS + 1):
        times = [one.at for one in copies if one.vrid == vrid != without and since <= one.at <= until]
        found = max([found, *(later - earlier - INTERVAL for earlier, later in pairwise(times))])
    return found


def watch(fabric: Fabric, act: Callable[[int], object], without: int = 0) -> None:
    """No advert is missing because of ``act``; by how much the latest one was late is logged.

    It is done again if others have had the cores meanwhile: what the reload itself does, it does each time.
    """
    found: list[tuple[float, float]] = []
    for attempt in range(ATTEMPTS):
        quiet = time.time()
        wait_until(lambda: time.time() > quiet + 2 * WINDOW, "time to pass")  # noqa: B023 — at once
        begun = time.time()
        act(attempt)
        ended = time.time()
        wait_until(lambda: time.time() > ended + WINDOW, "time to pass")  # noqa: B023 — at once
        copies = fabric.sniffer.copies(fabric.a.source, "a0", quiet)
        before, after = latest(copies, quiet, begun), latest(copies, begun, ended + WINDOW, without)
        LOG.info("late by at most %.1f ms before, %.1f ms with a reload", before * 1000, after * 1000)
        found.append((before, after))
        if after <= before + INTERVAL:
            return
    pytest.fail(f"late before and with a reload, in seconds: {found}")


@pytest.mark.alone
def test_another_priority_of_one_router_is_no_matter_of_the_others(fabric: Fabric) -> None:
    a = fabric.a
    begin(a)
    addresses = Monitor(a.namespace, "address", a.directory / "addresses.txt")
    changes = [fabric.bird.updates(session, changing=True) for session in ("a0", "a1")]
    told, mark = (a.directory / "told").read_text(), a.log.mark()

    def reload(attempt: int) -> None:
        write(a, v7=f"priority = {99 - attempt}")
        a.ask("reload")

    watch(fabric, reload, without=7)
    fabric.sniffer.wait(1, a.source, via="a0", vrid=7, priority=99)
    assert {one.vrid for one in fabric.sniffer.copies(a.source) if one.priority != 100} == {7}
    assert [fabric.bird.updates(session, changing=True) for session in ("a0", "a1")] == changes
    assert addresses.changes("lo") == []
    assert (a.directory / "told").read_text() == told
    assert a.log.moves(mark) == []
    assert {one.get("router") for one in a.log.records[mark:]} <= {None, "v7"}


@pytest.mark.alone
@pytest.mark.parametrize("broken", [False, True], ids=["good", "broken"])
def test_a_file_of_510_routers_is_read_and_no_advert_waits(fabric: Fabric, broken: bool) -> None:
    begin(fabric.a)
    write(fabric.a, 510, v509="priority = 300" if broken else "priority = 9")
    done: list[subprocess.CompletedProcess[str]] = []
    watch(fabric, lambda _: done.append(fabric.a.call("reload", "--dry-run")))
    assert done[0].returncode == int(broken), done[0].stderr
    assert done[0].stdout.count("new") == (0 if broken else 460)


def test_many_reloads_leave_nothing_behind(fabric: Fabric) -> None:
    """Good and broken files in any order."""
    a = fabric.a
    begin(a, CALM)
    chosen, agent, mark = random.Random(RELOADS), a.agent, a.log.mark()
    path = a.directory / "exavrrp.toml"
    sizes: list[int] = []
    refused = applied = 0
    for count in range(RELOADS):
        numbers = chosen.sample(range(1, ROUTERS + 1), 5)
        changed = {f"v{one}": f"priority = {chosen.randrange(50, 255)}" for one in numbers}
        write(a, ROUTERS, CALM, **(changed | {"v50": more(chosen)}))
        if chosen.random() < 0.3:
            text = path.read_text()
            path.write_text(chosen.choice((text[: len(text) // 2] + "[", text + "colour = 1\n", "", text * 2)))
        done = a.call("reload", "--allow-move")
        refused, applied = refused + done.returncode, applied + (1 - done.returncode)
        if count >= RELOADS // 4:
            sizes.append(resident(agent))
    write(a, interval=CALM)
    a.ask("reload", "--allow-move")
    LOG.info("%d applied, %d refused, %d to %d KiB", applied, refused, sizes[0], sizes[-1])
    assert applied > 0 < refused
    assert a.log.moves(mark) == []
    assert a.agent == agent
    assert sizes[-1] - sizes[0] < GROWTH, sizes
    assert not list(Path(f"/proc/{agent}/task/{agent}/children").read_text().split())
    wait_until(lambda: extra(a) == 0, lambda: f"no address of a router that it does not have:\n{a.log.tell(mark)}")
    assert len(list(Path(f"/proc/{agent}/fd").iterdir())) < 60


def more(chosen: random.Random) -> str:
    """The last router has another address, for a while."""
    return f'priority = 100\nunlisted_addresses = ["2001:db8:54::{chosen.randrange(1, 9):x}"]'


def extra(host: Host) -> int:
    return host.namespace.run("ip", "-6", "addr", "show", "dev", "lo").count("2001:db8:54::")


def resident(process: int) -> int:
    """KiB of memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


# Keys

NODES = (1, 2, 3)
KEYS = {1: "5a" * 32, 2: "c3" * 32}


class Three:
    """Three agents without ExaBGP, each connected to each."""

    def __init__(self, namespace: Callable[[], Namespace], directory: Path) -> None:
        self.namespaces = {number: namespace() for number in NODES}
        self.directories = {number: directory / str(number) for number in NODES}
        for number, one in self.namespaces.items():
            self.directories[number].mkdir()
            one.ip(f"addr add 2001:db8:ff::{number}/128 dev lo")
        for first, second in ((1, 2), (1, 3), (2, 3)):
            cable(self.namespaces[first], f"eth{second}", self.namespaces[second], f"eth{first}")
            for near, far in ((first, second), (second, first)):
                self.namespaces[near].ip(
                    f"addr add fd00:{first}{second}::{near}/64 dev eth{far} nodad\n"
                    f"route add 2001:db8:ff::{far}/128 via fd00:{first}{second}::{far} dev eth{far}"
                    f" src 2001:db8:ff::{near}"
                )
        self.logs = {number: Log(self.directories[number] / "agent.log") for number in NODES}
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, number: int, active: int, *keys: int) -> None:
        others = ", ".join(f'"2001:db8:ff::{one}"' for one in NODES if one != number)
        known = ", ".join(f'{key} = {{ file = "{self.directories[number] / f"key{key}"}" }}' for key in keys)
        for key in keys:
            path = self.directories[number] / f"key{key}"
            path.write_text(f"hex:{KEYS[key]}\n")
            path.chmod(0o600)
        (self.directories[number] / "exavrrp.toml").write_text(
            f"""[agent]
            sources = ["2001:db8:ff::{number}"]
            peers = [{others}]
            advert_interval = 0.5
            state_directory = "{self.directories[number]}"
            persistent_directory = "{self.directories[number]}"
            authentication = "nodes"
            [virtual_router.web]
            vrid = 7
            priority = {50 * number}
            addresses = ["2001:db8:53::1"]
            min_sessions = 0
            [authentication.nodes]
            mode = "enforce"
            active_key = {active}
            keys = {{ {known} }}
            """
        )

    def start(self, number: int) -> None:
        with (self.directories[number] / "agent.log").open("a") as errors:
            command = [*AGENT, "run", "--log-format", "json", "--config", str(self.file(number))]
            self.processes.append(
                self.namespaces[number].popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            )

    def file(self, number: int) -> Path:
        return self.directories[number] / "exavrrp.toml"

    def call(self, number: int, *words: str) -> str:
        command = [*AGENT, *words, "--config", str(self.file(number))]
        with self.namespaces[number]:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        return done.stdout

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def three(namespace: Callable[[], Namespace], tmp_path: Path) -> Iterator[Three]:
    built = Three(namespace, tmp_path)
    yield built
    built.close()


def test_a_key_is_replaced_on_three_nodes_and_nobody_notices(three: Three) -> None:
    for number in reversed(NODES):
        three.write(number, 1, 1)
        three.start(number)
        three.logs[number].wait("transition")
    three.logs[3].wait("transition", after="active")
    marks = {number: log.mark() for number, log in three.logs.items()}
    for active, keys in ((1, (1, 2)), (2, (1, 2)), (2, (2,))):
        for number in NODES:
            three.write(number, active, *keys)
            assert three.call(number, "reload").splitlines()[-1] == "applied"
            three.logs[number].wait("reload-applied", marks[number])
    for number in NODES:
        found = json.loads(three.call(number, "status", "--json"))
        assert [one["role"] for one in found["routers"]] == ["active" if number == 3 else "backup"]
        assert three.logs[number].moves(marks[number]) == []
        assert found["rejected"] == {}
