"""The authentication trailer: the draft's vectors, every form of tampering, numbers, copies and modes."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exavrrp.vrrp import auth
from exavrrp.vrrp.auth import (
    Flow,
    Key,
    Marks,
    Mode,
    Policy,
    Sequence,
    Signer,
    Trailer,
    Verifier,
    ahead,
    follows,
    sequence,
    sign,
    verify,
)
from exavrrp.vrrp.packet import (
    OPEN,
    Address,
    Advertisement,
    Datagram,
    Expectation,
    Ipv4Checksum,
    Malformed,
    Reason,
    decode,
    encode,
)

VECTORS = json.loads((Path(__file__).parent / "captures" / "auth_hmac.json").read_text())
KEY = Key(VECTORS["key_id"], bytes.fromhex(VECTORS["key_hex"]))
VECTOR_TIME = 0x68000000 + 0.5
WHOLE = 1 << 64


@dataclass(frozen=True)
class Vector:
    """One of the draft's signed adverts."""

    source: Address
    destination: Address
    advertisement: Advertisement
    message: bytes
    trailer: bytes

    @property
    def datagram(self) -> Datagram:
        return Datagram(self.source, self.destination, 255, self.message + self.trailer)

    @property
    def expectation(self) -> Expectation:
        peers = frozenset({self.source})
        return Expectation(frozenset(), dict.fromkeys(range(256), peers), peers)


def vector(family: int) -> Vector:
    (it,) = (each for each in VECTORS["vectors"] if each["family"] == family)
    return Vector(
        ip_address(it["source_address"]),
        ip_address(it.get("destination", "198.51.100.20")),
        Advertisement(it["vrid"], 200, 100, (ip_address(it["vip"]),)),
        bytes.fromhex(it["pdu_hex"]),
        bytes.fromhex(it["trailer_hex"]),
    )


families = pytest.mark.parametrize("family", [4, 6])


def policy(mode: Mode = Mode.ENFORCE, window: int = 5, keys: tuple[Key, ...] = (KEY,), active: int = 1) -> Policy:
    return Policy(mode, window, keys, active)


def guard(whom: Vector, mode: Mode = Mode.ENFORCE, marks: Marks | None = None) -> Verifier:
    everywhere = dict.fromkeys(range(256), policy(mode))
    return Verifier(whom.destination, everywhere, {} if marks is None else marks)


def rejection(datagram: Datagram, whom: Vector, by: Verifier, realtime: float = VECTOR_TIME) -> Reason:
    with pytest.raises(Malformed) as caught:
        decode(datagram, whom.expectation, by, realtime)
    assert KEY.secret.hex() not in str(caught.value)
    return caught.value.reason


# The draft's vectors, both directions


@families
def test_signs_as_the_draft(family: int) -> None:
    it = vector(family)
    number = Sequence(0x6800000080000000)
    assert bytes(sign(KEY, number, it.source, it.message)) == it.trailer
    signer = Signer(policy(), it.source, 51, {})
    payload = encode(
        it.advertisement,
        it.source,
        it.destination,
        Ipv4Checksum.RFC9568,
        lambda message: signer.trailer(message, VECTOR_TIME),
    )
    assert payload == it.datagram.payload


@families
def test_verifies_what_the_draft_has_signed(family: int) -> None:
    it = vector(family)
    marks: dict[Flow, Sequence] = {}
    assert decode(it.datagram, it.expectation, guard(it, marks=marks), VECTOR_TIME) == it.advertisement
    assert marks == {Flow(it.destination, it.source, 51): Sequence(0x6800000080000000)}


def test_a_trailer_is_read_and_written() -> None:
    trailer = Trailer.read(vector(4).trailer)
    assert trailer == Trailer(1, Sequence(0x6800000080000000), vector(4).trailer[12:])
    assert bytes(trailer) == vector(4).trailer


# Tampering

MESSAGE = {"priority": 2, "interval": 5, "vip": 11, "checksum bytes": 7, "vrid": 1}
TRAILER = {"extension type": 0, "key id": 1, "reserved": 2, "seconds": 7, "subseconds": 8, "counter": 11, "code": 27}
FOUND: dict[str, Reason | None] = {
    "priority": Reason.AUTH_MAC,
    "interval": Reason.AUTH_MAC,
    "vip": Reason.AUTH_MAC,
    "vrid": Reason.AUTH_MAC,
    "checksum bytes": None,
    "extension type": Reason.AUTH_MALFORMED,
    "key id": Reason.AUTH_UNKNOWN_KEY,
    "reserved": Reason.AUTH_MALFORMED,
    "seconds": Reason.AUTH_MAC,
    "subseconds": Reason.AUTH_MAC,
    "counter": Reason.AUTH_MAC,
    "code": Reason.AUTH_MAC,
}
WORDS = {
    "rejected": Reason.AUTH_MAC,
    "accepted by the trailer (read as zero)": None,
    "malformed": Reason.AUTH_MALFORMED,
    "unknown key": Reason.AUTH_UNKNOWN_KEY,
}


