"""A check for tests: one result decides, without a second run."""

from typing import Any

from exavrrp.config import Check
from exavrrp.config.kinds import Probe
from exavrrp.health import Initial

LONG = 600.0
"""Seconds that no test waits for."""


def check(probe: Probe, *, name: str = "it", interval: float = LONG, **options: Any) -> Check:
    """With these settings, as ``exavrrp.toml`` has them."""
    usual: dict[str, Any] = {"timeout": LONG, "rise": 1, "fall": 1, "weight": 0, "reverse": False}
    usual |= {"fast_interval": interval, "initial": Initial.FAIL}
    return Check(name=name, probe=probe, interval=interval, **(usual | options))
