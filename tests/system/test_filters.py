"""BPF programs of the socket filter, run by a small interpreter; test_wire runs them in the kernel."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.system.filters import EVERYTHING, NOTHING, among, outside

if TYPE_CHECKING:
    from exavrrp.system.filters import Program
    from exavrrp.vrrp.packet import Address

_BEHIND_THE_HEADER = 0x1_0000_0000 - 0x10_0000


def accepts(program: Program, source: Address) -> bool:
    """What the program says of a packet from ``source`` (Documentation/networking/filter.rst)."""
    header = {4: bytes(12) + source.packed + bytes(4), 6: bytes(8) + source.packed + bytes(16)}[source.version]
    loaded, at = 0, 0
    while True:
        code, true, false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                [loaded] = struct.unpack_from("!I", header, operand - _BEHIND_THE_HEADER)
            case 0x05:
                at += operand
            case 0x15:
                at += true if loaded == operand else false
            case 0x35:
                at += true if loaded >= operand else false
            case 0x06:
                return operand > 0
            case _:
                pytest.fail(f"instruction {code:#x}")


_near = st.integers(0, 5)
"""Few different values, so that addresses share words and stand beside each other."""
_edges = st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
_word = _near | _edges | st.integers(0, 0xFFFF_FFFF)
_ipv4 = st.builds(IPv4Address, _word)
_ipv6 = st.builds(lambda *words: IPv6Address(struct.pack("!4I", *words)), _word, _word, _word, _word)


@given(st.one_of(*(st.tuples(st.sets(kind, max_size=40), kind) for kind in (_ipv4, _ipv6))))
def test_one_of_them_or_none(case: tuple[set[Address], Address]) -> None:
    sources, other = case
    for source in (*sources, other):
        assert accepts(among(sources), source) == (source in sources)
        assert accepts(outside(sources), source) == (source not in sources)


@pytest.mark.parametrize("first", ["10.0.0.0", "2001:db8::"])
def test_a_thousand_of_them(first: str) -> None:
    """Farther apart than a conditional jump can reach."""
    start = ip_address(first)
    sources = {start + 2 * number for number in range(1000)}
    program = among(sources)
    assert len(program) < 4096
    assert all(all(0 <= jump <= 255 for jump in instruction[1:3]) for instruction in program)
    for number in range(-1, 2001):
        assert number < 0 or accepts(program, start + number) == (number % 2 == 0 and number < 2000)


def test_nothing_and_everything() -> None:
    for source in (IPv4Address("10.0.0.1"), IPv6Address("2001:db8::1")):
        assert not accepts(NOTHING, source)
        assert accepts(EVERYTHING, source)
