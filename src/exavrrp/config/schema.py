"""What each key of exavrrp.toml may hold, taken by itself.

The structs are the tables as they stand in the file: plain numbers, booleans and text, with the range of each key and
one phrase that says what to write, which every error message ends with. A key without a default is required; ``None``
means that the key is absent. The defaults of the file are here and nowhere else.

Whether values make sense together, and what text such as an address means, is for ``loading`` to say.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"
"""Names of virtual routers and checks: they appear in logs, file names and labels of metrics."""

STATE_DIRECTORY = "/run/exavrrp"
"""Also where the commands look for an agent that they know no configuration of."""

AddressText = Annotated[str, Meta(description='an address in quotes, such as "2001:db8:ff::11" or "192.0.2.11"')]
Sources = Annotated[
    tuple[AddressText, ...],
    Meta(description='a list with one of this node\'s own addresses per family: ["2001:db8:ff::11", "192.0.2.11"]'),
]
Peers = Annotated[
    tuple[AddressText, ...],
    Meta(description='a list of the other nodes\' addresses: ["2001:db8:ff::12", "192.0.2.12"]'),
]
VirtualText = Annotated[str, Meta(description='an address in quotes, such as "2001:db8:53::1/128" or "192.0.2.53/32"')]
Virtual = Annotated[
    tuple[VirtualText, ...],
    Meta(min_length=1, description='a list of the virtual addresses, all of one family: ["2001:db8:53::1/128"]'),
]
Interface = Annotated[
    str,
    # IFNAMSIZ is 16 with the terminating zero; dev_valid_name() in the kernel refuses slashes, colons and white space.
    Meta(pattern=r"^(?!\.{1,2}$)[!-.0-9;-~]{1,15}$(?!\n)", description='the name of an interface, such as "eth0"'),
]
Interfaces = Annotated[
    tuple[Interface, ...],
    Meta(min_length=1, description='a list of the interfaces that may carry adverts: ["eth0", "eth1"]'),
]
Interval = Annotated[
    float,
    # 1 to 4095 centiseconds, a field of 12 bits (RFC 9568 §5.2.7).
    Meta(ge=0.01, le=40.95, description="seconds from 0.01 to 40.95, in steps of 0.01"),
]
Flag = Annotated[bool, Meta(description="true or false")]
Number32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF, description="a whole number from 0 to 4294967295")]
Seconds = Annotated[float, Meta(ge=0, le=86400, description="seconds from 0 to 86400")]
Wait = Annotated[
    float,
    # A handover ends after presence.Settings.ceiling in any case: what stands on for longer is a drain.
    Meta(ge=0, le=30, description="seconds from 0 to 30"),
]
Period = Annotated[float, Meta(ge=0.01, le=86400, description="seconds from 0.01 to 86400")]
Count = Annotated[int, Meta(ge=1, le=1000, description="a whole number of runs from 1 to 1000")]

Program = Annotated[
    tuple[
        Annotated[str, Meta(pattern=r"^[^\x00]*$", description="the program and its arguments as text in quotes")],
        ...,
    ],
    Meta(min_length=1, description='the program and its arguments as a list: ["/usr/local/bin/notify", "web"]'),
]
FilePath = Annotated[
    str,
    # 107: a socket's address ends there (unix(7)).
    Meta(pattern=r"^/[^\x00-\x1f\x7f]{1,106}$(?!\n)", description='an absolute path, such as "/run/exavrrp/notify"'),
]


class Agent(Struct, frozen=True, kw_only=True):
    """``[agent]``: this node, and defaults for its virtual routers."""

    sources: Sources = ()
    peers: Peers = ()
    advert_interval: Interval = 1.0
    interfaces: Interfaces | None = None
    ipv4_checksum: Annotated[
        Literal["pseudo-header", "rfc9568"],
        Meta(description='"pseudo-header" (as keepalived and FRR) or "rfc9568" (the message alone)'),
    ] = "pseudo-header"
    max_hops: (
        Annotated[int, Meta(ge=0, le=254, description="a whole number of hops from 0 to 254, or leave the key out")]
        | None
    ) = None
    learned_interval_max: Interval | None = None
    log_format: Annotated[Literal["text", "json"], Meta(description='"text" or "json"')] = "text"
    state_directory: Annotated[
        str,
        Meta(pattern=r"^/[^\x00-\x1f\x7f]*$(?!\n)", description='an absolute path, such as "/run/exavrrp"'),
    ] = STATE_DIRECTORY
    persistent_directory: Annotated[
        str,
        Meta(pattern=r"^/[^\x00-\x1f\x7f]*$(?!\n)", description='an absolute path, such as "/var/lib/exavrrp"'),
    ] = "/var/lib/exavrrp"
    control_group: (
        Annotated[
            str,
            # What useradd(8) and systemd (its "relaxed" rules) let a name consist of.
            Meta(
                pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}$(?!\n)", description='the name of a group, such as "netops"'
            ),
        ]
        | None
    ) = None


class Bgp(Struct, frozen=True, kw_only=True):
    """``[virtual_router.NAME.bgp]``: the attributes of the announced routes."""

    med: (
        # The largest is what routes.leaving gives an address that is about to go.
        Annotated[int, Meta(ge=0, le=0xFFFFFFFE, description="a whole number from 0 to 4294967294")] | None
    ) = None
    local_preference: Number32 | None = None
    communities: Annotated[
        tuple[
            Annotated[str, Meta(description='a community in quotes, such as "65010:7" or "no-export"')],
            ...,
        ],
        Meta(description='a list of communities: ["65010:7", "no-export"]'),
    ] = ()
    large_communities: Annotated[
        tuple[Annotated[str, Meta(description='a large community in quotes, such as "65010:1:2"')], ...],
        Meta(description='a list of large communities: ["65010:1:2"]'),
    ] = ()
    as_path: Annotated[
        tuple[
            # RFC 7607: AS 0 must not be sent.
            Annotated[int, Meta(ge=1, le=0xFFFFFFFF, description="AS numbers from 1 to 4294967295")],
            ...,
        ],
        Meta(description="the whole AS path as a list, our own number first: [65010, 65010]"),
    ] = ()
    next_hop: Annotated[str, Meta(description='"self" or an address of the virtual router\'s family in quotes')] = (
        "self"
    )
    neighbors: Annotated[
        tuple[AddressText, ...],
        Meta(description='a list of the addresses of BGP neighbours, as in exabgp.conf: ["2001:db8:0:1::1"]'),
    ] = ()


class VirtualRouter(Struct, frozen=True, kw_only=True):
    """``[virtual_router.NAME]``. What is None comes from ``[agent]``."""

    vrid: Annotated[
        int,
        Meta(ge=1, le=255, description="a whole number from 1 to 255, the same on all nodes of this virtual router"),
    ]
    priority: Annotated[
        int,
        # 100 is the default of RFC 9568 §5.2.4; 0 says "I am leaving" and cannot be configured.
        Meta(ge=1, le=255, description="a whole number from 1 to 254, or 255 for the owner of the addresses"),
    ] = 100
    addresses: Virtual
    source: AddressText | None = None
    peers: Peers | None = None
    interfaces: Interfaces | None = None
    preempt: Flag = True
    preempt_delay: Seconds = 0.0
    advert_interval: Interval | None = None
    learned_interval_max: Interval | None = None
    handover: Annotated[
        Literal["make-before-break", "break-before-make"],
        Meta(description='"make-before-break", or "break-before-make" for a service that must never run twice'),
    ] = "make-before-break"
    handover_hold: Wait = 1.0
    linger: Wait = 2.0
    checks: Annotated[
        tuple[Annotated[str, Meta(description="the name of a [check.NAME] in quotes")], ...],
        Meta(description='a list of names of [check.NAME] tables: ["web"]'),
    ] = ()
    group: (
        Annotated[
            str,
            Meta(pattern=rf"^{NAME}$(?!\n)", description='a name of a-z, 0-9, _, - and . in quotes, such as "web"'),
        ]
        | None
    ) = None
    notify: Program | None = None
    notify_active: Program | None = None
    notify_backup: Program | None = None
    notify_fault: Program | None = None
    notify_stop: Program | None = None
    notify_fifo: FilePath | None = None
    notify_socket: FilePath | None = None
    notify_timeout: Period = 30.0
    bgp: Bgp = Bgp()


class Check(Struct, frozen=True, kw_only=True):
    """``[check.NAME]``: a program whose exit status says whether this node can serve."""

    command: Annotated[
        tuple[
            Annotated[str, Meta(pattern=r"^[^\x00]*$", description="the program and its arguments as text in quotes")],
            ...,
        ],
        Meta(
            min_length=1,
            description='the program and its arguments as a list: ["/usr/bin/curl", "-fsS", "http://[::1]/"]',
        ),
    ]
    interval: Period = 1.0
    timeout: Period = 1.0
    rise: Count = 2
    fall: Count = 3
    weight: Annotated[
        int,
        # As in keepalived: a weight can carry any priority from 1 to 254 to any other.
        Meta(
            ge=-253,
            le=253,
            description="a whole number from -253 to 253 (0: the router is in fault while the check fails)",
        ),
    ] = 0


SYNONYMS: dict[str, str] = {
    "vrrp_instance": "virtual_router",
    "vrrp_script": "check",
    "virtual_router_id": "vrid",
    "advert_int": "advert_interval",
    "unicast_src_ip": "source",
    "unicast_peer": "peers",
    "virtual_ipaddress": "addresses",
    "virtual_ipaddress_excluded": "addresses",
    "track_script": "checks",
    "script": "command",
    "notify_master": "notify_active",
    "vrrp_notify_fifo": "notify_fifo",
}
"""Words of keepalived.conf, which most users come from → ours."""

MISPLACED: dict[str, str] = {
    name: f"it belongs to a table [{table}]"
    for table, kind in (
        ("check.NAME", Check),
        ("virtual_router.NAME.bgp", Bgp),
        ("virtual_router.NAME", VirtualRouter),
        ("agent", Agent),
    )
    for name in kind.__struct_fields__
} | {
    "nopreempt": "write preempt = false",
    "track_interface": "remove it: adverts follow the routes",
    "init_fail": "remove it: a check counts as failing until its first result",
    "state": "remove it: every node starts as Backup",
    "unicast_ttl": "remove it: adverts leave with a hop limit of 255",
    "version": "remove it: this is VRRPv3",
    "use_vmac": "remove it: there is no virtual MAC address in a routed network",
    "vrrp_sync_group": 'write group = "NAME" in each of its virtual routers',
    "notify_master_rx_lower_pri": "remove it: there is no address elsewhere to be taken back",
    "notify_deleted": "remove it: a router ends with its agent; write notify_stop",
    "notify_fifo_script": "remove it, and start the reader of notify_fifo yourself",
    "vrrp_notify_fifo_script": "remove it, and start the reader of notify_fifo yourself",
    "smtp_alert": "remove it: a program of notify can send mail",
    "auth_type": "remove it: VRRPv3 has no such authentication",
    "auth_pass": "remove it: VRRPv3 has no such authentication",
}
"""For keys that are known in another table, or to keepalived alone: what to do."""
