"""What clients do to adverts: `python -m tests.benchmarks.clients` (root; some two minutes, `--seconds 600` for long).

Two nodes share 50 virtual routers, adverts every 100 ms. In turn, nothing and then all of this happens to the first
node for the same time: once a second 200 clients ask for its status at once; one more asks again and again and never
reads the answer; its exporter is scraped ten times a second. Or, with `--watch`: tmux shows `exavrrp watch`, with
`--seconds 3600 --quiet 300` for an hour, and five minutes without.

Reported for each: transitions (there should be none), how late its adverts left (as in ``floods``), the agent's share
of a core, the answers that each kind of client had, and whatever is not as it should be, which makes the exit status 1:
also if the clients had too few answers for the run to say anything. A client is an ordinary process, and needs CPU
itself: on a machine with two cores agents, clients, exporter and the measurement share them.
"""

import argparse
import contextlib
import http.client
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from exavrrp.control import SOCKET, Status, encode
from tests.benchmarks.floods import HEADING, Load, Result, measured
from tests.benchmarks.nodes import REALTIME, Node, Plan, Site, site
from tests.system.running import AGENT, LIMIT, wait_until
from tests.system.test_watch import Terminal

INTERVAL = 0.1
ROUTERS = 50
CLIENTS = 200
SCRAPES = 10
"""a second"""
PORT = 9112
MOST = 5.0
"""Milliseconds by which the 99.9th percentile may be later with clients than without."""
ANSWERS = {"crowd": CLIENTS, "scraper": SCRAPES, "watch": 1}
"""that each kind asks for in a second, or that it should have at least"""
ENOUGH = 0.9
"""The share of these that it has to have."""


# What the clients' process does


def crowd(path: Path) -> int:
    """Ask for the status many times at once; how many answers were whole."""
    waiting = selectors.DefaultSelector()
    for _ in range(CLIENTS):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        connection.sendall(encode(Status()))
        waiting.register(connection, selectors.EVENT_READ)
    whole, last = 0, dict.fromkeys(waiting.get_map(), b"")
    while waiting.get_map():
        for key, _ in waiting.select(LIMIT):
            assert isinstance(key.fileobj, socket.socket)
            if chunk := key.fileobj.recv(1 << 18):
                last[key.fd] = chunk[-1:]
            else:
                whole += last[key.fd] == b"\n"
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    return whole


def mute(path: Path) -> socket.socket:
    """One that asks and never reads."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.sendall(encode(Status()))
    return connection


def scrape() -> bool:
    """Whether it was answered in full."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=LIMIT)
    try:
        connection.request("GET", "/metrics")
        return b"exavrrp_up 1.0" in connection.getresponse().read()
    finally:
        connection.close()


def watch(path: Path, seconds: float) -> int:
    """Have tmux show ``exavrrp watch`` for so long; how many of its screens, one a second, were later than the last."""
    end, screen, later = time.monotonic() + seconds, "", 0
    with tempfile.TemporaryDirectory() as directory:
        terminal = Terminal("tmux", Path(directory), path.with_name("exavrrp.toml"))
        try:
            while (now := time.monotonic()) < end:
                before, screen = screen, terminal.run("capture-pane", "-p")
                later += "q quit" in screen and screen != before
                time.sleep(max(0.0, now + 1.0 - time.monotonic()))
        finally:
            terminal.close()
    return later


def work(what: str, path: Path, seconds: float) -> NoReturn:
    """Be these clients for so long, and print how many answers there were."""
    os.nice(10)
    if what == "watch":
        print(watch(path, seconds), flush=True)
        sys.exit()
    count, begin, idle = 0, time.monotonic(), []
    pause = 1.0 if what == "crowd" else 1 / SCRAPES
    while (now := time.monotonic()) < begin + seconds:
        if what == "crowd":
            count += crowd(path)
            idle.append(mute(path))
            if len(idle) > 1:  # until the agent closes it
                idle.pop(0).close()
        else:
            count += scrape()
        time.sleep(max(0.0, now + pause - time.monotonic()))
    print(count, flush=True)
    sys.exit()


