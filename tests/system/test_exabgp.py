"""The client of ExaBGP's API with real ExaBGP 4.2 and 5.0, and the routes that BIRD receives from them.

ExaBGP and BIRD live in network namespaces with a cable between them, one BGP session per family. ExaBGP's process is a
relay that hands its stdin and stdout over to the test, so that the code under test talks to ExaBGP from here. The first
part needs neither: it looks at the descriptors alone.
"""

import array
import asyncio
import contextlib
import fcntl
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from exavrrp.neighbors import Session, Terms
from exavrrp.pump import LONGEST_LINE, Lines
from exavrrp.routes import Attributes, Level, Network, Route
from exavrrp.speaker import (
    Anomaly,
    Answered,
    Configured,
    Disconnected,
    Event,
    Greeted,
    Listed,
    Neighbor,
    Refused,
    Silent,
    Stopping,
    channel,
)
from exavrrp.speaker.channel import PULSE
from exavrrp.speaker.dialects import V4, V5
from exavrrp.speaker.variants import EXPLICIT, variants
from exavrrp.system.exabgp import ExaBGP
from exavrrp.takeover import RouteContext, RoutePolicy, Takeover
from tests.system.conftest import LIMIT
from tests.system.running import EXABGP, LATEST, QUICKER, command_of, listens, need_exabgp, wait_until

if TYPE_CHECKING:
    from tests.system.conftest import Namespace, Need, Run, Until

Address = IPv4Address | IPv6Address
E = TypeVar("E", bound=Event)

PIPE = 64 * 1024
"""Bytes a pipe takes (pipe(7))."""

LAST_RESORT = RouteContext(last_resort=True)
POLICY = RoutePolicy.derived(Attributes(med=50, communities=("65010:7",)))
VIP6, OTHER6, MARK6 = (IPv6Network(f"2001:db8:53::{number}") for number in ("1", "2", "ffff"))
VIP4, OTHER4 = (IPv4Network(f"192.0.2.{number}") for number in (53, 54))
NOWHERE = IPv6Address("2001:db8:dead::1")
"""A neighbor that is not configured."""


def route(network: Network, level: Level = Level.ACTIVE) -> Route:
    return Route(network, POLICY.at(level))


def forms(*networks: Network) -> list[Route]:
    return [one for network in networks for one in POLICY.routes(network)]


class Told(list[Event]):
    """Collects events."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def talking(stdin: int, stdout: int, *ours: Route) -> AsyncIterator[tuple[ExaBGP, Told]]:
    told = Told()
    exabgp = ExaBGP(told)
    exabgp.own(ours or forms(VIP6))
    exabgp.open(asyncio.get_running_loop(), stdin, stdout)
    try:
        yield exabgp, told
    finally:
        exabgp.close()


# The descriptors alone


@dataclass
class Ends:
    """Two pipes: our ends, which the code under test takes over, and ExaBGP's."""

    stdin: int
    stdout: int
    write: int
    read: int

    def says(self, text: str | bytes) -> None:
        os.write(self.write, text.encode() if isinstance(text, str) else text)

    def hears(self) -> str:
        try:
            return os.read(self.read, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self, end: str) -> None:
        if getattr(self, end) >= 0:
            os.close(getattr(self, end))
            setattr(self, end, -1)


@pytest.fixture
def ends() -> Iterator[Ends]:
    stdin, write = os.pipe()
    read, stdout = os.pipe()
    os.set_blocking(read, False)
    made = Ends(stdin, stdout, write, read)
    yield made
    for end in ("stdin", "stdout", "write", "read"):
        made.close(end)


NEVER = 3600.0
"""Seconds: no limit that a test lasts, whatever else the machine has to do."""


