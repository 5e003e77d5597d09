"""What is wrong with a node now, by its ``View``: a sentence each, with a code that ``exavrrp explain`` knows; pure.

What the node has decided stands in the ``View``. Here it is only put into words, for whoever shows it (``status``,
``doctor``). Nothing is decided anew.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from exavrrp.view import BeaconView, CheckView, Moment, Outcome, PeerView, RouterView, SessionView, View

ACTIVE, BACKUP = "active", "backup"

RARELY = 1000
"""One late alarm in so many is no problem of a machine."""


class Finding(Struct, frozen=True):
    """One thing that is wrong, or not as it usually is."""

    code: str
    """for ``exavrrp explain``"""
    about: str
    """virtual routers, or empty: the node"""
    text: str

    def __str__(self) -> str:
        return f"{self.about}: {self.text}" if self.about else self.text


def findings(view: View) -> list[Finding]:
    """Everything that is not as it should be, or not as usual: the node first, then what its routers share, then each
    router."""
    checks = frozenset(check.name for check in view.checks)
    of_routers = (one for router in view.routers for one in _of(router, checks, view.now))
    return [*_of_the_node(view), *_of_checks(view), *of_routers]


def clock(at: datetime, now: datetime | None) -> str:
    """A time (UTC), as short as it is clear ``now``: ``14:02:11``, or ``11-21 18:21:07``, or with its year."""
    if now is None or at.year != now.year:
        return f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M:%S}"


def since(moment: Moment | None, now: Moment | None) -> str:
    """`` since 14:02:11``, or nothing."""
    return "" if moment is None else f" since {clock(moment.time, now.time if now is not None else None)}"


def _of_the_node(view: View) -> Iterator[Finding]:
    if view.exabgp is not None and not view.exabgp.answers:
        yield Finding("exabgp-stalled", "", "ExaBGP does not answer: nothing can be announced, and no session counts")
    families = {router.family for router in view.routers if router.announces and router.family is not None}
    for session in view.sessions:
        yield from _of_session(session, families, view.now)
    lateness = view.lateness
    if lateness is not None and lateness.late * RARELY > lateness.alarms:
        text = f"the machine is too slow: {lateness.late} of {lateness.alarms} alarms were late in the last hour"
        yield Finding("loop-late", "", text)


def ends(session: SessionView) -> str:
    """A session by both its ends."""
    return session.peer if session.local is None else f"{session.peer} from {session.local}"


def _of_session(session: SessionView, announced: set[int], now: Moment | None) -> Iterator[Finding]:
    """``announced``: the families that are to be. A session that carries one of them and does not count was left out by
    the configuration (``min_sessions``, ``neighbors``)."""
    name = f"session {ends(session)}"
    if session.up is False:
        yield Finding("session-down", "", f"{name} down{since(session.since, now)}")
    elif session.told is False:
        yield Finding("neighbor-unlisted", "", f"{name} up, not told of our routes, so it does not count")
    elif (
        session.up
        and session.told
        and announced
        and session.families is not None
        and announced.isdisjoint(session.families)
    ):
        carries = " and ".join(f"IPv{family}" for family in session.families) or "neither IPv4 nor IPv6"
        yield Finding("session-unused", "", f"{name} up, counts for no virtual router, carries {carries}")


def _of_checks(view: View) -> Iterator[Finding]:
    for check in view.checks:
        if check.verdict == "failing" and (wrong := [one.name for one in view.routers if _suffers(one, check.name)]):
            yield Finding("check-failing", ", ".join(wrong), failing(check, view.now))


def _suffers(router: RouterView, check: str) -> bool:
    return any(term.check == check and (term.fault or term.amount) for term in router.terms)


def failing(check: CheckView, now: Moment | None) -> str:
    """A check that fails, with its last detail."""
    return f"check {check.name} failing{since(check.since, now)}{f': {check.detail}' if check.detail else ''}"


def _of(router: RouterView, checks: Collection[str], now: Moment | None) -> Iterator[Finding]:
    """``checks``: those that have a finding of their own."""
    name = router.name
    bad = (term for term in router.terms if term.fault and term.verdict == "failing" and term.check in checks)
    known = ", ".join(f"{term.check} failing{f' ({term.detail})' if term.detail else ''}" for term in bad)
    for fault in router.faults:
        if fault != known:
            yield Finding("router-fault", name, f"fault: {fault}")
    for hold in router.holds:
        yield Finding("router-held", name, f"held: {hold}")
    if router.outcome in {Outcome.DRAINING, Outcome.DRAINED}:
        yield Finding("router-drained", name, f"{router.outcome} {ending(router.until, router.persistent)}")
    elif router.outcome is Outcome.KEPT:
        yield Finding("drain-cancelled", name, "the last drain was undone: nobody took over")
    if not router.accepted:
        how = "withdrawn" if router.wanted is None else f"announced as {router.wanted}"
        yield Finding("route-unconfirmed", name, f"to be {how}, and ExaBGP has not confirmed it")
    for address in router.on_lo:
        if address.wanted and address.verified is False:
            yield Finding(
                "address-unverified",
                name,
                f"{address.address} is to be on {address.interface}, and does not accept packets",
            )
    if router.untold:
        yield Finding("neighbor-unlisted", name, f"not told of its routes: {', '.join(router.untold)}")
    if router.kept_by:
        yield Finding("route-kept", name, f"cannot be withdrawn from: {', '.join(router.kept_by)}")
    for remark in router.remarks:
        yield Finding("router-remark", name, remark)
    if router.role == ACTIVE and router.replaceable is False:
        whys = (f"{peer.address} {peer.beacon.obstacle}" for peer in router.peers if peer.beacon is not None)
        yield Finding("no-ready-standby", name, f"no peer is ready to take over: {'; '.join(whys)}")
    for peer in router.peers:
        yield from _of_peer(router, peer, now)
        if peer.beacon is not None and not peer.beacon.silent:
            yield from _of_beacon(router, peer, peer.beacon)
    if router.role == BACKUP and router.active is None and router.peers:
        yield Finding("no-active", name, "no advert of an Active arrives")


def _of_peer(router: RouterView, peer: PeerView, now: Moment | None) -> Iterator[Finding]:
    if not peer.active:
        return
    name = router.name
    fine = [path.interface for path in peer.paths if path.quiet is False]
    for path in peer.paths:
        if path.quiet:
            last = " has delivered nothing yet"
            if path.age is not None and now is not None:
                last = f" quiet since {clock(now.time - timedelta(seconds=path.age), now.time)}"
            text = f"path {path.interface} from {peer.address}{last} ({', '.join(fine) or 'no other'} fine)"
            yield Finding("path-quiet", name, text)
    if peer.deaf is not None:
        how = f"traffic reclaimed {peer.reclaimed} times" if peer.reclaimed else "takeover is off: no traffic reclaimed"
        text = f"{peer.address} goes on as Active with {peer.priority}, and does not hear a better one; {how}"
        yield Finding("peer-deaf", name, text)
    elif router.role == ACTIVE:
        yield Finding("two-actives", name, f"two Actives: {peer.address} says {peer.priority}, we {router.priority}")
    if router.interval is not None and peer.interval is not None and round((peer.interval - router.interval) * 100):
        text = f"{peer.address} advertises every {peer.interval:g} s, we every {router.interval:g} s"
        yield Finding("interval-differs", name, text)
    if peer.skew:
        ahead = "ahead of" if peer.skew > 0 else "behind"
        yield Finding("clock-skew", name, f"the clock of {peer.address} is {abs(peer.skew):g} s {ahead} ours")


def _of_beacon(router: RouterView, peer: PeerView, beacon: BeaconView) -> Iterator[Finding]:
    """What a peer's beacon says otherwise than we. Where adverts of the peer say it too, they have said it."""
    name = router.name
    if not beacon.same_addresses:
        yield Finding("addresses-differ", name, f"{peer.address} has other addresses than we, by its beacon")
    if not peer.active and router.interval is not None and round((beacon.interval - router.interval) * 100):
        text = f"{peer.address} is to advertise every {beacon.interval:g} s, we every {router.interval:g} s"
        yield Finding("interval-differs", name, text)
    if beacon.configured == router.configured:
        yield Finding("priority-tie", name, f"{peer.address} has priority {beacon.configured}, too")
    heard = [way.interface for way in beacon.ways if way.echoed]
    for way in beacon.ways:
        if way.echoed is False:
            others = f"over {', '.join(heard)} it does" if heard else "nor over any other path"
            text = f"{peer.address} does not hear our beacons over {way.interface}; {others}"
            yield Finding("beacon-unheard", name, text)


