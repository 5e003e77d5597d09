"""Whether the kernel will let this process do its work, asked at the start rather than at the first takeover."""

from pathlib import Path

NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""linux/capability.h: addresses on lo and SO_BINDTODEVICE; raw sockets."""


def missing(status: Path = Path("/proc/self/status")) -> list[str]:
    """The capabilities that this process needs and does not have in effect (proc(5), CapEff)."""
    effective = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    bits = int(effective.split()[1], 16)
    return [name for name, bit in NEEDED.items() if not bits >> bit & 1]