@pytest.fixture
def _whenever_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ExaBGP, or a test, that had no CPU for a second does not count as unanswered."""
    monkeypatch.setattr(channel, "ANSWER_LIMIT", NEVER)


whenever_it_answers = pytest.mark.usefixtures("_whenever_it_answers")


@whenever_it_answers
def test_greeting_and_first_desired_set(ends: Ends, run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with talking(ends.stdin, ends.stdout) as (exabgp, told):
            assert ends.hears() == f"{V5.THROWAWAY}\n{V5.RESET}\n{V5.VERSION}\n"
            exabgp.set([route(VIP6)])
            ends.says("error\nexabgp 5.0.15\ndo")
            ends.says("ne\n")
            await until(lambda: told == [Greeted("5.0.15", known=True)])
            assert ends.hears() == f"{V5.CONFIGURATION}\n{V5.PROBE}\n{V5.announce(route(VIP6))}\n"
            ends.says("done\n")
            ends.says("Peer            AS        up/down state       |     #sent     #recvd\n")
            ends.says("fd00::1    65000   0:00:05 established           1          1\ndone\ndone\n")
            await until(lambda: exabgp.settled)
            assert ends.hears() == f"{V5.DETAIL}\n"
            ends.says("Neighbor fd00::1\n   local    fd00::2      \n   state    ESTABLISHED    \n\ndone\n")
            session = Session(IPv6Address("fd00::1"), IPv6Address("fd00::2"))
            await until(lambda: exabgp.established == {session})
            assert exabgp.dialect is V5
            assert told[1:3] == [Answered(VIP6, route(VIP6)), Neighbor(session, established=True)]
            assert told[3:] == [Configured({session: None})], "which families it carries, it has not said"

    run(body())


def test_neither_a_print_nor_a_child_reaches_exabgp(ends: Ends, run: "Run") -> None:
    def inherited() -> str:
        listing = ["ls", "-l", "/proc/self/fd"]
        return subprocess.run(listing, stdout=subprocess.PIPE, check=True, close_fds=False, text=True).stdout

    pipes = {os.fstat(number).st_ino for number in (ends.stdin, ends.stdout)}

    async def body() -> None:
        async with talking(ends.stdin, ends.stdout):
            ends.hears()
            os.write(ends.stdout, b"a stray print\n")  # goes to stderr
            assert ends.hears() == ""
            assert os.read(ends.stdin, 100) == b"", "/dev/null"
            assert os.get_inheritable(ends.stdin)
            assert os.get_inheritable(ends.stdout)
            listed = inherited()
            assert "/dev/null" in listed
            assert not any(f"pipe:[{pipe}]" in listed for pipe in pipes)

    run(body())


def test_only_a_pipe_will_do(ends: Ends, run: "Run") -> None:
    async def body(null: int) -> None:
        for pair in ((null, ends.stdout), (ends.stdin, null)):
            exabgp = ExaBGP(Told())
            exabgp.own(forms(VIP6))
            with pytest.raises(OSError, match="is not a pipe to ExaBGP"):
                exabgp.open(asyncio.get_running_loop(), *pair)
            exabgp.close()

    with Path(os.devnull).open() as null:
        run(body(null.fileno()))


def test_a_reader_that_stops_does_not_stop_us(ends: Ends, run: "Run", until: "Until") -> None:
    """The pipe to ExaBGP is full: we go on reading, keep only the last desired set, and send it when there is room."""
    many = [IPv6Network(f"2001:db8:53::{number:x}") for number in range(1, 300)]
    heading = "Peer            AS        up/down state       |     #sent     #recvd"
    heard = Lines(2 * PIPE)

    def carry_out() -> list[str]:
        """ExaBGP goes on: it reads, and answers."""
        lines = heard.feed(ends.hears().encode())
        for line in lines:
            ends.says(f"{heading}\ndone\n" if line.endswith(V5.PROBE) else "done\n")
        return lines

    async def body() -> None:
        async with talking(ends.stdin, ends.stdout, *forms(*many)) as (exabgp, told):
            ends.hears()
            filling = os.open(f"/proc/self/fd/{ends.read}", os.O_WRONLY)
            os.write(filling, b"#" * (PIPE - 5000))
            os.close(filling)
            ends.says("exabgp 5.0.15\ndone\n")
            await until(lambda: told.of(Greeted))
            for level in (Level.LEAVING, Level.ACTIVE) * 20:
                exabgp.set([route(network, level) for network in many])
                await asyncio.sleep(0)
            await until(lambda: told.of(Silent))
            ends.says('{"type": "state", "neighbor": {"address": {"peer": "fd00::1"}, "state": "up"}}\n')
            await until(lambda: exabgp.established)
            said = 0
            while not exabgp.settled:
                said += len(carry_out())
                await asyncio.sleep(0)
            assert said < 2.5 * len(many), "for each what was written when the pipe was full, and its last wish"
            assert {event.route for event in told.of(Answered)} == {route(network) for network in many}

    run(body())


@whenever_it_answers
def test_end_of_file(ends: Ends, run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with talking(ends.stdin, ends.stdout) as (exabgp, told):
            ends.close("write")
            await until(lambda: told)
            assert told == [Disconnected("end of file on stdin")]
            exabgp.set([route(VIP6)])
            await asyncio.sleep(0)
            assert told == [Disconnected("end of file on stdin")]

    run(body())


@whenever_it_answers
def test_broken_pipe(ends: Ends, run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with talking(ends.stdin, ends.stdout) as (_exabgp, told):
            ends.close("read")
            ends.says("exabgp 5.0.15\ndone\n")
            await until(lambda: told.of(Disconnected))
            assert told == [Greeted("5.0.15", known=True), Disconnected("stdout: Broken pipe")]

    run(body())


@whenever_it_answers
def test_a_callback_may_close_and_set(ends: Ends, run: "Run", until: "Until") -> None:
    async def body() -> None:
        told = Told()

        def listen(event: Event) -> None:
            told(event)
            if isinstance(event, Greeted):
                exabgp.set([route(VIP6)])
            if isinstance(event, Answered):
                exabgp.close()

        exabgp = ExaBGP(listen)
        exabgp.own(forms(VIP6))
        exabgp.open(asyncio.get_running_loop(), ends.stdin, ends.stdout)
        ends.says("exabgp 4.2.25\ndone\n")
        await until(lambda: told)
        ends.says("Peer            AS        up/down state\ndone\ndone\nerror\n")
        await until(lambda: told.of(Answered))
        assert told == [Greeted("4.2.25", known=True), Answered(VIP6, route(VIP6))]
        exabgp.close()

    run(body())


@whenever_it_answers
def test_a_line_without_end(ends: Ends, run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with talking(ends.stdin, ends.stdout) as (_exabgp, told):
            for _ in range(LONGEST_LINE // 4096 + 2):
                ends.says(b"x" * 4096)
                await asyncio.sleep(0)
            await until(lambda: told)
            assert [type(event) for event in told] == [Anomaly]
            ends.says("x\nexabgp 5.0.15\ndone\n")
            await until(lambda: told.of(Greeted))

    run(body())


def test_any_bytes(ends: Ends, run: "Run") -> None:
    chance = random.Random(5)

    async def body() -> None:
        async with talking(ends.stdin, ends.stdout) as (exabgp, _told):
            ends.says("exabgp 5.0.15\ndone\n")
            for _ in range(300):
                ends.says(
                    chance.choice([chance.randbytes(200), b"done\n", b"error\n", b'{"state"\n', b"Peer AS up/down \n"])
                )
                exabgp.set([route(VIP6)] if chance.random() < 0.5 else [])
                await asyncio.sleep(0)
                ends.hears()

    run(body())


# ExaBGP and BIRD


RELAY = """
import array, os, socket, sys
end = socket.socket(socket.AF_UNIX)
end.connect(sys.argv[1])
end.sendmsg([str(os.getpid()).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
end.recv(1)
"""

ENVIRONMENT = {
    "exabgp.daemon.user": "root",
    "exabgp.daemon.daemonize": "false",
    "exabgp.api.cli": "false",  # its named pipes would belong to the whole machine
    "exabgp.log.destination": "stdout",
    "exabgp.log.level": "INFO",
}

BIRD = """
router id 10.0.{number}.1;
log "{log}" all;
debug protocols {{ routes, states }};
protocol device {{ }}
template bgp server {{ local as {asn}; passive; hold time {hold}; error wait time 1, 1; }}
protocol bgp up4 from server {{
    local 10.0.{number}.1; neighbor 10.0.{number}.2 as 65010;
    ipv4 {{ import all; export none; }};
    ipv6 {{ import all; export none; }};
}}
protocol bgp up6 from server {{
    local fd00:{number}::1; neighbor fd00:{number}::2 as 65010;
    ipv4 {{ import all; export none; extended next hop on; }};
    ipv6 {{ import all; export none; }};
}}
protocol bgp twin4 from server {{
    local 10.0.{number}.1; neighbor 10.0.{number}.3 as 65010;
    ipv4 {{ import all; export none; }};
}}
"""

LINK_LOCAL = """
router id 10.0.{number}.1;
log "{log}" all;
debug protocols {{ routes, states }};
protocol device {{ }}
protocol bgp up6 {{
    local fe80::1 as {asn}; neighbor fe80::{number}:2 % 'eth0' as 65010;
    passive; hold time {hold}; error wait time 1, 1;
    ipv6 {{ import all; export none; }};
}}
"""
"""A router that is called fe80::1, as all of its fabric are."""

NEIGHBOR = """
neighbor {remote} {{
    router-id 10.0.0.2; local-address {local}; local-as 65010; peer-as {asn}; hold-time {hold}; {more}
    family {{ {families} }}
    api {{ processes [ agent ]; neighbor-changes; }}
}}
"""


class Router:
    """A router with BIRD."""

    def __init__(
        self, namespace: "Namespace", number: int, directory: Path, asn: int, *, hold: int, configuration: str
    ) -> None:
        self.namespace = namespace
        self.sessions = (
            Session(IPv4Address(f"10.0.{number}.1"), IPv4Address(f"10.0.{number}.2")),
            Session(IPv6Address(f"fd00:{number}::1"), IPv6Address(f"fd00:{number}::2")),
        )
        self.twin = Session(IPv4Address(f"10.0.{number}.1"), IPv4Address(f"10.0.{number}.3"))
        self.log = directory / f"bird{number}.log"
        self._control = directory / f"bird{number}.ctl"
        self._configuration = directory / f"bird{number}.conf"
        self._configuration.write_text(configuration.format(number=number, log=self.log, asn=asn, hold=hold))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = self.namespace.popen(
            ["bird", "-f", "-c", str(self._configuration), "-s", str(self._control)], stderr=subprocess.DEVNULL
        )
        wait_until(lambda: listens(self._control), "BIRD")

    def stop(self) -> None:
        """Kill BIRD; the kernel closes the sessions."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def tell(self, *command: str) -> str:
        return self.namespace.run("birdc", "-s", str(self._control), *command)

    def connections(self) -> str:
        """Its TCP connections to the BGP port, those without a process included."""
        return self.namespace.run("ss", "-Htn", "sport = :179")

    def routes(self) -> dict[str, dict[str, str]]:
        """Attributes by prefix."""
        found: dict[str, dict[str, str]] = {}
        for line in self.tell("show", "route", "all").splitlines():
            if begin := re.match(r"([0-9a-f.:]+/\d+)\s", line):
                found[begin[1]] = {}
            elif attribute := re.match(r"\tBGP\.(\w+): (.*)", line):
                found[list(found)[-1]][attribute[1]] = attribute[2]
        return found

    def origins(self, network: Network) -> set[str]:
        """The sessions that a route to it came over, by their names here."""
        found: dict[str, set[str]] = {"": set()}
        for line in self.tell("show", "route").splitlines():
            if one := re.match(r"(\S*)\s+unicast \[(\w+) ", line):
                prefix = one[1] or list(found)[-1]
                found.setdefault(prefix, set()).add(one[2])
        return found.get(str(network), set())

    def has(self, *routes: Route) -> bool:
        """Whether the router has exactly these routes, by their MED."""
        meds = {prefix: attributes.get("med") for prefix, attributes in self.routes().items()}
        return meds == {one.prefix: str(one.attributes.med) for one in routes}

    def updates(self, network: Network) -> list[str]:
        """What was done with each UPDATE about a prefix: ``added``, ``removed``, ``ignored``."""
        return re.findall(rf"up\d\.ipv\d > (\w+) (?:\[\w+\] )?{re.escape(str(network))} ", self.log.read_text())


@dataclass
class Plugin:
    """What ExaBGP started: a relay; its stdin and stdout are here."""

    pid: int
    stdin: int
    stdout: int
    connection: socket.socket
    _begun: str = field(default="", init=False)

    def waiting(self) -> int:
        """Bytes that ExaBGP has not read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self.stdout, termios.FIONREAD, b"\0" * 4))[0])

    def write(self, text: str) -> None:
        os.write(self.stdout, text.encode())

    def lines(self, last: Callable[[list[str]], bool]) -> list[str]:
        """Without the code under test: what ExaBGP says up to ``last``, lines of JSON left out."""
        found: list[str] = []
        while not last(found):
            ready, _, _ = select.select([self.stdin], [], [], LIMIT)
            assert ready, f"nothing after {found}"
            *complete, self._begun = (self._begun + os.read(self.stdin, 65536).decode()).split("\n")
            found += [line for line in complete if not line.startswith("{")]
        return found

    def ask(self, *commands: str, answers: int | None = None) -> list[str]:
        """As above, up to the last of as many answers."""
        self.write("".join(f"{command}\n" for command in commands))
        wanted = len(commands) if answers is None else answers
        return self.lines(lambda found: sum(line in ("done", "error") for line in found) == wanted)

    def kill(self) -> None:
        """SIGKILL, as far as ExaBGP can see; its next plugin is on its way."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            os.close(self.stdout)
            self.connection.close()
            self.stdin = self.stdout = -1


class Site:
    """A server with ExaBGP and a cable to each of its routers."""

    def __init__(
        self,
        command: Sequence[str],
        namespace: "Callable[[], Namespace]",
        cable: "Callable[[Namespace, str, Namespace, str], None]",
        directory: Path,
        *,
        line: str,
        routers: int = 1,
        families_over_ipv4: str = "ipv4 unicast;",
        families_over_ipv6: str = "ipv6 unicast;",
        more: str = "",
        asn: int = 65000,
        internal: int | None = None,
        twins: bool = False,
        alike: bool = False,
        hold: int = 90,
        ipv6_first: bool = False,
        otherwise: bool = False,
    ) -> None:
        """``internal``: the number of the router that is in our AS; ``alike``: all are fe80::1; ``twins``: a second
        IPv4 session to each router, from another address; ``hold``: the hold time in seconds, of which ExaBGP sends a
        KEEPALIVE after each third; ``ipv6_first``: ExaBGP's order of the sessions to a router; ``otherwise``:
        IPv6 neighbors are spelt in upper case, and no neighbor has a ``local-address`` (4.2 wants one).
        """
        self.directory = directory
        self.line = line
        self.server = namespace()
        bird = LINK_LOCAL if alike else BIRD
        numbers = [65010 if number == internal else asn for number in range(routers)]
        self.routers = [
            Router(namespace(), number, directory, one, hold=hold, configuration=bird)
            for number, one in enumerate(numbers)
        ]
        for number, router in enumerate(self.routers):
            cable(self.server, f"eth{number}", router.namespace, "eth0")
            for end, host, interface in ((2, self.server, f"eth{number}"), (1, router.namespace, "eth0")):
                host.ip(f"""addr add 10.0.{number}.{end}/24 dev {interface}
                            addr add 10.0.{number}.{end + 1 if host is self.server else 254}/24 dev {interface}
                            addr add fd00:{number}::{end}/64 dev {interface}""")
            if alike:
                link = Session(IPv6Address("fe80::1"), IPv6Address(f"fe80::{number}:2"))
                router.sessions = (link, link)
                self.server.ip(f"addr add {link.local}/64 dev eth{number} nodad")
                router.namespace.ip("addr add fe80::1/64 dev eth0 nodad")
        self._plugins: list[Plugin] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(LIMIT)
        self._listener.bind(str(directory / "relay"))
        self._listener.listen()
        relay = directory / "relay.py"
        relay.write_text(RELAY)
        configuration = f"process agent {{ run {sys.executable} {relay} {directory / 'relay'}; encoder json; }}\n"
        for router, number in zip(self.routers, numbers, strict=True):
            sessions = {router.sessions[0]: families_over_ipv4, router.sessions[1]: families_over_ipv6}
            if twins:
                sessions[router.twin] = families_over_ipv4
            if ipv6_first:
                sessions = dict(reversed(sessions.items()))
            for session, families in sessions.items():
                ends = {"remote": str(session.peer), "local": str(session.local)}
                if otherwise:
                    ends = {"remote": str(session.peer).upper(), "local": ends["local"] if line == "4" else "auto"}
                where = f"source-interface eth{self.routers.index(router)};" if alike else ""
                configuration += NEIGHBOR.format(**ends, families=families, asn=number, hold=hold, more=where + more)
        self._configuration = configuration
        self.list_in(*range(routers))
        with (directory / "exabgp.log").open("w") as log:
            self.exabgp = self.server.popen(
                [*command, str(directory / "exabgp.conf")],
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def router(self) -> Router:
        return self.routers[0]

    def plugin(self) -> Plugin:
        """Waits for the next plugin that ExaBGP starts."""
        connection, _ = self._listener.accept()
        pid, ancillary, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(8))
        descriptors = array.array("i")
        descriptors.frombytes(ancillary[0][2][:8])
        made = Plugin(int(pid), descriptors[0], descriptors[1], connection)
        self._plugins.append(made)
        return made

    def list_in(self, *numbers: int) -> None:
        """From its start or its next ``reload`` on, ExaBGP passes our commands on to these routers only."""
        begin, *blocks = self._configuration.split("\nneighbor ")
        peers = {str(one.peer) for number in numbers for one in self.routers[number].sessions}
        listed = (one if one.split()[0].lower() in peers else re.sub("api .*", "", one) for one in blocks)
        (self.directory / "exabgp.conf").write_text("\nneighbor ".join([begin, *listed]))

    def log(self) -> str:
        return (self.directory / "exabgp.log").read_text()

    async def reload(self, until: "Until") -> None:
        """SIGUSR1, again while 5.0 forgets it for UPDATEs to be sent."""
        before, asked = self.log().count("loaded new configuration"), 0.0

        def reloaded() -> bool:
            nonlocal asked
            if time.monotonic() > asked + 1.0:
                asked = time.monotonic()
                os.kill(self.exabgp.pid, signal.SIGUSR1)
            return self.log().count("loaded new configuration") > before

        await until(reloaded)

    def freeze(self) -> None:
        os.kill(self.exabgp.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.exabgp.pid, signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self.exabgp.kill()
        self.exabgp.wait()
        for plugin in self._plugins:
            plugin.close()
        self._listener.close()


Build = Callable[..., Site]


@pytest.fixture(params=LATEST)
def build(
    request: pytest.FixtureRequest,
    need: "Need",
    namespace: "Callable[[], Namespace]",
    cable: "Callable[[Namespace, str, Namespace, str], None]",
    tmp_path: Path,
) -> Iterator[Build]:
    """Makes a site whose BIRDs do not run yet."""
    line = request.param
    need_exabgp(line, need)
    need("bird")
    need("birdc")
    made: list[Site] = []

    def build(**options: Any) -> Site:
        made.append(Site(command_of(line), namespace, cable, tmp_path, line=line, **options))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def site(build: Build) -> Site:
    """A site with one router, whose BIRD runs."""
    made = build()
    made.router.start()
    return made


def up(exabgp: ExaBGP, *routers: Router) -> bool:
    return exabgp.established == {one for router in routers for one in router.sessions}


def tried(told: Told, *routers: Router) -> bool:
    """Whether it is known of each session that its neighbor hears of us: nothing of ours is under way for that."""
    return {one.session for one in told.of(Listed)} >= {one for router in routers for one in router.sessions}


pytestmark: list[pytest.MarkDecorator] = []
system = pytest.mark.system


READ = """
import sys
from exabgp.application import bgp

def tell(usage, real=bgp.docopt.docopt, **more):
    for words in ["exabgp.conf", "one two", "--env exabgp.env -d -p one"]:
        print(real(usage, words.split(), **more))
    sys.exit()

bgp.docopt.docopt = tell
sys.argv.pop(0)
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


@system
def test_what_starts_exabgp_4_in_less_time_reads_the_same_from_its_command_line(need: "Need") -> None:
    need_exabgp("4", need)

    def read(script: Path) -> str:
        command = [str(EXABGP["4"].with_name("python")), "-c", READ, str(script)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    options = read(EXABGP["4"])
    assert "['one', 'two']" in options
    assert read(QUICKER) == options


@system
@whenever_it_answers
def test_announced_as_desired(site: Site, run: "Run", until: "Until") -> None:
    attributes = Attributes(
        med=50,
        local_preference=300,
        communities=("65010:7", "no-export"),
        large_communities=("65010:1:2", "4200000000:0:4294967295"),
        as_path=(65010, 65010, 4200000000),
    )
    policy = RoutePolicy.derived(attributes)
    plugin = site.plugin()

    async def body() -> None:
        ours = [one for network in (VIP6, VIP4) for one in policy.routes(network)]
        async with talking(plugin.stdin, plugin.stdout, *ours) as (exabgp, told):
            exabgp.set([])
            await until(lambda: up(exabgp, site.router) and exabgp.settled and tried(told, site.router))
            assert site.router.routes() == {}
            exabgp.set([Route(VIP6, attributes), Route(VIP4, attributes)])
            await until(lambda: exabgp.settled)
            assert told.of(Answered)[-2:] == [
                Answered(VIP6, Route(VIP6, attributes)),
                Answered(VIP4, Route(VIP4, attributes)),
            ]
            await until(lambda: len(site.router.routes()) == 2)
            for network, next_hop in ((VIP6, "fd00::2"), (VIP4, "10.0.0.2")):
                assert site.router.routes()[str(network)] == {
                    "origin": "IGP",
                    "as_path": "65010 65010 4200000000",
                    "next_hop": next_hop,
                    "med": "50",
                    "local_pref": "100",
                    "community": "(65010,7) (65535,65281)",
                    "large_community": "(65010, 1, 2) (4200000000, 0, 4294967295)",
                }
            exabgp.set([Route(VIP6, policy.leaving)])
            await until(lambda: exabgp.settled)
            await until(lambda: site.router.has(Route(VIP6, policy.leaving)))
            left = site.router.routes()[str(VIP6)]
            assert left["as_path"] == "65010 65010 65010 65010 4200000000"
            assert "(65535,0)" in left["community"]
            exabgp.set([])
            await until(lambda: exabgp.settled)
            await until(site.router.has)
            assert not told.of(Anomaly) + told.of(Refused) + told.of(Silent)

    run(body())


@system
@whenever_it_answers
def test_a_neighbor_that_exabgp_names_otherwise_than_its_answers_do(build: Build, run: "Run", until: "Until") -> None:
    """Without ``local-address`` 5.0 calls it ``local-ip None``, and both spell an IPv6 address as their file does."""
    site = build(otherwise=True)
    router = site.router
    router.start()
    four, six = router.sessions
    there = Route(VIP6, Attributes(med=50, next_hop="fd00::2", neighbors=(Session(six.peer),)))
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, there) as (exabgp, told):
            await until(lambda: up(exabgp, router))
            exabgp.set([there])
            await until(lambda: router.has(there) and tried(told, router))
            assert told.of(Listed) == [
                Listed(one, listed=True) for one in {each.session: 0 for each in told.of(Listed)}
            ]
            told.clear()
            await site.reload(until)
            await asyncio.sleep(2.5 * PULSE)  # as long as three questions take: what they say is the same
            assert not told.of(Neighbor)
            router.tell("disable", "up6")
            await until(lambda: exabgp.established == {four})
            assert not told.of(Refused) + told.of(Silent)

    run(body())


@system
def test_only_to_some_neighbors(build: Build, run: "Run", until: "Until") -> None:
    site = build(routers=3)
    for router in site.routers:
        router.start()
    one, two, three = site.routers
    both = Attributes(med=50, neighbors=(Session(one.sessions[1].peer), three.sessions[1]))
    first = Attributes(med=51, neighbors=(Session(one.sessions[1].peer),))
    plugin = site.plugin()

    async def body() -> None:
        ours = (Route(VIP6, both), Route(OTHER6, first))
        async with talking(plugin.stdin, plugin.stdout, *ours) as (exabgp, _told):
            exabgp.set(ours)
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            await until(lambda: one.has(*ours) and three.has(ours[0]))
            exabgp.set([ours[1]])
            await until(lambda: one.has(ours[1]) and three.has())
            assert not any(two.updates(network) for network in (VIP6, OTHER6))

    run(body())


@system
@whenever_it_answers
def test_two_sessions_to_one_neighbor(build: Build, run: "Run", until: "Until") -> None:
    """Each session is known by both ends: from events, by a successor from its first poll, and in a command."""
    site = build(twins=True)
    router = site.router
    router.start()
    first, six, twin = *router.sessions, router.twin
    everywhere, there = Route(VIP4, Attributes(med=1)), Route(OTHER4, Attributes(med=2, neighbors=(twin,)))

    async def body() -> None:
        plugin = site.plugin()
        async with talking(plugin.stdin, plugin.stdout, everywhere, there) as (exabgp, told):
            exabgp.set([everywhere, there])
            await until(lambda: exabgp.established == {first, six, twin} and exabgp.settled)
            await until(lambda: router.origins(VIP4) == {"up4", "twin4"} and router.origins(OTHER4) == {"twin4"})
            router.tell("disable", "up4")
            await until(lambda: exabgp.established == {six, twin})
            await until(lambda: router.origins(VIP4) == {"twin4"})
            told.clear()
            await asyncio.sleep(2.5 * PULSE)  # as long as three questions take: what they say is the same
            assert not told.of(Neighbor)
        plugin.kill()
        plugin = site.plugin()
        async with talking(plugin.stdin, plugin.stdout, everywhere, there) as (exabgp, told):
            exabgp.set([everywhere, there])
            await until(lambda: exabgp.established == {six, twin} and exabgp.settled)
            router.tell("enable", "up4")
            await until(lambda: exabgp.established == {first, six, twin})
            router.tell("disable", "twin4")
            await until(lambda: exabgp.established == {first, six})
            await until(lambda: router.origins(VIP4) == {"up4"} and router.origins(OTHER4) == set())
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly)

    run(body())


@system
@whenever_it_answers
@pytest.mark.parametrize("build", ["5"], indirect=True)
def test_two_routers_that_are_called_alike(build: Build, run: "Run", until: "Until") -> None:
    """Both are fe80::1, each on a link of its own; 4.2 has no ``source-interface``."""
    site = build(routers=2, alike=True)
    one, two = site.routers
    for router in site.routers:
        router.start()
    everywhere, there = Route(VIP6, Attributes(med=1)), Route(OTHER6, Attributes(med=2, neighbors=(two.sessions[1],)))

    async def body() -> None:
        plugin = site.plugin()
        async with talking(plugin.stdin, plugin.stdout, everywhere, there) as (exabgp, told):
            exabgp.set([everywhere, there])
            await until(lambda: up(exabgp, one, two) and exabgp.settled)
            await until(lambda: one.origins(VIP6) and two.origins(VIP6) and two.origins(OTHER6))
            assert not one.origins(OTHER6)
            one.tell("disable", "up6")
            await until(lambda: up(exabgp, two))
            one.tell("enable", "up6")
            await until(lambda: up(exabgp, one, two))
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly)

    run(body())


@system
@whenever_it_answers
def test_one_session_to_each_router_for_both_families(build: Build, run: "Run", until: "Until") -> None:
    """The next hop of an IPv6 route over an IPv4 session is one's own for each neighbor, whatever comes and goes."""
    site = build(routers=3, families_over_ipv4="ipv4 unicast; ipv6 unicast;")
    for router in site.routers:
        router.start()
    over = [router.sessions[0] for router in site.routers]
    own = dict(zip(over, ("fd00::2", "fd00:1::2", "fd00:2::2"), strict=True))
    policy = RoutePolicy.derived(Attributes(med=50, neighbors=tuple(over), next_hops=tuple(own.items())))
    plugin = site.plugin()

    def led(exabgp: ExaBGP, level: Level) -> bool:
        """Every router that has a session has the route, by its own next hop and no other."""
        for router in site.routers:
            if router.sessions[0] in exabgp.established:
                found = router.routes().get(str(VIP6), {})
                wanted = {"next_hop": own[router.sessions[0]], "med": str(policy.at(level, LAST_RESORT).med)}
                if not wanted.items() <= found.items():
                    return False
        return True

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *policy.routes(VIP6)) as (exabgp, told):
            exabgp.set([Route(VIP6, policy.active)])
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            await until(lambda: led(exabgp, Level.ACTIVE))
            for level, router in zip(Level, site.routers, strict=True):
                router.tell("disable", "up4")
                await until(lambda: len(exabgp.established) == 5)
                exabgp.set([Route(VIP6, policy.at(level, LAST_RESORT))])
                await until(partial(lambda level: exabgp.settled and led(exabgp, level), level))
                router.tell("enable", "up4")
                await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
                await until(partial(led, exabgp, level))
            exabgp.set([])
            await until(lambda: exabgp.settled and not any(router.routes() for router in site.routers))
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly)

    run(body())


@system
@whenever_it_answers
def test_an_ipv4_route_with_an_ipv6_next_hop(build: Build, run: "Run", until: "Until") -> None:
    """RFC 8950, on both versions. With ``self``, ExaBGP takes its router-id for the next hop."""
    site = build(
        families_over_ipv6="ipv4 unicast; ipv6 unicast;",
        more="capability { nexthop enable; } nexthop { ipv4 unicast ipv6; }",
    )
    router = site.router
    router.start()
    six = router.sessions[1]
    extended = Route(VIP4, Attributes(med=1, next_hop="fd00::2", neighbors=(six,)))
    own = Route(OTHER4, Attributes(med=2, neighbors=(six,)))
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, extended, own) as (exabgp, told):
            exabgp.set([extended, own])
            await until(lambda: up(exabgp, router) and exabgp.settled and len(router.routes()) == 2)
            found = router.routes()
            assert found[extended.prefix]["next_hop"] == "fd00::2"
            assert found[own.prefix]["next_hop"] == "10.0.0.2"
            exabgp.set([])
            await until(lambda: exabgp.settled and not router.routes())
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly)

    run(body())


