"""What a virtual address can be."""

from ipaddress import ip_address

import pytest

from exavrrp.virtual_address import VirtualAddress


def test_an_ipv4_address_is_never_preferred() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.53 is an IPv4 address, which is never a source"):
        VirtualAddress(ip_address("192.0.2.53"), preferred=True)
    assert VirtualAddress(ip_address("2001:db8:53::1"), preferred=True).preferred


def test_by_default_it_is_listed_and_never_a_source() -> None:
    one = VirtualAddress(ip_address("192.0.2.53"))
    assert (one.preferred, one.listed) == (False, True)


def test_what_another_program_binds_is_not_preferred_by_us() -> None:
    with pytest.raises(ValueError, match="is bound by somebody else"):
        VirtualAddress(ip_address("2001:db8:53::1"), preferred=True, bind=False)
