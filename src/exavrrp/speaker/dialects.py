"""What a line of ExaBGP's API looks like: the words of commands, and what the lines of its answers mean; pure.

A ``Dialect`` is everything that may differ between the lines of ExaBGP. 4.2 and 5.0 differ in what they answer to the
same words (5.0 lists sessions that are down in a summary, too), which the readers here take as it comes. ExaBGP 6 has
another API, with JSON (``Api6``), and the one of 4.2 and 5.0 by ``exabgp_api_version=4``: which one it speaks is told
by how it tells its version, to words that all of them understand.

This file knows nothing of order, of time, or of which answer belongs to which command. The configuration has validated
the values of a route; what must never reach the API whatever happens (a second line, a byte that is not printable
ASCII: ExaBGP ends the plugin for it) is refused here again. Observations hold for 4.2.25 and 5.0.15, and are proved by
``tests/system/test_exabgp.py``; those about ExaBGP 6 were made with its main branch (4460078e0019), as no release has
it yet.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from exavrrp.neighbors import Session, Terms
from exavrrp.routes import DEFAULT_LOCAL_PREFERENCE, LARGEST, Attributes, Network, Route
from exavrrp.speaker.events import Anomaly, Stopping
from exavrrp.speaker.variants import BRIEF, Variant
from exavrrp.vrrp.packet import Address

_VERSION = re.compile(r"exabgp (\S+)")
_WORD = re.compile(r"\S+")
_NAME = re.compile(r"neighbor \S")
_ANSWER = re.compile(r'\{"(?:(?:version|index|removed|route)"|[0-9A-Fa-f.:]+": \{"routes"): ')
"""JSON of ExaBGP 6 that answers a command; what it tells by itself begins with ``{ "exabgp"``"""
_HEADING = re.compile(r"Peer\s+AS\s+up/down\s")
_BLOCK = re.compile(r"Neighbor (\S+)")
_LOCAL = re.compile(r"\s+local\s+(\S+)\s*")
_STATE = re.compile(r"\s+state\s+(\S+)\s*")
_NUMBERS = re.compile(r"\s+AS\s+(\d+)\s+(\d+)\s*")
_HOLD = re.compile(r"\s+hold-time\s+(\d+)\s+(\d+)\s*")
"""the remote one is ``n/a`` while the session was not up"""
_FAMILY = re.compile(r"\s+ipv([46]) unicast:\s+enabled\s+(enabled|disabled|n/a)\s.*")
_ROUTE = re.compile(r"(?:neighbor )?(\S+) ipv[46] unicast (\S+)(?: next-hop .*)?")
"""ExaBGP 6 tells no next hop"""
_ESTABLISHED = "established"
_TEXT_STATE = re.compile(r"neighbor \S+ (connected|up|down)( |$)")
_TEXT_SHUTDOWN = re.compile(r"shutdown \d+ \d+")
"""What a process with ``encoder text`` is told instead of JSON."""


LONGEST_NUMBER = 10
"""Digits of a number of 32 bits; Python refuses to read one of thousands."""

LONGEST_HOLD = 0xFFFF
"""Seconds (RFC 4271 §4.2)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A session came up or went down, as ExaBGP tells it by itself."""

    session: Session
    up: bool
    selector: str
    """the words that choose the session, each address as ExaBGP writes it: it compares text"""
    terms: Terms | None = None
    """its AS numbers"""


@dataclass(slots=True)
class Detail:
    """What is read of the answer for both ends of each session: some thirty lines for each, up or not."""

    up: dict[Session, bool]
    selectors: dict[Session, str]
    families: dict[Session, frozenset[int] | None]
    """4 and 6, as far as both ends have agreed upon them; None: it was not up yet"""
    terms: dict[Session, Terms] = field(default_factory=dict)
    peer: Address | None = None
    """the neighbor whose lines come now"""
    local: Address | None = None
    words: str = ""

    def rename(self, session: Session, known: Session) -> None:
        """What was told of ``session`` is that of ``known``, unless that one was told, too."""
        tables: tuple[dict[Session, Any], ...] = (self.up, self.selectors, self.families, self.terms)
        for table in tables if known not in self.up else ():
            if session in table:
                table[known] = table.pop(session)


class Dialect:
    """The text API of ExaBGP 4.2 and 5.0, and of 6 with ``exabgp_api_version=4``."""

    THROWAWAY = " exavrrp"
    """No command, alone or glued to half of one. ExaBGP logs it as not understood, once for every start of ours."""
    RESET = "session reset"
    """forgets this process's queue of commands; not answered, but by ExaBGP 6. The words of API 6: those of 4.2 and 5.0
    end with ``reset``, which is enough for them."""
    VERSION = "system version"
    """answered at once: it overtakes the commands before it; likewise in words that every API understands"""
    PROBE = "show neighbor summary"
    """answered in its turn, with a heading that nothing else has"""
    CONFIGURATION = "show neighbor configuration"
    """empty: it is not told"""
    DETAIL = "show neighbor extensive"
    ROUTES = "show adj-rib out"
    ANY_FAMILY = True
    """whether what is sent to one neighbor is ``done``, too, where its session does not carry the family"""

    def __init__(self, major: str, *, forgets: bool, partial: bool) -> None:
        self.major = major
        self.partial = partial
        """Whether ``error`` may mean that some neighbors were told: those before one that raised an exception, as an
        IPv4 session does for an IPv6 route with ``next-hop self``. 5.0 answers ``error`` to any (its file
        asynchronous.py), 4.2 nothing."""
        self.forgets = forgets
        """Whether a reload that fails makes it forget its neighbors. After the next one, which succeeds, each session
        ends with the next message that it receives (``Peer._main`` reads what the neighbor was before, which is None),
        unless ExaBGP has reloaded again by then."""

    # Commands

    def announce(
        self, route: Route, variant: Variant = BRIEF, also: Sequence[Route] = (), words: "Words | None" = None
    ) -> str:
        """The line that announces ``route``, or replaces the announcement of its prefix.

        And that of others, which must have the same attributes and be of the same family. ``words``: those that choose
        a session.
        """
        return self._line("announce", (route, *also), variant, words)

    def withdraw(
        self, route: Route, variant: Variant = BRIEF, also: Sequence[Route] = (), words: "Words | None" = None
    ) -> str:
        """The line that withdraws the prefix of ``route``, which is how it was announced, attributes and all.

        And those of others, which must have the same attributes and be of the same family. ``words``: as above.
        """
        return self._line("withdraw", (route, *also), variant, words)

    def for_one(self, words: str, line: str) -> str:
        """A command for the session alone that ``words`` (``selector``) choose."""
        return f"{words} {line}"

    def _line(self, verb: str, routes: Sequence[Route], variant: Variant, names: "Words | None") -> str:
        attributes = routes[0].attributes
        assert not attributes.next_hops, "parts() makes what one command can say"
        assert not attributes.prepend, "parts() makes the path as sent"
        assert {(one.attributes, one.network.version) for one in routes} == {(attributes, routes[0].network.version)}
        written = _attribute_words(attributes, variant)
        chosen = " , ".join(map(names or chosen_by, attributes.neighbors))  # a comma needs its spaces
        if len(routes) == 1:
            words = ["route", routes[0].prefix, *written]
        else:
            words = ["attributes", *written, "nlri", *(one.prefix for one in routes)]
        line = self._addressed(chosen, verb, " ".join(words))
        assert line.isascii(), line
        assert line.isprintable(), line
        return line

    def _addressed(self, chosen: str, verb: str, words: str) -> str:
        return f"{chosen} {verb} {words}" if chosen else f"{verb} {words}"

    # Answers

    def verdict(self, line: str) -> bool | None:
        """Whether a command was carried out, from the line that ends its answer; None: the line does not."""
        return {"done": True, "error": False}.get(line)

    def is_heading(self, line: str) -> bool:
        """Whether the answer to a probe begins."""
        return _HEADING.match(line) is not None

    def begins_detail(self, line: str) -> bool:
        """Whether the lines of another session begin in the answer for both ends."""
        return _BLOCK.match(line) is not None

    def established_peer(self, line: str) -> Address | None:
        """The neighbor of an Established session, from a line of the answer to a probe.

        Address, AS, since when, state, two counters (ExaBGP 6: three). 4.2 lists only sessions that are up.
        """
        words = line.split()
        return address(words[0]) if len(words) >= 6 and _ESTABLISHED in words[-4:-2] else None

    def established_peers(self, line: str) -> list[Address]:
        """The neighbors of all Established sessions that a line of the answer to a probe tells of."""
        peer = self.established_peer(line)
        return [] if peer is None else [peer]

    def read_detail(self, detail: Detail, line: str) -> None:
        """A line of the answer for both ends: a session's neighbor, our end, its state, its AS numbers, its hold time,
        its families.
        """
        if found := _BLOCK.fullmatch(line):
            detail.peer, detail.local = address(found[1]), None
            detail.words = selector(found[1], None)
        elif found := _LOCAL.fullmatch(line):
            detail.local = address(found[1])
            detail.words += LOCAL + (_bare(found[1]) if detail.local is not None else "None")
        elif detail.peer is not None and (found := _STATE.fullmatch(line)):
            session = Session(detail.peer, detail.local)
            detail.up[session] = found[1].lower() == _ESTABLISHED
            detail.selectors[session] = detail.words
            detail.families[session] = None
        elif detail.peer is not None and (found := _NUMBERS.fullmatch(line)):
            if (terms := _terms(found[1], found[2])) is not None:
                detail.terms[Session(detail.peer, detail.local)] = terms
        elif detail.peer is not None and (found := _HOLD.fullmatch(line)):
            session = Session(detail.peer, detail.local)
            if (known := detail.terms.get(session)) is not None:
                detail.terms[session] = replace(known, hold_time=_smaller(found[1], found[2]))
        elif detail.peer is not None and (found := _FAMILY.fullmatch(line)) and found[2] != "n/a":
            session = Session(detail.peer, detail.local)
            if not detail.up.get(session):
                return  # ExaBGP 6 says "enabled" of what is not known yet
            agreed = frozenset({int(found[1])}) if found[2] == "enabled" else frozenset()
            detail.families[session] = (detail.families.get(session) or frozenset()) | agreed

    def route(self, line: str) -> tuple[Address, Network] | None:
        """What is announced to which neighbor, from a line of the answer to ``ROUTES``."""
        if found := _ROUTE.fullmatch(line):
            with suppress(ValueError):
                return ip_address(found[1]), ip_network(found[2])
        return None

    def routes(self, line: str) -> list[tuple[Address, Network]]:
        """All that a line of the answer to ``ROUTES`` tells."""
        found = self.route(line)
        return [] if found is None else [found]


class Api6(Dialect):
    """The API of ExaBGP 6, whose answers are JSON; ``done`` and ``error`` are words still, and ``error: REASON`` may
    stand before the latter. Its commands are carried out one after the other, whatever they are.

    Observed [seen] where ``peer SELECTOR announce …`` is concerned: where no session that lists us fits the selector,
    the route is announced to all that do, and answered ``done``. So what is not for all is said by ``routes add`` and
    ``routes remove``, which tell nobody then, and answer whether anybody was told.

    Acknowledgement after the wire (``session sync enable``) is not used. ExaBGP waits in its main loop for each session
    that has a connection to send something, and one whose family is another one has nothing to send: no further command
    was answered, and SIGTERM was not heeded any more [seen].
    """

    PROBE = "daemon status"
    """answered with a line that nothing else has: the state of each session, up or not"""
    CONFIGURATION = ""
    DETAIL = "peer show"
    ROUTES = "rib show out"
    ANY_FAMILY = False

    def for_one(self, words: str, line: str) -> str:
        verb, _, route = line.removeprefix("peer * ").partition(" ")
        return self._addressed(words, verb, route)

    def _addressed(self, chosen: str, verb: str, words: str) -> str:
        if not chosen:
            return f"peer * {verb} {words}"
        sessions = chosen.replace("neighbor ", "")
        return f"peer [ {sessions} ] routes {_ROUTES_VERBS[verb]} {words}"

    def verdict(self, line: str) -> bool | None:
        if line[:2] not in ('{"', "[{"):
            return super().verdict(line)
        told = _loaded(line)
        results = [_success(one) for one in (told if isinstance(told, list) else [told])]
        return None if None in results else all(results)

    def is_heading(self, line: str) -> bool:
        return _states(line) is not None

    def begins_detail(self, line: str) -> bool:
        return any(True for _ in _details(line))

    def established_peers(self, line: str) -> list[Address]:
        peers = [address(name.split()[1]) for name, state in (_states(line) or {}).items() if state == "ESTABLISHED"]
        return [one for one in peers if one is not None]

    def read_detail(self, detail: Detail, line: str) -> None:
        for session, words, told in _details(line):
            detail.up[session] = told.get("fsm") == "ESTABLISHED"
            detail.selectors[session] = words
            detail.families[session] = _agreed(told)
            if (terms := _ends(told)) is not None:
                detail.terms[session] = terms

    def routes(self, line: str) -> list[tuple[Address, Network]]:
        found = []
        match _loaded(line):
            case {**told}:
                for peer, each in told.items():
                    match each:
                        case {"routes": [*routes]}:
                            found += [_announced(peer, one) for one in routes]
        return [one for one in found if one is not None]


_ROUTES_VERBS = {"announce": "add", "withdraw": "remove"}


def _loaded(line: str) -> object:
    """None for what is no JSON."""
    with suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def _success(told: object) -> bool | None:
    """Of one route of a ``routes add`` or ``routes remove``; None if it is none."""
    match told:
        case {"route": str(), "success": bool(found)} | {"route": str(), "removed": bool(found)}:
            return found
    return None


def _states(line: str) -> dict[str, object] | None:
    """The state of each session, by ExaBGP's name for it; None if the line does not answer ``Api6.PROBE``."""
    if not line.startswith('{"version": '):
        return None
    match _loaded(line):
        case {"uuid": str(), "peers": {**states}}:
            return {name: state for name, state in states.items() if isinstance(name, str) and _NAME.match(name)}
    return None


def _details(line: str) -> Iterator[tuple[Session, str, Mapping[object, object]]]:
    """Each session, the words that choose it, and what is told of it, from an answer to ``Api6.DETAIL``."""
    if not line.startswith("[{"):
        return
    told = _loaded(line)
    for one in told if isinstance(told, list) else ():
        match one:
            case {"local": {"address": local}, "peer": {"address": str(peer)}}:
                pass
            case {"peer-address": str(peer), "local-address": local}:
                pass  # ExaBGP has not begun with it
            case _:
                continue
        if (ip := address(peer)) is not None:
            session = Session(ip, address(local))
            yield session, selector(peer, None if session.local is None else str(local)), one


def _agreed(told: Mapping[object, object]) -> frozenset[int] | None:
    """The families of a session that is up; None: it is not."""
    match told:
        case {"fsm": "ESTABLISHED", "peer": {"families": {**families}}}:
            return frozenset(number for number in (4, 6) if families.get(f"ipv{number} unicast") == 1)
    return None


def _ends(told: Mapping[object, object]) -> Terms | None:
    """The AS numbers of a session and, once it was up, the hold time."""
    match told:
        case {"local": {"as": int(own), **ours}, "peer": {"as": int(other), **theirs}}:
            terms = _terms(_digits(own), _digits(other))
            held = ours.get("hold"), theirs.get("hold")
            if terms is None or not all(isinstance(one, int) and one >= 0 for one in held):
                return terms
            return replace(terms, hold_time=_smaller(*map(_digits, held)))
        case {"local-as": int(own), "peer-as": int(other)}:
            return _terms(_digits(own), _digits(other))
    return None


def _digits(number: Any) -> str:
    return f"{number:d}"  # JSON's true is an int, too


def _announced(peer: object, route: object) -> tuple[Address, Network] | None:
    match route:
        case {"prefix": str(prefix)}:
            with suppress(ValueError):
                return ip_address(str(peer)), ip_network(prefix)
    return None


V4, V5 = Dialect("4", forgets=False, partial=False), Dialect("5", forgets=True, partial=True)
DIALECTS = {one.major: one for one in (V4, V5)}
"""by the major number of the version, the newest last: those that there are packages of"""
*_, NEWEST = DIALECTS.values()
"""for a version that is not among them, and until the version is known"""
V6 = Api6("6", forgets=False, partial=True)
OLD_V6 = Dialect("6", forgets=False, partial=True)
"""with ``exabgp_api_version=4``"""


def dialect_of(version: str, *, json_api: bool = False) -> tuple[Dialect, bool]:
    """The dialect for a version, and whether it is known; if not, the newest one is tried.

    ``json_api``: whether the version was told by the API of ExaBGP 6.
    """
    if json_api:
        return V6, True
    known = {**DIALECTS, OLD_V6.major: OLD_V6}
    major = version.partition(".")[0]
    return known.get(major, NEWEST), major in known


# Before the dialect is known, and whatever it is


@dataclass(frozen=True, slots=True)
class Version:
    """The version of ExaBGP, as it was told."""

    text: str
    json_api: bool = False
    """whether by the API of ExaBGP 6"""


def version_in(line: str) -> Version | None:
    """The version of ExaBGP in the first of the two lines that answer ``VERSION``."""
    if found := _VERSION.fullmatch(line):
        return Version(found[1])
    if line.startswith('{"version": '):
        match _loaded(line):
            case {"version": str(text), "application": "exabgp"} if _WORD.fullmatch(text):
                return Version(text, json_api=True)
    return None


def is_notice(line: str) -> bool:
    """Whether a line is JSON that answers nothing: what other parts of ExaBGP's API tell."""
    return line.startswith("{") and _ANSWER.match(line) is None


def event_in(line: str) -> Change | Stopping | Anomaly | None:
    """What ExaBGP tells by itself: a session's state or its own end; as JSON, or in ``encoder text``."""
    if line.startswith("{"):
        return _json_event(line)
    if _TEXT_SHUTDOWN.fullmatch(line):
        return Stopping()
    if _TEXT_STATE.match(line):
        return Anomaly("ExaBGP tells a neighbor's state as text, which is not read: set encoder json in its process")
    return None


def _json_event(line: str) -> Change | Stopping | None:
    """None for whatever other parts of its API tell, and for what is no JSON."""
    if '"state"' not in line and '"shutdown"' not in line:
        return None
    with suppress(ValueError, RecursionError):  # not JSON, or not an address
        match json.loads(line):
            case {"type": "notification", "notification": "shutdown"}:
                return Stopping()
            case {
                "type": "state",
                "neighbor": {"address": {"peer": str(peer), **ends}, "state": "up" | "down" as state, **more},
            }:
                session = Session(ip_address(peer), address(ends.get("local")))
                local = None if session.local is None else str(ends["local"])
                return Change(session, state == "up", selector(peer, local), _asn(more))
    return None


def _asn(told: Mapping[object, object]) -> Terms | None:
    """The AS numbers of a session; None while one is not known (``auto``)."""
    match told.get("asn"):
        case {"local": int(local), "peer": int(peer)}:
            return _terms(str(local), str(peer))
    return None


def _terms(local: str, peer: str) -> Terms | None:
    """None if they are no AS numbers (RFC 6793, RFC 7607)."""
    numbers = [int(one) for one in (local, peer) if len(one) <= LONGEST_NUMBER]
    return Terms(*numbers) if len(numbers) == 2 and all(0 < one <= LARGEST for one in numbers) else None


def _smaller(one: str, another: str) -> int | None:
    """Of two hold times (RFC 4271 §4.2); None if they are none."""
    seconds = min(int(each) if len(each) <= LONGEST_NUMBER else LARGEST for each in (one, another))
    return seconds if seconds <= LONGEST_HOLD else None


def selector(peer: str, local: str | None) -> str:
    """The words that choose a session; addresses without a scope, which may be any text: exabgp.conf has none."""
    return f"neighbor {_bare(peer)}" + ("" if local is None else LOCAL + _bare(local))


LOCAL = " local-ip "
"""Before our end; ``None`` where exabgp.conf has no ``local-address``: so 5.0 names the session for ever."""

Words: TypeAlias = Callable[[Session], str]
"""Those that choose a session in a command."""


def chosen_by(session: Session) -> str:
    """The words that choose it, as long as nobody knows how ExaBGP spells its addresses."""
    return selector(str(session.peer), None if session.local is None else str(session.local))


def _bare(text: str) -> str:
    return text.partition("%")[0]


def address(text: object) -> Address | None:
    """None if it is none."""
    try:
        return ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def everywhere(route: Route) -> Route:
    """``route`` for all neighbors."""
    return Route(route.network, route.attributes.for_all)


def _attribute_words(attributes: Attributes, variant: Variant) -> list[str]:
    words = [f"next-hop {attributes.next_hop}"]
    if attributes.med is not None:
        words.append(f"attribute [0x04 0x80 0x{attributes.med:08x}]" if variant.med else f"med {attributes.med}")
    if attributes.local_preference is None and variant.preference:
        words.append(f"local-preference {DEFAULT_LOCAL_PREFERENCE}")
    elif attributes.local_preference is not None and variant.preference:
        words.append(f"attribute [0x05 0x40 0x{attributes.local_preference:08x}]")
    elif attributes.local_preference is not None:
        words.append(f"local-preference {attributes.local_preference}")
    if attributes.communities:
        words.append(f"community [{' '.join(attributes.communities)}]")
    if attributes.large_communities:
        words.append(f"large-community [{' '.join(attributes.large_communities)}]")
    if attributes.as_path:
        words.append(f"as-path [{' '.join(map(str, attributes.as_path))}]")
    if variant.origin:
        words.append(variant.origin)
    return words
