"""``exavrrp check``: what is wrong with a configuration, before anything depends on it."""

from pathlib import Path

import click

from exavrrp.cli import CONFIGURATION, options
from exavrrp.cli.output import warn
from exavrrp.cli.reading import loaded
from exavrrp.config import effective
from exavrrp.system import keys, preflight
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.checks import preflight_error
from exavrrp.system.preflight import Weight


@click.command("check")
@click.argument("path", metavar="[FILE]", type=click.Path(path_type=Path), default=CONFIGURATION)
@click.option("--print", "printed", is_flag=True, help="Print the effective configuration with every default.")
@click.option(
    "--elsewhere",
    is_flag=True,
    help="Do not look at this host: programs, addresses on lo, keys, capabilities.",
)
@options.node
def command(path: Path, printed: bool, elsewhere: bool, node: str | None) -> None:
    """Print everything that is wrong with FILE; exit with 0 if nothing is, with 1 otherwise.

    Also what would keep run from working on this host, as far as the user who asks can know: ask as ExaBGP's user.
    """
    host = () if elsewhere else (global_on_loopback, preflight_error, keys.read)
    configuration = loaded(path, *host, node=node)
    warn(configuration.warnings)
    findings = [] if elsewhere else list(preflight.findings(configuration))
    for finding in findings:
        click.echo(f"{finding.weight}: {finding.text}", err=True)
    if any(finding.weight is Weight.ERROR for finding in findings):
        raise SystemExit(1)
    if printed:
        click.echo(effective(configuration).encode(), nl=False)  # TOML is UTF-8, whatever the terminal's encoding
