"""What one virtual address is: how this host is to have it, and how others are told of it; pure.

It is on lo, on an interface with neighbors that ask for it, or a matter of another program. What announces it is a
matter of its router: one prefix may contain several addresses, and one address may be in several prefixes.

Who asks what is there, or whose it is, means the bare address, whatever form it has. It must not know of netlink
(``system.addresses``), or of when an address is wanted (``presence``).
"""

from dataclasses import dataclass

from exavrrp.vrrp.packet import Address

LO = "lo"
"""The interface of an address that nobody asks for: packets come by routes alone."""
GLOBAL, SCOPES = "global", {"global": 0, "site": 200, "link": 253, "host": 254}
"""RT_SCOPE_* of linux/rtnetlink.h by their names in iproute2."""
MOST_LABEL = 15
"""Characters: IFNAMSIZ is 16 with the terminating zero."""


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """One virtual address. Raises ValueError."""

    address: Address
    preferred: bool = False
    """whether the host may choose it as the source of its own connections, for ever (preferred lifetime); IPv6 only

    Nothing between never and for ever: the kernel would count a lifetime down from when it was bound or put right last.
    """
    listed: bool = True
    """whether adverts list it"""
    bind: bool = True
    """whether this host is to have it while its router serves; if not, nothing of it on this host is ours"""
    interface: str = LO
    """where it is bound"""
    length: int | None = None
    """of its prefix there; None: a host route, as always on lo"""
    label: str | None = None
    """what it is called there, IPv4 only; None: as the interface"""
    scope: str | None = None
    """on a link, IPv4 only: one of ``SCOPES``, which says for which destinations it may be a source; None: global"""

    def __post_init__(self) -> None:
        if self.preferred and self.address.version == 4:
            raise ValueError(f"{self.address} is an IPv4 address, which is never a source")
        if self.preferred and not self.bind:
            raise ValueError(f"{self.address} is bound by somebody else, who says whether it is a source")
        if self.length is not None and (self.interface == LO or not 1 <= self.length <= self.address.max_prefixlen):
            raise ValueError(f"{self.address} cannot be bound to {self.interface} as /{self.length}")
        if (self.label or self.scope) and not (self.bind and self.address.version == 4):
            raise ValueError(f"{self.address} has no label and no scope of its own")
        if self.scope is not None and (self.interface == LO or self.scope not in SCOPES):
            raise ValueError(f"{self.address} cannot have scope {self.scope} on {self.interface}")

    @property
    def on_link(self) -> bool:
        """Whether neighbors ask for it, by ARP or neighbor solicitations, and have to learn who has it."""
        return self.bind and self.interface != LO

    @property
    def shares_prefix(self) -> bool:
        """Whether the kernel may take it for a younger or the oldest address of an IPv4 prefix there."""
        return self.on_link and self.address.version == 4 and self.prefix != 32

    @property
    def text(self) -> str:
        """As the configuration has it, without what its router says of all."""
        length = "" if self.length is None else f"/{self.length}"
        words = (("label", self.label), ("scope", self.scope))
        return f"{self.address}{length}" + "".join(f" {word} {value}" for word, value in words if value is not None)

    @property
    def prefix(self) -> int:
        """The length of its prefix."""
        return self.address.max_prefixlen if self.length is None else self.length