def tampered(it: Vector, what: str) -> tuple[bytes, bytes]:
    message, rest = bytearray(it.message), bytearray(it.trailer)
    part, at = (message, MESSAGE[what]) if what in MESSAGE else (rest, TRAILER[what])
    part[at] ^= 1
    return bytes(message), bytes(rest)


def test_the_table_of_the_draft_is_ours() -> None:
    assert {what: WORDS[word] for what, word in VECTORS["tamper"].items()}.items() <= FOUND.items()
    assert FOUND.keys() == MESSAGE.keys() | TRAILER.keys()


@families
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("what", FOUND)
def test_a_changed_advert_is_rejected_in_every_mode(family: int, mode: Mode, what: str) -> None:
    it = vector(family)
    message, rest = tampered(it, what)
    by = guard(it, mode)
    if FOUND[what] is None:
        assert by.check(it.source, message, rest, VECTOR_TIME) == Trailer.read(rest)
        assert rejection(replace(it.datagram, payload=message + rest), it, by) is Reason.CHECKSUM
        return
    assert rejection(replace(it.datagram, payload=message + rest), it, by) is FOUND[what]


@families
def test_another_source_is_rejected(family: int) -> None:
    it = vector(family)
    other = type(it.source)(int(it.source) + 1)
    with pytest.raises(Malformed) as caught:
        guard(it).check(other, it.message, it.trailer, VECTOR_TIME)
    assert caught.value.reason is Reason.AUTH_MAC


@families
@pytest.mark.parametrize("length", [*range(1, 28), *range(29, 60)])
def test_a_trailer_has_one_length(family: int, length: int) -> None:
    it = vector(family)
    rest = (it.trailer * 3)[:length]
    for mode in Mode:
        assert rejection(replace(it.datagram, payload=it.message + rest), it, guard(it, mode)) is Reason.AUTH_MALFORMED


@families
def test_another_key_of_the_same_id_is_rejected(family: int) -> None:
    it = vector(family)
    other = policy(keys=(Key(1, bytes(32)),))
    by = Verifier(it.destination, {51: other}, {})
    assert rejection(it.datagram, it, by) is Reason.AUTH_MAC


def test_several_keys_are_accepted_and_one_signs() -> None:
    it = vector(4)
    two = policy(keys=(KEY, Key(2, bytes(64))), active=2)
    signer = Signer(two, it.source, 51, {})
    new = Trailer.read(signer.trailer(it.message, VECTOR_TIME))
    assert new.key == 2
    assert verify(Key(2, bytes(64)), new, it.source, it.message)
    assert not verify(KEY, new, it.source, it.message)
    by = Verifier(it.destination, {51: two}, {})
    for rest in (it.trailer, bytes(new)):
        assert by.check(it.source, it.message, rest, VECTOR_TIME) == Trailer.read(rest)


# Modes


@dataclass
class Node:
    """What one node sends and accepts for VRID 51."""

    mode: Mode | None
    marks: dict[Flow, Sequence] = field(default_factory=dict)

    def sends(self, it: Vector) -> bytes:
        if self.mode is None or not policy(self.mode).signs:
            return encode(it.advertisement, it.source, it.destination)
        signer = Signer(policy(self.mode), it.source, 51, self.marks)
        sealed = partial(signer.trailer, realtime=VECTOR_TIME)
        return encode(it.advertisement, it.source, it.destination, trailer=sealed)

    def hears(self, it: Vector, payload: bytes) -> Reason | None:
        by = OPEN if self.mode is None else guard(it, self.mode, self.marks)
        try:
            decode(replace(it.datagram, payload=payload), it.expectation, by, VECTOR_TIME)
        except Malformed as malformed:
            return malformed.reason
        return None


ORDER = [None, Mode.RECEIVE_ONLY, Mode.PERMISSIVE, Mode.ENFORCE]


