"""VRRPv3 failover for routed data centres, run as an ExaBGP process.

The house, from the top floor down: ``cli`` (commands) → ``agent`` (wiring) → ``system`` (everything that touches
the operating system) → ``config`` → ``presence``, ``health``, ``routes`` (pure policy) → ``vrrp`` (pure protocol).
A module imports only what stands below it.
"""

__version__ = "0.1.0.dev0"
