"""Signed adverts between two real agents: roll-out, rotation, recorded packets, clocks that differ, and pauses.

Nobody can set the clock of one host alone (namespaces share it): where that is the point, the agent runs with a
``time.time`` that adds the content of a file, which is the one labelled stand-in here. What the kernel stamps on
packets it does not change, so only the signer of such a host is off.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from exavrrp.vrrp.auth import Key, Sequence, sequence, sign
from exavrrp.vrrp.packet import PROTOCOL, Advertisement, encode
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import INTERVAL, VRID, Fabric, Host, Line, Record, ended, wait_until
from tests.system.test_hostile import with_header

pytestmark = pytest.mark.system

SECRETS = {1: bytes(range(32)), 2: bytes(range(64))}


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    with running.fabric(namespace, need, getattr(request, "param", 6)) as built:
        yield built


both_families = pytest.mark.parametrize("fabric", [4, 6], ids=["ipv4", "ipv6"], indirect=True)


def key_file(host: Host, number: int) -> Path:
    path = host.directory / f"key{number}"
    path.write_text(f"hex:{SECRETS[number].hex()}\n")
    path.chmod(0o600)
    return path


def authenticate(
    host: Host,
    mode: str = "enforce",
    *,
    active: int = 1,
    ids: tuple[int, ...] = (1,),
    more: str = "",
    interval: float = INTERVAL,
) -> None:
    """Configures ``host`` with authentication."""
    keys = ", ".join(f'{number} = {{ file = "{key_file(host, number)}" }}' for number in ids)
    table = ["[authentication.site]", f'mode = "{mode}"', f"active_key = {active}", f"keys = {{ {keys} }}", more]
    host.configure(agent=['authentication = "site"'], checks=table, interval=interval)


def replaced(host: Host) -> int:
    """The agent is replaced by one with the configuration as it is now (ExaBGP's full reload); the mark before that."""
    mark, first = host.log.mark(), host.agent
    host.exabgp.send_signal(signal.SIGUSR2)
    ended(first)
    host.log.wait("agent-started", mark)
    return mark


def counters(host: Host) -> Record:
    mark = host.log.mark()
    os.kill(host.agent, signal.SIGUSR1)
    return host.log.counters(mark)


def all_are_counted(host: Host, expected: dict[str, int]) -> None:
    wait_until(lambda: counters(host)["rejected"] == expected, host.log.tell)


# Roll-out


STEPS: list[tuple[str, tuple[int, ...], int]] = [
    ("receive-only", (1,), 1),
    ("permissive", (1,), 1),
    ("enforce", (1,), 1),
    ("enforce", (1, 2), 1),
    ("enforce", (1, 2), 2),
    ("enforce", (2,), 2),
]
"""Mode, ids of the keys, and the active one."""


LONG_INTERVAL = 2.0
"""Seconds between adverts: the replacement of an agent causes no takeover."""


def heard(fabric: Fabric) -> dict[str, int]:
    """How many adverts of the Active's the Backup has accepted, signed and unsigned ones."""
    accepted: dict[str, int] = counters(fabric.b)["routers"]["web"]["authentication"].get(fabric.a.source, {})
    return accepted


def judged(fabric: Fabric) -> None:
    """Waits until the Backup has accepted one more advert of the Active's."""
    before = sum(heard(fabric).values())
    fabric.sniffer.wait(1, fabric.a.source, via="a0", since=time.time())
    wait_until(lambda: sum(heard(fabric).values()) > before, fabric.told)


def test_from_unsigned_adverts_to_another_key_without_a_transition(fabric: Fabric) -> None:
    """One node after the other, step by step: who is not replaced sees no transition, and who is goes on as before."""
    for host in (fabric.a, fabric.b):
        host.configure(interval=LONG_INTERVAL)
    fabric.start()
    marks = {host.name: host.log.mark() for host in (fabric.a, fabric.b)}
    for mode, ids, active in STEPS:
        for host, other in ((fabric.b, fabric.a), (fabric.a, fabric.b)):
            authenticate(host, mode, ids=ids, active=active, interval=LONG_INTERVAL)
            seen = other.log.mark()
            mark = replaced(host)
            said = host.log.all("authentication-enabled", mark)[-1]  # before it, that of the caretaker in between
            assert (said["mode"], said["accepts"]) == (mode, list(ids))
            host.becomes("active" if host is fabric.a else "backup", mark)
            judged(fabric)  # whatever step the Backup is at itself
            assert other.log.moves(seen) == [], f"{mode} {ids} {active} on {host.name}: {fabric.told()}"
    for host in (fabric.a, fabric.b):
        assert not host.log.all("packet-rejected", marks[host.name]), fabric.told()
    accepted = heard(fabric)
    assert accepted["signed"] > 0
    assert accepted["unsigned"] == 0
    assert fabric.b.log.moves(marks["b"]) == [("initialize", "backup", "startup")] * len(STEPS)
    fabric.settled()


# Recorded and forged packets


class Tap:
    """The fabric, for somebody who can read and write whatever he likes in it."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        with fabric.router:
            self._ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(3))
            self._mouth = socket.socket(
                socket.AF_INET if fabric.family == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW
            )

    def close(self) -> None:
        self._ears.close()
        self._mouth.close()

    def recorded(self, source: str, via: str | None = None) -> list[bytes]:
        """Whole packets of protocol 112 from ``source`` that have come in through ``via`` since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (interface, _, kind, *_) = self._ears.recvfrom(4096)
                version = packet[0] >> 4
                protocol, at, size = (packet[9], 12, 4) if version == 4 else (packet[6], 8, 16)
                ours = kind == 0 and version in {4, 6} and protocol == PROTOCOL and via in {None, interface}
                if ours and packet[at : at + size] == ip_address(source).packed:
                    found.append(packet)
        return found

    def play(self, packet: bytes, to: Host, via: str = "") -> None:
        """Sends it as it is, by the way that the router knows, or through this interface."""
        self._mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, via.encode() + b"\0")
        self._mouth.sendto(packet, (to.source, 0))

    def forge(self, sender: Host, to: Host, priority: int, number: Sequence | None, key: Key) -> None:
        """Sends an advert in the name of ``sender``."""
        source, destination = ip_address(sender.source), ip_address(to.source)
        advertisement = Advertisement(VRID, priority, round(INTERVAL * 100), (ip_address(sender.vip),))
        trailer = None if number is None else lambda message: bytes(sign(key, number, source, message))
        payload = encode(advertisement, source, destination, trailer=trailer)
        self.play(with_header(source, destination, 255, payload), to)


