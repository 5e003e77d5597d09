"""Input from checked services, files and the kernel."""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from exavrrp import control
from exavrrp.codes import CODES
from exavrrp.config import KeyFile, notation
from exavrrp.config.kinds import Http
from exavrrp.system import examination, keys, netlink, speakerfile
from exavrrp.system.addresses import concerns_loopback, is_local, read_addresses, read_link, vrf
from exavrrp.system.checks import kernel, programs, web
from exavrrp.system.paths import group_members, read_next_hop, read_route
from exavrrp.system.vxlan import read_device
from exavrrp.vrrp import auth
from tests.fuzz.choices import Choices
from tests.fuzz.reader import Reader, scratch


def response(data: bytes) -> None:
    """The answer of an HTTP server, in pieces; the first byte chooses what is looked for, the second their size."""
    choices = Choices(data)
    contains = (None, "is well", "x" * 30, "é")[choices.number(4)]
    size = 1 + choices.number(256)
    answer = web.Answer(Http(notation.url("http://[::1]/"), contains=contains, tls_verify=None))
    answer.request()
    outcome = None
    while choices and outcome is None:
        outcome = answer.feed(choices.take(size))
        assert len(answer.body) <= web.MOST_READ
    outcome = outcome or answer.feed(b"")
    assert outcome is not None, "the server has gone, and the check waits"
    assert outcome.detail.isprintable()


def _responses() -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\n"
    return [
        b"\0\xff" + head + b"\r\n",
        b"\1\x08" + head + b"Content-Length: 12\r\n\r\nit is well.\n",
        b"\1\xff" + head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nit is\r\n6;a=b\r\n well.\r\n0\r\nA: b\r\n\r\n",
        b"\1\x03" + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 No\r\nA:\r\n b\r\n\r\n",
        b"\2\xff" + b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + b"x" * 40,
    ]


def key(data: bytes) -> None:
    """Any content of a key file. No message may repeat it."""
    path = scratch() / "key"
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        assert auth.SHORTEST_KEY <= len(keys.read(KeyFile(str(path)))) <= auth.LONGEST_KEY
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert refusal.isprintable()
    assert not any(word in refusal for word in data.decode("ascii", "replace").split() if len(word) > 16)


def _keys() -> list[bytes]:
    return [b"hex:" + b"ab" * 32 + b"\n", b"hex:" + b"0F" * 64, b"ab" * 32, b"hex:" + b"abc" * 33 + b"\r\n"]


def told(data: bytes) -> None:
    """Text from files, programs and people."""
    number = kernel.number(data[: kernel.NUMBER_BYTES])
    assert number.passed is (number.value is not None)
    assert number.detail.isprintable()
    assert programs.last_line(data).isprintable()
    text = data.decode("utf-8", "replace")
    meanings: list[Callable[[str], object]] = [
        *(notation.address, notation.unicast, notation.routed, notation.virtual, notation.prefix, notation.endpoint),
        *(notation.url, notation.community, notation.large_community, control.duration),
    ]
    for meaning in meanings:
        with suppress(ValueError):
            found = str(meaning(text))
            assert found.isascii()
            assert found.isprintable()


def _texts() -> list[bytes]:
    return [
        *(b"-12\n", b"192.0.2.1", b"2001:db8::1/128", b"0.0.0.0/0", b"[::1]:80", b"https://[::1]:8443/a?b", b"65010:1"),
        *(b"1:2:3", b"http://name:80/", b"no-export", b"1h30m", b"a\nb\r\n\n", b"fe80::1%a"),
    ]


