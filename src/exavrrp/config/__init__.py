"""exavrrp.toml → frozen structs that the engine uses as they are; every mistake is reported at once, by its key.

``loading`` gives the text its meaning, ``coherence`` looks for contradictions, ``authentications`` has the keys,
``settings`` are the structs that come of it; ``schema`` says what one key may hold, ``notation`` reads addresses and
communities, ``diagnosis`` reads tables and collects what is wrong with them. Everybody else needs only what is named
here.
"""

from exavrrp.config.diagnosis import ConfigError, Problem
from exavrrp.config.loading import effective, load, state_directory
from exavrrp.config.schema import STATE_DIRECTORY
from exavrrp.config.settings import (
    Agent,
    Authentication,
    Check,
    Configuration,
    Credential,
    File,
    Http,
    Inline,
    Interface,
    Key,
    KeyFile,
    Place,
    Prefix,
    Probe,
    Process,
    Program,
    Shell,
    Tcp,
    VirtualRouter,
)

__all__ = [
    "STATE_DIRECTORY",
    "Agent",
    "Authentication",
    "Check",
    "ConfigError",
    "Configuration",
    "Credential",
    "File",
    "Http",
    "Inline",
    "Interface",
    "Key",
    "KeyFile",
    "Place",
    "Prefix",
    "Probe",
    "Problem",
    "Process",
    "Program",
    "Shell",
    "Tcp",
    "VirtualRouter",
    "effective",
    "load",
    "state_directory",
]