@system
@whenever_it_answers
def test_an_ipv6_next_hop_that_was_not_agreed_upon(build: Build, run: "Run", until: "Until") -> None:
    """Without the capability: both versions send it, and the router takes it for a withdraw."""
    site = build(families_over_ipv6="ipv4 unicast; ipv6 unicast;")
    router = site.router
    router.start()
    extended = Route(VIP4, Attributes(med=1, next_hop="fd00::2", neighbors=(router.sessions[1],)))
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, extended) as (exabgp, told):
            exabgp.set([extended])
            await until(lambda: up(exabgp, router) and exabgp.settled)
            await until(lambda: "mismatched address family (fd00::2 for ipv4)" in router.log.read_text())
            assert not router.routes()
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly), "ExaBGP says nothing of it"

    run(body())


@system
@whenever_it_answers
def test_a_refusal_is_reported_for_the_right_prefix(site: Site, run: "Run", until: "Until") -> None:
    plugin = site.plugin()
    wrong = Route(OTHER6, Attributes(med=1, neighbors=(Session(NOWHERE),)))

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6), wrong, *forms(VIP4)) as (exabgp, told):
            exabgp.set([route(VIP6), wrong, route(VIP4)])
            await until(lambda: up(exabgp, site.router) and len(told.of(Refused)) > 1)
            assert {event.network for event in told.of(Refused)} == {OTHER6}
            assert all(f"neighbor {NOWHERE} announce" in event.line for event in told.of(Refused))
            await until(lambda: site.router.has(route(VIP6), route(VIP4)))
            assert {event.network for event in told.of(Answered)} == {VIP6, VIP4}
            assert not told.of(Silent)
            assert not exabgp.settled

    run(body())


