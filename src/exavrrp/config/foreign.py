"""What people write who come from another tool, and how it is said here, or why it cannot be said.

Data, to be read and extended; ``advice`` makes sentences of it. ``KEEPALIVED`` has every keyword of keepalived.conf(5),
2.2.7 to 2.4, that is no key of ours, and some that are gone; ``HEALTHCHECK`` the options of ExaBGP's health
check (4.2 and 5.0); ``OTHERS`` what ExaBGP, BIRD, FRR and HAProxy call things that we have. Tests read the installed
manual and the help of both versions, and have our own reader read every line that is suggested here.

An entry is found by its word, in lower case and with _ for -. Where a word means different things in different tables,
``kind.word`` (``check.key``) comes first; the kinds are ``root`` (outside of every table), ``agent``,
``virtual_router``, ``bgp``, ``check``, ``authentication`` and ``key``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

AGENT = "agent"
NODE = "node.NAME"
ROUTER = "virtual_router.NAME"
BGP = "virtual_router.NAME.bgp"
STANDBY = "virtual_router.NAME.bgp.standby"
LEAVING = "virtual_router.NAME.bgp.leaving"
CHECK = "check.NAME"
AUTHENTICATION = "authentication.NAME"
KEY = "authentication.NAME.keys"


class Takes(Enum):
    """Whose value stands in the line that is suggested."""

    OWN = "own"
    """the one that is written in the table, because the word says all"""
    EXAMPLE = "example"
    """one that the operator replaces"""
    SAME = "same"
    """the one that the operator wrote, if it fits; else an example"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of exavrrp.toml."""

    table: str
    """where it belongs, NAME being the name of the table at hand"""
    text: str
    """``key = value``; empty if it is the table itself that is to be written"""

    @property
    def key(self) -> str:
        return self.text.partition(" = ")[0]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What a foreign word is here."""

    lines: tuple[Line, ...] = ()
    """what to write for it; empty if there is nothing"""
    remark: str = ""
    """what else has to be known; why there is nothing"""
    takes: Takes = Takes.OWN
    denied: Line | None = None
    """what to write if the operator wrote ``false``"""


def same(table: str, text: str, remark: str = "") -> Counterpart:
    """Only the name differs."""
    return Counterpart((Line(table, text),), remark, Takes.SAME)


def such(table: str, text: str, remark: str = "", also: tuple[Line, ...] = ()) -> Counterpart:
    """The value has another form here: an example says which."""
    return Counterpart((Line(table, text), *also), remark, Takes.EXAMPLE)


def means(table: str, text: str, remark: str = "", denied: str = "") -> Counterpart:
    """The word says it all; ``denied``: what it says with the value ``false``."""
    return Counterpart((Line(table, text),), remark, denied=Line(table, denied) if denied else None)


def nothing(reason: str) -> Counterpart:
    """No counterpart."""
    return Counterpart(remark=reason)


def each(words: str, counterpart: Counterpart) -> dict[str, Counterpart]:
    """The same for several words, with white space between them."""
    return dict.fromkeys(words.split(), counterpart)


# Reasons that are given more than once

NO_ARP = nothing("there is no gratuitous ARP or ND in a routed network; routers learn from BGP who serves")
NO_LINK = nothing(
    'adverts follow the routes to the peers, over every uplink; a virtual router with transport = "unicast" or'
    ' "multicast" names its interface'
)
NO_MAC = nothing("there is no virtual MAC address in a routed network; the address is bound to lo")
ONE_GROUP = such(
    ROUTER,
    'transport = "multicast"',
    "adverts go to 224.0.0.18 or ff02::12, always",
    (Line(ROUTER, 'interface = "eth0"'), Line(ROUTER, 'source = "fe80::11"')),
)
NO_MAIL = nothing("a program of notify can send mail")
NO_LVS = nothing("exavrrp balances no load; keep keepalived or ipvsadm for IPVS")
NO_FILTER = nothing("packets of who is no peer are dropped without nftables, iptables or ipsets")
NO_SNMP = nothing("read exavrrp status --json in place of SNMP and D-Bus")
NO_BUFFER = nothing("its sockets are sized by exavrrp itself")
NO_ROUTES = nothing("exavrrp binds addresses and announces them; routes and rules stay in the network's configuration")
NO_BFD = nothing("ExaBGP speaks no BFD; min_sessions says how many BGP sessions a node needs")
NO_PATTERN = nothing(
    "contains looks for plain text; a program can look for more: write command or shell in place of http"
)
NO_RELOAD = nothing("exavrrp reload puts a changed file in force, also --at a time, and refuses one with mistakes")
NO_INCLUDE = nothing("files conf.d/*.toml beside this one are read as well, with virtual routers and checks")
NO_CLIENT = nothing("checks show no client certificate; a program can: write command in place of http")
NO_BINDING = nothing("checks leave from where the route leads")
UNIT = nothing("write it into the systemd unit of ExaBGP, whose child exavrrp is")
REALTIME = means(AGENT, 'scheduling = "realtime"', denied='scheduling = "normal"')
LOCKED = means(AGENT, "lock_memory = true", denied="lock_memory = false")
NOTIFY_WEIGHT = nothing("a group advertises the least of its priorities, so weights always count")
AUTHENTICATED = nothing("VRRPv3 has no such authentication; write a table [authentication.NAME]")
FIXED = Line(BGP, "med = 100")
"""Of an Active, for other states' MEDs to be larger; the time of its takeover is larger than most."""
FASTER = such(CHECK, "fast_interval = 0.2", "seconds, while results speak against what is known")

