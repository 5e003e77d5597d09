"""What text in exavrrp.toml stands for: addresses, what a check asks, and BGP communities.

Each function takes the text of one value and gives its meaning, or raises ValueError with a remedy that completes the
sentence "holds "…"; …". Nothing here knows of files, keys or other values.

Communities come out in the one spelling that ExaBGP 4.2 and 5.0 both read, so that nothing else can reach its API
lines.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from exavrrp.neighbors import Session
from exavrrp.virtual_address import GLOBAL, LO, MOST_LABEL, SCOPES
from exavrrp.vrrp.packet import Address

COMMUNITIES = {
    "no-export": "no-export",
    "no-advertise": "no-advertise",
    "no-export-subconfed": "no-export-subconfed",
    "no-peer": "no-peer",
    "blackhole": "blackhole",
    # RFC 8326; ExaBGP does not know the name.
    "graceful-shutdown": "65535:0",
}
"""Well-known names → what ExaBGP reads."""

_ENDPOINT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*)):(?P<port>[0-9]{1,5})")
_URL = re.compile(r"(?P<scheme>https?)://(?P<place>[^/?#]*)(?P<target>[/?][!-\"$-~]*)?", re.IGNORECASE | re.ASCII)
"""ASCII: otherwise the Kelvin sign is taken for a k, and the long s of an "httpſ" for an s."""

_COMMUNITY = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")
_LARGE_COMMUNITY = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})")


_QUANTITY = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?)\s*([a-z]*)", re.ASCII)
UNITS = {"": 1, "ms": 0.001, "s": 1, "sec": 1, "secs": 1, "seconds": 1, "m": 60, "min": 60, "h": 3600}
"""In seconds."""

_ANSWERS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def quantity(text: str) -> bool | float | None:
    """What somebody meant who wrote ``7``, ``100ms``, ``0,5`` or ``no``: a number, seconds, true or false."""
    if text.lower() in _ANSWERS:
        return _ANSWERS[text.lower()]
    found = _QUANTITY.fullmatch(text)
    if found is None or found[2] not in UNITS:
        return None
    number = round(float(found[1].replace(",", ".")) * UNITS[found[2]], 6)
    return int(number) if number == int(number) else number


@functools.lru_cache(maxsize=1024)
def address(text: str) -> Address:
    """An address without length and scope. Always the same object for one text: it is compared sooner."""
    head, slash, _ = text.partition("/")
    try:
        found = ip_address(head)
    except ValueError:
        named = "; names are not resolved" if re.fullmatch(r"[A-Za-z][\w.-]*", head) else ""
        raise ValueError(f'write an address such as "2001:db8::1" or "192.0.2.1"{named}') from None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise ValueError("remove the scope (from % on): adverts and routes are not bound to one link")
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        raise ValueError(f'this is an IPv4 address in IPv6 notation; write "{found.ipv4_mapped}"')
    if slash:
        raise ValueError(f'write "{found}" without a length')
    return found


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection goes to."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """What an HTTP request asks for."""

    endpoint: Endpoint
    target: str
    """what stands in the request line: path and query, printable ASCII"""
    tls: bool

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.endpoint}{self.target}"


def endpoint(text: str) -> Endpoint:
    """An address and a port."""
    remedy = 'write an address and a port such as "[2001:db8::1]:443" or "192.0.2.1:443"'
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError(f"{remedy}; names are not resolved" if ":" in text else remedy)
    return Endpoint(_reached(found["six"], found["four"]), _port(found["port"]))


def url(text: str) -> Url:
    """An http or https URL whose host is an address: a check must not fail because name service does."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError('write a URL such as "http://[::1]:8080/health" or "https://192.0.2.1/"')
    tls, place, target = found["scheme"].lower() == "https", found["place"], found["target"] or "/"
    if "@" in place:
        raise ValueError("remove the user (up to @): checks do not log in")
    whole = place if re.search(r":[0-9]*$", place) and not place.endswith("]") else f"{place}:{443 if tls else 80}"
    parts = _ENDPOINT.fullmatch(whole)
    if parts is None:
        raise ValueError('write a URL such as "http://[::1]:8080/health" or "https://192.0.2.1/"')
    try:
        address_ = _reached(parts["six"], parts["four"])
    except ValueError as error:
        name = place.partition(":")[0]
        if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name) and not re.fullmatch(r"[0-9.]+", name):
            raise ValueError(f'write an address in place of the name, and host = "{name}" beside it') from None
        raise error from None
    return Url(Endpoint(address_, _port(parts["port"])), target if target.startswith("/") else f"/{target}", tls)