@system
def test_what_fails_for_one_neighbor_may_have_been_told_to_others(build: Build, run: "Run", until: "Until") -> None:
    """An IPv6 route with next hop self goes over the IPv6 session, then fails for the IPv4 one."""
    site = build(families_over_ipv4="ipv4 unicast; ipv6 unicast;", ipv6_first=True)
    site.router.start()
    plugin = site.plugin()
    ours = Route(OTHER6, Attributes(med=1))

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, ours) as (exabgp, told):
            await until(lambda: up(exabgp, site.router) and exabgp.dialect is not None)
            exabgp.set([ours])
            kind: type[Refused | Silent] = Silent if exabgp.dialect is V4 else Refused
            await until(lambda: any(one.times > 1 for one in told.of(kind)))
            await until(lambda: site.router.has(ours))
            assert exabgp.may_announce([OTHER6])
            exabgp.set([])
            await until(site.router.has)
            assert not exabgp.settled, "the withdraw fails, too"
            assert exabgp.may_announce([OTHER6]), "a trial was accepted, and no withdraw since"

    run(body())


@system
def test_what_is_never_answered_delays_nobody(
    build: Build, run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    """4.2 never answers an IPv6 route with next hop self over an IPv4 session; 5.0 says error."""
    site = build(families_over_ipv4="ipv4 unicast; ipv6 unicast;")
    site.router.start()
    plugin = site.plugin()
    mute = Route(OTHER6, Attributes(med=1, neighbors=(site.router.sessions[0],)))

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, mute, *forms(OTHER4, VIP4)) as (exabgp, told):
            await until(lambda: up(exabgp, site.router) and exabgp.dialect is not None)  # sessions may be told first
            exabgp.set([mute, route(OTHER4), route(VIP4)])
            kind: type[Refused | Silent] = Silent if exabgp.dialect is V4 else Refused
            await until(lambda: told.of(kind))
            await until(lambda: site.router.has(route(OTHER4), route(VIP4)))
            # From the second time on ExaBGP's silence is proved at once, and nobody waits for it.
            monkeypatch.setattr(channel, "ANSWER_LIMIT", NEVER)
            for number in range(10):
                level = Level.ACTIVE if number % 2 else Level.LEAVING
                told.clear()
                again = Route(OTHER6, Attributes(med=2 + number, neighbors=mute.attributes.neighbors))
                exabgp.set([again, route(OTHER4, level), route(VIP4, level)])
                await until(lambda: told.of(kind) and len(told.of(Answered)) == 2)
                everywhere = V5.announce(Route(OTHER6, again.attributes.for_all))
                assert told.of(kind)[0].line == f"neighbor {site.router.sessions[0].peer} {everywhere}"
                assert {event.route for event in told.of(Answered)} == {route(OTHER4, level), route(VIP4, level)}

    run(body())


