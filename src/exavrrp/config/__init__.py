"""exavrrp.toml → frozen structs that the engine uses as they are; every mistake is reported at once, by its key.

From files to their meaning: ``opening`` reads them (``files``: which, and as TOML; ``diagnosis``: tables, and what is
wrong with them; ``places``: on which lines), ``schema`` says what one key may hold, ``nodes`` what a file for all nodes
is on one of them, ``services`` what a table for both families is, ``tables`` has a reader for each table, ``kinds`` the
kinds of checks, ``coherence`` looks for contradictions, and ``loading`` does all of that in its order. ``settings`` are
the structs that come of it; ``writing`` makes a file of them again, and ``fleet`` looks at all nodes at once.
``published`` makes a JSON Schema of what ``schema`` and ``kinds`` say. ``notation`` reads addresses and communities;
``directory`` finds a running agent. For mistakes: ``advice`` says what an unknown key was meant to be, ``slips`` what a
text that is no TOML was, and ``foreign`` what other tools call things. Everybody else needs only what is named here,
and ``kinds``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exavrrp.config.diagnosis import ConfigError, Problem
    from exavrrp.config.directory import state_directory
    from exavrrp.config.fleet import examined
    from exavrrp.config.loading import load, node_names, whole
    from exavrrp.config.published import json_schema
    from exavrrp.config.schema import STATE_DIRECTORY
    from exavrrp.config.settings import (
        Agent,
        Authentication,
        Check,
        Configuration,
        Credential,
        Inline,
        Key,
        KeyFile,
        Place,
        VirtualRouter,
        rejection,
    )
    from exavrrp.config.writing import effective

__all__ = [
    "STATE_DIRECTORY",
    "Agent",
    "Authentication",
    "Check",
    "ConfigError",
    "Configuration",
    "Credential",
    "Inline",
    "Key",
    "KeyFile",
    "Place",
    "Problem",
    "VirtualRouter",
    "effective",
    "examined",
    "json_schema",
    "load",
    "node_names",
    "rejection",
    "state_directory",
    "whole",
]

_HOMES = {
    "ConfigError": "diagnosis",
    "Problem": "diagnosis",
    "STATE_DIRECTORY": "schema",
    "state_directory": "directory",
    "examined": "fleet",
    "json_schema": "published",
    "load": "loading",
    "node_names": "loading",
    "whole": "loading",
    "effective": "writing",
}
"""The module of each name; all others are ``settings``'."""


def __getattr__(name: str) -> object:
    """A name is imported when it is first used: who asks for ``state_directory`` does not wait for the rest."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'settings')}"), name)
