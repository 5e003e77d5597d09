"""The conversation with ExaBGP: desired routes and its answers in, lines to write and events out; pure.

``Conversation`` puts the parts together: what is desired and due (``prefixes``), whose answer a line is (``channel``),
which sessions there are and which neighbors get our routes (``neighbors``), how it begins (``greeting``), commands and
answers by version (``dialects``).
It knows nothing of descriptors, loops or clocks: lines and the time come in, ``transmit`` gives what is to be written
now, ``deadline`` says when ``tick`` has to look again.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from math import inf
from typing import assert_never

from exavrrp.neighbors import Session, ordered
from exavrrp.routes import Network, Route
from exavrrp.speaker.channel import (
    PULSE,
    TRIES,
    Channel,
    Command,
    ConfigurationProbe,
    DetailProbe,
    Entry,
    Probe,
    RoutesProbe,
    Trial,
)
from exavrrp.speaker.dialects import Change, Dialect, Version, event_in, everywhere, is_notice
from exavrrp.speaker.events import Anomaly, Event, Kept, Listed, Reconfigured
from exavrrp.speaker.greeting import Greeting
from exavrrp.speaker.neighbors import Neighbors
from exavrrp.speaker.prefixes import Prefixes

SURVEY = 5.0
"""Seconds between two polls of ExaBGP's configuration, about 45 lines a neighbor, and of its routes."""

ROUTE_COST = 0.2
"""Seconds between two polls of ExaBGP's routes, for each route in the last one, which delays commands by 0.0002 s
(measured): by a thousandth of the time at most.
"""

MOST_ROUTES = 1000
"""Routes of ExaBGP, beyond which they are not polled: that would delay a command by more than 0.2 s."""


class Survey:
    """When ExaBGP's configuration and its routes are polled."""

    def __init__(self) -> None:
        self.due = False
        self.again = False
        """whether to poll once more when all sessions have been tried: ExaBGP may have another file by then"""
        self._asked = self._routes_at = 0.0

    @property
    def deadline(self) -> float:
        return self._asked + SURVEY

    def begin(self, now: float) -> None:
        self.due, self._asked = True, now

    def wants_routes(self, now: float) -> bool:
        """Whether enough time has passed for the cost of the last poll of the routes."""
        return now >= self._routes_at

    def looked(self, count: int, now: float) -> None:
        """So many routes were told."""
        self._routes_at = now + ROUTE_COST * count if count <= MOST_ROUTES else inf


