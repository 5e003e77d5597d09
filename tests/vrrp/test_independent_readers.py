"""Our packets, read by scapy and Wireshark, which share no code with us or with each other.

Both know the IPv4 checksum with a pseudo-header as the one of VRRPv3; for the form of RFC 9568 scapy gives the plain
sum, and tshark has a preference. Neither knows the authentication trailer: they find the advert that they know, and
bytes behind it.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet, Raw
from scapy.utils import checksum, wrpcap

from exavrrp.vrrp.auth import Key, sequence, sign
from exavrrp.vrrp.packet import PROTOCOL, Address, Advertisement, Ipv4Checksum, encode


@dataclass(frozen=True)
class Sent:
    """One advert as it leaves."""

    advertisement: Advertisement
    source: Address
    destination: Address
    form: Ipv4Checksum = Ipv4Checksum.PSEUDO_HEADER
    signed: bool = False

    @property
    def payload(self) -> bytes:
        return encode(
            self.advertisement, self.source, self.destination, self.form, self._trailer if self.signed else None
        )

    def _trailer(self, message: bytes) -> bytes:
        key = Key(1, bytes(range(32)))
        return bytes(sign(key, sequence(1_800_000_000.5), self.source, message))

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
ADVERTS |= {f"{name} signed": replace(advert, signed=True) for name, advert in ADVERTS.items() if "leaving" not in name}

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
    assert len(vrrp.payload) == (28 if advert.signed else 0), "bytes that belong to nothing"
    assert bytes(vrrp.payload) == advert.payload[len(advert.payload) - len(vrrp.payload) :]


@each_advert
def test_scapy_computes_the_same_checksum(advert: Sent) -> None:
    dissected = type(advert.packet)(bytes(advert.packet))
    vrrp = dissected[VRRPv3]
    ours = vrrp.chksum
    if advert.signed and advert.source.version == 6:
        # What the kernel and everybody else sums (RFC 8200 §8.1); scapy's own VRRPv3 would forget what follows it.
        assert in6_chksum(PROTOCOL, dissected, advert.payload) == 0
    elif advert.form is Ipv4Checksum.RFC9568:
        message = advert.payload[: 8 + 4 * len(advert.advertisement.addresses)]
        blank = message[:6] + b"\0\0" + message[8:]
        assert ours == checksum(blank)
        assert ours != in4_chksum(PROTOCOL, dissected, blank), "the example must tell the two forms apart"
    else:
        vrrp.remove_payload()
        if advert.signed:
            del dissected.len  # it would tell scapy to sum the trailer, too
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
    # tshark sums whatever is in the packet; the IPv4 checksum of a signed advert leaves the trailer out.
    summed = advert.source.version == 6 or not advert.signed
    expected = {
        "vrrp.version": "3",
        "vrrp.type": "1",
        "vrrp.virt_rtr_id": str(said.vrid),
        "vrrp.prio": str(said.priority),
        "vrrp.addr_count": str(len(said.addresses)),
        "vrrp.reserved_mbz": "0",
        "vrrp.short_adver_int": str(said.centiseconds),
        "vrrp.checksum.status": "1" if summed else "0",
        "vrrp.ip_addr" if advert.source.version == 4 else "vrrp.ipv6_addr": ",".join(map(str, said.addresses)),
        "_ws.expert.message": "" if summed else "Bad checksum",
    }
    read = read_with_tshark(tshark, capture, list(expected), advert.form)
    read["_ws.expert.message"] = read["_ws.expert.message"].partition(" [should be")[0]
    assert read == expected


def read_with_tshark(tshark: str, capture: Path, fields: list[str], form: Ipv4Checksum) -> dict[str, str]:
    """The fields of the only packet in ``capture``; several values of a field come with commas between them."""
    plain = "TRUE" if form is Ipv4Checksum.RFC9568 else "FALSE"
    wanted = [word for field in fields for word in ("-e", field)]
    command = [tshark, "-n", "-r", str(capture), "-o", f"vrrp.v3_checksum_as_in_v2:{plain}", "-T", "fields", *wanted]
    (line,) = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return dict(zip(fields, line.split("\t"), strict=True))
