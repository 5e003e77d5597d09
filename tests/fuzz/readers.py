"""Everything that reads bytes from outside, each as a function from bytes to nothing.

A reader must raise its declared exception or return something sound; the functions here swallow the first, check the
second, and let everything else out: that is a finding, whoever made the bytes (``python -m tests.fuzz``, guided by
coverage; ``test_readers.py``, with a few mutations that are the same each time).

Whoever adds a reader to the product adds it to ``READERS``. Where a reader is a conversation, ``Choices`` makes the
bytes decide in which pieces and at which times they arrive.
"""

import asyncio
import functools
import json
import socket
import struct
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import msgspec
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from exavrrp import control
from exavrrp.config import ConfigError, Configuration, Http, effective, load, notation, schema, state_directory
from exavrrp.control import Misunderstood, Outcome, RouterStatus
from exavrrp.routes import Attributes, Dialect, Ladder, Level, Route, Standing, Takeover, announce, spellings, withdraw
from exavrrp.system import client, netlink
from exavrrp.system.addresses import concerns_loopback
from exavrrp.system.checks import kernel, programs, web
from exavrrp.system.control import Control
from exavrrp.system.exabgp.conversation import FORMS, QUESTION, RESET, USED, VERSION, WINDOW, Conversation
from exavrrp.system.exabgp.pipes import Lines
from exavrrp.system.paths import group_members
from exavrrp.system.state import DrainFile, State
from exavrrp.system.wire import read_ipv4_ancillary, read_ipv6_ancillary
from exavrrp.vrrp.packet import Advertisement, Datagram, Expectation, Malformed, decode, encode, strip_ipv4
from tests.fuzz.choices import Choices

ROOT = Path(__file__).parents[2]
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Reader:
    """One function to be fed, and what to begin with."""

    feed: Callable[[bytes], None]
    """raises whatever is a finding"""
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[bytes]] = list
    """what mutations may be made of, besides bytes"""
    longest: int = 4096
    """bytes of an input: enough to reach every branch; what grows is for ``growth.py``"""


# Adverts

PEERS: Mapping[int, Address] = {4: ip_address("192.0.2.11"), 6: ip_address("2001:db8::11")}
OURS: Mapping[int, Address] = {4: ip_address("192.0.2.12"), 6: ip_address("2001:db8::12")}


def packet(data: bytes) -> None:
    """The first byte says if the rest is a raw IPv4 packet or what follows an IP header, and if it is summed up."""
    choices = Choices(data)
    kind = choices.number(8)
    try:
        if kind < 4:
            datagram = strip_ipv4(choices.rest())
            assert len(datagram.payload) <= len(data) - 20
        else:
            family = 4 if kind < 6 else 6
            datagram = Datagram(PEERS[family], OURS[family], choices.number(256), choices.rest())
        if kind % 2:
            datagram = _summed(datagram)
        source, vrids = datagram.source, Choices(datagram.payload[1:2]).number(256)
        expectation = Expectation(frozenset(OURS.values()), {vrids: frozenset([source])}, frozenset([source]), 1)
        advert = decode(datagram, expectation)
    except Malformed as malformed:
        assert str(malformed).isprintable()
        return
    assert advert.vrid == datagram.payload[1]
    assert 1 <= advert.centiseconds <= 4095
    assert len(advert.addresses) == datagram.payload[3] >= 1
    assert {one.version for one in advert.addresses} == {source.version}
    assert decode(replace(datagram, payload=encode(advert, source, datagram.destination)), expectation) == advert


