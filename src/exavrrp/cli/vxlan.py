"""``exavrrp vxlan``: the VXLAN over all uplinks, for adverts that need one interface."""

from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.output import fail
from exavrrp.cli.reading import loaded
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.vxlan import device, uplinks
from exavrrp.vxlan import (
    ETHERNET,
    IDENTIFIER,
    LENGTHS,
    MOST_IDENTIFIERS,
    OVERHEAD,
    PORT,
    Choices,
    Overlay,
    Unplannable,
    commands,
    mistakes,
    planned,
    units,
)


@click.command("vxlan")
@options.agent
@options.node
@click.option("--interface", metavar="NAME", help="Which interface, if virtual routers name several.")
@click.option(
    "--id",
    "identifier",
    type=click.IntRange(0, MOST_IDENTIFIERS - 1),
    default=IDENTIFIER,
    show_default=True,
    help="The VNI, the same on all nodes.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    show_default=True,
    help="The UDP port, the same on all nodes.",
)
@click.option(
    "--underlay",
    type=click.Choice(["4", "6"]),
    help="IP version of the packets outside; by default 6 if agent.sources and agent.peers have IPv6 addresses.",
)
@click.option(
    "--mtu",
    type=click.IntRange(1280 + max(OVERHEAD.values()), 65535),
    default=ETHERNET,
    show_default=True,
    help="The least MTU of all uplinks, in bytes.",
)
@click.option(
    "--length",
    type=click.IntRange(1, 32),
    default=LENGTHS[4],
    show_default=True,
    help="Prefix length of an IPv4 address inside.",
)
@click.option("--networkd", is_flag=True, help="Print files of systemd-networkd instead of commands.")
@click.option("--check", "checked", is_flag=True, help="Look at the VXLAN that this host has.")
def command(
    *,
    path: Path,
    node: str | None,
    interface: str | None,
    identifier: int,
    port: int,
    underlay: str | None,
    mtu: int,
    length: int,
    networkd: bool,
    checked: bool,
) -> None:
    """Print the commands that make the VXLAN for the adverts of one interface, on this node; nothing is changed.

    Its ends are agent.sources and agent.peers, and each frame goes to all of them. With --check: what is wrong with the
    one that is there; exit with 0 if nothing is, with 1 otherwise.
    """
    if networkd and checked:
        raise click.UsageError("--check prints what is wrong, --networkd files; leave one of them out.")
    choices = Choices(
        interface=interface,
        identifier=identifier,
        port=port,
        family=None if underlay is None else int(underlay),
        uplink_mtu=mtu,
        length=length,
    )
    try:
        overlay = planned(loaded(path, global_on_loopback, node=node), choices)
    except Unplannable as error:
        fail(*error.problems)
    if checked:
        _check(overlay)
    elif networkd:
        for name, text in units(overlay).items():
            click.echo(f"# /etc/systemd/network/{name}\n{text}")
    else:
        click.echo("\n".join(commands(overlay)))


def _check(overlay: Overlay) -> None:
    try:
        there = device(overlay.interface)
        found = list(mistakes(overlay, there, uplinks(overlay.local, overlay.remotes)))
    except OSError as error:
        fail(f"the kernel does not say what it has: {error.strerror or error}")
    if found:
        fail(*found)
