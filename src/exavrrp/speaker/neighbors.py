"""Which BGP sessions there are, and which of their neighbors get our routes; pure.

**Which session?** Two sessions may lead to one neighbor's address, and the rows of a probe's answer name nothing else.
So they are only counted. If their number for an address is not the one that we know (at the start none is known), or
two lead to one address, another probe follows, whose answer has both ends of each session (``Dialect.DETAIL``). It is
long, so it is no fence; it is sent at the start, after each change of ExaBGP's
configuration and for each session that comes up, because it alone has the sessions that are down and the negotiated
families. When a session changes, ExaBGP reports both ends.

**In which words?** ExaBGP compares a command's with the name that a session got from its configuration: text, as the
file has it. So each session is named as ExaBGP's answers spell it. 5.0 calls one without ``local-address``
``local-ip None`` for ever, though its answers tell our end: so that end is named only where it has to be, because two
sessions lead to that neighbor. When it has reloaded, its answers do not tell that end any more: then the only session
that is up is meant (``meant``). 4.2 has no neighbor without ``local-address``.

**Which neighbors get our routes?** ExaBGP passes a command on to the neighbors whose ``api { processes [ … ] }``
lists the process that gave it, and answers ``done`` if there is one. Nothing says which. So each session that is up is
*tried* by itself, with a probe before and one behind: what was sent last of one of our prefixes is sent to it alone,
which changes nothing where it is known, and is answered ``error`` where we are not listed.

Which neighbors list us can change at any time without a word: at a reload (SIGUSR1) ExaBGP 5.0 uses the new list at
once, 4.2 when the session has ended, and neither version resets the session for it. So the text of ``show neighbor
configuration`` is compared with the last one now and then. It is not parsed: it names processes, and we do not know our
own name there. If it differs, every session is tried again.

A list that is changed and changed back between two polls leaves the text as it was, and matters only to what is sent
meanwhile. So what was announced is said once more behind the answer to the next poll (``Prefixes.said_once``).
"""

from collections import Counter
from collections.abc import Collection, Iterable
from hashlib import sha256

from exavrrp.neighbors import Session, Terms, ordered
from exavrrp.routes import OwnNumbers
from exavrrp.speaker.channel import DetailProbe, Probe
from exavrrp.speaker.dialects import LOCAL, chosen_by
from exavrrp.speaker.events import Configured, Event, Neighbor
from exavrrp.speaker.prefix import CERTAIN
from exavrrp.speaker.prefixes import backoff
from exavrrp.vrrp.packet import Address


class Audience:
    """The sessions that are up, and which of their neighbors list us."""

    def __init__(self) -> None:
        self.retrials: dict[Session, float] = {}
        """when those that do not list us are to be tried again"""
        self._known: dict[Session, bool] = {}
        self._due: dict[Session, None] = {}
        self._failures: dict[Session, int] = {}
        self._text = ""

    @property
    def due(self) -> list[Session]:
        """The sessions that are to be tried."""
        return list(self._due)

    def came_up(self, session: Session) -> None:
        """The session is up, or up again: whether it lists us is unknown."""
        self._known.pop(session, None)
        self._failures.pop(session, None)
        self._due[session] = None

    def went_down(self, session: Session) -> None:
        """Forget the session."""
        for known in (self._known, self._due, self._failures, self.retrials):
            known.pop(session, None)

    def is_tried(self, session: Session) -> None:
        """The trial was sent; its answer is awaited."""
        self._due.pop(session, None)

    def answered(self, session: Session, listed: bool, now: float) -> bool:
        """The result of a trial; returns whether it is news. A failed one is retried with back-off.

        One ``error`` is no news: as for any command it may have been another's, or ExaBGP was reloading.
        """
        self.retrials.pop(session, None)
        failures = self._failures[session] = 0 if listed else self._failures.get(session, 0) + 1
        if not listed:
            self.retrials[session] = now + backoff(failures)
        if 0 < failures < CERTAIN:
            return False
        known = self._known.get(session)
        self._known[session] = listed
        return known is not listed

    def knows_deaf(self, session: Session) -> bool:
        """Whether it was tried and does not list us."""
        return self._known.get(session) is False

    def has_missed(self, session: Session) -> bool:
        """Whether its last trial failed, so that what was sent meanwhile may not have reached it."""
        return self._failures.get(session, 0) > 0

    def read(self, lines: Iterable[str]) -> bool | None:
        """ExaBGP's configuration was read: whether it is another one than before; None: it was not read before."""
        before, self._text = self._text, sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
        return self._text != before if before else None

    def try_again(self, sessions: Iterable[Session]) -> None:
        """All of these, whatever is known of them, always in the same order."""
        self._due.update(dict.fromkeys(sorted(sessions, key=ordered)))

    def tick(self, now: float) -> None:
        """Time has passed: what failed is due again."""
        for session in [session for session, at in self.retrials.items() if at <= now]:
            del self.retrials[session]
            self._due[session] = None


