"""BIRD, FRR or GoBGP on the routers and on the client: the same BGP, configured from the same plan.

Owns: the daemons' configuration files and command lines. Must not know: scenarios, the agent.

What all are configured to do, and why (GoBGP: on the ToRs alone, see ``gobgp.py``):
- eBGP over the link addresses, one session per family. Everything is imported; routers and client announce everything
  to each other (the client may be the spine, too), and nothing to servers, which have static default routes; but the
  default routes to a daemon on the servers.
- ECMP over paths of equal length even through different AS (BIRD: merge paths; FRR: multipath-relax).
- The routers where the paths to the servers diverge (the rack's ToRs, the racks' spines) announce the aggregate of the
  virtual addresses. When an address moves, the rest of the fabric goes on forwarding to them, and only they need the
  new route before packets arrive. This matters with FRR, whose bgpd lets every change wait 50 ms in a queue
  (bgp_process_queue_init), at each hop.
- MED is compared among servers that share an AS, the default of both. Where each server has its own, the routers are
  configured to compare it all the same (BIRD: med metric; FRR: always-compare-med).
- No graceful restart: it would keep a dead server's addresses alive.
- Short retry timers towards dead or returning neighbors (reconnect, error wait), so that a comeback does not measure
  the router's timer.
- Updates are sent at once (FRR: advertisement-interval 0, the value of its datacenter profile).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, assert_never

from lab import gobgp
from lab.addressing import AGGREGATE, CLIENT, FAMILIES, HOST, SERVERS, Address, Family, Machine, Site
from lab.processes import Processes
from lab.topology import EVERYTHING, LabError, Namespace, run

Daemon = Literal["bird", "frr", "gobgp"]
FRR = Path("/usr/lib/frr")
"Where Debian, Ubuntu and FRR's own packages put the daemons."
ZEBRA_SOCKET = "zserv.api"
FIB = Path(__file__).parent / "instruments" / "fib.py"
"What writes the routes of GoBGP into the kernel."
GROUP_FILE = Path("/etc/group")
SHOW_GROUP = f'mount --bind "$0" {GROUP_FILE} && exec "$@"'

BIRD_HEAD = """\
log stderr all;
router id {router_id};
protocol device {{ scan time 1; }}
"""
BIRD_FAMILY = """\
protocol kernel kernel{family} {{
    ipv{family} {{ import none; export where source = RTS_BGP; }};
    merge paths yes limit 8;
}}
protocol static own{family} {{
    ipv{family};
    {routes}
}}
"""
BIRD_NEIGHBOR = """\
protocol bgp {name} {{
    local {local} as {asn};
    neighbor {remote} as {remote_asn};
    direct;
    hold time {hold};
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 2;
    graceful restart off;
    long lived graceful restart off;
    med metric {compare_med};
    ipv{family} {{ import all; export {export}; }};
    {other}
}}
"""
BIRD_OTHER = {4: "ipv6 { import all; export none; };", 6: "ipv4 { import all; export none; extended next hop on; };"}
"""A server may carry both families over its one session to a router; the session of a server that offers one family has
one.
"""


def bird_configuration(site: Site, machine: Machine, hold: int) -> str:
    parts = [BIRD_HEAD.format(router_id=machine.router_id)]
    for family in FAMILIES:
        default = [EVERYTHING[family]] if site.host and machine in site.tors else []
        prefixes = [*own_prefixes(site, machine, family), *default]
        routes = " ".join(f"route {prefix} blackhole;" for prefix in prefixes)
        parts.append(BIRD_FAMILY.format(family=family, routes=routes))
        for peer, local, remote in sessions(site, machine, family):
            export = f"where source ~ [ RTS_BGP, RTS_STATIC ] && net != {EVERYTHING[family]}"
            if peer in SERVERS:
                export = f"where net = {EVERYTHING[family]}" if site.host else "none"
            parts.append(
                BIRD_NEIGHBOR.format(
                    name=bird_name(site, machine, peer, remote),
                    family=family,
                    local=local,
                    asn=site.asn(machine),
                    remote=f"{remote}%'{peer.name}'" if remote.is_link_local else remote,
                    remote_asn=site.asn(peer),
                    hold=hold,
                    export=export,
                    compare_med="on" if site.server_as == "distinct" else "off",
                    other=BIRD_OTHER[family] if peer in SERVERS else "",
                )
            )
    return "".join(parts)


def zebra_configuration(machine: Machine, *, extended: bool = False) -> str:
    """Without nexthop objects, unless IPv4 routes have IPv6 next hops (`extended`).

    The kernel removes a nexthop group when all its links have lost their carrier. FRR 8.4 does not notice, and the
    kernel then rejects zebra's routes over that group. But without nexthop objects it routes IPv4 over an IPv6 next hop
    by way of 169.254.0.1, for which it has no neighbor entry where servers send no router advertisements (RFC 4861).
    """
    return f"hostname {machine.name}\n" + ("" if extended else "no zebra nexthop kernel enable\n")


def frr_configuration(site: Site, machine: Machine, hold: int) -> str:
    lines = [
        f"hostname {machine.name}",
        "log stdout informational",
        "route-map NOTHING deny 10",
        f"router bgp {site.asn(machine)}",
        f" bgp router-id {machine.router_id}",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " no bgp default ipv4-unicast",
        " bgp bestpath as-path multipath-relax",
        " bgp graceful-restart-disable",
    ]
    if site.server_as == "distinct":
        lines.append(" bgp always-compare-med")
    for family in FAMILIES:
        for peer, _, remote in sessions(site, machine, family):
            lines += [
                f" neighbor {remote} remote-as {site.asn(peer)}",
                f" neighbor {remote} description {peer.name}",
                f" neighbor {remote} timers {max(1, hold // 3)} {hold}",
                f" neighbor {remote} timers connect 1",
                f" neighbor {remote} advertisement-interval 0",
            ]
            if remote.is_link_local:
                lines.append(f" neighbor {remote} interface {peer.name}")
            if family == 6 and peer in SERVERS:
                lines.append(f" neighbor {remote} capability extended-nexthop")
    for family in FAMILIES:
        lines += [
            f" address-family ipv{family} unicast",
            *(f"  network {prefix}" for prefix in own_prefixes(site, machine, family)),
            "  maximum-paths 8",
        ]
        # A server may carry both families over one session.
        other = [one for one in sessions(site, machine, 4 if family == 6 else 6) if one[0] in SERVERS]
        for peer, _, remote in (*sessions(site, machine, family), *other):
            lines.append(f"  neighbor {remote} activate")
            if peer in SERVERS:
                lines.append(f"  neighbor {remote} route-map NOTHING out")
                if site.host and remote.version == family:
                    lines.append(f"  neighbor {remote} default-originate")
        lines.append(" exit-address-family")
    return "\n".join(lines) + "\n"


def own_prefixes(site: Site, machine: Machine, family: Family) -> list[str]:
    """The prefixes that a router or the client originates."""
    prefixes = [f"{machine.loopback(family)}/{HOST[family]}"]
    return [*prefixes, AGGREGATE[family]] if machine in site.gates else prefixes


def sessions(site: Site, machine: Machine, family: Family) -> list[tuple[Machine, Address, Address]]:
    """The BGP sessions of a router or the client: the peer, the local address, the peer's address."""
    found: list[tuple[Machine, Address, Address]] = []
    for link in site.links_of(machine):
        if family not in link.families:
            continue
        ours = link.address_of_router(family)
        ends = [(link.member, ours, theirs) for theirs in site.ends(link, family)]
        found += ends if machine == link.router else [(link.router, theirs, ours) for _, _, theirs in ends]
    return found


