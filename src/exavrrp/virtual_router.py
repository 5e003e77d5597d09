"""One configured virtual router at work: the shell around its pure ``Instance``.

``VirtualRouter`` turns what happens outside into events, has their effects carried out, and tells people. Its parts
have a file each: the ``ways`` to its peers, the ``adverts`` to them, its addresses (``binding``), what ExaBGP
announces of it (``announcement``), its ``drain``. What comes of an effect is an event of its own (``elections``).

Nothing here waits: a write is non-blocking and bounded, an answer is an event of its own.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import assert_never

from exavrrp import events
from exavrrp.adverts import Adverts
from exavrrp.announcement import Announcement, Announcer
from exavrrp.binding import Binding, OnLo
from exavrrp.causes import cause
from exavrrp.chronicle import ADVERTISED, TRANSITION, Chronicle, Facts
from exavrrp.common import Common, Tell
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.drain import Drain
from exavrrp.health import Health, Verdict
from exavrrp.instance import Effect, Fault, Hold, Instance, NoSuccessor, Reclaim
from exavrrp.ports import Arrival, LimitedLog, Notifier, NotifyState, Paths, Severity, Transport
from exavrrp.presence import Step
from exavrrp.routes import Network
from exavrrp.sessions import check_of
from exavrrp.timers import Timers
from exavrrp.view import Moment
from exavrrp.vrrp.auth import Authenticator, Marks, Policy, Signer
from exavrrp.vrrp.copies import CHANGES, TOLERANCE, PathBack, PathQuiet, Peer
from exavrrp.vrrp.packet import LEAVING, Address, Advertisement, Ipv4Checksum
from exavrrp.vrrp.router import Advertise, Notice, Role, Transition, Why
from exavrrp.ways import Ways

AGAIN = 10.0
"""Seconds for which the journal leaves out that a peer says the same priority once more: somebody may forge adverts."""


ANSWER = "ExaBGP's answer"
"""What tells whether it carries out our commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the virtual routers of a node share."""

    timers: Timers
    log: LimitedLog
    chronicle: Chronicle
    facts: Callable[[str], Facts]
    """how the node is now, for this router"""
    tell: Tell
    realtime: Callable[[], float]
    """seconds since the epoch, by the clock on the wall, which may be set"""
    offset: Callable[[], float]
    """seconds from the monotonic clock to that one, as of this turn"""
    moment: Callable[[], Moment]
    """now, by both clocks"""
    notifier: Notifier
    marks: Marks
    authenticator: Authenticator
    binding: Binding
    announcer: Announcer
    is_connected: Callable[[], bool]
    """whether a BGP neighbor whose session is up can be reached"""
    after_adverts: Callable[[Callable[[], None]], None]
    """does something soon, but no advert that is due waits for more than a little of it"""


class VirtualRouter:
    """One configured virtual router."""

    def __init__(
        self,
        configuration: Configuration,
        shared: Shared,
        transport: Transport,
        paths: Paths,
        *,
        policy: Policy | None,
        ipv4_checksum: Ipv4Checksum,
    ) -> None:
        """``policy``: how its adverts are signed, and those of its peers verified; None: not at all."""
        self.policy = policy
        self.began = shared.moment()
        self.instance = Instance(
            configuration.name, configuration.election(), configuration.handover_settings(), configuration.stale_for
        )
        self._shared = shared
        self.common = common = Common(
            configuration, self.instance, shared.timers, shared.log, shared.tell, shared.chronicle
        )
        self.ways = Ways(common, paths, transport, shared.is_connected)
        self.adverts = Adverts(
            common,
            self.ways,
            transport,
            ipv4_checksum=ipv4_checksum,
            signer=self._signer(configuration, policy),
            realtime=shared.realtime,
            after_adverts=shared.after_adverts,
        )
        self.announcement = Announcement(common, shared.announcer, self.know_answers)
        self.on_lo = OnLo(common, shared.binding, self.announcement.bound)
        self.drain = Drain(common)
        self._awaited: list[str] = []
        """checks without whose first result it must not take part"""
        self._unknown = [] if configuration.min_sessions == 0 else [ANSWER]
        """what else it has to wait for before it may take part"""
        self._total = str(configuration.priority)
        """the effective priority as a sum"""
        self._stopped = False
        """whether notify programs have heard our last word"""

    @property
    def name(self) -> str:
        """What it is called, which a reload may change."""
        return self.common.name

    def rename(self, name: str) -> None:
        """Call it so from now on (its instance is renamed by its group)."""
        self.common.configuration = replace(self.configuration, name=name)

    @property
    def configuration(self) -> Configuration:
        """What it is to do."""
        return self.common.configuration

    def _signer(self, configuration: Configuration, policy: Policy | None) -> Signer | None:
        if policy is None or not policy.signs:
            return None
        assert configuration.source is not None, "load() was given the addresses on lo"
        return Signer(policy, configuration.source, configuration.vrid, self._shared.marks, self._shared.authenticator)

    def configure(self, after: Configuration, paths: Paths, policy: Policy | None, ipv4_checksum: Ipv4Checksum) -> None:
        """Go on with another configuration of the same virtual router (family, VRID, source, group).

        Addresses that are new are bound before they are announced. Those that are gone are no matter of this router any
        more, from now on (``leftovers``). What checks and sessions make of it is told by ``judge``.
        """
        common, before = self.common, self.configuration
        common.configuration, self.policy = after, policy
        self.adverts.configure(self._signer(after, policy), ipv4_checksum)
        self.ways.configure(paths)
        self.announcement.configure(before, bound=self.on_lo.bound)
        common.tell(
            events.Configured(self.name, after.election(), after.handover_settings(), stale_for=after.stale_for)
        )
        if before.virtual_addresses != after.virtual_addresses:
            self._shared.binding.add(self.on_lo)
            if self.on_lo.bound:
                self.on_lo.bind()

    def give_up(self, addresses: Collection[Address], networks: Collection[Network]) -> None:
        """It leaves, and another router stands for these from now on. Without any address it announces nothing."""
        before = self.configuration
        left = tuple(one for one in before.virtual_addresses if one.address not in addresses)
        announce = tuple(one for one in before.announce if left and one not in networks)
        self.common.configuration = replace(before, virtual_addresses=left, announce=announce)

    def close(self) -> None:
        """It is gone: nothing of it happens any more."""
        self.common.gone, self.common.tell = True, _nobody
        self.ways.close()
        self.announcement.close()
        self.on_lo.close()

    # Events in

    def recall(self, number: int, latest: float) -> None:
        """A predecessor has counted silent failures, the last one at ``latest`` by the clock."""
        self.common.tell(events.Recalled(self.name, number, self.common.timers.time() - latest))

    def inherit(self, bound: Collection[Address], *, announced: bool, active: bool = False) -> None:
        """A predecessor has left our addresses ``announced`` by ExaBGP, or in doubt; ``active``: as an Active's.

        ``bound``: those of them that are to stay on lo, if they are not announced, until their withdraw is confirmed.
        """
        self.on_lo.inherit(None if announced else bound)
        self.common.tell(events.Inherited(self.name, announced, active))

    def receive(self, arrival: Arrival, advertisement: Advertisement) -> None:
        """A copy of a peer's advert that passed every check."""
        source, at = arrival.datagram.source, arrival.at
        known = self.instance.copies.peers.get(source)
        self._compare(known, source, advertisement, at)
        self.adverts.counts["received"] += 1
        if advertisement.priority == LEAVING:
            self.adverts.counts["received-priority-zero"] += 1
        else:
            self.ways.heard_at, self.ways.interval = at, self.instance.router.learned(advertisement)
        expected = self.ways.expected_from(source)
        self.common.tell(events.Heard(self.name, source, advertisement, arrival.interface, expected), at)
        if known is not None and known.contradicted == at:
            self._doubt(known, source, at)
        if self.instance.router.role is not Role.ACTIVE:
            self.instance.takeovers.time.heard(source, advertisement.priority, at + self._shared.offset())
        else:
            self._shared.binding.claimed(self.on_lo)

    def _compare(self, known: Peer | None, source: Address, advertisement: Advertisement, at: float) -> None:
        """Enter an advert that says something else than the one before: rare, as most do not."""
        before, silent = None, None
        if known is not None:
            before, silent = known.advertisement.priority, at - known.heard
            goes_on = silent <= TOLERANCE * advertisement.centiseconds / 100
            if goes_on and before == advertisement.priority:
                return
        # Senders and priorities can be forged: strangers are one, and so is whoever contradicts itself.
        named = source in self.configuration.peers
        steady = named and (known is None or not known.is_contradictory)
        key = self.name, source if named else None, advertisement.priority if steady else None
        if not self._shared.chronicle.is_new(key, AGAIN):
            return
        self._shared.chronicle.add(
            ADVERTISED, "info", self.name, peer=source, priority=advertisement.priority, before=before, silent=silent
        )

    def _doubt(self, known: Peer, source: Address, at: float) -> None:
        """Its last advert contradicts those before."""
        detail = (
            f"said another priority {CHANGES} times within {at - known.changes[0]:.2f} s, now"
            f" {known.advertisement.priority}: somebody forges its adverts, two machines have its address, or a check"
            " there changes all the time"
        )
        key = (self.name, "contradictory", source if source in self.configuration.peers else None)
        peer = str(source)
        self.common.log.limited(key, Severity.WARNING, "peer-contradictory", router=self.name, peer=peer, detail=detail)

    def judge(self, health: Health) -> None:
        """The checks may have changed what this router is worth."""
        judgement = health.judge(self.name)
        self._total = judgement.explain()
        self.common.log.info(
            "health-assessed", router=self.name, priority=judgement.priority, detail=judgement.explain()
        )
        # What has said nothing yet is no fault: what a predecessor left to us is not cleared because of it. Nor does
        # who takes part leave to wait for a check that a reload has added.
        silent = [term for term in judgement.faults if term.verdict is Verdict.UNKNOWN]
        out = self.instance.router.role is Role.INITIALIZE
        awaited = [term.check for term in (*silent, *judgement.waiting)] if out else []
        bad = {term.check: term.reason for term in judgement.faults if term.verdict is not Verdict.UNKNOWN}
        sessions = bad.pop(check_of(self.name), None)
        faults = {Fault.SESSIONS: sessions, Fault.CHECK: ", ".join(bad.values())}
        for fault, reason in faults.items():
            if reason:
                self.common.fail(fault, reason)
        self.common.tell(events.Rated(self.name, judgement.priority))
        self._awaited = awaited
        self._wait()
        for fault, reason in faults.items():
            if not reason:
                self.common.recover(fault)
        role = self.instance.router.role
        if role is Role.INITIALIZE and (self.instance.faults or self.drain.wanted):
            self._notify(role, role, judgement.explain())  # without a transition: it was out before

    def know_answers(self) -> None:
        """It is known whether ExaBGP carries out our commands: there is nothing to wait for."""
        self.stop_waiting(ANSWER)

    def wait_for(self, what: str) -> None:
        """It must not take part before ``stop_waiting``. To be called before it is judged for the first time."""
        self._unknown.append(what)

    def stop_waiting(self, what: str) -> None:
        """What it waited for has come; does nothing if it does not wait for that."""
        if what in self._unknown:
            self._unknown.remove(what)
            self._wait()

    def _wait(self) -> None:
        """As long as anything has to be known before this router may take part."""
        if awaited := [*self._awaited, *self._unknown]:
            self.common.tell(events.Held(self.name, Hold.WAITING, f"waiting for {', '.join(awaited)}"))
        else:
            self.common.tell(events.Released(self.name, Hold.WAITING))

    # Effects out

    def carry_out(self, effect: Effect) -> None:
        """One effect of an event; what comes of it is an event of its own."""
        match effect:
            case Advertise(priority):
                self.on_lo.unbind_now()  # in break before make, others may begin when they hear this
                self.announcement.follow_clock(self._shared.offset)
                self.adverts.advertise(priority)
            case Transition():
                self._tell_transition(effect)
            case Step.BIND:
                self.on_lo.bind()
            case Step.UNBIND:
                self.on_lo.unbind()
            case Step.ANNOUNCE:
                self.announcement.announce()
            case Step.WITHDRAW:
                self.announcement.change()
            case NoSuccessor(waited):
                self.drain.undone(waited)
            case Reclaim() if self.instance.reclaims:
                self._reclaim(effect)
            case Reclaim():
                pass  # the Active does
            case PathQuiet(peer, index) | PathBack(peer, index):
                self.ways.path_changed(peer, index, quiet=isinstance(effect, PathQuiet))
            case Notice(discrepancy, source, detail):
                named = source in self.configuration.peers  # each key takes memory, and senders can be forged
                key = (self.name, discrepancy, source if named else None)
                self.common.log.limited(key, Severity.WARNING, discrepancy, router=self.name, detail=detail)
            case _:
                assert_never(effect)

    def _reclaim(self, reclaim: Reclaim) -> None:
        """Our route has to be better than that of a node which does not hear us; the announcement follows."""
        how = "takeover is off: the routers may send traffic to either"
        if self.configuration.route_policy.takeover:
            self.instance.takeovers.time.reclaim(self._shared.realtime())
            how = f"traffic reclaimed for time {reclaim.times}"
        detail = (
            f"has been Active for {reclaim.lasts:.1f} s beside us, with our priority of"
            f" {self.instance.router.priority}, and does not hear us; {how}"
        )
        peer = str(reclaim.source)
        self.common.log.warning(
            "peer-deaf", router=self.name, peer=peer, priority=reclaim.priority, times=reclaim.times, detail=detail
        )

    # Who is told

    def _tell_transition(self, transition: Transition) -> None:
        if transition.after is Role.ACTIVE:
            offset, now = self._shared.offset(), self.common.timers.time()
            self.instance.takeovers.time.begin(now + offset, now)
        self.common.history.begin(self._shared.moment(), transition, self.instance.router.priority)
        self._enter(transition)
        self.common.log.info(
            "transition",
            router=self.name,
            before=transition.before,
            after=transition.after,
            reason=transition.why,
            detail=transition.detail,
            priority=self.instance.router.priority,
        )
        self._notify(transition.after, transition.before, transition.why)
        if transition.why is Why.SUPERSEDED and self.configuration.on_link:
            # The better Active may never have heard us. Neighbors think that we have the addresses, so it has to hear
            # it now, as if this advert had been due just before its own came: our priority may be another one by now.
            self.adverts.repeat()

    def _enter(self, transition: Transition) -> None:
        """Its cause, as it is known now."""
        found = cause(
            transition,
            self.instance,
            self.ways.interface_name,
            self.common.timers.time(),
            total=self._total,
            facts=self._shared.facts(self.name),
        )
        self._shared.chronicle.add(
            TRANSITION,
            "info",
            self.name,
            found,
            before=str(transition.before),
            after=str(transition.after),
            reason=str(transition.why),
            detail=transition.detail,
        )

    def _notify(self, role: Role, before: str, reason: str) -> None:
        """In the words of keepalived's scripts. Who is drained is a Backup to them: alive, but not serving."""
        if self._stopped:
            return
        if role is Role.ACTIVE:
            state = NotifyState.MASTER
        elif role is Role.BACKUP or (self.drain.wanted and not self.instance.faults):
            state = NotifyState.BACKUP
        else:
            state = NotifyState.FAULT if self.instance.faults else NotifyState.STOP
        self._shared.notifier.tell(self.name, state, self.instance.router.priority, before, reason)

    def notify_stop(self, before: Role, reason: str) -> None:
        """The last word to notify programs."""
        self._stopped = True
        self._shared.notifier.tell(self.name, NotifyState.STOP, self.instance.router.priority, before, reason)


def _nobody(event: events.OfOne, at: float | None = None) -> None:
    """Takes what is told of a router that is gone."""
