"""The authentication trailer: who may move an address, and when; pure.

Adverts are routed, so that whoever can forge a peer's source address could move a virtual address. A trailer of 28
bytes behind the advert proves that its sender holds a key, that nothing was changed on the way, and that it was not
sent before. It is the one of draft-cassen-vrrp-auth-hmac, which keepalived ≥ 2.4.2 calls ``auth_hmac``:

    type = 1 | key id | reserved = 0 (2) | seconds (4) | subseconds (2) | counter (2) | HMAC-SHA256, leftmost 16 bytes

The code covers a pseudo-header (family, version, VRID, source), the advert with its checksum read as zero, the trailer
up to the code, and 16 zero bytes in the code's place. It does not cover the destination.

**Numbers.** Seconds, subseconds and counter are one number of 64 bits that only grows, in serial number arithmetic
(RFC 1982). A sender takes the realtime clock, or its last number plus one where the clock has not moved or was set
back. If it was set back by more than the window it begins anew at the clock: no receiver would take what is so far
ahead, perhaps for years. A receiver takes what is at most a window off its own clock, and greater than the last number
that it has accepted of this sender: the mark. A mark that is a window ahead, and by more than the sender's clock was
ahead, shows that our own clock was set back by more than a window. It does not count: two nodes whose clocks were
corrected by a day must not be deaf to each other for a day. (What a mark that is a window behind could rule out is
outside the window anyway.) How far ahead the sender's clock was is known in this life only; before, it counts as right.

**Copies.** Each copy of an advert needs a number of its own, or a receiver takes the second one for a replay. All
copies of one advert are signed with one reading of the clock, so they differ in nothing but the counter. That is how a
receiver knows a straggler: the copy that went over the longer path, and comes after one with a greater counter. It is
accepted if it has not been seen and comes within ``STRAGGLER`` of the first one; otherwise a path that is a few
microseconds slower than the other would look dead. keepalived drops it, which is harmless.

**Modes**, for changing from unsigned adverts to signed ones without a transition, all nodes step by step:

| mode | sends | accepts |
|---|---|---|
| receive-only | unsigned | unsigned, and what is signed properly |
| permissive | signed | the same |
| enforce | signed | what is signed properly, and nothing else |

An advert whose trailer is wrong is rejected in every mode.

**What it does not do.** Whoever can record adverts and hold others back can delay an advert by up to a window. Who has
lost the marks (they are kept across restarts) can be fooled by a recorded advert for as long as the window is, and only
until the sender speaks again. After a clock was set back by more than the window, what was recorded in the time that
comes again is acceptable again: change the key then.

A ``Verifier`` changes nothing before the packet has passed every other check: ``check`` looks, ``accept`` remembers.
Where marks and last numbers are kept, this file must not know: they are a mapping that is handed in.
"""

import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol

from exavrrp.vrrp.packet import CHECKSUM_AT, Address, Malformed, Reason

SHORTEST_KEY, LONGEST_KEY = 32, 64
"""Bytes. keepalived takes neither fewer nor more; above 64 HMAC would use the key's digest instead."""

WIDEST = 300
"""Seconds of the widest window that keepalived takes."""

STRAGGLER = 0.05
"""Seconds after the first copy of an advert in which another one may overtake backwards: far more than the paths of a
data centre differ, far less than what an attacker would gain by holding a copy back (a takeover delayed by it)."""

_TRAILER = struct.Struct("!BBHQ16s")
TRAILER_SIZE = _TRAILER.size
"""Bytes that follow a signed advert."""
_TYPE = 1
_CODE = 16
_COUNTER = 0xFFFF

Sequence = NewType("Sequence", int)
"""64 bits: seconds << 32 | subseconds << 16 | counter."""


class Flow(NamedTuple):
    """What has a replay counter. keepalived has one per virtual router; one VRID may be in use at several sources."""

    local: Address
    sender: Address
    """``local`` itself for what we have sent"""
    vrid: int


