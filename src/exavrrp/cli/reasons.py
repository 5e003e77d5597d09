"""What ``exavrrp why`` prints of one virtual router: its last transition with its cause, and what would move it now.

The cause was decided when it happened (``causes``); here it is put into sentences.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from exavrrp.chronicle import ADVERTISED, PHASE, TRANSITION, Cause, Entry, Facts, Verdict
from exavrrp.cli.details import would_move
from exavrrp.cli.overview import state
from exavrrp.cli.style import folded, milliseconds
from exavrrp.cli.telling import after, sentence, stamp
from exavrrp.control import StatusAnswer
from exavrrp.findings import ACTIVE, findings
from exavrrp.view import RouterView

BEFORE = timedelta(seconds=60)
"""How long before a transition something may have led to it."""

SETTLED = timedelta(seconds=1)
"""How long after a transition what happens belongs to it."""

MOST = 8
"""Entries before a transition, and after it, that are shown."""

LEADING = frozenset(
    {
        *("check-changed", "health-assessed", "session-changed", "neighbor-unlisted", "route-not-accepted"),
        *("path-quiet", "path-restored", "paths-changed", "advert-send-failed", "peers-unreachable"),
        *("drain-started", "drain-ended", "drain-cancelled", "exabgp-stalled", "exabgp-resumed", "exabgp-disconnected"),
        *("bind-failed", "address-repaired", "clock-stepped", "agent-started", "agent-stopping", "packet-rejected"),
        *("router-reconfigured", "exabgp-detached", "peer-deaf", "session-cut-off", ADVERTISED),
    }
)
"""Entries that may have to do with a transition."""

REJOINED = frozenset({Verdict.WEAKER, Verdict.RESUMED, Verdict.OWNER})
"""Verdicts of a router that has just entered the election: what led there led to this, too."""

MARGIN = 13


def reasons(answer: StatusAnswer, router: RouterView, entries: Sequence[Entry]) -> Iterator[str]:
    """The lines, each of at most 80 columns. ``entries``: all, the oldest first."""
    ours = [entry for entry in entries if entry.router in {router.name, ""}]
    place = max((index for index, entry in enumerate(ours) if entry.event == TRANSITION), default=None)
    if place is None:
        yield f"{router.name}: no transition is in the journal"
    else:
        yield from _story(ours, place)
    yield from folded(f"Now: {state(router)}; it would move {would_move(router)}.", "", " " * MARGIN)
    if router.role != ACTIVE:
        yield from folded(f"Not Active because {_why_not(router)}.", "", " " * MARGIN)
    for finding in findings(answer):
        if router.name in finding.about.split(", "):
            yield from folded(finding.text, " ! ", "   ")


def _story(entries: Sequence[Entry], place: int) -> Iterator[str]:
    transition = entries[place]
    now = transition.at.time
    cause = transition.cause
    back = cause is not None and cause.verdict in REJOINED
    ends = (index + 1 for index in range(place) if entries[index].event == TRANSITION)
    begin = max((index for index in ends if not (back and _is_ready(entries[index - 1]))), default=0)
    leading = [one for one in entries[begin:place] if one.event in LEADING and now - one.at.time <= BEFORE]
    for entry in leading[-MOST:]:
        yield from _line(entry, sentence(entry))
    if cause is not None and cause.waited is not None and cause.paths:
        yield from folded(_last_advert(cause), f"{stamp(now - timedelta(seconds=cause.waited), now)} ", " " * MARGIN)
    arrow = f"   -> {str(transition.fields.get('after')).upper()}"
    yield from _line(transition, (sentence(transition) if cause is None else decided(transition, cause)) + arrow)
    phases = [one for one in entries[place + 1 :] if one.event == PHASE]
    if phases:
        done = "; ".join(f"{one.fields.get('phase')} +{after(one)}" for one in phases)
        yield from _line(phases[0], done)
    if cause is not None:
        yield from folded(f"Verdict: {verdict(cause, transition)}")
        yield from folded(f"Not the reason: {', '.join(innocent(cause)) or 'nothing that is known'}.")
    later = [one for one in entries[place + 1 :] if one.event in LEADING and one.at.time - now > SETTLED]
    if later:
        yield "Since then:"
    for entry in later[-MOST:]:
        yield from _line(entry, sentence(entry))


def _is_ready(transition: Entry) -> bool:
    return transition.cause is not None and transition.cause.verdict is Verdict.READY


def _line(entry: Entry, text: str) -> list[str]:
    return folded(text, f"{stamp(entry.at.time, entry.at.time)} ", " " * MARGIN)


def _last_advert(cause: Cause) -> str:
    freshest = min((path.age for path in cause.paths if path.age is not None), default=0.0)
    parts = []
    for path in cause.paths:
        earlier = 0.0 if path.age is None else path.age - freshest
        when = "never heard" if path.age is None else f"{milliseconds(earlier)} before" if earlier >= 0.001 else ""
        parts.append(f"{path.interface}{f' ({when})' if when else ''}{' quiet already' if path.quiet else ''}")
    return f"last advert of {cause.peer}; by path: {', '.join(parts)}"


def decided(transition: Entry, cause: Cause) -> str:
    """The values that decided it."""
    router, told = transition.router, transition.fields
    peer = cause.peer or "nobody"
    priority = f"our {cause.sum}" if cause.sum else f"our {cause.ours}"
    match cause.verdict:
        case Verdict.SILENT_AT_ONCE | Verdict.SILENT_IN_TURN | Verdict.SILENT_ON_ONLY_PATH | Verdict.NOBODY:
            return f"{router}: {peer} silent on every path for {_limit(cause)}"
        case Verdict.RESIGNED:
            return f"{router}: {peer} said priority 0 {milliseconds(cause.waited or 0.0)} before; {priority}"
        case Verdict.WEAKER | Verdict.BETTER | Verdict.WEAKENED:
            theirs = "" if cause.theirs is None else f"{peer} says {cause.theirs}, "
            return f"{router}: {theirs}{priority}"
        case Verdict.STALLED:
            return f"{router}: our advert was due {milliseconds(cause.waited or 0.0)} ago"
        case _:
            return f"{router}: {told.get('reason')}{f': {detail}' if (detail := told.get('detail')) else ''}"


def _limit(cause: Cause) -> str:
    if cause.waited is None or cause.interval is None or cause.skew_time is None:
        return "too long"
    interval, skew = cause.interval * 1000, cause.skew_time * 1000
    return f"{milliseconds(cause.waited)} > 3 x {interval:.0f} + skew {skew:.0f}"


def verdict(cause: Cause, transition: Entry) -> str:
    """What it comes from, in a sentence."""
    return _VERDICTS[cause.verdict].format(
        peer=cause.peer or "nobody",
        detail=transition.fields.get("detail") or "",
        paths=", ".join(path.interface for path in cause.paths),
        total=cause.sum,
        ours=cause.ours,
        theirs=cause.theirs,
    )


_VERDICTS = {
    Verdict.SILENT_AT_ONCE: "{peer} fell silent on every path at once: the node, its agent or its rack, not one link.",
    Verdict.SILENT_IN_TURN: "{peer} fell silent on one path after the other ({paths}): links or routers, or the node"
    " after a link.",
    Verdict.SILENT_ON_ONLY_PATH: "{peer} fell silent on {paths}, the only path: the node or that link.",
    Verdict.NOBODY: "no advert of any Active has come since this node takes part.",
    Verdict.RESIGNED: "{peer} has resigned (priority 0): it was stopped or drained, or cannot serve; see why there.",
    Verdict.WEAKER: "the Active says less than we: {peer} says {theirs}, we {ours}.",
    Verdict.BETTER: "{peer} says {theirs}, which is more than our {ours}, or the same from a higher address.",
    Verdict.WEAKENED: "our priority was lowered: {total}.",
    Verdict.STALLED: "this agent stood still for too long (no CPU, host suspended): another node may have taken over.",
    Verdict.DRAINED: "it was drained by an operator.",
    Verdict.STOPPED: "the agent was stopped: {detail}.",
    Verdict.WAITING: "something has to be known first: {detail}.",
    Verdict.CHECK: "a check failed: {detail}.",
    Verdict.SESSIONS: "too few BGP sessions: {detail}.",
    Verdict.ANNOUNCEMENT: "ExaBGP does not accept the announcement: {detail}.",
    Verdict.BIND: "the addresses cannot be bound: {detail}.",
    Verdict.ADVERTS: "no advert leaves this node, or its source is gone: {detail}.",
    Verdict.GROUP: "it moves with another router of its group: {detail}.",
    Verdict.READY: "nothing keeps it out of the election any more.",
    Verdict.RESUMED: "this agent was Active before its restart, and no other node has taken over.",
    Verdict.OWNER: "it is the owner of the addresses (priority 255).",
}

_NOT_CHECKS = {Verdict.CHECK, Verdict.WEAKENED, Verdict.GROUP}
_NOT_BGP = {Verdict.SESSIONS, Verdict.ANNOUNCEMENT, Verdict.GROUP}


def innocent(cause: Cause) -> Iterator[str]:
    """What was as it should be at that moment."""
    facts: Facts = cause.facts
    if not facts.failing and cause.verdict not in _NOT_CHECKS:
        yield f"checks ({facts.checks} ok)" if facts.checks else "checks (none)"
    if facts.up is not None and facts.up >= facts.sessions and facts.up and cause.verdict not in _NOT_BGP:
        yield f"BGP ({facts.up} of {facts.sessions} up)"
    if not facts.drained:
        yield "drain (none)"
    if facts.skew is not None:
        yield f"clock ({facts.skew:+g} s)"
    if facts.late is not None and cause.verdict is not Verdict.STALLED:
        yield f"this machine (at most {milliseconds(max(facts.late, 0.0))} late)"


def _why_not(router: RouterView) -> str:
    if router.faults:
        return f"it is in fault: {'; '.join(router.faults)}"
    if router.drained:
        return "it is drained"
    if router.holds:
        return f"it is held: {'; '.join(router.holds)}"
    active = next((peer for peer in router.peers if peer.address == router.active), None)
    if active is not None:
        return f"{active.address} is: it says {active.priority}, we {router.explanation}"
    return "it waits until the Active has been silent for long enough"
