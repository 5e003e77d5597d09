"""Network namespaces for the system tests: made by a test, entered by it, and gone with it.

Fixtures and functions for every test file in this directory (mark such tests ``system``):

``need``
    ``need("keepalived")`` returns the path of a program; ``need(reason="…", unless=condition)`` states any other
    precondition. Where it is not met the test is skipped with the reason, and *fails* where the environment variable
    ``CI`` is ``true``: a gate that skips what it should prove proves nothing.

``need_root``
    The test may make network namespaces: as root, or as the "root" of a user namespace (``unshare -rn pytest``).

``namespace``
    A factory: ``namespace()`` returns a new ``Namespace`` with lo up and without duplicate address detection (so an
    IPv6 address is usable at once). Namespaces have no name and no file: a descriptor of this process keeps each of
    them alive, so that nothing is left behind however the test run ends. Processes started in one are killed at the
    end of the test.

    - ``with host:`` moves the main thread there: sockets opened inside belong to the namespace for ever, subprocesses
      and ``/proc/sys/net`` are its own. Blocks nest. Enter it around ``asyncio.run`` when code under test opens sockets
      (or asks ``socket.if_nametoindex``) while the loop runs. Threads started elsewhere do not follow.
    - ``host.run("ip", "link", …)`` runs a program inside and returns its output; ``host.ip("…\\n…")`` runs many ``ip``
      commands as one batch, and returns when what they have added is usable; ``host.popen([...])`` starts a daemon;
      ``host.sysctl("net.ipv4.ip_forward", 1)``.
    - ``host.path`` is a path that ``ip link set … netns PATH`` and ``nsenter --net=PATH`` accept.

``cable(a, "eth0", b, "eth1")``
    A veth pair between two namespaces, both ends up, and what is sent into either arrives.

``pair``
    Two hosts, ``a`` and ``b``, with two cables (eth0–eth0, eth1–eth1), a loopback address per family, and equal-cost
    routes to the other's loopback over both cables.

``run(coroutine)``
    ``asyncio.run`` with a limit, for tests that need a loop. An exception in a callback of the loop, which asyncio
    would only log, fails the test.

``until(condition)``
    Awaited, it waits until ``condition()`` is true and fails after a limit. No test sleeps for a guessed time.

``elapse(seconds)``
    The clock of every event loop jumps ahead: what was due meanwhile happens in the loop's next turn, as after a pause
    of this process. The limits of ``run`` and ``until`` see that time pass, too: give ``run`` a longer one.

``with_two_capabilities(function)``
    Calls the function in a child process that is user nobody with CAP_NET_RAW and CAP_NET_ADMIN and nothing else, as a
    plugin runs under ExaBGP; what it raises fails the test.

``with without_capability(CAP_NET_RAW):``
    Takes one capability out of this thread's effective set.

All are fixtures: a test asks for them by name. Their types can be imported under ``TYPE_CHECKING`` from
``tests.system.conftest``.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeVar

import pytest

from exavrrp.system import children

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
NOBODY = 65534
SIOCGIFFLAGS, IFF_RUNNING, RTF_LOCAL = 0x8913, 0x40, 0x80000000
_CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
LIMIT = 60.0
"""Seconds any single wait may take: far beyond what is measured, for machines that do ten other things."""
RUN_LIMIT = 5 * LIMIT
"""Seconds a coroutine with many such waits may take."""

_libc = ctypes.CDLL(None, use_errno=True)  # os.setns and os.unshare came with Python 3.12


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace; see the top of this file."""

    def __init__(self) -> None:
        before = _current()
        try:
            _call("unshare", CLONE_NEWNET)
            self.descriptor = _current()
            _call("setns", before, CLONE_NEWNET)
        finally:
            os.close(before)
        self._outside: list[int] = []
        self._processes: list[subprocess.Popen[str]] = []

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def __enter__(self) -> "Namespace":
        self._outside.append(_current())
        _call("setns", self.descriptor, CLONE_NEWNET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        outside = self._outside.pop()
        try:
            _call("setns", outside, CLONE_NEWNET)
        finally:
            os.close(outside)

    def run(self, *command: str, stdin: str | None = None) -> str:
        """The output of a program run inside. Fails the test, with what it said, when the program fails."""
        with self:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=LIMIT, check=False, env=_environment()
            )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}\n{stdin or ''}"
        return done.stdout

    def ip(self, commands: str, *options: str) -> None:
        """Runs ``ip`` commands, one a line, without the word ``ip``; ``options`` such as ``-6`` hold for all."""
        lines = [line.strip() for line in commands.splitlines() if line.strip()]
        self.run("ip", *options, "-batch", "-", stdin="\n".join(lines) + "\n")
        if any(line.startswith(("addr", "link set")) for line in lines):
            self._await_routes()

    def _await_routes(self) -> None:
        """Returns when every IPv6 address is usable.

        Its local route is made by a worker of the kernel's, also without duplicate address detection; until then no
        socket can be bound to it, or none hears anything.
        """
        end = time.monotonic() + LIMIT
        while missing := self._addresses() - self._local_routes():
            assert time.monotonic() < end, f"not usable within {LIMIT:g} s: {missing}"
            time.sleep(0.001)

    def _addresses(self) -> set[str]:
        """The IPv6 addresses of interfaces that are up at both ends, in hexadecimal."""
        with self, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            found = [line.split() for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines()]
            running = set()
            for interface in {name for *_, name in found}:
                with contextlib.suppress(OSError):  # it is gone
                    told = fcntl.ioctl(probe, SIOCGIFFLAGS, struct.pack("16sh14x", interface.encode(), 0))
                    if struct.unpack_from("16sh", told)[1] & IFF_RUNNING:
                        running.add(interface)
        return {address for address, *_, name in found if name in running}

    def _local_routes(self) -> set[str]:
        """Where packets to this host lead, in hexadecimal."""
        with self:
            table = [line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()]
        return {line[0] for line in table if int(line[8], 16) & RTF_LOCAL}

    def await_carrier(self, interface: str) -> None:
        """Returns when the kernel carries packets over an interface whose other end is up, too.

        A worker of its own begins with that; until then they are dropped without a word.
        """
        end = time.monotonic() + LIMIT
        while json.loads(self.run("ip", "-json", "link", "show", "dev", interface))[0]["operstate"] != "UP":
            assert time.monotonic() < end, f"{interface} not up within {LIMIT:g} s"
            time.sleep(0.001)

    def popen(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Starts a program inside, in a session of its own; it and its children are killed at the end of the test."""
        with self:
            process = subprocess.Popen(command, text=True, start_new_session=True, **options)
        self._processes.append(process)
        return process

    def sysctl(self, name: str, value: object) -> None:
        with self:
            Path("/proc/sys", name.replace(".", "/")).write_text(f"{value}\n")

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait(LIMIT)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        os.close(self.descriptor)


def _environment() -> dict[str, str]:
    """With the directories of system programs, which users' PATHs often lack."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}


class Need(Protocol):
    def __call__(self, tool: str = "", *, reason: str = "", unless: bool = False) -> str: ...


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; in CI that is a failure, not a reason to skip", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def need() -> Need:
    def need(tool: str = "", *, reason: str = "", unless: bool = False) -> str:
        if not tool:
            if not unless:
                _missing(reason)
            return ""
        found = shutil.which(tool, path=_environment()["PATH"])
        if found is None:
            _missing(reason or f"the program {tool} is not installed")
        return found or ""

    return need


@pytest.fixture(scope="session")
def need_root(need: Need) -> None:
    need("ip")
    try:
        Namespace().close()
    except OSError as error:
        _missing(f"no right to make network namespaces ({error}); run as root, or: unshare -rn pytest")


@pytest.fixture(autouse=True)
def _no_threads_are_left() -> Iterator[None]:
    """Those that start children cannot follow when a test changes the groups of this process."""
    yield
    children.release()


@pytest.fixture
def namespace(need_root: None) -> Iterator[Callable[[], Namespace]]:
    made: list[Namespace] = []

    def make() -> Namespace:
        host = Namespace()
        made.append(host)
        for where in ("all", "default"):
            host.sysctl(f"net.ipv6.conf.{where}.accept_dad", 0)
            # Copies arrive on both cables, whichever of them the way back would take.
            host.sysctl(f"net.ipv4.conf.{where}.rp_filter", 0)
        host.ip("link set lo up")
        return host

    yield make
    for host in made:
        host.close()


def cable(left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
    """Connects two namespaces with a veth pair; both ends are up."""
    left.ip(f"link add {left_name} type veth peer name {right_name} netns {right.path}\nlink set {left_name} up")
    right.ip(f"link set {right_name} up")
    left.await_carrier(left_name)
    right.await_carrier(right_name)


@dataclass(frozen=True)
class Pair:
    """Two hosts with two cables between them; host ``a`` has the addresses that end in 1."""

    a: Namespace
    b: Namespace
    a4: ClassVar = IPv4Address("192.0.2.11")
    b4: ClassVar = IPv4Address("192.0.2.12")
    a6: ClassVar = IPv6Address("2001:db8:ff::11")
    b6: ClassVar = IPv6Address("2001:db8:ff::12")

    def of(self, version: int) -> tuple[Any, Any]:
        """(source on a, source on b) of an IP version."""
        return (self.a4, self.b4) if version == 4 else (self.a6, self.b6)

    def plug(self, number: int) -> None:
        """Connects the hosts through eth``number``, with the addresses of the point-to-point link."""
        cable(self.a, f"eth{number}", self.b, f"eth{number}")
        for host, end in ((self.a, 1), (self.b, 2)):
            host.ip(f"""addr add 10.0.{number}.{end}/24 dev eth{number}
                        addr add fd00:{number}::{end}/64 dev eth{number}""")

    def route(self, *numbers: int) -> None:
        """Makes each host reach the other's loopbacks over these cables with equal cost."""
        for host, other, target4, target6 in ((self.a, 2, self.b4, self.b6), (self.b, 1, self.a4, self.a6)):
            via4 = " ".join(f"nexthop via 10.0.{n}.{other} dev eth{n}" for n in numbers)
            via6 = " ".join(f"nexthop via fd00:{n}::{other} dev eth{n}" for n in numbers)
            host.ip(f"route replace {target4}/32 {via4}")
            # For IPv6, "replace" leaves siblings of a multipath route behind.
            host.ip(f"route flush {target6}/128\nroute add {target6}/128 {via6}", "-6")


@pytest.fixture
def pair(namespace: Callable[[], Namespace]) -> Pair:
    both = Pair(namespace(), namespace())
    for host, four, six in ((both.a, both.a4, both.a6), (both.b, both.b4, both.b6)):
        host.ip(f"addr add {four}/32 dev lo\naddr add {six}/128 dev lo")
    both.plug(0)
    both.plug(1)
    both.route(0, 1)
    return both


@pytest.fixture(name="cable")
def _cable() -> Callable[[Namespace, str, Namespace, str], None]:
    return cable


class Run(Protocol):
    def __call__(self, coroutine: Coroutine[Any, Any, T], limit: float = RUN_LIMIT) -> T: ...


@pytest.fixture
def run() -> Run:
    def run(coroutine: Coroutine[Any, Any, T], limit: float = RUN_LIMIT) -> T:
        unhandled: list[dict[str, Any]] = []

        async def limited() -> T:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
            async with asyncio.timeout(limit):
                return await coroutine

        result = asyncio.run(limited())
        assert not unhandled, f"raised in a callback of the loop: {unhandled}"
        return result

    return run


class Until(Protocol):
    async def __call__(self, condition: Callable[[], object], limit: float = LIMIT) -> None: ...


@pytest.fixture
def until() -> Until:
    async def until(condition: Callable[[], object], limit: float = LIMIT) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while True:
            late = loop.time() > end  # the last look is made after the limit: this process may have had no CPU
            if condition():
                return
            assert not late, f"not within {limit:g} s"
            await asyncio.sleep(0.001)

    return until


@pytest.fixture
def elapse(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    time, elapsed = asyncio.BaseEventLoop.time, 0.0

    def elapse(seconds: float) -> None:
        nonlocal elapsed
        elapsed += seconds

    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: time(loop) + elapsed)
    return elapse


@pytest.fixture
def with_two_capabilities(need_root: None) -> Callable[[Callable[[], None]], None]:
    def with_two_capabilities(body: Callable[[], None]) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _become_plugin_user()
                body()
            except BaseException:
                os.write(writer, traceback.format_exc().encode())
                os._exit(1)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, said

    return with_two_capabilities


def _become_plugin_user() -> None:
    """As ExaBGP's unit runs a plugin: user nobody (where one is mapped), CAP_NET_RAW and CAP_NET_ADMIN, no others."""
    _call("prctl", 8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    with contextlib.suppress(OSError):  # a user namespace often has only user 0
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    wanted = 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW
    _set_capabilities(struct.pack("=6I", wanted, wanted, 0, 0, 0, 0))


def make_ambient(*numbers: int) -> None:
    """Pass these two, or one of them, on to children: as systemd's AmbientCapabilities= does."""
    both, passed_on = 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW, sum(1 << number for number in numbers)
    _set_capabilities(struct.pack("=6I", both, both, passed_on, 0, 0, 0))
    for number in numbers:
        _call("prctl", 47, 2, number, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE


@pytest.fixture
def without_capability(need_root: None) -> Callable[[int], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def without_capability(number: int) -> Iterator[None]:
        before = ctypes.create_string_buffer(24)
        if _libc.capget(_CAPABILITY_HEADER, before) != 0:
            raise OSError(ctypes.get_errno(), "capget")
        reduced = list(struct.unpack("=6I", before.raw[:24]))
        reduced[0] &= ~(1 << number)
        _set_capabilities(struct.pack("=6I", *reduced))
        try:
            yield
        finally:
            _set_capabilities(before.raw[:24])

    return without_capability


def _set_capabilities(data: bytes) -> None:
    if _libc.capset(_CAPABILITY_HEADER, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
