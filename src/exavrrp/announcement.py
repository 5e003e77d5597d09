"""What ExaBGP is to announce for one virtual router, and what it has made of that; pure.

Routes are a wanted set, as the presence of the router and its policy say. ExaBGP answers each command, or refuses it,
or says nothing. From that follows whether this node can serve at all: what is refused again and again is a fault, and
after that the address is taken ever more rarely. What ExaBGP may be announcing the speaker alone knows, which sends the
commands (``ports.Speaker.may_announce``). ``Announcer`` is ExaBGP for all routers, as long as it lives.
"""

from collections.abc import Callable, Iterable

from exavrrp import events, ports
from exavrrp.backoff import Backoff
from exavrrp.common import Common
from exavrrp.config import VirtualRouter as Configuration
from exavrrp.history import Phase
from exavrrp.instance import Fault
from exavrrp.routes import Level, Network, Route
from exavrrp.takeover import RoutePolicy
from exavrrp.vrrp.packet import Address

REFUSALS = 2
"""Refusals of one wish in a row, a second apart, before that is a fault. The first answer may have been another's."""

REATTEMPTS = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds out of the election after an announcement was refused and its withdraw accepted; the last one for ever. Each
new attempt takes the address from another node for as long as ``REFUSALS`` last."""

Basis = tuple[RoutePolicy, int, frozenset[Network], int, bool]
"""Attributes and this node's place in them, the prefixes that are withheld, the silent failures that count, and whether
it is a last resort."""

KEPT = (
    "these neighbors' api in exabgp.conf has stopped listing this process, so ExaBGP cannot withdraw the route there; "
    "the addresses stay bound (not if handover is break-before-make). List it again and reload ExaBGP (SIGUSR1)"
)


class Announcement:
    """The routes of one virtual router."""

    def __init__(self, common: Common, announcer: "Announcer", know_answers: Callable[[], None]) -> None:
        """``know_answers`` is called when it is known that ExaBGP carries out our commands, or does not."""
        self.level: Level | None = None
        """as what ExaBGP has accepted to announce it"""
        self._common = common
        self._announcer = announcer
        self._know_answers = know_answers
        self._retry = Backoff(common.timers, REATTEMPTS, lambda: common.recover(Fault.ANNOUNCEMENT))
        self._refusals: dict[Network, str] = {}
        """of which prefixes ExaBGP does not carry out the last wish, and what it does instead"""
        self._accepted: frozenset[Network] = frozenset()
        """prefixes that ExaBGP has announced, and has not been told to withdraw since"""
        self.kept: dict[Network, tuple[Address, ...]] = {}
        """withdrawn prefixes that ExaBGP still announces to these neighbors, and cannot withdraw there"""
        self._withheld: frozenset[Network] = frozenset()
        """prefixes that are not to be announced before lo carries all addresses that are new"""

    # What is wanted

    def wanted(self) -> list[Route]:
        """What ExaBGP is to announce now."""
        configuration, level = self._common.configuration, self._common.instance.presence.level
        if level is None:
            return []
        presence, takeovers = self._common.instance.presence, self._common.instance.takeovers
        context = takeovers.context(last_resort=presence.last_resort, place=configuration.place)
        attributes = configuration.route_policy.at(level, context)
        return [Route(network, attributes) for network in configuration.announce if network not in self._withheld]

    def change_wanted(self) -> dict[Network, Route | None]:
        """What ExaBGP is to be told: routes, and what is to be withdrawn. Nothing yet of what is withheld."""
        level = self._common.instance.presence.level
        wanted = {route.network: route for route in self.wanted()}
        return {one: wanted.get(one) for one in self.networks if level is None or one not in self._withheld}

    def configure(self, before: Configuration, *, bound: bool) -> None:
        """The prefixes and attributes may be others now; ``bound``: whether its addresses are on lo."""
        after = self._common.configuration
        known = frozenset(before.announce) - self._withheld
        if bound and set(before.on_lo) != set(after.on_lo):
            self._withheld = frozenset(after.announce) - known
        else:
            self._withheld &= frozenset(after.announce)
        self._refusals = {network: how for network, how in self._refusals.items() if network in after.announce}
        self._accepted &= frozenset(after.announce)
        self.kept = {network: those for network, those in self.kept.items() if network in after.announce}
        told = [(one.announce, one.route_policy, one.place) for one in (before, after)]
        if told[0] != told[1]:
            self.announce() if self._common.instance.presence.level is not None else self.change()

    def bound(self) -> None:
        """Lo carries all addresses: what was withheld until then is announced."""
        if self._withheld:
            self._withheld = frozenset()
            self.announce()

    def close(self) -> None:
        """The router is gone."""
        self._retry.cancel()

    def last(self) -> list[Route]:
        """What ExaBGP may have been told last; before the first announcement, what would be."""
        configuration = self._common.configuration
        return self.wanted() or [Route(network, configuration.route_policy.leaving) for network in self.networks]

    @property
    def basis(self) -> Basis:
        """What ``last`` depends on, besides ``networks`` and the level: compared at each advert, so nothing is made."""
        configuration, instance = self._common.configuration, self._common.instance
        number = instance.takeovers.failures.number
        last_resort = instance.presence.last_resort
        return configuration.route_policy, configuration.place, self._withheld, number, last_resort

    @property
    def networks(self) -> tuple[Network, ...]:
        """The prefixes of these routes."""
        return self._common.configuration.announce

    def announce(self) -> None:
        """Something is to be announced, or what is announced changes."""
        if self.networks:
            self._common.reach(Phase.ANNOUNCED)
        self.change()

    def change(self) -> None:
        """Have ExaBGP carry out what is wanted now."""
        if self._common.instance.presence.level is None:
            self._accepted = frozenset()
        self.kept.clear()
        self._announcer.announce(self)
        self.look()

    def follow_clock(self, offset: Callable[[], float]) -> None:
        """Be Active since a time by the clock as it is now, if it was set; ``offset``: from the monotonic one to it."""
        instance = self._common.instance
        if instance.presence.level is Level.ACTIVE:
            now = self._common.timers.time()
            if instance.takeovers.time.follow_clock(now + offset(), now):
                self._announcer.announce(self)

    # What came of it

    @property
    def is_confirmed(self) -> bool:
        """Whether ExaBGP has carried out everything that is wanted now; of nothing it has, even before it answers."""
        return not self.networks or self._announcer.has_carried_out(self, self.networks)

    def is_carried_out(self, network: Network) -> bool:
        """Whether ExaBGP has carried out what is wanted of one of our prefixes."""
        return self._announcer.has_carried_out(self, (network,))

    @property
    def may_be_announced(self) -> bool:
        """Whether ExaBGP may announce any of our prefixes (``ports.Speaker.may_announce``)."""
        return self._announcer.may_announce(self)

    @property
    def is_announced(self) -> bool:
        """Whether ExaBGP certainly announces all of our prefixes, in the form that is wanted or in an earlier one."""
        return self._accepted.issuperset(self.networks)

    def answered(self, network: Network) -> None:
        """ExaBGP has carried out what is wanted of one of our prefixes."""
        self._refusals.pop(network, None)
        self.kept.pop(network, None)
        self.look()

    def doubted(self, network: Network) -> None:
        """ExaBGP may not have announced one of our prefixes, although it seemed to have answered that."""
        self._accepted -= {network}

    def is_kept(self, network: Network, neighbors: tuple[Address, ...]) -> None:
        """ExaBGP has withdrawn one of our prefixes from all neighbors but these."""
        common = self._common
        if neighbors != self.kept.get(network):
            told = {"prefix": str(network), "neighbors": [str(one) for one in neighbors]}
            common.log.warning("route-kept", router=common.name, **told, detail=KEPT)
        self.kept[network] = neighbors
        common.tell(events.Kept(common.name))

    def refused(self, network: Network, times: int, *, silent: bool = False) -> None:
        """ExaBGP has not carried out what is wanted of one of our prefixes, for the ``times``-th time in a row.

        ``silent``: it has not said so. With ``min_sessions = 0`` BGP has no say in the election: it is told, no more.
        """
        common = self._common
        self._refusals[network] = "does not answer for" if silent else "refuses"
        if times < REFUSALS or common.configuration.min_sessions == 0:
            return
        self._retry.cancel()
        if Fault.ANNOUNCEMENT not in common.instance.faults:
            if common.instance.presence.level is not None:
                self._retry.failures += 1
            what = ", ".join(f"{how} {network}" for network, how in self._refusals.items())
            detail = f"ExaBGP {what}: see its log, and whether each neighbor lists this process in api {{ processes }}"
            common.log.error("route-not-accepted", router=common.name, detail=detail)
            common.fail(Fault.ANNOUNCEMENT, detail)
        self._know_answers()

    def look(self) -> None:
        """ExaBGP may have carried out everything. After a refusal the next attempt is made ever more rarely."""
        common = self._common
        level = common.instance.presence.level
        if not self.is_confirmed:
            return
        self._accepted = frozenset() if level is None else frozenset(self.networks) - self._withheld
        if not self.networks:
            self.level = None
        elif level is not self.level:
            self.level = level
            self._common.reach(Phase.WITHDRAWN if level is None else Phase.CONFIRMED)
            prefixes = [str(network) for network in self.networks]
            if level is None:
                common.log.info("route-withdrawn", router=common.name, prefixes=prefixes)
            else:
                common.log.info("route-announced", router=common.name, prefixes=prefixes, state=level)
        if level is None:
            common.tell(events.Withdrawn(common.name))
        elif level is Level.ACTIVE:
            self._retry.failures = 0
        if Fault.ANNOUNCEMENT in common.instance.faults and not self._retry.pending:
            self._retry.later()
        self._know_answers()

    def retry(self) -> None:
        """ExaBGP may accept now what it refused: do not wait any longer before the next attempt."""
        self._retry.failures = 0
        if self._retry.pending:
            self._retry.later()


class Announcer:
    """ExaBGP, as long as it lives. Once it is gone, or going, its sessions withdraw everything."""

    def __init__(self, speaker: ports.Speaker) -> None:
        self.gone = False
        self._speaker = speaker

    def announce(self, one: Announcement) -> None:
        """Have it announce what ``one`` wants now; of all others nothing changes."""
        if not self.gone:
            self._speaker.change(one.change_wanted())

    def withdraw(self, networks: Iterable[Network]) -> None:
        """Have it announce these no longer, whatever a router wants."""
        if not self.gone:
            self._speaker.change(dict.fromkeys(networks))

    def set(self, announcements: Iterable[Announcement]) -> None:
        """Have it announce what these want now, and nothing else of ours."""
        if not self.gone:
            self._speaker.set(route for one in announcements for route in one.wanted())

    def flush(self) -> None:
        """Say now what it is to be told."""
        if not self.gone:
            self._speaker.flush()

    def has_carried_out(self, one: Announcement, networks: Iterable[Network]) -> bool:
        """Whether it has carried out what ``one`` wants of these; when it is gone, nothing else comes of that."""
        return not one.wanted() if self.gone else self._speaker.has_carried_out(networks)

    def may_announce(self, one: Announcement) -> bool:
        """Whether it may announce any prefix of ``one``, whatever that wants."""
        return self._speaker.may_announce(one.networks)
