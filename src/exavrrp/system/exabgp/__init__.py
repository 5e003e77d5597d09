"""ExaBGP's API on stdin and stdout: what we want announced, what came of it, and which neighbours are up.

``conversation`` decides what is said and what an answer means (pure; no descriptors, no clock); ``pipes`` owns the two
descriptors and the event loop's side. Everybody else needs only what is named here.
"""

from exavrrp.system.exabgp.conversation import (
    Answered,
    Event,
    Gone,
    Greeted,
    Neighbor,
    Odd,
    Refused,
    Resumed,
    Silent,
    Stalled,
    Stopping,
)
from exavrrp.system.exabgp.pipes import ExaBGP

__all__ = [
    "Answered",
    "Event",
    "ExaBGP",
    "Gone",
    "Greeted",
    "Neighbor",
    "Odd",
    "Refused",
    "Resumed",
    "Silent",
    "Stalled",
    "Stopping",
]