KEEPALIVED: Mapping[str, Counterpart] = {
    # Blocks
    "global_defs": means(AGENT, ""),
    "vrrp_instance": means(ROUTER, ""),
    "vrrp_sync_group": such(ROUTER, 'group = "web"', "in each of its virtual routers"),
    "vrrp_script": means(CHECK, ""),
    "vrrp_track_process": such(CHECK, 'process = "postgres"'),
    **each(
        "vrrp_track_file root.track_file",
        such(CHECK, 'file = "/run/web.weight"', also=(Line(CHECK, "file_value = true"),)),
    ),
    "bfd_instance": NO_BFD,
    "garp_group": NO_ARP,
    **each("static_ipaddress static_routes static_rules track_group", NO_ROUTES),
    "interface_up_down_delays": such(
        "check.eth0", 'interface = "eth0"', "rise and fall of the check say how often it must be seen so"
    ),
    **each(
        "linkbeat_interfaces linkbeat_use_polling",
        nothing('write a check with interface = "eth0": the kernel says whether a link is up'),
    ),
    **each("virtual_server virtual_server_group real_server sorry_server", NO_LVS),
    "ssl": NO_CLIENT,
    # Global definitions
    **each(
        "net_namespace net_namespace_ipvs namespace_with_ipsets",
        nothing("ExaBGP's namespace is exavrrp's: NetworkNamespacePath= in its unit"),
    ),
    **each(
        "use_pid_dir data_use_instance instance",
        such(AGENT, 'state_directory = "/run/exavrrp"', "what exavrrp writes stands there, and two agents need two"),
    ),
    **each("tmp_config_directory config_save_dir", nothing("exavrrp reads its file once, and copies it nowhere")),
    **each(
        "process_names process_name vrrp_process_name checker_process_name bfd_process_name",
        nothing("ExaBGP starts the process, and exabgp.conf has its name"),
    ),
    **each(
        "startup_script startup_script_timeout shutdown_script shutdown_script_timeout",
        nothing("write ExecStartPre= or ExecStopPost= into the systemd unit of ExaBGP"),
    ),
    "child_wait_time": nothing("an orderly stop takes at most 1.5 s, as ExaBGP allows"),
    **each("notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout", NO_MAIL),
    **each("smtp_alert smtp_alert_vrrp smtp_alert_checker no_email_faults no_checker_emails", NO_MAIL),
    **each(
        "checker_log_all_failures log_all_failures",
        nothing("the log says when a check changes, and exavrrp status why a node cannot serve"),
    ),
    "router_id": nothing("adverts name nobody, and ExaBGP has a router-id of its own in exabgp.conf"),
    **each("vrrp_mcast_group4 vrrp_mcast_group6 mcast_dst_ip", ONE_GROUP),
    "default_interface": NO_LINK,
    **each("lvs_sync_daemon lvs_timeouts lvs_flush lvs_flush_on_stop", NO_LVS),
    **each(
        "vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat"
        " vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_interval vrrp_gna_interval vrrp_min_garp"
        " vrrp_garp_extra_if vrrp_garp_extra_if_vmac garp_interval gna_interval garp_master_delay garp_master_repeat"
        " garp_lower_prio_delay garp_lower_prio_repeat garp_master_refresh garp_master_refresh_repeat garp_extra_if"
        " garp_extra_if_vmac",
        NO_ARP,
    ),
    **each(
        "vrrp_down_timer_adverts down_timer_adverts",
        such(ROUTER, "down_count = 3", "at least 2"),
    ),
    **each(
        "vrrp_lower_prio_no_advert lower_prio_no_advert",
        nothing("a losing advert is answered, once per advert interval at most"),
    ),
    **each(
        "vrrp_higher_prio_send_advert higher_prio_send_advert",
        nothing("who hears a better advert becomes Backup and says nothing more (RFC 9568)"),
    ),
    "vrrp_version": such(ROUTER, "version = 3", "which is the default; 2 is for IPv4 only, in each virtual router"),
    "agent.version": such(ROUTER, "version = 3", "which is the default; 2 is for IPv4 only, in each virtual router"),
    **each("nftables nftables_priority nftables_counters nftables_ifindex vrrp_iptables vrrp_ipsets", NO_FILTER),
    **each("nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark", NO_LVS),
    **each("vrrp_check_unicast_src check_unicast_src", nothing("only peers are heard, always")),
    **each(
        "vrrp_skip_check_adv_addr skip_check_adv_addr",
        nothing("an advert with another list of addresses counts, and the log says addresses-differ"),
    ),
    **each("vrrp_strict strict_mode", nothing("docs/why/limits.md lists where exavrrp differs from RFC 9568")),
    **each(
        "vrrp_notify_priority_changes notify_priority_changes",
        nothing("programs and FIFOs hear of states, the log of priorities"),
    ),
    **each("max_auto_priority min_auto_priority_delay vrrp_rt_priority checker_rt_priority bfd_rt_priority", REALTIME),
    **each("vrrp_rlimit_rttime checker_rlimit_rttime bfd_rlimit_rttime", UNIT),
    **each(
        "vrrp_priority checker_priority bfd_priority",
        nothing('write Nice= into the systemd unit of ExaBGP, or scheduling = "realtime" in [agent]'),
    ),
    **each("vrrp_no_swap checker_no_swap bfd_no_swap", LOCKED),
    **each("vrrp_cpu_affinity checker_cpu_affinity bfd_cpu_affinity umask", UNIT),
    **each(
        "snmp_socket enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3"
        " enable_traps snmp_name enable_dbus dbus_service_name dbus_no_interface_name snmp_rs_stats_update_interval"
        " snmp_vs_stats_update_interval",
        NO_SNMP,
    ),
    "script_user": such(CHECK, 'user = "nobody"', "in each check with a program, where ExaBGP runs as root"),
    "enable_script_security": nothing("it is always so"),
    "vrrp_notify_fifo": same(ROUTER, 'notify_fifo = "/run/exavrrp/notify"'),
    **each("notify_fifo_script vrrp_notify_fifo_script", nothing("start the reader of notify_fifo yourself")),
    **each("lvs_notify_fifo lvs_notify_fifo_script", NO_LVS),
    "fifo_write_vrrp_states_on_reload": NO_RELOAD,
    "dynamic_interfaces": nothing("interfaces may come and go at any time"),
    **each(
        "vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs"
        " vrrp_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs process_monitor_rcv_bufs_force"
        " vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier kernel_rx_buf_size",
        NO_BUFFER,
    ),
    **each(
        "lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs"
        " lvs_netlink_monitor_rcv_bufs_force",
        NO_LVS,
    ),
    "rs_init_notifies": NO_LVS,
    **each("vrrp_startup_delay vrrp_delay_after_boot", same(AGENT, "startup_delay = 5.5")),
    "log_unknown_vrids": nothing("the log names who is heard and not known, always"),
    **each("vmac_prefix vmac_addr_prefix", NO_MAC),
    "random_seed": nothing("there is nothing to seed"),
    **each("reload_check_config reload_time_file reload_repeat reload_file", NO_RELOAD),
    **each("include includer includem includew includeb includea include_check", NO_INCLUDE),
    "v3_checksum_as_v2": means(AGENT, 'ipv4_checksum = "rfc9568"', denied='ipv4_checksum = "pseudo-header"'),
    "use_symlink_paths": nothing("a path is used as it is written"),
    "set_supplementary_groups": nothing("a program has the groups of its user, always"),
    **each(
        "state_file_location stats_file_location json_file_location json_version",
        nothing("exavrrp status --json prints what is known"),
    ),
    **each("iproute_etc_dir iproute_usr_dir", NO_ROUTES),
    # Virtual routers
    "state": nothing("every node starts as Backup, and the highest priority serves"),
    **each(
        "agent.interface",
        such(
            ROUTER,
            'interfaces = ["eth0", "eth1"]',
            "only if some uplinks must not carry adverts: without it every one does",
        ),
    ),
    "timer_expired_backup": nothing("an Active that was stopped for too long steps down, always"),
    "vrf": nothing("exavrrp runs in the VRF or namespace that ExaBGP runs in"),
    **each("use_vmac use_vmac_addr vmac_xmit_base use_ipvlan", NO_MAC),
    "native_ipv6": nothing("the family is that of the addresses"),
    "dont_track_primary": nothing('no interface faults a router unless a check with interface = "eth0" says so'),
    "track_interface": such(
        ROUTER,
        'checks = ["eth0"]',
        "the weight means what it means in keepalived; adverts follow the routes",
        (Line("check.eth0", 'interface = "eth0"'), Line("check.eth0", "weight = 0")),
    ),
    **each("track_script track_process track_file", such(ROUTER, 'checks = ["web"]', "the weight stands in the check")),
    "check.track_file": such(CHECK, 'file = "/run/web.weight"'),
    "track_bfd": NO_BFD,
    **each("mcast_src_ip unicast_src_ip", such(ROUTER, 'source = "2001:db8:ff::11"')),
    **each("agent.mcast_src_ip agent.unicast_src_ip", such(AGENT, 'sources = ["2001:db8:ff::11"]')),
    "track_src_ip": nothing("who cannot send adverts from its source steps down, always"),
    "unicast_peer": such(ROUTER, 'peers = ["2001:db8:ff::12"]'),
    "min_ttl": such(AGENT, "max_hops = 1", "255 less the least TTL that is accepted"),
    "max_ttl": nothing("a TTL is never too high"),
    "unicast_fault_no_peer": nothing("a router without peers is a mistake in the file, always"),
    "unicast_ttl": nothing("adverts leave with a hop limit of 255"),
    "old_unicast_checksum": nothing(
        "the checksum of keepalived <= 1.3.6, made with the multicast address, is neither sent nor accepted;"
        " remove it on every peer"
    ),
    "virtual_router_id": same(ROUTER, "vrid = 7"),
    "advert_int": same(ROUTER, "advert_interval = 1.0"),
    "agent.advert_int": same(AGENT, "advert_interval = 1.0"),
    "agent.priority": such(ROUTER, "priority = 100"),
    **each("auth_type auth_pass", AUTHENTICATED),
    "auth_hmac": such(ROUTER, 'authentication = "site"', "with a table [authentication.site] for its keys"),
    "anti_replay": nothing("what is signed is accepted once, and within the window only, always"),
    "time_window": same(AUTHENTICATION, "window = 5"),
    "key": such(AUTHENTICATION, 'keys = { 1 = { file = "/etc/exavrrp/keys/1" } }'),
    "key.key": such(KEY, 'file = "/etc/exavrrp/keys/1"', "or credential, or hex"),
    "virtual_ipaddress": such(
        ROUTER, 'addresses = ["2001:db8:53::1/128"]', "bound as exactly this address to lo, or to what bind names"
    ),
    "virtual_ipaddress_excluded": such(
        ROUTER,
        'unlisted_addresses = ["2001:db8:53::2/128"]',
        "of the family of addresses; the other family is a virtual router of the same group",
    ),
    "preferred_lft": same(
        ROUTER,
        'preferred_lifetime = "forever"',
        "of all IPv6 addresses of the router, or preferred_lft forever behind one; no other number than 0",
    ),
    "no_virtual_ipaddress": nothing("each virtual router has an address: a route to it is what moves"),
    **each("virtual_routes virtual_rules", NO_ROUTES),
    "promote_secondaries": nothing(
        "on lo each address is a /32 or /128, so none is another one's secondary; where bind names an interface,"
        " exavrrp check warns if the sysctl of this name is 0"
    ),
    **each("accept no_accept", nothing("who is Active accepts what is sent to the addresses, always")),
    **each("nopreempt no_preempt", means(ROUTER, "preempt = false", denied="preempt = true")),
    "debug": nothing("SIGUSR1 logs the counters, and exavrrp run --record FILE records every event"),
    # Notification
    "notify_master": such(ROUTER, 'notify_active = ["/usr/local/bin/notify"]'),
    "notify_master_rx_lower_pri": nothing("there is no address elsewhere to be taken back"),
    "notify_deleted": such(ROUTER, 'notify_stop = ["/usr/local/bin/notify"]', "a router ends with its agent only"),
    **each(
        "notify_up notify_down quorum_up quorum_down",
        such(ROUTER, 'notify = ["/usr/local/bin/notify"]', "programs hear of a router's states, not of checks"),
    ),
    **each("global_tracking sync_group_tracking_weight", NOTIFY_WEIGHT),
    # Checks
    "script": such(CHECK, 'command = ["/usr/bin/curl", "-fsS", "http://[::1]/"]'),
    **each("init_fail alpha", means(CHECK, 'initial = "fail"', "which is the default", 'initial = "pass"')),
    "init_file": nothing("a file that is not there counts as 0; write a number into it before exavrrp starts"),
    "full_command": such(
        CHECK,
        'command = ["/usr/bin/pgrep", "-f", "^/usr/sbin/web --port 80"]',
        "in place of process, which is a name only; without a shell, whose own command line would match",
    ),
    "quorum": same(CHECK, "at_least = 2"),
    "quorum_max": such(CHECK, 'shell = "test $(pgrep -cx web) -le 4"', "in place of process"),
    "fork_delay": such(CHECK, "rise = 2", "in runs, not seconds"),
    "terminate_delay": such(CHECK, "fall = 3", "in runs, not seconds"),
    "delay": such(CHECK, "fall = 3", "in runs, not seconds, and rise for the way back"),
    # Checkers of LVS
    **each("http_get url path", such(CHECK, 'http = "http://[::1]:8080/health"')),
    "ssl_get": such(CHECK, 'http = "https://[::1]:8443/health"'),
    "tcp_check": such(CHECK, 'tcp = "[::1]:5432"'),
    "smtp_check": such(CHECK, 'tcp = "[::1]:25"', "it is the connection that counts"),
    "dns_check": such(CHECK, 'command = ["/usr/bin/dig", "+tries=1", "+time=1", "@::1", "example.com"]'),
    **each("misc_check misc_path", such(CHECK, 'command = ["/usr/local/bin/healthy"]')),
    "misc_timeout": same(CHECK, "timeout = 1.0"),
    "misc_dynamic": nothing(
        "an exit status is good (0) or bad; the number in a file is a weight with file_value = true"
    ),
    "ping_check": such(
        CHECK,
        'command = ["/usr/bin/ping", "-c1", "-W1", "192.0.2.1"]',
        "programs have no capability, so net.ipv4.ping_group_range has to hold the group of its user",
    ),
    "udp_check": such(
        CHECK, 'command = ["/usr/local/bin/healthy"]', "there is no question in UDP; write a program that asks"
    ),
    **each("payload require_reply", nothing("there is no question in UDP; write a check with a program that asks")),
    "file_check": such(CHECK, 'file = "/run/web.weight"', also=(Line(CHECK, "file_value = true"),)),
    "dynamic": means(CHECK, "file_value = true", "in a check with file", "file_value = false"),
    "bfd_check": NO_BFD,
    **each(
        "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multihop multiplier passive ttl hoplimit vrrp"
        " checker",
        NO_BFD,
    ),
    **each("connect_ip connect_port", such(CHECK, 'tcp = "[::1]:5432"')),
    **each("bindto bind_if bind_port fwmark", NO_BINDING),
    "connect_timeout": same(CHECK, "timeout = 1.0"),
    "retry": such(CHECK, "fall = 3", "one more than the retries"),
    "delay_before_retry": FASTER,
    "warmup": nothing("checks are spread over their interval by themselves"),
    "delay_loop": same(CHECK, "interval = 1.0"),
    "http_protocol": nothing("checks speak HTTP/1.1"),
    "fast_recovery": such(CHECK, "rise = 1", "the good results in a row that it takes"),
    "digest": such(CHECK, 'contains = "ok"', "text that the answer has to hold"),
    "status_code": such(CHECK, "status = [200, 204]"),
    "virtualhost": same(CHECK, 'host = "www.example.com"'),
    **each("enable_sni sni_name", such(CHECK, 'host = "www.example.com"', "which is the server's name in TLS, too")),
    "tls_compliant": nothing("the answer is what counts, not how the server ends"),
    **each("regex regex_no_match regex_options regex_stack regex_min_offset regex_max_offset", NO_PATTERN),
    "ca": same(CHECK, 'ca_file = "/etc/ssl/certs/ca.pem"'),
    **each("certificate password check.key", NO_CLIENT),
    **each("agent.password virtual_router.password authentication.password", AUTHENTICATED),
    **each("helo_name type", nothing("only a program asks as exactly as that: write command")),
    "name": nothing("the name stands in the header of the table: [virtual_router.NAME], [check.NAME]"),
    # The rest of LVS
    **each(
        "lvs_sched lvs_method persistence_engine persistence_timeout persistence_granularity protocol ha_suspend"
        " omega hysteresis ip_family sorry_server_inhibit sorry_server_lvs_method inhibit_on_failure"
        " uthreshold lthreshold ops flag_1 flag_2 flag_3 sh_port sh_fallback mh_port mh_fallback",
        NO_LVS,
    ),
}
"""keepalived.conf(5)."""