class Conversation:
    """What is sent to ExaBGP and what its answers mean. All times are seconds of one monotonic clock.

    After each call of anything but a property, ``transmit`` may have something to say and ``deadline`` may have moved.
    """

    def __init__(self, pulse: float | None = PULSE) -> None:
        """``pulse``: seconds without a line from ExaBGP after which a heartbeat probe is sent, None: never, and no
        neighbor is tried.
        """
        self.prefixes = Prefixes(knows_numbers=pulse is None, looks=pulse is not None)
        """what is desired of each prefix of ours, and what has been sent"""
        self._channel = Channel(pulse)
        self._greeting = Greeting()
        self._neighbors = Neighbors()
        self._survey = Survey()

    # What is ours, and what is desired of it

    def own(self, ours: Iterable[Route]) -> None:
        """These may be announced from now on: every prefix in every form of it, the likeliest first.

        Any route will do: not only those of a configuration, but also one of a predecessor. A
        prefix that stays is not touched, whatever its forms are now; what is desired of it next is announced without a
        withdraw. One that is ours no more is withdrawn, and known until that is confirmed (``Answered``) and nothing
        of it can stand in a queue of ExaBGP's any more. A new one is withdrawn until it is desired.

        Raises ValueError when a prefix has a form for all neighbors and one for some: which the others are is unknown.
        So when it has one for all sessions to a neighbor and one for some of these. So, too, when these are the forms
        before and now, unless it was ours no more in between, and is withdrawn. Then nothing has changed.
        """
        self.prefixes.own(ours)

    def inherit(self, networks: Iterable[Network]) -> None:
        """A predecessor may have had ExaBGP announce these prefixes of ours. Raises KeyError for another one."""
        self.prefixes.inherit(networks)

    def set(self, desired: Iterable[Route]) -> None:
        """Announce exactly these of our prefixes, and like this.

        Raises KeyError for a prefix that is not ours, ValueError as ``own``.
        """
        self.prefixes.set(desired)

    def change(self, desired: Mapping[Network, Route | None]) -> None:
        """Announce these of our prefixes like this, or withdraw them (None), and leave all others as before.

        Does nothing before the first ``set``. Raises KeyError for a prefix that is not ours, ValueError as ``own``.
        """
        self.prefixes.change(desired)

    def repeat(self) -> None:
        """Say everything once more, desired or not, in other words: ExaBGP sends an UPDATE to each neighbor."""
        self.prefixes.repeat_everything()

    @property
    def wanted(self) -> Mapping[Network, Route]:
        """What is desired; every other prefix of ours is to be withdrawn."""
        return self.prefixes.desired

    @property
    def dialect(self) -> Dialect | None:
        """None until ExaBGP has sent its version."""
        return self._greeting.dialect

    @property
    def established(self) -> AbstractSet[Session]:
        """The sessions that are up."""
        return self._neighbors.established

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has carried out everything that is desired."""
        return self.prefixes.has_carried_out()

    def has_carried_out(self, networks: Iterable[Network]) -> bool:
        """Whether ExaBGP has carried out what is desired of each of these prefixes; of one not ours nothing is."""
        return self.prefixes.has_carried_out(networks)

    @property
    def answer_seconds(self) -> float | None:
        """Seconds that ExaBGP took for its last answer; None: there was none."""
        return self._channel.answer_seconds

    def may_announce(self, networks: Iterable[Network]) -> bool:
        """Whether ExaBGP may announce any of these prefixes of ours to any neighbor.

        It may from the moment that an announcement is desired (or inherited), until ExaBGP has confirmed the withdraw.
        Not so if it has certainly refused the announcement, unless what came of an earlier one is unknown: that was
        replaced before its answer, or the answer is missing, or was perhaps another's. Where a refusal may be that of
        one neighbor (``Dialect.partial``), ExaBGP's tables have to show besides that no neighbor has the prefix.
        """
        return self.prefixes.may_announce(networks)

    @property
    def resting(self) -> bool:
        """Whether nothing is under way, and nothing is due but a heartbeat probe."""
        neighbors, channel = self._neighbors, self._channel
        asking = self._greeting.under_way or channel.probe_due or self._survey.due
        asking = asking or neighbors.detail_due or neighbors.detail_at is not None or bool(neighbors.audience.retrials)
        asking = asking or (self._tries and bool(neighbors.audience.due or self.prefixes.said_once()))
        return not asking and self.prefixes.is_idle and not channel.queue

    @property
    def _tries(self) -> bool:
        """Whether neighbors are tried at all."""
        return self._channel.pulse is not None and self.prefixes.begun

    # What is written

    def transmit(self, now: float) -> list[str]:
        """The lines to write now, in one piece. To be called only when everything before has been written."""
        channel, dialect = self._channel, self._greeting.dialect
        self.prefixes.rotation.now = now
        self.prefixes.rotation.written()
        if dialect is None or self._greeting.under_way:
            return self._greeting.transmit(now)
        channel.begin(now)
        lines: list[str] = []
        if self._survey.again and not (channel.queue or self._neighbors.audience.due):
            self._survey.due, self._survey.again = True, False
        if self._survey.due and not channel.queue:
            self._look(lines, dialect, now)
        if channel.probe_due:
            channel.probe(lines, dialect)
        if self._neighbors.detail_due and not channel.has(DetailProbe):
            self._neighbors.detail_due, self._neighbors.detail_at = False, None
            channel.send(lines, DetailProbe(), dialect.DETAIL, dialect, fenced=False)
        commands = self.prefixes.next(channel.room)
        for instructions in commands:
            first, *others = instructions
            line = first.line(others, dialect, self._neighbors.selector)
            channel.send(lines, Command(line, instructions, first.fenced), line, dialect, fenced=first.fenced)
        if commands and not channel.acknowledged:
            channel.probe(lines, dialect)
        if self.prefixes.wants_poll and not (channel.stalled or channel.has(RoutesProbe)):
            channel.send(lines, RoutesProbe(self.prefixes.ask()), dialect.ROUTES, dialect, fenced=True)
        if self._tries and not channel.stalled:
            for session in self._neighbors.audience.due:
                self._try(session, lines, dialect)
        return lines

    def _look(self, lines: list[str], dialect: Dialect, now: float) -> None:
        """Ask for ExaBGP's configuration, and for what it announces if that should be less."""
        self._survey.due = False
        self._channel.probe_due = True  # whose heading ends these answers, should they not come
        if dialect.CONFIGURATION:
            survey = ConfigurationProbe(self.prefixes.said_once())
            self._channel.send(lines, survey, dialect.CONFIGURATION, dialect, fenced=False)
        else:  # it is not told: any neighbor may list us or not, and there may be others
            self._neighbors.detail_due = True
            self._neighbors.audience.try_again(self.established)
            self.prefixes.say_again(self.prefixes.said_once())
        if self._survey.wants_routes(now) and (withdrawn := self.prefixes.withdrawn()):
            probe = RoutesProbe(self.prefixes.ask(), withdrawn)
            self._channel.send(lines, probe, dialect.ROUTES, dialect, fenced=False)

    def _try(self, session: Session, lines: list[str], dialect: Dialect) -> None:
        """Ask whether its neighbor lists us, as soon as a prefix is at rest."""
        lane = self.prefixes.lane_for(session)
        if lane is None:
            return  # not now: what is under way will be answered
        announced, (route, variant) = self.prefixes.begin_trial(lane, session)
        self._neighbors.audience.is_tried(session)
        line = (dialect.announce if announced else dialect.withdraw)(everywhere(route), variant)
        words = dialect.for_one(self._neighbors.selector(session), line)
        self._channel.send(lines, Trial(session, lane), words, dialect, fenced=True)

    # Time

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has to be called; ``None``: not before something happens."""
        if self._greeting.under_way:
            return self._greeting.deadline
        times = [*self.prefixes.times, *self._neighbors.audience.retrials.values()]
        times += [one for one in (self._neighbors.detail_at, self._channel.deadline) if one is not None]
        if not self._channel.queue and self._channel.pulse is not None:
            times.append(self._survey.deadline)
        return min(times, default=None)

    def tick(self, now: float) -> list[Event]:
        """Time has passed. Everything that ExaBGP has written must have been handed over before."""
        if self._greeting.under_way:
            events = self._greeting.tick(now)
            if events and self._greeting.times > TRIES and self.dialect is not None:
                events += self._channel.tell_stall(now)
            return events
        self.prefixes.tick(now)
        neighbors, channel = self._neighbors, self._channel
        if neighbors.detail_at is not None and neighbors.detail_at <= now:
            neighbors.detail_due, neighbors.detail_at = True, None
        neighbors.audience.tick(now)
        if not channel.queue and channel.pulse is not None and now >= self._survey.deadline:
            self._survey.begin(now)
        return channel.tick(now, due=bool(self.prefixes.due))

    # What is heard

    def feed(self, line: str, now: float) -> list[Event]:
        """One line from ExaBGP. Never raises, whatever the line is."""
        self._channel.word = now
        match event_in(line):
            case Change() as change:
                events = self._changed(change)
            case None if is_notice(line):
                events = []
            case None:
                events = self._answer_line(line, now)
            case event:
                events = [event]
        if not (self._channel.stalled or self._greeting.under_way):
            return [*self._channel.resumed(), *events]
        return events

    def _answer_line(self, line: str, now: float) -> list[Event]:
        version, read = self._greeting.feed(line)
        events = [] if version is None else self._greeted(version, now, acknowledged=line == "done")
        if read or self._greeting.under_way:
            return events  # what comes before the version is for a predecessor, or about its half a line
        dialect = self._greeting.dialect
        assert dialect is not None
        if (done := dialect.verdict(line)) is not None:
            return events + self._answered(done, now)
        return events + self._read(line, dialect, now)

    def _greeted(self, version: Version, now: float, *, acknowledged: bool) -> list[Event]:
        events = self._greeting.answer(version)
        if events is None:
            return []
        self._channel.probe_due = True
        if self._channel.pulse is not None:
            self._survey.begin(now)  # before anybody is tried
        self._channel.alive(now)
        if events and not acknowledged:
            self._channel.acknowledged = self.prefixes.looks = False  # where an answer ends is unknown
            detail = "ExaBGP does not answer commands, so nobody knows what it refuses: set exabgp.api.ack to true"
            events.append(Anomaly(detail))
        return events

    def _read(self, line: str, dialect: Dialect, now: float) -> list[Event]:
        """A line of an answer that does not end it. A heading may be the whole answer as well."""
        channel, events = self._channel, list[Event]()
        head = channel.head
        if dialect.is_heading(line):
            events = self._heading(Probe, now)
            if not isinstance(channel.head, Probe):
                return events
        elif dialect.begins_detail(line) and not (isinstance(head, DetailProbe) and head.opened):
            events = self._heading(DetailProbe, now)
        match channel.head:
            case Probe(opened=True) | RoutesProbe() as probe:
                channel.alive(now)
                probe.read(line, dialect)
            case ConfigurationProbe() as survey:
                channel.alive(now)
                survey.lines.append(line)
        return events

    def _answered(self, done: bool, now: float) -> list[Event]:
        channel = self._channel
        channel.alive(now)
        channel.acknowledged = True
        match channel.head:
            case None:
                return self._stray(done)
            case DetailProbe() as probe:
                # Not opened: there is no neighbor at all, or an error came before the first one.
                events = self._detailed(probe if done else None, now)
            case Probe(opened=False):
                return self._stray(done)
            case Probe() as probe:
                events = self._neighbors.summarised(probe, asked=channel.has(DetailProbe))
            case ConfigurationProbe() as survey:
                events = self._surveyed(survey)
            case RoutesProbe() as probe:
                events = self._looked(probe, done, now)
            case Trial() as trial:
                events = self._tried(trial, done, now)
            case Command() as command:
                events = self._commanded(command, done, now)
            case never:
                assert_never(never)
        if channel.answered(now):
            self.prefixes.verify()
        return events

    def _commanded(self, command: Command, done: bool, now: float) -> list[Event]:
        events: list[Event] = []
        prefixes, fenced, alone = self.prefixes, command.fenced, len(command.instructions) == 1
        dialect = self._greeting.dialect
        assert dialect is not None
        for one in command.instructions:
            if done:
                events += prefixes.accepted(one, fenced=fenced, now=now)
            else:
                events += prefixes.refused(
                    one, command.line, alone=alone, fenced=fenced, partial=dialect.partial, now=now
                )
        self._channel.probe_due = self._channel.probe_due or not (done or fenced)
        return events

    def _heading(self, kind: type[Probe], now: float) -> list[Event]:
        """The answer to a probe begins: no command before it will be answered any more."""
        lost = self._channel.open(kind, now)
        if lost is None:
            return []
        events = [event for one in lost for event in self._unanswered(one, now)]
        commands = [one for one in lost if isinstance(one, Command)]
        if self._channel.acknowledged and not all(command.fenced for command in commands):
            events += self.prefixes.doubt()
            events.append(Anomaly(f"{len(commands)} commands were not answered; asking again for each of them"))
        self.prefixes.verify()
        return events

    def _unanswered(self, entry: Entry, now: float) -> list[Event]:
        match entry:
            case DetailProbe():
                return self._detailed(None, now)
            case Trial():
                return self._tried(entry, None, now)
            case RoutesProbe():
                self.prefixes.forget_poll()
            case Command() if not self._channel.acknowledged:
                return self._commanded(entry, done=True, now=now)
            case Command(line=line, fenced=fenced):
                told = [
                    event
                    for one in entry.instructions
                    for event in self.prefixes.lost(one, line, fenced=fenced, now=now)
                ]
                return [] if entry.reported else told
        return []

    def _stray(self, done: bool) -> list[Event]:
        """A surplus answer: any answer so far may have been to another command. Resync."""
        self._neighbors.detail_due = self._neighbors.detail_due or self._channel.has(DetailProbe)
        self._neighbors.audience.try_again(self.established)
        self._greeting.begin_anew()
        self._channel.clear()
        self._survey.due = False
        self.prefixes.forget_unanswered()
        return [Anomaly(f'"{"done" if done else "error"}" answers nothing; saying everything again')]

    # Neighbors

    def _changed(self, change: Change) -> list[Event]:
        session = change.session if change.up else self._neighbors.meant(change.session)
        for one in (session, change.session):
            self._channel.changed(one)
        if change.up:
            self.prefixes.repeat_everything()
            self._neighbors.detail_due = self._neighbors.detail_due or self._channel.pulse is not None
        events = self._neighbors.changed(session, change.selector, change.terms, up=change.up)
        if self.prefixes.knows_numbers:
            self.prefixes.learn(self._neighbors.numbers)
        return events

    def _detailed(self, probe: DetailProbe | None, now: float) -> list[Event]:
        """Both ends of each session are told, or (None) are not."""
        told = self._neighbors.not_detailed(now) if probe is None else self._neighbors.detailed(probe, now)
        events, new = told
        self.prefixes.learn(self._neighbors.numbers)
        if new:
            self.prefixes.repeat_everything()
        return events

    def _surveyed(self, survey: ConfigurationProbe) -> list[Event]:
        """ExaBGP's configuration is known: if it is another one, a neighbor may have missed something.

        So it may if it is the same one again, and was another one meanwhile: what was said since the last look.
        """
        changed = self._neighbors.audience.read(survey.lines)
        self._neighbors.detail_due = self._neighbors.detail_due or changed is not False
        if not changed:
            self.prefixes.say_again(survey.said)
            return []
        self._neighbors.audience.try_again(self.established)
        self.prefixes.repeat_everything()
        self._survey.again = True
        return [Reconfigured()]

    def _looked(self, routes: RoutesProbe, done: bool, now: float) -> list[Event]:
        """ExaBGP's routes are known, if it has answered ``done``."""
        self._survey.looked(routes.count, now)
        self.prefixes.looks = done and routes.count <= MOST_ROUTES
        if self.prefixes.looks:
            self.prefixes.tables_have({network for _, network in routes.announced})
        return [*self._back(routes), *self._kept(routes)]

    def _kept(self, routes: RoutesProbe) -> list[Event]:
        """Which of the withdrawn prefixes are gone, and who still has the others."""
        events: list[Event] = []
        # Answers come in order: whatever was answered before this one was carried out before.
        answered, refused = self.prefixes.answered_unseen, self.prefixes.refused_withdraws
        for network in sorted(routes.unseen | answered | refused, key=str):
            found = {peer for peer, announced in routes.announced if announced == network and self.prefixes.looks}
            neighbors = tuple(sorted(found, key=str))
            if found and network in refused:
                events.append(Kept(network, neighbors))
            elif found or network in routes.unseen:
                events += self.prefixes.seen(network, neighbors)
            # It may not be known yet that they do not list us.
            self._neighbors.audience.try_again(self._neighbors.listening(found))
        return events

    def _back(self, routes: RoutesProbe) -> list[Event]:
        """What ExaBGP has withdrawn for us may be back, as a reload reports nothing."""
        hearing = self._neighbors.hearing
        events: list[Event] = []
        for lane, generation in routes.withdrawn.items():
            network, prefix = lane[0], self.prefixes.lanes.get(lane)
            if prefix is None:
                continue  # ours no more
            named = {one.peer for home, _ in prefix.homes for one in home.attributes.neighbors}
            there = {peer for peer in hearing if (peer, network) in routes.announced}
            there -= self.prefixes.named(network) - named  # those of other lanes
            if prefix.generation != generation or not there:
                continue
            if named and (others := there - named):
                prefix.withdraw_from(tuple(sorted(self._neighbors.listening(others), key=ordered)))
            self.prefixes.renew(lane)
            detail = f"ExaBGP announces {network}, which was withdrawn: is it in a static section of exabgp.conf, or"
            events.append(Anomaly(f"{detail} had another file other neighbors? Withdrawing it again"))
        return events

    def _tried(self, trial: Trial, done: bool | None, now: float) -> list[Event]:
        """What was tried with one neighbor was answered, or (None) never will be (4.2, as with any command)."""
        self.prefixes.end_trial(trial.lane, done)
        session, audience = trial.session, self._neighbors.audience
        dialect = self._greeting.dialect
        assert dialect is not None
        if not dialect.ANY_FAMILY and not self._neighbors.may_carry(session, trial.lane[0].version):
            done = True  # which says nothing, and matters as little
        if session not in self.established:
            return []
        missed = audience.has_missed(session)
        listed = bool(done) or not self._channel.acknowledged  # where ExaBGP acknowledges nothing, it is unknown
        news = audience.answered(session, listed, now)
        if missed and listed:
            self.prefixes.repeat_everything()
        return [Listed(session, listed)] if news else []
