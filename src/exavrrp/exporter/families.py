"""From the status of an agent to families of metrics; pure but for prometheus_client's classes.

Rules: ``router`` is the only identity of a virtual router, and its VRID, family and source are in ``router_info``. A
state is a series for each possible one, of which one is 1 and the others are 0. Units are seconds. Counters begin with
the agent, and end in ``_total``. A series that is unknown is absent, not 0. No sentence is a label.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exavrrp.beacon.codec import Flaw
from exavrrp.control import StatusAnswer
from exavrrp.view import Moment, Outcome, PathView, PeerView
from exavrrp.vrrp.packet import AUTHENTICATION, Reason

PREFIX = "exavrrp_"

STATES = ("initialize", "backup", "active")
"""RFC 9568 section 6.4."""

LEVELS = ("active", "standby", "leaving")
"""How ExaBGP announces the addresses of a router."""

ERRORS = {
    Reason.VERSION: "version-error",
    Reason.TYPE: "invalid-type",
    Reason.CHECKSUM: "checksum-error",
    Reason.UNKNOWN_VRID: "vrid-error",
    Reason.HOP_LIMIT: "ip-ttl-error",
    Reason.INTERVAL: "interval-error",
    Reason.LENGTH: "packet-length-error",
    Reason.NO_ADDRESSES: "address-list-error",
}
"""Our reasons that RFC 8347 (section 4) has a name for. Those that it does not know keep ours."""

Value = float | bool | None


class Gauge(GaugeMetricFamily):
    """A gauge; a value of None is no sample."""

    def __init__(self, name: str, text: str, labels: Iterable[str] = ()) -> None:
        super().__init__(PREFIX + name, text, labels=tuple(labels))

    def add(self, value: Value, *labels: object) -> None:
        """``labels``: their values, in the order of their names."""
        if value is not None:
            self.add_metric(tuple(map(_label, labels)), float(value))

    def states(self, state: str | None, states: Iterable[str], *labels: object) -> None:
        """A sample for each of ``states``: 1 for the one that is, 0 for each other one."""
        for one in states:
            self.add(one == state, *labels, one)


class Count(CounterMetricFamily):
    """A counter, known from the agent's beginning on."""

    def __init__(self, name: str, text: str, labels: Iterable[str] = ()) -> None:
        super().__init__(PREFIX + name, text, labels=tuple(labels))

    def add(self, value: float, *labels: object) -> None:
        """``labels``: their values, in the order of their names."""
        self.add_metric(tuple(map(_label, labels)), float(value))


def _label(value: object) -> str:
    return "" if value is None else str(value)


def _epoch(moment: Moment | None) -> float | None:
    return None if moment is None else moment.time.timestamp()


def families(answer: StatusAnswer | None) -> list[Metric]:
    """All families, without those that have no series; ``answer``: None if no agent answers."""
    up = Gauge("up", "Whether the agent answers; without its answer there is no other series.")
    up.add(answer is not None)
    found: list[Metric] = [up]
    if answer is not None:
        for part in (_node, _states, _beacons, _counts, _peers, _checks, _routes):
            found += part(answer)
    return [family for family in found if family.samples]


