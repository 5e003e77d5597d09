"""The kinds of fault, what each may cost and why, and the sequence of them that a seed stands for. Pure.

**What a fault may cost** (`cost`) is stated here, before anything runs, for a service which the struck node serves: the
seconds without an answer, over everything that comes of the fault until all has converged again, healing included. A
service that another node serves may lose nothing. The terms:

- `takeover`: a dead Active's successor needs 3 × interval + Skew_Time until it is elected (RFC 9568 §6.1), and the
  routers need their `reaction` to carry its route into their kernels.
- `resigned`: a node that resigns (priority 0) is succeeded after Skew_Time alone.
- `reroute`: the routers turn from a cut path to another one, without an election.
- 0 where the address stays bound and announced all the time: the kernel answers, whichever process is killed or
  stopped.

The router's terms are measured ones (docs/why/measurements.md): BIRD is done in 5 ms, FRR's bgpd lets each change wait
50 ms at each hop.

Two faults at once may cost the sum, and, if that is anything at all, one takeover by the last of the nodes on top: the
second one can hit the node that was taking over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Literal

from lab.addressing import SERVERS, TORS
from lab.chaos.service import PRIORITIES, SERVICES, Service
from lab.routers import Daemon
from lab.servers import ExaBGPLine

NODES = tuple(server.name for server in SERVERS)
UPLINKS = ("eth0", "eth1")

Direction = Literal["from", "to", "both"]
"Of what is lost, seen from the node."


class Kind(StrEnum):
    """What is done to a machine."""

    POWER_CUT = "power-cut"
    KILL_AGENT = "kill-agent"
    KILL_AGENT_AGAIN = "kill-agent-again"
    "until ExaBGP, whose process dies too often, ends itself"
    KILL_EXABGP = "kill-exabgp"
    STOP_AGENT = "stop-agent"
    STOP_EXABGP = "stop-exabgp"
    STOP_BOTH = "stop-both"
    CUT_UPLINK = "cut-uplink"
    ADVERTS_LOST = "adverts-lost"
    BLACK_HOLE = "black-hole"
    KILL_ROUTER = "kill-router"
    RELOAD = "reload"
    "ExaBGP's SIGUSR1"
    FULL_RELOAD = "full-reload"
    "ExaBGP's SIGUSR2: the agent is replaced"
    FAILED_RELOAD = "failed-reload"
    "ExaBGP's SIGUSR1 while its file is not there; healed by another one when it is"
    UNLIST = "unlist"
    "ExaBGP's SIGUSR1 with a file whose neighbors do not list the agent in their `api`; healed by another one"
    TAKE_ADDRESS = "take-address"
    "somebody removes a virtual address from lo"
    DRAIN = "drain"
    UNFIT = "unfit"
    "the node's check fails"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an episode."""

    kind: Kind
    machine: str
    lasts: float = 0.0
    "seconds until it is healed; 0: it is over at once"
    at: float = 0.0
    "seconds after the beginning of its episode"
    uplinks: tuple[str, ...] = ()
    direction: Direction = "both"
    service: str = ""

    @property
    def deafens(self) -> bool:
        """Whether its node receives nothing while its adverts arrive: it takes over what others serve."""
        return self.kind is Kind.BLACK_HOLE and self.direction == "to" and self.uplinks == UPLINKS

    @property
    def hides(self) -> bool:
        """Whether its node hears no advert, and all else reaches it: it takes over, and draws what others serve."""
        return self.kind is Kind.ADVERTS_LOST and self.direction == "to" and self.uplinks == UPLINKS

    @property
    def hushes(self) -> bool:
        """Whether none of its node's adverts arrives: what the node counts meanwhile, no other knows."""
        return self.kind in {Kind.ADVERTS_LOST, Kind.BLACK_HOLE} and self.direction != "to" and self.uplinks == UPLINKS

    @property
    def refuses(self) -> bool:
        """Whether ExaBGP refuses all that the node's agent wants announced."""
        return self.kind is Kind.UNLIST and self.uplinks == UPLINKS

    @property
    def words(self) -> str:
        """For people."""
        parts = [self.kind, self.machine, *self.uplinks]
        if self.kind in (Kind.ADVERTS_LOST, Kind.BLACK_HOLE):
            parts.append({"from": "outbound", "to": "inbound", "both": "both directions"}[self.direction])
        if self.service:
            parts.append(self.service)
        if self.lasts:
            parts.append(f"for {self.lasts:.2f} s")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Episode:
    """What happens before all has to converge again."""

    card: str
    faults: tuple[Fault, ...]

    @property
    def overlapping(self) -> bool:
        return len(self.faults) > 1

    @property
    def words(self) -> str:
        told = " and, ".join(
            f"{fault.words}" if not fault.at else f"{fault.at:.2f} s later, {fault.words}" for fault in self.faults
        )
        return f"{self.card}: {told}" if self.overlapping else told


