"""BIRD or FRR on a server, beside ExaBGP: it has the sessions to the routers, and ExaBGP has one to it over lo.

Owns: that daemon's configuration file, and its start. Must not know: scenarios, the agent.

The daemon announces the server's own address, learns the default route from each router, and passes on what ExaBGP
announces: with MED and communities, and over iBGP with the local preference. Of BGP's routes the kernel gets the
default routes alone: a virtual address would lead to ExaBGP's end of the session. That session is iBGP or, where the
length of the path has to reach the routers, eBGP from a private AS (RFC 6996).
"""

from __future__ import annotations

from typing import assert_never

from lab.addressing import FAMILIES, HOST, INNER, NOBODY, Family, Machine, Site
from lab.processes import Processes
from lab.routers import run_bird, run_frr, sessions, zebra_configuration
from lab.topology import EVERYTHING, Namespace

PRIVATE_AS = 65534
"ExaBGP's, where its session is eBGP."

BIRD_HEAD = """\
log stderr all;
router id {router_id};
protocol device {{ scan time 1; }}
"""
BIRD_FAMILY = """\
protocol direct lo{family} {{
    ipv{family} {{ import where net ~ [ {own}, {inner}/{length} ]; }};
    interface "lo";
}}
protocol kernel kernel{family} {{
    ipv{family} {{ import none; export where proto ~ "uplink*"; }};
    merge paths yes limit 8;
}}
filter to_uplinks{family} {{
    if net = {own} then accept;
    if proto = "exabgp{family}" then {{
        if defined(bgp_med) then bgp_med = bgp_med;
        accept;
    }}
    reject;
}}
protocol bgp exabgp{family} {{
    local {outer} as {asn};
    neighbor {inner} as {inner_asn};
    multihop;
    passive;
    hold time {hold};
    graceful restart off;
    {reflected}
    ipv{family} {{ import all; export none; }};
}}
"""
BIRD_UPLINK = """\
protocol bgp uplink_{name}_{family} {{
    local {local} as {asn};
    neighbor {remote} as {remote_asn};
    direct;
    hold time {hold};
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 2;
    graceful restart off;
    ipv{family} {{ import where net = {everything}; export filter to_uplinks{family}; next hop self; }};
}}
"""


def inner_as(site: Site, machine: Machine, *, private: bool) -> int:
    """ExaBGP's AS number beside a daemon."""
    return PRIVATE_AS if private else site.asn(machine)


def bird_configuration(site: Site, machine: Machine, hold: int, *, private: bool) -> str:
    """``private``: ExaBGP has an AS of its own. Its routes are reflected to routers of the server's AS."""
    parts = [BIRD_HEAD.format(router_id=machine.router_id)]
    asn, inner_asn = site.asn(machine), inner_as(site, machine, private=private)
    for family in FAMILIES:
        outer = machine.loopback(family)
        parts.append(
            BIRD_FAMILY.format(
                family=family,
                own=f"{outer}/{HOST[family]}",
                outer=outer,
                inner=INNER[family],
                length=HOST[family],
                asn=asn,
                inner_asn=inner_asn,
                hold=hold,
                reflected="" if private else "rr client;",
            )
        )
        parts += [
            BIRD_UPLINK.format(
                name=router.name,
                family=family,
                local=local,
                asn=asn,
                remote=remote,
                remote_asn=site.asn(router),
                hold=hold,
                everything=EVERYTHING[family],
            )
            for router, local, remote in sessions(site, machine, family)
        ]
    return "".join(parts)


def frr_configuration(site: Site, machine: Machine, hold: int, *, private: bool) -> str:
    """As ``bird_configuration``."""
    asn, inner_asn = site.asn(machine), inner_as(site, machine, private=private)
    lines = [f"hostname {machine.name}", "log stdout informational"]
    for family, ip in IP.items():
        lines += [
            f"{ip} prefix-list DEFAULT permit {EVERYTHING[family]}",
            f"route-map LEARNED{family} permit 10",
            f" match {ip} address prefix-list DEFAULT",
            f"route-map GIVEN{family} deny 10",
            f" match {ip} address prefix-list DEFAULT",
            f"route-map GIVEN{family} permit 20",
            f"route-map EXABGP{family} permit 10",
            f" set {ip} next-hop {'global ' if family == 6 else ''}{NOBODY[family]}",
        ]
    lines += [
        "route-map NOTHING deny 10",
        f"router bgp {asn}",
        f" bgp router-id {machine.router_id}",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " no bgp default ipv4-unicast",
        " bgp bestpath as-path multipath-relax",
        " bgp graceful-restart-disable",
    ]
    for family in FAMILIES:
        neighbors = [
            (INNER[family], inner_asn),
            *((far, site.asn(to)) for to, _, far in sessions(site, machine, family)),
        ]
        for neighbor, number in neighbors:
            lines += [
                f" neighbor {neighbor} remote-as {number}",
                f" neighbor {neighbor} timers {max(1, hold // 3)} {hold}",
                f" neighbor {neighbor} timers connect 1",
                f" neighbor {neighbor} advertisement-interval 0",
            ]
        lines += [
            f" neighbor {INNER[family]} passive",
            f" neighbor {INNER[family]} update-source {machine.loopback(family)}",
        ]
        if private:
            lines += [
                f" neighbor {INNER[family]} disable-connected-check",
                f" neighbor {INNER[family]} ebgp-multihop 2",
            ]
    for family in FAMILIES:
        lines += [
            f" address-family ipv{family} unicast",
            f"  network {machine.loopback(family)}/{HOST[family]}",
            f"  table-map LEARNED{family}",
            "  maximum-paths 8",
            "  maximum-paths ibgp 8",
            f"  neighbor {INNER[family]} activate",
            f"  neighbor {INNER[family]} route-map EXABGP{family} in",
            f"  neighbor {INNER[family]} route-map NOTHING out",
            *([] if private else [f"  neighbor {INNER[family]} route-reflector-client"]),
        ]
        for _, _, remote in sessions(site, machine, family):
            lines += [
                f"  neighbor {remote} activate",
                f"  neighbor {remote} route-map LEARNED{family} in",
                f"  neighbor {remote} route-map GIVEN{family} out",
                f"  neighbor {remote} next-hop-self force",
                f"  neighbor {remote} attribute-unchanged med",
            ]
        lines.append(" exit-address-family")
    return "\n".join(lines) + "\n"


IP: dict[Family, str] = {4: "ip", 6: "ipv6"}
"FRR's word for a family."


def start(site: Site, namespace: Namespace, processes: Processes, hold: int, *, private: bool) -> None:
    """Starts the daemon that the site has on its servers; to be called for a server again after a power cut."""
    machine = namespace.machine
    match site.host:
        case "bird":
            run_bird(namespace, bird_configuration(site, machine, hold, private=private), processes)
        case "frr":
            configuration = frr_configuration(site, machine, hold, private=private)
            run_frr([(namespace, zebra_configuration(machine), configuration)], processes)
        case None:
            pass
        case _:
            assert_never(site.host)
