"""GoBGP on the ToRs of one rack: the same eBGP as that of BIRD and FRR, and its best routes in the kernel.

Owns: its configuration file, its command lines, and what it answers. Must not know: scenarios, the agent.

GoBGP 3 has no FIB of its own: it leaves that to FRR's zebra, and ends in a panic when it reads what that of FRR 8.4
sends (osrg/gobgp issue 2681, with any `software-name`). So the lab has `instruments/fib.py` follow the best routes and
write them into the kernel, one next hop each. That is enough where each server is reached over one link, as from a ToR
in `rack`; the client, which needs two next hops, runs BIRD.

GoBGP prefers as RFC 4271 says, with defaults of its own: the MED is compared among routes from one neighboring AS
(`always-compare-med` is off), for each pair of routes in the order in which they are sorted; and of routes that tie it
takes the older one, and no two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.addressing import FAMILIES, SERVERS, Address, Machine, Site

Session = tuple[Machine, Address, Address]
"A peer, the local address, the peer's address."

API = "127.0.0.1:50051"
"Of each daemon, in its own namespace."

HEAD = """\
[global.config]
  as = {asn}
  router-id = "{router_id}"
[global.route-selection-options.config]
  always-compare-med = {compare_med}
[global.apply-policy.config]
  export-policy-list = ["nothing-to-servers"]
  default-import-policy = "accept-route"
  default-export-policy = "accept-route"
[[defined-sets.neighbor-sets]]
  neighbor-set-name = "servers"
  neighbor-info-list = [{servers}]
[[policy-definitions]]
  name = "nothing-to-servers"
  [[policy-definitions.statements]]
    [policy-definitions.statements.conditions.match-neighbor-set]
      neighbor-set = "servers"
    [policy-definitions.statements.actions]
      route-disposition = "reject-route"
"""
NEIGHBOR = """\
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{remote}"
    peer-as = {remote_asn}
  [neighbors.transport.config]
    local-address = "{local}"
  [neighbors.timers.config]
    hold-time = {hold}
    keepalive-interval = {keepalive}
    connect-retry = 1
    idle-hold-time-after-reset = 1
"""
FAMILY = """\
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv{family}-unicast"
"""


def configuration(site: Site, machine: Machine, sessions: Sequence[Session], hold: int) -> str:
    """gobgpd.toml of a ToR. A server may carry both families over one session."""
    servers = ", ".join(f'"{remote}"' for peer, _, remote in sessions if peer in SERVERS)
    compare = str(site.server_as == "distinct").lower()
    parts = [HEAD.format(asn=site.asn(machine), router_id=machine.router_id, compare_med=compare, servers=servers)]
    for peer, local, remote in sessions:
        timers = {"hold": hold, "keepalive": max(1, hold // 3)}
        parts.append(NEIGHBOR.format(remote=remote, remote_asn=site.asn(peer), local=local, **timers))
        families = FAMILIES if peer in SERVERS else (remote.version,)
        parts += [FAMILY.format(family=family) for family in families]
    return "".join(parts)


def daemon(gobgpd: str, file: str) -> list[str]:
    return [gobgpd, "-f", file, "-p", "--pprof-disable", "--api-hosts", API]


def question(gobgp: str, prefix: str) -> list[str]:
    """The command that tells all routes to a prefix."""
    return [gobgp, "global", "rib", "-a", "ipv6" if ":" in prefix else "ipv4", "-j", prefix]


def path(said: str) -> tuple[int, ...]:
    """The AS path of the best route, from the answer to ``question``; () without a route."""
    best = next((one for one in _routes(said) if one.get("best")), None)
    paths = [one.get("as_paths") or [] for one in (best or {}).get("attrs", ())]
    return tuple(number for path in paths for segment in path for number in segment.get("asns", ()))


def candidates(said: str, addresses: Mapping[str, str]) -> set[str]:
    """The servers from which it has a route; `addresses`: address of a neighbor → its name."""
    return {addresses[one["neighbor-ip"]] for one in _routes(said) if one.get("neighbor-ip") in addresses}


def _routes(said: str) -> list[dict[str, Any]]:
    found = json.loads(said or "[]")
    listed = found if isinstance(found, list) else [one for routes in found.values() for one in routes]
    return [one for one in listed if isinstance(one, dict)]
