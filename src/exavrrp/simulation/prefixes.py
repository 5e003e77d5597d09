"""Which prefixes are announced for which addresses, by a configuration; of those that are bound."""

from exavrrp.config import Configuration
from exavrrp.routes import Network
from exavrrp.simulation.network import Address


def prefixes_of(configuration: Configuration, address: Address) -> list[Network]:
    """What is announced for ``address``."""
    routers = (router for router in configuration.routers if address in router.on_lo)
    return [network for router in routers for network in router.announce if address in network]


def addresses_of(configuration: Configuration, network: Network) -> list[Address]:
    """Those that ``network`` is announced for."""
    routers = (router for router in configuration.routers if network in router.announce)
    return [address for router in routers for address in router.on_lo if address in network]
