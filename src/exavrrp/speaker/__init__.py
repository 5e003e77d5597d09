"""The BGP speaker's side of the agent: the desired routes, ExaBGP's answers, and the sessions that are up; pure.

``conversation`` puts the parts together: ``prefixes`` and ``prefix`` (what is desired against what was sent),
``variants`` (the order in ExaBGP's queues), ``channel`` (which command an answer is to), ``neighbors`` (which sessions
there are, and which neighbors get our routes), ``greeting`` and ``dialects`` (commands and answers); ``events`` is
what it reports.
``system.exabgp`` has the pipes. To add a dialect, subclass ``dialects.Dialect``.
"""

from exavrrp.speaker.conversation import Conversation
from exavrrp.speaker.events import (
    Anomaly,
    Answered,
    Configured,
    Disconnected,
    Doubted,
    Event,
    Greeted,
    Kept,
    Listed,
    Neighbor,
    Reconfigured,
    Refused,
    Resumed,
    Silent,
    Stalled,
    Stopping,
)

__all__ = [
    "Anomaly",
    "Answered",
    "Configured",
    "Conversation",
    "Disconnected",
    "Doubted",
    "Event",
    "Greeted",
    "Kept",
    "Listed",
    "Neighbor",
    "Reconfigured",
    "Refused",
    "Resumed",
    "Silent",
    "Stalled",
    "Stopping",
]
