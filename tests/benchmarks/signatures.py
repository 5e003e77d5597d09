"""The cost of authentication for each advert: `python -m tests.benchmarks.signatures` (some seconds, no rights needed).

Reported in µs of CPU time, with and without, as the median of alternating rounds: sending a copy (without, the
agent encodes the bytes once and keeps them; with, it encodes and signs each copy) and receiving one (all checks of
``decode``). The marks are in a mapped file, as in the agent. Forged: an advert with a wrong signature, which an
attacker can make us look at.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from statistics import median
from typing import Any

from exavrrp.system.state import ReplayCounterFile
from exavrrp.vrrp.auth import Flow, Key, Mode, Policy, Signer, Verifier
from exavrrp.vrrp.packet import OPEN, Address, Advertisement, Datagram, Expectation, Guard, Malformed, decode, encode

ROUNDS, BATCH = 30, 300
VRID = 7
ENDS: dict[int, tuple[Address, Address]] = {
    4: (IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")),
    6: (IPv6Address("2001:db8:ff::11"), IPv6Address("2001:db8:ff::12")),
}
FIRST: dict[int, Address] = {4: IPv4Address("198.18.0.1"), 6: IPv6Address("2001:db8:53::1")}


class Silence:
    """A log in which nothing is expected."""

    def warning(self, event: str, **fields: Any) -> None:
        raise AssertionError(event, fields)

    def info(self, event: str, **fields: Any) -> None:
        assert event == "replay-counters-loaded", fields


class Case:
    """One advert, on its way from one node to another."""

    def __init__(self, family: int, addresses: int, directory: Path) -> None:
        self.source, self.destination = ENDS[family]
        self.advert = Advertisement(VRID, 150, 10, tuple(FIRST[family] + number for number in range(addresses)))
        policy = Policy(Mode.ENFORCE, 300, (Key(1, bytes(range(32))), Key(2, bytes(range(64)))), 2)
        marks = ReplayCounterFile(directory, Silence())
        marks.set([Flow(self.source, self.source, VRID), Flow(self.destination, self.source, VRID)])
        self.signer = Signer(policy, self.source, VRID, marks)
        self.verifier = Verifier(self.destination, {VRID: policy}, marks)
        peers = frozenset({self.source})
        self.expectation = Expectation(frozenset({self.destination}), {VRID: peers}, peers)
        self.now = time.time()

    def encoded(self) -> bytes:
        return encode(self.advert, self.source, self.destination)

    def signed(self) -> bytes:
        self.now += 0.0001
        return encode(
            self.advert,
            self.source,
            self.destination,
            trailer=lambda message: self.signer.trailer(message, self.now),
        )

    def receive(self, payloads: list[bytes], guard: Guard[Any]) -> Callable[[], object]:
        """Receives one after the other; a forged one is rejected."""
        waiting: Iterator[bytes] = iter(payloads)

        def one() -> None:
            try:
                decode(Datagram(self.source, self.destination, 255, next(waiting)), self.expectation, guard, self.now)
            except Malformed as malformed:
                if malformed.reason != "auth-mac":
                    raise

        return one


def microseconds(work: Callable[[], object]) -> float:
    """For each of a batch."""
    begin = time.process_time_ns()
    for _ in range(BATCH):
        work()
    return (time.process_time_ns() - begin) / BATCH / 1000


def measure(case: Case) -> dict[str, float]:
    """Medians, in µs."""
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        plain, signed = [case.encoded()] * BATCH, [case.signed() for _ in range(BATCH)]
        forged = [payload[:-1] + bytes([payload[-1] ^ 1]) for payload in signed]
        for name, work in (
            ("encode", case.encoded),
            ("sign", case.signed),
            ("receive", case.receive(plain, OPEN)),
            ("forged", case.receive(forged, case.verifier)),
        ):
            found.setdefault(name, []).append(microseconds(work))
        fresh = [case.signed() for _ in range(BATCH)]
        found.setdefault("verify", []).append(microseconds(case.receive(fresh, case.verifier)))
    return {name: median(times) for name, times in found.items()}


def main() -> None:
    """Prints a table."""
    print("µs a copy               encode  + sign  ratio    receive  + verify  ratio    forged")
    with tempfile.TemporaryDirectory() as directory:
        for family, addresses in ((6, 1), (6, 88), (4, 1), (4, 255)):
            it = measure(Case(family, addresses, Path(directory)))
            sent = f"{it['encode']:8.1f}{it['sign']:8.1f}{it['sign'] / it['encode']:7.2f}"
            read = f"{it['receive']:11.1f}{it['verify']:10.1f}{it['verify'] / it['receive']:7.2f}"
            print(f"IPv{family}, {addresses:3} addresses    {sent}{read}{it['forged']:10.1f}")


if __name__ == "__main__":
    main()
