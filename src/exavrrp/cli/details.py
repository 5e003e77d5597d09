"""What ``exavrrp status NAME`` prints of one virtual router: where everything stands that decides about it."""

from collections.abc import Iterator

from exavrrp.cli.overview import announced, state
from exavrrp.cli.style import age, folded, milliseconds, short
from exavrrp.control import StatusAnswer
from exavrrp.findings import ACTIVE, BACKUP, clock, ends, failing, findings
from exavrrp.view import CheckView, PathView, PeerView, RouterView, SessionView, TransitionView

MARGIN = 13
"""Columns before what is said: two, the longest heading, and two."""

SAID = {"check-failing", "session-down"}
"""Findings that stand in the lines above them already."""


def details(answer: StatusAnswer, router: RouterView) -> Iterator[str]:
    """The lines, each of at most 80 columns."""
    yield from folded(_who(answer, router), "", " " * MARGIN)
    for heading, text in facts(answer, router):
        yield from folded(text, f"  {heading:<{MARGIN - 2}}", " " * MARGIN)
    for finding in findings(answer):
        if finding.code not in SAID and (router.name in finding.about.split(", ") or not finding.about):
            yield from folded(finding.text, " ! ", "   ")


def _who(answer: StatusAnswer, router: RouterView) -> str:
    family = "" if router.family is None else f" IPv{router.family}"
    of = f" of {router.active}" if router.role == BACKUP and router.active is not None else ""
    since = ""
    if router.since is not None and answer.now is not None:
        passed = age(answer.now.monotonic - router.since.monotonic)
        since = f" since {router.since.time:%Y-%m-%d %H:%M:%S} UTC ({passed})"
    return f"{router.name}, VRID {router.vrid}{family}: {state(router)}{of}{since}"


def facts(answer: StatusAnswer, router: RouterView) -> Iterator[tuple[str, str]]:
    """What decides about it: headings, each with a text."""
    yield "priority", _priority(router)
    yield "would move", would_move(router)
    yield "addresses", _addresses(router)
    active = next((peer for peer in router.peers if peer.active), None)
    if active is not None:
        yield "Active", _advertised(router, active)
        yield "heard", "; ".join(map(_heard, active.paths)) or "on no path"
    if router.role != ACTIVE and active is None:
        yield "heard", "no advert of an Active"
    if any(peer.beacon is not None for peer in router.peers):
        yield "peers", "; ".join(map(_peer, router.peers))
    elif router.role == ACTIVE:
        yield "peers", "unknown: Backups send nothing that an Active could hear"
    if answer.sessions:
        yield "sessions", _sessions(answer, router)
    if checks := [one for one in answer.checks if router.name in one.routers]:
        yield "checks", "; ".join(_check(answer, router, one) for one in checks)
    if router.last:
        yield "last", last(answer, router.last[0])


def _priority(router: RouterView) -> str:
    configured = router.priority if router.configured is None else router.configured
    terms = "".join(
        f" {'+' if term.amount > 0 else '-'} {abs(term.amount)} ({term.check} {term.verdict})"
        for term in router.terms
        if term.amount
    )
    total = f"{router.priority}" if not router.faults else f"0 of {router.priority}"
    return f"{total} = {configured} configured{terms}" if terms else f"{total}, as configured"


def would_move(router: RouterView) -> str:
    """What would make another node Active, or this one."""
    if router.role == ACTIVE:
        return f"if a peer says more than {router.priority}, or this node fails or is drained"
    if router.role != BACKUP:
        reasons = [*router.faults, *router.holds, *([] if not router.drained else ["the drain"])]
        return (
            f"into the election when this ends: {'; '.join(reasons)}" if reasons else "into the election at its start"
        )
    active = next((peer for peer in router.peers if peer.address == router.active), None)
    limit = "too long" if router.down_interval is None else milliseconds(router.down_interval)
    if active is None:
        return f"to this node {limit} after the last advert"
    if router.preempt is False:
        return f"if {active.address} is silent for {limit} or leaves; preempt = false: its priority does not count"
    delay = f" for {router.preempt_delay:g} s" if router.preempt_delay else ""
    return (
        f"if {active.address} is silent for {limit}, or says less than {router.priority}{delay} (now {active.priority})"
    )


