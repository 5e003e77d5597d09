"""The paths from one virtual router to its peers, and whether there is any; pure.

Routes may change at any time. If the source address is gone from this host, or every interface that may carry adverts
is down or gone where these are named, no advert is sent or received. A node without any route to a peer is cut off,
unless the peers themselves have vanished. Both become a fault only after a while: a network manager that flushes an
interface restores it soon. If no advert can be sent (``adverts``), that is the same fault. It ends when there is a path
again.
"""

import math
from collections.abc import Callable

from exavrrp.backoff import RETRIES, Backoff
from exavrrp.common import Common
from exavrrp.instance import Fault
from exavrrp.ports import Link, Paths, Transport
from exavrrp.timers import Timer
from exavrrp.vrrp.packet import Address
from exavrrp.vrrp.router import Role

SOURCE_ADVERTS = 2
"""Advert intervals for which the source, or every path, may be missing before that is a fault: a network manager that
flushes an interface restores it sooner. A Backup that would take over within that time is in fault at once."""

MUTE_ADVERTS = 3
"""Adverts in a row of which no copy could be sent before that is a fault. Also intervals without an advert of any peer
before all count as dead (theirs, if these are longer). As long as a Backup waits."""


class Ways:
    """Which interfaces lead to each peer."""

    def __init__(self, common: Common, paths: Paths, transport: Transport, is_connected: Callable[[], bool]) -> None:
        """``is_connected`` tells whether a BGP neighbor whose session is up can be reached."""
        self.links: dict[Address, tuple[Link, ...]] = {}
        """by peer"""
        self.expected: dict[Address, tuple[int, ...]] = {}
        """interface indexes of ``links``, by peer"""
        self.heard_at = -math.inf
        """monotonic time of the last advert of any peer with another priority than 0"""
        self.interval = 0.0
        """seconds between its adverts"""
        self.retry = Backoff(common.timers, RETRIES, self._try_again)
        self._common = common
        self._paths = paths
        self._transport = transport
        self._is_connected = is_connected
        self._source_timer: Timer | None = None
        self._route_timer: Timer | None = None

    def configure(self, paths: Paths) -> None:
        """The configuration may have other peers, and ``paths`` may use other interfaces."""
        self._paths = paths
        peers = self._common.configuration.destinations
        self.links = {peer: links for peer, links in self.links.items() if peer in peers}
        self.expected = {peer: indexes for peer, indexes in self.expected.items() if peer in peers}
        self.look()

    def close(self) -> None:
        """The router is gone."""
        self.retry.cancel()
        for timer in (self._source_timer, self._route_timer):
            if timer is not None:
                timer.cancel()

    def look(self) -> None:
        """Read the routes again; not once the router is gone."""
        configuration = self._common.configuration
        if self._common.gone:
            return
        assert configuration.source is not None
        for peer in configuration.destinations:
            links = self._paths.toward(peer, configuration.source)
            if links != self.links.get(peer):
                for gone in (one for one in self.links.get(peer, ()) if one not in links):
                    self._transport.forget(gone.index)
                self.links[peer] = links
                self.expected[peer] = tuple(link.index for link in links)
                names = [link.name for link in links]
                self._common.log.info("paths-changed", router=self._common.name, peer=str(peer), interfaces=names)
        held = self._has_source()
        if not held and self._source_timer is None:
            self._source_timer = self._if_it_lasts(self._report_lost_source)
        elif held and self._source_timer is not None:
            self._source_timer.cancel()
            self._source_timer = None
        self._look_whether_cut_off()
        if Fault.ADVERTS in self._common.instance.faults and self._is_usable():
            self.retry.now()

    def _look_whether_cut_off(self) -> None:
        if self._is_cut_off():
            self._route_timer = self._route_timer or self._if_it_lasts(self._report_cut_off)
        elif self._route_timer is not None:
            self._route_timer.cancel()
            self._route_timer = None

    def _if_it_lasts(self, act: Callable[[], None]) -> Timer:
        return self._common.timers.call_later(SOURCE_ADVERTS * self._common.configuration.advert_interval, act)

    def _has_source(self) -> bool:
        """Whether this host has the source, and an interface that may carry adverts is up."""
        source = self._common.configuration.source
        assert source is not None
        return self._paths.is_up() and self._paths.holds(source)

    def _report_lost_source(self) -> None:
        """Without its source a Backup receives nothing, and would become Active too."""
        configuration = self._common.configuration
        source, medium = configuration.source, configuration.medium
        assert source is not None
        if Fault.ADVERTS in self._common.instance.faults:
            return
        if self._paths.holds(source):
            names = ", ".join(configuration.interfaces or ())
            self.fail(f"no interface that may carry its adverts is up ({names}); set it up again")
        else:
            where = "lo" if medium is None else medium.interface
            self.fail(f"the source {source} is no address of this host any more; add it to {where} again")

    def _report_cut_off(self) -> None:
        """A Backup that is cut off would take over, bind its addresses, and only then find that it can send no advert.

        Addresses that are bound already (by a predecessor, or as a standby) stay: sessions may not be known yet.
        """
        self._route_timer = None
        self._leave_if_cut_off()
        self._look_whether_cut_off()

    def _leave_if_cut_off(self) -> None:
        instance = self._common.instance
        idle = instance.router.role is Role.BACKUP and instance.presence.level is None
        if idle and self._is_cut_off() and Fault.ADVERTS not in instance.faults:
            self.fail("no advert could be sent: there is no route to any peer, and no BGP neighbor is reached")

    def before_takeover(self) -> None:
        """A Backup has heard nothing for long enough. What it could not hear says nothing of the Active."""
        if self._common.instance.router.role is not Role.BACKUP:
            return
        if self._has_source():
            self._leave_if_cut_off()
        else:
            self._report_lost_source()

    def fail(self, detail: str) -> None:
        """Leave the election until there is a path again: adverts are not sent, or not received."""
        self._common.fail(Fault.ADVERTS, detail)
        self.retry.failed()

    def _try_again(self) -> None:
        if self._is_usable():
            self._common.recover(Fault.ADVERTS)
        else:
            self.retry.later()  # nothing was tried

    def _is_cut_off(self) -> bool:
        return not any(self.links.values()) and not self._is_connected()

    def _is_usable(self) -> bool:
        """Whether this host has the source, and a route to a peer (or all peers are dead)."""
        return (any(self.links.values()) or self.are_peers_gone()) and self._has_source()

    def are_peers_gone(self) -> bool:
        """Whether all peers seem dead: none was heard lately, although a BGP neighbor can be reached.

        On a link no advert needs a route to a peer: if it cannot be sent there, that says nothing of the peers.
        """
        common = self._common
        if common.configuration.medium is not None:
            return False
        interval = max(common.configuration.advert_interval, self.interval)
        quiet = common.timers.time() - self.heard_at > MUTE_ADVERTS * interval
        return quiet and self._is_connected()

    # What arrives over them

    def leading_to(self, peer: Address) -> tuple[Link, ...]:
        """The interfaces over which adverts of ``peer`` are expected."""
        return self.links.get(self._common.configuration.multicast or peer, ())

    def expected_from(self, peer: Address) -> tuple[int, ...]:
        """Their indexes."""
        found = self.expected.get(peer)
        return self.expected[self._common.configuration.multicast or peer] if found is None else found

    def path_changed(self, peer: Address, index: int, *, quiet: bool) -> None:
        """Adverts of ``peer`` arrive no longer over the interface with this index (``quiet``), or again."""
        log = self._common.log
        where = {"peer": str(peer), "interface": self._paths.interface_name(index)}
        if quiet:
            log.warning("path-quiet", router=self._common.name, **where)
        else:
            log.info("path-restored", router=self._common.name, **where)

    def interface_name(self, index: int) -> str:
        """The name of an interface."""
        return self._paths.interface_name(index)