def _reached(six: str | None, four: str | None) -> Address:
    """An address that this host can connect to, its own included."""
    found = address(six if six is not None else four or "")
    if (found.version == 6) is (six is None):
        raise ValueError("only an IPv6 address stands in brackets; write it anew")
    if found.is_multicast or found.is_unspecified:
        raise ValueError("nobody can be connected to at this address; write a unicast address")
    if isinstance(found, IPv6Address) and found.is_link_local:
        raise ValueError("this is a link-local address, which is bound to one link; write another one")
    return found


def _port(text: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueError("write a port from 1 to 65535")
    return int(text)


def prefix(text: str) -> IPv4Network | IPv6Network:
    """The destination of a route."""
    if "%" in text:
        raise ValueError("remove the scope (from % on)")
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError('write a prefix such as "0.0.0.0/0", "192.0.2.0/24" or "2001:db8::/32"') from None
    length = text.partition("/")[2]
    if length and length != str(found.prefixlen):
        raise ValueError(f'write "{found}"')
    if found.network_address != ip_network(text.partition("/")[0]).network_address:
        raise ValueError(f'write "{found}": a route leads to a whole prefix')
    return found


def unicast(text: str) -> Address:
    """An address that one host can be reached at."""
    found = address(text)
    kind = None
    if found.is_unspecified or (isinstance(found, IPv4Address) and found.packed[0] == 0):
        kind = "the unspecified address"
    elif found.is_multicast:
        kind = "a multicast address"
    elif found.is_loopback:
        kind = "a loopback address, which no other host can reach"
    elif found == IPv4Address("255.255.255.255"):
        kind = "the broadcast address"
    if kind is not None:
        raise ValueError(f"this is {kind}; write a unicast address that is routed")
    return found


def session(text: str) -> Session:
    """A BGP neighbor, or one of several sessions to it: its address, or that and ours, as in exabgp.conf."""
    peer, word, local = text.partition(" from ")
    if "%" in text:
        raise ValueError(
            "remove the scope (from % on): ExaBGP knows a session by its two addresses;"
            ' write "fe80::1 from fe80::5", with the local-address of the neighbor in exabgp.conf'
        )
    if not word:
        return Session(unicast(text))
    found = Session(unicast(peer.strip()), unicast(local.strip()))
    if found.local is not None and found.peer.version != found.local.version:
        raise ValueError("both ends of a session are of one family; write two IPv4 or two IPv6 addresses")
    return found


def routed(text: str) -> Address:
    """A unicast address that is reachable from other links."""
    found = unicast(text)
    if found.is_link_local:
        raise ValueError("this is a link-local address, which is not routed; write a global or private address")
    return found


def scoped(source: Address, interface: str) -> Address:
    """A link-local address of ours, with the interface that it is on."""
    try:
        return IPv6Address(f"{source}%{interface}")
    except ValueError:
        raise ValueError("this cannot be the scope of a link-local address; write another interface") from None


def words(text: str) -> list[str]:
    """What a text says of a virtual address: the address, which may be empty, and what follows it."""
    return text.split() or [""]


def family(text: str) -> int:
    """The IP version of a virtual address, whatever follows it."""
    return routed(words(text)[0].partition("/")[0]).version


def virtual(text: str) -> Address:
    """A virtual address: routed, with no length or that of a host."""
    head, slash, length = text.partition("/")
    found = routed(head)
    if slash and length != str(found.max_prefixlen):
        raise ValueError(
            f'write "{found}/{found.max_prefixlen}": exactly the address is bound and announced, not its network'
        )
    return found


def on_link(text: str) -> tuple[Address, int | None]:
    """A virtual address on an interface, and the length of its prefix there; None: a host route."""
    head, slash, length = text.partition("/")
    found = routed(head)
    if not slash or length == str(found.max_prefixlen):
        return found, None
    if not re.fullmatch("[1-9][0-9]{0,2}", length) or int(length) > found.max_prefixlen:
        raise ValueError(f'write the length of the link\'s prefix, 1 to {found.max_prefixlen}: "{found}/…"')
    return found, int(length)


@dataclass(frozen=True, slots=True)
class Form:
    """What a text says of a virtual address."""

    address: Address
    length: int | None = None
    label: str | None = None
    scope: str | None = None
    preferred: bool | None = None
    """None: what its router says"""


def form(text: str, interface: str | None) -> Form:
    """A virtual address, and what it is to be on ``interface``, in the words of ip-address(8); None: bound nowhere."""
    head, *more = words(text)
    address, length = on_link(head) if interface not in {None, LO} else (virtual(head), None)
    said = dict(zip(more[::2], more[1::2], strict=False))
    if len(more) % 2 or 2 * len(said) != len(more) or not said.keys() <= _FORMS.keys():
        raise ValueError(
            f"write behind the address any of label NAME, scope {'|'.join(SCOPES)} and preferred_lft 0|forever, each"
            f' once: "{address} scope link"'
        )
    if wrong := [why for word, value in said.items() if (why := _FORMS[word](value, address, interface)) is not None]:
        raise ValueError("; ".join(wrong))
    label, scope, lifetime = said.get("label"), said.get("scope"), said.get("preferred_lft")
    return Form(
        address,
        length,
        label=None if label == interface else label,
        scope=None if scope == GLOBAL else scope,
        preferred=None if lifetime is None else lifetime == "forever",
    )


_Wrong = Callable[[str, Address, str | None], str | None]
"""What is wrong with a value, for this address on this interface."""


def _label(value: str, address: Address, interface: str | None) -> str | None:
    if interface is None:
        return "remove label: bind = false binds nothing"
    if address.version == 6:
        return "remove label, which IPv6 addresses do not have"
    printable = value.isascii() and value.isprintable()
    if len(value) > MOST_LABEL or not printable or value.partition(":")[0] != interface:
        return (
            f"write a label of at most {MOST_LABEL} printable ASCII characters that is the name of the interface, or"
            f' begins with "{interface}:"'
        )
    return None


def _scope(value: str, address: Address, interface: str | None) -> str | None:
    if interface is None:
        return "remove scope: bind = false binds nothing"
    if address.version == 6:
        return "remove scope, which of an IPv6 address follows from the address itself"
    if interface == LO:
        return "remove scope: on lo it is host, so that the host does not use the address as a source"
    return None if value in SCOPES else f"write as scope one of {', '.join(SCOPES)}"


def _lifetime(value: str, address: Address, interface: str | None) -> str | None:
    if interface is None:
        return "remove preferred_lft: bind = false binds nothing"
    if address.version == 4:
        return (
            'remove preferred_lft: the kernel does not look at that of IPv4 (on a link, "scope host" is never a source)'
        )
    return None if value in {"0", "forever"} else "write as preferred_lft 0 (never a source) or forever"


_FORMS: Mapping[str, _Wrong] = {"label": _label, "scope": _scope, "preferred_lft": _lifetime}


def community(text: str) -> str:
    """A standard community (RFC 1997) by name or as two 16-bit numbers."""
    if text in COMMUNITIES:
        return COMMUNITIES[text]
    numbers = _numbers(_COMMUNITY, text, 0xFFFF)
    if numbers is None:
        raise ValueError(
            'write two numbers from 0 to 65535 such as "65010:7" (larger ones need large_communities), '
            f"or one of {', '.join(COMMUNITIES)}"
        )
    return numbers


def large_community(text: str) -> str:
    """A large community (RFC 8092): three 32-bit numbers."""
    numbers = _numbers(_LARGE_COMMUNITY, text, 0xFFFFFFFF)
    if numbers is None:
        raise ValueError('write three numbers from 0 to 4294967295 such as "65010:1:2"')
    return numbers


def _numbers(pattern: re.Pattern[str], text: str, largest: int) -> str | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    numbers = [int(group) for group in found.groups()]
    return ":".join(map(str, numbers)) if max(numbers) <= largest else None
