"""What is there, and what should be: addresses, routes, sockets, processes, files, descriptors.

Owns: looking (`Census.take`), and the two comparisons. Addresses and routes are compared with what the plan says of a
data centre at rest, everything else with what there was before the first fault: after all of them there must be neither
more nor less of anything.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from lab.addressing import AGGREGATE, CLIENT, FAMILIES, SERVERS, Machine, Site
from lab.chaos.arena import Arena
from lab.chaos.faults import UPLINKS
from lab.chaos.service import SERVICES
from lab.datacentre import kernel_hops
from lab.routers import candidates
from lab.servers import runtime_directory

Tally = Mapping[str, int]
"How many there are of each sort."


@dataclass(frozen=True, slots=True)
class Node:
    """What is on one server."""

    addresses: frozenset[str]
    "global ones on lo"
    sockets: Tally
    "by kind, state and program; without the agent's raw ones"
    raw: int
    "sockets of the agent: see `RAW`"
    processes: Tally
    descriptors: Tally
    "the agent's, by what they lead to; without raw sockets"
    files: frozenset[str]
    "in the agent's directories; without an empty note of drains"


@dataclass(frozen=True, slots=True)
class Census:
    nodes: Mapping[str, Node]
    hops: Mapping[str, Mapping[str, tuple[str, ...]]]
    "of the routers where the paths diverge, and of the client: in the kernel, to each virtual address"
    candidates: Mapping[str, Mapping[str, frozenset[str]]]
    "of those routers: the servers from which BGP has a route to each virtual address, used or not"


def strangers(census: Census, site: Site) -> list[str]:
    """The addresses and routes that are not what they are at rest, in words."""
    found = []
    for server in SERVERS:
        own = {str(server.loopback(family)) for family in FAMILIES}
        wanted = own | {str(service.address) for service in SERVICES if service.home == server.name}
        found += _differences(f"addresses on lo of {server.name}", wanted, census.nodes[server.name].addresses)
    for name, hops in census.hops.items():
        machine = site.machine(name)
        for service in SERVICES:
            ways = site.ways(machine, site.machine(service.home))
            if hops.get(service.name) != ways:
                found.append(f"{name} routes {service.name} to {hops.get(service.name, ())}, not to {ways}")
        known = {service.name for service in SERVICES}
        found += [f"{name} has a route to {prefix}, which is nobody's" for prefix in hops if prefix not in known]
    for name, routes in census.candidates.items():
        for service in SERVICES:
            found += _differences(f"routes to {service.name} in {name}", {service.home}, routes[service.name])
    return found


def changes(before: Census, after: Census) -> list[str]:
    """What has become more or less than before, in words."""
    found = []
    for name, node in before.nodes.items():
        later = after.nodes[name]
        found += _differences(f"files of {name}", node.files, later.files)
        if later.raw > RAW:
            found.append(f"sockets of {name}: {later.raw} raw ones, more than {RAW}")
        for what in ("sockets", "processes", "descriptors"):
            was, now = Counter(getattr(node, what)), Counter(getattr(later, what))
            found += [f"{what} of {name}: {count} more of {sort}" for sort, count in (now - was).items()]
            found += [f"{what} of {name}: {count} fewer of {sort}" for sort, count in (was - now).items()]
    return found


RAW = 2 * (1 + len(UPLINKS) + 1)
"""The most raw sockets of an agent: for each family one that receives, one for each uplink, and one without an
interface. They are made when first needed, and stay. How many there are depends on the faults before; more would be a
leak.
"""


def _differences(what: str, wanted: frozenset[str] | set[str], there: frozenset[str] | set[str]) -> list[str]:
    found = [f"{what}: {each} should not be there" for each in sorted(there - wanted)]
    return found + [f"{what}: {each} is missing" for each in sorted(wanted - there)]


# Looking


def take(arena: Arena) -> Census:
    site = arena.fabric.site
    return Census(
        nodes={server.name: _node(arena, server) for server in SERVERS},
        hops={each.name: _hops(arena, each) for each in (*site.gates, CLIENT)},
        candidates={each.name: _candidates(arena, each) for each in site.gates},
    )


def _node(arena: Arena, server: Machine) -> Node:
    namespace = arena.topology[server.name]
    shown = namespace.run("ip", "-o", "address", "show", "dev", "lo")
    pids = namespace.pids()
    processes = Counter(map(program, pids))
    processes.update(f"zombie of {program(pid)}" for pid in pids for _ in zombies(pid))
    sockets = _sockets(namespace.run("ss", "-Hanptuwx"))
    raw = sockets.pop("raw UNCONN of exavrrp", 0)
    held = sum((descriptors(pid) for pid in arena.agents(server.name)), Counter[str]())
    held["socket"] -= raw
    return Node(
        addresses=frozenset(re.findall(r" inet6? (\S+)/\d+", shown)) - {"127.0.0.1", "::1"},
        sockets=sockets,
        raw=raw,
        processes=processes,
        descriptors=held,
        files=frozenset(_files(arena.servers[server.name].directory)),
    )


JOURNALS = {"events.1.jsonl", "events.2.jsonl"}
"The journals of the two agents before, if there were any."


def _files(directory: Path) -> Iterator[str]:
    for place in (runtime_directory(directory), directory / "lib"):
        for path in place.rglob("*"):
            idle = path.name == "drained.json" and not json.loads(path.read_text())["drained"]
            if not idle and path.name not in JOURNALS:
                yield str(path.relative_to(directory))


PASSING = {"TIME-WAIT", "FIN-WAIT-1", "FIN-WAIT-2", "LAST-ACK", "CLOSING", "SYN-SENT"}
"States that end by themselves."


def _sockets(listed: str) -> Counter[str]:
    """Of `ss -Hanptuwx`."""
    found: Counter[str] = Counter()
    for line in listed.splitlines():
        kind, state, *_ = line.split()
        owner = re.search(r'users:\(\("([^"]+)"', line)
        if state not in PASSING:
            found[f"{kind} {state} of {owner[1] if owner else 'nobody'}"] += 1
    return found


def program(pid: int) -> str:
    """The program of a process, without its arguments."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    return " ".join(Path(word).name for word in words[:2])


def zombies(pid: int) -> list[int]:
    """Children that have ended and wait for this process to look."""
    found = []
    with suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        for child in children:
            state = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
            if state == "Z":
                found.append(int(child))
    return found


def descriptors(pid: int) -> Counter[str]:
    """What the descriptors of a process lead to; of sockets and pipes only that they are such."""
    found: Counter[str] = Counter()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found[re.sub(r"^(socket|pipe):.*", r"\1", str(each.readlink()))] += 1
    return found


def _hops(arena: Arena, machine: Machine) -> dict[str, tuple[str, ...]]:
    """By the name of the service; by prefix if it is no service's."""
    names = {str(service.address): service.name for service in SERVICES}
    found = {}
    for family in FAMILIES:
        aggregate = ip_network(AGGREGATE[family])
        for prefix, hops in kernel_hops(arena.topology[machine.name], family).items():
            if prefix == "default" or prefix == AGGREGATE[family]:
                continue
            with suppress(ValueError, TypeError):
                if ip_network(prefix).subnet_of(aggregate):  # type: ignore[arg-type]
                    found[names.get(prefix, prefix)] = hops
    return found


def _candidates(arena: Arena, machine: Machine) -> dict[str, frozenset[str]]:
    fabric, directory, namespace = arena.fabric, arena.processes.directory, arena.topology[machine.name]
    return {
        service.name: frozenset(candidates(fabric.site, namespace, fabric.router, directory, service.prefix))
        for service in SERVICES
    }