def _summed(datagram: Datagram) -> Datagram:
    """With a right checksum, which mutations do not hit: the sum over the whole payload, and over the message alone."""
    payload = bytearray(datagram.payload)
    if len(payload) < 8:
        return datagram
    payload[6:8] = bytes(2)
    size = 4 if datagram.source.version == 4 else 16
    covered = len(payload) if size == 16 else min(len(payload), 8 + payload[3] * size)
    pseudo = datagram.source.packed + datagram.destination.packed
    pseudo += struct.pack("!BBH", 0, 112, covered) if size == 4 else struct.pack("!IHBB", covered, 0, 0, 112)
    words = pseudo + payload[:covered] + bytes(covered % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    payload[6:8] = (total ^ 0xFFFF).to_bytes(2)
    return replace(datagram, payload=bytes(payload))


def _packets() -> list[bytes]:
    found = []
    for path in sorted((ROOT / "tests/vrrp/captures").glob("*.hex")):
        lines = path.read_text().splitlines()
        whole = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
        heads, body = ((b"\0", b"\1"), whole) if whole[0] >> 4 == 4 else ((b"\6\xff", b"\7\xff"), whole[40:])
        found += [head + body for head in heads]
    return [
        *found,
        *(
            bytes([kind, 255]) + encode(Advertisement(7, 100, 10, (address,) * count), PEERS[family], OURS[family])
            for kind, family, address in ((4, 4, OURS[4]), (6, 6, OURS[6]))
            for count in (1, 3)
        ),
    ]


_LEVELS = (socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET)
_KINDS = (8, socket.IPV6_PKTINFO, socket.IPV6_HOPLIMIT, 40)


def ancillary(data: bytes) -> None:
    """What the kernel says about a packet: level, type and length of each message are a byte each."""
    choices = Choices(data)
    messages: list[tuple[int, int, bytes]] = []
    while choices and len(messages) < 16:
        level, kind, size = _LEVELS[choices.number(3)], _KINDS[choices.number(4)], choices.number(32)
        messages.append((level, kind, choices.take(size)))
    with suppress(Malformed):
        interface, dropped = read_ipv4_ancillary(messages)
        assert 0 <= interface <= 0xFFFF_FFFF
        assert dropped is None or 0 <= dropped <= 0xFFFF_FFFF
    with suppress(Malformed):
        destination, interface, hop_limit, _ = read_ipv6_ancillary(messages)
        assert isinstance(destination, IPv6Address)
        assert 0 <= interface <= 0xFFFF_FFFF
        assert 0 <= hop_limit <= 255


def _ancillaries() -> list[bytes]:
    four = b"\0\0\x0c" + struct.pack("=I8x", 2)
    six = b"\1\1\x14" + OURS[6].packed + struct.pack("=I", 2) + b"\1\2\4" + struct.pack("=i", 255)
    dropped = b"\2\3\4" + struct.pack("=I", 9)
    return [four + dropped, six + dropped, four, six]


# ExaBGP

HEADING = "Peer            AS        up/down state       |     #sent     #recvd"
SUMMARY = [HEADING, "192.0.2.1 65000 0:00:05 established 1 1", "2001:db8::1 65000 down idle 0 0", "done"]
HOST = '"exabgp": "5.0.0", "time": 1.5, "host" : "h", "pid" : 1, "ppid" : 1, "counter": 1'
NEIGHBORS = tuple(map(ip_address, ("192.0.2.1", "2001:db8::1")))
LADDERS = (
    Ladder.derived(Attributes(med=50)),
    Ladder.derived(Attributes(as_path=(65010, 65010), communities=("65010:7",)), frozenset(Takeover), 1, 65010),
    Ladder(
        Attributes(med=50, neighbors=NEIGHBORS[:1]),
        Attributes(med=60, neighbors=NEIGHBORS),
        Attributes(neighbors=NEIGHBORS),
    ),
)
VIRTUAL = tuple(map(ip_address, ("2001:db8:53::1", "2001:db8:53::2", "192.0.2.53")))
LATER = (0.0, 0.001, 0.1, 1.0, 5.0, 100.0)
ROUNDS = 400
"""Turns in which an ExaBGP that behaves again has to have carried everything out."""


def exabgp(data: bytes) -> None:
    """Whole conversations: anything said in any pieces at any time, wishes in between; then ExaBGP behaves.

    Never an exception, a bounded memory, never a deadline that has passed and stays (the loop would spin), and in the
    end what was wanted is carried out, whatever came before.
    """
    choices = Choices(data)
    ladders = dict(zip(VIRTUAL, [LADDERS[choices.number(3)] for _ in VIRTUAL], strict=True))
    conversation = Conversation([route for one, ladder in ladders.items() for route in ladder.routes(one)])
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
                _want(conversation, ladders, levels)
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


def _want(conversation: Conversation, ladders: Mapping[Address, Ladder], levels: Sequence[Level | None]) -> None:
    conversation.set(
        Route(address, ladder.at(level, Standing(since=1_700_000_000)))
        for (address, ladder), level in zip(ladders.items(), levels, strict=True)
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
    assert len(conversation._used) <= USED
    assert all(len(one.spoken) <= FORMS + 2 * len(one.homes) + 8 for one in conversation._prefixes.values())
    return said


def _answers(said: list[str]) -> Iterator[str]:
    """What an ExaBGP that behaves says to these lines."""
    for line in said:
        match line:
            case _ if line == VERSION:
                yield from ("exabgp 5.0.15", "done")
            case _ if line == QUESTION:
                yield from SUMMARY
            case _ if line == RESET:
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


def _state(peer: str, name: str) -> str:
    return f'{{ {HOST}, "type": "state", "neighbor": {{ "address": {{ "peer": "{peer}" }}, "state": "{name}" }} }}'


def _exabgp_lines() -> list[str]:
    shutdown = f'{{ {HOST}, "type": "notification", "notification": "shutdown" }}'
    states = [_state(peer, name) for peer in ("192.0.2.1", "2001:db8::1") for name in ("up", "down")]
    return ["error", "exabgp 5.0.15", "exabgp 4.2.25", *SUMMARY, *states, shutdown]


def _conversations() -> list[bytes]:
    greeting, calm = b"\1" + bytes(3) + b"\1\7", b"\3\3"
    wish = b"\2\5"
    spoken = [b"\4" + bytes([len(line)]) + line.encode() for line in _exabgp_lines() if len(line) < 200]
    cut = [one[:-2] for one in spoken]
    return [
        greeting + wish + b"\1\7" * 8,
        *(greeting + wish + one + b"\1\2" + calm + wish for one in (*spoken, *cut)),
        greeting + wish + b"".join(spoken) + calm,
        wish + calm * 3 + b"\2\1",
    ]


# Commands

CLIENTS: dict[str, Callable[[bytes], object]] = {
    "request": control.request,
    "answer": control.answer,
    "life": control.life,
    "drains": control.drains,
}


def documents(data: bytes) -> None:
    """Each kind of document of the control protocol and of the notes."""
    for decoded in CLIENTS.values():
        try:
            found = decoded(data)
        except Misunderstood as error:
            assert str(error).isprintable()
            assert len(str(error)) < 8192
            continue
        assert msgspec.json.encode(found)
        if isinstance(found, control.Drain | control.Undrain):
            with suppress(Misunderstood):
                assert set(control.chosen(found.names, ["web", "db"])) <= {"web", "db"}
        if isinstance(found, control.Life):
            times = [LADDERS[1].at(Level.ACTIVE, Standing(since)).med for since in found.since.values()]
            assert all(med is not None and 0 <= med <= 0xFFFF_FFFF for med in times)
    control.start_time(data)


def _documents() -> list[bytes]:
    moved = control.Moved(name="web", outcome=Outcome.DRAINED, until=datetime.fromtimestamp(9, UTC))
    status = RouterStatus(
        name="web", vrid=7, role="active", priority=100, explanation="100", bound=True, level="active", drained=False
    )
    return [
        *map(control.encode, _requests()),
        control.encode(control.Begun(routers=(moved,), warning="no disk")),
        control.encode(control.Progress(name="web", outcome=Outcome.KEPT)),
        control.encode(control.Done(routers=(moved,))),
        control.encode(
            control.StatusAnswer(release="1", process=9, time=datetime.fromtimestamp(9, UTC), routers=(status,))
        ),
        control.encode(control.Error(message="no")),
        *_notes(),
        b"7 (a) b) S 1 " + b" ".join(b"%d" % one for one in range(40)),
    ]


def _requests() -> list[control.Request]:
    return [
        control.Drain(names=("web",), seconds=60.0, persist=False, wait=True),
        control.Undrain(names=("web", "db")),
        control.Status(),
    ]


def _notes() -> list[bytes]:
    life = control.Life(boot="b", exabgp=(1, 2), routers={"web": "active"}, since={"web": 1_700_000_000})
    return [control.note(life), control.note(control.Drains(drained={"web": None, "db": 1e9}))]


def _json_words() -> list[bytes]:
    kinds = (control.Drain, control.Undrain, control.Status, control.Done, control.StatusAnswer, control.RouterStatus)
    names = {field for kind in (*kinds, control.Life, control.Drains) for field in kind.__struct_fields__}
    texts = {*names, "drain", "undrain", "status", "begun", "done", "error", "web", "\\ud800", "request", "answer"}
    numbers = ["-1", "1e308", "1e-9", "9" * 30, "null", "true", "[]", "{}", "[[", ":", ",", '"', "\\u0000", "\n"]
    return [json.dumps(one).encode() for one in sorted(texts)] + [one.encode() for one in numbers]


class _Agent:
    """Does at once what it is told."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(("web", "db"), Outcome.SERVING)

    def names(self) -> Sequence[str]:
        return list(self.outcomes)

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.outcomes if name in names)

    def drain(self, name: str) -> None:
        self.outcomes[name] = Outcome.DRAINED

    def undrain(self, name: str) -> None:
        self.outcomes[name] = Outcome.SERVING

    def outcome(self, name: str) -> Outcome:
        return self.outcomes[name]

    def status(self) -> Sequence[RouterStatus]:
        return []


class _Quiet:
    """A log, and a store, of which nothing is left."""

    path = Path("/nowhere/drained.json")

    def info(self, event: str, **fields: object) -> None:
        assert str((event, fields))

    warning = info

    def open(self) -> None:
        pass

    def recall(self) -> Mapping[str, float | None]:
        return {}

    def save(self, drained: Mapping[str, float | None]) -> None:
        assert all(end is None or end >= 0 for end in drained.values())


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_broken)
    return loop


def _broken(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    raise AssertionError(context)


def server(data: bytes) -> None:
    """A client of the agent: what it sends arrives in one piece or, by the first byte, in two."""
    loop, kept = _loop(), Control(Path("/nowhere"), _Agent(), _Quiet(), _Quiet())
    kept._loop = loop
    choices = Choices(data)
    first = choices.take(choices.number(64))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)

        async def talk() -> None:
            attended = loop.create_task(kept._attend_to(ours))
            theirs.sendall(first)
            await asyncio.sleep(0)
            with suppress(OSError):
                theirs.sendall(choices.rest())
                theirs.shutdown(socket.SHUT_WR)
            await attended
            if kept._writing is not None:
                await kept._writing

        loop.run_until_complete(talk())
        kept.close()
        for line in _received(theirs).splitlines():
            assert isinstance(control.answer(line), control.Answer)


def _received(connection: socket.socket) -> bytes:
    received = b""
    with suppress(OSError):
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def asking(data: bytes) -> None:
    """An agent that answers a command with anything."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        try:
            for answer in client._answers(ours, None):
                assert msgspec.json.encode(answer)
        except (client.Unanswered, Misunderstood) as error:
            assert str(error)


def _streams() -> list[bytes]:
    whole = _documents()
    return [*(b"\0" + one for one in whole), *(b"\x20" + one for one in whole)]


# Notes on disk


@functools.cache
def _scratch() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="exavrrp-fuzz-")
    _kept.enter_context(directory)
    return Path(directory.name)


_kept = ExitStack()


def notes(data: bytes) -> None:
    directory, log = _scratch(), _Quiet()
    for name in ("state.json", "drained.json"):
        (directory / name).write_bytes(data)
    state = State(directory, log)
    state.open()
    assert all(isinstance(name, str) for name in state.recall())
    assert all(isinstance(name, str) for name in DrainFile(directory, log).recall())


# Configuration

LO = (ip_address("192.0.2.7"), ip_address("2001:db8::7"))


def configuration(data: bytes) -> None:
    """A file is a configuration that can be used, printed and read again, or a list of mistakes."""
    path = _scratch() / "exavrrp.toml"
    path.write_bytes(data)
    with suppress(ConfigError):
        assert state_directory(path).startswith("/")
    try:
        found = load(path, lambda: LO)
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
        return
    assert all(str(problem).isprintable() for problem in found.warnings)
    text = effective(found)
    path.write_text(text, encoding="utf-8")
    again = load(path, lambda: LO)
    assert again == found
    assert effective(again) == text
    _usable(found)


def _usable(found: Configuration) -> None:
    """What the agent makes of a configuration when it starts."""
    for one in found.routers:
        one.election()
        one.giving_up()
        one.sessions()
        Conversation([route for address in one.addresses for route in one.ladder.routes(address)])
        for route in one.ladder.routes(one.addresses[0]):
            for dialect in Dialect:
                for spelling in spellings(route.attributes):
                    announce(route, dialect, spelling)
                    withdraw(route, dialect, spelling)
    for check in found.checks:
        check.vitality()
        if isinstance(check.probe, Http):
            assert web.Answer(check.probe).request().endswith(b"\r\n\r\n")


WHOLE = """
[agent]
sources = ["2001:db8:ff::11", "192.0.2.11"]
peers = ["2001:db8:ff::12", "192.0.2.12"]
advert_interval = 0.1
interfaces = ["eth0"]
max_hops = 3
learned_interval_max = 5.0
control_group = "netops"
local_as = 65010
[virtual_router."web.4"]
vrid = 7
addresses = ["192.0.2.53/32", "192.0.2.54"]
checks = ["web", "n"]
group = "g"
notify = ["/bin/true", "é"]
notify_fifo = "/run/fifo"
min_sessions = 1
sessions_neighbors = ["192.0.2.1"]
standby = "announce"
[virtual_router."web.4".bgp]
communities = ["65010:7", "no-export"]
large_communities = ["65010:1:2"]
neighbors = ["192.0.2.1"]
takeover = ["med", "prepend"]
[virtual_router."web.4".bgp.standby]
prepend = 7
[virtual_router."web.4".bgp.leaving]
med = 4294967295
as_path = [65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010]
[check.web]
http = "https://[::1]:8443/health?a=1"
host = "www.example.com"
contains = "ok"
status = [200, 204]
ca_file = "/etc/ca.pem"
[check.n]
file = "/run/n"
file_value = true
weight = 2
"""

KINDS = ("tcp", '"[::1]:22"'), ("shell", '"true"'), ("process", '"sshd"'), ("interface", '"lo"'), ("route", '"::/0"')


def _configurations() -> list[bytes]:
    small = '[agent]\nsources=["192.0.2.1"]\npeers=["192.0.2.2"]\n[virtual_router.a]\nvrid=1\naddresses=["192.0.2.3"]\n'
    return [
        (ROOT / "exabgp/exavrrp.toml").read_bytes(),
        WHOLE.encode(),
        small.encode(),
        *(f'{small}checks=["c"]\n[check.c]\n{key}={value}\n'.encode() for key, value in KINDS),
    ]


def _toml_words() -> list[bytes]:
    tables = (schema.Agent, schema.VirtualRouter, schema.Bgp, schema.Level, schema.Check)
    names = {name for table in tables for name in table.__struct_fields__}
    values = [
        *("true", "false", "nan", "-inf", "1e308", "0x7fffffffffffffff", "1979-05-27", "07:32:00", "[]", "{}"),
        *("[[", "{a=", "[[[[[[[[", "a.a.a.a.a.a.a.a"),
        *('"\\u0000"', '"\\U0001F600"', '"""', "'''", '"/run/x"', '"192.0.2.1"', '"2001:db8::1"', '"::ffff:192.0.2.1"'),
        *(
            '"fe80::1%eth0"',
            '"self"',
            '"65535:65535"',
            '"1:2:3"',
            '"med"',
            '"prepend"',
            '"announce"',
            '"http://[::1]/"',
        ),
        *("\u212a", "\u017f", "é", "\r\n", "\\", "%", "/32", "/128"),
    ]
    return [f"{name} = ".encode() for name in sorted(names)] + [value.encode() for value in values]


# What checks are told


def response(data: bytes) -> None:
    """The answer of an HTTP server, in pieces; the first byte chooses what is looked for, the second their size."""
    choices = Choices(data)
    contains = (None, "is well", "x" * 30, "é")[choices.number(4)]
    size = 1 + choices.number(256)
    answer = web.Answer(Http(notation.url("http://[::1]/"), contains=contains))
    answer.request()
    outcome = None
    while choices and outcome is None:
        outcome = answer.feed(choices.take(size))
        assert len(answer._body) <= web.MOST_READ
    outcome = outcome or answer.feed(b"")
    assert outcome is not None, "the server has gone, and the check waits"
    assert outcome.detail.isprintable()


def _responses() -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\n"
    return [
        b"\0\xff" + head + b"\r\n",
        b"\1\x08" + head + b"Content-Length: 12\r\n\r\nit is well.\n",
        b"\1\xff" + head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nit is\r\n6;a=b\r\n well.\r\n0\r\nA: b\r\n\r\n",
        b"\1\x03" + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 No\r\nA:\r\n b\r\n\r\n",
        b"\2\xff" + b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + b"x" * 40,
    ]


def told(data: bytes) -> None:
    """What files, programs and people tell in text."""
    number = kernel.number(data[: kernel.NUMBER_BYTES])
    assert number.passed is (number.value is not None)
    assert number.detail.isprintable()
    assert programs._last_line(data).isprintable()
    text = data.decode("utf-8", "replace")
    meanings: list[Callable[[str], object]] = [
        *(notation.address, notation.unicast, notation.routed, notation.virtual, notation.prefix, notation.endpoint),
        *(notation.url, notation.community, notation.large_community, control.duration),
    ]
    for meaning in meanings:
        with suppress(ValueError):
            found = str(meaning(text))
            assert found.isascii()
            assert found.isprintable()


def _texts() -> list[bytes]:
    return [
        *(b"-12\n", b"192.0.2.1", b"2001:db8::1/128", b"0.0.0.0/0", b"[::1]:80", b"https://[::1]:8443/a?b", b"65010:1"),
        *(b"1:2:3", b"http://name:80/", b"no-export", b"1h30m", b"a\nb\r\n\n", b"fe80::1%a"),
    ]


# The kernel


def rtnetlink(data: bytes) -> None:
    """Messages of the kernel's, as far as we read them ourselves; and decoded, for what ``ask`` gives to others."""
    ends = 0
    for offset, _, _, _ in netlink.messages(data):
        assert offset >= ends
        ends = offset + netlink.HEADER.size
        assert ends <= len(data)
        with suppress(OSError):
            netlink.raise_error(data, offset)
        for length in (0, 24):
            assert kernel.is_route(data, offset, bytes(4), length) in {True, False}
        for kind in (ifinfmsg, ifaddrmsg, rtmsg):
            with suppress(OSError):
                netlink.decoded(kind, data, offset)
    assert len(group_members(data)) == len(data) // 8
    if len(data) >= 32:
        concerns_loopback(data[:32])


def _netlink_messages() -> list[bytes]:
    def message(kind: int, flags: int, body: bytes) -> bytes:
        return netlink.HEADER.pack(netlink.HEADER.size + len(body), kind, flags, 1, 0) + body

    def attribute(kind: int, content: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)

    head = struct.pack("=8BI", 2, 24, 0, 0, 254, 3, 0, 1, 0)
    route = head + attribute(1, bytes(4)) + attribute(4, struct.pack("=I", 2))
    link = struct.pack("=BxHiII", 0, 1, 2, 0x41, 0) + attribute(3, b"eth0\0")
    held = struct.pack("=BBBBI", 10, 128, 0, 0, 1) + attribute(1, OURS[6].packed)
    refusal = struct.pack("=i", -13) + netlink.HEADER.pack(60, 20, 5, 1, 0) + attribute(1, b"IPv6 is disabled\0")
    return [
        message(24, 2, route) + message(3, 2, bytes(4)),
        message(16, 0, link),
        message(20, 2, held),
        message(2, 0x300, refusal),
        message(2, 0, struct.pack("=i", -17) + bytes(16)),
    ]


READERS: Mapping[str, Reader] = {
    "packet": Reader(packet, _packets),
    "ancillary": Reader(ancillary, _ancillaries, longest=256),
    "exabgp": Reader(exabgp, _conversations, lambda: [line.encode() for line in _exabgp_lines()], longest=1536),
    "documents": Reader(documents, _documents, _json_words),
    "server": Reader(server, _streams, _json_words),
    "asking": Reader(asking, _documents, _json_words),
    "notes": Reader(notes, _notes, _json_words),
    "configuration": Reader(configuration, _configurations, _toml_words),
    "response": Reader(response, _responses),
    "told": Reader(told, _texts, longest=128),
    "rtnetlink": Reader(rtnetlink, _netlink_messages, longest=512),
}
"""By the name that ``python -m tests.fuzz`` knows them by."""
