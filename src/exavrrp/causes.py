"""Why a virtual router has changed its state: the values that decided it, put together at that moment; pure.

The election says who decided it and after how long (``vrrp.router.Evidence``). What the paths delivered, the effective
priority as a sum, and how the rest of the node was are added here. Nothing depends on a cause.
"""

from collections.abc import Callable

from exavrrp.chronicle import Cause, Facts, PathSilence, Verdict, plain
from exavrrp.instance import Fault, Hold, Instance
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Evidence, Transition, Why

TOGETHER = 1.5
"""Advert intervals: copies that came last within this time of each other were those of the same advert, or of the one
after it."""

_FAULTS = {
    Fault.CHECK: Verdict.CHECK,
    Fault.BIND: Verdict.BIND,
    Fault.ADVERTS: Verdict.ADVERTS,
    Fault.SESSIONS: Verdict.SESSIONS,
    Fault.ANNOUNCEMENT: Verdict.ANNOUNCEMENT,
    Fault.GROUP: Verdict.GROUP,
}

_PLAIN = {
    Why.STARTUP: Verdict.READY,
    Why.OWNER: Verdict.OWNER,
    Why.RESUMED: Verdict.RESUMED,
    Why.RESIGNED: Verdict.RESIGNED,
    Why.PREEMPTED: Verdict.WEAKER,
    Why.STALLED: Verdict.STALLED,
    Why.PRIORITY_LOWERED: Verdict.WEAKENED,
    Why.DRAIN: Verdict.DRAINED,
}


def cause(
    transition: Transition,
    instance: Instance,
    interface_name: Callable[[int], str],
    now: float,
    *,
    total: str,
    facts: Facts,
) -> Cause:
    """Of a transition ``now`` (monotonic seconds). ``total``: the effective priority as a sum."""
    evidence = transition.evidence or Evidence()
    ours = instance.router.priority
    paths = _paths(instance, evidence.peer, interface_name, now) if transition.why is Why.ACTIVE_DOWN_TIMEOUT else ()
    heard = None if evidence.peer is None else instance.copies.peers.get(evidence.peer)
    verdict = _verdict(transition, evidence, instance, paths, stalled=facts.up is None)
    if heard is not None and heard.is_contradictory and verdict is not Verdict.WEAKENED:
        verdict = Verdict.CONTRADICTORY
    return Cause(
        verdict=verdict,
        peer=None if evidence.peer is None else str(evidence.peer),
        ours=ours,
        sum=plain(total),
        theirs=evidence.priority,
        waited=evidence.waited,
        interval=evidence.interval,
        count=instance.router.settings.down_count,
        skew_time=evidence.skew_time,
        paths=paths,
        facts=facts,
    )


def _paths(
    instance: Instance, peer: Address | None, interface_name: Callable[[int], str], now: float
) -> tuple[PathSilence, ...]:
    heard = None if peer is None else instance.copies.peers.get(peer)
    paths = {} if heard is None else heard.paths
    return tuple(
        PathSilence(plain(interface_name(index)), None if path.last is None else now - path.last, path.quiet)
        for index, path in paths.items()
    )


def _verdict(
    transition: Transition, evidence: Evidence, instance: Instance, paths: tuple[PathSilence, ...], *, stalled: bool
) -> Verdict:
    """``stalled``: whether ExaBGP does not answer."""
    match transition.why:
        case Why.ACTIVE_DOWN_TIMEOUT:
            return _silence(evidence, paths)
        case Why.SUPERSEDED:
            settings = instance.router.settings
            theirs = evidence.priority or 0, 0 if evidence.peer is None else int(evidence.peer)
            beats_theirs = (settings.priority, int(settings.source)) > theirs
            weakened = instance.router.priority < settings.priority and beats_theirs
            return Verdict.WEAKENED if weakened else Verdict.BETTER
        case Why.FAULT | Why.UNREACHABLE:
            # Whoever takes part has no fault but this one; who yields with its group has none of its own.
            fault = next(iter(instance.faults), Fault.GROUP)
            return Verdict.EXABGP if stalled and fault is Fault.SESSIONS else _FAULTS[fault]
        case Why.SHUTDOWN:
            return Verdict.WAITING if Hold.WAITING in instance.holds else Verdict.STOPPED
        case why:
            return _PLAIN[why]


def _silence(evidence: Evidence, paths: tuple[PathSilence, ...]) -> Verdict:
    """How the Active fell silent, by the ages of the last copies on each path."""
    if evidence.peer is None:
        return Verdict.NOBODY
    ages = [path.age for path in paths if path.age is not None and not path.quiet]
    if len(paths) == 1:
        return Verdict.SILENT_ON_ONLY_PATH
    together = (evidence.interval or 0.0) * TOGETHER
    alike = 0 < len(ages) == len(paths) and max(ages) - min(ages) <= together
    return Verdict.SILENT_AT_ONCE if alike else Verdict.SILENT_IN_TURN
