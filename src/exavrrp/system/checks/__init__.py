"""Carries out the checks, each at its interval, and tells what came of it; what that means is ``health``'s matter.

``scheduling`` says when, ``programs`` runs child processes, ``probes`` asks without one: over the network (``web`` for
HTTP) or the kernel (``kernel``). Everybody else needs only what is named here.
"""

from exavrrp.system.checks.outcome import Outcome, Result
from exavrrp.system.checks.preflight import preflight_error
from exavrrp.system.checks.scheduling import Checks

__all__ = ["Checks", "Outcome", "Result", "preflight_error"]