def _addresses(router: RouterView) -> str:
    found = []
    for one in router.on_lo:
        where = one.interface
        known = {None: f"{where} is unknown", True: f"on {where}", False: f"not on {where}"}[one.present]
        found.append(f"{one.address} {known}{', not usable yet' if one.wanted and one.verified is False else ''}")
    if not router.binds:
        found.append(f"{', '.join(router.addresses)} left to others (bind = false)")
    route = announced(router)
    told = f"announced as {route}" if router.accepted and route != "-" else "not announced"
    if not router.announces:
        told = "announces nothing"
    elif not router.accepted:
        told = f"ExaBGP has not confirmed: {route}"
    standby = "announce" if router.standby else "withdraw"
    so = f' (standby = "{standby}")' if router.role == BACKUP else ""
    return f"{', '.join(found) or ', '.join(router.addresses)}; {told}{so}"


def _advertised(router: RouterView, peer: PeerView) -> str:
    parts = [f"{peer.address}, priority {peer.priority}"]
    if peer.interval is not None:
        parts.append(f"every {milliseconds(peer.interval)}")
    if peer.key is not None:
        parts.append(f"signed by key {peer.key}, clock {peer.skew or 0:+g} s")
    elif peer.signed is not None:
        parts.append("not signed")
    same = peer.addresses is not None and set(peer.addresses) == set(router.addresses) - set(router.unlisted)
    return f"{', '.join(parts)}; its addresses: {'the same as ours' if same else ', '.join(peer.addresses or ())}"


def _heard(path: PathView) -> str:
    ago = "never" if path.age is None else f"{short(path.age)} ago"
    lost = "" if not path.adverts else f", lost {path.lost} of {path.adverts}"
    return f"{path.interface} {ago}{lost}{'' if path.leads else ', leads there no more'}"


def _peer(peer: PeerView) -> str:
    """A peer by its beacons: whether it could take over, and each path in both directions."""
    beacon = peer.beacon
    if beacon is None:
        return f"{peer.address} unknown, as it sends no beacons"
    if beacon.silent:
        return f"{peer.address} {beacon.obstacle}"
    ready = "ready" if beacon.ready else beacon.obstacle
    parts = [f"{peer.address} {ready}, {beacon.role} with {beacon.priority}, {short(beacon.age)} ago"]
    if beacon.expected:
        parts.append(f"adverts heard on {beacon.heard} of {beacon.expected} paths")
    ways = (f"{way.interface} {how}" for way in beacon.ways if (how := _WAYS.get((way.age is not None, way.echoed))))
    return ", ".join([*parts, *ways])


_WAYS = {
    (True, True): "both ways",
    (True, False): "only from it",
    (True, None): "from it",
    (False, True): "only to it",
    (False, False): "neither way",
}
"""By whether beacons come in there, and whether ours that leave there arrive."""


def _sessions(answer: StatusAnswer, router: RouterView) -> str:
    needed = "" if router.min_sessions is None else f"; needed {router.min_sessions}"
    return f"{', '.join(_session(answer, router, one) for one in answer.sessions)}{needed}"


def _session(answer: StatusAnswer, router: RouterView, session: SessionView) -> str:
    how = {None: "not known", True: "up", False: "down"}[session.up]
    if session.since is not None and answer.now is not None:
        how += f" {short(answer.now.monotonic - session.since.monotonic)}"
    counts = router.name in session.counts_for or not session.up or router.min_sessions == 0
    return f"{ends(session)} {how}{'' if counts else ' (does not count)'}"


def _check(answer: StatusAnswer, router: RouterView, check: CheckView) -> str:
    amount = next((term.amount for term in router.terms if term.check == check.name), 0)
    weight = f", adds {amount}" if amount else ""
    if check.at is None or answer.now is None:
        return f"{check.name} without a result yet"
    ago = f"{short(answer.now.monotonic - check.at.monotonic)} ago"
    if check.verdict == "failing":
        return f"{failing(check, answer.now).removeprefix('check ')}, {ago}{weight}"
    against = f", {check.against} of {check.needed} against it" if check.against else ""
    took = "" if check.seconds is None else f" in {milliseconds(check.seconds)}"
    return f"{check.name} ok{took}, {ago}{against}{weight}"


def last(answer: StatusAnswer, transition: TransitionView) -> str:
    """One transition, such as ``11-21 18:21:07 active -> backup (superseded: …), priority 160``."""
    at = clock(transition.at.time, answer.now.time if answer.now is not None else None)
    detail = f": {transition.detail}" if transition.detail else ""
    phases = "".join(f", {name} +{milliseconds(seconds)}" for name, seconds in transition.phases.items())
    return (
        f"{at} {transition.before} -> {transition.after} ({transition.reason}{detail}),"
        f" priority {transition.priority}{phases}"
    )