# What each may cost


@dataclass(frozen=True, slots=True)
class Terms:
    """The times that costs are made of, in seconds."""

    router: Daemon
    interval: float
    hold: float
    "BGP hold time"
    exabgp: ExaBGPLine

    def skew(self, place: int) -> float:
        """Skew_Time of the node in this place of a service's order: ((256 − priority) × interval) / 256."""
        return (256 - PRIORITIES[place]) * self.interval / 256

    @property
    def reaction(self) -> float:
        """Binding, announcing, the routers and the scheduler together."""
        return 0.05 if self.router == "bird" else 0.12

    @property
    def reroute(self) -> float:
        return 0.05 if self.router == "bird" else 0.25

    @property
    def circling(self) -> float:
        """Seconds for which packets loop between two routers that change their routes one after the other."""
        return 0.0 if self.router == "bird" else 0.1  # 50 ms at each of two hops

    @property
    def takeover(self) -> float:
        return 3 * self.interval + self.skew(1) + self.reaction

    @property
    def last_takeover(self) -> float:
        return 3 * self.interval + self.skew(2) + self.reaction

    @property
    def resigned(self) -> float:
        return self.skew(1) + self.reaction


@dataclass(frozen=True, slots=True)
class Cost:
    """What may be lost, and why."""

    seconds: float
    why: str


SILENCE = "silence for 3 x interval + Skew_Time; the routers' reaction"
NOTHING = Cost(0.0, "the address stays bound and announced")


def cost(fault: Fault, service: Service, terms: Terms, *, overlapping: bool = False) -> Cost:
    """For a service that the struck node serves, and of a router's or a deaf node's for every service.

    What a router needs until it can pass answers on again after a restart is its own, and measured (judge.py).
    """
    match fault.kind:
        case Kind.POWER_CUT | Kind.KILL_EXABGP | Kind.KILL_AGENT_AGAIN:
            return Cost(
                terms.takeover, "its sessions close; silence for 3 x interval + Skew_Time; the routers' reaction"
            )
        case Kind.CUT_UPLINK:
            return _cost_of_cut(fault, service, terms)
        case Kind.BLACK_HOLE:
            return _cost_of_black_hole(fault, service, terms, overlapping=overlapping)
        case Kind.KILL_ROUTER:
            return Cost(2 * terms.reroute, "the other routers find another path, and back")
        case Kind.UNFIT:
            return Cost(_resigned(service, terms), "resigned: Skew_Time; the routers' reaction, a group's twice")
        case Kind.UNLIST:
            return _cost_of_refusals(fault, service, terms, overlapping=overlapping)
        case Kind.STOP_EXABGP if overlapping:
            return Cost(min(fault.lasts, STALL), "it may take over before it knows that its ExaBGP does not answer")
        case Kind.FAILED_RELOAD:
            why = (
                "nothing; but ExaBGP 5.0 ends a session that hears of its neighbor between the repair and its second"
                " reload: another path, resigned, or silence"
            )
            late = terms.takeover if terms.exabgp == "5" else 0.0  # its successor waits for them without a word
            return Cost(max(2 * terms.reroute, _resigned(service, terms), late), why)
        case Kind.TAKE_ADDRESS if fault.service == service.name:
            return Cost(REPAIR, "until the address is bound again")
        case _:
            return NOTHING