def bird_name(site: Site, machine: Machine, peer: Machine, remote: Address) -> str:
    """BIRD's name of its session to an address of a neighbor."""
    second = any(link.second_address == remote for link in site.links_of(machine))
    return f"{peer.name}{'_second' if second else ''}_{remote.version}"


def disable(
    site: Site, namespace: Namespace, daemon: Daemon, directory: Path, session: tuple[Machine, Address], *, off: bool
) -> None:
    """Has a router shut its session to an address of a neighbor (`off`), or enable it again."""
    machine, (peer, remote) = namespace.machine, session
    match daemon:
        case "bird":
            control = str(_bird_control(machine, directory))
            run([_find("birdc"), "-s", control, "disable" if off else "enable", bird_name(site, machine, peer, remote)])
        case "frr":
            words = [_find("vtysh"), "--vty_socket", str(_frr_directory(machine, directory)), "-d", "bgpd"]
            lines = ["configure terminal", f"router bgp {site.asn(machine)}"]
            lines.append(f"{'' if off else 'no '}neighbor {remote} shutdown")
            run([*words, *(word for line in lines for word in ("-c", line))])
        case "gobgp":
            run(namespace.argv(_find("gobgp"), "neighbor", str(remote), "disable" if off else "enable"))
        case _:
            assert_never(daemon)