class Clients(Load):
    """A process for each kind, in the namespace of a node."""

    def __init__(self, node: Node, seconds: float, kinds: Sequence[str]) -> None:
        path = str(node.directory / SOCKET)
        self._wanted = {what: round(ENOUGH * ANSWERS[what] * seconds) for what in kinds}
        self._processes = [
            node.namespace.popen(
                [sys.executable, "-m", "tests.benchmarks.clients", "--be", what, path, "--seconds", str(seconds)],
                stdout=subprocess.PIPE,
            )
            for what in kinds
        ]
        self.answers: list[int] = []

    def wait(self) -> int:
        """How many answers they have had."""
        self.answers = [int(process.communicate(timeout=LIMIT)[0]) for process in self._processes]
        return sum(self.answers)

    def unanswered(self) -> list[str]:
        """Who had too few answers, or some that were not whole."""
        found = [
            f"{what}: {answers} answers, not {wanted}"
            for (what, wanted), answers in zip(self._wanted.items(), self.answers, strict=True)
            if answers < wanted
        ]
        if "crowd" in self._wanted and self.answers[0] % CLIENTS:
            found.append(f"crowd: {self.answers[0]} answers, and the others were not whole")
        return found


def mistakes(quiet: Result, busy: Result, clients: Clients) -> list[str]:
    """What is not as it should be."""
    found = [f"{one.name}: {one.transitions} transitions" for one in (quiet, busy) if one.transitions]
    found += [f"{one.name}: no adverts" for one in (quiet, busy) if not one.adverts]
    if (later := busy.late[1] - quiet.late[1]) > MOST:
        found.append(f"99.9 % of the adverts are up to {later:.2f} ms later than without, more than {MOST:g} ms")
    return found + clients.unanswered()


def moves(where: Site, since: float) -> list[str]:
    """The first transition of each node, as its log has it."""
    return [f"node{node.number}: {found[0]}" for node in where.nodes if (found := node.moves(since))]


def main() -> int:
    """0 if nothing moved, every client was answered, and adverts were as punctual as without."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.clients", description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=20.0, help="for each phase (default: %(default)s)")
    options.add_argument("--quiet", type=float, help="for the phase without clients (default: as long)")
    options.add_argument("--repeat", type=int, default=3, help="of both phases (default: %(default)s)")
    options.add_argument("--realtime", action="store_true", help="agents with real-time scheduling: for a busy machine")
    options.add_argument("--watch", action="store_true", help="exavrrp watch in place of these clients")
    options.add_argument("--be", nargs=2, metavar=("WHAT", "SOCKET"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.be:
        work(chosen.be[0], Path(chosen.be[1]), chosen.seconds)
    print(HEADING, flush=True)
    bad = False
    kinds, name = ["crowd", "scraper"], f"{CLIENTS} clients, {SCRAPES} Hz"
    if chosen.watch:
        kinds, name = ["watch"], "exavrrp watch"
    plan = Plan(nodes=2, routers=ROUTERS, interval=INTERVAL, options=REALTIME if chosen.realtime else ())
    with site(plan) as where:
        node = where.nodes[0]
        file = str(node.directory / "exavrrp.toml")
        with contextlib.ExitStack() as closing:
            if not chosen.watch:
                as_its_unit = ("nice", "-n", "10")
                exporter = node.namespace.popen(
                    [*as_its_unit, *AGENT, "exporter", "--config", file, "--port", str(PORT)]
                )
                closing.callback(exporter.kill)
                with node.namespace:
                    wait_until(_scraped, "the exporter")
            for _ in range(chosen.repeat):
                begin = time.time()
                quiet = measured(where, "quiet", None, chosen.quiet or chosen.seconds)
                clients = Clients(node, chosen.seconds, kinds)
                busy = measured(where, name, clients, chosen.seconds)
                found = mistakes(quiet, busy, clients) + moves(where, begin)
                bad |= bool(found)
                print("\n".join([quiet.line(), f"{busy.line()}  answers {clients.answers}", *found]), flush=True)
    return int(bad)


def _scraped() -> bool:
    with contextlib.suppress(OSError):
        return scrape()
    return False


if __name__ == "__main__":
    sys.exit(main())
