"""The commands, one file each, imported only when it is called: ``status`` must not wait for what ``run`` needs.

This package is the only one that prints, and it prints nothing to stdout while ``run`` is at work: that is ExaBGP's.

Exit statuses: 0 success, 1 failure (with the remedy on stderr), 2 wrong usage, 3 the answer is no (no node took over;
the agent still looks after its addresses), 4 no agent answers, 70 ``simulate`` has found a mistake of exavrrp. As a
question, ``status --is-active`` ends with 0 for yes and 1 for no.
"""

from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING

import click

from exavrrp import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

CONFIGURATION = "/etc/exavrrp/exavrrp.toml"

NO = 3
"""Exit status: the answer is no."""

NO_SUCH = 2
"""Exit status: what was named is not there."""

UNANSWERED = 4
"""Exit status: no agent answers."""

COMMANDS = {
    "check": "Find everything that is wrong with a configuration.",
    "cleanup": "Remove the addresses that a killed agent has left bound.",
    "doctor": "Find everything that is wrong with this node.",
    "drain": "Hand over, and stay out of the election.",
    "events": "Show what has happened.",
    "explain": "Say what a code means, and what to do.",
    "exporter": "Serve metrics for Prometheus, and a page for browsers.",
    "import": "Make a configuration of a keepalived.conf, and report each line.",
    "reload": "Put a changed configuration in force, touching only what it changes.",
    "replay": "Decide a recording again, and compare.",
    "run": "Serve, as a process of ExaBGP.",
    "schema": "Print the JSON Schema of a configuration, for editors.",
    "simulate": "Play a scenario with the nodes of a configuration, in virtual time.",
    "status": "Show how this node's virtual routers are now.",
    "undrain": "Take part in the election again.",
    "vxlan": "Print or check a VXLAN that carries adverts over all uplinks.",
    "watch": "Show all of it on a terminal, live.",
    "why": "Say why a virtual router is in its state, and what would move it.",
}
"""Each command, which is ``command`` in the module of its name (``import_``: Python has that word), and what the list
of all says about it."""


class Commands(click.Group):
    """Imports a command when it is called, and none to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click calls it so
        """The names, sorted."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — click calls it so
        """The command of this name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"exavrrp.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 — click calls it so
        """The list in the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """What may stand for ``incomplete``, for a shell."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 — only when a shell asks

        found = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="exavrrp")
def main() -> None:
    """VRRPv3 failover for routed data centres: elects over every uplink, binds the address, has ExaBGP announce it."""
