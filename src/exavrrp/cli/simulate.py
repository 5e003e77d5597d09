"""``exavrrp simulate``: a scenario, played by the nodes of a configuration in virtual time."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from exavrrp.cli import CONFIGURATION
from exavrrp.cli.account import Play, document, lines, unserved
from exavrrp.cli.output import fail, warn
from exavrrp.cli.style import say
from exavrrp.config import ConfigError, Configuration, Inline, Place, Problem, examined, load, node_names
from exavrrp.simulation import scenario
from exavrrp.simulation.scenario import Event, Known, Scenario, Unreadable, Verb
from exavrrp.simulation.stage import Nodes, Stage, Terms, Unplayable, known, members
from exavrrp.simulation.story import Story
from exavrrp.simulation.world import Violation
from exavrrp.vrrp import auth

MISUSED = 2
"""Exit status: the scenario, or an expectation, cannot be read."""

BROKEN = 70
"""Exit status: a promise is broken, by the nodes or by what simulates their ports (EX_SOFTWARE of sysexits.h)."""

VERSIONS = {"4": "4.2.25", "5": "5.0.15"}

CONVERGENCE = {"bird": 0.002, "frr": 0.05}
"""Seconds until a router of this kind acts upon an UPDATE."""

LEAST_HOLD = 3.0
"""Seconds."""

LONGEST = 1 << 20
"""Bytes of a scenario."""


def _duration(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        return scenario.duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("simulate")
@click.argument("paths", metavar="[FILE]...", type=click.Path(path_type=Path), nargs=-1)
@click.option("--do", "words", metavar="EVENTS", multiple=True, help='Such as "at 10s kill node1; at 60s start node1".')
@click.option("--scenario", "file", metavar="FILE", type=click.Path(path_type=Path), help="The same, an event a line.")
@click.option(
    "--expect",
    "expected",
    metavar="WORDS",
    multiple=True,
    help='Such as "web: node2 within 400ms".',
)
@click.option("--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Each with another seed.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the first run.")
@click.option("--routers", type=click.Choice(list(CONVERGENCE)), default="bird", show_default=True, help="How fast.")
@click.option("--hold", default="180s", show_default=True, callback=_duration, help="BGP hold time.")
@click.option("--exabgp", type=click.Choice(list(VERSIONS)), default="5", show_default=True, help="Its version.")
@click.option("--tail", default="30s", show_default=True, callback=_duration, help="Simulated after the last event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(  # noqa: PLR0917 — click calls it by keyword
    paths: tuple[Path, ...],
    words: tuple[str, ...],
    file: Path | None,
    expected: tuple[str, ...],
    runs: int,
    seed: int,
    routers: str,
    hold: float,
    exabgp: str,
    tail: float,
    as_json: bool,
) -> None:
    """Play a scenario with the nodes of FILE, or the FILEs of all nodes, in virtual time; nothing here is touched.

    Print what follows from each event, who serves when, and the outage that is to be expected.

    \b
    at TIME kill NODE        power and links     at TIME start NODE
    at TIME stop NODE        ExaBGP, undrained   at TIME kill agent on NODE
    at TIME cut NODE eth0    its carrier         at TIME mend NODE eth0
    at TIME mute NODE        links up            at TIME unmute NODE
    at TIME fail check NAME on NODE
    at TIME pass check NAME on NODE
    at TIME drain NODE                           at TIME undrain NODE
    at TIME reload NODE FILE

    Also freeze and thaw, gray and clear, deafen and undeafen, partition and rejoin, replace, reset. Exit status: 0 all
    is as expected, 1 it is not, or FILE has mistakes, 2 the scenario cannot be read, 70 a mistake of
    exavrrp.
    """
    if hold < LEAST_HOLD:
        raise click.BadParameter(f"a BGP hold time is at least {LEAST_HOLD:g}s (RFC 4271 §4.2)", param_hint="--hold")
    nodes = _nodes(paths or (Path(CONFIGURATION),))
    play = _read(_texts(words, file), expected, known(nodes))
    reloads = _reloads(play)
    terms = Terms(exabgp=VERSIONS[exabgp], hold=hold, convergence=CONVERGENCE[routers], tail=tail)
    stories = [_played(nodes, terms, seed + number, reloads, play) for number in range(runs)]
    around = f"{', '.join(nodes)}; ExaBGP {exabgp}, routers as {routers.upper()}, BGP hold time {hold:g} s"
    told = Play(play, seed, stories, members(nodes), around)
    warn(unserved(told))
    if as_json:
        click.echo(json.dumps(document(told), indent=2))
    else:
        say(lines(told))
    if not told.met:
        raise SystemExit(1)


def _played(nodes: Nodes, terms: Terms, seed: int, reloads: Mapping[Event, Configuration], play: Scenario) -> Story:
    """The run of one seed."""
    try:
        stage = Stage(nodes, terms, seed, reloads)
    except Unplayable as error:
        fail(*error.problems)
    try:
        return stage.play(play)
    except Violation as error:
        latest = stage.latest
        when = "before the first event" if latest is None else f"after 'at {scenario.shown(latest.at)} {latest}'"
        fail(
            f"seed {seed}, {when}: {error}; this is a mistake of exavrrp, not of your files: report this line, the"
            " command, the files that it names, and what exavrrp --version prints",
            status=BROKEN,
        )


# The nodes


def _nodes(paths: Sequence[Path]) -> dict[str, Configuration]:
    """By name: that of their tables, of their files, or of the directories of these."""
    try:
        warn(examined(paths))
        found: dict[str, Configuration] = {}
        for path in paths:
            for name in node_names(path) or (None,):
                title = _title(path, paths) if name is None else name
                if title in found:
                    fail(f"{path}: another file is that of {title}, too; give them other names", status=MISUSED)
                found[title] = load(path, secrets=_stand_in, node=name)
    except ConfigError as error:
        fail(*error.problems)
    return found


def _title(path: Path, paths: Sequence[Path]) -> str:
    """What a node is called whose file does not say it."""
    alike = [one for one in paths if one.stem == path.stem]
    return path.stem if len(alike) == 1 else path.absolute().parent.name


def _stand_in(place: Place) -> bytes:
    """A key, in whose place the name of its file is as good: no key is read. Raises ValueError."""
    return auth.secret(place.hex) if isinstance(place, Inline) else hashlib.sha512(repr(place).encode()).digest()


def _reloads(play: Scenario) -> dict[Event, Configuration]:
    """What each reload puts in force."""
    found: dict[Event, Configuration] = {}
    wrong: dict[Problem, None] = {}
    for event in play.events:
        if event.verb is Verb.RELOAD and event.what is not None:
            path = Path(event.what)
            try:
                found[event] = load(path, secrets=_stand_in, node=event.node if node_names(path) else None)
            except ConfigError as error:
                wrong |= dict.fromkeys(error.problems)
    if wrong:
        fail(*wrong)
    return found


# The scenario


def _texts(words: Sequence[str], file: Path | None) -> list[tuple[str, str]]:
    """Where a scenario stands, and what it is."""
    texts = [("--do", text) for text in words]
    if file is not None:
        try:
            with file.open("rb") as opened:
                texts.append((str(file), opened.read(LONGEST).decode()))
        except OSError as error:
            fail(f"cannot read {file}: {error.strerror or error}", status=MISUSED)
        except UnicodeDecodeError:
            fail(f"{file} is not UTF-8; save it with this encoding", status=MISUSED)
    if not texts:
        raise click.UsageError(f'nothing is to happen; write --do "{scenario.EXAMPLE}", or --scenario FILE')
    return texts


def _read(texts: Sequence[tuple[str, str]], expected: Sequence[str], names: Known) -> Scenario:
    """All of it; every mistake ends the command."""
    events: list[Event] = []
    expectations: list[scenario.Expectation] = []
    wrong: list[str] = []
    for place, text in texts:
        try:
            part = scenario.read(text, names)
        except Unreadable as error:
            wrong += [f"{place}{f':{one.line}' if place != '--do' else ''}: {one.message}" for one in error.slips]
        else:
            events += part.events
            expectations += part.expectations
    for text in expected:
        try:
            expectations.append(scenario.expectation(text, names))
        except ValueError as error:
            wrong.append(f"--expect: {error}")
    if wrong:
        fail(*wrong, status=MISUSED)
    return Scenario(tuple(sorted(events, key=lambda event: event.at)), tuple(expectations))
