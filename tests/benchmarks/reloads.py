"""What many reloads leave behind: `python -m tests.benchmarks.reloads --reloads 200 --minutes 10` (root).

Two nodes share 50 virtual routers. The file of the first one is written and reloaded again and again, at equal
distances: with other priorities, addresses, checks, notify programs and peers, with a virtual router that comes and
goes, and broken in all ways that ``broken`` knows. In between and at the end it is told how large the agent is and what
it holds. At the end the first file is reloaded, and everything has to be as it was.

A transition is in order if a reload that was applied in the seconds before has changed its virtual router.
"""

import argparse
import random
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.nodes import Node, Plan, Site, site
from tests.system.running import AGENT, Record, at, open_files, processes, wait_until

ROUTERS = 50
INTERVAL = 1.0
"""Seconds between adverts: it is not punctuality that is measured, and the machine may be busy."""
CHANGED = 5
"""Most routers that differ in one file."""
FAR = "2001:db8:ff::77"
"""A peer that nobody is."""
SPARE = "2001:db8:54::"
"""Beginning of the addresses that come and go."""
CONSEQUENCES = 20.0
"""Seconds after a reload in which what it names may move: a handover, and the way back of a router that has left."""
GROWTH = 4096
"""KiB that the agent may grow by, from the first quarter on to the end."""
FINE = '[check.fine]\ncommand = ["/bin/true"]\ninterval = 0.5\n'
LIMIT = 60.0
"""Seconds to wait until all is as it was."""


def good(node: Node, plan: Plan, chosen: random.Random) -> str:
    """A file that differs from the first one in a few routers."""
    text = plan.configuration(node.number, node.directory)
    if chosen.random() < 0.2:
        text = text.replace("peers = [", f"peers = ['{FAR}', ")
    for vrid in chosen.sample(range(1, ROUTERS + 1), chosen.randint(1, CHANGED)):
        lines = (
            f"priority = {chosen.randrange(50, 255)}",
            f'unlisted_addresses = ["{SPARE}{vrid:x}"]',
            'checks = ["fine"]',
            'notify = ["/bin/true"]',
            "preempt_delay = 1",
        )
        head, priority, tail = text.partition(f"[virtual_router.v{vrid}]\nvrid = {vrid}\npriority = ")
        before, _, rest = tail.partition("\n")
        line = chosen.choice(lines)
        text = f"{head}{priority}{before}\n{line}\n{rest}"
        if line.startswith("priority"):
            text = f"{head}{priority.removesuffix('priority = ')}{line}\n{rest}"
    if 'checks = ["fine"]' in text:
        text += FINE
    if chosen.random() < 0.3:
        text += f'[virtual_router.more]\nvrid = 200\naddresses = ["{SPARE}ffff"]\nmin_sessions = 0\n'
    return text