HEALTHCHECK: Mapping[str, Counterpart] = {
    **each("silent syslog_facility no_syslog", nothing("the log goes to stderr, and ExaBGP hands it on")),
    "no_ack": nothing("ExaBGP has to answer: leave api.ack as it is"),
    "sudo": nothing("two capabilities do: the drop-in among the examples grants them to ExaBGP"),
    "config": NO_INCLUDE,
    "pid": nothing("a lock in state_directory takes care that there is one agent"),
    "check.group": nothing("a program has the groups of its user"),
    "disable": nothing("exavrrp drain NAME takes a node out, exavrrp undrain NAME takes it in again"),
    "cmd": same(CHECK, 'shell = "curl -fsS http://[::1]/"'),
    "ip": such(ROUTER, 'addresses = ["2001:db8:53::1/128"]', "a network stands in announce of its [….bgp]"),
    "ip_ifname": such(ROUTER, 'addresses = ["2001:db8:53::1/128"]', "they are bound to lo"),
    "deaggregate_networks": nothing("addresses lists each address"),
    **each("no_ip_setup dynamic_ip_setup", nothing("exavrrp binds the addresses and removes them again, always")),
    **each(
        "label label_exact_match start_ip",
        such(ROUTER, 'addresses = ["2001:db8:53::1/128"]', "what is on lo already is not looked for"),
    ),
    "up_metric": same(BGP, "med = 100"),
    "down_metric": such(
        STANDBY,
        "med = 1000",
        "a Backup announces too; a node in fault withdraws",
        (Line(ROUTER, 'standby = "announce"'), FIXED),
    ),
    "disabled_metric": such(LEAVING, "med = 500", "while the addresses move; a drained node withdraws", (FIXED,)),
    "increase": nothing("the addresses of one virtual router share its attributes; write one for each"),
    "community": such(BGP, 'communities = ["65010:7"]'),
    "extended_community": nothing("routes have communities and large_communities"),
    "large_community": such(BGP, 'large_communities = ["65010:1:2"]'),
    "disabled_community": such(
        LEAVING, 'communities = ["65010:8"]', "while the addresses move; a drained node withdraws"
    ),
    "local_as": nothing("ExaBGP tells the agent our AS number in each session"),
    "up_as_path": such(BGP, "as_path = [65010, 65010]"),
    "down_as_path": such(
        STANDBY,
        "as_path = [65010, 65010]",
        "a Backup announces too, and a route that leaves is worse than both; a node in fault withdraws",
        (Line(LEAVING, "as_path = [65010, 65010, 65010]"), Line(ROUTER, 'standby = "announce"')),
    ),
    "disabled_as_path": such(
        LEAVING, "as_path = [65010, 65010, 65010]", "while the addresses move; a drained node withdraws"
    ),
    "withdraw_on_down": means(ROUTER, 'standby = "withdraw"', "which is the default", 'standby = "announce"'),
    "path_id": nothing("a node announces one path for each address"),
    "neighbor": such(BGP, 'neighbors = ["2001:db8:0:1::1"]'),
    "debounce": nothing("a route is announced once, and again only if it changed or a session came up"),
    "execute": such(ROUTER, 'notify = ["/usr/local/bin/notify"]'),
    "up_execute": such(ROUTER, 'notify_active = ["/usr/local/bin/notify"]'),
    "down_execute": such(ROUTER, 'notify_fault = ["/usr/local/bin/notify"]'),
    "disabled_execute": such(
        ROUTER, 'notify_backup = ["/usr/local/bin/notify"]', "to notify programs, a drained router is a Backup"
    ),
}
"""python -m exabgp healthcheck."""

SESSIONS = nothing("sessions are ExaBGP's: it stands in exabgp.conf")

OTHERS: Mapping[str, Counterpart] = {
    # exabgp.conf
    **each("local_address peer_address peer_as hold_time family root.process encoder api capability", SESSIONS),
    **each(
        "origin aggregator atomic_aggregate aigp originator_id cluster_list rd path_information",
        nothing("ExaBGP's default is announced"),
    ),
    "metric": same(BGP, "med = 100"),
    "local_pref": same(BGP, "local_preference = 100"),
    # HAProxy
    "inter": such(CHECK, "interval = 1.0", "in seconds, not milliseconds"),
    **each("fastinter downinter", FASTER),
    # FRR
    "advertisement_interval": such(ROUTER, "advert_interval = 1.0", "in seconds, not milliseconds"),
}

FOREIGN: Mapping[str, Counterpart] = {**OTHERS, **HEALTHCHECK, **KEEPALIVED}
