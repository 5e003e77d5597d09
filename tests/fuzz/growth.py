"""How the time of each reader grows with its input, up to the limit of the input: ``python -m tests.fuzz.growth``.

For each shape of input that is hard on a reader, the time for a quarter, a half and all of what is taken at once, and
the exponent between the last two: 1 is linear, 2 is what must not be; and the memory. A ratio of one run; times are for
orientation. Words after the command choose among the shapes.
"""

import math
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network

from exavrrp import control
from exavrrp.config import ConfigError, load, notation
from exavrrp.config.files import SIZE_LIMIT
from exavrrp.config.kinds import Http
from exavrrp.control import FILE_LIMIT, REQUEST_LIMIT, Misunderstood
from exavrrp.pump import LONGEST_LINE, Lines
from exavrrp.routes import Attributes
from exavrrp.speaker import Conversation
from exavrrp.system import client, netlink
from exavrrp.system.checks import kernel, web
from exavrrp.takeover import RoutePolicy
from exavrrp.vrrp.packet import Malformed, strip_ipv4
from tests.fuzz import adverts, conversations
from tests.fuzz.reader import scratch

RUNS = 5
"""Of each size; the shortest counts."""
ROUTERS = 1000


@dataclass(frozen=True, slots=True)
class Shape:
    """Inputs of one kind, of any size."""

    limit: int
    """bytes"""
    make: Callable[[int], bytes]
    read: Callable[..., object]
    given: Callable[[], tuple[object, ...]] = tuple
    """what else ``read`` needs, fresh each time and not measured"""