@pytest.fixture
def tap(fabric: Fabric) -> Iterator[Tap]:
    with contextlib.closing(Tap(fabric)) as tap:
        yield tap


@both_families
def test_replay_counters_outlive_a_killed_agent(fabric: Fabric, tap: Tap) -> None:
    """Packets recorded before are rejected afterwards, although they are within the window."""
    for host in (fabric.a, fabric.b):
        authenticate(host, more="window = 300")
    fabric.start()
    played = wait_until(lambda: tap.recorded(fabric.a.source), "an advert of a to be recorded")
    # Only the Backup's agent ends, and a is silent meanwhile: its marks are what the last agent has left.
    os.kill(fabric.a.agent, signal.SIGSTOP)
    counters(fabric.b)  # which it tells when it has read what was there before it was asked
    mark, first = fabric.b.log.mark(), fabric.b.agent
    os.kill(first, signal.SIGKILL)
    ended(first)
    assert fabric.b.log.wait("replay-counters-loaded", mark)["known"] >= 1
    fabric.b.log.wait("transition", mark)
    for packet in played:
        tap.play(packet, fabric.b)
    wait_until(lambda: counters(fabric.b)["rejected"].get("auth-replay", 0) == len(played), fabric.told)
    os.kill(fabric.a.agent, signal.SIGCONT)
    fabric.b.becomes("backup")
    fabric.settled()


@both_families
def test_nothing_that_is_forged_moves_anything(fabric: Fabric, tap: Tap) -> None:
    for host in (fabric.a, fabric.b):
        authenticate(host)
    fabric.start()
    marks = {host.name: host.log.mark() for host in (fabric.a, fabric.b)}
    ours, theirs, unknown = Key(1, SECRETS[1]), Key(1, bytes(32)), Key(9, SECRETS[1])
    for sender, to in ((fabric.a, fabric.b), (fabric.b, fabric.a)):
        before = counters(to)["rejected"]
        expected = {"auth-missing": 2, "auth-mac": 2, "auth-unknown-key": 2, "auth-window": 4, "auth-malformed": 2}
        for priority in (255, 0):
            now = sequence(time.time())
            tap.forge(sender, to, priority, None, ours)
            tap.forge(sender, to, priority, now, theirs)
            tap.forge(sender, to, priority, now, unknown)
            tap.forge(sender, to, priority, sequence(time.time() - 10), ours)
            tap.forge(sender, to, priority, sequence(time.time() + 10), ours)
            long = encode(
                Advertisement(VRID, priority, 10, (ip_address(to.vip),)),
                ip_address(sender.source),
                ip_address(to.source),
                trailer=lambda _: bytes(29),
            )
            tap.play(with_header(ip_address(sender.source), ip_address(to.source), 255, long), to)
        assert before == {}
        all_are_counted(to, expected)
        named = to.log.all("packet-rejected", marks[to.name], reason="auth-window", source=sender.source)
        assert "s behind our clock (window 5 s)" in named[0]["detail"]
    for host in (fabric.a, fabric.b):
        assert host.log.moves(marks[host.name]) == [], fabric.told()
    fabric.settled()