@families
@pytest.mark.parametrize("sender", ORDER)
@pytest.mark.parametrize("receiver", ORDER)
def test_nodes_one_step_apart_accept_each_other(family: int, sender: Mode | None, receiver: Mode | None) -> None:
    it = vector(family)
    payload = Node(sender).sends(it)
    assert (len(payload) > len(it.message)) is (sender in {Mode.PERMISSIVE, Mode.ENFORCE})
    deaf = receiver is Mode.ENFORCE and sender in {None, Mode.RECEIVE_ONLY}
    assert Node(receiver).hears(it, payload) is (Reason.AUTH_MISSING if deaf else None)


def test_signed_and_unsigned_adverts_are_counted() -> None:
    it = vector(4)
    by = guard(it, Mode.PERMISSIVE)
    for payload in (it.message, it.message, it.message + it.trailer):
        decode(replace(it.datagram, payload=payload), it.expectation, by, VECTOR_TIME)
    (sender,) = by.senders.values()
    assert (sender.signed, sender.unsigned) == (1, 2)


def test_a_vrid_without_a_policy_needs_no_trailer() -> None:
    it = vector(4)
    by = Verifier(it.destination, {}, {})
    for rest in (b"", it.trailer, b"anything"):
        payload = it.message + rest
        assert decode(replace(it.datagram, payload=payload), it.expectation, by, VECTOR_TIME) == it.advertisement


# Numbers


@pytest.mark.parametrize(
    ("later", "earlier", "does"),
    [
        (1, 0, True),
        (0, 0, False),
        (0, 1, False),
        (0, WHOLE - 1, True),
        (WHOLE - 1, 0, False),
        ((1 << 63) - 1, 0, True),
        (1 << 63, 0, False),  # RFC 1982 leaves it undefined; nobody's number is accepted for it
        (0, 1 << 63, False),
    ],
)
def test_serial_number_arithmetic(later: int, earlier: int, does: bool) -> None:
    assert follows(Sequence(later), Sequence(earlier)) is does


def test_a_sequence_number_encodes_the_time() -> None:
    assert sequence(0) == 0
    assert sequence(1.5) == 1 << 32 | 0x8000 << 16
    assert sequence((1 << 32) + 1) == 1 << 32, "seconds wrap in 2106"
    assert ahead(sequence(10), 12.9) == -2
    assert ahead(sequence(3), (1 << 32) + 1) == 2
    assert ahead(sequence((1 << 32) - 1), 1 << 32) == -1


@given(times=st.lists(st.floats(0, 1 << 33), min_size=2, max_size=20))
def test_a_sender_never_sends_a_number_twice_within_a_window(times: list[float]) -> None:
    marks: dict[Flow, Sequence] = {}
    source = ip_address("192.0.2.1")
    signer = Signer(policy(window=300), source, 7, marks)
    last: Sequence | None = None
    for now in times:
        number = Trailer.read(signer.trailer(vector(4).message, now)).sequence
        assert marks == {Flow(source, source, 7): number}
        assert abs(ahead(number, now)) <= 301, "no receiver would take it"
        if last is not None and -300 <= ahead(last, now) <= 300:
            assert follows(number, last)
        last = number


def test_a_sender_takes_the_clock_or_the_next_number() -> None:
    source = ip_address("192.0.2.1")
    marks: dict[Flow, Sequence] = {}
    signer = Signer(policy(window=5), source, 7, marks)

    def number(now: float) -> int:
        return Trailer.read(signer.trailer(vector(4).message, now)).sequence

    step = 1 << 16
    assert number(1000.0) == sequence(1000.0)
    assert number(1000.0) == sequence(1000.0) + 1
    assert number(1001.0) == sequence(1001.0)
    assert number(996.0) == sequence(1001.0) + step, "set back within the window: go on"
    assert number(996.0) == sequence(1001.0) + step + 1, "another copy"
    assert number(996.5) == sequence(1001.0) + 2 * step
    assert number(995.0) == sequence(995.0), "set back by more: nobody would hear us until the clock is there again"
    assert number(5000.0) == sequence(5000.0)


def test_a_counter_that_is_full_carries_over() -> None:
    source = ip_address("192.0.2.1")
    flow = Flow(source, source, 7)
    marks: dict[Flow, Sequence] = {}
    signer = Signer(policy(), source, 7, marks)
    for counter in range(0x10000):
        signer.trailer(b"1\x07      ", 1000.0)
        assert marks[flow] == sequence(1000.0) + counter
    signer.trailer(b"1\x07      ", 1000.0)
    assert marks[flow] == sequence(1000.0) + (1 << 16)


