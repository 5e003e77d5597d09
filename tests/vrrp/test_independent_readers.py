"""What we send, read by others: scapy's dissector and Wireshark's, which share no code with ours or with each other.

Both know the IPv4 checksum with a pseudo-header as the one of VRRPv3; for the form of RFC 9568 scapy gives the plain
sum, and tshark has a preference.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet, Raw
from scapy.utils import checksum, wrpcap

from exavrrp.vrrp.packet import PROTOCOL, Address, Advertisement, Ipv4Checksum, encode


@dataclass(frozen=True)
class Sent:
    """One advert as it leaves."""

    advertisement: Advertisement
    source: Address
    destination: Address
    form: Ipv4Checksum = Ipv4Checksum.PSEUDO_HEADER

    @property
    def payload(self) -> bytes:
        return encode(self.advertisement, self.source, self.destination, self.form)

    @property
    def packet(self) -> Packet:
        """The payload behind headers that scapy makes."""
        ends = {"src": str(self.source), "dst": str(self.destination)}
        if self.source.version == 4:
            return IP(**ends, proto=PROTOCOL, ttl=255) / Raw(self.payload)
        return IPv6(**ends, nh=PROTOCOL, hlim=255) / Raw(self.payload)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(map(ip_address, texts))


def sent(advertisement: Advertisement, form: Ipv4Checksum = Ipv4Checksum.PSEUDO_HEADER) -> Sent:
    """``advertisement`` between two addresses of its family."""
    if advertisement.addresses[0].version == 4:
        return Sent(advertisement, ip_address("192.0.2.11"), ip_address("192.0.2.12"), form)
    return Sent(advertisement, ip_address("2001:db8::11"), ip_address("2001:db8::12"), form)


ADVERTS = {
    "ipv4": sent(Advertisement(7, 150, 10, addresses("198.51.100.1", "198.51.100.2", "203.0.113.9"))),
    "ipv4 leaving": sent(Advertisement(255, 0, 4095, addresses("198.51.100.1"))),
    "ipv4 rfc9568": sent(Advertisement(7, 255, 100, addresses("198.51.100.1", "203.0.113.9")), Ipv4Checksum.RFC9568),
    "ipv6": sent(Advertisement(7, 150, 10, addresses("2001:db8:53::1"))),
    "ipv6 long": sent(Advertisement(1, 1, 1, addresses(*(f"2001:db8:53::{n:x}" for n in range(1, 90))))),
    "ipv6 leaving": sent(Advertisement(255, 0, 4095, addresses("2001:db8:53::1", "2001:db8:53::2"))),
}

each_advert = pytest.mark.parametrize("advert", ADVERTS.values(), ids=ADVERTS)


@each_advert
def test_scapy_reads_the_fields(advert: Sent) -> None:
    dissected = type(advert.packet)(bytes(advert.packet))
    vrrp, said = dissected[VRRPv3], advert.advertisement
    assert (vrrp.version, vrrp.type, vrrp.res) == (3, 1, 0)
    assert (vrrp.vrid, vrrp.priority, vrrp.adv, vrrp.ipcount) == (
        said.vrid,
        said.priority,
        said.centiseconds,
        len(said.addresses),
    )
    assert tuple(map(ip_address, vrrp.addrlist)) == said.addresses
    assert not vrrp.payload, "bytes that belong to nothing"


@each_advert
def test_scapy_computes_the_same_checksum(advert: Sent) -> None:
    dissected = type(advert.packet)(bytes(advert.packet))
    vrrp = dissected[VRRPv3]
    ours = vrrp.chksum
    if advert.form is Ipv4Checksum.RFC9568:
        blank = advert.payload[:6] + b"\0\0" + advert.payload[8:]
        assert ours == checksum(blank)
        assert ours != in4_chksum(PROTOCOL, dissected, blank), "the example must tell the two forms apart"
    else:
        del vrrp.chksum
        assert type(dissected)(bytes(dissected))[VRRPv3].chksum == ours


@pytest.fixture(scope="session")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None and os.environ.get("CI"):
        pytest.fail("tshark is missing, and CI is not the place to do without")
    if found is None:
        pytest.skip("tshark is missing: nobody but scapy has read what we send")
    return found


@each_advert
def test_tshark_reads_the_fields_and_finds_the_checksum_good(advert: Sent, tshark: str, tmp_path: Path) -> None:
    capture = tmp_path / "sent.pcap"
    wrpcap(str(capture), Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / advert.packet)
    said = advert.advertisement
    expected = {
        "vrrp.version": "3",
        "vrrp.type": "1",
        "vrrp.virt_rtr_id": str(said.vrid),
        "vrrp.prio": str(said.priority),
        "vrrp.addr_count": str(len(said.addresses)),
        "vrrp.reserved_mbz": "0",
        "vrrp.short_adver_int": str(said.centiseconds),
        "vrrp.checksum.status": "1",
        "vrrp.ip_addr" if advert.source.version == 4 else "vrrp.ipv6_addr": ",".join(map(str, said.addresses)),
        "_ws.expert.message": "",
    }
    assert read_with_tshark(tshark, capture, list(expected), advert.form) == expected


def read_with_tshark(tshark: str, capture: Path, fields: list[str], form: Ipv4Checksum) -> dict[str, str]:
    """The fields of the only packet in ``capture``; several values of a field come with commas between them."""
    plain = "TRUE" if form is Ipv4Checksum.RFC9568 else "FALSE"
    wanted = [word for field in fields for word in ("-e", field)]
    command = [tshark, "-n", "-r", str(capture), "-o", f"vrrp.v3_checksum_as_in_v2:{plain}", "-T", "fields", *wanted]
    (line,) = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return dict(zip(fields, line.split("\t"), strict=True))
