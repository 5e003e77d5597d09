"""Describes a whole node as it is now: makes its ``View``; pure.

Counters and times are kept by routers, checks, sessions and transports. Here they are only put together, on request.
Nothing depends on them. The kernel may fail to list the addresses; then these are unknown.

A router takes some 0.1 ms, so hundreds of them would keep an advert that is due. Whoever answers a client sends it
between two of them (``describe``). What has changed meanwhile is described again, so that states are of one moment.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache

from exavrrp import ports
from exavrrp.beacon.codec import digest
from exavrrp.beacon.station import Station
from exavrrp.binding import Binding
from exavrrp.config import Configuration
from exavrrp.fitness import Fitness
from exavrrp.history import Past
from exavrrp.instance import Hold
from exavrrp.reception import Reception
from exavrrp.takeover import goes_on
from exavrrp.turns import Turns
from exavrrp.view import (
    AddressView,
    BeaconView,
    CheckView,
    ExaBGPView,
    LinkView,
    Moment,
    Outcome,
    PathView,
    PeerView,
    RouterView,
    RouteView,
    SessionView,
    SourceView,
    TermView,
    TransitionView,
    View,
    WayView,
)
from exavrrp.virtual_address import LO
from exavrrp.virtual_router import VirtualRouter
from exavrrp.vrrp.auth import Sender
from exavrrp.vrrp.copies import Path, Peer
from exavrrp.vrrp.packet import LEAVING, Address, Reason
from exavrrp.vrrp.router import Backup, Role


@lru_cache(maxsize=8192)
def _text(value: object) -> str:
    """``str``, for addresses and prefixes: it takes most of the time otherwise, and they stay the same."""
    return str(value)


PASSES = 5
"""How often what has changed is described router by router. Each pass has what has changed during the one before it."""


class Viewer:
    """Looks at all parts of a node."""

    def __init__(
        self,
        routers: Mapping[str, VirtualRouter],
        fitness: Fitness,
        binding: Binding,
        reception: Reception,
        turns: Turns,
        *,
        addresses: ports.Addresses,
        checks: ports.Checks,
        transports: ports.Transports,
        notifier: ports.Notifier,
        speaker: ports.Speaker,
        beacons: Station,
        configuration: Callable[[], Configuration],
        moment: Callable[[], Moment],
    ) -> None:
        """``routers``: by name, in the order of the configuration; ``configuration``: the one in force; ``moment`` is
        now, by both clocks."""
        self.trouble: str | None = None
        """what is wrong with all routers; the states of sessions are unknown then"""
        self.version: str | None = None
        """of ExaBGP, once it is known"""
        self._routers = routers
        self._fitness = fitness
        self._binding = binding
        self._reception = reception
        self._turns = turns
        self._addresses = addresses
        self._checks = checks
        self._transports = transports
        self._notifier = notifier
        self._speaker = speaker
        self._beacons = beacons
        self._configuration = configuration
        self._moment = moment
        self._began = moment()

    def view(self) -> View:
        """The node as it is now."""
        return next(filter(None, self._describe(0)))

    def describe(self) -> Iterator[View | None]:
        """None before each router, when events may be handled; at last the node, as it is then.

        A router whose state (``_state``) has changed since is described again; after a reload all are. Nothing is older
        than this call.
        """
        return self._describe(PASSES)

    def _describe(self, passes: int) -> Iterator[View | None]:
        """What has changed after so many ``passes`` is described with the rest, without a pause."""
        found: dict[VirtualRouter, RouterView] = {}
        before: dict[VirtualRouter, tuple[object, ...]] = {}
        states = self._states()
        while changed := [one for one, state in states.items() if before.get(one) != state]:
            distrusted, elsewhere, present = self._checks.distrusted(), self._binding.elsewhere(), self._present()
            for router in changed:
                if passes > 0:
                    yield None
                if self._routers.get(router.name) is router:  # else it is gone
                    remarks = self._remarks(router, distrusted, elsewhere)
                    found[router] = self._router(router, self._moment().monotonic, present, remarks)
            before, states, passes = states, self._states(), passes - 1
        yield self._whole(tuple(found[router] for router in states))

    def _states(self) -> dict[VirtualRouter, tuple[object, ...]]:
        """What of each router is to be of one moment; of all, the configuration, and whether anything is wrong."""
        of_all = (self._configuration(), self.trouble)
        return {router: (*of_all, *self._state(router)) for router in self._routers.values()}

    def _state(self, router: VirtualRouter) -> tuple[object, ...]:
        instance, history, announcement = router.instance, router.common.history, router.announcement
        return (
            instance.router.role,
            instance.router.priority,
            instance.presence.level,
            history.last[0] if history.last else None,
            router.on_lo.bound,
            self._binding.is_changing(router.on_lo),
            announcement.level,
            announcement.is_confirmed,
            router.drain.outcome,
            *instance.faults.items(),
            *instance.holds.items(),
        )

    def _whole(self, routers: tuple[RouterView, ...]) -> View:
        now, distrusted = self._moment(), self._checks.distrusted()
        return View(
            now=now,
            began=self._began,
            routers=routers,
            sessions=self._sessions(),
            checks=self._all_checks(distrusted),
            sources=tuple(_source(source, one.counters) for source, one in self._transports.items()),
            notified={name: dict(counts) for name, counts in self._notifier.counters().items()},
            rejected={str(reason): count for reason, count in self._reception.rejected.items()},
            refused=_refused(self._reception.refused),
            beacons=dict(self._beacons.rejected),
            exabgp=ExaBGPView(
                version=self.version,
                answers=self.trouble is None and not self._fitness.sessions.stalled,
                answer_seconds=self._speaker.answer_seconds,
            ),
            lateness=self._turns.punctuality.lateness(now.monotonic),
        )

    @property
    def summary(self) -> str:
        """Its routers by their state, in one line: ``Active: web; Backup: dns; fault: mail``."""
        found: dict[str, list[str]] = {}
        for name, router in self._routers.items():
            found.setdefault(_word(router), []).append(name)
        order = sorted(found, key=[*_WORDS.values(), "drained", "fault"].index)
        return "; ".join(f"{word}: {_listed(found[word])}" for word in order)

    @property
    def draining(self) -> bool:
        """Whether a drain is under way."""
        return any(router.drain.outcome is Outcome.DRAINING for router in self._routers.values())

    def _present(self) -> Collection[Address] | None:
        """The addresses on lo; None: unknown."""
        with suppress(OSError):
            return self._addresses.present()
        return None

    # Routers

    def _remarks(
        self, router: VirtualRouter, distrusted: Mapping[str, str], elsewhere: Mapping[str, Iterable[str]]
    ) -> tuple[str, ...]:
        checks = (one for one in router.configuration.checks if one in distrusted)
        return (
            *(f"check {one} is not run: {distrusted[one]}" for one in checks),
            *elsewhere.get(router.name, ()),
            *(() if self.trouble is None else (self.trouble,)),
        )

    def _router(
        self, router: VirtualRouter, now: float, present: Collection[Address] | None, remarks: tuple[str, ...]
    ) -> RouterView:
        configuration, election, history = router.configuration, router.instance.router, router.common.history
        assessment = self._fitness.health.judge(router.name)
        peers = self._peers(router, now)
        return RouterView(
            name=router.name,
            vrid=configuration.vrid,
            role=election.role,
            priority=election.priority,
            explanation=assessment.explain(),
            addresses=tuple(map(_text, configuration.addresses)),
            unlisted=tuple(map(_text, configuration.unlisted)),
            prefixes=tuple(map(_text, configuration.announce)),
            bound=bool(router.on_lo.wanted),
            level=router.announcement.level,
            drained=router.drain.wanted,
            interval=configuration.advert_interval,
            preempt=configuration.preempt,
            preempt_delay=configuration.preempt_delay,
            standby=configuration.standby,
            min_sessions=configuration.min_sessions,
            window=None if router.policy is None else router.policy.window,
            wanted=router.instance.presence.level,
            accepted=router.announcement.is_confirmed,
            untold=tuple(map(_text, self._fitness.sessions.untold_of(router.name))),
            kept_by=tuple(sorted({str(one) for those in router.announcement.kept.values() for one in those})),
            faults=tuple(router.instance.faults.values()),
            holds=tuple(detail for hold, detail in router.instance.holds.items() if hold is not Hold.DRAIN),
            remarks=remarks,
            outcome=router.drain.outcome,
            family=configuration.family,
            source=_text(configuration.source),
            transport=configuration.transport,
            group=configuration.group,
            since=history.last[0].at if history.last else router.began,
            configured=assessment.base,
            terms=tuple(
                TermView(
                    check=term.check,
                    verdict=term.verdict,
                    amount=term.amount,
                    fault=term.fault,
                    waiting=term.waiting,
                    detail=term.detail,
                )
                for term in assessment.terms
            ),
            active=_active(router, peers),
            down_interval=_down_interval(router),
            peers=peers,
            replaceable=self._beacons.is_replaceable(router),
            on_lo=self._on_lo(router, present),
            routes=_routes(router),
            binds=bool(configuration.on_lo),
            announces=bool(configuration.announce),
            adverts=dict(router.adverts.counts),
            transitions=_transitions(router),
            last=tuple(map(_past, history.last)),
        )

    def _peers(self, router: VirtualRouter, now: float) -> tuple[PeerView, ...]:
        heard = router.instance.copies.peers
        senders = self._reception.senders(router)
        return tuple(
            _peer(router, address, heard.get(address), senders.get(address), now, beacon=self._beacon(router, address))
            for address in dict.fromkeys((*router.configuration.peers, *heard))
        )

    def _beacon(self, router: VirtualRouter, peer: Address) -> BeaconView | None:
        standing = self._beacons.standing(router, peer)
        if standing is None:
            return None
        report = standing.report
        ways = [(link.name, self._beacons.way(router, peer, link.index)) for link in router.ways.leading_to(peer)]
        return BeaconView(
            age=standing.age,
            silent=standing.silent,
            ready=standing.ready,
            obstacle=standing.obstacle,
            role=report.role,
            priority=report.priority,
            configured=report.configured,
            interval=report.centiseconds / 100,
            same_addresses=report.digest == digest(router.configuration.addresses),
            faults=report.faults,
            holds=report.holds,
            heard=report.heard,
            expected=report.expected,
            ways=tuple(WayView(interface=name, age=way.age, echoed=way.echoed) for name, way in ways),
        )

    def _on_lo(self, router: VirtualRouter, present: Collection[Address] | None) -> tuple[AddressView, ...]:
        wanted, awaited = {one.address for one in router.on_lo.wanted}, self._addresses.awaited
        return tuple(
            AddressView(
                address=_text(one),
                interface=router.configuration.bound_to or LO,
                wanted=one in wanted,
                present=None if present is None else one in present,
                verified=None if present is None else one in present and one in wanted and one not in awaited,
            )
            for one in router.on_lo.addresses
        )

    # What routers share

    def _sessions(self) -> tuple[SessionView, ...]:
        known = self.trouble is None
        return tuple(
            SessionView(
                peer=_text(one.session.peer),
                local=None if one.session.local is None else _text(one.session.local),
                up=one.up if known else None,
                told=one.told if known else None,
                counts_for=one.routers,
                families=one.families,
                since=self._fitness.changed.get(one.session),
            )
            for one in self._fitness.sessions.standings()
        )

    def _all_checks(self, distrusted: Mapping[str, str]) -> tuple[CheckView, ...]:
        found: dict[str, list[str]] = {}
        for router in self._routers.values():
            for name in router.configuration.checks:
                found.setdefault(name, []).append(router.name)
        return tuple(self._check(name, tuple(routers), distrusted.get(name)) for name, routers in found.items())

    def _check(self, name: str, routers: tuple[str, ...], distrusted: str | None) -> CheckView:
        check, results = self._fitness.health.checks[name], self._fitness.results.get(name)
        return CheckView(
            name=name,
            verdict=check.verdict,
            against=check.against,
            needed=check.needed,
            since=None if results is None else results.since,
            at=None if results is None else results.at,
            seconds=None if results is None else results.seconds,
            detail=check.detail,
            value=None if results is None else results.value,
            passed=0 if results is None else results.passed,
            failed=0 if results is None else results.failed,
            timeouts=0 if results is None else results.timeouts,
            distrusted=distrusted,
            routers=routers,
        )


_WORDS = {Role.ACTIVE: "Active", Role.BACKUP: "Backup", Role.INITIALIZE: "waiting"}

NAMED = 10
"""Most routers of one state that ``Viewer.summary`` names."""


def _word(router: VirtualRouter) -> str:
    """Its state; of one that does not take part in the election, why."""
    if router.instance.router.role is Role.INITIALIZE:
        if router.instance.faults:
            return "fault"
        if router.drain.wanted:
            return "drained"
    return _WORDS[router.instance.router.role]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _source(source: Address, counters: ports.Counters) -> SourceView:
    failed: dict[tuple[Address, str], dict[str, int]] = {}
    for (peer, interface, error), count in counters.failed.items():
        failed.setdefault((peer, interface), {})[error] = count
    return SourceView(
        source=_text(source),
        links=tuple(
            LinkView(
                peer=_text(peer),
                interface=interface,
                sent=counters.sent.get((peer, interface), 0),
                failed=failed.get((peer, interface), {}),
            )
            for peer, interface in dict.fromkeys((*counters.sent, *failed))
        ),
        received=counters.received.total(),
        receive_errors=dict(counters.receive_errors),
        overflowed=counters.overflowed,
        unread=counters.unread,
    )


def _refused(counts: Mapping[tuple[Reason, Address], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (reason, peer), count in counts.items():
        found.setdefault(_text(peer), {})[reason] = count
    return found


def _past(past: Past) -> TransitionView:
    return TransitionView(
        at=past.at,
        before=past.transition.before,
        after=past.transition.after,
        reason=past.transition.why,
        detail=past.transition.detail,
        priority=past.priority,
        phases={str(phase): seconds for phase, seconds in past.phases.items()},
    )


def _transitions(router: VirtualRouter) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (role, why), count in router.common.history.counts.items():
        found.setdefault(role, {})[why] = count
    return found


def _active(router: VirtualRouter, peers: Iterable[PeerView]) -> str | None:
    """The address of the Active that is known here."""
    if router.instance.router.role is Role.ACTIVE:
        return _text(router.configuration.source)
    heard = [peer for peer in peers if peer.active]
    return max(heard, key=lambda peer: peer.priority or 0).address if heard else None


def _down_interval(router: VirtualRouter) -> float | None:
    state = router.instance.router.state
    return router.instance.router.down_interval(state.interval) if isinstance(state, Backup) else None


def _routes(router: VirtualRouter) -> tuple[RouteView, ...]:
    wanted = {route.network: route.attributes for route in router.announcement.wanted()}
    return tuple(
        RouteView(
            prefix=_text(network),
            wanted=None if network not in wanted else router.instance.presence.level,
            confirmed=router.announcement.is_carried_out(network),
            med=None if network not in wanted else wanted[network].med,
            local_preference=None if network not in wanted else wanted[network].local_preference,
        )
        for network in router.announcement.networks
    )


# Peers


def _peer(
    router: VirtualRouter,
    address: Address,
    heard: Peer | None,
    sender: Sender | None,
    now: float,
    *,
    beacon: BeaconView | None,
) -> PeerView:
    known = heard is not None and _counts_now(router, heard)
    active = None if heard is None or not known else _is_active(router, heard, now)
    advertisement = None if heard is None or not known else heard.advertisement
    rival = router.instance.takeovers.rivals.known.get(address)
    deaf = rival if rival is not None and rival.reclaimed and not rival.tied and goes_on(rival, now) else None
    return PeerView(
        address=_text(address),
        active=active,
        priority=None if advertisement is None else advertisement.priority,
        interval=None if advertisement is None else advertisement.centiseconds / 100,
        addresses=None if advertisement is None else tuple(map(_text, advertisement.addresses)),
        age=None if heard is None or not known else now - heard.heard,
        paths=tuple(_paths(router, address, heard, now, known=known, active=bool(active))),
        signed=None if sender is None else sender.signed,
        unsigned=None if sender is None else sender.unsigned,
        key=None if sender is None else sender.key,
        skew=None if sender is None or not sender.signed else sender.skew,
        sent=dict(router.adverts.copies.get(address, {})),
        deaf=None if deaf is None else now - deaf.since,
        reclaimed=0 if deaf is None or not router.configuration.route_policy.takeover else deaf.reclaimed,
        beacon=beacon,
    )


def _counts_now(router: VirtualRouter, heard: Peer) -> bool:
    """Whether what was heard of a peer says anything of now. Backups are silent: what an Active has heard before it
    became Active does not."""
    if router.instance.router.role is not Role.ACTIVE:
        return True
    return heard.heard > router.common.history.last[0].at.monotonic


def _is_active(router: VirtualRouter, heard: Peer, now: float) -> bool:
    """Whether a Backup would still wait for its next advert."""
    timeout = router.instance.router.down_interval(heard.advertisement.centiseconds / 100)
    return heard.advertisement.priority != LEAVING and now - heard.heard <= timeout


def _paths(
    router: VirtualRouter, address: Address, heard: Peer | None, now: float, *, known: bool, active: bool
) -> Iterable[PathView]:
    """Those that lead to the peer, and then those over which it was heard without that."""
    leading = {link.index: link.name for link in router.ways.leading_to(address)}
    counts, paths = ({}, {}) if heard is None else (heard.counts, heard.paths)
    for index in dict.fromkeys((*leading, *counts)):
        path = paths.get(index)
        lost, adverts = (None, None) if path is None or heard is None or not known else _losses(path, heard)
        yield PathView(
            interface=leading[index] if index in leading else router.ways.interface_name(index),
            leads=index in leading,
            copies=counts.get(index, 0),
            age=None if path is None or path.last is None or not known else now - path.last,
            quiet=path.quiet if path is not None and active else None,
            lost=lost,
            adverts=adverts,
            gaps=0 if heard is None else heard.gaps[index],
        )


def _losses(path: Path, heard: Peer) -> tuple[int, int]:
    """Until the last copy on any path: that a peer is silent is no loss of a path."""
    return path.losses(heard.advertisement.centiseconds / 100, heard.heard)