STALL = 3.0
"Seconds until an agent takes its ExaBGP for stalled (PULSE and TRIES of speaker/channel.py)."
REPAIR = 0.05
"Seconds; netlink tells at once, and the agent needs about 1 ms."


def _resigned(service: Service, terms: Terms) -> float:
    """Two addresses are bound and announced one after the other: seen with BIRD 64 to 80 ms, alone 48 to 92."""
    return terms.resigned + (terms.reaction if service.group else 0.0)


def _cost_of_refusals(fault: Fault, service: Service, terms: Terms, *, overlapping: bool) -> Cost:
    """With ExaBGP 5.0 what was announced stays so. With 4.2 a new list counts in a new session (`Server.unlist`)."""
    anew = terms.exabgp == "4"
    if not fault.refuses:
        return Cost(4 * terms.reroute, "its session is reset twice: another path, and back") if anew else NOTHING
    lost = _resigned(service, terms) if anew else 0.0
    if overlapping:
        why = "it may take over before it is refused for the second time; resigned"
        return Cost(lost + REFUSED + terms.resigned, why)
    return Cost(lost, "its sessions are reset; resigned") if anew else NOTHING


REFUSED = 1.0
"Seconds from the first refusal to the second one, which counts (BACKOFF of speaker/prefixes.py)."


def _cost_of_cut(fault: Fault, service: Service, terms: Terms) -> Cost:
    """Its node gives up at once, as its sessions have no carrier, however short a cut of both is."""
    if len(fault.uplinks) == 1:
        if service.family == 4:
            return Cost(2 * terms.reroute, "the routers find another path, and back")
        why = "the routers find another path, and back; a neighbor solicitation sent too early is sent once more"
        return Cost(2 * terms.reroute + SOLICITATION, why)
    # However short it is: the kernel may wait for up to a second before it reports a carrier again (linkwatch).
    return Cost(terms.takeover + (fault.lasts if fault.lasts < terms.takeover else 0.0), SILENCE)


SOLICITATION = 1.0
"Seconds between two neighbor solicitations (RetransTimer, RFC 4861 §10)."


def _cost_of_black_hole(fault: Fault, service: Service, terms: Terms, *, overlapping: bool) -> Cost:
    if len(fault.uplinks) == 1:
        why = "only the BGP hold time ends the use of this path, and static routes never leave it"
        if not overlapping:
            return Cost(fault.lasts + terms.reroute, why)
        # TCP doubles its retransmission time-out: it may resume as late again as the hole lasted (RFC 6298 §5.5).
        behind = min(fault.lasts, terms.hold + HOLD_MARGIN)
        return Cost(fault.lasts + behind + terms.reroute, f"{why}; TCP delivers what BGP sent meanwhile as late again")
    if service.takeover and fault.direction != "to":
        return Cost(terms.takeover, f"{SILENCE}; the new route wins over the stale one")
    until = min(fault.lasts, terms.hold + HOLD_MARGIN)
    if fault.direction == "to":
        return Cost(
            until + terms.takeover, "its adverts arrive, but packets do not reach it, until its BGP sessions time out"
        )
    return Cost(until + terms.takeover, "its stale route stays until the BGP hold time is over")


HOLD_MARGIN = 1.0
"Seconds: each side counts from the last message that it received, and checks its timers only from time to time."


# The sequence


def episodes(seed: int, cards: tuple[str, ...] = ()) -> Iterator[Episode]:
    """An endless sequence: all cards (or those named) in random order, then again in another order."""
    random = Random(seed)
    deck = [card for card, count in COUNTS.items() if not cards or card in cards for _ in range(count)]
    assert deck, "no such card"
    while True:
        random.shuffle(deck)
        for card in deck:
            yield Episode(card, CARDS[card](random))


Card = Callable[[Random], tuple[Fault, ...]]


def _node(random: Random) -> str:
    return random.choice(NODES)


