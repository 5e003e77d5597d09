"""All prefixes of ours: desired against sent, what is due and when; pure.

**Desired, not history.** ``set`` names the routes to be announced; every other prefix of ours is withdrawn. Each prefix
has at most one command without an answer, because ExaBGP lets commands for one prefix overtake each other. What is
desired meanwhile replaces what was desired before; only the last is sent.

**Several forms at once.** A prefix may have another next hop for some neighbors. Then it goes in *lanes*: for each set
of neighbors that share all attributes a desired route, commands, answers and a memory of their own, as if it were a
prefix of its own. ExaBGP keeps a table and a queue for each neighbor, so commands of two lanes cannot overtake each
other where it matters. A prefix is carried out when all its lanes are; but as ``done`` to one command for all means one
neighbor at least, a lane that is certainly refused does not matter as long as another one is carried out.

**Our own AS number** belongs to a session, and a path may depend on it. So desired routes are ``resolved`` with the
numbers of all sessions (``learn``): where eBGP and iBGP sessions, or different numbers, are mixed, the sessions of each
kind have a lane of their own. What depends on them waits until they are known, and where they change, each lane begins
with the memory of those before it as soon as nothing of the prefix is unanswered.

**Withdrawn from whom?** ``done`` to a withdraw means one neighbor at least. One that has received the route, and does
not list us any more, keeps it: ExaBGP passes no withdraw on to it, and announces the route again with each new session
(4.2 and 5.0 alike). So an answered withdraw of what may have been announced is *unseen* until a poll of ExaBGP's
tables, fenced by two probes, no longer has the prefix for anybody.

**Many at once.** Prefixes of one family of which the same is to be sent go out in one command (``BATCH``), whose answer
is that of all of them. If it is ``error``, each is sent by itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from math import inf

from exavrrp.neighbors import Session, ordered, overlap
from exavrrp.routes import NO_NUMBERS, Network, OwnNumbers, Route
from exavrrp.speaker.events import Answered, Doubted, Event, Kept, Refused, Silent
from exavrrp.speaker.prefix import CERTAIN, Form, Instruction, Kind, Lane, Prefix
from exavrrp.speaker.variants import BRIEF, EXPLICIT, QUEUED, SENT, Rotation
from exavrrp.vrrp.packet import Address

BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds until a refused or unanswered command is retried, the last one for ever."""

BATCH = 50
"""Prefixes in one command. Both versions read 16 KiB at once and take longer lines (5.0 up to 1 MiB); 50 of them are
2 KiB, less than what a pipe takes in one piece, and much larger commands would make the first wait for the last."""


def backoff(times: int) -> float:
    """Seconds to wait after the ``times``-th failure in a row, from 1."""
    return BACKOFF[min(times, len(BACKOFF)) - 1]


