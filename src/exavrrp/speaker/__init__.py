"""The BGP speaker's side of the agent: what we want announced, what came of it, and which sessions are up; pure.

``conversation`` puts the parts together: ``prefixes`` and ``prefix`` (what is desired against what was sent),
``variants`` (the order in ExaBGP's queues), ``channel`` (whose answer is it), ``neighbors`` (which sessions there are,
and who hears us), ``greeting`` and ``dialects`` (the words, and what answers mean); ``events`` is what comes of it.
``system.exabgp`` has the pipes. To add a dialect, subclass ``dialects.Dialect``.
"""

from exavrrp.speaker.conversation import Conversation
from exavrrp.speaker.events import (
    Answered,
    Configured,
    Event,
    Gone,
    Greeted,
    Listed,
    Neighbor,
    Odd,
    Reconfigured,
    Refused,
    Resumed,
    Silent,
    Stalled,
    Stopping,
)

__all__ = [
    "Answered",
    "Configured",
    "Conversation",
    "Event",
    "Gone",
    "Greeted",
    "Listed",
    "Neighbor",
    "Odd",
    "Reconfigured",
    "Refused",
    "Resumed",
    "Silent",
    "Stalled",
    "Stopping",
]
