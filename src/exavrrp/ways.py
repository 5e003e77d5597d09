"""The ways from one virtual router to its peers, and whether there is any; pure.

Where the routes lead may change at any time. With a source that is gone from this host nobody hears us, and we nobody;
a node without any route is cut off, unless it is the peers that have vanished. A network manager that flushes an
interface puts it back soon, so both become a fault only when they last. That no advert can be sent (``adverts``) is the
same fault, and all three are over when there is a way again.
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
"""Advert intervals for which the source, or every way, may be gone from this host before that is a fault: a network
manager that flushes an interface puts it back sooner, and a Backup that hears nothing takes over later (after 3)."""

MUTE_ADVERTS = 3
"""Adverts in a row of which no copy could be sent before that is a fault, or that no peer has sent before none seems to
live: as patient as a Backup."""


class Ways:
    """Which interfaces lead to each peer."""

    def __init__(self, common: Common, paths: Paths, transport: Transport, is_connected: Callable[[], bool]) -> None:
        """``is_connected`` tells whether a BGP neighbour whose session is up can be reached."""
        self.links: dict[Address, tuple[Link, ...]] = {}
        """by peer, as far as they are known"""
        self.expected: dict[Address, tuple[int, ...]] = {}
        """indexes of these"""
        self.heard_at = -math.inf
        """when a peer was heard last that does not leave"""
        self.retry = Backoff(common.timers, RETRIES, self._try_again)
        self._common = common
        self._paths = paths
        self._transport = transport
        self._is_connected = is_connected
        self._sourceless: Timer | None = None
        self._wayless: Timer | None = None

    def configure(self, paths: Paths) -> None:
        """The peers, and the interfaces that may lead to them, may be others now."""
        self._paths = paths
        peers = self._common.configuration.peers
        self.links = {peer: links for peer, links in self.links.items() if peer in peers}
        self.expected = {peer: indexes for peer, indexes in self.expected.items() if peer in peers}
        self.look()

    def close(self) -> None:
        """The router is gone."""
        self.retry.cancel()
        for timer in (self._sourceless, self._wayless):
            if timer is not None:
                timer.cancel()

    def look(self) -> None:
        """The routes may have changed."""
        configuration = self._common.configuration
        assert configuration.source is not None
        for peer in configuration.peers:
            links = self._paths.toward(peer, configuration.source)
            if links != self.links.get(peer):
                for gone in (one for one in self.links.get(peer, ()) if one not in links):
                    self._transport.forget(gone.index)
                self.links[peer] = links
                self.expected[peer] = tuple(link.index for link in links)
                names = [link.name for link in links]
                self._common.log.info("paths-changed", router=self._common.name, peer=str(peer), interfaces=names)
        held = self._paths.holds(configuration.source)
        if not held and self._sourceless is None:
            self._sourceless = self._if_it_lasts(self._lose_source)
        elif held and self._sourceless is not None:
            self._sourceless.cancel()
            self._sourceless = None
        self._look_whether_cut_off()
        if Fault.ADVERTS in self._common.instance.faults and self._is_there_any():
            self.retry.now()

    def _look_whether_cut_off(self) -> None:
        if self._is_cut_off():
            self._wayless = self._wayless or self._if_it_lasts(self._stay_out)
        elif self._wayless is not None:
            self._wayless.cancel()
            self._wayless = None

    def _if_it_lasts(self, act: Callable[[], None]) -> Timer:
        return self._common.timers.call_later(SOURCE_ADVERTS * self._common.configuration.advert_interval, act)

    def _lose_source(self) -> None:
        """With a source that is gone a Backup would take over beside the Active."""
        if Fault.ADVERTS not in self._common.instance.faults:
            source = self._common.configuration.source
            self.fail(f"the source {source} is no address of this host any more; add it to lo again")

    def _stay_out(self) -> None:
        """A Backup that is cut off hears nobody: it would take over, bind, and find out then that it can tell nobody.

        What is bound already (by a predecessor, or as a standby) is not given up for it: sessions may not be known yet.
        """
        self._wayless = None
        instance = self._common.instance
        idle = instance.router.role is Role.BACKUP and instance.presence.level is None
        if idle and self._is_cut_off() and Fault.ADVERTS not in instance.faults:
            self.fail("no advert could be sent: there is no route to any peer, and no BGP neighbor is reached")
        self._look_whether_cut_off()

    def fail(self, detail: str) -> None:
        """Adverts do not leave, or do not come in: out of the election until there is a way again."""
        self._common.fail(Fault.ADVERTS, detail)
        self.retry.failed()

    def _try_again(self) -> None:
        if self._is_there_any():
            self._common.recover(Fault.ADVERTS)
        else:
            self.retry.failed()

    def _is_cut_off(self) -> bool:
        return not any(self.links.values()) and not self._is_connected()

    def _is_there_any(self) -> bool:
        """Whether it makes sense to take part: adverts have somewhere to go, and come from an address that we have."""
        source = self._common.configuration.source
        assert source is not None
        return (any(self.links.values()) or self.are_peers_gone()) and self._paths.holds(source)

    def are_peers_gone(self) -> bool:
        """Whether no peer seems to live: who is heard takes over from us, and must not do so beside us."""
        common = self._common
        quiet = common.timers.time() - self.heard_at > MUTE_ADVERTS * common.configuration.advert_interval
        return quiet and self._is_connected()

    # What comes over them

    def path_changed(self, peer: Address, index: int, *, quiet: bool) -> None:
        """Nothing comes from ``peer`` over an interface any more, or something again."""
        log = self._common.log
        where = {"peer": str(peer), "interface": self._paths.interface_name(index)}
        if quiet:
            log.warning("path-quiet", router=self._common.name, **where)
        else:
            log.info("path-restored", router=self._common.name, **where)

    def interface_name(self, index: int) -> str:
        """The name of an interface."""
        return self._paths.interface_name(index)