def _length(random: Random, *ranges: tuple[float, float]) -> float:
    return random.uniform(*random.choice(ranges))


SHORT, ABOUT, LONG = (0.05, 0.25), (0.3, 1.0), (1.0, 5.0)
"Below Active_Down_Interval, about it, and above."
UNREPAIRED = (1.5, 5.0)
"A repair at once may come before anybody knows that a reload has failed, and ExaBGP 5.0 then ends its sessions."
HOLD = 9
"Seconds: the BGP hold time of the lab; ENDLESS is above it."
ENDLESS = (HOLD + 1.5, HOLD + 4.0)
KNOWN = 8.0
"""Seconds until a node knows that it is refused. Its agent polls ExaBGP's configuration every 5; the second refusal
counts, one second after the first; and the machine is busy.
"""
NOTICED = (KNOWN, KNOWN + 5.0)
DIRECTIONS: tuple[Direction, ...] = ("from", "to", "both")


def _simple(kind: Kind, *ranges: tuple[float, float]) -> Card:
    def card(random: Random) -> tuple[Fault, ...]:
        return (Fault(kind, _node(random), _length(random, *ranges) if ranges else 0.0),)

    return card


def _cut(number: int) -> Card:
    def card(random: Random) -> tuple[Fault, ...]:
        lasts = _length(random, SHORT, ABOUT, LONG, ENDLESS)
        return (Fault(Kind.CUT_UPLINK, _node(random), lasts, uplinks=_uplinks(random, number)),)

    return card


def _lost(kind: Kind, number: int) -> Card:
    def card(random: Random) -> tuple[Fault, ...]:
        lasts = _length(random, ABOUT, LONG, *([ENDLESS] if kind is Kind.BLACK_HOLE else []))
        direction = random.choice(DIRECTIONS)
        return (Fault(kind, _node(random), lasts, uplinks=_uplinks(random, number), direction=direction),)

    return card


def _cut_shortly(random: Random) -> tuple[Fault, ...]:
    return (Fault(Kind.CUT_UPLINK, _node(random), _length(random, SHORT, ABOUT), uplinks=UPLINKS),)


def _deaf(random: Random) -> tuple[Fault, ...]:
    return (Fault(Kind.ADVERTS_LOST, _node(random), _length(random, LONG), uplinks=UPLINKS, direction="to"),)


def _uplinks(random: Random, number: int) -> tuple[str, ...]:
    return tuple(sorted(random.sample(UPLINKS, number)))


def _kill_router(random: Random) -> tuple[Fault, ...]:
    return (Fault(Kind.KILL_ROUTER, random.choice(TORS).name, _length(random, SHORT, (1.0, 3.0))),)


def _take_address(random: Random) -> tuple[Fault, ...]:
    service = random.choice(SERVICES)
    return (Fault(Kind.TAKE_ADDRESS, service.home, service=service.name),)


def _frozen_heir(random: Random) -> tuple[Fault, ...]:
    """The node that is to take over has an ExaBGP that does not answer."""
    service = random.choice(SERVICES)
    lasts = _length(random, (2.0, 6.0), ENDLESS)
    frozen = Fault(Kind.STOP_EXABGP, service.nodes[1], lasts)
    kind = random.choice((Kind.POWER_CUT, Kind.KILL_EXABGP, Kind.UNFIT))
    after = random.uniform(0.1, lasts - 1)
    return frozen, Fault(kind, service.home, 0.0 if kind is Kind.KILL_EXABGP else _length(random, LONG), at=after)


def _unlist(number: int) -> Card:
    def card(random: Random) -> tuple[Fault, ...]:
        lasts = _length(random, LONG, NOTICED)
        return (Fault(Kind.UNLIST, _node(random), lasts, uplinks=_uplinks(random, number)),)

    return card


