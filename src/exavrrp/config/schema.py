"""What each key of exavrrp.toml may hold, taken by itself.

The structs are the tables as they stand in the file: plain numbers, booleans and text, with the range of each key and
one phrase that says what to write, which every error message ends with. A key without a default is required; ``None``
means that the key is absent. The defaults of the file are here and nowhere else; ``kinds`` has the keys that are for
one kind of check.

Whether values make sense together, and what text such as an address means, is for ``tables`` to say.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"
"""Names of virtual routers, checks and authentications: they appear in logs, file names and labels of metrics."""

UNAUTHENTICATED = "none"
"""Written in place of the name of a table: no authentication, whatever the agent's default is."""

STATE_DIRECTORY = "/run/exavrrp"
"""Also where the commands look for an agent that they know no configuration of."""

AddressText = Annotated[str, Meta(description='an address in quotes, such as "2001:db8:ff::11" or "192.0.2.11"')]
SessionText = Annotated[
    str,
    Meta(
        description="the address of a BGP neighbor in quotes or, where several sessions lead to it, both ends of one:"
        ' "192.0.2.1 from 192.0.2.2"'
    ),
]
Sources = Annotated[
    tuple[AddressText, ...],
    Meta(description='a list with one of this node\'s own addresses per family: ["2001:db8:ff::11", "192.0.2.11"]'),
]
Peers = Annotated[
    tuple[AddressText, ...],
    # Every router without peers of its own has all of them.
    Meta(max_length=255, description='a list of the other nodes\' addresses: ["2001:db8:ff::12", "192.0.2.12"]'),
]
VirtualText = Annotated[str, Meta(description='an address in quotes, such as "2001:db8:53::1/128" or "192.0.2.53/32"')]
Virtual = Annotated[
    tuple[VirtualText, ...],
    Meta(min_length=1, description='a list of the virtual addresses: ["2001:db8:53::1/128", "192.0.2.53/32"]'),
]
Unlisted = Annotated[
    tuple[VirtualText, ...],
    Meta(description='a list of more virtual addresses of the same family: ["2001:db8:53::2/128"]'),
]
Announced = Annotated[
    tuple[Annotated[str, Meta(description='a prefix in quotes, such as "2001:db8:53::/64"')], ...],
    Meta(min_length=1, description='a list of prefixes: ["2001:db8:53::/64"]'),
]
Interface = Annotated[
    str,
    # IFNAMSIZ is 16 with the terminating zero; dev_valid_name() in the kernel refuses slashes, colons and white space.
    Meta(pattern=r"^(?!\.{1,2}$)[!-.0-9;-~]{1,15}$(?!\n)", description='the name of an interface, such as "eth0"'),
]
Interfaces = Annotated[
    tuple[Interface, ...],
    Meta(
        min_length=1,
        max_length=255,
        description='a list of the interfaces that may carry adverts: ["eth0", "eth1"]',
    ),
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
Weight = Annotated[
    int,
    # As in keepalived: a weight can carry any priority from 1 to 254 to any other.
    Meta(
        ge=-253,
        le=253,
        description="a whole number from -253 to 253 (0: the router is in fault while the check fails)",
    ),
]
Count = Annotated[int, Meta(ge=1, le=1000, description="a whole number of runs from 1 to 1000")]
Prepend = Annotated[
    int,
    # Routers are often told to refuse paths of more than 50 or 75; a longer one than anybody's does not need more.
    Meta(ge=0, le=32, description="how many times more to put our own AS number before the path, from 0 to 32"),
]
FurtherPrepend = Annotated[
    int,
    # That of a leaving route is two more than an Active's, if it is derived.
    Meta(ge=0, le=34, description="how many times more to put our own AS number before the path, from 0 to 34"),
]
Communities = Annotated[
    tuple[
        Annotated[str, Meta(description='a community in quotes, such as "65010:7" or "no-export"')],
        ...,
    ],
    Meta(description='a list of communities: ["65010:7", "no-export"]'),
]
LargeCommunities = Annotated[
    tuple[Annotated[str, Meta(description='a large community in quotes, such as "65010:1:2"')], ...],
    Meta(description='a list of large communities: ["65010:1:2"]'),
]
AsPath = Annotated[
    tuple[
        # RFC 7607: AS 0 must not be sent.
        Annotated[int, Meta(ge=1, le=0xFFFFFFFF, description="AS numbers from 1 to 4294967295")],
        ...,
    ],
    Meta(description="the whole AS path as a list, our own number first: [65010, 65010]"),
]
NextHop = Annotated[str, Meta(description='"self" or an address in quotes')]
NextHops = Annotated[
    str | dict[str, str],
    Meta(
        description='"self", an address in quotes, or one for each neighbor that is to hear:'
        ' { "192.0.2.1" = "2001:db8:1::2" }'
    ),
]
Neighbors = Annotated[
    tuple[SessionText, ...],
    Meta(description='a list of BGP neighbors, as in exabgp.conf: ["2001:db8:0:1::1"]'),
]

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


AuthenticationName = Annotated[
    str, Meta(description=f'the name of a table [authentication.NAME] in quotes, or "{UNAUTHENTICATED}"')
]


PRIORITY = 100
"""RFC 9568 §5.2.4."""

Priority = Annotated[
    int,
    # 0 says "I am leaving" and cannot be configured.
    Meta(ge=1, le=255, description="a whole number from 1 to 254, or 255 for the owner of the addresses"),
]


DownCount = Annotated[
    int, Meta(ge=2, le=100, description="a whole number of intervals from 2 to 100; 3 is that of RFC 9568")
]


class Node(Struct, frozen=True, kw_only=True):
    """``[node.NAME]``: one of the nodes, for a file that is the same on all. What is None comes from elsewhere."""

    sources: Sources
    priority: Priority | None = None
    interfaces: Interfaces | None = None


class Agent(Struct, frozen=True, kw_only=True):
    """``[agent]``: this node, and defaults for its virtual routers."""

    sources: Sources = ()
    peers: Peers = ()
    advert_interval: Interval = 1.0
    down_count: DownCount = 3
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
    scheduling: Annotated[
        Literal["normal", "realtime"],
        Meta(description='"normal", or "realtime" to run before every ordinary process'),
    ] = "normal"
    lock_memory: Flag = False
    startup_delay: Seconds = 0.0
    beacon: Flag | None = None
    beacon_port: Annotated[int, Meta(ge=1, le=65535, description="a UDP port from 1 to 65535")] = 20112
    authentication: AuthenticationName = UNAUTHENTICATED


class Level(Struct, frozen=True, kw_only=True):
    """``[virtual_router.NAME.bgp.standby]`` and ``….leaving]``: what is None is derived from the active attributes."""

    med: Number32 | None = None
    local_preference: Number32 | None = None
    communities: Communities | None = None
    large_communities: LargeCommunities | None = None
    as_path: AsPath | None = None
    prepend: FurtherPrepend | None = None
    next_hop: NextHop | None = None
    neighbors: Neighbors | None = None


class Bgp(Struct, frozen=True, kw_only=True):
    """``[virtual_router.NAME.bgp]``: the attributes of the routes that an Active announces, and how the others follow.

    ``prepend`` that is None comes from ``takeover``. ``as_path`` is for eBGP neighbors: to an iBGP neighbor a path
    with our own number in it is a loop, and refused.
    ``announce`` that is None means the host route of each address, ``takeover`` by MED where no ``med`` is written.
    """

    announce: Announced | None = None
    med: (
        # The largest is what an address has that is about to go.
        Annotated[int, Meta(ge=0, le=0xFFFFFFFE, description="a whole number from 0 to 4294967294")] | None
    ) = None
    local_preference: Number32 | None = None
    communities: Communities = ()
    large_communities: LargeCommunities = ()
    as_path: AsPath = ()
    prepend: Prepend | None = None
    next_hop: NextHops = "self"
    neighbors: Neighbors = ()
    takeover: (
        Annotated[
            tuple[
                Annotated[
                    Literal["med", "prepend", "local-preference"],
                    Meta(description='"med", "prepend" or "local-preference"'),
                ],
                ...,
            ],
            Meta(description='a list of "med", "prepend" and "local-preference", or an empty one: ["med", "prepend"]'),
        ]
        | None
    ) = None
    stale_for: Annotated[
        float,
        # 65,535 is the longest hold time (RFC 4271 §4.2).
        Meta(ge=1, le=86400, description="seconds from 1 to 86400, at least the routers' BGP hold time"),
    ] = 180.0
    standby: Level = Level()
    leaving: Level = Level()


class VirtualRouter(Struct, frozen=True, kw_only=True):
    """``[virtual_router.NAME]``. What is None comes from ``[agent]``."""

    vrid: Annotated[
        int,
        Meta(ge=1, le=255, description="a whole number from 1 to 255, the same on all nodes of this virtual router"),
    ]
    priority: Annotated[
        Priority | dict[str, Priority],
        Meta(
            description="a whole number from 1 to 254, or 255 for the owner of the addresses"
            " (with tables [node.NAME] one for each: { node1 = 200, node2 = 100 })"
        ),
    ] = PRIORITY
    order: Annotated[
        tuple[Annotated[str, Meta(description="the name of a [node.NAME] in quotes")], ...],
        # Their priorities are 10 apart, from 250 on (``nodes``).
        Meta(max_length=25, description='a list of all nodes, the first of which serves: ["node1", "node2"]'),
    ] = ()
    version: Annotated[Literal[2, 3], Meta(description="3, or 2 (IPv4 only) beside nodes that know no VRRPv3")] = 3
    plain_password: (
        Annotated[
            str,
            # The field has eight bytes (RFC 2338 §5.3.10).
            Meta(
                pattern=r"^[!-~]{1,8}$(?!\n)",
                description="1 to 8 printable characters, which everybody on the way can read, or leave the key out",
            ),
        ]
        | None
    ) = None
    addresses: Virtual
    unlisted_addresses: Unlisted = ()
    bind: Annotated[
        bool | Interface,
        Meta(description='true, "eth0" for the addresses on a link, or false where nothing, or another program binds'),
    ] = True
    announce: Annotated[
        bool,
        Meta(
            description="true, or false where no route is to be announced (prefixes go into announce of its table bgp)"
        ),
    ] = True
    preferred_lifetime: Annotated[
        # Any other one the kernel counts down, from when the address was bound or repaired last.
        Literal[0, "forever"],
        Meta(description='0 (never a source of the host\'s own connections) or "forever"'),
    ] = 0
    transport: Annotated[
        Literal["routed", "unicast", "multicast"],
        Meta(description='"routed" (over every uplink), or "unicast" or "multicast" on one interface'),
    ] = "routed"
    interface: Interface | None = None
    source: AddressText | None = None
    peers: Peers | None = None
    interfaces: Interfaces | None = None
    preempt: Flag = True
    preempt_delay: Seconds = 0.0
    advert_interval: Interval | None = None
    down_count: DownCount | None = None
    learned_interval_max: Interval | None = None
    handover: Annotated[
        Literal["make-before-break", "break-before-make"],
        Meta(description='"make-before-break", or "break-before-make" for a service that must never run twice'),
    ] = "make-before-break"
    handover_hold: Wait = 1.0
    linger: Wait = 2.0
    handover_ceiling: Annotated[
        float,
        # Above the longest handover_hold: a drain is undone after it if nobody has taken over.
        Meta(ge=1, le=600, description="seconds from 1 to 600"),
    ] = 30.0
    min_sessions: Annotated[
        # None are needed where nothing is announced.
        int, Meta(ge=0, le=1000, description="a whole number of BGP sessions from 0 (none are needed) to 1000")
    ] = 1
    sessions_neighbors: Annotated[
        tuple[SessionText, ...],
        Meta(description='a list of the BGP neighbors that count: ["2001:db8:0:1::1"]'),
    ] = ()
    sessions_weight: Weight = 0
    startup_hold: Annotated[
        float,
        # Less than one would end it before ExaBGP has answered for the first time.
        Meta(ge=1, le=86400, description="seconds from 1 to 86400"),
    ] = 60.0
    authentication: AuthenticationName | None = None
    checks: Annotated[
        tuple[Annotated[str, Meta(description="the name of a [check.NAME] in quotes")], ...],
        Meta(description='a list of names of [check.NAME] tables: ["web"]'),
    ] = ()
    standby: Annotated[
        Literal["withdraw", "announce"],
        Meta(description='"withdraw", or "announce" to bind and announce the addresses on a Backup too'),
    ] = "withdraw"
    prebind: Flag = False
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


_ABSOLUTE = r"^/[^\x00-\x1f\x7f]*$(?!\n)"

AbsolutePath = Annotated[str, Meta(pattern=_ABSOLUTE, description='an absolute path, such as "/run/x"')]


class Key(Struct, frozen=True, kw_only=True):
    """One entry of ``keys``: where the secret is, in exactly one of three ways.

    None that is wrong is repeated: it may be the secret, which keepalived has where the place is here.
    """

    file: (
        Annotated[
            str,
            Meta(
                pattern=_ABSOLUTE,
                description='an absolute path, such as "/etc/exavrrp/keys/1"',
                extra={"secret": True},
            ),
        ]
        | None
    ) = None
    credential: (
        Annotated[
            str,
            # What systemd accepts (credential_name_valid): a file name, and no path. And nothing that is a key.
            Meta(
                pattern=r"^(?!\.{1,2}$)(?!(hex:)?[0-9A-Fa-f]{48,}$)[^/\x00-\x1f\x7f]{1,255}$(?!\n)",
                description='the name of a systemd credential (LoadCredential=), such as "vrrp-1"',
                extra={"secret": True},
            ),
        ]
        | None
    ) = None
    hex: Annotated[str, Meta(description="64 to 128 hexadecimal digits in quotes", extra={"secret": True})] | None = (
        None
    )


KEY_PLACES = tuple(Key.__struct_fields__)


class Authentication(Struct, frozen=True, kw_only=True):
    """``[authentication.NAME]``: what is signed and verified with which keys. A window of None follows the interval."""

    mode: Annotated[
        Literal["receive-only", "permissive", "enforce"],
        Meta(description='"enforce", or on the way to it "receive-only", then "permissive"'),
    ] = "enforce"
    window: Annotated[int, Meta(ge=1, le=300, description="whole seconds from 1 to 300")] | None = None
    active_key: Annotated[int, Meta(ge=1, le=255, description="the id of the key that signs, from 1 to 255")]
    keys: Annotated[
        dict[str, object],
        Meta(description='the keys by id: { 1 = { file = "/etc/exavrrp/keys/1" } }', extra={"secret": True}),
    ] = {}


class AnyCheck(Struct, frozen=True, kw_only=True):
    """``[check.NAME]``: the keys of every check, of whichever kind it is (``kinds``)."""

    interval: Period = 1.0
    fast_interval: Period | None = None
    timeout: Period = 1.0
    rise: Count = 2
    fall: Count = 3
    weight: Weight = 0
    reverse: Flag = False
    initial: Annotated[
        Literal["fail", "pass", "wait"],
        Meta(description='"fail", "pass", or "wait" (out of the election until the first result)'),
    ] = "fail"