class Neighbors:
    """Every session that is up, and ExaBGP's reports of the others."""

    def __init__(self) -> None:
        self.established: set[Session] = set()
        self.audience = Audience()
        self.detail_due = False
        self.detail_at: float | None = None
        """when the probe for both ends is due again"""
        self._families: dict[Session, frozenset[int] | None] = {}
        self._terms: dict[Session, Terms] = {}
        self._told: dict[Session, Terms] = {}
        """those that were reported"""
        self._selectors: dict[Session, str] = {}
        """the words that choose a session, as ExaBGP spells the addresses: it compares text"""
        self._rows: Counter[Address] = Counter()
        """sessions that are up, to each neighbor, as the last probe has them"""
        self._shared = False
        """whether two sessions lead to one neighbor"""
        self._vain = 0
        """probes for both ends in a row that failed"""
        self._introduced = False

    @property
    def hearing(self) -> set[Address]:
        """Neighbors of sessions that are up, but for those that are known not to list us."""
        return {one.peer for one in self.established if not self.audience.knows_deaf(one)}

    def listening(self, peers: Collection[Address]) -> list[Session]:
        """Their sessions to these ``peers``."""
        return [one for one in self.established if one.peer in peers and not self.audience.knows_deaf(one)]

    def may_carry(self, session: Session, version: int) -> bool:
        """Whether it carries the family of this version of IP, or what it carries is not known."""
        families = self._families.get(session)
        return families is None or version in families

    def selector(self, named: Session) -> str:
        """The words that choose it: ExaBGP's own, once it has told any."""
        there = [one for one in self._selectors if one.peer == named.peer]
        covered = [one for one in there if named.covers(one)]
        spelt = [self._selectors[one] for one in covered]
        if covered == there and self._rows[named.peer] <= len(there):
            spelt = [one.partition(LOCAL)[0] for one in spelt]
        return " , ".join(dict.fromkeys(spelt)) or chosen_by(named)

    def meant(self, session: Session) -> Session:
        """The only one that is up to this neighbor, if ExaBGP does not tell our end."""
        there = [one for one in self.established if one.peer == session.peer]
        return there[0] if session.local is None and len(there) == 1 else session

    @property
    def numbers(self) -> OwnNumbers:
        """Our own AS number in each session, as far as it is known."""
        named = {one.peer for one in self._terms if one.local is not None}
        return {
            session: None if terms.internal else terms.local_as
            for session, terms in self._terms.items()
            if session.local is not None or session.peer not in named
        }

    def changed(self, session: Session, words: str, terms: Terms | None, *, up: bool) -> list[Event]:
        """ExaBGP reports a change: an ``up`` is a new session, whatever was known."""
        if up:
            self._selectors.pop(Session(session.peer), None)
            self._selectors[session] = words
        if terms is not None:
            self._terms[session] = terms
        if up:
            self.audience.came_up(session)
        # What was counted without a name is this one, or is found again by the next probe.
        nameless = {Session(session.peer)} - {session}
        return self._are([session] if up else [], [*nameless, *([] if up else [session])])

    def _are(self, up: Iterable[Session], down: Iterable[Session]) -> list[Event]:
        """Sessions that are up come first, lest the node give up for a moment in between."""
        coming = [one for one in up if one not in self.established]
        going = sorted(self.established.intersection(down), key=ordered)
        self.established.update(coming)
        self.established.difference_update(going)
        for one in coming:
            self.audience.came_up(one)
        for one in going:
            self.audience.went_down(one)
        return [
            *(Neighbor(one, established=True) for one in coming),
            *(Neighbor(one, established=False) for one in going),
        ]

    def summarised(self, probe: Probe, *, asked: bool) -> list[Event]:
        """An answer to a probe ends: what it counted is what we know, or more is asked, unless it was (``asked``)."""
        self._rows = probe.rows
        known = Counter(one.peer for one in self.established)
        fresh = {one.peer for one in probe.changed}
        differing = {one for one in known | self._rows if known[one] != self._rows[one]} - fresh
        if self._shared or any(self._rows[one] for one in differing):
            self.detail_due = self.detail_due or not asked
        else:
            self._introduced = True
        return self._are([], [one for one in self.established if one.peer in differing - self._rows.keys()])

    def detailed(self, probe: DetailProbe, now: float) -> tuple[list[Event], bool]:
        """Both ends of each session are known, but for what we have heard since; whether a session is new."""
        detail = probe.detail
        for nameless in [one for one in detail.up if one.local is None]:
            detail.rename(nameless, self.meant(nameless))
        if self._rows and not detail.up:
            return self.not_detailed(now)
        self._vain = 0
        self._shared = max(Counter(one.peer for one in detail.up).values(), default=0) > 1
        self._selectors = detail.selectors
        up = {one for one, established in detail.up.items() if established} - probe.changed
        events, new = self._found(up, self.established - up - probe.changed)
        if (self._families, self._told) != (detail.families, detail.terms):
            self._families, self._told = detail.families, detail.terms
            events.append(Configured(dict(detail.families), dict(detail.terms)))
        self._terms = dict(detail.terms)
        return events, new

    def not_detailed(self, now: float) -> tuple[list[Event], bool]:
        """They are not told (4.2 gives up where an AS number is ``auto`` and not known yet): the addresses must do."""
        self._vain += 1
        self.detail_at = now + backoff(self._vain)
        known = {one.peer for one in self.established}
        return self._found({Session(one) for one in self._rows if one not in known}, ())

    def _found(self, up: set[Session], down: Iterable[Session]) -> tuple[list[Event], bool]:
        """What was asked for; a session that is found so after the first time is a new one."""
        new = sorted(up - self.established, key=ordered)
        again = self._introduced and bool(new)
        self._introduced = True
        return self._are(new, down), again
