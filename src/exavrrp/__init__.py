"""VRRPv3 failover for routed data centres, run as an ExaBGP process.

From the top down: ``cli`` (commands) → ``agent`` (opens the real ports) → ``node`` (everything that one machine
decides) and ``system`` (everything that touches the operating system) → ``config`` → ``presence``, ``health``,
``routes`` (pure policy) → ``vrrp`` (pure protocol). A module imports only modules that stand below it; CONTRIBUTING.md
has the whole map.
"""

__version__ = "0.1.0.dev0"
