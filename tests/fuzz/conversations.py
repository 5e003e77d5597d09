"""Whole conversations with an ExaBGP that writes anything, in any pieces and at any time.

Afterwards ExaBGP behaves, and the client has to recover: its worst failure is not an exception but to wait for ever, or
to keep a wrong state for ever.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from exavrrp.neighbors import Session
from exavrrp.pump import Lines
from exavrrp.routes import Attributes, Level, Network, Route
from exavrrp.speaker import Conversation
from exavrrp.speaker.channel import WINDOW
from exavrrp.speaker.dialects import V5, V6
from exavrrp.speaker.prefix import FORMS
from exavrrp.speaker.variants import REMEMBERED
from exavrrp.takeover import RouteContext, RoutePolicy, Takeover
from tests.fuzz.choices import Choices
from tests.fuzz.reader import Reader

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
SUMMARY = [HEADING, "192.0.2.1 65000 0:00:05 established 1 1", "2001:db8::1 65000 down idle 0 0", "done"]
HOST = '"exabgp": "5.0.0", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "counter": 1'
EXTENSIVE = [
    *("Neighbor 192.0.2.1", "", "   local    192.0.2.2  ", "   state   ESTABLISHED  "),
    *("   AS          65010      65000    ", "   hold-time     180        9    ", "done"),
]
VERSION6 = '{"version": "6.0.0", "application": "exabgp"}'
STATUS6 = '{"version": "6.0.0", "uuid": "1", "peers": {"neighbor 192.0.2.1 local-ip 192.0.2.2": "ESTABLISHED"}}'
DETAIL6 = (
    '[{"fsm": "ESTABLISHED", "local": {"address": "192.0.2.2", "as": 65010, "hold": 9}, "peer": '
    '{"address": "192.0.2.1", "as": 65000, "hold": 9, "families": {"ipv4 unicast": 1}}}]'
)
RESULT6 = '{"index": "30", "route": "2001:db8:53::1/128", "success": true}'
NEIGHBORS = (
    Session(ip_address("192.0.2.1"), ip_address("192.0.2.2")),
    Session(ip_address("192.0.2.1"), ip_address("192.0.2.3")),
    Session(ip_address("2001:db8::1")),
)
POLICIES = (
    RoutePolicy.derived(Attributes(med=50)),
    RoutePolicy.derived(Attributes(prepend=2, communities=("65010:7",)), frozenset(Takeover)),
    RoutePolicy(
        Attributes(med=50, neighbors=NEIGHBORS[:1]),
        Attributes(med=60, neighbors=NEIGHBORS),
        Attributes(neighbors=NEIGHBORS),
    ),
)
VIRTUAL = tuple(map(ip_network, ("2001:db8:53::1", "2001:db8:53::2", "192.0.2.53")))
LATER = (0.0, 0.001, 0.1, 1.0, 5.0, 100.0)
ROUNDS = 400
"""Turns in which an ExaBGP that behaves again has to have carried everything out."""


def exabgp(data: bytes) -> None:
    """Whole conversations: any bytes in any pieces at any time, new desired sets in between; then a correct ExaBGP.

    Never an exception, a bounded memory, never a deadline that has passed and stays (the loop would spin), and in the
    end what was wanted is carried out, whatever came before.
    """
    choices = Choices(data)
    policies = dict(zip(VIRTUAL, [POLICIES[choices.number(3)] for _ in VIRTUAL], strict=True))
    conversation = Conversation()
    conversation.own([route for one, policy in policies.items() for route in policy.routes(one)])
    lines, now, unread = Lines(512), 100.0, list[str]()
    if choices.number(2):
        unread += conversation.transmit(now)
    while choices:
        match choices.number(6):
            case 0:
                heard = choices.take(choices.number(200))
            case 1:
                many = choices.number(8)
                heard = b"".join(one.encode() + b"\n" for one in _answers(unread[:many]))
                del unread[:many]
            case 2:
                wanted = choices.number(27)
                levels = [(None, Level.ACTIVE, Level.LEAVING)[wanted // 3**at % 3] for at in range(len(VIRTUAL))]
                _want(conversation, policies, levels)
                heard = b""
            case 3:
                now += LATER[choices.number(len(LATER))]
                heard = b""
            case _:
                heard = choices.take(choices.number(200)) + b"\n"
        for line in lines.feed(heard):
            for event in conversation.feed(line, now):
                assert str(event)
        unread += _turn(conversation, now)
    _heal(conversation, lines, now, unread if len(data) % 2 else [])


def _want(conversation: Conversation, policies: Mapping[Network, RoutePolicy], levels: Sequence[Level | None]) -> None:
    conversation.set(
        Route(network, policy.at(level, RouteContext(active_since=1_700_000_000)))
        for (network, policy), level in zip(policies.items(), levels, strict=True)
        if level is not None
    )


def _turn(conversation: Conversation, now: float) -> list[str]:
    """What the descriptors' side does after everything that happens."""
    conversation.tick(now)
    said = conversation.transmit(now)
    assert len(said) <= WINDOW + 3
    assert all(line.isascii() and line.isprintable() for line in said)
    assert conversation.transmit(now) == []
    assert conversation.deadline is None or conversation.deadline > now, "the loop would spin"
    assert len(conversation.prefixes.rotation.used) <= REMEMBERED
    assert all(len(one.sent_forms) <= FORMS + 2 * len(one.homes) + 8 for one in conversation.prefixes.lanes.values())
    return said


