"""Every code, what it means and what to do: the events of the log, and the findings of ``status`` and ``doctor``; pure.

``exavrrp explain`` prints an entry, and docs/reference/codes.md is made of them (``pytest tests/test_codes.py
--rewrite``). A test checks that every event and every finding has one.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """What an operator has to know of one code."""

    means: str
    do: str
    """what to do; empty: nothing"""


CODES = {
    # The agent
    "agent-started": Code("The agent has begun, with this version and these routers.", ""),
    "agent-stopping": Code("The agent hands over and ends; the reason says why.", ""),
    "agent-stopped": Code("The agent has ended.", ""),
    "agent-start-failed": Code(
        "`run` cannot start; ExaBGP starts it again a few times, and then ends.",
        "Do what the detail says, then run `exavrrp check` as ExaBGP's user.",
    ),
    "agent-duplicate": Code(
        "A second process of the same ExaBGP runs this configuration, and waits.",
        "Remove one of the two `process` stanzas from exabgp.conf and reload ExaBGP.",
    ),
    "internal-error": Code(
        "A bug: an orderly stop follows, and ExaBGP starts the agent again.",
        "Report the traceback. If it repeats, drain the node and stop ExaBGP.",
    ),
    "caretaker-started": Code(
        "A failed reload of ExaBGP has ended the agent; this process goes on with its addresses. In a full reload"
        " (SIGUSR2), too, until the next agent is there.",
        "Unless a new agent has started: put exabgp.conf right, and reload ExaBGP (SIGUSR1).",
    ),
    "configuration-invalid": Code(
        "A mistake in the configuration; one line for each.",
        "Correct the key that the line names; `exavrrp check` finds all mistakes at once.",
    ),
    "configuration-warning": Code(
        "A setting is valid, and probably does not do what was meant.",
        "Read the detail, and change the setting or not.",
    ),
    "configuration-kept": Code(
        "The file has mistakes, so the last configuration stays in effect.",
        "Correct the file (`exavrrp check`), then put it in force (`exavrrp reload`).",
    ),
    "router-reconfigured": Code("A router goes on with other settings.", ""),
    "reconfigure-incomplete": Code(
        "A router has left, and a part of what it needed could not be given back.", "Restart ExaBGP."
    ),
    "router-renamed": Code("A router goes on under the name that a reload has given it.", ""),
    "configuration-undone": Code(
        "An agent has ended before anybody confirmed a reload: what was in force before it is again, unless it cannot "
        "be used.",
        "Run `exavrrp reload --dry-run`: it says how the file differs from what is in force.",
    ),
    "reload-applied": Code("Another configuration is in force; nothing but the named routers has changed.", ""),
    "reload-unchanged": Code("A reload has found no difference.", ""),
    "reload-refused": Code(
        "A reload was refused, one line for each reason; nothing has changed.",
        "Correct the file (`exavrrp check`), or do what the detail says; then reload again.",
    ),
    "reload-scheduled": Code("A reload waits for its time.", ""),
    "reload-cancelled": Code("A reload that waited for its time was called off.", ""),
    "reload-unconfirmed": Code(
        "A reload is taken back at the time that is named, if nobody confirms it.", "Run `exavrrp reload --confirm`."
    ),
    "reload-confirmed": Code("Somebody has confirmed the reload: it stays.", ""),
    "reload-undone": Code(
        "What was in force before the last reload is in force again, for the reason that is named.",
        "Correct the file, which still has the other configuration.",
    ),
    "realtime-granted": Code('`scheduling = "realtime"` is in effect.', ""),
    "realtime-denied": Code(
        'The right for `scheduling = "realtime"` is missing; the agent works without it.',
        "Set LimitRTPRIO= or give CAP_SYS_NICE, as the detail says; or remove the key.",
    ),
    "memory-lock-granted": Code("`lock_memory` is in effect.", ""),
    "memory-lock-denied": Code(
        "The right for `lock_memory` is missing; the agent works without it.",
        "Set LimitMEMLOCK=infinity in ExaBGP's unit, or remove the key.",
    ),
    "counters": Code("All counters, on SIGUSR1 and at the end; this line is the last.", ""),
    "counters-wire": Code("What the sockets of one source have sent and received.", ""),
    "counters-router": Code("What one router has sent and received.", ""),
    "counters-notify": Code("Notifications that were delivered, failed or dropped.", ""),
    "beacon-unavailable": Code(
        "The socket of the beacons cannot be opened at a source; the agent tries it again.",
        "See which program has the UDP port (`ss -ulpn`), or choose another `beacon_port` on all nodes.",
    ),
    "beacon-failed": Code(
        "The code of the beacons has failed: there are none any more, and everything else goes on.",
        "Report it; a restart of the agent begins anew.",
    ),
    "line-too-long": Code("A JSON line had more than 4,000 bytes, and this stands in its place.", "Report it."),
    # The election
    "transition": Code(
        "A router has changed its state.", "`exavrrp why NAME` says what it comes from, and what was not the reason."
    ),
    "phase-completed": Code(
        "After a transition, addresses were bound, announced, confirmed, withdrawn or unbound (journal only).", ""
    ),
    "peer-advertised": Code(
        "A peer's advert says another priority than before, or is the first after a silence (journal only).", ""
    ),
    "health-assessed": Code("The priority or the faults of a router, after a check or session has changed.", ""),
    "takeover-limited": Code(
        "Over these sessions no `takeover` surely beats the route of a node that dies with its links up.",
        "Write what the detail says; it names how long routers keep that route, too.",
    ),
    "source-missing": Code(
        "No interface has the configured source address; the agent waits for it.",
        "Add the address to lo (of a router on one interface: to that interface). Or correct the source, and end the "
        "agent (SIGTERM): ExaBGP starts it again.",
    ),
    "advert-send-failed": Code(
        "The kernel did not take some copies of an advert.",
        "Look at routes and firewall for the errno: ENETUNREACH no route, EPERM a firewall rule, ENOBUFS a full queue.",
    ),
    "peers-unreachable": Code(
        "There is no route to any peer (`doctor`: to this one), but BGP neighbors are reached: the node serves on.",
        "If the peers should live: look at their sessions and at the routes to them (`ip route get`).",
    ),
    "paths-changed": Code("The interfaces over which adverts go to a peer.", ""),
    "path-quiet": Code(
        "Adverts of a peer arrive, but not over this interface any more: a link, a router or a filter on that path.",
        "Compare with the peer's side; look for rp_filter=1, a firewall, or a route that leads elsewhere. The election"
        " goes on over the other paths.",
    ),
    "session-cut-off": Code(
        "No path leads to this neighbor, or none with a carrier. The session counts as down at once: the router has"
        " closed it, and ExaBGP finds out when it writes.",
        "Look at the links. When a carrier is back, ExaBGP is made to write, and the session is opened anew.",
    ),
    "peer-deaf": Code(
        "A node goes on as Active although a better one advertises: it is heard, and hears nothing. Where `takeover` is"
        " on, the better one makes its route better again, so that the traffic comes back to it. The deaf node learns"
        " nothing of that: if the better one dies before it hears again, and no third node has more priority than it,"
        " routers prefer the dead one's route until the hold time is over.",
        "Look whether routers have a route to that node's own address (`static` in its exabgp.conf). On that node: a"
        " firewall that drops protocol 112, rp_filter=1, keys; `exavrrp status` there names no peer."
        " With `takeover` off, routers may send traffic to either.",
    ),
    "peer-contradictory": Code(
        "Adverts from one address say this and that many times within a few intervals: somebody forges them, two"
        " machines have the address, or a check of that node changes more often than it advertises.",
        "Look at that node's own log (`health-assessed`): if its priority changes as often, give that check a longer"
        " `interval`, `rise` or `fall`. Else sign adverts (authentication), and look for a second machine with that"
        " source address or that copy of the configuration.",
    ),
    "path-restored": Code("Adverts of a peer arrive over this interface again.", ""),
    "packet-rejected": Code(
        "A packet on protocol 112 was not accepted; the reason says why.",
        "ttl: max_hops or a stranger; vrid, source: configurations differ; auth-*: keys, mode or clocks differ.",
    ),
    "filter-failed": Code(
        "There are too many peers for a socket filter, so packets of others reach the agent.",
        "Raise net.core.optmem_max.",
    ),
    "interval-differs": Code(
        "A peer advertises at another interval than we are configured with. Takeovers follow the Active's.",
        "Set the same advert_interval on all nodes.",
    ),
    "interval-clamped": Code(
        "A peer's interval is longer than learned_interval_max, so that is used instead.",
        "Set the same advert_interval on all nodes.",
    ),
    "addresses-differ": Code(
        "A peer lists other addresses than we have for this router: after a failover some would be missing.",
        "Make `addresses` equal on all nodes.",
    ),
    "second-owner": Code(
        "A peer says priority 255, as we do: both are owners.", "Only one node may have priority 255."
    ),
    "authentication-enabled": Code("What a router signs with and accepts.", ""),
    "replay-counters-loaded": Code("How many replay counters are known from before.", ""),
    "clock-skew": Code(
        "A peer's clock differs from ours. Beyond the window its signed adverts are rejected: two nodes are Active.",
        "Set both right (NTP): chronyc tracking, timedatectl.",
    ),
    "clock-stepped": Code(
        "Our clock was set, or this guest was paused. Takeover by MED goes by it, and so do signed adverts.",
        "Find out which node has the wrong time, and keep all of them right (NTP).",
    ),
    # Addresses and routes
    "address-bound": Code("The addresses of a router are on lo, or on their link.", ""),
    "address-unbound": Code("The addresses of a router are gone from there.", ""),
    "bind-failed": Code(
        "The kernel refused an address, somebody removes it again and again, or somebody else has put it on its link; "
        "the router is in fault.",
        "Look who manages the interface (NetworkManager, systemd-networkd, another daemon) and keep it from this "
        "address.",
    ),
    "unbind-failed": Code(
        "An address cannot be removed.",
        "Remove it by hand: `ip addr del ADDRESS dev INTERFACE`, if it is not served.",
    ),
    "address-repaired": Code(
        "Somebody removed or changed an address on its interface; it is restored.",
        "Find out who manages the interface, and end that.",
    ),
    "address-elsewhere": Code(
        "A virtual address is on another interface, too: this node answers for it even as a Backup.",
        "Remove it there: `ip addr del ADDRESS dev INTERFACE`.",
    ),
    "leftovers-found": Code("Addresses or routes that an earlier agent has left, and what is done with them.", ""),
    "route-announced": Code("ExaBGP has carried out an announcement.", ""),
    "route-withdrawn": Code("ExaBGP has carried out a withdraw.", ""),
    "route-kept": Code(
        "ExaBGP has withdrawn a prefix, but not from neighbors whose api has stopped listing this process: the "
        "addresses stay bound.",
        "List the process again in the api { processes [ ... ] } of these neighbors, then reload ExaBGP (SIGUSR1).",
    ),
    "route-not-accepted": Code(
        "ExaBGP refuses a router's announcement or withdraw, or does not answer: a fault of this router.",
        "Look into ExaBGP's log. Most often no neighbor lists the process in `api { processes [ ... ] }`.",
    ),
    # ExaBGP
    "exabgp-connected": Code("ExaBGP's version is known.", "If it is a warning: this version was not tested."),
    "exabgp-stalled": Code(
        "ExaBGP answers nothing, so nothing can be announced, and no session counts: the node hands over.",
        "Look at its process (CPU, stopped, blocked on a log); restart it if it stays so.",
    ),
    "exabgp-resumed": Code("ExaBGP answers again.", ""),
    "exabgp-disconnected": Code(
        "ExaBGP has closed the pipe, or is gone.", "See its log and `systemctl status exavrrp` (or exabgp, its unit)."
    ),
    "exabgp-detached": Code(
        "ExaBGP has dropped its agent in a failed reload; a caretaker looks after the addresses.",
        "Put exabgp.conf right, and reload ExaBGP (SIGUSR1).",
    ),
    "exabgp-reloaded-again": Code(
        "The caretaker has ExaBGP 5.0 reload twice after a failed reload, or it would end its sessions.", ""
    ),
    "exabgp-kill-failed": Code(
        "A caretaker could not end an ExaBGP that announces our addresses.", "End it by hand: `kill PID`."
    ),
    "exabgp-reconfigured": Code("ExaBGP has another configuration; what it refused is tried again.", ""),
    "exabgp-anomaly": Code(
        "ExaBGP answered something unexpected; the agent resynchronizes by itself.",
        "If it repeats: report it with ExaBGP's version.",
    ),
    "command-refused": Code("ExaBGP answered `error` to a command.", "The reason is in ExaBGP's log."),
    "command-unanswered": Code(
        "ExaBGP did not answer a command in time; it is tried again.", "If it repeats: look into ExaBGP's log."
    ),
    "session-changed": Code("A BGP session came up or went down.", ""),
    "neighbor-unlisted": Code(
        "A neighbor gets nothing of our routes, so its session does not count.",
        "List the process in the neighbor's `api { processes [ ... ] }` in exabgp.conf, and reload ExaBGP (SIGUSR1).",
    ),
    "neighbor-listed": Code("The neighbor gets our routes now.", ""),
    # Checks and notify
    "check-changed": Code("A check passes or fails, after `rise` or `fall` results.", ""),
    "check-not-run": Code(
        "Others can change the program of a check, so it is not run; its last result stands for a while.",
        "Run the `chmod` that the detail names.",
    ),
    "notify-failed": Code(
        "A notify program ended with an error, or too late.", "Run it by hand with the same arguments."
    ),
    "notify-queue-full": Code(
        "Notify programs are slower than transitions: the oldest notifications are dropped.",
        "Make the program faster, or find out why there are so many transitions (`exavrrp events`).",
    ),
    "notify-unusable": Code("A FIFO or socket cannot be used.", "Do what the detail says: it names path and reason."),
    "notify-reader-lost": Code("Nobody reads the FIFO or socket, and lines are dropped.", "Start its reader again."),
    "notify-reader-restored": Code("Somebody reads the FIFO or socket again.", ""),
    # Maintenance
    "command-received": Code("`drain` or `undrain` came, and from which user.", ""),
    "drain-started": Code("A router leaves the election.", ""),
    "drain-completed": Code("A drained router has unbound its addresses.", ""),
    "drain-ended": Code("A router takes part in the election again.", ""),
    "drain-refused": Code(
        "A drain was refused, as no peer is ready to take over, by their beacons; nothing has changed.",
        "See what keeps the peers from it, which the detail names; `exavrrp drain --force` tries all the same.",
    ),
    "drain-cancelled": Code(
        "No node took over within handover_ceiling, so the drain was undone: this node serves on.",
        "Run `exavrrp why` on the other nodes, and drain again when one can serve. To stop all the same: stop ExaBGP.",
    ),
    "drain-expired": Code("The time of `drain --for` is over.", ""),
    "drain-not-persistent": Code(
        "The drain cannot be written to persistent_directory, so a restart ends it; tried again every 10 s.",
        "Make the directory writable (StateDirectory=exavrrp in ExaBGP's unit).",
    ),
    "control-unavailable": Code(
        "The control socket cannot be created, so the commands do not reach this agent.",
        "Make state_directory writable (RuntimeDirectory=exavrrp in ExaBGP's unit).",
    ),
    "control-restored": Code(
        "Somebody had removed the control socket; it is there again.",
        "Look for another unit with the same RuntimeDirectory=.",
    ),
    "control-group-failed": Code(
        "The control socket cannot be given to control_group.",
        "Make the group, and the agent's user a member of it (SupplementaryGroups= in ExaBGP's unit).",
    ),
    "control-accept-failed": Code("There are too few descriptors for another client.", "Raise LimitNOFILE=."),
    "state-file-ignored": Code(
        "A file of state_directory or persistent_directory cannot be read, or is damaged; it counts as absent.",
        "Nothing, if the agent was updated. Otherwise look at the file system.",
    ),
    "state-file-write-failed": Code(
        "A file of state_directory or persistent_directory cannot be written.",
        "Make room, and the directory writable for ExaBGP's user.",
    ),
    "recording-failed": Code(
        "Lines of a recording (`--record`) or of the journal cannot be written, and may be lost.",
        "Make room, and the directory writable for ExaBGP's user.",
    ),
    # Findings
    "session-down": Code(
        "A BGP session of exabgp.conf is down: that router gets no route of ours.",
        "Look at the neighbor, the link and ExaBGP's log. With fewer than min_sessions the router is in fault.",
    ),
    "session-unused": Code(
        "A BGP session is up, and counts for no virtual router, as it does not carry the family of any addresses that"
        " are announced.",
        "Add `ipv6 unicast` or `ipv4 unicast` to the neighbor's families on both ends, if it is meant to count.",
    ),
    "check-failing": Code(
        "A check fails: a fault of the router (weight 0), or a lower priority.",
        "Repair what it checks; `exavrrp status NAME` shows its last result.",
    ),
    "router-fault": Code(
        "The router cannot serve here, and is out of the election.",
        "Do what the sentence says; then it returns by itself.",
    ),
    "router-held": Code(
        "The router waits for something before it takes part.",
        "Wait for it; if it stays so, look at the check or session that the sentence names.",
    ),
    "router-drained": Code("The router was drained by an operator.", "`exavrrp undrain NAME` when the work is done."),
    "router-remark": Code("Something about the router is not usual.", "Do what the sentence says."),
    "route-unconfirmed": Code(
        "ExaBGP has not confirmed what is wanted.", "A moment later it should have; if not, see route-not-accepted."
    ),
    "address-unverified": Code(
        "An address is to be on lo, and the kernel does not accept packets to it.", "See bind-failed."
    ),
    "two-actives": Code(
        "Another node is Active, too. For a moment that is normal; if it lasts, the two do not hear each other.",
        "Look at the paths, firewalls and keys between them; `exavrrp status` on both.",
    ),
    "no-ready-standby": Code(
        "The Active has no peer that could take over, by their beacons: each is silent, drained, waiting or in fault.",
        "See `exavrrp status` on the peers; until one is ready, a failure of this node is an outage.",
    ),
    "beacon-unheard": Code(
        "A peer sends beacons, and says that ours do not reach it over this path.",
        "Follow the path from this interface; a firewall has to let protocol 112 and the UDP port of beacons pass.",
    ),
    "no-active": Code(
        "No advert of an Active arrives. This node takes over if that lasts.", "Nothing, if it is about to take over."
    ),
    "agent-unreachable": Code(
        "No agent answers at the control socket.",
        "See `systemctl status exavrrp` (of an ExaBGP with a unit of its own: exabgp), and `journalctl -u` for the same"
        " unit; another agent's configuration is named with --config.",
    ),
    "capability-missing": Code(
        "A capability that `run` needs is missing.", "Set AmbientCapabilities= in ExaBGP's unit, as the sentence says."
    ),
    "directory-unwritable": Code(
        "A directory that the agent writes to is not writable.",
        "RuntimeDirectory=exavrrp and StateDirectory=exavrrp in ExaBGP's unit; in a container a volume.",
    ),
    "interface-missing": Code(
        "The configuration names an interface that this host does not have.", "Correct the name in `interfaces`."
    ),
    "secondaries-go-along": Code(
        "promote_secondaries = 0 on a link with virtual IPv4 addresses: with the oldest address of a prefix the kernel "
        "removes the younger ones, the host's own too. Where the agent cannot set it, it does not unbind such an "
        "address, and two nodes may have it.",
        "Set net.ipv4.conf.INTERFACE.promote_secondaries or net.ipv4.conf.all.promote_secondaries to 1 (sysctl.d).",
    ),
    "group-missing": Code("This host has no such group.", "Make it (`groupadd`), or correct agent.control_group."),
    "single-path": Code(
        "Adverts to a peer leave over one interface only: a link that fails looks like a node that fails.",
        "Give the host a route to the peer over each uplink (ECMP), or name the interfaces.",
    ),
    "rp-filter-strict": Code(
        "rp_filter = 1 on an uplink: the kernel drops copies of adverts whose way back leads over another interface.",
        "Set net.ipv4.conf.INTERFACE.rp_filter and net.ipv4.conf.all.rp_filter to 2 or 0 (sysctl.d).",
    ),
    "ipv6-disabled": Code(
        "IPv6 is switched off on an interface that an IPv6 router needs.", "Set disable_ipv6 to 0 there (sysctl.d)."
    ),
    "uplink-down": Code("An interface that leads to a peer has no carrier.", "Look at the cable and the switch."),
    "mtu-small": Code(
        "An advert with the addresses that it lists is longer than the MTU of an uplink allows, and is fragmented.",
        "Raise the MTU, or list fewer addresses: move some to `unlisted_addresses`.",
    ),
    "firewall-drops-adverts": Code(
        "A rule of nftables drops VRRP (IP protocol 112).", "Accept protocol 112 from the peers before that rule."
    ),
    "exabgp-process-missing": Code(
        "ExaBGP's file has no process stanza (any more): ExaBGP starts no agent, and its next reload ends one.",
        "Write the stanza `process` as in exabgp/stanza.conf (the package: /usr/share/doc/exavrrp/examples).",
    ),
    "exabgp-encoder": Code(
        "The process stanza of the agent has no `encoder json`, so states of sessions come as text, which is not read.",
        "Write `encoder json;` in the stanza, and restart ExaBGP.",
    ),
    "exabgp-changes-untold": Code(
        "A neighbor's `api` has no `neighbor-changes`: the agent is not told when its session comes and goes.",
        "Write `neighbor-changes;` in its `api`, and reload ExaBGP (SIGUSR1).",
    ),
    "exabgp-family-missing": Code(
        "No neighbor carries the address family of a virtual router: its routes cannot be announced.",
        "Add the family to the `family` block of the neighbors (`ipv6 unicast;`), and reload ExaBGP (SIGUSR1).",
    ),
    "exabgp-unsupported": Code(
        "This version of ExaBGP was never tested with exavrrp.", "Install ExaBGP 4.2.21 or later, or 5.0."
    ),
    "hold-time-long": Code(
        "Routers keep the route of a node that dies with its links up for the hold time of its session, and nothing "
        "makes the route of its successor better.",
        "Set `takeover` in the bgp table of the virtual routers, or `hold-time` to 10 or less in exabgp.conf.",
    ),
    "local-address-missing": Code(
        "ExaBGP 5.0 does not know our end of a neighbor without `local-address` before it has connected, nor after a "
        "reload until it has again: then it refuses every route with `next-hop self`, for all neighbors.",
        "Write `local-address` into the neighbor in exabgp.conf, or an address as `next_hop`.",
    ),
    "graceful-restart-on": Code(
        "With graceful restart routers keep the routes of a node whose sessions have ended, and send to a dead node.",
        "Remove `graceful-restart` from the neighbor in exabgp.conf, and reload ExaBGP (SIGUSR1).",
    ),
    "descriptors-few": Code(
        "The agent may open too few files for its checks and for commands beside its sockets.",
        "Set LimitNOFILE=1024 or more in ExaBGP's unit, and restart ExaBGP.",
    ),
    "clock-unsynchronized": Code(
        "The kernel's clock is not synchronized, and authentication depends on it.", "Run NTP (chrony, timesyncd)."
    ),
    "priority-tie": Code(
        "Two nodes have the same priority: the higher source address wins.", "Give each node a priority of its own."
    ),
    "router-missing": Code(
        "Another node has a virtual router that this one does not have, or the other way round.",
        "Configure it on both, or on neither.",
    ),
    "loop-late": Code(
        "The agent's alarms ring late: the machine is too slow, or was stopped. Peers may take over.",
        'Set scheduling = "realtime", give the machine more CPU, or lengthen advert_interval.',
    ),
}
"""By name."""


def explained(name: str) -> list[str]:
    """The page of a code, in paragraphs. Raises KeyError."""
    code = CODES[name]
    return [name, code.means, f"What to do: {code.do}" if code.do else "Nothing has to be done."]