def test_a_sender_goes_on_where_its_predecessor_ended() -> None:
    source = ip_address("192.0.2.1")
    flow = Flow(source, source, 7)
    for last, number in ((sequence(1001.0), sequence(1001.0) + (1 << 16)), (Sequence(WHOLE - 1), sequence(1000.0))):
        marks = {flow: last}
        Signer(policy(), source, 7, marks).trailer(b"1\x07      ", 1000.0)
        assert marks == {flow: number}
    marks = {flow: Sequence(WHOLE - 1)}
    Signer(policy(), source, 7, marks).trailer(b"1\x07      ", (1 << 32) - 1)
    assert marks == {flow: 0}, "2106"


# Window and marks


class Receiver:
    """A receiver that verifies adverts of VRID 51, and collects them."""

    def __init__(self, window: int = 5) -> None:
        self.it = vector(6)
        self.marks: dict[Flow, Sequence] = {}
        self.by = Verifier(self.it.destination, {51: policy(window=window), 52: policy()}, self.marks)

    def hears(self, number: int, now: float, sender: Address | None = None, vrid: int = 51) -> Reason | None:
        source = sender or self.it.source
        message = bytes([0x31, vrid]) + self.it.message[2:]
        rest = bytes(sign(KEY, Sequence(number), source, message))
        try:
            found = self.by.check(source, message, rest, now)
        except Malformed as malformed:
            return malformed.reason
        self.by.accept(source, message, found, now)
        return None


@pytest.mark.parametrize("off", range(-7, 8))
def test_the_window_is_as_wide_on_both_sides(off: int) -> None:
    expected = None if abs(off) <= 5 else Reason.AUTH_WINDOW
    assert Receiver().hears(sequence(1000 + off), 1000.9) is expected


def test_the_offset_of_an_accepted_clock_is_known() -> None:
    receiver = Receiver()
    for number, now, skew in ((1003, 1000.9, 3), (1004, 1006.5, -2)):
        assert receiver.hears(sequence(number), now) is None
        (sender,) = receiver.by.senders.values()
        assert sender.skew == skew


@pytest.mark.parametrize(("off", "words"), [(-6, "6 s behind our clock"), (6, "6 s ahead of our clock")])
def test_a_clock_that_is_off_is_reported(off: int, words: str) -> None:
    receiver = Receiver()
    rest = bytes(sign(KEY, sequence(1000 + off), receiver.it.source, receiver.it.message))
    with pytest.raises(Malformed, match=f"{receiver.it.source} signed it {words} .window 5 s."):
        receiver.by.check(receiver.it.source, receiver.it.message, rest, 1000)


def test_a_number_is_accepted_once_and_none_before_it() -> None:
    receiver = Receiver()
    assert receiver.hears(sequence(1000), 1000) is None
    assert receiver.hears(sequence(1000), 1000) is Reason.AUTH_REPLAY
    assert receiver.hears(sequence(999), 1000) is Reason.AUTH_REPLAY
    assert receiver.hears(sequence(1001), 1000) is None
    assert receiver.hears(sequence(1000.5), 1000) is Reason.AUTH_REPLAY


def test_each_sender_and_each_vrid_has_its_replay_counter() -> None:
    receiver = Receiver()
    other = ip_address("2001:db8::99")
    assert receiver.hears(sequence(1003), 1000) is None
    assert receiver.hears(sequence(1001), 1000, vrid=52) is None
    assert receiver.hears(sequence(1000), 1000, sender=other) is None
    assert receiver.hears(sequence(1002), 1000) is Reason.AUTH_REPLAY
    assert receiver.hears(sequence(1000), 1000, vrid=52) is Reason.AUTH_REPLAY
    assert len(receiver.marks) == 3


def test_a_replay_counter_outlives_its_process() -> None:
    first, second = Receiver(), Receiver()
    assert first.hears(sequence(1000), 1000) is None
    second.marks.update(first.marks)
    assert second.hears(sequence(1000), 1001) is Reason.AUTH_REPLAY
    assert second.hears(sequence(1001), 1001) is None


def test_a_replay_counter_outside_the_window_does_not_count() -> None:
    # Both clocks were a day ahead, and have been corrected: the nodes are not deaf to each other for a day.
    receiver = Receiver()
    assert receiver.hears(sequence(87400), 87400) is None
    assert receiver.hears(sequence(1000), 1000) is None
    assert receiver.marks == {Flow(receiver.it.destination, receiver.it.source, 51): sequence(1000)}
    assert receiver.hears(sequence(1000), 1000) is Reason.AUTH_REPLAY


