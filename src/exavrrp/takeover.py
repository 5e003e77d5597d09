"""The routes that a new Active's route has to beat, and the attributes with which it does; pure.

A node that dies with its links up leaves its route in the routers until the BGP hold time, and a node that is
superseded withdraws its own a little later. The route of a new Active has to win over both. There are means to that,
which can be used together (``Takeover``), and they remember two things:

- the MED encodes the time at which a node became Active (``TakeoverTime``): the later, the better; and the node's place
  among all of them, so that no two ever announce the same (``takeover_med``);
- with each silent failure (``SilentFailures``) the path to eBGP neighbors gets shorter by one, or the local preference
  at iBGP neighbors greater by one: the dead node's route was as good as the number of failures that counted when it
  died.

A node may take over although the Active lives, because it does not hear it: it is *deaf*, draws the traffic, and knows
of nothing. ``Rivals`` notices that, and the rightful Active *reclaims* the traffic: by a later second, and one step
more in the path.

``TakeoverHistory`` is what one virtual router remembers of this, ``RoutePolicy`` the configured attributes of each
state, and ``RoutePolicy.at`` makes attributes of both. A successor of this process is given ``active_since`` and
``remembered``. This file must not know of elections, clocks or sockets: adverts and the time come in.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, assert_never

from exavrrp.routes import DEFAULT_LOCAL_PREFERENCE, LARGEST, Attributes, Level, Network, Route
from exavrrp.vrrp.packet import LEAVING, OWNER, Address
from exavrrp.vrrp.router import DOWN_COUNT

# Silent failures

EARLY = 0.5
"""Intervals: an Active that is followed by another one has failed silently if no advert of it was heard for as many
intervals as a Backup waits for (``down_count``), less these."""

PATIENCE = 2.5
"""Intervals of a deaf node within which it is heard again, although one advert is lost, and the next one is late."""

PACE = 1.0
"""Seconds between two failures that are forgotten: more than routers need to tell each other."""

ABSENCE = 1.0
"""Seconds for which an agent is away at most when it is killed, about: ExaBGP starts another one at once."""

MOST = 64
"""Silent failures that are counted: more than there can be prepends to be taken away."""


class Count(NamedTuple):
    """The number of silent failures, and the time of the last one."""

    number: int
    latest: float
    """when the last of them was noticed"""


NO_FAILURES = Count(0, 0.0)


class _Advertiser(NamedTuple):
    """A node, by its last advert."""

    source: Address | None
    """None: this node"""
    priority: int
    last: float
    """when that advert was heard"""
    interval: float


@dataclass(frozen=True, slots=True)
class _Successor:
    """The node that follows a silent failure."""

    source: Address | None
    """None: this node"""
    since: float
    number: int
    """failures that counted for it then"""


class SilentFailures:
    """Counts the Actives of one virtual router that failed without priority 0. Times are seconds of a monotonic clock.

    The node that advertises is the Active. When another node begins to advertise, one of three things has happened:

    - the Active had sent priority 0: it leaves in order, and withdraws its route itself;
    - the Active was heard a moment ago: it was superseded, lives, and de-prefers its route itself;
    - it had not been heard for longer than ``quiet`` of its intervals: a silent failure. That is less than the three
      intervals after which a Backup acts (RFC 9568 §6.1), and more than what one lost advert makes of a preemption.
      (With a ``down_count`` of 2 it is not: a preemption right after a lost advert counts, too.)

    Who is superseded may send one more advert, which arrives after the better one's first. It is no Active by that: if
    the better one dies before its next advert, the failure is the better one's, whoever follows.

    An Active may die while a node that does not hear it advertises beside it. That one goes on, and the Active's
    failure counts when a third node advertises, within the window: its route has to win over both.

    Every node counts every failure, its own and those of others, so all who hear the same adverts come to the same
    number. A node that took over from a silent one, and then hears an Active again, does not know whether that one was
    away, or was there all the time and has reclaimed the traffic. If so, it has counted one more. So all count one more
    when that node takes over next, unless it served for the whole window: a node that was away for so long is the more
    likely, and would reclaim in vain if the other one is deaf next. (A node that was stopped for a while counts its own
    failure when its successor's advert arrives.) The number is forgotten when no node has failed for a window that is
    at least as long as the hold time. No part of it is forgotten earlier, because each route that a dead node has left
    is as good as the number that counted when it died. Then they are forgotten one by one: when a path becomes longer
    by two at once, a detour over another router's old route looks as short (seen with BIRD).
    """

    def __init__(self, window: float, down_count: int = DOWN_COUNT) -> None:
        """``window``: seconds without a silent failure after which they are forgotten; above 0. ``down_count``: missed
        intervals after which Backups act. Both may be changed.
        """
        self.down_count = down_count
        self.number = 0
        """failures that count, as of the last ``recount``: what this node's route is made with"""
        self.deadline: float | None = None
        """when ``recount`` will find less; None: nothing counts"""
        self.window = window
        self._active: _Advertiser | None = None
        self._other: _Advertiser | None = None
        """the last advertiser that was not this node"""
        self._best: _Advertiser | None = None
        """who advertises with the greatest priority, or has done so until it fell silent, and nobody has followed it"""
        self._count = NO_FAILURES
        self._forgotten = 0
        """of that number"""
        self._alone: _Successor | None = None
        """who follows a silent failure, until a better node advertises"""
        self._superseded: tuple[Address | None, float] = None, -math.inf
        """whom a better one superseded, and until when its adverts may have left before it knew that"""
        self._kept = -math.inf
        """until when nothing is forgotten, because a deaf node goes on"""
        self._perhaps: tuple[Address | None, Address | None, Count] | None = None
        """who followed one last, the better one that was heard then, and what counts if the former was deaf until then,
        and the traffic was reclaimed from it"""

    def heard(self, source: Address, priority: int, interval: float, now: float) -> None:
        """An advert of a peer was accepted; ``interval`` is the one that it tells."""
        before, this = self._active, _Advertiser(source, priority, now, interval)
        if self._is_routine(this):
            self._active = self._other = self._best = this
            return
        another = before is None or before.source != source
        if self._is_last_word(this):
            return
        if priority != LEAVING or not another:  # else its successor has advertised already
            self._meet(this)
            if before is not None and another and not self._outlives(source, before, now) and self._fell(before, now):
                self._follow(source, before, now)
            self._active = self._other = this
        self._lead(this)

    def sent(self, priority: int, interval: float, now: float) -> None:
        """This node has sent an advert."""
        before, this = self._active, _Advertiser(None, priority, now, interval)
        if self._is_routine(this):
            self._active = self._best = this
            return
        if self._is_last_word(this):
            return
        if priority != LEAVING or (before is not None and before.source is None):
            self._meet(this)
            if before is not None and before.source is not None:
                self._outlives(None, before, now)
            self._active = this
        self._lead(this)

    def took_over(self, now: float) -> None:
        """This node has become Active because no advert arrived; before or after its first advert."""
        if self._alone != _Successor(None, now, self._count.number):  # else its first advert has counted
            self._follow(None, self._other, now)
        # Our first advert is still to come, and the node that was followed is gone.
        if self._active is self._other:
            self._active = None

    def resumed(self, now: float) -> None:
        """An earlier process of this node was Active until a while ago; before anything else.

        An interval of 0: a node whose advert arrives before this process sends one has taken over from a silent
        failure.
        """
        self._active = _Advertiser(None, OWNER, now, 0.0)

    def recall(self, count: Count, now: float) -> None:
        """Take over the count of an earlier process of this node; before anything else."""
        if count.latest <= now:
            self._remember(count._replace(number=min(count.number, MOST)))
            self.recount(now)

    def counted_by(self, earlier: Count, interval: float, now: float) -> Count:
        """What counts for a node that takes over ``now`` because it does not hear the Active: one more than before.

        ``earlier``: what has counted for it alone; ``interval``: of the Active's adverts.
        """
        missed = now - (self.down_count + self.quiet) * interval - ABSENCE
        perhaps = NO_FAILURES if self._perhaps is None or self._perhaps[2].latest == now else self._perhaps[2]
        return Count(max(self._known(one, missed) for one in (self._count, earlier, perhaps)) + 1, now)

    def has_found(self, source: Address, since: float, interval: float) -> bool:
        """Whether this node may have been deaf itself until about ``since``, when it first heard this other Active."""
        if self._perhaps is None or self._perhaps[0] is not None:
            return False
        _, better, count = self._perhaps
        return source != better and abs(since - count.latest) <= self.quiet * interval

    def reclaimed(self, number: int, now: float) -> None:
        """The Active outbids a deaf node for which ``number`` count."""
        self._remember(Count(min(max(number + 1, self._known(self._count, now)), MOST), now))

    def keep(self, interval: float, now: float) -> None:
        """Nothing is forgotten yet: a deaf node goes on, and its route is longer by one for ever.

        ``interval``: of its adverts, the next of which may be lost: nothing is forgotten before the one after it.
        """
        patience = PATIENCE * interval
        self._kept = max(self._kept, now + patience)
        late = min(self.window / 2, self.window - patience)
        if self._count.number and not self._forgotten and now - self._count.latest > late:
            self._remember(self._count._replace(latest=now))

    def _is_routine(self, this: _Advertiser) -> bool:
        """Whether the best Active says the same once more, and nothing is open: as it nearly always is. Then nothing
        else would come of it, and addresses take long to compare.
        """
        best = self._best
        if best is None or best is not self._active or best.source is not this.source:
            return False
        return best.priority == this.priority and self._perhaps is None

    def _fell(self, one: _Advertiser, now: float) -> bool:
        """Whether it fell silent, without a word."""
        return one.priority != LEAVING and now - one.last > self.quiet * one.interval

    def _outlives(self, source: Address | None, before: _Advertiser, now: float) -> bool:
        """Whether a node (None: this one) follows the best Active, which has died beside another one."""
        best = self._best
        beside = best is not None and best.source not in (source, before.source)
        if best is None or not beside or not self._fell(best, now) or now - best.last > self.window:
            return False
        self._follow(source, best, now)
        return True

    def _is_last_word(self, this: _Advertiser) -> bool:
        """Whether it was sent by one that a better one has superseded a moment ago."""
        before, (source, until) = self._active, self._superseded
        if this.source == source and this.last <= until:
            return True
        if before is not None and before.source != this.source and this.priority > before.priority != LEAVING:
            self._superseded = before.source, this.last + EARLY * this.interval
        return False

    def _lead(self, one: _Advertiser) -> None:
        """Whether it is the best from now on. Who is no worse than one that fell silent may have superseded that."""
        best = self._best
        if best is not None and best.source == one.source:
            self._best = None if one.priority == LEAVING else one
        elif one.priority != LEAVING and (
            best is None
            or one.priority > best.priority
            or (one.priority == best.priority and self._fell(best, one.last))
        ):
            self._best = one

    def _follow(self, source: Address | None, silent: _Advertiser | None, now: float) -> None:
        """A node (None: this one) follows one that has failed silently.

        One more counts than what did when that one was last heard: it may have announced that.
        """
        # Or what had counted until a moment before: it has heard of the failure before later than we have, by some
        # intervals, or when its agent came back, and forgets it as much later.
        heard = now if silent is None else silent.last - self.quiet * silent.interval - ABSENCE
        latest = now if silent is None else self._noticed(silent, now)
        known = self._known(self._count, heard)
        if self._perhaps is not None and self._perhaps[0] == source:
            known, self._perhaps = max(known, self._known(self._perhaps[2], heard)), None
        number = min(known + 1, MOST)
        self._remember(Count(number, latest))
        self._alone = _Successor(source, now, number)
        self._best = None

    def _meet(self, this: _Advertiser) -> None:
        """A node advertises: who is worse and followed a silent failure may have been deaf until now."""
        best, alone, now = self._best, self._alone, this.last
        if best is None or this.priority < best.priority:
            return
        if best.source == this.source:
            perhaps, just_now = self._perhaps, now - self.quiet * this.interval
            if perhaps is not None and perhaps[0] == this.source and perhaps[2].latest >= just_now:
                self._perhaps = None  # it goes on, and is the better of two with the same priority
        elif alone is not None:
            self._alone = None
            was_there = best.source == alone.source and not self._fell(best, now)
            if was_there and GOES_ON * this.interval <= now - alone.since < self.window:
                self._perhaps = (alone.source, this.source, Count(min(alone.number + 1, MOST), now))

    @property
    def quiet(self) -> float:
        """Intervals without an advert after which an Active that is followed by another one has failed silently."""
        return self.down_count - EARLY

    @property
    def remembered(self) -> Count | None:
        """For a successor of this process, which expires it by itself; None: no node has failed yet."""
        return self._count if self._count.number else None

    def recount(self, now: float) -> bool:
        """Bring ``number`` up to date; whether it has changed."""
        while self.deadline is not None and self.deadline <= now:
            self._forgotten += 1
            self.deadline = self.deadline + PACE if self._forgotten < self._count.number else None
        before, self.number = self.number, self._count.number - self._forgotten
        return self.number != before

    def _known(self, count: Count, heard: float) -> int:
        """What of ``count`` was not forgotten yet by a node that was heard last at ``heard``."""
        late = heard - count.latest - self.window
        return count.number if late < 0 else max(0, count.number - 1 - int(late / PACE))

    def _noticed(self, silent: _Advertiser, now: float) -> float:
        """When others noticed what this node has noticed ``now``: earlier, if this node was stopped itself.

        It must not count its own failure for longer than they do.
        """
        stopped = silent.source is None and silent.interval > 0  # an earlier process was not
        return min(now, silent.last + self.down_count * silent.interval) if stopped else now

    def _remember(self, count: Count) -> None:
        self._count = count
        self._forgotten = 0
        self.deadline = max(count.latest + self.window, self._kept)


# Takeover time

EPOCH = 1_700_000_000
"""2023-11-14T22:13:20Z, from which a MED counts. A clock before that is not set."""

PLACES = 16
"""Nodes of one election whose MEDs differ whatever they have heard of each other: 4 of the 32 bits of a MED."""

WORST = LARGEST - 257
"""The largest MED of an Active: the next 256 are those of Backups, one for each priority, and the last one is of a node
that leaves."""

SECONDS = (WORST + 1) // PLACES
"""Seconds that a MED has room for, eight and a half years: it begins again on 2032-05-17, and then as often."""

AHEAD = 3
"""Seconds, at most, by which a takeover time is later than the takeover. A clock that was ahead, or two nodes that are
both Active and are heard in turn, must not use up future seconds."""


def takeover_med(since: int, place: int) -> int:
    """The MED of a node that is Active since ``since``, whole seconds since 1970; the smaller one is preferred.

    Of two nodes the one that became Active in a later second wins, and of two in the same second the one with the
    larger ``place``. Places are counted from 0, and different on nodes whose lists of peers agree, up to ``PLACES`` of
    them. Before ``EPOCH`` it is the worst; after ``SECONDS`` it is the worst again, and gets better from there.
    """
    return WORST - PLACES * (max(0, since - EPOCH) % SECONDS) - place % PLACES


def _round(time: float) -> int:
    """How often MEDs have begun again by then; negative before ``EPOCH``."""
    return int((time - EPOCH) // SECONDS)


class TakeoverTime:
    """Since when this node is Active, in whole seconds since the epoch, later than any Active before it.

    A node that takes over within the same second as the node before it has to win over that one's route. Hence it takes
    a later second, and all nodes that receive the same adverts agree. Nodes that do not hear each other may take the
    same one: their places decide.
    """

    def __init__(self) -> None:
        self.active_since: int | None = None
        """the takeover time of this node, or of its process before; None: it has never been Active"""
        self._following: Address | None = None
        """the other node whose advert as Active was accepted last"""
        self._latest = 0
        """the second that the last node took which became Active"""
        self._clock: float | None = None
        """seconds from the monotonic clock to the other one, when they were last compared; None: not yet"""

    def resume(self, since: int | None) -> None:
        """An earlier process of this node was Active since then; None: it has not noted when. Before anything else."""
        self.active_since, self._latest = since, since or 0

    def heard(self, source: Address, priority: int, now: float) -> None:
        """An advert of another node was accepted, and did not lose against this node."""
        if priority != LEAVING and source != self._following:
            self._following = source
            self._take(now)
        elif priority == LEAVING and source == self._following:
            self._following = None  # it may begin anew

    def begin(self, now: float, monotonic: float) -> None:
        """This node becomes Active; ``monotonic``: the same moment by the clock that nobody sets."""
        self._following = None
        self._clock = now - monotonic
        self.active_since = self._take(now)

    def reclaim(self, now: float) -> None:
        """This node is Active, and so is one that does not hear it, which has taken the present second at the most."""
        self._take(now)
        self.active_since = self._take(now)

    def follow_clock(self, now: float, monotonic: float) -> bool:
        """This node is Active: begin anew if the clock was set, or MEDs have begun again; whether that is so.

        No successor's route could be better than one with a future time, or with one at the end of all MEDs. And with
        a time by a clock that was behind, this node's may have been worse than a stale one, and is better now.
        """
        since, before = self.active_since, self._clock
        self._clock = now - monotonic
        put_forward = before is not None and self._clock - before > AHEAD
        anew = since is not None and (put_forward or since > now + AHEAD or _round(since) < _round(now))
        if anew:
            self.begin(now, monotonic)
        return anew

    def _take(self, now: float) -> int:
        second = int(now)
        recent = second <= self._latest <= second + AHEAD
        self._latest = min(self._latest + 1, second + AHEAD) if recent else second
        return self._latest


# Deaf nodes

GOES_ON = 1.5
"""Intervals, the longer one of both nodes, after the first advert of an Active with less priority: its next advert is
the third. By then it has been Active for two intervals, and each advert was answered (RFC 9568 §6.4.3)."""

RECLAIMS = (1.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds at least from each reclaim to the next one from the same node; the last one for ever. A node that is partly
deaf takes over again and again, and one whose clock is ahead has a better MED for a while."""

CALM = 10.0
"""Seconds without an advert of such a node after which the next one is the first again."""

MOST_RIVALS = 255
"""Nodes that are remembered, as many as a configuration can name: where it names none, senders can be forged."""


@dataclass(slots=True)
class Rival:
    """An Active with less priority than another one. Times are monotonic seconds."""

    since: float
    """when its first advert was heard"""
    last: float
    interval: float
    reclaimed: int = 0
    """how often the better Active has reclaimed the traffic since then"""
    times: int = 0
    """the same since it was first heard after a calm"""
    latest: float = 0.0
    """when, the last time"""
    earlier: Count = NO_FAILURES
    """silent failures that counted for it, and perhaps for nobody else, when it was an Active before"""
    counts: Count | None = None
    """those that count for it now: when it took over it has counted one that was none; None: not known yet"""
    tied: bool = False
    """whether this or the other one is the better Active: another member of the group can tell"""


class Rivals:
    """The Actives of one virtual router that go on although a better one advertises: they do not hear it.

    Every node sees them alike, its own adverts included: the better Active, which reclaims the traffic, and Backups,
    whose routes have to be better still when that one fails. Two nodes that hear each other are never both Active for
    so long, and only the better one of two reclaims: there is no race.
    """

    def __init__(self) -> None:
        self.by_address = True
        """whether addresses decide between equal priorities; in a group, those of another router may"""
        self.known: dict[Address, Rival] = {}
        """those that were heard, also if they have fallen silent since"""
        self.best: Address | None = None
        """who advertises with the greatest priority; None: nobody"""
        self._rank = (0, 0)
        self._last = 0.0
        """when that one advertised"""
        self.interval = 0.0
        """that of its adverts, in seconds"""

    def advertised(self, source: Address, priority: int, interval: float, now: float) -> Rival | None:
        """An advert was accepted, or sent: ``source`` may be this node. Whom traffic is to be reclaimed from now."""
        if priority == LEAVING:
            self.known.pop(source, None)
            self.best = None if source == self.best else self.best
            return None
        rank = (priority, int(source) if self.by_address else 0)
        if source == self.best or rank > self._rank or self._is_best_gone(now):
            self.known.pop(source, None)
            self.best, self._rank, self._last, self.interval = source, rank, now, interval
            return None
        rival = self._goes_on(source, interval, now)
        rival.tied = rank == self._rank
        pause = RECLAIMS[min(rival.times, len(RECLAIMS)) - 1] if rival.times else 0.0
        lasts = now - rival.since >= GOES_ON * max(interval, self.interval) and now - rival.latest >= pause
        if rival.tied or not lasts:
            return None
        self.reclaim(now)
        return rival

    def reclaim(self, now: float) -> None:
        """The better Active reclaims the traffic: what beats one rival beats all that are there."""
        for one in self.known.values():
            if goes_on(one, now):
                one.reclaimed, one.times, one.latest = one.reclaimed + 1, one.times + 1, now

    def _is_best_gone(self, now: float) -> bool:
        return self.best is None or now - self._last > DOWN_COUNT * self.interval

    def _goes_on(self, source: Address, interval: float, now: float) -> Rival:
        rival = self.known.get(source)
        if rival is None or not goes_on(rival, now):
            rival = self._begins(source, interval, now)
        rival.last, rival.interval = now, interval
        return rival

    def _begins(self, source: Address, interval: float, now: float) -> Rival:
        begun, before = Rival(now, now, interval), self.known.pop(source, None)
        if before is not None and now - before.last <= CALM:
            begun.times, begun.latest = before.times, before.latest
        if before is not None and before.counts is not None:
            # It counts another one, unless its traffic cannot have been reclaimed (``SilentFailures``).
            lasted = before.last - before.since > EARLY * before.interval
            begun.earlier = Count(before.counts.number + lasted, before.last)
        if len(self.known) >= MOST_RIVALS:
            del self.known[min(self.known, key=lambda one: self.known[one].last)]
        return self.known.setdefault(source, begun)


def goes_on(rival: Rival, now: float) -> bool:
    """Whether its last advert is not longer ago than a Backup would wait for the next one, about."""
    return now - rival.last <= DOWN_COUNT * rival.interval


# From both to attributes


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What the attributes of an announcement depend on besides the configuration and the state."""

    active_since: int | None = None
    """whole seconds since the epoch at which this node became Active; None: it is not"""
    silent_failures: int = 0
    """those that count now"""
    last_resort: bool = False
    """whether another node's route is known everywhere, so that ours may be worse than any detour to us"""
    place: int = 0
    """of this node among all nodes of the election, from 0"""


class TakeoverHistory:
    """The takeovers that one virtual router remembers: everything that its own route depends on."""

    def __init__(self, stale_for: float, down_count: int = DOWN_COUNT) -> None:
        """``stale_for``: seconds for which routers may announce a node that failed silently; ``down_count``: missed
        intervals after which Backups act.
        """
        self.failures = SilentFailures(stale_for, down_count)
        self.time = TakeoverTime()
        self.rivals = Rivals()

    def heard(self, source: Address, priority: int, interval: float, now: float) -> Rival | None:
        """An advert of a peer was accepted. Whom the best Active reclaims traffic from now; None: nobody."""
        self.failures.heard(source, priority, interval, now)
        return self.beside(source, priority, interval, now)

    def beside(self, source: Address, priority: int, interval: float, now: float) -> Rival | None:
        """As ``heard``, but whoever sends it is no successor: another member of the group decides about that."""
        rival = self.rivals.advertised(source, priority, interval, now)
        known = self.rivals.known.get(source)
        if known is not None and self.failures.has_found(source, known.since, interval):
            known.counts = NO_FAILURES  # the better Active has outbid both of us already
        elif known is not None and known.counts is None:
            known.counts = self.failures.counted_by(known.earlier, self.rivals.interval, now)
        if rival is not None:
            self._outbid(now)
        elif known is not None and known.reclaimed:
            self.failures.keep(interval, now)
        return rival

    def reclaim(self, now: float) -> None:
        """Traffic of another member of the group is reclaimed, and so is that of this one."""
        self.rivals.reclaim(now)
        self._outbid(now)

    def _outbid(self, now: float) -> None:
        """Traffic was reclaimed: the path is shorter than those of all rivals that go on, until they advertise again.

        So all members and all nodes come to the same number, whichever rival's advert they hear first.
        """
        known = self.rivals.known.values()
        there = [(one.counts.number, one.interval) for one in known if one.counts is not None and goes_on(one, now)]
        if there:
            self.failures.reclaimed(max(number for number, _ in there), now)
            self.failures.keep(max(interval for _, interval in there), now)

    def sent(self, source: Address, priority: int, interval: float, now: float) -> None:
        """This node, whose address is ``source``, has sent an advert."""
        self.failures.sent(priority, interval, now)
        self.rivals.advertised(source, priority, interval, now)

    def context(self, *, last_resort: bool, place: int) -> RouteContext:
        """For the next announcement."""
        return RouteContext(self.time.active_since, self.failures.number, last_resort, place)


class Takeover(StrEnum):
    """How an Active's route beats the one that a node which died with its links up has left in the routers."""

    MED = "med"
    """the later a node became Active, the smaller its MED"""
    PREPEND = "prepend"
    """the more nodes failed silently of late, the shorter an Active's path to eBGP neighbors"""
    LOCAL_PREFERENCE = "local-preference"
    """the more nodes failed silently of late, the greater an Active's local preference at iBGP neighbors"""


LISTED = 3
"""Local preferences of an Active that are known beforehand, but for the usual one: those after so many failures."""


GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326 §5. As numbers: ExaBGP 4.2 and 5.0 do not know its name."""


def derived_standby(active: Attributes, priority: int = 0, *, longer: bool = False) -> Attributes:
    """Attributes for an address that a Backup announces: worse than those of any Active, better than any leaving.

    Not merely one step worse than ``active``: the Active is another node, whose attributes we do not know. Several
    Backups must not tie among themselves, or flows are split between them: the MED follows their ``priority`` (0–255).
    ``longer``: the path is longer, too.
    """
    return replace(
        active,
        med=LARGEST - 1 - priority,
        local_preference=1 if active.local_preference is None else min(1, active.local_preference),
        prepend=active.prepend + (1 if longer else 0),
    )


def derived_leaving(active: Attributes, *, longer: bool = False) -> Attributes:
    """Attributes for an address about to be given up: the worst there are, so that any other announcement wins.

    The MED is the largest and the local preference 0 (RFC 8326 §4 asks for it). ``longer``: the path is longer, too.
    """
    return replace(
        active,
        med=LARGEST,
        local_preference=0,
        communities=tuple(dict.fromkeys((*active.communities, GRACEFUL_SHUTDOWN))),
        prepend=active.prepend + (2 if longer else 0),
    )


def lengthened(active: Attributes) -> bool:
    """Whether the derived states have a longer path than the active one: where that is not left to ExaBGP."""
    return bool(active.as_path or active.prepend)


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """The attributes of one virtual router's addresses in every state they can be announced in. Raises ValueError."""

    active: Attributes
    """with all prepends, which silent failures may take away; without a MED if the time of the takeover gives it"""
    standby: Attributes
    leaving: Attributes
    takeover: frozenset[Takeover] = frozenset()

    def __post_init__(self) -> None:
        if Takeover.MED in self.takeover and self.active.med is not None:
            raise ValueError("the MED of an Active cannot be both fixed and the time of its takeover")
        if Takeover.PREPEND in self.takeover and not self.active.prepend:
            raise ValueError("without prepends none can be taken away")

    @classmethod
    def derived(
        cls,
        active: Attributes,
        takeover: frozenset[Takeover] = frozenset(),
        priority: int = 0,
    ) -> "RoutePolicy":
        """The policy of a router for which only the active attributes are configured. Raises ValueError."""
        longer = lengthened(active)
        return cls(
            active, derived_standby(active, priority, longer=longer), derived_leaving(active, longer=longer), takeover
        )

    def at(self, level: Level, context: RouteContext = RouteContext()) -> Attributes:
        match level:
            case Level.ACTIVE:
                return self._active(context)
            case Level.STANDBY:
                return self.standby
            case Level.LEAVING:
                return self.leaving if context.last_resort else self._yielding(context)
            case _:
                assert_never(level)

    def _yielding(self, context: RouteContext) -> Attributes:
        """Worse than another Active where routers compare the MED, but no longer and no less preferred a way.

        If the MED encodes the takeover time, a successor's is better than ours in any case, and a dead node's is worse:
        it stays.
        """
        if Takeover.MED in self.takeover:
            return self._active(context)
        med = LARGEST if self.leaving.med is None else self.leaving.med
        return replace(self._active(context), med=med)

    def _active(self, context: RouteContext) -> Attributes:
        found = self.active
        if Takeover.MED in self.takeover:
            since = EPOCH if context.active_since is None else context.active_since
            found = replace(found, med=takeover_med(since, context.place))
        if Takeover.PREPEND in self.takeover:
            found = replace(found, prepend=max(0, found.prepend - context.silent_failures))
        if Takeover.LOCAL_PREFERENCE in self.takeover and context.silent_failures:
            found = replace(found, local_preference=min(LARGEST, _preference(found) + context.silent_failures))
        return found

    def routes(self, network: Network) -> tuple[Route, ...]:
        """All routes to ``network`` that may be announced and are known beforehand, the likeliest first.

        An Active whose MED is a time is not among them: the time is not known beforehand. Only where no other one names
        all of its neighbors there is one with the MED of the epoch, so that these are known.
        """
        steps = self.active.prepend if Takeover.PREPEND in self.takeover else 0
        steps = max(steps, LISTED if Takeover.LOCAL_PREFERENCE in self.takeover else 0)
        times = 0 if Takeover.MED in self.takeover else 1 + steps
        active = [self._active(RouteContext(silent_failures=count)) for count in range(times)]
        yielding = [] if Takeover.MED in self.takeover else [self._yielding(RouteContext())]
        listed = [*active, self.standby, *yielding, self.leaving]
        if not {named for one in listed for named in one.neighbors}.issuperset(self.active.neighbors):
            listed.append(self._active(RouteContext()))
        return tuple(Route(network, one) for one in dict.fromkeys(listed))

    def rank(self, level: Level, *, internal: bool) -> tuple[int, int, int]:
        """How a router prefers the level among routes that differ in nothing else: the smaller, the better.

        Local preference (only if the neighbor is ``internal``), length of the path, MED: RFC 4271 §9.1.2. Of an
        Active it is the worst that it may announce.
        """
        found = self.at(level, RouteContext(last_resort=True))
        med = found.med or 0
        if level is Level.ACTIVE and Takeover.MED in self.takeover:
            med = WORST
        return (LARGEST - _preference(found) if internal else 0, found.length(internal=internal), med)


def _preference(attributes: Attributes) -> int:
    return DEFAULT_LOCAL_PREFERENCE if attributes.local_preference is None else attributes.local_preference