@system
def test_frozen_exabgp(site: Site, run: "Run", until: "Until") -> None:
    """SIGSTOP for 5 s: nothing piles up, and afterwards the latest is announced, once."""
    plugin = site.plugin()

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6, OTHER6, VIP4)) as (exabgp, told):
            exabgp.set([])
            await until(lambda: up(exabgp, site.router) and exabgp.settled and tried(told, site.router))
            site.freeze()
            end = loop.time() + 5.0
            wishes = 0
            while loop.time() < end:
                level = Level.ACTIVE if wishes % 2 else Level.LEAVING
                exabgp.set([route(VIP6, level), *([route(VIP4)] if wishes % 3 else [])])
                wishes += 1
                await asyncio.sleep(0.005)
            assert plugin.waiting() < 500
            assert len(told.of(Silent)) == 2, "each command once"
            before = len(told.of(Answered))
            exabgp.set([route(VIP6), route(VIP4)])
            site.thaw()
            await until(lambda: exabgp.settled)
            await until(lambda: site.router.has(route(VIP6), route(VIP4)))
            assert sorted(map(repr, told.of(Answered)[before:])) == sorted(
                map(repr, [Answered(VIP6, route(VIP6)), Answered(VIP4, route(VIP4))])
            )
            assert wishes > 100
            # What was said before the freeze was noticed, and the latest: nothing of the hundreds between.
            for network in (VIP6, VIP4):
                assert len(site.router.updates(network)) - site.router.updates(network).count("ignored") <= 2
            assert not told.of(Anomaly)

    run(body())