def compared(view: View, others: Mapping[str, View]) -> list[Finding]:
    """What does not fit together on this node and the ``others``, by their names."""
    return [finding for name, other in others.items() for finding in _compared(view, name, other)]


def _compared(view: View, name: str, other: View) -> Iterator[Finding]:
    ours, theirs = ({(one.vrid, one.family): one for one in seen.routers} for seen in (view, other))
    for identity, router in ours.items():
        if identity not in theirs:
            yield Finding("router-missing", router.name, f"{name} has no VRID {router.vrid} IPv{router.family}")
            continue
        peer = theirs[identity]
        if set(peer.addresses) != set(router.addresses):
            text = f"{name} has {', '.join(peer.addresses)}; here: {', '.join(router.addresses)}"
            yield Finding("addresses-differ", router.name, text)
        if peer.interval != router.interval:
            text = f"{name} advertises every {peer.interval or 0:g} s, we every {router.interval or 0:g} s"
            yield Finding("interval-differs", router.name, text)
        if peer.configured is not None and peer.configured == router.configured:
            yield Finding("priority-tie", router.name, f"{name} has priority {peer.configured}, too")
        if peer.role == router.role == ACTIVE:
            yield Finding("two-actives", router.name, f"{name} is Active, too")
    for identity, peer in theirs.items():
        if identity not in ours:
            yield Finding("router-missing", "", f"{name} has {peer.name}, VRID {peer.vrid} IPv{peer.family}; we do not")


def ending(until: datetime | None, persistent: bool) -> str:
    """When a drain ends, such as ``until 2026-01-31T12:00:00Z or undrain``."""
    ways = [] if until is None else [f"{until:%Y-%m-%dT%H:%M:%SZ}"]
    return f"until {' or '.join([*ways, 'undrain' if persistent else 'a restart'])}"
