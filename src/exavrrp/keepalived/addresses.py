"""Addresses of a virtual router: its own, its peers', and the virtual ones, which are bound to lo or stay on a link."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

from exavrrp.config import notation
from exavrrp.keepalived.ledger import Ledger, Verdict, nothing, other, printable, same
from exavrrp.keepalived.reading import Directive
from exavrrp.vrrp.packet import Address

FULL = {4: 32, 6: 128}
_VALUED = ("brd", "broadcast", "dev", "scope", "label", "peer", "preferred_lft", "track_group")
"""Options of a virtual address with a value; all others are flags."""


@dataclass(slots=True)
class Virtual:
    """The virtual addresses of one router."""

    ledger: Ledger
    interface: str | None
    """of the router"""
    on_link: bool = False
    """whether addresses stay on the interface on which keepalived has them"""
    bind: str | None = None
    """that interface, once it is known; None on lo"""
    listed: list[Address] = field(default_factory=list)
    unlisted: list[Address] = field(default_factory=list)
    verdicts: list[tuple[Directive, Verdict]] = field(default_factory=list)
    """of the blocks and their lines, if there is a router"""
    sources: dict[Address, bool] = field(default_factory=dict)
    """of each IPv6 address, whether the host may use it as a source (``preferred_lft``)"""
    words: dict[Address, str] = field(default_factory=dict)
    """of each address on a link, the length of its prefix, label and scope"""

    @property
    def family(self) -> int | None:
        """4 or 6; None without an address."""
        return next((one.version for one in (*self.listed, *self.unlisted)), None)

    @property
    def preferred(self) -> bool:
        """Whether the host may use each of them as a source."""
        return set(self.sources.values()) == {True}

    def texts(self, addresses: list[Address]) -> list[str]:
        """As the configuration has them; what is said of all is not said of each."""
        some = set() if self.preferred else {one for one, source in self.sources.items() if source}
        return [f"{one}{self.words.get(one, '')}{' preferred_lft forever' if one in some else ''}" for one in addresses]

    def take(self, block: Directive) -> None:
        """One block ``virtual_ipaddress`` or ``virtual_ipaddress_excluded``."""
        excluded = block.name.endswith("_excluded")
        key = "unlisted_addresses" if excluded else "addresses"
        self.verdicts.append((block, same(key)))
        for line in block.children:
            address = self._address(line)
            if address is not None:
                (self.unlisted if excluded else self.listed).append(address)
                self._placed(line, key, address)

    def note(self) -> None:
        """Note what has become of all lines."""
        for directive, verdict in self.verdicts:
            self.ledger.note(directive, verdict)

    def _address(self, line: Directive) -> Address | None:
        """The address of a line that is taken over; None after a mistake, which is noted, and for all else."""
        head = line.name.partition("/")[0]
        try:
            ip_address(head)
            ip_interface(line.name)
        except ValueError:
            self.ledger.fault(line, 'is no address; write one such as "192.0.2.53/32"')
            return None
        try:
            address = notation.routed(head)
        except ValueError as error:
            self.verdicts.append((line, nothing(str(error))))
            return None
        if address in (*self.listed, *self.unlisted):
            why = f"{address} stands twice"
        elif self.family not in (None, address.version):
            why = (
                "is of the other family: nearest is a virtual router of its own with the same group, which all nodes"
                " need at the same time"
            )
        elif self.on_link and (self.listed or self.unlisted) and self._link(list(line.arguments)) != self.bind:
            why = (
                f"the others are on {printable(self.bind or 'lo')}: nearest is a virtual router of its own with the"
                " same group, which all nodes need at the same time"
            )
        else:
            return address
        self.verdicts.append((line, nothing(why)))
        return None

    def _link(self, options: list[str]) -> str | None:
        """The interface on which an address stays; None: it is on lo, or it is not known where keepalived has it."""
        device = _value(options, "dev") or self.interface
        return None if device == "lo" else device

    def _placed(self, line: Directive, key: str, address: Address) -> None:
        """Note where the address was, and where it is."""
        options = list(line.arguments)
        if self.on_link:
            self.bind = self._link(list(options))
        device = _value(options, "dev") or self.interface or "the default interface"
        lifetime = _value(options, "preferred_lft") or ""
        length = ip_interface(line.name).network.prefixlen
        if address.version == 6:
            self.sources[address] = (lifetime or ("forever" if length != FULL[6] else "")) == "forever"
        if lifetime and (address.version == 4 or lifetime not in {"0", "forever"}):
            options += ["preferred_lft", lifetime]
        if device == "lo" and length == FULL[address.version] and not set(options) - {"no_track"}:
            self.verdicts.append((line, same(f"{key}: on lo while Active, and announced by ExaBGP")))
            return
        if self.bind is not None:
            self.words[address] = f"/{length}"
            for word in ("label", "scope") if address.version == 4 else ():
                if (value := _value(options, word)) is not None:
                    self.words[address] += f" {word} {value}"
            options = [word for word in options if word != "no_track"]
            lost = f"; without {printable(' '.join(options))}" if options else ""
            told = f"{key}: on {printable(self.bind)} while Active, as before{lost}"
            self.verdicts.append((line, other(told) if lost else same(told)))
            return
        asked = "neighbor discovery" if address.version == 6 else "ARP"
        without = f"; without {printable(' '.join(options))}" if options else ""
        told = (
            f"{key}: on lo as /{FULL[address.version]} and announced by ExaBGP, not on {printable(device)} with"
            f" /{length}: check that whoever asked for it by {asked} has a route to it, or"
            f" import --on-link{without}"
        )
        self.verdicts.append((line, other(told)))


def _value(options: list[str], name: str) -> str | None:
    """The value of an option, which is taken out of ``options``."""
    at = 0
    while at < len(options):
        if options[at] == name and at + 1 < len(options):
            found = options[at + 1]
            del options[at : at + 2]
            return found
        at += 2 if options[at] in _VALUED else 1
    return None


def peers(ledger: Ledger, block: Directive) -> list[Address]:
    """``unicast_peer``."""
    found: list[Address] = []
    ledger.note(block, same("peers"))
    for line in block.children:
        if (address := own(ledger, line, line.name)) is None:
            continue
        if address in found:
            ledger.left(line, f"{address} stands twice")
            continue
        found.append(address)
        if line.arguments:
            limit = printable(" ".join(line.arguments))
            ledger.note(line, other(f"peers; without {limit}: nearest is max_hops in [agent], 255 less the least TTL"))
        else:
            ledger.note(line, same("peers"))
    return found


def own(ledger: Ledger, directive: Directive, text: str) -> Address | None:
    """A node's address; None after a mistake."""
    try:
        return notation.unicast(text)
    except ValueError as error:
        ledger.fault(directive, f'holds "{printable(text)}"; {error}')
        return None