@system
def test_a_session_flaps(site: Site, run: "Run", until: "Until") -> None:
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6, OTHER6)) as (exabgp, told):
            exabgp.set([route(VIP6), route(OTHER6)])
            await until(lambda: site.router.routes().keys() == {str(VIP6), str(OTHER6)})
            site.router.tell("disable", "up6")
            six = site.router.sessions[1]
            await until(lambda: Neighbor(six, established=False) in told)
            exabgp.set([route(VIP6, Level.LEAVING)])
            await until(lambda: exabgp.settled)
            site.router.tell("enable", "up6")
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            await until(lambda: site.router.has(route(VIP6, Level.LEAVING)))

    run(body())


@system
def test_what_comes_up_late_gets_what_is_wanted_last(build: Build, run: "Run", until: "Until") -> None:
    """Changes between two attempts of ExaBGP to connect: it keeps them in the order of their first attributes.

    Without a repeat in other words BIRD would end with the wrong attributes for VIP6; had the withdraw not been said in
    every form, it would hear of OTHER6, which is withdrawn.
    """
    site = build()
    plugin = site.plugin()
    here = [Level.ACTIVE, Level.LEAVING]

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6, OTHER6, MARK6)) as (exabgp, _told):
            heard: list[str] = []
            feed = exabgp.conversation.feed

            def listening(line: str, now: float) -> list[Event]:
                heard.append(line)
                return feed(line, now)

            exabgp.conversation.feed = listening  # type: ignore[method-assign]  # a look at what ExaBGP tells, no more
            exabgp.set([])
            # Each attempt is further from the last, and forgets what was queued. Now there are seconds to the next one.
            await until(lambda: sum('"fd00:0::1"' in line or '"fd00::1"' in line for line in heard) >= 8)
            for level in (*here, Level.ACTIVE):
                exabgp.set([route(VIP6, level), route(OTHER6, level)])
                await until(lambda: exabgp.settled)
            exabgp.set([route(VIP6)])
            await until(lambda: exabgp.settled)
            site.router.start()
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            exabgp.set([route(VIP6), route(MARK6)])
            await until(lambda: site.router.log.exists() and site.router.updates(MARK6))
            assert site.router.has(route(VIP6), route(MARK6))
            assert "added" not in site.router.updates(OTHER6)

    run(body())


@system
def test_a_repeat_is_sent_and_changes_nothing(build: Build, run: "Run", until: "Until") -> None:
    """The other router comes up later: what ExaBGP is told again reaches the first one, byte for byte the same."""
    site = build(routers=2)
    first, second = site.routers
    first.start()
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6)) as (exabgp, _told):
            exabgp.set([route(VIP6)])
            await until(lambda: up(exabgp, first) and exabgp.settled)
            await until(lambda: first.has(route(VIP6)))
            before = len(first.updates(VIP6))
            second.start()
            await until(lambda: up(exabgp, first, second) and exabgp.settled)
            await until(lambda: second.has(route(VIP6)) and len(first.updates(VIP6)) > before)
            assert set(first.updates(VIP6)[before:]) == {"ignored"}

    run(body())