def _refused_heir(random: Random) -> tuple[Fault, ...]:
    """The node that is to take over has an ExaBGP that refuses its announcements, which it may not know yet."""
    service = random.choice(SERVICES)
    lasts = _length(random, NOTICED)
    refused = Fault(Kind.UNLIST, service.nodes[1], lasts, uplinks=UPLINKS)
    kind = random.choice((Kind.POWER_CUT, Kind.KILL_EXABGP, Kind.UNFIT))
    after = random.uniform(0.1, lasts - 1)
    return refused, Fault(kind, service.home, 0.0 if kind is Kind.KILL_EXABGP else _length(random, LONG), at=after)


def _in_handover(kind: Kind) -> Card:
    """To one of the two nodes while a drained one hands over."""

    def card(random: Random) -> tuple[Fault, ...]:
        service = random.choice(SERVICES)
        drain = Fault(Kind.DRAIN, service.home, _length(random, (0.5, 6.0)))
        return drain, Fault(kind, random.choice(service.nodes[:2]), at=random.uniform(0.02, 3.2))

    return card


def _overlap(random: Random) -> tuple[Fault, ...]:
    """Any two on two nodes, the second while the first one lasts or shortly after it began."""
    first, second = (CARDS[random.choice(PAIRABLE)](random)[0] for _ in range(2))
    if second.machine == first.machine:
        others = [node for node in NODES if node != first.machine]
        served = next(service.name for service in SERVICES if service.home == others[0])
        second = replace(second, machine=others[0], service=served if second.service else "")
    return first, replace(second, at=random.uniform(0.02, min(max(first.lasts, 0.5), 3.0)))


CARDS: Mapping[str, Card] = {
    "power-cut": _simple(Kind.POWER_CUT, ABOUT, LONG),
    "kill-agent": _simple(Kind.KILL_AGENT),
    "kill-agent-again": _simple(Kind.KILL_AGENT_AGAIN),
    "kill-exabgp": _simple(Kind.KILL_EXABGP),
    "stop-agent": _simple(Kind.STOP_AGENT, SHORT, ABOUT, LONG),
    "stop-exabgp": _simple(Kind.STOP_EXABGP, ABOUT, LONG, ENDLESS),
    "stop-both": _simple(Kind.STOP_BOTH, SHORT, ABOUT, LONG, ENDLESS),
    "cut-uplink": _cut(1),
    "cut-uplinks": _cut(2),
    "cut-shortly": _cut_shortly,
    "adverts-lost": _lost(Kind.ADVERTS_LOST, 1),
    "all-adverts-lost": _lost(Kind.ADVERTS_LOST, 2),
    "deaf": _deaf,
    "black-hole": _lost(Kind.BLACK_HOLE, 1),
    "mute": _lost(Kind.BLACK_HOLE, 2),
    "kill-router": _kill_router,
    "reload": _simple(Kind.RELOAD),
    "full-reload": _simple(Kind.FULL_RELOAD),
    "failed-reload": _simple(Kind.FAILED_RELOAD, UNREPAIRED),
    "refused": _unlist(2),
    "half-refused": _unlist(1),
    "refused-heir": _refused_heir,
    "take-address": _take_address,
    "drain": _simple(Kind.DRAIN, (0.3, 6.0)),
    "unfit": _simple(Kind.UNFIT, LONG),
    "frozen-heir": _frozen_heir,
    "full-reload-in-handover": _in_handover(Kind.FULL_RELOAD),
    "kill-in-handover": _in_handover(Kind.KILL_AGENT),
    "overlap": _overlap,
}
"How an episode is drawn, by name."
COUNTS: Mapping[str, int] = dict.fromkeys(CARDS, 1) | {"overlap": 5}
"How often each is in the deck."
PAIRABLE = (
    "power-cut",
    "kill-agent",
    "kill-exabgp",
    "stop-agent",
    "stop-exabgp",
    "stop-both",
    "cut-uplink",
    "cut-uplinks",
    "adverts-lost",
    "all-adverts-lost",
    "deaf",
    "black-hole",
    "mute",
    "reload",
    "full-reload",
    "refused",
    "half-refused",
    "take-address",
    "drain",
    "unfit",
)
"Two of these leave a third node that can serve. (A router beside a cut uplink would leave none.)"
