"""From what the kernel and the instruments wrote down to figures.

Pure: text and bytes in, values out. Times of captures and monitors are seconds since the epoch.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil

RECORD = struct.Struct("<QBBBB")
"An advert as `capture.py` writes it: ns since the epoch, IP version, VRID, priority, number of the uplink."


@dataclass(frozen=True, slots=True)
class Stat:
    """What is needed of /proc/PID/stat (proc_pid_stat(5))."""

    pid: int
    parent: int
    user: int
    kernel: int
    "CPU outside and inside of the kernel, in clock ticks: whoever runs at a tick has used all of it"
    ticks_of_children: int
    "CPU of children that have ended and were waited for, theirs included"


def parse_stat(text: str) -> Stat:
    """The name stands in parentheses, and may contain anything."""
    pid, rest = text.split(" ", 1)
    words = rest.rpartition(")")[2].split()
    user, kernel, *of_children = map(int, words[11:15])
    return Stat(int(pid), int(words[1]), user, kernel, sum(of_children))


@dataclass(frozen=True, slots=True)
class Used:
    """CPU that a process has used, with everything below it."""

    seconds: float
    user: int
    kernel: int
    "ticks of those that run still, as in `Stat`"

    def since(self, before: Used) -> Used:
        return Used(self.seconds - before.seconds, self.user - before.user, self.kernel - before.kernel)

    @property
    def kernel_share(self) -> float | None:
        "How much of it was the kernel's, 0 to 1."
        ticks = self.user + self.kernel
        return self.kernel / ticks if ticks > 0 else None


def descendants(pid: int, stats: Iterable[Stat]) -> list[Stat]:
    """A process and everything below it, parents first; empty if it is gone."""
    stats = list(stats)
    found = [each for each in stats if each.pid == pid]
    for one in found:  # grows
        found += [each for each in stats if each.parent == one.pid]
    return found


def parse_run_time(schedstat: str) -> float:
    """Seconds of CPU of a thread, from /proc/PID/task/TID/schedstat: exact, where `stat` counts in ticks of 10 ms."""
    return int(schedstat.split(maxsplit=1)[0]) / 1e9


def parse_memory(rollup: str) -> tuple[int, int]:
    """RSS and PSS in KiB, from /proc/PID/smaps_rollup."""
    values = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", rollup, flags=re.MULTILINE))
    return int(values["Rss"]), int(values["Pss"])


@dataclass(frozen=True, slots=True)
class Capture:
    """One copy of an advert, as it came to a peer."""

    time: float
    version: int
    vrid: int
    uplink: int


def parse_captures(data: bytes, since: float, until: float) -> list[Capture]:
    """Those of this time, without the last record if it is not whole yet."""
    whole = data[: len(data) - len(data) % RECORD.size]
    found = (Capture(time / 1e9, version, vrid, uplink) for time, version, vrid, _, uplink in RECORD.iter_unpack(whole))
    return [each for each in found if since <= each.time <= until]


def lateness(captures: Iterable[Capture], interval: float) -> list[float]:
    """By how many seconds each advert came later than one interval after the one before on its path; in time: 0."""
    last: dict[tuple[int, int, int], float] = {}
    found = []
    for each in captures:
        path = (each.version, each.vrid, each.uplink)
        if path in last:
            found.append(max(0.0, each.time - last[path] - interval))
        last[path] = each.time
    return found


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that this share (0 to 1) of them does not exceed; None if there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def parse_bursts(text: str, since: float, until: float) -> int:
    """Packets that a stand-in sent in this time: it writes `TIME NUMBER` for each burst, the time in ns."""
    lines = (line.split() for line in text.splitlines())
    return sum(int(number) for time, number in lines if since <= int(time) / 1e9 <= until)


def longest_pause(text: str) -> float | None:
    """Seconds between two bursts of a stand-in, at most; None with less than two."""
    times = [int(line.split()[0]) / 1e9 for line in text.splitlines()]
    return max((later - earlier for earlier, later in pairwise(times)), default=None)


def parse_monitor(lines: Iterable[str], wanted: Collection[str], since: float) -> dict[str, float]:
    """When each wanted address came, from `ip -tshort -oneline monitor address` or `route`, in UTC."""
    found: dict[str, float] = {}
    for line in lines:
        if match := re.match(r"\[(\S+)\] (?!Deleted)(.*)", line):
            time = datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()
            for word in re.findall(r"[\w.:]+", match[2]):
                if word in wanted and time >= since:
                    found.setdefault(word, time)
    return found


def parse_answers(text: str) -> dict[str, float]:
    """When each address answered first: the prober writes `TIME ADDRESS`, the time in ns."""
    return {address: int(time) / 1e9 for time, address in (line.split() for line in text.splitlines())}