class Marks(Protocol):
    """The replay counters: flow → the last number sent, or accepted from a peer. A dict will do."""

    def get(self, flow: Flow, /) -> Sequence | None:
        """The last one, if any is known."""

    def __setitem__(self, flow: Flow, number: Sequence, /) -> None: ...


class Mode(StrEnum):
    """What is sent and accepted: see above."""

    RECEIVE_ONLY = "receive-only"
    PERMISSIVE = "permissive"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that all nodes of a virtual router share."""

    id: int
    """1–255"""
    secret: bytes = field(repr=False)
    """32–64 bytes; never shown"""

    def __post_init__(self) -> None:
        assert 1 <= self.id <= 255
        assert SHORTEST_KEY <= len(self.secret) <= LONGEST_KEY


def secret(digits: str) -> bytes:
    """The secret in hexadecimal ``digits``. Raises ``ValueError`` with a remedy; the message never has the secret."""
    if re.fullmatch(r"[0-9A-Fa-f]*", digits) is None:
        raise ValueError("holds something that is no hexadecimal digit; make a key with: openssl rand -hex 32")
    if not 2 * SHORTEST_KEY <= len(digits) <= 2 * LONGEST_KEY or len(digits) % 2:
        raise ValueError(
            f"has {len(digits)} hexadecimal digits; a key has {2 * SHORTEST_KEY} to {2 * LONGEST_KEY}, two a byte:"
            " make one with: openssl rand -hex 32"
        )
    return bytes.fromhex(digits)


@dataclass(frozen=True, slots=True)
class Policy:
    """How one virtual router signs and verifies."""

    mode: Mode
    window: int
    """seconds that a sender's clock may be off ours, 1–300"""
    keys: tuple[Key, ...]
    """all that are accepted, with different ids"""
    active: int
    """the id of the one that signs"""

    def __post_init__(self) -> None:
        assert 1 <= self.window <= WIDEST
        assert len({key.id for key in self.keys}) == len(self.keys)
        assert self.key(self.active) is not None

    @property
    def signs(self) -> bool:
        """Whether adverts are sent with a trailer."""
        return self.mode is not Mode.RECEIVE_ONLY

    def key(self, number: int) -> Key | None:
        """The key with this id."""
        return next((key for key in self.keys if key.id == number), None)


@dataclass(frozen=True, slots=True)
class Trailer:
    """What follows a signed advert."""

    key: int
    """its id"""
    sequence: Sequence
    code: bytes
    """the first 16 bytes of the HMAC"""

    def __bytes__(self) -> bytes:
        return _TRAILER.pack(_TYPE, self.key, 0, self.sequence, self.code)

    @classmethod
    def read(cls, rest: bytes) -> "Trailer":
        """What ``rest`` says. Raises ``Malformed`` (``AUTH_MALFORMED``), and nothing else whatever the bytes."""
        if len(rest) != _TRAILER.size:
            raise Malformed(
                Reason.AUTH_MALFORMED, f"{len(rest)} bytes follow the advert, a trailer has {_TRAILER.size}"
            )
        kind, key, reserved, sequence, code = _TRAILER.unpack(rest)
        if kind != _TYPE:
            raise Malformed(Reason.AUTH_MALFORMED, f"trailer of type {kind}, not {_TYPE} (HMAC-SHA256)")
        if reserved != 0:
            raise Malformed(Reason.AUTH_MALFORMED, f"reserved field of the trailer is {reserved}, not 0")
        return cls(key, Sequence(sequence), code)


def sequence(realtime: float) -> Sequence:
    """The number for ``realtime`` (seconds since the epoch), with the counter 0."""
    return Sequence((int(realtime * 65536) << 16) % (1 << 64))


def follows(later: Sequence, earlier: Sequence) -> bool:
    """Whether ``later`` is greater in serial number arithmetic (RFC 1982 §3.2)."""
    return 0 < (later - earlier) % (1 << 64) < 1 << 63