def start_routers(
    site: Site,
    namespaces: Sequence[Namespace],
    daemon: Daemon,
    processes: Processes,
    hold: int,
    *,
    extended: bool = False,
) -> None:
    """Starts the daemons of the routers and the client. Whether they work shows in the routes that they install.

    `extended`: servers announce IPv4 with IPv6 next hops (RFC 8950).
    """
    assert all(namespace.machine in (*site.routers, CLIENT) for namespace in namespaces)
    match daemon:
        case "bird":
            for namespace in namespaces:
                _start_bird(site, namespace, processes, hold)
        case "frr":
            _start_frr(site, namespaces, processes, hold, extended=extended)
        case "gobgp":
            for namespace in namespaces:
                start = _start_bird if namespace.machine == CLIENT else _start_gobgp
                start(site, namespace, processes, hold)
        case _:
            assert_never(daemon)


def start_again(site: Site, namespace: Namespace, daemon: Daemon, processes: Processes, hold: int) -> None:
    """Restarts the BGP daemon of a router after its end; FRR's zebra still runs."""
    match daemon:
        case "bird":
            _start_bird(site, namespace, processes, hold)
        case "frr":
            configuration = frr_configuration(site, namespace.machine, hold)
            directory = _frr_directory(namespace.machine, processes.directory)
            _start_frr_daemon("bgpd", configuration, namespace, directory, processes)
        case "gobgp":
            raise LabError("what is written into the kernel follows one gobgpd only")
        case _:
            assert_never(daemon)


def _start_bird(site: Site, namespace: Namespace, processes: Processes, hold: int) -> None:
    run_bird(namespace, bird_configuration(site, namespace.machine, hold), processes)


def run_bird(namespace: Namespace, configuration: str, processes: Processes) -> None:
    """Starts BIRD with this file; anew if it was there before."""
    machine = namespace.machine
    path = processes.directory / f"{machine.name}.bird.conf"
    path.write_text(configuration)
    control = _bird_control(machine, processes.directory)
    processes.start(namespace, "bird", [_find("bird"), "-f", "-c", str(path), "-s", str(control)])


def _start_gobgp(site: Site, namespace: Namespace, processes: Processes, hold: int) -> None:
    machine, client = namespace.machine, _find("gobgp")
    configuration = processes.directory / f"{machine.name}.gobgpd.toml"
    found = [session for family in FAMILIES for session in sessions(site, machine, family)]
    configuration.write_text(gobgp.configuration(site, machine, found, hold))
    processes.start(namespace, "gobgpd", gobgp.daemon(_find("gobgpd"), str(configuration)))
    own = [prefix for family in FAMILIES for prefix in own_prefixes(site, machine, family)]
    processes.start(namespace, "fib", [sys.executable, "-I", str(FIB), client, *own])


def _bird_control(machine: Machine, directory: Path) -> Path:
    return directory / f"{machine.name}.bird.ctl"


def _frr_directory(machine: Machine, directory: Path) -> Path:
    return directory / f"{machine.name}.frr"


def _start_frr(site: Site, namespaces: Sequence[Namespace], processes: Processes, hold: int, *, extended: bool) -> None:
    machines = [(namespace, namespace.machine) for namespace in namespaces]
    run_frr(
        [
            (namespace, zebra_configuration(machine, extended=extended), frr_configuration(site, machine, hold))
            for namespace, machine in machines
        ],
        processes,
    )


def run_frr(given: Sequence[tuple[Namespace, str, str]], processes: Processes) -> None:
    """Starts zebra and bgpd in each namespace, with the files of both; anew if they were there before.

    zebra everywhere, then bgpd everywhere: a bgpd that finds no zebra retries only after ten seconds.
    """
    directories = [_frr_directory(namespace.machine, processes.directory) for namespace, _, _ in given]
    sockets = [directory / ZEBRA_SOCKET for directory in directories]
    for (namespace, zebra, _), directory, socket in zip(given, directories, sockets, strict=True):
        directory.mkdir(mode=0o755, exist_ok=True)
        socket.unlink(missing_ok=True)
        _start_frr_daemon("zebra", zebra, namespace, directory, processes)
    processes.await_condition("zebra's sockets", 10, lambda: all(socket.exists() for socket in sockets))
    for (namespace, _, bgpd), directory in zip(given, directories, strict=True):
        _start_frr_daemon("bgpd", bgpd, namespace, directory, processes)


def _start_frr_daemon(
    daemon: str, configuration: str, namespace: Namespace, directory: Path, processes: Processes
) -> None:
    processes.start(namespace, daemon, frr_command(daemon, configuration, directory))


