"""``exavrrp check``: what is wrong with a configuration, before anything depends on it."""

from collections.abc import Sequence
from pathlib import Path

import click

from exavrrp.cli import CONFIGURATION, options
from exavrrp.cli.output import fail, warn
from exavrrp.cli.reading import loaded
from exavrrp.config import ConfigError, effective, examined
from exavrrp.system import keys, preflight, speakerfile
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.checks import preflight_error
from exavrrp.system.preflight import Weight


@click.command("check")
@click.argument("paths", metavar="[FILE]...", type=click.Path(path_type=Path), nargs=-1)
@click.option("--print", "printed", is_flag=True, help="Print the effective configuration with every default.")
@click.option(
    "--elsewhere",
    is_flag=True,
    help="Do not look at this host: programs, addresses on lo, keys, capabilities.",
)
@options.node
@click.option(
    "--all-nodes",
    "fleet",
    is_flag=True,
    help="Look at every node of FILE, or at the FILEs of all nodes, and at what does not go together; at no host.",
)
def command(*, paths: tuple[Path, ...], printed: bool, elsewhere: bool, node: str | None, fleet: bool) -> None:
    """Print everything that is wrong with FILE; exit with 0 if nothing is, with 1 otherwise.

    Also what would keep run from working on this host, as far as the user who asks can know: ask as ExaBGP's user.
    With the default FILE, /etc/exabgp/exabgp.conf is looked at, too.
    """
    paths = paths or (Path(CONFIGURATION),)
    if fleet:
        if printed or node is not None:
            raise click.UsageError("--all-nodes looks at all; leave it out to print one (--node NAME --print).")
        _examine(paths)
        return
    if len(paths) > 1:
        raise click.UsageError("Several files are those of several nodes: write --all-nodes.")
    host = () if elsewhere else (global_on_loopback, preflight_error, keys.read)
    configuration = loaded(paths[0], *host, node=node)
    warn(configuration.warnings)
    findings = [] if elsewhere else list(preflight.findings(configuration))
    for finding in findings:
        click.echo(f"{finding.weight}: {finding.text}", err=True)
    if not elsewhere and paths[0] == Path(CONFIGURATION):
        warn(finding.text for finding in speakerfile.written(configuration))
    if any(finding.weight is Weight.ERROR for finding in findings):
        raise SystemExit(1)
    if printed:
        click.echo(effective(configuration).encode(), nl=False)  # TOML is UTF-8, whatever the terminal's encoding


def _examine(paths: Sequence[Path]) -> None:
    """Of all nodes at once."""
    try:
        warn(examined(paths))
    except ConfigError as error:
        fail(*error.problems)