class Prefixes:
    """Every prefix of ours. All times are seconds of one monotonic clock."""

    def __init__(self, *, knows_numbers: bool = True, looks: bool = False) -> None:
        """``knows_numbers``: False if what depends on our AS numbers is to wait until they are known (``learn``)."""
        self.knows_numbers = knows_numbers
        self.looks = looks
        """whether ExaBGP's tables are polled, so that a withdraw is confirmed by what they no longer have"""
        self.desired: dict[Network, Route] = {}
        """every other one of ours is to be withdrawn"""
        self.begun = False
        """whether anything was desired yet"""
        self.lanes: dict[Lane, Prefix] = {}
        self.rotation = Rotation()
        self.due: dict[Lane, None] = {}
        self.unseen: dict[Network, bool] = {}
        """prefixes whose withdraw was answered, and which a neighbor may still have; whether a poll was sent since"""
        self._doubtful = False
        """whether a command has failed since the last poll for a prefix that was announced in part, perhaps"""
        self._of_network: dict[Network, tuple[Lane, ...]] = {}
        self._forms: dict[Network, list[Route]] = {}
        """all that may be announced of it, whatever our AS numbers are"""
        self._numbers = NO_NUMBERS
        self._resolved: dict[Network, OwnNumbers] = {}
        """those with which the lanes of a network were made"""
        self._outdated: set[Network] = set()
        """networks with lanes made with other numbers than now"""
        self._retries: dict[Lane, float] = {}
        self._repeats: dict[Lane, float] = {}
        self._unverified: dict[Lane, None] = {}
        """answered, and each of these answers was its own if no answer was missing"""
        self._leaving: dict[Network, float] = {}
        """what is ours only until its withdraw is confirmed, and for ``QUEUED`` after that: until when; inf: unknown"""

    # What is ours

    def own(self, ours: Iterable[Route]) -> None:
        """As of ``Conversation``. Raises ValueError, and then nothing has changed."""
        forms: dict[Network, list[Route]] = {}
        for route in ours:
            forms.setdefault(route.network, []).append(route)
        numbers = {network: self._numbers_of(network, some) for network, some in forms.items()}
        made = {network: _made(some, numbers[network]) for network, some in forms.items()}
        known = {network: lanes for network, lanes in made.items() if self._goes_on(network, lanes)}
        for network in [one for one in self._of_network if one not in known]:
            if network in made or not self.begun:
                self._forget(network)  # it is withdrawn and begins anew, or nothing was said of it yet
            elif network not in self._leaving:
                self._leaving[network] = inf
                self._desire({network: None}, {})
        for network, lanes in made.items():
            self._forms[network], self._resolved[network] = forms[network], numbers[network]
            self._outdate(network)
            if network in known:
                self._leaving.pop(network, None)
                for lane, prefix in lanes.items():
                    self.lanes[lane].homes = prefix.homes
                continue
            self._of_network[network] = tuple(lanes)
            self.lanes |= lanes
            for lane in lanes if self.begun else ():
                self.renew(lane)

    def _numbers_of(self, network: Network, forms: Iterable[Route]) -> OwnNumbers:
        """The AS numbers that lanes for these forms are made with: for now those of the lanes that there are."""
        if network in self._of_network:
            return self._resolved[network]
        return self._numbers if any(one.attributes.needs_own_as for one in forms) else NO_NUMBERS

    def _outdate(self, network: Network) -> None:
        before, now = self._resolved[network], self._needed(network)
        if set(before.values()) != set(now.values()) or (_are_mixed(now) and before != now):
            self._outdated.add(network)
        else:
            self._outdated.discard(network)

    def learn(self, numbers: OwnNumbers) -> None:
        """Our own AS number in each session."""
        if self.knows_numbers and numbers == self._numbers:
            return
        self.knows_numbers, self._numbers = True, numbers
        for network in self._of_network:
            self._outdate(network)

    def _resolve(self) -> None:
        """Make the lanes anew that were made with other numbers, if nothing of their prefix is unanswered."""
        for network in [
            one for one in self._outdated if not any(self.lanes[lane].unanswered for lane in self._of_network[one])
        ]:
            self._outdated.discard(network)
            self._resolved[network] = self._needed(network)
            before = [self.lanes.pop(lane) for lane in self._of_network[network]]
            for lane in self._of_network[network]:
                for some in (self.due, self._retries, self._repeats, self._unverified):
                    some.pop(lane, None)
            made = _made(self._forms[network], self._resolved[network])
            parts = self._lanes_of(self.desired[network]) if network in self.desired else {}
            for lane, prefix in made.items():
                prefix.succeed(before, parts.get(lane))
            self.lanes |= made
            self._of_network[network] = tuple(made)
            for lane in made if self.begun else ():
                self.renew(lane)
            self._choose_variants(made)

    def _needed(self, network: Network) -> OwnNumbers:
        """The AS numbers with which its lanes are to be made."""
        return self._numbers if self._waits(network) else NO_NUMBERS

    def _lanes_of(self, route: Route) -> dict[Lane, Route]:
        return _lanes(route, self._resolved[route.network])

    def _goes_on(self, network: Network, lanes: Mapping[Lane, Prefix]) -> bool:
        """Whether anything was said of it, and it can have these forms without a withdraw. Raises ValueError."""
        if network not in self._of_network or not self.begun:
            return False
        try:
            if set(self._of_network[network]) != lanes.keys():
                raise ValueError(f"{network} is to have next hops for other neighbors than before")
            for lane, prefix in lanes.items():
                for home, _ in prefix.homes:
                    _comparable(self.lanes[lane], home)
        except ValueError:
            if network in self._leaving and self._is_at_rest(network):
                return False
            raise
        return True

    def _is_at_rest(self, network: Network) -> bool:
        """Whether everything that is desired of it is carried out, and nothing under way, or to be sent again."""
        lanes = self._of_network[network]
        pending = (self.due, self._retries, self._repeats, self._unverified)
        return (
            network not in self.unseen
            and all(self.lanes[lane].carried_out and not self.lanes[lane].unanswered for lane in lanes)
            and not any(lane in some for lane in lanes for some in pending)
        )

    def _forget(self, network: Network) -> None:
        for lane in self._of_network.pop(network):
            del self.lanes[lane]
        self._leaving.pop(network, None)
        self.unseen.pop(network, None)
        self._outdated.discard(network)
        del self._forms[network], self._resolved[network]

    def _forget_in_time(self) -> None:
        """What has been withdrawn for so long that it stands in no queue is ours no more."""
        for network, until in list(self._leaving.items()):
            if self._is_at_rest(network):
                self._leaving[network] = min(until, self.rotation.now + QUEUED)
                if self.rotation.now >= self._leaving[network]:
                    self._forget(network)

    def _parts(self, route: Route) -> dict[Lane, Route]:
        """By lanes, which are the same for each route to a prefix. Raises KeyError, ValueError."""
        if route.network in self._leaving:
            raise KeyError(route.network)
        parts = self._lanes_of(route)
        if not parts.keys() <= set(self._of_network[route.network]):
            raise ValueError(f"{route.prefix} is to have next hops for other neighbors than before")
        return parts

    # What is desired

    def set(self, desired: Iterable[Route]) -> None:
        """Exactly these are to be announced. Raises KeyError, ValueError."""
        routes = {route.network: route for route in desired}
        parts = {network: self._checked(route) for network, route in routes.items()}
        self._desire({network: routes.get(network) for network in self._of_network}, parts)
        self.begun = True

    def change(self, desired: Mapping[Network, Route | None]) -> None:
        """These are to be announced like this, or withdrawn (None). Raises KeyError, ValueError."""
        parts = {network: self._checked(route) for network, route in desired.items() if route is not None}
        if self.begun:
            self._desire(desired, parts)

    def _checked(self, route: Route) -> dict[Lane, Route]:
        """As ``_parts``."""
        parts = self._parts(route)
        for lane, part in parts.items():
            _comparable(self.lanes[lane], part)
        return parts

    def _desire(self, desired: Mapping[Network, Route | None], parts: Mapping[Network, Mapping[Lane, Route]]) -> None:
        """``parts``: of each route, by lanes."""
        changed: list[Lane] = []
        for network, route in desired.items():
            lanes = self._of_network[network]
            if self.begun and route == self.desired.get(network):
                continue
            if route is None:
                self.desired.pop(network, None)
            else:
                self.desired[network] = route
                self.unseen.pop(network, None)
            by_lane = parts.get(network, {})
            for lane in lanes:
                self.lanes[lane].desire(by_lane.get(lane))
                self.renew(lane)
                changed.append(lane)
        self._choose_variants(changed)

    def _choose_variants(self, lanes: Iterable[Lane]) -> None:
        """Give each of these a variant that stands behind everything in ExaBGP's queues."""
        for lane in lanes:
            prefix = self.lanes[lane]
            self._repeats.pop(lane, None)
            prefix.reused = False
            if prefix.desired is not None:
                prefix.variant, prefix.reused = self.rotation.choose(prefix.desired.attributes, prefix.last_variants)

    def has_carried_out(self, networks: Iterable[Network] | None = None) -> bool:
        """Whether ExaBGP has carried out what is desired of each of these prefixes of ours; None: of all."""
        return self.begun and all(map(self._is_carried_out, self._of_network if networks is None else networks))

    def _is_carried_out(self, network: Network) -> bool:
        return self._is_answered(network) and network not in self.unseen

    def _is_answered(self, network: Network) -> bool:
        lanes = [self.lanes[lane] for lane in self._of_network.get(network, ())]
        done = [one for one in lanes if one.carried_out]
        return len(done) == len(lanes) or (bool(done) and all(one.carried_out or one.is_refused for one in lanes))

    def inherit(self, networks: Iterable[Network]) -> None:
        """As of ``Conversation``. Raises KeyError."""
        for network in networks:
            for lane in self._of_network[network]:
                self.lanes[lane].accepted = True

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """As of ``Conversation``."""
        return any(
            self.lanes[lane].may_be_announced for network in networks for lane in self._of_network.get(network, ())
        )

    # What is due

    def renew(self, lane: Lane) -> None:
        """What is desired of it is to be sent (again), without delay."""
        self.lanes[lane].renew()
        self._make_due(lane)

    def _make_due(self, lane: Lane) -> None:
        self._retries.pop(lane, None)
        if not self.lanes[lane].unanswered:
            self.due[lane] = None

    def _retry_later(self, lane: Lane, times: int, now: float) -> None:
        self._retries[lane] = now + backoff(times)

    def repeat_everything(self) -> None:
        """Desired or not, in another variant: what ExaBGP sends a neighbor that comes up is not always the last."""
        if not self.begun:
            return
        for lane, prefix in self.lanes.items():
            if len(prefix.homes) > 1:  # the neighbor may be one that the desired route does not name
                prefix.sent_forms[:0] = [form for form in prefix.homes if form not in prefix.sent_forms]
            prefix.again = True
            self.renew(lane)
        self._choose_variants(self.lanes)

    def forget_unanswered(self) -> None:
        """No command will be answered any more: everything is sent again."""
        self._unverified.clear()
        self.unseen = dict.fromkeys(self.unseen, False)
        for prefix in self.lanes.values():
            prefix.unanswered = False
            prefix.tried(None)
            prefix.doubt()
        self.repeat_everything()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, now or later."""
        return not (self.due or self._retries or self._repeats or self.unseen)

    @property
    def times(self) -> list[float]:
        """When ``tick`` has something to do."""
        return [*self._retries.values(), *self._repeats.values()]

    def tick(self, now: float) -> None:
        """Time has passed: retries and repeats are due."""
        self.rotation.now = now
        for lane in [lane for lane, at in self._retries.items() if at <= now]:
            self._make_due(lane)
        self._repeat([lane for lane, at in self._repeats.items() if at <= now])

    def _repeat(self, lanes: Collection[Lane]) -> None:
        """What may stand in the wrong place of a queue, or was missed, is sent again; it stays carried out."""
        self._choose_variants(lanes)
        for lane in lanes:
            self.lanes[lane].reused = False  # once is enough: it was quiet meanwhile
            self.lanes[lane].again = True
            self._make_due(lane)

    def said_once(self) -> dict[Lane, int]:
        """What ExaBGP has carried out and was told once, so that a neighbor may have missed it; with its generation.

        Withdraws are not among it as long as ExaBGP's tables tell who has missed them.
        """
        said = {lane: one for lane, one in self.lanes.items() if one.said_once and one.carried_out}
        return {lane: one.generation for lane, one in said.items() if one.desired is not None or not self.looks}

    def say_again(self, said: Mapping[Lane, int]) -> None:
        """These are sent once more, unless they have been since."""
        lanes = [lane for lane in said if lane in self.lanes and self.lanes[lane].generation == said[lane]]
        for lane in lanes:
            self.lanes[lane].said_once = False
        self._repeat(lanes)

    def next(self, room: int) -> list[tuple[Instruction, ...]]:
        """What to send now, by commands: at most ``room`` prefixes, of which one that is fenced counts twice.

        Where more are due than there is room for, they wait until a whole command of them fits: small ones cost ExaBGP
        much more for each prefix.
        """
        batches: dict[object, list[Instruction]] = {}
        self._resolve()
        due = [lane for lane in self.due if self.knows_numbers or not self._waits(lane[0])]
        weights = accumulate(1 + self.lanes[lane].unconfirmed for lane in due)  # with the probe behind it
        fitting = [lane for lane, weight in zip(due, weights, strict=True) if weight <= room]
        if len(fitting) < min(len(due), BATCH):
            return []
        for lane in fitting:
            del self.due[lane]
            instruction = self.lanes[lane].next(lane)
            if instruction.kind is not Kind.ANNOUNCE:
                self.rotation.withdrawn(instruction.form[0].attributes, instruction.form[1])
            batches.setdefault(instruction.key, []).append(instruction)
        return [
            tuple(batch[begin : begin + BATCH]) for batch in batches.values() for begin in range(0, len(batch), BATCH)
        ]

    def _waits(self, network: Network) -> bool:
        """Whether nothing can be sent of it before our AS numbers are known."""
        return any(one.attributes.needs_own_as for one in self._forms[network])

    # What came of it

    def accepted(self, instruction: Instruction, *, fenced: bool, now: float) -> list[Event]:
        """ExaBGP has carried out one of the instructions of a command."""
        prefix = self._answered(instruction)
        if not prefix.accept(instruction, fenced):
            self._make_due(instruction.lane)
            return []
        return self._carried_out(instruction, now)

    def refused(
        self, instruction: Instruction, line: str, *, alone: bool, fenced: bool, partial: bool, now: float
    ) -> list[Event]:
        """ExaBGP has answered ``error``; ``alone``: the command had no other instruction. ``partial``: see ``Dialect``.

        If an answer is missing, it was another one's refusal; in a batch, perhaps that of one of the others.
        """
        prefix = self._answered(instruction)
        prefix.unconfirmed, prefix.carried_out = True, False
        if fenced:
            prefix.in_part, prefix.offered = prefix.in_part or (partial and prefix.offered), False
            self._doubtful = self._doubtful or prefix.in_part
        if not alone:
            self._make_due(instruction.lane)
            return []
        return self._failed(Refused, instruction, line, fenced, now)

    def lost(self, instruction: Instruction, line: str, *, fenced: bool, now: float) -> list[Event]:
        """ExaBGP went on without an answer; to whom, only a fence tells."""
        prefix = self.lanes[instruction.lane]
        prefix.unanswered, prefix.unconfirmed, prefix.carried_out = False, True, False
        prefix.doubt()
        if not fenced:
            self._make_due(instruction.lane)
            return []
        return self._failed(Silent, instruction, line, fenced, now)

    def _answered(self, instruction: Instruction) -> Prefix:
        prefix = self.lanes[instruction.lane]
        prefix.unanswered = False
        self._unverified[instruction.lane] = None
        return prefix

    def _carried_out(self, instruction: Instruction, now: float) -> list[Event]:
        """Nothing more is to be sent of this lane."""
        prefix = self.lanes[instruction.lane]
        if prefix.reused:
            prefix.reused = False
            self._repeats[instruction.lane] = now + SENT
        known, prefix.carried_out = prefix.carried_out, True
        return [] if known else self._settled(instruction.network)

    def _settled(self, network: Network) -> list[Event]:
        """ExaBGP has carried out everything that was sent of a prefix, unless a lane of it is still open.

        ``done`` to a withdraw means one neighbor at least. Another one may have been told of the route when ExaBGP
        still passed our commands on to it: then ExaBGP's table has the route.
        """
        if not self._is_answered(network):
            return []
        if network not in self.desired and self.looks and self.may_announce([network]):
            self.unseen[network] = False
            return []
        return self._confirmed(network)

    def _confirmed(self, network: Network) -> list[Event]:
        self.unseen.pop(network, None)
        route = self.desired.get(network)
        for one in [self.lanes[lane] for lane in self._of_network[network]] if route is None else ():
            if one.carried_out or self.looks:
                one.accepted = one.offered = one.in_part = False
        return [Answered(network, route)]

    @property
    def wants_poll(self) -> bool:
        """Whether ExaBGP's tables are to be polled."""
        return (self.looks and self._doubtful) or not all(self.unseen[network] for network in self.answered_unseen)

    @property
    def answered_unseen(self) -> frozenset[Network]:
        """The prefixes whose withdraw was answered, and which a neighbor may still have."""
        return frozenset(network for network in self.unseen if self._is_answered(network))

    @property
    def refused_withdraws(self) -> frozenset[Network]:
        """The prefixes whose withdraw has failed at some neighbors, and will be tried again."""
        return frozenset(network for network, _ in self._retries if network not in self.desired)

    def ask(self) -> frozenset[Network]:
        """A poll is sent now; the prefixes that it tells of."""
        self._doubtful = False
        asked = self.answered_unseen
        self.unseen.update(dict.fromkeys(asked, True))
        return asked

    def forget_poll(self) -> None:
        """The poll was not answered."""
        self.unseen = dict.fromkeys(self.unseen, False)

    def seen(self, network: Network, neighbors: tuple[Address, ...]) -> list[Event]:
        """A poll was answered: which neighbors ExaBGP's tables still have a prefix for."""
        if network not in self.unseen or not self._is_answered(network):
            return []  # it is to be announced again, or a withdraw was sent since
        return [Kept(network, neighbors)] if neighbors else self._confirmed(network)

    def tables_have(self, announced: Collection[Network]) -> None:
        """A poll was answered: ExaBGP's tables have these prefixes and no others."""
        for (network, _), prefix in self.lanes.items():
            prefix.in_part = prefix.in_part and network in announced

    def _failed(
        self, kind: type[Refused | Silent], instruction: Instruction, line: str, fenced: bool, now: float
    ) -> list[Event]:
        """One instruction has failed, as far as one knows."""
        lane, neighbors = instruction.lane, instruction.neighbors
        prefix = self.lanes[lane]
        if instruction.generation != prefix.generation:
            self._make_due(lane)
            return self._tell(kind(instruction.network, line, prefix.failures.get(neighbors, 0)))
        times = prefix.fail(neighbors)
        failure = kind(instruction.network, line, times)
        if instruction.kind is Kind.WITHDRAW:
            done = prefix.is_done_by_others(neighbors)
            if prefix.turn_from(neighbors) or (done and times < CERTAIN):
                self._make_due(lane)
                return [failure] if times < CERTAIN else []
            if done and prefix.do_without(neighbors):
                return self._carried_out(instruction, now)
        elif instruction.kind is Kind.WITHDRAW_REST and prefix.is_refused:
            prefix.give_up_rest(neighbors)
            return self.accepted(instruction, fenced=fenced, now=now)
        self._retry_later(lane, times, now)
        return self._tell(failure)

    def _tell(self, failure: Refused | Silent) -> list[Event]:
        """What came of one lane, unless others of its prefix do without it: that is told once, as carried out."""
        network = failure.network
        if not self._is_answered(network):
            return [failure]
        return self._settled(network) if failure.times == CERTAIN else []

    # Which command was each answer to?

    def verify(self) -> None:
        """Every answer until now belongs to what we took it for, or has been doubted."""
        self._unverified.clear()
        self._forget_in_time()

    def doubt(self) -> list[Event]:
        """An answer was missing: those since the last ``verify`` may have been others'."""
        for lane in self._unverified:
            self.lanes[lane].unconfirmed = True
            self.lanes[lane].doubt()
            self.renew(lane)
        return [Doubted(network) for network in dict.fromkeys(network for network, _ in self._unverified)]

    # For a look at what ExaBGP announces, and for trials

    def withdrawn(self) -> dict[Lane, int]:
        """What ExaBGP has withdrawn, so that it should announce none of it; with its generation."""
        return {lane: one.generation for lane, one in self.lanes.items() if one.desired is None and one.carried_out}

    def named(self, network: Network) -> frozenset[Address]:
        """The neighbors that it may be announced to."""
        homes = (home for lane in self._of_network[network] for home, _ in self.lanes[lane].homes)
        return frozenset(one.peer for home in homes for one in home.attributes.neighbors)

    def lane_for(self, session: Session) -> Lane | None:
        """One that is at rest and may be sent to ``session`` alone, of its family if we have one. One that has failed
        only if all have: it may fail where the neighbor lists us, too.

        What other neighbors are told is not withdrawn here: where it is told of nothing, a withdraw changes nothing;
        else its own lane alone may be sent again to it.
        """
        families = {network.version for network, _ in self.lanes}
        fitting = [lane for lane in self.lanes if len(families) == 1 or lane[0].version == session.peer.version]
        own = [lane for lane in fitting if not lane[1] or any(one.covers(session) for one in lane[1])]
        sound = [lane for lane in own or fitting if lane not in self._retries] or own or fitting
        return next((lane for lane in sound if not self.lanes[lane].unanswered and lane not in self.due), None)

    def begin_trial(self, lane: Lane, session: Session) -> tuple[bool, Form]:
        """What was sent last of it to ``session``: whether that was an announcement, and its form."""
        prefix = self.lanes[lane]
        named = () if prefix.desired is None else prefix.desired.attributes.neighbors
        meant = not named or any(one.covers(session) for one in named)
        prefix.unanswered = True
        if meant and prefix.sent is not None:
            prefix.trying = True
            return True, prefix.sent
        return False, prefix.sent_forms[-1]

    def end_trial(self, lane: Lane, done: bool | None) -> None:
        """It was answered, or (None) never will be: what is desired of it meanwhile can be sent."""
        prefix = self.lanes[lane]
        prefix.unanswered = False
        prefix.tried(done)
        if not prefix.carried_out and lane not in self._retries:
            self.due[lane] = None


