"""``exavrrp import``: a configuration of what a keepalived.conf says."""

import os
import re
import stat
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from glob import glob
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from exavrrp.cli import CONFIGURATION, NO
from exavrrp.cli.output import fail
from exavrrp.config import ConfigError, load
from exavrrp.config.toml import quoted
from exavrrp.keepalived.exabgp import Neighbor, missing, stanza
from exavrrp.keepalived.reading import SIZE_LIMIT, Source, Unreadable, read
from exavrrp.keepalived.report import report
from exavrrp.keepalived.translating import Imported, translated

KEEPALIVED = "/etc/keepalived/keepalived.conf"
PROGRAM = "/opt/exavrrp/bin/exavrrp"
"""As in the examples."""

TOML, STANZA, REPORT = "exavrrp.toml", "exabgp-stanza.conf", "import-report.txt"
"""What is written into a directory."""

MOST_PATTERNS = 1000
"""That one include with braces stands for."""


def _neighbor(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[Neighbor, ...]:
    return tuple(
        _parsed(text, "/", lambda address, number: Neighbor(ip_address(address), _as(number))) for text in texts
    )


def _as(text: str) -> int:
    if not 1 <= (number := int(text)) <= 0xFFFFFFFF:
        raise ValueError
    return number


def _source(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[tuple[str, int], str]:
    pairs = [
        _parsed(text, "=", lambda one, two: (one, ip_address(two)) if two else ("", ip_address(one))) for text in texts
    ]
    return {(name, address.version): str(address) for name, address in pairs}


def _parsed(text: str, mark: str, meaning: Callable[[str, str], Any]) -> Any:
    head, _, rest = text.partition(mark)
    try:
        return meaning(head, rest)
    except ValueError:
        raise click.BadParameter(f'"{text}" cannot be read.') from None


@click.command("import")
@click.argument("path", metavar="[FILE]", type=click.Path(path_type=Path), default=KEEPALIVED)
@click.option(
    "--id",
    "config_id",
    metavar="ID",
    help="keepalived's --config-id, which lines with @ are for; by default the name of this host, up to its first dot.",
)
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Write {TOML}, {STANZA} and {REPORT} there; without it they are printed, without secrets.",
)
@click.option("--overwrite", is_flag=True, help="Write these files also where they exist.")
@click.option(
    "--source",
    "sources",
    metavar="[INTERFACE=]ADDRESS",
    multiple=True,
    callback=_source,
    help="This node's address that adverts come from, where the file does not say; once for each interface and family.",
)
@click.option(
    "--neighbor",
    "neighbors",
    metavar="ADDRESS/AS",
    multiple=True,
    callback=_neighbor,
    help="A router that ExaBGP announces to, and its AS number; once for each.",
)
@click.option(
    "--on-link",
    is_flag=True,
    help="Leave addresses on the interfaces where keepalived has them, and announce nothing: for nodes without BGP.",
)
def command(
    *,
    path: Path,
    config_id: str | None,
    directory: Path | None,
    overwrite: bool,
    sources: dict[tuple[str, int], str],
    neighbors: tuple[Neighbor, ...],
    on_link: bool,
) -> None:
    """Make a configuration of a keepalived.conf, and say of each of its lines what became of it.

    Ends with 0 if exavrrp check accepts it, with 3 if values have to be filled in first, which the report names, and
    with 1 if FILE has mistakes.
    """
    host = os.uname().nodename
    identity = host.partition(".")[0] if config_id is None else config_id
    try:
        reading = read(_main(path), _Files(path.is_absolute()), identity, host if config_id is None else config_id)
        imported = translated(reading, sources, on_link=on_link)
    except Unreadable as error:
        fail(*error.faults)
    families = sorted({router.family for router in imported.routers if router.lines.get("announce", True)})
    unfinished = _unfinished(imported)
    to_fill_in = [
        *((f"{TOML}: {key}", what) for key, what in unfinished),
        *((f"{STANZA}: {key}", what) for key, what in missing(neighbors, families)),
    ]
    told = report(imported.entries, to_fill_in)
    exabgp = stanza(neighbors, families, CONFIGURATION, PROGRAM)
    if directory is None:
        click.echo(f"# {TOML}\n\n{_without_secrets(imported)}\n# {STANZA}\n\n{exabgp}\n# {REPORT}\n\n{told}", nl=False)
    else:
        _write(directory, {TOML: imported.toml, STANZA: exabgp, REPORT: told}, overwrite=overwrite)
        click.echo(told, nl=False)
    raise SystemExit(NO if unfinished else 0)


def _unfinished(imported: Imported) -> list[tuple[str, str]]:
    """(key, what it is): what ``exavrrp check`` would not accept."""
    known = dict(imported.missing)
    try:
        with tempfile.TemporaryDirectory() as directory:  # which nobody else may read
            path = Path(directory, TOML)
            path.write_text(imported.toml, encoding="utf-8")
            path.chmod(0o600)
            load(path, alone=True)
    except ConfigError as error:
        return [(problem.key, known.get(problem.key, problem.message)) for problem in error.problems]
    except OSError as error:
        fail(f"no temporary file can be written, with which to check the configuration: {error.strerror or error}")
    return list(known.items())


def _without_secrets(imported: Imported) -> str:
    text = imported.toml
    for secret in imported.secrets:
        text = text.replace(quoted(secret), '"…"')
    return text


def _write(directory: Path, files: dict[str, str], *, overwrite: bool) -> None:
    """Write all files or, if one is there already or cannot be written, none."""
    there = [directory / name for name in files if os.path.lexists(directory / name)]
    if there and not overwrite:
        fail(*(f"{path} exists; remove it, or write --overwrite" for path in there))
    written: dict[Path, Path] = {}
    try:
        directory.mkdir(exist_ok=True)
        for name, text in files.items():
            with tempfile.NamedTemporaryFile(  # nobody else may read it: there may be secrets in it
                "w", encoding="utf-8", dir=directory, prefix=f".{name}.", delete=False
            ) as file:
                written[Path(file.name)] = directory / name
                file.write(text)
        for temporary, path in written.items():
            temporary.replace(path)
    except OSError as error:
        for temporary in written:
            with suppress(OSError):
                temporary.unlink()
        fail(f"{directory} cannot be written to: {error.strerror or error}")


# Reading


def _main(path: Path) -> Source:
    try:
        return _one(path.absolute(), str(path))
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror or error}; name a keepalived.conf that this user may read")


