"""Carries out the checks, each at its interval, and reports the results, which ``health`` evaluates.

``scheduling`` owns the timers, ``programs`` runs child processes, and ``probes`` runs probes, of the network
(``web`` for HTTP) or the kernel (``kernel``). Other packages use only the names that are exported here.
"""

from exavrrp.system.checks.outcome import Outcome, Result
from exavrrp.system.checks.preflight import preflight_error
from exavrrp.system.checks.scheduling import Checks

__all__ = ["Checks", "Outcome", "Result", "preflight_error"]