def _answers(said: list[str]) -> Iterator[str]:
    """The answers of a correct ExaBGP to these lines, in the API that it has told once."""
    for line in said:
        match line:
            case _ if line == V5.VERSION:
                yield from ("exabgp 5.0.15", "done")
            case _ if line == V5.PROBE:
                yield from SUMMARY
            case _ if line == V5.DETAIL:
                yield from EXTENSIVE
            case _ if line == V6.PROBE:
                yield from (STATUS6, "done")
            case _ if line == V6.DETAIL:
                yield from (DETAIL6, "done")
            case _ if " routes " in line:
                yield RESULT6
            case _ if line == V5.RESET:
                pass
            case _:
                yield "done" if {"announce", "withdraw"} & set(line.split()) else "error"


def _heal(conversation: Conversation, lines: Lines, now: float, unread: list[str]) -> None:
    conversation.set([])
    for _ in range(ROUNDS):
        unread += _turn(conversation, now)
        for answer in _answers(unread):
            for line in lines.feed(answer.encode() + b"\n"):
                conversation.feed(line, now)
        unread.clear()
        unread += _turn(conversation, now)
        if conversation.settled and not unread:
            return
        if not unread and conversation.deadline is not None:
            now = conversation.deadline
    raise AssertionError("never carried out")


def session_state(peer: str, name: str) -> str:
    return f'{{ {HOST}, "type": "state", "neighbor": {{ "address": {_ends(peer)}, "state": "{name}" }} }}'


def _ends(peer: str) -> str:
    return f'{{ "local": "192.0.2.2", "peer": "{peer}" }}'


def _lines() -> list[str]:
    shutdown = f'{{ {HOST}, "type": "notification", "notification": "shutdown" }}'
    states = [session_state(peer, name) for peer in ("192.0.2.1", "2001:db8::1") for name in ("up", "down")]
    return [
        "error",
        "exabgp 5.0.15",
        "exabgp 4.2.25",
        *SUMMARY,
        *(one for one in EXTENSIVE[:-1] if one),
        *states,
        shutdown,
        "shutdown 4711 1",
        "neighbor 10.0.0.1 up",
        VERSION6,
        STATUS6,
        DETAIL6,
        RESULT6,
        RESULT6.replace("success", "removed"),
        '{"192.0.2.1": {"routes": [{"family": "ipv6 unicast", "prefix": "2001:db8:53::1/128"}]}}',
        "error: Could not parse route",
    ]


def _conversations() -> list[bytes]:
    greeting, calm = b"\1" + bytes(3) + b"\1\7", b"\3\3"
    wish = b"\2\5"
    spoken = [b"\4" + bytes([len(line)]) + line.encode() for line in _lines() if len(line) < 200]
    cut = [one[:-2] for one in spoken]
    six = b"\0\0\0\1\4" + bytes([len(VERSION6)]) + VERSION6.encode() + b"\4\4done"
    return [
        *(six + wish + one + b"\1\2" + calm + wish for one in (*spoken, *cut)),
        greeting + wish + b"\1\7" * 8,
        *(greeting + wish + one + b"\1\2" + calm + wish for one in (*spoken, *cut)),
        greeting + wish + b"".join(spoken) + calm,
        wish + calm * 3 + b"\2\1",
    ]


READERS: Mapping[str, Reader] = {
    "exabgp": Reader(exabgp, _conversations, lambda: [line.encode() for line in _lines()], longest=2048),
}