def _one(path: Path, name: str) -> Source:
    with path.open("rb") as file:
        return Source(name, str(path.parent), file.read(SIZE_LIMIT + 1))


class _Files:
    """The files of an include."""

    def __init__(self, absolute: bool) -> None:
        self._absolute = absolute

    def __call__(self, pattern: str, directory: str) -> Sequence[Source | str]:
        """As ``reading.Files``: directories are passed over, as by keepalived."""
        found: list[Source | str] = []
        for one in _alternatives(pattern):
            for path in sorted(glob(str(Path(directory, one)))):  # noqa: PTH207 — the pattern may be absolute
                if Path(path).is_dir():
                    continue
                name = path if self._absolute else os.path.relpath(path)
                try:
                    regular = stat.S_ISREG(Path(path).stat().st_mode)
                    found.append(_one(Path(path), name) if regular else f"{name} is no regular file")
                except OSError as error:
                    found.append(f"{name} cannot be read: {error.strerror or error}")
        return found


def _alternatives(pattern: str) -> list[str]:
    """``{a,b}`` written out, the innermost first."""
    found = [pattern]
    for _ in range(len(pattern)):
        written = [
            f"{one[: part.start()]}{choice}{one[part.end() :]}"
            for one in found
            if (part := re.search(r"\{([^{}]*)\}", one)) is not None
            for choice in part[1].split(",")
        ]
        if not written or len(written) > MOST_PATTERNS:
            break
        found = written
    return found
