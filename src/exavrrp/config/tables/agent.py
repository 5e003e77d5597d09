"""``[agent]`` → settings."""

from exavrrp.config import notation, schema
from exavrrp.config.diagnosis import Document
from exavrrp.config.settings import Agent
from exavrrp.config.tables.values import authentication, interfaces, listed, whole_centiseconds
from exavrrp.vrrp.packet import Address, Ipv4Checksum

LONGEST_DIRECTORY = 94
"""Bytes in ``state_directory``: with /control.sock they are the 107 of the address of a socket (unix(7))."""


def read(document: Document, table: schema.Agent) -> Agent:
    """What the table means; mistakes are noted."""
    longest = table.learned_interval_max
    return Agent(
        sources=_sources(document, table),
        peers=document.texts(("agent", "peers"), table.peers, notation.routed),
        advert_interval=whole_centiseconds(document, ("agent", "advert_interval"), table.advert_interval),
        interfaces=interfaces(document, ("agent", "interfaces"), table.interfaces),
        ipv4_checksum=Ipv4Checksum(table.ipv4_checksum),
        max_hops=table.max_hops,
        down_count=table.down_count,
        learned_interval_max=longest and whole_centiseconds(document, ("agent", "learned_interval_max"), longest),
        log_format=table.log_format,
        state_directory=_state_directory(document, table.state_directory),
        persistent_directory=table.persistent_directory,
        control_group=table.control_group,
        scheduling=table.scheduling,
        lock_memory=table.lock_memory,
        startup_delay=table.startup_delay,
        beacon=table.beacon,
        beacon_port=table.beacon_port,
        authentication=authentication(document, ("agent", "authentication"), table.authentication),
    )


def _sources(document: Document, table: schema.Agent) -> tuple[Address, ...]:
    sources = document.texts(("agent", "sources"), table.sources, notation.routed)
    for family in (4, 6):
        same = [str(address) for address in sources if address.version == family]
        if len(same) > 1:
            document.problem(
                ("agent", "sources"),
                f"holds {len(same)} IPv{family} addresses ({listed(same)}); keep one, and give a virtual router"
                " that needs another one a source of its own",
            )
    return sources


def _state_directory(document: Document, path: str) -> str:
    length = len(path.encode())
    if length > LONGEST_DIRECTORY:
        document.problem(
            ("agent", "state_directory"),
            f"has {length} bytes; write a path of at most {LONGEST_DIRECTORY}: a socket in it has to be reached",
        )
    return path