def broken(text: str, chosen: random.Random) -> bytes:
    """A file that nobody may use."""
    first = "[virtual_router.v1]\n"
    return chosen.choice(
        (
            b"",
            text[: len(text) // 2].encode() + b"[",
            text.encode() * 2,
            text.encode() + b"\xff\xfe",
            f"colour = 1\n{text}".encode(),
            text.replace(first, f"{first}preempt_delay = -1\n").encode(),
            text.replace(first, f'{first}checks = ["absent"]\n').encode(),
            text.replace(first, f'{first}source = "{FAR}"\n').encode(),
            text.replace(first, f'{first}authentication = "absent"\n').encode(),
            chosen.randbytes(4096),
        )
    )


@dataclass(frozen=True)
class Held:
    """What an agent has."""

    resident: int
    """KiB"""
    sockets: int
    others: int
    """open files that are no sockets"""
    threads: int
    processes: int
    """in the namespace"""
    addresses: int
    """of lo"""
    rules: int
    """lines of nft"""
    files: int
    """in its directory, but for the journals, which are three in the end"""

    @classmethod
    def of(cls, node: Node) -> "Held":
        process = Path(f"/proc/{node.process.pid}")
        files = open_files(node.process.pid)
        sockets = sum(one.startswith("socket:") for one in files)
        return cls(
            node.resident(),
            sockets,
            len(files) - sockets,
            len(list((process / "task").iterdir())),
            len(list(processes(node.namespace))),
            node.namespace.run("ip", "-oneline", "address", "show", "dev", "lo").count("\n"),
            node.namespace.run("nft", "list", "ruleset").count("\n"),
            sum(not one.name.startswith("events.") for one in node.directory.iterdir()),
        )

    def __str__(self) -> str:
        return (
            f"{self.resident:6} KiB  {self.sockets} sockets  {self.others} other files  {self.threads} threads "
            f" {self.processes} processes  {self.addresses} addresses  {self.rules} rules  {self.files} files"
        )

    def same(self, other: "Held") -> bool:
        """Whether all but the memory is the same."""
        return str(self).partition("KiB")[2] == str(other).partition("KiB")[2]


class Reloaded:
    """One node, reloaded again and again."""

    def __init__(self, where: Site, seed: int) -> None:
        self.node = where.nodes[0]
        self.file = self.node.directory / "exavrrp.toml"
        self.first = self.file.read_bytes()
        self._where = where
        self._chosen = random.Random(seed)
        self._applied: list[tuple[float, set[str]]] = []
        """when something was applied, and which virtual routers that has changed"""
        self._last = self.first
        self.applied = self.refused = 0
        self.bad: list[str] = []

    def prepare(self) -> None:
        """Have it do once what leaves something for good: files for the next agent, the thread that starts programs."""
        head = b"[virtual_router.v1]\n"
        self.file.write_bytes(self.first.replace(head, head + b'checks = ["fine"]\n') + FINE.encode())
        self.reload()
        self.node.log.wait("check-changed")
        self.file.write_bytes(self.first)
        self.reload()
        wait_until(self._where.settled, "rest")

    def step(self) -> None:
        """Write a file, good or broken, and reload it."""
        text = good(self.node, self._where.plan, self._chosen)
        is_good = self._chosen.random() < 0.7
        self.file.write_bytes(text.encode() if is_good else broken(text, self._chosen))
        done = self.reload()
        if (done.returncode == 0) is not is_good:
            self.bad.append(f"ended with {done.returncode}, with a file that is {'good' if is_good else 'broken'}")
            self.bad += done.stderr.splitlines()[:3]
        self.applied, self.refused = self.applied + is_good, self.refused + (not is_good)

    def reload(self) -> "subprocess.CompletedProcess[str]":
        command = [*AGENT, "reload", "--allow-move", "--config", str(self.file)]
        asked = time.time()
        with self.node.namespace:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            before, self._last = self._last, self.file.read_bytes()
            self._applied.append((asked, differing(before, self._last)))
        return done

    def unnamed(self, since: float) -> Iterator[Record]:
        """The transitions of virtual routers that no reload has changed."""
        for node in self._where.nodes:
            for move in node.moves(since):
                if not any(
                    0 <= at(move) - asked <= CONSEQUENCES and move["router"] in names for asked, names in self._applied
                ):
                    yield move


def differing(before: bytes, after: bytes) -> set[str]:
    """The virtual routers that two files configure otherwise; all of them if what they share differs."""
    old, new = (tomllib.loads(one.decode()) for one in (before, after))
    names = old["virtual_router"].keys() | new["virtual_router"].keys()
    if old["agent"] != new["agent"]:
        return set(names)
    return {name for name in names if old["virtual_router"].get(name) != new["virtual_router"].get(name)}


def main() -> int:
    """0 if nothing was left behind, and nothing moved that no reload had named."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.reloads", description=__doc__.partition("\n")[0])
    options.add_argument("--reloads", type=int, default=200, help="how many (default: %(default)s)")
    options.add_argument("--minutes", type=float, default=10.0, help="for all of them (default: %(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of what is chosen (default: %(default)s)")
    chosen = options.parse_args()
    with site(Plan(nodes=2, routers=ROUTERS, interval=INTERVAL)) as where:
        run = Reloaded(where, chosen.seed)
        run.prepare()
        agent, before, begun = run.node.process.pid, Held.of(run.node), time.time()
        print(f"at first               {before}", flush=True)
        quarter: Held | None = None
        for count in range(1, chosen.reloads + 1):
            run.step()
            if count % max(1, chosen.reloads // 10) == 0:
                held = Held.of(run.node)
                print(f"{count:4}: {run.applied:4} applied {run.refused:3} refused {held}", flush=True)
            if count >= chosen.reloads / 4 and quarter is None:
                quarter = Held.of(run.node)
            time.sleep(max(0.0, begun + count * 60 * chosen.minutes / chosen.reloads - time.time()))
        run.file.write_bytes(run.first)
        run.reload()
        after = _at_rest(where, run, before)
        print(f"at the end             {after}", flush=True)
        moves, unnamed = sum(where.moves(begun).values()), list(run.unnamed(begun))
        print(f"{moves} transitions, {len(unnamed)} of them not named by a reload; {time.time() - begun:.0f} s")
        bad = [*run.bad, *map(str, unnamed)]
        bad += ["it is another agent"] if run.node.process.poll() is not None or run.node.process.pid != agent else []
        bad += [] if after.same(before) else ["it holds something else than at first"]
        bad += [] if quarter is None or after.resident - quarter.resident < GROWTH else ["it has grown"]
    print("\n".join(bad) or "nothing was left behind")
    return int(bool(bad))


def _at_rest(where: Site, run: Reloaded, before: Held) -> Held:
    """What it holds when it serves at home again, and holds the same, or after a limit."""
    end = time.monotonic() + LIMIT

    def rested() -> Held | None:
        held = Held.of(run.node)
        late = time.monotonic() > end
        return held if late or (where.settled() and held.same(before)) else None

    found = wait_until(rested, "rest", 2 * LIMIT)
    assert found is not None
    return found


if __name__ == "__main__":
    sys.exit(main())