def _node(answer: StatusAnswer) -> Iterator[Metric]:
    build = Gauge("build_info", "Versions of exavrrp and ExaBGP.", ["version", "exabgp_version"])
    build.add(1, answer.release, None if answer.exabgp is None else answer.exabgp.version)
    yield build
    start = Gauge("start_timestamp_seconds", "When the agent began; all counters began then.")
    start.add(_epoch(answer.began))
    yield start
    exabgp = Gauge("exabgp_up", "Whether ExaBGP answers the agent's commands.")
    exabgp.add(None if answer.exabgp is None else answer.exabgp.answers)
    yield exabgp
    answer_time = Gauge("exabgp_answer_seconds", "How long ExaBGP took for its last answer.")
    answer_time.add(None if answer.exabgp is None else answer.exabgp.answer_seconds)
    yield answer_time
    late = Gauge("loop_lateness_seconds", "The latest alarm of the agent's event loop in the last hour.")
    late.add(None if answer.lateness is None else answer.lateness.maximum)
    yield late
    differs = Gauge("config_differs_from_file", "Whether the file is another configuration than that in force.")
    differs.add(answer.differs)
    yield differs
    errors = Count("packet_errors", "Packets that were not accepted.", ["reason"])
    for reason in Reason:
        errors.add(answer.rejected.get(reason, 0), ERRORS.get(reason, reason))
    yield errors
    unread = Count("unread_packets", "Packets of non-peers that the kernel dropped.", ["source"])
    overflowed = Count("overflowed_packets", "Packets of peers that found no room in the receive buffer.", ["source"])
    for source in answer.sources:
        unread.add(source.unread, source.source)
        overflowed.add(source.overflowed, source.source)
    yield from (unread, overflowed)
    refused = Count("beacon_errors", "Beacons that were not accepted.", ["reason"])
    for why in (*Flaw, *(reason for reason in Reason if reason in AUTHENTICATION)):
        refused.add(answer.beacons.get(why, 0), why)
    yield refused


def _states(answer: StatusAnswer) -> Iterator[Metric]:
    info = Gauge("router_info", "Virtual routers.", ["router", "vrid", "family", "source", "group"])
    state = Gauge("router_state", "Whether the virtual router is in this state.", ["router", "state"])
    since = Gauge("router_state_since_timestamp_seconds", "When it entered its state.", ["router"])
    priority = Gauge("router_priority", "Its priority, with checks (effective) and without.", ["router", "kind"])
    interval = Gauge("router_advert_interval_seconds", "Time between its adverts.", ["router"])
    window = Gauge("clock_window_seconds", "How far a peer's clock may be off before it is not heard.", ["router"])
    faults = Gauge("router_faults", "For how many reasons it cannot serve.", ["router"])
    holds = Gauge("router_holds", "For how many things it waits before it takes part in the election.", ["router"])
    drain = Gauge("router_drain", "Whether its drain has come this far.", ["router", "state"])
    for one in answer.routers:
        info.add(1, one.name, one.vrid, one.family, one.source, one.group)
        state.states(one.role, STATES, one.name)
        since.add(_epoch(one.since), one.name)
        priority.add(one.configured, one.name, "configured")
        priority.add(one.priority, one.name, "effective")
        interval.add(one.interval, one.name)
        window.add(one.window, one.name)
        faults.add(len(one.faults), one.name)
        holds.add(len(one.holds), one.name)
        drain.states(one.outcome, Outcome, one.name)
    yield from (info, state, since, priority, interval, window, faults, holds, drain)


def _beacons(answer: StatusAnswer) -> Iterator[Metric]:
    standby = Gauge("router_standby_ready", "Whether any peer could take over, by its beacons.", ["router"])
    ready = Gauge("peer_ready", "Whether the peer could take over, by its beacons.", ["router", "peer"])
    ours = Gauge("beacon_path_up", "Whether the peer hears our beacons over this path.", ["router", "peer", "path"])
    for one in answer.routers:
        standby.add(one.replaceable, one.name)
        for peer in one.peers:
            if peer.beacon is not None:
                ready.add(peer.beacon.ready, one.name, peer.address)
                for way in peer.beacon.ways:
                    ours.add(way.echoed, one.name, peer.address, way.interface)
    yield from (standby, ready, ours)