@pytest.mark.parametrize(("skew", "most"), [(-4, 9), (0, 5), (4, 5)])
def test_a_replay_counter_counts_until_our_clock_is_set_back_by_more_than_the_window(skew: int, most: int) -> None:
    """Whatever the sender's clock says: what was recorded is not new again after a step within the window."""
    for back in (1, 2, most, most + 1):
        receiver = Receiver()
        assert receiver.hears(sequence(2000 + skew), 2000) is None
        recorded = sequence(min(2000 + skew, 2000 - back))
        assert receiver.hears(recorded, 2000 - back) is (Reason.AUTH_REPLAY if back <= most else None)


def test_a_replay_counter_of_another_era_does_not_count() -> None:
    receiver = Receiver()
    receiver.marks[Flow(receiver.it.destination, receiver.it.source, 51)] = sequence(1000 + (1 << 31))
    assert receiver.hears(sequence(1000), 1000) is None


def test_numbers_wrap() -> None:
    receiver = Receiver()
    end = 1 << 32
    assert receiver.hears(sequence(end - 1), end) is None
    assert receiver.hears(sequence(end + 1), end) is None
    assert receiver.hears(sequence(end - 1), end) is Reason.AUTH_REPLAY


# Copies of one advert over several paths


def test_copies_may_overtake_each_other_but_come_once() -> None:
    receiver = Receiver()
    first = sequence(1000.0)
    assert receiver.hears(first + 2, 1000.0) is None
    assert receiver.hears(first, 1000.01) is None
    assert receiver.hears(first + 1, 1000.05) is None
    assert receiver.marks == {Flow(receiver.it.destination, receiver.it.source, 51): first + 2}
    for again in (first, first + 1, first + 2):
        assert receiver.hears(again, 1000.05) is Reason.AUTH_REPLAY
    assert receiver.hears(first + 3, 1000.05) is None
    assert receiver.hears(first + 3, 1000.05) is Reason.AUTH_REPLAY


def test_a_copy_that_was_held_back_is_a_replay() -> None:
    receiver = Receiver()
    first = sequence(1000.0)
    assert receiver.hears(first + 1, 1000.0) is None
    assert receiver.hears(first, 1000.0 + auth.STRAGGLER * 1.01) is Reason.AUTH_REPLAY
    assert receiver.hears(first, 999.99) is Reason.AUTH_REPLAY, "the clock was set back: nobody knows how late it is"
    assert receiver.hears(first + 2, 1001.0) is None, "greater than any"
    assert list(receiver.marks.values()) == [first + 2]
    assert receiver.hears(first, 1001.0) is Reason.AUTH_REPLAY
    assert receiver.hears(first + 2, 1001.0) is Reason.AUTH_REPLAY


def test_a_copy_of_an_older_advert_is_a_replay() -> None:
    receiver = Receiver()
    assert receiver.hears(sequence(1000.0) + 1, 1000.0) is None
    assert receiver.hears(sequence(1000.02), 1000.02) is None
    assert receiver.hears(sequence(1000.0), 1000.02) is Reason.AUTH_REPLAY
    assert receiver.hears(sequence(1000.0) + 2, 1000.02) is Reason.AUTH_REPLAY, "whatever its counter"


def test_after_a_restart_no_copy_is_known() -> None:
    receiver = Receiver()
    receiver.marks[Flow(receiver.it.destination, receiver.it.source, 51)] = Sequence(sequence(1000.0) + 1)
    assert receiver.hears(sequence(1000.0), 1000.0) is Reason.AUTH_REPLAY


@given(order=st.permutations(range(6)), again=st.lists(st.integers(0, 5), max_size=10))
def test_in_whatever_order_they_come_each_copy_is_accepted_once(order: list[int], again: list[int]) -> None:
    receiver = Receiver()
    heard: set[int] = set()
    for counter in [*order, *again]:
        expected = Reason.AUTH_REPLAY if counter in heard else None
        assert receiver.hears(sequence(1000.0) + counter, 1000.0) is expected
        heard.add(counter)
    assert list(receiver.marks.values()) == [sequence(1000.0) + 5]


# Keys and policies


