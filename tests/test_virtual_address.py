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


def test_an_ipv4_address_may_have_a_label_and_on_a_link_a_scope() -> None:
    four, six = ip_address("192.0.2.53"), ip_address("2001:db8:53::1")
    assert VirtualAddress(four, label="lo:web").text == "192.0.2.53 label lo:web"
    one = VirtualAddress(four, interface="eth0", length=24, label="eth0:web", scope="link")
    assert one.text == "192.0.2.53/24 label eth0:web scope link"
    for address, bind in ((six, True), (four, False)):
        for label, scope in (("eth0:web", None), (None, "link")):
            with pytest.raises(ValueError, match=f"{address} has no label and no scope of its own"):
                VirtualAddress(address, bind=bind, interface="eth0", label=label, scope=scope)
    for interface, scope in (("lo", "link"), ("eth0", "nowhere")):
        with pytest.raises(ValueError, match=f"192.0.2.53 cannot have scope {scope} on {interface}"):
            VirtualAddress(four, interface=interface, scope=scope)


def test_only_on_a_link_an_address_has_a_prefix_of_its_own() -> None:
    one = VirtualAddress(ip_address("192.0.2.53"), interface="eth0", length=24)
    assert (one.on_link, one.prefix) == (True, 24)
    assert (VirtualAddress(one.address).on_link, VirtualAddress(one.address).prefix) == (False, 32)
    assert VirtualAddress(one.address, interface="eth0").prefix == 32
    assert not VirtualAddress(one.address, bind=False, interface="eth0").on_link
    assert one.shares_prefix
    assert not VirtualAddress(one.address, bind=False, interface="eth0", length=24).shares_prefix
    assert not VirtualAddress(one.address, interface="eth0").shares_prefix
    assert not VirtualAddress(ip_address("2001:db8:53::1"), interface="eth0", length=64).shares_prefix
    for interface, length in (("lo", 24), ("eth0", 0), ("eth0", 33)):
        with pytest.raises(ValueError, match=f"192.0.2.53 cannot be bound to {interface} as /{length}"):
            VirtualAddress(one.address, interface=interface, length=length)