def frr_command(daemon: str, configuration: str, directory: Path) -> list[str]:
    """What starts one daemon of FRR as root, with its files in a directory of its own.

    zebra insists that its user is a member of the group it was built for (frrvty), which root is not, and a user
    namespace has no other user than root. So each daemon gets a group file with root in it, in a mount namespace of its
    own.
    """
    group, file = directory / "group", directory / f"{daemon}.conf"
    group.write_text(re.sub(r"^(frrvty|frr):.*$", r"\1:x:0:root", GROUP_FILE.read_text(), flags=re.MULTILINE))
    file.write_text(configuration)
    argv = [_find(daemon), "-u", "root", "-g", "root", "-f", str(file), "-i", str(directory / f"{daemon}.pid")]
    argv += ["-z", str(directory / ZEBRA_SOCKET), "--vty_socket", str(directory), "-P", "0", "--log", "stdout"]
    return ["unshare", "--mount", "sh", "-c", SHOW_GROUP, str(group), *argv]


SPEAKER: dict[Daemon, str] = {"bird": "bird", "frr": "bgpd", "gobgp": "gobgpd"}
"The program of each that is the BGP daemon."


def best_path(namespace: Namespace, daemon: Daemon, directory: Path, prefix: str) -> tuple[int, ...]:
    """The AS path of a router's best route to a prefix, nearest AS first; () without a route."""
    machine = namespace.machine
    match daemon:
        case "bird":
            control = str(_bird_control(machine, directory))
            words = [_find("birdc"), "-r", "-s", control, "show", "route", prefix, "primary", "all"]
            return bird_path(run(words))
        case "frr":
            family = 6 if ":" in prefix else 4
            words = [_find("vtysh"), "--vty_socket", str(_frr_directory(machine, directory)), "-d", "bgpd"]
            return frr_path(run([*words, "-c", f"show bgp ipv{family} unicast {prefix} json"]))
        case "gobgp":
            return gobgp.path(run(namespace.argv(*gobgp.question(_find("gobgp"), prefix))))
        case _:
            assert_never(daemon)


def candidates(site: Site, namespace: Namespace, daemon: Daemon, directory: Path, prefix: str) -> set[str]:
    """The servers from which a router's daemon has a route to a prefix, used or not."""
    machine = namespace.machine
    match daemon:
        case "bird":
            control = str(_bird_control(machine, directory))
            return bird_candidates(run([_find("birdc"), "-r", "-s", control, "show", "route", prefix]))
        case "frr":
            family: Family = 6 if ":" in prefix else 4
            words = [_find("vtysh"), "--vty_socket", str(_frr_directory(machine, directory)), "-d", "bgpd"]
            said = run([*words, "-c", f"show bgp ipv{family} unicast {prefix} json"])
            return frr_candidates(said, _servers(site, machine))
        case "gobgp":
            return gobgp.candidates(
                run(namespace.argv(*gobgp.question(_find("gobgp"), prefix))), _servers(site, machine)
            )
        case _:
            assert_never(daemon)


def _servers(site: Site, machine: Machine) -> dict[str, str]:
    """The addresses from which servers have sessions to a router, each with the server's name."""
    return {
        str(link.address_of_member(family)): link.member.name
        for link in site.links_of(machine)
        for family in link.families
        if link.member in SERVERS
    }


def bird_candidates(said: str) -> set[str]:
    """From `show route`: each route names the protocol that it came from, which is called after the neighbor."""
    return {peer for peer in re.findall(r"\[(\w+)_[46] ", said) if peer in {server.name for server in SERVERS}}


def frr_candidates(said: str, addresses: Mapping[str, str]) -> set[str]:
    """From `show bgp ipv6 unicast PREFIX json`; `addresses`: address of a neighbor → its name."""
    paths = json.loads(said or "{}").get("paths", [])
    peers = (path.get("peer", {}).get("peerId", "") for path in paths)
    return {addresses[peer] for peer in peers if peer in addresses}


def bird_path(said: str) -> tuple[int, ...]:
    """From `show route PREFIX primary all`."""
    found = re.search(r"^\s*BGP\.as_path:((?: \d+)*)\s*$", said, flags=re.MULTILINE)
    return tuple(map(int, found[1].split())) if found else ()


def frr_path(said: str) -> tuple[int, ...]:
    """From `show bgp ipv6 unicast PREFIX json`."""
    paths = json.loads(said or "{}").get("paths", [])
    best = next((path for path in paths if path.get("bestpath", {}).get("overall")), None)
    return tuple(map(int, best["aspath"]["string"].split())) if best and best["aspath"]["string"] != "Local" else ()


def _find(daemon: str) -> str:
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:{FRR}"
    if not (found := shutil.which(daemon, path=search)):
        raise LabError(f"{daemon} is not installed; lab/demo installs it")
    return found