def test_a_secret_is_never_shown() -> None:
    key = Key(7, b"a secret that nobody is to see..")
    assert repr(key) == "Key(id=7)"
    assert "secret" not in repr(policy(keys=(key,), active=7))
    assert "secret" not in repr(Signer(policy(keys=(key,), active=7), ip_address("192.0.2.1"), 7, {}))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Key(0, bytes(32)),
        lambda: Key(256, bytes(32)),
        lambda: Key(1, bytes(31)),
        lambda: Key(1, bytes(65)),
        lambda: policy(window=0),
        lambda: policy(window=301),
        lambda: policy(keys=(KEY, Key(1, bytes(32)))),
        lambda: policy(active=2),
    ],
)
def test_invalid_policies_raise(wrong: Callable[[], object]) -> None:
    with pytest.raises(AssertionError):
        wrong()


# Whatever comes

ADDRESSES: dict[int, st.SearchStrategy[Address]] = {
    4: st.integers(0x01000000, 0xDFFFFFFF).map(IPv4Address),
    6: st.integers(1, (0xFF << 120) - 1).map(IPv6Address),
}


@st.composite
def signed(draw: st.DrawFn) -> tuple[Datagram, Advertisement, Policy, float, bool]:
    """A signed advert, with what verifies it, when, and whether its IPv4 checksum is the message's alone."""
    family = draw(st.sampled_from([4, 6]))
    advertisement = Advertisement(
        draw(st.integers(1, 255)),
        draw(st.integers(0, 255)),
        draw(st.integers(1, 4095)),
        tuple(draw(st.lists(ADDRESSES[family], min_size=1, max_size=4))),
    )
    source, destination = draw(ADDRESSES[family]), draw(ADDRESSES[family])
    keys = tuple(Key(number, draw(st.binary(min_size=32, max_size=64))) for number in (1, 200, 255))
    settings = policy(keys=keys, active=draw(st.sampled_from([1, 200, 255])))
    now = draw(st.floats(0, 1 << 33))
    signer = Signer(settings, source, advertisement.vrid, {})
    form = draw(st.sampled_from(Ipv4Checksum))
    payload = encode(advertisement, source, destination, form, lambda message: signer.trailer(message, now))
    return Datagram(source, destination, 255, payload), advertisement, settings, now, form is Ipv4Checksum.RFC9568


def anybody(datagram: Datagram) -> Expectation:
    peers = frozenset({datagram.source})
    return Expectation(frozenset(), dict.fromkeys(range(256), peers), peers)


def verifier(datagram: Datagram, settings: Policy) -> Verifier:
    return Verifier(datagram.destination, dict.fromkeys(range(256), settings), {})


@given(it=signed())
def test_every_signed_advert_is_verified(it: tuple[Datagram, Advertisement, Policy, float, bool]) -> None:
    datagram, advertisement, settings, now, _ = it
    by = verifier(datagram, settings)
    assert decode(datagram, anybody(datagram), by, now) == advertisement
    with pytest.raises(Malformed) as caught:
        decode(datagram, anybody(datagram), by, now)
    assert caught.value.reason is Reason.AUTH_REPLAY


@given(it=signed(), data=st.data())
def test_no_flipped_bit_is_accepted(
    it: tuple[Datagram, Advertisement, Policy, float, bool], data: st.DataObject
) -> None:
    datagram, _, settings, now, _ = it
    bit = data.draw(st.integers(0, len(datagram.payload) * 8 - 1))
    # Two sums of an IPv4 checksum are right; which of the two it bears, the trailer does not say.
    assume(datagram.source.version == 6 or bit // 8 not in {6, 7})
    payload = bytearray(datagram.payload)
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Malformed):
        decode(replace(datagram, payload=bytes(payload)), anybody(datagram), verifier(datagram, settings), now)


@given(
    rest=st.one_of(st.binary(max_size=64), st.binary(min_size=25, max_size=25).map(lambda it: b"\1\1\0" + it)),
    mode=st.sampled_from(Mode),
    now=st.floats(0, 1 << 34),
    message=st.binary(min_size=8, max_size=64),
    source=st.one_of(ADDRESSES[4], ADDRESSES[6]),
)
def test_whatever_follows_an_advert_raises_malformed_or_nothing(
    rest: bytes, mode: Mode, now: float, message: bytes, source: Address
) -> None:
    by = Verifier(source, dict.fromkeys(range(256), policy(mode)), {})
    accepted = not rest and mode is not Mode.ENFORCE
    with nullcontext() if accepted else pytest.raises(Malformed, match=r"^auth-"):
        assert by.check(source, message, rest, now) is None