def _counts(answer: StatusAnswer) -> Iterator[Metric]:
    transitions = Count("transitions", "How often it entered a state, and why.", ["router", "to", "reason"])
    zeros_sent = Count("priority_zero_sent", "Adverts with priority 0 that it sent: it left.", ["router"])
    zeros_received = Count("priority_zero_received", "Copies of adverts with priority 0 that it received.", ["router"])
    phases = Gauge("failover_phase_seconds", "How long after its last transition this was done.", ["router", "phase"])
    for one in answer.routers:
        for to, reasons in one.transitions.items():
            for reason, count in reasons.items():
                transitions.add(count, one.name, to, reason)
        zeros_sent.add(one.adverts.get("sent-priority-zero", 0), one.name)
        zeros_received.add(one.adverts.get("received-priority-zero", 0), one.name)
        for phase, seconds in one.last[0].phases.items() if one.last else ():
            phases.add(seconds, one.name, phase)
    yield from (transitions, zeros_sent, zeros_received, phases)


def _peers(answer: StatusAnswer) -> Iterator[Metric]:
    on_path = ["router", "peer", "path"]
    sent = Count("adverts_sent", "Copies of adverts that it sent.", on_path)
    received = Count("adverts_received", "Copies of adverts that it accepted.", on_path)
    gaps = Count("advert_gaps", "How often a copy of the Active's adverts was missing or late by half.", on_path)
    last = Gauge("peer_last_advert_timestamp_seconds", "When the last copy arrived.", on_path)
    quiet = Gauge("path_quiet", "Whether the Active's adverts arrive, but none on this path any more.", on_path)
    skew = Gauge("clock_skew_seconds", "How far the peer's clock is ahead of ours.", ["router", "peer"])
    now = _epoch(answer.now)
    for one in answer.routers:
        for peer in one.peers:
            for path, count in peer.sent.items():
                sent.add(count, one.name, peer.address, path)
            skew.add(peer.skew, one.name, peer.address)
            for path, views in _by_name(peer).items():
                labels = (one.name, peer.address, path)
                received.add(sum(view.copies for view in views), *labels)
                gaps.add(sum(view.gaps for view in views), *labels)
                ages = [view.age for view in views if view.age is not None]
                last.add(now - min(ages) if ages and now is not None else None, *labels)
                quiet.add(views[0].quiet, *labels)
    yield from (sent, received, gaps, last, quiet, skew)


def _by_name(peer: PeerView) -> dict[str, list[PathView]]:
    """A deleted and re-created interface has one name, and is one path; the one that leads to the peer comes first."""
    found: dict[str, list[PathView]] = {}
    for path in peer.paths:
        found.setdefault(path.interface, []).append(path)
    return found


def _checks(answer: StatusAnswer) -> Iterator[Metric]:
    up = Gauge("check_up", "Whether the check passes.", ["check"])
    seconds = Gauge("check_duration_seconds", "How long its last run took.", ["check"])
    timeouts = Count("check_timeouts", "Runs that were not done within its timeout.", ["check"])
    results = Count("check_results", "Results of its runs.", ["check", "result"])
    for one in answer.checks:
        up.add({"passing": True, "failing": False}.get(one.verdict), one.name)
        seconds.add(one.seconds, one.name)
        timeouts.add(one.timeouts, one.name)
        results.add(one.passed, one.name, "passed")
        results.add(one.failed, one.name, "failed")
    yield from (up, seconds, timeouts, results)


def _routes(answer: StatusAnswer) -> Iterator[Metric]:
    session = Gauge("bgp_session_up", "Whether the BGP session is Established.", ["neighbor", "local"])
    for one in answer.sessions:
        session.add(one.up, one.peer, one.local)
    yield session
    announced = Gauge("route_announced", "Whether its addresses are announced in this form.", ["router", "state"])
    sessions = Gauge("router_sessions", "BGP sessions that are up and count for it.", ["router"])
    required = Gauge("router_sessions_required", "BGP sessions that it needs (min_sessions).", ["router"])
    unknown = any(one.up is None for one in answer.sessions)
    counted = Counter(name for one in answer.sessions if one.up for name in one.counts_for)
    for router in answer.routers:
        if router.announces:
            announced.states(router.level, LEVELS, router.name)
        sessions.add(None if unknown else counted[router.name], router.name)
        required.add(router.min_sessions, router.name)
    yield from (announced, sessions, required)
