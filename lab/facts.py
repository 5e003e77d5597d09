"""The output of the instruments, parsed: agents' log lines, adverts, route changes, probes.

Pure: text in, frozen dataclasses out. Times are seconds since the epoch (CLOCK_REALTIME), the same clock everywhere
in a lab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

NS = 1e-9


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One JSON line of an agent's log."""

    time: float
    node: str
    event: str
    fields: Mapping[str, Any]

    def field(self, name: str) -> str:
        return str(self.fields.get(name, ""))


@dataclass(frozen=True, slots=True)
class Advert:
    """An advertisement as it arrived at a ToR."""

    time: float
    tor: str
    interface: str
    "called after the machine at the link's other end"
    source: str
    vrid: int
    priority: int
    destination: str = ""


@dataclass(frozen=True, slots=True)
class RouteChange:
    """A router's kernel reported a route to a virtual address."""

    time: float
    machine: str
    hops: tuple[str, ...]
    "interfaces, called after the machines they lead to"
    deleted: bool = False
    address: str = ""
    "the virtual address; empty: that of the probes"


@dataclass(frozen=True, slots=True)
class AddressChange:
    """A server's kernel reported an address of lo."""

    time: float
    machine: str
    address: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    number: int
    sent: float
    answered: float | None
    node: str | None


def parse_agent_line(line: str, node: str) -> AgentEvent | None:
    """None for lines that are not the agent's (ExaBGP's, a traceback's): they share a file."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
        time = datetime.fromisoformat(fields["time"]).timestamp()
        return AgentEvent(time, node, str(fields["event"]), fields)
    except (ValueError, KeyError, TypeError):
        return None


def parse_advert(line: str, tor: str) -> Advert:
    time, interface, source, destination, vrid, priority = line.split()
    return Advert(int(time) * NS, tor, interface, source, int(vrid), int(priority), destination)


_ROUTE = re.compile(r"\[(?P<time>[\d:.T-]+)\] (?P<deleted>Deleted )?(?P<prefix>[0-9a-f.:/]+) (?P<rest>.*)")


def parse_route_change(line: str, machine: str, address: str) -> RouteChange | None:
    """A line of `ip -ts -o monitor route` (TZ=UTC) that is about `address`; None for all others."""
    match = _ROUTE.match(line)
    if not match or match["prefix"] != address:
        return None
    time = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC).timestamp()
    hops = tuple(sorted(set(re.findall(r"\bdev (\S+)", match["rest"]))))
    return RouteChange(time, machine, hops, deleted=match["deleted"] is not None)


_ADDRESS = re.compile(r"\[(?P<time>[\d:.T-]+)\] (?P<deleted>Deleted )?\d+: lo +inet6? (?P<address>[0-9a-f.:]+)[/ ]")


def parse_address_change(line: str, machine: str) -> AddressChange | None:
    """A line of `ip -ts -o monitor address` (TZ=UTC) that is about lo; None for all others."""
    match = _ADDRESS.match(line)
    if not match:
        return None
    time = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC).timestamp()
    return AddressChange(time, machine, match["address"], deleted=match["deleted"] is not None)


class ProbeRecord:
    """What the prober has written so far."""

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}
        self._answers: dict[int, tuple[int, str]] = {}

    def take(self, line: str) -> None:
        """One complete line of the prober's; raises ValueError for one it cannot have written."""
        match line.split():
            case ["s", number, time]:
                self._sent[int(number)] = int(time)
            case ["a", number, time, node]:
                self._answers.setdefault(int(number), (int(time), node))
            case _:
                raise ValueError(f"not a prober's line: {line!r}")

    def probes(self) -> list[Probe]:
        """All probes in the order of their numbers; answers may still be missing while the prober runs."""
        probes = []
        for number, sent in sorted(self._sent.items()):
            time, node = self._answers.get(number, (None, None))
            probes.append(Probe(number, sent * NS, None if time is None else time * NS, node))
        return probes

    def answered_in_a_row(self, node: str) -> int:
        """How many of the latest answered probes, without a gap, were answered by this node (those in flight aside)."""
        row = 0
        for number in range(max(self._answers, default=-1), -1, -1):
            if self._answers.get(number, (0, ""))[1] != node:
                break
            row += 1
        return row


@dataclass(frozen=True, slots=True)
class Incident:
    """Something the lab did to a machine or a link."""

    time: float
    machine: str
    what: str


POWER_OFF, POWER_ON = "power off", "power on"
"Incidents with which all processes of a machine end, and start."


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `exavrrp` that was given on a machine, as operators and systemd give it."""

    machine: str
    words: str
    started: float
    ended: float
    status: int
    said: str
    "the last line it wrote"

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything recorded in one run, each list in the order of time."""

    incidents: Sequence[Incident]
    agents: Sequence[AgentEvent]
    adverts: Sequence[Advert]
    routes: Sequence[RouteChange]
    probes: Sequence[Probe]
    local: Sequence[Probe] = ()
    "sent by a server to the virtual address it may own itself"
    commands: Sequence[Command] = ()
    spares: Sequence[RouteChange] = ()
    "of the routes to further virtual addresses"
    addresses: Sequence[AddressChange] = ()
    "of the servers whose kernel a scenario watches"


@dataclass(frozen=True, slots=True)
class Standing:
    """A node's state by the last log lines of its agent."""

    state: str = "off"
    "off, initialize, backup, active"
    bound: bool = False
    announced: bool = False


def standings(incidents: Iterable[Incident], agents: Iterable[AgentEvent]) -> dict[str, Standing]:
    """Each node's state after these incidents and log lines."""
    found: dict[str, Standing] = {}
    happened: list[Incident | AgentEvent] = sorted([*incidents, *agents], key=lambda each: each.time)
    for each in happened:
        if isinstance(each, Incident):
            if each.what == POWER_OFF:
                found[each.machine] = Standing()
            continue
        found[each.node] = standing_after(found.get(each.node, Standing()), each)
    return found


def standing_after(before: Standing, said: AgentEvent) -> Standing:
    """The state that follows from one more log line."""
    match said.event:
        case "agent-started":
            return Standing("initialize")
        case "agent-stopped":
            return Standing()
        case "transition":
            return replace(before, state=said.field("after"))
        case "address-bound" | "address-unbound":
            return replace(before, bound=said.event == "address-bound")
        case "route-announced" | "route-withdrawn":
            return replace(before, announced=said.event == "route-announced")
        case _:
            return before


def hops_after(changes: Iterable[RouteChange]) -> dict[str, tuple[str, ...]]:
    """Each router's next hops for the virtual address after these changes; none: ().

    BIRD changes an IPv6 route by deleting and adding it, FRR replaces it; of a multipath route single hops may be
    deleted.
    """
    hops: dict[str, tuple[str, ...]] = {}
    for change in changes:
        take_change(hops, change)
    return hops


def take_change(hops: dict[str, tuple[str, ...]], change: RouteChange) -> None:
    """Updates the result of `hops_after` by one more change."""
    if change.deleted:
        remaining = set(hops.get(change.machine, ())) - set(change.hops)
        hops[change.machine] = tuple(sorted(remaining))
    else:
        hops[change.machine] = change.hops