def ahead(number: Sequence, realtime: float) -> int:
    """Whole seconds from ``realtime`` to ``number``; seconds wrap in 2106, so this is from −2³¹ to 2³¹ − 1."""
    return ((number >> 32) - int(realtime) + (1 << 31)) % (1 << 32) - (1 << 31)


def sign(key: Key, number: Sequence, source: Address, message: bytes) -> Trailer:
    """The trailer for ``message``, an advert (whatever its checksum) that is sent from ``source``."""
    return Trailer(key.id, number, _code(key, number, source, message))


def verify(key: Key, trailer: Trailer, source: Address, message: bytes) -> bool:
    """Whether ``trailer`` was made with ``key`` for exactly this message; takes the same time whatever differs."""
    return hmac.compare_digest(trailer.code, _code(key, trailer.sequence, source, message))


def _code(key: Key, number: Sequence, source: Address, message: bytes) -> bytes:
    version, vrid = message[0] >> 4, message[1]
    covered = b"".join(
        (
            bytes((source.version, version, vrid, 0)),
            source.packed.ljust(16, b"\0"),
            message[:CHECKSUM_AT],
            b"\0\0",
            message[CHECKSUM_AT + 2 :],
            _TRAILER.pack(_TYPE, key.id, 0, number, b""),  # struct fills the code's place with zeros
        )
    )
    return hmac.digest(key.secret, covered, "sha256")[:_CODE]


class Authenticator(Protocol):
    """Makes and verifies trailers."""

    def sign(self, key: Key, number: Sequence, source: Address, message: bytes) -> Trailer:
        """See ``sign``."""

    def verify(self, key: Key, trailer: Trailer, source: Address, message: bytes) -> bool:
        """See ``verify``."""


class Hmac:
    """The ``Authenticator`` that has the keys. A replay has another one, without keys."""

    sign = staticmethod(sign)
    verify = staticmethod(verify)


HMAC = Hmac()


class Signer:
    """Signs the adverts of one virtual router from one source."""

    def __init__(
        self, policy: Policy, source: Address, vrid: int, marks: Marks, authenticator: Authenticator = HMAC
    ) -> None:
        """``marks`` are read now, and written with each copy."""
        key = policy.key(policy.active)
        assert key is not None
        self._key = key
        self._authenticator = authenticator
        self._window = policy.window
        self._source = source
        self._flow = Flow(source, source, vrid)
        self._marks = marks
        self._last = marks.get(self._flow)
        self._advert: float | None = None

    def trailer(self, message: bytes, realtime: float) -> bytes:
        """The trailer for one copy of ``message``. All copies of one advert are signed with the same ``realtime``."""
        number = self._last = self._marks[self._flow] = self._next(realtime)
        self._advert = realtime
        return bytes(self._authenticator.sign(self._key, number, self._source, message))

    def _next(self, realtime: float) -> Sequence:
        clock, last = sequence(realtime), self._last
        if last is None or follows(clock, last) or ahead(last, realtime) > self._window:
            return clock
        # Where the clock lags behind, each advert has a time of its own all the same.
        before = last if realtime == self._advert else last | _COUNTER
        return Sequence((before + 1) % (1 << 64))


