"""What ``exavrrp why`` prints of one virtual router: its last transition with its cause, and what would move it now.

The cause was decided when it happened (``causes``); here it is put into sentences.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from exavrrp.chronicle import ADVERTISED, DETACHED, PHASE, TRANSITION, Cause, Entry, Verdict
from exavrrp.cli.details import would_move
from exavrrp.cli.lives import BEGINNINGS, beginning, predecessor
from exavrrp.cli.overview import state
from exavrrp.cli.style import folded, milliseconds
from exavrrp.cli.telling import after, sentence, stamp
from exavrrp.cli.verdicts import innocent, verdict
from exavrrp.control import StatusAnswer
from exavrrp.findings import ACTIVE, BACKUP, findings
from exavrrp.view import PeerView, RouterView

BEFORE = timedelta(seconds=60)
"""How long before a transition something may have led to it."""

SETTLED = timedelta(seconds=1)
"""How long after a transition what happens belongs to it."""

APART = frozenset(
    {
        *("packet-rejected", "peer-contradictory", "session-cut-off", "neighbor-unlisted", "route-not-accepted"),
        *("exabgp-stalled", "router-reconfigured", "drain-cancelled", "clock-stepped", DETACHED),
    }
)
"""Entries that never belong to a transition before them."""

MOST = 8
"""Entries before a transition, and after it, that are shown."""

LEADING = frozenset(
    {
        *("check-changed", "health-assessed", "session-changed", "neighbor-unlisted", "route-not-accepted"),
        *("path-quiet", "path-restored", "paths-changed", "advert-send-failed", "peers-unreachable"),
        *("drain-started", "drain-ended", "drain-cancelled", "exabgp-stalled", "exabgp-resumed", "exabgp-disconnected"),
        *("bind-failed", "address-repaired", "clock-stepped", "agent-stopping", "packet-rejected"),
        *("router-reconfigured", "peer-deaf", "peer-contradictory", "session-cut-off", "leftovers-found"),
        *(DETACHED, ADVERTISED, *BEGINNINGS),
    }
)
"""Entries that may have to do with a transition."""

REJOINED = frozenset({Verdict.WEAKER, Verdict.RESUMED, Verdict.OWNER})
"""Verdicts of a router that has just entered the election: what led there led to this, too."""

UNMOVED = {
    "path-quiet": "adverts came over another path",
    "packet-rejected": "what is rejected counts for nothing",
    "router-reconfigured": "a reload moves only what it names",
    "drain-cancelled": "no other node took over, so the drain was undone",
}
"""Why what a router goes through has not moved it, by the entry."""

MARGIN = 13


def reasons(answer: StatusAnswer, router: RouterView, entries: Sequence[Entry]) -> Iterator[str]:
    """The lines, each of at most 80 columns. ``entries``: all, the oldest first."""
    ours = [entry for entry in entries if entry.router in {router.name, ""}]
    place = max((index for index, entry in enumerate(ours) if entry.event == TRANSITION), default=None)
    if place is None:
        yield f"{router.name}: no transition is in the journal"
    else:
        yield from _story(ours, place)
        yield from _since_then(ours, place, router)
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
    yield from _lines(entries, [index for index in range(begin, place) if now - entries[index].at.time <= BEFORE])
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
        if (words := origin(entries, place)) is not None:
            yield from folded(words)
        yield from folded(f"Not the reason: {', '.join(innocent(cause)) or 'nothing that is known'}.")


def _since_then(entries: Sequence[Entry], place: int, router: RouterView) -> Iterator[str]:
    now = entries[place].at.time
    later = [
        index
        for index in range(place + 1, len(entries))
        if entries[index].at.time - now > SETTLED or entries[index].event in APART
    ]
    lines = list(_lines(entries, later))
    if lines:
        yield from ("Since then:", *lines)
        if unmoved := list(_unmoved(router, [entries[index] for index in later])):
            yield from folded(f"That has not moved it: {'; '.join(unmoved)}.")


def _lines(entries: Sequence[Entry], places: Iterable[int]) -> Iterator[str]:
    """Those of these entries that may have to do with a transition: the last ones, and each beginning of a process."""
    leading = [index for index in places if entries[index].event in LEADING]
    begun = [index for index in leading if entries[index].event in BEGINNINGS]
    for index in sorted({*leading[-MOST:], *begun[-MOST:]}):
        entry = entries[index]
        yield from _line(entry, beginning(entries, index) if index in begun else sentence(entry))


def _unmoved(router: RouterView, later: Sequence[Entry]) -> Iterator[str]:
    """Why what has happened since has not moved a router, as far as that can be told."""
    seen = {entry.event for entry in later}
    if "peer-contradictory" in seen:
        return
    down = any(entry.event == "session-changed" and entry.fields.get("state") == "down" for entry in later)
    if (down or "session-cut-off" in seen) and "health-assessed" not in seen and router.min_sessions is not None:
        needed = f"{router.min_sessions} BGP session{'s are' if router.min_sessions > 1 else ' is'} enough"
        yield f"{needed} (min_sessions)" if router.min_sessions else "BGP sessions do not count (min_sessions = 0)"
    yield from (words for event, words in UNMOVED.items() if event in seen)


def origin(entries: Sequence[Entry], place: int) -> str | None:
    """Where a router that comes back, or gives way, was before, and why; None: it was there long before."""
    transition, cause = entries[place], entries[place].cause
    before = next((one for one in reversed(entries[:place]) if one.event == TRANSITION), None)
    lately = before is not None and transition.at.time - before.at.time <= BEFORE
    match None if cause is None else cause.verdict:
        case Verdict.READY:
            field, role, words = "after", "initialize", "It had left at"
        case back if back in REJOINED and lately:
            field, role, words = "before", ACTIVE, "It had left at"
        case Verdict.BETTER:
            field, role, words = "after", ACTIVE, "It became Active at"
        case _:
            return None
    for index in range(place - 1, -1, -1):
        entry = entries[index]
        at = stamp(entry.at.time, transition.at.time)
        if entry.event in BEGINNINGS and (ended := predecessor(entries, index)) is not None:
            return f"It began at {at}: {ended}."
        if entry.event == TRANSITION and entry.cause is not None and entry.fields.get(field) == role:
            return f"{words} {at}: {verdict(entry.cause, entry)}"
    return None


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
        case Verdict.NOBODY:
            return f"{router}: nobody heard on any path for {_limit(cause)}"
        case Verdict.SILENT_AT_ONCE | Verdict.SILENT_IN_TURN | Verdict.SILENT_ON_ONLY_PATH:
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
    return f"{milliseconds(cause.waited)} > {cause.count} x {interval:.0f} + skew {skew:.0f}"


def _why_not(router: RouterView) -> str:
    out = [
        *([f"it is in fault: {'; '.join(router.faults)}"] if router.faults else []),
        *(["it is drained"] if router.drained else []),
        *([f"it is held: {'; '.join(router.holds)}"] if router.holds else []),
    ]
    if out:
        return ", and ".join(out)
    if router.role != BACKUP:
        return "it has not begun to take part"
    active = next((peer for peer in router.peers if peer.address == router.active), None)
    if active is None:
        return "it waits until the Active has been silent for long enough"
    return f"{active.address} is: it says {active.priority}, we {router.explanation}{_patience(router, active)}"


def _patience(router: RouterView, active: PeerView) -> str:
    """Why a Backup leaves an Active alone that says less; empty: it does not say less."""
    if active.priority is None or active.priority >= router.priority:
        return ""
    if router.preempt is False:
        return "; preempt = false: it keeps what it has"
    return f"; it is left alone for {router.preempt_delay:g} s (preempt_delay)" if router.preempt_delay else ""
