"""Where a running agent is found: the one key of the file that the commands need which ask it."""

from pathlib import Path

from exavrrp.config import schema
from exavrrp.config.opening import opened


def state_directory(path: str | Path) -> str:
    """``agent.state_directory`` of the file at ``path``, whatever else is wrong with it.

    A router has to be drained also while somebody edits the file. Raises ConfigError when it cannot be read, is no TOML
    or is wrong in this very key. The files beside it cannot have it, and are not read.
    """
    document = opened(path, alone=True)
    agent = document.data.get("agent")
    key = "state_directory"
    written = {key: agent[key]} if isinstance(agent, dict) and key in agent else {}
    found = document.table(("agent",), written, schema.Agent).state_directory
    document.verdict()
    return found