@dataclass(slots=True)
class Sender:
    """What has been accepted of one sender, for one VRID."""

    flow: Flow
    mark: Sequence | None
    """the greatest number accepted (the replay counter)"""
    signed: int = 0
    """copies accepted with a trailer"""
    unsigned: int = 0
    """copies accepted without a trailer"""
    key: int | None = None
    """the id of the key that signed the last accepted copy; None: nobody signed it"""
    skew: int = 0
    """whole seconds by which its clock was ahead of ours in the last signed copy"""
    first: float | None = None
    """realtime at which the first copy of the last advert arrived; None: before this process started"""
    counters: set[int] = field(default_factory=set)
    """counters of the copies of the last advert that arrived within ``STRAGGLER``"""

    def refuse_replay(self, number: Sequence, window: int, realtime: float) -> None:
        """Raises ``Malformed`` if ``number`` is a replay. ``window``: seconds."""
        if self.mark is None or follows(number, self.mark):
            return
        if not -window <= ahead(self.mark, realtime) <= window + max(self.skew, 0):
            return  # our clock was set back, or the mark is of another age
        if self._continues(number, realtime) and number & _COUNTER not in self.counters:
            return
        raise Malformed(Reason.AUTH_REPLAY, f"{number:016x} of {self.flow.sender}, after {self.mark:016x}")

    def accept(self, number: Sequence, realtime: float) -> bool:
        """Remember ``number``; return whether the mark has changed."""
        self.signed += 1
        self.skew = ahead(number, realtime)
        before = self.mark
        if self._continues(number, realtime):
            self.counters.add(number & _COUNTER)
        if before is not None and number >> 16 == before >> 16:
            self.mark = max(before, number)
        else:
            self.mark, self.first, self.counters = number, realtime, {number & _COUNTER}
        return self.mark != before

    def _continues(self, number: Sequence, realtime: float) -> bool:
        """Whether ``number`` is of another copy of the last advert, within ``STRAGGLER`` of the first copy."""
        if self.mark is None or self.first is None or number >> 16 != self.mark >> 16:
            return False
        return 0 <= realtime - self.first <= STRAGGLER


class Verifier:
    """Verifies the adverts received for one source; a ``packet.Guard``. A VRID without a policy needs no trailer."""

    def __init__(
        self, local: Address, policies: Mapping[int, Policy], marks: Marks, authenticator: Authenticator = HMAC
    ) -> None:
        """``marks`` are read with the first advert of a sender, and written when its mark changes."""
        self.policies = dict(policies)
        """by VRID"""
        self.senders: dict[tuple[Address, int], Sender] = {}
        """by address and VRID: those that have been heard"""
        self._local = local
        self._marks = marks
        self._authenticator = authenticator

    def check(self, source: Address, message: bytes, rest: bytes, realtime: float) -> Trailer | None:
        """See ``packet.Guard``; ``message`` has a header at least."""
        policy = self.policies.get(message[1])
        if policy is None:
            return None
        if not rest:
            if policy.mode is Mode.ENFORCE:
                raise Malformed(Reason.AUTH_MISSING, f"{source} does not sign its adverts")
            return None
        trailer = Trailer.read(rest)
        early = ahead(trailer.sequence, realtime)
        if abs(early) > policy.window:
            raise Malformed(Reason.AUTH_WINDOW, _off(source, early, policy.window))
        key = policy.key(trailer.key)
        if key is None:
            raise Malformed(Reason.AUTH_UNKNOWN_KEY, f"{source} signs with key {trailer.key}")
        if not self._authenticator.verify(key, trailer, source, message):
            raise Malformed(Reason.AUTH_MAC, f"not made with our key {key.id} for this advert of {source}")
        self._sender(source, message[1]).refuse_replay(trailer.sequence, policy.window, realtime)
        return trailer

    def accept(self, source: Address, message: bytes, trailer: Trailer | None, realtime: float) -> None:
        """See ``packet.Guard``."""
        if message[1] not in self.policies:
            return
        sender = self._sender(source, message[1])
        sender.key = None if trailer is None else trailer.key
        if trailer is None:
            sender.unsigned += 1
        elif sender.accept(trailer.sequence, realtime):
            self._marks[sender.flow] = trailer.sequence

    def _sender(self, source: Address, vrid: int) -> Sender:
        known = self.senders.get((source, vrid))
        if known is None:
            flow = Flow(self._local, source, vrid)
            known = self.senders[source, vrid] = Sender(flow, self._marks.get(flow))
        return known


def _off(source: Address, early: int, window: int) -> str:
    how = f"{abs(early)} s {'ahead of' if early > 0 else 'behind'} our clock"
    return f"{source} signed it {how} (window {window} s): set both clocks right; or an old advert was sent again"