@both_families
def test_a_path_that_is_slower_is_not_taken_for_an_attacker(fabric: Fabric, tap: Tap) -> None:
    """One of the two paths leads through this process, which delivers each copy later than the other path."""
    for host in (fabric.a, fabric.b):
        authenticate(host)
    fabric.start()
    target = f"{fabric.b.source}/{running.BITS[fabric.family]}"
    fabric.router.ip(f"route replace blackhole {target} table 100", f"-{fabric.family}")
    tap.recorded(fabric.a.source)
    way = f"{fabric.a.source} eth0"
    copies = counters(fabric.b)["routers"]["web"]["copies"]
    mark = fabric.b.log.mark()

    def relayed() -> bool:
        for packet in tap.recorded(fabric.a.source, via="a0"):
            tap.play(packet, fabric.b, via="b0")
        # Only those that this process has held up for too long, because the machine was busy, do not count.
        return bool(counters(fabric.b)["routers"]["web"]["copies"][way] >= copies[way] + 5)

    wait_until(relayed, fabric.told)
    assert fabric.b.log.moves(mark) == []


# Clocks and pauses


SHIFTED = """
import sys, time
from pathlib import Path
real, shift = time.time, Path(sys.argv.pop(1))
time.time = lambda: real() + float(shift.read_text())
from exavrrp.cli import main
main()
"""


def with_a_clock_of_its_own(host: Host) -> Path:
    """Has the agent take what is in the file for how far its clock is off."""
    shift, program = host.directory / "shift", host.directory / "shifted.py"
    program.write_text(SHIFTED)
    move(shift, 0)
    host.program = (sys.executable, str(program), str(shift))
    return shift


def move(shift: Path, seconds: float) -> None:
    fresh = shift.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.replace(shift)


def test_a_clock_that_was_set_is_logged_on_both_sides_and_recovers(fabric: Fabric) -> None:
    for host in (fabric.a, fabric.b):
        authenticate(host)
    shift = with_a_clock_of_its_own(fabric.a)
    fabric.start()
    marks = {host.name: host.log.mark() for host in (fabric.a, fabric.b)}
    move(shift, 3)
    assert "set forward by 3.0 s" in fabric.a.log.wait("clock-stepped", marks["a"])["detail"]
    early = fabric.b.log.wait("clock-skew", marks["b"], peer=fabric.a.source)
    assert "s ahead of ours, and beyond 5 s it is not heard" in early["detail"]
    move(shift, 0)  # within the window: the numbers go on from where they were
    assert "set back by 3.0 s" in fabric.a.log.wait("clock-stepped", marks["a"] + 1)["detail"]
    since = time.time()
    fabric.sniffer.wait(5, fabric.a.source, via="a0", since=since)
    assert not fabric.b.log.all("packet-rejected", marks["b"]), fabric.told()
    assert fabric.b.log.moves(marks["b"]) == []
    move(shift, 60)
    told = fabric.b.log.wait("packet-rejected", marks["b"], reason="auth-window", source=fabric.a.source)
    # Some seconds less where the machine was busy after it was signed.
    assert re.search(r"\b(60|5\d) s ahead of our clock \(window 5 s\)", told["detail"])
    fabric.b.becomes("active", marks["b"])
    move(shift, 0)  # by more than the window: the numbers begin anew, and b does not hold the last ones against them
    fabric.b.becomes("backup", marks["b"])
    fabric.settled()


@both_families
def test_an_advert_that_waits_for_longer_than_the_window_counts(fabric: Fabric) -> None:
    """A Backup that was stopped for three windows does not take over."""
    for host in (fabric.a, fabric.b):
        authenticate(host, more="window = 1")
    fabric.start()
    mark = fabric.b.log.mark()
    os.kill(fabric.b.agent, signal.SIGSTOP)
    since = time.time()
    try:
        fabric.sniffer.wait(round(3 / INTERVAL), fabric.a.source, via="a0", since=since)
    finally:
        os.kill(fabric.b.agent, signal.SIGCONT)
    after = counters(fabric.b)
    assert after["rejected"] == {}
    assert fabric.b.log.moves(mark) == [], fabric.told()
    assert not fabric.b.log.all("path-quiet", mark)


# Keys from systemd


@running.each_line
def test_a_key_from_a_credential(fabric: Fabric, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """ExaBGP hands its environment on."""
    directory = fabric.a.directory / "credentials"
    directory.mkdir()
    (directory / "vrrp-1").write_text(f"hex:{SECRETS[1].hex()}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    authenticate(fabric.a)
    path = fabric.a.directory / "exavrrp.toml"
    file = f'file = "{fabric.a.directory / "key1"}"'
    assert file in path.read_text()
    path.write_text(path.read_text().replace(file, 'credential = "vrrp-1"'))
    authenticate(fabric.b)
    fabric.start(line)
    assert counters(fabric.b)["routers"]["web"]["authentication"][fabric.a.source]["signed"] > 0