def rtnetlink(data: bytes) -> None:
    """Messages of the kernel's."""
    ends = 0
    for offset, _, _, _ in netlink.messages(data):
        assert offset >= ends
        ends = offset + netlink.HEADER.size
        assert ends <= len(data)
        with suppress(OSError):
            netlink.raise_error(data, offset)
        for length in (0, 24):
            assert kernel.is_route(data, offset, bytes(4), length) in {True, False}
        body = data[offset + netlink.HEADER.size :]
        for read in (read_route, read_next_hop, lambda data: vrf(1, read_link(data)[1])):
            with suppress(OSError):
                read(body)
        with suppress(OSError):
            assert read_device(body, 2, [body], ()).mtu >= 0
        is_local(data[offset:])
    assert len(list(read_addresses(data))) <= len(data) // netlink.HEADER.size
    assert len(group_members(data)) == len(data) // 8
    if len(data) >= 32:
        concerns_loopback(data[:32])


def _netlink_messages() -> list[bytes]:
    def message(kind: int, flags: int, body: bytes) -> bytes:
        return netlink.HEADER.pack(netlink.HEADER.size + len(body), kind, flags, 1, 0) + body

    head = struct.pack("=8BI", 2, 24, 0, 0, 254, 3, 0, 1, 0)
    route = head + netlink.attribute(1, bytes(4)) + netlink.attribute(4, struct.pack("=I", 2))
    link = struct.pack("=BxHiII", 0, 1, 2, 0x41, 0) + netlink.attribute(3, b"eth0\0")
    ends = netlink.attribute(4, bytes([192, 0, 2, 1])) + netlink.attribute(3, struct.pack("=I", 1))
    tunnel = link + netlink.attribute(18, netlink.attribute(1, b"vxlan\0") + netlink.attribute(2, ends))
    entry = struct.pack("=B3xiHBB", 7, 2, 0x80, 2, 0) + netlink.attribute(2, bytes(6)) + netlink.attribute(1, bytes(16))
    held = struct.pack("=BBBBI", 10, 128, 0, 0, 1) + netlink.attribute(1, ip_address("2001:db8::12").packed)
    held += netlink.attribute(8, struct.pack("=I", 0x80))
    refusal = (
        struct.pack("=i", -13) + netlink.HEADER.pack(60, 20, 5, 1, 0) + netlink.attribute(1, b"IPv6 is disabled\0")
    )
    return [
        message(24, 2, route) + message(3, 2, bytes(4)),
        message(16, 0, link),
        message(16, 0, tunnel),
        message(28, 2, entry),
        message(20, 2, held),
        message(2, 0x300, refusal),
        message(2, 0, struct.pack("=i", -17) + bytes(16)),
    ]


def ruleset(data: bytes) -> None:
    """What nft(8) prints with --json."""
    for rule in examination.drops(data.decode("utf-8", "replace")):
        assert "protocol 112" in rule


def exabgp_file(data: bytes) -> None:
    """ExaBGP's configuration."""
    for finding in speakerfile.judged("x", data.decode("utf-8", "replace"), (4, 6), ("web",)):
        assert finding.code in CODES


def _exabgp_files() -> list[bytes]:
    directory = Path(__file__).resolve().parents[2] / "exabgp"
    bad = b"template { neighbor t { hold-time x; api { processes-match [ ^e ]; } } } neighbor a { inherit [ t u ]; "
    return [*(file.read_bytes() for file in sorted(directory.glob("exabgp-*.conf"))), bad]


def _rulesets() -> list[bytes]:
    match = b'{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": %s}}'
    rule = b'{"nftables": [{"metainfo": {}}, {"rule": {"table": "t", "chain": "c", "expr": [%s, {"drop": null}]}}]}'
    return [rule % (match % right) for right in (b'"vrrp"', b"112", b'{"set": [112, "esp"]}')]


READERS: Mapping[str, Reader] = {
    "response": Reader(response, _responses),
    "key": Reader(key, _keys, longest=256),
    "told": Reader(told, _texts, longest=128),
    "rtnetlink": Reader(rtnetlink, _netlink_messages, longest=512),
    "ruleset": Reader(ruleset, _rulesets),
    "exabgp-file": Reader(exabgp_file, _exabgp_files),
}
