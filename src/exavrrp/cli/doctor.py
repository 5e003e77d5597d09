"""``exavrrp doctor``: everything that is wrong with this node, and what to do."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import json

from exavrrp.cli import options
from exavrrp.cli.asking import control_socket
from exavrrp.cli.output import fail
from exavrrp.cli.style import folded, say
from exavrrp.codes import CODES
from exavrrp.config import ConfigError, Configuration, load
from exavrrp.control import Misunderstood, Status, StatusAnswer, answer
from exavrrp.findings import Finding, compared, findings
from exavrrp.system import keys, preflight, speakerfile
from exavrrp.system.addresses import global_on_loopback
from exavrrp.system.checks import preflight_error
from exavrrp.system.client import Unanswered, ask
from exavrrp.system.examination import examined
from exavrrp.system.preflight import Weight

FOUND = 1
"""Exit status."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="A JSON document: a list of code, about, text.")
@click.option(
    "--peers",
    "others",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What exavrrp status --json said on another node; may be given several times.",
)
@options.node
@options.agent
def command(*, as_json: bool, others: tuple[Path, ...], node: str | None, path: Path) -> None:
    """Look at configuration, host and running agent, and print everything that is wrong, each with its code.

    Nothing is changed. exavrrp explain CODE says more. Exit status: 0 nothing is wrong, 1 something is.
    """
    documents = {str(one): _document(one) for one in others}
    found = list(dict.fromkeys(_all(path, node, documents)))
    if as_json:
        click.echo(json.format(json.encode(found), indent=2).decode())
    else:
        for finding in found:
            say(folded(str(finding), f"{finding.code}  ", "   "))
            if do := CODES[finding.code].do:
                say(folded(do, "   -> ", "      "))
        if not found:
            say(["nothing is wrong"])
    if found:
        raise SystemExit(FOUND)


def _all(path: Path, node: str | None, others: dict[str, StatusAnswer]) -> Iterator[Finding]:
    configuration = None
    try:
        configuration = load(path, global_on_loopback, preflight_error, keys.read, node=node, host=os.uname().nodename)
    except ConfigError as error:
        yield from (Finding("configuration-invalid", "", str(problem)) for problem in error.problems)
    if configuration is not None:
        yield from _of_file(configuration)
    try:
        view = next(one for one in ask(control_socket(path), Status()) if isinstance(one, StatusAnswer))
    except Unanswered as error:
        yield Finding("agent-unreachable", "", str(error))
        if configuration is not None:
            yield from speakerfile.written(configuration)
        return
    yield from findings(view)
    yield from examined(view)
    if configuration is not None:
        yield from speakerfile.examined(view.process, configuration)
        yield from speakerfile.rights(view.process, configuration)
    yield from compared(view, others)


def _of_file(configuration: Configuration) -> Iterator[Finding]:
    yield from (Finding("configuration-warning", "", str(warning)) for warning in configuration.warnings)
    for finding in preflight.findings(configuration):
        if finding.weight is not Weight.NOTE:
            yield Finding(finding.code, "", finding.text)


def _document(path: Path) -> StatusAnswer:
    try:
        found = answer(json.encode(json.decode(path.read_bytes())))
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
    except (Misunderstood, ValueError, RecursionError) as error:
        fail(f"{path} is not what exavrrp status --json prints: {error}")
    if not isinstance(found, StatusAnswer):
        fail(f"{path} is not what exavrrp status --json prints")
    return found
