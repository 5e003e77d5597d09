"""A test bed: agents as processes of real ExaBGPs on two hosts, and a router with BIRD between them.

::

        a  eth0 ───── a0 ┌────────┐ b0 ───── eth0  b
           eth1 ───── a1 │ router │ b1 ───── eth1
                         └────────┘

Each host has a loopback address per family, a default route over both uplinks, and a BGP session to the router over
each of them. BIRD exports the learned routes to the router's kernel table. The router forwards like two separate ones:
what arrives on a0 leaves on b0. Adverts between the hosts cross it, and a ``Sniffer`` captures every copy there. All
times are seconds since the epoch: in the agents' log, in ``ip monitor`` and in the kernel's timestamps of packets.

Nothing here sleeps for a guessed time: ``wait_until`` polls a condition, with a limit.
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shlex
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from click.testing import CliRunner

from exavrrp.cli import main
from exavrrp.speaker.dialects import DIALECTS
from tests.system import conftest
from tests.system.conftest import Namespace, Need, cable

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
AGENT = (sys.executable, "-m", "exavrrp")
LIMIT = conftest.LIMIT
POLL = 0.005
"""Seconds between two polls of a condition."""

Line = Literal["4", "5", "4.2.21", "5.0.8"]
"""Versions of ExaBGP: the latest of 4 and 5, and the oldest supported ones."""
Family = Literal[4, 6]
Record = dict[str, Any]

INTERVAL = 0.5
"""Default seconds between adverts. With it an agent that has no CPU for a second neither causes a takeover nor steps
down."""
HOLD, LINGER = 0.3, 0.2
"""Default ``handover_hold`` and ``linger`` in seconds: short, for tests."""
LONG_HOLD = 30.0
"""``handover_hold`` in seconds for tests in which a short takeover by the other host must not end the announcement."""
BGP_HOLD = 180
"""BGP hold time in seconds: longer than any test stops ExaBGP."""
EPOLL = {"232", "281", "22"}
"""Numbers of epoll_wait and epoll_pwait on x86-64 and arm64."""
VRID = 7
VIP: dict[int, str] = {4: "192.0.2.53", 6: "2001:db8:53::1"}
BITS = {4: 32, 6: 128}
PRIORITY = {"a": 150, "b": 100}
MED = 50
LEAVING_MED = 0xFFFFFFFF
"""The MED of a leaving Active (``takeover``)."""

LINES: tuple[Line, ...] = ("4", "5", "4.2.21", "5.0.8")
LATEST: tuple[Line, ...] = tuple(line for line in LINES if line in DIALECTS)
"""One for each dialect."""
each_line = pytest.mark.parametrize("line", LATEST, ids=[f"exabgp{line}" for line in LATEST])
EXABGP = {line: ROOT / ".envs" / f"exabgp{line}" / "bin" / "exabgp" for line in LINES}
QUICKER = Path(__file__).parent / "exabgp4" / "exabgp"
"""Starts ExaBGP 4.2.25 in a fifth of the CPU time."""
EXABGP_ENVIRONMENT = {  # with underscores: a shell does not pass on a name with a dot
    "exabgp_daemon_user": "root",
    "exabgp_daemon_daemonize": "false",
    "exabgp_api_ack": "true",
    "exabgp_api_cli": "false",  # its named pipes would belong to the whole machine
    "exabgp_log_level": "INFO",
}


def command_of(line: Line) -> list[str]:
    """What starts an ExaBGP, without its arguments."""
    return [str(EXABGP[line].with_name("python")), str(QUICKER)] if line == "4" else [str(EXABGP[line])]


def need_exabgp(line: Line, need: Need) -> None:
    program = EXABGP[line]
    need(reason=f"ExaBGP {line} is not installed in {program.parent.parent}", unless=program.exists())


def wait_until(condition: Callable[[], T], what: str | Callable[[], str], limit: float = LIMIT) -> T:
    """Polls ``condition`` until it is true, and returns its value. Fails after ``limit`` seconds; ``what`` is missing.

    The last poll is made after the limit, so that a lack of CPU time in the test process causes no failure.
    """
    end = time.monotonic() + limit
    while True:
        late = time.monotonic() > end
        if found := condition():
            return found
        assert not late, f"not within {limit:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(POLL)


def open_files(pid: int) -> list[str]:
    """What the descriptors of the process ``pid`` lead to; one that is closed meanwhile is left out."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(one.readlink()))
    return found