def filled(unit: str, head: str = "", tail: str = "") -> Callable[[int], bytes]:
    """Inputs that repeat ``unit``, in which ``#`` is a number of six digits, between ``head`` and ``tail``."""

    def make(size: int) -> bytes:
        count = max(1, (size - len((head + tail).encode())) // len(unit.replace("#", "000000")))
        body = "".join(unit.replace("#", f"{number:06}") for number in range(count)) if "#" in unit else unit * count
        return (head + body + tail).encode()

    return make


def nested(opener: str, closer: str, head: str = "") -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        depth = (size - len(head)) // 2
        return (head + opener * depth + closer * depth).encode()

    return make


def loaded(data: bytes) -> None:
    path = scratch() / "growth.toml"
    path.write_bytes(data)
    with suppress(ConfigError):
        load(path)


def requested(data: bytes) -> None:
    known = {f"router{number:06}": f"g{number % 9}" for number in range(ROUTERS)}
    with suppress(Misunderstood):
        found = control.request(data)
        assert isinstance(found, (control.Drain, control.Undrain))
        control.chosen(found.names, known)


def noted(data: bytes) -> None:
    for reader in (control.saved_state, control.drains, control.reverting):
        with suppress(Misunderstood):
            reader(data)


def greeted() -> tuple[Conversation]:
    """A conversation about many addresses of ours, all of them wanted."""
    policy = RoutePolicy.derived(Attributes(med=50))
    ours = [ip_network(f"2001:db8::{number:x}") for number in range(1, ROUTERS)]
    conversation = Conversation()
    conversation.own([route for one in ours for route in policy.routes(one)])
    conversation.transmit(0.0)
    conversation.feed("exabgp 5.0.15", 0.0)
    conversation.feed("done", 0.0)
    conversation.set([policy.routes(one)[0] for one in ours])
    return (conversation,)


def conversed(data: bytes, conversation: Conversation) -> None:
    """All lines at once, as the pump hands them over."""
    for line in Lines().feed(data):
        conversation.feed(line, 0.0)
    conversation.transmit(0.0)


def responded(data: bytes) -> None:
    answer = web.Answer(Http(notation.url("http://[::1]/"), contains="is well", tls_verify=None))
    answer.request()
    for at in range(0, len(data), web.PIECE):
        if answer.feed(data[at : at + web.PIECE]) is not None:
            return


def routes(data: bytes) -> None:
    for offset, *_ in netlink.messages(data):
        kernel.is_route(data, offset, bytes(4), 24)


def stripped(data: bytes) -> None:
    with suppress(Malformed):
        strip_ipv4(data)


def answered(data: bytes) -> None:
    with suppress(Misunderstood):
        control.answer(data)


SMALL = '[agent]\nsources=["192.0.2.1"]\npeers=[{}]\n'
PEERS = SMALL.format(",".join(f'"198.51.100.{number}"' for number in range(1, 255)))
ROUTER = "[virtual_router.r#]\nvrid=1\naddresses=['192.0.2.3']\n"
ALONE = SMALL.format('"192.0.2.2"') + ROUTER.replace("#", "")
CHECK = "[check.c#]\nprocess='a'\n"
RECORD = netlink.HEADER.pack(16, 24, 2, 1, 0)
UP, DOWN = (conversations.session_state("192.0.2.1", name) + "\n" for name in ("up", "down"))
HEAD = "HTTP/1.1 200 OK\r\n"

SHAPES: Mapping[str, Shape] = {
    "packet: addresses": Shape(
        8192, lambda size: b"\7\xff\x31\x07\x64\xff\0\x0a\0\0" + bytes(size - 10), adverts.packet
    ),
    "packet: IPv4 options": Shape(8192, lambda size: b"\x4f" + bytes(size - 1), stripped),
    "configuration: unknown keys": Shape(SIZE_LIMIT, filled("k#=1\n", "[agent]\n"), loaded),
    "configuration: routers with mistakes": Shape(SIZE_LIMIT, filled("[virtual_router.r#]\nvrid=0\n"), loaded),
    "configuration: routers": Shape(SIZE_LIMIT, filled(ROUTER, PEERS), loaded),
    "configuration: checks": Shape(SIZE_LIMIT, filled(CHECK, ALONE), loaded),
    "configuration: a list": Shape(SIZE_LIMIT, filled("1,", "x=[", "]"), loaded),
    "configuration: a list of text": Shape(SIZE_LIMIT, filled("'a#',", "[agent]\npeers=[", "]"), loaded),
    "configuration: checks not defined": Shape(SIZE_LIMIT, filled("'a#',", ALONE + "checks=[", "]"), loaded),
    "configuration: nested lists": Shape(SIZE_LIMIT, nested("[", "]", "x="), loaded),
    "configuration: nested, and wide": Shape(SIZE_LIMIT, filled("1,", "x=" + "[" * 300, "]" * 300), loaded),
    "configuration: dotted keys": Shape(SIZE_LIMIT, filled("k#" + ".a" * 60 + "=1\n"), loaded),
    "configuration: longer dotted keys": Shape(SIZE_LIMIT, filled("k#" + ".a" * 990 + "=1\n"), loaded),
    "configuration: short dotted keys": Shape(SIZE_LIMIT, filled("k#" + ".a" * 9 + "=1\n"), loaded),
    "configuration: dots": Shape(SIZE_LIMIT, filled("a.", "x='", "'"), loaded),
    "configuration: quotes and dots": Shape(SIZE_LIMIT, filled("''", "x=1#"), loaded),
    "configuration: a long key": Shape(SIZE_LIMIT, filled("a", "[agent]\n", "=1\n"), loaded),
    "configuration: a long text": Shape(SIZE_LIMIT, filled("a", '[check.a]\nhttp="http://', 'é/"\n'), loaded),
    "configuration: quotes": Shape(SIZE_LIMIT, filled('"', 'x="'), loaded),
    "request: names": Shape(
        REQUEST_LIMIT, filled('"router#",', '{"version":1,"request":"drain","names":[', '"x"]}'), requested
    ),
    "request: nested": Shape(REQUEST_LIMIT, nested("[", "]", '{"version":1,"names":'), requested),
    "request: digits": Shape(REQUEST_LIMIT, filled("9", '{"request":"drain","version":', "}"), requested),
    "answer: nested": Shape(client.LONGEST, nested("[", "]"), answered),
    "note: drains": Shape(FILE_LIMIT, filled('"router#":1,', '{"version":1,"drained":{', '"x":1}}'), noted),
    "exabgp: a line without an end": Shape(LONGEST_LINE * 8, filled("a"), conversed, greeted),
    "exabgp: empty lines": Shape(LONGEST_LINE, filled("\n"), conversed, greeted),
    "exabgp: answers to nothing": Shape(LONGEST_LINE, filled("done\n"), conversed, greeted),
    "exabgp: sessions come and go": Shape(LONGEST_LINE, filled(UP + DOWN), conversed, greeted),
    "exabgp: nested": Shape(LONGEST_LINE, filled("[", '{"state"', "\n"), conversed, greeted),
    "response: small chunks": Shape(
        web.MOST_READ, filled("1\r\nx\r\n", HEAD + "Transfer-Encoding: chunked\r\n\r\n"), responded
    ),
    "response: early answers": Shape(web.MOST_READ, filled("HTTP/1.1 100 \r\n\r\n"), responded),
    "response: headers": Shape(web.MOST_HEAD, filled("a:\r\n", HEAD, "\r\n"), responded),
    "netlink: messages": Shape(1 << 16, lambda size: RECORD * (size // len(RECORD)), routes),
}


def seconds(shape: Shape, size: int) -> float:
    """The shortest of a few runs."""
    data = shape.make(size)
    taken = []
    for _ in range(RUNS):
        given = shape.given()
        begin = time.process_time()  # of us alone, whoever else is busy
        shape.read(data, *given)
        taken.append(time.process_time() - begin)
    return min(taken)


def told(name: str, shape: Shape) -> str:
    """A line of the table."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    quarter, half, whole = (seconds(shape, shape.limit // part) * 1e3 for part in (4, 2, 1))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    times = f"{quarter:10.2f}{half:10.2f}{whole:10.2f}{math.log2(whole / half):10.2f}"
    return f"{name:38}{shape.limit:>9}{times}{grown:10.0f}"


def main() -> int:
    """0 if every shape was read, which one at least was."""
    print(f"{'':38}{'bytes':>9}{'1/4 ms':>10}{'1/2 ms':>10}{'all ms':>10}{'exponent':>10}{'MiB':>10}", flush=True)
    chosen = {name: shape for name, shape in SHAPES.items() if any(word in name for word in sys.argv[1:] or [""])}
    failed = not chosen
    for name, shape in chosen.items():
        child = os.fork()  # so that the memory is that of this shape
        if child == 0:
            print(told(name, shape), flush=True)
            os._exit(0)
        failed |= os.waitpid(child, 0)[1] != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
