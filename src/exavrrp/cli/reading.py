"""Reads the configuration for the commands that need all of it."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from exavrrp.cli.output import fail
from exavrrp.config import STATE_DIRECTORY, ConfigError, Configuration, Place, load, state_directory
from exavrrp.config.kinds import Probe
from exavrrp.vrrp.packet import Address


def loaded(
    path: Path,
    local_addresses: Callable[[], Collection[Address]] | None = None,
    preflight_error: Callable[[Probe], tuple[str, str] | None] | None = None,
    secrets: Callable[[Place], bytes] | None = None,
    *,
    node: str | None = None,
) -> Configuration:
    """As ``load`` on this host; a file with mistakes ends the command."""
    try:
        return load(path, local_addresses, preflight_error, secrets, node=node, host=os.uname().nodename)
    except ConfigError as error:
        fail(*error.problems)


def last_directory(path: Path) -> Path:
    """The state directory of the last agent with a file that has mistakes now; the usual one if they hide that."""
    try:
        return Path(state_directory(path))
    except ConfigError:
        return Path(STATE_DIRECTORY)
