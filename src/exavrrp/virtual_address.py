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

    def __post_init__(self) -> None:
        if self.preferred and self.address.version == 4:
            raise ValueError(f"{self.address} is an IPv4 address, which is never a source")
        if self.preferred and not self.bind:
            raise ValueError(f"{self.address} is bound by somebody else, who says whether it is a source")
        if self.length is not None and (self.interface == LO or not 1 <= self.length <= self.address.max_prefixlen):
            raise ValueError(f"{self.address} cannot be bound to {self.interface} as /{self.length}")

    @property
    def on_link(self) -> bool:
        """Whether neighbors ask for it, by ARP or neighbor solicitations, and have to learn who has it."""
        return self.bind and self.interface != LO

    @property
    def shares_prefix(self) -> bool:
        """Whether the kernel may take it for a younger or the oldest address of an IPv4 prefix there."""
        return self.on_link and self.address.version == 4 and self.prefix != 32

    @property
    def prefix(self) -> int:
        """The length of its prefix."""
        return self.address.max_prefixlen if self.length is None else self.length