@system
def test_a_neighbor_that_does_not_list_us_for_a_moment_gets_what_it_missed(
    build: Build, run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks at the configuration; 4.2 uses another list when a session has ended, which it tells."""
    site = build(routers=2)
    first, second = site.routers
    for router in site.routers:
        router.start()
    plugin = site.plugin()

    async def list_in(*numbers: int) -> None:
        site.list_in(*numbers)
        await site.reload(until)
        for name in ("up4", "up6") if site.line == "4" else ():
            second.tell("restart", name)

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6)) as (exabgp, told):
            exabgp.set([route(VIP6)])
            await until(lambda: up(exabgp, first, second) and tried(told, first, second) and exabgp.settled)
            await until(lambda: first.has(route(VIP6)) and second.has(route(VIP6)))
            monkeypatch.setattr("exavrrp.speaker.conversation.SURVEY", 3600.0)
            await list_in(0)
            await until(lambda: up(exabgp, first, second) and second.has(route(VIP6)))
            exabgp.set([route(VIP6, Level.LEAVING)])
            await until(lambda: first.has(route(VIP6, Level.LEAVING)) and exabgp.settled)
            assert second.has(route(VIP6)), "done, and it is told nothing"
            await list_in(0, 1)
            monkeypatch.undo()
            await until(lambda: second.has(route(VIP6, Level.LEAVING)))

    run(body())


@system
@pytest.mark.parametrize("announces", [True, False])
def test_a_session_that_its_router_has_forgotten_is_found_closed_by_a_repeat(
    build: Build, run: "Run", until: "Until", announces: bool
) -> None:
    """The router was cut off when it closed its sessions, does not open any, and has not been written to since.

    ExaBGP's next KEEPALIVE is due after the limit of any wait here.
    """
    site = build(hold=round(4 * LIMIT))
    router, plugin = site.router, site.plugin()
    router.start()
    router.namespace.sysctl("net.ipv4.tcp_orphan_retries", 1)  # of IPv6, too: its FINs are not to outlast the cut

    async def body() -> None:
        wanted = [route(VIP6)] if announces else []
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6, OTHER6)) as (exabgp, told):
            exabgp.set(wanted)
            await until(lambda: up(exabgp, router) and exabgp.settled)
            # What comes and goes last shows that ExaBGP has written all that is due at the start of a session.
            exabgp.set([*wanted, route(OTHER6)])
            await until(lambda: router.has(*wanted, route(OTHER6)))
            exabgp.set(wanted)
            await until(lambda: router.has(*wanted) and exabgp.settled)
            router.namespace.ip("link set eth0 down")
            await until(lambda: not router.connections())
            router.namespace.ip("link set eth0 up\naddr add fd00:0::1/64 dev eth0 nodad")
            assert up(exabgp, router), "nobody has told ExaBGP"
            exabgp.repeat()
            await until(lambda: any(not one.established for one in told.of(Neighbor)))
            await until(lambda: up(exabgp, router) and exabgp.settled and router.has(*wanted))

    run(body())


@system
@whenever_it_answers
@pytest.mark.parametrize("level", Level)
def test_a_predecessor_that_was_killed(site: Site, run: "Run", until: "Until", level: Level) -> None:
    """Killed in the middle of a line, with commands unanswered. Its routes do not outlive it."""
    plugin = site.plugin()

    async def first() -> None:
        ours = os.dup(plugin.stdout)
        async with talking(plugin.stdin, plugin.stdout, *forms(VIP6, OTHER6)) as (exabgp, _told):
            exabgp.set([route(VIP6, level), route(OTHER6)])
            await until(lambda: site.router.has(route(VIP6, level), route(OTHER6)))
            site.freeze()  # so that what follows is certainly unread when we die
            exabgp.set([route(OTHER6, Level.LEAVING)])
            await asyncio.sleep(0)  # so that it is written
            os.write(ours, f"{V5.PROBE}\nannounce route {VIP4} next-hop self med 5".encode())
            os.close(ours)
            plugin.kill()
            site.thaw()

    run(first())
    second = site.plugin()

    async def body() -> None:
        async with talking(second.stdin, second.stdout, *forms(VIP6, OTHER6)) as (exabgp, told):
            exabgp.set([route(OTHER6)])
            await until(lambda: exabgp.settled)
            await until(lambda: site.router.has(route(OTHER6)))
            assert up(exabgp, site.router), "nobody tells a plugin that was started again"
            assert not told.of(Anomaly) + told.of(Refused) + told.of(Silent)
            exabgp.set([])
            await until(site.router.has)
            assert site.router.updates(VIP4) == [], "half a line"

    run(body())


@system
@pytest.mark.parametrize("level", Level)
def test_a_predecessor_that_was_killed_while_no_neighbor_was_up(
    build: Build, run: "Run", until: "Until", level: Level
) -> None:
    site = build()
    plugin = site.plugin()
    plugin.ask(V5.announce(route(VIP6, level), EXPLICIT), V5.announce(route(OTHER6)))
    plugin.kill()
    second = site.plugin()

    async def body() -> None:
        async with talking(second.stdin, second.stdout, *forms(VIP6, OTHER6)) as (exabgp, _told):
            exabgp.set([route(OTHER6)])
            await until(lambda: exabgp.settled)
            site.router.start()
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            await until(lambda: site.router.has(route(OTHER6)))
            assert "added" not in site.router.updates(VIP6)

    run(body())


@system
def test_half_a_line_becomes_nothing(build: Build) -> None:
    """4.2 keeps the start of a line from a dead plugin and appends our first word, wherever the line was cut."""
    site = build()
    plugin = site.plugin()
    full = Attributes(
        med=50, local_preference=100, communities=("65010:7",), large_communities=("65010:1:2",), as_path=(65010, 65010)
    )
    named = Attributes(med=5, neighbors=site.router.sessions)
    commands = [
        V4.announce(Route(VIP6, full), EXPLICIT),
        V4.announce(Route(VIP4, full)),
        V4.withdraw(Route(VIP4, named)),
    ]

    def summarised(found: list[str]) -> bool:
        return any(line.startswith("Peer") for line in found) and found[-1] == "done"

    for line in (*commands, V5.PROBE, V5.VERSION):
        for cut in range(len(line) + 1):
            if line in commands:  # The word alone makes it an error; 4.2 does not even answer some.
                plugin.write(f"{line[:cut]}{V5.THROWAWAY}\n{V5.PROBE}\n")
                found = plugin.lines(summarised)
                assert found[0] == "error" or found[0].startswith("Peer"), f"{line[:cut]!r}: {found}"
            # With reset, as we do, nothing behind the answer of version belongs to it.
            plugin.write(f"{line[:cut]}{V5.THROWAWAY}\n{V5.RESET}\n{V5.VERSION}\n{V5.PROBE}\n")
            found = plugin.lines(summarised)
            begin = next(index for index, one in reversed(list(enumerate(found))) if one.startswith("exabgp "))
            assert found[begin + 1] == "done"
            assert found[begin + 2].startswith("Peer"), f"{line[:cut]!r}: {found}"
    assert [one for one in plugin.ask("show adj-rib out") if "/" in one] == []


@system
def test_what_the_conversation_counts_on(build: Build) -> None:
    """``version`` overtakes, a summary does not; a reset is not answered and stops what is queued."""
    site = build()
    plugin = site.plugin()
    one, two = (V5.announce(route(network)) for network in (VIP6, OTHER6))
    unknown = V5.announce(Route(VIP6, Attributes(neighbors=(Session(NOWHERE),))))
    found = plugin.ask(one, V5.PROBE, unknown, V5.PROBE, two, V5.VERSION)
    version = found[0]
    found = [line for line in found if not line.startswith(("10.", "fd00:"))]
    heading = found[3]
    assert re.fullmatch(r"exabgp [45]\.\S+", version)
    assert heading.startswith("Peer ")
    assert found == [version, "done", "done", heading, "done", "error", heading, "done", "done"]
    found = plugin.ask(V5.withdraw(route(VIP6)), V5.withdraw(route(OTHER6)), V5.RESET, V5.VERSION, answers=1)
    assert found == [version, "done"]
    listed = plugin.ask("show adj-rib out")
    assert {str(network) for network in (VIP6, OTHER6)} <= set(" ".join(listed).split())


@system
def test_stopping(site: Site, run: "Run", until: "Until") -> None:
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout) as (exabgp, told):
            exabgp.set([route(VIP6)])
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            site.exabgp.terminate()
            await until(lambda: told.of(Stopping))
            os.kill(plugin.pid, signal.SIGKILL)
            await until(lambda: told.of(Disconnected))

    run(body())


@system
def test_killed_exabgp(site: Site, run: "Run", until: "Until") -> None:
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout) as (exabgp, told):
            await until(lambda: up(exabgp, site.router))
            site.exabgp.kill()
            await until(lambda: told.of(Disconnected))
            assert not told.of(Stopping)
            await until(lambda: "up6: State changed to down" in site.router.log.read_text() or site.router.has())

    run(body())


@system
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("EXAVRRP_SEEDS", "1,2").split(",")])
def test_any_order(build: Build, run: "Run", until: "Until", seed: int) -> None:
    """Changes, flaps and freezes in random order: in the end both routers have the last desired routes."""
    chance = random.Random(seed)
    site = build(routers=2)
    for router in site.routers:
        router.start()
    plugin = site.plugin()
    networks = (VIP6, OTHER6, VIP4)

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(*networks, MARK6)) as (exabgp, told):
            exabgp.set([])
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            wanted: list[Route] = []
            off: set[tuple[int, str]] = set()
            frozen = False
            for _ in range(120):
                match chance.choices(["want", "flap", "freeze", "pause"], [10, 2, 1, 3])[0]:
                    case "want":
                        wanted = [route(one, chance.choice(list(Level))) for one in networks if chance.random() < 0.6]
                        exabgp.set(wanted)
                    case "flap":
                        number, session = chance.randrange(2), chance.choice(["up4", "up6"])
                        one = (number, session)
                        site.routers[number].tell("enable" if one in off else "disable", session)
                        off ^= {one}
                    case "freeze":
                        (site.thaw if frozen else site.freeze)()
                        frozen = not frozen
                    case _:
                        await asyncio.sleep(chance.choice([0.0, 0.002, 0.02, 0.3]))
            site.thaw()
            for number, session in off:
                site.routers[number].tell("enable", session)
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            exabgp.set([*wanted, route(MARK6)])  # behind everything else in each session of IPv6
            for router in site.routers:
                await until(partial(router.has, *wanted, route(MARK6)))
            assert not told.of(Refused)

    run(body())


@system
@pytest.mark.parametrize("asn", [65000, 65010], ids=["ebgp", "ibgp"])
@pytest.mark.parametrize("level", Level)
def test_every_variant_is_sent_and_is_the_same_route(
    build: Build, until: "Until", run: "Run", asn: int, level: Level
) -> None:
    site = build(asn=asn)
    site.router.start()
    plugin = site.plugin()
    found = variants(POLICY.at(level))

    def heard(network: Network, times: int) -> bool:
        return len(site.router.updates(network)) == times

    async def body() -> None:
        await until(lambda: len(re.findall(r"established", "\n".join(plugin.ask(V5.PROBE)))) == 2)
        for number, variant in enumerate(found, start=1):
            for network in (VIP6, VIP4):
                assert plugin.ask(V5.announce(route(network, level), variant)) == ["done"]
                await until(partial(heard, network, number))
        for network in (VIP6, VIP4):
            assert site.router.updates(network) == ["added", *["ignored"] * (len(found) - 1)]

    run(body())


@system
@pytest.mark.parametrize("asn", [65000, 65010], ids=["ebgp", "ibgp"])
def test_length_of_a_path(build: Build, until: "Until", run: "Run", asn: int) -> None:
    """N prepends make N + 1 numbers; towards an iBGP neighbor any path with our own number is a loop."""
    site = build(asn=asn)
    site.router.start()
    plugin = site.plugin()

    async def body() -> None:
        await until(lambda: len(re.findall(r"established", "\n".join(plugin.ask(V5.PROBE)))) == 2)
        for times, network in enumerate((VIP6, OTHER6)):
            attributes = Attributes(med=times, as_path=(65010,) * (3 * times + 1) if times else ())
            plugin.ask(V5.announce(Route(network, attributes)))
        plugin.ask(V5.announce(route(MARK6)))
        await until(lambda: str(MARK6) in site.router.routes())
        found = site.router.routes()
        if asn == 65010:
            assert found[str(VIP6)].get("as_path", "") == ""
            assert str(OTHER6) not in found
        else:
            assert found[str(VIP6)]["as_path"] == "65010"
            assert found[str(OTHER6)]["as_path"] == "65010 65010 65010 65010"

    run(body())


@system
@whenever_it_answers
def test_each_kind_of_session_gets_the_route_in_its_own_form(build: Build, until: "Until", run: "Run") -> None:
    """Our AS number and the kind of each session are learned from ExaBGP. A silent failure makes the path to an eBGP
    neighbor shorter, and the local preference at an iBGP neighbor greater, which no other one sees.
    """
    site = build(routers=2, internal=1)
    external, internal = site.routers
    external.start()
    policy = RoutePolicy.derived(Attributes(prepend=3), frozenset({Takeover.PREPEND, Takeover.LOCAL_PREFERENCE}))
    plugin = site.plugin()

    def shown(router: Router) -> tuple[str, str]:
        found = router.routes().get(str(VIP6), {})
        return found.get("as_path", ""), found.get("local_pref", "")

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *policy.routes(VIP6)) as (exabgp, told):
            exabgp.set([Route(VIP6, policy.active)])
            await until(lambda: up(exabgp, external) and exabgp.settled)
            await until(lambda: shown(external) == ("65010 65010 65010 65010", "100"))
            internal.start()
            await until(lambda: up(exabgp, external, internal) and exabgp.settled)
            await until(lambda: shown(internal) == ("", "100"))
            exabgp.set([Route(VIP6, policy.at(Level.ACTIVE, RouteContext(silent_failures=1)))])
            await until(lambda: exabgp.settled)
            await until(lambda: shown(external) == ("65010 65010 65010", "100"))
            await until(lambda: shown(internal) == ("", "101"))
            terms = told.of(Configured)[-1].terms
            assert [terms[router.sessions[1]] for router in site.routers] == [
                Terms(65010, 65000, 90),
                Terms(65010, 65010, 90),
            ]
            exabgp.set([])
            await until(lambda: exabgp.settled and not any(router.routes() for router in site.routers))
            assert not told.of(Refused) + told.of(Silent) + told.of(Anomaly)

    run(body())


@system
def test_many_go_out_in_few_commands(site: Site, run: "Run", until: "Until") -> None:
    many = [IPv6Network(f"2001:db8:53:1::{number:x}") for number in range(1, 301)]
    plugin = site.plugin()

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(*many)) as (exabgp, told):
            exabgp.set([route(network) for network in many])
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            transmit, said = exabgp.conversation.transmit, list[str]()

            def listening(now: float) -> list[str]:
                said.extend(lines := transmit(now))
                return lines

            exabgp.conversation.transmit = listening  # type: ignore[method-assign]  # a look at it, no more
            for part in range(3):  # as many virtual routers in one turn of the loop
                exabgp.set(
                    [
                        route(one, Level.LEAVING if index <= 100 * part + 99 else Level.ACTIVE)
                        for index, one in enumerate(many)
                    ]
                )
            await until(lambda: exabgp.settled)
            await until(lambda: site.router.has(*(route(one, Level.LEAVING) for one in many)))
            assert len(said) <= 8
            del told[:]
            exabgp.set([])
            await until(lambda: exabgp.settled)
            await until(site.router.has)
            assert {event.network for event in told.of(Answered)} == set(many)

    run(body())


@system
def test_another_level_for_other_neighbors(build: Build, run: "Run", until: "Until") -> None:
    site = build(routers=2)
    for router in site.routers:
        router.start()
    first, second = site.routers
    plugin = site.plugin()
    one = Route(VIP6, Attributes(med=1, neighbors=(first.sessions[1],)))
    both = Route(VIP6, Attributes(med=2, neighbors=(first.sessions[1], second.sessions[1])))
    other = Route(VIP6, Attributes(med=3, neighbors=(second.sessions[1],)))

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, one, both, other) as (exabgp, _told):
            exabgp.set([])
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            for wanted in (one, both, other, one, other, both):
                exabgp.set([wanted])
                await until(lambda: exabgp.settled)
                for router in site.routers:
                    told = [wanted] if router.sessions[1] in wanted.attributes.neighbors else []
                    await until(partial(router.has, *told))
            second.tell("disable", "up6")
            await until(lambda: second.sessions[1] not in exabgp.established)
            exabgp.set([one])
            await until(lambda: exabgp.settled)
            second.tell("enable", "up6")
            await until(lambda: up(exabgp, *site.routers) and exabgp.settled)
            await until(partial(first.has, one))
            await until(second.has)
            exabgp.set([])
            await until(first.has)

    run(body())


@system
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("EXAVRRP_SEEDS", "1,2").split(",")])
def test_rapid_changes_around_flaps(build: Build, run: "Run", until: "Until", seed: int) -> None:
    """What is in ExaBGP's queue when a session comes up is sent in the right order, without a resync."""
    chance = random.Random(seed)
    site = build()
    site.router.start()
    plugin = site.plugin()
    networks = (VIP6, OTHER6)

    async def change(exabgp: ExaBGP, most: int) -> list[Route]:
        wanted: list[Route] = []
        for _ in range(chance.randint(2, most)):
            wanted = [route(one, chance.choice(list(Level))) for one in networks if chance.random() < 0.8]
            exabgp.set(wanted)
            if chance.random() < 0.7:
                await until(lambda: exabgp.settled)
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))
        return wanted

    async def body() -> None:
        async with talking(plugin.stdin, plugin.stdout, *forms(*networks, MARK6)) as (exabgp, _told):
            exabgp.set([])
            await until(lambda: up(exabgp, site.router) and exabgp.settled)
            for number in range(5):
                site.router.tell("disable", "up6")
                await change(exabgp, 4)
                await until(lambda: site.router.sessions[1] not in exabgp.established)
                await change(exabgp, 4)
                site.router.tell("enable", "up6")
                if chance.random() < 0.5:
                    await until(lambda: up(exabgp, site.router))
                wanted = await change(exabgp, 4)
                await until(lambda: up(exabgp, site.router) and exabgp.settled)
                exabgp.set([*wanted, route(MARK6)])  # behind everything else
                await until(lambda: str(MARK6) in site.router.routes())
                assert site.router.has(*wanted, route(MARK6)), (
                    number,
                    wanted,
                    site.router.tell("show", "route", "all"),
                )
                exabgp.set(wanted)

    run(body())