def _made(forms: Iterable[Route], numbers: OwnNumbers) -> dict[Lane, Prefix]:
    """The lanes of a prefix of which nothing was said yet. Raises ValueError."""
    made: dict[Lane, Prefix] = {}
    for whole in forms:
        parts = _lanes(whole, numbers)
        if made and made.keys() != parts.keys() and (whole.attributes.next_hops or not _are_mixed(numbers)):
            raise ValueError(f"{whole.prefix} is to have next hops for other neighbors than before")
        for lane, route in parts.items():
            prefix = made.setdefault(lane, Prefix([]))
            prefix.sent_forms[:0] = [(route, variant) for variant in (EXPLICIT, BRIEF)]
            _comparable(prefix, route)
            if all(route.attributes.neighbors != home.attributes.neighbors for home, _ in prefix.homes):
                prefix.homes.append((route, BRIEF))
    return made


def _comparable(prefix: Prefix, route: Route) -> None:
    if bool(route.attributes.neighbors) != bool(prefix.sent_forms[-1][0].attributes.neighbors):
        raise ValueError(f"{route.prefix} is to be announced to all neighbors in one form and to some in another")
    named = (one for home, _ in prefix.homes for one in home.attributes.neighbors)
    if found := overlap((*route.attributes.neighbors, *named)):
        raise ValueError(
            f"{route.prefix} is to be announced over all sessions to {found[0].peer}, and over one of them"
        )


def _are_mixed(numbers: OwnNumbers) -> bool:
    return len(set(numbers.values())) > 1


def _lanes(route: Route, numbers: OwnNumbers) -> dict[Lane, Route]:
    """``route`` as ExaBGP has to be told, in one command for each set of neighbors that share its attributes."""
    parts = route.attributes.parts(numbers)
    if _are_mixed(numbers) and not route.attributes.next_hops:
        # States may name different neighbors: a lane is for all sessions that have the same number.
        return {(route.network, _alike(one.neighbors, numbers)): Route(route.network, one) for one in parts}
    return {(route.network, one.neighbors if len(parts) > 1 else ()): Route(route.network, one) for one in parts}


def _alike(neighbors: Sequence[Session], numbers: OwnNumbers) -> tuple[Session, ...]:
    """All sessions with the same AS number of ours as in these."""
    own = next((own for session, own in numbers.items() if neighbors[0].covers(session)), None)
    return tuple(sorted((session for session, each in numbers.items() if each == own), key=ordered))
