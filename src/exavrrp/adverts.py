"""The adverts that one virtual router sends: one copy to every peer over every path to it; pure."""

import errno
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from exavrrp.common import Common
from exavrrp.ports import NO_WAY, Link, Sent, Severity, Transport
from exavrrp.vrrp import version2
from exavrrp.vrrp.auth import Signer
from exavrrp.vrrp.packet import LEAVING, Address, Ipv4Checksum, encode
from exavrrp.vrrp.router import Role
from exavrrp.ways import MUTE_ADVERTS, Ways

PRIORITY_ZERO_REPEATS = (0.003, 0.006)
"""Seconds after the first priority 0 at which it is repeated: adverts are not acknowledged."""


class Adverts:
    """Sends the adverts of one virtual router."""

    def __init__(
        self,
        common: Common,
        ways: Ways,
        transport: Transport,
        *,
        ipv4_checksum: Ipv4Checksum,
        signer: Signer | None,
        realtime: Callable[[], float],
        after_adverts: Callable[[Callable[[], None]], None],
    ) -> None:
        """``signer`` signs them; without one they go out unsigned. ``after_adverts``: of ``work.Work``."""
        self.counts: Counter[str] = Counter()
        self.copies: defaultdict[Address, Counter[str]] = defaultdict(Counter)
        """copies that the kernel took, by peer and interface name"""
        self._common = common
        self._ways = ways
        self._transport = transport
        self._ipv4_checksum = ipv4_checksum
        self._signer = signer
        self._realtime = realtime
        self._after_adverts = after_adverts
        self._payloads: dict[int, list[tuple[Address, bytes, Counter[str]]]] = {}
        """unsigned ones, by priority: one for each peer, and its ``copies``"""
        self._unsent = 0
        """adverts in a row of which no copy could be sent"""
        self._last = LEAVING
        """the priority of the last one"""
        self._resigned = -math.inf
        """when priority 0 was sent, monotonic seconds"""

    @property
    def resigned_until(self) -> float:
        """When a priority 0 and its repeats will have been sent, monotonic seconds."""
        return self._resigned + 2 * PRIORITY_ZERO_REPEATS[-1]

    def configure(self, signer: Signer | None, ipv4_checksum: Ipv4Checksum) -> None:
        """Other adverts from now on."""
        self._signer, self._ipv4_checksum = signer, ipv4_checksum
        self._payloads.clear()

    def advertise(self, priority: int) -> None:
        """As the election demands; a priority 0 is repeated."""
        self.send(priority)
        if priority == LEAVING:
            self._resigned = self._common.timers.time()
            for delay in PRIORITY_ZERO_REPEATS:
                self._common.timers.call_later(delay, self._repeat_priority_zero)

    def _repeat_priority_zero(self) -> None:
        if self._common.instance.router.role is not Role.ACTIVE:
            self.send(LEAVING)

    def resign_again(self) -> None:
        """The paths are others now: repeat a priority 0 that may have been lost, while Backups still wait for us."""
        router, since = self._common.instance.router, self._common.timers.time() - self._resigned
        if router.role is Role.INITIALIZE and since <= router.down_interval(router.settings.interval):
            self.send(LEAVING)

    def remind(self) -> None:
        """Send an advert before its time, because another process goes on: the peers' timers restart with it."""
        advertised = self._common.instance.router.advertised
        if advertised is not None:
            self.send(advertised)

    def repeat(self) -> None:
        """Send the last advert once more."""
        self.send(self._last)

    def send(self, priority: int) -> None:
        """Send one advert; none once the router is gone. If none could be sent for a while, that is a fault."""
        if self._common.gone:
            return
        self._last = priority
        results = self._copies(priority)
        errors = [sent.error for sent in results if sent.error is not None]
        self.counts["sent" if priority != LEAVING else "sent-priority-zero"] += 1
        if errors:
            counted = Counter(errors).items()
            self._warn("advert-send-failed", errors=", ".join(f"{_name(number)} ×{count}" for number, count in counted))
        if len(errors) < len(results):
            self._unsent = 0
            self._ways.retry.succeeded()
        elif NO_WAY.issuperset(errors) and self._ways.are_peers_gone():
            # The peers have vanished from the routing table, not this node from the network. Where hosts learn the
            # routes to each other by BGP, the last node has no route to its dead peers. It must serve on.
            self._warn(
                "peers-unreachable",
                detail="there is no route to any peer, but BGP neighbors are reached; adverts go on when there is one",
            )
            self._unsent = 0
        else:
            self._unsent += 1
        if self._unsent >= MUTE_ADVERTS and priority != LEAVING:
            self._unsent = 0
            self._after_adverts(partial(self._go_mute, tuple(dict.fromkeys(errors))))

    def _warn(self, event: str, **fields: object) -> None:
        name = self._common.name
        self._common.log.limited((name, event), Severity.WARNING, event, router=name, **fields)

    def _go_mute(self, errors: Collection[int]) -> None:
        if self._common.instance.router.role is Role.ACTIVE:
            self._ways.fail(f"no advert could be sent to any peer ({', '.join(map(_name, errors))})")

    def _copies(self, priority: int) -> list[Sent]:
        """Sends them; signed ones differ from each other, but not in the time that they tell."""
        peers, signer = self._common.configuration.destinations, self._signer
        sent: list[Sent] = []
        if signer is None:
            if (payloads := self._payloads.get(priority)) is None:
                payloads = [(peer, self._encoded(priority, peer), self.copies[peer]) for peer in peers]
                self._payloads[priority] = payloads
            for peer, payload, taken in payloads:
                sent += self._transmit(payload, peer, self._ways.links.get(peer, ()), taken)
            return sent
        realtime = self._realtime()
        for peer in peers:
            links = self._ways.links.get(peer, ())
            for number in range(max(1, len(links))):
                payload = self._encoded(priority, peer, lambda message: signer.trailer(message, realtime))
                sent += self._transmit(payload, peer, links[number : number + 1], self.copies[peer])
        return sent

    def _transmit(self, payload: bytes, peer: Address, links: Sequence[Link], taken: Counter[str]) -> Sequence[Sent]:
        """Send one copy over each of ``links``, and count in ``taken`` those that the kernel took."""
        results = self._transport.send(payload, peer, links)
        for sent in results:
            if sent.error is None:
                taken[sent.interface] += 1
        return results

    def _encoded(self, priority: int, peer: Address, trailer: Callable[[bytes], bytes] | None = None) -> bytes:
        source = self._common.configuration.source
        assert source is not None
        advertisement = self._common.instance.router.advertisement(priority)
        if self._common.configuration.version2 is not None:
            return version2.encode(advertisement, self._common.configuration.version2)
        return encode(advertisement, source, peer, self._ipv4_checksum, trailer)


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))