def stop_asleep(pid: int) -> None:
    """Stops the process ``pid`` (SIGSTOP) while it waits in its event loop.

    One that is stopped elsewhere does first of all what it had decided before: it sends the copies of an advert that it
    was about to send.
    """

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T", f"{pid} to stop")
        if Path(f"/proc/{pid}/syscall").read_text().split()[0] in EPOLL:
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(stopped, f"{pid} to be stopped while it waits")


def stamp(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time; UTC without an offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def at(record: Record) -> float:
    """When a record was logged, in seconds since the epoch."""
    return stamp(record["time"])


# What is observed


class Lines:
    """The complete lines of a file that is being written; ``fresh`` returns those since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0

    def fresh(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._at += len(complete)
        return complete.decode("utf-8", "replace").splitlines()


class Log:
    """The stderr of agents: ``records``, one JSON object a line, and ``noise``, all other lines (a traceback, say)."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self._records: list[Record] = []
        self.noise: list[str] = []

    @property
    def records(self) -> list[Record]:
        for line in self._lines.fresh():
            try:
                self._records.append(json.loads(line))
            except ValueError:
                self.noise.append(line)
        return self._records

    def mark(self) -> int:
        """The current number of records, to be passed as ``mark``."""
        return len(self.records)

    def all(self, event: str, mark: int = 0, **fields: object) -> list[Record]:
        """The records of ``event`` with these fields, after ``mark``."""
        wanted = {"event": event, **fields}
        return [one for one in self.records[mark:] if all(one.get(key) == value for key, value in wanted.items())]

    def wait(self, event: str, mark: int = 0, limit: float = LIMIT, **fields: object) -> Record:
        """Waits for such a record, and returns the first one."""
        return wait_until(
            lambda: self.all(event, mark, **fields), lambda: f"{event} {fields} in:\n{self.tell(mark)}", limit
        )[0]

    def counters(self, mark: int) -> Record:
        """The counters that an agent logged after ``mark``, merged into one record."""
        last = self.wait("counters", mark)
        wires: dict[str, Record] = {}
        routers: dict[str, Record] = {}
        for named, lines in (("source", wires), ("router", routers)):
            for one in self.records[mark : self.records.index(last)]:
                if one["event"].startswith("counters-") and named in one:
                    _add(lines.setdefault(one[named], {}), one)
        return {**last, "wires": wires, "routers": routers}

    def moves(self, mark: int = 0) -> list[tuple[str, str, str]]:
        """The transitions: (before, after, reason)."""
        return [(one["before"], one["after"], one["reason"]) for one in self.all("transition", mark)]

    def order(self, mark: int = 0) -> list[str]:
        """The names of the events."""
        return [one["event"] for one in self.records[mark:]]

    def tell(self, mark: int = 0) -> str:
        return "\n".join([*map(json.dumps, self.records[mark:]), *self.noise])


def _add(line: Record, another: Record) -> None:
    """Merges the counters of another record into ``line``."""
    for key, value in another.items():
        line[key] = {**line.get(key, {}), **value} if isinstance(value, dict) else value


@dataclass(frozen=True)
class Copy:
    """One copy of an advert that the router received."""

    at: float
    interface: str
    """of the router"""
    source: str
    vrid: int
    priority: int
    addresses: int
    """how many it lists"""
    destination: str
    hop_limit: int = 255


class Sniffer:
    """Captures every copy of every advert that a namespace receives, with the kernel's timestamp."""

    _SO_TIMESTAMPNS, _SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 35, 26, 33
    _PACKET_HOST, _PACKET_MULTICAST, _PACKET_OTHERHOST = 0, 2, 3

    def __init__(self, host: Namespace) -> None:
        with host:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(3))
        with contextlib.suppress(PermissionError):  # root of a user namespace: the default has to do
            self._socket.setsockopt(socket.SOL_SOCKET, self._SO_RCVBUFFORCE, 16 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, self._SO_TIMESTAMPNS, 1)
        self._attach_filter()
        self._copies: list[Copy] = []

    def _attach_filter(self) -> None:
        """Only protocol 112: the byte at 9 of an IPv4 header, at 6 of an IPv6 header."""
        steps = [
            (0x30, 0, 0, 0),  # ldb [0]
            (0x54, 0, 0, 0xF0),  # and #0xf0
            (0x15, 2, 0, 0x40),  # jeq #0x40, IPv4
            (0x30, 0, 0, 6),  # ldb [6]
            (0x05, 0, 0, 1),  # ja compare
            (0x30, 0, 0, 9),  # IPv4: ldb [9]
            (0x15, 0, 1, 112),  # compare: jeq #112
            (0x06, 0, 0, 0xFFFF),  # ret #65535
            (0x06, 0, 0, 0),  # ret #0
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
        program = struct.pack("@HP", len(steps), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, self._SO_ATTACH_FILTER, program)

    def close(self) -> None:
        self._socket.close()

    def copies(self, source: str | None = None, via: str | None = None, since: float = 0.0) -> list[Copy]:
        """Those from ``source`` that arrived on the interface ``via`` at ``since`` or later."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._read_one()
        return [
            one
            for one in self._copies
            if one.at >= since and source in (None, one.source) and via in (None, one.interface)
        ]

    def _read_one(self) -> None:
        data, ancillary, _, (interface, _, kind, *_) = self._socket.recvmsg(4096, 256)
        if kind not in (self._PACKET_HOST, self._PACKET_MULTICAST, self._PACKET_OTHERHOST):
            return  # an outgoing packet
        seconds, nanoseconds = next(struct.unpack("=qq", value) for _, _, value in ancillary)
        header = 40 if data[0] >> 4 == 6 else (data[0] & 15) * 4
        ends = (data[8:24], data[24:40]) if header == 40 else (data[12:16], data[16:20])
        source, destination = (str(ip_address(end)) for end in ends)
        _, vrid, priority, count = data[header : header + 4]
        hops = data[7] if header == 40 else data[8]
        when = seconds + nanoseconds / 1e9
        self._copies.append(Copy(when, interface, source, vrid, priority, count, destination, hops))

    def wait(self, count: int, source: str, via: str | None = None, since: float = 0.0, **fields: int) -> list[Copy]:
        """The first ``count`` such copies, with these ``fields``."""

        def found() -> list[Copy]:
            return [
                one
                for one in self.copies(source, via, since)
                if all(getattr(one, key) == value for key, value in fields.items())
            ]

        wait_until(lambda: len(found()) >= count, f"{count} adverts from {source} {via or ''} {fields}")
        return found()[:count]

    def longest_gap(self, source: str, via: str, since: float, until: float) -> float:
        """The longest time in seconds without an advert on one path, between ``since`` and ``until``."""
        times = [one.at for one in self.copies(source, via, since) if one.at <= until]
        return max(later - earlier for earlier, later in zip([since, *times], [*times, until], strict=True))


class Monitor:
    """``ip monitor`` in a namespace: the changes of addresses or routes, with their times."""

    def __init__(self, host: Namespace, what: Literal["address", "route", "neigh"], path: Path) -> None:
        with path.open("w") as file:
            process = host.popen(
                ["ip", "-tshort", "-oneline", "monitor", what],
                stdout=file,
                env={**os.environ, "TZ": "UTC", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
            )
        with contextlib.suppress(PermissionError):  # its times are when it gets a CPU, and two of them are compared
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(50))
        # Its row ("sk Eth Pid Groups …") shows that it is subscribed to changes. But it discards all that arrive before
        # it has read all links; it does not sleep before that.
        listening = re.compile(rb"^\S+\s+0\s+%d\s+(?!00000000)" % process.pid, re.MULTILINE)
        wait_until(lambda: listening.search(read(Path(f"/proc/{process.pid}/net/netlink"))), "ip monitor")
        wait_until(lambda: read(Path(f"/proc/{process.pid}/stat")).rpartition(b") ")[2][:1] == b"S", "ip monitor")
        self._process = process
        self._lines = Lines(path)
        self._seen: list[tuple[float, bool, str]] = []

    def close(self) -> None:
        self._process.kill()
        self._process.wait(LIMIT)

    def changes(self, address: str, since: float = 0.0, having: str = "") -> list[tuple[float, bool]]:
        """(time, whether it is present then) of each change of ``address`` whose line contains ``having``."""
        for line in self._lines.fresh():
            if found := re.match(r"\[(\S+)\] (Deleted )?(.*)", line):
                self._seen.append((stamp(found[1]), found[2] is None, found[3]))
        word = re.compile(rf"(?<![\w:.]){re.escape(address)}(?![\w:.])")
        return [
            (when, there) for when, there, text in self._seen if when >= since and word.search(text) and having in text
        ]

    def wait(self, address: str, there: bool, since: float = 0.0, having: str = "") -> float:
        """Waits until ``address`` was added (``there``) or removed, and returns the time of that."""

        def found() -> list[float]:
            return [when for when, present in self.changes(address, since, having) if present == there]

        return wait_until(found, f"{address} {'to come' if there else 'to go'}")[0]


# Hosts and router


class Bird:
    """The router's BIRD: one BGP session for each uplink of each host, named after the router's interface.

    And one of the other family (``a0v4``), which a host uses with ``other_listing``.
    """

    def __init__(self, host: Namespace, program: str, directory: Path, family: Family) -> None:
        self._control = directory / "bird.ctl"
        file = directory / "bird.conf"
        sessions = [
            self._session(name, number, version, "" if version == family else f"v{version}")
            for name in ("a", "b")
            for number in (0, 1)
            for version in (4, 6)
        ]
        file.write_text(
            "log stderr all;\nrouter id 192.0.2.1;\nprotocol device { scan time 1; }\n"
            f"protocol kernel {{ ipv{family} {{ import none; export where source = RTS_BGP; }}; }}\n"
            + "".join(sessions)
        )
        with (directory / "bird.log").open("w") as log:
            host.popen([program, "-f", "-c", str(file), "-s", str(self._control)], stderr=log)
        wait_until(lambda: listens(self._control), "BIRD")

    @staticmethod
    def _session(name: str, number: int, family: int, suffix: str) -> str:
        return (
            f"protocol bgp {name}{number}{suffix} {{ local {uplink(name, number, family, router=True)} as 65000;"
            f" neighbor {uplink(name, number, family)} as 65010; passive; hold time {BGP_HOLD}; error wait time 1, 1;"
            f" graceful restart off; ipv{family} {{ import all; export none; }}; }}\n"
        )

    def ask(self, command: str) -> str:
        """BIRD's answer to a command of its command line."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(LIMIT)
            control.connect(str(self._control))
            told = b""
            control.sendall(f"{command}\n".encode())
            # The greeting ends with a line 0001, an answer with 0000 or, for an error, 8xxx or 9xxx.
            while not re.search(rb"^(?:0000|[89]\d\d\d)[ \n].*\n?\Z", told, re.MULTILINE):
                data = control.recv(65536)
                assert data, f"BIRD has closed its control socket after {told!r}"
                told += data
        return told.decode()

    def _announced(self, address: str) -> Iterator[tuple[str, str]]:
        """Each session, with BIRD's text about the route to ``address`` that was received in it."""
        told = self.ask(f"show route all for {address}") + "\n"
        for part in re.split(r"unicast \[", told)[1:]:
            yield part.split(maxsplit=1)[0].rstrip("]"), part

    def routes(self, address: str) -> dict[str, int]:
        """Session → the MED with which a host announces ``address``."""
        meds = {name: re.search(r"BGP\.med: (\d+)", part) for name, part in self._announced(address)}
        return {name: int(med[1]) if med else 0 for name, med in meds.items()}

    def lengths(self, address: str) -> dict[str, int]:
        """Session → the length of the AS path of the route to ``address``."""
        paths = {name: re.search(r"BGP\.as_path:([ \d]*)", part) for name, part in self._announced(address)}
        return {name: len(path[1].split()) if path else 0 for name, path in paths.items()}

    def via(self, address: str) -> dict[str, set[int]]:
        """Host → the MEDs with which it announces ``address`` in any session: they change one by one."""
        found: dict[str, set[int]] = {}
        for session, med in self.routes(address).items():
            found.setdefault(session[0], set()).add(med)
        return found

    def updates(self, session: str, *, changing: bool = False) -> int:
        """How many announcements BIRD has received in a session. Waits until the session is up.

        ``changing``: those that have changed a route. What is said once more in other words has not.
        """
        before = " +[0-9]+" * (4 if changing else 0)

        def found() -> re.Match[str] | None:
            return re.search(rf"Import updates:{before} +(\d+)", self.ask(f"show protocols all {session}"))

        told = wait_until(found, f"session {session}")
        assert told is not None
        return int(told[1])

    def since(self, session: str) -> float:
        """When a session has come up, in seconds of the day, give or take a millisecond. Waits until it is up."""

        def found() -> re.Match[str] | None:
            return re.search(r" up +(\d+):(\d+):(\S+) +Established", self.ask(f"show protocols {session}"))

        told = wait_until(found, f"session {session}")
        assert told is not None
        return 3600 * int(told[1]) + 60 * int(told[2]) + float(told[3])


@dataclass
class Host:
    """One of the two hosts: its namespace, its ExaBGP and its agent."""

    name: str
    namespace: Namespace
    directory: Path
    family: Family
    log: Log
    prefix: tuple[str, ...] = ()
    """words before the command of the agent"""
    container: tuple[str, ...] = ()
    """words before the command of ExaBGP"""
    options: tuple[str, ...] = ()
    """words after it"""
    program: tuple[str, ...] = AGENT
    """the command of the agent, without arguments"""
    stanzas: tuple[str, ...] = ("exavrrp",)
    """the processes of ExaBGP that run it"""
    listing: tuple[int, ...] = (0, 1)
    """the uplinks whose neighbors list the agent in exabgp.conf"""
    other_listing: tuple[int, ...] | None = None
    """the same for sessions of the other family; None: no such sessions"""
    families: str = ""
    """address families of the sessions; empty: that of their addresses"""
    static: str = ""
    """static routes of the first uplink's neighbor in exabgp.conf"""
    neighbors: str = ""
    """further neighbors in exabgp.conf"""
    exabgp: "subprocess.Popen[str]" = field(init=False)

    @property
    def source(self) -> str:
        return loopback(self.name, self.family)

    @property
    def vip(self) -> str:
        return VIP[self.family]

    def configure(
        self,
        *router: str,
        agent: Sequence[str] = (),
        checks: Sequence[str] = (),
        priority: int | None = None,
        interval: float = INTERVAL,
        hold: float = HOLD,
        linger: float = LINGER,
    ) -> Path:
        """Writes exavrrp.toml, with further lines for the table of the router, the table of the agent, and the end."""
        other = "b" if self.name == "a" else "a"
        lines = [
            "[agent]",
            f'sources = ["{self.source}"]',
            f'peers = ["{loopback(other, self.family)}"]',
            f"advert_interval = {interval}",
            f'state_directory = "{self.directory / "run"}"',
            f'persistent_directory = "{self.directory / "lib"}"',
            *agent,
            "[virtual_router.web]",
            f"vrid = {VRID}",
            f"priority = {priority or PRIORITY[self.name]}",
            f'addresses = ["{self.vip}/{BITS[self.family]}"]',
            f"handover_hold = {hold}",
            f"linger = {linger}",
            *router,
            "[virtual_router.web.bgp]",
            f"med = {MED}",
            *checks,
        ]
        path = self.directory / "exavrrp.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    @property
    def command(self) -> list[str]:
        """The command line of the agent."""
        file = str(self.directory / "exavrrp.toml")
        return [*self.prefix, *self.program, "run", "--config", file, "--log-format", "json", *self.options]

    def start(self, line: Line = "5", stderr: int | None = None) -> None:
        """Starts ExaBGP, which starts the agent, with the defaults of ``configure`` if that was not called before."""
        if not (self.directory / "exavrrp.toml").exists():
            self.configure()
        file = self._write_neighbors()
        environment = {**EXABGP_ENVIRONMENT, "exabgp_log_destination": str(self.directory / "exabgp.log")}
        with (self.directory / "agent.log").open("a") as errors:
            self.exabgp = self.namespace.popen(
                [*self.container, *command_of(line), str(file)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors if stderr is None else stderr,
            )

    def _write_neighbors(self) -> Path:
        """ExaBGP's configuration."""
        file = self.directory / "exabgp.conf"
        api = f"api {{ processes [ {', '.join(self.stanzas)} ]; neighbor-changes; }}"
        listings: dict[int, tuple[int, ...]] = {self.family: self.listing}
        if self.other_listing is not None:
            listings[10 - self.family] = self.other_listing
        sessions = [
            f"""neighbor {uplink(self.name, number, family, router=True)} {{
                    router-id {loopback(self.name, 4)};
                    local-address {uplink(self.name, number, family)};
                    local-as 65010; peer-as 65000; hold-time {BGP_HOLD};
                    family {{ {self.families or f"ipv{family} unicast;"} }}
                    {api if number in listing else ""}
                    {self.static if number == 0 and family == self.family else ""}
                }}\n"""
            for family, listing in listings.items()
            for number in (0, 1)
        ]
        run = f"{{ run {' '.join(self.command)}; encoder json; }}"
        file.write_text("".join([*(f"process {name} {run}\n" for name in self.stanzas), *sessions, self.neighbors]))
        return file

    def list_in(self, *listing: int) -> None:
        """Changes ``listing``, and has ExaBGP reload its configuration (SIGUSR1)."""
        self.listing = listing
        self.reload()

    def reload(self) -> None:
        """Writes exabgp.conf, and has ExaBGP reload it (SIGUSR1); again while 5.0 forgets it for UPDATEs to be sent."""
        self._write_neighbors()
        before, patience = self.reloads(), 1.0
        asked = -patience

        def reloaded() -> bool:
            nonlocal asked
            if self.reloads() == before and time.monotonic() >= asked + patience:
                self.exabgp.send_signal(signal.SIGUSR1)
                asked = time.monotonic()
            return self.reloads() > before

        wait_until(reloaded, "a reload of ExaBGP")

    def reloads(self) -> int:
        """How often ExaBGP has begun to read its configuration."""
        return (self.directory / "exabgp.log").read_text().count("performing reload of exabgp")

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command of exavrrp, repeated until an agent listens, which it does some time after its start.

        Between two agents the socket of the first one may still exist.
        """
        command = [*AGENT, words[0], "--config", str(self.directory / "exavrrp.toml"), *words[1:]]

        def answered() -> list["subprocess.CompletedProcess[str]"]:
            with self.namespace:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
            return [] if "no agent listens at" in done.stderr else [done]

        return wait_until(answered, lambda: f"an agent:\n{self.log.tell()}")[0]

    def ask(self, *words: str) -> str:
        """The output of such a command. Fails with the output if the command fails."""
        done = self.call(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> str:
        """The words of ``exavrrp status``, in one line."""
        return " ".join(self.ask("status").split())

    def document(self) -> dict[str, Any]:
        """The output of ``exavrrp status --json``, whose process would cost as much CPU as the start of an agent."""
        command = ["status", "--config", str(self.directory / "exavrrp.toml"), "--json"]

        def answered() -> str:
            with self.namespace:
                done = CliRunner().invoke(main, command, catch_exceptions=False)
            assert done.exit_code == 0 or "no agent listens at" in done.stderr, done.output
            return done.stdout

        found: dict[str, Any] = json.loads(wait_until(answered, lambda: f"an agent:\n{self.log.tell()}"))
        return found

    @property
    def agent(self) -> int:
        """The process number of the last agent."""
        self.log.wait("agent-started")
        return int(self.log.all("agent-started")[-1]["process"])

    def becomes(self, role: str, mark: int = 0) -> Record:
        """Waits until the last transition in the log is to ``role``, and returns its record."""

        def last() -> Record | None:
            moves = self.log.all("transition", mark)
            return moves[-1] if moves and moves[-1]["after"] == role else None

        found = wait_until(last, lambda: f"{self.name} to be {role}:\n{self.log.tell(mark)}")
        assert found is not None
        return found

    def bound(self) -> bool:
        """Whether lo has the virtual address (read from /proc, which is fast: this is polled)."""
        with self.namespace:
            if self.family == 4:
                table = Path("/proc/thread-self/net/fib_trie").read_text()
                return re.search(rf"-- {re.escape(self.vip)}\n\s+/32 host LOCAL", table) is not None
            table = Path("/proc/thread-self/net/if_inet6").read_text()
            return re.search(rf"^{ip_address(self.vip).packed.hex()} .* lo$", table, re.MULTILINE) is not None

    def agents(self) -> list[int]:
        """The process numbers of all agents in the namespace."""
        return [
            pid
            for pid in processes(self.namespace)
            if b"exavrrp\0run" in (read(Path(f"/proc/{pid}/cmdline"))) and not is_zombie(pid)
        ]


SUMMARY = "show neighbor summary"
HEADING = "Peer            AS        up/down state       |     #sent     #recvd\n"
"""The first line of ExaBGP's answer to that; a line for each neighbor follows."""


class Alone:
    """An agent without ExaBGP: the test has the other ends of its stdin and stdout."""

    def __init__(self, host: Host) -> None:
        if not (host.directory / "exavrrp.toml").exists():
            host.configure()
        path = host.directory / "exavrrp.toml"
        # Without ExaBGP no session is ever up.
        path.write_text(path.read_text().replace("[virtual_router.web]\n", "[virtual_router.web]\nmin_sessions = 0\n"))
        with (host.directory / "agent.log").open("a") as errors:
            self.process = host.namespace.popen(
                host.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._said = ""

    def says(self, line: str) -> None:
        """Waits until the agent has written this line."""
        self._read_until(lambda: f"{line}\n" in self._said, repr(line))

    def begins(self, count: int, words: str) -> None:
        """Waits until the agent has written ``count`` lines that begin with ``words``."""
        self._read_until(lambda: f"\n{self._said}".count(f"\n{words}") >= count, f"{count} × {words!r}")

    def answer(self, count: int, words: str) -> None:
        """Answers all commands since the greeting, as an ExaBGP without neighbors does that carries everything out.

        Stops after ``count`` lines that begin with ``words``.
        """
        answered = self._said[: self._said.index(SUMMARY)].count("\n")

        def found() -> bool:
            nonlocal answered, count
            for line in self._said.split("\n")[answered:-1]:
                answered += 1
                self.tell(HEADING if line == SUMMARY else "")
                self.tell("done\n")
                count -= line.startswith(words)
                if not count:
                    return True
            return False

        self._read_until(found, f"{count} × {words!r}")

    def _read_until(self, said: Callable[[], bool], what: str) -> None:
        def found() -> bool:
            ready, _, _ = select.select([self.stdout], [], [], 0)
            if ready:
                self._said += os.read(self.stdout.fileno(), 65536).decode()
            return said()

        wait_until(found, lambda: f"{what} in {self._said!r}")

    def tell(self, text: str) -> None:
        self.stdin.write(text)
        self.stdin.flush()

    def greet(self) -> None:
        """Answers the greeting as ExaBGP 5 does, and waits for the next command."""
        self.says("version")
        self.tell("exabgp 5.0.15\ndone\n")
        self.says(SUMMARY)


class Fabric:
    """The two hosts and the router."""

    def __init__(self, namespace: Callable[[], Namespace], need: Need, directory: Path, family: Family) -> None:
        self.family = family
        self.vip = VIP[family]
        self.router = namespace()
        for version in ("ipv4", "ipv6"):
            self.router.sysctl(f"net.{version}.conf.all.forwarding", 1)
        self.hosts = {name: Host(name, namespace(), directory / name, family, None) for name in ("a", "b")}  # type: ignore[arg-type]
        for host in self.hosts.values():
            host.directory.mkdir()
            host.log = Log(host.directory / "agent.log")
            host.namespace.ip("\n".join(f"addr add {loopback(host.name, f)} dev lo" for f in (4, 6)))
            for number in (0, 1):
                self.plug(host, number)
            self.route(host, 0, 1)
        self._keep_apart()
        self.sniffer = Sniffer(self.router)
        self.bird = Bird(self.router, need("bird"), directory, family)

    @property
    def a(self) -> Host:
        return self.hosts["a"]

    @property
    def b(self) -> Host:
        return self.hosts["b"]

    def plug(self, host: Host, number: int) -> None:
        """Connects eth``number`` of a host."""
        far, near = f"{host.name}{number}", f"eth{number}"
        cable(host.namespace, near, self.router, far)
        self.address(host, number)

    def _keep_apart(self) -> None:
        """Has the router forward from the first uplink of a host to the first of the other one, while that exists."""
        for family in (4, 6):
            commands = []
            for number in (0, 1):
                for name, other in (("a", "b"), ("b", "a")):
                    back = f"{loopback(other, family)}/{BITS[family]} via {uplink(other, number, family)}"
                    commands.append(f"rule add iif {name}{number} lookup {100 + number}")
                    commands.append(f"route add {back} table {100 + number}")
            self.router.ip("\n".join(commands), f"-{family}")

    def address(self, host: Host, number: int) -> None:
        """Gives both ends of eth``number`` of a host their addresses."""
        for family in (4, 6):
            near, far = (uplink(host.name, number, family, router=router) for router in (False, True))
            host.namespace.ip(f"addr replace {near}/{_LENGTH[family]} dev eth{number}")
            self.router.ip(f"addr replace {far}/{_LENGTH[family]} dev {host.name}{number}")

    def route(self, host: Host, *numbers: int) -> None:
        """Sets the routes between a host and the router: over these uplinks, in both directions, with equal cost."""
        for family in (4, 6):
            there = " ".join(f"nexthop via {uplink(host.name, n, family, router=True)} dev eth{n}" for n in numbers)
            back = " ".join(f"nexthop via {uplink(host.name, n, family)} dev {host.name}{n}" for n in numbers)
            target = f"{loopback(host.name, family)}/{BITS[family]}"
            # For IPv6, "replace" leaves siblings of a multipath route behind.
            host.namespace.ip(f"route flush default\nroute add default {there}", f"-{family}")
            self.router.ip(f"route flush {target}\nroute add {target} {back}", f"-{family}")

    def start(self, line: Line = "5") -> None:
        """Starts both, and waits until a is Active and b follows it."""
        for host in (self.a, self.b):  # in this order: otherwise b would become Active first, and hand over
            host.start(line)
            host.log.wait("transition")
        self.settled()
        # After the second advert b has received the first one; it follows nobody before that.
        self.sniffer.wait(2, self.a.source, via="a0", since=at(self.b.log.wait("transition")))

    def start_both(self, line: Line = "5") -> None:
        """Starts both, and waits until they take part in the election."""
        self.a.start(line)
        self.b.start(line)
        for host in (self.a, self.b):
            host.log.wait("transition")

    def settled(self, at_home: str = "a") -> None:
        """Waits until only one host announces and has bound the address."""
        other = self.b if at_home == "a" else self.a
        sessions = {f"{at_home}0": MED, f"{at_home}1": MED}
        wait_until(lambda: self.bird.routes(self.vip) == sessions, lambda: f"only {at_home}: {self.told()}")
        wait_until(lambda: self.hosts[at_home].bound() and not other.bound(), lambda: f"only {at_home}: {self.told()}")

    def told(self) -> str:
        """The routes in BIRD and both logs, for messages."""
        logs = "\n".join(f"--- {name}\n{host.log.tell()}" for name, host in self.hosts.items())
        return f"BIRD has {self.bird.routes(self.vip)}\n{logs}"

    def close(self) -> None:
        """Kills every process in the three namespaces."""
        self.sniffer.close()
        for namespace in (self.router, *(host.namespace for host in self.hosts.values())):
            for pid in processes(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def fabric(
    namespace: Callable[[], Namespace], need: Need, family: Family = 6, *, chatty: bool = False
) -> Iterator[Fabric]:
    """Builds the test bed, checks at the end that no agent has logged a traceback, and kills all processes.

    ``chatty``: ExaBGP writes to stderr, too, as 5.0.8 does, and 4.2 when it is ended without an API process.
    """
    for line in LINES:
        need_exabgp(line, need)
    with tempfile.TemporaryDirectory(prefix="exavrrp-") as directory:
        built = Fabric(namespace, need, Path(directory), family)
        try:
            yield built
            for host in built.hosts.values():
                levels = {one["level"] for one in host.log.records}
                assert levels <= {"info", "warning", "error"}, host.log.tell()
                noise = [one for one in host.log.noise if not chatty or f'File "{ROOT / "src"}' in one]
                assert not noise, host.log.tell()
        finally:
            built.close()


@pytest.fixture
def of_one_family(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    """The test bed with IPv6; a test file names it: ``fabric = running.of_one_family``."""
    with fabric(namespace, need) as built:
        yield built


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def of_each_family(request: pytest.FixtureRequest, namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    """One test bed after the other."""
    with fabric(namespace, need, request.param) as built:
        yield built


def reachable(paths: list[Path]) -> list[str]:
    """Shell commands that make these paths accessible to another user, in a mount namespace with a tmpfs on /mnt.

    Directories above them may be inaccessible (/root, pytest's temporary directories).
    """
    hidden: dict[Path, list[Path]] = {}
    for path in sorted(set(paths)):
        for parent in [*reversed(path.parents), path]:
            if not stat.S_IMODE(parent.stat().st_mode) & stat.S_IXOTH:
                hidden.setdefault(parent, []).append(path)
                break
    inside = [path for paths in hidden.values() for path in paths]
    holds = {path: f"/mnt/{number}" for number, path in enumerate(inside)}
    return [
        *(f"mkdir {hold}; mount --bind {shlex.quote(str(path))} {hold}" for path, hold in holds.items()),
        *(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(parent))}" for parent in hidden),
        *(
            f"mkdir -p {shlex.quote(str(path))}; mount --bind {hold} {shlex.quote(str(path))}"
            for path, hold in holds.items()
        ),
    ]


_LENGTH = {4: 24, 6: 64}


def loopback(name: str, family: int) -> str:
    number = {"a": 11, "b": 12}[name]
    return f"192.0.2.{number}" if family == 4 else f"2001:db8:ff::{number}"


def uplink(name: str, number: int, family: int, *, router: bool = False) -> str:
    host, end = {"a": 1, "b": 2}[name], 1 if router else 2
    return str(ip_address(f"10.{host}.{number}.{end}" if family == 4 else f"fd00:{host}:{number}::{end}"))


# Processes


def processes(namespace: Namespace) -> list[int]:
    """The numbers of all processes in a namespace, except this one."""
    home = os.fstat(namespace.descriptor).st_ino
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "ns/net").stat().st_ino == home and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found


def ended(pid: int, limit: float = LIMIT) -> float:
    """Waits for the end of any process. Returns the time at which that was seen."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return time.time()
    try:
        ready, _, _ = select.select([descriptor], [], [], limit)
        assert ready, f"process {pid} still there after {limit:g} s"
        return time.time()
    finally:
        os.close(descriptor)


def listens(path: Path) -> bool:
    """Whether a socket accepts connections: its file exists a moment before that."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


def read(path: Path) -> bytes:
    """The content of a file; empty if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_zombie(pid: int) -> bool:
    return b"\nState:\tZ" in read(Path(f"/proc/{pid}/status"))
